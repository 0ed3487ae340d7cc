//! Imported key material: GetParametersForImport, ImportKeyMaterial, DeleteImportedKeyMaterial, and
//! its expiry.
//!
//! ```text
//! import: shred key, durable  -->  commit: wrapped material, key's row  -->  in use
//! delete: commit: key's row, order to destroy  -->  shred key destroyed  -->  commit: order done
//! ```
//!
//! Material that is gone can be imported again, and then opens what it sealed before: its id, which
//! ciphertexts name, comes from its bytes and from the key.

#[cfg(test)]
mod model;
mod rules;
#[cfg(test)]
pub(crate) mod tests;
mod token;

use strongroom_asymmetric::{AsymmetricError, ImportWrappingKey};
use strongroom_audit::{Event, Params};
use strongroom_policy::Conditions;
use strongroom_ports::{Table, Transaction};
use strongroom_types::kms::{
    ExpirationModel, ImportType, KeyArn, KeyMaterialId, WrappingAlgorithm,
};
use strongroom_types::{RequestContext, Timestamp};

use crate::access::Ask;
use crate::cache::OpenedKey;
use crate::key::{Import, Key, KeyMaterial};
use crate::materials::Material;
use crate::operation::Operation;
use crate::trail::{self, Asked};
use crate::{
    DeleteImportedKeyMaterialInput, DeleteImportedKeyMaterialOutput, GetParametersForImportInput,
    GetParametersForImportOutput, ImportKeyMaterialInput, ImportKeyMaterialOutput, KeyService,
    KmsError, keys,
};
use rules::Place;
pub(crate) use rules::available_pending;
use strongroom_rows::until_undisturbed;
use token::{ImportToken, TOKEN_LIFE_MILLIS};

impl KeyService {
    /// A fresh key pair to wrap material under, and a token that brings it back.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `GetParametersForImport` of the KMS API Reference.
    pub fn get_parameters_for_import(
        &self,
        caller: &RequestContext,
        input: GetParametersForImportInput,
    ) -> Result<GetParametersForImportOutput, KmsError> {
        let ask = Ask {
            conditions: Conditions::default()
                .with("kms:WrappingAlgorithm", input.wrapping_algorithm.name())
                .with("kms:WrappingKeySpec", input.wrapping_key_spec.name()),
            ..Ask::plain(Operation::GetParametersForImport)
        };
        let opened = self.admit(caller, &input.key_id, &ask)?;
        check_algorithm(input.wrapping_algorithm)?;
        let token = ImportToken {
            key: opened.key.arn.id,
            algorithm: input.wrapping_algorithm,
            expires: Timestamp::from_millis(self.now().as_millis() + TOKEN_LIFE_MILLIS),
            wrapping_key: ImportWrappingKey::generate(input.wrapping_key_spec)?,
        };
        Ok(GetParametersForImportOutput {
            key_id: opened.key.arn.clone(),
            import_token: token.seal(self.ports.rows.custody.rows(), &*self.ports.entropy),
            public_key: token.wrapping_key.public_key_der().to_vec(),
            parameters_valid_to: token.expires,
        })
    }

    /// Gives a key material of the caller's.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `ImportKeyMaterial` of the KMS API Reference.
    pub fn import_key_material(
        &self,
        caller: &RequestContext,
        input: ImportKeyMaterialInput,
    ) -> Result<ImportKeyMaterialOutput, KmsError> {
        let model = input.expiration_model.unwrap_or(ExpirationModel::Expires);
        let mut conditions = Conditions::default().with("kms:ExpirationModel", model.name());
        if let Some(valid_to) = input.valid_to {
            conditions = conditions.with("kms:ValidTo", valid_to.to_iso8601());
        }
        let ask = Ask {
            conditions,
            ..Ask::plain(Operation::ImportKeyMaterial)
        };
        let named = self.resolve(caller, &input.key_id, ask.operation)?;
        let opened = self.admit_named(caller, &named, &ask)?;
        let material = self.unwrap_import(&opened.key, &input)?;
        let id = until_undisturbed(|| {
            let opened = self.admit_named(caller, &named, &ask)?;
            self.import(caller, &opened, &material, &input)
        })?;
        Ok(ImportKeyMaterialOutput {
            key_id: named.arn,
            key_material_id: Some(id),
        })
    }

    /// The material in the request, as material of the key's kind.
    fn unwrap_import(
        &self,
        key: &Key,
        input: &ImportKeyMaterialInput,
    ) -> Result<Material, KmsError> {
        let token = ImportToken::open(&input.import_token, self.ports.rows.custody.rows())?;
        if token.key != key.arn.id {
            return Err(token::invalid_token());
        }
        if self.now() >= token.expires {
            return Err(KmsError::ExpiredImportToken(
                "The import token has expired.".to_owned(),
            ));
        }
        let bytes = token
            .wrapping_key
            .unwrap(token.algorithm, &input.encrypted_key_material)
            .map_err(|_| KmsError::InvalidCiphertext)?;
        Material::parse(key.spec, &bytes).ok_or_else(|| {
            KmsError::IncorrectKeyMaterial(format!(
                "The key material in the request is not valid for a KMS key with KeySpec {}.",
                key.spec.name()
            ))
        })
    }

    fn import(
        &self,
        caller: &RequestContext,
        opened: &OpenedKey,
        material: &Material,
        input: &ImportKeyMaterialInput,
    ) -> Result<KeyMaterialId, KmsError> {
        let now = self.now();
        let valid_to = rules::valid_to(input.expiration_model, input.valid_to, now)?;
        let mut key = opened.key.clone();
        let id = material.id(&key.arn);
        let expected = input.key_material_id.as_deref().map(parse_id).transpose()?;
        let place = rules::place(&key, id, input.import_type, expected, now)?;
        let told = self.told(&Self::asked_to_import(caller, &opened.key.arn, id, input));
        let mut transaction = expect_unchanged(opened);
        let mut doomed = None;
        let known = key.material(id).and_then(|known| known.import.clone());
        let import = Import {
            present: true,
            valid_to,
            description: input
                .key_material_description
                .clone()
                .or_else(|| known.as_ref().and_then(|known| known.description.clone())),
        };
        // The same bytes are kept already: only what is said of them changes.
        if place == Place::Again && known.is_some_and(|known| known.present) {
            set_import(&mut key, id, None, import);
            let transaction = self.put_key(transaction, &key)?;
            self.commit(transaction, &told, &[&opened.key.arn])?;
            return Ok(id);
        }
        if place == Place::Pending
            && let Some(expired) = take_pending(&mut key)
        {
            transaction = self.doom_material(transaction, &key.arn, &expired)?;
            doomed = Some(expired.shred);
        }
        let kept = self.keep_material(&key.arn, key.spec, material, Some(import.clone()))?;
        match place {
            Place::First => {
                key.materials.push(kept.entry.clone());
                key.current = Some(id);
            }
            Place::Pending => {
                key.materials.push(kept.entry.clone());
                key.pending = Some(id);
            }
            Place::Again => set_import(&mut key, id, Some(kept.entry.shred), import),
        }
        self.commit_kept(transaction, &key, &kept, &told)?;
        self.destroy_all(doomed);
        Ok(id)
    }

    fn asked_to_import<'a>(
        caller: &'a RequestContext,
        key: &KeyArn,
        id: KeyMaterialId,
        input: &ImportKeyMaterialInput,
    ) -> Asked<'a> {
        let mut params = trail::key_id(&input.key_id);
        if let Some(valid_to) = input.valid_to {
            params = params.time("validTo", valid_to);
        }
        let params = params
            .optional(
                "expirationModel",
                input.expiration_model.map(ExpirationModel::name),
            )
            .optional("importType", input.import_type.map(ImportType::name))
            .optional(
                "keyMaterialDescription",
                input.key_material_description.as_deref(),
            )
            .optional("keyMaterialId", input.key_material_id.as_deref());
        let response = Params::new()
            .shown("keyId", key)
            .shown("keyMaterialId", &id);
        Asked::of(caller, Operation::ImportKeyMaterial, key, params).answering(response)
    }

    /// Destroys imported material; the key cannot be used until it is imported again.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `DeleteImportedKeyMaterial` of the KMS API Reference.
    pub fn delete_imported_key_material(
        &self,
        caller: &RequestContext,
        input: DeleteImportedKeyMaterialInput,
    ) -> Result<DeleteImportedKeyMaterialOutput, KmsError> {
        let ask = Ask::plain(Operation::DeleteImportedKeyMaterial);
        let named = self.resolve(caller, &input.key_id, ask.operation)?;
        let asked_for = input.key_material_id.as_deref().map(parse_id).transpose()?;
        let id = until_undisturbed(|| {
            let opened = self.admit_named(caller, &named, &ask)?;
            let key = &opened.key;
            let mut params = trail::key_id(&input.key_id);
            if let Some(id) = &input.key_material_id {
                params = params.text("keyMaterialId", id);
            }
            let asked = Asked::of(caller, ask.operation, &key.arn, params);
            let Some(id) = asked_for.or(key.current) else {
                self.note(&asked)?;
                return Ok(None);
            };
            if key.material(id).is_none() {
                return Err(KmsError::NotFound(format!(
                    "Key material {id} does not exist in {}",
                    key.arn
                )));
            }
            let asked = asked.answering(
                Params::new()
                    .shown("keyId", &key.arn)
                    .shown("keyMaterialId", &id),
            );
            if self.remove_imports(&opened, &[id], &self.told(&asked))? == 0 {
                self.note(&asked)?;
            }
            Ok(Some(id))
        })?;
        if id.is_some() {
            self.warn_of_deleted_material(&named.arn);
        }
        Ok(DeleteImportedKeyMaterialOutput {
            key_id: named.arn,
            key_material_id: id,
        })
    }

    /// Destroys the imported material of a key whose time is over. How many there were.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub(crate) fn expire_materials(&self, arn: &KeyArn) -> Result<usize, KmsError> {
        until_undisturbed(|| {
            let now = self.now();
            let Some(opened) = self.opened_key(arn)? else {
                return Ok(0);
            };
            let expired: Vec<KeyMaterialId> = opened
                .key
                .materials
                .iter()
                .filter(|it| it.import.as_ref().is_some_and(|import| import.present))
                .filter(|it| !it.is_available(now))
                .map(|it| it.id)
                .collect();
            let told = [self.by_itself("DeleteExpiredKeyMaterial", arn)];
            self.remove_imports(&opened, &expired, &told)
        })
    }

    /// Takes these materials from the key, as far as they are there, and destroys them. One that was
    /// never in use is forgotten; of others the key remembers the id.
    fn remove_imports(
        &self,
        opened: &OpenedKey,
        ids: &[KeyMaterialId],
        told: &[Event],
    ) -> Result<usize, KmsError> {
        let mut key = opened.key.clone();
        let mut transaction = expect_unchanged(opened).taking_away();
        let mut doomed = Vec::new();
        for material in &opened.key.materials {
            let present = material.import.as_ref().is_some_and(|it| it.present);
            if !present || !ids.contains(&material.id) {
                continue;
            }
            transaction = self.doom_material(transaction, &key.arn, material)?;
            doomed.push(material.shred);
            if key.pending == Some(material.id) {
                take_pending(&mut key);
            } else {
                let description = material
                    .import
                    .as_ref()
                    .and_then(|it| it.description.clone());
                let gone = Import {
                    present: false,
                    valid_to: None,
                    description,
                };
                set_import(&mut key, material.id, None, gone);
            }
        }
        if doomed.is_empty() {
            return Ok(0);
        }
        let transaction = self.put_key(transaction, &key)?;
        self.commit(transaction, told, &[&key.arn])?;
        let removed = doomed.len();
        self.destroy_all(doomed);
        Ok(removed)
    }

    /// Destroys shred keys at once. The order to do so is durable, so that what fails here is tried
    /// again in the background.
    fn destroy_all(&self, shreds: impl IntoIterator<Item = strongroom_crypto::ShredId>) {
        for shred in shreds {
            if let Err(error) = self.destroy_doomed(shred) {
                tracing::warn!(%error, %shred, "a shred key is to be destroyed later");
            }
        }
    }
}

/// Wrapping algorithms that no import can use are refused before a key pair is made.
fn check_algorithm(algorithm: WrappingAlgorithm) -> Result<(), KmsError> {
    match algorithm {
        WrappingAlgorithm::RsaesOaepSha1
        | WrappingAlgorithm::RsaesOaepSha256
        | WrappingAlgorithm::RsaAesKeyWrapSha1
        | WrappingAlgorithm::RsaAesKeyWrapSha256 => Ok(()),
        WrappingAlgorithm::RsaesPkcs1V15 | WrappingAlgorithm::Sm2Pke => {
            Err(AsymmetricError::UnsupportedWrappingAlgorithm(algorithm).into())
        }
    }
}

fn set_import(
    key: &mut Key,
    id: KeyMaterialId,
    shred: Option<strongroom_crypto::ShredId>,
    import: Import,
) {
    if let Some(material) = key.materials.iter_mut().find(|it| it.id == id) {
        material.import = Some(import);
        material.shred = shred.unwrap_or(material.shred);
    }
}

/// Takes the material that was never in use from the key.
fn take_pending(key: &mut Key) -> Option<KeyMaterial> {
    let pending = key.pending.take()?;
    let at = key.materials.iter().position(|it| it.id == pending)?;
    Some(key.materials.remove(at))
}

fn expect_unchanged(opened: &OpenedKey) -> Transaction {
    let row_key = keys::key(&opened.key.arn);
    Transaction::new().expect(Table::KMS_KEYS, row_key, Some(opened.version))
}

fn parse_id(text: &str) -> Result<KeyMaterialId, KmsError> {
    KeyMaterialId::parse(text)
        .ok_or_else(|| KmsError::Validation(format!("Invalid keyMaterialId '{text}'")))
}
