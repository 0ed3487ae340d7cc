//! What encryption at rest costs in a request, measured alone: there is no switch to turn it off.

use std::hint::black_box;

use anyhow::{Result, anyhow};
use strongroom_crypto::{
    BodyKeys, DataKey, ObjectIdentity, SEGMENT_LEN_BYTES, SEGMENT_OVERHEAD_BYTES, StreamOpener,
    StreamSealer,
};
use strongroom_types::{BucketUid, Entropy, ObjectKey, VersionUid};

use crate::parts::cost;

struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) {
        aws_lc_rs::rand::fill(out).unwrap_or_else(|_| std::process::abort());
    }
}

/// One segment is sealed again and again, in place: memory traffic belongs to the other parts.
pub(crate) fn sealing(size: usize) -> Result<f64> {
    let identity = identity()?;
    let mut buffer = vec![7_u8; SEGMENT_LEN_BYTES + SEGMENT_OVERHEAD_BYTES];
    cost(|| {
        let key = BodyKeys::single(DataKey::random(&SystemEntropy));
        let mut sealer = StreamSealer::new(&key, &identity, None, &SystemEntropy);
        let mut left = size;
        loop {
            let take = left.min(SEGMENT_LEN_BYTES);
            left -= take;
            let segment = buffer
                .get_mut(..take + SEGMENT_OVERHEAD_BYTES)
                .ok_or_else(|| anyhow!("segment"))?;
            sealer.seal_segment(segment, left == 0)?;
            if left == 0 {
                black_box(&buffer);
                return Ok(());
            }
        }
    })
}

/// Opening wipes nothing and can be repeated only on a fresh copy, so the copy is in the figure.
pub(crate) fn opening(size: usize) -> Result<f64> {
    let identity = identity()?;
    let key = BodyKeys::single(DataKey::random(&SystemEntropy));
    let take = size.min(SEGMENT_LEN_BYTES);
    let segments = u32::try_from(size.div_ceil(SEGMENT_LEN_BYTES).max(1))?;
    let mut sealer = StreamSealer::new(&key, &identity, None, &SystemEntropy);
    let mut stored = vec![7_u8; take + SEGMENT_OVERHEAD_BYTES];
    sealer.seal_segment(&mut stored, true)?;
    let header = sealer.header().to_vec();
    let mut copy = stored.clone();
    cost(|| {
        let opener = StreamOpener::new(&key, &identity, None, &header)?;
        for _ in 0..segments {
            copy.copy_from_slice(&stored);
            black_box(opener.open_segment(0, true, &mut copy)?);
        }
        Ok(())
    })
}

fn identity() -> Result<ObjectIdentity> {
    Ok(ObjectIdentity {
        bucket: BucketUid::random(&SystemEntropy),
        key: ObjectKey::parse("bench")?,
        version: VersionUid::random(&SystemEntropy),
    })
}
