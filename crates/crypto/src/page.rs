//! Sealed pages of the index file.

use crate::aead::{Aead, NONCE_LEN_BYTES, TAG_LEN_BYTES};
use crate::kdf::{derive, label};
use crate::{OpenError, ServiceKey};

/// Length of a page, in bytes.
pub const PAGE_LEN_BYTES: usize = 4096;
/// Length of a stored page, in bytes: `BE64(write count) || ciphertext(4096) || tag(16)`.
pub const STORED_PAGE_LEN_BYTES: usize = COUNT_LEN_BYTES + PAGE_LEN_BYTES + TAG_LEN_BYTES;

const COUNT_LEN_BYTES: usize = 8;

/// Seals the pages of the index file, AES-256-GCM-SIV (RFC 8452).
///
/// The place is the nonce, and a page is written many times under it: the cipher is made for that.
/// A repeated nonce tells whether a page was written twice with the same content, and nothing else.
/// What it cannot tell is whether a page is the newest that was written to its place.
pub struct PageCipher(Aead);

impl PageCipher {
    /// Derives the page key from the service key for [`Index`](crate::ServicePurpose::Index).
    pub fn new(service_key: &ServiceKey) -> Self {
        let keys = derive::<1>(&[0; 64], service_key.expose(), label::PAGE, &[]);
        let [key] = &*keys;
        Self(Aead::gcm_siv(key))
    }

    /// Seals a page for its place and appends it to `out`. `count` is bound and comes back when the
    /// page is opened: of two copies of a page it tells the newer.
    ///
    /// `GCM-SIV(page key, nonce = BE64(place) || 0(4), aad = "strongroom/1 page" || 0x00 || BE64(count), page)`
    pub fn seal(&self, place: u64, count: u64, page: &[u8; PAGE_LEN_BYTES], out: &mut Vec<u8>) {
        out.extend_from_slice(&count.to_be_bytes());
        let from = out.len();
        out.extend_from_slice(page);
        self.0.seal_tail(nonce(place), &aad(count), out, from);
    }

    /// Opens in place what [`PageCipher::seal`] made for the same place; returns count and page.
    ///
    /// # Errors
    ///
    /// [`OpenError::Damaged`] if it was sealed for another place, under another key, or changed; the
    /// buffer is wiped then.
    pub fn open<'a>(
        &self,
        place: u64,
        stored: &'a mut [u8; STORED_PAGE_LEN_BYTES],
    ) -> Result<(u64, &'a [u8]), OpenError> {
        let (count, sealed) = stored.split_first_chunk_mut().ok_or(OpenError::Damaged)?;
        let count = u64::from_be_bytes(*count);
        let page = self.0.open(nonce(place), &aad(count), sealed);
        Ok((count, page.ok_or(OpenError::Damaged)?))
    }
}

fn nonce(place: u64) -> [u8; NONCE_LEN_BYTES] {
    let mut nonce = [0; NONCE_LEN_BYTES];
    if let Some(head) = nonce.first_chunk_mut() {
        *head = place.to_be_bytes();
    }
    nonce
}

fn aad(count: u64) -> Vec<u8> {
    [label::PAGE.as_bytes(), &[0], &count.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ones;

    impl strongroom_types::Entropy for Ones {
        fn fill(&self, out: &mut [u8]) {
            out.fill(1);
        }
    }

    fn stored(place: u64, count: u64) -> (PageCipher, [u8; STORED_PAGE_LEN_BYTES]) {
        let cipher = PageCipher::new(&ServiceKey::random(&Ones));
        let mut out = Vec::new();
        cipher.seal(place, count, &[7; PAGE_LEN_BYTES], &mut out);
        (cipher, out.try_into().unwrap())
    }

    #[test]
    fn a_page_opens_in_its_place_only() {
        let (cipher, page) = stored(3, 9);
        assert_eq!(
            cipher.open(3, &mut page.clone()),
            Ok((9, &[7; PAGE_LEN_BYTES][..]))
        );
        assert_eq!(cipher.open(4, &mut page.clone()), Err(OpenError::Damaged));
        assert_ne!(page[8..], stored(4, 9).1[8..]);
        assert_ne!(page[8..], stored(3, 10).1[8..]);
    }

    #[test]
    fn every_changed_byte_is_an_error() {
        let (cipher, page) = stored(3, 9);
        for at in 0..page.len() {
            let mut changed = page;
            changed[at] ^= 1;
            assert_eq!(
                cipher.open(3, &mut changed),
                Err(OpenError::Damaged),
                "byte {at}"
            );
        }
    }
}
