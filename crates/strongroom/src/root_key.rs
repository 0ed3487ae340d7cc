//! `root-key`: asks the running server, and shows how far it is.

use std::thread;
use std::time::Duration;

use crate::admin::{Answer, Request, ask};
use crate::cli::root_key::{RootKeyAction, RootKeyArgs};
use crate::commands::unexpected;
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::progress::Bar;
use crate::serve::RootKeyStatus;

/// Time between two looks at how far the server is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Does what was asked.
///
/// # Errors
///
/// What the server answers; [`Exit::General`] if a retirement was refused, or keys are damaged.
pub(crate) fn run(settings: &Settings, args: &RootKeyArgs) -> Result<(), Failure> {
    let json = args.store().json;
    match &args.action {
        RootKeyAction::Status(_) => tell(&status(settings)?, json),
        RootKeyAction::Rotate(rotate) => {
            let Answer::RootKeyRotated { version } = asked(settings, &Request::RotateRootKey)?
            else {
                return Err(unexpected());
            };
            if !json {
                output::say(&format!(
                    "Version {version} of the root key wraps from now on."
                ))?;
            }
            finish(settings, rotate.wait, json)
        }
        RootKeyAction::Rewrap(rewrap) => {
            asked(settings, &Request::Rewrap)?;
            finish(settings, rewrap.wait, json)
        }
        RootKeyAction::Retire(retire) => {
            let version = retire.version;
            asked(settings, &Request::RetireRootKey { version })?;
            let after = wait(settings, "counting what needs it")?;
            if after.versions.iter().any(|it| it.version == version) {
                return Err(Failure::new(
                    Exit::General,
                    format!(
                        "version {version} of the root key is not retired: {}",
                        after.refused.as_deref().unwrap_or("see the server's log")
                    ),
                    "wait until strongroom root-key status says idle, then try again",
                ));
            }
            if json {
                return tell(&after, true);
            }
            output::say(&format!(
                "Version {version} of the root key is retired; the signed report is in {}.",
                settings.data.reports().display()
            ))
        }
    }
}

fn finish(settings: &Settings, wait_for_it: bool, json: bool) -> Result<(), Failure> {
    if !wait_for_it {
        return tell(&status(settings)?, json);
    }
    let after = wait(settings, "wrapping keys anew")?;
    tell(&after, json)?;
    if after.failed == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::General,
        format!("{} wrapped keys are damaged", after.failed),
        "the server's log names each; restore them from a backup, or delete what they belong to",
    ))
}

/// Waits until the server has nothing more to do.
fn wait(settings: &Settings, what: &str) -> Result<RootKeyStatus, Failure> {
    let mut bar = Bar::new("root-key");
    loop {
        let status = status(settings)?;
        if status.work == "idle" {
            bar.end();
            return Ok(status);
        }
        let text = format!("{what}: {} of {}", status.looked_at, status.total);
        bar.show(&text, status.looked_at, status.total);
        thread::sleep(LOOK_EVERY);
    }
}

fn status(settings: &Settings) -> Result<RootKeyStatus, Failure> {
    let Answer::RootKey(status) = asked(settings, &Request::RootKeyStatus)? else {
        return Err(unexpected());
    };
    Ok(status)
}

fn asked(settings: &Settings, request: &Request) -> Result<Answer, Failure> {
    ask(&settings.data.admin_socket(), request)?.ok_or_else(|| {
        Failure::new(
            Exit::General,
            "no server is running on this data directory",
            "start it (strongroom serve), or name its directory with --data DIR",
        )
    })
}

fn tell(status: &RootKeyStatus, json: bool) -> Result<(), Failure> {
    if json {
        return output::say(&serde_json::to_string_pretty(status).unwrap_or_default());
    }
    for version in &status.versions {
        let use_of = if version.active {
            "wraps and unwraps"
        } else {
            "unwraps only"
        };
        output::say(&format!(
            "version {}  {}  {use_of}",
            version.version, version.created
        ))?;
    }
    let failed = match status.failed {
        0 => String::new(),
        failed => format!(", {failed} DAMAGED"),
    };
    output::say(&match status.work.as_str() {
        "idle" => format!("idle; {} keys were wrapped anew{failed}", status.rewrapped),
        other => format!(
            "{other}: {} of {} looked at, {} wrapped anew{failed}",
            status.looked_at, status.total, status.rewrapped
        ),
    })?;
    match &status.refused {
        Some(why) => output::say(&format!("the last retirement was refused: {why}")),
        None => Ok(()),
    }
}
