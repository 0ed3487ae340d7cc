//! Strongroom: an S3 server that encrypts every object at rest.
//!
//! This is the composition root: it reads settings, opens the key ring and the store, gives the
//! services their ports and keeps them running. It is **not** the place for rules of S3 or of
//! encryption: those are in the crates that it puts together.
//!
//! ```text
//!   main -> cli, config -> findings (check) -> unseal (ring) -> store -> account -> serve
//! ```

mod account;
mod adapters;
mod admin;
mod audit;
mod backup;
mod cli;
mod commands;
mod config;
mod credentials;
mod data_dir;
mod escrow;
mod explain;
mod failure;
mod files;
mod findings;
mod hardening;
mod identities;
mod impact;
mod inspect;
mod issuers;
mod key_file;
mod logging;
mod notes;
mod output;
mod progress;
mod recover;
mod reencrypt;
mod reports;
mod ring_files;
mod root_key;
mod seals;
mod serve;
mod shell;
mod store;
mod tenants;
mod unseal;
mod verified;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::account::{AccountAction, CredentialsAction};
use crate::cli::kms::KmsAction;
use crate::cli::seal::SealAction;
use crate::cli::{Cli, Command};
use crate::config::Settings;
use crate::failure::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Usage errors leave through clap, with its exit code 2.
    let cli = Cli::parse();
    match hardening::harden().and_then(|()| run(cli.command)) {
        Ok(exit) => exit,
        Err(failure) => {
            output::complain(&format!("strongroom: error: {failure}"));
            failure.exit.into()
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    let settings = |layer| Settings::decide(layer, &environment);
    let done = match command {
        Command::Serve(layer) => serve::run(&settings(*layer)?, &environment),
        Command::Check(args) => commands::check(&settings(args.layer)?, args.json, &environment),
        Command::Env(args) => commands::env(&settings(args.store.layer())?, args.tls, &environment),
        Command::Credentials(args) => match args.action {
            CredentialsAction::Rotate(args) => {
                let settings = settings(args.store.layer())?;
                match args.account {
                    Some(id) => tenants::rotate(&settings, &id, args.json, &environment),
                    None => commands::rotate_credentials(&settings, args.json, &environment),
                }
            }
        },
        Command::Account(args) => match args.action {
            AccountAction::Create(args) => {
                let settings = settings(args.store.layer())?;
                tenants::create(&settings, args.name, args.json, &environment)
            }
            AccountAction::List(args) => {
                tenants::list(&settings(args.store.layer())?, args.json, &environment)
            }
            AccountAction::Disable(args) => {
                tenants::disable(&settings(args.store.layer())?, &args.id, true, &environment)
            }
            AccountAction::Enable(args) => tenants::disable(
                &settings(args.store.layer())?,
                &args.id,
                false,
                &environment,
            ),
        },
        Command::Seal(args) => match args.action {
            SealAction::List(args) => {
                seals::commands::list(&settings(args.store.layer())?, args.json)
            }
            SealAction::Add(args) => {
                seals::commands::add(&settings(args.layer())?, &args, &environment)
            }
            SealAction::Remove(args) if args.rekey => {
                let wanted = seals::rekey::Rekeying {
                    drop: &[args.number],
                    passphrase_fd: args.passphrase_fd,
                    credential_file: args.credential_file.as_deref(),
                    json: args.json,
                };
                seals::rekey::rekey(&settings(args.store.layer())?, &wanted, &environment)
            }
            SealAction::Remove(args) => {
                seals::commands::remove(&settings(args.store.layer())?, &args, &environment)
            }
            SealAction::Rekey(args) => {
                let wanted = seals::rekey::Rekeying {
                    drop: &args.drop,
                    passphrase_fd: args.passphrase_fd,
                    credential_file: args.credential_file.as_deref(),
                    json: args.json,
                };
                seals::rekey::rekey(&settings(args.store.layer())?, &wanted, &environment)
            }
            SealAction::Test(args) => {
                seals::commands::test(&settings(args.store.layer())?, args.json, &environment)
            }
            SealAction::Status(args) => {
                seals::commands::status(&settings(args.store.layer())?, args.json)
            }
        },
        Command::Unseal(args) => seals::give::run(&settings(args.data.layer())?, &args),
        Command::Backup(args) => backup::run(&args, &environment),
        Command::Restore(args) => backup::restore(&args, &environment),
        Command::Escrow(args) => escrow::run(&args.action, &environment),
        Command::Recover(args) => recover::run(&settings(args.store.layer())?, &args, &environment),
        Command::Inspect(args) => inspect::run(&settings(args.store.layer())?, &args, &environment),
        Command::Verify(args) => verify::run(&settings(args.store.layer())?, &args, &environment),
        Command::Reencrypt(args) => reencrypt::run(&settings(args.data.layer())?, &args),
        Command::Audit(args) => audit::run(&settings(args.layer())?, &args, &environment),
        Command::RootKey(args) => root_key::run(&settings(args.layer())?, &args),
        Command::Kms(args) => match args.action {
            KmsAction::Impact(args) => {
                impact::run(&settings(args.store.layer())?, &args, &environment)
            }
        },
        Command::Explain(args) => {
            return explain::explain(&settings(args.report.data.layer())?, &args);
        }
        Command::WhoCanDecrypt(args) => {
            explain::who_can_decrypt(&settings(args.report.data.layer())?, &args)
        }
        Command::Version => output::say(concat!("strongroom ", env!("CARGO_PKG_VERSION"))),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
