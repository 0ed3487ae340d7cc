//! The footers of a version's blobs, after its data key was wrapped anew.
//!
//! ```text
//! one transaction: the version's row with the new wrapped key, and a row "footers pending"
//! then, per blob:  the end of the file is overwritten with a footer that has the new one
//! last:            the row "footers pending" goes
//! ```
//!
//! Who takes a key away takes the data away: with the old wrapped key left in a footer, the old key
//! would still open the blob. What a crash cuts short the collector completes at the next start. No
//! data key is needed for that: the sealed record of a footer stays as it is, and the blob store
//! keeps one whole footer behind the stream at any moment.

use parking_lot::MutexGuard;
use strongroom_crypto::{
    FOOTER_END_LEN_BYTES, FOOTER_MAX_BYTES, Footer, HEADER_MAX_BYTES, ObjectIdentity, StreamLayout,
    WrappedKey, parse_footer,
};
use strongroom_ports::{BlobError, BlobReader, Table, Transaction};
use strongroom_types::{BlobId, BucketUid, ObjectKey, VersionUid};

use crate::integrity::Damage;
use crate::keys::Garbage;
use crate::lookup::FoundVersion;
use crate::recovery::{Kept, encode_with_key};
use crate::rows::{ContentRow, KeyRow, ObjectRow, PendingFootersRow, PlaceRow, VersionRow};
use crate::stream_in::len_u64;
use crate::{S3, S3Error, keys};
use strongroom_rows::until_undisturbed;

/// Part rows read at a time.
const PARTS_PAGE: usize = 1000;
/// Behind a stream there is no more than the two footers and the gap that a replacement which was
/// cut short leaves. Anything else is not ours to overwrite.
const BEHIND_STREAM_MAX_BYTES: usize = 3 * FOOTER_MAX_BYTES;
/// Versions whose footers are rewritten at the same time, at most.
pub(crate) const FOOTER_TURNS: usize = 64;

impl S3 {
    /// Asks for the rewriting of a version's footers, in the transaction that wraps its data key
    /// anew; false where no blob of it has a footer.
    pub(crate) fn put_pending_footers(
        &self,
        transaction: Transaction,
        found: &FoundVersion,
        object: &ObjectRow,
    ) -> (Transaction, bool) {
        match object.content {
            ContentRow::Single(PlaceRow::Inline) => return (transaction, false),
            ContentRow::Single(PlaceRow::Blob(_)) | ContentRow::Parts(_) => {}
        }
        let row_key = Garbage::Footers(found.row.uid()).key();
        let row = PendingFootersRow {
            since_millis: self.ports.clock.now().as_millis(),
            version_row: found.row_key.to_vec(),
        };
        let sealed = self.seal_row(Table::GARBAGE, &row_key, &row);
        (transaction.put(Table::GARBAGE, row_key, sealed), true)
    }

    /// Rewrites the footers of a version, if that is pending: when this returns true, no blob of it
    /// holds its data key as it was wrapped before. After a failure, which is logged, the row stays
    /// for the collector. Blocks.
    pub(crate) fn rewrite_pending_footers(&self, version: VersionUid) -> bool {
        let _turn = self.footer_turn(version);
        // Beaten by who wraps the key anew once more, it is their row that remains to be worked off.
        let outcome = until_undisturbed(|| self.rewrite_footers(version));
        let Err(error) = outcome else {
            return true;
        };
        tracing::error!(
            version_uid = %version, %error,
            "blob footers still hold a data key as it was wrapped before; the collector tries again"
        );
        metrics::counter!("strongroom_footer_rewrite_failures_total").increment(1);
        false
    }

    /// One at a time for each version: the blob store leaves that order to us.
    pub(crate) fn footer_turn(&self, version: VersionUid) -> Option<MutexGuard<'_, ()>> {
        let [first, ..] = *version.as_bytes();
        let turn = self.footer_turns.get(usize::from(first) % FOOTER_TURNS);
        turn.map(|turn| turn.lock())
    }

    fn rewrite_footers(&self, version: VersionUid) -> Result<(), S3Error> {
        let row_key = Garbage::Footers(version).key();
        let pending = self.read_row::<PendingFootersRow>(Table::GARBAGE, &row_key)?;
        let Some((pending, stored)) = pending else {
            return Ok(());
        };
        // The blobs stay if the version's row is still there now that the collector was told.
        let _lease = self.lease_reading(version);
        let found = self.read_row::<VersionRow>(Table::VERSIONS, &pending.version_row)?;
        // By identity: the place of a version that is gone may be another's by now.
        let object = found
            .filter(|(row, _)| row.uid() == version)
            .and_then(|(row, _)| row.object);
        if let Some(object) = object {
            let identity = identity_of(&pending.version_row, version).ok_or(S3Error::Damaged)?;
            self.rewrite_footers_of(&identity, &object)?;
        }
        let transaction = Transaction::new()
            .expect(Table::GARBAGE, row_key.clone(), Some(stored))
            .delete(Table::GARBAGE, row_key);
        self.ports.meta.commit(transaction).wait()?;
        Ok(())
    }

    fn rewrite_footers_of(
        &self,
        identity: &ObjectIdentity,
        object: &ObjectRow,
    ) -> Result<(), S3Error> {
        let (size_bytes, place) = match &object.content {
            ContentRow::Single(place) => (object.size_bytes, place),
            ContentRow::Parts(_) => return self.rewrite_footers_of_parts(identity, object),
        };
        match place {
            PlaceRow::Inline => Ok(()),
            PlaceRow::Blob(id) => {
                let id = BlobId::from_bytes(*id);
                self.rewrite_footer(identity, &object.key, id, size_bytes)
            }
        }
    }

    /// All parts that have rows, named by the part list or not. The part list itself has no footer.
    fn rewrite_footers_of_parts(
        &self,
        identity: &ObjectIdentity,
        object: &ObjectRow,
    ) -> Result<(), S3Error> {
        let (mut after, mut outcome) = (0, Ok(()));
        loop {
            let (parts, more) = self.part_rows(identity.version, after, PARTS_PAGE)?;
            for (number, part) in &parts {
                after = u32::from(number.value());
                let PlaceRow::Blob(id) = part.place else {
                    continue;
                };
                let id = BlobId::from_bytes(id);
                // One that cannot be rewritten must not keep the old key in the others.
                let rewritten = self.rewrite_footer(identity, &object.key, id, part.size_bytes);
                outcome = outcome.and(rewritten);
            }
            if !more || parts.is_empty() {
                return outcome;
            }
        }
    }

    fn rewrite_footer(
        &self,
        identity: &ObjectIdentity,
        key: &KeyRow,
        id: BlobId,
        size_bytes: u64,
    ) -> Result<(), S3Error> {
        let damaged = |what| {
            let blob = Some(id);
            let segment = None;
            self.damaged(
                identity,
                Damage {
                    what,
                    blob,
                    segment,
                },
            )
        };
        let reader = match self.ports.blobs.open(id) {
            Ok(reader) => reader,
            Err(BlobError::NotFound(_)) => {
                // An event, and nothing left to take away.
                damaged("stream missing");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let len_bytes = reader.len_bytes();
        let header = read(&*reader, 0, len_bytes.min(len_u64(HEADER_MAX_BYTES)))?;
        // Where the stream ends cannot be told without its header: the row stays until it can.
        let layout = StreamLayout::parse(&header).map_err(|_| S3Error::Damaged)?;
        let stream_len = layout.stored_len_bytes(size_bytes);
        let Some(behind_len) = len_bytes.checked_sub(stream_len) else {
            damaged("length");
            return Ok(());
        };
        if behind_len > len_u64(BEHIND_STREAM_MAX_BYTES) {
            return Err(S3Error::Damaged);
        }
        let behind = read(&*reader, stream_len, behind_len)?;
        let kept = if let Some(footer) = whole_footer(&behind) {
            Kept {
                record: footer.record,
                header_checksum: footer.header_checksum,
                blob_id: footer.blob_id,
            }
        } else {
            // The record is lost for recovery; the key must not stay for that.
            damaged("footer");
            Kept {
                record: Vec::new(),
                header_checksum: None,
                blob_id: None,
            }
        };
        let wrapped = WrappedKey::parse(&key.wrapped).map_err(|_| damaged("wrapped key"))?;
        let kms = key.kms.as_ref().map(|kms| (kms, &*self.ports.custody));
        let footer = encode_with_key(kept, &wrapped, identity, kms, &*self.ports.entropy);
        Ok(self.ports.blobs.replace_tail(id, stream_len, &footer)?)
    }
}

/// The object whose version's row has that key.
fn identity_of(row_key: &[u8], version: VersionUid) -> Option<ObjectIdentity> {
    let (bucket, _) = row_key.split_first_chunk::<16>()?;
    let (key, _) = keys::parse_version(row_key)?;
    Some(ObjectIdentity {
        bucket: BucketUid::from_bytes(*bucket),
        key: ObjectKey::parse(&key).ok()?,
        version,
    })
}

/// A footer that is whole in what is behind a stream: the last one, if a replacement was cut short.
fn whole_footer(behind: &[u8]) -> Option<Footer> {
    (FOOTER_END_LEN_BYTES..=behind.len())
        .rev()
        .filter_map(|end| behind.get(..end))
        .find_map(|tail| parse_footer(tail).ok())
        .map(|(footer, _)| footer)
}

pub(crate) fn read(
    reader: &dyn BlobReader,
    offset: u64,
    len_bytes: u64,
) -> Result<Vec<u8>, S3Error> {
    let len = usize::try_from(len_bytes).map_err(|_| S3Error::Unavailable)?;
    let mut bytes = vec![0; len];
    reader.read_at(offset, &mut bytes)?;
    Ok(bytes)
}
