//! `recover`: everything out of a data directory, without the server.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use strongroom_audit::Params;
use strongroom_crypto::CustomerKey;
use strongroom_ports::Entropy;
use strongroom_recover::{Plan, Progress, RecoverError, Report, Sources, recover};
use zeroize::Zeroizing;

use crate::adapters::SystemEntropy;
use crate::cli::recover::RecoverArgs;
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::notes::Note;
use crate::progress::Bar;
use crate::unseal::{self, Environment};
use crate::{files, findings, output};

/// Losses that are printed; all are in the report.
const LOSSES_SHOWN: usize = 20;

/// Recovers, and says what came of it.
///
/// # Errors
///
/// [`Exit::Store`] if something is lost, or a server uses the directory; [`Exit::Seal`] and
/// [`Exit::Ring`] without the ring; [`Exit::Usage`] and [`Exit::Environment`] for the output.
pub(crate) fn run(
    settings: &Settings,
    args: &RecoverArgs,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let data = &settings.data;
    let lock = match data.lock() {
        Ok(Some(lock)) => Some(lock),
        Ok(None) => return Err(findings::locked(settings).failure),
        // Of a medium that cannot be written, nobody else can write either.
        Err(_) => None,
    };
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let opened = unseal::unseal_as_it_is(settings, &entropy, environment)?;
    let customer_keys: Vec<CustomerKey> = args
        .sse_c_key
        .iter()
        .map(|path| customer_key(path))
        .collect::<Result<_, _>>()?;
    let details = Params::new().text("output", &args.out.display().to_string());
    let note = Note::begin(data, &opened.ring, "RecoverStore", details);
    let plan = Plan {
        sources: Sources {
            meta: data.meta(),
            blobs: data.blobs().join("blobs"),
            shreds: data.shreds(),
        },
        out: args.out.clone(),
        ring: &opened.ring,
        customer_keys: &customer_keys,
        unreferenced: args.unreferenced,
    };
    let mut bar = Bar::new("recover");
    let outcome = recover(&plan, &mut |progress| match progress {
        Progress::Rows(done, all) => bar.show("reading the journal", done, all),
        Progress::Objects(done, all) => {
            bar.show(&format!("{done} of {all} versions"), done, all);
        }
        Progress::Blobs(done, all) => {
            bar.show(&format!("{done} of {all} blobs without rows"), done, all);
        }
    });
    bar.end();
    drop(lock);
    let outcome = outcome.map_err(|error| match error {
        RecoverError::NotEmpty(_) => Failure::new(
            Exit::Usage,
            error.to_string(),
            "name a directory that does not exist yet: nothing is overwritten",
        ),
        RecoverError::Io(..) | _ => Failure::new(
            Exit::Environment,
            error.to_string(),
            "check space and permissions; then recover once more into another directory",
        ),
    });
    let told = outcome.as_ref().map_or_else(
        |_| Params::new(),
        |report| {
            let losses = u64::try_from(report.losses.len()).unwrap_or(u64::MAX);
            Params::new()
                .number("plaintextBytes", report.bytes)
                .number("losses", losses)
        },
    );
    note.end(told, outcome.as_ref().err());
    let report = outcome?;
    if args.json {
        let text = serde_json::to_string_pretty(&report).unwrap_or_default();
        output::say(&text)?;
    } else {
        tell(&report, &args.out)?;
    }
    if report.is_whole() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Store,
        format!("{} things are lost or may be", report.losses.len()),
        format!(
            "{} names each; a backup may have them",
            args.out.join("report.json").display()
        ),
    ))
}

fn tell(report: &Report, out: &Path) -> Result<(), Failure> {
    output::say(&format!(
        "{} buckets, {} KMS keys, {} delete markers",
        report.buckets, report.kms_keys, report.delete_markers
    ))?;
    for (mode, counts) in &report.versions {
        let lost = match counts.lost {
            0 => String::new(),
            lost => format!(", {lost} LOST"),
        };
        output::say(&format!(
            "{mode}: {} versions whole{lost}",
            counts.recovered
        ))?;
    }
    if report.unclaimed > 0 {
        output::say(&format!(
            "{} blobs are named by no row; --unreferenced recovers them too",
            report.unclaimed
        ))?;
    }
    if report.without_rows {
        output::say(
            "There was neither journal nor snapshot: only what lay in blob files could be recovered.",
        )?;
    }
    for loss in report.losses.iter().take(LOSSES_SHOWN) {
        // A key may hold what a terminal takes for a command.
        let what: String = loss.what.chars().flat_map(shown).collect();
        output::say(&format!("lost: {what}: {}", loss.why))?;
    }
    if let more @ 1.. = report.losses.len().saturating_sub(LOSSES_SHOWN) {
        output::say(&format!("... and {more} more"))?;
    }
    output::say(&format!(
        "{} bytes of plaintext are in {}",
        report.bytes,
        out.display()
    ))
}

fn shown(letter: char) -> impl Iterator<Item = char> {
    let escaped = letter.is_control().then(|| letter.escape_default());
    let plain = (!letter.is_control()).then_some(letter);
    escaped.into_iter().flatten().chain(plain)
}

/// 32 bytes as they are, or their base64.
pub(crate) fn customer_key(path: &Path) -> Result<CustomerKey, Failure> {
    let wrong = |why: String| {
        Failure::new(
            Exit::Usage,
            format!("{}: {why}", path.display()),
            "a customer key file holds 32 bytes, or their base64",
        )
    };
    let bytes = files::read(path).map_err(|error| wrong(error.to_string()))?;
    let bytes = Zeroizing::new(bytes);
    if let Ok(key) = CustomerKey::parse(&bytes) {
        return Ok(key);
    }
    let decoded = Zeroizing::new(BASE64.decode(bytes.trim_ascii()).unwrap_or_default());
    CustomerKey::parse(&decoded).map_err(|_| wrong("is no customer key".to_owned()))
}
