//! CreateGrant, ListGrants, ListRetirableGrants, RetireGrant, RevokeGrant.

use bytes::Bytes;
use strongroom_audit::Params;
use strongroom_policy::Conditions;
use strongroom_policy::key_policy::account_named;
use strongroom_ports::{RowVersion, Table, Transaction};
use strongroom_types::kms::{EncryptionContext, KeyArn, KeyId};
use strongroom_types::{RequestContext, Timestamp};

use super::index;
use super::record::{self, GrantCountRow, GrantId};
use super::rules;
use super::token::{self, GrantToken};
use crate::access::Ask;
use crate::markers::page_size;
use crate::operation::Operation;
use crate::rows::{GrantRow, RetirableGrantRow};
use crate::trail::{self, Asked};
use crate::{
    CreateGrantInput, CreateGrantOutput, GrantEntry, KeyService, KmsError, ListGrantsInput,
    ListRetirableGrantsInput, Page, RetireGrantInput, RevokeGrantInput, keys,
};
use strongroom_rows::until_undisturbed;

/// Most grants of a key (KMS Developer Guide, "Resource quotas").
const GRANTS_MAX: u32 = 50_000;
/// Rows that are read at a time.
const SCAN_ROWS: usize = 500;
const LIST_DEFAULT: u32 = 50;
const LIST_MAX: u32 = 100;

impl KeyService {
    /// Lets a principal use a key in given ways.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `CreateGrant` of the KMS API Reference.
    pub fn create_grant(
        &self,
        caller: &RequestContext,
        input: CreateGrantInput,
    ) -> Result<CreateGrantOutput, KmsError> {
        until_undisturbed(|| self.try_create_grant(caller, &input))
    }

    fn try_create_grant(
        &self,
        caller: &RequestContext,
        input: &CreateGrantInput,
    ) -> Result<CreateGrantOutput, KmsError> {
        let conditions = conditions_of(caller, input);
        let ask = Ask {
            conditions,
            grant_tokens: &input.grant_tokens,
            ..Ask::plain(Operation::CreateGrant)
        };
        let opened = self.admit(caller, &input.key_id, &ask)?;
        let key = &opened.key;
        let row = self.grant_row(caller, input, &key.arn)?;
        rules::check(input, key.spec, key.usage)?;
        if input.dry_run {
            return Err(KmsError::DryRun);
        }
        let now = Timestamp::from_millis(row.created_millis);
        let id = if input.name.is_some() {
            rules::named_id(key.arn.id, &row)
        } else {
            let mut id = [0; 32];
            self.ports.entropy.fill(&mut id);
            GrantId(id)
        };
        let row_key = keys::grant(key.arn.id, &id.0);
        let asked = asked_for_grant(caller, input, &key.arn, id);
        if self
            .read::<GrantRow>(Table::KMS_GRANTS, &row_key)?
            .is_none()
        {
            let (mut count, count_version) = self.grant_count(key.arn.id)?;
            if count.grants >= GRANTS_MAX {
                return Err(KmsError::LimitExceeded(format!(
                    "The quota of {GRANTS_MAX} grants of the KMS key {} has been reached.",
                    key.arn
                )));
            }
            // The key is still as it was admitted: no grant is left behind on one that is deleted.
            let mut transaction = Transaction::new()
                .expect(Table::KMS_KEYS, keys::key(&key.arn), Some(opened.version))
                .expect(Table::KMS_GRANTS, row_key.clone(), None);
            transaction = self.put(transaction, Table::KMS_GRANTS, row_key, &row)?;
            if count.grants == 0 {
                count.indexed = Some(true);
            }
            if count.indexed == Some(true) {
                transaction = self.put_grantee(transaction, key.arn.id, row.grantee_meant(), id)?;
            }
            count.grants += 1;
            transaction = self.put_count(transaction, key.arn.id, count, count_version)?;
            if let Some(retiring) = row.retiring_meant() {
                let retirable = RetirableGrantRow {
                    principal: retiring.to_owned(),
                };
                let retirable_key = record::retirable_key(&key.arn, retiring, id);
                transaction = self.put(
                    transaction,
                    Table::KMS_RETIRABLE_GRANTS,
                    retirable_key,
                    &retirable,
                )?;
            }
            self.commit(transaction, &self.told(&asked), &[])?;
        } else {
            self.note(&asked)?;
        }
        let token = GrantToken {
            key: key.arn.clone(),
            grant: id,
            expires: Timestamp::from_millis(now.as_millis() + token::TOKEN_LIFE_MILLIS),
        };
        Ok(CreateGrantOutput {
            grant_token: token.seal(self.ports.rows.custody.rows(), &*self.ports.entropy),
            grant_id: id.to_string(),
        })
    }

    /// The grants of a key.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `ListGrants` of the KMS API Reference.
    pub fn list_grants(
        &self,
        caller: &RequestContext,
        input: ListGrantsInput,
    ) -> Result<Page<GrantEntry>, KmsError> {
        let limit = page_size(input.limit, LIST_DEFAULT, LIST_MAX);
        let only = input.grant_id.as_deref().map(parse_id).transpose()?;
        let opened = self.admit(caller, &input.key_id, &ask(caller, Operation::ListGrants))?;
        let arn = &opened.key.arn;
        let grantee = input.grantee_principal.as_deref();
        let grantee = grantee
            .map(|name| self.meant_by(name))
            .transpose()?
            .map(|meant| index::grantee_name(&meant));
        let listing = format!("ListGrants {arn}").into_bytes();
        // One that is named is one row.
        let range = match only {
            Some(only) => keys::prefix(keys::grant(arn.id, &only.0).to_vec()),
            None => keys::grants_of(arn.id),
        };
        let marker = input.marker.as_deref();
        let (mut start, end) = self.shared.markers.resume(&listing, marker, range)?;
        let mut entries = Vec::new();
        let mut last: Option<Bytes> = None;
        loop {
            let (rows, more) = self.ports.rows.scan::<GrantRow>(
                Table::KMS_GRANTS,
                (start.clone(), end.clone()),
                SCAN_ROWS,
            )?;
            for (row, grant) in &rows {
                start = keys::behind(&row.key);
                let id = keys::parse_grant(&row.key)
                    .map(GrantId)
                    .ok_or(KmsError::Damaged)?;
                let asked_for = only.is_none_or(|only| only == id)
                    && grantee
                        .as_ref()
                        .is_none_or(|it| *it == index::grantee_name(grant.grantee_meant()));
                if asked_for {
                    if entries.len() == limit {
                        let next_marker =
                            last.map(|last| self.shared.markers.seal(&listing, &last));
                        return Ok(Page {
                            entries,
                            next_marker,
                        });
                    }
                    entries.push(grant.entry(arn, id, &*self.ports.principals)?);
                    last = Some(row.key.clone());
                }
            }
            if !more {
                return Ok(Page {
                    entries,
                    next_marker: None,
                });
            }
        }
    }

    /// The grants that a principal of the caller's account may retire.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `ListRetirableGrants` of the KMS API Reference.
    pub fn list_retirable_grants(
        &self,
        caller: &RequestContext,
        input: ListRetirableGrantsInput,
    ) -> Result<Page<GrantEntry>, KmsError> {
        let limit = page_size(input.limit, LIST_DEFAULT, LIST_MAX);
        let action = "kms:ListRetirableGrants";
        let account = self.authorize_service(caller, action, Conditions::default())?;
        let principal = &self.meant_by(&input.retiring_principal)?;
        let region = &self.options.region;
        let listing = format!("ListRetirableGrants {account} {principal}").into_bytes();
        let range = record::retirable_by(account, region, principal);
        let marker = input.marker.as_deref();
        let range = self.shared.markers.resume(&listing, marker, range)?;
        let (rows, more) =
            self.ports
                .rows
                .scan::<RetirableGrantRow>(Table::KMS_RETIRABLE_GRANTS, range, limit)?;
        let next = rows.last().filter(|_| more).map(|(row, _)| row.key.clone());
        let mut entries = Vec::with_capacity(rows.len());
        for (row, retirable) in rows {
            let (key, id) = record::of_retirable_row(&row.key).ok_or(KmsError::Damaged)?;
            let arn = KeyArn {
                region: region.clone(),
                account,
                id: key,
            };
            // A grant that went in between is no longer to be retired.
            let grant = self.read::<GrantRow>(Table::KMS_GRANTS, &keys::grant(key, &id.0))?;
            if let Some((grant, _)) = grant
                && retirable.principal == *principal
            {
                entries.push(grant.entry(&arn, id, &*self.ports.principals)?);
            }
        }
        Ok(Page {
            entries,
            next_marker: next.map(|last| self.shared.markers.seal(&listing, &last)),
        })
    }

    /// Removes a grant, at the wish of who may retire it.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `RetireGrant` of the KMS API Reference.
    pub fn retire_grant(
        &self,
        caller: &RequestContext,
        input: RetireGrantInput,
    ) -> Result<(), KmsError> {
        // The token is not told; what it stands for is.
        let params = Params::new()
            .optional("keyId", input.key_id.as_deref())
            .optional("grantId", input.grant_id.as_deref());
        let (key_id, id) = match (&input.grant_token, &input.key_id, &input.grant_id) {
            (Some(token), None, None) => {
                // A token names the grant for good; only using the key with it has a time.
                let token = GrantToken::open(token, self.ports.rows.custody.rows())?;
                (token.key.to_string(), token.grant)
            }
            (None, Some(key_id), Some(grant_id)) => (key_id.clone(), parse_id(grant_id)?),
            (Some(_) | None, _, _) => {
                return Err(KmsError::Validation(
                    "Specify either a grant token, or both a key ID and a grant ID.".to_owned(),
                ));
            }
        };
        until_undisturbed(|| {
            let operation = Operation::RetireGrant;
            self.remove_grant(caller, operation, &key_id, id, &params, input.dry_run)
        })
    }

    /// Removes a grant, at the wish of who governs the key.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `RevokeGrant` of the KMS API Reference.
    pub fn revoke_grant(
        &self,
        caller: &RequestContext,
        input: RevokeGrantInput,
    ) -> Result<(), KmsError> {
        let id = parse_id(&input.grant_id)?;
        let params = trail::key_id(&input.key_id).text("grantId", &input.grant_id);
        until_undisturbed(|| {
            self.remove_grant(
                caller,
                Operation::RevokeGrant,
                &input.key_id,
                id,
                &params,
                input.dry_run,
            )
        })
    }

    fn remove_grant(
        &self,
        caller: &RequestContext,
        operation: Operation,
        key_id: &str,
        id: GrantId,
        params: &Params,
        dry_run: bool,
    ) -> Result<(), KmsError> {
        let ask = if operation == Operation::RetireGrant {
            Ask {
                retired: Some(id),
                ..Ask::plain(operation)
            }
        } else {
            ask(caller, operation)
        };
        let opened = self.admit(caller, key_id, &ask)?;
        let arn = &opened.key.arn;
        let row_key = keys::grant(arn.id, &id.0);
        let (grant, version) = self
            .read::<GrantRow>(Table::KMS_GRANTS, &row_key)?
            .ok_or_else(|| KmsError::NotFound(format!("Grant ID {id} not found")))?;
        if dry_run {
            return Err(KmsError::DryRun);
        }
        let (mut count, count_version) = self.grant_count(arn.id)?;
        count.grants = count.grants.saturating_sub(1);
        let mut transaction = Transaction::new()
            .taking_away()
            .expect(Table::KMS_GRANTS, row_key.clone(), Some(version))
            .delete(Table::KMS_GRANTS, row_key);
        transaction = self.put_count(transaction, arn.id, count, count_version)?;
        transaction = self.remove_grantee(transaction, arn.id, grant.grantee_meant(), id)?;
        if let Some(retiring) = grant.retiring_meant() {
            let retirable_key = record::retirable_key(arn, retiring, id);
            transaction = transaction.delete(Table::KMS_RETIRABLE_GRANTS, retirable_key);
        }
        let asked = Asked::of(caller, operation, arn, params.clone())
            .knowing(Params::new().shown("grantId", &id));
        self.commit(transaction, &self.told(&asked), &[])
    }

    /// Checks tokens that come with a use of `key`: each must be one of this server, not older than
    /// its life, and name a grant that exists.
    ///
    /// # Errors
    ///
    /// `InvalidGrantTokenException`.
    pub(crate) fn check_grant_tokens(&self, tokens: &[String]) -> Result<(), KmsError> {
        for text in tokens {
            let token = GrantToken::open(text, self.ports.rows.custody.rows())?;
            let row_key = keys::grant(token.key.id, &token.grant.0);
            let exists = self
                .read::<GrantRow>(Table::KMS_GRANTS, &row_key)?
                .is_some();
            if !exists || self.now() >= token.expires {
                return Err(token::invalid_token());
            }
        }
        Ok(())
    }

    /// Whom a principal in a request means now, and if nobody, the text itself: so those who are
    /// gone can be asked for by their ids.
    fn meant_by(&self, principal: &str) -> Result<String, KmsError> {
        let pin = match account_named(principal) {
            Some(_) => None,
            None => self.ports.principals.pin(principal)?,
        };
        Ok(pin.unwrap_or_else(|| principal.to_owned()))
    }

    /// What stands for a principal of a grant, if not the text itself.
    ///
    /// # Errors
    ///
    /// [`KmsError::InvalidArn`] if there is no such principal: a grant to a name that somebody gets
    /// later would be a gift to a stranger.
    fn pin(&self, principal: &str) -> Result<Option<String>, KmsError> {
        if account_named(principal).is_some() {
            return Ok(None);
        }
        match self.ports.principals.pin(principal)? {
            Some(pin) if pin == principal => Ok(None),
            Some(pin) => Ok(Some(pin)),
            None => Err(KmsError::InvalidArn(format!(
                "ARN does not refer to a valid principal: {principal}"
            ))),
        }
    }

    fn grant_row(
        &self,
        caller: &RequestContext,
        input: &CreateGrantInput,
        key: &KeyArn,
    ) -> Result<GrantRow, KmsError> {
        let constraints = input.constraints.clone().unwrap_or_default();
        let issuing_account = caller.principal.account().unwrap_or(key.account);
        let mut operations = input.operations.clone();
        operations.sort_unstable();
        operations.dedup();
        let retiring_pin = match &input.retiring_principal {
            Some(retiring) => self.pin(retiring)?,
            None => None,
        };
        Ok(GrantRow {
            grantee: input.grantee_principal.clone(),
            retiring: input.retiring_principal.clone(),
            operations: operations.iter().map(|it| it.name().to_owned()).collect(),
            context_equals: constraints
                .encryption_context_equals
                .as_ref()
                .map(record::pairs_of),
            context_subset: constraints
                .encryption_context_subset
                .as_ref()
                .map(record::pairs_of),
            name: input.name.clone().unwrap_or_default(),
            created_millis: self.now().as_millis(),
            issuing_account: issuing_account.to_string(),
            key_account: key.account.to_string(),
            key_region: key.region.to_string(),
            grantee_pin: self.pin(&input.grantee_principal)?,
            retiring_pin,
        })
    }

    pub(crate) fn grant_count(
        &self,
        key: KeyId,
    ) -> Result<(GrantCountRow, Option<RowVersion>), KmsError> {
        const NONE: GrantCountRow = GrantCountRow {
            grants: 0,
            indexed: None,
        };
        let row_key = record::count_key(key);
        let found = self.read::<GrantCountRow>(Table::KMS_RETIRABLE_GRANTS, &row_key)?;
        Ok(found.map_or((NONE, None), |(row, version)| (row, Some(version))))
    }

    pub(crate) fn put_count(
        &self,
        transaction: Transaction,
        key: KeyId,
        count: GrantCountRow,
        was: Option<RowVersion>,
    ) -> Result<Transaction, KmsError> {
        let row_key = record::count_key(key);
        let table = Table::KMS_RETIRABLE_GRANTS;
        let transaction = transaction.expect(table, row_key.clone(), was);
        self.put(transaction, table, row_key, &count)
    }
}

/// The condition keys of CreateGrant (KMS Developer Guide, "Condition keys for AWS KMS").
fn conditions_of(caller: &RequestContext, input: &CreateGrantInput) -> Conditions {
    let operations = input.operations.iter().map(|it| it.name().to_owned());
    let mut conditions = grant_conditions(caller)
        .with_all("kms:GrantOperations", operations)
        .with("kms:GranteePrincipal", input.grantee_principal.clone());
    if let Some(retiring) = &input.retiring_principal {
        conditions = conditions.with("kms:RetiringPrincipal", retiring.clone());
    }
    let Some(constraints) = &input.constraints else {
        return conditions;
    };
    let equals = constraints.encryption_context_equals.as_ref();
    let subset = constraints.encryption_context_subset.as_ref();
    let kinds = [
        equals.map(|_| "EncryptionContextEquals".to_owned()),
        subset.map(|_| "EncryptionContextSubset".to_owned()),
    ];
    conditions = conditions.with_all("kms:GrantConstraintType", kinds.into_iter().flatten());
    [equals, subset]
        .into_iter()
        .flatten()
        .fold(conditions, Conditions::with_encryption_context)
}

/// Whether the grant is for a resource of an AWS service: where one calls on the user's behalf.
fn grant_conditions(caller: &RequestContext) -> Conditions {
    let for_service = caller.via_service.is_some();
    Conditions::default().with("kms:GrantIsForAWSResource", for_service.to_string())
}

fn ask(caller: &RequestContext, operation: Operation) -> Ask<'static> {
    Ask {
        conditions: grant_conditions(caller),
        ..Ask::plain(operation)
    }
}

/// What the record of a grant tells: everything but its token.
fn asked_for_grant<'a>(
    caller: &'a RequestContext,
    input: &CreateGrantInput,
    key: &KeyArn,
    id: GrantId,
) -> Asked<'a> {
    let mut params = trail::key_id(&input.key_id);
    if let Some(constraints) = &input.constraints {
        let pairs = |params: Params, name, context: &Option<EncryptionContext>| match context {
            Some(context) => {
                let pairs = context.pairs().iter();
                let shown = pairs.fold(Params::new(), |shown, (key, value)| shown.text(key, value));
                params.object(name, &shown)
            }
            None => params,
        };
        let shown = Params::new();
        let shown = pairs(
            shown,
            "encryptionContextSubset",
            &constraints.encryption_context_subset,
        );
        let shown = pairs(
            shown,
            "encryptionContextEquals",
            &constraints.encryption_context_equals,
        );
        params = params.object("constraints", &shown);
    }
    let params = params
        .list("operations", input.operations.iter().map(|it| it.name()))
        .text("granteePrincipal", &input.grantee_principal)
        .optional("retiringPrincipal", input.retiring_principal.as_deref())
        .optional("name", input.name.as_deref());
    let response = Params::new().shown("grantId", &id).shown("keyId", key);
    Asked::of(caller, Operation::CreateGrant, key, params).answering(response)
}

fn parse_id(text: &str) -> Result<GrantId, KmsError> {
    GrantId::parse(text)
        .ok_or_else(|| KmsError::InvalidGrantId(format!("Invalid grantId '{text}'")))
}
