//! From a data directory to an unsealed ring, and the making of the first one.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_crypto::{Keyring, Sealed, UnsealKey};
use strongroom_ports::{Clock, Entropy, Seal, SealError};
use strongroom_types::Timestamp;

use crate::config::{Listen, Settings};
use crate::failure::{Exit, Failure};
use crate::key_file::{self, KeyFile, KeyFileError};
use crate::ring_files::{OpenedRing, RingFileError, RingFiles};
use crate::seals::means::{Means, may_open_later};
use crate::seals::refusals::Refusals;
use crate::seals::slots;

/// How variables of the environment are looked up.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A ring that was just made, and where its key is.
pub(crate) struct CreatedRing {
    pub(crate) opened: OpenedRing,
    pub(crate) key_file: PathBuf,
}

/// How a server starts.
pub(crate) enum Start {
    /// With its keys.
    Open(OpenedRing),
    /// Without: no seal opened, and people or a service may still open one. With the tokens that
    /// refused the PIN.
    Sealed(Failure, Refusals),
}

/// Opens the ring with what the settings name, and with what a person at the terminal gives.
///
/// # Errors
///
/// [`Exit::Seal`], [`Exit::Ring`], [`Exit::Environment`], each with its remedy.
pub(crate) fn unseal(
    settings: &Settings,
    entropy: &Arc<dyn Entropy>,
    environment: Environment<'_>,
) -> Result<OpenedRing, Failure> {
    let means = Means::new(settings, entropy, environment)?;
    let opened = open(settings, &|ring| means.try_and_ask(ring));
    opened.map_err(ring_failure)
}

/// As [`unseal`], for a server, which may also begin without its keys.
///
/// # Errors
///
/// As [`unseal`], but not for seals that may be opened later.
pub(crate) fn start(
    settings: &Settings,
    entropy: &Arc<dyn Entropy>,
    environment: Environment<'_>,
) -> Result<Start, Failure> {
    let mut means = Means::new(settings, entropy, environment)?;
    means.own = [settings.listen, settings.listen_tls]
        .into_iter()
        .filter_map(|listen| match listen {
            // Port 0 is any free one, so nobody else's.
            Listen::At(address) => (address.port() != 0).then_some(address),
            Listen::Off => None,
        })
        .collect();
    let may_wait = Cell::new(false);
    let opened = open(settings, &|ring| {
        may_wait.set(slots::of(ring).iter().any(may_open_later));
        means.try_and_ask(ring)
    });
    match opened {
        Ok(opened) => Ok(Start::Open(opened)),
        Err(RingFileError::Seal(error)) if may_wait.get() => {
            Ok(Start::Sealed(seal_failure(&error), means.refusals))
        }
        Err(error) => Err(ring_failure(error)),
    }
}

/// Opens the ring's files with `reveal`, and tells of what was repaired.
///
/// # Errors
///
/// [`RingFileError`].
pub(crate) fn open(
    settings: &Settings,
    reveal: &dyn Fn(&Keyring<Sealed>) -> Result<UnsealKey, SealError>,
) -> Result<OpenedRing, RingFileError> {
    let files = RingFiles::new(settings.data.ring());
    let opened = files.open(reveal)?;
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
    let means = Means::new(settings, entropy, environment)?;
    let files = RingFiles::new(settings.data.ring());
    let opened = files.open_as_it_is(&|ring| means.try_and_ask(ring));
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
    let slot = slots::dated(seal.kind(), &seal.describe(), clock.now(), &protected);
    // A new ring has no other slot.
    let _ = ring.put_slot(0, slot);
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
    now: Timestamp,
    entropy: &Arc<dyn Entropy>,
) -> Result<PathBuf, Failure> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let seal = first_key_file(&path, settings, entropy)?;
    add_seal(settings, opened, &seal, now, entropy)?;
    Ok(path)
}

/// Adds a seal to a ring that is open, and returns its slot's number.
///
/// # Errors
///
/// [`Exit::Seal`] when the seal does not protect and reveal, [`Exit::Ring`] when the ring cannot be
/// written, or what was written does not open by the new seal.
pub(crate) fn add_seal(
    settings: &Settings,
    opened: &mut OpenedRing,
    seal: &dyn Seal,
    now: Timestamp,
    entropy: &Arc<dyn Entropy>,
) -> Result<usize, Failure> {
    let index = opened.ring.free_slot();
    let context = opened.ring.slot_context(index);
    let refused = |error: SealError| seal_failure(&error);
    let body = seal
        .protect(&opened.unseal_key, &context)
        .map_err(refused)?;
    // Proven before the ring says that it can be relied on.
    seal.reveal(&body, &context).map_err(refused)?;
    let slot = slots::dated(seal.kind(), &seal.describe(), now, &body);
    let _ = opened.ring.put_slot(index, slot);
    let files = RingFiles::new(settings.data.ring());
    files
        .write(&opened.ring, &opened.unseal_key, &**entropy)
        .map_err(ring_failure)?;
    // And once more from what is on disk now.
    let reread = files.open(&|ring| {
        let slot = slots::of(ring).into_iter().find(|slot| slot.index == index);
        let slot =
            slot.ok_or_else(|| SealError::Damaged("the new slot is not there".to_owned()))?;
        seal.reveal(slot.body, &ring.slot_context(index))
    });
    reread.map_err(ring_failure)?;
    Ok(index)
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
        RingFileError::Io { .. } => Failure::new(
            Exit::Environment,
            error.to_string(),
            "check space and permissions of the data directory",
        ),
    }
}

pub(crate) fn seal_failure(error: &SealError) -> Failure {
    let remedy = match error {
        SealError::WrongSeal(_) => {
            "give this store's own seal: --key-file FILE, --unseal-fd N, or at a terminal; strongroom seal list shows what there is"
        }
        SealError::Unavailable(_) => {
            "put the key file back from your copy, name it with --key-file FILE, or give a passphrase or shares at a terminal or with --unseal-fd N"
        }
        SealError::Damaged(_) | _ => {
            "use another seal of this ring (strongroom seal list), or a backup of the ring"
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

/// A new key file, or one that its operator has put there.
pub(crate) fn first_key_file(
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
