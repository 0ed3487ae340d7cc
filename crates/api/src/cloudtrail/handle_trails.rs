//! Trails: made, changed, started, stopped, described, deleted.

use strongroom_audit::service::{CloudTrail, CreateTrailInput, Elsewhere, UpdateTrailInput};
use strongroom_audit::trails::{Selectors, Trail, UpdateTrail};
use strongroom_types::{RequestContext, Timestamp};

use super::handle_tags::tags;
use crate::json::{Input, Outcome, ProtocolError, Writer};

/// CreateTrail.
pub(super) fn create_trail(
    service: &CloudTrail,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let trail = service.create_trail(
        caller,
        CreateTrailInput {
            name: input.required_text("Name")?,
            bucket: input.required_text("S3BucketName")?,
            rest: change(input)?,
            tags: tags(input)?,
            elsewhere: elsewhere(input)?,
        },
    )?;
    Ok(Some(made(&trail)))
}

/// UpdateTrail.
pub(super) fn update_trail(
    service: &CloudTrail,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let trail = service.update_trail(
        caller,
        UpdateTrailInput {
            name: input.required_text("Name")?,
            change: change(input)?,
            elsewhere: elsewhere(input)?,
        },
    )?;
    Ok(Some(made(&trail)))
}

fn change(input: &Input) -> Result<UpdateTrail, ProtocolError> {
    let flag = |name| input.has(name).then(|| input.is_set(name)).transpose();
    Ok(UpdateTrail {
        bucket: input.text("S3BucketName")?,
        prefix: input.text("S3KeyPrefix")?,
        kms_key_arn: input.text("KmsKeyId")?,
        validation: flag("EnableLogFileValidation")?,
        global_events: flag("IncludeGlobalServiceEvents")?,
        multi_region: flag("IsMultiRegionTrail")?,
    })
}

fn elsewhere(input: &Input) -> Result<Elsewhere, ProtocolError> {
    let says = |name| Ok::<_, ProtocolError>(input.text(name)?.is_some_and(|it| !it.is_empty()));
    Ok(Elsewhere {
        topic: says("SnsTopicName")?,
        log_group: says("CloudWatchLogsLogGroupArn")? || says("CloudWatchLogsRoleArn")?,
        organization: input.is_set("IsOrganizationTrail")?,
    })
}

/// What CreateTrail and UpdateTrail answer.
fn made(trail: &Trail) -> Writer {
    let mut out = Writer::new();
    write_common(&mut out, trail);
    out
}

fn write_common(out: &mut Writer, trail: &Trail) {
    out.text("Name", &trail.name);
    out.text("S3BucketName", &trail.bucket);
    out.optional_text("S3KeyPrefix", trail.prefix.as_deref());
    out.boolean("IncludeGlobalServiceEvents", trail.global_events);
    out.boolean("IsMultiRegionTrail", trail.multi_region);
    out.text("TrailARN", &trail.arn());
    out.boolean("LogFileValidationEnabled", trail.validation);
    out.optional_text("KmsKeyId", trail.kms_key_arn.as_deref());
    out.boolean("IsOrganizationTrail", false);
}

fn write_trail(out: &mut Writer, trail: &Trail) {
    write_common(out, trail);
    out.text("HomeRegion", &trail.region);
    out.boolean(
        "HasCustomEventSelectors",
        trail.selectors != Selectors::default(),
    );
    out.boolean("HasInsightSelectors", false);
}

/// DeleteTrail.
pub(super) fn delete_trail(
    service: &CloudTrail,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    service.delete_trail(caller, &input.required_text("Name")?)?;
    Ok(Some(Writer::new()))
}

/// StartLogging.
pub(super) fn start_logging(
    service: &CloudTrail,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    service.start_logging(caller, &input.required_text("Name")?)?;
    Ok(Some(Writer::new()))
}

/// StopLogging.
pub(super) fn stop_logging(
    service: &CloudTrail,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    service.stop_logging(caller, &input.required_text("Name")?)?;
    Ok(Some(Writer::new()))
}

/// DescribeTrails. Its names begin in lower case.
pub(super) fn describe_trails(
    service: &CloudTrail,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let trails = service.describe_trails(caller, &input.texts("trailNameList")?)?;
    let mut out = Writer::new();
    out.objects("trailList", trails, |out, trail| write_trail(out, &trail));
    Ok(Some(out))
}

/// ListTrails.
pub(super) fn list_trails(service: &CloudTrail, caller: &RequestContext, input: &Input) -> Outcome {
    let trails = service.list_trails(caller, input.text("NextToken")?.as_deref())?;
    let mut out = Writer::new();
    out.objects("Trails", trails, |out, trail| {
        out.text("TrailARN", &trail.arn());
        out.text("Name", &trail.name);
        out.text("HomeRegion", &trail.region);
    });
    Ok(Some(out))
}

/// GetTrail.
pub(super) fn get_trail(service: &CloudTrail, caller: &RequestContext, input: &Input) -> Outcome {
    let trail = service.get_trail(caller, &input.required_text("Name")?)?;
    let mut out = Writer::new();
    out.object("Trail", |out| write_trail(out, &trail));
    Ok(Some(out))
}

/// GetTrailStatus.
pub(super) fn get_trail_status(
    service: &CloudTrail,
    caller: &RequestContext,
    input: &Input,
) -> Outcome {
    let (trail, state) = service.get_trail_status(caller, &input.required_text("Name")?)?;
    let time = |millis: Option<u64>| millis.map(Timestamp::from_millis);
    let delivered = time(state.delivered_millis);
    let (started, stopped) = (time(state.started_millis), time(state.stopped_millis));
    let mut out = Writer::new();
    out.boolean("IsLogging", trail.logging);
    out.optional_text("LatestDeliveryError", state.delivery_error.as_deref());
    out.optional_time("LatestDeliveryTime", delivered);
    out.optional_time("StartLoggingTime", started);
    out.optional_time("StopLoggingTime", stopped);
    out.optional_time("LatestDigestDeliveryTime", time(state.digest_millis));
    out.optional_text("LatestDigestDeliveryError", state.digest_error.as_deref());
    // The API keeps these for clients of before.
    let text = |time: Option<Timestamp>| time.map(Timestamp::to_iso8601).unwrap_or_default();
    out.text("LatestDeliveryAttemptTime", &text(delivered));
    out.text("LatestNotificationAttemptTime", "");
    out.text("LatestNotificationAttemptSucceeded", "");
    out.text("LatestDeliveryAttemptSucceeded", &text(delivered));
    out.text("TimeLoggingStarted", &text(started));
    out.text("TimeLoggingStopped", &text(stopped));
    Ok(Some(out))
}
