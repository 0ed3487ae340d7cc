//! GetBucketAcl, PutBucketAcl, GetObjectAcl, PutObjectAcl, and the ownership controls of buckets.

#![expect(
    clippy::needless_pass_by_value,
    reason = "an entry and its input are good for one operation"
)]

use strongroom_policy::actions::{
    GetBucketAcl, GetBucketOwnershipControls, GetObjectAcl, PutBucketAcl,
    PutBucketOwnershipControls, PutObject, PutObjectAcl,
};
use strongroom_ports::{Table, Transaction};
use strongroom_types::{Acl, CannedAcl, ObjectOwnership, Principal, VersionId};

use crate::acls::{NewOwner, WantedAcl, acl_to_rows};
use crate::{AclRefusal, BucketView, Entry, LOGGING_SERVICE, S3, S3Error};

impl S3 {
    /// GetBucketAcl: the list that counts.
    ///
    /// # Errors
    ///
    /// [`S3Error::Unavailable`].
    pub fn get_bucket_acl(&self, entry: Entry<GetBucketAcl>) -> Result<Acl, S3Error> {
        Ok(entry.bucket().ok_or(S3Error::Unavailable)?.acl())
    }

    /// PutBucketAcl. Blocks until it is durable.
    ///
    /// # Errors
    ///
    /// [`S3Error::Acl`], [`S3Error::AccessDenied`] for a public list where they are blocked and for
    /// one that names another owner; [`S3Error::NoSuchBucket`].
    pub fn put_bucket_acl(
        &self,
        entry: Entry<PutBucketAcl>,
        wanted: WantedAcl,
    ) -> Result<(), S3Error> {
        self.check_grantees(entry.bucket().ok_or(S3Error::Unavailable)?, &wanted)?;
        self.try_change_bucket(&entry, |bucket| {
            let acl = bucket.replaced_own_acl(&wanted)?;
            // Where lists do not count, what was stored before goes on waiting.
            if bucket.object_ownership().has_acls() {
                bucket.stored_acl = acl;
            }
            Ok(())
        })
    }

    /// GetObjectAcl: the list that counts, and the version where the bucket has versions. Blocks.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchKey`], [`S3Error::NoSuchVersion`], [`S3Error::IsDeleteMarker`],
    /// [`S3Error::Damaged`], [`S3Error::Unavailable`].
    pub fn get_object_acl(
        &self,
        entry: Entry<GetObjectAcl>,
        version: Option<VersionId>,
    ) -> Result<(Acl, Option<VersionId>), S3Error> {
        let (bucket, key) = entry.object()?;
        let (found, _) = self.existing_object(bucket, key, version)?;
        entry.check_decided(&found)?;
        Ok((bucket.acl_of(&found.row)?, found.shown_id(bucket)))
    }

    /// PutObjectAcl. Blocks until it is durable.
    ///
    /// # Errors
    ///
    /// As [`S3::get_object_acl`] and [`S3::put_bucket_acl`]; [`S3Error::Contention`].
    pub fn put_object_acl(
        &self,
        entry: Entry<PutObjectAcl>,
        version: Option<VersionId>,
        wanted: WantedAcl,
    ) -> Result<Option<VersionId>, S3Error> {
        let (entered, key) = entry.object()?;
        self.check_grantees(entered, &wanted)?;
        self.commit_retrying(|attempt| {
            let (bucket, _) = self.bucket_for_attempt(entered, entry.bucket_version, attempt)?;
            let (mut found, object) = self.existing_object(&bucket, key, version)?;
            entry.check_decided(&found)?;
            found.row.object = Some(object);
            let owner = bucket.owner_of(&found.row.owner)?;
            let acl = bucket.replaced_acl(&owner, &wanted)?;
            let shown = found.shown_id(&bucket);
            if !bucket.object_ownership().has_acls() {
                return Ok((Transaction::new(), shown));
            }
            found.row.acl = acl.as_ref().map(acl_to_rows);
            let sealed = self.seal_row(Table::VERSIONS, &found.row_key, &found.row);
            let transaction = Transaction::new()
                .expect(Table::VERSIONS, found.row_key.clone(), Some(found.stored))
                .put(Table::VERSIONS, found.row_key, sealed);
            Ok((transaction, shown))
        })
    }

    /// GetBucketOwnershipControls.
    ///
    /// # Errors
    ///
    /// [`AclRefusal::NoOwnershipControls`].
    pub fn get_bucket_ownership_controls(
        &self,
        entry: Entry<GetBucketOwnershipControls>,
    ) -> Result<ObjectOwnership, S3Error> {
        let bucket = entry.bucket().ok_or(S3Error::Unavailable)?;
        Ok(bucket.ownership.ok_or(AclRefusal::NoOwnershipControls)?)
    }

    /// PutBucketOwnershipControls. Blocks until it is durable.
    ///
    /// # Errors
    ///
    /// [`AclRefusal::ReachesBeyondOwner`] where lists are to count no longer and the bucket's gives
    /// something to others: they would lose it unseen.
    pub fn put_bucket_ownership_controls(
        &self,
        entry: Entry<PutBucketOwnershipControls>,
        ownership: ObjectOwnership,
    ) -> Result<(), S3Error> {
        self.try_change_bucket(&entry, |bucket| {
            if !ownership.has_acls() && reaches_beyond_owner(bucket) {
                return Err(AclRefusal::ReachesBeyondOwner.into());
            }
            bucket.ownership = Some(ownership);
            Ok(())
        })
    }

    /// DeleteBucketOwnershipControls: who writes an object owns it then. Blocks until it is durable.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchBucket`].
    pub fn delete_bucket_ownership_controls(
        &self,
        entry: Entry<PutBucketOwnershipControls>,
    ) -> Result<(), S3Error> {
        self.try_change_bucket(&entry, |bucket| {
            bucket.ownership = None;
            Ok(())
        })
    }

    /// Whose the object becomes that a request writes, and under which list. Who names a list must
    /// be allowed to write it (S3 API Reference, PutObject: "s3:PutObjectAcl").
    ///
    /// Blocks only where the request names one.
    ///
    /// # Errors
    ///
    /// [`S3Error::Acl`], [`S3Error::AccessDenied`].
    pub(crate) fn owner_of_new(
        &self,
        entry: &Entry<PutObject>,
        wanted: &WantedAcl,
    ) -> Result<NewOwner, S3Error> {
        let (bucket, _) = entry.object()?;
        let writer = entry.context().canonical_id.as_ref();
        // A service owns nothing, so that this list says what is so anyway; the policies that services
        // ask for allow s3:PutObject only (CloudTrail User Guide, "Amazon S3 bucket policy").
        let says_nothing = *wanted == WantedAcl::Canned(CannedAcl::BucketOwnerFullControl)
            && matches!(entry.context().principal, Principal::Service { .. });
        if *wanted != WantedAcl::Unspecified && !says_nothing {
            // As its writer's: if it is given to the bucket's owner, that is by this list.
            let owner = bucket.new_owner(&WantedAcl::Unspecified, writer);
            match self.decide_list_of_new(entry, owner) {
                // Who lets the log in lets in its lists, too: the policies that S3 asks for allow
                // s3:PutObject only (S3 User Guide, "Permissions for log delivery"). A statement that
                // denies lists denies these.
                Err(S3Error::AccessDenied(denied)) if denied.is_implicit && is_log(entry) => {}
                decided => decided?,
            }
            self.check_grantees(bucket, wanted)?;
        }
        bucket.owner_of_new(wanted, writer)
    }

    /// The list of a bucket that is about to be made.
    ///
    /// # Errors
    ///
    /// [`AclRefusal::ReachesBeyondOwner`], [`AclRefusal::Public`], and those of PutBucketAcl.
    pub(crate) fn acl_of_new_bucket(
        &self,
        bucket: &BucketView,
        wanted: &WantedAcl,
    ) -> Result<Option<Acl>, S3Error> {
        self.check_grantees(bucket, wanted)?;
        let Some(acl) = bucket.wished(&bucket.owner_canonical_id, wanted)? else {
            return Ok(None);
        };
        if !bucket.object_ownership().has_acls() && acl.reaches_beyond(&acl.owner) {
            return Err(AclRefusal::ReachesBeyondOwner.into());
        }
        if acl.is_public() && bucket.blocks().block_public_acls {
            return Err(AclRefusal::Public.into());
        }
        Ok(Some(acl))
    }

    /// Grants are to accounts that are here.
    fn check_grantees(&self, bucket: &BucketView, wanted: &WantedAcl) -> Result<(), S3Error> {
        for (id, place) in wanted.accounts() {
            if *id == bucket.owner_canonical_id {
                continue;
            }
            let account = self.ports.principals.account_of(id);
            if account.map_err(|_| S3Error::Damaged)?.is_none() {
                let id = id.clone();
                return Err(AclRefusal::NoSuchGrantee { id, place }.into());
            }
        }
        Ok(())
    }
}

/// Whether S3 itself writes it: the access log of a bucket.
fn is_log(entry: &Entry<PutObject>) -> bool {
    matches!(&entry.context().principal, Principal::Service { name, .. } if **name == *LOGGING_SERVICE)
}

/// Whether the bucket's stored list gives something to others than its owner.
fn reaches_beyond_owner(bucket: &BucketView) -> bool {
    let acl = bucket.stored_acl.as_ref();
    acl.is_some_and(|acl| acl.reaches_beyond(&bucket.owner_canonical_id))
}
