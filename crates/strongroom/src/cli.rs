//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use strongroom_types::AccountId;
use strongroom_types::kms::KeyArn;

use crate::config::Layer;
use crate::reencrypt::{Target, parse_key};

/// The whole command line.
#[derive(Parser, Debug)]
#[command(
    name = "strongroom",
    version,
    about = "An S3 server that encrypts every object",
    long_about = "An S3 server that encrypts every object at rest, always, and is used with any S3 client.",
    after_help = AFTER_HELP,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run the server; the first start makes everything it needs
    #[command(after_help = SERVE_HELP)]
    Serve(Box<Layer>),
    /// Print shell commands that point an AWS client at the server
    #[command(after_help = "Example:\n  eval \"$(strongroom env)\"\n  aws s3 ls")]
    Env(EnvArgs),
    /// The root access key
    Credentials(CredentialsArgs),
    /// The accounts of the server
    Account(AccountArgs),
    /// The seals that open the key ring
    Seal(SealArgs),
    /// Put everything in a bucket, or under a prefix, under a KMS key
    #[command(after_help = REENCRYPT_HELP)]
    Reencrypt(ReencryptArgs),
    /// Get every object out of a data directory, without the server
    #[command(after_help = RECOVER_HELP)]
    Recover(RecoverArgs),
    /// Run the start-up check alone: says what is wrong and what to do
    Check(Box<Layer>),
    /// Print the version
    Version,
}

/// What every command that reads a store takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreArgs {
    /// Where everything is kept [default: ./strongroom-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file, as for serve
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Key file that opens the key ring, if no server runs
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// `env`.
#[derive(Args, Debug)]
pub(crate) struct EnvArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Use the HTTPS endpoint, and trust the server's own certificate
    #[arg(long)]
    pub(crate) tls: bool,
}

/// `credentials`.
#[derive(Args, Debug)]
pub(crate) struct CredentialsArgs {
    #[command(subcommand)]
    pub(crate) action: CredentialsAction,
}

/// What to do with the root access key.
#[derive(Subcommand, Debug)]
pub(crate) enum CredentialsAction {
    /// Replace it; a running server refuses the old one at once
    #[command(after_help = "Example:\n  strongroom credentials rotate --account 123456789012")]
    Rotate(RotateArgs),
}

/// `credentials rotate`.
#[derive(Args, Debug)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Of this account [default: the one that the server was made with]
    #[arg(long, value_name = "ID", value_parser = parse_account)]
    pub(crate) account: Option<AccountId>,
}

/// `account`.
#[derive(Args, Debug)]
pub(crate) struct AccountArgs {
    #[command(subcommand)]
    pub(crate) action: AccountAction,
}

/// What to do with accounts.
#[derive(Subcommand, Debug)]
pub(crate) enum AccountAction {
    /// Make an account with a root user, and print its access key once
    #[command(
        after_help = "Example:\n  strongroom account create tests --json > tests-account.json"
    )]
    Create(AccountCreateArgs),
    /// Show all accounts
    List(AccountListArgs),
    /// Let nobody of an account sign in any more; its data stays, and others may use what they were
    /// allowed to
    #[command(after_help = "Example:\n  strongroom account disable 123456789012")]
    Disable(AccountIdArgs),
    /// Let an account's people sign in again
    Enable(AccountIdArgs),
}

/// `account create`.
#[derive(Args, Debug)]
pub(crate) struct AccountCreateArgs {
    /// Your name for it
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `account list`.
#[derive(Args, Debug)]
pub(crate) struct AccountListArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `account disable` and `account enable`.
#[derive(Args, Debug)]
pub(crate) struct AccountIdArgs {
    /// The account's id
    #[arg(value_parser = parse_account)]
    pub(crate) id: AccountId,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

fn parse_account(text: &str) -> Result<AccountId, String> {
    AccountId::parse(text).map_err(|error| error.to_string())
}

/// `seal`.
#[derive(Args, Debug)]
pub(crate) struct SealArgs {
    #[command(subcommand)]
    pub(crate) action: SealAction,
}

/// What to do with seals.
#[derive(Subcommand, Debug)]
pub(crate) enum SealAction {
    /// Show the seals of the key ring
    List(StoreArgs),
    /// Add a key file as a further seal, so that losing one file loses nothing
    #[command(after_help = "Example:\n  strongroom seal add --key-file /media/usb/strongroom.key")]
    Add(SealAddArgs),
    /// Try which seals open the key ring
    Test(StoreArgs),
}

/// `seal add`.
#[derive(Args, Debug)]
pub(crate) struct SealAddArgs {
    /// Where everything is kept [default: ./strongroom-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file, as for serve
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The new key file; made if it does not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: PathBuf,
    /// A key file that opens the ring now [default: the one that the first start made]
    #[arg(long, value_name = "FILE")]
    pub(crate) unseal_with: Option<PathBuf>,
}

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
    /// Where everything is kept [default: ./strongroom-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file, as for serve
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Write counts and every skipped version here, as JSON
    #[arg(long, value_name = "FILE.json")]
    pub(crate) report: Option<PathBuf>,
    /// Look at no more than N versions a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
}

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

impl ReencryptArgs {
    /// As a layer of settings.
    pub(crate) fn layer(&self) -> Layer {
        Layer {
            data: self.data.clone(),
            config: self.config.clone(),
            ..Layer::default()
        }
    }
}

impl StoreArgs {
    /// As a layer of settings.
    pub(crate) fn layer(&self) -> Layer {
        let Self {
            data,
            config,
            key_file,
        } = self.clone();
        Layer {
            data,
            config,
            key_file,
            ..Layer::default()
        }
    }
}

impl SealAddArgs {
    /// As a layer of settings.
    pub(crate) fn layer(&self) -> Layer {
        Layer {
            data: self.data.clone(),
            config: self.config.clone(),
            key_file: self.unseal_with.clone(),
            ..Layer::default()
        }
    }
}

const AFTER_HELP: &str = "\
First steps:
  strongroom serve                       start; keep it running
  eval \"$(strongroom env)\"               in another shell, same directory
  aws s3 mb s3://first
  aws s3 cp README.md s3://first/

Where things are kept:
  ./strongroom-data                      all data, encrypted (--data DIR)
  ~/.config/strongroom/keys/ID.key       the key that opens it: copy it somewhere safe.
                                         Whoever loses every copy has lost the data.

Settings come from flags, then STRONGROOM_* variables (STRONGROOM_LISTEN, ...), then the
TOML file of --config, then defaults. All three use the same names.

Exit codes:
  0 fine   1 other failure   2 usage or configuration   3 seal missing or wrong
  4 key ring damaged or missing   5 store damaged, locked or too new
  6 environment: permissions, disk space, ports, clock";

const SERVE_HELP: &str = "\
Examples:
  strongroom serve
  strongroom serve --data /srv/strongroom --key-file /etc/strongroom/root.key
  strongroom serve --listen off --listen-tls 0.0.0.0:443 --tls-cert c.pem --tls-key k.pem
  strongroom serve --config /etc/strongroom/strongroom.toml

Signals: SIGTERM or SIGINT stops gracefully, a second one at once; SIGHUP reads the
certificate files again. When it is ready, the last line on standard output is
`strongroom: ready http=ADDRESS https=ADDRESS`.";

const RECOVER_HELP: &str = "\
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

const REENCRYPT_HELP: &str = "\
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_names_every_exit_code() {
        let help = Cli::command().render_help().to_string();
        for code in 0..=6 {
            assert!(help.contains(&format!("{code} ")), "{code}");
        }
    }

    #[test]
    fn switches_take_an_optional_value() {
        let parse = |args: &[&str]| match Cli::try_parse_from(args).map(|cli| cli.command) {
            Ok(Command::Serve(layer)) => layer.danger_plain_http,
            _ => None,
        };
        assert_eq!(
            parse(&["strongroom", "serve", "--danger-plain-http"]),
            Some(true)
        );
        assert_eq!(
            parse(&["strongroom", "serve", "--danger-plain-http=false"]),
            Some(false)
        );
        assert_eq!(parse(&["strongroom", "serve"]), None);
    }
}
