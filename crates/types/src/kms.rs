//! The vocabulary of the key service. Source: AWS KMS API Reference (2014-11-01).

mod context;
mod identifiers;
mod spec;

pub use context::{CONTEXT_MAX_BYTES, ContextTooLarge, EncryptionContext};
pub use identifiers::{
    AliasArn, AliasName, KeyArn, KeyId, KeyIdentifier, KeyIdentifierError, KeyMaterialId,
};
pub use spec::{
    DataKeyPairSpec, DataKeySpec, EncryptionAlgorithm, ExpirationModel, GrantOperation, ImportType,
    KeyAgreementAlgorithm, KeyManager, KeyOrigin, KeySpec, KeyState, KeyUsage, MacAlgorithm,
    MessageType, RotationType, SigningAlgorithm, WrappingAlgorithm, WrappingKeySpec,
};
