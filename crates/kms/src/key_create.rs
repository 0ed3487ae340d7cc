//! CreateKey.

use strongroom_audit::{Event, Params};
use strongroom_policy::Conditions;
use strongroom_ports::{Scan, Table, Transaction};
use strongroom_types::kms::{KeyId, KeyManager, KeyOrigin, KeySpec, KeyUsage};
use strongroom_types::{AccountId, RequestContext};

use crate::conditions::of_kind;
use crate::fixed_policies::default_policy;
use crate::key::{Key, Lifecycle, Rotation};
use crate::managed::MANAGED_SERVICES;
use crate::materials::{KeptMaterial, Material};
use crate::policies::KeyPolicy;
use crate::service::damaged;
use crate::tags::{self, with_tags};
use crate::trail::{self, Asked};
use crate::{CreateKeyInput, CreateKeyOutput, KeyService, KmsError, keys};
use strongroom_rows::until_undisturbed;

/// Keys of an account in a region, without AWS managed ones (KMS Developer Guide, "Resource quotas").
const KEYS_PER_ACCOUNT_MAX: usize = 100_000;
/// Rows read at once to count them.
const COUNTED_AT_ONCE: usize = 1000;

impl KeyService {
    /// CreateKey: makes a key, with material unless that will be imported. Each call makes one.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn create_key(
        &self,
        caller: &RequestContext,
        input: CreateKeyInput,
    ) -> Result<CreateKeyOutput, KmsError> {
        let spec = input.key_spec.unwrap_or(KeySpec::SymmetricDefault);
        let origin = input.origin.unwrap_or(KeyOrigin::AwsKms);
        let usage = usage_of(spec, input.key_usage)?;
        tags::check(&input.tags)?;
        let conditions = with_tags(Conditions::default(), &input.tags);
        let conditions = of_kind(conditions, spec.name(), usage.name(), origin.name())
            .with("kms:MultiRegion", input.multi_region.to_string());
        let conditions = if input.bypass_policy_lockout_safety_check {
            conditions.with("kms:BypassPolicyLockoutSafetyCheck", "true")
        } else {
            conditions
        };
        let account = self.authorize_service(caller, "kms:CreateKey", conditions.clone())?;
        if !input.tags.is_empty() {
            self.authorize_service(caller, "kms:TagResource", conditions)?;
        }
        let unsupported = |what: &str| Err(KmsError::UnsupportedOperation(Some(what.to_owned())));
        match (spec, origin) {
            _ if input.multi_region => return unsupported("Multi-Region keys are not supported."),
            (_, KeyOrigin::AwsCloudHsm | KeyOrigin::ExternalKeyStore) => {
                return unsupported("Custom key stores are not supported.");
            }
            (KeySpec::Sm2, _) => {
                return unsupported("KeySpec SM2 is not supported in this Region.");
            }
            (_, KeyOrigin::AwsKms | KeyOrigin::External) => {}
        }
        self.check_key_quota(account, KEYS_PER_ACCOUNT_MAX)?;
        let params = params_of(&input, spec, usage, origin);
        let arn = self.arn(account, KeyId::random(&*self.ports.entropy));
        let given = input.policy.is_some();
        let policy = match input.policy {
            Some(text) => self.key_policy(text)?,
            None => KeyPolicy::of_accounts(default_policy(account)),
        };
        let key = Key {
            arn,
            spec,
            usage,
            origin,
            manager: KeyManager::Customer,
            lifecycle: Lifecycle::Enabled,
            description: input.description.unwrap_or_default(),
            policy,
            tags: input.tags,
            created: self.now(),
            rotation: Rotation::OFF,
            on_demand_rotations: 0,
            materials: Vec::new(),
            current: None,
            pending: None,
        };
        if given && !input.bypass_policy_lockout_safety_check {
            self.check_lockout(caller, &key)?;
        }
        let told = |key: &Key| {
            let asked = Asked::named(caller, "CreateKey", &key.arn, params.clone());
            let metadata = key.metadata(self.now()).ok_or_else(damaged)?;
            Ok(self.told(&asked.answering(trail::key_metadata(&metadata))))
        };
        let key = self.store_new_key(key, told, Ok)?;
        if let Some(count) = self.shared.key_counts.lock().get_mut(&account) {
            *count = count.saturating_add(1);
        }
        let key_metadata = key.metadata(self.now()).ok_or_else(damaged)?;
        Ok(CreateKeyOutput { key_metadata })
    }

    /// Refuses one key too many. Counts the rows of the account the first time, and again where the
    /// number that is remembered, from which deletions are not taken away, is too high. Requests at
    /// the same moment may pass together.
    fn check_key_quota(&self, account: AccountId, keys_max: usize) -> Result<(), KmsError> {
        let known = self.shared.key_counts.lock().get(&account).copied();
        if known.is_some_and(|count| count < keys_max) {
            return Ok(());
        }
        let count = self.count_customer_keys(account)?;
        self.shared.key_counts.lock().insert(account, count);
        if count < keys_max {
            return Ok(());
        }
        Err(KmsError::LimitExceeded(format!(
            "The account has {keys_max} keys, and can have no more."
        )))
    }

    /// The keys of an account but those of services.
    fn count_customer_keys(&self, account: AccountId) -> Result<usize, KmsError> {
        let (mut start, end) = keys::keys_of(account, &self.options.region);
        let mut count = 0_usize;
        loop {
            let page = self.ports.rows.meta.scan(&Scan {
                table: Table::KMS_KEYS,
                start,
                end: end.clone(),
                limit: COUNTED_AT_ONCE,
                reverse: false,
            })?;
            count = count.saturating_add(page.rows.len());
            match page.rows.last() {
                Some(last) if page.more => start = keys::behind(&last.key),
                _ => break,
            }
        }
        for alias in MANAGED_SERVICES.iter().filter_map(|it| it.alias()) {
            let row_key = keys::alias(account, &self.options.region, &alias);
            let is_there = self.ports.rows.meta.read(Table::KMS_ALIASES, &row_key)?;
            count = count.saturating_sub(usize::from(is_there.is_some()));
        }
        Ok(count)
    }

    /// Makes the material of a new key, unless it will be imported, and stores the key. `with` adds
    /// what shall come into being together with it, and `told` are the records.
    pub(crate) fn store_new_key(
        &self,
        key: Key,
        told: impl Fn(&Key) -> Result<Vec<Event>, KmsError>,
        with: impl Fn(Transaction) -> Result<Transaction, KmsError>,
    ) -> Result<Key, KmsError> {
        let (key, kept) = self.with_first_material(key)?;
        let stored = until_undisturbed(|| {
            let transaction = Transaction::new().expect(Table::KMS_KEYS, keys::key(&key.arn), None);
            let mut transaction = with(self.put_key_with_reserve(transaction, &key)?)?;
            if let Some(kept) = &kept {
                transaction = self.put_material(transaction, &key.arn, kept)?;
            }
            self.commit(transaction, &told(&key)?, &[&key.arn])
        });
        match stored {
            Ok(()) => Ok(key),
            Err(error) => {
                // Anything else may have been committed.
                let nothing_happened = matches!(
                    error,
                    KmsError::Contention | KmsError::LimitExceeded(_) | KmsError::AlreadyExists(_)
                );
                if let Some(kept) = kept.filter(|_| nothing_happened) {
                    self.discard(&kept);
                }
                Err(error)
            }
        }
    }

    fn with_first_material(&self, key: Key) -> Result<(Key, Option<KeptMaterial>), KmsError> {
        if key.origin == KeyOrigin::External {
            return Ok((key, None));
        }
        let material = Material::generate(self, key.spec)?;
        let kept = self.keep_material(&key.arn, key.spec, &material, None)?;
        let key = Key {
            current: Some(kept.entry.id),
            materials: vec![kept.entry.clone()],
            ..key
        };
        Ok((key, Some(kept)))
    }
}

/// What the record tells of the request: defaults filled in, as AWS does.
fn params_of(input: &CreateKeyInput, spec: KeySpec, usage: KeyUsage, origin: KeyOrigin) -> Params {
    let bypass = input.bypass_policy_lockout_safety_check;
    let params = Params::new()
        .optional("policy", input.policy.as_deref())
        .text(
            "description",
            input.description.as_deref().unwrap_or_default(),
        )
        .text("keyUsage", usage.name())
        .text("customerMasterKeySpec", spec.name())
        .text("keySpec", spec.name())
        .text("origin", origin.name())
        .flag("bypassPolicyLockoutSafetyCheck", bypass)
        .flag("multiRegion", input.multi_region);
    if input.tags.is_empty() {
        params
    } else {
        trail::tags(params, &input.tags)
    }
}

/// The usage of a key of that spec.
fn usage_of(spec: KeySpec, wanted: Option<KeyUsage>) -> Result<KeyUsage, KmsError> {
    match wanted {
        None if spec == KeySpec::SymmetricDefault => Ok(KeyUsage::EncryptDecrypt),
        None => Err(KmsError::Validation(
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption \
             keys."
                .to_owned(),
        )),
        // Its own refusal comes later.
        Some(usage) if spec == KeySpec::Sm2 || spec.usages().contains(&usage) => Ok(usage),
        Some(usage) => Err(KmsError::Validation(format!(
            "KeyUsage {} is not compatible with KeySpec {}",
            usage.name(),
            spec.name()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{World, root};

    #[test]
    fn the_quota_counts_the_account_s_own_keys_and_counts_again_before_it_refuses() {
        let world = World::new();
        let service = world.service();
        let make = || {
            world.key(
                KeySpec::SymmetricDefault,
                KeyUsage::EncryptDecrypt,
                KeyOrigin::AwsKms,
            )
        };
        let account = make().account;
        let describe = crate::DescribeKeyInput {
            key_id: "alias/aws/s3".to_owned(),
            grant_tokens: Vec::new(),
        };
        service.describe_key(&root(), describe).unwrap();
        make();
        let refused = |keys_max| {
            matches!(
                service.check_key_quota(account, keys_max),
                Err(KmsError::LimitExceeded(_))
            )
        };
        assert!(refused(2));
        assert!(!refused(3));
        // Too high a number is remembered: it is counted again.
        service.shared.key_counts.lock().insert(account, 7);
        assert!(!refused(3) && refused(2));
    }
}
