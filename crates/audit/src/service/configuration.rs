//! What a trail delivers: event selectors, and what AWS has beside them.

use strongroom_policy::Conditions;
use strongroom_types::RequestContext;

use super::{CloudTrail, CloudTrailError};
use crate::params::Params;
use crate::trails::{Selectors, Trail};

impl CloudTrail {
    /// PutEventSelectors.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn put_event_selectors(
        &self,
        caller: &RequestContext,
        name_or_arn: &str,
        selectors: &Selectors,
    ) -> Result<Trail, CloudTrailError> {
        let action = "cloudtrail:PutEventSelectors";
        let (account, name) =
            self.authorize_trail(caller, action, name_or_arn, &Conditions::default())?;
        let (before, _) = self.find(account, &name)?;
        selectors.check()?;
        let shown = shown(selectors);
        let params = shown.clone().text("trailName", name_or_arn);
        let response = shown.text("trailARN", &before.arn());
        let event = self.event(
            caller,
            "PutEventSelectors",
            (&params, &response),
            &before.arn(),
        );
        let change = |trail| {
            Ok(Trail {
                selectors: selectors.clone(),
                ..trail
            })
        };
        Ok(self.ports.trails.update(account, &name, &event, change)?)
    }

    /// GetEventSelectors.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn get_event_selectors(
        &self,
        caller: &RequestContext,
        name_or_arn: &str,
    ) -> Result<Trail, CloudTrailError> {
        let read = self.read_trail(caller, "cloudtrail:GetEventSelectors", name_or_arn);
        read.map(|(trail, _)| trail)
    }

    /// GetEventConfiguration: records are of the standard size, and have no further context.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn get_event_configuration(
        &self,
        caller: &RequestContext,
        name_or_arn: &str,
    ) -> Result<Trail, CloudTrailError> {
        let read = self.read_trail(caller, "cloudtrail:GetEventConfiguration", name_or_arn);
        read.map(|(trail, _)| trail)
    }

    /// GetInsightSelectors: there are none.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError::InsightNotEnabled`] at best.
    pub fn get_insight_selectors(
        &self,
        caller: &RequestContext,
        name_or_arn: &str,
    ) -> Result<Trail, CloudTrailError> {
        let read = self.read_trail(caller, "cloudtrail:GetInsightSelectors", name_or_arn);
        let (trail, _) = read?;
        Err(CloudTrailError::InsightNotEnabled(trail.arn()))
    }
}

/// Selectors as records show them.
fn shown(selectors: &Selectors) -> Params {
    match selectors {
        Selectors::Basic(selectors) => {
            let selectors: Vec<Params> = selectors
                .iter()
                .map(|it| {
                    let resources: Vec<Params> = it
                        .data_resources
                        .iter()
                        .map(|it| {
                            Params::new()
                                .text("type", &it.kind)
                                .list("values", &it.values)
                        })
                        .collect();
                    Params::new()
                        .text("readWriteType", it.read_write.name())
                        .flag("includeManagementEvents", it.management)
                        .objects("dataResources", &resources)
                        .list("excludeManagementEventSources", &it.excluded_sources)
                })
                .collect();
            Params::new().objects("eventSelectors", &selectors)
        }
        Selectors::Advanced(selectors) => {
            let selectors: Vec<Params> = selectors
                .iter()
                .map(|it| {
                    let conditions: Vec<Params> = it
                        .conditions
                        .iter()
                        .map(|it| {
                            let mut params = Params::new().text("field", it.field.name());
                            for (name, values) in [
                                ("equals", &it.equals),
                                ("startsWith", &it.starts_with),
                                ("endsWith", &it.ends_with),
                                ("notEquals", &it.not_equals),
                                ("notStartsWith", &it.not_starts_with),
                                ("notEndsWith", &it.not_ends_with),
                            ] {
                                if !values.is_empty() {
                                    params = params.list(name, values);
                                }
                            }
                            params
                        })
                        .collect();
                    Params::new()
                        .optional("name", it.name.as_deref())
                        .objects("fieldSelectors", &conditions)
                })
                .collect();
            Params::new().objects("advancedEventSelectors", &selectors)
        }
    }
}
