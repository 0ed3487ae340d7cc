//! Credentials: the secrets behind access keys.

use std::fmt;
use std::sync::Arc;

use strongroom_types::{AccessKeyId, CanonicalId, Principal, Session, Timestamp};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Scope;

/// Everything that authentication needs to know about one access key.
#[derive(Debug)]
pub struct Credential {
    /// The public half.
    pub access_key_id: AccessKeyId,
    /// The secret half.
    pub secret: SigningSecret,
    /// On whose behalf the key signs.
    pub principal: Principal,
    /// The canonical id of the principal's account.
    pub canonical_id: CanonicalId,
    /// The token that every request of a temporary credential must carry.
    pub session_token: Option<SessionToken>,
}

/// Where credentials come from.
///
/// Contract: called once for each signed request, on an async thread: it must not block. The same
/// [`Arc`] is returned as long as the credential has not changed, since signing keys are cached
/// for as long as it lives. `None` means that the key does not exist or is inactive.
pub trait CredentialSource: Send + Sync {
    /// Finds a credential by its public half.
    fn credential(&self, id: &AccessKeyId) -> Option<Arc<Credential>>;

    /// Finds a temporary credential by its public half and the token that was sent, which says
    /// everything about it. Asked where [`CredentialSource::credential`] knows nothing of the key.
    ///
    /// # Errors
    ///
    /// [`TemporaryError`].
    fn temporary(
        &self,
        _id: &AccessKeyId,
        _token: &str,
        _now: Timestamp,
    ) -> Result<Arc<Credential>, TemporaryError> {
        Err(TemporaryError::Unknown)
    }

    /// Told of every good signature.
    fn used(&self, _credential: &Credential, _scope: &Scope, _now: Timestamp) {}
}

/// Why there is no temporary credential for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemporaryError {
    /// Nobody has such a key, or who had it is gone.
    Unknown,
    /// The token is not the key's.
    Invalid,
    /// Its time is over.
    Expired,
}

/// A secret access key. Zeroed on drop, never printed.
///
/// It is kept as `AWS4` and the secret, the form in which it enters the key derivation.
pub struct SigningSecret(Zeroizing<Box<[u8]>>);

impl SigningSecret {
    /// Takes a secret access key as the client knows it.
    pub fn new(secret: &str) -> Self {
        let mut prefixed = Vec::with_capacity(secret.len().saturating_add(4));
        prefixed.extend_from_slice(b"AWS4");
        prefixed.extend_from_slice(secret.as_bytes());
        // The capacity is exact, so that boxing moves no bytes and leaves no copy.
        Self(Zeroizing::new(prefixed.into_boxed_slice()))
    }

    pub(super) fn prefixed(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("REDACTED")
    }
}

/// The session token of a temporary credential. Zeroed on drop, never printed.
pub struct SessionToken {
    token: Zeroizing<Box<[u8]>>,
    expires: Timestamp,
    session: Option<Arc<Session>>,
}

impl SessionToken {
    /// Takes a token and the time from which it is refused.
    pub fn new(token: &str, expires: Timestamp) -> Self {
        Self {
            token: Zeroizing::new(token.as_bytes().into()),
            expires,
            session: None,
        }
    }

    /// Takes a token that was verified, and what it says.
    pub fn of_session(token: &str, session: Arc<Session>) -> Self {
        Self {
            token: Zeroizing::new(token.as_bytes().into()),
            expires: session.expires,
            session: Some(session),
        }
    }

    /// What the token says, if it is one that says something.
    pub fn session(&self) -> Option<&Arc<Session>> {
        self.session.as_ref()
    }

    /// Compares in constant time.
    pub fn matches(&self, sent: &[u8]) -> bool {
        self.token.ct_eq(sent).into()
    }

    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SessionToken(REDACTED, expires {})",
            self.expires.to_iso8601()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let secret = SigningSecret::new("wJalrXUtnFEMI/K7MDENG");
        assert_eq!(format!("{secret:?}"), "REDACTED");
        let token = SessionToken::new("FwoGZXIvYXdzE", Timestamp::from_seconds(0));
        assert!(!format!("{token:?}").contains("FwoG"));
    }

    #[test]
    fn tokens_match_only_themselves_and_expire_on_time() {
        let token = SessionToken::new("abc", Timestamp::from_seconds(10));
        assert!(token.matches(b"abc"));
        assert!(!token.matches(b"abd") && !token.matches(b"ab") && !token.matches(b""));
        assert!(!token.is_expired(Timestamp::from_millis(9_999)));
        assert!(token.is_expired(Timestamp::from_seconds(10)));
    }
}
