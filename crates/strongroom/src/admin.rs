//! The admin channel: a Unix socket in the data directory, for the owner's own commands.
//!
//! The running server owns the store, so `strongroom env` and `credentials rotate` ask it. Who may
//! ask is decided twice: the socket's mode is 0600, and the kernel names the peer's user.
//! A message is `BE32(length) || JSON`, one request and one answer a connection.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use strongroom_explain::{AssumersPage, Explained, ReadersPage};
use strongroom_verify::Inspection;
use zeroize::Zeroizing;

use crate::audit::{AuditAnswer, AuditRequest};
use crate::failure::{Exit, Failure};
use crate::impact::{ImpactAnswer, ImpactAsk};
use crate::serve::RootKeyStatus;

/// Largest message, in bytes. The largest is a page of a re-encryption that skips everything:
/// [`RE_ENCRYPTION_PAGE_MAX`] object keys, each letter escaped, and the reasons.
const MESSAGE_MAX_BYTES: usize = 1 << 20;
/// Most versions that one request re-encrypts.
pub(crate) const RE_ENCRYPTION_PAGE_MAX: usize = 128;
/// How long either side may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long the server may work on a page of a re-encryption.
const PAGE_MAX: Duration = Duration::from_secs(300);
/// Longest path that every Unix takes for a socket, in bytes.
const SOCKET_PATH_MAX_BYTES: usize = 100;

/// What can be asked.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    /// How to reach and authenticate to the server.
    Env,
    /// Replace the root access key; the old one is refused at once.
    RotateCredentials,
    /// Whatever is about seals; also asked while the server is sealed.
    Seal {
        /// What.
        ask: SealRequest,
    },
    /// Whatever is about a verification; also asked while the server is sealed.
    Verify {
        /// What.
        ask: VerifyRequest,
    },
    /// Whether there is a server that can be asked about the audit trail.
    AuditIsThere,
    /// Whatever is about the audit trail.
    Audit {
        /// What.
        ask: AuditRequest,
    },
    /// How an object is encrypted.
    Inspect {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
        /// Its version.
        version: Option<String>,
    },
    /// Read the certificate files again.
    ReloadTls,
    /// Whatever is about backups.
    Backup {
        /// What.
        ask: BackupRequest,
    },
    /// How things stand with the root key.
    RootKeyStatus,
    /// Rotate the root key.
    RotateRootKey,
    /// Wrap keys anew once more.
    Rewrap,
    /// Begin to retire a version of the root key.
    RetireRootKey {
        /// The version.
        version: u32,
    },
    /// Count the next versions under a prefix.
    CountVersions {
        /// The bucket.
        bucket: String,
        /// Only keys that begin so.
        prefix: String,
        /// [`Answer::Counted`]'s `next` of the page before.
        from: Option<String>,
    },
    /// Do the next versions of a re-encryption.
    ReEncrypt {
        /// The bucket.
        bucket: String,
        /// Only keys that begin so.
        prefix: String,
        /// The key's ARN.
        key: String,
        /// Whether a bucket key is used.
        bucket_key: bool,
        /// How many versions; at most [`RE_ENCRYPTION_PAGE_MAX`].
        limit: usize,
    },
    /// What depends on a key of the key service.
    Impact {
        /// What is to be known.
        ask: ImpactAsk,
    },
    /// Why a principal may or may not do something.
    Explain {
        /// The action.
        action: String,
        /// Who asks.
        principal: String,
        /// What it is done to.
        resource: String,
        /// Values of condition keys.
        context: Vec<(String, String)>,
        /// The service that asks for it.
        via: Option<String>,
    },
    /// What the next principals can do to an object.
    Readers {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
        /// Its version.
        version: Option<String>,
        /// The `next` of the page before.
        from: Option<String>,
    },
    /// Who of the next principals can assume a role.
    Assumers {
        /// The role's ARN.
        role: String,
        /// The `next` of the page before.
        from: Option<String>,
    },
    /// Make an account.
    CreateAccount {
        /// The operator's name for it.
        name: String,
    },
    /// Which accounts there are.
    ListAccounts,
    /// Let nobody of an account sign in, or everybody again.
    DisableAccount {
        /// The account's id.
        id: String,
        /// Whether nobody may.
        disabled: bool,
    },
    /// Replace the root access keys of an account that was made later.
    RotateAccountCredentials {
        /// The account's id.
        id: String,
    },
}

impl Request {
    /// What the log calls it: nothing of what is asked for.
    const fn name(&self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::RotateCredentials => "rotate-credentials",
            Self::Seal { ask } => ask.name(),
            Self::Verify { .. } => "verify",
            Self::Inspect { .. } => "inspect",
            Self::AuditIsThere => "audit",
            Self::Audit { ask } => ask.name(),
            Self::ReloadTls => "reload-tls",
            Self::Backup { ask } => ask.name(),
            Self::RootKeyStatus => "root-key-status",
            Self::RotateRootKey => "rotate-root-key",
            Self::Rewrap => "rewrap",
            Self::RetireRootKey { .. } => "retire-root-key",
            Self::CountVersions { .. } => "count-versions",
            Self::ReEncrypt { .. } => "re-encrypt",
            Self::Impact { .. } => "kms-impact",
            Self::Explain { .. } => "explain",
            Self::Readers { .. } => "readers",
            Self::Assumers { .. } => "assumers",
            Self::CreateAccount { .. } => "create-account",
            Self::ListAccounts => "list-accounts",
            Self::DisableAccount { .. } => "disable-account",
            Self::RotateAccountCredentials { .. } => "rotate-account-credentials",
        }
    }

    /// Whether a command asks it again and again.
    const fn is_one_of_many(&self) -> bool {
        matches!(
            self,
            Self::Audit {
                ask: AuditRequest::Read { .. } | AuditRequest::VerifyMore { .. }
            }
        )
    }

    /// How long the answer may take.
    const fn patience(&self) -> Duration {
        match self {
            Self::Env
            | Self::RotateCredentials
            | Self::Verify { .. }
            | Self::ReloadTls
            | Self::AuditIsThere
            | Self::CreateAccount { .. }
            | Self::ListAccounts
            | Self::DisableAccount { .. }
            | Self::RotateAccountCredentials { .. } => SILENCE_MAX,
            // Unsealing opens the store, which may have a journal to read.
            Self::Seal { .. }
            | Self::Backup { .. }
            | Self::Inspect { .. }
            | Self::Audit { .. }
            | Self::RootKeyStatus
            | Self::RotateRootKey
            | Self::Rewrap
            | Self::RetireRootKey { .. }
            | Self::CountVersions { .. }
            | Self::ReEncrypt { .. }
            | Self::Impact { .. }
            | Self::Explain { .. }
            | Self::Readers { .. }
            | Self::Assumers { .. } => PAGE_MAX,
        }
    }
}

/// What can be asked about backups.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(tag = "backup", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum BackupRequest {
    /// Hold the files, and set the mark.
    Begin {
        /// The process that asks.
        holder: u32,
    },
    /// Go on holding them.
    GoOn {
        /// The hold.
        hold: u64,
    },
    /// The next shred keys that are in use.
    Shreds {
        /// The hold.
        hold: u64,
        /// The last one of the page before.
        after: Option<[u8; 16]>,
    },
    /// The MAC of a manifest.
    Sign {
        /// The hold.
        hold: u64,
        /// Its SHA-256.
        digest: [u8; 32],
    },
    /// Let go.
    End {
        /// The hold.
        hold: u64,
    },
}

impl BackupRequest {
    const fn name(&self) -> &'static str {
        match self {
            Self::Begin { .. } => "backup-begin",
            Self::GoOn { .. } => "backup-go-on",
            Self::Shreds { .. } => "backup-shreds",
            Self::Sign { .. } => "backup-sign",
            Self::End { .. } => "backup-end",
        }
    }
}

/// What can be asked about seals.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(tag = "seal", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum SealRequest {
    /// Whether the server is sealed, and why.
    Status,
    /// Open the ring.
    Unseal {
        /// With this.
        gift: Gift,
    },
    /// Forget the shares that were given so far.
    ForgetShares,
    /// The ring's files have been written by another process.
    RingChanged,
    /// And under a new unseal key.
    Rekeyed {
        /// In hexadecimal.
        unseal_key: Secret,
    },
}

impl SealRequest {
    const fn name(&self) -> &'static str {
        match self {
            Self::Status => "seal-status",
            Self::Unseal { .. } => "unseal",
            Self::ForgetShares => "forget-shares",
            Self::RingChanged => "ring-changed",
            Self::Rekeyed { .. } => "rekeyed",
        }
    }
}

/// What can be asked about verifications. There is one at a time, in the background; it ends when
/// nobody asks for it any more.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(tag = "verify", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum VerifyRequest {
    /// Begin.
    Start {
        /// How fast at most.
        bytes_per_second: Option<u64>,
        /// Without keys, although the server has them.
        sealed: bool,
    },
    /// How far it is.
    Status,
    /// A piece of the report, once there is one.
    Report {
        /// Where it begins, in bytes.
        from: usize,
    },
    /// End it.
    Stop,
}

/// What somebody gives to open the ring.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(tag = "gift", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Gift {
    /// A passphrase.
    Passphrase {
        /// As it was typed.
        text: Secret,
    },
    /// One share of several.
    Share {
        /// As it was typed.
        text: Secret,
    },
    /// A key file.
    KeyFile {
        /// Its text.
        text: Secret,
    },
    /// The PIN of the token.
    Pin {
        /// As it was typed.
        text: Secret,
    },
    /// Nothing: try again the seals that need nobody.
    Automatic,
}

/// A secret on its way through the socket.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq)]
#[serde(transparent)]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes it.
    pub(crate) fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// Lends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Gives it back.
    pub(crate) fn into_inner(self) -> Zeroizing<String> {
        self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(REDACTED)")
    }
}

/// What is answered. No `Debug`: it may hold the root secret.
#[derive(Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// To [`Request::Env`].
    Env(EnvAnswer),
    /// To [`Request::RotateCredentials`].
    Rotated {
        /// The new key's public half.
        access_key_id: String,
    },
    /// To [`SealRequest::Status`].
    SealState(SealState),
    /// To [`SealRequest::Unseal`]: the server serves.
    Unsealed,
    /// To [`SealRequest::Unseal`] with a share: others are needed.
    SharesWait {
        /// How many are here.
        have: u8,
        /// How many must be.
        need: u8,
    },
    /// To [`BackupRequest::Begin`].
    BackupBegun(BackupBegun),
    /// To [`BackupRequest::Shreds`].
    BackupShreds {
        /// Their ids, ascending.
        ids: Vec<[u8; 16]>,
        /// Whether there are more.
        more: bool,
    },
    /// To [`BackupRequest::Sign`].
    BackupSigned {
        /// HMAC-SHA-256.
        mac: [u8; 32],
    },
    /// To [`Request::Audit`].
    Audited {
        /// It has a tag of its own.
        audited: Box<AuditAnswer>,
    },
    /// To [`Request::RootKeyStatus`].
    RootKey(RootKeyStatus),
    /// To [`Request::RotateRootKey`].
    RootKeyRotated {
        /// The version that wraps now.
        version: u32,
    },
    /// To [`Request::CountVersions`].
    Counted {
        /// Versions and delete markers of this page.
        count: u64,
        /// Where the next page begins, if there is one.
        next: Option<String>,
    },
    /// To [`Request::ReEncrypt`].
    ReEncrypted(ReEncryptedPage),
    /// To [`VerifyRequest::Start`] and [`VerifyRequest::Status`].
    Verifying(VerifyState),
    /// To [`Request::Inspect`].
    Inspected(Box<Inspection>),
    /// To [`VerifyRequest::Report`].
    VerifyReport {
        /// A piece of JSON.
        text: String,
        /// Where the next piece begins, if there is one.
        next: Option<usize>,
    },
    /// To [`Request::Impact`].
    Impact {
        /// What was found.
        found: ImpactAnswer,
    },
    /// To [`Request::Explain`].
    Explained {
        /// It has a member `answer` of its own.
        explained: Box<Explained>,
    },
    /// To [`Request::Readers`].
    Readers(Box<ReadersPage>),
    /// To [`Request::Assumers`].
    Assumers(Box<AssumersPage>),
    /// To [`Request::CreateAccount`].
    AccountCreated {
        account: AccountAnswer,
        root: RootKeyAnswer,
    },
    /// To [`Request::ListAccounts`].
    Accounts { accounts: Vec<AccountAnswer> },
    /// To [`Request::RotateAccountCredentials`].
    AccountRotated { root: RootKeyAnswer },
    /// It is done.
    Done,
    /// It is not.
    Refused {
        /// Why.
        what: String,
        /// What to do; empty if only the log knows.
        remedy: String,
    },
}

/// An account.
#[derive(Serialize, Deserialize)]
pub(crate) struct AccountAnswer {
    pub(crate) id: String,
    /// The operator's name for it.
    pub(crate) name: String,
    pub(crate) canonical_id: String,
    /// ISO 8601.
    pub(crate) created: String,
    /// Nobody of it may sign in.
    pub(crate) disabled: bool,
}

/// A root user's access key.
#[derive(Serialize, Deserialize)]
pub(crate) struct RootKeyAnswer {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: Zeroizing<String>,
}

/// Where a backup begins.
#[derive(Serialize, Deserialize)]
pub(crate) struct BackupBegun {
    pub(crate) hold: u64,
    /// The last commit that is in it.
    pub(crate) mark: u64,
    /// ISO 8601.
    pub(crate) marked: String,
    pub(crate) ring_id: String,
    /// Files of the metadata store, and how many bytes of each.
    pub(crate) extents: Vec<(String, u64)>,
}

/// Whether the server is sealed.
#[derive(Serialize, Deserialize)]
pub(crate) struct SealState {
    pub(crate) sealed: bool,
    /// Why, if it is.
    pub(crate) why: Option<String>,
    /// How many shares are here, and how many must be.
    pub(crate) shares: Option<(u8, u8)>,
}

/// How far a verification is.
#[derive(Serialize, Deserialize)]
pub(crate) struct VerifyState {
    /// It has not come to its end.
    pub(crate) running: bool,
    /// Bytes read.
    pub(crate) done_bytes: u64,
    /// Bytes there were when it began.
    pub(crate) all_bytes: u64,
    /// Why there is no report.
    pub(crate) failure: Option<String>,
}

/// How far a re-encryption is, since it began.
#[derive(Serialize, Deserialize)]
pub(crate) struct ReEncryptedPage {
    /// Versions and delete markers looked at.
    pub(crate) looked_at: u64,
    /// Those of them that are of this page.
    pub(crate) looked_at_here: u64,
    /// Versions whose data key was wrapped anew.
    pub(crate) updated: u64,
    /// Versions that were encrypted as wanted.
    pub(crate) already: u64,
    /// Versions that could not be updated.
    pub(crate) skipped: u64,
    /// Those of them that should have been.
    pub(crate) failed: u64,
    /// The skipped ones of this page.
    pub(crate) skipped_here: Vec<Skipped>,
    /// Nothing is left.
    pub(crate) done: bool,
}

/// A version that could not be updated.
#[derive(Serialize, Deserialize)]
pub(crate) struct Skipped {
    /// Its key.
    pub(crate) key: String,
    /// Its version id, if its row could be read.
    pub(crate) version: Option<String>,
    /// Why.
    pub(crate) reason: String,
    /// Whether it should have been possible.
    pub(crate) failed: bool,
}

/// How to reach and authenticate to the server.
#[derive(Serialize, Deserialize)]
pub(crate) struct EnvAnswer {
    /// `127.0.0.1:9000`; `None` when plain HTTP is off.
    pub(crate) http: Option<String>,
    /// `127.0.0.1:9443`; `None` when HTTPS is off.
    pub(crate) https: Option<String>,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: Zeroizing<String>,
    pub(crate) region: String,
    /// Certificate file that clients of the HTTPS endpoint trust; `None` for the operator's own.
    pub(crate) ca_bundle: Option<String>,
}

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
        stream.set_read_timeout(Some(request.patience()))?;
        send(stream, request)?;
        receive(stream)
    };
    match exchange(&mut stream).map_err(|error| unanswered(&error))? {
        Answer::Refused { what, remedy } => Err(Failure::new(
            Exit::General,
            format!("the server refuses: {what}"),
            if remedy.is_empty() {
                "look at its log".to_owned()
            } else {
                remedy
            },
        )),
        answer @ (Answer::Env(_)
        | Answer::Rotated { .. }
        | Answer::SealState(_)
        | Answer::Unsealed
        | Answer::SharesWait { .. }
        | Answer::BackupBegun(_)
        | Answer::BackupShreds { .. }
        | Answer::BackupSigned { .. }
        | Answer::Audited { .. }
        | Answer::RootKey(_)
        | Answer::RootKeyRotated { .. }
        | Answer::Counted { .. }
        | Answer::ReEncrypted(_)
        | Answer::Verifying(_)
        | Answer::Inspected(_)
        | Answer::VerifyReport { .. }
        | Answer::Impact { .. }
        | Answer::Explained { .. }
        | Answer::Readers(_)
        | Answer::Assumers(_)
        | Answer::AccountCreated { .. }
        | Answer::Accounts { .. }
        | Answer::AccountRotated { .. }
        | Answer::Done) => Ok(Some(answer)),
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

fn send<M: Serialize>(stream: &mut impl Write, message: &M) -> io::Result<()> {
    // Room for the answers with secrets, so that growing leaves no copies behind.
    let mut json = Zeroizing::new(Vec::with_capacity(4096));
    serde_json::to_writer(&mut *json, message)?;
    let len = u32::try_from(json.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    stream.write_all(&len.to_be_bytes())?;
    stream.write_all(&json)?;
    stream.flush()
}

fn receive<M: DeserializeOwned>(stream: &mut impl Read) -> io::Result<M> {
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
    if len > MESSAGE_MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut json = Zeroizing::new(vec![0; len]);
    stream.read_exact(&mut json)?;
    // The parser's own message may quote the input.
    serde_json::from_slice(&json).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

fn set_timeouts(stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))
}

/// Calls `with` with a path short enough for a socket address, by way of the directory's descriptor.
fn with_short_path<T>(path: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
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

    #[test]
    fn a_secret_survives_the_socket_and_does_not_print() {
        let request = Request::Seal {
            ask: SealRequest::Unseal {
                gift: Gift::Passphrase {
                    text: Secret::new(Zeroizing::new("correct horse".to_owned())),
                },
            },
        };
        let mut sent = Vec::new();
        send(&mut sent, &request).unwrap();
        assert_eq!(receive::<Request>(&mut sent.as_slice()).unwrap(), request);
        assert!(!format!("{request:?}").contains("horse"));
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

    #[test]
    fn oversized_and_garbled_messages_are_refused() {
        let oversized = [&u32::MAX.to_be_bytes(), b"x".as_slice()].concat();
        assert!(receive::<Request>(&mut oversized.as_slice()).is_err());
        let garbled = [&3_u32.to_be_bytes(), b"{}x".as_slice()].concat();
        assert!(receive::<Request>(&mut garbled.as_slice()).is_err());
        let unknown = br#"{"request":"dump"}"#;
        let framed = [&18_u32.to_be_bytes(), unknown.as_slice()].concat();
        assert!(receive::<Request>(&mut framed.as_slice()).is_err());
    }
}
