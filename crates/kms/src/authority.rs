//! The key service as the key authority of the services of this server.

use strongroom_ports::{
    DecryptedDataKey, GeneratedDataKey, KeyAuthority, KeyError, KeyLease, KeyReference, KeyUse,
};
use strongroom_types::RequestContext;
use strongroom_types::kms::{DataKeySpec, EncryptionAlgorithm, EncryptionContext, KeyArn};

use crate::access::{Ask, Named};
use crate::encrypt::{Decrypted, Encrypted, Source, data_key_ask};
use crate::managed::ManagedService;
use crate::operation::Operation;
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
        let outcome = until_undisturbed(|| {
            let ask = data_key_ask(operation, context, &[], false);
            let named = self.referred_key(caller, key, &ask)?;
            let opened = self.admit_named(caller, &named, &ask)?;
            let len_bytes = DataKeySpec::Aes256.len_bytes();
            let plaintext = self.random(len_bytes);
            let algorithm = EncryptionAlgorithm::SymmetricDefault;
            let encrypted = self.seal(&opened, algorithm, context, &plaintext)?;
            let lease = self.lease(&opened, generation)?;
            Ok((encrypted, plaintext, lease))
        });
        let key_of = |it: &(Encrypted, _, _)| Some(it.0.key.id);
        let (encrypted, plaintext, lease) =
            self.record_use(operation.name(), caller, key_of, outcome)?;
        Ok(GeneratedDataKey {
            key: encrypted.key,
            plaintext,
            ciphertext: encrypted.ciphertext,
            lease,
        })
    }

    fn decrypt_data_key(
        &self,
        caller: &RequestContext,
        ciphertext: &[u8],
        context: &EncryptionContext,
    ) -> Result<DecryptedDataKey, KeyError> {
        let generation = self.shared.watches.generation();
        let source = Source {
            operation: Operation::Decrypt,
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
        let key_of = |it: &(Decrypted, _)| Some(it.0.opened.key.arn.id);
        let (decrypted, lease) =
            self.record_use(Operation::Decrypt.name(), caller, key_of, outcome)?;
        Ok(DecryptedDataKey {
            plaintext: decrypted.plaintext,
            lease,
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
        let lease = until_undisturbed(|| {
            let ask = data_key_ask(operation, context, &[], false);
            let named = self.referred_key(caller, key, &ask)?;
            let opened = self.admit_named(caller, &named, &ask)?;
            self.lease(&opened, generation)
        })?;
        Ok(lease)
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
