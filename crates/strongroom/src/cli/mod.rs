//! The command line: every verb, with what it takes and what its help says.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod escrow;
pub(crate) mod explain;
pub(crate) mod inspect;
pub(crate) mod kms;
pub(crate) mod recover;
pub(crate) mod reencrypt;
pub(crate) mod root_key;
pub(crate) mod seal;
pub(crate) mod serve;
pub(crate) mod store;
pub(crate) mod unseal;
pub(crate) mod verify;

use clap::{Parser, Subcommand};

use self::account::{AccountArgs, CredentialsArgs};
use self::audit::AuditArgs;
use self::backup::{BackupArgs, RestoreArgs};
use self::escrow::EscrowArgs;
use self::explain::{ExplainArgs, WhoCanDecryptArgs};
use self::inspect::InspectArgs;
use self::kms::KmsArgs;
use self::recover::RecoverArgs;
use self::reencrypt::ReencryptArgs;
use self::root_key::RootKeyArgs;
use self::seal::SealArgs;
use self::serve::{CheckArgs, EnvArgs};
use self::unseal::UnsealArgs;
use self::verify::VerifyArgs;
use crate::config::Layer;

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
    #[command(after_help = serve::HELP)]
    Serve(Box<Layer>),
    /// Print shell commands that point an AWS client at the server
    #[command(after_help = "Example:\n  eval \"$(strongroom env)\"\n  aws s3 ls")]
    Env(EnvArgs),
    /// The root access key
    #[command(after_help = "Example:\n  strongroom credentials rotate")]
    Credentials(CredentialsArgs),
    /// The accounts of the server
    #[command(
        after_help = "Examples:\n  strongroom account create tests\n  strongroom account list"
    )]
    Account(AccountArgs),
    /// The seals that open the key ring
    #[command(after_help = "Examples:\n  strongroom seal list\n  strongroom seal test")]
    Seal(SealArgs),
    /// Open the key ring of a running server that is sealed
    #[command(after_help = unseal::HELP)]
    Unseal(UnsealArgs),
    /// Put everything in a bucket, or under a prefix, under a KMS key
    #[command(after_help = reencrypt::HELP)]
    Reencrypt(ReencryptArgs),
    /// Versions of the root key, which wraps every data key
    #[command(
        after_help = "Examples:\n  strongroom root-key status\n  strongroom root-key rotate --wait"
    )]
    RootKey(RootKeyArgs),
    /// Copy the store, running or not, into a directory or a bucket; only what is new is copied
    #[command(after_help = backup::HELP, args_conflicts_with_subcommands = true)]
    Backup(Box<BackupArgs>),
    /// Make a data directory out of a backup
    #[command(after_help = backup::RESTORE_HELP)]
    Restore(RestoreArgs),
    /// Give a copy of the key ring to somebody to keep, encrypted to their key, and come back with it
    #[command(after_help = escrow::HELP)]
    Escrow(EscrowArgs),
    /// The audit trail: who used which key, when, for what
    #[command(
        after_help = "Examples:\n  strongroom audit tail\n  strongroom audit search --since 24h"
    )]
    Audit(AuditArgs),
    /// Get every object out of a data directory, without the server
    #[command(after_help = recover::HELP)]
    Recover(RecoverArgs),
    /// Read everything at rest and say what is damaged, missing, or none of the store's
    #[command(after_help = verify::HELP)]
    Verify(VerifyArgs),
    /// Keys of the key service
    #[command(after_help = "Example:\n  strongroom kms impact alias/photos")]
    Kms(KmsArgs),
    /// Show how an object is encrypted: mode, keys, versions, layers, segments, context
    #[command(after_help = inspect::HELP)]
    Inspect(InspectArgs),
    /// Say why somebody may or may not do something: which statement decides, and what is missing
    #[command(after_help = explain::HELP)]
    Explain(ExplainArgs),
    /// List everybody who can read an object's plaintext today, and by which rights
    #[command(after_help = explain::WHO_CAN_DECRYPT_HELP)]
    WhoCanDecrypt(WhoCanDecryptArgs),
    /// Run the start-up check alone: says what is wrong and what to do
    #[command(after_help = serve::CHECK_HELP)]
    Check(Box<CheckArgs>),
    /// Print the version
    #[command(after_help = "Example:\n  strongroom version")]
    Version,
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
  6 environment: permissions, disk space, ports, clock
  10 explain: denied   11 explain: it depends
  12 verify: damage   13 verify: files that are none of the store's
  14 kms impact --fail-if-used: something depends on the key";

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
        for code in (0..=6).chain(10..=14) {
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
