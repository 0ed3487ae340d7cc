//! What can go wrong, by what the caller can do about it.

/// Bytes are not of a format that this version reads. Found without any key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The magic bytes are not there: something else, or damage.
    #[error("the magic bytes are missing")]
    BadMagic,
    /// Written by a later version of the format.
    #[error("format version {0} is not known")]
    UnknownVersion(u8),
    /// A cipher suite that does not exist, or not yet.
    #[error("cipher suite {0} is not known")]
    UnknownSuite(u8),
    /// The stream has one layer and two keys were given, or two layers (DSSE-KMS) and one key.
    #[error("the stream has another number of layers than there are keys")]
    Layers,
    /// A flag is set that this version does not know, or that contradicts the rest.
    #[error("flags {0:#04x} are not known here")]
    UnknownFlags(u8),
    /// A wrapping mode that this version does not know or has only reserved.
    #[error("wrap mode {0} is not known")]
    UnknownMode(u8),
    /// A field that this version does not know, or in the wrong place.
    #[error("field {0} is not known here")]
    UnknownField(u8),
    /// The segment size is outside 4 KiB to 1 MiB.
    #[error("segments of 2^{0} bytes are not allowed")]
    SegmentSize(u8),
    /// A length does not fit what it measures: damage or truncation.
    #[error("a length does not fit")]
    BadLength,
    /// More bytes are needed to parse this, counted from the end of the file.
    #[error("{needed_bytes} bytes are needed")]
    Incomplete {
        /// How many.
        needed_bytes: usize,
    },
    /// A field holds a value that is not allowed.
    #[error("a field holds a value that is not allowed")]
    BadValue,
    /// A keyless checksum does not match: damage.
    #[error("the checksum does not match")]
    Checksum,
}

/// Ciphertext that does not verify. Internal: a client is told nothing of the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The structure is not readable at all.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The key commitment does not match: another key, another object, or a changed header.
    #[error("the key or the identity is not the one that sealed this")]
    WrongKeyOrIdentity,
    /// The key is right and the bytes are not: damage or tampering.
    #[error("the ciphertext does not verify")]
    Damaged,
    /// The outer one of two layers does not open; the inner one was not tried.
    #[error("outer layer: {0}")]
    OuterLayer(OuterError),
}

/// Why the outer layer of a body (DSSE-KMS) does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OuterError {
    /// The key commitment does not match: another key, another object, or a changed header.
    #[error("the key or the identity is not the one that sealed this")]
    WrongKeyOrIdentity,
    /// The key is right and the bytes are not: damage or tampering.
    #[error("the ciphertext does not verify")]
    Damaged,
}

/// The wrapped key does not open. Deliberately says nothing about why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wrapped key does not open")]
pub struct UnwrapError;

/// A segment was offered that would make a stream which no reader accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealingError {
    /// Shorter than the overhead, longer than a segment, short without being the last, or empty
    /// without being the only one.
    #[error("segment of a wrong length")]
    SegmentLength,
    /// The last segment has been sealed already.
    #[error("the stream has ended")]
    AfterLast,
    /// 2^56 segments.
    #[error("the stream has too many segments")]
    TooManySegments,
}

/// The key ring file does not open. The texts say what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// Not a key ring at all.
    #[error("this file is not a key ring")]
    NotARing,
    /// Written by a later version.
    #[error("key ring format version {0} is not known: a newer strongroom wrote it")]
    UnknownVersion(u8),
    /// Uses a cipher suite of a later version.
    #[error("key ring cipher suite {0} is not known: a newer strongroom wrote it")]
    UnknownSuite(u8),
    /// The ring is intact, and this is not its unseal key.
    #[error("this unseal key is not the key ring's; the ring itself is intact")]
    WrongUnsealKey,
    /// The file was changed or cut: use the other copy.
    #[error("the key ring file is damaged: use its second copy or a backup")]
    Damaged,
    /// The active version of the root key, or one that the ring does not hold.
    #[error(
        "version {0} of the root key cannot be retired: it is the active one, or not in the ring"
    )]
    NotRetirable(u32),
}
