//! How a request gets in: what it says of itself, and the decision about it.

use std::sync::Arc;

use strongroom_policy::actions::{
    DeleteBucket, DeleteBucketPolicy, PutBucketPolicy, PutObject, PutObjectAcl,
};
use strongroom_policy::{
    Acls, Action, ActionOnVersion, Authorized, Authorizer, Conditions, Denied, Resource,
};
use strongroom_ports::KeyError;
use strongroom_types::kms::KeyIdentifier;
use strongroom_types::limits::OBJECT_TAGS_MAX;
use strongroom_types::{
    AccountId, Acl, BucketName, CanonicalId, ObjectKey, Principal, RequestContext, UploadId,
    VersionId,
};

use crate::acls::FoundAcls;
use crate::bucket_policy::Found;
use crate::convert::tags_from_rows;
use crate::entry::{DecidedBy, TagsOf};
use crate::{BucketView, ChangeRecord, Entry, S3, S3Error};

/// A request that has yet to be let in.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Who asks, from where.
    pub context: Arc<RequestContext>,
    /// What the request says, as it was sent: nothing of it is a bucket's default.
    pub conditions: Conditions,
    /// The call's record, where it is for the change that the call asks for to make it durable.
    pub record: Option<Arc<dyn ChangeRecord>>,
}

impl From<Arc<RequestContext>> for Arrival {
    /// A request that says nothing that a policy could ask for.
    fn from(context: Arc<RequestContext>) -> Self {
        Self {
            context,
            conditions: Conditions::default(),
            record: None,
        }
    }
}

/// What a request is addressed to.
struct Place<'a> {
    bucket: &'a BucketName,
    key: Option<&'a ObjectKey>,
    expected_owner: Option<AccountId>,
    late: Late,
    /// Which version of the object, if one is named.
    version: Option<VersionId>,
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
    Option<Acls<'_>>,
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
            record,
        } = arrival;
        let authorizer = &*self.ports.authorizer;
        let proof =
            Authorized::check_with(authorizer, &context, resource, &conditions, None, None)?;
        Ok(Entry {
            context,
            conditions,
            bucket: None,
            bucket_version: None,
            key: None,
            decided_by: DecidedBy::NoList,
            tags_of: None,
            record,
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
            version: None,
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
            version: None,
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
            version,
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
            version: None,
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
            version,
        } = *place;
        let (bucket, bucket_version, policy) = self
            .read_for::<A>(&arrival.context.principal, name)?
            .ok_or_else(|| S3Error::NoSuchBucket(name.clone()))?;
        if let Some(expected) = expected_owner
            && expected != bucket.owner
        {
            return Err(S3Error::UnexpectedBucketOwner(expected));
        }
        let Arrival {
            context,
            conditions,
            record,
        } = arrival;
        if let Some(policy) = &policy
            && policy.is_kept_from(&context.principal, &bucket)
        {
            return Err(nobody().into());
        }
        let (acls, decided_by) = self.acls_for::<A>(&bucket, key, version)?;
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
                acls.as_ref().map(FoundAcls::as_asked),
            )
        };
        let mut conditions = conditions.without(late.prefixes());
        let mut outcome = decide(&conditions);
        let mut tags_of = None;
        if conditions.was_missed() {
            (conditions, tags_of) =
                self.with_late(conditions.complete(), &context, &bucket, key, late)?;
            outcome = decide(&conditions);
        }
        let proof = outcome?;
        Ok(Entry {
            context,
            conditions,
            bucket: Some(Arc::new(bucket)),
            bucket_version: Some(bucket_version),
            key: key.cloned(),
            decided_by,
            tags_of,
            record,
            proof,
        })
    }

    /// The bucket and its policy. A policy that cannot be read stops everybody, but not the owner's
    /// root user where it mends or removes it: then it has no part, as in the decision.
    fn read_for<A: Action>(
        &self,
        caller: &Principal,
        name: &BucketName,
    ) -> Result<Option<Found>, S3Error> {
        let read = self.read_bucket_and_policy(name);
        let mends = [
            PutBucketPolicy::NAME,
            DeleteBucketPolicy::NAME,
            DeleteBucket::NAME,
        ];
        if !matches!(read, Err(S3Error::Damaged)) || !mends.contains(&A::NAME) {
            return read;
        }
        match self.read_bucket(name)? {
            Some((bucket, version)) if matches!(caller, Principal::Root { account } if *account == bucket.owner) => {
                Ok(Some((bucket, version, None)))
            }
            Some(_) | None => read,
        }
    }

    /// The lists that count in a decision about `A`, if any do: the object's is read only then.
    fn acls_for<A: Action>(
        &self,
        bucket: &BucketView,
        key: Option<&ObjectKey>,
        version: Option<VersionId>,
    ) -> Result<(Option<FoundAcls>, DecidedBy), S3Error> {
        if !bucket.object_ownership().has_acls() {
            return Ok((None, DecidedBy::NoList));
        }
        let Some(key) = key.filter(|_| Acls::needs_object(A::NAME)) else {
            return Ok((FoundAcls::new(bucket, None), DecidedBy::NoList));
        };
        let found = self.find_version(bucket.uid, key, version)?;
        let found = found.filter(|found| found.row.object.is_some());
        let list = match &found {
            Some(found) => Some(bucket.acl_of(&found.row)?),
            None => None,
        };
        let decided_by = DecidedBy::ListOf(found.map(|found| found.row.uid()));
        Ok((FoundAcls::new(bucket, list), decided_by))
    }

    /// Decides whether a writer may give the object that it is about to make a list that gives
    /// something to others: as if the object were there already, as its owner's.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::AccessDenied`].
    pub(crate) fn decide_list_of_new(
        &self,
        entry: &Entry<PutObject>,
        owner: &CanonicalId,
    ) -> Result<(), S3Error> {
        let (bucket, key) = entry.object()?;
        let (bucket, _, policy) = self
            .read_bucket_and_policy(&bucket.name)?
            .filter(|(now, ..)| now.uid == bucket.uid)
            .ok_or_else(|| S3Error::NoSuchBucket(bucket.name.clone()))?;
        let acls = FoundAcls::new(&bucket, Some(Acl::private(owner.clone())));
        let resource = Resource::Object {
            bucket: bucket.name.clone(),
            owner: bucket.owner,
            key: key.clone(),
        };
        Authorized::<PutObjectAcl>::check_with(
            &*self.ports.authorizer,
            entry.context(),
            resource,
            &entry.conditions,
            policy.as_ref().map(|policy| policy.decides()),
            acls.as_ref().map(FoundAcls::as_asked),
        )?;
        Ok(())
    }

    /// The conditions with what only the store or the key service knows, and whose tags they have, if
    /// they have any. What cannot be read is an error, so that nothing is decided as if it were not
    /// there. Nothing of it is the caller's to know.
    fn with_late(
        &self,
        mut conditions: Conditions,
        context: &RequestContext,
        bucket: &BucketView,
        key: Option<&ObjectKey>,
        late: Late,
    ) -> Result<(Conditions, Option<TagsOf>), S3Error> {
        let Some(key) = key else {
            return Ok((conditions, None));
        };
        match late {
            Late::Nowhere => {
                if let Some(named) = conditions.get(NAMED_KMS_KEY).and_then(<[String]>::first) {
                    if self.is_resident() {
                        return Err(S3Error::NotInMemory);
                    }
                    let key = self.key_named(context, named)?;
                    conditions = conditions.with_found(KMS_KEY, key);
                }
            }
            Late::Tags(version) => {
                let (found, object) = match self.existing_object(bucket, key, version) {
                    Ok(existing) => existing,
                    Err(
                        S3Error::NoSuchKey { .. }
                        | S3Error::NoSuchVersion { .. }
                        | S3Error::IsDeleteMarker { .. },
                    ) => return Ok((conditions, Some(TagsOf::Nothing))),
                    Err(error) => return Err(error),
                };
                let tags = tags_from_rows(&object.tags, OBJECT_TAGS_MAX).ok_or(S3Error::Damaged)?;
                for tag in tags.tags() {
                    let name = format!("{EXISTING_TAG}{}", tag.key);
                    conditions = conditions.with_found(&name, &tag.value);
                }
                return Ok((conditions, Some(TagsOf::of(&found))));
            }
            Late::Upload(upload) => {
                let Some(found) = self.find_upload(bucket.uid, key, upload)? else {
                    return Ok((conditions, None));
                };
                if let Some(encryption) = found.row.asked_encryption {
                    conditions = conditions.with_found(ENCRYPTION, encryption);
                }
                if let Some(kms_key) = found.row.asked_kms_key {
                    conditions = conditions.with_found(KMS_KEY, kms_key);
                }
            }
        }
        Ok((conditions, None))
    }

    /// The ARN of the key that an alias stands for. What cannot be resolved is no key of which a
    /// policy could speak, and is not taken for none either. Aliases of other accounts are not
    /// looked up: whether they are there is not for the caller to learn from a decision about an
    /// object.
    fn key_named(&self, context: &RequestContext, named: &str) -> Result<String, S3Error> {
        let is_own = match KeyIdentifier::parse(named) {
            Ok(KeyIdentifier::AliasArn(alias)) => {
                context.principal.account() == Some(alias.account)
            }
            Ok(KeyIdentifier::Alias(_)) => context.principal.account().is_some(),
            Ok(KeyIdentifier::Arn(_) | KeyIdentifier::Id(_)) | Err(_) => false,
        };
        if !is_own {
            return Err(nobody().into());
        }
        match self.ports.keys.key_named(context, named) {
            Ok(key) => Ok(key.to_string()),
            Err(
                KeyError::NotFound(_)
                | KeyError::AccessDenied(_)
                | KeyError::Disabled(_)
                | KeyError::InvalidState(_)
                | KeyError::InvalidKeyUsage(_)
                | KeyError::InvalidCiphertext,
            ) => Err(nobody().into()),
            // Throttled, unavailable, damaged: that is no answer.
            Err(error) => Err(error.into()),
        }
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
        is_implicit: false,
    }
}
