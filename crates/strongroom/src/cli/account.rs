//! `account` and `credentials`.

use clap::{Args, Subcommand};
use strongroom_types::AccountId;

use super::store::StoreArgs;

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

fn parse_account(text: &str) -> Result<AccountId, String> {
    AccountId::parse(text).map_err(|error| error.to_string())
}
