//! LookupEvents: the newest events of an account, by one attribute, a page at a time.

use std::cmp::Reverse;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use strongroom_ports::{Scan, Table};
use strongroom_types::{AccountId, Timestamp};

use crate::event::{Event, EventId};
use crate::index::{Attribute, posting_key, prefix};
use crate::ledger::Ledger;
use crate::limits::{
    BATCH_SPAN_MILLIS, LOOKUP_MAX_RESULTS, LOOKUP_VALUE_MAX_BYTES, RETENTION_MILLIS,
};
use crate::records::{Lane, PostingRow, SPOOL};
use crate::{TrailError, records};

/// Rows of the spool or of the index that are read at a time.
const PAGE_ROWS: usize = 128;

/// A query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Whose events.
    pub account: AccountId,
    /// One attribute and its value, or all events.
    pub by: Option<(Attribute, String)>,
    /// The first second that counts.
    pub start: Option<Timestamp>,
    /// The last second that counts.
    pub end: Option<Timestamp>,
    /// 1 to 50.
    pub max_results: usize,
    /// Of the page before.
    pub next_token: Option<String>,
}

/// What a query found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LookupPage {
    /// The events, newest first.
    pub events: Vec<Event>,
    /// With which to ask for more, if there are.
    pub next_token: Option<String>,
}

/// Why a query is not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The attribute's value is empty or too long (`InvalidLookupAttributesException`).
    #[error("the value of a lookup attribute has 1 to {LOOKUP_VALUE_MAX_BYTES} bytes")]
    Attributes,
    /// The range ends before it starts (`InvalidTimeRangeException`).
    #[error("the time range ends before it starts")]
    TimeRange,
    /// Not 1 to 50 (`InvalidMaxResultsException`).
    #[error("at least 1 and at most {LOOKUP_MAX_RESULTS} results are answered")]
    MaxResults,
    /// The token was changed, or is another query's (`InvalidNextTokenException`).
    #[error("the token is not one of this query")]
    NextToken,
    /// The trail cannot be read.
    #[error(transparent)]
    Trail(#[from] TrailError),
}

/// The place of an event in the order of answers.
type Place = (u64, EventId);

/// What an answer may hold.
struct Window<'a> {
    query: &'a Lookup,
    /// In milliseconds, both included.
    oldest: u64,
    newest: u64,
    /// Only what comes behind that.
    after: Option<Place>,
}

impl Window<'_> {
    fn takes(&self, event: &Event) -> bool {
        let time = event.time_millis;
        !event.data
            && event.account == self.query.account.as_str()
            && (self.oldest..=self.newest).contains(&time)
            && self.after.is_none_or(|after| (time, event.id) < after)
            && self
                .query
                .by
                .as_ref()
                .is_none_or(|(attribute, value)| attribute.matches(event, value))
    }

    /// The newest time that is of interest.
    fn first_millis(&self) -> u64 {
        self.after
            .map_or(self.newest, |(time, _)| time.min(self.newest))
    }
}

impl Ledger {
    /// Answers a query: management events of the last 90 days, those still in the spool included.
    ///
    /// # Errors
    ///
    /// [`LookupError`].
    pub fn lookup(&self, query: &Lookup, now: Timestamp) -> Result<LookupPage, LookupError> {
        let Lookup {
            by,
            start,
            end,
            max_results,
            next_token,
            ..
        } = query;
        if by
            .as_ref()
            .is_some_and(|(_, value)| value.is_empty() || value.len() > LOOKUP_VALUE_MAX_BYTES)
        {
            return Err(LookupError::Attributes);
        }
        if !(1..=LOOKUP_MAX_RESULTS).contains(max_results) {
            return Err(LookupError::MaxResults);
        }
        if let (Some(start), Some(end)) = (start, end)
            && start > end
        {
            return Err(LookupError::TimeRange);
        }
        let after = match next_token {
            Some(token) => Some(
                self.open_token(query, token)
                    .ok_or(LookupError::NextToken)?,
            ),
            None => None,
        };
        let retained = now.as_millis().saturating_sub(RETENTION_MILLIS);
        let mut window = Window {
            query,
            oldest: start.map_or(0, |it| it.as_seconds() * 1000).max(retained),
            newest: end.map_or(u64::MAX, |it| it.as_seconds().saturating_mul(1000) + 999),
            after,
        };
        if let Some((Attribute::EventId, value)) = by {
            // An id says when its event was.
            let Some(id) = EventId::parse(value) else {
                return Ok(LookupPage::default());
            };
            let time = id.time().as_millis();
            window.oldest = window.oldest.max(time);
            window.newest = window.newest.min(time);
        }
        let wanted = max_results + 1;
        // The spool first: what is moved in between is found twice, and never not at all.
        let mut events = self.in_spool(&window, wanted)?;
        events.extend(self.in_ledger(&window, wanted)?);
        events.sort_by_key(|event| Reverse((event.time_millis, event.id)));
        events.dedup_by_key(|event| event.id);
        let more = events.len() > *max_results;
        events.truncate(*max_results);
        let next_token = events
            .last()
            .filter(|_| more)
            .map(|last| self.seal_token(query, (last.time_millis, last.id)));
        Ok(LookupPage { events, next_token })
    }

    fn in_spool(&self, window: &Window<'_>, wanted: usize) -> Result<Vec<Event>, TrailError> {
        let lane = Lane::Management.code();
        let mut found = Vec::new();
        let mut end = match window.after {
            Some((_, id)) => records::spool_key(Lane::Management, id),
            None => vec![SPOOL, lane + 1],
        };
        loop {
            let page = self.rows.meta.scan(&Scan {
                table: Table::AUDIT,
                // Rows of the first format included: they are few, and gone after the first step.
                start: Bytes::new(),
                end: Some(end.into()),
                limit: PAGE_ROWS,
                reverse: true,
            })?;
            for row in &page.rows {
                if let Some(spooled) = self.open_spooled(row)
                    && window.takes(&spooled.event)
                {
                    found.push(spooled.event);
                }
            }
            let enough = found.len() >= wanted;
            match page.rows.last() {
                Some(last) if page.more && !enough => end = last.key.to_vec(),
                _ => return Ok(found),
            }
        }
    }

    fn in_ledger(&self, window: &Window<'_>, wanted: usize) -> Result<Vec<Event>, TrailError> {
        let by = match &window.query.by {
            Some((Attribute::EventId, _)) | None => None,
            Some((attribute, value)) => Some((*attribute, value.as_str())),
        };
        let prefix = prefix(window.query.account.as_str(), by);
        // A row is filed under its newest event; older ones may stand behind it.
        let from = window.first_millis().saturating_add(BATCH_SPAN_MILLIS);
        let mut start = posting_key(&prefix, from, u64::MAX);
        let end = posting_key(&prefix, window.oldest, 0);
        let mut found: Vec<Event> = Vec::new();
        loop {
            let (rows, more) = self.rows.scan::<PostingRow>(
                Table::AUDIT_INDEX,
                (start.into(), Some([end.as_slice(), &[0]].concat().into())),
                PAGE_ROWS,
            )?;
            for (row, posting) in &rows {
                if found.len() >= wanted && is_behind(&mut found, wanted, newest_of(&row.key)) {
                    return Ok(found);
                }
                if posting.oldest_millis > window.first_millis() {
                    continue;
                }
                self.collect(window, posting, &mut found)?;
            }
            match rows.last() {
                Some((last, _)) if more => start = [last.key.as_ref(), &[0]].concat(),
                _ => return Ok(found),
            }
        }
    }

    fn collect(
        &self,
        window: &Window<'_>,
        posting: &PostingRow,
        found: &mut Vec<Event>,
    ) -> Result<(), TrailError> {
        let events = self.read_events(Lane::Management, posting.batch, &posting.positions)?;
        // None: swept since.
        let events = events.into_iter().flatten();
        found.extend(events.filter(|event| window.takes(event)));
        Ok(())
    }

    fn seal_token(&self, query: &Lookup, (time, id): Place) -> String {
        let place = [time.to_be_bytes().as_slice(), id.as_bytes()].concat();
        let sealed = self.rows.custody.rows().seal(
            Table::AUDIT_INDEX.0,
            &token_key(query),
            &place,
            &*self.rows.entropy,
        );
        URL_SAFE_NO_PAD.encode(sealed)
    }

    fn open_token(&self, query: &Lookup, token: &str) -> Option<Place> {
        let sealed = URL_SAFE_NO_PAD.decode(token).ok()?;
        let opened = self
            .rows
            .custody
            .rows()
            .open(Table::AUDIT_INDEX.0, &token_key(query), &sealed)
            .ok()?;
        let (time, id) = opened.split_first_chunk::<8>()?;
        let id = EventId::from_bytes(id.try_into().ok()?);
        Some((u64::from_be_bytes(*time), id))
    }
}

/// Whether all that a row of the index leads to comes behind the first `wanted` of `found`.
fn is_behind(found: &mut [Event], wanted: usize, newest_millis: u64) -> bool {
    found.sort_by_key(|event| Reverse((event.time_millis, event.id)));
    found
        .get(wanted.saturating_sub(1))
        .is_some_and(|last| last.time_millis > newest_millis)
}

fn newest_of(key: &[u8]) -> u64 {
    let time = key.get(16..24).and_then(|it| it.first_chunk::<8>());
    time.map_or(u64::MAX, |time| !u64::from_be_bytes(*time))
}

/// What a token is bound to: the query without page size. No row of the index has a key so long.
fn token_key(query: &Lookup) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    let mut put = |bytes: &[u8]| {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        context.update(&len.to_be_bytes());
        context.update(bytes);
    };
    put(query.account.as_str().as_bytes());
    match &query.by {
        Some((attribute, value)) => put(format!("{attribute:?}={value}").as_bytes()),
        None => put(b""),
    }
    for time in [query.start, query.end] {
        put(&time.map_or(u64::MAX, Timestamp::as_seconds).to_be_bytes());
    }
    [b"lookup token".as_slice(), context.finish().as_ref()].concat()
}
