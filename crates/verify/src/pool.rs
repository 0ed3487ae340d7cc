//! Workers, as many as there are processors, and what waits for them.
//!
//! Memory is bounded: a row more waits only when there is room, and a long stream is one entry, of
//! which each worker that is free takes the next piece.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use strongroom_ports::Row;

use crate::stream::Stream;

/// Rows that wait; each is 64 KiB at most.
const WAITING_MAX: usize = 128;

/// Something to do.
pub(crate) enum Job {
    /// A row of a table.
    Row(u8, Row),
    /// A blob file without keys.
    Blob([u8; 16]),
    /// What is left of a long stream.
    Help(Arc<Stream>),
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Workers that are at something.
    busy: usize,
    closed: bool,
}

/// The queue between who finds work and who does it.
#[derive(Default)]
pub(crate) struct Pool {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Pool {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; waits while there are many.
    pub(crate) fn add(&self, job: Job) {
        let mut waiting = self.lock();
        while waiting.jobs.len() >= WAITING_MAX && !waiting.closed {
            waiting = self
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        waiting.jobs.push_back(job);
        drop(waiting);
        self.changed.notify_all();
    }

    /// Asks `others` workers for help with a stream. Never waits: a worker calls it.
    pub(crate) fn ask_for_help(&self, stream: &Arc<Stream>, others: usize) {
        let mut waiting = self.lock();
        for _ in 0..others {
            waiting.jobs.push_front(Job::Help(Arc::clone(stream)));
        }
        drop(waiting);
        self.changed.notify_all();
    }

    /// Waits until nothing is left to do.
    pub(crate) fn drain(&self) {
        let mut waiting = self.lock();
        while (waiting.busy > 0 || !waiting.jobs.is_empty()) && !waiting.closed {
            waiting = self
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the workers go home when the queue is empty.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Works until the pool is closed.
    pub(crate) fn work(&self, mut each: impl FnMut(Job)) {
        loop {
            let job = {
                let mut waiting = self.lock();
                loop {
                    if let Some(job) = waiting.jobs.pop_front() {
                        waiting.busy += 1;
                        break job;
                    }
                    if waiting.closed {
                        return;
                    }
                    waiting = self
                        .changed
                        .wait(waiting)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            };
            self.changed.notify_all();
            let _busy = Busy(self);
            each(job);
        }
    }
}

/// A worker that is at something; also one that panics comes to an end.
struct Busy<'a>(&'a Pool);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.busy -= 1;
        // Nobody would wait for ever for who is gone; the panic itself ends the run.
        waiting.closed |= std::thread::panicking();
        drop(waiting);
        self.0.changed.notify_all();
    }
}
