//! Where trails are kept: their configuration and their progress.

use bytes::Bytes;
use minicbor::{Decode, Encode};
use strongroom_ports::{RowVersion, Scan, Table, Transaction};
use strongroom_rows::{SealedRows, until_undisturbed};
use strongroom_types::{AccountId, Timestamp};

use crate::TrailError;
use crate::event::{Event, EventBuilder, Home};
use crate::ledger::Ledger;
use crate::limits::TRAILS_MAX;
use crate::log::AuditLog;
use crate::records::Lane;
use crate::trails::state::TrailState;
use crate::trails::{DataEvents, Trail, TrailName, TrailProblem};

/// Trails read at a time.
const PAGE_ROWS: usize = 1000;
pub(crate) const TRAIL: u8 = b'T';
const STATE: u8 = b'S';
const ACCOUNT: u8 = b'A';

/// Changes with each trail that is made or deleted, so that names stay unique.
#[derive(Clone, Copy, Debug, Default, Encode, Decode)]
#[cbor(map)]
pub(crate) struct AccountTrailsRow {
    #[n(0)]
    generation: u64,
    /// The end of the last digest of any trail that is gone, in milliseconds: digests are named by it
    /// and by the trail's name, which may be used again.
    #[n(1)]
    #[cbor(default)]
    last_end_millis: u64,
}

/// The trails of a store. All methods block: call them from a worker thread.
#[derive(Clone)]
pub struct Trails {
    pub(crate) rows: SealedRows,
    pub(crate) ledger: Ledger,
    log: AuditLog,
    data_events: DataEvents,
}

/// A trail that was read, with what a change of it must find unchanged.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub id: TrailId,
    pub trail: Trail,
    pub version: RowVersion,
}

/// Key of the progress of the trail whose row has that key.
pub(crate) fn state_key_of(trail_key: &[u8]) -> Vec<u8> {
    let id = trail_key.get(1..).unwrap_or_default();
    [&[STATE], id].concat()
}

/// A trail's identity: its name can be used again, this cannot. `account(12) || random(16)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct TrailId(pub [u8; 28]);

impl TrailId {
    fn key(&self, kind: u8) -> Vec<u8> {
        [&[kind], self.0.as_slice()].concat()
    }

    pub(crate) fn trail_key(&self) -> Vec<u8> {
        self.key(TRAIL)
    }

    pub(crate) fn state_key(&self) -> Vec<u8> {
        self.key(STATE)
    }
}

/// Why a change of a trail was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrailsError {
    /// The request cannot be fulfilled.
    #[error(transparent)]
    Refused(#[from] TrailProblem),
    /// The store failed.
    #[error(transparent)]
    Trail(#[from] TrailError),
}

impl From<strongroom_rows::RowError> for TrailsError {
    fn from(error: strongroom_rows::RowError) -> Self {
        Self::Trail(error.into())
    }
}

impl strongroom_rows::Contended for TrailsError {
    fn contention() -> Self {
        Self::Trail(TrailError::contention())
    }

    fn is_contention(&self) -> bool {
        matches!(self, Self::Trail(error) if error.is_contention())
    }
}

impl Trails {
    /// The trails in the rows of `log`.
    pub fn new(log: AuditLog) -> Self {
        let ledger = Ledger::new(log.rows().clone(), log.home().clone());
        Self {
            rows: log.rows().clone(),
            ledger,
            log,
            data_events: DataEvents::default(),
        }
    }

    /// These trails, whose wishes for data events are told to `data_events`, now and whenever they
    /// change. Blocks.
    #[must_use]
    pub fn telling(mut self, data_events: DataEvents) -> Self {
        self.data_events = data_events;
        self.tell();
        self
    }

    /// Tells what data events trails want.
    fn tell(&self) {
        match self.all() {
            Ok(stored) => {
                let wishes = stored.into_iter().filter_map(|Stored { trail, .. }| {
                    let wants = trail.logging && trail.selectors.wants_data();
                    wants.then_some((trail.account, trail.selectors))
                });
                self.data_events.set(wishes.collect());
            }
            Err(error) => {
                tracing::error!(%error, "trails cannot be read: all data events are recorded");
                self.data_events.lose();
            }
        }
    }

    /// Whose store this is.
    pub(crate) fn home(&self) -> &Home {
        self.log.home()
    }

    /// The event of a call that ends now.
    pub(crate) fn finish(&self, event: EventBuilder<'_>) -> Event {
        self.log.finish(event)
    }

    /// The wall clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.log.now()
    }

    /// The trails of an account, those that are being deleted left out.
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    pub fn list(&self, account: AccountId) -> Result<Vec<Trail>, TrailError> {
        let mut trails: Vec<Trail> = self.live(account)?.into_iter().map(|it| it.trail).collect();
        trails.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(trails)
    }

    /// A trail and its progress.
    ///
    /// # Errors
    ///
    /// [`TrailProblem::Unknown`].
    pub fn get(
        &self,
        account: AccountId,
        name: &TrailName,
    ) -> Result<(Trail, TrailState), TrailsError> {
        let stored = self.named(account, name)?;
        let (state, _) = self.state(stored.id)?;
        Ok((stored.trail, state))
    }

    /// Makes a trail. It does not log yet. `event` records the call, in the same transaction.
    ///
    /// # Errors
    ///
    /// [`TrailProblem::Exists`], [`TrailProblem::TooMany`] and what [`Trail::check`] says.
    pub fn create(
        &self,
        account: AccountId,
        trail: &Trail,
        event: &Event,
    ) -> Result<(), TrailsError> {
        trail.check()?;
        until_undisturbed(|| {
            let live = self.live(account)?;
            if live.iter().any(|it| it.trail.name == trail.name) {
                return Err(TrailProblem::Exists(trail.name.clone()).into());
            }
            if live.len() >= TRAILS_MAX {
                return Err(TrailProblem::TooMany.into());
            }
            let mut id = TrailId([0; 28]);
            let mut random = [0; 16];
            self.rows.entropy.fill(&mut random);
            for (to, from) in id.0.iter_mut().zip(account.as_str().bytes().chain(random)) {
                *to = from;
            }
            let table = Table::AUDIT_TRAILS;
            let value = self.rows.seal(table, &id.trail_key(), trail);
            let state = self
                .rows
                .seal(table, &id.state_key(), &TrailState::default());
            let transaction = self
                .counted(account)?
                .put(table, id.trail_key(), value)
                .put(table, id.state_key(), state);
            self.commit(transaction, event)
        })
    }

    /// Changes a trail's configuration, all but its name and whether it logs.
    ///
    /// # Errors
    ///
    /// [`TrailProblem::Unknown`], what `change` says and what [`Trail::check`] says.
    pub fn update(
        &self,
        account: AccountId,
        name: &TrailName,
        event: &Event,
        change: impl Fn(Trail) -> Result<Trail, TrailProblem>,
    ) -> Result<Trail, TrailsError> {
        until_undisturbed(|| {
            let stored = self.named(account, name)?;
            let before = stored.trail.clone();
            let trail = change(stored.trail)?;
            trail.check()?;
            let transaction = self.put_trail(stored.id, stored.version, &trail);
            let (mut state, version) = self.state(stored.id)?;
            let wants_the_same =
                before.selectors == trail.selectors && before.global_events == trail.global_events;
            if state.is_active(&before) && !wants_the_same {
                state.wanted_until(&before, event.time_millis);
            }
            // A chain begins with the setting; where it ends, a last digest is due.
            state.prove(&trail, event.time_millis);
            // What was refused may be taken now.
            state.retry_millis = 0;
            let transaction = self.put_state(transaction, stored.id, version, &state);
            self.commit(transaction, event)?;
            Ok(trail)
        })
    }

    /// StartLogging: events from now on are delivered, and a new chain of digests begins.
    ///
    /// # Errors
    ///
    /// [`TrailProblem::Unknown`].
    pub fn start(
        &self,
        account: AccountId,
        name: &TrailName,
        event: &Event,
    ) -> Result<(), TrailsError> {
        until_undisturbed(|| {
            let stored = self.named(account, name)?;
            let (mut state, version) = self.state(stored.id)?;
            let at = event.time_millis;
            let was_logging = stored.trail.logging;
            let trail = Trail {
                logging: true,
                ..stored.trail
            };
            if let Some(stopped) = state.stopping_millis.take() {
                // Before the rest of the last time was delivered: the chain goes on.
                state.was_off(&trail, stopped, at);
                state.started_millis = Some(at);
            } else if !was_logging {
                state.management = self.ledger.end(Lane::Management)?.batch;
                state.data = self.ledger.end(Lane::Data)?.batch;
                state.since_millis = at;
                state.flushed_millis = at;
                state.started_millis = Some(at);
            }
            state.prove(&trail, at);
            let transaction = self.put_trail(stored.id, stored.version, &trail);
            let transaction = self.put_state(transaction, stored.id, version, &state);
            self.commit(transaction, event)
        })
    }

    /// StopLogging: events up to this one are still delivered, and a last digest.
    ///
    /// # Errors
    ///
    /// [`TrailProblem::Unknown`].
    pub fn stop(
        &self,
        account: AccountId,
        name: &TrailName,
        event: &Event,
    ) -> Result<(), TrailsError> {
        self.end(account, name, event, false)
    }

    /// DeleteTrail: as StopLogging, and its name is free at once.
    ///
    /// # Errors
    ///
    /// [`TrailProblem::Unknown`].
    pub fn delete(
        &self,
        account: AccountId,
        name: &TrailName,
        event: &Event,
    ) -> Result<(), TrailsError> {
        self.end(account, name, event, true)
    }

    fn end(
        &self,
        account: AccountId,
        name: &TrailName,
        event: &Event,
        delete: bool,
    ) -> Result<(), TrailsError> {
        until_undisturbed(|| {
            let stored = self.named(account, name)?;
            let (mut state, version) = self.state(stored.id)?;
            if stored.trail.logging {
                state.stopping_millis = Some(event.time_millis);
                state.stopped_millis = Some(event.time_millis);
                // The rest is due at once, whatever failed before.
                state.retry_millis = 0;
            }
            state.deleted = delete;
            let trail = Trail {
                logging: false,
                ..stored.trail
            };
            let mut transaction = self.put_trail(stored.id, stored.version, &trail);
            transaction = self.put_state(transaction, stored.id, version, &state);
            if delete {
                let counted = self.counted(account)?;
                transaction.conditions.extend(counted.conditions);
                transaction.writes.extend(counted.writes);
            }
            self.commit(transaction, event)
        })
    }

    /// The oldest batch that a trail has still to deliver, for [`Ledger::sweep`].
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    pub fn keep_from(&self, lane: Lane) -> Result<Option<u64>, TrailError> {
        let mut oldest = None;
        for Stored { id, trail, .. } in self.all()? {
            let (state, _) = self.state(id)?;
            if state.is_active(&trail) {
                let next = match lane {
                    Lane::Management => state.management,
                    Lane::Data => state.data,
                };
                oldest = Some(oldest.map_or(next, |oldest: u64| oldest.min(next)));
            }
        }
        Ok(oldest)
    }

    /// All trails of all accounts, those that are being deleted included.
    pub(crate) fn all(&self) -> Result<Vec<Stored>, TrailError> {
        self.each()?.into_iter().collect()
    }

    /// The same, each on its own: one that is damaged is no reason to do nothing for the others.
    pub(crate) fn each(&self) -> Result<Vec<Result<Stored, TrailError>>, TrailError> {
        self.scan((vec![TRAIL], vec![TRAIL + 1]))
    }

    fn live(&self, account: AccountId) -> Result<Vec<Stored>, TrailError> {
        let start = [&[TRAIL], account.as_str().as_bytes()].concat();
        // No byte of UTF-8 digits is above that of the account's last.
        let end = [start.as_slice(), &[0xFF; 17]].concat();
        let mut live = Vec::new();
        for stored in self.scan((start, end))? {
            let stored = stored?;
            if !self.state(stored.id)?.0.deleted {
                live.push(stored);
            }
        }
        Ok(live)
    }

    fn scan(
        &self,
        (start, end): (Vec<u8>, Vec<u8>),
    ) -> Result<Vec<Result<Stored, TrailError>>, TrailError> {
        let table = Table::AUDIT_TRAILS;
        let mut start = Bytes::from(start);
        let mut found = Vec::new();
        loop {
            let page = self.rows.meta.scan(&Scan {
                table,
                start,
                end: Some(Bytes::from(end.clone())),
                limit: PAGE_ROWS,
                reverse: false,
            })?;
            let last = page.rows.last().map(|row| row.key.clone());
            for row in page.rows {
                let Some(id) = row.key.get(1..).and_then(|id| id.try_into().ok()) else {
                    continue;
                };
                let opened = self.rows.open::<Trail>(table, &row.key, &row.value);
                found.push(opened.map_err(TrailError::from).map(|trail| Stored {
                    id: TrailId(id),
                    trail,
                    version: row.version,
                }));
            }
            match last {
                Some(last) if page.more => start = [&last, [0].as_slice()].concat().into(),
                _ => return Ok(found),
            }
        }
    }

    fn named(&self, account: AccountId, name: &TrailName) -> Result<Stored, TrailsError> {
        let mut live = self.live(account)?.into_iter();
        live.find(|it| it.trail.name == name.as_str())
            .ok_or_else(|| TrailProblem::Unknown(name.to_string()).into())
    }

    pub(crate) fn state(
        &self,
        id: TrailId,
    ) -> Result<(TrailState, Option<RowVersion>), TrailError> {
        let read = self.rows.read(Table::AUDIT_TRAILS, &id.state_key())?;
        Ok(match read {
            Some((state, version)) => (state, Some(version)),
            None => (TrailState::default(), None),
        })
    }

    fn put_trail(&self, id: TrailId, version: RowVersion, trail: &Trail) -> Transaction {
        let (table, key) = (Table::AUDIT_TRAILS, id.trail_key());
        let value = self.rows.seal(table, &key, trail);
        Transaction::new()
            .expect(table, key.clone(), Some(version))
            .put(table, key, value)
    }

    pub(crate) fn put_state(
        &self,
        transaction: Transaction,
        id: TrailId,
        version: Option<RowVersion>,
        state: &TrailState,
    ) -> Transaction {
        let (table, key) = (Table::AUDIT_TRAILS, id.state_key());
        let value = self.rows.seal(table, &key, state);
        transaction
            .expect(table, key.clone(), version)
            .put(table, key, value)
    }

    /// A transaction in which trails of an account come or go.
    fn counted(&self, account: AccountId) -> Result<Transaction, TrailError> {
        self.change_account(account.as_str(), |row| row.generation += 1)
    }

    fn change_account(
        &self,
        account: &str,
        change: impl FnOnce(&mut AccountTrailsRow),
    ) -> Result<Transaction, TrailError> {
        let key = account_key(account);
        let table = Table::AUDIT_TRAILS;
        let read = self.rows.read::<AccountTrailsRow>(table, &key)?;
        let (mut row, version) = match read {
            Some((row, version)) => (row, Some(version)),
            None => (AccountTrailsRow::default(), None),
        };
        change(&mut row);
        let value = self.rows.seal(table, &key, &row);
        Ok(Transaction::new()
            .expect(table, key.clone(), version)
            .put(table, key, value))
    }

    /// Removes a trail that has nothing left to deliver.
    pub(crate) fn remove(
        &self,
        stored: &Stored,
        state: &TrailState,
        version: Option<RowVersion>,
    ) -> Result<(), TrailError> {
        let account = stored.trail.account.as_str();
        let changed = self.change_account(account, |row| {
            row.last_end_millis = row.last_end_millis.max(state.last_end_millis);
        })?;
        let transaction = changed
            .expect(Table::AUDIT_TRAILS, stored.id.state_key(), version)
            .delete(Table::AUDIT_TRAILS, stored.id.state_key())
            .delete(Table::AUDIT_TRAILS, stored.id.trail_key());
        self.rows.meta.commit(transaction).wait()?;
        Ok(())
    }

    /// The ends of the last digests, in milliseconds, of whatever had or has the name of `trail`, itself
    /// included.
    pub(crate) fn last_ends_of(&self, trail: &Trail) -> Result<Vec<u64>, TrailError> {
        let key = account_key(&trail.account);
        let read = self
            .rows
            .read::<AccountTrailsRow>(Table::AUDIT_TRAILS, &key)?;
        let mut ends: Vec<u64> = read.iter().map(|(row, _)| row.last_end_millis).collect();
        for stored in self.each()?.into_iter().flatten() {
            if (&stored.trail.account, &stored.trail.name) == (&trail.account, &trail.name) {
                ends.push(self.state(stored.id)?.0.last_end());
            }
        }
        Ok(ends)
    }

    fn commit(&self, transaction: Transaction, event: &Event) -> Result<(), TrailsError> {
        let transaction = self.log.add(transaction, event);
        self.rows
            .meta
            .commit(transaction)
            .wait()
            .map_err(TrailError::from)?;
        self.tell();
        Ok(())
    }
}

fn account_key(account: &str) -> Vec<u8> {
    [&[ACCOUNT], account.as_bytes()].concat()
}
