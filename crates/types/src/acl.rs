//! Access control lists, and who owns the objects of a bucket (S3 User Guide, "Access control list
//! (ACL) overview" and "Controlling ownership of objects and disabling ACLs for your bucket").

use crate::CanonicalId;
use crate::limits::ACL_GRANTS_MAX;

/// A grant list of a bucket or an object, and who owns that. It allows, and never denies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acl {
    /// The owner, who needs no grant to read and write the list itself.
    pub owner: CanonicalId,
    grants: Vec<AclGrant>,
}

/// One line of a grant list.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AclGrant {
    /// Who.
    pub grantee: Grantee,
    /// What.
    pub permission: AclPermission,
}

/// Whom a grant speaks of.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Grantee {
    /// An account, whose own policies say who of it may.
    CanonicalUser(CanonicalId),
    /// One of S3's groups.
    Group(AclGroup),
}

/// S3's groups.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum AclGroup {
    /// Everybody, signed or not.
    AllUsers,
    /// Every account.
    AuthenticatedUsers,
    /// The service that delivers server access logs.
    LogDelivery,
}

/// What a grant allows. On objects, `WRITE` means nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum AclPermission {
    /// List a bucket; read an object.
    Read,
    /// Create objects in a bucket.
    Write,
    /// Read the grant list.
    ReadAcp,
    /// Write the grant list.
    WriteAcp,
    /// All of the others.
    FullControl,
}

/// A grant list by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum CannedAcl {
    /// The owner only.
    Private,
    /// Everybody reads.
    PublicRead,
    /// Everybody reads and writes.
    PublicReadWrite,
    /// For bundles of Amazon EC2, which this server is not part of: the owner only.
    AwsExecRead,
    /// Every account reads.
    AuthenticatedRead,
    /// The bucket's owner reads.
    BucketOwnerRead,
    /// The bucket's owner has full control.
    BucketOwnerFullControl,
    /// Logs can be delivered.
    LogDeliveryWrite,
}

/// Who owns the objects of a bucket, and whether grant lists count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Debug)]
pub enum ObjectOwnership {
    /// The bucket's owner owns all, and grant lists do not count: the default.
    #[default]
    BucketOwnerEnforced,
    /// The bucket's owner owns what comes with `bucket-owner-full-control`.
    BucketOwnerPreferred,
    /// Who writes owns.
    ObjectWriter,
}

/// A list has more grants than S3 allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an access control list has at most {ACL_GRANTS_MAX} grants")]
pub struct TooManyGrants;

impl Acl {
    /// The list without which nothing is made: the owner has full control, nobody else anything.
    pub fn private(owner: CanonicalId) -> Self {
        let grants = vec![AclGrant::to_account(
            owner.clone(),
            AclPermission::FullControl,
        )];
        Self { owner, grants }
    }

    /// A list of grants, in their order.
    ///
    /// # Errors
    ///
    /// [`TooManyGrants`].
    pub fn new(owner: CanonicalId, grants: Vec<AclGrant>) -> Result<Self, TooManyGrants> {
        if grants.len() > ACL_GRANTS_MAX {
            return Err(TooManyGrants);
        }
        Ok(Self { owner, grants })
    }

    /// What `canned` means for something of `owner` in a bucket of `bucket_owner`.
    pub fn canned(canned: CannedAcl, owner: CanonicalId, bucket_owner: &CanonicalId) -> Self {
        use AclPermission::{FullControl, Read, ReadAcp, Write};
        let mut acl = Self::private(owner);
        let mut add = |grantee: Grantee, permissions: &[AclPermission]| {
            acl.grants
                .extend(permissions.iter().map(|permission| AclGrant {
                    grantee: grantee.clone(),
                    permission: *permission,
                }));
        };
        let bucket_owners = || Grantee::CanonicalUser(bucket_owner.clone());
        match canned {
            CannedAcl::Private | CannedAcl::AwsExecRead => {}
            CannedAcl::PublicRead => add(Grantee::Group(AclGroup::AllUsers), &[Read]),
            CannedAcl::PublicReadWrite => add(Grantee::Group(AclGroup::AllUsers), &[Read, Write]),
            CannedAcl::AuthenticatedRead => {
                add(Grantee::Group(AclGroup::AuthenticatedUsers), &[Read]);
            }
            CannedAcl::LogDeliveryWrite => {
                add(Grantee::Group(AclGroup::LogDelivery), &[Write, ReadAcp]);
            }
            // Who has full control already is not named twice.
            CannedAcl::BucketOwnerRead | CannedAcl::BucketOwnerFullControl
                if acl.owner == *bucket_owner => {}
            CannedAcl::BucketOwnerRead => add(bucket_owners(), &[Read]),
            CannedAcl::BucketOwnerFullControl => add(bucket_owners(), &[FullControl]),
        }
        acl
    }

    /// The grants, in their order.
    pub fn grants(&self) -> &[AclGrant] {
        &self.grants
    }

    /// Whether it says no more than what holds without it.
    pub fn is_private(&self) -> bool {
        matches!(self.grants.as_slice(), [only] if only.is_full_control_of(&self.owner))
    }

    /// Whether it gives a right to an account or group that is not `account`.
    pub fn reaches_beyond(&self, account: &CanonicalId) -> bool {
        self.grants
            .iter()
            .any(|grant| grant.grantee != Grantee::CanonicalUser(account.clone()))
    }

    /// Whether it is public, as public access blocks understand it: a grant to everybody, or to
    /// every account.
    pub fn is_public(&self) -> bool {
        self.grants.iter().any(AclGrant::is_public)
    }

    /// Whether an account has full control by a grant of its own.
    pub fn has_full_control(&self, account: &CanonicalId) -> bool {
        self.grants
            .iter()
            .any(|grant| grant.is_full_control_of(account))
    }
}

impl AclGrant {
    /// A grant to an account.
    pub const fn to_account(account: CanonicalId, permission: AclPermission) -> Self {
        Self {
            grantee: Grantee::CanonicalUser(account),
            permission,
        }
    }

    /// Whether it is to everybody, or to every account.
    pub fn is_public(&self) -> bool {
        match &self.grantee {
            Grantee::Group(AclGroup::AllUsers | AclGroup::AuthenticatedUsers) => true,
            Grantee::Group(AclGroup::LogDelivery) | Grantee::CanonicalUser(_) => false,
        }
    }

    fn is_full_control_of(&self, account: &CanonicalId) -> bool {
        self.permission == AclPermission::FullControl
            && matches!(&self.grantee, Grantee::CanonicalUser(id) if id == account)
    }
}

impl AclGroup {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AllUsers, Self::AuthenticatedUsers, Self::LogDelivery];

    /// The URI that names it.
    pub const fn uri(self) -> &'static str {
        match self {
            Self::AllUsers => "http://acs.amazonaws.com/groups/global/AllUsers",
            Self::AuthenticatedUsers => "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
            Self::LogDelivery => "http://acs.amazonaws.com/groups/s3/LogDelivery",
        }
    }

    /// The group of that URI. S3 takes the URIs over TLS as well.
    pub fn parse(uri: &str) -> Option<Self> {
        let path = |uri: &str| {
            let rest = uri
                .strip_prefix("https://")
                .or_else(|| uri.strip_prefix("http://"));
            rest.map(str::to_owned)
        };
        let asked = path(uri)?;
        Self::ALL
            .into_iter()
            .find(|group| path(group.uri()).as_ref() == Some(&asked))
    }
}

impl AclPermission {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::ReadAcp,
        Self::WriteAcp,
        Self::FullControl,
    ];

    /// As documents have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::ReadAcp => "READ_ACP",
            Self::WriteAcp => "WRITE_ACP",
            Self::FullControl => "FULL_CONTROL",
        }
    }

    /// The permission of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|permission| permission.name() == name)
    }

    /// Whether who has it has `wanted`.
    pub fn covers(self, wanted: Self) -> bool {
        self == wanted || self == Self::FullControl
    }
}

impl CannedAcl {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Private,
        Self::PublicRead,
        Self::PublicReadWrite,
        Self::AwsExecRead,
        Self::AuthenticatedRead,
        Self::BucketOwnerRead,
        Self::BucketOwnerFullControl,
        Self::LogDeliveryWrite,
    ];

    /// As `x-amz-acl` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::PublicRead => "public-read",
            Self::PublicReadWrite => "public-read-write",
            Self::AwsExecRead => "aws-exec-read",
            Self::AuthenticatedRead => "authenticated-read",
            Self::BucketOwnerRead => "bucket-owner-read",
            Self::BucketOwnerFullControl => "bucket-owner-full-control",
            Self::LogDeliveryWrite => "log-delivery-write",
        }
    }

    /// The list of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|canned| canned.name() == name)
    }
}

impl ObjectOwnership {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self::BucketOwnerEnforced,
        Self::BucketOwnerPreferred,
        Self::ObjectWriter,
    ];

    /// As documents and headers have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BucketOwnerEnforced => "BucketOwnerEnforced",
            Self::BucketOwnerPreferred => "BucketOwnerPreferred",
            Self::ObjectWriter => "ObjectWriter",
        }
    }

    /// The setting of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Whether grant lists count.
    pub const fn has_acls(self) -> bool {
        match self {
            Self::BucketOwnerEnforced => false,
            Self::BucketOwnerPreferred | Self::ObjectWriter => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> CanonicalId {
        CanonicalId::parse(&digit.to_string().repeat(64)).unwrap()
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for canned in CannedAcl::ALL {
            assert_eq!(CannedAcl::parse(canned.name()), Some(canned));
        }
        for permission in AclPermission::ALL {
            assert_eq!(AclPermission::parse(permission.name()), Some(permission));
        }
        for ownership in ObjectOwnership::ALL {
            assert_eq!(ObjectOwnership::parse(ownership.name()), Some(ownership));
        }
        for group in AclGroup::ALL {
            assert_eq!(AclGroup::parse(group.uri()), Some(group));
            let over_tls = group.uri().replace("http:", "https:");
            assert_eq!(AclGroup::parse(&over_tls), Some(group));
        }
        for other in ["", "http://", "acs.amazonaws.com/groups/global/AllUsers"] {
            assert_eq!(AclGroup::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_canned_list_gives_what_its_name_says() {
        let (owner, bucket_owner) = (id('a'), id('b'));
        let rights = |canned| {
            let acl = Acl::canned(canned, owner.clone(), &bucket_owner);
            assert!(acl.has_full_control(&owner), "{canned:?}");
            let others: Vec<_> = acl.grants().iter().skip(1).cloned().collect();
            others
                .into_iter()
                .map(|grant| match grant.grantee {
                    Grantee::CanonicalUser(id) if id == bucket_owner => {
                        format!("bucket owner {}", grant.permission.name())
                    }
                    Grantee::CanonicalUser(id) => panic!("{id:?}"),
                    Grantee::Group(group) => format!("{group:?} {}", grant.permission.name()),
                })
                .collect::<Vec<_>>()
        };
        for (canned, expected, public) in [
            (CannedAcl::Private, &[][..], false),
            (CannedAcl::AwsExecRead, &[], false),
            (CannedAcl::PublicRead, &["AllUsers READ"], true),
            (
                CannedAcl::PublicReadWrite,
                &["AllUsers READ", "AllUsers WRITE"],
                true,
            ),
            (
                CannedAcl::AuthenticatedRead,
                &["AuthenticatedUsers READ"],
                true,
            ),
            (CannedAcl::BucketOwnerRead, &["bucket owner READ"], false),
            (
                CannedAcl::BucketOwnerFullControl,
                &["bucket owner FULL_CONTROL"],
                false,
            ),
            (
                CannedAcl::LogDeliveryWrite,
                &["LogDelivery WRITE", "LogDelivery READ_ACP"],
                false,
            ),
        ] {
            assert_eq!(rights(canned), expected, "{canned:?}");
            let acl = Acl::canned(canned, owner.clone(), &bucket_owner);
            assert_eq!(acl.is_public(), public, "{canned:?}");
            assert_eq!(acl.is_private(), expected.is_empty(), "{canned:?}");
            assert_eq!(acl.reaches_beyond(&owner), !expected.is_empty());
        }
        for canned in [
            CannedAcl::BucketOwnerRead,
            CannedAcl::BucketOwnerFullControl,
        ] {
            assert!(Acl::canned(canned, owner.clone(), &owner).is_private());
        }
    }

    #[test]
    fn a_list_is_bounded_and_an_empty_one_is_not_private() {
        let grant = AclGrant::to_account(id('c'), AclPermission::Read);
        assert!(Acl::new(id('a'), vec![grant.clone(); ACL_GRANTS_MAX]).is_ok());
        let more = vec![grant; ACL_GRANTS_MAX + 1];
        assert_eq!(Acl::new(id('a'), more), Err(TooManyGrants));
        let empty = Acl::new(id('a'), Vec::new()).unwrap();
        assert!(!empty.is_private() && !empty.is_public());
    }
}
