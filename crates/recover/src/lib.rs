//! Everything out of a data directory, without the server: for the day on which there is none.
//!
//! ```text
//!   snapshot + journal  --frames-->  rows  --+
//!   shred files, ring   ------------------->  keys  --+
//!   blob files, inline streams  -------------------->  objects  -->  DIR, and a report
//! ```
//!
//! Built on the format alone (`FORMAT.md`, crate `crypto`): it shares no code with the server's store
//! and services, so that what is wrong with those is not wrong here. It changes nothing in the data
//! directory, needs no index, goes on after damage, and says what it could not recover.

mod blobs;
pub mod footers;
pub mod frames;
mod keys;
pub mod manifest;
mod objects;
mod output;
#[expect(missing_docs, reason = "FORMAT.md, 16, says what each field is")]
pub mod records;
mod report;
pub mod rows;
mod stream;
mod unreferenced;

use std::io;
use std::path::PathBuf;

use strongroom_crypto::{CustomerKey, Keyring, Unsealed};

pub use report::{Counts, Loss, Outcome, Report};

/// Where everything is. Nothing of it is written to.
#[derive(Debug)]
pub struct Sources {
    /// The directory of `journal/` and `snapshot/`.
    pub meta: PathBuf,
    /// The directory of `blobs/`.
    pub blobs: PathBuf,
    /// The directory of the shred files, with `a/` and `b/`.
    pub shreds: PathBuf,
}

/// What is asked for.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Where everything is.
    pub sources: Sources,
    /// Where everything goes: a directory that does not exist, or is empty.
    pub out: PathBuf,
    /// The open key ring.
    pub ring: &'a Keyring<Unsealed>,
    /// Customer keys, for objects under SSE-C. Each is tried.
    pub customer_keys: &'a [CustomerKey],
    /// Also give out blobs that no row names: deleted objects that the collector has not reached,
    /// and parts of uploads. Done in any case where rows are missing.
    pub unreferenced: bool,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Reading snapshot and journal: bytes read, of all.
    Rows(u64, u64),
    /// Writing objects: versions done, of all.
    Objects(u64, u64),
    /// Reading blobs that no row names: files done, of all.
    Blobs(u64, u64),
}

/// Why nothing at all could be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The output directory holds something.
    #[error("{0} is not empty")]
    NotEmpty(PathBuf),
    /// A file of the output cannot be written, or a directory of the sources cannot be read.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

/// Recovers everything that can be recovered, and says what cannot.
///
/// Blocks for as long as it takes. Memory is bounded by the number of versions, not by their size.
///
/// # Errors
///
/// [`RecoverError`] where there is no way to go on. Damage is none: it is in the report.
pub fn recover(
    plan: &Plan<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, RecoverError> {
    open_all(plan, output::Output::create(&plan.out)?, progress)
}

/// Opens everything as [`recover`] does, verifies every byte, and writes nothing of it anywhere: what
/// it takes to say that a data directory can be recovered. Versions whose customer key is not given
/// are no losses as long as their ciphertext is whole. Sealed rows go through a nameless file in
/// `plan.out`.
///
/// # Errors
///
/// As [`recover`].
pub fn prove(plan: &Plan<'_>, progress: &mut dyn FnMut(Progress)) -> Result<Report, RecoverError> {
    open_all(plan, output::Output::nowhere(&plan.out), progress)
}

fn open_all(
    plan: &Plan<'_>,
    mut out: output::Output,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, RecoverError> {
    let mut report = Report::default();
    let rows = rows::Rows::read(plan, &out, &mut report, progress)?;
    let keys = keys::Keys::of(plan, &rows);
    keys.describe(&mut out, &rows, &mut report)?;
    let mut blobs = blobs::Blobs::list(&plan.sources.blobs)?;
    objects::recover(&keys, &rows, &mut blobs, &mut out, &mut report, progress)?;
    report.unclaimed = to_u64(blobs.unclaimed().count());
    // What no row names proves nothing of what rows do name.
    if !out.is_nowhere() && (plan.unreferenced || report.lacks_rows()) {
        unreferenced::recover(&keys, &rows, &blobs, &mut out, &mut report, progress)?;
    }
    out.finish(&report)?;
    Ok(report)
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Fixed-width integers and byte strings, from the front.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }
}
