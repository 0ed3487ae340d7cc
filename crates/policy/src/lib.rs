//! Who may do what: actions, resources, and the proof that a decision was made.
//!
//! Pure: no I/O, no clock. Today's evaluator knows one rule, that of an account without policies:
//! the account's root user may do everything to what the account owns, and nobody else anything.
//! Policy documents, grants and ACLs join it behind the same [`Authorizer`] trait, and every
//! operation already demands an [`Authorized`] proof that only an evaluator can make.

mod action;
mod authorize;
mod conditions;

pub use action::{Action, actions};
pub use authorize::{
    AccessRequest, Authorized, Authorizer, Denied, Grant, GrantSource, Resource, RootOnly,
};
pub use conditions::Conditions;
