//! Key material: made, kept under a shred key of its own, opened for use, doomed.

use std::sync::Arc;

use strongroom_asymmetric::{AsymmetricError, MacKey, PrivateKey};
use strongroom_crypto::{
    Keyring, MaterialIdentity, ShredId, ShredKey, SymmetricMaterial, Unsealed, material_id,
};
use strongroom_ports::{Table, Transaction};
use strongroom_types::kms::{KeyArn, KeyMaterialId, KeySpec};
use zeroize::Zeroizing;

use crate::cache::OpenedKey;
use crate::key::{Import, KeyMaterial};
use crate::rows::{DoomedShredRow, MaterialRow};
use crate::service::damaged;
use crate::{KeyService, KmsError, keys};

/// Shred keys verified in a round of due work.
const SCRUBBED_AT_ONCE: usize = 16;

/// Opened material, by what it can do.
pub(crate) enum Material {
    Symmetric(SymmetricMaterial),
    Mac(MacKey),
    Private(Box<PrivateKey>),
}

impl Material {
    /// Fresh material for a key of that spec. Of RSA it takes long.
    pub(crate) fn generate(service: &KeyService, spec: KeySpec) -> Result<Self, KmsError> {
        let entropy = &*service.ports.entropy;
        if spec == KeySpec::SymmetricDefault {
            Ok(Self::Symmetric(SymmetricMaterial::random(entropy)))
        } else if spec.is_asymmetric() {
            let key = PrivateKey::generate(spec).map_err(unmade)?;
            Ok(Self::Private(Box::new(key)))
        } else {
            Ok(Self::Mac(MacKey::generate(spec, entropy).map_err(unmade)?))
        }
    }

    /// Material of that spec from its bytes: 32 of a symmetric key, PKCS#8 in DER of an asymmetric
    /// one. `None` if they are none.
    pub(crate) fn parse(spec: KeySpec, bytes: &[u8]) -> Option<Self> {
        if spec == KeySpec::SymmetricDefault {
            SymmetricMaterial::parse(bytes).ok().map(Self::Symmetric)
        } else if spec.is_asymmetric() {
            let key = PrivateKey::from_pkcs8(spec, bytes).ok()?;
            Some(Self::Private(Box::new(key)))
        } else {
            MacKey::from_bytes(spec, bytes).ok().map(Self::Mac)
        }
    }

    /// The id that it has as material of `arn`.
    pub(crate) fn id(&self, arn: &KeyArn) -> KeyMaterialId {
        material_id(arn.id, self.bytes())
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Symmetric(material) => material.expose(),
            Self::Mac(key) => key.bytes(),
            Self::Private(key) => key.pkcs8(),
        }
    }

    /// The material of a symmetric key.
    pub(crate) fn symmetric(&self) -> Result<&SymmetricMaterial, KmsError> {
        match self {
            Self::Symmetric(material) => Ok(material),
            Self::Mac(_) | Self::Private(_) => Err(damaged()),
        }
    }

    /// The material of an HMAC key.
    pub(crate) fn mac(&self) -> Result<&MacKey, KmsError> {
        match self {
            Self::Mac(key) => Ok(key),
            Self::Symmetric(_) | Self::Private(_) => Err(damaged()),
        }
    }

    /// The material of an asymmetric key.
    pub(crate) fn private(&self) -> Result<&PrivateKey, KmsError> {
        match self {
            Self::Private(key) => Ok(key),
            Self::Symmetric(_) | Self::Mac(_) => Err(damaged()),
        }
    }
}

/// Material that is wrapped, with its shred key durable, and that no row names yet.
pub(crate) struct KeptMaterial {
    /// What the key's row will say of it.
    pub entry: KeyMaterial,
    row: MaterialRow,
    /// The ring that wrapped it: kept until the transaction is committed, so that no version of the
    /// root key is retired that it needs.
    _ring: Arc<Keyring<Unsealed>>,
}

impl KeyService {
    /// Keeps material for the key `arn`: draws a shred key, makes it durable, wraps the material.
    ///
    /// The transaction that names the material comes after: a crash in between leaves a shred key
    /// that nothing needs. If the transaction does not happen, [`KeyService::discard`] it.
    ///
    /// # Errors
    ///
    /// [`KmsError::Unavailable`].
    pub(crate) fn keep_material(
        &self,
        arn: &KeyArn,
        spec: KeySpec,
        material: &Material,
        import: Option<Import>,
    ) -> Result<KeptMaterial, KmsError> {
        let entropy = &*self.ports.entropy;
        let ring = self.ports.rows.custody.ring();
        let shred = ShredId::random(entropy);
        let shred_key = ShredKey::random(entropy);
        self.ports.shreds.put(
            *shred.as_bytes(),
            &ring.seal_shred_key(shred, &shred_key, entropy),
        )?;
        let identity = MaterialIdentity {
            arn: arn.clone(),
            material: material.id(arn),
            spec,
        };
        let wrapped = ring.wrap_material(&shred_key, &identity, material.bytes(), entropy);
        Ok(KeptMaterial {
            entry: KeyMaterial {
                id: identity.material,
                shred,
                created: self.now(),
                rotated: None,
                import,
            },
            row: MaterialRow {
                wrapped,
                shred: *shred.as_bytes(),
                account: arn.account.to_string(),
                region: arn.region.to_string(),
            },
            _ring: ring,
        })
    }

    /// Adds the row of a kept material to the transaction that names it.
    pub(crate) fn put_material(
        &self,
        transaction: Transaction,
        arn: &KeyArn,
        kept: &KeptMaterial,
    ) -> Result<Transaction, KmsError> {
        let row_key = keys::material(arn.id, kept.entry.id);
        self.put(transaction, Table::KMS_MATERIALS, row_key, &kept.row)
    }

    /// Destroys the shred key of a material whose transaction certainly did not happen. A failure
    /// leaves a file that nothing needs.
    pub(crate) fn discard(&self, kept: &KeptMaterial) {
        if let Err(error) = self.ports.shreds.destroy(*kept.entry.shred.as_bytes()) {
            tracing::warn!(%error, "an unused shred key stays");
        }
    }

    /// Adds to `transaction` the removal of a material and the order to destroy its shred key, which
    /// [`KeyService::run_due_work`] carries out after the commit.
    pub(crate) fn doom_material(
        &self,
        transaction: Transaction,
        arn: &KeyArn,
        material: &KeyMaterial,
    ) -> Result<Transaction, KmsError> {
        let transaction =
            transaction.delete(Table::KMS_MATERIALS, keys::material(arn.id, material.id));
        let row = DoomedShredRow {
            since_millis: self.now().as_millis(),
        };
        let row_key = keys::doomed_shred(material.shred);
        self.put(transaction, Table::KMS_MATERIALS, row_key, &row)
    }

    /// Carries out the order of [`KeyService::doom_material`] at once. What fails is tried again in
    /// the background.
    pub(crate) fn destroy_doomed(&self, shred: ShredId) -> Result<(), KmsError> {
        self.ports.shreds.destroy(*shred.as_bytes())?;
        let transaction =
            Transaction::new().delete(Table::KMS_MATERIALS, keys::doomed_shred(shred));
        self.ports.rows.meta.commit(transaction).wait()?;
        Ok(())
    }

    /// The material of that id of a key that was admitted.
    ///
    /// # Errors
    ///
    /// [`KmsError::NotInMemory`] where only memory may be asked and it is not open;
    /// [`KmsError::Damaged`] where it does not open; [`KmsError::InvalidCiphertext`] if the key has
    /// no such material.
    pub(crate) fn material(
        &self,
        opened: &OpenedKey,
        id: KeyMaterialId,
    ) -> Result<Arc<Material>, KmsError> {
        let key = &opened.key;
        // What is asked of memory runs where nothing may compute for long.
        if self.is_resident() && key.spec.is_asymmetric() {
            return Err(KmsError::NotInMemory);
        }
        if let Some(material) = opened.material(id) {
            return Ok(material);
        }
        let Some(known) = key.material(id) else {
            return Err(KmsError::InvalidCiphertext);
        };
        if self.is_resident() {
            return Err(KmsError::NotInMemory);
        }
        let row_key = keys::material(key.arn.id, id);
        let (row, _) = self
            .read::<MaterialRow>(Table::KMS_MATERIALS, &row_key)?
            .ok_or_else(|| self.vanished(opened))?;
        let shred_key = self
            .shred_key(known.shred)?
            .ok_or_else(|| self.vanished(opened))?;
        let identity = MaterialIdentity {
            arn: key.arn.clone(),
            material: id,
            spec: key.spec,
        };
        let ring = self.ports.rows.custody.ring();
        let bytes: Zeroizing<Vec<u8>> = ring
            .unwrap_material(&shred_key, &identity, &row.wrapped)
            .map_err(|_| damaged())?;
        let material = Arc::new(Material::parse(key.spec, &bytes).ok_or_else(damaged)?);
        opened.keep(id, Arc::clone(&material));
        Ok(material)
    }

    /// The material that encrypts, and its id.
    pub(crate) fn current_material(
        &self,
        opened: &OpenedKey,
    ) -> Result<(KeyMaterialId, Arc<Material>), KmsError> {
        let id = opened.key.current.ok_or_else(damaged)?;
        Ok((id, self.material(opened, id)?))
    }

    /// Material that the row named is not there: it went after the row was read, or it is lost.
    fn vanished(&self, opened: &OpenedKey) -> KmsError {
        match self.opened_key(&opened.key.arn) {
            Ok(Some(again)) if again.version == opened.version => damaged(),
            Ok(_) => KmsError::Contention,
            Err(error) => error,
        }
    }

    fn shred_key(&self, id: ShredId) -> Result<Option<ShredKey>, KmsError> {
        let ring = self.ports.rows.custody.ring();
        let Some(first) = self.ports.shreds.get(*id.as_bytes())? else {
            return Ok(None);
        };
        if let Ok(key) = ring.open_shred_key(id, &first) {
            return Ok(Some(key));
        }
        let (key, _) = self.verify_shred(id)?;
        key.map_or_else(|| Err(damaged()), |key| Ok(Some(key)))
    }

    /// Looks at every copy of a shred key and repairs those that do not verify, if one does. That
    /// key, if there is one, and whether something was repaired.
    pub(crate) fn verify_shred(&self, id: ShredId) -> Result<(Option<ShredKey>, bool), KmsError> {
        let ring = self.ports.rows.custody.ring();
        let copies = self.ports.shreds.get_copies(*id.as_bytes())?;
        let mut good = None;
        let mut bad = 0;
        for copy in &copies {
            match ring.open_shred_key(id, copy) {
                Ok(key) => good = good.or(Some((key, copy))),
                Err(_) => bad += 1,
            }
        }
        if bad > 0 {
            tracing::error!(shred = %id, bad, repairable = good.is_some(), "copies of a shred key do not verify");
            metrics::counter!("strongroom_integrity_events_total", "what" => "shred").increment(1);
        }
        let Some((key, content)) = good else {
            return Ok((None, false));
        };
        if bad > 0 {
            // A failure costs nothing but the second copy.
            match self.ports.shreds.repair(*id.as_bytes(), content) {
                Ok(()) => return Ok((Some(key), true)),
                Err(error) => tracing::error!(%error, shred = %id, "a copy stays bad"),
            }
        }
        Ok((Some(key), false))
    }

    /// Verifies a few shred keys, the next ones in each call, so that a copy that went bad is
    /// replaced while the other one is good. How many were repaired.
    pub(crate) fn scrub_shreds(&self) -> Result<usize, KmsError> {
        let mut left = self.shared.to_scrub.lock();
        if left.is_empty() {
            *left = self.ports.shreds.list()?;
        }
        let keep = left.len().saturating_sub(SCRUBBED_AT_ONCE);
        let next = left.split_off(keep);
        drop(left);
        let mut repaired = 0;
        for id in next {
            // This restores a copy that is missing.
            if self.ports.shreds.get(id)?.is_none() {
                continue;
            }
            let (_, was_repaired) = self.verify_shred(ShredId::from_bytes(id))?;
            repaired += usize::from(was_repaired);
        }
        Ok(repaired)
    }
}

/// A spec that the cipher library does not make was refused before.
fn unmade(error: AsymmetricError) -> KmsError {
    tracing::error!(%error, "key material cannot be made");
    KmsError::Unavailable
}
