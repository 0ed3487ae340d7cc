//! What a request says, under the names that policies have for it (IAM User Guide, "AWS global
//! condition context keys").

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::net::IpAddr;

use strongroom_types::{AccountId, Principal, RequestContext, TlsVersion, Transport};

use crate::pattern::Unresolved;
use crate::{Conditions, PrincipalAttributes};

macro_rules! global_keys {
    ($($variant:ident = $name:literal,)*) => {
        /// A key whose values follow from the request itself. What the services bring under such a
        /// name, which may come from a header, does not count.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum GlobalKey {
            $($variant,)*
        }

        impl GlobalKey {
            fn parse(lower: &str) -> Option<Self> {
                match lower {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

global_keys! {
    CalledVia = "aws:calledvia",
    CalledViaFirst = "aws:calledviafirst",
    CalledViaLast = "aws:calledvialast",
    CurrentTime = "aws:currenttime",
    EpochTime = "aws:epochtime",
    FederatedProvider = "aws:federatedprovider",
    MultiFactorAuthPresent = "aws:multifactorauthpresent",
    PrincipalAccount = "aws:principalaccount",
    PrincipalArn = "aws:principalarn",
    PrincipalIsAwsService = "aws:principalisawsservice",
    PrincipalServiceName = "aws:principalservicename",
    PrincipalType = "aws:principaltype",
    RequestedRegion = "aws:requestedregion",
    ResourceAccount = "aws:resourceaccount",
    SecureTransport = "aws:securetransport",
    SourceIdentity = "aws:sourceidentity",
    SourceIp = "aws:sourceip",
    TokenIssueTime = "aws:tokenissuetime",
    UserAgent = "aws:useragent",
    UserId = "aws:userid",
    UserName = "aws:username",
    ViaAwsService = "aws:viaawsservice",
    S3ResourceAccount = "s3:resourceaccount",
    SignatureVersion = "s3:signatureversion",
    S3TlsVersion = "s3:tlsversion",
    CallerAccount = "kms:calleraccount",
    KmsViaService = "kms:viaservice",
}

/// A condition key. Keys have no case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ConditionKey {
    Global(GlobalKey),
    /// `aws:PrincipalTag/NAME`, in lower case.
    PrincipalTag(Box<str>),
    /// One that the services bring, in lower case.
    Own(Box<str>),
}

/// `aws:userid` of who has no name.
pub(crate) const ANONYMOUS_USER_ID: &str = "anonymous";

const PRINCIPAL_TAG: &str = "aws:principaltag/";

impl ConditionKey {
    pub(crate) fn parse(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        match (GlobalKey::parse(&lower), lower.strip_prefix(PRINCIPAL_TAG)) {
            (Some(global), _) => Self::Global(global),
            (None, Some(tag)) => Self::PrincipalTag(tag.into()),
            (None, None) => Self::Own(lower.into()),
        }
    }

    /// The key in lower case.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Global(global) => global.name().into(),
            Self::PrincipalTag(tag) => format!("{PRINCIPAL_TAG}{tag}").into(),
            Self::Own(name) => (&**name).into(),
        }
    }
}

/// The values of a key in a request.
#[derive(Debug)]
pub(crate) enum Values<'a> {
    Absent,
    One(Cow<'a, str>),
    Many(&'a [String]),
}

impl Values<'_> {
    /// Whether there is nothing to compare: no such key, or one without values.
    pub(crate) fn is_absent(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::One(_) => false,
            Self::Many(values) => values.is_empty(),
        }
    }

    pub(crate) fn any(&self, mut test: impl FnMut(&str) -> bool) -> bool {
        match self {
            Self::Absent => false,
            Self::One(value) => test(value),
            Self::Many(values) => values.iter().any(|value| test(value)),
        }
    }

    pub(crate) fn all(&self, mut test: impl FnMut(&str) -> bool) -> bool {
        !self.any(|value| !test(value))
    }
}

/// Steps that a decision may take, a step being a pattern or a character that is compared: some
/// milliseconds. The longest policies that there can be take less, unless they or the request are made to
/// cost time.
pub(crate) const STEPS_MAX: usize = 1 << 21;

/// What a decision may still cost. Where that is too little it is none: nothing that is then found
/// counts.
#[derive(Debug)]
pub(crate) struct Steps {
    left: Cell<usize>,
    exceeded: Cell<bool>,
}

impl Steps {
    pub(crate) const fn of(steps: usize) -> Self {
        Self {
            left: Cell::new(steps),
            exceeded: Cell::new(false),
        }
    }

    pub(crate) const fn unlimited() -> Self {
        Self::of(usize::MAX)
    }

    pub(crate) fn take(&self, steps: usize) -> Result<(), Unresolved> {
        match self.left.get().checked_sub(steps) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.give_up()),
        }
    }

    pub(crate) fn give_up(&self) -> Unresolved {
        self.left.set(0);
        self.exceeded.set(true);
        Unresolved
    }

    /// Whether there were too few.
    pub(crate) fn were_exceeded(&self) -> bool {
        self.exceeded.get()
    }

    #[cfg(test)]
    pub(crate) fn taken_of(&self, steps: usize) -> usize {
        steps - self.left.get()
    }
}

/// Everything that conditions and variables can speak of.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub context: &'a RequestContext,
    pub attributes: &'a PrincipalAttributes,
    pub resource_owner: AccountId,
    pub conditions: &'a Conditions,
    /// Values that stand for those of the request, in simulations.
    pub overrides: Option<&'a Conditions>,
    /// What the decision may still cost.
    pub steps: Steps,
    arn: OnceCell<String>,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(
        context: &'a RequestContext,
        attributes: &'a PrincipalAttributes,
        resource_owner: AccountId,
        conditions: &'a Conditions,
        overrides: Option<&'a Conditions>,
    ) -> Self {
        Self {
            context,
            attributes,
            resource_owner,
            conditions,
            overrides,
            steps: Steps::of(STEPS_MAX),
            arn: OnceCell::new(),
        }
    }

    /// The ARN of the principal, of the session if it is one.
    pub(crate) fn arn(&self) -> &str {
        self.arn.get_or_init(|| self.context.principal.arn())
    }

    /// Whether a value stands for that of the request. `key` is in lower case.
    pub(crate) fn is_given(&self, key: &str) -> bool {
        let given = self.overrides.and_then(|given| given.get_lower(key));
        given.is_some()
    }

    pub(crate) fn values(&self, key: &ConditionKey) -> Values<'_> {
        if let Some(overrides) = self.overrides
            && let Some(values) = overrides.get_lower(&key.name())
        {
            return Values::Many(values);
        }
        let value = match key {
            ConditionKey::Global(global) => self.global(*global),
            ConditionKey::PrincipalTag(tag) => {
                let mut tags = self.attributes.tags.iter();
                tags.find(|(name, _)| name.eq_ignore_ascii_case(tag))
                    .map(|(_, value)| (&**value).into())
            }
            ConditionKey::Own(name) => {
                if let Some(value) = self.service_source(name) {
                    return Values::One(value);
                }
                return match self.conditions.get_lower(name) {
                    Some(values) => Values::Many(values),
                    None => Values::Absent,
                };
            }
        };
        value.map_or(Values::Absent, Values::One)
    }

    /// What a service acts for counts before all that is brought under these names. `key` is in lower
    /// case.
    fn service_source(&self, key: &str) -> Option<Cow<'_, str>> {
        let Principal::Service {
            source: Some(source),
            ..
        } = &self.context.principal
        else {
            return None;
        };
        match key {
            "aws:sourcearn" => Some(source.arn.as_str().into()),
            "aws:sourceaccount" => Some(source.account.to_string().into()),
            _ => None,
        }
    }

    /// The value of a variable: only keys of one value have one.
    pub(crate) fn single(&self, key: &ConditionKey) -> Option<Cow<'_, str>> {
        match self.values(key) {
            Values::One(_) if *key == ConditionKey::Global(GlobalKey::CalledVia) => None,
            Values::One(value) => Some(value),
            Values::Many([value]) => Some(value.into()),
            Values::Absent | Values::Many(_) => None,
        }
    }

    fn global(&self, key: GlobalKey) -> Option<Cow<'_, str>> {
        use GlobalKey as G;
        let Self {
            context,
            attributes,
            ..
        } = self;
        let principal = &context.principal;
        let account = || principal.account().map(|it| it.to_string().into());
        match key {
            G::CalledVia | G::CalledViaFirst | G::CalledViaLast => {
                context.via_service.as_deref().map(without_region)
            }
            G::CurrentTime => Some(context.received.to_iso8601().into()),
            G::EpochTime => Some(context.received.as_seconds().to_string().into()),
            G::FederatedProvider => text(attributes.federated_provider.as_deref()),
            G::MultiFactorAuthPresent => attributes.multi_factor_auth.map(truth),
            G::PrincipalAccount | G::CallerAccount => account(),
            G::PrincipalArn => match principal {
                Principal::Root { .. } | Principal::User { .. } | Principal::Federated { .. } => {
                    Some(self.arn().into())
                }
                // Of a session it is the role's.
                Principal::RoleSession { .. } => text(attributes.role_arn.as_deref()),
                Principal::Service { .. } | Principal::Anonymous => None,
            },
            G::PrincipalIsAwsService => Some(truth(matches!(principal, Principal::Service { .. }))),
            G::PrincipalServiceName => match principal {
                Principal::Service { name, .. } => Some((&**name).into()),
                Principal::Root { .. }
                | Principal::User { .. }
                | Principal::RoleSession { .. }
                | Principal::Federated { .. }
                | Principal::Anonymous => None,
            },
            G::PrincipalType => match principal {
                Principal::Root { .. } => Some("Account".into()),
                Principal::User { .. } => Some("User".into()),
                Principal::RoleSession { .. } => Some("AssumedRole".into()),
                Principal::Federated { .. } => Some("FederatedUser".into()),
                Principal::Anonymous => Some("Anonymous".into()),
                Principal::Service { .. } => None,
            },
            G::RequestedRegion => Some(context.region.as_str().into()),
            G::ResourceAccount | G::S3ResourceAccount => {
                Some(self.resource_owner.to_string().into())
            }
            G::SecureTransport => Some(truth(context.transport.is_secure())),
            G::SourceIdentity => text(attributes.source_identity.as_deref()),
            // Of a forwarded call it would be the service's address.
            G::SourceIp => (context.via_service.is_none()
                && !matches!(principal, Principal::Service { .. }))
            .then(|| IpAddr::to_canonical(&context.source_ip).to_string().into()),
            G::TokenIssueTime => attributes.token_issued.map(|at| at.to_iso8601().into()),
            G::UserAgent => text(context.user_agent.as_deref()),
            G::UserId => match principal {
                Principal::Root { account } => Some(account.to_string().into()),
                Principal::User { user_id, .. } => Some((&**user_id).into()),
                Principal::RoleSession {
                    role_id,
                    session_name,
                    ..
                } => Some(format!("{role_id}:{session_name}").into()),
                Principal::Federated { account, name } => Some(format!("{account}:{name}").into()),
                Principal::Anonymous => Some(ANONYMOUS_USER_ID.into()),
                Principal::Service { .. } => None,
            },
            G::UserName => match principal {
                Principal::User { path_and_name, .. } => text(path_and_name.rsplit('/').next()),
                Principal::Root { .. }
                | Principal::RoleSession { .. }
                | Principal::Federated { .. }
                | Principal::Service { .. }
                | Principal::Anonymous => None,
            },
            G::ViaAwsService => Some(truth(context.via_service.is_some())),
            // The only version that this server takes.
            G::SignatureVersion => context
                .access_key_id
                .as_ref()
                .map(|_| "AWS4-HMAC-SHA256".into()),
            G::S3TlsVersion => match context.transport {
                Transport::Tls(TlsVersion::V1_2) => Some("1.2".into()),
                Transport::Tls(TlsVersion::V1_3) => Some("1.3".into()),
                Transport::Plain | Transport::Forwarded { .. } => None,
            },
            G::KmsViaService => text(context.via_service.as_deref()),
        }
    }
}

fn text(value: Option<&str>) -> Option<Cow<'_, str>> {
    value.map(Into::into)
}

fn truth(value: bool) -> Cow<'static, str> {
    if value { "true" } else { "false" }.into()
}

/// `s3.us-east-1.amazonaws.com` is `s3.amazonaws.com` in `aws:CalledVia`.
fn without_region(service: &str) -> Cow<'_, str> {
    let name = service
        .strip_suffix(".amazonaws.com")
        .and_then(|rest| rest.split_once('.'));
    match name {
        Some((name, _)) => format!("{name}.amazonaws.com").into(),
        None => service.into(),
    }
}
