//! Events that were reported with less than a whole record: through the port, and by the first version
//! of the trail.

use bytes::Bytes;
use serde_json::Value;
use strongroom_ports::AuditEvent;
use strongroom_types::{RequestId, Timestamp};

use crate::event::{Draft, Event, EventId, Home, OWN_SOURCE, Resource, cut};
use crate::identity::{AWS_INTERNAL, Identity};
use crate::limits::{FACT_MAX_BYTES, RESOURCES_MAX};

/// Members of a reported document that have their own place in the record.
const KNOWN: [&str; 8] = [
    "eventSource",
    "eventName",
    "userIdentity",
    "sourceIPAddress",
    "resources",
    "errorCode",
    "errorMessage",
    "requestParameters",
];

/// See [`Event::completed`].
pub(crate) fn complete(event: &AuditEvent, name: &str, id: EventId, home: &Home) -> Event {
    let parsed: Value = serde_json::from_slice(&event.document).unwrap_or(Value::Null);
    let at = |pointer: &str| parsed.pointer(pointer).and_then(Value::as_str);
    let account = home.account.as_str();
    let arn = at("/userIdentity/arn");
    let identity = match arn {
        Some(arn) => Identity::of_arn(arn, at("/userIdentity/accessKeyId")),
        None => Identity::internal(account),
    };
    let of_caller = arn
        .and_then(|arn| arn.split(':').nth(4))
        .filter(|it| it.len() == 12);
    let resources = parsed.get("resources").and_then(Value::as_array);
    let resources = resources.into_iter().flatten().filter_map(|resource| {
        let arn = resource.get("ARN")?.as_str()?;
        let service = arn.split(':').nth(2).unwrap_or_default();
        let kind = match service {
            "kms" if arn.contains(":alias/") => "AWS::KMS::Alias",
            "kms" => "AWS::KMS::Key",
            _ => "AWS::S3::Bucket",
        };
        let owner = arn.split(':').nth(4).filter(|it| !it.is_empty());
        Some(Resource {
            kind: kind.to_owned(),
            arn: cut(arn, FACT_MAX_BYTES).to_owned(),
            account: owner.map(str::to_owned),
        })
    });
    let mut rest = serde_json::Map::new();
    if let Value::Object(members) = &parsed {
        let unknown = |name: &&String| !KNOWN.contains(&name.as_str());
        let names = members.keys().filter(unknown);
        rest.extend(names.filter_map(|name| Some((name.clone(), members.get(name)?.clone()))));
    } else {
        let text = String::from_utf8_lossy(&event.document).into_owned();
        rest.insert("text".to_owned(), Value::String(text));
    }
    let error = at("/errorCode").map(|code| {
        let message = at("/errorMessage").unwrap_or_default();
        (code.to_owned(), message.to_owned())
    });
    let rest = (!rest.is_empty()).then(|| Value::Object(rest).to_string());
    let draft = Draft {
        source: at("/eventSource").unwrap_or(OWN_SOURCE),
        name: at("/eventName").unwrap_or(name),
        region: home.region.as_str().to_owned(),
        source_ip: at("/sourceIPAddress").unwrap_or(AWS_INTERNAL).to_owned(),
        user_agent: "-".to_owned(),
        error,
        params: parsed
            .get("requestParameters")
            .filter(|it| it.is_object())
            .map(Value::to_string),
        additional: if arn.is_some() { rest.clone() } else { None },
        service_details: if arn.is_some() { None } else { rest },
        request_id: event.request_id,
        by_service: arn.is_none(),
        resources: resources.take(RESOURCES_MAX).collect(),
        account: of_caller.unwrap_or(account).to_owned(),
        identity,
        ..Draft::default()
    };
    draft.write(event.time, id)
}

/// See [`Event::completed`], for an event from storage: its name is not a literal.
pub(crate) fn complete_stored(
    time: Timestamp,
    request_id: Option<RequestId>,
    name: &str,
    document: Vec<u8>,
    id: EventId,
    home: &Home,
) -> Event {
    let event = AuditEvent {
        time,
        request_id,
        name: "",
        document: Bytes::from(document),
    };
    complete(&event, name, id, home)
}
