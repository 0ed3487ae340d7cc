//! Every limit of the S3 vocabulary, with its unit and source.

/// Shortest bucket name, in bytes. S3's rules say 3; two-letter names such as `w1` are accepted on
/// purpose, since they are handy on one's own server and cannot collide with anybody's.
pub const BUCKET_NAME_MIN_BYTES: usize = 2;
/// Longest bucket name, in bytes (S3 bucket naming rules).
pub const BUCKET_NAME_MAX_BYTES: usize = 63;
/// Longest object key, in bytes (S3 User Guide, "Naming objects").
pub const OBJECT_KEY_MAX_BYTES: usize = 1024;
/// Largest object that one PUT may create, in bytes (S3 quotas: 5 GiB).
pub const SINGLE_PUT_MAX_BYTES: u64 = 5 << 30;
/// Largest object, in bytes (S3 quotas since December 2025: 50 TB; parts of 5 GiB times 10,000).
pub const OBJECT_MAX_BYTES: u64 = PART_MAX_BYTES * 10_000;
/// Largest part, in bytes (S3 multipart limits: 5 GiB).
pub const PART_MAX_BYTES: u64 = 5 << 30;
/// Smallest part but the last, in bytes (S3 multipart limits: 5 MiB).
pub const PART_MIN_BYTES: u64 = 5 << 20;
/// Highest part number (S3 multipart limits).
pub const PART_NUMBER_MAX: u16 = 10_000;
/// User metadata, sum of the names' and values' bytes (S3 User Guide, "User-defined metadata": 2 KB).
pub const USER_METADATA_MAX_BYTES: usize = 2048;
/// Tags of an object (S3 User Guide, "Object tagging").
pub const OBJECT_TAGS_MAX: usize = 10;
/// Tags of a bucket (API reference, PutBucketTagging).
pub const BUCKET_TAGS_MAX: usize = 50;
/// Longest tag key, in characters.
pub const TAG_KEY_MAX_CHARS: usize = 128;
/// Longest tag value, in characters.
pub const TAG_VALUE_MAX_CHARS: usize = 256;
/// Keys in one page of a listing (API reference, ListObjectsV2).
pub const LIST_PAGE_MAX: u32 = 1000;
/// Objects in one DeleteObjects request (API reference).
pub const DELETE_OBJECTS_MAX: usize = 1000;
/// Buckets in one account (S3 quotas: 10,000 by default).
pub const BUCKETS_PER_ACCOUNT_MAX: usize = 10_000;
/// Grants in one access control list (S3 User Guide, "Access control list (ACL) overview").
pub const ACL_GRANTS_MAX: usize = 100;
