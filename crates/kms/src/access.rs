//! The one door: every operation on a key comes through here, in this order.
//!
//! ```text
//! resolve -> authorize -> usage -> state -> dry run -> (the operation)
//! ```
//!
//! Who may not use a key learns nothing of it: a key of another account that does not exist and one
//! that the caller may not use have the same answer.

use std::sync::Arc;

use strongroom_policy::{AccessRequest, Conditions, Resource};
use strongroom_ports::Table;
use strongroom_types::kms::{AliasArn, AliasName, KeyArn, KeyId, KeyIdentifier, KeyManager};
use strongroom_types::{AccountId, RequestContext};

use crate::cache::OpenedKey;
use crate::conditions::{Crypto, KeyConditions, Subject};
use crate::grants::StoredGrants;
use crate::grants::record::GrantId;
use crate::key::Key;
use crate::operation::Operation;
use crate::rows::AliasRow;
use crate::{KeyService, KmsError, keys, states};

/// Whether a key suits a request.
pub(crate) type Suits<'a> = dyn Fn(&Key) -> Result<(), KmsError> + 'a;

/// What an operation asks of a key.
pub(crate) struct Ask<'a> {
    pub operation: Operation,
    /// The request's own condition keys; those of [`KeyConditions`] are added here.
    pub conditions: Conditions,
    /// How the key's cipher is used, of operations that do.
    pub crypto: Option<Crypto<'a>>,
    pub dry_run: bool,
    /// Tokens of grants that may not be in effect everywhere yet. Here they always are, so that a
    /// token must only be good.
    pub grant_tokens: &'a [String],
    /// Whether the key suits the request otherwise; asked together with its usage.
    pub fits: Option<&'a Suits<'a>>,
    /// The grant that RetireGrant is about.
    pub retired: Option<GrantId>,
}

impl Ask<'static> {
    /// With nothing but the operation.
    pub(crate) fn plain(operation: Operation) -> Self {
        Self {
            operation,
            conditions: Conditions::default(),
            crypto: None,
            dry_run: false,
            grant_tokens: &[],
            fits: None,
            retired: None,
        }
    }
}

/// A key that a request means, existing or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub arn: KeyArn,
    /// The alias by which the request named it.
    pub alias: Option<AliasName>,
    /// Of an alias of another account, its ARN: the key's own would tell that the alias exists.
    foreign_alias: Option<String>,
}

impl Named {
    /// A key that is named by an alias of the caller's account.
    pub(crate) const fn by_alias(arn: KeyArn, alias: AliasName) -> Self {
        Self {
            arn,
            alias: Some(alias),
            foreign_alias: None,
        }
    }

    /// The key, if those may know it who may not use it: what another account's alias stands for is
    /// not told.
    pub(crate) fn told_key(&self) -> Option<&KeyArn> {
        self.foreign_alias.is_none().then_some(&self.arn)
    }

    /// The name that those are told who may not use the key.
    fn told(&self) -> String {
        let alias = self.foreign_alias.clone();
        alias.unwrap_or_else(|| self.arn.to_string())
    }
}

impl From<KeyArn> for Named {
    fn from(arn: KeyArn) -> Self {
        Self {
            arn,
            alias: None,
            foreign_alias: None,
        }
    }
}

impl KeyService {
    /// Everything that comes before the operation itself, for the key that `key_id` names.
    ///
    /// # Errors
    ///
    /// [`KmsError`]; [`KmsError::DryRun`] if nothing else stands in the way of a dry run.
    pub(crate) fn admit(
        &self,
        caller: &RequestContext,
        key_id: &str,
        ask: &Ask<'_>,
    ) -> Result<Arc<OpenedKey>, KmsError> {
        let named = self.resolve(caller, key_id, ask.operation)?;
        self.admit_named(caller, &named, ask)
    }

    /// As [`KeyService::admit`], for a key that is resolved already.
    pub(crate) fn admit_named(
        &self,
        caller: &RequestContext,
        named: &Named,
        ask: &Ask<'_>,
    ) -> Result<Arc<OpenedKey>, KmsError> {
        let opened = self.authorize_key(caller, named, ask)?;
        ask.operation.fits(&opened.key)?;
        ask.fits.map_or(Ok(()), |fits| fits(&opened.key))?;
        states::check(ask.operation, &opened.key, self.now())?;
        if ask.dry_run {
            return Err(KmsError::DryRun);
        }
        Ok(opened)
    }

    /// The first half of [`KeyService::admit_named`]: the key exists, and the caller may. For what
    /// has checks of its own before usage and state.
    pub(crate) fn authorize_key(
        &self,
        caller: &RequestContext,
        named: &Named,
        ask: &Ask<'_>,
    ) -> Result<Arc<OpenedKey>, KmsError> {
        let Named { arn, alias, .. } = named;
        let foreign = caller.principal.acts_in() != Some(arn.account);
        // Before anything else: who may not use a key must not learn by a bad token that it is there.
        self.check_grant_tokens(ask.grant_tokens)?;
        let opened = self
            .opened_key(arn)?
            .filter(|opened| opened.key.state(self.now()).is_some());
        let Some(opened) = opened else {
            return Err(if foreign {
                no_resource_policy(caller, ask.operation.action(), &named.told())
            } else {
                states::does_not_exist(arn)
            });
        };
        let key = &opened.key;
        if key.manager == KeyManager::Aws && !self.is_of_asking_service(caller, arn)? {
            let action = ask.operation.action();
            return Err(no_resource_policy(caller, action, &named.told()));
        }
        let grants = StoredGrants::of(self, arn.id, ask.retired);
        let resource = Resource::Key {
            arn: arn.clone(),
            manager: key.manager,
        };
        let decide = |conditions: &Conditions| {
            self.ports.authorizer.decide(&AccessRequest {
                context: caller,
                action: ask.operation.action(),
                resource: &resource,
                conditions,
                resource_policy: Some(key.policy.deciding()),
                grants: Some(&grants),
                acls: None,
            })
        };
        let conditions = |aliases| {
            let crypto = ask.crypto.as_ref();
            let conditions = KeyConditions {
                subject: Subject::Opened(Arc::clone(&opened)),
                own: ask.conditions.clone(),
                crypto: crypto.map(|it| (it.algorithm, it.context.clone())),
                alias: alias.clone(),
                aliases,
            };
            conditions.into_conditions()
        };
        let without_aliases = conditions(None);
        let mut decision = decide(&without_aliases);
        if without_aliases.was_missed() {
            decision = decide(&conditions(Some(self.alias_names(arn.id)?)));
        }
        match decision {
            Ok(()) => Ok(opened),
            Err(_) if grants.failure().is_some() => {
                Err(grants.failure().unwrap_or(KmsError::Unavailable))
            }
            Err(_) if foreign => Err(no_resource_policy(
                caller,
                ask.operation.action(),
                &named.told(),
            )),
            Err(denied) => Err(denied.into()),
        }
    }

    /// The key that a `KeyId` parameter means (Developer Guide, "Key identifiers").
    ///
    /// # Errors
    ///
    /// [`KmsError::NotFound`] with AWS's texts; [`KmsError::AccessDenied`] for aliases of other
    /// accounts, existing or not.
    pub(crate) fn resolve(
        &self,
        caller: &RequestContext,
        key_id: &str,
        operation: Operation,
    ) -> Result<Named, KmsError> {
        let invalid = || KmsError::NotFound(format!("Invalid keyId '{key_id}'"));
        let identifier = KeyIdentifier::parse(key_id).map_err(|_| invalid())?;
        let account = Self::account_of(caller, operation.action())?;
        match identifier {
            KeyIdentifier::Id(id) => Ok(self.arn(account, id).into()),
            KeyIdentifier::Arn(arn) => {
                self.check_region(&arn.region)?;
                if arn.account != account && !operation.crosses_accounts() {
                    let action = operation.action();
                    return Err(no_resource_policy(caller, action, &arn.to_string()));
                }
                Ok(arn.into())
            }
            KeyIdentifier::Alias(_) | KeyIdentifier::AliasArn(_) if !operation.takes_aliases() => {
                Err(invalid())
            }
            KeyIdentifier::Alias(name) => self.resolve_alias(account, name),
            KeyIdentifier::AliasArn(arn) => {
                self.check_region(&arn.region)?;
                let name = arn.to_string();
                let named = self.resolve_alias(arn.account, arn.name);
                match named {
                    Err(KmsError::NotFound(_)) if arn.account != account => {
                        Err(no_resource_policy(caller, operation.action(), &name))
                    }
                    Ok(named) if arn.account != account => Ok(Named {
                        foreign_alias: Some(name),
                        ..named
                    }),
                    named => named,
                }
            }
        }
    }

    /// The key behind an alias of the caller's own account and this region, for the record of a call
    /// that failed; nothing where the operation takes no aliases, or the alias is not there. What
    /// another account's alias stands for is not told.
    pub fn key_of_own_alias(
        &self,
        caller: &RequestContext,
        operation: &str,
        key_id: &str,
    ) -> Option<KeyArn> {
        // ReEncrypt asks for two.
        let mut operations = Operation::ALL.iter();
        let takes_aliases =
            operations.any(|it| it.takes_aliases() && it.name().starts_with(operation));
        if !takes_aliases {
            return None;
        }
        let own = caller.principal.acts_in()?;
        let (account, name) = match KeyIdentifier::parse(key_id).ok()? {
            KeyIdentifier::Alias(name) => (own, name),
            KeyIdentifier::AliasArn(arn) if arn.region == self.options.region => {
                (arn.account, arn.name)
            }
            KeyIdentifier::AliasArn(_) | KeyIdentifier::Id(_) | KeyIdentifier::Arn(_) => {
                return None;
            }
        };
        if account != own {
            return None;
        }
        self.resolve_alias(account, name).ok().map(|it| it.arn)
    }

    fn resolve_alias(&self, account: AccountId, name: AliasName) -> Result<Named, KmsError> {
        let row_key = keys::alias(account, &self.options.region, &name);
        let Some((row, _)) = self.read::<AliasRow>(Table::KMS_ALIASES, &row_key)? else {
            return Err(alias_not_found(&self.alias_arn(account, name)));
        };
        let arn = self.arn(account, KeyId::from_bytes(row.key));
        Ok(Named::by_alias(arn, name))
    }

    /// The account whose keys the caller means: its own, or that of what a service acts for.
    ///
    /// # Errors
    ///
    /// [`KmsError::AccessDenied`] for callers without one.
    pub(crate) fn account_of(caller: &RequestContext, action: &str) -> Result<AccountId, KmsError> {
        caller
            .principal
            .acts_in()
            .ok_or_else(|| no_identity_policy(caller, action))
    }

    /// Decides about an operation without a key.
    pub(crate) fn authorize_service(
        &self,
        caller: &RequestContext,
        action: &'static str,
        conditions: Conditions,
    ) -> Result<AccountId, KmsError> {
        let account = Self::account_of(caller, action)?;
        self.decide(
            caller,
            action,
            &Resource::KeyService { account },
            conditions,
        )?;
        Ok(account)
    }

    /// Decides about an alias itself.
    pub(crate) fn authorize_alias(
        &self,
        caller: &RequestContext,
        operation: Operation,
        alias: &AliasArn,
    ) -> Result<(), KmsError> {
        let resource = Resource::Alias { arn: alias.clone() };
        self.decide(caller, operation.action(), &resource, Conditions::default())
    }

    fn decide(
        &self,
        caller: &RequestContext,
        action: &'static str,
        resource: &Resource,
        conditions: Conditions,
    ) -> Result<(), KmsError> {
        self.ports.authorizer.decide(&AccessRequest {
            context: caller,
            action,
            resource,
            conditions: &conditions,
            resource_policy: None,
            grants: None,
            acls: None,
        })?;
        Ok(())
    }

    /// The ARN of a key of this region.
    pub(crate) fn arn(&self, account: AccountId, id: KeyId) -> KeyArn {
        KeyArn {
            region: self.options.region.clone(),
            account,
            id,
        }
    }

    /// The ARN of an alias of this region.
    pub(crate) fn alias_arn(&self, account: AccountId, name: AliasName) -> AliasArn {
        AliasArn {
            region: self.options.region.clone(),
            account,
            name,
        }
    }

    fn check_region(&self, region: &strongroom_types::Region) -> Result<(), KmsError> {
        if *region == self.options.region {
            return Ok(());
        }
        Err(KmsError::NotFound(format!("Invalid arn {region}")))
    }
}

/// The answer for an alias that is not there.
pub(crate) fn alias_not_found(arn: &AliasArn) -> KmsError {
    KmsError::NotFound(format!("Alias {arn} is not found."))
}

/// The one answer about what belongs to another account.
fn no_resource_policy(caller: &RequestContext, action: &str, resource: &str) -> KmsError {
    KmsError::AccessDenied(format!(
        "User: {} is not authorized to perform: {action} on resource: {resource} because no \
         resource-based policy allows the {action} action",
        caller.principal.arn(),
    ))
}

fn no_identity_policy(caller: &RequestContext, action: &str) -> KmsError {
    KmsError::AccessDenied(format!(
        "User: {} is not authorized to perform: {action} because no identity-based policy allows \
         the {action} action",
        caller.principal.arn(),
    ))
}
