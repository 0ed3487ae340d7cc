use strongroom_types::kms::KeyManager;

use super::*;
use crate::fixture::{World, caller};
use crate::{
    CreateGrantInput, DisableKeyRotationInput, GetKeyPolicyInput, GetKeyRotationStatusInput,
    PutKeyPolicyInput, RotateKeyOnDemandInput, Tag, TagResourceInput, UntagResourceInput,
    UpdateAliasInput, UpdateKeyDescriptionInput,
};

/// The root user's request to S3, passed on.
pub(super) fn via_s3() -> RequestContext {
    RequestContext {
        via_service: Some("s3.us-east-1.amazonaws.com".into()),
        ..root()
    }
}

fn managed(service: &KeyService) -> KeyArn {
    described(service, "alias/aws/s3").unwrap().arn
}

#[test]
fn describing_the_alias_makes_the_key_with_the_policy_of_aws() {
    let world = World::new();
    let service = world.service();
    let made = described(&service, "alias/aws/s3").unwrap();
    assert_eq!(made.key_manager, KeyManager::Aws);
    assert_eq!(
        made.description,
        "Default key that protects my S3 objects when no other key is defined"
    );
    assert_eq!(
        described(&world.service(), "alias/aws/s3").unwrap().arn,
        made.arn
    );
    let by_arn = "arn:aws:kms:us-east-1:111122223333:alias/aws/s3";
    assert_eq!(described(&service, by_arn).unwrap().arn, made.arn);
    let secrets = described(&service, "alias/aws/secretsmanager").unwrap();
    assert_ne!(secrets.arn, made.arn);
    assert!(matches!(
        described(&service, "alias/aws/none"),
        Err(KmsError::NotFound(_))
    ));
    let key_id = made.arn.to_string();
    let policy = service
        .get_key_policy(
            &root(),
            GetKeyPolicyInput {
                key_id: key_id.clone(),
                policy_name: None,
            },
        )
        .unwrap()
        .policy;
    let policy: serde_json::Value = serde_json::from_str(&policy).unwrap();
    let expected = serde_json::json!({
        "Version": "2012-10-17",
        "Id": "auto-s3-2",
        "Statement": [
            {
                "Sid": "Allow access through S3 for all principals in the account that are \
                        authorized to use S3",
                "Effect": "Allow",
                "Principal": { "AWS": "*" },
                "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
                "Resource": "*",
                "Condition": { "StringEquals": {
                    "kms:CallerAccount": "111122223333",
                    "kms:ViaService": "s3.us-east-1.amazonaws.com",
                } },
            },
            {
                "Sid": "Allow direct access to key metadata to the account",
                "Effect": "Allow",
                "Principal": { "AWS": "arn:aws:iam::111122223333:root" },
                "Action": ["kms:Describe*", "kms:Get*", "kms:List*"],
                "Resource": "*",
            },
        ],
    });
    assert_eq!(policy, expected);
    let status = service
        .get_key_rotation_status(&root(), GetKeyRotationStatusInput { key_id })
        .unwrap();
    assert!(status.key_rotation_enabled);
    assert_eq!(status.rotation_period_in_days, Some(365));
}

#[test]
fn nobody_changes_deletes_shares_or_directly_uses_it() {
    let service = World::new().service();
    let arn = managed(&service);
    let key_id = || arn.to_string();
    let (root, s3) = (root(), via_s3());
    for caller in [&root, &s3] {
        let denied = [
            service.disable_key(caller, DisableKeyInput { key_id: key_id() }),
            service.enable_key(caller, EnableKeyInput { key_id: key_id() }),
            service
                .schedule_key_deletion(
                    caller,
                    ScheduleKeyDeletionInput {
                        key_id: key_id(),
                        pending_window_in_days: None,
                    },
                )
                .map(drop),
            service.disable_key_rotation(caller, DisableKeyRotationInput { key_id: key_id() }),
            service
                .rotate_key_on_demand(caller, RotateKeyOnDemandInput { key_id: key_id() })
                .map(drop),
            service.put_key_policy(
                caller,
                PutKeyPolicyInput {
                    key_id: key_id(),
                    policy_name: None,
                    policy: crate::fixture::POLICY.to_owned(),
                    bypass_policy_lockout_safety_check: false,
                },
            ),
            service.tag_resource(
                caller,
                TagResourceInput {
                    key_id: key_id(),
                    tags: vec![Tag {
                        key: "a".to_owned(),
                        value: String::new(),
                    }],
                },
            ),
            service.untag_resource(
                caller,
                UntagResourceInput {
                    key_id: key_id(),
                    tag_keys: vec!["a".to_owned()],
                },
            ),
            service.update_key_description(
                caller,
                UpdateKeyDescriptionInput {
                    key_id: key_id(),
                    description: String::new(),
                },
            ),
            service.create_alias(
                caller,
                CreateAliasInput {
                    alias_name: "alias/mine".to_owned(),
                    target_key_id: key_id(),
                },
            ),
            service
                .create_grant(
                    caller,
                    CreateGrantInput {
                        key_id: key_id(),
                        grantee_principal: crate::fixture::ROOT.to_owned(),
                        retiring_principal: None,
                        operations: vec![strongroom_types::kms::GrantOperation::Decrypt],
                        constraints: None,
                        grant_tokens: Vec::new(),
                        name: None,
                        dry_run: false,
                    },
                )
                .map(drop),
        ];
        for (index, outcome) in denied.iter().enumerate() {
            assert!(
                matches!(outcome, Err(KmsError::AccessDenied(_))),
                "{index}: {outcome:?}"
            );
        }
    }
    let mine = created(&service);
    alias(&service, "alias/mine", &mine).unwrap();
    let input = UpdateAliasInput {
        alias_name: "alias/mine".to_owned(),
        target_key_id: key_id(),
    };
    assert!(matches!(
        service.update_alias(&root, input),
        Err(KmsError::AccessDenied(_))
    ));
    // The cipher through the service alone.
    assert!(matches!(
        encrypt(&service, &key_id(), b"x"),
        Err(KmsError::AccessDenied(_))
    ));
    let input = encrypt_input(&key_id(), b"x", &context(&[("a", "1")]));
    let ciphertext = service.encrypt(&s3, input).unwrap().ciphertext_blob;
    assert!(matches!(
        decrypt(&service, &ciphertext),
        Err(KmsError::AccessDenied(_))
    ));
    assert!(decrypt_as(&service, &s3, &ciphertext).is_ok());
    // And of the same account alone.
    let stranger = RequestContext {
        via_service: s3.via_service.clone(),
        ..caller("999988887777")
    };
    assert!(matches!(
        decrypt_as(&service, &stranger, &ciphertext),
        Err(KmsError::AccessDenied(_))
    ));
}

#[test]
fn each_account_has_its_own() {
    let service = World::new().service();
    let ours = managed(&service);
    let input = DescribeKeyInput {
        key_id: "alias/aws/s3".to_owned(),
        grant_tokens: Vec::new(),
    };
    let theirs = service
        .describe_key(&caller("999988887777"), input)
        .unwrap();
    assert_ne!(theirs.key_metadata.arn, ours);
    assert_eq!(theirs.key_metadata.arn.account.as_str(), "999988887777");
}

#[test]
fn it_rotates_after_a_year_and_opens_what_was_encrypted_before() {
    let world = World::new();
    let service = world.service();
    let input = encrypt_input("alias/aws/s3", b"x", &context(&[("a", "1")]));
    let arn = managed(&service);
    let before = service.encrypt(&via_s3(), input).unwrap().ciphertext_blob;
    world.clock.advance_days(364);
    assert_eq!(service.run_due_work().unwrap().keys_rotated, 0);
    world.clock.advance_days(1);
    assert_eq!(service.run_due_work().unwrap().keys_rotated, 1);
    assert_eq!(service.run_due_work().unwrap().keys_rotated, 0);
    let after = described(&service, &arn.to_string()).unwrap();
    let opened = decrypt_as(&service, &via_s3(), &before).unwrap();
    assert_ne!(opened.key_material_id, after.current_key_material_id);
}
