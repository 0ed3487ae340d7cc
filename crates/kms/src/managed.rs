//! AWS managed keys: one for each service that uses keys, made by its first use in an account.

use strongroom_policy::{AccessRequest, Resource};
use strongroom_ports::{Table, Transaction};
use strongroom_types::kms::{AliasName, KeyArn, KeyId, KeyManager, KeyOrigin, KeySpec, KeyUsage};
use strongroom_types::{AccountId, RequestContext};

use crate::access::{Ask, Named, alias_not_found};
use crate::conditions::KeyConditions;
use crate::fixed_policies::aws_managed_policy;
use crate::key::{Key, Lifecycle, Rotation};
use crate::policies::KeyPolicy;
use crate::rotation::after_days;
use crate::rows::{AliasRow, KeyAliasRow};
use crate::{KeyService, KmsError, keys};
use strongroom_rows::until_undisturbed;

/// Days between the rotations of an AWS managed key. Nobody changes it.
const ROTATION_PERIOD_DAYS: u32 = 365;

/// A service that has an AWS managed key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ManagedService {
    /// The first label of its principal, and the end of its alias.
    name: &'static str,
    title: &'static str,
    policy_id: &'static str,
    description: &'static str,
}

/// All of them, in the order of their aliases.
pub(crate) const MANAGED_SERVICES: &[ManagedService] = &[
    ManagedService {
        name: "s3",
        title: "S3",
        policy_id: "auto-s3-2",
        description: "Default key that protects my S3 objects when no other key is defined",
    },
    ManagedService {
        name: "secretsmanager",
        title: "AWS Secrets Manager",
        policy_id: "auto-secretsmanager-2",
        description: "Default key that protects my Secrets Manager data when no other key is defined",
    },
];

impl ManagedService {
    /// The service that asks, by its principal such as `s3.us-east-1.amazonaws.com`.
    pub(crate) fn asking(caller: &RequestContext) -> Option<Self> {
        let principal = caller.via_service.as_deref()?;
        let (name, _) = principal.split_once('.')?;
        MANAGED_SERVICES.iter().find(|it| it.name == name).copied()
    }

    /// The service that an alias belongs to.
    pub(crate) fn of_alias(alias: &str) -> Option<Self> {
        let name = alias.strip_prefix("alias/aws/")?;
        MANAGED_SERVICES.iter().find(|it| it.name == name).copied()
    }

    /// `alias/aws/...`.
    pub(crate) fn alias(self) -> Option<AliasName> {
        AliasName::parse(&format!("alias/aws/{}", self.name))
    }
}

impl KeyService {
    /// The service whose managed key a name means: by its alias, or by the alias's ARN in the
    /// account.
    pub(crate) fn managed_by_alias(
        &self,
        account: AccountId,
        key_id: &str,
    ) -> Option<ManagedService> {
        let own_aliases = format!("arn:aws:kms:{}:{account}:", self.options.region);
        ManagedService::of_alias(key_id.strip_prefix(&own_aliases).unwrap_or(key_id))
    }

    /// Whether an AWS managed key is that of the service that asks for the caller, if one does. The
    /// alias, which nobody can change, says whose it is.
    pub(crate) fn is_of_asking_service(
        &self,
        caller: &RequestContext,
        arn: &KeyArn,
    ) -> Result<bool, KmsError> {
        let Some(principal) = caller.via_service.as_deref() else {
            return Ok(true);
        };
        let Some(service) = ManagedService::asking(caller) else {
            return Ok(false);
        };
        let expected = format!("{}.{}.amazonaws.com", service.name, self.options.region);
        let name = service.alias().ok_or(KmsError::Unavailable)?;
        let row_key = keys::alias(arn.account, &arn.region, &name);
        let row = self.read::<AliasRow>(Table::KMS_ALIASES, &row_key)?;
        Ok(expected == principal && row.is_some_and(|(row, _)| row.key == *arn.id.as_bytes()))
    }

    /// The AWS managed key of a service in an account. If it is not there yet and `ask` would be
    /// allowed on it, it is made.
    ///
    /// # Errors
    ///
    /// [`KmsError::NotInMemory`] where only memory may be asked and the key is not known there.
    pub(crate) fn managed_key(
        &self,
        caller: &RequestContext,
        account: AccountId,
        service: ManagedService,
        ask: &Ask<'_>,
    ) -> Result<Named, KmsError> {
        let name = service.alias().ok_or(KmsError::Unavailable)?;
        let row_key = keys::alias(account, &self.options.region, &name);
        let named = |id| Named::by_alias(self.arn(account, id), name.clone());
        until_undisturbed(|| {
            if let Some((row, _)) = self.read::<AliasRow>(Table::KMS_ALIASES, &row_key)? {
                return Ok(named(KeyId::from_bytes(row.key)));
            }
            if self.is_resident() {
                return Err(KmsError::NotInMemory);
            }
            let arn = self.arn(account, KeyId::random(&*self.ports.entropy));
            let key = self.new_managed_key(arn, service);
            self.would_allow(caller, &key, &name, ask)?;
            let now = self.now().as_millis();
            let alias = AliasRow {
                key: *key.arn.id.as_bytes(),
                created_millis: now,
                updated_millis: now,
            };
            let told = |key: &Key| Ok(vec![self.by_itself("CreateKey", &key.arn)]);
            let made = self.store_new_key(key, told, |transaction| {
                // The race of two first uses: the second finds the alias and makes nothing.
                if self
                    .read::<AliasRow>(Table::KMS_ALIASES, &row_key)?
                    .is_some()
                {
                    return Err(KmsError::AlreadyExists(name.to_string()));
                }
                let transaction = transaction.expect(Table::KMS_ALIASES, row_key.clone(), None);
                self.put_alias(transaction, account, &name, &alias)
            });
            match made {
                Ok(key) => Ok(named(key.arn.id)),
                Err(KmsError::AlreadyExists(_)) => Err(KmsError::Contention),
                Err(error) => Err(error),
            }
        })
    }

    /// What is written for an alias: its row, and that of its key.
    pub(crate) fn put_alias(
        &self,
        transaction: Transaction,
        account: AccountId,
        name: &AliasName,
        row: &AliasRow,
    ) -> Result<Transaction, KmsError> {
        let row_key = keys::alias(account, &self.options.region, name);
        let transaction = self.put(transaction, Table::KMS_ALIASES, row_key, row)?;
        let row_key = keys::key_alias(KeyId::from_bytes(row.key), name);
        let row = KeyAliasRow {
            since_millis: row.updated_millis,
        };
        self.put(transaction, Table::KMS_KEY_ALIASES, row_key, &row)
    }

    fn new_managed_key(&self, arn: KeyArn, service: ManagedService) -> Key {
        let now = self.now();
        let ManagedService {
            name,
            title,
            policy_id,
            description,
        } = service;
        Key {
            spec: KeySpec::SymmetricDefault,
            usage: KeyUsage::EncryptDecrypt,
            origin: KeyOrigin::AwsKms,
            manager: KeyManager::Aws,
            lifecycle: Lifecycle::Enabled,
            description: description.to_owned(),
            policy: KeyPolicy::of_accounts(aws_managed_policy(
                policy_id,
                title,
                name,
                arn.account,
                &arn.region,
            )),
            tags: Vec::new(),
            created: now,
            rotation: Rotation {
                enabled: true,
                period_days: ROTATION_PERIOD_DAYS,
                next: Some(after_days(now, ROTATION_PERIOD_DAYS)),
                enabled_since: Some(now),
            },
            on_demand_rotations: 0,
            materials: Vec::new(),
            current: None,
            pending: None,
            arn,
        }
    }

    /// Nobody makes a key by asking for what would be refused.
    fn would_allow(
        &self,
        caller: &RequestContext,
        key: &Key,
        alias: &AliasName,
        ask: &Ask<'_>,
    ) -> Result<(), KmsError> {
        if caller.principal.account() != Some(key.arn.account) {
            return Err(alias_not_found(
                &self.alias_arn(key.arn.account, alias.clone()),
            ));
        }
        let conditions = KeyConditions {
            own: ask.conditions.clone(),
            crypto: ask.crypto.map(|it| (it.algorithm, it.context.clone())),
            alias: Some(alias.clone()),
            aliases: Some(vec![alias.clone()]),
            ..KeyConditions::imagined(key)
        };
        self.ports.authorizer.decide(&AccessRequest {
            context: caller,
            action: ask.operation.action(),
            resource: &Resource::Key {
                arn: key.arn.clone(),
                manager: key.manager,
            },
            conditions: &conditions.into_conditions(),
            resource_policy: Some(key.policy.deciding()),
            grants: None,
            acls: None,
        })?;
        Ok(())
    }
}
