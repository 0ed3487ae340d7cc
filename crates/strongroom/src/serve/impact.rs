//! What depends on keys that are endangered: counted in the background, gently, and told to the log.
//!
//! One walk at a time, for all keys that wait for one; it rests between pages so that requests do not
//! notice, and after its end as long as it took. A stop ends it, and the next date that draws near
//! begins it anew: `strongroom kms impact` tells at any time.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_kms::{KeyService, KeyStanding};
use strongroom_rows::SealedRows;
use strongroom_s3::{DependentCounts, Dependents, DependentsPlace, KeyNames};
use strongroom_types::kms::{KeyArn, KeyState};

use super::background::{Background, Stuck};
use super::due_work::report_endings;

/// Keys of one walk.
const KEYS_AT_ONCE: usize = 64;
/// Rows of a page.
const PAGE_ROWS: usize = 500;
/// Rest between pages: with it, at most 20,000 rows are looked at in a second.
const BETWEEN_PAGES: Duration = Duration::from_millis(25);
/// How long it rests when no key is endangered.
const IDLE: Duration = Duration::from_millis(500);
/// How long it rests after a failure of the store.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// After so many failures in a row the walk is given up.
const FAILURES_MAX: u32 = 20;

/// Starts the thread.
///
/// # Errors
///
/// The operating system's, when it gives no thread.
pub(super) fn start(
    rows: SealedRows,
    kms: Arc<KeyService>,
    stuck: Stuck,
) -> io::Result<Background> {
    let mut walk = None;
    Background::start("key-impact", stuck, move || {
        // Taken out: one that panics is not gone on with.
        match walk.take().or_else(|| Walk::begin(&rows, &kms)) {
            Some(begun) => {
                let (next, rest) = begun.go_on(&rows, &kms);
                walk = next;
                rest
            }
            None => IDLE,
        }
    })
}

/// A walk through everything that may depend on some keys.
struct Walk {
    keys: Vec<KeyNames>,
    /// By the index of the key.
    totals: Vec<Total>,
    place: Option<DependentsPlace>,
    damaged: u64,
    began: Instant,
    failures: u32,
}

/// What depends on one key.
#[derive(Clone, Default)]
struct Total {
    counts: DependentCounts,
    buckets: u64,
    /// The bucket that was counted last; a walk goes through them one after the other.
    last: Option<String>,
    defaults: u64,
}

impl Walk {
    fn begin(rows: &SealedRows, kms: &KeyService) -> Option<Self> {
        let endangered = kms.take_endangered(KEYS_AT_ONCE);
        if endangered.is_empty() {
            return None;
        }
        let names = endangered.into_iter().map(|arn| KeyNames {
            // Without them only the default encryption of buckets is told with less.
            aliases: KeyStanding::aliases(rows, &arn).unwrap_or_default(),
            arn,
        });
        let keys: Vec<KeyNames> = names.collect();
        Some(Self {
            totals: vec![Total::default(); keys.len()],
            keys,
            place: None,
            damaged: 0,
            began: Instant::now(),
            failures: 0,
        })
    }

    /// One page, and how long to rest behind it.
    fn go_on(mut self, rows: &SealedRows, kms: &KeyService) -> (Option<Self>, Duration) {
        let page = Dependents::new(rows, &self.keys).page(self.place.clone(), PAGE_ROWS);
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                self.failures += 1;
                let given_up = self.failures >= FAILURES_MAX;
                tracing::warn!(%error, given_up, "what depends on endangered keys cannot be counted");
                return ((!given_up).then_some(self), AFTER_FAILURE);
            }
        };
        self.failures = 0;
        self.damaged = self.damaged.saturating_add(page.damaged);
        for (at, found) in page.found {
            let Some(total) = self.totals.get_mut(at) else {
                continue;
            };
            total.counts.add(&found.counts);
            let name = found.bucket.to_string();
            if !found.counts.is_nothing() && total.last.as_ref() != Some(&name) {
                total.buckets += 1;
                total.last = Some(name);
            }
            total.defaults += u64::from(found.default_encryption);
        }
        if page.next.is_some() {
            self.place = page.next;
            return (Some(self), BETWEEN_PAGES);
        }
        for (key, total) in self.keys.iter().zip(&self.totals) {
            match kms.standing_of(&key.arn) {
                Ok(standing) => tell(&key.arn, standing.as_ref(), total, self.damaged),
                Err(error) => tracing::warn!(%error, key = %key.arn, "the key cannot be read"),
            }
        }
        metrics::counter!("strongroom_kms_impact_walks_total").increment(1);
        report_endings(&kms.near_endings());
        (None, self.began.elapsed().max(IDLE))
    }
}

/// Tells the log what depends on a key, by what has become of it since.
fn tell(arn: &KeyArn, standing: Option<&KeyStanding>, total: &Total, damaged: u64) {
    let id = arn.id;
    let danger = match standing {
        None => Some(("is deleted".to_owned(), "are unreadable", String::new())),
        Some(standing) => match (standing.state, standing.deletion, standing.valid_to) {
            (KeyState::PendingDeletion, Some(until), _) => Some((
                format!("will be deleted at {}", until.to_iso8601()),
                "become unreadable for good",
                format!("; to keep it: aws kms cancel-key-deletion --key-id {id}"),
            )),
            (KeyState::Disabled, ..) => Some((
                "is disabled".to_owned(),
                "cannot be read until it is enabled",
                format!("; aws kms enable-key --key-id {id}"),
            )),
            (KeyState::PendingImport, ..) => Some((
                "has lost imported material".to_owned(),
                "cannot be read until the same material is imported again",
                String::new(),
            )),
            (_, _, Some(valid_to)) => Some((
                format!("has material that expires at {}", valid_to.to_iso8601()),
                "cannot be read from then on, unless the same material is imported again",
                String::new(),
            )),
            // Somebody was faster, and nothing is lost.
            (_, _, None) => None,
        },
    };
    let Some((what, become_so, remedy)) = danger else {
        tracing::info!(key = %arn, "the key is out of danger");
        return;
    };
    let DependentCounts {
        objects,
        versions,
        bytes,
        uploads,
        ..
    } = total.counts;
    let (buckets, defaults) = (total.buckets, total.defaults);
    if versions == 0 && uploads == 0 && defaults == 0 && damaged == 0 {
        tracing::info!(key = %arn, "key {arn} {what}: nothing in this store depends on it");
        return;
    }
    tracing::warn!(
        key = %arn,
        objects,
        versions,
        bytes,
        uploads,
        buckets,
        default_encryption = defaults,
        damaged,
        "key {arn} {what}: {objects} objects ({versions} versions), {bytes} bytes in {buckets} \
         buckets {become_so}; see them: strongroom kms impact {arn}{remedy}"
    );
}
