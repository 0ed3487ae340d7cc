//! Wrapping data keys anew after a rotation of the root key, and proving that none is left.
//!
//! ```text
//!   UPLOADS    before versions: what a completion carries over is new by then
//!   VERSIONS   every version, also those whose bodies nobody may change
//!   BLOBS      the footers of blob files, parts of uploads in progress included
//! ```
//!
//! Nothing here opens a body, and nothing needs the key service or a customer's key: of two layers
//! the outer record alone is the ring's. Work goes page by page, from a place that the caller keeps;
//! a page that is done twice finds nothing to do.

use bytes::Bytes;
use strongroom_crypto::{
    FOOTER_END_LEN_BYTES, FOOTER_MAX_BYTES, Footer, HEADER_MAX_BYTES, StreamLayout, WrappedKey,
    encode_footer, parse_footer,
};
use strongroom_ports::{BlobError, BlobReader, Row, Scan, Table, Transaction};
use strongroom_rows::{RewrapPage, RewrapTask, Rewrapped, until_undisturbed};
use strongroom_types::{BlobId, BucketUid, VersionUid};

use crate::footers::read;
use crate::keys;
use crate::rows::{BlobRow, KeyRow, Record, UploadRow, VersionRow};
use crate::stream_in::len_u64;
use crate::{S3, S3Error};

/// A part list has no footer.
const MANIFEST_MAGIC: &[u8] = b"SRM1";

/// Where wrapped keys are kept. Worked through in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrappedPlace {
    /// Multipart uploads in progress.
    Uploads,
    /// Object versions.
    Versions,
    /// Footers of blob files.
    Footers,
}

impl WrappedPlace {
    /// All of them, in the order in which they are worked through.
    pub const ALL: [Self; 3] = [Self::Uploads, Self::Versions, Self::Footers];

    const fn table(self) -> Table {
        match self {
            Self::Uploads => Table::UPLOADS,
            Self::Versions => Table::VERSIONS,
            Self::Footers => Table::BLOBS,
        }
    }
}

impl S3 {
    /// Works through up to `limit` rows of a place, from `after` on.
    ///
    /// Blocks on the stores: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::Unavailable`], [`S3Error::NoSpace`]: nothing is known of the page; do it again.
    pub fn rewrap_page(
        &self,
        place: WrappedPlace,
        task: RewrapTask,
        after: Option<&Bytes>,
        limit: usize,
    ) -> Result<RewrapPage, S3Error> {
        let meta = &*self.ports.meta;
        let range = (Bytes::new(), None);
        RewrapPage::work_through(
            meta,
            place.table(),
            range,
            after,
            limit,
            |row| match place {
                WrappedPlace::Uploads => self.rewrap_row::<UploadRow>(place, task, row),
                WrappedPlace::Versions => self.rewrap_row::<VersionRow>(place, task, row),
                WrappedPlace::Footers => self.rewrap_footer(task, row),
            },
        )
    }

    /// The rows of a place, for a progress bar: counted up to `limit` at a time, from `after` on.
    ///
    /// Blocks on the metadata store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// [`S3Error::Unavailable`].
    pub fn count_wrapped(
        &self,
        place: WrappedPlace,
        after: Option<&Bytes>,
        limit: usize,
    ) -> Result<(u64, Option<Bytes>), S3Error> {
        let start = after.map_or_else(Bytes::new, |after| keys::behind(after));
        let page = self.ports.meta.scan(&Scan {
            table: place.table(),
            start,
            end: None,
            limit,
            reverse: false,
        })?;
        let last = page.rows.last().map(|row| row.key.clone());
        Ok((len_u64(page.rows.len()), last.filter(|_| page.more)))
    }

    /// One row, as it is when it is written: whoever changes it meanwhile is not undone.
    fn rewrap_row<R: HoldsKey>(
        &self,
        place: WrappedPlace,
        task: RewrapTask,
        found: &Row,
    ) -> Result<Rewrapped, S3Error> {
        let table = place.table();
        until_undisturbed(|| {
            let (mut record, version) = match self.read_row::<R>(table, &found.key) {
                Ok(Some(read)) => read,
                Ok(None) => return Ok(Rewrapped::Nothing),
                Err(S3Error::Damaged) => return Ok(Rewrapped::Failed),
                Err(error) => return Err(error),
            };
            let Some((bucket, owner)) = R::uids(&found.key, &record) else {
                return Ok(Rewrapped::Failed);
            };
            let Some(key) = record.key_row() else {
                return Ok(Rewrapped::Nothing);
            };
            let Ok(wrapped) = WrappedKey::parse(&key.wrapped) else {
                tracing::error!(version_uid = %owner, "a wrapped key cannot be read");
                return Ok(Rewrapped::Failed);
            };
            let wrapped = match self.decide(task, &wrapped, bucket, owner) {
                Decision::Done(outcome) => return Ok(outcome),
                Decision::Replace(wrapped) => wrapped,
            };
            key.wrapped = wrapped.as_bytes().to_vec();
            let sealed = self.seal_row(table, &found.key, &record);
            let transaction = Transaction::new()
                .expect(table, found.key.clone(), Some(version))
                .put(table, found.key.clone(), sealed);
            self.ports.meta.commit(transaction).wait()?;
            Ok(Rewrapped::Matched)
        })
    }

    /// The footer of one blob.
    fn rewrap_footer(&self, task: RewrapTask, found: &Row) -> Result<Rewrapped, S3Error> {
        let table = Table::BLOBS;
        let row = match self.open_scanned::<BlobRow>(table, found) {
            Ok(row) => row,
            Err(S3Error::Damaged) => return Ok(Rewrapped::Failed),
            Err(error) => return Err(error),
        };
        let Ok(id) = <[u8; 16]>::try_from(&*found.key) else {
            return Ok(Rewrapped::Failed);
        };
        let (id, bucket) = (BlobId::from_bytes(id), BucketUid::from_bytes(row.bucket));
        let owner = VersionUid::from_bytes(row.version);
        // What wraps the key anew for another reason goes first, and neither disturbs the other.
        self.rewrite_pending_footers(owner);
        let _turn = self.footer_turn(owner);
        let _lease = self.lease_reading(owner);
        let reader = match self.ports.blobs.open(id) {
            Ok(reader) => reader,
            Err(BlobError::NotFound(_)) => return Ok(Rewrapped::Nothing),
            Err(error) => return Err(error.into()),
        };
        let Some((stream_len, footer)) = footer_of(&*reader)? else {
            return Ok(Rewrapped::Nothing);
        };
        let Some(footer) = footer else {
            tracing::error!(blob = %id, "a blob has no footer that can be read");
            return Ok(Rewrapped::Failed);
        };
        let wrapped_key = match self.decide(task, &footer.wrapped_key, bucket, owner) {
            Decision::Done(outcome) => return Ok(outcome),
            Decision::Replace(wrapped) => wrapped,
        };
        self.replace_key_in_footer(id, stream_len, footer, wrapped_key)?;
        Ok(Rewrapped::Matched)
    }

    /// Puts a wrapped key into the footer of a blob that no row names yet.
    pub(crate) fn put_wrapped_key(&self, id: BlobId, wrapped: &[u8]) -> Result<(), S3Error> {
        let wrapped_key = WrappedKey::parse(wrapped).map_err(|_| S3Error::Damaged)?;
        let reader = self.ports.blobs.open(id)?;
        let Some((stream_len, Some(footer))) = footer_of(&*reader)? else {
            return Err(S3Error::Damaged);
        };
        self.replace_key_in_footer(id, stream_len, footer, wrapped_key)
    }

    fn replace_key_in_footer(
        &self,
        id: BlobId,
        stream_len: u64,
        footer: Footer,
        wrapped_key: WrappedKey,
    ) -> Result<(), S3Error> {
        let footer = encode_footer(&Footer {
            wrapped_key,
            ..footer
        });
        Ok(self.ports.blobs.replace_tail(id, stream_len, &footer)?)
    }

    fn decide(
        &self,
        task: RewrapTask,
        wrapped: &WrappedKey,
        bucket: BucketUid,
        owner: VersionUid,
    ) -> Decision {
        match task {
            RewrapTask::Count(version) => {
                let needs = wrapped.root_version().is_some_and(|it| it <= version);
                Decision::Done(if needs {
                    Rewrapped::Matched
                } else {
                    Rewrapped::Nothing
                })
            }
            RewrapTask::Rewrap => {
                let ring = self.ports.custody.ring();
                match ring.rewrap(wrapped, bucket, owner, &*self.ports.entropy) {
                    Ok(Some(wrapped)) => Decision::Replace(wrapped),
                    Ok(None) => Decision::Done(Rewrapped::Nothing),
                    Err(_) => {
                        tracing::error!(version_uid = %owner, "a wrapped key does not open");
                        metrics::counter!("strongroom_integrity_events_total", "what" => "wrapped key")
                            .increment(1);
                        Decision::Done(Rewrapped::Failed)
                    }
                }
            }
        }
    }
}

enum Decision {
    Done(Rewrapped),
    Replace(WrappedKey),
}

/// A record that holds a wrapped key.
trait HoldsKey: Record {
    /// Bucket and version to which the key is bound, from the row's key and the record.
    fn uids(row_key: &[u8], record: &Self) -> Option<(BucketUid, VersionUid)>;

    /// The key; a delete marker has none.
    fn key_row(&mut self) -> Option<&mut KeyRow>;
}

fn bucket_of(row_key: &[u8]) -> Option<BucketUid> {
    row_key
        .first_chunk::<16>()
        .map(|uid| BucketUid::from_bytes(*uid))
}

impl HoldsKey for UploadRow {
    fn uids(row_key: &[u8], _: &Self) -> Option<(BucketUid, VersionUid)> {
        let (_, id) = keys::parse_upload(row_key)?;
        Some((bucket_of(row_key)?, id.version_uid))
    }

    fn key_row(&mut self) -> Option<&mut KeyRow> {
        Some(&mut self.key)
    }
}

impl HoldsKey for VersionRow {
    fn uids(row_key: &[u8], record: &Self) -> Option<(BucketUid, VersionUid)> {
        Some((bucket_of(row_key)?, record.uid()))
    }

    fn key_row(&mut self) -> Option<&mut KeyRow> {
        self.object.as_mut().map(|object| &mut object.key)
    }
}

/// Where the footer begins, and the footer if it can be read; nothing for a part list.
fn footer_of(reader: &dyn BlobReader) -> Result<Option<(u64, Option<Footer>)>, S3Error> {
    let len_bytes = reader.len_bytes();
    let header = read(reader, 0, len_bytes.min(len_u64(HEADER_MAX_BYTES)))?;
    if header.starts_with(MANIFEST_MAGIC) {
        return Ok(None);
    }
    if StreamLayout::parse(&header).is_err() {
        return Ok(Some((0, None)));
    }
    // Most footers are short: the whole bound is read only if one is not.
    for tail_len in [4 << 10, FOOTER_MAX_BYTES] {
        let tail_len = len_u64(tail_len).min(len_bytes);
        let tail = read(reader, len_bytes - tail_len, tail_len)?;
        if tail.len() < FOOTER_END_LEN_BYTES {
            break;
        }
        if let Ok((footer, len)) = parse_footer(&tail) {
            return Ok(Some((len_bytes - len_u64(len), Some(footer))));
        }
    }
    Ok(Some((0, None)))
}
