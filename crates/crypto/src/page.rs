//! Encrypted pages of the index file.

use aes::Aes256;
use aes::cipher::KeyInit;
use xts_mode::{Xts128, get_tweak_default};

use crate::ServiceKey;
use crate::kdf::{derive, label};

/// Length of a page, in bytes.
pub const PAGE_LEN_BYTES: usize = 4096;

/// Encrypts the pages of the index file in place, AES-256-XTS (IEEE 1619, NIST SP 800-38E).
///
/// It hides names from who has the disk, at no cost in space. It does **not** detect changes, and
/// it shows which pages changed between two looks: the values of rows carry their own tags.
///
/// The mode is a library's, although that works block by block (about 20 us a page): pages are
/// crossed when the index is read from the disk or written behind, and the engine caches them.
pub struct PageCipher(Xts128<Aes256>);

impl PageCipher {
    /// Derives both XTS keys from the service key for [`Index`](crate::ServicePurpose::Index).
    pub fn new(service_key: &ServiceKey) -> Self {
        let keys = derive::<2>(&[0; 64], service_key.expose(), label::PAGE, &[]);
        let [data, tweak] = &*keys;
        Self(Xts128::new(
            Aes256::new(data.into()),
            Aes256::new(tweak.into()),
        ))
    }

    /// Encrypts whole pages in place; `page` is the number of the first.
    ///
    /// `page = XTS(data key, tweak key, tweak = LE128(page number), 4,096 bytes)`
    ///
    /// # Panics
    ///
    /// If `data` is not whole pages: a remainder would be a sector of another length.
    pub fn encrypt(&self, page: u64, data: &mut [u8]) {
        assert_whole_pages(data);
        self.0
            .encrypt_area(data, PAGE_LEN_BYTES, page.into(), get_tweak_default);
    }

    /// Decrypts whole pages in place; `page` is the number of the first.
    ///
    /// # Panics
    ///
    /// If `data` is not whole pages.
    pub fn decrypt(&self, page: u64, data: &mut [u8]) {
        assert_whole_pages(data);
        self.0
            .decrypt_area(data, PAGE_LEN_BYTES, page.into(), get_tweak_default);
    }
}

fn assert_whole_pages(data: &[u8]) {
    assert!(
        data.len().is_multiple_of(PAGE_LEN_BYTES),
        "index pages are encrypted whole"
    );
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

    fn cipher() -> PageCipher {
        PageCipher::new(&ServiceKey::random(&Ones))
    }

    #[test]
    fn pages_open_in_their_place_only() {
        let cipher = cipher();
        let plaintext: Vec<u8> = (0..=255).cycle().take(3 * PAGE_LEN_BYTES).collect();
        let mut pages = plaintext.clone();
        cipher.encrypt(7, &mut pages);
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            let page = |index: usize| &pages[index * PAGE_LEN_BYTES..][..PAGE_LEN_BYTES];
            assert_ne!(
                page(a),
                page(b),
                "equal pages look different in different places"
            );
        }
        let mut moved = pages[..PAGE_LEN_BYTES].to_vec();
        cipher.decrypt(8, &mut moved);
        assert_ne!(moved, plaintext[..PAGE_LEN_BYTES]);
        cipher.decrypt(7, &mut pages);
        assert_eq!(pages, plaintext);
    }

    #[test]
    #[should_panic(expected = "whole")]
    fn remainder_of_a_page_is_refused() {
        cipher().encrypt(0, &mut [0; PAGE_LEN_BYTES + 16]);
    }
}
