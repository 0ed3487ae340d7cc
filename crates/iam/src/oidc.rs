//! OpenID Connect: whose tokens are believed, and what a token must be to be believed.
//!
//! ```text
//!   providers  the issuers that an account trusts (IAM)
//!   keys       an issuer's keys, and the port that finds them
//!   token      a token's form, signature and claims; pure
//!   session    AssumeRoleWithWebIdentity (STS)
//! ```

mod keys;
mod providers;
mod session;
mod token;

pub use keys::{IssuerKeys, IssuerKeysError, KeySet, KeySetError, NoIssuerKeys};
pub use providers::OidcProviderView;
pub use session::{AssumeRoleWithWebIdentityInput, WebIdentitySession};
