//! Where things are in a stored stream. Keyless arithmetic.

use strongroom_types::ByteRange;

use super::header;
use crate::FormatError;
use crate::codec::to_u64;

/// Plaintext of a full segment, in bytes, unless the header says otherwise.
pub const SEGMENT_LEN_BYTES: usize = 65536;
/// What a stored segment of one layer has above its plaintext: tag (16) and checksum (8).
pub const SEGMENT_OVERHEAD_BYTES: usize = 24;
/// What a stored segment of two layers has above its plaintext: two tags (16) and a checksum (8).
pub const SEGMENT_OVERHEAD_MAX_BYTES: usize = 40;

/// log2 of [`SEGMENT_LEN_BYTES`].
pub(super) const SEGMENT_LOG2: u8 = 16;

/// How often a body is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// Suite 1: once.
    One,
    /// Suite 2: twice, by two implementations (DSSE-KMS).
    Two,
}

impl Layers {
    /// What a stored segment has above its plaintext.
    pub const fn segment_overhead_bytes(self) -> usize {
        match self {
            Self::One => SEGMENT_OVERHEAD_BYTES,
            Self::Two => SEGMENT_OVERHEAD_MAX_BYTES,
        }
    }
}

/// The lengths that a stream's header fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLayout {
    header_len_bytes: u32,
    segment_log2: u8,
    layers: Layers,
}

/// The stored bytes that hold a range of plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSpan {
    /// Index of the first segment.
    pub first_segment: u64,
    /// How many segments.
    pub segment_count: u64,
    /// Where the first one starts, from the start of the header.
    pub stored_offset: u64,
    /// Length of all of them as stored.
    pub stored_len: u64,
    /// Plaintext to skip at the start of the first one.
    pub skip_bytes: usize,
}

impl StreamLayout {
    /// Reads the fixed fields of a header: its first 80 bytes suffice. Needs no key and proves
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`FormatError`] for what this version cannot read.
    pub fn parse(header: &[u8]) -> Result<Self, FormatError> {
        header::Fixed::parse(header).map(|fixed| fixed.layout)
    }

    pub(super) const fn new(header_len_bytes: u32, segment_log2: u8, layers: Layers) -> Self {
        Self {
            header_len_bytes,
            segment_log2,
            layers,
        }
    }

    pub(super) const fn segment_log2(self) -> u8 {
        self.segment_log2
    }

    /// How often the body is encrypted.
    pub const fn layers(self) -> Layers {
        self.layers
    }

    /// What a stored segment has above its plaintext.
    pub const fn segment_overhead_bytes(self) -> usize {
        self.layers.segment_overhead_bytes()
    }

    /// Length of the header.
    pub fn header_len_bytes(self) -> usize {
        usize::try_from(self.header_len_bytes).unwrap_or(usize::MAX)
    }

    /// Plaintext of a full segment.
    pub fn segment_len_bytes(self) -> usize {
        1 << self.segment_log2
    }

    /// A full segment as stored.
    pub fn stored_segment_len_bytes(self) -> usize {
        self.segment_len_bytes() + self.segment_overhead_bytes()
    }

    /// Segments of a stream of `plaintext_len` bytes: at least one.
    pub fn segment_count(self, plaintext_len: u64) -> u64 {
        plaintext_len.div_ceil(self.segment_len()).max(1)
    }

    /// Length of the whole stored stream, header included.
    pub fn stored_len_bytes(self, plaintext_len: u64) -> u64 {
        self.segment_count(plaintext_len)
            .saturating_mul(to_u64(self.segment_overhead_bytes()))
            .saturating_add(plaintext_len)
            .saturating_add(u64::from(self.header_len_bytes))
    }

    /// Length of the plaintext in a stored stream of `stored_len` bytes, header included.
    ///
    /// # Errors
    ///
    /// [`FormatError::BadLength`] if no stream has this length.
    pub fn plaintext_len_bytes(self, stored_len: u64) -> Result<u64, FormatError> {
        let overhead = to_u64(self.segment_overhead_bytes());
        let body = stored_len
            .checked_sub(u64::from(self.header_len_bytes))
            .ok_or(FormatError::BadLength)?;
        let stored_segment = to_u64(self.stored_segment_len_bytes());
        let (full, rest) = (body / stored_segment, body % stored_segment);
        let tail = match (full, rest) {
            (0, 0) => return Err(FormatError::BadLength),
            (_, 0) => 0,
            // Only the one segment of an empty object is empty.
            (1.., rest) if rest == overhead => return Err(FormatError::BadLength),
            (_, rest) => rest.checked_sub(overhead).ok_or(FormatError::BadLength)?,
        };
        Ok(full.saturating_mul(self.segment_len()).saturating_add(tail))
    }

    /// The stored segments that hold `range`, which must not be empty and is cut at
    /// `plaintext_len`, the length of the whole plaintext.
    pub fn span(self, range: ByteRange, plaintext_len: u64) -> SegmentSpan {
        let segment = self.segment_len();
        let stored_segment = to_u64(self.stored_segment_len_bytes());
        let header = u64::from(self.header_len_bytes);
        let end = range.end.min(plaintext_len);
        let last_segment = end.saturating_sub(1) / segment;
        let first_segment = (range.start / segment).min(last_segment);
        let stored_offset = first_segment
            .saturating_mul(stored_segment)
            .saturating_add(header);
        let stored_end = (last_segment + 1)
            .saturating_mul(stored_segment)
            .saturating_add(header)
            .min(self.stored_len_bytes(plaintext_len));
        let skip = range.start.saturating_sub(first_segment * segment);
        SegmentSpan {
            first_segment,
            segment_count: last_segment - first_segment + 1,
            stored_offset,
            stored_len: stored_end.saturating_sub(stored_offset),
            skip_bytes: usize::try_from(skip).unwrap_or(usize::MAX),
        }
    }

    fn segment_len(self) -> u64 {
        1 << self.segment_log2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: StreamLayout = StreamLayout::new(200, SEGMENT_LOG2, Layers::One);
    const TWO: StreamLayout = StreamLayout::new(400, SEGMENT_LOG2, Layers::Two);

    #[test]
    fn lengths_invert_around_segment_edges() {
        for len in [
            0,
            1,
            65535,
            65536,
            65537,
            131_071,
            131_072,
            131_073,
            5 << 40,
        ] {
            let stored = LAYOUT.stored_len_bytes(len);
            assert_eq!(LAYOUT.plaintext_len_bytes(stored), Ok(len), "{len}");
            let stored = TWO.stored_len_bytes(len);
            assert_eq!(TWO.plaintext_len_bytes(stored), Ok(len), "{len}");
        }
        assert_eq!(LAYOUT.stored_len_bytes(0), 224);
        assert_eq!(LAYOUT.stored_len_bytes(65537), 200 + 65560 + 25);
        assert_eq!(TWO.stored_len_bytes(0), 440);
        assert_eq!(TWO.stored_len_bytes(65537), 400 + 65576 + 41);
    }

    #[test]
    fn lengths_that_no_stream_has_are_refused() {
        let full = 200 + 65560;
        for bad in [0, 199, 200, 201, 223, full + 1, full + 23, full + 24] {
            assert_eq!(
                LAYOUT.plaintext_len_bytes(bad),
                Err(FormatError::BadLength),
                "{bad}"
            );
        }
    }

    #[test]
    fn spans_cover_the_range_and_no_more() {
        let check = |start, end, len, expected: (u64, u64, u64, u64, usize)| {
            let span = LAYOUT.span(ByteRange { start, end }, len);
            let got = (
                span.first_segment,
                span.segment_count,
                span.stored_offset,
                span.stored_len,
                span.skip_bytes,
            );
            assert_eq!(got, expected, "{start}..{end} of {len}");
        };
        check(0, 1, 1, (0, 1, 200, 25, 0));
        check(0, 65536, 65536, (0, 1, 200, 65560, 0));
        check(65535, 65537, 65537, (0, 2, 200, 65560 + 25, 65535));
        check(65536, 65537, 65537, (1, 1, 200 + 65560, 25, 0));
        check(70_000, 70_001, 200_000, (1, 1, 65760, 65560, 4464));
        check(0, u64::MAX, 200_000, (0, 4, 200, 200_096, 0));
    }
}
