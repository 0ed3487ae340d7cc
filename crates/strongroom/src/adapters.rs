//! The real clock and the real randomness, and a key service that never answers.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use strongroom_ports::{
    Clock, DecryptedDataKey, GeneratedDataKey, KeyAuthority, KeyError, KeyLease, KeyReference,
    KeyUse,
};
use strongroom_types::kms::EncryptionContext;
use strongroom_types::{Entropy, RequestContext, Timestamp};

/// The machine's clocks.
#[derive(Debug)]
pub(crate) struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts the monotonic clock at zero.
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 is refused by the start-up check; it reads as the epoch here.
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The random generator of aws-lc, seeded by the operating system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) {
        if aws_lc_rs::rand::fill(out).is_err() {
            // The port's contract: fill or do not return. A weak key is worse than no server.
            tracing::error!("the operating system gives no random bytes; stopping at once");
            std::process::abort();
        }
    }
}

/// A server without a key service: what needs one fails closed.
#[derive(Debug)]
pub(crate) struct NoKeyService;

impl KeyAuthority for NoKeyService {
    fn generate_data_key(
        &self,
        _: &RequestContext,
        _: &KeyReference,
        _: &EncryptionContext,
    ) -> Result<GeneratedDataKey, KeyError> {
        Err(KeyError::Unavailable)
    }

    fn decrypt_data_key(
        &self,
        _: &RequestContext,
        _: &[u8],
        _: &EncryptionContext,
    ) -> Result<DecryptedDataKey, KeyError> {
        Err(KeyError::Unavailable)
    }

    fn decrypt_data_key_in_memory(
        &self,
        _: &RequestContext,
        _: &[u8],
        _: &EncryptionContext,
    ) -> Result<DecryptedDataKey, KeyError> {
        Err(KeyError::Unavailable)
    }

    fn authorize(
        &self,
        _: &RequestContext,
        _: &KeyReference,
        _: KeyUse,
        _: &EncryptionContext,
    ) -> Result<KeyLease, KeyError> {
        Err(KeyError::Unavailable)
    }

    fn authorize_in_memory(
        &self,
        _: &RequestContext,
        _: &KeyReference,
        _: KeyUse,
        _: &EncryptionContext,
    ) -> Result<KeyLease, KeyError> {
        Err(KeyError::Unavailable)
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_fills_everything_and_never_twice_the_same() {
        let (mut a, mut b) = ([0_u8; 64], [0_u8; 64]);
        SystemEntropy.fill(&mut a);
        SystemEntropy.fill(&mut b);
        assert!(a != b && a != [0; 64]);
    }

    #[test]
    fn the_clock_is_after_2024() {
        assert!(SystemClock::new().now() > Timestamp::from_seconds(1_704_067_200));
    }
}
