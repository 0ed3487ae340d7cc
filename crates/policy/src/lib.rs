//! Who may do what: actions, resources, and the proof that a decision was made.
//!
//! Pure: no I/O, no clock. Today's evaluator knows one rule, that of an account without policies:
//! the account's root user may do everything to what the account owns, and nobody else anything.
//! Policy documents are parsed and checked already ([`PolicyDocument`], [`key_policy`]); their
//! decisions, those of grants and of ACLs join behind the same [`Authorizer`] trait, and every
//! operation already demands an [`Authorized`] proof that only an evaluator can make.

mod action;
mod authorize;
mod conditions;
mod document;
mod json;
pub mod key_policy;
mod operator;
mod pattern;

pub use action::{Action, actions};
pub use authorize::{
    AccessRequest, Authorized, Authorizer, Denied, Grant, GrantSource, Resource, RootOnly,
};
pub use conditions::Conditions;
pub use document::{
    ActionElement, Condition, DOCUMENT_MAX_BYTES, DocumentError, Effect, PolicyDocument,
    PolicyVersion, PrincipalElement, PrincipalName, ResourceElement, STATEMENTS_MAX, Statement,
    VALUES_MAX,
};
pub use key_policy::KeyPolicyError;
pub use operator::{Comparison, ConditionOperator, SetOperator};
