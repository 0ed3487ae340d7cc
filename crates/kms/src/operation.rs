//! The operations that are done to a key, and what each asks of it before anything else.

use strongroom_types::kms::{KeySpec, KeyUsage};

use crate::KmsError;
use crate::key::Key;

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// An operation on a key. Its IAM action is `kms:` and its name; ReEncrypt is two.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub(crate) enum Operation {
            $($(#[$doc])* $name,)*
        }

        impl Operation {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// The name, as grants and policies have it.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The IAM action.
            pub(crate) const fn action(self) -> &'static str {
                match self { $(Self::$name => concat!("kms:", stringify!($name)),)* }
            }
        }
    };
}

operations! {
    CancelKeyDeletion,
    CreateAlias,
    CreateGrant,
    Decrypt,
    DeleteAlias,
    DeleteImportedKeyMaterial,
    DeriveSharedSecret,
    DescribeKey,
    DisableKey,
    DisableKeyRotation,
    EnableKey,
    EnableKeyRotation,
    Encrypt,
    GenerateDataKey,
    GenerateDataKeyPair,
    GenerateDataKeyPairWithoutPlaintext,
    GenerateDataKeyWithoutPlaintext,
    GenerateMac,
    GetKeyLastUsage,
    GetKeyPolicy,
    GetKeyRotationStatus,
    GetParametersForImport,
    GetPublicKey,
    ImportKeyMaterial,
    ListAliases,
    ListGrants,
    ListKeyPolicies,
    ListKeyRotations,
    ListResourceTags,
    PutKeyPolicy,
    /// The half of ReEncrypt that decrypts.
    ReEncryptFrom,
    /// The half of ReEncrypt that encrypts.
    ReEncryptTo,
    RetireGrant,
    RevokeGrant,
    RotateKeyOnDemand,
    ScheduleKeyDeletion,
    Sign,
    TagResource,
    UntagResource,
    /// Of the key that the alias shall point to.
    UpdateAlias,
    UpdateKeyDescription,
    Verify,
    VerifyMac,
}

impl Operation {
    /// The operation of an IAM action, in any case.
    pub(crate) fn of_action(action: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|operation| operation.action().eq_ignore_ascii_case(action))
    }

    /// The operation as it is called: in texts, records and figures.
    pub(crate) const fn called(self) -> &'static str {
        if matches!(self, Self::ReEncryptFrom | Self::ReEncryptTo) {
            "ReEncrypt"
        } else {
            self.name()
        }
    }

    /// Whether it takes something away and creates nothing: such operations work on a disk that is
    /// full ([`strongroom_ports::Transaction::taking_away`]). Cancelling a deletion is one of them:
    /// a key must not be lost because it could not be saved.
    pub(crate) const fn takes_away(self) -> bool {
        matches!(
            self,
            Self::CancelKeyDeletion
                | Self::DeleteAlias
                | Self::DeleteImportedKeyMaterial
                | Self::DisableKey
                | Self::DisableKeyRotation
                | Self::PutKeyPolicy
                | Self::RetireGrant
                | Self::RevokeGrant
                | Self::ScheduleKeyDeletion
                | Self::UntagResource
        )
    }

    /// Whether it may name a key of another account (API Reference, "Cross-account use").
    pub(crate) const fn crosses_accounts(self) -> bool {
        matches!(
            self,
            Self::CreateGrant
                | Self::DescribeKey
                | Self::GetKeyRotationStatus
                | Self::GetPublicKey
                | Self::ListGrants
                | Self::RetireGrant
                | Self::RevokeGrant
        ) || self.required_usage().is_some()
    }

    /// Whether `KeyId` may be an alias (spec 1.1): where the key is used, not managed.
    pub(crate) const fn takes_aliases(self) -> bool {
        self.required_usage().is_some() || matches!(self, Self::DescribeKey | Self::GetPublicKey)
    }

    /// The usage that a key must have, for operations that use it.
    pub(crate) const fn required_usage(self) -> Option<KeyUsage> {
        match self {
            Self::Decrypt
            | Self::Encrypt
            | Self::GenerateDataKey
            | Self::GenerateDataKeyPair
            | Self::GenerateDataKeyPairWithoutPlaintext
            | Self::GenerateDataKeyWithoutPlaintext
            | Self::ReEncryptFrom
            | Self::ReEncryptTo => Some(KeyUsage::EncryptDecrypt),
            Self::Sign | Self::Verify => Some(KeyUsage::SignVerify),
            Self::GenerateMac | Self::VerifyMac => Some(KeyUsage::GenerateVerifyMac),
            Self::DeriveSharedSecret => Some(KeyUsage::KeyAgreement),
            Self::CancelKeyDeletion
            | Self::CreateAlias
            | Self::CreateGrant
            | Self::DeleteAlias
            | Self::DeleteImportedKeyMaterial
            | Self::DescribeKey
            | Self::DisableKey
            | Self::DisableKeyRotation
            | Self::EnableKey
            | Self::EnableKeyRotation
            | Self::GetKeyLastUsage
            | Self::GetKeyPolicy
            | Self::GetKeyRotationStatus
            | Self::GetParametersForImport
            | Self::GetPublicKey
            | Self::ImportKeyMaterial
            | Self::ListAliases
            | Self::ListGrants
            | Self::ListKeyPolicies
            | Self::ListKeyRotations
            | Self::ListResourceTags
            | Self::PutKeyPolicy
            | Self::RetireGrant
            | Self::RevokeGrant
            | Self::RotateKeyOnDemand
            | Self::ScheduleKeyDeletion
            | Self::TagResource
            | Self::UntagResource
            | Self::UpdateAlias
            | Self::UpdateKeyDescription => None,
        }
    }

    /// Whether the key can do this at all, in whatever state it is.
    ///
    /// # Errors
    ///
    /// [`KmsError::InvalidKeyUsage`], [`KmsError::UnsupportedOperation`].
    pub(crate) fn fits(self, key: &Key) -> Result<(), KmsError> {
        if let Some(required) = self.required_usage()
            && key.usage != required
        {
            return Err(KmsError::InvalidKeyUsage(format!(
                "{} key usage is {} which is not valid for {}.",
                key.arn,
                key.usage.name(),
                self.called()
            )));
        }
        let symmetric = key.spec == KeySpec::SymmetricDefault;
        let makes_data_keys = matches!(
            self,
            Self::GenerateDataKey
                | Self::GenerateDataKeyPair
                | Self::GenerateDataKeyPairWithoutPlaintext
                | Self::GenerateDataKeyWithoutPlaintext
        );
        if makes_data_keys && !symmetric {
            return Err(KmsError::InvalidKeyUsage(format!(
                "{} key spec is {} which is not valid for {}.",
                key.arn,
                key.spec.name(),
                self.called()
            )));
        }
        if self == Self::GetPublicKey && !key.spec.is_asymmetric() {
            return Err(KmsError::UnsupportedOperation(Some(format!(
                "{} is not an asymmetric key.",
                key.arn
            ))));
        }
        let rotates = matches!(
            self,
            Self::DisableKeyRotation
                | Self::EnableKeyRotation
                | Self::GetKeyRotationStatus
                | Self::ListKeyRotations
                | Self::RotateKeyOnDemand
        );
        if rotates && !symmetric {
            // AWS gives no text here.
            return Err(KmsError::UnsupportedOperation(None));
        }
        Ok(())
    }
}
