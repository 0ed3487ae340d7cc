//! Digests: whose signature, over which text, and that the AWS CLI agrees.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use strongroom_ports::Table;
use strongroom_types::Timestamp;

use super::{BUCKET, HOUR, Setting};
use crate::fixture::{ACCOUNT, START, World};
use crate::limits::SIGNING_KEY_MILLIS;
use crate::trails::log_file::sha256;
use crate::trails::{DigestSigner as _, SigningKeys, UpdateTrail, fingerprint, signing_text};

#[test]
fn signing_keys_change_each_year_and_stay_known() {
    let world = World::new();
    let keys = SigningKeys::new(world.rows());
    let at = |years: u64| Timestamp::from_millis(START.as_millis() + years * SIGNING_KEY_MILLIS);
    let first = keys.key_for(START).unwrap();
    assert_eq!(keys.key_for(START).unwrap(), first);
    let almost = Timestamp::from_millis(at(1).as_millis() - 1);
    assert_eq!(keys.key_for(almost).unwrap(), first);
    let second = keys.key_for(at(1)).unwrap();
    assert_ne!(second, first);
    // A digest of an hour before, signed late.
    assert_eq!(keys.key_for(almost).unwrap(), first);
    let signature = keys.sign(&first, b"text").unwrap();
    assert_eq!(keys.sign(&first, b"text").unwrap(), signature);
    let third = keys.key_for(at(2)).unwrap();
    let keys = SigningKeys::new(world.rows());
    assert!(
        keys.sign(&first, b"text").is_err(),
        "the private half is gone"
    );
    assert!(keys.sign(&second, b"text").is_ok() && keys.sign(&third, b"text").is_ok());
    let all = keys.public_keys(START, at(9)).unwrap();
    let names: Vec<&str> = all.iter().map(|key| key.fingerprint.as_str()).collect();
    assert_eq!(names, [&first, &second, &third]);
    for key in &all {
        assert_eq!(fingerprint(&key.der), key.fingerprint);
        // SEQUENCE of 266 bytes, INTEGER of 257: 2048 bits.
        assert!(key.der.starts_with(&[0x30, 0x82, 1, 10, 2, 0x82, 1, 1, 0]));
    }
    let now = Timestamp::from_millis(START.as_millis() + HOUR);
    assert_eq!(keys.public_keys(START, now).unwrap().len(), 1);
    let rows = world.all(Table::AUDIT_SIGNING_KEYS);
    assert!(rows.iter().all(|row| row.value.len() < 2200));
}

/// CloudTrail User Guide, "Custom implementations of CloudTrail log file integrity validation":
/// the form of the text that is signed.
#[test]
fn the_signed_text_is_the_documented_one() {
    let hash = sha256(b"{}");
    let first = signing_text(START, "b", "k", &hash, None);
    let hex = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    assert_eq!(first, format!("2026-01-02T10:00:00Z\nb/k\n{hex}\nnull"));
    let next = signing_text(START, "b", "k", &hash, Some(&[0xAB, 1]));
    assert!(next.ends_with("\nab01"));
}

/// The unmodified `aws cloudtrail validate-logs` reads what is delivered, and finds what is tampered
/// with.
#[test]
fn the_aws_cli_validates_the_chain() {
    let world = World::new();
    let signer = Arc::new(SigningKeys::new(world.rows()));
    let setting = Setting::with(world, Arc::clone(&signer) as _);
    setting.create(UpdateTrail::default());
    setting.start();
    for _ in 0..3 {
        setting.record("CreateUser");
        setting.pass(300_000);
        setting.pass(HOUR);
    }
    setting.stop();
    setting.pass(2000);
    let objects: Vec<Value> = setting
        .bucket
        .objects
        .lock()
        .values()
        .map(|object| {
            let metadata: BTreeMap<_, _> = object.metadata.iter().cloned().collect();
            json!({"key": object.key, "body": hex::encode(&object.body), "metadata": metadata})
        })
        .collect();
    let keys: Vec<Value> = signer
        .public_keys(START, setting.world.now())
        .unwrap()
        .iter()
        .map(|key| {
            json!({
                "der": hex::encode(&key.der),
                "fingerprint": key.fingerprint,
                "from": key.from.as_seconds(),
                "until": key.until.as_seconds(),
            })
        })
        .collect();
    let chain = json!({
        "account": ACCOUNT,
        "region": "us-east-1",
        "trail": "mgmt",
        "bucket": BUCKET,
        "start": START.to_iso8601(),
        "end": setting.world.now().to_iso8601(),
        "objects": objects,
        "keys": keys,
    });
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("chain.json");
    std::fs::write(&file, chain.to_string()).unwrap();
    // What tools/setup-tests.sh made, where it did.
    let prepared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.venv/bin/python");
    let found = std::path::Path::new(prepared).exists();
    let python = std::env::var_os("STRONGROOM_PYTHON")
        .unwrap_or_else(|| if found { prepared } else { "python3" }.into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/validate_logs.py");
    let output = Command::new(python)
        .arg(script)
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
}
