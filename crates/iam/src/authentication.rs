//! Who signs with which key. Nothing here waits for the disk, and every answer is of this moment: a
//! key, user or role that is gone signs nothing any more.

use std::fmt;
use std::sync::Arc;

use strongroom_types::{AccessKeyId, AccountId, CanonicalId, Principal, Session, Timestamp};

use crate::Identities;
use crate::directory::Account;
use crate::records::{AccessKey, Secret};
use crate::token::Token;

/// An access key as the signature check needs it.
#[derive(Clone, PartialEq, Eq)]
pub struct Signer {
    /// The public half.
    pub access_key_id: AccessKeyId,
    pub(crate) secret: Secret,
    /// On whose behalf it signs.
    pub principal: Principal,
    /// By what S3 names its account as an owner.
    pub canonical_id: CanonicalId,
}

impl Signer {
    /// The secret half.
    pub fn secret(&self) -> &str {
        self.secret.expose()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.access_key_id)
    }
}

/// A temporary credential whose token was verified.
#[derive(Clone, Debug)]
pub struct TemporarySigner {
    /// The key.
    pub signer: Signer,
    /// What the token says beside.
    pub session: Arc<Session>,
    token: Arc<Token>,
}

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It was not made here, not for this key, or was changed.
    #[error("the token is invalid")]
    Invalid,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Whom it is for does not exist any more.
    #[error("the principal of the token does not exist")]
    Gone,
}

impl Identities {
    /// Who signs with a long-term access key; none for keys that do not exist or are inactive. The
    /// same `Arc` as long as nothing about it changed.
    pub fn signer(&self, id: &AccessKeyId) -> Option<Arc<Signer>> {
        self.current().ok()?.signers.get(id).cloned()
    }

    /// Who signs with a temporary access key.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub fn temporary_signer(
        &self,
        id: &AccessKeyId,
        text: &str,
        now: Timestamp,
    ) -> Result<TemporarySigner, TokenError> {
        let token = Arc::new(self.open_token(id, text).ok_or(TokenError::Invalid)?);
        let session = Arc::new(token.session().ok_or(TokenError::Invalid)?);
        if now >= session.expires {
            return Err(TokenError::Expired);
        }
        let (principal, canonical_id) = self.principal_of(&token).ok_or(TokenError::Gone)?;
        let signer = Signer {
            access_key_id: id.clone(),
            secret: token.secret.clone(),
            principal,
            canonical_id,
        };
        Ok(TemporarySigner {
            signer,
            session,
            token,
        })
    }

    /// Whether a temporary credential that was verified before is still for the same principal.
    pub fn still_holds(&self, temporary: &TemporarySigner) -> bool {
        self.principal_of(&temporary.token)
            .is_some_and(|(principal, _)| principal == temporary.signer.principal)
    }

    /// Notes that a long-term key of a user was used. Never waits for the disk.
    pub fn note_signed(&self, signer: &Signer, service: &str, region: &str, now: Timestamp) {
        if let Some(account) = signer.principal.account() {
            let key = signer.access_key_id.as_str();
            self.note_use(account, key, (service, region), now);
        }
    }

    /// Notes that a root user's key, which is kept elsewhere, was used.
    pub fn note_root_signed(
        &self,
        account: AccountId,
        id: &AccessKeyId,
        (service, region): (&str, &str),
        now: Timestamp,
    ) {
        self.note_use(account, id.as_str(), (service, region), now);
    }

    /// Whom a token is for, as it is now; none if it is gone.
    fn principal_of(&self, token: &Token) -> Option<(Principal, CanonicalId)> {
        let id = AccountId::parse(&token.account).ok()?;
        let directory = self.current().ok()?;
        let account = directory.accounts.get(&id).filter(|it| !it.is_disabled())?;
        let is_root = token.subject_id.is_empty();
        // Roles outlive the keys of those who assume them; what a key made for its own user does not.
        if matches!(token.kind, 1 | 4)
            && !self.is_active(token.issuing_key.as_deref()?, token, account)
        {
            return None;
        }
        let principal = match token.kind {
            1 if is_root => Principal::Root { account: id },
            1 => account.user_principal(account.user_by_id(&token.subject_id)?),
            2 | 3 => {
                let role = account.role_by_id(&token.subject_id)?;
                Principal::RoleSession {
                    account: id,
                    role_id: role.id.as_str().into(),
                    role_name: role.name.as_str().into(),
                    role_arn: account.role_arn(role).into(),
                    session_name: token.name.as_str().into(),
                }
            }
            4 => {
                if !is_root {
                    account.user_by_id(&token.subject_id)?;
                }
                Principal::Federated {
                    account: id,
                    name: token.name.as_str().into(),
                }
            }
            _ => return None,
        };
        Some((principal, account.canonical_id.clone()))
    }

    /// Whether a key is still good, and of whom the token says that made it.
    fn is_active(&self, key: &str, token: &Token, account: &Account) -> bool {
        let is_theirs = |it: &AccessKey| it.active && it.user_id == token.subject_id;
        if account.access_keys.get(key).is_some_and(|it| is_theirs(it)) {
            return true;
        }
        let is_elsewhere = || {
            self.root_keys
                .read()
                .iter()
                .any(|it| it.id == key && it.active)
        };
        token.subject_id.is_empty() && account.id == self.primary && is_elsewhere()
    }

    /// The account whose long-term access key this is.
    pub(crate) fn account_of_key(&self, id: &AccessKeyId) -> Option<AccountId> {
        let directory = self.current().ok()?;
        let holds = |id: &AccessKeyId| {
            directory
                .accounts
                .values()
                .find(|account| account.access_keys.contains_key(id.as_str()))
                .map(|account| account.id)
        };
        let is_root = || {
            self.root_keys
                .read()
                .iter()
                .any(|key| key.id == id.as_str())
        };
        holds(id).or_else(|| is_root().then_some(self.primary))
    }
}
