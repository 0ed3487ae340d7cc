//! `requestParameters` of the Query protocol: flat names become objects and lists again.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use strongroom_audit::Params;

use super::lower_camel;

/// Parameters that records show, and those whose names they show with the values hidden. What else is
/// sent means nothing to any operation.
const SHOWN: &[&str] = &[
    "AccessKeyId",
    "ActionNames",
    "AssumeRolePolicyDocument",
    "ClientID",
    "ClientIDList",
    "ContextEntries",
    "Description",
    "DurationSeconds",
    "EncodedMessage",
    "EntityFilter",
    "ExternalId",
    "Filter",
    "GroupName",
    "Marker",
    "MaxItems",
    "MaxSessionDuration",
    "Name",
    "NewGroupName",
    "NewPath",
    "NewUserName",
    "OnlyAttached",
    "OpenIDConnectProviderArn",
    "Path",
    "PathPrefix",
    "PermissionsBoundary",
    "PermissionsBoundaryPolicyInputList",
    "Policy",
    "PolicyArn",
    "PolicyArns",
    "PolicyDocument",
    "PolicyInputList",
    "PolicyName",
    "PolicyScope",
    "PolicySourceArn",
    "PolicyUsageFilter",
    "ProviderId",
    "ResourceArns",
    "ResourcePolicy",
    "RoleArn",
    "RoleName",
    "RoleSessionName",
    "Scope",
    "SerialNumber",
    "SetAsDefault",
    "SourceIdentity",
    "Status",
    "TagKeys",
    "Tags",
    "ThumbprintList",
    "TokenCode",
    "TransitiveTagKeys",
    "Url",
    "UserName",
    "VersionId",
    "WebIdentityToken",
];
/// Parameters that are numbers in records.
const NUMBERS: [&str; 3] = ["DurationSeconds", "MaxItems", "MaxSessionDuration"];
/// Parameters that are true or false.
const FLAGS: [&str; 2] = ["OnlyAttached", "SetAsDefault"];
/// Deepest nesting that is shown; `ContextEntries.member.1.ContextKeyValues.member.1` is the deepest
/// there is.
const DEPTH_MAX: usize = 6;

/// The parameters under their names in records.
pub(crate) fn query_parameters<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Params {
    let mut root = Node::default();
    for (name, value) in pairs {
        let first = name.split('.').next().unwrap_or_default();
        if !SHOWN.contains(&first) || name.split('.').count() > DEPTH_MAX {
            continue;
        }
        let parsed = if NUMBERS.contains(&name) {
            value.parse::<u64>().ok().map(Value::from)
        } else if FLAGS.contains(&name) {
            value.parse::<bool>().ok().map(Value::from)
        } else {
            None
        };
        let place = name.split('.').fold(&mut root, |node, segment| {
            node.members.entry(segment.to_owned()).or_default()
        });
        place.value = Some(parsed.unwrap_or_else(|| value.into()));
    }
    Params::new().members(&root.into_object())
}

/// What stands under a name: a value, or names of its own.
#[derive(Default)]
struct Node {
    value: Option<Value>,
    members: BTreeMap<String, Node>,
}

impl Node {
    fn into_object(self) -> Map<String, Value> {
        let member = |(name, node): (String, Self)| (lower_camel(&name), node.into_value());
        self.members.into_iter().map(member).collect()
    }

    fn into_value(mut self) -> Value {
        if let Some(value) = self.value {
            return value;
        }
        // `Tags.member.1`: a list.
        let Some(items) = self.members.remove("member") else {
            return Value::Object(self.into_object());
        };
        let mut items: Vec<_> = items.members.into_iter().collect();
        items.sort_by_key(|(position, _)| position.parse::<usize>().unwrap_or(usize::MAX));
        items
            .into_iter()
            .map(|(_, item)| item.into_value())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_structures_are_nested_again_and_strangers_left_out() {
        let sent = [
            ("UserName", "alice"),
            ("MaxItems", "7"),
            ("MaxSessionDuration", "x"),
            ("SetAsDefault", "true"),
            ("Tags.member.10.Key", "j"),
            ("Tags.member.2.Key", "b"),
            ("Tags.member.2.Value", ""),
            ("TagKeys.member.1", "t"),
            ("WebIdentityToken", "canary"),
            ("Secret", "canary"),
            ("Tags.member.1.a.b.c.d.e.f.g", "canary"),
        ];
        let params: Value =
            serde_json::from_str(&query_parameters(sent.into_iter()).as_json()).unwrap();
        let expected = serde_json::json!({
            "userName": "alice",
            "maxItems": 7,
            "maxSessionDuration": "x",
            "setAsDefault": true,
            "tags": [{ "key": "b", "value": "" }, { "key": "j" }],
            "tagKeys": ["t"],
            "webIdentityToken": strongroom_audit::HIDDEN,
        });
        assert_eq!(params, expected);
    }
}
