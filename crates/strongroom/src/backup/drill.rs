//! `backup drill`: restores a backup, opens it, reads every object of it, reports, and leaves nothing.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use strongroom_audit::Params;
use strongroom_backup::{Place, Restored};
use strongroom_crypto::{CustomerKey, Keyring, Unsealed};
use strongroom_ports::{Clock as _, Entropy};
use strongroom_recover::{Counts, Loss, Plan, Progress, Report, prove};

use super::restoring::{Opener, restore_to, wanted, warnings};
use crate::adapters::{SystemClock, SystemEntropy};
use crate::cli::backup::DrillArgs;
use crate::config::Settings;
use crate::data_dir::DataDir;
use crate::failure::{Exit, Failure};
use crate::notes::Note;
use crate::output;
use crate::progress::Bar;
use crate::recover::customer_key;
use crate::reports::{stamp, write_off_line};
use crate::serve::backups_off_line;
use crate::unseal::{self, Environment};

/// Losses that are printed; all are in the report.
const LOSSES_SHOWN: usize = 20;

/// What came of it. The signed report is this.
#[derive(Serialize)]
struct DrillReport {
    what: &'static str,
    /// Whether everything came back.
    passed: bool,
    place: String,
    backup: u64,
    ring_id: String,
    mark: u64,
    marked: String,
    began: String,
    ended: String,
    restored_files: u64,
    restored_bytes: u64,
    /// Object versions by how they are encrypted: read and verified, byte for byte.
    versions: BTreeMap<String, Counts>,
    plaintext_bytes: u64,
    buckets: u64,
    kms_keys: u64,
    /// Versions under customer keys that were not given: their ciphertext agrees with its checksums.
    without_customer_key: u64,
    warnings: Vec<String>,
    losses: Vec<Loss>,
    program: &'static str,
}

/// The same of a drill that came to no end.
#[derive(Serialize)]
struct FailedReport<'a> {
    what: &'static str,
    passed: bool,
    /// Why.
    failure: &'a str,
    place: String,
    /// The backup that was asked for; without it, the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<u64>,
    began: &'a str,
    ended: String,
    program: &'static str,
}

const WHAT: &str = "strongroom backup drill";
const PROGRAM: &str = concat!("strongroom ", env!("CARGO_PKG_VERSION"));

/// Drills.
///
/// # Errors
///
/// [`Exit::Store`] if anything did not come back; as `restore` otherwise.
pub(super) fn run(args: &DrillArgs, environment: Environment<'_>) -> Result<(), Failure> {
    let drill = Drill {
        settings: Settings::decide(args.store.layer(), environment)?,
        args,
        environment,
        customer_keys: args
            .sse_c_key
            .iter()
            .map(|path| customer_key(path))
            .collect::<Result<_, _>>()?,
        clock: SystemClock::new(),
        began: SystemClock::new().now().to_iso8601(),
        scratch: Scratch::make(args.scratch.as_deref())?,
    };
    let (mut ring, mut note) = (None, None);
    let outcome = drill.whole(&mut ring, &mut note);
    let is_noted = note.is_some();
    if let Some(note) = note {
        let found = outcome.as_ref().map(|(drilled, _)| {
            let losses = u64::try_from(drilled.losses.len()).unwrap_or(u64::MAX);
            let found = Params::new().flag("passed", drilled.passed);
            found.number("losses", losses)
        });
        note.end(found.unwrap_or_default(), outcome.as_ref().err());
    }
    match outcome {
        Ok((drilled, signed)) => {
            drop(drill);
            tell(&drilled, signed.as_deref(), args.json)?;
            if drilled.passed {
                return Ok(());
            }
            Err(Failure::new(
                Exit::Store,
                format!("backup {} does not bring everything back", drilled.backup),
                "the report names what is lost; take a new backup into a fresh place while the store is there",
            ))
        }
        Err(failure) => {
            drill.tell_failed(&failure, ring, is_noted)?;
            Err(failure)
        }
    }
}

struct Drill<'a> {
    settings: Settings,
    args: &'a DrillArgs,
    environment: Environment<'a>,
    customer_keys: Vec<CustomerKey>,
    clock: SystemClock,
    /// ISO 8601.
    began: String,
    scratch: Scratch,
}

impl Drill<'_> {
    /// The settings of the store that comes out of the backup.
    fn restored_settings(&self) -> Settings {
        Settings {
            data: DataDir::new(self.scratch.0.join("data")),
            ..self.settings.clone()
        }
    }

    /// Restores, opens and reads everything. `ring` is the backup's, as soon as it is open, and `note`
    /// what the trail is told, as soon as something came back.
    fn whole(
        &self,
        ring: &mut Option<Keyring<Unsealed>>,
        note: &mut Option<Note>,
    ) -> Result<(DrillReport, Option<PathBuf>), Failure> {
        let place = self.args.from.open(&self.args.place, self.environment)?;
        let settings = self.restored_settings();
        let mut opened = None;
        let restored = restore_to(
            &settings,
            &*place,
            wanted(self.args.number),
            Opener::Seal(self.environment),
            &mut opened,
        );
        if let Some(opened) = &opened {
            let own = opened.ring.duplicate();
            *ring = Some(own.map_err(|error| Failure::new(Exit::Ring, error.to_string(), ""))?);
        }
        let details = Params::new().text("from", &place.describe());
        let restored = match restored {
            Ok(restored) => restored,
            Err(failure) => {
                // The ring was opened all the same.
                *note = ring.as_ref().map(|ring| self.begin(ring, details));
                return Err(failure);
            }
        };
        let (Some(opened), Some(ring)) = (opened, ring) else {
            return Err(Failure::new(Exit::Ring, "the key ring was not opened", ""));
        };
        let details = details
            .number("backup", restored.summary.number)
            .text("marked", &restored.summary.marked);
        *note = Some(self.begin(ring, details));
        // As a server would: what keeps one from starting is found here.
        let store = backups_off_line(&settings, opened)?;
        let read = read_everything(&settings, ring, &self.customer_keys, &self.scratch.0);
        let told = read.and_then(|read| {
            let drilled = self.report(&*place, &restored, read);
            let signed = match self.reports() {
                Some(directory) => {
                    let name = self.report_name(&format!("backup-{}-drilled", drilled.backup));
                    Some(store.write_report(directory, &name, &drilled)?)
                }
                None => None,
            };
            Ok((drilled, signed))
        });
        store.close();
        told
    }

    /// Notes that a drill begins, in the store that has this ring.
    fn begin(&self, ring: &Keyring<Unsealed>, details: Params) -> Note {
        Note::begin(&self.settings.data, ring, "DrillBackup", details)
    }

    fn report(&self, place: &dyn Place, restored: &Restored, read: Report) -> DrillReport {
        let passed =
            read.losses.is_empty() && !read.without_rows && restored.summary.unreadable.is_empty();
        DrillReport {
            what: WHAT,
            passed,
            place: place.describe(),
            backup: restored.summary.number,
            ring_id: restored.summary.ring_id.clone(),
            mark: restored.summary.mark,
            marked: restored.summary.marked.clone(),
            began: self.began.clone(),
            ended: self.clock.now().to_iso8601(),
            restored_files: restored.files,
            restored_bytes: restored.summary.bytes,
            versions: read.versions,
            plaintext_bytes: read.bytes,
            buckets: read.buckets,
            kms_keys: read.kms_keys,
            without_customer_key: read.without_customer_key,
            warnings: warnings(restored),
            losses: read.losses,
            program: PROGRAM,
        }
    }

    /// Where reports go, if anywhere.
    fn reports(&self) -> Option<PathBuf> {
        let data = &self.settings.data;
        let own = || data.root().is_dir().then(|| data.reports());
        self.args.report.clone().or_else(own)
    }

    fn report_name(&self, what: &str) -> String {
        format!("{what}-{}", stamp(&self.began))
    }

    /// Reports what kept everything from coming back.
    fn tell_failed(
        &self,
        failure: &Failure,
        ring: Option<Keyring<Unsealed>>,
        is_noted: bool,
    ) -> Result<(), Failure> {
        let report = FailedReport {
            what: WHAT,
            passed: false,
            failure: &failure.what,
            place: self.args.from.to_string(),
            backup: self.args.number,
            began: &self.began,
            ended: self.clock.now().to_iso8601(),
            program: PROGRAM,
        };
        if self.args.json {
            output::say(&serde_json::to_string_pretty(&report).unwrap_or_default())?;
        }
        let Some(directory) = self.reports() else {
            return Ok(());
        };
        let failed = (!is_noted).then_some(failure);
        match self.sign_failed(&directory, ring, &report, failed) {
            Ok(_) if self.args.json => Ok(()),
            Ok(path) => output::say(&format!("The signed report is {}.", path.display())),
            Err(unsigned) => {
                output::complain(&format!(
                    "strongroom: warning: this drill leaves no signed report: {}",
                    unsigned.what
                ));
                Ok(())
            }
        }
    }

    /// By the store that was to come back, as far as it did; else by the one in the data directory.
    /// Both as they lie there: a server may be running. A failure that nothing was noted of is, with the
    /// ring that is opened to sign.
    fn sign_failed(
        &self,
        directory: &Path,
        ring: Option<Keyring<Unsealed>>,
        report: &FailedReport<'_>,
        unnoted: Option<&Failure>,
    ) -> Result<PathBuf, Failure> {
        let name = self.report_name("backup-drill-failed");
        let sign =
            |meta: &Path, ring| write_off_line((meta, ring), directory.to_owned(), &name, report);
        if let Some(ring) = ring
            && let Ok(path) = sign(&self.restored_settings().data.meta(), ring)
        {
            return Ok(path);
        }
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let own = unseal::unseal_as_it_is(&self.settings, &entropy, self.environment)?;
        if let Some(failure) = unnoted {
            let details = Params::new().text("from", &self.args.from.to_string());
            self.begin(&own.ring, details)
                .end(Params::new(), Some(failure));
        }
        sign(&self.settings.data.meta(), own.ring)
    }
}

fn read_everything(
    settings: &Settings,
    ring: &Keyring<Unsealed>,
    customer_keys: &[CustomerKey],
    scratch: &Path,
) -> Result<Report, Failure> {
    let plan = Plan {
        sources: strongroom_recover::Sources {
            meta: settings.data.meta(),
            blobs: settings.data.blobs().join("blobs"),
            shreds: settings.data.shreds(),
        },
        out: scratch.to_owned(),
        ring,
        customer_keys,
        unreferenced: false,
    };
    let mut bar = Bar::new("backup drill");
    let report = prove(&plan, &mut |progress| match progress {
        Progress::Rows(done, all) => bar.show("reading the journal", done, all),
        Progress::Objects(done, all) => {
            bar.show(&format!("{done} of {all} versions read"), done, all);
        }
        Progress::Blobs(_, _) => {}
    });
    bar.end();
    report.map_err(|error| {
        Failure::new(
            Exit::Environment,
            error.to_string(),
            "check space and permissions of --scratch",
        )
    })
}

fn tell(report: &DrillReport, signed: Option<&Path>, json: bool) -> Result<(), Failure> {
    if json {
        return output::say(&serde_json::to_string_pretty(report).unwrap_or_default());
    }
    for (mode, counts) in &report.versions {
        let lost = match counts.lost {
            0 => String::new(),
            lost => format!(", {lost} not read"),
        };
        output::say(&format!(
            "{mode}: {} versions whole{lost}",
            counts.recovered
        ))?;
    }
    if report.without_customer_key > 0 {
        output::say(&format!(
            "{} versions are under customer keys that were not given (--sse-c-key): their ciphertext agrees with its checksums",
            report.without_customer_key
        ))?;
    }
    for warning in &report.warnings {
        output::say(&format!("WARNING: {warning}"))?;
    }
    for loss in report.losses.iter().take(LOSSES_SHOWN) {
        // A key may hold what a terminal takes for a command.
        output::say(&format!("lost: {}: {}", loss.what.escape_debug(), loss.why))?;
    }
    if let more @ 1.. = report.losses.len().saturating_sub(LOSSES_SHOWN) {
        output::say(&format!("... and {more} more"))?;
    }
    if report.passed {
        output::say(&format!(
            "Backup {} of {} restores: {} bytes of plaintext were read and verified.",
            report.backup, report.marked, report.plaintext_bytes
        ))?;
    }
    match signed {
        Some(path) => output::say(&format!("The signed report is {}.", path.display())),
        None => Ok(()),
    }
}

/// A directory that goes with everything in it.
struct Scratch(PathBuf);

impl Scratch {
    fn make(parent: Option<&Path>) -> Result<Self, Failure> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let name = format!(
            "strongroom-drill-{}-{}",
            std::process::id(),
            nanos.unwrap_or_default().as_nanos()
        );
        let path = parent.join(name);
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error: io::Error| {
            Failure::new(
                Exit::Environment,
                format!("{}: {error}", path.display()),
                "name a directory with room for the whole backup: --scratch DIR",
            )
        })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            output::complain(&format!(
                "strongroom: warning: {} is left behind: {error}",
                self.0.display()
            ));
        }
    }
}
