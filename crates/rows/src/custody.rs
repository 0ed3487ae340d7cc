//! The keys that the service works with.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use bytes::Bytes;
use strongroom_crypto::{Keyring, RowSealer, ServiceKey, ServicePurpose, Unsealed};
use strongroom_ports::{Entropy, Table};

use crate::{Record, RowError};

/// The unsealed key ring and the row sealer, shared by all requests.
pub struct Custody {
    ring: ArcSwap<Keyring<Unsealed>>,
    /// Rings that were in use before, as long as somebody works with them.
    older: Mutex<Vec<Older>>,
    /// For the service keys, which no rotation changes.
    services: Arc<Keyring<Unsealed>>,
    rows: RowSealer,
}

/// A ring that was in use until a newer one came.
struct Older {
    /// The version of the root key that wrapped.
    active: u32,
    ring: Weak<Keyring<Unsealed>>,
}

impl Custody {
    /// Takes an unsealed ring into use.
    pub fn new(ring: Arc<Keyring<Unsealed>>) -> Self {
        let rows = RowSealer::new(ring.service_key(ServicePurpose::Rows));
        // A ring of its own for requests, so that it is known who works with it.
        let own = ring
            .duplicate()
            .map_or_else(|_| Arc::clone(&ring), Arc::new);
        Self {
            ring: ArcSwap::new(own),
            older: Mutex::default(),
            services: ring,
            rows,
        }
    }

    /// The root key ring. Who wraps a key with it keeps it until what was wrapped is committed:
    /// [`Custody::is_in_use_below`] tells whether somebody still does.
    pub fn ring(&self) -> Arc<Keyring<Unsealed>> {
        self.ring.load_full()
    }

    /// The root key ring, for who keeps it: the stores take their ciphers from it.
    pub fn shared_ring(&self) -> Arc<Keyring<Unsealed>> {
        Arc::clone(&self.services)
    }

    /// Takes a newer ring into use, which is durable already. What begins from now on works with it.
    pub fn replace_ring(&self, ring: Keyring<Unsealed>) {
        let mut older = self.older.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.ring.swap(Arc::new(ring));
        older.push(Older {
            active: before.active_version(),
            ring: Arc::downgrade(&before),
        });
        drop(before);
        older.retain(|it| it.ring.strong_count() > 0);
    }

    /// Whether somebody still works with a ring whose active version was `version` or an older one:
    /// then something may yet be committed that only it opens.
    pub fn is_in_use_below(&self, version: u32) -> bool {
        let mut older = self.older.lock().unwrap_or_else(PoisonError::into_inner);
        older.retain(|it| it.ring.strong_count() > 0);
        older.iter().any(|it| it.active <= version)
    }

    /// Seals and opens metadata rows.
    pub fn rows(&self) -> &RowSealer {
        &self.rows
    }

    /// Opens and decodes a row that was read. One that does not verify is an integrity event.
    ///
    /// # Errors
    ///
    /// [`RowError::Damaged`].
    pub fn open_record<R: Record>(
        &self,
        table: Table,
        key: &[u8],
        value: &[u8],
    ) -> Result<R, RowError> {
        let opened = self.open_record_with_bytes(table, key, value);
        opened.map(|(record, _)| record)
    }

    /// As [`Custody::open_record`], and the encoded record that was read.
    ///
    /// # Errors
    ///
    /// [`RowError::Damaged`].
    pub fn open_record_with_bytes<R: Record>(
        &self,
        table: Table,
        key: &[u8],
        value: &[u8],
    ) -> Result<(R, Vec<u8>), RowError> {
        let opened = self.rows.open(table.0, key, value);
        opened
            .ok()
            .and_then(|bytes| Some((<R as Record>::decode(&bytes)?, bytes)))
            .ok_or_else(|| {
                tracing::error!(table = table.0, "metadata row does not verify");
                metrics::counter!("strongroom_integrity_events_total", "what" => "row")
                    .increment(1);
                RowError::Damaged(table.0)
            })
    }

    /// The value to store for `record` at its place.
    pub fn seal_record<R: Record>(
        &self,
        table: Table,
        key: &[u8],
        record: &R,
        entropy: &dyn Entropy,
    ) -> Bytes {
        let plaintext = Record::encode(record);
        self.rows.seal(table.0, key, &plaintext, entropy).into()
    }

    /// The secret that keeps SSE-C verifiers from being guessed off line.
    pub fn customer_key_pepper(&self) -> &ServiceKey {
        self.services.service_key(ServicePurpose::CustomerKeyPepper)
    }

    /// The key that authenticates part lists, so that SSE-C uploads complete without the customer's.
    pub fn manifest_key(&self) -> &ServiceKey {
        self.services.service_key(ServicePurpose::Manifest)
    }
}

impl fmt::Debug for Custody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Custody(REDACTED)")
    }
}
