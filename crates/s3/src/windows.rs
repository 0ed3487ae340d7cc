//! Buffers for the windows of bodies on their way out, used again and again: fresh ones cost zeroing
//! and page faults, which is as much as deciphering what comes into them.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Buffers kept for later, at most: about 8 MiB.
const KEPT_MAX: usize = 32;

/// Buffers that nobody uses now.
#[derive(Clone, Debug, Default)]
pub(crate) struct WindowPool(Arc<Mutex<Vec<Vec<u8>>>>);

/// A buffer on loan. Its bytes are whatever was in it: the borrower writes all of them.
pub(crate) struct Window {
    buffer: Vec<u8>,
    len: usize,
    home: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl WindowPool {
    /// A window of `len` bytes.
    pub(crate) fn take(&self, len: usize) -> Window {
        let mut buffer = self.0.lock().pop().unwrap_or_default();
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        Window {
            buffer,
            len,
            home: Arc::clone(&self.0),
        }
    }
}

impl Window {
    /// All of it.
    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.len).unwrap_or_default()
    }

    /// As shared bytes. The buffer goes home when the last of them is dropped.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Window {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let mut kept = self.home.lock();
        if kept.len() < KEPT_MAX {
            kept.push(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_when_the_last_piece_is_gone() {
        let pool = WindowPool::default();
        let mut window = pool.take(4);
        window.as_mut().copy_from_slice(b"abcd");
        let bytes = window.into_bytes();
        let piece = bytes.slice(1..3);
        drop(bytes);
        assert_eq!(pool.0.lock().len(), 0);
        assert_eq!(&piece[..], b"bc");
        drop(piece);
        assert_eq!(pool.0.lock().len(), 1);
        assert_eq!(pool.take(2).as_mut().len(), 2);
        assert_eq!(pool.take(9).as_mut().len(), 9);
    }
}
