//! Rotation, through the service, also where it dies.

use strongroom_crypto::{CiphertextBlob, seal_blob};
use strongroom_ports::Table;
use strongroom_store::ConflictRule;
use strongroom_types::kms::{EncryptionContext, KeyOrigin, KeySpec, KeyUsage};

use super::*;
use crate::fixture::{Death, World, root};

const DAY_SECONDS: u64 = 24 * 60 * 60;

fn enable(world: &World, key: &KeyArn, days: Option<u32>) -> Result<(), KmsError> {
    let input = EnableKeyRotationInput {
        key_id: key.to_string(),
        rotation_period_in_days: days,
    };
    world.service().enable_key_rotation(&root(), input)
}

fn status(world: &World, key: &KeyArn) -> Result<(bool, Option<u32>, Option<u64>), KmsError> {
    let input = GetKeyRotationStatusInput {
        key_id: key.to_string(),
    };
    let output = world.service().get_key_rotation_status(&root(), input)?;
    assert_eq!(output.key_id, *key);
    assert_eq!(output.on_demand_rotation_start_date, None);
    Ok((
        output.key_rotation_enabled,
        output.rotation_period_in_days,
        output.next_rotation_date.map(Timestamp::as_seconds),
    ))
}

fn rotate(world: &World, key: &KeyArn) -> Result<(), KmsError> {
    let input = RotateKeyOnDemandInput {
        key_id: key.to_string(),
    };
    world
        .service()
        .rotate_key_on_demand(&root(), input)
        .map(|output| assert_eq!(output.key_id, *key))
}

fn list(world: &World, key: &KeyArn, all: bool) -> Vec<RotationEntry> {
    page(world, key, all, None, None).entries
}

fn page(
    world: &World,
    key: &KeyArn,
    all: bool,
    limit: Option<u32>,
    marker: Option<String>,
) -> Page<RotationEntry> {
    let input = ListKeyRotationsInput {
        key_id: key.to_string(),
        include_key_material: all.then(|| "ALL_KEY_MATERIAL".to_owned()),
        limit,
        marker,
    };
    world.service().list_key_rotations(&root(), input).unwrap()
}

/// A ciphertext under the key's current material.
pub(crate) fn sealed(world: &World, arn: &KeyArn) -> Vec<u8> {
    let service = world.service();
    let opened = service.opened_key(arn).unwrap().unwrap();
    let (id, material) = service.current_material(&opened).unwrap();
    let none = EncryptionContext::default();
    let entropy = &*service.ports.entropy;
    seal_blob(
        material.symmetric().unwrap(),
        arn.id,
        id,
        arn,
        &none,
        b"secret",
        entropy,
    )
}

/// Whether a ciphertext opens in a process that has just started.
pub(crate) fn opens(world: &World, arn: &KeyArn, blob: &[u8]) -> bool {
    let service = world.service();
    let opened = service.opened_key(arn).unwrap().unwrap();
    let blob = CiphertextBlob::parse(blob).unwrap();
    let Ok(material) = service.material(&opened, blob.material_id()) else {
        return false;
    };
    let plaintext = blob.open(
        material.symmetric().unwrap(),
        arn,
        &EncryptionContext::default(),
    );
    plaintext.is_ok_and(|plaintext| **plaintext == *b"secret")
}

#[test]
fn enabling_again_changes_the_period_and_counts_from_then() {
    let world = World::new();
    let key = world.symmetric();
    let now = || world.service().now().as_seconds();
    assert_eq!(status(&world, &key), Ok((false, None, None)));
    enable(&world, &key, None).unwrap();
    assert_eq!(
        status(&world, &key),
        Ok((true, Some(365), Some(now() + 365 * DAY_SECONDS)))
    );
    world.clock.advance_days(10);
    enable(&world, &key, Some(90)).unwrap();
    assert_eq!(
        status(&world, &key),
        Ok((true, Some(90), Some(now() + 90 * DAY_SECONDS)))
    );
    let input = DisableKeyRotationInput {
        key_id: key.to_string(),
    };
    world
        .service()
        .disable_key_rotation(&root(), input)
        .unwrap();
    assert_eq!(status(&world, &key), Ok((false, None, None)));
}

#[test]
fn a_key_that_waits_for_deletion_does_not_rotate_and_one_that_is_saved_does() {
    let world = World::new();
    let key = world.symmetric();
    enable(&world, &key, Some(90)).unwrap();
    let until = Timestamp::from_seconds(4_000_000_000);
    world.change(&key, |key| {
        key.lifecycle = Lifecycle::PendingDeletion { until }
    });
    assert_eq!(status(&world, &key), Ok((false, None, None)));
    assert_eq!(
        enable(&world, &key, None),
        Err(KmsError::InvalidState(format!(
            "{key} is pending deletion."
        )))
    );
    world.clock.advance_days(91);
    assert_eq!(world.service().rotate_if_due(&key), Ok(false));
    world.change(&key, |key| key.lifecycle = Lifecycle::Disabled);
    assert!(status(&world, &key).unwrap().0);
    assert_eq!(world.service().rotate_if_due(&key), Ok(false));
    // Overdue: at once, and the next one a period later.
    world.change(&key, |key| key.lifecycle = Lifecycle::Enabled);
    assert_eq!(world.service().rotate_if_due(&key), Ok(true));
    assert_eq!(world.service().rotate_if_due(&key), Ok(false));
    let next = world.service().now().as_seconds() + 90 * DAY_SECONDS;
    assert_eq!(status(&world, &key), Ok((true, Some(90), Some(next))));
    let [entry] = &list(&world, &key, false)[..] else {
        panic!("one rotation");
    };
    assert_eq!(entry.rotation_type, Some(RotationType::Automatic));
}

#[test]
fn old_ciphertexts_open_after_any_number_of_rotations() {
    let world = World::new();
    let key = world.symmetric();
    let mut blobs = vec![sealed(&world, &key)];
    for _ in 0..5 {
        rotate(&world, &key).unwrap();
        blobs.push(sealed(&world, &key));
    }
    for blob in &blobs {
        assert!(opens(&world, &key, blob));
    }
    let ids: std::collections::BTreeSet<_> = blobs
        .iter()
        .map(|blob| CiphertextBlob::parse(blob).unwrap().material_id())
        .collect();
    assert_eq!(ids.len(), 6);
}

#[test]
fn rotations_on_demand_are_counted_and_leave_the_schedule_alone() {
    let world = World::new();
    let key = world.symmetric();
    enable(&world, &key, Some(90)).unwrap();
    let before = status(&world, &key);
    for _ in 0..25 {
        world.clock.advance_seconds(1);
        rotate(&world, &key).unwrap();
    }
    assert_eq!(
        rotate(&world, &key),
        Err(KmsError::LimitExceeded(format!(
            "The on-demand rotations limit has been reached for the given keyId. No more on-demand \
             rotations can be performed for this key: {key}"
        )))
    );
    assert_eq!(status(&world, &key), before);
    let rotations = list(&world, &key, false);
    assert_eq!(rotations.len(), 25);
    assert!(
        rotations
            .iter()
            .all(|it| it.rotation_type == Some(RotationType::OnDemand))
    );
    let all = list(&world, &key, true);
    assert_eq!(all.len(), 26);
    assert_eq!((all[0].rotation_date, all[0].rotation_type), (None, None));
    assert_eq!(all[0].key_material_state, KeyMaterialState::NonCurrent);
    assert_eq!(all[25].key_material_state, KeyMaterialState::Current);
    assert_eq!(world.shreds.len(), 26);
}

#[test]
fn rotations_are_listed_in_pages() {
    let world = World::new();
    let key = world.symmetric();
    for _ in 0..5 {
        rotate(&world, &key).unwrap();
    }
    let (mut seen, mut marker) = (Vec::new(), None);
    loop {
        let page = page(&world, &key, false, Some(2), marker);
        seen.extend(page.entries.iter().map(|it| it.key_material_id));
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    let whole: Vec<_> = list(&world, &key, false)
        .iter()
        .map(|it| it.key_material_id)
        .collect();
    assert_eq!(seen, whole);
}

#[test]
fn what_cannot_rotate_says_so_as_aws_does() {
    let world = World::new();
    let key = world.symmetric();
    world.change(&key, |key| key.lifecycle = Lifecycle::Disabled);
    assert_eq!(
        rotate(&world, &key),
        Err(KmsError::Disabled(format!("{key} is disabled.")))
    );
    for (spec, usage) in [
        (KeySpec::EccNistP256, KeyUsage::SignVerify),
        (KeySpec::Hmac256, KeyUsage::GenerateVerifyMac),
    ] {
        let key = world.key(spec, usage, KeyOrigin::AwsKms);
        assert_eq!(
            rotate(&world, &key),
            Err(KmsError::UnsupportedOperation(None))
        );
        assert_eq!(
            enable(&world, &key, None),
            Err(KmsError::UnsupportedOperation(None))
        );
        assert_eq!(
            status(&world, &key),
            Err(KmsError::UnsupportedOperation(None))
        );
    }
    let key = world.external();
    let text = format!("{key} origin is EXTERNAL which is not valid for this operation.");
    assert_eq!(
        enable(&world, &key, None),
        Err(KmsError::UnsupportedOperation(Some(text.clone())))
    );
    assert_eq!(
        status(&world, &key),
        Err(KmsError::UnsupportedOperation(Some(text)))
    );
    assert_eq!(
        rotate(&world, &key),
        Err(KmsError::InvalidState(format!("{key} is pending import.")))
    );
}

#[test]
fn there_is_no_rotation_on_demand_close_to_an_automatic_one() {
    let world = World::new();
    let key = world.symmetric();
    enable(&world, &key, Some(90)).unwrap();
    world.clock.advance_seconds(90 * DAY_SECONDS - 20 * 60 - 1);
    rotate(&world, &key).unwrap();
    world.clock.advance_seconds(1);
    assert!(matches!(rotate(&world, &key), Err(KmsError::Conflict(_))));
    world.clock.advance_days(1);
    assert!(matches!(rotate(&world, &key), Err(KmsError::Conflict(_))));
    world.service().rotate_if_due(&key).unwrap();
    rotate(&world, &key).unwrap();
}

#[test]
fn a_process_that_dies_in_a_rotation_leaves_a_key_that_opens_everything() {
    for death in [Death::BeforeCommit, Death::AfterCommit] {
        let world = World::new();
        let key = world.symmetric();
        let old = sealed(&world, &key);
        world.meta.die_at_next_commit(death);
        assert_eq!(rotate(&world, &key), Err(KmsError::Unavailable));
        let rotated = death == Death::AfterCommit;
        assert_eq!(list(&world, &key, false).len(), usize::from(rotated));
        // The shred key came first: of a rotation that did not happen it is left over.
        assert_eq!(world.shreds.len(), 2);
        let materials = world.rows(Table::KMS_MATERIALS);
        assert_eq!(materials, if rotated { 2 } else { 1 });
        let new = sealed(&world, &key);
        assert!(opens(&world, &key, &old) && opens(&world, &key, &new));
        rotate(&world, &key).unwrap();
        let newest = sealed(&world, &key);
        for blob in [&old, &new, &newest] {
            assert!(opens(&world, &key, blob), "{death:?}");
        }
    }
}

#[test]
fn lost_races_leave_no_material_behind() {
    let world = World::with_conflicts(ConflictRule { one_in: 2, seed: 9 });
    let key = world.symmetric();
    for _ in 0..20 {
        rotate(&world, &key).unwrap();
    }
    assert_eq!(list(&world, &key, false).len(), 20);
    assert_eq!(
        (world.shreds.len(), world.rows(Table::KMS_MATERIALS)),
        (21, 21)
    );
}

#[test]
fn rotations_at_the_same_time_all_happen() {
    let world = World::new();
    let (service, key) = (world.service(), world.symmetric());
    let input = || RotateKeyOnDemandInput {
        key_id: key.to_string(),
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    service.rotate_key_on_demand(&root(), input()).unwrap();
                }
            });
        }
    });
    assert_eq!(list(&world, &key, false).len(), 20);
    assert_eq!(world.key_row(&key).on_demand_rotations, 20);
    assert_eq!(world.shreds.len(), 21);
}

#[test]
fn enabling_a_key_makes_up_for_a_rotation_that_it_slept_through() {
    let world = World::new();
    let key = world.symmetric();
    enable(&world, &key, Some(90)).unwrap();
    world.change(&key, |key| key.lifecycle = Lifecycle::Disabled);
    world.clock.advance_days(100);
    assert!(list(&world, &key, false).is_empty());
    let input = crate::EnableKeyInput {
        key_id: key.to_string(),
    };
    world.service().enable_key(&root(), input).unwrap();
    assert_eq!(list(&world, &key, false).len(), 1);
}
