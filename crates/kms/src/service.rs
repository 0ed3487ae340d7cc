//! The service: its ports, and how rows of keys are read and changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use strongroom_audit::{AuditLog, Event, Params};
use strongroom_policy::{Authorizer, PrincipalDirectory};
use strongroom_ports::{
    Clock, CommitError, Entropy, Row, RowVersion, Scan, ShredStore, Table, Transaction,
    VALUE_MAX_BYTES, Write,
};
use strongroom_rows::{Record, SealedRows};
use strongroom_types::kms::KeyArn;
use strongroom_types::{AccountId, Region, RequestContext, Timestamp};

use crate::access::Ask;
use crate::cache::{OpenedKey, OpenedKeys};
use crate::clock_guard::ClockGuard;
use crate::due::DueDates;
use crate::endings::Endings;
use crate::key::Key;
use crate::lease::Watches;
use crate::markers::Markers;
use crate::rows::KeyRow;
use crate::trail::Asked;
use crate::usage::LastUses;
use crate::{KmsError, keys};
use strongroom_rows::until_undisturbed;

/// What the service stands on.
#[derive(Clone)]
pub struct KeyServicePorts {
    /// Metadata.
    pub rows: SealedRows,
    /// Shred keys.
    pub shreds: Arc<dyn ShredStore>,
    /// Decisions.
    pub authorizer: Arc<dyn Authorizer>,
    /// Whom policies and grants can name.
    pub principals: Arc<dyn PrincipalDirectory>,
    /// The trail.
    pub audit: AuditLog,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// What an operator may choose.
#[derive(Clone, Debug)]
pub struct KeyServiceOptions {
    /// This server's region.
    pub region: Region,
    /// Believes the clock at the start, however long after the last run that is, and destroys at
    /// once what is past its date: a clock that is wrong destroys keys then. For tests with shifted
    /// time, and for who looked at the clock.
    pub danger_trust_clock: bool,
}

/// The key service. All methods take `&self`; share it in an `Arc`.
pub struct KeyService {
    pub(crate) ports: KeyServicePorts,
    pub(crate) options: KeyServiceOptions,
    pub(crate) shared: Arc<Shared>,
    /// This service on what is in memory; none in that one itself.
    resident: Option<Arc<Self>>,
    only_asks: bool,
}

/// What the service and the one on what is in memory have in common.
pub(crate) struct Shared {
    pub opened: OpenedKeys,
    pub watches: Watches,
    pub last_uses: LastUses,
    pub markers: Markers,
    pub clock_guard: ClockGuard,
    pub due: DueDates,
    pub endings: Endings,
    /// Customer keys of an account, at most; see [`crate::key_create`].
    pub key_counts: Mutex<BTreeMap<AccountId, usize>>,
    /// Shred keys that this pass has not verified yet.
    pub to_scrub: Mutex<Vec<[u8; 16]>>,
}

impl KeyService {
    /// A service on its ports.
    pub fn new(ports: KeyServicePorts, options: KeyServiceOptions) -> Self {
        Self::made(ports, options, false)
    }

    /// A service that is only asked what it would decide: refusals are not recorded.
    pub(crate) fn that_only_asks(ports: KeyServicePorts, options: KeyServiceOptions) -> Self {
        Self::made(ports, options, true)
    }

    fn made(ports: KeyServicePorts, options: KeyServiceOptions, only_asks: bool) -> Self {
        let shared = Arc::new(Shared {
            opened: OpenedKeys::default(),
            watches: Watches::default(),
            last_uses: LastUses::default(),
            markers: Markers::new(&ports),
            clock_guard: ClockGuard::new(&*ports.clock),
            due: DueDates::default(),
            endings: Endings::default(),
            key_counts: Mutex::default(),
            to_scrub: Mutex::default(),
        });
        let resident = Self {
            ports: KeyServicePorts {
                rows: ports.rows.in_memory(),
                ..ports.clone()
            },
            options: options.clone(),
            shared: Arc::clone(&shared),
            resident: None,
            only_asks,
        };
        Self {
            ports,
            options,
            shared,
            resident: Some(Arc::new(resident)),
            only_asks,
        }
    }

    /// This service on what is in memory, which never waits for the disk.
    pub fn resident(&self) -> &Self {
        self.resident.as_deref().unwrap_or(self)
    }

    /// Whether this is the service on what is in memory.
    pub(crate) fn is_resident(&self) -> bool {
        self.resident.is_none()
    }

    /// Whether it is only asked, for somebody who wants to know.
    pub(crate) fn only_asks(&self) -> bool {
        self.only_asks
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// The key of that ARN as it is now, opened; `None` if there is no row of it.
    pub(crate) fn opened_key(&self, arn: &KeyArn) -> Result<Option<Arc<OpenedKey>>, KmsError> {
        let row_key = keys::key(arn);
        let Some(stored) = self.ports.rows.meta.read(Table::KMS_KEYS, &row_key)? else {
            self.shared.opened.forget(arn);
            return Ok(None);
        };
        if let Some(opened) = self.shared.opened.find(arn, stored.version) {
            return Ok(Some(opened));
        }
        let row: KeyRow = self
            .ports
            .rows
            .open(Table::KMS_KEYS, &row_key, &stored.value)?;
        let key = Key::from_row(arn.clone(), row).ok_or_else(damaged)?;
        Ok(Some(self.shared.opened.insert(key, stored.version)))
    }

    /// Reads a record.
    pub(crate) fn read<R: Record>(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<(R, RowVersion)>, KmsError> {
        Ok(self.ports.rows.read(table, key)?)
    }

    /// Reads a page of rows, each of which may be damaged without harm to the others.
    pub(crate) fn scan_each<R: Record>(
        &self,
        table: Table,
        (start, end): keys::Range,
        limit: usize,
    ) -> Result<EachRow<R>, KmsError> {
        let page = self.ports.rows.meta.scan(&Scan {
            table,
            start,
            end,
            limit,
            reverse: false,
        })?;
        let open = |row: Row| {
            let record = self.ports.rows.open(table, &row.key, &row.value);
            (row, record.map_err(KmsError::from))
        };
        Ok((page.rows.into_iter().map(open).collect(), page.more))
    }

    /// Adds the write of a record to `transaction`.
    ///
    /// # Errors
    ///
    /// [`KmsError::LimitExceeded`] if it is too long for a row.
    pub(crate) fn put<R: Record>(
        &self,
        transaction: Transaction,
        table: Table,
        key: Bytes,
        record: &R,
    ) -> Result<Transaction, KmsError> {
        let value = self.ports.rows.seal(table, &key, record);
        if value.len() > VALUE_MAX_BYTES {
            return Err(too_long());
        }
        Ok(transaction.put(table, key, value))
    }

    /// Adds the write of a key's row to `transaction`.
    pub(crate) fn put_key(
        &self,
        transaction: Transaction,
        key: &Key,
    ) -> Result<Transaction, KmsError> {
        let row_key = keys::key(&key.arn);
        self.put(transaction, Table::KMS_KEYS, row_key, &key.to_row())
    }

    /// As [`KeyService::put_key`], where the caller's texts grow: they leave [`ROW_RESERVE_BYTES`]
    /// for what the key itself must be able to say, so that no key is too full to be disabled,
    /// deleted or rotated.
    pub(crate) fn put_key_with_reserve(
        &self,
        transaction: Transaction,
        key: &Key,
    ) -> Result<Transaction, KmsError> {
        let transaction = self.put_key(transaction, key)?;
        let fits = transaction.writes.last().is_some_and(|write| match write {
            Write::Put { value, .. } => value.len() <= VALUE_MAX_BYTES - ROW_RESERVE_BYTES,
            Write::Delete { .. } => true,
        });
        if fits {
            Ok(transaction)
        } else {
            Err(too_long())
        }
    }

    /// Commits what changes `changed`, with its records, and makes every user of these keys in this
    /// process see it.
    ///
    /// Every change of a key's row goes through here.
    ///
    /// # Errors
    ///
    /// [`KmsError::Contention`] if somebody else was faster.
    pub(crate) fn commit(
        &self,
        transaction: Transaction,
        told: &[Event],
        changed: &[&KeyArn],
    ) -> Result<(), KmsError> {
        let transaction = told.iter().fold(transaction, |transaction, event| {
            self.ports.audit.add(transaction, event)
        });
        let outcome = self.ports.rows.meta.commit(transaction).wait();
        // Also where the outcome is unknown: who looks again finds the truth.
        if !matches!(outcome, Err(CommitError::Conflict)) {
            self.shared.watches.touch();
            for arn in changed {
                self.shared.due.touch(arn);
                self.renew(arn);
            }
        }
        outcome?;
        Ok(())
    }

    /// Reads the key that `key_id` names, changes it and commits, again and again until nobody else
    /// was faster. `params` is what the record tells of the request.
    ///
    /// What [`KeyService::admit`](crate::access) admits is asked anew each time. A key that is as it
    /// shall be already is not written; the call is recorded.
    pub(crate) fn change_admitted(
        &self,
        caller: &RequestContext,
        key_id: &str,
        ask: &Ask<'_>,
        params: &Params,
        change: impl Fn(&mut Key) -> Result<(), KmsError>,
    ) -> Result<Key, KmsError> {
        self.change_telling(caller, key_id, ask, change, |key| {
            Asked::of(caller, ask.operation, &key.arn, params.clone())
        })
    }

    /// As [`KeyService::change_admitted`], where `asked` tells what becomes of the key.
    pub(crate) fn change_telling<'a>(
        &self,
        caller: &'a RequestContext,
        key_id: &str,
        ask: &Ask<'_>,
        change: impl Fn(&mut Key) -> Result<(), KmsError>,
        asked: impl Fn(&Key) -> Asked<'a>,
    ) -> Result<Key, KmsError> {
        let named = self.resolve(caller, key_id, ask.operation)?;
        until_undisturbed(|| {
            let opened = self.admit_named(caller, &named, ask)?;
            let mut key = opened.key.clone();
            change(&mut key)?;
            if key == opened.key {
                self.note(&asked(&key))?;
                return Ok(key);
            }
            let transaction = Transaction::new().expect(
                Table::KMS_KEYS,
                keys::key(&key.arn),
                Some(opened.version),
            );
            let mut transaction = if texts_len_bytes(&key) > texts_len_bytes(&opened.key) {
                self.put_key_with_reserve(transaction, &key)?
            } else {
                self.put_key(transaction, &key)?
            };
            transaction.takes_away = ask.operation.takes_away();
            self.commit(transaction, &self.told(&asked(&key)), &[&key.arn])?;
            Ok(key)
        })
    }
}

/// What policy, tags and description leave free in a key's row.
const ROW_RESERVE_BYTES: usize = 4096;

fn too_long() -> KmsError {
    KmsError::LimitExceeded(
        "Policy, tags and description of the key are too long together.".to_owned(),
    )
}

/// The texts of a key that its callers choose.
fn texts_len_bytes(key: &Key) -> usize {
    let tags = key.tags.iter().map(|tag| tag.key.len() + tag.value.len());
    key.policy.len_bytes() + key.description.len() + tags.sum::<usize>()
}

/// Rows, each with its record or why it does not open; and whether there are more.
pub(crate) type EachRow<R> = (Vec<(Row, Result<R, KmsError>)>, bool);

/// A row of this service opens, but makes no sense.
pub(crate) fn damaged() -> KmsError {
    tracing::error!("a row of the key service makes no sense");
    metrics::counter!("strongroom_integrity_events_total", "what" => "row").increment(1);
    KmsError::Damaged
}
