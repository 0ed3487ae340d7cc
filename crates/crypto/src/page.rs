//! Encrypted pages of the index file.

use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit};
use aes::{Aes256Dec, Aes256Enc, Block};

use crate::ServiceKey;
use crate::kdf::{derive, label};

/// Length of a page, in bytes.
pub const PAGE_LEN_BYTES: usize = 4096;

/// Encrypts the pages of the index file in place, AES-256-XTS (IEEE 1619, NIST SP 800-38E).
///
/// It hides names from who has the disk, at no cost in space. It does **not** detect changes, and
/// it shows which pages changed between two looks: the values of rows carry their own tags.
///
/// A page is always whole blocks, so there is no ciphertext stealing, and all blocks of a page go
/// through the cipher at once: block by block, as the library does it that the tests compare with,
/// pages took half of the time of small durable writes.
pub struct PageCipher {
    encrypting: Aes256Enc,
    decrypting: Aes256Dec,
    tweaking: Aes256Enc,
}

impl PageCipher {
    /// Derives both XTS keys from the service key for [`Index`](crate::ServicePurpose::Index).
    pub fn new(service_key: &ServiceKey) -> Self {
        let keys = derive::<2>(&[0; 64], service_key.expose(), label::PAGE, &[]);
        let [data, tweak] = &*keys;
        Self::with_keys(data, tweak)
    }

    fn with_keys(data: &[u8; 32], tweak: &[u8; 32]) -> Self {
        Self {
            encrypting: Aes256Enc::new(data.into()),
            decrypting: Aes256Dec::new(data.into()),
            tweaking: Aes256Enc::new(tweak.into()),
        }
    }

    /// Encrypts whole pages in place; `page` is the number of the first.
    ///
    /// `page = XTS(data key, tweak key, tweak = LE128(page number), 4,096 bytes)`
    ///
    /// # Panics
    ///
    /// If `data` is not whole pages: a remainder would be a sector of another length.
    pub fn encrypt(&self, page: u64, data: &mut [u8]) {
        self.for_each_page(page, data, |blocks| self.encrypting.encrypt_blocks(blocks));
    }

    /// Decrypts whole pages in place; `page` is the number of the first.
    ///
    /// # Panics
    ///
    /// If `data` is not whole pages.
    pub fn decrypt(&self, page: u64, data: &mut [u8]) {
        self.for_each_page(page, data, |blocks| self.decrypting.decrypt_blocks(blocks));
    }

    /// `cipher(block ^ T(i)) ^ T(i)` for each block, with `T(0) = E(tweak key, LE128(page number))`
    /// and `T(i + 1) = T(i) * x` in GF(2^128).
    fn for_each_page(&self, first: u64, data: &mut [u8], cipher: impl Fn(&mut [Block])) {
        assert_whole_pages(data);
        let mut tweaks = [0_u128; PAGE_LEN_BYTES / 16];
        for (page, data) in (u128::from(first)..).zip(data.chunks_exact_mut(PAGE_LEN_BYTES)) {
            let mut start = Block::from(page.to_le_bytes());
            self.tweaking.encrypt_block(&mut start);
            let mut tweak = u128::from_le_bytes(start.into());
            for slot in &mut tweaks {
                *slot = tweak;
                let overflow = (tweak >> 127) * 0x87;
                tweak = (tweak << 1) ^ overflow;
            }
            let (blocks, _) = Block::slice_as_chunks_mut(data);
            xor(blocks, &tweaks);
            cipher(blocks);
            xor(blocks, &tweaks);
        }
    }
}

fn xor(blocks: &mut [Block], tweaks: &[u128]) {
    for (block, tweak) in blocks.iter_mut().zip(tweaks) {
        *block = (u128::from_le_bytes((*block).into()) ^ tweak)
            .to_le_bytes()
            .into();
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
    use aes::Aes256;
    use proptest::prelude::*;
    use xts_mode::{Xts128, get_tweak_default};

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

    proptest! {
        #[test]
        fn pages_are_what_the_library_makes(
            data_key: [u8; 32],
            tweak_key: [u8; 32],
            page: u64,
            plaintext in prop::collection::vec(any::<u8>(), 2 * PAGE_LEN_BYTES),
        ) {
            let own = PageCipher::with_keys(&data_key, &tweak_key);
            let library = Xts128::new(
                Aes256::new(&data_key.into()),
                Aes256::new(&tweak_key.into()),
            );
            let mut expected = plaintext.clone();
            library.encrypt_area(&mut expected, PAGE_LEN_BYTES, page.into(), get_tweak_default);
            let mut pages = plaintext.clone();
            own.encrypt(page, &mut pages);
            prop_assert_eq!(&pages, &expected);
            own.decrypt(page, &mut pages);
            prop_assert_eq!(pages, plaintext);
        }
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
