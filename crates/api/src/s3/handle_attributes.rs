//! GetObjectAttributes.

use strongroom_policy::actions::{GetObject, GetObjectAttributes};
use strongroom_s3::{AttributeParts, GetObjectAttributesInput};

use super::call::{Call, blocking};
use super::handle_multipart::{write_checksum, write_part_checksum};
use super::route::Reply;
use super::{parse_headers, parse_query, reply};
use crate::error::Failure;
use crate::xml::{S3_NAMESPACE, XmlWriter};
use strongroom_types::Checksum;
use strongroom_types::limits::LIST_PAGE_MAX;

/// What was asked for.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "five names of a list, each there or not"
)]
struct Wanted {
    etag: bool,
    checksum: bool,
    parts: bool,
    storage_class: bool,
    size: bool,
}

/// GetObjectAttributes.
pub(crate) async fn get_object_attributes(call: Call) -> Reply {
    let (door, key) = call.object_door()?;
    let version = parse_query::version(&call.query);
    let asked = input(&call);
    let (wanted, page, output) = blocking(move || {
        let entry = door.enter_version::<GetObjectAttributes>(&key, &version)?;
        door.enter_version::<GetObject>(&key, &version)?;
        let (wanted, input) = asked?;
        let page = input.parts.unwrap_or_default();
        let output = door.s3.get_object_attributes(entry, input);
        Ok((wanted, page, door.unless_missing(output)?))
    })
    .await?;
    let object = &output.object;
    let mut xml = XmlWriter::new("GetObjectAttributesResponse", Some(S3_NAMESPACE));
    if wanted.etag {
        xml.element("ETag", object.etag.as_str());
    }
    if wanted.checksum && object.checksum.is_some() {
        xml.nested("Checksum", |xml| {
            // Here, and only here, S3 shows a composite checksum without its count of parts.
            let bare = object.checksum.clone().map(|checksum| Checksum {
                part_count: 0,
                ..checksum
            });
            write_checksum(xml, bare.as_ref());
        });
    }
    if let (true, Some(parts)) = (wanted.parts, &output.parts) {
        xml.nested("ObjectParts", |xml| write_parts(xml, parts, page));
    }
    if wanted.storage_class {
        xml.element("StorageClass", object.storage_class.name());
    }
    if wanted.size {
        xml.value("ObjectSize", object.size_bytes);
    }
    let mut response = reply::document(xml.finish());
    let headers = response.headers_mut();
    reply::set(
        headers,
        "last-modified",
        &object.last_modified.to_http_date(),
    );
    reply::set_version(headers, "x-amz-version-id", object.version);
    Ok(response)
}

fn write_parts(xml: &mut XmlWriter, parts: &AttributeParts, (after, max): (u32, u32)) {
    xml.value("PartsCount", parts.total);
    // Parts without checksums are counted and not listed.
    if parts.parts.is_empty() && parts.next_after.is_none() {
        return;
    }
    xml.value("PartNumberMarker", after);
    let last = parts
        .parts
        .last()
        .map_or(after, |part| u32::from(part.part_number.value()));
    xml.value("NextPartNumberMarker", parts.next_after.unwrap_or(last));
    xml.value("MaxParts", max);
    xml.value("IsTruncated", parts.next_after.is_some());
    for part in &parts.parts {
        xml.nested("Part", |xml| {
            xml.value("PartNumber", part.part_number);
            xml.value("Size", part.size_bytes);
            write_part_checksum(xml, part.checksum.as_ref());
        });
    }
}

fn input(call: &Call) -> Result<(Wanted, GetObjectAttributesInput), Failure> {
    const NAME: &str = "x-amz-object-attributes";
    let headers = &call.parts.headers;
    let mut wanted = Wanted::default();
    let mut is_any = false;
    for value in headers.get_all(NAME) {
        let value = value.to_str().unwrap_or_default();
        for name in value
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            is_any = true;
            match name {
                "ETag" => wanted.etag = true,
                "Checksum" => wanted.checksum = true,
                "ObjectParts" => wanted.parts = true,
                "StorageClass" => wanted.storage_class = true,
                "ObjectSize" => wanted.size = true,
                _ => {
                    let message = "Invalid attribute name specified.";
                    return Err(parse_headers::argument(message, NAME, Some(name)));
                }
            }
        }
    }
    if !is_any {
        let message = "The x-amz-object-attributes header specifying the attributes to be \
                       retrieved is either missing or empty";
        return Err(parse_headers::argument(message, NAME, None));
    }
    let input = GetObjectAttributesInput {
        version: parse_query::version(&call.query)?,
        sse: parse_headers::sse(headers)?,
        with_checksum: wanted.checksum,
        parts: if wanted.parts {
            Some(parts_page(call)?)
        } else {
            None
        },
    };
    Ok((wanted, input))
}

/// Behind which part, and how many.
fn parts_page(call: &Call) -> Result<(u32, u32), Failure> {
    let number = |name: &'static str, default: u32| -> Result<u32, Failure> {
        let Some(value) = parse_headers::text(&call.parts.headers, name)? else {
            return Ok(default);
        };
        let parsed = value
            .parse::<u32>()
            .ok()
            .filter(|number| i32::try_from(*number).is_ok());
        parsed.ok_or_else(|| {
            let message = "Argument must be an integer between 0 and 2147483647";
            parse_headers::argument(message, name, Some(value))
        })
    };
    let max = number("x-amz-max-parts", LIST_PAGE_MAX)?.min(LIST_PAGE_MAX);
    Ok((number("x-amz-part-number-marker", 0)?, max))
}
