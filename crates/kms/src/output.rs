//! What each operation answers. Several hold secrets, so none of them can be printed.

use strongroom_types::kms::{
    AliasArn, AliasName, DataKeyPairSpec, EncryptionAlgorithm, ExpirationModel, GrantOperation,
    KeyAgreementAlgorithm, KeyArn, KeyId, KeyManager, KeyMaterialId, KeyOrigin, KeySpec, KeyState,
    KeyUsage, MacAlgorithm, RotationType, SigningAlgorithm,
};
use strongroom_types::{AccountId, RequestId, Timestamp};
use zeroize::Zeroizing;

use crate::GrantConstraints;

/// One page of a listing.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// `NextMarker`: there if, and only if, there is more (`Truncated`).
    pub next_marker: Option<String>,
}

/// A key, without its material (KMS API Reference, KeyMetadata).
#[derive(Clone, Debug)]
pub struct KeyMetadata {
    /// The ARN; its parts are `AWSAccountId` and `KeyId`.
    pub arn: KeyArn,
    /// When it was made.
    pub creation_date: Timestamp,
    /// What it is for.
    pub description: String,
    /// What it may be used for.
    pub key_usage: KeyUsage,
    /// Its state; `Enabled` is whether it is `Enabled`.
    pub key_state: KeyState,
    /// When it will be deleted, while that is pending.
    pub deletion_date: Option<Timestamp>,
    /// `PendingDeletionWindowInDays` is for multi-Region keys only, and not here.
    pub origin: KeyOrigin,
    /// Who manages it.
    pub key_manager: KeyManager,
    /// The kind of material; also `CustomerMasterKeySpec`.
    pub key_spec: KeySpec,
    /// Of imported material: whether it expires.
    pub expiration_model: Option<ExpirationModel>,
    /// Of imported material: the earliest expiry.
    pub valid_to: Option<Timestamp>,
    /// The material that encrypts now; none while an import is pending.
    pub current_key_material_id: Option<KeyMaterialId>,
}

/// An alias.
#[derive(Clone, Debug)]
pub struct AliasEntry {
    /// Its name.
    pub name: AliasName,
    /// Its ARN.
    pub arn: AliasArn,
    /// The key; none for an AWS managed alias whose key was not used yet.
    pub target_key_id: Option<KeyId>,
    /// When it was made.
    pub creation_date: Option<Timestamp>,
    /// When it last changed.
    pub last_updated_date: Option<Timestamp>,
}

/// A grant.
#[derive(Clone, Debug)]
pub struct GrantEntry {
    /// ARN of the key.
    pub key: KeyArn,
    /// 64 hexadecimal digits.
    pub grant_id: String,
    /// The name, or empty.
    pub name: String,
    /// When it was made.
    pub creation_date: Timestamp,
    /// Who may do it.
    pub grantee_principal: String,
    /// Who may retire it.
    pub retiring_principal: Option<String>,
    /// Under which account it was issued: its root user's ARN.
    pub issuing_account: AccountId,
    /// What it allows.
    pub operations: Vec<GrantOperation>,
    /// When it applies.
    pub constraints: Option<GrantConstraints>,
}

/// The state of one material.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyMaterialState {
    /// Encrypts now.
    Current,
    /// Decrypts only.
    NonCurrent,
    /// Imported; the next rotation on demand takes it into use.
    PendingRotation,
}

impl KeyMaterialState {
    /// The name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "CURRENT",
            Self::NonCurrent => "NON_CURRENT",
            Self::PendingRotation => "PENDING_ROTATION",
        }
    }
}

/// One material of a key, or one rotation.
#[derive(Clone, Debug)]
pub struct RotationEntry {
    /// The key.
    pub key: KeyArn,
    /// The material.
    pub key_material_id: KeyMaterialId,
    /// Of an imported one, what it is.
    pub key_material_description: Option<String>,
    /// Of imported material: whether it is there (`IMPORTED`) or must come again (`PENDING_IMPORT`).
    pub is_imported: Option<bool>,
    /// Its state.
    pub key_material_state: KeyMaterialState,
    /// Of imported material: whether it expires.
    pub expiration_model: Option<ExpirationModel>,
    /// Of imported material: when.
    pub valid_to: Option<Timestamp>,
    /// When it came into use; none for the first.
    pub rotation_date: Option<Timestamp>,
    /// Why; none for the first.
    pub rotation_type: Option<RotationType>,
}

/// A key's last cryptographic use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLastUsage {
    /// The operation.
    pub operation: String,
    /// When.
    pub timestamp: Timestamp,
    /// The request, by which the trail finds it.
    pub request_id: Option<RequestId>,
}

/// Output of `CancelKeyDeletion`.
pub struct CancelKeyDeletionOutput {
    /// ARN of the key.
    pub key_id: KeyArn,
}

/// Output of `CreateGrant`.
pub struct CreateGrantOutput {
    /// A token for the grant.
    pub grant_token: String,
    /// The grant.
    pub grant_id: String,
}

/// Output of `CreateKey`.
pub struct CreateKeyOutput {
    /// The key.
    pub key_metadata: KeyMetadata,
}

/// Output of `Decrypt`.
pub struct DecryptOutput {
    /// ARN of the key.
    pub key_id: KeyArn,
    /// The plaintext.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// How it is encrypted.
    pub encryption_algorithm: EncryptionAlgorithm,
    /// Which material of the key.
    pub key_material_id: Option<KeyMaterialId>,
}

/// Output of `DeleteImportedKeyMaterial`.
pub struct DeleteImportedKeyMaterialOutput {
    /// ARN of the key.
    pub key_id: KeyArn,
    /// Which material of the key.
    pub key_material_id: Option<KeyMaterialId>,
}

/// Output of `DeriveSharedSecret`.
pub struct DeriveSharedSecretOutput {
    /// ARN of the key.
    pub key_id: KeyArn,
    /// The raw secret.
    pub shared_secret: Zeroizing<Vec<u8>>,
    /// How the secret is derived.
    pub key_agreement_algorithm: KeyAgreementAlgorithm,
    /// Where the material comes from.
    pub key_origin: KeyOrigin,
}

/// Output of `DescribeKey`.
pub struct DescribeKeyOutput {
    /// The key.
    pub key_metadata: KeyMetadata,
}

/// Output of `Encrypt`.
pub struct EncryptOutput {
    /// The ciphertext.
    pub ciphertext_blob: Vec<u8>,
    /// ARN of the key.
    pub key_id: KeyArn,
    /// How it is encrypted.
    pub encryption_algorithm: EncryptionAlgorithm,
}

/// Output of `GenerateDataKey`.
pub struct GenerateDataKeyOutput {
    /// The ciphertext.
    pub ciphertext_blob: Vec<u8>,
    /// The plaintext.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// ARN of the key.
    pub key_id: KeyArn,
    /// Which material of the key.
    pub key_material_id: Option<KeyMaterialId>,
}

/// Output of `GenerateDataKeyPair`.
pub struct GenerateDataKeyPairOutput {
    /// The private key, encrypted.
    pub private_key_ciphertext_blob: Vec<u8>,
    /// The private key, PKCS#8 in DER.
    pub private_key_plaintext: Zeroizing<Vec<u8>>,
    /// The public key, SPKI in DER.
    pub public_key: Vec<u8>,
    /// ARN of the key.
    pub key_id: KeyArn,
    /// The kind of pair.
    pub key_pair_spec: DataKeyPairSpec,
    /// Which material of the key.
    pub key_material_id: Option<KeyMaterialId>,
}

/// Output of `GenerateDataKeyPairWithoutPlaintext`.
pub struct GenerateDataKeyPairWithoutPlaintextOutput {
    /// The private key, encrypted.
    pub private_key_ciphertext_blob: Vec<u8>,
    /// The public key, SPKI in DER.
    pub public_key: Vec<u8>,
    /// ARN of the key.
    pub key_id: KeyArn,
    /// The kind of pair.
    pub key_pair_spec: DataKeyPairSpec,
    /// Which material of the key.
    pub key_material_id: Option<KeyMaterialId>,
}

/// Output of `GenerateDataKeyWithoutPlaintext`.
pub struct GenerateDataKeyWithoutPlaintextOutput {
    /// The ciphertext.
    pub ciphertext_blob: Vec<u8>,
    /// ARN of the key.
    pub key_id: KeyArn,
    /// Which material of the key.
    pub key_material_id: Option<KeyMaterialId>,
}

/// Output of `GenerateMac`.
pub struct GenerateMacOutput {
    /// The code.
    pub mac: Vec<u8>,
    /// The algorithm.
    pub mac_algorithm: MacAlgorithm,
    /// ARN of the key.
    pub key_id: KeyArn,
}

/// Output of `GenerateRandom`.
pub struct GenerateRandomOutput {
    /// The plaintext.
    pub plaintext: Zeroizing<Vec<u8>>,
}

/// Output of `GetKeyLastUsage`.
pub struct GetKeyLastUsageOutput {
    /// ARN of the key.
    pub key_id: KeyArn,
    /// The last use, if there was one.
    pub key_last_usage: Option<KeyLastUsage>,
    /// Since when uses are counted.
    pub tracking_start_date: Timestamp,
    /// When the key was made.
    pub key_creation_date: Timestamp,
}

/// Output of `GetKeyPolicy`.
pub struct GetKeyPolicyOutput {
    /// The policy as it was stored.
    pub policy: String,
    /// `default`.
    pub policy_name: String,
}

/// Output of `GetKeyRotationStatus`.
pub struct GetKeyRotationStatusOutput {
    /// Whether the key rotates by itself.
    pub key_rotation_enabled: bool,
    /// ARN of the key.
    pub key_id: KeyArn,
    /// Days between automatic rotations, if it does.
    pub rotation_period_in_days: Option<u32>,
    /// When it rotates next.
    pub next_rotation_date: Option<Timestamp>,
    /// Since when a rotation on demand is running.
    pub on_demand_rotation_start_date: Option<Timestamp>,
}

/// Output of `GetParametersForImport`.
pub struct GetParametersForImportOutput {
    /// ARN of the key.
    pub key_id: KeyArn,
    /// What GetParametersForImport gave.
    pub import_token: Vec<u8>,
    /// The public key, SPKI in DER.
    pub public_key: Vec<u8>,
    /// Until when the token can be used.
    pub parameters_valid_to: Timestamp,
}

/// Output of `GetPublicKey`.
pub struct GetPublicKeyOutput {
    /// ARN of the key.
    pub key_id: KeyArn,
    /// The public key, SPKI in DER.
    pub public_key: Vec<u8>,
    /// The kind of key material.
    pub key_spec: KeySpec,
    /// What the key shall be used for.
    pub key_usage: KeyUsage,
    /// What the key encrypts with.
    pub encryption_algorithms: Vec<EncryptionAlgorithm>,
    /// What the key signs with.
    pub signing_algorithms: Vec<SigningAlgorithm>,
    /// What the key agrees with.
    pub key_agreement_algorithms: Vec<KeyAgreementAlgorithm>,
}

/// Output of `ImportKeyMaterial`.
pub struct ImportKeyMaterialOutput {
    /// ARN of the key.
    pub key_id: KeyArn,
    /// Which material of the key.
    pub key_material_id: Option<KeyMaterialId>,
}

/// Output of `ReEncrypt`.
pub struct ReEncryptOutput {
    /// The ciphertext.
    pub ciphertext_blob: Vec<u8>,
    /// ARN of the key of the old ciphertext.
    pub source_key_id: KeyArn,
    /// ARN of the key.
    pub key_id: KeyArn,
    /// How the old one is encrypted.
    pub source_encryption_algorithm: EncryptionAlgorithm,
    /// How the new one is encrypted.
    pub destination_encryption_algorithm: EncryptionAlgorithm,
    /// Which material opened the old ciphertext.
    pub source_key_material_id: Option<KeyMaterialId>,
    /// Which material sealed the new one.
    pub destination_key_material_id: Option<KeyMaterialId>,
}

/// Output of `RotateKeyOnDemand`.
pub struct RotateKeyOnDemandOutput {
    /// ARN of the key.
    pub key_id: KeyArn,
}

/// Output of `ScheduleKeyDeletion`.
pub struct ScheduleKeyDeletionOutput {
    /// ARN of the key.
    pub key_id: KeyArn,
    /// When the key will be deleted.
    pub deletion_date: Timestamp,
    /// The key's state.
    pub key_state: KeyState,
    /// Days until then.
    pub pending_window_in_days: u32,
}

/// Output of `Sign`.
pub struct SignOutput {
    /// ARN of the key.
    pub key_id: KeyArn,
    /// The signature.
    pub signature: Vec<u8>,
    /// The algorithm.
    pub signing_algorithm: SigningAlgorithm,
}

/// Output of `Verify`.
pub struct VerifyOutput {
    /// ARN of the key.
    pub key_id: KeyArn,
    /// True; a wrong signature is an error.
    pub signature_valid: bool,
    /// The algorithm.
    pub signing_algorithm: SigningAlgorithm,
}

/// Output of `VerifyMac`.
pub struct VerifyMacOutput {
    /// ARN of the key.
    pub key_id: KeyArn,
    /// True; a wrong code is an error.
    pub mac_valid: bool,
    /// The algorithm.
    pub mac_algorithm: MacAlgorithm,
}
