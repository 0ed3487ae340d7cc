//! Cases from a seed. The pools are small, so that policies often speak of what is asked.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use strongroom_policy::{Comparison, Grant, PrincipalAttributes, ResourceKind};
use strongroom_types::kms::{EncryptionContext, GrantOperation};
use strongroom_types::{
    Acl, AclGrant, AclGroup, AclPermission, CanonicalId, Grantee, Principal, Timestamp, TlsVersion,
};

use crate::cases::{
    Case, KEY, Lists, OTHER, OWNER, federated, root, service, service_for, session, user,
};

const CANONICAL: &str = "79a579a579a579a579a579a579a579a579a579a579a579a579a579a579a579a5";
const OTHERS_CANONICAL: &str = "5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c";
const PROVIDER: &str = "arn:aws:iam::111122223333:oidc-provider/id.example.com";

/// What is asked: action, resource, kind.
const ASKED: &[(&str, &str, ResourceKind)] = &[
    (
        "s3:GetObject",
        "arn:aws:s3:::b/home/alice/x",
        ResourceKind::Ordinary,
    ),
    (
        "s3:PutObject",
        "arn:aws:s3:::b/home/a*/x",
        ResourceKind::Ordinary,
    ),
    (
        "s3:GetObject",
        "arn:aws:s3:::b/a:b:c",
        ResourceKind::Ordinary,
    ),
    ("s3:ListBucket", "arn:aws:s3:::b", ResourceKind::Ordinary),
    (
        "s3:DeleteObject",
        "arn:aws:s3:::b/home/alice/x",
        ResourceKind::Ordinary,
    ),
    (
        "s3:PutObjectVersionAcl",
        "arn:aws:s3:::b/home/alice/x",
        ResourceKind::Ordinary,
    ),
    ("s3:GetBucketAcl", "arn:aws:s3:::b", ResourceKind::Ordinary),
    (
        "s3:PutBucketPolicy",
        "arn:aws:s3:::b",
        ResourceKind::Ordinary,
    ),
    (
        "s3:DeleteBucketPolicy",
        "arn:aws:s3:::b",
        ResourceKind::Ordinary,
    ),
    ("kms:ListKeys", "*", ResourceKind::Ordinary),
    (
        "iam:GetUser",
        "arn:aws:iam::111122223333:user/team/alice",
        ResourceKind::Ordinary,
    ),
    (
        "sts:AssumeRole",
        "arn:aws:iam::111122223333:role/app",
        ResourceKind::RoleTrust,
    ),
    (
        "sts:AssumeRoleWithWebIdentity",
        "arn:aws:iam::111122223333:role/app",
        ResourceKind::RoleTrust,
    ),
    ("kms:Decrypt", KEY, ResourceKind::Key),
    ("kms:Decrypt", KEY, ResourceKind::Key),
    ("kms:GenerateDataKey", KEY, ResourceKind::Key),
    ("kms:DescribeKey", KEY, ResourceKind::Key),
    ("kms:CreateGrant", KEY, ResourceKind::Key),
    ("kms:RetireGrant", KEY, ResourceKind::Key),
    ("kms:DisableKey", KEY, ResourceKind::Key),
];

const ACTIONS: &[&str] = &[
    "*",
    "*",
    "s3:*",
    "S3:get*",
    "s3:?utObject",
    "s3:*Object",
    "s3:Put*Policy",
    "s3:GetObject",
    "kms:*",
    "kms:D*",
    "kms:*Grant",
    "KMS:decrypt",
    "kms:GenerateDataKey*",
    "iam:*",
    "sts:AssumeRole*",
    "sts:*",
];

const RESOURCES: &[&str] = &[
    "*",
    "*",
    "*",
    "arn:aws:s3:::b",
    "arn:aws:s3:::b*",
    "arn:aws:s3:::b/*",
    "arn:aws:s3:::*",
    "arn:aws:s3:::b/home/${aws:username}/*",
    "arn:aws:s3:::b/${ aws:username , 'home'}/*",
    "arn:aws:s3:::b/home/${aws:PrincipalTag/Team}/?",
    "arn:aws:s3:::b/home/a${*}/x",
    "arn:aws:s3:::b/home/a*/x",
    "arn:aws:s3:::b/a:?:c",
    "arn:aws:s3:::b/${broken/*",
    "arn:aws:s3:::b/${aws:username, broken}/*",
    "arn:*:s3:*:*:*",
    "arn:aws:s3*",
    "arn:aws:*:*:b/*",
    "arn:aws:kms:*:111122223333:key/*",
    KEY,
    "arn:aws:kms:us-east-?:*:*",
    "arn:aws:kms:*:key/*",
    "arn:aws:iam::111122223333:*",
    "arn:aws:iam::111122223333:user/*/${aws:username}",
    "arn:aws:iam::*:role/app",
    "arn:aws:iam::${aws:PrincipalAccount}:role/*",
];

const PRINCIPALS: &[&str] = &[
    r#""*""#,
    r#"{"AWS":"*"}"#,
    r#"{"AWS":"111122223333"}"#,
    r#"{"AWS":"arn:aws:iam::111122223333:root"}"#,
    r#"{"AWS":"arn:aws:iam::444455556666:root"}"#,
    r#"{"AWS":["arn:aws:iam::111122223333:user/team/alice"]}"#,
    r#"{"AWS":["arn:aws:iam::111122223333:user/team/alice","111122223333"]}"#,
    r#"{"AWS":"AIDATEAMALICE"}"#,
    r#"{"AWS":"arn:aws:iam::444455556666:user/bob"}"#,
    r#"{"AWS":"arn:aws:iam::111122223333:role/svc/app"}"#,
    r#"{"AWS":["arn:aws:iam::111122223333:role/svc/app","arn:aws:iam::111122223333:root"]}"#,
    r#"{"AWS":["arn:aws:iam::111122223333:role/svc/app","111122223333","arn:aws:sts::111122223333:assumed-role/app/s1"]}"#,
    r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/app/s1"}"#,
    r#"{"AWS":["111122223333","arn:aws:sts::111122223333:assumed-role/app/s1"]}"#,
    r#"{"AWS":"AROAAPP"}"#,
    r#"{"AWS":["arn:aws:sts::111122223333:federated-user/fed","111122223333"]}"#,
    r#"{"AWS":"arn:aws:sts::111122223333:federated-user/fed"}"#,
    r#"{"Service":["s3.amazonaws.com","cloudtrail.amazonaws.com"]}"#,
    r#"{"CanonicalUser":"79a579a579a579a579a579a579a579a579a579a579a579a579a579a579a579a5"}"#,
    r#"{"Federated":"arn:aws:iam::111122223333:oidc-provider/id.example.com"}"#,
];

const BROKEN: &[&str] = &[
    "",
    "{",
    "[]",
    r#"{"Version":"2012-10-17"}"#,
    r#"{"Statement":[]}"#,
    r#"{"Statement":{"Effect":"allow","Action":"*","Resource":"*"}}"#,
    r#"{"Statement":{"Effect":"Allow","Effect":"Allow","Action":"*","Resource":"*"}}"#,
    r#"{"Statement":{"Effect":"Allow","Actions":"*","Resource":"*"}}"#,
    r#"{"Statement":{"Effect":"Allow","Action":"*","NotAction":"*","Resource":"*"}}"#,
    r#"{"Version":"2020-01-01","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#,
];

/// Keys, and the kind of their values.
const KEYS: &[(&str, Kind)] = &[
    ("aws:SecureTransport", Kind::Bool),
    ("aws:ViaAWSService", Kind::Bool),
    ("aws:MultiFactorAuthPresent", Kind::Bool),
    ("aws:PrincipalIsAWSService", Kind::Bool),
    ("kms:GrantIsForAWSResource", Kind::Bool),
    ("aws:SourceIp", Kind::Address),
    ("AWS:currenttime", Kind::Date),
    ("aws:EpochTime", Kind::Date),
    ("aws:TokenIssueTime", Kind::Date),
    ("s3:TlsVersion", Kind::Number),
    ("s3:max-keys", Kind::Number),
    ("aws:PrincipalArn", Kind::Arn),
    ("aws:SourceArn", Kind::Arn),
    ("aws:SourceAccount", Kind::Text),
    ("aws:username", Kind::Text),
    ("aws:userid", Kind::Text),
    ("aws:PrincipalType", Kind::Text),
    ("aws:PrincipalAccount", Kind::Text),
    ("aws:ResourceAccount", Kind::Text),
    ("aws:PrincipalTag/team", Kind::Text),
    ("aws:PrincipalTag/absent", Kind::Text),
    ("aws:CalledVia", Kind::Text),
    ("aws:RequestedRegion", Kind::Text),
    ("aws:UserAgent", Kind::Text),
    ("aws:SourceIdentity", Kind::Text),
    ("aws:FederatedProvider", Kind::Text),
    ("aws:PrincipalServiceName", Kind::Text),
    ("s3:signatureversion", Kind::Text),
    ("s3:x-amz-server-side-encryption", Kind::Text),
    ("s3:prefix", Kind::Text),
    ("aws:TagKeys", Kind::Text),
    ("kms:ViaService", Kind::Text),
    ("kms:CallerAccount", Kind::Text),
    ("kms:EncryptionContext:App", Kind::Text),
    ("kms:EncryptionContextKeys", Kind::Text),
    ("s3:digest", Kind::Binary),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Arn,
    Number,
    Date,
    Bool,
    Binary,
    Address,
}

impl Kind {
    fn of(comparison: Comparison) -> Option<Self> {
        let name = comparison.name();
        Some(match name {
            "Null" => return None,
            "Bool" => Self::Bool,
            "BinaryEquals" => Self::Binary,
            "IpAddress" | "NotIpAddress" => Self::Address,
            _ if name.starts_with("String") => Self::Text,
            _ if name.starts_with("Arn") => Self::Arn,
            _ if name.starts_with("Numeric") => Self::Number,
            _ => Self::Date,
        })
    }

    /// What policies compare with, and requests have.
    const fn values(self) -> &'static [&'static str] {
        match self {
            Self::Text => &[
                "alice",
                "ALICE",
                "a*",
                "*",
                "?lice",
                "${aws:username}",
                "${aws:UserName, 'alice'}",
                "${*}",
                "",
                "${aws:PrincipalTag/Team}",
                "red",
                "Red",
                "r?d",
                "AES256",
                "aws:kms",
                "aws:*",
                "home/${aws:username}/*",
                "home/alice/",
                "111122223333",
                "444455556666",
                "AssumedRole",
                "User",
                "s3.amazonaws.com",
                "s3.us-east-1.amazonaws.com",
                "us-east-1",
                "App",
                "app",
                "AWS4-HMAC-SHA256",
                "\u{c9}t\u{e9}",
                "\u{e9}T\u{c9}",
                "AROAAPP:*",
                "arn:aws:iam::111122223333:oidc-provider/id.example.com",
            ],
            Self::Arn => &[
                "arn:aws:iam::111122223333:user/team/alice",
                "arn:aws:iam::*:user/*",
                "arn:aws:iam::111122223333:role/svc/app",
                "arn:aws:iam::111122223333:*",
                "arn:aws:iam::*:root",
                "*",
                "arn:aws:s3:::b",
                "arn:aws:s3:::*",
                "arn:aws:*:b",
                "arn:aws:iam::${aws:PrincipalAccount}:user/*/${aws:username}",
                "arn:aws:iam*",
            ],
            Self::Number => &["1.2", "1.3", "10", "-1", "1e1", "0", "1000"],
            Self::Date => &[
                "2026-01-02T03:04:05Z",
                "2026-01-02T04:04:05+01:00",
                "1767323045",
                "2026-01-02",
                "2026-01-02T03:04:05.001Z",
                "2027-06-30T12:00Z",
                "2020-02-29T23:59:60-05:30",
                "0",
            ],
            Self::Bool => &["true", "false", "True"],
            Self::Binary => &["QUJD", "QUI=", ""],
            Self::Address => &[
                "203.0.113.0/24",
                "203.0.113.7",
                "0.0.0.0/0",
                "10.0.0.0/8",
                "2001:db8::/32",
                "::/0",
                "::ffff:203.0.113.0/120",
                "2001:db8::1",
            ],
        }
    }
}

pub(crate) struct Random {
    state: u64,
    /// The action and resource of the case that is being made.
    asked: (&'static str, &'static str),
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed,
            asked: ("*", "*"),
        }
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.state;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((x ^ (x >> 31)) % (bound.max(1) as u64)).unwrap()
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Clone>(&mut self, pool: &[T]) -> T {
        pool[self.below(pool.len())].clone()
    }

    fn some<T: Clone>(&mut self, pool: &[T]) -> Vec<T> {
        (0..=self.below(3)).map(|_| self.of(pool)).collect()
    }

    /// A whole case.
    pub(crate) fn case(&mut self) -> Case {
        let (action, resource, kind) = self.of(ASKED);
        self.asked = (action, resource);
        let principal = self.principal();
        let mut case = Case::new(principal.clone(), action, resource);
        case.kind = kind;
        case.attributes = self.attributes(&principal);
        case.owner = if self.one_in(8) { OTHER } else { OWNER }.to_owned();
        if principal.account().is_some_and(|it| it.as_str() == OWNER) {
            case.canonical_id = Some(CANONICAL.to_owned());
        } else if principal.account().is_some() {
            case.canonical_id = Some(OTHERS_CANONICAL.to_owned());
        }
        case.via_service = self
            .one_in(4)
            .then(|| "s3.us-east-1.amazonaws.com".to_owned());
        case.source_ip = self
            .of(&[
                "203.0.113.7",
                "10.1.2.3",
                "2001:db8::1",
                "::ffff:203.0.113.9",
            ])
            .to_owned();
        case.tls = self.of(&[None, Some(TlsVersion::V1_2), Some(TlsVersion::V1_3)]);
        case.user_agent = self
            .of(&[None, Some("a*"), Some("alice")])
            .map(str::to_owned);
        if self.one_in(3) {
            case.received =
                Timestamp::from_millis(self.of(&[0, 1_767_323_045_001, 1_800_000_000_000]));
        }
        case.conditions = self.own_conditions();
        if kind == ResourceKind::Key && self.one_in(2) {
            case.context = self.context();
        }
        if action == "kms:CreateGrant" {
            let operations = self.some(&["Decrypt", "Encrypt", "CreateGrant"]);
            let operations = operations.into_iter().map(str::to_owned).collect();
            case.conditions
                .push(("kms:GrantOperations".to_owned(), operations));
            let kinds = self.of(&[
                &[][..],
                &["EncryptionContextEquals"],
                &["EncryptionContextSubset"],
                &["EncryptionContextEquals", "EncryptionContextSubset"],
            ]);
            let kinds = kinds.iter().map(|it| (*it).to_owned()).collect();
            case.conditions
                .push(("kms:GrantConstraintType".to_owned(), kinds));
        }
        if !matches!(
            principal,
            Principal::Root { .. } | Principal::Service { .. } | Principal::Anonymous
        ) {
            case.identity = (0..self.below(4)).map(|_| self.policy(false)).collect();
            case.boundary = self.one_in(4).then(|| self.policy(false));
            if !matches!(principal, Principal::User { .. }) {
                case.session = (0..self.below(3)).map(|_| self.policy(false)).collect();
            }
        }
        case.resource_policy = (!self.one_in(4)).then(|| self.policy(true));
        if kind == ResourceKind::Key && self.one_in(2) {
            case.grants = (0..=self.below(2)).map(|_| self.grant()).collect();
        }
        if action.starts_with("s3:") && self.one_in(2) {
            let owner = if case.owner == OWNER {
                CANONICAL
            } else {
                OTHERS_CANONICAL
            };
            let object_owner = self.of(&[CANONICAL, OTHERS_CANONICAL]);
            case.acls = Some(Lists {
                bucket: self.acl(owner),
                object: self.one_in(2).then(|| self.acl(object_owner)),
                ignores_public: self.one_in(4),
            });
        }
        case
    }

    fn acl(&mut self, owner: &str) -> Acl {
        let grants = (0..self.below(4)).map(|_| self.acl_grant()).collect();
        Acl::new(CanonicalId::parse(owner).unwrap(), grants).unwrap()
    }

    pub(crate) fn acl_grant(&mut self) -> AclGrant {
        let canonical = |id| Grantee::CanonicalUser(CanonicalId::parse(id).unwrap());
        let grantee = match self.below(8) {
            0..=2 => Grantee::Group(self.of(&AclGroup::ALL)),
            3 | 4 => canonical(CANONICAL),
            _ => canonical(OTHERS_CANONICAL),
        };
        AclGrant {
            grantee,
            permission: self.of(&AclPermission::ALL),
        }
    }

    fn principal(&mut self) -> Principal {
        match self.below(12) {
            0 => root(OWNER),
            1 => root(OTHER),
            2..=4 => user(OWNER, "team/alice"),
            5 => user(OTHER, "bob"),
            6 | 7 => session(OWNER, "app", "s1"),
            8 => session(OTHER, "app", "s1"),
            9 => federated(OWNER, "fed"),
            10 => {
                let name = self.of(&[
                    "s3.amazonaws.com",
                    "sns.amazonaws.com",
                    "logging.s3.amazonaws.com",
                ]);
                if self.one_in(2) {
                    let account = self.of(&[OWNER, OTHER]);
                    service_for(
                        name,
                        account,
                        self.of(&["arn:aws:s3:::b", "arn:aws:s3:::c"]),
                    )
                } else {
                    service(name)
                }
            }
            _ => Principal::Anonymous,
        }
    }

    fn attributes(&mut self, principal: &Principal) -> PrincipalAttributes {
        let mut attributes = PrincipalAttributes::default();
        match principal {
            Principal::RoleSession { account, .. } => {
                attributes.role_arn = Some(format!("arn:aws:iam::{account}:role/svc/app").into());
                attributes.token_issued = Some(Timestamp::from_seconds(1_767_323_045));
                attributes.source_identity = self.one_in(2).then(|| "alice".into());
                attributes.federated_provider = self.one_in(4).then(|| PROVIDER.into());
            }
            Principal::Federated { .. } => {
                let federator = "arn:aws:iam::111122223333:user/team/alice";
                attributes.federator_arn = Some(federator.into());
                attributes.token_issued = Some(Timestamp::from_seconds(1_767_323_045));
            }
            Principal::Anonymous => {
                attributes.federated_provider = self.one_in(2).then(|| PROVIDER.into());
            }
            Principal::User { .. } => {
                attributes.multi_factor_auth = self.of(&[None, Some(true), Some(false)]);
            }
            Principal::Root { .. } | Principal::Service { .. } => {}
        }
        if principal.account().is_some() && self.one_in(2) {
            let value = self.of(&["red", "alice", "a*", ""]);
            attributes.tags = vec![("Team".into(), value.into())];
        }
        attributes
    }

    /// What services bring; sometimes under names that only the request itself may fill.
    fn own_conditions(&mut self) -> Vec<(String, Vec<String>)> {
        const OWN: &[(&str, Kind, bool)] = &[
            ("s3:x-amz-server-side-encryption", Kind::Text, false),
            ("s3:prefix", Kind::Text, false),
            ("s3:max-keys", Kind::Number, false),
            ("aws:SourceArn", Kind::Arn, false),
            ("aws:TagKeys", Kind::Text, true),
            ("kms:GrantIsForAWSResource", Kind::Bool, false),
            ("s3:digest", Kind::Binary, false),
            ("aws:username", Kind::Text, false),
            ("aws:SecureTransport", Kind::Bool, false),
            ("aws:PrincipalTag/team", Kind::Text, false),
        ];
        let mut conditions = BTreeMap::new();
        for _ in 0..self.below(5) {
            let (key, kind, many) = self.of(OWN);
            let count = if many { self.below(4) } else { 1 };
            let values = (0..count)
                .map(|_| self.of(kind.values()).to_owned())
                .collect();
            conditions.insert(key.to_owned(), values);
        }
        conditions.into_iter().collect()
    }

    fn context(&mut self) -> BTreeMap<String, String> {
        (0..self.below(3))
            .map(|_| {
                (
                    self.of(&["App", "app", "Tenant"]).to_owned(),
                    self.of(&["red", "alice"]).to_owned(),
                )
            })
            .collect()
    }

    fn grant(&mut self) -> Grant {
        const PRINCIPALS: &[&str] = &[
            "arn:aws:iam::111122223333:root",
            "arn:aws:iam::444455556666:root",
            "arn:aws:iam::111122223333:user/team/alice",
            "arn:aws:iam::444455556666:user/bob",
            "arn:aws:iam::111122223333:role/svc/app",
            "arn:aws:sts::111122223333:assumed-role/app/s1",
            "arn:aws:sts::111122223333:federated-user/fed",
        ];
        let mut context = || {
            let context = self.one_in(3).then(|| self.context());
            context.map(|pairs| EncryptionContext::new(pairs).unwrap())
        };
        let (context_equals, context_subset) = (context(), context());
        Grant {
            grantee_principal: self.of(PRINCIPALS).to_owned(),
            retiring_principal: self.one_in(3).then(|| self.of(PRINCIPALS).to_owned()),
            operations: self.some(&[
                GrantOperation::Decrypt,
                GrantOperation::Decrypt,
                GrantOperation::GenerateDataKey,
                GrantOperation::DescribeKey,
                GrantOperation::CreateGrant,
                GrantOperation::RetireGrant,
            ]),
            context_equals,
            context_subset,
        }
    }

    /// The text of a policy, seldom broken.
    pub(crate) fn policy(&mut self, of_resource: bool) -> String {
        if self.one_in(60) {
            return self.of(BROKEN).to_owned();
        }
        let statements: Vec<_> = (0..=self.below(3))
            .map(|_| self.statement(of_resource))
            .collect();
        let mut document = json!({"Statement": statements});
        match self.below(8) {
            0 => {}
            1 => document["Version"] = "2008-10-17".into(),
            _ => document["Version"] = "2012-10-17".into(),
        }
        document.to_string()
    }

    /// One statement; whether it has a principal is seldom wrong.
    pub(crate) fn statement(&mut self, of_resource: bool) -> Value {
        let mut statement = Map::new();
        let effect = if self.one_in(7) { "Deny" } else { "Allow" };
        statement.insert("Effect".to_owned(), effect.into());
        if self.one_in(3) {
            statement.insert("Sid".to_owned(), "s".into());
        }
        if of_resource != self.one_in(40) {
            let name = if self.one_in(5) {
                "NotPrincipal"
            } else {
                "Principal"
            };
            let principal = serde_json::from_str(self.of(PRINCIPALS)).unwrap();
            statement.insert(name.to_owned(), principal);
        }
        if !self.one_in(60) {
            let name = if self.one_in(10) {
                "NotAction"
            } else {
                "Action"
            };
            let mut actions = self.some(ACTIONS);
            if self.one_in(2) {
                actions.push(self.asked.0);
            }
            statement.insert(name.to_owned(), self.list(&actions));
        }
        let is_trust = of_resource && self.asked.0.starts_with("sts:");
        if !self.one_in(if is_trust { 2 } else { 60 }) {
            let name = if self.one_in(10) {
                "NotResource"
            } else {
                "Resource"
            };
            let mut resources = self.some(RESOURCES);
            if self.one_in(3) {
                resources.push(self.asked.1);
            }
            statement.insert(name.to_owned(), self.list(&resources));
        }
        if self.one_in(3) {
            let mut condition: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
            for _ in 0..=self.below(2) {
                let (operator, key, values) = self.condition();
                condition.entry(operator).or_default().insert(key, values);
            }
            statement.insert("Condition".to_owned(), json!(condition));
        }
        Value::Object(statement)
    }

    fn condition(&mut self) -> (String, String, Value) {
        let comparison = self.of(Comparison::ALL);
        let Some(kind) = Kind::of(comparison) else {
            let (key, _) = self.of(KEYS);
            let value = self.of(&[
                json!("true"),
                json!(false),
                json!("FALSE"),
                json!(["true", false]),
            ]);
            return ("Null".to_owned(), key.to_owned(), value);
        };
        let keys: Vec<_> = KEYS.iter().filter(|(_, of)| *of == kind).collect();
        // Mostly of its kind.
        let (key, _) = if self.one_in(6) {
            self.of(KEYS)
        } else {
            *self.of(&keys)
        };
        let prefix = self.of(&["", "", "", "ForAllValues:", "ForAnyValue:"]);
        let suffix = self.of(&["", "", "IfExists"]);
        let values = self.some(kind.values());
        let values = self.list(&values);
        (
            format!("{prefix}{}{suffix}", comparison.name()),
            key.to_owned(),
            values,
        )
    }

    /// One text, or a list.
    fn list(&mut self, values: &[&str]) -> Value {
        if values.len() == 1 && self.one_in(2) {
            json!(values[0])
        } else {
            json!(values)
        }
    }
}
