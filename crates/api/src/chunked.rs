//! The `aws-chunked` content encoding: signed, signed with trailers, unsigned with trailers.
//!
//! A pure state machine. Data leaves as it arrives, in slices of at most 64 KiB, and no chunk is
//! ever held: a chunk's signature is known to be good only when the chunk has ended. Whoever
//! consumes the data must therefore keep nothing before [`ChunkEvent::End`].
//!
//! ```text
//!   signed    hex-size ";chunk-signature=" 64*hex CRLF data CRLF ... "0;chunk-signature=" 64*hex CRLF
//!   unsigned  hex-size CRLF data CRLF ... "0" CRLF
//!   then      *(name ":" value (LF | CRLF)) [ "x-amz-trailer-signature:" 64*hex CRLF ] CRLF
//! ```
//!
//! Source: S3 API Reference, "Transferring payload in multiple chunks (chunked upload)".

use std::borrow::Cow;

use aws_lc_rs::digest;
use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use strongroom_types::ChecksumAlgorithm;

use crate::limits::{
    CHUNK_HEADER_MAX_BYTES, CHUNK_MAX_BYTES, CHUNK_SIGNED_MIN_BYTES, TRAILERS_MAX,
    TRAILERS_MAX_BYTES,
};
use crate::sigv4::{ChunkVerifier, Payload};

/// Longest slice of data in one event, in bytes: what an async thread hashes at a time.
const SLICE_MAX_BYTES: usize = 64 << 10;
const SIGNATURE_TRAILER: &str = "x-amz-trailer-signature";

/// How a body is chunked.
#[derive(Debug, Clone)]
pub enum Flavour {
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD`.
    Signed(ChunkVerifier),
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER`.
    SignedTrailer(ChunkVerifier),
    /// `STREAMING-UNSIGNED-PAYLOAD-TRAILER`.
    UnsignedTrailer,
}

/// What a body turns out to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChunkEvent {
    /// Bytes of the object, not yet trusted.
    Data(Bytes),
    /// Everything has arrived and every signature is good. Nothing follows.
    End {
        /// The trailers, in lower case, in the order in which they came.
        trailers: Vec<(String, String)>,
    },
}

/// Why a chunked body is refused. The request must leave nothing behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// `x-amz-decoded-content-length` is missing.
    #[error("x-amz-decoded-content-length is missing")]
    MissingDecodedLength,
    /// `x-amz-decoded-content-length` is no number.
    #[error("x-amz-decoded-content-length is malformed")]
    InvalidDecodedLength,
    /// `x-amz-trailer` names too many or unusable trailers, or none may come.
    #[error("x-amz-trailer is malformed")]
    InvalidTrailerHeader,
    /// The encoding breaks its form.
    #[error("the chunked encoding is malformed")]
    Malformed,
    /// A chunk is larger than allowed.
    #[error("a chunk is too large")]
    ChunkTooLarge,
    /// A signed chunk that is not the last is smaller than 8 KiB.
    #[error("a chunk but the last is too small")]
    ChunkTooSmall,
    /// A chunk or the trailers are not what was signed, or not at this place.
    #[error("a chunk signature does not match")]
    SignatureDoesNotMatch,
    /// More or fewer bytes came than `x-amz-decoded-content-length` says.
    #[error("the decoded length is not the declared one")]
    LengthMismatch,
    /// A trailer was not announced, came twice, or an announced one did not come.
    #[error("the trailers are not the announced ones")]
    TrailerMismatch,
    /// The trailer of a checksum is no value of its algorithm.
    #[error("a trailing checksum is malformed")]
    InvalidTrailingChecksum(ChecksumAlgorithm),
    /// The body ended before its end.
    #[error("the body is truncated")]
    Truncated,
}

impl ChunkError {
    /// AWS's code, text and HTTP status.
    pub fn answer(self) -> (&'static str, Cow<'static, str>, u16) {
        match self {
            Self::MissingDecodedLength => (
                "MissingContentLength",
                "You must provide the Content-Length HTTP header.".into(),
                411,
            ),
            Self::InvalidDecodedLength => (
                "InvalidArgument",
                "The value specified in the x-amz-decoded-content-length header is invalid.".into(),
                400,
            ),
            Self::InvalidTrailerHeader => (
                "InvalidRequest",
                "The value specified in the x-amz-trailer header is not supported".into(),
                400,
            ),
            Self::Malformed => (
                "InvalidRequest",
                "The request body is not a well-formed aws-chunked encoding.".into(),
                400,
            ),
            Self::ChunkTooLarge => (
                "EntityTooLarge",
                "Your proposed upload exceeds the maximum allowed size".into(),
                400,
            ),
            Self::ChunkTooSmall => (
                "InvalidChunkSizeError",
                "Only the last chunk is allowed to have a size less than 8192 bytes".into(),
                403,
            ),
            Self::SignatureDoesNotMatch => (
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. Check your key and signing method.".into(),
                403,
            ),
            Self::InvalidTrailingChecksum(algorithm) => (
                "InvalidRequest",
                format!("Value for {} trailing header is invalid.", algorithm.header()).into(),
                400,
            ),
            Self::LengthMismatch => (
                "IncompleteBody",
                "You did not provide the number of bytes specified by the Content-Length HTTP header".into(),
                400,
            ),
            Self::TrailerMismatch => (
                "MalformedTrailerError",
                "The request contained trailing data that was not well-formed or did not conform to our published schema.".into(),
                400,
            ),
            Self::Truncated => (
                "IncompleteBody",
                "The request body terminated unexpectedly".into(),
                400,
            ),
        }
    }
}

/// Decodes a chunked body piece by piece.
pub struct ChunkedDecoder {
    flavour: Flavour,
    state: State,
    /// The current line, as far as it has arrived.
    line: Vec<u8>,
    /// Lengths of the current chunk and of what is missing of it, in bytes.
    chunk_len: u64,
    chunk_left: u64,
    /// Object bytes that have still to be announced by a chunk.
    unannounced: u64,
    signature: [u8; 32],
    hash: digest::Context,
    announced: Vec<String>,
    trailers: Vec<(String, String)>,
    trailers_bytes: usize,
    trailer_signature: Option<[u8; 32]>,
    blank_seen: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    ChunkHeader,
    Data,
    ChunkEnd,
    Trailer,
    Done,
    Failed,
}

impl ChunkedDecoder {
    /// Makes a decoder. `trailers` are the names in `x-amz-trailer`, in lower case.
    pub fn new(flavour: Flavour, decoded_len_bytes: u64, trailers: Vec<String>) -> Self {
        Self {
            flavour,
            state: State::ChunkHeader,
            line: Vec::new(),
            chunk_len: 0,
            chunk_left: 0,
            unannounced: decoded_len_bytes,
            signature: [0; 32],
            hash: digest::Context::new(&digest::SHA256),
            announced: trailers,
            trailers: Vec::new(),
            trailers_bytes: 0,
            trailer_signature: None,
            blank_seen: false,
        }
    }

    /// Makes the decoder that a request's head asks for; `None` when its body is not chunked.
    /// The second value is the length of the object, in bytes.
    ///
    /// # Errors
    ///
    /// [`ChunkError`] when the headers that describe the body are missing or malformed.
    pub fn from_head(
        payload: &Payload,
        headers: &HeaderMap,
    ) -> Result<Option<(Self, u64)>, ChunkError> {
        let flavour = match payload {
            Payload::Unsigned | Payload::Sha256(_) => return Ok(None),
            Payload::ChunkedSigned(verifier) => Flavour::Signed(verifier.clone()),
            Payload::ChunkedSignedTrailer(verifier) => Flavour::SignedTrailer(verifier.clone()),
            Payload::ChunkedUnsignedTrailer => Flavour::UnsignedTrailer,
        };
        let mut lengths = headers.get_all("x-amz-decoded-content-length").iter();
        let (Some(length), None) = (lengths.next(), lengths.next()) else {
            return Err(ChunkError::MissingDecodedLength);
        };
        let length = length.to_str().ok().map(str::trim);
        let length: u64 = length
            .filter(|text| text.bytes().all(|c| c.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .ok_or(ChunkError::InvalidDecodedLength)?;
        let mut trailers = Vec::new();
        for value in headers.get_all("x-amz-trailer") {
            let value = value
                .to_str()
                .map_err(|_| ChunkError::InvalidTrailerHeader)?;
            for name in value
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
            {
                let name = name.to_ascii_lowercase();
                if trailers.len() >= TRAILERS_MAX
                    || trailers.contains(&name)
                    || name == SIGNATURE_TRAILER
                {
                    return Err(ChunkError::InvalidTrailerHeader);
                }
                trailers.push(name);
            }
        }
        if matches!(flavour, Flavour::Signed(_)) && !trailers.is_empty() {
            return Err(ChunkError::InvalidTrailerHeader);
        }
        Ok(Some((Self::new(flavour, length, trailers), length)))
    }

    /// Takes from `input` and gives the next event; `None` when `input` is used up.
    ///
    /// # Errors
    ///
    /// [`ChunkError`]; it repeats at every later call.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<ChunkEvent>, ChunkError> {
        let result = self.advance(input);
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    /// Takes `input` whole and gives every event in it. An async task calls
    /// [`ChunkedDecoder::decode`] instead, which hashes no more than 64 KiB at a time.
    ///
    /// # Errors
    ///
    /// As [`ChunkedDecoder::decode`].
    pub fn push(&mut self, mut input: Bytes) -> Result<Vec<ChunkEvent>, ChunkError> {
        let mut events = Vec::new();
        while let Some(event) = self.decode(&mut input)? {
            events.push(event);
        }
        Ok(events)
    }

    /// Says that the body has ended.
    ///
    /// # Errors
    ///
    /// [`ChunkError::Truncated`] unless [`ChunkEvent::End`] was given.
    pub fn finish(&self) -> Result<(), ChunkError> {
        match self.state {
            State::Done => Ok(()),
            State::Failed => Err(ChunkError::Malformed),
            State::ChunkHeader | State::Data | State::ChunkEnd | State::Trailer => {
                Err(ChunkError::Truncated)
            }
        }
    }

    fn advance(&mut self, input: &mut Bytes) -> Result<Option<ChunkEvent>, ChunkError> {
        while !input.is_empty() {
            match self.state {
                State::ChunkHeader => {
                    if self.read_line(input, CHUNK_HEADER_MAX_BYTES)? {
                        self.start_chunk()?;
                    }
                }
                State::Data => {
                    let left = usize::try_from(self.chunk_left).unwrap_or(usize::MAX);
                    let data = input.split_to(input.len().min(left).min(SLICE_MAX_BYTES));
                    self.chunk_left = self
                        .chunk_left
                        .saturating_sub(u64::try_from(data.len()).unwrap_or(u64::MAX));
                    if self.is_signed() {
                        self.hash.update(&data);
                    }
                    if self.chunk_left == 0 {
                        self.verify_chunk()?;
                        self.state = State::ChunkEnd;
                    }
                    return Ok(Some(ChunkEvent::Data(data)));
                }
                State::ChunkEnd => {
                    if self.read_line(input, 2)? {
                        if !self.take_line()?.is_empty() {
                            return Err(ChunkError::Malformed);
                        }
                        self.state = State::ChunkHeader;
                    }
                }
                State::Trailer => {
                    if self.read_line(input, TRAILERS_MAX_BYTES)? && self.take_trailer_line()? {
                        self.check_trailers()?;
                        self.state = State::Done;
                        let trailers = std::mem::take(&mut self.trailers);
                        if !input.is_empty() {
                            return Err(ChunkError::Malformed);
                        }
                        return Ok(Some(ChunkEvent::End { trailers }));
                    }
                }
                State::Done | State::Failed => return Err(ChunkError::Malformed),
            }
        }
        Ok(None)
    }

    /// Moves bytes into the line up to its LF; true when the line is whole.
    fn read_line(&mut self, input: &mut Bytes, max_bytes: usize) -> Result<bool, ChunkError> {
        let (len, whole) = match memchr::memchr(b'\n', input) {
            Some(at) => (at.saturating_add(1), true),
            None => (input.len(), false),
        };
        if self.line.len().saturating_add(len) > max_bytes {
            return Err(ChunkError::Malformed);
        }
        self.line
            .extend_from_slice(input.get(..len).unwrap_or_default());
        input.advance(len);
        Ok(whole)
    }

    /// The line without its CRLF.
    fn take_line(&mut self) -> Result<String, ChunkError> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r\n").ok_or(ChunkError::Malformed)?;
        String::from_utf8(line.to_vec()).map_err(|_| ChunkError::Malformed)
    }

    fn start_chunk(&mut self) -> Result<(), ChunkError> {
        let line = self.take_line()?;
        let (size, extensions) = line.split_once(';').unwrap_or((&line, ""));
        if size.is_empty() || size.len() > 16 || !size.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(ChunkError::Malformed);
        }
        let size = u64::from_str_radix(size, 16).map_err(|_| ChunkError::Malformed)?;
        if size > CHUNK_MAX_BYTES {
            return Err(ChunkError::ChunkTooLarge);
        }
        if self.is_signed() {
            let mut signatures = extensions
                .split(';')
                .filter_map(|extension| extension.strip_prefix("chunk-signature="));
            let (Some(signature), None) = (signatures.next(), signatures.next()) else {
                return Err(ChunkError::Malformed);
            };
            self.signature = parse_signature(signature)?;
            let was_small = (1..CHUNK_SIGNED_MIN_BYTES).contains(&self.chunk_len);
            if was_small && size > 0 {
                return Err(ChunkError::ChunkTooSmall);
            }
        }
        self.unannounced = self
            .unannounced
            .checked_sub(size)
            .ok_or(ChunkError::LengthMismatch)?;
        self.chunk_len = size;
        self.chunk_left = size;
        if size > 0 {
            self.state = State::Data;
            return Ok(());
        }
        if self.unannounced > 0 {
            return Err(ChunkError::LengthMismatch);
        }
        self.verify_chunk()?;
        self.state = State::Trailer;
        Ok(())
    }

    fn verify_chunk(&mut self) -> Result<(), ChunkError> {
        let (Flavour::Signed(verifier) | Flavour::SignedTrailer(verifier)) = &mut self.flavour
        else {
            return Ok(());
        };
        let hash = std::mem::replace(&mut self.hash, digest::Context::new(&digest::SHA256));
        if verifier.verify_chunk(&hash.finish(), &self.signature) {
            Ok(())
        } else {
            Err(ChunkError::SignatureDoesNotMatch)
        }
    }

    /// Takes one line behind the last chunk; true when it is the one that ends the body.
    fn take_trailer_line(&mut self) -> Result<bool, ChunkError> {
        let line = std::mem::take(&mut self.line);
        self.trailers_bytes = self.trailers_bytes.saturating_add(line.len());
        if self.trailers_bytes > TRAILERS_MAX_BYTES {
            return Err(ChunkError::Malformed);
        }
        // AWS's own example ends a signed trailer by a bare LF, SDKs end it by CRLF.
        let line = line.strip_suffix(b"\n").ok_or(ChunkError::Malformed)?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            // That example also puts an empty line in front of the signature.
            let awaits_signature = matches!(self.flavour, Flavour::SignedTrailer(_))
                && self.trailer_signature.is_none()
                && !self.trailers.is_empty();
            if awaits_signature && !self.blank_seen {
                self.blank_seen = true;
                return Ok(false);
            }
            return Ok(true);
        }
        let line = std::str::from_utf8(line).map_err(|_| ChunkError::Malformed)?;
        let (name, value) = line.split_once(':').ok_or(ChunkError::Malformed)?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if self.trailer_signature.is_some() {
            return Err(ChunkError::TrailerMismatch);
        }
        if name == SIGNATURE_TRAILER && matches!(self.flavour, Flavour::SignedTrailer(_)) {
            self.trailer_signature = Some(parse_signature(value)?);
            return Ok(false);
        }
        let is_new = !self.trailers.iter().any(|(known, _)| *known == name);
        if self.blank_seen || !is_new || !self.announced.contains(&name) {
            return Err(ChunkError::TrailerMismatch);
        }
        self.trailers.push((name, value.to_owned()));
        Ok(false)
    }

    fn check_trailers(&mut self) -> Result<(), ChunkError> {
        // Names are distinct and announced, so equal numbers are equal sets.
        if self.trailers.len() != self.announced.len() {
            return Err(ChunkError::TrailerMismatch);
        }
        let Flavour::SignedTrailer(verifier) = &mut self.flavour else {
            return Ok(());
        };
        let Some(signature) = &self.trailer_signature else {
            return Err(ChunkError::SignatureDoesNotMatch);
        };
        let mut sorted: Vec<_> = self.trailers.iter().collect();
        sorted.sort_unstable();
        let mut hash = digest::Context::new(&digest::SHA256);
        for (name, value) in sorted {
            for piece in [name, ":", value, "\n"] {
                hash.update(piece.as_bytes());
            }
        }
        if verifier.verify_trailer(&hash.finish(), signature) {
            Ok(())
        } else {
            Err(ChunkError::SignatureDoesNotMatch)
        }
    }

    fn is_signed(&self) -> bool {
        match self.flavour {
            Flavour::Signed(_) | Flavour::SignedTrailer(_) => true,
            Flavour::UnsignedTrailer => false,
        }
    }
}

fn parse_signature(text: &str) -> Result<[u8; 32], ChunkError> {
    let mut signature = [0; 32];
    if text.bytes().any(|c| c.is_ascii_uppercase()) {
        return Err(ChunkError::Malformed);
    }
    hex::decode_to_slice(text, &mut signature).map_err(|_| ChunkError::Malformed)?;
    Ok(signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Decoded = (Vec<u8>, Vec<(String, String)>);

    fn decode(
        body: &[u8],
        len: u64,
        trailers: &[&str],
        step: usize,
    ) -> Result<Decoded, ChunkError> {
        let trailers = trailers.iter().map(|&name| name.to_owned()).collect();
        let mut decoder = ChunkedDecoder::new(Flavour::UnsignedTrailer, len, trailers);
        let (mut data, mut end) = (Vec::new(), None);
        for piece in body.chunks(step) {
            for event in decoder.push(Bytes::copy_from_slice(piece))? {
                match event {
                    ChunkEvent::Data(bytes) => data.extend_from_slice(&bytes),
                    ChunkEvent::End { trailers } => end = Some(trailers),
                }
            }
        }
        decoder.finish()?;
        Ok((data, end.unwrap()))
    }

    const BODY: &[u8] =
        b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
    const CRC32: &[&str] = &["x-amz-checksum-crc32"];

    #[test]
    fn data_and_trailers_arrive_however_the_body_is_cut() {
        for step in 1..=BODY.len() {
            let (data, trailers) = decode(BODY, 11, CRC32, step).unwrap();
            assert_eq!(data, b"hello world");
            assert_eq!(
                trailers,
                [("x-amz-checksum-crc32".into(), "DUoRhQ==".into())]
            );
        }
        assert_eq!(decode(b"0\r\n\r\n", 0, &[], 9), Ok((vec![], vec![])));
    }

    #[test]
    fn truncation_is_refused_at_every_byte() {
        for len in 0..BODY.len() {
            assert_eq!(
                decode(&BODY[..len], 11, CRC32, 7),
                Err(ChunkError::Truncated),
                "{len}"
            );
        }
        let longer = [BODY, b"x"].concat();
        assert_eq!(decode(&longer, 11, CRC32, 7), Err(ChunkError::Malformed));
        assert_eq!(decode(&longer, 11, CRC32, 999), Err(ChunkError::Malformed));
    }

    #[test]
    fn lengths_and_trailers_must_be_those_announced() {
        assert_eq!(decode(BODY, 10, CRC32, 99), Err(ChunkError::LengthMismatch));
        assert_eq!(decode(BODY, 12, CRC32, 99), Err(ChunkError::LengthMismatch));
        assert_eq!(decode(BODY, 11, &[], 99), Err(ChunkError::TrailerMismatch));
        let both = ["x-amz-checksum-crc32", "x-amz-checksum-sha1"];
        assert_eq!(
            decode(BODY, 11, &both, 99),
            Err(ChunkError::TrailerMismatch)
        );
        let twice = b"0\r\nx-a:1\r\nx-a:1\r\n\r\n";
        assert_eq!(
            decode(twice, 0, &["x-a"], 99),
            Err(ChunkError::TrailerMismatch)
        );
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for bad in [
            &b"\r\nhello"[..],
            b"-1\r\n",
            b"+5\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b"5\nhello\r\n",
            b"5\r\nhelloX\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"00000000000000005\r\n",
            b" 5\r\nhello\r\n",
            b"g\r\n",
        ] {
            assert_eq!(
                decode(bad, 5, &[], 3),
                Err(ChunkError::Malformed),
                "{bad:?}"
            );
        }
        assert_eq!(
            decode(b"ffffffffffffffff\r\n", 5, &[], 3),
            Err(ChunkError::ChunkTooLarge)
        );
        assert_eq!(
            decode(&[b'1'; 4096], 5, &[], 64),
            Err(ChunkError::Malformed)
        );
        let endless = [&b"0\r\nx-a:"[..], &[b'v'; 8192]].concat();
        assert_eq!(
            decode(&endless, 0, &["x-a"], 64),
            Err(ChunkError::Malformed)
        );
    }

    #[test]
    fn a_failed_decoder_stays_failed() {
        let mut decoder = ChunkedDecoder::new(Flavour::UnsignedTrailer, 0, vec![]);
        assert!(decoder.push(Bytes::from_static(b"x\r\n")).is_err());
        assert!(decoder.push(Bytes::from_static(b"0\r\n\r\n")).is_err());
        assert!(decoder.finish().is_err());
    }
}
