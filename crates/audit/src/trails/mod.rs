//! Trails: what is delivered where, and the digests that prove it.
//!
//! ```text
//!   ledger --from the trail's cursor--> Selectors --> LogFile (gzip) --> ObjectSink
//!                                                        |
//!                       TrailState: cursor, files of the hour, last digest
//!                                                        |
//!                            Digest, signed (DigestSigner) --> ObjectSink
//! ```
//!
//! [`Delivery::step`] does one thing at a time: it writes down what it is going to put and under which
//! name, puts it, and writes down that it was put. After a crash between, it puts the same again
//! under the same name. So nothing is lost, and nothing is there twice.

mod config;
mod delivery;
mod digest;
mod earlier;
mod log_file;
mod selectors;
mod signing;
mod state;
mod store;
mod under_key;
mod wanted;

pub use config::{Trail, TrailName, TrailProblem, UpdateTrail};
pub(crate) use config::{is_trail_arn, trail_arn};
pub use delivery::{DeliveredObject, Delivery, DeliveryError, Encryption, ObjectSink, Stepped};
pub use digest::{DIGEST_ALGORITHM, signing_text};
pub use earlier::Earlier;
pub use selectors::{
    AdvancedSelector, Condition, DataResource, Field, ReadWrite, Selector, Selectors,
};
pub use signing::{DigestSigner, PublicKey, SigningKeys, fingerprint, pkcs1_of_spki};
pub use state::{Delivered, Pending, Previous, TrailState, Window};
pub use store::{Trails, TrailsError};
pub use under_key::trails_under_key;
pub use wanted::{DataEvents, DataLevel};

#[cfg(test)]
mod tests;
