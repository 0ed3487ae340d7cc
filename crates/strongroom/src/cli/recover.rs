//! `recover`.

use std::path::PathBuf;

use clap::Args;

use super::store::StoreArgs;

/// `recover`.
#[derive(Args, Debug)]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Where everything goes; must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// A customer key of SSE-C objects: 32 bytes, as they are or in base64; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) sse_c_key: Vec<PathBuf>,
    /// Also recover blobs that no row names: deleted objects and parts that were still to be removed
    #[arg(long)]
    pub(crate) unreferenced: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(super) const HELP: &str = "\
Example:
  strongroom recover --data /mnt/rescued/strongroom-data --key-file /media/usb/strongroom.key \\
    --out /mnt/plain

Needs neither server nor index, and changes nothing in the data directory: it reads the journal,
the snapshot, the blobs, the shred files and the key ring, and goes on where something is damaged.

What it writes is plaintext, readable by its owner alone:
  OUT/objects/BUCKET/KEY      the newest version of each object
  OUT/versions/BUCKET/KEY/ID  older versions
  OUT/unreferenced/...        what blobs tell of themselves, where rows are missing
  OUT/objects.jsonl           every version: file, SHA-256, headers, metadata, tags, encryption
  OUT/buckets.jsonl, OUT/kms-keys.jsonl, OUT/report.json

The exit code is 0 when everything that was found came out whole, and 5 otherwise.";
