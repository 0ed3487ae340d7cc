//! Keys: made, described, enabled, disabled, deleted.

use strongroom_kms::{
    CancelKeyDeletionInput, CreateKeyInput, DescribeKeyInput, DisableKeyInput, EnableKeyInput,
    GetKeyLastUsageInput, KeyService, KmsError, ListKeysInput, ScheduleKeyDeletionInput,
    UpdateKeyDescriptionInput,
};
use strongroom_types::RequestContext;
use strongroom_types::kms::{KeyOrigin, KeySpec, KeyUsage};

use super::answers::{key, key_id, key_metadata, page, tags};
use super::error::unsupported;
use crate::json::{Input, Outcome, Writer};

/// CreateKey.
pub(super) fn create_key(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    if input.has("CustomKeyStoreId") || input.has("XksKeyId") {
        return Err(unsupported("This server has no custom key stores.").into());
    }
    let old_name = input.choice("CustomerMasterKeySpec", KeySpec::parse)?;
    let key_spec = match (input.choice("KeySpec", KeySpec::parse)?, old_name) {
        (Some(_), Some(_)) => {
            let text = "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. \
                        CustomerMasterKeySpec is deprecated.";
            return Err(KmsError::Validation(text.to_owned()).into());
        }
        (spec, old_name) => spec.or(old_name),
    };
    let output = kms.create_key(
        caller,
        CreateKeyInput {
            policy: input.text("Policy")?,
            description: input.text("Description")?,
            key_usage: input.choice("KeyUsage", KeyUsage::parse)?,
            key_spec,
            origin: input.choice("Origin", KeyOrigin::parse)?,
            bypass_policy_lockout_safety_check: input.is_set("BypassPolicyLockoutSafetyCheck")?,
            tags: tags(input)?,
            multi_region: input.is_set("MultiRegion")?,
        },
    )?;
    key_metadata(&output.key_metadata)
}

/// DescribeKey.
pub(super) fn describe_key(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    let output = kms.describe_key(
        caller,
        DescribeKeyInput {
            key_id: input.required_text("KeyId")?,
            grant_tokens: input.texts("GrantTokens")?,
        },
    )?;
    key_metadata(&output.key_metadata)
}

/// ListKeys.
pub(super) fn list_keys(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    let keys = kms.list_keys(
        caller,
        ListKeysInput {
            limit: input.number("Limit")?,
            marker: input.text("Marker")?,
        },
    )?;
    page("Keys", keys, |out, arn| {
        out.text("KeyId", &arn.id.to_string());
        out.text("KeyArn", &arn.to_string());
    })
}

/// EnableKey.
pub(super) fn enable_key(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    let key_id = input.required_text("KeyId")?;
    kms.enable_key(caller, EnableKeyInput { key_id })?;
    Ok(None)
}

/// DisableKey.
pub(super) fn disable_key(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    let key_id = input.required_text("KeyId")?;
    kms.disable_key(caller, DisableKeyInput { key_id })?;
    Ok(None)
}

/// UpdateKeyDescription.
pub(super) fn update_key_description(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    kms.update_key_description(
        caller,
        UpdateKeyDescriptionInput {
            key_id: input.required_text("KeyId")?,
            description: input.required_text("Description")?,
        },
    )?;
    Ok(None)
}

/// ScheduleKeyDeletion.
pub(super) fn schedule_key_deletion(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let output = kms.schedule_key_deletion(
        caller,
        ScheduleKeyDeletionInput {
            key_id: input.required_text("KeyId")?,
            pending_window_in_days: input.number("PendingWindowInDays")?,
        },
    )?;
    let mut out = Writer::new();
    key(&mut out, "KeyId", &output.key_id);
    out.time("DeletionDate", output.deletion_date);
    out.text("KeyState", output.key_state.name());
    out.number("PendingWindowInDays", output.pending_window_in_days);
    Ok(Some(out))
}

/// CancelKeyDeletion.
pub(super) fn cancel_key_deletion(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let named = input.required_text("KeyId")?;
    let output = kms.cancel_key_deletion(caller, CancelKeyDeletionInput { key_id: named })?;
    key_id(&output.key_id)
}

/// GetKeyLastUsage.
pub(super) fn get_key_last_usage(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let named = input.required_text("KeyId")?;
    let output = kms.get_key_last_usage(caller, GetKeyLastUsageInput { key_id: named })?;
    let mut out = Writer::new();
    key(&mut out, "KeyId", &output.key_id);
    if let Some(usage) = &output.key_last_usage {
        out.object("KeyLastUsage", |out| {
            out.text("Operation", &usage.operation);
            out.time("Timestamp", usage.timestamp);
            let id = usage.request_id.map(|id| id.to_uuid());
            out.optional_text("KmsRequestId", id.as_deref());
        });
    }
    out.time("TrackingStartDate", output.tracking_start_date);
    out.time("KeyCreationDate", output.key_creation_date);
    Ok(Some(out))
}
