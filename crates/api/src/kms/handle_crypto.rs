//! Encryption, data keys and random bytes.

use strongroom_kms::{
    DecryptInput, EncryptInput, GenerateDataKeyInput, GenerateDataKeyPairInput,
    GenerateDataKeyPairWithoutPlaintextInput, GenerateDataKeyWithoutPlaintextInput,
    GenerateRandomInput, KeyService, ReEncryptInput,
};
use strongroom_types::RequestContext;
use strongroom_types::kms::{DataKeyPairSpec, DataKeySpec, EncryptionAlgorithm};

use super::answers::{context, key, refuse_recipient, used_material};
use super::error::unsupported;
use crate::json::{Input, Outcome, Writer};

/// Encrypt.
pub(super) fn encrypt(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    let output = kms.encrypt(
        caller,
        EncryptInput {
            key_id: input.required_text("KeyId")?,
            plaintext: input.required_blob("Plaintext")?,
            encryption_context: context(input, "EncryptionContext")?,
            grant_tokens: input.texts("GrantTokens")?,
            encryption_algorithm: input
                .choice("EncryptionAlgorithm", EncryptionAlgorithm::parse)?,
            dry_run: input.is_set("DryRun")?,
        },
    )?;
    let mut out = Writer::new();
    out.blob("CiphertextBlob", &output.ciphertext_blob);
    key(&mut out, "KeyId", &output.key_id);
    out.text("EncryptionAlgorithm", output.encryption_algorithm.name());
    Ok(Some(out))
}

/// Decrypt.
pub(super) fn decrypt(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    refuse_recipient(input)?;
    let output = kms.decrypt(
        caller,
        DecryptInput {
            ciphertext_blob: input.blob("CiphertextBlob")?.map(|blob| blob.to_vec()),
            encryption_context: context(input, "EncryptionContext")?,
            grant_tokens: input.texts("GrantTokens")?,
            key_id: input.text("KeyId")?,
            encryption_algorithm: input
                .choice("EncryptionAlgorithm", EncryptionAlgorithm::parse)?,
            dry_run: input.is_set("DryRun")?,
            dry_run_modifiers: input.texts("DryRunModifiers")?,
        },
    )?;
    let mut out = Writer::new();
    key(&mut out, "KeyId", &output.key_id);
    out.blob("Plaintext", &output.plaintext);
    out.text("EncryptionAlgorithm", output.encryption_algorithm.name());
    used_material(&mut out, "KeyMaterialId", output.key_material_id);
    Ok(Some(out))
}

/// ReEncrypt.
pub(super) fn re_encrypt(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    let algorithm = |name| input.choice(name, EncryptionAlgorithm::parse);
    let output = kms.re_encrypt(
        caller,
        ReEncryptInput {
            ciphertext_blob: input.blob("CiphertextBlob")?.map(|blob| blob.to_vec()),
            source_encryption_context: context(input, "SourceEncryptionContext")?,
            source_key_id: input.text("SourceKeyId")?,
            destination_key_id: input.required_text("DestinationKeyId")?,
            destination_encryption_context: context(input, "DestinationEncryptionContext")?,
            source_encryption_algorithm: algorithm("SourceEncryptionAlgorithm")?,
            destination_encryption_algorithm: algorithm("DestinationEncryptionAlgorithm")?,
            grant_tokens: input.texts("GrantTokens")?,
            dry_run: input.is_set("DryRun")?,
            dry_run_modifiers: input.texts("DryRunModifiers")?,
        },
    )?;
    let mut out = Writer::new();
    out.blob("CiphertextBlob", &output.ciphertext_blob);
    key(&mut out, "SourceKeyId", &output.source_key_id);
    key(&mut out, "KeyId", &output.key_id);
    out.text(
        "SourceEncryptionAlgorithm",
        output.source_encryption_algorithm.name(),
    );
    out.text(
        "DestinationEncryptionAlgorithm",
        output.destination_encryption_algorithm.name(),
    );
    used_material(
        &mut out,
        "SourceKeyMaterialId",
        output.source_key_material_id,
    );
    used_material(
        &mut out,
        "DestinationKeyMaterialId",
        output.destination_key_material_id,
    );
    Ok(Some(out))
}

/// GenerateDataKey.
pub(super) fn generate_data_key(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    refuse_recipient(input)?;
    let output = kms.generate_data_key(
        caller,
        GenerateDataKeyInput {
            key_id: input.required_text("KeyId")?,
            encryption_context: context(input, "EncryptionContext")?,
            number_of_bytes: input.number("NumberOfBytes")?,
            key_spec: input.choice("KeySpec", DataKeySpec::parse)?,
            grant_tokens: input.texts("GrantTokens")?,
            dry_run: input.is_set("DryRun")?,
        },
    )?;
    let mut out = Writer::new();
    out.blob("CiphertextBlob", &output.ciphertext_blob);
    out.blob("Plaintext", &output.plaintext);
    key(&mut out, "KeyId", &output.key_id);
    used_material(&mut out, "KeyMaterialId", output.key_material_id);
    Ok(Some(out))
}

/// GenerateDataKeyWithoutPlaintext.
pub(super) fn generate_data_key_without_plaintext(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let output = kms.generate_data_key_without_plaintext(
        caller,
        GenerateDataKeyWithoutPlaintextInput {
            key_id: input.required_text("KeyId")?,
            encryption_context: context(input, "EncryptionContext")?,
            key_spec: input.choice("KeySpec", DataKeySpec::parse)?,
            number_of_bytes: input.number("NumberOfBytes")?,
            grant_tokens: input.texts("GrantTokens")?,
            dry_run: input.is_set("DryRun")?,
        },
    )?;
    let mut out = Writer::new();
    out.blob("CiphertextBlob", &output.ciphertext_blob);
    key(&mut out, "KeyId", &output.key_id);
    used_material(&mut out, "KeyMaterialId", output.key_material_id);
    Ok(Some(out))
}

/// GenerateDataKeyPair.
pub(super) fn generate_data_key_pair(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    refuse_recipient(input)?;
    let output = kms.generate_data_key_pair(
        caller,
        GenerateDataKeyPairInput {
            encryption_context: context(input, "EncryptionContext")?,
            key_id: input.required_text("KeyId")?,
            key_pair_spec: input.required_choice("KeyPairSpec", DataKeyPairSpec::parse)?,
            grant_tokens: input.texts("GrantTokens")?,
            dry_run: input.is_set("DryRun")?,
        },
    )?;
    let mut out = Writer::new();
    out.blob(
        "PrivateKeyCiphertextBlob",
        &output.private_key_ciphertext_blob,
    );
    out.blob("PrivateKeyPlaintext", &output.private_key_plaintext);
    out.blob("PublicKey", &output.public_key);
    key(&mut out, "KeyId", &output.key_id);
    out.text("KeyPairSpec", output.key_pair_spec.name());
    used_material(&mut out, "KeyMaterialId", output.key_material_id);
    Ok(Some(out))
}

/// GenerateDataKeyPairWithoutPlaintext.
pub(super) fn generate_data_key_pair_without_plaintext(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let output = kms.generate_data_key_pair_without_plaintext(
        caller,
        GenerateDataKeyPairWithoutPlaintextInput {
            encryption_context: context(input, "EncryptionContext")?,
            key_id: input.required_text("KeyId")?,
            key_pair_spec: input.required_choice("KeyPairSpec", DataKeyPairSpec::parse)?,
            grant_tokens: input.texts("GrantTokens")?,
            dry_run: input.is_set("DryRun")?,
        },
    )?;
    let mut out = Writer::new();
    out.blob(
        "PrivateKeyCiphertextBlob",
        &output.private_key_ciphertext_blob,
    );
    out.blob("PublicKey", &output.public_key);
    key(&mut out, "KeyId", &output.key_id);
    out.text("KeyPairSpec", output.key_pair_spec.name());
    used_material(&mut out, "KeyMaterialId", output.key_material_id);
    Ok(Some(out))
}

/// GenerateRandom.
pub(super) fn generate_random(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    refuse_recipient(input)?;
    if input.has("CustomKeyStoreId") {
        return Err(unsupported("This server has no custom key stores.").into());
    }
    let number_of_bytes = input.number("NumberOfBytes")?;
    let output = kms.generate_random(caller, GenerateRandomInput { number_of_bytes })?;
    let mut out = Writer::new();
    out.blob("Plaintext", &output.plaintext);
    Ok(Some(out))
}
