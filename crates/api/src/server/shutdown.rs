//! The two steps of stopping: finish what runs, then cut.

use std::sync::Arc;

use tokio::sync::watch;

/// How far stopping has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Running,
    /// No new connections; requests that run may finish.
    Graceful,
    /// Every connection is dropped.
    Cut,
}

/// Tells a server to stop. Clones turn the same switch.
#[derive(Debug, Clone)]
pub struct ShutdownSwitch(Arc<watch::Sender<Phase>>);

/// What a server watches.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<Phase>);

impl ShutdownSwitch {
    /// Makes a switch and what is watched.
    pub fn new() -> (Self, Shutdown) {
        let (sender, receiver) = watch::channel(Phase::Running);
        (Self(Arc::new(sender)), Shutdown(receiver))
    }

    /// Goes one step further: the first time running requests may finish, the second time all
    /// connections are cut.
    pub fn stop(&self) {
        self.0.send_modify(|phase| {
            *phase = match phase {
                Phase::Running => Phase::Graceful,
                Phase::Graceful | Phase::Cut => Phase::Cut,
            }
        });
    }

    pub(super) fn cut(&self) {
        self.0.send_replace(Phase::Cut);
    }

    /// Stops at `SIGTERM` and `SIGINT`: the first finishes what runs, the second cuts.
    ///
    /// # Errors
    ///
    /// When the handlers cannot be installed.
    pub fn stop_on_signals(self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                self.stop();
            }
        });
        Ok(())
    }
}

impl Shutdown {
    /// Resolves as soon as stopping has come at least to its first step.
    pub async fn requested(&mut self) {
        self.reached(Phase::Graceful).await;
    }

    pub(super) async fn reached(&mut self, phase: Phase) {
        // A switch that nobody holds any more will not be turned.
        if self.0.wait_for(|now| *now >= phase).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
