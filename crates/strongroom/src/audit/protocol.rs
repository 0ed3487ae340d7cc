//! What is asked about the audit trail, and what is answered: through the admin socket of the running
//! server, or without one in the program itself.

use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(tag = "audit", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum AuditRequest {
    /// Chain what is recorded, so that all of it is found, and say where the lanes begin and end.
    Settle,
    /// Read some events of a lane.
    Read {
        /// The lane's name.
        lane: String,
        /// The batch where to begin.
        from: u64,
        /// Whether to read what is before it, and not what begins there.
        back: bool,
        /// About how many.
        limit: usize,
        /// Which.
        filter: FilterAsked,
    },
    /// Begin to verify a lane.
    Verify {
        /// The lane's name.
        lane: String,
        /// `NUMBER:HASH` of batches that were kept elsewhere.
        anchors: Vec<String>,
    },
    /// Go on with it.
    VerifyMore {
        /// Which one.
        id: u64,
    },
}

impl AuditRequest {
    /// What the log calls it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Settle => "audit-settle",
            Self::Read { .. } => "audit-read",
            Self::Verify { .. } => "audit-verify",
            Self::VerifyMore { .. } => "audit-verify-more",
        }
    }
}

/// Which events are wanted.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterAsked {
    /// Part of the ARN, name or access key id.
    pub(crate) principal: Option<String>,
    /// Part of the ARN of a KMS key, or an alias.
    pub(crate) key: Option<String>,
    /// A bucket's name.
    pub(crate) bucket: Option<String>,
    /// The operation.
    pub(crate) event: Option<String>,
    /// Part of a request's id.
    pub(crate) request_id: Option<String>,
    /// `ok`, `denied` or `failed`.
    pub(crate) outcome: Option<String>,
    /// Not older, in milliseconds.
    pub(crate) since_millis: Option<u64>,
    /// Not newer, in milliseconds.
    pub(crate) until_millis: Option<u64>,
}

/// What is answered.
#[derive(Serialize, Deserialize)]
#[serde(tag = "audited", rename_all = "kebab-case")]
pub(crate) enum AuditAnswer {
    /// To [`AuditRequest::Settle`].
    Settled {
        /// Both lanes.
        lanes: Vec<LaneBounds>,
    },
    /// To [`AuditRequest::Read`].
    Read(EventsPage),
    /// To [`AuditRequest::Verify`] and [`AuditRequest::VerifyMore`], while there is more to do.
    Verifying {
        /// With which to go on.
        id: u64,
        /// Batches that were verified.
        done: u64,
        /// Batches that there are.
        total: u64,
    },
    /// To the same, at the end.
    Verified(LaneReport),
}

/// Where a lane begins and ends, in numbers of batches.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct LaneBounds {
    pub(crate) lane: String,
    pub(crate) first: u64,
    /// The number of the batch to come.
    pub(crate) next: u64,
}

/// Events, oldest first.
#[derive(Serialize, Deserialize)]
pub(crate) struct EventsPage {
    pub(crate) events: Vec<EventShown>,
    /// Where to go on.
    pub(crate) at: u64,
    /// Nothing is left in that direction at the moment.
    pub(crate) is_end: bool,
}

/// An event.
#[derive(Serialize, Deserialize)]
pub(crate) struct EventShown {
    /// When, in milliseconds.
    pub(crate) millis: u64,
    /// The CloudTrail record: JSON.
    pub(crate) record: String,
}

/// What a verification found.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(crate) struct LaneReport {
    /// The lane's name.
    pub(crate) lane: String,
    /// Batches that were read.
    pub(crate) batches: u64,
    /// Events in them.
    pub(crate) events: u64,
    /// Events that are recorded, and not yet in a batch.
    pub(crate) waiting: u64,
    /// `LANE:NUMBER:HASH` of the last batch, if there is one.
    pub(crate) anchor: Option<String>,
    /// What is wrong.
    pub(crate) findings: Vec<String>,
    /// How much more is wrong.
    pub(crate) more_findings: u64,
}
