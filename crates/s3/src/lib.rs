//! The S3 service: buckets, objects, versions, multipart uploads, and how each is encrypted.
//!
//! Everything that S3 means is here; nothing of how S3 is spoken. HTTP, XML and AWS's error codes
//! belong to `strongroom-api`; ciphers to `strongroom-crypto`; durability to the adapters behind
//! `strongroom-ports`.
//!
//! ```text
//!  api -- Entry<A> (who, where, proof) + input --> S3 -- rows, sealed --> MetaStore
//!                                                  |---- streams, sealed --> BlobStore
//! ```
//!
//! Storage calls block, so every operation hops to a worker thread once (or once per window of a
//! long body) and is async only around that.

mod acl_operations;
mod acls;
mod arrival;
mod attributes;
mod body;
mod bucket_keys;
mod bucket_policy;
mod buckets;
mod checksum_seal;
mod collector;
mod conditions;
mod convert;
mod data_keys;
mod dependents;
mod digest;
mod entry;
mod error;
mod footers;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod input;
mod inquiry;
mod integrity;
mod keys;
mod kms_keys;
mod list_objects;
mod list_versions;
mod listing;
mod logging;
mod lookup;
mod manifest;
mod multipart_complete;
mod multipart_copy;
mod multipart_create;
mod multipart_list;
mod multipart_part;
mod object_copy;
mod object_delete;
mod object_get;
mod object_put;
mod object_tagging;
mod object_update_encryption;
mod output;
mod publish;
mod recorded;
mod recovery;
mod reencryption;
mod resident;
mod rewrap;
mod rows;
mod service;
mod stream_in;
mod stream_out;
mod told;
mod windows;
mod worker;

pub use acls::{GranteePlace, WantedAcl};
pub use arrival::{Arrival, NAMED_KMS_KEY};
pub use body::{BodyError, BodySource, EmptyBody, ObjectBody, ReadError};
pub use bucket_policy::{BucketPolicy, PolicyUid, PublicAccessBlock};
pub use collector::{CollectReport, SweepReport};
pub use dependents::{
    BucketDependents, DependentCounts, Dependents, DependentsPage, DependentsPlace, KeyNames,
};
pub use entry::Entry;
pub use error::{AclRefusal, ReEncryptionRefusal, S3Error};
pub use input::*;
pub use inquiry::{KeptEncryption, KeptObject};
pub use logging::{
    BucketLogging, LOGGING_SERVICE, LogKeyFormat, LoggedBucket, TargetRefusal, log_source,
};
pub use object_update_encryption::encrypted_with;
pub use output::*;
pub use recorded::Recorded;
pub use reencryption::{ReEncryptionJob, ReEncryptionReport, SkippedVersion, VersionCount};
pub use rewrap::WrappedPlace;
pub use service::{S3, S3Options, S3Ports};
pub use strongroom_rows::Custody;
pub use told::ChangeRecord;
