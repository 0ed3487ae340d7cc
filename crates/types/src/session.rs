//! Sessions: what a temporary credential says beside who it is for.

use crate::Timestamp;

/// What a verified session token says. It holds no secret.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Session {
    /// How it was made.
    pub kind: SessionKind,
    /// When it was made, for `aws:TokenIssueTime`.
    pub issued: Timestamp,
    /// From when on it is refused.
    pub expires: Timestamp,
    /// Session policies that were passed as documents: JSON.
    pub policies: Vec<String>,
    /// Session policies that were passed as ARNs of managed policies.
    pub policy_arns: Vec<String>,
    /// Session tags: keys and values, for `aws:PrincipalTag/*`.
    pub tags: Vec<(String, String)>,
    /// Keys of the tags that sessions made with this one inherit.
    pub transitive_tag_keys: Vec<String>,
    /// `aws:SourceIdentity`.
    pub source_identity: Option<String>,
    /// The provider behind a web identity, for `aws:FederatedProvider`.
    pub federated_provider: Option<String>,
    /// Of who proved itself to a provider and has no session yet: what the provider says of it.
    pub web_identity: Option<WebIdentity>,
}

/// Whom an OpenID Connect provider vouches for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct WebIdentity {
    /// The application that it proved itself for.
    pub audience: String,
    /// Who it is to the provider.
    pub subject: String,
}

/// How a session was made.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SessionKind {
    /// GetSessionToken: its maker's own identity.
    Token,
    /// AssumeRole.
    Role,
    /// AssumeRoleWithWebIdentity.
    WebIdentity,
    /// GetFederationToken, by the user of that unique id; by the account's root user if empty.
    Federated {
        /// The user's unique id (`AIDA...`), or nothing.
        issuer_id: String,
    },
}

impl Session {
    /// Whether the session is limited by policies that were passed when it was made.
    pub fn has_policies(&self) -> bool {
        !self.policies.is_empty() || !self.policy_arns.is_empty()
    }
}
