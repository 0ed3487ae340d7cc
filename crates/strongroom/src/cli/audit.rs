//! `audit`.

use clap::{Args, Subcommand, ValueEnum};
use strongroom_types::Timestamp;

use super::store::StoreArgs;
use crate::audit::FilterAsked;
use crate::config::Layer;

/// `audit`.
#[derive(Args, Debug)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) action: AuditAction,
}

/// What to do with the audit trail.
#[derive(Subcommand, Debug)]
pub(crate) enum AuditAction {
    /// Show the newest records, and go on as they come
    #[command(after_help = TAIL_HELP)]
    Tail(TailArgs),
    /// Find records of the last 90 days
    #[command(after_help = SEARCH_HELP)]
    Search(SearchArgs),
    /// Prove that no record was removed or changed, or say which
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyArgs),
}

/// `audit tail`.
#[derive(Args, Debug)]
pub(crate) struct TailArgs {
    /// How many records to begin with
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub(crate) lines: usize,
    /// Do not go on, but end behind them
    #[arg(long)]
    pub(crate) no_follow: bool,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Print CloudTrail records, one JSON object on each line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// `audit search`.
#[derive(Args, Debug)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Not older: a time (2026-01-02T10:00:00Z), a day (2026-01-02), or how long ago (90m, 24h, 7d)
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    pub(crate) since: Option<When>,
    /// Not newer; a day ends at its end
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    pub(crate) until: Option<When>,
    /// End behind so many
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Print CloudTrail records, one JSON object on each line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// `audit verify`.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// An anchor that was printed earlier and kept elsewhere, or a file with some; may be repeated
    #[arg(long, value_name = "FILE|TEXT")]
    pub(crate) anchor: Vec<String>,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Which records. All that is given must hold.
#[derive(Args, Debug)]
pub(crate) struct FilterArgs {
    /// Part of the caller's ARN, user name or access key id; operator:UID for who ran a command here
    #[arg(long, value_name = "TEXT")]
    principal: Option<String>,
    /// Part of a KMS key's ARN, such as its id; or the alias that was asked for
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// A bucket: calls on it and its objects, copies out of it, and the uses of keys for these; or
    /// one object: s3://BUCKET/KEY
    #[arg(long, value_name = "BUCKET", value_parser = parse_place)]
    bucket: Option<String>,
    /// The operation, such as Decrypt, kms:Decrypt or PutBucketPolicy
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// How the call ended
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<OutcomeArg>,
    /// The request's id, as the client got it, or a part of it
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

/// How a call ended.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum OutcomeArg {
    /// It did what was asked
    Ok,
    /// The caller may not, or is not known
    Denied,
    /// Any other error
    Failed,
}

impl FilterArgs {
    /// As it is asked for.
    pub(crate) fn asked(&self) -> FilterAsked {
        FilterAsked {
            principal: self.principal.clone(),
            key: self.key.clone(),
            bucket: self.bucket.clone(),
            event: self.event.clone(),
            request_id: self.request_id.clone(),
            outcome: self.outcome.map(|it| {
                match it {
                    OutcomeArg::Ok => "ok",
                    OutcomeArg::Denied => "denied",
                    OutcomeArg::Failed => "failed",
                }
                .to_owned()
            }),
            since_millis: None,
            until_millis: None,
        }
    }
}

impl AuditArgs {
    /// As a layer of settings.
    pub(crate) fn layer(&self) -> Layer {
        match &self.action {
            AuditAction::Tail(args) => args.store.layer(),
            AuditAction::Search(args) => args.store.layer(),
            AuditAction::Verify(args) => args.store.layer(),
        }
    }
}

/// A time on the command line, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum When {
    /// Its first and its last millisecond.
    At(u64, u64),
    /// Before now.
    Ago(u64),
}

impl When {
    /// The first millisecond that counts.
    pub(crate) fn first(self, now: Timestamp) -> u64 {
        match self {
            Self::At(first, _) => first,
            Self::Ago(millis) => now.as_millis().saturating_sub(millis),
        }
    }

    /// The last one.
    pub(crate) fn last(self, now: Timestamp) -> u64 {
        match self {
            Self::At(_, last) => last,
            Self::Ago(millis) => now.as_millis().saturating_sub(millis),
        }
    }
}

/// `BUCKET` or `BUCKET/KEY`, however it is written.
fn parse_place(text: &str) -> Result<String, String> {
    let schemes = ["s3://", "arn:aws:s3:::"];
    let bare = schemes.iter().find_map(|it| text.strip_prefix(it));
    let place = bare.unwrap_or(text);
    match place.split_once('/') {
        None if !place.is_empty() => Ok(place.to_owned()),
        Some((bucket, "")) if !bucket.is_empty() => Ok(bucket.to_owned()),
        // A path of this machine is no object.
        Some((bucket, _)) if bare.is_some() && !bucket.is_empty() => Ok(place.to_owned()),
        None | Some(_) => Err("it is a bucket's name, or s3://BUCKET/KEY".to_owned()),
    }
}

fn parse_when(text: &str) -> Result<When, String> {
    const DAY_MILLIS: u64 = 86_400_000;
    if let Ok(time) = Timestamp::parse_iso8601(text) {
        // Records know whole seconds.
        return Ok(When::At(time.as_millis(), time.as_millis() + 999));
    }
    if let Ok(day) = Timestamp::parse_iso8601(&format!("{text}T00:00:00Z")) {
        let first = day.as_millis();
        return Ok(When::At(first, first + DAY_MILLIS - 1));
    }
    let units = [
        ('s', 1000),
        ('m', 60_000),
        ('h', 3_600_000),
        ('d', DAY_MILLIS),
    ];
    let of_unit = units.into_iter().find_map(|(unit, millis)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(millis)
    });
    of_unit.map(When::Ago).ok_or_else(|| {
        "a time is 2026-01-02T10:00:00Z, 2026-01-02, or how long ago: 90m, 24h, 7d".to_owned()
    })
}

const TAIL_HELP: &str = "\
Examples:
  strongroom audit tail
  strongroom audit tail -n 100 --principal alice --outcome denied
  strongroom audit tail --json | jq .eventName

A record is shown within about two seconds. The running server is asked; without one, the command
opens the store itself, and ends behind the newest record. Ctrl-C ends it.";

const SEARCH_HELP: &str = "\
Examples:
  strongroom audit search --bucket photos --outcome denied --since 24h
  strongroom audit search --bucket s3://photos/cat.jpg --principal alice
  strongroom audit search --key 1234abcd-12ab-34cd-56ef-1234567890ab --event Decrypt --json
  strongroom audit search --request-id 5a3b0f2c91d04e77

Oldest first: time, account and caller, operation, what it was done to, how it ended, from where.
Of a key that S3 used, the caller is who asked S3, and the address is the client's.

The trail is read from one end to the other, a piece at a time. The running server is asked; without
one, the command opens the store itself.";

const VERIFY_HELP: &str = "\
Examples:
  strongroom audit verify
  strongroom audit verify > /media/usb/anchors.txt
  strongroom audit verify --anchor /media/usb/anchors.txt

Every batch of records is read, with the chain of hashes, the index and what is not chained yet.
What was changed, removed, exchanged or added is named, and the exit code is 5.

The anchors that are printed say where the chain ends today. Keep them where nobody who runs this
server can write: compared later, they prove that nothing before them was made anew or rolled back.

The running server is asked, and verifies beside its other work. Whoever does not trust it stops it
and verifies with a program of his own: the command then opens the store itself.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_bucket_or_an_object() {
        for (text, place) in [
            ("photos", "photos"),
            ("s3://photos", "photos"),
            ("s3://photos/", "photos"),
            ("arn:aws:s3:::photos", "photos"),
            ("s3://photos/2026/a b.jpg", "photos/2026/a b.jpg"),
            ("s3://photos/folder/", "photos/folder/"),
        ] {
            assert_eq!(parse_place(text).as_deref(), Ok(place), "{text}");
        }
        for wrong in ["", "s3://", "photos/a.jpg", "/photos", "/", "s3:///a"] {
            assert!(parse_place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_moments_days_or_ages() {
        let now = Timestamp::from_seconds(1_000_000);
        let day = parse_when("2026-01-02").unwrap();
        assert_eq!(day.last(now) - day.first(now), 86_399_999);
        let second = parse_when("2026-01-02T10:00:00Z").unwrap();
        assert_eq!(second.first(now), 1_767_348_000_000);
        assert_eq!(second.last(now), 1_767_348_000_999);
        assert_eq!(
            parse_when("2026-01-02T11:00:00+01:00").unwrap().first(now),
            1_767_348_000_000
        );
        assert_eq!(parse_when("90m").unwrap().first(now), 994_600_000);
        assert_eq!(parse_when("9d").unwrap(), When::Ago(777_600_000));
        for wrong in [
            "",
            "d",
            "1w",
            "yesterday",
            "2026-13-01",
            "99999999999999999999d",
        ] {
            assert!(parse_when(wrong).is_err(), "{wrong}");
        }
    }
}
