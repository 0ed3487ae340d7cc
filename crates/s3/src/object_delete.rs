//! DeleteObject and DeleteObjects.
//!
//! Without a version id the newest version goes away: for good in a bucket that never had versions,
//! behind a delete marker in any other. With one, exactly that version goes.

use std::sync::Arc;

use strongroom_policy::actions::DeleteObject;
use strongroom_ports::{CommitError, PendingCommit, Table, Transaction};
use strongroom_types::{VersionId, VersionUid};

use crate::publish::{NewVersion, fence};
use crate::{
    DeleteObjectInput, DeleteObjectOutput, DeleteOutcome, ETagCondition, Entry, S3, S3Error,
    Versioning, WriteConditions, keys,
};

/// What a delete comes down to, as things are now.
struct Deletion {
    /// `None` where there is nothing to do.
    transaction: Option<Transaction>,
    output: DeleteObjectOutput,
}

impl S3 {
    /// DeleteObject. Deleting what does not exist succeeds. Blocks until it is durable.
    ///
    /// # Errors
    ///
    /// [`S3Error::PreconditionFailed`], [`S3Error::NoSuchKey`] for an `If-Match` on nothing,
    /// [`S3Error::NoSuchBucket`], [`S3Error::Contention`], [`S3Error::Unavailable`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an entry is good for one operation"
    )]
    pub fn delete_object(
        &self,
        entry: Entry<DeleteObject>,
        input: DeleteObjectInput,
    ) -> Result<DeleteObjectOutput, S3Error> {
        self.delete_retrying(&entry, &input, 0)
    }

    /// DeleteObjects: all entries are submitted before any is waited for, so that they share a group
    /// commit. The outcomes are in the order of the entries; one's failure leaves the others be.
    pub fn delete_objects(
        &self,
        entries: Vec<(Result<Entry<DeleteObject>, S3Error>, DeleteObjectInput)>,
    ) -> Vec<DeleteOutcome> {
        let submit = |entry: &Entry<DeleteObject>, input: &DeleteObjectInput| {
            let Deletion {
                transaction,
                output,
            } = self.prepare_deletion(entry, input, 0)?;
            let pending = transaction.map(|transaction| self.ports.meta.commit(transaction));
            Ok::<_, S3Error>((pending, output))
        };
        let submitted: Vec<_> = entries
            .into_iter()
            .map(|(entry, input)| {
                let entry = entry?;
                let (pending, output) = submit(&entry, &input)?;
                Ok::<_, S3Error>((entry, input, pending, output))
            })
            .collect();
        let finish = |submitted: Result<_, S3Error>| {
            let (entry, input, pending, output): (_, _, Option<PendingCommit>, _) = submitted?;
            match pending.map(PendingCommit::wait) {
                None | Some(Ok(_)) => Ok(output),
                Some(Err(CommitError::Conflict)) => self.delete_retrying(&entry, &input, 1),
                Some(Err(error)) => Err(error.into()),
            }
        };
        submitted.into_iter().map(finish).collect()
    }

    fn delete_retrying(
        &self,
        entry: &Entry<DeleteObject>,
        input: &DeleteObjectInput,
        races_lost: u32,
    ) -> Result<DeleteObjectOutput, S3Error> {
        self.commit_retrying(|attempt| {
            let deletion =
                self.prepare_deletion(entry, input, attempt.saturating_add(races_lost))?;
            Ok((deletion.transaction.unwrap_or_default(), deletion.output))
        })
    }

    fn prepare_deletion(
        &self,
        entry: &Entry<DeleteObject>,
        input: &DeleteObjectInput,
        attempt: u32,
    ) -> Result<Deletion, S3Error> {
        match input.version {
            Some(version) => self.prepare_removal(entry, version, input.if_match.as_ref()),
            None => self.prepare_hiding(entry, input.if_match.as_ref(), attempt),
        }
    }

    /// The newest version goes away.
    fn prepare_hiding(
        &self,
        entry: &Entry<DeleteObject>,
        if_match: Option<&ETagCondition>,
        attempt: u32,
    ) -> Result<Deletion, S3Error> {
        let (bucket, key) = entry.object()?;
        let (bucket, bucket_version) =
            self.bucket_for_attempt(bucket, entry.bucket_version, attempt)?;
        let checks = WriteConditions {
            if_match: if_match.cloned(),
            if_none_match: false,
        };
        match bucket.versioning {
            Versioning::Never => {
                let latest = self.latest_version(bucket.uid, key)?;
                checks.check(key, latest.as_ref())?;
                let transaction = latest.map(|latest| {
                    let bucket_row = keys::bucket(&bucket.name);
                    let transaction =
                        Transaction::new().expect(Table::BUCKETS, bucket_row, Some(bucket_version));
                    let transaction = fence(transaction, &bucket, key, Some(&latest));
                    self.remove_version(transaction, &latest)
                        .delete(Table::CURRENT, keys::current(bucket.uid, key))
                });
                Ok(Deletion {
                    transaction,
                    output: DeleteObjectOutput::default(),
                })
            }
            Versioning::Enabled | Versioning::Suspended => {
                let marker = NewVersion {
                    owner: bucket.owner_canonical_id.clone(),
                    acl: None,
                    bucket: Arc::clone(&bucket),
                    bucket_version: Some(bucket_version),
                    key: key.clone(),
                    uid: VersionUid::random(&*self.ports.entropy),
                    last_modified: self.ports.clock.now(),
                    object: None,
                    checks,
                    conditions: Vec::new(),
                    writes: Vec::new(),
                    lease: None,
                };
                // The bucket was just read where that was needed.
                let (transaction, published) = self.prepare_version(&marker, 0)?;
                let output = DeleteObjectOutput {
                    version: published.version,
                    delete_marker: true,
                };
                Ok(Deletion {
                    transaction: Some(transaction),
                    output,
                })
            }
        }
    }

    /// One version goes, for good.
    fn prepare_removal(
        &self,
        entry: &Entry<DeleteObject>,
        version: VersionId,
        if_match: Option<&ETagCondition>,
    ) -> Result<Deletion, S3Error> {
        let (bucket, key) = entry.object()?;
        let Some(found) = self.find_version(bucket.uid, key, Some(version))? else {
            if if_match.is_some() {
                return Err(S3Error::NoSuchVersion {
                    key: key.clone(),
                    version,
                });
            }
            let output = DeleteObjectOutput {
                version: Some(version),
                delete_marker: false,
            };
            return Ok(Deletion {
                transaction: None,
                output,
            });
        };
        if let Some(condition) = if_match {
            let etag = found.row.object.as_ref().map(|object| object.etag.as_str());
            if !etag.is_some_and(|etag| condition.matches(etag)) {
                return Err(S3Error::PreconditionFailed {
                    condition: "If-Match",
                });
            }
        }
        // What was found has gone meanwhile, if nothing is there.
        let latest = self
            .latest_version(bucket.uid, key)?
            .ok_or(S3Error::Contention)?;
        let mut transaction = Transaction::new();
        if latest.sequence == found.sequence {
            transaction = fence(transaction, bucket, key, Some(&found));
            transaction = match self.version_before(bucket.uid, key, found.sequence)? {
                Some(next) => {
                    transaction = transaction.expect(
                        Table::VERSIONS,
                        next.row_key.clone(),
                        Some(next.stored),
                    );
                    self.set_current(transaction, bucket, key, next.sequence, &next.row)
                }
                None => transaction.delete(Table::CURRENT, keys::current(bucket.uid, key)),
            };
        } else {
            // It must not become the newest meanwhile: CURRENT would then point to it.
            transaction = transaction
                .expect(Table::VERSIONS, latest.row_key.clone(), Some(latest.stored))
                .expect(Table::VERSIONS, found.row_key.clone(), Some(found.stored));
        }
        if found.row.is_null {
            transaction =
                transaction.delete(Table::NULL_VERSIONS, keys::null_version(bucket.uid, key));
        }
        transaction = self.remove_version(transaction, &found);
        let output = DeleteObjectOutput {
            version: Some(version),
            delete_marker: found.row.object.is_none(),
        };
        Ok(Deletion {
            transaction: Some(transaction),
            output,
        })
    }
}
