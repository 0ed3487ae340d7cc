//! What happens when stored data does not verify: a log line, a counter, an event for the trail,
//! and an error. None of them says a key name or anything secret.

use std::fmt::Write as _;

use strongroom_crypto::ObjectIdentity;
use strongroom_ports::AuditEvent;
use strongroom_types::BlobId;

use crate::{S3, S3Error};

/// What did not verify.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Damage {
    /// Which stored thing: `segment`, `header`, `wrapped key`, `checksum`, ...
    pub what: &'static str,
    /// The blob file, if it is in one.
    pub blob: Option<BlobId>,
    /// The segment, if one.
    pub segment: Option<u64>,
}

impl Damage {
    /// Damage outside of any stream.
    pub(crate) const fn of(what: &'static str) -> Self {
        Self {
            what,
            blob: None,
            segment: None,
        }
    }
}

impl S3 {
    /// Raises an integrity event and gives the error to return.
    pub(crate) fn damaged(&self, identity: &ObjectIdentity, damage: Damage) -> S3Error {
        let Damage {
            what,
            blob,
            segment,
        } = damage;
        let blob = blob.map(|id| id.to_string());
        tracing::error!(
            bucket_uid = %identity.bucket, version_uid = %identity.version, blob_id = blob.as_deref(), segment, what,
            "stored data does not verify"
        );
        metrics::counter!("strongroom_integrity_events_total", "what" => what).increment(1);
        // All values are hexadecimal digits, numbers or words of ours: nothing needs escaping.
        let mut document = format!(
            r#"{{"eventName":"IntegrityFailure","what":"{what}","bucketUid":"{}","versionUid":"{}""#,
            identity.bucket, identity.version
        );
        if let Some(blob) = blob {
            let _ = write!(document, r#","blobId":"{blob}""#);
        }
        if let Some(segment) = segment {
            let _ = write!(document, r#","segment":{segment}"#);
        }
        document.push('}');
        // The answer is an error already, so it does not wait for the receipt.
        drop(self.ports.audit.record(vec![AuditEvent {
            time: self.ports.clock.now(),
            request_id: None,
            name: "IntegrityFailure",
            document: document.into(),
        }]));
        S3Error::Damaged
    }
}
