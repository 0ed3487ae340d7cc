//! Unique ids, and the ids and secrets of access keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strongroom_types::Entropy;
use zeroize::Zeroizing;

use crate::records::Secret;

/// Prefixes of ids (IAM User Guide, "IAM identifiers").
pub(crate) const USER: &str = "AIDA";
pub(crate) const ROLE: &str = "AROA";
pub(crate) const GROUP: &str = "AGPA";
pub(crate) const POLICY: &str = "ANPA";
pub(crate) const LONG_TERM_KEY: &str = "AKIA";
pub(crate) const TEMPORARY_KEY: &str = "ASIA";

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A unique id: the prefix and 17 characters of base 32 (85 bits).
pub(crate) fn unique_id(prefix: &str, entropy: &dyn Entropy) -> String {
    id(prefix, 17, entropy)
}

/// An access key id: the prefix and 16 characters of base 32 (80 bits).
pub(crate) fn access_key_id(prefix: &str, entropy: &dyn Entropy) -> String {
    id(prefix, 16, entropy)
}

/// A secret access key: 40 characters of base 64 (240 bits).
pub(crate) fn secret(entropy: &dyn Entropy) -> Secret {
    let mut bytes = Zeroizing::new([0_u8; 30]);
    entropy.fill(bytes.as_mut_slice());
    Secret::new(STANDARD.encode(bytes.as_slice()))
}

fn id(prefix: &str, len: usize, entropy: &dyn Entropy) -> String {
    let mut bytes = [0_u8; 17];
    entropy.fill(&mut bytes);
    let tail = bytes
        .into_iter()
        .take(len)
        .filter_map(|byte| BASE32.get(usize::from(byte & 31)))
        .map(|byte| char::from(*byte));
    prefix.chars().chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl Entropy for Counting {
        fn fill(&self, out: &mut [u8]) {
            for (byte, value) in out.iter_mut().zip(0_u8..) {
                *byte = value.wrapping_mul(37);
            }
        }
    }

    #[test]
    fn ids_have_the_lengths_of_aws() {
        assert_eq!(unique_id(USER, &Counting).len(), 21);
        assert_eq!(access_key_id(LONG_TERM_KEY, &Counting).len(), 20);
        assert_eq!(secret(&Counting).expose().len(), 40);
        assert_eq!(format!("{:?}", secret(&Counting)), "REDACTED");
    }
}
