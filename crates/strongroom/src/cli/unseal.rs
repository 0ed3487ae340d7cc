//! `unseal`.

use std::path::PathBuf;

use clap::Args;

use super::store::DataArgs;

/// `unseal`.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct UnsealArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Give the server this key file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["fd", "pin", "retry", "forget"])]
    pub(crate) key_file: Option<PathBuf>,
    /// Give it what this file descriptor holds: a passphrase, shares (one a line) or a key file
    #[arg(long, value_name = "N", conflicts_with_all = ["pin", "retry", "forget"])]
    pub(crate) fd: Option<u32>,
    /// Ask for the PIN of the HSM's token
    #[arg(long, conflicts_with_all = ["retry", "forget"])]
    pub(crate) pin: bool,
    /// Ask nobody: try key files, credentials, HSMs and key services again, now
    #[arg(long, conflicts_with = "forget")]
    pub(crate) retry: bool,
    /// Forget the shares that were given so far
    #[arg(long)]
    pub(crate) forget: bool,
    /// Answer with JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

pub(super) const HELP: &str = "\
Examples:
  strongroom unseal                         asks for a passphrase or a share
  strongroom unseal --fd 3 3<passphrase
  strongroom unseal --key-file /media/usb/strongroom.key
  strongroom unseal --json                  for programs

With shares, one person after the other runs it; the server says how many are still needed, and
forgets them after 15 minutes without a further one. Shares and passphrases go to the server through
the socket in its data directory, and into no log.";
