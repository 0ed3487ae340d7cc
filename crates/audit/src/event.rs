//! One event: the CloudTrail record, and what it is searched by.

use std::fmt;

use minicbor::{Decode, Encode};
use strongroom_ports::{AuditEvent, Entropy};
use strongroom_types::kms::KeyId;
use strongroom_types::{
    AccountId, Region, RequestContext, RequestId, Timestamp, TlsVersion, Transport,
};

use crate::completion;
use crate::identity::{AWS_INTERNAL, Identity, account_of, forwarded_by, whole_second};
use crate::json::Json;
use crate::limits::{
    ADDITIONAL_MAX_BYTES, DOCUMENT_MAX_BYTES, FACT_MAX_BYTES, NAME_MAX_BYTES, PARAMETERS_MAX_BYTES,
    RESOURCES_MAX, RESPONSE_MAX_BYTES, TEXT_MAX_BYTES,
};
use crate::params::Params;

/// The version of the record's shape (KMS Developer Guide of 2025, CloudTrail examples).
pub const EVENT_VERSION: &str = "1.11";
/// The source of events that no AWS service has: seals, the key ring, damage, counted denials.
pub const OWN_SOURCE: &str = "strongroom.local";

/// An event's id. It is a UUID of version 7: it begins with the time, so that events are kept in
/// order of time and found by their id without an index.
///
/// ```text
/// BE48(milliseconds) || 0111 || random(12 bits) || 10 || random(62 bits)
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 16]);

impl EventId {
    /// Draws an id for an event of that time.
    pub fn new(time: Timestamp, entropy: &dyn Entropy) -> Self {
        let mut tail = [0; 10];
        entropy.fill(&mut tail);
        Self::with_tail(time, tail)
    }

    /// The id whose random part is made of `tail`.
    pub(crate) fn with_tail(time: Timestamp, tail: [u8; 10]) -> Self {
        let [_, _, time @ ..] = time.as_millis().to_be_bytes();
        let mut bytes = [0; 16];
        for (byte, from) in bytes.iter_mut().zip(time.iter().chain(&tail)) {
            *byte = *from;
        }
        bytes[6] = (bytes[6] & 0x0F) | 0x70;
        bytes[8] = (bytes[8] & 0x3F) | 0x80;
        Self(bytes)
    }

    /// The lowest bytes that an id of that time can begin with; no event has it.
    pub(crate) fn first_of(time: Timestamp) -> Self {
        let [_, _, time @ ..] = time.as_millis().to_be_bytes();
        let mut bytes = [0; 16];
        for (byte, from) in bytes.iter_mut().zip(time) {
            *byte = from;
        }
        Self(bytes)
    }

    /// Takes an id from storage.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id as stored.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Parses the text form of a UUID.
    pub fn parse(text: &str) -> Option<Self> {
        KeyId::parse(text).map(|id| Self(*id.as_bytes()))
    }

    /// The time that the id begins with.
    pub fn time(&self) -> Timestamp {
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        Timestamp::from_millis(self.0.iter().take(6).fold(0, add))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        KeyId::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Resource {
    /// `AWS::KMS::Key`, `AWS::S3::Object`, ...
    #[n(0)]
    pub kind: String,
    /// Its ARN.
    #[n(1)]
    pub arn: String,
    /// The account that owns it; records of S3 objects do not say.
    #[n(2)]
    pub account: Option<String>,
}

impl Resource {
    /// What LookupEvents calls `ResourceName`: of keys the ARN, of others what it ends with.
    pub fn name(&self) -> &str {
        if self.kind == "AWS::KMS::Key" {
            &self.arn
        } else {
            self.short_name()
        }
    }

    /// The resource's name without what is before it in the ARN.
    pub(crate) fn short_name(&self) -> &str {
        let resource = self.arn.splitn(6, ':').nth(5).unwrap_or(&self.arn);
        match self.kind.as_str() {
            "AWS::S3::Object" | "AWS::S3::Bucket" => resource,
            _ => resource.rsplit('/').next().unwrap_or(resource),
        }
    }
}

/// An event of the trail. Its document is finished; what is beside it is what it is searched by.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Event {
    /// Its id.
    #[cbor(n(0), with = "event_id")]
    pub id: EventId,
    /// `eventSource`.
    #[n(1)]
    pub source: String,
    /// `eventName`.
    #[n(2)]
    pub name: String,
    /// `readOnly`.
    #[n(3)]
    pub read_only: bool,
    /// Whether it is a data event; else a management event.
    #[n(4)]
    pub data: bool,
    /// Whether a service did it by itself (`AwsServiceEvent`).
    #[n(5)]
    pub by_service: bool,
    /// `recipientAccountId`: whose trail it is in.
    #[n(6)]
    pub account: String,
    /// `Username` of LookupEvents.
    #[n(7)]
    pub user_name: Option<String>,
    /// `userIdentity.accessKeyId`.
    #[n(8)]
    pub access_key_id: Option<String>,
    /// `userIdentity.arn`.
    #[n(9)]
    pub user_arn: Option<String>,
    /// `resources`.
    #[n(10)]
    pub resources: Vec<Resource>,
    /// `errorCode`, of a call that failed.
    #[n(11)]
    pub error_code: Option<String>,
    /// The whole id of the request that caused it, if one did.
    #[cbor(n(12), with = "minicbor::bytes")]
    pub request_id: Option<[u8; 16]>,
    /// When, in milliseconds.
    #[n(13)]
    pub time_millis: u64,
    /// The record: JSON.
    #[cbor(n(14), with = "minicbor::bytes")]
    pub document: Vec<u8>,
}

mod event_id {
    use minicbor::decode::{Decoder, Error};
    use minicbor::encode::{self, Encoder, Write};

    use super::EventId;

    pub(super) fn encode<C, W: Write>(
        id: &EventId,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.bytes(id.as_bytes()).map(drop)
    }

    pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<EventId, Error> {
        let bytes = d.bytes()?.try_into();
        bytes
            .map(EventId::from_bytes)
            .map_err(|_| Error::message("not an event id"))
    }
}

impl Event {
    /// When it happened.
    pub fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.time_millis)
    }

    /// The record as text.
    pub fn document(&self) -> &str {
        std::str::from_utf8(&self.document).unwrap_or_default()
    }

    /// The service's name: `kms` of `kms.amazonaws.com`.
    pub fn service(&self) -> &str {
        service_name(&self.source)
    }

    /// `operator:UID`, of what somebody with the operator's rights on this host did.
    pub fn operator(&self) -> Option<String> {
        if !self.by_service || self.source != OWN_SOURCE {
            return None;
        }
        let (_, rest) = self.document().split_once("\"operatorUid\":")?;
        let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
        (!digits.is_empty()).then(|| operator_name(digits))
    }

    /// The event that a part of this server reported through the port: its document may lack what every
    /// record has, which is added. A document that is no JSON object is kept as a text.
    pub fn completed(event: &AuditEvent, home: &Home, entropy: &dyn Entropy) -> Self {
        let id = EventId::new(event.time, entropy);
        completion::complete(event, event.name, id, home)
    }
}

/// The name of the service whose `eventSource` is `source`.
pub fn service_name(source: &str) -> &str {
    let domains = [".amazonaws.com", ".local"];
    let name = domains.iter().find_map(|it| source.strip_suffix(it));
    name.unwrap_or(source)
}

/// What the operator is called whose user's id is `uid`.
pub fn operator_name(uid: &str) -> String {
    format!("operator:{uid}")
}

/// Whose store this is: for events that belong to nobody else.
#[derive(Clone, Debug)]
pub struct Home {
    /// The first account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

/// Builds the event of one call. Cheap: it borrows what it is given, and writes the record once.
///
/// ```text
/// EventBuilder::of(&context, "kms.amazonaws.com", "Decrypt")
///     .params(Params::new().context(&context).text("encryptionAlgorithm", "SYMMETRIC_DEFAULT"))
///     .resource("AWS::KMS::Key", &arn, Some(account))
///     .finish(now, &home, entropy)
/// ```
#[derive(Clone, Debug)]
pub struct EventBuilder<'a> {
    caller: Caller<'a>,
    draft: Draft<'a>,
    additional: Params,
}

#[derive(Clone, Copy, Debug)]
enum Caller<'a> {
    Request(&'a RequestContext),
    Service { account: AccountId },
}

/// All that a record says, before it is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft<'a> {
    pub(crate) identity: Identity,
    pub(crate) source: &'a str,
    pub(crate) name: &'a str,
    pub(crate) region: String,
    pub(crate) source_ip: String,
    pub(crate) user_agent: String,
    pub(crate) error: Option<(String, String)>,
    pub(crate) params: Option<String>,
    pub(crate) response: Option<String>,
    pub(crate) additional: Option<String>,
    pub(crate) service_details: Option<String>,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) read_only: Option<bool>,
    pub(crate) data: bool,
    pub(crate) by_service: bool,
    pub(crate) resources: Vec<Resource>,
    pub(crate) account: String,
    pub(crate) shared: Option<EventId>,
    pub(crate) tls: Option<TlsVersion>,
    pub(crate) cipher_suite: Option<&'a str>,
    pub(crate) host: Option<&'a str>,
}

impl<'a> EventBuilder<'a> {
    /// The event of a call that `context` is the context of. `source` is the service's name
    /// (`kms.amazonaws.com`), `name` the operation's.
    pub fn of(context: &'a RequestContext, source: &'a str, name: &'a str) -> Self {
        Self {
            caller: Caller::Request(context),
            draft: Draft {
                source,
                name,
                ..Draft::default()
            },
            additional: Params::new(),
        }
    }

    /// The event of something that a service did by itself: a rotation, a deletion, a start.
    pub fn by_service(account: AccountId, source: &'a str, name: &'a str) -> Self {
        Self {
            caller: Caller::Service { account },
            draft: Draft {
                source,
                name,
                by_service: true,
                ..Draft::default()
            },
            additional: Params::new(),
        }
    }

    /// `requestParameters`, where they are others than the request's context has
    /// ([`Sent::parameters`](strongroom_types::Sent)).
    #[must_use]
    pub fn params(mut self, params: &Params) -> Self {
        self.draft.params = (!params.is_empty()).then(|| params.as_json());
        self
    }

    /// `responseElements`. Only of calls that change something, and of STS: the results of reads, and
    /// so every policy text, plaintext and ciphertext that a call answers, stay out by this rule.
    #[must_use]
    pub fn response(mut self, response: &Params) -> Self {
        self.draft.response = (!response.is_empty()).then(|| response.as_json());
        self
    }

    /// `additionalEventData`.
    #[must_use]
    pub fn additional(mut self, additional: Params) -> Self {
        self.additional = additional;
        self
    }

    /// `serviceEventDetails`.
    #[must_use]
    pub fn service_details(mut self, details: &Params) -> Self {
        self.draft.service_details = Some(details.as_json());
        self
    }

    /// `errorCode` and `errorMessage`, as the client got them; but a denial is `AccessDenied` in the
    /// records of all services, also of those whose clients get `AccessDeniedException` (so records of
    /// KMS show it, and so queries for denials ask for it).
    #[must_use]
    pub fn failed(mut self, code: &str, message: &str) -> Self {
        let code = match code {
            "AccessDeniedException" => "AccessDenied",
            code => code,
        };
        self.draft.error = Some((code.to_owned(), message.to_owned()));
        self
    }

    /// One more of `resources`, in the order of the calls.
    #[must_use]
    pub fn resource(mut self, kind: &str, arn: &str, account: Option<AccountId>) -> Self {
        if self.draft.resources.len() < RESOURCES_MAX {
            self.draft.resources.push(Resource {
                kind: kind.to_owned(),
                arn: cut(arn, FACT_MAX_BYTES).to_owned(),
                account: account.map(|it| it.to_string()),
            });
        }
        self
    }

    /// `readOnly`, where the operation's name misleads.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.draft.read_only = Some(read_only);
        self
    }

    /// A data event: S3's calls on objects.
    #[must_use]
    pub fn data(mut self) -> Self {
        self.draft.data = true;
        self
    }

    /// What `tlsDetails` says beside the version: the cipher suite and the `Host` header, where the
    /// context does not have them.
    #[must_use]
    pub fn connection(mut self, cipher_suite: Option<&'a str>, host: Option<&'a str>) -> Self {
        self.draft.cipher_suite = cipher_suite;
        self.draft.host = host;
        self
    }

    /// Whose trail it is in, if not in the caller's. Of a call that concerns two accounts, make two
    /// events with the same `shared`, which both show as `sharedEventID`.
    #[must_use]
    pub fn recipient(mut self, account: AccountId, shared: Option<EventId>) -> Self {
        self.draft.account = account.to_string();
        self.draft.shared = shared;
        self
    }

    /// The event, of a call that ended `now`.
    pub fn finish(self, now: Timestamp, home: &Home, entropy: &dyn Entropy) -> Event {
        self.finish_as(now, EventId::new(now, entropy), home)
    }

    /// As [`EventBuilder::finish`], of an event whose id was drawn when it happened.
    pub fn finish_as(self, now: Timestamp, id: EventId, home: &Home) -> Event {
        let Self {
            caller,
            mut draft,
            mut additional,
        } = self;
        let account;
        match caller {
            Caller::Request(context) => {
                draft.identity = Identity::of(context);
                draft.request_id = Some(context.request_id);
                context.region.as_str().clone_into(&mut draft.region);
                account = account_of(context).unwrap_or(home.account);
                if let strongroom_types::Principal::Service { name, .. } = &context.principal {
                    draft.source_ip = name.to_string();
                    draft.user_agent = name.to_string();
                } else if let Some(via) = &context.via_service {
                    let service = forwarded_by(via);
                    draft.user_agent.clone_from(&service);
                    draft.source_ip = service;
                    // AWS does not tell the client's address here; who is to be found needs it.
                    let client = context.source_ip.to_canonical();
                    additional = additional.shown("clientIpAddress", &client);
                } else {
                    draft.source_ip = context.source_ip.to_canonical().to_string();
                    draft.user_agent = context.user_agent.as_deref().unwrap_or("-").into();
                    if let Some(sent) = &context.sent {
                        draft.cipher_suite = draft.cipher_suite.or(sent.cipher_suite);
                        draft.host = draft.host.or(sent.host.as_deref());
                        let parameters = || sent.parameters.as_deref().map(str::to_owned);
                        draft.params = draft.params.or_else(parameters);
                    }
                    draft.tls = match context.transport {
                        Transport::Tls(version) => Some(version),
                        // Of TLS that a proxy ended nobody knows the version.
                        Transport::Plain | Transport::Forwarded { .. } => None,
                    };
                }
            }
            Caller::Service { account: of } => {
                draft.identity = Identity::internal(of.as_str());
                home.region.as_str().clone_into(&mut draft.region);
                AWS_INTERNAL.clone_into(&mut draft.source_ip);
                AWS_INTERNAL.clone_into(&mut draft.user_agent);
                account = of;
            }
        }
        if draft.account.is_empty() {
            draft.account = account.to_string();
        }
        draft.additional = (!additional.is_empty()).then(|| additional.as_json());
        draft.write(now, id)
    }
}

impl Draft<'_> {
    /// Writes the record. What makes it too long is left out, the longest part first.
    pub(crate) fn write(mut self, time: Timestamp, id: EventId) -> Event {
        let read_only = self
            .read_only
            .unwrap_or_else(|| is_read_only(self.source, self.name));
        if read_only && self.source != "sts.amazonaws.com" {
            self.response = None;
        }
        bound("requestParameters", &mut self.params, PARAMETERS_MAX_BYTES);
        bound("responseElements", &mut self.response, RESPONSE_MAX_BYTES);
        bound(
            "additionalEventData",
            &mut self.additional,
            ADDITIONAL_MAX_BYTES,
        );
        let mut document = self.document(time, id, read_only);
        while document.len() > DOCUMENT_MAX_BYTES {
            let len = |part: &Option<String>| part.as_ref().map_or(0, String::len);
            let (params, response) = (len(&self.params), len(&self.response));
            let rest = len(&self.additional).max(len(&self.service_details));
            if params >= response && params >= rest {
                bound("requestParameters", &mut self.params, 0);
            } else if response >= rest {
                bound("responseElements", &mut self.response, 0);
            } else {
                bound("additionalEventData", &mut self.additional, 0);
                bound("serviceEventDetails", &mut self.service_details, 0);
            }
            let shorter = self.document(time, id, read_only);
            if shorter.len() >= document.len() {
                break;
            }
            document = shorter;
        }
        Event {
            id,
            source: cut(self.source, NAME_MAX_BYTES).to_owned(),
            name: cut(self.name, NAME_MAX_BYTES).to_owned(),
            read_only,
            data: self.data,
            by_service: self.by_service,
            account: self.account,
            user_name: self.identity.user_name,
            access_key_id: self.identity.access_key_id,
            user_arn: self.identity.arn,
            resources: self.resources,
            error_code: self
                .error
                .map(|(code, _)| cut(&code, NAME_MAX_BYTES).to_owned()),
            request_id: self.request_id.map(|it| *it.as_bytes()),
            time_millis: time.as_millis(),
            document: document.into_bytes(),
        }
    }

    fn document(&self, time: Timestamp, id: EventId, read_only: bool) -> String {
        let mut json = Json::new();
        json.open();
        json.text("eventVersion", EVENT_VERSION);
        json.member("userIdentity", &self.identity.json);
        json.text("eventTime", &whole_second(time));
        json.text("eventSource", self.source);
        json.text("eventName", self.name);
        json.text("awsRegion", &self.region);
        json.text("sourceIPAddress", &self.source_ip);
        json.text("userAgent", cut(&self.user_agent, TEXT_MAX_BYTES));
        if let Some((code, message)) = &self.error {
            json.text("errorCode", cut(code, TEXT_MAX_BYTES));
            // Some errors have no text, because a text could help to guess.
            if !message.is_empty() {
                json.text("errorMessage", cut(message, TEXT_MAX_BYTES));
            }
        }
        json.member(
            "requestParameters",
            self.params.as_deref().unwrap_or("null"),
        );
        json.member(
            "responseElements",
            self.response.as_deref().unwrap_or("null"),
        );
        if let Some(additional) = &self.additional {
            json.member("additionalEventData", additional);
        }
        if let Some(id) = self.request_id {
            // As the answer named it.
            let s3 = self.source == "s3.amazonaws.com";
            json.text("requestID", &if s3 { id.to_string() } else { id.to_uuid() });
        }
        json.text("eventID", &id.to_string());
        json.flag("readOnly", read_only);
        if !self.resources.is_empty() {
            json.name("resources");
            json.open_list();
            for resource in &self.resources {
                json.next();
                json.open();
                json.optional("accountId", resource.account.as_deref());
                json.text("type", &resource.kind);
                json.text("ARN", &resource.arn);
                json.close();
            }
            json.close_list();
        }
        json.text(
            "eventType",
            if self.by_service {
                "AwsServiceEvent"
            } else {
                "AwsApiCall"
            },
        );
        json.flag("managementEvent", !self.data);
        json.text("recipientAccountId", &self.account);
        if let Some(shared) = self.shared {
            json.text("sharedEventID", &shared.to_string());
        }
        if let Some(details) = &self.service_details {
            json.member("serviceEventDetails", details);
        }
        json.text(
            "eventCategory",
            if self.data { "Data" } else { "Management" },
        );
        if let Some(version) = self.tls {
            json.name("tlsDetails");
            json.open();
            json.text("tlsVersion", tls_name(version));
            json.optional("cipherSuite", self.cipher_suite);
            json.optional("clientProvidedHostHeader", self.host);
            json.close();
        }
        json.close();
        json.into_string()
    }
}

/// Replaces a part that is too long by the note that it was, as CloudTrail does.
fn bound(name: &str, part: &mut Option<String>, max_bytes: usize) {
    if let Some(json) = part.as_ref().filter(|json| json.len() > max_bytes) {
        let note = Params::new()
            .flag("omitted", true)
            .number(
                "originalSize",
                u64::try_from(json.len()).unwrap_or(u64::MAX),
            )
            .text("reason", &format!("{name} too large"));
        if note.len() < json.len() {
            *part = Some(note.as_json());
        }
    }
}

/// The longest start of `text` that has so many bytes.
pub(crate) fn cut(text: &str, max_bytes: usize) -> &str {
    let end = (0..=max_bytes.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

fn tls_name(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::V1_2 => "TLSv1.2",
        TlsVersion::V1_3 => "TLSv1.3",
    }
}

/// Whether CloudTrail counts an operation as a read. Cryptographic operations of KMS and S3 are reads
/// or writes by what they do to what is stored, so the former all are reads (KMS Developer Guide).
fn is_read_only(source: &str, name: &str) -> bool {
    const READS: [&str; 9] = [
        "Get", "List", "Describe", "Head", "Lookup", "Simulate", "Select", "Verify", "Check",
    ];
    const KMS_USES: [&str; 9] = [
        "Encrypt",
        "Decrypt",
        "ReEncrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext",
        "GenerateRandom",
        "DeriveSharedSecret",
    ];
    const KMS_MORE: [&str; 3] = ["Sign", "GenerateMac", "GetParametersForImport"];
    READS.iter().any(|read| name.starts_with(read))
        || (source == "kms.amazonaws.com" && (KMS_USES.contains(&name) || KMS_MORE.contains(&name)))
        || (source == "sts.amazonaws.com" && name.starts_with("Assume"))
        || (source == "iam.amazonaws.com" && name.starts_with("Generate"))
}
