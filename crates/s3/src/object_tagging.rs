//! The tags of an object version.

use strongroom_policy::Action;
use strongroom_policy::actions::{
    DeleteObjectTagging, GetObject, GetObjectTagging, PutObjectTagging,
};
use strongroom_ports::{Table, Transaction};
use strongroom_types::limits::OBJECT_TAGS_MAX;
use strongroom_types::{TagSet, VersionId};

use crate::convert::{tags_from_rows, tags_to_rows};
use crate::rows::PairRow;
use crate::{Entry, S3, S3Error};

impl S3 {
    /// GetObjectTagging: the tags, and the version where the bucket has versions. Blocks.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchKey`], [`S3Error::NoSuchVersion`], [`S3Error::IsDeleteMarker`],
    /// [`S3Error::Damaged`], [`S3Error::Unavailable`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an entry is good for one operation"
    )]
    pub fn get_object_tagging(
        &self,
        entry: Entry<GetObjectTagging>,
        version: Option<VersionId>,
    ) -> Result<(TagSet, Option<VersionId>), S3Error> {
        let (bucket, key) = entry.object()?;
        let (found, object) = self.existing_object(bucket, key, version)?;
        entry.check_decided(&found)?;
        let tags = tags_from_rows(&object.tags, OBJECT_TAGS_MAX).ok_or(S3Error::Damaged)?;
        Ok((tags, found.shown_id(bucket)))
    }

    /// The tags of the version that is to be copied. One that is not there has none: the copy will
    /// say so. Blocks.
    ///
    /// # Errors
    ///
    /// [`S3Error::Contention`] if it was replaced since the request entered; [`S3Error::Damaged`],
    /// [`S3Error::Unavailable`].
    pub fn tags_to_copy(
        &self,
        entry: &Entry<GetObject>,
        version: Option<VersionId>,
    ) -> Result<TagSet, S3Error> {
        let (bucket, key) = entry.object()?;
        match self.existing_object(bucket, key, version) {
            Ok((found, object)) => {
                entry.check_decided(&found)?;
                tags_from_rows(&object.tags, OBJECT_TAGS_MAX).ok_or(S3Error::Damaged)
            }
            Err(
                S3Error::NoSuchKey { .. }
                | S3Error::NoSuchVersion { .. }
                | S3Error::IsDeleteMarker { .. },
            ) => Ok(TagSet::default()),
            Err(error) => Err(error),
        }
    }

    /// PutObjectTagging: replaces the tags. Blocks until it is durable.
    ///
    /// # Errors
    ///
    /// As [`S3::get_object_tagging`], [`S3Error::Contention`] and [`S3Error::NoSpace`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an entry is good for one operation"
    )]
    pub fn put_object_tagging(
        &self,
        entry: Entry<PutObjectTagging>,
        version: Option<VersionId>,
        tags: TagSet,
    ) -> Result<Option<VersionId>, S3Error> {
        self.set_tags(&entry, version, &tags_to_rows(&tags))
    }

    /// DeleteObjectTagging: removes all tags. Blocks until it is durable.
    ///
    /// # Errors
    ///
    /// As [`S3::put_object_tagging`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an entry is good for one operation"
    )]
    pub fn delete_object_tagging(
        &self,
        entry: Entry<DeleteObjectTagging>,
        version: Option<VersionId>,
    ) -> Result<Option<VersionId>, S3Error> {
        self.set_tags(&entry, version, &[])
    }

    fn set_tags<A: Action>(
        &self,
        entry: &Entry<A>,
        version: Option<VersionId>,
        tags: &[PairRow],
    ) -> Result<Option<VersionId>, S3Error> {
        let (bucket, key) = entry.object()?;
        self.commit_retrying(|_| {
            let (mut found, mut object) = self.existing_object(bucket, key, version)?;
            entry.check_decided(&found)?;
            object.tags = tags.to_vec();
            found.row.object = Some(object);
            let sealed = self.seal_row(Table::VERSIONS, &found.row_key, &found.row);
            let shown = found.shown_id(bucket);
            let transaction = Transaction::new()
                .expect(Table::VERSIONS, found.row_key.clone(), Some(found.stored))
                .put(Table::VERSIONS, found.row_key, sealed);
            Ok((transaction, shown))
        })
    }
}
