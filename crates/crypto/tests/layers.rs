//! Bodies of two layers: each layer seals and opens on its own, and both must.
#![cfg(test)]

mod common;

use common::{Seeded, object, object_named, part, pattern};
use proptest::prelude::*;
use strongroom_crypto::{
    BodyKeys, DataKey, FormatError, HEADER_MAX_BYTES, Layers, OpenError, OuterError, OuterKey,
    PartIdentity, SEGMENT_LEN_BYTES, SEGMENT_OVERHEAD_MAX_BYTES, SealingError, StreamLayout,
    StreamOpener, StreamSealer, header_len_bytes, open_whole, recover_identity, seal_whole,
    segment_checksum_ok, stream_uids,
};
use strongroom_outer::{OuterIdentity, OuterKeys, open_inner_header, seal_inner_header};
use strongroom_types::{ByteRange, Entropy, VersionUid};

const DATA_KEY: [u8; 32] = [0xD1; 32];
const OUTER_KEY: [u8; 32] = [0x0E; 32];

/// Hands out given bytes, so that a test knows its keys.
struct Given([u8; 32]);

impl Entropy for Given {
    fn fill(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.0);
    }
}

fn data_key() -> DataKey {
    DataKey::random(&Given(DATA_KEY))
}

fn outer_key() -> OuterKey {
    OuterKey::random(&Given(OUTER_KEY))
}

fn keys() -> BodyKeys {
    BodyKeys::two_layers(data_key(), outer_key())
}

fn outer_keys(salt: &[u8; 32], part: Option<PartIdentity>, segment_log2: u8) -> OuterKeys {
    let object = object();
    let identity = OuterIdentity {
        bucket: object.bucket,
        key: &object.key,
        version: object.version,
        part: part.map(|part| (part.number, part.attempt)),
        segment_log2,
    };
    OuterKeys::derive(&OUTER_KEY, salt, &identity)
}

const OUTER_DAMAGED: OpenError = OpenError::OuterLayer(OuterError::Damaged);
const OUTER_WRONG: OpenError = OpenError::OuterLayer(OuterError::WrongKeyOrIdentity);

#[test]
fn every_length_around_segment_edges_comes_back() {
    let entropy = Seeded::new(60);
    for len in [
        0,
        1,
        65535,
        65536,
        65537,
        131_071,
        131_072,
        131_073,
        (5 << 20) - 1,
        (5 << 20) + 1,
    ] {
        let plaintext = pattern(len);
        for part in [None, Some(part(7))] {
            let stored = seal_whole(&keys(), &object(), part, &entropy, &plaintext);
            let layout = StreamLayout::parse(&stored).unwrap();
            assert_eq!(layout.layers(), Layers::Two);
            assert_eq!(stored.len() as u64, layout.stored_len_bytes(len as u64));
            assert_eq!(
                layout.plaintext_len_bytes(stored.len() as u64),
                Ok(len as u64)
            );
            let opened = open_whole(&keys(), &object(), part, &stored).unwrap();
            assert!(opened == plaintext, "{len}");
        }
    }
}

#[test]
fn sealer_opener_and_ranges_agree_with_whole_streams() {
    let entropy = Seeded::new(61);
    for log2 in [12, 16, 20] {
        let plaintext = pattern((3 << log2) + 5);
        let len = plaintext.len() as u64;
        let part = Some(part(2));
        let mut sealer =
            StreamSealer::with_segment_log2(&keys(), &object(), part, &entropy, log2).unwrap();
        let mut stored = sealer.header().to_vec();
        let chunks: Vec<_> = plaintext.chunks(1 << log2).collect();
        for (index, chunk) in chunks.iter().enumerate() {
            let mut segment = [chunk, &[0; SEGMENT_OVERHEAD_MAX_BYTES][..]].concat();
            sealer
                .seal_segment(&mut segment, index + 1 == chunks.len())
                .unwrap();
            assert!(segment_checksum_ok(&segment));
            stored.extend(segment);
        }
        let opened = open_whole(&keys(), &object(), part, &stored).unwrap();
        assert!(opened == plaintext, "{log2}");

        let reader = StreamOpener::new(&keys(), &object(), part, &stored).unwrap();
        let layout = reader.layout();
        let edge = 1_u64 << log2;
        for (start, end) in [(0, 1), (edge - 1, edge + 1), (edge, edge + 1), (edge, len)] {
            let span = layout.span(ByteRange { start, end }, len);
            let from = usize::try_from(span.stored_offset).unwrap();
            let to = from + usize::try_from(span.stored_len).unwrap();
            let mut got = Vec::new();
            for (index, segment) in (span.first_segment..)
                .zip(stored[from..to].chunks(layout.stored_segment_len_bytes()))
            {
                let last = index + 1 == layout.segment_count(len);
                let mut segment = segment.to_vec();
                got.extend_from_slice(reader.open_segment(index, last, &mut segment).unwrap());
            }
            let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
            assert!(got[span.skip_bytes..][..range.len()] == plaintext[range]);
        }
    }
}

/// The outer layer is taken off by the second implementation alone; what is left is a stream of one
/// layer that the first implementation opens alone.
#[test]
fn each_layer_opens_on_its_own() {
    let entropy = Seeded::new(62);
    for (len, part) in [(0, None), (100, Some(part(3))), (65537, None)] {
        let stored = seal_whole(&keys(), &object(), part, &entropy, &pattern(len));

        // RustCrypto only.
        let object = object();
        let header_len = usize::from(u16::from_be_bytes([stored[10], stored[11]]));
        let (header, body) = stored.split_at(header_len);
        let salt: &[u8; 32] = header[16..48].try_into().unwrap();
        let outer = outer_keys(salt, part, header[6]);
        assert!(outer.commits_to(header[48..80].try_into().unwrap()));
        let (authenticated, mac) = header.split_last_chunk::<32>().unwrap();
        assert!(outer.header_verifies(authenticated, mac));
        let field = if part.is_some() { 137 } else { 118 };
        assert_eq!(header[field], 5);
        let sealed_len = usize::from(u16::from_be_bytes([header[field + 1], header[field + 2]]));
        let mut inner = header[field + 3..][..sealed_len].to_vec();
        let inner =
            open_inner_header(&OUTER_KEY, salt, object.bucket, object.version, &mut inner).unwrap();
        let mut peeled = inner.to_vec();
        let cipher = outer.segments();
        let segments: Vec<_> = body.chunks(65536 + 40).collect();
        for (index, segment) in segments.iter().enumerate() {
            let mut sealed = segment[..segment.len() - 8].to_vec();
            let last = index + 1 == segments.len();
            let opened = cipher.open(index as u64, last, &mut sealed).unwrap();
            let crc64 = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, opened);
            peeled.extend_from_slice(opened);
            peeled.extend(crc64.to_be_bytes());
        }

        // aws-lc only.
        let opened = open_whole(&BodyKeys::single(data_key()), &object, part, &peeled);
        assert!(opened.unwrap() == pattern(len), "{len}");
    }
}

#[test]
fn the_number_of_layers_is_the_callers() {
    let entropy = Seeded::new(63);
    let single = BodyKeys::single(data_key());
    let two = seal_whole(&keys(), &object(), None, &entropy, b"body");
    let one = seal_whole(&single, &object(), None, &entropy, b"body");
    let refused = Some(OpenError::Format(FormatError::Layers));
    assert_eq!(open_whole(&single, &object(), None, &two).err(), refused);
    assert_eq!(open_whole(&keys(), &object(), None, &one).err(), refused);
    assert_eq!(recover_identity(&single, &two).err(), refused);
    assert_eq!(recover_identity(&keys(), &one).err(), refused);
}

#[test]
fn either_key_missing_is_an_error_of_its_layer() {
    let entropy = Seeded::new(64);
    let stored = seal_whole(&keys(), &object(), None, &entropy, b"body");
    let open = |keys: &BodyKeys| open_whole(keys, &object(), None, &stored).err();
    let wrong_outer = BodyKeys::two_layers(data_key(), OuterKey::random(&entropy));
    assert_eq!(open(&wrong_outer), Some(OUTER_WRONG));
    let wrong_inner = BodyKeys::two_layers(DataKey::random(&entropy), outer_key());
    assert_eq!(open(&wrong_inner), Some(OpenError::WrongKeyOrIdentity));
    let swapped = BodyKeys::two_layers(
        DataKey::random(&Given(OUTER_KEY)),
        OuterKey::random(&Given(DATA_KEY)),
    );
    assert_eq!(open(&swapped), Some(OUTER_WRONG));
    assert_eq!(
        recover_identity(&wrong_outer, &stored).err(),
        Some(OUTER_WRONG)
    );
    assert!(recover_identity(&wrong_inner, &stored).is_err());
    for (object, part) in [(object_named("other"), None), (object(), Some(part(1)))] {
        let opened = open_whole(&keys(), &object, part, &stored);
        assert_eq!(opened.err(), Some(OUTER_WRONG));
    }
}

#[test]
fn recovery_reads_the_identity_through_both_headers() {
    let entropy = Seeded::new(65);
    let longest = "k".repeat(1024);
    for name in ["x", "a//b", &longest] {
        let object = object_named(name);
        let stored = seal_whole(&keys(), &object, Some(part(9)), &entropy, b"");
        let recovered = recover_identity(&keys(), &stored);
        assert_eq!(recovered, Ok((object.clone(), Some(part(9)))));
        let uids = (object.bucket, object.version, Some(part(9)));
        assert_eq!(stream_uids(&stored), Ok(uids));
        let stored = seal_whole(&keys(), &object, None, &entropy, b"");
        let header = header_len_bytes(&object.key, Layers::Two);
        assert_eq!(stored.len(), header + SEGMENT_OVERHEAD_MAX_BYTES);
    }
    let object = object_named(&longest);
    let stored = seal_whole(&keys(), &object, Some(part(9)), &entropy, b"");
    assert_eq!(stored.len(), HEADER_MAX_BYTES + SEGMENT_OVERHEAD_MAX_BYTES);
}

#[test]
fn every_flipped_bit_is_an_error() {
    let entropy = Seeded::new(66);
    for (len, part) in [(0, None), (1, Some(part(10_000))), (100, None)] {
        let mut stored = seal_whole(&keys(), &object(), part, &entropy, &pattern(len));
        for bit in 0..stored.len() * 8 {
            stored[bit / 8] ^= 1 << (bit % 8);
            let opened = open_whole(&keys(), &object(), part, &stored);
            assert!(opened.is_err(), "bit {bit}");
            stored[bit / 8] ^= 1 << (bit % 8);
        }
        for cut in 0..stored.len() {
            let opened = open_whole(&keys(), &object(), part, &stored[..cut]);
            assert!(opened.is_err(), "cut at {cut}");
        }
    }
}

/// Whoever has the outer key can make an outer layer of anything: then the inner one must tell.
#[test]
fn damage_below_the_outer_layer_is_the_inner_layers() {
    let entropy = Seeded::new(67);
    let plaintext = pattern(3 << 12);
    let mut sealer =
        StreamSealer::with_segment_log2(&keys(), &object(), None, &entropy, 12).unwrap();
    let header = sealer.header().to_vec();
    let reader = StreamOpener::new(&keys(), &object(), None, &header).unwrap();
    let salt: &[u8; 32] = header[16..48].try_into().unwrap();
    let cipher = outer_keys(salt, None, 12).segments();
    let mut inner_segments = Vec::new();
    for (index, plaintext) in plaintext.chunks(4096).enumerate() {
        let mut segment = [plaintext, &[0; SEGMENT_OVERHEAD_MAX_BYTES]].concat();
        sealer.seal_segment(&mut segment, index == 2).unwrap();
        let mut elsewhere = segment.clone();
        let refused = reader.open_segment(index as u64, index != 2, &mut elsewhere);
        assert_eq!(refused, Err(OUTER_DAMAGED));
        // The checksum lies around the outer layer.
        let mut changed = segment.clone();
        changed[4200 - 4096] ^= 1;
        let refused = reader.open_segment(index as u64, index == 2, &mut changed);
        assert_eq!(refused, Err(OUTER_DAMAGED));
        mend(&mut changed);
        let refused = reader.open_segment(index as u64, index == 2, &mut changed);
        assert_eq!(refused, Err(OUTER_DAMAGED));
        assert!(changed[..4096].iter().all(|&byte| byte == 0), "wiped");
        let inner_end = segment.len() - 8;
        let opened = cipher.open(index as u64, index == 2, &mut segment[..inner_end]);
        inner_segments.push(opened.unwrap().to_vec());
    }
    // Sealed anew around another place's inner segment, or a changed one.
    let mut changed = inner_segments[0].clone();
    changed[7] ^= 1;
    for inner in [&inner_segments[1], &changed] {
        let mut stored = inner.clone();
        let tag = cipher.seal(0, false, &mut stored);
        stored.extend(tag);
        stored.extend([0; 8]);
        mend(&mut stored);
        let refused = reader.open_segment(0, false, &mut stored);
        assert_eq!(refused, Err(OpenError::Damaged));
        assert!(stored[..4096].iter().all(|&byte| byte == 0), "wiped");
    }
}

#[test]
fn an_inner_header_of_another_stream_is_refused_below_the_outer_layer() {
    let entropy = Seeded::new(71);
    let stored = seal_whole(&keys(), &object(), None, &entropy, b"body");
    let header_len = header_len_bytes(&object().key, Layers::Two);
    let salt: &[u8; 32] = stored[16..48].try_into().unwrap();
    let single = BodyKeys::single(data_key());
    let mut other_version = object();
    other_version.version = VersionUid::from_bytes([1; 16]);
    for (object_of_inner, log2, expected) in [
        (object(), 16, None),
        (object(), 12, Some(OpenError::Damaged)),
        (
            object_named("b//b/../report.csv"),
            16,
            Some(OpenError::WrongKeyOrIdentity),
        ),
        (other_version, 16, Some(OpenError::WrongKeyOrIdentity)),
    ] {
        let inner =
            StreamSealer::with_segment_log2(&single, &object_of_inner, None, &entropy, log2);
        let mut inner = inner.unwrap().header().to_vec();
        let object = object();
        seal_inner_header(&OUTER_KEY, salt, object.bucket, object.version, &mut inner);
        let mut forged = stored[..header_len].to_vec();
        forged[121..121 + inner.len()].copy_from_slice(&inner);
        let (authenticated, mac) = forged.split_last_chunk_mut::<32>().unwrap();
        *mac = outer_keys(salt, None, 16).header_mac(authenticated);
        let opened = StreamOpener::new(&keys(), &object, None, &forged);
        assert_eq!(opened.err(), expected);
        let recovered = recover_identity(&keys(), &forged);
        assert_eq!(recovered.is_ok(), expected.is_none());
    }
}

#[test]
fn swapped_repeated_and_dropped_segments_are_errors() {
    let entropy = Seeded::new(68);
    let stored = seal_whole(&keys(), &object(), None, &entropy, &pattern(3 << 16));
    let (header, body) = stored.split_at(header_len_bytes(&object().key, Layers::Two));
    let segments: Vec<_> = body.chunks(65576).collect();
    let [a, b, c] = segments[..] else { panic!() };
    let orders: [&[&[u8]]; 12] = [
        &[b, a, c],
        &[a, c, b],
        &[a, b],
        &[a],
        &[b, c],
        &[c],
        &[a, a, b, c],
        &[a, b, c, c],
        &[a, b, b],
        &[a, b, c, &[0]],
        &[a, b, c, &[0; 40]],
        &[],
    ];
    for (case, order) in orders.iter().enumerate() {
        let moved = [header, &order.concat()].concat();
        let opened = open_whole(&keys(), &object(), None, &moved);
        assert!(opened.is_err(), "case {case}");
    }
}

#[test]
fn two_streams_of_one_object_share_no_segment_key() {
    let entropy = Seeded::new(69);
    let a = seal_whole(&keys(), &object(), None, &entropy, &pattern(100));
    let b = seal_whole(&keys(), &object(), None, &entropy, &pattern(100));
    let header = header_len_bytes(&object().key, Layers::Two);
    assert_ne!(a[16..80], b[16..80]);
    let mixed = [&a[..header], &b[header..]].concat();
    let opened = open_whole(&keys(), &object(), None, &mixed);
    assert_eq!(opened.err(), Some(OUTER_DAMAGED));
}

#[test]
fn sealer_refuses_what_no_reader_accepts() {
    let entropy = Seeded::new(70);
    let full = SEGMENT_LEN_BYTES + SEGMENT_OVERHEAD_MAX_BYTES;
    let mut sealer = StreamSealer::new(&keys(), &object(), None, &entropy);
    let mut seal = |len: usize, last| sealer.seal_segment(&mut vec![0; len], last);
    assert_eq!(seal(39, true), Err(SealingError::SegmentLength));
    assert_eq!(seal(full - 1, false), Err(SealingError::SegmentLength));
    assert_eq!(seal(full + 1, true), Err(SealingError::SegmentLength));
    assert_eq!(seal(full, false), Ok(()));
    assert_eq!(seal(40, true), Err(SealingError::SegmentLength));
    assert_eq!(seal(41, true), Ok(()));
    assert_eq!(seal(41, true), Err(SealingError::AfterLast));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_stream_opens_to_what_was_sealed(
        seed: u64, edge in 0_usize..4, around in 0_usize..20, name in "[a-z/.]{1,40}",
        number in prop::option::of(1_u64..=10_000),
    ) {
        let entropy = Seeded::new(seed);
        let plaintext = pattern((edge << 16).saturating_sub(10) + around);
        let (object, part) = (object_named(&name), number.map(part));
        let stored = seal_whole(&keys(), &object, part, &entropy, &plaintext);
        prop_assert_eq!(open_whole(&keys(), &object, part, &stored), Ok(plaintext));
    }

    #[test]
    fn any_bytes_as_a_header_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let header = [&b"SRB1\x01\x02\x10"[..], &bytes].concat();
        let _ = StreamLayout::parse(&header);
        let _ = stream_uids(&header);
        let _ = recover_identity(&keys(), &header);
    }
}

fn mend(segment: &mut [u8]) {
    let (sealed, checksum) = segment.split_last_chunk_mut::<8>().unwrap();
    *checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, sealed).to_be_bytes();
}
