//! What a trail delivers: event selectors, and what AWS has beside them.

use strongroom_audit::service::{CloudTrail, CloudTrailError};
use strongroom_audit::trails::{
    AdvancedSelector, Condition, DataResource, Field, ReadWrite, Selector, Selectors, Trail,
    TrailProblem,
};
use strongroom_types::RequestContext;

use super::error::unsupported;
use crate::json::{Failure, Input, Outcome, ProtocolError, Writer};

/// PutEventSelectors.
pub(super) fn put_event_selectors(
    service: &CloudTrail,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let name = input.required_text("TrailName")?;
    let trail = service.put_event_selectors(caller, &name, &selectors(input)?)?;
    Ok(Some(answer(&trail)))
}

/// GetEventSelectors.
pub(super) fn get_event_selectors(
    service: &CloudTrail,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let trail = service.get_event_selectors(caller, &input.required_text("TrailName")?)?;
    Ok(Some(answer(&trail)))
}

/// GetEventConfiguration.
pub(super) fn get_event_configuration(
    service: &CloudTrail,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let name = of_trail(input)?;
    let trail = service.get_event_configuration(caller, &name)?;
    let mut out = Writer::new();
    out.text("TrailARN", &trail.arn());
    out.text("MaxEventSize", "Standard");
    out.texts("ContextKeySelectors", Vec::<String>::new());
    out.texts("AggregationConfigurations", Vec::<String>::new());
    Ok(Some(out))
}

/// GetInsightSelectors.
pub(super) fn get_insight_selectors(
    service: &CloudTrail,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let name = of_trail(input)?;
    service.get_insight_selectors(caller, &name)?;
    Ok(Some(Writer::new()))
}

/// The trail that is named, and not an event data store.
fn of_trail(input: &Input) -> Result<String, Failure> {
    match input.text("TrailName")? {
        Some(name) if !input.has("EventDataStore") => Ok(name),
        _ => Err(unsupported("This server has no event data stores: name a trail.").into()),
    }
}

/// What is sent of selectors. What cannot be one is an empty list of them, which no trail takes.
fn selectors(input: &Input) -> Result<Selectors, Failure> {
    let refuse = |text: &str| {
        Failure::from(CloudTrailError::from(TrailProblem::EventSelectors(
            text.to_owned(),
        )))
    };
    if input.has("EventSelectors") && input.has("AdvancedEventSelectors") {
        return Err(refuse(
            "You can use either EventSelectors or AdvancedEventSelectors, but not both.",
        ));
    }
    if input.has("AdvancedEventSelectors") {
        let mut selectors = Vec::new();
        for selector in input.structures("AdvancedEventSelectors")? {
            let mut conditions = Vec::new();
            for condition in selector.structures("FieldSelectors")? {
                let field = condition.required_text("Field")?;
                let field = Field::parse(&field)
                    .ok_or_else(|| refuse(&format!("There is no field {field}.")))?;
                conditions.push(Condition {
                    field,
                    equals: condition.texts("Equals")?,
                    starts_with: condition.texts("StartsWith")?,
                    ends_with: condition.texts("EndsWith")?,
                    not_equals: condition.texts("NotEquals")?,
                    not_starts_with: condition.texts("NotStartsWith")?,
                    not_ends_with: condition.texts("NotEndsWith")?,
                });
            }
            selectors.push(AdvancedSelector {
                name: selector.text("Name")?,
                conditions,
            });
        }
        return Ok(Selectors::Advanced(selectors));
    }
    let selector = |it: &Input| -> Result<Selector, ProtocolError> {
        let read_write = match it.text("ReadWriteType")? {
            Some(name) => ReadWrite::parse(&name).ok_or(ProtocolError::Internal)?,
            None => ReadWrite::All,
        };
        let mut data_resources = Vec::new();
        for resource in it.structures("DataResources")? {
            data_resources.push(DataResource {
                kind: resource.text("Type")?.unwrap_or_default(),
                values: resource.texts("Values")?,
            });
        }
        Ok(Selector {
            read_write,
            management: !it.has("IncludeManagementEvents")
                || it.is_set("IncludeManagementEvents")?,
            data_resources,
            excluded_sources: it.texts("ExcludeManagementEventSources")?,
        })
    };
    let selectors: Result<Vec<_>, _> = input
        .structures("EventSelectors")?
        .into_iter()
        .map(selector)
        .collect();
    Ok(Selectors::Basic(selectors?))
}

fn answer(trail: &Trail) -> Writer {
    let mut out = Writer::new();
    out.text("TrailARN", &trail.arn());
    match &trail.selectors {
        Selectors::Basic(selectors) => {
            out.objects("EventSelectors", selectors, |out, it| {
                out.text("ReadWriteType", it.read_write.name());
                out.boolean("IncludeManagementEvents", it.management);
                out.objects("DataResources", &it.data_resources, |out, resource| {
                    out.text("Type", &resource.kind);
                    out.texts("Values", &resource.values);
                });
                out.texts("ExcludeManagementEventSources", &it.excluded_sources);
            });
        }
        Selectors::Advanced(selectors) => {
            out.objects("AdvancedEventSelectors", selectors, |out, it| {
                out.optional_text("Name", it.name.as_deref());
                out.objects("FieldSelectors", &it.conditions, write_condition);
            });
        }
    }
    out
}

fn write_condition(out: &mut Writer, condition: &Condition) {
    out.text("Field", condition.field.name());
    for (name, list) in condition.lists() {
        if !list.is_empty() {
            out.texts(name, list);
        }
    }
}
