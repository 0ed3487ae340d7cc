//! Identities: accounts, users, groups, roles, policies, access keys, and sessions (IAM and STS).
//!
//! ```text
//!   edge -- inputs --> IamService -- pure change --> Account (in memory) -- rows --> MetaStore
//!                          |                             |
//!                      Authorizer                 Snapshot: who signs, which policies
//! ```
//!
//! All identities are in memory, and every change replaces the snapshot as soon as it is durable, so
//! that a revoked right is gone with the next request and authentication never waits for the disk.
//! What is here is **not** the evaluator: which policies hold is answered here, what they say is
//! decided behind [`strongroom_policy::Authorizer`].

mod access_keys;
mod accounts;
mod attachments;
mod authentication;
mod aws_managed;
mod directory;
mod document;
mod elements;
mod error;
mod groups;
mod identities;
mod ids;
mod input;
pub mod limits;
mod managed_policies;
mod markers;
mod names;
mod oidc;
mod policies_of;
mod principals;
mod records;
mod roles;
mod service;
mod simulation;
mod sts;
mod summary;
mod survey;
mod tags;
#[cfg(test)]
mod tests;
mod token;
mod users;

pub use access_keys::{AccessKeyLastUsed, AccessKeyView, CreatedAccessKey, SecretKey};
pub use accounts::{AccountView, CreatedAccount, RootAccessKey};
pub use attachments::{AttachedPolicy, Holder};
pub use authentication::{Signer, TemporarySigner, TokenError};
pub use document::{Document, DocumentKind};
pub use error::IamError;
pub use groups::GroupView;
pub use identities::{Identities, PrimaryAccount};
pub use input::{Page, PageInput, Tag};
pub use managed_policies::{
    CreatePolicyInput, ListPoliciesInput, PolicyEntities, PolicyScope, PolicyUsage,
    PolicyVersionView, PolicyView,
};
pub use oidc::{
    AssumeRoleWithWebIdentityInput, IssuerKeys, IssuerKeysError, KeySet, KeySetError, NoIssuerKeys,
    OidcProviderView, WebIdentitySession,
};
pub use roles::{CreateRoleInput, RoleView};
pub use service::{IamService, IamServicePorts};
pub use simulation::{SimulatePolicyInput, SimulationDecision, SimulationResult};
pub use sts::{
    AssumeRoleInput, AssumedRole, CallerIdentity, FederatedUser, GetFederationTokenInput,
    SessionInput, TemporaryCredentials,
};
pub use summary::{AuthorizationDetail, DetailFilter, GroupDetail, RoleDetail, UserDetail};
pub use survey::{SurveyedAccount, SurveyedRole, SurveyedUser};
pub use tags::Taggable;
pub use users::UserView;
