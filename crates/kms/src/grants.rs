//! Grants: what they may say, how they are made and removed, and how decisions see them.
//!
//! A grant is in force from the commit that makes it to the one that removes it. What a grant allows
//! is the [`Authorizer`](strongroom_policy::Authorizer)'s business.

mod operations;
pub(crate) mod record;
mod rules;
#[cfg(test)]
mod tests;
mod token;

use std::cell::RefCell;
use std::fmt;

use strongroom_policy::key_policy::account_named;
use strongroom_policy::{Grant, GrantSource};
use strongroom_ports::Table;
use strongroom_types::RequestContext;
use strongroom_types::kms::{EncryptionContext, GrantOperation, KeyId};

use crate::rows::{GrantRow, PairRow};
use crate::service::damaged;
use crate::{KeyService, KmsError, keys};

/// Grants read at once.
const PAGE_ROWS: usize = 500;

/// The grants of one key, read if a decision asks.
pub(crate) struct StoredGrants<'a> {
    service: &'a KeyService,
    key: KeyId,
    /// Grants only allow, so a decision without them is safe. But it is no decision.
    failure: RefCell<Option<KmsError>>,
}

impl<'a> StoredGrants<'a> {
    pub(crate) fn of(service: &'a KeyService, key: KeyId) -> Self {
        Self {
            service,
            key,
            failure: RefCell::default(),
        }
    }

    /// Why the grants could not be read, if they were asked for and could not.
    pub(crate) fn failure(&self) -> Option<KmsError> {
        self.failure.borrow().clone()
    }

    fn read(&self, context: &RequestContext) -> Result<Vec<Grant>, KmsError> {
        let principal = context.principal.arn();
        let account = context.principal.account();
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
                let concerns = |name: &String| {
                    *name == principal || (account.is_some() && account_named(name) == account)
                };
                if concerns(&row.grantee) || row.retiring.as_ref().is_some_and(concerns) {
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
        grantee_principal: row.grantee,
        retiring_principal: row.retiring,
        operations: operations
            .map(|name| GrantOperation::parse(name))
            .collect::<Option<_>>()?,
        context_equals: context(row.context_equals)?,
        context_subset: context(row.context_subset)?,
    })
}
