//! Grants, through the service.

use std::collections::BTreeMap;

use strongroom_policy::GrantSource as _;
use strongroom_ports::Table;
use strongroom_types::kms::{
    EncryptionContext, GrantOperation, KeyArn, KeyOrigin, KeySpec, KeyUsage,
};

use super::StoredGrants;
use super::record::GrantCountRow;
use crate::fixture::{ROOT, World, caller, root};
use crate::key::Lifecycle;
use crate::{
    CreateGrantInput, CreateGrantOutput, GetPublicKeyInput, GrantConstraints, KeyService, KmsError,
    ListGrantsInput, ListRetirableGrantsInput, RetireGrantInput, RevokeGrantInput,
};

const OTHER: &str = "arn:aws:iam::444455556666:root";

fn input(key: &KeyArn) -> CreateGrantInput {
    CreateGrantInput {
        key_id: key.to_string(),
        grantee_principal: OTHER.to_owned(),
        retiring_principal: None,
        operations: vec![GrantOperation::Decrypt, GrantOperation::Encrypt],
        constraints: None,
        grant_tokens: Vec::new(),
        name: None,
        dry_run: false,
    }
}

fn create(service: &KeyService, input: CreateGrantInput) -> CreateGrantOutput {
    service.create_grant(&root(), input).unwrap()
}

fn list_input(key: &KeyArn, limit: Option<u32>, marker: Option<String>) -> ListGrantsInput {
    ListGrantsInput {
        limit,
        marker,
        key_id: key.to_string(),
        grant_id: None,
        grantee_principal: None,
    }
}

fn ids(service: &KeyService, key: &KeyArn) -> Vec<String> {
    let page = service
        .list_grants(&root(), list_input(key, None, None))
        .unwrap();
    page.entries
        .into_iter()
        .map(|entry| entry.grant_id)
        .collect()
}

fn revoke(
    service: &KeyService,
    key: &KeyArn,
    grant_id: &str,
    dry_run: bool,
) -> Result<(), KmsError> {
    let input = RevokeGrantInput {
        key_id: key.to_string(),
        grant_id: grant_id.to_owned(),
        dry_run,
    };
    service.revoke_grant(&root(), input)
}

fn retire(token: Option<&str>, key_id: Option<&str>, grant_id: Option<&str>) -> RetireGrantInput {
    RetireGrantInput {
        grant_token: token.map(str::to_owned),
        key_id: key_id.map(str::to_owned),
        grant_id: grant_id.map(str::to_owned),
        dry_run: false,
    }
}

#[test]
fn a_grant_is_listed_as_it_was_made() {
    let world = World::new();
    let (service, key) = (world.service(), world.symmetric());
    let pairs = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let constraints = GrantConstraints {
        encryption_context_subset: Some(EncryptionContext::new(pairs).unwrap()),
        encryption_context_equals: None,
    };
    let made = create(
        &service,
        CreateGrantInput {
            retiring_principal: Some(ROOT.to_owned()),
            constraints: Some(constraints.clone()),
            name: Some("n".to_owned()),
            ..input(&key)
        },
    );
    assert_eq!(made.grant_id.len(), 64);
    let page = service
        .list_grants(&root(), list_input(&key, None, None))
        .unwrap();
    assert_eq!(page.next_marker, None);
    let [entry] = &page.entries[..] else {
        panic!("one grant");
    };
    assert_eq!(entry.grant_id, made.grant_id);
    assert_eq!((&entry.key, entry.name.as_str()), (&key, "n"));
    assert_eq!(entry.grantee_principal, OTHER);
    assert_eq!(entry.retiring_principal.as_deref(), Some(ROOT));
    assert_eq!(entry.issuing_account, key.account);
    assert_eq!(
        entry.operations,
        [GrantOperation::Decrypt, GrantOperation::Encrypt]
    );
    assert_eq!(entry.constraints, Some(constraints));
}

#[test]
fn a_named_grant_is_made_once_and_has_a_new_token_each_time() {
    let world = World::new();
    let (service, key) = (world.service(), world.symmetric());
    let named = |name: &str, retiring: Option<&str>| {
        create(
            &service,
            CreateGrantInput {
                name: Some(name.to_owned()),
                retiring_principal: retiring.map(str::to_owned),
                ..input(&key)
            },
        )
    };
    let (first, second) = (named("n", None), named("n", None));
    assert_eq!(first.grant_id, second.grant_id);
    assert_ne!(first.grant_token, second.grant_token);
    assert_ne!(named("n", Some(ROOT)).grant_id, first.grant_id);
    assert_ne!(named("m", None).grant_id, first.grant_id);
    assert_eq!(ids(&service, &key).len(), 3);
    assert_ne!(
        create(&service, input(&key)).grant_id,
        create(&service, input(&key)).grant_id
    );
    assert_eq!(ids(&service, &key).len(), 5);
}

#[test]
fn pages_hold_every_grant_once_and_markers_belong_to_their_listing() {
    let world = World::new();
    let (service, key) = (world.service(), world.symmetric());
    for _ in 0..7 {
        create(&service, input(&key));
    }
    let (mut seen, mut marker) = (Vec::new(), None);
    loop {
        let page = service
            .list_grants(&root(), list_input(&key, Some(3), marker))
            .unwrap();
        assert!(page.entries.len() <= 3);
        seen.extend(page.entries.into_iter().map(|entry| entry.grant_id));
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids(&service, &key));
    let page = service
        .list_grants(&root(), list_input(&key, Some(3), None))
        .unwrap();
    let other = world.symmetric();
    for (key, marker) in [(&key, Some("00".to_owned())), (&other, page.next_marker)] {
        let outcome = service.list_grants(&root(), list_input(key, None, marker));
        assert!(matches!(outcome, Err(KmsError::InvalidMarker(_))));
    }
}

#[test]
fn listings_are_filtered_by_grant_and_by_grantee() {
    let world = World::new();
    let (service, key) = (world.service(), world.symmetric());
    let first = create(&service, input(&key));
    create(
        &service,
        CreateGrantInput {
            grantee_principal: ROOT.to_owned(),
            ..input(&key)
        },
    );
    let listed = |grant_id: Option<&str>, grantee: Option<&str>| {
        let input = ListGrantsInput {
            grant_id: grant_id.map(str::to_owned),
            grantee_principal: grantee.map(str::to_owned),
            ..list_input(&key, None, None)
        };
        service
            .list_grants(&root(), input)
            .map(|page| page.entries.len())
    };
    assert_eq!(listed(None, None), Ok(2));
    assert_eq!(listed(Some(&first.grant_id), None), Ok(1));
    assert_eq!(listed(Some(&first.grant_id), Some(ROOT)), Ok(0));
    assert_eq!(listed(None, Some(ROOT)), Ok(1));
    assert!(matches!(
        listed(Some("x"), None),
        Err(KmsError::InvalidGrantId(_))
    ));
}

#[test]
fn a_revoked_grant_is_gone_with_all_its_rows() {
    let world = World::new();
    let (service, key) = (world.service(), world.symmetric());
    let made = create(
        &service,
        CreateGrantInput {
            retiring_principal: Some(ROOT.to_owned()),
            ..input(&key)
        },
    );
    assert_eq!(
        revoke(&service, &key, &made.grant_id, true),
        Err(KmsError::DryRun)
    );
    assert_eq!(ids(&service, &key).len(), 1);
    assert_eq!(revoke(&service, &key, &made.grant_id, false), Ok(()));
    assert_eq!(ids(&service, &key).len(), 0);
    assert_eq!(world.rows(Table::KMS_GRANTS), 0);
    // The number of grants is all that is left.
    assert_eq!(world.rows(Table::KMS_RETIRABLE_GRANTS), 1);
    assert_eq!(
        revoke(&service, &key, &made.grant_id, false),
        Err(KmsError::NotFound(format!(
            "Grant ID {} not found",
            made.grant_id
        )))
    );
    assert!(matches!(
        revoke(&service, &key, "x", false),
        Err(KmsError::InvalidGrantId(_))
    ));
}

#[test]
fn a_grant_is_retired_by_token_or_by_ids() {
    let world = World::new();
    let (service, key) = (world.service(), world.symmetric());
    let (first, second) = (create(&service, input(&key)), create(&service, input(&key)));
    // A token names its grant for good.
    world.clock.advance_seconds(3600);
    service
        .retire_grant(&root(), retire(Some(&first.grant_token), None, None))
        .unwrap();
    let key_id = key.to_string();
    service
        .retire_grant(&root(), retire(None, Some(&key_id), Some(&second.grant_id)))
        .unwrap();
    assert_eq!(ids(&service, &key).len(), 0);
    for wrong in [
        retire(None, None, None),
        retire(None, Some(&key_id), None),
        retire(Some(&first.grant_token), Some(&key_id), None),
    ] {
        assert!(matches!(
            service.retire_grant(&root(), wrong),
            Err(KmsError::Validation(_))
        ));
    }
    let forged = service.retire_grant(&root(), retire(Some("00"), None, None));
    assert!(matches!(forged, Err(KmsError::InvalidGrantToken(_))));
    let stranger = service.retire_grant(
        &caller("444455556666"),
        retire(Some(&create(&service, input(&key)).grant_token), None, None),
    );
    assert!(matches!(stranger, Err(KmsError::AccessDenied(_))));
}

#[test]
fn retirable_grants_are_found_by_principal_over_all_keys() {
    let world = World::new();
    let service = world.service();
    for (retiring, count) in [(ROOT, 2), (OTHER, 1)] {
        for _ in 0..count {
            create(
                &service,
                CreateGrantInput {
                    retiring_principal: Some(retiring.to_owned()),
                    ..input(&world.symmetric())
                },
            );
        }
    }
    let list = |principal: &str, limit, marker| {
        let input = ListRetirableGrantsInput {
            limit,
            marker,
            retiring_principal: principal.to_owned(),
        };
        service.list_retirable_grants(&root(), input)
    };
    assert_eq!(list(ROOT, None, None).unwrap().entries.len(), 2);
    assert_eq!(list(OTHER, None, None).unwrap().entries.len(), 1);
    let first = list(ROOT, Some(1), None).unwrap();
    assert_eq!(first.entries.len(), 1);
    let second = list(ROOT, Some(1), first.next_marker).unwrap();
    assert_eq!((second.entries.len(), second.next_marker), (1, None));
    assert_ne!(first.entries[0].grant_id, second.entries[0].grant_id);
    let wrong = list(OTHER, None, list(ROOT, Some(1), None).unwrap().next_marker);
    assert!(matches!(wrong, Err(KmsError::InvalidMarker(_))));
}

#[test]
fn a_key_has_so_many_grants_and_no_more() {
    let world = World::new();
    let (service, key) = (world.service(), world.symmetric());
    let first = create(&service, input(&key));
    let (count, version) = service.grant_count(key.id).unwrap();
    let full = GrantCountRow {
        grants: 50_000,
        ..count
    };
    let transaction = service
        .put_count(strongroom_ports::Transaction::new(), key.id, full, version)
        .unwrap();
    service.commit(transaction, &[], &[]).unwrap();
    let refused = service.create_grant(&root(), input(&key)).map(|_| ());
    assert!(matches!(refused, Err(KmsError::LimitExceeded(_))));
    revoke(&service, &key, &first.grant_id, false).unwrap();
    create(&service, input(&key));
}

#[test]
fn a_dry_run_and_a_key_that_is_not_enabled_make_no_grant() {
    let world = World::new();
    let (service, key) = (world.service(), world.symmetric());
    let dry = CreateGrantInput {
        dry_run: true,
        ..input(&key)
    };
    assert_eq!(
        service.create_grant(&root(), dry).map(|_| ()),
        Err(KmsError::DryRun)
    );
    world.change(&key, |key| key.lifecycle = Lifecycle::Disabled);
    assert_eq!(
        service.create_grant(&root(), input(&key)).map(|_| ()),
        Err(KmsError::Disabled(format!("{key} is disabled.")))
    );
    assert_eq!(world.rows(Table::KMS_GRANTS), 0);
}

#[test]
fn tokens_are_good_for_ten_minutes_and_as_long_as_their_grant() {
    let world = World::new();
    let service = world.service();
    let key = world.key(
        KeySpec::EccNistP256,
        KeyUsage::SignVerify,
        KeyOrigin::AwsKms,
    );
    let made = create(
        &service,
        CreateGrantInput {
            operations: vec![GrantOperation::Sign],
            ..input(&key)
        },
    );
    let use_with = |token: &str| {
        let input = GetPublicKeyInput {
            key_id: key.to_string(),
            grant_tokens: vec![token.to_owned()],
        };
        service.get_public_key(&root(), input).map(|_| ())
    };
    let invalid = |outcome| matches!(outcome, Err(KmsError::InvalidGrantToken(_)));
    assert_eq!(use_with(&made.grant_token), Ok(()));
    let mut forged = made.grant_token.clone();
    let last = forged.pop().unwrap();
    forged.push(if last == '0' { '1' } else { '0' });
    assert!(invalid(use_with(&forged)) && invalid(use_with("x")));
    world.clock.advance_seconds(599);
    assert_eq!(use_with(&made.grant_token), Ok(()));
    world.clock.advance_seconds(1);
    assert!(invalid(use_with(&made.grant_token)));
    let again = create(
        &service,
        CreateGrantInput {
            operations: vec![GrantOperation::Sign],
            ..input(&key)
        },
    );
    revoke(&service, &key, &again.grant_id, false).unwrap();
    assert!(invalid(use_with(&again.grant_token)));
}

#[test]
fn decisions_see_the_grants_that_concern_the_caller() {
    let world = World::new();
    let (service, key) = (world.service(), world.symmetric());
    create(&service, input(&key));
    create(
        &service,
        CreateGrantInput {
            retiring_principal: Some("111122223333".to_owned()),
            ..input(&key)
        },
    );
    let seen = |account: &str| {
        StoredGrants::of(&service, key.id, None)
            .grants_for(&caller(account))
            .len()
    };
    assert_eq!(seen("444455556666"), 2);
    // Who may only retire it has nothing to do with it otherwise.
    assert_eq!(seen("111122223333"), 0);
    assert_eq!(seen("777788889999"), 0);
}
