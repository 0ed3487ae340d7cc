//! Whom a statement of a resource policy speaks of, and by which name.

use strongroom_types::{AccountId, Principal};

use crate::document::{PrincipalElement, PrincipalName};
use crate::facts::Facts;
use crate::key_policy::account_named;

/// `Principal` or `NotPrincipal`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum CompiledPrincipal {
    Is(Box<[Name]>),
    IsNot(Box<[Name]>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Name {
    Everyone,
    Account(AccountId),
    /// An ARN, or the unique id of a user or role.
    Identity(Box<str>),
    Service(Box<str>),
    Federated(Box<str>),
    CanonicalUser(Box<str>),
}

/// By which names a policy speaks of a principal. What an Allow is worth depends on it
/// (IAM User Guide, "Policy evaluation logic", the table of resource-based policies).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Namings {
    /// By its own: the ARN of the user, of the session, of the service.
    pub itself: bool,
    /// A role session by the ARN of its role.
    pub role: bool,
    /// A federated user by the ARN of the user behind it.
    pub federator: bool,
    /// By the account, which delegates to that account's policies.
    pub account: bool,
    /// By `*`.
    pub everyone: bool,
}

impl Namings {
    pub(crate) fn any(self) -> bool {
        self != Self::default()
    }

    pub(crate) fn add(&mut self, other: Self) {
        let Self {
            itself,
            role,
            federator,
            account,
            everyone,
        } = other;
        self.itself |= itself;
        self.role |= role;
        self.federator |= federator;
        self.account |= account;
        self.everyone |= everyone;
    }
}

impl Name {
    fn compile(name: &PrincipalName) -> Self {
        match name {
            PrincipalName::Everyone => Self::Everyone,
            PrincipalName::Aws(text) => Self::aws(text),
            PrincipalName::Service(name) => Self::Service(name.as_str().into()),
            PrincipalName::Federated(name) => Self::Federated(name.as_str().into()),
            PrincipalName::CanonicalUser(id) => Self::CanonicalUser(id.as_str().into()),
        }
    }

    /// What `{"AWS": text}`, or the grantee of a grant, names.
    pub(crate) fn aws(text: &str) -> Self {
        account_named(text).map_or_else(|| Self::Identity(text.into()), Self::Account)
    }

    pub(crate) fn naming(&self, facts: &Facts<'_>) -> Namings {
        let mut namings = Namings::default();
        let principal = &facts.context.principal;
        match self {
            Self::Everyone => namings.everyone = true,
            Self::Account(account) => namings.account = principal.account() == Some(*account),
            Self::Identity(text) => match principal {
                Principal::User { user_id, .. } => {
                    namings.itself = **text == **user_id || **text == *facts.arn();
                }
                Principal::RoleSession { role_id, .. } => {
                    namings.itself = **text == *facts.arn();
                    namings.role = **text == **role_id
                        || facts.attributes.role_arn.as_deref() == Some(&**text);
                }
                Principal::Federated { .. } => {
                    namings.itself = **text == *facts.arn();
                    namings.federator = facts.attributes.federator_arn.as_deref() == Some(&**text);
                }
                Principal::Root { .. } | Principal::Service { .. } | Principal::Anonymous => {}
            },
            Self::Service(name) => {
                namings.itself =
                    matches!(principal, Principal::Service { name: own } if **own == **name);
            }
            Self::Federated(provider) => {
                namings.itself =
                    facts.attributes.federated_provider.as_deref() == Some(&**provider);
            }
            // S3's name of an account.
            Self::CanonicalUser(id) => {
                let own = facts.context.canonical_id.as_ref();
                namings.account =
                    principal.account().is_some() && own.is_some_and(|own| own.as_str() == &**id);
            }
        }
        namings
    }
}

impl CompiledPrincipal {
    pub(crate) fn compile(element: &PrincipalElement) -> Self {
        let compile = |names: &[PrincipalName]| names.iter().map(Name::compile).collect();
        match element {
            PrincipalElement::Is(names) => Self::Is(compile(names)),
            PrincipalElement::IsNot(names) => Self::IsNot(compile(names)),
        }
    }

    /// By which names it allows something to the principal. `NotPrincipal` allows nothing: it would
    /// be everybody else, those yet to be made too.
    pub(crate) fn allows(&self, facts: &Facts<'_>) -> Namings {
        match self {
            Self::Is(names) => all_namings(names, facts),
            Self::IsNot(_) => Namings::default(),
        }
    }

    /// Whether it denies something to the principal.
    pub(crate) fn denies(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Is(names) => all_namings(names, facts).any(),
            Self::IsNot(names) => !is_exempt(all_namings(names, facts), &facts.context.principal),
        }
    }
}

fn all_namings(names: &[Name], facts: &Facts<'_>) -> Namings {
    let mut namings = Namings::default();
    for name in names {
        namings.add(name.naming(facts));
    }
    namings
}

/// Exempt from `NotPrincipal` is only whose every name is listed (IAM User Guide, "NotPrincipal"):
/// the account's and its own, and of a session the role's too.
fn is_exempt(listed: Namings, principal: &Principal) -> bool {
    listed.everyone
        || match principal {
            Principal::Root { .. } => listed.account,
            Principal::User { .. } | Principal::Federated { .. } => listed.account && listed.itself,
            Principal::RoleSession { .. } => listed.account && listed.itself && listed.role,
            Principal::Service { .. } | Principal::Anonymous => listed.itself,
        }
}
