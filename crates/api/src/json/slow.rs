//! The slow lane: how many operations that compute for seconds run at once, and how many may wait.
//!
//! Making an RSA key takes a core for up to seconds. Without a bound a few clients take every worker
//! and every core, and nobody else is served.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many may wait for each that runs.
const WAITING_FOR_EACH: usize = 8;

/// Half the cores, and a short queue in front.
pub(crate) struct SlowLane {
    /// Those that run and those that wait.
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// The right to compute for long, until it is dropped.
pub(crate) struct SlowPlace {
    _running: OwnedSemaphorePermit,
    _admitted: OwnedSemaphorePermit,
}

impl SlowLane {
    /// As wide as half of this machine.
    pub(crate) fn of_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new((cores / 2).max(1), WAITING_FOR_EACH)
    }

    fn new(running: usize, waiting_for_each: usize) -> Self {
        let admitted = running.saturating_mul(waiting_for_each.saturating_add(1));
        Self {
            admitted: Arc::new(Semaphore::new(admitted)),
            running: Arc::new(Semaphore::new(running)),
        }
    }

    /// Waits for a place; `None` at once where too many wait already.
    pub(crate) async fn place(&self) -> Option<SlowPlace> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().ok()?;
        let running = Arc::clone(&self.running).acquire_owned().await.ok()?;
        Some(SlowPlace {
            _running: running,
            _admitted: admitted,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn some_run_some_wait_and_the_rest_is_refused() {
        let lane = SlowLane::new(1, 1);
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(first)) = pin!(lane.place()).poll(&mut context) else {
            panic!("the first runs");
        };
        let mut second = pin!(lane.place());
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert!(matches!(
            pin!(lane.place()).poll(&mut context),
            Poll::Ready(None)
        ));
        drop(first);
        let Poll::Ready(Some(second)) = second.poll(&mut context) else {
            panic!("the second runs after the first");
        };
        drop(second);
        assert!(matches!(
            pin!(lane.place()).poll(&mut context),
            Poll::Ready(Some(_))
        ));
    }
}
