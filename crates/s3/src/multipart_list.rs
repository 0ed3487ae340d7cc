//! ListParts.

#![expect(
    clippy::needless_pass_by_value,
    reason = "an entry and its input are good for one operation"
)]

use bytes::Bytes;
use strongroom_crypto::{DataKey, ObjectIdentity, PartIdentity};
use strongroom_policy::actions;
use strongroom_ports::{Scan, Table};
use strongroom_types::{
    AttemptUid, CanonicalId, ETag, PartNumber, StorageClass, Timestamp, VersionUid,
};

use crate::rows::{ChecksumKindRow, PartRow};
use crate::{Entry, ListPartsInput, ListPartsOutput, ListedPart, S3, S3Error, keys};

/// Under what the checksums of parts are shown: the data key and what it is bound to.
pub(crate) struct PartChecksums<'a> {
    pub data_key: &'a DataKey,
    pub identity: &'a ObjectIdentity,
    pub kind: ChecksumKindRow,
}

impl S3 {
    /// A page of the parts of an upload.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchUpload`]; [`S3Error::Sse`] where the checksums need the customer's key.
    pub fn list_parts(
        &self,
        entry: Entry<actions::ListMultipartUploadParts>,
        input: ListPartsInput,
    ) -> Result<ListPartsOutput, S3Error> {
        let (bucket, key) = entry.object()?;
        let ListPartsInput {
            upload,
            after,
            max_parts,
            customer,
        } = input;
        let upload = self
            .find_upload(bucket.uid, key, upload)?
            .ok_or(S3Error::NoSuchUpload)?;
        let opened = self.open_upload_key_if_needed(&upload, &customer, entry.context())?;
        let kind = upload.row.checksum.filter(|_| upload.row.checksum_declared);
        let checksums = opened
            .as_ref()
            .zip(kind)
            .map(|(opened, kind)| PartChecksums {
                data_key: opened.body_keys.data_key(),
                identity: &upload.identity,
                kind,
            });
        let mut output = ListPartsOutput {
            parts: Vec::new(),
            next_after: None,
            storage_class: StorageClass::Standard,
            checksum: upload.row.declared_checksum(),
            owner: CanonicalId::parse(&upload.row.owner).map_err(|_| S3Error::Damaged)?,
        };
        let limit = usize::try_from(max_parts).unwrap_or(usize::MAX);
        if limit == 0 {
            return Ok(output);
        }
        let (rows, more) = self.part_rows(upload.identity.version, after, limit)?;
        for (number, row) in &rows {
            output
                .parts
                .push(self.listed_part(*number, row, checksums.as_ref())?);
        }
        let last = rows.last().map(|(number, _)| u32::from(number.value()));
        output.next_after = last.filter(|_| more);
        Ok(output)
    }

    /// Up to `limit` part rows behind the number `after`, and whether there are further ones.
    pub(crate) fn part_rows(
        &self,
        version: VersionUid,
        after: u32,
        limit: usize,
    ) -> Result<(Vec<(PartNumber, PartRow)>, bool), S3Error> {
        let (first, end) = keys::parts_of(version);
        let Ok(next) = u16::try_from(u64::from(after).saturating_add(1)) else {
            return Ok((Vec::new(), false));
        };
        let mut start: Bytes = [first.as_ref(), &next.to_be_bytes()].concat().into();
        let mut parts = Vec::new();
        loop {
            let left = limit.saturating_sub(parts.len());
            let scan = Scan {
                table: Table::PARTS,
                start,
                end: Some(end.clone()),
                limit: left.clamp(1, 1000),
                reverse: false,
            };
            let page = self.ports.meta.scan(&scan)?;
            for row in &page.rows {
                let number = keys::parse_part(&row.key).ok_or(S3Error::Damaged)?;
                parts.push((number, self.open_scanned::<PartRow>(Table::PARTS, row)?));
            }
            match page.rows.last() {
                Some(last) if page.more && parts.len() < limit => {
                    start = keys::behind(&last.key);
                }
                Some(_) | None => return Ok((parts, page.more)),
            }
        }
    }

    pub(crate) fn listed_part(
        &self,
        number: PartNumber,
        row: &PartRow,
        checksums: Option<&PartChecksums<'_>>,
    ) -> Result<ListedPart, S3Error> {
        let part = PartIdentity {
            number,
            attempt: AttemptUid::from_bytes(row.attempt),
        };
        let checksum = match (checksums, &row.sealed_checksum) {
            (
                Some(PartChecksums {
                    data_key,
                    identity,
                    kind,
                }),
                Some(sealed),
            ) => Some(self.open_checksum(data_key, identity, Some(part), *kind, sealed)?),
            (Some(_), None) | (None, _) => None,
        };
        Ok(ListedPart {
            part_number: number,
            last_modified: Timestamp::from_millis(row.last_modified_millis),
            etag: ETag::from_stored(&row.etag),
            size_bytes: row.size_bytes,
            checksum,
        })
    }
}
