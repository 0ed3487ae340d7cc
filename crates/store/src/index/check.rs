//! Looking at an index that nobody uses, without changing it.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use strongroom_crypto::STORED_PAGE_LEN_BYTES;
use strongroom_ports::{MetaError, MetaStore, RowVersion, Scan, Table};

use super::{Index, IndexError, PATH};
use crate::disk::DiskFile;
use crate::frame::to_u64;
use crate::keys::StoreKeys;

/// Memory for pages while the index is looked at.
const CACHE_BYTES: usize = 16 << 20;
/// Rows that are compared at a time.
const PAGE_ROWS: usize = 512;
/// Differences that are told.
const TOLD_MAX: usize = 20;

/// What an index is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexCheck {
    /// The commit up to which it is complete.
    pub position: u64,
    /// Its rows.
    pub rows: u64,
    /// What is wrong, in words; the first few.
    pub damage: Vec<String>,
}

/// Holds the index in the metadata directory `meta` against `rows`, which are those of snapshot and
/// journal up to `last_commit`: its pages by the engine's checksums, its position, and every row.
/// `None` if there is no index. It is read and never written: what the engine would write on opening
/// stays in memory.
///
/// An index may be behind the journal. Then rows that were written since are not compared.
///
/// # Errors
///
/// The operating system's.
pub fn check_index(
    meta: &Path,
    keys: &dyn StoreKeys,
    rows: &dyn MetaStore,
    last_commit: u64,
) -> io::Result<Option<IndexCheck>> {
    let file = match File::open(meta.join(PATH)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len_bytes = file.metadata()?.len();
    if len_bytes == 0 {
        return Ok(None);
    }
    let overlay = Overlay {
        file,
        changed: Mutex::new(Changed {
            pages: HashMap::new(),
            len_bytes,
        }),
    };
    let mut check = IndexCheck::default();
    let looked = Index::open(Arc::new(overlay), keys.index(), CACHE_BYTES)
        .and_then(|index| look(index, rows, last_commit, &mut check));
    match looked {
        Ok(()) => {}
        Err(IndexError::Io(error)) => return Err(error),
        Err(IndexError::Unreadable(why)) => check.tell(why),
    }
    Ok(Some(check))
}

impl IndexCheck {
    fn tell(&mut self, why: impl Into<String>) {
        if self.damage.len() < TOLD_MAX {
            self.damage.push(why.into());
        }
    }
}

fn look(
    mut index: Index,
    rows: &dyn MetaStore,
    last_commit: u64,
    check: &mut IndexCheck,
) -> Result<(), IndexError> {
    check.position = index.position()?;
    if check.position > last_commit {
        let position = check.position;
        check.tell(format!(
            "the index knows commit {position}, and the journal ends at commit {last_commit}: acknowledged commits are missing"
        ));
    }
    let is_sound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        index.database.check_integrity()
    }));
    if !matches!(is_sound, Ok(Ok(true))) {
        check.tell("pages of the index do not belong together: some are older copies, or missing");
        return Ok(());
    }
    let reader = index.reader()?;
    let unreadable = |error: MetaError| IndexError::Unreadable(error.to_string());
    for row in reader.all().map_err(unreadable)? {
        let row = row.map_err(unreadable)?;
        check.rows += 1;
        let (table, key) = row.path.split_first().unwrap_or((&0, &[]));
        let stored = rows.read(Table(*table), key).map_err(unreadable)?;
        // The index is ahead of its position after a crash between two of its steps, and behind
        // the journal before one.
        let is_right = match stored {
            Some(stored) if stored.version == row.version => stored.value == row.value,
            Some(stored) => stored.version > row.version && stored.version.0 > check.position,
            None => check.position < last_commit,
        };
        if !is_right {
            check.tell(format!(
                "a row of table {table} in the index is not the journal's"
            ));
        }
    }
    for table in (0..=u8::MAX).map(Table) {
        let mut start = Bytes::new();
        loop {
            let page = rows
                .scan(&Scan {
                    table,
                    start: start.clone(),
                    end: None,
                    limit: PAGE_ROWS,
                    reverse: false,
                })
                .map_err(unreadable)?;
            for row in &page.rows {
                let known = reader.version(table, &row.key).map_err(unreadable)?;
                if row.version <= RowVersion(check.position) && known.is_none() {
                    check.tell(format!("a row of table {} is not in the index", table.0));
                }
            }
            match page.rows.last() {
                Some(last) if page.more => start = [last.key.as_ref(), &[0]].concat().into(),
                Some(_) | None => break,
            }
        }
    }
    Ok(())
}

/// A file, and over it what was written since.
struct Overlay {
    file: File,
    changed: Mutex<Changed>,
}

struct Changed {
    /// Stored pages by their numbers: the engine's file is read and written by whole ones.
    pages: HashMap<u64, Box<[u8; STORED_PAGE_LEN_BYTES]>>,
    len_bytes: u64,
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").finish_non_exhaustive()
    }
}

/// The pages that a range covers, which must be whole ones.
fn pages_of(offset: u64, len: usize) -> io::Result<u64> {
    let page = to_u64(STORED_PAGE_LEN_BYTES);
    if offset.is_multiple_of(page) && len.is_multiple_of(STORED_PAGE_LEN_BYTES) {
        Ok(offset / page)
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

impl DiskFile for Overlay {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changed = self.changed.lock();
        let first = pages_of(offset, out.len())?;
        if offset + to_u64(out.len()) > changed.len_bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (pages, _) = out.as_chunks_mut::<STORED_PAGE_LEN_BYTES>();
        for (number, page) in (first..).zip(pages) {
            if let Some(changed) = changed.pages.get(&number) {
                *page = **changed;
                continue;
            }
            let mut filled = 0;
            let at = number * to_u64(STORED_PAGE_LEN_BYTES);
            while let Some(rest) = page.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match self.file.read_at(rest, at + to_u64(filled))? {
                    // Behind the end of the file itself, which was extended with zeros.
                    0 => {
                        rest.fill(0);
                        break;
                    }
                    count => filled += count,
                }
            }
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut changed = self.changed.lock();
        let first = pages_of(offset, bytes.len())?;
        changed.len_bytes = changed.len_bytes.max(offset + to_u64(bytes.len()));
        let (pages, _) = bytes.as_chunks::<STORED_PAGE_LEN_BYTES>();
        for (number, page) in (first..).zip(pages) {
            changed.pages.insert(number, Box::new(*page));
        }
        Ok(())
    }

    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        let mut changed = self.changed.lock();
        changed.len_bytes = changed.len_bytes.max(len_bytes);
        Ok(())
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        let mut changed = self.changed.lock();
        let kept = len_bytes.div_ceil(to_u64(STORED_PAGE_LEN_BYTES));
        changed.pages.retain(|number, _| *number < kept);
        changed.len_bytes = len_bytes;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.changed.lock().len_bytes)
    }
}
