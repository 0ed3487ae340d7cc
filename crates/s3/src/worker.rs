//! Hops to worker threads.

use tokio::task::{JoinHandle, spawn_blocking};

use crate::S3Error;

/// Runs `job`, which may block, on a worker thread.
///
/// # Errors
///
/// [`S3Error::Unavailable`] when the job panicked or the runtime is shutting down.
pub(crate) async fn on_worker<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, S3Error> {
    join(spawn_blocking(job)).await
}

/// The outcome of a job that was started with `spawn_blocking`.
///
/// # Errors
///
/// As [`on_worker`].
pub(crate) async fn join<T>(job: JoinHandle<T>) -> Result<T, S3Error> {
    job.await.map_err(|error| {
        tracing::error!(%error, "a worker did not finish");
        S3Error::Unavailable
    })
}
