//! An executable reference model of what S3 means: buckets, versions, delete markers, conditional
//! writes, listings and multipart uploads, in memory, without encryption, durability or speed.
//!
//! It is what "correct" means in this project. Tests run the same operations against the model and
//! against the service, on every adapter, with crashes in between, and compare every outcome
//! (the method of Bornholt et al., "Using Lightweight Formal Methods to Validate a Key-Value Storage
//! Node in Amazon S3", SOSP 2021). Keep it far simpler than the service: when the two disagree, the
//! model must be the one that is easy to check against the S3 API reference.
//!
//! Version ids are symbolic: the n-th id that the model hands out is `Id(n)`. A harness keeps the
//! pairs of symbolic and real ids.
//!
//! [`keys`] says what AWS KMS means, and [`vault`] what its keys mean for what is encrypted under
//! them.

pub mod keys;
pub mod vault;

use std::collections::BTreeMap;

/// A symbolic version id, or upload id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Id(pub u64);

/// Versioning of a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Versioning {
    /// Never enabled.
    #[default]
    Never,
    /// Enabled.
    Enabled,
    /// Suspended.
    Suspended,
}

/// A version as a client names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VersionName {
    /// `null`.
    Null,
    /// An id.
    Id(Id),
}

/// A condition on a write. Bodies stand for their tags: equal bytes, equal tag.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Condition {
    /// None.
    #[default]
    None,
    /// `If-None-Match: *`.
    IfAbsent,
    /// `If-Match` with the tag of these bytes.
    IfMatch(Vec<u8>),
}

/// One operation.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(
    missing_docs,
    reason = "the fields are the parameters of the S3 operation of the same name"
)]
pub enum Operation {
    /// CreateBucket.
    CreateBucket { bucket: String },
    /// DeleteBucket.
    DeleteBucket { bucket: String },
    /// PutBucketVersioning; `Never` cannot be asked for.
    SetVersioning { bucket: String, enabled: bool },
    /// PutObject.
    Put {
        bucket: String,
        key: String,
        body: Vec<u8>,
        condition: Condition,
    },
    /// GetObject.
    Get {
        bucket: String,
        key: String,
        version: Option<VersionName>,
    },
    /// GetObject with a range, start inclusive, end exclusive.
    GetRange {
        bucket: String,
        key: String,
        start: u64,
        end: u64,
    },
    /// DeleteObject.
    Delete {
        bucket: String,
        key: String,
        version: Option<VersionName>,
    },
    /// CopyObject of current versions within the server.
    Copy {
        bucket: String,
        key: String,
        to_bucket: String,
        to_key: String,
    },
    /// ListObjects.
    List {
        bucket: String,
        prefix: String,
        delimiter: Option<String>,
        after: Option<String>,
        max: usize,
    },
    /// ListObjectVersions, all of them.
    ListVersions { bucket: String },
    /// CreateMultipartUpload.
    CreateUpload { bucket: String, key: String },
    /// UploadPart.
    UploadPart {
        bucket: String,
        key: String,
        upload: Id,
        number: u16,
        body: Vec<u8>,
    },
    /// CompleteMultipartUpload with these part numbers, each with the tag of its newest attempt.
    Complete {
        bucket: String,
        key: String,
        upload: Id,
        numbers: Vec<u16>,
    },
    /// AbortMultipartUpload.
    Abort {
        bucket: String,
        key: String,
        upload: Id,
    },
}

/// What an operation answers.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are what the S3 operation answers")]
pub enum Outcome {
    /// It happened and has nothing to tell.
    Done,
    /// An object was written; the version is `None` in a bucket that never had versions.
    Written { version: Option<VersionName> },
    /// An object's bytes.
    Body {
        bytes: Vec<u8>,
        version: Option<VersionName>,
    },
    /// Something was deleted or a delete marker was made.
    Deleted {
        version: Option<VersionName>,
        marker: bool,
    },
    /// A page of a listing: keys with sizes, common prefixes, and the position if there is more.
    Listing {
        keys: Vec<(String, usize)>,
        prefixes: Vec<String>,
        next: Option<String>,
    },
    /// All versions: key, version, is latest, size or `None` for a delete marker.
    Versions(Vec<(String, VersionName, bool, Option<usize>)>),
    /// An upload was created.
    Upload(Id),
    /// It did not happen.
    Failed(Failure),
}

/// Why an operation did not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// NoSuchBucket.
    NoSuchBucket,
    /// BucketAlreadyOwnedByYou.
    BucketExists,
    /// BucketNotEmpty.
    BucketNotEmpty,
    /// NoSuchKey.
    NoSuchKey,
    /// NoSuchVersion.
    NoSuchVersion,
    /// MethodNotAllowed: GET of a delete marker by its id.
    IsDeleteMarker,
    /// PreconditionFailed.
    PreconditionFailed,
    /// InvalidRange.
    InvalidRange,
    /// NoSuchUpload.
    NoSuchUpload,
    /// InvalidPart.
    InvalidPart,
    /// InvalidPartOrder.
    InvalidPartOrder,
    /// EntityTooSmall.
    TooSmall,
    /// MalformedXML: an empty part list.
    EmptyPartList,
    /// InvalidRequest: a copy onto itself that changes nothing.
    CopyOntoItself,
}

/// The state of the world.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Model {
    buckets: BTreeMap<String, Bucket>,
    next_id: u64,
    part_min_bytes: usize,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Bucket {
    versioning: Versioning,
    /// Oldest first. No entry is empty.
    keys: BTreeMap<String, Vec<Version>>,
    uploads: BTreeMap<Id, Upload>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Version {
    name: VersionName,
    /// `None` is a delete marker.
    object: Option<Object>,
    /// The upload that it was: completing that once more answers this version.
    upload: Option<Id>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Object {
    bytes: Vec<u8>,
    /// What `If-Match` compares: the parts' boundaries are part of a multipart object's tag.
    tag: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Upload {
    key: String,
    parts: BTreeMap<u16, Vec<u8>>,
}

type Answer = Result<Outcome, Failure>;

/// Keys and the bytes of their current objects.
pub type Objects = Vec<(String, Vec<u8>)>;

impl Model {
    /// An empty world in which parts but the last need `part_min_bytes` bytes.
    pub fn new(part_min_bytes: usize) -> Self {
        Self {
            part_min_bytes,
            ..Self::default()
        }
    }

    /// Does one operation.
    pub fn apply(&mut self, operation: &Operation) -> Outcome {
        self.answer(operation).unwrap_or_else(Outcome::Failed)
    }

    /// All buckets and their keys that have a current object, for comparing whole states.
    pub fn contents(&self) -> Vec<(String, Objects)> {
        let objects = |bucket: &Bucket| -> Objects {
            bucket
                .current()
                .map(|(key, object)| (key.clone(), object.bytes.clone()))
                .collect()
        };
        self.buckets
            .iter()
            .map(|(name, bucket)| (name.clone(), objects(bucket)))
            .collect()
    }

    fn answer(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::CreateBucket { bucket } => {
                if self.buckets.contains_key(bucket) {
                    return Err(Failure::BucketExists);
                }
                self.buckets.insert(bucket.clone(), Bucket::default());
                Ok(Outcome::Done)
            }
            Operation::DeleteBucket { bucket } => {
                if !self.bucket(bucket)?.keys.is_empty() {
                    return Err(Failure::BucketNotEmpty);
                }
                self.buckets.remove(bucket);
                Ok(Outcome::Done)
            }
            Operation::SetVersioning { bucket, enabled } => {
                self.bucket(bucket)?.versioning = if *enabled {
                    Versioning::Enabled
                } else {
                    Versioning::Suspended
                };
                Ok(Outcome::Done)
            }
            Operation::Put {
                bucket,
                key,
                body,
                condition,
            } => self.put(bucket, key, body, condition),
            Operation::Get {
                bucket,
                key,
                version,
            } => {
                let bucket = self.bucket(bucket)?;
                let (object, version) = bucket.find(key, *version)?;
                Ok(Outcome::Body {
                    bytes: object.bytes.clone(),
                    version,
                })
            }
            Operation::GetRange {
                bucket,
                key,
                start,
                end,
            } => {
                let (object, version) = self.bucket(bucket)?.find(key, None)?;
                let length = object.bytes.len();
                let start = usize::try_from(*start).unwrap_or(usize::MAX);
                let end = usize::try_from(*end).unwrap_or(usize::MAX).min(length);
                let bytes = object
                    .bytes
                    .get(start..end)
                    .filter(|bytes| !bytes.is_empty());
                Ok(Outcome::Body {
                    bytes: bytes.ok_or(Failure::InvalidRange)?.to_vec(),
                    version,
                })
            }
            Operation::Delete {
                bucket,
                key,
                version,
            } => self.delete(bucket, key, *version),
            Operation::Copy {
                bucket,
                key,
                to_bucket,
                to_key,
            } => {
                self.bucket(to_bucket)?;
                let bytes = self.bucket(bucket)?.find(key, None)?.0.bytes.clone();
                if bucket == to_bucket && key == to_key {
                    return Err(Failure::CopyOntoItself);
                }
                self.put(to_bucket, to_key, &bytes, &Condition::None)
            }
            Operation::List {
                bucket,
                prefix,
                delimiter,
                after,
                max,
            } => {
                Ok(self
                    .bucket(bucket)?
                    .list(prefix, delimiter.as_deref(), after.as_deref(), *max))
            }
            Operation::ListVersions { bucket } => Ok(self.bucket(bucket)?.list_versions()),
            Operation::CreateUpload { bucket, key } => {
                let id = self.draw();
                let upload = Upload {
                    key: key.clone(),
                    ..Upload::default()
                };
                self.bucket(bucket)?.uploads.insert(id, upload);
                Ok(Outcome::Upload(id))
            }
            Operation::UploadPart {
                bucket,
                key,
                upload,
                number,
                body,
            } => {
                self.bucket(bucket)?
                    .upload(*upload, key)?
                    .parts
                    .insert(*number, body.clone());
                Ok(Outcome::Done)
            }
            Operation::Complete {
                bucket,
                key,
                upload,
                numbers,
            } => self.complete(bucket, key, *upload, numbers),
            Operation::Abort {
                bucket,
                key,
                upload,
            } => {
                let bucket = self.bucket(bucket)?;
                bucket.upload(*upload, key)?;
                bucket.uploads.remove(upload);
                Ok(Outcome::Done)
            }
        }
    }

    fn put(&mut self, bucket: &str, key: &str, body: &[u8], condition: &Condition) -> Answer {
        let object = Object {
            bytes: body.to_vec(),
            tag: vec![body.to_vec()],
        };
        let current = self
            .bucket(bucket)?
            .find(key, None)
            .map(|(object, _)| object.tag.clone())
            .ok();
        match (condition, current) {
            (Condition::None, _) | (Condition::IfAbsent, None) => {}
            (Condition::IfAbsent, Some(_)) => return Err(Failure::PreconditionFailed),
            (Condition::IfMatch(_), None) => return Err(Failure::NoSuchKey),
            (Condition::IfMatch(tag), Some(current)) => {
                if current != [tag.clone()] {
                    return Err(Failure::PreconditionFailed);
                }
            }
        }
        self.write(bucket, key, Some(object), None)
            .map(|version| Outcome::Written { version })
    }

    fn delete(&mut self, bucket: &str, key: &str, version: Option<VersionName>) -> Answer {
        let state = self.bucket(bucket)?;
        if let Some(name) = version {
            // Deleting a version that does not exist succeeds and answers the id that was asked for.
            let mut marker = false;
            if let Some(versions) = state.keys.get_mut(key) {
                versions.retain(|version| {
                    let keep = version.name != name;
                    marker |= !keep && version.object.is_none();
                    keep
                });
                state.keys.retain(|_, versions| !versions.is_empty());
            }
            return Ok(Outcome::Deleted {
                version: Some(name),
                marker,
            });
        }
        if state.versioning == Versioning::Never {
            state.keys.remove(key);
            return Ok(Outcome::Deleted {
                version: None,
                marker: false,
            });
        }
        let version = self.write(bucket, key, None, None)?;
        Ok(Outcome::Deleted {
            version,
            marker: true,
        })
    }

    /// Makes a new current version; a null one replaces the null one that there was.
    fn write(
        &mut self,
        bucket: &str,
        key: &str,
        object: Option<Object>,
        upload: Option<Id>,
    ) -> Result<Option<VersionName>, Failure> {
        let versioning = self.bucket(bucket)?.versioning;
        let name = match versioning {
            Versioning::Enabled => VersionName::Id(self.draw()),
            Versioning::Never | Versioning::Suspended => VersionName::Null,
        };
        let versions = self.bucket(bucket)?.keys.entry(key.to_owned()).or_default();
        versions.retain(|version| version.name != VersionName::Null || name != VersionName::Null);
        versions.push(Version {
            name,
            object,
            upload,
        });
        Ok((versioning != Versioning::Never).then_some(name))
    }

    fn complete(&mut self, bucket: &str, key: &str, upload: Id, numbers: &[u16]) -> Answer {
        let part_min_bytes = self.part_min_bytes;
        let state = self.bucket(bucket)?;
        if numbers.is_empty() {
            return Err(Failure::EmptyPartList);
        }
        if !numbers.is_sorted_by(|a, b| a < b) {
            return Err(Failure::InvalidPartOrder);
        }
        let parts = match state.upload(upload, key) {
            Ok(upload) => upload.parts.clone(),
            Err(failure) => return state.completed(upload, key).ok_or(failure),
        };
        let tag: Option<Vec<Vec<u8>>> = numbers
            .iter()
            .map(|number| parts.get(number).cloned())
            .collect();
        let tag = tag.ok_or(Failure::InvalidPart)?;
        let all_but_last = tag.split_last().map_or(&[][..], |(_, rest)| rest);
        if all_but_last.iter().any(|part| part.len() < part_min_bytes) {
            return Err(Failure::TooSmall);
        }
        state.uploads.remove(&upload);
        let bytes = tag.concat();
        let tag = [vec![b"multipart".to_vec()], tag].concat();
        self.write(bucket, key, Some(Object { bytes, tag }), Some(upload))
            .map(|version| Outcome::Written { version })
    }

    fn bucket(&mut self, name: &str) -> Result<&mut Bucket, Failure> {
        self.buckets.get_mut(name).ok_or(Failure::NoSuchBucket)
    }

    fn draw(&mut self) -> Id {
        self.next_id = self.next_id.saturating_add(1);
        Id(self.next_id)
    }
}

impl Bucket {
    fn find(
        &self,
        key: &str,
        version: Option<VersionName>,
    ) -> Result<(&Object, Option<VersionName>), Failure> {
        let versions = self.keys.get(key).map_or(&[][..], Vec::as_slice);
        let (found, missing) = match version {
            None => (versions.last(), Failure::NoSuchKey),
            Some(name) => (
                versions.iter().find(|version| version.name == name),
                Failure::NoSuchVersion,
            ),
        };
        let found = found.ok_or(missing)?;
        let hidden = if version.is_some() {
            Failure::IsDeleteMarker
        } else {
            Failure::NoSuchKey
        };
        let object = found.object.as_ref().ok_or(hidden)?;
        Ok((
            object,
            (self.versioning != Versioning::Never).then_some(found.name),
        ))
    }

    fn upload(&mut self, id: Id, key: &str) -> Result<&mut Upload, Failure> {
        self.uploads
            .get_mut(&id)
            .filter(|upload| upload.key == key)
            .ok_or(Failure::NoSuchUpload)
    }

    /// The answer to completing an upload that was completed already.
    fn completed(&self, upload: Id, key: &str) -> Option<Outcome> {
        let versions = self.keys.get(key)?;
        let version = versions
            .iter()
            .find(|version| version.upload == Some(upload))?;
        let shown = self.versioning != Versioning::Never;
        Some(Outcome::Written {
            version: shown.then_some(version.name),
        })
    }

    fn current(&self) -> impl Iterator<Item = (&String, &Object)> {
        self.keys
            .iter()
            .filter_map(|(key, versions)| Some((key, versions.last()?.object.as_ref()?)))
    }

    fn list(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        after: Option<&str>,
        max: usize,
    ) -> Outcome {
        // An entry is a key, or a common prefix that stands for all keys under it.
        let mut entries: Vec<(String, Option<usize>)> = Vec::new();
        for (key, object) in self.current() {
            let Some(rest) = key.strip_prefix(prefix) else {
                continue;
            };
            let common =
                delimiter.and_then(|delimiter| Some((delimiter, rest.split_once(delimiter)?.0)));
            let entry = match common {
                Some((delimiter, head)) => (format!("{prefix}{head}{delimiter}"), None),
                None => (key.clone(), Some(object.bytes.len())),
            };
            // A position inside of a common prefix has the whole of it behind itself, as has the
            // common prefix that ended the last page.
            let behind = after.is_none_or(|after| entry.0.as_str() > after && key.as_str() > after);
            if behind && entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
        let next = if max > 0 && entries.len() > max {
            entries.get(max - 1).map(|entry| entry.0.clone())
        } else {
            None
        };
        entries.truncate(max);
        let keys = entries
            .iter()
            .filter_map(|(name, size)| Some((name.clone(), (*size)?)))
            .collect();
        let prefixes = entries
            .iter()
            .filter(|(_, size)| size.is_none())
            .map(|(name, _)| name.clone())
            .collect();
        Outcome::Listing {
            keys,
            prefixes,
            next,
        }
    }

    fn list_versions(&self) -> Outcome {
        let rows = self.keys.iter().flat_map(|(key, versions)| {
            let newest = versions.len().saturating_sub(1);
            versions
                .iter()
                .enumerate()
                .rev()
                .map(move |(index, version)| {
                    (
                        key.clone(),
                        version.name,
                        index == newest,
                        version.object.as_ref().map(|object| object.bytes.len()),
                    )
                })
        });
        Outcome::Versions(rows.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(model: &mut Model, operations: &[Operation]) -> Vec<Outcome> {
        operations
            .iter()
            .map(|operation| model.apply(operation))
            .collect()
    }

    fn put(key: &str, body: &str) -> Operation {
        Operation::Put {
            bucket: "b".into(),
            key: key.into(),
            body: body.into(),
            condition: Condition::None,
        }
    }

    fn get(key: &str) -> Operation {
        Operation::Get {
            bucket: "b".into(),
            key: key.into(),
            version: None,
        }
    }

    fn delete(key: &str, version: Option<VersionName>) -> Operation {
        Operation::Delete {
            bucket: "b".into(),
            key: key.into(),
            version,
        }
    }

    fn versioned() -> Model {
        let mut model = Model::new(5);
        run(
            &mut model,
            &[
                Operation::CreateBucket { bucket: "b".into() },
                put("k", "null"),
            ],
        );
        model.apply(&Operation::SetVersioning {
            bucket: "b".into(),
            enabled: true,
        });
        model
    }

    #[test]
    fn a_delete_marker_hides_and_its_removal_reveals() {
        let mut model = versioned();
        let null = Some(VersionName::Null);
        let marker = Some(VersionName::Id(Id(1)));
        assert_eq!(
            model.apply(&delete("k", None)),
            Outcome::Deleted {
                version: marker,
                marker: true
            }
        );
        assert_eq!(model.apply(&get("k")), Outcome::Failed(Failure::NoSuchKey));
        assert_eq!(
            model.apply(&delete("k", marker)),
            Outcome::Deleted {
                version: marker,
                marker: true
            }
        );
        assert_eq!(
            model.apply(&get("k")),
            Outcome::Body {
                bytes: b"null".to_vec(),
                version: null
            }
        );
    }

    #[test]
    fn suspended_writes_replace_the_null_version_wherever_it_is() {
        let mut model = versioned();
        model.apply(&put("k", "one"));
        model.apply(&Operation::SetVersioning {
            bucket: "b".into(),
            enabled: false,
        });
        model.apply(&put("k", "two"));
        let Outcome::Versions(versions) =
            model.apply(&Operation::ListVersions { bucket: "b".into() })
        else {
            panic!()
        };
        let names: Vec<VersionName> = versions.iter().map(|version| version.1).collect();
        assert_eq!(names, [VersionName::Null, VersionName::Id(Id(1))]);
    }

    #[test]
    fn listings_roll_up_and_page() {
        let mut model = Model::new(5);
        model.apply(&Operation::CreateBucket { bucket: "b".into() });
        run(
            &mut model,
            &[put("a/1", ""), put("a/2", ""), put("b", ""), put("c/1", "")],
        );
        let list = |after: Option<&str>, max| Operation::List {
            bucket: "b".into(),
            prefix: String::new(),
            delimiter: Some("/".into()),
            after: after.map(str::to_owned),
            max,
        };
        let page = |keys: &[&str], prefixes: &[&str], next: Option<&str>| Outcome::Listing {
            keys: keys.iter().map(|key| ((*key).to_owned(), 0)).collect(),
            prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
            next: next.map(str::to_owned),
        };
        assert_eq!(
            model.apply(&list(None, 2)),
            page(&["b"], &["a/"], Some("b"))
        );
        assert_eq!(model.apply(&list(Some("b"), 2)), page(&[], &["c/"], None));
        assert_eq!(
            model.apply(&list(Some("a/"), 9)),
            page(&["b"], &["c/"], None)
        );
    }

    #[test]
    fn completing_needs_order_parts_and_size() {
        let mut model = Model::new(5);
        model.apply(&Operation::CreateBucket { bucket: "b".into() });
        let Outcome::Upload(upload) = model.apply(&Operation::CreateUpload {
            bucket: "b".into(),
            key: "k".into(),
        }) else {
            panic!()
        };
        let part = |number, body: &str| Operation::UploadPart {
            bucket: "b".into(),
            key: "k".into(),
            upload,
            number,
            body: body.into(),
        };
        run(&mut model, &[part(1, "12345"), part(2, "1"), part(3, "x")]);
        let complete = |numbers: &[u16]| Operation::Complete {
            bucket: "b".into(),
            key: "k".into(),
            upload,
            numbers: numbers.to_vec(),
        };
        assert_eq!(
            model.apply(&complete(&[2, 1])),
            Outcome::Failed(Failure::InvalidPartOrder)
        );
        assert_eq!(
            model.apply(&complete(&[1, 4])),
            Outcome::Failed(Failure::InvalidPart)
        );
        assert_eq!(
            model.apply(&complete(&[1, 2, 3])),
            Outcome::Failed(Failure::TooSmall)
        );
        assert_eq!(
            model.apply(&complete(&[1, 3])),
            Outcome::Written { version: None }
        );
        assert_eq!(
            model.apply(&get("k")),
            Outcome::Body {
                bytes: b"12345x".to_vec(),
                version: None
            }
        );
        let again = model.apply(&complete(&[1, 3]));
        assert_eq!(
            again,
            Outcome::Written { version: None },
            "a repeated Complete answers the same"
        );
        model.apply(&put("k", "other"));
        assert_eq!(
            model.apply(&complete(&[1, 3])),
            Outcome::Failed(Failure::NoSuchUpload)
        );
    }
}
