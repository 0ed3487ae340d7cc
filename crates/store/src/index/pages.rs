//! The engine's file, sealed page by page.
//!
//! ```text
//! stored page 0, 1     two copies of the engine's page 0, which it rewrites in place
//! stored page i + 1    the engine's page i
//! ```

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use redb::StorageBackend;
use strongroom_crypto::{PAGE_LEN_BYTES, PageCipher, STORED_PAGE_LEN_BYTES};

use crate::disk::DiskFile;
use crate::frame::to_u64;

/// The places of the two copies of page 0, as the cipher knows them.
const FIRST_PLACES: [u64; 2] = [0, u64::MAX];

/// A file of sealed pages.
///
/// A page that was never written is a hole, and reads as zeros: a stored page of zeros is not
/// opened. The engine never overwrites a page that its last durable state refers to, except its
/// first; of that one there are two copies, of which the synced one is left alone, so that a write
/// torn by a loss of power leaves the state before. Any other page that does not open is damage.
pub(super) struct SealedFile {
    file: Arc<dyn DiskFile>,
    cipher: PageCipher,
    first: Mutex<FirstPage>,
    /// Held while part of a page is replaced.
    partial: Mutex<()>,
    given_up: Arc<AtomicBool>,
}

/// What is known of the two copies of page 0.
#[derive(Default)]
struct FirstPage {
    /// The newer copy and its count; `None` before the first access.
    newest: Option<(usize, u64)>,
    /// The newest copy is synced, so that the next write goes to the other one.
    synced: bool,
}

impl SealedFile {
    pub(super) fn new(
        file: Arc<dyn DiskFile>,
        cipher: PageCipher,
        given_up: Arc<AtomicBool>,
    ) -> Self {
        Self {
            file,
            cipher,
            first: Mutex::new(FirstPage::default()),
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

    /// Reads and opens whole pages from page `start` on.
    fn read_pages(&self, start: u64, out: &mut [u8]) -> io::Result<()> {
        let (out, start) = match (start, out.split_first_chunk_mut::<PAGE_LEN_BYTES>()) {
            (0, Some((page, rest))) => {
                self.read_first(page)?;
                (rest, 1)
            }
            _ => (out, start),
        };
        if out.is_empty() {
            return Ok(());
        }
        let mut stored = vec![0; out.len() / PAGE_LEN_BYTES * STORED_PAGE_LEN_BYTES];
        self.file.read_at(stored_offset(start + 1), &mut stored)?;
        let (stored, _) = stored.as_chunks_mut::<STORED_PAGE_LEN_BYTES>();
        for ((place, stored), page) in (start..)
            .zip(stored)
            .zip(out.chunks_exact_mut(PAGE_LEN_BYTES))
        {
            if stored.iter().all(|byte| *byte == 0) {
                page.fill(0);
            } else {
                let (_, opened) = self
                    .cipher
                    .open(place, stored)
                    .map_err(|_| damaged(place))?;
                page.copy_from_slice(opened);
            }
        }
        Ok(())
    }

    /// Seals and writes whole pages from page `start` on.
    fn write_pages(&self, start: u64, pages: &[u8]) -> io::Result<()> {
        let (pages, _) = pages.as_chunks::<PAGE_LEN_BYTES>();
        let (pages, start) = match (start, pages.split_first()) {
            (0, Some((page, rest))) => {
                self.write_first(page)?;
                (rest, 1)
            }
            _ => (pages, start),
        };
        if pages.is_empty() {
            return Ok(());
        }
        let mut stored = Vec::with_capacity(pages.len() * STORED_PAGE_LEN_BYTES);
        for (place, page) in (start..).zip(pages) {
            self.cipher.seal(place, 0, page, &mut stored);
        }
        self.file.write_at(stored_offset(start + 1), &stored)
    }

    fn read_first(&self, out: &mut [u8; PAGE_LEN_BYTES]) -> io::Result<()> {
        let mut first = self.first.lock();
        let Some((copy, _)) = self.newest(&mut first)? else {
            out.fill(0);
            return Ok(());
        };
        match self.read_copy(copy)? {
            Copy::Page(_, page) => {
                out.copy_from_slice(&page);
                Ok(())
            }
            Copy::Hole | Copy::Torn => Err(damaged(0)),
        }
    }

    fn write_first(&self, page: &[u8; PAGE_LEN_BYTES]) -> io::Result<()> {
        let mut first = self.first.lock();
        let newest = self.newest(&mut first)?;
        let (copy, count) = match newest {
            Some((copy, count)) if first.synced => (1 - copy, count + 1),
            Some((copy, count)) => (copy, count + 1),
            None => (0, 1),
        };
        let mut stored = Vec::with_capacity(STORED_PAGE_LEN_BYTES);
        let place = FIRST_PLACES.get(copy).copied().unwrap_or_default();
        self.cipher.seal(place, count, page, &mut stored);
        self.file.write_at(stored_offset(to_u64(copy)), &stored)?;
        *first = FirstPage {
            newest: Some((copy, count)),
            synced: false,
        };
        Ok(())
    }

    /// The newer of the copies that open; `None` if neither was ever written.
    fn newest(&self, first: &mut FirstPage) -> io::Result<Option<(usize, u64)>> {
        if first.newest.is_none() && self.file.len_bytes()? > 0 {
            let copies = [self.read_copy(0)?, self.read_copy(1)?];
            for (index, copy) in copies.iter().enumerate() {
                if let Copy::Page(count, _) = copy
                    && first.newest.is_none_or(|(_, newest)| newest < *count)
                {
                    first.newest = Some((index, *count));
                }
            }
            if first.newest.is_none() && copies.iter().any(|copy| matches!(copy, Copy::Torn)) {
                return Err(damaged(0));
            }
            // A process that was killed may not have synced it. It is now the one to be spared.
            self.file.sync_data()?;
            first.synced = true;
        }
        Ok(first.newest)
    }

    fn read_copy(&self, copy: usize) -> io::Result<Copy> {
        let mut stored = [0; STORED_PAGE_LEN_BYTES];
        self.file
            .read_at(stored_offset(to_u64(copy)), &mut stored)?;
        if stored.iter().all(|byte| *byte == 0) {
            return Ok(Copy::Hole);
        }
        let place = FIRST_PLACES.get(copy).copied().unwrap_or_default();
        Ok(match self.cipher.open(place, &mut stored) {
            Ok((count, page)) => Copy::Page(count, page.to_vec()),
            Err(_) => Copy::Torn,
        })
    }
}

/// One copy of page 0.
enum Copy {
    /// Never written.
    Hole,
    /// Does not open.
    Torn,
    /// Opens.
    Page(u64, Vec<u8>),
}

impl fmt::Debug for SealedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedFile").finish_non_exhaustive()
    }
}

fn damaged(page: u64) -> io::Error {
    let text = format!("page {page} of the index does not verify");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn stored_offset(stored_page: u64) -> u64 {
    stored_page * to_u64(STORED_PAGE_LEN_BYTES)
}

/// The whole pages around a range: the first, their length in bytes, and how far into them the range
/// begins.
fn cover(offset: u64, len: usize) -> (u64, usize, usize) {
    let page = to_u64(PAGE_LEN_BYTES);
    let before = usize::try_from(offset % page).unwrap_or(0);
    (
        offset / page,
        (before + len).next_multiple_of(PAGE_LEN_BYTES),
        before,
    )
}

impl StorageBackend for SealedFile {
    fn len(&self) -> io::Result<u64> {
        let stored_pages = self.file.len_bytes()? / to_u64(STORED_PAGE_LEN_BYTES);
        Ok(stored_pages.saturating_sub(1) * to_u64(PAGE_LEN_BYTES))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (start, len, before) = cover(offset, out.len());
        if before == 0 && len == out.len() {
            return self.read_pages(start, out);
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
        match len / to_u64(PAGE_LEN_BYTES) {
            0 => self.file.set_len(0),
            pages => self.file.set_len(stored_offset(pages + 1)),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        // Under the lock, so that no write of page 0 is taken for synced that came behind the sync.
        let mut first = self.first.lock();
        self.file.sync_data()?;
        first.synced = true;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check_given_up()?;
        let (start, len, before) = cover(offset, data.len());
        if before == 0 && len == data.len() {
            return self.write_pages(start, data);
        }
        let _guard = self.partial.lock();
        let mut pages = vec![0; len];
        self.read_pages(start, &mut pages)?;
        if let Some(place) = pages.get_mut(before..before + data.len()) {
            place.copy_from_slice(data);
        }
        self.write_pages(start, &pages)
    }
}
