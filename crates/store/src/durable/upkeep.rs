//! What follows a commit at leisure: index, snapshots, and the end of old journal files.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::Shared;
use super::committer::Job;
use crate::disk::is_full;
use crate::error::StoreError;
use crate::index::{self, Index, IndexError};
use crate::journal;
use crate::snapshot;
use crate::view::View;

/// How often a waiting checkpoint looks whether the committer waits for it.
const ANSWER_WAIT: Duration = Duration::from_millis(5);

/// State of the upkeep: who holds it works on the index.
pub(crate) struct Upkeep {
    pub(crate) index: Index,
    /// The last commit in the index.
    pub(crate) position: u64,
    /// The last commit in the newest snapshot, and its length in bytes.
    pub(crate) snapshot: Option<(u64, u64)>,
}

impl Shared {
    /// The upkeep thread: serves until the store closes.
    pub(crate) fn run_upkeep(&self) {
        loop {
            {
                let mut signal = self.signal.lock();
                while !signal.frozen && !signal.closing {
                    self.changed.wait(&mut signal);
                }
                if signal.closing {
                    return;
                }
                signal.frozen = false;
            }
            let mut upkeep = self.upkeep.lock();
            // Errors have been logged, and stop the store where they must.
            if self.flush(&mut upkeep).is_ok() && self.wants_snapshot(&upkeep) {
                let _ = self.take_snapshot(&mut upkeep);
            }
        }
    }

    /// Moves all that was committed before the call into the index.
    pub(crate) fn checkpoint(&self, send: impl Fn(Job) -> bool) -> Result<(), StoreError> {
        loop {
            let mut upkeep = self.upkeep.lock();
            self.flush(&mut upkeep)?;
            // With the lock held: nobody else flushes, so what is frozen next waits for us.
            let (reply, answer) = sync_channel(1);
            if !send(Job::Freeze(reply)) {
                return Err(StoreError::Stopped("the committer has stopped".to_owned()));
            }
            let all = loop {
                match answer.recv_timeout(ANSWER_WAIT) {
                    Ok(all) => break all,
                    // The committer may be waiting for room before it gets to us.
                    Err(RecvTimeoutError::Timeout) => self.flush(&mut upkeep)?,
                    Err(RecvTimeoutError::Disconnected) => {
                        let text = "the committer has stopped".to_owned();
                        return Err(StoreError::Stopped(text));
                    }
                }
            };
            self.flush(&mut upkeep)?;
            if all {
                return Ok(());
            }
        }
    }

    /// Takes a snapshot of the index.
    pub(crate) fn snapshot(&self) -> Result<(), StoreError> {
        self.take_snapshot(&mut self.upkeep.lock())
    }

    /// Writes the frozen memtable, if there is one, into the index.
    fn flush(&self, upkeep: &mut Upkeep) -> Result<(), StoreError> {
        let Some((frozen, last_sequence)) = self.view().frozen.clone() else {
            return Ok(());
        };
        let applied = upkeep.index.apply(&frozen.read(), last_sequence);
        let applied = applied.and_then(|()| upkeep.index.reader());
        let reader = match applied {
            Ok(reader) => Arc::new(reader),
            Err(error) => return Err(self.flush_failed(upkeep, error)),
        };
        upkeep.position = last_sequence;
        {
            let mut view = self.view.write();
            *view = Arc::new(View {
                active: Arc::clone(&view.active),
                frozen: None,
                index: reader,
                generation: view.generation + 1,
            });
        }
        let _signal = self.signal.lock();
        self.changed.notify_all();
        Ok(())
    }

    /// The engine refuses to go on after an error, so it is opened again if the disk was only full.
    /// Else the index file is given up: a sync that failed may have left pages that look written
    /// and are not, and the journal must not be cut on their word.
    fn flush_failed(&self, upkeep: &mut Upkeep, error: IndexError) -> StoreError {
        let full = matches!(&error, IndexError::Io(error) if is_full(error))
            || matches!(&error, IndexError::Unreadable(_)
                if self.disk.available_bytes().is_ok_and(|free| free < self.options.floor_bytes));
        let error = StoreError::from(error);
        tracing::error!(%error, "the index could not be written");
        if full && self.reopen(upkeep).is_ok() {
            return StoreError::Io(io::ErrorKind::StorageFull.into());
        }
        self.stop(format!("the index: {error}"));
        let removed = self.disk.unlink(index::PATH);
        if let Err(error) = removed.and_then(|()| self.disk.sync_dir("")) {
            tracing::error!(%error, "the index could not be given up");
        }
        error
    }

    fn reopen(&self, upkeep: &mut Upkeep) -> Result<(), StoreError> {
        let file = self.disk.open(index::PATH)?;
        let index = Index::open(file, self.keys.index(), self.options.index_cache_bytes)?;
        if index.position()? != upkeep.position {
            return Err(StoreError::Index(
                "the index is at another commit".to_owned(),
            ));
        }
        upkeep.index = index;
        Ok(())
    }

    fn wants_snapshot(&self, upkeep: &Upkeep) -> bool {
        let last_len = upkeep.snapshot.map_or(0, |(_, len)| len);
        self.signal.lock().journal_bytes > self.options.snapshot_after_bytes.max(last_len)
    }

    fn take_snapshot(&self, upkeep: &mut Upkeep) -> Result<(), StoreError> {
        let position = upkeep.position;
        if upkeep
            .snapshot
            .is_none_or(|(sequence, _)| sequence < position)
        {
            let written = upkeep.index.reader().map_err(StoreError::from);
            let written = written.and_then(|reader| {
                snapshot::write(
                    self.disk.as_ref(),
                    self.keys.as_ref(),
                    self.entropy.as_ref(),
                    &reader,
                    position,
                )
            });
            match written {
                Ok(len) => upkeep.snapshot = Some((position, len)),
                Err(error) => {
                    tracing::error!(%error, "no snapshot could be taken; the journal keeps growing");
                    return Err(error);
                }
            }
            self.signal.lock().journal_bytes = 0;
        }
        self.delete_covered(upkeep)
    }

    /// Deletes the journal files that index and snapshot replace. The last file always stays.
    fn delete_covered(&self, upkeep: &Upkeep) -> Result<(), StoreError> {
        let covered = upkeep.snapshot.map_or(0, |(sequence, _)| sequence);
        let segments = self.signal.lock().segments.clone();
        for pair in segments.windows(2) {
            let [segment, next] = pair else { continue };
            if next.first_sequence > covered + 1 {
                break;
            }
            match self.disk.unlink(&journal::path(segment.number)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            let mut signal = self.signal.lock();
            signal.deleted.push(segment.number);
            signal.segments.retain(|kept| kept.number != segment.number);
        }
        // Oldest first, and without a sync between: a crash may keep any of them. A gap before
        // `covered` is of no consequence, and replay must accept it.
        self.disk.sync_dir(journal::DIRECTORY)?;
        Ok(())
    }
}
