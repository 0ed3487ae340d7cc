//! The table of operations.

use strongroom_audit::service::{CloudTrail, CloudTrailError};
use strongroom_types::RequestContext;

use super::{handle_events, handle_selectors, handle_tags, handle_trails, shapes};
use crate::json::{ErrorAnswer, Input, JsonService, Operation, Outcome, Run, unsupported};
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

/// Rows: the name, who records it (`reads` at the edge, `changes` in their transactions), members, handler.
macro_rules! operations {
    ($($name:ident $kind:ident $members:ident $module:ident::$handler:ident;)+) => {
        /// All operations that are supported.
        const SUPPORTED: &[Operation<CloudTrail>] = &[$(
            Operation {
                name: stringify!($name),
                action: concat!("cloudtrail:", stringify!($name)),
                members: shapes::$members,
                recorded: operations!(@$kind),
                run: Run::Worker($module::$handler),
            },
        )+];
    };
    (@reads) => { Recorded::AtEdge };
    (@changes) => { Recorded::InTransaction };
}

operations! {
    CreateTrail changes CREATE_TRAIL handle_trails::create_trail;
    UpdateTrail changes UPDATE_TRAIL handle_trails::update_trail;
    DeleteTrail changes NAMED handle_trails::delete_trail;
    DescribeTrails reads DESCRIBE_TRAILS handle_trails::describe_trails;
    GetTrail reads NAMED handle_trails::get_trail;
    ListTrails reads LIST_TRAILS handle_trails::list_trails;
    GetTrailStatus reads NAMED handle_trails::get_trail_status;
    StartLogging changes NAMED handle_trails::start_logging;
    StopLogging changes NAMED handle_trails::stop_logging;
    PutEventSelectors changes PUT_EVENT_SELECTORS handle_selectors::put_event_selectors;
    GetEventSelectors reads GET_EVENT_SELECTORS handle_selectors::get_event_selectors;
    GetEventConfiguration reads GET_EVENT_CONFIGURATION handle_selectors::get_event_configuration;
    GetInsightSelectors reads GET_INSIGHT_SELECTORS handle_selectors::get_insight_selectors;
    LookupEvents reads LOOKUP_EVENTS handle_events::lookup_events;
    ListPublicKeys reads LIST_PUBLIC_KEYS handle_events::list_public_keys;
    AddTags changes ADD_TAGS handle_tags::add_tags;
    RemoveTags changes ADD_TAGS handle_tags::remove_tags;
    ListTags reads LIST_TAGS handle_tags::list_tags;
}

/// Operations that AWS has and this server has not: CloudTrail Lake, organizations, insights.
const UNSUPPORTED: &[Operation<CloudTrail>] = unsupported!["cloudtrail:", refuse;
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
];

fn refuse(_: &CloudTrail, _: &RequestContext, _: &Input) -> Outcome {
    Err(super::error::unsupported(
        "This server has no CloudTrail Lake, no organizations and no insights.",
    )
    .into())
}
