//! What several test files need.

use std::sync::OnceLock;

use strongroom_asymmetric::PrivateKey;
use strongroom_types::kms::KeySpec;

/// The specs that a `PrivateKey` can have.
pub(crate) fn asymmetric_specs() -> impl Iterator<Item = KeySpec> {
    let known = |spec: &KeySpec| spec.is_asymmetric() && *spec != KeySpec::Sm2;
    KeySpec::ALL.iter().copied().filter(known)
}

/// A key of `spec`, made once per test process: RSA keys take their time.
pub(crate) fn fixed_key(spec: KeySpec) -> &'static PrivateKey {
    static KEYS: [OnceLock<PrivateKey>; KeySpec::ALL.len()] =
        [const { OnceLock::new() }; KeySpec::ALL.len()];
    let place = asymmetric_specs().position(|known| known == spec).unwrap();
    KEYS[place].get_or_init(|| PrivateKey::generate(spec).unwrap())
}
