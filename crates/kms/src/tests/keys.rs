use strongroom_types::Principal;
use strongroom_types::kms::{KeyManager, KeyOrigin, KeySpec, KeyUsage};

use super::*;
use crate::fixture::{ACCOUNT, World, caller};
use crate::{
    GetKeyPolicyInput, ListKeysInput, ListResourceTagsInput, Tag, TagResourceInput,
    UntagResourceInput, UpdateKeyDescriptionInput,
};

#[test]
fn a_key_without_choices_is_symmetric_enabled_and_has_the_default_policy() {
    let world = World::new();
    let service = world.service();
    let made = service
        .create_key(&root(), defaults())
        .unwrap()
        .key_metadata;
    assert_eq!(made.key_spec, KeySpec::SymmetricDefault);
    assert_eq!(made.key_usage, KeyUsage::EncryptDecrypt);
    assert_eq!(made.key_state, KeyState::Enabled);
    assert_eq!(made.origin, KeyOrigin::AwsKms);
    assert_eq!(made.key_manager, KeyManager::Customer);
    assert_eq!(made.description, "");
    assert!(made.current_key_material_id.is_some());
    let policy = service
        .get_key_policy(
            &root(),
            GetKeyPolicyInput {
                key_id: made.arn.id.to_string(),
                policy_name: None,
            },
        )
        .unwrap()
        .policy;
    for part in [
        "key-default-1",
        "arn:aws:iam::111122223333:root",
        "\"kms:*\"",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    // It is found by another process.
    let again = described(&world.service(), &made.arn.id.to_string()).unwrap();
    assert_eq!(again.arn, made.arn);
    assert_eq!(again.current_key_material_id, made.current_key_material_id);
}

#[test]
fn keys_of_every_kind_are_made_and_their_material_opens_after_a_restart() {
    let world = World::new();
    let service = world.service();
    for spec in KeySpec::ALL {
        // RSA takes long, and its sizes differ in nothing here.
        if matches!(spec, KeySpec::Sm2 | KeySpec::Rsa3072 | KeySpec::Rsa4096) {
            continue;
        }
        for usage in spec.usages() {
            let input = CreateKeyInput {
                key_spec: Some(*spec),
                key_usage: Some(*usage),
                ..defaults()
            };
            let made = service.create_key(&root(), input).unwrap().key_metadata;
            assert_eq!((made.key_spec, made.key_usage), (*spec, *usage));
            let again = world.service();
            let opened = again.opened_key(&made.arn).unwrap().unwrap();
            assert!(again.current_material(&opened).is_ok(), "{spec:?}");
        }
    }
}

#[test]
fn impossible_keys_are_refused_with_the_texts_of_aws() {
    let service = World::new().service();
    let refused = |input: CreateKeyInput| service.create_key(&root(), input).err().unwrap();
    let of = |spec, usage| CreateKeyInput {
        key_spec: Some(spec),
        key_usage: usage,
        ..defaults()
    };
    assert_eq!(
        refused(of(KeySpec::Rsa2048, None)).to_string(),
        "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
    );
    assert_eq!(
        refused(of(KeySpec::Rsa2048, Some(KeyUsage::KeyAgreement))),
        KmsError::Validation(
            "KeyUsage KEY_AGREEMENT is not compatible with KeySpec RSA_2048".into()
        )
    );
    for input in [
        CreateKeyInput {
            multi_region: true,
            ..defaults()
        },
        CreateKeyInput {
            origin: Some(KeyOrigin::AwsCloudHsm),
            ..defaults()
        },
        CreateKeyInput {
            origin: Some(KeyOrigin::ExternalKeyStore),
            ..defaults()
        },
        of(KeySpec::Sm2, Some(KeyUsage::SignVerify)),
    ] {
        assert!(matches!(refused(input), KmsError::UnsupportedOperation(_)));
    }
    let tagged = |tags: &[(&str, &str)]| {
        let tags = tags.iter().map(|(key, value)| Tag {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        });
        refused(CreateKeyInput {
            tags: tags.collect(),
            ..defaults()
        })
        .to_string()
    };
    assert_eq!(tagged(&[("a", "1"), ("a", "2")]), "Duplicate tag keys");
    assert_eq!(
        tagged(&[("AWS:x", "1")]),
        "Tags beginning with aws: are reserved"
    );
    let many: Vec<String> = (0..51).map(|number| format!("k{number}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "")).collect();
    assert_eq!(tagged(&many), "Too many tags");
    let policy = CreateKeyInput {
        policy: Some("no json".to_owned()),
        ..defaults()
    };
    assert!(matches!(refused(policy), KmsError::MalformedPolicy(_)));
}

#[test]
fn an_external_key_waits_for_its_material() {
    let world = World::new();
    let service = world.service();
    let input = CreateKeyInput {
        origin: Some(KeyOrigin::External),
        ..defaults()
    };
    let made = service.create_key(&root(), input).unwrap().key_metadata;
    assert_eq!(made.key_state, KeyState::PendingImport);
    assert!(made.current_key_material_id.is_none() && made.expiration_model.is_none());
    assert_eq!(
        text(encrypt(&service, &made.arn.to_string(), b"x")),
        format!("{} is pending import.", made.arn)
    );
    // Deletion can be cancelled, and it waits as before.
    schedule(&service, &made.arn, 7).unwrap();
    cancel(&service, &made.arn).unwrap();
    assert_eq!(state(&service, &made.arn), KeyState::PendingImport);
}

#[test]
fn states_change_as_asked_and_survive_restarts() {
    let world = World::new();
    let arn = created(&world.service());
    for _ in 0..2 {
        disable(&world.service(), &arn).unwrap();
        assert_eq!(state(&world.service(), &arn), KeyState::Disabled);
    }
    assert_eq!(
        encrypt(&world.service(), &arn.to_string(), b"x"),
        Err(KmsError::Disabled(format!("{arn} is disabled.")))
    );
    enable(&world.service(), &arn).unwrap();
    schedule(&world.service(), &arn, 30).unwrap();
    let described = described(&world.service(), &arn.to_string()).unwrap();
    assert_eq!(described.key_state, KeyState::PendingDeletion);
    let days = described.deletion_date.unwrap().as_millis() - described.creation_date.as_millis();
    assert_eq!(days, 30 * 24 * 60 * 60 * 1000);
    assert_eq!(
        text(schedule(&world.service(), &arn, 7)),
        format!("{arn} is pending deletion.")
    );
    cancel(&world.service(), &arn).unwrap();
    assert_eq!(state(&world.service(), &arn), KeyState::Disabled);
    assert_eq!(
        text(cancel(&world.service(), &arn)),
        format!("{arn} is not pending deletion.")
    );
    for days in [0, 6, 31] {
        let outcome = schedule(&world.service(), &arn, days);
        assert!(matches!(outcome, Err(KmsError::Validation(_))));
    }
}

#[test]
fn names_of_keys_are_refused_with_the_texts_of_aws() {
    let service = World::new().service();
    let arn = created(&service);
    let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
    for (key_id, expected) in [
        (
            "fake-key-id".to_owned(),
            "Invalid keyId 'fake-key-id'".to_owned(),
        ),
        (
            id.to_owned(),
            format!("Key 'arn:aws:kms:us-east-1:{ACCOUNT}:key/{id}' does not exist"),
        ),
        (
            format!("arn:aws:kms:eu-west-1:{ACCOUNT}:key/{}", arn.id),
            "Invalid arn eu-west-1".to_owned(),
        ),
        (
            "alias/none".to_owned(),
            format!("Alias arn:aws:kms:us-east-1:{ACCOUNT}:alias/none is not found."),
        ),
    ] {
        assert_eq!(
            described(&service, &key_id).unwrap_err(),
            KmsError::NotFound(expected)
        );
    }
    // Management takes no aliases.
    alias(&service, "alias/mine", &arn).unwrap();
    assert!(described(&service, "alias/mine").is_ok());
    assert!(
        described(
            &service,
            &format!("arn:aws:kms:us-east-1:{ACCOUNT}:alias/mine")
        )
        .is_ok()
    );
    let key_id = "alias/mine".to_owned();
    assert_eq!(
        service.disable_key(&root(), DisableKeyInput { key_id }),
        Err(KmsError::NotFound("Invalid keyId 'alias/mine'".to_owned()))
    );
}

#[test]
fn another_account_learns_nothing_of_a_key() {
    let service = World::new().service();
    let arn = created(&service);
    alias(&service, "alias/mine", &arn).unwrap();
    let stranger = caller("999988887777");
    let ask = |key_id: String| {
        let input = DescribeKeyInput {
            key_id,
            grant_tokens: Vec::new(),
        };
        match service.describe_key(&stranger, input) {
            Err(KmsError::AccessDenied(text)) => text,
            other => panic!("{:?}", other.err()),
        }
    };
    let absent = "1234abcd-12ab-34cd-56ef-1234567890ab";
    let key = |id: &str| format!("arn:aws:kms:us-east-1:{ACCOUNT}:key/{id}");
    let present = arn.id.to_string();
    assert_eq!(
        ask(key(&present)).replace(&present, "ID"),
        ask(key(absent)).replace(absent, "ID")
    );
    let name = |name: &str| format!("arn:aws:kms:us-east-1:{ACCOUNT}:alias/{name}");
    assert_eq!(
        ask(name("mine")).replace("mine", "NAME"),
        ask(name("none")).replace("none", "NAME")
    );
    // Its state neither: the answer is the same for a disabled key.
    let enabled = ask(key(&present));
    disable(&service, &arn).unwrap();
    assert_eq!(ask(key(&present)), enabled);
}

#[test]
fn who_has_no_account_is_denied() {
    let service = World::new().service();
    let arn = created(&service);
    for principal in [
        Principal::Anonymous,
        Principal::Service {
            name: "logs.amazonaws.com".into(),
            source: None,
        },
    ] {
        let caller = RequestContext {
            principal,
            ..root()
        };
        let key_id = arn.to_string();
        let outcome = service.disable_key(&caller, DisableKeyInput { key_id });
        assert!(
            matches!(outcome, Err(KmsError::AccessDenied(_))),
            "{outcome:?}"
        );
        let outcome = service.create_key(&caller, defaults());
        assert!(matches!(outcome, Err(KmsError::AccessDenied(_))));
    }
}

#[test]
fn keys_are_listed_in_pages_whose_markers_cannot_be_made_up() {
    let service = World::new().service();
    let mut made: Vec<KeyArn> = (0..7).map(|_| created(&service)).collect();
    made.sort();
    let list = |marker: Option<String>| {
        let input = ListKeysInput {
            limit: Some(3),
            marker,
        };
        service.list_keys(&root(), input)
    };
    let mut listed = Vec::new();
    let mut marker = None;
    loop {
        let page = list(marker).unwrap();
        assert!(page.entries.len() <= 3);
        listed.extend(page.entries);
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(listed, made);
    let marker = list(None).unwrap().next_marker.unwrap();
    let mut forged = marker.clone();
    let digit = if forged.pop() == Some('0') { '1' } else { '0' };
    forged.push(digit);
    for bad in [
        forged,
        String::new(),
        "zz".to_owned(),
        marker.to_uppercase() + "0",
    ] {
        assert!(matches!(list(Some(bad)), Err(KmsError::InvalidMarker(_))));
    }
    // It is of this account's listing and no other.
    let stranger = caller("999988887777");
    let input = ListKeysInput {
        limit: None,
        marker: Some(marker),
    };
    assert!(matches!(
        service.list_keys(&stranger, input),
        Err(KmsError::InvalidMarker(_))
    ));
}

#[test]
fn tags_replace_page_and_go() {
    let service = World::new().service();
    let arn = created(&service);
    let tag = |key: &str, value: &str| Tag {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let put = |tags: Vec<Tag>| {
        let key_id = arn.to_string();
        service.tag_resource(&root(), TagResourceInput { key_id, tags })
    };
    put(vec![tag("a", "1"), tag("b", "2"), tag("c", "3")]).unwrap();
    put(vec![tag("b", "4")]).unwrap();
    service
        .untag_resource(
            &root(),
            UntagResourceInput {
                key_id: arn.to_string(),
                tag_keys: vec!["c".to_owned(), "none".to_owned()],
            },
        )
        .unwrap();
    let page = |limit, marker| {
        let input = ListResourceTagsInput {
            key_id: arn.to_string(),
            limit,
            marker,
        };
        service.list_resource_tags(&root(), input).unwrap()
    };
    let first = page(Some(1), None);
    assert_eq!(first.entries, [tag("a", "1")]);
    let second = page(Some(1), first.next_marker);
    assert_eq!(second.entries, [tag("b", "4")]);
    assert_eq!(second.next_marker, None);
    let many = (0..49)
        .map(|number| tag(&format!("k{number}"), ""))
        .collect();
    assert_eq!(text(put(many)), "Too many tags");
    assert_eq!(page(None, None).entries.len(), 2);
}

#[test]
fn descriptions_change() {
    let service = World::new().service();
    let arn = created(&service);
    let input = UpdateKeyDescriptionInput {
        key_id: arn.to_string(),
        description: "for payroll".to_owned(),
    };
    service.update_key_description(&root(), input).unwrap();
    let described = described(&service, &arn.to_string()).unwrap();
    assert_eq!(described.description, "for payroll");
}
