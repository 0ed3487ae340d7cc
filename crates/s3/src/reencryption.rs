//! Updating the encryption of all versions under a prefix, page by page.
//!
//! A job's place is kept in a row of its own, so that it goes on where it was after a crash: at most
//! one page is looked at twice, and what is encrypted as wanted is left alone.

use std::collections::BTreeMap;
use std::thread;

use bytes::Bytes;
use minicbor::{Decode, Encode};
use strongroom_policy::Conditions;
use strongroom_policy::actions::{ListBucketVersions, PutObject, UpdateObjectEncryption};
use strongroom_ports::{KeyError, KeyReference, KeyUse, Row, Scan, Table, Transaction};
use strongroom_types::kms::KeyArn;
use strongroom_types::{BucketUid, ObjectKey, VersionId};

use crate::kms_keys::{bucket_arn, whole_context};
use crate::object_update_encryption::{Updated, encrypted_with};
use crate::rows::VersionRow;
use crate::stream_in::len_u64;
use crate::{
    Arrival, BucketView, Entry, ReEncryptionRefusal, S3, S3Error, UpdateObjectEncryptionInput, keys,
};

/// Versions of a page that are worked on at once, so that they share the journal's syncs.
const AT_ONCE: usize = 8;
/// Rows that one page of a count reads.
const COUNTED_AT_ONCE: usize = 10_000;

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
    /// Those of them that could have been: all but [`SkippedVersion::is_expected`].
    pub failed: u64,
    /// Versions and delete markers that were looked at; [`S3::count_versions`] counts the same.
    pub looked_at: u64,
    /// Those of them that are of this page.
    pub looked_at_here: u64,
    /// The skipped ones of this page, and why.
    pub skipped_here: Vec<SkippedVersion>,
    /// Nothing is left to look at. The job's row is gone; asked again, it begins anew.
    pub done: bool,
}

/// A version that could not be updated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedVersion {
    /// Its key.
    pub key: String,
    /// The version; nothing when its row is damaged and does not say.
    pub version: Option<VersionId>,
    /// Why.
    pub reason: S3Error,
}

impl SkippedVersion {
    /// Whether no update of such a version is possible: S3 updates neither SSE-C nor DSSE-KMS.
    pub fn is_expected(&self) -> bool {
        matches!(
            self.reason,
            S3Error::ReEncryption(
                ReEncryptionRefusal::SourceSseC | ReEncryptionRefusal::SourceDsse
            )
        )
    }
}

/// One page of a count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionCount {
    /// Versions and delete markers of the page.
    pub count: u64,
    /// Where the next page begins; nothing when this was the last.
    pub next: Option<Bytes>,
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
    #[n(6)]
    pub failed: u64,
    #[n(7)]
    pub looked_at: u64,
}

impl S3 {
    /// Does the next `limit` versions of a job. Each is decided on by itself, for the caller.
    ///
    /// Blocks on the stores and the key service: call from a worker thread.
    ///
    /// # Errors
    ///
    /// What would meet every version alike: [`S3Error::NoSuchBucket`], [`S3Error::NoSpace`],
    /// [`S3Error::Unavailable`], [`S3Error::ReEncryption`] for the key of another account, and
    /// [`S3Error::Kms`] of a key that cannot be used or a key service that cannot answer;
    /// [`S3Error::Contention`] when another caller works on the same job. The job stays where it
    /// was.
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
        self.check_target(&entry, bucket, job)?;
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
            keys::behind(&row.after)
        };
        let page = self.ports.meta.scan(&Scan {
            table: Table::VERSIONS,
            start,
            end: Some(keys::successor_of_prefix(&first)),
            limit: limit.clamp(1, 1000),
            reverse: false,
        })?;
        let mut skipped_here = Vec::new();
        let outcomes = self.reencrypt_page(&entry, job, &page.rows);
        if outcomes.iter().any(is_about_keys) {
            // The target may have been taken away meanwhile. If not, the version's own key is lost.
            self.check_target(&entry, bucket, job)?;
        }
        for outcome in outcomes {
            match outcome? {
                Outcome::Updated => row.updated = row.updated.saturating_add(1),
                Outcome::Already => row.already = row.already.saturating_add(1),
                Outcome::Gone => {}
                Outcome::Skipped(skipped) => {
                    row.skipped = row.skipped.saturating_add(1);
                    let failed = u64::from(!skipped.is_expected());
                    row.failed = row.failed.saturating_add(failed);
                    skipped_here.push(skipped);
                }
            }
        }
        let looked_at_here = len_u64(page.rows.len());
        row.looked_at = row.looked_at.saturating_add(looked_at_here);
        if let Some(last) = page.rows.last() {
            row.after = last.key.to_vec();
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
            failed: row.failed,
            looked_at: row.looked_at,
            looked_at_here,
            skipped_here,
            done: !page.more,
        })
    }

    /// Counts what a job would look at, page by page: `from` is [`VersionCount::next`] of the page
    /// before. Opens no row.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::Unavailable`].
    pub fn count_versions(
        &self,
        entry: &Entry<ListBucketVersions>,
        prefix: &str,
        from: Option<Bytes>,
    ) -> Result<VersionCount, S3Error> {
        let bucket = entry.bucket().ok_or(S3Error::Unavailable)?;
        let first = keys::versions_from(bucket.uid, prefix.as_bytes());
        let end = keys::successor_of_prefix(&first);
        // A place that is not under the prefix leaves nothing to count.
        let start = from.map_or_else(|| first.clone(), |from| from.max(first.clone()));
        if start >= end {
            return Ok(VersionCount {
                count: 0,
                next: None,
            });
        }
        let page = self.ports.meta.scan(&Scan {
            table: Table::VERSIONS,
            start,
            end: Some(end),
            limit: COUNTED_AT_ONCE,
            reverse: false,
        })?;
        Ok(VersionCount {
            count: len_u64(page.rows.len()),
            next: page
                .rows
                .last()
                .map(|row| keys::behind(&row.key))
                .filter(|_| page.more),
        })
    }

    /// Refuses a key that no version could be encrypted under. Whether the caller may use it for a
    /// version is decided for that version, with its context.
    fn check_target(
        &self,
        entry: &Entry<ListBucketVersions>,
        bucket: &BucketView,
        job: &ReEncryptionJob,
    ) -> Result<(), S3Error> {
        if job.key.account != bucket.owner {
            return Err(ReEncryptionRefusal::ForeignKey.into());
        }
        let caller = self.forwarded(entry.context());
        let context = whole_context(&BTreeMap::new(), &bucket_arn(&bucket.name))?;
        let key = KeyReference::Named(job.key.to_string());
        let authority = &self.ports.keys;
        match authority.authorize(&caller, &key, KeyUse::GenerateDataKey, &context) {
            Ok(_) | Err(KeyError::AccessDenied(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What became of each row, in order; an error is one that meets all.
    fn reencrypt_page(
        &self,
        entry: &Entry<ListBucketVersions>,
        job: &ReEncryptionJob,
        rows: &[Row],
    ) -> Vec<Result<Outcome, S3Error>> {
        let share = rows.len().div_ceil(AT_ONCE).max(1);
        let work = |rows: &[Row]| -> Vec<_> {
            let each = rows.iter();
            each.map(|row| self.reencrypt_row(entry, job, row))
                .collect()
        };
        thread::scope(|scope| {
            let workers: Vec<_> = rows
                .chunks(share)
                .map(|rows| scope.spawn(move || work(rows)))
                .collect();
            let joined = workers.into_iter().flat_map(|worker| {
                // A panic was logged by the process's hook.
                let outcomes = worker.join();
                outcomes.unwrap_or_else(|_| vec![Err(S3Error::Unavailable)])
            });
            joined.collect()
        })
    }

    fn reencrypt_row(
        &self,
        entry: &Entry<ListBucketVersions>,
        job: &ReEncryptionJob,
        found: &Row,
    ) -> Result<Outcome, S3Error> {
        let Some((key, sequence)) = keys::parse_version(&found.key) else {
            return Ok(Outcome::Skipped(SkippedVersion {
                key: String::from_utf8_lossy(&found.key).into_owned(),
                version: None,
                reason: S3Error::Damaged,
            }));
        };
        let row = match self.open_scanned::<VersionRow>(Table::VERSIONS, found) {
            Ok(row) => row,
            // One damaged row must not hold up all that come after it.
            Err(reason) => {
                return Ok(Outcome::Skipped(SkippedVersion {
                    key,
                    version: None,
                    reason,
                }));
            }
        };
        if row.object.is_none() {
            return Ok(Outcome::Gone);
        }
        let version = row.version_id(sequence);
        match self.reencrypt_version(entry, job, &key, version) {
            Ok(Updated::Changed(_)) => Ok(Outcome::Updated),
            Ok(Updated::Already(_)) => Ok(Outcome::Already),
            Err(S3Error::NoSuchKey { .. } | S3Error::NoSuchVersion { .. }) => Ok(Outcome::Gone),
            Err(error) if meets_all(&error) => Err(error),
            Err(reason) => Ok(Outcome::Skipped(SkippedVersion {
                key,
                version: Some(version),
                reason,
            })),
        }
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
        let as_write = Arrival {
            context: context.clone(),
            conditions: encrypted_with(Conditions::default(), &job.key),
        };
        self.enter_object::<PutObject>(as_write, &bucket.name, &key, None)?;
        let at = self.enter_object::<UpdateObjectEncryption>(context, &bucket.name, &key, None)?;
        let input = UpdateObjectEncryptionInput {
            version: Some(version),
            key: job.key.clone(),
            bucket_key: job.bucket_key,
        };
        self.update_encryption(&at, &input, true)
    }
}

/// What became of a version.
enum Outcome {
    Updated,
    Already,
    /// A delete marker, or deleted meanwhile.
    Gone,
    Skipped(SkippedVersion),
}

/// Whether a version was skipped for what the key service said.
fn is_about_keys(outcome: &Result<Outcome, S3Error>) -> bool {
    match outcome {
        Ok(Outcome::Skipped(skipped)) => matches!(skipped.reason, S3Error::Kms(_)),
        Ok(Outcome::Updated | Outcome::Already | Outcome::Gone) | Err(_) => false,
    }
}

/// Whether the next version would meet the same, so that going on would only count it.
fn meets_all(error: &S3Error) -> bool {
    matches!(
        error,
        S3Error::NoSuchBucket(_)
            | S3Error::NoSpace
            | S3Error::Unavailable
            | S3Error::Kms(KeyError::Throttled)
    )
}

fn job_key(bucket: BucketUid, prefix: &str) -> Bytes {
    [bucket.as_bytes().as_slice(), prefix.as_bytes()]
        .concat()
        .into()
}
