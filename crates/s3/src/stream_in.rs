//! Bodies on their way in: digested, sealed, and stored inline or as a blob file.
//!
//! ```text
//! body --pieces--> window (256 KiB) --+--> digests          on one worker
//!                                     +--> segments, sealed --> blob writer    on another
//! ```
//!
//! At most two windows are in memory: one being worked on, one being received. Nothing of a body is
//! visible before every digest that the client announced was found right.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use strongroom_crypto::{
    BodyKeys, Layers, ObjectIdentity, PartIdentity, SEGMENT_LEN_BYTES, SEGMENT_OVERHEAD_MAX_BYTES,
    SealingError, StreamSealer, WrappedKey, header_len_bytes, seal_whole,
};
use strongroom_ports::{BlobWriter, KeyLease, Table, VALUE_MAX_BYTES, Write};
use strongroom_types::{BlobId, ChecksumAlgorithm, ETag, ObjectKey};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use crate::data_keys::check_lease;
use crate::digest::{DigestPlan, Digests, StreamDigest};
use crate::recovery::RecoveryRow;
use crate::rows::{BlobRow, KmsRow, PlaceRow};
use crate::worker::{join, on_worker};
use crate::{BodyError, BodySource, ExpectedDigests, S3, S3Error, keys};

/// Plaintext of a window: whole segments.
pub(crate) const WINDOW_LEN_BYTES: usize = 4 * SEGMENT_LEN_BYTES;
/// Sealed segments are written when they hold so much plaintext. The blob store takes that much at a
/// time, and every slow client holds such a buffer.
const WRITE_LEN_BYTES: usize = 2 * SEGMENT_LEN_BYTES;
/// Pieces below this are gathered, so that a body in tiny frames costs no more memory than another.
const SMALL_PIECE_BYTES: usize = 4096;

/// A stream to be stored.
#[derive(Debug)]
pub(crate) struct StreamJob {
    /// The object version that it belongs to.
    pub identity: ObjectIdentity,
    /// The part that it is, if one.
    pub part: Option<PartIdentity>,
    /// What seals it, from the version's keys.
    pub body_keys: Arc<BodyKeys>,
    /// The same, wrapped, for the blob's footer.
    pub wrapped: WrappedKey,
    /// What the footer says of the key service's key.
    pub kms: Option<KmsRow>,
    /// How long the keys may be used; asked before each window.
    pub lease: Option<KeyLease>,
    /// Length of the plaintext.
    pub content_length: u64,
    /// The tag, where it is not the MD5 of the plaintext.
    pub opaque_etag: Option<ETag>,
    /// The checksum that will be kept.
    pub checksum: Option<ChecksumAlgorithm>,
    /// What the client announced.
    pub expected: ExpectedDigests,
    /// What the blob says of itself; size and tag are filled in here.
    pub recovery: RecoveryRow,
}

/// A stream that is stored, but not yet part of any object.
#[derive(Debug)]
pub(crate) struct StoredStream {
    /// Where.
    pub place: StoredPlace,
    /// Length of the plaintext.
    pub size_bytes: u64,
    /// MD5 of the plaintext, or the job's opaque tag.
    pub etag: ETag,
    /// The plaintext's digests.
    pub digests: Digests,
}

/// Where a stored stream is.
#[derive(Debug)]
pub(crate) enum StoredPlace {
    /// Here, to be written in the transaction that refers to it.
    Inline(Bytes),
    /// In a durable blob file.
    Blob(BlobInFlight),
}

/// A blob file that no row refers to yet. While this lives, the orphan sweep leaves the file alone.
#[derive(Debug)]
pub(crate) struct BlobInFlight {
    id: BlobId,
    all: Arc<Mutex<BTreeSet<BlobId>>>,
}

impl BlobInFlight {
    /// The blob's name.
    pub(crate) fn id(&self) -> BlobId {
        self.id
    }
}

impl Drop for BlobInFlight {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}

impl StoredStream {
    /// Where the stream is, as rows say it.
    pub(crate) fn place_row(&self) -> PlaceRow {
        match &self.place {
            StoredPlace::Inline(_) => PlaceRow::Inline,
            StoredPlace::Blob(blob) => PlaceRow::Blob(*blob.id().as_bytes()),
        }
    }
}

impl S3 {
    /// Stores a body that comes in pieces. Inline if it is small, else as a blob file.
    ///
    /// # Errors
    ///
    /// [`S3Error::Body`], the digests' errors, [`S3Error::NoSpace`], [`S3Error::Unavailable`].
    /// Nothing is left behind then.
    pub(crate) async fn store_stream(
        self: &Arc<Self>,
        job: Arc<StreamJob>,
        body: Pin<Box<dyn BodySource>>,
    ) -> Result<StoredStream, S3Error> {
        if self.fits_inline(
            &job.identity.key,
            job.content_length,
            job.body_keys.layers(),
        ) {
            let (plaintext, trailing) = collect_body(body, job.content_length).await?;
            let service = Arc::clone(self);
            return on_worker(move || service.store_small(&job, &plaintext, trailing.as_deref()))
                .await?;
        }
        self.store_windows(job, body).await
    }

    /// Stores plaintext that windows of a reader give. Blocks.
    ///
    /// # Errors
    ///
    /// As [`S3::store_stream`], and what `next_window` says.
    pub(crate) fn store_from(
        &self,
        job: &StreamJob,
        next_window: &mut dyn FnMut() -> Result<Option<Vec<Bytes>>, S3Error>,
    ) -> Result<StoredStream, S3Error> {
        if self.fits_inline(
            &job.identity.key,
            job.content_length,
            job.body_keys.layers(),
        ) {
            let mut plaintext = Vec::new();
            while let Some(window) = next_window()? {
                for piece in &window {
                    plaintext.extend_from_slice(piece);
                }
            }
            return self.store_small(job, &plaintext, None);
        }
        let mut digest = job.start_digest();
        let mut writer = self.start_blob(job)?;
        while let Some(window) = next_window()? {
            check_lease(job.lease.as_ref())?;
            for piece in &window {
                digest.update(piece);
                writer.push(piece)?;
            }
        }
        writer.finish(self, job, digest.finish(), None)
    }

    /// Digests, verifies and seals a small body. Nothing is written: the stream is returned.
    ///
    /// # Errors
    ///
    /// As [`Digests::verify`] says.
    pub(crate) fn store_small(
        &self,
        job: &StreamJob,
        plaintext: &[u8],
        trailing: Option<&[u8]>,
    ) -> Result<StoredStream, S3Error> {
        let mut digest = job.start_digest();
        digest.update(plaintext);
        let digests = digest.finish();
        digests.verify(&job.expected, trailing)?;
        check_lease(job.lease.as_ref())?;
        let sealed = seal_whole(
            &job.body_keys,
            &job.identity,
            job.part,
            &*self.ports.entropy,
            plaintext,
        );
        Ok(StoredStream {
            place: StoredPlace::Inline(sealed.into()),
            size_bytes: len_u64(plaintext.len()),
            etag: job.etag(&digests)?,
            digests,
        })
    }

    /// Whether a plaintext of that length is stored in the metadata.
    pub(crate) fn fits_inline(&self, key: &ObjectKey, content_length: u64, layers: Layers) -> bool {
        // The header of a part is up to 24 bytes a layer longer than that of an object of one piece.
        let bound = self
            .options
            .inline_max_bytes
            .min(VALUE_MAX_BYTES.saturating_sub(48));
        let overhead =
            header_len_bytes(key, layers).saturating_add(layers.segment_overhead_bytes());
        content_length.saturating_add(len_u64(overhead)) <= len_u64(bound)
    }

    /// The rows to write in the transaction that refers to the stream.
    pub(crate) fn place_writes(
        &self,
        stored: &StoredStream,
        identity: &ObjectIdentity,
        part: Option<PartIdentity>,
    ) -> Write {
        match &stored.place {
            StoredPlace::Inline(sealed) => Write::Put {
                table: Table::INLINE,
                key: match part {
                    Some(part) => keys::inline_part(identity.version, part.attempt),
                    None => keys::inline(identity.version),
                },
                value: sealed.clone(),
            },
            StoredPlace::Blob(blob) => self.blob_row(blob.id(), identity, part),
        }
    }

    /// The row that says who refers to a blob.
    pub(crate) fn blob_row(
        &self,
        id: BlobId,
        identity: &ObjectIdentity,
        part: Option<PartIdentity>,
    ) -> Write {
        let key = keys::blob(id);
        let row = BlobRow {
            bucket: *identity.bucket.as_bytes(),
            version: *identity.version.as_bytes(),
            part_number: part.map(|part| part.number.value()),
        };
        let value = self.seal_row(Table::BLOBS, &key, &row);
        Write::Put {
            table: Table::BLOBS,
            key,
            value,
        }
    }

    /// Removes a stream that was stored for a transaction which did not happen. Blocks.
    ///
    /// After [`S3Error::Unavailable`] the transaction may have happened: then the file stays, and
    /// the orphan sweep finds out.
    pub(crate) fn discard_stream(&self, stored: &StoredStream, because: &S3Error) {
        if let (StoredPlace::Blob(blob), false) =
            (&stored.place, matches!(because, S3Error::Unavailable))
            && let Err(error) = self.ports.blobs.delete(blob.id())
        {
            tracing::warn!(blob_id = %blob.id(), %error, "an unused blob is left to the orphan sweep");
        }
    }

    /// Announces a blob that is about to be written.
    pub(crate) fn blob_in_flight(&self) -> BlobInFlight {
        let id = BlobId::random(&*self.ports.entropy);
        self.blobs_in_flight.lock().insert(id);
        BlobInFlight {
            id,
            all: Arc::clone(&self.blobs_in_flight),
        }
    }

    async fn store_windows(
        self: &Arc<Self>,
        job: Arc<StreamJob>,
        body: Pin<Box<dyn BodySource>>,
    ) -> Result<StoredStream, S3Error> {
        let mut windows = BodyWindows::new(body, job.content_length);
        let (service, started) = (Arc::clone(self), Arc::clone(&job));
        let mut writer = on_worker(move || service.start_blob(&started).map(Parked::new)).await??;
        let mut digest = job.start_digest();
        let mut received = windows.next().await;
        // Digesting and writing of one window run while the next one is received.
        loop {
            let window: Arc<[Bytes]> = match received {
                Ok(Some(window)) => window.into(),
                Ok(None) => break,
                Err(error) => {
                    // Taking a blob back blocks.
                    on_worker(move || drop(writer.take())).await?;
                    return Err(error);
                }
            };
            let pieces = Arc::clone(&window);
            let digesting = spawn_blocking(move || {
                pieces.iter().for_each(|piece| digest.update(piece));
                digest
            });
            let lease = job.lease.clone();
            let writing = spawn_blocking(move || {
                let mut writer = writer.take()?;
                check_lease(lease.as_ref())?;
                window.iter().try_for_each(|piece| writer.push(piece))?;
                Ok::<_, S3Error>(Parked::new(writer))
            });
            received = windows.next().await;
            digest = join(digesting).await?;
            writer = join(writing).await??;
        }
        let trailing = windows.body.trailing_checksum();
        let service = Arc::clone(self);
        on_worker(move || {
            let writer = writer.take()?;
            writer.finish(&service, &job, digest.finish(), trailing.as_deref())
        })
        .await?
    }

    fn start_blob(&self, job: &StreamJob) -> Result<StreamWriter, S3Error> {
        let blob = self.blob_in_flight();
        let sealer = StreamSealer::new(
            &job.body_keys,
            &job.identity,
            job.part,
            &*self.ports.entropy,
        );
        let len_hint = sealer.layout().stored_len_bytes(job.content_length);
        let writer = self.ports.blobs.create(blob.id(), len_hint)?;
        let mut buffer = Vec::with_capacity(
            WRITE_LEN_BYTES + 8 * SEGMENT_OVERHEAD_MAX_BYTES + sealer.header().len(),
        );
        buffer.extend_from_slice(sealer.header());
        let segment_start = buffer.len();
        Ok(StreamWriter {
            blob,
            writer,
            sealer,
            buffer,
            segment_start,
            size_bytes: 0,
        })
    }
}

impl StreamJob {
    fn start_digest(&self) -> StreamDigest {
        let plan = DigestPlan {
            md5: self.opaque_etag.is_none(),
            checksum: self.checksum,
        };
        StreamDigest::new(plan, &self.expected)
    }

    fn etag(&self, digests: &Digests) -> Result<ETag, S3Error> {
        match &self.opaque_etag {
            Some(etag) => Ok(etag.clone()),
            None => digests
                .md5
                .map(ETag::from_digest)
                .ok_or(S3Error::Unavailable),
        }
    }
}

/// Something whose drop blocks, held by a task that may be cancelled at any moment: then a worker
/// drops it. Jobs on workers take it out first, so that what they drop is gone when they are done.
struct Parked<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Parked<T> {
    fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// Takes it out; only what is there is ever taken.
    fn take(mut self) -> Result<T, S3Error> {
        self.0.take().ok_or(S3Error::Unavailable)
    }
}

impl<T: Send + 'static> Drop for Parked<T> {
    fn drop(&mut self) {
        // Without a runtime there is no task to hold up.
        if let Some(value) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            drop(runtime.spawn_blocking(move || drop(value)));
        }
    }
}

/// A blob being written: pieces of any size in, sealed segments out.
struct StreamWriter {
    blob: BlobInFlight,
    writer: Box<dyn BlobWriter>,
    sealer: StreamSealer,
    /// Header and sealed segments, and behind them the segment that is being filled.
    buffer: Vec<u8>,
    segment_start: usize,
    size_bytes: u64,
}

impl StreamWriter {
    fn push(&mut self, mut piece: &[u8]) -> Result<(), S3Error> {
        self.size_bytes = self.size_bytes.saturating_add(len_u64(piece.len()));
        while !piece.is_empty() {
            let room = SEGMENT_LEN_BYTES
                .saturating_sub(self.buffer.len().saturating_sub(self.segment_start));
            if room == 0 {
                // Only now it is known that the full segment is not the last one.
                self.seal(false)?;
                if self.buffer.len() >= WRITE_LEN_BYTES {
                    self.writer.write(&self.buffer)?;
                    self.buffer.clear();
                    self.segment_start = 0;
                }
                continue;
            }
            let (head, rest) = piece.split_at_checked(room).unwrap_or((piece, &[]));
            self.buffer.extend_from_slice(head);
            piece = rest;
        }
        Ok(())
    }

    fn finish(
        mut self,
        service: &S3,
        job: &StreamJob,
        digests: Digests,
        trailing: Option<&[u8]>,
    ) -> Result<StoredStream, S3Error> {
        if self.size_bytes != job.content_length {
            return Err(BodyError::Incomplete.into());
        }
        digests.verify(&job.expected, trailing)?;
        check_lease(job.lease.as_ref())?;
        let etag = job.etag(&digests)?;
        self.seal(true)?;
        let mut recovery = job.recovery.clone();
        recovery.size_bytes = self.size_bytes;
        etag.as_str().clone_into(&mut recovery.etag);
        let footer = recovery.footer(
            job.body_keys.data_key(),
            &job.wrapped,
            &job.identity,
            job.kms.as_ref().map(|row| (row, &*service.ports.custody)),
            (self.blob.id(), self.sealer.header()),
            &*service.ports.entropy,
        );
        self.buffer.extend_from_slice(&footer);
        let Self {
            blob,
            mut writer,
            buffer,
            size_bytes,
            ..
        } = self;
        writer.write(&buffer)?;
        writer.finish()?;
        Ok(StoredStream {
            place: StoredPlace::Blob(blob),
            size_bytes,
            etag,
            digests,
        })
    }

    fn seal(&mut self, last: bool) -> Result<(), S3Error> {
        let overhead = self.sealer.layout().segment_overhead_bytes();
        self.buffer
            .resize(self.buffer.len().saturating_add(overhead), 0);
        let sealed = match self.buffer.split_at_mut_checked(self.segment_start) {
            Some((_, segment)) => self.sealer.seal_segment(segment, last),
            None => Err(SealingError::SegmentLength),
        };
        self.segment_start = self.buffer.len();
        sealed.map_err(|error| {
            tracing::error!(%error, "a segment could not be sealed");
            S3Error::Unavailable
        })
    }
}

/// A body in windows.
struct BodyWindows {
    body: Pin<Box<dyn BodySource>>,
    remaining: u64,
    gathered: BytesMut,
    ended: bool,
}

impl BodyWindows {
    fn new(body: Pin<Box<dyn BodySource>>, content_length: u64) -> Self {
        Self {
            body,
            remaining: content_length,
            gathered: BytesMut::new(),
            ended: false,
        }
    }

    /// Pieces of about a window, or of what is left; `None` behind the end of a body that came
    /// whole.
    async fn next(&mut self) -> Result<Option<Vec<Bytes>>, S3Error> {
        let mut pieces = Vec::new();
        let mut len = 0_usize;
        while len < WINDOW_LEN_BYTES && !self.ended {
            let Some(piece) = poll_fn(|cx| self.body.as_mut().poll_piece(cx)).await else {
                self.ended = true;
                break;
            };
            let piece = piece?;
            self.remaining = self
                .remaining
                .checked_sub(len_u64(piece.len()))
                .ok_or(BodyError::TooLong)?;
            len = len.saturating_add(piece.len());
            if piece.len() < SMALL_PIECE_BYTES {
                self.gathered.extend_from_slice(&piece);
            } else {
                self.flush_gathered(&mut pieces);
                pieces.push(piece);
            }
        }
        self.flush_gathered(&mut pieces);
        if self.ended && self.remaining > 0 {
            return Err(BodyError::Incomplete.into());
        }
        Ok((len > 0).then_some(pieces))
    }

    fn flush_gathered(&mut self, pieces: &mut Vec<Bytes>) {
        if !self.gathered.is_empty() {
            pieces.push(self.gathered.split().freeze());
        }
    }
}

/// A small body, whole, and the value of its trailer.
///
/// # Errors
///
/// [`S3Error::Body`].
pub(crate) async fn collect_body(
    body: Pin<Box<dyn BodySource>>,
    content_length: u64,
) -> Result<(Bytes, Option<Vec<u8>>), S3Error> {
    let mut windows = BodyWindows::new(body, content_length);
    let mut whole = Vec::new();
    while let Some(pieces) = windows.next().await? {
        whole.extend(pieces);
    }
    let plaintext = match whole.as_slice() {
        [one] => one.clone(),
        pieces => pieces.concat().into(),
    };
    Ok((plaintext, windows.body.trailing_checksum()))
}

/// A length in memory as one on disk.
pub(crate) fn len_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{self, ThreadId};

    use super::*;

    /// Says where it was dropped.
    struct Blocking(Sender<ThreadId>);

    impl Drop for Blocking {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    #[tokio::test]
    async fn what_a_cancelled_task_held_is_dropped_on_a_worker() {
        let (sender, dropped) = channel();
        let held = Parked::new(Blocking(sender));
        let (reached, at_await) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let _held = held;
            let _ = reached.send(());
            std::future::pending::<()>().await;
        });
        at_await.await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_ne!(dropped.recv().unwrap(), thread::current().id());
    }

    #[test]
    fn what_a_job_took_out_is_gone_when_the_job_is_done() {
        let (sender, dropped) = channel();
        drop(Parked::new(Blocking(sender.clone())).take());
        assert_eq!(dropped.try_recv().unwrap(), thread::current().id());
        // Where nothing runs tasks, nothing is handed over either.
        drop(Parked::new(Blocking(sender)));
        assert_eq!(dropped.try_recv().unwrap(), thread::current().id());
    }
}
