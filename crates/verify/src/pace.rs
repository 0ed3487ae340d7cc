//! Reading at a bounded rate, beside others who read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};

use crate::text::to_u64;

/// Longest sleep at a time: a run that is stopped ends within it.
const NAP_MAX: Duration = Duration::from_millis(100);

/// Everything that is read from files goes through here.
pub(crate) struct Pace<'a> {
    bytes_per_second: Option<u64>,
    /// When the next byte may be read.
    free_at: Mutex<Instant>,
    done: AtomicU64,
    cancelled: &'a AtomicBool,
    /// A server works beside: pages that it has in memory are left there.
    on_line: bool,
}

impl<'a> Pace<'a> {
    pub(crate) fn new(
        bytes_per_second: Option<u64>,
        cancelled: &'a AtomicBool,
        on_line: bool,
    ) -> Self {
        Self {
            bytes_per_second: bytes_per_second.filter(|rate| *rate > 0),
            free_at: Mutex::new(Instant::now()),
            done: AtomicU64::new(0),
            cancelled,
            on_line,
        }
    }

    pub(crate) fn done_bytes(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Waits until so many bytes may be read.
    pub(crate) fn take(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
        let Some(rate) = self.bytes_per_second else {
            return;
        };
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
        let costs = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let begin = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let begin = (*free_at).max(Instant::now());
            *free_at = begin.checked_add(costs).unwrap_or(begin);
            begin
        };
        loop {
            let left = begin.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_cancelled() {
                return;
            }
            thread::sleep(left.min(NAP_MAX));
        }
    }

    /// Opens a file that is read once, front to back.
    pub(crate) fn open(&self, path: &std::path::Path) -> io::Result<File> {
        let file = File::open(path)?;
        // Advice: a system that does not take it is no worse off.
        let advice = if self.on_line {
            Advice::NoReuse
        } else {
            Advice::Sequential
        };
        let _ = fadvise(&file, 0, None, advice);
        Ok(file)
    }

    /// Fills `out` from `offset`, as far as the file goes; the number of bytes.
    pub(crate) fn read(&self, file: &File, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.take(to_u64(out.len()));
        let mut filled = 0;
        while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + to_u64(filled)) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Tells the system that a range is read now, so that the disk works while what came from it is
    /// opened; off line only: beside a server, all reading is paced.
    pub(crate) fn announce(&self, file: &File, offset: u64, len: u64) {
        if !self.on_line && self.bytes_per_second.is_none() {
            let len = std::num::NonZeroU64::new(len);
            let _ = fadvise(file, offset, len, Advice::WillNeed);
        }
    }

    /// Tells the system that a range will not be read again; off line only.
    pub(crate) fn release(&self, file: &File, offset: u64, len: u64) {
        if !self.on_line {
            let _ = fadvise(
                file,
                offset,
                std::num::NonZeroU64::new(len),
                Advice::DontNeed,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_bounds_what_is_read() {
        let never = AtomicBool::new(false);
        let pace = Pace::new(Some(1_000_000), &never, true);
        let began = Instant::now();
        for _ in 0..4 {
            pace.take(50_000);
        }
        // The first is free; each of the others waits for the one before.
        assert!(began.elapsed() >= Duration::from_millis(150));
        assert_eq!(pace.done_bytes(), 200_000);
    }

    #[test]
    fn a_run_that_is_stopped_does_not_wait() {
        let stopped = AtomicBool::new(true);
        let pace = Pace::new(Some(1), &stopped, true);
        let began = Instant::now();
        pace.take(1 << 20);
        pace.take(1 << 20);
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}
