//! Session tokens and authorization messages: sealed, self-contained texts that only this store opens.
//!
//! They are sealed as rows are, under numbers that no table has: the key is random, wrapped by the
//! root ring and never leaves the process, and a token opens as no row and no row as a token. A key of
//! its own would be wrapped by the same ring and lie in the same memory. The secret of a temporary
//! credential is in its token, so that any node with the ring verifies it without asking anybody.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::{Decode, Encode};
use strongroom_crypto::ROW_OVERHEAD_BYTES;
use strongroom_types::{AccessKeyId, AccountId, Entropy, Session, SessionKind, Timestamp};
use zeroize::Zeroizing;

use crate::records::Secret;
use crate::{Identities, Tag};

/// Pseudo tables of what is sealed and not stored.
const TOKENS: u8 = 255;
const MESSAGES: u8 = 254;
/// Longest token that is looked at, in bytes.
const TOKEN_MAX_BYTES: usize = 16 << 10;
/// Authorization messages are filled up with spaces to a multiple of this, in bytes.
const MESSAGE_STEP_BYTES: usize = 2048;
const TOKEN_KIND: [u8; 2] = [58, 1];

/// What a token holds.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Token {
    #[n(0)]
    pub account: String,
    /// 1 GetSessionToken, 2 AssumeRole, 3 AssumeRoleWithWebIdentity, 4 GetFederationToken.
    #[n(1)]
    pub kind: u8,
    /// Unique id of the role, or of the user that made the token; of a root user nothing.
    #[n(2)]
    pub subject_id: String,
    /// Name of the session or federated user.
    #[n(3)]
    pub name: String,
    #[n(4)]
    pub secret: Secret,
    #[n(5)]
    pub issued_millis: u64,
    #[n(6)]
    pub expires_millis: u64,
    #[n(7)]
    pub policies: Vec<String>,
    #[n(8)]
    pub policy_arns: Vec<String>,
    #[n(9)]
    pub tags: Vec<Tag>,
    #[n(10)]
    pub transitive_tag_keys: Vec<String>,
    #[n(11)]
    pub source_identity: Option<String>,
    #[n(12)]
    pub federated_provider: Option<String>,
    /// The long-term access key that asked for it, of what only such a key may ask for: it ends with
    /// its key.
    #[n(13)]
    pub issuing_key: Option<String>,
}

impl Token {
    /// What the rest of the server learns of it.
    pub(crate) fn session(&self) -> Option<Session> {
        Some(Session {
            kind: match self.kind {
                1 => SessionKind::Token,
                2 => SessionKind::Role,
                3 => SessionKind::WebIdentity,
                4 => SessionKind::Federated {
                    issuer_id: self.subject_id.clone(),
                },
                _ => return None,
            },
            issued: Timestamp::from_millis(self.issued_millis),
            expires: Timestamp::from_millis(self.expires_millis),
            policies: self.policies.clone(),
            policy_arns: self.policy_arns.clone(),
            tags: self
                .tags
                .iter()
                .map(|tag| (tag.key.clone(), tag.value.clone()))
                .collect(),
            transitive_tag_keys: self.transitive_tag_keys.clone(),
            source_identity: self.source_identity.clone(),
            federated_provider: self.federated_provider.clone(),
            web_identity: None,
        })
    }
}

impl Identities {
    /// The text of a token, good only with its access key id.
    pub(crate) fn seal_token(&self, id: &str, token: &Token, entropy: &dyn Entropy) -> String {
        let mut plaintext = Zeroizing::new(Vec::with_capacity(8192));
        plaintext.extend_from_slice(&TOKEN_KIND);
        // Writing to a vector cannot fail.
        let _ = minicbor::encode(token, &mut *plaintext);
        let rows = self.rows.custody.rows();
        URL_SAFE_NO_PAD.encode(rows.seal(TOKENS, id.as_bytes(), &plaintext, entropy))
    }

    /// What a token holds, if it was made here for that access key id.
    pub(crate) fn open_token(&self, id: &AccessKeyId, text: &str) -> Option<Token> {
        let plaintext = Zeroizing::new(self.unseal(TOKENS, id.as_str().as_bytes(), text)?);
        let (kind, body) = plaintext.split_first_chunk::<2>()?;
        if *kind != TOKEN_KIND {
            return None;
        }
        minicbor::decode(body).ok()
    }

    /// Seals what a decision was made from, for `DecodeAuthorizationMessage` in that account.
    pub fn seal_authorization_message(
        &self,
        account: AccountId,
        message: &str,
        entropy: &Arc<dyn Entropy>,
    ) -> String {
        let rows = self.rows.custody.rows();
        let account = account.as_str().as_bytes();
        // All of one length, which would tell who may not read them whether a tag or a statement is
        // there.
        let len = message.len().next_multiple_of(MESSAGE_STEP_BYTES);
        let mut padded = message.as_bytes().to_vec();
        padded.resize(len, b' ');
        URL_SAFE_NO_PAD.encode(rows.seal(MESSAGES, account, &padded, &**entropy))
    }

    /// The message that [`Identities::seal_authorization_message`] sealed for that account.
    pub(crate) fn open_authorization_message(
        &self,
        account: AccountId,
        text: &str,
    ) -> Option<String> {
        let padded = self.unseal(MESSAGES, account.as_str().as_bytes(), text)?;
        Some(std::str::from_utf8(&padded).ok()?.trim_end().to_owned())
    }

    fn unseal(&self, table: u8, key: &[u8], text: &str) -> Option<Vec<u8>> {
        if text.len() > TOKEN_MAX_BYTES {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        if sealed.len() < ROW_OVERHEAD_BYTES {
            return None;
        }
        self.rows.custody.rows().open(table, key, &sealed).ok()
    }
}
