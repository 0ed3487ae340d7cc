//! Removing objects, one by one and many at once.

use http::StatusCode;
use strongroom_policy::actions::DeleteObject;
use strongroom_s3::{DeleteObjectInput, DeleteObjectOutput, S3Error};
use strongroom_types::Principal;

use super::address::parse_key;
use super::call::{Call, Door, blocking};
use super::documents::DigestRule;
use super::parse_xml::{DeleteEntry, DeleteRequest};
use super::route::Reply;
use super::{parse_headers, parse_query, parse_xml, reply};
use crate::error::{ErrorPlace, Failure, RequestError};
use crate::recording::{DeleteError, DeletedEntry, Learned};
use crate::xml::{S3_NAMESPACE, XmlWriter};

/// DeleteObject.
pub(crate) async fn delete_object(call: Call) -> Reply {
    let (door, key) = call.object_door()?;
    let version = parse_query::version(&call.query);
    let input = delete_object_input(&call);
    let output = blocking(move || {
        let entry = door.enter_version::<DeleteObject>(&key, &version)?;
        let input = input?;
        door.enter_to_compare(&key, &version, input.if_match.as_ref())?;
        let deleted = door.s3.delete_object(entry, input);
        Ok(door.unless_missing(deleted)?)
    })
    .await?;
    let mut response = reply::empty(StatusCode::NO_CONTENT);
    reply::set_version(response.headers_mut(), "x-amz-version-id", output.version);
    if output.delete_marker {
        reply::set(response.headers_mut(), "x-amz-delete-marker", "true");
    }
    Ok(response)
}

fn delete_object_input(call: &Call) -> Result<DeleteObjectInput, Failure> {
    let headers = &call.parts.headers;
    // Conditions of directory buckets: ignoring one would delete what the client wants kept.
    for name in ["x-amz-if-match-last-modified-time", "x-amz-if-match-size"] {
        if headers.contains_key(name) {
            return Err(RequestError::NotImplemented {
                header: name.to_owned(),
            }
            .into());
        }
    }
    Ok(DeleteObjectInput {
        version: parse_query::version(&call.query)?,
        if_match: parse_headers::text(headers, "if-match")?.map(parse_headers::etag_condition),
    })
}

/// DeleteObjects.
pub(crate) async fn delete_objects(mut call: Call) -> Reply {
    let document = call.read_document(DigestRule::Required).await;
    let door = call.bucket_door()?;
    let (place, learned) = (call.place.clone(), call.learned.clone());
    let answer = blocking(move || {
        enter_bucket(&door)?;
        let request = parse_xml::delete(&document.bytes()?)?;
        delete_all(&door, request, &place, learned.as_deref())
    })
    .await?;
    Ok(reply::document(answer))
}

/// What is wrong with the bucket is wrong with the whole request; whether the caller may delete is
/// decided and told key by key.
fn enter_bucket(door: &Door) -> Result<(), Failure> {
    match door.enter_bucket::<DeleteObject>() {
        Err(S3Error::AccessDenied(_)) => Ok(()),
        outcome => Ok(outcome.map(|_| ())?),
    }
}

fn delete_all(
    door: &Door,
    request: DeleteRequest,
    place: &ErrorPlace,
    learned: Option<&Learned>,
) -> Result<bytes::Bytes, Failure> {
    let mut told = Vec::with_capacity(request.entries.len());
    let mut asked = Vec::new();
    for DeleteEntry {
        key,
        version,
        etag,
        input,
    } in request.entries
    {
        let parsed = parse_key(&key)
            .map_err(Failure::from)
            .and_then(|key| Ok((key, input?)));
        let outcome = match parsed {
            Ok((key, input)) => {
                let mut door = door.clone();
                if let Some(version) = input.version {
                    let conditions = door.arrival.conditions;
                    door.arrival.conditions = conditions.with("s3:VersionId", version.to_string());
                }
                if let Some(etag) = etag {
                    door.arrival.conditions = door.arrival.conditions.with("s3:if-match", etag);
                }
                let version = Ok(input.version);
                let entered = door.enter_version::<DeleteObject>(&key, &version);
                let entered = entered.and_then(|entry| {
                    door.enter_to_compare(&key, &version, input.if_match.as_ref())?;
                    Ok(entry)
                });
                asked.push((entered, input));
                None
            }
            Err(failure) => Some(failure),
        };
        told.push((key, version, outcome));
    }
    // Who is nobody and may nothing hears that of the whole request.
    if door.arrival.context.principal == Principal::Anonymous
        && let Some((Err(S3Error::AccessDenied(denied)), _)) = asked.first()
        && asked
            .iter()
            .all(|(entered, _)| matches!(entered, Err(S3Error::AccessDenied(_))))
    {
        return Err(S3Error::from(denied.clone()).into());
    }
    let mut outcomes = door.s3.delete_objects(asked).into_iter();
    let mut xml = XmlWriter::new("DeleteResult", Some(S3_NAMESPACE));
    let mut entries = Vec::with_capacity(told.len());
    for (key, version, failure) in told {
        let outcome = match failure {
            Some(failure) => Err(failure),
            None => match outcomes.next() {
                Some(outcome) => door.unless_missing(outcome).map_err(Failure::from),
                None => Err(S3Error::Unavailable.into()),
            },
        };
        let error = outcome.as_ref().err().map(|failure| {
            let answer = failure.answer(place);
            DeleteError {
                code: answer.code,
                message: answer.message.into_owned(),
                status: answer.status,
            }
        });
        let made = outcome.as_ref().ok().and_then(|it| it.version);
        entries.push(DeletedEntry {
            key: key.clone(),
            version: made.map(|it| it.to_string()).or_else(|| version.clone()),
            error,
        });
        match outcome {
            Ok(output) if !request.is_quiet => {
                write_deleted(&mut xml, &key, version.as_deref(), &output);
            }
            Ok(_) => {}
            Err(failure) => {
                let answer = failure.answer(place);
                xml.nested("Error", |xml| {
                    xml.element("Key", &key);
                    xml.optional("VersionId", version.as_deref());
                    xml.element("Code", answer.code);
                    xml.element("Message", &answer.message);
                });
            }
        }
    }
    if let Some(learned) = learned {
        // A request has one list.
        let _ = learned.deleted.set(entries);
    }
    Ok(xml.finish())
}

fn write_deleted(xml: &mut XmlWriter, key: &str, asked: Option<&str>, output: &DeleteObjectOutput) {
    xml.nested("Deleted", |xml| {
        xml.element("Key", key);
        xml.optional("VersionId", asked);
        if output.delete_marker {
            xml.value("DeleteMarker", true);
            if let Some(version) = output.version {
                xml.element("DeleteMarkerVersionId", &version.to_string());
            }
        }
    });
}
