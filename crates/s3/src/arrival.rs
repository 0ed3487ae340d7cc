//! How a request gets in: what it says of itself, and the decision about it.

use std::sync::Arc;

use strongroom_policy::{
    Action, ActionOnVersion, Authorized, Authorizer, Conditions, Denied, Resource,
};
use strongroom_types::limits::OBJECT_TAGS_MAX;
use strongroom_types::{AccountId, BucketName, ObjectKey, RequestContext, UploadId, VersionId};

use crate::convert::tags_from_rows;
use crate::{BucketView, Entry, S3, S3Error};

/// A request that has yet to be let in.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Who asks, from where.
    pub context: Arc<RequestContext>,
    /// What the request says, as it was sent: nothing of it is a bucket's default.
    pub conditions: Conditions,
}

impl From<Arc<RequestContext>> for Arrival {
    /// A request that says nothing that a policy could ask for.
    fn from(context: Arc<RequestContext>) -> Self {
        Self {
            context,
            conditions: Conditions::default(),
        }
    }
}

/// What a request is addressed to.
struct Place<'a> {
    bucket: &'a BucketName,
    key: Option<&'a ObjectKey>,
    expected_owner: Option<AccountId>,
    late: Late,
}

/// Where the values of condition keys are that neither the request nor the bucket tells: read only
/// if the decision depends on them.
#[derive(Clone, Copy)]
enum Late {
    /// Nowhere but in the key service, which knows what an alias stands for.
    Nowhere,
    /// In the object's tags.
    Tags(Option<VersionId>),
    /// In what was said when the upload was created.
    Upload(UploadId),
}

const ENCRYPTION: &str = "s3:x-amz-server-side-encryption";
const KMS_KEY: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
const EXISTING_TAG: &str = "s3:existingobjecttag/";

impl Late {
    const fn prefixes(self) -> &'static [&'static str] {
        match self {
            Self::Nowhere => &[KMS_KEY],
            Self::Tags(_) => &[EXISTING_TAG],
            // Of a customer's key too, of which the request itself must speak: then it is looked
            // for twice, and found as little as before.
            Self::Upload(_) => &[ENCRYPTION],
        }
    }
}

/// Where a request that names its KMS key by an alias says so. No policy can ask for it: policies
/// speak of the key that the alias stands for.
pub const NAMED_KMS_KEY: &str = "strongroom:named-kms-key";

/// How an authorizer is asked: for the action, or for the one on versions.
type Ask<A> = fn(
    &dyn Authorizer,
    &RequestContext,
    Resource,
    &Conditions,
    Option<&str>,
) -> Result<Authorized<A>, Denied>;

impl S3 {
    /// Lets a request in to an account-level operation.
    ///
    /// # Errors
    ///
    /// [`S3Error::AccessDenied`].
    pub fn enter_account<A: Action>(
        &self,
        arrival: impl Into<Arrival>,
    ) -> Result<Entry<A>, S3Error> {
        let arrival = arrival.into();
        let account = account_of(&arrival)?;
        self.enter_without_bucket(arrival, Resource::Account { account })
    }

    /// Lets a request in that makes a bucket of that name.
    ///
    /// # Errors
    ///
    /// [`S3Error::AccessDenied`].
    pub fn enter_new_bucket<A: Action>(
        &self,
        arrival: impl Into<Arrival>,
        name: &BucketName,
    ) -> Result<Entry<A>, S3Error> {
        let arrival = arrival.into();
        let resource = Resource::Bucket {
            name: name.clone(),
            owner: account_of(&arrival)?,
        };
        self.enter_without_bucket(arrival, resource)
    }

    fn enter_without_bucket<A: Action>(
        &self,
        arrival: Arrival,
        resource: Resource,
    ) -> Result<Entry<A>, S3Error> {
        let Arrival {
            context,
            conditions,
        } = arrival;
        let authorizer = &*self.ports.authorizer;
        let proof = Authorized::check_with(authorizer, &context, resource, &conditions, None)?;
        Ok(Entry {
            context,
            conditions,
            bucket: None,
            bucket_version: None,
            key: None,
            proof,
        })
    }

    /// Lets a request in to a bucket operation: the bucket exists, has the expected owner, and the
    /// caller may.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchBucket`], [`S3Error::UnexpectedBucketOwner`], [`S3Error::AccessDenied`].
    pub fn enter_bucket<A: Action>(
        &self,
        arrival: impl Into<Arrival>,
        name: &BucketName,
        expected_owner: Option<AccountId>,
    ) -> Result<Entry<A>, S3Error> {
        let place = Place {
            bucket: name,
            key: None,
            expected_owner,
            late: Late::Nowhere,
        };
        self.enter(arrival.into(), &place, Authorized::check_with)
    }

    /// Lets a request in to an object operation that does not look at what the object is.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// As [`S3::enter_bucket`]. Whether the object exists is the operation's business.
    pub fn enter_object<A: Action>(
        &self,
        arrival: impl Into<Arrival>,
        name: &BucketName,
        key: &ObjectKey,
        expected_owner: Option<AccountId>,
    ) -> Result<Entry<A>, S3Error> {
        let place = Place {
            bucket: name,
            key: Some(key),
            expected_owner,
            late: Late::Nowhere,
        };
        self.enter(arrival.into(), &place, Authorized::check_with)
    }

    /// Lets a request in to an operation on an object's current version, or on one that it names:
    /// then the action on versions is what the caller must be allowed.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// As [`S3::enter_object`].
    pub fn enter_version<A: ActionOnVersion>(
        &self,
        arrival: impl Into<Arrival>,
        name: &BucketName,
        key: &ObjectKey,
        version: Option<VersionId>,
        expected_owner: Option<AccountId>,
    ) -> Result<Entry<A>, S3Error> {
        let place = Place {
            bucket: name,
            key: Some(key),
            expected_owner,
            late: if A::SEES_TAGS {
                Late::Tags(version)
            } else {
                Late::Nowhere
            },
        };
        let ask = if version.is_some() {
            Authorized::check_on_version
        } else {
            Authorized::check_with
        };
        self.enter(arrival.into(), &place, ask)
    }

    /// Lets a request in to an operation on a multipart upload, which is decided with what was said
    /// of encryption when the upload was created.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// As [`S3::enter_object`].
    pub fn enter_upload<A: Action>(
        &self,
        arrival: impl Into<Arrival>,
        name: &BucketName,
        key: &ObjectKey,
        upload: UploadId,
        expected_owner: Option<AccountId>,
    ) -> Result<Entry<A>, S3Error> {
        let place = Place {
            bucket: name,
            key: Some(key),
            expected_owner,
            late: Late::Upload(upload),
        };
        self.enter(arrival.into(), &place, Authorized::check_with)
    }

    fn enter<A: Action>(
        &self,
        arrival: Arrival,
        place: &Place<'_>,
        ask: Ask<A>,
    ) -> Result<Entry<A>, S3Error> {
        let Place {
            bucket: name,
            key,
            expected_owner,
            late,
        } = *place;
        let (bucket, bucket_version, policy) = self
            .read_bucket_and_policy(name)?
            .ok_or_else(|| S3Error::NoSuchBucket(name.clone()))?;
        if let Some(expected) = expected_owner
            && expected != bucket.owner
        {
            return Err(S3Error::UnexpectedBucketOwner(expected));
        }
        let Arrival {
            context,
            conditions,
        } = arrival;
        if let Some(policy) = &policy
            && policy.is_kept_from(&context.principal, &bucket)
        {
            return Err(nobody().into());
        }
        let decide = |conditions: &Conditions| {
            let resource = match key {
                Some(key) => Resource::Object {
                    bucket: bucket.name.clone(),
                    owner: bucket.owner,
                    key: key.clone(),
                },
                None => Resource::Bucket {
                    name: bucket.name.clone(),
                    owner: bucket.owner,
                },
            };
            let policy = policy.as_ref().map(|policy| policy.decides());
            ask(
                &*self.ports.authorizer,
                &context,
                resource,
                conditions,
                policy,
            )
        };
        let mut conditions = conditions.without(late.prefixes());
        let mut outcome = decide(&conditions);
        if conditions.was_missed() {
            conditions = self.with_late(conditions.complete(), &context, &bucket, key, late)?;
            outcome = decide(&conditions);
        }
        let proof = outcome?;
        Ok(Entry {
            context,
            conditions,
            bucket: Some(Arc::new(bucket)),
            bucket_version: Some(bucket_version),
            key: key.cloned(),
            proof,
        })
    }

    /// What cannot be read is an error, so that nothing is decided as if it were not there.
    fn with_late(
        &self,
        mut conditions: Conditions,
        context: &RequestContext,
        bucket: &BucketView,
        key: Option<&ObjectKey>,
        late: Late,
    ) -> Result<Conditions, S3Error> {
        let Some(key) = key else {
            return Ok(conditions);
        };
        match late {
            Late::Nowhere => {
                if let Some(named) = conditions.get(NAMED_KMS_KEY).and_then(<[String]>::first) {
                    if self.is_resident() {
                        return Err(S3Error::NotInMemory);
                    }
                    // What cannot be resolved is no key of which a policy could speak, and is not
                    // taken for none either.
                    let key = self
                        .ports
                        .keys
                        .key_named(context, named)
                        .map_err(|_| nobody())?;
                    conditions = conditions.with(KMS_KEY, key.to_string());
                }
            }
            Late::Tags(version) => {
                let object = match self.existing_object(bucket, key, version) {
                    Ok((_, object)) => object,
                    Err(
                        S3Error::NoSuchKey { .. }
                        | S3Error::NoSuchVersion { .. }
                        | S3Error::IsDeleteMarker { .. },
                    ) => return Ok(conditions),
                    Err(error) => return Err(error),
                };
                let tags = tags_from_rows(&object.tags, OBJECT_TAGS_MAX).ok_or(S3Error::Damaged)?;
                for tag in tags.tags() {
                    conditions = conditions.with(&format!("{EXISTING_TAG}{}", tag.key), &tag.value);
                }
            }
            Late::Upload(upload) => {
                let Some(found) = self.find_upload(bucket.uid, key, upload)? else {
                    return Ok(conditions);
                };
                if let Some(encryption) = found.row.asked_encryption {
                    conditions = conditions.with(ENCRYPTION, encryption);
                }
                if let Some(kms_key) = found.row.asked_kms_key {
                    conditions = conditions.with(KMS_KEY, kms_key);
                }
            }
        }
        Ok(conditions)
    }
}

impl<A: Action> Entry<A> {
    /// What the request said of encryption, and whether it named a KMS key, for those that go on
    /// from it.
    pub(crate) fn asked_encryption(&self) -> (Option<String>, bool) {
        let encryption = self.conditions.get(ENCRYPTION);
        let named = [KMS_KEY, NAMED_KMS_KEY].iter();
        (
            encryption.and_then(<[String]>::first).cloned(),
            named
                .into_iter()
                .any(|key| self.conditions.get(key).is_some()),
        )
    }
}

/// Who has no account has nothing of one.
fn account_of(arrival: &Arrival) -> Result<AccountId, S3Error> {
    let account = arrival.context.principal.account();
    Ok(account.ok_or_else(nobody)?)
}

/// What is said to those who are told nothing.
fn nobody() -> Denied {
    Denied {
        message: "Access Denied".to_owned(),
    }
}
