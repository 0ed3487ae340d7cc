//! The server's side: it binds the socket, and answers who may ask.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

use super::answer::Answer;
use super::framing::{receive, send};
use super::request::Request;
use super::socket::{set_timeouts, with_short_path};
use crate::failure::Failure;

/// What the server does on request.
pub(crate) trait AdminActions: Send + Sync {
    /// Answers one request.
    ///
    /// # Errors
    ///
    /// The failure goes to the client as [`Answer::Refused`].
    fn answer(&self, request: Request) -> Result<Answer, Failure>;
}

/// The socket, bound; removed from the file system when dropped.
pub(crate) struct AdminSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl AdminSocket {
    /// Binds the socket. The caller holds the store's lock, so that a socket found here is a dead
    /// server's.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // The process's umask makes it 0600; set again for those who run without `serve`.
        let listener = with_short_path(path, |short| UnixListener::bind(short))?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(Self {
            path: path.to_owned(),
            listener,
        })
    }

    /// Answers requests on a thread of its own until the process ends.
    ///
    /// # Errors
    ///
    /// The operating system's, when it gives no thread.
    pub(crate) fn serve(&self, actions: Arc<dyn AdminActions>) -> io::Result<()> {
        let listener = self.listener.try_clone()?;
        std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                for stream in listener.incoming() {
                    // One at a time: these are a person's commands.
                    if let Err(error) = stream.and_then(|stream| converse(stream, &*actions)) {
                        tracing::warn!(%error, "admin request failed");
                    }
                }
            })?;
        Ok(())
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn converse(mut stream: UnixStream, actions: &dyn AdminActions) -> io::Result<()> {
    set_timeouts(&stream)?;
    let peer = socket_peercred(&stream)?.uid;
    if peer != geteuid() {
        tracing::warn!(uid = peer.as_raw(), "admin request of another user refused");
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let request: Request = receive(&mut stream)?;
    if request.is_one_of_many() {
        tracing::debug!(request = request.name(), "admin request");
    } else {
        tracing::info!(request = request.name(), "admin request");
    }
    let answer = actions
        .answer(request)
        .unwrap_or_else(|failure| Answer::Refused {
            what: failure.what,
            remedy: failure.remedy,
        });
    send(&mut stream, &answer)
}
