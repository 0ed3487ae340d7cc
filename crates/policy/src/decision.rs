//! What was decided, by what, and what the caller is told.

use std::fmt;
use std::sync::Arc;

use strongroom_types::Principal;

use crate::Question;
use crate::document::Effect;

/// A decision and its trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// What was decided.
    pub outcome: Outcome,
    /// The statements and grants that spoke of the request: of a plain decision those that it
    /// needed, of an explained one all, in the order resource, access control list, identity,
    /// boundary, session.
    pub matched: Vec<MatchedStatement>,
}

/// What was decided.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// It may.
    Allowed(AllowedBy),
    /// A statement says no; the last of [`Decision::matched`] with [`Effect::Deny`].
    ExplicitlyDenied(Layer),
    /// Nothing says yes in this layer, which would have to.
    ImplicitlyDenied(Layer),
    /// Policy state of this layer cannot be read, or not within the work that a decision may be.
    Unreadable(Layer),
}

/// What allows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum AllowedBy {
    /// An account's root user needs no policy.
    Root,
    /// Identity policies, within boundary and session policies; of a KMS key or a role, the
    /// resource's policy delegates to them.
    Identity,
    /// The resource's policy names the principal.
    Resource,
    /// Both, as between accounts.
    IdentityAndResource,
    /// A grant.
    Grant,
    /// An access control list: by itself for who has no account, otherwise with the policies of the
    /// principal's own account.
    Acl,
}

/// A kind of policy in a decision.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Layer {
    /// Policies of the user and its groups, or of the role.
    Identity,
    /// The permissions boundary.
    Boundary,
    /// Policies passed to the session.
    Session,
    /// The policy of the resource.
    Resource,
    /// The grants of a KMS key.
    Grant,
    /// The access control list of a bucket or an object.
    Acl,
}

impl Layer {
    /// AWS's name, as in `no identity-based policy allows`.
    pub const fn policy_type(self) -> &'static str {
        match self {
            Self::Identity => "identity-based policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
            Self::Resource | Self::Grant | Self::Acl => "resource-based policy",
        }
    }

    const fn article(self) -> &'static str {
        match self {
            Self::Identity => "an",
            Self::Boundary | Self::Session | Self::Resource | Self::Grant | Self::Acl => "a",
        }
    }
}

/// A statement that speaks of a request, or a grant of a key or of an access control list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MatchedStatement {
    /// The kind of its policy.
    pub layer: Layer,
    /// The policy's name, empty for the resource's own; of a grant its grantee: an ARN, a canonical
    /// id, or the URI of a group.
    pub policy: Arc<str>,
    /// Its place in the policy, from 0.
    pub index: usize,
    /// Its `Sid`; of a grant of an access control list, its permission.
    pub sid: Option<Arc<str>>,
    /// What it does.
    pub effect: Effect,
}

impl Decision {
    /// Whether it may.
    pub fn is_allowed(&self) -> bool {
        match self.outcome {
            Outcome::Allowed(_) => true,
            Outcome::ExplicitlyDenied(_)
            | Outcome::ImplicitlyDenied(_)
            | Outcome::Unreadable(_) => false,
        }
    }

    /// AWS's text for the caller of `question`, which was denied. Why is told only to callers of the
    /// account that owns the resource.
    pub fn message(&self, question: &Question<'_>) -> String {
        let principal = &question.context.principal;
        let same_account = principal.account() == Some(question.resource.owner);
        let is_s3 = question.resource.arn.starts_with("arn:aws:s3:");
        if matches!(principal, Principal::Anonymous) || (is_s3 && !same_account) {
            return "Access Denied".to_owned();
        }
        let action = question.action;
        let arn = question.resource.arn;
        let quote = if is_s3 { "\"" } else { "" };
        let whose = principal.arn();
        let mut text = format!(
            "User: {whose} is not authorized to perform: {action} on resource: {quote}{arn}{quote}"
        );
        if same_account {
            text.push_str(&Reason(self.outcome, action).to_string());
        }
        text
    }
}

struct Reason<'a>(Outcome, &'a str);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(outcome, action) = self;
        match outcome {
            Outcome::Allowed(_) => Ok(()),
            Outcome::ExplicitlyDenied(layer) => {
                let (article, policy) = (layer.article(), layer.policy_type());
                write!(f, " with an explicit deny in {article} {policy}")
            }
            // That the server's state is damaged is for its log.
            Outcome::ImplicitlyDenied(layer) | Outcome::Unreadable(layer) => {
                let policy = layer.policy_type();
                write!(f, " because no {policy} allows the {action} action")
            }
        }
    }
}
