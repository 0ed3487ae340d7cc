//! A key: what is known of it without its material, and the state that follows from it.

use strongroom_crypto::ShredId;
use strongroom_types::Timestamp;
use strongroom_types::kms::{
    ExpirationModel, KeyArn, KeyManager, KeyMaterialId, KeyOrigin, KeySpec, KeyState, KeyUsage,
    RotationType,
};

use crate::policies::KeyPolicy;
use crate::rows::{ImportRow, KeyMaterialRow, KeyRow, PairRow, RotationRow};
use crate::{KeyMetadata, Tag};

/// A key as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub arn: KeyArn,
    pub spec: KeySpec,
    pub usage: KeyUsage,
    pub origin: KeyOrigin,
    pub manager: KeyManager,
    pub lifecycle: Lifecycle,
    pub description: String,
    pub policy: KeyPolicy,
    /// In the order in which their keys were first given.
    pub tags: Vec<Tag>,
    pub created: Timestamp,
    pub rotation: Rotation,
    pub on_demand_rotations: u32,
    /// Oldest first; a pending one comes last.
    pub materials: Vec<KeyMaterial>,
    /// The material that encrypts.
    pub current: Option<KeyMaterialId>,
    /// Imported, and in use from the next rotation on.
    pub pending: Option<KeyMaterialId>,
}

/// What was decided about a key. Whether its material is there, and whether its time has come, is
/// another matter: see [`Key::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifecycle {
    Enabled,
    Disabled,
    PendingDeletion {
        until: Timestamp,
    },
    /// Its deletion has begun: there is no way back.
    Destroying,
}

/// Automatic rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    pub enabled: bool,
    pub period_days: u32,
    pub next: Option<Timestamp>,
    pub enabled_since: Option<Timestamp>,
}

impl Rotation {
    /// What a new key has: none, of the default period.
    pub(crate) const OFF: Self = Self {
        enabled: false,
        period_days: 365,
        next: None,
        enabled_since: None,
    };
}

/// One material of a key, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyMaterial {
    pub id: KeyMaterialId,
    pub shred: ShredId,
    pub created: Timestamp,
    /// When and why it came into use; none for the first, and while pending.
    pub rotated: Option<(Timestamp, RotationType)>,
    pub import: Option<Import>,
}

/// What is special about imported material.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// False after it was deleted or has expired, until it is imported again.
    pub present: bool,
    /// None: it does not expire.
    pub valid_to: Option<Timestamp>,
    pub description: Option<String>,
}

impl KeyMaterial {
    /// Whether it can be used now, whatever the background has done yet.
    pub(crate) fn is_available(&self, now: Timestamp) -> bool {
        self.import.as_ref().is_none_or(|import| {
            import.present && import.valid_to.is_none_or(|valid_to| now < valid_to)
        })
    }
}

impl KeyMaterial {
    /// Whether it is still kept although its time is over.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.import.as_ref().is_some_and(|import| {
            import.present && import.valid_to.is_some_and(|valid_to| valid_to <= now)
        })
    }
}

impl Key {
    /// The state that the API shows and decides by, or `None` where the key is gone: its row is
    /// only waiting for the background.
    pub(crate) fn state(&self, now: Timestamp) -> Option<KeyState> {
        match self.lifecycle {
            Lifecycle::Destroying => None,
            Lifecycle::PendingDeletion { until } => {
                (now < until).then_some(KeyState::PendingDeletion)
            }
            Lifecycle::Enabled | Lifecycle::Disabled if !self.has_its_materials(now) => {
                Some(KeyState::PendingImport)
            }
            Lifecycle::Enabled => Some(KeyState::Enabled),
            Lifecycle::Disabled => Some(KeyState::Disabled),
        }
    }

    /// The materials that belong to the key for good: all but a pending one.
    pub(crate) fn permanent_materials(&self) -> impl Iterator<Item = &KeyMaterial> {
        self.materials
            .iter()
            .filter(|material| Some(material.id) != self.pending)
    }

    /// The material of that id.
    pub(crate) fn material(&self, id: KeyMaterialId) -> Option<&KeyMaterial> {
        self.materials.iter().find(|material| material.id == id)
    }

    /// The earliest expiry of a material that belongs to the key for good.
    pub(crate) fn valid_to(&self) -> Option<Timestamp> {
        self.permanent_materials()
            .filter_map(|material| material.import.as_ref())
            .filter(|import| import.present)
            .filter_map(|import| import.valid_to)
            .min()
    }

    /// What the API tells of the key; `None` where it is gone.
    pub(crate) fn metadata(&self, now: Timestamp) -> Option<KeyMetadata> {
        let key_state = self.state(now)?;
        let deletion_date = match self.lifecycle {
            Lifecycle::PendingDeletion { until } => Some(until),
            Lifecycle::Enabled | Lifecycle::Disabled | Lifecycle::Destroying => None,
        };
        let pending_import = key_state == KeyState::PendingImport;
        let imported = self.origin == KeyOrigin::External && !pending_import;
        let valid_to = self.valid_to().filter(|_| imported);
        Some(KeyMetadata {
            arn: self.arn.clone(),
            creation_date: self.created,
            description: self.description.clone(),
            key_usage: self.usage,
            key_state,
            deletion_date,
            origin: self.origin,
            key_manager: self.manager,
            key_spec: self.spec,
            expiration_model: (imported && self.current.is_some()).then_some(match valid_to {
                Some(_) => ExpirationModel::Expires,
                None => ExpirationModel::DoesNotExpire,
            }),
            valid_to,
            current_key_material_id: self
                .current
                .filter(|_| !pending_import && self.spec == KeySpec::SymmetricDefault),
        })
    }

    fn has_its_materials(&self, now: Timestamp) -> bool {
        self.current.is_some()
            && self
                .permanent_materials()
                .all(|material| material.is_available(now))
    }

    /// Takes a key from its row; `None` if the row makes no sense.
    pub(crate) fn from_row(arn: KeyArn, row: KeyRow) -> Option<Self> {
        let time = Timestamp::from_millis;
        let lifecycle = match (row.lifecycle, row.deletion_millis) {
            (1, None) => Lifecycle::Enabled,
            (2, None) => Lifecycle::Disabled,
            (3, Some(until)) => Lifecycle::PendingDeletion { until: time(until) },
            (4, _) => Lifecycle::Destroying,
            _ => return None,
        };
        Some(Self {
            arn,
            spec: KeySpec::parse(&row.spec)?,
            usage: KeyUsage::parse(&row.usage)?,
            origin: KeyOrigin::parse(&row.origin)?,
            manager: KeyManager::parse(&row.manager)?,
            lifecycle,
            description: row.description,
            policy: KeyPolicy::from_row(row.policy, row.policy_pins.unwrap_or_default()),
            tags: row.tags.into_iter().map(Tag::from).collect(),
            created: time(row.created_millis),
            rotation: Rotation {
                enabled: row.rotation.enabled,
                period_days: row.rotation.period_days,
                next: row.rotation.next_millis.map(time),
                enabled_since: row.rotation.enabled_since_millis.map(time),
            },
            on_demand_rotations: row.on_demand_rotations,
            materials: row
                .materials
                .into_iter()
                .map(KeyMaterial::from_row)
                .collect::<Option<_>>()?,
            current: row.current_material.map(KeyMaterialId::from_bytes),
            pending: row.pending_material.map(KeyMaterialId::from_bytes),
        })
    }

    /// The row that keeps the key.
    pub(crate) fn to_row(&self) -> KeyRow {
        let Self {
            arn: _,
            spec,
            usage,
            origin,
            manager,
            lifecycle,
            description,
            policy,
            tags,
            created,
            rotation,
            on_demand_rotations,
            materials,
            current,
            pending,
        } = self;
        let (lifecycle, deletion_millis) = match lifecycle {
            Lifecycle::Enabled => (1, None),
            Lifecycle::Disabled => (2, None),
            Lifecycle::PendingDeletion { until } => (3, Some(until.as_millis())),
            Lifecycle::Destroying => (4, None),
        };
        KeyRow {
            spec: spec.name().to_owned(),
            usage: usage.name().to_owned(),
            origin: origin.name().to_owned(),
            manager: manager.name().to_owned(),
            lifecycle,
            description: description.clone(),
            policy: policy.text().to_owned(),
            tags: tags.iter().map(PairRow::from).collect(),
            created_millis: created.as_millis(),
            deletion_millis,
            rotation: RotationRow {
                enabled: rotation.enabled,
                period_days: rotation.period_days,
                next_millis: rotation.next.map(Timestamp::as_millis),
                enabled_since_millis: rotation.enabled_since.map(Timestamp::as_millis),
            },
            on_demand_rotations: *on_demand_rotations,
            materials: materials.iter().map(KeyMaterial::to_row).collect(),
            current_material: current.map(|id| *id.as_bytes()),
            pending_material: pending.map(|id| *id.as_bytes()),
            policy_pins: policy.pins_row(),
        }
    }
}

impl KeyMaterial {
    fn from_row(row: KeyMaterialRow) -> Option<Self> {
        let rotated = match (row.rotated_millis, row.rotation_type) {
            (Some(at), Some(why)) => Some((Timestamp::from_millis(at), RotationType::parse(&why)?)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return None,
        };
        Some(Self {
            id: KeyMaterialId::from_bytes(row.id),
            shred: ShredId::from_bytes(row.shred),
            created: Timestamp::from_millis(row.created_millis),
            rotated,
            import: row.import.map(|import| Import {
                present: import.present,
                valid_to: import.valid_to_millis.map(Timestamp::from_millis),
                description: import.description,
            }),
        })
    }

    fn to_row(&self) -> KeyMaterialRow {
        KeyMaterialRow {
            id: *self.id.as_bytes(),
            shred: *self.shred.as_bytes(),
            created_millis: self.created.as_millis(),
            rotated_millis: self.rotated.map(|(at, _)| at.as_millis()),
            rotation_type: self.rotated.map(|(_, why)| why.name().to_owned()),
            import: self.import.as_ref().map(|import| ImportRow {
                present: import.present,
                valid_to_millis: import.valid_to.map(Timestamp::as_millis),
                description: import.description.clone(),
            }),
        }
    }
}

impl From<PairRow> for Tag {
    fn from(row: PairRow) -> Self {
        Self {
            key: row.key,
            value: row.value,
        }
    }
}

impl From<&Tag> for PairRow {
    fn from(tag: &Tag) -> Self {
        Self {
            key: tag.key.clone(),
            value: tag.value.clone(),
        }
    }
}
