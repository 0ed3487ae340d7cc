//! `reencrypt`.

use std::path::PathBuf;

use clap::Args;
use strongroom_types::kms::KeyArn;

use super::store::DataArgs;
use crate::reencrypt::{Target, parse_key};

/// `reencrypt`.
#[derive(Args, Debug)]
pub(crate) struct ReencryptArgs {
    /// The bucket, and how the keys of its objects begin
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) target: Target,
    /// The full ARN of the KMS key to use from now on
    #[arg(long, value_name = "KEY-ARN", value_parser = parse_key)]
    pub(crate) kms_key: KeyArn,
    /// Use an S3 Bucket Key, which asks the key service less often
    #[arg(long)]
    pub(crate) bucket_key: bool,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Write counts and every skipped version here, as JSON
    #[arg(long, value_name = "FILE.json")]
    pub(crate) report: Option<PathBuf>,
    /// Look at no more than N versions a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// Print the counts at the end as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(super) const HELP: &str = "\
Example:
  strongroom reencrypt s3://photos/2025/ --report done.json --kms-key \\
    $(aws kms describe-key --key-id alias/photos --query KeyMetadata.Arn --output text)

Every version of every object is looked at. Its data key is wrapped anew under the KMS key;
body, ETag, dates, tags and metadata stay, no byte of a body is read, and clients go on reading
and writing meanwhile. What is encrypted so already is left alone. New objects follow the
bucket's default encryption: set it first (aws s3api put-bucket-encryption).

The command needs the running server. It may be interrupted at any time, and so may the server:
how far it is stands in the store. The same command again goes on there; one with another key
begins anew.

SSE-C and DSSE-KMS versions cannot be updated; they are skipped and named in the report.
The exit code is 0 when nothing else was skipped, and 1 otherwise or when interrupted.";
