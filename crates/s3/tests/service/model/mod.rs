//! The service against the reference model: random histories, every outcome compared.
//!
//! The same histories run on the stores in memory, on stores in memory that inject conflicts, and
//! on the durable store over the fault-injecting disk, which loses power between operations.

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};
use strongroom_model::{Condition, Failure, Id, Model, Objects, Operation, Outcome, VersionName};
use strongroom_policy::{Action, actions};
use strongroom_s3::{
    CompleteMultipartUploadInput, CompletedPart, CopyObjectInput, CopySource, CreateBucketInput,
    CreateMultipartUploadInput, DeleteObjectInput, ETagCondition, Entry, GetObjectInput,
    ListObjectsInput, ListVersionsInput, MetadataDirective, PutObjectInput, ReadConditions, S3,
    S3Error, TaggingDirective, UploadPartInput, Versioning, WriteConditions,
};
use strongroom_sse::SseHeaders;
use strongroom_types::{BucketName, ETag, ObjectKey, PartNumber, RangeSpec, UploadId, VersionId};

use self::world::{World, md5_etag};
use crate::support::context;

const PART_MIN_BYTES: usize = 5 << 20;
const BUCKETS: [&str; 2] = ["first", "second"];
const KEYS: [&str; 6] = ["a", "a/b", "a/b/c", "a//", "b", "z/1"];

/// The service, and which real ids the model's symbolic ones stand for.
struct Subject {
    world: World,
    versions: BTreeMap<u64, VersionId>,
    uploads: BTreeMap<u64, UploadId>,
    parts: BTreeMap<(u64, u16), ETag>,
}

impl Subject {
    fn new(world: World) -> Self {
        Self {
            world,
            versions: BTreeMap::new(),
            uploads: BTreeMap::new(),
            parts: BTreeMap::new(),
        }
    }

    fn service(&self) -> &Arc<S3> {
        self.world.service()
    }

    fn enter<A: Action>(&self, bucket: &str, key: &str) -> Result<Entry<A>, S3Error> {
        let (bucket, key) = (
            BucketName::parse(bucket).unwrap(),
            ObjectKey::parse(key).unwrap(),
        );
        self.service().enter_object(context(), &bucket, &key, None)
    }

    fn enter_bucket<A: Action>(&self, bucket: &str) -> Result<Entry<A>, S3Error> {
        self.service()
            .enter_bucket(context(), &BucketName::parse(bucket).unwrap(), None)
    }

    /// The real name of a symbolic version; an id that was never handed out names nothing.
    fn real(&self, name: VersionName) -> VersionId {
        let unknown = VersionId::Id {
            uid: strongroom_types::VersionUid::from_bytes([0xEE; 16]),
            sequence: 77,
        };
        match name {
            VersionName::Null => VersionId::Null,
            VersionName::Id(Id(id)) => self.versions.get(&id).copied().unwrap_or(unknown),
        }
    }

    fn upload(&self, id: Id) -> UploadId {
        let unknown = UploadId {
            initiated: strongroom_types::Timestamp::from_millis(1),
            version_uid: strongroom_types::VersionUid::from_bytes([0xEE; 16]),
        };
        self.uploads.get(&id.0).copied().unwrap_or(unknown)
    }

    /// What a real version is called in the model. An id seen for the first time gets the name that
    /// the model gave it.
    fn name(
        &mut self,
        real: Option<VersionId>,
        expected: Option<VersionName>,
    ) -> Option<VersionName> {
        match real? {
            VersionId::Null => Some(VersionName::Null),
            id @ VersionId::Id { .. } => {
                if let Some((known, _)) = self.versions.iter().find(|(_, real)| **real == id) {
                    return Some(VersionName::Id(Id(*known)));
                }
                if let Some(VersionName::Id(Id(new))) = expected
                    && !self.versions.contains_key(&new)
                {
                    self.versions.insert(new, id);
                    return expected;
                }
                Some(VersionName::Id(Id(u64::MAX)))
            }
        }
    }

    /// Does `operation` for real. `expected` is consulted only to name new ids.
    fn apply(&mut self, operation: &Operation, expected: &Outcome) -> Outcome {
        self.attempt(operation, expected)
            .unwrap_or_else(|error| Outcome::Failed(failure(&error)))
    }

    fn attempt(&mut self, operation: &Operation, expected: &Outcome) -> Result<Outcome, S3Error> {
        let expected_version = match expected {
            Outcome::Written { version }
            | Outcome::Deleted { version, .. }
            | Outcome::Body { version, .. } => *version,
            _ => None,
        };
        match operation {
            Operation::CreateBucket { bucket } => {
                let entry = self
                    .service()
                    .enter_account::<actions::CreateBucket>(context())?;
                let name = BucketName::parse(bucket).unwrap();
                self.service().create_bucket(
                    entry,
                    CreateBucketInput {
                        name,
                        tags: Default::default(),
                        ownership: None,
                        acl: strongroom_s3::WantedAcl::Unspecified,
                    },
                )?;
                Ok(Outcome::Done)
            }
            Operation::DeleteBucket { bucket } => {
                self.service().delete_bucket(self.enter_bucket(bucket)?)?;
                Ok(Outcome::Done)
            }
            Operation::SetVersioning { bucket, enabled } => {
                let versioning = if *enabled {
                    Versioning::Enabled
                } else {
                    Versioning::Suspended
                };
                self.service()
                    .put_bucket_versioning(self.enter_bucket(bucket)?, versioning)?;
                Ok(Outcome::Done)
            }
            Operation::Put {
                bucket,
                key,
                body,
                condition,
            } => {
                let conditions = match condition {
                    Condition::None => WriteConditions::default(),
                    Condition::IfAbsent => WriteConditions {
                        if_none_match: true,
                        ..Default::default()
                    },
                    Condition::IfMatch(bytes) => WriteConditions {
                        if_match: Some(ETagCondition::Tags(vec![md5_etag(bytes)])),
                        ..Default::default()
                    },
                };
                let input = PutObjectInput {
                    conditions,
                    ..Default::default()
                };
                let output = self
                    .world
                    .put_object(self.enter(bucket, key)?, input, body)?;
                let version = self.name(output.version, expected_version);
                Ok(Outcome::Written { version })
            }
            Operation::Get {
                bucket,
                key,
                version,
            } => {
                let input = GetObjectInput {
                    version: version.map(|name| self.real(name)),
                    ..Default::default()
                };
                self.get(bucket, key, input, expected_version)
            }
            Operation::GetRange {
                bucket,
                key,
                start,
                end,
            } => {
                let range = Some(RangeSpec::FromTo(*start, end - 1));
                self.get(
                    bucket,
                    key,
                    GetObjectInput {
                        range,
                        ..Default::default()
                    },
                    expected_version,
                )
            }
            Operation::Delete {
                bucket,
                key,
                version,
            } => {
                let input = DeleteObjectInput {
                    version: version.map(|name| self.real(name)),
                    ..Default::default()
                };
                let output = self
                    .service()
                    .delete_object(self.enter(bucket, key)?, input)?;
                let version = match version {
                    Some(asked) => Some(*asked),
                    None => self.name(output.version, expected_version),
                };
                Ok(Outcome::Deleted {
                    version,
                    marker: output.delete_marker,
                })
            }
            Operation::Copy {
                bucket,
                key,
                to_bucket,
                to_key,
            } => {
                let source = self.enter(bucket, key)?;
                let destination = self.enter(to_bucket, to_key)?;
                let output = self.service().copy_object(
                    source,
                    destination,
                    CopySource {
                        bucket: BucketName::parse(bucket).unwrap(),
                        key: ObjectKey::parse(key).unwrap(),
                        version: None,
                        conditions: ReadConditions::default(),
                        customer: Default::default(),
                    },
                    CopyObjectInput {
                        metadata: MetadataDirective::Copy,
                        tags: TaggingDirective::Copy,
                        website_redirect_location: None,
                        storage_class_given: false,
                        sse: Default::default(),
                        conditions: WriteConditions::default(),
                        checksum_algorithm: None,
                        acl: strongroom_s3::WantedAcl::Unspecified,
                    },
                )?;
                let version = self.name(output.object.version, expected_version);
                Ok(Outcome::Written { version })
            }
            Operation::List {
                bucket,
                prefix,
                delimiter,
                after,
                max,
            } => {
                let input = ListObjectsInput {
                    prefix: prefix.clone(),
                    delimiter: delimiter.clone(),
                    after: after.clone(),
                    max_keys: u32::try_from(*max).unwrap(),
                };
                let page = self
                    .service()
                    .list_objects(self.enter_bucket(bucket)?, input)?;
                let size = |size: u64| usize::try_from(size).unwrap();
                let keys = page
                    .objects
                    .into_iter()
                    .map(|object| (object.key, size(object.size_bytes)))
                    .collect();
                Ok(Outcome::Listing {
                    keys,
                    prefixes: page.common_prefixes,
                    next: page.next_after,
                })
            }
            Operation::ListVersions { bucket } => {
                let names = match expected {
                    Outcome::Versions(rows) => rows.iter().map(|row| Some(row.1)).collect(),
                    _ => Vec::new(),
                };
                let input = ListVersionsInput {
                    max_keys: 1000,
                    ..Default::default()
                };
                let page = self
                    .service()
                    .list_versions(self.enter_bucket(bucket)?, input)?;
                let mut rows = Vec::new();
                for (index, row) in page.versions.into_iter().enumerate() {
                    let name = self
                        .name(Some(row.version), names.get(index).copied().flatten())
                        .unwrap();
                    let size = (!row.is_delete_marker)
                        .then(|| usize::try_from(row.object.size_bytes).unwrap());
                    rows.push((row.object.key, name, row.is_latest, size));
                }
                Ok(Outcome::Versions(rows))
            }
            Operation::CreateUpload { bucket, key } => {
                let entry = self.enter(bucket, key)?;
                // Every mode in turn. Objects of one PUT stay SSE-S3: their conditions name an MD5.
                let modes = [None, Some("aws:kms"), Some("aws:kms:dsse")];
                let algorithm = modes.iter().cycle().nth(self.uploads.len());
                let input = CreateMultipartUploadInput {
                    sse: SseHeaders {
                        algorithm: algorithm.copied().flatten().map(str::to_owned),
                        bucket_key_enabled: Some("true".to_owned()),
                        ..SseHeaders::default()
                    },
                    ..CreateMultipartUploadInput::default()
                };
                let output = self.service().create_multipart_upload(entry, input)?;
                let Outcome::Upload(id) = expected else {
                    return Ok(Outcome::Upload(Id(u64::MAX)));
                };
                self.uploads.insert(id.0, output.upload);
                Ok(Outcome::Upload(*id))
            }
            Operation::UploadPart {
                bucket,
                key,
                upload,
                number,
                body,
            } => {
                let entry = self.enter(bucket, key)?;
                let input = UploadPartInput {
                    upload: self.upload(*upload),
                    part_number: PartNumber::new(u64::from(*number)).unwrap(),
                    content_length: u64::try_from(body.len()).unwrap(),
                    customer: Default::default(),
                    digests: Default::default(),
                };
                let output = self.world.upload_part(entry, input, body)?;
                self.parts.insert((upload.0, *number), output.etag);
                Ok(Outcome::Done)
            }
            Operation::Complete {
                bucket,
                key,
                upload,
                numbers,
            } => {
                let part = |number: &u16| CompletedPart {
                    part_number: PartNumber::new(u64::from(*number)).unwrap(),
                    etag: self
                        .parts
                        .get(&(upload.0, *number))
                        .cloned()
                        .unwrap_or_else(|| md5_etag(b"?")),
                    checksum: None,
                };
                let input = CompleteMultipartUploadInput {
                    upload: self.upload(*upload),
                    parts: numbers.iter().map(part).collect(),
                    checksum: None,
                    checksum_type: None,
                    object_size: None,
                    customer: Default::default(),
                    conditions: WriteConditions::default(),
                };
                let output = self
                    .service()
                    .complete_multipart_upload(self.enter(bucket, key)?, input)?;
                let version = self.name(output.version, expected_version);
                Ok(Outcome::Written { version })
            }
            Operation::Abort {
                bucket,
                key,
                upload,
            } => {
                self.service()
                    .abort_multipart_upload(self.enter(bucket, key)?, self.upload(*upload))?;
                Ok(Outcome::Done)
            }
        }
    }

    /// All current objects, read through the service.
    fn contents(&self) -> Vec<(String, Objects)> {
        let mut contents = Vec::new();
        for bucket in BUCKETS {
            let Ok(entry) = self.enter_bucket(bucket) else {
                continue;
            };
            let input = ListObjectsInput {
                max_keys: 1000,
                ..Default::default()
            };
            let page = self.service().list_objects(entry, input).unwrap();
            let objects = page.objects.into_iter().map(|object| {
                let entry = self.enter(bucket, &object.key).unwrap();
                let output = self
                    .service()
                    .get_object(entry, GetObjectInput::default())
                    .unwrap();
                (object.key, self.world.read_body(output.body.unwrap()))
            });
            contents.push((bucket.to_owned(), objects.collect()));
        }
        contents
    }

    /// Deletes every version, and the buckets, which aborts the uploads in them.
    fn empty(&mut self, model: &mut Model) {
        for bucket in BUCKETS {
            let bucket = bucket.to_owned();
            let list = Operation::ListVersions {
                bucket: bucket.clone(),
            };
            let Outcome::Versions(rows) = model.apply(&list) else {
                continue;
            };
            for (key, version, ..) in rows {
                let delete = Operation::Delete {
                    bucket: bucket.clone(),
                    key,
                    version: Some(version),
                };
                let expected = model.apply(&delete);
                assert_eq!(self.apply(&delete, &expected), expected);
            }
            let delete = Operation::DeleteBucket { bucket };
            assert_eq!(self.apply(&delete, &Outcome::Done), Outcome::Done);
        }
    }

    fn get(
        &mut self,
        bucket: &str,
        key: &str,
        input: GetObjectInput,
        expected: Option<VersionName>,
    ) -> Result<Outcome, S3Error> {
        let output = self.service().get_object(self.enter(bucket, key)?, input)?;
        let bytes = self.world.read_body(output.body.unwrap());
        let version = self.name(output.object.version, expected);
        Ok(Outcome::Body { bytes, version })
    }
}

fn failure(error: &S3Error) -> Failure {
    match error {
        S3Error::NoSuchBucket(_) => Failure::NoSuchBucket,
        S3Error::BucketAlreadyOwnedByYou(_) => Failure::BucketExists,
        S3Error::BucketNotEmpty(_) => Failure::BucketNotEmpty,
        S3Error::NoSuchKey { .. } => Failure::NoSuchKey,
        S3Error::NoSuchVersion { .. } => Failure::NoSuchVersion,
        S3Error::IsDeleteMarker { .. } => Failure::IsDeleteMarker,
        S3Error::PreconditionFailed { .. } => Failure::PreconditionFailed,
        S3Error::InvalidRange { .. } => Failure::InvalidRange,
        S3Error::NoSuchUpload => Failure::NoSuchUpload,
        S3Error::InvalidPart { .. } => Failure::InvalidPart,
        S3Error::InvalidPartOrder => Failure::InvalidPartOrder,
        S3Error::EntityTooSmall { .. } => Failure::TooSmall,
        S3Error::MalformedPartList => Failure::EmptyPartList,
        S3Error::CopyOntoItself => Failure::CopyOntoItself,
        other => panic!("the model knows no such failure: {other:?}"),
    }
}

fn bucket() -> impl Strategy<Value = String> {
    prop_oneof![5 => Just(BUCKETS[0]), 2 => Just(BUCKETS[1])].prop_map(str::to_owned)
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(&KEYS[..]).prop_map(str::to_owned)
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 16_000_usize..200_000).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn part_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![6 => body(), 1 => any::<u8>().prop_map(|byte| vec![byte; PART_MIN_BYTES])]
}

fn version() -> impl Strategy<Value = Option<VersionName>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(VersionName::Null)),
        2 => (1_u64..12).prop_map(|id| Some(VersionName::Id(Id(id)))),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let upload = || (1_u64..12).prop_map(Id);
    prop_oneof![
        2 => bucket().prop_map(|bucket| Operation::CreateBucket { bucket }),
        1 => bucket().prop_map(|bucket| Operation::DeleteBucket { bucket }),
        2 => (bucket(), any::<bool>()).prop_map(|(bucket, enabled)| Operation::SetVersioning { bucket, enabled }),
        8 => (bucket(), key(), body(), prop_oneof![
            4 => Just(Condition::None),
            1 => Just(Condition::IfAbsent),
            1 => body().prop_map(Condition::IfMatch),
        ]).prop_map(|(bucket, key, body, condition)| Operation::Put { bucket, key, body, condition }),
        6 => (bucket(), key(), version()).prop_map(|(bucket, key, version)| Operation::Get { bucket, key, version }),
        2 => (bucket(), key(), 0_u64..50, 1_u64..50).prop_map(|(bucket, key, start, length)| {
            Operation::GetRange { bucket, key, start, end: start + length }
        }),
        5 => (bucket(), key(), version()).prop_map(|(bucket, key, version)| Operation::Delete { bucket, key, version }),
        2 => (bucket(), key(), bucket(), key()).prop_map(|(bucket, key, to_bucket, to_key)| {
            Operation::Copy { bucket, key, to_bucket, to_key }
        }),
        4 => (
            bucket(),
            prop::sample::select(vec!["", "a", "a/", "b", "zz"]),
            prop::option::of(prop::sample::select(vec!["/", "b", "//"])),
            prop::option::of(prop::sample::select(vec!["a", "a/", "a/b", "a/z", "b"])),
            0_usize..5,
        ).prop_map(|(bucket, prefix, delimiter, after, max)| Operation::List {
            bucket,
            prefix: prefix.to_owned(),
            delimiter: delimiter.map(str::to_owned),
            after: after.map(str::to_owned),
            max,
        }),
        3 => bucket().prop_map(|bucket| Operation::ListVersions { bucket }),
        2 => (bucket(), key()).prop_map(|(bucket, key)| Operation::CreateUpload { bucket, key }),
        4 => (bucket(), key(), upload(), 1_u16..4, part_body()).prop_map(|(bucket, key, upload, number, body)| {
            Operation::UploadPart { bucket, key, upload, number, body }
        }),
        2 => (bucket(), key(), upload(), prop::collection::vec(1_u16..4, 0..3)).prop_map(
            |(bucket, key, upload, numbers)| Operation::Complete { bucket, key, upload, numbers }
        ),
        1 => (bucket(), key(), upload()).prop_map(|(bucket, key, upload)| Operation::Abort { bucket, key, upload }),
    ]
}

/// Starts where histories are interesting: both buckets exist.
fn history(length: usize) -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(operation(), 1..length).prop_map(|mut operations| {
        let create = |bucket: &str| Operation::CreateBucket {
            bucket: bucket.to_owned(),
        };
        operations.splice(0..0, BUCKETS.map(create));
        operations
    })
}

fn run(
    world: World,
    operations: &[Operation],
    mut between: impl FnMut(&mut World, usize),
) -> Result<(), TestCaseError> {
    let (mut model, mut subject) = (Model::new(PART_MIN_BYTES), Subject::new(world));
    for (index, operation) in operations.iter().enumerate() {
        let expected = model.apply(operation);
        let got = subject.apply(operation, &expected);
        prop_assert_eq!(
            &got,
            &expected,
            "operation {} of the history: {:?}",
            index,
            operation
        );
        between(&mut subject.world, index);
    }
    subject.world.collect_everything();
    for (bucket, objects) in model.contents() {
        for (key, bytes) in objects {
            let got = subject.get(&bucket, &key, GetObjectInput::default(), None);
            let Ok(Outcome::Body { bytes: got, .. }) = got else {
                return Err(TestCaseError::fail(format!(
                    "{bucket}/{key} after collection: {got:?}"
                )));
            };
            prop_assert_eq!(got, bytes);
        }
    }
    // Deleting everything that the model still has leaves no file behind.
    subject.empty(&mut model);
    subject.world.collect_everything();
    prop_assert_eq!(
        subject.world.blob_count(),
        0,
        "blob files that nobody refers to"
    );
    Ok(())
}

fn config(cases: u32) -> Config {
    let cases = std::env::var("STRONGROOM_MODEL_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(cases);
    let failure_persistence = Some(Box::new(FileFailurePersistence::Off) as _);
    Config {
        cases,
        failure_persistence,
        max_shrink_iters: 400,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config(300))]
    #[test]
    fn the_service_is_the_model(operations in history(40)) {
        run(World::in_memory(), &operations, |_, _| {})?;
    }
}

proptest! {
    #![proptest_config(config(150))]
    #[test]
    fn conflicts_change_nothing_that_a_client_sees(operations in history(40), seed: u64) {
        run(World::with_conflicts(seed), &operations, |_, _| {})?;
    }
}

proptest! {
    #![proptest_config(config(200))]
    #[test]
    fn power_loss_between_operations_loses_nothing(operations in history(30), crashes in prop::collection::btree_set(0_usize..30, 0..4), seed: u64) {
        run(World::durable(seed), &operations, |world, index| {
            if crashes.contains(&index) {
                world.lose_power(seed.wrapping_add(u64::try_from(index).unwrap_or(0)));
            }
        })?;
    }
}

proptest! {
    #![proptest_config(config(200))]
    #[test]
    fn power_loss_inside_an_operation_leaves_it_done_or_not(
        operations in history(20), last in operation(), offset in 1_u64..12, seed: u64,
    ) {
        let (mut model, mut subject) = (Model::new(PART_MIN_BYTES), Subject::new(World::durable(seed)));
        for operation in &operations {
            let expected = model.apply(operation);
            prop_assert_eq!(subject.apply(operation, &expected), expected);
        }
        let before = model.contents();
        subject.world.plan_power_loss(offset);
        let expected = model.apply(&last);
        let answered = subject.attempt(&last, &expected);
        subject.world.lose_power(seed);
        let (after, got) = (model.contents(), subject.contents());
        match answered {
            Ok(_) => prop_assert_eq!(got, after, "acknowledged and lost: {:?}", last),
            Err(S3Error::Unavailable) => {
                prop_assert!(got == before || got == after, "torn: {:?}: {:?}", last, got);
            }
            Err(_) => prop_assert_eq!(got, before, "refused and done: {:?}", last),
        }
        // The world goes on.
        subject.world.collect_everything();
        let put = |key: &str| Operation::Put {
            bucket: BUCKETS[0].to_owned(),
            key: key.to_owned(),
            body: b"after".to_vec(),
            condition: Condition::None,
        };
        let done = subject.attempt(&put("new"), &Outcome::Done);
        prop_assert!(matches!(done, Ok(_) | Err(S3Error::NoSuchBucket(_))), "{:?}", done);
    }
}
