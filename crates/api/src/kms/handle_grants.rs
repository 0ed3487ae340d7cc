//! Grants.

use strongroom_kms::{
    CreateGrantInput, GrantEntry, KeyService, ListGrantsInput, ListRetirableGrantsInput,
    RetireGrantInput, RevokeGrantInput,
};
use strongroom_types::RequestContext;
use strongroom_types::kms::GrantOperation;

use super::answers::{constraints, page};
use crate::json::{Input, Outcome, ProtocolError, Writer};

/// CreateGrant.
pub(super) fn create_grant(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    let operations = input.texts("Operations")?;
    let parsed = |name: &String| GrantOperation::parse(name).ok_or(ProtocolError::Internal);
    let output = kms.create_grant(
        caller,
        CreateGrantInput {
            key_id: input.required_text("KeyId")?,
            grantee_principal: input.required_text("GranteePrincipal")?,
            retiring_principal: input.text("RetiringPrincipal")?,
            operations: operations.iter().map(parsed).collect::<Result<_, _>>()?,
            constraints: constraints(input)?,
            grant_tokens: input.texts("GrantTokens")?,
            name: input.text("Name")?,
            dry_run: input.is_set("DryRun")?,
        },
    )?;
    let mut out = Writer::new();
    out.text("GrantToken", &output.grant_token);
    out.text("GrantId", &output.grant_id);
    Ok(Some(out))
}

/// ListGrants.
pub(super) fn list_grants(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    let grants = kms.list_grants(
        caller,
        ListGrantsInput {
            limit: input.number("Limit")?,
            marker: input.text("Marker")?,
            key_id: input.required_text("KeyId")?,
            grant_id: input.text("GrantId")?,
            grantee_principal: input.text("GranteePrincipal")?,
        },
    )?;
    page("Grants", grants, write_grant)
}

/// ListRetirableGrants.
pub(super) fn list_retirable_grants(
    kms: &KeyService,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let grants = kms.list_retirable_grants(
        caller,
        ListRetirableGrantsInput {
            limit: input.number("Limit")?,
            marker: input.text("Marker")?,
            retiring_principal: input.required_text("RetiringPrincipal")?,
        },
    )?;
    page("Grants", grants, write_grant)
}

/// RetireGrant.
pub(super) fn retire_grant(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    kms.retire_grant(
        caller,
        RetireGrantInput {
            grant_token: input.text("GrantToken")?,
            key_id: input.text("KeyId")?,
            grant_id: input.text("GrantId")?,
            dry_run: input.is_set("DryRun")?,
        },
    )?;
    Ok(None)
}

/// RevokeGrant.
pub(super) fn revoke_grant(kms: &KeyService, caller: &RequestContext, input: &Input) -> Outcome {
    kms.revoke_grant(
        caller,
        RevokeGrantInput {
            key_id: input.required_text("KeyId")?,
            grant_id: input.required_text("GrantId")?,
            dry_run: input.is_set("DryRun")?,
        },
    )?;
    Ok(None)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "entries of a page are handed over"
)]
fn write_grant(out: &mut Writer, grant: GrantEntry) {
    out.text("KeyId", &grant.key.to_string());
    out.text("GrantId", &grant.grant_id);
    out.text("Name", &grant.name);
    out.time("CreationDate", grant.creation_date);
    out.text("GranteePrincipal", &grant.grantee_principal);
    out.optional_text("RetiringPrincipal", grant.retiring_principal.as_deref());
    let issuer = format!("arn:aws:iam::{}:root", grant.issuing_account);
    out.text("IssuingAccount", &issuer);
    out.texts("Operations", grant.operations.iter().map(|it| it.name()));
    if let Some(constraints) = &grant.constraints {
        out.object("Constraints", |out| {
            if let Some(context) = &constraints.encryption_context_subset {
                out.text_map("EncryptionContextSubset", context.pairs());
            }
            if let Some(context) = &constraints.encryption_context_equals {
                out.text_map("EncryptionContextEquals", context.pairs());
            }
        });
    }
}
