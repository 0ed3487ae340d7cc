//! Access control lists of buckets and objects, and object ownership (S3 User Guide, "Controlling
//! ownership of objects and disabling ACLs for your bucket").
//!
//! A list is stored only where it says more than that the owner has full control. Under
//! `BucketOwnerEnforced` nothing that is stored counts: the bucket's owner owns all, and stored lists
//! and owners wait for a setting under which they count again, as AWS has it.

use strongroom_policy::{Acls, Denied};
use strongroom_types::{
    Acl, AclGrant, AclPermission, CannedAcl, CanonicalId, Grantee, ObjectOwnership,
};

use crate::rows::{AclGrantRow, VersionRow};
use crate::{AclRefusal, BucketView, S3Error};

/// The access control list that a request asks for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum WantedAcl {
    /// It does not speak of one.
    #[default]
    Unspecified,
    /// One by name.
    Canned(CannedAcl),
    /// The grants of `x-amz-grant-*` headers, and no others.
    Grants(Vec<AclGrant>),
    /// A document, whose owner must be who it is.
    Document {
        /// The owner that it names.
        owner: CanonicalId,
        /// The grants.
        grants: Vec<AclGrant>,
    },
}

/// Whose a new object is, and its list if that is not private.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NewOwner {
    pub owner: CanonicalId,
    pub acl: Option<Acl>,
}

/// The lists that a decision asks.
#[derive(Clone, Debug)]
pub(crate) struct FoundAcls {
    bucket: Acl,
    object: Option<Acl>,
    ignores_public: bool,
}

impl FoundAcls {
    /// Those of the bucket, if they count, and of an object in it.
    pub(crate) fn new(bucket: &BucketView, object: Option<Acl>) -> Option<Self> {
        bucket.object_ownership().has_acls().then(|| Self {
            bucket: bucket.acl(),
            object,
            ignores_public: bucket.blocks().ignore_public_acls,
        })
    }

    pub(crate) fn as_asked(&self) -> Acls<'_> {
        Acls {
            bucket: &self.bucket,
            object: self.object.as_ref(),
            ignores_public: self.ignores_public,
        }
    }
}

impl BucketView {
    /// Who owns its objects: where the controls were removed, who writes them.
    pub fn object_ownership(&self) -> ObjectOwnership {
        self.ownership.unwrap_or(ObjectOwnership::ObjectWriter)
    }

    /// Its access control list, as it counts now.
    pub fn acl(&self) -> Acl {
        let private = || Acl::private(self.owner_canonical_id.clone());
        match &self.stored_acl {
            Some(acl) if self.object_ownership().has_acls() => acl.clone(),
            Some(_) | None => private(),
        }
    }

    /// Whose a version or upload is, of which `stored` is remembered as the owner.
    ///
    /// # Errors
    ///
    /// [`S3Error::Damaged`].
    pub(crate) fn owner_of(&self, stored: &str) -> Result<CanonicalId, S3Error> {
        if self.object_ownership().has_acls() {
            CanonicalId::parse(stored).map_err(|_| S3Error::Damaged)
        } else {
            Ok(self.owner_canonical_id.clone())
        }
    }

    /// The list of a version, as it counts now.
    ///
    /// # Errors
    ///
    /// [`S3Error::Damaged`].
    pub(crate) fn acl_of(&self, version: &VersionRow) -> Result<Acl, S3Error> {
        let owner = self.owner_of(&version.owner)?;
        match &version.acl {
            Some(rows) if self.object_ownership().has_acls() => {
                acl_from_rows(owner, rows).ok_or(S3Error::Damaged)
            }
            Some(_) | None => Ok(Acl::private(owner)),
        }
    }

    /// Whose an object of `writer` becomes. Nobody's becomes the bucket's owner's: AWS would give it
    /// to an anonymous owner that nobody is.
    pub(crate) fn new_owner<'a>(
        &'a self,
        wanted: &WantedAcl,
        writer: Option<&'a CanonicalId>,
    ) -> &'a CanonicalId {
        let bucket_owner = &self.owner_canonical_id;
        let gives_up = *wanted == WantedAcl::Canned(CannedAcl::BucketOwnerFullControl);
        match self.object_ownership() {
            ObjectOwnership::BucketOwnerEnforced => bucket_owner,
            ObjectOwnership::BucketOwnerPreferred if gives_up => bucket_owner,
            ObjectOwnership::BucketOwnerPreferred | ObjectOwnership::ObjectWriter => {
                writer.unwrap_or(bucket_owner)
            }
        }
    }

    /// Whose an object of `writer` becomes, and under which list.
    ///
    /// # Errors
    ///
    /// [`AclRefusal::NotSupported`], [`AclRefusal::TooManyGrants`], [`S3Error::AccessDenied`] for a
    /// public list where they are blocked.
    pub(crate) fn owner_of_new(
        &self,
        wanted: &WantedAcl,
        writer: Option<&CanonicalId>,
    ) -> Result<NewOwner, S3Error> {
        let owner = self.new_owner(wanted, writer).clone();
        let is_private = *wanted == WantedAcl::Canned(CannedAcl::Private);
        let acl = if self.object_ownership().has_acls() {
            self.granted(&owner, wanted)?
        } else if is_private || self.is_owners_full_control(wanted) {
            None
        } else {
            return Err(AclRefusal::NotSupported.into());
        };
        Ok(NewOwner { owner, acl })
    }

    /// The list that replaces the bucket's own.
    ///
    /// # Errors
    ///
    /// As [`BucketView::replaced_acl`].
    pub(crate) fn replaced_own_acl(&self, wanted: &WantedAcl) -> Result<Option<Acl>, S3Error> {
        self.replaced_acl(&self.owner_canonical_id, wanted)
    }

    /// The list that replaces that of something of `owner`; `None` for a private one. Where lists do
    /// not count, only what holds anyway may be said, and nothing is kept of it.
    ///
    /// # Errors
    ///
    /// [`AclRefusal::NotSupported`], [`S3Error::AccessDenied`] for a public list where they are
    /// blocked and for one that names another owner, [`AclRefusal::TooManyGrants`].
    pub(crate) fn replaced_acl(
        &self,
        owner: &CanonicalId,
        wanted: &WantedAcl,
    ) -> Result<Option<Acl>, S3Error> {
        if !self.object_ownership().has_acls() && !self.is_owners_full_control(wanted) {
            return Err(AclRefusal::NotSupported.into());
        }
        self.granted(owner, wanted)
    }

    fn granted(&self, owner: &CanonicalId, wanted: &WantedAcl) -> Result<Option<Acl>, S3Error> {
        let acl = self.wished(owner, wanted)?;
        if acl.as_ref().is_some_and(Acl::is_public) && self.blocks().block_public_acls {
            return Err(denied().into());
        }
        Ok(acl)
    }

    /// The list that is meant, if it is not private.
    pub(crate) fn wished(
        &self,
        owner: &CanonicalId,
        wanted: &WantedAcl,
    ) -> Result<Option<Acl>, S3Error> {
        let explicit = |grants: &[AclGrant]| {
            Acl::new(owner.clone(), grants.to_vec()).map_err(|_| AclRefusal::TooManyGrants)
        };
        let acl = match wanted {
            WantedAcl::Unspecified => return Ok(None),
            WantedAcl::Canned(canned) => {
                Acl::canned(*canned, owner.clone(), &self.owner_canonical_id)
            }
            // Nobody is given away what he has by a list.
            WantedAcl::Document { owner: named, .. } if named != owner => {
                return Err(denied().into());
            }
            WantedAcl::Grants(grants) | WantedAcl::Document { grants, .. } => explicit(grants)?,
        };
        Ok((!acl.is_private()).then_some(acl))
    }

    /// Whether a list says no more than that the bucket's owner has full control.
    fn is_owners_full_control(&self, wanted: &WantedAcl) -> bool {
        let owner = &self.owner_canonical_id;
        let grants = match wanted {
            WantedAcl::Unspecified => return true,
            WantedAcl::Canned(canned) => return *canned == CannedAcl::BucketOwnerFullControl,
            WantedAcl::Document { owner: named, .. } if named != owner => return false,
            WantedAcl::Document { grants, .. } | WantedAcl::Grants(grants) => grants,
        };
        let full = AclGrant::to_account(owner.clone(), AclPermission::FullControl);
        matches!(grants.as_slice(), [only] if *only == full)
    }
}

impl WantedAcl {
    /// The accounts that it names, and where.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (&CanonicalId, GranteePlace)> {
        let (grants, place) = match self {
            Self::Unspecified | Self::Canned(_) => (&[][..], GranteePlace::Header),
            Self::Grants(grants) => (grants.as_slice(), GranteePlace::Header),
            Self::Document { owner: _, grants } => (grants.as_slice(), GranteePlace::Document),
        };
        grants.iter().filter_map(move |grant| match &grant.grantee {
            Grantee::CanonicalUser(id) => Some((id, place)),
            Grantee::Group(_) => None,
        })
    }
}

/// Where a grant was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GranteePlace {
    /// In an `x-amz-grant-*` header.
    Header,
    /// In an `AccessControlPolicy`.
    Document,
}

fn denied() -> Denied {
    Denied {
        message: "Access Denied".to_owned(),
        is_implicit: false,
    }
}

/// The rows of a list that is not private.
pub(crate) fn acl_to_rows(acl: &Acl) -> Vec<AclGrantRow> {
    acl.grants().iter().map(AclGrantRow::from_grant).collect()
}

/// A list of `owner`.
pub(crate) fn acl_from_rows(owner: CanonicalId, rows: &[AclGrantRow]) -> Option<Acl> {
    let grants = rows.iter().map(AclGrantRow::to_grant);
    Acl::new(owner, grants.collect::<Option<_>>()?).ok()
}
