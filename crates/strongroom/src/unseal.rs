//! From a data directory to an unsealed ring, and the making of the first one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_crypto::{Keyring, Sealed, UnsealKey};
use strongroom_ports::{Clock, Entropy, Seal, SealError, SealKind};

use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::key_file::{self, KeyFile, KeyFileError};
use crate::ring_files::{OpenedRing, RingFileError, RingFiles};

/// How variables of the environment are looked up.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A ring that was just made, and where its key is.
pub(crate) struct CreatedRing {
    pub(crate) opened: OpenedRing,
    pub(crate) key_file: PathBuf,
}

/// Opens the ring with the key file that the settings name, or else with the ones that its slots
/// name.
///
/// # Errors
///
/// [`Exit::Seal`], [`Exit::Ring`], [`Exit::Environment`], each with its remedy.
pub(crate) fn unseal(
    settings: &Settings,
    entropy: &Arc<dyn Entropy>,
    environment: Environment<'_>,
) -> Result<OpenedRing, Failure> {
    let files = RingFiles::new(settings.data.ring());
    let opened =
        files.open(&|ring| reveal(ring, settings.key_file.as_deref(), entropy, environment));
    let opened = opened.map_err(ring_failure)?;
    for name in &opened.repaired {
        tracing::error!(
            copy = name,
            "a copy of the key ring was damaged, missing or old; rewritten from the good copy"
        );
    }
    Ok(opened)
}

/// As [`unseal`], for who must not write to the data directory.
///
/// # Errors
///
/// As [`unseal`].
pub(crate) fn unseal_as_it_is(
    settings: &Settings,
    entropy: &Arc<dyn Entropy>,
    environment: Environment<'_>,
) -> Result<OpenedRing, Failure> {
    let files = RingFiles::new(settings.data.ring());
    let opened = files
        .open_as_it_is(&|ring| reveal(ring, settings.key_file.as_deref(), entropy, environment));
    opened.map_err(ring_failure)
}

/// Makes the store's ring and its first seal.
///
/// # Errors
///
/// [`Exit::Ring`] when there is data already or a trace of a ring: its keys exist somewhere else,
/// and a new ring would bury that. [`Exit::Seal`] when the key file cannot be made.
pub(crate) fn create(
    settings: &Settings,
    clock: &dyn Clock,
    entropy: &Arc<dyn Entropy>,
    environment: Environment<'_>,
) -> Result<CreatedRing, Failure> {
    let files = RingFiles::new(settings.data.ring());
    let holds_data = settings.data.holds_data().map_err(|error| {
        Failure::new(
            Exit::Environment,
            format!("the data directory cannot be read: {error}"),
            "check its permissions",
        )
    })?;
    if holds_data || files.exist() {
        return Err(ring_over_data());
    }
    let (mut ring, unseal_key) = Keyring::create(clock.now(), &**entropy);
    let path = match &settings.key_file {
        Some(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
        None => key_file::default_path(ring.ring_id(), environment).ok_or_else(|| {
            Failure::new(
                Exit::Seal,
                "neither HOME nor XDG_CONFIG_HOME says where to keep the key file",
                "name one with --key-file FILE",
            )
        })?,
    };
    let seal = first_key_file(&path, settings, entropy)?;
    let protected = seal
        .protect(&unseal_key, &ring.slot_context(0))
        .map_err(|error| seal_failure(&error))?;
    ring.add_slot(SealKind::KeyFile.code(), &seal.describe(), protected);
    files
        .write(&ring, &unseal_key, &**entropy)
        .map_err(ring_failure)?;
    Ok(CreatedRing {
        opened: OpenedRing {
            ring,
            unseal_key,
            repaired: Vec::new(),
        },
        key_file: path,
    })
}

/// Adds a second key file to a ring that is open.
///
/// # Errors
///
/// [`Exit::Seal`] when the file cannot be made, [`Exit::Ring`] when the ring cannot be written.
pub(crate) fn add_key_file(
    settings: &Settings,
    opened: &mut OpenedRing,
    path: &Path,
    entropy: &Arc<dyn Entropy>,
) -> Result<PathBuf, Failure> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let seal = first_key_file(&path, settings, entropy)?;
    let index = opened.ring.slots().len();
    let protected = seal
        .protect(&opened.unseal_key, &opened.ring.slot_context(index))
        .map_err(|error| seal_failure(&error))?;
    // Proven before the ring says that it can be relied on.
    seal.reveal(&protected, &opened.ring.slot_context(index))
        .map_err(|error| seal_failure(&error))?;
    opened
        .ring
        .add_slot(SealKind::KeyFile.code(), &seal.describe(), protected);
    let files = RingFiles::new(settings.data.ring());
    files
        .write(&opened.ring, &opened.unseal_key, &**entropy)
        .map_err(ring_failure)?;
    Ok(path)
}

/// The key files that may open `ring`: the named one alone, or those of its slots and the default.
pub(crate) fn candidates(
    ring: &Keyring<Sealed>,
    named: Option<&Path>,
    environment: Environment<'_>,
) -> Vec<PathBuf> {
    if let Some(path) = named {
        return vec![path.to_owned()];
    }
    let of_slots = ring
        .slots()
        .iter()
        .filter(|slot| slot.kind_code == SealKind::KeyFile.code());
    let mut paths: Vec<PathBuf> = of_slots
        .map(|slot| PathBuf::from(&slot.description))
        .collect();
    if let Some(path) = key_file::default_path(ring.ring_id(), environment)
        && !paths.contains(&path)
    {
        paths.push(path);
    }
    paths
}

/// Tries `seal` on every slot.
///
/// # Errors
///
/// [`SealError::WrongSeal`] unless one of them opens, or [`SealError::Damaged`].
pub(crate) fn reveal_with(seal: &dyn Seal, ring: &Keyring<Sealed>) -> Result<UnsealKey, SealError> {
    let mut first_error = None;
    for (index, slot) in ring.slots().iter().enumerate() {
        if slot.kind_code != seal.kind().code() {
            continue;
        }
        match seal.reveal(&slot.protected, &ring.slot_context(index)) {
            Ok(key) => return Ok(key),
            Err(error @ SealError::Damaged(_)) => first_error = Some(error),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or_else(|| SealError::WrongSeal(seal.describe())))
}

/// What a failure to open the ring means for the person who started the program.
pub(crate) fn ring_failure(error: RingFileError) -> Failure {
    match error {
        RingFileError::Absent => ring_over_data(),
        RingFileError::Damaged(_) => Failure::new(
            Exit::Ring,
            error.to_string(),
            "restore DIR/ring/ring.a or ring.b from a backup; never start over: the data needs this very ring",
        ),
        RingFileError::Newer(_) => {
            Failure::new(Exit::Ring, error.to_string(), "start the newer strongroom")
        }
        RingFileError::Seal(error) => seal_failure(&error),
        RingFileError::Io(_) => Failure::new(
            Exit::Environment,
            error.to_string(),
            "check space and permissions of the data directory",
        ),
    }
}

fn seal_failure(error: &SealError) -> Failure {
    let remedy = match error {
        SealError::WrongSeal(_) => {
            "name this store's own key file with --key-file FILE; strongroom seal list shows where it was"
        }
        SealError::Unavailable(_) => {
            "put the key file back from your copy, or name it with --key-file FILE"
        }
        SealError::Damaged(_) | _ => {
            "use another seal of this ring with --key-file FILE, or a backup of the ring"
        }
    };
    Failure::new(Exit::Seal, error.to_string(), remedy)
}

fn ring_over_data() -> Failure {
    Failure::new(
        Exit::Ring,
        "there is data, but its key ring is missing",
        "restore DIR/ring from a backup; a new ring is never made over data, since it could not open any of it",
    )
}

fn reveal(
    ring: &Keyring<Sealed>,
    named: Option<&Path>,
    entropy: &Arc<dyn Entropy>,
    environment: Environment<'_>,
) -> Result<UnsealKey, SealError> {
    let mut errors = Vec::new();
    for path in candidates(ring, named, environment) {
        match KeyFile::read(&path, entropy.clone()) {
            Ok(seal) => match reveal_with(&seal, ring) {
                Ok(key) => return Ok(key),
                Err(error) => errors.push(error),
            },
            Err(error) => errors.push(SealError::Unavailable(error.to_string())),
        }
    }
    // The most telling one: a file that is there and wrong says more than one that is missing.
    let telling = errors
        .iter()
        .position(|error| !matches!(error, SealError::Unavailable(_)))
        .unwrap_or(0);
    if telling < errors.len() {
        return Err(errors.swap_remove(telling));
    }
    Err(SealError::Unavailable(
        "the ring names no key file".to_owned(),
    ))
}

/// A new key file, or one that its operator has put there.
fn first_key_file(
    path: &Path,
    settings: &Settings,
    entropy: &Arc<dyn Entropy>,
) -> Result<KeyFile, Failure> {
    if key_file::lies_in(path, settings.data.root()) {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "{} lies in the data directory: a thief of the data would have the key",
                path.display()
            ),
            "choose a place on another device, or at least another directory",
        ));
    }
    let seal = match KeyFile::read(path, entropy.clone()) {
        Err(KeyFileError::Missing(_)) => KeyFile::create(path, entropy.clone()),
        found => found,
    };
    seal.map_err(|error| {
        Failure::new(
            Exit::Seal,
            error.to_string(),
            "name another file with --key-file FILE",
        )
    })
}
