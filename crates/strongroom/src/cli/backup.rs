//! `backup` and `restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::store::StoreArgs;
use crate::backup::PlaceName;
use crate::config::Layer;

/// `backup`.
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    #[command(subcommand)]
    pub(crate) action: Option<BackupAction>,
    /// Where to: DIR or s3://BUCKET/PREFIX
    #[arg(long, value_name = "PLACE")]
    pub(crate) to: Option<PlaceName>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to do with backups, besides taking one.
#[derive(Subcommand, Debug)]
pub(crate) enum BackupAction {
    /// Show the backups in a place
    #[command(after_help = "Example:\n  strongroom backup list --from /mnt/backup")]
    List(BackupListArgs),
    /// Prove that a backup restores: restore it aside, read every object, sign a report
    #[command(after_help = DRILL_HELP)]
    Drill(Box<DrillArgs>),
    /// Remove old backups, and what only they need
    #[command(after_help = "Example:\n  strongroom backup prune --from /mnt/backup --keep 30")]
    Prune(BackupPruneArgs),
}

/// How a bucket is reached.
#[derive(Args, Clone, Debug)]
pub(crate) struct PlaceArgs {
    /// The S3 service of an s3:// place [default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or AWS]
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// Its region [default: AWS_REGION, AWS_DEFAULT_REGION, or us-east-1]
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
}

/// `backup list`.
#[derive(Args, Debug)]
pub(crate) struct BackupListArgs {
    /// DIR or s3://BUCKET/PREFIX
    #[arg(long, value_name = "PLACE")]
    pub(crate) from: PlaceName,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `backup prune`.
#[derive(Args, Debug)]
pub(crate) struct BackupPruneArgs {
    /// DIR or s3://BUCKET/PREFIX
    #[arg(long, value_name = "PLACE")]
    pub(crate) from: PlaceName,
    /// How many of the newest backups stay
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep: u32,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `backup drill`.
#[derive(Args, Debug)]
pub(crate) struct DrillArgs {
    /// DIR or s3://BUCKET/PREFIX
    #[arg(long, value_name = "PLACE")]
    pub(crate) from: PlaceName,
    /// Which backup [default: the newest]
    #[arg(long, value_name = "N")]
    pub(crate) number: Option<u64>,
    /// Where there is room for the whole backup, for a while [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
    /// Where the signed report goes [default: reports/ of the data directory, if there is one]
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// A customer key of SSE-C objects: 32 bytes, as they are or in base64; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) sse_c_key: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `restore`.
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// DIR or s3://BUCKET/PREFIX
    #[arg(long, value_name = "PLACE")]
    pub(crate) from: PlaceName,
    /// The data directory to make; must not exist, or be empty
    #[arg(long, value_name = "NEWDIR")]
    pub(crate) data: PathBuf,
    /// Which backup [default: the newest]
    #[arg(long, value_name = "N")]
    pub(crate) number: Option<u64>,
    /// Configuration file, as for serve
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Key file that opens the key ring
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// File descriptor that holds what opens it, as for serve
    #[arg(long, value_name = "N")]
    pub(crate) unseal_fd: Option<u32>,
    /// If every seal is lost: an escrow of the ring
    #[arg(long, value_name = "FILE", requires = "identity", conflicts_with_all = ["key_file", "unseal_fd"])]
    pub(crate) escrow: Option<PathBuf>,
    /// The secret of who kept the escrow
    #[arg(long, value_name = "FILE", requires = "escrow")]
    pub(crate) identity: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl RestoreArgs {
    /// As a layer of settings.
    pub(crate) fn layer(&self) -> Layer {
        Layer {
            data: Some(self.data.clone()),
            config: self.config.clone(),
            key_file: self.key_file.clone(),
            unseal_fd: self.unseal_fd,
            ..Layer::default()
        }
    }
}

pub(super) const HELP: &str = "\
Examples:
  strongroom backup --to /mnt/backup/strongroom
  strongroom backup --to s3://backups/strongroom --endpoint-url https://s3.example.org
  strongroom backup list --from /mnt/backup/strongroom
  strongroom backup drill --from /mnt/backup/strongroom

A running server goes on serving; everything that it acknowledged before the command's mark is in
the backup. Without a server the command opens the store itself, and needs a seal.
A second backup into the same place copies only what is new. One that is interrupted leaves those
before it whole; run it again.

What is copied is encrypted as it lies on the disk. Key files, credentials, TLS keys and other
files of the data directory are not copied: keep the seal apart, without it a backup is useless.
The key ring is in it, and opens with every seal that it had then: passphrases too.

Credentials for s3:// come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or
from ~/.aws/credentials; certificates to trust from AWS_CA_BUNDLE.";

const DRILL_HELP: &str = "\
Example:
  strongroom backup drill --from /mnt/backup/strongroom --key-file /media/usb/strongroom.key

Restores the backup into a temporary directory, opens it as a server would, reads every version of
every object, KMS keys included, verifies every byte, removes what it wrote, and leaves a signed
report. No plaintext is written. What is under customer keys is opened with --sse-c-key; without,
its ciphertext is compared with its checksums.

The exit code is 0 when everything came back, and 5 otherwise.";

pub(super) const RESTORE_HELP: &str = "\
Example:
  strongroom restore --from /mnt/backup/strongroom --data /srv/strongroom \\
    --key-file /media/usb/strongroom.key
  strongroom serve --data /srv/strongroom --key-file /media/usb/strongroom.key

Every piece is verified, and the manifest with a key of the ring; so a seal is needed. The directory
must be empty. One that was interrupted is no store: remove it, and begin anew.
KMS keys that were destroyed after the backup do not come back.";
