//! What both sides of the socket keep to: its path, and how long they wait.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

/// How long either side may be silent.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Longest path that every Unix takes for a socket, in bytes.
const SOCKET_PATH_MAX_BYTES: usize = 100;

/// Calls `with` with a path short enough for a socket address, by way of the directory's descriptor.
pub(super) fn with_short_path<T>(
    path: &Path,
    with: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<T> {
    if path.as_os_str().len() <= SOCKET_PATH_MAX_BYTES {
        return with(path);
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let dir = rustix::fs::open(
        dir,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    with(
        &Path::new("/proc/self/fd")
            .join(dir.as_raw_fd().to_string())
            .join(name),
    )
}

/// Neither side is silent for longer than [`SILENCE_MAX`].
pub(super) fn set_timeouts(stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))
}
