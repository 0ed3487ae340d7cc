//! Footers of blobs after a version's data key was wrapped anew: the old wrapping is gone from the
//! files, whatever fails, and the new one brings the object back from the files alone.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use minicbor::{Decode, Encode};
use strongroom_crypto::{
    Attribute, BodyKeys, Footer, Keyring, KmsDataKey, StreamOpener, Unsealed, parse_footer,
    recover_identity, stream_uids,
};
use strongroom_policy::actions::{
    CreateBucket, GetObject, ListBucketVersions, PutObject, UpdateObjectEncryption,
};
use strongroom_policy::{NoPrincipals, RootOnly};
use strongroom_ports::{Clock as _, Entropy, KeyAuthority as _, Scan, Table, Transaction};
use strongroom_rows::Record;
use strongroom_s3::{
    CompleteMultipartUploadInput, CompletedPart, CreateBucketInput, CreateMultipartUploadInput,
    Custody, ExpectedDigests, GetObjectInput, ObjectBody, PutObjectInput, ReEncryptionJob,
    ReEncryptionRefusal, S3, S3Error, S3Options, S3Ports, UpdateObjectEncryptionInput,
    UploadPartInput, WriteConditions,
};
use strongroom_sse::{CustomerHeaders, SseHeaders};
use strongroom_store::disk::{Crash, Fault, FaultKind, SimDisk};
use strongroom_store::{BlobOptions, FileBlobs, MemoryMeta};
use strongroom_types::kms::{EncryptionContext, KeyArn};
use strongroom_types::{PartNumber, Region, TagSet};
use tokio::runtime::Runtime;

use crate::support::keys::KeyState;
use crate::support::{
    Pieces, TestAudit, TestClock, TestEntropy, TestKeys, bucket, context, object_key, pattern,
};

const MIB_5: usize = 5 << 20;

/// The service on files of a disk that may fail, and on metadata that does not.
struct World {
    disk: SimDisk,
    ports: S3Ports,
    service: Arc<S3>,
    keys: Arc<TestKeys>,
    audit: Arc<TestAudit>,
    runtime: Runtime,
}

impl World {
    fn new() -> Self {
        let disk = SimDisk::new();
        let clock = Arc::new(TestClock(AtomicU64::new(1_700_000_000_000)));
        let entropy: Arc<dyn Entropy> = Arc::new(TestEntropy(AtomicU64::new(1)));
        let (ring, _) = Keyring::<Unsealed>::create(clock.now(), &*entropy);
        let (keys, audit) = (Arc::new(TestKeys::new()), Arc::new(TestAudit::default()));
        let ports = S3Ports {
            meta: Arc::new(MemoryMeta::new()),
            blobs: blobs_on(&disk),
            custody: Arc::new(Custody::new(Arc::new(ring))),
            keys: Arc::clone(&keys) as _,
            authorizer: Arc::new(RootOnly::default()),
            principals: Arc::new(NoPrincipals::default()),
            audit: Arc::clone(&audit) as _,
            clock,
            entropy,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        let world = Self {
            service: service_on(&ports),
            disk,
            ports,
            keys,
            audit,
            runtime,
        };
        let entry = world.service.enter_account::<CreateBucket>(context());
        let input = CreateBucketInput {
            name: bucket(),
            tags: TagSet::default(),
            ownership: None,
            acl: strongroom_s3::WantedAcl::Unspecified,
        };
        world.service.create_bucket(entry.unwrap(), input).unwrap();
        world
    }

    /// Starts again on what the disk has.
    fn restart(&mut self) {
        self.ports.blobs = blobs_on(&self.disk);
        self.service = service_on(&self.ports);
    }

    fn entry<A: strongroom_policy::Action>(&self, key: &str) -> strongroom_s3::Entry<A> {
        self.service
            .enter_object(context(), &bucket(), &object_key(key), None)
            .unwrap()
    }

    fn put(&self, key: &str, sse: SseHeaders, body: &[u8]) {
        let input = PutObjectInput {
            sse,
            content_length: body.len() as u64,
            ..PutObjectInput::default()
        };
        let entry = self.entry::<PutObject>(key);
        let put = self
            .service
            .put_object(entry, input, Box::pin(Pieces::of(body)));
        self.runtime.block_on(put).unwrap();
    }

    fn put_parts(&self, key: &str, bodies: &[&[u8]]) {
        let input = CreateMultipartUploadInput::default();
        let entry = self.entry::<PutObject>(key);
        let created = self.service.create_multipart_upload(entry, input);
        let upload = created.unwrap().upload;
        let parts = (1..).zip(bodies).map(|(number, body)| {
            let part_number = PartNumber::new(number).unwrap();
            let input = UploadPartInput {
                upload,
                part_number,
                content_length: body.len() as u64,
                customer: CustomerHeaders::default(),
                digests: ExpectedDigests::default(),
            };
            let entry = self.entry::<PutObject>(key);
            let body = Box::pin(Pieces::of(body));
            let sent = self.service.upload_part(entry, input, body);
            CompletedPart {
                part_number,
                etag: self.runtime.block_on(sent).unwrap().etag,
                checksum: None,
            }
        });
        let input = CompleteMultipartUploadInput {
            upload,
            parts: parts.collect(),
            checksum: None,
            checksum_type: None,
            object_size: None,
            customer: CustomerHeaders::default(),
            conditions: WriteConditions::default(),
        };
        let entry = self.entry::<PutObject>(key);
        self.service
            .complete_multipart_upload(entry, input)
            .unwrap();
    }

    fn update(&self, key: &str, kms: &KeyArn, bucket_key: bool) -> Result<(), S3Error> {
        let input = UpdateObjectEncryptionInput {
            version: None,
            key: kms.clone(),
            bucket_key,
        };
        let entry = self.entry::<UpdateObjectEncryption>(key);
        let updated = self.service.update_object_encryption(entry, input);
        updated.map(|_| ())
    }

    fn get(&self, key: &str) -> Vec<u8> {
        self.drain(self.start_get(key))
    }

    fn start_get(&self, key: &str) -> ObjectBody {
        let entry = self.entry::<GetObject>(key);
        let output = self.service.get_object(entry, GetObjectInput::default());
        output.unwrap().body.unwrap()
    }

    fn drain(&self, body: ObjectBody) -> Vec<u8> {
        match body {
            ObjectBody::Whole(bytes) => bytes.to_vec(),
            ObjectBody::Stream(mut stream) => self.runtime.block_on(async {
                let mut all = Vec::new();
                while let Some(piece) =
                    std::future::poll_fn(|cx| stream.as_mut().poll_next(cx)).await
                {
                    all.extend_from_slice(&piece.unwrap());
                }
                all
            }),
        }
    }

    fn collect(&self) {
        self.service.collect_garbage(1000).unwrap();
    }

    fn garbage_rows(&self) -> usize {
        let scan = Scan {
            table: Table::GARBAGE,
            start: bytes::Bytes::new(),
            end: None,
            limit: 100,
            reverse: false,
        };
        self.ports.meta.scan(&scan).unwrap().rows.len()
    }

    /// The bytes of all blob files.
    fn files(&self) -> Vec<Vec<u8>> {
        let paths = self.disk.paths().into_iter();
        paths
            .filter(|path| path.starts_with("blobs/"))
            .map(|path| self.disk.bytes(&path).unwrap())
            .collect()
    }

    /// The blob files that have a footer, with it: all but part lists.
    fn with_footers(&self) -> Vec<(Vec<u8>, Footer, usize)> {
        let files = self.files().into_iter();
        files
            .filter(|bytes| !bytes.starts_with(b"SRM1"))
            .map(|bytes| {
                let (footer, len) = parse_footer(&bytes).unwrap();
                (bytes, footer, len)
            })
            .collect()
    }

    fn wrapped_keys(&self) -> Vec<Vec<u8>> {
        let footers = self.with_footers().into_iter();
        footers
            .map(|(_, footer, _)| footer.wrapped_key.as_bytes().to_vec())
            .collect()
    }

    /// That no file holds one of these wrapped keys: neither whole, nor its random part.
    fn assert_gone(&self, wrapped: &[Vec<u8>], what: &str) {
        assert!(!wrapped.is_empty());
        for bytes in self.files() {
            for old in wrapped {
                let end = &old[old.len() - 24..];
                let found = bytes.windows(end.len()).any(|window| window == end);
                assert!(!found, "{what}: a file holds the old wrapped key");
            }
        }
    }

    /// What the files alone give with ring and key service: every blob by its own account.
    fn recover(&self) -> Result<Vec<Recovered>, String> {
        self.with_footers()
            .into_iter()
            .map(|(bytes, footer, footer_len)| {
                let stream = &bytes[..bytes.len() - footer_len];
                let (bucket_uid, version, _) = stream_uids(stream).unwrap();
                let place = [bucket_uid.as_bytes().as_slice(), version.as_bytes()].concat();
                let sealed = footer.encryption.ok_or("no encryption record")?;
                let record = self.ports.custody.rows().open(0xFF, &place, &sealed);
                let record = <EncryptionRecord as Record>::decode(&record.unwrap()).unwrap();
                assert_eq!(record.algorithm, "aws:kms");
                let mut context_of = EncryptionContext::default();
                for pair in &record.client_pairs {
                    let value = std::str::from_utf8(&pair.value).unwrap();
                    context_of = context_of.with(&pair.key, value).unwrap();
                }
                let context_of = context_of.with("aws:s3:arn", &record.s3_arn).unwrap();
                let blob = footer.wrapped_key.kms_blob().ok_or("no ciphertext")?;
                let opened = self.keys.decrypt_data_key(&context(), blob, &context_of);
                let opened = opened.map_err(|error| error.to_string())?;
                assert_eq!(opened.lease.key.to_string(), record.key_arn);
                let kms_key = KmsDataKey::parse(&opened.plaintext).unwrap();
                let wrapped = &footer.wrapped_key;
                let unnamed = kms_key.recover_data_key(wrapped, bucket_uid, version);
                let keys = BodyKeys::single(unnamed.unwrap());
                let (identity, part) = recover_identity(&keys, stream).unwrap();
                // Now that the name is known, the wrapped key must be this object's.
                let data_key = kms_key.unwrap_data_key(wrapped, &identity).unwrap();
                let record_of =
                    data_key.open_attribute(Attribute::FooterRecord, &identity, &footer.record);
                assert!(!record_of.unwrap().is_empty(), "the record stays as it was");
                let stored_stream = StreamOpener::new(&keys, &identity, part, stream).unwrap();
                let layout = stored_stream.layout();
                let len = layout.plaintext_len_bytes(stream.len() as u64).unwrap();
                let count = layout.segment_count(len);
                let mut segments = stream[layout.header_len_bytes()..].to_vec();
                let mut plaintext = Vec::new();
                let stored_len = layout.stored_segment_len_bytes();
                for (index, stored) in (0..).zip(segments.chunks_mut(stored_len)) {
                    let opened = stored_stream.open_segment(index, index + 1 == count, stored);
                    plaintext.extend_from_slice(opened.unwrap());
                }
                Ok(Recovered {
                    key: identity.key.as_str().to_owned(),
                    kms_key: record.key_arn,
                    part: part.map(|part| part.number.value()),
                    plaintext,
                })
            })
            .collect()
    }
}

/// An object, or a part of one, from its blob file.
struct Recovered {
    key: String,
    kms_key: String,
    part: Option<u16>,
    plaintext: Vec<u8>,
}

/// The encryption record as FORMAT.md has it.
#[derive(Encode, Decode)]
#[cbor(map)]
struct EncryptionRecord {
    #[n(0)]
    algorithm: String,
    #[n(1)]
    key_arn: String,
    #[n(2)]
    client_pairs: Vec<Pair>,
    #[n(3)]
    s3_arn: String,
    #[n(4)]
    bucket_key: bool,
}

#[derive(Encode, Decode)]
struct Pair {
    #[n(0)]
    key: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    value: Vec<u8>,
}

impl Record for EncryptionRecord {
    const KIND: u8 = 0x0A;
}

fn blobs_on(disk: &SimDisk) -> Arc<FileBlobs> {
    let options = BlobOptions { floor_bytes: 0 };
    Arc::new(FileBlobs::open(Arc::new(disk.clone()), options).unwrap())
}

fn service_on(ports: &S3Ports) -> Arc<S3> {
    let options = S3Options {
        region: Region::parse("us-east-1").unwrap(),
        block_sse_c_on_new_buckets: false,
        danger_keys_over_plain_http: false,
        inline_max_bytes: 64,
        bucket_key_ttl: S3Options::BUCKET_KEY_TTL,
    };
    Arc::new(S3::new(ports.clone(), options))
}

fn under(algorithm: &str, key: &KeyArn) -> SseHeaders {
    SseHeaders {
        algorithm: Some(algorithm.to_owned()),
        kms_key_id: Some(key.to_string()),
        ..SseHeaders::default()
    }
}

/// The parts of `k` in order, or the one stream.
fn plaintext_of(mut recovered: Vec<Recovered>, key: &KeyArn) -> Vec<u8> {
    recovered.sort_by_key(|one| one.part);
    for one in &recovered {
        assert_eq!((one.key.as_str(), &one.kms_key), ("k", &key.to_string()));
    }
    recovered
        .into_iter()
        .flat_map(|one| one.plaintext)
        .collect()
}

fn write_object(world: &World, parts: usize, body: &[u8]) {
    if parts == 1 {
        world.put("k", SseHeaders::default(), body);
    } else {
        let (first, second) = body.split_at(MIB_5);
        world.put_parts("k", &[first, second]);
    }
}

fn body_of(parts: usize) -> Vec<u8> {
    pattern(if parts == 1 { 100_000 } else { MIB_5 + 70_000 })
}

#[test]
fn a_key_taken_away_takes_the_blobs_with_it() {
    for parts in [1, 2] {
        let world = World::new();
        let (first, second) = (world.keys.create(), world.keys.create());
        let body = body_of(parts);
        write_object(&world, parts, &body);
        let mut old = world.wrapped_keys();
        assert_eq!(old.len(), parts);
        for (key, bucket_key) in [(&first, false), (&second, true), (&first, true)] {
            world.update("k", key, bucket_key).unwrap();
            let what = format!("{parts} parts, bucket key {bucket_key}");
            world.assert_gone(&old, &what);
            assert_eq!(world.garbage_rows(), 0, "{what}");
            assert!(world.get("k") == body, "{what}");
            assert!(
                plaintext_of(world.recover().unwrap(), key) == body,
                "{what}"
            );
            old.extend(world.wrapped_keys());
        }
        // The one key decides, the other does not any more.
        world.keys.set(&second, KeyState::Deleted);
        assert!(plaintext_of(world.recover().unwrap(), &first) == body);
        world.keys.set(&first, KeyState::Deleted);
        assert!(world.recover().is_err());
        assert!(world.audit.0.lock().is_empty(), "nothing is damaged");
    }
}

#[test]
fn a_download_that_runs_meanwhile_is_not_disturbed() {
    let world = World::new();
    let (first, second) = (world.keys.create(), world.keys.create());
    let body = pattern((1 << 20) + 5);
    world.put("k", SseHeaders::default(), &body);
    let before = world.start_get("k");
    world.update("k", &first, true).unwrap();
    let between = world.start_get("k");
    world.update("k", &second, false).unwrap();
    assert!(world.drain(before) == body);
    assert!(world.drain(between) == body);
}

#[test]
fn what_is_refused_changes_no_blob() {
    let world = World::new();
    let (first, second) = (world.keys.create(), world.keys.create());
    world.put("k", under("aws:kms:dsse", &first), &pattern(100_000));
    let before = world.files();
    let refused = S3Error::ReEncryption(ReEncryptionRefusal::SourceDsse);
    assert_eq!(world.update("k", &second, false), Err(refused));
    world.put("k", under("aws:kms", &first), &pattern(100_000));
    world.collect();
    let kept = world.files();
    assert!(kept != before);
    world.keys.set(&second, KeyState::Disabled);
    assert!(world.update("k", &second, false).is_err());
    assert!(world.files() == kept);
    assert_eq!(world.garbage_rows(), 0);
}

#[test]
fn a_prefix_that_is_encrypted_anew_keeps_no_old_key() {
    let world = World::new();
    let key = world.keys.create();
    for name in ["k/1", "k/2", "other"] {
        world.put(name, SseHeaders::default(), &pattern(3000));
    }
    let old = world.wrapped_keys();
    let job = ReEncryptionJob {
        prefix: "k/".to_owned(),
        key,
        bucket_key: true,
    };
    let entry = world
        .service
        .enter_bucket::<ListBucketVersions>(context(), &bucket(), None);
    let report = world.service.reencrypt(entry.unwrap(), &job, 100).unwrap();
    assert_eq!((report.updated, report.done), (2, true));
    let now = world.wrapped_keys();
    let kept = now.iter().filter(|wrapped| old.contains(wrapped)).count();
    assert_eq!(kept, 1, "the other one's");
    assert_eq!(world.garbage_rows(), 0);
}

/// Updates with a fault at each operation of the blob files, and starts again.
fn update_with_faults(parts: usize, kind: FaultKind, crash: Option<Crash>) {
    let body = body_of(parts);
    for step in 0.. {
        let what = format!("{parts} parts, {kind:?} at {step}, {crash:?}");
        let mut world = World::new();
        let key = world.keys.create();
        write_object(&world, parts, &body);
        let old = world.wrapped_keys();
        let before = world.disk.operations();
        world.disk.set_fault(Some(Fault {
            at_operation: before + step,
            kind,
            sticky: false,
        }));
        // The change is made, whatever becomes of the footers.
        world.update("k", &key, false).unwrap();
        let operations = world.disk.operations() - before;
        world.disk.set_fault(None);
        let pending = world.garbage_rows();
        if let Some(crash) = crash {
            world.disk.crash(crash);
        }
        world.restart();
        assert_eq!(pending, usize::from(operations > step), "{what}");
        world.collect();
        world.assert_gone(&old, &what);
        assert!(world.get("k") == body, "{what}");
        assert!(
            plaintext_of(world.recover().unwrap(), &key) == body,
            "{what}"
        );
        assert_eq!(world.garbage_rows(), 0, "{what}");
        assert!(
            world.audit.0.lock().is_empty(),
            "{what}: nothing is damaged"
        );
        if operations <= step {
            assert!(step >= 6, "{what}: faults were met");
            return;
        }
    }
}

#[test]
fn what_a_crash_cuts_short_the_collector_completes() {
    update_with_faults(1, FaultKind::PowerOff, Some(Crash::Killed));
    update_with_faults(1, FaultKind::PowerOff, Some(Crash::DropUnsynced));
    for seed in 0..8 {
        update_with_faults(1, FaultKind::PowerOff, Some(Crash::Torn { seed }));
    }
    update_with_faults(2, FaultKind::PowerOff, Some(Crash::DropUnsynced));
    update_with_faults(2, FaultKind::PowerOff, Some(Crash::Torn { seed: 3 }));
}

#[test]
fn what_a_failing_disk_refuses_the_collector_completes() {
    for kind in [FaultKind::Eio, FaultKind::ShortWrite] {
        update_with_faults(1, kind, None);
        update_with_faults(1, kind, Some(Crash::DropUnsynced));
        update_with_faults(2, kind, None);
    }
}

#[test]
fn a_part_that_cannot_be_rewritten_does_not_keep_the_key_in_the_others() {
    let world = World::new();
    let key = world.keys.create();
    let body = body_of(2);
    write_object(&world, 2, &body);
    let old = world.wrapped_keys();
    // The first write of the first part; a failed sync would stop the store.
    world.disk.set_fault(Some(Fault {
        at_operation: world.disk.operations(),
        kind: FaultKind::Eio,
        sticky: false,
    }));
    world.update("k", &key, false).unwrap();
    let now = world.wrapped_keys();
    let kept = now.iter().filter(|wrapped| old.contains(wrapped)).count();
    assert_eq!((kept, world.garbage_rows()), (1, 1));
    // And it does not hold up the collector.
    world.collect();
    world.assert_gone(&old, "collected");
    assert_eq!(world.garbage_rows(), 0);
}

#[test]
fn a_rewriting_may_be_done_again_and_for_a_version_that_is_gone() {
    let world = World::new();
    let key = world.keys.create();
    let body = body_of(1);
    write_object(&world, 1, &body);
    world.disk.set_fault(Some(Fault {
        at_operation: world.disk.operations(),
        kind: FaultKind::Eio,
        sticky: false,
    }));
    world.update("k", &key, false).unwrap();
    let scan = Scan {
        table: Table::GARBAGE,
        start: bytes::Bytes::new(),
        end: None,
        limit: 1,
        reverse: false,
    };
    let row = world.ports.meta.scan(&scan).unwrap().rows.remove(0);
    let again = || {
        let put = Transaction::new().put(Table::GARBAGE, row.key.clone(), row.value.clone());
        world.ports.meta.commit(put).wait().unwrap();
        world.collect();
        assert_eq!(world.garbage_rows(), 0);
    };
    world.collect();
    again();
    assert!(plaintext_of(world.recover().unwrap(), &key) == body);
    // Another version has the place of the one that was meant.
    write_object(
        &world,
        1,
        b"short, and not under a key of the key service, but longer than inline",
    );
    world.collect();
    let before = world.files();
    again();
    assert!(world.files() == before, "it is left alone");
    assert!(world.audit.0.lock().is_empty(), "and nothing is damaged");
}

#[test]
fn concurrent_updates_leave_footers_that_agree_with_the_row() {
    let world = World::new();
    let arns = [world.keys.create(), world.keys.create()];
    let body = pattern(70_000);
    world.put("k", SseHeaders::default(), &body);
    let mut old = world.wrapped_keys();
    std::thread::scope(|scope| {
        for arn in &arns {
            let world = &world;
            scope.spawn(move || {
                for round in 0..40 {
                    world.update("k", arn, round % 2 == 0).unwrap();
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..60 {
                    assert!(world.get("k") == body);
                    world.collect();
                }
            });
        }
    });
    assert_eq!(world.garbage_rows(), 0);
    let entry = world.entry::<GetObject>("k");
    let head = world.service.head_object(entry, GetObjectInput::default());
    let strongroom_s3::EncryptionAnswer::Kms { key, .. } = head.unwrap().object.encryption else {
        panic!("not KMS");
    };
    world.assert_gone(&old, "after many updates");
    assert!(plaintext_of(world.recover().unwrap(), &key) == body);
    // The last one takes what all before it left.
    old = world.wrapped_keys();
    world.update("k", &arns[0], false).unwrap();
    world.assert_gone(&old, "after one more");
}

#[test]
fn a_footer_that_is_damaged_does_not_keep_the_key() {
    let world = World::new();
    let key = world.keys.create();
    let body = body_of(1);
    write_object(&world, 1, &body);
    let old = world.wrapped_keys();
    let mut paths = world.disk.paths().into_iter();
    let path = paths.rfind(|path| path.starts_with("blobs/")).unwrap();
    let mut bytes = world.disk.bytes(&path).unwrap();
    let (_, footer_len) = parse_footer(&bytes).unwrap();
    let at = bytes.len() - 30;
    assert!(footer_len > 30);
    bytes[at] ^= 1;
    world.disk.overwrite(&path, bytes);
    world.update("k", &key, false).unwrap();
    world.assert_gone(&old, "damaged");
    assert_eq!(world.garbage_rows(), 0);
    assert_eq!(*world.audit.0.lock(), ["IntegrityFailure"]);
    assert!(world.get("k") == body);
}
