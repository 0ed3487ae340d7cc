//! Every spec with every algorithm and message type: what must work, and what must be refused.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use common::{asymmetric_specs, fixed_key};
use strongroom_asymmetric::{AsymmetricError, PrivateKey};
use strongroom_types::kms::{EncryptionAlgorithm, KeySpec, MessageType, SigningAlgorithm};

const MESSAGE: &[u8] = b"a message of some length";

/// The message or its digest, as `message_type` wants it; none if the algorithm does not take it.
fn input(algorithm: SigningAlgorithm, message_type: MessageType) -> Option<Vec<u8>> {
    use SigningAlgorithm as S;
    let hash = match algorithm {
        S::RsassaPssSha256 | S::RsassaPkcs1V15Sha256 | S::EcdsaSha256 => Some(&SHA256),
        S::RsassaPssSha384 | S::RsassaPkcs1V15Sha384 | S::EcdsaSha384 => Some(&SHA384),
        S::RsassaPssSha512 | S::RsassaPkcs1V15Sha512 | S::EcdsaSha512 | S::Ed25519PhSha512 => {
            Some(&SHA512)
        }
        S::Ed25519Sha512 | S::MlDsaShake256 | S::Sm2Dsa => None,
    };
    match message_type {
        MessageType::Raw => (algorithm != S::Ed25519PhSha512).then(|| MESSAGE.to_vec()),
        MessageType::Digest => hash.map(|hash| digest(hash, MESSAGE).as_ref().to_vec()),
        MessageType::ExternalMu => (algorithm == S::MlDsaShake256).then(|| vec![0x3c; 64]),
    }
}

#[test]
fn every_signature_verifies_and_no_changed_one_does() {
    let mut signatures = 0;
    for spec in asymmetric_specs() {
        let key = fixed_key(spec);
        for algorithm in spec.signing_algorithms() {
            for message_type in MessageType::ALL {
                let Some(message) = input(*algorithm, *message_type) else {
                    continue;
                };
                let what = format!("{spec:?} {algorithm:?} {message_type:?}");
                let signature = key.sign(*algorithm, *message_type, &message).unwrap();
                let verify = |message: &[u8], signature: &[u8]| {
                    key.verify(*algorithm, *message_type, message, signature)
                };
                assert_eq!(verify(&message, &signature), Ok(()), "{what}");
                signatures += 1;

                let refused = Err(AsymmetricError::InvalidSignature);
                for byte in [0, signature.len() / 2, signature.len() - 1] {
                    let mut changed = signature.clone();
                    changed[byte] ^= 1;
                    assert_eq!(verify(&message, &changed), refused, "{what} at {byte}");
                }
                assert_eq!(verify(&message, &signature[1..]), refused, "{what}");
                assert_eq!(verify(&message, &[]), refused, "{what}");
                let mut longer = signature.clone();
                longer.push(0);
                assert_eq!(verify(&message, &longer), refused, "{what}");
                let mut other = message.clone();
                other[0] ^= 1;
                assert_eq!(verify(&other, &signature), refused, "{what}");
            }
        }
    }
    // 3 RSA specs x 6 algorithms x 2 types, 4 curves x 2, Ed25519 2, ML-DSA 3 x 2.
    assert_eq!(signatures, 36 + 8 + 2 + 6);
}

#[test]
fn a_digest_signature_is_the_signature_of_the_message() {
    for spec in asymmetric_specs() {
        let key = fixed_key(spec);
        for algorithm in spec.signing_algorithms() {
            let types = [MessageType::Raw, MessageType::Digest];
            let [Some(raw), Some(hashed)] = types.map(|kind| input(*algorithm, kind)) else {
                continue;
            };
            let signature = key.sign(*algorithm, MessageType::Digest, &hashed).unwrap();
            assert_eq!(
                key.verify(*algorithm, MessageType::Raw, &raw, &signature),
                Ok(()),
                "{spec:?} {algorithm:?}"
            );
        }
    }
}

#[test]
fn signatures_have_the_shapes_of_aws() {
    let fixed_lengths = [
        (KeySpec::Rsa2048, 256),
        (KeySpec::Rsa3072, 384),
        (KeySpec::Rsa4096, 512),
        (KeySpec::EccNistEdwards25519, 64),
        (KeySpec::MlDsa44, 2420),
        (KeySpec::MlDsa65, 3309),
        (KeySpec::MlDsa87, 4627),
    ];
    for spec in asymmetric_specs() {
        let key = fixed_key(spec);
        for algorithm in spec.signing_algorithms() {
            let kind = if *algorithm == SigningAlgorithm::Ed25519PhSha512 {
                MessageType::Digest
            } else {
                MessageType::Raw
            };
            let message = input(*algorithm, kind).unwrap();
            let signature = key.sign(*algorithm, kind, &message).unwrap();
            let len = fixed_lengths.iter().find(|(known, _)| *known == spec);
            match len {
                Some((_, len)) => assert_eq!(signature.len(), *len, "{spec:?}"),
                None => assert_eq!(signature[0], 0x30, "{spec:?}: DER"),
            }
        }
    }
}

#[test]
fn only_the_algorithms_of_the_spec_are_taken() {
    for spec in asymmetric_specs() {
        let key = fixed_key(spec);
        for algorithm in SigningAlgorithm::ALL {
            if spec.signing_algorithms().contains(algorithm) {
                continue;
            }
            for kind in MessageType::ALL {
                let refused = AsymmetricError::SigningAlgorithm {
                    algorithm: *algorithm,
                    spec,
                };
                assert_eq!(key.sign(*algorithm, *kind, MESSAGE), Err(refused));
                assert_eq!(
                    key.verify(*algorithm, *kind, MESSAGE, &[0; 64]),
                    Err(refused)
                );
            }
        }
        for algorithm in EncryptionAlgorithm::ALL {
            if spec.encryption_algorithms().contains(algorithm) {
                continue;
            }
            let refused = AsymmetricError::EncryptionAlgorithm {
                algorithm: *algorithm,
                spec,
            };
            assert_eq!(key.encrypt(*algorithm, MESSAGE), Err(refused));
            assert_eq!(key.decrypt(*algorithm, MESSAGE).err(), Some(refused));
            assert_eq!(key.max_plaintext_len_bytes(*algorithm), Err(refused));
        }
    }
}

#[test]
fn only_the_message_types_of_the_algorithm_are_taken() {
    for spec in asymmetric_specs() {
        let key = fixed_key(spec);
        for algorithm in spec.signing_algorithms() {
            for message_type in MessageType::ALL {
                if input(*algorithm, *message_type).is_some() {
                    continue;
                }
                let refused = AsymmetricError::MessageType {
                    message_type: *message_type,
                    algorithm: *algorithm,
                };
                assert_eq!(key.sign(*algorithm, *message_type, &[0; 64]), Err(refused));
                assert_eq!(
                    key.verify(*algorithm, *message_type, &[0; 64], &[0; 64]),
                    Err(refused)
                );
            }
        }
    }
}

#[test]
fn a_digest_has_exactly_the_length_of_the_hash() {
    for spec in asymmetric_specs() {
        let key = fixed_key(spec);
        for algorithm in spec.signing_algorithms() {
            let Some(right) = input(*algorithm, MessageType::Digest) else {
                continue;
            };
            for len in (0..=80).filter(|len| *len != right.len()) {
                let wrong = vec![7; len];
                let refused = Err(AsymmetricError::DigestLength(*algorithm));
                assert_eq!(
                    key.sign(*algorithm, MessageType::Digest, &wrong),
                    refused,
                    "{spec:?} {algorithm:?} {len}"
                );
                assert_eq!(
                    key.verify(*algorithm, MessageType::Digest, &wrong, &[0; 64]),
                    Err(AsymmetricError::DigestLength(*algorithm))
                );
            }
        }
    }
    for len in [0, 32, 63, 65] {
        assert_eq!(
            fixed_key(KeySpec::MlDsa44).sign(
                SigningAlgorithm::MlDsaShake256,
                MessageType::ExternalMu,
                &vec![7; len]
            ),
            Err(AsymmetricError::DigestLength(
                SigningAlgorithm::MlDsaShake256
            ))
        );
    }
    assert_eq!(
        AsymmetricError::DigestLength(SigningAlgorithm::RsassaPssSha256).to_string(),
        "Digest is invalid length for algorithm RSASSA_PSS_SHA_256."
    );
}

#[test]
fn oaep_takes_up_to_the_limit_of_aws_and_not_a_byte_more() {
    let limits = [
        (KeySpec::Rsa2048, 214, 190),
        (KeySpec::Rsa3072, 342, 318),
        (KeySpec::Rsa4096, 470, 446),
    ];
    for (spec, sha1, sha256) in limits {
        let key = fixed_key(spec);
        for (algorithm, limit) in [
            (EncryptionAlgorithm::RsaesOaepSha1, sha1),
            (EncryptionAlgorithm::RsaesOaepSha256, sha256),
        ] {
            assert_eq!(key.max_plaintext_len_bytes(algorithm), Ok(limit));
            for len in [0, 1, limit - 1, limit] {
                let plaintext = vec![0xa5; len];
                let ciphertext = key.encrypt(algorithm, &plaintext).unwrap();
                assert_eq!(*key.decrypt(algorithm, &ciphertext).unwrap(), plaintext);
            }
            let refused = key.encrypt(algorithm, &vec![0; limit + 1]).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!(
                    "Algorithm {} and key spec {} cannot encrypt data larger than {limit} bytes.",
                    algorithm.name(),
                    spec.name()
                )
            );
        }
    }
}

#[test]
fn a_changed_or_foreign_ciphertext_does_not_decrypt() {
    let [sha1, sha256] = [
        EncryptionAlgorithm::RsaesOaepSha1,
        EncryptionAlgorithm::RsaesOaepSha256,
    ];
    let key = fixed_key(KeySpec::Rsa2048);
    let other = PrivateKey::generate(KeySpec::Rsa2048).unwrap();
    let ciphertext = key.encrypt(sha256, MESSAGE).unwrap();
    let refused = Some(AsymmetricError::Decrypt);
    for byte in (0..ciphertext.len()).step_by(17) {
        let mut changed = ciphertext.clone();
        changed[byte] ^= 0x10;
        assert_eq!(key.decrypt(sha256, &changed).err(), refused);
    }
    assert_eq!(key.decrypt(sha1, &ciphertext).err(), refused);
    assert_eq!(other.decrypt(sha256, &ciphertext).err(), refused);
    assert_eq!(key.decrypt(sha256, &ciphertext[1..]).err(), refused);
    assert_eq!(key.decrypt(sha256, &[]).err(), refused);
    assert_eq!(key.decrypt(sha256, &[0xff; 256]).err(), refused);
    assert_eq!(key.decrypt(sha256, &[0; 10_000]).err(), refused);
}

#[test]
fn both_sides_derive_the_same_secret() {
    for (spec, len) in [
        (KeySpec::EccNistP256, 32),
        (KeySpec::EccNistP384, 48),
        (KeySpec::EccNistP521, 66),
    ] {
        let here = fixed_key(spec);
        let there = PrivateKey::generate(spec).unwrap();
        let secret = here.derive_shared_secret(there.public_key_der()).unwrap();
        assert_eq!(secret.len(), len);
        assert_eq!(
            secret,
            there.derive_shared_secret(here.public_key_der()).unwrap()
        );
    }
}

#[test]
fn a_peer_key_is_a_whole_spki_of_the_same_curve() {
    let key = fixed_key(KeySpec::EccNistP256);
    let peer = PrivateKey::generate(KeySpec::EccNistP256).unwrap();
    let spki = peer.public_key_der();
    let refused = Some(AsymmetricError::PeerPublicKey(KeySpec::EccNistP256));
    for spec in asymmetric_specs().filter(|spec| *spec != KeySpec::EccNistP256) {
        let foreign = fixed_key(spec);
        assert_eq!(
            key.derive_shared_secret(foreign.public_key_der()).err(),
            refused
        );
        if !matches!(spec, KeySpec::EccNistP384 | KeySpec::EccNistP521) {
            assert_eq!(
                foreign.derive_shared_secret(foreign.public_key_der()).err(),
                Some(AsymmetricError::KeyAgreement(spec))
            );
        }
    }
    let point = &spki[spki.len() - 65..];
    let mut off_curve = spki.to_vec();
    *off_curve.last_mut().unwrap() ^= 1;
    let mut trailing = spki.to_vec();
    trailing.push(0);
    for bad in [&[][..], point, &off_curve, &trailing, &spki[..90]] {
        assert_eq!(key.derive_shared_secret(bad).err(), refused);
    }
}

#[test]
fn a_reloaded_key_is_the_same_key() {
    for spec in asymmetric_specs() {
        let key = PrivateKey::generate(spec).unwrap();
        let again = PrivateKey::from_pkcs8(spec, key.pkcs8()).unwrap();
        assert_eq!(again.spec(), spec);
        assert_eq!(again.pkcs8(), key.pkcs8(), "{spec:?}");
        assert_eq!(again.public_key_der(), key.public_key_der(), "{spec:?}");
    }
}

#[test]
fn a_key_is_read_as_its_own_spec_only() {
    for spec in asymmetric_specs() {
        let key = fixed_key(spec);
        for other in KeySpec::ALL.iter().filter(|other| **other != spec) {
            let refused = if asymmetric_specs().any(|spec| spec == *other) {
                AsymmetricError::KeyMaterial(*other)
            } else {
                AsymmetricError::UnsupportedKeySpec(*other)
            };
            assert_eq!(
                PrivateKey::from_pkcs8(*other, key.pkcs8()).err(),
                Some(refused),
                "{spec:?} as {other:?}"
            );
        }
    }
}

#[test]
fn damaged_key_material_is_refused() {
    for spec in asymmetric_specs() {
        let key = fixed_key(spec);
        let refused = Some(AsymmetricError::KeyMaterial(spec));
        let read = |bytes: &[u8]| PrivateKey::from_pkcs8(spec, bytes).err();
        let mut trailing = key.pkcs8().to_vec();
        trailing.push(0);
        assert_eq!(read(&trailing), refused, "{spec:?}");
        assert_eq!(read(&key.pkcs8()[..key.pkcs8().len() - 1]), refused);
        assert_eq!(read(key.public_key_der()), refused);
        assert_eq!(read(&[]), refused);
        assert_eq!(read(&[0x30, 0]), refused);
    }
}

/// In these encodings the last byte belongs to something that the rest determines: the coefficient
/// of RSA, the public point of a curve.
#[test]
fn inconsistent_key_material_is_refused() {
    for spec in asymmetric_specs() {
        if spec.name().contains("EDWARDS") || spec.name().starts_with("ML_DSA") {
            continue;
        }
        let mut changed = fixed_key(spec).pkcs8().to_vec();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(
            PrivateKey::from_pkcs8(spec, &changed).err(),
            Some(AsymmetricError::KeyMaterial(spec))
        );
    }
}

#[test]
fn symmetric_specs_and_sm2_make_no_private_key() {
    for spec in KeySpec::ALL {
        if !asymmetric_specs().any(|known| known == *spec) {
            assert_eq!(
                PrivateKey::generate(*spec).err(),
                Some(AsymmetricError::UnsupportedKeySpec(*spec))
            );
        }
    }
}

#[test]
fn debug_shows_the_spec_alone() {
    let key = fixed_key(KeySpec::EccNistP256);
    assert_eq!(format!("{key:?}"), "PrivateKey(ECC_NIST_P256, REDACTED)");
}
