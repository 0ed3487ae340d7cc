//! How one object is encrypted: everything that rows, headers and footers say of it, and no key.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use serde::{Deserialize, Serialize};
use strongroom_crypto::{
    CiphertextBlob, HEADER_MAX_BYTES, Keyring, ServicePurpose, StreamLayout, Unsealed, WrapMode,
    WrappedKey,
};
use strongroom_ports::{MetaStore, Table};
use strongroom_recover::frames::read_at;
use strongroom_recover::manifest;
use strongroom_recover::records::{
    Bucket, ChecksumKind, Content, KmsEncryption, KmsKey, Object, Place, Version,
};
use strongroom_types::kms::KeyArn;
use strongroom_types::{BucketName, BucketUid, ObjectKey, VersionId, VersionUid};

use crate::blobs::path_of;
use crate::rows::{self, Opened, RowFault, Sealer, version_row_key, versions_of};
use crate::text::{hex, to_u64};
use crate::walk::mode_of;

/// Stored streams that are listed; of an object of more parts, the first ones.
const STREAMS_SHOWN: usize = 100;

/// What is asked.
#[derive(Debug)]
pub struct InspectAsk {
    /// The bucket.
    pub bucket: BucketName,
    /// The object's key.
    pub key: ObjectKey,
    /// The version; the current one if it is not named.
    pub version: Option<VersionId>,
}

/// Why there is nothing to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// No such bucket.
    #[error("there is no bucket {0}")]
    NoSuchBucket(String),
    /// No version of that key.
    #[error("there is no object of that key")]
    NoSuchKey,
    /// Not this version.
    #[error("the object has no such version")]
    NoSuchVersion,
    /// A row does not open.
    #[error("{0}; strongroom verify says more")]
    Damaged(&'static str),
    /// The store does not answer.
    #[error("the rows cannot be read: {0}")]
    Store(String),
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// The version id.
    pub version_id: String,
    /// It is the current one.
    pub is_latest: bool,
    /// It is a delete marker, which has no body and no key.
    pub is_delete_marker: bool,
    /// When it was written, in milliseconds since 1970.
    pub written_millis: u64,
    /// Canonical id of its owner.
    pub owner: String,
    /// How it is encrypted; nothing of a delete marker.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub encryption: Option<Encryption>,
    /// Its body; nothing of a delete marker.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub body: Option<StoredBody>,
}

/// How a version is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// `AES256`, `aws:kms`, `aws:kms:dsse`, `SSE-C`.
    pub mode: String,
    /// The layers, from the inside.
    pub layers: Vec<Layer>,
    /// Where an S3 Bucket Key stands between the KMS key and the data key.
    pub bucket_key: bool,
    /// The encryption context that the key service was given; names, not secrets.
    pub encryption_context: BTreeMap<String, String>,
}

/// One layer of encryption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Of the body.
    pub algorithm: String,
    /// The implementation.
    pub library: String,
    /// What wraps this layer's key.
    pub wrapped_by: WrappedBy,
}

/// What wraps a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum WrappedBy {
    /// A version of the root key.
    RootKey {
        /// The ring.
        ring_id: String,
        /// The version.
        version: u32,
        /// It is the version that wraps new keys.
        is_active: bool,
    },
    /// A key of the key service.
    KmsKey {
        /// Its ARN.
        key_arn: String,
        /// The material that encrypted, in hexadecimal; none of another key service's.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        key_material_id: Option<String>,
        /// `Enabled`, `Disabled`, ...; `Deleted`; `Elsewhere` for another key service's.
        state: String,
    },
    /// The customer's key, which is not kept.
    CustomerKey,
}

/// What is stored of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBody {
    /// Length of the plaintext.
    pub size_bytes: u64,
    /// The ETag.
    pub etag: String,
    /// Which checksum is kept, sealed under the data key: `SHA256`, ...
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub checksum: Option<String>,
    /// `FULL_OBJECT` or `COMPOSITE`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub checksum_type: Option<String>,
    /// Parts of a multipart upload; none of an object that came in one piece.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parts: Option<u32>,
    /// Its streams, at most 100.
    pub streams: Vec<StoredStream>,
    /// How many there are.
    pub stream_count: u64,
}

/// One sealed stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredStream {
    /// The part's number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub part: Option<u16>,
    /// The blob file, from the data directory; none where the stream lies among the rows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file: Option<String>,
    /// Length of its plaintext.
    pub size_bytes: u64,
    /// Length of the stream as stored, without what is behind it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stored_bytes: Option<u64>,
    /// Segments.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub segments: Option<u64>,
    /// Plaintext of a whole segment, in bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub segment_bytes: Option<u64>,
    /// Why there is nothing more to say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fault: Option<String>,
}

/// Says how an object is encrypted. Opens no data key.
///
/// # Errors
///
/// [`InspectError`].
pub fn inspect(
    meta: &dyn MetaStore,
    ring: &Keyring<Unsealed>,
    root: &Path,
    ask: &InspectAsk,
) -> Result<Inspection, InspectError> {
    let sealer = Sealer::new(ring);
    Inspector {
        meta,
        ring,
        sealer: &sealer,
        root,
        ask,
    }
    .inspect()
}

struct Inspector<'a> {
    meta: &'a dyn MetaStore,
    ring: &'a Keyring<Unsealed>,
    sealer: &'a Sealer,
    root: &'a Path,
    ask: &'a InspectAsk,
}

/// A version's row, its place in the order, and whether it is the newest.
struct Found {
    row: Version,
    sequence: u64,
    is_latest: bool,
}

impl Inspector<'_> {
    fn inspect(&self) -> Result<Inspection, InspectError> {
        let name = self.ask.bucket.as_str();
        let bucket = self
            .sealer
            .read::<Bucket>(self.meta, Table::BUCKETS, name.as_bytes())
            .map_err(|fault| failed(fault, "the bucket's row does not open"))?;
        let Opened::Record(bucket) = bucket else {
            return Err(InspectError::NoSuchBucket(name.to_owned()));
        };
        let Found {
            row,
            sequence,
            is_latest,
        } = self.find(&bucket.uid)?;
        let uid = VersionUid::from_bytes(row.uid);
        let version = if row.is_null {
            VersionId::Null
        } else {
            VersionId::Id { uid, sequence }
        };
        let (encryption, body) = match &row.object {
            None => (None, None),
            Some(object) => (
                Some(self.encryption(object)?),
                Some(self.body(object, BucketUid::from_bytes(bucket.uid), uid)?),
            ),
        };
        Ok(Inspection {
            bucket: name.to_owned(),
            key: self.ask.key.as_str().to_owned(),
            version_id: version.to_string(),
            is_latest,
            is_delete_marker: row.object.is_none(),
            written_millis: row.last_modified_millis,
            owner: row.owner,
            encryption,
            body,
        })
    }

    fn find(&self, bucket: &[u8; 16]) -> Result<Found, InspectError> {
        let all = versions_of(bucket, self.ask.key.as_bytes());
        let mut newest = None;
        let mut found = None;
        let mut is_damaged = false;
        rows::each_row(self.meta, Table::VERSIONS, rows::below(&all), &mut |row| {
            let sequence = row.key.last_chunk::<8>().map(|it| !u64::from_be_bytes(*it));
            let record = self
                .sealer
                .decode::<Version>(Table::VERSIONS, &row.key, &row.value);
            let (Some(record), Some(sequence)) = (record, sequence) else {
                is_damaged = true;
                return false;
            };
            let newest = *newest.get_or_insert(sequence);
            let is_asked = match self.ask.version {
                None => true,
                Some(VersionId::Null) => record.is_null,
                Some(VersionId::Id { uid, .. }) => !record.is_null && record.uid == *uid.as_bytes(),
            };
            if is_asked {
                found = Some(Found {
                    row: record,
                    sequence,
                    is_latest: sequence == newest,
                });
            }
            found.is_none()
        })
        .map_err(|fault| failed(fault, "the rows of its versions cannot be read"))?;
        match (found, newest) {
            (Some(found), _) if self.is_at_its_place(bucket, &found) => Ok(found),
            _ if is_damaged => Err(InspectError::Damaged("a version's row does not open")),
            (_, Some(_)) => Err(InspectError::NoSuchVersion),
            (_, None) => Err(InspectError::NoSuchKey),
        }
    }

    /// A version id names the place, too.
    fn is_at_its_place(&self, bucket: &[u8; 16], found: &Found) -> bool {
        match self.ask.version {
            Some(VersionId::Id { sequence, .. }) => {
                let key = self.ask.key.as_bytes();
                version_row_key(bucket, key, sequence)
                    == version_row_key(bucket, key, found.sequence)
            }
            Some(VersionId::Null) | None => true,
        }
    }

    fn encryption(&self, object: &Object) -> Result<Encryption, InspectError> {
        let wrapped = WrappedKey::parse(&object.key.wrapped)
            .map_err(|_| InspectError::Damaged("its wrapped key cannot be read"))?;
        let kms = object.key.kms.as_ref();
        let inner = match wrapped.mode() {
            WrapMode::RootRing { .. } => self.by_root_key(&wrapped),
            WrapMode::CustomerKey => WrappedBy::CustomerKey,
            WrapMode::Kms | WrapMode::TwoLayers { .. } => self.by_kms_key(&wrapped, kms)?,
        };
        let mut layers = vec![Layer {
            algorithm: "AES-256-GCM, keys by HKDF-SHA-512".to_owned(),
            library: "AWS-LC".to_owned(),
            wrapped_by: inner,
        }];
        if matches!(wrapped.mode(), WrapMode::TwoLayers { .. }) {
            layers.push(Layer {
                algorithm: "AES-256-GCM, keys by HKDF-SHA-512".to_owned(),
                library: "RustCrypto".to_owned(),
                wrapped_by: self.by_root_key(&wrapped),
            });
        }
        let mut encryption_context = BTreeMap::new();
        if let Some(kms) = kms {
            for pair in &kms.client_pairs {
                let value = String::from_utf8_lossy(&pair.value).into_owned();
                encryption_context.insert(pair.name.clone(), value);
            }
            encryption_context.insert("aws:s3:arn".to_owned(), kms.s3_arn.clone());
        }
        Ok(Encryption {
            mode: mode_of(&wrapped).to_owned(),
            layers,
            bucket_key: kms.is_some_and(|kms| kms.bucket_key),
            encryption_context,
        })
    }

    fn by_root_key(&self, wrapped: &WrappedKey) -> WrappedBy {
        let version = wrapped.root_version().unwrap_or_default();
        WrappedBy::RootKey {
            ring_id: hex(&self.ring.ring_id()),
            version,
            is_active: version == self.ring.active_version(),
        }
    }

    fn by_kms_key(
        &self,
        wrapped: &WrappedKey,
        kms: Option<&KmsEncryption>,
    ) -> Result<WrappedBy, InspectError> {
        let kms = kms.ok_or(InspectError::Damaged("its row does not name its KMS key"))?;
        let blob = wrapped.kms_blob().map(CiphertextBlob::parse);
        let key_material_id = match blob {
            Some(Ok(blob)) => Some(hex(blob.material_id().as_bytes())),
            Some(Err(_)) | None => None,
        };
        let state = match (KeyArn::parse(&kms.key_arn), &key_material_id) {
            (Some(arn), Some(material)) => self.state(&arn, material)?,
            _ => "Elsewhere",
        };
        Ok(WrappedBy::KmsKey {
            key_arn: kms.key_arn.clone(),
            key_material_id,
            state: state.to_owned(),
        })
    }

    fn state(&self, arn: &KeyArn, material: &str) -> Result<&'static str, InspectError> {
        let key = self
            .sealer
            .read::<KmsKey>(self.meta, Table::KMS_KEYS, &KmsKey::row_key(arn))
            .map_err(|fault| failed(fault, "the row of its KMS key does not open"))?;
        let Opened::Record(key) = key else {
            return Ok("Deleted");
        };
        let is_gone = key
            .materials
            .iter()
            .any(|it| hex(&it.id) == material && it.import.as_ref().is_some_and(|it| !it.present));
        Ok(match key.lifecycle {
            1 if is_gone => "PendingImport",
            1 => "Enabled",
            2 => "Disabled",
            3 => "PendingDeletion",
            _ => "BeingDestroyed",
        })
    }

    fn body(
        &self,
        object: &Object,
        bucket: BucketUid,
        version: VersionUid,
    ) -> Result<StoredBody, InspectError> {
        let (parts, streams, stream_count) = match &object.content {
            Content::Single(place) => {
                let stream = self.stream(*place, version.as_bytes(), object.size_bytes, None);
                (None, vec![stream], 1)
            }
            Content::Parts(place) => {
                let damaged = InspectError::Damaged("its part list does not open");
                let stored = match (&place.inline, place.blob) {
                    (Some(inline), _) => inline.clone(),
                    (None, Some(blob)) => self.part_list(&blob, place.part_count)?,
                    (None, None) => return Err(damaged),
                };
                let identity = strongroom_crypto::ObjectIdentity {
                    bucket,
                    key: self.ask.key.clone(),
                    version,
                };
                let key = self.ring.service_key(ServicePurpose::Manifest);
                let all = manifest::open(&stored, place, &identity, key).ok_or(damaged)?;
                let shown = all.iter().take(STREAMS_SHOWN).map(|part| {
                    let row_key = [version.as_bytes().as_slice(), part.attempt.as_bytes()].concat();
                    let number = Some(part.number.value());
                    self.stream(part.place, &row_key, part.size_bytes, number)
                });
                (Some(place.part_count), shown.collect(), to_u64(all.len()))
            }
        };
        let kind = object.checksum_kind;
        Ok(StoredBody {
            size_bytes: object.size_bytes,
            etag: object.etag.clone(),
            checksum: kind.map(|kind| checksum_name(kind).to_owned()),
            checksum_type: kind.map(|kind| {
                let name = if kind.full_object {
                    "FULL_OBJECT"
                } else {
                    "COMPOSITE"
                };
                name.to_owned()
            }),
            parts,
            streams,
            stream_count,
        })
    }

    fn part_list(&self, blob: &[u8; 16], part_count: u32) -> Result<Vec<u8>, InspectError> {
        let path = self.root.join("blobs/blobs").join(path_of(blob));
        let len = manifest::len_max_bytes(part_count).unwrap_or_default();
        let read = File::open(path)
            .and_then(|file| read_at(&file, 0, len + manifest::CHECKSUM_LEN_BYTES + 1));
        read.map_err(|_| InspectError::Damaged("its part list cannot be read"))
    }

    /// A stream, by the fixed fields of its header.
    fn stream(
        &self,
        place: Place,
        row_key: &[u8],
        size_bytes: u64,
        part: Option<u16>,
    ) -> StoredStream {
        let (file, header) = match place {
            Place::Blob(blob) => {
                let path = Path::new("blobs/blobs").join(path_of(&blob));
                let header = File::open(self.root.join(&path))
                    .and_then(|file| read_at(&file, 0, HEADER_MAX_BYTES))
                    .map_err(|error| error.to_string());
                (Some(path.display().to_string()), header)
            }
            Place::Inline => {
                let stored = self.meta.read(Table::INLINE, row_key);
                let header = match stored {
                    Ok(Some(stored)) => Ok(stored.value.to_vec()),
                    Ok(None) => Err("its row is missing".to_owned()),
                    Err(error) => Err(error.to_string()),
                };
                (None, header)
            }
        };
        let layout = header.and_then(|header| {
            StreamLayout::parse(&header).map_err(|_| "its header is damaged".to_owned())
        });
        let known = layout.as_ref().ok();
        StoredStream {
            part,
            file,
            size_bytes,
            stored_bytes: known.map(|layout| layout.stored_len_bytes(size_bytes)),
            segments: known.map(|layout| layout.segment_count(size_bytes)),
            segment_bytes: known.map(|layout| to_u64(layout.segment_len_bytes())),
            fault: layout.err(),
        }
    }
}

fn failed(fault: RowFault, what: &'static str) -> InspectError {
    match fault {
        RowFault::Damaged => InspectError::Damaged(what),
        RowFault::Store(why) => InspectError::Store(why),
    }
}

fn checksum_name(kind: ChecksumKind) -> &'static str {
    match kind.algorithm {
        1 => "CRC32",
        2 => "CRC32C",
        3 => "CRC64NVME",
        4 => "SHA1",
        5 => "SHA256",
        _ => "unknown",
    }
}
