//! What is done with keys that are not symmetric: Sign, Verify, GenerateMac, VerifyMac, GetPublicKey,
//! DeriveSharedSecret.

use strongroom_policy::Conditions;
use strongroom_types::RequestContext;
use strongroom_types::kms::{KeySpec, KeyUsage, MacAlgorithm, MessageType, SigningAlgorithm};

use crate::access::Ask;
use crate::key::Key;
use crate::operation::Operation;
use crate::{
    DeriveSharedSecretInput, DeriveSharedSecretOutput, GenerateMacInput, GenerateMacOutput,
    GetPublicKeyInput, GetPublicKeyOutput, KeyService, KmsError, SignInput, SignOutput,
    VerifyInput, VerifyMacInput, VerifyMacOutput, VerifyOutput,
};
use strongroom_rows::until_undisturbed;

impl KeyService {
    /// Signs a message or its digest.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `Sign` of the KMS API Reference.
    pub fn sign(&self, caller: &RequestContext, input: SignInput) -> Result<SignOutput, KmsError> {
        let message_type = input.message_type.unwrap_or(MessageType::Raw);
        let algorithm = input.signing_algorithm;
        let fits = |key: &Key| check_signing(key, algorithm);
        let ask = Ask {
            fits: Some(&fits),
            conditions: signing_conditions(algorithm, message_type),
            dry_run: input.dry_run,
            grant_tokens: &input.grant_tokens,
            ..Ask::plain(Operation::Sign)
        };
        let outcome = until_undisturbed(|| {
            let opened = self.admit(caller, &input.key_id, &ask)?;
            let (_, material) = self.current_material(&opened)?;
            Ok(SignOutput {
                key_id: opened.key.arn.clone(),
                signature: material
                    .private()?
                    .sign(algorithm, message_type, &input.message)?,
                signing_algorithm: algorithm,
            })
        });
        self.record_use("Sign", caller, |it| Some(it.key_id.id), outcome)
    }

    /// Checks a signature. One that is wrong is an error.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `Verify` of the KMS API Reference.
    pub fn verify(
        &self,
        caller: &RequestContext,
        input: VerifyInput,
    ) -> Result<VerifyOutput, KmsError> {
        let message_type = input.message_type.unwrap_or(MessageType::Raw);
        let algorithm = input.signing_algorithm;
        let fits = |key: &Key| check_signing(key, algorithm);
        let ask = Ask {
            fits: Some(&fits),
            conditions: signing_conditions(algorithm, message_type),
            dry_run: input.dry_run,
            grant_tokens: &input.grant_tokens,
            ..Ask::plain(Operation::Verify)
        };
        let outcome = until_undisturbed(|| {
            let opened = self.admit(caller, &input.key_id, &ask)?;
            let (_, material) = self.current_material(&opened)?;
            let key = material.private()?;
            key.verify(algorithm, message_type, &input.message, &input.signature)?;
            Ok(VerifyOutput {
                key_id: opened.key.arn.clone(),
                signature_valid: true,
                signing_algorithm: algorithm,
            })
        });
        self.record_use("Verify", caller, |it| Some(it.key_id.id), outcome)
    }

    /// Makes an HMAC.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `GenerateMac` of the KMS API Reference.
    pub fn generate_mac(
        &self,
        caller: &RequestContext,
        input: GenerateMacInput,
    ) -> Result<GenerateMacOutput, KmsError> {
        let algorithm = input.mac_algorithm;
        let fits = |key: &Key| check_mac(key, algorithm);
        let ask = Ask {
            fits: Some(&fits),
            conditions: Conditions::default().with("kms:MacAlgorithm", algorithm.name()),
            dry_run: input.dry_run,
            grant_tokens: &input.grant_tokens,
            ..Ask::plain(Operation::GenerateMac)
        };
        let outcome = until_undisturbed(|| {
            let opened = self.admit(caller, &input.key_id, &ask)?;
            let (_, material) = self.current_material(&opened)?;
            Ok(GenerateMacOutput {
                mac: material.mac()?.mac(algorithm, &input.message)?,
                mac_algorithm: algorithm,
                key_id: opened.key.arn.clone(),
            })
        });
        self.record_use("GenerateMac", caller, |it| Some(it.key_id.id), outcome)
    }

    /// Checks an HMAC. One that is wrong is an error.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `VerifyMac` of the KMS API Reference.
    pub fn verify_mac(
        &self,
        caller: &RequestContext,
        input: VerifyMacInput,
    ) -> Result<VerifyMacOutput, KmsError> {
        let algorithm = input.mac_algorithm;
        let fits = |key: &Key| check_mac(key, algorithm);
        let ask = Ask {
            fits: Some(&fits),
            conditions: Conditions::default().with("kms:MacAlgorithm", algorithm.name()),
            dry_run: input.dry_run,
            grant_tokens: &input.grant_tokens,
            ..Ask::plain(Operation::VerifyMac)
        };
        let outcome = until_undisturbed(|| {
            let opened = self.admit(caller, &input.key_id, &ask)?;
            let (_, material) = self.current_material(&opened)?;
            material
                .mac()?
                .verify(algorithm, &input.message, &input.mac)?;
            Ok(VerifyMacOutput {
                key_id: opened.key.arn.clone(),
                mac_valid: true,
                mac_algorithm: algorithm,
            })
        });
        self.record_use("VerifyMac", caller, |it| Some(it.key_id.id), outcome)
    }

    /// The public half of a key, to be used outside.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `GetPublicKey` of the KMS API Reference.
    pub fn get_public_key(
        &self,
        caller: &RequestContext,
        input: GetPublicKeyInput,
    ) -> Result<GetPublicKeyOutput, KmsError> {
        let ask = Ask {
            grant_tokens: &input.grant_tokens,
            ..Ask::plain(Operation::GetPublicKey)
        };
        until_undisturbed(|| {
            let opened = self.admit(caller, &input.key_id, &ask)?;
            let key = &opened.key;
            let (_, material) = self.current_material(&opened)?;
            let of = |usage| key.usage == usage;
            Ok(GetPublicKeyOutput {
                key_id: key.arn.clone(),
                public_key: material.private()?.public_key_der().to_vec(),
                key_spec: key.spec,
                key_usage: key.usage,
                encryption_algorithms: only(
                    of(KeyUsage::EncryptDecrypt),
                    key.spec.encryption_algorithms(),
                ),
                signing_algorithms: only(of(KeyUsage::SignVerify), key.spec.signing_algorithms()),
                key_agreement_algorithms: only(
                    of(KeyUsage::KeyAgreement),
                    strongroom_types::kms::KeyAgreementAlgorithm::ALL,
                ),
            })
        })
    }

    /// The secret that a key shares with the owner of a public key.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `DeriveSharedSecret` of the KMS API Reference.
    pub fn derive_shared_secret(
        &self,
        caller: &RequestContext,
        input: DeriveSharedSecretInput,
    ) -> Result<DeriveSharedSecretOutput, KmsError> {
        let algorithm = input.key_agreement_algorithm;
        let ask = Ask {
            conditions: Conditions::default().with("kms:KeyAgreementAlgorithm", algorithm.name()),
            dry_run: input.dry_run,
            grant_tokens: &input.grant_tokens,
            ..Ask::plain(Operation::DeriveSharedSecret)
        };
        let outcome = until_undisturbed(|| {
            let opened = self.admit(caller, &input.key_id, &ask)?;
            let (_, material) = self.current_material(&opened)?;
            Ok(DeriveSharedSecretOutput {
                key_id: opened.key.arn.clone(),
                shared_secret: material
                    .private()?
                    .derive_shared_secret(&input.public_key)?,
                key_agreement_algorithm: algorithm,
                key_origin: opened.key.origin,
            })
        });
        self.record_use(
            "DeriveSharedSecret",
            caller,
            |it| Some(it.key_id.id),
            outcome,
        )
    }
}

fn check_signing(key: &Key, algorithm: SigningAlgorithm) -> Result<(), KmsError> {
    if key.spec.signing_algorithms().contains(&algorithm) {
        Ok(())
    } else {
        Err(incompatible(algorithm.name(), key.spec))
    }
}

fn check_mac(key: &Key, algorithm: MacAlgorithm) -> Result<(), KmsError> {
    if key.spec.mac_algorithm() == Some(algorithm) {
        Ok(())
    } else {
        Err(incompatible(algorithm.name(), key.spec))
    }
}

fn incompatible(algorithm: &str, spec: KeySpec) -> KmsError {
    KmsError::InvalidKeyUsage(format!(
        "Algorithm {algorithm} is incompatible with key spec {}.",
        spec.name()
    ))
}

fn signing_conditions(algorithm: SigningAlgorithm, message_type: MessageType) -> Conditions {
    Conditions::default()
        .with("kms:SigningAlgorithm", algorithm.name())
        .with("kms:MessageType", message_type.name())
}

fn only<T: Copy>(condition: bool, values: &[T]) -> Vec<T> {
    if condition {
        values.to_vec()
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
