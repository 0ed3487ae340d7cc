//! The transaction that makes a version (or a delete marker) the newest of its key.
//!
//! Order comes from sequences: the new version gets the newest one's plus one, under the condition
//! that the newest is still the newest when the transaction commits. A lost race is read again,
//! judged again and tried again.

use std::sync::Arc;

use strongroom_ports::{CommitError, Condition, KeyLease, RowVersion, Table, Transaction, Write};
use strongroom_types::{BlobId, CanonicalId, ObjectKey, Timestamp, VersionId, VersionUid};

use crate::data_keys::check_lease;
use crate::keys::Garbage;
use crate::lookup::FoundVersion;
use crate::rows::{
    AclGrantRow, ContentRow, CurrentRow, GarbageRow, ManifestRow, NullVersionRow, ObjectRow,
    PlaceRow, VersionRow,
};
use crate::worker::on_worker;
use crate::{BucketView, S3, S3Error, Versioning, WriteConditions, keys};
use strongroom_rows::{ATTEMPTS, back_off};

/// What is to become the newest version of a key.
#[derive(Debug)]
pub(crate) struct NewVersion {
    /// The bucket as it was when the request entered.
    pub bucket: Arc<BucketView>,
    /// The version of its row then; `None` reads it again.
    pub bucket_version: Option<RowVersion>,
    /// The key.
    pub key: ObjectKey,
    /// The version's identity, to which its stream and data key are bound.
    pub uid: VersionUid,
    /// Who owns it.
    pub owner: CanonicalId,
    /// Its access control list, if that is not private.
    pub acl: Option<Vec<AclGrantRow>>,
    /// When it was written (of a multipart object: when the upload was initiated).
    pub last_modified: Timestamp,
    /// What it holds; `None` makes a delete marker, which a bucket without versions must not get.
    pub object: Option<ObjectRow>,
    /// The client's conditions, judged each time the transaction is made.
    pub checks: WriteConditions,
    /// Further conditions of the transaction. Where one of them is what fails, trying again is in
    /// vain: whoever adds some reads them again before the next attempt or accepts `Contention`.
    pub conditions: Vec<Condition>,
    /// Rows that come with it: the inline stream, the blob's row; none of the version's own.
    pub writes: Vec<Write>,
    /// How long its key may be used; asked each time the transaction is made.
    pub lease: Option<KeyLease>,
}

/// A version that is durable and current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    /// The id to answer: `None` in a bucket that never had versions.
    pub version: Option<VersionId>,
    /// Its place in the order of the key's versions.
    pub sequence: u64,
}

impl S3 {
    /// Makes `new` current. Blocks until it is durable.
    ///
    /// # Errors
    ///
    /// [`S3Error::PreconditionFailed`] and [`S3Error::NoSuchKey`] by the client's conditions;
    /// [`S3Error::NoSuchBucket`] when the bucket went away; [`S3Error::Contention`],
    /// [`S3Error::NoSpace`]; [`S3Error::Kms`] for a key that was taken away meanwhile. Nothing was
    /// changed then; only after [`S3Error::Unavailable`] the
    /// outcome may be unknown.
    pub(crate) fn publish(&self, new: &NewVersion) -> Result<Published, S3Error> {
        self.commit_retrying(|attempt| self.prepare_version(new, attempt))
    }

    /// As [`S3::publish`], for tasks: hops to a worker for each attempt, and awaits durability
    /// without holding one. `first_attempt` is the number of races lost already.
    ///
    /// # Errors
    ///
    /// As [`S3::publish`].
    pub(crate) async fn publish_from_task(
        self: &Arc<Self>,
        new: Arc<NewVersion>,
        first_attempt: u32,
    ) -> Result<Published, S3Error> {
        for attempt in first_attempt..ATTEMPTS {
            let (service, new) = (Arc::clone(self), Arc::clone(&new));
            let submitted = on_worker(move || {
                back_off(attempt);
                let (transaction, published) = service.prepare_version(&new, attempt)?;
                Ok::<_, S3Error>((service.ports.meta.commit(transaction), published))
            });
            let (pending, published) = submitted.await??;
            match pending.await {
                Ok(_) => return Ok(published),
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(S3Error::Contention)
    }

    /// Commits what `prepare` makes, and makes it anew after a lost race. `prepare` gets the number
    /// of races lost so far: what it knows from before them is stale.
    ///
    /// # Errors
    ///
    /// [`S3Error::Contention`] after too many lost races; the errors of `prepare` and of the commit.
    pub(crate) fn commit_retrying<T>(
        &self,
        mut prepare: impl FnMut(u32) -> Result<(Transaction, T), S3Error>,
    ) -> Result<T, S3Error> {
        for attempt in 0..ATTEMPTS {
            back_off(attempt);
            let (transaction, outcome) = prepare(attempt)?;
            if transaction.writes.is_empty() {
                // Nothing to do needs no sync and cannot lose a race.
                return Ok(outcome);
            }
            match self.ports.meta.commit(transaction).wait() {
                Ok(_) => return Ok(outcome),
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(S3Error::Contention)
    }

    /// The transaction that makes `new` current, as things are now.
    pub(crate) fn prepare_version(
        &self,
        new: &NewVersion,
        attempt: u32,
    ) -> Result<(Transaction, Published), S3Error> {
        let (bucket, bucket_version) =
            self.bucket_for_attempt(&new.bucket, new.bucket_version, attempt)?;
        let latest = self.latest_version(bucket.uid, &new.key)?;
        new.checks.check(&new.key, latest.as_ref())?;

        let mut transaction = Transaction::new().expect(
            Table::BUCKETS,
            keys::bucket(&bucket.name),
            Some(bucket_version),
        );
        transaction = fence(transaction, &bucket, &new.key, latest.as_ref());
        transaction
            .conditions
            .extend(new.conditions.iter().cloned());
        transaction.writes.extend(new.writes.iter().cloned());

        let sequence = latest
            .as_ref()
            .map_or(0, |latest| latest.sequence)
            .saturating_add(1);
        let is_null = match bucket.versioning {
            Versioning::Never => {
                if let Some(latest) = &latest {
                    transaction = self.remove_version(transaction, latest);
                }
                true
            }
            Versioning::Enabled => false,
            Versioning::Suspended => {
                transaction = self.replace_null_version(
                    transaction,
                    &bucket,
                    &new.key,
                    latest.as_ref(),
                    sequence,
                )?;
                true
            }
        };

        let row = VersionRow {
            uid: *new.uid.as_bytes(),
            is_null,
            last_modified_millis: new.last_modified.as_millis(),
            owner: new.owner.as_str().to_owned(),
            object: new.object.clone(),
            acl: new.acl.clone(),
        };
        transaction = self.set_current(transaction, &bucket, &new.key, sequence, &row);
        let row_key = keys::version(bucket.uid, &new.key, sequence);
        let sealed = self.seal_row(Table::VERSIONS, &row_key, &row);
        let version = match bucket.versioning {
            Versioning::Never => None,
            Versioning::Enabled | Versioning::Suspended => Some(row.version_id(sequence)),
        };
        // The body was synced, and races may have been lost, since the key was asked for last.
        check_lease(new.lease.as_ref())?;
        Ok((
            transaction.put(Table::VERSIONS, row_key, sealed),
            Published { version, sequence },
        ))
    }

    /// The bucket for an attempt: as the request found it at first, read again after a lost race.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchBucket`] when it went away, also if another of that name took its place.
    pub(crate) fn bucket_for_attempt(
        &self,
        bucket: &Arc<BucketView>,
        version: Option<RowVersion>,
        attempt: u32,
    ) -> Result<(Arc<BucketView>, RowVersion), S3Error> {
        if let (0, Some(version)) = (attempt, version) {
            return Ok((Arc::clone(bucket), version));
        }
        match self.read_bucket(&bucket.name)? {
            Some((now, version)) if now.uid == bucket.uid => Ok((Arc::new(now), version)),
            Some(_) | None => Err(S3Error::NoSuchBucket(bucket.name.clone())),
        }
    }

    /// Keeps `CURRENT` in step with a version that becomes the newest.
    pub(crate) fn set_current(
        &self,
        transaction: Transaction,
        bucket: &BucketView,
        key: &ObjectKey,
        sequence: u64,
        newest: &VersionRow,
    ) -> Transaction {
        let row_key = keys::current(bucket.uid, key);
        let Some(object) = &newest.object else {
            return transaction.delete(Table::CURRENT, row_key);
        };
        let row = CurrentRow {
            sequence,
            size_bytes: object.size_bytes,
            etag: object.etag.clone(),
            last_modified_millis: newest.last_modified_millis,
            checksum: object.checksum_kind,
            owner: newest.owner.clone(),
        };
        let sealed = self.seal_row(Table::CURRENT, &row_key, &row);
        transaction.put(Table::CURRENT, row_key, sealed)
    }

    /// Removes a version's row, and gives what it held to the collector.
    pub(crate) fn remove_version(
        &self,
        transaction: Transaction,
        found: &FoundVersion,
    ) -> Transaction {
        let transaction = transaction.delete(Table::VERSIONS, found.row_key.clone());
        let uid = found.row.uid();
        match found.row.object.as_ref().map(|object| &object.content) {
            None => transaction,
            Some(ContentRow::Single(PlaceRow::Inline)) => {
                transaction.delete(Table::INLINE, keys::inline(uid))
            }
            Some(ContentRow::Single(PlaceRow::Blob(id))) => {
                self.put_garbage(transaction, Garbage::Blob(BlobId::from_bytes(*id)))
            }
            Some(ContentRow::Parts(ManifestRow { blob, .. })) => {
                let transaction = self.put_garbage(transaction, Garbage::Parts(uid));
                match blob {
                    Some(id) => {
                        self.put_garbage(transaction, Garbage::Blob(BlobId::from_bytes(*id)))
                    }
                    None => transaction,
                }
            }
        }
    }

    /// Asks the collector to remove something once the transaction is durable.
    pub(crate) fn put_garbage(&self, transaction: Transaction, garbage: Garbage) -> Transaction {
        let row_key = garbage.key();
        let row = GarbageRow {
            since_millis: self.ports.clock.now().as_millis(),
        };
        let sealed = self.seal_row(Table::GARBAGE, &row_key, &row);
        transaction.put(Table::GARBAGE, row_key, sealed)
    }

    /// Under suspended versioning a key has at most one null version: the new one takes the place of
    /// whatever was it.
    fn replace_null_version(
        &self,
        mut transaction: Transaction,
        bucket: &BucketView,
        key: &ObjectKey,
        latest: Option<&FoundVersion>,
        sequence: u64,
    ) -> Result<Transaction, S3Error> {
        let pointer_key = keys::null_version(bucket.uid, key);
        if let Some(latest) = latest {
            let null = if latest.row.is_null {
                Some(latest.clone())
            } else {
                self.null_version(bucket.uid, key)?
            };
            if let Some(null) = null {
                if null.sequence != latest.sequence {
                    transaction = transaction.expect(
                        Table::VERSIONS,
                        null.row_key.clone(),
                        Some(null.stored),
                    );
                }
                transaction = self.remove_version(transaction, &null);
            }
        }
        let sealed = self.seal_row(
            Table::NULL_VERSIONS,
            &pointer_key,
            &NullVersionRow { sequence },
        );
        Ok(transaction.put(Table::NULL_VERSIONS, pointer_key, sealed))
    }
}

/// Requires that `latest` is still the newest of its key, unchanged, or that there is still none.
pub(crate) fn fence(
    transaction: Transaction,
    bucket: &BucketView,
    key: &ObjectKey,
    latest: Option<&FoundVersion>,
) -> Transaction {
    let Some(latest) = latest else {
        let (start, end) = keys::versions_of(bucket.uid, key);
        return transaction.expect_range_empty(Table::VERSIONS, start, Some(end));
    };
    let (start, end) = keys::versions_newer_than(bucket.uid, key, latest.sequence);
    transaction
        .expect_range_empty(Table::VERSIONS, start, Some(end))
        .expect(Table::VERSIONS, latest.row_key.clone(), Some(latest.stored))
}
