//! ListObjects, V1 and V2.

#![expect(
    clippy::needless_pass_by_value,
    reason = "an entry and its input are good for one operation"
)]

use strongroom_policy::actions;
use strongroom_ports::Table;
use strongroom_types::{ETag, StorageClass, Timestamp};

use crate::listing::{Listed, Met, Position, Walk};
use crate::rows::CurrentRow;
use crate::{BucketView, Entry, ListObjectsInput, ListObjectsOutput, ListedObject, S3, S3Error};

impl S3 {
    /// A page of the current objects of a bucket.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::Damaged`], [`S3Error::Unavailable`].
    pub fn list_objects(
        &self,
        entry: Entry<actions::ListBucket>,
        input: ListObjectsInput,
    ) -> Result<ListObjectsOutput, S3Error> {
        let view = entry.bucket().ok_or(S3Error::Unavailable)?;
        let bucket = view.uid;
        let ListObjectsInput {
            prefix,
            delimiter,
            after,
            max_keys,
        } = input;
        let mut output = ListObjectsOutput::default();
        if max_keys == 0 {
            return Ok(output);
        }
        let position = match after {
            Some(after) if !after.is_empty() => Position::BehindKey(after),
            _ => Position::Start,
        };
        let meta = &*self.ports.meta;
        let mut walk = Walk::new(
            meta,
            Listed::Current,
            bucket,
            &prefix,
            delimiter.as_deref(),
            &position,
            max_keys,
        );
        let mut last = None;
        for _ in 0..max_keys {
            match walk.step()? {
                None => return Ok(output),
                Some(Met::CommonPrefix(common)) => {
                    last = Some(common.clone());
                    output.common_prefixes.push(common);
                }
                Some(Met::Row(key, row)) => {
                    let current = self.open_scanned::<CurrentRow>(Table::CURRENT, &row)?;
                    last = Some(key.clone());
                    output.objects.push(listed_object(view, key, current)?);
                }
            }
        }
        if walk.step()?.is_some() {
            output.next_after = last;
        }
        Ok(output)
    }
}

fn listed_object(
    bucket: &BucketView,
    key: String,
    row: CurrentRow,
) -> Result<ListedObject, S3Error> {
    Ok(ListedObject {
        key,
        last_modified: Timestamp::from_millis(row.last_modified_millis),
        etag: ETag::from_stored(&row.etag),
        size_bytes: row.size_bytes,
        storage_class: StorageClass::Standard,
        checksum: row.checksum.and_then(crate::rows::ChecksumKindRow::parse),
        owner: bucket.owner_of(&row.owner)?,
    })
}
