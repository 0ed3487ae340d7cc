//! Trails from CreateTrail to files that verify.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::{Value, json};
use strongroom_asymmetric::PrivateKey;
use strongroom_ports::Table;
use strongroom_types::kms::{KeySpec, MessageType, SigningAlgorithm};
use strongroom_types::{AccountId, Timestamp};

use super::*;
use crate::fixture::{ACCOUNT, KEY_ARN, START, World};
use crate::limits::{RETENTION_MILLIS, SIGNING_KEY_MILLIS, UNDELIVERED_MILLIS};
use crate::trails::log_file::sha256;
use crate::{Event, Lane, TrailError};

const HOUR: u64 = 3_600_000;
const BUCKET: &str = "logs";

/// A bucket, and how it fails.
#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, DeliveredObject>>,
    puts: Mutex<Vec<String>>,
    /// For each put to come: refused; or done, with the answer lost.
    outcomes: Mutex<Vec<Outcome>>,
    refuses: Mutex<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Refused,
    DoneUnheard,
}

impl ObjectSink for Bucket {
    fn put(&self, object: DeliveredObject) -> Result<(), DeliveryError> {
        let outcome = self.outcomes.lock().pop().unwrap_or(Outcome::Done);
        let denied = DeliveryError {
            code: "AccessDenied".to_owned(),
            message: "no".to_owned(),
        };
        if *self.refuses.lock() || outcome == Outcome::Refused {
            return Err(denied);
        }
        self.puts.lock().push(object.key.clone());
        let mut objects = self.objects.lock();
        if let Some(before) = objects.get(&object.key) {
            assert!(*before == object, "what is put again is the same");
        }
        objects.insert(object.key.clone(), object);
        if outcome == Outcome::DoneUnheard {
            Err(denied)
        } else {
            Ok(())
        }
    }
}

/// One key pair for all tests that do not look at keys: making one is slow.
struct OneKey;

fn one_key() -> &'static PrivateKey {
    static KEY: OnceLock<PrivateKey> = OnceLock::new();
    KEY.get_or_init(|| PrivateKey::generate(KeySpec::Rsa2048).unwrap())
}

impl DigestSigner for OneKey {
    fn key_for(&self, _: Timestamp) -> Result<String, TrailError> {
        Ok(fingerprint(
            pkcs1_of_spki(one_key().public_key_der()).unwrap(),
        ))
    }

    fn sign(&self, _: &str, text: &[u8]) -> Result<Vec<u8>, TrailError> {
        Ok(one_key().sign(
            SigningAlgorithm::RsassaPkcs1V15Sha256,
            MessageType::Raw,
            text,
        )?)
    }

    fn public_keys(&self, _: Timestamp, _: Timestamp) -> Result<Vec<PublicKey>, TrailError> {
        Ok(Vec::new())
    }
}

struct Setting {
    world: World,
    trails: Trails,
    bucket: Arc<Bucket>,
    delivery: Delivery,
}

impl Setting {
    fn new(world: World) -> Self {
        Self::with(world, Arc::new(OneKey))
    }

    fn with(world: World, signer: Arc<dyn DigestSigner>) -> Self {
        let trails = Trails::new(world.log());
        let bucket = Arc::new(Bucket::default());
        let delivery = Delivery::new(trails.clone(), signer, Arc::clone(&bucket) as _);
        Self {
            world,
            trails,
            bucket,
            delivery,
        }
    }

    fn account(&self) -> AccountId {
        self.world.account()
    }

    fn name() -> TrailName {
        TrailName::parse("mgmt").unwrap()
    }

    /// Each thing happens in a millisecond of its own.
    fn record(&self, name: &str) {
        self.world.pass(1);
        self.world.record(name);
    }

    fn call(&self, name: &str) -> Event {
        self.world.pass(1);
        let context = self.world.alice();
        let event = crate::EventBuilder::of(&context, "cloudtrail.amazonaws.com", name);
        self.world.log().finish(event)
    }

    fn create(&self, update: UpdateTrail) {
        let home = self.world.home();
        let trail = Trail::new(
            &Self::name(),
            home.account,
            &home.region,
            BUCKET,
            self.world.now(),
        );
        let trail = trail.updated(UpdateTrail {
            validation: Some(true),
            ..update
        });
        self.trails
            .create(self.account(), &trail, &self.call("CreateTrail"))
            .unwrap();
    }

    fn start(&self) {
        self.trails
            .start(self.account(), &Self::name(), &self.call("StartLogging"))
            .unwrap();
    }

    fn stop(&self) {
        self.trails
            .stop(self.account(), &Self::name(), &self.call("StopLogging"))
            .unwrap();
    }

    fn state(&self) -> TrailState {
        self.trails.get(self.account(), &Self::name()).unwrap().1
    }

    /// The background of a server: the ledger and the delivery, until nothing is to do.
    fn work(&self) {
        for lane in Lane::ALL {
            while self
                .world
                .ledger()
                .step(lane, self.world.now(), false)
                .unwrap()
                .more
            {}
        }
        for _ in 0..10_000 {
            if self.delivery.step(self.world.now()).unwrap() == Stepped::Idle {
                return;
            }
        }
        panic!("the delivery does not come to rest");
    }

    fn pass(&self, millis: u64) {
        self.world.pass(millis);
        self.work();
    }

    fn unzipped(&self, key: &str) -> Vec<u8> {
        gunzip(&self.bucket.objects.lock()[key].body)
    }

    fn keys(&self, part: &str) -> Vec<String> {
        let objects = self.bucket.objects.lock();
        objects
            .keys()
            .filter(|key| key.contains(part))
            .cloned()
            .collect()
    }

    /// Walks the chain of digests from its end and checks everything: hashes, signatures, that no file
    /// is outside of it. The names of the events, in the order of delivery, and the digests' number.
    fn check(&self) -> (Vec<String>, usize) {
        let digests = self.keys("/CloudTrail-Digest/");
        let mut files = Vec::new();
        let mut names = Vec::new();
        let mut previous: Option<(Value, Vec<u8>, String)> = None;
        for key in &digests {
            let bytes = self.unzipped(key);
            let digest: Value = serde_json::from_slice(&bytes).unwrap();
            let object = self.bucket.objects.lock()[key].clone();
            let metadata: BTreeMap<_, _> = object.metadata.into_iter().collect();
            assert_eq!(metadata["signature-algorithm"], "SHA256withRSA");
            assert_eq!(digest["digestS3Object"], key.as_str());
            if digest["previousDigestS3Object"].is_null() {
                assert!(digest["previousDigestSignature"].is_null());
            } else {
                let (before, bytes, signature) = previous.as_ref().unwrap();
                assert_eq!(digest["previousDigestS3Object"], before["digestS3Object"]);
                assert_eq!(
                    digest["previousDigestHashValue"],
                    hex::encode(sha256(bytes))
                );
                assert_eq!(digest["previousDigestSignature"], signature.as_str());
                assert_eq!(digest["digestStartTime"], before["digestEndTime"]);
            }
            let end = digest["digestEndTime"].as_str().unwrap();
            let text = format!(
                "{end}\nlogs/{key}\n{}\n{}",
                hex::encode(sha256(&bytes)),
                digest["previousDigestSignature"].as_str().unwrap_or("null"),
            );
            let signature = hex::decode(&metadata["signature"]).unwrap();
            one_key()
                .verify(
                    SigningAlgorithm::RsassaPkcs1V15Sha256,
                    MessageType::Raw,
                    text.as_bytes(),
                    &signature,
                )
                .unwrap();
            for file in digest["logFiles"].as_array().unwrap() {
                let key = file["s3Object"].as_str().unwrap().to_owned();
                let bytes = self.unzipped(&key);
                assert_eq!(file["hashValue"], hex::encode(sha256(&bytes)));
                let log: Value = serde_json::from_slice(&bytes).unwrap();
                let records = log["Records"].as_array().unwrap();
                let times = || records.iter().map(|it| it["eventTime"].as_str().unwrap());
                assert_eq!(file["oldestEventTime"], times().min().unwrap());
                assert_eq!(file["newestEventTime"], times().max().unwrap());
                names.extend(
                    records
                        .iter()
                        .map(|it| it["eventName"].as_str().unwrap().to_owned()),
                );
                files.push(key);
            }
            previous = Some((digest, bytes, metadata["signature"].clone()));
        }
        let listed = files.len();
        files.sort();
        files.dedup();
        assert_eq!(files.len(), listed, "no file is in two digests");
        assert_eq!(
            files,
            self.keys("/CloudTrail/"),
            "every file is in a digest"
        );
        (names, digests.len())
    }
}

/// The body of a gzip file of one member.
fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let body = bytes
        .strip_prefix(&[0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF])
        .unwrap();
    let (deflated, _) = body.split_at(body.len() - 8);
    let mut inflated = Vec::new();
    flate2::bufread::DeflateDecoder::new(deflated)
        .read_to_end(&mut inflated)
        .unwrap();
    inflated
}

#[test]
fn a_trail_delivers_what_happens_while_it_logs() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    setting.record("Before");
    setting.pass(2000);
    setting.pass(HOUR);
    assert!(
        setting.bucket.objects.lock().is_empty(),
        "it does not log yet"
    );
    setting.start();
    setting.record("First");
    setting.pass(299_000);
    assert!(
        setting.bucket.objects.lock().is_empty(),
        "five minutes are not over"
    );
    setting.pass(1000);
    assert_eq!(setting.keys("/CloudTrail/").len(), 1);
    setting.record("Second");
    setting.pass(HOUR);
    setting.record("Last");
    setting.stop();
    setting.world.pass(500);
    setting.record("After");
    setting.pass(1500);
    setting.pass(HOUR * 3);
    let (names, digests) = setting.check();
    assert_eq!(
        names,
        ["StartLogging", "First", "Second", "Last", "StopLogging"]
    );
    assert_eq!(digests, 2, "one for the hour, and the last");
    assert_eq!(setting.state().window, None);
}

#[test]
fn names_are_cloudtrails() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail {
        prefix: Some("a/b".to_owned()),
        ..UpdateTrail::default()
    });
    setting.start();
    setting.pass(300_000);
    setting.pass(HOUR);
    // 10:00 and five minutes, and an hour.
    let [file] = setting.keys("/CloudTrail/").try_into().unwrap();
    let (start, unique) = file
        .strip_suffix(".json.gz")
        .unwrap()
        .rsplit_once('_')
        .unwrap();
    assert_eq!(
        start,
        "a/b/AWSLogs/111122223333/CloudTrail/us-east-1/2026/01/02/\
         111122223333_CloudTrail_us-east-1_20260102T1005Z"
    );
    assert!(unique.len() == 16 && unique.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(
        setting.keys("/CloudTrail-Digest/"),
        [
            "a/b/AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2026/01/02/\
          111122223333_CloudTrail-Digest_us-east-1_mgmt_us-east-1_20260102T110000Z.json.gz"
        ]
    );
}

#[test]
fn files_are_under_the_trails_key_and_digests_under_sse_s3() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail {
        kms_key_arn: Some(KEY_ARN.to_owned()),
        ..UpdateTrail::default()
    });
    setting.start();
    setting.pass(300_000);
    setting.pass(HOUR);
    let change = |under_key| {
        let change = |trail| {
            Ok(Trail {
                digests_under_key: under_key,
                ..trail
            })
        };
        let event = setting.call("UpdateTrail");
        setting
            .trails
            .update(setting.account(), &Setting::name(), &event, change)
            .unwrap();
    };
    let of = |part: &str| {
        let keys = setting.keys(part);
        setting.bucket.objects.lock()[keys.last().unwrap()]
            .encryption
            .clone()
    };
    assert_eq!(of("/CloudTrail/"), Encryption::Kms(KEY_ARN.to_owned()));
    assert_eq!(of("/CloudTrail-Digest/"), Encryption::SseS3);
    change(true);
    setting.pass(HOUR);
    assert_eq!(
        of("/CloudTrail-Digest/"),
        Encryption::Kms(KEY_ARN.to_owned())
    );
}

#[test]
fn hours_without_events_have_digests_those_of_an_outage_too() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    setting.start();
    setting.pass(300_000);
    setting.record("Unseen");
    setting.pass(5 * HOUR);
    setting.stop();
    setting.pass(2000);
    let (names, digests) = setting.check();
    assert_eq!(names, ["StartLogging", "Unseen", "StopLogging"]);
    assert_eq!(digests, 6);
}

#[test]
fn a_bucket_that_refuses_is_tried_again_and_gets_everything() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    setting.start();
    *setting.bucket.refuses.lock() = true;
    for _ in 0..50 {
        setting.record("During");
        setting.pass(300_000);
    }
    let state = setting.state();
    assert_eq!(state.delivery_error.as_deref(), Some("AccessDenied"));
    assert_eq!(state.delivered_millis, None);
    assert!(state.failures > 40);
    *setting.bucket.refuses.lock() = false;
    setting.pass(300_000);
    let state = setting.state();
    assert_eq!((state.delivery_error, state.failures), (None, 0));
    assert!(state.delivered_millis.is_some());
    setting.stop();
    setting.pass(2000);
    let (names, _) = setting.check();
    assert_eq!(names.len(), 52);
}

#[test]
fn a_stopped_trail_that_starts_again_begins_a_new_chain() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    for round in 0..3 {
        setting.start();
        setting.record("During");
        setting.pass(600_000);
        setting.stop();
        setting.pass(2000 + round);
        setting.record("Between");
        setting.pass(HOUR);
    }
    let (names, digests) = setting.check();
    assert_eq!(names.iter().filter(|name| *name == "During").count(), 3);
    assert!(!names.contains(&"Between".to_owned()));
    assert_eq!(digests, 3);
    let first = |key: &String| {
        let digest: Value = serde_json::from_slice(&setting.unzipped(key)).unwrap();
        digest["previousDigestS3Object"].is_null()
    };
    assert!(setting.keys("/CloudTrail-Digest/").iter().all(first));
}

#[test]
fn starting_before_the_rest_was_delivered_goes_on_with_the_chain() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    setting.start();
    setting.record("A");
    setting.pass(1000);
    setting.stop();
    setting.start();
    setting.record("B");
    setting.pass(300_000);
    setting.stop();
    setting.pass(2000);
    let (names, digests) = setting.check();
    assert_eq!(
        names
            .iter()
            .filter(|name| ["A", "B"].contains(&name.as_str()))
            .count(),
        2
    );
    assert_eq!(digests, 1);
}

#[test]
fn a_deleted_trail_delivers_the_rest_and_is_gone() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    setting.start();
    setting.record("A");
    let delete = || {
        let event = setting.call("DeleteTrail");
        setting
            .trails
            .delete(setting.account(), &Setting::name(), &event)
    };
    delete().unwrap();
    assert!(matches!(
        delete(),
        Err(TrailsError::Refused(TrailProblem::Unknown(_)))
    ));
    assert!(setting.trails.list(setting.account()).unwrap().is_empty());
    setting.create(UpdateTrail::default());
    setting.pass(2000);
    setting.pass(2000);
    let (names, digests) = setting.check();
    assert_eq!(names, ["StartLogging", "A", "DeleteTrail"]);
    assert_eq!(digests, 1);
    assert_eq!(setting.trails.all().unwrap().len(), 1, "the new one");
    // Whose bucket is gone, in the end goes as well.
    setting.start();
    delete().unwrap();
    *setting.bucket.refuses.lock() = true;
    setting.pass(2000);
    assert_eq!(setting.trails.all().unwrap().len(), 1);
    setting.pass(25 * HOUR);
    setting.pass(25 * HOUR);
    assert!(setting.trails.all().unwrap().is_empty());
    assert_eq!(
        setting.world.all(Table::AUDIT_TRAILS).len(),
        1,
        "the account's row"
    );
}

#[test]
fn names_are_unique_and_trails_are_five() {
    let setting = Setting::new(World::with_conflicts(4));
    let home = setting.world.home();
    let create = |name: &str| {
        let name = TrailName::parse(name).unwrap();
        let trail = Trail::new(&name, home.account, &home.region, BUCKET, START);
        setting
            .trails
            .create(home.account, &trail, &setting.call("CreateTrail"))
    };
    for name in ["t1x", "t2x", "t3x", "t4x"] {
        create(name).unwrap();
    }
    assert!(matches!(
        create("t1x"),
        Err(TrailsError::Refused(TrailProblem::Exists(_)))
    ));
    create("t5x").unwrap();
    assert!(matches!(
        create("t6x"),
        Err(TrailsError::Refused(TrailProblem::TooMany))
    ));
    assert_eq!(setting.trails.list(home.account).unwrap().len(), 5);
    let other = AccountId::parse("111122223334").unwrap();
    assert!(setting.trails.list(other).unwrap().is_empty());
}

#[test]
fn what_a_trail_has_still_to_deliver_is_kept_longer() {
    let setting = Setting::new(World::new());
    setting.create(UpdateTrail::default());
    setting.pass(2000);
    setting.start();
    setting.pass(2000);
    let sweep = || {
        let keep = setting.trails.keep_from(Lane::Management).unwrap();
        let world = &setting.world;
        let mut removed = 0;
        loop {
            let moved = world
                .ledger()
                .sweep(Lane::Management, world.now(), keep)
                .unwrap();
            removed += moved.count;
            if !moved.more {
                return removed;
            }
        }
    };
    *setting.bucket.refuses.lock() = true;
    setting.record("Late");
    setting.pass(HOUR);
    setting.world.pass(RETENTION_MILLIS);
    let before = sweep();
    assert_eq!(before, 1, "CreateTrail was before the trail logged");
    setting.world.pass(UNDELIVERED_MILLIS);
    assert!(sweep() > 0);
    *setting.bucket.refuses.lock() = false;
    setting.pass(1000);
    // What is gone is not delivered, and what comes is.
    setting.record("New");
    setting.pass(HOUR);
    setting.stop();
    setting.pass(2000);
    let (names, _) = setting.check();
    assert!(names.contains(&"New".to_owned()) && !names.contains(&"Late".to_owned()));
}

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(25))]

    /// Whatever fails, in whatever order, with answers lost between the put and its record, and with
    /// other processes at the same trail: every event is delivered once, and the chain verifies.
    #[test]
    fn nothing_is_lost_and_nothing_is_delivered_twice(
        operations in proptest::collection::vec((0..10_u8, 0..3_u8), 1..60),
        seed in any::<u64>(),
    ) {
        let setting = Setting::new(World::with_conflicts(seed));
        setting.create(UpdateTrail::default());
        setting.start();
        let mut expected = 1;
        for (operation, kind) in operations {
            match operation {
                0..=3 => {
                    setting.record("Event");
                    expected += 1;
                }
                4..=5 => {
                    let outcome = [Outcome::Refused, Outcome::DoneUnheard, Outcome::Done];
                    setting.bucket.outcomes.lock().insert(0, outcome[usize::from(kind)]);
                }
                6..=7 => setting.pass(300_000),
                8 => setting.world.pass(60_000),
                _ => setting.pass(HOUR * u64::from(kind)),
            }
        }
        setting.bucket.outcomes.lock().clear();
        setting.stop();
        expected += 1;
        for _ in 0..3 {
            setting.pass(300_000);
        }
        let (names, _) = setting.check();
        prop_assert_eq!(names.len(), expected);
    }
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

#[test]
fn a_trail_is_found_by_its_key_until_it_is_deleted() {
    let setting = Setting::new(World::new());
    let under = |key: &str| -> Vec<String> {
        let found = trails_under_key(&setting.world.rows(), key).unwrap();
        found.into_iter().map(|trail| trail.name).collect()
    };
    assert!(under(KEY_ARN).is_empty());
    setting.create(UpdateTrail {
        kms_key_arn: Some(KEY_ARN.to_owned()),
        ..UpdateTrail::default()
    });
    assert_eq!(under(KEY_ARN), ["mgmt"]);
    assert!(under("arn:aws:kms:us-east-1:111122223333:key/other").is_empty());
    setting
        .trails
        .delete(
            setting.account(),
            &Setting::name(),
            &setting.call("DeleteTrail"),
        )
        .unwrap();
    assert!(under(KEY_ARN).is_empty());
}

#[test]
fn data_events_are_wanted_while_a_trail_that_selects_them_is_on() {
    let world = World::new();
    let context = world.alice();
    let call = |name: &str, key: &str| {
        let arn = format!("arn:aws:s3:::photos/{key}");
        let event = crate::EventBuilder::of(&context, "s3.amazonaws.com", name).data();
        let event = event.resource("AWS::S3::Object", &arn, None);
        world.log().finish(event)
    };
    let (put, get) = (call("PutObject", "raw/a"), call("GetObject", "raw/a"));
    let wanted = DataEvents::new(DataLevel::Denied);
    let mut setting = Setting::new(world.clone());
    setting.trails = setting.trails.telling(wanted.clone());
    let writes_to_raw = Selectors::Basic(vec![Selector {
        read_write: ReadWrite::WriteOnly,
        management: true,
        data_resources: vec![DataResource {
            kind: "AWS::S3::Object".to_owned(),
            values: vec!["arn:aws:s3:::photos/raw/".to_owned()],
        }],
        excluded_sources: Vec::new(),
    }]);
    setting.create(UpdateTrail::default());
    let event = setting.call("PutEventSelectors");
    let change = |trail| {
        Ok(Trail {
            selectors: writes_to_raw.clone(),
            ..trail
        })
    };
    let name = Setting::name();
    let changed = setting
        .trails
        .update(world.account(), &name, &event, change);
    changed.unwrap();
    assert!(!wanted.any(), "it is not on yet");
    setting.start();
    assert!(wanted.any() && wanted.take(&put) && !wanted.take(&get));
    assert!(!wanted.take(&call("PutObject", "other")));
    // The same after a restart.
    let again = DataEvents::new(DataLevel::Denied);
    drop(Trails::new(world.log()).telling(again.clone()));
    assert!(again.take(&put));
    setting.stop();
    assert!(!wanted.any() && !wanted.take(&put));
    // What the operator wants needs no trail.
    let writes = DataEvents::new(DataLevel::Write);
    assert!(writes.any() && writes.take(&put) && !writes.take(&get));
    assert!(DataEvents::new(DataLevel::All).take(&get));
    wanted.lose();
    assert!(
        wanted.any() && wanted.take(&get),
        "who does not know takes all"
    );
}
