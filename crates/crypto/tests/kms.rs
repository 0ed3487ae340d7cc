//! Ciphertext blobs, key material at rest, and data keys under the key service's: each opens in its
//! place only.
#![cfg(test)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Seeded, object, object_named, part, pattern};
use proptest::prelude::*;
use strongroom_crypto::{
    Attribute, BLOB_OVERHEAD_BYTES, CiphertextBlob, DataKey, FormatError, KMS_BLOB_MAX_BYTES,
    Keyring, KmsDataKey, MATERIAL_MAX_BYTES, MaterialIdentity, OuterKey, SHRED_FILE_LEN_BYTES,
    ShredId, ShredKey, SymmetricMaterial, Unsealed, UnwrapError, WrapMode, WrappedKey, material_id,
    seal_blob, shred_file_root_version, wrapped_material_root_version,
};
use strongroom_types::kms::{EncryptionContext, KeyArn, KeyId, KeyMaterialId, KeySpec};
use strongroom_types::{BucketUid, Timestamp, VersionUid};

fn ring(seed: u64) -> Keyring<Unsealed> {
    Keyring::create(Timestamp::from_seconds(1_800_000_000), &Seeded::new(seed)).0
}

fn arn(owner: &str) -> KeyArn {
    let text = format!("arn:aws:kms:{owner}:key/1234abcd-12ab-34cd-56ef-1234567890ab");
    KeyArn::parse(&text).unwrap()
}

fn here() -> KeyArn {
    arn("us-east-1:111122223333")
}

fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    EncryptionContext::new(pairs.iter().map(owned).collect::<BTreeMap<_, _>>()).unwrap()
}

/// A material of sevens, and a blob of `plaintext` under it.
fn sealed(plaintext: &[u8], context: &EncryptionContext) -> (SymmetricMaterial, Vec<u8>) {
    let material = SymmetricMaterial::parse(&[7; 32]).unwrap();
    let id = material_id(here().id, material.expose());
    let entropy = Seeded::new(31);
    let blob = seal_blob(
        &material,
        here().id,
        id,
        &here(),
        context,
        plaintext,
        &entropy,
    );
    (material, blob)
}

/// Parsing and opening in one.
fn open(blob: &[u8], material: &SymmetricMaterial) -> Result<Vec<u8>, UnwrapError> {
    let blob = CiphertextBlob::parse(blob).map_err(|_| UnwrapError)?;
    blob.open(material, &here(), &context(&[]))
        .map(|plaintext| plaintext.to_vec())
}

#[test]
fn a_blob_opens_under_its_material_arn_and_context_only() {
    let bound = context(&[("a", "1"), ("b", "2")]);
    let (material, blob) = sealed(b"secret", &bound);
    assert_eq!(blob.len(), BLOB_OVERHEAD_BYTES + 6);
    let blob = CiphertextBlob::parse(&blob).unwrap();
    assert_eq!(blob.key_id(), here().id);
    assert_eq!(blob.material_id(), material_id(here().id, &[7; 32]));
    let opened = blob.open(&material, &here(), &bound).unwrap();
    assert_eq!(opened.as_slice(), b"secret");

    let other = SymmetricMaterial::parse(&[8; 32]).unwrap();
    assert_eq!(blob.open(&other, &here(), &bound), Err(UnwrapError));
    for elsewhere in ["us-east-2:111122223333", "us-east-1:111122223334"] {
        assert!(blob.open(&material, &arn(elsewhere), &bound).is_err());
    }
    for wrong in [
        context(&[]),
        context(&[("a", "1")]),
        context(&[("a", "1"), ("b", "3")]),
        context(&[("A", "1"), ("b", "2")]),
        context(&[("a", "1b"), ("", "2")]),
        context(&[("a", "1"), ("b", "2"), ("c", "")]),
    ] {
        assert!(blob.open(&material, &here(), &wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn every_flipped_bit_of_a_blob_is_an_error() {
    let (material, mut blob) = sealed(b"secret", &context(&[]));
    for bit in 0..blob.len() * 8 {
        blob[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&blob, &material).is_err(), "bit {bit}");
        blob[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(open(&blob, &material).unwrap(), b"secret");
    for cut in 0..blob.len() {
        assert!(open(&blob[..cut], &material).is_err(), "cut at {cut}");
    }
}

/// One material under two names: the one must not stand for the other.
#[test]
fn the_names_in_a_blob_are_bound() {
    let (material, blob) = sealed(b"secret", &context(&[]));
    let other = KeyId::from_bytes([9; 16]);
    let mut renamed = blob.clone();
    renamed[2..18].copy_from_slice(other.as_bytes());
    let renamed = CiphertextBlob::parse(&renamed).unwrap();
    let arn = KeyArn {
        id: other,
        ..here()
    };
    assert!(renamed.open(&material, &arn, &context(&[])).is_err());
    assert!(renamed.open(&material, &here(), &context(&[])).is_err());
}

#[test]
fn blobs_have_bounds() {
    let most = KMS_BLOB_MAX_BYTES - BLOB_OVERHEAD_BYTES;
    for (len, parses) in [(0, true), (4096, true), (most, true), (most + 1, false)] {
        let (_, blob) = sealed(&pattern(len), &context(&[]));
        assert_eq!(CiphertextBlob::parse(&blob).is_ok(), parses, "{len}");
    }
    let (_, blob) = sealed(b"x", &context(&[]));
    let error = |change: fn(&mut Vec<u8>)| {
        let mut blob = blob.clone();
        change(&mut blob);
        CiphertextBlob::parse(&blob).unwrap_err()
    };
    assert_eq!(error(|blob| blob[0] = 2), FormatError::UnknownVersion(2));
    assert_eq!(error(|blob| blob[1] = 2), FormatError::UnknownSuite(2));
    assert_eq!(error(Vec::clear), FormatError::BadLength);
}

#[test]
fn no_two_blobs_share_a_key() {
    // The commitment stands for the key: both come out of one derivation.
    let material = SymmetricMaterial::parse(&[7; 32]).unwrap();
    let (entropy, none) = (Seeded::new(33), context(&[]));
    let id = KeyMaterialId::from_bytes([1; 32]);
    let mut commitments = BTreeSet::new();
    for _ in 0..20_000 {
        let blob = seal_blob(&material, here().id, id, &here(), &none, b"x", &entropy);
        commitments.insert(blob[82..114].to_vec());
    }
    assert_eq!(commitments.len(), 20_000);
}

#[test]
fn ids_of_materials_differ_by_key_and_are_no_bare_hash() {
    let (a, b) = (KeyId::from_bytes([1; 16]), KeyId::from_bytes([2; 16]));
    assert_ne!(material_id(a, &[7; 32]), material_id(b, &[7; 32]));
    assert_ne!(material_id(a, &[7; 32]), material_id(a, &[8; 32]));
    assert_eq!(material_id(a, &[7; 300]), material_id(a, &[7; 300]));
    let bare = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &[7; 32]);
    assert_ne!(material_id(a, &[7; 32]).as_bytes(), bare.as_ref());
}

fn identity() -> MaterialIdentity {
    MaterialIdentity {
        arn: here(),
        material: KeyMaterialId::from_bytes([9; 32]),
        spec: KeySpec::parse("SYMMETRIC_DEFAULT").unwrap(),
    }
}

#[test]
fn material_opens_with_both_keys_and_its_identity_only() {
    let entropy = Seeded::new(34);
    let (ring, other_ring) = (ring(35), ring(36));
    let (shred, other_shred) = (ShredKey::random(&entropy), ShredKey::random(&entropy));
    for len in [0, 1, 32, MATERIAL_MAX_BYTES] {
        let wrapped = ring.wrap_material(&shred, &identity(), &vec![5; len], &entropy);
        let open = |ring: &Keyring<Unsealed>, shred| {
            ring.unwrap_material(shred, &identity(), &wrapped)
                .map(|material| material.to_vec())
        };
        assert_eq!(open(&ring, &shred), Ok(vec![5; len]));
        assert_eq!(open(&ring, &other_shred), Err(UnwrapError));
        assert_eq!(open(&other_ring, &shred), Err(UnwrapError));
    }
    let longer = vec![5; MATERIAL_MAX_BYTES + 1];
    let wrapped = ring.wrap_material(&shred, &identity(), &longer, &entropy);
    assert!(ring.unwrap_material(&shred, &identity(), &wrapped).is_err());

    let mut wrapped = ring.wrap_material(&shred, &identity(), &[5; 32], &entropy);
    let (mut by_arn, mut by_id, mut by_spec) = (identity(), identity(), identity());
    by_arn.arn = arn("us-east-2:111122223333");
    by_id.material = KeyMaterialId::from_bytes([8; 32]);
    by_spec.spec = KeySpec::parse("HMAC_256").unwrap();
    for other in [by_arn, by_id, by_spec] {
        let opened = ring.unwrap_material(&shred, &other, &wrapped);
        assert!(opened.is_err(), "{other:?}");
    }
    for bit in 0..wrapped.len() * 8 {
        wrapped[bit / 8] ^= 1 << (bit % 8);
        let opened = ring.unwrap_material(&shred, &identity(), &wrapped);
        assert!(opened.is_err(), "bit {bit}");
        wrapped[bit / 8] ^= 1 << (bit % 8);
    }
    for cut in 0..wrapped.len() {
        let opened = ring.unwrap_material(&shred, &identity(), &wrapped[..cut]);
        assert!(opened.is_err(), "cut at {cut}");
    }
}

/// The shred key alone is not enough: a root key of another ring, given the ring's name, fails.
#[test]
fn material_does_not_open_with_another_root_key_of_the_same_name() {
    let entropy = Seeded::new(37);
    let (ring, other) = (ring(38), ring(39));
    let shred = ShredKey::random(&entropy);
    let mut wrapped = ring.wrap_material(&shred, &identity(), &[5; 32], &entropy);
    wrapped[2..18].copy_from_slice(&other.ring_id());
    let opened = other.unwrap_material(&shred, &identity(), &wrapped);
    assert_eq!(opened, Err(UnwrapError));
}

#[test]
fn rotation_of_the_root_key_finds_and_opens_what_is_older() {
    let entropy = Seeded::new(40);
    let mut ring = ring(41);
    let (id, shred) = (ShredId::random(&entropy), ShredKey::random(&entropy));
    let file = ring.seal_shred_key(id, &shred, &entropy);
    let wrapped = ring.wrap_material(&shred, &identity(), &[5; 32], &entropy);
    ring.rotate(Timestamp::from_seconds(1_900_000_000), &entropy);
    assert_eq!(shred_file_root_version(&file), Ok(1));
    assert_eq!(wrapped_material_root_version(&wrapped), Ok(1));
    let shred = ring.open_shred_key(id, &file).unwrap();
    let opened = ring.unwrap_material(&shred, &identity(), &wrapped).unwrap();
    let wrapped = ring.wrap_material(&shred, &identity(), &opened, &entropy);
    let file = ring.seal_shred_key(id, &shred, &entropy);
    assert_eq!(shred_file_root_version(&file), Ok(2));
    assert_eq!(wrapped_material_root_version(&wrapped), Ok(2));
    let shred = ring.open_shred_key(id, &file).unwrap();
    let opened = ring.unwrap_material(&shred, &identity(), &wrapped).unwrap();
    assert_eq!(opened.as_slice(), [5; 32]);
}

#[test]
fn a_shred_file_opens_whole_and_under_its_own_id_only() {
    let entropy = Seeded::new(42);
    let (own, other) = (ring(43), ring(44));
    let (id, shred) = (ShredId::random(&entropy), ShredKey::random(&entropy));
    let mut file = own.seal_shred_key(id, &shred, &entropy);
    assert_eq!(file.len(), SHRED_FILE_LEN_BYTES);
    assert!(own.open_shred_key(id, &file).is_ok());
    let other_id = ShredId::random(&entropy);
    assert!(own.open_shred_key(other_id, &file).is_err());
    assert!(other.open_shred_key(id, &file).is_err());
    for bit in 0..file.len() * 8 {
        file[bit / 8] ^= 1 << (bit % 8);
        assert!(own.open_shred_key(id, &file).is_err(), "bit {bit}");
        // Whoever tampers can mend the checksum: then the seal must tell.
        let mut mended = file.clone();
        let (checked, checksum) = mended.split_last_chunk_mut::<8>().unwrap();
        if bit / 8 < checked.len() {
            let crc64 = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, checked);
            *checksum = crc64.to_be_bytes();
            assert!(own.open_shred_key(id, &mended).is_err(), "bit {bit}");
        }
        file[bit / 8] ^= 1 << (bit % 8);
    }
    for cut in 0..file.len() {
        assert!(own.open_shred_key(id, &file[..cut]).is_err());
    }
    let mut renamed = file.clone();
    renamed[28..44].copy_from_slice(other_id.as_bytes());
    let (checked, checksum) = renamed.split_last_chunk_mut::<8>().unwrap();
    let crc64 = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, checked);
    *checksum = crc64.to_be_bytes();
    assert!(own.open_shred_key(other_id, &renamed).is_err());
}

/// Whether two data keys are one: what one sealed, the other opens.
fn same(a: &DataKey, b: &DataKey) -> bool {
    let attribute = Attribute::PartChecksum(part(1).number, part(1).attempt);
    let stored = a.seal_attribute(attribute, &object(), b"x", &Seeded::new(99));
    b.open_attribute(attribute, &object(), &stored).is_ok()
}

#[test]
fn a_data_key_under_a_key_of_the_service_opens_for_its_object_only() {
    let entropy = Seeded::new(45);
    let (kms, other_kms) = (KmsDataKey::random(&entropy), KmsDataKey::random(&entropy));
    let key = DataKey::random(&entropy);
    let (mut by_bucket, mut by_version) = (object(), object());
    by_bucket.bucket = BucketUid::from_bytes([1; 16]);
    by_version.version = VersionUid::from_bytes([1; 16]);
    for blob_len in [1, 200, KMS_BLOB_MAX_BYTES] {
        let blob = vec![0xB0; blob_len];
        let wrapped = kms.wrap_data_key(&blob, &key, &object(), &entropy);
        assert_eq!(wrapped.mode(), WrapMode::Kms);
        assert_eq!(wrapped.kms_blob(), Some(&blob[..]));
        let parsed = WrappedKey::parse(wrapped.as_bytes()).unwrap();
        assert_eq!(parsed, wrapped);
        let opened = kms.unwrap_data_key(&parsed, &object()).unwrap();
        assert!(same(&key, &opened));
        let (bucket, version) = (object().bucket, object().version);
        let opened = kms.recover_data_key(&parsed, bucket, version).unwrap();
        assert!(same(&key, &opened));
        for other in [&object_named("other"), &by_bucket, &by_version] {
            assert!(kms.unwrap_data_key(&parsed, other).is_err());
        }
        assert!(other_kms.unwrap_data_key(&parsed, &object()).is_err());
        assert!(ring(46).unwrap_data_key(&parsed, &object()).is_err());
    }
    for bad_len in [0, KMS_BLOB_MAX_BYTES + 1, 70_000] {
        let wrapped = kms.wrap_data_key(&vec![0; bad_len], &key, &object(), &entropy);
        assert!(WrappedKey::parse(wrapped.as_bytes()).is_err(), "{bad_len}");
    }
}

#[test]
fn nothing_of_a_record_with_a_blob_can_be_changed() {
    let entropy = Seeded::new(47);
    let kms = KmsDataKey::random(&entropy);
    let key = DataKey::random(&entropy);
    let wrapped = kms.wrap_data_key(b"blob a", &key, &object(), &entropy);
    let mut changed = wrapped.as_bytes().to_vec();
    for bit in 0..changed.len() * 8 {
        changed[bit / 8] ^= 1 << (bit % 8);
        let opened = WrappedKey::parse(&changed)
            .map_err(|_| UnwrapError)
            .and_then(|wrapped| kms.unwrap_data_key(&wrapped, &object()));
        assert!(opened.is_err(), "bit {bit}");
        changed[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn two_layers_hold_two_keys_and_neither_stands_for_the_other() {
    let entropy = Seeded::new(48);
    let mut ring = ring(49);
    let kms = KmsDataKey::random(&entropy);
    let (key, outer) = (DataKey::random(&entropy), OuterKey::random(&entropy));
    let inner = kms.wrap_data_key(b"blob", &key, &object(), &entropy);
    let by_ring = ring.wrap_outer_key(&outer, &object(), &entropy);
    let wrapped = WrappedKey::two_layers(&inner, &by_ring).unwrap();
    let ring_id = ring.ring_id();
    let mode = |version| WrapMode::TwoLayers { ring_id, version };
    assert_eq!(wrapped.mode(), mode(1));
    assert_eq!(wrapped.kms_blob(), Some(&b"blob"[..]));
    assert_eq!(WrappedKey::parse(wrapped.as_bytes()), Ok(wrapped.clone()));
    assert_eq!(wrapped.layers(), Some((inner.clone(), by_ring.clone())));
    assert_eq!(inner.layers(), None);
    let opened = kms.unwrap_data_key(&wrapped, &object()).unwrap();
    assert!(same(&key, &opened));
    let opened = ring.unwrap_outer_key(&wrapped, &object()).unwrap();
    let (bucket, version) = (object().bucket, object().version);
    assert!(ring.recover_outer_key(&wrapped, bucket, version).is_ok());
    assert!(ring.unwrap_data_key(&wrapped, &object()).is_err());
    assert!(ring.unwrap_outer_key(&inner, &object()).is_err());
    let other = object_named("other");
    assert!(ring.unwrap_outer_key(&wrapped, &other).is_err());

    // The root key's version changes, the data key's record stays.
    ring.rotate(Timestamp::from_seconds(1_900_000_000), &entropy);
    let rewrapped = ring.wrap_outer_key(&opened, &object(), &entropy);
    let rewrapped = WrappedKey::two_layers(&inner, &rewrapped).unwrap();
    assert_eq!(rewrapped.mode(), mode(2));
    assert!(ring.unwrap_outer_key(&rewrapped, &object()).is_ok());
    assert!(ring.unwrap_outer_key(&wrapped, &object()).is_ok());

    let of_ring = ring.wrap_data_key(&key, &object(), &entropy);
    let refused = WrappedKey::two_layers(&of_ring, &by_ring);
    assert_eq!(refused, Err(FormatError::UnknownMode(1)));
    // The mode byte of the outer half is 5, that of a data key under the ring 1.
    let mut half = wrapped.as_bytes()[4 + inner.as_bytes().len()..].to_vec();
    let refused = WrappedKey::parse(&half);
    assert_eq!(refused, Err(FormatError::UnknownMode(5)));
    half[1] = 1;
    let relabelled = WrappedKey::parse(&half).unwrap();
    assert!(ring.unwrap_data_key(&relabelled, &object()).is_err());

    let mut changed = wrapped.as_bytes().to_vec();
    for bit in 0..changed.len() * 8 {
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(wrapped) = WrappedKey::parse(&changed) {
            let inner = kms.unwrap_data_key(&wrapped, &object());
            let outer = ring.unwrap_outer_key(&wrapped, &object());
            assert!(inner.is_err() || outer.is_err(), "bit {bit}");
        }
        changed[bit / 8] ^= 1 << (bit % 8);
    }
    for cut in 0..changed.len() {
        assert!(WrappedKey::parse(&changed[..cut]).is_err(), "cut at {cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_as_a_record_do_not_panic(
        mode in 1_u8..6, bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let _ = CiphertextBlob::parse(&[&[1, 1][..], &bytes].concat());
        let _ = WrappedKey::parse(&[&[1, mode][..], &bytes].concat());
        let _ = shred_file_root_version(&[&b"SRK1\x01\x01"[..], &bytes].concat());
        let _ = wrapped_material_root_version(&[&[1, 1][..], &bytes].concat());
    }
}
