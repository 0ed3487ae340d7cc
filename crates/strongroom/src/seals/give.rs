//! `unseal`: gives the sealed server what opens it.

use serde_json::json;
use strongroom_ports::SealKind;

use super::ask::{self, Brought};
use super::commands::{ask_server, newest, nothing_given, say_either};
use super::shares::is_share;
use super::slots;
use crate::admin::{Answer, Gift, SealRequest, Secret};
use crate::cli::unseal::UnsealArgs;
use crate::commands::unexpected;
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::key_file;

/// `unseal`.
///
/// # Errors
///
/// [`Exit::General`] when no server runs or it refuses, [`Exit::Seal`] when nothing was given.
pub(crate) fn run(settings: &Settings, args: &UnsealArgs) -> Result<(), Failure> {
    let Some(Answer::SealState(state)) = ask_server(settings, SealRequest::Status)? else {
        let root = settings.data.root().display();
        return Err(Failure::new(
            Exit::General,
            format!("no server runs on {root}"),
            format!(
                "start it: strongroom serve --data {root}, or name its directory with --data DIR"
            ),
        ));
    };
    if !state.sealed {
        return told_unsealed(args.json);
    }
    if args.forget {
        ask_server(settings, SealRequest::ForgetShares)?;
        return say_either(
            args.json,
            &json!({"sealed": true, "shares": null}),
            "The shares are forgotten.",
        );
    }
    let mut last = None;
    for gift in gifts(settings, args, state.shares)? {
        match ask_server(settings, SealRequest::Unseal { gift })? {
            Some(Answer::Unsealed) => return told_unsealed(args.json),
            Some(Answer::SharesWait { have, need }) => last = Some((have, need)),
            _ => return Err(unexpected()),
        }
    }
    let Some((have, need)) = last else {
        return Err(nothing_given());
    };
    let told = json!({"sealed": true, "shares": {"have": have, "need": need}});
    say_either(
        args.json,
        &told,
        &format!("{have} of {need} shares are here; the next person runs strongroom unseal."),
    )
}

fn gifts(
    settings: &Settings,
    args: &UnsealArgs,
    shares: Option<(u8, u8)>,
) -> Result<Vec<Gift>, Failure> {
    if args.retry {
        return Ok(vec![Gift::Automatic]);
    }
    if args.pin {
        let pin = ask::secret("PIN of the token:").ok_or_else(nothing_given)?;
        return Ok(vec![Gift::Pin {
            text: Secret::new(pin),
        }]);
    }
    let brought = if let Some(path) = &args.key_file {
        let text = key_file::text(path).map_err(|error| {
            Failure::new(
                Exit::Seal,
                error.to_string(),
                "name another with --key-file FILE",
            )
        })?;
        vec![Brought::KeyFile(text)]
    } else if let Some(number) = args.fd {
        ask::classify(&ask::descriptor(number)?)?
    } else {
        let ring = newest(settings)?;
        let has = |kind| slots::of(&ring).iter().any(|slot| slot.kind == Some(kind));
        let question = match (has(SealKind::Passphrase), has(SealKind::Shares), shares) {
            (_, _, Some((have, need))) => format!("Share {} of {need}:", have.saturating_add(1)),
            (true, true, None) => "Passphrase or share:".to_owned(),
            (true, false, None) => "Passphrase:".to_owned(),
            (false, true, None) => "Share:".to_owned(),
            // Nothing that people know: what opens it is tried again.
            (false, false, None) => return Ok(vec![Gift::Automatic]),
        };
        let text = ask::secret(&question).ok_or_else(nothing_given)?;
        if is_share(&text) {
            vec![Brought::Share(text)]
        } else {
            vec![Brought::Passphrase(text)]
        }
    };
    Ok(brought.into_iter().map(gift).collect())
}

fn gift(brought: Brought) -> Gift {
    match brought {
        Brought::Passphrase(text) => Gift::Passphrase {
            text: Secret::new(text),
        },
        Brought::Share(text) => Gift::Share {
            text: Secret::new(text),
        },
        Brought::KeyFile(text) => Gift::KeyFile {
            text: Secret::new(text),
        },
        Brought::Pin(text) => Gift::Pin {
            text: Secret::new(text),
        },
    }
}

fn told_unsealed(json: bool) -> Result<(), Failure> {
    say_either(json, &json!({"sealed": false}), "The server is open.")
}
