//! The service on stores in memory, asked as the protocol asks it.

#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(clippy::needless_pass_by_value, reason = "tests")]
mod acls;
mod buckets;
mod dependents;
#[expect(clippy::indexing_slicing, reason = "tests")]
mod footers;
mod kms;
mod listing;
#[expect(
    clippy::panic,
    clippy::default_trait_access,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]
mod model;
mod multipart;
mod objects;
mod support;
