//! A key service in memory: real ciphertexts, keys whose state tests set, and a log of the calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use strongroom_crypto::{CiphertextBlob, SymmetricMaterial, material_id, seal_blob};
use strongroom_ports::{
    CommitError, DecryptedDataKey, Entropy, GeneratedDataKey, KeyAuthority, KeyError, KeyLease,
    KeyReference, KeyUse, LeaseCheck, MetaError, MetaStore, PendingCommit, Scan, ScanPage, Stored,
    Table, Transaction, UseRecord, Write,
};
use strongroom_store::MemoryMeta;
use strongroom_types::kms::{EncryptionContext, KeyArn, KeyId, KeyIdentifier};
use strongroom_types::{AccountId, Region, RequestContext};
use zeroize::Zeroizing;

/// What may be the matter with a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyState {
    Enabled,
    Disabled,
    PendingDeletion,
    Deleted,
    /// Its material cannot be read.
    Lost,
}

/// A cryptographic call, or a decision without one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KeyCall {
    pub(crate) operation: &'static str,
    pub(crate) caller: String,
    pub(crate) via: Option<String>,
    pub(crate) key: KeyArn,
    pub(crate) context: EncryptionContext,
}

/// The key service.
pub(crate) struct TestKeys {
    inner: Arc<Inner>,
    /// Where records go that travel alone.
    pub(crate) trail: Arc<TestTrail>,
}

/// Takes records of uses, unless it is told not to.
#[derive(Default)]
pub(crate) struct TestTrail {
    meta: MemoryMeta,
    broken: AtomicBool,
}

impl TestTrail {
    /// How many records there are in a store.
    pub(crate) fn count(meta: &dyn MetaStore) -> usize {
        let scan = Scan {
            table: Table::AUDIT,
            start: Bytes::new(),
            end: None,
            limit: 10_000,
            reverse: false,
        };
        meta.scan(&scan).unwrap().rows.len()
    }

    /// Refuses records from now on, or takes them again.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }
}

impl MetaStore for TestTrail {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, MetaError> {
        self.meta.read(table, key)
    }

    fn scan(&self, scan: &Scan) -> Result<ScanPage, MetaError> {
        self.meta.scan(scan)
    }

    fn commit(&self, transaction: Transaction) -> PendingCommit {
        if self.broken.load(Ordering::SeqCst) {
            return PendingCommit::ready(Err(CommitError::NoSpace));
        }
        self.meta.commit(transaction)
    }
}

struct Inner {
    keys: Mutex<BTreeMap<KeyId, (KeyState, Arc<SymmetricMaterial>)>>,
    log: Mutex<Vec<KeyCall>>,
    denied: Mutex<BTreeSet<(String, &'static str)>>,
    aliases: Mutex<BTreeMap<String, KeyId>>,
    /// The ones in memory do not know.
    cold: AtomicBool,
    unavailable: AtomicBool,
    /// A key that is disabled after so many calls more.
    disabled_after: Mutex<Option<(KeyId, u64)>>,
    /// A lease breaks after so many checks; never at its highest.
    lease_checks_left: AtomicU64,
    entropy: Counter,
}

struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let mut word = self.0.fetch_add(1, Ordering::SeqCst);
            word = (word ^ (word >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            word ^= word >> 27;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }
}

impl TestKeys {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                keys: Mutex::default(),
                log: Mutex::default(),
                denied: Mutex::default(),
                aliases: Mutex::default(),
                cold: AtomicBool::new(false),
                unavailable: AtomicBool::new(false),
                disabled_after: Mutex::default(),
                lease_checks_left: AtomicU64::new(u64::MAX),
                entropy: Counter(AtomicU64::new(1 << 40)),
            }),
            trail: Arc::default(),
        }
    }

    /// Makes a key.
    pub(crate) fn create(&self) -> KeyArn {
        self.inner.create()
    }

    pub(crate) fn alias(&self, name: &str, key: &KeyArn) {
        self.inner.aliases.lock().insert(name.to_owned(), key.id);
    }

    pub(crate) fn set(&self, key: &KeyArn, state: KeyState) {
        self.inner.keys.lock().get_mut(&key.id).unwrap().0 = state;
    }

    /// Refuses an operation to a caller from now on.
    pub(crate) fn deny(&self, caller: &str, operation: &'static str) {
        self.inner
            .denied
            .lock()
            .insert((caller.to_owned(), operation));
    }

    pub(crate) fn set_cold(&self, cold: bool) {
        self.inner.cold.store(cold, Ordering::SeqCst);
    }

    pub(crate) fn set_unavailable(&self, unavailable: bool) {
        self.inner.unavailable.store(unavailable, Ordering::SeqCst);
    }

    /// Disables a key after so many calls more.
    pub(crate) fn disable_after(&self, key: &KeyArn, calls: u64) {
        *self.inner.disabled_after.lock() = Some((key.id, calls));
    }

    /// Lets leases hold for so many checks more.
    pub(crate) fn break_leases_after(&self, checks: u64) {
        self.inner.lease_checks_left.store(checks, Ordering::SeqCst);
    }

    /// The calls since the last time that they were taken.
    pub(crate) fn take_log(&self) -> Vec<KeyCall> {
        std::mem::take(&mut self.inner.log.lock())
    }

    /// The same, by their operations.
    pub(crate) fn take_operations(&self) -> Vec<&'static str> {
        self.take_log().iter().map(|call| call.operation).collect()
    }
}

impl Inner {
    fn create(&self) -> KeyArn {
        let id = KeyId::random(&self.entropy);
        let material = Arc::new(SymmetricMaterial::random(&self.entropy));
        self.keys.lock().insert(id, (KeyState::Enabled, material));
        arn(id)
    }

    fn resolve(&self, key: &KeyReference) -> Result<KeyId, KeyError> {
        let name = match key {
            KeyReference::AwsManaged => "alias/aws/s3",
            KeyReference::Named(name) => name,
        };
        if let Some(id) = self.aliases.lock().get(name) {
            return Ok(*id);
        }
        if name == "alias/aws/s3" {
            let made = self.create();
            self.aliases.lock().insert(name.to_owned(), made.id);
            return Ok(made.id);
        }
        match KeyIdentifier::parse(name) {
            Ok(KeyIdentifier::Id(id)) => Ok(id),
            Ok(KeyIdentifier::Arn(arn)) => Ok(arn.id),
            Ok(KeyIdentifier::Alias(_) | KeyIdentifier::AliasArn(_)) => {
                Err(KeyError::NotFound(format!("Alias {name} is not found.")))
            }
            Err(error) => Err(KeyError::NotFound(error.to_string())),
        }
    }

    fn usable(&self, id: KeyId) -> Result<Arc<SymmetricMaterial>, KeyError> {
        let arn = arn(id);
        if self.unavailable.load(Ordering::SeqCst) {
            return Err(KeyError::Unavailable);
        }
        match self.keys.lock().get(&id) {
            Some((KeyState::Enabled, material)) => Ok(Arc::clone(material)),
            Some((KeyState::Disabled, _)) => Err(KeyError::Disabled(format!("{arn} is disabled."))),
            Some((KeyState::Lost, _)) => Err(KeyError::Unavailable),
            Some((KeyState::PendingDeletion, _)) => Err(KeyError::InvalidState(format!(
                "{arn} is pending deletion."
            ))),
            Some((KeyState::Deleted, _)) | None => {
                Err(KeyError::NotFound(format!("Key '{arn}' does not exist")))
            }
        }
    }

    fn enter(
        &self,
        caller: &RequestContext,
        id: KeyId,
        operation: &'static str,
        checked: &'static str,
        context: &EncryptionContext,
    ) -> Result<Arc<SymmetricMaterial>, KeyError> {
        self.log.lock().push(KeyCall {
            operation,
            caller: caller.principal.arn(),
            via: caller.via_service.as_ref().map(ToString::to_string),
            key: arn(id),
            context: context.clone(),
        });
        let mut planned = self.disabled_after.lock();
        match planned.as_mut() {
            Some((key, 0)) if *key == id => {
                self.keys.lock().get_mut(&id).unwrap().0 = KeyState::Disabled;
                *planned = None;
            }
            Some((key, left)) if *key == id => *left -= 1,
            Some(_) | None => {}
        }
        drop(planned);
        let who = caller.principal.arn();
        if self.denied.lock().contains(&(who.clone(), checked)) {
            let text = format!("User: {who} is not authorized to perform: kms:{checked}");
            return Err(KeyError::AccessDenied(text));
        }
        self.usable(id)
    }
}

fn arn(id: KeyId) -> KeyArn {
    KeyArn {
        region: Region::parse("us-east-1").unwrap(),
        account: AccountId::parse("111111111111").unwrap(),
        id,
    }
}

struct Lease {
    inner: Arc<Inner>,
    id: KeyId,
}

impl LeaseCheck for Lease {
    fn still_usable(&self) -> Result<(), KeyError> {
        let left = &self.inner.lease_checks_left;
        if left.load(Ordering::SeqCst) != u64::MAX {
            let spent = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
            if spent.is_err() {
                return Err(KeyError::Disabled(format!("{} is disabled.", arn(self.id))));
            }
        }
        self.inner.usable(self.id).map(|_| ())
    }
}

impl TestKeys {
    fn record(&self) -> UseRecord {
        let mut key = [0; 16];
        self.inner.entropy.fill(&mut key);
        let write = Write::Put {
            table: Table::AUDIT,
            key: Bytes::copy_from_slice(&key),
            value: Bytes::from_static(b"a use"),
        };
        UseRecord::new(Arc::clone(&self.trail) as _, vec![write])
    }

    fn lease(&self, id: KeyId) -> KeyLease {
        KeyLease {
            key: arn(id),
            check: Arc::new(Lease {
                inner: Arc::clone(&self.inner),
                id,
            }),
        }
    }
}

impl KeyAuthority for TestKeys {
    fn generate_data_key(
        &self,
        caller: &RequestContext,
        key: &KeyReference,
        context: &EncryptionContext,
    ) -> Result<GeneratedDataKey, KeyError> {
        let inner = &self.inner;
        let id = inner.resolve(key)?;
        let operation = "GenerateDataKey";
        let material = inner.enter(caller, id, operation, operation, context)?;
        let mut plaintext = Zeroizing::new(vec![0; 32]);
        inner.entropy.fill(&mut plaintext);
        let material_id = material_id(id, material.expose());
        let ciphertext = seal_blob(
            &material,
            id,
            material_id,
            &arn(id),
            context,
            &plaintext,
            &inner.entropy,
        );
        Ok(GeneratedDataKey {
            key: arn(id),
            plaintext,
            ciphertext,
            lease: self.lease(id),
            record: self.record(),
        })
    }

    fn decrypt_data_key(
        &self,
        caller: &RequestContext,
        ciphertext: &[u8],
        context: &EncryptionContext,
    ) -> Result<DecryptedDataKey, KeyError> {
        let blob = CiphertextBlob::parse(ciphertext).map_err(|_| KeyError::InvalidCiphertext)?;
        let id = blob.key_id();
        let material = self
            .inner
            .enter(caller, id, "Decrypt", "Decrypt", context)?;
        let plaintext = blob
            .open(&material, &arn(id), context)
            .map_err(|_| KeyError::InvalidCiphertext)?;
        Ok(DecryptedDataKey {
            plaintext,
            lease: self.lease(id),
            record: self.record(),
        })
    }

    fn decrypt_data_key_in_memory(
        &self,
        caller: &RequestContext,
        ciphertext: &[u8],
        context: &EncryptionContext,
    ) -> Result<DecryptedDataKey, KeyError> {
        if self.inner.cold.load(Ordering::SeqCst) {
            return Err(KeyError::NotInMemory);
        }
        self.decrypt_data_key(caller, ciphertext, context)
    }

    fn key_named(&self, _: &RequestContext, key_id: &str) -> Result<KeyArn, KeyError> {
        let id = self
            .inner
            .resolve(&KeyReference::Named(key_id.to_owned()))?;
        Ok(arn(id))
    }

    fn authorize(
        &self,
        caller: &RequestContext,
        key: &KeyReference,
        key_use: KeyUse,
        context: &EncryptionContext,
    ) -> Result<KeyLease, KeyError> {
        let id = self.inner.resolve(key)?;
        let (operation, checked) = match key_use {
            KeyUse::GenerateDataKey => ("authorize GenerateDataKey", "GenerateDataKey"),
            KeyUse::Decrypt => ("authorize Decrypt", "Decrypt"),
        };
        self.inner.enter(caller, id, operation, checked, context)?;
        Ok(self.lease(id))
    }

    fn authorize_in_memory(
        &self,
        caller: &RequestContext,
        key: &KeyReference,
        key_use: KeyUse,
        context: &EncryptionContext,
    ) -> Result<KeyLease, KeyError> {
        if self.inner.cold.load(Ordering::SeqCst) {
            return Err(KeyError::NotInMemory);
        }
        self.authorize(caller, key, key_use, context)
    }
}
