//! PutObject, and POST Object.

use std::pin::Pin;
use std::sync::Arc;

use strongroom_crypto::{Layers, ObjectIdentity};
use strongroom_policy::actions::PutObject;
use strongroom_ports::CommitError;
use strongroom_sse::WritePlan;
use strongroom_types::limits::{SINGLE_PUT_MAX_BYTES, USER_METADATA_MAX_BYTES};
use strongroom_types::{ChecksumAlgorithm, ChecksumType, ETag, ObjectMetadata, VersionUid};

use crate::acls::{NewOwner, acl_to_rows};
use crate::checksum_seal::seal_checksum;
use crate::convert::tags_to_rows;
use crate::data_keys::NewKey;
use crate::publish::{NewVersion, Published};
use crate::recorded::KeyUses;
use crate::recovery::RecoveryRow;
use crate::rows::{ChecksumKindRow, ContentRow, MetadataRow, ObjectRow, PairRow};
use crate::stream_in::{StoredStream, StreamJob, collect_body};
use crate::worker::on_worker;
use crate::{
    BodySource, Entry, ExpectedDigests, PutObjectInput, PutObjectOutput, S3, S3Error, WantedAcl,
    WriteConditions,
};

/// An object that is about to be written from one stream, by a PUT or a copy.
pub(crate) struct NewObject {
    pub job: Arc<StreamJob>,
    pub key: NewKey,
    pub metadata: MetadataRow,
    pub tags: Vec<PairRow>,
    pub owner: NewOwner,
    pub checksum: ChecksumAlgorithm,
    pub conditions: WriteConditions,
}

impl S3 {
    /// PutObject: stores `body` and makes it the current version.
    ///
    /// # Errors
    ///
    /// [`S3Error::EntityTooLarge`], [`S3Error::MetadataTooLarge`], [`S3Error::Sse`],
    /// [`S3Error::Body`], the digests' errors, [`S3Error::PreconditionFailed`],
    /// [`S3Error::NoSuchKey`] for an `If-Match` on nothing, [`S3Error::NoSuchBucket`],
    /// [`S3Error::NoSpace`], [`S3Error::Contention`], [`S3Error::Unavailable`].
    pub async fn put_object(
        self: &Arc<Self>,
        entry: Entry<PutObject>,
        input: PutObjectInput,
        body: Pin<Box<dyn BodySource>>,
    ) -> Result<PutObjectOutput, S3Error> {
        let entry = Arc::new(entry);
        let owner = if input.acl == WantedAcl::Unspecified {
            self.owner_of_new(&entry, &input.acl)?
        } else {
            let (service, entry, acl) = (Arc::clone(self), Arc::clone(&entry), input.acl.clone());
            on_worker(move || service.owner_of_new(&entry, &acl)).await??
        };
        let (bucket, key) = entry.object()?;
        if input.content_length > SINGLE_PUT_MAX_BYTES {
            return Err(S3Error::EntityTooLarge {
                size_bytes: input.content_length,
                max_bytes: SINGLE_PUT_MAX_BYTES,
            });
        }
        check_metadata(&input.metadata)?;
        let plan = self.plan_write(&input.sse, bucket, key, entry.context())?;
        let small = self.fits_inline(key, input.content_length, layers_of(&plan));
        if !small && input.conditions != WriteConditions::default() {
            // A large body that is going to be refused need not be sent.
            let (service, bucket, key) = (Arc::clone(self), bucket.uid, key.clone());
            let conditions = input.conditions.clone();
            on_worker(move || {
                conditions.check(&key, service.latest_version(bucket, &key)?.as_ref())
            })
            .await??;
        }
        if small {
            self.put_small(entry, input, owner, plan, body).await
        } else {
            self.put_large(entry, input, owner, plan, body).await
        }
    }

    /// One hop for everything: digests, keys, sealing, lookup and the commit's submission. The record
    /// of the use of a key is written together with the object.
    async fn put_small(
        self: &Arc<Self>,
        entry: Arc<Entry<PutObject>>,
        input: PutObjectInput,
        owner: NewOwner,
        plan: WritePlan,
        body: Pin<Box<dyn BodySource>>,
    ) -> Result<PutObjectOutput, S3Error> {
        let (plaintext, trailing) = collect_body(body, input.content_length).await?;
        let service = Arc::clone(self);
        let submitted = on_worker(move || {
            let mut new = service.new_object(&entry, input, owner, &plan)?;
            let mut record = new.key.record.take();
            let mut submit = || {
                let stored = service.store_small(&new.job, &plaintext, trailing.as_deref())?;
                let mut version = service.version_of(&entry, &new, &stored)?;
                if let Some(record) = &mut record {
                    version.writes.extend_from_slice(record.writes());
                }
                let (transaction, published) = service.prepare_version(&version, 0)?;
                let pending = service.ports.meta.commit(transaction);
                Ok::<_, S3Error>((stored, version, published, pending))
            };
            match submit() {
                Ok(submitted) => Ok((new, submitted, record)),
                // The key was used all the same.
                Err(error) => KeyUses::of(record).recorded(Err(error)).wait(),
            }
        });
        let (new, (stored, version, published, pending), record) = submitted.await??;
        let published = match pending.await {
            Ok(_) => Ok(published),
            Err(CommitError::Conflict) => self.publish_from_task(Arc::new(version), 1).await,
            Err(error) => Err(error.into()),
        };
        match published {
            Ok(published) => {
                if let Some(record) = record {
                    record.written();
                }
                Ok(put_output(&new, &stored, published))
            }
            Err(error) => KeyUses::of(record).recorded(Err(error)).durable().await,
        }
    }

    async fn put_large(
        self: &Arc<Self>,
        entry: Arc<Entry<PutObject>>,
        input: PutObjectInput,
        owner: NewOwner,
        plan: WritePlan,
        body: Pin<Box<dyn BodySource>>,
    ) -> Result<PutObjectOutput, S3Error> {
        let mut new = if plan.needs_key_service() {
            let (service, entry) = (Arc::clone(self), Arc::clone(&entry));
            on_worker(move || service.new_object(&entry, input, owner, &plan)).await??
        } else {
            self.new_object(&entry, input, owner, &plan)?
        };
        let uses = KeyUses::of(new.key.record.take());
        let output = self.store_and_publish(&entry, new, body).await;
        uses.recorded(output).durable().await
    }

    async fn store_and_publish(
        self: &Arc<Self>,
        entry: &Entry<PutObject>,
        new: NewObject,
        body: Pin<Box<dyn BodySource>>,
    ) -> Result<PutObjectOutput, S3Error> {
        let stored = self.store_stream(Arc::clone(&new.job), body).await?;
        let version = Arc::new(self.version_of(entry, &new, &stored)?);
        let service = Arc::clone(self);
        // A task of its own: the stream stays known as being written until its commit is decided,
        // also when the client goes away meanwhile.
        let publishing = tokio::spawn(async move {
            match service.publish_from_task(version, 0).await {
                Ok(published) => Ok(put_output(&new, &stored, published)),
                Err(error) => {
                    let (service, because) = (Arc::clone(&service), error.clone());
                    on_worker(move || service.discard_stream(&stored, &because)).await?;
                    Err(error)
                }
            }
        });
        publishing.await.map_err(|_| S3Error::Unavailable)?
    }

    fn new_object(
        &self,
        entry: &Entry<PutObject>,
        input: PutObjectInput,
        owner: NewOwner,
        plan: &WritePlan,
    ) -> Result<NewObject, S3Error> {
        let PutObjectInput {
            content_length,
            metadata,
            tags,
            sse: _,
            conditions,
            digests,
            acl: _,
        } = input;
        let checksum = digests.checksum.as_ref().map(|checksum| checksum.algorithm);
        let (metadata, tags) = (MetadataRow::from_metadata(&metadata), tags_to_rows(&tags));
        self.new_object_of(
            entry,
            plan,
            content_length,
            metadata,
            tags,
            owner,
            checksum,
            digests,
            conditions,
        )
    }

    /// Draws identity and keys of a new object of one stream.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one fact of the object, named where it is given"
    )]
    pub(crate) fn new_object_of(
        &self,
        entry: &Entry<PutObject>,
        plan: &WritePlan,
        content_length: u64,
        metadata: MetadataRow,
        tags: Vec<PairRow>,
        owner: NewOwner,
        checksum: Option<ChecksumAlgorithm>,
        expected: ExpectedDigests,
        conditions: WriteConditions,
    ) -> Result<NewObject, S3Error> {
        let (bucket, object_key) = entry.object()?;
        let entropy = &*self.ports.entropy;
        let version = VersionUid::random(entropy);
        let identity = ObjectIdentity {
            bucket: bucket.uid,
            key: object_key.clone(),
            version,
        };
        let key = self.new_data_key(plan, &identity, bucket, entry.context())?;
        let opaque_etag = key.row.hides_md5().then(|| opaque_etag(self));
        let checksum = checksum.unwrap_or(ChecksumAlgorithm::Crc64Nvme);
        let now = self.ports.clock.now();
        let named = owner.owner.as_str();
        let recovery =
            RecoveryRow::of_object(&identity, named, now, metadata.clone(), tags.clone());
        let job = Arc::new(StreamJob {
            identity,
            part: None,
            body_keys: Arc::clone(&key.body_keys),
            wrapped: key.wrapped.clone(),
            kms: key.row.kms.clone(),
            lease: key.lease.clone(),
            content_length,
            opaque_etag,
            checksum: Some(checksum),
            expected,
            recovery,
        });
        Ok(NewObject {
            job,
            key,
            metadata,
            tags,
            owner,
            checksum,
            conditions,
        })
    }

    /// The version that a stored stream becomes.
    pub(crate) fn version_of(
        &self,
        entry: &Entry<PutObject>,
        new: &NewObject,
        stored: &StoredStream,
    ) -> Result<NewVersion, S3Error> {
        let (bucket, object_key) = entry.object()?;
        let NewObject {
            job,
            key,
            metadata,
            tags,
            owner: NewOwner { owner, acl },
            checksum,
            conditions,
        } = new;
        let identity = &job.identity;
        let value = stored.digests.full_object(*checksum);
        let sealed_checksum = value.map(|value| {
            seal_checksum(
                job.body_keys.data_key(),
                identity,
                None,
                &value,
                &*self.ports.entropy,
            )
        });
        let object = ObjectRow {
            size_bytes: stored.size_bytes,
            etag: stored.etag.as_str().to_owned(),
            key: key.row.clone(),
            content: ContentRow::Single(stored.place_row()),
            checksum_kind: Some(ChecksumKindRow::new(*checksum, ChecksumType::FullObject)),
            sealed_checksum,
            metadata: metadata.clone(),
            tags: tags.clone(),
        };
        Ok(NewVersion {
            bucket: Arc::clone(bucket),
            bucket_version: entry.bucket_version,
            key: object_key.clone(),
            uid: identity.version,
            owner: owner.clone(),
            acl: acl.as_ref().map(acl_to_rows),
            last_modified: self.ports.clock.now(),
            object: Some(object),
            checks: conditions.clone(),
            conditions: Vec::new(),
            writes: vec![self.place_writes(stored, identity, None)],
            lease: job.lease.clone(),
        })
    }
}

/// The answer for an object that is durable and current.
pub(crate) fn put_output(
    new: &NewObject,
    stored: &StoredStream,
    published: Published,
) -> PutObjectOutput {
    PutObjectOutput {
        etag: stored.etag.clone(),
        version: published.version,
        encryption: new.key.answer.clone(),
        checksum: stored.digests.full_object(new.checksum),
        size_bytes: stored.size_bytes,
    }
}

/// How many layers a body gets under `plan`.
const fn layers_of(plan: &WritePlan) -> Layers {
    match plan {
        WritePlan::SseS3 | WritePlan::SseC(_) | WritePlan::Kms { .. } => Layers::One,
        WritePlan::Dsse { .. } => Layers::Two,
    }
}

/// A tag that says nothing of the content, for objects under a customer's or the key service's key.
pub(crate) fn opaque_etag(service: &S3) -> ETag {
    let mut digest = [0; 16];
    service.ports.entropy.fill(&mut digest);
    ETag::from_digest(digest)
}

/// User metadata within S3's bound.
///
/// # Errors
///
/// [`S3Error::MetadataTooLarge`].
pub(crate) fn check_metadata(metadata: &ObjectMetadata) -> Result<(), S3Error> {
    let size_bytes = metadata
        .user
        .iter()
        .map(|(name, value)| name.len().saturating_add(value.len()))
        .sum();
    if size_bytes > USER_METADATA_MAX_BYTES {
        return Err(S3Error::MetadataTooLarge { size_bytes });
    }
    Ok(())
}
