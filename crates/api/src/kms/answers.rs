//! What several operations share: inputs of a kind, and answers of a kind.

use strongroom_kms::{GrantConstraints, KeyMetadata, KmsError, Page, Tag};
use strongroom_types::kms::{
    EncryptionContext, ExpirationModel, KeyAgreementAlgorithm, KeyArn, KeyMaterialId, KeyState,
    KeyUsage,
};

use super::error::unsupported;
use crate::json::{Failure, Input, Outcome, ProtocolError, Writer};
use crate::recording::lower_camel;

/// An encryption context; an absent one is empty.
pub(super) fn context(input: &Input, name: &str) -> Result<EncryptionContext, Failure> {
    let Some(pairs) = input.text_map(name)? else {
        return Ok(EncryptionContext::default());
    };
    let context = EncryptionContext::new(pairs.clone());
    Ok(context.map_err(|error| KmsError::Validation(error.to_string()))?)
}

/// Tags.
pub(super) fn tags(input: &Input) -> Result<Vec<Tag>, ProtocolError> {
    let tag = |tag: &Input| {
        Ok(Tag {
            key: tag.required_text("TagKey")?,
            value: tag.required_text("TagValue")?,
        })
    };
    input.structures("Tags")?.into_iter().map(tag).collect()
}

/// The constraints of a grant.
pub(super) fn constraints(input: &Input) -> Result<Option<GrantConstraints>, Failure> {
    let Some(constraints) = input.structure("Constraints")? else {
        return Ok(None);
    };
    let of = |name| {
        let is_there = constraints.has(name);
        is_there.then(|| context(constraints, name)).transpose()
    };
    Ok(Some(GrantConstraints {
        encryption_context_subset: of("EncryptionContextSubset")?,
        encryption_context_equals: of("EncryptionContextEquals")?,
    }))
}

/// Answers for attested enclaves are not made here, and never in clear instead.
pub(super) fn refuse_recipient(input: &Input) -> Result<(), Failure> {
    if input.has("Recipient") {
        return Err(unsupported("This server makes no answers for attested recipients.").into());
    }
    Ok(())
}

/// The ARN of the key that was used.
pub(super) fn key(out: &mut Writer, name: &'static str, arn: &KeyArn) {
    out.facts.key(arn);
    out.text(name, &arn.to_string());
}

/// The answer that only names the key.
#[expect(clippy::unnecessary_wraps, reason = "it is what handlers end with")]
pub(super) fn key_id(arn: &KeyArn) -> Outcome {
    let mut out = Writer::new();
    key(&mut out, "KeyId", arn);
    Ok(Some(out))
}

/// `KeyMaterialId`, where there is one.
pub(super) fn material(out: &mut Writer, name: &'static str, id: Option<KeyMaterialId>) {
    if let Some(id) = id {
        out.text(name, &id.to_string());
    }
}

/// As [`material`], of the material that was used.
pub(super) fn used_material(out: &mut Writer, name: &'static str, id: Option<KeyMaterialId>) {
    if let Some(id) = id {
        out.facts.tell(&lower_camel(name), &id);
    }
    material(out, name, id);
}

/// One page of a listing.
#[expect(clippy::unnecessary_wraps, reason = "it is what handlers end with")]
pub(super) fn page<T>(
    name: &'static str,
    page: Page<T>,
    entry: impl FnMut(&mut Writer, T),
) -> Outcome {
    let mut out = Writer::new();
    out.objects(name, page.entries, entry);
    end_of_page(&mut out, page.next_marker.as_deref());
    Ok(Some(out))
}

/// `NextMarker` and `Truncated`, which is there on the last page too.
pub(super) fn end_of_page(out: &mut Writer, next_marker: Option<&str>) {
    out.optional_text("NextMarker", next_marker);
    out.boolean("Truncated", next_marker.is_some());
}

/// The answer that is a key's metadata.
#[expect(clippy::unnecessary_wraps, reason = "it is what handlers end with")]
pub(super) fn key_metadata(key: &KeyMetadata) -> Outcome {
    let mut out = Writer::new();
    out.facts.key(&key.arn);
    out.object("KeyMetadata", |out| write_metadata(out, key));
    Ok(Some(out))
}

fn write_metadata(out: &mut Writer, key: &KeyMetadata) {
    let KeyMetadata {
        arn,
        creation_date,
        description,
        key_usage,
        key_state,
        deletion_date,
        origin,
        key_manager,
        key_spec,
        expiration_model,
        valid_to,
        current_key_material_id,
    } = key;
    out.text("AWSAccountId", &arn.account.to_string());
    out.text("KeyId", &arn.id.to_string());
    out.text("Arn", &arn.to_string());
    out.time("CreationDate", *creation_date);
    out.boolean("Enabled", *key_state == KeyState::Enabled);
    out.text("Description", description);
    out.text("KeyUsage", key_usage.name());
    out.text("KeyState", key_state.name());
    out.optional_time("DeletionDate", *deletion_date);
    out.optional_time("ValidTo", *valid_to);
    out.text("Origin", origin.name());
    out.optional_text(
        "ExpirationModel",
        expiration_model.map(ExpirationModel::name),
    );
    out.text("KeyManager", key_manager.name());
    out.text("CustomerMasterKeySpec", key_spec.name());
    out.text("KeySpec", key_spec.name());
    match key_usage {
        KeyUsage::EncryptDecrypt => out.texts(
            "EncryptionAlgorithms",
            key_spec.encryption_algorithms().iter().map(|it| it.name()),
        ),
        KeyUsage::SignVerify => out.texts(
            "SigningAlgorithms",
            key_spec.signing_algorithms().iter().map(|it| it.name()),
        ),
        KeyUsage::GenerateVerifyMac => out.texts(
            "MacAlgorithms",
            key_spec.mac_algorithm().iter().map(|it| it.name()),
        ),
        KeyUsage::KeyAgreement => out.texts(
            "KeyAgreementAlgorithms",
            KeyAgreementAlgorithm::ALL.iter().map(|it| it.name()),
        ),
    }
    out.boolean("MultiRegion", false);
    material(out, "CurrentKeyMaterialId", *current_key_material_id);
}
