//! GetObject and HeadObject.

use std::sync::Arc;

use strongroom_crypto::{ObjectIdentity, PartIdentity};
use strongroom_policy::Action;
use strongroom_policy::actions::GetObject;
use strongroom_ports::Table;
use strongroom_sse::{read_key, refuse_write_headers_on_read};
use strongroom_types::{
    AttemptUid, ByteRange, Checksum, ETag, PartNumber, RequestContext, StorageClass, VersionId,
};

use crate::data_keys::OpenedKey;
use crate::integrity::Damage;
use crate::lookup::FoundVersion;
use crate::recorded::{KeyUses, Recorded};
use crate::rows::{ContentRow, ObjectRow, PartRow};
use crate::stream_out::{ReadLease, StoredAt};
use crate::{
    BucketView, EncryptionAnswer, Entry, GetObjectInput, GetObjectOutput, ObjectView, S3, S3Error,
    keys,
};

/// How often a read whose version is replaced meanwhile looks again.
const LOOKUP_ATTEMPTS: u32 = 16;

/// What is asked.
#[derive(Clone, Copy)]
struct Asked<'a> {
    entry: &'a Entry<GetObject>,
    input: &'a GetObjectInput,
    with_body: bool,
}

/// What a read is to answer.
struct Answer {
    view: ObjectView,
    range: Option<ByteRange>,
    bytes: ByteRange,
    key: Option<OpenedKey>,
    /// Of an object whose part list was read: keeps the parts that it names.
    _lease: Option<ReadLease>,
}

impl S3 {
    /// GetObject. Blocks; the body that it gives hops to workers by itself.
    ///
    /// # Errors
    ///
    /// [`S3Error::NoSuchKey`], [`S3Error::NoSuchVersion`], [`S3Error::IsDeleteMarker`],
    /// [`S3Error::Sse`], [`S3Error::PreconditionFailed`], [`S3Error::NotModified`],
    /// [`S3Error::InvalidRange`], [`S3Error::InvalidPartNumber`], [`S3Error::Damaged`],
    /// [`S3Error::Unavailable`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an entry is good for one operation"
    )]
    pub fn get_object(
        self: &Arc<Self>,
        entry: Entry<GetObject>,
        input: GetObjectInput,
    ) -> Result<GetObjectOutput, S3Error> {
        self.read_object(&entry, &input).wait()
    }

    /// As [`S3::get_object`], for who may have to ask again ([`S3::resident`] reads this way), and who
    /// waits in a task for the records of the uses of keys, which are made durable meanwhile.
    pub fn read_object(
        self: &Arc<Self>,
        entry: &Entry<GetObject>,
        input: &GetObjectInput,
    ) -> Recorded<GetObjectOutput> {
        let mut uses = KeyUses::default();
        let output = self.read_object_using(&mut uses, entry, input);
        uses.recorded(output)
    }

    fn read_object_using(
        self: &Arc<Self>,
        uses: &mut KeyUses,
        entry: &Entry<GetObject>,
        input: &GetObjectInput,
    ) -> Result<GetObjectOutput, S3Error> {
        let asked = Asked {
            entry,
            input,
            with_body: true,
        };
        let (bucket, key) = entry.object()?;
        let found = self.existing_object(bucket, key, input.version)?;
        self.while_current(entry, input.version, found, |found, object, identity| {
            self.expect_in_memory(input, object, identity, true)?;
            let Some(answer) = self.answer(uses, asked, found, object, identity)? else {
                return Ok(None);
            };
            // Until the body's reader has a lease of its own.
            let Answer {
                view,
                range,
                bytes,
                key,
                _lease,
            } = answer;
            let key = key.ok_or(S3Error::Unavailable)?;
            let Some(reader) = self.open_object(&key, identity, found, object, bytes)? else {
                return Ok(None);
            };
            let body = reader.into_body(self)?;
            Ok(Some(GetObjectOutput {
                object: view,
                range,
                body: Some(body),
            }))
        })
    }

    /// HeadObject: decides as GetObject does, and reads no body. Blocks.
    ///
    /// # Errors
    ///
    /// As [`S3::get_object`].
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an entry is good for one operation"
    )]
    pub fn head_object(
        &self,
        entry: Entry<GetObject>,
        input: GetObjectInput,
    ) -> Result<GetObjectOutput, S3Error> {
        self.describe_object(&entry, &input).wait()
    }

    /// As [`S3::head_object`], as [`S3::read_object`] is as [`S3::get_object`].
    pub fn describe_object(
        &self,
        entry: &Entry<GetObject>,
        input: &GetObjectInput,
    ) -> Recorded<GetObjectOutput> {
        let mut uses = KeyUses::default();
        let output = self.describe_object_using(&mut uses, entry, input);
        uses.recorded(output)
    }

    fn describe_object_using(
        &self,
        uses: &mut KeyUses,
        entry: &Entry<GetObject>,
        input: &GetObjectInput,
    ) -> Result<GetObjectOutput, S3Error> {
        let asked = Asked {
            entry,
            input,
            with_body: false,
        };
        let (bucket, key) = entry.object()?;
        let found = self.existing_object(bucket, key, input.version)?;
        self.while_current(entry, input.version, found, |found, object, identity| {
            self.expect_in_memory(input, object, identity, false)?;
            let answer = self.answer(uses, asked, found, object, identity)?;
            Ok(answer.map(|Answer { view, range, .. }| GetObjectOutput {
                object: view,
                range,
                body: None,
            }))
        })
    }

    /// Runs `read` on a version. Where what the version holds is gone, the version was replaced
    /// after its row was read: then the next one is tried. If its row is still there, it is damage.
    pub(crate) fn while_current<A: Action, T>(
        &self,
        entry: &Entry<A>,
        version: Option<VersionId>,
        first: (FoundVersion, ObjectRow),
        mut read: impl FnMut(&FoundVersion, &ObjectRow, &ObjectIdentity) -> Result<Option<T>, S3Error>,
    ) -> Result<T, S3Error> {
        let (bucket, key) = entry.object()?;
        let (mut found, mut object) = first;
        for _ in 0..LOOKUP_ATTEMPTS {
            entry.check_decided(&found)?;
            let identity = ObjectIdentity {
                bucket: bucket.uid,
                key: key.clone(),
                version: found.row.uid(),
            };
            if let Some(outcome) = read(&found, &object, &identity)? {
                return Ok(outcome);
            }
            let (now, now_object) = self.existing_object(bucket, key, version)?;
            if now.row.uid == found.row.uid {
                return Err(self.damaged(&identity, Damage::of("stream missing")));
            }
            (found, object) = (now, now_object);
        }
        Err(S3Error::Contention)
    }

    /// On what is in memory: gives up before the key service is asked if what comes after it is not
    /// there, so that no use of a key is made and recorded twice for one request.
    fn expect_in_memory(
        &self,
        input: &GetObjectInput,
        object: &ObjectRow,
        identity: &ObjectIdentity,
        with_body: bool,
    ) -> Result<(), S3Error> {
        if !self.is_resident() || object.key.kms.is_none() {
            return Ok(());
        }
        match &object.content {
            ContentRow::Single(place) if with_body => {
                let stored = StoredAt {
                    identity,
                    part: None,
                    place,
                    size_bytes: object.size_bytes,
                };
                let wanted = input
                    .range
                    .and_then(|range| range.resolve(object.size_bytes));
                let range = wanted.unwrap_or(ByteRange::whole(object.size_bytes));
                self.expect_stream_in_memory(stored, range)
            }
            // Part lists and parts' rows are looked for on the disk.
            ContentRow::Parts(_) if with_body || input.part_number.is_some() => {
                Err(S3Error::NotInMemory)
            }
            ContentRow::Single(_) | ContentRow::Parts(_) => Ok(()),
        }
    }

    /// Everything about the answer but its body; `None` when the version was replaced since its row
    /// was read.
    fn answer(
        &self,
        uses: &mut KeyUses,
        asked: Asked<'_>,
        found: &FoundVersion,
        object: &ObjectRow,
        identity: &ObjectIdentity,
    ) -> Result<Option<Answer>, S3Error> {
        let Asked {
            entry,
            input,
            with_body,
        } = asked;
        let (bucket, _) = entry.object()?;
        refuse_write_headers_on_read(&input.sse)?;
        let lease = match (&object.content, input.part_number) {
            (ContentRow::Parts(_), Some(_)) => {
                let Some(lease) = self.lease_parts(identity, found)? else {
                    return Ok(None);
                };
                Some(lease)
            }
            (ContentRow::Parts(_) | ContentRow::Single(_), _) => None,
        };
        let confidential = self.is_confidential(entry.context());
        let needs_key = with_body || input.with_checksum || object.key.is_customer();
        let context = entry.context();
        let key = if needs_key {
            let customer = &input.sse.customer;
            Some(self.open_data_key_for(uses, &object.key, identity, customer, context)?)
        } else {
            read_key(&input.sse.customer, false, confidential)?;
            None
        };
        let encryption = match &key {
            Some(key) => key.answer.clone(),
            None => self.shown_encryption(&object.key, identity, context)?,
        };
        let mut view = object_view(bucket, found, object, encryption);
        input
            .conditions
            .check(&view.etag, view.last_modified, view.version)?;

        let whole = ByteRange::whole(object.size_bytes);
        let range = match input.part_number {
            Some(number) => {
                let (range, parts_count) = self.part_range(identity, object, number)?;
                view.parts_count = parts_count;
                range
            }
            None => match input.range {
                Some(spec) => {
                    let size_bytes = object.size_bytes;
                    Some(
                        spec.resolve(size_bytes)
                            .ok_or(S3Error::InvalidRange { size_bytes })?,
                    )
                }
                None => None,
            },
        };
        if let (true, Some(key)) = (input.with_checksum, &key) {
            view.checksum = match (input.part_number, range) {
                (Some(number), _) if view.parts_count.is_some() => {
                    self.part_checksum(key, identity, object, number)?
                }
                (_, Some(range)) if range != whole => None,
                (_, Some(_) | None) => self.object_checksum(key, identity, object)?,
            };
        }
        Ok(Some(Answer {
            view,
            range,
            bytes: range.unwrap_or(whole),
            key,
            _lease: lease,
        }))
    }

    /// The bytes of a part, and the number of parts if it is a multipart object. An object of one
    /// piece has one part. The caller holds a lease on the parts.
    fn part_range(
        &self,
        identity: &ObjectIdentity,
        object: &ObjectRow,
        number: PartNumber,
    ) -> Result<(Option<ByteRange>, Option<u32>), S3Error> {
        let whole = ByteRange::whole(object.size_bytes);
        match &object.content {
            ContentRow::Single(_) if number.value() == 1 => {
                Ok(((whole.len_bytes() > 0).then_some(whole), None))
            }
            ContentRow::Single(_) => Err(S3Error::InvalidPartNumber {
                part_number: number.value(),
                part_count: 1,
            }),
            ContentRow::Parts(manifest) => {
                let part_count = manifest.part_count;
                let extent = self.part_extent(identity.version, identity, manifest, number)?;
                match extent {
                    Some(extent) if extent.len_bytes() > 0 => Ok((Some(extent), Some(part_count))),
                    Some(_) if whole.len_bytes() == 0 => Ok((None, Some(part_count))),
                    Some(_) => Err(S3Error::InvalidRange {
                        size_bytes: object.size_bytes,
                    }),
                    None => Err(S3Error::InvalidPartNumber {
                        part_number: number.value(),
                        part_count,
                    }),
                }
            }
        }
    }

    /// The checksum of a whole object, opened.
    ///
    /// # Errors
    ///
    /// [`S3Error::Damaged`].
    pub(crate) fn object_checksum(
        &self,
        key: &OpenedKey,
        identity: &ObjectIdentity,
        object: &ObjectRow,
    ) -> Result<Option<Checksum>, S3Error> {
        match (object.checksum_kind, &object.sealed_checksum) {
            (Some(kind), Some(sealed)) => self
                .open_checksum(key.body_keys.data_key(), identity, None, kind, sealed)
                .map(Some),
            (_, None) | (None, Some(_)) => Ok(None),
        }
    }

    /// The checksum of one part of a multipart object, opened. The caller holds a lease on the
    /// parts, so a part without a row is damage.
    fn part_checksum(
        &self,
        key: &OpenedKey,
        identity: &ObjectIdentity,
        object: &ObjectRow,
        number: PartNumber,
    ) -> Result<Option<Checksum>, S3Error> {
        let Some(kind) = object.checksum_kind else {
            return Ok(None);
        };
        let row = self.read_row::<PartRow>(Table::PARTS, &keys::part(identity.version, number))?;
        let (row, _) = row.ok_or_else(|| self.damaged(identity, Damage::of("part row")))?;
        let PartRow {
            attempt,
            sealed_checksum: Some(sealed),
            ..
        } = row
        else {
            return Ok(None);
        };
        let part = PartIdentity {
            number,
            attempt: AttemptUid::from_bytes(attempt),
        };
        self.open_checksum(
            key.body_keys.data_key(),
            identity,
            Some(part),
            kind,
            &sealed,
        )
        .map(Some)
    }

    /// Whether key material may come over this request's connection.
    pub(crate) fn is_confidential(&self, context: &RequestContext) -> bool {
        context.is_confidential() || self.options.danger_keys_over_plain_http
    }
}

/// What answers show of a version; checksum and number of parts are filled in where asked for.
pub(crate) fn object_view(
    bucket: &BucketView,
    found: &FoundVersion,
    object: &ObjectRow,
    encryption: EncryptionAnswer,
) -> ObjectView {
    ObjectView {
        size_bytes: object.size_bytes,
        etag: ETag::from_stored(&object.etag),
        last_modified: found.row.last_modified(),
        version: found.shown_id(bucket),
        metadata: object.metadata.to_metadata(),
        storage_class: StorageClass::Standard,
        encryption,
        checksum: None,
        tag_count: object.tags.len(),
        parts_count: None,
    }
}
