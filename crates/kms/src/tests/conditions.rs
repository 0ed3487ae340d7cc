//! Which condition keys an operation has: exactly those that AWS documents for it (Developer Guide,
//! "Condition keys for AWS KMS").

use std::collections::BTreeMap;

use strongroom_types::Timestamp;
use strongroom_types::kms::{
    DataKeyPairSpec, ExpirationModel, GrantOperation, KeyAgreementAlgorithm, MacAlgorithm,
    MessageType, SigningAlgorithm, WrappingAlgorithm, WrappingKeySpec,
};

use super::*;
use crate::fixture::{ACCOUNT, POLICY, ROOT, World};
use crate::policies::KeyPolicy;
use crate::*;

/// Of every operation on a key.
const OF_KEYS: &[&str] = &[
    "aws:ResourceTag/own",
    "kms:CustomerMasterKeySpec",
    "kms:CustomerMasterKeyUsage",
    "kms:KeyOrigin",
    "kms:KeySpec",
    "kms:KeyUsage",
    "kms:MultiRegion",
    "kms:ResourceAliases",
];
const CIPHER: &[&str] = &[
    "kms:EncryptionAlgorithm",
    "kms:EncryptionContext:a",
    "kms:EncryptionContextKeys",
];

struct Table {
    world: World,
    service: KeyService,
    key: String,
}

impl Table {
    fn new() -> Self {
        let world = World::new();
        let service = world.service();
        let arn = world.symmetric();
        world.change(&arn, |key| {
            key.tags = vec![Tag {
                key: "own".to_owned(),
                value: "v".to_owned(),
            }];
        });
        alias(&service, "alias/a", &arn).unwrap();
        Self {
            world,
            service,
            key: arn.to_string(),
        }
    }

    /// Does something, of which only what was decided matters: action by action, with the keys that
    /// are not those of every operation on a key.
    fn of<T>(
        &self,
        attempt: impl FnOnce(&KeyService) -> Result<T, KmsError>,
    ) -> BTreeMap<&'static str, Vec<&'static str>> {
        *self.world.decisions.lock() = Some(Vec::new());
        let _ = attempt(&self.service);
        let seen = self.world.decisions.lock().take().unwrap();
        let mut last = BTreeMap::new();
        for (action, keys) in seen {
            last.insert(action, keys);
        }
        last
    }

    /// As [`Table::of`], of one action on a key.
    fn on_key<T>(
        &self,
        action: &str,
        attempt: impl FnOnce(&KeyService) -> Result<T, KmsError>,
        mut expected: Vec<&'static str>,
    ) {
        let seen = self.of(attempt);
        expected.extend(OF_KEYS);
        expected.sort_by_key(|key| key.to_ascii_lowercase());
        let mut found = seen
            .get(action)
            .unwrap_or_else(|| panic!("{action}"))
            .clone();
        found.sort_by_key(|key| key.to_ascii_lowercase());
        assert_eq!(found, expected, "{action}");
    }
}

fn a() -> EncryptionContext {
    context(&[("a", "1")])
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn an_operation_has_the_condition_keys_that_aws_documents_for_it() {
    let table = Table::new();
    let key = || table.key.clone();
    macro_rules! row {
        ($action:ident, $call:ident($input:expr), $($more:expr),*) => {{
            let mut expected: Vec<&'static str> = Vec::new();
            $(expected.extend($more.iter().copied());)*
            let input = $input;
            table.on_key(
                concat!("kms:", stringify!($action)),
                |service| service.$call(&root(), input),
                expected,
            );
        }};
        ($action:ident, $call:ident($input:expr)) => {
            row!($action, $call($input), [""; 0])
        };
    }
    let tags = || {
        vec![Tag {
            key: "t".to_owned(),
            value: "v".to_owned(),
        }]
    };
    let none = Vec::new;
    row!(
        DescribeKey,
        describe_key(DescribeKeyInput {
            key_id: key(),
            grant_tokens: none()
        })
    );
    row!(EnableKey, enable_key(EnableKeyInput { key_id: key() }));
    row!(
        GetKeyPolicy,
        get_key_policy(GetKeyPolicyInput {
            key_id: key(),
            policy_name: None
        })
    );
    row!(
        GetKeyLastUsage,
        get_key_last_usage(GetKeyLastUsageInput { key_id: key() })
    );
    row!(
        ListKeyPolicies,
        list_key_policies(ListKeyPoliciesInput {
            key_id: key(),
            limit: None,
            marker: None
        })
    );
    row!(
        ListResourceTags,
        list_resource_tags(ListResourceTagsInput {
            key_id: key(),
            limit: None,
            marker: None
        })
    );
    row!(
        GetKeyRotationStatus,
        get_key_rotation_status(GetKeyRotationStatusInput { key_id: key() })
    );
    row!(
        DisableKeyRotation,
        disable_key_rotation(DisableKeyRotationInput { key_id: key() })
    );
    row!(
        RotateKeyOnDemand,
        rotate_key_on_demand(RotateKeyOnDemandInput { key_id: key() })
    );
    row!(
        ListKeyRotations,
        list_key_rotations(ListKeyRotationsInput {
            key_id: key(),
            include_key_material: None,
            limit: None,
            marker: None,
        })
    );
    row!(
        UpdateKeyDescription,
        update_key_description(UpdateKeyDescriptionInput {
            key_id: key(),
            description: "d".to_owned(),
        })
    );
    row!(
        GetPublicKey,
        get_public_key(GetPublicKeyInput {
            key_id: key(),
            grant_tokens: none()
        })
    );
    row!(
        DeleteImportedKeyMaterial,
        delete_imported_key_material(DeleteImportedKeyMaterialInput {
            key_id: key(),
            key_material_id: None,
        })
    );
    for period in [None, Some(90)] {
        row!(
            EnableKeyRotation,
            enable_key_rotation(EnableKeyRotationInput {
                key_id: key(),
                rotation_period_in_days: period,
            }),
            ["kms:RotationPeriodInDays"]
        );
    }
    for (bypass, expected) in [
        (false, &[][..]),
        (true, &["kms:BypassPolicyLockoutSafetyCheck"]),
    ] {
        row!(
            PutKeyPolicy,
            put_key_policy(PutKeyPolicyInput {
                key_id: key(),
                policy_name: None,
                policy: POLICY.to_owned(),
                bypass_policy_lockout_safety_check: bypass,
            }),
            expected
        );
    }
    row!(
        TagResource,
        tag_resource(TagResourceInput {
            key_id: key(),
            tags: tags()
        }),
        ["aws:RequestTag/t", "aws:TagKeys"]
    );
    row!(
        UntagResource,
        untag_resource(UntagResourceInput {
            key_id: key(),
            tag_keys: vec!["t".to_owned()]
        }),
        ["aws:TagKeys"]
    );
    // Grants.
    row!(
        CreateGrant,
        create_grant(CreateGrantInput {
            key_id: key(),
            grantee_principal: ROOT.to_owned(),
            retiring_principal: None,
            operations: vec![GrantOperation::Decrypt],
            constraints: None,
            grant_tokens: none(),
            name: None,
            dry_run: true,
        }),
        [
            "kms:GranteePrincipal",
            "kms:GrantIsForAWSResource",
            "kms:GrantOperations"
        ]
    );
    row!(
        CreateGrant,
        create_grant(CreateGrantInput {
            key_id: key(),
            grantee_principal: ROOT.to_owned(),
            retiring_principal: Some(ROOT.to_owned()),
            operations: vec![GrantOperation::Decrypt],
            constraints: Some(GrantConstraints {
                encryption_context_subset: Some(a()),
                encryption_context_equals: None,
            }),
            grant_tokens: none(),
            name: None,
            dry_run: true,
        }),
        [
            "kms:EncryptionContext:a",
            "kms:EncryptionContextKeys",
            "kms:GrantConstraintType",
            "kms:GranteePrincipal",
            "kms:GrantIsForAWSResource",
            "kms:GrantOperations",
            "kms:RetiringPrincipal",
        ]
    );
    row!(
        ListGrants,
        list_grants(ListGrantsInput {
            limit: None,
            marker: None,
            key_id: key(),
            grant_id: None,
            grantee_principal: None,
        }),
        ["kms:GrantIsForAWSResource"]
    );
    row!(
        RevokeGrant,
        revoke_grant(RevokeGrantInput {
            key_id: key(),
            grant_id: "ab".repeat(32),
            dry_run: false,
        }),
        ["kms:GrantIsForAWSResource"]
    );
    row!(
        RetireGrant,
        retire_grant(RetireGrantInput {
            grant_token: None,
            key_id: Some(key()),
            grant_id: Some("ab".repeat(32)),
            dry_run: false,
        })
    );
    // Ciphers.
    row!(
        Encrypt,
        encrypt(encrypt_input(&table.key, b"x", &a())),
        CIPHER
    );
    let blob = encrypt(&table.service, &table.key, b"x").unwrap();
    row!(Decrypt, decrypt(decrypt_input(&blob, &a())), CIPHER);
    let re_encrypt = || ReEncryptInput {
        ciphertext_blob: Some(blob.clone()),
        source_encryption_context: a(),
        source_key_id: None,
        destination_key_id: key(),
        destination_encryption_context: a(),
        source_encryption_algorithm: None,
        destination_encryption_algorithm: None,
        grant_tokens: none(),
        dry_run: false,
        dry_run_modifiers: none(),
    };
    row!(
        ReEncryptFrom,
        re_encrypt(re_encrypt()),
        CIPHER,
        ["kms:ReEncryptOnSameKey"]
    );
    row!(
        ReEncryptTo,
        re_encrypt(re_encrypt()),
        CIPHER,
        ["kms:ReEncryptOnSameKey"]
    );
    row!(
        GenerateDataKey,
        generate_data_key(GenerateDataKeyInput {
            key_id: key(),
            encryption_context: a(),
            number_of_bytes: Some(32),
            key_spec: None,
            grant_tokens: none(),
            dry_run: false,
        }),
        CIPHER
    );
    row!(
        GenerateDataKeyWithoutPlaintext,
        generate_data_key_without_plaintext(GenerateDataKeyWithoutPlaintextInput {
            key_id: key(),
            encryption_context: a(),
            key_spec: None,
            number_of_bytes: Some(32),
            grant_tokens: none(),
            dry_run: false,
        }),
        CIPHER
    );
    row!(
        GenerateDataKeyPair,
        generate_data_key_pair(GenerateDataKeyPairInput {
            encryption_context: a(),
            key_id: key(),
            key_pair_spec: DataKeyPairSpec::EccNistP256,
            grant_tokens: none(),
            dry_run: true,
        }),
        CIPHER,
        ["kms:DataKeyPairSpec"]
    );
    row!(
        GenerateDataKeyPairWithoutPlaintext,
        generate_data_key_pair_without_plaintext(GenerateDataKeyPairWithoutPlaintextInput {
            encryption_context: a(),
            key_id: key(),
            key_pair_spec: DataKeyPairSpec::EccNistP256,
            grant_tokens: none(),
            dry_run: true,
        }),
        CIPHER,
        ["kms:DataKeyPairSpec"]
    );
    // Of other kinds of keys: whether one may is decided before whether it fits.
    row!(
        Sign,
        sign(SignInput {
            key_id: key(),
            message: b"m".to_vec(),
            message_type: None,
            grant_tokens: none(),
            signing_algorithm: SigningAlgorithm::EcdsaSha256,
            dry_run: false,
        }),
        ["kms:MessageType", "kms:SigningAlgorithm"]
    );
    row!(
        Verify,
        verify(VerifyInput {
            key_id: key(),
            message: b"m".to_vec(),
            message_type: Some(MessageType::Raw),
            signature: b"s".to_vec(),
            signing_algorithm: SigningAlgorithm::EcdsaSha256,
            grant_tokens: none(),
            dry_run: false,
        }),
        ["kms:MessageType", "kms:SigningAlgorithm"]
    );
    row!(
        GenerateMac,
        generate_mac(GenerateMacInput {
            message: b"m".to_vec(),
            key_id: key(),
            mac_algorithm: MacAlgorithm::HmacSha256,
            grant_tokens: none(),
            dry_run: false,
        }),
        ["kms:MacAlgorithm"]
    );
    row!(
        VerifyMac,
        verify_mac(VerifyMacInput {
            message: b"m".to_vec(),
            key_id: key(),
            mac_algorithm: MacAlgorithm::HmacSha256,
            mac: b"m".to_vec(),
            grant_tokens: none(),
            dry_run: false,
        }),
        ["kms:MacAlgorithm"]
    );
    row!(
        DeriveSharedSecret,
        derive_shared_secret(DeriveSharedSecretInput {
            key_id: key(),
            key_agreement_algorithm: KeyAgreementAlgorithm::Ecdh,
            public_key: b"p".to_vec(),
            grant_tokens: none(),
            dry_run: false,
        }),
        ["kms:KeyAgreementAlgorithm"]
    );
    row!(
        GetParametersForImport,
        get_parameters_for_import(GetParametersForImportInput {
            key_id: key(),
            wrapping_algorithm: WrappingAlgorithm::RsaesOaepSha256,
            wrapping_key_spec: WrappingKeySpec::Rsa2048,
        }),
        ["kms:WrappingAlgorithm", "kms:WrappingKeySpec"]
    );
    for (valid_to, model, expected) in [
        (
            None,
            ExpirationModel::DoesNotExpire,
            &["kms:ExpirationModel"][..],
        ),
        (
            Some(Timestamp::from_seconds(2_000_000_000)),
            ExpirationModel::Expires,
            &["kms:ExpirationModel", "kms:ValidTo"],
        ),
    ] {
        row!(
            ImportKeyMaterial,
            import_key_material(ImportKeyMaterialInput {
                key_id: key(),
                import_token: b"t".to_vec(),
                encrypted_key_material: b"m".to_vec(),
                valid_to,
                expiration_model: Some(model),
                import_type: None,
                key_material_description: None,
                key_material_id: None,
            }),
            expected
        );
    }
    // Aliases: of the key.
    row!(
        CreateAlias,
        create_alias(CreateAliasInput {
            alias_name: "alias/b".to_owned(),
            target_key_id: key(),
        })
    );
    row!(
        UpdateAlias,
        update_alias(UpdateAliasInput {
            alias_name: "alias/b".to_owned(),
            target_key_id: key(),
        })
    );
    row!(
        DeleteAlias,
        delete_alias(DeleteAliasInput {
            alias_name: "alias/b".to_owned()
        })
    );
    row!(
        ScheduleKeyDeletion,
        schedule_key_deletion(ScheduleKeyDeletionInput {
            key_id: key(),
            pending_window_in_days: None,
        }),
        ["kms:ScheduleKeyDeletionPendingWindowInDays"]
    );
    row!(
        CancelKeyDeletion,
        cancel_key_deletion(CancelKeyDeletionInput { key_id: key() })
    );
    row!(DisableKey, disable_key(DisableKeyInput { key_id: key() }));
}

#[test]
fn an_operation_without_a_key_has_those_of_the_key_that_it_makes() {
    let table = Table::new();
    let of_new = [
        "kms:CustomerMasterKeySpec",
        "kms:CustomerMasterKeyUsage",
        "kms:KeyOrigin",
        "kms:KeySpec",
        "kms:KeyUsage",
        "kms:MultiRegion",
    ];
    let seen = table.of(|service| service.create_key(&root(), defaults()));
    assert_eq!(seen, BTreeMap::from([("kms:CreateKey", of_new.to_vec())]));
    let tagged = CreateKeyInput {
        bypass_policy_lockout_safety_check: true,
        tags: vec![Tag {
            key: "t".to_owned(),
            value: "v".to_owned(),
        }],
        ..defaults()
    };
    let more = [
        "aws:RequestTag/t",
        "aws:TagKeys",
        "kms:BypassPolicyLockoutSafetyCheck",
    ];
    let all: Vec<_> = more.into_iter().chain(of_new).collect();
    let seen = table.of(|service| service.create_key(&root(), tagged));
    assert_eq!(
        seen,
        BTreeMap::from([("kms:CreateKey", all.clone()), ("kms:TagResource", all)])
    );
    let seen = table.of(|service| {
        let input = GenerateRandomInput {
            number_of_bytes: Some(1),
        };
        service.generate_random(&root(), input)
    });
    assert_eq!(seen, BTreeMap::from([("kms:GenerateRandom", Vec::new())]));
}

#[test]
fn aliases_and_tags_of_a_key_decide_where_a_policy_asks() {
    let table = Table::new();
    let (world, service) = (&table.world, &table.service);
    let may = |condition: &str, key_id: &str| {
        let text = format!(
            r#"{{"Statement":{{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{condition}}}}}"#
        );
        let caller = world.people.user(ACCOUNT, "u", Some(&text));
        let input = encrypt_input(key_id, b"x", &a());
        service.encrypt(&caller, input).is_ok()
    };
    let resource_aliases = |alias: &str| {
        format!(r#"{{"ForAnyValue:StringEquals":{{"kms:ResourceAliases":"{alias}"}}}}"#)
    };
    for key_id in [table.key.as_str(), "alias/a"] {
        assert!(may(&resource_aliases("alias/a"), key_id));
        assert!(!may(&resource_aliases("alias/b"), key_id));
    }
    let request_alias = r#"{"StringEquals":{"kms:RequestAlias":"alias/a"}}"#;
    assert!(may(request_alias, "alias/a") && !may(request_alias, &table.key));
    let tag = |value: &str| format!(r#"{{"StringEquals":{{"aws:ResourceTag/own":"{value}"}}}}"#);
    assert!(may(&tag("v"), &table.key) && !may(&tag("w"), &table.key));
    // A Deny that asks for the aliases is not missed.
    let arn = KeyArn::parse(&table.key).unwrap();
    let denying = POLICY.replace(
        "}]}",
        r#"},{"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{"ForAnyValue:StringLike":{"kms:ResourceAliases":"alias/a*"}}}]}"#,
    );
    world.change(&arn, |key| key.policy = KeyPolicy::of_accounts(denying));
    assert!(encrypt(service, &table.key, b"x").is_err());
    let alias_name = "alias/a".to_owned();
    service
        .delete_alias(&root(), DeleteAliasInput { alias_name })
        .unwrap();
    assert!(encrypt(service, &table.key, b"x").is_ok());
}
