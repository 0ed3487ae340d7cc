//! The command's side: it asks, and waits for the answer.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::process::geteuid;

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
/// `Ok(None)` when no server listens; [`Exit::General`] when it refuses or does not answer;
/// [`Exit::Environment`] when the data directory is closed to this user.
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
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(not_this_user(path));
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

/// The socket, or the directory that it is in, is closed to who runs this command.
fn not_this_user(path: &Path) -> Failure {
    let directory = path.parent().unwrap_or(path);
    let owner = std::fs::metadata(directory).map(|found| found.uid());
    closed(directory, owner.ok(), geteuid().as_raw())
}

fn closed(directory: &Path, owner: Option<u32>, own: u32) -> Failure {
    let directory = directory.display();
    let what = match owner.filter(|owner| *owner != own) {
        Some(owner) => format!(
            "{directory} belongs to the user with the id {owner}, and this command runs as {own}"
        ),
        None => format!("{directory} cannot be entered by the user with the id {own}"),
    };
    Failure::new(
        Exit::Environment,
        what,
        "run it as the user whose data it is: runuser -u USER -- strongroom ...",
    )
}

fn unanswered(error: &io::Error) -> Failure {
    Failure::new(
        Exit::General,
        format!("the running server does not answer: {error}"),
        "look at its log",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_user_is_told_whose_store_it_is_and_what_to_do() {
        let told = closed(Path::new("/srv/data"), Some(7), 1000);
        assert_eq!(told.exit, Exit::Environment);
        assert!(
            told.what
                .contains("/srv/data belongs to the user with the id 7")
        );
        assert!(told.remedy.contains("runuser -u USER"));
        for owner in [None, Some(1000)] {
            let told = closed(Path::new("/srv/data"), owner, 1000);
            assert!(
                told.what
                    .contains("cannot be entered by the user with the id 1000")
            );
        }
    }
}
