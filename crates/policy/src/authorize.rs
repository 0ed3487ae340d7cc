//! The decision and its proof.

use std::marker::PhantomData;
use std::sync::Arc;

use strongroom_types::kms::{AliasArn, EncryptionContext, GrantOperation, KeyArn, KeyManager};
use strongroom_types::{AccountId, BucketName, CanonicalId, ObjectKey, Principal, RequestContext};

use crate::evaluate::ResourceKind;
use crate::{Acls, Action, ActionOnVersion, Conditions, PrincipalDirectory, Unreadable};

/// What an action is done to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resource {
    /// The account itself (ListBuckets, CreateBucket).
    Account {
        /// The account.
        account: AccountId,
    },
    /// A bucket.
    Bucket {
        /// Its name.
        name: BucketName,
        /// The account that owns it.
        owner: AccountId,
    },
    /// An object, existing or not.
    Object {
        /// The bucket's name.
        bucket: BucketName,
        /// The account that owns the bucket.
        owner: AccountId,
        /// The key.
        key: ObjectKey,
    },
    /// The key service of an account (CreateKey, ListKeys, GenerateRandom).
    KeyService {
        /// The account.
        account: AccountId,
    },
    /// A KMS key.
    Key {
        /// Its ARN.
        arn: KeyArn,
        /// Who manages it.
        manager: KeyManager,
    },
    /// An alias of a KMS key.
    Alias {
        /// Its ARN.
        arn: AliasArn,
    },
    /// A role as what `sts:AssumeRole` is done to: its trust policy must consent.
    RoleTrust {
        /// The account that has the role.
        account: AccountId,
        /// The role's ARN.
        arn: Arc<str>,
    },
    /// Anything of IAM or STS: a user, group, role or policy to be managed, or `*`.
    Identity {
        /// The account that has it.
        account: AccountId,
        /// Its ARN.
        arn: Arc<str>,
    },
    /// A trail, existing or not, or `*`: the events and trails of the account.
    Trail {
        /// The account that has it.
        account: AccountId,
        /// Its ARN.
        arn: Arc<str>,
    },
}

impl Resource {
    /// The account that owns the resource.
    pub fn owner(&self) -> AccountId {
        match self {
            Self::Account { account }
            | Self::KeyService { account }
            | Self::RoleTrust { account, .. }
            | Self::Identity { account, .. }
            | Self::Trail { account, .. } => *account,
            Self::Key { arn, .. } => arn.account,
            Self::Alias { arn } => arn.account,
            Self::Bucket { owner, .. } | Self::Object { owner, .. } => *owner,
        }
    }

    /// The resource's ARN, as error messages and policies name it.
    pub fn arn(&self) -> String {
        match self {
            Self::Account { .. } => "arn:aws:s3:::*".to_owned(),
            Self::Bucket { name, .. } => format!("arn:aws:s3:::{name}"),
            Self::Object { bucket, key, .. } => format!("arn:aws:s3:::{bucket}/{key}"),
            Self::KeyService { .. } => "*".to_owned(),
            Self::Key { arn, .. } => arn.to_string(),
            Self::Alias { arn } => arn.to_string(),
            Self::RoleTrust { arn, .. } | Self::Identity { arn, .. } | Self::Trail { arn, .. } => {
                arn.to_string()
            }
        }
    }

    /// Whether its own policy must consent.
    pub(crate) fn kind(&self) -> ResourceKind {
        match self {
            Self::Account { .. }
            | Self::Bucket { .. }
            | Self::Object { .. }
            | Self::KeyService { .. }
            | Self::Alias { .. }
            | Self::Identity { .. }
            | Self::Trail { .. } => ResourceKind::Ordinary,
            Self::Key { .. } => ResourceKind::Key,
            Self::RoleTrust { .. } => ResourceKind::RoleTrust,
        }
    }
}

/// What a decision is about. Everything that it may depend on is here.
#[derive(Clone, Copy, Debug)]
pub struct AccessRequest<'a> {
    /// Who asks, from where.
    pub context: &'a RequestContext,
    /// The IAM action, such as `kms:Decrypt`.
    pub action: &'a str,
    /// What it is done to.
    pub resource: &'a Resource,
    /// The request's values of the service's own condition keys.
    pub conditions: &'a Conditions,
    /// The resource's own policy, if it has one: the JSON text as stored, of a bucket, a key, or the
    /// role that is to be assumed.
    pub resource_policy: Option<&'a str>,
    /// The resource's grants, if its kind has them.
    pub grants: Option<&'a dyn GrantSource>,
    /// The access control lists of the bucket and the object, where they count.
    pub acls: Option<Acls<'a>>,
}

/// The grants of one key, read only if the decision needs them.
pub trait GrantSource: std::fmt::Debug {
    /// The grants whose grantee or retiring principal could be the principal of `context`. For
    /// RetireGrant only the grant that is to be retired: with any other, a right to retire one would
    /// be a right to retire all.
    fn grants_for(&self, context: &RequestContext) -> Vec<Grant>;
}

/// Decides whether a request may do an action to a resource.
///
/// Contract: deny by default; evaluated anew for every request, never from a cache of decisions;
/// pure, so that a decision can be explained by making it again.
pub trait Authorizer: Send + Sync {
    /// The decision.
    ///
    /// # Errors
    ///
    /// [`Denied`], with the text that AWS gives.
    fn decide(&self, request: &AccessRequest<'_>) -> Result<(), Denied>;
}

/// A grant, as a decision sees it (KMS API Reference, GrantListEntry).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Who may do it: the ARN of an account or federated user, or what
    /// [`PrincipalDirectory::pin`](crate::PrincipalDirectory) has for a user, role or session.
    pub grantee_principal: String,
    /// Who may retire it, likewise.
    pub retiring_principal: Option<String>,
    /// What may be done.
    pub operations: Vec<GrantOperation>,
    /// The context that requests must have exactly.
    pub context_equals: Option<EncryptionContext>,
    /// The pairs that the context of requests must hold.
    pub context_subset: Option<EncryptionContext>,
}

/// Proof that an evaluator allowed `A` on one resource. Not `Clone`, no public constructor; an
/// operation that demands it cannot be called unchecked.
///
/// ```compile_fail,E0451
/// use strongroom_policy::{Authorized, Resource, actions::GetObject};
/// fn forge(resource: Resource) -> Authorized<GetObject> {
///     Authorized { resource, action: std::marker::PhantomData }
/// }
/// ```
///
/// ```
/// use strongroom_policy::{Authorized, Authorizer, Denied, Resource, actions::GetObject};
/// use strongroom_types::RequestContext;
/// fn check(by: &dyn Authorizer, context: &RequestContext, on: Resource) -> Result<Authorized<GetObject>, Denied> {
///     Authorized::check(by, context, on)
/// }
/// ```
#[derive(Debug)]
pub struct Authorized<A: Action> {
    resource: Resource,
    action: PhantomData<fn() -> A>,
}

impl<A: Action> Authorized<A> {
    /// Asks `by` and keeps its consent.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn check(
        by: &dyn Authorizer,
        context: &RequestContext,
        resource: Resource,
    ) -> Result<Self, Denied> {
        Self::check_with(by, context, resource, &Conditions::default(), None, None)
    }

    /// As [`Authorized::check`], with the request's own condition keys, the resource's policy and
    /// the access control lists.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn check_with(
        by: &dyn Authorizer,
        context: &RequestContext,
        resource: Resource,
        conditions: &Conditions,
        resource_policy: Option<&str>,
        acls: Option<Acls<'_>>,
    ) -> Result<Self, Denied> {
        by.decide(&AccessRequest {
            context,
            action: A::NAME,
            resource: &resource,
            conditions,
            resource_policy,
            grants: None,
            acls,
        })?;
        Ok(Self {
            resource,
            action: PhantomData,
        })
    }

    /// What the consent is for.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }
}

impl<A: ActionOnVersion> Authorized<A> {
    /// As [`Authorized::check_with`], where the request names a version: what is asked is the action
    /// on versions.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn check_on_version(
        by: &dyn Authorizer,
        context: &RequestContext,
        resource: Resource,
        conditions: &Conditions,
        resource_policy: Option<&str>,
        acls: Option<Acls<'_>>,
    ) -> Result<Self, Denied> {
        let Authorized { resource, .. } = Authorized::<A::OnVersion>::check_with(
            by,
            context,
            resource,
            conditions,
            resource_policy,
            acls,
        )?;
        Ok(Self {
            resource,
            action: PhantomData,
        })
    }
}

/// The request may not do what it asks. The message is AWS's, for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denied {
    /// The text of `AccessDenied`.
    pub message: String,
    /// Nothing allows it, and no statement denies it.
    pub is_implicit: bool,
}

/// An evaluator without policies, for the tests of services: an account's root user owns what the
/// account owns. No server decides by it: see [`PolicyAuthorizer`](crate::PolicyAuthorizer).
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct RootOnly;

impl Authorizer for RootOnly {
    fn decide(&self, request: &AccessRequest<'_>) -> Result<(), Denied> {
        let AccessRequest {
            context,
            action,
            resource,
            ..
        } = request;
        let denied = |why: &str| {
            Err(Denied {
                message: format!(
                    "User: {} is not authorized to perform: {action} on resource: {} because {why}",
                    context.principal.arn(),
                    quoted(resource),
                ),
                is_implicit: true,
            })
        };
        match &context.principal {
            Principal::Root { account } if *account == resource.owner() => match resource {
                Resource::Key {
                    manager: KeyManager::Aws,
                    ..
                } if !aws_managed_key_allows(context, action) => denied(&format!(
                    "no resource-based policy allows the {action} action"
                )),
                Resource::Account { .. }
                | Resource::Bucket { .. }
                | Resource::Object { .. }
                | Resource::KeyService { .. }
                | Resource::Key { .. }
                | Resource::Alias { .. }
                | Resource::Identity { .. }
                | Resource::Trail { .. } => Ok(()),
                // Root users cannot assume roles.
                Resource::RoleTrust { .. } => denied(&format!(
                    "no resource-based policy allows the {action} action"
                )),
            },
            Principal::Anonymous => Err(Denied {
                message: "Access Denied".to_owned(),
                is_implicit: true,
            }),
            Principal::Root { .. }
            | Principal::User { .. }
            | Principal::RoleSession { .. }
            | Principal::Federated { .. }
            | Principal::Service { .. } => denied(&format!(
                "no identity-based policy allows the {action} action"
            )),
        }
    }
}

/// Nobody but accounts is known.
impl PrincipalDirectory for RootOnly {
    fn pin(&self, _: &str) -> Result<Option<String>, Unreadable> {
        Ok(None)
    }

    fn account_of(&self, _: &CanonicalId) -> Result<Option<AccountId>, Unreadable> {
        Ok(None)
    }

    fn canonical_id_of(&self, _: AccountId) -> Result<Option<CanonicalId>, Unreadable> {
        Ok(None)
    }
}

/// S3's texts have the resource in quotes, those of the key service have not.
fn quoted(resource: &Resource) -> String {
    match resource {
        Resource::Account { .. } | Resource::Bucket { .. } | Resource::Object { .. } => {
            format!("\"{}\"", resource.arn())
        }
        Resource::KeyService { .. }
        | Resource::Key { .. }
        | Resource::Alias { .. }
        | Resource::RoleTrust { .. }
        | Resource::Identity { .. }
        | Resource::Trail { .. } => resource.arn(),
    }
}

/// The fixed policy of AWS managed keys, as far as it concerns the account's root user: use only
/// through the service that the key belongs to, direct access to metadata only.
fn aws_managed_key_allows(context: &RequestContext, action: &str) -> bool {
    let name = action.strip_prefix("kms:").unwrap_or(action);
    if context.via_service.is_some() {
        return matches!(name, "Encrypt" | "Decrypt" | "DescribeKey")
            || name.starts_with("ReEncrypt")
            || name.starts_with("GenerateDataKey");
    }
    ["Describe", "Get", "List"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use strongroom_types::kms::KeyId;
    use strongroom_types::{Region, RequestId, Timestamp, Transport};

    use super::*;
    use crate::actions::GetObject;

    struct Zeroes;

    impl strongroom_types::Entropy for Zeroes {
        fn fill(&self, out: &mut [u8]) {
            out.fill(0);
        }
    }

    fn context(principal: Principal) -> RequestContext {
        RequestContext {
            request_id: RequestId::random(&Zeroes),
            received: Timestamp::from_millis(0),
            principal,
            canonical_id: None,
            access_key_id: None,
            session: None,
            via_service: None,
            region: Region::parse("us-east-1").unwrap(),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            transport: Transport::Plain,
            user_agent: None,
            sent: None,
        }
    }

    fn resource() -> Resource {
        Resource::Object {
            bucket: BucketName::parse("abc").unwrap(),
            owner: AccountId::parse("111111111111").unwrap(),
            key: ObjectKey::parse("k").unwrap(),
        }
    }

    fn root(account: &str) -> Principal {
        Principal::Root {
            account: AccountId::parse(account).unwrap(),
        }
    }

    #[test]
    fn only_the_owners_root_is_allowed() {
        let check =
            |principal| Authorized::<GetObject>::check(&RootOnly, &context(principal), resource());
        assert!(check(root("111111111111")).is_ok());
        assert_eq!(
            check(Principal::Anonymous).unwrap_err().message,
            "Access Denied"
        );
        let other = check(root("222222222222")).unwrap_err().message;
        assert!(
            other.contains("s3:GetObject") && other.contains("arn:aws:s3:::abc/k"),
            "{other}"
        );
    }

    #[test]
    fn nobody_uses_an_aws_managed_key_but_through_its_service() {
        let id = KeyId::from_bytes([7; 16]);
        let arn = KeyArn {
            region: Region::parse("us-east-1").unwrap(),
            account: AccountId::parse("111111111111").unwrap(),
            id,
        };
        let decide = |manager, via: Option<&str>, action| {
            let mut context = context(root("111111111111"));
            context.via_service = via.map(Into::into);
            RootOnly
                .decide(&AccessRequest {
                    context: &context,
                    action,
                    resource: &Resource::Key {
                        arn: arn.clone(),
                        manager,
                    },
                    conditions: &Conditions::default(),
                    resource_policy: None,
                    grants: None,
                    acls: None,
                })
                .is_ok()
        };
        let s3 = Some("s3.us-east-1.amazonaws.com");
        for (action, direct, forwarded) in [
            ("kms:Decrypt", false, true),
            ("kms:GenerateDataKey", false, true),
            ("kms:DescribeKey", true, true),
            ("kms:GetKeyPolicy", true, false),
            ("kms:DisableKey", false, false),
            ("kms:PutKeyPolicy", false, false),
            ("kms:ScheduleKeyDeletion", false, false),
            ("kms:CreateGrant", false, false),
        ] {
            assert_eq!(decide(KeyManager::Aws, None, action), direct, "{action}");
            assert_eq!(decide(KeyManager::Aws, s3, action), forwarded, "{action}");
            assert!(decide(KeyManager::Customer, None, action), "{action}");
        }
    }
}
