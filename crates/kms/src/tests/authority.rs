use strongroom_ports::{GeneratedDataKey, KeyAuthority, KeyError, KeyReference, KeyUse};
use strongroom_types::kms::KeyManager;

use super::managed::via_s3;
use super::*;
use crate::fixture::{World, caller};

const MANAGED: KeyReference = KeyReference::AwsManaged;

fn named(arn: &KeyArn) -> KeyReference {
    KeyReference::Named(arn.to_string())
}

#[test]
fn a_data_key_under_the_managed_key_makes_that_key_once() {
    let world = World::new();
    let service = world.service();
    let pairs = context(&[("aws:s3:arn", "arn:aws:s3:::b/k")]);
    let first = service.generate_data_key_for(&MANAGED, &pairs);
    let second = world.service().generate_data_key_for(&MANAGED, &pairs);
    assert_eq!(first.key, second.key);
    assert_eq!(first.plaintext.len(), 32);
    assert_ne!(first.plaintext, second.plaintext);
    let key = described(&service, &first.key.to_string()).unwrap();
    assert_eq!(key.key_manager, KeyManager::Aws);
    for ciphertext in [&first.ciphertext, &second.ciphertext] {
        assert!(
            world
                .service()
                .decrypt_data_key(&via_s3(), ciphertext, &pairs)
                .is_ok()
        );
        let other = context(&[("aws:s3:arn", "arn:aws:s3:::b/l")]);
        assert_eq!(
            service
                .decrypt_data_key(&via_s3(), ciphertext, &other)
                .err(),
            Some(KeyError::InvalidCiphertext)
        );
    }
    // Who asks without being a service has none, and who has no account makes none.
    assert!(matches!(
        KeyAuthority::generate_data_key(&service, &root(), &MANAGED, &pairs),
        Err(KeyError::NotFound(_))
    ));
    let anonymous = RequestContext {
        principal: strongroom_types::Principal::Anonymous,
        ..via_s3()
    };
    assert!(matches!(
        KeyAuthority::generate_data_key(&service, &anonymous, &MANAGED, &pairs),
        Err(KeyError::AccessDenied(_))
    ));
}

impl KeyService {
    fn generate_data_key_for(
        &self,
        key: &KeyReference,
        context: &EncryptionContext,
    ) -> GeneratedDataKey {
        KeyAuthority::generate_data_key(self, &via_s3(), key, context).unwrap()
    }
}

#[test]
fn every_decision_is_made_for_who_asks() {
    let service = World::new().service();
    let arn = created(&service);
    let pairs = context(&[]);
    let made = service.generate_data_key_for(&named(&arn), &pairs);
    assert!(
        service
            .decrypt_data_key(&via_s3(), &made.ciphertext, &pairs)
            .is_ok()
    );
    let stranger = caller("999988887777");
    assert!(matches!(
        service.decrypt_data_key(&stranger, &made.ciphertext, &pairs),
        Err(KeyError::AccessDenied(_))
    ));
    assert!(matches!(
        service.authorize(&stranger, &named(&arn), KeyUse::Decrypt, &pairs),
        Err(KeyError::AccessDenied(_))
    ));
}

#[test]
fn memory_answers_what_was_opened_before_and_nothing_else() {
    let world = World::new();
    let service = world.service();
    let arn = created(&service);
    let pairs = context(&[]);
    let made = service.generate_data_key_for(&named(&arn), &pairs);
    let from_memory = |service: &KeyService| {
        service
            .decrypt_data_key_in_memory(&via_s3(), &made.ciphertext, &pairs)
            .map(|it| it.plaintext)
    };
    assert_eq!(from_memory(&service).unwrap(), made.plaintext);
    let restarted = world.service();
    assert_eq!(from_memory(&restarted), Err(KeyError::NotInMemory));
    restarted
        .decrypt_data_key(&via_s3(), &made.ciphertext, &pairs)
        .unwrap();
    assert_eq!(from_memory(&restarted).unwrap(), made.plaintext);
    // Another process disables the key: memory does not open it any more.
    disable(&service, &arn).unwrap();
    let refused = KeyError::Disabled(format!("{arn} is disabled."));
    assert_eq!(from_memory(&restarted), Err(KeyError::NotInMemory));
    let decrypt = KeyUse::Decrypt;
    for (service, told) in [
        (service.resident(), KeyError::NotInMemory),
        (&service, refused),
    ] {
        let outcome = service.authorize(&via_s3(), &named(&arn), decrypt, &pairs);
        assert_eq!(outcome.err(), Some(told));
    }
    // The managed key is not made in memory.
    assert_eq!(
        service
            .authorize_in_memory(&via_s3(), &MANAGED, KeyUse::Decrypt, &pairs)
            .err(),
        Some(KeyError::NotInMemory)
    );
}

#[test]
fn a_lease_ends_with_the_state_of_its_key_and_comes_back_with_it() {
    let world = World::new();
    let service = world.service();
    let (arn, other) = (created(&service), created(&service));
    let pairs = context(&[]);
    let made = service.generate_data_key_for(&named(&arn), &pairs);
    let decrypted = service
        .decrypt_data_key(&via_s3(), &made.ciphertext, &pairs)
        .unwrap();
    let usable = || {
        let (one, two) = (
            made.lease.check.still_usable(),
            decrypted.lease.check.still_usable(),
        );
        assert_eq!(one, two);
        one
    };
    assert_eq!(usable(), Ok(()));
    disable(&service, &other).unwrap();
    assert_eq!(usable(), Ok(()), "another key is no concern");
    disable(&service, &arn).unwrap();
    assert_eq!(
        usable(),
        Err(KeyError::Disabled(format!("{arn} is disabled.")))
    );
    enable(&service, &arn).unwrap();
    assert_eq!(usable(), Ok(()));
    schedule(&service, &arn, 7).unwrap();
    assert_eq!(
        usable(),
        Err(KeyError::InvalidState(format!(
            "{arn} is pending deletion."
        )))
    );
    world.clock.advance_days(8);
    service.run_due_work().unwrap();
    assert_eq!(
        usable(),
        Err(KeyError::NotFound(format!("Key '{arn}' does not exist")))
    );
}

#[test]
fn a_lease_of_imported_material_ends_when_it_expires_whatever_the_background_does() {
    let world = World::new();
    let arn = world.symmetric();
    let service = world.service();
    let expiry = strongroom_ports::Clock::now(&*world.clock).as_millis() + 1000;
    world.change(&arn, |key| {
        key.materials[0].import = Some(crate::key::Import {
            present: true,
            valid_to: Some(strongroom_types::Timestamp::from_millis(expiry)),
            description: None,
        });
    });
    let made = service.generate_data_key_for(&named(&arn), &context(&[]));
    assert_eq!(made.lease.check.still_usable(), Ok(()));
    world.clock.advance_seconds(1);
    let refused = KeyError::InvalidState(format!("{arn} is pending import."));
    assert_eq!(made.lease.check.still_usable(), Err(refused.clone()));
    assert_eq!(
        service
            .decrypt_data_key(&via_s3(), &made.ciphertext, &context(&[]))
            .err(),
        Some(refused)
    );
}

#[test]
fn the_alias_of_the_asking_service_makes_its_key_as_no_name_does() {
    let pairs = context(&[]);
    for name in [
        "alias/aws/s3",
        "arn:aws:kms:us-east-1:111122223333:alias/aws/s3",
    ] {
        let service = World::new().service();
        let by_name = KeyReference::Named(name.to_owned());
        let made = service.generate_data_key_for(&by_name, &pairs);
        let again = service.generate_data_key_for(&MANAGED, &pairs);
        assert_eq!(made.key, again.key);
        let other = KeyReference::Named("alias/aws/secretsmanager".to_owned());
        assert!(matches!(
            KeyAuthority::generate_data_key(&service, &via_s3(), &other, &pairs),
            Err(KeyError::NotFound(_))
        ));
    }
}

#[test]
fn a_managed_key_is_of_its_own_service_only() {
    let service = World::new().service();
    let pairs = context(&[]);
    let secrets = described(&service, "alias/aws/secretsmanager").unwrap().arn;
    let refused = |caller: &RequestContext, key: &KeyReference| {
        matches!(
            KeyAuthority::generate_data_key(&service, caller, key, &pairs),
            Err(KeyError::AccessDenied(_))
        )
    };
    assert!(refused(&via_s3(), &named(&secrets)));
    let own = service.generate_data_key_for(&MANAGED, &pairs).key;
    let elsewhere = RequestContext {
        via_service: Some("s3.eu-west-1.amazonaws.com".into()),
        ..via_s3()
    };
    assert!(refused(&elsewhere, &named(&own)));
    assert!(!refused(&via_s3(), &named(&own)));
}

#[test]
fn a_bad_grant_token_does_not_tell_whether_a_key_is_there() {
    let service = World::new().service();
    let arn = created(&service);
    let absent = service.arn(
        arn.account,
        strongroom_types::kms::KeyId::from_bytes([9; 16]),
    );
    let answer = |arn: &KeyArn| {
        let input = EncryptInput {
            grant_tokens: vec!["bad".to_owned()],
            ..encrypt_input(&arn.to_string(), b"x", &context(&[]))
        };
        service.encrypt(&caller("999988887777"), input).err()
    };
    assert!(answer(&arn).is_some());
    assert_eq!(answer(&arn), answer(&absent));
}

#[test]
fn damage_and_contention_are_told_as_such() {
    assert_eq!(KeyError::from(KmsError::Damaged), KeyError::Damaged);
    assert_eq!(KeyError::from(KmsError::Contention), KeyError::Throttled);
}

#[test]
fn what_is_of_one_account_names_no_key_of_another() {
    let service = World::new().service();
    let arn = created(&service);
    let foreign = caller("999988887777");
    let named = service.resolve(
        &foreign,
        &arn.to_string(),
        crate::operation::Operation::CreateAlias,
    );
    assert!(matches!(named, Err(KmsError::AccessDenied(_))));
    let named = service.resolve(
        &foreign,
        &arn.to_string(),
        crate::operation::Operation::Encrypt,
    );
    assert!(named.is_ok());
}

#[test]
fn the_managed_key_is_for_everybody_in_its_account_through_its_service_alone() {
    let world = World::new();
    let service = world.service();
    let pairs = context(&[("aws:s3:arn", "arn:aws:s3:::b/k")]);
    let through = |caller: &RequestContext, via: Option<&str>| RequestContext {
        via_service: via.map(Into::into),
        ..caller.clone()
    };
    let s3 = Some("s3.us-east-1.amazonaws.com");
    let user = world.people.user(crate::fixture::ACCOUNT, "alice", None);
    let role = world.people.role(crate::fixture::ACCOUNT, "r", None);
    // Its first use makes it, whoever it is.
    let made =
        KeyAuthority::generate_data_key(&service, &through(&user, s3), &MANAGED, &pairs).unwrap();
    let everything = r#"{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}"#;
    let stranger = world.people.user("999988887777", "eve", Some(everything));
    let may = |caller: &RequestContext, via| {
        let caller = through(caller, via);
        let decrypts = service
            .decrypt_data_key(&caller, &made.ciphertext, &pairs)
            .is_ok();
        let reference = named(&made.key);
        for key_use in [KeyUse::Decrypt, KeyUse::GenerateDataKey] {
            let lease = service.authorize(&caller, &reference, key_use, &pairs);
            assert_eq!(lease.is_ok(), decrypts);
        }
        decrypts
    };
    let who = [&root(), &user, &role, &stranger];
    assert_eq!(who.map(|it| may(it, s3)), [true, true, true, false]);
    for other in [
        None,
        Some("s3.eu-west-1.amazonaws.com"),
        Some("secretsmanager.us-east-1.amazonaws.com"),
    ] {
        assert_eq!(who.map(|it| may(it, other)), [false; 4], "{other:?}");
    }
    // A Deny of the user's own holds here too.
    let denied = r#"{"Statement":{"Effect":"Deny","Action":"kms:Decrypt","Resource":"*"}}"#;
    let bob = world
        .people
        .user(crate::fixture::ACCOUNT, "bob", Some(denied));
    let caller = through(&bob, s3);
    assert!(
        service
            .decrypt_data_key(&caller, &made.ciphertext, &pairs)
            .is_err()
    );
}
