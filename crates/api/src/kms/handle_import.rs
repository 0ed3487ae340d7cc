//! Imported key material.

use strongroom_kms::{
    DeleteImportedKeyMaterialInput, GetParametersForImportInput, ImportKeyMaterialInput, KeyService,
};
use strongroom_types::RequestContext;
use strongroom_types::kms::{ExpirationModel, ImportType, WrappingAlgorithm, WrappingKeySpec};

use super::answers::{key, material};
use crate::json::{Input, Outcome, Writer};

/// GetParametersForImport.
pub(super) fn get_parameters_for_import(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let output = kms.get_parameters_for_import(
        caller,
        GetParametersForImportInput {
            key_id: input.required_text("KeyId")?,
            wrapping_algorithm: input
                .required_choice("WrappingAlgorithm", WrappingAlgorithm::parse)?,
            wrapping_key_spec: input.required_choice("WrappingKeySpec", WrappingKeySpec::parse)?,
        },
    )?;
    let mut out = Writer::new();
    key(&mut out, "KeyId", &output.key_id);
    out.blob("ImportToken", &output.import_token);
    out.blob("PublicKey", &output.public_key);
    out.time("ParametersValidTo", output.parameters_valid_to);
    Ok(Some(out))
}

/// ImportKeyMaterial.
pub(super) fn import_key_material(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let output = kms.import_key_material(
        caller,
        ImportKeyMaterialInput {
            key_id: input.required_text("KeyId")?,
            import_token: input.required_blob("ImportToken")?.to_vec(),
            encrypted_key_material: input.required_blob("EncryptedKeyMaterial")?.to_vec(),
            valid_to: input.time("ValidTo")?,
            expiration_model: input.choice("ExpirationModel", ExpirationModel::parse)?,
            import_type: input.choice("ImportType", ImportType::parse)?,
            key_material_description: input.text("KeyMaterialDescription")?,
            key_material_id: input.text("KeyMaterialId")?,
        },
    )?;
    let mut out = Writer::new();
    key(&mut out, "KeyId", &output.key_id);
    material(&mut out, "KeyMaterialId", output.key_material_id);
    Ok(Some(out))
}

/// DeleteImportedKeyMaterial.
pub(super) fn delete_imported_key_material(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let output = kms.delete_imported_key_material(
        caller,
        DeleteImportedKeyMaterialInput {
            key_id: input.required_text("KeyId")?,
            key_material_id: input.text("KeyMaterialId")?,
        },
    )?;
    let mut out = Writer::new();
    key(&mut out, "KeyId", &output.key_id);
    material(&mut out, "KeyMaterialId", output.key_material_id);
    Ok(Some(out))
}
