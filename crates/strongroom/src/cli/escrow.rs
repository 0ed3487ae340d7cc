//! `escrow`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::store::{DataArgs, StoreArgs};

/// `escrow`.
#[derive(Args, Debug)]
pub(crate) struct EscrowArgs {
    #[command(subcommand)]
    pub(crate) action: EscrowAction,
}

/// What to do with escrows.
#[derive(Subcommand, Debug)]
pub(crate) enum EscrowAction {
    /// Make the keys of one who keeps escrows: a public one for the store, and a secret one
    #[command(
        after_help = "Example:\n  strongroom escrow generate-recipient --identity escrow.identity --recipient escrow.recipient"
    )]
    GenerateRecipient(EscrowGenerateArgs),
    /// Encrypt the key ring to a recipient
    #[command(
        after_help = "Example:\n  strongroom escrow export --recipient escrow.recipient --out ring.escrow"
    )]
    Export(EscrowExportArgs),
    /// Come back with an escrow: add a new seal to the key ring of a data directory
    #[command(after_help = OPEN_HELP)]
    Open(EscrowOpenArgs),
}

/// `escrow generate-recipient`.
#[derive(Args, Debug)]
pub(crate) struct EscrowGenerateArgs {
    /// Where the secret goes; must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: PathBuf,
    /// Where the public key goes; must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) recipient: PathBuf,
    /// Answer with JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// `escrow export`.
#[derive(Args, Debug)]
pub(crate) struct EscrowExportArgs {
    /// The public key of who keeps it
    #[arg(long, value_name = "FILE")]
    pub(crate) recipient: PathBuf,
    /// Where the escrow goes; must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Answer with JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// `escrow open`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("new seal").required(true).args(["new_key_file", "new_passphrase"]))]
pub(crate) struct EscrowOpenArgs {
    /// The escrow
    #[arg(long, value_name = "FILE")]
    pub(crate) escrow: PathBuf,
    /// The secret of who kept it
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: PathBuf,
    /// The new seal: a key file; made if it does not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) new_key_file: Option<PathBuf>,
    /// The new seal: a passphrase, asked for twice
    #[arg(long)]
    pub(crate) new_passphrase: bool,
    /// Take the new passphrase from the first line at this file descriptor
    #[arg(long, value_name = "N", requires = "new_passphrase")]
    pub(crate) passphrase_fd: Option<u32>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Answer with JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

pub(super) const HELP: &str = "\
Examples:
  strongroom escrow generate-recipient --identity escrow.identity --recipient escrow.recipient
  strongroom escrow export --recipient escrow.recipient --out ring.escrow
  strongroom escrow open --escrow ring.escrow --identity escrow.identity --new-key-file new.key

Somebody who never sees the data keeps what opens it. The recipient makes the keys and gives away
the public one; the store's operator exports the ring to it, again after seal rekey. When every
seal is lost, the recipient's secret and the escrow give the data directory a new seal.
X25519 and ML-KEM-768 together: both must be broken to open an escrow.";

const OPEN_HELP: &str = "\
Examples:
  strongroom escrow open --escrow ring.escrow --identity escrow.identity \\
    --new-key-file /media/usb/strongroom.key --data /srv/strongroom
  strongroom escrow open --escrow ring.escrow --identity escrow.identity --new-passphrase

The ring of the data directory gets one more seal, whether the server runs or not. If the ring is
missing or damaged, the escrow's takes its place.";
