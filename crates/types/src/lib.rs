//! The nouns of the field, parsed once at the edge and trusted everywhere behind it.
//!
//! This crate is pure: no I/O, no clock, no randomness of its own ([`Entropy`] is the port through
//! which random bytes arrive). It is **not** a place for helpers: what is here is a thing that AWS,
//! S3 or our format has a name for.
//!
//! ```
//! use strongroom_types::BucketName;
//! assert!(BucketName::parse("my-bucket").is_ok());
//! assert!(BucketName::parse("My_Bucket").is_err());
//! ```

mod account;
mod acl;
mod checksum;
mod entropy;
mod etag;
mod ids;
pub mod kms;
pub mod limits;
mod metadata;
mod names;
mod range;
mod request;
mod session;
mod sse;
mod tags;
mod timestamp;
mod version;

pub use account::{AccessKeyId, AccountId, CanonicalId, IdentityError, Region};
pub use acl::{
    Acl, AclGrant, AclGroup, AclPermission, CannedAcl, Grantee, ObjectOwnership, TooManyGrants,
};
pub use checksum::{Checksum, ChecksumAlgorithm, ChecksumError, ChecksumType};
pub use entropy::Entropy;
pub use etag::ETag;
pub use ids::{AttemptUid, BlobId, BucketUid, VersionUid};
pub use metadata::{ObjectMetadata, StorageClass};
pub use names::{BucketName, BucketNameError, ObjectKey, ObjectKeyError, UploadId};
pub use range::{ByteRange, RangeSpec};
pub use request::{
    Principal, RequestContext, RequestId, Sent, ServiceSource, TlsVersion, Transport,
};
pub use session::{Session, SessionKind, WebIdentity};
pub use sse::{BlockedEncryption, BucketEncryption, SseAlgorithm};
pub use tags::{Tag, TagError, TagSet};
pub use timestamp::{Timestamp, TimestampError};
pub use version::{PartNumber, VersionId, VersionIdError};
