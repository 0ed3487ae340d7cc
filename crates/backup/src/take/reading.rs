//! Reading a file of the store: hashed as it goes, and telling the store that it is still needed.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use aws_lc_rs::digest::{Context, SHA256};

use super::{Origin, OriginError};
use crate::manifest::Digest;
use crate::{to_u64, up_to};

/// Part of a file, and the hash of what was read of it.
pub(super) struct Hashing<'a> {
    file: &'a fs::File,
    offset: u64,
    left: u64,
    context: Context,
}

impl<'a> Hashing<'a> {
    pub(super) fn new(file: &'a fs::File, offset: u64, left: u64) -> Self {
        Self {
            file,
            offset,
            left,
            context: Context::new(&SHA256),
        }
    }

    pub(super) fn finish(self) -> Digest {
        digest_of(self.context)
    }
}

impl Read for Hashing<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let chunk = up_to(out, self.left);
        if chunk.is_empty() {
            return Ok(0);
        }
        let count = self.file.read_at(chunk, self.offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.context.update(chunk.get(..count).unwrap_or_default());
        self.offset += to_u64(count);
        self.left -= to_u64(count);
        Ok(count)
    }
}

/// A source that keeps the store held while it is read.
pub(super) struct Living<'a, 'b> {
    pub(super) source: &'a mut Hashing<'b>,
    pub(super) origin: &'a mut dyn Origin,
    pub(super) failure: Option<OriginError>,
}

impl Read for Living<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Err(error) = self.origin.go_on() {
            self.failure = Some(error);
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.source.read(out)
    }
}

pub(super) fn digest_of(context: Context) -> Digest {
    let mut hash = [0; 32];
    let output = context.finish();
    hash.iter_mut()
        .zip(output.as_ref())
        .for_each(|(to, from)| *to = *from);
    Digest(hash)
}
