//! The admin channel: a Unix socket in the data directory, for the owner's own commands.
//!
//! The running server owns the store, so `strongroom env` and `credentials rotate` ask it. Who may
//! ask is decided twice: the socket's mode is 0600, and the kernel names the peer's user.
//! A message is `BE32(length) || JSON`, one request and one answer a connection.
//!
//! ```text
//!   command  client -> framing -> socket -> framing -> server  AdminActions
//!            request                                   answer
//! ```

mod answer;
mod client;
mod framing;
mod request;
mod server;
mod socket;

pub(crate) use self::answer::{
    AccountAnswer, Answer, BackupBegun, EnvAnswer, ReEncryptedPage, RootKeyAnswer, SealState,
    Skipped, VerifyState,
};
pub(crate) use self::client::ask;
pub(crate) use self::request::{
    BackupRequest, Gift, RE_ENCRYPTION_PAGE_MAX, Request, SealRequest, Secret, VerifyRequest,
    malformed, object_named,
};
pub(crate) use self::server::{AdminActions, AdminSocket};

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use strongroom_explain::Explained;

    use super::*;
    use crate::failure::{Exit, Failure};

    struct Echo;

    impl AdminActions for Echo {
        fn answer(&self, request: Request) -> Result<Answer, Failure> {
            match request {
                Request::RotateCredentials => Ok(Answer::Rotated {
                    access_key_id: "AKIA".to_owned(),
                }),
                Request::Seal { .. } => Err(Failure::new(Exit::Seal, "no seal", "")),
                // Its report has a member that is called as the tag of answers.
                Request::Explain {
                    action,
                    principal,
                    resource,
                    ..
                } => Ok(Answer::Explained {
                    explained: Box::new(Explained {
                        answer: strongroom_explain::Answer::If,
                        principal,
                        action,
                        resource,
                        via: None,
                        reason: String::new(),
                        deciding: Vec::new(),
                        layers: Vec::new(),
                        near_misses: Vec::new(),
                        depends_on: Vec::new(),
                        to_allow: Vec::new(),
                        assumed: Vec::new(),
                        then: None,
                    }),
                }),
                Request::Env
                | Request::Verify { .. }
                | Request::Backup { .. }
                | Request::Inspect { .. }
                | Request::AuditIsThere
                | Request::Audit { .. }
                | Request::ReloadTls
                | Request::RootKeyStatus
                | Request::RotateRootKey
                | Request::Rewrap
                | Request::RetireRootKey { .. }
                | Request::Readers { .. }
                | Request::Assumers { .. }
                | Request::CountVersions { .. }
                | Request::ReEncrypt { .. }
                | Request::Impact { .. }
                | Request::CreateAccount { .. }
                | Request::ListAccounts
                | Request::DisableAccount { .. }
                | Request::RotateAccountCredentials { .. } => Ok(Answer::Done),
            }
        }
    }

    fn status() -> Request {
        Request::Seal {
            ask: SealRequest::Status,
        }
    }

    fn socket(dir: &Path) -> (PathBuf, AdminSocket) {
        let path = dir.join("admin.sock");
        let socket = AdminSocket::bind(&path).unwrap();
        socket.serve(Arc::new(Echo)).unwrap();
        (path, socket)
    }

    #[test]
    fn an_explanation_arrives_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (path, _socket) = socket(dir.path());
        let request = Request::Explain {
            action: "s3:GetObject".to_owned(),
            principal: "anonymous".to_owned(),
            resource: "*".to_owned(),
            context: vec![("aws:SourceIp".to_owned(), "::1".to_owned())],
            via: Some("s3".to_owned()),
        };
        let answer = ask(&path, &request).unwrap().unwrap();
        assert!(matches!(answer, Answer::Explained { explained }
            if explained.answer == strongroom_explain::Answer::If
                && explained.action == "s3:GetObject"));
    }

    #[test]
    fn requests_are_answered_and_refusals_arrive() {
        let dir = tempfile::tempdir().unwrap();
        let (path, _socket) = socket(dir.path());
        let answer = ask(&path, &Request::RotateCredentials).unwrap().unwrap();
        assert!(matches!(answer, Answer::Rotated { access_key_id } if access_key_id == "AKIA"));
        assert!(
            ask(&path, &status())
                .err()
                .unwrap()
                .what
                .contains("no seal")
        );
    }

    #[test]
    fn no_server_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        assert!(ask(&path, &Request::Env).unwrap().is_none());
        drop(UnixListener::bind(&path).unwrap());
        assert!(ask(&path, &Request::Env).unwrap().is_none());
        assert!(
            AdminSocket::bind(&path).is_ok(),
            "a dead server's socket is replaced"
        );
    }

    #[test]
    fn the_socket_is_private_and_goes_with_the_server() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (path, socket) = socket(dir.path());
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn deep_directories_work() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let (path, _socket) = socket(&deep);
        assert!(ask(&path, &Request::ReloadTls).unwrap().is_some());
    }
}
