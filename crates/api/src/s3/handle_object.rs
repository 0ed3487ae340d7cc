//! Objects: put, get, head.

use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderMap};
use strongroom_policy::actions::{GetObject, PutObject, PutObjectTagging};
use strongroom_s3::{GetObjectInput, GetObjectOutput, PutObjectInput, PutObjectOutput, S3Error};
use strongroom_types::limits::SINGLE_PUT_MAX_BYTES;
use strongroom_types::{ObjectKey, Principal, RangeSpec};

use super::body::{ChunkFault, decoded_body};
use super::call::{Call, Door, blocking};
use super::route::Reply;
use super::{ResponseBody, parse_acl, parse_digests, parse_headers, parse_query, reply};
use crate::error::{Failure, RequestError};

/// PutObject.
pub(crate) async fn put_object(mut call: Call) -> Reply {
    let (door, key) = call.object_door()?;
    let input = put_object_input(&call);
    let body = std::mem::take(&mut call.body);
    let incoming = decoded_body(body, &call.payload, &call.parts.headers);
    let s3 = call.s3.clone();
    let also = AlsoAsked::of(&call.parts.headers);
    let if_match = input
        .as_ref()
        .ok()
        .and_then(|input| input.conditions.if_match.clone());
    let told_to = if_match.is_some().then(|| door.clone());
    let entry = door
        .read(move |door| {
            let entry = door.enter_object::<PutObject>(&key)?;
            also.enter(door, &key)?;
            door.enter_to_compare(&key, &Ok(None), if_match.as_ref())?;
            Ok(entry)
        })
        .await?;
    let (mut input, incoming) = (input?, incoming?);
    input.content_length = bounded_length(incoming.length)?;
    let fault = incoming.source.fault();
    let output = s3.put_object(entry, input, Box::pin(incoming.source)).await;
    let output = unless_missing(told_to, output).await?;
    let output = output.map_err(|error| told(error, &fault))?;
    let mut response = reply::empty(StatusCode::OK);
    set_put_headers(response.headers_mut(), &output);
    Ok(response)
}

fn put_object_input(call: &Call) -> Result<PutObjectInput, Failure> {
    let headers = &call.parts.headers;
    parse_headers::refuse_object_lock(headers)?;
    if headers.contains_key("x-amz-write-offset-bytes") {
        return Err(RequestError::NotImplemented {
            header: "x-amz-write-offset-bytes".to_owned(),
        }
        .into());
    }
    Ok(PutObjectInput {
        content_length: 0,
        metadata: parse_headers::metadata(headers)?,
        acl: parse_acl::headers(headers)?,
        tags: parse_headers::tagging(headers)?,
        sse: parse_headers::sse(headers)?,
        conditions: parse_headers::write_conditions(headers)?,
        digests: parse_digests::digests(headers, &call.payload)?,
    })
}

/// [`Door::unless_missing`] for tasks, where the write had a condition by which something may be
/// missing.
pub(crate) async fn unless_missing<T: Send + 'static>(
    door: Option<Door>,
    outcome: Result<T, S3Error>,
) -> Result<Result<T, S3Error>, Failure> {
    match (door, outcome) {
        (Some(door), Err(error)) => blocking(move || Ok(door.unless_missing(Err(error)))).await,
        (_, outcome) => Ok(outcome),
    }
}

/// What a write needs the right to beside `s3:PutObject`, for what it does beside storing an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AlsoAsked {
    /// It tags the object.
    pub(crate) tags: bool,
}

impl AlsoAsked {
    /// What the headers ask for.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self {
            tags: headers.contains_key("x-amz-tagging"),
        }
    }

    /// Asks.
    pub(crate) fn enter(self, door: &Door, key: &ObjectKey) -> Result<(), S3Error> {
        if self.tags {
            door.enter_object::<PutObjectTagging>(key)?;
        }
        Ok(())
    }
}

/// The announced length of an object or part.
pub(crate) fn bounded_length(length: Option<u64>) -> Result<u64, Failure> {
    let length = length.ok_or(RequestError::MissingContentLength)?;
    if length > SINGLE_PUT_MAX_BYTES {
        let error = S3Error::EntityTooLarge {
            size_bytes: length,
            max_bytes: SINGLE_PUT_MAX_BYTES,
        };
        return Err(error.into());
    }
    Ok(length)
}

/// The service's error, or the finer one that the framing knows.
pub(crate) fn told(error: S3Error, fault: &ChunkFault) -> Failure {
    match (error, fault.get()) {
        (S3Error::Body(_), Some(fault)) => Failure::Chunk(*fault),
        (error, _) => error.into(),
    }
}

/// What PutObject and its kin answer.
pub(crate) fn set_put_headers(headers: &mut HeaderMap, output: &PutObjectOutput) {
    let PutObjectOutput {
        etag,
        version,
        encryption,
        checksum,
        size_bytes: _,
    } = output;
    reply::set_etag(headers, etag);
    reply::set_version(headers, "x-amz-version-id", *version);
    reply::set_encryption(headers, encryption);
    reply::set_checksum(headers, checksum.as_ref());
}

/// GetObject.
pub(crate) async fn get_object(call: Call) -> Reply {
    let (door, key) = call.object_door()?;
    let version = parse_query::version(&call.query);
    let input = get_object_input(&call);
    let overrides = overrides(&call);
    let read = move |door: &Door| {
        let entry = door.enter_version::<GetObject>(&key, &version)?;
        let input = input.as_ref().map_err(Clone::clone)?;
        let overrides = overrides.clone()?;
        let output = door.s3.read_object(&entry, input);
        let output = output.map(|output| door.unless_missing(output)).known()?;
        Ok((output, overrides))
    };
    let (output, overrides) = door.read(read).await?;
    Ok(object_response(output.durable().await?, overrides))
}

/// HeadObject.
pub(crate) async fn head_object(call: Call) -> Reply {
    let (door, key) = call.object_door()?;
    let version = parse_query::version(&call.query);
    let input = get_object_input(&call);
    let overrides = overrides(&call);
    let read = move |door: &Door| {
        let entry = door.enter_version::<GetObject>(&key, &version)?;
        let input = input.as_ref().map_err(Clone::clone)?;
        let overrides = overrides.clone()?;
        let output = door.s3.describe_object(&entry, input);
        let output = output.map(|output| door.unless_missing(output)).known()?;
        Ok((output, overrides))
    };
    let (output, overrides) = door.read(read).await?;
    Ok(object_response(output.durable().await?, overrides))
}

fn get_object_input(call: &Call) -> Result<GetObjectInput, Failure> {
    let headers = &call.parts.headers;
    let range = parse_headers::text(headers, "range")?.and_then(RangeSpec::parse);
    let part_number = parse_query::part_number(&call.query)?;
    if range.is_some() && part_number.is_some() {
        let message = "Cannot specify both Range header and partNumber query parameter";
        return Err(RequestError::InvalidRequest(message.to_owned()).into());
    }
    let mode = parse_headers::text(headers, "x-amz-checksum-mode")?;
    Ok(GetObjectInput {
        version: parse_query::version(&call.query)?,
        range,
        part_number,
        conditions: parse_headers::read_conditions(headers)?,
        sse: parse_headers::sse(headers)?,
        with_checksum: mode.is_some_and(|mode| mode.eq_ignore_ascii_case("ENABLED")),
    })
}

/// `response-*` parameters, and the headers that they replace.
const OVERRIDES: [(&str, &str); 6] = [
    ("response-content-type", "content-type"),
    ("response-content-language", "content-language"),
    ("response-expires", "expires"),
    ("response-cache-control", "cache-control"),
    ("response-content-disposition", "content-disposition"),
    ("response-content-encoding", "content-encoding"),
];

fn overrides(call: &Call) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut found = Vec::new();
    for (parameter, header) in OVERRIDES {
        if let Some(value) = parse_query::sent(&call.query, parameter)? {
            found.push((header, value.to_owned()));
        }
    }
    if !found.is_empty() && call.context.principal == Principal::Anonymous {
        let message =
            "Request specific response headers cannot be used for anonymous GET requests.";
        return Err(RequestError::InvalidRequest(message.to_owned()).into());
    }
    Ok(found)
}

fn object_response(
    output: GetObjectOutput,
    overrides: Vec<(&'static str, String)>,
) -> http::Response<ResponseBody> {
    let GetObjectOutput {
        object,
        range,
        body,
    } = output;
    let len_bytes = range.map_or(object.size_bytes, strongroom_types::ByteRange::len_bytes);
    let mut response = http::Response::new(match body {
        Some(body) => ResponseBody::object(body, len_bytes),
        None => ResponseBody::empty(),
    });
    let headers = response.headers_mut();
    reply::set_object(headers, &object);
    headers.insert(CONTENT_LENGTH, len_bytes.into());
    if let Some(range) = range {
        let last = range.end.saturating_sub(1);
        let value = format!("bytes {}-{last}/{}", range.start, object.size_bytes);
        reply::set(headers, "content-range", &value);
    }
    for (name, value) in overrides {
        reply::set(headers, name, &value);
    }
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}
