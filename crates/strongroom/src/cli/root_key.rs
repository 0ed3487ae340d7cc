//! `root-key`.

use clap::{Args, Subcommand};

use super::store::DataArgs;
use crate::config::Layer;

/// `root-key`.
#[derive(Args, Debug)]
pub(crate) struct RootKeyArgs {
    #[command(subcommand)]
    pub(crate) action: RootKeyAction,
}

impl RootKeyArgs {
    /// As a layer of settings.
    pub(crate) fn layer(&self) -> Layer {
        self.store().data.layer()
    }

    /// Which store, and how to print.
    pub(crate) const fn store(&self) -> &RootKeyStore {
        match &self.action {
            RootKeyAction::Status(store) => store,
            RootKeyAction::Rotate(args) | RootKeyAction::Rewrap(args) => &args.store,
            RootKeyAction::Retire(args) => &args.store,
        }
    }
}

/// What to do with the root key. All of it is done by the running server.
#[derive(Subcommand, Debug)]
pub(crate) enum RootKeyAction {
    /// Show its versions, and how far the server is with wrapping keys anew
    #[command(after_help = "Example:\n  strongroom root-key status --json")]
    Status(RootKeyStore),
    /// Make a new version; everything is wrapped anew in the background
    #[command(after_help = ROTATE_HELP)]
    Rotate(RootKeyRotate),
    /// Wrap anew once more what is not under the newest version
    #[command(after_help = "Example:\n  strongroom root-key rewrap --wait")]
    Rewrap(RootKeyRotate),
    /// Forget an old version, once nothing needs it
    #[command(after_help = RETIRE_HELP)]
    Retire(RootKeyRetire),
}

/// `root-key status`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RootKeyStore {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `root-key rotate` and `root-key rewrap`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RootKeyRotate {
    #[command(flatten)]
    pub(crate) store: RootKeyStore,
    /// Wait until everything is wrapped anew
    #[arg(long)]
    pub(crate) wait: bool,
}

/// `root-key retire`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RootKeyRetire {
    /// The version
    #[arg(value_name = "VERSION")]
    pub(crate) version: u32,
    #[command(flatten)]
    pub(crate) store: RootKeyStore,
}

const ROTATE_HELP: &str = "\
Example:
  strongroom root-key rotate --wait

From the answer on, every new key is wrapped by the new version. In the background all others
are wrapped anew: data keys of every version and of uploads in progress, key material of the
key service, the copies in blob files. No body is read or written, and clients go on.
root-key-rewrap-rate bounds how fast; after a crash it goes on where it was.

Old versions still unwrap until they are retired. A schedule: root-key-rotation-days.";

const RETIRE_HELP: &str = "\
Example:
  strongroom root-key retire 1

The server looks at every wrapped key once more. If one still needs the version, or a transfer
that began before the rotation is still running, nothing is retired and the answer says why.
Otherwise the version is forgotten, in both copies of the ring, and a signed report is left in
DIR/reports. A backup whose ring is older needs its own copy of the ring: keep that with it.";
