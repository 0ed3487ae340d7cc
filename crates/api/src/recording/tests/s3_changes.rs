//! Changes of buckets: each is durable with its record, or neither is.

use std::sync::LazyLock;

use strongroom_store::disk::{Crash, Fault, FaultKind, SimDisk};
use strongroom_store::{DurableMeta, MetaOptions};
use tokio::runtime::Runtime;

use super::*;
use crate::recording::Recorded;

/// A call that changes a bucket: name of the operation, method, target, headers, body.
type Change = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

/// Each leaves another state than the one before it.
const CHANGES: &[Change] = &[
    ("CreateBucket", "PUT", "/abc", &[], ""),
    (
        "PutBucketVersioning",
        "PUT",
        "/abc?versioning",
        &[],
        "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
    ),
    (
        "PutBucketEncryption",
        "PUT",
        "/abc?encryption",
        &[],
        "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
         <SSEAlgorithm>aws:kms</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>\
         </ServerSideEncryptionConfiguration>",
    ),
    (
        "PutBucketTagging",
        "PUT",
        "/abc?tagging",
        &[],
        "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    ),
    (
        "PutPublicAccessBlock",
        "PUT",
        "/abc?publicAccessBlock",
        &[],
        "<PublicAccessBlockConfiguration><BlockPublicAcls>false</BlockPublicAcls>\
         </PublicAccessBlockConfiguration>",
    ),
    (
        "PutBucketOwnershipControls",
        "PUT",
        "/abc?ownershipControls",
        &[],
        "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule>\
         </OwnershipControls>",
    ),
    (
        "PutBucketAcl",
        "PUT",
        "/abc?acl",
        &[("x-amz-acl", "public-read")],
        "",
    ),
    (
        "PutBucketPolicy",
        "PUT",
        "/abc?policy",
        &[],
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"logging.s3.amazonaws.com"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::abc/*"}]}"#,
    ),
    (
        "PutBucketLogging",
        "PUT",
        "/abc?logging",
        &[],
        "<BucketLoggingStatus><LoggingEnabled><TargetBucket>abc</TargetBucket>\
         <TargetPrefix>log/</TargetPrefix></LoggingEnabled></BucketLoggingStatus>",
    ),
    ("DeleteBucketPolicy", "DELETE", "/abc?policy", &[], ""),
    (
        "DeleteBucketOwnershipControls",
        "DELETE",
        "/abc?ownershipControls",
        &[],
        "",
    ),
    (
        "DeletePublicAccessBlock",
        "DELETE",
        "/abc?publicAccessBlock",
        &[],
        "",
    ),
    ("DeleteBucketTagging", "DELETE", "/abc?tagging", &[], ""),
    (
        "DeleteBucketEncryption",
        "DELETE",
        "/abc?encryption",
        &[],
        "",
    ),
    ("DeleteBucket", "DELETE", "/abc", &[], ""),
];

/// There is never anything to delete, so that nothing changes.
const CHANGE_NOTHING: [&str; 4] = [
    "DeleteBucketCors",
    "DeleteBucketLifecycle",
    "DeleteBucketReplication",
    "DeleteBucketWebsite",
];

const SETTINGS: [&str; 9] = [
    "versioning",
    "encryption",
    "tagging",
    "publicAccessBlock",
    "ownershipControls",
    "acl",
    "policy",
    "logging",
    "location",
];

impl World {
    async fn change(&self, change: &Change) -> Told {
        let (_, method, target, headers, body) = change;
        let md5 = BASE64.encode(<md5::Md5 as md5::Digest>::digest(body));
        let mut headers = headers.to_vec();
        if !body.is_empty() {
            headers.push(("content-md5", md5.as_str()));
        }
        // Records are in order of time.
        self.clock.0.fetch_add(1000, Ordering::Relaxed);
        let keys = root();
        self.s3_with(Some(&keys), (method, target), &headers, body.as_bytes())
            .await
    }

    /// All that the bucket is.
    async fn state(&self) -> Vec<String> {
        let mut state = Vec::new();
        for setting in SETTINGS {
            let target = format!("/abc?{setting}");
            let told = self.s3(Some(&root()), "GET", &target, b"").await;
            state.push(match told.status {
                200 => told.body,
                status => format!("{status} {}", element(&told.body, "Code")),
            });
        }
        state
    }

    /// The names of the changes that are recorded, in their order.
    fn recorded_changes(&self) -> Vec<String> {
        let mut events = self.events();
        events.sort_by_key(|event| event.time_millis);
        let is_change = |event: &&Event| {
            event.source == "s3.amazonaws.com" && !event.read_only && event.error_code.is_none()
        };
        let changes = events.iter().filter(is_change);
        changes.map(|event| event.name.clone()).collect()
    }
}

fn event_name(operation: &str) -> &'static str {
    let route = crate::s3::routes().iter().find(|it| it.name == operation);
    route.unwrap().event_name()
}

#[test]
fn every_operation_that_changes_a_bucket_is_tried_here() {
    let mut all: Vec<&str> = crate::s3::routes()
        .iter()
        .filter(|it| it.recorded() == Recorded::InTransaction)
        .map(|it| it.name)
        .collect();
    let tried = CHANGES.iter().map(|(name, ..)| *name);
    let mut tried: Vec<&str> = tried.chain(CHANGE_NOTHING).collect();
    all.sort_unstable();
    tried.sort_unstable();
    assert_eq!(all, tried);
}

#[tokio::test]
async fn a_change_has_one_record_whatever_disturbs_it() {
    let world = world().await;
    world.meta.is_disturbed.store(true, Ordering::Relaxed);
    for change in CHANGES {
        let told = world.change(change).await;
        assert!(told.status < 300, "{change:?}: {}", told.body);
        let record = world.record(&told, "s3.amazonaws.com");
        assert_eq!(record["eventName"], event_name(change.0));
        assert_eq!(record["readOnly"], false);
        assert_eq!(record["eventCategory"], "Management");
        assert_eq!(record["resources"][0]["accountId"], ACCOUNT);
        assert_eq!(record["requestParameters"]["bucketName"], "abc");
        assert_eq!(record["additionalEventData"]["bytesTransferredOut"], 0);
    }
}

#[tokio::test]
async fn a_call_that_changes_nothing_has_its_record_too() {
    let world = world().await;
    for _ in 0..2 {
        let made = world.s3(Some(&root()), "PUT", "/abc", b"").await;
        assert_eq!(made.status, 200);
        world.record(&made, "s3.amazonaws.com");
    }
    for setting in ["cors", "lifecycle", "replication", "website", "tagging"] {
        let target = format!("/abc?{setting}");
        let told = world.s3(Some(&root()), "DELETE", &target, b"").await;
        assert_eq!(told.status, 204, "{}", told.body);
        let record = world.record(&told, "s3.amazonaws.com");
        assert_eq!(record["readOnly"], false);
    }
}

#[tokio::test]
async fn a_change_that_cannot_be_recorded_is_none() {
    let world = world().await;
    world.change(&CHANGES[0]).await;
    let before = world.state().await;
    world.meta.is_broken.store(true, Ordering::Relaxed);
    for change in &CHANGES[1..8] {
        assert!(world.change(change).await.status >= 500);
    }
    world.meta.is_broken.store(false, Ordering::Relaxed);
    assert_eq!(world.state().await, before);
    assert_eq!(world.recorded_changes(), ["CreateBucket"]);
}

static ENTROPY: LazyLock<Arc<dyn Entropy>> =
    LazyLock::new(|| Arc::new(Counting(AtomicU64::new(0))));
static RING: LazyLock<Arc<Keyring<Unsealed>>> =
    LazyLock::new(|| Arc::new(Keyring::create(NOW, &**ENTROPY).0));

/// A server on `disk`; `None` if the disk does not let it start.
fn start(disk: &SimDisk) -> Option<World> {
    let options = MetaOptions {
        journal_file_len_bytes: 64 << 10,
        memtable_bytes: 64 << 10,
        index_cache_bytes: 1 << 20,
        snapshot_after_bytes: 256 << 10,
        floor_bytes: 0,
    };
    let disk = Arc::new(disk.clone());
    let meta = DurableMeta::open(disk, RING.clone(), Arc::clone(&ENTROPY), options);
    World::on(Ground {
        meta: Arc::new(meta.ok()?),
        ring: Arc::clone(&RING),
        entropy: Arc::clone(&ENTROPY),
        ..Ground::new()
    })
}

#[test]
fn no_fault_and_no_crash_parts_a_change_of_a_bucket_from_its_record() {
    let runtime = Runtime::new().unwrap();
    let disk = SimDisk::new();
    drop(start(&disk).unwrap());
    let base = disk.operations();
    // What the bucket is after each of the changes.
    let mut states = Vec::new();
    {
        let world = start(&disk.fork()).unwrap();
        states.push(runtime.block_on(world.state()));
        for change in CHANGES {
            let told = runtime.block_on(world.change(change));
            assert!(told.status < 300, "{change:?}: {}", told.body);
            states.push(runtime.block_on(world.state()));
        }
    }
    for pair in states[..states.len() - 1].windows(2) {
        assert_ne!(pair[0], pair[1]);
    }
    let whole = disk.fork();
    {
        let world = start(&whole).unwrap();
        for change in CHANGES {
            runtime.block_on(world.change(change));
        }
    }
    let operations = whole.operations();
    let names: Vec<&str> = CHANGES.iter().map(|it| event_name(it.0)).collect();
    let (mut partial, mut unanswered) = (0, 0);
    for at_operation in base..operations {
        for kind in [FaultKind::PowerOff, FaultKind::Eio] {
            let disk = disk.fork();
            disk.set_fault(Some(Fault {
                at_operation,
                kind,
                sticky: at_operation % 2 == 0,
            }));
            let mut answered = 0;
            if let Some(world) = start(&disk) {
                answered = CHANGES
                    .iter()
                    .take_while(|it| runtime.block_on(world.change(it)).status < 300)
                    .count();
            }
            let crash = match at_operation % 3 {
                0 => Crash::Killed,
                1 => Crash::DropUnsynced,
                _ => Crash::Torn { seed: at_operation },
            };
            disk.crash(crash);
            let world = start(&disk).unwrap();
            let what = format!("{at_operation} {kind:?} {crash:?}");
            let recorded = world.recorded_changes();
            assert!(recorded.len() >= answered, "{what}: {recorded:?}");
            assert_eq!(recorded, names[..recorded.len()], "{what}");
            let state = runtime.block_on(world.state());
            assert_eq!(state, states[recorded.len()], "{what}: {recorded:?}");
            partial += u32::from(answered < CHANGES.len());
            unanswered += recorded.len() - answered;
        }
    }
    assert!(partial > 20, "faults were hit: {partial}");
    assert!(
        unanswered > 0,
        "some crashes came between a commit and its answer"
    );
}
