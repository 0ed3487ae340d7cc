//! Everybody who could ask: all principals of all accounts, and those that policies name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use strongroom_iam::{SurveyedAccount, SurveyedRole};
use strongroom_policy::key_policy::account_named;
use strongroom_policy::{Effect, PolicyDocument, PrincipalElement, PrincipalName};
use strongroom_types::{AccountId, CanonicalId, Principal, Session, SessionKind, Timestamp};

use crate::ask::PrincipalAsk;
use crate::report::Kind;

/// Condition keys of which nobody knows the values before the request is made.
const UNKNOWN: [&str; 11] = [
    "aws:multifactorauthage",
    "aws:multifactorauthpresent",
    "aws:referer",
    "aws:sourceip",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:useragent",
    "aws:vpcsourceip",
    "s3:authtype",
    "s3:signatureage",
    "s3:x-amz-content-sha256",
];
/// Those that depend on how a role is assumed.
const UNKNOWN_OF_SESSIONS: [&str; 2] = ["aws:sourceidentity", "aws:userid"];
/// Those that who assumes a role chooses.
pub(crate) const UNKNOWN_OF_ASSUMING: [&str; 3] = ["aws:requesttag/*", "aws:tagkeys", "sts:*"];
/// The name of sessions that have any. Longer than names of sessions can be, so that no policy can
/// name it.
const ANY_SESSION: &str =
    "any-session-of-the-role-whatever-its-name-may-be-in-the-end-as-none-was-given";

/// Somebody who could ask.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// As reports name it: of a role the role's ARN.
    pub arn: String,
    pub kind: Kind,
    pub principal: Principal,
    pub canonical_id: Option<CanonicalId>,
    pub session: Option<Arc<Session>>,
    /// Of one session of a role: the role's ARN.
    pub role: Option<String>,
}

impl Candidate {
    fn new(
        account: &SurveyedAccount,
        kind: Kind,
        principal: Principal,
        session: Option<Session>,
    ) -> Self {
        Self {
            arn: principal.arn(),
            kind,
            principal,
            canonical_id: Some(account.canonical_id.clone()),
            session: session.map(Arc::new),
            role: None,
        }
    }

    pub(crate) fn anonymous() -> Self {
        Self {
            arn: "anonymous".to_owned(),
            kind: Kind::Anonymous,
            principal: Principal::Anonymous,
            canonical_id: None,
            session: None,
            role: None,
        }
    }

    pub(crate) fn service(name: &str) -> Self {
        Self {
            arn: name.to_owned(),
            kind: Kind::Service,
            principal: Principal::Service {
                name: name.into(),
                source: None,
            },
            canonical_id: None,
            session: None,
            role: None,
        }
    }

    fn root(account: &SurveyedAccount) -> Self {
        let principal = Principal::Root {
            account: account.id,
        };
        Self::new(account, Kind::Root, principal, None)
    }

    /// Any session of the role.
    fn role(account: &SurveyedAccount, role: &SurveyedRole, now: Timestamp) -> Self {
        let principal = role.session(account.id, ANY_SESSION);
        let session = session(SessionKind::Role, now);
        Self {
            arn: role.arn.clone(),
            ..Self::new(account, Kind::Role, principal, Some(session))
        }
    }

    /// The condition keys of its requests that nobody knows, in lower case.
    pub(crate) fn unknown(&self) -> Vec<String> {
        let of_session: &[&str] = match self.kind {
            Kind::Role => &UNKNOWN_OF_SESSIONS,
            Kind::Root
            | Kind::User
            | Kind::Session
            | Kind::Federated
            | Kind::Service
            | Kind::WebIdentity
            | Kind::Anonymous => &[],
        };
        let all = UNKNOWN.iter().chain(of_session);
        all.map(|key| (*key).to_owned()).collect()
    }
}

fn session(kind: SessionKind, now: Timestamp) -> Session {
    Session {
        kind,
        issued: now,
        expires: Timestamp::from_millis(now.as_millis().saturating_add(3_600_000)),
        policies: Vec::new(),
        policy_arns: Vec::new(),
        tags: Vec::new(),
        transitive_tag_keys: Vec::new(),
        source_identity: None,
        federated_provider: None,
        web_identity: None,
    }
}

/// All that there is.
pub(crate) struct Population {
    pub accounts: Vec<SurveyedAccount>,
    now: Timestamp,
}

impl Population {
    pub(crate) fn new(accounts: Vec<SurveyedAccount>, now: Timestamp) -> Self {
        Self { accounts, now }
    }

    pub(crate) fn account(&self, id: AccountId) -> Option<&SurveyedAccount> {
        self.accounts.iter().find(|it| it.id == id)
    }

    pub(crate) fn role(&self, arn: &str) -> Option<(&SurveyedAccount, &SurveyedRole)> {
        self.accounts.iter().find_map(|account| {
            let role = account.roles.iter().find(|role| role.arn == arn)?;
            Some((account, role))
        })
    }

    /// Who is meant.
    pub(crate) fn find(&self, ask: &PrincipalAsk) -> Option<Candidate> {
        match ask {
            PrincipalAsk::Anonymous => Some(Candidate::anonymous()),
            PrincipalAsk::Service(name) => Some(Candidate::service(name)),
            PrincipalAsk::Root(id) => self.account(*id).map(Candidate::root),
            PrincipalAsk::User(id, arn) => {
                let account = self.account(*id)?;
                let user = account.users.iter().find(|it| it.principal.arn() == *arn)?;
                Some(Candidate::new(
                    account,
                    Kind::User,
                    user.principal.clone(),
                    None,
                ))
            }
            PrincipalAsk::Role(_, arn) => {
                let (account, role) = self.role(arn)?;
                Some(Candidate::role(account, role, self.now))
            }
            PrincipalAsk::Session {
                account,
                role,
                session: name,
            } => {
                let account = self.account(*account)?;
                let role = account.roles.iter().find(|it| it.name == *role)?;
                let principal = role.session(account.id, name);
                let session = session(SessionKind::Role, self.now);
                Some(Candidate {
                    role: Some(role.arn.clone()),
                    ..Candidate::new(account, Kind::Session, principal, Some(session))
                })
            }
            PrincipalAsk::Federated(id, name) => {
                let account = self.account(*id)?;
                let principal = Principal::Federated {
                    account: *id,
                    name: name.as_str().into(),
                };
                // Of the root user, who limits it least.
                let issuer_id = String::new();
                let session = session(SessionKind::Federated { issuer_id }, self.now);
                Some(Candidate::new(
                    account,
                    Kind::Federated,
                    principal,
                    Some(session),
                ))
            }
        }
    }

    /// Everybody who has an account here.
    fn residents(&self) -> impl Iterator<Item = Candidate> {
        self.accounts.iter().flat_map(|account| {
            let users = account
                .users
                .iter()
                .map(|user| Candidate::new(account, Kind::User, user.principal.clone(), None));
            let roles = account.roles.iter();
            let roles = roles.map(|role| Candidate::role(account, role, self.now));
            std::iter::once(Candidate::root(account))
                .chain(users)
                .chain(roles)
        })
    }

    /// Everybody, and who of those that `names` holds is not here.
    pub(crate) fn everybody(
        &self,
        names: &Names,
    ) -> (BTreeMap<String, Candidate>, BTreeSet<String>) {
        let mut all: BTreeMap<String, Candidate> = self
            .residents()
            .chain([Candidate::anonymous()])
            .map(|it| (it.arn.clone(), it))
            .collect();
        let mut strangers = BTreeSet::new();
        for service in &names.services {
            all.insert(service.clone(), Candidate::service(service));
        }
        for name in &names.aws {
            if let Some(account) = account_named(name) {
                if self.account(account).is_none() {
                    strangers.insert(name.clone());
                }
                continue;
            }
            // Unique ids of who is gone are nobody.
            let Ok(ask) = name.parse::<PrincipalAsk>() else {
                continue;
            };
            match self.find(&ask) {
                Some(candidate) => {
                    all.insert(candidate.arn.clone(), candidate);
                }
                None => {
                    strangers.insert(name.clone());
                }
            }
        }
        (all, strangers)
    }

    /// Who could assume a role: everybody but root users and who does not sign, and the services
    /// that its trust policy names.
    pub(crate) fn assumers(&self, role: &SurveyedRole) -> BTreeMap<String, Candidate> {
        let names = Names::in_policy(&role.trust);
        let (mut all, _) = self.everybody(&names);
        all.retain(|_, it| !matches!(it.kind, Kind::Root | Kind::Anonymous | Kind::Federated));
        all
    }
}

/// The names in policies and grants.
#[derive(Clone, Default, Debug)]
pub(crate) struct Names {
    aws: BTreeSet<String>,
    services: BTreeSet<String>,
    /// Identity providers of statements that allow.
    pub providers: BTreeSet<String>,
}

impl Names {
    /// Those in a policy; none in one that does not parse, which denies.
    pub(crate) fn in_policy(text: &str) -> Self {
        let mut names = Self::default();
        let Ok(document) = PolicyDocument::parse(text) else {
            return names;
        };
        for statement in &document.statements {
            let Some(PrincipalElement::Is(found) | PrincipalElement::IsNot(found)) =
                &statement.principal
            else {
                continue;
            };
            for name in found {
                match name {
                    PrincipalName::Aws(name) => names.aws.insert(name.clone()),
                    PrincipalName::Service(name) => names.services.insert(name.clone()),
                    PrincipalName::Federated(name) if statement.effect == Effect::Allow => {
                        names.providers.insert(name.clone())
                    }
                    PrincipalName::Everyone
                    | PrincipalName::Federated(_)
                    | PrincipalName::CanonicalUser(_) => false,
                };
            }
        }
        names
    }

    /// With grantees of grants.
    pub(crate) fn with_grantees(mut self, grantees: &[String]) -> Self {
        for name in grantees {
            if name.ends_with(".amazonaws.com") {
                self.services.insert(name.clone());
            } else {
                self.aws.insert(name.clone());
            }
        }
        self
    }

    /// Both.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.aws.extend(other.aws);
        self.services.extend(other.services);
        self.providers.extend(other.providers);
        self
    }
}
