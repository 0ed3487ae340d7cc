//! The members of every operation's input: names, types and bounds.
//!
//! Source: the service model of CloudTrail (2013-11-01). `tests/e2e/test_cloudtrail_shapes.py` holds
//! this table, as `testdata/cloudtrail_shapes.txt`, against the model that AWS's own clients use.

use crate::json::{Length, Member, Shape, choice};

const fn required(name: &'static str, shape: &'static Shape) -> Member {
    Member {
        name,
        is_required: true,
        shape,
    }
}

const fn optional(name: &'static str, shape: &'static Shape) -> Member {
    Member {
        name,
        is_required: false,
        shape,
    }
}

/// `ListPublicKeys`.
pub(super) const LIST_PUBLIC_KEYS: &[Member] = &[
    optional("StartTime", &Shape::Time),
    optional("EndTime", &Shape::Time),
    optional("NextToken", &TEXT),
];

/// `LookupEvents`.
pub(super) const LOOKUP_EVENTS: &[Member] = &[
    optional("LookupAttributes", &LOOKUP_ATTRIBUTES_LIST),
    optional("StartTime", &Shape::Time),
    optional("EndTime", &Shape::Time),
    optional("EventCategory", &EVENT_CATEGORY),
    optional("MaxResults", &MAX_RESULTS),
    optional("NextToken", &TEXT),
];

const TEXT: Shape = Shape::Text(Length::ANY, None);

const EVENT_CATEGORY: Shape = choice!["insight"];

/// What is beyond the model's bounds, 1 and 50, has an error of its own.
const MAX_RESULTS: Shape = Shape::Integer(0, i32::MAX as i64);

const LOOKUP_ATTRIBUTES_LIST: Shape = Shape::List(&Shape::Structure(LOOKUP_ATTRIBUTE), Length::ANY);

const LOOKUP_ATTRIBUTE: &[Member] = &[
    required("AttributeKey", &LOOKUP_ATTRIBUTE_KEY),
    required("AttributeValue", &LOOKUP_ATTRIBUTE_VALUE),
];

const LOOKUP_ATTRIBUTE_KEY: Shape = choice![
    "EventId",
    "EventName",
    "ReadOnly",
    "Username",
    "ResourceType",
    "ResourceName",
    "EventSource",
    "AccessKeyId",
];

/// What is beyond the model's bounds, 1 and 2000, has an error of its own.
const LOOKUP_ATTRIBUTE_VALUE: Shape = Shape::Text(Length::ANY, None);
