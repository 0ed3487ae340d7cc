//! What the owner's commands ask of the running server.

use serde::{Deserialize, Serialize};
use strongroom_types::{BucketName, ObjectKey, VersionId};
use zeroize::Zeroizing;

use crate::audit::AuditRequest;
use crate::failure::{Exit, Failure};
use crate::impact::ImpactAsk;

/// Most versions that one request re-encrypts.
pub(crate) const RE_ENCRYPTION_PAGE_MAX: usize = 128;

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
        /// [`super::Answer::Counted`]'s `next` of the page before.
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
    pub(super) const fn name(&self) -> &'static str {
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
    pub(super) const fn is_one_of_many(&self) -> bool {
        matches!(
            self,
            Self::Audit {
                ask: AuditRequest::Read { .. } | AuditRequest::VerifyMore { .. }
            }
        )
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

/// The object that a request names: its bucket, key and version.
///
/// # Errors
///
/// [`malformed`].
pub(crate) fn object_named(
    (bucket, key, version): (&str, &str, Option<&str>),
) -> Result<(BucketName, ObjectKey, Option<VersionId>), Failure> {
    let version = version.map(VersionId::parse).transpose();
    Ok((
        BucketName::parse(bucket).map_err(|_| malformed())?,
        ObjectKey::parse(key).map_err(|_| malformed())?,
        version.map_err(|_| malformed())?,
    ))
}

/// A request that no command of this version sends.
pub(crate) fn malformed() -> Failure {
    Failure::new(
        Exit::General,
        "the request is malformed",
        "is the command of the server's version?",
    )
}
