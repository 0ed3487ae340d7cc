//! The engine's file, encrypted page by page.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use redb::StorageBackend;

use crate::disk::DiskFile;
use crate::frame::to_u64;
use strongroom_crypto::PageCipher;

/// Length of an encrypted page. The engine's own pages are a multiple of it.
const PAGE_LEN_BYTES: usize = 4096;

/// A file of encrypted pages.
///
/// A page that was never written is a hole, and reads as zeros: a stored page of zeros is not
/// decrypted. Encryption in blocks of 16 bytes that depend only on their place keeps what the engine
/// relies on: a torn page is torn where the plaintext would be, and a block that is written again
/// unchanged stays the same on the disk.
pub(super) struct EncryptedFile {
    file: Arc<dyn DiskFile>,
    cipher: PageCipher,
    /// Held while part of a page is replaced.
    partial: Mutex<()>,
    given_up: Arc<AtomicBool>,
}

impl EncryptedFile {
    pub(super) fn new(
        file: Arc<dyn DiskFile>,
        cipher: PageCipher,
        given_up: Arc<AtomicBool>,
    ) -> Self {
        Self {
            file,
            cipher,
            partial: Mutex::new(()),
            given_up,
        }
    }

    /// An engine that was replaced after an error must not touch the file of its successor.
    fn check_given_up(&self) -> io::Result<()> {
        if self.given_up.load(Ordering::Acquire) {
            Err(io::Error::other("the index was opened again"))
        } else {
            Ok(())
        }
    }

    /// Reads and decrypts whole pages.
    fn read_pages(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, out)?;
        let first = offset / to_u64(PAGE_LEN_BYTES);
        for (page, data) in (first..).zip(out.chunks_exact_mut(PAGE_LEN_BYTES)) {
            if data.iter().any(|byte| *byte != 0) {
                self.cipher.decrypt(page, data);
            }
        }
        Ok(())
    }

    /// Encrypts and writes whole pages.
    fn write_pages(&self, offset: u64, mut pages: Vec<u8>) -> io::Result<()> {
        let first = offset / to_u64(PAGE_LEN_BYTES);
        for (page, data) in (first..).zip(pages.chunks_exact_mut(PAGE_LEN_BYTES)) {
            self.cipher.encrypt(page, data);
        }
        self.file.write_at(offset, &pages)
    }
}

impl fmt::Debug for EncryptedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedFile").finish_non_exhaustive()
    }
}

/// The whole pages around a range: where they begin, how long they are, and how far into them the
/// range begins.
fn cover(offset: u64, len: usize) -> (u64, usize, usize) {
    let page = to_u64(PAGE_LEN_BYTES);
    let start = offset / page * page;
    let before = usize::try_from(offset - start).unwrap_or(0);
    (
        start,
        (before + len).next_multiple_of(PAGE_LEN_BYTES),
        before,
    )
}

impl StorageBackend for EncryptedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (start, len, before) = cover(offset, out.len());
        if before == 0 && len == out.len() {
            return self.read_pages(offset, out);
        }
        let mut pages = vec![0; len];
        self.read_pages(start, &mut pages)?;
        match pages.get(before..before + out.len()) {
            Some(found) => {
                out.copy_from_slice(found);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_given_up()?;
        if !len.is_multiple_of(to_u64(PAGE_LEN_BYTES)) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the index grows by whole pages",
            ));
        }
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check_given_up()?;
        let (start, len, before) = cover(offset, data.len());
        if before == 0 && len == data.len() {
            return self.write_pages(offset, data.to_vec());
        }
        let _guard = self.partial.lock();
        let mut pages = vec![0; len];
        self.read_pages(start, &mut pages)?;
        if let Some(place) = pages.get_mut(before..before + data.len()) {
            place.copy_from_slice(data);
        }
        self.write_pages(start, pages)
    }
}
