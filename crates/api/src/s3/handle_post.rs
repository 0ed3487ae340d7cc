//! POST Object: a browser's form.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, REFERER};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};
use strongroom_policy::Conditions;
use strongroom_policy::actions::PutObject;
use strongroom_s3::{BodyError, BodySource, PutObjectInput, PutObjectOutput, S3Error};
use strongroom_types::limits::{OBJECT_TAGS_MAX, SINGLE_PUT_MAX_BYTES};
use strongroom_types::{Principal, TagSet, Timestamp};

use super::address::parse_key;
use super::as_sent::{AsSent, AuthType, with_object_tags};
use super::body::AnyBody;
use super::call::{Call, blocking};
use super::handle_multipart::location;
use super::handle_object::{AlsoAsked, set_put_headers, unless_missing};
use super::route::{Level, Reply};
use super::{ResponseBody, parse_acl, parse_digests, parse_headers, parse_xml, reply};
use crate::error::{Failure, RequestError};
use crate::form::{FormDecoder, FormError, FormEvent, FormFields};
use crate::intake;
use crate::recording::shown;
use crate::sigv4::{AuthError, Payload};
use crate::xml::XmlWriter;

/// PostObject.
pub(crate) async fn post_object(mut call: Call) -> Reply {
    let bucket = call.bucket()?;
    // A form is signed by its policy. A signature of the request would cover the body by a hash that
    // a streamed form cannot be held against.
    if call.context.principal != Principal::Anonymous || !matches!(call.payload, Payload::Unsigned)
    {
        return Err(AuthError::AmbiguousMechanism.into());
    }
    let body = std::mem::take(&mut call.body);
    let mut form = OpenForm::read_fields(body, &call.parts.headers).await?;
    form.fields.substitute_filename(&form.filename);
    let verified = call.verifier.verify_post(&bucket, &form.fields)?;
    let context = Arc::make_mut(&mut call.context);
    intake::sign_in(context, verified.credential.as_deref());
    if let Some(learned) = &call.learned {
        // A form is read once.
        let _ = learned.signer.set(Arc::clone(&call.context));
    }
    let key = form.fields.get("key").ok_or_else(|| {
        let message = "Bucket POST must contain a field named 'key'.  If it is specified, please \
                       check the order of the fields.";
        parse_headers::argument(message, "key", Some(""))
    })?;
    call.address.key = Some(key.to_owned());
    if let Some(learned) = &call.learned {
        let _ = learned.key.set(key.to_owned());
    }
    let key = parse_key(key)?;
    let headers = headers(&form);
    if let Some(learned) = &call.learned {
        let _ = learned.fields.set(shown(&headers));
    }
    let input = input(&form, &headers);
    let also = AlsoAsked {
        tags: form.fields.get("tagging").is_some(),
    };
    call.conditions = conditions(&call, &form, headers, verified.signed);
    let door = call.bucket_door()?;
    let if_match = input
        .as_ref()
        .ok()
        .and_then(|input| input.conditions.if_match.clone());
    let told_to = if_match.is_some().then(|| door.clone());
    let s3 = call.s3.clone();
    let entry = blocking(move || {
        let entry = door.enter_object::<PutObject>(&key)?;
        also.enter(&door, &key)?;
        door.enter_to_compare(&key, &Ok(None), if_match.as_ref())?;
        Ok(entry)
    })
    .await?;
    let input = PutObjectInput {
        content_length: form.length_bytes,
        ..input?
    };
    check_length(form.length_bytes, verified.content_length_range)?;
    let success = Success::of(&form.fields);
    let fault = form.file.fault.clone();
    let output = s3.put_object(entry, input, Box::pin(form.file)).await;
    let output = unless_missing(told_to, output).await?;
    let output = output.map_err(|error| match (error, fault.get()) {
        (S3Error::Body(_), Some(fault)) => RequestError::MalformedForm(*fault).into(),
        (error, _) => Failure::from(error),
    })?;
    Ok(success.response(&call, &output))
}

fn check_length(size_bytes: u64, range: Option<(u64, u64)>) -> Result<(), Failure> {
    let (min_bytes, max_bytes) = range.unwrap_or((0, SINGLE_PUT_MAX_BYTES));
    let max_bytes = max_bytes.min(SINGLE_PUT_MAX_BYTES);
    if size_bytes < min_bytes {
        return Err(RequestError::FormTooSmall {
            size_bytes,
            min_bytes,
        }
        .into());
    }
    if size_bytes > max_bytes {
        return Err(RequestError::FormTooLarge {
            size_bytes,
            max_bytes,
        }
        .into());
    }
    Ok(())
}

/// A form whose fields are read and whose file is still to come.
struct OpenForm {
    fields: FormFields,
    filename: String,
    content_type: Option<String>,
    /// What the file's length must be: all that the head announces, less the fields in front and
    /// the delimiter behind. S3 wants the file to be the last field.
    length_bytes: u64,
    file: FileBody,
}

impl OpenForm {
    async fn read_fields(mut body: AnyBody, headers: &HeaderMap) -> Result<Self, Failure> {
        let kind = parse_headers::text(headers, "content-type")?.unwrap_or_default();
        let malformed = |error| Failure::from(RequestError::MalformedForm(error));
        let mut decoder = FormDecoder::new(kind).map_err(malformed)?;
        let total = parse_headers::text(headers, "content-length")?
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or(RequestError::MissingContentLength)?;
        let mut pushed = 0_u64;
        loop {
            let piece = std::future::poll_fn(|cx| body.poll_bytes(cx)).await;
            let Some(piece) = piece else {
                return Err(malformed(FormError::NoFile));
            };
            let piece = piece?;
            pushed = pushed.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            let mut events = decoder.push(&piece).map_err(malformed)?.into_iter();
            let Some(FormEvent::File {
                fields,
                filename,
                content_type,
            }) = events.next()
            else {
                continue;
            };
            let mut file = FileBody {
                body,
                pieces: Vec::new(),
                is_ended: false,
                fault: Arc::default(),
                decoder,
            };
            file.take(events);
            let given: usize = file.pieces.iter().map(Bytes::len).sum();
            let length_bytes = if file.is_ended {
                u64::try_from(given).unwrap_or(u64::MAX)
            } else {
                let held = file.decoder.pending_bytes().saturating_add(given);
                let start = pushed.saturating_sub(u64::try_from(held).unwrap_or(u64::MAX));
                let end = u64::try_from(file.decoder.closing_bytes()).unwrap_or(u64::MAX);
                total.saturating_sub(start).saturating_sub(end)
            };
            return Ok(Self {
                fields,
                filename,
                content_type,
                length_bytes,
                file,
            });
        }
    }
}

/// The file of a form.
struct FileBody {
    body: AnyBody,
    decoder: FormDecoder,
    /// Decoded and not yet handed out, the next one last.
    pieces: Vec<Bytes>,
    is_ended: bool,
    fault: Arc<OnceLock<FormError>>,
}

impl FileBody {
    fn take(&mut self, events: impl Iterator<Item = FormEvent>) {
        for event in events {
            match event {
                FormEvent::Data(bytes) => self.pieces.insert(0, bytes),
                FormEvent::End => self.is_ended = true,
                // Comes once, first.
                FormEvent::File { .. } => {}
            }
        }
    }

    fn fail(&self, error: FormError) -> BodyError {
        // Only the first fault is told; a second one follows from it.
        let _ = self.fault.set(error);
        BodyError::Malformed("multipart/form-data")
    }
}

impl BodySource for FileBody {
    fn poll_piece(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let this = &mut *self;
        loop {
            if let Some(piece) = this.pieces.pop() {
                return Poll::Ready(Some(Ok(piece)));
            }
            if this.is_ended {
                return Poll::Ready(None);
            }
            match ready!(this.body.poll_bytes(cx)) {
                Some(Ok(bytes)) => match this.decoder.push(&bytes) {
                    Ok(events) => this.take(events.into_iter()),
                    Err(error) => return Poll::Ready(Some(Err(this.fail(error)))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(Some(Err(this.fail(FormError::Truncated)))),
            }
        }
    }

    fn trailing_checksum(&self) -> Option<Vec<u8>> {
        None
    }
}

/// What the form says of itself, to policies. The head of a form's request says nothing of the
/// object, but where the form comes from.
fn conditions(
    call: &Call,
    form: &OpenForm,
    mut headers: HeaderMap,
    signed: Option<Timestamp>,
) -> Conditions {
    if let Some(referer) = call.parts.headers.get(REFERER) {
        headers.insert(REFERER, referer.clone());
    } else {
        headers.remove(REFERER);
    }
    let mut parts = Parts::clone(&call.parts);
    parts.headers = headers;
    let is_signed = call.context.principal != Principal::Anonymous;
    let conditions = Conditions::of(Arc::new(AsSent {
        parts: Arc::new(parts),
        query: Arc::clone(&call.query),
        operation: "PostObject",
        level: Level::Object,
        auth_type: if is_signed {
            AuthType::Form
        } else {
            AuthType::Anonymous
        },
        signed,
        received: call.context.received,
        region: call.context.region.clone(),
        account: call.context.principal.account(),
    }));
    match tags(form) {
        Ok(tags) if !tags.is_empty() => with_object_tags(conditions, &tags),
        _ => conditions,
    }
}

fn tags(form: &OpenForm) -> Result<TagSet, Failure> {
    match form.fields.get("tagging") {
        Some(document) => parse_xml::tagging(document.as_bytes(), OBJECT_TAGS_MAX),
        None => Ok(TagSet::default()),
    }
}

/// A form's fields are the headers of a PUT under the same names, but for tagging and ACL. No hash of
/// the body is held against a form's file: a field that gives one says nothing.
fn headers(form: &OpenForm) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in form.fields.iter() {
        if matches!(
            name,
            "x-amz-signature"
                | "x-amz-security-token"
                | "x-amz-content-sha256"
                | "policy"
                | "key"
                | "acl"
        ) {
            continue;
        }
        let (Ok(name), Ok(value)) = (
            HeaderName::try_from(name),
            HeaderValue::from_bytes(value.as_bytes()),
        ) else {
            continue;
        };
        headers.append(name, value);
    }
    if let Some(acl) = form.fields.get("acl")
        && let Ok(value) = HeaderValue::try_from(acl)
    {
        headers.insert(HeaderName::from_static("x-amz-acl"), value);
    }
    if !headers.contains_key(CONTENT_TYPE)
        && let Some(kind) = &form.content_type
        && let Ok(value) = HeaderValue::try_from(kind.as_str())
    {
        headers.insert(CONTENT_TYPE, value);
    }
    headers
}

fn input(form: &OpenForm, headers: &HeaderMap) -> Result<PutObjectInput, Failure> {
    if let Some(acl) = form.fields.get("acl")
        && HeaderValue::try_from(acl).is_err()
    {
        return Err(parse_headers::argument(
            "Invalid Argument",
            "acl",
            Some(acl),
        ));
    }
    parse_headers::refuse_object_lock(headers)?;
    Ok(PutObjectInput {
        content_length: 0,
        metadata: parse_headers::metadata(headers)?,
        acl: parse_acl::headers(headers)?,
        tags: tags(form)?,
        sse: parse_headers::sse(headers)?,
        conditions: parse_headers::write_conditions(headers)?,
        digests: parse_digests::digests(headers, &Payload::Unsigned)?,
    })
}

/// What the form wants to see on success.
enum Success {
    /// 200 without a body.
    Ok,
    /// 201 with a document.
    Created,
    /// 204: the default, also for a status that cannot be asked for.
    NoContent,
    /// 303 to a page, which learns what was stored.
    Redirect(String),
}

impl Success {
    fn of(fields: &FormFields) -> Self {
        let page = fields
            .get("success_action_redirect")
            .or_else(|| fields.get("redirect"));
        if let Some(page) = page
            && ["http://", "https://"]
                .iter()
                .any(|scheme| page.starts_with(scheme))
        {
            return Self::Redirect(page.to_owned());
        }
        match fields.get("success_action_status") {
            Some("200") => Self::Ok,
            Some("201") => Self::Created,
            _ => Self::NoContent,
        }
    }

    fn response(self, call: &Call, output: &PutObjectOutput) -> Response<ResponseBody> {
        let bucket = call.address.bucket.as_deref().unwrap_or_default();
        let key = call.address.key.as_deref().unwrap_or_default();
        let etag = output.etag.quoted();
        let place = location(call);
        let (mut response, place) = match self {
            Self::Ok => (reply::empty(StatusCode::OK), place),
            Self::NoContent => (reply::empty(StatusCode::NO_CONTENT), place),
            Self::Created => {
                let mut xml = XmlWriter::new("PostResponse", None);
                xml.element("Location", &place);
                xml.element("Bucket", bucket);
                xml.element("Key", key);
                xml.element("ETag", &etag);
                let mut response = reply::document(xml.finish());
                *response.status_mut() = StatusCode::CREATED;
                (response, place)
            }
            Self::Redirect(page) => {
                let encode = |text: &str| {
                    let mut out = Vec::new();
                    crate::sigv4::uri::encode_into(&mut out, text.as_bytes());
                    String::from_utf8(out).unwrap_or_default()
                };
                let joint = if page.contains('?') { '&' } else { '?' };
                let query = format!(
                    "bucket={}&key={}&etag={}",
                    encode(bucket),
                    encode(key),
                    encode(&etag)
                );
                (
                    reply::empty(StatusCode::SEE_OTHER),
                    format!("{page}{joint}{query}"),
                )
            }
        };
        set_put_headers(response.headers_mut(), output);
        reply::set(response.headers_mut(), "location", &place);
        response
    }
}
