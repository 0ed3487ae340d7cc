//! `explain` and `who-can-decrypt`: ask the running server and print what it says.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use strongroom_explain::{
    Answer as Verdict, Assumer, Finding, ObjectReport, explained_text, readers_text,
};
use strongroom_types::{BucketName, ObjectKey, VersionId};

use crate::admin::{Answer, Request, ask};
use crate::cli::explain::{ExplainArgs, WhoCanDecryptArgs};
use crate::commands::unexpected;
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::output;

/// Who waits longer than this wants to see that something happens.
const PATIENCE: Duration = Duration::from_secs(2);

/// `s3://BUCKET/KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectTarget {
    pub(crate) bucket: BucketName,
    pub(crate) key: ObjectKey,
}

impl FromStr for ObjectTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = text.strip_prefix("s3://").and_then(|it| it.split_once('/'));
        let (bucket, key) = place.ok_or("s3://BUCKET/KEY is expected")?;
        let bucket = BucketName::parse(bucket)
            .map_err(|_| format!("{bucket:?} cannot be the name of a bucket"))?;
        let key = ObjectKey::parse(key).map_err(|error| error.to_string())?;
        Ok(Self { bucket, key })
    }
}

/// The id of a version, checked.
pub(crate) struct Version;

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        VersionId::parse(text)
            .map(|_| Self)
            .map_err(|error| error.to_string())
    }
}

/// A text that parses as a `T`: it is the server that will parse it again.
///
/// # Errors
///
/// Those of `T`.
pub(crate) fn checked<T: FromStr<Err = String>>(text: &str) -> Result<String, String> {
    text.parse::<T>().map(|_| text.to_owned())
}

/// `KEY=VALUE`.
///
/// # Errors
///
/// A sentence.
pub(crate) fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is expected")?;
    if key.contains(':') {
        Ok((key.to_owned(), value.to_owned()))
    } else {
        Err(format!(
            "{key:?} is no condition key; they look like aws:SourceIp"
        ))
    }
}

/// `explain`.
///
/// # Errors
///
/// Where there is no answer.
pub(crate) fn explain(settings: &Settings, args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let request = Request::Explain {
        action: args.action.clone(),
        principal: args.principal.clone(),
        resource: args.resource.clone(),
        context: args.context.clone(),
        via: args.via.clone(),
    };
    let Answer::Explained { explained } = asked(settings, &request)? else {
        return Err(unexpected());
    };
    print(args.report.json, &*explained, || explained_text(&explained))?;
    Ok(match explained.whole_answer() {
        Verdict::Yes => ExitCode::SUCCESS,
        Verdict::If => Exit::Depends.into(),
        Verdict::No => Exit::Denied.into(),
    })
}

/// `who-can-decrypt`.
///
/// # Errors
///
/// Where there is no answer.
pub(crate) fn who_can_decrypt(
    settings: &Settings,
    args: &WhoCanDecryptArgs,
) -> Result<(), Failure> {
    let mut progress = Progress::new();
    let (object, findings) = findings(settings, args, &mut progress)?;
    let report = strongroom_explain::who_can_decrypt(object, findings, args.all, |role| {
        progress.show(|| format!("who can assume {role}"));
        assumers(settings, role)
    });
    progress.end();
    let report = report?;
    print(args.report.json, &report, || readers_text(&report))
}

fn findings(
    settings: &Settings,
    args: &WhoCanDecryptArgs,
    progress: &mut Progress,
) -> Result<(ObjectReport, Vec<Finding>), Failure> {
    let mut from = None;
    let mut findings = Vec::new();
    loop {
        let request = Request::Readers {
            bucket: args.object.bucket.to_string(),
            key: args.object.key.to_string(),
            version: args.version_id.clone(),
            from,
        };
        let Answer::Readers(page) = asked(settings, &request)? else {
            return Err(unexpected());
        };
        findings.extend(page.findings);
        progress.show(|| format!("{} of {} principals", findings.len(), page.total));
        if page.next.is_none() {
            return Ok((page.object, findings));
        }
        from = page.next;
    }
}

fn assumers(settings: &Settings, role: &str) -> Result<Vec<Assumer>, Failure> {
    let mut from = None;
    let mut assumers = Vec::new();
    loop {
        let request = Request::Assumers {
            role: role.to_owned(),
            from,
        };
        let Answer::Assumers(page) = asked(settings, &request)? else {
            return Err(unexpected());
        };
        assumers.extend(page.assumers);
        if page.next.is_none() {
            return Ok(assumers);
        }
        from = page.next;
    }
}

fn asked(settings: &Settings, request: &Request) -> Result<Answer, Failure> {
    ask(&settings.data.admin_socket(), request)?.ok_or_else(|| {
        Failure::new(
            Exit::General,
            "no server runs on this data directory",
            "start it with strongroom serve, or name its directory with --data DIR",
        )
    })
}

fn print<T: serde::Serialize>(
    json: bool,
    report: &T,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let text = if json {
        serde_json::to_string_pretty(report).map_err(|_| unexpected())?
    } else {
        text()
    };
    output::say(text.trim_end())
}

/// One line on a terminal's standard error, drawn over, once it takes long.
struct Progress {
    began: Instant,
    is_terminal: bool,
    is_drawn: bool,
}

impl Progress {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            is_terminal: std::io::stderr().is_terminal(),
            is_drawn: false,
        }
    }

    fn show(&mut self, text: impl FnOnce() -> String) {
        if self.is_terminal && self.began.elapsed() > PATIENCE {
            self.is_drawn = true;
            let text: String = text().chars().take(79).collect();
            let mut err = std::io::stderr().lock();
            let _ = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_as_clients_name_them() {
        let target = "s3://photos/2025/a=b.jpg".parse::<ObjectTarget>().unwrap();
        assert_eq!(target.bucket.to_string(), "photos");
        assert_eq!(target.key.to_string(), "2025/a=b.jpg");
        for wrong in ["photos/a", "s3://photos", "s3://photos/", "s3://P/a"] {
            assert!(wrong.parse::<ObjectTarget>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn context_is_a_key_and_its_value() {
        assert_eq!(
            key_and_value("kms:EncryptionContext:a=b=c"),
            Ok(("kms:EncryptionContext:a".to_owned(), "b=c".to_owned()))
        );
        for wrong in ["aws:SourceIp", "SourceIp=1"] {
            assert!(key_and_value(wrong).is_err(), "{wrong}");
        }
    }
}
