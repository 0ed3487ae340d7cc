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
    static KEYS: OnceLock<Vec<PrivateKey>> = OnceLock::new();
    KEYS.get_or_init(|| {
        asymmetric_specs()
            .map(|spec| PrivateKey::generate(spec).unwrap())
            .collect()
    })
    .iter()
    .find(|key| key.spec() == spec)
    .unwrap()
}
