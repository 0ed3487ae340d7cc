//! UploadPart, and what UploadPartCopy has in common with it.

use std::pin::Pin;
use std::sync::Arc;

use strongroom_crypto::PartIdentity;
use strongroom_policy::actions;
use strongroom_ports::{Table, Transaction, Write};
use strongroom_sse::{CustomerHeaders, SseError};
use strongroom_types::limits::PART_MAX_BYTES;
use strongroom_types::{
    AttemptUid, BlobId, BlockedEncryption, Checksum, ChecksumAlgorithm, ChecksumType, ETag,
    PartNumber, Timestamp, UploadId, VersionId,
};

use crate::checksum_seal::seal_checksum;
use crate::data_keys::check_lease;
use crate::keys::Garbage;
use crate::multipart_create::FoundUpload;
use crate::recovery::RecoveryRow;
use crate::rows::{PartRow, PlaceRow};
use crate::stream_in::{StoredStream, StreamJob};
use crate::worker::on_worker;
use crate::{
    BodySource, EncryptionAnswer, Entry, ExpectedDigests, S3, S3Error, UploadPartInput,
    UploadPartOutput, keys,
};

/// A part that may be received.
pub(crate) struct PreparedPart {
    upload: FoundUpload,
    part: PartIdentity,
    pub job: Arc<StreamJob>,
    encryption: EncryptionAnswer,
    written: Timestamp,
    /// The checksum that the answer shows.
    shown: Option<ChecksumAlgorithm>,
}

/// What a part is asked to be.
pub(crate) struct PartRequest<'a> {
    pub upload: UploadId,
    pub number: PartNumber,
    pub content_length: u64,
    pub customer: &'a CustomerHeaders,
    pub digests: ExpectedDigests,
    /// The plaintext comes from another object: its checksum is computed, whatever was declared.
    pub copied: bool,
}

impl S3 {
    /// Receives a part. Uploading a part again replaces it.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchUpload`], [`S3Error::Sse`], [`S3Error::EntityTooLarge`],
    /// [`S3Error::ChecksumAlgorithmMismatch`], the digests' and the body's errors;
    /// [`S3Error::Contention`] while the upload is being completed.
    pub async fn upload_part(
        self: &Arc<Self>,
        entry: Entry<actions::PutObject>,
        input: UploadPartInput,
        body: Pin<Box<dyn BodySource>>,
    ) -> Result<UploadPartOutput, S3Error> {
        let service = Arc::clone(self);
        let prepared = on_worker(move || {
            let UploadPartInput {
                upload,
                part_number,
                content_length,
                customer,
                digests,
            } = input;
            let request = PartRequest {
                upload,
                number: part_number,
                content_length,
                customer: &customer,
                digests,
                copied: false,
            };
            service.prepare_part(&entry, request)
        })
        .await??;
        let stored = self.store_stream(Arc::clone(&prepared.job), body).await?;
        let service = Arc::clone(self);
        on_worker(move || service.keep_part(prepared, &stored, None)).await?
    }

    /// Judges a part before its bytes are read.
    pub(crate) fn prepare_part(
        &self,
        entry: &Entry<actions::PutObject>,
        request: PartRequest<'_>,
    ) -> Result<PreparedPart, S3Error> {
        let (bucket, key) = entry.object()?;
        let PartRequest {
            upload,
            number,
            content_length,
            customer,
            digests,
            copied,
        } = request;
        let confidential = self.is_confidential(entry.context());
        if customer.is_present() {
            if !confidential {
                return Err(SseError::CustomerKeyOverPlainHttp.into());
            }
            match bucket.encryption.blocked {
                BlockedEncryption::SseC => return Err(SseError::CustomerKeysBlocked.into()),
                BlockedEncryption::None => {}
            }
        }
        let upload = self
            .find_upload(bucket.uid, key, upload)?
            .ok_or(S3Error::NoSuchUpload)?;
        if upload.row.completing {
            return Err(S3Error::Contention);
        }
        if content_length > PART_MAX_BYTES {
            return Err(S3Error::EntityTooLarge {
                size_bytes: content_length,
                max_bytes: PART_MAX_BYTES,
            });
        }
        let opened = self.open_upload_key(&upload, customer, entry.context())?;
        let sent = digests.checksum.as_ref().map(|checksum| checksum.algorithm);
        check_part_algorithm(upload.row.declared_checksum(), sent, copied)?;
        let declared = upload
            .row
            .declared_checksum()
            .map(|(algorithm, _)| algorithm);
        let kept = upload
            .row
            .checksum
            .and_then(crate::rows::ChecksumKindRow::parse);
        let entropy = &*self.ports.entropy;
        let part = PartIdentity {
            number,
            attempt: AttemptUid::random(entropy),
        };
        let opaque_etag = upload.row.key.hides_md5().then(|| {
            // The MD5 of the plaintext would tell what the key is there to hide.
            let mut opaque = [0; 16];
            entropy.fill(&mut opaque);
            ETag::from_digest(opaque)
        });
        let written = self.ports.clock.now();
        let recovery = RecoveryRow::of_part(
            &upload.identity,
            upload.row.object_owner(),
            written,
            number.value(),
        );
        let job = StreamJob {
            identity: upload.identity.clone(),
            part: Some(part),
            body_keys: opened.body_keys,
            wrapped: opened.wrapped,
            kms: upload.row.key.kms.clone(),
            lease: opened.lease,
            content_length,
            opaque_etag,
            checksum: kept.map(|(algorithm, _)| algorithm),
            expected: digests,
            recovery,
        };
        Ok(PreparedPart {
            upload,
            part,
            job: Arc::new(job),
            encryption: opened.answer,
            written,
            shown: sent.or(declared),
        })
    }

    /// Makes a stored stream the part, in the place of an earlier attempt.
    pub(crate) fn keep_part(
        &self,
        prepared: PreparedPart,
        stored: &StoredStream,
        source_version: Option<VersionId>,
    ) -> Result<UploadPartOutput, S3Error> {
        let PreparedPart {
            upload,
            part,
            job,
            encryption,
            written,
            shown,
        } = prepared;
        let checksum = |algorithm| part_checksum(algorithm, stored.digests.value(algorithm)?);
        let sealed_checksum = job.checksum.and_then(checksum).map(|checksum| {
            seal_checksum(
                job.body_keys.data_key(),
                &job.identity,
                Some(part),
                &checksum,
                &*self.ports.entropy,
            )
        });
        let row = PartRow {
            attempt: *part.attempt.as_bytes(),
            size_bytes: stored.size_bytes,
            etag: stored.etag.as_str().to_owned(),
            last_modified_millis: written.as_millis(),
            place: stored.place_row(),
            sealed_checksum,
        };
        let place = self.place_writes(stored, &job.identity, Some(part));
        if let Err(error) = self.commit_part(&upload, &job, &row, &place) {
            self.discard_stream(stored, &error);
            return Err(error);
        }
        Ok(UploadPartOutput {
            checksum: shown.and_then(checksum),
            etag: stored.etag.clone(),
            last_modified: written,
            encryption,
            source_version,
        })
    }

    fn commit_part(
        &self,
        upload: &FoundUpload,
        job: &StreamJob,
        row: &PartRow,
        place: &Write,
    ) -> Result<(), S3Error> {
        let part = job.part.ok_or(S3Error::Unavailable)?;
        let mut in_footer = job.wrapped.as_bytes().to_vec();
        let identity = &upload.identity;
        let row_key = keys::part(identity.version, part.number);
        let sealed = self.seal_row(Table::PARTS, &row_key, row);
        self.commit_retrying(|attempt| {
            let stored = if attempt == 0 {
                upload.stored
            } else {
                let now = self.find_upload(identity.bucket, &identity.key, upload.id)?;
                let now = now.ok_or(S3Error::NoSuchUpload)?;
                if now.row.completing {
                    return Err(S3Error::Contention);
                }
                // The root key was rotated meanwhile, and the upload's key wrapped anew. The footer
                // is on the disk already, and would need a version that may be retired soon.
                if let PlaceRow::Blob(blob) = row.place
                    && now.row.key.wrapped != in_footer
                {
                    self.put_wrapped_key(BlobId::from_bytes(blob), &now.row.key.wrapped)?;
                    in_footer.clone_from(&now.row.key.wrapped);
                }
                now.stored
            };
            let earlier = self.read_row::<PartRow>(Table::PARTS, &row_key)?;
            let mut transaction = Transaction::new()
                .expect(Table::UPLOADS, upload.row_key.clone(), Some(stored))
                .expect(
                    Table::PARTS,
                    row_key.clone(),
                    earlier.as_ref().map(|(_, version)| *version),
                )
                .put(Table::PARTS, row_key.clone(), sealed.clone());
            transaction.writes.push(place.clone());
            if let Some((earlier, _)) = earlier {
                transaction = self.remove_part_stream(transaction, identity.version, &earlier);
            }
            // The body was synced, and races may have been lost, since the key was asked for last.
            check_lease(job.lease.as_ref())?;
            Ok((transaction, ()))
        })
    }

    /// Gives the stream of a part to the collector. The part's own row is the caller's business.
    pub(crate) fn remove_part_stream(
        &self,
        transaction: Transaction,
        version: strongroom_types::VersionUid,
        part: &PartRow,
    ) -> Transaction {
        match part.place {
            PlaceRow::Inline => {
                let attempt = AttemptUid::from_bytes(part.attempt);
                transaction.delete(Table::INLINE, keys::inline_part(version, attempt))
            }
            PlaceRow::Blob(blob) => {
                self.put_garbage(transaction, Garbage::Blob(BlobId::from_bytes(blob)))
            }
        }
    }
}

/// A part of an upload with a declared algorithm has to come with that checksum, and with no other.
/// Where the parts' checksums combine into one of the whole object, the server computes what the
/// client left out.
fn check_part_algorithm(
    declared: Option<(ChecksumAlgorithm, ChecksumType)>,
    sent: Option<ChecksumAlgorithm>,
    copied: bool,
) -> Result<(), S3Error> {
    let Some((expected, kind)) = declared else {
        return Ok(());
    };
    let computed = copied || matches!(kind, ChecksumType::FullObject);
    match sent {
        Some(sent) if sent == expected => Ok(()),
        None if computed => Ok(()),
        Some(_) | None => Err(S3Error::ChecksumAlgorithmMismatch {
            expected: Some(expected),
            got: sent,
        }),
    }
}

fn part_checksum(algorithm: ChecksumAlgorithm, value: &[u8]) -> Option<Checksum> {
    let kind = ChecksumType::FullObject;
    (value.len() == algorithm.len_bytes()).then(|| Checksum {
        algorithm,
        kind,
        value: value.to_vec(),
        part_count: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_with_the_declared_checksum() {
        use ChecksumAlgorithm::{Crc32, Sha256};
        let composite = Some((Sha256, ChecksumType::Composite));
        let full = Some((Crc32, ChecksumType::FullObject));
        let mismatch = |expected, got| {
            Err(S3Error::ChecksumAlgorithmMismatch {
                expected: Some(expected),
                got,
            })
        };
        assert_eq!(check_part_algorithm(None, Some(Crc32), false), Ok(()));
        assert_eq!(check_part_algorithm(composite, Some(Sha256), false), Ok(()));
        assert_eq!(check_part_algorithm(composite, None, true), Ok(()));
        assert_eq!(check_part_algorithm(full, None, false), Ok(()));
        assert_eq!(
            check_part_algorithm(composite, None, false),
            mismatch(Sha256, None)
        );
        assert_eq!(
            check_part_algorithm(full, Some(Sha256), false),
            mismatch(Crc32, Some(Sha256))
        );
    }
}
