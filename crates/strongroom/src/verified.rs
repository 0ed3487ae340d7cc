//! The report of a verification as it is kept: with what it is of, and signed by the store.

use std::path::PathBuf;

use serde::Serialize;
use strongroom_ports::Clock as _;
use strongroom_verify::Report;

use crate::adapters::SystemClock;
use crate::failure::Failure;
use crate::reports::{Reports, stamp, text_of};

/// A report, and of which store and when: without that, an older one could stand in its place.
#[derive(Serialize)]
struct Verified<'a> {
    what: &'static str,
    /// The store's ring; absent if no key was at hand to say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    ring_id: Option<String>,
    began: &'a str,
    ended: String,
    program: &'static str,
    #[serde(flatten)]
    report: &'a Report,
}

/// When a verification began, ISO 8601.
pub(crate) struct Began(String);

impl Began {
    /// Now.
    pub(crate) fn now() -> Self {
        Self(SystemClock::new().now().to_iso8601())
    }

    /// The report of the verification, which has just ended, as its file holds it.
    pub(crate) fn text(&self, report: &Report, ring_id: Option<[u8; 16]>) -> String {
        text_of(&Verified {
            what: "strongroom verify",
            ring_id: ring_id.map(hex::encode),
            began: &self.0,
            ended: SystemClock::new().now().to_iso8601(),
            program: concat!("strongroom ", env!("CARGO_PKG_VERSION")),
            report,
        })
    }

    /// Signs that text and keeps it. Its path.
    ///
    /// # Errors
    ///
    /// As [`Reports::write`].
    pub(crate) fn keep(&self, reports: &Reports<'_>, text: &str) -> Result<PathBuf, Failure> {
        reports.write_text(&format!("verified-{}", stamp(&self.0)), text)
    }
}
