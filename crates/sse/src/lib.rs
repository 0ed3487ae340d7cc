//! The encryption decision: request headers and bucket default in, a plan out.
//!
//! Pure. Headers arrive raw, after authorization (S3 authorizes the request as sent, before it
//! interprets a single encryption header), and are validated here in S3's order with a typed error
//! per rule. What AWS calls each error, and its text, is the edge's table.
//!
//! Not here: ciphers (`strongroom-crypto`) and the key service's answers.

mod context;
mod customer;
mod plan;

pub use context::{ARN_PAIR, ClientContext};
pub use customer::{CustomerHeaders, CustomerKeyInput};
pub use plan::{
    Circumstances, SseError, SseHeaders, WritePlan, allow_kms, plan_write, read_key,
    refuse_write_headers_on_read,
};
