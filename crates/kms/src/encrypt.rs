//! Encrypt, Decrypt, ReEncrypt, GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateRandom.

use std::sync::Arc;

use strongroom_crypto::{CiphertextBlob, seal_blob};
use strongroom_policy::Conditions;
use strongroom_ports::Table;
use strongroom_types::kms::{
    DataKeySpec, EncryptionAlgorithm, EncryptionContext, KeyArn, KeyMaterialId, KeySpec,
};
use strongroom_types::{AccountId, RequestContext};
use zeroize::Zeroizing;

use crate::access::{Ask, Named};
use crate::cache::OpenedKey;
use crate::conditions::Crypto;
use crate::key::Key;
use crate::operation::Operation;
use crate::rows::MaterialRow;
use crate::service::damaged;
use crate::{
    DecryptInput, DecryptOutput, EncryptInput, EncryptOutput, GenerateDataKeyInput,
    GenerateDataKeyOutput, GenerateDataKeyWithoutPlaintextInput,
    GenerateDataKeyWithoutPlaintextOutput, GenerateRandomInput, GenerateRandomOutput, KeyService,
    KmsError, ReEncryptInput, ReEncryptOutput, keys,
};
use strongroom_rows::until_undisturbed;

/// Of GenerateDataKey and GenerateRandom.
const RANDOM_MAX_BYTES: u32 = 1024;

/// Of a ciphertext whose key belongs to another account that does not share it.
const NOT_YOURS: &str = "The ciphertext refers to a customer master key that does not exist, does \
                         not exist in this region, or you are not allowed to access.";

/// What a key made of a plaintext.
pub(crate) struct Encrypted {
    pub key: KeyArn,
    pub material: KeyMaterialId,
    pub ciphertext: Vec<u8>,
}

/// What a key made of a ciphertext.
pub(crate) struct Decrypted {
    pub opened: Arc<OpenedKey>,
    pub material: KeyMaterialId,
    pub plaintext: Zeroizing<Vec<u8>>,
}

impl KeyService {
    /// Encrypt.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn encrypt(
        &self,
        caller: &RequestContext,
        input: EncryptInput,
    ) -> Result<EncryptOutput, KmsError> {
        let algorithm = input
            .encryption_algorithm
            .unwrap_or(EncryptionAlgorithm::SymmetricDefault);
        let outcome = until_undisturbed(|| {
            let context = &input.encryption_context;
            let fits = |key: &Key| algorithm_fits(key, algorithm);
            let ask = Ask {
                crypto: Some(Crypto { algorithm, context }),
                dry_run: input.dry_run,
                grant_tokens: &input.grant_tokens,
                fits: Some(&fits),
                ..Ask::plain(Operation::Encrypt)
            };
            let opened = self.admit(caller, &input.key_id, &ask)?;
            self.seal(&opened, algorithm, context, &input.plaintext)
        });
        let key_of = |it: &Encrypted| Some(it.key.id);
        let encrypted = self.record_use("Encrypt", caller, key_of, outcome)?;
        Ok(EncryptOutput {
            ciphertext_blob: encrypted.ciphertext,
            key_id: encrypted.key,
            encryption_algorithm: algorithm,
        })
    }

    /// Decrypt. What a ciphertext of a symmetric key names is enough to decrypt it.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn decrypt(
        &self,
        caller: &RequestContext,
        input: DecryptInput,
    ) -> Result<DecryptOutput, KmsError> {
        let algorithm = input
            .encryption_algorithm
            .unwrap_or(EncryptionAlgorithm::SymmetricDefault);
        let source = Source {
            operation: Operation::Decrypt,
            ciphertext: input.ciphertext_blob.as_deref(),
            key_id: input.key_id.as_deref(),
            algorithm,
            context: &input.encryption_context,
            conditions: Conditions::default(),
            grant_tokens: &input.grant_tokens,
            dry_run: input.dry_run,
            ignore_ciphertext: ignores_ciphertext(&input.dry_run_modifiers),
        };
        let outcome = until_undisturbed(|| self.decrypt_source(caller, &source));
        let key_of = |it: &Decrypted| Some(it.opened.key.arn.id);
        let decrypted = self.record_use("Decrypt", caller, key_of, outcome)?;
        Ok(DecryptOutput {
            key_id: decrypted.opened.key.arn.clone(),
            plaintext: decrypted.plaintext,
            encryption_algorithm: algorithm,
            key_material_id: shown(&decrypted.opened.key, decrypted.material),
        })
    }

    /// ReEncrypt: decrypts under one key and encrypts under another, without letting the plaintext
    /// out.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn re_encrypt(
        &self,
        caller: &RequestContext,
        input: ReEncryptInput,
    ) -> Result<ReEncryptOutput, KmsError> {
        let symmetric = EncryptionAlgorithm::SymmetricDefault;
        let from = input.source_encryption_algorithm.unwrap_or(symmetric);
        let to = input.destination_encryption_algorithm.unwrap_or(symmetric);
        let outcome = until_undisturbed(|| {
            let source = Source {
                operation: Operation::ReEncryptFrom,
                ciphertext: input.ciphertext_blob.as_deref(),
                key_id: input.source_key_id.as_deref(),
                algorithm: from,
                context: &input.source_encryption_context,
                conditions: Conditions::default(),
                grant_tokens: &input.grant_tokens,
                dry_run: input.dry_run,
                ignore_ciphertext: ignores_ciphertext(&input.dry_run_modifiers),
            };
            let destination =
                self.resolve(caller, &input.destination_key_id, Operation::ReEncryptTo)?;
            let on_same_key = self.source_key(caller, &source)?.arn == destination.arn;
            let same =
                Conditions::default().with("kms:ReEncryptOnSameKey", on_same_key.to_string());
            let source = Source {
                conditions: same.clone(),
                ..source
            };
            let context = &input.destination_encryption_context;
            let fits = |key: &Key| algorithm_fits(key, to);
            let ask = Ask {
                conditions: same,
                crypto: Some(Crypto {
                    algorithm: to,
                    context,
                }),
                dry_run: input.dry_run,
                grant_tokens: &input.grant_tokens,
                fits: Some(&fits),
                ..Ask::plain(Operation::ReEncryptTo)
            };
            let decrypted = match self.decrypt_source(caller, &source) {
                // The other half must be right too.
                Err(KmsError::DryRun) => {
                    self.admit_named(caller, &destination, &ask)?;
                    return Err(KmsError::DryRun);
                }
                outcome => outcome?,
            };
            let opened = self.admit_named(caller, &destination, &ask)?;
            let encrypted = self.seal(&opened, to, context, &decrypted.plaintext)?;
            let destination_material = shown(&opened.key, encrypted.material);
            Ok((decrypted, encrypted, destination_material))
        });
        let key_of = |it: &(Decrypted, Encrypted, Option<KeyMaterialId>)| Some(it.1.key.id);
        let (decrypted, encrypted, destination_key_material_id) =
            self.record_use("ReEncrypt", caller, key_of, outcome)?;
        self.remember_use("ReEncrypt", caller, decrypted.opened.key.arn.id);
        Ok(ReEncryptOutput {
            ciphertext_blob: encrypted.ciphertext,
            source_key_id: decrypted.opened.key.arn.clone(),
            key_id: encrypted.key,
            source_encryption_algorithm: from,
            destination_encryption_algorithm: to,
            source_key_material_id: shown(&decrypted.opened.key, decrypted.material),
            destination_key_material_id,
        })
    }

    /// GenerateDataKey.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn generate_data_key(
        &self,
        caller: &RequestContext,
        input: GenerateDataKeyInput,
    ) -> Result<GenerateDataKeyOutput, KmsError> {
        let len_bytes = data_key_len_bytes(input.key_spec, input.number_of_bytes)?;
        let operation = Operation::GenerateDataKey;
        let outcome = until_undisturbed(|| {
            let ask = data_key_ask(
                operation,
                &input.encryption_context,
                &input.grant_tokens,
                input.dry_run,
            );
            let named = self.resolve(caller, &input.key_id, operation)?;
            self.new_data_key(caller, &named, &ask, &input.encryption_context, len_bytes)
        });
        let key_of = |it: &(Encrypted, _)| Some(it.0.key.id);
        let (encrypted, plaintext) = self.record_use(operation.name(), caller, key_of, outcome)?;
        Ok(GenerateDataKeyOutput {
            ciphertext_blob: encrypted.ciphertext,
            plaintext,
            key_id: encrypted.key,
            key_material_id: Some(encrypted.material),
        })
    }

    /// GenerateDataKeyWithoutPlaintext.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn generate_data_key_without_plaintext(
        &self,
        caller: &RequestContext,
        input: GenerateDataKeyWithoutPlaintextInput,
    ) -> Result<GenerateDataKeyWithoutPlaintextOutput, KmsError> {
        let len_bytes = data_key_len_bytes(input.key_spec, input.number_of_bytes)?;
        let operation = Operation::GenerateDataKeyWithoutPlaintext;
        let outcome = until_undisturbed(|| {
            let ask = data_key_ask(
                operation,
                &input.encryption_context,
                &input.grant_tokens,
                input.dry_run,
            );
            let named = self.resolve(caller, &input.key_id, operation)?;
            self.new_data_key(caller, &named, &ask, &input.encryption_context, len_bytes)
        });
        let key_of = |it: &(Encrypted, _)| Some(it.0.key.id);
        let (encrypted, _) = self.record_use(operation.name(), caller, key_of, outcome)?;
        Ok(GenerateDataKeyWithoutPlaintextOutput {
            ciphertext_blob: encrypted.ciphertext,
            key_id: encrypted.key,
            key_material_id: Some(encrypted.material),
        })
    }

    /// GenerateRandom.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn generate_random(
        &self,
        caller: &RequestContext,
        input: GenerateRandomInput,
    ) -> Result<GenerateRandomOutput, KmsError> {
        let Some(len_bytes) = input.number_of_bytes else {
            return Err(KmsError::Validation(
                "NumberOfBytes is required.".to_owned(),
            ));
        };
        let len_bytes = random_len_bytes(len_bytes)?;
        let allowed = self.authorize_service(caller, "kms:GenerateRandom", Conditions::default());
        let no_key = |_: &AccountId| None;
        self.record_use("GenerateRandom", caller, no_key, allowed)?;
        Ok(GenerateRandomOutput {
            plaintext: self.random(len_bytes),
        })
    }

    /// A fresh data key under a key, in both forms.
    pub(crate) fn new_data_key(
        &self,
        caller: &RequestContext,
        named: &Named,
        ask: &Ask<'_>,
        context: &EncryptionContext,
        len_bytes: usize,
    ) -> Result<(Encrypted, Zeroizing<Vec<u8>>), KmsError> {
        let opened = self.admit_named(caller, named, ask)?;
        let plaintext = self.random(len_bytes);
        let algorithm = EncryptionAlgorithm::SymmetricDefault;
        let encrypted = self.seal(&opened, algorithm, context, &plaintext)?;
        Ok((encrypted, plaintext))
    }

    /// Encrypts under the current material of a key that was admitted.
    pub(crate) fn seal(
        &self,
        opened: &OpenedKey,
        algorithm: EncryptionAlgorithm,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Encrypted, KmsError> {
        let key = &opened.key;
        let (id, material) = self.current_material(opened)?;
        let ciphertext = match algorithm {
            EncryptionAlgorithm::SymmetricDefault => seal_blob(
                material.symmetric()?,
                key.arn.id,
                id,
                &key.arn,
                context,
                plaintext,
                &*self.ports.entropy,
            ),
            EncryptionAlgorithm::RsaesOaepSha1
            | EncryptionAlgorithm::RsaesOaepSha256
            | EncryptionAlgorithm::Sm2Pke => {
                check_no_context(context)?;
                material.private()?.encrypt(algorithm, plaintext)?
            }
        };
        Ok(Encrypted {
            key: key.arn.clone(),
            material: id,
            ciphertext,
        })
    }

    /// Decrypts what a request brings, after every check.
    pub(crate) fn decrypt_source(
        &self,
        caller: &RequestContext,
        source: &Source<'_>,
    ) -> Result<Decrypted, KmsError> {
        let named = self.source_key(caller, source)?;
        let fits = |key: &Key| algorithm_fits(key, source.algorithm);
        let ask = Ask {
            dry_run: source.dry_run,
            fits: Some(&fits),
            ..source.ask()
        };
        let opened = self.admit_named(caller, &named, &ask).map_err(|error| {
            match (error, source.key_id) {
                // The request named no key: whose it is, is not told.
                (KmsError::AccessDenied(_), None)
                    if caller.principal.account() != Some(named.arn.account) =>
                {
                    KmsError::AccessDenied(NOT_YOURS.to_owned())
                }
                (error, _) => error,
            }
        })?;
        let ciphertext = source.ciphertext.ok_or_else(no_ciphertext)?;
        let (material, plaintext) = match source.algorithm {
            EncryptionAlgorithm::SymmetricDefault => {
                let blob =
                    CiphertextBlob::parse(ciphertext).map_err(|_| KmsError::InvalidCiphertext)?;
                let id = blob.material_id();
                let material = self.material(&opened, id)?;
                let plaintext = blob
                    .open(material.symmetric()?, &opened.key.arn, source.context)
                    .map_err(|_| KmsError::InvalidCiphertext)?;
                (id, plaintext)
            }
            EncryptionAlgorithm::RsaesOaepSha1
            | EncryptionAlgorithm::RsaesOaepSha256
            | EncryptionAlgorithm::Sm2Pke => {
                check_no_context(source.context)?;
                let (id, material) = self.current_material(&opened)?;
                let plaintext = material.private()?.decrypt(source.algorithm, ciphertext)?;
                (id, plaintext)
            }
        };
        Ok(Decrypted {
            opened,
            material,
            plaintext,
        })
    }

    /// The key that decrypts: the one that a symmetric ciphertext names, which must be the one that
    /// the request names if it does.
    pub(crate) fn source_key(
        &self,
        caller: &RequestContext,
        source: &Source<'_>,
    ) -> Result<Named, KmsError> {
        let named = source
            .key_id
            .map(|key_id| self.resolve(caller, key_id, source.operation))
            .transpose()?;
        let ignored = source.dry_run && source.ignore_ciphertext;
        let Some(ciphertext) = source.ciphertext.filter(|_| !ignored) else {
            return named.filter(|_| ignored).ok_or_else(no_ciphertext);
        };
        if source.algorithm != EncryptionAlgorithm::SymmetricDefault {
            return named.ok_or_else(|| {
                KmsError::Validation(
                    "KeyId is required to decrypt a ciphertext of an asymmetric key.".to_owned(),
                )
            });
        }
        let blob = CiphertextBlob::parse(ciphertext).map_err(|_| KmsError::InvalidCiphertext)?;
        match named {
            Some(named) if named.arn.id == blob.key_id() => Ok(named),
            Some(named) => {
                // Whether the other key is there, only those learn who may use it.
                self.authorize_key(caller, &named, &source.ask())?;
                Err(KmsError::IncorrectKey)
            }
            None => self.owner_of(caller, &blob, source.operation),
        }
    }

    /// The key that a ciphertext names: in the caller's account, or wherever its material is.
    fn owner_of(
        &self,
        caller: &RequestContext,
        blob: &CiphertextBlob<'_>,
        operation: Operation,
    ) -> Result<Named, KmsError> {
        let account = Self::account_of(caller, operation.action())?;
        let own = self.arn(account, blob.key_id());
        // No two keys have one id: whether this one is still there is seen when it is admitted.
        if self.shared.opened.knows(&own) || self.opened_key(&own)?.is_some() {
            return Ok(own.into());
        }
        let row_key = keys::material(blob.key_id(), blob.material_id());
        let row = self.read::<MaterialRow>(Table::KMS_MATERIALS, &row_key)?;
        let Some((row, _)) = row else {
            // A service decrypts what it was given itself, and may tell that the key is gone. Anybody
            // else gets the answer for keys of others: whether an id is taken, is not told.
            return match caller.via_service {
                Some(_) => Ok(own.into()),
                None => Err(KmsError::AccessDenied(NOT_YOURS.to_owned())),
            };
        };
        if row.region != self.options.region.as_str() {
            return Ok(own.into());
        }
        let owner = AccountId::parse(&row.account).map_err(|_| damaged())?;
        Ok(self.arn(owner, blob.key_id()).into())
    }

    pub(crate) fn random(&self, len_bytes: usize) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(vec![0; len_bytes]);
        self.ports.entropy.fill(&mut bytes);
        bytes
    }
}

/// What shall be decrypted, and how.
pub(crate) struct Source<'a> {
    pub operation: Operation,
    pub ciphertext: Option<&'a [u8]>,
    pub key_id: Option<&'a str>,
    pub algorithm: EncryptionAlgorithm,
    pub context: &'a EncryptionContext,
    pub conditions: Conditions,
    pub grant_tokens: &'a [String],
    pub dry_run: bool,
    /// `IGNORE_CIPHERTEXT`: of a dry run, needs no ciphertext.
    pub ignore_ciphertext: bool,
}

impl Source<'_> {
    /// What decrypting asks of the key's owner.
    fn ask(&self) -> Ask<'_> {
        Ask {
            conditions: self.conditions.clone(),
            crypto: Some(Crypto {
                algorithm: self.algorithm,
                context: self.context,
            }),
            grant_tokens: self.grant_tokens,
            ..Ask::plain(self.operation)
        }
    }
}

/// What making a data key asks of its key.
pub(crate) fn data_key_ask<'a>(
    operation: Operation,
    context: &'a EncryptionContext,
    grant_tokens: &'a [String],
    dry_run: bool,
) -> Ask<'a> {
    Ask {
        crypto: Some(Crypto {
            algorithm: EncryptionAlgorithm::SymmetricDefault,
            context,
        }),
        dry_run,
        grant_tokens,
        ..Ask::plain(operation)
    }
}

fn algorithm_fits(key: &Key, algorithm: EncryptionAlgorithm) -> Result<(), KmsError> {
    if key.spec.encryption_algorithms().contains(&algorithm) {
        return Ok(());
    }
    Err(KmsError::InvalidKeyUsage(format!(
        "Algorithm {} is incompatible with key spec {}.",
        algorithm.name(),
        key.spec.name()
    )))
}

/// RSA binds a ciphertext to nothing, so that a context would be a promise not kept.
fn check_no_context(context: &EncryptionContext) -> Result<(), KmsError> {
    if context.is_empty() {
        return Ok(());
    }
    Err(KmsError::Validation(
        "An encryption context cannot be specified for an asymmetric KMS key.".to_owned(),
    ))
}

/// Only symmetric keys have materials that are told apart.
fn shown(key: &Key, material: KeyMaterialId) -> Option<KeyMaterialId> {
    (key.spec == KeySpec::SymmetricDefault).then_some(material)
}

fn ignores_ciphertext(modifiers: &[String]) -> bool {
    modifiers.iter().any(|it| it == "IGNORE_CIPHERTEXT")
}

fn no_ciphertext() -> KmsError {
    KmsError::Validation(
        "1 validation error detected: Value at 'ciphertextBlob' failed to satisfy constraint: \
         Member must not be null"
            .to_owned(),
    )
}

fn data_key_len_bytes(
    spec: Option<DataKeySpec>,
    number_of_bytes: Option<u32>,
) -> Result<usize, KmsError> {
    match (spec, number_of_bytes) {
        (Some(spec), None) => Ok(spec.len_bytes()),
        (None, Some(len_bytes)) => random_len_bytes(len_bytes),
        (Some(_), Some(_)) | (None, None) => Err(KmsError::Validation(
            "Please specify either number of bytes or key spec.".to_owned(),
        )),
    }
}

fn random_len_bytes(len_bytes: u32) -> Result<usize, KmsError> {
    let bound = match len_bytes {
        0 => "greater than or equal to 1".to_owned(),
        1..=RANDOM_MAX_BYTES => return Ok(usize::try_from(len_bytes).unwrap_or_default()),
        _ => format!("less than or equal to {RANDOM_MAX_BYTES}"),
    };
    Err(KmsError::Validation(format!(
        "1 validation error detected: Value '{len_bytes}' at 'numberOfBytes' failed to satisfy \
         constraint: Member must have value {bound}"
    )))
}
