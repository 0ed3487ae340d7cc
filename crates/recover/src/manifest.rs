//! The part list of a multipart object (`FORMAT.md`, 17).

use strongroom_crypto::{ObjectIdentity, RowSealer, ServiceKey, keyless_checksum};
use strongroom_types::{AttemptUid, PartNumber};

use crate::Fields;
use crate::records::{ManifestPlace, Place};

const PREAMBLE_LEN_BYTES: usize = 56;
const GROUP_PARTS: usize = 64;
const ENTRY_LEN_BYTES: usize = 51;
const SEAL_LEN_BYTES: usize = 29;
const HEAD_ENTRY_LEN_BYTES: usize = 10;

/// One part.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its number.
    pub number: PartNumber,
    /// The attempt that counts.
    pub attempt: AttemptUid,
    /// Length of its plaintext.
    pub size_bytes: u64,
    /// Where it is.
    pub place: Place,
}

/// Length of the manifest of so many parts.
pub fn len_max_bytes(part_count: u32) -> Option<usize> {
    let count = usize::try_from(part_count)
        .ok()
        .filter(|count| *count <= 10_000)?;
    let groups = count.div_ceil(GROUP_PARTS);
    let head = groups * HEAD_ENTRY_LEN_BYTES + SEAL_LEN_BYTES;
    Some(PREAMBLE_LEN_BYTES + head + count * ENTRY_LEN_BYTES + groups * SEAL_LEN_BYTES)
}

/// Length of the checksum behind a manifest in a blob of its own, in bytes. Those from before there was
/// one have none.
pub const CHECKSUM_LEN_BYTES: usize = 8;

/// What the checksum behind a manifest in a blob says, which needs no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checksum {
    /// It is as it was written, in the file that it was written to.
    Sound,
    /// It is as it was written; the checksum is from before the file's name was in it.
    Nameless,
    /// There is none: it is from before there were checksums.
    Absent,
    /// It is damaged, cut short, or another file's.
    Wrong,
}

/// Holds the manifest in the blob `id` against its checksum.
pub fn checksum(stored: &[u8], part_count: u32, id: &[u8; 16]) -> Checksum {
    let len = len_max_bytes(part_count).unwrap_or(usize::MAX);
    match stored.split_at_checked(len) {
        Some((_, [])) => Checksum::Absent,
        Some((list, sum)) if sum == keyless_checksum(&[list, id].concat()) => Checksum::Sound,
        Some((list, sum)) if sum == keyless_checksum(list) => Checksum::Nameless,
        Some(_) | None => Checksum::Wrong,
    }
}

/// Opens a manifest; `None` if it is another's, or damaged.
pub fn open(
    stored: &[u8],
    place: &ManifestPlace,
    object: &ObjectIdentity,
    key: &ServiceKey,
) -> Option<Vec<Part>> {
    let ManifestPlace { part_count, id, .. } = *place;
    let len = len_max_bytes(part_count)?;
    let is_as_written = match (&place.inline, &place.blob) {
        (None, Some(blob)) => checksum(stored, part_count, blob) != Checksum::Wrong,
        (Some(_), _) | (None, None) => stored.len() == len,
    };
    let stored = stored.get(..len).filter(|_| is_as_written)?;
    let cipher = RowSealer::new(key);
    let (preamble, sealed) = stored.split_at_checked(PREAMBLE_LEN_BYTES)?;
    let expected = [
        b"SRM1",
        object.bucket.as_bytes().as_slice(),
        object.version.as_bytes(),
        &id,
        &part_count.to_be_bytes(),
    ]
    .concat();
    if preamble != expected {
        return None;
    }
    let count = usize::try_from(part_count).ok()?;
    let groups = count.div_ceil(GROUP_PARTS);
    let mut sealed = Fields(sealed);
    let head_key = [preamble, object.key.as_bytes()].concat();
    let head = sealed.bytes(groups * HEAD_ENTRY_LEN_BYTES + SEAL_LEN_BYTES)?;
    let head = cipher.open(1, &head_key, head).ok()?;
    let mut head = Fields(&head);
    let mut parts = Vec::with_capacity(count);
    let mut end = 0_u64;
    for group in 0..groups {
        let entries = (count - group * GROUP_PARTS).min(GROUP_PARTS);
        let index = u32::try_from(group).ok()?.to_be_bytes();
        let group_key = [preamble, &index, object.key.as_bytes()].concat();
        let group = sealed.bytes(entries * ENTRY_LEN_BYTES + SEAL_LEN_BYTES)?;
        let group = cipher.open(2, &group_key, group).ok()?;
        let mut group = Fields(&group);
        for _ in 0..entries {
            let number = PartNumber::new(u64::from(group.u16()?))?;
            let attempt = AttemptUid::from_bytes(group.array()?);
            let size_bytes = group.u64()?;
            end = end.checked_add(size_bytes)?;
            if group.u64()? != end {
                return None;
            }
            let place = match (group.u8()?, group.array()?) {
                (0, _) => Place::Inline,
                (1, blob) => Place::Blob(blob),
                _ => return None,
            };
            parts.push(Part {
                number,
                attempt,
                size_bytes,
                place,
            });
        }
        if head.u64()? != end {
            return None;
        }
        head.u16()?;
    }
    sealed.0.is_empty().then_some(parts)
}
