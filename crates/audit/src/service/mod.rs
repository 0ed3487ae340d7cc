//! CloudTrail's operations: what their callers may do, and what is recorded of those that change
//! something.
//!
//! Each method asks the authorizer before it looks at anything, so that who may not ask learns nothing.
//! Those that only read are recorded by whoever answers them; those that change something bring their
//! record in the transaction of the change.

mod error;
mod lookup;

use std::sync::Arc;

use strongroom_policy::{AccessRequest, Authorizer, Conditions, Resource};
use strongroom_types::{AccountId, RequestContext};

pub use self::error::CloudTrailError;
pub use self::lookup::{ListPublicKeysInput, LookupEventsInput};
use crate::trails::{DigestSigner, Trails};

/// What the service stands on.
#[derive(Clone)]
pub struct CloudTrailPorts {
    /// The trails, and the ledger that they deliver.
    pub trails: Trails,
    /// Whose public keys are listed.
    pub signer: Arc<dyn DigestSigner>,
    /// Decisions.
    pub authorizer: Arc<dyn Authorizer>,
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
