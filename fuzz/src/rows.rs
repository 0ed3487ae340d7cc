//! What a damaged or hostile disk holds: the journal, and rows that were unsealed.

use std::sync::{Arc, OnceLock};

use strongroom_crypto::{Keyring, Unsealed};
use strongroom_store::fuzzing;
use strongroom_types::Timestamp;

use crate::Counting;

/// A journal file opens, or is refused. By its first byte the input is the file itself (`r`), the
/// payloads of properly sealed frames, each behind two bytes of length (`s`), or such a file with
/// one byte changed, whose place the next three bytes say (`f`).
pub fn journal_replay(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    let ring = ring();
    let replay = |file: &[u8]| fuzzing::replay(file, ring.as_ref());
    match kind {
        b's' => {
            let _ = replay(&sealed(rest));
        }
        b'f' => {
            let Some((place, rest)) = rest.split_first_chunk::<3>() else {
                return;
            };
            let mut file = sealed(rest);
            let [high, low, flip] = *place;
            let place = usize::from(u16::from_be_bytes([high, low]));
            let whole = replay(&file).ok();
            if let Some(byte) = file.get_mut(place) {
                *byte ^= flip;
            }
            let changed = replay(&file);
            if let (Some((transactions, _)), Ok((changed, _))) = (whole, changed) {
                assert!(changed <= transactions, "a change made a commit up");
            }
        }
        _ => {
            let _ = replay(rest);
        }
    }
}

/// A row's key and record, as they leave their seal.
pub fn metadata_record(data: &[u8]) {
    strongroom_s3::fuzzing::record(data);
    strongroom_s3::fuzzing::row_key(data);
}

/// A row of the audit trail, as it leaves its seal; batches are unpacked, too.
pub fn audit_record(data: &[u8]) {
    strongroom_audit::fuzzing::records(data);
}

fn sealed(mut rest: &[u8]) -> Vec<u8> {
    let mut payloads = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len)).min(after.len());
        let (payload, after) = after.split_at(len);
        payloads.push(payload);
        rest = after;
    }
    fuzzing::sealed(&payloads, ring(), Arc::new(Counting)).expect("frames of 64 KiB fit")
}

fn ring() -> Arc<Keyring<Unsealed>> {
    static RING: OnceLock<Arc<Keyring<Unsealed>>> = OnceLock::new();
    Arc::clone(
        RING.get_or_init(|| Arc::new(Keyring::create(Timestamp::from_seconds(0), &Counting).0)),
    )
}
