//! The key-file seal: 32 random bytes in a file that is kept apart from the data.
//!
//! While the ring is rekeyed the file holds two keys, the new one first, so that it opens the ring
//! before and after it is written.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::geteuid;
use strongroom_crypto::{SlotError, SlotKey, UnsealKey};
use strongroom_ports::{Entropy, Seal, SealError, SealKind};
use zeroize::Zeroizing;

use crate::files;

/// The first line; whoever finds the file shall know what it is.
const HEADER: &str = "# strongroom key file 1";
const EXPLANATION: &str = "\
# This key opens a Strongroom key ring. Whoever has it and the data directory can read everything.
# Without it (or another seal of the ring) nobody ever can. Keep a copy in a safe place, not beside the data.
";

/// A key file that was read.
pub(crate) struct KeyFile {
    kind: SealKind,
    path: PathBuf,
    /// The newest first; never empty.
    keys: Vec<SlotKey>,
    entropy: Arc<dyn Entropy>,
}

/// Most keys in one file.
const KEYS_MAX: usize = 2;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    /// There is none.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// Others could have read it.
    #[error("{}: {what}", .path.display())]
    Exposed { path: PathBuf, what: String },
    /// It is something else.
    #[error("{} is not a strongroom key file", .0.display())]
    NotAKeyFile(PathBuf),
    /// The operating system's error.
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl KeyFile {
    /// Draws a key and keeps it in a new file that only this user reads.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Io`], of kind `AlreadyExists` too: a key file is never overwritten.
    pub(crate) fn create(path: &Path, entropy: Arc<dyn Entropy>) -> Result<Self, KeyFileError> {
        let keys = vec![SlotKey::random(&*entropy)];
        let text = written(&keys);
        let made = match path.parent() {
            Some(parent) => files::make_private_dir(parent),
            None => Ok(()),
        };
        made.and_then(|()| files::create_private(path, text.as_bytes()))
            .map_err(|source| KeyFileError::Io {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            kind: SealKind::KeyFile,
            path: path.to_owned(),
            keys,
            entropy,
        })
    }

    /// The same file with a new key before those that it has, of which the oldest may go. On disk
    /// nothing changes.
    pub(crate) fn with_new_key(&self) -> Self {
        let old = self.keys.iter().take(KEYS_MAX.saturating_sub(1));
        let keys = std::iter::once(SlotKey::random(&*self.entropy))
            .chain(old.filter_map(copied))
            .collect();
        Self {
            kind: self.kind,
            path: self.path.clone(),
            keys,
            entropy: Arc::clone(&self.entropy),
        }
    }

    /// The same file with the one of its keys alone that opens a slot.
    pub(crate) fn with_the_key_of(&self, protected: &[u8], slot_context: &[u8]) -> Option<Self> {
        let mut keys = self.keys.iter();
        let key = keys.find(|key| key.reveal(protected, slot_context).is_ok())?;
        Some(Self {
            kind: self.kind,
            path: self.path.clone(),
            keys: vec![copied(key)?],
            entropy: Arc::clone(&self.entropy),
        })
    }

    /// The same keys, at a place that is named otherwise.
    pub(crate) fn at(self, path: PathBuf) -> Self {
        Self { path, ..self }
    }

    /// The same keys once more.
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            kind: self.kind,
            path: self.path.clone(),
            keys: self.keys.iter().filter_map(copied).collect(),
            entropy: Arc::clone(&self.entropy),
        }
    }

    /// What is in the file now.
    ///
    /// # Errors
    ///
    /// As [`KeyFile::read`].
    pub(crate) fn reread(&self) -> Result<Self, KeyFileError> {
        Self::read(&self.path, Arc::clone(&self.entropy))
    }

    /// The same file without the keys before the newest. On disk nothing changes.
    pub(crate) fn with_newest_key(mut self) -> Self {
        self.keys.truncate(1);
        self
    }

    /// Puts the keys into the file that it was read from: a crash leaves the old ones or these.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Io`]; the file then holds what it held.
    pub(crate) fn write(&self) -> Result<(), KeyFileError> {
        // A link stays one.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        files::replace(&path, written(&self.keys).as_bytes()).map_err(|source| KeyFileError::Io {
            path: self.path.clone(),
            source,
        })
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the text of a key file that came another way; `place` is what people call that.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::NotAKeyFile`].
    pub(crate) fn of_text(
        text: &str,
        place: &str,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, KeyFileError> {
        let keys = parse(text.as_bytes()).ok_or_else(|| KeyFileError::NotAKeyFile(place.into()))?;
        Ok(Self {
            kind: SealKind::KeyFile,
            path: place.into(),
            keys,
            entropy,
        })
    }

    /// Reads the credential `name` of the service manager, which keeps it from everybody else: a
    /// root-owned file that this service may read.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`].
    pub(crate) fn read_credential(
        directory: &Path,
        name: &str,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, KeyFileError> {
        let path = directory.join(name);
        let (bytes, metadata) = read_bytes(&path)?;
        // Access lists show as bits of the group, so those say nothing here.
        if metadata.permissions().mode() & 0o007 != 0 {
            return Err(KeyFileError::Exposed {
                path,
                what: "everybody on this machine may read it".to_owned(),
            });
        }
        let keys = parse(&bytes).ok_or_else(|| KeyFileError::NotAKeyFile(path.clone()))?;
        Ok(Self {
            kind: SealKind::Credential,
            path,
            keys,
            entropy,
        })
    }

    /// The same key, to be handed over as the credential `name`.
    pub(crate) fn into_credential(self, name: &str) -> Self {
        Self {
            kind: SealKind::Credential,
            path: name.into(),
            ..self
        }
    }

    /// Reads a key file that nobody else can read.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`].
    pub(crate) fn read(path: &Path, entropy: Arc<dyn Entropy>) -> Result<Self, KeyFileError> {
        let (bytes, metadata) = read_bytes(path)?;
        refuse_exposed(path, &metadata)?;
        let keys = parse(&bytes).ok_or_else(|| KeyFileError::NotAKeyFile(path.to_owned()))?;
        Ok(Self {
            kind: SealKind::KeyFile,
            path: path.to_owned(),
            keys,
            entropy,
        })
    }
}

/// The text of a key file, to be given to the server: as careful as reading it here.
///
/// # Errors
///
/// As [`KeyFile::read`].
pub(crate) fn text(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let (bytes, metadata) = read_bytes(path)?;
    refuse_exposed(path, &metadata)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if is_key_file(text) => Ok(Zeroizing::new(text.to_owned())),
        Ok(_) | Err(_) => Err(KeyFileError::NotAKeyFile(path.to_owned())),
    }
}

fn read_bytes(path: &Path) -> Result<(Zeroizing<Vec<u8>>, fs::Metadata), KeyFileError> {
    let failed = |source: io::Error| {
        if source.kind() == io::ErrorKind::NotFound {
            return KeyFileError::Missing(path.to_owned());
        }
        KeyFileError::Io {
            path: path.to_owned(),
            source,
        }
    };
    let file = File::open(path).map_err(failed)?;
    // Of the open file, not of the name: the name may point elsewhere by now.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(KeyFileError::NotAKeyFile(path.to_owned()));
    }
    let bytes = Zeroizing::new(files::read_open(&file).map_err(failed)?);
    Ok((bytes, metadata))
}

impl Seal for KeyFile {
    fn kind(&self) -> SealKind {
        self.kind
    }

    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn protect(&self, key: &UnsealKey, slot_context: &[u8]) -> Result<Vec<u8>, SealError> {
        let newest = self
            .keys
            .first()
            .ok_or_else(|| SealError::Unavailable(self.describe()))?;
        Ok(newest.protect(key, slot_context, &*self.entropy))
    }

    fn reveal(&self, protected: &[u8], slot_context: &[u8]) -> Result<UnsealKey, SealError> {
        let mut error = SealError::WrongSeal(self.describe());
        for key in &self.keys {
            match key.reveal(protected, slot_context) {
                Ok(key) => return Ok(key),
                Err(SlotError::WrongKey) => {}
                Err(SlotError::Damaged | _) => error = SealError::Damaged(self.describe()),
            }
        }
        Err(error)
    }
}

/// Whether the text claims to be a key file.
pub(crate) fn is_key_file(text: &str) -> bool {
    text.starts_with(HEADER)
}

/// Whether a name can be that of a credential: a file name, nothing that leads elsewhere.
pub(crate) fn is_credential_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}

/// Where the first start puts the key file: outside the data directory, in the user's configuration.
///
/// `None` when the environment names neither `XDG_CONFIG_HOME` nor `HOME`.
pub(crate) fn default_path(
    ring_id: [u8; 16],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<PathBuf> {
    let absolute = |name: &str| {
        environment(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let config = absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(
        config
            .join("strongroom/keys")
            .join(format!("{}.key", hex::encode(ring_id))),
    )
}

/// Whether `path` lies in `dir`, symbolic links resolved: a key beside its data protects nothing.
pub(crate) fn lies_in(path: &Path, dir: &Path) -> bool {
    let Ok(dir) = fs::canonicalize(dir) else {
        return false;
    };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // The file, or the part of its path that exists already.
    absolute
        .ancestors()
        .find_map(|part| fs::canonicalize(part).ok())
        .is_some_and(|part| part.starts_with(&dir))
}

fn refuse_exposed(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyFileError> {
    let exposed = |what: String| {
        Err(KeyFileError::Exposed {
            path: path.to_owned(),
            what,
        })
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return exposed(format!(
            "its mode {mode:03o} lets others read it; chmod 600 it"
        ));
    }
    let (owner, user) = (metadata.uid(), geteuid().as_raw());
    if owner != user && owner != 0 {
        return exposed(format!(
            "it belongs to user {owner}, but this is user {user}"
        ));
    }
    Ok(())
}

fn copied(key: &SlotKey) -> Option<SlotKey> {
    SlotKey::parse(key.expose()).ok()
}

/// The text of a file with these keys.
fn written(keys: &[SlotKey]) -> Zeroizing<String> {
    let lines = keys.iter().map(|key| {
        let digits = Zeroizing::new(hex::encode(key.expose()));
        Zeroizing::new([&digits, "\n"].concat())
    });
    let start = Zeroizing::new([HEADER, "\n", EXPLANATION].concat());
    lines.fold(start, |text, line| {
        Zeroizing::new([&**text, &**line].concat())
    })
}

/// Its keys, at least one.
fn parse(bytes: &[u8]) -> Option<Vec<SlotKey>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let rest = text.strip_prefix(HEADER)?.strip_prefix('\n')?;
    let lines = rest
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let key = |line: &str| {
        let mut key = Zeroizing::new([0_u8; 32]);
        hex::decode_to_slice(line.trim(), key.as_mut_slice()).ok()?;
        SlotKey::parse(key.as_slice()).ok()
    };
    let keys: Vec<SlotKey> = lines.map(key).collect::<Option<_>>()?;
    (1..=KEYS_MAX).contains(&keys.len()).then_some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::SystemEntropy;

    fn entropy() -> Arc<dyn Entropy> {
        Arc::new(SystemEntropy)
    }

    #[test]
    fn a_created_file_is_private_and_opens_what_it_protected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/a.key");
        let made = KeyFile::create(&path, entropy()).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let unseal_key = UnsealKey::random(&SystemEntropy);
        let protected = made.protect(&unseal_key, b"c").unwrap();
        let read = KeyFile::read(&path, entropy()).unwrap();
        assert_eq!(
            read.reveal(&protected, b"c").unwrap().expose(),
            unseal_key.expose()
        );
    }

    #[test]
    fn a_file_with_a_new_key_opens_what_the_old_one_protected_until_that_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        let old = KeyFile::create(&path, entropy()).unwrap();
        let unseal_key = UnsealKey::random(&SystemEntropy);
        let before = old.protect(&unseal_key, b"c").unwrap();
        let both = old.with_new_key();
        let after = both.protect(&unseal_key, b"c").unwrap();
        assert!(matches!(
            old.reveal(&after, b"c"),
            Err(SealError::WrongSeal(_))
        ));
        both.write().unwrap();
        let read = KeyFile::read(&path, entropy()).unwrap();
        assert!(read.reveal(&before, b"c").is_ok() && read.reveal(&after, b"c").is_ok());
        // Broken off and begun again: the key that may have come to count is not lost.
        let again = read.with_new_key();
        assert!(again.reveal(&after, b"c").is_ok());
        both.with_newest_key().write().unwrap();
        let read = KeyFile::read(&path, entropy()).unwrap();
        assert!(read.reveal(&after, b"c").is_ok());
        assert!(matches!(
            read.reveal(&before, b"c"),
            Err(SealError::WrongSeal(_))
        ));
    }

    #[test]
    fn a_key_file_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        KeyFile::create(&path, entropy()).unwrap();
        let before = fs::read(&path).unwrap();
        assert!(KeyFile::create(&path, entropy()).is_err());
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn files_that_others_can_read_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        KeyFile::create(&path, entropy()).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = KeyFile::read(&path, entropy()).err().unwrap();
            assert!(
                matches!(error, KeyFileError::Exposed { .. }),
                "mode {mode:o}: {error}"
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(KeyFile::read(&path, entropy()).is_ok());
    }

    #[test]
    fn another_key_is_the_wrong_seal_and_damage_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let a = KeyFile::create(&dir.path().join("a.key"), entropy()).unwrap();
        let b = KeyFile::create(&dir.path().join("b.key"), entropy()).unwrap();
        let mut protected = a.protect(&UnsealKey::random(&SystemEntropy), b"c").unwrap();
        assert!(matches!(
            b.reveal(&protected, b"c"),
            Err(SealError::WrongSeal(_))
        ));
        *protected.last_mut().unwrap() ^= 1;
        assert!(matches!(
            a.reveal(&protected, b"c"),
            Err(SealError::Damaged(_))
        ));
    }

    #[test]
    fn other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert!(matches!(
            KeyFile::read(&path, entropy()),
            Err(KeyFileError::Missing(_))
        ));
        let digits = "ab".repeat(32);
        for text in [
            String::new(),
            digits.clone(),
            format!("{HEADER}\n"),
            format!("{HEADER}\n{}\n", "ab".repeat(31)),
            // Two are in it while the ring is rekeyed, and never more.
            format!("{HEADER}\n{digits}\n{digits}\n{digits}\n"),
            format!("{HEADER}2\n{digits}\n"),
        ] {
            fs::write(&path, &text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(
                matches!(
                    KeyFile::read(&path, entropy()),
                    Err(KeyFileError::NotAKeyFile(_))
                ),
                "{text:?}"
            );
        }
        assert!(KeyFile::read(dir.path(), entropy()).is_err());
    }

    #[test]
    fn the_default_place_follows_the_environment() {
        let path = default_path([0xAB; 16], &|name| {
            (name == "HOME").then(|| "/home/x".to_owned())
        })
        .unwrap();
        assert_eq!(
            path,
            PathBuf::from(format!(
                "/home/x/.config/strongroom/keys/{}.key",
                "ab".repeat(16)
            ))
        );
        let xdg = default_path([0; 16], &|_| Some("/c".to_owned())).unwrap();
        assert!(xdg.starts_with("/c/strongroom/keys"));
        assert_eq!(default_path([0; 16], &|_| None), None);
        assert_eq!(
            default_path([0; 16], &|_| Some("relative".to_owned())),
            None
        );
    }

    #[test]
    fn a_key_in_the_data_directory_is_recognised() {
        let dir = tempfile::tempdir().unwrap();
        assert!(lies_in(&dir.path().join("sub/new.key"), dir.path()));
        assert!(!lies_in(
            &dir.path().join("../elsewhere.key"),
            &dir.path().join("data")
        ));
        let link = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path(), link.path().join("l")).unwrap();
        assert!(lies_in(&link.path().join("l/new.key"), dir.path()));
    }
}
