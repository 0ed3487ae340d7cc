//! The keys that the service works with.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use strongroom_crypto::{Keyring, RowSealer, ServiceKey, ServicePurpose, Unsealed};
use strongroom_ports::{Entropy, Table};

use crate::{Record, RowError};

/// The unsealed key ring and the row sealer, shared by all requests.
pub struct Custody {
    ring: Arc<Keyring<Unsealed>>,
    rows: RowSealer,
}

impl Custody {
    /// Takes an unsealed ring into use.
    pub fn new(ring: Arc<Keyring<Unsealed>>) -> Self {
        let rows = RowSealer::new(ring.service_key(ServicePurpose::Rows));
        Self { ring, rows }
    }

    /// The root key ring.
    pub fn ring(&self) -> &Keyring<Unsealed> {
        &self.ring
    }

    /// The root key ring, for who keeps it: the stores take their ciphers from it.
    pub fn shared_ring(&self) -> Arc<Keyring<Unsealed>> {
        Arc::clone(&self.ring)
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
        let opened = self.rows.open(table.0, key, value);
        opened
            .ok()
            .and_then(|plaintext| <R as Record>::decode(&plaintext))
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
        self.ring.service_key(ServicePurpose::CustomerKeyPepper)
    }

    /// The key that authenticates part lists, so that SSE-C uploads complete without the customer's.
    pub fn manifest_key(&self) -> &ServiceKey {
        self.ring.service_key(ServicePurpose::Manifest)
    }
}

impl fmt::Debug for Custody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Custody(REDACTED)")
    }
}
