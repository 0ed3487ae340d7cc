//! One sync of a directory for everyone who waits for it.

use std::io;

use parking_lot::{Condvar, Mutex};

use crate::disk::Disk;

/// A directory whose syncs are shared: a sync that starts after a rename covers it, whoever asked.
#[derive(Debug)]
pub(super) struct DirSync {
    path: String,
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    requested: u64,
    completed: u64,
    running: bool,
    failed: bool,
}

impl DirSync {
    pub(super) fn new(path: String) -> Self {
        Self {
            path,
            state: Mutex::default(),
            done: Condvar::new(),
        }
    }

    /// Returns when a sync that started after this call was made has succeeded. After one failed,
    /// all fail.
    pub(super) fn sync(&self, disk: &dyn Disk) -> io::Result<()> {
        let mut state = self.state.lock();
        state.requested += 1;
        let mine = state.requested;
        while state.completed < mine {
            if state.failed {
                return Err(io::Error::other("an earlier sync of the directory failed"));
            }
            if state.running {
                self.done.wait(&mut state);
                continue;
            }
            state.running = true;
            let covers = state.requested;
            drop(state);
            let outcome = disk.sync_dir(&self.path);
            state = self.state.lock();
            state.running = false;
            match &outcome {
                Ok(()) => state.completed = covers,
                Err(_) => state.failed = true,
            }
            self.done.notify_all();
            outcome?;
        }
        Ok(())
    }
}
