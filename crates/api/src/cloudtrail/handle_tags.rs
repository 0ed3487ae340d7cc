//! Tags of trails.

use strongroom_audit::service::CloudTrail;
use strongroom_types::RequestContext;

use crate::json::{Input, Outcome, ProtocolError, Writer};

/// `TagsList`. A tag without a value has an empty one.
pub(super) fn tags(input: &Input) -> Result<Vec<(String, String)>, ProtocolError> {
    let tag = |tag: &Input| {
        Ok((
            tag.required_text("Key")?,
            tag.text("Value")?.unwrap_or_default(),
        ))
    };
    input.structures("TagsList")?.into_iter().map(tag).collect()
}

/// AddTags.
pub(super) fn add_tags(service: &CloudTrail, caller: &RequestContext, input: &Input) -> Outcome {
    service.add_tags(caller, &input.required_text("ResourceId")?, &tags(input)?)?;
    Ok(Some(Writer::new()))
}

/// RemoveTags.
pub(super) fn remove_tags(service: &CloudTrail, caller: &RequestContext, input: &Input) -> Outcome {
    service.remove_tags(caller, &input.required_text("ResourceId")?, &tags(input)?)?;
    Ok(Some(Writer::new()))
}

/// ListTags.
pub(super) fn list_tags(service: &CloudTrail, caller: &RequestContext, input: &Input) -> Outcome {
    let resources = service.list_tags(
        caller,
        &input.texts("ResourceIdList")?,
        input.text("NextToken")?.as_deref(),
    )?;
    let mut out = Writer::new();
    out.objects("ResourceTagList", resources, |out, (arn, tags)| {
        out.text("ResourceId", &arn);
        out.objects("TagsList", tags, |out, (key, value)| {
            out.text("Key", &key);
            if !value.is_empty() {
                out.text("Value", &value);
            }
        });
    });
    Ok(Some(out))
}
