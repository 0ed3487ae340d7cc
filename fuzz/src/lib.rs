//! The bodies of the fuzz targets, as plain functions: a fuzzing engine calls them with inputs of
//! its own, and `tests/replay.rs` with the committed corpus.

#![forbid(unsafe_code)]

pub mod edge;
pub mod rows;

use std::sync::OnceLock;

use strongroom_crypto::{
    Attribute, BodyKeys, CustomerKey, DataKey, Keyring, ObjectIdentity, Sealed, StreamLayout, StreamOpener,
    UnsealKey, Unsealed, WrappedKey, open_whole, parse_footer, recover_identity, stream_uids,
};
use strongroom_types::{BucketUid, Entropy, ObjectKey, Timestamp, VersionUid};

/// A target's name, which is its directory in the corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("stream_header", stream_header),
    ("stream_open", stream_open),
    ("wrapped_record", wrapped_record),
    ("ring_file", ring_file),
    ("footer", footer),
    ("sigv4_authorization", edge::sigv4_authorization),
    ("chunked_decoder", edge::chunked_decoder),
    ("form_decoder", edge::form_decoder),
    ("post_policy", edge::post_policy),
    ("xml_request", edge::xml_request),
    ("headers", edge::headers),
    ("journal_replay", rows::journal_replay),
    ("metadata_record", rows::metadata_record),
];

/// Keyless parsing of a stream's header, and the arithmetic on its lengths.
pub fn stream_header(data: &[u8]) {
    let _ = stream_uids(data);
    let Ok(layout) = StreamLayout::parse(data) else {
        return;
    };
    assert!(layout.header_len_bytes() <= strongroom_crypto::HEADER_MAX_BYTES);
    let stored_len = data.len() as u64;
    if let Ok(plaintext_len) = layout.plaintext_len_bytes(stored_len) {
        assert_eq!(layout.stored_len_bytes(plaintext_len), stored_len);
    }
    let _ = recover_identity(&body_keys(), data);
}

/// Opening a stream of the golden vectors' key: the engine may change it at will, and what opens
/// must be what was sealed.
pub fn stream_open(data: &[u8]) {
    let (key, object) = (body_keys(), object());
    if let Ok(plaintext) = open_whole(&key, &object, None, data) {
        // The corpus was sealed from bytes 0 to 250, repeated; nobody can make another stream.
        let expected = (0..=250_u8).cycle();
        assert!(
            plaintext
                .iter()
                .zip(expected)
                .all(|(got, want)| *got == want)
        );
    }
    if let Ok(opener) = StreamOpener::new(&key, &object, None, data) {
        let mut stored = data.to_vec();
        let body = &mut stored[opener.layout().header_len_bytes()..];
        let _ = opener.open_segment(1, true, body);
    }
}

/// Parsing and unwrapping of a wrapped key record.
pub fn wrapped_record(data: &[u8]) {
    let Ok(wrapped) = WrappedKey::parse(data) else {
        return;
    };
    assert_eq!(wrapped.as_bytes(), data);
    let _ = ring().unwrap_data_key(&wrapped, &object());
    if let Ok(customer_key) = CustomerKey::parse(&[0xC5; 32]) {
        let _ = customer_key.unwrap_data_key(&wrapped, &object());
    }
}

/// Parsing of a ring file, also with its checksum mended, as an attacker would.
pub fn ring_file(data: &[u8]) {
    let mut mended = data.to_vec();
    if let Some((checked, checksum)) = mended.split_last_chunk_mut::<8>() {
        *checksum = crc64_nvme(checked).to_be_bytes();
    }
    for file in [data, &mended] {
        let Ok(ring) = Keyring::<Sealed>::parse(file) else {
            continue;
        };
        assert!(ring.slots().len() <= file.len());
        if let Ok(key) = UnsealKey::parse(&[1; 32]) {
            assert!(ring.unseal(&key).is_err());
        }
    }
}

/// Parsing of a blob file's footer, and opening of its record.
pub fn footer(data: &[u8]) {
    let Ok((footer, len)) = parse_footer(data) else {
        return;
    };
    assert!(len <= data.len());
    let _ = data_key().open_attribute(Attribute::FooterRecord, &object(), &footer.record);
}

/// The key of the golden vectors: bytes 0 to 31.
fn data_key() -> DataKey {
    DataKey::random(&Counting)
}

fn body_keys() -> BodyKeys {
    BodyKeys::single(data_key())
}

/// The object of the golden vectors.
fn object() -> ObjectIdentity {
    ObjectIdentity {
        bucket: BucketUid::from_bytes([0xB1; 16]),
        key: ObjectKey::parse("a//b/../report.csv").expect("a valid key"),
        version: VersionUid::from_bytes([0x5E; 16]),
    }
}

fn ring() -> &'static Keyring<Unsealed> {
    static RING: OnceLock<Keyring<Unsealed>> = OnceLock::new();
    RING.get_or_init(|| Keyring::create(Timestamp::from_seconds(0), &Counting).0)
}

/// The same bytes each time: a run can be repeated.
struct Counting;

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) {
        for (byte, value) in out.iter_mut().zip((0..=255).cycle()) {
            *byte = value;
        }
    }
}

/// CRC-64/NVME, bit by bit: slow, and independent of the code that it checks.
fn crc64_nvme(data: &[u8]) -> u64 {
    !data.iter().fold(u64::MAX, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| {
            crc >> 1
                ^ if crc & 1 == 1 {
                    0x9a6c_9329_ac4b_c9b5
                } else {
                    0
                }
        })
    })
}
