//! Holding the store still enough for a backup, whoever copies the files.
//!
//! ```text
//!   begin:  from now on no journal file, snapshot or blob file is deleted and no root key retired;
//!           the mark is set: what was acknowledged before it is in the files
//!   go on:  within five minutes, again and again, or the hold is over
//!   sign:   the manifest, while the hold lasts
//!   end
//! ```
//!
//! Writes go on all the time; deletions wait for their space. Nothing of the data goes through here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rustix::process::{Pid, test_kill_process};
use serde::Serialize;
use strongroom_backup::{Begun, Extent};
use strongroom_crypto::ManifestKey;
use strongroom_kms::KeyService;
use strongroom_ports::{Clock, Entropy};
use strongroom_rows::SealedRows;
use strongroom_store::{DurableMeta, FilesHold};

use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::reports::Reports;

/// How long a hold lasts that nobody prolongs: whoever took it may be gone.
const HOLD_LASTS: Duration = Duration::from_secs(300);
/// Shred keys told at once: a message of the admin channel holds these.
const SHREDS_MAX: usize = 10_000;

/// One backup at a time.
pub(crate) struct Backups {
    settings: Settings,
    rows: SealedRows,
    meta: Arc<DurableMeta>,
    kms: Arc<KeyService>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    hold: Mutex<Option<Hold>>,
}

struct Hold {
    id: u64,
    /// The process that took it.
    holder: Option<Pid>,
    until: Duration,
    _files: FilesHold,
}

/// That no backup is being taken, as long as it lives.
pub(super) struct NoBackup<'a>(#[expect(dead_code, reason = "held")] MutexGuard<'a, Option<Hold>>);

impl Backups {
    pub(super) fn new(
        settings: &Settings,
        rows: &SealedRows,
        meta: &Arc<DurableMeta>,
        kms: &Arc<KeyService>,
        (clock, entropy): (&Arc<dyn Clock>, &Arc<dyn Entropy>),
    ) -> Self {
        Self {
            settings: settings.clone(),
            rows: rows.clone(),
            meta: Arc::clone(meta),
            kms: Arc::clone(kms),
            clock: Arc::clone(clock),
            entropy: Arc::clone(entropy),
            hold: Mutex::default(),
        }
    }

    /// Lets nobody begin a backup while what it returns lives. Nothing while one is being taken.
    pub(super) fn keep_out(&self) -> Option<NoBackup<'_>> {
        let mut hold = self.hold.lock();
        self.expire(&mut hold);
        hold.is_none().then(|| NoBackup(hold))
    }

    /// Begins for the process `holder`, and sets the mark. The hold's id. The hold of a process that
    /// is gone ends with that.
    ///
    /// # Errors
    ///
    /// [`Exit::General`] while another backup is being taken, [`Exit::Store`].
    pub(crate) fn begin(&self, holder: u32) -> Result<(u64, Begun), Failure> {
        let holder = i32::try_from(holder).ok().and_then(Pid::from_raw);
        let mut hold = self.hold.lock();
        self.expire(&mut hold);
        let is_alive = |hold: &Hold| hold.holder.is_none_or(|it| test_kill_process(it).is_ok());
        if hold.as_ref().is_some_and(is_alive) {
            return Err(Failure::new(
                Exit::General,
                "another backup is being taken",
                "wait for its end; if it was killed, its hold ends with it",
            ));
        }
        // So that the drill of this backup can sign its report.
        Reports::new(&self.settings, &self.rows, &self.entropy).make_key()?;
        let files = self.meta.hold_files();
        let marked = self.clock.now().to_iso8601();
        let mark = self.meta.mark(&files).map_err(|error| failed(&error))?;
        let extents = mark.snapshot.into_iter().chain(mark.journal);
        let begun = Begun {
            mark: mark.last_sequence,
            marked,
            ring_id: hex::encode(self.rows.custody.ring().ring_id()),
            extents: extents
                .map(|extent| Extent {
                    path: extent.path,
                    len_bytes: extent.len_bytes,
                })
                .collect(),
        };
        let mut id = [0; 8];
        self.entropy.fill(&mut id);
        let id = u64::from_be_bytes(id);
        *hold = Some(Hold {
            id,
            holder,
            until: self.clock.monotonic().saturating_add(HOLD_LASTS),
            _files: files,
        });
        tracing::info!(mark = begun.mark, "a backup begins");
        Ok((id, begun))
    }

    /// Prolongs a hold.
    ///
    /// # Errors
    ///
    /// [`Exit::General`] when it is over.
    pub(crate) fn go_on(&self, id: u64) -> Result<(), Failure> {
        let mut hold = self.hold.lock();
        self.expire(&mut hold);
        match hold.as_mut().filter(|hold| hold.id == id) {
            Some(hold) => {
                hold.until = self.clock.monotonic().saturating_add(HOLD_LASTS);
                Ok(())
            }
            None => Err(Failure::new(
                Exit::General,
                "the server does not hold its files for this backup any more",
                "take it again: what was copied stays copied",
            )),
        }
    }

    /// The next shred keys in use behind `after`, in ascending order of their ids; whether there are
    /// more.
    ///
    /// # Errors
    ///
    /// [`Exit::Store`], and as [`Backups::go_on`].
    pub(crate) fn shreds(
        &self,
        id: u64,
        after: Option<[u8; 16]>,
    ) -> Result<(Vec<[u8; 16]>, bool), Failure> {
        self.go_on(id)?;
        let all = self.kms.shreds_in_use().map_err(|error| failed(&error))?;
        let mut next = all
            .into_iter()
            .filter(|it| after.is_none_or(|after| *it > after));
        let page: Vec<_> = next.by_ref().take(SHREDS_MAX).collect();
        Ok((page, next.next().is_some()))
    }

    /// The MAC of a manifest.
    ///
    /// # Errors
    ///
    /// As [`Backups::go_on`].
    pub(crate) fn sign(&self, id: u64, digest: &[u8; 32]) -> Result<[u8; 32], Failure> {
        self.go_on(id)?;
        Ok(ManifestKey::of(&self.rows.custody.ring()).mac(digest))
    }

    /// Lets go.
    pub(crate) fn end(&self, id: u64) {
        let mut hold = self.hold.lock();
        if hold.as_ref().is_some_and(|hold| hold.id == id) {
            *hold = None;
            tracing::info!("a backup ends");
        }
    }

    /// Writes a report that this store signs.
    ///
    /// # Errors
    ///
    /// [`Exit::Store`] for the signing key, [`Exit::Environment`] for the files.
    pub(crate) fn write_report(
        &self,
        directory: PathBuf,
        name: &str,
        report: &impl Serialize,
    ) -> Result<PathBuf, Failure> {
        Reports::in_directory(directory, &self.rows, &self.entropy).write(name, report)
    }

    /// Ends what works in the background, for a program that is about to end.
    pub(crate) fn close(&self) {
        self.meta.end_upkeep();
    }

    fn expire(&self, hold: &mut Option<Hold>) {
        let now = self.clock.monotonic();
        if hold.as_ref().is_some_and(|hold| hold.until < now) {
            tracing::warn!("a backup was not heard of for five minutes, and counts as ended");
            *hold = None;
        }
    }
}

fn failed(error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Store, error.to_string(), "look at the server's log")
}
