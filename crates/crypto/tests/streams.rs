//! Bodies: they come back as they were, or not at all.
#![cfg(test)]

mod common;

use std::collections::BTreeSet;

use common::{Seeded, object, object_named, part, pattern};
use proptest::prelude::*;
use strongroom_crypto::{
    BodyKeys, DataKey, HEADER_MAX_BYTES, Layers, OpenError, SEGMENT_LEN_BYTES,
    SEGMENT_OVERHEAD_BYTES, SealingError, StreamLayout, StreamOpener, StreamSealer,
    header_len_bytes, open_whole, recover_identity, seal_whole, segment_checksum_ok, stream_uids,
};
use strongroom_types::{AttemptUid, BucketUid, ByteRange, Entropy, VersionUid};

/// Fresh keys of one layer.
fn body_keys(entropy: &dyn Entropy) -> BodyKeys {
    BodyKeys::single(DataKey::random(entropy))
}

const EDGES: [usize; 10] = [
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
];

#[test]
fn every_length_around_segment_edges_comes_back() {
    let entropy = Seeded::new(1);
    let key = body_keys(&entropy);
    for len in EDGES {
        let plaintext = pattern(len);
        for part in [None, Some(part(7))] {
            let stored = seal_whole(&key, &object(), part, &entropy, &plaintext);
            let layout = StreamLayout::parse(&stored).unwrap();
            assert_eq!(stored.len() as u64, layout.stored_len_bytes(len as u64));
            let opened = open_whole(&key, &object(), part, &stored).unwrap();
            assert!(opened == plaintext, "{len}");
        }
    }
}

#[test]
fn sealer_and_opener_agree_with_whole_streams() {
    let entropy = Seeded::new(2);
    let key = body_keys(&entropy);
    for log2 in [12, 16, 20] {
        let plaintext = pattern((3 << log2) + 5);
        let mut sealer =
            StreamSealer::with_segment_log2(&key, &object(), Some(part(2)), &entropy, log2)
                .unwrap();
        let mut stored = sealer.header().to_vec();
        let chunks: Vec<_> = plaintext.chunks(1 << log2).collect();
        for (index, chunk) in chunks.iter().enumerate() {
            let mut segment = [chunk, &[0; SEGMENT_OVERHEAD_BYTES][..]].concat();
            sealer
                .seal_segment(&mut segment, index + 1 == chunks.len())
                .unwrap();
            assert!(segment_checksum_ok(&segment));
            stored.extend(segment);
        }
        let opened = open_whole(&key, &object(), Some(part(2)), &stored).unwrap();
        assert!(opened == plaintext, "{log2}");
    }
}

#[test]
fn ranges_open_through_their_span() {
    let entropy = Seeded::new(3);
    let key = body_keys(&entropy);
    let plaintext = pattern(200_000);
    let stored = seal_whole(&key, &object(), None, &entropy, &plaintext);
    let opener = StreamOpener::new(&key, &object(), None, &stored[..HEADER_MAX_BYTES]).unwrap();
    let layout = opener.layout();
    let total = layout.segment_count(200_000);
    for (start, end) in [
        (0, 1),
        (65535, 65537),
        (131_000, 200_000),
        (199_999, 200_000),
    ] {
        let span = layout.span(ByteRange { start, end }, 200_000);
        let from = usize::try_from(span.stored_offset).unwrap();
        let to = from + usize::try_from(span.stored_len).unwrap();
        let mut got = Vec::new();
        for (index, segment) in
            (span.first_segment..).zip(stored[from..to].chunks(layout.stored_segment_len_bytes()))
        {
            let mut segment = segment.to_vec();
            got.extend_from_slice(
                opener
                    .open_segment(index, index + 1 == total, &mut segment)
                    .unwrap(),
            );
        }
        let len = usize::try_from(end - start).unwrap();
        let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
        assert!(got[span.skip_bytes..][..len] == plaintext[range]);
    }
}

#[test]
fn sealer_refuses_what_no_reader_accepts() {
    let entropy = Seeded::new(4);
    let key = body_keys(&entropy);
    let full = SEGMENT_LEN_BYTES + SEGMENT_OVERHEAD_BYTES;
    let mut sealer = StreamSealer::new(&key, &object(), None, &entropy);
    let mut seal = |len: usize, last| sealer.seal_segment(&mut vec![0; len], last);
    assert_eq!(seal(23, true), Err(SealingError::SegmentLength));
    assert_eq!(seal(full - 1, false), Err(SealingError::SegmentLength));
    assert_eq!(seal(full + 1, true), Err(SealingError::SegmentLength));
    assert_eq!(seal(full, false), Ok(()));
    assert_eq!(seal(24, true), Err(SealingError::SegmentLength));
    assert_eq!(seal(25, true), Ok(()));
    assert_eq!(seal(25, true), Err(SealingError::AfterLast));
}

#[test]
fn every_flipped_bit_of_small_objects_is_an_error() {
    let entropy = Seeded::new(5);
    let key = body_keys(&entropy);
    for (len, part) in [(0, None), (1, Some(part(10_000))), (100, None)] {
        let plaintext = pattern(len);
        let mut stored = seal_whole(&key, &object(), part, &entropy, &plaintext);
        for bit in 0..stored.len() * 8 {
            stored[bit / 8] ^= 1 << (bit % 8);
            assert!(
                open_whole(&key, &object(), part, &stored).is_err(),
                "bit {bit}"
            );
            stored[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(
            open_whole(&key, &object(), part, &stored).as_ref(),
            Ok(&plaintext)
        );
    }
}

#[test]
fn every_changed_byte_of_a_mebibyte_is_an_error() {
    // Segments of 4 KiB, so that opening the one segment that a change touches is cheap.
    let entropy = Seeded::new(6);
    let key = body_keys(&entropy);
    let plaintext = pattern(1 << 20);
    let mut sealer = StreamSealer::with_segment_log2(&key, &object(), None, &entropy, 12).unwrap();
    let mut header = sealer.header().to_vec();
    let opener = StreamOpener::new(&key, &object(), None, &header).unwrap();
    for at in 0..header.len() {
        header[at] ^= 0x80;
        assert!(StreamOpener::new(&key, &object(), None, &header).is_err());
        header[at] ^= 0x80;
    }
    let last_index = (1 << 20) / 4096 - 1;
    for (index, plaintext) in (0..).zip(plaintext.chunks(4096)) {
        let last = index == last_index;
        let mut segment = [plaintext, &[0; SEGMENT_OVERHEAD_BYTES]].concat();
        sealer.seal_segment(&mut segment, last).unwrap();
        for at in 0..segment.len() {
            let mut changed = segment.clone();
            changed[at] ^= 0x01;
            assert!(!segment_checksum_ok(&changed), "{index}/{at}");
            assert!(opener.open_segment(index, last, &mut changed).is_err());
            // Whoever tampers can mend the checksum: then the tag must tell.
            if at < segment.len() - 8 {
                fix_checksum(&mut changed);
                let result = opener.open_segment(index, last, &mut changed);
                assert_eq!(result, Err(OpenError::Damaged), "{index}/{at}");
                assert!(changed[..4096].iter().all(|&byte| byte == 0), "wiped");
            }
        }
        let result = opener.open_segment(index, last, &mut segment);
        assert!(result.unwrap() == plaintext);
    }
}

#[test]
fn swapped_repeated_and_dropped_segments_are_errors() {
    let entropy = Seeded::new(7);
    let key = body_keys(&entropy);
    let stored = seal_whole(&key, &object(), None, &entropy, &pattern(3 << 16));
    let header = header_len_bytes(&object().key, Layers::One);
    let (header, body) = stored.split_at(header);
    let segments: Vec<_> = body.chunks(65560).collect();
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
        &[a, b, c, &[0; 24]],
        &[],
    ];
    for (case, order) in orders.iter().enumerate() {
        let moved = [header, &order.concat()].concat();
        assert!(
            open_whole(&key, &object(), None, &moved).is_err(),
            "case {case}"
        );
    }
    for cut in [1, 8, 24, 65559, 65561] {
        assert!(open_whole(&key, &object(), None, &stored[..stored.len() - cut]).is_err());
    }
}

#[test]
fn stream_opens_as_nothing_else() {
    let entropy = Seeded::new(8);
    let key = body_keys(&entropy);
    let single = seal_whole(&key, &object(), None, &entropy, b"body");
    let of_part = seal_whole(&key, &object(), Some(part(3)), &entropy, b"body");
    let wrong = Some(OpenError::WrongKeyOrIdentity);
    let mut other = object();
    other.bucket = BucketUid::from_bytes([1; 16]);
    assert_eq!(open_whole(&key, &other, None, &single).err(), wrong);
    let mut other = object();
    other.version = VersionUid::from_bytes([1; 16]);
    assert_eq!(open_whole(&key, &other, None, &single).err(), wrong);
    // Names that a path library would take for the same.
    for name in [
        "a/b/../report.csv",
        "a/report.csv",
        "a//b/../report.csv/",
        "A//b/../report.csv",
    ] {
        assert_eq!(
            open_whole(&key, &object_named(name), None, &single).err(),
            wrong
        );
    }
    assert_eq!(
        open_whole(&body_keys(&entropy), &object(), None, &single).err(),
        wrong
    );
    assert_eq!(
        open_whole(&key, &object(), Some(part(3)), &single).err(),
        wrong
    );
    assert_eq!(open_whole(&key, &object(), None, &of_part).err(), wrong);
    assert_eq!(
        open_whole(&key, &object(), Some(part(4)), &of_part).err(),
        wrong
    );
    let mut attempt = part(3);
    attempt.attempt = AttemptUid::from_bytes([9; 16]);
    assert_eq!(
        open_whole(&key, &object(), Some(attempt), &of_part).err(),
        wrong
    );
}

#[test]
fn recovery_reads_the_identity_from_the_header() {
    let entropy = Seeded::new(9);
    let key = body_keys(&entropy);
    let longest = "k".repeat(1024);
    for name in ["x", "a//b", &longest] {
        let object = object_named(name);
        let stored = seal_whole(&key, &object, Some(part(9)), &entropy, b"");
        assert_eq!(
            recover_identity(&key, &stored),
            Ok((object.clone(), Some(part(9))))
        );
        assert_eq!(
            stream_uids(&stored),
            Ok((object.bucket, object.version, Some(part(9))))
        );
        assert!(recover_identity(&body_keys(&entropy), &stored).is_err());
    }
    let stored = seal_whole(&key, &object_named(&longest), Some(part(9)), &entropy, b"");
    assert_eq!(stored.len(), 1216 + SEGMENT_OVERHEAD_BYTES);
}

#[test]
fn no_two_segments_share_key_and_nonce() {
    // 60,000 streams of one data key and identity (retries), and 50,000 segments of one stream.
    // The commitment stands for the key: both come out of one derivation.
    let entropy = Seeded::new(10);
    let key = body_keys(&entropy);
    let (mut salts, mut commitments) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..60_000 {
        let stored = seal_whole(&key, &object(), None, &entropy, b"");
        salts.insert(stored[16..48].to_vec());
        commitments.insert(stored[48..80].to_vec());
    }
    assert_eq!((salts.len(), commitments.len()), (60_000, 60_000));

    // Equal plaintexts under one key have equal ciphertexts exactly if the nonce is equal.
    let mut sealer = StreamSealer::with_segment_log2(&key, &object(), None, &entropy, 12).unwrap();
    let mut ciphertexts = BTreeSet::new();
    let mut segment = vec![0; 4096 + SEGMENT_OVERHEAD_BYTES];
    for index in 0..50_000 {
        segment.fill(0);
        sealer.seal_segment(&mut segment, index == 49_999).unwrap();
        ciphertexts.insert(segment[..16].to_vec());
    }
    assert_eq!(ciphertexts.len(), 50_000);
}

#[test]
fn opener_and_sealer_cross_threads() {
    fn assert_shared<T: Send + Sync>() {}
    assert_shared::<StreamOpener>();
    assert_shared::<StreamSealer>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_stream_opens_to_what_was_sealed(
        seed: u64, plaintext in prop::collection::vec(any::<u8>(), 0..20_000),
        name in "[a-z/.]{1,40}", number in prop::option::of(1_u64..=10_000),
    ) {
        let entropy = Seeded::new(seed);
        let key = body_keys(&entropy);
        let (object, part) = (object_named(&name), number.map(part));
        let stored = seal_whole(&key, &object, part, &entropy, &plaintext);
        prop_assert_eq!(open_whole(&key, &object, part, &stored), Ok(plaintext));
    }

    #[test]
    fn any_change_is_an_error(
        seed: u64, len in 0_usize..300, at: prop::sample::Index, mask in 1_u8..,
        cut: prop::sample::Index,
    ) {
        let entropy = Seeded::new(seed);
        let key = body_keys(&entropy);
        let mut stored = seal_whole(&key, &object(), None, &entropy, &pattern(len));
        let cut = cut.index(stored.len());
        prop_assert!(open_whole(&key, &object(), None, &stored[..cut]).is_err());
        let at = at.index(stored.len());
        stored[at] ^= mask;
        prop_assert!(open_whole(&key, &object(), None, &stored).is_err());
    }

    #[test]
    fn any_bytes_as_a_header_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = StreamLayout::parse(&bytes);
        let _ = stream_uids(&[&b"SRB1\x01\x01\x10"[..], &bytes].concat());
    }
}

fn fix_checksum(segment: &mut [u8]) {
    let (sealed, checksum) = segment.split_last_chunk_mut::<8>().unwrap();
    *checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, sealed).to_be_bytes();
}

#[test]
fn seeded_entropy_is_fresh() {
    let entropy = Seeded::new(0);
    let (mut a, mut b) = ([0; 32], [0; 32]);
    entropy.fill(&mut a);
    entropy.fill(&mut b);
    assert_ne!(a, b);
}
