//! Verification of the local chain.

use std::fmt;

use bytes::Bytes;
use strongroom_ports::{Row, Scan, Table};

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

/// A verification that goes on step by step: for who shows how far it is, or has other work between.
pub struct Verification {
    ledger: Ledger,
    lane: Lane,
    anchors: Vec<Anchor>,
    /// As it was when the verification began.
    head: HeadRow,
    /// Where the next page of batches begins; nothing behind the last.
    start: Option<Bytes>,
    /// The number of the next batch.
    expected: u64,
    /// The hash of the batch before, if that was whole.
    previous: Option<[u8; 32]>,
    is_done: bool,
    report: Report,
}

impl Ledger {
    /// Verifies a lane: every batch from the first that is kept to the last, their chain, the head,
    /// the index, the spool, and `anchors` that somebody kept. Safe beside a running server.
    ///
    /// # Errors
    ///
    /// [`TrailError`] if the store cannot be read. What was tampered with is a finding.
    pub fn verify(&self, lane: Lane, anchors: &[Anchor]) -> Result<Report, TrailError> {
        let mut verification = self.verification(lane, anchors)?;
        while !verification.step()? {}
        Ok(verification.into_report())
    }

    /// Begins what [`Ledger::verify`] does at once.
    ///
    /// # Errors
    ///
    /// [`TrailError`] if the store cannot be read.
    pub fn verification(&self, lane: Lane, anchors: &[Anchor]) -> Result<Verification, TrailError> {
        let mut report = Report::default();
        let head = match self.head(lane) {
            Ok((head, _)) => Some(head),
            Err(TrailError::Damaged(_)) => {
                report.add(Finding::Head);
                None
            }
            Err(error) => return Err(error),
        };
        let is_done = head.is_none();
        let head = head.unwrap_or_default();
        Ok(Verification {
            ledger: self.clone(),
            lane,
            anchors: anchors.to_vec(),
            start: Some(Bytes::from(batch_key(lane, 0))),
            expected: head.first,
            previous: Some(head.before_first),
            head,
            is_done,
            report,
        })
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

impl Verification {
    /// How many batches were read, and how many there were when it began.
    pub fn progress(&self) -> (u64, u64) {
        let total = self.head.next.saturating_sub(self.head.first);
        (self.report.batches.min(total), total)
    }

    /// What was found so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// What was found.
    pub fn into_report(self) -> Report {
        self.report
    }

    /// Verifies some batches, or behind the last of them the rest. Whether all is done.
    ///
    /// # Errors
    ///
    /// [`TrailError`] if the store cannot be read.
    pub fn step(&mut self) -> Result<bool, TrailError> {
        if self.is_done {
            return Ok(true);
        }
        if let Some(start) = self.start.take() {
            self.start = self.verify_page(start)?;
            return Ok(false);
        }
        self.verify_end()?;
        self.ledger.verify_spool(self.lane, &mut self.report)?;
        self.verify_anchors();
        self.report.end = self.head.next.checked_sub(1).map(|batch| Anchor {
            batch,
            hash: self.head.hash,
        });
        self.is_done = true;
        Ok(true)
    }

    /// A page of batches, and where the next begins.
    fn verify_page(&mut self, start: Bytes) -> Result<Option<Bytes>, TrailError> {
        let page = self.ledger.rows.meta.scan(&Scan {
            table: Table::AUDIT_LEDGER,
            start,
            end: Some(Bytes::from(vec![self.lane.code() + 1])),
            limit: PAGE_ROWS,
            reverse: false,
        })?;
        for row in &page.rows {
            let number = row.key.get(1..).and_then(|it| it.try_into().ok());
            let number = number.map_or(u64::MAX, u64::from_be_bytes);
            if number >= self.head.next {
                // Added since we began, or by nobody.
                if number >= self.ledger.head(self.lane)?.0.next {
                    self.report.add(Finding::Unknown(number));
                }
            } else if number < self.head.first {
                self.report.add(Finding::Unknown(number));
            } else {
                self.verify_batch(number, row)?;
            }
        }
        let last = page.rows.last().filter(|_| page.more);
        Ok(last.map(|last| [last.key.as_ref(), &[0]].concat().into()))
    }

    fn verify_batch(&mut self, number: u64, row: &Row) -> Result<(), TrailError> {
        let Self { ledger, lane, .. } = self;
        let lane = *lane;
        let batch = ledger.open_batch(row).filter(|it| it.number == number);
        let unpacked = batch.as_ref().and_then(|batch| chain::unpack(lane, batch));
        self.missing_until(number)?;
        self.expected = number + 1;
        self.report.batches += 1;
        let (Some(batch), Some(unpacked)) = (batch, unpacked) else {
            self.report.add(Finding::Changed(number));
            self.previous = None;
            return Ok(());
        };
        self.report.events += u64::from(batch.events);
        if self.previous.is_some_and(|it| it != batch.previous) {
            self.report.add(Finding::Unchained(number));
        }
        let mut of_anchors = self.anchors.iter().filter(|it| it.batch == number);
        if of_anchors.any(|anchor| anchor.hash != unpacked.hash) {
            self.report.add(Finding::Anchor(number));
        }
        if !self.ledger.is_indexed(number, &unpacked.events)?
            && !self.ledger.is_swept(lane, number)?
        {
            self.report.add(Finding::Index(number));
        }
        self.previous = Some(unpacked.hash);
        Ok(())
    }

    fn missing_until(&mut self, number: u64) -> Result<(), TrailError> {
        while self.expected < number {
            if !self.ledger.is_swept(self.lane, self.expected)? {
                self.report.add(Finding::Missing(self.expected));
            }
            self.expected += 1;
            self.previous = None;
        }
        Ok(())
    }

    fn verify_end(&mut self) -> Result<(), TrailError> {
        self.missing_until(self.head.next)?;
        let counted = self.head.events.checked_sub(self.head.events_before);
        let fits = self.previous == Some(self.head.hash) && counted == Some(self.report.events);
        // A sweep between may have taken batches that the head still counted.
        if self.report.is_whole()
            && !fits
            && self.ledger.head(self.lane)?.0.first == self.head.first
        {
            self.report.add(Finding::Head);
        }
        Ok(())
    }

    fn verify_anchors(&mut self) {
        let head = self.head;
        for anchor in &self.anchors {
            if anchor.batch < head.first {
                let is_before = anchor.batch + 1 == head.first;
                if !is_before {
                    self.report.add(Finding::AnchorGone(anchor.batch));
                } else if anchor.hash != head.before_first {
                    self.report.add(Finding::Anchor(anchor.batch));
                }
            } else if anchor.batch >= head.next {
                self.report.add(Finding::Anchor(anchor.batch));
            }
        }
    }
}
