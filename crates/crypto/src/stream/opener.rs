//! Reading a stream.

use super::header::Header;
use super::layout::StreamLayout;
use super::segment::SegmentCipher;
use super::{CHECKSUM_LEN_BYTES, SEGMENT_INDEX_MAX, checksum, header};
use crate::aead::TAG_LEN_BYTES;
use crate::codec::to_u64;
use crate::{BodyKeys, FormatError, ObjectIdentity, OpenError, PartIdentity};

/// Opens the segments of one stream, in any order and from any thread.
pub struct StreamOpener {
    layout: StreamLayout,
    cipher: SegmentCipher,
}

impl StreamOpener {
    /// Verifies `header` (or anything that starts with it) against the key and the identity: the
    /// commitment first, then the MAC over all of the header.
    ///
    /// # Errors
    ///
    /// [`OpenError::WrongKeyOrIdentity`] if the commitment does not match,
    /// [`OpenError::Damaged`] if the rest does not, [`OpenError::Format`] for what cannot be read and
    /// for a stream of another number of layers than there are keys. [`OpenError::OuterLayer`] for
    /// the outer one of two layers, which is tried first.
    pub fn new(
        keys: &BodyKeys,
        object: &ObjectIdentity,
        part: Option<PartIdentity>,
        header: &[u8],
    ) -> Result<Self, OpenError> {
        let header = Header::parse(header)?;
        let cipher = header::open(&header, keys, object, part)?;
        Ok(Self {
            layout: header.fixed.layout,
            cipher,
        })
    }

    /// The lengths of this stream.
    pub fn layout(&self) -> StreamLayout {
        self.layout
    }

    /// Opens one stored segment in place and returns its plaintext. Nothing is returned unless the
    /// tag verified, and `stored` is wiped then. `last` says whether the stored stream ends with
    /// this segment: the caller knows by the stream's length.
    ///
    /// # Errors
    ///
    /// [`OpenError::Damaged`] if it does not verify at this place, [`OpenError::OuterLayer`] if the
    /// outer one of two layers does not,
    /// [`OpenError::Format`] if it cannot be a segment of this stream.
    pub fn open_segment<'a>(
        &self,
        index: u64,
        last: bool,
        stored: &'a mut [u8],
    ) -> Result<&'a mut [u8], OpenError> {
        self.check_length(index, last, stored.len())?;
        self.cipher.open_stored(index, last, stored)
    }

    fn check_length(&self, index: u64, last: bool, stored_len: usize) -> Result<(), FormatError> {
        let full = self.layout.stored_segment_len_bytes();
        let overhead = self.layout.segment_overhead_bytes();
        let allowed = if last {
            stored_len <= full && (stored_len > overhead || (stored_len == overhead && index == 0))
        } else {
            stored_len == full
        };
        if allowed && index <= SEGMENT_INDEX_MAX {
            Ok(())
        } else {
            Err(FormatError::BadLength)
        }
    }
}

/// Opens a stored stream that is in memory.
///
/// # Errors
///
/// As [`StreamOpener::new`] and [`StreamOpener::open_segment`].
pub fn open_whole(
    keys: &BodyKeys,
    object: &ObjectIdentity,
    part: Option<PartIdentity>,
    stored: &[u8],
) -> Result<Vec<u8>, OpenError> {
    let opener = StreamOpener::new(keys, object, part, stored)?;
    let layout = opener.layout();
    let plaintext_len = layout.plaintext_len_bytes(to_u64(stored.len()))?;
    let plaintext_len = usize::try_from(plaintext_len).map_err(|_| FormatError::BadLength)?;
    let mut rest = stored
        .get(layout.header_len_bytes()..)
        .ok_or(FormatError::BadLength)?;
    let mut out = Vec::with_capacity(plaintext_len + layout.segment_overhead_bytes());
    let mut index = 0;
    loop {
        let (segment, after) = rest
            .split_at_checked(layout.stored_segment_len_bytes())
            .unwrap_or((rest, &[]));
        let last = after.is_empty();
        opener.check_length(index, last, segment.len())?;
        if !segment_checksum_ok(segment) {
            return Err(opener.cipher.damaged());
        }
        let (sealed, _) = segment
            .split_last_chunk::<CHECKSUM_LEN_BYTES>()
            .ok_or(FormatError::BadLength)?;
        let start = out.len();
        out.extend_from_slice(sealed);
        let (_, sealed) = out.split_at_mut(start);
        let opened_len = opener.cipher.open(index, last, sealed)?.len();
        out.truncate(start + opened_len);
        if last {
            return Ok(out);
        }
        rest = after;
        index += 1;
    }
}

/// Whether a stored segment is as it was written, by its checksum. Needs no key, so a scrub works
/// while the server is sealed and for SSE-C; it detects damage, not tampering.
pub fn segment_checksum_ok(stored: &[u8]) -> bool {
    match stored.split_last_chunk::<CHECKSUM_LEN_BYTES>() {
        Some((sealed, stored_checksum)) if sealed.len() >= TAG_LEN_BYTES => {
            checksum(sealed) == *stored_checksum
        }
        Some(_) | None => false,
    }
}
