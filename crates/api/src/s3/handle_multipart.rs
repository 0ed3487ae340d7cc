//! Multipart uploads: create, part, complete, abort, list parts.

use http::{HeaderMap, StatusCode};
use strongroom_policy::actions::{AbortMultipartUpload, ListMultipartUploadParts, PutObject};
use strongroom_s3::{
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CreateMultipartUploadInput,
    ListPartsInput, ListedPart, UploadPartInput,
};
use strongroom_types::{Checksum, PartNumber};

use super::body::decoded_body;
use super::call::{Call, blocking};
use super::documents::DigestRule;
use super::handle_list::{write_checksum_kind, write_owner};
use super::handle_object::{AlsoAsked, bounded_length, told};
use super::keep_alive::{self, Finished};
use super::parse_digests::{self, checksum_text};
use super::route::Reply;
use super::{parse_headers, parse_query, parse_xml, reply};
use crate::error::{Failure, RequestError};
use crate::xml::{S3_NAMESPACE, XmlWriter, url_encoded};

/// CreateMultipartUpload.
pub(crate) async fn create_multipart_upload(call: Call) -> Reply {
    let (door, key) = call.object_door()?;
    let input = create_input(&call);
    let (bucket, shown_key) = (door.bucket.clone(), key.clone());
    let also = AlsoAsked::of(&call.parts.headers);
    let output = blocking(move || {
        let entry = door.enter_object::<PutObject>(&key)?;
        also.enter(&door, &key)?;
        Ok(door.s3.create_multipart_upload(entry, input?)?)
    })
    .await?;
    let mut xml = XmlWriter::new("InitiateMultipartUploadResult", Some(S3_NAMESPACE));
    xml.element("Bucket", bucket.as_str());
    xml.element("Key", shown_key.as_str());
    xml.element("UploadId", &output.upload.to_string());
    let mut response = reply::document(xml.finish());
    reply::set_encryption(response.headers_mut(), &output.encryption);
    if let Some((algorithm, kind)) = output.checksum {
        reply::set(
            response.headers_mut(),
            "x-amz-checksum-algorithm",
            algorithm.name(),
        );
        reply::set(response.headers_mut(), "x-amz-checksum-type", kind.name());
    }
    Ok(response)
}

fn create_input(call: &Call) -> Result<CreateMultipartUploadInput, Failure> {
    let headers = &call.parts.headers;
    parse_headers::refuse_object_lock(headers)?;
    let checksum_algorithm = parse_digests::checksum_algorithm(headers)?;
    let checksum_type = parse_digests::checksum_type(headers)?;
    if checksum_type.is_some() && checksum_algorithm.is_none() {
        let message = "The x-amz-checksum-type header can only be used with the \
                       x-amz-checksum-algorithm header.";
        return Err(RequestError::InvalidRequest(message.to_owned()).into());
    }
    Ok(CreateMultipartUploadInput {
        metadata: parse_headers::metadata(headers)?,
        tags: parse_headers::tagging(headers)?,
        sse: parse_headers::sse(headers)?,
        checksum_algorithm,
        checksum_type,
        acl: super::parse_acl::headers(headers)?,
    })
}

/// The part number that an upload needs.
pub(crate) fn required_part_number(call: &Call) -> Result<PartNumber, Failure> {
    parse_query::part_number(&call.query)?.ok_or_else(|| {
        let message = "Part number must be an integer between 1 and 10000, inclusive";
        parse_headers::argument(message, "partNumber", None)
    })
}

/// UploadPart.
pub(crate) async fn upload_part(mut call: Call) -> Reply {
    let (door, key) = call.object_door()?;
    let input = upload_part_input(&call);
    let body = std::mem::take(&mut call.body);
    let incoming = decoded_body(body, &call.payload, &call.parts.headers);
    let s3 = call.s3.clone();
    let upload = parse_query::upload_id(&call.query);
    let entry = blocking(move || Ok(door.enter_upload::<PutObject>(&key, &upload)?)).await?;
    let (mut input, incoming) = (input?, incoming?);
    input.content_length = bounded_length(incoming.length)?;
    let fault = incoming.source.fault();
    let output = s3
        .upload_part(entry, input, Box::pin(incoming.source))
        .await;
    let output = output.map_err(|error| told(error, &fault))?;
    let mut response = reply::empty(StatusCode::OK);
    reply::set_etag(response.headers_mut(), &output.etag);
    reply::set_encryption(response.headers_mut(), &output.encryption);
    reply::set_part_checksum(response.headers_mut(), output.checksum.as_ref());
    Ok(response)
}

fn upload_part_input(call: &Call) -> Result<UploadPartInput, Failure> {
    let headers = &call.parts.headers;
    Ok(UploadPartInput {
        part_number: required_part_number(call)?,
        upload: parse_query::upload_id(&call.query)?,
        content_length: 0,
        customer: parse_headers::customer(headers)?,
        digests: parse_digests::digests(headers, &call.payload)?,
    })
}

/// CompleteMultipartUpload.
pub(crate) async fn complete_multipart_upload(mut call: Call) -> Reply {
    let document = call.read_document(DigestRule::OfObject).await;
    let (door, key) = call.object_door()?;
    let upload = parse_query::upload_id(&call.query);
    let input = complete_input(&call);
    let location = location(&call);
    let (bucket, shown_key) = (door.bucket.clone(), key.clone());
    let work = async move {
        let output = blocking(move || {
            let entry = door.enter_upload::<PutObject>(&key, &upload)?;
            let mut input = input?;
            door.enter_to_compare(&key, &Ok(None), input.conditions.if_match.as_ref())?;
            input.parts = parse_xml::complete(&document.bytes()?)?;
            let completed = door.s3.complete_multipart_upload(entry, input);
            Ok(door.unless_missing(completed)?)
        })
        .await?;
        let CompleteMultipartUploadOutput {
            etag,
            version,
            checksum,
            encryption,
        } = output;
        let mut xml = XmlWriter::new("CompleteMultipartUploadResult", Some(S3_NAMESPACE));
        xml.element("Location", &location);
        xml.element("Bucket", bucket.as_str());
        xml.element("Key", shown_key.as_str());
        xml.element("ETag", &etag.quoted());
        write_checksum(&mut xml, checksum.as_ref());
        let mut headers = HeaderMap::new();
        reply::set_version(&mut headers, "x-amz-version-id", version);
        if let Some(encryption) = encryption {
            reply::set_encryption(&mut headers, &encryption);
        }
        Ok(Finished {
            headers,
            document: xml.finish(),
        })
    };
    keep_alive::answer(work, call.options.keep_alive, call.place, call.late).await
}

fn complete_input(call: &Call) -> Result<CompleteMultipartUploadInput, Failure> {
    const SIZE: &str = "x-amz-mp-object-size";
    let headers = &call.parts.headers;
    let object_size = match parse_headers::text(headers, SIZE)? {
        None => None,
        Some(value) => Some(value.parse().map_err(|_| {
            RequestError::InvalidRequest(format!("Value for {SIZE} header is invalid."))
        })?),
    };
    Ok(CompleteMultipartUploadInput {
        upload: parse_query::upload_id(&call.query)?,
        parts: Vec::new(),
        checksum: parse_digests::object_checksum(headers)?,
        checksum_type: parse_digests::checksum_type(headers)?,
        object_size,
        customer: parse_headers::customer(headers)?,
        conditions: parse_headers::write_conditions(headers)?,
    })
}

/// The URL under which the client asked, without its query.
pub(crate) fn location(call: &Call) -> String {
    let scheme = if call.context.transport.is_secure() {
        "https"
    } else {
        "http"
    };
    let host = crate::sigv4::host(&call.parts)
        .ok()
        .flatten()
        .unwrap_or_default();
    let bucket = call.address.bucket.as_deref().unwrap_or_default();
    let key = url_encoded(call.address.key.as_deref().unwrap_or_default());
    if host.starts_with(&format!("{bucket}.")) {
        format!("{scheme}://{host}/{key}")
    } else {
        format!("{scheme}://{host}/{bucket}/{key}")
    }
}

/// AbortMultipartUpload.
pub(crate) async fn abort_multipart_upload(call: Call) -> Reply {
    let (door, key) = call.object_door()?;
    let upload = parse_query::upload_id(&call.query);
    blocking(move || {
        let entry = door.enter_object::<AbortMultipartUpload>(&key)?;
        Ok(door.s3.abort_multipart_upload(entry, upload?)?)
    })
    .await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// ListParts.
pub(crate) async fn list_parts(call: Call) -> Reply {
    let (door, key) = call.object_door()?;
    let input = list_parts_input(&call);
    let is_url_encoded = parse_query::url_encoding(&call.query)?;
    let (bucket, shown_key) = (door.bucket.clone(), key.clone());
    let (upload, after, max_parts, output) = blocking(move || {
        let entry = door.enter_object::<ListMultipartUploadParts>(&key)?;
        let input = input?;
        let (upload, after, max_parts) = (input.upload, input.after, input.max_parts);
        Ok((upload, after, max_parts, door.s3.list_parts(entry, input)?))
    })
    .await?;
    let mut xml = XmlWriter::new("ListPartsResult", Some(S3_NAMESPACE));
    xml.element("Bucket", bucket.as_str());
    let key = shown_key.as_str();
    xml.element(
        "Key",
        &if is_url_encoded {
            url_encoded(key)
        } else {
            key.to_owned()
        },
    );
    xml.element("UploadId", &upload.to_string());
    write_owner(&mut xml, "Initiator", &output.owner);
    write_owner(&mut xml, "Owner", &output.owner);
    xml.element("StorageClass", output.storage_class.name());
    write_checksum_kind(&mut xml, output.checksum);
    xml.value("PartNumberMarker", after);
    if let Some(next) = output.next_after {
        xml.value("NextPartNumberMarker", next);
    }
    xml.value("MaxParts", max_parts);
    xml.value("IsTruncated", output.next_after.is_some());
    for part in &output.parts {
        xml.nested("Part", |xml| write_part(xml, part));
    }
    Ok(reply::document(xml.finish()))
}

fn list_parts_input(call: &Call) -> Result<ListPartsInput, Failure> {
    Ok(ListPartsInput {
        upload: parse_query::upload_id(&call.query)?,
        after: parse_query::part_number_marker(&call.query)?,
        max_parts: parse_query::page_size(&call.query, "max-parts")?,
        customer: parse_headers::customer(&call.parts.headers)?,
    })
}

fn write_part(xml: &mut XmlWriter, part: &ListedPart) {
    xml.value("PartNumber", part.part_number);
    xml.element("LastModified", &part.last_modified.to_iso8601());
    xml.element("ETag", &part.etag.quoted());
    xml.value("Size", part.size_bytes);
    write_part_checksum(xml, part.checksum.as_ref());
}

/// The element that carries a checksum's value.
pub(crate) fn write_part_checksum(xml: &mut XmlWriter, checksum: Option<&Checksum>) {
    if let Some(checksum) = checksum {
        xml.element(checksum.algorithm.element(), &checksum_text(checksum));
    }
}

/// A checksum's value and type.
pub(crate) fn write_checksum(xml: &mut XmlWriter, checksum: Option<&Checksum>) {
    if let Some(checksum) = checksum {
        write_part_checksum(xml, Some(checksum));
        xml.element("ChecksumType", checksum.kind.name());
    }
}
