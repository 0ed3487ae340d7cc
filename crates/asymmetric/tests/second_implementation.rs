//! Keys, signatures, ciphertexts and wrapped material go to another implementation and come back.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::Write as _;
use std::process::{Command, Stdio};

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use common::{asymmetric_specs, fixed_key};
use serde_json::{Value, json};
use strongroom_asymmetric::{ImportWrappingKey, PrivateKey};
use strongroom_types::kms::{
    EncryptionAlgorithm, KeySpec, MessageType, SigningAlgorithm, WrappingAlgorithm, WrappingKeySpec,
};

const MATERIAL: [u8; 32] = [0x42; 32];

#[test]
fn python_reads_ours_and_we_read_pythons() {
    let wrapping = ImportWrappingKey::generate(WrappingKeySpec::Rsa3072).unwrap();
    let ours: Vec<Value> = asymmetric_specs().map(made_by_us).collect();
    let theirs = python(&json!({
        "keys": ours,
        "wrapping_spki": hex::encode(wrapping.public_key_der()),
        "material": hex::encode(MATERIAL),
    }));

    let keys = theirs["keys"].as_array().unwrap();
    assert_eq!(keys.len(), asymmetric_specs().count());
    keys.iter().for_each(read_theirs);
    for (algorithm, wrapped) in theirs["wrapped"].as_object().unwrap() {
        let algorithm = WrappingAlgorithm::parse(algorithm).unwrap();
        let material = wrapping.unwrap(algorithm, &bytes(wrapped)).unwrap();
        assert_eq!(**material, MATERIAL, "{algorithm:?}");
    }
    assert_eq!(theirs["wrapped"].as_object().unwrap().len(), 4);
}

fn made_by_us(spec: KeySpec) -> Value {
    let key = fixed_key(spec);
    let mut signatures = Vec::new();
    for algorithm in spec.signing_algorithms() {
        for (message_type, message) in inputs(*algorithm) {
            let signature = key.sign(*algorithm, message_type, &message).unwrap();
            signatures.push(json!({
                "algorithm": algorithm.name(),
                "message_type": message_type.name(),
                "message": hex::encode(&message),
                "signature": hex::encode(signature),
            }));
        }
    }
    let encrypted = |algorithm: &EncryptionAlgorithm| {
        let ciphertext = key.encrypt(*algorithm, b"plaintext").unwrap();
        json!({
            "algorithm": algorithm.name(),
            "plaintext": hex::encode(b"plaintext"),
            "ciphertext": hex::encode(ciphertext),
        })
    };
    json!({
        "spec": spec.name(),
        "pkcs8": hex::encode(key.pkcs8()),
        "spki": hex::encode(key.public_key_der()),
        "signatures": signatures,
        "ciphertexts": spec.encryption_algorithms().iter().map(encrypted).collect::<Vec<_>>(),
    })
}

fn read_theirs(theirs: &Value) {
    let spec = KeySpec::parse(theirs["spec"].as_str().unwrap()).unwrap();
    let key = PrivateKey::from_pkcs8(spec, &bytes(&theirs["pkcs8"])).unwrap();
    assert_eq!(key.public_key_der(), bytes(&theirs["spki"]), "{spec:?}");
    for case in theirs["signatures"].as_array().unwrap() {
        let algorithm = SigningAlgorithm::parse(case["algorithm"].as_str().unwrap()).unwrap();
        let kind = MessageType::parse(case["message_type"].as_str().unwrap()).unwrap();
        let (message, signature) = (bytes(&case["message"]), bytes(&case["signature"]));
        let verified = key.verify(algorithm, kind, &message, &signature);
        assert_eq!(verified, Ok(()), "{spec:?} {algorithm:?} {kind:?}");
    }
    for case in theirs["ciphertexts"].as_array().unwrap() {
        let algorithm = EncryptionAlgorithm::parse(case["algorithm"].as_str().unwrap()).unwrap();
        let plaintext = key.decrypt(algorithm, &bytes(&case["ciphertext"])).unwrap();
        assert_eq!(*plaintext, b"plaintext");
    }
    if let Some(secret) = theirs.get("shared_secret") {
        let derived = fixed_key(spec)
            .derive_shared_secret(key.public_key_der())
            .unwrap();
        assert_eq!(*derived, bytes(secret), "{spec:?}");
    }
    assert_eq!(
        theirs.get("shared_secret").is_some(),
        spec.name().starts_with("ECC_NIST_P")
    );
}

fn inputs(algorithm: SigningAlgorithm) -> Vec<(MessageType, Vec<u8>)> {
    let name = algorithm.name();
    let hash = match name.rsplit('_').next().unwrap() {
        "384" => &SHA384,
        "512" => &SHA512,
        _ => &SHA256,
    };
    let raw = (MessageType::Raw, b"a message".to_vec());
    let hashed = digest(hash, b"a message").as_ref().to_vec();
    match name {
        "ED25519_SHA_512" => vec![raw],
        "ED25519_PH_SHA_512" => vec![(MessageType::Digest, hashed)],
        "ML_DSA_SHAKE_256" => vec![raw, (MessageType::ExternalMu, vec![0x5a; 64])],
        _ => vec![raw, (MessageType::Digest, hashed)],
    }
}

fn bytes(digits: &Value) -> Vec<u8> {
    hex::decode(digits.as_str().unwrap()).unwrap()
}

fn python(input: &Value) -> Value {
    // What tools/setup-tests.sh made, where it did: it has the version of `cryptography` that we need.
    let prepared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.venv/bin/python");
    let found = std::path::Path::new(prepared).exists();
    let python = std::env::var_os("STRONGROOM_PYTHON")
        .unwrap_or_else(|| if found { prepared } else { "python3" }.into());
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/second_implementation.py"
    );
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}
