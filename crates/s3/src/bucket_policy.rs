//! Bucket policies and the public access block: how they are kept.

#![expect(
    clippy::needless_pass_by_value,
    reason = "an entry and its input are good for one operation"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use strongroom_policy::bucket_policy::{self, BucketPolicyError};
use strongroom_policy::{Action, Authorized, Denied, PolicyDocument, actions, is_public, pinning};
use strongroom_ports::{Entropy, RowVersion, Table, Transaction};
use strongroom_rows::until_undisturbed;
use strongroom_types::{BucketName, Principal};

use crate::rows::{BucketRow, PolicyRow};
use crate::{BucketView, Entry, S3, S3Error, keys};

/// The identity of one policy of one bucket: another text is another policy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PolicyUid([u8; 16]);

impl PolicyUid {
    /// A new one.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A bucket's policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BucketPolicy {
    /// As it was sent.
    pub text: String,
    /// With users and roles by their unique ids, where it names any.
    pub pinned: Option<String>,
    /// Whether it gives something to everybody.
    pub is_public: bool,
}

impl BucketPolicy {
    fn new(text: String, pinned: Option<String>) -> Self {
        // A text that is no policy gives nothing.
        let is_public = PolicyDocument::parse(&text).is_ok_and(|document| is_public(&document));
        Self {
            text,
            pinned,
            is_public,
        }
    }

    /// Whether the block public access settings keep this caller out, whatever the policy says:
    /// with `RestrictPublicBuckets`, a public policy serves nobody but the owner's account and
    /// services.
    pub(crate) fn is_kept_from(&self, caller: &Principal, bucket: &BucketView) -> bool {
        let is_served = match caller {
            Principal::Service { .. } => true,
            Principal::Root { .. }
            | Principal::User { .. }
            | Principal::RoleSession { .. }
            | Principal::Federated { .. }
            | Principal::Anonymous => caller.account() == Some(bucket.owner),
        };
        self.is_public && bucket.blocks().restrict_public_buckets && !is_served
    }

    /// The text by which is decided.
    pub fn decides(&self) -> &str {
        self.pinned.as_deref().unwrap_or(&self.text)
    }
}

/// What a bucket blocks of what is public (S3 API Reference, PublicAccessBlockConfiguration).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "AWS's four settings, each for itself"
)]
pub struct PublicAccessBlock {
    /// Public ACLs cannot be set.
    pub block_public_acls: bool,
    /// Public ACLs count for nothing.
    pub ignore_public_acls: bool,
    /// Public policies cannot be set.
    pub block_public_policy: bool,
    /// A public policy serves nobody outside of the owner's account but services.
    pub restrict_public_buckets: bool,
}

const CONFIGURED: u8 = 16;

impl PublicAccessBlock {
    /// As new buckets have it.
    pub const ALL: Self = Self {
        block_public_acls: true,
        ignore_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
    };

    /// As it is where the configuration was removed.
    pub const NONE: Self = Self {
        block_public_acls: false,
        ignore_public_acls: false,
        block_public_policy: false,
        restrict_public_buckets: false,
    };

    pub(crate) fn to_bits(block: Option<Self>) -> u8 {
        let Some(Self {
            block_public_acls,
            ignore_public_acls,
            block_public_policy,
            restrict_public_buckets,
        }) = block
        else {
            return 0;
        };
        CONFIGURED
            | u8::from(block_public_acls)
            | u8::from(ignore_public_acls) << 1
            | u8::from(block_public_policy) << 2
            | u8::from(restrict_public_buckets) << 3
    }

    /// The inner `None` is a configuration that was removed.
    #[expect(
        clippy::option_option,
        reason = "bits that say nothing are not those that say: none"
    )]
    pub(crate) fn from_bits(bits: u8) -> Option<Option<Self>> {
        match bits {
            0 => Some(None),
            16..=31 => Some(Some(Self {
                block_public_acls: bits & 1 != 0,
                ignore_public_acls: bits & 2 != 0,
                block_public_policy: bits & 4 != 0,
                restrict_public_buckets: bits & 8 != 0,
            })),
            _ => None,
        }
    }
}

impl BucketView {
    /// What of what is public is blocked.
    pub fn blocks(&self) -> PublicAccessBlock {
        self.public_access_block.unwrap_or(PublicAccessBlock::NONE)
    }
}

/// Policies read lately. A policy never changes under its identity, so one that is remembered is
/// the one that is stored.
#[derive(Default)]
pub(crate) struct KnownPolicies(RwLock<BTreeMap<PolicyUid, Arc<BucketPolicy>>>);

/// Policies that are remembered at most: 10 MiB if each is as long as it can be.
const KNOWN_MAX: usize = 256;

impl KnownPolicies {
    fn find(&self, uid: PolicyUid) -> Option<Arc<BucketPolicy>> {
        self.0.read().get(&uid).cloned()
    }

    fn keep(&self, uid: PolicyUid, policy: &Arc<BucketPolicy>) {
        let mut known = self.0.write();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(uid, Arc::clone(policy));
    }
}

/// How often a bucket is read again whose policy was replaced meanwhile.
const READS_MAX: usize = 8;

pub(crate) type Found = (BucketView, RowVersion, Option<Arc<BucketPolicy>>);

impl S3 {
    /// The bucket of that name, its row's version, and the policy that it had then.
    pub(crate) fn read_bucket_and_policy(
        &self,
        name: &BucketName,
    ) -> Result<Option<Found>, S3Error> {
        let mut before = None;
        for _ in 0..READS_MAX {
            let Some((bucket, version)) = self.read_bucket(name)? else {
                return Ok(None);
            };
            let Some(uid) = bucket.policy else {
                return Ok(Some((bucket, version, None)));
            };
            if let Some(policy) = self.read_policy(&bucket, uid)? {
                return Ok(Some((bucket, version, Some(policy))));
            }
            if before == Some(version) {
                tracing::error!(bucket = %name, "the bucket's policy is missing");
                return Err(S3Error::Damaged);
            }
            before = Some(version);
        }
        Err(S3Error::Contention)
    }

    /// The policy of a bucket; `None` if it has none.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::Contention`] if it was replaced since `bucket` was read; [`S3Error::Damaged`].
    pub fn policy_of(&self, bucket: &BucketView) -> Result<Option<Arc<BucketPolicy>>, S3Error> {
        let Some(uid) = bucket.policy else {
            return Ok(None);
        };
        let policy = self.read_policy(bucket, uid)?;
        policy.map(Some).ok_or(S3Error::Contention)
    }

    fn read_policy(
        &self,
        bucket: &BucketView,
        uid: PolicyUid,
    ) -> Result<Option<Arc<BucketPolicy>>, S3Error> {
        if let Some(known) = self.known_policies.find(uid) {
            return Ok(Some(known));
        }
        let row_key = keys::bucket_policy(bucket.uid, uid);
        let found = self.read_row::<PolicyRow>(Table::BUCKET_POLICIES, &row_key)?;
        Ok(found.map(|(PolicyRow { text, pinned }, _)| {
            let policy = Arc::new(BucketPolicy::new(text, pinned));
            self.known_policies.keep(uid, &policy);
            policy
        }))
    }

    /// PutBucketPolicy: replaces the bucket's policy. Unless `may_lock_out`, the policy must leave
    /// the caller the right to replace it again. Blocks until it is durable.
    ///
    /// # Errors
    ///
    /// [`S3Error::MalformedPolicy`]; [`S3Error::AccessDenied`] where the bucket blocks public
    /// policies and this is one; [`S3Error::NoSuchBucket`], [`S3Error::Contention`],
    /// [`S3Error::NoSpace`].
    pub fn put_bucket_policy(
        &self,
        entry: Entry<actions::PutBucketPolicy>,
        text: String,
        may_lock_out: bool,
    ) -> Result<(), S3Error> {
        let bucket = entry.bucket().ok_or(S3Error::Unavailable)?;
        let checked = bucket_policy::check(&text, &bucket.name, &*self.ports.principals);
        let checked = checked.map_err(|error| match error {
            BucketPolicyError::Malformed(text) => S3Error::MalformedPolicy(text),
            BucketPolicyError::Unreadable(_) | _ => S3Error::Unavailable,
        })?;
        let policy = BucketPolicy::new(text, checked.pinned);
        if !may_lock_out {
            let kept = Authorized::<actions::PutBucketPolicy>::check_with(
                &*self.ports.authorizer,
                entry.context(),
                entry.proof().resource().clone(),
                &entry.conditions,
                Some(policy.decides()),
                None,
            );
            kept.map_err(|_| {
                S3Error::MalformedPolicy(
                    "The new bucket policy will not allow you to update the bucket policy in the \
                     future.",
                )
            })?;
        }
        self.set_policy(&entry, Some(&policy))
    }

    /// GetBucketPolicy: the policy as it was put, but for principals that are no more, which are
    /// shown by their unique ids; `None` if there is none. Blocks.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchBucket`], [`S3Error::Damaged`], [`S3Error::Unavailable`].
    pub fn get_bucket_policy(
        &self,
        entry: Entry<actions::GetBucketPolicy>,
    ) -> Result<Option<String>, S3Error> {
        let Some(policy) = self.entered_policy(&entry)? else {
            return Ok(None);
        };
        let BucketPolicy { text, pinned, .. } = &*policy;
        let shown = pinning::shown(text, pinned.as_deref(), &*self.ports.principals);
        shown.map(Some).map_err(|_| S3Error::Unavailable)
    }

    /// GetBucketPolicyStatus: whether the policy is public; `None` if there is none. Blocks.
    ///
    /// # Errors
    ///
    /// As [`S3::get_bucket_policy`].
    pub fn get_bucket_policy_status(
        &self,
        entry: Entry<actions::GetBucketPolicyStatus>,
    ) -> Result<Option<bool>, S3Error> {
        let policy = self.entered_policy(&entry)?;
        Ok(policy.map(|policy| policy.is_public))
    }

    fn entered_policy<A: Action>(
        &self,
        entry: &Entry<A>,
    ) -> Result<Option<Arc<BucketPolicy>>, S3Error> {
        let entered = entry.bucket().ok_or(S3Error::Unavailable)?;
        let found = self.read_bucket_and_policy(&entered.name)?;
        let (_, _, policy) = found
            .filter(|(bucket, ..)| bucket.uid == entered.uid)
            .ok_or_else(|| S3Error::NoSuchBucket(entered.name.clone()))?;
        Ok(policy)
    }

    /// Removes the bucket's policy, if it has one. Blocks until it is durable.
    ///
    /// # Errors
    ///
    /// As [`S3::put_bucket_policy`].
    pub fn delete_bucket_policy(
        &self,
        entry: Entry<actions::DeleteBucketPolicy>,
    ) -> Result<(), S3Error> {
        self.set_policy(&entry, None)
    }

    fn set_policy<A: Action>(
        &self,
        entry: &Entry<A>,
        policy: Option<&BucketPolicy>,
    ) -> Result<(), S3Error> {
        let entered = entry.bucket().ok_or(S3Error::Unavailable)?;
        let bucket_key = keys::bucket(&entered.name);
        until_undisturbed(|| {
            let (mut bucket, version) = self.same_bucket(entered)?;
            let transaction =
                Transaction::new().expect(Table::BUCKETS, bucket_key.clone(), Some(version));
            let mut transaction = without_policy(transaction, &bucket);
            bucket.policy = None;
            if let Some(policy) = policy {
                if policy.is_public && bucket.blocks().block_public_policy {
                    return Err(public_policies_are_blocked(entry));
                }
                let uid = PolicyUid::random(&*self.ports.entropy);
                let row_key = keys::bucket_policy(bucket.uid, uid);
                let row = PolicyRow {
                    text: policy.text.clone(),
                    pinned: policy.pinned.clone(),
                };
                let row = self.seal_row(Table::BUCKET_POLICIES, &row_key, &row);
                transaction = transaction.put(Table::BUCKET_POLICIES, row_key, row);
                bucket.policy = Some(uid);
            }
            let row = self.seal_row(Table::BUCKETS, &bucket_key, &BucketRow::from_view(&bucket));
            let transaction = transaction.put(Table::BUCKETS, bucket_key.clone(), row);
            self.commit_told(entry, bucket.owner, transaction)
        })
    }

    /// Sets or, with `None`, removes the public access block. Blocks until it is durable.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchBucket`], [`S3Error::Contention`], [`S3Error::NoSpace`].
    pub fn put_public_access_block(
        &self,
        entry: Entry<actions::PutBucketPublicAccessBlock>,
        block: Option<PublicAccessBlock>,
    ) -> Result<(), S3Error> {
        self.change_bucket(&entry, |bucket| bucket.public_access_block = block)
    }
}

fn public_policies_are_blocked<A: Action>(entry: &Entry<A>) -> S3Error {
    let message = format!(
        "User: {} is not authorized to perform: {} on resource: \"{}\" because public policies are \
         blocked by the BlockPublicPolicy block public access setting.",
        entry.context().principal.arn(),
        A::NAME,
        entry.proof().resource().arn(),
    );
    Denied {
        message,
        is_implicit: false,
    }
    .into()
}

/// Adds to `transaction` that the bucket's policy goes.
pub(crate) fn without_policy(transaction: Transaction, bucket: &BucketView) -> Transaction {
    match bucket.policy {
        Some(uid) => {
            transaction.delete(Table::BUCKET_POLICIES, keys::bucket_policy(bucket.uid, uid))
        }
        None => transaction,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_public_access_block_survives_its_bits() {
        assert_eq!(PublicAccessBlock::from_bits(0), Some(None));
        for bits in 16..=31 {
            let block = PublicAccessBlock::from_bits(bits).unwrap();
            assert_eq!(PublicAccessBlock::to_bits(block), bits);
        }
        for bits in [1, 15, 32, 255] {
            assert_eq!(PublicAccessBlock::from_bits(bits), None);
        }
        assert_eq!(PublicAccessBlock::to_bits(Some(PublicAccessBlock::ALL)), 31);
    }
}
