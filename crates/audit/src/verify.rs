//! Verification of the local chain.

use std::fmt;

use bytes::Bytes;
use strongroom_ports::{Scan, Table};

use crate::TrailError;
use crate::chain;
use crate::index;
use crate::ledger::Ledger;
use crate::records::{HeadRow, Lane, PostingRow, SPOOL, batch_key};

/// Batches that are read at a time.
const PAGE_ROWS: usize = 32;
/// Findings beyond are counted only.
const FINDINGS_MAX: usize = 1000;

/// A place in the chain and its hash. Whoever keeps one elsewhere can prove later that nothing before
/// it was changed, not even by somebody with all keys of the store.
///
/// As text: `NUMBER:HASH`, the number of the last batch and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Anchor {
    /// The number of a batch.
    pub batch: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl Anchor {
    /// Parses the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let (batch, hash) = text.split_once(':')?;
        Some(Self {
            batch: batch.parse().ok()?,
            hash: hex::decode(hash).ok()?.try_into().ok()?,
        })
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.batch, hex::encode(self.hash))
    }
}

/// What is wrong with the trail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// A batch is not there.
    #[error("batch {0} is missing")]
    Missing(u64),
    /// A batch is there that the head does not know.
    #[error("batch {0} is none of the chain's")]
    Unknown(u64),
    /// A batch does not verify, or is another one.
    #[error("batch {0} was changed")]
    Changed(u64),
    /// A batch does not continue the one before.
    #[error("batch {0} does not continue the one before it")]
    Unchained(u64),
    /// The head does not say what the batches say.
    #[error("the head of the chain does not fit to its batches")]
    Head,
    /// An anchor does not fit.
    #[error("batch {0} is not the one of the anchor")]
    Anchor(u64),
    /// The anchor's batch is gone, by age, so it proves nothing.
    #[error("batch {0} of the anchor is no longer kept")]
    AnchorGone(u64),
    /// Events of a batch are not found by LookupEvents.
    #[error("the index does not show what batch {0} holds")]
    Index(u64),
    /// A row of the spool does not verify.
    #[error("an event that is not yet in a batch was changed")]
    Spool,
}

/// The outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Batches that were read.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
    /// Events that wait for their batch: durable and sealed, not yet chained.
    pub waiting: u64,
    /// The end of the chain, to be kept elsewhere.
    pub end: Option<Anchor>,
    /// What is wrong; nothing, if the trail is whole.
    pub findings: Vec<Finding>,
    /// Findings beyond the first 1000.
    pub more_findings: u64,
}

impl Report {
    /// Whether the trail is whole.
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty()
    }

    fn add(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }
}

impl Ledger {
    /// Verifies a lane: every batch from the first that is kept to the last, their chain, the head,
    /// the index, the spool, and `anchors` that somebody kept. Safe beside a running server.
    ///
    /// # Errors
    ///
    /// [`TrailError`] if the store cannot be read. What was tampered with is a finding.
    pub fn verify(&self, lane: Lane, anchors: &[Anchor]) -> Result<Report, TrailError> {
        let mut report = Report::default();
        let head = match self.head(lane) {
            Ok((head, _)) => head,
            Err(TrailError::Damaged(_)) => {
                report.add(Finding::Head);
                return Ok(report);
            }
            Err(error) => return Err(error),
        };
        self.verify_batches(lane, &head, anchors, &mut report)?;
        self.verify_spool(lane, &mut report)?;
        for anchor in anchors {
            if anchor.batch < head.first {
                let is_before = anchor.batch + 1 == head.first;
                if !is_before {
                    report.add(Finding::AnchorGone(anchor.batch));
                } else if anchor.hash != head.before_first {
                    report.add(Finding::Anchor(anchor.batch));
                }
            } else if anchor.batch >= head.next {
                report.add(Finding::Anchor(anchor.batch));
            }
        }
        report.end = head.next.checked_sub(1).map(|batch| Anchor {
            batch,
            hash: head.hash,
        });
        Ok(report)
    }

    fn verify_batches(
        &self,
        lane: Lane,
        head: &HeadRow,
        anchors: &[Anchor],
        report: &mut Report,
    ) -> Result<(), TrailError> {
        let mut expected = head.first;
        let mut previous = Some(head.before_first);
        let mut start = Bytes::from(batch_key(lane, 0));
        let end = Bytes::from(vec![lane.code() + 1]);
        loop {
            let page = self.rows.meta.scan(&Scan {
                table: Table::AUDIT_LEDGER,
                start,
                end: Some(end.clone()),
                limit: PAGE_ROWS,
                reverse: false,
            })?;
            for row in &page.rows {
                let number = row.key.get(1..).and_then(|it| it.try_into().ok());
                let number = number.map_or(u64::MAX, u64::from_be_bytes);
                if number >= head.next {
                    // Added since we began, or by nobody.
                    if number >= self.head(lane)?.0.next {
                        report.add(Finding::Unknown(number));
                    }
                    continue;
                }
                if number < head.first {
                    report.add(Finding::Unknown(number));
                    continue;
                }
                while expected < number {
                    self.missing(lane, expected, report)?;
                    expected += 1;
                    previous = None;
                }
                expected = number + 1;
                report.batches += 1;
                let batch = self.open_batch(row).filter(|batch| batch.number == number);
                let unpacked = batch.as_ref().and_then(|batch| chain::unpack(lane, batch));
                let (Some(batch), Some(unpacked)) = (batch, unpacked) else {
                    report.add(Finding::Changed(number));
                    previous = None;
                    continue;
                };
                report.events += u64::from(batch.events);
                if previous.is_some_and(|previous| previous != batch.previous) {
                    report.add(Finding::Unchained(number));
                }
                for anchor in anchors.iter().filter(|anchor| anchor.batch == number) {
                    if anchor.hash != unpacked.hash {
                        report.add(Finding::Anchor(number));
                    }
                }
                if !self.is_indexed(number, &unpacked.events)? && !self.is_swept(lane, number)? {
                    report.add(Finding::Index(number));
                }
                previous = Some(unpacked.hash);
            }
            match page.rows.last() {
                Some(last) if page.more => start = [last.key.as_ref(), &[0]].concat().into(),
                _ => break,
            }
        }
        while expected < head.next {
            self.missing(lane, expected, report)?;
            expected += 1;
            previous = None;
        }
        let whole = report.is_whole();
        let counted = head.events.checked_sub(head.events_before);
        if whole && (previous != Some(head.hash) || counted != Some(report.events)) {
            // A sweep between may have taken batches that the head still counted.
            if self.head(lane)?.0.first == head.first {
                report.add(Finding::Head);
            }
        }
        Ok(())
    }

    fn missing(&self, lane: Lane, number: u64, report: &mut Report) -> Result<(), TrailError> {
        if !self.is_swept(lane, number)? {
            report.add(Finding::Missing(number));
        }
        Ok(())
    }

    /// Whether the sweep has removed it in the meantime.
    fn is_swept(&self, lane: Lane, number: u64) -> Result<bool, TrailError> {
        Ok(number < self.head(lane)?.0.first)
    }

    fn is_indexed(&self, number: u64, events: &[crate::Event]) -> Result<bool, TrailError> {
        for (key, expected) in index::postings(number, events) {
            match self.rows.read::<PostingRow>(Table::AUDIT_INDEX, &key) {
                Ok(Some((row, _))) if row == expected => {}
                Ok(_) | Err(strongroom_rows::RowError::Damaged(_)) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn verify_spool(&self, lane: Lane, report: &mut Report) -> Result<(), TrailError> {
        let first = match lane {
            Lane::Management => Vec::new(),
            Lane::Data => vec![SPOOL, lane.code()],
        };
        let mut start = Bytes::from(first);
        loop {
            let page = self.rows.meta.scan(&Scan {
                table: Table::AUDIT,
                start,
                end: Some(vec![SPOOL, lane.code() + 1].into()),
                limit: PAGE_ROWS * 4,
                reverse: false,
            })?;
            for row in &page.rows {
                report.waiting += 1;
                if self.open_spooled(row).is_none() {
                    report.add(Finding::Spool);
                }
            }
            match page.rows.last() {
                Some(last) if page.more => start = [last.key.as_ref(), &[0]].concat().into(),
                _ => return Ok(()),
            }
        }
    }
}
