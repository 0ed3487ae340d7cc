//! `kms`.

use clap::{Args, Subcommand};

use super::store::StoreArgs;

/// `kms`.
#[derive(Args, Debug)]
pub(crate) struct KmsArgs {
    #[command(subcommand)]
    pub(crate) action: KmsAction,
}

/// What to do with keys of the key service that `aws kms` cannot.
#[derive(Subcommand, Debug)]
pub(crate) enum KmsAction {
    /// Count everything that becomes unreadable with a key
    #[command(after_help = IMPACT_HELP)]
    Impact(ImpactArgs),
}

/// `kms impact`.
#[derive(Args, Debug)]
pub(crate) struct ImpactArgs {
    /// The key: its id, ARN or alias; one of another account by its ARN
    #[arg(value_name = "KEY")]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// End with exit code 14 if anything depends on the key
    #[arg(long)]
    pub(crate) fail_if_used: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const IMPACT_HELP: &str = "\
Examples:
  strongroom kms impact alias/photos
  strongroom kms impact arn:aws:kms:us-east-1:111122223333:key/ID --json
  strongroom kms impact alias/photos --fail-if-used && aws kms schedule-key-deletion --key-id ID

Counted are, per bucket and account: objects, versions and bytes under the key, also under S3 Bucket
Keys and with two layers; uploads in progress; buckets whose default encryption names the key; trails
that encrypt their log files with it; and for each material of the key, what is wrapped under it.
The key's aliases, grants and last use are shown. What clients have encrypted themselves with
kms:Encrypt or a data key is not known here.

The running server is asked, and goes on working; while none runs, the store is read as it is.
Exit codes: 0 counted   14 something depends on the key (with --fail-if-used)
            5 rows are damaged, so that not everything is known   others as always";
