//! Bodies on their way out: segments read, opened in place, and handed out as they are.
//!
//! ```text
//! blob --read--> window (4 stored segments) --open in place--> up to 4 pieces, no copy --> client
//! ```
//!
//! Nothing leaves that was not verified. A body's first window is read before the answer begins, so
//! that damage there is a clean error; damage behind it ends the stream with one.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use parking_lot::Mutex;
use strongroom_crypto::{
    BodyKeys, HEADER_MAX_BYTES, ObjectIdentity, OpenError, PartIdentity, SEGMENT_LEN_BYTES,
    StreamLayout, StreamOpener,
};
use strongroom_ports::{BlobError, BlobReader, KeyLease, Table};
use strongroom_types::{BlobId, ByteRange, VersionUid};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::data_keys::{OpenedKey, check_lease};
use crate::integrity::Damage;
use crate::lookup::FoundVersion;
use crate::manifest::PartSlice;
use crate::rows::{ContentRow, ManifestRow, ObjectRow, PlaceRow, VersionRow};
use crate::stream_in::{WINDOW_LEN_BYTES, len_u64};
use crate::windows::Window;
use crate::{ObjectBody, ReadError, S3, S3Error, keys};

/// The part list of a large object is read for so much plaintext at a time.
const PART_LIST_SPAN_BYTES: u64 = 1 << 30;
/// Plaintext of a window that is read from what the system has in memory: no hop is saved by a longer
/// one, and every slow client holds one.
const MEMORY_WINDOW_LEN_BYTES: usize = 2 * SEGMENT_LEN_BYTES;
/// The next window is read when no more pieces than these are waiting.
const READ_AHEAD_PIECES: usize = 2;
/// So many windows are read by workers once one was not in memory.
const WORKER_WINDOWS: u32 = 16;

/// One stored stream, to be read.
#[derive(Clone, Copy)]
pub(crate) struct StoredAt<'a> {
    /// The version that it belongs to.
    pub identity: &'a ObjectIdentity,
    /// The part that it is, if one.
    pub part: Option<PartIdentity>,
    /// Where it is.
    pub place: &'a PlaceRow,
    /// Length of its plaintext, by the metadata.
    pub size_bytes: u64,
}

/// Reads a range of one stored stream, window by window.
pub(crate) struct StreamReader {
    identity: ObjectIdentity,
    source: Source,
    opener: StreamOpener,
    segment_count: u64,
    stored_len: u64,
    next_segment: u64,
    /// One behind the last segment of the range.
    end_segment: u64,
    skip_bytes: usize,
    remaining_bytes: u64,
    /// How long its keys may be used; asked before each window.
    lease: Option<KeyLease>,
}

enum Source {
    Inline(Bytes),
    Blob(BlobId, Arc<dyn BlobReader>),
}

/// Where a window may be read from.
#[derive(Clone, Copy)]
enum From {
    /// What the system has in memory: never waits, and may fail with [`S3Error::NotInMemory`].
    Memory,
    /// The disk as well. Blocks.
    Anywhere,
}

impl Source {
    fn blob(&self) -> Option<BlobId> {
        match self {
            Self::Inline(_) => None,
            Self::Blob(id, _) => Some(*id),
        }
    }

    /// A window of a stream; `None` where the stream is shorter than that.
    fn read_window(
        &self,
        service: &S3,
        from: From,
        offset: u64,
        len: usize,
    ) -> Result<Option<Window>, S3Error> {
        let mut window = service.windows.take(len);
        match (self, from) {
            (Self::Inline(_), _) => {
                let Some(found) = self.read(offset, len)? else {
                    return Ok(None);
                };
                window.as_mut().copy_from_slice(&found);
            }
            (Self::Blob(_, reader), From::Memory) => {
                if !reader.read_in_memory(offset, window.as_mut()) {
                    return Err(S3Error::NotInMemory);
                }
            }
            (Self::Blob(_, reader), From::Anywhere) => {
                match reader.read_at(offset, window.as_mut()) {
                    Ok(()) => {}
                    Err(BlobError::Io(error))
                        if error.kind() == std::io::ErrorKind::UnexpectedEof =>
                    {
                        return Ok(None);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(Some(window))
    }

    /// `None` where the stream is shorter than that.
    fn read(&self, offset: u64, len: usize) -> Result<Option<Vec<u8>>, BlobError> {
        match self {
            Self::Inline(bytes) => {
                let range = usize::try_from(offset)
                    .ok()
                    .and_then(|start| Some(start..start.checked_add(len)?));
                Ok(range.and_then(|range| bytes.get(range)).map(<[u8]>::to_vec))
            }
            Self::Blob(_, reader) => {
                let mut buffer = vec![0; len];
                match reader.read_at(offset, &mut buffer) {
                    Ok(()) => Ok(Some(buffer)),
                    Err(BlobError::Io(error))
                        if error.kind() == std::io::ErrorKind::UnexpectedEof =>
                    {
                        Ok(None)
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }
}

impl StreamReader {
    /// The next pieces of plaintext, `None` behind the end of the range. Blocks.
    ///
    /// # Errors
    ///
    /// [`S3Error::Damaged`] for what does not verify; [`S3Error::Unavailable`].
    pub(crate) fn next_window(&mut self, service: &S3) -> Result<Option<Vec<Bytes>>, S3Error> {
        self.window_from(service, From::Anywhere)
    }

    fn window_from(&mut self, service: &S3, from: From) -> Result<Option<Vec<Bytes>>, S3Error> {
        if self.next_segment >= self.end_segment {
            return Ok(None);
        }
        check_lease(self.lease.as_ref())?;
        let layout = self.opener.layout();
        let stored_segment = len_u64(layout.stored_segment_len_bytes());
        let window_len = match from {
            From::Memory => MEMORY_WINDOW_LEN_BYTES,
            From::Anywhere => WINDOW_LEN_BYTES,
        };
        let per_window = len_u64(window_len / layout.segment_len_bytes()).max(1);
        let window_end = self
            .next_segment
            .saturating_add(per_window)
            .min(self.end_segment);
        let offset_of = |segment: u64| {
            let offset = segment
                .saturating_mul(stored_segment)
                .saturating_add(len_u64(layout.header_len_bytes()));
            offset.min(self.stored_len)
        };
        let start = offset_of(self.next_segment);
        let len = offset_of(window_end).saturating_sub(start);
        let len = usize::try_from(len).map_err(|_| S3Error::Unavailable)?;
        let read = self.source.read_window(service, from, start, len)?;
        let mut buffer = read.ok_or_else(|| self.damaged(service, "length", self.next_segment))?;

        let mut opened = Vec::with_capacity(4);
        let stored_segments = buffer
            .as_mut()
            .chunks_mut(layout.stored_segment_len_bytes());
        for (index, stored) in (self.next_segment..window_end).zip(stored_segments) {
            let last = index.checked_add(1) == Some(self.segment_count);
            match self.opener.open_segment(index, last, stored) {
                Ok(plaintext) => opened.push(plaintext.len()),
                Err(OpenError::OuterLayer(_)) => {
                    return Err(self.damaged(service, "outer segment", index));
                }
                Err(_) => return Err(self.damaged(service, "segment", index)),
            }
        }

        let buffer = buffer.into_bytes();
        let mut pieces = Vec::with_capacity(opened.len());
        for (number, len) in opened.into_iter().enumerate() {
            let start = number.saturating_mul(layout.stored_segment_len_bytes());
            let skip = std::mem::take(&mut self.skip_bytes).min(len);
            let wanted = usize::try_from(self.remaining_bytes).unwrap_or(usize::MAX);
            let take = (len - skip).min(wanted);
            self.remaining_bytes = self.remaining_bytes.saturating_sub(len_u64(take));
            if take > 0 {
                pieces.push(buffer.slice(start + skip..start + skip + take));
            }
        }
        self.next_segment = window_end;
        Ok(Some(pieces))
    }

    fn is_done(&self) -> bool {
        self.next_segment >= self.end_segment
    }

    fn damaged(&self, service: &S3, what: &'static str, segment: u64) -> S3Error {
        service.damaged(
            &self.identity,
            Damage {
                what,
                blob: self.source.blob(),
                segment: Some(segment),
            },
        )
    }
}

/// Reads a range of an object, whatever it is made of.
pub(crate) enum ObjectReader {
    /// One stream.
    Single(Box<StreamReader>),
    /// The parts of a multipart upload, one after the other.
    Parts(Box<PartsReader>),
}

/// Reads parts, and holds the collector off while it lives.
pub(crate) struct PartsReader {
    identity: ObjectIdentity,
    body_keys: Arc<BodyKeys>,
    lease: Option<KeyLease>,
    manifest: ManifestRow,
    /// What no slice was fetched for yet.
    ahead: ByteRange,
    slices: VecDeque<PartSlice>,
    current: Option<StreamReader>,
    _lease: ReadLease,
}

/// While this lives, the collector leaves a deleted version's parts alone.
#[derive(Debug)]
pub(crate) struct ReadLease {
    version: VersionUid,
    all: Arc<Mutex<BTreeMap<VersionUid, usize>>>,
}

impl Drop for ReadLease {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(readers) = all.get_mut(&self.version) {
            *readers = readers.saturating_sub(1);
            if *readers == 0 {
                all.remove(&self.version);
            }
        }
    }
}

impl ObjectReader {
    /// The next pieces of plaintext, `None` behind the end of the range. Blocks.
    ///
    /// # Errors
    ///
    /// As [`StreamReader::next_window`].
    pub(crate) fn next_window(&mut self, service: &S3) -> Result<Option<Vec<Bytes>>, S3Error> {
        match self {
            Self::Single(reader) => reader.next_window(service),
            Self::Parts(reader) => reader.next_window(service),
        }
    }

    /// As [`ObjectReader::next_window`], without waiting for the disk. Nothing has happened after
    /// [`S3Error::NotInMemory`].
    fn next_window_in_memory(&mut self, service: &S3) -> Result<Option<Vec<Bytes>>, S3Error> {
        let current = match self {
            Self::Single(reader) => Some(&mut **reader),
            // From one part to the next it is rows that are read.
            Self::Parts(reader) => reader.current.as_mut(),
        };
        match current {
            Some(reader) if !reader.is_done() => reader.window_from(service, From::Memory),
            Some(_) | None => Err(S3Error::NotInMemory),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Single(reader) => reader.is_done(),
            Self::Parts(reader) => {
                let PartsReader {
                    ahead,
                    slices,
                    current,
                    ..
                } = &**reader;
                ahead.len_bytes() == 0
                    && slices.is_empty()
                    && current.as_ref().is_none_or(StreamReader::is_done)
            }
        }
    }

    /// Whether the key service was asked for its keys.
    fn has_lease(&self) -> bool {
        match self {
            Self::Single(reader) => reader.lease.is_some(),
            Self::Parts(reader) => reader.lease.is_some(),
        }
    }

    /// The answer's body. Reads and verifies the first window now.
    ///
    /// # Errors
    ///
    /// As [`ObjectReader::next_window`].
    pub(crate) fn into_body(mut self, service: &Arc<S3>) -> Result<ObjectBody, S3Error> {
        let mut worker_windows = 0;
        let first = if service.is_resident() {
            match self.next_window_in_memory(service) {
                // It was in memory just before. To give up now would use the key a second time.
                Err(S3Error::NotInMemory) if self.has_lease() => {
                    worker_windows = WORKER_WINDOWS;
                    None
                }
                read => read?,
            }
        } else {
            self.next_window(service)?
        };
        let mut ready: VecDeque<Bytes> = first.unwrap_or_default().into();
        if self.is_done() && ready.len() <= 1 {
            return Ok(ObjectBody::Whole(ready.pop_front().unwrap_or_default()));
        }
        let service = Arc::clone(service);
        Ok(ObjectBody::Stream(Box::pin(ObjectStream {
            service,
            ready,
            state: State::Idle(self),
            worker_windows,
        })))
    }
}

impl PartsReader {
    fn next_window(&mut self, service: &S3) -> Result<Option<Vec<Bytes>>, S3Error> {
        loop {
            if let Some(current) = &mut self.current {
                if let Some(window) = current.next_window(service)? {
                    return Ok(Some(window));
                }
                self.current = None;
            }
            if self.slices.is_empty() && self.ahead.len_bytes() > 0 {
                self.fetch_slices(service)?;
            }
            let Some(slice) = self.slices.pop_front() else {
                return Ok(None);
            };
            let stored = StoredAt {
                identity: &self.identity,
                part: Some(PartIdentity {
                    number: slice.number,
                    attempt: slice.attempt,
                }),
                place: &slice.place,
                size_bytes: slice.part_size,
            };
            let opened =
                service.open_stream(&self.body_keys, self.lease.clone(), stored, slice.range)?;
            self.current = Some(
                opened
                    .ok_or_else(|| service.damaged(&self.identity, Damage::of("part missing")))?,
            );
        }
    }

    fn fetch_slices(&mut self, service: &S3) -> Result<(), S3Error> {
        let ByteRange { start, end } = self.ahead;
        let page = ByteRange {
            start,
            end: end.min(start.saturating_add(PART_LIST_SPAN_BYTES)),
        };
        let slices =
            service.parts_for_range(self.identity.version, &self.identity, &self.manifest, page)?;
        let fetched = slices.iter().fold(0_u64, |sum, slice| {
            sum.saturating_add(slice.range.len_bytes())
        });
        if fetched == 0 || fetched > page.len_bytes() {
            return Err(service.damaged(&self.identity, Damage::of("manifest")));
        }
        self.ahead.start = start.saturating_add(fetched);
        self.slices = slices.into();
        Ok(())
    }
}

impl S3 {
    /// Opens a range of the object that was `found`; `None` when its stream is gone, because the
    /// version was deleted since its row was read (or is damaged: the caller finds out by reading
    /// the row again).
    ///
    /// # Errors
    ///
    /// [`S3Error::Damaged`], [`S3Error::Unavailable`].
    pub(crate) fn open_object(
        &self,
        opened: &OpenedKey,
        identity: &ObjectIdentity,
        found: &FoundVersion,
        object: &ObjectRow,
        range: ByteRange,
    ) -> Result<Option<ObjectReader>, S3Error> {
        match &object.content {
            ContentRow::Single(place) => {
                let stored = StoredAt {
                    identity,
                    part: None,
                    place,
                    size_bytes: object.size_bytes,
                };
                let reader =
                    self.open_stream(&opened.body_keys, opened.lease.clone(), stored, range)?;
                Ok(reader.map(|reader| ObjectReader::Single(Box::new(reader))))
            }
            ContentRow::Parts(_) if self.is_resident() => Err(S3Error::NotInMemory),
            ContentRow::Parts(manifest) => {
                // Parts are opened one after the other.
                let Some(lease) = self.lease_parts(identity, found)? else {
                    return Ok(None);
                };
                Ok(Some(ObjectReader::Parts(Box::new(PartsReader {
                    identity: identity.clone(),
                    body_keys: Arc::clone(&opened.body_keys),
                    lease: opened.lease.clone(),
                    manifest: manifest.clone(),
                    ahead: range,
                    slices: VecDeque::new(),
                    current: None,
                    _lease: lease,
                }))))
            }
        }
    }

    /// Whether reading a range of a stored object can begin without waiting for the disk: asked
    /// before its keys are. Needs no key, and proves nothing of what is read.
    ///
    /// # Errors
    ///
    /// [`S3Error::NotInMemory`], [`S3Error::Unavailable`].
    pub(crate) fn expect_stream_in_memory(
        &self,
        stored: StoredAt<'_>,
        range: ByteRange,
    ) -> Result<(), S3Error> {
        let id = match stored.place {
            PlaceRow::Inline => {
                let row_key = keys::inline(stored.identity.version);
                let body = self.ports.meta.read(Table::INLINE, &row_key)?;
                return body.map(|_| ()).ok_or(S3Error::NotInMemory);
            }
            PlaceRow::Blob(id) => BlobId::from_bytes(*id),
        };
        let reader = self.ports.blobs.open_in_memory(id);
        let reader = reader.ok_or(S3Error::NotInMemory)?;
        let stored_len = usize::try_from(reader.len_bytes()).unwrap_or(usize::MAX);
        let mut header = vec![0; stored_len.min(HEADER_MAX_BYTES)];
        if !reader.read_in_memory(0, &mut header) {
            return Err(S3Error::NotInMemory);
        }
        // Damage is found, and told, where there is a key.
        let layout = StreamLayout::parse(&header).map_err(|_| S3Error::NotInMemory)?;
        let span = layout.span(range, stored.size_bytes);
        let per_window = MEMORY_WINDOW_LEN_BYTES / layout.segment_len_bytes().max(1);
        let window_len = len_u64(layout.stored_segment_len_bytes().saturating_mul(per_window));
        let last = span.stored_len.min(window_len).saturating_sub(1);
        // The ends tell of a whole window, so far as anything can without reading it.
        let ends = [span.stored_offset, span.stored_offset.saturating_add(last)];
        let all = ends
            .into_iter()
            .all(|end| reader.read_in_memory(end, &mut [0]));
        if all {
            Ok(())
        } else {
            Err(S3Error::NotInMemory)
        }
    }

    /// Opens a range of one stored stream; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// [`S3Error::Damaged`] when its header does not verify or it has the wrong length;
    /// [`S3Error::Unavailable`].
    pub(crate) fn open_stream(
        &self,
        body_keys: &BodyKeys,
        lease: Option<KeyLease>,
        stored: StoredAt<'_>,
        range: ByteRange,
    ) -> Result<Option<StreamReader>, S3Error> {
        let StoredAt {
            identity,
            part,
            place,
            size_bytes,
        } = stored;
        let source = match place {
            PlaceRow::Inline => {
                let row_key = match part {
                    Some(part) => keys::inline_part(identity.version, part.attempt),
                    None => keys::inline(identity.version),
                };
                match self.ports.meta.read(Table::INLINE, &row_key)? {
                    Some(found) => Source::Inline(found.value),
                    None => return Ok(None),
                }
            }
            PlaceRow::Blob(id) if self.is_resident() => {
                let id = BlobId::from_bytes(*id);
                let reader = self.ports.blobs.open_in_memory(id);
                Source::Blob(id, reader.ok_or(S3Error::NotInMemory)?)
            }
            PlaceRow::Blob(id) => {
                let id = BlobId::from_bytes(*id);
                match self.ports.blobs.open(id) {
                    Ok(reader) => Source::Blob(id, reader),
                    Err(BlobError::NotFound(_)) => return Ok(None),
                    Err(error) => return Err(error.into()),
                }
            }
        };
        let damaged = |what| {
            self.damaged(
                identity,
                Damage {
                    what,
                    blob: source.blob(),
                    segment: None,
                },
            )
        };
        let opener = match &source {
            Source::Inline(bytes) => StreamOpener::new(body_keys, identity, part, bytes),
            Source::Blob(_, reader) => {
                // A part's header is longer than another's; what is read too much does no harm.
                let len_bytes = usize::try_from(reader.len_bytes()).unwrap_or(usize::MAX);
                let len_bytes = len_bytes.min(HEADER_MAX_BYTES);
                let header = if self.is_resident() {
                    let mut header = vec![0; len_bytes];
                    if !reader.read_in_memory(0, &mut header) {
                        return Err(S3Error::NotInMemory);
                    }
                    header
                } else {
                    source
                        .read(0, len_bytes)?
                        .ok_or_else(|| damaged("length"))?
                };
                StreamOpener::new(body_keys, identity, part, &header)
            }
        };
        let opener = opener.map_err(|error| {
            let is_outer = matches!(error, OpenError::OuterLayer(_));
            damaged(if is_outer { "outer header" } else { "header" })
        })?;
        let layout = opener.layout();
        let stored_len = layout.stored_len_bytes(size_bytes);
        let long_enough = match &source {
            Source::Inline(bytes) => len_u64(bytes.len()) == stored_len,
            Source::Blob(_, reader) => reader.len_bytes() >= stored_len,
        };
        if !long_enough {
            return Err(damaged("length"));
        }
        let segment_count = layout.segment_count(size_bytes);
        // An empty object has one segment too, and it is verified like any other.
        let span = layout.span(range, size_bytes);
        Ok(Some(StreamReader {
            identity: identity.clone(),
            source,
            opener,
            segment_count,
            stored_len,
            next_segment: span.first_segment,
            end_segment: span
                .first_segment
                .saturating_add(span.segment_count)
                .min(segment_count),
            skip_bytes: span.skip_bytes,
            remaining_bytes: range.len_bytes(),
            lease,
        }))
    }

    /// Keeps the collector off the part list and the parts of the version that was `found`; `None`
    /// when it was deleted since its row was read. While the lease lives, what is missing is damage.
    ///
    /// # Errors
    ///
    /// [`S3Error::Damaged`], [`S3Error::Unavailable`].
    pub(crate) fn lease_parts(
        &self,
        identity: &ObjectIdentity,
        found: &FoundVersion,
    ) -> Result<Option<ReadLease>, S3Error> {
        // The parts stay if the version's row is still there now that the collector was told of the
        // reader.
        let lease = self.lease_reading(identity.version);
        // By identity: the place of a version that is gone may be another's by now.
        let now = self.read_row::<VersionRow>(Table::VERSIONS, &found.row_key)?;
        let is_there = now.is_some_and(|(row, _)| row.uid() == identity.version);
        Ok(is_there.then_some(lease))
    }

    pub(crate) fn lease_reading(&self, version: VersionUid) -> ReadLease {
        let mut all = self.versions_being_read.lock();
        let readers = all.entry(version).or_default();
        *readers = readers.saturating_add(1);
        ReadLease {
            version,
            all: Arc::clone(&self.versions_being_read),
        }
    }
}

/// The rest of a body. What the system has in memory is read when it is wanted, here: a hop to a
/// worker and back costs as much as reading and opening a window. The rest is read by workers, ahead
/// by at most one window.
struct ObjectStream {
    service: Arc<S3>,
    ready: VecDeque<Bytes>,
    state: State,
    /// So many windows are left to workers before memory is asked again.
    worker_windows: u32,
}

/// The reader, back from a worker, and what it read.
type ReadJob = (ObjectReader, Result<Option<Vec<Bytes>>, S3Error>);

enum State {
    Idle(ObjectReader),
    Reading(JoinHandle<ReadJob>),
    Ended,
}

impl ObjectStream {
    /// Starts reading the next window if few pieces are left to hand out.
    fn read_ahead(&mut self) {
        if self.worker_windows == 0 || self.ready.len() > READ_AHEAD_PIECES {
            return;
        }
        if matches!(self.state, State::Idle(_)) {
            self.worker_windows = self.worker_windows.saturating_sub(1);
        }
        self.state = match std::mem::replace(&mut self.state, State::Ended) {
            State::Idle(reader) if reader.is_done() => State::Ended,
            State::Idle(mut reader) => {
                let service = Arc::clone(&self.service);
                State::Reading(spawn_blocking(move || {
                    let window = reader.next_window(&service);
                    (reader, window)
                }))
            }
            other @ (State::Reading(_) | State::Ended) => other,
        };
    }
}

impl ObjectStream {
    /// Reads the next window if it is in memory; `None` when there is nothing to be read here.
    fn read_in_memory(&mut self) -> Option<Result<(), ReadError>> {
        let State::Idle(reader) = &mut self.state else {
            return None;
        };
        if reader.is_done() {
            self.state = State::Ended;
            return None;
        }
        match reader.next_window_in_memory(&self.service) {
            Ok(window) => {
                self.ready.extend(window.unwrap_or_default());
            }
            Err(S3Error::NotInMemory) => self.worker_windows = WORKER_WINDOWS,
            Err(error) => {
                self.state = State::Ended;
                return Some(Err(read_error(&error)));
            }
        }
        Some(Ok(()))
    }
}

fn read_error(error: &S3Error) -> ReadError {
    if matches!(error, S3Error::Damaged) {
        ReadError::Damaged
    } else if matches!(error, S3Error::Kms(_)) {
        ReadError::KeyUnusable
    } else {
        ReadError::Unreadable
    }
}

impl Stream for ObjectStream {
    type Item = Result<Bytes, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            self.read_ahead();
            if let Some(piece) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(piece)));
            }
            if let Some(outcome) = self.read_in_memory() {
                match outcome {
                    Ok(()) => continue,
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
            let State::Reading(job) = &mut self.state else {
                return Poll::Ready(None);
            };
            let outcome = ready!(Pin::new(job).poll(cx));
            self.state = State::Ended;
            match outcome {
                Ok((reader, Ok(Some(window)))) => {
                    self.ready.extend(window);
                    self.state = State::Idle(reader);
                }
                Ok((_, Ok(None))) => return Poll::Ready(None),
                Ok((_, Err(error))) => return Poll::Ready(Some(Err(read_error(&error)))),
                Err(_) => return Poll::Ready(Some(Err(ReadError::Unreadable))),
            }
        }
    }
}
