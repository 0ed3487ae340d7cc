//! The header of a stream: what opens it, and what it belongs to.

use aws_lc_rs::hmac;
use strongroom_outer::{OuterIdentity, OuterKeys};
use strongroom_types::{AttemptUid, BucketUid, Entropy, ObjectKey, PartNumber, VersionUid};
use subtle::ConstantTimeEq;

use super::layout::{Layers, StreamLayout};
use super::segment::SegmentCipher;
use crate::aead::{Aead, SINGLE_USE_NONCE, TAG_LEN_BYTES};
use crate::codec::{Reader, be32, put_prefixed};
use crate::identity::sha512;
use crate::kdf::{derive, label};
use crate::{
    BodyKeys, DataKey, FormatError, ObjectIdentity, OpenError, OuterError, OuterKey, PartIdentity,
};

/// Longest header of this version: a part of two layers whose object key has 1,024 bytes.
pub const HEADER_MAX_BYTES: usize = 1408;

/// Longest header of one layer.
const HEADER_OF_ONE_LAYER_MAX_BYTES: usize = 1216;

const MAGIC: &[u8; 4] = b"SRB1";
const VERSION: u8 = 1;
const SUITE_ONE_LAYER: u8 = 1;
const SUITE_TWO_LAYERS: u8 = 2;
const FLAG_PART: u8 = 0x01;
const FIXED_LEN_BYTES: usize = 80;
const MAC_LEN_BYTES: usize = 32;
/// Type (1) and length (2) before each field's value.
const FIELD_PREFIX_BYTES: usize = 3;
const FIELD_PADDING: u8 = 0;
const FIELD_BUCKET: u8 = 1;
const FIELD_VERSION: u8 = 2;
const FIELD_ATTEMPT: u8 = 3;
const FIELD_NAME: u8 = 4;
const FIELD_INNER_HEADER: u8 = 5;
const ALIGNMENT_BYTES: usize = 8;

const _: () = assert!(HEADER_OF_ONE_LAYER_MAX_BYTES == padded(unpadded_len(1024, true)));
const _: () =
    assert!(HEADER_MAX_BYTES == padded(unpadded_len(HEADER_OF_ONE_LAYER_MAX_BYTES, true)));

/// Length of the header of a stream of the object `key`, as this version writes it for an object
/// that was not uploaded in parts. A part's header is longer, by at most 24 bytes a layer: see
/// [`StreamLayout::header_len_bytes`].
pub fn header_len_bytes(key: &ObjectKey, layers: Layers) -> usize {
    let inner = padded(unpadded_len(key.as_bytes().len(), false));
    match layers {
        Layers::One => inner,
        Layers::Two => padded(unpadded_len(inner, false)),
    }
}

/// The identities that a header names in clear. Needs no key and proves nothing.
///
/// # Errors
///
/// [`FormatError`] for what this version cannot read.
pub fn stream_uids(
    header: &[u8],
) -> Result<(BucketUid, VersionUid, Option<PartIdentity>), FormatError> {
    let header = Header::parse(header)?;
    Ok((header.bucket, header.version, header.part))
}

/// What a stream belongs to, by its own account, for recovery without an index: the name in the
/// header is opened, and then everything is verified as [`StreamOpener`](super::StreamOpener) does.
///
/// # Errors
///
/// [`OpenError`] if this is not the stream's key or the header was changed.
pub fn recover_identity(
    keys: &BodyKeys,
    header: &[u8],
) -> Result<(ObjectIdentity, Option<PartIdentity>), OpenError> {
    let header = Header::parse(header)?;
    match (header.fixed.layout.layers(), keys.outer()) {
        (Layers::One, None) => header.recover(keys.data_key()),
        (Layers::Two, Some(outer)) => {
            let inner = header.open_inner(outer)?;
            let inner = Header::parse_inner(&inner, &header.fixed)?;
            let (object, part) = inner.recover(keys.data_key())?;
            header.verify_outer(outer, &object, part)?;
            Ok((object, part))
        }
        (Layers::One, Some(_)) | (Layers::Two, None) => Err(FormatError::Layers.into()),
    }
}

/// Draws salts and writes a header; returns it with the cipher for the segments.
pub(super) fn create(
    keys: &BodyKeys,
    object: &ObjectIdentity,
    part: Option<PartIdentity>,
    segment_log2: u8,
    entropy: &dyn Entropy,
) -> (Vec<u8>, SegmentCipher) {
    let (header, inner) = create_inner(keys.data_key(), object, part, segment_log2, entropy);
    match keys.outer() {
        None => (header, SegmentCipher { inner, outer: None }),
        Some(key) => {
            let (header, outer) = create_outer(key, object, part, segment_log2, header, entropy);
            let outer = Some(outer);
            (header, SegmentCipher { inner, outer })
        }
    }
}

/// Verifies a header against the keys and the identity; returns the cipher for the segments.
pub(super) fn open(
    header: &Header<'_>,
    keys: &BodyKeys,
    object: &ObjectIdentity,
    part: Option<PartIdentity>,
) -> Result<SegmentCipher, OpenError> {
    let data_key = keys.data_key();
    match (header.fixed.layout.layers(), keys.outer()) {
        (Layers::One, None) => Ok(SegmentCipher {
            inner: header.verify(data_key, object, part)?,
            outer: None,
        }),
        (Layers::Two, Some(outer)) => {
            let segments = header.verify_outer(outer, object, part)?;
            let inner = header.open_inner(outer)?;
            let inner = Header::parse_inner(&inner, &header.fixed)?;
            Ok(SegmentCipher {
                inner: inner.verify(data_key, object, part)?,
                outer: Some(segments),
            })
        }
        // Nothing in the stream decides how many layers it must have: that would be a way to take
        // one off.
        (Layers::One, Some(_)) | (Layers::Two, None) => Err(FormatError::Layers.into()),
    }
}

/// The header of suite 2 around `inner`, that of suite 1; and the outer cipher for the segments.
fn create_outer(
    key: &OuterKey,
    object: &ObjectIdentity,
    part: Option<PartIdentity>,
    segment_log2: u8,
    mut inner: Vec<u8>,
    entropy: &dyn Entropy,
) -> (Vec<u8>, strongroom_outer::SegmentCipher) {
    let mut salt = [0; 32];
    entropy.fill(&mut salt);
    let keys = outer_keys(key, &salt, object, part, segment_log2);
    strongroom_outer::seal_inner_header(
        key.expose(),
        &salt,
        object.bucket,
        object.version,
        &mut inner,
    );
    let start = Start {
        suite: SUITE_TWO_LAYERS,
        segment_log2,
        salt: &salt,
        commitment: &keys.commitment(),
        sealed: (FIELD_INNER_HEADER, &inner),
    };
    let mut out = start.write(object, part);
    let mac = keys.header_mac(&out);
    out.extend_from_slice(&mac);
    (out, keys.segments())
}

/// Everything of a header but what its MAC is made from.
struct Start<'a> {
    suite: u8,
    segment_log2: u8,
    salt: &'a [u8; 32],
    commitment: &'a [u8; 32],
    /// The last field, its tag included.
    sealed: (u8, &'a [u8]),
}

impl Start<'_> {
    /// The header up to its MAC.
    fn write(&self, object: &ObjectIdentity, part: Option<PartIdentity>) -> Vec<u8> {
        let Self {
            suite,
            segment_log2,
            salt,
            commitment,
            sealed: (field, sealed),
        } = self;
        let content_len = sealed.len().saturating_sub(TAG_LEN_BYTES);
        let unpadded = unpadded_len(content_len, part.is_some());
        let total = padded(unpadded);
        let flags = if part.is_some() { FLAG_PART } else { 0 };
        let mut out = Vec::with_capacity(total);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, *suite, *segment_log2, flags]);
        out.extend_from_slice(&be32(total));
        out.extend_from_slice(&part_number(part).to_be_bytes());
        out.extend_from_slice(*salt);
        out.extend_from_slice(*commitment);
        put_field(&mut out, FIELD_BUCKET, object.bucket.as_bytes());
        put_field(&mut out, FIELD_VERSION, object.version.as_bytes());
        if let Some(part) = part {
            put_field(&mut out, FIELD_ATTEMPT, part.attempt.as_bytes());
        }
        put_field(&mut out, *field, sealed);
        out.resize(out.len() + total - unpadded, FIELD_PADDING);
        out
    }
}

/// Draws a salt and writes a header of suite 1; returns it with the cipher for the segments.
fn create_inner(
    data_key: &DataKey,
    object: &ObjectIdentity,
    part: Option<PartIdentity>,
    segment_log2: u8,
    entropy: &dyn Entropy,
) -> (Vec<u8>, Aead) {
    let mut salt = [0; 32];
    entropy.fill(&mut salt);
    let keys = derive_keys(data_key, &salt, object, part, segment_log2);
    let [commitment, segment_key, mac_key] = &*keys;
    let mut name = object.key.as_bytes().to_vec();
    name_cipher(data_key, &salt, object.bucket, object.version).seal_tail(
        SINGLE_USE_NONCE,
        &[],
        &mut name,
        0,
    );
    let start = Start {
        suite: SUITE_ONE_LAYER,
        segment_log2,
        salt: &salt,
        commitment,
        sealed: (FIELD_NAME, &name),
    };
    let mut out = start.write(object, part);
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, mac_key), &out);
    out.extend_from_slice(mac.as_ref());
    (out, Aead::gcm(segment_key))
}

/// The fields at fixed places.
pub(super) struct Fixed<'a> {
    pub(super) layout: StreamLayout,
    part_number: Option<PartNumber>,
    salt: &'a [u8; 32],
    commitment: &'a [u8; 32],
}

impl<'a> Fixed<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut fields = Reader::new(bytes);
        if fields.array()? != MAGIC {
            return Err(FormatError::BadMagic);
        }
        let &[version, suite, segment_log2, flags] = fields.array()?;
        if version != VERSION {
            return Err(FormatError::UnknownVersion(version));
        }
        let (layers, max_len) = match suite {
            SUITE_ONE_LAYER => (Layers::One, HEADER_OF_ONE_LAYER_MAX_BYTES),
            SUITE_TWO_LAYERS => (Layers::Two, HEADER_MAX_BYTES),
            unknown => return Err(FormatError::UnknownSuite(unknown)),
        };
        if !(12..=20).contains(&segment_log2) {
            return Err(FormatError::SegmentSize(segment_log2));
        }
        if flags & !FLAG_PART != 0 {
            return Err(FormatError::UnknownFlags(flags));
        }
        let header_len = fields.u32()?;
        let len = usize::try_from(header_len).map_err(|_| FormatError::BadLength)?;
        if len > max_len || len % ALIGNMENT_BYTES != 0 {
            return Err(FormatError::BadLength);
        }
        let part_number = match (flags & FLAG_PART != 0, fields.u32()?) {
            (false, 0) => None,
            (true, number) => {
                Some(PartNumber::new(u64::from(number)).ok_or(FormatError::BadValue)?)
            }
            (false, _) => return Err(FormatError::UnknownFlags(flags)),
        };
        Ok(Self {
            layout: StreamLayout::new(header_len, segment_log2, layers),
            part_number,
            salt: fields.array()?,
            commitment: fields.array()?,
        })
    }
}

/// A header of the right structure. Nothing of it is verified.
pub(super) struct Header<'a> {
    pub(super) fixed: Fixed<'a>,
    bucket: BucketUid,
    version: VersionUid,
    part: Option<PartIdentity>,
    /// The object key, or in suite 2 the inner header; with its tag.
    sealed: &'a [u8],
    authenticated: &'a [u8],
    mac: &'a [u8; MAC_LEN_BYTES],
}

impl<'a> Header<'a> {
    /// Takes a header from the start of `bytes`.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let fixed = Fixed::parse(bytes)?;
        let bytes = bytes
            .get(..fixed.layout.header_len_bytes())
            .ok_or(FormatError::BadLength)?;
        let (authenticated, mac) = bytes
            .split_last_chunk::<MAC_LEN_BYTES>()
            .ok_or(FormatError::BadLength)?;

        let mut fields = Reader::new(authenticated);
        fields.take(FIXED_LEN_BYTES)?;
        let bucket = BucketUid::from_bytes(*uid_field(&mut fields, FIELD_BUCKET)?);
        let version = VersionUid::from_bytes(*uid_field(&mut fields, FIELD_VERSION)?);
        let part = match fixed.part_number {
            None => None,
            Some(number) => Some(PartIdentity {
                number,
                attempt: AttemptUid::from_bytes(*uid_field(&mut fields, FIELD_ATTEMPT)?),
            }),
        };
        let sealed = match fixed.layout.layers() {
            Layers::One => field(&mut fields, FIELD_NAME)?,
            Layers::Two => field(&mut fields, FIELD_INNER_HEADER)?,
        };
        if sealed.len() <= TAG_LEN_BYTES {
            return Err(FormatError::BadLength);
        }
        // One encoding only: as much padding as the alignment asks for, all of it zero.
        let padding = fields.take(fields.remaining())?;
        if padding.len() >= ALIGNMENT_BYTES {
            return Err(FormatError::BadLength);
        }
        if let Some(&byte) = padding.iter().find(|&&byte| byte != FIELD_PADDING) {
            return Err(FormatError::UnknownField(byte));
        }
        Ok(Self {
            fixed,
            bucket,
            version,
            part,
            sealed,
            authenticated,
            mac,
        })
    }

    /// Takes the header that was sealed in one of suite 2, all of it. It says nothing that the outer
    /// one does not; verification compares the rest.
    fn parse_inner(bytes: &'a [u8], outer: &Fixed<'_>) -> Result<Self, OpenError> {
        let inner = Self::parse(bytes)?;
        let layout = inner.fixed.layout;
        if layout.layers() != Layers::One
            || layout.segment_log2() != outer.layout.segment_log2()
            || layout.header_len_bytes() != bytes.len()
        {
            return Err(OpenError::Damaged);
        }
        Ok(inner)
    }

    /// Opens the object key and verifies with it.
    fn recover(
        &self,
        data_key: &DataKey,
    ) -> Result<(ObjectIdentity, Option<PartIdentity>), OpenError> {
        let mut name = self.sealed.to_vec();
        let name = name_cipher(data_key, self.fixed.salt, self.bucket, self.version)
            .open(SINGLE_USE_NONCE, &[], &mut name)
            .ok_or(OpenError::WrongKeyOrIdentity)?;
        let key = std::str::from_utf8(name)
            .ok()
            .and_then(|name| ObjectKey::parse(name).ok())
            .ok_or(OpenError::Damaged)?;
        let object = ObjectIdentity {
            bucket: self.bucket,
            key,
            version: self.version,
        };
        self.verify(data_key, &object, self.part)?;
        Ok((object, self.part))
    }

    /// Opens the inner header, which verifies it: outer key, salt and uids are the ones that sealed.
    fn open_inner(&self, outer: &OuterKey) -> Result<Vec<u8>, OpenError> {
        let mut inner = self.sealed.to_vec();
        let opened_len = strongroom_outer::open_inner_header(
            outer.expose(),
            self.fixed.salt,
            self.bucket,
            self.version,
            &mut inner,
        )
        .ok_or(OpenError::OuterLayer(OuterError::WrongKeyOrIdentity))?
        .len();
        inner.truncate(opened_len);
        Ok(inner)
    }

    /// As [`Header::verify`], for the outer layer.
    fn verify_outer(
        &self,
        outer: &OuterKey,
        object: &ObjectIdentity,
        part: Option<PartIdentity>,
    ) -> Result<strongroom_outer::SegmentCipher, OpenError> {
        let Fixed {
            layout,
            part_number: _,
            salt,
            commitment,
        } = &self.fixed;
        let keys = outer_keys(outer, salt, object, part, layout.segment_log2());
        if !keys.commits_to(commitment) {
            return Err(OpenError::OuterLayer(OuterError::WrongKeyOrIdentity));
        }
        if !keys.header_verifies(self.authenticated, self.mac) {
            return Err(OpenError::OuterLayer(OuterError::Damaged));
        }
        if (self.bucket, self.version, self.part) != (object.bucket, object.version, part) {
            return Err(OpenError::OuterLayer(OuterError::Damaged));
        }
        Ok(keys.segments())
    }

    /// Verifies commitment first, then the MAC; returns the cipher for the segments.
    fn verify(
        &self,
        data_key: &DataKey,
        object: &ObjectIdentity,
        part: Option<PartIdentity>,
    ) -> Result<Aead, OpenError> {
        let Fixed {
            layout,
            part_number: _,
            salt,
            commitment,
        } = &self.fixed;
        let keys = derive_keys(data_key, salt, object, part, layout.segment_log2());
        let [expected_commitment, segment_key, mac_key] = &*keys;
        if !bool::from(expected_commitment.ct_eq(*commitment)) {
            return Err(OpenError::WrongKeyOrIdentity);
        }
        let mac_key = hmac::Key::new(hmac::HMAC_SHA256, mac_key);
        hmac::verify(&mac_key, self.authenticated, self.mac).map_err(|_| OpenError::Damaged)?;
        // The clear copies are what recovery and support tools show: they must not tell otherwise.
        if (self.bucket, self.version, self.part) != (object.bucket, object.version, part) {
            return Err(OpenError::Damaged);
        }
        Ok(Aead::gcm(segment_key))
    }
}

/// `commitment || segment key || header MAC key`, from the data key and all that the stream is.
///
/// ```text
/// transcript = LP("SRB1") || LP(version) || LP(suite) || LP(log2) || LP(bucket uid) ||
///              LP(object key) || LP(version uid) || LP(BE32(part number)) || LP(attempt uid or "")
/// HKDF-SHA-512(salt, data key, "strongroom/1 stream" || 0x00 || SHA-512(transcript), 96)
/// ```
fn derive_keys(
    data_key: &DataKey,
    salt: &[u8; 32],
    object: &ObjectIdentity,
    part: Option<PartIdentity>,
    segment_log2: u8,
) -> crate::kdf::Derived<3> {
    let ObjectIdentity {
        bucket,
        key,
        version,
    } = object;
    let mut transcript = Vec::with_capacity(128 + key.as_bytes().len());
    put_prefixed(&mut transcript, MAGIC);
    put_prefixed(&mut transcript, &[VERSION]);
    put_prefixed(&mut transcript, &[SUITE_ONE_LAYER]);
    put_prefixed(&mut transcript, &[segment_log2]);
    put_prefixed(&mut transcript, bucket.as_bytes());
    put_prefixed(&mut transcript, key.as_bytes());
    put_prefixed(&mut transcript, version.as_bytes());
    put_prefixed(&mut transcript, &part_number(part).to_be_bytes());
    let attempt = part.map(|part| part.attempt);
    let attempt: &[u8] = attempt.as_ref().map_or(&[], |uid| uid.as_bytes());
    put_prefixed(&mut transcript, attempt);
    derive(
        salt,
        data_key.expose(),
        label::STREAM,
        &[&sha512(&transcript)],
    )
}

fn outer_keys(
    outer: &OuterKey,
    salt: &[u8; 32],
    object: &ObjectIdentity,
    part: Option<PartIdentity>,
    segment_log2: u8,
) -> OuterKeys {
    let identity = OuterIdentity {
        bucket: object.bucket,
        key: &object.key,
        version: object.version,
        part: part.map(|part| (part.number, part.attempt)),
        segment_log2,
    };
    OuterKeys::derive(outer.expose(), salt, &identity)
}

/// The cipher of the name. It cannot depend on the name, so that recovery can read it.
fn name_cipher(
    data_key: &DataKey,
    salt: &[u8; 32],
    bucket: BucketUid,
    version: VersionUid,
) -> Aead {
    let context: [&[u8]; 2] = [bucket.as_bytes(), version.as_bytes()];
    let keys = derive::<1>(salt, data_key.expose(), label::NAME, &context);
    let [key] = &*keys;
    // Zero nonce: the salt is fresh, so the key seals this one name.
    Aead::gcm(key)
}

fn part_number(part: Option<PartIdentity>) -> u32 {
    part.map_or(0, |part| u32::from(part.number.value()))
}

fn put_field(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    // No value is longer than a sealed object key, 1,040 bytes.
    let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.push(kind);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(value);
}

fn field<'a>(fields: &mut Reader<'a>, expected: u8) -> Result<&'a [u8], FormatError> {
    let kind = fields.u8()?;
    if kind != expected {
        return Err(FormatError::UnknownField(kind));
    }
    let len = fields.u16()?;
    fields.take(usize::from(len))
}

fn uid_field<'a>(fields: &mut Reader<'a>, expected: u8) -> Result<&'a [u8; 16], FormatError> {
    field(fields, expected)?
        .try_into()
        .map_err(|_| FormatError::BadLength)
}

/// Header length without padding.
const fn unpadded_len(content_len_bytes: usize, part: bool) -> usize {
    let uid_fields = if part { 3 } else { 2 };
    FIXED_LEN_BYTES
        + uid_fields * (FIELD_PREFIX_BYTES + 16)
        + FIELD_PREFIX_BYTES
        + content_len_bytes
        + TAG_LEN_BYTES
        + MAC_LEN_BYTES
}

const fn padded(unpadded_len_bytes: usize) -> usize {
    unpadded_len_bytes.next_multiple_of(ALIGNMENT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_copies_that_contradict_the_keys_are_refused() {
        let data_key = DataKey::random(&Ones);
        let object = ObjectIdentity {
            bucket: BucketUid::random(&Ones),
            key: ObjectKey::parse("key").unwrap(),
            version: VersionUid::random(&Ones),
        };
        let (mut header, _) = create_inner(&data_key, &object, None, 16, &Ones);
        let keys = derive_keys(&data_key, &[1; 32], &object, None, 16);
        let mac_key = hmac::Key::new(hmac::HMAC_SHA256, &keys[2]);
        // Byte 83 starts the bucket uid, byte 102 the version uid; the MAC is made to match.
        for (at, refused) in [(83, true), (102, true), (40_000, false)] {
            let mut changed = header.clone();
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= 1;
            }
            let (authenticated, mac) = changed.split_last_chunk_mut::<MAC_LEN_BYTES>().unwrap();
            mac.copy_from_slice(hmac::sign(&mac_key, authenticated).as_ref());
            let verified = Header::parse(&changed)
                .unwrap()
                .verify(&data_key, &object, None);
            assert_eq!(
                verified.err(),
                refused.then_some(OpenError::Damaged),
                "{at}"
            );
        }
        header.truncate(FIXED_LEN_BYTES);
        assert!(StreamLayout::parse(&header).is_ok());
    }

    struct Ones;

    impl Entropy for Ones {
        fn fill(&self, out: &mut [u8]) {
            out.fill(1);
        }
    }
}
