//! The pages of the index, by their tags. It has no checksums without keys, and can be made anew from
//! journal and snapshot: so without keys its length alone is looked at.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use strongroom_crypto::{PageCipher, STORED_PAGE_LEN_BYTES};

use crate::pace::Pace;
use crate::report::Finding;
use crate::text::{to_u64, to_usize};

/// Pages that are read at once: 1 MiB.
const READ_PAGES: usize = 256;
/// How often a page is read again that a server may be writing just now.
const TRIES: u32 = 40;
const BETWEEN_TRIES: Duration = Duration::from_millis(25);
const FILE: &str = "meta/index.srx";

/// Verifies the pages of the index in `meta`. Pages that open, and findings.
///
/// # Errors
///
/// The operating system's. No index is no error: it is made anew.
pub(crate) fn check(
    meta: &Path,
    cipher: Option<&PageCipher>,
    pace: &Pace<'_>,
    on_line: bool,
) -> io::Result<(u64, Vec<Finding>)> {
    let mut findings = Vec::new();
    let file = match pace.open(&meta.join("index.srx")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, findings)),
        Err(error) => return Err(error),
    };
    let page_len = to_u64(STORED_PAGE_LEN_BYTES);
    let len = file.metadata()?.len();
    if len % page_len != 0 {
        let why = "the index is not a number of whole pages long";
        findings.push(Finding::damage("index", why).in_file(FILE).at(len));
    }
    let Some(cipher) = cipher else {
        return Ok((0, findings));
    };
    let pages = len / page_len;
    let mut sound = 0;
    let mut first = 0;
    while first < pages && !pace.is_cancelled() {
        let count = (pages - first).min(to_u64(READ_PAGES));
        let mut stored = vec![0; to_usize(count * page_len)];
        let filled = pace.read(&file, first * page_len, &mut stored)?;
        stored.truncate(filled);
        let (stored, _) = stored.as_chunks_mut::<STORED_PAGE_LEN_BYTES>();
        for (stored_page, page) in (first..).zip(stored) {
            if opens(cipher, stored_page, page)
                || (on_line && opens_soon(&file, cipher, stored_page)?)
            {
                sound += 1;
            } else {
                let why = format!("page {stored_page} of the index does not open");
                let at = stored_page * page_len;
                findings.push(Finding::damage("index", why).in_file(FILE).at(at));
            }
        }
        first += count;
    }
    Ok((sound, findings))
}

/// Whether a stored page opens at its place. One that was never written is zeros.
fn opens(cipher: &PageCipher, stored_page: u64, page: &mut [u8; STORED_PAGE_LEN_BYTES]) -> bool {
    let place = match stored_page {
        0 => 0,
        1 => u64::MAX,
        page => page - 1,
    };
    page.iter().all(|byte| *byte == 0) || cipher.open(place, page).is_ok()
}

/// As [`opens`], once the server has written it whole.
fn opens_soon(file: &File, cipher: &PageCipher, stored_page: u64) -> io::Result<bool> {
    for _ in 0..TRIES {
        thread::sleep(BETWEEN_TRIES);
        let mut page = [0; STORED_PAGE_LEN_BYTES];
        let at = stored_page * to_u64(STORED_PAGE_LEN_BYTES);
        match file.read_exact_at(&mut page, at) {
            Ok(()) => {}
            // The index has become shorter, or was replaced.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(true),
            Err(error) => return Err(error),
        }
        if opens(cipher, stored_page, &mut page) {
            return Ok(true);
        }
    }
    // A file that was replaced is nobody's any more.
    Ok(file.metadata()?.nlink() == 0)
}
