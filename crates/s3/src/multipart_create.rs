//! CreateMultipartUpload and AbortMultipartUpload, and how the other operations find an upload.

#![expect(
    clippy::needless_pass_by_value,
    reason = "an entry and its input are good for one operation"
)]

use bytes::Bytes;
use strongroom_crypto::ObjectIdentity;
use strongroom_policy::actions;
use strongroom_ports::{RowVersion, Table, Transaction};
use strongroom_sse::{CustomerHeaders, SseError};
use strongroom_types::{
    BucketUid, ChecksumAlgorithm, ChecksumType, ObjectKey, RequestContext, UploadId, VersionUid,
};

use crate::acls::{NewOwner, acl_to_rows};
use crate::convert::tags_to_rows;
use crate::data_keys::OpenedKey;
use crate::keys::Garbage;
use crate::object_put::check_metadata;
use crate::recorded::KeyUses;
use crate::rows::{ChecksumKindRow, MetadataRow, UploadRow};
use crate::{CreateMultipartUploadInput, CreateMultipartUploadOutput, Entry, S3, S3Error, keys};

/// An upload in progress, as it is stored now.
#[derive(Clone)]
pub(crate) struct FoundUpload {
    pub id: UploadId,
    /// Of the version that it will become. Data key and parts are bound to it.
    pub identity: ObjectIdentity,
    pub row_key: Bytes,
    /// What a transaction expects unchanged.
    pub stored: RowVersion,
    pub row: UploadRow,
}

impl S3 {
    /// Starts a multipart upload. How the object is encrypted is decided here, once.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::Sse`], [`S3Error::ChecksumTypeNotAllowed`], [`S3Error::MetadataTooLarge`],
    /// [`S3Error::NoSuchBucket`].
    pub fn create_multipart_upload(
        &self,
        entry: Entry<actions::PutObject>,
        input: CreateMultipartUploadInput,
    ) -> Result<CreateMultipartUploadOutput, S3Error> {
        let (bucket, key) = entry.object()?;
        let CreateMultipartUploadInput {
            metadata,
            tags,
            sse,
            checksum_algorithm,
            checksum_type,
            acl,
        } = input;
        let NewOwner {
            owner: object_owner,
            acl,
        } = self.owner_of_new(&entry, &acl)?;
        let plan = self.plan_write(&sse, bucket, key, entry.context())?;
        check_metadata(&metadata)?;
        let declared = declared_checksum(checksum_algorithm, checksum_type)?;
        let id = UploadId {
            initiated: self.ports.clock.now(),
            version_uid: VersionUid::random(&*self.ports.entropy),
        };
        let identity = ObjectIdentity {
            bucket: bucket.uid,
            key: key.clone(),
            version: id.version_uid,
        };
        let mut new_key = self.new_data_key(&plan, &identity, bucket, entry.context())?;
        KeyUses::of(new_key.record.take()).recorded(Ok(())).wait()?;
        // Without the customer's key at Complete there is no key to seal a default checksum under.
        let default = (!new_key.row.is_customer())
            .then_some((ChecksumAlgorithm::Crc64Nvme, ChecksumType::FullObject));
        let kept = declared.or(default);
        // An upload by nobody belongs to the bucket's owner.
        let owner = entry
            .context()
            .canonical_id
            .clone()
            .unwrap_or_else(|| bucket.owner_canonical_id.clone());
        let (asked_encryption, is_key_named) = entry.asked_encryption();
        let kms = new_key.row.kms.as_ref().filter(|_| is_key_named);
        let asked_kms_key = kms.map(|kms| kms.key_arn.clone());
        let row = UploadRow {
            owner: owner.as_str().to_owned(),
            key: new_key.row,
            metadata: MetadataRow::from_metadata(&metadata),
            tags: tags_to_rows(&tags),
            checksum: kept.map(|(algorithm, kind)| ChecksumKindRow::new(algorithm, kind)),
            completing: false,
            checksum_declared: declared.is_some(),
            asked_encryption,
            asked_kms_key,
            object_owner: (object_owner != owner).then(|| object_owner.as_str().to_owned()),
            acl: acl.as_ref().map(acl_to_rows),
        };
        let row_key = keys::upload(bucket.uid, key, id);
        let sealed = self.seal_row(Table::UPLOADS, &row_key, &row);
        self.commit_retrying(|_| {
            let (_, version) = self.same_bucket(bucket)?;
            let transaction = Transaction::new()
                .expect(Table::BUCKETS, keys::bucket(&bucket.name), Some(version))
                .put(Table::UPLOADS, row_key.clone(), sealed.clone());
            Ok((transaction, ()))
        })?;
        Ok(CreateMultipartUploadOutput {
            upload: id,
            encryption: new_key.answer,
            checksum: declared,
        })
    }

    /// Gives an upload up. Its parts are removed in the background.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchUpload`].
    pub fn abort_multipart_upload(
        &self,
        entry: Entry<actions::AbortMultipartUpload>,
        id: UploadId,
    ) -> Result<(), S3Error> {
        let (bucket, key) = entry.object()?;
        self.commit_retrying(|_| {
            let found = self
                .find_upload(bucket.uid, key, id)?
                .ok_or(S3Error::NoSuchUpload)?;
            // A part or a Complete that is under way expects this row and fails.
            let transaction = Transaction::new()
                .expect(Table::UPLOADS, found.row_key.clone(), Some(found.stored))
                .delete(Table::UPLOADS, found.row_key);
            Ok((
                self.put_garbage(transaction, Garbage::Parts(id.version_uid)),
                (),
            ))
        })
    }

    /// The upload of that id.
    pub(crate) fn find_upload(
        &self,
        bucket: BucketUid,
        key: &ObjectKey,
        id: UploadId,
    ) -> Result<Option<FoundUpload>, S3Error> {
        let row_key = keys::upload(bucket, key, id);
        let found = self.read_row::<UploadRow>(Table::UPLOADS, &row_key)?;
        let identity = ObjectIdentity {
            bucket,
            key: key.clone(),
            version: id.version_uid,
        };
        Ok(found.map(|(row, stored)| FoundUpload {
            id,
            identity,
            row_key,
            stored,
            row,
        }))
    }

    /// The upload's data key, opened with what a part's request brought (spec
    /// `s3-encryption.md` 2.7, 2 to 4).
    ///
    /// # Errors
    ///
    /// [`SseError::UploadEncryptionMissing`], [`SseError::UploadKeyMismatch`], and what is wrong
    /// with the trio itself; [`S3Error::Kms`].
    pub(crate) fn open_upload_key(
        &self,
        upload: &FoundUpload,
        customer: &CustomerHeaders,
        context: &RequestContext,
    ) -> Result<OpenedKey, S3Error> {
        if upload.row.key.is_customer() != customer.is_present() {
            return Err(SseError::UploadEncryptionMissing.into());
        }
        if customer.is_present() {
            // The rules of writes hold for parts: a key of another length is invalid, and not just
            // another key (spec `s3-encryption.md` 2.2).
            customer.parse()?;
        }
        let opened = self.open_data_key(&upload.row.key, &upload.identity, customer, context);
        opened.map_err(|error| {
            if error == S3Error::Sse(SseError::CustomerKeyWrong) {
                SseError::UploadKeyMismatch.into()
            } else {
                error
            }
        })
    }

    /// The upload's data key for an operation that can do without it where the upload is SSE-C and
    /// declared no checksum algorithm: then there is nothing that it would have to open.
    ///
    /// # Errors
    ///
    /// As [`S3::open_upload_key`].
    pub(crate) fn open_upload_key_if_needed(
        &self,
        upload: &FoundUpload,
        customer: &CustomerHeaders,
        context: &RequestContext,
    ) -> Result<Option<OpenedKey>, S3Error> {
        let needless = upload.row.key.is_customer() && upload.row.checksum.is_none();
        if needless && !customer.is_present() {
            return Ok(None);
        }
        self.open_upload_key(upload, customer, context).map(Some)
    }
}

/// The checksum algorithm and type that the headers declare.
fn declared_checksum(
    algorithm: Option<ChecksumAlgorithm>,
    kind: Option<ChecksumType>,
) -> Result<Option<(ChecksumAlgorithm, ChecksumType)>, S3Error> {
    match (algorithm, kind) {
        (None, None) => Ok(None),
        // A type alone speaks of the default algorithm.
        (algorithm, kind) => {
            let algorithm = algorithm.unwrap_or(ChecksumAlgorithm::Crc64Nvme);
            let kind = kind.unwrap_or(algorithm.default_type());
            if algorithm.allows(kind) {
                Ok(Some((algorithm, kind)))
            } else {
                Err(S3Error::ChecksumTypeNotAllowed(algorithm))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_type_must_be_one_of_its_algorithm() {
        use ChecksumAlgorithm as A;
        use ChecksumType::{Composite, FullObject};
        let cases = [
            (None, None, Ok(None)),
            (None, Some(FullObject), Ok(Some((A::Crc64Nvme, FullObject)))),
            (
                None,
                Some(Composite),
                Err(S3Error::ChecksumTypeNotAllowed(A::Crc64Nvme)),
            ),
            (Some(A::Crc32), None, Ok(Some((A::Crc32, Composite)))),
            (
                Some(A::Crc32c),
                Some(FullObject),
                Ok(Some((A::Crc32c, FullObject))),
            ),
            (
                Some(A::Sha256),
                Some(FullObject),
                Err(S3Error::ChecksumTypeNotAllowed(A::Sha256)),
            ),
            (
                Some(A::Crc64Nvme),
                None,
                Ok(Some((A::Crc64Nvme, FullObject))),
            ),
        ];
        for (algorithm, kind, expected) in cases {
            assert_eq!(
                declared_checksum(algorithm, kind),
                expected,
                "{algorithm:?} {kind:?}"
            );
        }
    }
}
