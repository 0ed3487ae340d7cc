//! Log files: which events, under which name, in which bytes.

use aws_lc_rs::digest::{SHA256, digest};
use strongroom_types::Timestamp;

use crate::TrailError;
use crate::event::Event;
use crate::gzip::gzip;
use crate::ledger::Ledger;
use crate::limits::{LOG_FILE_MAX_BYTES, LOG_FILE_MAX_EVENTS, SPOOL_MAX_MILLIS};
use crate::read::Cursor;
use crate::records::Lane;
use crate::trails::state::TrailState;
use crate::trails::{Delivered, Trail};

/// Events of a trail, as a log file holds them.
pub(crate) struct LogFile {
    /// `{"Records":[...` without its end.
    json: Vec<u8>,
    pub events: u64,
    oldest_millis: u64,
    newest_millis: u64,
    /// The batch behind the last that was read, of each lane.
    pub management_end: u64,
    pub data_end: u64,
    /// Whether nothing was left behind because the file was full.
    pub is_all: bool,
}

/// Where to stop reading: at the batches of a plan, or where it is enough.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Plan { management: u64, data: u64 },
    Enough,
}

impl LogFile {
    /// Reads what comes next for a trail. The same ledger, state and plan give the same file.
    pub(crate) fn read(
        ledger: &Ledger,
        trail: &Trail,
        state: &TrailState,
        until: Until,
    ) -> Result<Self, TrailError> {
        let mut file = Self {
            json: b"{\"Records\":[".to_vec(),
            events: 0,
            oldest_millis: u64::MAX,
            newest_millis: 0,
            management_end: state.management,
            data_end: state.data,
            is_all: true,
        };
        for lane in Lane::ALL {
            if lane == Lane::Data && !state.wants_data(trail) {
                // Nothing of it; but not all of the past either, when that changes.
                file.data_end = match until {
                    Until::Plan { data, .. } => data,
                    Until::Enough => file.data_end.max(ledger.end(lane)?.batch),
                };
                continue;
            }
            let mut at = match lane {
                Lane::Management => state.management,
                Lane::Data => state.data,
            };
            let end = match (until, lane) {
                (Until::Plan { management, .. }, Lane::Management) => management,
                (Until::Plan { data, .. }, Lane::Data) => data,
                (Until::Enough, _) => ledger.end(lane)?.batch,
            };
            while at < end {
                let full =
                    file.json.len() >= LOG_FILE_MAX_BYTES || file.events >= LOG_FILE_MAX_EVENTS;
                if full && matches!(until, Until::Enough) {
                    file.is_all = false;
                    break;
                }
                let Some((events, next)) = ledger.read_next(lane, Cursor { batch: at })? else {
                    break;
                };
                at = next.batch;
                if at > end {
                    // What was to be delivered is too old and gone.
                    at = end;
                    break;
                }
                for event in events.iter().filter(|event| takes(trail, state, event)) {
                    file.push(event);
                }
            }
            match lane {
                Lane::Management => file.management_end = at,
                Lane::Data => file.data_end = at,
            }
        }
        Ok(file)
    }

    fn push(&mut self, event: &Event) {
        if self.events > 0 {
            self.json.push(b',');
        }
        self.json.extend_from_slice(&event.document);
        self.events += 1;
        self.oldest_millis = self.oldest_millis.min(event.time_millis);
        self.newest_millis = self.newest_millis.max(event.time_millis);
    }

    /// The gzip file, and what the digest says of it.
    pub(crate) fn into_object(mut self, bucket: &str, key: &str) -> (Vec<u8>, Delivered) {
        self.json.extend_from_slice(b"]}");
        let delivered = Delivered {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            hash: sha256(&self.json),
            oldest_millis: self.oldest_millis,
            newest_millis: self.newest_millis,
        };
        (gzip(&self.json), delivered)
    }
}

/// Whether what comes into the ledger after logging was started happened since, too. What is much older
/// is from after the clock was set back.
fn is_since(since_millis: u64, time: u64) -> bool {
    time >= since_millis || since_millis - time > SPOOL_MAX_MILLIS
}

/// Whether an event is one of this trail.
fn takes(trail: &Trail, state: &TrailState, event: &Event) -> bool {
    let time = event.time_millis;
    event.account == trail.account
        && is_since(state.since_millis, time)
        && state.stopping_millis.is_none_or(|stopped| time <= stopped)
        && state.wants(trail, event)
}

/// `[prefix/]AWSLogs/ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/ACCOUNT_CloudTrail_REGION_YYYYMMDDTHHmmZ_UNIQUE.json.gz`,
/// with the time of delivery and 16 random letters and digits.
pub(crate) fn file_key(trail: &Trail, now: Timestamp, random: [u8; 16]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789Aa";
    let (root, account, region) = (trail.root(), &trail.account, &trail.region);
    let (day, stamp) = (day(now), now.to_amz_date());
    let minute = stamp.get(..13).unwrap_or_default();
    let unique: String = random
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(byte % 64)))
        .map(|letter| char::from(*letter))
        .collect();
    format!(
        "{root}CloudTrail/{region}/{day}/{account}_CloudTrail_{region}_{minute}Z_{unique}.json.gz"
    )
}

/// `2026/01/02`.
pub(crate) fn day(time: Timestamp) -> String {
    let mut day = time.to_iso8601();
    day.truncate(10);
    day.replace('-', "/")
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
