//! ListObjectVersions and ListMultipartUploads.

#![expect(
    clippy::needless_pass_by_value,
    reason = "an entry and its input are good for one operation"
)]

use strongroom_policy::actions;
use strongroom_ports::{Scan, Table};
use strongroom_types::{BucketUid, CanonicalId, ETag, ObjectKey, StorageClass, VersionId};

use crate::listing::{Listed, Met, Position, Walk};
use crate::rows::{ChecksumKindRow, UploadRow, VersionRow};
use crate::{
    BucketView, Entry, ListUploadsInput, ListUploadsOutput, ListVersionsInput, ListVersionsOutput,
    ListedObject, ListedUpload, ListedVersion, S3, S3Error, keys,
};

impl S3 {
    /// A page of the versions and delete markers of a bucket: by key, newest first.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::Damaged`], [`S3Error::Unavailable`].
    pub fn list_versions(
        &self,
        entry: Entry<actions::ListBucketVersions>,
        input: ListVersionsInput,
    ) -> Result<ListVersionsOutput, S3Error> {
        let view = entry.bucket().ok_or(S3Error::Unavailable)?;
        let bucket = view.uid;
        let ListVersionsInput {
            prefix,
            delimiter,
            key_marker,
            version_marker,
            max_keys,
        } = input;
        let mut output = ListVersionsOutput::default();
        if max_keys == 0 {
            return Ok(output);
        }
        let position = self.versions_position(bucket, key_marker, version_marker)?;
        let meta = &*self.ports.meta;
        let delimiter = delimiter.as_deref();
        let mut walk = Walk::new(
            meta,
            Listed::Versions,
            bucket,
            &prefix,
            delimiter,
            &position,
            max_keys,
        );
        let mut previous: Option<String> = None;
        for _ in 0..max_keys {
            match walk.step()? {
                None => {
                    output.next = None;
                    return Ok(output);
                }
                Some(Met::CommonPrefix(common)) => {
                    output.next = Some((common.clone(), None));
                    output.common_prefixes.push(common);
                }
                Some(Met::Row(key, row)) => {
                    let (_, sequence) = keys::parse_version(&row.key).ok_or(S3Error::Damaged)?;
                    let is_latest = match &previous {
                        Some(previous) => *previous != key,
                        // The page may start in the middle of this key.
                        None => self.is_newest_row(bucket, &key, &row.key)?,
                    };
                    let version = self.open_scanned::<VersionRow>(Table::VERSIONS, &row)?;
                    let listed = listed_version(view, key.clone(), sequence, version, is_latest)?;
                    output.next = Some((key.clone(), Some(listed.version)));
                    output.versions.push(listed);
                    previous = Some(key);
                }
            }
        }
        if walk.step()?.is_none() {
            output.next = None;
        }
        Ok(output)
    }

    /// A page of the uploads in progress of a bucket: by key, oldest first.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::Damaged`], [`S3Error::Unavailable`].
    pub fn list_uploads(
        &self,
        entry: Entry<actions::ListBucketMultipartUploads>,
        input: ListUploadsInput,
    ) -> Result<ListUploadsOutput, S3Error> {
        let bucket = entry.bucket_uid().ok_or(S3Error::Unavailable)?;
        let ListUploadsInput {
            prefix,
            delimiter,
            key_marker,
            upload_marker,
            max_uploads,
        } = input;
        let mut output = ListUploadsOutput::default();
        if max_uploads == 0 {
            return Ok(output);
        }
        let position = match (named(key_marker), upload_marker) {
            (None, _) => Position::Start,
            (Some(key), Some(upload)) if let Ok(parsed) = ObjectKey::parse(&key) => {
                Position::BehindRow {
                    row_key: keys::upload(bucket, &parsed, upload),
                    key,
                }
            }
            (Some(key), _) => Position::BehindKey(key),
        };
        let meta = &*self.ports.meta;
        let delimiter = delimiter.as_deref();
        let mut walk = Walk::new(
            meta,
            Listed::Uploads,
            bucket,
            &prefix,
            delimiter,
            &position,
            max_uploads,
        );
        for _ in 0..max_uploads {
            match walk.step()? {
                None => {
                    output.next = None;
                    return Ok(output);
                }
                Some(Met::CommonPrefix(common)) => {
                    output.next = Some((common.clone(), None));
                    output.common_prefixes.push(common);
                }
                Some(Met::Row(key, row)) => {
                    let (_, upload) = keys::parse_upload(&row.key).ok_or(S3Error::Damaged)?;
                    let stored = self.open_scanned::<UploadRow>(Table::UPLOADS, &row)?;
                    output.next = Some((key.clone(), Some(upload)));
                    output.uploads.push(ListedUpload {
                        key,
                        upload,
                        storage_class: StorageClass::Standard,
                        checksum: stored.declared_checksum(),
                        owner: CanonicalId::parse(&stored.owner).map_err(|_| S3Error::Damaged)?,
                    });
                }
            }
        }
        if walk.step()?.is_none() {
            output.next = None;
        }
        Ok(output)
    }

    fn versions_position(
        &self,
        bucket: BucketUid,
        key_marker: Option<String>,
        version_marker: Option<VersionId>,
    ) -> Result<Position, S3Error> {
        let Some(key) = named(key_marker) else {
            return Ok(Position::Start);
        };
        let (Some(version), Ok(parsed)) = (version_marker, ObjectKey::parse(&key)) else {
            return Ok(Position::BehindKey(key));
        };
        let sequence = match version {
            VersionId::Id { sequence, .. } => Some(sequence),
            VersionId::Null => self
                .null_version(bucket, &parsed)?
                .map(|found| found.sequence),
        };
        Ok(match sequence {
            Some(sequence) => Position::BehindRow {
                row_key: keys::version(bucket, &parsed, sequence),
                key,
            },
            None => Position::BehindKey(key),
        })
    }

    fn is_newest_row(&self, bucket: BucketUid, key: &str, row_key: &[u8]) -> Result<bool, S3Error> {
        let key = ObjectKey::parse(key).map_err(|_| S3Error::Damaged)?;
        let (start, end) = keys::versions_of(bucket, &key);
        let newest = self.ports.meta.scan(&Scan {
            table: Table::VERSIONS,
            start,
            end: Some(end),
            limit: 1,
            reverse: false,
        })?;
        Ok(newest
            .rows
            .first()
            .is_none_or(|row| row.key.as_ref() == row_key))
    }
}

fn listed_version(
    bucket: &BucketView,
    key: String,
    sequence: u64,
    row: VersionRow,
    is_latest: bool,
) -> Result<ListedVersion, S3Error> {
    let version = row.version_id(sequence);
    let (size_bytes, etag, checksum) = match &row.object {
        Some(object) => (
            object.size_bytes,
            object.etag.as_str(),
            object.checksum_kind,
        ),
        None => (0, "", None),
    };
    Ok(ListedVersion {
        object: ListedObject {
            key,
            last_modified: row.last_modified(),
            etag: ETag::from_stored(etag),
            size_bytes,
            storage_class: StorageClass::Standard,
            checksum: checksum.and_then(ChecksumKindRow::parse),
            owner: bucket.owner_of(&row.owner)?,
        },
        version,
        is_latest,
        is_delete_marker: row.object.is_none(),
    })
}

/// An empty marker is none.
fn named(marker: Option<String>) -> Option<String> {
    marker.filter(|marker| !marker.is_empty())
}
