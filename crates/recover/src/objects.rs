//! Every version that a row names.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{Context, SHA256};
use serde::Serialize;
use strongroom_crypto::{ObjectIdentity, PartIdentity, ServicePurpose, WrapMode, WrappedKey};
use strongroom_types::{BucketUid, ObjectKey, VersionId, VersionUid};

use crate::blobs::Blobs;
use crate::keys::{Keys, Whose};
use crate::manifest;
use crate::output::{Output, path_of};
use crate::records::{Bucket, Content, KmsEncryption, Metadata, Object, Pair, Place, Version};
use crate::report::{Outcome, Report};
use crate::rows::{Rows, Table};
use crate::stream::{self, Broken, Stored};
use crate::{Fields, Progress, RecoverError, to_u64};

/// One version, as `objects.jsonl` tells it.
#[derive(Default, Serialize)]
pub(crate) struct Line<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version_id: Option<String>,
    pub(crate) is_latest: bool,
    pub(crate) is_delete_marker: bool,
    pub(crate) last_modified_millis: u64,
    pub(crate) owner: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<Outcome>,
    /// From the output directory; only of what came out whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) etag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encryption: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kms_key_arn: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) bucket_key: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<&'static str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) user_metadata: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<&'a str, String>,
}

#[derive(Serialize)]
struct BucketLine<'a> {
    name: &'a str,
    uid: String,
    owner: &'a str,
    region: &'a str,
    created_millis: u64,
    versioning: &'static str,
    default_encryption: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_id: Option<&'a str>,
    bucket_key: bool,
    tags: BTreeMap<&'a str, String>,
}

/// Recovers all versions.
pub(crate) fn recover(
    keys: &Keys<'_>,
    rows: &Rows,
    blobs: &mut Blobs,
    out: &mut Output,
    report: &mut Report,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), RecoverError> {
    let names = buckets(rows, out, report)?;
    let all = to_u64(rows.keys(Table::Versions, &[]).count());
    let mut newest_of: Option<(&[u8], bool)> = None;
    for (done, row_key) in rows.keys(Table::Versions, &[]).enumerate() {
        progress(Progress::Objects(to_u64(done), all));
        let Some((bucket, key, sequence, path)) = split_row_key(row_key) else {
            report.lose("rows of versions", "a row's key cannot be read");
            continue;
        };
        let is_latest = newest_of.is_none_or(|(newest, _)| newest != path);
        newest_of = Some((path, is_latest));
        let name = names.get(bucket.as_bytes()).cloned();
        let name = name.unwrap_or_else(|| format!("bucket-{}", hex::encode(bucket.as_bytes())));
        let Some(row) = rows.get::<Version>(Table::Versions, row_key) else {
            report.lose(
                format!("rows: a version of s3://{name}/{}", key.as_str()),
                "its row does not open",
            );
            continue;
        };
        let object = ObjectIdentity {
            bucket,
            key,
            version: VersionUid::from_bytes(row.uid),
        };
        let found = Found {
            name: &name,
            row: &row,
            object: &object,
            sequence,
            is_latest,
        };
        found.recover(keys, rows, blobs, out, report)?;
    }
    progress(Progress::Objects(all, all));
    Ok(())
}

/// Writes what is known of the buckets; their names by uid.
fn buckets(
    rows: &Rows,
    out: &mut Output,
    report: &mut Report,
) -> Result<HashMap<[u8; 16], String>, RecoverError> {
    let mut names = HashMap::new();
    for (row_key, bucket) in rows.scan::<Bucket>(Table::Buckets, &[]) {
        let name = String::from_utf8_lossy(row_key).into_owned();
        let Some(bucket) = bucket else {
            report.lose(format!("rows: the bucket {name}"), "its row does not open");
            continue;
        };
        report.buckets += 1;
        out.bucket(&BucketLine {
            name: &name,
            uid: hex::encode(bucket.uid),
            owner: &bucket.owner,
            region: &bucket.region,
            created_millis: bucket.created_millis,
            versioning: match bucket.versioning {
                0 => "Never",
                1 => "Enabled",
                _ => "Suspended",
            },
            default_encryption: &bucket.encryption.algorithm,
            kms_key_id: bucket.encryption.kms_key_id.as_deref(),
            bucket_key: bucket.encryption.bucket_key_enabled,
            tags: pairs(bucket.tags.as_deref().unwrap_or_default()),
        })?;
        names.insert(bucket.uid, name);
    }
    Ok(names)
}

/// How the row keys of versions begin whose keys lie below this object's, as below a directory.
fn below(object: &ObjectIdentity) -> Vec<u8> {
    let mut start = object.bucket.as_bytes().to_vec();
    for byte in object.key.as_bytes() {
        start.push(*byte);
        if *byte == 0 {
            start.push(0xff);
        }
    }
    start.push(b'/');
    start
}

/// `bucket uid || escaped key || BE64(NOT sequence)`; last, bucket and key together.
fn split_row_key(row_key: &[u8]) -> Option<(BucketUid, ObjectKey, u64, &[u8])> {
    let (path, sequence) = row_key.split_last_chunk::<8>()?;
    let mut fields = Fields(path);
    let bucket = BucketUid::from_bytes(fields.array()?);
    let mut key = Vec::new();
    loop {
        match fields.u8()? {
            0 => match fields.u8()? {
                0xff => key.push(0),
                0 if fields.0.is_empty() => break,
                _ => return None,
            },
            byte => key.push(byte),
        }
    }
    let key = ObjectKey::parse(std::str::from_utf8(&key).ok()?).ok()?;
    Some((bucket, key, !u64::from_be_bytes(*sequence), path))
}

/// A version and its row.
struct Found<'a> {
    name: &'a str,
    row: &'a Version,
    object: &'a ObjectIdentity,
    sequence: u64,
    is_latest: bool,
}

impl Found<'_> {
    fn recover(
        &self,
        keys: &Keys<'_>,
        rows: &Rows,
        blobs: &mut Blobs,
        out: &mut Output,
        report: &mut Report,
    ) -> Result<(), RecoverError> {
        let version_id = if self.row.is_null {
            VersionId::Null
        } else {
            VersionId::Id {
                uid: self.object.version,
                sequence: self.sequence,
            }
        };
        let version_id = version_id.to_string();
        let key = self.object.key.as_str();
        let mut line = Line {
            bucket: self.name,
            key,
            version_id: Some(version_id.clone()),
            is_latest: self.is_latest,
            is_delete_marker: self.row.object.is_none(),
            last_modified_millis: self.row.last_modified_millis,
            owner: &self.row.owner,
            ..Line::default()
        };
        let Some(row) = &self.row.object else {
            report.delete_markers += 1;
            return out.object(&line);
        };
        let mode = mode_of(&row.key.wrapped, row.key.kms.as_ref());
        line.encryption = Some(mode);
        line.size_bytes = Some(row.size_bytes);
        line.etag = Some(&row.etag);
        line.kms_key_arn = row.key.kms.as_ref().map(|kms| kms.key_arn.as_str());
        line.bucket_key = row.key.kms.as_ref().is_some_and(|kms| kms.bucket_key);
        line.describe(&row.metadata, &row.tags);
        let below = below(self.object);
        let is_directory = rows.keys(Table::Versions, &below).next().is_some();
        let (file, path) = if self.is_latest {
            out.file(&["objects", self.name], &path_of(key, is_directory), None)?
        } else {
            out.file(
                &["versions", self.name],
                &path_of(key, true),
                Some(&version_id),
            )?
        };
        let mut sink = Sink::new(file);
        let outcome = match self.body(row, keys, rows, blobs, &mut sink) {
            Ok(()) => Outcome::Recovered,
            Err(Broken::Stored(outcome)) => outcome,
            Err(Broken::Output(error)) => return Err(out.failure(&path, error)),
        };
        line.outcome = Some(outcome);
        report.count(mode, outcome, row.size_bytes);
        if outcome == Outcome::Recovered {
            let finished = sink.finish(self.row.last_modified_millis);
            line.sha256 = Some(finished.map_err(|error| out.failure(&path, error))?);
            line.file = Some(path);
        } else {
            out.remove(&path)?;
            if out.is_nowhere() && outcome == Outcome::NoCustomerKey {
                // Nobody but the customer can open it; its ciphertext is whole.
                return Ok(());
            }
            let what = format!("s3://{}/{key} version {version_id}", self.name);
            report.lose(what, outcome.reason());
        }
        out.object(&line)
    }

    fn body(
        &self,
        row: &Object,
        keys: &Keys<'_>,
        rows: &Rows,
        blobs: &mut Blobs,
        sink: &mut Sink,
    ) -> Result<(), Broken> {
        let broken = Broken::Stored;
        let wrapped = WrappedKey::parse(&row.key.wrapped).map_err(|_| broken(Outcome::Damaged))?;
        // Claimed first: a blob whose key is lost is named all the same.
        let parts = self.parts(row, keys, blobs)?;
        let mut streams = Vec::with_capacity(parts.len());
        for (place, part, size_bytes) in parts {
            streams.push((self.stored(place, part, rows, blobs), part, size_bytes));
        }
        let whose = Whose::Object(self.object);
        let body_keys = match keys.body_keys(&wrapped, row.key.kms.as_ref(), whose) {
            Err(Outcome::NoCustomerKey) => {
                for (stored, _, size_bytes) in &streams {
                    let stored = stored.as_ref().ok_or(broken(Outcome::Missing))?;
                    stream::check(stored, *size_bytes)?;
                }
                return Err(broken(Outcome::NoCustomerKey));
            }
            body_keys => body_keys.map_err(broken)?,
        };
        for (stored, part, size_bytes) in streams {
            let stored = stored.ok_or(broken(Outcome::Missing))?;
            stream::copy(&stored, size_bytes, &body_keys, (self.object, part), sink)?;
        }
        if sink.written == row.size_bytes {
            Ok(())
        } else {
            Err(broken(Outcome::Damaged))
        }
    }

    /// The streams that make up the body.
    fn parts(
        &self,
        row: &Object,
        keys: &Keys<'_>,
        blobs: &mut Blobs,
    ) -> Result<Vec<(Place, Option<PartIdentity>, u64)>, Broken> {
        let place = match &row.content {
            Content::Single(place) => return Ok(vec![(*place, None, row.size_bytes)]),
            Content::Parts(place) => place,
        };
        let stored = match (&place.inline, place.blob) {
            (Some(inline), _) => Some(inline.clone()),
            (None, Some(blob)) => {
                let file = blobs.claim(blob).ok().map(Stored::InFile);
                file.and_then(|file| {
                    // No list is longer, whatever the file says.
                    let len = manifest::len_max_bytes(place.part_count)?
                        .checked_add(manifest::CHECKSUM_LEN_BYTES)?;
                    let stored = file.read(0, len.checked_add(1)?).ok()?;
                    (stored.len() <= len).then_some(stored)
                })
            }
            (None, None) => None,
        };
        let stored = stored.ok_or(Broken::Stored(Outcome::Missing))?;
        let key = keys.ring().service_key(ServicePurpose::Manifest);
        let parts = manifest::open(&stored, place, self.object, key)
            .ok_or(Broken::Stored(Outcome::Damaged))?;
        let stream = |part: manifest::Part| {
            let identity = PartIdentity {
                number: part.number,
                attempt: part.attempt,
            };
            (part.place, Some(identity), part.size_bytes)
        };
        Ok(parts.into_iter().map(stream).collect())
    }

    fn stored(
        &self,
        place: Place,
        part: Option<PartIdentity>,
        rows: &Rows,
        blobs: &mut Blobs,
    ) -> Option<Stored> {
        match place {
            Place::Blob(id) => blobs.claim(id).ok().map(Stored::InFile),
            Place::Inline => {
                let mut row_key = self.object.version.as_bytes().to_vec();
                if let Some(part) = part {
                    row_key.extend_from_slice(part.attempt.as_bytes());
                }
                rows.stored(Table::Inline, &row_key).map(Stored::InMemory)
            }
        }
    }
}

/// How a version is encrypted, in S3's words.
pub(crate) fn mode_of(wrapped: &[u8], kms: Option<&KmsEncryption>) -> &'static str {
    match WrappedKey::parse(wrapped).map(|wrapped| wrapped.mode()) {
        Ok(WrapMode::RootRing { .. }) => "AES256",
        Ok(WrapMode::CustomerKey) => "SSE-C",
        Ok(WrapMode::Kms) => "aws:kms",
        Ok(WrapMode::TwoLayers { .. }) => "aws:kms:dsse",
        Err(_) => match kms.map(|kms| kms.algorithm.as_str()) {
            Some("aws:kms:dsse") => "aws:kms:dsse",
            Some(_) => "aws:kms",
            None => "unknown",
        },
    }
}

impl<'a> Line<'a> {
    pub(crate) fn describe(&mut self, metadata: &'a Metadata, tags: &'a [Pair]) {
        let headers = [
            ("Content-Type", &metadata.content_type),
            ("Cache-Control", &metadata.cache_control),
            ("Content-Disposition", &metadata.content_disposition),
            ("Content-Encoding", &metadata.content_encoding),
            ("Content-Language", &metadata.content_language),
            ("Expires", &metadata.expires),
            (
                "x-amz-website-redirect-location",
                &metadata.website_redirect_location,
            ),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                self.headers.insert(name, value);
            }
        }
        self.user_metadata = pairs(&metadata.user);
        self.tags = pairs(tags);
    }
}

pub(crate) fn pairs(pairs: &[Pair]) -> BTreeMap<&str, String> {
    let pairs = pairs
        .iter()
        .map(|Pair { name, value }| (name.as_str(), String::from_utf8_lossy(value).into_owned()));
    pairs.collect()
}

/// A file that is being written, and its hash.
pub(crate) struct Sink {
    /// Nothing where only the proof counts.
    file: Option<BufWriter<File>>,
    hash: Context,
    pub(crate) written: u64,
}

impl Sink {
    pub(crate) fn new(file: Option<File>) -> Self {
        Self {
            file: file.map(|file| BufWriter::with_capacity(1 << 20, file)),
            hash: Context::new(&SHA256),
            written: 0,
        }
    }

    /// Sets the time of the file; the hash, in hexadecimal.
    pub(crate) fn finish(self, modified_millis: u64) -> io::Result<String> {
        if let Some(file) = self.file {
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(modified_millis);
            file.set_modified(modified)?;
        }
        Ok(hex::encode(self.hash.finish().as_ref()))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(file) = &mut self.file {
            file.write_all(bytes)?;
        }
        self.hash.update(bytes);
        self.written += to_u64(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}
