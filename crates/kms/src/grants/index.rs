//! Which grants of a key a grantee has: a decision reads these and no others.
//!
//! ```text
//! KMS_RETIRABLE_GRANTS  0x01 || key id(16) || SHA-256(grantee)(32) || BE32(n)   the n-th page of ids
//! ```
//!
//! The grantee is a unique id, the digits of an account, or a federated user's ARN. Pages are found by
//! their number and not by a scan, so that a decision that knows them from memory waits for nothing.

use bytes::Bytes;
use minicbor::{Decode, Encode};
use strongroom_policy::key_policy::account_named;
use strongroom_ports::{RowVersion, Table, Transaction};
use strongroom_rows::Record;
use strongroom_types::kms::KeyId;
use strongroom_types::{Principal, RequestContext, SessionKind};

use super::record::{GrantId, principal_hash};
use crate::{KeyService, KmsError, keys};

const TABLE: Table = Table::KMS_RETIRABLE_GRANTS;
const BY_GRANTEE: u8 = 1;
/// Ids on one page: 8 KiB.
const PAGE_IDS: usize = 256;

/// A page of the ids of a grantee's grants.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct GranteePageRow {
    /// 32 bytes each.
    #[cbor(n(0), with = "minicbor::bytes")]
    ids: Vec<u8>,
}

impl Record for GranteePageRow {
    const KIND: u8 = 0x1d;
}

impl GranteePageRow {
    fn ids(&self) -> impl Iterator<Item = GrantId> {
        let (ids, _) = self.ids.as_chunks::<32>();
        ids.iter().map(|id| GrantId(*id))
    }

    fn with(mut self, id: GrantId) -> Self {
        self.ids.extend_from_slice(&id.0);
        self
    }

    fn without(&self, id: GrantId) -> Self {
        let left = self.ids().filter(|it| *it != id);
        Self {
            ids: left.flat_map(|it| it.0).collect(),
        }
    }

    fn is_full(&self) -> bool {
        self.ids.len() >= PAGE_IDS * 32
    }
}

/// By what the index knows a principal that grants mean.
pub(super) fn grantee_name(meant: &str) -> String {
    account_named(meant).map_or_else(|| meant.to_owned(), |account| account.to_string())
}

/// By what grants can mean the caller.
pub(super) fn names_of(context: &RequestContext) -> Vec<String> {
    let own = match &context.principal {
        Principal::User { user_id, .. } => vec![user_id.to_string()],
        Principal::RoleSession {
            role_id,
            session_name,
            ..
        } => vec![role_id.to_string(), format!("{role_id}:{session_name}")],
        Principal::Federated { .. } => {
            let federator = match context.session.as_deref().map(|it| &it.kind) {
                Some(SessionKind::Federated { issuer_id }) => Some(issuer_id.clone()),
                Some(SessionKind::Token | SessionKind::Role | SessionKind::WebIdentity) | None => {
                    None
                }
            };
            let arn = context.principal.arn();
            std::iter::once(arn).chain(federator).collect()
        }
        Principal::Root { .. } => Vec::new(),
        Principal::Service { .. } | Principal::Anonymous => return Vec::new(),
    };
    let account = context.principal.account().map(|it| it.to_string());
    own.into_iter().chain(account).collect()
}

/// The pages of all grantees of a key.
pub(crate) fn pages_of(key: KeyId) -> keys::Range {
    keys::prefix([&[BY_GRANTEE][..], key.as_bytes()].concat())
}

fn page_key(key: KeyId, grantee: &str, page: u32) -> Bytes {
    let hash = principal_hash(grantee);
    let parts: [&[u8]; 4] = [&[BY_GRANTEE], key.as_bytes(), &hash, &page.to_be_bytes()];
    parts.concat().into()
}

type Page = (GranteePageRow, RowVersion);

impl KeyService {
    /// The grants of `key` that mean the grantee.
    pub(super) fn grants_meaning(
        &self,
        key: KeyId,
        grantee: &str,
    ) -> Result<Vec<GrantId>, KmsError> {
        let mut ids = Vec::new();
        for page in 0.. {
            let Some((row, _)) = self.grantee_page(key, grantee, page)? else {
                break;
            };
            ids.extend(row.ids());
        }
        Ok(ids)
    }

    /// Adds a grant to those of its grantee.
    pub(super) fn put_grantee(
        &self,
        transaction: Transaction,
        key: KeyId,
        meant: &str,
        id: GrantId,
    ) -> Result<Transaction, KmsError> {
        let grantee = grantee_name(meant);
        let mut transaction = transaction;
        let mut page = 0;
        let mut before = None;
        let found = loop {
            match self.grantee_page(key, &grantee, page)? {
                Some((row, version)) if row.is_full() => {
                    before = Some((page_key(key, &grantee, page), version));
                    page += 1;
                }
                found => break found,
            }
        };
        // There is no page without the one before.
        if let Some((before, version)) = before {
            transaction = transaction.expect(TABLE, before, Some(version));
        }
        let row_key = page_key(key, &grantee, page);
        let (row, version) = match found {
            Some((row, version)) => (row, Some(version)),
            None => (GranteePageRow { ids: Vec::new() }, None),
        };
        let transaction = transaction.expect(TABLE, row_key.clone(), version);
        self.put(transaction, TABLE, row_key, &row.with(id))
    }

    /// Takes a grant from those of its grantee. A page that is empty stays until it is the last.
    pub(super) fn remove_grantee(
        &self,
        transaction: Transaction,
        key: KeyId,
        meant: &str,
        id: GrantId,
    ) -> Result<Transaction, KmsError> {
        let grantee = grantee_name(meant);
        for page in 0.. {
            let Some((row, version)) = self.grantee_page(key, &grantee, page)? else {
                break;
            };
            if !row.ids().any(|it| it == id) {
                continue;
            }
            let left = row.without(id);
            let row_key = page_key(key, &grantee, page);
            let transaction = transaction.expect(TABLE, row_key.clone(), Some(version));
            let is_last = self.grantee_page(key, &grantee, page + 1)?.is_none();
            if left.ids.is_empty() && is_last {
                let behind = page_key(key, &grantee, page + 1);
                return Ok(transaction
                    .expect(TABLE, behind, None)
                    .delete(TABLE, row_key));
            }
            return self.put(transaction, TABLE, row_key, &left);
        }
        Ok(transaction)
    }

    fn grantee_page(&self, key: KeyId, grantee: &str, page: u32) -> Result<Option<Page>, KmsError> {
        self.read::<GranteePageRow>(TABLE, &page_key(key, grantee, page))
    }
}
