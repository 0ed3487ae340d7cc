//! The service on what is in memory, for tasks: no call here waits for the disk.
//!
//! A hop to a worker and back costs more than all else in a small read. So a small read is tried
//! here first; [`S3Error::NotInMemory`](crate::S3Error::NotInMemory) sends it to a worker.

use std::sync::Arc;

use strongroom_rows::Resident;

use crate::S3;
use crate::service::S3Ports;

impl S3 {
    /// This service on what is in memory. It reads; it refuses to write. Its calls never wait for
    /// the disk, and answer [`S3Error::NotInMemory`](crate::S3Error::NotInMemory) instead.
    pub fn resident(&self) -> Option<&Arc<Self>> {
        self.resident.as_ref()
    }

    /// Whether this is the service on what is in memory.
    pub(crate) fn is_resident(&self) -> bool {
        self.resident.is_none()
    }
}

/// The ports of the service on what is in memory.
pub(crate) fn resident_ports(ports: &S3Ports) -> S3Ports {
    S3Ports {
        meta: Arc::new(Resident(Arc::clone(&ports.meta))),
        ..ports.clone()
    }
}
