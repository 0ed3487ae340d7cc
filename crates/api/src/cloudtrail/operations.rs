//! The table of operations.

use strongroom_audit::service::{CloudTrail, CloudTrailError};
use strongroom_types::RequestContext;

use super::{handle_events, shapes};
use crate::json::{ErrorAnswer, Input, JsonService, Operation, Outcome, Run};
use crate::recording::Recorded;
use crate::sigv4::Service;

impl JsonService for CloudTrail {
    const SERVICE: Service = Service::CloudTrail;
    const TARGET_PREFIXES: &'static [&'static str] = &[
        "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.",
        "CloudTrail_20131101.",
    ];

    fn operation(name: &str) -> Option<&'static Operation<Self>> {
        supported()
            .chain(UNSUPPORTED)
            .find(|operation| operation.name == name)
    }

    fn resident(&self) -> Option<&Self> {
        None
    }

    fn broken() -> ErrorAnswer {
        super::error::answer(&CloudTrailError::Unavailable)
    }

    fn throttled() -> ErrorAnswer {
        super::error::answer(&CloudTrailError::Contention)
    }
}

/// Every operation that does something.
pub(super) fn supported() -> impl Iterator<Item = &'static Operation<CloudTrail>> {
    SUPPORTED.iter()
}

/// Rows: the name, members, handler.
macro_rules! operations {
    ($($name:ident $members:ident $module:ident::$handler:ident;)+) => {
        /// All operations that are supported.
        const SUPPORTED: &[Operation<CloudTrail>] = &[$(
            Operation {
                name: stringify!($name),
                action: concat!("cloudtrail:", stringify!($name)),
                members: shapes::$members,
                recorded: Recorded::AtEdge,
                run: Run::Worker($module::$handler),
            },
        )+];
    };
}

operations! {
    LookupEvents LOOKUP_EVENTS handle_events::lookup_events;
    ListPublicKeys LIST_PUBLIC_KEYS handle_events::list_public_keys;
}

/// Operations that AWS has and this server has not: CloudTrail Lake, organizations, insights.
macro_rules! unsupported {
    ($($name:ident)+) => {
        const UNSUPPORTED: &[Operation<CloudTrail>] = &[$(
            Operation {
                name: stringify!($name),
                action: concat!("cloudtrail:", stringify!($name)),
                members: &[],
                recorded: Recorded::AtEdge,
                run: Run::Worker(refuse),
            },
        )+];
    };
}

unsupported! {
    CancelQuery
    CreateChannel
    CreateDashboard
    CreateEventDataStore
    DeleteChannel
    DeleteDashboard
    DeleteEventDataStore
    DeleteResourcePolicy
    DeregisterOrganizationDelegatedAdmin
    DescribeQuery
    DisableFederation
    EnableFederation
    GenerateQuery
    GetChannel
    GetDashboard
    GetEventDataStore
    GetImport
    GetQueryResults
    GetResourcePolicy
    ListChannels
    ListDashboards
    ListEventDataStores
    ListImportFailures
    ListImports
    ListInsightsData
    ListInsightsMetricData
    ListQueries
    PutEventConfiguration
    PutInsightSelectors
    PutResourcePolicy
    RegisterOrganizationDelegatedAdmin
    RestoreEventDataStore
    SearchSampleQueries
    StartDashboardRefresh
    StartEventDataStoreIngestion
    StartImport
    StartQuery
    StopEventDataStoreIngestion
    StopImport
    UpdateChannel
    UpdateDashboard
    UpdateEventDataStore
}

fn refuse(_: &CloudTrail, _: &RequestContext, _: &Input) -> Outcome {
    Err(super::error::unsupported(
        "This server has no CloudTrail Lake, no organizations and no insights.",
    )
    .into())
}
