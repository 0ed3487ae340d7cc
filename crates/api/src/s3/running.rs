//! Calls that go on when their clients have gone away: what they change must be recorded, too.

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::watch;

/// The calls that go on. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Running(Arc<watch::Sender<()>>);

/// One of them, until it is dropped.
pub(crate) struct One {
    _counted: watch::Receiver<()>,
}

impl Default for Running {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(())))
    }
}

impl Running {
    /// Counts one more.
    pub(crate) fn one(&self) -> One {
        One {
            _counted: self.0.subscribe(),
        }
    }

    /// Runs `work` to its end, also when this future is dropped before. A panic of `work` is one here.
    pub(crate) async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let one = self.one();
        let work = tokio::spawn(async move {
            let outcome = work.await;
            drop(one);
            outcome
        });
        match work.await {
            Ok(outcome) => outcome,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The server has stopped: nobody gets an answer any more.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Waits until none is left.
    pub(crate) async fn settled(&self) {
        self.0.closed().await;
    }
}
