//! `backup`, `backup list`, `backup drill`, `backup prune` and `restore`.
//!
//! ```text
//!   place (directory, bucket) <- take <- origin (the running server, or the store off line)
//!                             -> restoring -> data directory
//!                             -> drill: restored, opened, every object read, a signed report, gone
//! ```

mod bucket;
mod drill;
mod origin;
mod place;
mod restoring;

use serde_json::{Value, json};
use strongroom_backup::{
    Lineage, PlaceError, Progress, Sources, Summary, TakeError, Taken, prune, take,
};
use strongroom_ports::Entropy as _;

use self::origin::Source;
pub(crate) use self::place::PlaceName;
use crate::adapters::SystemEntropy;
use crate::cli::backup::{BackupAction, BackupArgs, BackupPruneArgs, PlaceArgs};
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::progress::Bar;
use crate::unseal::Environment;
use crate::{files, output};

pub(crate) use self::restoring::run as restore;

/// Does what was asked.
///
/// # Errors
///
/// [`Exit::Store`] for damage, [`Exit::Seal`] without the seal where it is needed, [`Exit::Usage`] and
/// [`Exit::Environment`] for place and target.
pub(crate) fn run(args: &BackupArgs, environment: Environment<'_>) -> Result<(), Failure> {
    match &args.action {
        Some(BackupAction::List(list)) => {
            tell_list(&list.from, &list.place, list.json, environment)
        }
        Some(BackupAction::Drill(drill)) => drill::run(drill, environment),
        Some(BackupAction::Prune(args)) => tell_prune(args, environment),
        None => {
            let settings = Settings::decide(args.store.layer(), environment)?;
            take_one(&settings, args, environment)
        }
    }
}

fn take_one(
    settings: &Settings,
    args: &BackupArgs,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let to = args.to.as_ref().ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            "nobody said where to",
            "strongroom backup --to DIR, or --to s3://BUCKET/PREFIX",
        )
    })?;
    to.check_apart(settings)?;
    let place = to.open_to_write(&args.place, Some(settings), environment)?;
    let mut source = Source::find(settings, environment)?;
    let sources = Sources {
        meta: settings.data.meta(),
        blobs: settings.data.blobs(),
        shreds: settings.data.shreds(),
    };
    let mut bar = Bar::new("backup");
    let lineage = lineage_of(settings)?;
    let taken = take(&sources, &lineage, &*place, &mut source, &mut |progress| {
        show(&mut bar, "of the data looked at or copied", progress);
    });
    bar.end();
    let taken = taken.map_err(take_failure);
    source.note_end(&taken, &place.describe());
    let taken = taken?;
    tell_taken(&taken, &place.describe(), args.json)?;
    if taken.summary.unreadable.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Store,
        format!(
            "{} files cannot be read, and are not in the backup",
            taken.summary.unreadable.len()
        ),
        "look at the disk; strongroom backup list --json names them",
    ))
}

/// The store's lineage; the first backup draws it.
fn lineage_of(settings: &Settings) -> Result<Lineage, Failure> {
    let path = settings.data.lineage();
    let failed = |why: &str| {
        Failure::new(
            Exit::Environment,
            format!("{}: {why}", path.display()),
            "check its permissions; without it, backups go to a new place",
        )
    };
    match files::read(&path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            Lineage::parse(&text).ok_or_else(|| failed("is damaged"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let lineage = Lineage {
                own: fresh_lineage(),
                parent: None,
            };
            let written = files::replace(&path, lineage.encode().as_bytes());
            written.map_err(|error| failed(&error.to_string()))?;
            Ok(lineage)
        }
        Err(error) => Err(failed(&error.to_string())),
    }
}

fn fresh_lineage() -> String {
    let mut id = [0; 16];
    SystemEntropy.fill(&mut id);
    hex::encode(id)
}

fn show(bar: &mut Bar, what: &str, progress: Progress) {
    let Progress {
        done_bytes,
        all_bytes,
    } = progress;
    let text = format!("{} of {} MiB {what}", done_bytes >> 20, all_bytes >> 20);
    bar.show(&text, done_bytes, all_bytes);
}

fn tell_taken(taken: &Taken, place: &str, json: bool) -> Result<(), Failure> {
    let Taken {
        summary,
        copied_bytes,
        copied_blobs,
        copied_footers,
        destroyed,
        ignored,
    } = taken;
    if json {
        let mut told = told(summary);
        if let Some(told) = told.as_object_mut() {
            told.insert("copied_bytes".to_owned(), (*copied_bytes).into());
            told.insert("copied_blobs".to_owned(), (*copied_blobs).into());
            told.insert("copied_footers".to_owned(), (*copied_footers).into());
            told.insert("shred_keys_destroyed".to_owned(), (*destroyed).into());
            told.insert("manifests_ignored".to_owned(), json!(ignored));
        }
        return output::say(&serde_json::to_string_pretty(&told).unwrap_or_default());
    }
    for number in ignored {
        output::complain(&format!(
            "strongroom: warning: backup {number} in {place} is damaged or forged, and nothing was taken from it"
        ));
    }
    output::say(&format!(
        "Backup {} is in {place}: all that was acknowledged before {}.",
        summary.number, summary.marked
    ))?;
    output::say(&format!(
        "{} bytes in {} blob files; copied now: {copied_bytes} bytes, {copied_blobs} blob files.",
        summary.bytes, summary.blobs
    ))?;
    if *destroyed > 0 {
        output::say(&format!(
            "{destroyed} shred keys of destroyed KMS keys are removed from there."
        ))?;
    }
    Ok(())
}

fn tell_list(
    from: &PlaceName,
    args: &PlaceArgs,
    json: bool,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let place = from.open(args, environment)?;
    let found = strongroom_backup::list(&*place).map_err(place_failure)?;
    if json {
        let listed: Vec<Value> = found
            .iter()
            .map(|(number, read)| match read {
                Ok(summary) => told(summary),
                Err(error) => json!({"number": number, "error": error.to_string()}),
            })
            .collect();
        let listed = json!({"backups": listed});
        return output::say(&serde_json::to_string_pretty(&listed).unwrap_or_default());
    }
    if found.is_empty() {
        output::say(&format!("There is no backup in {}.", place.describe()))?;
    }
    for (number, read) in &found {
        output::say(&match read {
            Ok(summary) => {
                let lacks = match summary.unreadable.len() {
                    0 => String::new(),
                    count => format!("  LACKS {count} FILES"),
                };
                format!(
                    "{number}  {}  {} bytes in {} blob files{lacks}",
                    summary.marked, summary.bytes, summary.blobs
                )
            }
            Err(error) => format!("{number}  CANNOT BE READ: {error}"),
        })?;
    }
    Ok(())
}

fn tell_prune(args: &BackupPruneArgs, environment: Environment<'_>) -> Result<(), Failure> {
    let place = args.from.open_to_write(&args.place, None, environment)?;
    let keep = usize::try_from(args.keep).unwrap_or(usize::MAX);
    let pruned = prune(&*place, keep).map_err(place_failure)?;
    if args.json {
        let told = json!({
            "backups_removed": pruned.backups,
            "objects_removed": pruned.objects,
            "bytes_removed": pruned.bytes,
        });
        return output::say(&serde_json::to_string_pretty(&told).unwrap_or_default());
    }
    output::say(&format!(
        "{} backups are gone, and {} bytes in {} objects that only they needed.",
        pruned.backups, pruned.bytes, pruned.objects
    ))
}

fn told(summary: &Summary) -> Value {
    serde_json::to_value(summary).unwrap_or_default()
}

fn take_failure(error: TakeError) -> Failure {
    match error {
        TakeError::Origin(error) => match error.downcast::<Failure>() {
            Ok(failure) => *failure,
            Err(error) => Failure::new(Exit::General, error.to_string(), ""),
        },
        TakeError::Place(error) => place_failure(error),
        TakeError::OtherLineage(..) => Failure::new(
            Exit::Usage,
            error.to_string(),
            "take its backups into a place of their own: this one keeps what that backup needs",
        ),
        TakeError::OtherStore(..) => Failure::new(
            Exit::Usage,
            error.to_string(),
            "give each store a place of its own",
        ),
        TakeError::Source(..) | _ => Failure::new(
            Exit::Store,
            error.to_string(),
            "no backup was taken; those that are there stay whole. Look at the disk, and try again",
        ),
    }
}

fn place_failure(error: PlaceError) -> Failure {
    match error {
        PlaceError::Missing(_) | PlaceError::Short(_) => Failure::new(
            Exit::Store,
            format!("the backup is damaged: {error}"),
            "use another backup: strongroom backup list",
        ),
        other @ (PlaceError::Source(..) | PlaceError::Taker(_) | PlaceError::Failed(..) | _) => {
            Failure::new(
                Exit::Environment,
                other.to_string(),
                "check space, permissions and the way there; then run the command again",
            )
        }
    }
}
