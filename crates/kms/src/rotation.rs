//! Rotation: EnableKeyRotation, DisableKeyRotation, GetKeyRotationStatus, RotateKeyOnDemand,
//! ListKeyRotations, and the automatic kind.
//!
//! A rotation gives the key a new material to encrypt with; the old ones stay to decrypt.
//!
//! ```text
//! shred key of the new material, durable  -->  commit: wrapped material, key's row  -->  in use
//! ```
//!
//! Whoever dies before the commit leaves a shred key that nothing refers to; it goes at the next
//! start. Whoever dies after it leaves a rotated key.

use strongroom_policy::Conditions;
use strongroom_types::kms::{ExpirationModel, KeyOrigin, KeyState, RotationType};
use strongroom_types::{RequestContext, Timestamp};

use crate::import::available_pending;
use crate::key::{Key, KeyMaterial, Lifecycle, Rotation};
use crate::operation::Operation;
use crate::{
    DisableKeyRotationInput, EnableKeyRotationInput, GetKeyRotationStatusInput,
    GetKeyRotationStatusOutput, KeyMaterialState, KeyService, KmsError, ListKeyRotationsInput,
    Page, RotateKeyOnDemandInput, RotateKeyOnDemandOutput, RotationEntry,
};

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// Days between automatic rotations where none are asked for (KMS API Reference).
const PERIOD_DEFAULT_DAYS: u32 = 365;
/// How long before an automatic rotation there is none on demand, in milliseconds (KMS API
/// Reference, RotateKeyOnDemand).
const ROTATION_NEAR_MILLIS: u64 = 20 * 60 * 1000;
/// Rotations on demand of one key (KMS Developer Guide, "Resource quotas").
const ON_DEMAND_MAX: u32 = 25;

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
        let conditions = match input.rotation_period_in_days {
            Some(days) => {
                Conditions::default().with("kms:RotationPeriodInDays", days.to_string())
            }
            None => Conditions::default(),
        };
        let now = self.now();
        self.change_admitted(caller, Operation::EnableKeyRotation, &input.key_id, &conditions, |key| {
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
        let none = Conditions::default();
        self.change_admitted(caller, Operation::DisableKeyRotation, &input.key_id, &none, |key| {
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
        let none = Conditions::default();
        let opened = self.admit(caller, Operation::GetKeyRotationStatus, &input.key_id, &none, &[])?;
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
        let none = Conditions::default();
        let key = self.rotate(Some(caller), RotationType::OnDemand, |now| {
            let opened = self.admit(caller, Operation::RotateKeyOnDemand, &input.key_id, &none, &[])?;
            check_on_demand(&opened.key, now)?;
            Ok(Some(opened))
        })?;
        key.map(|key| RotateKeyOnDemandOutput { key_id: key.arn })
            .ok_or(KmsError::Damaged)
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
        let none = Conditions::default();
        let opened = self.admit(caller, Operation::ListKeyRotations, &input.key_id, &none, &[])?;
        let all = input.include_key_material.as_deref() == Some("ALL_KEY_MATERIAL");
        let now = self.now();
        let entries: Vec<RotationEntry> = opened
            .key
            .materials
            .iter()
            .filter(|material| all || material.rotated.is_some())
            .map(|material| entry(&opened.key, material, now))
            .collect();
        self.page_of_rotations(entries, input)
    }
}

/// Whether a rotation on demand may happen now.
fn check_on_demand(key: &Key, now: Timestamp) -> Result<(), KmsError> {
    let near = |next: Timestamp| next.as_millis().saturating_sub(now.as_millis()) <= ROTATION_NEAR_MILLIS;
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
    Timestamp::from_millis(from.as_millis().saturating_add(u64::from(days) * DAY_MILLIS))
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
