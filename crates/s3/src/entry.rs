//! A request that has been let in: who asks, at what, and the proof that they may.

use std::sync::Arc;

use strongroom_policy::{Action, Authorized, Conditions};
use strongroom_ports::RowVersion;
use strongroom_types::{BucketUid, ObjectKey, RequestContext};

use crate::{BucketView, S3Error};

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
    pub(crate) proof: Authorized<A>,
}

impl<A: Action> Entry<A> {
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
