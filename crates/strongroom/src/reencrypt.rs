//! `reencrypt`: asks the running server for one page of a re-encryption after another.
//!
//! How far a job is stands in the server's store, never here: this process and the server may end
//! at any moment, and the same command goes on where they were.

mod progress;
mod report;

use std::str::FromStr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use strongroom_types::BucketName;
use strongroom_types::kms::KeyArn;

use self::progress::Progress;
use self::report::Report;
use crate::admin::{Answer, RE_ENCRYPTION_PAGE_MAX, ReEncryptedPage, Request, ask};
use crate::cli::reencrypt::ReencryptArgs;
use crate::commands::unexpected;
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::output;

/// Versions of the first page; later ones follow from how long it took.
const FIRST_PAGE: usize = 16;
/// A page that took less may grow. Other commands wait for the page to end.
const QUICK: Duration = Duration::from_millis(250);
/// A page that took longer shrinks.
const SLOW: Duration = Duration::from_secs(1);
/// What a shell says of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

const AGAIN: &str = "run the same command again: it goes on where it was";

/// `s3://BUCKET[/PREFIX]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) bucket: BucketName,
    /// How the keys begin; empty for all.
    pub(crate) prefix: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text
            .strip_prefix("s3://")
            .ok_or("s3://BUCKET or s3://BUCKET/PREFIX is expected")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let bucket = BucketName::parse(bucket)
            .map_err(|_| format!("{bucket:?} cannot be the name of a bucket"))?;
        Ok(Self {
            bucket,
            prefix: prefix.to_owned(),
        })
    }
}

/// The ARN of a key, and no other of the forms that name one: what is stored with an object must
/// not depend on where an alias points today.
///
/// # Errors
///
/// How to find the ARN.
pub(crate) fn parse_key(text: &str) -> Result<KeyArn, String> {
    KeyArn::parse(text).ok_or_else(|| {
        "the full ARN of a key is expected (arn:aws:kms:REGION:ACCOUNT:key/ID), not an ID or an \
         alias; find it with: aws kms describe-key --key-id ID-OR-ALIAS --query KeyMetadata.Arn \
         --output text"
            .to_owned()
    })
}

/// How a run ended.
enum End {
    Done,
    Interrupted,
    Failed(Failure),
}

/// One run of the command.
struct Run<'a> {
    settings: &'a Settings,
    args: &'a ReencryptArgs,
    interrupt: Receiver<()>,
    progress: Progress,
    report: Report,
}

/// Does the whole job, or what is left of it.
///
/// # Errors
///
/// [`Exit::General`] when it did not end, or skipped what it should not have.
pub(crate) fn run(settings: &Settings, args: &ReencryptArgs) -> Result<(), Failure> {
    let mut run = Run {
        settings,
        args,
        interrupt: watch_interrupt()?,
        progress: Progress::new(),
        report: Report::begin(args)?,
    };
    let end = match run.work() {
        Ok(end) => end,
        Err(failure) => End::Failed(failure),
    };
    run.progress.end();
    let stopped = match &end {
        End::Done => None,
        End::Interrupted => Some("interrupted".to_owned()),
        End::Failed(failure) => Some(failure.what.clone()),
    };
    let failed = run.report.finish(stopped.as_deref())?;
    match end {
        End::Done if failed == 0 => Ok(()),
        End::Done => Err(Failure::new(
            Exit::General,
            format!("{failed} versions should have been updated and were not"),
            "mend what the reasons say and run the command again: the others are left alone",
        )),
        End::Interrupted => Err(Failure::new(Exit::General, "interrupted", AGAIN)),
        End::Failed(failure) => Err(failure),
    }
}

impl Run<'_> {
    fn work(&mut self) -> Result<End, Failure> {
        if !self.count()? {
            return Ok(End::Interrupted);
        }
        let mut limit = FIRST_PAGE;
        let rate = self
            .args
            .rate
            .map(|rate| usize::try_from(rate).unwrap_or(usize::MAX));
        loop {
            let asked = limit.min(rate.unwrap_or(usize::MAX));
            let began = Instant::now();
            let page = self.page(asked)?;
            let took = began.elapsed();
            self.report.add(&page)?;
            self.progress.show(&page);
            if page.done {
                return Ok(End::Done);
            }
            if took < QUICK {
                limit = limit.saturating_mul(2).min(RE_ENCRYPTION_PAGE_MAX);
            } else if took > SLOW {
                limit = limit.div_ceil(2);
            }
            let due = self.args.rate.map_or(Duration::ZERO, |rate| {
                let looked_at = u32::try_from(page.looked_at_here).unwrap_or(u32::MAX);
                (Duration::from_secs(1) / rate).saturating_mul(looked_at)
            });
            if self.interrupted_within(due.saturating_sub(took)) {
                return Ok(End::Interrupted);
            }
        }
    }

    /// Counts what there is to look at; `false` when interrupted.
    fn count(&mut self) -> Result<bool, Failure> {
        let Target { bucket, prefix } = &self.args.target;
        let mut from = None;
        loop {
            let request = Request::CountVersions {
                bucket: bucket.to_string(),
                prefix: prefix.clone(),
                from,
            };
            let Answer::Counted { count, next } = self.ask(&request)? else {
                return Err(unexpected());
            };
            self.progress.add_to_total(count);
            if next.is_none() {
                return Ok(true);
            }
            from = next;
            if self.interrupted_within(Duration::ZERO) {
                return Ok(false);
            }
        }
    }

    fn page(&self, limit: usize) -> Result<ReEncryptedPage, Failure> {
        let Target { bucket, prefix } = &self.args.target;
        let request = Request::ReEncrypt {
            bucket: bucket.to_string(),
            prefix: prefix.clone(),
            key: self.args.kms_key.to_string(),
            bucket_key: self.args.bucket_key,
            limit,
        };
        match self.ask(&request) {
            Ok(Answer::ReEncrypted(page)) => Ok(page),
            Ok(_) => Err(unexpected()),
            Err(failure) => Err(Failure {
                remedy: format!("{}; then {AGAIN}", failure.remedy),
                ..failure
            }),
        }
    }

    fn ask(&self, request: &Request) -> Result<Answer, Failure> {
        let root = self.settings.data.root().display();
        ask(&self.settings.data.admin_socket(), request)?.ok_or_else(|| {
            Failure::new(
                Exit::General,
                format!("no server runs on {root}"),
                format!("start it: strongroom serve --data {root}, or name its directory with --data DIR"),
            )
        })
    }

    fn interrupted_within(&self, pause: Duration) -> bool {
        match self.interrupt.recv_timeout(pause) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(pause);
                false
            }
        }
    }
}

/// The first Ctrl-C is told to the run, which ends behind the page at hand; the second ends the
/// process at once.
fn watch_interrupt() -> Result<Receiver<()>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            Exit::Environment,
            format!("signals cannot be watched: {error}"),
            "raise the process limits",
        )
    };
    let (sender, receiver) = channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let watched = {
        let _inside = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
    };
    let mut watched = watched.map_err(failed)?;
    thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                watched.recv().await;
                // Nobody listens any more when the work has ended.
                let _ = sender.send(());
                watched.recv().await;
                output::complain("");
                std::process::exit(INTERRUPTED);
            });
        })
        .map_err(failed)?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_buckets_and_prefixes() {
        let parse = |text: &str| {
            let target: Target = text.parse().unwrap();
            (target.bucket.to_string(), target.prefix)
        };
        assert_eq!(parse("s3://photos"), ("photos".to_owned(), String::new()));
        assert_eq!(parse("s3://photos/"), ("photos".to_owned(), String::new()));
        assert_eq!(
            parse("s3://photos/a//b/"),
            ("photos".to_owned(), "a//b/".to_owned())
        );
        for wrong in [
            "photos",
            "s3:/photos",
            "s3://",
            "s3://Photos!/x",
            "http://photos",
        ] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_a_full_arn_names_the_key() {
        let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
        assert!(parse_key(&format!("arn:aws:kms:us-east-1:123456789012:key/{id}")).is_ok());
        for wrong in [
            id,
            "alias/x",
            "arn:aws:kms:us-east-1:123456789012:alias/x",
            "",
        ] {
            assert!(
                parse_key(wrong).unwrap_err().contains("describe-key"),
                "{wrong}"
            );
        }
    }
}
