//! CompleteMultipartUpload.
//!
//! ```text
//! freeze the upload row -> read the parts -> judge the list -> manifest -> publish
//!        ^                                      |                            |
//!        +------ the row changed meanwhile -----|----------------------------+
//!                                               +--> unfreeze, refuse
//! ```
//!
//! The publishing transaction expects the frozen row unchanged and deletes it. So of two Completes
//! one wins, an Abort in between wins, and no part can change behind the judgement. The number of
//! rows that it writes does not grow with the number of parts.

#![expect(
    clippy::needless_pass_by_value,
    reason = "an entry and its input are good for one operation"
)]

use std::collections::BTreeMap;

use strongroom_crypto::{PartIdentity, RowSealer, keyless_checksum};
use strongroom_policy::actions;
use strongroom_ports::{Condition, RowVersion, Scan, Table, Transaction, Write};
use strongroom_sse::CustomerHeaders;
use strongroom_types::limits::{OBJECT_MAX_BYTES, PART_MIN_BYTES, PART_NUMBER_MAX};
use strongroom_types::{
    AttemptUid, CanonicalId, Checksum, ChecksumType, ETag, ObjectKey, PartNumber, RequestContext,
    UploadId,
};

use crate::checksum_seal::seal_checksum;
use crate::data_keys::{OpenedKey, check_lease};
use crate::digest::{checksum_of, combine, md5_of};
use crate::manifest::{MANIFEST_INLINE_MAX_BYTES, ManifestPart, seal_manifest};
use crate::multipart_create::FoundUpload;
use crate::publish::NewVersion;
use crate::rows::{ChecksumKindRow, ContentRow, ManifestRow, ObjectRow, PartRow, VersionRow};
use crate::stream_in::{BlobInFlight, len_u64};
use crate::{
    BucketView, CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart,
    EncryptionAnswer, Entry, S3, S3Error, keys,
};
use strongroom_rows::until_undisturbed;

/// What the list of parts makes.
struct Judged {
    parts: Vec<ManifestPart>,
    unused: Vec<(PartNumber, PartRow)>,
    size_bytes: u64,
    etag: ETag,
    checksum: Option<Checksum>,
}

/// A manifest that is stored, or ready to be.
struct StoredManifest {
    row: ManifestRow,
    /// While this lives the orphan sweep leaves the file alone.
    blob: Option<BlobInFlight>,
}

impl S3 {
    /// Makes the parts of an upload an object.
    ///
    /// Blocks on the stores: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchUpload`], [`S3Error::MalformedPartList`], [`S3Error::InvalidPartOrder`],
    /// [`S3Error::InvalidPart`], [`S3Error::EntityTooSmall`], [`S3Error::EntityTooLarge`],
    /// [`S3Error::ObjectSizeMismatch`], [`S3Error::ChecksumMismatch`],
    /// [`S3Error::ChecksumAlgorithmMismatch`], [`S3Error::ChecksumTypeNotAllowed`],
    /// [`S3Error::Sse`], [`S3Error::PreconditionFailed`]. The upload goes on then.
    pub fn complete_multipart_upload(
        &self,
        entry: Entry<actions::PutObject>,
        input: CompleteMultipartUploadInput,
    ) -> Result<CompleteMultipartUploadOutput, S3Error> {
        let (bucket, key) = entry.object()?;
        let context = entry.context();
        check_list(&input.parts)?;
        until_undisturbed(|| {
            let Some(upload) = self.find_upload(bucket.uid, key, input.upload)? else {
                return self.completed_before(bucket, key, &input, context);
            };
            let opened = self.open_upload_key_if_needed(&upload, &input.customer, context)?;
            let frozen = self.set_completing(upload, true)?;
            let outcome = self.complete_frozen(bucket, &frozen, opened.as_ref(), &input);
            match &outcome {
                Ok(_) | Err(S3Error::Contention | S3Error::Unavailable) => {}
                Err(_) => {
                    // Whoever changed the row in between has decided; then this is not ours to undo.
                    let _ = self.set_completing(frozen, false);
                }
            }
            outcome
        })
        .inspect_err(|error| {
            // Given up: let the client upload parts again.
            if matches!(error, S3Error::Contention)
                && let Ok(Some(upload)) = self.find_upload(bucket.uid, key, input.upload)
            {
                let _ = self.set_completing(upload, false);
            }
        })
    }

    /// Freezes or releases an upload's parts.
    fn set_completing(
        &self,
        mut upload: FoundUpload,
        completing: bool,
    ) -> Result<FoundUpload, S3Error> {
        if upload.row.completing == completing {
            return Ok(upload);
        }
        upload.row.completing = completing;
        let sealed = self.seal_row(Table::UPLOADS, &upload.row_key, &upload.row);
        let transaction = Transaction::new()
            .expect(Table::UPLOADS, upload.row_key.clone(), Some(upload.stored))
            .put(Table::UPLOADS, upload.row_key.clone(), sealed);
        let committed = self.ports.meta.commit(transaction).wait()?;
        upload.stored = RowVersion(committed.sequence.0);
        Ok(upload)
    }

    fn complete_frozen(
        &self,
        bucket: &std::sync::Arc<BucketView>,
        upload: &FoundUpload,
        opened: Option<&OpenedKey>,
        input: &CompleteMultipartUploadInput,
    ) -> Result<CompleteMultipartUploadOutput, S3Error> {
        let limit = usize::from(PART_NUMBER_MAX);
        let (rows, _) = self.part_rows(upload.identity.version, 0, limit)?;
        let judged = self.judge(upload, rows, opened, input)?;
        check_lease(opened.and_then(|opened| opened.lease.as_ref()))?;
        let manifest = self.store_manifest(upload, &judged.parts)?;
        let sealed_checksum = judged
            .checksum
            .as_ref()
            .zip(opened)
            .map(|(checksum, opened)| {
                let entropy = &*self.ports.entropy;
                seal_checksum(
                    opened.body_keys.data_key(),
                    &upload.identity,
                    None,
                    checksum,
                    entropy,
                )
            });
        let kind = judged.checksum.as_ref();
        let object = ObjectRow {
            size_bytes: judged.size_bytes,
            etag: judged.etag.as_str().to_owned(),
            key: upload.row.key.clone(),
            content: ContentRow::Parts(manifest.row.clone()),
            checksum_kind: kind.map(|sum| ChecksumKindRow::new(sum.algorithm, sum.kind)),
            sealed_checksum,
            metadata: upload.row.metadata.clone(),
            tags: upload.row.tags.clone(),
        };
        let (with_it, later) = judged
            .unused
            .split_at(judged.unused.len().min(UNUSED_PER_COMMIT));
        let mut writes = vec![Write::Delete {
            table: Table::UPLOADS,
            key: upload.row_key.clone(),
        }];
        writes.extend(self.unused_part_removal(upload, with_it).writes);
        if let Some(blob) = &manifest.blob {
            writes.push(self.blob_row(blob.id(), &upload.identity, None));
        }
        let new = NewVersion {
            bucket: std::sync::Arc::clone(bucket),
            bucket_version: None,
            key: upload.identity.key.clone(),
            uid: upload.identity.version,
            owner: CanonicalId::parse(upload.row.object_owner()).map_err(|_| S3Error::Damaged)?,
            acl: upload.row.acl.clone(),
            last_modified: upload.id.initiated,
            object: Some(object),
            checks: input.conditions.clone(),
            conditions: vec![Condition::Unchanged {
                table: Table::UPLOADS,
                key: upload.row_key.clone(),
                version: upload.stored,
            }],
            writes,
            lease: opened.and_then(|opened| opened.lease.clone()),
        };
        let published = self.commit_retrying(|attempt| {
            if attempt > 0 && !self.is_unchanged(upload)? {
                return Err(S3Error::Contention);
            }
            self.prepare_version(&new, attempt)
        });
        let published = published.inspect_err(|error| self.discard_manifest(&manifest, error))?;
        self.remove_unused_parts(upload, later);
        Ok(CompleteMultipartUploadOutput {
            etag: judged.etag,
            version: published.version,
            checksum: judged.checksum,
            encryption: opened
                .map(|opened| opened.answer.clone())
                .filter(|answer| !matches!(answer, EncryptionAnswer::SseC { .. })),
        })
    }

    fn is_unchanged(&self, upload: &FoundUpload) -> Result<bool, S3Error> {
        let now = self.ports.meta.read(Table::UPLOADS, &upload.row_key)?;
        Ok(now.is_some_and(|row| row.version == upload.stored))
    }

    /// Compares the client's list with the parts that there are.
    fn judge(
        &self,
        upload: &FoundUpload,
        rows: Vec<(PartNumber, PartRow)>,
        opened: Option<&OpenedKey>,
        input: &CompleteMultipartUploadInput,
    ) -> Result<Judged, S3Error> {
        let mut rows: BTreeMap<PartNumber, PartRow> = rows.into_iter().collect();
        let kind = upload.row.checksum;
        let mut parts = Vec::with_capacity(input.parts.len());
        let mut checksums = Vec::new();
        let mut etags = Vec::with_capacity(input.parts.len().saturating_mul(16));
        let mut size_bytes = 0_u64;
        for listed in &input.parts {
            let number = listed.part_number;
            let invalid = || S3Error::InvalidPart {
                part_number: number.value(),
            };
            let row = rows.remove(&number).ok_or_else(invalid)?;
            if row.etag != listed.etag.as_str() {
                return Err(invalid());
            }
            let attempt = AttemptUid::from_bytes(row.attempt);
            if let Some((kind, opened)) = kind.zip(opened) {
                let sealed = row.sealed_checksum.as_deref().ok_or(S3Error::Damaged)?;
                let part = Some(PartIdentity { number, attempt });
                let checksum = self.open_checksum(
                    opened.body_keys.data_key(),
                    &upload.identity,
                    part,
                    kind,
                    sealed,
                )?;
                check_listed_checksum(upload, listed, &checksum)?;
                checksums.push((checksum.value, row.size_bytes));
            }
            let digest = ETag::from_stored(&row.etag)
                .digest()
                .ok_or(S3Error::Damaged)?;
            etags.extend_from_slice(&digest);
            size_bytes = size_bytes.saturating_add(row.size_bytes);
            parts.push(ManifestPart {
                number,
                attempt,
                size_bytes: row.size_bytes,
                place: row.place,
            });
        }
        check_sizes(&input.parts, &parts)?;
        if size_bytes > OBJECT_MAX_BYTES {
            return Err(S3Error::EntityTooLarge {
                size_bytes,
                max_bytes: OBJECT_MAX_BYTES,
            });
        }
        if input
            .object_size
            .is_some_and(|announced| announced != size_bytes)
        {
            return Err(S3Error::ObjectSizeMismatch);
        }
        let checksum = match kind.filter(|_| opened.is_some()) {
            Some(kind) => Some(object_checksum(kind, &checksums)?),
            None => None,
        };
        check_announced(checksum.as_ref(), input)?;
        let etag = ETag::from_parts(md5_of(&etags), parts.len());
        Ok(Judged {
            parts,
            unused: rows.into_iter().collect(),
            size_bytes,
            etag,
            checksum,
        })
    }

    fn store_manifest(
        &self,
        upload: &FoundUpload,
        parts: &[ManifestPart],
    ) -> Result<StoredManifest, S3Error> {
        let entropy = &*self.ports.entropy;
        let mut id = [0; 16];
        entropy.fill(&mut id);
        let rows = RowSealer::new(self.ports.custody.manifest_key());
        let sealed = seal_manifest(&rows, &upload.identity, id, parts, entropy)?;
        let part_count = u32::try_from(parts.len()).map_err(|_| S3Error::MalformedPartList)?;
        let checksum_declared = upload.row.checksum_declared;
        if sealed.len() <= MANIFEST_INLINE_MAX_BYTES.min(self.options.inline_max_bytes) {
            let row = ManifestRow {
                part_count,
                inline: Some(sealed),
                blob: None,
                id,
                checksum_declared,
            };
            return Ok(StoredManifest { row, blob: None });
        }
        let blob = self.blob_in_flight();
        // Rows have checksums of their own in the journal. The name is in it, so that files that were
        // exchanged are found without keys.
        let checksum = keyless_checksum(&[&sealed[..], blob.id().as_bytes()].concat());
        let len = len_u64(sealed.len() + checksum.len());
        let mut writer = self.ports.blobs.create(blob.id(), len)?;
        writer.write(&sealed)?;
        writer.write(&checksum)?;
        writer.finish()?;
        let row = ManifestRow {
            part_count,
            inline: None,
            blob: Some(*blob.id().as_bytes()),
            id,
            checksum_declared,
        };
        Ok(StoredManifest {
            row,
            blob: Some(blob),
        })
    }

    fn discard_manifest(&self, manifest: &StoredManifest, because: &S3Error) {
        // After `Unavailable` the transaction may have happened: the orphan sweep finds out.
        if let (Some(blob), false) = (&manifest.blob, matches!(because, S3Error::Unavailable))
            && let Err(error) = self.ports.blobs.delete(blob.id())
        {
            tracing::warn!(blob_id = %blob.id(), %error, "an unused blob is left to the orphan sweep");
        }
    }

    /// Removes uploaded parts that the list does not name.
    fn unused_part_removal(
        &self,
        upload: &FoundUpload,
        unused: &[(PartNumber, PartRow)],
    ) -> Transaction {
        let version = upload.identity.version;
        unused
            .iter()
            .fold(Transaction::new(), |transaction, (number, row)| {
                let transaction = transaction.delete(Table::PARTS, keys::part(version, *number));
                self.remove_part_stream(transaction, version, row)
            })
    }

    /// The unused parts for which the publishing transaction had no room. Should this be cut short,
    /// they go when the object goes.
    fn remove_unused_parts(&self, upload: &FoundUpload, unused: &[(PartNumber, PartRow)]) {
        for some in unused.chunks(UNUSED_PER_COMMIT) {
            let removal = self.unused_part_removal(upload, some);
            if let Err(error) = self.ports.meta.commit(removal).wait() {
                tracing::warn!(%error, "unused parts stay until their object is deleted");
                return;
            }
        }
    }

    /// The answer to a Complete that is repeated because its first answer was lost.
    fn completed_before(
        &self,
        bucket: &BucketView,
        key: &ObjectKey,
        input: &CompleteMultipartUploadInput,
        context: &RequestContext,
    ) -> Result<CompleteMultipartUploadOutput, S3Error> {
        let (sequence, version) = self
            .version_of_upload(bucket, key, input.upload)?
            .ok_or(S3Error::NoSuchUpload)?;
        let object = version.object.as_ref().ok_or(S3Error::NoSuchUpload)?;
        let identity = strongroom_crypto::ObjectIdentity {
            bucket: bucket.uid,
            key: key.clone(),
            version: version.uid(),
        };
        let checksum = match (object.checksum_kind, &object.sealed_checksum) {
            (Some(kind), Some(sealed)) => {
                let no_key = CustomerHeaders::default();
                let customer = if object.key.is_customer() {
                    &input.customer
                } else {
                    &no_key
                };
                let opened = self.open_data_key(&object.key, &identity, customer, context)?;
                Some(self.open_checksum(
                    opened.body_keys.data_key(),
                    &identity,
                    None,
                    kind,
                    sealed,
                )?)
            }
            (Some(_) | None, _) => None,
        };
        let shown = !matches!(bucket.versioning, crate::Versioning::Never);
        Ok(CompleteMultipartUploadOutput {
            etag: ETag::from_stored(&object.etag),
            version: shown.then(|| version.version_id(sequence)),
            checksum,
            encryption: if object.key.is_customer() {
                None
            } else {
                Some(self.shown_encryption(&object.key, &identity, context)?)
            },
        })
    }

    /// The version that an upload became, if it is among the newest of its key.
    fn version_of_upload(
        &self,
        bucket: &BucketView,
        key: &ObjectKey,
        upload: UploadId,
    ) -> Result<Option<(u64, VersionRow)>, S3Error> {
        let (start, end) = keys::versions_of(bucket.uid, key);
        let page = self.ports.meta.scan(&Scan {
            table: Table::VERSIONS,
            start,
            end: Some(end),
            limit: REPEATED_COMPLETE_VERSIONS,
            reverse: false,
        })?;
        for row in &page.rows {
            let version = self.open_scanned::<VersionRow>(Table::VERSIONS, row)?;
            if version.uid() == upload.version_uid {
                let (_, sequence) = keys::parse_version(&row.key).ok_or(S3Error::Damaged)?;
                return Ok(Some((sequence, version)));
            }
        }
        Ok(None)
    }
}

/// Unused parts that one transaction removes: three small rows each, far below the port's bound.
const UNUSED_PER_COMMIT: usize = 256;
/// How many versions may have been written since a Complete whose repetition is still recognised.
const REPEATED_COMPLETE_VERSIONS: usize = 100;

fn check_list(parts: &[CompletedPart]) -> Result<(), S3Error> {
    if parts.is_empty() || parts.len() > usize::from(PART_NUMBER_MAX) {
        return Err(S3Error::MalformedPartList);
    }
    let ascending = parts.windows(2).all(|pair| match pair {
        [first, second] => first.part_number < second.part_number,
        _ => true,
    });
    if ascending {
        Ok(())
    } else {
        Err(S3Error::InvalidPartOrder)
    }
}

fn check_listed_checksum(
    upload: &FoundUpload,
    listed: &CompletedPart,
    stored: &Checksum,
) -> Result<(), S3Error> {
    let Some((algorithm, value)) = &listed.checksum else {
        return Ok(());
    };
    if *algorithm != stored.algorithm {
        // Without a declared algorithm a part may have been sent with any: it was verified on
        // arrival, and S3's default was kept.
        let Some((expected, _)) = upload.row.declared_checksum() else {
            return Ok(());
        };
        let (expected, got) = (Some(expected), Some(*algorithm));
        return Err(S3Error::ChecksumAlgorithmMismatch { expected, got });
    }
    if *value == stored.value {
        Ok(())
    } else {
        Err(S3Error::InvalidPart {
            part_number: listed.part_number.value(),
        })
    }
}

fn check_sizes(listed: &[CompletedPart], parts: &[ManifestPart]) -> Result<(), S3Error> {
    let but_last = parts.len().saturating_sub(1);
    let small = listed
        .iter()
        .zip(parts)
        .take(but_last)
        .find(|(_, part)| part.size_bytes < PART_MIN_BYTES);
    match small {
        None => Ok(()),
        Some((listed, part)) => Err(S3Error::EntityTooSmall {
            part_number: part.number.value(),
            size_bytes: part.size_bytes,
            etag: listed.etag.clone(),
        }),
    }
}

/// The checksum of the object from those of its parts and their lengths.
fn object_checksum(kind: ChecksumKindRow, parts: &[(Vec<u8>, u64)]) -> Result<Checksum, S3Error> {
    let (algorithm, kind) = kind.parse().ok_or(S3Error::Damaged)?;
    match kind {
        ChecksumType::Composite => {
            let values: Vec<u8> = parts
                .iter()
                .flat_map(|(value, _)| value.iter().copied())
                .collect();
            let part_count = u16::try_from(parts.len()).map_err(|_| S3Error::MalformedPartList)?;
            Ok(Checksum {
                algorithm,
                kind,
                value: checksum_of(algorithm, &values),
                part_count,
            })
        }
        ChecksumType::FullObject => {
            let empty = checksum_of(algorithm, &[]);
            let value = parts.iter().try_fold(empty, |whole, (value, size_bytes)| {
                combine(algorithm, &whole, value, *size_bytes)
            });
            let value = value.ok_or(S3Error::Damaged)?;
            Ok(Checksum {
                algorithm,
                kind,
                value,
                part_count: 0,
            })
        }
    }
}

/// Compares what the client says of the whole object's checksum with what it is.
fn check_announced(
    checksum: Option<&Checksum>,
    input: &CompleteMultipartUploadInput,
) -> Result<(), S3Error> {
    if let (Some(announced), Some(checksum)) = (input.checksum_type, checksum)
        && announced != checksum.kind
    {
        return Err(S3Error::ChecksumTypeNotAllowed(checksum.algorithm));
    }
    let Some(announced) = &input.checksum else {
        return Ok(());
    };
    let Some(checksum) = checksum.filter(|checksum| checksum.algorithm == announced.algorithm)
    else {
        let expected = checksum.map(|checksum| checksum.algorithm);
        let got = Some(announced.algorithm);
        return Err(S3Error::ChecksumAlgorithmMismatch { expected, got });
    };
    let count_differs = announced.part_count != 0 && announced.part_count != checksum.part_count;
    if announced.value != checksum.value || count_differs {
        return Err(S3Error::ChecksumMismatch(checksum.algorithm));
    }
    Ok(())
}
