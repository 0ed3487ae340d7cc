//! The decision and its proof.

use std::marker::PhantomData;

use strongroom_types::{AccountId, BucketName, ObjectKey, Principal, RequestContext};

use crate::Action;

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
}

impl Resource {
    /// The account that owns the resource.
    pub fn owner(&self) -> AccountId {
        match self {
            Self::Account { account } => *account,
            Self::Bucket { owner, .. } | Self::Object { owner, .. } => *owner,
        }
    }

    /// The resource's ARN, as error messages and policies name it.
    pub fn arn(&self) -> String {
        match self {
            Self::Account { .. } => "arn:aws:s3:::*".to_owned(),
            Self::Bucket { name, .. } => format!("arn:aws:s3:::{name}"),
            Self::Object { bucket, key, .. } => format!("arn:aws:s3:::{bucket}/{key}"),
        }
    }
}

/// Decides whether a request may do an action to a resource.
///
/// Contract: deny by default; evaluated anew for every request, never from a cache of decisions;
/// pure, so that a decision can be explained by making it again.
pub trait Authorizer: Send + Sync {
    /// The decision for the IAM action `action`.
    ///
    /// # Errors
    ///
    /// [`Denied`], with the text that AWS gives.
    fn decide(
        &self,
        context: &RequestContext,
        action: &'static str,
        resource: &Resource,
    ) -> Result<(), Denied>;
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
        by.decide(context, A::NAME, &resource)?;
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

/// The request may not do what it asks. The message is AWS's, for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denied {
    /// The text of `AccessDenied`.
    pub message: String,
}

/// The evaluator of a server without policies: an account's root user owns what the account owns.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct RootOnly;

impl Authorizer for RootOnly {
    fn decide(
        &self,
        context: &RequestContext,
        action: &'static str,
        resource: &Resource,
    ) -> Result<(), Denied> {
        match &context.principal {
            Principal::Root { account } if *account == resource.owner() => Ok(()),
            Principal::Anonymous => Err(Denied {
                message: "Access Denied".to_owned(),
            }),
            Principal::Root { .. }
            | Principal::User { .. }
            | Principal::RoleSession { .. }
            | Principal::Federated { .. }
            | Principal::Service { .. } => Err(Denied {
                message: format!(
                    "User: {} is not authorized to perform: {action} on resource: \"{}\" because no \
                     identity-based policy allows the {action} action",
                    context.principal.arn(),
                    resource.arn(),
                ),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

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
}
