//! The members of every operation's input: names, types and bounds.
//!
//! Source: the service model of KMS (2014-11-01). `tests/e2e/test_kms_shapes.py` holds this table,
//! as `testdata/kms_shapes.txt`, against the model that AWS's own clients use.

use strongroom_types::kms::{
    DataKeyPairSpec, DataKeySpec, EncryptionAlgorithm, ExpirationModel, GrantOperation, ImportType,
    KeyAgreementAlgorithm, KeyOrigin, KeySpec, KeyUsage, MacAlgorithm, MessageType,
    SigningAlgorithm, WrappingAlgorithm, WrappingKeySpec,
};

use crate::json::{Length, Member, Pattern, Shape, choice, optional, required};

/// `CancelKeyDeletion`.
pub(super) const CANCEL_KEY_DELETION: &[Member] = &[required("KeyId", &KEY_ID)];

/// `CreateAlias`.
pub(super) const CREATE_ALIAS: &[Member] = &[
    required("AliasName", &ALIAS_NAME),
    required("TargetKeyId", &KEY_ID),
];

/// `CreateGrant`.
pub(super) const CREATE_GRANT: &[Member] = &[
    required("KeyId", &KEY_ID),
    required("GranteePrincipal", &PRINCIPAL),
    optional("RetiringPrincipal", &PRINCIPAL),
    required("Operations", &GRANT_OPERATION_LIST),
    optional("Constraints", &GRANT_CONSTRAINTS),
    optional("GrantTokens", &GRANT_TOKEN_LIST),
    optional("Name", &GRANT_NAME),
    optional("DryRun", &SWITCH),
];

/// `CreateKey`.
pub(super) const CREATE_KEY: &[Member] = &[
    optional("Policy", &POLICY),
    optional("Description", &DESCRIPTION),
    optional("KeyUsage", &KEY_USAGE),
    optional("CustomerMasterKeySpec", &CUSTOMER_MASTER_KEY_SPEC),
    optional("KeySpec", &KEY_SPEC),
    optional("Origin", &ORIGIN),
    optional("CustomKeyStoreId", &CUSTOM_KEY_STORE_ID),
    optional("BypassPolicyLockoutSafetyCheck", &SWITCH),
    optional("Tags", &TAG_LIST),
    optional("MultiRegion", &SWITCH),
    optional("XksKeyId", &XKS_KEY_ID),
];

/// `Decrypt`.
pub(super) const DECRYPT: &[Member] = &[
    optional("CiphertextBlob", &CIPHERTEXT),
    optional("EncryptionContext", &CONTEXT),
    optional("GrantTokens", &GRANT_TOKEN_LIST),
    optional("KeyId", &KEY_ID),
    optional("EncryptionAlgorithm", &ENCRYPTION_ALGORITHM_SPEC),
    optional("Recipient", &RECIPIENT_INFO),
    optional("DryRun", &SWITCH),
    optional("DryRunModifiers", &DRY_RUN_MODIFIER_LIST),
];

/// `DeleteAlias`.
pub(super) const DELETE_ALIAS: &[Member] = &[required("AliasName", &ALIAS_NAME)];

/// `DeleteImportedKeyMaterial`.
pub(super) const DELETE_IMPORTED_KEY_MATERIAL: &[Member] = &[
    required("KeyId", &KEY_ID),
    optional("KeyMaterialId", &KEY_MATERIAL_ID),
];

/// `DeriveSharedSecret`.
pub(super) const DERIVE_SHARED_SECRET: &[Member] = &[
    required("KeyId", &KEY_ID),
    required("KeyAgreementAlgorithm", &KEY_AGREEMENT_ALGORITHM_SPEC),
    required("PublicKey", &PUBLIC_KEY),
    optional("GrantTokens", &GRANT_TOKEN_LIST),
    optional("DryRun", &SWITCH),
    optional("Recipient", &RECIPIENT_INFO),
];

/// `DescribeKey`.
pub(super) const DESCRIBE_KEY: &[Member] = &[
    required("KeyId", &KEY_ID),
    optional("GrantTokens", &GRANT_TOKEN_LIST),
];

/// `DisableKey`.
pub(super) const DISABLE_KEY: &[Member] = &[required("KeyId", &KEY_ID)];

/// `DisableKeyRotation`.
pub(super) const DISABLE_KEY_ROTATION: &[Member] = &[required("KeyId", &KEY_ID)];

/// `EnableKey`.
pub(super) const ENABLE_KEY: &[Member] = &[required("KeyId", &KEY_ID)];

/// `EnableKeyRotation`.
pub(super) const ENABLE_KEY_ROTATION: &[Member] = &[
    required("KeyId", &KEY_ID),
    optional("RotationPeriodInDays", &ROTATION_PERIOD_IN_DAYS),
];

/// `Encrypt`.
pub(super) const ENCRYPT: &[Member] = &[
    required("KeyId", &KEY_ID),
    required("Plaintext", &PLAINTEXT),
    optional("EncryptionContext", &CONTEXT),
    optional("GrantTokens", &GRANT_TOKEN_LIST),
    optional("EncryptionAlgorithm", &ENCRYPTION_ALGORITHM_SPEC),
    optional("DryRun", &SWITCH),
];

/// `GenerateDataKey`.
pub(super) const GENERATE_DATA_KEY: &[Member] = &[
    required("KeyId", &KEY_ID),
    optional("EncryptionContext", &CONTEXT),
    optional("NumberOfBytes", &NUMBER_OF_BYTES),
    optional("KeySpec", &DATA_KEY_SPEC),
    optional("GrantTokens", &GRANT_TOKEN_LIST),
    optional("Recipient", &RECIPIENT_INFO),
    optional("DryRun", &SWITCH),
];

/// `GenerateDataKeyPair`.
pub(super) const GENERATE_DATA_KEY_PAIR: &[Member] = &[
    optional("EncryptionContext", &CONTEXT),
    required("KeyId", &KEY_ID),
    required("KeyPairSpec", &DATA_KEY_PAIR_SPEC),
    optional("GrantTokens", &GRANT_TOKEN_LIST),
    optional("Recipient", &RECIPIENT_INFO),
    optional("DryRun", &SWITCH),
];

/// `GenerateDataKeyPairWithoutPlaintext`.
pub(super) const GENERATE_DATA_KEY_PAIR_WITHOUT_PLAINTEXT: &[Member] = &[
    optional("EncryptionContext", &CONTEXT),
    required("KeyId", &KEY_ID),
    required("KeyPairSpec", &DATA_KEY_PAIR_SPEC),
    optional("GrantTokens", &GRANT_TOKEN_LIST),
    optional("DryRun", &SWITCH),
];

/// `GenerateDataKeyWithoutPlaintext`.
pub(super) const GENERATE_DATA_KEY_WITHOUT_PLAINTEXT: &[Member] = &[
    required("KeyId", &KEY_ID),
    optional("EncryptionContext", &CONTEXT),
    optional("KeySpec", &DATA_KEY_SPEC),
    optional("NumberOfBytes", &NUMBER_OF_BYTES),
    optional("GrantTokens", &GRANT_TOKEN_LIST),
    optional("DryRun", &SWITCH),
];

/// `GenerateMac`.
pub(super) const GENERATE_MAC: &[Member] = &[
    required("Message", &PLAINTEXT),
    required("KeyId", &KEY_ID),
    required("MacAlgorithm", &MAC_ALGORITHM_SPEC),
    optional("GrantTokens", &GRANT_TOKEN_LIST),
    optional("DryRun", &SWITCH),
];

/// `GenerateRandom`.
pub(super) const GENERATE_RANDOM: &[Member] = &[
    optional("NumberOfBytes", &NUMBER_OF_BYTES),
    optional("CustomKeyStoreId", &CUSTOM_KEY_STORE_ID),
    optional("Recipient", &RECIPIENT_INFO),
];

/// `GetKeyLastUsage`.
pub(super) const GET_KEY_LAST_USAGE: &[Member] = &[required("KeyId", &KEY_ID)];

/// `GetKeyPolicy`.
pub(super) const GET_KEY_POLICY: &[Member] = &[
    required("KeyId", &KEY_ID),
    optional("PolicyName", &POLICY_NAME),
];

/// `GetKeyRotationStatus`.
pub(super) const GET_KEY_ROTATION_STATUS: &[Member] = &[required("KeyId", &KEY_ID)];

/// `GetParametersForImport`.
pub(super) const GET_PARAMETERS_FOR_IMPORT: &[Member] = &[
    required("KeyId", &KEY_ID),
    required("WrappingAlgorithm", &WRAPPING_ALGORITHM),
    required("WrappingKeySpec", &WRAPPING_KEY_SPEC),
];

/// `GetPublicKey`.
pub(super) const GET_PUBLIC_KEY: &[Member] = &[
    required("KeyId", &KEY_ID),
    optional("GrantTokens", &GRANT_TOKEN_LIST),
];

/// `ImportKeyMaterial`.
pub(super) const IMPORT_KEY_MATERIAL: &[Member] = &[
    required("KeyId", &KEY_ID),
    required("ImportToken", &CIPHERTEXT),
    required("EncryptedKeyMaterial", &CIPHERTEXT),
    optional("ValidTo", &TIME),
    optional("ExpirationModel", &EXPIRATION_MODEL),
    optional("ImportType", &IMPORT_TYPE),
    optional("KeyMaterialDescription", &KEY_MATERIAL_DESCRIPTION),
    optional("KeyMaterialId", &KEY_MATERIAL_ID),
];

/// `ListAliases`.
pub(super) const LIST_ALIASES: &[Member] = &[
    optional("KeyId", &KEY_ID),
    optional("Limit", &LIMIT),
    optional("Marker", &MARKER),
];

/// `ListGrants`.
pub(super) const LIST_GRANTS: &[Member] = &[
    optional("Limit", &LIMIT),
    optional("Marker", &MARKER),
    required("KeyId", &KEY_ID),
    optional("GrantId", &GRANT_ID),
    optional("GranteePrincipal", &PRINCIPAL),
];

/// `ListKeyPolicies`.
pub(super) const LIST_KEY_POLICIES: &[Member] = &[
    required("KeyId", &KEY_ID),
    optional("Limit", &LIMIT),
    optional("Marker", &MARKER),
];

/// `ListKeyRotations`.
pub(super) const LIST_KEY_ROTATIONS: &[Member] = &[
    required("KeyId", &KEY_ID),
    optional("IncludeKeyMaterial", &INCLUDE_KEY_MATERIAL),
    optional("Limit", &LIMIT),
    optional("Marker", &MARKER),
];

/// `ListKeys`.
pub(super) const LIST_KEYS: &[Member] = &[optional("Limit", &LIMIT), optional("Marker", &MARKER)];

/// `ListResourceTags`.
pub(super) const LIST_RESOURCE_TAGS: &[Member] = &[
    required("KeyId", &KEY_ID),
    optional("Limit", &LIMIT),
    optional("Marker", &MARKER),
];

/// `ListRetirableGrants`.
pub(super) const LIST_RETIRABLE_GRANTS: &[Member] = &[
    optional("Limit", &LIMIT),
    optional("Marker", &MARKER),
    required("RetiringPrincipal", &PRINCIPAL),
];

/// `PutKeyPolicy`.
pub(super) const PUT_KEY_POLICY: &[Member] = &[
    required("KeyId", &KEY_ID),
    optional("PolicyName", &POLICY_NAME),
    required("Policy", &POLICY),
    optional("BypassPolicyLockoutSafetyCheck", &SWITCH),
];

/// `ReEncrypt`.
pub(super) const RE_ENCRYPT: &[Member] = &[
    optional("CiphertextBlob", &CIPHERTEXT),
    optional("SourceEncryptionContext", &CONTEXT),
    optional("SourceKeyId", &KEY_ID),
    required("DestinationKeyId", &KEY_ID),
    optional("DestinationEncryptionContext", &CONTEXT),
    optional("SourceEncryptionAlgorithm", &ENCRYPTION_ALGORITHM_SPEC),
    optional("DestinationEncryptionAlgorithm", &ENCRYPTION_ALGORITHM_SPEC),
    optional("GrantTokens", &GRANT_TOKEN_LIST),
    optional("DryRun", &SWITCH),
    optional("DryRunModifiers", &DRY_RUN_MODIFIER_LIST),
];

/// `RetireGrant`.
pub(super) const RETIRE_GRANT: &[Member] = &[
    optional("GrantToken", &GRANT_TOKEN),
    optional("KeyId", &KEY_ID),
    optional("GrantId", &GRANT_ID),
    optional("DryRun", &SWITCH),
];

/// `RevokeGrant`.
pub(super) const REVOKE_GRANT: &[Member] = &[
    required("KeyId", &KEY_ID),
    required("GrantId", &GRANT_ID),
    optional("DryRun", &SWITCH),
];

/// `RotateKeyOnDemand`.
pub(super) const ROTATE_KEY_ON_DEMAND: &[Member] = &[required("KeyId", &KEY_ID)];

/// `ScheduleKeyDeletion`.
pub(super) const SCHEDULE_KEY_DELETION: &[Member] = &[
    required("KeyId", &KEY_ID),
    optional("PendingWindowInDays", &PENDING_WINDOW_IN_DAYS),
];

/// `Sign`.
pub(super) const SIGN: &[Member] = &[
    required("KeyId", &KEY_ID),
    required("Message", &PLAINTEXT),
    optional("MessageType", &MESSAGE_TYPE),
    optional("GrantTokens", &GRANT_TOKEN_LIST),
    required("SigningAlgorithm", &SIGNING_ALGORITHM_SPEC),
    optional("DryRun", &SWITCH),
];

/// `TagResource`.
pub(super) const TAG_RESOURCE: &[Member] =
    &[required("KeyId", &KEY_ID), required("Tags", &TAG_LIST)];

/// `UntagResource`.
pub(super) const UNTAG_RESOURCE: &[Member] = &[
    required("KeyId", &KEY_ID),
    required("TagKeys", &TAG_KEY_LIST),
];

/// `UpdateAlias`.
pub(super) const UPDATE_ALIAS: &[Member] = &[
    required("AliasName", &ALIAS_NAME),
    required("TargetKeyId", &KEY_ID),
];

/// `UpdateKeyDescription`.
pub(super) const UPDATE_KEY_DESCRIPTION: &[Member] = &[
    required("KeyId", &KEY_ID),
    required("Description", &DESCRIPTION),
];

/// `Verify`.
pub(super) const VERIFY: &[Member] = &[
    required("KeyId", &KEY_ID),
    required("Message", &PLAINTEXT),
    optional("MessageType", &MESSAGE_TYPE),
    required("Signature", &CIPHERTEXT),
    required("SigningAlgorithm", &SIGNING_ALGORITHM_SPEC),
    optional("GrantTokens", &GRANT_TOKEN_LIST),
    optional("DryRun", &SWITCH),
];

/// `VerifyMac`.
pub(super) const VERIFY_MAC: &[Member] = &[
    required("Message", &PLAINTEXT),
    required("KeyId", &KEY_ID),
    required("MacAlgorithm", &MAC_ALGORITHM_SPEC),
    required("Mac", &CIPHERTEXT),
    optional("GrantTokens", &GRANT_TOKEN_LIST),
    optional("DryRun", &SWITCH),
];

static KEY_ID: Shape = Shape::Text(Length::of(1, 2048), None);
static ALIAS_NAME: Shape = Shape::Text(Length::of(1, 256), Some(&ALIAS_NAME_PATTERN));
static PRINCIPAL: Shape = Shape::Text(Length::of(1, 256), Some(&PRINCIPAL_PATTERN));
static GRANT_OPERATION: Shape = choice!(GrantOperation);
static GRANT_OPERATION_LIST: Shape = Shape::List(&GRANT_OPERATION, Length::ANY);
static CONTEXT: Shape = Shape::TextMap;
static GRANT_CONSTRAINTS: Shape = Shape::Structure(&[
    optional("EncryptionContextSubset", &CONTEXT),
    optional("EncryptionContextEquals", &CONTEXT),
]);
static GRANT_TOKEN: Shape = Shape::Text(Length::of(1, 8192), None);
static GRANT_TOKEN_LIST: Shape = Shape::List(&GRANT_TOKEN, Length::of(0, 10));
static GRANT_NAME: Shape = Shape::Text(Length::of(1, 256), Some(&ALIAS_NAME_PATTERN));
static SWITCH: Shape = Shape::Boolean;
static POLICY: Shape = Shape::Text(Length::of(1, 131_072), Some(&POLICY_PATTERN));
static DESCRIPTION: Shape = Shape::Text(Length::of(0, 8192), None);
static KEY_USAGE: Shape = choice!(KeyUsage);
static CUSTOMER_MASTER_KEY_SPEC: Shape = choice![
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "ECC_NIST_P256",
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    "SYMMETRIC_DEFAULT",
    "HMAC_224",
    "HMAC_256",
    "HMAC_384",
    "HMAC_512",
    "SM2"
];
static KEY_SPEC: Shape = choice!(KeySpec);
static ORIGIN: Shape = choice!(KeyOrigin);
static CUSTOM_KEY_STORE_ID: Shape = Shape::Text(Length::of(1, 64), None);
static TAG_KEY: Shape = Shape::Text(Length::of(1, 128), None);
static TAG_VALUE: Shape = Shape::Text(Length::of(0, 256), None);
static TAG: Shape = Shape::Structure(&[
    required("TagKey", &TAG_KEY),
    required("TagValue", &TAG_VALUE),
]);
static TAG_LIST: Shape = Shape::List(&TAG, Length::ANY);
static XKS_KEY_ID: Shape = Shape::Text(Length::of(1, 128), Some(&XKS_KEY_ID_PATTERN));
static CIPHERTEXT: Shape = Shape::Blob(Length::of(1, 6144));
static ENCRYPTION_ALGORITHM_SPEC: Shape = choice!(EncryptionAlgorithm);
static KEY_ENCRYPTION_MECHANISM: Shape = choice!["RSAES_OAEP_SHA_256"];
static ATTESTATION_DOCUMENT: Shape = Shape::Blob(Length::of(1, 262_144));
static RECIPIENT_INFO: Shape = Shape::Structure(&[
    optional("KeyEncryptionAlgorithm", &KEY_ENCRYPTION_MECHANISM),
    optional("AttestationDocument", &ATTESTATION_DOCUMENT),
]);
static DRY_RUN_MODIFIER: Shape = choice!["IGNORE_CIPHERTEXT"];
static DRY_RUN_MODIFIER_LIST: Shape = Shape::List(&DRY_RUN_MODIFIER, Length::ANY);
static KEY_MATERIAL_ID: Shape = Shape::Text(Length::of(64, 64), Some(&KEY_MATERIAL_ID_PATTERN));
static KEY_AGREEMENT_ALGORITHM_SPEC: Shape = choice!(KeyAgreementAlgorithm);
static PUBLIC_KEY: Shape = Shape::Blob(Length::of(1, 8192));
static ROTATION_PERIOD_IN_DAYS: Shape = Shape::Integer(90, 2560);
static PLAINTEXT: Shape = Shape::Blob(Length::of(1, 4096));
static NUMBER_OF_BYTES: Shape = Shape::Integer(1, 1024);
static DATA_KEY_SPEC: Shape = choice!(DataKeySpec);
static DATA_KEY_PAIR_SPEC: Shape = choice!(DataKeyPairSpec);
static MAC_ALGORITHM_SPEC: Shape = choice!(MacAlgorithm);
static POLICY_NAME: Shape = Shape::Text(Length::of(1, 128), Some(&POLICY_NAME_PATTERN));
static WRAPPING_ALGORITHM: Shape = choice!(WrappingAlgorithm);
static WRAPPING_KEY_SPEC: Shape = choice!(WrappingKeySpec);
static TIME: Shape = Shape::Time;
static EXPIRATION_MODEL: Shape = choice!(ExpirationModel);
static IMPORT_TYPE: Shape = choice!(ImportType);
static KEY_MATERIAL_DESCRIPTION: Shape =
    Shape::Text(Length::of(0, 256), Some(&KEY_MATERIAL_DESCRIPTION_PATTERN));
static LIMIT: Shape = Shape::Integer(1, 1000);
static MARKER: Shape = Shape::Text(Length::of(1, 1024), Some(&MARKER_PATTERN));
static GRANT_ID: Shape = Shape::Text(Length::of(1, 128), None);
static INCLUDE_KEY_MATERIAL: Shape = choice!["ALL_KEY_MATERIAL", "ROTATIONS_ONLY"];
static PENDING_WINDOW_IN_DAYS: Shape = Shape::Integer(1, 365);
static MESSAGE_TYPE: Shape = choice!(MessageType);
static SIGNING_ALGORITHM_SPEC: Shape = choice!(SigningAlgorithm);
static TAG_KEY_LIST: Shape = Shape::List(&TAG_KEY, Length::ANY);

static ALIAS_NAME_PATTERN: Pattern = Pattern {
    text: r"^[a-zA-Z0-9:/_-]+$",
    allows: |c| c.is_ascii_alphanumeric() || ":/_-".contains(c),
    may_be_empty: false,
};
static PRINCIPAL_PATTERN: Pattern = Pattern {
    text: r"^[\w+=,.@:/-]+$",
    allows: |c| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c),
    may_be_empty: false,
};
static POLICY_PATTERN: Pattern = Pattern {
    text: r"[\u0009\u000A\u000D\u0020-\u00FF]+",
    allows: |c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FF}'),
    may_be_empty: false,
};
static XKS_KEY_ID_PATTERN: Pattern = Pattern {
    text: r"^[a-zA-Z0-9-_.]+$",
    allows: |c| c.is_ascii_alphanumeric() || "-_.".contains(c),
    may_be_empty: false,
};
static KEY_MATERIAL_ID_PATTERN: Pattern = Pattern {
    text: r"^[a-f0-9]+$",
    allows: |c| matches!(c, 'a'..='f' | '0'..='9'),
    may_be_empty: false,
};
static POLICY_NAME_PATTERN: Pattern = Pattern {
    text: r"[\w]+",
    allows: |c| c.is_ascii_alphanumeric() || c == '_',
    may_be_empty: false,
};
static KEY_MATERIAL_DESCRIPTION_PATTERN: Pattern = Pattern {
    text: r"^[a-zA-Z0-9:/_\s.-]+$",
    allows: |c| c.is_ascii_alphanumeric() || ":/_.- \t\n\u{B}\u{C}\r".contains(c),
    may_be_empty: false,
};
static MARKER_PATTERN: Pattern = Pattern {
    text: r"[\u0020-\u00FF]*",
    allows: |c| matches!(c, ' '..='\u{FF}'),
    may_be_empty: true,
};

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::operations;
    use crate::json::{read_input, shape_table};

    fn refused(operation: &str, input: &Value) -> String {
        let operation = operations::all().find(|it| it.name == operation).unwrap();
        let error = read_input(operation.members, input).err().unwrap().answer();
        let message = error.message.unwrap_or_default();
        format!("{} {message}", error.name.trim_end_matches("Exception"))
    }

    fn is_taken(operation: &str, input: &Value) -> bool {
        let operation = operations::all().find(|it| it.name == operation).unwrap();
        read_input(operation.members, input).is_ok()
    }

    #[test]
    fn the_table_is_the_one_that_is_held_against_aws() {
        let actual = shape_table(operations::all());
        let agreed = include_str!("../../testdata/kms_shapes.txt");
        for (actual, agreed) in actual.lines().zip(agreed.lines()) {
            assert_eq!(actual, agreed);
        }
        assert_eq!(actual, agreed, "the whole table is now:\n{actual}");
    }

    #[test]
    fn every_operation_is_there_once() {
        let mut names: Vec<&str> = operations::all().map(|it| it.name).collect();
        assert_eq!(names.len(), 54);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 54);
    }

    #[test]
    fn broken_constraints_have_the_texts_of_aws() {
        let key = "1234abcd-12ab-34cd-56ef-1234567890ab";
        let long = "A".repeat(4100 / 3 * 4 + 8);
        let one = "Validation 1 validation error detected: ";
        for (operation, input, text) in [
            (
                "GenerateRandom",
                json!({ "NumberOfBytes": 0 }),
                "Value '0' at 'numberOfBytes' failed to satisfy constraint: Member must have value \
                 greater than or equal to 1",
            ),
            (
                "GenerateRandom",
                json!({ "NumberOfBytes": 1025 }),
                "Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have \
                 value less than or equal to 1024",
            ),
            (
                "Encrypt",
                json!({ "KeyId": key, "Plaintext": long }),
                "Value at 'plaintext' failed to satisfy constraint: Member must have length less \
                 than or equal to 4096",
            ),
            (
                "Encrypt",
                json!({ "KeyId": key, "Plaintext": "" }),
                "Value at 'plaintext' failed to satisfy constraint: Member must have length \
                 greater than or equal to 1",
            ),
            (
                "DescribeKey",
                json!({ "KeyId": null }),
                "Value null at 'keyId' failed to satisfy constraint: Member must not be null",
            ),
            (
                "GenerateDataKey",
                json!({ "KeyId": key, "KeySpec": "AES_512" }),
                "Value 'AES_512' at 'keySpec' failed to satisfy constraint: Member must satisfy \
                 enum value set: [AES_256, AES_128]",
            ),
            (
                "CreateAlias",
                json!({ "AliasName": "alias/a b", "TargetKeyId": key }),
                "Value 'alias/a b' at 'aliasName' failed to satisfy constraint: Member must \
                 satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
            ),
            (
                "TagResource",
                json!({ "KeyId": key, "Tags": [{ "TagKey": "", "TagValue": "v" }] }),
                "Value '' at 'tags.1.member.tagKey' failed to satisfy constraint: Member must have \
                 length greater than or equal to 1",
            ),
            (
                "UntagResource",
                json!({ "KeyId": key, "TagKeys": ["a", ""] }),
                "Value '[a, ]' at 'tagKeys' failed to satisfy constraint: Member must satisfy \
                 constraint: [Member must have length less than or equal to 128, Member must have \
                 length greater than or equal to 1]",
            ),
            (
                "DescribeKey",
                json!({ "KeyId": key, "GrantTokens": vec!["t"; 11] }),
                "Value '[t, t, t, t, t, t, t, t, t, t, t]' at 'grantTokens' failed to satisfy \
                 constraint: Member must have length less than or equal to 10",
            ),
        ] {
            assert_eq!(refused(operation, &input), format!("{one}{text}"));
        }
        let both = refused("CreateAlias", &json!({ "AliasName": "a b" }));
        let expected = "Validation 2 validation errors detected: Value 'a b' at 'aliasName' failed \
                        to satisfy constraint: Member must satisfy regular expression pattern: \
                        ^[a-zA-Z0-9:/_-]+$; Value null at 'targetKeyId' failed to satisfy \
                        constraint: Member must not be null";
        assert_eq!(both, expected);
        let many = json!({ "KeyId": key, "Tags": vec![json!({}); 1000] });
        assert!(refused("TagResource", &many).len() < 4096);
    }

    #[test]
    fn other_types_are_refused_without_the_value() {
        for (operation, input, text) in [
            (
                "ListKeys",
                json!([]),
                "START_ARRAY cannot be converted to Structure",
            ),
            (
                "DescribeKey",
                json!({ "KeyId": 1 }),
                "NUMBER_VALUE cannot be converted to String",
            ),
            (
                "ListKeys",
                json!({ "Limit": "1" }),
                "STRING_VALUE cannot be converted to Integer",
            ),
            (
                "ListKeys",
                json!({ "Limit": 1.5 }),
                "NUMBER_VALUE cannot be converted to Integer",
            ),
            (
                "Decrypt",
                json!({ "CiphertextBlob": "%%%" }),
                "The blob is not base64.",
            ),
            (
                "Decrypt",
                json!({ "DryRun": "true" }),
                "STRING_VALUE cannot be converted to Boolean",
            ),
            (
                "Decrypt",
                json!({ "EncryptionContext": { "a": 1 } }),
                "NUMBER_VALUE cannot be converted to String",
            ),
            (
                "Decrypt",
                json!({ "EncryptionContext": { "a": null } }),
                "NULL_VALUE cannot be converted to String",
            ),
            (
                "UntagResource",
                json!({ "KeyId": "k", "TagKeys": [null] }),
                "NULL_VALUE cannot be converted to String",
            ),
            (
                "ImportKeyMaterial",
                json!({ "KeyId": "k", "ImportToken": "AA==", "EncryptedKeyMaterial": "AA==", "ValidTo": -1 }),
                "NUMBER_VALUE cannot be converted to Timestamp",
            ),
        ] {
            assert_eq!(refused(operation, &input), format!("Serialization {text}"));
        }
    }

    #[test]
    fn what_nobody_knows_is_ignored_and_null_is_nothing() {
        assert!(is_taken(
            "ListKeys",
            &json!({ "New": { "a": [1] }, "Limit": null })
        ));
        let policy = "\u{9}\u{A}\u{D} \u{FF}";
        assert!(is_taken(
            "PutKeyPolicy",
            &json!({ "KeyId": "k", "Policy": policy })
        ));
        assert!(!is_taken(
            "PutKeyPolicy",
            &json!({ "KeyId": "k", "Policy": "\u{100}" })
        ));
    }
}
