//! How things stand with a key, for the operator: read from its rows, so that it can be told while
//! no server runs. Asks for no authorization, and nothing of it is secret.

use bytes::Bytes;
use strongroom_ports::{Scan, Table};
use strongroom_rows::{RowError, SealedRows};
use strongroom_types::kms::{
    AliasName, KeyArn, KeyId, KeyIdentifier, KeyManager, KeyMaterialId, KeyOrigin, KeyState,
};
use strongroom_types::{AccountId, Region, RequestId, Timestamp};

use crate::key::{Key, Lifecycle};
use crate::rows::{AliasRow, KeyAliasRow, KeyRow, LastUsageRow};
use crate::{KeyLastUsage, KeyService, KmsError, keys};

/// Rows read at once.
const PAGE_ROWS: usize = 1000;

/// A key, and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStanding {
    /// The key.
    pub arn: KeyArn,
    /// Its state.
    pub state: KeyState,
    /// Who manages it.
    pub manager: KeyManager,
    /// Where its material comes from.
    pub origin: KeyOrigin,
    /// When it will be deleted, if that is decided.
    pub deletion: Option<Timestamp>,
    /// When the first of its imported materials expires, if one does.
    pub valid_to: Option<Timestamp>,
    /// Its materials, the oldest first.
    pub materials: Vec<MaterialStanding>,
    /// Its aliases.
    pub aliases: Vec<AliasName>,
    /// How many grants it has.
    pub grants: u64,
    /// Its last use, as far as it is known.
    pub last_use: Option<KeyLastUsage>,
}

/// One material of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaterialStanding {
    /// Its id, which ciphertexts name.
    pub id: KeyMaterialId,
    /// When it was made or imported.
    pub created: Timestamp,
    /// It is the one that encrypts.
    pub current: bool,
    /// It can be used: imported material may have been deleted, or have expired.
    pub available: bool,
}

impl KeyStanding {
    /// The key that the operator means: its id, its ARN, its alias or the alias's ARN; without an
    /// account, in the `home` account. Whether there is such a key is not asked where the name says
    /// which it is.
    ///
    /// # Errors
    ///
    /// [`KmsError::NotFound`] for what names no key; [`KmsError::Unavailable`].
    pub fn named(
        rows: &SealedRows,
        (account, region): (AccountId, &Region),
        text: &str,
    ) -> Result<KeyArn, KmsError> {
        let of_alias = |account: AccountId, region: &Region, name: &AliasName| {
            let row_key = keys::alias(account, region, name);
            match rows.read::<AliasRow>(Table::KMS_ALIASES, &row_key)? {
                Some((row, _)) => Ok(arn(account, region, KeyId::from_bytes(row.key))),
                None => Err(KmsError::NotFound(format!("Alias {name} is not found."))),
            }
        };
        match KeyIdentifier::parse(text) {
            Ok(KeyIdentifier::Id(id)) => Ok(arn(account, region, id)),
            Ok(KeyIdentifier::Arn(arn)) => Ok(arn),
            Ok(KeyIdentifier::Alias(name)) => of_alias(account, region, &name),
            Ok(KeyIdentifier::AliasArn(it)) => of_alias(it.account, &it.region, &it.name),
            Err(error) => Err(KmsError::NotFound(error.to_string())),
        }
    }

    /// How things stand with a key at `now`; `None` if there is none any more. Blocks.
    ///
    /// # Errors
    ///
    /// [`KmsError::Damaged`], [`KmsError::Unavailable`].
    pub fn read(rows: &SealedRows, arn: &KeyArn, now: Timestamp) -> Result<Option<Self>, KmsError> {
        let found = rows.read::<KeyRow>(Table::KMS_KEYS, &keys::key(arn))?;
        let Some((row, _)) = found else {
            return Ok(None);
        };
        let key = Key::from_row(arn.clone(), row).ok_or(KmsError::Damaged)?;
        let Some(state) = key.state(now) else {
            return Ok(None);
        };
        let last_use = rows
            .read::<LastUsageRow>(Table::KMS_LAST_USAGE, &keys::last_usage(arn.id))?
            .map(|(row, _)| KeyLastUsage {
                operation: row.operation,
                timestamp: Timestamp::from_millis(row.at_millis),
                request_id: Some(RequestId::from_bytes(row.request_id)),
            });
        let material = |material: &crate::key::KeyMaterial| MaterialStanding {
            id: material.id,
            created: material.created,
            current: key.current == Some(material.id),
            available: material.is_available(now),
        };
        Ok(Some(Self {
            state,
            manager: key.manager,
            origin: key.origin,
            deletion: match key.lifecycle {
                Lifecycle::PendingDeletion { until } => Some(until),
                Lifecycle::Enabled | Lifecycle::Disabled | Lifecycle::Destroying => None,
            },
            valid_to: key.valid_to(),
            materials: key.materials.iter().map(material).collect(),
            aliases: Self::aliases(rows, arn)?,
            grants: count(rows, Table::KMS_GRANTS, keys::grants_of(arn.id))?,
            last_use,
            arn: key.arn,
        }))
    }
}

impl KeyStanding {
    /// The aliases of a key: at most 50. Blocks.
    ///
    /// # Errors
    ///
    /// [`KmsError::Damaged`], [`KmsError::Unavailable`].
    pub fn aliases(rows: &SealedRows, arn: &KeyArn) -> Result<Vec<AliasName>, KmsError> {
        let range = keys::aliases_of_key(arn.id);
        let (page, _) = rows.scan::<KeyAliasRow>(Table::KMS_KEY_ALIASES, range, PAGE_ROWS)?;
        let names = page.iter();
        Ok(names
            .filter_map(|(row, _)| keys::parse_key_alias(&row.key))
            .collect())
    }
}

impl KeyService {
    /// How things stand with a key now, with uses that no row remembers yet. Blocks.
    ///
    /// # Errors
    ///
    /// [`KmsError::Damaged`], [`KmsError::Unavailable`].
    pub fn standing_of(&self, arn: &KeyArn) -> Result<Option<KeyStanding>, KmsError> {
        let standing = KeyStanding::read(&self.ports.rows, arn, self.now())?;
        let Some(standing) = standing else {
            return Ok(None);
        };
        let last_use = self.last_use(arn.id)?.map(|last| KeyLastUsage {
            operation: last.operation,
            timestamp: last.at,
            request_id: Some(RequestId::from_bytes(last.request_id)),
        });
        Ok(Some(KeyStanding {
            last_use,
            ..standing
        }))
    }
}

/// How many rows there are, none of which is opened.
fn count(rows: &SealedRows, table: Table, (start, end): keys::Range) -> Result<u64, KmsError> {
    let mut start: Bytes = start;
    let mut count = 0_u64;
    loop {
        let page = rows.meta.scan(&Scan {
            table,
            start,
            end: end.clone(),
            limit: PAGE_ROWS,
            reverse: false,
        });
        let page = page.map_err(RowError::from)?;
        count = count.saturating_add(u64::try_from(page.rows.len()).unwrap_or(u64::MAX));
        match page.rows.last() {
            Some(last) if page.more => start = keys::behind(&last.key),
            _ => return Ok(count),
        }
    }
}

fn arn(account: AccountId, region: &Region, id: KeyId) -> KeyArn {
    KeyArn {
        region: region.clone(),
        account,
        id,
    }
}
