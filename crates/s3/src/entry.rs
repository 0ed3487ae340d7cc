//! A request that has been let in: who asks, at what, and the proof that they may.

use std::sync::Arc;

use strongroom_policy::{Action, Authorized, Conditions};
use strongroom_ports::RowVersion;
use strongroom_types::{BucketUid, ObjectKey, RequestContext, VersionUid};

use crate::lookup::FoundVersion;
use crate::{BucketView, ChangeRecord, S3Error};

/// An authenticated, authorized request standing at an account, a bucket or an object.
///
/// Made only by [`crate::S3::enter_account`], [`crate::S3::enter_bucket`],
/// [`crate::S3::enter_object`] and their kin; every operation consumes one, so none can be called unchecked, and
/// none can be called for another resource than the one that was decided about.
#[derive(Debug)]
pub struct Entry<A: Action> {
    pub(crate) context: Arc<RequestContext>,
    /// What the request said, as far as it was decided by.
    pub(crate) conditions: Conditions,
    pub(crate) bucket: Option<Arc<BucketView>>,
    /// The version of the bucket's row then, so that a write need not read it once more.
    pub(crate) bucket_version: Option<RowVersion>,
    pub(crate) key: Option<ObjectKey>,
    pub(crate) decided_by: DecidedBy,
    /// Whose tags had a part in the decision, if any had.
    pub(crate) tags_of: Option<TagsOf>,
    /// The call's record, which the change of a bucket takes along.
    pub(crate) record: Option<Arc<dyn ChangeRecord>>,
    pub(crate) proof: Authorized<A>,
}

/// By which object's access control list a request was let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DecidedBy {
    /// By none: lists do not count, or objects' have no part in it.
    NoList,
    /// By that of this version; `None`: there was no object.
    ListOf(Option<VersionUid>),
}

/// What had the tags by which a request was let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TagsOf {
    /// There was no object.
    Nothing,
    /// A version, as its row was then: tags can change without a new version.
    Version(VersionUid, RowVersion),
}

impl TagsOf {
    pub(crate) fn of(found: &FoundVersion) -> Self {
        Self::Version(found.row.uid(), found.stored)
    }
}

impl<A: Action> Entry<A> {
    /// Holds what an operation found against what was decided about: another version may have
    /// another owner, another list and other tags.
    ///
    /// # Errors
    ///
    /// [`S3Error::Contention`] if the object was replaced since then, or its row was where its tags
    /// had a part.
    pub(crate) fn check_decided(&self, found: &FoundVersion) -> Result<(), S3Error> {
        if self
            .tags_of
            .is_some_and(|tags_of| tags_of != TagsOf::of(found))
        {
            return Err(S3Error::Contention);
        }
        match self.decided_by {
            DecidedBy::NoList => Ok(()),
            DecidedBy::ListOf(decided) if decided == Some(found.row.uid()) => Ok(()),
            DecidedBy::ListOf(_) => Err(S3Error::Contention),
        }
    }

    /// The request.
    pub fn context(&self) -> &Arc<RequestContext> {
        &self.context
    }

    /// The bucket, as it was when the request entered; `None` for account operations.
    pub fn bucket(&self) -> Option<&Arc<BucketView>> {
        self.bucket.as_ref()
    }

    /// The object key; `None` for account and bucket operations.
    pub fn key(&self) -> Option<&ObjectKey> {
        self.key.as_ref()
    }

    /// The proof of authorization.
    pub fn proof(&self) -> &Authorized<A> {
        &self.proof
    }

    /// The bucket and key that an object operation stands at.
    pub(crate) fn object(&self) -> Result<(&Arc<BucketView>, &ObjectKey), S3Error> {
        // Entries of object operations are made by `enter_object` alone, which sets both.
        self.bucket
            .as_ref()
            .zip(self.key.as_ref())
            .ok_or(S3Error::Unavailable)
    }

    pub(crate) fn bucket_uid(&self) -> Option<BucketUid> {
        self.bucket.as_ref().map(|bucket| bucket.uid)
    }
}
