//! Import, deletion and expiry of material, through the service, also where it dies.

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use strongroom_types::kms::{
    ExpirationModel, ImportType, KeyOrigin, KeySpec, KeyState, KeyUsage, WrappingKeySpec,
};

use super::*;
use crate::fixture::{Death, World, root};
use crate::rotation::tests::{opens, sealed};
use crate::{KeyMaterialState, ListKeyRotationsInput, RotateKeyOnDemandInput, RotationEntry};

const FIRST: [u8; 32] = [1; 32];
const SECOND: [u8; 32] = [2; 32];

pub(super) fn parameters(
    world: &World,
    key: &KeyArn,
    algorithm: WrappingAlgorithm,
) -> Result<GetParametersForImportOutput, KmsError> {
    let input = GetParametersForImportInput {
        key_id: key.to_string(),
        wrapping_algorithm: algorithm,
        wrapping_key_spec: WrappingKeySpec::Rsa2048,
    };
    world.service().get_parameters_for_import(&root(), input)
}

fn oaep(world: &World, key: &KeyArn) -> GetParametersForImportOutput {
    parameters(world, key, WrappingAlgorithm::RsaesOaepSha256).unwrap()
}

fn wrapped(public_key: &[u8], material: &[u8]) -> Vec<u8> {
    let key = PublicEncryptingKey::from_der(public_key).unwrap();
    let key = OaepPublicEncryptingKey::new(key).unwrap();
    let mut out = vec![0; key.ciphertext_size()];
    let len = key
        .encrypt(&OAEP_SHA256_MGF1SHA256, material, &mut out, None)
        .unwrap()
        .len();
    out.truncate(len);
    out
}

/// For material that does not expire.
pub(super) fn input(
    key: &KeyArn,
    parameters: &GetParametersForImportOutput,
    material: &[u8],
) -> ImportKeyMaterialInput {
    ImportKeyMaterialInput {
        key_id: key.to_string(),
        import_token: parameters.import_token.clone(),
        encrypted_key_material: wrapped(&parameters.public_key, material),
        valid_to: None,
        expiration_model: Some(ExpirationModel::DoesNotExpire),
        import_type: None,
        key_material_description: None,
        key_material_id: None,
    }
}

/// Imports material that goes by itself.
pub(crate) fn import_until(world: &World, key: &KeyArn, valid_to: Timestamp) -> KeyMaterialId {
    let input = ImportKeyMaterialInput {
        valid_to: Some(valid_to),
        expiration_model: Some(ExpirationModel::Expires),
        ..input(key, &oaep(world, key), &FIRST)
    };
    import(world, input).unwrap()
}

pub(super) fn import(
    world: &World,
    input: ImportKeyMaterialInput,
) -> Result<KeyMaterialId, KmsError> {
    let output = world.service().import_key_material(&root(), input)?;
    Ok(output.key_material_id.unwrap())
}

pub(super) fn delete(
    world: &World,
    key: &KeyArn,
    id: Option<KeyMaterialId>,
) -> Result<Option<KeyMaterialId>, KmsError> {
    let input = DeleteImportedKeyMaterialInput {
        key_id: key.to_string(),
        key_material_id: id.map(|id| id.to_string()),
    };
    let output = world
        .service()
        .delete_imported_key_material(&root(), input)?;
    Ok(output.key_material_id)
}

pub(super) fn rotate(world: &World, key: &KeyArn) -> Result<(), KmsError> {
    let input = RotateKeyOnDemandInput {
        key_id: key.to_string(),
    };
    world
        .service()
        .rotate_key_on_demand(&root(), input)
        .map(|_| ())
}

fn materials(world: &World, key: &KeyArn) -> Vec<RotationEntry> {
    let input = ListKeyRotationsInput {
        key_id: key.to_string(),
        include_key_material: Some("ALL_KEY_MATERIAL".to_owned()),
        limit: None,
        marker: None,
    };
    world
        .service()
        .list_key_rotations(&root(), input)
        .unwrap()
        .entries
}

fn as_new(input: ImportKeyMaterialInput) -> ImportKeyMaterialInput {
    ImportKeyMaterialInput {
        import_type: Some(ImportType::NewKeyMaterial),
        ..input
    }
}

#[test]
fn imported_material_makes_the_key_usable_and_its_loss_unusable_again() {
    let world = World::new();
    let key = world.external();
    assert_eq!(world.state(&key), KeyState::PendingImport);
    let parameters = oaep(&world, &key);
    assert!(parameters.import_token.len() <= 6144);
    let id = import(&world, input(&key, &parameters, &FIRST)).unwrap();
    assert_eq!(world.state(&key), KeyState::Enabled);
    let blob = sealed(&world, &key);
    assert_eq!(delete(&world, &key, None), Ok(Some(id)));
    assert_eq!(world.state(&key), KeyState::PendingImport);
    assert!(!opens(&world, &key, &blob));
    assert_eq!(
        (world.shreds.len(), world.rows(Table::KMS_MATERIALS)),
        (0, 0)
    );
    // Once more: no effect.
    assert_eq!(delete(&world, &key, None), Ok(Some(id)));
    // The same bytes bring everything back, also by the same token.
    assert_eq!(import(&world, input(&key, &parameters, &FIRST)), Ok(id));
    assert_eq!(world.state(&key), KeyState::Enabled);
    assert!(opens(&world, &key, &blob));
}

#[test]
fn a_key_saved_from_deletion_before_its_first_import_is_enabled_by_it() {
    let world = World::new();
    let key = world.external();
    let key_id = key.to_string();
    let service = world.service();
    let scheduled = crate::ScheduleKeyDeletionInput {
        key_id: key_id.clone(),
        pending_window_in_days: Some(7),
    };
    service.schedule_key_deletion(&root(), scheduled).unwrap();
    let cancelled = crate::CancelKeyDeletionInput { key_id };
    service.cancel_key_deletion(&root(), cancelled).unwrap();
    assert_eq!(world.state(&key), KeyState::PendingImport);
    import(&world, input(&key, &oaep(&world, &key), &FIRST)).unwrap();
    assert_eq!(world.state(&key), KeyState::Enabled);
}

#[test]
fn other_bytes_are_not_the_keys_material() {
    let world = World::new();
    let key = world.external();
    let parameters = oaep(&world, &key);
    let id = import(&world, input(&key, &parameters, &FIRST)).unwrap();
    for again in [
        input(&key, &parameters, &SECOND),
        as_new(input(&key, &parameters, &FIRST)),
        ImportKeyMaterialInput {
            key_material_id: Some("00".repeat(32)),
            ..input(&key, &parameters, &FIRST)
        },
        input(&key, &parameters, &[1; 31]),
    ] {
        let outcome = import(&world, again);
        assert!(
            matches!(outcome, Err(KmsError::IncorrectKeyMaterial(_))),
            "{outcome:?}"
        );
    }
    let named = ImportKeyMaterialInput {
        key_material_id: Some(id.to_string()),
        ..input(&key, &parameters, &FIRST)
    };
    assert_eq!(import(&world, named), Ok(id));
    // The same bytes as another key's material are another material.
    let other = world.external();
    let elsewhere = import(&world, input(&other, &oaep(&world, &other), &FIRST)).unwrap();
    assert_ne!(elsewhere, id);
}

#[test]
fn tokens_belong_to_one_key_and_one_day() {
    let world = World::new();
    let (key, other) = (world.external(), world.external());
    let parameters = oaep(&world, &key);
    let invalid = |outcome| matches!(outcome, Err(KmsError::InvalidImportToken(_)));
    assert!(invalid(import(&world, input(&other, &parameters, &FIRST))));
    let mut damaged = input(&key, &parameters, &FIRST);
    damaged.import_token[40] ^= 1;
    assert!(invalid(import(&world, damaged)));
    let mut spoiled = input(&key, &parameters, &FIRST);
    spoiled.encrypted_key_material[9] ^= 1;
    assert_eq!(import(&world, spoiled), Err(KmsError::InvalidCiphertext));
    // Wrapped under the key pair of another token.
    let wrong_pair = ImportKeyMaterialInput {
        encrypted_key_material: wrapped(&oaep(&world, &key).public_key, &FIRST),
        ..input(&key, &parameters, &FIRST)
    };
    assert_eq!(import(&world, wrong_pair), Err(KmsError::InvalidCiphertext));
    world.clock.advance_days(1);
    let late = import(&world, input(&key, &parameters, &FIRST));
    assert!(matches!(late, Err(KmsError::ExpiredImportToken(_))));
}

#[test]
fn keys_of_this_server_take_no_material() {
    let world = World::new();
    let key = world.symmetric();
    let refused = parameters(&world, &key, WrappingAlgorithm::RsaesOaepSha256).map(|_| ());
    assert_eq!(
        refused,
        Err(KmsError::UnsupportedOperation(Some(format!(
            "{key} origin is AWS_KMS which is not valid for this operation."
        ))))
    );
    let refused =
        parameters(&world, &world.external(), WrappingAlgorithm::RsaesPkcs1V15).map(|_| ());
    assert!(matches!(
        refused,
        Err(KmsError::UnsupportedOperation(Some(_)))
    ));
}

#[test]
fn a_second_material_waits_for_the_next_rotation() {
    let world = World::new();
    let key = world.external();
    let parameters = oaep(&world, &key);
    let first = import(&world, input(&key, &parameters, &FIRST)).unwrap();
    let old = sealed(&world, &key);
    assert_eq!(
        rotate(&world, &key),
        Err(KmsError::InvalidState(format!(
            "No available key material pending rotation for the key: {key}."
        )))
    );
    let described = ImportKeyMaterialInput {
        key_material_description: Some("the second".to_owned()),
        ..as_new(input(&key, &parameters, &SECOND))
    };
    let second = import(&world, described).unwrap();
    assert_eq!(world.key_row(&key).current, Some(first));
    let third = material_id_of(&world, &key, [3; 32]);
    assert_eq!(
        import(&world, as_new(input(&key, &parameters, &[3; 32]))),
        Err(KmsError::InvalidState(format!(
            "New key material (id: {third}) cannot be imported into KMS key {key}, because another \
             key material (id: {second}) is pending rotation."
        )))
    );
    let states = |world: &World| -> Vec<KeyMaterialState> {
        materials(world, &key)
            .iter()
            .map(|it| it.key_material_state)
            .collect()
    };
    assert_eq!(
        states(&world),
        [KeyMaterialState::Current, KeyMaterialState::PendingRotation]
    );
    rotate(&world, &key).unwrap();
    assert_eq!(
        states(&world),
        [KeyMaterialState::NonCurrent, KeyMaterialState::Current]
    );
    let listed = materials(&world, &key);
    assert_eq!(
        listed[1].key_material_description.as_deref(),
        Some("the second")
    );
    assert_eq!(listed[1].is_imported, Some(true));
    let new = sealed(&world, &key);
    assert!(opens(&world, &key, &old) && opens(&world, &key, &new));
    // One material less, whichever, and the key waits for it.
    delete(&world, &key, Some(first)).unwrap();
    assert_eq!(world.state(&key), KeyState::PendingImport);
    assert_eq!(materials(&world, &key)[0].is_imported, Some(false));
    assert_eq!(import(&world, input(&key, &parameters, &FIRST)), Ok(first));
    assert!(opens(&world, &key, &old) && opens(&world, &key, &new));
}

#[test]
fn a_pending_material_that_is_deleted_or_has_expired_makes_room_for_another() {
    let world = World::new();
    let key = world.external();
    let parameters = oaep(&world, &key);
    import(&world, input(&key, &parameters, &FIRST)).unwrap();
    let second = import(&world, as_new(input(&key, &parameters, &SECOND))).unwrap();
    delete(&world, &key, Some(second)).unwrap();
    assert_eq!(
        (world.state(&key), materials(&world, &key).len()),
        (KeyState::Enabled, 1)
    );
    let now = world.service().now();
    let expiring = ImportKeyMaterialInput {
        expiration_model: None,
        valid_to: Some(Timestamp::from_seconds(now.as_seconds() + 60)),
        ..as_new(input(&key, &parameters, &SECOND))
    };
    import(&world, expiring).unwrap();
    world.clock.advance_seconds(60);
    assert!(matches!(
        rotate(&world, &key),
        Err(KmsError::InvalidState(_))
    ));
    let third = import(&world, as_new(input(&key, &parameters, &[3; 32]))).unwrap();
    assert_eq!(world.key_row(&key).pending, Some(third));
    assert_eq!(
        (world.shreds.len(), world.rows(Table::KMS_MATERIALS)),
        (2, 2)
    );
    rotate(&world, &key).unwrap();
}

#[test]
fn material_expires_and_can_be_given_more_time() {
    let world = World::new();
    let key = world.external();
    let parameters = oaep(&world, &key);
    let at = |seconds| {
        Some(Timestamp::from_seconds(
            world.service().now().as_seconds() + seconds,
        ))
    };
    let until = |valid_to| ImportKeyMaterialInput {
        valid_to,
        expiration_model: Some(ExpirationModel::Expires),
        ..input(&key, &parameters, &FIRST)
    };
    let id = import(&world, until(at(60))).unwrap();
    let blob = sealed(&world, &key);
    import(&world, until(at(120))).unwrap();
    assert_eq!(world.shreds.len(), 1);
    world.clock.advance_seconds(119);
    assert_eq!(world.service().expire_materials(&key), Ok(0));
    assert_eq!(world.state(&key), KeyState::Enabled);
    world.clock.advance_seconds(1);
    // At once, whatever the background does.
    assert_eq!(world.state(&key), KeyState::PendingImport);
    assert_eq!(world.service().expire_materials(&key), Ok(1));
    assert_eq!(world.service().expire_materials(&key), Ok(0));
    assert_eq!(world.shreds.len(), 0);
    assert!(!opens(&world, &key, &blob));
    assert_eq!(import(&world, input(&key, &parameters, &FIRST)), Ok(id));
    assert!(opens(&world, &key, &blob));
}

#[test]
fn keys_of_other_kinds_take_material_too_but_only_one() {
    let world = World::new();
    let key = world.key(
        KeySpec::Hmac256,
        KeyUsage::GenerateVerifyMac,
        KeyOrigin::External,
    );
    let parameters = oaep(&world, &key);
    import(&world, input(&key, &parameters, &FIRST)).unwrap();
    assert_eq!(world.state(&key), KeyState::Enabled);
    assert_eq!(
        import(&world, as_new(input(&key, &parameters, &SECOND))),
        Err(KmsError::UnsupportedOperation(None))
    );
    let pair = strongroom_asymmetric::PrivateKey::generate(KeySpec::EccNistP256).unwrap();
    let key = world.key(
        KeySpec::EccNistP256,
        KeyUsage::SignVerify,
        KeyOrigin::External,
    );
    import(&world, input(&key, &oaep(&world, &key), pair.pkcs8())).unwrap();
    let public = crate::GetPublicKeyInput {
        key_id: key.to_string(),
        grant_tokens: Vec::new(),
    };
    let public = world.service().get_public_key(&root(), public).unwrap();
    assert_eq!(public.public_key, pair.public_key_der());
}

#[test]
fn a_process_that_dies_in_an_import_leaves_a_key_that_takes_it_again() {
    for death in [Death::BeforeCommit, Death::AfterCommit] {
        let world = World::new();
        let key = world.external();
        let parameters = oaep(&world, &key);
        world.meta.die_at_next_commit(death);
        let outcome = import(&world, input(&key, &parameters, &FIRST));
        assert_eq!(outcome, Err(KmsError::Unavailable));
        let imported = death == Death::AfterCommit;
        assert_eq!(world.state(&key) == KeyState::Enabled, imported);
        import(&world, input(&key, &parameters, &FIRST)).unwrap();
        let blob = sealed(&world, &key);
        assert!(opens(&world, &key, &blob));
        // A crash after the commit is no second copy of the material.
        assert_eq!(world.rows(Table::KMS_MATERIALS), 1);
        delete(&world, &key, None).unwrap();
        assert!(!opens(&world, &key, &blob));
    }
}

#[test]
fn a_process_that_dies_in_a_deletion_destroys_the_material_or_does_not() {
    for death in [Death::BeforeCommit, Death::AfterCommit] {
        let world = World::new();
        let key = world.external();
        let parameters = oaep(&world, &key);
        import(&world, input(&key, &parameters, &FIRST)).unwrap();
        let blob = sealed(&world, &key);
        world.meta.die_at_next_commit(death);
        assert_eq!(delete(&world, &key, None), Err(KmsError::Unavailable));
        match death {
            Death::BeforeCommit => {
                assert!(opens(&world, &key, &blob));
                delete(&world, &key, None).unwrap();
            }
            Death::AfterCommit => {
                // The key is without it at once; the order to destroy it is durable.
                assert_eq!(world.state(&key), KeyState::PendingImport);
                assert_eq!(world.rows(Table::KMS_MATERIALS), 1);
                assert_eq!(world.shreds.len(), 1);
            }
        }
        assert!(!opens(&world, &key, &blob));
        import(&world, input(&key, &parameters, &FIRST)).unwrap();
        assert!(opens(&world, &key, &blob));
    }
}

fn material_id_of(world: &World, key: &KeyArn, bytes: [u8; 32]) -> KeyMaterialId {
    let spec = world.key_row(key).spec;
    Material::parse(spec, &bytes).unwrap().id(key)
}

#[test]
fn a_token_fits_into_a_request_whatever_the_wrapping_key() {
    let world = World::new();
    let input = GetParametersForImportInput {
        key_id: world.external().to_string(),
        wrapping_algorithm: WrappingAlgorithm::RsaAesKeyWrapSha256,
        wrapping_key_spec: WrappingKeySpec::Rsa4096,
    };
    let output = world
        .service()
        .get_parameters_for_import(&root(), input)
        .unwrap();
    assert!(output.import_token.len() <= 6144);
    let now = world.service().now().as_seconds();
    assert_eq!(output.parameters_valid_to.as_seconds(), now + 24 * 60 * 60);
}

#[test]
fn a_private_key_of_rsa_comes_wrapped_by_a_key_of_its_own() {
    use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded as _};
    let world = World::new();
    let key = world.key(KeySpec::Rsa2048, KeyUsage::SignVerify, KeyOrigin::External);
    let pair = strongroom_asymmetric::PrivateKey::generate(KeySpec::Rsa2048).unwrap();
    let parameters = parameters(&world, &key, WrappingAlgorithm::RsaAesKeyWrapSha256).unwrap();
    let kek = [5; 32];
    let mut room = vec![0; pair.pkcs8().len() + 16];
    let wrapped_pair = AesKek::new(&AES_256, &kek)
        .unwrap()
        .wrap_with_padding(pair.pkcs8(), &mut room)
        .unwrap();
    let mut encrypted_key_material = wrapped(&parameters.public_key, &kek);
    encrypted_key_material.extend_from_slice(wrapped_pair);
    let asked = ImportKeyMaterialInput {
        encrypted_key_material,
        ..input(&key, &parameters, &FIRST)
    };
    import(&world, asked).unwrap();
    let input = crate::GetPublicKeyInput {
        key_id: key.to_string(),
        grant_tokens: Vec::new(),
    };
    let public = world.service().get_public_key(&root(), input).unwrap();
    assert_eq!(public.public_key, pair.public_key_der());
}
