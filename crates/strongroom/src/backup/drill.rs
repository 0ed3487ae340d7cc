//! `backup drill`: restores a backup, opens it, reads every object of it, reports, and leaves nothing.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use strongroom_audit::Params;
use strongroom_crypto::{CustomerKey, Keyring, Unsealed};
use strongroom_ports::Clock as _;
use strongroom_recover::{Counts, Loss, Plan, Progress, Report, prove};

use super::restoring::{Opener, restore_to, wanted, warnings};
use crate::adapters::SystemClock;
use crate::cli::backup::DrillArgs;
use crate::config::Settings;
use crate::data_dir::DataDir;
use crate::failure::{Exit, Failure};
use crate::notes::Note;
use crate::output;
use crate::progress::Bar;
use crate::recover::customer_key;
use crate::serve::backups_off_line;
use crate::unseal::Environment;

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

/// Drills.
///
/// # Errors
///
/// [`Exit::Store`] if anything did not come back; as `restore` otherwise.
pub(super) fn run(args: &DrillArgs, environment: Environment<'_>) -> Result<(), Failure> {
    let settings = Settings::decide(args.store.layer(), environment)?;
    let place = args.from.open(&args.place, environment)?;
    let customer_keys: Vec<CustomerKey> = args
        .sse_c_key
        .iter()
        .map(|path| customer_key(path))
        .collect::<Result<_, _>>()?;
    let clock = SystemClock::new();
    let began = clock.now().to_iso8601();
    let scratch = Scratch::make(args.scratch.as_deref())?;
    let restored_settings = Settings {
        data: DataDir::new(scratch.0.join("data")),
        ..settings.clone()
    };
    let (restored, opened) = restore_to(
        &restored_settings,
        &*place,
        wanted(args.number),
        Opener::Seal(environment),
    )?;
    let ring = opened
        .ring
        .duplicate()
        .map_err(|error| Failure::new(Exit::Ring, error.to_string(), ""))?;
    let details = Params::new()
        .text("from", &place.describe())
        .number("backup", restored.summary.number)
        .text("marked", &restored.summary.marked);
    let note = Note::begin(&settings.data, &ring, "DrillBackup", details);
    // As a server would: what keeps one from starting is found here.
    let store = backups_off_line(&restored_settings, opened)?;
    let report = read_everything(&restored_settings, &ring, &customer_keys, &scratch.0)?;
    let passed =
        report.losses.is_empty() && !report.without_rows && restored.summary.unreadable.is_empty();
    let drilled = DrillReport {
        what: "strongroom backup drill",
        passed,
        place: place.describe(),
        backup: restored.summary.number,
        ring_id: restored.summary.ring_id.clone(),
        mark: restored.summary.mark,
        marked: restored.summary.marked.clone(),
        began,
        ended: clock.now().to_iso8601(),
        restored_files: restored.files,
        restored_bytes: restored.summary.bytes,
        versions: report.versions,
        plaintext_bytes: report.bytes,
        buckets: report.buckets,
        kms_keys: report.kms_keys,
        without_customer_key: report.without_customer_key,
        warnings: warnings(&restored),
        losses: report.losses,
        program: concat!("strongroom ", env!("CARGO_PKG_VERSION")),
    };
    let directory = match &args.report {
        Some(directory) => Some(directory.clone()),
        None => settings
            .data
            .root()
            .is_dir()
            .then(|| settings.data.reports()),
    };
    let signed = match directory {
        Some(directory) => {
            let digits = drilled.began.split(['.', 'Z']).next().unwrap_or_default();
            let when: String = digits
                .chars()
                .filter(|it| !matches!(it, '-' | ':'))
                .collect();
            let name = format!("backup-{}-drilled-{when}Z", drilled.backup);
            Some(store.write_report(directory, &name, &drilled)?)
        }
        None => None,
    };
    store.close();
    drop(store);
    drop(scratch);
    let losses = u64::try_from(drilled.losses.len()).unwrap_or(u64::MAX);
    let found = Params::new().flag("passed", passed);
    note.end(found.number("losses", losses), None);
    tell(&drilled, signed.as_deref(), args.json)?;
    if passed {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Store,
        format!("backup {} does not bring everything back", drilled.backup),
        "the report names what is lost; take a new backup into a fresh place while the store is there",
    ))
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
