//! `inspect`.

use clap::Args;

use super::store::StoreArgs;
use crate::explain::{ObjectTarget, Version, checked};

/// `inspect`.
#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The object
    #[arg(value_name = "s3://BUCKET/KEY")]
    pub(crate) object: ObjectTarget,
    /// The version, if not the current one
    #[arg(long, value_name = "ID", value_parser = checked::<Version>)]
    pub(crate) version_id: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(super) const HELP: &str = "\
Examples:
  strongroom inspect s3://photos/2025/a.jpg
  strongroom inspect s3://photos/2025/a.jpg --version-id ID --json

Shows the mode, what wraps each layer's key (version of the root key, ARN, material and state of the KMS
key), the encryption context, segments, where the body is stored, and which checksum is kept. Never a key:
no data key is opened. The running server is asked; without one, the key ring is opened by its seals.

The exit code is 1 when there is no such bucket, object or version.";
