//! `audit`: the trail for people: follow it, search it, verify it. The running server is asked; while
//! none runs, the command opens the store and does the same itself.

mod line;
mod protocol;
mod reading;

use std::collections::VecDeque;
use std::path::Path;
use std::thread;
use std::time::Duration;

use strongroom_audit::{Anchor, Params};
use strongroom_ports::Clock as _;

pub(crate) use self::protocol::{AuditAnswer, AuditRequest, FilterAsked};
use self::protocol::{EventShown, EventsPage, LaneBounds, LaneReport};
pub(crate) use self::reading::AuditReading;
use crate::adapters::SystemClock;
use crate::admin::{Answer, Request, ask};
use crate::cli::audit::{AuditAction, AuditArgs, SearchArgs, TailArgs, VerifyArgs};
use crate::commands::{unexpected, with_accounts};
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::output::{self, Lines};
use crate::progress::Bar;
use crate::unseal::Environment;

/// Time between two looks at what is new.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Most events of a page.
const PAGE_EVENTS: usize = 500;

/// Does what was asked.
///
/// # Errors
///
/// [`Exit::Store`] if the trail is damaged or cannot be read, and whatever opening the store brings.
pub(crate) fn run(
    settings: &Settings,
    args: &AuditArgs,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let clock = SystemClock::new();
    match &args.action {
        AuditAction::Tail(args) => {
            with_trail(settings, environment, "tail", |trail| tail(trail, args))
        }
        AuditAction::Search(args) => {
            let mut filter = args.filter.asked();
            filter.since_millis = args.since.map(|it| it.first(clock.now()));
            filter.until_millis = args.until.map(|it| it.last(clock.now()));
            if let (Some(since), Some(until)) = (filter.since_millis, filter.until_millis)
                && since > until
            {
                return Err(Failure::new(
                    Exit::Usage,
                    "--since is later than --until: nothing lies between them",
                    "exchange them; 2h is earlier than 1h, since both say how long ago",
                ));
            }
            with_trail(settings, environment, "search", |trail| {
                search(trail, args, &filter)
            })
        }
        AuditAction::Verify(args) => {
            let anchors = anchors(&args.anchor)?;
            with_trail(settings, environment, "verify", |trail| {
                verify(trail, args, &anchors)
            })
        }
    }
}

/// Whoever answers.
struct Trail<'a> {
    answers: &'a dyn Fn(AuditRequest) -> Result<AuditAnswer, Failure>,
    /// Whether there may be more later.
    is_live: bool,
}

fn with_trail<T>(
    settings: &Settings,
    environment: Environment<'_>,
    command: &str,
    with: impl FnOnce(&Trail<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let socket = settings.data.admin_socket();
    let asked = |request: AuditRequest| match ask(&socket, &Request::Audit { ask: request })? {
        Some(Answer::Audited { audited }) => Ok(*audited),
        Some(_) => Err(unexpected()),
        None => Err(Failure::new(
            Exit::General,
            "the server has stopped",
            "once more: the command then opens the store itself",
        )),
    };
    // A sealed server refuses, and names the remedy.
    if ask(&socket, &Request::AuditIsThere)?.is_some() {
        return with(&Trail {
            answers: &asked,
            is_live: true,
        });
    }
    let look = ("ReadAuditTrail", Params::new().text("command", command));
    with_accounts(settings, environment, Some(look), |accounts, account| {
        let reading = AuditReading::new(accounts.audit_log(account));
        with(&Trail {
            answers: &|request| reading.answer(&request),
            is_live: false,
        })
    })
}

impl Trail<'_> {
    /// Both lanes, with all that is recorded in them.
    fn settle(&self) -> Result<Vec<LaneBounds>, Failure> {
        match (self.answers)(AuditRequest::Settle)? {
            AuditAnswer::Settled { lanes } => Ok(lanes),
            AuditAnswer::Read(_) | AuditAnswer::Verifying { .. } | AuditAnswer::Verified(_) => {
                Err(unexpected())
            }
        }
    }

    fn read(
        &self,
        lane: &str,
        (from, back): (u64, bool),
        limit: usize,
        filter: &FilterAsked,
    ) -> Result<EventsPage, Failure> {
        let request = AuditRequest::Read {
            lane: lane.to_owned(),
            from,
            back,
            limit: limit.min(PAGE_EVENTS),
            filter: filter.clone(),
        };
        match (self.answers)(request)? {
            AuditAnswer::Read(page) => Ok(page),
            AuditAnswer::Settled { .. }
            | AuditAnswer::Verifying { .. }
            | AuditAnswer::Verified(_) => Err(unexpected()),
        }
    }
}

/// Prints an event; `false` when nobody reads any more.
fn print(out: &mut Lines, event: &EventShown, json: bool) -> Result<bool, Failure> {
    if json {
        return out.put(&event.record);
    }
    out.put(&line::line(&event.record))
}

fn tail(trail: &Trail<'_>, args: &TailArgs) -> Result<(), Failure> {
    let filter = args.filter.asked();
    let lanes = trail.settle()?;
    let mut newest = Vec::new();
    let mut bar = Bar::new("audit tail");
    for lane in &lanes {
        newest.extend(newest_of(trail, lane, &filter, args.lines, &mut bar)?);
    }
    bar.end();
    newest.sort_by_key(|event| event.millis);
    let mut out = Lines::new();
    for event in newest.iter().skip(newest.len().saturating_sub(args.lines)) {
        if !print(&mut out, event, args.json)? {
            return Ok(());
        }
    }
    if !out.flush()? || args.no_follow || !trail.is_live {
        return Ok(());
    }
    let mut places: Vec<(String, u64)> = lanes.into_iter().map(|it| (it.lane, it.next)).collect();
    loop {
        let mut new = Vec::new();
        let mut is_end = true;
        for (lane, place) in &mut places {
            let page = trail.read(lane, (*place, false), PAGE_EVENTS, &filter)?;
            *place = page.at;
            is_end &= page.is_end;
            new.extend(page.events);
        }
        new.sort_by_key(|event| event.millis);
        for event in &new {
            if !print(&mut out, event, args.json)? {
                return Ok(());
            }
        }
        if !out.flush()? {
            return Ok(());
        }
        if is_end {
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// The last events of a lane.
fn newest_of(
    trail: &Trail<'_>,
    lane: &LaneBounds,
    filter: &FilterAsked,
    count: usize,
    bar: &mut Bar,
) -> Result<Vec<EventShown>, Failure> {
    let mut pages = VecDeque::new();
    let mut found = 0;
    let mut place = lane.next;
    while found < count {
        let page = trail.read(&lane.lane, (place, true), count - found, filter)?;
        place = page.at;
        found += page.events.len();
        pages.push_front(page.events);
        let total = lane.next.saturating_sub(lane.first);
        bar.show("reading back", lane.next.saturating_sub(place), total);
        if page.is_end {
            break;
        }
    }
    Ok(pages.into_iter().flatten().collect())
}

/// A lane that is read from one end to the other.
struct Stream {
    lane: LaneBounds,
    at: u64,
    is_end: bool,
    read: VecDeque<EventShown>,
}

impl Stream {
    /// Reads on until there is an event, or no more.
    fn fill(
        &mut self,
        trail: &Trail<'_>,
        filter: &FilterAsked,
        mut seen: impl FnMut(u64) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        while self.read.is_empty() && !self.is_end {
            let page = trail.read(&self.lane.lane, (self.at, false), PAGE_EVENTS, filter)?;
            seen(page.at.saturating_sub(self.at))?;
            self.at = page.at;
            self.read.extend(page.events);
            // What comes in meanwhile would never end.
            self.is_end = page.is_end || page.at >= self.lane.next;
        }
        Ok(())
    }
}

fn search(trail: &Trail<'_>, args: &SearchArgs, filter: &FilterAsked) -> Result<(), Failure> {
    let lanes = trail.settle()?;
    let total = lanes
        .iter()
        .map(|it| it.next.saturating_sub(it.first))
        .sum();
    let mut streams: Vec<Stream> = lanes
        .into_iter()
        .map(|lane| Stream {
            at: lane.first,
            lane,
            is_end: false,
            read: VecDeque::new(),
        })
        .collect();
    let mut bar = Bar::new("audit search");
    let mut out = Lines::new();
    let (mut found, mut done) = (0_u64, 0_u64);
    while args.limit.is_none_or(|limit| found < limit) {
        for stream in &mut streams {
            stream.fill(trail, filter, |batches| {
                done += batches;
                // What was found is shown before the next piece is waited for.
                out.flush()?;
                bar.show(&format!("{found} found"), done, total);
                Ok(())
            })?;
        }
        let first = streams
            .iter_mut()
            .filter(|stream| !stream.read.is_empty())
            .min_by_key(|stream| stream.read.front().map(|event| event.millis));
        let Some(event) = first.and_then(|stream| stream.read.pop_front()) else {
            break;
        };
        bar.end();
        found += 1;
        if !print(&mut out, &event, args.json)? {
            return Ok(());
        }
    }
    bar.end();
    if found == 0 {
        bar.remark("no record fits");
    }
    out.flush().map(|_| ())
}

/// An anchor of one of the lanes.
#[derive(Clone, PartialEq, Eq, Debug)]
struct LaneAnchor {
    lane: &'static str,
    anchor: Anchor,
}

fn parse_anchor(text: &str) -> Option<LaneAnchor> {
    let (lane, anchor) = text.split_once(':')?;
    Some(LaneAnchor {
        lane: strongroom_audit::Lane::parse(lane)?.name(),
        anchor: Anchor::parse(anchor)?,
    })
}

/// Texts, or files with some; whatever else is in them is passed over.
fn anchors(given: &[String]) -> Result<Vec<LaneAnchor>, Failure> {
    let mut anchors = Vec::new();
    for given in given {
        if let Some(anchor) = parse_anchor(given) {
            anchors.push(anchor);
            continue;
        }
        let refused = |what: String| {
            Failure::new(
                Exit::Usage,
                what,
                "an anchor is management:NUMBER:HASH or data:NUMBER:HASH, as verify printed it",
            )
        };
        let text = std::fs::read_to_string(Path::new(given))
            .map_err(|error| refused(format!("{given} is no anchor, and no file: {error}")))?;
        let words =
            text.split(|letter: char| letter.is_whitespace() || matches!(letter, '"' | ','));
        let before = anchors.len();
        anchors.extend(words.filter_map(parse_anchor));
        if anchors.len() == before {
            return Err(refused(format!("there is no anchor in {given}")));
        }
    }
    Ok(anchors)
}

fn verify(trail: &Trail<'_>, args: &VerifyArgs, anchors: &[LaneAnchor]) -> Result<(), Failure> {
    let mut reports = Vec::new();
    let mut bar = Bar::new("audit verify");
    for lane in strongroom_audit::Lane::ALL {
        reports.push(verify_lane(trail, lane.name(), anchors, &mut bar)?);
    }
    bar.end();
    let count = |it: &LaneReport| u64::try_from(it.findings.len()).unwrap_or(u64::MAX);
    let findings: u64 = reports.iter().map(|it| count(it) + it.more_findings).sum();
    if args.json {
        let document = serde_json::json!({ "whole": findings == 0, "lanes": reports });
        output::say(&serde_json::to_string_pretty(&document).unwrap_or_default())?;
    } else {
        for report in &reports {
            tell(report)?;
        }
        if findings == 0 && !anchors.is_empty() {
            output::say(&format!("{} anchors fit", anchors.len()))?;
        }
    }
    if findings == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Store,
        format!("the audit trail is not whole: {findings} findings"),
        "keep a copy of the data directory as it is now; the log files that trails delivered, and backups, show what was there",
    ))
}

fn verify_lane(
    trail: &Trail<'_>,
    lane: &str,
    anchors: &[LaneAnchor],
    bar: &mut Bar,
) -> Result<LaneReport, Failure> {
    let of_lane = anchors.iter().filter(|it| it.lane == lane);
    let mut answer = (trail.answers)(AuditRequest::Verify {
        lane: lane.to_owned(),
        anchors: of_lane.map(|it| it.anchor.to_string()).collect(),
    })?;
    loop {
        match answer {
            AuditAnswer::Verified(report) => return Ok(report),
            AuditAnswer::Verifying { id, done, total } => {
                bar.show(&format!("{lane}: {done} of {total} batches"), done, total);
                answer = (trail.answers)(AuditRequest::VerifyMore { id })?;
            }
            AuditAnswer::Settled { .. } | AuditAnswer::Read(_) => return Err(unexpected()),
        }
    }
}

fn tell(report: &LaneReport) -> Result<(), Failure> {
    let lane = &report.lane;
    for finding in &report.findings {
        output::say(&format!("{lane}: NOT WHOLE: {finding}"))?;
    }
    if report.more_findings > 0 {
        output::say(&format!("{lane}: ... and {} more", report.more_findings))?;
    }
    let whole = if report.findings.is_empty() {
        "whole"
    } else {
        "read"
    };
    output::say(&format!(
        "{lane}: {} events in {} batches, {whole}; {} not yet chained",
        report.events, report.batches, report.waiting
    ))?;
    match &report.anchor {
        Some(anchor) => output::say(&format!("anchor {anchor}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_found_in_what_verify_prints() {
        let dir = tempfile::tempdir().unwrap();
        let hash = "ab".repeat(32);
        let text = format!("management:7:{hash}");
        let anchor = parse_anchor(&text).unwrap();
        assert_eq!((anchor.lane, anchor.anchor.batch), ("management", 7));
        for (name, content) in [
            (
                "text",
                format!("management: 3 events, whole\nanchor {text}\n"),
            ),
            ("json", format!("{{\"anchor\": \"{text}\",\"lane\":\"x\"}}")),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, content).unwrap();
            let found = anchors(&[path.display().to_string()]).unwrap();
            assert_eq!(found, std::slice::from_ref(&anchor));
        }
        let empty = dir.path().join("empty");
        std::fs::write(&empty, "none").unwrap();
        for wrong in [empty.display().to_string(), "other:7:ab".to_owned()] {
            assert_eq!(anchors(&[wrong]).unwrap_err().exit, Exit::Usage);
        }
    }
}
