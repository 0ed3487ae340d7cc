//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use strongroom_explain::{PrincipalAsk, ResourceAsk};
use strongroom_types::AccountId;
use strongroom_types::kms::KeyArn;

use crate::audit::AuditArgs;
use crate::backup::PlaceName;
use crate::config::{ByteSize, Layer};
use crate::explain::{ObjectTarget, Version, checked, key_and_value};
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
    #[command(after_help = UNSEAL_HELP)]
    Unseal(UnsealArgs),
    /// Put everything in a bucket, or under a prefix, under a KMS key
    #[command(after_help = REENCRYPT_HELP)]
    Reencrypt(ReencryptArgs),
    /// Versions of the root key, which wraps every data key
    #[command(
        after_help = "Examples:\n  strongroom root-key status\n  strongroom root-key rotate --wait"
    )]
    RootKey(RootKeyArgs),
    /// Copy the store, running or not, into a directory or a bucket; only what is new is copied
    #[command(after_help = BACKUP_HELP, args_conflicts_with_subcommands = true)]
    Backup(Box<BackupArgs>),
    /// Make a data directory out of a backup
    #[command(after_help = RESTORE_HELP)]
    Restore(RestoreArgs),
    /// Give a copy of the key ring to somebody to keep, encrypted to their key, and come back with it
    #[command(after_help = ESCROW_HELP)]
    Escrow(EscrowArgs),
    /// The audit trail: who used which key, when, for what
    #[command(
        after_help = "Examples:\n  strongroom audit tail\n  strongroom audit search --since 24h"
    )]
    Audit(AuditArgs),
    /// Get every object out of a data directory, without the server
    #[command(after_help = RECOVER_HELP)]
    Recover(RecoverArgs),
    /// Read everything at rest and say what is damaged, missing, or none of the store's
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyArgs),
    /// Keys of the key service
    #[command(after_help = "Example:\n  strongroom kms impact alias/photos")]
    Kms(KmsArgs),
    /// Show how an object is encrypted: mode, keys, versions, layers, segments, context
    #[command(after_help = INSPECT_HELP)]
    Inspect(InspectArgs),
    /// Say why somebody may or may not do something: which statement decides, and what is missing
    #[command(after_help = EXPLAIN_HELP)]
    Explain(ExplainArgs),
    /// List everybody who can read an object's plaintext today, and by which rights
    #[command(after_help = WHO_CAN_DECRYPT_HELP)]
    WhoCanDecrypt(WhoCanDecryptArgs),
    /// Run the start-up check alone: says what is wrong and what to do
    #[command(after_help = CHECK_HELP)]
    Check(Box<CheckArgs>),
    /// Print the version
    #[command(after_help = "Example:\n  strongroom version")]
    Version,
}

/// `check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) layer: Layer,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
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
    /// File descriptor that holds what opens it, as for serve
    #[arg(long, value_name = "N")]
    pub(crate) unseal_fd: Option<u32>,
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
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
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
    #[command(after_help = "Example:\n  strongroom account list --json")]
    List(AccountListArgs),
    /// Let nobody of an account sign in any more; its data stays, and others may use what they were
    /// allowed to
    #[command(after_help = "Example:\n  strongroom account disable 123456789012")]
    Disable(AccountIdArgs),
    /// Let an account's people sign in again
    #[command(after_help = "Example:\n  strongroom account enable 123456789012")]
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
    #[command(after_help = SEAL_LIST_HELP)]
    List(SealArgsOfStore),
    /// Add a seal, so that losing one loses nothing
    #[command(after_help = SEAL_ADD_HELP)]
    Add(Box<SealAddArgs>),
    /// Remove a seal; never the last one
    #[command(after_help = SEAL_REMOVE_HELP)]
    Remove(SealRemoveArgs),
    /// Draw a new unseal key and make every seal anew, so that old ones open no later ring
    #[command(after_help = SEAL_REKEY_HELP)]
    Rekey(SealRekeyArgs),
    /// Try every seal: opens, wrong, unreachable or damaged
    #[command(after_help = SEAL_TEST_HELP)]
    Test(SealArgsOfStore),
    /// Whether the server is sealed, why, and how many shares were given
    #[command(after_help = "Example:\n  strongroom seal status --data /srv/strongroom --json")]
    Status(SealArgsOfStore),
}

/// A store, and how to answer.
#[derive(Args, Debug)]
pub(crate) struct SealArgsOfStore {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Answer with JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// `seal add`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("kind").required(true).multiple(true).args([
    "key_file", "passphrase", "credential", "shares", "kms_key", "pkcs11_key", "tpm",
]))]
pub(crate) struct SealAddArgs {
    /// Where everything is kept [default: ./strongroom-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file, as for serve
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The new key file; made if it does not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// A credential that systemd hands over under this name; --key-file says where its text is
    #[arg(long, value_name = "NAME", requires = "key_file", conflicts_with_all = ["passphrase", "shares", "kms_key", "pkcs11_key"])]
    pub(crate) credential: Option<String>,
    /// A passphrase, asked for twice
    #[arg(long, conflicts_with_all = ["key_file", "shares", "kms_key", "pkcs11_key"])]
    pub(crate) passphrase: bool,
    /// Take the new passphrase from the first line at this file descriptor
    #[arg(long, value_name = "N", requires = "passphrase")]
    pub(crate) passphrase_fd: Option<u32>,
    /// A secret shared among N people
    #[arg(long, value_name = "N", requires = "threshold", conflicts_with_all = ["key_file", "kms_key", "pkcs11_key"],
          value_parser = clap::value_parser!(u8).range(2..=16))]
    pub(crate) shares: Option<u8>,
    /// How many of them must come together
    #[arg(long, value_name = "K", requires = "shares", value_parser = clap::value_parser!(u8).range(2..=16))]
    pub(crate) threshold: Option<u8>,
    /// ARN of a symmetric key of a key service, AWS's or another Strongroom's
    #[arg(long, value_name = "KEY-ARN", conflicts_with_all = ["key_file", "pkcs11_key"])]
    pub(crate) kms_key: Option<String>,
    /// That service's address [default: AWS's, of the key's region]
    #[arg(long, value_name = "URL", requires = "kms_key")]
    pub(crate) kms_endpoint: Option<String>,
    /// Label of a key in the token of --pkcs11-token
    #[arg(
        long,
        value_name = "LABEL",
        requires = "pkcs11_token",
        conflicts_with = "key_file"
    )]
    pub(crate) pkcs11_key: Option<String>,
    /// Label of the token
    #[arg(long, value_name = "LABEL", requires = "pkcs11_key")]
    pub(crate) pkcs11_token: Option<String>,
    /// The PKCS#11 library of the HSM, as for serve
    #[arg(long, value_name = "FILE")]
    pub(crate) pkcs11_module: Option<PathBuf>,
    /// File with the PIN of the token, as for serve
    #[arg(long, value_name = "FILE")]
    pub(crate) pkcs11_pin_file: Option<PathBuf>,
    /// The machine's TPM 2.0
    #[arg(long, conflicts_with_all = ["key_file", "passphrase", "shares", "kms_key", "pkcs11_key"])]
    pub(crate) tpm: bool,
    /// Only while these of its PCRs are as they are now, as in 7,11 [default: whatever they are]
    #[arg(long, value_name = "LIST", requires = "tpm")]
    pub(crate) tpm_pcrs: Option<String>,
    /// Another TPM than /dev/tpmrm0, as for serve
    #[arg(long, value_name = "FILE")]
    pub(crate) tpm_device: Option<PathBuf>,
    /// A key file that opens the ring now [default: the one that the first start made]
    #[arg(long, value_name = "FILE")]
    pub(crate) unseal_with: Option<PathBuf>,
    /// File descriptor that holds what opens the ring now
    #[arg(long, value_name = "N")]
    pub(crate) unseal_fd: Option<u32>,
    /// Answer with JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// `seal remove`.
#[derive(Args, Debug)]
pub(crate) struct SealRemoveArgs {
    /// The seal's number, as in `strongroom seal list`
    #[arg(value_name = "NUMBER")]
    pub(crate) number: usize,
    /// Draw a new unseal key too, and make the others anew: as seal rekey --drop NUMBER
    #[arg(long)]
    pub(crate) rekey: bool,
    /// With --rekey, as for seal rekey
    #[arg(long, value_name = "N", requires = "rekey")]
    pub(crate) passphrase_fd: Option<u32>,
    /// With --rekey, as for seal rekey
    #[arg(long, value_name = "FILE", requires = "rekey")]
    pub(crate) credential_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Answer with JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// `seal rekey`.
#[derive(Args, Debug)]
pub(crate) struct SealRekeyArgs {
    /// Remove this seal instead of making it anew; may be given several times
    #[arg(long, value_name = "NUMBER")]
    pub(crate) drop: Vec<usize>,
    /// Take new passphrases from the lines at this file descriptor, in the order of their seals
    #[arg(long, value_name = "N")]
    pub(crate) passphrase_fd: Option<u32>,
    /// Put a new key for seals that systemd hands over into this file [default: keep the one handed over]
    #[arg(long, value_name = "FILE")]
    pub(crate) credential_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Answer with JSON, for programs: new shares on a first line, what was done on the last
    #[arg(long)]
    pub(crate) json: bool,
}

/// `unseal`.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct UnsealArgs {
    /// Where everything is kept [default: ./strongroom-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file, as for serve
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
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

impl UnsealArgs {
    /// As a layer of settings.
    pub(crate) fn layer(&self) -> Layer {
        Layer {
            data: self.data.clone(),
            config: self.config.clone(),
            ..Layer::default()
        }
    }
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
    /// Print the counts at the end as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `root-key`.
#[derive(Args, Debug)]
pub(crate) struct RootKeyArgs {
    #[command(subcommand)]
    pub(crate) action: RootKeyAction,
}

/// What to do with the root key. All of it is done by the running server.
#[derive(Subcommand, Debug)]
pub(crate) enum RootKeyAction {
    /// Show its versions, and how far the server is with wrapping keys anew
    #[command(after_help = "Example:\n  strongroom root-key status --json")]
    Status(RootKeyStore),
    /// Make a new version; everything is wrapped anew in the background
    #[command(after_help = ROTATE_HELP)]
    Rotate(RootKeyRotate),
    /// Wrap anew once more what is not under the newest version
    #[command(after_help = "Example:\n  strongroom root-key rewrap --wait")]
    Rewrap(RootKeyRotate),
    /// Forget an old version, once nothing needs it
    #[command(after_help = RETIRE_HELP)]
    Retire(RootKeyRetire),
}

/// `root-key status`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RootKeyStore {
    /// Where everything is kept [default: ./strongroom-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file, as for serve
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `root-key rotate` and `root-key rewrap`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RootKeyRotate {
    #[command(flatten)]
    pub(crate) store: RootKeyStore,
    /// Wait until everything is wrapped anew
    #[arg(long)]
    pub(crate) wait: bool,
}

/// `root-key retire`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RootKeyRetire {
    /// The version
    #[arg(value_name = "VERSION")]
    pub(crate) version: u32,
    #[command(flatten)]
    pub(crate) store: RootKeyStore,
}

impl RootKeyArgs {
    /// As a layer of settings.
    pub(crate) fn layer(&self) -> Layer {
        let store = self.store();
        Layer {
            data: store.data.clone(),
            config: store.config.clone(),
            ..Layer::default()
        }
    }

    /// Which store, and how to print.
    pub(crate) const fn store(&self) -> &RootKeyStore {
        match &self.action {
            RootKeyAction::Status(store) => store,
            RootKeyAction::Rotate(args) | RootKeyAction::Rewrap(args) => &args.store,
            RootKeyAction::Retire(args) => &args.store,
        }
    }
}

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
    #[command(after_help = ESCROW_OPEN_HELP)]
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
    /// Where everything is kept [default: ./strongroom-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file, as for serve
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Answer with JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

impl EscrowOpenArgs {
    /// As a layer of settings.
    pub(crate) fn layer(&self) -> Layer {
        Layer {
            data: self.data.clone(),
            config: self.config.clone(),
            ..Layer::default()
        }
    }
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

/// `verify`.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Without any key: checksums alone, which find damage and not tampering
    #[arg(long)]
    pub(crate) sealed: bool,
    /// Read no more than so much a second, such as 50MiB/s
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) rate: Option<u64>,
    /// A customer key of SSE-C objects, as for recover; off line only; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) sse_c_key: Vec<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

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

fn parse_rate(text: &str) -> Result<u64, String> {
    let size = text.strip_suffix("/s").unwrap_or(text);
    match size.parse::<ByteSize>() {
        Ok(ByteSize(0)) | Err(_) => Err("a rate such as 50MiB/s is expected".to_owned()),
        Ok(ByteSize(bytes)) => Ok(bytes),
    }
}

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
    /// Where everything is kept [default: ./strongroom-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file, as for serve
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl ReportArgs {
    /// As a layer of settings.
    pub(crate) fn layer(&self) -> Layer {
        Layer {
            data: self.data.clone(),
            config: self.config.clone(),
            ..Layer::default()
        }
    }
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
            unseal_fd,
        } = self.clone();
        Layer {
            data,
            config,
            key_file,
            unseal_fd,
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
            unseal_fd: self.unseal_fd,
            pkcs11_module: self.pkcs11_module.clone(),
            pkcs11_pin_file: self.pkcs11_pin_file.clone(),
            tpm_device: self.tpm_device.clone(),
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
  6 environment: permissions, disk space, ports, clock
  10 explain: denied   11 explain: it depends
  12 verify: damage   13 verify: files that are none of the store's
  14 kms impact --fail-if-used: something depends on the key";

const SERVE_HELP: &str = "\
Examples:
  strongroom serve
  strongroom serve --data /srv/strongroom --key-file /etc/strongroom/root.key
  strongroom serve --listen off --listen-tls 0.0.0.0:443 --tls-cert c.pem --tls-key k.pem
  strongroom serve --config /etc/strongroom/strongroom.toml

Signals: SIGTERM or SIGINT stops gracefully, a second one at once; SIGHUP reads the
certificate files again. When it is ready, the last line on standard output is
`strongroom: ready http=ADDRESS https=ADDRESS`.";

const CHECK_HELP: &str = "\
Examples:
  strongroom check --data /srv/strongroom
  strongroom check --config /etc/strongroom/strongroom.toml --json

Takes the settings of serve, and changes nothing. The exit code is that of the first finding that
would stop the server, and 0 if none would.";

const SEAL_LIST_HELP: &str = "\
Example:
  strongroom seal list --data /srv/strongroom

One line a seal: number, kind, where it is, when it was added. Nothing that is shown is secret.";

const SEAL_ADD_HELP: &str = "\
Examples:
  strongroom seal add --key-file /media/usb/strongroom.key
  strongroom seal add --passphrase
  strongroom seal add --shares 5 --threshold 3
  strongroom seal add --credential strongroom.key --key-file /etc/strongroom/unseal.key
  strongroom seal add --kms-key arn:aws:kms:eu-central-1:111122223333:key/ID --kms-endpoint https://kms.example.org
  strongroom seal add --pkcs11-module /usr/lib/softhsm/libsofthsm2.so --pkcs11-token prod --pkcs11-key strongroom
  strongroom seal add --tpm --tpm-pcrs 7

Any one seal opens everything. The ring is opened with a seal that it has: the key file of the first
start, --unseal-with FILE, --unseal-fd N, or a passphrase or shares at the terminal. The new seal is
proven before and after it is written. A running server goes on.

Shares are printed once, on standard output: give each to another person, on paper.";

const SEAL_REKEY_HELP: &str = "\
Examples:
  strongroom seal rekey
  strongroom seal rekey --drop 2                     seal 2 is lost, or its owner has left
  strongroom seal rekey --passphrase-fd 3 3<new
  strongroom seal rekey --credential-file /etc/strongroom/unseal.key

Who kept a removed seal and an old copy of the ring knows the unseal key, and could open every later
ring with it; after this, no later one. Every seal is made anew: key files get a new key, passphrases
are asked for, shares are dealt anew and printed once, key services and HSMs protect a new one. A
seal that cannot be reached is not passed over: bring it, or give it up with --drop.

A running server goes on. A crash at any moment leaves a ring that opens by the old seals or by the
new ones. Root keys and service keys stay: new root keys come from strongroom root-key rotate.";

const SEAL_REMOVE_HELP: &str = "\
Examples:
  strongroom seal remove 1
  strongroom seal remove 1 --rekey

The last seal stays, and at least one of those that are left must open the ring now.
Old copies of the key ring, in backups, still open with the seal that was removed, and give the
unseal key, which opens later rings too: --rekey draws a new one (see strongroom seal rekey --help).";

const SEAL_TEST_HELP: &str = "\
Examples:
  strongroom seal test
  strongroom seal test --unseal-fd 3 3<passphrase

Passphrases, shares and PINs are asked for at a terminal; without one, and without --unseal-fd, their
seals are not tried, which is no failure.

Exit codes: 0 every seal that was tried opens   3 one is wrong   4 one is damaged
            6 one cannot be reached (file missing, device unplugged, service silent)";

const UNSEAL_HELP: &str = "\
Examples:
  strongroom unseal                         asks for a passphrase or a share
  strongroom unseal --fd 3 3<passphrase
  strongroom unseal --key-file /media/usb/strongroom.key
  strongroom unseal --json                  for programs

With shares, one person after the other runs it; the server says how many are still needed, and
forgets them after 15 minutes without a further one. Shares and passphrases go to the server through
the socket in its data directory, and into no log.";

const ROTATE_HELP: &str = "\
Example:
  strongroom root-key rotate --wait

From the answer on, every new key is wrapped by the new version. In the background all others
are wrapped anew: data keys of every version and of uploads in progress, key material of the
key service, the copies in blob files. No body is read or written, and clients go on.
root-key-rewrap-rate bounds how fast; after a crash it goes on where it was.

Old versions still unwrap until they are retired. A schedule: root-key-rotation-days.";

const RETIRE_HELP: &str = "\
Example:
  strongroom root-key retire 1

The server looks at every wrapped key once more. If one still needs the version, or a transfer
that began before the rotation is still running, nothing is retired and the answer says why.
Otherwise the version is forgotten, in both copies of the ring, and a signed report is left in
DIR/reports. A backup whose ring is older needs its own copy of the ring: keep that with it.";

const BACKUP_HELP: &str = "\
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

const RESTORE_HELP: &str = "\
Example:
  strongroom restore --from /mnt/backup/strongroom --data /srv/strongroom \\
    --key-file /media/usb/strongroom.key
  strongroom serve --data /srv/strongroom --key-file /media/usb/strongroom.key

Every piece is verified, and the manifest with a key of the ring; so a seal is needed. The directory
must be empty. One that was interrupted is no store: remove it, and begin anew.
KMS keys that were destroyed after the backup do not come back.";

const ESCROW_HELP: &str = "\
Examples:
  strongroom escrow generate-recipient --identity escrow.identity --recipient escrow.recipient
  strongroom escrow export --recipient escrow.recipient --out ring.escrow
  strongroom escrow open --escrow ring.escrow --identity escrow.identity --new-key-file new.key

Somebody who never sees the data keeps what opens it. The recipient makes the keys and gives away
the public one; the store's operator exports the ring to it, again after seal rekey. When every
seal is lost, the recipient's secret and the escrow give the data directory a new seal.
X25519 and ML-KEM-768 together: both must be broken to open an escrow.";

const ESCROW_OPEN_HELP: &str = "\
Examples:
  strongroom escrow open --escrow ring.escrow --identity escrow.identity \\
    --new-key-file /media/usb/strongroom.key --data /srv/strongroom
  strongroom escrow open --escrow ring.escrow --identity escrow.identity --new-passphrase

The ring of the data directory gets one more seal, whether the server runs or not. If the ring is
missing or damaged, the escrow's takes its place.";

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

const VERIFY_HELP: &str = "\
Examples:
  strongroom verify --rate 50MiB/s            beside the running server
  strongroom verify --json > report.json
  strongroom verify --sealed --data /mnt/copy no key at hand
  strongroom verify --sse-c-key customer.key  off line, customers' objects as well

Reads every file and every row, changes nothing. With the key ring it opens every row, wrapped key and
segment; with --sealed, or while the server is sealed, it verifies the checksums that need no key. Objects
whose KMS key is disabled or gone, and SSE-C objects without their key, have their checksums verified; that
is no damage. Each finding names the object, the file and the offset.

What a crash or a deletion leaves for the collector is listed, and is no damage.

Exit codes: 0 nothing found, 12 damage, 13 files that are none of the store's, others as always.";

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
const INSPECT_HELP: &str = "\
Examples:
  strongroom inspect s3://photos/2025/a.jpg
  strongroom inspect s3://photos/2025/a.jpg --version-id ID --json

Shows the mode, what wraps each layer's key (version of the root key, ARN, material and state of the KMS
key), the encryption context, segments, where the body is stored, and which checksum is kept. Never a key:
no data key is opened. The running server is asked; without one, the key ring is opened by its seals.

The exit code is 1 when there is no such bucket, object or version.";

const EXPLAIN_HELP: &str = "\
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

const WHO_CAN_DECRYPT_HELP: &str = "\
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
