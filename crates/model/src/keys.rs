//! What AWS KMS means: keys, their states, materials and deletion dates, rotation, aliases, and a
//! clock that only the test moves. No cryptography: a ciphertext is the key and the material that
//! made it.
//!
//! Keys are symbolic: the n-th key that was made is `n`, and so are the materials of a key. A
//! harness keeps the pairs of symbolic and real ids.

use std::collections::BTreeMap;

/// Milliseconds of a day.
pub const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// How long before an automatic rotation there is none on demand (KMS API Reference,
/// RotateKeyOnDemand).
const ROTATION_NEAR_MILLIS: u64 = 20 * 60 * 1000;
/// Rotations on demand of one key (KMS Developer Guide, "Resource quotas").
const ON_DEMAND_MAX: u32 = 25;

/// The state of a key, as DescribeKey shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// Enabled.
    Enabled,
    /// Disabled.
    Disabled,
    /// PendingDeletion.
    PendingDeletion,
    /// PendingImport.
    PendingImport,
}

/// Why something did not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// NotFoundException: no such key, alias or material, or not any more.
    NotFound,
    /// DisabledException.
    Disabled,
    /// KMSInvalidStateException.
    InvalidState,
    /// UnsupportedOperationException: not with that origin.
    Unsupported,
    /// AlreadyExistsException.
    AlreadyExists,
    /// ConflictException: an automatic rotation is near.
    Conflict,
    /// LimitExceededException.
    LimitExceeded,
    /// IncorrectKeyMaterialException.
    IncorrectMaterial,
    /// InvalidCiphertextException: another encryption context.
    InvalidCiphertext,
    /// NoSuchKey, of S3: no such object.
    NoSuchObject,
    /// UpdateObjectEncryption does not take objects of that mode.
    CannotUpdate,
}

/// What was decided about a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lifecycle {
    Enabled,
    Disabled,
    /// Its deletion date, in milliseconds.
    PendingDeletion(u64),
    /// Its material is gone for good.
    Destroyed,
}

/// One material of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Material {
    /// What was imported; none where the service made it.
    pub label: Option<u8>,
    /// False after imported material was deleted or removed because it expired.
    pub present: bool,
    /// When imported material expires, in milliseconds.
    pub valid_to: Option<u64>,
}

impl Material {
    const OWN: Self = Self {
        label: None,
        present: true,
        valid_to: None,
    };

    /// Whether it can be used at `now`.
    pub fn is_available(&self, now: u64) -> bool {
        self.present && self.valid_to.is_none_or(|valid_to| now < valid_to)
    }
}

/// Automatic rotation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Rotation {
    period_days: u32,
    next: u64,
}

/// A key.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Key {
    external: bool,
    lifecycle: Lifecycle,
    /// Oldest first; a pending one comes last.
    materials: Vec<Material>,
    current: Option<usize>,
    pending: Option<usize>,
    rotation: Option<Rotation>,
    on_demand: u32,
}

impl Key {
    fn state(&self, now: u64) -> Option<KeyState> {
        let complete = self.current.is_some()
            && self
                .materials
                .iter()
                .enumerate()
                .all(|(at, material)| Some(at) == self.pending || material.is_available(now));
        match self.lifecycle {
            Lifecycle::Destroyed => None,
            Lifecycle::PendingDeletion(until) => (now < until).then_some(KeyState::PendingDeletion),
            Lifecycle::Enabled | Lifecycle::Disabled if !complete => Some(KeyState::PendingImport),
            Lifecycle::Enabled => Some(KeyState::Enabled),
            Lifecycle::Disabled => Some(KeyState::Disabled),
        }
    }

    fn rotation_is_due(&self, now: u64) -> bool {
        self.lifecycle == Lifecycle::Enabled && self.rotation.is_some_and(|it| it.next <= now)
    }

    fn rotate_if_due(&mut self, now: u64) {
        if self.rotation_is_due(now)
            && let Some(rotation) = &mut self.rotation
        {
            rotation.next = now + u64::from(rotation.period_days) * DAY_MILLIS;
            self.current = Some(self.materials.len());
            self.materials.push(Material::OWN);
        }
    }

    fn find(&self, label: u8) -> Option<usize> {
        self.materials.iter().position(|it| it.label == Some(label))
    }

    fn pending_is_available(&self, now: u64) -> bool {
        let pending = self.pending.and_then(|at| self.materials.get(at));
        pending.is_some_and(|it| it.is_available(now))
    }

    /// Material that was never in use is forgotten; of others the key remembers what they were.
    fn remove(&mut self, at: usize) {
        if self.pending == Some(at) {
            self.pending = None;
            self.materials.remove(at);
        } else if let Some(material) = self.materials.get_mut(at) {
            material.present = false;
            material.valid_to = None;
        }
    }
}

/// A key as a request names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// By id or ARN.
    Key(usize),
    /// By alias.
    Alias(String),
}

/// All keys of an account, its aliases, and the time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    now: u64,
    all: Vec<Key>,
    aliases: BTreeMap<String, usize>,
}

impl Keys {
    /// No keys, at `now` in milliseconds.
    pub fn new(now: u64) -> Self {
        Self {
            now,
            all: Vec::new(),
            aliases: BTreeMap::new(),
        }
    }

    /// The time, in milliseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// How many keys there ever were.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The aliases and what they point to.
    pub fn aliases(&self) -> &BTreeMap<String, usize> {
        &self.aliases
    }

    /// The key's state; `None` where it is gone.
    pub fn state(&self, key: usize) -> Option<KeyState> {
        self.all.get(key)?.state(self.now)
    }

    /// Whether nothing is left of it.
    pub fn is_destroyed(&self, key: usize) -> bool {
        let key = self.all.get(key);
        key.is_some_and(|key| key.lifecycle == Lifecycle::Destroyed)
    }

    /// Whether its material is imported.
    pub fn is_external(&self, key: usize) -> bool {
        self.all.get(key).is_some_and(|key| key.external)
    }

    /// The deletion date, in milliseconds.
    pub fn deletion_date(&self, key: usize) -> Option<u64> {
        match self.all.get(key)?.lifecycle {
            Lifecycle::PendingDeletion(until) => Some(until),
            Lifecycle::Enabled | Lifecycle::Disabled | Lifecycle::Destroyed => None,
        }
    }

    /// Its materials, oldest first, and which of them encrypts.
    pub fn materials(&self, key: usize) -> (&[Material], Option<usize>) {
        match self.all.get(key) {
            Some(key) => (&key.materials, key.current),
            None => (&[], None),
        }
    }

    /// When it rotates next, in milliseconds, if it does: not while its deletion is pending.
    pub fn next_rotation(&self, key: usize) -> Option<u64> {
        let key = self.all.get(key)?;
        let pending = key.state(self.now) == Some(KeyState::PendingDeletion);
        key.rotation.filter(|_| !pending).map(|it| it.next)
    }

    /// The key that a request names.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`].
    pub fn resolve(&self, target: &Target) -> Result<usize, Refusal> {
        match target {
            Target::Key(key) => Ok(*key),
            Target::Alias(name) => self.aliases.get(name).copied().ok_or(Refusal::NotFound),
        }
    }

    /// Uses a key to encrypt or decrypt: the material that encrypts now.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn use_key(&self, key: usize) -> Result<usize, Refusal> {
        let found = self.usable(key)?;
        found.current.ok_or(Refusal::InvalidState)
    }

    /// CreateKey.
    pub fn create(&mut self, external: bool) {
        self.all.push(Key {
            external,
            lifecycle: Lifecycle::Enabled,
            materials: if external {
                Vec::new()
            } else {
                vec![Material::OWN]
            },
            current: (!external).then_some(0),
            pending: None,
            rotation: None,
            on_demand: 0,
        });
    }

    /// DisableKey.
    pub fn disable(&mut self, key: usize) -> Result<(), Refusal> {
        self.switchable(key)?.lifecycle = Lifecycle::Disabled;
        Ok(())
    }

    /// EnableKey, without the rotation that the key may have slept through.
    pub fn enable(&mut self, key: usize) -> Result<(), Refusal> {
        self.switchable(key)?.lifecycle = Lifecycle::Enabled;
        Ok(())
    }

    /// The automatic rotation of one key, if its time has come.
    pub fn rotate_if_due(&mut self, key: usize) {
        let now = self.now;
        if let Some(key) = self.all.get_mut(key) {
            key.rotate_if_due(now);
        }
    }

    /// ScheduleKeyDeletion.
    pub fn schedule_deletion(&mut self, key: usize, days: u32) -> Result<(), Refusal> {
        let until = self.now + u64::from(days) * DAY_MILLIS;
        self.changeable(key)?.lifecycle = Lifecycle::PendingDeletion(until);
        Ok(())
    }

    /// CancelKeyDeletion.
    pub fn cancel_deletion(&mut self, key: usize) -> Result<(), Refusal> {
        if self.state(key).ok_or(Refusal::NotFound)? != KeyState::PendingDeletion {
            return Err(Refusal::InvalidState);
        }
        self.present(key)?.lifecycle = Lifecycle::Disabled;
        Ok(())
    }

    /// EnableKeyRotation, or with `None` DisableKeyRotation.
    pub fn set_rotation(&mut self, key: usize, period_days: Option<u32>) -> Result<(), Refusal> {
        if self.present(key)?.external {
            return Err(Refusal::Unsupported);
        }
        self.usable(key)?;
        let now = self.now;
        self.present(key)?.rotation = period_days.map(|period_days| Rotation {
            period_days,
            next: now + u64::from(period_days) * DAY_MILLIS,
        });
        Ok(())
    }

    /// RotateKeyOnDemand.
    pub fn rotate(&mut self, key: usize) -> Result<(), Refusal> {
        self.usable(key)?;
        let now = self.now;
        let key = self.present(key)?;
        let near = |it: Rotation| it.next.saturating_sub(now) <= ROTATION_NEAR_MILLIS;
        if key.rotation.is_some_and(near) {
            return Err(Refusal::Conflict);
        }
        if key.on_demand >= ON_DEMAND_MAX {
            return Err(Refusal::LimitExceeded);
        }
        if !key.external {
            key.current = Some(key.materials.len());
            key.materials.push(Material::OWN);
        } else if key.pending_is_available(now) {
            key.current = key.pending.take();
        } else {
            return Err(Refusal::InvalidState);
        }
        key.on_demand += 1;
        Ok(())
    }

    /// ImportKeyMaterial of the material `label`, as NEW_KEY_MATERIAL or EXISTING_KEY_MATERIAL.
    pub fn import(
        &mut self,
        key: usize,
        label: u8,
        as_new: bool,
        life_days: Option<u32>,
    ) -> Result<(), Refusal> {
        self.importable(key)?;
        let now = self.now;
        let valid_to = life_days.map(|days| now + u64::from(days) * DAY_MILLIS);
        let key = self.present(key)?;
        let material = Material {
            label: Some(label),
            present: true,
            valid_to,
        };
        match key.find(label) {
            Some(_) if as_new => return Err(Refusal::IncorrectMaterial),
            Some(at) => {
                if let Some(known) = key.materials.get_mut(at) {
                    *known = material;
                }
            }
            None if !as_new => return Err(Refusal::IncorrectMaterial),
            None if key.materials.is_empty() => {
                key.materials.push(material);
                key.current = Some(0);
            }
            None if key.pending_is_available(now) => return Err(Refusal::InvalidState),
            None => {
                if let Some(expired) = key.pending {
                    key.remove(expired);
                }
                key.pending = Some(key.materials.len());
                key.materials.push(material);
            }
        }
        Ok(())
    }

    /// GetParametersForImport: whether there is anything to import into.
    pub fn importable(&mut self, key: usize) -> Result<(), Refusal> {
        if !self.present(key)?.external {
            return Err(Refusal::Unsupported);
        }
        self.changeable(key).map(|_| ())
    }

    /// DeleteImportedKeyMaterial, of the current material or of `label`.
    pub fn delete_material(&mut self, key: usize, label: Option<u8>) -> Result<(), Refusal> {
        let key = self.present(key)?;
        if !key.external {
            return Err(Refusal::Unsupported);
        }
        let at = match label {
            Some(label) => Some(key.find(label).ok_or(Refusal::NotFound)?),
            None => key.current,
        };
        if let Some(at) = at {
            key.remove(at);
        }
        Ok(())
    }

    /// CreateAlias.
    pub fn create_alias(&mut self, name: &str, key: usize) -> Result<(), Refusal> {
        self.changeable(key)?;
        if self.aliases.contains_key(name) {
            return Err(Refusal::AlreadyExists);
        }
        self.aliases.insert(name.to_owned(), key);
        Ok(())
    }

    /// UpdateAlias.
    pub fn update_alias(&mut self, name: &str, key: usize) -> Result<(), Refusal> {
        if !self.aliases.contains_key(name) {
            return Err(Refusal::NotFound);
        }
        self.changeable(key)?;
        self.aliases.insert(name.to_owned(), key);
        Ok(())
    }

    /// DeleteAlias.
    pub fn delete_alias(&mut self, name: &str) -> Result<(), Refusal> {
        let removed = self.aliases.remove(name);
        removed.map(|_| ()).ok_or(Refusal::NotFound)
    }

    /// Time passes. The aliases of a key end with its date.
    pub fn pass(&mut self, millis: u64) {
        self.now += millis;
        let (now, all) = (self.now, &self.all);
        self.aliases
            .retain(|_, key| all.get(*key).is_some_and(|key| key.state(now).is_some()));
    }

    /// What the background does: keys past their date are destroyed, expired material goes, and
    /// what is due rotates.
    pub fn do_due_work(&mut self) {
        let now = self.now;
        for key in &mut self.all {
            if matches!(key.lifecycle, Lifecycle::PendingDeletion(until) if until <= now) {
                key.lifecycle = Lifecycle::Destroyed;
            }
            // Also while its deletion is pending.
            if key.lifecycle != Lifecycle::Destroyed {
                let expired = |it: &Material| it.present && !it.is_available(now);
                // From the last on: what is forgotten is the last.
                for at in (0..key.materials.len()).rev() {
                    if key.materials.get(at).is_some_and(expired) {
                        key.remove(at);
                    }
                }
            }
            key.rotate_if_due(now);
        }
    }

    fn present(&mut self, key: usize) -> Result<&mut Key, Refusal> {
        let now = self.now;
        let key = self.all.get_mut(key);
        key.filter(|key| key.state(now).is_some())
            .ok_or(Refusal::NotFound)
    }

    fn usable(&self, key: usize) -> Result<&Key, Refusal> {
        let found = self.all.get(key).ok_or(Refusal::NotFound)?;
        match found.state(self.now).ok_or(Refusal::NotFound)? {
            KeyState::Enabled => Ok(found),
            KeyState::Disabled => Err(Refusal::Disabled),
            KeyState::PendingDeletion | KeyState::PendingImport => Err(Refusal::InvalidState),
        }
    }

    /// For what is refused only while the deletion is pending.
    fn changeable(&mut self, key: usize) -> Result<&mut Key, Refusal> {
        match self.state(key) {
            Some(KeyState::PendingDeletion) => Err(Refusal::InvalidState),
            _ => self.present(key),
        }
    }

    fn switchable(&mut self, key: usize) -> Result<&mut Key, Refusal> {
        match self.state(key) {
            Some(KeyState::PendingDeletion | KeyState::PendingImport) => Err(Refusal::InvalidState),
            _ => self.present(key),
        }
    }
}
