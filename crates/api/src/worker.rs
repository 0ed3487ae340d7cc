//! The hop to a worker thread, where operations may block.

/// Runs `work`, which may block, on a worker thread. A panic there is an error of this one request:
/// `None`, as when the server stops.
pub(crate) async fn on_worker<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => Some(outcome),
        Err(error) => {
            tracing::error!(panicked = error.is_panic(), "an operation did not finish");
            None
        }
    }
}
