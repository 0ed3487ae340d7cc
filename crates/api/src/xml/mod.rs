//! XML as S3 speaks it: a small writer, and a strict reader into a small tree.

mod read;
mod write;

pub use read::{Element, Fields, XmlError, parse};
pub use write::{S3_NAMESPACE, XmlWriter, url_encoded};
