//! What the running server answers its owner's commands.

use serde::{Deserialize, Serialize};
use strongroom_explain::{AssumersPage, Explained, ReadersPage};
use strongroom_verify::Inspection;
use zeroize::Zeroizing;

use crate::audit::AuditAnswer;
use crate::impact::ImpactAnswer;
use crate::serve::RootKeyStatus;

/// What is answered. No `Debug`: it may hold the root secret.
#[derive(Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// To [`super::Request::Env`].
    Env(EnvAnswer),
    /// To [`super::Request::RotateCredentials`].
    Rotated {
        /// The new key's public half.
        access_key_id: String,
    },
    /// To [`super::SealRequest::Status`].
    SealState(SealState),
    /// To [`super::SealRequest::Unseal`]: the server serves.
    Unsealed,
    /// To [`super::SealRequest::Unseal`] with a share: others are needed.
    SharesWait {
        /// How many are here.
        have: u8,
        /// How many must be.
        need: u8,
    },
    /// To [`super::BackupRequest::Begin`].
    BackupBegun(BackupBegun),
    /// To [`super::BackupRequest::Shreds`].
    BackupShreds {
        /// Their ids, ascending.
        ids: Vec<[u8; 16]>,
        /// Whether there are more.
        more: bool,
    },
    /// To [`super::BackupRequest::Sign`].
    BackupSigned {
        /// HMAC-SHA-256.
        mac: [u8; 32],
    },
    /// To [`super::Request::Audit`].
    Audited {
        /// It has a tag of its own.
        audited: Box<AuditAnswer>,
    },
    /// To [`super::Request::RootKeyStatus`].
    RootKey(RootKeyStatus),
    /// To [`super::Request::RotateRootKey`].
    RootKeyRotated {
        /// The version that wraps now.
        version: u32,
    },
    /// To [`super::Request::CountVersions`].
    Counted {
        /// Versions and delete markers of this page.
        count: u64,
        /// Where the next page begins, if there is one.
        next: Option<String>,
    },
    /// To [`super::Request::ReEncrypt`].
    ReEncrypted(ReEncryptedPage),
    /// To [`super::VerifyRequest::Start`] and [`super::VerifyRequest::Status`].
    Verifying(VerifyState),
    /// To [`super::Request::Inspect`].
    Inspected(Box<Inspection>),
    /// To [`super::VerifyRequest::Report`].
    VerifyReport {
        /// A piece of JSON.
        text: String,
        /// Where the next piece begins, if there is one.
        next: Option<usize>,
    },
    /// To [`super::Request::Impact`].
    Impact {
        /// What was found.
        found: ImpactAnswer,
    },
    /// To [`super::Request::Explain`].
    Explained {
        /// It has a member `answer` of its own.
        explained: Box<Explained>,
    },
    /// To [`super::Request::Readers`].
    Readers(Box<ReadersPage>),
    /// To [`super::Request::Assumers`].
    Assumers(Box<AssumersPage>),
    /// To [`super::Request::CreateAccount`].
    AccountCreated {
        account: AccountAnswer,
        root: RootKeyAnswer,
    },
    /// To [`super::Request::ListAccounts`].
    Accounts { accounts: Vec<AccountAnswer> },
    /// To [`super::Request::RotateAccountCredentials`].
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

/// Whether the server is sealed.
#[derive(Serialize, Deserialize)]
pub(crate) struct SealState {
    pub(crate) sealed: bool,
    /// Why, if it is.
    pub(crate) why: Option<String>,
    /// How many shares are here, and how many must be.
    pub(crate) shares: Option<(u8, u8)>,
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
    /// The file of the signed report among the store's reports, once there is one.
    pub(crate) signed: Option<String>,
    /// Why the report is not signed.
    pub(crate) unsigned: Option<String>,
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
