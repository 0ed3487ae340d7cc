//! POST Object: a browser's form.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use strongroom_policy::actions::PutObject;
use strongroom_s3::{BodyError, BodySource, PutObjectInput, PutObjectOutput, S3Error};
use strongroom_types::limits::{OBJECT_TAGS_MAX, SINGLE_PUT_MAX_BYTES};
use strongroom_types::{Principal, TagSet};

use super::address::parse_key;
use super::body::AnyBody;
use super::call::{Call, blocking};
use super::handle_multipart::location;
use super::handle_object::set_put_headers;
use super::route::Reply;
use super::{parse_digests, parse_headers, parse_xml, reply};
use crate::error::{Failure, RequestError};
use crate::form::{FormDecoder, FormError, FormEvent, FormFields};
use crate::limits::FORM_FIELDS_MAX_BYTES;
use crate::sigv4::Payload;
use crate::xml::XmlWriter;

/// PostObject.
pub(crate) async fn post_object(mut call: Call) -> Reply {
    let bucket = call.bucket()?;
    let mut form = OpenForm::read_fields(&mut call).await?;
    form.fields.substitute_filename(&form.filename);
    let verified = call.verifier.verify_post(&bucket, &form.fields)?;
    sign_in(&mut call, verified.credential.as_deref());
    let field = |name: &'static str| form.fields.get(name).map(str::to_owned);
    let key = field("key").ok_or_else(|| missing_key())?;
    call.address.key = Some(key.clone());
    let key = parse_key(&key)?;
    let input = input(&form);
    let door = call.bucket_door()?;
    let s3 = call.s3.clone();
    let entry = blocking(move || Ok(door.enter_object::<PutObject>(&key)?)).await?;
    let mut input = input?;
    let success = Success::of(&form.fields);
    let (min, max) = verified.content_length_range.unwrap_or((0, SINGLE_PUT_MAX_BYTES));
    let body = form.into_file(min, max.min(SINGLE_PUT_MAX_BYTES));
    // How long the file is shows only at its end; announced is what it can be at most.
    let (body, length) = body.measure(&mut input).await?;
    input.content_length = length;
    let bounds = body.bounds.clone();
    let output = s3.put_object(entry, input, Box::pin(body)).await;
    let output = output.map_err(|error| bounds.told(error))?;
    Ok(success.response(&call, &output))
}
