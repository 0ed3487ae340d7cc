//! What follows a commit at leisure: index, snapshots, and the end of old journal files.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::committer::Job;
use super::{Shared, StopOnPanic};
use crate::disk::is_full;
use crate::error::StoreError;
use crate::index::{self, Index, IndexError, IndexReader};
use crate::journal;
use crate::snapshot;
use crate::view::View;

/// How often a full disk is tried again.
const FULL_RETRY: Duration = Duration::from_millis(500);
/// How often a waiting checkpoint looks whether the committer waits for it.
const ANSWER_WAIT: Duration = Duration::from_millis(5);

/// State of the upkeep: who holds it works on the index.
pub(crate) struct Upkeep {
    /// Closed while the disk is full: the engine refuses to go on after an error.
    pub(crate) index: Option<Index>,
    /// The last commit in the index.
    pub(crate) position: u64,
    /// The last commit in the newest snapshot, and its length in bytes.
    pub(crate) snapshot: Option<(u64, u64)>,
}

impl Shared {
    /// The upkeep thread: serves until the store closes.
    pub(crate) fn run_upkeep(&self) {
        let _stop = StopOnPanic(self);
        loop {
            {
                let mut signal = self.signal.lock();
                while !signal.frozen && !signal.closing {
                    if !signal.index_full {
                        self.changed.wait(&mut signal);
                    } else if self.changed.wait_for(&mut signal, FULL_RETRY).timed_out() {
                        break;
                    }
                }
                if signal.closing {
                    return;
                }
                signal.frozen = false;
            }
            let mut upkeep = self.upkeep.lock();
            // Whoever closes waits for this lock, and nothing begins behind it.
            if self.signal.lock().closing {
                return;
            }
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
                // A program that ends after this call gives the upkeep thread no time for it, and
                // the journal of a store that is often restarted would grow without bounds. A
                // failure has been logged; it costs space only.
                if self.wants_snapshot(&upkeep) {
                    let _ = self.take_snapshot(&mut upkeep);
                }
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
        let applied = self.opened(upkeep).and_then(|index| {
            // The frozen rows stay in the view until all of them are in the index: they hide what
            // the index already holds of them.
            let step_bytes = self.options.step_bytes();
            let replace = &mut |reader| self.replace_index(reader);
            index.apply(&frozen.read(), last_sequence, step_bytes, replace)
        });
        if let Err(error) = applied {
            return Err(self.flush_failed(upkeep, error));
        }
        upkeep.position = last_sequence;
        let indexed = u64::try_from(frozen.read().used_bytes()).unwrap_or(u64::MAX);
        {
            let mut view = self.view.write();
            *view = Arc::new(View {
                active: Arc::clone(&view.active),
                frozen: None,
                index: Arc::clone(&view.index),
                generation: view.generation,
            });
        }
        {
            let mut signal = self.signal.lock();
            signal.index_full = false;
            signal.indexed_bytes = signal.indexed_bytes.saturating_add(indexed);
        }
        self.changed.notify_all();
        Ok(())
    }

    /// Lets readers see the index as it is behind a step.
    fn replace_index(&self, reader: IndexReader) {
        let mut view = self.view.write();
        *view = Arc::new(View {
            active: Arc::clone(&view.active),
            frozen: view.frozen.clone(),
            index: Arc::new(reader),
            generation: view.generation + 1,
        });
    }

    /// The index, opened again if it was closed.
    fn opened<'a>(&self, upkeep: &'a mut Upkeep) -> Result<&'a Index, IndexError> {
        let index = if let Some(index) = upkeep.index.take() {
            index
        } else {
            let file = self.disk.open(index::PATH).map_err(IndexError::Io)?;
            Index::open(file, self.keys.index(), self.options.index_cache_bytes)?
        };
        Ok(upkeep.index.insert(index))
    }

    /// If the disk is full, the index is closed until there is space. After any other failure the
    /// index file is given up: a sync that failed may have left pages that look written and are
    /// not, and the journal must not be cut on their word. Reads go on from the open file.
    fn flush_failed(&self, upkeep: &mut Upkeep, error: IndexError) -> StoreError {
        let full = matches!(&error, IndexError::Io(error) if is_full(error));
        let error = StoreError::from(error);
        metrics::counter!("strongroom_meta_checkpoint_failures_total").increment(1);
        tracing::error!(%error, "the index could not be written");
        if let Some(index) = upkeep.index.take() {
            index.give_up();
        }
        if full {
            self.signal.lock().index_full = true;
            self.changed.notify_all();
            return error;
        }
        self.stop(format!("the index: {error}"));
        let removed = self.disk.unlink(index::PATH);
        if let Err(error) = removed.and_then(|()| self.disk.sync_dir("")) {
            tracing::error!(%error, "the index could not be given up");
        }
        error
    }

    fn wants_snapshot(&self, upkeep: &Upkeep) -> bool {
        let last_len = upkeep.snapshot.map_or(0, |(_, len)| len);
        let enough = self.options.snapshot_after_bytes.max(last_len);
        let signal = self.signal.lock();
        // Each start begins a file of full length, however little the one before holds: what the
        // files take on the disk counts, too. The last one always stays.
        let files = u64::try_from(signal.segments.len().saturating_sub(1)).unwrap_or(u64::MAX);
        let on_disk = files.saturating_mul(self.options.journal_file_len_bytes);
        let in_journal = signal.journal_bytes.max(on_disk);
        signal.indexed_bytes > enough || in_journal > enough.saturating_mul(2)
    }

    fn take_snapshot(&self, upkeep: &mut Upkeep) -> Result<(), StoreError> {
        let position = upkeep.position;
        if upkeep
            .snapshot
            .is_none_or(|(sequence, _)| sequence < position)
        {
            // Nobody else replaces the view's index while the upkeep is held.
            let written = snapshot::write(
                self.disk.as_ref(),
                self.keys.as_ref(),
                self.entropy.as_ref(),
                &self.view().index,
                position,
                self.is_held(),
            );
            match written {
                Ok(len) => upkeep.snapshot = Some((position, len)),
                Err(error) => {
                    metrics::counter!("strongroom_meta_snapshot_failures_total").increment(1);
                    let journal_bytes = self.signal.lock().journal_bytes;
                    tracing::error!(
                        %error,
                        journal_bytes,
                        "no snapshot could be taken; the journal keeps growing"
                    );
                    return Err(error);
                }
            }
            let mut signal = self.signal.lock();
            signal.journal_bytes = 0;
            signal.indexed_bytes = 0;
        }
        self.delete_covered(upkeep)
    }

    /// Deletes the journal files that index and snapshot replace. The last file always stays.
    fn delete_covered(&self, upkeep: &Upkeep) -> Result<(), StoreError> {
        if self.is_held() {
            return Ok(());
        }
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
