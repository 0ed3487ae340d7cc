//! What encryption means for what is stored: objects in every SSE mode, uploads and ciphertexts, each
//! under the key that it was made with, and readable as long as that key is usable.

use std::collections::BTreeMap;

use crate::keys::{Keys, Refusal, Target};

/// How a write asks to be encrypted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// `AES256`.
    SseS3,
    /// SSE-C, under the key of that number.
    Customer(u8),
    /// `aws:kms`; without a target under the AWS managed key.
    Kms {
        /// `x-amz-server-side-encryption-aws-kms-key-id`.
        target: Option<Target>,
        /// `x-amz-server-side-encryption-bucket-key-enabled`.
        bucket_key: bool,
    },
    /// `aws:kms:dsse`.
    Dsse {
        /// `x-amz-server-side-encryption-aws-kms-key-id`.
        target: Option<Target>,
    },
}

/// How something is encrypted. A key of `None` is the AWS managed one, which nobody takes away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lock {
    /// SSE-S3.
    SseS3,
    /// SSE-C, under the key of that number.
    Customer(u8),
    /// SSE-KMS.
    Kms {
        /// The key as the write resolved it.
        key: Option<usize>,
        /// Under a bucket key.
        bucket_key: bool,
    },
    /// DSSE-KMS.
    Dsse {
        /// The key as the write resolved it.
        key: Option<usize>,
    },
}

impl Lock {
    /// The customer managed key without which it does not open.
    pub fn key(&self) -> Option<usize> {
        match self {
            Self::SseS3 | Self::Customer(_) => None,
            Self::Kms { key, .. } | Self::Dsse { key } => *key,
        }
    }
}

/// An object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How it is encrypted.
    pub lock: Lock,
}

/// A multipart upload of one part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upload {
    /// The object's key.
    pub name: String,
    /// How it is encrypted.
    pub lock: Lock,
    /// The part, if it was sent.
    pub part: Option<Vec<u8>>,
}

/// What Encrypt gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ciphertext {
    /// The key that it names.
    pub key: usize,
    /// The material that it names.
    pub material: usize,
    /// The encryption context, by number.
    pub context: u8,
}

/// One operation. Keys, ciphertexts and uploads are named in the order in which they were made.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(
    missing_docs,
    reason = "the fields are the parameters of the operation of the same name"
)]
pub enum Step {
    /// CreateKey.
    CreateKey { external: bool },
    /// DisableKey.
    Disable { key: usize },
    /// EnableKey.
    Enable { key: usize },
    /// ScheduleKeyDeletion.
    Schedule { key: usize, days: u32 },
    /// CancelKeyDeletion.
    Cancel { key: usize },
    /// EnableKeyRotation, or DisableKeyRotation.
    SetRotation { key: usize, days: Option<u32> },
    /// RotateKeyOnDemand.
    Rotate { key: usize },
    /// ImportKeyMaterial.
    Import {
        key: usize,
        label: u8,
        as_new: bool,
        life_days: Option<u32>,
    },
    /// DeleteImportedKeyMaterial.
    DeleteMaterial { key: usize, label: Option<u8> },
    /// CreateAlias.
    CreateAlias { name: String, key: usize },
    /// UpdateAlias.
    UpdateAlias { name: String, key: usize },
    /// DeleteAlias.
    DeleteAlias { name: String },
    /// Encrypt.
    Encrypt { target: Target, context: u8 },
    /// Decrypt.
    Decrypt { ciphertext: usize, context: u8 },
    /// PutObject.
    Put {
        name: String,
        bytes: Vec<u8>,
        wish: Wish,
    },
    /// GetObject.
    Get { name: String },
    /// DeleteObject.
    Delete { name: String },
    /// CopyObject.
    Copy {
        from: String,
        to: String,
        wish: Wish,
    },
    /// UpdateObjectEncryption.
    Update {
        name: String,
        key: usize,
        bucket_key: bool,
    },
    /// CreateMultipartUpload.
    CreateUpload { name: String, wish: Wish },
    /// UploadPart.
    UploadPart { upload: usize, bytes: Vec<u8> },
    /// CompleteMultipartUpload.
    Complete { upload: usize },
    /// Time passes.
    Pass { millis: u64 },
    /// The background does what is due.
    DueWork,
}

/// What a step answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It happened.
    Done,
    /// An object's bytes.
    Bytes(Vec<u8>),
    /// A ciphertext was opened: the material that did it.
    Opened(usize),
    /// It did not happen.
    Refused(Refusal),
}

/// Keys, and all that is encrypted under them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vault {
    /// The keys.
    pub keys: Keys,
    /// The objects of one bucket without versions.
    pub objects: BTreeMap<String, Object>,
    /// The uploads; `None` for those that are over.
    pub uploads: Vec<Option<Upload>>,
    /// The ciphertexts.
    pub ciphertexts: Vec<Ciphertext>,
}

impl Vault {
    /// Nothing, at `now` in milliseconds.
    pub fn new(now: u64) -> Self {
        Self {
            keys: Keys::new(now),
            objects: BTreeMap::new(),
            uploads: Vec::new(),
            ciphertexts: Vec::new(),
        }
    }

    /// Whether all that the step names was ever made.
    pub fn knows(&self, step: &Step) -> bool {
        let known = |key: &usize| *key < self.keys.count();
        let target = |target: &Target| match target {
            Target::Key(key) => known(key),
            Target::Alias(_) => true,
        };
        let wish = |wish: &Wish| match wish {
            Wish::SseS3 | Wish::Customer(_) => true,
            Wish::Kms { target: it, .. } | Wish::Dsse { target: it } => {
                it.as_ref().is_none_or(target)
            }
        };
        let upload = |at: &usize| self.uploads.get(*at).and_then(Option::as_ref);
        match step {
            Step::CreateKey { .. }
            | Step::DeleteAlias { .. }
            | Step::Get { .. }
            | Step::Delete { .. }
            | Step::Pass { .. }
            | Step::DueWork => true,
            Step::Disable { key }
            | Step::Enable { key }
            | Step::Schedule { key, .. }
            | Step::Cancel { key }
            | Step::SetRotation { key, .. }
            | Step::Rotate { key }
            | Step::Import { key, .. }
            | Step::DeleteMaterial { key, .. }
            | Step::CreateAlias { key, .. }
            | Step::UpdateAlias { key, .. }
            | Step::Update { key, .. } => known(key),
            Step::Encrypt { target: it, .. } => target(it),
            Step::Decrypt { ciphertext, .. } => *ciphertext < self.ciphertexts.len(),
            Step::Put { wish: it, .. }
            | Step::Copy { wish: it, .. }
            | Step::CreateUpload { wish: it, .. } => wish(it),
            Step::UploadPart { upload: at, .. } => upload(at).is_some(),
            Step::Complete { upload: at } => upload(at).is_some_and(|it| it.part.is_some()),
        }
    }

    /// Does one step.
    pub fn apply(&mut self, step: &Step) -> Outcome {
        self.answer(step).unwrap_or_else(Outcome::Refused)
    }

    /// Whether what has this lock can be read now.
    ///
    /// # Errors
    ///
    /// [`Refusal`], as a read is refused.
    pub fn open(&self, lock: &Lock) -> Result<(), Refusal> {
        match lock.key() {
            Some(key) => self.keys.use_key(key).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Opens a ciphertext: the material that does it.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn decrypt(&self, ciphertext: Ciphertext, context: u8) -> Result<usize, Refusal> {
        self.keys.use_key(ciphertext.key)?;
        if ciphertext.context == context {
            Ok(ciphertext.material)
        } else {
            Err(Refusal::InvalidCiphertext)
        }
    }

    fn lock(&self, wish: &Wish) -> Result<Lock, Refusal> {
        let key = |target: &Option<Target>| match target {
            None => Ok(None),
            Some(target) => {
                let key = self.keys.resolve(target)?;
                self.keys.use_key(key)?;
                Ok(Some(key))
            }
        };
        Ok(match wish {
            Wish::SseS3 => Lock::SseS3,
            Wish::Customer(number) => Lock::Customer(*number),
            Wish::Kms { target, bucket_key } => Lock::Kms {
                key: key(target)?,
                bucket_key: *bucket_key,
            },
            Wish::Dsse { target } => Lock::Dsse { key: key(target)? },
        })
    }

    fn object(&self, name: &str) -> Result<&Object, Refusal> {
        self.objects.get(name).ok_or(Refusal::NoSuchObject)
    }

    fn answer(&mut self, step: &Step) -> Result<Outcome, Refusal> {
        match step {
            Step::CreateKey { external } => self.keys.create(*external),
            Step::Disable { key } => self.keys.disable(*key)?,
            Step::Enable { key } => {
                self.keys.enable(*key)?;
                self.keys.rotate_if_due(*key);
            }
            Step::Schedule { key, days } => self.keys.schedule_deletion(*key, *days)?,
            Step::Cancel { key } => self.keys.cancel_deletion(*key)?,
            Step::SetRotation { key, days } => self.keys.set_rotation(*key, *days)?,
            Step::Rotate { key } => self.keys.rotate(*key)?,
            Step::Import {
                key,
                label,
                as_new,
                life_days,
            } => self.keys.import(*key, *label, *as_new, *life_days)?,
            Step::DeleteMaterial { key, label } => self.keys.delete_material(*key, *label)?,
            Step::CreateAlias { name, key } => self.keys.create_alias(name, *key)?,
            Step::UpdateAlias { name, key } => self.keys.update_alias(name, *key)?,
            Step::DeleteAlias { name } => self.keys.delete_alias(name)?,
            Step::Encrypt { target, context } => {
                let key = self.keys.resolve(target)?;
                let material = self.keys.use_key(key)?;
                self.ciphertexts.push(Ciphertext {
                    key,
                    material,
                    context: *context,
                });
            }
            Step::Decrypt {
                ciphertext,
                context,
            } => {
                let found = self.ciphertexts.get(*ciphertext);
                let found = *found.ok_or(Refusal::InvalidCiphertext)?;
                return Ok(Outcome::Opened(self.decrypt(found, *context)?));
            }
            Step::Put { name, bytes, wish } => {
                let object = Object {
                    bytes: bytes.clone(),
                    lock: self.lock(wish)?,
                };
                self.objects.insert(name.clone(), object);
            }
            Step::Get { name } => {
                let object = self.object(name)?;
                self.open(&object.lock)?;
                return Ok(Outcome::Bytes(object.bytes.clone()));
            }
            Step::Delete { name } => {
                self.objects.remove(name);
            }
            Step::Copy { from, to, wish } => {
                let source = self.object(from)?;
                self.open(&source.lock)?;
                let copy = Object {
                    bytes: source.bytes.clone(),
                    lock: self.lock(wish)?,
                };
                self.objects.insert(to.clone(), copy);
            }
            Step::Update {
                name,
                key,
                bucket_key,
            } => {
                let object = self.object(name)?;
                if matches!(object.lock, Lock::Customer(_) | Lock::Dsse { .. }) {
                    return Err(Refusal::CannotUpdate);
                }
                self.open(&object.lock)?;
                self.keys.use_key(*key)?;
                if let Some(object) = self.objects.get_mut(name) {
                    object.lock = Lock::Kms {
                        key: Some(*key),
                        bucket_key: *bucket_key,
                    };
                }
            }
            Step::CreateUpload { name, wish } => {
                let lock = self.lock(wish)?;
                self.uploads.push(Some(Upload {
                    name: name.clone(),
                    lock,
                    part: None,
                }));
            }
            Step::UploadPart { upload, bytes } => {
                let lock = self.uploads.get(*upload).and_then(Option::as_ref);
                let lock = &lock.ok_or(Refusal::NoSuchObject)?.lock;
                self.open(lock)?;
                if let Some(Some(upload)) = self.uploads.get_mut(*upload) {
                    upload.part = Some(bytes.clone());
                }
            }
            Step::Complete { upload: at } => {
                let upload = self.uploads.get(*at).cloned().flatten();
                let upload = upload.ok_or(Refusal::NoSuchObject)?;
                let bytes = upload.part.ok_or(Refusal::NoSuchObject)?;
                self.open(&upload.lock)?;
                if let Some(over) = self.uploads.get_mut(*at) {
                    *over = None;
                }
                let object = Object {
                    bytes,
                    lock: upload.lock,
                };
                self.objects.insert(upload.name, object);
            }
            Step::Pass { millis } => self.keys.pass(*millis),
            Step::DueWork => self.keys.do_due_work(),
        }
        Ok(Outcome::Done)
    }
}
