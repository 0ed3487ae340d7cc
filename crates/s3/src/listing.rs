//! The one engine behind all listings: keys in byte order, rolled up at a delimiter, a page at a time.
//!
//! A common prefix costs one seek, however many keys it stands for: after it is shown, the walk
//! continues at the smallest row behind every key that starts with it. Rows are not opened here;
//! whoever shows one opens it.

use std::collections::VecDeque;

use bytes::Bytes;
use strongroom_ports::{MetaStore, Row, Scan, Table};
use strongroom_types::BucketUid;

use crate::{S3Error, keys};

/// Which table is listed, and so how its rows are keyed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Listed {
    /// Current versions: one row a key.
    Current,
    /// Versions and delete markers, newest first.
    Versions,
    /// Uploads in progress, oldest first.
    Uploads,
}

impl Listed {
    fn table(self) -> Table {
        match self {
            Self::Current => Table::CURRENT,
            Self::Versions => Table::VERSIONS,
            Self::Uploads => Table::UPLOADS,
        }
    }

    /// The start of the rows whose keys start with `text`, or follow such keys.
    fn rows_from(self, bucket: BucketUid, text: &str) -> Bytes {
        match self {
            Self::Current => keys::current_from(bucket, text.as_bytes()),
            Self::Versions => keys::versions_from(bucket, text.as_bytes()),
            Self::Uploads => keys::uploads_from(bucket, text.as_bytes()),
        }
    }

    /// The first row key behind all rows of exactly the key `text`.
    fn rows_behind(self, bucket: BucketUid, text: &str) -> Bytes {
        let mut row_key = self.rows_from(bucket, text).to_vec();
        match self {
            // The next string in byte order is the key with a zero byte appended.
            Self::Current => row_key.push(0),
            // `00 00` ends the key, `00 FF` is a zero byte in a longer one: this is between.
            Self::Versions | Self::Uploads => row_key.extend_from_slice(&[0, 1]),
        }
        row_key.into()
    }

    fn object_key(self, row: &Row) -> Option<String> {
        match self {
            Self::Current => keys::object_key_of_current(&row.key).map(str::to_owned),
            Self::Versions => keys::parse_version(&row.key).map(|(key, _)| key),
            Self::Uploads => keys::parse_upload(&row.key).map(|(key, _)| key),
        }
    }
}

/// Where a walk starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Position {
    /// At the first key.
    Start,
    /// Behind all rows of this key, and behind the common prefix that it lies in.
    BehindKey(String),
    /// Behind this row of this key, or behind the common prefix that the key lies in.
    BehindRow {
        /// The object key.
        key: String,
        /// The row's whole key.
        row_key: Bytes,
    },
}

/// What a walk meets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Met {
    /// Keys that start with this were rolled up.
    CommonPrefix(String),
    /// A row, and its object key.
    Row(String, Row),
}

/// A walk through the keys of a bucket.
pub(crate) struct Walk<'a> {
    meta: &'a dyn MetaStore,
    listed: Listed,
    bucket: BucketUid,
    prefix: &'a str,
    delimiter: Option<&'a str>,
    /// Rows read ahead.
    ahead: VecDeque<Row>,
    /// Where the next scan starts; `None` when there is nothing left to scan.
    next: Option<Bytes>,
    end: Option<Bytes>,
    /// Rows of the next scan. Small after a seek, because the rows behind a common prefix are likely
    /// to be skipped as well; doubled with every scan that was used up.
    batch: usize,
    batch_max: usize,
}

impl<'a> Walk<'a> {
    /// Starts a walk of which about `wanted` entries will be used.
    pub(crate) fn new(
        meta: &'a dyn MetaStore,
        listed: Listed,
        bucket: BucketUid,
        prefix: &'a str,
        delimiter: Option<&'a str>,
        position: &Position,
        wanted: u32,
    ) -> Self {
        // An empty delimiter is none.
        let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty());
        let first = listed.rows_from(bucket, prefix);
        let end = keys::successor_of_prefix(&first);
        let end = (!end.is_empty()).then_some(end);
        let batch_max = usize::try_from(wanted).unwrap_or(usize::MAX).clamp(1, 1000) + 1;
        let batch = if delimiter.is_some() {
            batch_max.min(BATCH_AFTER_SEEK)
        } else {
            batch_max
        };
        let mut walk = Self {
            meta,
            listed,
            bucket,
            prefix,
            delimiter,
            ahead: VecDeque::new(),
            next: None,
            end,
            batch,
            batch_max,
        };
        let start = match position {
            Position::Start => first.clone(),
            Position::BehindKey(key) | Position::BehindRow { key, .. }
                if walk.common_prefix(key).is_some() =>
            {
                walk.behind_common_prefix(walk.common_prefix(key).unwrap_or_default())
            }
            Position::BehindKey(key) => listed.rows_behind(bucket, key),
            Position::BehindRow { row_key, .. } => keys::behind(row_key),
        };
        walk.next = Some(start.max(first));
        walk
    }

    /// The next entry in order.
    pub(crate) fn step(&mut self) -> Result<Option<Met>, S3Error> {
        let Some(row) = self.next_row()? else {
            return Ok(None);
        };
        let key = self.listed.object_key(&row).ok_or(S3Error::Damaged)?;
        let Some(common) = self.common_prefix(&key).map(str::to_owned) else {
            return Ok(Some(Met::Row(key, row)));
        };
        self.skip_to(self.behind_common_prefix(&common));
        Ok(Some(Met::CommonPrefix(common)))
    }

    fn next_row(&mut self) -> Result<Option<Row>, S3Error> {
        if self.ahead.is_empty() {
            self.read_ahead()?;
        }
        Ok(self.ahead.pop_front())
    }

    fn read_ahead(&mut self) -> Result<(), S3Error> {
        let Some(start) = self.next.take() else {
            return Ok(());
        };
        if self.end.as_ref().is_some_and(|end| start >= *end) {
            return Ok(());
        }
        let page = self.meta.scan(&Scan {
            table: self.listed.table(),
            start,
            end: self.end.clone(),
            limit: self.batch,
            reverse: false,
        })?;
        self.batch = self.batch.saturating_mul(2).min(self.batch_max);
        if page.more {
            self.next = page.rows.last().map(|row| keys::behind(&row.key));
        }
        self.ahead = page.rows.into();
        Ok(())
    }

    /// Continues at `row_key`, with a seek where the rows read ahead end before it.
    fn skip_to(&mut self, row_key: Bytes) {
        let skipped = self.ahead.partition_point(|row| row.key < row_key);
        self.ahead.drain(..skipped);
        if self.ahead.is_empty()
            && let Some(next) = self.next.take()
        {
            self.next = Some(next.max(row_key));
            self.batch = self.batch_max.min(BATCH_AFTER_SEEK);
        }
    }

    /// The part of `key` up to and with the first delimiter behind the prefix.
    fn common_prefix<'k>(&self, key: &'k str) -> Option<&'k str> {
        let delimiter = self.delimiter?;
        let rest = key.strip_prefix(self.prefix)?;
        let at = rest.find(delimiter)?;
        key.get(..self.prefix.len() + at + delimiter.len())
    }

    fn behind_common_prefix(&self, common: &str) -> Bytes {
        keys::successor_of_prefix(&self.listed.rows_from(self.bucket, common))
    }
}

/// Rows read by the first scan after a seek: enough to find several lone keys at once, few enough
/// that a thousand common prefixes stay cheap.
const BATCH_AFTER_SEEK: usize = 4;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use strongroom_ports::Transaction;
    use strongroom_store::MemoryMeta;
    use strongroom_types::{ObjectKey, Timestamp, UploadId, VersionUid};

    use super::*;

    const BUCKET: BucketUid = BucketUid::from_bytes([0xFF; 16]);

    /// What a listing shows, told apart: a key and the number of its row, or a common prefix.
    #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
    struct Shown(String, Option<u64>);

    fn upload(number: u64) -> UploadId {
        UploadId {
            initiated: Timestamp::from_millis(number),
            version_uid: VersionUid::from_bytes([3; 16]),
        }
    }

    fn row_key(listed: Listed, key: &str, number: u64) -> Bytes {
        let key = ObjectKey::parse(key).unwrap();
        match listed {
            Listed::Current => keys::current(BUCKET, &key),
            // Newest first: row 0 has the highest sequence.
            Listed::Versions => keys::version(BUCKET, &key, 1000 - number),
            Listed::Uploads => keys::upload(BUCKET, &key, upload(number)),
        }
    }

    fn number(listed: Listed, row: &Row) -> u64 {
        match listed {
            Listed::Current => 0,
            Listed::Versions => 1000 - keys::parse_version(&row.key).unwrap().1,
            Listed::Uploads => keys::parse_upload(&row.key)
                .unwrap()
                .1
                .initiated
                .as_millis(),
        }
    }

    fn store(listed: Listed, rows: &BTreeSet<(String, u64)>) -> MemoryMeta {
        let meta = MemoryMeta::new();
        let mut transaction = Transaction::new();
        for (key, number) in rows {
            transaction =
                transaction.put(listed.table(), row_key(listed, key, *number), Bytes::new());
        }
        // A neighbour's row, which no listing of this bucket may show.
        let mut neighbour = vec![0xFF; 15];
        neighbour.extend_from_slice(&[0xFE, b'a', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        transaction = transaction.put(listed.table(), neighbour, Bytes::new());
        meta.commit(transaction).wait().unwrap();
        meta
    }

    /// The definition of a listing, without any cleverness.
    fn model(
        rows: &BTreeSet<(String, u64)>,
        prefix: &str,
        delimiter: &str,
        after: Option<&Shown>,
    ) -> Vec<Shown> {
        let mut shown = BTreeSet::new();
        for (key, number) in rows {
            let Some(rest) = key.strip_prefix(prefix) else {
                continue;
            };
            let at = if delimiter.is_empty() {
                None
            } else {
                rest.find(delimiter)
            };
            shown.insert(match at {
                Some(at) => Shown(key[..prefix.len() + at + delimiter.len()].to_owned(), None),
                None => Shown(key.clone(), Some(*number)),
            });
        }
        let behind = |entry: &Shown| match after {
            None => true,
            Some(Shown(key, None)) => entry.0 > *key,
            Some(Shown(key, Some(number))) => {
                entry.0 > *key || (entry.0 == *key && entry.1.is_some_and(|row| row > *number))
            }
        };
        shown.into_iter().filter(behind).collect()
    }

    fn position(listed: Listed, after: Option<&Shown>) -> Position {
        match after {
            None => Position::Start,
            Some(Shown(key, None)) => Position::BehindKey(key.clone()),
            Some(Shown(key, Some(number))) => Position::BehindRow {
                key: key.clone(),
                row_key: row_key(listed, key, *number),
            },
        }
    }

    fn page(
        meta: &MemoryMeta,
        listed: Listed,
        prefix: &str,
        delimiter: &str,
        after: Option<&Shown>,
        limit: u32,
    ) -> (Vec<Shown>, bool) {
        let at = position(listed, after);
        let mut walk = Walk::new(meta, listed, BUCKET, prefix, Some(delimiter), &at, limit);
        let mut entries = Vec::new();
        for _ in 0..limit {
            match walk.step().unwrap() {
                None => return (entries, false),
                Some(Met::CommonPrefix(common)) => entries.push(Shown(common, None)),
                Some(Met::Row(key, row)) => entries.push(Shown(key, Some(number(listed, &row)))),
            }
        }
        (entries, walk.step().unwrap().is_some())
    }

    fn text() -> impl Strategy<Value = String> {
        "[a/\u{0}\u{1}\u{ff}\u{10ffff}]{0,5}"
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        #[test]
        fn listings_show_what_the_definition_says(
            keys in prop::collection::btree_set((text().prop_filter("a key", |key| !key.is_empty()), 0_u64..3), 0..24),
            prefix in prop_oneof![Just(String::new()), text()],
            delimiter in prop_oneof![
                Just("/"), Just(""), Just("a"), Just("//"), Just("a/"), Just("\u{0}"), Just("\u{ff}"), Just("\u{10ffff}"),
            ],
            start in prop::option::of(text().prop_filter("a marker", |key| !key.is_empty())),
            limit in 1_u32..8,
            listed in prop_oneof![Just(Listed::Current), Just(Listed::Versions), Just(Listed::Uploads)],
        ) {
            let rows: BTreeSet<(String, u64)> = match listed {
                Listed::Current => keys.iter().map(|(key, _)| (key.clone(), 0)).collect(),
                Listed::Versions | Listed::Uploads => keys,
            };
            let meta = store(listed, &rows);
            let start = start.map(|key| Shown(key, None));
            let expected = model(&rows, &prefix, delimiter, start.as_ref());
            let mut shown = Vec::new();
            let mut after = start;
            loop {
                let (entries, more) = page(&meta, listed, &prefix, delimiter, after.as_ref(), limit);
                prop_assert_eq!(entries.is_empty() && more, false);
                after = entries.last().cloned().or(after);
                shown.extend(entries);
                if !more {
                    break;
                }
            }
            prop_assert_eq!(shown, expected);
        }

        #[test]
        fn a_page_may_start_behind_any_row(
            keys in prop::collection::btree_set((text().prop_filter("a key", |key| !key.is_empty()), 0_u64..3), 1..16),
            delimiter in prop_oneof![Just("/"), Just(""), Just("a")],
            pick in any::<prop::sample::Index>(),
            listed in prop_oneof![Just(Listed::Versions), Just(Listed::Uploads)],
        ) {
            let meta = store(listed, &keys);
            let (key, number) = pick.get(&keys.iter().cloned().collect::<Vec<_>>()).clone();
            // A row inside of a common prefix stands for the common prefix.
            let marker = Shown(key.clone(), Some(number));
            let expected = model(&keys, "", delimiter, Some(&marker));
            let (shown, _) = page(&meta, listed, "", delimiter, Some(&marker), 1000);
            prop_assert_eq!(shown, expected);
        }
    }

    #[test]
    fn a_common_prefix_costs_one_small_scan() {
        let rows = (0..50)
            .flat_map(|folder| (0..40).map(move |file| (format!("{folder:02}/{file:02}"), 0)))
            .collect();
        let meta = Counting {
            inner: store(Listed::Current, &rows),
            rows: 0.into(),
            scans: 0.into(),
        };
        let mut walk = Walk::new(
            &meta,
            Listed::Current,
            BUCKET,
            "",
            Some("/"),
            &Position::Start,
            1000,
        );
        let mut prefixes = 0;
        while walk.step().unwrap().is_some() {
            prefixes += 1;
        }
        let scans = meta.scans.into_inner();
        assert_eq!(prefixes, 50);
        assert!(scans <= 51, "{scans} scans");
        assert!(meta.rows.into_inner() <= 51 * BATCH_AFTER_SEEK);
    }

    struct Counting {
        inner: MemoryMeta,
        rows: std::sync::atomic::AtomicUsize,
        scans: std::sync::atomic::AtomicUsize,
    }

    impl MetaStore for Counting {
        fn read(
            &self,
            table: Table,
            key: &[u8],
        ) -> Result<Option<strongroom_ports::Stored>, strongroom_ports::MetaError> {
            self.inner.read(table, key)
        }

        fn scan(
            &self,
            scan: &Scan,
        ) -> Result<strongroom_ports::ScanPage, strongroom_ports::MetaError> {
            let page = self.inner.scan(scan)?;
            self.scans
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            self.rows
                .fetch_add(page.rows.len(), std::sync::atomic::Ordering::Relaxed);
            Ok(page)
        }

        fn commit(&self, transaction: Transaction) -> strongroom_ports::PendingCommit {
            self.inner.commit(transaction)
        }
    }
}
