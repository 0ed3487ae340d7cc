//! The ledger: batches of events, each chained to the one before.

use bytes::Bytes;
use strongroom_ports::{Row, RowVersion, Scan, Table, Transaction};
use strongroom_rows::{Record, SealedRows, until_undisturbed};
use strongroom_types::{RequestId, Timestamp};

use crate::TrailError;
use crate::chain::{self, Entries, Packer, Unpacked};
use crate::completion::complete_stored;
use crate::event::{Event, EventId, Home};
use crate::index;
use crate::limits::{
    BATCH_MAX_EVENTS, BATCH_PACKED_MAX_BYTES, BATCH_SPAN_MILLIS, RETENTION_MILLIS, SETTLE_MILLIS,
    STEP_MAX_BYTES, STEP_MAX_EVENTS, SWEEP_MAX_BATCHES, UNDELIVERED_MILLIS,
};
use crate::records::{
    BatchRow, FirstFormatRow, HeadRow, Lane, SPOOL, batch_key, head_key, spool_key,
};

/// The chained log of one store. All its methods block: call them from a worker thread.
#[derive(Clone)]
pub struct Ledger {
    pub(crate) rows: SealedRows,
    pub(crate) home: Home,
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Events or batches, as the step says.
    pub count: u64,
    /// Whether there is more to do at once.
    pub more: bool,
}

/// Rows of the spool that go into the ledger next.
struct Waiting {
    key: Bytes,
    spooled: Spooled,
}

/// A row of the spool, opened.
pub(crate) struct Spooled {
    pub(crate) event: Event,
    /// The event, encoded.
    record: Vec<u8>,
}

impl Ledger {
    /// The ledger in `rows`; `home` is for events that do not say whose they are.
    pub fn new(rows: SealedRows, home: Home) -> Self {
        Self { rows, home }
    }

    /// Moves events from the spool into batches, as many as fit into a transaction; those that
    /// have not settled wait, unless `all`. Call it about once a second, and again while there is more.
    ///
    /// Exactly once: batches, index rows, the removal from the spool and the new head are one
    /// transaction, on the condition that the head was not changed. Any number of processes may call
    /// it at any time.
    ///
    /// # Errors
    ///
    /// [`TrailError`]. A row of the spool that does not verify is left where it is, and reported by
    /// `verify`; it does not hold up the others.
    pub fn step(&self, lane: Lane, now: Timestamp, all: bool) -> Result<Moved, TrailError> {
        until_undisturbed(|| self.try_step(lane, now, all))
    }

    fn try_step(&self, lane: Lane, now: Timestamp, all: bool) -> Result<Moved, TrailError> {
        let (head, version) = self.head(lane)?;
        let (waiting, mut more) = self.waiting(lane, now, all)?;
        if waiting.is_empty() {
            return Ok(Moved { count: 0, more });
        }
        let mut new = head;
        let mut transaction =
            Transaction::new().expect(Table::AUDIT_LEDGER, head_key(lane), version);
        let mut bytes = 0;
        let mut moved = 0;
        let mut packer = Packer::new();
        let mut rest = waiting.as_slice();
        while !rest.is_empty() && bytes < STEP_MAX_BYTES {
            let taken = self.batch(lane, rest, &mut new, &mut packer)?;
            let (events, behind) = rest.split_at_checked(taken.count).unwrap_or((rest, &[]));
            for (table, key, value) in taken.rows {
                bytes += key.len() + value.len();
                transaction = transaction.put(table, key, value);
            }
            for waiting in events {
                // Rows of the spool never change, and only a step removes them: the head's condition
                // is enough.
                bytes += waiting.key.len();
                transaction = transaction.delete(Table::AUDIT, waiting.key.clone());
                moved += 1;
            }
            rest = behind;
        }
        more |= !rest.is_empty();
        let key = head_key(lane);
        let value = self.rows.seal(Table::AUDIT_LEDGER, &key, &new);
        let transaction = transaction.put(Table::AUDIT_LEDGER, key, value);
        self.rows.meta.commit(transaction).wait()?;
        Ok(Moved { count: moved, more })
    }

    /// Makes one batch of the first of `waiting`, and moves the head behind it.
    fn batch(
        &self,
        lane: Lane,
        waiting: &[Waiting],
        head: &mut HeadRow,
        packer: &mut Packer,
    ) -> Result<Taken, TrailError> {
        let number = head.next;
        let mut max_events = BATCH_MAX_EVENTS;
        let (count, batch, hash) = loop {
            let (count, entries) = first_entries(waiting, max_events);
            let (batch, hash) = entries
                .into_batch(lane, number, head.hash, packer)
                .ok_or(TrailError::Unpackable)?;
            // Records that are not alike do not shrink.
            if count <= 1 || batch.entries.len() <= BATCH_PACKED_MAX_BYTES {
                break (count, batch, hash);
            }
            max_events = count / 2;
        };
        let key = batch_key(lane, number);
        let value = self.rows.seal(Table::AUDIT_LEDGER, &key, &batch);
        let mut rows = vec![(Table::AUDIT_LEDGER, key, value)];
        let events = waiting.iter().take(count).map(|it| &it.spooled.event);
        for (key, posting) in index::postings(number, events) {
            let value = self.rows.seal(Table::AUDIT_INDEX, &key, &posting);
            rows.push((Table::AUDIT_INDEX, key, value));
        }
        head.next += 1;
        head.hash = hash;
        head.events += u64::from(batch.events);
        Ok(Taken { count, rows })
    }

    /// What is in the spool and may go, oldest first; and whether there is more of it.
    fn waiting(
        &self,
        lane: Lane,
        now: Timestamp,
        all: bool,
    ) -> Result<(Vec<Waiting>, bool), TrailError> {
        let mut waiting = Vec::new();
        let mut more = false;
        for range in settled(lane, now, all) {
            let (rows, are_more) = self.spooled(range, STEP_MAX_EVENTS)?;
            more |= are_more;
            waiting.extend(rows);
        }
        more |= waiting.len() > STEP_MAX_EVENTS;
        waiting.truncate(STEP_MAX_EVENTS);
        Ok((waiting, more))
    }

    /// Whether an event up to that time still waits in the spool.
    pub(crate) fn has_waiting(&self, lane: Lane, until: Timestamp) -> Result<bool, TrailError> {
        let behind = EventId::with_tail(until, [0xFF; 10]);
        let range = (vec![SPOOL, lane.code()], spool_key(lane, behind));
        Ok(!self.spooled(range, 1)?.0.is_empty())
    }

    /// The first rows of a range of the spool that verify, `wanted` of them if there are so many, and
    /// whether there are rows behind. One that does not verify never leaves, and holds nothing up.
    fn spooled(
        &self,
        (mut start, end): KeyRange,
        wanted: usize,
    ) -> Result<(Vec<Waiting>, bool), TrailError> {
        let end = Bytes::from(end);
        let mut found = Vec::new();
        loop {
            let page = self.rows.meta.scan(&Scan {
                table: Table::AUDIT,
                start: start.into(),
                end: Some(end.clone()),
                limit: wanted,
                reverse: false,
            })?;
            let last = page.rows.last().map(|row| row.key.clone());
            for row in page.rows {
                if let Some(spooled) = self.open_spooled(&row) {
                    let key = row.key;
                    found.push(Waiting { key, spooled });
                }
            }
            match last.filter(|_| page.more) {
                Some(last) if found.len() < wanted => start = [last.as_ref(), &[0]].concat(),
                behind => return Ok((found, behind.is_some())),
            }
        }
    }

    /// The event of a spool row, of either format.
    pub(crate) fn open_spooled(&self, row: &Row) -> Option<Spooled> {
        if row.key.first() == Some(&SPOOL) {
            let custody = &self.rows.custody;
            let (event, record) = custody
                .open_record_with_bytes(Table::AUDIT, &row.key, &row.value)
                .ok()?;
            return Some(Spooled { event, record });
        }
        // BE64(milliseconds) || request id(16, zeros without one) || BE64(counter)
        let old: FirstFormatRow = self.rows.open(Table::AUDIT, &row.key, &row.value).ok()?;
        let (millis, rest) = row.key.split_first_chunk::<8>()?;
        let (request_id, counter) = rest.split_first_chunk::<16>()?;
        let time = Timestamp::from_millis(u64::from_be_bytes(*millis));
        // The same id whenever it is read: of the request's and the counter's bytes.
        let mut tail = [0; 10];
        for (byte, from) in tail.iter_mut().zip(counter.iter().rev().chain(request_id)) {
            *byte = *from;
        }
        let id = EventId::with_tail(time, tail);
        let request_id = (*request_id != [0; 16]).then(|| RequestId::from_bytes(*request_id));
        let home = &self.home;
        let event = complete_stored(time, request_id, &old.name, old.document, id, home);
        let record = Record::encode(&event);
        Some(Spooled { event, record })
    }

    /// Removes batches whose events all are older than 90 days, a few at a time, and their index rows.
    /// From batch `keep_from` on, which a trail has still to deliver, it waits 30 days more.
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    pub fn sweep(
        &self,
        lane: Lane,
        now: Timestamp,
        keep_from: Option<u64>,
    ) -> Result<Moved, TrailError> {
        until_undisturbed(|| {
            let (mut head, version) = self.head(lane)?;
            let mut transaction =
                Transaction::new().expect(Table::AUDIT_LEDGER, head_key(lane), version);
            let oldest = now.as_millis().saturating_sub(RETENTION_MILLIS);
            let mut removed = 0;
            while removed < SWEEP_MAX_BATCHES && head.first < head.next {
                let Some((batch, unpacked)) = self.read_batch(lane, head.first)? else {
                    return Err(TrailError::Damaged(Table::AUDIT_LEDGER.0));
                };
                let undelivered = keep_from.is_some_and(|from| head.first >= from);
                let oldest =
                    oldest.saturating_sub(if undelivered { UNDELIVERED_MILLIS } else { 0 });
                if batch.newest_millis >= oldest {
                    break;
                }
                transaction = transaction.delete(Table::AUDIT_LEDGER, batch_key(lane, head.first));
                for (key, _) in index::postings(head.first, &unpacked.events) {
                    transaction = transaction.delete(Table::AUDIT_INDEX, key);
                }
                head.first += 1;
                head.before_first = unpacked.hash;
                head.events_before += u64::from(batch.events);
                removed += 1;
            }
            if removed > 0 {
                let key = head_key(lane);
                let value = self.rows.seal(Table::AUDIT_LEDGER, &key, &head);
                let transaction = transaction
                    .put(Table::AUDIT_LEDGER, key, value)
                    .taking_away();
                self.rows.meta.commit(transaction).wait()?;
            }
            Ok(Moved {
                count: removed,
                more: removed == SWEEP_MAX_BATCHES,
            })
        })
    }

    /// Where the lane begins and ends.
    pub(crate) fn head(&self, lane: Lane) -> Result<(HeadRow, Option<RowVersion>), TrailError> {
        let read = self.rows.read(Table::AUDIT_LEDGER, &head_key(lane))?;
        Ok(match read {
            Some((head, version)) => (head, Some(version)),
            None => (HeadRow::default(), None),
        })
    }

    /// A batch, if there is one of that number.
    pub(crate) fn read_batch(
        &self,
        lane: Lane,
        number: u64,
    ) -> Result<Option<(BatchRow, Unpacked)>, TrailError> {
        let unpack = |batch: &BatchRow| chain::unpack(lane, batch);
        self.read_batch_with(lane, number, unpack)
    }

    /// The events at some positions of a batch, if there is one of that number.
    pub(crate) fn read_events(
        &self,
        lane: Lane,
        number: u64,
        positions: &[u8],
    ) -> Result<Option<Vec<Event>>, TrailError> {
        let pick = |batch: &BatchRow| chain::pick(batch, positions);
        let picked = self.read_batch_with(lane, number, pick)?;
        Ok(picked.map(|(_, events)| events))
    }

    fn read_batch_with<T>(
        &self,
        lane: Lane,
        number: u64,
        unpack: impl FnOnce(&BatchRow) -> Option<T>,
    ) -> Result<Option<(BatchRow, T)>, TrailError> {
        let key = batch_key(lane, number);
        let Some((batch, _)) = self.rows.read::<BatchRow>(Table::AUDIT_LEDGER, &key)? else {
            return Ok(None);
        };
        let unpacked = unpack(&batch).filter(|_| batch.number == number);
        let damaged = TrailError::Damaged(Table::AUDIT_LEDGER.0);
        Ok(Some((batch, unpacked.ok_or(damaged)?)))
    }

    /// Whether a row of the ledger that was read is a batch.
    pub(crate) fn open_batch(&self, row: &Row) -> Option<BatchRow> {
        let opened = self
            .rows
            .custody
            .rows()
            .open(Table::AUDIT_LEDGER.0, &row.key, &row.value);
        <BatchRow as Record>::decode(&opened.ok()?)
    }
}

/// From a key, and up to another.
type KeyRange = (Vec<u8>, Vec<u8>);

/// The ranges of the spool whose events may go. Keys begin with the time, so that what must wait is
/// not even looked at.
fn settled(lane: Lane, now: Timestamp, all: bool) -> Vec<KeyRange> {
    let in_lane = |millis| spool_key(lane, EventId::first_of(Timestamp::from_millis(millis)));
    let lane_range = (vec![SPOOL, lane.code()], vec![SPOOL, lane.code() + 1]);
    let mut ranges = settled_of(lane_range, in_lane, now, all);
    if lane == Lane::Management {
        // What the first version of the trail has left.
        let of_first_version = |millis: u64| millis.to_be_bytes().to_vec();
        let range = (Vec::new(), vec![SPOOL]);
        ranges.splice(0..0, settled_of(range, of_first_version, now, all));
    }
    ranges
}

/// Of a range of keys, of which `from` makes the first one of a time.
fn settled_of(
    (start, end): KeyRange,
    from: impl Fn(u64) -> Vec<u8>,
    now: Timestamp,
    all: bool,
) -> Vec<KeyRange> {
    if all {
        return vec![(start, end)];
    }
    let now = now.as_millis();
    vec![
        (start, from((now + 1).saturating_sub(SETTLE_MILLIS))),
        // An event from the future is one from before the clock was set back.
        (from(now + SETTLE_MILLIS + 1), end),
    ]
}

/// The first of `waiting` that go into one batch, and how many they are.
fn first_entries(waiting: &[Waiting], max_events: usize) -> (usize, Entries) {
    let mut entries = Entries::default();
    let mut count = 0;
    let mut times = (u64::MAX, 0);
    for Waiting { spooled, .. } in waiting.iter().take(max_events) {
        let time = spooled.event.time_millis;
        let new = (times.0.min(time), times.1.max(time));
        let spans = count > 0 && new.1 - new.0 > BATCH_SPAN_MILLIS;
        if spans || !entries.push(&spooled.record, time) {
            break;
        }
        times = new;
        count += 1;
    }
    (count, entries)
}

/// What one batch takes.
struct Taken {
    count: usize,
    rows: Vec<(Table, Vec<u8>, Bytes)>,
}
