//! Versions of the root key in the running server: rotation, the wrapping anew that follows, and the
//! retirement of a version that nothing needs any more.
//!
//! ```text
//!   rotate   ring file (both copies, read back) -> account row -> every new wrap
//!   rewrap   key materials -> uploads -> versions -> footers of blobs; a row keeps the place
//!   retire   nobody at work with an older ring -> all places counted, none needs it
//!            -> signed report, durable -> ring file without it
//! ```
//!
//! Everything goes on after a crash where it was: the ring file says which version wraps, the row how
//! far the work is. A body is never touched.

mod ring;

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use strongroom_audit::{AuditLog, Event, EventBuilder, OWN_SOURCE, Params};
use strongroom_crypto::{RootState, UnsealKey};
use strongroom_kms::KeyService;
use strongroom_ports::{Clock, Entropy, Table, Transaction};
use strongroom_rows::{Record, RewrapPage, RewrapTask, SealedRows};
use strongroom_s3::{Custody, S3, WrappedPlace};

use super::background::{Background, Stuck, Waker};
use super::backups::Backups;
use super::deeds;
use crate::account::Accounts;
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::reports::Reports;

/// Row of the work in [`Table::SETTINGS`].
const WORK_KEY: &[u8] = b"root-key-work";
/// Rows of a page. Other work waits for no more than that.
const PAGE: usize = 200;
/// How long the thread rests when there is nothing to do. Whoever makes work wakes it; what comes of
/// itself is a rotation by schedule, and that is counted in days.
const IDLE: Duration = Duration::from_secs(60);
/// How long it rests after a failure of the stores.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// How far the work is that a change of the root key asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct WorkRow {
    /// The version under which everything is to be wrapped.
    #[n(0)]
    target: u32,
    /// Index of the place that is worked on; as many as there are when all is done.
    #[n(1)]
    place: u8,
    /// Key of the row that was looked at last in that place.
    #[cbor(n(2), with = "minicbor::bytes")]
    after: Option<Vec<u8>>,
    #[n(3)]
    looked_at: u64,
    /// Wrapped anew; of a retirement, what still needs the version.
    #[n(4)]
    matched: u64,
    #[n(5)]
    failed: u64,
    #[n(6)]
    began_millis: u64,
    #[n(7)]
    ended_millis: Option<u64>,
    /// The version that is to be retired: then everything is counted, and nothing changed.
    #[n(8)]
    retiring: Option<u32>,
    /// Why the last retirement was refused.
    #[n(9)]
    refused: Option<String>,
    /// Rows in all places when the work began.
    #[n(10)]
    total: u64,
}

impl Record for WorkRow {
    const KIND: u8 = 0x50;
}

/// A version of the root key, for people.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct VersionShown {
    /// Its number.
    pub(crate) version: u32,
    /// When it was made, ISO 8601.
    pub(crate) created: String,
    /// Whether it is the one that wraps.
    pub(crate) active: bool,
}

/// How things stand with the root key.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct RootKeyStatus {
    /// All versions in the ring, oldest first.
    pub(crate) versions: Vec<VersionShown>,
    /// `idle`, `rewrapping`, or `retiring`.
    pub(crate) work: String,
    /// Rows that were looked at, of [`RootKeyStatus::total`].
    pub(crate) looked_at: u64,
    /// Rows that there were when the work began.
    pub(crate) total: u64,
    /// Wrapped keys that were wrapped anew.
    pub(crate) rewrapped: u64,
    /// Wrapped keys that could not be, because they are damaged: the log names each.
    pub(crate) failed: u64,
    /// Why the last retirement was refused.
    pub(crate) refused: Option<String>,
}

/// Everything that a change of the root key touches.
pub(super) struct RootKey {
    pub(super) settings: Settings,
    pub(super) rows: SealedRows,
    pub(super) s3: Arc<S3>,
    pub(super) kms: Arc<KeyService>,
    pub(super) accounts: Accounts,
    /// Of the ring on disk.
    pub(super) unseal_key: Mutex<UnsealKey>,
    pub(super) backups: Arc<Backups>,
    pub(super) audit: AuditLog,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// Held while the ring or the row of the work changes.
    pub(super) turn: Mutex<()>,
    /// Of the thread, once it runs.
    pub(super) waker: OnceLock<Waker>,
}

/// The key service's materials come first, then the places of S3.
const PLACES: usize = 1 + WrappedPlace::ALL.len();

impl RootKey {
    /// Starts the thread that does the work.
    ///
    /// # Errors
    ///
    /// The operating system's, when it gives no thread.
    pub(super) fn start(self: &Arc<Self>, stuck: Stuck) -> io::Result<Background> {
        let own = Arc::clone(self);
        let mut can_sign = false;
        let thread = Background::start("root-key", stuck, move || {
            // A verification without the server signs with the key that is there.
            if !can_sign {
                match own.reports().make_key() {
                    Ok(()) => can_sign = true,
                    Err(failure) => tracing::warn!(what = %failure.what, "no report can be signed"),
                }
            }
            match own.round() {
                Ok(rest) => rest,
                Err(failure) => {
                    tracing::error!(what = %failure.what, "work on the root key is interrupted");
                    metrics::counter!("strongroom_root_key_failures_total").increment(1);
                    AFTER_FAILURE
                }
            }
        })?;
        let _ = self.waker.set(thread.waker());
        Ok(thread)
    }

    /// Reports that this store signs.
    pub(super) fn reports(&self) -> Reports<'_> {
        Reports::new(&self.settings, &self.rows, &self.entropy)
    }

    /// Tells the thread that there is work. One that does not run yet begins by looking.
    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    /// How things stand.
    ///
    /// # Errors
    ///
    /// [`Exit::Store`].
    pub(super) fn status(&self) -> Result<RootKeyStatus, Failure> {
        let ring = self.custody().ring();
        let versions = ring.root_versions().into_iter().map(|it| VersionShown {
            version: it.version,
            created: it.created.to_iso8601(),
            active: it.state == RootState::Active,
        });
        let versions: Vec<_> = versions.collect();
        let (work, _) = self.work()?;
        let is_done = usize::from(work.place) >= PLACES && work.target == ring.active_version();
        let name = match (work.retiring, is_done || versions.len() == 1) {
            (Some(_), _) => "retiring",
            (None, true) => "idle",
            (None, false) => "rewrapping",
        };
        let is_retiring = work.retiring.is_some();
        Ok(RootKeyStatus {
            versions,
            work: name.to_owned(),
            looked_at: work.looked_at,
            total: work.total.max(work.looked_at),
            rewrapped: if is_retiring { 0 } else { work.matched },
            failed: work.failed,
            refused: work.refused,
        })
    }

    /// Adds a version of the root key and wraps with it from now on. Its number.
    ///
    /// # Errors
    ///
    /// [`Exit::Ring`], [`Exit::Environment`]: then the old version goes on wrapping.
    pub(super) fn rotate(&self) -> Result<u32, Failure> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.add_version()?;
        tracing::warn!(version, "the root key is rotated");
        Ok(version)
    }

    /// Asks for the retirement of a version; the thread carries it out, or says why not.
    ///
    /// # Errors
    ///
    /// [`Exit::Usage`] for a version that cannot be retired now.
    pub(super) fn retire(&self, version: u32) -> Result<(), Failure> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = self.custody().ring();
        let refuse = |why: &str, remedy: &str| {
            Err(Failure::new(
                Exit::Usage,
                format!("version {version} of the root key is not retired: {why}"),
                remedy,
            ))
        };
        let found = ring
            .root_versions()
            .into_iter()
            .find(|it| it.version == version);
        match found.map(|it| it.state) {
            None => {
                return refuse(
                    "the ring does not hold it",
                    "see strongroom root-key status",
                );
            }
            Some(RootState::Active) => {
                return refuse("it is the one that wraps", "strongroom root-key rotate");
            }
            Some(RootState::UnwrapOnly) => {}
        }
        let (work, stored) = self.work()?;
        if work.target != ring.active_version() || usize::from(work.place) < PLACES {
            return refuse(
                "keys are still being wrapped anew",
                "wait until strongroom root-key status says idle",
            );
        }
        if work.failed > 0 {
            return refuse(
                "some wrapped keys are damaged and could not be wrapped anew",
                "the log names them; mend or delete them, then strongroom root-key rewrap",
            );
        }
        if self.custody().is_in_use_below(version) {
            return refuse(
                "transfers that began before the rotation are still running",
                "wait for them to end, or restart the server; then try again",
            );
        }
        let work = WorkRow {
            target: work.target,
            began_millis: self.clock.now().as_millis(),
            retiring: Some(version),
            total: self.count_all()?,
            ..WorkRow::default()
        };
        self.save(&work, stored)?;
        self.wake();
        Ok(())
    }

    /// Begins the wrapping anew once more, also if it had come to its end.
    ///
    /// # Errors
    ///
    /// [`Exit::Store`].
    pub(super) fn rewrap(&self) -> Result<(), Failure> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (work, stored) = self.work()?;
        if let Some(version) = work.retiring {
            return Err(Failure::new(
                Exit::Usage,
                format!("version {version} of the root key is being retired"),
                "wait until strongroom root-key status says idle",
            ));
        }
        let work = self.begin(self.custody().ring().active_version())?;
        self.save(&work, stored)?;
        self.wake();
        Ok(())
    }

    fn custody(&self) -> &Arc<Custody> {
        &self.rows.custody
    }

    /// One page of whatever is to be done, and how long to rest behind it.
    fn round(&self) -> Result<Duration, Failure> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.rotate_if_due()?;
        let ring = self.custody().ring();
        let active = ring.active_version();
        let (work, stored) = self.work()?;
        if work.target != active && work.retiring.is_none() {
            if ring.root_versions().len() == 1 && work.target == 0 {
                return Ok(IDLE);
            }
            let work = self.begin(active)?;
            tracing::info!(version = active, rows = work.total, "wrapping keys anew");
            self.save(&work, stored)?;
            return Ok(Duration::ZERO);
        }
        if usize::from(work.place) >= PLACES {
            return Ok(IDLE);
        }
        let mut work = work;
        let after = work.after.take().map(Bytes::from);
        let page = self.page(usize::from(work.place), work.retiring, after.as_ref())?;
        work.looked_at = work.looked_at.saturating_add(page.looked_at);
        work.matched = work.matched.saturating_add(page.matched);
        work.failed = work.failed.saturating_add(page.failed);
        match page.next {
            Some(next) => work.after = Some(next.to_vec()),
            None => work.place = work.place.saturating_add(1),
        }
        if usize::from(work.place) >= PLACES {
            work.ended_millis = Some(self.clock.now().as_millis());
            if let Some(version) = work.retiring {
                return self.end_retirement(version, work, stored);
            }
            tracing::info!(
                version = active,
                looked_at = work.looked_at,
                rewrapped = work.matched,
                failed = work.failed,
                "all keys are wrapped under the active version of the root key"
            );
            let details = Params::new()
                .number("version", active.into())
                .number("lookedAt", work.looked_at)
                .number("rewrapped", work.matched)
                .number("failed", work.failed);
            let done = self.told("KeysRewrapped", &details);
            self.save_telling(&work, stored, Some(&done))?;
            return Ok(self.rest(page.looked_at));
        }
        self.save(&work, stored)?;
        Ok(self.rest(page.looked_at))
    }

    /// Retires the version if nothing needs it; says why not otherwise.
    fn end_retirement(
        &self,
        version: u32,
        mut work: WorkRow,
        stored: Option<strongroom_ports::RowVersion>,
    ) -> Result<Duration, Failure> {
        // A backup that is being taken has rows of before, and will have the ring of its end.
        let Some(_no_backup) = self.backups.keep_out() else {
            return Ok(AFTER_FAILURE);
        };
        work.retiring = None;
        let referring = work.matched.saturating_add(work.failed);
        if referring > 0 {
            tracing::warn!(
                version,
                referring,
                "a version of the root key is still needed"
            );
            let mut again = self.begin(self.custody().ring().active_version())?;
            again.refused = Some(format!(
                "{referring} wrapped keys still need version {version}, or are damaged; they are being wrapped anew"
            ));
            let details = Params::new()
                .number("version", version.into())
                .number("stillNeededBy", referring);
            let refused = self.told("RootKeyNotRetired", &details);
            self.save_telling(&again, stored, Some(&refused))?;
            return Ok(Duration::ZERO);
        }
        let ring = self.custody().ring();
        let mut report = RetirementReport {
            what: "strongroom root key version about to be retired: nothing needs it",
            ring_id: hex::encode(ring.ring_id()),
            retired_version: version,
            active_version: ring.active_version(),
            counting_began: iso(work.began_millis),
            counting_ended: iso(work.ended_millis.unwrap_or_default()),
            wrapped_keys_looked_at: work.looked_at,
            wrapped_keys_that_need_it: 0,
            program: concat!("strongroom ", env!("CARGO_PKG_VERSION")),
        };
        let reports = self.reports();
        // Evidence first: a version that is gone without it would be one that was lost.
        reports.write(&format!("root-key-{version}-counted"), &report)?;
        self.change_ring(|ring| {
            let holds_it = ring.root_versions().iter().any(|it| it.version == version);
            // It may be gone: the last try was interrupted behind the writing of the ring.
            if holds_it {
                ring.retire(version)
            } else {
                Ok(())
            }
        })?;
        report.what = "strongroom root key version retired";
        let path = reports.write(&format!("root-key-{version}-retired"), &report)?;
        tracing::warn!(version, report = %path.display(), "a version of the root key is retired");
        metrics::counter!("strongroom_root_key_retirements_total").increment(1);
        work.refused = None;
        // The counts shown are those of the wrapping anew, which came to its end.
        work.matched = 0;
        let details = Params::new()
            .number("version", version.into())
            .number("wrappedKeysLookedAt", work.looked_at)
            .text("report", &path.display().to_string());
        let retired = self.told("RootKeyRetired", &details);
        self.save_telling(&work, stored, Some(&retired))?;
        Ok(IDLE)
    }

    fn page(
        &self,
        place: usize,
        retiring: Option<u32>,
        after: Option<&Bytes>,
    ) -> Result<RewrapPage, Failure> {
        let task = retiring.map_or(RewrapTask::Rewrap, RewrapTask::Count);
        let Some(s3_place) = place.checked_sub(1) else {
            let page = self.kms.rewrap_page(task, after, PAGE);
            return page.map_err(|error| store_failure(&error.to_string()));
        };
        let Some(place) = WrappedPlace::ALL.get(s3_place) else {
            return Ok(RewrapPage::default());
        };
        let page = self.s3.rewrap_page(*place, task, after, PAGE);
        page.map_err(|error| store_failure(&error.to_string()))
    }

    fn begin(&self, target: u32) -> Result<WorkRow, Failure> {
        Ok(WorkRow {
            target,
            began_millis: self.clock.now().as_millis(),
            total: self.count_all()?,
            ..WorkRow::default()
        })
    }

    /// Rows in all places of S3; the key service's are few.
    fn count_all(&self) -> Result<u64, Failure> {
        let mut total = 0_u64;
        for place in WrappedPlace::ALL {
            let mut after = None;
            loop {
                let counted = self.s3.count_wrapped(place, after.as_ref(), 10_000);
                let (count, next) = counted.map_err(|error| store_failure(&error.to_string()))?;
                total = total.saturating_add(count);
                if next.is_none() {
                    break;
                }
                after = next;
            }
        }
        Ok(total)
    }

    /// How long the operator's rate asks to rest behind a page.
    fn rest(&self, looked_at: u64) -> Duration {
        let rate = u64::from(self.settings.root_key_rewrap_rate.max(1));
        Duration::from_micros(looked_at.saturating_mul(1_000_000) / rate)
    }

    fn rotate_if_due(&self) -> Result<(), Failure> {
        let days = u64::from(self.settings.root_key_rotation_days);
        if days == 0 {
            return Ok(());
        }
        let ring = self.custody().ring();
        let Some(active) = ring.root_versions().pop() else {
            return Ok(());
        };
        let age = self
            .clock
            .now()
            .as_millis()
            .saturating_sub(active.created.as_millis());
        if age < days.saturating_mul(86_400_000) {
            return Ok(());
        }
        let version = self.add_version()?;
        tracing::warn!(version, days, "the root key is rotated by its schedule");
        let details = Params::new()
            .number("version", version.into())
            .number("rotationPeriodInDays", days);
        deeds::record(&self.audit, "RotateRootKey", &details, None)?;
        Ok(())
    }

    fn add_version(&self) -> Result<u32, Failure> {
        let version = self.change_ring(|ring| {
            ring.rotate(self.clock.now(), &*self.entropy);
            Ok(())
        })?;
        metrics::counter!("strongroom_root_key_rotations_total").increment(1);
        Ok(version)
    }

    fn work(&self) -> Result<(WorkRow, Option<strongroom_ports::RowVersion>), Failure> {
        let stored = self
            .rows
            .meta
            .read(Table::SETTINGS, WORK_KEY)
            .map_err(|error| store_failure(&error.to_string()))?;
        let Some(stored) = stored else {
            return Ok((WorkRow::default(), None));
        };
        let row = self
            .custody()
            .open_record::<WorkRow>(Table::SETTINGS, WORK_KEY, &stored.value)
            .map_err(|error| store_failure(&error.to_string()))?;
        Ok((row, Some(stored.version)))
    }

    /// The event of a step that the server takes by itself.
    fn told(&self, name: &str, details: &Params) -> Event {
        let event = EventBuilder::by_service(self.audit.home().account, OWN_SOURCE, name)
            .service_details(details);
        self.audit.finish(event)
    }

    fn save(
        &self,
        work: &WorkRow,
        stored: Option<strongroom_ports::RowVersion>,
    ) -> Result<(), Failure> {
        self.save_telling(work, stored, None)
    }

    /// Saves, and records what is done with it, together.
    fn save_telling(
        &self,
        work: &WorkRow,
        stored: Option<strongroom_ports::RowVersion>,
        event: Option<&Event>,
    ) -> Result<(), Failure> {
        let sealed = self
            .custody()
            .seal_record(Table::SETTINGS, WORK_KEY, work, &*self.entropy);
        let transaction = Transaction::new()
            .expect(Table::SETTINGS, WORK_KEY.to_vec(), stored)
            .put(Table::SETTINGS, WORK_KEY.to_vec(), sealed);
        let transaction = match event {
            Some(event) => self.audit.add(transaction, event),
            None => transaction,
        };
        let committed = self.rows.meta.commit(transaction).wait();
        committed
            .map(|_| ())
            .map_err(|error| store_failure(&error.to_string()))
    }
}

/// What stays as evidence of a retirement.
#[derive(Serialize)]
struct RetirementReport {
    what: &'static str,
    ring_id: String,
    retired_version: u32,
    active_version: u32,
    counting_began: String,
    counting_ended: String,
    wrapped_keys_looked_at: u64,
    wrapped_keys_that_need_it: u64,
    program: &'static str,
}

fn iso(millis: u64) -> String {
    strongroom_types::Timestamp::from_millis(millis).to_iso8601()
}

fn store_failure(what: &str) -> Failure {
    Failure::new(
        Exit::Store,
        what,
        "look at the server's log; it goes on where it was",
    )
}
