//! The edge from outside: protocols in front of services on stores in memory and without a socket, the
//! HTTP shell with one, and SigV4 and the parsers by themselves.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what tests share lies outside of the test functions"
)]

mod fixture;
#[expect(dead_code, reason = "shared with the tests of the service")]
#[path = "../../../s3/tests/service/support/keys.rs"]
mod keys;
#[expect(clippy::format_push_string, reason = "it reads better short")]
mod kms;
mod properties;
#[expect(
    clippy::format_push_string,
    clippy::format_collect,
    clippy::semicolon_if_nothing_returned,
    reason = "it reads better short"
)]
mod s3;
#[expect(
    clippy::panic,
    reason = "what tests share lies outside of the test functions"
)]
mod server;
#[expect(clippy::similar_names, reason = "names are those of SigV4")]
mod sigv4;
