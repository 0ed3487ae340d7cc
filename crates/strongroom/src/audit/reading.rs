//! Answers what is asked about the audit trail: within the server, or beside a store that no server
//! uses.

use std::collections::VecDeque;

use parking_lot::Mutex;
use strongroom_audit::{
    Anchor, AuditLog, Cursor, Direction, Filter, Lane, Ledger, Outcome, TrailError, Verification,
};
use strongroom_types::Timestamp;

use super::protocol::{
    AuditAnswer, AuditRequest, EventShown, EventsPage, FilterAsked, LaneBounds, LaneReport,
};
use crate::failure::{Exit, Failure};

/// Verifications that are kept at a time; whoever begins another one ends the oldest.
const VERIFICATIONS_MAX: usize = 4;
/// Pages of batches that one answer verifies. Other commands wait for no more than that.
const STEPS: usize = 4;
/// Most events that one page is asked for.
const LIMIT_MAX: usize = 1000;
/// Findings that fit into an answer; all are counted.
const FINDINGS_MAX: usize = 1000;

/// Reads the trail.
pub(crate) struct AuditReading {
    log: AuditLog,
    ledger: Ledger,
    verifications: Mutex<Verifications>,
}

#[derive(Default)]
struct Verifications {
    last_id: u64,
    running: VecDeque<(u64, Lane, Verification)>,
}

impl AuditReading {
    /// A reader of what `log` took.
    pub(crate) fn new(log: AuditLog) -> Self {
        let ledger = Ledger::new(log.rows().clone(), log.home().clone());
        Self {
            log,
            ledger,
            verifications: Mutex::default(),
        }
    }

    /// Answers.
    ///
    /// # Errors
    ///
    /// [`Exit::Store`] if the trail cannot be read, [`Exit::Usage`] for what cannot be asked.
    pub(crate) fn answer(&self, request: &AuditRequest) -> Result<AuditAnswer, Failure> {
        match request {
            AuditRequest::Settle => self.settle(),
            AuditRequest::Read {
                lane,
                from,
                back,
                limit,
                filter,
            } => self.read(parse_lane(lane)?, (*from, *back), *limit, filter),
            AuditRequest::Verify { lane, anchors } => self.begin(parse_lane(lane)?, anchors),
            AuditRequest::VerifyMore { id } => self.go_on(*id),
        }
    }

    fn settle(&self) -> Result<AuditAnswer, Failure> {
        let lane = |lane: Lane| {
            while self.ledger.step(lane, self.log.now(), true)?.more {}
            Ok(LaneBounds {
                lane: lane.name().to_owned(),
                first: self.ledger.oldest(lane)?.batch,
                next: self.ledger.end(lane)?.batch,
            })
        };
        let lanes = Lane::ALL.into_iter().map(lane);
        let lanes = lanes
            .collect::<Result<_, TrailError>>()
            .map_err(|it| unreadable(&it))?;
        Ok(AuditAnswer::Settled { lanes })
    }

    fn read(
        &self,
        lane: Lane,
        (batch, back): (u64, bool),
        limit: usize,
        filter: &FilterAsked,
    ) -> Result<AuditAnswer, Failure> {
        let direction = if back {
            Direction::Back
        } else {
            Direction::Forward
        };
        let place = (Cursor { batch }, direction);
        let filter = parse_filter(filter)?;
        let limit = limit.clamp(1, LIMIT_MAX);
        let page = self.ledger.read_page(lane, place, &filter, limit);
        let page = page.map_err(|it| unreadable(&it))?;
        let shown = page.events.iter().map(|event| EventShown {
            millis: event.time_millis,
            record: event.document().to_owned(),
        });
        Ok(AuditAnswer::Read(EventsPage {
            events: shown.collect(),
            at: page.at.batch,
            is_end: page.is_end,
        }))
    }

    fn begin(&self, lane: Lane, anchors: &[String]) -> Result<AuditAnswer, Failure> {
        let parse = |text: &String| {
            Anchor::parse(text)
                .ok_or_else(|| Failure::new(Exit::Usage, format!("{text:?} is no anchor"), ""))
        };
        let anchors: Vec<Anchor> = anchors.iter().map(parse).collect::<Result<_, _>>()?;
        let verification = self.ledger.verification(lane, &anchors);
        let verification = verification.map_err(|it| unreadable(&it))?;
        let mut verifications = self.verifications.lock();
        verifications.last_id += 1;
        let id = verifications.last_id;
        while verifications.running.len() >= VERIFICATIONS_MAX {
            verifications.running.pop_front();
        }
        let (done, total) = verification.progress();
        verifications.running.push_back((id, lane, verification));
        Ok(AuditAnswer::Verifying { id, done, total })
    }

    fn go_on(&self, id: u64) -> Result<AuditAnswer, Failure> {
        let mut verifications = self.verifications.lock();
        let running = &mut verifications.running;
        let at = running.iter().position(|(of, ..)| *of == id);
        let found = at.and_then(|at| running.remove(at));
        let (_, lane, mut verification) = found.ok_or_else(|| {
            Failure::new(
                Exit::General,
                "this verification is forgotten, since others began after it",
                "run it once more",
            )
        })?;
        for _ in 0..STEPS {
            if verification.step().map_err(|it| unreadable(&it))? {
                return Ok(AuditAnswer::Verified(lane_report(lane, verification)));
            }
        }
        let (done, total) = verification.progress();
        running.push_back((id, lane, verification));
        Ok(AuditAnswer::Verifying { id, done, total })
    }
}

fn lane_report(lane: Lane, verification: Verification) -> LaneReport {
    let report = verification.into_report();
    let findings = report.findings.iter().take(FINDINGS_MAX);
    let findings: Vec<String> = findings.map(ToString::to_string).collect();
    LaneReport {
        lane: lane.name().to_owned(),
        batches: report.batches,
        events: report.events,
        waiting: report.waiting,
        anchor: report.end.map(|end| format!("{}:{end}", lane.name())),
        findings,
        more_findings: report.more_findings,
    }
}

fn parse_lane(name: &str) -> Result<Lane, Failure> {
    Lane::parse(name)
        .ok_or_else(|| Failure::new(Exit::Usage, format!("there is no lane {name:?}"), ""))
}

fn parse_filter(asked: &FilterAsked) -> Result<Filter, Failure> {
    let FilterAsked {
        principal,
        key,
        bucket,
        event,
        request_id,
        outcome,
        since_millis,
        until_millis,
    } = asked.clone();
    let parse = |name: String| {
        Outcome::parse(&name)
            .ok_or_else(|| Failure::new(Exit::Usage, format!("there is no outcome {name:?}"), ""))
    };
    Ok(Filter {
        principal,
        key,
        bucket,
        event_name: event,
        request_id,
        outcome: outcome.map(parse).transpose()?,
        from: since_millis.map(Timestamp::from_millis),
        until: until_millis.map(Timestamp::from_millis),
    })
}

fn unreadable(error: &TrailError) -> Failure {
    Failure::new(
        Exit::Store,
        format!("the audit trail cannot be read: {error}"),
        "strongroom audit verify says what is wrong with it",
    )
}
