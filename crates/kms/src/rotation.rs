//! Rotation: EnableKeyRotation, DisableKeyRotation, GetKeyRotationStatus, RotateKeyOnDemand,
//! ListKeyRotations, and the automatic kind.
//!
//! A rotation gives the key a new material to encrypt with; the old ones stay to decrypt.
//!
//! ```text
//! shred key of the new material, durable  -->  commit: wrapped material, key's row  -->  in use
//! ```
//!
//! Whoever dies before the commit leaves a shred key that nothing refers to and that opens nothing.
//! It stays: a store that was brought back from a backup may not know yet what it needs. Whoever dies
//! after the commit leaves a rotated key.

use strongroom_audit::Event;
use strongroom_crypto::ShredId;
use strongroom_policy::Conditions;
use strongroom_ports::{Table, Transaction};
use strongroom_types::kms::{
    ExpirationModel, KeyArn, KeyMaterialId, KeyOrigin, KeyState, RotationType,
};
use strongroom_types::{RequestContext, Timestamp};

use crate::access::Ask;
use crate::cache::OpenedKey;
use crate::import::available_pending;
use crate::key::{Key, KeyMaterial, Lifecycle, Rotation};
use crate::markers::page_size;
use crate::materials::{KeptMaterial, Material};
use crate::operation::Operation;
use crate::trail::{self, Asked};
use crate::{
    DisableKeyRotationInput, EnableKeyRotationInput, GetKeyRotationStatusInput,
    GetKeyRotationStatusOutput, KeyMaterialState, KeyService, KmsError, ListKeyRotationsInput,
    Page, RotateKeyOnDemandInput, RotateKeyOnDemandOutput, RotationEntry, keys,
};
use strongroom_rows::until_undisturbed;

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// Days between automatic rotations where none are asked for (KMS API Reference).
const PERIOD_DEFAULT_DAYS: u32 = 365;
/// How long before an automatic rotation there is none on demand, in milliseconds (KMS API
/// Reference, RotateKeyOnDemand).
const ROTATION_NEAR_MILLIS: u64 = 20 * 60 * 1000;
/// Rotations on demand of one key (KMS Developer Guide, "Resource quotas").
const ON_DEMAND_MAX: u32 = 25;
const LIST_DEFAULT: u32 = 100;
const LIST_MAX: u32 = 1000;

impl KeyService {
    /// Lets a key rotate by itself, or changes how often it does; the time counts from now.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `EnableKeyRotation` of the KMS API Reference.
    pub fn enable_key_rotation(
        &self,
        caller: &RequestContext,
        input: EnableKeyRotationInput,
    ) -> Result<(), KmsError> {
        let period_days = input.rotation_period_in_days.unwrap_or(PERIOD_DEFAULT_DAYS);
        let conditions =
            Conditions::default().with("kms:RotationPeriodInDays", period_days.to_string());
        let now = self.now();
        let ask = Ask {
            conditions,
            ..Ask::plain(Operation::EnableKeyRotation)
        };
        let mut params = trail::key_id(&input.key_id);
        if let Some(days) = input.rotation_period_in_days {
            params = params.number("rotationPeriodInDays", days.into());
        }
        self.change_admitted(caller, &input.key_id, &ask, &params, |key| {
            key.rotation = Rotation {
                enabled: true,
                period_days,
                next: Some(after_days(now, period_days)),
                enabled_since: Some(now),
            };
            Ok(())
        })?;
        Ok(())
    }

    /// Stops automatic rotation.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `DisableKeyRotation` of the KMS API Reference.
    pub fn disable_key_rotation(
        &self,
        caller: &RequestContext,
        input: DisableKeyRotationInput,
    ) -> Result<(), KmsError> {
        let ask = Ask::plain(Operation::DisableKeyRotation);
        let params = trail::key_id(&input.key_id);
        self.change_admitted(caller, &input.key_id, &ask, &params, |key| {
            key.rotation = Rotation::OFF;
            Ok(())
        })?;
        Ok(())
    }

    /// Whether, how often and when next a key rotates by itself.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `GetKeyRotationStatus` of the KMS API Reference.
    pub fn get_key_rotation_status(
        &self,
        caller: &RequestContext,
        input: GetKeyRotationStatusInput,
    ) -> Result<GetKeyRotationStatusOutput, KmsError> {
        let ask = Ask::plain(Operation::GetKeyRotationStatus);
        let opened = self.admit(caller, &input.key_id, &ask)?;
        let key = &opened.key;
        // A key that waits for its deletion does not rotate; if it is saved it does again.
        let pending_deletion = key.state(self.now()) == Some(KeyState::PendingDeletion);
        let rotates = key.rotation.enabled && !pending_deletion;
        Ok(GetKeyRotationStatusOutput {
            key_rotation_enabled: rotates,
            key_id: key.arn.clone(),
            rotation_period_in_days: rotates.then_some(key.rotation.period_days),
            next_rotation_date: key.rotation.next.filter(|_| rotates),
            // Rotations are over when their call returns.
            on_demand_rotation_start_date: None,
        })
    }

    /// Rotates a key now. The automatic schedule stays as it is.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `RotateKeyOnDemand` of the KMS API Reference.
    pub fn rotate_key_on_demand(
        &self,
        caller: &RequestContext,
        input: RotateKeyOnDemandInput,
    ) -> Result<RotateKeyOnDemandOutput, KmsError> {
        let ask = Ask::plain(Operation::RotateKeyOnDemand);
        let named = self.resolve(caller, &input.key_id, ask.operation)?;
        let params = trail::key_id(&input.key_id);
        let asked = Asked::of(caller, ask.operation, &named.arn, params);
        until_undisturbed(|| {
            let now = self.now();
            let opened = self.admit_named(caller, &named, &ask)?;
            check_on_demand(&opened.key, now)?;
            self.rotate(&opened, RotationType::OnDemand, now, &self.told(&asked))
        })?;
        Ok(RotateKeyOnDemandOutput { key_id: named.arn })
    }

    /// Rotates a key whose time has come. Whether it has rotated.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub(crate) fn rotate_if_due(&self, arn: &KeyArn) -> Result<bool, KmsError> {
        until_undisturbed(|| {
            let now = self.now();
            let opened = self.opened_key(arn)?;
            match opened.filter(|opened| is_due(&opened.key, now)) {
                Some(opened) => {
                    let told = [self.by_itself("RotateKey", arn)];
                    self.rotate(&opened, RotationType::Automatic, now, &told)
                        .map(|()| true)
                }
                None => Ok(false),
            }
        })
    }

    /// Gives the key its next material, new or imported before.
    fn rotate(
        &self,
        opened: &OpenedKey,
        why: RotationType,
        now: Timestamp,
        told: &[Event],
    ) -> Result<(), KmsError> {
        let mut key = opened.key.clone();
        match why {
            RotationType::OnDemand => key.on_demand_rotations += 1,
            RotationType::Automatic => {
                key.rotation.next = Some(after_days(now, key.rotation.period_days));
            }
        }
        let transaction =
            Transaction::new().expect(Table::KMS_KEYS, keys::key(&key.arn), Some(opened.version));
        if key.origin == KeyOrigin::External {
            key.current = key.pending.take();
            let current = key.current;
            for material in &mut key.materials {
                if Some(material.id) == current {
                    material.rotated = Some((now, why));
                }
            }
            let transaction = self.put_key(transaction, &key)?;
            return self.commit(transaction, told, &[&key.arn]);
        }
        // A row that has no room for another material is found before a shred key is made for it.
        let mut fuller = key.clone();
        fuller.materials.push(KeyMaterial {
            id: KeyMaterialId::from_bytes([0xFF; 32]),
            shred: ShredId::from_bytes([0xFF; 16]),
            created: now,
            rotated: Some((now, why)),
            import: None,
        });
        self.put_key(Transaction::new(), &fuller)?;
        let material = Material::generate(self, key.spec)?;
        let mut kept = self.keep_material(&key.arn, key.spec, &material, None)?;
        kept.entry.rotated = Some((now, why));
        key.materials.push(kept.entry.clone());
        key.current = Some(kept.entry.id);
        self.commit_kept(transaction, &key, &kept, told)
    }

    /// Commits a key together with material that was just kept for it.
    ///
    /// # Errors
    ///
    /// [`KmsError`]; the material is discarded where it certainly was not taken. Where that is not
    /// known, its shred key stays.
    pub(crate) fn commit_kept(
        &self,
        transaction: Transaction,
        key: &Key,
        kept: &KeptMaterial,
        told: &[Event],
    ) -> Result<(), KmsError> {
        let prepared = self
            .put_key(transaction, key)
            .and_then(|transaction| self.put_material(transaction, &key.arn, kept));
        let outcome = match prepared {
            Ok(transaction) => self.commit(transaction, told, &[&key.arn]),
            Err(error) => {
                self.discard(kept);
                return Err(error);
            }
        };
        if outcome == Err(KmsError::Contention) {
            self.discard(kept);
        }
        outcome
    }

    /// The rotations of a key, or all its materials; oldest first.
    ///
    /// # Errors
    ///
    /// [`KmsError`], as `ListKeyRotations` of the KMS API Reference.
    pub fn list_key_rotations(
        &self,
        caller: &RequestContext,
        input: ListKeyRotationsInput,
    ) -> Result<Page<RotationEntry>, KmsError> {
        let ask = Ask::plain(Operation::ListKeyRotations);
        let opened = self.admit(caller, &input.key_id, &ask)?;
        let all = input.include_key_material.as_deref() == Some("ALL_KEY_MATERIAL");
        let now = self.now();
        let key = &opened.key;
        let listing = format!("ListKeyRotations {all} {}", key.arn).into_bytes();
        let behind = self
            .shared
            .markers
            .open(&listing, input.marker.as_deref())?;
        let behind = behind.and_then(|it| Some(u32::from_be_bytes(it.as_ref().try_into().ok()?)));
        let skipped = behind.and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
        let limit = page_size(input.limit, LIST_DEFAULT, LIST_MAX);
        // Materials are only ever added, behind the others; a place in the list stays what it was.
        let mut listed = key
            .materials
            .iter()
            .enumerate()
            .skip(skipped)
            .filter(|(_, material)| all || material.rotated.is_some());
        let page: Vec<(usize, &KeyMaterial)> = listed.by_ref().take(limit).collect();
        let next = page.last().and_then(|(at, _)| u32::try_from(at + 1).ok());
        let next = next.filter(|_| listed.next().is_some());
        Ok(Page {
            entries: page
                .into_iter()
                .map(|(_, material)| entry(key, material, now))
                .collect(),
            next_marker: next.map(|it| self.shared.markers.seal(&listing, &it.to_be_bytes())),
        })
    }
}

/// Whether a rotation on demand may happen now.
fn check_on_demand(key: &Key, now: Timestamp) -> Result<(), KmsError> {
    let near =
        |next: Timestamp| next.as_millis().saturating_sub(now.as_millis()) <= ROTATION_NEAR_MILLIS;
    if key.rotation.enabled && key.rotation.next.is_some_and(near) {
        return Err(KmsError::Conflict(format!(
            "An automatic rotation of {} is in progress or about to begin.",
            key.arn
        )));
    }
    if key.on_demand_rotations >= ON_DEMAND_MAX {
        return Err(KmsError::LimitExceeded(format!(
            "The on-demand rotations limit has been reached for the given keyId. No more on-demand \
             rotations can be performed for this key: {}",
            key.arn
        )));
    }
    if key.origin == KeyOrigin::External && available_pending(key, now).is_none() {
        return Err(KmsError::InvalidState(format!(
            "No available key material pending rotation for the key: {}.",
            key.arn
        )));
    }
    Ok(())
}

/// Whether the time of an automatic rotation has come. A key that is not enabled waits.
pub(crate) fn is_due(key: &Key, now: Timestamp) -> bool {
    key.lifecycle == Lifecycle::Enabled
        && key.rotation.enabled
        && key.origin == KeyOrigin::AwsKms
        && key.rotation.next.is_some_and(|next| next <= now)
}

/// `days` after `from`.
pub(crate) fn after_days(from: Timestamp, days: u32) -> Timestamp {
    Timestamp::from_millis(
        from.as_millis()
            .saturating_add(u64::from(days) * DAY_MILLIS),
    )
}

fn entry(key: &Key, material: &KeyMaterial, now: Timestamp) -> RotationEntry {
    let import = material.import.as_ref();
    RotationEntry {
        key: key.arn.clone(),
        key_material_id: material.id,
        key_material_description: import.and_then(|import| import.description.clone()),
        is_imported: import.map(|_| material.is_available(now)),
        key_material_state: if Some(material.id) == key.current {
            KeyMaterialState::Current
        } else if Some(material.id) == key.pending {
            KeyMaterialState::PendingRotation
        } else {
            KeyMaterialState::NonCurrent
        },
        expiration_model: import
            .filter(|_| material.is_available(now))
            .map(|import| match import.valid_to {
                Some(_) => ExpirationModel::Expires,
                None => ExpirationModel::DoesNotExpire,
            }),
        valid_to: import
            .filter(|_| material.is_available(now))
            .and_then(|import| import.valid_to),
        rotation_date: material.rotated.map(|(at, _)| at),
        rotation_type: material.rotated.map(|(_, why)| why),
    }
}

#[cfg(test)]
pub(crate) mod tests;
