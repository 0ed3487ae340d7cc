//! Finding versions: the newest, one by its id, the null version.

use bytes::Bytes;
use strongroom_policy::Action;
use strongroom_ports::{Row, RowVersion, Scan, Table};
use strongroom_types::{BucketUid, ObjectKey, VersionId};

use crate::rows::{CurrentRow, NullVersionRow, ObjectRow, VersionRow};
use crate::{BucketView, Entry, S3, S3Error, Versioning, keys};

/// A version or delete marker as it is stored now.
#[derive(Clone, Debug)]
pub(crate) struct FoundVersion {
    /// Its place in the order of the key's versions; higher is newer.
    pub sequence: u64,
    /// Where its row is.
    pub row_key: Bytes,
    /// The row's version: what a transaction expects unchanged.
    pub stored: RowVersion,
    /// The row.
    pub row: VersionRow,
}

impl FoundVersion {
    /// The version id that answers show: none in a bucket that never had versions.
    pub(crate) fn shown_id(&self, bucket: &BucketView) -> Option<VersionId> {
        match bucket.versioning {
            Versioning::Never => None,
            Versioning::Enabled | Versioning::Suspended => Some(self.row.version_id(self.sequence)),
        }
    }
}

impl S3 {
    /// The newest version or delete marker of a key.
    pub(crate) fn latest_version(
        &self,
        bucket: BucketUid,
        key: &ObjectKey,
    ) -> Result<Option<FoundVersion>, S3Error> {
        let (start, end) = keys::versions_of(bucket, key);
        self.edge_version(start, end, false)
    }

    /// As [`S3::latest_version`], for reads: by single rows, which may be in memory, where it is
    /// never known that a range holds no more.
    fn latest_version_to_read(
        &self,
        bucket: BucketUid,
        key: &ObjectKey,
    ) -> Result<Option<FoundVersion>, S3Error> {
        let row_key = keys::current(bucket, key);
        if let Some((current, _)) = self.read_row::<CurrentRow>(Table::CURRENT, &row_key)?
            && let Some(found) = self.version_at(bucket, key, current.sequence)?
        {
            return Ok(Some(found));
        }
        // A delete marker, nothing, or a version that was replaced in between.
        self.latest_version(bucket, key)
    }

    /// The newest version or delete marker that is older than `sequence`.
    pub(crate) fn version_before(
        &self,
        bucket: BucketUid,
        key: &ObjectKey,
        sequence: u64,
    ) -> Result<Option<FoundVersion>, S3Error> {
        let Some(older) = sequence.checked_sub(1) else {
            return Ok(None);
        };
        let (_, end) = keys::versions_of(bucket, key);
        self.edge_version(keys::version(bucket, key, older), end, false)
    }

    /// The version of that id: the newest one without an id.
    pub(crate) fn find_version(
        &self,
        bucket: BucketUid,
        key: &ObjectKey,
        id: Option<VersionId>,
    ) -> Result<Option<FoundVersion>, S3Error> {
        match id {
            None => self.latest_version_to_read(bucket, key),
            Some(VersionId::Null) => self.null_version(bucket, key),
            Some(VersionId::Id { uid, sequence }) => {
                let found = self.version_at(bucket, key, sequence)?;
                // Identity and place must agree, and the null version has no other name.
                Ok(found.filter(|found| found.row.uid() == uid && !found.row.is_null))
            }
        }
    }

    /// The null version, wherever it is: the newest, the one that `NULL_VERSIONS` points to, or the
    /// oldest, which is there from before the bucket had versions.
    pub(crate) fn null_version(
        &self,
        bucket: BucketUid,
        key: &ObjectKey,
    ) -> Result<Option<FoundVersion>, S3Error> {
        let place = keys::null_version(bucket, key);
        let pointer = || self.read_row::<NullVersionRow>(Table::NULL_VERSIONS, &place);
        let mut before = pointer()?;
        for _ in 0..NULL_MOVES_MAX {
            let found = if let Some((row, _)) = &before {
                self.version_at(bucket, key, row.sequence)?
            } else {
                let (start, end) = keys::versions_of(bucket, key);
                self.edge_version(start, end, true)?
            };
            if let Some(found) = found.filter(|found| found.row.is_null) {
                return Ok(Some(found));
            }
            // Nothing there, unless the null version has just moved.
            let after = pointer()?;
            if after.as_ref().map(|(_, stored)| *stored)
                == before.as_ref().map(|(_, stored)| *stored)
            {
                return Ok(None);
            }
            before = after;
        }
        Err(S3Error::Contention)
    }

    /// Whether there is such an object, for those who may do something to it. Blocks.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchKey`], [`S3Error::NoSuchVersion`], [`S3Error::IsDeleteMarker`],
    /// [`S3Error::Damaged`], [`S3Error::Unavailable`].
    pub fn find_object<A: Action>(
        &self,
        entry: &Entry<A>,
        version: Option<VersionId>,
    ) -> Result<(), S3Error> {
        let (bucket, key) = entry.object()?;
        self.existing_object(bucket, key, version).map(|_| ())
    }

    /// The object to read: a version that is no delete marker.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchKey`], [`S3Error::NoSuchVersion`], [`S3Error::IsDeleteMarker`].
    pub(crate) fn existing_object(
        &self,
        bucket: &BucketView,
        key: &ObjectKey,
        id: Option<VersionId>,
    ) -> Result<(FoundVersion, ObjectRow), S3Error> {
        let found = self.find_version(bucket.uid, key, id)?;
        let Some(mut found) = found else {
            return Err(match id {
                None => S3Error::NoSuchKey {
                    key: key.clone(),
                    delete_marker: None,
                },
                Some(version) => S3Error::NoSuchVersion {
                    key: key.clone(),
                    version,
                },
            });
        };
        match (found.row.object.take(), id) {
            (Some(object), _) => Ok((found, object)),
            (None, None) => {
                let delete_marker = Some(found.row.version_id(found.sequence));
                Err(S3Error::NoSuchKey {
                    key: key.clone(),
                    delete_marker,
                })
            }
            (None, Some(version)) => Err(S3Error::IsDeleteMarker {
                version,
                last_modified: found.row.last_modified(),
            }),
        }
    }

    fn version_at(
        &self,
        bucket: BucketUid,
        key: &ObjectKey,
        sequence: u64,
    ) -> Result<Option<FoundVersion>, S3Error> {
        let row_key = keys::version(bucket, key, sequence);
        let found = self.read_row::<VersionRow>(Table::VERSIONS, &row_key)?;
        Ok(found.map(|(row, stored)| FoundVersion {
            sequence,
            row_key,
            stored,
            row,
        }))
    }

    fn edge_version(
        &self,
        start: Bytes,
        end: Bytes,
        reverse: bool,
    ) -> Result<Option<FoundVersion>, S3Error> {
        let scan = Scan {
            table: Table::VERSIONS,
            start,
            end: Some(end),
            limit: 1,
            reverse,
        };
        let page = self.ports.meta.scan(&scan)?;
        page.rows
            .into_iter()
            .next()
            .map(|row| self.open_version(row))
            .transpose()
    }

    fn open_version(&self, found: Row) -> Result<FoundVersion, S3Error> {
        let row = self.open_scanned::<VersionRow>(Table::VERSIONS, &found)?;
        let (_, sequence) = found.key.split_last_chunk::<8>().ok_or(S3Error::Damaged)?;
        let sequence = !u64::from_be_bytes(*sequence);
        Ok(FoundVersion {
            sequence,
            row_key: found.key,
            stored: found.version,
            row,
        })
    }
}

/// How often a null version may move while it is looked up.
const NULL_MOVES_MAX: usize = 16;
