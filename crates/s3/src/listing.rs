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
            Position::BehindRow { row_key, .. } => [row_key.as_ref(), &[0]].concat().into(),
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
            self.next = page
                .rows
                .last()
                .map(|row| [row.key.as_ref(), &[0]].concat().into());
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
