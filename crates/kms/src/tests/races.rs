use std::sync::Arc;
use std::thread;

use strongroom_ports::{KeyAuthority, KeyReference, ShredStore as _, Table};

use super::managed::via_s3;
use super::*;
use crate::fixture::World;

/// Runs `racer` in eight threads at once.
fn race<T: Send + 'static>(
    service: &Arc<KeyService>,
    racer: impl Fn(&KeyService, usize) -> T + Send + Sync + Clone + 'static,
) -> Vec<T> {
    let barrier = Arc::new(std::sync::Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let (service, racer, barrier) =
                (Arc::clone(service), racer.clone(), Arc::clone(&barrier));
            thread::spawn(move || {
                barrier.wait();
                racer(&service, number)
            })
        })
        .collect();
    threads.into_iter().map(|it| it.join().unwrap()).collect()
}

#[test]
fn of_many_first_uses_one_makes_the_managed_key() {
    let world = World::new();
    let service = Arc::new(world.service());
    let keys = race(&service, |service, _| {
        let context = EncryptionContext::default();
        let made = KeyAuthority::generate_data_key(
            service,
            &via_s3(),
            &KeyReference::AwsManaged,
            &context,
        )
        .unwrap();
        service
            .decrypt_data_key(&via_s3(), &made.ciphertext, &context)
            .unwrap();
        made.key
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(world.rows(Table::KMS_KEYS), 1);
    assert_eq!(world.rows(Table::KMS_MATERIALS), 1);
    assert_eq!(world.shreds.list().unwrap().len(), 1);
}

#[test]
fn of_many_who_want_one_alias_one_gets_it() {
    let world = World::new();
    let service = Arc::new(world.service());
    let outcomes = race(&service, |service, _| {
        let arn = created(service);
        (alias(service, "alias/one", &arn), arn)
    });
    let winners: Vec<_> = outcomes.iter().filter(|(it, _)| it.is_ok()).collect();
    assert_eq!(winners.len(), 1);
    for (outcome, _) in &outcomes {
        assert!(matches!(outcome, Ok(()) | Err(KmsError::AlreadyExists(_))));
    }
    assert_eq!(described(&service, "alias/one").unwrap().arn, winners[0].1);
    assert_eq!(world.rows(Table::KMS_KEY_ALIASES), 1);
}

#[test]
fn an_alias_that_many_move_points_to_one_key_and_that_key_knows() {
    let world = World::new();
    let service = Arc::new(world.service());
    let first = created(&service);
    alias(&service, "alias/a", &first).unwrap();
    race(&service, |service, _| {
        let target_key_id = created(service).to_string();
        for _ in 0..5 {
            let input = crate::UpdateAliasInput {
                alias_name: "alias/a".to_owned(),
                target_key_id: target_key_id.clone(),
            };
            service.update_alias(&root(), input).unwrap();
        }
    });
    assert_eq!(world.rows(Table::KMS_KEY_ALIASES), 1);
    let arn = described(&service, "alias/a").unwrap().arn;
    let input = crate::ListAliasesInput {
        key_id: Some(arn.to_string()),
        limit: None,
        marker: None,
    };
    assert_eq!(
        service.list_aliases(&root(), input).unwrap().entries.len(),
        1
    );
}

#[test]
fn changes_of_one_key_by_many_are_all_kept() {
    let world = World::new();
    let service = Arc::new(world.service());
    let arn = created(&service);
    let key_id = arn.to_string();
    race(&service, move |service, number| {
        for round in 0..5 {
            let tags = vec![crate::Tag {
                key: format!("{number}-{round}"),
                value: String::new(),
            }];
            let key_id = key_id.clone();
            service
                .tag_resource(&root(), crate::TagResourceInput { key_id, tags })
                .unwrap();
            assert!(encrypt(service, &key_id_of(service), b"x").is_ok());
        }
    });
    assert_eq!(world.key_row(&arn).tags.len(), 40);
}

/// The only key there is.
fn key_id_of(service: &KeyService) -> String {
    let input = crate::ListKeysInput {
        limit: None,
        marker: None,
    };
    service.list_keys(&root(), input).unwrap().entries[0].to_string()
}

#[test]
fn no_lease_outlives_the_disabling_of_its_key() {
    let world = World::new();
    let service = Arc::new(world.service());
    let arn = created(&service);
    let key = KeyReference::Named(arn.to_string());
    for _ in 0..50 {
        enable(&service, &arn).unwrap();
        let (key, arn) = (key.clone(), arn.clone());
        let leases = race(&service, move |service, number| {
            if number == 0 {
                disable(service, &arn).unwrap();
                return None;
            }
            let context = EncryptionContext::default();
            let made = KeyAuthority::generate_data_key(service, &via_s3(), &key, &context);
            made.ok().map(|it| it.lease)
        });
        for lease in leases.into_iter().flatten() {
            assert!(lease.check.still_usable().is_err());
        }
    }
}
