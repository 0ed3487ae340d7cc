//! UpdateObjectEncryption: another key around the same data key. Body, ETag and dates stay.
//!
//! The version's row says how its data key is kept. The footers of its blobs say it once more, and
//! are rewritten before the answer: the key that it was wrapped under before opens none of them then.

use strongroom_policy::Conditions;
use strongroom_policy::actions::UpdateObjectEncryption;
use strongroom_ports::{KeyLease, KeyReference, Table, Transaction};
use strongroom_sse::{ClientContext, CustomerHeaders};
use strongroom_types::kms::KeyArn;
use strongroom_types::{ObjectKey, Principal, RequestContext, SseAlgorithm, VersionId};

use crate::data_keys::{KmsWrapped, check_lease};
use crate::integrity::Damage;
use crate::recorded::KeyUses;
use crate::rows::{KeyRow, ObjectRow};
use crate::{BucketView, Entry, ReEncryptionRefusal, S3, S3Error, UpdateObjectEncryptionInput};

/// Adds what a write of an object says that is to be encrypted with that key: to change an object's
/// key is to write it, and policies that ask writes for their encryption see the one that it gets.
pub fn encrypted_with(conditions: Conditions, key: &KeyArn) -> Conditions {
    conditions
        .with(
            "s3:x-amz-server-side-encryption",
            SseAlgorithm::AwsKms.name(),
        )
        .with(
            "s3:x-amz-server-side-encryption-aws-kms-key-id",
            key.to_string(),
        )
}

/// What an update came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Updated {
    /// The data key is wrapped anew.
    Changed(Option<VersionId>),
    /// It was encrypted like that before.
    Already(Option<VersionId>),
}

impl S3 {
    /// UpdateObjectEncryption. Blocks until it is durable, and until no blob of the version holds its
    /// data key as it was wrapped before; should a blob not let itself be rewritten, that is logged
    /// and tried again in the background.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchKey`], [`S3Error::NoSuchVersion`], [`S3Error::IsDeleteMarker`],
    /// [`S3Error::ReEncryption`], [`S3Error::Kms`], [`S3Error::Damaged`], [`S3Error::Contention`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an entry is good for one operation"
    )]
    pub fn update_object_encryption(
        &self,
        entry: Entry<UpdateObjectEncryption>,
        input: UpdateObjectEncryptionInput,
    ) -> Result<Option<VersionId>, S3Error> {
        match self.update_encryption(&entry, &input, false)? {
            Updated::Changed(version) | Updated::Already(version) => Ok(version),
        }
    }

    /// As [`S3::update_object_encryption`]; `if_different` leaves alone what is so already.
    pub(crate) fn update_encryption(
        &self,
        entry: &Entry<UpdateObjectEncryption>,
        input: &UpdateObjectEncryptionInput,
        if_different: bool,
    ) -> Result<Updated, S3Error> {
        let (bucket, key) = entry.object()?;
        let context = entry.context();
        if context.principal == Principal::Anonymous {
            return Err(ReEncryptionRefusal::NotSigned.into());
        }
        self.allow_kms(context)?;
        let (updated, pending) = self.commit_retrying(|_| {
            let (mut found, mut object) = self.existing_object(bucket, key, input.version)?;
            let shown = found.shown_id(bucket);
            refuse(&object, bucket, input)?;
            if if_different && is_so(&object.key, input) {
                return Ok((Transaction::new(), (Updated::Already(shown), None)));
            }
            let (row, leases) = self.wrapped_anew(bucket, key, &found, &object, context, input)?;
            object.key = row;
            let version = found.row.uid();
            let (asked, pending) = self.put_pending_footers(Transaction::new(), &found, &object);
            found.row.object = Some(object);
            let sealed = self.seal_row(Table::VERSIONS, &found.row_key, &found.row);
            let transaction = asked
                .expect(Table::VERSIONS, found.row_key.clone(), Some(found.stored))
                .put(Table::VERSIONS, found.row_key, sealed);
            for lease in &leases {
                check_lease(lease.as_ref())?;
            }
            let updated = Updated::Changed(shown);
            Ok((transaction, (updated, pending.then_some(version))))
        })?;
        // The change is made whatever comes of this: what fails here, the collector tries again.
        if let Some(version) = pending {
            self.rewrite_pending_footers(version);
        }
        Ok(updated)
    }

    /// The data key of a version, opened as the caller and wrapped under the new key, and the leases
    /// of the old key and the new.
    fn wrapped_anew(
        &self,
        bucket: &BucketView,
        key: &ObjectKey,
        found: &crate::lookup::FoundVersion,
        object: &ObjectRow,
        context: &RequestContext,
        input: &UpdateObjectEncryptionInput,
    ) -> Result<(KeyRow, [Option<KeyLease>; 2]), S3Error> {
        let identity = strongroom_crypto::ObjectIdentity {
            bucket: bucket.uid,
            key: key.clone(),
            version: found.row.uid(),
        };
        let customer = CustomerHeaders::default();
        let opened = self.open_data_key(&object.key, &identity, &customer, context)?;
        // The client's pairs stay: there is no field to name others.
        let client = match &object.key.kms {
            None => ClientContext::default(),
            Some(kms) => {
                let kept = kms.parse();
                let kept = kept.ok_or_else(|| self.damaged(&identity, Damage::of("key row")))?;
                ClientContext::from_pairs(kept.client_pairs)
            }
        };
        let reference = KeyReference::Named(input.key.to_string());
        let KmsWrapped {
            wrapped,
            encryption,
            lease,
            record,
        } = self.wrap_under_kms(
            opened.body_keys.data_key(),
            &identity,
            bucket,
            context,
            (SseAlgorithm::AwsKms, &reference, &client, input.bucket_key),
        )?;
        KeyUses::of(record).recorded(Ok(())).wait()?;
        let row = KeyRow {
            wrapped: wrapped.as_bytes().to_vec(),
            customer_verifier: None,
            kms: Some(encryption.to_row()),
        };
        Ok((row, [opened.lease, Some(lease)]))
    }
}

fn refuse(
    object: &ObjectRow,
    bucket: &BucketView,
    input: &UpdateObjectEncryptionInput,
) -> Result<(), S3Error> {
    if object.key.is_customer() {
        return Err(ReEncryptionRefusal::SourceSseC.into());
    }
    let dsse = SseAlgorithm::AwsKmsDsse.name();
    if object
        .key
        .kms
        .as_ref()
        .is_some_and(|kms| kms.algorithm == dsse)
    {
        return Err(ReEncryptionRefusal::SourceDsse.into());
    }
    if input.key.account != bucket.owner {
        return Err(ReEncryptionRefusal::ForeignKey.into());
    }
    Ok(())
}

fn is_so(row: &KeyRow, input: &UpdateObjectEncryptionInput) -> bool {
    row.kms.as_ref().is_some_and(|kms| {
        kms.key_arn == input.key.to_string() && kms.bucket_key == input.bucket_key
    })
}
