//! The cipher of segments, in one layer or two.

use super::{CHECKSUM_LEN_BYTES, checksum, nonce};
use crate::aead::{Aead, TAG_LEN_BYTES};
use crate::{FormatError, OpenError, OuterError, SealingError};

/// Seals and opens the segments of one stream.
pub(super) struct SegmentCipher {
    pub(super) inner: Aead,
    pub(super) outer: Option<strongroom_outer::SegmentCipher>,
}

impl SegmentCipher {
    /// Seals `segment`, the plaintext and behind it room for tags and checksum, in place.
    pub(super) fn seal(
        &self,
        index: u64,
        last: bool,
        segment: &mut [u8],
    ) -> Result<(), SealingError> {
        let (sealed, checksum_room) = segment
            .split_last_chunk_mut::<CHECKSUM_LEN_BYTES>()
            .ok_or(SealingError::SegmentLength)?;
        match &self.outer {
            None => self.seal_inner(index, last, sealed)?,
            Some(outer) => {
                let (inner, tag_room) = sealed
                    .split_last_chunk_mut::<{ strongroom_outer::TAG_LEN_BYTES }>()
                    .ok_or(SealingError::SegmentLength)?;
                self.seal_inner(index, last, inner)?;
                *tag_room = outer.seal(index, last, inner);
            }
        }
        *checksum_room = checksum(sealed);
        Ok(())
    }

    fn seal_inner(&self, index: u64, last: bool, sealed: &mut [u8]) -> Result<(), SealingError> {
        let (body, tag_room) = sealed
            .split_last_chunk_mut::<TAG_LEN_BYTES>()
            .ok_or(SealingError::SegmentLength)?;
        *tag_room = self.inner.seal(nonce(index, last), &[], body);
        Ok(())
    }

    /// Opens a stored segment without its checksum in place, or wipes it.
    pub(super) fn open<'a>(
        &self,
        index: u64,
        last: bool,
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], OpenError> {
        let sealed = match &self.outer {
            None => sealed,
            Some(outer) => outer
                .open(index, last, sealed)
                .ok_or(OpenError::OuterLayer(OuterError::Damaged))?,
        };
        self.inner
            .open(nonce(index, last), &[], sealed)
            .ok_or(OpenError::Damaged)
    }

    /// As [`SegmentCipher::open`], for a whole stored segment.
    pub(super) fn open_stored<'a>(
        &self,
        index: u64,
        last: bool,
        stored: &'a mut [u8],
    ) -> Result<&'a mut [u8], OpenError> {
        let (sealed, stored_checksum) = stored
            .split_last_chunk_mut::<CHECKSUM_LEN_BYTES>()
            .ok_or(FormatError::BadLength)?;
        if checksum(sealed) != *stored_checksum {
            return Err(self.damaged());
        }
        self.open(index, last, sealed)
    }

    /// What a wrong checksum is: damage of the layer that it lies around.
    pub(super) fn damaged(&self) -> OpenError {
        match self.outer {
            None => OpenError::Damaged,
            Some(_) => OpenError::OuterLayer(OuterError::Damaged),
        }
    }
}
