//! The bodies of the fuzz targets, as plain functions: a fuzzing engine calls them with inputs of
//! its own, and `tests/replay.rs` with the committed corpus.

#![forbid(unsafe_code)]

pub mod decision;
pub mod edge;
pub mod policy;
pub mod rows;

use std::sync::OnceLock;

use strongroom_crypto::{
    Attribute, BodyKeys, CiphertextBlob, CustomerKey, DataKey, Keyring, KmsDataKey,
    MaterialIdentity, ObjectIdentity, OuterKey, Sealed, ShredId, ShredKey, StreamLayout,
    StreamOpener, SymmetricMaterial, UnsealKey, Unsealed, WrappedKey, open_whole, parse_footer,
    recover_identity, shred_file_root_version, stream_uids, wrapped_material_root_version,
};
use strongroom_types::kms::{EncryptionContext, KeyArn, KeyMaterialId, KeySpec};
use strongroom_types::{BucketUid, Entropy, ObjectKey, Timestamp, VersionUid};

/// A target's name, which is its directory in the corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// The key of the golden vectors.
const ARN: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// All targets.
pub const TARGETS: &[Target] = &[
    ("stream_header", stream_header),
    ("stream_open", stream_open),
    ("stream_two_layers", stream_two_layers),
    ("wrapped_record", wrapped_record),
    ("ciphertext_blob", ciphertext_blob),
    ("key_material", key_material),
    ("ring_file", ring_file),
    ("footer", footer),
    ("sigv4_authorization", edge::sigv4_authorization),
    ("chunked_decoder", edge::chunked_decoder),
    ("form_decoder", edge::form_decoder),
    ("post_policy", edge::post_policy),
    ("xml_request", edge::xml_request),
    ("headers", edge::headers),
    ("json_request", edge::json_request),
    ("journal_replay", rows::journal_replay),
    ("metadata_record", rows::metadata_record),
    ("audit_record", rows::audit_record),
    ("policy_document", policy::policy_document),
    ("policy_decision", decision::policy_decision),
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
    let _ = recover_identity(&two_keys(), data);
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

/// As [`stream_open`], for the golden vectors' streams of two layers.
pub fn stream_two_layers(data: &[u8]) {
    let (keys, object) = (two_keys(), object());
    if let Ok(plaintext) = open_whole(&keys, &object, None, data) {
        let expected = (0..=250_u8).cycle();
        assert!(
            plaintext
                .iter()
                .zip(expected)
                .all(|(got, want)| *got == want)
        );
        // Nothing that has two layers opens with one key.
        assert!(open_whole(&body_keys(), &object, None, data).is_err());
    }
    if let Ok(opener) = StreamOpener::new(&keys, &object, None, data) {
        let mut stored = data.to_vec();
        let body = &mut stored[opener.layout().header_len_bytes()..];
        let _ = opener.open_segment(1, true, body);
    }
}

/// Parsing and opening of a ciphertext blob under the golden vectors' material.
pub fn ciphertext_blob(data: &[u8]) {
    let Ok(blob) = CiphertextBlob::parse(data) else {
        return;
    };
    let arn = KeyArn::parse(ARN).expect("an ARN");
    let material = SymmetricMaterial::parse(&[0x3A; 32]).expect("32 bytes");
    if let Ok(plaintext) = blob.open(&material, &arn, &EncryptionContext::default()) {
        // Nobody can make another blob.
        assert_eq!(plaintext.as_slice(), b"plaintext");
        assert_eq!(blob.key_id(), arn.id);
    }
}

/// Parsing of shred files, also with the checksum mended, and of wrapped materials.
pub fn key_material(data: &[u8]) {
    let _ = wrapped_material_root_version(data);
    let shred = ShredKey::random(&Counting);
    let identity = MaterialIdentity {
        arn: KeyArn::parse(ARN).expect("an ARN"),
        material: KeyMaterialId::from_bytes([0; 32]),
        spec: KeySpec::parse("SYMMETRIC_DEFAULT").expect("a spec"),
    };
    assert!(ring().unwrap_material(&shred, &identity, data).is_err());
    let mut mended = data.to_vec();
    if let Some((checked, checksum)) = mended.split_last_chunk_mut::<8>() {
        *checksum = crc64_nvme(checked).to_be_bytes();
    }
    for file in [data, &mended] {
        if shred_file_root_version(file).is_ok() {
            let id = ShredId::from_bytes(*file[28..].first_chunk().expect("a whole file"));
            assert!(ring().open_shred_key(id, file).is_err());
        }
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
    if let Ok(kms_key) = KmsDataKey::parse(&[0x4B; 32]) {
        let _ = kms_key.unwrap_data_key(&wrapped, &object());
    }
    let _ = ring().unwrap_outer_key(&wrapped, &object());
    // Taken apart and put together, a record of two layers is the same.
    if let Some((inner, outer)) = wrapped.layers() {
        assert_eq!(inner.kms_blob(), wrapped.kms_blob());
        assert_eq!(WrappedKey::two_layers(&inner, &outer), Ok(wrapped.clone()));
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

/// The keys of the golden vectors' streams of two layers.
fn two_keys() -> BodyKeys {
    BodyKeys::two_layers(data_key(), OuterKey::random(&Fourteen))
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

/// The outer key of the golden vectors.
struct Fourteen;

impl Entropy for Fourteen {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0x0E);
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
