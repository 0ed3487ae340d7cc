//! CopyObject: always a new stream under a new data key, whatever the source was.

use std::sync::Arc;

use strongroom_crypto::ObjectIdentity;
use strongroom_policy::actions::{GetObject, PutObject};
use strongroom_types::limits::{OBJECT_TAGS_MAX, SINGLE_PUT_MAX_BYTES};
use strongroom_types::{ByteRange, ETag, SseAlgorithm, VersionId};

use crate::convert::{tags_from_rows, tags_to_rows};
use crate::data_keys::OpenedKey;
use crate::integrity::Damage;
use crate::lookup::FoundVersion;
use crate::object_put::{check_metadata, put_output};
use crate::recorded::KeyUses;
use crate::rows::{MetadataRow, ObjectRow};
use crate::stream_out::ObjectReader;
use crate::{
    CopyObjectInput, CopyObjectOutput, CopySource, Entry, ExpectedDigests, MetadataDirective, S3,
    S3Error, TaggingDirective,
};

/// The source of a copy: it exists, its conditions hold, and its data key is open.
pub(crate) struct OpenedSource {
    pub found: FoundVersion,
    pub object: ObjectRow,
    pub identity: ObjectIdentity,
    pub key: OpenedKey,
    /// Its version, where its bucket has versions.
    pub version: Option<VersionId>,
}

impl S3 {
    /// CopyObject. Blocks until the copy is durable.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchKey`], [`S3Error::NoSuchVersion`], [`S3Error::CopySourceIsDeleteMarker`] and
    /// [`S3Error::Sse`] of the source; [`S3Error::PreconditionFailed`] for either side's conditions;
    /// [`S3Error::CopyOntoItself`]; [`S3Error::CopySourceTooLarge`] for a source beyond 5 GiB;
    /// [`S3Error::Contention`] where what was decided about has changed; and those
    /// of PutObject.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an entry is good for one operation"
    )]
    pub fn copy_object(
        self: &Arc<Self>,
        source: Entry<GetObject>,
        destination: Entry<PutObject>,
        copy_source: CopySource,
        input: CopyObjectInput,
    ) -> Result<CopyObjectOutput, S3Error> {
        let (bucket, key) = destination.object()?;
        let opened = self.open_copy_source(&source, &copy_source)?;
        let plan = self.plan_write(&input.sse, bucket, key, destination.context())?;
        refuse_idle_copy(&source, &destination, &copy_source, &input, &opened)?;
        let owner = self.owner_of_new(&destination, &input.acl)?;
        let size_bytes = opened.object.size_bytes;
        if size_bytes > SINGLE_PUT_MAX_BYTES {
            return Err(S3Error::CopySourceTooLarge { size_bytes });
        }

        let mut metadata = match &input.metadata {
            MetadataDirective::Copy => opened.object.metadata.clone(),
            MetadataDirective::Replace(metadata) => {
                check_metadata(metadata)?;
                MetadataRow::from_metadata(metadata)
            }
        };
        metadata
            .website_redirect_location
            .clone_from(&input.website_redirect_location);
        let tags = match &input.tags {
            TaggingDirective::Copy | TaggingDirective::CopyOf(_) => {
                tags_from_rows(&opened.object.tags, OBJECT_TAGS_MAX).ok_or(S3Error::Damaged)?
            }
            TaggingDirective::Replace(tags) => tags.clone(),
        };
        if let TaggingDirective::CopyOf(allowed) = &input.tags
            && *allowed != tags
        {
            return Err(S3Error::Contention);
        }
        // Every byte passes through here, so the checksum is computed anew: over the whole object,
        // also where the source has one of parts.
        let kept = opened
            .object
            .checksum_kind
            .and_then(|kind| Some(kind.parse()?.0));
        let checksum = input.checksum_algorithm.or(kept);

        let mut reader =
            self.open_source_range(&source, &copy_source, &opened, ByteRange::whole(size_bytes))?;
        let mut new = self.new_object_of(
            &destination,
            &plan,
            size_bytes,
            metadata,
            tags_to_rows(&tags),
            owner,
            checksum,
            ExpectedDigests::default(),
            input.conditions.clone(),
        )?;
        let uses = KeyUses::of(new.key.record.take());
        let mut copy = || {
            let stored = self.store_from(&new.job, &mut || reader.next_window(self))?;
            let version = self.version_of(&destination, &new, &stored)?;
            match self.publish(&version) {
                Ok(published) => Ok(CopyObjectOutput {
                    object: put_output(&new, &stored, published),
                    last_modified: version.last_modified,
                    source_version: opened.version,
                }),
                Err(error) => {
                    self.discard_stream(&stored, &error);
                    Err(error)
                }
            }
        };
        let copied = copy();
        uses.recorded(copied).wait()
    }

    /// Finds a copy's source, judges the conditions on it and opens its data key.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchKey`], [`S3Error::NoSuchVersion`], [`S3Error::CopySourceIsDeleteMarker`],
    /// [`S3Error::Sse`], [`S3Error::PreconditionFailed`], [`S3Error::Damaged`].
    pub(crate) fn open_copy_source(
        &self,
        source: &Entry<GetObject>,
        copy_source: &CopySource,
    ) -> Result<OpenedSource, S3Error> {
        let (bucket, key) = source.object()?;
        let (found, object) = match self.existing_object(bucket, key, copy_source.version) {
            Err(S3Error::IsDeleteMarker { .. }) => return Err(S3Error::CopySourceIsDeleteMarker),
            other => other?,
        };
        source.check_decided(&found)?;
        let identity = ObjectIdentity {
            bucket: bucket.uid,
            key: key.clone(),
            version: found.row.uid(),
        };
        let customer = &copy_source.customer;
        let opened = self.open_data_key(&object.key, &identity, customer, source.context())?;
        let etag = ETag::from_stored(&object.etag);
        copy_source
            .conditions
            .check_copy_source(&etag, found.row.last_modified())?;
        let version = found.shown_id(bucket);
        Ok(OpenedSource {
            found,
            object,
            identity,
            key: opened,
            version,
        })
    }

    /// A reader of the source's bytes. The source was found just before; where it was replaced since
    /// then, the client tries again, because all that was decided was decided about the old one.
    ///
    /// # Errors
    ///
    /// [`S3Error::Contention`] for a source that was replaced; [`S3Error::Damaged`],
    /// [`S3Error::Unavailable`].
    pub(crate) fn open_source_range(
        &self,
        source: &Entry<GetObject>,
        copy_source: &CopySource,
        opened: &OpenedSource,
        range: ByteRange,
    ) -> Result<ObjectReader, S3Error> {
        let (bucket, key) = source.object()?;
        let OpenedSource {
            found,
            object,
            identity,
            key: opened_key,
            version: _,
        } = opened;
        if let Some(reader) = self.open_object(opened_key, identity, found, object, range)? {
            return Ok(reader);
        }
        match self.find_version(bucket.uid, key, copy_source.version)? {
            Some(now) if now.row.uid == found.row.uid => {
                Err(self.damaged(identity, Damage::of("stream missing")))
            }
            Some(_) | None => Err(S3Error::Contention),
        }
    }
}

/// A copy onto itself must change something (spec `s3-encryption.md` 1.3, CopyObject 9).
fn refuse_idle_copy(
    source: &Entry<GetObject>,
    destination: &Entry<PutObject>,
    copy_source: &CopySource,
    input: &CopyObjectInput,
    opened: &OpenedSource,
) -> Result<(), S3Error> {
    let (from, from_key) = source.object()?;
    let (to, to_key) = destination.object()?;
    if from.uid != to.uid || from_key != to_key || copy_source.version.is_some() {
        return Ok(());
    }
    let replaces = matches!(input.metadata, MetadataDirective::Replace(_))
        || matches!(input.tags, TaggingDirective::Replace(_));
    let re_encrypts = input.sse.is_present()
        || opened.object.key.hides_md5()
        || to.encryption.explicitly_set
        || to.encryption.algorithm != SseAlgorithm::Aes256;
    if replaces
        || re_encrypts
        || input.storage_class_given
        || input.website_redirect_location.is_some()
    {
        Ok(())
    } else {
        Err(S3Error::CopyOntoItself)
    }
}
