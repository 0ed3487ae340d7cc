//! Everything that is stored of one object version, or of one upload in progress.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use strongroom_crypto::{
    Attribute, BodyKeys, HEADER_MAX_BYTES, Layers, ObjectIdentity, PartIdentity, ServicePurpose,
    StreamLayout, StreamOpener, WrapMode, WrappedKey, stream_uids,
};
use strongroom_ports::{Row, Table};
use strongroom_recover::manifest;
use strongroom_recover::records::{
    Blob, Content, KmsEncryption, ManifestPlace, Object, Part, Place, Upload,
};
use strongroom_types::{AttemptUid, PartNumber, VersionUid};

use crate::blobs::{Expected, check_tail};
use crate::findings::{Subject, Whereabouts};
use crate::rows::{self, Opened, split_object_row};
use crate::stream::{Fault, Source, Stream};
use crate::tally::{ModeTally, add};
use crate::walk::{Walk, mode_of};

/// What is under one data key.
pub(crate) struct Body<'b, 'a> {
    pub(crate) walk: &'b Walk<'a>,
    pub(crate) table: Table,
    pub(crate) row_key: &'b Bytes,
    pub(crate) object: &'b ObjectIdentity,
    pub(crate) wrapped: &'b WrappedKey,
    pub(crate) kms: Option<&'b KmsEncryption>,
    /// `None`: only checksums are verified.
    pub(crate) keys: Option<BodyKeys>,
    pub(crate) is_pending: bool,
    pub(crate) at: Whereabouts,
    pub(crate) tally: Arc<ModeTally>,
}

/// A stream that a row names.
#[derive(Clone, Copy)]
struct Named {
    place: Place,
    part: Option<PartIdentity>,
    size_bytes: u64,
}

impl Body<'_, '_> {
    fn tell(&self, what: &str, why: impl Into<String>) {
        self.tell_at(&self.at, what, why);
    }

    fn tell_at(&self, at: &Whereabouts, what: &str, why: impl Into<String>) {
        self.walk
            .tell(self.table, self.row_key, at.finding(what, why));
    }

    /// A version's streams, part list and checksums.
    pub(crate) fn object(&self, object: &Object) {
        if let (Some(keys), Some(sealed)) = (&self.keys, &object.sealed_checksum) {
            let opened = keys
                .data_key()
                .open_attribute(Attribute::Checksum, self.object, sealed);
            if opened.is_err() {
                self.tell("checksum", "its sealed checksum does not open");
            }
        }
        match &object.content {
            Content::Single(place) => self.stream(Named {
                place: *place,
                part: None,
                size_bytes: object.size_bytes,
            }),
            Content::Parts(place) => self.parts(place, object.size_bytes),
        }
    }

    fn parts(&self, place: &ManifestPlace, size_bytes: u64) {
        add(&self.walk.counters.part_lists, 1);
        let (stored, at) = match (&place.inline, place.blob) {
            (Some(inline), _) => (inline.clone(), self.at.clone()),
            (None, Some(blob)) => {
                let at = self.in_blob(&blob, None);
                self.claim(&blob, None, &at);
                match self.part_list(&blob, place.part_count) {
                    Ok(stored) => (stored, at),
                    Err(error) => return self.unreadable(&at, "part-list", &error),
                }
            }
            (None, None) => return self.tell("part-list", "its row names no part list"),
        };
        let ring = self.walk.keys.ring();
        let key = ring.service_key(ServicePurpose::Manifest);
        let parts = manifest::open(&stored, place, self.object, key);
        let Some(parts) = parts else {
            return self.tell_at(&at, "part-list", "its part list does not open");
        };
        let total: u64 = parts.iter().map(|part| part.size_bytes).sum();
        if total != size_bytes {
            self.tell("part-list", "its parts are not as long as the object");
        }
        for part in parts {
            let identity = PartIdentity {
                number: part.number,
                attempt: part.attempt,
            };
            self.part_row(&part);
            self.stream(Named {
                place: part.place,
                part: Some(identity),
                size_bytes: part.size_bytes,
            });
        }
    }

    fn part_list(&self, blob: &[u8; 16], part_count: u32) -> io::Result<Vec<u8>> {
        let file = self.walk.pace.open(&self.walk.blob_path(blob))?;
        // No list is longer, whatever the file says; a byte more shows one that is.
        let len =
            manifest::len_max_bytes(part_count).unwrap_or_default() + manifest::CHECKSUM_LEN_BYTES;
        Source::File(Arc::new(file)).read(self.walk.pace, 0, len + 1)
    }

    /// The row of a part of a completed object: the collector goes by it.
    fn part_row(&self, listed: &manifest::Part) {
        let number = listed.number.value();
        let key = [
            self.object.version.as_bytes().as_slice(),
            &number.to_be_bytes(),
        ]
        .concat();
        let mut at = self.at.clone();
        at.part = Some(number);
        let row = self
            .walk
            .sealer
            .read::<Part>(self.walk.meta, Table::PARTS, &key);
        match row.map(Opened::record) {
            Ok(Some(row))
                if row.attempt == *listed.attempt.as_bytes()
                    && row.size_bytes == listed.size_bytes
                    && row.place == listed.place =>
            {
                self.part_checksum(&row, listed.number, &at);
            }
            Ok(Some(_)) => self.tell_at(&at, "row", "the row of a part is of another attempt"),
            Ok(None) => self.tell_at(&at, "row", "the row of a part is missing"),
            Err(_) => self.tell_at(&at, "row", "the row of a part does not open"),
        }
    }

    fn part_checksum(&self, row: &Part, number: PartNumber, at: &Whereabouts) {
        if let (Some(keys), Some(sealed)) = (&self.keys, &row.sealed_checksum) {
            let attempt = AttemptUid::from_bytes(row.attempt);
            let attribute = Attribute::PartChecksum(number, attempt);
            let data_key = keys.data_key();
            if data_key
                .open_attribute(attribute, self.object, sealed)
                .is_err()
            {
                self.tell_at(
                    at,
                    "checksum",
                    "the sealed checksum of a part does not open",
                );
            }
        }
    }

    /// The parts of an upload in progress.
    fn uploaded_parts(&self, uploads: &crate::tally::BucketTally) {
        let range = rows::below(self.object.version.as_bytes());
        let mut found = Vec::new();
        let read = rows::each_row(self.walk.meta, Table::PARTS, range, &mut |row: Row| {
            found.push(row);
            true
        });
        if read.is_err() {
            self.tell("row", "the rows of its parts cannot be read");
        }
        for row in found {
            add(&uploads.upload_parts, 1);
            let number = row
                .key
                .last_chunk::<2>()
                .map(|number| u16::from_be_bytes(*number));
            let number = number.and_then(|number| PartNumber::new(u64::from(number)));
            let mut at = self.at.clone();
            at.part = number.map(PartNumber::value);
            let part = self
                .walk
                .sealer
                .decode::<Part>(Table::PARTS, &row.key, &row.value);
            let (Some(number), Some(part)) = (number, part) else {
                self.tell_at(&at, "row", "the row of a part does not open");
                continue;
            };
            self.part_checksum(&part, number, &at);
            self.stream(Named {
                place: part.place,
                part: Some(PartIdentity {
                    number,
                    attempt: AttemptUid::from_bytes(part.attempt),
                }),
                size_bytes: part.size_bytes,
            });
        }
    }

    fn in_blob(&self, blob: &[u8; 16], part: Option<PartIdentity>) -> Whereabouts {
        Whereabouts {
            file: Some(self.walk.shown(blob)),
            part: part.map(|part| part.number.value()),
            ..self.at.clone()
        }
    }

    /// Notes that a blob is in use, and holds its own row against it: the sweep goes by that.
    fn claim(&self, blob: &[u8; 16], part: Option<PartIdentity>, at: &Whereabouts) {
        self.walk.claims.blobs.insert(*blob);
        let row = self
            .walk
            .sealer
            .read::<Blob>(self.walk.meta, Table::BLOBS, blob);
        let expected = Blob {
            bucket: *self.object.bucket.as_bytes(),
            version: *self.object.version.as_bytes(),
            part_number: part.map(|part| part.number.value()),
        };
        match row.map(Opened::record) {
            Ok(Some(row)) if row == expected => {}
            Ok(Some(_)) => self.tell_at(at, "blob-row", "the row of its blob names another object"),
            Ok(None) => self.tell_at(
                at,
                "blob-row",
                "the row of its blob is missing: the sweep would take the blob for an orphan",
            ),
            // Told of by the row itself.
            Err(_) => {}
        }
    }

    fn unreadable(&self, at: &Whereabouts, what: &str, error: &io::Error) {
        if error.kind() == io::ErrorKind::NotFound {
            self.tell_at(at, "missing", "its blob file is missing");
        } else {
            self.tell_at(at, what, error.to_string());
        }
    }

    fn source(&self, named: Named, at: &Whereabouts) -> Option<Source> {
        match named.place {
            Place::Blob(blob) => {
                self.claim(&blob, named.part, at);
                match self.walk.pace.open(&self.walk.blob_path(&blob)) {
                    Ok(file) => Some(Source::File(Arc::new(file))),
                    Err(error) => {
                        self.unreadable(at, "unreadable", &error);
                        None
                    }
                }
            }
            Place::Inline => {
                let mut key = self.object.version.as_bytes().to_vec();
                if let Some(part) = named.part {
                    key.extend_from_slice(part.attempt.as_bytes());
                }
                match self.walk.meta.read(Table::INLINE, &key) {
                    Ok(Some(stored)) => Some(Source::Memory(stored.value)),
                    Ok(None) => {
                        self.tell_at(at, "missing", "its stored bytes are not among the rows");
                        None
                    }
                    Err(error) => {
                        self.tell_at(at, "unreadable", error.to_string());
                        None
                    }
                }
            }
        }
    }

    /// One stored stream: header, segments, and what is behind them.
    fn stream(&self, named: Named) {
        let at = match named.place {
            Place::Blob(blob) => self.in_blob(&blob, named.part),
            Place::Inline => Whereabouts {
                part: named.part.map(|part| part.number.value()),
                ..self.at.clone()
            },
        };
        let Some(source) = self.source(named, &at) else {
            return;
        };
        let tell = |what: &str, why: &str, offset: u64| {
            let finding = at.finding(what, why).at(offset);
            self.walk.tell(self.table, self.row_key, finding);
        };
        let header = match source.read(self.walk.pace, 0, HEADER_MAX_BYTES) {
            Ok(header) => header,
            Err(error) => return tell("unreadable", &error.to_string(), 0),
        };
        let (Ok(layout), Ok(uids)) = (StreamLayout::parse(&header), stream_uids(&header)) else {
            return tell("header", "the header of its stored stream is damaged", 0);
        };
        if uids != (self.object.bucket, self.object.version, named.part) {
            return tell("header", "what is stored in its place is another's", 0);
        }
        let is_double = matches!(self.wrapped.mode(), WrapMode::TwoLayers { .. });
        if is_double != (layout.layers() == Layers::Two) {
            return tell(
                "header",
                "its stored stream has another number of layers",
                0,
            );
        }
        let opener = self.keys.as_ref().and_then(|keys| {
            StreamOpener::new(keys, self.object, named.part, &header)
                .inspect_err(|error| tell("header", &format!("its header: {error}"), 0))
                .ok()
        });
        add(&self.tally.streams, 1);
        let end = layout.stored_len_bytes(named.size_bytes);
        let stream = Arc::new(Stream::new(
            source.clone(),
            (layout, opener),
            named.size_bytes,
            Arc::clone(&self.tally),
            self.teller(&at),
        ));
        if let Some((pool, workers)) = self.walk.pool {
            let others = usize::try_from(stream.pieces()).unwrap_or(usize::MAX);
            pool.ask_for_help(&stream, others.min(workers).saturating_sub(1));
        }
        stream.verify(self.walk.pace);
        match named.place {
            Place::Inline => {
                if source.len_bytes().is_ok_and(|len| len > end) {
                    tell("length", "there is something behind its stored stream", end);
                }
            }
            Place::Blob(_) => {
                let header = header.get(..layout.header_len_bytes()).unwrap_or_default();
                self.tail((&source, header, end), named, &at);
            }
        }
    }

    fn tail(&self, (source, header, end): (&Source, &[u8], u64), named: Named, at: &Whereabouts) {
        let ring = self.walk.keys.ring();
        let expected = Expected {
            object: self.object,
            header,
            part: named.part,
            size_bytes: named.size_bytes,
            wrapped: self.wrapped,
            kms: self.kms,
            keys: self.keys.as_ref(),
            ring: &ring,
            sealer: self.walk.sealer,
            is_pending: self.is_pending,
            is_rewrapping: self.walk.is_rewrapping(),
        };
        for fault in check_tail(source, self.walk.pace, end, &expected) {
            let Fault { what, why, offset } = fault;
            let finding = at.finding(what, why).at(offset);
            self.walk.tell(self.table, self.row_key, finding);
        }
    }

    /// Tells of damaged segments, from any thread.
    fn teller(&self, at: &Whereabouts) -> Box<dyn Fn(Fault) + Send + Sync> {
        let findings = Arc::clone(&self.walk.findings);
        let subject = Subject::Row(self.table.0, self.row_key.clone());
        let at = at.clone();
        Box::new(move |Fault { what, why, offset }| {
            findings.add(subject.clone(), at.finding(what, why).at(offset));
        })
    }
}

impl Walk<'_> {
    /// An upload in progress.
    pub(crate) fn upload(&self, key: &Bytes, value: &[u8]) {
        let unreadable = |why: &str, at: Whereabouts| {
            self.tell(Table::UPLOADS, key, at.finding("row", why));
        };
        let Some((bucket, object_key, tail)) = split_object_row::<24>(key) else {
            return unreadable(
                "the key of an upload's row cannot be read",
                Whereabouts::default(),
            );
        };
        let Some(uid) = tail.last_chunk::<16>() else {
            return;
        };
        let at = Whereabouts {
            bucket: Some(self.bucket_name(bucket)),
            key: Some(object_key.as_str().to_owned()),
            ..Whereabouts::default()
        };
        let row = self.sealer.decode::<Upload>(Table::UPLOADS, key, value);
        let Some(row) = row else {
            return unreadable("the row of an upload does not open", at);
        };
        let Ok(wrapped) = WrappedKey::parse(&row.key.wrapped) else {
            return unreadable("its wrapped key cannot be read", at);
        };
        let object = ObjectIdentity {
            bucket,
            key: object_key,
            version: VersionUid::from_bytes(*uid),
        };
        let bucket = self.tally.bucket(at.bucket.as_deref().unwrap_or_default());
        add(&bucket.uploads, 1);
        let tally = bucket.mode(mode_of(&wrapped));
        let body = self.body(
            key,
            Table::UPLOADS,
            &object,
            (&row.key, &wrapped),
            (at, tally),
        );
        body.uploaded_parts(&bucket);
    }
}
