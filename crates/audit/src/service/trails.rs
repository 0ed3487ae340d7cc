//! Trails: made, changed, started, stopped, described, deleted.

use strongroom_policy::Conditions;
use strongroom_types::RequestContext;

use super::tags::tag_conditions;
use super::{CloudTrail, CloudTrailError};
use crate::params::Params;
use crate::trails::{Trail, TrailName, TrailProblem, TrailState, UpdateTrail};

/// Where else a trail shall deliver to, or whose events it shall have: what this server does not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// `SnsTopicName`.
    pub topic: bool,
    /// `CloudWatchLogsLogGroupArn`, `CloudWatchLogsRoleArn`.
    pub log_group: bool,
    /// `IsOrganizationTrail`.
    pub organization: bool,
}

/// CreateTrail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTrailInput {
    /// `Name`.
    pub name: String,
    /// `S3BucketName`.
    pub bucket: String,
    /// The rest; its bucket says nothing. `KmsKeyId` may be any name of a key.
    pub rest: UpdateTrail,
    /// `TagsList`.
    pub tags: Vec<(String, String)>,
    /// What is refused.
    pub elsewhere: Elsewhere,
}

/// UpdateTrail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateTrailInput {
    /// `Name`: a name or an ARN.
    pub name: String,
    /// What changes. `KmsKeyId` may be any name of a key.
    pub change: UpdateTrail,
    /// What is refused.
    pub elsewhere: Elsewhere,
}

impl Elsewhere {
    fn check(self) -> Result<(), CloudTrailError> {
        let Self {
            topic,
            log_group,
            organization,
        } = self;
        if organization {
            return Err(CloudTrailError::OrganizationsNotInUse);
        }
        if topic {
            return Err(CloudTrailError::Unsupported(
                "This server has no SNS topics to notify.",
            ));
        }
        if log_group {
            return Err(CloudTrailError::Unsupported(
                "This server has no CloudWatch Logs to deliver to.",
            ));
        }
        Ok(())
    }
}

impl CloudTrail {
    /// CreateTrail. The trail does not log yet.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn create_trail(
        &self,
        caller: &RequestContext,
        input: CreateTrailInput,
    ) -> Result<Trail, CloudTrailError> {
        let CreateTrailInput {
            name,
            bucket,
            rest,
            tags,
            elsewhere,
        } = input;
        let conditions = tag_conditions(&tags);
        let action = "cloudtrail:CreateTrail";
        let allowed = self.authorize_trail(caller, action, &name, &conditions);
        if !tags.is_empty() && !matches!(allowed, Err(CloudTrailError::AccessDenied(_))) {
            self.authorize_trail(caller, "cloudtrail:AddTags", &name, &conditions)?;
        }
        let account = allowed?.0;
        // An ARN names a trail that is there.
        let name = TrailName::parse(&name)?;
        elsewhere.check()?;
        let trails = &self.ports.trails;
        let now = trails.now();
        let mut trail = Trail::new(&name, account, &trails.home().region, &bucket, now);
        trail.tags = tags;
        trail.digests_under_key = self.ports.digests_under_key;
        let asked = asked(&rest)
            .text("name", name.as_str())
            .text("s3BucketName", &bucket);
        let trail = trail.updated(UpdateTrail {
            bucket: None,
            ..self.with_key(caller, rest)?
        });
        trail.check()?;
        if trails.list(account)?.iter().any(|it| it.name == trail.name) {
            return Err(TrailProblem::Exists(trail.name).into());
        }
        self.ports.target.check(&trail)?;
        let (params, response) = (asked, answered(&trail));
        let event = self.event(caller, "CreateTrail", (&params, &response), &trail.arn());
        trails.create(account, &trail, &event)?;
        Ok(trail)
    }

    /// UpdateTrail.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn update_trail(
        &self,
        caller: &RequestContext,
        input: UpdateTrailInput,
    ) -> Result<Trail, CloudTrailError> {
        let UpdateTrailInput {
            name: named,
            change,
            elsewhere,
        } = input;
        let action = "cloudtrail:UpdateTrail";
        let (account, name) =
            self.authorize_trail(caller, action, &named, &Conditions::default())?;
        elsewhere.check()?;
        let (before, _) = self.find(account, &name)?;
        let params = asked(&change)
            .text("name", &named)
            .optional("s3BucketName", change.bucket.as_deref());
        let change = self.with_key(caller, change)?;
        let digests_under_key = self.ports.digests_under_key;
        let updated = |trail: Trail| Trail {
            digests_under_key,
            ..trail.updated(change.clone())
        };
        let after = updated(before.clone());
        after.check()?;
        let place = |trail: &Trail| {
            (
                trail.bucket.clone(),
                trail.prefix.clone(),
                trail.kms_key_arn.clone(),
            )
        };
        if place(&before) != place(&after) || after.kms_key_arn.is_some() {
            self.ports.target.check(&after)?;
        }
        let event = self.event(
            caller,
            "UpdateTrail",
            (&params, &answered(&after)),
            &after.arn(),
        );
        let trails = &self.ports.trails;
        Ok(trails.update(account, &name, &event, |trail| Ok(updated(trail)))?)
    }

    /// DeleteTrail.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn delete_trail(
        &self,
        caller: &RequestContext,
        name_or_arn: &str,
    ) -> Result<(), CloudTrailError> {
        let trails = &self.ports.trails;
        self.switch(caller, name_or_arn, "cloudtrail:DeleteTrail", |it| {
            trails.delete(it.0, it.1, it.2)
        })
    }

    /// StartLogging.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn start_logging(
        &self,
        caller: &RequestContext,
        name_or_arn: &str,
    ) -> Result<(), CloudTrailError> {
        let trails = &self.ports.trails;
        self.switch(caller, name_or_arn, "cloudtrail:StartLogging", |it| {
            trails.start(it.0, it.1, it.2)
        })
    }

    /// StopLogging.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn stop_logging(
        &self,
        caller: &RequestContext,
        name_or_arn: &str,
    ) -> Result<(), CloudTrailError> {
        let trails = &self.ports.trails;
        self.switch(caller, name_or_arn, "cloudtrail:StopLogging", |it| {
            trails.stop(it.0, it.1, it.2)
        })
    }

    /// An operation that takes a trail's name only.
    fn switch(
        &self,
        caller: &RequestContext,
        name_or_arn: &str,
        action: &'static str,
        work: impl FnOnce(Switched<'_>) -> Result<(), crate::trails::TrailsError>,
    ) -> Result<(), CloudTrailError> {
        let (account, name) =
            self.authorize_trail(caller, action, name_or_arn, &Conditions::default())?;
        let (trail, _) = self.find(account, &name)?;
        let params = Params::new().text("name", name_or_arn);
        let operation = action.split_once(':').map_or(action, |(_, name)| name);
        let event = self.event(caller, operation, (&params, &Params::new()), &trail.arn());
        Ok(work((account, &name, &event))?)
    }

    /// DescribeTrails: all, or those that are named. What is not there is left out.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn describe_trails(
        &self,
        caller: &RequestContext,
        names: &[String],
    ) -> Result<Vec<Trail>, CloudTrailError> {
        let account = self.authorize(caller, "cloudtrail:DescribeTrails")?;
        let trails = self.ports.trails.list(account)?;
        let is_meant = |trail: &Trail| {
            names.is_empty()
                || names
                    .iter()
                    .any(|it| *it == trail.name || *it == trail.arn())
        };
        Ok(trails.into_iter().filter(is_meant).collect())
    }

    /// ListTrails. All fit into one answer.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn list_trails(
        &self,
        caller: &RequestContext,
        next_token: Option<&str>,
    ) -> Result<Vec<Trail>, CloudTrailError> {
        let account = self.authorize(caller, "cloudtrail:ListTrails")?;
        if next_token.is_some() {
            return Err(CloudTrailError::Token);
        }
        Ok(self.ports.trails.list(account)?)
    }

    /// GetTrail.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn get_trail(
        &self,
        caller: &RequestContext,
        name_or_arn: &str,
    ) -> Result<Trail, CloudTrailError> {
        self.read_trail(caller, "cloudtrail:GetTrail", name_or_arn)
            .map(|(trail, _)| trail)
    }

    /// GetTrailStatus.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn get_trail_status(
        &self,
        caller: &RequestContext,
        name_or_arn: &str,
    ) -> Result<(Trail, TrailState), CloudTrailError> {
        self.read_trail(caller, "cloudtrail:GetTrailStatus", name_or_arn)
    }

    /// A trail and its progress, for who may do `action` to it.
    pub(super) fn read_trail(
        &self,
        caller: &RequestContext,
        action: &'static str,
        name_or_arn: &str,
    ) -> Result<(Trail, TrailState), CloudTrailError> {
        let (account, name) =
            self.authorize_trail(caller, action, name_or_arn, &Conditions::default())?;
        self.find(account, &name)
    }

    /// The change with the ARN of the key that it names.
    fn with_key(
        &self,
        caller: &RequestContext,
        change: UpdateTrail,
    ) -> Result<UpdateTrail, CloudTrailError> {
        let kms_key_arn = match change.kms_key_arn.as_deref() {
            None => None,
            // It turns SSE-KMS off.
            Some("") => Some(String::new()),
            Some(key_id) => Some(self.ports.target.key_arn(caller, key_id)?),
        };
        Ok(UpdateTrail {
            kms_key_arn,
            ..change
        })
    }
}

type Switched<'a> = (
    strongroom_types::AccountId,
    &'a TrailName,
    &'a crate::event::Event,
);

/// `requestParameters` of CreateTrail and UpdateTrail, without names of trail and bucket.
fn asked(change: &UpdateTrail) -> Params {
    let UpdateTrail {
        bucket: _,
        prefix,
        kms_key_arn,
        validation,
        global_events,
        multi_region,
    } = change;
    let mut params = Params::new()
        .optional("s3KeyPrefix", prefix.as_deref())
        .optional("kmsKeyId", kms_key_arn.as_deref());
    for (name, value) in [
        ("enableLogFileValidation", validation),
        ("includeGlobalServiceEvents", global_events),
        ("isMultiRegionTrail", multi_region),
    ] {
        if let Some(value) = value {
            params = params.flag(name, *value);
        }
    }
    params
}

/// `responseElements` of CreateTrail and UpdateTrail.
fn answered(trail: &Trail) -> Params {
    Params::new()
        .text("name", &trail.name)
        .text("trailARN", &trail.arn())
        .text("s3BucketName", &trail.bucket)
        .optional("s3KeyPrefix", trail.prefix.as_deref())
        .optional("kmsKeyId", trail.kms_key_arn.as_deref())
        .flag("includeGlobalServiceEvents", trail.global_events)
        .flag("isMultiRegionTrail", trail.multi_region)
        .flag("logFileValidationEnabled", trail.validation)
        .flag("isOrganizationTrail", false)
}
