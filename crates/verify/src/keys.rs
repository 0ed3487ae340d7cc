//! Opening data keys, with what the key ring and the key service's rows give.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_crypto::{
    BodyKeys, CiphertextBlob, CustomerKey, DataKey, KEY_LEN_BYTES, Keyring, KmsDataKey,
    MaterialIdentity, ObjectIdentity, RingError, Sealed, ShredId, SymmetricMaterial, Unsealed,
    WrapMode, WrappedKey,
};
use strongroom_ports::{MetaStore, Table};
use strongroom_recover::records::{KmsEncryption, KmsKey, KmsMaterial};
use strongroom_types::kms::{KeyArn, KeyId, KeyMaterialId, KeySpec};
use strongroom_types::{AccountId, Region};
use zeroize::Zeroizing;

use crate::rows::{Opened, RowFault, Sealer};
use crate::text::hex;

/// The ring as it is now: a rotation replaces it.
pub type CurrentRing = Arc<dyn Fn() -> Arc<Keyring<Unsealed>> + Send + Sync>;

/// Opens a copy of the ring's file with the unseal key, which whoever has it keeps.
pub type UnsealRing =
    Box<dyn Fn(Keyring<Sealed>) -> Result<Keyring<Unsealed>, RingError> + Send + Sync>;

/// What opens everything.
pub struct Custody {
    /// The open key ring.
    pub ring: CurrentRing,
    /// Opens its file.
    pub unseal: UnsealRing,
    /// Customer keys, for objects under SSE-C. Each is tried.
    pub customer_keys: Vec<CustomerKey>,
}

/// Why there is no data key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NoKey {
    /// None of the customer keys opens it, or there is none.
    Customer,
    /// The key of the key service cannot be used now: its ARN, and its state.
    Unavailable(String, &'static str),
    /// It does not open, though everything is there.
    Damaged(&'static str),
}

/// A key's materials that were opened.
type Materials = HashMap<([u8; 16], [u8; 32]), Result<Arc<Material>, NoKey>>;

struct Material {
    arn: KeyArn,
    bytes: Zeroizing<Vec<u8>>,
}

/// Opens data keys.
pub(crate) struct Keys<'a> {
    pub(crate) custody: &'a Custody,
    pub(crate) meta: &'a dyn MetaStore,
    pub(crate) sealer: &'a Sealer,
    pub(crate) shreds: &'a Path,
    materials: Mutex<Materials>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(
        custody: &'a Custody,
        meta: &'a dyn MetaStore,
        sealer: &'a Sealer,
        shreds: &'a Path,
    ) -> Self {
        Self {
            custody,
            meta,
            sealer,
            shreds,
            materials: Mutex::default(),
        }
    }

    /// Forgets what was opened before: keys may have changed.
    pub(crate) fn forget(&self) {
        let mut materials = self.materials.lock();
        if let Ok(materials) = &mut materials {
            materials.clear();
        }
    }

    pub(crate) fn ring(&self) -> Arc<Keyring<Unsealed>> {
        (self.custody.ring)()
    }

    /// The keys of a body.
    pub(crate) fn body_keys(
        &self,
        wrapped: &WrappedKey,
        kms: Option<&KmsEncryption>,
        object: &ObjectIdentity,
    ) -> Result<BodyKeys, NoKey> {
        match wrapped.mode() {
            WrapMode::RootRing { .. } => {
                let key = self.ring().unwrap_data_key(wrapped, object);
                key.map(BodyKeys::single)
                    .map_err(|_| NoKey::Damaged("the wrapped data key does not open"))
            }
            WrapMode::CustomerKey => {
                let mut keys = self.custody.customer_keys.iter();
                let opened = keys.find_map(|key| key.unwrap_data_key(wrapped, object).ok());
                opened.map(BodyKeys::single).ok_or(NoKey::Customer)
            }
            WrapMode::Kms => self.kms_key(wrapped, kms, object).map(BodyKeys::single),
            WrapMode::TwoLayers { .. } => {
                let outer = self.ring().unwrap_outer_key(wrapped, object).map_err(|_| {
                    NoKey::Damaged("the wrapped key of the outer layer does not open")
                })?;
                let inner = self.kms_key(wrapped, kms, object)?;
                Ok(BodyKeys::two_layers(inner, outer))
            }
        }
    }

    fn kms_key(
        &self,
        wrapped: &WrappedKey,
        kms: Option<&KmsEncryption>,
        object: &ObjectIdentity,
    ) -> Result<DataKey, NoKey> {
        let unreadable = NoKey::Damaged("the record of its KMS key cannot be read");
        let kms = kms.ok_or(unreadable.clone())?;
        let blob = wrapped.kms_blob().ok_or(unreadable.clone())?;
        let elsewhere = || NoKey::Unavailable(kms.key_arn.clone(), "Elsewhere");
        let blob = CiphertextBlob::parse(blob).map_err(|_| elsewhere())?;
        let arn = KeyArn::parse(&kms.key_arn).ok_or(unreadable.clone())?;
        let material = self.material(&arn, blob.material_id())?;
        let bytes: [u8; KEY_LEN_BYTES] = material
            .bytes
            .as_slice()
            .try_into()
            .map_err(|_| NoKey::Damaged("its key material is of another kind"))?;
        let bytes = Zeroizing::new(bytes);
        let symmetric = SymmetricMaterial::parse(&*bytes)
            .map_err(|_| NoKey::Damaged("its key material is of another kind"))?;
        let context = kms.context().ok_or(unreadable)?;
        let plaintext = blob
            .open(&symmetric, &material.arn, &context)
            .map_err(|_| NoKey::Damaged("what the key service wrapped does not open"))?;
        let key = KmsDataKey::parse(&plaintext)
            .map_err(|_| NoKey::Damaged("what the key service wrapped is no key"))?;
        key.unwrap_data_key(wrapped, object)
            .map_err(|_| NoKey::Damaged("the wrapped data key does not open"))
    }

    fn material(&self, arn: &KeyArn, id: KeyMaterialId) -> Result<Arc<Material>, NoKey> {
        let place = (*arn.id.as_bytes(), *id.as_bytes());
        let known = |materials: &Materials| materials.get(&place).cloned();
        let lock = || {
            self.materials
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(known) = known(&lock()) {
            return known;
        }
        let opened = self.usable_material(arn, id).map(Arc::new);
        lock().insert(place, opened.clone());
        opened
    }

    /// Opens a material whose key may be used now: what is disabled is not used for this, either.
    fn usable_material(&self, arn: &KeyArn, id: KeyMaterialId) -> Result<Material, NoKey> {
        let unavailable = |state| NoKey::Unavailable(arn.to_string(), state);
        let key = match self.key(arn) {
            Ok(Some(key)) => key,
            Ok(None) => return Err(unavailable("Deleted")),
            Err(_) => return Err(NoKey::Damaged("the row of its KMS key does not open")),
        };
        match key.lifecycle {
            1 => {}
            2 => return Err(unavailable("Disabled")),
            3 => return Err(unavailable("PendingDeletion")),
            _ => return Err(unavailable("BeingDestroyed")),
        }
        let known = key.materials.iter().find(|it| it.id == *id.as_bytes());
        let is_gone = known
            .and_then(|it| it.import.as_ref())
            .is_some_and(|it| !it.present);
        if is_gone {
            return Err(unavailable("PendingImport"));
        }
        self.open_material(arn, &key, id)
            .map_err(|why| NoKey::Damaged(why.words()))
    }

    /// The row of a key of the key service.
    pub(crate) fn key(&self, arn: &KeyArn) -> Result<Option<KmsKey>, RowFault> {
        let row_key = KmsKey::row_key(arn);
        match self
            .sealer
            .read::<KmsKey>(self.meta, Table::KMS_KEYS, &row_key)?
        {
            Opened::Record(key) => Ok(Some(key)),
            Opened::Absent => Ok(None),
        }
    }

    /// Opens a material with its row, its shred file and the ring.
    fn open_material(
        &self,
        arn: &KeyArn,
        key: &KmsKey,
        id: KeyMaterialId,
    ) -> Result<Material, MaterialFault> {
        let row_key = KmsMaterial::row_key(arn.id, id);
        let row = self
            .sealer
            .read::<KmsMaterial>(self.meta, Table::KMS_MATERIALS, &row_key);
        let Ok(Opened::Record(row)) = row else {
            return Err(MaterialFault::Row);
        };
        let bytes = self.unwrap_material(arn, &key.spec, id, &row)?;
        Ok(Material {
            arn: arn.clone(),
            bytes,
        })
    }

    /// The material that a row keeps, by the first copy of its shred file that opens.
    pub(crate) fn unwrap_material(
        &self,
        arn: &KeyArn,
        spec: &str,
        id: KeyMaterialId,
        row: &KmsMaterial,
    ) -> Result<Zeroizing<Vec<u8>>, MaterialFault> {
        let identity = MaterialIdentity {
            arn: arn.clone(),
            material: id,
            spec: KeySpec::parse(spec).ok_or(MaterialFault::Row)?,
        };
        let ring = self.ring();
        let shred = ["a", "b"].into_iter().find_map(|copy| {
            let path = self.shreds.join(copy).join(hex(&row.shred));
            let stored = fs::read(path).ok()?;
            ring.open_shred_key(ShredId::from_bytes(row.shred), &stored)
                .ok()
        });
        let shred = shred.ok_or(MaterialFault::Shred)?;
        ring.unwrap_material(&shred, &identity, &row.wrapped)
            .map_err(|_| MaterialFault::Wrapped)
    }
}

/// Why a material does not open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MaterialFault {
    Row,
    Shred,
    Wrapped,
}

impl MaterialFault {
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Row => "the row of its key material is missing or does not open",
            Self::Shred => "the shred file of its key material is missing or does not open",
            Self::Wrapped => "its key material does not open with this ring",
        }
    }
}

/// Key and material of a row of materials, with the key's owner as the row says.
pub(crate) fn parse_material_row(key: &[u8], row: &KmsMaterial) -> Option<(KeyArn, KeyMaterialId)> {
    let ids = key.strip_prefix(&[1])?;
    let (key_id, material) = ids.split_first_chunk::<16>()?;
    let arn = KeyArn {
        region: Region::parse(&row.region).ok()?,
        account: AccountId::parse(&row.account).ok()?,
        id: KeyId::from_bytes(*key_id),
    };
    Some((arn, KeyMaterialId::from_bytes(material.try_into().ok()?)))
}
