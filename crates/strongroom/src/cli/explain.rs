//! `explain` and `who-can-decrypt`.

use clap::Args;
use strongroom_explain::{PrincipalAsk, ResourceAsk};

use super::store::DataArgs;
use crate::explain::{ObjectTarget, Version, checked, key_and_value};

/// `explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// The action, such as s3:GetObject or kms:Decrypt
    #[arg(value_name = "ACTION")]
    pub(crate) action: String,
    /// Who asks: the ARN of a user, role, session or root user, an account id, or anonymous
    #[arg(long = "as", value_name = "PRINCIPAL", value_parser = checked::<PrincipalAsk>)]
    pub(crate) principal: String,
    /// What it is done to: the ARN of a bucket, object, KMS key, alias or something of IAM, or *
    #[arg(long = "on", value_name = "ARN", value_parser = checked::<ResourceAsk>)]
    pub(crate) resource: String,
    /// A condition key of the request and its value; may be repeated, also for keys of many values
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub(crate) context: Vec<(String, String)>,
    /// The service that asks for the principal, as S3 asks for keys: s3
    #[arg(long, value_name = "SERVICE")]
    pub(crate) via: Option<String>,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// `who-can-decrypt`.
#[derive(Args, Debug)]
pub(crate) struct WhoCanDecryptArgs {
    /// The object
    #[arg(value_name = "s3://BUCKET/KEY")]
    pub(crate) object: ObjectTarget,
    /// The version, if not the current one
    #[arg(long, value_name = "ID", value_parser = checked::<Version>)]
    pub(crate) version_id: Option<String>,
    /// Show everybody else too, and why not
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// What every command that asks the server for a report takes.
#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

pub(super) const HELP: &str = "\
Examples:
  strongroom explain s3:GetObject --on arn:aws:s3:::photos/2025/a.jpg \\
    --as arn:aws:iam::111122223333:user/alice
  strongroom explain s3:PutObject --as 111122223333 --on s3://photos/a.jpg \\
    --context s3:x-amz-server-side-encryption=AES256 \\
    --context aws:SourceIp=192.0.2.7
  strongroom explain kms:Decrypt --via s3 \\
    --as arn:aws:iam::111122223333:role/app \\
    --on arn:aws:kms:us-east-1:111122223333:key/ID \\
    --context kms:EncryptionContext:app=web
  strongroom explain sts:AssumeRole --on arn:aws:iam::111122223333:role/app \\
    --as arn:aws:iam::111122223333:user/alice --json

The running server is asked, and decides as it would decide the request; nothing
is done. What is not given is assumed: over TLS, now. What depends on anything
else of a request (its address, MFA, how a role is assumed) is named rather than
guessed: the answer is then ALLOWED IF.
For s3:GetObject, the key of the object is explained as well.

Exit codes: 0 allowed, 10 denied, 11 allowed if, others as always.";

pub(super) const WHO_CAN_DECRYPT_HELP: &str = "\
Examples:
  strongroom who-can-decrypt s3://photos/2025/a.jpg
  strongroom who-can-decrypt s3://photos/2025/a.jpg --all --json

Each user, role and root user of every account is asked for: may it get the
object, and may it have its KMS key through S3, with the encryption context that
the object has? Listed are those with both rights, also by roles that they can
assume one after the other, each with the statements that give it the right;
then those with one half, and what they lack.
It is who can read today. Who may change policies can give himself the right;
this is not counted.

The running server is asked. The exit code is 0 whoever can read.";
