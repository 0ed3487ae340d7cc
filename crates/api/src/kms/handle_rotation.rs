//! Rotation.

use strongroom_kms::{
    DisableKeyRotationInput, EnableKeyRotationInput, GetKeyRotationStatusInput, KeyService,
    ListKeyRotationsInput, RotateKeyOnDemandInput,
};
use strongroom_types::RequestContext;
use strongroom_types::kms::{ExpirationModel, RotationType};

use super::answers::{key, key_id, page};
use crate::json::{Input, Outcome, Writer};

/// EnableKeyRotation.
pub(super) fn enable_key_rotation(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    kms.enable_key_rotation(
        caller,
        EnableKeyRotationInput {
            key_id: input.required_text("KeyId")?,
            rotation_period_in_days: input.number("RotationPeriodInDays")?,
        },
    )?;
    Ok(None)
}

/// DisableKeyRotation.
pub(super) fn disable_key_rotation(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let named = input.required_text("KeyId")?;
    kms.disable_key_rotation(caller, DisableKeyRotationInput { key_id: named })?;
    Ok(None)
}

/// GetKeyRotationStatus.
pub(super) fn get_key_rotation_status(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let named = input.required_text("KeyId")?;
    let output =
        kms.get_key_rotation_status(caller, GetKeyRotationStatusInput { key_id: named })?;
    let mut out = Writer::new();
    out.boolean("KeyRotationEnabled", output.key_rotation_enabled);
    key(&mut out, "KeyId", &output.key_id);
    if let Some(days) = output.rotation_period_in_days {
        out.number("RotationPeriodInDays", days);
    }
    out.optional_time("NextRotationDate", output.next_rotation_date);
    out.optional_time(
        "OnDemandRotationStartDate",
        output.on_demand_rotation_start_date,
    );
    Ok(Some(out))
}

/// RotateKeyOnDemand.
pub(super) fn rotate_key_on_demand(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let named = input.required_text("KeyId")?;
    let output = kms.rotate_key_on_demand(caller, RotateKeyOnDemandInput { key_id: named })?;
    key_id(&output.key_id)
}

/// ListKeyRotations.
pub(super) fn list_key_rotations(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let rotations = kms.list_key_rotations(
        caller,
        ListKeyRotationsInput {
            key_id: input.required_text("KeyId")?,
            include_key_material: input.text("IncludeKeyMaterial")?,
            limit: input.number("Limit")?,
            marker: input.text("Marker")?,
        },
    )?;
    page("Rotations", rotations, |out, rotation| {
        out.text("KeyId", &rotation.key.to_string());
        out.text("KeyMaterialId", &rotation.key_material_id.to_string());
        let description = rotation.key_material_description.as_deref();
        out.optional_text("KeyMaterialDescription", description);
        let import_state = |is_imported| {
            if is_imported {
                "IMPORTED"
            } else {
                "PENDING_IMPORT"
            }
        };
        out.optional_text("ImportState", rotation.is_imported.map(import_state));
        out.text("KeyMaterialState", rotation.key_material_state.name());
        let model = rotation.expiration_model.map(ExpirationModel::name);
        out.optional_text("ExpirationModel", model);
        out.optional_time("ValidTo", rotation.valid_to);
        out.optional_time("RotationDate", rotation.rotation_date);
        out.optional_text(
            "RotationType",
            rotation.rotation_type.map(RotationType::name),
        );
    })
}
