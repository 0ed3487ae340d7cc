//! Trails from CreateTrail to files that verify.

mod changes;
mod configuration;
mod delivery;
mod signatures;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use serde_json::Value;
use strongroom_asymmetric::PrivateKey;
use strongroom_types::kms::{KeySpec, MessageType, SigningAlgorithm};
use strongroom_types::{AccountId, Timestamp};

use crate::fixture::World;
use crate::trails::log_file::sha256;
use crate::trails::{
    DeliveredObject, Delivery, DeliveryError, DigestSigner, ObjectSink, PublicKey, Stepped, Trail,
    TrailName, TrailState, Trails, UpdateTrail, fingerprint, pkcs1_of_spki,
};
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
    /// What is refused: `bucket/key` has that in it.
    refused_part: Mutex<Option<&'static str>>,
    /// Where something happens with each put, and is in the ledger at once.
    busy: Mutex<Option<World>>,
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
        if let Some(world) = &*self.busy.lock() {
            world.record("Meanwhile");
            let ledger = world.ledger();
            ledger.step(Lane::Management, world.now(), true).unwrap();
        }
        let place = format!("{}/{}", object.bucket, object.key);
        let is_refused = self
            .refused_part
            .lock()
            .is_some_and(|it| place.contains(it));
        if *self.refuses.lock() || is_refused || outcome == Outcome::Refused {
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

    fn update(&self, change: impl Fn(&mut Trail)) {
        let event = self.call("UpdateTrail");
        let changed = self
            .trails
            .update(self.account(), &Self::name(), &event, |mut trail| {
                change(&mut trail);
                Ok(trail)
            });
        changed.unwrap();
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
