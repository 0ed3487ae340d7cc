//! Buckets and their settings.

#![expect(
    clippy::needless_pass_by_value,
    reason = "an entry and its input are good for one operation"
)]

use bytes::Bytes;
use strongroom_policy::actions;
use strongroom_ports::{RowVersion, Scan, Table, Transaction};
use strongroom_sse::SseError;
use strongroom_types::limits::BUCKETS_PER_ACCOUNT_MAX;
use strongroom_types::{
    AccountId, BlockedEncryption, BucketEncryption, BucketName, BucketUid, SseAlgorithm, TagSet,
};

use crate::bucket_policy::without_policy;
use crate::keys::Garbage;
use crate::rows::{BucketRow, GarbageRow};
use crate::{
    BucketView, CreateBucketInput, EncryptionChange, Entry, ListBucketsInput, ListBucketsOutput,
    PublicAccessBlock, S3, S3Error, Versioning, keys,
};
use strongroom_rows::until_undisturbed;

impl S3 {
    /// Creates a bucket. Names are global.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::BucketAlreadyOwnedByYou`], [`S3Error::BucketAlreadyExists`],
    /// [`S3Error::TooManyBuckets`], [`S3Error::Acl`].
    pub fn create_bucket(
        &self,
        entry: Entry<actions::CreateBucket>,
        input: CreateBucketInput,
    ) -> Result<BucketView, S3Error> {
        let CreateBucketInput {
            name,
            tags,
            ownership,
            acl,
        } = input;
        let account = entry.context().principal.account();
        let (Some(owner), Some(owner_canonical_id)) =
            (account, entry.context().canonical_id.clone())
        else {
            return Err(S3Error::Unavailable);
        };
        let blocked = if self.options.block_sse_c_on_new_buckets {
            BlockedEncryption::SseC
        } else {
            BlockedEncryption::None
        };
        let mut view = BucketView {
            uid: BucketUid::random(&*self.ports.entropy),
            name: name.clone(),
            owner,
            owner_canonical_id,
            region: self.options.region.clone(),
            created: self.ports.clock.now(),
            versioning: Versioning::Never,
            encryption: BucketEncryption {
                blocked,
                ..unset_encryption()
            },
            tags: (!tags.is_empty()).then_some(tags),
            policy: None,
            public_access_block: Some(PublicAccessBlock::ALL),
            ownership: Some(ownership.unwrap_or_default()),
            stored_acl: None,
            logging: None,
        };
        view.stored_acl = self.acl_of_new_bucket(&view, &acl)?;
        let row_key = keys::bucket(&name);
        let row = self.seal_row(Table::BUCKETS, &row_key, &BucketRow::from_view(&view));
        until_undisturbed(|| {
            if let Some((existing, _)) = self.read_bucket(&name)? {
                return Err(if existing.owner == owner {
                    S3Error::BucketAlreadyOwnedByYou(name.clone())
                } else {
                    S3Error::BucketAlreadyExists(name.clone())
                });
            }
            // Not a condition of the transaction: two creations at once may end one above the limit,
            // which protects the server and is no promise.
            if self.count_buckets(owner)? >= BUCKETS_PER_ACCOUNT_MAX {
                return Err(S3Error::TooManyBuckets);
            }
            let transaction = Transaction::new()
                .expect(Table::BUCKETS, row_key.clone(), None)
                .put(Table::BUCKETS, row_key.clone(), row.clone());
            self.ports.meta.commit(transaction).wait()?;
            Ok(())
        })?;
        Ok(view)
    }

    /// The caller's buckets, by name.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::Damaged`], [`S3Error::Unavailable`].
    pub fn list_buckets(
        &self,
        entry: Entry<actions::ListAllMyBuckets>,
        input: ListBucketsInput,
    ) -> Result<ListBucketsOutput, S3Error> {
        let ListBucketsInput { prefix, after, max } = input;
        let mut output = ListBucketsOutput::default();
        let Some(owner) = entry.context().principal.account() else {
            return Ok(output);
        };
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        if max == 0 {
            return Ok(output);
        }
        let behind = after.map_or_else(Vec::new, |after| [after.as_bytes(), &[0]].concat());
        let start = behind.max(prefix.clone().into_bytes());
        let end = keys::successor_of_prefix(prefix.as_bytes());
        let end = (!end.is_empty()).then_some(end);
        self.each_bucket(start.into(), end, |bucket| {
            if bucket.owner != owner {
                return true;
            }
            if output.buckets.len() == max {
                output.next_after = output.buckets.last().map(|last| last.name.to_string());
                return false;
            }
            output.buckets.push(bucket);
            true
        })?;
        Ok(output)
    }

    /// Deletes a bucket without versions and delete markers. Uploads in progress go with it.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchBucket`], [`S3Error::BucketNotEmpty`].
    pub fn delete_bucket(&self, entry: Entry<actions::DeleteBucket>) -> Result<(), S3Error> {
        let entered = entry.bucket().ok_or(S3Error::Unavailable)?;
        let row_key = keys::bucket(&entered.name);
        let (start, end) = keys::whole_bucket(entered.uid);
        until_undisturbed(|| {
            let (bucket, version) = self.same_bucket(entered)?;
            let scan = Scan {
                table: Table::VERSIONS,
                start: start.clone(),
                end: Some(end.clone()),
                limit: 1,
                reverse: false,
            };
            if !self.ports.meta.scan(&scan)?.rows.is_empty() {
                return Err(S3Error::BucketNotEmpty(entered.name.clone()));
            }
            let garbage = Garbage::BucketUploads(entered.uid).key();
            let since_millis = self.ports.clock.now().as_millis();
            let mark = self.seal_row(Table::GARBAGE, &garbage, &GarbageRow { since_millis });
            let transaction = Transaction::new()
                .expect(Table::BUCKETS, row_key.clone(), Some(version))
                .expect_range_empty(Table::VERSIONS, start.clone(), Some(end.clone()))
                .delete(Table::BUCKETS, row_key.clone())
                .put(Table::GARBAGE, garbage, mark);
            let transaction = without_policy(transaction, &bucket);
            self.ports.meta.commit(transaction).wait()?;
            Ok(())
        })
    }

    /// Enables or suspends versioning. A bucket that had versions never goes back to
    /// [`Versioning::Never`].
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchBucket`].
    pub fn put_bucket_versioning(
        &self,
        entry: Entry<actions::PutBucketVersioning>,
        versioning: Versioning,
    ) -> Result<(), S3Error> {
        self.change_bucket(&entry, |bucket| match (bucket.versioning, versioning) {
            (_, Versioning::Enabled | Versioning::Suspended) => bucket.versioning = versioning,
            (
                Versioning::Never | Versioning::Enabled | Versioning::Suspended,
                Versioning::Never,
            ) => {}
        })
    }

    /// Sets the default encryption. What the change leaves out stays, except for the key and the
    /// bucket key flag, which belong to the algorithm.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchBucket`]; [`SseError::KmsKeyWithoutKms`] for a key beside another algorithm
    /// than KMS.
    pub fn put_bucket_encryption(
        &self,
        entry: Entry<actions::PutEncryptionConfiguration>,
        change: EncryptionChange,
    ) -> Result<(), S3Error> {
        let EncryptionChange {
            algorithm,
            kms_key_id,
            bucket_key_enabled,
            blocked,
        } = change;
        let kms = matches!(
            algorithm,
            Some(SseAlgorithm::AwsKms | SseAlgorithm::AwsKmsDsse)
        );
        if kms_key_id.is_some() && !kms {
            return Err(SseError::KmsKeyWithoutKms.into());
        }
        self.change_bucket(&entry, |bucket| {
            let encryption = &mut bucket.encryption;
            if let Some(algorithm) = algorithm {
                encryption.algorithm = algorithm;
                encryption.kms_key_id.clone_from(&kms_key_id);
                encryption.bucket_key_enabled = bucket_key_enabled;
                encryption.explicitly_set = true;
            }
            if let Some(blocked) = blocked {
                encryption.blocked = blocked;
            }
        })
    }

    /// Resets the default encryption to SSE-S3. Whether SSE-C is blocked stays as it is: that is a
    /// protection of its own, and removing it must be asked for.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchBucket`].
    pub fn delete_bucket_encryption(
        &self,
        entry: Entry<actions::PutEncryptionConfiguration>,
    ) -> Result<(), S3Error> {
        self.change_bucket(&entry, |bucket| {
            let blocked = bucket.encryption.blocked;
            bucket.encryption = BucketEncryption {
                blocked,
                ..unset_encryption()
            };
        })
    }

    /// Replaces the bucket's tag set.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchBucket`].
    pub fn put_bucket_tagging(
        &self,
        entry: Entry<actions::PutBucketTagging>,
        tags: TagSet,
    ) -> Result<(), S3Error> {
        self.change_bucket(&entry, |bucket| bucket.tags = Some(tags.clone()))
    }

    /// Removes the bucket's tag set.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchBucket`].
    pub fn delete_bucket_tagging(
        &self,
        entry: Entry<actions::PutBucketTagging>,
    ) -> Result<(), S3Error> {
        self.change_bucket(&entry, |bucket| bucket.tags = None)
    }

    /// The bucket that the request entered, as it is now, and its row's version. Another bucket of
    /// the same name is not it.
    pub(crate) fn same_bucket(
        &self,
        entered: &BucketView,
    ) -> Result<(BucketView, RowVersion), S3Error> {
        let now = self.read_bucket(&entered.name)?;
        now.filter(|(bucket, _)| bucket.uid == entered.uid)
            .ok_or_else(|| S3Error::NoSuchBucket(entered.name.clone()))
    }

    pub(crate) fn change_bucket<A: strongroom_policy::Action>(
        &self,
        entry: &Entry<A>,
        change: impl Fn(&mut BucketView),
    ) -> Result<(), S3Error> {
        self.try_change_bucket(entry, |bucket| {
            change(bucket);
            Ok(())
        })
    }

    /// As [`S3::change_bucket`], for changes that may be refused by what the bucket is.
    pub(crate) fn try_change_bucket<A: strongroom_policy::Action>(
        &self,
        entry: &Entry<A>,
        change: impl Fn(&mut BucketView) -> Result<(), S3Error>,
    ) -> Result<(), S3Error> {
        let entered = entry.bucket().ok_or(S3Error::Unavailable)?;
        let row_key = keys::bucket(&entered.name);
        until_undisturbed(|| {
            let (mut bucket, version) = self.same_bucket(entered)?;
            change(&mut bucket)?;
            let row = self.seal_row(Table::BUCKETS, &row_key, &BucketRow::from_view(&bucket));
            let transaction = Transaction::new()
                .expect(Table::BUCKETS, row_key.clone(), Some(version))
                .put(Table::BUCKETS, row_key.clone(), row);
            self.ports.meta.commit(transaction).wait()?;
            Ok(())
        })
    }

    fn count_buckets(&self, owner: AccountId) -> Result<usize, S3Error> {
        let mut count = 0;
        self.each_bucket(Bytes::new(), None, |bucket| {
            count += usize::from(bucket.owner == owner);
            count < BUCKETS_PER_ACCOUNT_MAX
        })?;
        Ok(count)
    }

    /// Shows buckets in order of name until `visit` has seen enough.
    pub(crate) fn each_bucket(
        &self,
        mut start: Bytes,
        end: Option<Bytes>,
        mut visit: impl FnMut(BucketView) -> bool,
    ) -> Result<(), S3Error> {
        while end.as_ref().is_none_or(|end| start < *end) {
            let scan = Scan {
                table: Table::BUCKETS,
                start,
                end: end.clone(),
                limit: 256,
                reverse: false,
            };
            let page = self.ports.meta.scan(&scan)?;
            for row in &page.rows {
                let name = std::str::from_utf8(&row.key).ok();
                let name = name.and_then(|name| BucketName::parse(name).ok());
                let bucket = self.open_scanned::<BucketRow>(Table::BUCKETS, row)?;
                let bucket = name.and_then(|name| bucket.into_view(&name));
                if !visit(bucket.ok_or(S3Error::Damaged)?) {
                    return Ok(());
                }
            }
            match page.rows.last() {
                Some(last) if page.more => start = keys::behind(&last.key),
                _ => return Ok(()),
            }
        }
        Ok(())
    }
}

/// The default encryption of a bucket for which nobody set one.
const fn unset_encryption() -> BucketEncryption {
    BucketEncryption {
        algorithm: SseAlgorithm::Aes256,
        kms_key_id: None,
        bucket_key_enabled: false,
        blocked: BlockedEncryption::None,
        explicitly_set: false,
    }
}
