//! Reading the ledger from end to end: `search` and `tail` for people, and what trails deliver.

use strongroom_types::Timestamp;

use crate::TrailError;
use crate::event::Event;
use crate::ledger::Ledger;
use crate::records::Lane;

/// A place in a lane: everything before it was read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Cursor {
    /// The next batch.
    pub batch: u64,
}

/// What `search` shows. Empty is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Part of the user's ARN, name or access key id.
    pub principal: Option<String>,
    /// Part of the ARN of a KMS key.
    pub key: Option<String>,
    /// The name of a bucket: of a resource, or in an encryption context.
    pub bucket: Option<String>,
    /// The name of the operation.
    pub event_name: Option<String>,
    /// Part of the id of the request.
    pub request_id: Option<String>,
    /// Calls that failed, or those that did not.
    pub failed: Option<bool>,
    /// Not older.
    pub from: Option<Timestamp>,
    /// Not newer.
    pub until: Option<Timestamp>,
}

impl Filter {
    /// Whether `event` is shown.
    pub fn takes(&self, event: &Event) -> bool {
        let Self {
            principal,
            key,
            bucket,
            event_name,
            request_id,
            failed,
            from,
            until,
        } = self;
        let has = |text: &Option<String>, part: &str| {
            text.as_deref().is_some_and(|text| text.contains(part))
        };
        principal.as_deref().is_none_or(|part| {
            has(&event.user_arn, part)
                || has(&event.user_name, part)
                || has(&event.access_key_id, part)
        }) && key.as_deref().is_none_or(|part| {
            let is = |it: &crate::Resource| it.kind == "AWS::KMS::Key" && it.arn.contains(part);
            event.resources.iter().any(is)
        }) && bucket.as_deref().is_none_or(|name| {
            let arn = format!("arn:aws:s3:::{name}");
            let within = format!("\"{arn}/");
            let whole = format!("\"{arn}\"");
            event.resources.iter().any(|it| it.arn == arn)
                || event.document().contains(&within)
                || event.document().contains(&whole)
        }) && event_name.as_deref().is_none_or(|name| event.name == name)
            && request_id
                .as_deref()
                .is_none_or(|part| event.document().contains(part))
            && failed.is_none_or(|failed| event.error_code.is_some() == failed)
            && from.is_none_or(|from| event.time() >= from)
            && until.is_none_or(|until| event.time() <= until)
    }
}

impl Ledger {
    /// The place of the oldest event that is kept.
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    pub fn oldest(&self, lane: Lane) -> Result<Cursor, TrailError> {
        let batch = self.head(lane)?.0.first;
        Ok(Cursor { batch })
    }

    /// The place of the event to come.
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    pub fn end(&self, lane: Lane) -> Result<Cursor, TrailError> {
        let batch = self.head(lane)?.0.next;
        Ok(Cursor { batch })
    }

    /// The events of the next batch, in the order of the ledger, and the place behind it; nothing at
    /// the end. Following is: ask again from the place where it ended. A place whose batch was swept
    /// goes on with the oldest.
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    pub fn read_next(
        &self,
        lane: Lane,
        from: Cursor,
    ) -> Result<Option<(Vec<Event>, Cursor)>, TrailError> {
        let head = self.head(lane)?.0;
        let batch = from.batch.max(head.first);
        if batch >= head.next {
            return Ok(None);
        }
        match self.read_batch(lane, batch)? {
            Some((_, unpacked)) => {
                let next = Cursor { batch: batch + 1 };
                Ok(Some((unpacked.events, next)))
            }
            // Swept since the head was read.
            None if self.head(lane)?.0.first > batch => self.read_next(lane, Cursor { batch }),
            None => Err(TrailError::Damaged(strongroom_ports::Table::AUDIT_LEDGER.0)),
        }
    }

    /// Up to `limit` events that `filter` takes, oldest first, and where to go on if there may be more.
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    pub fn search(
        &self,
        lane: Lane,
        from: Cursor,
        filter: &Filter,
        limit: usize,
    ) -> Result<(Vec<Event>, Option<Cursor>), TrailError> {
        let mut found = Vec::new();
        let mut at = from;
        while let Some((events, next)) = self.read_next(lane, at)? {
            found.extend(events.into_iter().filter(|event| filter.takes(event)));
            at = next;
            if found.len() >= limit {
                return Ok((found, Some(at)));
            }
        }
        Ok((found, None))
    }
}
