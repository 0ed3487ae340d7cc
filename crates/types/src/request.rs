//! Who asks, from where, over what: the context that travels into every port.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{AccessKeyId, AccountId, CanonicalId, Entropy, Region, Session, Timestamp};

/// The identity on whose behalf a request is decided. Every variant exists from the first commit,
/// so that no port grows a second notion of a caller later.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Principal {
    /// An account's root user.
    Root {
        /// The account.
        account: AccountId,
    },
    /// An IAM user.
    User {
        /// The account.
        account: AccountId,
        /// The user's unique id (`AIDA...`).
        user_id: Arc<str>,
        /// Path and name, as in its ARN.
        path_and_name: Arc<str>,
    },
    /// A session of a role.
    RoleSession {
        /// The account.
        account: AccountId,
        /// The role's unique id (`AROA...`).
        role_id: Arc<str>,
        /// The role's name.
        role_name: Arc<str>,
        /// The role's ARN, which has its path.
        role_arn: Arc<str>,
        /// The session's name.
        session_name: Arc<str>,
    },
    /// A federated user session.
    Federated {
        /// The account.
        account: AccountId,
        /// The federated user's name.
        name: Arc<str>,
    },
    /// A service of this server acting for itself, such as log delivery.
    Service {
        /// Its name, such as `cloudtrail.amazonaws.com`.
        name: Arc<str>,
        /// What it acts for.
        source: Option<Arc<ServiceSource>>,
    },
    /// Nobody signed.
    Anonymous,
}

/// What a service acts for: a trail whose files it delivers, a bucket whose accesses it logs. Policies
/// ask for it as `aws:SourceArn` and `aws:SourceAccount`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ServiceSource {
    /// The account that has it.
    pub account: AccountId,
    /// Its ARN.
    pub arn: String,
}

impl Principal {
    /// The account in which it acts: whose keys it means by names without an account. Of a service it
    /// is that of what it acts for, which gives it no right of that account.
    pub fn acts_in(&self) -> Option<AccountId> {
        match self {
            Self::Service { source, .. } => source.as_ref().map(|source| source.account),
            Self::Root { .. }
            | Self::User { .. }
            | Self::RoleSession { .. }
            | Self::Federated { .. }
            | Self::Anonymous => self.account(),
        }
    }

    /// The account to which the principal belongs.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::Root { account }
            | Self::User { account, .. }
            | Self::RoleSession { account, .. }
            | Self::Federated { account, .. } => Some(*account),
            Self::Service { .. } | Self::Anonymous => None,
        }
    }

    /// The principal's ARN, as IAM error messages and audit records print it.
    pub fn arn(&self) -> String {
        match self {
            Self::Root { account } => format!("arn:aws:iam::{account}:root"),
            Self::User {
                account,
                path_and_name,
                ..
            } => format!("arn:aws:iam::{account}:user/{path_and_name}"),
            Self::RoleSession {
                account,
                role_name,
                session_name,
                ..
            } => {
                format!("arn:aws:sts::{account}:assumed-role/{role_name}/{session_name}")
            }
            Self::Federated { account, name } => {
                format!("arn:aws:sts::{account}:federated-user/{name}")
            }
            Self::Service { name, .. } => name.to_string(),
            Self::Anonymous => "anonymous".to_owned(),
        }
    }
}

/// The id under which a request appears in the answer, the log and the audit trail.
///
/// 16 random bytes. S3 prints the first eight as 16 upper-case hexadecimal digits, the JSON and
/// Query services print all as a UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// Draws a fresh id.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    /// Takes an id from storage.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// All bytes, for audit records.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// All bytes as a UUID, which is how the JSON and Query services print the id.
    pub fn to_uuid(&self) -> String {
        crate::kms::KeyId::from_bytes(self.0).to_string()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .take(8)
            .try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

/// Negotiated TLS version, for `s3:TlsVersion`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// How the request reached us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// Over TLS that this server terminated.
    Tls(TlsVersion),
    /// Over plain HTTP.
    Plain,
    /// Through a proxy that the operator trusts.
    Forwarded {
        /// What the proxy says of its client.
        client_uses_tls: bool,
        /// Whether nobody can listen between the proxy and this server: TLS, or the same host.
        hop_is_confidential: bool,
    },
}

impl Transport {
    /// Whether the client uses TLS, for `aws:SecureTransport`.
    pub fn is_secure(self) -> bool {
        match self {
            Self::Tls(_) => true,
            Self::Plain => false,
            Self::Forwarded {
                client_uses_tls, ..
            } => client_uses_tls,
        }
    }

    /// Whether key material may travel between this server and a client at `address`: TLS all the
    /// way, or a client on this host. What a proxy says of the address does not make it this host.
    pub fn is_confidential(self, address: IpAddr) -> bool {
        match self {
            Self::Tls(_) => true,
            Self::Plain => address.to_canonical().is_loopback(),
            Self::Forwarded {
                client_uses_tls,
                hop_is_confidential,
            } => client_uses_tls && hop_is_confidential,
        }
    }
}

/// Everything about a request that a decision may depend on. Built once, after authentication.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The request's id.
    pub request_id: RequestId,
    /// When it arrived.
    pub received: Timestamp,
    /// Who asks.
    pub principal: Principal,
    /// The canonical id of the principal's account, by which S3 names owners.
    pub canonical_id: Option<CanonicalId>,
    /// The access key that signed.
    pub access_key_id: Option<AccessKeyId>,
    /// What the session token says, if one was sent.
    pub session: Option<Arc<Session>>,
    /// The service that asks on the principal's behalf, such as `s3.amazonaws.com` for KMS.
    pub via_service: Option<Arc<str>>,
    /// The region of this server.
    pub region: Region,
    /// The client's address: of the connection, or as a proxy says that the operator trusts.
    pub source_ip: IpAddr,
    /// How it came.
    pub transport: Transport,
    /// The `User-Agent` header, cut to 512 bytes.
    pub user_agent: Option<Arc<str>>,
    /// What its record says beside all that, where somebody records it.
    pub sent: Option<Arc<Sent>>,
}

/// What the record of a call says of the request, and no decision depends on. It holds no secret.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Sent {
    /// The negotiated cipher suite, of TLS that this server ends.
    pub cipher_suite: Option<&'static str>,
    /// The `Host` header, cut to 256 bytes.
    pub host: Option<Arc<str>>,
    /// What was asked for: a JSON object, under the names of CloudTrail's records.
    pub parameters: Option<Arc<str>>,
}

impl RequestContext {
    /// The same request of who proved itself to an OpenID Connect provider: whoever signed it, if
    /// anybody, has no part in it.
    #[must_use]
    pub fn of_web_identity(&self, proven: Arc<Session>) -> Self {
        Self {
            principal: Principal::Anonymous,
            canonical_id: None,
            access_key_id: None,
            session: Some(proven),
            ..self.clone()
        }
    }

    /// Whether key material may travel over this connection: TLS, or a peer on this host.
    pub fn is_confidential(&self) -> bool {
        self.transport.is_confidential(self.source_ip)
    }
}
