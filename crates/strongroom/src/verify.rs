//! `verify`: beside the running server by asking it, and off line.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use strongroom_audit::{Home, Ledger, Params};
use strongroom_crypto::CustomerKey;
use strongroom_ports::Entropy;
use strongroom_rows::{Custody as RowCustody, SealedRows};
use strongroom_store::check_index;
use strongroom_types::{AccountId, Region};
use strongroom_verify::{
    Custody, Finding, Kind, Opened, Plan, Progress, Report, VerifyError, read_off_line, verify,
};

use crate::adapters::SystemEntropy;
use crate::admin::{Answer, Request, VerifyRequest, VerifyState, ask};
use crate::cli::verify::VerifyArgs;
use crate::commands::unexpected;
use crate::config::Settings;
use crate::data_dir::DataLock;
use crate::failure::{Exit, Failure};
use crate::notes::Note;
use crate::progress::Bar;
use crate::recover::customer_key;
use crate::reports::{self, Reports};
use crate::unseal::{self, Environment};
use crate::verified::Began;
use crate::{findings, output};

/// Time between two looks at how far the server is.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Findings that are printed; `--json` has all.
const FINDINGS_SHOWN: usize = 50;

/// Verifies, and says what was found.
///
/// # Errors
///
/// [`Exit::Damage`], [`Exit::Foreign`] for findings; [`Exit::Seal`] without the ring;
/// [`Exit::General`] if the server ends the verification.
pub(crate) fn run(
    settings: &Settings,
    args: &VerifyArgs,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let start = Request::Verify {
        ask: VerifyRequest::Start {
            bytes_per_second: args.rate,
            sealed: args.sealed,
        },
    };
    let outcome = match ask(&settings.data.admin_socket(), &start)? {
        Some(_) => on_line(settings, args)?,
        None => off_line(settings, args, environment)?,
    };
    let Outcome {
        report,
        text,
        signed,
    } = outcome;
    if args.json {
        output::say(text.trim_end_matches('\n'))?;
    } else {
        tell(&report)?;
    }
    match signed {
        Ok(_) if args.json => {}
        Ok(path) => output::say(&format!("The signed report is {}.", path.display()))?,
        Err(why) => output::complain(&format!(
            "strongroom: warning: this verification leaves no signed report: {why}"
        )),
    }
    verdict(&report)
}

/// What came of it.
struct Outcome {
    report: Report,
    /// The same as its file holds it.
    text: String,
    /// Where that file is, or why there is none.
    signed: Result<PathBuf, String>,
}

/// What the report means for who asked.
fn verdict(report: &Report) -> Result<(), Failure> {
    if report.damaged > 0 {
        return Err(Failure::new(
            Exit::Damage,
            format!("{} things are damaged or missing", report.damaged),
            "restore them from a backup, or delete the objects; docs/operations.md, Verify, says what heals itself",
        ));
    }
    if report.foreign > 0 {
        return Err(Failure::new(
            Exit::Foreign,
            format!("{} files are none of the store's", report.foreign),
            "look where they come from, and take them away",
        ));
    }
    if report.incomplete {
        return Err(Failure::new(
            Exit::General,
            "the verification was ended before it was through",
            "begin it again",
        ));
    }
    Ok(())
}

fn on_line(settings: &Settings, args: &VerifyArgs) -> Result<Outcome, Failure> {
    if !args.sse_c_key.is_empty() {
        let _ = asked(settings, VerifyRequest::Stop);
        return Err(Failure::new(
            Exit::Usage,
            "--sse-c-key is for stores that no server uses",
            "stop the server, or verify these objects by their checksums",
        ));
    }
    let mut bar = Bar::new("verify");
    let signed = loop {
        let Answer::Verifying(state) = asked(settings, VerifyRequest::Status)? else {
            return Err(unexpected());
        };
        let VerifyState {
            running,
            done_bytes,
            all_bytes,
            failure,
            signed,
            unsigned,
        } = state;
        if let Some(why) = failure {
            return Err(Failure::new(Exit::Store, why, "look at the server's log"));
        }
        if !running {
            let why = || unsigned.unwrap_or_else(|| "the server did not sign it".to_owned());
            break signed
                .map(|name| settings.data.reports().join(name))
                .ok_or_else(why);
        }
        bar.show(&of_bytes(done_bytes, all_bytes), done_bytes, all_bytes);
        thread::sleep(LOOK_EVERY);
    };
    bar.end();
    let (mut text, mut from) = (String::new(), Some(0));
    while let Some(at) = from {
        let Answer::VerifyReport { text: piece, next } =
            asked(settings, VerifyRequest::Report { from: at })?
        else {
            return Err(unexpected());
        };
        text.push_str(&piece);
        from = next;
    }
    let signed = match (signed, &args.report) {
        (Ok(path), Some(directory)) => {
            reports::copy(&path, directory).map_err(|error| error.to_string())
        }
        (signed, _) => signed,
    };
    Ok(Outcome {
        report: serde_json::from_str(&text).map_err(|_| unexpected())?,
        text,
        signed,
    })
}

fn asked(settings: &Settings, what: VerifyRequest) -> Result<Answer, Failure> {
    let request = Request::Verify { ask: what };
    ask(&settings.data.admin_socket(), &request)?.ok_or_else(|| {
        Failure::new(
            Exit::General,
            "the server ended during the verification",
            "verify again; it works without a server, too",
        )
    })
}

/// A data directory that nobody else uses, for as long as the lock is held.
///
/// # Errors
///
/// [`Exit::Usage`], [`Exit::Store`].
pub(crate) fn lock(settings: &Settings) -> Result<Option<DataLock>, Failure> {
    let data = &settings.data;
    if !data.root().exists() {
        return Err(Failure::new(
            Exit::Usage,
            format!("there is no data directory {}", data.root().display()),
            "name it with --data DIR",
        ));
    }
    match data.lock() {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(findings::locked(settings).failure),
        // Of a medium that cannot be written, nobody else can write either.
        Err(_) => Ok(None),
    }
}

fn off_line(
    settings: &Settings,
    args: &VerifyArgs,
    environment: Environment<'_>,
) -> Result<Outcome, Failure> {
    let data = &settings.data;
    let lock = lock(settings)?;
    let custody = if args.sealed {
        None
    } else {
        custody(settings, args, environment)?
    };
    let note = custody.as_ref().map(|custody| {
        let details = Params::new().flag("withoutKeys", false);
        Note::begin(data, &(custody.ring)(), "VerifyStore", details)
    });
    let outcome = read_all(settings, args, custody.as_ref());
    drop(lock);
    if let Some(note) = note {
        let found = outcome.as_ref().map_or_else(
            |_| Params::new(),
            |Outcome { report, .. }| {
                Params::new()
                    .number("damaged", report.damaged)
                    .number("foreign", report.foreign)
            },
        );
        note.end(found, outcome.as_ref().err());
    }
    outcome
}

/// Verifies the store in the data directory, which nobody else uses.
fn read_all(
    settings: &Settings,
    args: &VerifyArgs,
    custody: Option<&Custody>,
) -> Result<Outcome, Failure> {
    let data = &settings.data;
    let began = Began::now();
    let mut bar = Bar::new("verify");
    let mut last_commit = 0;
    let mut store = None;
    let opened = match custody {
        None => None,
        Some(custody) => {
            let read = read_off_line(&data.meta(), &(custody.ring)(), &mut |done, all| {
                bar.show("reading the journal", done, all);
            });
            let read = read.map_err(|error| unreadable(&VerifyError::Io(error)))?;
            last_commit = read.last_commit;
            let rows = SealedRows {
                meta: Arc::clone(&read.rows),
                custody: Arc::new(RowCustody::new((custody.ring)())),
                entropy: Arc::new(SystemEntropy),
            };
            store = Some(rows.clone());
            Some(Opened {
                ledger: ledger(rows)?,
                rows: read.rows,
                losses: read.losses,
                custody,
                // The index knows, below.
                acknowledged: None,
            })
        }
    };
    // Held against the journal: what the journal lost at its end, only the index knows.
    let index = match &opened {
        Some(opened) => check_index(
            &data.meta(),
            &*(opened.custody.ring)(),
            &*opened.rows,
            last_commit,
        )
        .map_err(|error| unreadable(&VerifyError::Io(error)))?,
        None => None,
    };
    let plan = Plan {
        root: data.root().to_owned(),
        opened,
        on_line: false,
        bytes_per_second: args.rate,
        cancelled: &AtomicBool::new(false),
    };
    let bar = parking_lot::Mutex::new(bar);
    let report = verify(&plan, &|Progress {
                                     done_bytes,
                                     all_bytes,
                                 }| {
        let text = of_bytes(done_bytes, all_bytes);
        bar.lock().show(&text, done_bytes, all_bytes);
    });
    bar.lock().end();
    let mut report = report.map_err(|error| unreadable(&error))?;
    for why in index.into_iter().flat_map(|index| index.damage) {
        report.add(Finding::damage("index", why).in_file("meta/index.srx"));
    }
    let ring_id = custody.map(|custody| (custody.ring)().ring_id());
    let text = began.text(&report, ring_id);
    let signed = match &store {
        Some(rows) => {
            let directory = args.report.clone().unwrap_or_else(|| data.reports());
            let reports = Reports::in_directory(directory, rows, &rows.entropy);
            let kept = began.keep(&reports, &text);
            kept.map_err(|failure| failure.what)
        }
        None => Err("that takes the store's keys".to_owned()),
    };
    Ok(Outcome {
        report,
        text,
        signed,
    })
}

/// Keys of a store that no server uses; `None` when both copies of the ring are damaged, which the
/// report then says.
fn custody(
    settings: &Settings,
    args: &VerifyArgs,
    environment: Environment<'_>,
) -> Result<Option<Custody>, Failure> {
    let customer_keys: Vec<CustomerKey> = args
        .sse_c_key
        .iter()
        .map(|path| customer_key(path))
        .collect::<Result<_, _>>()?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let opened = match unseal::unseal_as_it_is(settings, &entropy, environment) {
        Ok(opened) => opened,
        Err(failure) if failure.exit == Exit::Ring => {
            output::complain(&format!(
                "strongroom: {failure}\nstrongroom: verifying what can be verified without keys"
            ));
            return Ok(None);
        }
        Err(failure) => {
            return Err(Failure {
                remedy: format!("{}; or verify without keys: --sealed", failure.remedy),
                ..failure
            });
        }
    };
    let (ring, unseal_key) = (Arc::new(opened.ring), opened.unseal_key);
    Ok(Some(Custody {
        ring: Arc::new(move || Arc::clone(&ring)),
        unseal: Box::new(move |ring| ring.unseal(&unseal_key)),
        customer_keys,
    }))
}

/// The audit trail, to be read.
fn ledger(rows: SealedRows) -> Result<Ledger, Failure> {
    // Where new events would belong; there are none.
    let home = Home {
        account: AccountId::parse("000000000000").map_err(|_| unexpected())?,
        region: Region::parse("us-east-1").map_err(|_| unexpected())?,
    };
    Ok(Ledger::new(rows, home))
}

fn unreadable(error: &VerifyError) -> Failure {
    Failure::new(
        Exit::Environment,
        error.to_string(),
        "check the disk and the permissions of the data directory",
    )
}

fn of_bytes(done: u64, all: u64) -> String {
    format!("{} of {} MiB", done >> 20, all >> 20)
}

fn tell(report: &Report) -> Result<(), Failure> {
    let how = match (report.with_keys, report.on_line) {
        (true, true) => "with keys, beside the running server",
        (true, false) => "with keys",
        (false, true) => "checksums alone, beside the running server",
        (false, false) => "checksums alone, without keys",
    };
    output::say(&format!("Verified {how}."))?;
    for (bucket, counts) in &report.buckets {
        for (mode, it) in &counts.modes {
            let mut line = format!(
                "{bucket}  {mode}: {} versions, {} streams, {} segments by tag, {} by checksum, {} wrapped keys opened",
                it.versions, it.streams, it.segments, it.segments_by_checksum, it.keys_opened
            );
            if it.without_customer_key > 0 {
                let _ = write!(line, ", {} without customer key", it.without_customer_key);
            }
            if it.under_unavailable_keys > 0 {
                let _ = write!(
                    line,
                    ", {} under KMS keys that cannot be used now",
                    it.under_unavailable_keys
                );
            }
            output::say(&line)?;
        }
        if counts.delete_markers + counts.uploads > 0 {
            output::say(&format!(
                "{bucket}  {} delete markers, {} uploads in progress with {} parts",
                counts.delete_markers, counts.uploads, counts.upload_parts
            ))?;
        }
    }
    let files = &report.files;
    output::say(&format!(
        "journal: {} files, {} frames; snapshots: {}; index: {} pages; ring: {} copies; shred files: {}; key materials: {}; blobs: {}; rows: {}",
        files.journals,
        files.journal_frames,
        files.snapshots,
        files.index_pages,
        files.ring_copies,
        files.shred_files,
        files.materials,
        files.blobs,
        report.rows.values().sum::<u64>(),
    ))?;
    for (lane, it) in &report.audit {
        output::say(&format!(
            "audit trail, {lane}: {} batches, {} events, {} waiting",
            it.batches, it.events, it.waiting
        ))?;
    }
    let waiting = &report.waiting;
    let left = waiting.garbage_blobs
        + waiting.orphan_blobs
        + waiting.unreferenced_blobs
        + waiting.orphan_rows
        + waiting.orphan_shreds;
    if left > 0 {
        output::say(&format!(
            "the collector still removes: {} blobs of deleted versions, {} without a row, {} that no version names, {} rows without a blob; {} shred files name no material",
            waiting.garbage_blobs,
            waiting.orphan_blobs,
            waiting.unreferenced_blobs,
            waiting.orphan_rows,
            waiting.orphan_shreds
        ))?;
    }
    for (arn, key) in &report.unavailable_keys {
        output::say(&format!(
            "{arn} is {}: of {} versions under it, checksums were verified",
            key.state, key.versions
        ))?;
    }
    if report.root_key_versions.len() > 1 {
        let counts: Vec<String> = report
            .root_key_versions
            .iter()
            .map(|(version, count)| format!("{version}: {count}"))
            .collect();
        output::say(&format!(
            "blobs by version of the root key: {}; more than one is an unfinished rotation, or older copies put back",
            counts.join(", ")
        ))?;
    }
    for what in &report.unchecked {
        output::say(&format!("not verified: {what}"))?;
    }
    for finding in report.findings.iter().take(FINDINGS_SHOWN) {
        output::say(&line_of(finding))?;
    }
    let all = report.damaged + report.foreign + report.leftovers;
    let shown = u64::try_from(FINDINGS_SHOWN).unwrap_or(u64::MAX).min(all);
    if all > shown {
        output::say(&format!("and {} more: --json has them", all - shown))?;
    }
    output::say(&format!(
        "{} damaged, {} foreign, {} left over",
        report.damaged, report.foreign, report.leftovers
    ))
}

fn line_of(finding: &Finding) -> String {
    let kind = match finding.kind {
        Kind::Damage => "DAMAGED",
        Kind::Foreign => "FOREIGN",
        Kind::Leftover => "left over",
    };
    let mut line = format!("{kind}:");
    if let (Some(bucket), Some(key)) = (&finding.bucket, &finding.key) {
        // A key may hold anything; a terminal shall not obey it.
        let _ = write!(line, " s3://{bucket}/{}", key.escape_debug());
    }
    if let Some(version) = &finding.version_id {
        let _ = write!(line, " version {version}");
    }
    if let Some(part) = finding.part {
        let _ = write!(line, " part {part}");
    }
    if let Some(file) = &finding.file {
        let _ = write!(line, " {}", file.escape_debug());
    }
    if let Some(offset) = finding.offset {
        let _ = write!(line, " at byte {offset}");
    }
    let _ = write!(line, ": {}", finding.why);
    line
}
