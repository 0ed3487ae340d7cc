//! CloudTrail's operations: what their callers may do, and what is recorded of those that change
//! something.
//!
//! Each method asks the authorizer before it looks at anything, so that who may not ask learns nothing.
//! Those that only read are recorded by whoever answers them; those that change something bring their
//! record in the transaction of the change.

mod configuration;
mod error;
mod lookup;
mod tags;
mod target;
mod trails;

use std::sync::Arc;

use strongroom_policy::{AccessRequest, Authorizer, Conditions, Resource};
use strongroom_types::{AccountId, RequestContext};

pub use self::error::CloudTrailError;
pub use self::lookup::{ListPublicKeysInput, LookupEventsInput};
pub use self::tags::TagsOf;
pub use self::target::{DeliveryTarget, TargetProblem};
pub use self::trails::{CreateTrailInput, Elsewhere, UpdateTrailInput};
use crate::event::{Event, EventBuilder};
use crate::params::Params;
use crate::trails::{
    DigestSigner, Trail, TrailName, TrailProblem, TrailState, Trails, is_trail_arn, trail_arn,
};

/// Under which its calls are recorded.
const SOURCE: &str = "cloudtrail.amazonaws.com";

/// What the service stands on.
#[derive(Clone)]
pub struct CloudTrailPorts {
    /// The trails, and the ledger that they deliver.
    pub trails: Trails,
    /// Whose public keys are listed.
    pub signer: Arc<dyn DigestSigner>,
    /// Where trails deliver.
    pub target: Arc<dyn DeliveryTarget>,
    /// Decisions.
    pub authorizer: Arc<dyn Authorizer>,
    /// Whether digests of trails with a key that are made or updated from now on are encrypted with
    /// that key; else with SSE-S3.
    pub digests_under_key: bool,
}

/// CloudTrail. All methods block: call them from a worker thread.
pub struct CloudTrail {
    ports: CloudTrailPorts,
}

impl CloudTrail {
    /// A service on its ports.
    pub fn new(ports: CloudTrailPorts) -> Self {
        Self { ports }
    }

    /// Asks whether the caller may do `action` to anything of CloudTrail in its account, which it
    /// gives.
    fn authorize(
        &self,
        caller: &RequestContext,
        action: &'static str,
    ) -> Result<AccountId, CloudTrailError> {
        self.authorize_on(caller, action, |_| "*".to_owned(), &Conditions::default())
    }

    /// Asks whether the caller may do `action` to the trail that `name_or_arn` means, and what trail
    /// that is.
    fn authorize_trail(
        &self,
        caller: &RequestContext,
        action: &'static str,
        name_or_arn: &str,
        conditions: &Conditions,
    ) -> Result<(AccountId, TrailName), CloudTrailError> {
        let region = &self.ports.trails.home().region;
        let arn = |account: AccountId| {
            if name_or_arn.starts_with("arn:") {
                name_or_arn.to_owned()
            } else {
                trail_arn(account.as_str(), region.as_str(), name_or_arn)
            }
        };
        let account = self.authorize_on(caller, action, arn, conditions)?;
        if name_or_arn.starts_with("arn:") && !is_trail_arn(name_or_arn) {
            return Err(CloudTrailError::Arn(name_or_arn.to_owned()));
        }
        Ok((account, TrailName::of(name_or_arn, account, region)?))
    }

    /// Of what is not there.
    fn unknown(account: AccountId, name: &TrailName) -> CloudTrailError {
        TrailProblem::Unknown(format!("{name} for the user: {account}")).into()
    }

    fn find(
        &self,
        account: AccountId,
        name: &TrailName,
    ) -> Result<(Trail, TrailState), CloudTrailError> {
        self.ports.trails.get(account, name).map_err(|error| {
            let error = CloudTrailError::from(error);
            if matches!(error, CloudTrailError::Trail(TrailProblem::Unknown(_))) {
                Self::unknown(account, name)
            } else {
                error
            }
        })
    }

    /// The record of a call that changes `trail`.
    fn event(
        &self,
        caller: &RequestContext,
        name: &'static str,
        (params, response): (&Params, &Params),
        arn: &str,
    ) -> Event {
        let event = EventBuilder::of(caller, SOURCE, name)
            .params(params)
            .response(response)
            .resource("AWS::CloudTrail::Trail", arn, caller.principal.account());
        self.ports.trails.finish(event)
    }

    fn authorize_on(
        &self,
        caller: &RequestContext,
        action: &'static str,
        arn: impl FnOnce(AccountId) -> String,
        conditions: &Conditions,
    ) -> Result<AccountId, CloudTrailError> {
        // Who has no account has no trails.
        let account = caller
            .principal
            .account()
            .ok_or_else(|| CloudTrailError::AccessDenied("Access Denied".to_owned()))?;
        let resource = Resource::Trail {
            account,
            arn: arn(account).into(),
        };
        self.ports.authorizer.decide(&AccessRequest {
            context: caller,
            action,
            resource: &resource,
            conditions,
            resource_policy: None,
            grants: None,
            acls: None,
        })?;
        Ok(account)
    }
}
