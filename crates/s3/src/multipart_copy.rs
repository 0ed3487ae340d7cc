//! UploadPartCopy: a part whose plaintext is a range of an object.

use std::sync::Arc;

use strongroom_crypto::ObjectIdentity;
use strongroom_policy::actions;
use strongroom_types::limits::PART_MAX_BYTES;
use strongroom_types::{ByteRange, ETag, VersionId};

use crate::integrity::Damage;
use crate::multipart_part::PartRequest;
use crate::stream_out::ObjectReader;
use crate::{
    CopySource, Entry, ExpectedDigests, S3, S3Error, UploadPartCopyInput, UploadPartOutput,
};

/// How often a source that is replaced meanwhile is looked up again.
const SOURCE_ATTEMPTS: u32 = 16;

/// A source that is open for reading.
struct OpenSource {
    reader: ObjectReader,
    len_bytes: u64,
    version: Option<VersionId>,
}

impl S3 {
    /// Makes a range of an object a part. It is opened and sealed anew: nothing of the source's key
    /// or ciphertext is used again.
    ///
    /// Blocks on the stores: call from a worker thread.
    ///
    /// # Errors
    ///
    /// Those of [`S3::upload_part`] and of reading the source; [`S3Error::PreconditionFailed`],
    /// [`S3Error::CopySourceIsDeleteMarker`], [`S3Error::InvalidCopySourceRange`],
    /// [`S3Error::CopySourceTooLarge`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an entry is good for one operation"
    )]
    pub fn upload_part_copy(
        self: &Arc<Self>,
        source: Entry<actions::GetObject>,
        destination: Entry<actions::PutObject>,
        copy_source: CopySource,
        input: UploadPartCopyInput,
    ) -> Result<UploadPartOutput, S3Error> {
        let UploadPartCopyInput {
            upload,
            part_number,
            source_range,
            customer,
        } = input;
        let OpenSource {
            mut reader,
            len_bytes,
            version,
        } = self.open_source(&source, &copy_source, source_range)?;
        let request = PartRequest {
            upload,
            number: part_number,
            content_length: len_bytes,
            customer: &customer,
            digests: ExpectedDigests::default(),
            copied: true,
        };
        let prepared = self.prepare_part(&destination, request)?;
        let stored = self.store_from(&prepared.job, &mut || reader.next_window(self))?;
        self.keep_part(prepared, &stored, version)
    }

    fn open_source(
        &self,
        entry: &Entry<actions::GetObject>,
        source: &CopySource,
        range: Option<ByteRange>,
    ) -> Result<OpenSource, S3Error> {
        let (bucket, key) = entry.object()?;
        let mut missing = None;
        for _ in 0..SOURCE_ATTEMPTS {
            let (found, object) =
                self.existing_object(bucket, key, source.version)
                    .map_err(|error| {
                        if matches!(error, S3Error::IsDeleteMarker { .. }) {
                            S3Error::CopySourceIsDeleteMarker
                        } else {
                            error
                        }
                    })?;
            entry.check_decided(&found)?;
            let identity = ObjectIdentity {
                bucket: bucket.uid,
                key: key.clone(),
                version: found.row.uid(),
            };
            if missing == Some(identity.version) {
                return Err(self.damaged(&identity, Damage::of("stream missing")));
            }
            let opened =
                self.open_data_key(&object.key, &identity, &source.customer, entry.context())?;
            let etag = ETag::from_stored(&object.etag);
            source
                .conditions
                .check_copy_source(&etag, found.row.last_modified())?;
            let bytes = copied_range(range, object.size_bytes)?;
            if let Some(reader) = self.open_object(&opened, &identity, &found, &object, bytes)? {
                let (len_bytes, version) = (bytes.len_bytes(), found.shown_id(bucket));
                return Ok(OpenSource {
                    reader,
                    len_bytes,
                    version,
                });
            }
            // Replaced since its row was read, or lost: the row tells when it is read again.
            missing = Some(identity.version);
        }
        Err(S3Error::Contention)
    }
}

fn copied_range(range: Option<ByteRange>, size_bytes: u64) -> Result<ByteRange, S3Error> {
    let range = match range {
        None => ByteRange::whole(size_bytes),
        Some(range) if range.start < range.end && range.end <= size_bytes => range,
        Some(_) => return Err(S3Error::InvalidCopySourceRange { size_bytes }),
    };
    if range.len_bytes() > PART_MAX_BYTES {
        return Err(S3Error::CopySourceTooLarge {
            size_bytes: range.len_bytes(),
        });
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_ranges_lie_inside_of_the_source() {
        let range = |start, end| Some(ByteRange { start, end });
        assert_eq!(copied_range(None, 0), Ok(ByteRange { start: 0, end: 0 }));
        assert_eq!(
            copied_range(range(2, 10), 10),
            Ok(ByteRange { start: 2, end: 10 })
        );
        for bad in [range(2, 11), range(10, 11), range(3, 3)] {
            let refused = Err(S3Error::InvalidCopySourceRange { size_bytes: 10 });
            assert_eq!(copied_range(bad, 10), refused);
        }
        let size_bytes = PART_MAX_BYTES + 1;
        assert_eq!(
            copied_range(None, size_bytes),
            Err(S3Error::CopySourceTooLarge { size_bytes })
        );
    }
}
