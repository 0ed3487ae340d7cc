//! Between what rows hold and what the domain speaks of.
//!
//! Everything that comes out of a row is parsed again: a row that verifies but says nonsense is
//! damage (`None` here), never a default.

use std::collections::BTreeMap;

use strongroom_types::{
    AccountId, AclGrant, AclGroup, AclPermission, BlockedEncryption, BucketEncryption, BucketName,
    BucketUid, CanonicalId, ChecksumAlgorithm, ChecksumType, Grantee, ObjectMetadata,
    ObjectOwnership, Region, SseAlgorithm, Tag, TagSet, Timestamp, VersionId, VersionUid,
};

use crate::acls::{acl_from_rows, acl_to_rows};
use crate::logging::LoggingRow;
use crate::rows::{
    AclGrantRow, BucketRow, ChecksumKindRow, EncryptionRow, MetadataRow, PairRow, VersionRow,
};
use crate::{BucketView, PolicyUid, PublicAccessBlock, Versioning};

impl BucketRow {
    /// The row of a bucket.
    pub(crate) fn from_view(view: &BucketView) -> Self {
        let BucketView {
            uid,
            name: _,
            owner,
            owner_canonical_id,
            region,
            created,
            versioning,
            encryption,
            tags,
            policy,
            public_access_block,
            ownership,
            stored_acl,
            logging,
        } = view;
        Self {
            uid: *uid.as_bytes(),
            owner: owner.as_str().to_owned(),
            owner_canonical_id: owner_canonical_id.as_str().to_owned(),
            region: region.as_str().to_owned(),
            created_millis: created.as_millis(),
            versioning: match versioning {
                Versioning::Never => 0,
                Versioning::Enabled => 1,
                Versioning::Suspended => 2,
            },
            encryption: EncryptionRow {
                algorithm: encryption.algorithm.name().to_owned(),
                kms_key_id: encryption.kms_key_id.clone(),
                bucket_key_enabled: encryption.bucket_key_enabled,
                blocks_sse_c: match encryption.blocked {
                    BlockedEncryption::SseC => true,
                    BlockedEncryption::None => false,
                },
                explicitly_set: encryption.explicitly_set,
            },
            tags: tags.as_ref().map(tags_to_rows),
            policy: policy.map(|policy| *policy.as_bytes()),
            public_access_block: Some(PublicAccessBlock::to_bits(*public_access_block)),
            ownership: Some(match ownership {
                None => 0,
                Some(ObjectOwnership::BucketOwnerEnforced) => 1,
                Some(ObjectOwnership::BucketOwnerPreferred) => 2,
                Some(ObjectOwnership::ObjectWriter) => 3,
            }),
            acl: stored_acl.as_ref().map(acl_to_rows),
            logging: logging.as_ref().map(LoggingRow::from_logging),
        }
    }

    /// The bucket behind the row of that name.
    pub(crate) fn into_view(self, name: &BucketName) -> Option<BucketView> {
        let Self {
            uid,
            owner,
            owner_canonical_id,
            region,
            created_millis,
            versioning,
            encryption,
            tags,
            policy,
            public_access_block,
            ownership,
            acl,
            logging,
        } = self;
        let tags = match tags {
            Some(rows) => Some(tags_from_rows(
                &rows,
                strongroom_types::limits::BUCKET_TAGS_MAX,
            )?),
            None => None,
        };
        let owner_canonical_id = CanonicalId::parse(&owner_canonical_id).ok()?;
        let stored_acl = match acl {
            Some(rows) => Some(acl_from_rows(owner_canonical_id.clone(), &rows)?),
            None => None,
        };
        Some(BucketView {
            uid: BucketUid::from_bytes(uid),
            name: name.clone(),
            owner: AccountId::parse(&owner).ok()?,
            owner_canonical_id,
            region: Region::parse(&region).ok()?,
            created: Timestamp::from_millis(created_millis),
            versioning: match versioning {
                0 => Versioning::Never,
                1 => Versioning::Enabled,
                2 => Versioning::Suspended,
                _ => return None,
            },
            encryption: BucketEncryption {
                algorithm: SseAlgorithm::parse(&encryption.algorithm)?,
                kms_key_id: encryption.kms_key_id,
                bucket_key_enabled: encryption.bucket_key_enabled,
                blocked: if encryption.blocks_sse_c {
                    BlockedEncryption::SseC
                } else {
                    BlockedEncryption::None
                },
                explicitly_set: encryption.explicitly_set,
            },
            tags,
            policy: policy.map(PolicyUid::from_bytes),
            public_access_block: match public_access_block {
                // Of a time when everything public was blocked because there was nothing public.
                None => Some(PublicAccessBlock::ALL),
                Some(bits) => PublicAccessBlock::from_bits(bits)?,
            },
            ownership: match ownership {
                Some(0) => None,
                None | Some(1) => Some(ObjectOwnership::BucketOwnerEnforced),
                Some(2) => Some(ObjectOwnership::BucketOwnerPreferred),
                Some(3) => Some(ObjectOwnership::ObjectWriter),
                Some(_) => return None,
            },
            stored_acl,
            logging: match logging {
                Some(row) => Some(row.into_logging()?),
                None => None,
            },
        })
    }
}

impl AclGrantRow {
    /// The row of a grant.
    pub(crate) fn from_grant(grant: &AclGrant) -> Self {
        let (account, group) = match &grant.grantee {
            Grantee::CanonicalUser(id) => (Some(id.as_str().to_owned()), None),
            Grantee::Group(AclGroup::AllUsers) => (None, Some(1)),
            Grantee::Group(AclGroup::AuthenticatedUsers) => (None, Some(2)),
            Grantee::Group(AclGroup::LogDelivery) => (None, Some(3)),
        };
        Self {
            permission: match grant.permission {
                AclPermission::Read => 1,
                AclPermission::Write => 2,
                AclPermission::ReadAcp => 3,
                AclPermission::WriteAcp => 4,
                AclPermission::FullControl => 5,
            },
            account,
            group,
        }
    }

    /// The grant.
    pub(crate) fn to_grant(&self) -> Option<AclGrant> {
        let grantee = match (&self.account, self.group) {
            (Some(id), None) => Grantee::CanonicalUser(CanonicalId::parse(id).ok()?),
            (None, Some(1)) => Grantee::Group(AclGroup::AllUsers),
            (None, Some(2)) => Grantee::Group(AclGroup::AuthenticatedUsers),
            (None, Some(3)) => Grantee::Group(AclGroup::LogDelivery),
            (None | Some(_), _) => return None,
        };
        let permission = match self.permission {
            1 => AclPermission::Read,
            2 => AclPermission::Write,
            3 => AclPermission::ReadAcp,
            4 => AclPermission::WriteAcp,
            5 => AclPermission::FullControl,
            _ => return None,
        };
        Some(AclGrant {
            grantee,
            permission,
        })
    }
}

impl MetadataRow {
    /// The row of an object's metadata.
    pub(crate) fn from_metadata(metadata: &ObjectMetadata) -> Self {
        let ObjectMetadata {
            content_type,
            cache_control,
            content_disposition,
            content_encoding,
            content_language,
            expires,
            website_redirect_location,
            user,
        } = metadata;
        Self {
            content_type: content_type.clone(),
            cache_control: cache_control.clone(),
            content_disposition: content_disposition.clone(),
            content_encoding: content_encoding.clone(),
            content_language: content_language.clone(),
            expires: expires.clone(),
            website_redirect_location: website_redirect_location.clone(),
            user: user
                .iter()
                .map(|(key, value)| PairRow {
                    key: key.clone(),
                    value: value.clone(),
                })
                .collect(),
        }
    }

    /// The metadata behind the row.
    pub(crate) fn to_metadata(&self) -> ObjectMetadata {
        let Self {
            content_type,
            cache_control,
            content_disposition,
            content_encoding,
            content_language,
            expires,
            website_redirect_location,
            user,
        } = self;
        ObjectMetadata {
            content_type: content_type.clone(),
            cache_control: cache_control.clone(),
            content_disposition: content_disposition.clone(),
            content_encoding: content_encoding.clone(),
            content_language: content_language.clone(),
            expires: expires.clone(),
            website_redirect_location: website_redirect_location.clone(),
            user: user
                .iter()
                .map(|pair| (pair.key.clone(), pair.value.clone()))
                .collect::<BTreeMap<_, _>>(),
        }
    }
}

/// The rows of a tag set.
pub(crate) fn tags_to_rows(tags: &TagSet) -> Vec<PairRow> {
    let pair = |tag: &Tag| PairRow {
        key: tag.key.clone(),
        value: tag.value.clone().into_bytes(),
    };
    tags.tags().iter().map(pair).collect()
}

/// The tag set behind rows; `max_tags` is the bound for what carries it.
pub(crate) fn tags_from_rows(rows: &[PairRow], max_tags: usize) -> Option<TagSet> {
    let tag = |row: &PairRow| {
        let value = String::from_utf8(row.value.clone()).ok()?;
        Some(Tag {
            key: row.key.clone(),
            value,
        })
    };
    let tags = rows.iter().map(tag).collect::<Option<Vec<_>>>()?;
    TagSet::parse(tags, max_tags).ok()
}

impl ChecksumKindRow {
    /// The row of a checksum's algorithm and type.
    pub(crate) const fn new(algorithm: ChecksumAlgorithm, kind: ChecksumType) -> Self {
        let algorithm = match algorithm {
            ChecksumAlgorithm::Crc32 => 1,
            ChecksumAlgorithm::Crc32c => 2,
            ChecksumAlgorithm::Crc64Nvme => 3,
            ChecksumAlgorithm::Sha1 => 4,
            ChecksumAlgorithm::Sha256 => 5,
        };
        let full_object = match kind {
            ChecksumType::FullObject => true,
            ChecksumType::Composite => false,
        };
        Self {
            algorithm,
            full_object,
        }
    }

    /// The algorithm and type behind the row.
    pub(crate) const fn parse(self) -> Option<(ChecksumAlgorithm, ChecksumType)> {
        let algorithm = match self.algorithm {
            1 => ChecksumAlgorithm::Crc32,
            2 => ChecksumAlgorithm::Crc32c,
            3 => ChecksumAlgorithm::Crc64Nvme,
            4 => ChecksumAlgorithm::Sha1,
            5 => ChecksumAlgorithm::Sha256,
            _ => return None,
        };
        let kind = if self.full_object {
            ChecksumType::FullObject
        } else {
            ChecksumType::Composite
        };
        Some((algorithm, kind))
    }
}

impl VersionRow {
    /// The version's identity.
    pub(crate) const fn uid(&self) -> VersionUid {
        VersionUid::from_bytes(self.uid)
    }

    /// The version id that clients see, whatever the bucket's versioning.
    pub(crate) const fn version_id(&self, sequence: u64) -> VersionId {
        if self.is_null {
            VersionId::Null
        } else {
            VersionId::Id {
                uid: self.uid(),
                sequence,
            }
        }
    }

    /// When it was written.
    pub(crate) const fn last_modified(&self) -> Timestamp {
        Timestamp::from_millis(self.last_modified_millis)
    }
}

#[cfg(test)]
mod tests {
    use crate::{BucketLogging, LogKeyFormat};
    use strongroom_types::{Acl, CannedAcl};

    use super::*;
    use crate::rows::Record;

    fn view() -> BucketView {
        BucketView {
            uid: BucketUid::from_bytes([7; 16]),
            name: BucketName::parse("abc").unwrap(),
            owner: AccountId::parse("123456789012").unwrap(),
            owner_canonical_id: CanonicalId::parse(&"0a".repeat(32)).unwrap(),
            region: Region::parse("us-east-1").unwrap(),
            created: Timestamp::from_millis(5),
            versioning: Versioning::Suspended,
            encryption: BucketEncryption {
                algorithm: SseAlgorithm::AwsKms,
                kms_key_id: Some("alias/x".to_owned()),
                bucket_key_enabled: true,
                blocked: BlockedEncryption::SseC,
                explicitly_set: true,
            },
            tags: Some(
                TagSet::parse(
                    vec![Tag {
                        key: "k".to_owned(),
                        value: "v".to_owned(),
                    }],
                    50,
                )
                .unwrap(),
            ),
            policy: Some(PolicyUid::from_bytes([9; 16])),
            public_access_block: None,
            ownership: Some(ObjectOwnership::BucketOwnerPreferred),
            stored_acl: Some(Acl::canned(
                CannedAcl::PublicReadWrite,
                CanonicalId::parse(&"0a".repeat(32)).unwrap(),
                &CanonicalId::parse(&"0a".repeat(32)).unwrap(),
            )),
            logging: Some(BucketLogging {
                target_bucket: BucketName::parse("logs").unwrap(),
                target_prefix: "abc/".to_owned(),
                key_format: LogKeyFormat::ByEventTime,
                target_grants: vec![AclGrant {
                    grantee: Grantee::Group(AclGroup::LogDelivery),
                    permission: AclPermission::Read,
                }],
            }),
        }
    }

    #[test]
    fn buckets_survive_their_rows() {
        let encoded = Record::encode(&BucketRow::from_view(&view()));
        let back = <BucketRow as Record>::decode(&encoded)
            .unwrap()
            .into_view(&view().name)
            .unwrap();
        assert_eq!(format!("{back:?}"), format!("{:?}", view()));
        assert_eq!(back.tags, view().tags);
    }

    #[test]
    fn rows_that_say_nonsense_are_damage() {
        let mut row = BucketRow::from_view(&view());
        row.versioning = 3;
        assert!(row.into_view(&view().name).is_none());
        let mut row = BucketRow::from_view(&view());
        row.encryption.algorithm = "none".to_owned();
        assert!(row.into_view(&view().name).is_none());
        let mut row = BucketRow::from_view(&view());
        row.ownership = Some(4);
        assert!(row.into_view(&view().name).is_none());
        let grants = || BucketRow::from_view(&view()).acl.unwrap();
        for break_it in [
            (|row: &mut AclGrantRow| row.permission = 6) as fn(&mut AclGrantRow),
            |row| row.group = Some(4),
            |row| row.group = None,
            |row| row.account = Some("0a".repeat(32)),
            |row| (row.account, row.group) = (Some("A".to_owned()), None),
        ] {
            let mut row = BucketRow::from_view(&view());
            let mut broken = grants();
            broken.iter_mut().skip(1).for_each(break_it);
            row.acl = Some(broken);
            assert!(row.into_view(&view().name).is_none());
        }
    }

    #[test]
    fn buckets_of_a_time_without_lists_have_none_that_count() {
        let mut row = BucketRow::from_view(&view());
        (row.ownership, row.acl) = (None, None);
        let view = row.into_view(&view().name).unwrap();
        assert_eq!(
            view.object_ownership(),
            ObjectOwnership::BucketOwnerEnforced
        );
        assert!(view.acl().is_private());
    }

    #[test]
    fn every_grant_survives_its_row() {
        let account = CanonicalId::parse(&"0b".repeat(32)).unwrap();
        let groups = AclGroup::ALL.map(Grantee::Group);
        for grantee in [Grantee::CanonicalUser(account)].into_iter().chain(groups) {
            for permission in AclPermission::ALL {
                let grant = AclGrant {
                    grantee: grantee.clone(),
                    permission,
                };
                assert_eq!(AclGrantRow::from_grant(&grant).to_grant(), Some(grant));
            }
        }
        assert!(
            ChecksumKindRow {
                algorithm: 0,
                full_object: true
            }
            .parse()
            .is_none()
        );
    }

    #[test]
    fn checksum_kinds_survive_their_rows() {
        for algorithm in ChecksumAlgorithm::ALL {
            for kind in [ChecksumType::Composite, ChecksumType::FullObject] {
                assert_eq!(
                    ChecksumKindRow::new(algorithm, kind).parse(),
                    Some((algorithm, kind))
                );
            }
        }
    }

    #[test]
    fn metadata_survives_its_row() {
        let mut metadata = ObjectMetadata {
            content_type: Some(String::new()),
            ..ObjectMetadata::default()
        };
        metadata.user.insert("a".to_owned(), vec![0xE9, 0]);
        assert!(MetadataRow::from_metadata(&metadata).to_metadata() == metadata);
    }
}
