use strongroom_ports::{ShredStore as _, Table};
use strongroom_types::kms::GrantOperation;

use super::*;
use crate::fixture::{Death, ROOT, World};
use crate::{CreateGrantInput, DueWork};

fn due(service: &KeyService) -> DueWork {
    service.run_due_work().unwrap()
}

fn grant(service: &KeyService, arn: &KeyArn) {
    let input = CreateGrantInput {
        key_id: arn.to_string(),
        grantee_principal: ROOT.to_owned(),
        retiring_principal: Some(ROOT.to_owned()),
        operations: vec![GrantOperation::Decrypt],
        constraints: None,
        grant_tokens: Vec::new(),
        name: None,
        dry_run: false,
    };
    service.create_grant(&root(), input).unwrap();
}

const TABLES: [Table; 7] = [
    Table::KMS_KEYS,
    Table::KMS_ALIASES,
    Table::KMS_KEY_ALIASES,
    Table::KMS_MATERIALS,
    Table::KMS_GRANTS,
    Table::KMS_RETIRABLE_GRANTS,
    Table::KMS_LAST_USAGE,
];

fn rows(world: &World) -> Vec<usize> {
    TABLES.iter().map(|table| world.rows(*table)).collect()
}

/// A key with all that a key can have.
fn furnished(world: &World) -> (KeyArn, Vec<u8>) {
    let service = world.service();
    let arn = created(&service);
    alias(&service, "alias/a", &arn).unwrap();
    alias(&service, "alias/b", &arn).unwrap();
    grant(&service, &arn);
    let ciphertext = encrypt(&service, &arn.to_string(), b"secret").unwrap();
    let key_id = arn.to_string();
    service
        .rotate_key_on_demand(&root(), crate::RotateKeyOnDemandInput { key_id })
        .unwrap();
    due(&service);
    (arn, ciphertext)
}

#[test]
fn nothing_is_left_of_a_key_past_its_date() {
    let world = World::new();
    let living = created(&world.service());
    let before = rows(&world);
    let (arn, ciphertext) = furnished(&world);
    schedule(&world.service(), &arn, 7).unwrap();
    world.clock.advance_seconds(7 * 24 * 60 * 60 - 1);
    assert_eq!(due(&world.service()), DueWork::default());
    assert_eq!(state(&world.service(), &arn), KeyState::PendingDeletion);
    world.clock.advance_seconds(1);
    // Gone at once for everybody, whatever the background does.
    let gone = KmsError::NotFound(format!("Key '{arn}' does not exist"));
    let service = world.service();
    assert_eq!(cancel(&service, &arn), Err(gone.clone()));
    assert_eq!(decrypt(&service, &ciphertext), Err(gone.clone()));
    assert_eq!(
        described(&service, &arn.to_string()).err(),
        Some(gone.clone())
    );
    let work = due(&service);
    assert_eq!((work.keys_destroyed, work.shred_keys_destroyed), (1, 2));
    assert_eq!(work.failed, 0);
    assert_eq!(rows(&world), before);
    assert_eq!(world.shreds.list().unwrap().len(), 1);
    // Not even that there was such a key.
    assert!(matches!(
        decrypt(&service, &ciphertext),
        Err(KmsError::AccessDenied(_))
    ));
    assert_eq!(state(&service, &living), KeyState::Enabled);
    // The name is free for another key, which opens nothing of the old one.
    let next = created(&service);
    alias(&service, "alias/a", &next).unwrap();
    assert!(decrypt(&service, &ciphertext).is_err());
    assert_eq!(due(&service), DueWork::default());
}

#[test]
fn a_process_that_dies_anywhere_in_a_destruction_neither_revives_nor_forgets() {
    for death in [Death::BeforeCommit, Death::AfterCommit] {
        for commits in 0.. {
            let world = World::new();
            let living = created(&world.service());
            let kept = encrypt(&world.service(), &living.to_string(), b"kept").unwrap();
            let before = rows(&world);
            let (arn, ciphertext) = furnished(&world);
            schedule(&world.service(), &arn, 7).unwrap();
            world.clock.advance_days(7);
            world.meta.die_after_commits(commits, death);
            let work = world.service().run_due_work();
            let survived = world.meta.is_alive();
            world.meta.revive();
            assert!(decrypt(&world.service(), &ciphertext).is_err());
            due(&world.service());
            due(&world.service());
            assert_eq!(rows(&world), before, "{death:?} {commits} {work:?}");
            assert_eq!(world.shreds.list().unwrap().len(), 1);
            assert_eq!(decrypt(&world.service(), &kept).unwrap(), b"kept");
            if survived {
                break;
            }
        }
    }
}

#[test]
fn a_clock_set_ahead_destroys_nothing_for_a_day() {
    let world = World::new();
    let service = world.service();
    let arn = created(&service);
    schedule(&service, &arn, 7).unwrap();
    world.clock.jump_days(8);
    // It cannot be used, but it is there.
    assert!(matches!(
        described(&service, &arn.to_string()),
        Err(KmsError::NotFound(_))
    ));
    for _ in 0..23 {
        let work = due(&service);
        assert_eq!((work.keys_destroyed, work.postponed), (0, 1));
        world.clock.advance_seconds(60 * 60);
    }
    // A second jump is no shorter way.
    world.clock.jump_days(1);
    assert_eq!(due(&service).postponed, 1);
    world.clock.advance_seconds(23 * 60 * 60);
    assert_eq!(due(&service).postponed, 1);
    world.clock.advance_seconds(60 * 60);
    assert_eq!(due(&service).keys_destroyed, 1);
}

#[test]
fn a_clock_that_was_wrong_and_is_set_right_has_destroyed_nothing() {
    let world = World::new();
    let service = world.service();
    let arn = created(&service);
    schedule(&service, &arn, 7).unwrap();
    world.clock.jump_days(8);
    assert_eq!(due(&service).postponed, 1);
    world.clock.jump_back_days(8);
    assert_eq!(due(&service).postponed, 0);
    cancel(&service, &arn).unwrap();
    assert_eq!(state(&service, &arn), KeyState::Disabled);
}

#[test]
fn uses_are_remembered_across_restarts() {
    let world = World::new();
    let service = world.service();
    let arn = created(&service);
    assert_eq!(service.last_use(arn.id).unwrap(), None);
    encrypt(&service, &arn.to_string(), b"x").unwrap();
    assert_eq!(
        service.last_use(arn.id).unwrap().unwrap().operation,
        "Encrypt"
    );
    assert_eq!(due(&service).last_uses_written, 1);
    assert_eq!(due(&service).last_uses_written, 0);
    let again = world.service().last_use(arn.id).unwrap().unwrap();
    assert_eq!(again.operation, "Encrypt");
    assert_eq!(again.at, strongroom_ports::Clock::now(&*world.clock));
}

#[test]
fn a_full_disk_keeps_nobody_from_taking_away() {
    let world = World::new();
    let service = world.service();
    let (arn, _) = furnished(&world);
    let other = created(&service);
    world.meta.set_full(true);
    assert_eq!(enable(&service, &arn), Ok(()), "nothing changes");
    disable(&service, &arn).unwrap();
    assert_eq!(enable(&service, &arn), Err(KmsError::Unavailable));
    assert!(service.create_key(&root(), defaults()).is_err());
    let shreds = world.shreds.list().unwrap().len();
    let key_id = arn.to_string();
    let policy = crate::PutKeyPolicyInput {
        key_id: key_id.clone(),
        policy_name: None,
        policy: format!("{} ", crate::fixture::POLICY),
        bypass_policy_lockout_safety_check: false,
    };
    service.put_key_policy(&root(), policy).unwrap();
    let listed = crate::ListGrantsInput {
        limit: None,
        marker: None,
        key_id: key_id.clone(),
        grant_id: None,
        grantee_principal: None,
    };
    let grants = service.list_grants(&root(), listed).unwrap().entries;
    let revoked = crate::RevokeGrantInput {
        key_id,
        grant_id: grants[0].grant_id.clone(),
        dry_run: false,
    };
    service.revoke_grant(&root(), revoked).unwrap();
    let alias_name = "alias/a".to_owned();
    let deleted = crate::DeleteAliasInput { alias_name };
    service.delete_alias(&root(), deleted).unwrap();
    schedule(&service, &other, 7).unwrap();
    cancel(&service, &other).unwrap();
    schedule(&service, &arn, 7).unwrap();
    world.clock.advance_days(7);
    let work = due(&service);
    assert_eq!((work.keys_destroyed, work.shred_keys_destroyed), (1, 2));
    assert_eq!(world.shreds.list().unwrap().len(), shreds - 2);
}

#[test]
fn a_clock_that_is_ahead_at_the_start_destroys_nothing_for_a_day_of_running() {
    let world = World::new();
    let service = world.wary_service();
    assert_eq!(due(&service), DueWork::default());
    let arn = created(&service);
    let ciphertext = encrypt(&service, &arn.to_string(), b"secret").unwrap();
    schedule(&service, &arn, 7).unwrap();
    assert_eq!(due(&service).postponed, 0);
    // The machine starts again with a wrong clock.
    world.clock.jump_days(8);
    let service = world.wary_service();
    assert!(matches!(
        decrypt(&service, &ciphertext),
        Err(KmsError::NotFound(_))
    ));
    let work = due(&service);
    assert_eq!((work.keys_destroyed, work.postponed), (0, 1));
    // Starting again is no shorter way, and no longer one.
    world.clock.advance_seconds(23 * 60 * 60);
    assert_eq!(due(&service).postponed, 1);
    let service = world.wary_service();
    assert_eq!(due(&service).postponed, 1);
    // Set right in time, it has cost nothing.
    world.clock.jump_back_days(8);
    assert_eq!(
        decrypt(&world.wary_service(), &ciphertext).err(),
        Some(KmsError::InvalidState(format!(
            "{arn} is pending deletion."
        )))
    );
    world.clock.jump_days(8);
    let service = world.wary_service();
    assert_eq!(due(&service).postponed, 1);
    world.clock.advance_seconds(60 * 60 - 1);
    assert_eq!(due(&service).postponed, 1);
    world.clock.advance_seconds(1);
    assert_eq!(due(&service).keys_destroyed, 1);
}

#[test]
fn who_vouches_for_the_clock_does_not_wait() {
    let world = World::new();
    let service = world.wary_service();
    let arn = created(&service);
    schedule(&service, &arn, 7).unwrap();
    world.clock.jump_days(8);
    assert_eq!(due(&world.wary_service()).postponed, 1);
    assert_eq!(due(&world.service()).keys_destroyed, 1);
}

#[test]
fn a_start_soon_after_the_last_round_destroys_what_is_due() {
    let world = World::new();
    let service = world.wary_service();
    due(&service);
    let arn = created(&service);
    schedule(&service, &arn, 7).unwrap();
    world.clock.advance_days(7);
    service.note_time().unwrap();
    world.clock.advance_seconds(60 * 60);
    assert_eq!(due(&world.wary_service()).keys_destroyed, 1);
}

#[test]
fn one_damaged_key_holds_up_neither_due_work_nor_listings() {
    let world = World::new();
    let service = world.service();
    let mut keys: Vec<KeyArn> = (0..3).map(|_| created(&service)).collect();
    keys.sort();
    for arn in &keys {
        schedule(&service, arn, 7).unwrap();
    }
    let row_key = crate::keys::key(&keys[0]);
    let broken = strongroom_ports::Transaction::new().put(Table::KMS_KEYS, row_key, "broken");
    service.ports.rows.meta.commit(broken).wait().unwrap();
    let listed = service.list_keys(
        &root(),
        crate::ListKeysInput {
            limit: None,
            marker: None,
        },
    );
    assert_eq!(listed.unwrap().entries, keys);
    world.clock.advance_days(7);
    let work = due(&service);
    assert_eq!((work.failed, work.keys_destroyed), (1, 2));
    assert_eq!(work.shred_keys_destroyed, 2);
}

#[test]
fn a_bad_copy_of_a_shred_key_is_replaced_by_its_use_and_by_due_work() {
    let world = World::new();
    let service = world.service();
    let arn = created(&service);
    let ciphertext = encrypt(&service, &arn.to_string(), b"secret").unwrap();
    world.shreds.damage(0);
    assert_eq!(decrypt(&world.service(), &ciphertext).unwrap(), b"secret");
    assert!(world.shreds.are_whole());
    // The second copy is read by nobody else.
    world.shreds.damage(1);
    assert_eq!(due(&world.service()).shred_keys_repaired, 1);
    assert!(world.shreds.are_whole());
    assert_eq!(due(&world.service()).shred_keys_repaired, 0);
    assert_eq!(decrypt(&world.service(), &ciphertext).unwrap(), b"secret");
}

#[test]
fn the_alias_of_a_key_past_its_date_is_free_before_the_key_is_destroyed() {
    let world = World::new();
    let service = world.service();
    let old = created(&service);
    alias(&service, "alias/a", &old).unwrap();
    alias(&service, "alias/z", &old).unwrap();
    schedule(&service, &old, 7).unwrap();
    let listed = || {
        let input = crate::ListAliasesInput {
            key_id: None,
            limit: Some(1),
            marker: None,
        };
        let page = service.list_aliases(&root(), input).unwrap();
        (page.entries[0].name.to_string(), page.next_marker.is_some())
    };
    let new = created(&service);
    assert!(alias(&service, "alias/a", &new).is_err());
    assert_eq!(listed(), ("alias/a".to_owned(), true));
    world.clock.advance_days(7);
    assert_eq!(listed(), ("alias/aws/s3".to_owned(), true));
    alias(&service, "alias/a", &new).unwrap();
    assert_eq!(listed(), ("alias/a".to_owned(), true));
    assert_eq!(due(&service).keys_destroyed, 1);
    assert_eq!(described(&service, "alias/a").unwrap().arn, new);
    assert!(described(&service, "alias/z").is_err());
}

#[test]
fn re_encryption_is_a_use_of_both_keys_and_destroyed_keys_leave_none() {
    let world = World::new();
    let service = world.service();
    let (from, to) = (created(&service), created(&service));
    let ciphertext = encrypt(&service, &from.to_string(), b"x").unwrap();
    let input = crate::ReEncryptInput {
        ciphertext_blob: Some(ciphertext),
        source_encryption_context: context(&[("a", "1")]),
        source_key_id: None,
        destination_key_id: to.to_string(),
        destination_encryption_context: context(&[]),
        source_encryption_algorithm: None,
        destination_encryption_algorithm: None,
        grant_tokens: Vec::new(),
        dry_run: false,
        dry_run_modifiers: Vec::new(),
    };
    service.re_encrypt(&root(), input).unwrap();
    for key in [&from, &to] {
        let last = service.last_use(key.id).unwrap().unwrap();
        assert_eq!(last.operation, "ReEncrypt");
    }
    schedule(&service, &from, 7).unwrap();
    world.clock.advance_days(7);
    due(&service);
    service.flush_last_uses().unwrap();
    assert_eq!(world.rows(Table::KMS_LAST_USAGE), 1);
}

#[test]
fn no_key_is_too_full_to_be_disabled_deleted_or_rotated() {
    let world = World::new();
    let service = world.service();
    let arn = created(&service);
    let key_id = arn.to_string();
    let tagged = |key: &str, len: usize| {
        let input = crate::TagResourceInput {
            key_id: key_id.clone(),
            tags: vec![crate::Tag {
                key: key.to_owned(),
                value: "v".repeat(len),
            }],
        };
        service.tag_resource(&root(), input)
    };
    // Behind the service's back, because no single text may be so long.
    world.change(&arn, |key| key.description = "d".repeat(60 * 1024));
    assert!(matches!(tagged("a", 200), Err(KmsError::LimitExceeded(_))));
    disable(&service, &arn).unwrap();
    enable(&service, &arn).unwrap();
    let rotate = || {
        let key_id = key_id.clone();
        service.rotate_key_on_demand(&root(), crate::RotateKeyOnDemandInput { key_id })
    };
    rotate().unwrap();
    let shreds = world.shreds.len();
    // As much as fits, but for the date of a deletion.
    let mut key = world.key_row(&arn);
    let most = (60_000..65_536).rev().find(|len| {
        key.description = "d".repeat(*len);
        let nothing = strongroom_ports::Transaction::new();
        service.put_key(nothing, &key).is_ok()
    });
    let len = most.unwrap() - 40;
    world.change(&arn, |key| key.description = "d".repeat(len));
    assert!(matches!(rotate(), Err(KmsError::LimitExceeded(_))));
    assert_eq!(world.shreds.len(), shreds);
    schedule(&service, &arn, 7).unwrap();
}
