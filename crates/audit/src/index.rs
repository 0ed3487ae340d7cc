//! What LookupEvents finds by: rows that lead from an attribute and a time into the ledger.

use std::collections::HashMap;

use aws_lc_rs::digest::{Context, SHA256};

use crate::event::Event;
use crate::limits::FACT_MAX_BYTES;
use crate::records::PostingRow;

/// What an event can be looked up by (LookupEvents API, `LookupAttributeKey`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Attribute {
    /// `EventId`.
    EventId,
    /// `EventName`.
    EventName,
    /// `ReadOnly`: `true` or `false`.
    ReadOnly,
    /// `Username`.
    Username,
    /// `ResourceType`.
    ResourceType,
    /// `ResourceName`: the ARN, or what it ends with.
    ResourceName,
    /// `EventSource`.
    EventSource,
    /// `AccessKeyId`.
    AccessKeyId,
}

impl Attribute {
    /// Parses the API's name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "EventId" => Self::EventId,
            "EventName" => Self::EventName,
            "ReadOnly" => Self::ReadOnly,
            "Username" => Self::Username,
            "ResourceType" => Self::ResourceType,
            "ResourceName" => Self::ResourceName,
            "EventSource" => Self::EventSource,
            "AccessKeyId" => Self::AccessKeyId,
            _ => return None,
        })
    }

    const fn code(self) -> u8 {
        match self {
            Self::EventId => 1,
            Self::EventName => 2,
            Self::ReadOnly => 3,
            Self::Username => 4,
            Self::ResourceType => 5,
            Self::ResourceName => 6,
            Self::EventSource => 7,
            Self::AccessKeyId => 8,
        }
    }

    /// Whether `event` has this attribute with that value.
    pub fn matches(self, event: &Event, value: &str) -> bool {
        match self {
            Self::EventId => event.id.to_string().eq_ignore_ascii_case(value),
            Self::EventName => event.name == value,
            Self::ReadOnly => flag(event.read_only) == value,
            Self::Username => event.user_name.as_deref() == Some(value),
            Self::ResourceType => event.resources.iter().any(|it| it.kind == value),
            Self::ResourceName => {
                let is = |it: &crate::Resource| it.arn == value || it.short_name() == value;
                event.resources.iter().any(is)
            }
            Self::EventSource => event.source == value,
            Self::AccessKeyId => event.access_key_id.as_deref() == Some(value),
        }
    }
}

const fn flag(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// All events of an account.
const EVERYTHING: u8 = 0;

/// The common start of the rows of an attribute's value in an account; of all events without one.
///
/// ```text
/// SHA-256("strongroom audit index 1" || account || attribute || value), cut to 16 bytes
/// ```
pub(crate) fn prefix(account: &str, by: Option<(Attribute, &str)>) -> [u8; 16] {
    let (attribute, value) = match by {
        Some((attribute, value)) => (attribute.code(), value),
        None => (EVERYTHING, ""),
    };
    let mut context = Context::new(&SHA256);
    context.update(b"strongroom audit index 1");
    context.update(&[u8::try_from(account.len()).unwrap_or(u8::MAX)]);
    context.update(account.as_bytes());
    context.update(&[attribute]);
    context.update(value.as_bytes());
    let hash = context.finish();
    let mut prefix = [0; 16];
    for (byte, from) in prefix.iter_mut().zip(hash.as_ref()) {
        *byte = *from;
    }
    prefix
}

/// `prefix(16) || BE64(!time of the newest) || BE64(!batch)`: newest first.
pub(crate) fn posting_key(prefix: &[u8; 16], newest_millis: u64, batch: u64) -> Vec<u8> {
    [
        prefix.as_slice(),
        &(!newest_millis).to_be_bytes(),
        &(!batch).to_be_bytes(),
    ]
    .concat()
}

/// The rows for the events of a batch. The same batch always has the same.
///
/// A row stands for all events of the batch that share a value, and not for one event: events of one
/// second are alike, so there are a tenth as many rows.
pub(crate) fn postings<'a>(
    number: u64,
    events: impl IntoIterator<Item = &'a Event>,
) -> Vec<(Vec<u8>, PostingRow)> {
    struct Group {
        newest: u64,
        oldest: u64,
        positions: Vec<u8>,
    }
    // An account, and what is searched by in it. Few values are in many events: they are hashed once.
    type Searched<'a> = (&'a str, Option<(Attribute, &'a str)>);
    let mut groups: HashMap<Searched<'a>, Group> = HashMap::new();
    for (position, event) in events.into_iter().enumerate() {
        let Ok(position) = u8::try_from(position) else {
            break;
        };
        // LookupEvents does not answer data events.
        if event.data {
            continue;
        }
        let time = event.time_millis;
        let mut put = |by: Option<(Attribute, &'a str)>| {
            let by =
                by.map(|(attribute, value)| (attribute, crate::event::cut(value, FACT_MAX_BYTES)));
            let group = groups
                .entry((event.account.as_str(), by))
                .or_insert_with(|| Group {
                    newest: time,
                    oldest: time,
                    positions: Vec::new(),
                });
            group.newest = group.newest.max(time);
            group.oldest = group.oldest.min(time);
            if group.positions.last() != Some(&position) {
                group.positions.push(position);
            }
        };
        put(None);
        put(Some((Attribute::EventName, &event.name)));
        put(Some((Attribute::ReadOnly, flag(event.read_only))));
        put(Some((Attribute::EventSource, &event.source)));
        if let Some(name) = &event.user_name {
            put(Some((Attribute::Username, name)));
        }
        if let Some(id) = &event.access_key_id {
            put(Some((Attribute::AccessKeyId, id)));
        }
        for resource in &event.resources {
            put(Some((Attribute::ResourceType, &resource.kind)));
            put(Some((Attribute::ResourceName, &resource.arn)));
            put(Some((Attribute::ResourceName, resource.short_name())));
        }
    }
    let rows = groups.into_iter().map(|((account, by), group)| {
        let row = PostingRow {
            batch: number,
            oldest_millis: group.oldest,
            positions: group.positions,
        };
        let prefix = prefix(account, by);
        (posting_key(&prefix, group.newest, number), row)
    });
    // The store takes rows in order more easily.
    let mut rows: Vec<_> = rows.collect();
    rows.sort_unstable_by(|left, right| left.0.cmp(&right.0));
    rows
}
