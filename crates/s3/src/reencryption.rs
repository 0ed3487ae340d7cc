//! Updating the encryption of all versions under a prefix, page by page.
//!
//! A job's place is kept in a row of its own, so that it goes on where it was after a crash: at most
//! one page is looked at twice, and what is encrypted as wanted is left alone.

use bytes::Bytes;
use minicbor::{Decode, Encode};
use strongroom_policy::actions::{ListBucketVersions, UpdateObjectEncryption};
use strongroom_ports::{KeyError, Scan, Table, Transaction};
use strongroom_types::kms::KeyArn;
use strongroom_types::{BucketUid, ObjectKey, VersionId};

use crate::object_update_encryption::Updated;
use crate::rows::VersionRow;
use crate::{Entry, S3, S3Error, UpdateObjectEncryptionInput, keys};

/// What is to be encrypted, and how. A bucket and prefix have one job at a time: one with another
/// target begins anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReEncryptionJob {
    /// Only keys that begin so.
    pub prefix: String,
    /// The key.
    pub key: KeyArn,
    /// Whether a bucket key is used.
    pub bucket_key: bool,
}

/// How far a job is, since it began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReEncryptionReport {
    /// Versions whose data key was wrapped anew.
    pub updated: u64,
    /// Versions that were encrypted as wanted.
    pub already: u64,
    /// Versions that could not be updated.
    pub skipped: u64,
    /// Those of this page, and why.
    pub skipped_here: Vec<SkippedVersion>,
    /// Nothing is left to look at. The job's row is gone; asked again, it begins anew.
    pub done: bool,
}

/// A version that could not be updated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedVersion {
    /// Its key.
    pub key: String,
    /// The version.
    pub version: VersionId,
    /// Why.
    pub reason: S3Error,
}

/// A job's place and counts.
#[derive(Clone, Debug, Default, Encode, Decode)]
#[cbor(map)]
pub(crate) struct ReEncryptionRow {
    #[n(0)]
    pub key_arn: String,
    #[n(1)]
    pub bucket_key: bool,
    /// Key of the version's row that was looked at last.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub after: Vec<u8>,
    #[n(3)]
    pub updated: u64,
    #[n(4)]
    pub already: u64,
    #[n(5)]
    pub skipped: u64,
}

impl S3 {
    /// Does the next `limit` versions of a job. Each is decided on by itself, for the caller.
    ///
    /// Blocks on the stores and the key service: call from a worker thread.
    ///
    /// # Errors
    ///
    /// What would meet every version alike: [`S3Error::NoSuchBucket`], [`S3Error::NoSpace`],
    /// [`S3Error::Unavailable`], and [`S3Error::Kms`] of a key service that cannot answer. The job
    /// stays where it was.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an entry is good for one operation"
    )]
    pub fn reencrypt(
        &self,
        entry: Entry<ListBucketVersions>,
        job: &ReEncryptionJob,
        limit: usize,
    ) -> Result<ReEncryptionReport, S3Error> {
        let bucket = entry.bucket().ok_or(S3Error::Unavailable)?;
        let row_key = job_key(bucket.uid, &job.prefix);
        let stored = self.read_row::<ReEncryptionRow>(Table::REENCRYPTION_JOBS, &row_key)?;
        let stored_version = stored.as_ref().map(|(_, version)| *version);
        let target = job.key.to_string();
        let mut row = stored
            .map(|(row, _)| row)
            .filter(|row| row.key_arn == target && row.bucket_key == job.bucket_key)
            .unwrap_or_else(|| ReEncryptionRow {
                key_arn: target,
                bucket_key: job.bucket_key,
                ..ReEncryptionRow::default()
            });
        let first = keys::versions_from(bucket.uid, job.prefix.as_bytes());
        let start = if row.after.is_empty() {
            first.clone()
        } else {
            [row.after.as_slice(), &[0]].concat().into()
        };
        let page = self.ports.meta.scan(&Scan {
            table: Table::VERSIONS,
            start,
            end: Some(keys::successor_of_prefix(&first)),
            limit: limit.clamp(1, 1000),
            reverse: false,
        })?;
        let mut skipped_here = Vec::new();
        for found in &page.rows {
            let version = self.open_scanned::<VersionRow>(Table::VERSIONS, found)?;
            let (key, sequence) = keys::parse_version(&found.key).ok_or(S3Error::Damaged)?;
            row.after = found.key.to_vec();
            if version.object.is_none() {
                continue;
            }
            let version = version.version_id(sequence);
            match self.reencrypt_version(&entry, job, &key, version) {
                Ok(Updated::Changed(_)) => row.updated = row.updated.saturating_add(1),
                Ok(Updated::Already(_)) => row.already = row.already.saturating_add(1),
                // Deleted meanwhile.
                Err(S3Error::NoSuchKey { .. } | S3Error::NoSuchVersion { .. }) => {}
                Err(error) if meets_all(&error) => return Err(error),
                Err(reason) => {
                    row.skipped = row.skipped.saturating_add(1);
                    skipped_here.push(SkippedVersion {
                        key,
                        version,
                        reason,
                    });
                }
            }
        }
        let table = Table::REENCRYPTION_JOBS;
        let expected = Transaction::new().expect(table, row_key.clone(), stored_version);
        let transaction = if page.more {
            let sealed = self.seal_row(table, &row_key, &row);
            expected.put(table, row_key, sealed)
        } else {
            expected.delete(table, row_key)
        };
        self.ports.meta.commit(transaction).wait()?;
        Ok(ReEncryptionReport {
            updated: row.updated,
            already: row.already,
            skipped: row.skipped,
            skipped_here,
            done: !page.more,
        })
    }

    fn reencrypt_version(
        &self,
        entry: &Entry<ListBucketVersions>,
        job: &ReEncryptionJob,
        key: &str,
        version: VersionId,
    ) -> Result<Updated, S3Error> {
        let bucket = entry.bucket().ok_or(S3Error::Unavailable)?;
        let key = ObjectKey::parse(key).map_err(|_| S3Error::Damaged)?;
        let context = entry.context().clone();
        let at = self.enter_object::<UpdateObjectEncryption>(context, &bucket.name, &key, None)?;
        let input = UpdateObjectEncryptionInput {
            version: Some(version),
            key: job.key.clone(),
            bucket_key: job.bucket_key,
        };
        self.update_encryption(&at, &input, true)
    }
}

/// Whether the next version would meet the same, so that going on would only count it.
fn meets_all(error: &S3Error) -> bool {
    matches!(
        error,
        S3Error::NoSuchBucket(_)
            | S3Error::NoSpace
            | S3Error::Unavailable
            | S3Error::Kms(KeyError::Unavailable | KeyError::Throttled)
    )
}

fn job_key(bucket: BucketUid, prefix: &str) -> Bytes {
    [bucket.as_bytes().as_slice(), prefix.as_bytes()]
        .concat()
        .into()
}
