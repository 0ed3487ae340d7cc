//! What is read of the trail as a whole: its events, and the keys that its digests are signed with.

use strongroom_types::{RequestContext, Timestamp};

use super::{CloudTrail, CloudTrailError};
use crate::index::Attribute;
use crate::limits::LOOKUP_MAX_RESULTS;
use crate::lookup::{Lookup, LookupPage};
use crate::trails::PublicKey;

/// LookupEvents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookupEventsInput {
    /// `LookupAttributes`: at most one.
    pub attributes: Vec<(Attribute, String)>,
    /// `StartTime`.
    pub start: Option<Timestamp>,
    /// `EndTime`.
    pub end: Option<Timestamp>,
    /// `MaxResults`; 50 where it is not given.
    pub max_results: Option<u32>,
    /// `NextToken`.
    pub next_token: Option<String>,
}

/// ListPublicKeys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPublicKeysInput {
    /// `StartTime`; now where it is not given.
    pub start: Option<Timestamp>,
    /// `EndTime`; now where it is not given.
    pub end: Option<Timestamp>,
    /// `NextToken`. None is ever given out: all keys fit into one answer.
    pub next_token: Option<String>,
}

impl CloudTrail {
    /// LookupEvents: the management events of the caller's account, newest first.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn lookup_events(
        &self,
        caller: &RequestContext,
        input: LookupEventsInput,
    ) -> Result<LookupPage, CloudTrailError> {
        let account = self.authorize(caller, "cloudtrail:LookupEvents")?;
        let LookupEventsInput {
            attributes,
            start,
            end,
            max_results,
            next_token,
        } = input;
        let mut attributes = attributes.into_iter();
        let by = attributes.next();
        if attributes.next().is_some() {
            return Err(CloudTrailError::LookupAttributes(
                "You can have only one lookup attribute.",
            ));
        }
        if let Some((Attribute::ReadOnly, value)) = &by
            && value != "true"
            && value != "false"
        {
            return Err(CloudTrailError::LookupAttributes(
                "The value of ReadOnly is true or false.",
            ));
        }
        let max_results = match max_results {
            Some(max) => usize::try_from(max).map_err(|_| CloudTrailError::MaxResults)?,
            None => LOOKUP_MAX_RESULTS,
        };
        let query = Lookup {
            account,
            by,
            start,
            end,
            max_results,
            next_token,
        };
        let trails = &self.ports.trails;
        Ok(trails.ledger.lookup(&query, trails.now())?)
    }

    /// ListPublicKeys: the public keys of digests of that time.
    ///
    /// # Errors
    ///
    /// [`CloudTrailError`].
    pub fn list_public_keys(
        &self,
        caller: &RequestContext,
        input: &ListPublicKeysInput,
    ) -> Result<Vec<PublicKey>, CloudTrailError> {
        self.authorize(caller, "cloudtrail:ListPublicKeys")?;
        if input.next_token.is_some() {
            return Err(CloudTrailError::Token);
        }
        let now = self.ports.trails.now();
        let (start, end) = (input.start.unwrap_or(now), input.end.unwrap_or(now));
        if start > end {
            return Err(CloudTrailError::TimeRange);
        }
        if (start..=end).contains(&now) {
            // There always is one of now, before the first digest too: `validate-logs` fails without.
            self.ports.signer.key_for(now)?;
        }
        Ok(self.ports.signer.public_keys(start, end)?)
    }
}
