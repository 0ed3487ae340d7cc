//! HMAC keys and imported key material.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::atomic::{AtomicU8, Ordering};

use aws_lc_rs::key_wrap::{AES_128, AES_256, AesBlockCipher, AesKek, KeyWrapPadded as _};
use common::fixed_key;
use strongroom_asymmetric::{AsymmetricError, ImportWrappingKey, MacKey, PrivateKey};
use strongroom_types::Entropy;
use strongroom_types::kms::{
    EncryptionAlgorithm, KeySpec, MacAlgorithm, WrappingAlgorithm, WrappingKeySpec,
};

struct Counter(AtomicU8);

impl Entropy for Counter {
    fn fill(&self, out: &mut [u8]) {
        out.fill_with(|| self.0.fetch_add(1, Ordering::Relaxed));
    }
}

const MAC_SPECS: [(KeySpec, MacAlgorithm, usize, usize); 4] = [
    (KeySpec::Hmac224, MacAlgorithm::HmacSha224, 28, 64),
    (KeySpec::Hmac256, MacAlgorithm::HmacSha256, 32, 64),
    (KeySpec::Hmac384, MacAlgorithm::HmacSha384, 48, 128),
    (KeySpec::Hmac512, MacAlgorithm::HmacSha512, 64, 128),
];

#[test]
fn a_mac_key_comes_from_the_entropy_and_is_as_long_as_the_hash() {
    for (spec, algorithm, len, _) in MAC_SPECS {
        let key = MacKey::generate(spec, &Counter(1.into())).unwrap();
        assert_eq!(key.spec(), spec);
        assert_eq!(key.bytes().len(), len);
        assert_eq!(key.bytes()[..3], [1, 2, 3]);
        assert_eq!(key.mac(algorithm, b"m").unwrap().len(), len);
        let again = MacKey::from_bytes(spec, key.bytes()).unwrap();
        assert_eq!(key.mac(algorithm, b"m"), again.mac(algorithm, b"m"));
        assert_eq!(
            format!("{key:?}"),
            format!("MacKey({}, REDACTED)", spec.name())
        );
    }
}

#[test]
fn imported_mac_keys_have_the_lengths_that_aws_takes() {
    for (spec, _, min, max) in MAC_SPECS {
        for len in 0..=200 {
            let made = MacKey::from_bytes(spec, &vec![9; len]);
            if (min..=max).contains(&len) {
                assert_eq!(made.unwrap().bytes().len(), len);
            } else {
                assert_eq!(made.err(), Some(AsymmetricError::KeyMaterial(spec)));
            }
        }
    }
}

#[test]
fn only_the_whole_unchanged_mac_verifies() {
    for (spec, algorithm, ..) in MAC_SPECS {
        let key = MacKey::generate(spec, &Counter(0.into())).unwrap();
        let mac = key.mac(algorithm, b"message").unwrap();
        assert_eq!(key.verify(algorithm, b"message", &mac), Ok(()));
        let refused = Err(AsymmetricError::InvalidMac);
        for byte in 0..mac.len() {
            let mut changed = mac.clone();
            changed[byte] ^= 0x80;
            assert_eq!(key.verify(algorithm, b"message", &changed), refused);
            assert_eq!(key.verify(algorithm, b"message", &mac[..byte]), refused);
        }
        assert_eq!(key.verify(algorithm, b"massage", &mac), refused);
    }
}

#[test]
fn a_mac_key_takes_its_own_algorithm_alone() {
    for (spec, own, ..) in MAC_SPECS {
        let key = MacKey::generate(spec, &Counter(0.into())).unwrap();
        for algorithm in MacAlgorithm::ALL.iter().filter(|other| **other != own) {
            let refused = AsymmetricError::MacAlgorithm {
                algorithm: *algorithm,
                spec,
            };
            assert_eq!(key.mac(*algorithm, b"m"), Err(refused));
            assert_eq!(key.verify(*algorithm, b"m", b"m"), Err(refused));
        }
    }
    assert_eq!(
        AsymmetricError::MacAlgorithm {
            algorithm: MacAlgorithm::HmacSha256,
            spec: KeySpec::Hmac224,
        }
        .to_string(),
        "Algorithm HMAC_SHA_256 is incompatible with key spec HMAC_224."
    );
}

#[test]
fn other_specs_make_no_mac_key() {
    for spec in KeySpec::ALL {
        if spec.mac_algorithm().is_none() {
            let refused = Some(AsymmetricError::UnsupportedKeySpec(*spec));
            assert_eq!(MacKey::generate(*spec, &Counter(0.into())).err(), refused);
            assert_eq!(MacKey::from_bytes(*spec, &[0; 64]).err(), refused);
        }
    }
}

/// What a client does with the public key of GetParametersForImport. (`PrivateKey` has the public
/// half's operations.)
struct Client {
    key: PrivateKey,
}

impl Client {
    fn of(wrapping: &ImportWrappingKey) -> Self {
        let key = PrivateKey::from_pkcs8(KeySpec::Rsa2048, wrapping.pkcs8()).unwrap();
        assert_eq!(key.public_key_der(), wrapping.public_key_der());
        Self { key }
    }

    fn oaep(&self, algorithm: EncryptionAlgorithm, bytes: &[u8]) -> Vec<u8> {
        self.key.encrypt(algorithm, bytes).unwrap()
    }

    fn with_aes(
        &self,
        algorithm: EncryptionAlgorithm,
        cipher: &'static AesBlockCipher,
        aes_key: &[u8],
        material: &[u8],
    ) -> Vec<u8> {
        let mut wrapped = self.oaep(algorithm, aes_key);
        let mut output = vec![0; material.len() + 15];
        let kek = AesKek::new(cipher, aes_key).unwrap();
        wrapped.extend_from_slice(kek.wrap_with_padding(material, &mut output).unwrap());
        wrapped
    }
}

const OAEP: [(EncryptionAlgorithm, WrappingAlgorithm, WrappingAlgorithm); 2] = [
    (
        EncryptionAlgorithm::RsaesOaepSha1,
        WrappingAlgorithm::RsaesOaepSha1,
        WrappingAlgorithm::RsaAesKeyWrapSha1,
    ),
    (
        EncryptionAlgorithm::RsaesOaepSha256,
        WrappingAlgorithm::RsaesOaepSha256,
        WrappingAlgorithm::RsaAesKeyWrapSha256,
    ),
];

#[test]
fn wrapped_material_of_every_size_unwraps() {
    let wrapping = ImportWrappingKey::generate(WrappingKeySpec::Rsa2048).unwrap();
    let client = Client::of(&wrapping);
    let rsa = fixed_key(KeySpec::Rsa4096);
    for (oaep, plain, with_aes) in OAEP {
        let wrapped = client.oaep(oaep, &[0x11; 32]);
        assert_eq!(**wrapping.unwrap(plain, &wrapped).unwrap(), [0x11; 32]);

        let wrapped = client.with_aes(oaep, &AES_256, &[5; 32], rsa.pkcs8());
        let material = wrapping.unwrap(with_aes, &wrapped).unwrap();
        let imported = PrivateKey::from_pkcs8(KeySpec::Rsa4096, &material).unwrap();
        assert_eq!(imported.public_key_der(), rsa.public_key_der());
        for len in [1, 7, 8, 9, 16, 32, 121] {
            let material = vec![0x77; len];
            let wrapped = client.with_aes(oaep, &AES_256, &[5; 32], &material);
            assert_eq!(*wrapping.unwrap(with_aes, &wrapped).unwrap(), material);
        }
    }
}

#[test]
fn a_failed_unwrapping_has_one_error() {
    let wrapping = ImportWrappingKey::generate(WrappingKeySpec::Rsa2048).unwrap();
    let client = Client::of(&wrapping);
    let refused = Some(AsymmetricError::Unwrap);
    for (oaep, plain, with_aes) in OAEP {
        let good = client.with_aes(oaep, &AES_256, &[5; 32], &[9; 40]);
        for byte in [0, 100, 255, 256, good.len() - 1] {
            let mut changed = good.clone();
            changed[byte] ^= 1;
            assert_eq!(wrapping.unwrap(with_aes, &changed).err(), refused);
        }
        for len in [0, 1, 255, 256, 257, 264, good.len() - 8, good.len() - 1] {
            assert_eq!(wrapping.unwrap(with_aes, &good[..len]).err(), refused);
        }
        // AWS wants an AES-256 key in between, and no other.
        let short = client.with_aes(oaep, &AES_128, &[5; 16], &[9; 40]);
        assert_eq!(wrapping.unwrap(with_aes, &short).err(), refused);
        assert_eq!(wrapping.unwrap(plain, &good).err(), refused);
    }
    // One algorithm's wrapping is not the other's.
    let wrapped = client.oaep(EncryptionAlgorithm::RsaesOaepSha1, &[1; 32]);
    let sha256 = WrappingAlgorithm::RsaesOaepSha256;
    assert_eq!(wrapping.unwrap(sha256, &wrapped).err(), refused);
    let other = ImportWrappingKey::generate(WrappingKeySpec::Rsa2048).unwrap();
    let sha1 = WrappingAlgorithm::RsaesOaepSha1;
    assert_eq!(other.unwrap(sha1, &wrapped).err(), refused);
}

#[test]
fn withdrawn_and_foreign_wrapping_is_unsupported() {
    let wrapping = ImportWrappingKey::generate(WrappingKeySpec::Rsa2048).unwrap();
    for algorithm in [WrappingAlgorithm::RsaesPkcs1V15, WrappingAlgorithm::Sm2Pke] {
        assert_eq!(
            wrapping.unwrap(algorithm, &[0; 256]).err(),
            Some(AsymmetricError::UnsupportedWrappingAlgorithm(algorithm))
        );
    }
    let refused = Some(AsymmetricError::UnsupportedWrappingKeySpec(
        WrappingKeySpec::Sm2,
    ));
    assert_eq!(
        ImportWrappingKey::generate(WrappingKeySpec::Sm2).err(),
        refused
    );
    assert_eq!(
        ImportWrappingKey::from_pkcs8(WrappingKeySpec::Sm2, wrapping.pkcs8()).err(),
        refused
    );
}

#[test]
fn a_wrapping_key_reloads_as_its_own_spec_only() {
    let wrapping = ImportWrappingKey::generate(WrappingKeySpec::Rsa3072).unwrap();
    let again = ImportWrappingKey::from_pkcs8(WrappingKeySpec::Rsa3072, wrapping.pkcs8()).unwrap();
    assert_eq!(again.spec(), WrappingKeySpec::Rsa3072);
    assert_eq!(again.public_key_der(), wrapping.public_key_der());
    assert_eq!(
        ImportWrappingKey::from_pkcs8(WrappingKeySpec::Rsa2048, wrapping.pkcs8()).err(),
        Some(AsymmetricError::KeyMaterial(KeySpec::Rsa2048))
    );
    assert_eq!(
        format!("{wrapping:?}"),
        "ImportWrappingKey(RSA_3072, REDACTED)"
    );
}
