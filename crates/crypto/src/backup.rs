//! The proof that a backup's manifest was written by who holds the key ring.

use aws_lc_rs::hmac;

use crate::kdf::{derive, label};
use crate::{Keyring, ServicePurpose, Unsealed};

/// Length of a manifest's MAC, in bytes.
pub const MANIFEST_MAC_LEN_BYTES: usize = 32;

/// Authenticates the manifests of one store's backups. A rotation of the root key changes nothing
/// about it, so older copies of the ring verify newer manifests and the other way round.
pub struct ManifestKey(hmac::Key);

impl std::fmt::Debug for ManifestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ManifestKey(REDACTED)")
    }
}

impl ManifestKey {
    /// The key of the store of `ring`.
    pub fn of(ring: &Keyring<Unsealed>) -> Self {
        let service = ring.service_key(ServicePurpose::Snapshot);
        let derived = derive::<1>(
            &[0; 64],
            service.expose(),
            label::BACKUP,
            &[&ring.ring_id()],
        );
        let [key] = &*derived;
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The MAC of a manifest whose SHA-256 is `digest`.
    pub fn mac(&self, digest: &[u8; 32]) -> [u8; MANIFEST_MAC_LEN_BYTES] {
        let tag = hmac::sign(&self.0, digest);
        let mut mac = [0; MANIFEST_MAC_LEN_BYTES];
        mac.iter_mut()
            .zip(tag.as_ref())
            .for_each(|(to, from)| *to = *from);
        mac
    }

    /// Whether `mac` is that of a manifest whose SHA-256 is `digest`. In constant time.
    pub fn verify(&self, digest: &[u8; 32], mac: &[u8]) -> bool {
        hmac::verify(&self.0, digest, mac).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::{Entropy, Timestamp};

    use super::*;

    struct Fill(u8);

    impl Entropy for Fill {
        fn fill(&self, out: &mut [u8]) {
            out.fill(self.0);
        }
    }

    #[test]
    fn a_manifest_verifies_under_its_own_ring_in_any_version_and_under_no_other() {
        let now = Timestamp::from_seconds(1);
        let (mut ring, _) = Keyring::create(now, &Fill(1));
        let digest = [7; 32];
        let mac = ManifestKey::of(&ring).mac(&digest);
        ring.rotate(now, &Fill(2));
        assert!(ManifestKey::of(&ring).verify(&digest, &mac));
        for bit in 0..256 {
            let mut changed = mac;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !ManifestKey::of(&ring).verify(&digest, &changed),
                "bit {bit}"
            );
            let mut other = digest;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!ManifestKey::of(&ring).verify(&other, &mac), "bit {bit}");
        }
        let (other, _) = Keyring::create(now, &Fill(3));
        assert!(!ManifestKey::of(&other).verify(&digest, &mac));
        assert!(!ManifestKey::of(&ring).verify(&digest, &mac[..31]));
    }
}
