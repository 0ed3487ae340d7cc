//! The members of every operation's input: names, types and bounds.
//!
//! Source: the service model of CloudTrail (2013-11-01). `tests/e2e/test_cloudtrail_shapes.py` holds
//! this table, as `testdata/cloudtrail_shapes.txt`, against the model that AWS's own clients use.

use crate::json::{Length, Member, Shape, choice, optional, required};

/// `AddTags`, `RemoveTags`.
pub(super) const ADD_TAGS: &[Member] = &[
    required("ResourceId", &TEXT),
    required("TagsList", &TAGS_LIST),
];

/// `CreateTrail`.
pub(super) const CREATE_TRAIL: &[Member] = &[
    required("Name", &TEXT),
    required("S3BucketName", &TEXT),
    optional("S3KeyPrefix", &TEXT),
    optional("SnsTopicName", &TEXT),
    optional("IncludeGlobalServiceEvents", &Shape::Boolean),
    optional("IsMultiRegionTrail", &Shape::Boolean),
    optional("EnableLogFileValidation", &Shape::Boolean),
    optional("CloudWatchLogsLogGroupArn", &TEXT),
    optional("CloudWatchLogsRoleArn", &TEXT),
    optional("KmsKeyId", &TEXT),
    optional("IsOrganizationTrail", &Shape::Boolean),
    optional("TagsList", &TAGS_LIST),
];

/// `DeleteTrail`, `GetTrail`, `GetTrailStatus`, `StartLogging`, `StopLogging`.
pub(super) const NAMED: &[Member] = &[required("Name", &TEXT)];

/// `DescribeTrails`.
pub(super) const DESCRIBE_TRAILS: &[Member] = &[
    optional("trailNameList", &TEXTS),
    optional("includeShadowTrails", &Shape::Boolean),
];

/// `GetEventConfiguration`.
pub(super) const GET_EVENT_CONFIGURATION: &[Member] = &[
    optional("TrailName", &TEXT),
    optional("EventDataStore", &TEXT),
];

/// `GetEventSelectors`.
pub(super) const GET_EVENT_SELECTORS: &[Member] = &[required("TrailName", &TEXT)];

/// `GetInsightSelectors`.
pub(super) const GET_INSIGHT_SELECTORS: &[Member] = &[
    optional("TrailName", &TEXT),
    optional("EventDataStore", &TEXT),
];

/// `ListTags`.
pub(super) const LIST_TAGS: &[Member] = &[
    required("ResourceIdList", &TEXTS),
    optional("NextToken", &TEXT),
];

/// `ListTrails`.
pub(super) const LIST_TRAILS: &[Member] = &[optional("NextToken", &TEXT)];

/// `PutEventSelectors`.
pub(super) const PUT_EVENT_SELECTORS: &[Member] = &[
    required("TrailName", &TEXT),
    optional("EventSelectors", &EVENT_SELECTORS),
    optional("AdvancedEventSelectors", &ADVANCED_EVENT_SELECTORS),
];

/// `UpdateTrail`.
pub(super) const UPDATE_TRAIL: &[Member] = &[
    required("Name", &TEXT),
    optional("S3BucketName", &TEXT),
    optional("S3KeyPrefix", &TEXT),
    optional("SnsTopicName", &TEXT),
    optional("IncludeGlobalServiceEvents", &Shape::Boolean),
    optional("IsMultiRegionTrail", &Shape::Boolean),
    optional("EnableLogFileValidation", &Shape::Boolean),
    optional("CloudWatchLogsLogGroupArn", &TEXT),
    optional("CloudWatchLogsRoleArn", &TEXT),
    optional("KmsKeyId", &TEXT),
    optional("IsOrganizationTrail", &Shape::Boolean),
];

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

const TEXTS: Shape = Shape::List(&TEXT, Length::ANY);

const TAGS_LIST: Shape = Shape::List(
    &Shape::Structure(TAG),
    Length {
        min: None,
        max: Some(200),
    },
);

/// An empty value is none, as clients send it.
const TAG: &[Member] = &[
    required("Key", &Shape::Text(Length::of(1, 128), None)),
    optional(
        "Value",
        &Shape::Text(
            Length {
                min: None,
                max: Some(256),
            },
            None,
        ),
    ),
];

const EVENT_SELECTORS: Shape = Shape::List(&Shape::Structure(EVENT_SELECTOR), Length::ANY);

const EVENT_SELECTOR: &[Member] = &[
    optional("ReadWriteType", &READ_WRITE_TYPE),
    optional("IncludeManagementEvents", &Shape::Boolean),
    optional("DataResources", &DATA_RESOURCES),
    optional("ExcludeManagementEventSources", &TEXTS),
];

const READ_WRITE_TYPE: Shape = choice!["ReadOnly", "WriteOnly", "All"];

const DATA_RESOURCES: Shape = Shape::List(
    &Shape::Structure(&[optional("Type", &TEXT), optional("Values", &TEXTS)]),
    Length::ANY,
);

const ADVANCED_EVENT_SELECTORS: Shape =
    Shape::List(&Shape::Structure(ADVANCED_EVENT_SELECTOR), Length::ANY);

const ADVANCED_EVENT_SELECTOR: &[Member] = &[
    optional("Name", &SELECTOR_NAME),
    required("FieldSelectors", &FIELD_SELECTORS),
];

const SELECTOR_NAME: Shape = Shape::Text(Length::of(0, 1000), None);

const AT_LEAST_ONE: Length = Length {
    min: Some(1),
    max: None,
};

const FIELD_SELECTORS: Shape = Shape::List(&Shape::Structure(FIELD_SELECTOR), AT_LEAST_ONE);

const FIELD_SELECTOR: &[Member] = &[
    required("Field", &Shape::Text(Length::of(1, 1000), None)),
    optional("Equals", &OPERATOR),
    optional("StartsWith", &OPERATOR),
    optional("EndsWith", &OPERATOR),
    optional("NotEquals", &OPERATOR),
    optional("NotStartsWith", &OPERATOR),
    optional("NotEndsWith", &OPERATOR),
];

const OPERATOR: Shape = Shape::List(&Shape::Text(Length::of(1, 2048), None), AT_LEAST_ONE);

#[cfg(test)]
mod tests {
    use super::super::operations;
    use crate::json::shape_table;

    #[test]
    fn the_table_is_the_one_that_is_held_against_aws() {
        let actual = shape_table(operations::supported());
        let agreed = include_str!("../../testdata/cloudtrail_shapes.txt");
        assert_eq!(actual, agreed, "the whole table is now:\n{actual}");
    }
}
