//! Aliases.

use strongroom_kms::{
    CreateAliasInput, DeleteAliasInput, KeyService, ListAliasesInput, UpdateAliasInput,
};
use strongroom_types::RequestContext;

use super::answers::page;
use crate::json::{Input, Outcome};

/// CreateAlias.
pub(super) fn create_alias(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    kms.create_alias(
        caller,
        CreateAliasInput {
            alias_name: input.required_text("AliasName")?,
            target_key_id: input.required_text("TargetKeyId")?,
        },
    )?;
    Ok(None)
}

/// UpdateAlias.
pub(super) fn update_alias(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    kms.update_alias(
        caller,
        UpdateAliasInput {
            alias_name: input.required_text("AliasName")?,
            target_key_id: input.required_text("TargetKeyId")?,
        },
    )?;
    Ok(None)
}

/// DeleteAlias.
pub(super) fn delete_alias(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    let alias_name = input.required_text("AliasName")?;
    kms.delete_alias(caller, DeleteAliasInput { alias_name })?;
    Ok(None)
}

/// ListAliases.
pub(super) fn list_aliases(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    let aliases = kms.list_aliases(
        caller,
        ListAliasesInput {
            key_id: input.text("KeyId")?,
            limit: input.number("Limit")?,
            marker: input.text("Marker")?,
        },
    )?;
    page("Aliases", aliases, |out, alias| {
        out.text("AliasName", alias.name.as_str());
        out.text("AliasArn", &alias.arn.to_string());
        let target = alias.target_key_id.map(|id| id.to_string());
        out.optional_text("TargetKeyId", target.as_deref());
        out.optional_time("CreationDate", alias.creation_date);
        out.optional_time("LastUpdatedDate", alias.last_updated_date);
    })
}
