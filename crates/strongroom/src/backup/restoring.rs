//! `restore`: a data directory out of a backup.
//!
//! ```text
//!   FORMAT says "being restored"  ->  every file, verified  ->  ring/  ->  FORMAT says its version
//! ```
//!
//! A directory that was left half way has no ring, and no server starts from it.

use std::cell::RefCell;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;

use serde_json::json;
use strongroom_audit::Params;
use strongroom_backup::{Lineage, Place, RestoreError, Restored, Wanted};
use strongroom_crypto::{EscrowedRing, ManifestKey, UnsealKey};
use strongroom_ports::{Entropy, SealError};

use super::{fresh_lineage, place_failure, show};
use crate::adapters::SystemEntropy;
use crate::cli::backup::RestoreArgs;
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::notes::Note;
use crate::progress::Bar;
use crate::ring_files::{COPIES, OpenedRing, RingFiles};
use crate::seals::means::Means;
use crate::unseal::{Environment, ring_failure};
use crate::{escrow, files, output};

/// `restore`.
///
/// # Errors
///
/// [`Exit::Store`] for a backup that is damaged, [`Exit::Seal`], [`Exit::Usage`],
/// [`Exit::Environment`].
pub(crate) fn run(args: &RestoreArgs, environment: Environment<'_>) -> Result<(), Failure> {
    let settings = Settings::decide(args.layer(), environment)?;
    let place = args.from.open(&args.place, environment)?;
    let escrowed = match (&args.escrow, &args.identity) {
        (Some(escrow), Some(identity)) => Some(escrow::open_files(escrow, identity)?),
        _ => None,
    };
    let opener = match &escrowed {
        Some(escrowed) => Opener::Escrow(escrowed),
        None => Opener::Seal(environment),
    };
    let (restored, _) = restore_to(&settings, &*place, wanted(args.number), opener)?;
    let warnings = warnings(&restored);
    if args.json {
        let told = json!({
            "backup": restored.summary,
            "files": restored.files,
            "shred_keys_left_out": restored.destroyed,
            "warnings": warnings,
        });
        return output::say(&serde_json::to_string_pretty(&told).unwrap_or_default());
    }
    output::say(&format!(
        "Backup {} of {} is restored to {}: {} bytes, every one verified.",
        restored.summary.number,
        restored.summary.marked,
        settings.data.root().display(),
        restored.summary.bytes
    ))?;
    for warning in warnings {
        output::say(&format!("WARNING: {warning}"))?;
    }
    if escrowed.is_some() {
        return output::say(
            "Give it a new seal: strongroom escrow open. Then start it: strongroom serve.",
        );
    }
    output::say("Start it: strongroom serve, with the seal that the store had then.")
}

/// What opens the ring of a backup.
#[derive(Clone, Copy)]
pub(super) enum Opener<'a> {
    /// A seal, as settings and environment name it.
    Seal(Environment<'a>),
    /// The unseal key that was in escrow.
    Escrow(&'a EscrowedRing),
}

impl Opener<'_> {
    fn open(
        self,
        settings: &Settings,
        files: &RingFiles,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<OpenedRing, Failure> {
        let opened = match self {
            Opener::Seal(environment) => {
                let means = Means::new(settings, entropy, environment)?;
                files.open_as_it_is(&|ring| means.try_and_ask(ring))
            }
            Opener::Escrow(escrowed) => files.open_as_it_is(&|_| {
                UnsealKey::parse(escrowed.unseal_key.expose())
                    .map_err(|error| SealError::Damaged(error.to_string()))
            }),
        };
        opened.map_err(ring_failure)
    }
}

pub(super) fn wanted(number: Option<u64>) -> Wanted {
    number.map_or(Wanted::Newest, Wanted::Number)
}

/// What people should know of a restoration.
pub(super) fn warnings(restored: &Restored) -> Vec<String> {
    let mut warnings = Vec::new();
    if restored.destroyed > 0 {
        warnings.push(format!(
            "{} shred keys are left out: their KMS keys were destroyed after this backup, and what is under them does not open",
            restored.destroyed
        ));
    }
    for number in &restored.unverified_later {
        warnings.push(format!(
            "backup {number}, which is later, is damaged: KMS keys that it tells of as destroyed may be back"
        ));
    }
    if let count @ 1.. = restored.summary.unreadable.len() {
        warnings.push(format!(
            "{count} files could not be read when the backup was taken, and are not in it"
        ));
    }
    warnings
}

/// Restores to the data directory of `settings`, which must be empty. The ring comes back open.
pub(super) fn restore_to(
    settings: &Settings,
    place: &dyn Place,
    wanted: Wanted,
    opener: Opener<'_>,
) -> Result<(Restored, OpenedRing), Failure> {
    let data = &settings.data;
    let root = data.root();
    let failed = |error: io::Error| {
        Failure::new(
            Exit::Environment,
            format!("{}: {error}", root.display()),
            "check space and permissions",
        )
    };
    let is_empty = match fs::read_dir(root) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(failed(error)),
    };
    if !is_empty {
        return Err(Failure::new(
            Exit::Usage,
            format!("{} is not empty", root.display()),
            "name a directory that does not exist yet: nothing is overwritten",
        ));
    }
    data.begin_restoration().map_err(failed)?;
    let _lock = data.lock().map_err(failed)?;
    // Where the seals look for it; it gets its name last.
    let aside = root.join("restoring");
    DirBuilder::new()
        .mode(0o700)
        .create(&aside)
        .map_err(failed)?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let unsealed: RefCell<Option<OpenedRing>> = RefCell::new(None);
    let mut open = |bytes: &[u8]| {
        for name in COPIES {
            files::replace(&aside.join(name), bytes)?;
        }
        let ring = opener.open(settings, &RingFiles::new(aside.clone()), &entropy)?;
        let key = ManifestKey::of(&ring.ring);
        unsealed.replace(Some(ring));
        Ok(key)
    };
    let mut bar = Bar::new("restore");
    let restored = strongroom_backup::restore(place, wanted, root, &mut open, &mut |progress| {
        show(&mut bar, "restored", progress);
    });
    bar.end();
    let restored = restored.map_err(restore_failure)?;
    let unsealed = unsealed
        .into_inner()
        .ok_or_else(|| Failure::new(Exit::Ring, "the key ring was not opened", ""))?;
    // From here on it goes its own way.
    let lineage = Lineage {
        own: fresh_lineage(),
        parent: Some((restored.lineage.clone(), restored.summary.number)),
    };
    files::replace(&data.lineage(), lineage.encode().as_bytes()).map_err(failed)?;
    fs::rename(&aside, data.ring()).map_err(failed)?;
    // Before it can be started: it tells that it came out of a backup.
    let by = match opener {
        Opener::Seal(_) => "seal",
        Opener::Escrow(_) => "escrow",
    };
    let details = Params::new()
        .text("from", &place.describe())
        .number("backup", restored.summary.number)
        .text("marked", &restored.summary.marked)
        .text("openedBy", by);
    Note::begin(data, &unsealed.ring, "RestoreStore", details).end(Params::new(), None);
    data.end_restoration().map_err(failed)?;
    Ok((restored, unsealed))
}

fn restore_failure(error: RestoreError) -> Failure {
    match error {
        RestoreError::Ring(error) => match error.downcast::<Failure>() {
            Ok(failure) => *failure,
            Err(error) => Failure::new(
                Exit::Environment,
                error.to_string(),
                "check space and permissions",
            ),
        },
        RestoreError::Place(error) => place_failure(error),
        RestoreError::NoBackup(_) => Failure::new(
            Exit::Usage,
            error.to_string(),
            "strongroom backup list --from shows what there is",
        ),
        RestoreError::Target(..) => Failure::new(
            Exit::Environment,
            error.to_string(),
            "check space and permissions, remove what was begun, and try again",
        ),
        RestoreError::Manifest(..) | RestoreError::Damaged(_) | _ => Failure::new(
            Exit::Store,
            error.to_string(),
            "what was begun is no store: remove it, and restore another backup (strongroom backup list; --number N)",
        ),
    }
}
