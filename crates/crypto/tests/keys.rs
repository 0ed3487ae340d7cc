//! Wrapped keys, the ring, rows, attributes, frames, pages: each opens in its place only.
#![cfg(test)]

mod common;

use common::{Seeded, object, object_named, part, pattern};
use strongroom_crypto::{
    Attribute, CustomerKey, CustomerKeyVerifier, DataKey, FOOTER_END_LEN_BYTES, Footer,
    FormatError, FrameCipher, Keyring, KmsDataKey, OpenError, OuterKey, PageCipher, RingError,
    RootState, RowSealer, Sealed, ServiceKey, ServicePurpose, UnsealKey, Unsealed, UnwrapError,
    WrapMode, WrappedKey, encode_footer, parse_footer, slot_context,
};
use strongroom_types::{AttemptUid, BucketUid, Timestamp, VersionUid};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// Whether two data keys are one: what one sealed, the other opens.
fn same(a: &DataKey, b: &DataKey) -> bool {
    let stored = a.seal_attribute(Attribute::Checksum, &object(), b"x", &Seeded::new(99));
    b.open_attribute(Attribute::Checksum, &object(), &stored)
        .is_ok()
}

fn ring(seed: u64) -> (Keyring<Unsealed>, UnsealKey) {
    Keyring::create(NOW, &Seeded::new(seed))
}

#[test]
fn wrapped_key_opens_for_its_object_only() {
    let entropy = Seeded::new(1);
    let (ring, _) = ring(2);
    let customer = CustomerKey::parse(&[7; 32]).unwrap();
    let key = DataKey::random(&entropy);
    let mut other_bucket = object();
    other_bucket.bucket = BucketUid::from_bytes([1; 16]);
    let mut other_version = object();
    other_version.version = VersionUid::from_bytes([1; 16]);
    let others = [other_bucket, other_version, object_named("other")];

    let wrapped = ring.wrap_data_key(&key, &object(), &entropy);
    assert!(same(
        &key,
        &ring.unwrap_data_key(&wrapped, &object()).unwrap()
    ));
    let by_customer = customer.wrap_data_key(&key, &object(), &entropy);
    assert!(same(
        &key,
        &customer.unwrap_data_key(&by_customer, &object()).unwrap()
    ));
    for other in &others {
        assert_eq!(
            ring.unwrap_data_key(&wrapped, other).err(),
            Some(UnwrapError)
        );
        assert!(customer.unwrap_data_key(&by_customer, other).is_err());
    }
    assert!(customer.unwrap_data_key(&wrapped, &object()).is_err());
    assert!(ring.unwrap_data_key(&by_customer, &object()).is_err());
    let other_customer = CustomerKey::parse(&[8; 32]).unwrap();
    assert!(
        other_customer
            .unwrap_data_key(&by_customer, &object())
            .is_err()
    );
    assert!(super_ring_is_refused(&wrapped));
    assert_eq!(by_customer.mode(), WrapMode::CustomerKey);
}

fn super_ring_is_refused(wrapped: &WrappedKey) -> bool {
    ring(3).0.unwrap_data_key(wrapped, &object()).is_err()
}

#[test]
fn recovery_unwraps_without_the_object_key() {
    let entropy = Seeded::new(1);
    let (ring, _) = ring(2);
    let key = DataKey::random(&entropy);
    let wrapped = ring.wrap_data_key(&key, &object(), &entropy);
    let object = object();
    let recovered = ring.recover_data_key(&wrapped, object.bucket, object.version);
    assert!(same(&key, &recovered.unwrap()));
    let elsewhere = VersionUid::from_bytes([0; 16]);
    assert!(
        ring.recover_data_key(&wrapped, object.bucket, elsewhere)
            .is_err()
    );
}

#[test]
fn every_flipped_bit_of_a_wrapped_key_is_an_error() {
    let entropy = Seeded::new(1);
    let (ring, _) = ring(2);
    let customer = CustomerKey::parse(&[7; 32]).unwrap();
    let key = DataKey::random(&entropy);
    for wrapped in [
        ring.wrap_data_key(&key, &object(), &entropy),
        customer.wrap_data_key(&key, &object(), &entropy),
    ] {
        let mut bytes = wrapped.as_bytes().to_vec();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(changed) = WrappedKey::parse(&bytes) {
                assert!(ring.unwrap_data_key(&changed, &object()).is_err(), "{bit}");
                assert!(
                    customer.unwrap_data_key(&changed, &object()).is_err(),
                    "{bit}"
                );
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for cut in 0..bytes.len() {
            assert!(WrappedKey::parse(&bytes[..cut]).is_err(), "{cut}");
        }
        bytes.push(0);
        assert_eq!(WrappedKey::parse(&bytes), Err(FormatError::BadLength));
    }
    // Mode 5 is only ever the second half of mode 4.
    let outer = [&[1, 5, 16][..], &[0; 148]].concat();
    assert_eq!(WrappedKey::parse(&outer), Err(FormatError::UnknownMode(5)));
    for reserved in [0, 6, 255] {
        let bytes = [&[1, reserved, 0][..], &[0; 132]].concat();
        assert_eq!(
            WrappedKey::parse(&bytes),
            Err(FormatError::UnknownMode(reserved))
        );
    }
}

#[test]
fn what_is_wrapped_anew_opens_without_the_old_version() {
    let entropy = Seeded::new(1);
    let (mut ring, unseal_key) = ring(2);
    let (bucket, version) = (object().bucket, object().version);
    let (key, outer_key) = (DataKey::random(&entropy), OuterKey::random(&entropy));
    let kms_key = KmsDataKey::parse(&[9; 32]).unwrap();
    let single = ring.wrap_data_key(&key, &object(), &entropy);
    let inner = kms_key.wrap_data_key(b"blob", &key, &object(), &entropy);
    let outer = ring.wrap_outer_key(&outer_key, &object(), &entropy);
    let double = WrappedKey::two_layers(&inner, &outer).unwrap();
    let rewrap = |ring: &Keyring<Unsealed>, wrapped: &WrappedKey| {
        ring.rewrap(wrapped, bucket, version, &entropy)
    };
    for wrapped in [&single, &double, &inner] {
        assert_eq!(rewrap(&ring, wrapped), Ok(None), "nothing to do");
    }
    let before = ring.duplicate().unwrap();
    ring.rotate(NOW, &entropy);
    assert_eq!(rewrap(&ring, &inner), Ok(None));
    let new_single = rewrap(&ring, &single).unwrap().unwrap();
    let new_double = rewrap(&ring, &double).unwrap().unwrap();
    for (new, old) in [(&new_single, &single), (&new_double, &double)] {
        assert_eq!((old.root_version(), new.root_version()), (Some(1), Some(2)));
        assert!(
            before.unwrap_data_key(new, &object()).is_err(),
            "the old version is not enough"
        );
    }
    // The inner layer is the key service's, and stays byte for byte.
    assert_eq!(new_double.layers().unwrap().0, inner);
    // Another object's, and a damaged one, are not wrapped anew.
    let elsewhere = VersionUid::from_bytes([0x77; 16]);
    assert!(ring.rewrap(&single, bucket, elsewhere, &entropy).is_err());
    let mut bytes = single.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    assert!(rewrap(&ring, &WrappedKey::parse(&bytes).unwrap()).is_err());

    assert_eq!(ring.retire(2), Err(RingError::NotRetirable(2)));
    assert_eq!(ring.retire(7), Err(RingError::NotRetirable(7)));
    ring.retire(1).unwrap();
    let file = ring.encode(&unseal_key, &entropy);
    let ring = Keyring::<Sealed>::parse(&file)
        .unwrap()
        .unseal(&unseal_key)
        .unwrap();
    assert!(ring.unwrap_data_key(&single, &object()).is_err());
    assert!(rewrap(&ring, &single).is_err());
    assert!(same(
        &key,
        &ring.unwrap_data_key(&new_single, &object()).unwrap()
    ));
    assert!(ring.unwrap_outer_key(&new_double, &object()).is_ok());
    assert!(same(
        &key,
        &kms_key.unwrap_data_key(&new_double, &object()).unwrap()
    ));
}

#[test]
fn old_root_versions_still_unwrap_after_rotation() {
    let entropy = Seeded::new(1);
    let (mut ring, unseal_key) = ring(2);
    let key = DataKey::random(&entropy);
    let old = ring.wrap_data_key(&key, &object(), &entropy);
    let row = RowSealer::new(ring.service_key(ServicePurpose::Rows)).seal(1, b"k", b"v", &entropy);
    ring.rotate(NOW, &entropy);
    ring.rotate(NOW, &entropy);
    let new = ring.wrap_data_key(&key, &object(), &entropy);
    let file = ring.encode(&unseal_key, &entropy);
    let ring = Keyring::<Sealed>::parse(&file)
        .unwrap()
        .unseal(&unseal_key)
        .unwrap();
    assert_eq!((ring.active_version(), ring.generation()), (3, 1));
    let states: Vec<_> = ring
        .root_versions()
        .iter()
        .map(|v| (v.version, v.state))
        .collect();
    assert_eq!(
        states,
        [
            (1, RootState::UnwrapOnly),
            (2, RootState::UnwrapOnly),
            (3, RootState::Active)
        ]
    );
    let ring_id = ring.ring_id();
    assert_eq!(
        old.mode(),
        WrapMode::RootRing {
            ring_id,
            version: 1
        }
    );
    assert_eq!(
        new.mode(),
        WrapMode::RootRing {
            ring_id,
            version: 3
        }
    );
    for wrapped in [old, new] {
        assert!(same(
            &key,
            &ring.unwrap_data_key(&wrapped, &object()).unwrap()
        ));
    }
    // Service keys outlive the version that wrapped them.
    let rows = RowSealer::new(ring.service_key(ServicePurpose::Rows));
    assert_eq!(rows.open(1, b"k", &row).unwrap(), b"v");
}

#[test]
fn ring_file_tells_a_wrong_key_from_damage() {
    let (mut ring, unseal_key) = ring(2);
    let entropy = Seeded::new(5);
    ring.add_slot(1, "/etc/strongroom/unseal.key", vec![1, 2, 3]);
    ring.add_slot(9, "", Vec::new());
    let first = ring.encode(&unseal_key, &entropy);
    let mut file = ring.encode(&unseal_key, &entropy);
    assert_ne!(first, file);

    let sealed = Keyring::<Sealed>::parse(&file).unwrap();
    assert_eq!((sealed.generation(), sealed.ring_id()), (2, ring.ring_id()));
    assert_eq!(sealed.slots(), ring.slots());
    assert_eq!(sealed.slot_context(1), slot_context(&ring.ring_id(), 1));
    let wrong = sealed.unseal(&UnsealKey::random(&entropy)).unwrap_err();
    assert_eq!(wrong, RingError::WrongUnsealKey);

    for at in 0..file.len() {
        file[at] ^= 0x10;
        let error = Keyring::<Sealed>::parse(&file).unwrap_err();
        let expected = if at < 4 {
            RingError::NotARing
        } else {
            RingError::Damaged
        };
        assert_eq!(error, expected, "byte {at}");
        // An attacker can mend the checksum: then the keys must not open.
        let mut mended = file.clone();
        mend(&mut mended);
        let opened = Keyring::<Sealed>::parse(&mended).and_then(|ring| ring.unseal(&unseal_key));
        assert_eq!(opened.is_err(), at < file.len() - 8, "byte {at}");
        file[at] ^= 0x10;
    }
    for cut in 0..file.len() {
        assert!(Keyring::<Sealed>::parse(&file[..cut]).is_err());
    }
    assert!(Keyring::<Sealed>::parse(&[&file[..], &[0]].concat()).is_err());
    let mut newer = file.clone();
    newer[4] = 2;
    mend(&mut newer);
    assert_eq!(
        Keyring::<Sealed>::parse(&newer).unwrap_err(),
        RingError::UnknownVersion(2)
    );
    assert!(
        Keyring::<Sealed>::parse(&file)
            .unwrap()
            .unseal(&unseal_key)
            .is_ok()
    );
}

fn mend(file: &mut [u8]) {
    let (checked, checksum) = file.split_last_chunk_mut::<8>().unwrap();
    *checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, checked).to_be_bytes();
}

#[test]
fn debug_of_rings_and_keys_shows_no_secret() {
    let (mut ring, unseal_key) = ring(2);
    ring.add_slot(1, "here", vec![0xAB; 4]);
    let text = format!("{ring:?} {unseal_key:?}");
    assert!(text.contains("here") && !text.contains("171"), "{text}");
    let wrapped = ring.wrap_data_key(
        &DataKey::random(&Seeded::new(1)),
        &object(),
        &Seeded::new(1),
    );
    assert!(!format!("{wrapped:?}").contains("bytes"));
}

#[test]
fn ring_is_shared_between_threads() {
    fn assert_shared<T: Send + Sync>() {}
    assert_shared::<Keyring<Unsealed>>();
    assert_shared::<RowSealer>();
    assert_shared::<FrameCipher>();
    assert_shared::<PageCipher>();
}

#[test]
fn rows_open_in_their_place_only() {
    let entropy = Seeded::new(3);
    let rows = RowSealer::new(&ServiceKey::random(&entropy));
    for len in [0, 1, 300, 65536] {
        let mut stored = rows.seal(4, b"key", &pattern(len), &entropy);
        assert_eq!(rows.open(4, b"key", &stored).unwrap(), pattern(len));
        assert_eq!(rows.open(5, b"key", &stored), Err(OpenError::Damaged));
        assert_eq!(rows.open(4, b"keyy", &stored), Err(OpenError::Damaged));
        for bit in 0..stored.len().min(400) * 8 {
            stored[bit / 8] ^= 1 << (bit % 8);
            assert!(rows.open(4, b"key", &stored).is_err(), "{bit}");
            stored[bit / 8] ^= 1 << (bit % 8);
        }
    }
    let stored = rows.seal(4, b"key", b"v", &entropy);
    let others = RowSealer::new(&ServiceKey::random(&entropy));
    assert_eq!(others.open(4, b"key", &stored), Err(OpenError::Damaged));
    assert!(rows.open(4, b"key", &stored[..20]).is_err());
    assert_ne!(stored, rows.seal(4, b"key", b"v", &entropy));
}

#[test]
fn attributes_open_in_their_place_only() {
    let entropy = Seeded::new(3);
    let key = DataKey::random(&entropy);
    let checksum_of_part = Attribute::PartChecksum(part(3).number, part(3).attempt);
    let all = [
        Attribute::Checksum,
        checksum_of_part,
        Attribute::PartChecksum(part(4).number, part(3).attempt),
        Attribute::PartChecksum(part(3).number, AttemptUid::from_bytes([0; 16])),
        Attribute::FooterRecord,
    ];
    for attribute in all {
        let mut stored = key.seal_attribute(attribute, &object(), b"crc", &entropy);
        for other in all {
            let opened = key.open_attribute(other, &object(), &stored);
            assert_eq!(opened.is_ok(), other == attribute);
        }
        assert!(
            key.open_attribute(attribute, &object_named("other"), &stored)
                .is_err()
        );
        for bit in 0..stored.len() * 8 {
            stored[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open_attribute(attribute, &object(), &stored).is_err());
            stored[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn frames_open_at_their_index_only() {
    let entropy = Seeded::new(3);
    let service_key = ServiceKey::random(&entropy);
    let frames = FrameCipher::new(&service_key, &[1; 32]);
    let mut buffer = b"clear".to_vec();
    buffer.extend_from_slice(b"secret");
    frames.seal(7, b"aad", &mut buffer, 5);
    assert_eq!(&buffer[..5], b"clear");
    let stored = &buffer[5..];
    assert_eq!(
        frames.open(7, b"aad", &mut stored.to_vec()).unwrap(),
        b"secret"
    );
    assert!(frames.open(8, b"aad", &mut stored.to_vec()).is_err());
    assert!(frames.open(7, b"bad", &mut stored.to_vec()).is_err());
    let other = FrameCipher::new(&service_key, &[2; 32]);
    assert!(other.open(7, b"aad", &mut stored.to_vec()).is_err());
    for at in 0..stored.len() {
        let mut changed = stored.to_vec();
        changed[at] ^= 1;
        assert!(frames.open(7, b"aad", &mut changed).is_err());
        assert!(changed.iter().all(|&byte| byte == 0), "wiped");
    }
    assert!(frames.open(7, b"aad", &mut [0; 15]).is_err());
}

#[test]
fn verifier_knows_its_customer_key() {
    let entropy = Seeded::new(3);
    let (key, other) = (
        CustomerKey::parse(&[1; 32]).unwrap(),
        CustomerKey::parse(&[2; 32]).unwrap(),
    );
    let pepper = ServiceKey::random(&entropy);
    let verifier = CustomerKeyVerifier::create(&key, &pepper, &entropy);
    let parsed = CustomerKeyVerifier::parse(verifier.as_bytes()).unwrap();
    assert!(parsed.verify(&key, &pepper));
    assert!(!parsed.verify(&other, &pepper));
    assert!(!parsed.verify(&key, &ServiceKey::random(&entropy)));
    assert_ne!(
        verifier,
        CustomerKeyVerifier::create(&key, &pepper, &entropy)
    );
    for at in 0..64 {
        let mut changed = *verifier.as_bytes();
        changed[at] ^= 1;
        assert!(
            !CustomerKeyVerifier::parse(&changed)
                .unwrap()
                .verify(&key, &pepper)
        );
    }
    assert!(CustomerKeyVerifier::parse(&[0; 63]).is_err());
}

#[test]
fn footer_parses_from_the_end_of_a_file() {
    let entropy = Seeded::new(3);
    let wrapped_key = ring(2)
        .0
        .wrap_data_key(&DataKey::random(&entropy), &object(), &entropy);
    let footer = Footer {
        wrapped_key,
        record: b"sealed record".to_vec(),
        encryption: None,
        header_checksum: Some([7; 8]),
        blob_id: Some([9; 16]),
    };
    let bytes = encode_footer(&footer);
    let file = [&b"header and segments"[..], &bytes].concat();
    assert_eq!(parse_footer(&file), Ok((footer.clone(), bytes.len())));
    assert_eq!(parse_footer(&bytes), Ok((footer.clone(), bytes.len())));
    for cut in 0..bytes.len() {
        let needed_bytes = match cut {
            ..FOOTER_END_LEN_BYTES => FOOTER_END_LEN_BYTES,
            _ => bytes.len(),
        };
        assert_eq!(
            parse_footer(&bytes[bytes.len() - cut..]),
            Err(FormatError::Incomplete { needed_bytes })
        );
        let mut changed = bytes.clone();
        changed[cut] ^= 0x20;
        assert!(parse_footer(&changed).is_err(), "byte {cut}");
    }
    assert_eq!(
        parse_footer(&with_field(&bytes, 0x7F)),
        Err(FormatError::UnknownField(0x7F))
    );
    assert_eq!(parse_footer(&with_field(&bytes, 0x82)).unwrap().0, footer);
    // Once, and of eight and sixteen bytes.
    for known in [0x80, 0x81] {
        assert!(parse_footer(&with_field(&bytes, known)).is_err());
    }
    let bare = encode_footer(&Footer {
        header_checksum: None,
        blob_id: None,
        ..footer
    });
    for known in [0x80, 0x81] {
        assert_eq!(
            parse_footer(&with_field(&bare, known)),
            Err(FormatError::BadLength)
        );
    }
    assert_eq!(
        parse_footer(&with_field(&bytes, 2)),
        Err(FormatError::UnknownField(2))
    );
}

/// The footer with one more field, its length and checksum right.
fn with_field(footer: &[u8], kind: u8) -> Vec<u8> {
    let mut out = footer[..footer.len() - 16].to_vec();
    out.extend_from_slice(&[kind, 0, 0, 0, 1, 0xEE]);
    out.extend_from_slice(&u32::try_from(out.len() + 16).unwrap().to_be_bytes());
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &out);
    out.extend_from_slice(&u32::try_from(checksum).unwrap().to_be_bytes());
    out.extend_from_slice(b"SRBFOOT1");
    out
}
