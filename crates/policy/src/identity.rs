//! What a principal brings into a decision: its policies and what is known of it.

use std::fmt;
use std::sync::Arc;

use strongroom_types::{RequestContext, Timestamp};

use crate::Policy;

/// Finds the policies of the principal of a request.
///
/// Contract: what a change committed before the request began is seen by it; a principal, session
/// or policy that cannot be read, parsed or found is [`Unreadable`], never an absence of policies.
/// Root users, services and anonymous callers have [`PrincipalPolicies::default`].
pub trait IdentityPolicies: Send + Sync {
    /// The policies of `context.principal`.
    ///
    /// # Errors
    ///
    /// [`Unreadable`]: the decision is a denial.
    fn policies_of(&self, context: &RequestContext) -> Result<PrincipalPolicies, Unreadable>;
}

/// Policy state that should be there and cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("policies cannot be read")]
pub struct Unreadable;

/// A compiled policy under the name by which decisions are explained.
#[derive(Clone)]
pub struct NamedPolicy {
    /// The ARN of a managed policy, the name of an inline one.
    pub name: Arc<str>,
    /// The policy.
    pub policy: Arc<Policy>,
}

impl fmt::Debug for NamedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamedPolicy({})", self.name)
    }
}

/// The policies that go with a principal, and what condition keys tell of it.
#[derive(Clone, Default, Debug)]
pub struct PrincipalPolicies {
    /// Of the user and its groups, or of the role; of a federated user, those of the user whose
    /// credentials made the session.
    pub identity: Vec<NamedPolicy>,
    /// The permissions boundary of the user or role.
    pub boundary: Option<NamedPolicy>,
    /// The policies passed when the session was made; none of them is no limit but for federated
    /// users.
    pub session: Vec<NamedPolicy>,
    /// What condition keys tell of the principal.
    pub attributes: PrincipalAttributes,
}

/// What is known of a principal beyond its [`Principal`](strongroom_types::Principal).
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct PrincipalAttributes {
    /// Of a role session: the role's ARN, with its path.
    pub role_arn: Option<Arc<str>>,
    /// Of a federated user: the ARN of the user whose credentials made the session.
    pub federator_arn: Option<Arc<str>>,
    /// Of a federated user: that user's unique id, by which pinned policies and grants name it.
    pub federator_id: Option<Arc<str>>,
    /// `aws:PrincipalTag/*`: tags of the user or role, and over them those of the session.
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// `aws:TokenIssueTime`: when the temporary credentials were made.
    pub token_issued: Option<Timestamp>,
    /// `aws:MultiFactorAuthPresent`: of temporary credentials only.
    pub multi_factor_auth: Option<bool>,
    /// `aws:FederatedProvider`, and the `Federated` principal of policies.
    pub federated_provider: Option<Arc<str>>,
    /// `aws:SourceIdentity`.
    pub source_identity: Option<Arc<str>>,
}
