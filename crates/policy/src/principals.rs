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
pub(crate) struct Namings(u8);

impl Namings {
    pub(crate) const NONE: Self = Self(0);
    /// By its own: the ARN of the user, of the session, of the service.
    pub(crate) const ITSELF: Self = Self(1);
    /// A role session by the ARN of its role.
    pub(crate) const ROLE: Self = Self(1 << 1);
    /// A federated user by the ARN of the user behind it.
    pub(crate) const FEDERATOR: Self = Self(1 << 2);
    /// By the account, which delegates to that account's policies.
    pub(crate) const ACCOUNT: Self = Self(1 << 3);
    /// By `*`.
    pub(crate) const EVERYONE: Self = Self(1 << 4);

    pub(crate) fn when(self, holds: bool) -> Self {
        if holds { self } else { Self::NONE }
    }

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it is one of `any`.
    pub(crate) const fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    const fn has_all(self, all: Self) -> bool {
        self.0 & all.0 == all.0
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

    /// By which names it speaks of the caller.
    pub(crate) fn namings(&self, facts: &Facts<'_>) -> Namings {
        use Namings as N;
        let principal = &facts.context.principal;
        let attributes = facts.attributes;
        match self {
            Self::Everyone => N::EVERYONE,
            Self::Account(account) => N::ACCOUNT.when(principal.account() == Some(*account)),
            Self::Identity(text) => match principal {
                Principal::User { user_id, .. } => {
                    N::ITSELF.when(**text == **user_id || **text == *facts.arn())
                }
                Principal::RoleSession {
                    role_id,
                    session_name,
                    ..
                } => {
                    let is_role = attributes.role_arn.as_deref() == Some(&**text);
                    // As a pinned policy has it.
                    let is_session = text.split_once(':') == Some((role_id, session_name));
                    N::ROLE
                        .when(**text == **role_id || is_role)
                        .or(N::ITSELF.when(is_session || **text == *facts.arn()))
                }
                Principal::Federated { .. } => {
                    let is_federator = attributes.federator_arn.as_deref() == Some(&**text)
                        || attributes.federator_id.as_deref() == Some(&**text);
                    N::FEDERATOR
                        .when(is_federator)
                        .or(N::ITSELF.when(**text == *facts.arn()))
                }
                Principal::Root { .. } | Principal::Service { .. } | Principal::Anonymous => {
                    N::NONE
                }
            },
            Self::Service(name) => N::ITSELF
                .when(matches!(principal, Principal::Service { name: own, .. } if **own == **name)),
            Self::Federated(provider) => {
                N::ITSELF.when(attributes.federated_provider.as_deref() == Some(&**provider))
            }
            // S3's name of an account.
            Self::CanonicalUser(id) => {
                let own = facts.context.canonical_id.as_ref();
                let is_own = own.is_some_and(|own| own.as_str() == &**id);
                N::ACCOUNT.when(principal.account().is_some() && is_own)
            }
        }
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
            Self::IsNot(_) => Namings::NONE,
        }
    }

    /// Whether it denies something to the principal.
    pub(crate) fn denies(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::Is(names) => all_namings(names, facts) != Namings::NONE,
            Self::IsNot(names) => !is_exempt(all_namings(names, facts), &facts.context.principal),
        }
    }
}

fn all_namings(names: &[Name], facts: &Facts<'_>) -> Namings {
    let namings = names.iter().map(|name| name.namings(facts));
    namings.fold(Namings::NONE, Namings::or)
}

/// Exempt from `NotPrincipal` is only whose every name is listed (IAM User Guide, "NotPrincipal"):
/// the account's and its own, and of a session the role's too.
fn is_exempt(listed: Namings, principal: &Principal) -> bool {
    use Namings as N;
    let own = match principal {
        Principal::Root { .. } => N::ACCOUNT,
        Principal::User { .. } | Principal::Federated { .. } => N::ACCOUNT.or(N::ITSELF),
        Principal::RoleSession { .. } => N::ACCOUNT.or(N::ITSELF).or(N::ROLE),
        Principal::Service { .. } | Principal::Anonymous => N::ITSELF,
    };
    listed.has(N::EVERYONE) || listed.has_all(own)
}
