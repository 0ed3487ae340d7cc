//! The authenticated part list of a completed multipart object.
//!
//! It is sealed with a service key, because SSE-C uploads are completed without the customer's key,
//! and in groups of fixed length, so that a small range of an object of 10,000 parts reads a few
//! KiB. `FORMAT.md` has the layout byte by byte:
//!
//! ```text
//! manifest = preamble(56) || sealed head || sealed group_0 || ... || sealed group_(n-1)
//! head     = per group: BE64 end offset of its last part || BE16 number of its first part
//! group    = 64 entries (the last one 1 to 64)
//! entry    = BE16 number || attempt(16) || BE64 size || BE64 end offset || place(1) || blob(16)
//! ```
//!
//! Head and groups carry, as associated data, the whole preamble, the object's identity and their
//! place; the preamble is compared with what the sealed version row says. So no entry and no group
//! can be swapped, dropped, doubled, or taken from another manifest, not even from an earlier one
//! of the same upload.

use strongroom_crypto::{ObjectIdentity, ROW_OVERHEAD_BYTES, RowSealer};
use strongroom_ports::Entropy;
use strongroom_types::{AttemptUid, BlobId, ByteRange, PartNumber, VersionUid};

use crate::integrity::Damage;
use crate::rows::{ManifestRow, PlaceRow};
use crate::{S3, S3Error};

/// Manifests up to this length live in the version's row.
pub(crate) const MANIFEST_INLINE_MAX_BYTES: usize = 8 << 10;

/// One part, as a manifest lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ManifestPart {
    pub number: PartNumber,
    pub attempt: AttemptUid,
    pub size_bytes: u64,
    pub place: PlaceRow,
}

/// A part of a stored object, and which of its bytes are wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PartSlice {
    pub number: PartNumber,
    pub attempt: AttemptUid,
    pub place: PlaceRow,
    /// Length of the part's plaintext, in bytes.
    pub part_size: u64,
    /// The wanted bytes, counted from the part's first; never empty.
    pub range: ByteRange,
}

/// Seals the part list of an object. `parts` are in the order in which they make up the object.
pub(crate) fn seal_manifest(
    sealer: &RowSealer,
    object: &ObjectIdentity,
    id: [u8; 16],
    parts: &[ManifestPart],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, S3Error> {
    let part_count = u32::try_from(parts.len()).map_err(|_| S3Error::MalformedPartList)?;
    let place = Binding::new(object, id, part_count);
    let mut head = Vec::with_capacity(place.group_count() * HEAD_ENTRY_LEN);
    let mut groups = Vec::new();
    let mut end_offset = 0_u64;
    for (index, group) in (0_u32..).zip(parts.chunks(GROUP_PARTS)) {
        let mut entries = Vec::with_capacity(group.len() * ENTRY_LEN);
        for part in group {
            end_offset = end_offset
                .checked_add(part.size_bytes)
                .ok_or(S3Error::MalformedPartList)?;
            encode_entry(&mut entries, part, end_offset);
        }
        let first = group.first().map_or(0, |part| part.number.value());
        head.extend_from_slice(&end_offset.to_be_bytes());
        head.extend_from_slice(&first.to_be_bytes());
        groups.extend(sealer.seal(GROUP, &place.of_group(index), &entries, entropy));
    }
    let mut manifest = place.preamble.clone();
    manifest.extend(sealer.seal(HEAD, &place.of_head(), &head, entropy));
    manifest.extend(groups);
    Ok(manifest)
}

impl S3 {
    /// The parts that hold `range` of a multipart object, in order. Reads the head of the manifest
    /// and the groups that the range touches, nothing else.
    pub(crate) fn parts_for_range(
        &self,
        uid: VersionUid,
        identity: &ObjectIdentity,
        row: &ManifestRow,
        range: ByteRange,
    ) -> Result<Vec<PartSlice>, S3Error> {
        self.with_manifest(uid, identity, row, |manifest| manifest.slices(range))
    }

    /// The bytes of the object that the part of that number holds; `None` without such a part.
    pub(crate) fn part_extent(
        &self,
        uid: VersionUid,
        identity: &ObjectIdentity,
        row: &ManifestRow,
        number: PartNumber,
    ) -> Result<Option<ByteRange>, S3Error> {
        self.with_manifest(uid, identity, row, |manifest| manifest.extent(number))
    }

    /// All parts of a multipart object, in order.
    pub(crate) fn manifest_parts(
        &self,
        uid: VersionUid,
        identity: &ObjectIdentity,
        row: &ManifestRow,
    ) -> Result<Vec<ManifestPart>, S3Error> {
        self.with_manifest(uid, identity, row, OpenManifest::parts)
    }

    /// Reads a manifest. The caller holds a lease on the version's parts: what is missing then is
    /// damage.
    fn with_manifest<T>(
        &self,
        uid: VersionUid,
        identity: &ObjectIdentity,
        row: &ManifestRow,
        read: impl FnOnce(&OpenManifest) -> Result<T, S3Error>,
    ) -> Result<T, S3Error> {
        let source = match (&row.inline, row.blob) {
            (Some(bytes), None) => Ok(Source::Inline(bytes.clone())),
            (None, Some(_)) if self.is_resident() => return Err(S3Error::NotInMemory),
            (None, Some(blob)) => {
                let opened = self.ports.blobs.open(BlobId::from_bytes(blob));
                opened.map(Source::Blob).map_err(S3Error::from)
            }
            (Some(_), Some(_)) | (None, None) => Err(S3Error::Damaged),
        };
        let sealer = RowSealer::new(self.ports.custody.manifest_key());
        let binding = Binding::new(identity, row.id, row.part_count);
        source
            .and_then(|source| OpenManifest::open(sealer, binding, source))
            .and_then(|manifest| {
                if uid == identity.version {
                    read(&manifest)
                } else {
                    Err(S3Error::Damaged)
                }
            })
            .map_err(|error| {
                if error != S3Error::Damaged {
                    return error;
                }
                let blob = row.blob.map(BlobId::from_bytes);
                self.damaged(
                    identity,
                    Damage {
                        what: "manifest",
                        blob,
                        segment: None,
                    },
                )
            })
    }
}

/// Where the bytes of a manifest are.
enum Source {
    Inline(Vec<u8>),
    Blob(std::sync::Arc<dyn strongroom_ports::BlobReader>),
}

impl Source {
    fn read(&self, offset: usize, len: usize) -> Result<Vec<u8>, S3Error> {
        let end = offset.checked_add(len).ok_or(S3Error::Damaged)?;
        match self {
            Self::Inline(bytes) => bytes
                .get(offset..end)
                .map(<[u8]>::to_vec)
                .ok_or(S3Error::Damaged),
            Self::Blob(blob) => {
                let (at, end) = (to_u64(offset)?, to_u64(end)?);
                if end > blob.len_bytes() {
                    return Err(S3Error::Damaged);
                }
                let mut bytes = vec![0; len];
                blob.read_at(at, &mut bytes)?;
                Ok(bytes)
            }
        }
    }
}

/// A manifest whose head has verified.
struct OpenManifest {
    sealer: RowSealer,
    binding: Binding,
    source: Source,
    head: Vec<GroupHead>,
}

struct GroupHead {
    end_offset: u64,
    first_number: u16,
}

/// A part and the bytes of the object that it holds.
struct PlacedPart {
    entry: ManifestPart,
    start: u64,
    end: u64,
}

impl OpenManifest {
    fn open(sealer: RowSealer, binding: Binding, source: Source) -> Result<Self, S3Error> {
        if source.read(0, PREAMBLE_LEN)? != binding.preamble {
            return Err(S3Error::Damaged);
        }
        let stored = source.read(PREAMBLE_LEN, binding.sealed_head_len())?;
        let plain = sealer
            .open(HEAD, &binding.of_head(), &stored)
            .map_err(|_| S3Error::Damaged)?;
        let head = plain
            .chunks_exact(HEAD_ENTRY_LEN)
            .map(|entry| {
                let mut fields = Fields(entry);
                Some(GroupHead {
                    end_offset: fields.u64()?,
                    first_number: fields.u16()?,
                })
            })
            .collect::<Option<Vec<_>>>()
            .ok_or(S3Error::Damaged)?;
        Ok(Self {
            sealer,
            binding,
            source,
            head,
        })
    }

    fn slices(&self, range: ByteRange) -> Result<Vec<PartSlice>, S3Error> {
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        // Groups that end before the range starts are not read.
        let first = self
            .head
            .partition_point(|group| group.end_offset <= range.start);
        let mut slices = Vec::new();
        let mut covered_to = range.start;
        for index in first..self.head.len() {
            for PlacedPart { entry, start, end } in self.group(index)? {
                let wanted = ByteRange {
                    start: range.start.max(start),
                    end: range.end.min(end),
                };
                if wanted.start >= wanted.end {
                    continue;
                }
                covered_to = wanted.end;
                slices.push(PartSlice {
                    number: entry.number,
                    attempt: entry.attempt,
                    place: entry.place,
                    part_size: entry.size_bytes,
                    range: ByteRange {
                        start: wanted.start - start,
                        end: wanted.end - start,
                    },
                });
            }
            if covered_to >= range.end {
                break;
            }
        }
        if covered_to == range.end {
            Ok(slices)
        } else {
            Err(S3Error::Damaged)
        }
    }

    fn extent(&self, number: PartNumber) -> Result<Option<ByteRange>, S3Error> {
        let behind = self
            .head
            .partition_point(|group| group.first_number <= number.value());
        let Some(index) = behind.checked_sub(1) else {
            return Ok(None);
        };
        let found = self
            .group(index)?
            .into_iter()
            .find(|part| part.entry.number == number);
        Ok(found.map(|part| ByteRange {
            start: part.start,
            end: part.end,
        }))
    }

    fn parts(&self) -> Result<Vec<ManifestPart>, S3Error> {
        let mut parts = Vec::with_capacity(self.binding.part_count);
        for index in 0..self.head.len() {
            parts.extend(self.group(index)?.into_iter().map(|part| part.entry));
        }
        Ok(parts)
    }

    fn group(&self, index: usize) -> Result<Vec<PlacedPart>, S3Error> {
        let mut start = match index.checked_sub(1) {
            None => 0,
            Some(before) => self.head.get(before).ok_or(S3Error::Damaged)?.end_offset,
        };
        let (offset, len) = self.binding.sealed_group(index);
        let stored = self.source.read(offset, len)?;
        let number = u32::try_from(index).map_err(|_| S3Error::Damaged)?;
        let aad = self.binding.of_group(number);
        let plain = self
            .sealer
            .open(GROUP, &aad, &stored)
            .map_err(|_| S3Error::Damaged)?;
        let mut parts = Vec::with_capacity(GROUP_PARTS);
        for bytes in plain.chunks_exact(ENTRY_LEN) {
            let (entry, end) = decode_entry(bytes).ok_or(S3Error::Damaged)?;
            if start.checked_add(entry.size_bytes) != Some(end) {
                return Err(S3Error::Damaged);
            }
            parts.push(PlacedPart { entry, start, end });
            start = end;
        }
        Ok(parts)
    }
}

/// What head and groups are bound to, and, from it, where they are.
struct Binding {
    preamble: Vec<u8>,
    object_key: Vec<u8>,
    part_count: usize,
}

impl Binding {
    fn new(object: &ObjectIdentity, id: [u8; 16], part_count: u32) -> Self {
        let mut preamble = MAGIC.to_vec();
        preamble.extend_from_slice(object.bucket.as_bytes());
        preamble.extend_from_slice(object.version.as_bytes());
        preamble.extend_from_slice(&id);
        preamble.extend_from_slice(&part_count.to_be_bytes());
        let part_count = usize::try_from(part_count).unwrap_or(usize::MAX);
        Self {
            preamble,
            object_key: object.key.as_bytes().to_vec(),
            part_count,
        }
    }

    fn group_count(&self) -> usize {
        self.part_count.div_ceil(GROUP_PARTS)
    }

    fn sealed_head_len(&self) -> usize {
        self.group_count()
            .saturating_mul(HEAD_ENTRY_LEN)
            .saturating_add(ROW_OVERHEAD_BYTES)
    }

    /// Offset and length of a sealed group.
    fn sealed_group(&self, index: usize) -> (usize, usize) {
        let before = index.saturating_mul(GROUP_PARTS);
        let parts = self.part_count.saturating_sub(before).min(GROUP_PARTS);
        let offset = index
            .saturating_mul(GROUP_PARTS * ENTRY_LEN + ROW_OVERHEAD_BYTES)
            .saturating_add(PREAMBLE_LEN)
            .saturating_add(self.sealed_head_len());
        (offset, parts * ENTRY_LEN + ROW_OVERHEAD_BYTES)
    }

    fn of_head(&self) -> Vec<u8> {
        [self.preamble.as_slice(), &self.object_key].concat()
    }

    fn of_group(&self, index: u32) -> Vec<u8> {
        [
            self.preamble.as_slice(),
            &index.to_be_bytes(),
            &self.object_key,
        ]
        .concat()
    }
}

/// `SRM` and the version of the layout.
const MAGIC: [u8; 4] = *b"SRM1";
const PREAMBLE_LEN: usize = 4 + 16 + 16 + 16 + 4;
const GROUP_PARTS: usize = 64;
const HEAD_ENTRY_LEN: usize = 8 + 2;
const ENTRY_LEN: usize = 2 + 16 + 8 + 8 + 1 + 16;
/// What stands in the place of the table number when head and groups are sealed.
const HEAD: u8 = 1;
const GROUP: u8 = 2;

const PLACE_INLINE: u8 = 0;
const PLACE_BLOB: u8 = 1;

fn encode_entry(out: &mut Vec<u8>, part: &ManifestPart, end_offset: u64) {
    let (place, blob) = match part.place {
        PlaceRow::Inline => (PLACE_INLINE, [0; 16]),
        PlaceRow::Blob(blob) => (PLACE_BLOB, blob),
    };
    out.extend_from_slice(&part.number.value().to_be_bytes());
    out.extend_from_slice(part.attempt.as_bytes());
    out.extend_from_slice(&part.size_bytes.to_be_bytes());
    out.extend_from_slice(&end_offset.to_be_bytes());
    out.push(place);
    out.extend_from_slice(&blob);
}

fn decode_entry(bytes: &[u8]) -> Option<(ManifestPart, u64)> {
    let mut fields = Fields(bytes);
    let number = PartNumber::new(u64::from(fields.u16()?))?;
    let attempt = AttemptUid::from_bytes(fields.array()?);
    let size_bytes = fields.u64()?;
    let end_offset = fields.u64()?;
    let [kind] = fields.array()?;
    let blob = fields.array()?;
    let place = match kind {
        PLACE_INLINE => PlaceRow::Inline,
        PLACE_BLOB => PlaceRow::Blob(blob),
        _ => return None,
    };
    Some((
        ManifestPart {
            number,
            attempt,
            size_bytes,
            place,
        },
        end_offset,
    ))
}

/// Reads fixed-width fields, front to back.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

fn to_u64(len: usize) -> Result<u64, S3Error> {
    u64::try_from(len).map_err(|_| S3Error::Damaged)
}

#[cfg(test)]
mod tests {
    use strongroom_crypto::{Keyring, ServicePurpose, Unsealed};
    use strongroom_types::{BucketUid, ObjectKey, Timestamp};

    use super::*;

    /// Random enough for tests, and the same every time.
    struct Steps(std::sync::atomic::AtomicU64);

    impl Entropy for Steps {
        fn fill(&self, out: &mut [u8]) {
            for byte in out {
                let step = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                *byte = step.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0];
            }
        }
    }

    const ID: [u8; 16] = [5; 16];

    fn sealer(entropy: &dyn Entropy) -> RowSealer {
        let (ring, _) = Keyring::<Unsealed>::create(Timestamp::from_millis(0), entropy);
        RowSealer::new(ring.service_key(ServicePurpose::Manifest))
    }

    fn object() -> ObjectIdentity {
        ObjectIdentity {
            bucket: BucketUid::from_bytes([1; 16]),
            key: ObjectKey::parse("k").unwrap(),
            version: VersionUid::from_bytes([2; 16]),
        }
    }

    fn parts(count: u16) -> Vec<ManifestPart> {
        (1..=count)
            .map(|number| ManifestPart {
                number: PartNumber::new(u64::from(number)).unwrap(),
                attempt: AttemptUid::from_bytes([u8::try_from(number % 251).unwrap(); 16]),
                size_bytes: u64::from(number % 3) * 10,
                place: if number % 2 == 0 {
                    PlaceRow::Inline
                } else {
                    PlaceRow::Blob([9; 16])
                },
            })
            .collect()
    }

    fn sealed(count: u16) -> (Steps, Vec<u8>) {
        let entropy = Steps(0.into());
        let sealer = sealer(&entropy);
        let bytes = seal_manifest(&sealer, &object(), ID, &parts(count), &entropy).unwrap();
        (entropy, bytes)
    }

    fn read(
        object: &ObjectIdentity,
        id: [u8; 16],
        count: u16,
        bytes: Vec<u8>,
    ) -> Result<Vec<ManifestPart>, S3Error> {
        let sealer = sealer(&Steps(0.into()));
        let binding = Binding::new(object, id, u32::from(count));
        let manifest = OpenManifest::open(sealer, binding, Source::Inline(bytes))?;
        manifest.parts()
    }

    #[test]
    fn manifests_of_every_size_around_a_group_read_back() {
        for count in [1, 2, 63, 64, 65, 128, 129, 1000, 10_000] {
            let (_, bytes) = sealed(count);
            assert_eq!(
                read(&object(), ID, count, bytes).unwrap(),
                parts(count),
                "{count}"
            );
        }
    }

    #[test]
    fn ranges_and_part_numbers_find_their_parts() {
        let (_, bytes) = sealed(200);
        let entropy = Steps(0.into());
        let binding = Binding::new(&object(), ID, 200);
        let manifest =
            OpenManifest::open(sealer(&entropy), binding, Source::Inline(bytes)).unwrap();
        let whole: u64 = parts(200).iter().map(|part| part.size_bytes).sum();
        let mut extents = Vec::new();
        let mut start = 0;
        for part in parts(200) {
            let extent = ByteRange {
                start,
                end: start + part.size_bytes,
            };
            assert_eq!(manifest.extent(part.number), Ok(Some(extent)));
            start = extent.end;
            extents.push((part.number, extent));
        }
        assert_eq!(manifest.extent(PartNumber::new(201).unwrap()), Ok(None));
        for range in [
            (0, whole),
            (0, 1),
            (whole - 1, whole),
            (9, 10),
            (10, 11),
            (629, 641),
            (640, 1300),
        ] {
            let (from, to) = range;
            let expected: Vec<_> = extents
                .iter()
                .filter(|(_, extent)| extent.start.max(from) < extent.end.min(to))
                .map(|(number, extent)| {
                    let start = extent.start.max(from) - extent.start;
                    (*number, start, extent.end.min(to) - extent.start)
                })
                .collect();
            let got = manifest
                .slices(ByteRange {
                    start: from,
                    end: to,
                })
                .unwrap();
            let got: Vec<_> = got
                .iter()
                .map(|slice| (slice.number, slice.range.start, slice.range.end))
                .collect();
            assert_eq!(got, expected, "{range:?}");
        }
        assert_eq!(
            manifest.slices(ByteRange {
                start: 0,
                end: whole + 1
            }),
            Err(S3Error::Damaged)
        );
    }

    #[test]
    fn no_byte_can_be_changed() {
        let (_, bytes) = sealed(65);
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            assert_eq!(
                read(&object(), ID, 65, broken),
                Err(S3Error::Damaged),
                "byte {at}"
            );
        }
        for len in [0, 55, 56, bytes.len() - 1] {
            assert_eq!(
                read(&object(), ID, 65, bytes[..len].to_vec()),
                Err(S3Error::Damaged)
            );
        }
    }

    #[test]
    fn groups_cannot_be_swapped_dropped_or_doubled() {
        let (_, bytes) = sealed(192);
        let binding = Binding::new(&object(), ID, 192);
        let group = |index| {
            let (offset, len) = binding.sealed_group(index);
            bytes[offset..offset + len].to_vec()
        };
        let start = binding.sealed_group(0).0;
        let arranged = |order: &[usize]| {
            let mut out = bytes[..start].to_vec();
            for index in order {
                out.extend(group(*index));
            }
            out
        };
        assert!(read(&object(), ID, 192, arranged(&[0, 1, 2])).is_ok());
        for order in [
            &[1, 0, 2][..],
            &[0, 2, 1],
            &[0, 0, 2],
            &[0, 1, 1],
            &[0, 1],
            &[1, 2],
        ] {
            assert_eq!(
                read(&object(), ID, 192, arranged(order)),
                Err(S3Error::Damaged),
                "{order:?}"
            );
        }
        // Fewer parts than were sealed, with the count in the row changed as well.
        assert_eq!(
            read(&object(), ID, 128, arranged(&[0, 1])),
            Err(S3Error::Damaged)
        );
    }

    #[test]
    fn a_manifest_opens_only_in_its_place() {
        let (_, bytes) = sealed(3);
        let moved = [
            ObjectIdentity {
                bucket: BucketUid::from_bytes([7; 16]),
                ..object()
            },
            ObjectIdentity {
                key: ObjectKey::parse("l").unwrap(),
                ..object()
            },
            ObjectIdentity {
                version: VersionUid::from_bytes([7; 16]),
                ..object()
            },
        ];
        for other in moved {
            assert_eq!(read(&other, ID, 3, bytes.clone()), Err(S3Error::Damaged));
        }
        // An earlier manifest of the same upload, put in the place of the one that counts.
        assert_eq!(
            read(&object(), [6; 16], 3, bytes.clone()),
            Err(S3Error::Damaged)
        );
        let mut patched = bytes;
        patched[36..52].copy_from_slice(&[6; 16]);
        assert_eq!(read(&object(), [6; 16], 3, patched), Err(S3Error::Damaged));
    }
}
