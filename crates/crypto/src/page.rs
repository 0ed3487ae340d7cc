//! Encrypted pages of the index file.

use aes::Aes256;
use aes::cipher::{Array, Block, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

use crate::ServiceKey;
use crate::kdf::{derive, label};

/// Length of a page, in bytes.
pub const PAGE_LEN_BYTES: usize = 4096;

const BLOCK_LEN_BYTES: usize = 16;
const BLOCKS: usize = PAGE_LEN_BYTES / BLOCK_LEN_BYTES;

/// Encrypts the pages of the index file in place, AES-256-XTS (IEEE 1619, NIST SP 800-38E).
///
/// It hides names from who has the disk, at no cost in space. It does **not** detect changes, and
/// it shows which pages changed between two looks: the values of rows carry their own tags.
///
/// The mode is written out here, over whole pages: the crate for it encrypts block by block, which
/// is ten times slower than what the cipher can do. A test compares the two.
pub struct PageCipher {
    data: Aes256,
    tweak: Aes256,
}

impl PageCipher {
    /// Derives both XTS keys from the service key for [`Index`](crate::ServicePurpose::Index).
    pub fn new(service_key: &ServiceKey) -> Self {
        let keys = derive::<2>(&[0; 64], service_key.expose(), label::PAGE, &[]);
        let [data, tweak] = &*keys;
        Self {
            data: Aes256::new(data.into()),
            tweak: Aes256::new(tweak.into()),
        }
    }

    /// Encrypts whole pages in place; `page` is the number of the first.
    ///
    /// # Panics
    ///
    /// If `data` is not whole pages: a remainder would reach the disk in clear.
    pub fn encrypt(&self, page: u64, data: &mut [u8]) {
        self.each_page(page, data, |blocks| self.data.encrypt_blocks(blocks));
    }

    /// Decrypts whole pages in place; `page` is the number of the first.
    ///
    /// # Panics
    ///
    /// If `data` is not whole pages.
    pub fn decrypt(&self, page: u64, data: &mut [u8]) {
        self.each_page(page, data, |blocks| self.data.decrypt_blocks(blocks));
    }

    /// `C_j = E(data key, P_j xor T_j) xor T_j`, `T_j = E(tweak key, LE128(page)) * x^j`; and the
    /// same for decryption.
    fn each_page(&self, page: u64, data: &mut [u8], cipher: impl Fn(&mut [Block<Aes256>])) {
        assert_whole_pages(data);
        for (page, data) in (u128::from(page)..).zip(data.chunks_exact_mut(PAGE_LEN_BYTES)) {
            let tweaks = self.tweaks(page);
            let (blocks, _) = data.as_chunks_mut::<BLOCK_LEN_BYTES>();
            xor(blocks, &tweaks);
            cipher(Array::cast_slice_from_core_mut(blocks));
            xor(blocks, &tweaks);
        }
    }

    fn tweaks(&self, page: u128) -> [u128; BLOCKS] {
        let mut first = Array(page.to_le_bytes());
        self.tweak.encrypt_block(&mut first);
        let mut tweaks = [0; BLOCKS];
        let mut tweak = u128::from_le_bytes(first.0);
        for out in &mut tweaks {
            *out = tweak;
            // Times x in GF(2^128), without a branch on the tweak.
            tweak = (tweak << 1) ^ ((tweak >> 127) * 0x87);
        }
        tweaks
    }
}

fn xor(blocks: &mut [[u8; BLOCK_LEN_BYTES]], tweaks: &[u128; BLOCKS]) {
    for (block, tweak) in blocks.iter_mut().zip(tweaks) {
        *block = (u128::from_le_bytes(*block) ^ tweak).to_le_bytes();
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
    use proptest::prelude::*;
    use xts_mode::{Xts128, get_tweak_default};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn agrees_with_another_xts(
            page: u64, keys: [[u8; 32]; 2], byte: u8, pages in 0_usize..4,
        ) {
            let [data_key, tweak_key] = keys.map(|key| Aes256::new(&key.into()));
            let ours = PageCipher { data: data_key.clone(), tweak: tweak_key.clone() };
            let theirs = Xts128::new(data_key, tweak_key);
            let plaintext: Vec<u8> =
                (byte..=255).chain(0..=250).cycle().take(pages * PAGE_LEN_BYTES).collect();
            let (mut a, mut b) = (plaintext.clone(), plaintext.clone());
            ours.encrypt(page, &mut a);
            theirs.encrypt_area(&mut b, PAGE_LEN_BYTES, page.into(), get_tweak_default);
            prop_assert!(a == b);
            ours.decrypt(page, &mut a);
            prop_assert!(a == plaintext);
        }
    }

    #[test]
    #[should_panic(expected = "whole")]
    fn remainder_of_a_page_is_refused() {
        let cipher = Aes256::new(&[1; 32].into());
        let pages = PageCipher {
            data: cipher.clone(),
            tweak: cipher,
        };
        pages.encrypt(0, &mut [0; PAGE_LEN_BYTES + 16]);
    }
}
