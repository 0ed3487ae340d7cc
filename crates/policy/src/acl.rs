//! What access control lists allow (S3 User Guide, "Access control list (ACL) overview", "Mapping of
//! ACL permissions and access policy permissions", and "How Amazon S3 authorizes a request for an
//! object operation").
//!
//! A list is one more thing on the resource's side that may allow, and never denies. An object of
//! another account than its bucket's is that account's resource: to read it, or its list, no policy
//! of the bucket helps, though its denials hold, and its owner needs nobody's leave.

use strongroom_types::{Acl, AclGroup, AclPermission, CanonicalId, Grantee, Principal};

use crate::facts::Facts;
use crate::principals::Namings;

/// The lists that may have to say something to a request: those of a bucket whose object ownership
/// lets lists count.
#[derive(Clone, Copy, Debug)]
pub struct Acls<'a> {
    /// The list of the bucket, with the bucket's owner.
    pub bucket: &'a Acl,
    /// The list of the object that the request is about, with the object's owner, if there is one.
    pub object: Option<&'a Acl>,
    /// Grants to everybody and to every account do not count (`IgnorePublicAcls`).
    pub ignores_public: bool,
}

/// The list that speaks of an action.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speaking<'a> {
    acl: &'a Acl,
    /// What it must grant; nothing that it grants is enough for `None`.
    wanted: Option<AclPermission>,
    ignores_public: bool,
    /// The object's owner, if that is not the bucket's.
    pub foreign_owner: Option<&'a CanonicalId>,
}

/// Which list governs an action.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Governs {
    Bucket(AclPermission),
    /// The object's, which must be there.
    Object(AclPermission),
    /// The bucket's, for objects that are the grantee's own.
    BucketForOwnObject(AclPermission),
}

/// Which permission an action, in lower case, asks of which list.
fn governing(action: &str) -> Option<Governs> {
    use AclPermission::{Read, ReadAcp, Write, WriteAcp};
    use Governs::{Bucket, BucketForOwnObject, Object};
    Some(match action.strip_prefix("s3:")? {
        "listbucket" | "listbucketversions" | "listbucketmultipartuploads" => Bucket(Read),
        "putobject" => Bucket(Write),
        "deleteobject" => BucketForOwnObject(Write),
        "getbucketacl" => Bucket(ReadAcp),
        "putbucketacl" => Bucket(WriteAcp),
        // Of its attributes, HEAD shows the same.
        "getobject" | "getobjectversion" | "getobjectattributes" | "getobjectversionattributes" => {
            Object(Read)
        }
        "getobjectacl" | "getobjectversionacl" => Object(ReadAcp),
        "putobjectacl" | "putobjectversionacl" => Object(WriteAcp),
        _ => return None,
    })
}

impl<'a> Acls<'a> {
    /// Whether a decision about this action, in any case, must know the object's list.
    pub fn needs_object(action: &str) -> bool {
        match governing(&action.to_ascii_lowercase()) {
            Some(Governs::Object(_) | Governs::BucketForOwnObject(_)) => true,
            Some(Governs::Bucket(_)) | None => false,
        }
    }

    /// The list that speaks of the action, in lower case, as the caller `who` asks for it.
    pub(crate) fn speaking(self, action: &str, who: Option<&CanonicalId>) -> Option<Speaking<'a>> {
        let Self {
            bucket,
            object,
            ignores_public,
        } = self;
        let (acl, wanted, foreign_owner) = match governing(action)? {
            Governs::Bucket(wanted) => (bucket, Some(wanted), None),
            Governs::BucketForOwnObject(wanted) => {
                let is_own = object.is_some_and(|object| Some(&object.owner) == who);
                (bucket, is_own.then_some(wanted), None)
            }
            Governs::Object(wanted) => {
                let object = object?;
                let foreign = (object.owner != bucket.owner).then_some(&object.owner);
                (object, Some(wanted), foreign)
            }
        };
        Some(Speaking {
            acl,
            wanted,
            ignores_public,
            foreign_owner,
        })
    }
}

/// A grant that speaks of the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MatchingAclGrant<'a> {
    pub index: usize,
    pub grantee: &'a Grantee,
    pub permission: AclPermission,
    pub namings: Namings,
}

impl<'a> Speaking<'a> {
    /// The grants that speak of the caller and what it asks for.
    pub(crate) fn matching(
        &self,
        facts: &'a Facts<'_>,
    ) -> impl Iterator<Item = MatchingAclGrant<'a>> + use<'a> {
        let (wanted, ignores_public) = (self.wanted, self.ignores_public);
        let grants = self.acl.grants().iter().enumerate();
        grants.filter_map(move |(index, grant)| {
            let counts = wanted.is_some_and(|wanted| grant.permission.covers(wanted))
                && !(ignores_public && grant.is_public());
            let namings = namings(&grant.grantee, facts);
            (counts && namings != Namings::NONE).then_some(MatchingAclGrant {
                index,
                grantee: &grant.grantee,
                permission: grant.permission,
                namings,
            })
        })
    }
}

/// By which names a grant speaks of the caller. A grant to an account is to its root user, who lets
/// others of the account have it by their own policies.
fn namings(grantee: &Grantee, facts: &Facts<'_>) -> Namings {
    use Namings as N;
    let principal = &facts.context.principal;
    let has_account = principal.account().is_some();
    match grantee {
        Grantee::CanonicalUser(id) => {
            N::ACCOUNT.when(has_account && facts.context.canonical_id.as_ref() == Some(id))
        }
        Grantee::Group(AclGroup::AllUsers) => N::EVERYONE,
        Grantee::Group(AclGroup::AuthenticatedUsers) => N::ACCOUNT.when(has_account),
        Grantee::Group(AclGroup::LogDelivery) => N::ITSELF
            .when(matches!(principal, Principal::Service { name, .. } if **name == *LOG_DELIVERY)),
    }
}

/// The service behind the log delivery group.
const LOG_DELIVERY: &str = "logging.s3.amazonaws.com";

/// A grantee, as traces name it.
pub(crate) fn shown(grantee: &Grantee) -> &str {
    match grantee {
        Grantee::CanonicalUser(id) => id.as_str(),
        Grantee::Group(group) => group.uri(),
    }
}
