//! Small private files, written so that a crash leaves the old one or the new one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::Path;

/// Largest file that [`read`] takes: keys, rings, certificates and endpoints are all far below.
const SMALL_FILE_MAX_BYTES: u64 = 1 << 20;

/// Makes `dir` and what is missing above it, for this user only. What it made survives power loss.
///
/// # Errors
///
/// The operating system's.
pub(crate) fn make_private_dir(dir: &Path) -> io::Result<()> {
    make_dir(dir, &mut sync_parent)
}

/// `sync_parent` is called for each directory that is made, the uppermost first.
fn make_dir(dir: &Path, sync_parent: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_dir(parent, sync_parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        // Somebody was faster, and may not have come to the sync yet.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        made => made?,
    }
    sync_parent(dir)
}

/// Replaces `path`: temporary file, sync, rename, sync of the directory. The new file belongs to whom
/// the old one did: root's commands do not take a server's files away from it.
///
/// # Errors
///
/// The operating system's; `path` then holds what it held.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let written = write_synced(
        OpenOptions::new().create(true).truncate(true),
        &temporary,
        bytes,
    )
    .and_then(|()| keep_owner(&temporary, path))
    .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The error that matters is the first one; a leftover is overwritten by the next attempt.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_parent(path)
}

/// Creates `path`, which must not exist, readable by this user only.
///
/// # Errors
///
/// `AlreadyExists`, or the operating system's.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_synced(OpenOptions::new().create_new(true), path, bytes)?;
    sync_parent(path)
}

/// Reads a small file.
///
/// # Errors
///
/// `FileTooLarge`, or the operating system's.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_open(&File::open(path)?)
}

/// Reads a small file that is open already.
///
/// # Errors
///
/// As [`read`].
pub(crate) fn read_open(file: &File) -> io::Result<Vec<u8>> {
    // Reserved in full, so that reading a key leaves no outgrown buffer behind.
    let len_bytes = file.metadata()?.len();
    if len_bytes > SMALL_FILE_MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len_bytes).unwrap_or(0).saturating_add(1));
    file.take(SMALL_FILE_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Gives `path` to whom `root` belongs: a command of root must not leave what the server cannot read.
///
/// # Errors
///
/// The operating system's.
pub(crate) fn give_to_owner_of(root: &Path, path: &Path) -> io::Result<()> {
    let (wanted, made) = (fs::metadata(root)?, fs::symlink_metadata(path)?);
    if (wanted.uid(), wanted.gid()) == (made.uid(), made.gid()) {
        return Ok(());
    }
    chown(path, Some(wanted.uid()), Some(wanted.gid()))
}

fn keep_owner(new: &Path, old: &Path) -> io::Result<()> {
    let Ok(before) = fs::symlink_metadata(old) else {
        return Ok(());
    };
    let made = fs::symlink_metadata(new)?;
    if !before.is_file() || (before.uid(), before.gid()) == (made.uid(), made.gid()) {
        return Ok(());
    }
    chown(new, Some(before.uid()), Some(before.gid()))?;
    File::open(new)?.sync_all()
}

fn write_synced(options: &mut OpenOptions, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = options.write(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn replaced_files_are_private_and_leave_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn every_directory_that_is_made_is_synced_in_its_parent() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b/c");
        let mut synced = Vec::new();
        let mut make = |dir: &Path| {
            synced.clear();
            make_dir(dir, &mut |made| {
                sync_parent(made)?;
                synced.push(made.strip_prefix(root.path()).unwrap().to_owned());
                Ok(())
            })
            .unwrap();
            synced.clone()
        };
        assert_eq!(
            make(&root.path().join("a")),
            [Path::new("a")].map(Path::to_owned)
        );
        assert_eq!(
            make(&deep),
            ["a/b", "a/b/c"].map(|made| Path::new(made).to_owned())
        );
        assert!(make(&deep).is_empty());
        for dir in deep.ancestors().take(3) {
            assert_eq!(
                fs::metadata(dir).unwrap().permissions().mode() & 0o777,
                0o700
            );
        }
        fs::write(root.path().join("file"), "").unwrap();
        assert!(make_private_dir(&root.path().join("file")).is_err());
        assert!(make_private_dir(&root.path().join("file/x")).is_err());
    }

    #[test]
    fn create_private_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        create_private(&path, b"one").unwrap();
        assert_eq!(
            create_private(&path, b"two").unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(read(&path).unwrap(), b"one");
    }
}
