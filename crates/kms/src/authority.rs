//! The key service as the key authority of the services of this server.

use strongroom_audit::Params;
use strongroom_ports::{
    DecryptedDataKey, GeneratedDataKey, KeyAuthority, KeyError, KeyLease, KeyReference, KeyUse,
};
use strongroom_types::RequestContext;
use strongroom_types::kms::{
    DataKeySpec, EncryptionAlgorithm, EncryptionContext, KeyArn, KeyId, KeyMaterialId,
};

use crate::access::{Ask, Named};
use crate::encrypt::{Decrypted, Encrypted, Source, data_key_ask};
use crate::managed::ManagedService;
use crate::operation::Operation;
use crate::trail::Use;
use crate::{KeyService, KmsError};
use strongroom_rows::until_undisturbed;

impl KeyAuthority for KeyService {
    fn generate_data_key(
        &self,
        caller: &RequestContext,
        key: &KeyReference,
        context: &EncryptionContext,
    ) -> Result<GeneratedDataKey, KeyError> {
        let operation = Operation::GenerateDataKey;
        let generation = self.shared.watches.generation();
        let mut meant = None;
        let outcome = until_undisturbed(|| {
            let ask = data_key_ask(operation, context, &[], false);
            let named = self.referred_key(caller, key, &ask)?;
            meant = named.told_key().cloned();
            let opened = self.admit_named(caller, &named, &ask)?;
            let len_bytes = DataKeySpec::Aes256.len_bytes();
            let plaintext = self.random(len_bytes);
            let algorithm = EncryptionAlgorithm::SymmetricDefault;
            let encrypted = self.seal(&opened, algorithm, context, &plaintext)?;
            let lease = self.lease(&opened, generation)?;
            Ok((encrypted, plaintext, lease))
        });
        let outcome = self.told_by_a_worker(outcome);
        let key_of = |it: &(Encrypted, _, _)| Some(it.0.key.id);
        let outcome = self.record_use(operation.name(), caller, key_of, outcome);
        let used = || self.use_of(caller, operation, key, meant.as_ref(), context);
        let (encrypted, plaintext, lease) = self.recorded(used, outcome)?;
        let record = self.use_record(&Use {
            material: Some(encrypted.material),
            ..self.use_of(caller, operation, key, Some(&encrypted.key), context)
        });
        Ok(GeneratedDataKey {
            key: encrypted.key,
            plaintext,
            ciphertext: encrypted.ciphertext,
            lease,
            record,
        })
    }

    fn decrypt_data_key(
        &self,
        caller: &RequestContext,
        ciphertext: &[u8],
        context: &EncryptionContext,
    ) -> Result<DecryptedDataKey, KeyError> {
        let operation = Operation::Decrypt;
        let generation = self.shared.watches.generation();
        let source = Source {
            operation,
            ciphertext: Some(ciphertext),
            key_id: None,
            algorithm: EncryptionAlgorithm::SymmetricDefault,
            context,
            conditions: strongroom_policy::Conditions::default(),
            grant_tokens: &[],
            dry_run: false,
            ignore_ciphertext: false,
        };
        let outcome = until_undisturbed(|| {
            let decrypted = self.decrypt_source(caller, &source)?;
            let lease = self.lease(&decrypted.opened, generation)?;
            Ok((decrypted, lease))
        });
        let outcome = self.told_by_a_worker(outcome);
        let key_of = |it: &(Decrypted, _)| Some(it.0.opened.key.arn.id);
        let outcome = self.record_use(operation.name(), caller, key_of, outcome);
        let refused = || {
            // Whose key another account's is, a refusal does not tell.
            let named = self.source_key(caller, &source).ok().map(|named| named.arn);
            let own = named.filter(|arn| caller.principal.account() == Some(arn.account));
            Self::decryption(caller, own, None, context)
        };
        let (decrypted, lease) = self.recorded(refused, outcome)?;
        let key = decrypted.opened.key.arn.clone();
        let material = Some(decrypted.material);
        let record = self.use_record(&Self::decryption(caller, Some(key), material, context));
        Ok(DecryptedDataKey {
            plaintext: decrypted.plaintext,
            lease,
            record,
        })
    }

    fn decrypt_data_key_in_memory(
        &self,
        caller: &RequestContext,
        ciphertext: &[u8],
        context: &EncryptionContext,
    ) -> Result<DecryptedDataKey, KeyError> {
        let resident = self.resident();
        if !resident.is_resident() {
            return Err(KeyError::NotInMemory);
        }
        resident.decrypt_data_key(caller, ciphertext, context)
    }

    fn authorize(
        &self,
        caller: &RequestContext,
        key: &KeyReference,
        key_use: KeyUse,
        context: &EncryptionContext,
    ) -> Result<KeyLease, KeyError> {
        let operation = match key_use {
            KeyUse::GenerateDataKey => Operation::GenerateDataKey,
            KeyUse::Decrypt => Operation::Decrypt,
        };
        let generation = self.shared.watches.generation();
        let mut meant = None;
        let lease = until_undisturbed(|| {
            let ask = data_key_ask(operation, context, &[], false);
            let named = self.referred_key(caller, key, &ask)?;
            meant = Some(named.arn.clone());
            let opened = self.admit_named(caller, &named, &ask)?;
            self.lease(&opened, generation)
        });
        let refused = || match key_use {
            KeyUse::GenerateDataKey => self.use_of(caller, operation, key, meant.as_ref(), context),
            KeyUse::Decrypt => Self::decryption(caller, meant.clone(), None, context),
        };
        self.recorded(refused, lease)
    }

    fn key_named(&self, caller: &RequestContext, key_id: &str) -> Result<KeyArn, KeyError> {
        let named = until_undisturbed(|| self.resolve(caller, key_id, Operation::GenerateDataKey))?;
        Ok(named.arn)
    }

    fn authorize_in_memory(
        &self,
        caller: &RequestContext,
        key: &KeyReference,
        key_use: KeyUse,
        context: &EncryptionContext,
    ) -> Result<KeyLease, KeyError> {
        let resident = self.resident();
        if !resident.is_resident() {
            return Err(KeyError::NotInMemory);
        }
        resident.authorize(caller, key, key_use, context)
    }
}

impl KeyService {
    /// Failures have records, which only a worker can wait for: where only memory may be asked, there
    /// is no failure but that one.
    fn told_by_a_worker<T>(&self, outcome: Result<T, KmsError>) -> Result<T, KmsError> {
        match outcome {
            Err(_) if self.is_resident() => Err(KmsError::NotInMemory),
            outcome => outcome,
        }
    }

    /// What the record of making a data key tells. `meant` is the key that `key` was found to name.
    fn use_of<'a>(
        &self,
        caller: &'a RequestContext,
        operation: Operation,
        key: &KeyReference,
        meant: Option<&KeyArn>,
        context: &EncryptionContext,
    ) -> Use<'a> {
        let named = match (key, meant) {
            // An id alone says less than its ARN.
            (KeyReference::Named(text), Some(arn)) if KeyId::parse(text).is_some() => {
                arn.to_string()
            }
            (KeyReference::Named(text), _) => text.clone(),
            (KeyReference::AwsManaged, _) => {
                let account = caller.principal.account();
                let alias = ManagedService::asking(caller).and_then(ManagedService::alias);
                match (account, alias) {
                    (Some(account), Some(alias)) => self.alias_arn(account, alias).to_string(),
                    _ => String::new(),
                }
            }
        };
        Use {
            caller,
            operation,
            params: Params::new()
                .text("keyId", &named)
                .text("keySpec", DataKeySpec::Aes256.name())
                .context(context),
            key: meant.cloned(),
            material: None,
        }
    }

    /// What the record of decrypting a data key tells.
    fn decryption<'a>(
        caller: &'a RequestContext,
        key: Option<KeyArn>,
        material: Option<KeyMaterialId>,
        context: &EncryptionContext,
    ) -> Use<'a> {
        let algorithm = EncryptionAlgorithm::SymmetricDefault.name();
        let named = key.as_ref().map(ToString::to_string);
        Use {
            caller,
            operation: Operation::Decrypt,
            params: Params::new()
                .text("encryptionAlgorithm", algorithm)
                .optional("keyId", named.as_deref())
                .context(context),
            key,
            material,
        }
    }

    fn referred_key(
        &self,
        caller: &RequestContext,
        key: &KeyReference,
        ask: &Ask<'_>,
    ) -> Result<Named, KmsError> {
        match key {
            // By its alias, a service's own managed key is made by its first use as without a name.
            KeyReference::Named(key_id) => {
                let account = Self::account_of(caller, ask.operation.action())?;
                match self.managed_by_alias(account, key_id) {
                    Some(service) if ManagedService::asking(caller) == Some(service) => {
                        self.managed_key(caller, account, service, ask)
                    }
                    _ => self.resolve(caller, key_id, ask.operation),
                }
            }
            KeyReference::AwsManaged => {
                let account = Self::account_of(caller, ask.operation.action())?;
                let service = ManagedService::asking(caller).ok_or_else(|| {
                    KmsError::NotFound("The service that asks has no AWS managed key.".to_owned())
                })?;
                self.managed_key(caller, account, service, ask)
            }
        }
    }
}
