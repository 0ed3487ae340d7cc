//! The ring of the running server: on disk first, then in use.

use std::io;
use std::sync::{MutexGuard, PoisonError};

use strongroom_crypto::{Keyring, RingError, UnsealKey, Unsealed};
use strongroom_ports::SealError;
use zeroize::Zeroizing;

use super::RootKey;
use crate::failure::{Exit, Failure};
use crate::ring_files::{RingFileError, RingFiles};
use crate::unseal::ring_failure;

impl RootKey {
    /// Takes the unseal key under which another process has written the ring.
    ///
    /// # Errors
    ///
    /// [`Exit::Ring`] when the ring on disk does not open with it, or is not this store's newest.
    pub(in crate::serve) fn rekeyed(&self, unseal_key: &str) -> Result<(), Failure> {
        let senseless = || Failure::new(Exit::Usage, "this is no unseal key", "");
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(unseal_key, bytes.as_mut_slice()).map_err(|_| senseless())?;
        let unseal_key = UnsealKey::parse(bytes.as_slice()).map_err(|_| senseless())?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let files = RingFiles::new(self.settings.data.ring());
        let held = files.hold().map_err(|error| unlocked(&error))?;
        let ring = open_with(&files, &unseal_key)?;
        self.check_continues(&ring)?;
        *self.unseal_key() = unseal_key;
        drop(held);
        tracing::warn!(generation = ring.generation(), "the key ring is rekeyed");
        self.replace_ring(ring)
    }

    /// The key that opens the ring, kept from changing while it is used.
    pub(in crate::serve) fn unseal_key(&self) -> MutexGuard<'_, UnsealKey> {
        self.unseal_key
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the ring on disk, then the one in use. The active version behind it.
    pub(super) fn change_ring(
        &self,
        change: impl FnOnce(&mut Keyring<Unsealed>) -> Result<(), RingError>,
    ) -> Result<u32, Failure> {
        let files = RingFiles::new(self.settings.data.ring());
        let held = files.hold().map_err(|error| unlocked(&error))?;
        let unseal_key = self.unseal_key();
        // As it is on disk: a seal may have been added since the start.
        let mut ring = open_with(&files, &unseal_key)?;
        self.check_continues(&ring)?;
        change(&mut ring).map_err(|error| Failure::new(Exit::Ring, error.to_string(), ""))?;
        files
            .write(&ring, &unseal_key, &*self.entropy)
            .map_err(ring_failure)?;
        drop(held);
        let version = ring.active_version();
        self.replace_ring(ring)?;
        Ok(version)
    }

    /// Uses the ring that is on disk.
    fn replace_ring(&self, ring: Keyring<Unsealed>) -> Result<(), Failure> {
        self.custody().replace_ring(ring);
        self.wake();
        // From now on an older ring over this data is refused at the start.
        self.accounts.note_ring_version()
    }

    /// Refuses a ring on disk that lacks something of the one in use: writing over it would destroy
    /// root keys that data needs.
    fn check_continues(&self, on_disk: &Keyring<Unsealed>) -> Result<(), Failure> {
        let in_use = self.custody().ring();
        let holds = |version: &strongroom_crypto::RootVersion| {
            on_disk
                .root_versions()
                .iter()
                .any(|it| (it.version, it.created) == (version.version, version.created))
        };
        let in_use_versions = in_use.root_versions();
        // A retirement that was interrupted after the ring was written.
        let is_retired_there = |version: u32| {
            self.work()
                .is_ok_and(|(work, _)| work.retiring == Some(version))
        };
        let continues = on_disk.ring_id() == in_use.ring_id()
            && on_disk.generation() >= in_use.generation()
            && in_use_versions
                .iter()
                .all(|version| holds(version) || is_retired_there(version.version));
        if continues {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Ring,
            "the key ring on disk is older than the one in use, or another store's; it is not written over",
            "put the newest copies of DIR/ring/ring.a and ring.b back while this server still runs: \
             a restart without them loses what is under the newer root keys",
        ))
    }
}

/// Opens the ring on disk with the unseal key that is known.
fn open_with(files: &RingFiles, unseal_key: &UnsealKey) -> Result<Keyring<Unsealed>, Failure> {
    let opened = files.open(&|ring| {
        if ring.is_of(unseal_key) {
            return UnsealKey::parse(unseal_key.expose())
                .map_err(|error| SealError::Damaged(error.to_string()));
        }
        Err(SealError::WrongSeal(
            "the ring was rekeyed, and this server has not been given the new unseal key"
                .to_owned(),
        ))
    });
    match opened {
        Ok(opened) => Ok(opened.ring),
        Err(RingFileError::Seal(error)) => Err(Failure::new(
            Exit::Ring,
            error.to_string(),
            "restart the server: its seals open the ring that is on disk now",
        )),
        Err(error) => Err(ring_failure(error)),
    }
}

fn unlocked(error: &io::Error) -> Failure {
    Failure::new(
        Exit::Environment,
        format!("the key ring cannot be locked: {error}"),
        "check the data directory's permissions",
    )
}
