//! What the rows of identities hold: versioned CBOR records, sealed row by row (FORMAT.md, 16).
//!
//! The records are also what is in memory: identities are read far more often than they change, and
//! a second shape of the same facts would be one more place to forget something.

use std::fmt;
use std::sync::Arc;

use minicbor::{Decode, Decoder, Encode, Encoder};
use strongroom_ports::Table;
use strongroom_rows::Record;
use zeroize::Zeroizing;

use crate::{Document, IamError, Tag};

macro_rules! records {
    ($($type:ident = $kind:literal in $table:ident),* $(,)?) => {$(
        impl Record for $type { const KIND: u8 = $kind; }
        impl Entity for $type { const TABLE: Table = Table::$table; fn id(&self) -> Vec<u8> { self.row_id() } }
    )*};
}

/// A record with a table of its own; its row's key is the account's id and this one's.
pub(crate) trait Entity: Record {
    const TABLE: Table;

    /// The part of the row's key behind the account.
    fn id(&self) -> Vec<u8>;
}

records!(
    AccountRow = 50 in IAM_ACCOUNTS,
    User = 51 in IAM_USERS,
    Group = 52 in IAM_GROUPS,
    Role = 53 in IAM_ROLES,
    Policy = 54 in IAM_POLICIES,
    PolicyVersion = 55 in IAM_POLICY_VERSIONS,
    AccessKey = 56 in IAM_ACCESS_KEYS,
    KeyUse = 57 in IAM_KEY_USES,
    OidcProvider = 59 in IAM_OIDC_PROVIDERS,
);

/// An account. It is written with every change of anything in it, so that its version is that of all.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct AccountRow {
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub canonical_id: String,
    #[n(2)]
    pub created_millis: u64,
    /// Counts changes.
    #[n(3)]
    pub generation: u64,
    /// Since when nobody of it may sign in.
    #[n(4)]
    pub disabled_millis: Option<u64>,
}

/// A user.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct User {
    #[n(0)]
    pub id: String,
    #[n(1)]
    pub name: String,
    #[n(2)]
    pub path: String,
    #[n(3)]
    pub created_millis: u64,
    /// ARN of the managed policy that bounds it.
    #[n(4)]
    pub boundary: Option<String>,
    #[n(5)]
    pub policies: Policies,
    /// Unique ids of its groups.
    #[n(6)]
    pub groups: Vec<String>,
    #[n(7)]
    pub tags: Vec<Tag>,
}

/// A group.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Group {
    #[n(0)]
    pub id: String,
    #[n(1)]
    pub name: String,
    #[n(2)]
    pub path: String,
    #[n(3)]
    pub created_millis: u64,
    #[n(4)]
    pub policies: Policies,
}

/// A role.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Role {
    #[n(0)]
    pub id: String,
    #[n(1)]
    pub name: String,
    #[n(2)]
    pub path: String,
    #[n(3)]
    pub created_millis: u64,
    #[n(4)]
    pub boundary: Option<String>,
    #[n(5)]
    pub policies: Policies,
    #[n(6)]
    pub tags: Vec<Tag>,
    #[n(7)]
    pub trust: Document,
    /// Who the users and roles were that the trust policy named when it was set.
    #[n(8)]
    pub trusted: Vec<Trusted>,
    #[n(9)]
    pub description: Option<String>,
    #[n(10)]
    pub max_session_seconds: u32,
}

/// An ARN in a trust policy, and the unique id that it meant.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Trusted {
    #[n(0)]
    pub arn: String,
    #[n(1)]
    pub id: String,
}

/// Policies of one identity.
#[derive(Clone, Debug, Default, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Policies {
    /// ARNs of managed policies, in the order in which they were attached.
    #[n(0)]
    pub attached: Vec<String>,
    /// Sorted by name.
    #[n(1)]
    pub inline: Vec<InlinePolicy>,
}

impl Policies {
    /// Refuses to delete an identity that still has policies.
    pub(crate) fn check_none(&self) -> Result<(), IamError> {
        let conflict = |text: &str| Err(IamError::DeleteConflict(text.to_owned()));
        if !self.attached.is_empty() {
            return conflict("Cannot delete entity, must detach all policies first.");
        }
        if !self.inline.is_empty() {
            return conflict("Cannot delete entity, must delete policies first.");
        }
        Ok(())
    }
}

/// A policy that belongs to one identity.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct InlinePolicy {
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub document: Document,
}

/// A managed policy.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Policy {
    #[n(0)]
    pub id: String,
    #[n(1)]
    pub name: String,
    #[n(2)]
    pub path: String,
    #[n(3)]
    pub created_millis: u64,
    #[n(4)]
    pub updated_millis: u64,
    #[n(5)]
    pub description: Option<String>,
    #[n(6)]
    pub default_version: u32,
    /// Numbers are never used again.
    #[n(7)]
    pub last_version: u32,
    #[n(8)]
    pub tags: Vec<Tag>,
}

/// A version of a managed policy.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct PolicyVersion {
    #[n(0)]
    pub policy_id: String,
    #[n(1)]
    pub number: u32,
    #[n(2)]
    pub created_millis: u64,
    #[n(3)]
    pub document: Document,
}

/// An access key.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct AccessKey {
    #[n(0)]
    pub id: String,
    /// The user's unique id; of the account's root user nothing.
    #[n(1)]
    pub user_id: String,
    #[n(2)]
    pub secret: Secret,
    #[n(3)]
    pub active: bool,
    #[n(4)]
    pub created_millis: u64,
}

/// The last use of an access key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct KeyUse {
    #[n(0)]
    pub key: String,
    #[n(1)]
    pub at_millis: u64,
    #[n(2)]
    pub service: String,
    #[n(3)]
    pub region: String,
}

/// An issuer of web identity tokens that an account trusts.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct OidcProvider {
    /// Without `https://`.
    #[n(0)]
    pub url: String,
    #[n(1)]
    pub client_ids: Vec<String>,
    /// In lower case.
    #[n(2)]
    pub thumbprints: Vec<String>,
    #[n(3)]
    pub created_millis: u64,
    #[n(4)]
    pub tags: Vec<Tag>,
}

/// A secret access key. Zeroed on drop, never printed. A clone is the same memory, not a copy of it.
/// It is compared with what is stored only, never with what somebody sent.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(Arc::new(Zeroizing::new(text)))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("REDACTED")
    }
}

impl<C> Encode<C> for Secret {
    fn encode<W: minicbor::encode::Write>(
        &self,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.str(&self.0).map(|_| ())
    }
}

impl<'b, C> Decode<'b, C> for Secret {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Ok(Self::new(decoder.str()?.to_owned()))
    }
}

impl AccountRow {
    fn row_id(&self) -> Vec<u8> {
        let Self { .. } = self;
        Vec::new()
    }
}

impl User {
    fn row_id(&self) -> Vec<u8> {
        self.id.clone().into()
    }
}

impl Group {
    fn row_id(&self) -> Vec<u8> {
        self.id.clone().into()
    }
}

impl Role {
    fn row_id(&self) -> Vec<u8> {
        self.id.clone().into()
    }
}

impl Policy {
    fn row_id(&self) -> Vec<u8> {
        self.id.clone().into()
    }
}

impl PolicyVersion {
    fn row_id(&self) -> Vec<u8> {
        [self.policy_id.as_bytes(), &self.number.to_be_bytes()].concat()
    }
}

impl AccessKey {
    fn row_id(&self) -> Vec<u8> {
        self.id.clone().into()
    }
}

impl OidcProvider {
    fn row_id(&self) -> Vec<u8> {
        self.url.clone().into()
    }
}

impl KeyUse {
    fn row_id(&self) -> Vec<u8> {
        self.key.clone().into()
    }
}
