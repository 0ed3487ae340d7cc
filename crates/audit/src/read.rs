//! Reading the ledger from end to end: `search` and `tail` for people, and what trails deliver.

use strongroom_types::Timestamp;

use crate::TrailError;
use crate::event::Event;
use crate::json::Json;
use crate::ledger::Ledger;
use crate::records::Lane;

/// A place in a lane: everything before it was read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Cursor {
    /// The next batch.
    pub batch: u64,
}

/// Most batches that one page looks at.
const PAGE_BATCHES: usize = 64;
/// A page ends behind the batch that brings its documents to so many bytes.
const PAGE_BYTES: usize = 256 << 10;

/// Which way a lane is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From older to newer.
    Forward,
    /// From newer to older.
    Back,
}

/// Some events of a lane, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The events that were wanted, oldest first.
    pub events: Vec<Event>,
    /// The place behind what was looked at; read back, before it.
    pub at: Cursor,
    /// Whether nothing is left in that direction, at this moment.
    pub is_end: bool,
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It did what was asked.
    Ok,
    /// The caller may not, or could not prove who he is.
    Denied,
    /// Any other error.
    Failed,
}

impl Outcome {
    /// Codes of errors that say that the caller may not, or is not known.
    const DENIALS: [&str; 21] = [
        "AccessDenied",
        "AccessDeniedException",
        "AllAccessDisabled",
        "AuthFailure",
        "AuthorizationHeaderMalformed",
        "AuthorizationQueryParametersError",
        "ExpiredIdentityToken",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidIdentityToken",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    ];

    /// That of a call with this error, or with none.
    pub fn of(error_code: Option<&str>) -> Self {
        match error_code {
            None => Self::Ok,
            Some(code) if Self::DENIALS.contains(&code) => Self::Denied,
            Some(_) => Self::Failed,
        }
    }

    /// `ok`, `denied` or `failed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }

    /// Parses [`Outcome::name`].
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Ok, Self::Denied, Self::Failed];
        all.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// What is in a record before the bucket that is copied from.
const COPY_SOURCES: [&str; 2] = ["\"x-amz-copy-source\":\"", "\"x-amz-copy-source\":\"/"];

/// What `search` shows. Empty is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Part of the user's ARN, name or access key id, or of [`Event::operator`].
    pub principal: Option<String>,
    /// Part of the ARN of a KMS key; or the whole name or ARN of an alias that was used.
    pub key: Option<String>,
    /// The name of a bucket, or `BUCKET/KEY`: of a resource, in an encryption context, or copied from.
    pub bucket: Option<String>,
    /// The name of the operation, alone or behind the service's (`kms:Decrypt`), in any case.
    pub event_name: Option<String>,
    /// Part of the id of the request.
    pub request_id: Option<String>,
    /// How the call ended.
    pub outcome: Option<Outcome>,
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
            outcome,
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
                || has(&event.operator(), part)
        }) && key.as_deref().is_none_or(|part| {
            let is = |it: &crate::Resource| it.kind == "AWS::KMS::Key" && it.arn.contains(part);
            event.resources.iter().any(is) || alias(part).is_some_and(|it| names_alias(event, it))
        }) && bucket.as_deref().is_none_or(|name| is_about(event, name))
            && event_name
                .as_deref()
                .is_none_or(|name| is_named(event, name))
            && request_id
                .as_deref()
                .is_none_or(|part| event.document().contains(part))
            && outcome.is_none_or(|it| Outcome::of(event.error_code.as_deref()) == it)
            && from.is_none_or(|from| event.time() >= from)
            && until.is_none_or(|until| event.time() <= until)
    }
}

/// The alias's name in `alias/NAME`, or in its ARN.
fn alias(text: &str) -> Option<&str> {
    let is_arn = text.starts_with("arn:");
    let at = if is_arn { text.find(":alias/")? + 1 } else { 0 };
    text.get(at..).filter(|name| name.starts_with("alias/"))
}

/// Whether the event tells the alias, alone or at the end of its ARN.
fn names_alias(event: &Event, alias: &str) -> bool {
    let told = [format!("\"{alias}\""), format!(":{alias}\"")];
    told.iter().any(|told| event.document().contains(told))
}

/// Whether the event is about that bucket or one of its objects; or, with a key, about that object.
fn is_about(event: &Event, place: &str) -> bool {
    let arn = format!("arn:aws:s3:::{place}");
    let says = |text: &str| event.document().contains(text);
    if event.resources.iter().any(|it| it.arn == arn) || says(&quoted(&arn)) {
        return true;
    }
    if place.contains('/') {
        return false;
    }
    says(&format!("\"{arn}/"))
        || COPY_SOURCES
            .iter()
            .any(|before| says(&format!("{before}{place}/")))
        || (event.by_service && says(&format!("\"bucketName\":\"{place}\"")))
}

/// Whether the event is `NAME` or `SERVICE:NAME`.
fn is_named(event: &Event, name: &str) -> bool {
    let (service, name) = match name.rsplit_once(':') {
        Some((service, name)) => (Some(service), name),
        None => (None, name),
    };
    event.name.eq_ignore_ascii_case(name)
        && service.is_none_or(|it| event.service().eq_ignore_ascii_case(it))
}

/// As it stands in a document.
fn quoted(text: &str) -> String {
    let mut json = Json::default();
    json.quote(text);
    json.into_string()
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

    /// Events that `filter` takes, about `limit` of them, oldest first: whole batches, until there are
    /// enough, or so many were looked at that who waits should hear of it.
    ///
    /// # Errors
    ///
    /// [`TrailError`].
    pub fn read_page(
        &self,
        lane: Lane,
        (from, direction): (Cursor, Direction),
        filter: &Filter,
        limit: usize,
    ) -> Result<Page, TrailError> {
        let mut page = Page {
            at: from,
            ..Page::default()
        };
        let mut bytes = 0;
        for _ in 0..PAGE_BATCHES {
            if page.events.len() >= limit || bytes >= PAGE_BYTES {
                return Ok(page);
            }
            let read = match direction {
                Direction::Forward => self.read_next(lane, page.at)?,
                Direction::Back => self.read_before(lane, page.at)?,
            };
            let Some((events, at)) = read else {
                page.is_end = true;
                return Ok(page);
            };
            page.at = at;
            let mut wanted: Vec<Event> = events.into_iter().filter(|it| filter.takes(it)).collect();
            bytes += wanted.iter().map(|it| it.document.len()).sum::<usize>();
            match direction {
                Direction::Forward => page.events.append(&mut wanted),
                Direction::Back => {
                    wanted.append(&mut page.events);
                    page.events = wanted;
                }
            }
        }
        Ok(page)
    }

    /// The events of the batch before a place, and the place before that; nothing at the oldest.
    fn read_before(
        &self,
        lane: Lane,
        from: Cursor,
    ) -> Result<Option<(Vec<Event>, Cursor)>, TrailError> {
        let head = self.head(lane)?.0;
        let Some(batch) = from.batch.min(head.next).checked_sub(1) else {
            return Ok(None);
        };
        if batch < head.first {
            return Ok(None);
        }
        match self.read_batch(lane, batch)? {
            Some((_, unpacked)) => Ok(Some((unpacked.events, Cursor { batch }))),
            // Swept since the head was read: so is all that is older.
            None if self.head(lane)?.0.first > batch => Ok(None),
            None => Err(TrailError::Damaged(strongroom_ports::Table::AUDIT_LEDGER.0)),
        }
    }
}
