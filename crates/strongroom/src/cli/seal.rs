//! `seal`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::store::{DataArgs, StoreArgs};
use crate::config::Layer;

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
    #[command(after_help = LIST_HELP)]
    List(SealArgsOfStore),
    /// Add a seal, so that losing one loses nothing
    #[command(after_help = ADD_HELP)]
    Add(Box<SealAddArgs>),
    /// Remove a seal; never the last one
    #[command(after_help = REMOVE_HELP)]
    Remove(SealRemoveArgs),
    /// Draw a new unseal key and make every seal anew, so that old ones open no later ring
    #[command(after_help = REKEY_HELP)]
    Rekey(SealRekeyArgs),
    /// Try every seal: opens, wrong, unreachable or damaged
    #[command(after_help = TEST_HELP)]
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
    #[command(flatten)]
    pub(crate) data: DataArgs,
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

impl SealAddArgs {
    /// As a layer of settings.
    pub(crate) fn layer(&self) -> Layer {
        Layer {
            key_file: self.unseal_with.clone(),
            unseal_fd: self.unseal_fd,
            pkcs11_module: self.pkcs11_module.clone(),
            pkcs11_pin_file: self.pkcs11_pin_file.clone(),
            tpm_device: self.tpm_device.clone(),
            ..self.data.layer()
        }
    }
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

const LIST_HELP: &str = "\
Example:
  strongroom seal list --data /srv/strongroom

One line a seal: number, kind, where it is, when it was added. Nothing that is shown is secret.";

const ADD_HELP: &str = "\
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

const REMOVE_HELP: &str = "\
Examples:
  strongroom seal remove 1
  strongroom seal remove 1 --rekey

The last seal stays, and at least one of those that are left must open the ring now.
Old copies of the key ring, in backups, still open with the seal that was removed, and give the
unseal key, which opens later rings too: --rekey draws a new one (see strongroom seal rekey --help).";

const REKEY_HELP: &str = "\
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

const TEST_HELP: &str = "\
Examples:
  strongroom seal test
  strongroom seal test --unseal-fd 3 3<passphrase

Passphrases, shares and PINs are asked for at a terminal; without one, and without --unseal-fd, their
seals are not tried, which is no failure.

Exit codes: 0 every seal that was tried opens   3 one is wrong   4 one is damaged
            6 one cannot be reached (file missing, device unplugged, service silent)";
