//! CreateAlias, UpdateAlias, DeleteAlias, ListAliases.

use std::sync::Arc;

use strongroom_audit::Params;
use strongroom_policy::Conditions;
use strongroom_ports::{Row, RowVersion, Table, Transaction};
use strongroom_types::kms::{AliasArn, AliasName, KeyArn, KeyId};
use strongroom_types::{AccountId, RequestContext, Timestamp};

use crate::access::{Ask, Named, alias_not_found};
use crate::cache::OpenedKey;
use crate::key::Key;
use crate::managed::MANAGED_SERVICES;
use crate::markers::page_size;
use crate::operation::Operation;
use crate::rows::{AliasRow, KeyAliasRow};
use crate::service::damaged;
use crate::trail::Asked;
use crate::{
    AliasEntry, CreateAliasInput, DeleteAliasInput, KeyService, KmsError, ListAliasesInput, Page,
    UpdateAliasInput, keys, states,
};
use strongroom_rows::until_undisturbed;

/// Aliases of one key (Developer Guide, "Quotas").
const ALIASES_PER_KEY_MAX: usize = 50;

/// An alias that exists.
struct Found {
    row: AliasRow,
    version: RowVersion,
}

impl Found {
    fn key(&self) -> KeyId {
        KeyId::from_bytes(self.row.key)
    }
}

impl KeyService {
    /// CreateAlias. A name that exists is refused, whatever it points to.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn create_alias(
        &self,
        caller: &RequestContext,
        input: CreateAliasInput,
    ) -> Result<(), KmsError> {
        let operation = Operation::CreateAlias;
        let alias = self.own_alias(caller, &input.alias_name, operation)?;
        let target = self.target(caller, &input.target_key_id, operation)?;
        let asked = Asked::of(
            caller,
            operation,
            &target.arn,
            alias_params(&input.alias_name, Some(&input.target_key_id)),
        )
        .alias(&alias);
        until_undisturbed(|| {
            self.authorize_alias(caller, operation, &alias)?;
            let opened = self.admit_named(caller, &target, &Ask::plain(operation))?;
            let found = self.find_alias(&alias)?;
            // One of a key that is gone is gone, though its row may still be there.
            let gone = match &found {
                Some(found) => self.is_gone(&alias, &found.row)?,
                None => true,
            };
            if !gone {
                return Err(KmsError::AlreadyExists(format!(
                    "An alias with the name {alias} already exists"
                )));
            }
            self.check_alias_quota(&opened.key.arn)?;
            let now = self.now().as_millis();
            let row = AliasRow {
                key: *opened.key.arn.id.as_bytes(),
                created_millis: now,
                updated_millis: now,
            };
            let mut transaction = expect_key(Transaction::new(), &opened).expect(
                Table::KMS_ALIASES,
                self.alias_row_key(&alias),
                found.as_ref().map(|found| found.version),
            );
            if let Some(found) = &found {
                let row_key = keys::key_alias(found.key(), &alias.name);
                transaction = transaction.delete(Table::KMS_KEY_ALIASES, row_key);
            }
            let transaction = self.put_alias(transaction, alias.account, &alias.name, &row)?;
            self.commit(transaction, &self.told(&asked), &[])
        })
    }

    /// UpdateAlias: points an alias to another key of the same kind and usage.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn update_alias(
        &self,
        caller: &RequestContext,
        input: UpdateAliasInput,
    ) -> Result<(), KmsError> {
        let operation = Operation::UpdateAlias;
        let alias = self.own_alias(caller, &input.alias_name, operation)?;
        let target = self.target(caller, &input.target_key_id, operation)?;
        let asked = Asked::of(
            caller,
            operation,
            &target.arn,
            alias_params(&input.alias_name, Some(&input.target_key_id)),
        )
        .alias(&alias);
        until_undisturbed(|| {
            self.authorize_alias(caller, operation, &alias)?;
            let found = self.living_alias(&alias)?;
            let opened = self.admit_named(caller, &target, &Ask::plain(operation))?;
            let key = &opened.key;
            if let Some(old) = self.present_target(caller, &alias, &found, operation)?
                && (kind(&old.key) != kind(key) || old.key.usage != key.usage)
            {
                return Err(KmsError::Validation(format!(
                    "Alias {alias} cannot be changed to a key of a different type or key usage."
                )));
            }
            let moves = found.key() != key.arn.id;
            if moves {
                self.check_alias_quota(&key.arn)?;
            }
            let row = AliasRow {
                key: *key.arn.id.as_bytes(),
                created_millis: found.row.created_millis,
                updated_millis: self.now().as_millis(),
            };
            let mut transaction = expect_key(Transaction::new(), &opened).expect(
                Table::KMS_ALIASES,
                self.alias_row_key(&alias),
                Some(found.version),
            );
            if moves {
                let row_key = keys::key_alias(found.key(), &alias.name);
                transaction = transaction.delete(Table::KMS_KEY_ALIASES, row_key);
            }
            let transaction = self.put_alias(transaction, alias.account, &alias.name, &row)?;
            self.commit(transaction, &self.told(&asked), &[])
        })
    }

    /// DeleteAlias, in whatever state its key is.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn delete_alias(
        &self,
        caller: &RequestContext,
        input: DeleteAliasInput,
    ) -> Result<(), KmsError> {
        let operation = Operation::DeleteAlias;
        let alias = self.own_alias(caller, &input.alias_name, operation)?;
        until_undisturbed(|| {
            self.authorize_alias(caller, operation, &alias)?;
            let found = self.living_alias(&alias)?;
            self.present_target(caller, &alias, &found, operation)?;
            let arn = self.arn(alias.account, found.key());
            let params = alias_params(&input.alias_name, None);
            let asked = Asked::of(caller, operation, &arn, params).alias(&alias);
            let row_key = self.alias_row_key(&alias);
            let transaction = Transaction::new()
                .taking_away()
                .expect(Table::KMS_ALIASES, row_key.clone(), Some(found.version))
                .delete(Table::KMS_ALIASES, row_key)
                .delete(
                    Table::KMS_KEY_ALIASES,
                    keys::key_alias(found.key(), &alias.name),
                );
            self.commit(transaction, &self.told(&asked), &[])
        })
    }

    /// ListAliases, in the order of their names: of the account, with those of AWS managed keys that
    /// are not there yet, or of one key.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn list_aliases(
        &self,
        caller: &RequestContext,
        input: ListAliasesInput,
    ) -> Result<Page<AliasEntry>, KmsError> {
        let action = Operation::ListAliases.action();
        let account = self.authorize_service(caller, action, Conditions::default())?;
        let limit = page_size(input.limit, 50, 100);
        let marker = input.marker.as_deref();
        match &input.key_id {
            Some(key_id) => {
                let named = self.resolve(caller, key_id, Operation::ListAliases)?;
                let ask = Ask::plain(Operation::ListAliases);
                let opened = self.admit_named(caller, &named, &ask)?;
                self.aliases_of_key(&opened.key.arn, limit, marker)
            }
            None => self.aliases_of_account(account, limit, marker),
        }
    }

    fn aliases_of_account(
        &self,
        account: AccountId,
        limit: usize,
        marker: Option<&str>,
    ) -> Result<Page<AliasEntry>, KmsError> {
        let listing = format!("ListAliases {account}");
        let markers = &self.shared.markers;
        let last = markers.open(listing.as_bytes(), marker)?;
        let (first, end) = keys::aliases_of(account, &self.options.region);
        let mut start = last
            .as_ref()
            .map_or(first.clone(), |last| keys::behind(last).max(first));
        let mut entries = Vec::new();
        // One more than is shown, to know whether there is more.
        while entries.len() <= limit {
            let (page, more) = self.ports.rows.scan::<AliasRow>(
                Table::KMS_ALIASES,
                (start.clone(), end.clone()),
                limit + 1 - entries.len(),
            )?;
            let next = page.last().map(|(row, _)| keys::behind(&row.key));
            for (row, record) in page {
                let name = keys::parse_alias(&row.key).ok_or_else(damaged)?;
                if !self.is_gone(&self.alias_arn(account, name.clone()), &record)? {
                    entries.push(self.entry(account, name, Some(&record)));
                }
            }
            match next {
                Some(next) if more => start = next,
                _ => break,
            }
        }
        for name in MANAGED_SERVICES.iter().filter_map(|it| it.alias()) {
            let row_key = keys::alias(account, &self.options.region, &name);
            let shown_before = last.as_ref().is_some_and(|last| row_key <= *last);
            if !shown_before
                && self
                    .read::<AliasRow>(Table::KMS_ALIASES, &row_key)?
                    .is_none()
            {
                entries.push(self.entry(account, name, None));
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next_marker = entries.last().filter(|_| more).map(|entry| {
            let row_key = keys::alias(account, &self.options.region, &entry.name);
            markers.seal(listing.as_bytes(), &row_key)
        });
        Ok(Page {
            entries,
            next_marker,
        })
    }

    fn aliases_of_key(
        &self,
        arn: &KeyArn,
        limit: usize,
        marker: Option<&str>,
    ) -> Result<Page<AliasEntry>, KmsError> {
        let listing = format!("ListAliases {arn}");
        let markers = &self.shared.markers;
        let range = markers.resume(listing.as_bytes(), marker, keys::aliases_of_key(arn.id))?;
        let (page, more) =
            self.ports
                .rows
                .scan::<KeyAliasRow>(Table::KMS_KEY_ALIASES, range, limit)?;
        let next_marker = page
            .last()
            .filter(|_| more)
            .map(|(row, _)| markers.seal(listing.as_bytes(), &row.key));
        let mut entries = Vec::new();
        for (row, _) in page {
            let name = keys::parse_key_alias(&row.key).ok_or_else(damaged)?;
            let row_key = keys::alias(arn.account, &arn.region, &name);
            // It may just have been pointed elsewhere.
            if let Some((record, _)) = self.read::<AliasRow>(Table::KMS_ALIASES, &row_key)?
                && record.key == *arn.id.as_bytes()
            {
                entries.push(self.entry(arn.account, name, Some(&record)));
            }
        }
        Ok(Page {
            entries,
            next_marker,
        })
    }

    fn entry(&self, account: AccountId, name: AliasName, row: Option<&AliasRow>) -> AliasEntry {
        AliasEntry {
            arn: self.alias_arn(account, name.clone()),
            name,
            target_key_id: row.map(|row| KeyId::from_bytes(row.key)),
            creation_date: row.map(|row| Timestamp::from_millis(row.created_millis)),
            last_updated_date: row.map(|row| Timestamp::from_millis(row.updated_millis)),
        }
    }

    /// The alias that a request names, in the caller's account.
    fn own_alias(
        &self,
        caller: &RequestContext,
        name: &str,
        operation: Operation,
    ) -> Result<AliasArn, KmsError> {
        let account = Self::account_of(caller, operation.action())?;
        Ok(self.alias_arn(account, parse_name(name)?))
    }

    /// The key that an alias shall point to.
    fn target(
        &self,
        caller: &RequestContext,
        key_id: &str,
        operation: Operation,
    ) -> Result<Named, KmsError> {
        if key_id.starts_with("alias/") || key_id.contains(":alias/") {
            return Err(KmsError::Validation(
                "Aliases must refer to keys. Not aliases".to_owned(),
            ));
        }
        self.resolve(caller, key_id, operation)
    }

    /// The key that an alias points to now, if it is still there: the caller must be allowed to take
    /// the alias from it.
    fn present_target(
        &self,
        caller: &RequestContext,
        alias: &AliasArn,
        found: &Found,
        operation: Operation,
    ) -> Result<Option<Arc<OpenedKey>>, KmsError> {
        let arn = self.arn(alias.account, found.key());
        let gone = states::does_not_exist(&arn);
        match self.authorize_key(caller, &arn.into(), &Ask::plain(operation)) {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if error == gone => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names of a key's aliases.
    ///
    /// # Errors
    ///
    /// [`KmsError::NotInMemory`] where only memory may be asked.
    pub(crate) fn alias_names(&self, key: KeyId) -> Result<Vec<AliasName>, KmsError> {
        let (page, _) = self.ports.rows.scan::<KeyAliasRow>(
            Table::KMS_KEY_ALIASES,
            keys::aliases_of_key(key),
            ALIASES_PER_KEY_MAX,
        )?;
        let name = |(row, _): (Row, KeyAliasRow)| keys::parse_key_alias(&row.key);
        page.into_iter()
            .map(|row| name(row).ok_or_else(damaged))
            .collect()
    }

    /// Whether the key of an alias is gone, or past its date.
    fn is_gone(&self, alias: &AliasArn, row: &AliasRow) -> Result<bool, KmsError> {
        let arn = self.arn(alias.account, KeyId::from_bytes(row.key));
        let now = self.now();
        let opened = match self.opened_key(&arn) {
            // It is there; who uses it is told.
            Err(KmsError::Damaged) => return Ok(false),
            opened => opened?,
        };
        Ok(opened.is_none_or(|opened| opened.key.state(now).is_none()))
    }

    fn find_alias(&self, alias: &AliasArn) -> Result<Option<Found>, KmsError> {
        let found = self.read::<AliasRow>(Table::KMS_ALIASES, &self.alias_row_key(alias))?;
        Ok(found.map(|(row, version)| Found { row, version }))
    }

    /// As [`KeyService::find_alias`]; one of a key that is gone is gone, too.
    fn living_alias(&self, alias: &AliasArn) -> Result<Found, KmsError> {
        match self.find_alias(alias)? {
            Some(found) if !self.is_gone(alias, &found.row)? => Ok(found),
            Some(_) | None => Err(alias_not_found(alias)),
        }
    }

    fn alias_row_key(&self, alias: &AliasArn) -> bytes::Bytes {
        keys::alias(alias.account, &self.options.region, &alias.name)
    }

    fn check_alias_quota(&self, arn: &KeyArn) -> Result<(), KmsError> {
        let (page, _) = self.ports.rows.scan::<KeyAliasRow>(
            Table::KMS_KEY_ALIASES,
            keys::aliases_of_key(arn.id),
            ALIASES_PER_KEY_MAX,
        )?;
        if page.len() < ALIASES_PER_KEY_MAX {
            return Ok(());
        }
        Err(KmsError::LimitExceeded(format!(
            "Key {arn} has the most aliases that a key may have, {ALIASES_PER_KEY_MAX}."
        )))
    }
}

/// What records tell of a request about an alias.
fn alias_params(name: &str, target: Option<&str>) -> Params {
    Params::new()
        .text("aliasName", name)
        .optional("targetKeyId", target)
}

/// Requires that the key is still as it was when its state was checked.
fn expect_key(transaction: Transaction, opened: &OpenedKey) -> Transaction {
    transaction.expect(
        Table::KMS_KEYS,
        keys::key(&opened.key.arn),
        Some(opened.version),
    )
}

/// Symmetric, HMAC or asymmetric.
fn kind(key: &Key) -> (bool, bool) {
    (key.spec.is_asymmetric(), key.spec.mac_algorithm().is_some())
}

/// The name of an alias that a customer may make.
fn parse_name(text: &str) -> Result<AliasName, KmsError> {
    let Some(rest) = text.strip_prefix("alias/") else {
        return Err(KmsError::Validation(
            "Alias must start with the prefix \"alias/\". Please see \
             https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
                .to_owned(),
        ));
    };
    if rest.contains(':') {
        return Err(KmsError::InvalidAliasName(format!(
            "{text} contains invalid characters for an alias"
        )));
    }
    let name = AliasName::parse(text).ok_or_else(|| {
        KmsError::Validation(format!(
            "1 validation error detected: Value '{text}' at 'aliasName' failed to satisfy \
             constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"
        ))
    })?;
    if name.is_reserved() {
        return Err(KmsError::NotAuthorized(format!(
            "{text} is reserved: aliases that begin with alias/aws/ belong to AWS managed keys."
        )));
    }
    Ok(name)
}
