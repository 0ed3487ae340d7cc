//! What a backup needs: files that stay while they are copied, and where they end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;

use super::{DurableMeta, Job, Shared};
use crate::error::StoreError;
use crate::{journal, snapshot};

/// Keeps snapshots and journal files from being deleted until it is dropped.
pub struct FilesHold(Arc<Shared>);

/// A moment of the store: with the files up to these lengths, everything that was committed before
/// it is there, and nothing that was committed after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The last commit before it.
    pub last_sequence: u64,
    /// The newest snapshot, if there is one.
    pub snapshot: Option<FileExtent>,
    /// The journal files behind the snapshot, oldest first.
    pub journal: Vec<FileExtent>,
}

/// The beginning of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileExtent {
    /// From the store's directory, with `/`.
    pub path: String,
    /// How much of it, in bytes. Of a journal file that was not read since the store was opened,
    /// this may be all of it, with the zeros behind its last frame.
    pub len_bytes: u64,
}

impl std::fmt::Debug for FilesHold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FilesHold")
    }
}

impl Drop for FilesHold {
    fn drop(&mut self) {
        self.0.holds.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    /// Whether files must stay.
    pub(super) fn is_held(&self) -> bool {
        self.holds.load(Ordering::Acquire) > 0
    }
}

impl DurableMeta {
    /// Lets no snapshot and no journal file be deleted while what it returns lives: the journal
    /// grows meanwhile. Waits for a deletion that is under way.
    pub fn hold_files(&self) -> FilesHold {
        let _upkeep = self.shared.upkeep.lock();
        self.shared.holds.fetch_add(1, Ordering::AcqRel);
        FilesHold(Arc::clone(&self.shared))
    }

    /// Where the store is now. Whoever copies the files holds them before.
    ///
    /// # Errors
    ///
    /// [`StoreError::Stopped`] when the store takes no commits any more: what is durable is not
    /// known then before the next start.
    pub fn mark(&self, _hold: &FilesHold) -> Result<Mark, StoreError> {
        let newest = self.shared.upkeep.lock().snapshot;
        let stopped = || StoreError::Stopped("the committer has stopped".to_owned());
        let (reply, answer) = sync_channel(1);
        if !self.send(Job::Mark(reply)) {
            return Err(stopped());
        }
        let (last_sequence, segments) = answer.recv().map_err(|_| stopped())?;
        if let Some(reason) = self.stopped() {
            return Err(StoreError::Stopped(reason));
        }
        let covered = newest.map_or(0, |(sequence, _)| sequence);
        let first = segments
            .iter()
            .rposition(|segment| segment.first_sequence <= covered + 1)
            .unwrap_or(0);
        let journal = segments.get(first..).unwrap_or_default().iter();
        Ok(Mark {
            last_sequence,
            snapshot: newest.map(|(sequence, len_bytes)| FileExtent {
                path: snapshot::path(sequence),
                len_bytes,
            }),
            journal: journal
                .map(|segment| FileExtent {
                    path: journal::path(segment.number),
                    len_bytes: segment.used_bytes,
                })
                .collect(),
        })
    }
}
