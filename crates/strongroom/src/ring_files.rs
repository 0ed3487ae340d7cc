//! The key ring on disk: two copies, written one after the other, each proven before it counts.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use strongroom_crypto::{Keyring, RingError, Sealed, UnsealKey, Unsealed};
use strongroom_ports::{Entropy, SealError};

use crate::files;

/// The copies' names. `ring.a` is written first.
pub(crate) const COPIES: [&str; 2] = ["ring.a", "ring.b"];

/// The directory that holds the copies.
#[derive(Clone, Debug)]
pub(crate) struct RingFiles {
    dir: PathBuf,
}

/// One copy as it was found.
pub(crate) struct Copy {
    /// `ring.a` or `ring.b`.
    pub(crate) name: &'static str,
    /// Its bytes, if the file could be read.
    pub(crate) bytes: Option<Vec<u8>>,
    /// Of which ring and generation it is, if it is whole.
    of: Option<([u8; 16], u64)>,
    /// The ring, or what is wrong with it.
    pub(crate) ring: Result<Keyring<Sealed>, CopyFault>,
}

/// What is wrong with one copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum CopyFault {
    /// There is no file.
    Missing,
    /// The file cannot be read, or is not a whole ring.
    Damaged(String),
    /// Written by a newer version of this program.
    Newer(u8),
}

/// A ring with its keys.
pub(crate) struct OpenedRing {
    pub(crate) ring: Keyring<Unsealed>,
    pub(crate) unseal_key: UnsealKey,
    /// The copies that were bad or old and have been rewritten from the good one.
    pub(crate) repaired: Vec<&'static str>,
}

/// Why the ring does not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RingFileError {
    /// No copy at all.
    #[error("there is no key ring")]
    Absent,
    /// No copy can be used.
    #[error("both copies of the key ring are damaged: {0}")]
    Damaged(String),
    /// A newer version wrote it.
    #[error("the key ring has format version {0}, which is newer than this program")]
    Newer(u8),
    /// The ring is whole, but no seal opened it.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The operating system's error.
    #[error("the key ring cannot be written: {}: {source}", .path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl RingFiles {
    /// Names the directory; touches nothing.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Keeps other processes from changing the ring until the value is dropped: whoever reads it in
    /// order to write it holds this, or one of two added seals would be lost.
    ///
    /// # Errors
    ///
    /// The operating system's; there must be a ring.
    pub(crate) fn hold(&self) -> io::Result<File> {
        let directory = File::open(&self.dir)?;
        directory.lock()?;
        Ok(directory)
    }

    /// Looks at both copies, without a key.
    pub(crate) fn inspect(&self) -> [Copy; 2] {
        COPIES.map(|name| self.inspect_copy(name))
    }

    /// Whether there is any trace of a ring.
    pub(crate) fn exist(&self) -> bool {
        self.inspect()
            .iter()
            .any(|copy| !matches!(copy.ring, Err(CopyFault::Missing)))
    }

    /// Opens the newest whole copy with the unseal key that `reveal` finds, and repairs the other.
    /// A seal that does not open it is not tried on an older copy of the same ring: that would bring
    /// back a seal that was removed.
    ///
    /// # Errors
    ///
    /// [`RingFileError`].
    pub(crate) fn open(
        &self,
        reveal: &dyn Fn(&Keyring<Sealed>) -> Result<UnsealKey, SealError>,
    ) -> Result<OpenedRing, RingFileError> {
        self.open_and(reveal, |copies, good| self.repair(copies, good))
    }

    /// As [`RingFiles::open`], and changes nothing.
    ///
    /// # Errors
    ///
    /// [`RingFileError`].
    pub(crate) fn open_as_it_is(
        &self,
        reveal: &dyn Fn(&Keyring<Sealed>) -> Result<UnsealKey, SealError>,
    ) -> Result<OpenedRing, RingFileError> {
        self.open_and(reveal, |_, _| Ok(Vec::new()))
    }

    fn open_and(
        &self,
        reveal: &dyn Fn(&Keyring<Sealed>) -> Result<UnsealKey, SealError>,
        repair: impl Fn(&[Copy; 2], usize) -> Result<Vec<&'static str>, RingFileError>,
    ) -> Result<OpenedRing, RingFileError> {
        let mut copies = self.inspect();
        if copies
            .iter()
            .all(|copy| copy.ring.as_ref().err() == Some(&CopyFault::Missing))
        {
            return Err(RingFileError::Absent);
        }
        // A newer program's copy may hold keys that this one would lose by "repairing" it.
        if let Some(version) = copies.iter().find_map(Copy::newer_version) {
            return Err(RingFileError::Newer(version));
        }
        copies.sort_by_key(|copy| std::cmp::Reverse(copy.generation()));
        let mut faults = Vec::new();
        let mut refused: Option<([u8; 16], SealError)> = None;
        // Whole, and yet nothing opens it: its slots or keys are damaged. What is older would bring
        // back seals and keys that were taken out.
        let mut unopened: Vec<([u8; 16], u64, Option<Vec<u8>>)> = Vec::new();
        for index in 0..copies.len() {
            let Some(copy) = copies.get_mut(index) else {
                continue;
            };
            let ring = match std::mem::replace(&mut copy.ring, Err(CopyFault::Missing)) {
                Ok(ring) => ring,
                Err(fault) => {
                    faults.push(format!("{} {}", copy.name, fault.describe()));
                    continue;
                }
            };
            let (ring_id, generation) = (ring.ring_id(), ring.generation());
            let is_known = |(id, newest, bytes): &([u8; 16], u64, Option<Vec<u8>>)| {
                *id == ring_id && (generation < *newest || *bytes == copy.bytes)
            };
            if unopened.iter().any(is_known) {
                continue;
            }
            if refused.as_ref().is_some_and(|(id, _)| *id == ring_id) {
                break;
            }
            let unseal_key = match reveal(&ring) {
                Ok(key) => key,
                Err(error @ SealError::Damaged(_)) => {
                    faults.push(format!("{}: {error}", copy.name));
                    unopened.push((ring_id, generation, copy.bytes.clone()));
                    continue;
                }
                Err(error) => {
                    refused.get_or_insert((ring_id, error));
                    continue;
                }
            };
            let (name, bytes) = (copy.name, copy.bytes.clone());
            match ring.unseal(&unseal_key) {
                Ok(ring) => {
                    let repaired = repair(&copies, index)?;
                    return Ok(OpenedRing {
                        ring,
                        unseal_key,
                        repaired,
                    });
                }
                Err(error) => {
                    faults.push(format!("{name}: {error}"));
                    unopened.push((ring_id, generation, bytes));
                }
            }
        }
        Err(refused.map_or_else(
            || RingFileError::Damaged(faults.join("; ")),
            |(_, error)| RingFileError::Seal(error),
        ))
    }

    /// Writes both copies. The second is touched only after the first was read back and opened, so
    /// that at any moment one copy is whole.
    ///
    /// # Errors
    ///
    /// [`RingFileError::Io`]; [`RingFileError::Damaged`] when what was read back does not open.
    pub(crate) fn write(
        &self,
        ring: &Keyring<Unsealed>,
        unseal_key: &UnsealKey,
        entropy: &dyn Entropy,
    ) -> Result<(), RingFileError> {
        files::make_private_dir(&self.dir).map_err(|source| RingFileError::Io {
            path: self.dir.clone(),
            source,
        })?;
        let bytes = ring.encode(unseal_key, entropy);
        for name in COPIES {
            let path = self.dir.join(name);
            replace(&path, &bytes)?;
            prove(&path, &bytes, unseal_key)?;
        }
        Ok(())
    }

    fn inspect_copy(&self, name: &'static str) -> Copy {
        match files::read(&self.dir.join(name)) {
            Ok(bytes) => {
                let ring = Keyring::<Sealed>::parse(&bytes).map_err(|error| match error {
                    RingError::UnknownVersion(version) | RingError::UnknownSuite(version) => {
                        CopyFault::Newer(version)
                    }
                    other @ (RingError::NotARing
                    | RingError::WrongUnsealKey
                    | RingError::Damaged
                    | _) => CopyFault::Damaged(other.to_string()),
                });
                Copy {
                    name,
                    bytes: Some(bytes),
                    of: ring
                        .as_ref()
                        .ok()
                        .map(|ring| (ring.ring_id(), ring.generation())),
                    ring,
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Copy {
                name,
                bytes: None,
                of: None,
                ring: Err(CopyFault::Missing),
            },
            Err(error) => Copy {
                name,
                bytes: None,
                of: None,
                ring: Err(CopyFault::Damaged(error.to_string())),
            },
        }
    }

    /// Gives every copy the bytes of the good one. What is another store's ring is kept beside it:
    /// it may be all that its people have left.
    fn repair(&self, copies: &[Copy; 2], good: usize) -> Result<Vec<&'static str>, RingFileError> {
        let Some((bytes, own)) = copies
            .get(good)
            .and_then(|copy| Some((copy.bytes.as_deref()?, copy.of?.0)))
        else {
            return Ok(Vec::new());
        };
        let mut repaired = Vec::new();
        for copy in copies {
            if copy.bytes.as_deref() == Some(bytes) {
                continue;
            }
            let path = self.dir.join(copy.name);
            if let Some((id, generation)) = copy.of.filter(|(id, _)| *id != own) {
                let name = format!("{}.of-{}-{generation}", copy.name, hex::encode(id));
                let aside = self.dir.join(name);
                fs::rename(&path, &aside).map_err(|source| RingFileError::Io {
                    path: aside.clone(),
                    source,
                })?;
                tracing::error!(copy = copy.name, kept = %aside.display(), "the copy is another store's key ring");
            }
            replace(&path, bytes)?;
            repaired.push(copy.name);
        }
        Ok(repaired)
    }
}

impl Copy {
    /// Of the ring, if it is whole.
    pub(crate) fn generation(&self) -> Option<u64> {
        self.ring.as_ref().ok().map(Keyring::generation)
    }

    fn newer_version(&self) -> Option<u8> {
        match self.ring {
            Err(CopyFault::Newer(version)) => Some(version),
            Ok(_) | Err(CopyFault::Missing | CopyFault::Damaged(_)) => None,
        }
    }
}

impl CopyFault {
    /// For people, after the copy's name.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Missing => "is missing".to_owned(),
            Self::Damaged(why) => format!("is damaged ({why})"),
            Self::Newer(version) => format!("has the newer format version {version}"),
        }
    }
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), RingFileError> {
    files::replace(path, bytes).map_err(|source| RingFileError::Io {
        path: path.to_owned(),
        source,
    })
}

fn prove(path: &Path, written: &[u8], unseal_key: &UnsealKey) -> Result<(), RingFileError> {
    let read = files::read(path).map_err(|source| RingFileError::Io {
        path: path.to_owned(),
        source,
    })?;
    let opens = Keyring::<Sealed>::parse(&read).and_then(|ring| ring.unseal(unseal_key));
    if read != written || opens.is_err() {
        return Err(RingFileError::Damaged(format!(
            "{} does not read back as written",
            path.display()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use strongroom_types::Timestamp;

    use super::*;
    use crate::adapters::SystemEntropy;

    struct Fixture {
        _temp: tempfile::TempDir,
        files: RingFiles,
        unseal_key: UnsealKey,
    }

    fn fixture() -> Fixture {
        let temp = tempfile::tempdir().unwrap();
        let files = RingFiles::new(temp.path().join("ring"));
        let (mut ring, unseal_key) = Keyring::create(Timestamp::from_seconds(1), &SystemEntropy);
        ring.add_slot(1, "k", vec![1, 2, 3]);
        files.write(&ring, &unseal_key, &SystemEntropy).unwrap();
        Fixture {
            _temp: temp,
            files,
            unseal_key,
        }
    }

    impl Fixture {
        fn open(&self) -> Result<OpenedRing, RingFileError> {
            self.files
                .open(&|_| Ok(UnsealKey::parse(self.unseal_key.expose()).unwrap()))
        }

        fn path(&self, name: &str) -> PathBuf {
            self.files.dir.join(name)
        }
    }

    #[test]
    fn every_flipped_byte_of_one_copy_is_repaired_from_the_other() {
        let f = fixture();
        let good = fs::read(f.path("ring.a")).unwrap();
        // Both copies are the same bytes: the damaged one alternates.
        for (index, name) in (0..good.len()).zip(COPIES.into_iter().cycle()) {
            let mut bad = good.clone();
            bad[index] ^= 0x40;
            fs::write(f.path(name), &bad).unwrap();
            assert_eq!(f.open().unwrap().repaired, [name], "byte {index}");
            assert_eq!(fs::read(f.path(name)).unwrap(), good, "byte {index}");
        }
    }

    #[test]
    fn a_missing_or_cut_copy_is_repaired() {
        let f = fixture();
        let good = fs::read(f.path("ring.a")).unwrap();
        fs::remove_file(f.path("ring.a")).unwrap();
        assert_eq!(f.open().unwrap().repaired, ["ring.a"]);
        fs::write(f.path("ring.b"), &good[..good.len() / 2]).unwrap();
        assert_eq!(f.open().unwrap().repaired, ["ring.b"]);
        assert_eq!(fs::read(f.path("ring.b")).unwrap(), good);
        assert!(f.open().unwrap().repaired.is_empty());
    }

    #[test]
    fn two_damaged_copies_are_refused_and_left_alone() {
        let f = fixture();
        for name in COPIES {
            let mut bytes = fs::read(f.path(name)).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(f.path(name), &bytes).unwrap();
        }
        let before = COPIES.map(|name| fs::read(f.path(name)).unwrap());
        assert!(matches!(f.open(), Err(RingFileError::Damaged(_))));
        assert_eq!(COPIES.map(|name| fs::read(f.path(name)).unwrap()), before);
    }

    #[test]
    fn the_newer_generation_wins() {
        let f = fixture();
        let old = fs::read(f.path("ring.b")).unwrap();
        let opened = f.open().unwrap();
        f.files
            .write(&opened.ring, &opened.unseal_key, &SystemEntropy)
            .unwrap();
        let new = fs::read(f.path("ring.a")).unwrap();
        // A crash between the two copies.
        fs::write(f.path("ring.b"), old).unwrap();
        assert_eq!(f.open().unwrap().repaired, ["ring.b"]);
        assert_eq!(fs::read(f.path("ring.b")).unwrap(), new);
    }

    #[test]
    fn an_older_copy_is_not_opened_while_the_newer_file_is_whole() {
        let f = fixture();
        let old = fs::read(f.path("ring.b")).unwrap();
        let opened = f.open().unwrap();
        f.files
            .write(&opened.ring, &opened.unseal_key, &SystemEntropy)
            .unwrap();
        fs::write(f.path("ring.b"), &old).unwrap();
        let newest = opened.ring.generation();
        let new = fs::read(f.path("ring.a")).unwrap();
        // The newer one's slot is damaged, the older one's is not.
        let result = f.files.open(&|ring| {
            if ring.generation() == newest {
                return Err(SealError::Damaged("slot".to_owned()));
            }
            Ok(UnsealKey::parse(f.unseal_key.expose()).unwrap())
        });
        assert!(matches!(result, Err(RingFileError::Damaged(_))));
        assert_eq!(fs::read(f.path("ring.a")).unwrap(), new);
        assert_eq!(fs::read(f.path("ring.b")).unwrap(), old);
    }

    #[test]
    fn equal_copies_are_tried_once() {
        let f = fixture();
        let tries = std::cell::Cell::new(0);
        let result = f.files.open(&|_| {
            tries.set(tries.get() + 1);
            Err(SealError::Damaged("slot".to_owned()))
        });
        assert!(matches!(result, Err(RingFileError::Damaged(_))));
        assert_eq!(tries.get(), 1);
    }

    #[test]
    fn a_wrong_seal_is_not_taken_for_damage() {
        let f = fixture();
        let result = f.files.open(&|_| Err(SealError::WrongSeal("x".to_owned())));
        assert!(matches!(
            result,
            Err(RingFileError::Seal(SealError::WrongSeal(_)))
        ));
    }

    #[test]
    fn no_copy_is_absent() {
        let temp = tempfile::tempdir().unwrap();
        let files = RingFiles::new(temp.path().join("ring"));
        assert!(!files.exist());
        assert!(matches!(
            files.open(&|_| Err(SealError::WrongSeal(String::new()))),
            Err(RingFileError::Absent)
        ));
    }
}
