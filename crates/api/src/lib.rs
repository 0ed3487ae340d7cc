//! The edge: HTTP, TLS, SigV4, the S3 protocol and its error table.
//!
//! What is here turns bytes of strangers into typed requests, and typed answers back into bytes.
//! It is **not** the place for rules about objects, keys or policies: those live behind the ports.
//!
//! ```text
//!   socket -> server (TLS, HTTP/1.1, HTTP/2) -> front (which service) -> sigv4 (who asks)
//!          -> s3, kms, iam, sts, cloudtrail (which operation) -> service
//!             chunked, form, xml, json, query (what was sent)
//! ```

mod access_log;
#[cfg(test)]
mod authorization_table;
pub mod chunked;
pub mod cloudtrail;
mod error;
mod explainer;
pub mod form;
mod forwarded;
mod front;
mod gate;
pub mod iam;
mod intake;
mod json;
pub mod kms;
pub mod limits;
mod query;
mod recording;
pub mod s3;
#[cfg(test)]
mod samples;
pub mod server;
pub mod sigv4;
pub mod sts;
mod worker;
pub mod xml;

pub use access_log::{AccessLine, AccessLog};
pub use explainer::{AUTHORIZATION_MESSAGE, Explainer};
pub use forwarded::{Cidr, TrustedProxies};
pub use front::Front;
pub use gate::Gate;
pub use intake::{EdgeOptions, EdgePorts};
pub use recording::Recorder;
