//! A slot key shared among people: any `threshold` of them have it, fewer know nothing of it.
//!
//! Shamir, "How to share a secret" (1979), over GF(2^8) with the polynomial of AES. For each byte of
//! the key a random polynomial of degree `threshold - 1` is drawn whose value at 0 is that byte; the
//! share with index x holds the values at x. This is no cipher: with fewer than `threshold` shares
//! every key is equally likely. A share authenticates nothing: whoever joins shares learns from the
//! slot's commitment whether they belong together.
//!
//! Multiplication neither branches on secrets nor looks them up in tables.

use strongroom_types::Entropy;
use zeroize::Zeroizing;

use crate::{KEY_LEN_BYTES, SlotKey};

/// One person's part.
pub struct KeyShare {
    /// Which: 1 to 255, never 0, where the key itself is.
    pub index: u8,
    /// As secret as the key is, if enough of them come together.
    pub bytes: Zeroizing<[u8; KEY_LEN_BYTES]>,
}

impl std::fmt::Debug for KeyShare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyShare({}, REDACTED)", self.index)
    }
}

/// Why a key is not shared, or shares do not join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SharingError {
    /// A threshold of 1 would be a copy for everybody, and more than there are shares a loss.
    #[error("the threshold must be at least 2 and at most the number of shares")]
    Threshold,
    /// None at all, one twice, or one with index 0.
    #[error("the shares are none, or two of them are the same one")]
    Indices,
}

/// Shares `key` among `count` people of whom `threshold` must come together.
///
/// # Errors
///
/// [`SharingError::Threshold`].
pub fn split(
    key: &SlotKey,
    threshold: u8,
    count: u8,
    entropy: &dyn Entropy,
) -> Result<Vec<KeyShare>, SharingError> {
    if threshold < 2 || threshold > count {
        return Err(SharingError::Threshold);
    }
    // Coefficients from the highest degree down; the constant term is the key.
    let mut coefficients = Vec::with_capacity(usize::from(threshold));
    for _ in 1..threshold {
        let mut drawn = Zeroizing::new([0; KEY_LEN_BYTES]);
        entropy.fill(drawn.as_mut_slice());
        coefficients.push(drawn);
    }
    coefficients.push(Zeroizing::new(*key.expose()));
    let shares = (1..=count).map(|index| {
        let mut bytes = Zeroizing::new([0; KEY_LEN_BYTES]);
        for coefficient in &coefficients {
            for (value, term) in bytes.iter_mut().zip(coefficient.iter()) {
                *value = multiply(*value, index) ^ term;
            }
        }
        KeyShare { index, bytes }
    });
    Ok(shares.collect())
}

/// The key that these shares are of, if they are `threshold` shares of one key; any other bytes
/// otherwise.
///
/// # Errors
///
/// [`SharingError::Indices`].
pub fn join(shares: &[KeyShare]) -> Result<SlotKey, SharingError> {
    let is_bad = |share: &KeyShare| {
        share.index == 0 || shares.iter().filter(|it| it.index == share.index).count() != 1
    };
    if shares.is_empty() || shares.iter().any(is_bad) {
        return Err(SharingError::Indices);
    }
    let mut key = Zeroizing::new([0; KEY_LEN_BYTES]);
    for share in shares {
        // Lagrange's basis polynomial of this share at 0: the product of x_j / (x_j - x_i).
        let others = shares.iter().filter(|other| other.index != share.index);
        let weight = others.fold(1, |weight, other| {
            let quotient = multiply(other.index, inverse(other.index ^ share.index));
            multiply(weight, quotient)
        });
        for (sum, byte) in key.iter_mut().zip(share.bytes.iter()) {
            *sum ^= multiply(*byte, weight);
        }
    }
    SlotKey::parse(key.as_slice()).map_err(|_| SharingError::Indices)
}

/// The product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.
fn multiply(a: u8, b: u8) -> u8 {
    let mut product = 0;
    let mut shifted = a;
    for bit in 0..8 {
        product ^= shifted & 0_u8.wrapping_sub((b >> bit) & 1);
        let overflow = 0_u8.wrapping_sub(shifted >> 7);
        shifted = (shifted << 1) ^ (0x1b & overflow);
    }
    product
}

/// `a` to the 254th power, which is its inverse; 0 for 0.
fn inverse(a: u8) -> u8 {
    let mut power = a;
    let mut result = 1;
    for _ in 0..7 {
        power = multiply(power, power);
        result = multiply(result, power);
    }
    result
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// SplitMix64: different bytes each time, the same in every run.
    struct Mixed(AtomicU64);

    impl Entropy for Mixed {
        fn fill(&self, out: &mut [u8]) {
            for byte in out {
                let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                *byte = (z >> 40).to_le_bytes()[0];
            }
        }
    }

    fn mixed() -> Mixed {
        Mixed(1.into())
    }

    fn again(share: &KeyShare) -> KeyShare {
        KeyShare {
            index: share.index,
            bytes: share.bytes.clone(),
        }
    }

    #[test]
    fn any_threshold_of_the_shares_join_and_one_fewer_do_not() {
        let entropy = mixed();
        for (threshold, count) in [(2, 2), (2, 3), (3, 5), (5, 5)] {
            let key = SlotKey::random(&entropy);
            let shares = split(&key, threshold, count, &entropy).unwrap();
            assert_eq!(shares.len(), usize::from(count));
            for subset in 1_u32..1 << count {
                let chosen = |i: u8| subset & (1 << i) != 0;
                let some: Vec<KeyShare> = (0..count)
                    .filter(|i| chosen(*i))
                    .map(|i| again(&shares[usize::from(i)]))
                    .collect();
                let enough = some.len() >= usize::from(threshold);
                let joined = join(&some).unwrap();
                assert_eq!(
                    joined.expose() == key.expose(),
                    enough,
                    "{threshold} {some:?}"
                );
            }
        }
    }

    /// Every value of the secret byte is reached by exactly one value of the missing share.
    #[test]
    fn one_share_too_few_leaves_every_key_possible() {
        let entropy = mixed();
        let shares = split(&SlotKey::random(&entropy), 2, 2, &entropy).unwrap();
        let mut seen = [false; 256];
        for guess in 0..=255 {
            let missing = KeyShare {
                index: 2,
                bytes: Zeroizing::new([guess; KEY_LEN_BYTES]),
            };
            let joined = join(&[again(&shares[0]), missing]).unwrap();
            seen[usize::from(joined.expose()[0])] = true;
        }
        assert!(seen.iter().all(|seen| *seen));
    }

    #[test]
    fn multiplication_is_that_of_aes() {
        // FIPS 197, 4.2: {57} x {83} = {c1}, {57} x {13} = {fe}.
        assert_eq!((multiply(0x57, 0x83), multiply(0x57, 0x13)), (0xc1, 0xfe));
        for a in 1..=255 {
            assert_eq!(multiply(a, inverse(a)), 1, "{a}");
        }
    }

    #[test]
    fn impossible_thresholds_and_repeated_shares_are_refused() {
        let entropy = mixed();
        let key = SlotKey::random(&entropy);
        for (threshold, count) in [(0, 0), (0, 3), (1, 3), (4, 3), (2, 0)] {
            let refused = split(&key, threshold, count, &entropy).unwrap_err();
            assert_eq!(refused, SharingError::Threshold);
        }
        let shares = split(&key, 2, 255, &entropy).unwrap();
        assert_eq!(shares.len(), 255);
        let twice = [again(&shares[0]), again(&shares[0])];
        assert_eq!(join(&twice).unwrap_err(), SharingError::Indices);
        assert_eq!(join(&[]).unwrap_err(), SharingError::Indices);
        let zero = KeyShare {
            index: 0,
            bytes: Zeroizing::new([1; KEY_LEN_BYTES]),
        };
        assert_eq!(join(&[zero]).unwrap_err(), SharingError::Indices);
    }

    #[test]
    fn debug_shows_the_index_alone() {
        let share = KeyShare {
            index: 3,
            bytes: Zeroizing::new([0xAB; KEY_LEN_BYTES]),
        };
        assert_eq!(format!("{share:?}"), "KeyShare(3, REDACTED)");
    }
}
