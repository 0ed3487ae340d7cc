//! Events, and the public keys of digests.

use strongroom_audit::service::{CloudTrail, ListPublicKeysInput, LookupEventsInput};
use strongroom_audit::{Attribute, Event, LookupPage};
use strongroom_types::{RequestContext, Timestamp};

use crate::json::{Failure, Input, Outcome, ProtocolError, Writer};

/// LookupEvents.
pub(super) fn lookup_events(
    service: &CloudTrail,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let attribute = |pair: &Input| {
        let key = pair.required_text("AttributeKey")?;
        let key = Attribute::parse(&key).ok_or(ProtocolError::Internal)?;
        Ok((key, pair.required_text("AttributeValue")?))
    };
    let attributes: Result<Vec<_>, ProtocolError> = input
        .structures("LookupAttributes")?
        .into_iter()
        .map(attribute)
        .collect();
    let page = service.lookup_events(
        caller,
        LookupEventsInput {
            attributes: attributes?,
            start: input.time("StartTime")?,
            end: input.time("EndTime")?,
            max_results: input.number("MaxResults")?,
            next_token: input.text("NextToken")?,
        },
    )?;
    // The one category that can be asked for is that of insights, of which there are none.
    let page = if input.has("EventCategory") {
        LookupPage::default()
    } else {
        page
    };
    let mut out = Writer::new();
    out.objects("Events", page.events, |out, event| write_event(out, &event));
    out.optional_text("NextToken", page.next_token.as_deref());
    Ok(Some(out))
}

fn write_event(out: &mut Writer, event: &Event) {
    out.text("EventId", &event.id.to_string());
    out.text("EventName", &event.name);
    // A text in this API.
    out.text("ReadOnly", if event.read_only { "true" } else { "false" });
    out.optional_text("AccessKeyId", event.access_key_id.as_deref());
    // To the second, as the record has it.
    out.time(
        "EventTime",
        Timestamp::from_seconds(event.time().as_seconds()),
    );
    out.text("EventSource", &event.source);
    out.optional_text("Username", event.user_name.as_deref());
    out.objects("Resources", &event.resources, |out, resource| {
        out.text("ResourceType", &resource.kind);
        out.text("ResourceName", resource.name());
    });
    out.text("CloudTrailEvent", event.document());
}

/// ListPublicKeys.
pub(super) fn list_public_keys(
    service: &CloudTrail,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let keys = service
        .list_public_keys(
            caller,
            &ListPublicKeysInput {
                start: input.time("StartTime")?,
                end: input.time("EndTime")?,
                next_token: input.text("NextToken")?,
            },
        )
        .map_err(Failure::from)?;
    let mut out = Writer::new();
    out.objects("PublicKeyList", keys, |out, key| {
        out.blob("Value", &key.der);
        out.time("ValidityStartTime", key.from);
        out.time("ValidityEndTime", key.until);
        out.text("Fingerprint", &key.fingerprint);
    });
    Ok(Some(out))
}
