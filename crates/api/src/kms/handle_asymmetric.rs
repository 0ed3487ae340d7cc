//! Signatures, message authentication codes and key agreement.

use strongroom_kms::{
    DeriveSharedSecretInput, GenerateMacInput, GetPublicKeyInput, KeyService, SignInput,
    VerifyInput, VerifyMacInput,
};
use strongroom_types::RequestContext;
use strongroom_types::kms::{KeyAgreementAlgorithm, MacAlgorithm, MessageType, SigningAlgorithm};

use super::answers::{key, refuse_recipient};
use crate::json::{Input, Outcome, Writer};

/// Sign.
pub(super) fn sign(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    let output = kms.sign(
        caller,
        SignInput {
            key_id: input.required_text("KeyId")?,
            message: input.required_blob("Message")?.to_vec(),
            message_type: input.choice("MessageType", MessageType::parse)?,
            grant_tokens: input.texts("GrantTokens")?,
            signing_algorithm: input
                .required_choice("SigningAlgorithm", SigningAlgorithm::parse)?,
            dry_run: input.is_set("DryRun")?,
        },
    )?;
    let mut out = Writer::new();
    key(&mut out, "KeyId", &output.key_id);
    out.blob("Signature", &output.signature);
    out.text("SigningAlgorithm", output.signing_algorithm.name());
    Ok(Some(out))
}

/// Verify.
pub(super) fn verify(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    let output = kms.verify(
        caller,
        VerifyInput {
            key_id: input.required_text("KeyId")?,
            message: input.required_blob("Message")?.to_vec(),
            message_type: input.choice("MessageType", MessageType::parse)?,
            signature: input.required_blob("Signature")?.to_vec(),
            signing_algorithm: input
                .required_choice("SigningAlgorithm", SigningAlgorithm::parse)?,
            grant_tokens: input.texts("GrantTokens")?,
            dry_run: input.is_set("DryRun")?,
        },
    )?;
    let mut out = Writer::new();
    key(&mut out, "KeyId", &output.key_id);
    out.boolean("SignatureValid", output.signature_valid);
    out.text("SigningAlgorithm", output.signing_algorithm.name());
    Ok(Some(out))
}

/// GetPublicKey.
pub(super) fn get_public_key(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    let output = kms.get_public_key(
        caller,
        GetPublicKeyInput {
            key_id: input.required_text("KeyId")?,
            grant_tokens: input.texts("GrantTokens")?,
        },
    )?;
    let mut out = Writer::new();
    key(&mut out, "KeyId", &output.key_id);
    out.blob("PublicKey", &output.public_key);
    out.text("CustomerMasterKeySpec", output.key_spec.name());
    out.text("KeySpec", output.key_spec.name());
    out.text("KeyUsage", output.key_usage.name());
    // Only the list of the key's usage is there.
    if !output.encryption_algorithms.is_empty() {
        let names = output.encryption_algorithms.iter().map(|it| it.name());
        out.texts("EncryptionAlgorithms", names);
    }
    if !output.signing_algorithms.is_empty() {
        let names = output.signing_algorithms.iter().map(|it| it.name());
        out.texts("SigningAlgorithms", names);
    }
    if !output.key_agreement_algorithms.is_empty() {
        let names = output.key_agreement_algorithms.iter().map(|it| it.name());
        out.texts("KeyAgreementAlgorithms", names);
    }
    Ok(Some(out))
}

/// GenerateMac.
pub(super) fn generate_mac(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    let output = kms.generate_mac(
        caller,
        GenerateMacInput {
            message: input.required_blob("Message")?.to_vec(),
            key_id: input.required_text("KeyId")?,
            mac_algorithm: input.required_choice("MacAlgorithm", MacAlgorithm::parse)?,
            grant_tokens: input.texts("GrantTokens")?,
            dry_run: input.is_set("DryRun")?,
        },
    )?;
    let mut out = Writer::new();
    out.blob("Mac", &output.mac);
    out.text("MacAlgorithm", output.mac_algorithm.name());
    key(&mut out, "KeyId", &output.key_id);
    Ok(Some(out))
}

/// VerifyMac.
pub(super) fn verify_mac(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    let output = kms.verify_mac(
        caller,
        VerifyMacInput {
            message: input.required_blob("Message")?.to_vec(),
            key_id: input.required_text("KeyId")?,
            mac_algorithm: input.required_choice("MacAlgorithm", MacAlgorithm::parse)?,
            mac: input.required_blob("Mac")?.to_vec(),
            grant_tokens: input.texts("GrantTokens")?,
            dry_run: input.is_set("DryRun")?,
        },
    )?;
    let mut out = Writer::new();
    key(&mut out, "KeyId", &output.key_id);
    out.boolean("MacValid", output.mac_valid);
    out.text("MacAlgorithm", output.mac_algorithm.name());
    Ok(Some(out))
}

/// DeriveSharedSecret.
pub(super) fn derive_shared_secret(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    refuse_recipient(input)?;
    let output = kms.derive_shared_secret(
        caller,
        DeriveSharedSecretInput {
            key_id: input.required_text("KeyId")?,
            key_agreement_algorithm: input
                .required_choice("KeyAgreementAlgorithm", KeyAgreementAlgorithm::parse)?,
            public_key: input.required_blob("PublicKey")?.to_vec(),
            grant_tokens: input.texts("GrantTokens")?,
            dry_run: input.is_set("DryRun")?,
        },
    )?;
    let mut out = Writer::new();
    key(&mut out, "KeyId", &output.key_id);
    out.blob("SharedSecret", &output.shared_secret);
    out.text(
        "KeyAgreementAlgorithm",
        output.key_agreement_algorithm.name(),
    );
    out.text("KeyOrigin", output.key_origin.name());
    Ok(Some(out))
}
