//! The records that calls leave: which, how many, and what they say.

use std::net::IpAddr;

use serde_json::{Value, json};
use strongroom_ports::{
    DecryptedDataKey, GeneratedDataKey, KeyAuthority, KeyError, KeyReference, KeyUse,
};
use strongroom_types::AccessKeyId;
use strongroom_types::kms::{ExpirationModel, GrantOperation, KeyOrigin, KeySpec, KeyUsage};

use super::managed::via_s3;
use super::*;
use crate::fixture::{ACCOUNT, Death, ROOT, World, caller};
use crate::{
    CreateGrantInput, DeleteAliasInput, DeleteImportedKeyMaterialInput, DisableKeyRotationInput,
    EnableKeyRotationInput, GrantConstraints, PutKeyPolicyInput, RetireGrantInput,
    RevokeGrantInput, RotateKeyOnDemandInput, Tag, TagResourceInput, UntagResourceInput,
    UpdateAliasInput, UpdateKeyDescriptionInput,
};

const ALLOW_ALL: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
const OTHER: &str = "444455556666";

fn names(trail: &[Value]) -> Vec<&str> {
    trail
        .iter()
        .map(|event| event["eventName"].as_str().unwrap())
        .collect()
}

/// A request to S3 of a user of the account who may do all.
fn alice(world: &World) -> RequestContext {
    by(world.people.user(ACCOUNT, "alice", Some(ALLOW_ALL)))
}

/// A request of one who may do nothing.
fn bob(world: &World) -> RequestContext {
    by(world.people.user(ACCOUNT, "bob", None))
}

fn by(user: RequestContext) -> RequestContext {
    RequestContext {
        access_key_id: Some(AccessKeyId::parse("AKIAIOSFODNN7EXAMPLE").unwrap()),
        via_service: via_s3().via_service,
        source_ip: IpAddr::from([192, 0, 2, 77]),
        user_agent: Some("aws-cli/2".into()),
        ..user
    }
}

fn s3_context() -> EncryptionContext {
    context(&[("aws:s3:arn", "arn:aws:s3:::bucket/key")])
}

fn named(arn: &KeyArn) -> KeyReference {
    KeyReference::Named(arn.to_string())
}

/// Uses the key, and makes the record durable, as S3 does.
fn generated(service: &KeyService, caller: &RequestContext, key: &KeyArn) -> Vec<u8> {
    let made =
        KeyAuthority::generate_data_key(service, caller, &named(key), &s3_context()).unwrap();
    let GeneratedDataKey {
        ciphertext, record, ..
    } = made;
    record.submit().wait().unwrap();
    ciphertext
}

/// Compares with an example of the KMS Developer Guide (2025), in which what differs from call to
/// call has been filled in.
fn assert_is_example(event: &Value, example: &str, world: &World, key: &KeyArn) {
    let user = event["userIdentity"]["principalId"].as_str().unwrap();
    let row = world.key_row(key);
    let example = example
        .replace("KEY_ARN", &key.to_string())
        .replace("AIDAEXAMPLE", user)
        .replace("MATERIAL", &row.current.unwrap().to_string())
        .replace("REQUEST", &root().request_id.to_uuid())
        .replace("EVENT_ID", event["eventID"].as_str().unwrap())
        .replace("EVENT_TIME", event["eventTime"].as_str().unwrap());
    let example: Value = serde_json::from_str(&example).unwrap();
    let (Value::Object(event), Value::Object(example)) = (event, &example) else {
        panic!("no objects");
    };
    for (name, value) in example {
        assert_eq!(event.get(name), Some(value), "{name}");
    }
    let more: Vec<&String> = event
        .keys()
        .filter(|it| !example.contains_key(*it))
        .collect();
    assert!(more.is_empty(), "{more:?}");
}

#[test]
fn a_data_key_made_for_s3_has_the_record_of_the_documentation() {
    let world = World::new();
    let (service, key) = (world.service(), world.symmetric());
    let alice = alice(&world);
    let (_, trail) = world.trail_of(|| generated(&service, &alice, &key));
    let [event] = trail.as_slice() else {
        panic!("{trail:?}");
    };
    let example = include_str!("../../../../testdata/audit/generate_data_key_by_s3.json");
    assert_is_example(event, example, &world, &key);
}

#[test]
fn a_data_key_decrypted_for_s3_has_the_record_of_the_documentation() {
    let world = World::new();
    let (service, key) = (world.service(), world.symmetric());
    let alice = alice(&world);
    let blob = generated(&service, &alice, &key);
    for in_memory in [false, true] {
        let ((), trail) = world.trail_of(|| {
            let opened = if in_memory {
                service.decrypt_data_key_in_memory(&alice, &blob, &s3_context())
            } else {
                service.decrypt_data_key(&alice, &blob, &s3_context())
            };
            let DecryptedDataKey { record, .. } = opened.unwrap();
            record.submit().wait().unwrap();
        });
        let [event] = trail.as_slice() else {
            panic!("{trail:?}");
        };
        let example = include_str!("../../../../testdata/audit/decrypt_by_s3.json");
        assert_is_example(event, example, &world, &key);
    }
}

#[test]
fn every_refusal_has_one_record_and_is_told_when_it_is_durable() {
    let world = World::new();
    let (service, key) = (world.service(), world.symmetric());
    let alice_may = alice(&world);
    let blob = generated(&service, &alice_may, &key);
    let refused = bob(&world);
    let other = context(&[("aws:s3:arn", "arn:aws:s3:::bucket/other")]);
    let reference = named(&key);
    let arn = key.to_string();
    let one = |what: &str, trail: Vec<Value>, name: &str, code: &str, resource: Option<&str>| {
        let [event] = trail.as_slice() else {
            panic!("{what}: {trail:?}");
        };
        assert_eq!(event["eventName"], name, "{what}");
        assert_eq!(event["errorCode"], code, "{what}");
        let who = if code == "AccessDenied" {
            "bob"
        } else {
            "alice"
        };
        assert_eq!(event["userIdentity"]["userName"], who, "{what}");
        let shown = event["resources"][0]["ARN"].as_str();
        assert_eq!(shown, resource, "{what}");
    };

    let (outcome, trail) = world.trail_of(|| service.decrypt_data_key(&alice_may, &blob, &other));
    assert!(matches!(outcome, Err(KeyError::InvalidCiphertext)));
    one(
        "context",
        trail,
        "Decrypt",
        "InvalidCiphertextException",
        Some(&arn),
    );

    let (outcome, trail) = world.trail_of(|| service.decrypt_data_key(&refused, &blob, &other));
    assert!(matches!(outcome, Err(KeyError::AccessDenied(_))));
    one("denied", trail, "Decrypt", "AccessDenied", Some(&arn));

    // Memory does not tell it: then bob could have waited for the record.
    let (outcome, trail) =
        world.trail_of(|| service.decrypt_data_key_in_memory(&refused, &blob, &s3_context()));
    assert!(matches!(outcome, Err(KeyError::NotInMemory)));
    assert_eq!(trail, Vec::<Value>::new());

    // Permissions alone leave a record where they are missing, and only there.
    for (key_use, name) in [
        (KeyUse::GenerateDataKey, "GenerateDataKey"),
        (KeyUse::Decrypt, "Decrypt"),
    ] {
        let ask = |caller| service.authorize(caller, &reference, key_use, &s3_context());
        let (outcome, trail) = world.trail_of(|| ask(&refused));
        assert!(matches!(outcome, Err(KeyError::AccessDenied(_))));
        one(name, trail, name, "AccessDenied", Some(&arn));
        let (outcome, trail) = world.trail_of(|| ask(&alice_may));
        assert!(outcome.is_ok());
        assert_eq!(trail, Vec::<Value>::new());
    }

    let unknown = KeyReference::Named("alias/none".to_owned());
    let (outcome, trail) = world.trail_of(|| {
        KeyAuthority::generate_data_key(&service, &alice_may, &unknown, &s3_context())
    });
    assert!(matches!(outcome, Err(KeyError::NotFound(_))));
    one("alias", trail, "GenerateDataKey", "NotFoundException", None);

    disable(&service, &key).unwrap();
    let (outcome, trail) = world.trail_of(|| {
        KeyAuthority::generate_data_key(&service, &alice_may, &reference, &s3_context())
    });
    assert!(matches!(outcome, Err(KeyError::Disabled(_))));
    one(
        "disabled",
        trail,
        "GenerateDataKey",
        "DisabledException",
        Some(&arn),
    );
}

#[test]
fn without_a_record_no_key_is_used_and_no_refusal_told() {
    let world = World::new();
    let (service, key) = (world.service(), world.symmetric());
    let alice_may = alice(&world);
    let blob = generated(&service, &alice_may, &key);

    world.meta.die_at_next_commit(Death::BeforeCommit);
    let opened = service.decrypt_data_key(&alice_may, &blob, &s3_context());
    assert!(opened.unwrap().record.submit().wait().is_err());
    world.meta.revive();

    world.meta.die_at_next_commit(Death::BeforeCommit);
    let refused = service.decrypt_data_key(&bob(&world), &blob, &s3_context());
    assert!(matches!(refused, Err(KeyError::Unavailable)), "{refused:?}");
    world.meta.revive();

    world.meta.die_at_next_commit(Death::BeforeCommit);
    assert_eq!(enable(&service, &key), Err(KmsError::Unavailable));
    world.meta.revive();

    // A record that somebody forgets is not lost, and one that a transaction has is not doubled.
    let ((), trail) = world.trail_of(|| {
        drop(
            service
                .decrypt_data_key(&alice_may, &blob, &s3_context())
                .unwrap(),
        );
    });
    assert_eq!(names(&trail), ["Decrypt"]);
    let ((), trail) = world.trail_of(|| {
        let opened = service.decrypt_data_key(&alice_may, &blob, &s3_context());
        let mut record = opened.unwrap().record;
        assert_eq!(record.writes().len(), 1);
        record.written();
    });
    assert_eq!(trail, Vec::<Value>::new());
}

#[test]
fn a_use_across_accounts_is_in_both_trails_and_a_refusal_in_the_callers() {
    let world = World::new();
    let (service, key) = (world.service(), world.symmetric());
    let mine = generated(&service, &alice(&world), &key);
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":["{ROOT}","arn:aws:iam::{OTHER}:root"]}},"Action":"kms:*","Resource":"*"}}]}}"#
    );
    let other = RequestContext {
        via_service: via_s3().via_service,
        ..caller(OTHER)
    };

    let (outcome, trail) =
        world.trail_of(|| service.decrypt_data_key(&other, &mine, &s3_context()));
    assert!(matches!(outcome, Err(KeyError::AccessDenied(_))));
    let [event] = trail.as_slice() else {
        panic!("{trail:?}");
    };
    assert_eq!(event["recipientAccountId"], OTHER);
    assert_eq!(event.get("sharedEventID"), None);
    assert!(!event.to_string().contains(ACCOUNT), "whose it is, is told");

    // Nor which key another account's alias stands for.
    alias(&service, "alias/x", &key).unwrap();
    let region = key.region.as_str();
    let by_alias = format!("arn:aws:kms:{region}:{ACCOUNT}:alias/x");
    let reference = KeyReference::Named(by_alias.clone());
    let (outcome, trail) = world
        .trail_of(|| KeyAuthority::generate_data_key(&service, &other, &reference, &s3_context()));
    assert!(matches!(outcome, Err(KeyError::AccessDenied(_))));
    let [event] = trail.as_slice() else {
        panic!("{trail:?}");
    };
    assert_eq!(event["requestParameters"]["keyId"], by_alias.as_str());
    assert_eq!(event.get("resources"), None);
    assert!(!event.to_string().contains(&key.id.to_string()));

    let input = PutKeyPolicyInput {
        key_id: key.to_string(),
        policy_name: None,
        policy,
        bypass_policy_lockout_safety_check: true,
    };
    service.put_key_policy(&root(), input).unwrap();
    let (_, trail) = world.trail_of(|| generated(&service, &other, &key));
    let [first, second] = trail.as_slice() else {
        panic!("{trail:?}");
    };
    let mut recipients = [first, second].map(|it| it["recipientAccountId"].as_str().unwrap());
    recipients.sort_unstable();
    assert_eq!(recipients, [ACCOUNT, OTHER]);
    assert!(first["sharedEventID"].is_string());
    assert_eq!(first["sharedEventID"], second["sharedEventID"]);
    assert_ne!(first["eventID"], second["eventID"]);
    assert_eq!(first["resources"][0]["accountId"], ACCOUNT);
}

#[test]
fn who_only_asks_leaves_no_record() {
    let world = World::new();
    let service = world.service();
    let key = world.symmetric();
    let asking = service.with_authorizer(std::sync::Arc::clone(&service.ports.authorizer));
    let refused = bob(&world);
    let (outcome, trail) =
        world.trail_of(|| asking.authorize(&refused, &named(&key), KeyUse::Decrypt, &s3_context()));
    assert!(matches!(outcome, Err(KeyError::AccessDenied(_))));
    assert_eq!(trail, Vec::<Value>::new());
}

/// Runs a change twice where it can be; each call has one record, whatever it finds.
fn changes(
    world: &World,
    name: &str,
    times: usize,
    mut change: impl FnMut() -> Result<(), KmsError>,
) -> Value {
    let mut last = Value::Null;
    for time in 0..times {
        let (outcome, trail) = world.trail_of(&mut change);
        assert_eq!(outcome, Ok(()), "{name} {time}");
        assert_eq!(names(&trail), [name], "{time}");
        let event = trail.first().unwrap();
        assert_eq!(event["readOnly"], false, "{name}");
        assert_eq!(event["eventType"], "AwsApiCall", "{name}");
        assert_eq!(event["managementEvent"], true, "{name}");
        assert_eq!(event["resources"][0]["type"], "AWS::KMS::Key", "{name}");
        assert_eq!(event.get("errorCode"), None, "{name}");
        last = event.clone();
    }
    last
}

#[test]
fn every_change_has_one_record_also_if_it_changes_nothing() {
    let world = World::new();
    let service = world.service();
    let mut arn = None;
    let event = changes(&world, "CreateKey", 1, || {
        let input = CreateKeyInput {
            description: Some("what for".to_owned()),
            tags: vec![tag()],
            ..defaults()
        };
        let output = service.create_key(&root(), input)?;
        arn = Some(output.key_metadata.arn);
        Ok(())
    });
    let arn = arn.unwrap();
    let key_id = || arn.to_string();
    assert_eq!(
        event["requestParameters"],
        json!({
            "description": "what for",
            "keyUsage": "ENCRYPT_DECRYPT",
            "customerMasterKeySpec": "SYMMETRIC_DEFAULT",
            "keySpec": "SYMMETRIC_DEFAULT",
            "origin": "AWS_KMS",
            "bypassPolicyLockoutSafetyCheck": false,
            "multiRegion": false,
            "tags": [{"tagKey": "Department", "tagValue": "IT"}],
        })
    );
    let metadata = &event["responseElements"]["keyMetadata"];
    assert_eq!(metadata["arn"], key_id());
    assert_eq!(metadata["creationDate"], "Jan 15, 2027, 8:00:00 AM");
    assert_eq!(
        metadata["encryptionAlgorithms"],
        json!(["SYMMETRIC_DEFAULT"])
    );

    let event = changes(&world, "EnableKey", 2, || enable(&service, &arn));
    assert_eq!(event["requestParameters"], json!({"keyId": key_id()}));
    assert_eq!(event["responseElements"], json!({"keyId": key_id()}));
    changes(&world, "DisableKey", 2, || disable(&service, &arn));
    enable(&service, &arn).unwrap();
    let event = changes(&world, "CreateAlias", 1, || {
        alias(&service, "alias/a", &arn)
    });
    assert_eq!(
        event["requestParameters"],
        json!({"aliasName": "alias/a", "targetKeyId": arn.id.to_string()})
    );
    assert_eq!(event["responseElements"], Value::Null);
    let alias_arn = format!("arn:aws:kms:us-east-1:{ACCOUNT}:alias/a");
    assert_eq!(event["resources"][1]["ARN"], alias_arn);
    changes(&world, "UpdateAlias", 2, || {
        let input = UpdateAliasInput {
            alias_name: "alias/a".to_owned(),
            target_key_id: key_id(),
        };
        service.update_alias(&root(), input)
    });
    changes(&world, "DeleteAlias", 1, || {
        let alias_name = "alias/a".to_owned();
        service.delete_alias(&root(), DeleteAliasInput { alias_name })
    });
    changes(&world, "UpdateKeyDescription", 2, || {
        let input = UpdateKeyDescriptionInput {
            key_id: key_id(),
            description: "new".to_owned(),
        };
        service.update_key_description(&root(), input)
    });
    changes(&world, "TagResource", 2, || {
        let input = TagResourceInput {
            key_id: key_id(),
            tags: vec![tag()],
        };
        service.tag_resource(&root(), input)
    });
    changes(&world, "UntagResource", 2, || {
        let input = UntagResourceInput {
            key_id: key_id(),
            tag_keys: vec!["Department".to_owned()],
        };
        service.untag_resource(&root(), input)
    });
    let event = changes(&world, "PutKeyPolicy", 2, || {
        let input = PutKeyPolicyInput {
            key_id: key_id(),
            policy_name: None,
            policy: crate::fixture::POLICY.to_owned(),
            bypass_policy_lockout_safety_check: false,
        };
        service.put_key_policy(&root(), input)
    });
    assert_eq!(event["requestParameters"]["policyName"], "default");
    let event = changes(&world, "EnableKeyRotation", 2, || {
        let input = EnableKeyRotationInput {
            key_id: key_id(),
            rotation_period_in_days: Some(100),
        };
        service.enable_key_rotation(&root(), input)
    });
    assert_eq!(event["requestParameters"]["rotationPeriodInDays"], 100);
    changes(&world, "RotateKeyOnDemand", 2, || {
        let input = RotateKeyOnDemandInput { key_id: key_id() };
        service.rotate_key_on_demand(&root(), input).map(drop)
    });
    changes(&world, "DisableKeyRotation", 2, || {
        let input = DisableKeyRotationInput { key_id: key_id() };
        service.disable_key_rotation(&root(), input)
    });
    let event = changes(&world, "ScheduleKeyDeletion", 1, || {
        schedule(&service, &arn, 20)
    });
    assert_eq!(
        event["responseElements"],
        json!({
            "keyId": key_id(),
            "keyState": "PendingDeletion",
            "deletionDate": "Feb 4, 2027, 8:00:00 AM",
        })
    );
    changes(&world, "CancelKeyDeletion", 1, || cancel(&service, &arn));
}

#[test]
fn grants_are_recorded_without_their_tokens() {
    let world = World::new();
    let (service, key) = (world.service(), world.symmetric());
    let mut made = None;
    let input = || CreateGrantInput {
        key_id: key.to_string(),
        grantee_principal: ROOT.to_owned(),
        retiring_principal: Some(ROOT.to_owned()),
        operations: vec![GrantOperation::Decrypt],
        constraints: Some(GrantConstraints {
            encryption_context_subset: Some(context(&[("a", "1")])),
            encryption_context_equals: None,
        }),
        grant_tokens: Vec::new(),
        name: Some("n".to_owned()),
        dry_run: false,
    };
    // A name that is there already makes nothing.
    let event = changes(&world, "CreateGrant", 2, || {
        made = Some(service.create_grant(&root(), input())?);
        Ok(())
    });
    let grant = made.take().unwrap();
    let told = event.to_string();
    assert!(!told.contains(&grant.grant_token), "{told}");
    assert_eq!(
        event["requestParameters"],
        json!({
            "keyId": key.to_string(),
            "constraints": {"encryptionContextSubset": {"a": "1"}},
            "operations": ["Decrypt"],
            "granteePrincipal": ROOT,
            "retiringPrincipal": ROOT,
            "name": "n",
        })
    );
    assert_eq!(
        event["responseElements"],
        json!({"grantId": grant.grant_id, "keyId": key.to_string()})
    );
    let event = changes(&world, "RetireGrant", 1, || {
        let input = RetireGrantInput {
            grant_token: Some(grant.grant_token.clone()),
            key_id: None,
            grant_id: None,
            dry_run: false,
        };
        service.retire_grant(&root(), input)
    });
    assert_eq!(event["requestParameters"], Value::Null);
    assert_eq!(event["additionalEventData"]["grantId"], grant.grant_id);
    let again = service.create_grant(&root(), input()).unwrap();
    changes(&world, "RevokeGrant", 1, || {
        let input = RevokeGrantInput {
            key_id: key.to_string(),
            grant_id: again.grant_id.clone(),
            dry_run: false,
        };
        service.revoke_grant(&root(), input)
    });
}

#[test]
fn what_the_service_does_by_itself_is_recorded_with_it() {
    let world = World::new();
    let (service, rotates) = (world.service(), world.symmetric());
    let input = EnableKeyRotationInput {
        key_id: rotates.to_string(),
        rotation_period_in_days: Some(90),
    };
    service.enable_key_rotation(&root(), input).unwrap();
    let goes = world.symmetric();
    schedule(&service, &goes, 7).unwrap();
    let expires = world.external();
    let valid_to = crate::rotation::after_days(world.clock_now(), 5);
    crate::import::tests::import_until(&world, &expires, valid_to);
    world.clock.advance_seconds(91 * 24 * 3600);
    let (work, trail) = world.trail_of(|| service.run_due_work().unwrap());
    assert_eq!(work.failed, 0);
    let event = |key: &KeyArn, name: &str| {
        let of_key: Vec<&Value> = trail
            .iter()
            .filter(|event| event["resources"][0]["ARN"] == key.to_string())
            .collect();
        let [event] = of_key.as_slice() else {
            panic!("{name}: {of_key:?}");
        };
        let internal = json!({"accountId": ACCOUNT, "invokedBy": "AWS Internal"});
        assert_eq!(event["eventName"], name);
        assert_eq!(event["eventType"], "AwsServiceEvent");
        assert_eq!(event["userIdentity"], internal);
        assert_eq!(event["requestParameters"], Value::Null);
        let details = json!({"keyId": key.id.to_string()});
        assert_eq!(event["serviceEventDetails"], details);
    };
    event(&rotates, "RotateKey");
    event(&goes, "DeleteKey");
    event(&expires, "DeleteExpiredKeyMaterial");
    assert_eq!(trail.len(), 3, "{:?}", names(&trail));
}

#[test]
fn material_is_imported_and_deleted_with_a_record_and_never_told() {
    let world = World::new();
    let key = world.key(
        KeySpec::SymmetricDefault,
        KeyUsage::EncryptDecrypt,
        KeyOrigin::External,
    );
    let (id, trail) = world.trail_of(|| {
        let valid_to = crate::rotation::after_days(world.clock_now(), 5);
        crate::import::tests::import_until(&world, &key, valid_to)
    });
    assert_eq!(names(&trail), ["ImportKeyMaterial"]);
    let event = trail.first().unwrap();
    assert_eq!(
        event["requestParameters"],
        json!({
            "keyId": key.to_string(),
            "validTo": "Jan 20, 2027, 8:00:00 AM",
            "expirationModel": ExpirationModel::Expires.name(),
        })
    );
    assert_eq!(event["responseElements"]["keyMaterialId"], id.to_string());
    let service = world.service();
    changes(&world, "DeleteImportedKeyMaterial", 2, || {
        let input = DeleteImportedKeyMaterialInput {
            key_id: key.to_string(),
            key_material_id: None,
        };
        service
            .delete_imported_key_material(&root(), input)
            .map(drop)
    });
}

fn tag() -> Tag {
    Tag {
        key: "Department".to_owned(),
        value: "IT".to_owned(),
    }
}
