//! Signed requests to a key service or to S3, and their answers: SigV4, TLS and HTTP/1.1.

mod credentials;
mod endpoint;
mod exchange;
mod signature;

pub(crate) use self::credentials::Credentials;
pub(crate) use self::endpoint::Endpoint;
pub(crate) use self::exchange::{Exchange, exchange};
pub(crate) use self::signature::{S3Request, signed, signed_for_s3};
