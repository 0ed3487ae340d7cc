//! The keys of objects: from the ring, from customer keys, and from the key service's materials,
//! without the key service.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;

use serde::Serialize;
use strongroom_crypto::{
    BodyKeys, CiphertextBlob, CustomerKey, DataKey, KEY_LEN_BYTES, Keyring, KmsDataKey,
    MaterialIdentity, ObjectIdentity, ShredId, SymmetricMaterial, Unsealed, WrapMode, WrappedKey,
};
use strongroom_types::kms::{KeyArn, KeyId, KeyMaterialId, KeySpec};
use strongroom_types::{AccountId, BucketUid, Region, VersionUid};
use zeroize::Zeroizing;

use crate::output::Output;
use crate::records::{KmsAlias, KmsEncryption, KmsKey, KmsMaterial};
use crate::report::{Outcome, Report};
use crate::rows::{Rows, Table};
use crate::{Plan, RecoverError};

/// Opens data keys.
pub(crate) struct Keys<'a> {
    ring: &'a Keyring<Unsealed>,
    of_customers: &'a [CustomerKey],
    shreds: PathBuf,
    rows: &'a Rows,
    /// Materials that were opened, by key and material: many objects are under one.
    materials: RefCell<Materials>,
}

type Materials = HashMap<([u8; 16], [u8; 32]), Option<Material>>;

#[derive(Clone)]
struct Material {
    arn: KeyArn,
    bytes: Zeroizing<Vec<u8>>,
}

/// By what a data key is found: all of an object's identity, or what a stream says in clear.
#[derive(Clone, Copy)]
pub(crate) enum Whose<'a> {
    Object(&'a ObjectIdentity),
    Uids(BucketUid, VersionUid),
}

/// A key of the key service, without its material.
#[derive(Serialize)]
struct KeyLine<'a> {
    arn: String,
    spec: &'a str,
    usage: &'a str,
    origin: &'a str,
    manager: &'a str,
    state: &'static str,
    description: &'a str,
    policy: &'a str,
    created_millis: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_millis: Option<u64>,
    aliases: Vec<String>,
    /// Ids of the materials, and whether each opens with the ring and its shred file.
    materials: BTreeMap<String, bool>,
}

impl<'a> Keys<'a> {
    pub(crate) fn of(plan: &Plan<'a>, rows: &'a Rows) -> Self {
        Self {
            ring: plan.ring,
            of_customers: plan.customer_keys,
            shreds: plan.sources.shreds.clone(),
            rows,
            materials: RefCell::default(),
        }
    }

    pub(crate) const fn ring(&self) -> &'a Keyring<Unsealed> {
        self.ring
    }

    /// The keys of a body.
    pub(crate) fn body_keys(
        &self,
        wrapped: &WrappedKey,
        kms: Option<&KmsEncryption>,
        whose: Whose<'_>,
    ) -> Result<BodyKeys, Outcome> {
        match wrapped.mode() {
            WrapMode::RootRing { .. } => {
                let key = match whose {
                    Whose::Object(object) => self.ring.unwrap_data_key(wrapped, object),
                    Whose::Uids(bucket, version) => {
                        self.ring.recover_data_key(wrapped, bucket, version)
                    }
                };
                key.map(BodyKeys::single).map_err(|_| Outcome::NoKey)
            }
            WrapMode::CustomerKey => {
                let mut keys = self.of_customers.iter();
                let opened = keys.find_map(|key| match whose {
                    Whose::Object(object) => key.unwrap_data_key(wrapped, object).ok(),
                    Whose::Uids(bucket, version) => {
                        key.recover_data_key(wrapped, bucket, version).ok()
                    }
                });
                opened.map(BodyKeys::single).ok_or(Outcome::NoCustomerKey)
            }
            WrapMode::Kms => self.kms_key(wrapped, kms, whose).map(BodyKeys::single),
            WrapMode::TwoLayers { .. } => {
                let outer = match whose {
                    Whose::Object(object) => self.ring.unwrap_outer_key(wrapped, object),
                    Whose::Uids(bucket, version) => {
                        self.ring.recover_outer_key(wrapped, bucket, version)
                    }
                };
                let outer = outer.map_err(|_| Outcome::NoKey)?;
                let inner = self.kms_key(wrapped, kms, whose)?;
                Ok(BodyKeys::two_layers(inner, outer))
            }
        }
    }

    fn kms_key(
        &self,
        wrapped: &WrappedKey,
        kms: Option<&KmsEncryption>,
        whose: Whose<'_>,
    ) -> Result<DataKey, Outcome> {
        let kms = kms.ok_or(Outcome::Damaged)?;
        let blob = wrapped.kms_blob().ok_or(Outcome::Damaged)?;
        let blob = CiphertextBlob::parse(blob).map_err(|_| Outcome::Damaged)?;
        let material = self
            .material(blob.key_id(), blob.material_id())
            .ok_or(Outcome::NoKmsKey)?;
        let bytes: [u8; KEY_LEN_BYTES] = material
            .bytes
            .as_slice()
            .try_into()
            .map_err(|_| Outcome::NoKmsKey)?;
        let bytes = Zeroizing::new(bytes);
        let symmetric = SymmetricMaterial::parse(&*bytes).map_err(|_| Outcome::NoKmsKey)?;
        let context = kms.context().ok_or(Outcome::Damaged)?;
        let plaintext = blob
            .open(&symmetric, &material.arn, &context)
            .map_err(|_| Outcome::NoKey)?;
        let key = KmsDataKey::parse(&plaintext).map_err(|_| Outcome::NoKey)?;
        let opened = match whose {
            Whose::Object(object) => key.unwrap_data_key(wrapped, object),
            Whose::Uids(bucket, version) => key.recover_data_key(wrapped, bucket, version),
        };
        opened.map_err(|_| Outcome::NoKey)
    }

    fn material(&self, key: KeyId, material: KeyMaterialId) -> Option<Material> {
        let place = (*key.as_bytes(), *material.as_bytes());
        if let Some(known) = self.materials.borrow().get(&place) {
            return known.clone();
        }
        let opened = self.open_material(key, material);
        self.materials.borrow_mut().insert(place, opened.clone());
        opened
    }

    fn open_material(&self, key: KeyId, material: KeyMaterialId) -> Option<Material> {
        let row_key = KmsMaterial::row_key(key, material);
        let row: KmsMaterial = self.rows.get(Table::KmsMaterials, &row_key)?;
        let arn = KeyArn {
            region: Region::parse(&row.region).ok()?,
            account: AccountId::parse(&row.account).ok()?,
            id: key,
        };
        // Should the key's own row be lost: S3 uses keys of this one spec.
        let key_row: Option<KmsKey> = self.rows.get(Table::KmsKeys, &KmsKey::row_key(&arn));
        let spec = key_row.map_or(Some(KeySpec::SymmetricDefault), |row| {
            KeySpec::parse(&row.spec)
        });
        let identity = MaterialIdentity {
            arn: arn.clone(),
            material,
            spec: spec?,
        };
        let shred_id = ShredId::from_bytes(row.shred);
        ["a", "b"].into_iter().find_map(|copy| {
            let path = self.shreds.join(copy).join(hex::encode(row.shred));
            let stored = fs::read(path).ok()?;
            let shred_key = self.ring.open_shred_key(shred_id, &stored).ok()?;
            let bytes = self
                .ring
                .unwrap_material(&shred_key, &identity, &row.wrapped);
            Some(Material {
                arn: arn.clone(),
                bytes: bytes.ok()?,
            })
        })
    }

    /// Writes what is known of the keys of the key service. Their material is not written: the ring,
    /// the shred files and the rows keep it.
    pub(crate) fn describe(
        &self,
        out: &mut Output,
        rows: &Rows,
        report: &mut Report,
    ) -> Result<(), RecoverError> {
        let mut aliases: HashMap<[u8; 16], Vec<String>> = HashMap::new();
        for (row_key, alias) in rows.scan::<KmsAlias>(Table::KmsAliases, &[]) {
            let name = split_owner(row_key).and_then(|(_, _, name)| std::str::from_utf8(name).ok());
            if let (Some(alias), Some(name)) = (alias, name) {
                aliases.entry(alias.key).or_default().push(name.to_owned());
            }
        }
        for (row_key, row) in rows.scan::<KmsKey>(Table::KmsKeys, &[]) {
            let place = || {
                let (account, region, id) = split_owner(row_key)?;
                Some(KeyArn {
                    region: Region::parse(region).ok()?,
                    account: AccountId::parse(account).ok()?,
                    id: KeyId::from_bytes(id.try_into().ok()?),
                })
            };
            let (Some(row), Some(arn)) = (row, place()) else {
                report.lose("rows of the key service", "the row of a key does not open");
                continue;
            };
            report.kms_keys += 1;
            let mut materials = BTreeMap::new();
            let prefix = [&[1], arn.id.as_bytes().as_slice()].concat();
            for material_key in rows.keys(Table::KmsMaterials, &prefix) {
                let id = material_key.last_chunk::<32>().copied().unwrap_or_default();
                let opened = self.material(arn.id, KeyMaterialId::from_bytes(id));
                report.kms_materials += u64::from(opened.is_some());
                if opened.is_none() {
                    report.lose(
                        format!("material {} of {arn}", hex::encode(id)),
                        "its shred file is not there, or it does not open with this ring",
                    );
                }
                materials.insert(hex::encode(id), opened.is_some());
            }
            out.kms_key(&KeyLine {
                spec: &row.spec,
                usage: &row.usage,
                origin: &row.origin,
                manager: &row.manager,
                state: match row.lifecycle {
                    1 => "Enabled",
                    2 => "Disabled",
                    3 => "PendingDeletion",
                    _ => "BeingDestroyed",
                },
                description: &row.description,
                policy: &row.policy,
                created_millis: row.created_millis,
                deletion_millis: row.deletion_millis,
                aliases: aliases.remove(arn.id.as_bytes()).unwrap_or_default(),
                materials,
                arn: arn.to_string(),
            })?;
        }
        Ok(())
    }
}

/// Account, region and the rest of a row key of the key service.
fn split_owner(row_key: &[u8]) -> Option<(&str, &str, &[u8])> {
    let (account, rest) = row_key.split_at_checked(12)?;
    let (len, rest) = rest.split_first()?;
    let (region, rest) = rest.split_at_checked(usize::from(*len))?;
    let text = |bytes| std::str::from_utf8(bytes).ok();
    Some((text(account)?, text(region)?, rest))
}
