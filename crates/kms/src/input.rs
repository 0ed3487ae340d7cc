//! What each operation is given. Names, types and bounds of single fields were checked at the edge
//! (KMS API Reference); what depends on the key or on other fields is checked here. Some hold secrets,
//! so none of them can be printed.

use strongroom_types::Timestamp;
use strongroom_types::kms::{
    DataKeyPairSpec, DataKeySpec, EncryptionAlgorithm, EncryptionContext, ExpirationModel,
    GrantOperation, ImportType, KeyAgreementAlgorithm, KeyOrigin, KeySpec, KeyUsage, MacAlgorithm,
    MessageType, SigningAlgorithm, WrappingAlgorithm, WrappingKeySpec,
};
use zeroize::Zeroizing;

/// A tag of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tag {
    /// `TagKey`.
    pub key: String,
    /// `TagValue`.
    pub value: String,
}

/// When a grant applies.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct GrantConstraints {
    /// The context of the request must hold these pairs.
    pub encryption_context_subset: Option<EncryptionContext>,
    /// The context of the request must be these pairs.
    pub encryption_context_equals: Option<EncryptionContext>,
}

/// Input of `CancelKeyDeletion`.
pub struct CancelKeyDeletionInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
}

/// Input of `CreateAlias`.
pub struct CreateAliasInput {
    /// The alias, `alias/` included.
    pub alias_name: String,
    /// The key that it shall point to: id or ARN.
    pub target_key_id: String,
}

/// Input of `CreateGrant`.
pub struct CreateGrantInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// Who gets the permission: an ARN.
    pub grantee_principal: String,
    /// Who may retire the grant: an ARN.
    pub retiring_principal: Option<String>,
    /// What the grant allows.
    pub operations: Vec<GrantOperation>,
    /// When the grant applies.
    pub constraints: Option<GrantConstraints>,
    /// Tokens of grants that may not be in effect everywhere yet.
    pub grant_tokens: Vec<String>,
    /// A name; makes a repeated call give the same grant.
    pub name: Option<String>,
    /// Checks everything, does nothing.
    pub dry_run: bool,
}

/// Input of `CreateKey`; by default, nothing is chosen.
#[derive(Default)]
pub struct CreateKeyInput {
    /// The key policy, a JSON document.
    pub policy: Option<String>,
    /// What the key is for.
    pub description: Option<String>,
    /// What the key shall be used for.
    pub key_usage: Option<KeyUsage>,
    /// The kind of key material.
    pub key_spec: Option<KeySpec>,
    /// Where the material comes from.
    pub origin: Option<KeyOrigin>,
    /// Accepts a policy that locks the caller out.
    pub bypass_policy_lockout_safety_check: bool,
    /// Tags.
    pub tags: Vec<Tag>,
    /// Asks for a multi-Region primary key.
    pub multi_region: bool,
}

/// Input of `Decrypt`.
pub struct DecryptInput {
    /// The ciphertext.
    pub ciphertext_blob: Option<Vec<u8>>,
    /// What the ciphertext is bound to.
    pub encryption_context: EncryptionContext,
    /// Tokens of grants that may not be in effect everywhere yet.
    pub grant_tokens: Vec<String>,
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: Option<String>,
    /// How it is encrypted.
    pub encryption_algorithm: Option<EncryptionAlgorithm>,
    /// Checks everything, does nothing.
    pub dry_run: bool,
    /// `IGNORE_CIPHERTEXT`: a dry run without a ciphertext.
    pub dry_run_modifiers: Vec<String>,
}

/// Input of `DeleteAlias`.
pub struct DeleteAliasInput {
    /// The alias, `alias/` included.
    pub alias_name: String,
}

/// Input of `DeleteImportedKeyMaterial`.
pub struct DeleteImportedKeyMaterialInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// Which material of the key.
    pub key_material_id: Option<String>,
}

/// Input of `DeriveSharedSecret`.
pub struct DeriveSharedSecretInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// How the secret is derived.
    pub key_agreement_algorithm: KeyAgreementAlgorithm,
    /// The other side's public key, SPKI in DER.
    pub public_key: Vec<u8>,
    /// Tokens of grants that may not be in effect everywhere yet.
    pub grant_tokens: Vec<String>,
    /// Checks everything, does nothing.
    pub dry_run: bool,
}

/// Input of `DescribeKey`.
pub struct DescribeKeyInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// Tokens of grants that may not be in effect everywhere yet.
    pub grant_tokens: Vec<String>,
}

/// Input of `DisableKey`.
pub struct DisableKeyInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
}

/// Input of `DisableKeyRotation`.
pub struct DisableKeyRotationInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
}

/// Input of `EnableKey`.
pub struct EnableKeyInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
}

/// Input of `EnableKeyRotation`.
pub struct EnableKeyRotationInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// Days between automatic rotations.
    pub rotation_period_in_days: Option<u32>,
}

/// Input of `Encrypt`.
pub struct EncryptInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// The plaintext.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// What the ciphertext is bound to.
    pub encryption_context: EncryptionContext,
    /// Tokens of grants that may not be in effect everywhere yet.
    pub grant_tokens: Vec<String>,
    /// How it is encrypted.
    pub encryption_algorithm: Option<EncryptionAlgorithm>,
    /// Checks everything, does nothing.
    pub dry_run: bool,
}

/// Input of `GenerateDataKey`.
pub struct GenerateDataKeyInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// What the ciphertext is bound to.
    pub encryption_context: EncryptionContext,
    /// Length in bytes.
    pub number_of_bytes: Option<u32>,
    /// The kind of key material.
    pub key_spec: Option<DataKeySpec>,
    /// Tokens of grants that may not be in effect everywhere yet.
    pub grant_tokens: Vec<String>,
    /// Checks everything, does nothing.
    pub dry_run: bool,
}

/// Input of `GenerateDataKeyPair`.
pub struct GenerateDataKeyPairInput {
    /// What the ciphertext is bound to.
    pub encryption_context: EncryptionContext,
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// The kind of pair.
    pub key_pair_spec: DataKeyPairSpec,
    /// Tokens of grants that may not be in effect everywhere yet.
    pub grant_tokens: Vec<String>,
    /// Checks everything, does nothing.
    pub dry_run: bool,
}

/// Input of `GenerateDataKeyPairWithoutPlaintext`.
pub struct GenerateDataKeyPairWithoutPlaintextInput {
    /// What the ciphertext is bound to.
    pub encryption_context: EncryptionContext,
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// The kind of pair.
    pub key_pair_spec: DataKeyPairSpec,
    /// Tokens of grants that may not be in effect everywhere yet.
    pub grant_tokens: Vec<String>,
    /// Checks everything, does nothing.
    pub dry_run: bool,
}

/// Input of `GenerateDataKeyWithoutPlaintext`.
pub struct GenerateDataKeyWithoutPlaintextInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// What the ciphertext is bound to.
    pub encryption_context: EncryptionContext,
    /// The kind of key material.
    pub key_spec: Option<DataKeySpec>,
    /// Length in bytes.
    pub number_of_bytes: Option<u32>,
    /// Tokens of grants that may not be in effect everywhere yet.
    pub grant_tokens: Vec<String>,
    /// Checks everything, does nothing.
    pub dry_run: bool,
}

/// Input of `GenerateMac`.
pub struct GenerateMacInput {
    /// The message, or its digest.
    pub message: Vec<u8>,
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// The algorithm.
    pub mac_algorithm: MacAlgorithm,
    /// Tokens of grants that may not be in effect everywhere yet.
    pub grant_tokens: Vec<String>,
    /// Checks everything, does nothing.
    pub dry_run: bool,
}

/// Input of `GenerateRandom`.
pub struct GenerateRandomInput {
    /// Length in bytes.
    pub number_of_bytes: Option<u32>,
}

/// Input of `GetKeyLastUsage`.
pub struct GetKeyLastUsageInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
}

/// Input of `GetKeyPolicy`.
pub struct GetKeyPolicyInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// `default`.
    pub policy_name: Option<String>,
}

/// Input of `GetKeyRotationStatus`.
pub struct GetKeyRotationStatusInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
}

/// Input of `GetParametersForImport`.
pub struct GetParametersForImportInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// How the material will be wrapped.
    pub wrapping_algorithm: WrappingAlgorithm,
    /// The kind of wrapping key.
    pub wrapping_key_spec: WrappingKeySpec,
}

/// Input of `GetPublicKey`.
pub struct GetPublicKeyInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// Tokens of grants that may not be in effect everywhere yet.
    pub grant_tokens: Vec<String>,
}

/// Input of `ImportKeyMaterial`.
pub struct ImportKeyMaterialInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// What GetParametersForImport gave.
    pub import_token: Vec<u8>,
    /// The wrapped material.
    pub encrypted_key_material: Vec<u8>,
    /// When the material expires.
    pub valid_to: Option<Timestamp>,
    /// Whether the material expires.
    pub expiration_model: Option<ExpirationModel>,
    /// Whether this is new material.
    pub import_type: Option<ImportType>,
    /// What the material is.
    pub key_material_description: Option<String>,
    /// Which material of the key.
    pub key_material_id: Option<String>,
}

/// Input of `ListAliases`.
pub struct ListAliasesInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: Option<String>,
    /// Most entries of a page.
    pub limit: Option<u32>,
    /// Where the page begins: `NextMarker` of the page before.
    pub marker: Option<String>,
}

/// Input of `ListGrants`.
pub struct ListGrantsInput {
    /// Most entries of a page.
    pub limit: Option<u32>,
    /// Where the page begins: `NextMarker` of the page before.
    pub marker: Option<String>,
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// The grant.
    pub grant_id: Option<String>,
    /// Who gets the permission: an ARN.
    pub grantee_principal: Option<String>,
}

/// Input of `ListKeyPolicies`.
pub struct ListKeyPoliciesInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// Most entries of a page.
    pub limit: Option<u32>,
    /// Where the page begins: `NextMarker` of the page before.
    pub marker: Option<String>,
}

/// Input of `ListKeyRotations`.
pub struct ListKeyRotationsInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// `ALL_KEY_MATERIAL` or `ROTATIONS_ONLY`.
    pub include_key_material: Option<String>,
    /// Most entries of a page.
    pub limit: Option<u32>,
    /// Where the page begins: `NextMarker` of the page before.
    pub marker: Option<String>,
}

/// Input of `ListKeys`.
pub struct ListKeysInput {
    /// Most entries of a page.
    pub limit: Option<u32>,
    /// Where the page begins: `NextMarker` of the page before.
    pub marker: Option<String>,
}

/// Input of `ListResourceTags`.
pub struct ListResourceTagsInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// Most entries of a page.
    pub limit: Option<u32>,
    /// Where the page begins: `NextMarker` of the page before.
    pub marker: Option<String>,
}

/// Input of `ListRetirableGrants`.
pub struct ListRetirableGrantsInput {
    /// Most entries of a page.
    pub limit: Option<u32>,
    /// Where the page begins: `NextMarker` of the page before.
    pub marker: Option<String>,
    /// Who may retire the grant: an ARN.
    pub retiring_principal: String,
}

/// Input of `PutKeyPolicy`.
pub struct PutKeyPolicyInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// `default`.
    pub policy_name: Option<String>,
    /// The key policy, a JSON document.
    pub policy: String,
    /// Accepts a policy that locks the caller out.
    pub bypass_policy_lockout_safety_check: bool,
}

/// Input of `ReEncrypt`.
pub struct ReEncryptInput {
    /// The ciphertext.
    pub ciphertext_blob: Option<Vec<u8>>,
    /// What the old ciphertext is bound to.
    pub source_encryption_context: EncryptionContext,
    /// The key of the old ciphertext.
    pub source_key_id: Option<String>,
    /// The key of the new ciphertext.
    pub destination_key_id: String,
    /// What the new ciphertext is bound to.
    pub destination_encryption_context: EncryptionContext,
    /// How the old one is encrypted.
    pub source_encryption_algorithm: Option<EncryptionAlgorithm>,
    /// How the new one is encrypted.
    pub destination_encryption_algorithm: Option<EncryptionAlgorithm>,
    /// Tokens of grants that may not be in effect everywhere yet.
    pub grant_tokens: Vec<String>,
    /// Checks everything, does nothing.
    pub dry_run: bool,
    /// `IGNORE_CIPHERTEXT`: a dry run without a ciphertext.
    pub dry_run_modifiers: Vec<String>,
}

/// Input of `RetireGrant`.
pub struct RetireGrantInput {
    /// The grant's token.
    pub grant_token: Option<String>,
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: Option<String>,
    /// The grant.
    pub grant_id: Option<String>,
    /// Checks everything, does nothing.
    pub dry_run: bool,
}

/// Input of `RevokeGrant`.
pub struct RevokeGrantInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// The grant.
    pub grant_id: String,
    /// Checks everything, does nothing.
    pub dry_run: bool,
}

/// Input of `RotateKeyOnDemand`.
pub struct RotateKeyOnDemandInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
}

/// Input of `ScheduleKeyDeletion`.
pub struct ScheduleKeyDeletionInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// Days to wait, 7 to 30.
    pub pending_window_in_days: Option<u32>,
}

/// Input of `Sign`.
pub struct SignInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// The message, or its digest.
    pub message: Vec<u8>,
    /// What `message` is.
    pub message_type: Option<MessageType>,
    /// Tokens of grants that may not be in effect everywhere yet.
    pub grant_tokens: Vec<String>,
    /// The algorithm.
    pub signing_algorithm: SigningAlgorithm,
    /// Checks everything, does nothing.
    pub dry_run: bool,
}

/// Input of `TagResource`.
pub struct TagResourceInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// Tags.
    pub tags: Vec<Tag>,
}

/// Input of `UntagResource`.
pub struct UntagResourceInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// Keys of tags.
    pub tag_keys: Vec<String>,
}

/// Input of `UpdateAlias`.
pub struct UpdateAliasInput {
    /// The alias, `alias/` included.
    pub alias_name: String,
    /// The key that it shall point to: id or ARN.
    pub target_key_id: String,
}

/// Input of `UpdateKeyDescription`.
pub struct UpdateKeyDescriptionInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// What the key is for.
    pub description: String,
}

/// Input of `Verify`.
pub struct VerifyInput {
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// The message, or its digest.
    pub message: Vec<u8>,
    /// What `message` is.
    pub message_type: Option<MessageType>,
    /// The signature.
    pub signature: Vec<u8>,
    /// The algorithm.
    pub signing_algorithm: SigningAlgorithm,
    /// Tokens of grants that may not be in effect everywhere yet.
    pub grant_tokens: Vec<String>,
    /// Checks everything, does nothing.
    pub dry_run: bool,
}

/// Input of `VerifyMac`.
pub struct VerifyMacInput {
    /// The message, or its digest.
    pub message: Vec<u8>,
    /// The key: id, ARN, and where the operation allows it alias or alias ARN.
    pub key_id: String,
    /// The algorithm.
    pub mac_algorithm: MacAlgorithm,
    /// The code.
    pub mac: Vec<u8>,
    /// Tokens of grants that may not be in effect everywhere yet.
    pub grant_tokens: Vec<String>,
    /// Checks everything, does nothing.
    pub dry_run: bool,
}
