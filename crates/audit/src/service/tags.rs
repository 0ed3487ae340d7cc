//! Tags of trails.

use strongroom_policy::Conditions;
use strongroom_types::RequestContext;

use super::{CloudTrail, CloudTrailError};
use crate::params::Params;
use crate::trails::{Trail, TrailProblem, is_trail_arn};

/// Most resources whose tags one call lists (ListTags API).
const RESOURCES_MAX: usize = 20;

impl CloudTrail {
    /// AddTags: a tag that is there gets the new value.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn add_tags(
        &self,
        caller: &RequestContext,
        arn: &str,
        tags: &[(String, String)],
    ) -> Result<(), CloudTrailError> {
        self.change_tags(caller, ("cloudtrail:AddTags", arn), tags, |mut trail| {
            for (key, value) in tags {
                match trail.tags.iter_mut().find(|(it, _)| it == key) {
                    Some((_, old)) => old.clone_from(value),
                    None => trail.tags.push((key.clone(), value.clone())),
                }
            }
            trail
        })
    }

    /// RemoveTags, by their keys.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn remove_tags(
        &self,
        caller: &RequestContext,
        arn: &str,
        tags: &[(String, String)],
    ) -> Result<(), CloudTrailError> {
        self.change_tags(caller, ("cloudtrail:RemoveTags", arn), tags, |mut trail| {
            trail
                .tags
                .retain(|(key, _)| !tags.iter().any(|(gone, _)| gone == key));
            trail
        })
    }

    fn change_tags(
        &self,
        caller: &RequestContext,
        (action, arn): (&'static str, &str),
        tags: &[(String, String)],
        change: impl Fn(Trail) -> Trail,
    ) -> Result<(), CloudTrailError> {
        let named = self.authorize_trail(caller, action, arn, &tag_conditions(tags));
        let (account, name) = named.map_err(|error| of_resource(error, arn))?;
        check_arn(arn)?;
        let mut keys: Vec<&str> = tags.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(TrailProblem::Tag.into());
        }
        let shown: Vec<Params> = tags
            .iter()
            .map(|(key, value)| Params::new().text("key", key).text("value", value))
            .collect();
        let params = Params::new()
            .text("resourceId", arn)
            .objects("tagsList", &shown);
        let operation = action.split_once(':').map_or(action, |(_, name)| name);
        let event = self.event(caller, operation, (&params, &Params::new()), arn);
        let done = self
            .ports
            .trails
            .update(account, &name, &event, |trail| Ok(change(trail)));
        done.map_err(|error| of_resource(error.into(), arn))?;
        Ok(())
    }

    /// ListTags of trails.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn list_tags(
        &self,
        caller: &RequestContext,
        arns: &[String],
        next_token: Option<&str>,
    ) -> Result<Vec<TagsOf>, CloudTrailError> {
        if arns.is_empty() || arns.len() > RESOURCES_MAX {
            self.authorize(caller, "cloudtrail:ListTags")?;
            return Err(CloudTrailError::ParameterCombination(
                "Tags of 1 to 20 resources can be listed at once.",
            ));
        }
        let mut listed = Vec::with_capacity(arns.len());
        for arn in arns {
            let read = self.read_trail(caller, "cloudtrail:ListTags", arn);
            let (trail, _) = read.map_err(|error| of_resource(error, arn))?;
            check_arn(arn)?;
            listed.push((arn.clone(), trail.tags));
        }
        if next_token.is_some() {
            return Err(CloudTrailError::Token);
        }
        Ok(listed)
    }
}

/// A resource's ARN, and its tags.
pub type TagsOf = (String, Vec<(String, String)>);

/// `aws:RequestTag/KEY` and `aws:TagKeys`.
pub(super) fn tag_conditions(tags: &[(String, String)]) -> Conditions {
    if tags.is_empty() {
        return Conditions::default();
    }
    let conditions = tags
        .iter()
        .fold(Conditions::default(), |conditions, (key, value)| {
            conditions.with_one_more(&format!("aws:RequestTag/{key}"), value)
        });
    conditions.with_all("aws:TagKeys", tags.iter().map(|(key, _)| key.clone()))
}

/// Tags are for resources, which are named by ARNs only.
fn check_arn(arn: &str) -> Result<(), CloudTrailError> {
    if is_trail_arn(arn) {
        Ok(())
    } else {
        Err(CloudTrailError::Arn(arn.to_owned()))
    }
}

/// What is a trail elsewhere, and not there, is a resource here.
fn of_resource(error: CloudTrailError, arn: &str) -> CloudTrailError {
    let is_other_kind = || {
        ["eventdatastore/", "channel/", "dashboard/"]
            .iter()
            .any(|kind| arn.contains(&format!(":{kind}")))
    };
    if matches!(error, CloudTrailError::Trail(TrailProblem::Unknown(_))) {
        CloudTrailError::ResourceNotFound(arn.to_owned())
    } else if matches!(error, CloudTrailError::Arn(_)) && is_other_kind() {
        CloudTrailError::ResourceType(arn.to_owned())
    } else {
        error
    }
}
