//! Decoders that `fuzz/` feeds with arbitrary rows. Nothing here is part of the product.

use crate::keys;
use crate::rows::{
    BlobRow, BucketRow, CurrentRow, GarbageRow, NullVersionRow, PartRow, PendingFootersRow,
    PolicyRow, Record, UploadRow, VersionRow,
};

/// Decodes a row as each of the records; says whether one of them took it.
///
/// # Panics
///
/// When a record that was decoded and encoded again does not decode to the same bytes.
pub fn record(bytes: &[u8]) -> bool {
    [
        decode::<BucketRow>,
        decode::<CurrentRow>,
        decode::<VersionRow>,
        decode::<NullVersionRow>,
        decode::<UploadRow>,
        decode::<PartRow>,
        decode::<BlobRow>,
        decode::<GarbageRow>,
        decode::<PendingFootersRow>,
        decode::<PolicyRow>,
    ]
    .iter()
    .any(|decode| decode(bytes))
}

/// Takes a row's key apart as each of the kinds.
pub fn row_key(bytes: &[u8]) {
    let _ = keys::object_key_of_current(bytes);
    let _ = keys::parse_version(bytes);
    let _ = keys::parse_upload(bytes);
    let _ = keys::parse_part(bytes);
    let _ = keys::successor_of_prefix(bytes);
}

fn decode<R: Record>(bytes: &[u8]) -> bool {
    let Some(record) = <R as Record>::decode(bytes) else {
        return false;
    };
    let encoded = Record::encode(&record);
    assert!(
        <R as Record>::decode(&encoded).is_some_and(|again| Record::encode(&again) == encoded),
        "a record changes when it is written again"
    );
    true
}
