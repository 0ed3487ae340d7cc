//! Writing a stream.

use strongroom_types::Entropy;

use super::layout::{SEGMENT_LEN_BYTES, SEGMENT_LOG2, StreamLayout};
use super::segment::SegmentCipher;
use super::{SEGMENT_INDEX_MAX, header};
use crate::{BodyKeys, FormatError, ObjectIdentity, PartIdentity, SealingError};

/// Seals one stream, segment by segment.
///
/// Every sealer draws its own salt and so has its own key: a second attempt at the same object
/// needs a second sealer, and shares no key with the first.
pub struct StreamSealer {
    header: Vec<u8>,
    layout: StreamLayout,
    cipher: SegmentCipher,
    next_segment: u64,
    ended: bool,
}

impl StreamSealer {
    /// Starts a stream of 64 KiB segments.
    pub fn new(
        keys: &BodyKeys,
        object: &ObjectIdentity,
        part: Option<PartIdentity>,
        entropy: &dyn Entropy,
    ) -> Self {
        Self::start(keys, object, part, entropy, SEGMENT_LOG2)
    }

    /// Starts a stream of segments of `2^log2` bytes.
    ///
    /// # Errors
    ///
    /// [`FormatError::SegmentSize`] unless `log2` is from 12 (4 KiB) to 20 (1 MiB).
    pub fn with_segment_log2(
        keys: &BodyKeys,
        object: &ObjectIdentity,
        part: Option<PartIdentity>,
        entropy: &dyn Entropy,
        log2: u8,
    ) -> Result<Self, FormatError> {
        if !(12..=20).contains(&log2) {
            return Err(FormatError::SegmentSize(log2));
        }
        Ok(Self::start(keys, object, part, entropy, log2))
    }

    fn start(
        keys: &BodyKeys,
        object: &ObjectIdentity,
        part: Option<PartIdentity>,
        entropy: &dyn Entropy,
        log2: u8,
    ) -> Self {
        let (header, cipher) = header::create(keys, object, part, log2, entropy);
        let header_len = u32::try_from(header.len()).unwrap_or(u32::MAX);
        Self {
            header,
            layout: StreamLayout::new(header_len, log2, keys.layers()),
            cipher,
            next_segment: 0,
            ended: false,
        }
    }

    /// The header: stored before the first segment.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// The lengths of this stream.
    pub fn layout(&self) -> StreamLayout {
        self.layout
    }

    /// Seals the next segment in place. `segment` is the plaintext and, after it,
    /// [`StreamLayout::segment_overhead_bytes`] of room. All segments but the last must be full, and the last
    /// one is empty only if the whole stream is.
    ///
    /// # Errors
    ///
    /// [`SealingError`]; nothing was sealed then.
    pub fn seal_segment(&mut self, segment: &mut [u8], last: bool) -> Result<(), SealingError> {
        let index = self.next_segment;
        if self.ended {
            return Err(SealingError::AfterLast);
        }
        if index > SEGMENT_INDEX_MAX {
            return Err(SealingError::TooManySegments);
        }
        let plaintext_len = segment
            .len()
            .checked_sub(self.layout.segment_overhead_bytes())
            .ok_or(SealingError::SegmentLength)?;
        let full = self.layout.segment_len_bytes();
        let allowed = if last {
            plaintext_len <= full && (plaintext_len > 0 || index == 0)
        } else {
            plaintext_len == full
        };
        if !allowed {
            return Err(SealingError::SegmentLength);
        }
        self.cipher.seal(index, last, segment)?;
        self.next_segment = index + 1;
        self.ended = last;
        Ok(())
    }
}

/// Seals a body that is in memory: header and all segments, ready to store.
#[expect(
    clippy::expect_used,
    reason = "each segment has its room; going on would store it unsealed"
)]
pub fn seal_whole(
    keys: &BodyKeys,
    object: &ObjectIdentity,
    part: Option<PartIdentity>,
    entropy: &dyn Entropy,
    plaintext: &[u8],
) -> Vec<u8> {
    let (mut out, cipher) = header::create(keys, object, part, SEGMENT_LOG2, entropy);
    let overhead = keys.layers().segment_overhead_bytes();
    let segments = plaintext.len().div_ceil(SEGMENT_LEN_BYTES).max(1);
    out.reserve_exact(plaintext.len() + segments * overhead);
    let mut rest = plaintext;
    let mut index = 0;
    loop {
        let (segment, after) = rest
            .split_at_checked(SEGMENT_LEN_BYTES)
            .unwrap_or((rest, &[]));
        let last = after.is_empty();
        let start = out.len();
        out.extend_from_slice(segment);
        out.resize(out.len() + overhead, 0);
        let (_, stored) = out.split_at_mut(start);
        cipher
            .seal(index, last, stored)
            .expect("room for tags and checksum");
        if last {
            return out;
        }
        rest = after;
        index += 1;
    }
}
