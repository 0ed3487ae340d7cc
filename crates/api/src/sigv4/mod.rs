//! AWS Signature Version 4: who signed a request, and what the signature covers.
//!
//! One core for every service on the port. The credential scope names the service; S3 hashes
//! its path as sent and its body as `x-amz-content-sha256` says, every other service normalises the
//! path and signs the hash of the body, which the caller computes after capping its size.
//!
//! ```text
//!   peek_service -> S3:    Verifier::verify                -> Verified { payload: Sha256 | Chunked... }
//!                   other: Verifier::verify_with_body_hash -> Verified
//!   POST form    ->        Verifier::verify_post           -> VerifiedPost
//! ```
//!
//! Nothing here reads a body, and no error carries a secret.
//!
//! Source: IAM User Guide, "AWS Signature Version 4 for API requests"; S3 API Reference,
//! "Authenticating Requests (AWS Signature Version 4)".

mod authorization;
mod canonical;
mod chunk;
mod credential;
mod error;
mod post_policy;
mod scope;
mod signing_key;
pub mod uri;
mod verifier;

pub use authorization::{Authorization, parse_authorization, peek_service};
pub use canonical::host;
pub use chunk::ChunkVerifier;
pub use credential::{Credential, CredentialSource, SessionToken, SigningSecret, TemporaryError};
pub use error::{AuthAnswer, AuthError, Dialect, Expired, Mismatch, ScopePlace, Skew};
pub use post_policy::{PostPolicy, VerifiedPost};
pub use scope::{Scope, Service};
pub use verifier::{Payload, Verified, Verifier};
