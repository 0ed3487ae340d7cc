//! GetObjectAttributes.

use strongroom_crypto::ObjectIdentity;
use strongroom_policy::actions;
use strongroom_ports::Table;
use strongroom_sse::{read_key, refuse_write_headers_on_read};

use crate::data_keys::OpenedKey;
use crate::integrity::Damage;
use crate::lookup::FoundVersion;
use crate::multipart_list::PartChecksums;
use crate::object_get::object_view;
use crate::rows::{ContentRow, ManifestRow, ObjectRow, PartRow};
use crate::{
    AttributeParts, Entry, GetObjectAttributesInput, ListedPart, ObjectAttributes, S3, S3Error,
    keys,
};

impl S3 {
    /// What is known of an object, without its bytes.
    ///
    /// Blocks on the stores: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchKey`], [`S3Error::NoSuchVersion`], [`S3Error::IsDeleteMarker`],
    /// [`S3Error::Sse`], [`S3Error::Damaged`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an entry is good for one operation"
    )]
    pub fn get_object_attributes(
        &self,
        entry: Entry<actions::GetObjectAttributes>,
        input: GetObjectAttributesInput,
    ) -> Result<ObjectAttributes, S3Error> {
        let (bucket, key) = entry.object()?;
        let found = self.existing_object(bucket, key, input.version)?;
        self.while_current(&entry, input.version, found, |found, object, identity| {
            self.attributes_of(&entry, &input, found, object, identity)
        })
    }

    /// The answer; `None` when the version was replaced since its row was read.
    fn attributes_of(
        &self,
        entry: &Entry<actions::GetObjectAttributes>,
        input: &GetObjectAttributesInput,
        found: &FoundVersion,
        object: &ObjectRow,
        identity: &ObjectIdentity,
    ) -> Result<Option<ObjectAttributes>, S3Error> {
        let (bucket, _) = entry.object()?;
        refuse_write_headers_on_read(&input.sse)?;
        let confidential = self.is_confidential(entry.context());
        let customer = &input.sse.customer;
        let parts_wanted = input.parts.filter(|_| is_multipart(object));
        let _lease = match parts_wanted {
            Some(_) => {
                let Some(lease) = self.lease_parts(identity, found)? else {
                    return Ok(None);
                };
                Some(lease)
            }
            None => None,
        };
        let opened = if object.key.is_customer() || input.with_checksum || parts_wanted.is_some() {
            Some(self.open_data_key(&object.key, identity, customer, entry.context())?)
        } else {
            read_key(customer, false, confidential)?;
            None
        };
        let encryption = match &opened {
            Some(key) => key.answer.clone(),
            None => self.shown_encryption(&object.key, identity, entry.context())?,
        };
        let mut view = object_view(bucket, found, object, encryption);
        if let (true, Some(opened)) = (input.with_checksum, &opened) {
            view.checksum = self.object_checksum(opened, identity, object)?;
        }
        let parts = match (&object.content, parts_wanted, &opened) {
            (ContentRow::Parts(manifest), Some(page), Some(opened)) => {
                Some(self.attribute_parts(opened, identity, object, manifest, page)?)
            }
            (ContentRow::Parts(_) | ContentRow::Single(_), _, _) => None,
        };
        Ok(Some(ObjectAttributes {
            object: view,
            parts,
        }))
    }

    /// S3 lists parts here only for their checksums: without a declared algorithm it tells their
    /// number and nothing else. The caller holds a lease on the parts.
    fn attribute_parts(
        &self,
        opened: &OpenedKey,
        identity: &ObjectIdentity,
        object: &ObjectRow,
        manifest: &ManifestRow,
        (after, max_parts): (u32, u32),
    ) -> Result<AttributeParts, S3Error> {
        let total = manifest.part_count;
        let nothing = AttributeParts {
            total,
            parts: Vec::new(),
            next_after: None,
        };
        let kind = object.checksum_kind.filter(|_| manifest.checksum_declared);
        let limit = usize::try_from(max_parts).unwrap_or(usize::MAX);
        let Some(kind) = kind.filter(|_| limit > 0) else {
            return Ok(nothing);
        };
        let checksums = PartChecksums {
            data_key: opened.body_keys.data_key(),
            identity,
            kind,
        };
        let listed = self.manifest_parts(identity.version, identity, manifest)?;
        let mut behind = listed
            .iter()
            .filter(|part| u32::from(part.number.value()) > after);
        let mut parts: Vec<ListedPart> = Vec::new();
        for part in behind.by_ref().take(limit) {
            let row_key = keys::part(identity.version, part.number);
            let row = self
                .read_row::<PartRow>(Table::PARTS, &row_key)?
                .map(|(row, _)| row);
            let row = row.filter(|row| row.attempt == *part.attempt.as_bytes());
            let row = row.ok_or_else(|| self.damaged(identity, Damage::of("part row")))?;
            parts.push(self.listed_part(part.number, &row, Some(&checksums))?);
        }
        let last = parts.last().map(|part| u32::from(part.part_number.value()));
        let next_after = last.filter(|_| behind.next().is_some());
        Ok(AttributeParts {
            total,
            parts,
            next_after,
        })
    }
}

fn is_multipart(object: &ObjectRow) -> bool {
    match object.content {
        ContentRow::Parts(_) => true,
        ContentRow::Single(_) => false,
    }
}
