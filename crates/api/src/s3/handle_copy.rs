//! Copies within the server: of objects and into parts.

use http::HeaderMap;
use strongroom_policy::actions::{GetObject, GetObjectTagging, PutObject, PutObjectTagging};
use strongroom_s3::{
    CopyObjectInput, CopySource, MetadataDirective, S3Error, TaggingDirective, UploadPartCopyInput,
};
use strongroom_types::{ByteRange, RangeSpec};

use super::as_sent::with_object_tags;
use super::call::{Call, Door, blocking};
use super::handle_multipart::{required_part_number, write_checksum, write_part_checksum};
use super::handle_object::AlsoAsked;
use super::keep_alive::{self, Finished};
use super::parse_headers::Directive;
use super::route::Reply;
use super::{parse_acl, parse_digests, parse_headers, parse_query, reply};
use crate::error::Failure;
use crate::xml::{S3_NAMESPACE, XmlWriter};

/// CopyObject.
pub(crate) async fn copy_object(call: Call) -> Reply {
    let (mut door, key) = call.object_door()?;
    let mut input = copy_input(&call);
    let (source, source_door) = source(&call, &door)?;
    let also = AlsoAsked::of(&call.parts.headers);
    let work = async move {
        let output = blocking(move || {
            let version = Ok(source.version);
            let from = source_door.enter_version::<GetObject>(&source.key, &version)?;
            let mut copies_tags = false;
            if let Ok(input) = &mut input
                && matches!(input.tags, TaggingDirective::Copy)
            {
                let tags = door.s3.tags_to_copy(&from, source.version)?;
                copies_tags = !tags.is_empty();
                if copies_tags {
                    // Decided first: the tags have a say in the decisions behind it.
                    source_door.enter_version::<GetObjectTagging>(&source.key, &version)?;
                    door.arrival.conditions = with_object_tags(door.arrival.conditions, &tags);
                }
                input.tags = TaggingDirective::CopyOf(tags);
            }
            let to = destination(&door, door.enter_object::<PutObject>(&key))?;
            also.enter(&door, &key)?;
            let input = input?;
            if copies_tags {
                door.enter_object::<PutObjectTagging>(&key)?;
            }
            let if_match = input.conditions.if_match.clone();
            door.enter_to_compare(&key, &Ok(None), if_match.as_ref())?;
            let copied = door.s3.copy_object(from, to, source, input);
            let copied = source_door.unless_missing(copied);
            // With a condition on it, the destination may be what is missing.
            Ok(match if_match {
                Some(_) => door.unless_missing(copied)?,
                None => copied?,
            })
        })
        .await?;
        let mut headers = HeaderMap::new();
        reply::set_version(&mut headers, "x-amz-version-id", output.object.version);
        reply::set_version(
            &mut headers,
            "x-amz-copy-source-version-id",
            output.source_version,
        );
        reply::set_encryption(&mut headers, &output.object.encryption);
        let mut xml = XmlWriter::new("CopyObjectResult", Some(S3_NAMESPACE));
        xml.element("LastModified", &output.last_modified.to_iso8601());
        xml.element("ETag", &output.object.etag.quoted());
        write_checksum(&mut xml, output.object.checksum.as_ref());
        Ok(Finished {
            headers,
            document: xml.finish(),
        })
    };
    keep_alive::answer(work, call.options.keep_alive, call.place, call.late).await
}

fn copy_input(call: &Call) -> Result<CopyObjectInput, Failure> {
    let headers = &call.parts.headers;
    parse_headers::refuse_object_lock(headers)?;
    let metadata = match parse_headers::directive(headers, "x-amz-metadata-directive")? {
        Directive::Copy => MetadataDirective::Copy,
        Directive::Replace => MetadataDirective::Replace(parse_headers::metadata(headers)?),
    };
    Ok(CopyObjectInput {
        metadata,
        tags: parse_headers::tagging_directive(headers)?,
        website_redirect_location: parse_headers::website_redirect_location(headers)?,
        storage_class_given: parse_headers::storage_class(headers)?,
        sse: parse_headers::sse(headers)?,
        conditions: parse_headers::write_conditions(headers)?,
        checksum_algorithm: parse_digests::checksum_algorithm(headers)?,
        acl: parse_acl::headers(headers)?,
    })
}

/// The source, and how its reader gets in.
fn source(call: &Call, door: &Door) -> Result<(CopySource, Door), Failure> {
    let source = parse_headers::copy_source(&call.parts.headers)?;
    let mut source_door = Door {
        bucket: source.bucket.clone(),
        expected_owner: call.expected_source_owner()?,
        learned: None,
        ..door.clone()
    };
    if let Some(version) = source.version {
        let conditions = source_door.arrival.conditions;
        source_door.arrival.conditions = conditions.with("s3:VersionId", version.to_string());
    }
    Ok((source, source_door))
}

/// Where a copy goes to, as the door let it in. Of what is refused here nothing was read.
fn destination<T>(door: &Door, entered: Result<T, S3Error>) -> Result<T, S3Error> {
    if let (Some(learned), Err(_)) = (&door.learned, &entered) {
        // A copy goes to one place.
        let _ = learned.destination_refused.set(());
    }
    entered
}

/// UploadPartCopy.
pub(crate) async fn upload_part_copy(call: Call) -> Reply {
    let (door, key) = call.object_door()?;
    let upload = parse_query::upload_id(&call.query);
    let input = part_copy_input(&call);
    let (source, source_door) = source(&call, &door)?;
    let work = async move {
        let output = blocking(move || {
            let version = Ok(source.version);
            let from = source_door.enter_version::<GetObject>(&source.key, &version)?;
            let to = destination(&door, door.enter_upload::<PutObject>(&key, &upload))?;
            let copied = door.s3.upload_part_copy(from, to, source, input?);
            Ok(source_door.unless_missing(copied)?)
        })
        .await?;
        let mut headers = HeaderMap::new();
        reply::set_version(
            &mut headers,
            "x-amz-copy-source-version-id",
            output.source_version,
        );
        reply::set_encryption(&mut headers, &output.encryption);
        let mut xml = XmlWriter::new("CopyPartResult", Some(S3_NAMESPACE));
        xml.element("LastModified", &output.last_modified.to_iso8601());
        xml.element("ETag", &output.etag.quoted());
        write_part_checksum(&mut xml, output.checksum.as_ref());
        Ok(Finished {
            headers,
            document: xml.finish(),
        })
    };
    keep_alive::answer(work, call.options.keep_alive, call.place, call.late).await
}

fn part_copy_input(call: &Call) -> Result<UploadPartCopyInput, Failure> {
    const RANGE: &str = "x-amz-copy-source-range";
    let headers = &call.parts.headers;
    let source_range = match parse_headers::text(headers, RANGE)? {
        None => None,
        Some(value) => {
            let Some(RangeSpec::FromTo(first, last)) = RangeSpec::parse(value) else {
                let message = "The x-amz-copy-source-range value must be of the form \
                               bytes=first-last where first and last are the zero-based offsets \
                               of the first and last bytes to copy";
                return Err(parse_headers::argument(message, RANGE, Some(value)));
            };
            Some(ByteRange {
                start: first,
                end: last.saturating_add(1),
            })
        }
    };
    Ok(UploadPartCopyInput {
        part_number: required_part_number(call)?,
        upload: parse_query::upload_id(&call.query)?,
        source_range,
        customer: parse_headers::customer(headers)?,
    })
}
