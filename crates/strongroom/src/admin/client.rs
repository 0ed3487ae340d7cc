//! The command's side: it asks, and waits for the answer.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::answer::Answer;
use super::framing::{receive, send};
use super::request::Request;
use super::socket::{SILENCE_MAX, set_timeouts, with_short_path};
use crate::failure::{Exit, Failure};

/// How long the server may work on a page of a re-encryption.
const PAGE_MAX: Duration = Duration::from_secs(300);

/// Asks the running server.
///
/// # Errors
///
/// `Ok(None)` when no server listens; [`Exit::General`] when it refuses or does not answer.
pub(crate) fn ask(path: &Path, request: &Request) -> Result<Option<Answer>, Failure> {
    let mut stream = match with_short_path(path, |short| UnixStream::connect(short)) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(unanswered(&error)),
    };
    let exchange = |stream: &mut UnixStream| {
        set_timeouts(stream)?;
        stream.set_read_timeout(Some(patience(request)))?;
        send(stream, request)?;
        receive(stream)
    };
    let answer = exchange(&mut stream).map_err(|error| unanswered(&error))?;
    if let Answer::Refused { what, remedy } = answer {
        return Err(Failure::new(
            Exit::General,
            format!("the server refuses: {what}"),
            if remedy.is_empty() {
                "look at its log".to_owned()
            } else {
                remedy
            },
        ));
    }
    Ok(Some(answer))
}

/// How long the answer may take.
const fn patience(request: &Request) -> Duration {
    match request {
        Request::Env
        | Request::RotateCredentials
        | Request::Verify { .. }
        | Request::ReloadTls
        | Request::AuditIsThere
        | Request::CreateAccount { .. }
        | Request::ListAccounts
        | Request::DisableAccount { .. }
        | Request::RotateAccountCredentials { .. } => SILENCE_MAX,
        // Unsealing opens the store, which may have a journal to read.
        Request::Seal { .. }
        | Request::Backup { .. }
        | Request::Inspect { .. }
        | Request::Audit { .. }
        | Request::RootKeyStatus
        | Request::RotateRootKey
        | Request::Rewrap
        | Request::RetireRootKey { .. }
        | Request::CountVersions { .. }
        | Request::ReEncrypt { .. }
        | Request::Impact { .. }
        | Request::Explain { .. }
        | Request::Readers { .. }
        | Request::Assumers { .. } => PAGE_MAX,
    }
}

fn unanswered(error: &io::Error) -> Failure {
    Failure::new(
        Exit::General,
        format!("the running server does not answer: {error}"),
        "look at its log",
    )
}
