//! How rows are keyed. Order is meaning: a listing is a scan.
//!
//! Object keys hold arbitrary bytes, so inside a longer row key they are escaped in a way that keeps
//! their order: `00` becomes `00 FF`, and `00 00` ends the key. No escaped key is a prefix of
//! another's rows.
//!
//! ```text
//! BUCKETS        bucket name
//! CURRENT        bucket_uid(16) || object key (raw: it is the last component)
//! VERSIONS       bucket_uid(16) || escaped key || BE64(NOT sequence)        newest first
//! NULL_VERSIONS  bucket_uid(16) || object key
//! UPLOADS        bucket_uid(16) || escaped key || upload id(24)             oldest first
//! PARTS          version_uid(16) || BE16(part number)
//! INLINE         version_uid(16), or version_uid(16) || attempt_uid(16) for a part
//! BLOBS          blob_id(16)
//! GARBAGE        kind(1) || id(16)
//! BUCKET_POLICIES  bucket_uid(16) || policy uid(16)
//! ```

use bytes::Bytes;
use strongroom_types::{
    AttemptUid, BlobId, BucketName, BucketUid, ObjectKey, PartNumber, UploadId, VersionUid,
};

use crate::PolicyUid;

/// The first key behind `row_key`.
pub(crate) fn behind(row_key: &[u8]) -> Bytes {
    [row_key, &[0]].concat().into()
}

/// Key of a bucket's row.
pub(crate) fn bucket(name: &BucketName) -> Bytes {
    Bytes::copy_from_slice(name.as_str().as_bytes())
}

/// Key of a bucket's policy.
pub(crate) fn bucket_policy(bucket: BucketUid, policy: PolicyUid) -> Bytes {
    [*bucket.as_bytes(), *policy.as_bytes()].concat().into()
}

/// Key of the current row of an object.
pub(crate) fn current(bucket: BucketUid, key: &ObjectKey) -> Bytes {
    [bucket.as_bytes(), key.as_bytes()].concat().into()
}

/// First key of the current rows whose object keys start at `from` (inclusive).
pub(crate) fn current_from(bucket: BucketUid, from: &[u8]) -> Bytes {
    [bucket.as_bytes(), from].concat().into()
}

/// The object key of a current row.
pub(crate) fn object_key_of_current(row_key: &[u8]) -> Option<&str> {
    std::str::from_utf8(row_key.get(16..)?).ok()
}

/// Key of one version.
pub(crate) fn version(bucket: BucketUid, key: &ObjectKey, sequence: u64) -> Bytes {
    let mut row_key = versions_prefix(bucket, key.as_bytes());
    row_key.extend_from_slice(&(!sequence).to_be_bytes());
    row_key.into()
}

/// The range of all versions of one key.
pub(crate) fn versions_of(bucket: BucketUid, key: &ObjectKey) -> (Bytes, Bytes) {
    let start = versions_prefix(bucket, key.as_bytes());
    let end = successor_of_prefix(&start);
    (start.into(), end)
}

/// The range of the versions of one key that are newer than `sequence`.
pub(crate) fn versions_newer_than(
    bucket: BucketUid,
    key: &ObjectKey,
    sequence: u64,
) -> (Bytes, Bytes) {
    (
        versions_prefix(bucket, key.as_bytes()).into(),
        version(bucket, key, sequence),
    )
}

/// The start of the version rows of object keys from `from` (inclusive, raw bytes) on.
pub(crate) fn versions_from(bucket: BucketUid, from: &[u8]) -> Bytes {
    // Without the terminator: it sorts before every key that starts with, or follows, `from`.
    let mut row_key = bucket.as_bytes().to_vec();
    escape_into(&mut row_key, from);
    row_key.into()
}

/// The object key and sequence of a version row.
pub(crate) fn parse_version(row_key: &[u8]) -> Option<(String, u64)> {
    let (head, sequence) = row_key.get(16..)?.split_last_chunk::<8>()?;
    Some((unescape(head)?, !u64::from_be_bytes(*sequence)))
}

/// Key of the row that points to a key's null version.
pub(crate) fn null_version(bucket: BucketUid, key: &ObjectKey) -> Bytes {
    current(bucket, key)
}

/// Key of an upload's row.
pub(crate) fn upload(bucket: BucketUid, key: &ObjectKey, id: UploadId) -> Bytes {
    let mut row_key = versions_prefix(bucket, key.as_bytes());
    row_key.extend_from_slice(&id.to_bytes());
    row_key.into()
}

/// The start of the upload rows of object keys from `from` (inclusive, raw bytes) on.
pub(crate) fn uploads_from(bucket: BucketUid, from: &[u8]) -> Bytes {
    versions_from(bucket, from)
}

/// The object key and id of an upload row.
pub(crate) fn parse_upload(row_key: &[u8]) -> Option<(String, UploadId)> {
    let (head, id) = row_key.get(16..)?.split_last_chunk::<24>()?;
    let (time, uid) = id.split_first_chunk::<8>()?;
    let uid: [u8; 16] = uid.try_into().ok()?;
    let id = UploadId {
        initiated: strongroom_types::Timestamp::from_millis(u64::from_be_bytes(*time)),
        version_uid: VersionUid::from_bytes(uid),
    };
    Some((unescape(head)?, id))
}

/// All rows of a bucket in a table whose keys start with its uid.
pub(crate) fn whole_bucket(bucket: BucketUid) -> (Bytes, Bytes) {
    let start = bucket.as_bytes().to_vec();
    let end = successor_of_prefix(&start);
    (start.into(), end)
}

/// Key of a part.
pub(crate) fn part(version: VersionUid, number: PartNumber) -> Bytes {
    [version.as_bytes().as_slice(), &number.value().to_be_bytes()]
        .concat()
        .into()
}

/// The range of all parts of an upload.
pub(crate) fn parts_of(version: VersionUid) -> (Bytes, Bytes) {
    let start = version.as_bytes().to_vec();
    let end = successor_of_prefix(&start);
    (start.into(), end)
}

/// The part number of a part's row.
pub(crate) fn parse_part(row_key: &[u8]) -> Option<PartNumber> {
    let (_, number) = row_key.split_last_chunk::<2>()?;
    PartNumber::new(u64::from(u16::from_be_bytes(*number)))
}

/// Key of the inline stream of a version.
pub(crate) fn inline(version: VersionUid) -> Bytes {
    Bytes::copy_from_slice(version.as_bytes())
}

/// Key of the inline stream of a part.
pub(crate) fn inline_part(version: VersionUid, attempt: AttemptUid) -> Bytes {
    [version.as_bytes().as_slice(), attempt.as_bytes()]
        .concat()
        .into()
}

/// Key of a blob's row.
pub(crate) fn blob(id: BlobId) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// What a garbage row asks the collector to remove, or to complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Garbage {
    /// One blob file.
    Blob(BlobId),
    /// All parts of an aborted upload or a deleted multipart object.
    Parts(VersionUid),
    /// All uploads in progress of a deleted bucket.
    BucketUploads(BucketUid),
    /// The data key as it was wrapped before, in the footers of a version's blobs.
    Footers(VersionUid),
}

impl Garbage {
    /// Key of the garbage row.
    pub(crate) fn key(self) -> Bytes {
        let (kind, id) = match &self {
            Self::Blob(id) => (1, id.as_bytes()),
            Self::Parts(id) => (2, id.as_bytes()),
            Self::BucketUploads(id) => (3, id.as_bytes()),
            Self::Footers(id) => (4, id.as_bytes()),
        };
        [&[kind][..], id].concat().into()
    }

    /// What a garbage row means.
    pub(crate) fn parse(row_key: &[u8]) -> Option<Self> {
        let (kind, id) = row_key.split_first()?;
        let id: [u8; 16] = id.try_into().ok()?;
        match kind {
            1 => Some(Self::Blob(BlobId::from_bytes(id))),
            2 => Some(Self::Parts(VersionUid::from_bytes(id))),
            3 => Some(Self::BucketUploads(BucketUid::from_bytes(id))),
            4 => Some(Self::Footers(VersionUid::from_bytes(id))),
            _ => None,
        }
    }
}

/// The smallest byte string behind every string that starts with `prefix`; empty only for a prefix
/// of nothing but `FF`, which no row key is.
pub(crate) fn successor_of_prefix(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            break;
        }
    }
    end.into()
}

fn versions_prefix(bucket: BucketUid, key: &[u8]) -> Vec<u8> {
    let mut row_key = bucket.as_bytes().to_vec();
    escape_into(&mut row_key, key);
    row_key.extend_from_slice(&[0, 0]);
    row_key
}

fn escape_into(out: &mut Vec<u8>, key: &[u8]) {
    for byte in key {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xFF);
        }
    }
}

fn unescape(escaped: &[u8]) -> Option<String> {
    let escaped = escaped.strip_suffix(&[0, 0])?;
    let mut key = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter();
    while let Some(byte) = bytes.next() {
        key.push(*byte);
        if *byte == 0 && bytes.next() != Some(&0xFF) {
            return None;
        }
    }
    String::from_utf8(key).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BUCKET: BucketUid = BucketUid::from_bytes([7; 16]);

    fn key(text: &str) -> ObjectKey {
        ObjectKey::parse(text).unwrap()
    }

    proptest! {
        #[test]
        fn version_rows_sort_by_key_then_newest_first(
            a in "[\\x00-\\x02a]{1,6}", b in "[\\x00-\\x02a]{1,6}", i in 0_u64..9, j in 0_u64..9,
        ) {
            let rows = version(BUCKET, &key(&a), i).cmp(&version(BUCKET, &key(&b), j));
            prop_assert_eq!(rows, a.as_bytes().cmp(b.as_bytes()).then(j.cmp(&i)));
        }

        #[test]
        fn version_rows_parse_back(text in "\\PC{1,20}|[\\x00-\\x02]{1,5}", sequence: u64) {
            let parsed = parse_version(&version(BUCKET, &key(&text), sequence));
            prop_assert_eq!(parsed, Some((text, sequence)));
        }

        #[test]
        fn ranges_hold_their_rows_and_no_others(a in "[\\x00-\\x01a]{1,4}", b in "[\\x00-\\x01a]{1,4}", s in 1_u64..9) {
            let (start, end) = versions_of(BUCKET, &key(&a));
            let row = version(BUCKET, &key(&b), s);
            prop_assert_eq!(start <= row && row < end, a == b);
        }
    }

    #[test]
    fn successors_carry() {
        assert_eq!(successor_of_prefix(&[1, 0xFF, 0xFF]).as_ref(), &[2]);
        assert_eq!(successor_of_prefix(&[1, 2]).as_ref(), &[1, 3]);
    }

    #[test]
    fn garbage_and_uploads_parse_back() {
        let id = UploadId {
            initiated: strongroom_types::Timestamp::from_millis(5),
            version_uid: VersionUid::from_bytes([3; 16]),
        };
        assert_eq!(
            parse_upload(&upload(BUCKET, &key("a/\0b"), id)),
            Some(("a/\0b".to_owned(), id))
        );
        for garbage in [
            Garbage::Blob(BlobId::from_bytes([1; 16])),
            Garbage::Parts(VersionUid::from_bytes([2; 16])),
            Garbage::BucketUploads(BUCKET),
            Garbage::Footers(VersionUid::from_bytes([4; 16])),
        ] {
            assert_eq!(Garbage::parse(&garbage.key()), Some(garbage));
        }
    }
}
