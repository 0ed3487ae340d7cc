//! Big-endian reading and writing of the formats' fields.

use crate::FormatError;

/// A cursor over bytes from outside: every step says whether there was enough.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, len_bytes: usize) -> Result<&'a [u8], FormatError> {
        let (taken, rest) = self
            .0
            .split_at_checked(len_bytes)
            .ok_or(FormatError::BadLength)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], FormatError> {
        let (taken, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(FormatError::BadLength)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FormatError> {
        self.array::<1>().map(|&[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, FormatError> {
        self.array().map(|&bytes| u16::from_be_bytes(bytes))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(|&bytes| u32::from_be_bytes(bytes))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(|&bytes| u64::from_be_bytes(bytes))
    }

    /// A length of four bytes, and as many bytes.
    pub(crate) fn prefixed(&mut self) -> Result<&'a [u8], FormatError> {
        let len = self.u32()?;
        self.take(usize::try_from(len).map_err(|_| FormatError::BadLength)?)
    }

    pub(crate) fn remaining(&self) -> usize {
        self.0.len()
    }

    /// There must be nothing left.
    pub(crate) fn finish(self) -> Result<(), FormatError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(FormatError::BadLength)
        }
    }
}

/// `BE32(len) || bytes`. What is longer than 4 GiB gets a length that no reader accepts.
pub(crate) fn put_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&be32(bytes.len()));
    out.extend_from_slice(bytes);
}

/// A length as four bytes; saturates.
pub(crate) fn be32(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

/// A length in memory as one on disk. Lossless on every platform there is.
pub(crate) fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
