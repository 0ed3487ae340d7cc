//! The keys that the service works with.

use std::fmt;
use std::sync::Arc;

use strongroom_crypto::{Keyring, RowSealer, ServiceKey, ServicePurpose, Unsealed};

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
