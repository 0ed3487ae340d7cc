//! Who may do what: actions, resources, and the proof that a decision was made.
//!
//! Pure: no I/O, no clock. [`PolicyDocument`] is the language, [`Policy`] a document compiled for
//! decisions, [`evaluate()`] the one evaluator of identity policies, boundaries, session policies,
//! resource policies and grants; [`explain()`] decides alike and names every statement that had a
//! part. Services ask through the [`Authorizer`] trait, which [`PolicyAuthorizer`] implements with
//! the policies that it finds through the [`IdentityPolicies`] port, and demand an [`Authorized`]
//! proof that only an authorizer's consent can make.
//!
//! ```
//! use strongroom_policy::Policy;
//! let policy = Policy::parse(
//!     r#"{"Version": "2012-10-17", "Statement": {
//!         "Effect": "Allow", "Action": "s3:GetObject",
//!         "Resource": "arn:aws:s3:::homes/${aws:username}/*"
//!     }}"#,
//! )?;
//! assert_eq!(policy.condition_keys().into_iter().collect::<Vec<_>>(), ["aws:username"]);
//! # Ok::<(), strongroom_policy::DocumentError>(())
//! ```

mod action;
mod authorize;
pub mod bucket_policy;
mod comparison;
mod compile;
mod conditions;
mod decision;
mod denials;
mod document;
mod evaluate;
mod facts;
mod grants;
mod identity;
mod json;
pub mod key_policy;
mod operator;
mod pattern;
pub mod pinning;
mod policy_authorizer;
mod principals;
mod public;

pub use action::{Action, ActionOnVersion, actions};
pub use authorize::{
    AccessRequest, Authorized, Authorizer, Denied, Grant, GrantSource, Resource, RootOnly,
};
pub use compile::Policy;
pub use conditions::{ConditionSource, Conditions};
pub use decision::{AllowedBy, Decision, Layer, MatchedStatement, Outcome};
pub use denials::{Denial, Denials};
pub use document::{
    ActionElement, Condition, DOCUMENT_MAX_BYTES, DocumentError, Effect, PolicyDocument,
    PolicyVersion, PrincipalElement, PrincipalName, ResourceElement, STATEMENTS_MAX, Statement,
    VALUES_MAX,
};
pub use evaluate::{Question, QuestionedResource, ResourceKind, evaluate, explain};
pub use identity::{
    IdentityPolicies, NamedPolicy, PrincipalAttributes, PrincipalPolicies, Unreadable,
};
pub use key_policy::KeyPolicyError;
pub use operator::{Comparison, ConditionOperator, SetOperator};
pub use pinning::{NoPrincipals, PinError, Pins, PrincipalDirectory};
pub use policy_authorizer::PolicyAuthorizer;
pub use public::is_public;
