//! The background thread of S3's server access logs: keeps lines as rows a second after their requests,
//! and puts them as objects into the target buckets, as `logging.s3.amazonaws.com`, whom the buckets'
//! policies must let.
//!
//! Rows are deleted when their object is durable. The object's name follows from the first of them, so
//! that a delivery that a crash cut off is put once more under the same name.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use minicbor::{Decode, Encode};
use parking_lot::Mutex;
use strongroom_api::AccessLog;
use strongroom_api::s3::{ByService, ServicePut, ServiceS3, grant_headers};
use strongroom_audit::{AuditLog, Params};
use strongroom_ports::{Clock, CommitError, Entropy, MetaError, Scan, Table, Transaction};
use strongroom_rows::{Record, RowError, SealedRows};
use strongroom_s3::{LOGGING_SERVICE, LogKeyFormat, LoggedBucket, S3, S3Error, log_source};
use strongroom_types::{Region, Timestamp};

use super::background::{Background, Stuck};
use super::deeds::record;

/// How long it rests between rounds.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// Longest time until a change of the configuration counts.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Lines of a row, in bytes.
const ROW_BYTES: usize = 32 << 10;
/// Rows of an object.
const OBJECT_ROWS: usize = 256;
/// Rows of a bucket that wait for a target that does not take them; the oldest go.
const WAITING_ROWS_MAX: usize = 1024;

/// Lines that wait to be delivered.
#[derive(Encode, Decode)]
#[cbor(map)]
struct LinesRow {
    #[n(0)]
    text: String,
}

impl Record for LinesRow {
    const KIND: u8 = 0x68;
}

/// Server access logs of this server.
pub(super) struct AccessLogs {
    pub(super) log: Arc<AccessLog>,
    pub(super) s3: Arc<S3>,
    pub(super) rows: SealedRows,
    pub(super) waiting: Waiting,
    pub(super) region: Region,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// How often lines are delivered.
    pub(super) every: Duration,
}

/// Why a round is broken off; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    #[error(transparent)]
    S3(#[from] S3Error),
    #[error(transparent)]
    Meta(#[from] MetaError),
    #[error(transparent)]
    Row(#[from] RowError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Rows of one bucket that become one object.
struct Batch {
    bucket: String,
    keys: Vec<Bytes>,
    text: String,
}

impl AccessLogs {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The operating system's, when it gives no thread.
    pub(super) fn start(self: &Arc<Self>, stuck: Stuck) -> io::Result<Background> {
        let own = Arc::clone(self);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let put = ServiceS3 {
            s3: own.s3.clone(),
            region: own.region.clone(),
            clock: own.clock.clone(),
            entropy: own.entropy.clone(),
        };
        let mut logged: Option<(Duration, BTreeMap<String, LoggedBucket>)> = None;
        let mut delivered = own.clock.monotonic();
        Background::start("access-logs", stuck, move || {
            let now = own.clock.monotonic();
            let since = |then: Duration| now.saturating_sub(then);
            let mut round = || {
                if logged
                    .as_ref()
                    .is_none_or(|(then, _)| since(*then) >= LOOK_EVERY.min(own.every))
                {
                    logged = Some((now, own.look()?));
                }
                own.write()?;
                if let Some((_, logged)) = &logged
                    && since(delivered) >= own.every
                {
                    delivered = now;
                    own.waiting.deliver(logged, &|object, body| {
                        let put = runtime.block_on(put.put(object, body));
                        put.map_err(|refusal| format!("{}: {}", refusal.code, refusal.message))
                    })?;
                }
                Ok::<(), LogError>(())
            };
            if let Err(error) = round() {
                tracing::warn!(%error, "access logs are interrupted; tried again");
                metrics::counter!("strongroom_access_log_failures_total").increment(1);
            }
            ROUND_EVERY
        })
    }

    /// Which buckets are logged now.
    fn look(&self) -> Result<BTreeMap<String, LoggedBucket>, LogError> {
        let found = self.s3.logged_buckets()?;
        let named = |it: LoggedBucket| (it.bucket.name.to_string(), it);
        let logged: BTreeMap<_, _> = found.into_iter().map(named).collect();
        let owner = |(name, it): (&String, &LoggedBucket)| {
            (
                name.clone(),
                it.bucket.owner_canonical_id.as_str().to_owned(),
            )
        };
        self.log.set(logged.iter().map(owner).collect());
        Ok(logged)
    }

    /// Makes the lines that wait in memory durable. Those that have no room are lost and counted.
    pub(super) fn write(&self) -> Result<(), LogError> {
        let mut by_bucket: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
        let lines = self.log.take();
        let count = lines.len();
        for line in lines {
            let rows = by_bucket.entry(line.bucket).or_default();
            match rows.last_mut() {
                Some((_, text)) if text.len() + line.text.len() <= ROW_BYTES => {
                    text.push_str(&line.text);
                }
                Some(_) | None => rows.push((line.millis, line.text)),
            }
        }
        let rows = by_bucket
            .into_iter()
            .flat_map(|(bucket, rows)| rows.into_iter().map(move |row| (bucket.clone(), row)));
        // All commits join one group.
        let receipts: Vec<_> = rows
            .map(|(bucket, (millis, text))| {
                let key = self.key(&bucket, millis);
                let value = self.rows.seal(Table::ACCESS_LOGS, &key, &LinesRow { text });
                let put = Transaction::new().put(Table::ACCESS_LOGS, key, value);
                self.rows.meta.commit(put)
            })
            .collect();
        let written = receipts.into_iter().try_for_each(|it| it.wait().map(drop));
        if written.is_err() {
            let lost = u64::try_from(count).unwrap_or(u64::MAX);
            metrics::counter!("strongroom_access_log_lines_dropped_total").increment(lost);
        }
        Ok(written?)
    }

    fn key(&self, bucket: &str, millis: u64) -> Vec<u8> {
        let mut random = [0; 8];
        self.entropy.fill(&mut random);
        [bucket.as_bytes(), &[0], &millis.to_be_bytes(), &random].concat()
    }
}

/// Lines on disk, on their way to the target buckets.
pub(super) struct Waiting {
    rows: SealedRows,
    audit: AuditLog,
    /// Rows that do not open, of which the trail knows. They stay where they are, for `verify`.
    damaged: Mutex<BTreeSet<Bytes>>,
}

impl Waiting {
    pub(super) fn new(rows: SealedRows, audit: AuditLog) -> Self {
        Self {
            rows,
            audit,
            damaged: Mutex::default(),
        }
    }

    /// Puts what waits, bucket by bucket.
    fn deliver(
        &self,
        logged: &BTreeMap<String, LoggedBucket>,
        put: &dyn Fn(ServicePut, Vec<u8>) -> Result<(), String>,
    ) -> Result<(), LogError> {
        let by_day = |bucket: &str| {
            logged
                .get(bucket)
                .is_some_and(|it| it.logging.key_format == LogKeyFormat::ByEventTime)
        };
        let mut start = Bytes::new();
        while let Some(batch) = self.next_batch(&start, &by_day)? {
            let behind_bucket = [batch.bucket.as_bytes(), &[1]].concat().into();
            let Some(of) = logged.get(&batch.bucket) else {
                // Nobody wants them any more.
                self.remove(&batch.keys)?;
                continue;
            };
            let Some(object) = object(of, &batch) else {
                start = behind_bucket;
                continue;
            };
            match put(object, batch.text.into_bytes()) {
                Ok(()) => self.remove(&batch.keys)?,
                Err(why) => {
                    let (bucket, target) = (&batch.bucket, &of.logging.target_bucket);
                    tracing::warn!(%bucket, %target, %why, "an access log is not delivered; tried again");
                    metrics::counter!("strongroom_access_log_failures_total").increment(1);
                    self.bound(&batch.bucket)?;
                    start = behind_bucket;
                }
            }
        }
        Ok(())
    }

    /// The first rows from `start` on that belong together. Rows that do not open are passed over.
    fn next_batch(
        &self,
        start: &Bytes,
        by_day: &dyn Fn(&str) -> bool,
    ) -> Result<Option<Batch>, LogError> {
        let mut start = start.clone();
        loop {
            let page = self.rows.meta.scan(&Scan {
                table: Table::ACCESS_LOGS,
                start,
                end: None,
                limit: OBJECT_ROWS,
                reverse: false,
            })?;
            let mut batch: Option<(Batch, u64)> = None;
            for row in &page.rows {
                let Some((bucket, millis, _)) = parse_key(&row.key) else {
                    self.remove(std::slice::from_ref(&row.key))?;
                    continue;
                };
                let opened = self
                    .rows
                    .open::<LinesRow>(Table::ACCESS_LOGS, &row.key, &row.value);
                let text = match opened {
                    Ok(LinesRow { text }) => text,
                    Err(RowError::Damaged(_)) => {
                        self.tell_damaged(bucket, millis, &row.key);
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                let day = millis / 86_400_000;
                match &mut batch {
                    None => {
                        let bucket = bucket.to_owned();
                        let keys = vec![row.key.clone()];
                        batch = Some((Batch { bucket, keys, text }, day));
                    }
                    Some((batch, first_day)) => {
                        if batch.bucket != bucket || (by_day(bucket) && day != *first_day) {
                            break;
                        }
                        batch.keys.push(row.key.clone());
                        batch.text.push_str(&text);
                    }
                }
            }
            match (batch, page.rows.last()) {
                (Some((batch, _)), _) => return Ok(Some(batch)),
                // Nothing good in it.
                (None, Some(last)) if page.more => {
                    start = [last.key.as_ref(), &[0]].concat().into();
                }
                (None, _) => return Ok(None),
            }
        }
    }

    /// Raises an integrity event, once for each row while the server runs.
    fn tell_damaged(&self, bucket: &str, millis: u64, key: &Bytes) {
        if !self.damaged.lock().insert(key.clone()) {
            return;
        }
        let what = "access log";
        let first = Timestamp::from_millis(millis).to_iso8601();
        tracing::error!(bucket, %first, "lines of an access log do not verify; the others are delivered");
        metrics::counter!("strongroom_integrity_events_total", "what" => what).increment(1);
        let details = Params::new()
            .text("what", what)
            .text("bucketName", bucket)
            .text("firstLine", &first)
            .text("row", &hex::encode(key));
        if let Err(failure) = record(&self.audit, "IntegrityFailure", &details, None) {
            tracing::error!(reason = %failure.what, "an integrity event is not recorded");
            // Told again in the next round.
            self.damaged.lock().remove(key);
        }
    }

    fn remove(&self, keys: &[Bytes]) -> Result<(), LogError> {
        let deletes = keys.iter().fold(Transaction::new(), |transaction, key| {
            transaction.delete(Table::ACCESS_LOGS, key.clone())
        });
        self.rows.meta.commit(deletes.taking_away()).wait()?;
        Ok(())
    }

    /// Lets the oldest lines go of a bucket whose target takes none.
    fn bound(&self, bucket: &str) -> Result<(), LogError> {
        let page = self.rows.meta.scan(&Scan {
            table: Table::ACCESS_LOGS,
            start: [bucket.as_bytes(), &[0]].concat().into(),
            end: Some([bucket.as_bytes(), &[1]].concat().into()),
            limit: WAITING_ROWS_MAX,
            reverse: false,
        })?;
        if !page.more {
            return Ok(());
        }
        let oldest: Vec<Bytes> = page
            .rows
            .iter()
            .take(OBJECT_ROWS)
            .map(|it| it.key.clone())
            .collect();
        metrics::counter!("strongroom_access_log_rows_dropped_total")
            .increment(u64::try_from(oldest.len()).unwrap_or(u64::MAX));
        self.remove(&oldest)
    }
}

/// Bucket, time and random part of a row's key.
fn parse_key(key: &[u8]) -> Option<(&str, u64, &[u8])> {
    let at = key.iter().position(|byte| *byte == 0)?;
    let (bucket, rest) = key.split_at_checked(at)?;
    let (millis, random) = rest.get(1..)?.split_first_chunk::<8>()?;
    let bucket = std::str::from_utf8(bucket).ok()?;
    Some((bucket, u64::from_be_bytes(*millis), random))
}

/// Where a batch goes.
fn object(of: &LoggedBucket, batch: &Batch) -> Option<ServicePut> {
    let (_, millis, random) = parse_key(batch.keys.first()?)?;
    let unique = hex::encode_upper(random);
    // 2026-01-02T10:00:00.000Z
    let iso = Timestamp::from_millis(millis).to_iso8601();
    let (day, time) = (iso.get(..10)?, iso.get(11..19)?.replace(':', "-"));
    let (bucket, logging) = (&of.bucket, &of.logging);
    let prefix = &logging.target_prefix;
    let partition = || {
        format!(
            "{}/{}/{}/{}/",
            bucket.owner,
            bucket.region.as_str(),
            bucket.name,
            day.replace('-', "/")
        )
    };
    let key = match logging.key_format {
        LogKeyFormat::Simple | LogKeyFormat::SimpleByName => {
            format!("{prefix}{day}-{time}-{unique}")
        }
        // The time of the day is left out then, as S3 does.
        LogKeyFormat::ByEventTime => format!("{prefix}{}{day}-00-00-00-{unique}", partition()),
        LogKeyFormat::ByDeliveryTime => format!("{prefix}{}{day}-{time}-{unique}", partition()),
    };
    Some(ServicePut {
        by: ByService {
            service: LOGGING_SERVICE,
            source: log_source(bucket),
        },
        bucket: logging.target_bucket.to_string(),
        key,
        headers: std::iter::once(("content-type".to_owned(), "text/plain".to_owned()))
            .chain(grant_headers(
                &logging.grants_of(&bucket.owner_canonical_id),
            ))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use strongroom_audit::{Attribute, Home, Ledger, Lookup};
    use strongroom_crypto::Keyring;
    use strongroom_rows::Custody;
    use strongroom_store::MemoryMeta;
    use strongroom_types::AccountId;

    use super::*;
    use crate::adapters::{SystemClock, SystemEntropy};

    fn waiting() -> Waiting {
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let clock = Arc::new(SystemClock::new());
        let (ring, _) = Keyring::create(clock.now(), &*entropy);
        let rows = SealedRows {
            meta: Arc::new(MemoryMeta::new()),
            custody: Arc::new(Custody::new(Arc::new(ring))),
            entropy,
        };
        let home = Home {
            account: AccountId::parse("111122223333").unwrap(),
            region: Region::parse("us-east-1").unwrap(),
        };
        Waiting::new(rows.clone(), AuditLog::new(rows, clock, home))
    }

    impl Waiting {
        /// Makes a row, with a byte changed if it shall not open.
        fn put(&self, bucket: &str, number: u64, is_damaged: bool) {
            let key = [
                bucket.as_bytes(),
                &[0],
                &number.to_be_bytes(),
                &number.to_be_bytes(),
            ];
            let (key, text) = (key.concat(), format!("{bucket} {number}\n"));
            let sealed = self.rows.seal(Table::ACCESS_LOGS, &key, &LinesRow { text });
            let mut value = sealed.to_vec();
            if is_damaged {
                value[20] ^= 1;
            }
            let put = Transaction::new().put(Table::ACCESS_LOGS, key, value);
            self.rows.meta.commit(put).wait().unwrap();
        }

        /// The texts of all batches, as they would be delivered.
        fn texts(&self) -> Vec<String> {
            let mut texts = Vec::new();
            while let Some(batch) = self.next_batch(&Bytes::new(), &|_| false).unwrap() {
                self.remove(&batch.keys).unwrap();
                texts.push(batch.text);
            }
            texts
        }

        /// The integrity events: bucket and row.
        fn told(&self) -> Vec<serde_json::Value> {
            let query = Lookup {
                account: self.audit.home().account,
                by: Some((Attribute::EventName, "IntegrityFailure".to_owned())),
                start: None,
                end: None,
                max_results: 50,
                next_token: None,
            };
            let ledger = Ledger::new(self.rows.clone(), self.audit.home().clone());
            let page = ledger.lookup(&query, self.audit.now()).unwrap();
            let parsed = page.events.iter();
            let parsed = parsed.map(|it| serde_json::from_str::<serde_json::Value>(it.document()));
            parsed
                .map(|it| it.unwrap()["serviceEventDetails"].clone())
                .collect()
        }
    }

    #[test]
    fn a_damaged_row_is_told_once_and_holds_up_no_good_one() {
        let waiting = waiting();
        for (bucket, number, is_damaged) in [
            ("a", 0, true),
            ("a", 1, false),
            ("a", 2, true),
            ("a", 3, false),
            ("b", 4, true),
            ("c", 5, false),
        ] {
            waiting.put(bucket, number, is_damaged);
        }
        assert_eq!(waiting.texts(), ["a 1\na 3\n", "c 5\n"]);
        assert_eq!(waiting.texts(), Vec::<String>::new());
        let told = waiting.told();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told.iter().all(|it| it["what"] == "access log"));
        let of_b = told.iter().filter(|it| it["bucketName"] == "b");
        assert_eq!(of_b.count(), 1);
        // What is written later is found behind them.
        waiting.put("a", 6, false);
        assert_eq!(waiting.texts(), ["a 6\n"]);
        assert_eq!(waiting.told().len(), 3);
    }

    #[test]
    fn more_damaged_rows_than_are_read_at_once_hide_nothing_behind_them() {
        let waiting = waiting();
        let many = u64::try_from(OBJECT_ROWS).unwrap() + 3;
        for number in 0..many {
            waiting.put("a", number, true);
        }
        waiting.put("a", many, false);
        assert_eq!(waiting.texts(), [format!("a {many}\n")]);
    }

    #[test]
    fn row_keys_are_read_back() {
        let key = [b"photos".as_slice(), &[0], &5_u64.to_be_bytes(), &[7; 8]].concat();
        assert_eq!(parse_key(&key), Some(("photos", 5, [7; 8].as_slice())));
        assert_eq!(parse_key(b"photos"), None);
    }
}
