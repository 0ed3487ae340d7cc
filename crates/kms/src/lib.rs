//! The key service: keys, aliases, grants, and what is done with them.
//!
//! Everything that AWS KMS means is here; nothing of how it is spoken. JSON and AWS's wire errors
//! belong to `strongroom-api`; ciphers to `strongroom-crypto` and `strongroom-asymmetric`;
//! durability to the adapters behind `strongroom-ports`.
//!
//! ```text
//!  api --- input, RequestContext ---> KeyService --- rows, sealed ---> MetaStore
//!  s3 ---- KeyAuthority ------------>     |--------- shred keys -----> ShredStore
//!                                         |--------- decisions ------> Authorizer
//! ```
//!
//! Calls block on storage: call from a worker thread.

#![expect(
    clippy::needless_pass_by_value,
    reason = "inputs are given away: several hold secrets, and are wiped when the call ends"
)]

mod access;
mod aliases;
mod asymmetric_use;
mod authority;
mod cache;
mod clock_guard;
mod conditions;
mod data_key_pairs;
mod destruction;
mod due;
mod encrypt;
mod endings;
mod error;
mod fixed_policies;
#[cfg(test)]
mod fixture;
mod grants;
mod import;
mod input;
mod inquiry;
mod key;
mod key_create;
mod key_states;
mod keys;
mod lease;
mod managed;
mod markers;
mod materials;
mod operation;
mod output;
mod policies;
mod rewrap;
mod rotation;
mod rows;
mod service;
mod standing;
mod states;
mod tags;
#[cfg(test)]
mod tests;
mod trail;
mod usage;

pub use destruction::DueWork;
pub use endings::{ENDING_WINDOWS_DAYS, NearEndings};
pub use error::KmsError;
pub use input::*;
pub use inquiry::KeyFacts;
pub use output::*;
pub use service::{KeyService, KeyServiceOptions, KeyServicePorts};
pub use standing::{KeyStanding, MaterialStanding};
