//! All bounds of the trail, with their units and sources.

/// Longest `requestParameters`, in bytes of JSON (CloudTrail User Guide, record contents).
pub const PARAMETERS_MAX_BYTES: usize = 100 << 10;
/// Longest `responseElements`, in bytes of JSON (the same).
pub const RESPONSE_MAX_BYTES: usize = 100 << 10;
/// Longest `additionalEventData`, in bytes of JSON (the same).
pub const ADDITIONAL_MAX_BYTES: usize = 28 << 10;
/// Longest `errorMessage` and `userAgent`, in bytes (the same).
pub const TEXT_MAX_BYTES: usize = 1 << 10;
/// Longest document, in bytes: with what it is searched by it must fit into one row of the metadata
/// port. Parts that are too long are left out, and say so. Ours.
pub const DOCUMENT_MAX_BYTES: usize = 40 << 10;
/// Most resources that an event names. Ours; AWS's records name at most two.
pub const RESOURCES_MAX: usize = 8;
/// Longest text that an event is searched by, in bytes. Ours; an ARN of an object has 1,100.
pub const FACT_MAX_BYTES: usize = 1280;
/// Longest name of an event, a source or an error, in bytes. Ours.
pub const NAME_MAX_BYTES: usize = 256;
/// Most events of one batch of the ledger: a position is one byte.
pub const BATCH_MAX_EVENTS: usize = 256;
/// Longest batch, in bytes before compression: a lookup unpacks whole batches.
pub const BATCH_MAX_BYTES: usize = 160 << 10;
/// Longest batch, in bytes after compression: a row holds it.
pub const BATCH_PACKED_MAX_BYTES: usize = 56 << 10;
/// Longest span of time of the events of one batch, in milliseconds. A lookup looks so far back.
pub const BATCH_SPAN_MILLIS: u64 = 10_000;
/// Events younger than that stay in the spool, so that the ledger is in order of time, in
/// milliseconds. They are durable and are found all the same. Short, since what goes on before the
/// store moves its rows into its index is never written there.
pub const SETTLE_MILLIS: u64 = 250;
/// How long an event may wait in the spool before it is in the ledger, in milliseconds: some seconds, and
/// more where the store is slow.
pub const SPOOL_MAX_MILLIS: u64 = 60_000;
/// Most rows of the spool that one step moves.
pub const STEP_MAX_EVENTS: usize = 1024;
/// A step's transaction takes no further batch beyond, in bytes; the port allows 1 MiB.
pub const STEP_MAX_BYTES: usize = 512 << 10;
/// How long LookupEvents finds an event, in milliseconds: 90 days (LookupEvents API).
pub const RETENTION_MILLIS: u64 = 90 * 24 * 3_600_000;
/// How much longer an event is kept that a trail could not deliver, in milliseconds: 30 days. Ours; a
/// bucket that is gone for ever must not fill the disk.
pub const UNDELIVERED_MILLIS: u64 = 30 * 24 * 3_600_000;
/// Most batches that one step of the retention sweep removes.
pub const SWEEP_MAX_BATCHES: u64 = 4;
/// Most results of one call of LookupEvents (LookupEvents API).
pub const LOOKUP_MAX_RESULTS: usize = 50;
/// Longest value of a lookup attribute, in bytes (LookupEvents API).
pub const LOOKUP_VALUE_MAX_BYTES: usize = 2000;
/// Most (source, reason) pairs that are counted apart in one interval. Ours.
pub const SAMPLED_PAIRS_MAX: usize = 1024;
/// Most of them that a summary names, so that it fits into an event. Ours.
pub const SUMMARY_PAIRS_MAX: usize = 100;
/// Denials of unauthenticated callers that are recorded one by one in an interval. Ours.
pub const SAMPLES_MAX: u32 = 30;
/// How often denials are summed up, in milliseconds. Ours.
pub const SUMMARY_INTERVAL_MILLIS: u64 = 60_000;
/// How long a trail collects events before it delivers them, in milliseconds: five minutes
/// (CloudTrail User Guide).
pub const DELIVERY_INTERVAL_MILLIS: u64 = 300_000;
/// Longest log file, in bytes before compression. Ours.
pub const LOG_FILE_MAX_BYTES: usize = 16 << 20;
/// Most events of one log file. Ours.
pub const LOG_FILE_MAX_EVENTS: u64 = 100_000;
/// Most log files that one digest lists; with more, the digest comes early. So that a trail's state
/// fits into a row. Ours.
pub const DIGEST_MAX_FILES: usize = 100;
/// What a digest covers, in milliseconds: an hour (CloudTrail User Guide).
pub const DIGEST_INTERVAL_MILLIS: u64 = 3_600_000;
/// First wait after a failed delivery, in milliseconds; it doubles up to the last. Ours.
pub const RETRY_FIRST_MILLIS: u64 = 5_000;
/// Last wait after failed deliveries, in milliseconds. Ours.
pub const RETRY_LAST_MILLIS: u64 = 300_000;
/// How long a deleted trail tries to deliver what is left, in milliseconds: a day. Ours.
pub const LAST_ATTEMPTS_MILLIS: u64 = 24 * 3_600_000;
/// After that a new key pair signs, in milliseconds: 365 days. Ours.
pub const SIGNING_KEY_MILLIS: u64 = 365 * 24 * 3_600_000;
/// Trails of one account and region (CloudTrail quotas).
pub const TRAILS_MAX: usize = 5;
/// Basic event selectors of a trail (PutEventSelectors API).
pub const SELECTORS_MAX: usize = 5;
/// Values of all data resources of a trail (PutEventSelectors API).
pub const DATA_RESOURCES_MAX: usize = 250;
/// Values of all conditions of a trail's advanced selectors (PutEventSelectors API).
pub const ADVANCED_VALUES_MAX: usize = 500;
/// Longest selectors of a trail, as they are stored, in bytes: they fit into a row with the rest of it. Ours.
pub const SELECTORS_MAX_BYTES: usize = 48 << 10;
/// Most changes of what a trail wants that are told apart before the events between them are delivered.
/// Ours.
pub const EARLIER_MAX: usize = 8;
/// Longest selectors of all of them, in bytes. Ours.
pub const EARLIER_MAX_BYTES: usize = 8 << 10;
/// Tags of a trail (AddTags API).
pub const TAGS_MAX: usize = 50;
/// Longest key prefix of a trail (CreateTrail API).
pub const PREFIX_MAX_BYTES: usize = 200;
