//! GenerateDataKeyPair, GenerateDataKeyPairWithoutPlaintext: pairs to be used outside, whose private
//! half is encrypted under a symmetric key.

use strongroom_asymmetric::PrivateKey;
use strongroom_types::RequestContext;
use strongroom_types::kms::{DataKeyPairSpec, EncryptionAlgorithm, EncryptionContext};
use zeroize::Zeroizing;

use crate::access::Ask;
use crate::encrypt::{Encrypted, data_key_ask};
use crate::operation::Operation;
use crate::{
    GenerateDataKeyPairInput, GenerateDataKeyPairOutput, GenerateDataKeyPairWithoutPlaintextInput,
    GenerateDataKeyPairWithoutPlaintextOutput, KeyService, KmsError,
};
use strongroom_rows::until_undisturbed;

impl KeyService {
    /// GenerateDataKeyPair. Of RSA it takes long.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn generate_data_key_pair(
        &self,
        caller: &RequestContext,
        input: GenerateDataKeyPairInput,
    ) -> Result<GenerateDataKeyPairOutput, KmsError> {
        let (encrypted, pair) = self.new_data_key_pair(
            caller,
            &input.key_id,
            data_key_ask(
                Operation::GenerateDataKeyPair,
                &input.encryption_context,
                &input.grant_tokens,
                input.dry_run,
            ),
            input.key_pair_spec,
            &input.encryption_context,
        )?;
        Ok(GenerateDataKeyPairOutput {
            private_key_ciphertext_blob: encrypted.ciphertext,
            private_key_plaintext: Zeroizing::new(pair.pkcs8().to_vec()),
            public_key: pair.public_key_der().to_vec(),
            key_id: encrypted.key,
            key_pair_spec: input.key_pair_spec,
            key_material_id: Some(encrypted.material),
        })
    }

    /// GenerateDataKeyPairWithoutPlaintext.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn generate_data_key_pair_without_plaintext(
        &self,
        caller: &RequestContext,
        input: GenerateDataKeyPairWithoutPlaintextInput,
    ) -> Result<GenerateDataKeyPairWithoutPlaintextOutput, KmsError> {
        let (encrypted, pair) = self.new_data_key_pair(
            caller,
            &input.key_id,
            data_key_ask(
                Operation::GenerateDataKeyPairWithoutPlaintext,
                &input.encryption_context,
                &input.grant_tokens,
                input.dry_run,
            ),
            input.key_pair_spec,
            &input.encryption_context,
        )?;
        Ok(GenerateDataKeyPairWithoutPlaintextOutput {
            private_key_ciphertext_blob: encrypted.ciphertext,
            public_key: pair.public_key_der().to_vec(),
            key_id: encrypted.key,
            key_pair_spec: input.key_pair_spec,
            key_material_id: Some(encrypted.material),
        })
    }

    fn new_data_key_pair(
        &self,
        caller: &RequestContext,
        key_id: &str,
        ask: Ask<'_>,
        spec: DataKeyPairSpec,
        context: &EncryptionContext,
    ) -> Result<(Encrypted, PrivateKey), KmsError> {
        let operation = ask.operation;
        let ask = Ask {
            conditions: ask.conditions.with("kms:DataKeyPairSpec", spec.name()),
            ..ask
        };
        let outcome = until_undisturbed(|| {
            let opened = self.admit(caller, key_id, &ask)?;
            let pair = PrivateKey::generate(spec.key_spec())?;
            let algorithm = EncryptionAlgorithm::SymmetricDefault;
            let encrypted = self.seal(&opened, algorithm, context, pair.pkcs8())?;
            Ok((encrypted, pair))
        });
        let key_of = |it: &(Encrypted, PrivateKey)| Some(it.0.key.id);
        self.record_use(operation.name(), caller, key_of, outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use strongroom_types::kms::{KeyOrigin, KeySpec, KeyUsage};

    use super::*;
    use crate::DecryptInput;
    use crate::fixture::{World, root};

    fn input(key_id: &str, spec: DataKeyPairSpec) -> GenerateDataKeyPairInput {
        let pairs = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        GenerateDataKeyPairInput {
            encryption_context: EncryptionContext::new(pairs).unwrap(),
            key_id: key_id.to_owned(),
            key_pair_spec: spec,
            grant_tokens: Vec::new(),
            dry_run: false,
        }
    }

    #[test]
    fn the_private_half_comes_back_by_decrypt_and_fits_the_public_one() {
        let world = World::new();
        let (service, key) = (world.service(), world.symmetric());
        let asked = input(&key.to_string(), DataKeyPairSpec::EccNistP256);
        let context = asked.encryption_context.clone();
        let pair = service.generate_data_key_pair(&root(), asked).unwrap();
        let decrypted = service.decrypt(
            &root(),
            DecryptInput {
                ciphertext_blob: Some(pair.private_key_ciphertext_blob),
                encryption_context: context,
                grant_tokens: Vec::new(),
                key_id: None,
                encryption_algorithm: None,
                dry_run: false,
                dry_run_modifiers: Vec::new(),
            },
        );
        let pkcs8 = decrypted.unwrap().plaintext;
        assert_eq!(pkcs8, pair.private_key_plaintext);
        let private = PrivateKey::from_pkcs8(KeySpec::EccNistP256, &pkcs8).unwrap();
        assert_eq!(private.public_key_der(), pair.public_key);
        assert_eq!(pair.key_id, key);
    }

    #[test]
    fn pairs_of_other_regions_and_keys_of_other_kinds_are_refused() {
        let world = World::new();
        let (service, key) = (world.service(), world.symmetric());
        let generate = |input| service.generate_data_key_pair(&root(), input).map(|_| ());
        let sm2 = generate(input(&key.to_string(), DataKeyPairSpec::Sm2));
        assert!(matches!(sm2, Err(KmsError::UnsupportedOperation(_))));
        let rsa = world.key(
            KeySpec::Rsa2048,
            KeyUsage::EncryptDecrypt,
            KeyOrigin::AwsKms,
        );
        let refused = generate(input(&rsa.to_string(), DataKeyPairSpec::EccNistP256));
        assert!(matches!(refused, Err(KmsError::InvalidKeyUsage(_))));
        let dry = GenerateDataKeyPairInput {
            dry_run: true,
            ..input(&key.to_string(), DataKeyPairSpec::Rsa4096)
        };
        assert_eq!(generate(dry), Err(KmsError::DryRun));
    }
}
