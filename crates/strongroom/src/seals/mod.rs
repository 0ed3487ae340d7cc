//! Seals: the ways to keep the key ring's unseal key, and what people do with them.
//!
//! ```text
//!   ask (terminal, descriptor) -> means -> slots -> key file | passphrase | shares | key_service | token | tpm
//!   commands (seal list, add, remove, test, status), rekey (seal rekey), give (unseal)
//! ```

pub(crate) mod ask;
pub(crate) mod commands;
pub(crate) mod give;
pub(crate) mod key_service;
pub(crate) mod means;
pub(crate) mod passphrase;
pub(crate) mod refusals;
pub(crate) mod rekey;
pub(crate) mod shares;
pub(crate) mod signed_post;
pub(crate) mod slots;
#[cfg(feature = "pkcs11")]
pub(crate) mod token;
#[cfg(feature = "tpm")]
pub(crate) mod tpm;
