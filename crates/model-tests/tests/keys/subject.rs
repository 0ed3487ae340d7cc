//! The services do what the model does: each step for real, and which real names the model's
//! symbolic ones stand for.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use strongroom_kms::{
    CancelKeyDeletionInput, CreateAliasInput, CreateKeyInput, DecryptInput, DeleteAliasInput,
    DeleteImportedKeyMaterialInput, DescribeKeyInput, DisableKeyInput, DisableKeyRotationInput,
    EnableKeyInput, EnableKeyRotationInput, EncryptInput, GetParametersForImportInput,
    GetParametersForImportOutput, ImportKeyMaterialInput, KeyMetadata, KmsError,
    ListKeyRotationsInput, RotateKeyOnDemandInput, RotationEntry, ScheduleKeyDeletionInput,
    UpdateAliasInput,
};
use strongroom_model::keys::{Refusal, Target};
use strongroom_model::vault::{Lock, Outcome, Step, Wish};
use strongroom_ports::KeyError;
use strongroom_s3::{
    CompleteMultipartUploadInput, CompletedPart, CopyObjectInput, CopySource,
    CreateMultipartUploadInput, DeleteObjectInput, ExpectedDigests, GetObjectInput,
    GetObjectOutput, ListObjectsInput, MetadataDirective, PutObjectInput, ReadConditions, S3Error,
    TaggingDirective, UpdateObjectEncryptionInput, UploadPartInput, WriteConditions,
};
use strongroom_sse::{CustomerHeaders, SseHeaders};
use strongroom_types::kms::{
    EncryptionContext, ExpirationModel, ImportType, KeyArn, KeyMaterialId, KeyOrigin,
    WrappingAlgorithm, WrappingKeySpec,
};
use strongroom_types::{ETag, ObjectKey, PartNumber, Timestamp, UploadId};
use zeroize::Zeroizing;

use crate::world::{Pieces, World, bucket, context};

/// Import tokens are used a little less long than they are good.
const TOKEN_LIFE_MILLIS: u64 = 23 * 60 * 60 * 1000;
/// What every ciphertext holds.
const PLAINTEXT: &[u8] = b"the secret";

/// Why a step did not answer as asked.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Failed {
    /// It was refused.
    Refused(Refusal),
    /// It failed: what then happened is not known.
    Broken(String),
}

impl From<KmsError> for Failed {
    fn from(error: KmsError) -> Self {
        Self::Refused(match error {
            // Only one account is here: what is said to be another's is a ciphertext whose key is gone.
            KmsError::NotFound(_) | KmsError::AccessDenied(_) => Refusal::NotFound,
            KmsError::Disabled(_) => Refusal::Disabled,
            KmsError::InvalidState(_) => Refusal::InvalidState,
            KmsError::UnsupportedOperation(_) => Refusal::Unsupported,
            KmsError::AlreadyExists(_) => Refusal::AlreadyExists,
            KmsError::Conflict(_) => Refusal::Conflict,
            KmsError::LimitExceeded(_) => Refusal::LimitExceeded,
            KmsError::IncorrectKeyMaterial(_) => Refusal::IncorrectMaterial,
            KmsError::InvalidCiphertext => Refusal::InvalidCiphertext,
            other => return Self::Broken(format!("{other:?}")),
        })
    }
}

impl From<S3Error> for Failed {
    fn from(error: S3Error) -> Self {
        Self::Refused(match error {
            S3Error::NoSuchKey { .. } => Refusal::NoSuchObject,
            S3Error::ReEncryption(_) => Refusal::CannotUpdate,
            S3Error::Kms(KeyError::NotFound(_)) => Refusal::NotFound,
            S3Error::Kms(KeyError::Disabled(_)) => Refusal::Disabled,
            S3Error::Kms(KeyError::InvalidState(_)) => Refusal::InvalidState,
            other => return Self::Broken(format!("{other:?}")),
        })
    }
}

/// The services, and the real names.
pub(crate) struct Subject {
    pub(crate) world: World,
    pub(crate) arns: Vec<KeyArn>,
    pub(crate) ciphertexts: Vec<Vec<u8>>,
    /// Shred keys that came into being with materials of a key.
    pub(crate) shreds: BTreeMap<usize, Vec<[u8; 16]>>,
    uploads: Vec<(UploadId, Option<ETag>)>,
    tokens: BTreeMap<usize, (GetParametersForImportOutput, u64)>,
}

impl Subject {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            world: World::new(seed),
            arns: Vec::new(),
            ciphertexts: Vec::new(),
            shreds: BTreeMap::new(),
            uploads: Vec::new(),
            tokens: BTreeMap::new(),
        }
    }

    /// Deletes all objects and the bucket with the uploads in it, and lets the collector finish.
    pub(crate) fn delete_everything(&self) {
        let s3 = &self.world.services().s3;
        let entry = s3.enter_bucket(context(), &bucket(), None).unwrap();
        let input = ListObjectsInput {
            max_keys: 1000,
            ..ListObjectsInput::default()
        };
        for object in s3.list_objects(entry, input).unwrap().objects {
            let entry = self.world.enter(&object.key);
            let input = DeleteObjectInput::default();
            s3.delete_object(entry, input).unwrap();
        }
        let entry = s3.enter_bucket(context(), &bucket(), None).unwrap();
        s3.delete_bucket(entry).unwrap();
        while s3.collect_garbage(1000).unwrap().collected > 0 {}
        s3.sweep_orphans().unwrap();
        s3.sweep_orphans().unwrap();
    }

    /// How many uploads were created.
    pub(crate) fn uploads_made(&self) -> usize {
        self.uploads.len()
    }

    fn kms(&self) -> &strongroom_kms::KeyService {
        &self.world.services().kms
    }

    fn now(&self) -> u64 {
        self.world.clock.0.load(Ordering::SeqCst)
    }

    fn key_id(&self, key: usize) -> String {
        self.arns[key].to_string()
    }

    fn key_id_of(&self, target: &Target) -> String {
        match target {
            Target::Key(key) => self.key_id(*key),
            Target::Alias(name) => name.clone(),
        }
    }

    /// Does a step for real, and keeps the names of what it made. `about` names
    /// the upload or object that it reads, and how that is encrypted.
    pub(crate) fn apply(
        &mut self,
        step: &Step,
        about: Option<(&str, &Lock)>,
    ) -> Result<Outcome, Failed> {
        let before = self.world.services().shreds.list();
        let outcome = self.attempt(step, about)?;
        let made_for = match step {
            Step::CreateKey { .. } => Some(self.arns.len() - 1),
            Step::Rotate { key } | Step::Import { key, .. } => Some(*key),
            _ => None,
        };
        if let (Some(key), Ok(before)) = (made_for, before)
            && let Ok(after) = self.world.services().shreds.list()
        {
            let new = after.into_iter().filter(|id| !before.contains(id));
            self.shreds.entry(key).or_default().extend(new);
        }
        Ok(outcome)
    }

    fn attempt(&mut self, step: &Step, about: Option<(&str, &Lock)>) -> Result<Outcome, Failed> {
        let caller = &*context();
        match step {
            Step::CreateKey { external } => {
                let input = CreateKeyInput {
                    policy: None,
                    description: None,
                    key_usage: None,
                    key_spec: None,
                    origin: external.then_some(KeyOrigin::External),
                    bypass_policy_lockout_safety_check: false,
                    tags: Vec::new(),
                    multi_region: false,
                };
                let made = self.kms().create_key(caller, input)?;
                self.arns.push(made.key_metadata.arn);
            }
            Step::Disable { key } => {
                let key_id = self.key_id(*key);
                self.kms().disable_key(caller, DisableKeyInput { key_id })?;
            }
            Step::Enable { key } => {
                let key_id = self.key_id(*key);
                self.kms().enable_key(caller, EnableKeyInput { key_id })?;
            }
            Step::Schedule { key, days } => {
                let input = ScheduleKeyDeletionInput {
                    key_id: self.key_id(*key),
                    pending_window_in_days: Some(*days),
                };
                self.kms().schedule_key_deletion(caller, input)?;
            }
            Step::Cancel { key } => {
                let key_id = self.key_id(*key);
                let input = CancelKeyDeletionInput { key_id };
                self.kms().cancel_key_deletion(caller, input)?;
            }
            Step::SetRotation {
                key,
                days: Some(days),
            } => {
                let input = EnableKeyRotationInput {
                    key_id: self.key_id(*key),
                    rotation_period_in_days: Some(*days),
                };
                self.kms().enable_key_rotation(caller, input)?;
            }
            Step::SetRotation { key, days: None } => {
                let key_id = self.key_id(*key);
                let input = DisableKeyRotationInput { key_id };
                self.kms().disable_key_rotation(caller, input)?;
            }
            Step::Rotate { key } => {
                let key_id = self.key_id(*key);
                let input = RotateKeyOnDemandInput { key_id };
                self.kms().rotate_key_on_demand(caller, input)?;
            }
            Step::Import {
                key,
                label,
                as_new,
                life_days,
            } => self.import(*key, *label, *as_new, *life_days)?,
            Step::DeleteMaterial { key, label } => {
                let id = label.map(|label| self.material_id(*key, label).to_string());
                let input = DeleteImportedKeyMaterialInput {
                    key_id: self.key_id(*key),
                    key_material_id: id,
                };
                self.kms().delete_imported_key_material(caller, input)?;
            }
            Step::CreateAlias { name, key } => {
                let input = CreateAliasInput {
                    alias_name: name.clone(),
                    target_key_id: self.key_id(*key),
                };
                self.kms().create_alias(caller, input)?;
            }
            Step::UpdateAlias { name, key } => {
                let input = UpdateAliasInput {
                    alias_name: name.clone(),
                    target_key_id: self.key_id(*key),
                };
                self.kms().update_alias(caller, input)?;
            }
            Step::DeleteAlias { name } => {
                let alias_name = name.clone();
                self.kms()
                    .delete_alias(caller, DeleteAliasInput { alias_name })?;
            }
            Step::Encrypt { target, context } => {
                let input = EncryptInput {
                    key_id: self.key_id_of(target),
                    plaintext: Zeroizing::new(PLAINTEXT.to_vec()),
                    encryption_context: numbered_context(*context),
                    grant_tokens: Vec::new(),
                    encryption_algorithm: None,
                    dry_run: false,
                };
                let output = self.kms().encrypt(caller, input)?;
                self.ciphertexts.push(output.ciphertext_blob);
            }
            Step::Decrypt {
                ciphertext,
                context,
            } => return self.decrypt(*ciphertext, *context).map(Outcome::Opened),
            Step::Put { name, bytes, wish } => {
                let input = PutObjectInput {
                    content_length: u64::try_from(bytes.len()).unwrap(),
                    sse: self.headers(wish),
                    ..PutObjectInput::default()
                };
                let s3 = &self.world.services().s3;
                let entry = self.world.enter(name);
                self.world
                    .wait(s3.put_object(entry, input, Pieces::of(bytes)))?;
            }
            Step::Get { name } => {
                // The key of an SSE-C object is part of the question: see `read`.
                let lock = about.map_or(&Lock::SseS3, |(_, lock)| lock);
                return self.read(name, lock).map(Outcome::Bytes);
            }
            Step::Delete { name } => {
                let input = DeleteObjectInput::default();
                let s3 = &self.world.services().s3;
                s3.delete_object(self.world.enter(name), input)?;
            }
            Step::Copy { from, to, wish } => {
                let lock = about.map_or(&Lock::SseS3, |(_, lock)| lock);
                let source = CopySource {
                    bucket: bucket(),
                    key: ObjectKey::parse(from).unwrap(),
                    version: None,
                    conditions: ReadConditions::default(),
                    customer: trio_of(lock),
                };
                let input = CopyObjectInput {
                    metadata: MetadataDirective::Copy,
                    tags: TaggingDirective::Copy,
                    website_redirect_location: None,
                    storage_class_given: false,
                    sse: self.headers(wish),
                    conditions: WriteConditions::default(),
                    checksum_algorithm: None,
                    acl: strongroom_s3::WantedAcl::Unspecified,
                };
                let s3 = &self.world.services().s3;
                let (from, to) = (self.world.enter(from), self.world.enter(to));
                s3.copy_object(from, to, source, input)?;
            }
            Step::Update {
                name,
                key,
                bucket_key,
            } => {
                let input = UpdateObjectEncryptionInput {
                    version: None,
                    key: self.arns[*key].clone(),
                    bucket_key: *bucket_key,
                };
                let lock = about.map_or(&Lock::SseS3, |(_, lock)| lock);
                let before = self.head(name, lock)?.object;
                let s3 = &self.world.services().s3;
                s3.update_object_encryption(self.world.enter(name), input)?;
                let after = self.head(name, &Lock::SseS3)?.object;
                assert_eq!(before.etag, after.etag);
                assert_eq!(before.last_modified, after.last_modified);
            }
            Step::CreateUpload { name, wish } => {
                let input = CreateMultipartUploadInput {
                    sse: self.headers(wish),
                    ..CreateMultipartUploadInput::default()
                };
                let s3 = &self.world.services().s3;
                let made = s3.create_multipart_upload(self.world.enter(name), input)?;
                self.uploads.push((made.upload, None));
            }
            Step::UploadPart { upload: at, bytes } => {
                let (name, lock) = about.unwrap();
                let input = UploadPartInput {
                    upload: self.uploads[*at].0,
                    part_number: PartNumber::new(1).unwrap(),
                    content_length: u64::try_from(bytes.len()).unwrap(),
                    customer: trio_of(lock),
                    digests: ExpectedDigests::default(),
                };
                let s3 = &self.world.services().s3;
                let entry = self.world.enter(name);
                let sent = s3.upload_part(entry, input, Pieces::of(bytes));
                self.uploads[*at].1 = Some(self.world.wait(sent)?.etag);
            }
            Step::Complete { upload: at } => {
                let (name, lock) = about.unwrap();
                let (id, etag) = self.uploads[*at].clone();
                let part = CompletedPart {
                    part_number: PartNumber::new(1).unwrap(),
                    etag: etag.unwrap(),
                    checksum: None,
                };
                let input = CompleteMultipartUploadInput {
                    upload: id,
                    parts: vec![part],
                    checksum: None,
                    checksum_type: None,
                    object_size: None,
                    customer: trio_of(lock),
                    conditions: WriteConditions::default(),
                };
                let s3 = &self.world.services().s3;
                s3.complete_multipart_upload(self.world.enter(name), input)?;
            }
            Step::Pass { millis } => {
                self.world.clock.0.fetch_add(*millis, Ordering::SeqCst);
            }
            Step::DueWork => {
                let work = self.kms().run_due_work()?;
                if work.failed > 0 {
                    return Err(Failed::Broken(format!("{work:?}")));
                }
                assert_eq!(work.postponed, 0);
            }
        }
        Ok(Outcome::Done)
    }

    fn import(
        &mut self,
        key: usize,
        label: u8,
        as_new: bool,
        life_days: Option<u32>,
    ) -> Result<(), Failed> {
        let now = self.now();
        // Pairs of RSA keys are slow to make, and good for several imports.
        let fresh = self.tokens.get(&key).is_some_and(|it| now < it.1);
        if !fresh {
            let input = GetParametersForImportInput {
                key_id: self.key_id(key),
                wrapping_algorithm: WrappingAlgorithm::RsaesOaepSha256,
                wrapping_key_spec: WrappingKeySpec::Rsa2048,
            };
            let got = self.kms().get_parameters_for_import(&context(), input)?;
            self.tokens.insert(key, (got, now + TOKEN_LIFE_MILLIS));
        }
        let (parameters, _) = &self.tokens[&key];
        let valid_to = life_days
            .map(|days| Timestamp::from_millis(now + u64::from(days) * 24 * 60 * 60 * 1000));
        let input = ImportKeyMaterialInput {
            key_id: self.key_id(key),
            import_token: parameters.import_token.clone(),
            encrypted_key_material: wrapped(&parameters.public_key, &material(label)),
            valid_to,
            expiration_model: valid_to.is_none().then_some(ExpirationModel::DoesNotExpire),
            import_type: Some(if as_new {
                ImportType::NewKeyMaterial
            } else {
                ImportType::ExistingKeyMaterial
            }),
            key_material_description: None,
            key_material_id: None,
        };
        self.kms().import_key_material(&context(), input)?;
        Ok(())
    }

    /// The material that opens a ciphertext, by its place among the key's materials.
    pub(crate) fn decrypt(&self, ciphertext: usize, context_number: u8) -> Result<usize, Failed> {
        let input = DecryptInput {
            ciphertext_blob: Some(self.ciphertexts[ciphertext].clone()),
            encryption_context: numbered_context(context_number),
            grant_tokens: Vec::new(),
            key_id: None,
            encryption_algorithm: None,
            dry_run: false,
            dry_run_modifiers: Vec::new(),
        };
        let output = self.kms().decrypt(&context(), input)?;
        assert_eq!(*output.plaintext, PLAINTEXT);
        let id = output.key_material_id;
        let materials = self.materials(&output.key_id)?;
        let at = materials
            .iter()
            .position(|it| Some(it.key_material_id) == id);
        Ok(at.unwrap())
    }

    /// The materials of a key, oldest first.
    pub(crate) fn materials(&self, key: &KeyArn) -> Result<Vec<RotationEntry>, Failed> {
        let input = ListKeyRotationsInput {
            key_id: key.to_string(),
            include_key_material: Some("ALL_KEY_MATERIAL".to_owned()),
            limit: Some(1000),
            marker: None,
        };
        Ok(self.kms().list_key_rotations(&context(), input)?.entries)
    }

    pub(crate) fn describe(&self, key: &KeyArn) -> Result<KeyMetadata, Failed> {
        let input = DescribeKeyInput {
            key_id: key.to_string(),
            grant_tokens: Vec::new(),
        };
        Ok(self.kms().describe_key(&context(), input)?.key_metadata)
    }

    /// The bytes of an object that has this lock.
    pub(crate) fn read(&self, name: &str, lock: &Lock) -> Result<Vec<u8>, Failed> {
        let s3 = &self.world.services().s3;
        let output = s3.get_object(self.world.enter(name), question(lock))?;
        let body = output.body.unwrap();
        self.world
            .drain(body)
            .map_err(|error| Failed::Broken(format!("{error:?}")))
    }

    /// As [`Subject::read`], from what is in memory; `None` where that is not enough.
    pub(crate) fn read_in_memory(
        &self,
        name: &str,
        lock: &Lock,
    ) -> Option<Result<Vec<u8>, Failed>> {
        let resident = self.world.services().s3.resident()?;
        let key = ObjectKey::parse(name).unwrap();
        let entry = resident.enter_object(context(), &bucket(), &key, None);
        match entry.and_then(|entry| resident.get_object(entry, question(lock))) {
            Err(S3Error::NotInMemory) => None,
            Err(error) => Some(Err(error.into())),
            Ok(output) => {
                let read = self.world.drain(output.body.unwrap());
                Some(read.map_err(|error| Failed::Broken(format!("{error:?}"))))
            }
        }
    }

    pub(crate) fn head(&self, name: &str, lock: &Lock) -> Result<GetObjectOutput, Failed> {
        let s3 = &self.world.services().s3;
        Ok(s3.head_object(self.world.enter(name), question(lock))?)
    }

    fn headers(&self, wish: &Wish) -> SseHeaders {
        let kms = |algorithm: &str, target: &Option<Target>, bucket_key: Option<bool>| SseHeaders {
            algorithm: Some(algorithm.to_owned()),
            kms_key_id: target.as_ref().map(|target| self.key_id_of(target)),
            bucket_key_enabled: bucket_key.map(|it| it.to_string()),
            ..SseHeaders::default()
        };
        match wish {
            Wish::SseS3 => kms("AES256", &None, None),
            Wish::Customer(number) => SseHeaders {
                customer: trio(*number),
                ..SseHeaders::default()
            },
            Wish::Kms { target, bucket_key } => kms("aws:kms", target, Some(*bucket_key)),
            Wish::Dsse { target } => kms("aws:kms:dsse", target, None),
        }
    }

    fn material_id(&self, key: usize, label: u8) -> KeyMaterialId {
        strongroom_crypto::material_id(self.arns[key].id, &material(label))
    }
}

fn material(label: u8) -> [u8; 32] {
    [label + 1; 32]
}

fn wrapped(public_key: &[u8], material: &[u8]) -> Vec<u8> {
    let key = PublicEncryptingKey::from_der(public_key).unwrap();
    let key = OaepPublicEncryptingKey::new(key).unwrap();
    let mut out = vec![0; key.ciphertext_size()];
    let sealed = key.encrypt(&OAEP_SHA256_MGF1SHA256, material, &mut out, None);
    let len = sealed.unwrap().len();
    out.truncate(len);
    out
}

fn numbered_context(number: u8) -> EncryptionContext {
    let pairs = BTreeMap::from([("number".to_owned(), number.to_string())]);
    EncryptionContext::new(pairs).unwrap()
}

/// A read of what has this lock, asking for what needs the key.
fn question(lock: &Lock) -> GetObjectInput {
    GetObjectInput {
        sse: SseHeaders {
            customer: trio_of(lock),
            ..SseHeaders::default()
        },
        ..GetObjectInput::default()
    }
}

fn trio_of(lock: &Lock) -> CustomerHeaders {
    match lock {
        Lock::Customer(number) => trio(*number),
        Lock::SseS3 | Lock::Kms { .. } | Lock::Dsse { .. } => CustomerHeaders::default(),
    }
}

/// The trio of an SSE-C key made of one byte.
fn trio(number: u8) -> CustomerHeaders {
    let key = [number; 32];
    CustomerHeaders {
        algorithm: Some("AES256".to_owned()),
        key: Some(BASE64.encode(key).into()),
        key_md5: Some(BASE64.encode(Md5::digest(key))),
    }
}
