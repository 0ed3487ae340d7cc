//! Grants: what they may say, how they are made and removed, and how decisions see them.
//!
//! A grant is in force from the commit that makes it to the one that removes it. What a grant allows
//! is the [`Authorizer`](strongroom_policy::Authorizer)'s business.

pub(crate) mod index;
mod operations;
pub(crate) mod record;
mod rules;
#[cfg(test)]
mod tests;
mod token;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use strongroom_policy::{Grant, GrantSource};
use strongroom_ports::Table;
use strongroom_types::RequestContext;
use strongroom_types::kms::{EncryptionContext, GrantOperation, KeyId};

use self::record::{GrantCountRow, GrantId};
use crate::rows::{GrantRow, PairRow};
use crate::service::damaged;
use crate::{KeyService, KmsError, keys};

/// Grants read at once.
const PAGE_ROWS: usize = 500;

/// The grants of one key, read if a decision asks.
pub(crate) struct StoredGrants<'a> {
    service: &'a KeyService,
    key: KeyId,
    /// The grant that shall be retired: then it is the only one that counts. With any other, a right
    /// to retire one would be a right to retire all.
    only: Option<GrantId>,
    /// Grants only allow, so a decision without them is safe. But it is no decision.
    failure: RefCell<Option<KmsError>>,
}

impl<'a> StoredGrants<'a> {
    pub(crate) fn of(service: &'a KeyService, key: KeyId, only: Option<GrantId>) -> Self {
        Self {
            service,
            key,
            only,
            failure: RefCell::default(),
        }
    }

    /// Why the grants could not be read, if they were asked for and could not.
    pub(crate) fn failure(&self) -> Option<KmsError> {
        self.failure.borrow().clone()
    }

    fn read(&self, context: &RequestContext) -> Result<Vec<Grant>, KmsError> {
        if let Some(only) = self.only {
            return Ok(self.one(only)?.into_iter().collect());
        }
        let count = self
            .service
            .read::<GrantCountRow>(Table::KMS_RETIRABLE_GRANTS, &record::count_key(self.key))?;
        let names = index::names_of(context);
        match count {
            None => Ok(Vec::new()),
            Some((count, _)) if count.grants == 0 => Ok(Vec::new()),
            Some((count, _)) if count.indexed == Some(true) => {
                let mut ids = BTreeSet::new();
                for name in &names {
                    ids.extend(self.service.grants_meaning(self.key, name)?);
                }
                let mut grants = Vec::with_capacity(ids.len());
                for id in ids {
                    // One that went in between allows nothing.
                    grants.extend(self.one(id)?);
                }
                Ok(grants)
            }
            Some(_) => self.search(&names),
        }
    }

    fn one(&self, id: GrantId) -> Result<Option<Grant>, KmsError> {
        let row_key = keys::grant(self.key, &id.0);
        let row = self.service.read::<GrantRow>(Table::KMS_GRANTS, &row_key)?;
        row.map(|(row, _)| grant(row).ok_or_else(damaged))
            .transpose()
    }

    /// Looks through all grants of a key that has some from before there was an index.
    fn search(&self, names: &[String]) -> Result<Vec<Grant>, KmsError> {
        let (mut start, end) = keys::grants_of(self.key);
        let mut grants = Vec::new();
        loop {
            let (page, more) = self.service.ports.rows.scan::<GrantRow>(
                Table::KMS_GRANTS,
                (start, end.clone()),
                PAGE_ROWS,
            )?;
            let last = page.last().map(|(row, _)| keys::behind(&row.key));
            for (_, row) in page {
                if names.contains(&index::grantee_name(row.grantee_meant())) {
                    grants.push(grant(row).ok_or_else(damaged)?);
                }
            }
            match last {
                Some(next) if more => start = next,
                _ => return Ok(grants),
            }
        }
    }
}

impl fmt::Debug for StoredGrants<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredGrants({})", self.key)
    }
}

impl GrantSource for StoredGrants<'_> {
    fn grants_for(&self, context: &RequestContext) -> Vec<Grant> {
        self.read(context).unwrap_or_else(|error| {
            self.failure.replace(Some(error));
            Vec::new()
        })
    }
}

fn grant(row: GrantRow) -> Option<Grant> {
    let operations = row.operations.iter();
    let context = |pairs: Option<Vec<PairRow>>| match pairs {
        None => Some(None),
        Some(pairs) => {
            let pairs = pairs.into_iter().map(|pair| (pair.key, pair.value));
            EncryptionContext::new(pairs.collect()).ok().map(Some)
        }
    };
    Some(Grant {
        grantee_principal: row.grantee_meant().to_owned(),
        retiring_principal: row.retiring_meant().map(str::to_owned),
        operations: operations
            .map(|name| GrantOperation::parse(name))
            .collect::<Option<_>>()?,
        context_equals: context(row.context_equals)?,
        context_subset: context(row.context_subset)?,
    })
}
