//! Signatures, codes, public keys and shared secrets, through the service.

use strongroom_types::Timestamp;
use strongroom_types::kms::{
    EncryptionAlgorithm, EncryptionContext, KeyAgreementAlgorithm, KeyArn, KeyOrigin,
};
use zeroize::Zeroizing;

use super::*;
use crate::fixture::{World, root};
use crate::key::Lifecycle;
use crate::{DecryptInput, EncryptInput, ReEncryptInput};

fn sign_input(key: &KeyArn, algorithm: SigningAlgorithm, message: &[u8]) -> SignInput {
    SignInput {
        key_id: key.to_string(),
        message: message.to_vec(),
        message_type: None,
        grant_tokens: Vec::new(),
        signing_algorithm: algorithm,
        dry_run: false,
    }
}

fn sign(world: &World, input: SignInput) -> Result<Vec<u8>, KmsError> {
    world
        .service()
        .sign(&root(), input)
        .map(|output| output.signature)
}

fn verify(
    world: &World,
    key: &KeyArn,
    algorithm: SigningAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, KmsError> {
    let input = VerifyInput {
        key_id: key.to_string(),
        message: message.to_vec(),
        message_type: None,
        signature: signature.to_vec(),
        signing_algorithm: algorithm,
        grant_tokens: Vec::new(),
        dry_run: false,
    };
    world
        .service()
        .verify(&root(), input)
        .map(|output| output.signature_valid)
}

fn public_key(world: &World, key: &KeyArn) -> Result<GetPublicKeyOutput, KmsError> {
    let input = GetPublicKeyInput {
        key_id: key.to_string(),
        grant_tokens: Vec::new(),
    };
    world.service().get_public_key(&root(), input)
}

fn signing_key(world: &World, spec: KeySpec) -> KeyArn {
    world.key(spec, KeyUsage::SignVerify, KeyOrigin::AwsKms)
}

const P256: SigningAlgorithm = SigningAlgorithm::EcdsaSha256;

#[test]
fn what_is_asked_of_memory_computes_nothing_asymmetric() {
    let world = World::new();
    let key = signing_key(&world, KeySpec::EccNistP256);
    let service = world.service();
    assert!(service.sign(&root(), sign_input(&key, P256, b"x")).is_ok());
    let resident = service.resident();
    assert_eq!(
        resident.sign(&root(), sign_input(&key, P256, b"x")).err(),
        Some(KmsError::NotInMemory)
    );
}

#[test]
fn signatures_verify_and_wrong_ones_are_errors_without_a_reason() {
    let world = World::new();
    for spec in [
        KeySpec::EccNistP256,
        KeySpec::EccSecgP256k1,
        KeySpec::EccNistEdwards25519,
        KeySpec::MlDsa44,
    ] {
        let key = signing_key(&world, spec);
        let algorithm = spec.signing_algorithms()[0];
        let signature = sign(&world, sign_input(&key, algorithm, b"paid")).unwrap();
        assert_eq!(
            verify(&world, &key, algorithm, b"paid", &signature),
            Ok(true)
        );
        let wrong = verify(&world, &key, algorithm, b"owed", &signature);
        assert_eq!(wrong, Err(KmsError::InvalidSignature));
    }
}

#[test]
fn algorithms_must_be_those_of_the_key() {
    let world = World::new();
    let key = signing_key(&world, KeySpec::EccNistP256);
    let text = "Algorithm ECDSA_SHA_384 is incompatible with key spec ECC_NIST_P256.".to_owned();
    let wrong = SigningAlgorithm::EcdsaSha384;
    // Before the state: which algorithms a key has never changes.
    world.change(&key, |key| key.lifecycle = Lifecycle::Disabled);
    let refused = Err(KmsError::InvalidKeyUsage(text));
    assert_eq!(sign(&world, sign_input(&key, wrong, b"m")), refused);
    assert_eq!(
        verify(&world, &key, wrong, b"m", b"s").map(|_| Vec::new()),
        refused
    );
    let disabled = Err(KmsError::Disabled(format!("{key} is disabled.")));
    assert_eq!(sign(&world, sign_input(&key, P256, b"m")), disabled);
}

#[test]
fn a_digest_must_be_as_long_as_the_hash() {
    let world = World::new();
    let key = signing_key(&world, KeySpec::EccNistP256);
    let digest = |message: &[u8]| SignInput {
        message_type: Some(MessageType::Digest),
        ..sign_input(&key, P256, message)
    };
    assert!(sign(&world, digest(&[7; 32])).is_ok());
    assert_eq!(
        sign(&world, digest(&[7; 31])),
        Err(KmsError::Validation(
            "Digest is invalid length for algorithm ECDSA_SHA_256.".to_owned()
        ))
    );
    let external_mu = SignInput {
        message_type: Some(MessageType::ExternalMu),
        ..sign_input(&key, P256, &[7; 64])
    };
    assert!(matches!(
        sign(&world, external_mu),
        Err(KmsError::Validation(_))
    ));
}

#[test]
fn keys_do_what_they_are_for_and_nothing_else() {
    let world = World::new();
    let symmetric = world.symmetric();
    assert_eq!(
        sign(&world, sign_input(&symmetric, P256, b"m")),
        Err(KmsError::InvalidKeyUsage(format!(
            "{symmetric} key usage is ENCRYPT_DECRYPT which is not valid for Sign."
        )))
    );
    assert!(matches!(
        public_key(&world, &symmetric).map(|_| ()),
        Err(KmsError::UnsupportedOperation(_))
    ));
    let dry = SignInput {
        dry_run: true,
        ..sign_input(&signing_key(&world, KeySpec::EccNistP256), P256, b"m")
    };
    assert_eq!(sign(&world, dry), Err(KmsError::DryRun));
}

#[test]
fn codes_verify_and_name_the_algorithm_of_their_key() {
    let world = World::new();
    let key = world.key(
        KeySpec::Hmac224,
        KeyUsage::GenerateVerifyMac,
        KeyOrigin::AwsKms,
    );
    let generate = |algorithm| {
        let input = GenerateMacInput {
            message: b"m".to_vec(),
            key_id: key.to_string(),
            mac_algorithm: algorithm,
            grant_tokens: Vec::new(),
            dry_run: false,
        };
        world
            .service()
            .generate_mac(&root(), input)
            .map(|output| output.mac)
    };
    let verify = |message: &[u8], mac: &[u8]| {
        let input = VerifyMacInput {
            message: message.to_vec(),
            key_id: key.to_string(),
            mac_algorithm: MacAlgorithm::HmacSha224,
            mac: mac.to_vec(),
            grant_tokens: Vec::new(),
            dry_run: false,
        };
        world
            .service()
            .verify_mac(&root(), input)
            .map(|output| output.mac_valid)
    };
    let mac = generate(MacAlgorithm::HmacSha224).unwrap();
    assert_eq!(mac.len(), 28);
    assert_eq!(verify(b"m", &mac), Ok(true));
    assert_eq!(verify(b"n", &mac), Err(KmsError::InvalidMac));
    assert_eq!(verify(b"m", &mac[..27]), Err(KmsError::InvalidMac));
    assert_eq!(
        generate(MacAlgorithm::HmacSha256),
        Err(KmsError::InvalidKeyUsage(
            "Algorithm HMAC_SHA_256 is incompatible with key spec HMAC_224.".to_owned()
        ))
    );
}

#[test]
fn a_public_key_comes_with_what_the_key_is_for() {
    let world = World::new();
    let agreement = world.key(
        KeySpec::EccNistP256,
        KeyUsage::KeyAgreement,
        KeyOrigin::AwsKms,
    );
    let output = public_key(&world, &agreement).unwrap();
    assert_eq!(
        output.key_agreement_algorithms,
        [KeyAgreementAlgorithm::Ecdh]
    );
    assert!(output.signing_algorithms.is_empty() && output.encryption_algorithms.is_empty());
    let rsa = world.key(
        KeySpec::Rsa2048,
        KeyUsage::EncryptDecrypt,
        KeyOrigin::AwsKms,
    );
    let output = public_key(&world, &rsa).unwrap();
    assert_eq!(
        output.encryption_algorithms,
        [
            EncryptionAlgorithm::RsaesOaepSha1,
            EncryptionAlgorithm::RsaesOaepSha256
        ]
    );
    assert_eq!(
        (output.key_spec, output.key_usage),
        (KeySpec::Rsa2048, KeyUsage::EncryptDecrypt)
    );
    let until = Timestamp::from_seconds(4_000_000_000);
    world.change(&rsa, |key| {
        key.lifecycle = Lifecycle::PendingDeletion { until }
    });
    assert_eq!(
        public_key(&world, &rsa).map(|_| ()),
        Err(KmsError::InvalidState(format!(
            "{rsa} is pending deletion."
        )))
    );
}

#[test]
fn two_keys_agree_on_one_secret() {
    let world = World::new();
    let key = || {
        world.key(
            KeySpec::EccNistP384,
            KeyUsage::KeyAgreement,
            KeyOrigin::AwsKms,
        )
    };
    let derive = |key: &KeyArn, peer: Vec<u8>| {
        let input = DeriveSharedSecretInput {
            key_id: key.to_string(),
            key_agreement_algorithm: KeyAgreementAlgorithm::Ecdh,
            public_key: peer,
            grant_tokens: Vec::new(),
            dry_run: false,
        };
        world
            .service()
            .derive_shared_secret(&root(), input)
            .map(|it| it.shared_secret.to_vec())
    };
    let (here, there) = (key(), key());
    let of = |key: &KeyArn| public_key(&world, key).unwrap().public_key;
    let secret = derive(&here, of(&there)).unwrap();
    assert_eq!(derive(&there, of(&here)), Ok(secret.clone()));
    assert_eq!(secret.len(), 48);
    assert!(matches!(
        derive(&here, vec![1; 99]),
        Err(KmsError::Validation(_))
    ));
}

fn encrypt(
    world: &World,
    key: &KeyArn,
    algorithm: EncryptionAlgorithm,
    plaintext: &[u8],
) -> Result<Vec<u8>, KmsError> {
    let input = EncryptInput {
        key_id: key.to_string(),
        plaintext: Zeroizing::new(plaintext.to_vec()),
        encryption_context: EncryptionContext::default(),
        grant_tokens: Vec::new(),
        encryption_algorithm: Some(algorithm),
        dry_run: false,
    };
    world
        .service()
        .encrypt(&root(), input)
        .map(|output| output.ciphertext_blob)
}

fn decrypt_input(
    key: Option<&KeyArn>,
    algorithm: EncryptionAlgorithm,
    ciphertext: &[u8],
) -> DecryptInput {
    DecryptInput {
        ciphertext_blob: Some(ciphertext.to_vec()),
        encryption_context: EncryptionContext::default(),
        grant_tokens: Vec::new(),
        key_id: key.map(ToString::to_string),
        encryption_algorithm: Some(algorithm),
        dry_run: false,
        dry_run_modifiers: Vec::new(),
    }
}

#[test]
fn rsa_keys_encrypt_what_fits_and_decrypt_with_their_name() {
    use EncryptionAlgorithm::{RsaesOaepSha1, RsaesOaepSha256, SymmetricDefault};
    let world = World::new();
    let key = world.key(
        KeySpec::Rsa2048,
        KeyUsage::EncryptDecrypt,
        KeyOrigin::AwsKms,
    );
    for (algorithm, max_len_bytes) in [(RsaesOaepSha1, 214), (RsaesOaepSha256, 190)] {
        let plaintext = vec![7; max_len_bytes];
        let ciphertext = encrypt(&world, &key, algorithm, &plaintext).unwrap();
        let decrypted = world
            .service()
            .decrypt(&root(), decrypt_input(Some(&key), algorithm, &ciphertext))
            .unwrap();
        assert_eq!(*decrypted.plaintext, plaintext);
        assert_eq!(decrypted.key_material_id, None);
        assert_eq!(
            encrypt(&world, &key, algorithm, &vec![7; max_len_bytes + 1]),
            Err(KmsError::Validation(format!(
                "Algorithm {} and key spec RSA_2048 cannot encrypt data larger than \
                 {max_len_bytes} bytes.",
                algorithm.name()
            )))
        );
        let mut spoiled = ciphertext;
        spoiled[0] ^= 1;
        let outcome = world
            .service()
            .decrypt(&root(), decrypt_input(Some(&key), algorithm, &spoiled));
        assert_eq!(outcome.map(|_| ()), Err(KmsError::InvalidCiphertext));
    }
    assert!(matches!(
        encrypt(&world, &key, SymmetricDefault, b"m"),
        Err(KmsError::InvalidKeyUsage(_))
    ));
    let nameless = world
        .service()
        .decrypt(&root(), decrypt_input(None, RsaesOaepSha256, &[7; 256]));
    assert!(matches!(nameless.map(|_| ()), Err(KmsError::Validation(_))));
    let pairs = [("a".to_owned(), "b".to_owned())].into();
    let with_context = EncryptInput {
        key_id: key.to_string(),
        plaintext: Zeroizing::new(b"m".to_vec()),
        encryption_context: EncryptionContext::new(pairs).unwrap(),
        grant_tokens: Vec::new(),
        encryption_algorithm: Some(RsaesOaepSha256),
        dry_run: false,
    };
    let refused = world.service().encrypt(&root(), with_context).map(|_| ());
    assert!(matches!(refused, Err(KmsError::Validation(_))));
}

#[test]
fn re_encryption_goes_from_rsa_to_symmetric_keys_and_back() {
    let world = World::new();
    let rsa = world.key(
        KeySpec::Rsa2048,
        KeyUsage::EncryptDecrypt,
        KeyOrigin::AwsKms,
    );
    let symmetric = world.symmetric();
    let oaep = EncryptionAlgorithm::RsaesOaepSha256;
    let input = |from: &KeyArn, to: &KeyArn, ciphertext: Vec<u8>| {
        let algorithm = |key: &KeyArn| (*key == rsa).then_some(oaep);
        ReEncryptInput {
            ciphertext_blob: Some(ciphertext),
            source_encryption_context: EncryptionContext::default(),
            source_key_id: Some(from.to_string()),
            destination_key_id: to.to_string(),
            destination_encryption_context: EncryptionContext::default(),
            source_encryption_algorithm: algorithm(from),
            destination_encryption_algorithm: algorithm(to),
            grant_tokens: Vec::new(),
            dry_run: false,
            dry_run_modifiers: Vec::new(),
        }
    };
    let ciphertext = encrypt(&world, &rsa, oaep, b"secret").unwrap();
    let service = world.service();
    let there = service
        .re_encrypt(&root(), input(&rsa, &symmetric, ciphertext))
        .unwrap();
    assert!(crate::rotation::tests::opens(
        &world,
        &symmetric,
        &there.ciphertext_blob
    ));
    let back = service
        .re_encrypt(&root(), input(&symmetric, &rsa, there.ciphertext_blob))
        .unwrap();
    assert_eq!((&back.source_key_id, &back.key_id), (&symmetric, &rsa));
    let decrypted = service
        .decrypt(
            &root(),
            decrypt_input(Some(&rsa), oaep, &back.ciphertext_blob),
        )
        .unwrap();
    assert_eq!(**decrypted.plaintext, *b"secret");
}
