//! The background thread that writes down when access keys were last used, so that a crash forgets
//! minutes of it and no more.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use strongroom_iam::Identities;

use super::background::{Background, Stuck};

/// How long it rests between rounds.
const ROUND_EVERY: Duration = Duration::from_secs(60);

/// Starts the thread.
///
/// # Errors
///
/// The operating system's, when it gives no thread.
pub(super) fn start(identities: Arc<Identities>, stuck: Stuck) -> io::Result<Background> {
    Background::start("key-uses", stuck, move || {
        if let Err(error) = identities.save_uses() {
            tracing::warn!(%error, "when access keys were last used is not written; tried again");
        }
        ROUND_EVERY
    })
}
