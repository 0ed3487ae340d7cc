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
pub struct PageCipher {
    cipher: Xts128<Aes256>,
}

impl PageCipher {
    /// Derives both XTS keys from the service key for [`Index`](crate::ServicePurpose::Index).
    pub fn new(service_key: &ServiceKey) -> Self {
        let keys = derive::<2>(&[0; 64], service_key.expose(), label::PAGE, &[]);
        let [data, tweak] = &*keys;
        Self {
            cipher: Xts128::new(Aes256::new(data.into()), Aes256::new(tweak.into())),
        }
    }

    /// Encrypts whole pages in place; `page` is the number of the first.
    ///
    /// # Panics
    ///
    /// If `data` is not whole pages: a remainder would reach the disk in clear.
    pub fn encrypt(&self, page: u64, data: &mut [u8]) {
        assert_whole_pages(data);
        self.cipher
            .encrypt_area(data, PAGE_LEN_BYTES, page.into(), get_tweak_default);
    }

    /// Decrypts whole pages in place; `page` is the number of the first.
    ///
    /// # Panics
    ///
    /// If `data` is not whole pages.
    pub fn decrypt(&self, page: u64, data: &mut [u8]) {
        assert_whole_pages(data);
        self.cipher
            .decrypt_area(data, PAGE_LEN_BYTES, page.into(), get_tweak_default);
    }
}

fn assert_whole_pages(data: &[u8]) {
    assert!(
        data.len().is_multiple_of(PAGE_LEN_BYTES),
        "index pages are encrypted whole"
    );
}
