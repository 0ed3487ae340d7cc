//! Key policies and tags.

use strongroom_kms::{
    GetKeyPolicyInput, KeyService, ListKeyPoliciesInput, ListResourceTagsInput, PutKeyPolicyInput,
    TagResourceInput, UntagResourceInput,
};
use strongroom_types::RequestContext;

use super::answers::{end_of_page, page, tags};
use crate::json::{Input, Outcome, Writer};

/// PutKeyPolicy.
pub(super) fn put_key_policy(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    kms.put_key_policy(
        caller,
        PutKeyPolicyInput {
            key_id: input.required_text("KeyId")?,
            policy_name: input.text("PolicyName")?,
            policy: input.required_text("Policy")?,
            bypass_policy_lockout_safety_check: input.is_set("BypassPolicyLockoutSafetyCheck")?,
        },
    )?;
    Ok(None)
}

/// GetKeyPolicy.
pub(super) fn get_key_policy(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    let output = kms.get_key_policy(
        caller,
        GetKeyPolicyInput {
            key_id: input.required_text("KeyId")?,
            policy_name: input.text("PolicyName")?,
        },
    )?;
    let mut out = Writer::new();
    out.text("Policy", &output.policy);
    out.text("PolicyName", &output.policy_name);
    Ok(Some(out))
}

/// ListKeyPolicies.
pub(super) fn list_key_policies(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let names = kms.list_key_policies(
        caller,
        ListKeyPoliciesInput {
            key_id: input.required_text("KeyId")?,
            limit: input.number("Limit")?,
            marker: input.text("Marker")?,
        },
    )?;
    let mut out = Writer::new();
    out.texts("PolicyNames", &names.entries);
    end_of_page(&mut out, names.next_marker.as_deref());
    Ok(Some(out))
}

/// TagResource.
pub(super) fn tag_resource(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    kms.tag_resource(
        caller,
        TagResourceInput {
            key_id: input.required_text("KeyId")?,
            tags: tags(input)?,
        },
    )?;
    Ok(None)
}

/// UntagResource.
pub(super) fn untag_resource(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    kms.untag_resource(
        caller,
        UntagResourceInput {
            key_id: input.required_text("KeyId")?,
            tag_keys: input.texts("TagKeys")?,
        },
    )?;
    Ok(None)
}

/// ListResourceTags.
pub(super) fn list_resource_tags(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let tags = kms.list_resource_tags(
        caller,
        ListResourceTagsInput {
            key_id: input.required_text("KeyId")?,
            limit: input.number("Limit")?,
            marker: input.text("Marker")?,
        },
    )?;
    page("Tags", tags, |out, tag| {
        out.text("TagKey", &tag.key);
        out.text("TagValue", &tag.value);
    })
}
