//! Listings of keys, versions and uploads.

use strongroom_policy::actions::{ListBucket, ListBucketMultipartUploads, ListBucketVersions};
use strongroom_s3::{ListObjectsInput, ListObjectsOutput, ListedObject};
use strongroom_types::{CanonicalId, ChecksumAlgorithm, ChecksumType};

use super::call::{Call, Door, blocking};
use super::parse_query::{self, Listing};
use super::reply;
use super::route::Reply;
use crate::error::Failure;
use crate::xml::{S3_NAMESPACE, XmlWriter, url_encoded};

/// ListObjects, version 1.
pub(crate) async fn list_objects(call: Call) -> Reply {
    let door = call.bucket_door()?;
    let name = door.bucket.clone();
    let marker = parse_query::sent(&call.query, "marker")?
        .unwrap_or_default()
        .to_owned();
    let input = list_input(
        &call,
        Some(marker.clone()).filter(|marker| !marker.is_empty()),
    );
    let (listing, max_keys, output) = list(door, input).await?;
    let show = |key: &str| listing.show(key);
    let mut xml = XmlWriter::new("ListBucketResult", Some(S3_NAMESPACE));
    xml.element("Name", name.as_str());
    xml.element("Prefix", &show(&listing.prefix));
    xml.element("Marker", &show(&marker));
    // Without a delimiter clients go on from the last key (API reference, ListObjects).
    if let (Some(next), Some(_)) = (&output.next_after, &listing.delimiter) {
        xml.element("NextMarker", &show(next));
    }
    write_page(
        &mut xml,
        &listing,
        "MaxKeys",
        max_keys,
        output.next_after.is_some(),
    );
    for object in &output.objects {
        write_object(&mut xml, &listing, object, true);
    }
    write_prefixes(&mut xml, &listing, &output.common_prefixes);
    Ok(reply::document(xml.finish()))
}

/// ListObjectsV2.
pub(crate) async fn list_objects_v2(call: Call) -> Reply {
    let door = call.bucket_door()?;
    let name = door.bucket.clone();
    let with_owner = parse_query::filled(&call.query, "fetch-owner")?
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let start_after = parse_query::filled(&call.query, "start-after")?.map(str::to_owned);
    let token = parse_query::sent(&call.query, "continuation-token")?.map(str::to_owned);
    let input = match &token {
        // The token goes on where the page before ended, whatever start-after says.
        Some(token) => parse_query::parse_continuation_token(token)
            .and_then(|after| list_input(&call, Some(after))),
        None => list_input(&call, start_after.clone()),
    };
    let (listing, max_keys, output) = list(door, input).await?;
    let mut xml = XmlWriter::new("ListBucketResult", Some(S3_NAMESPACE));
    xml.element("Name", name.as_str());
    xml.element("Prefix", &listing.show(&listing.prefix));
    if let Some(start_after) = &start_after {
        xml.element("StartAfter", &listing.show(start_after));
    }
    xml.optional("ContinuationToken", token.as_deref());
    if let Some(next) = &output.next_after {
        xml.element(
            "NextContinuationToken",
            &parse_query::continuation_token(next),
        );
    }
    xml.value(
        "KeyCount",
        output
            .objects
            .len()
            .saturating_add(output.common_prefixes.len()),
    );
    write_page(
        &mut xml,
        &listing,
        "MaxKeys",
        max_keys,
        output.next_after.is_some(),
    );
    for object in &output.objects {
        write_object(&mut xml, &listing, object, with_owner);
    }
    write_prefixes(&mut xml, &listing, &output.common_prefixes);
    Ok(reply::document(xml.finish()))
}

type ListInput = (Listing, ListObjectsInput);

fn list_input(call: &Call, after: Option<String>) -> Result<ListInput, Failure> {
    let listing = parse_query::listing(&call.query)?;
    let input = ListObjectsInput {
        prefix: listing.prefix.clone(),
        delimiter: listing.delimiter.clone(),
        after,
        max_keys: parse_query::page_size(&call.query, "max-keys")?,
    };
    Ok((listing, input))
}

async fn list(
    door: Door,
    input: Result<ListInput, Failure>,
) -> Result<(Listing, u32, ListObjectsOutput), Failure> {
    blocking(move || {
        let entry = door.enter_bucket::<ListBucket>()?;
        let (listing, input) = input?;
        let max_keys = input.max_keys;
        Ok((listing, max_keys, door.s3.list_objects(entry, input)?))
    })
    .await
}

/// ListObjectVersions.
pub(crate) async fn list_object_versions(call: Call) -> Reply {
    let door = call.bucket_door()?;
    let name = door.bucket.clone();
    let input = parse_query::listing(&call.query)
        .and_then(|listing| Ok((parse_query::versions(&call.query, &listing)?, listing)));
    let (input, listing, output) = blocking(move || {
        let entry = door.enter_bucket::<ListBucketVersions>()?;
        let (input, listing) = input?;
        let output = door.s3.list_versions(entry, input.clone())?;
        Ok((input, listing, output))
    })
    .await?;
    let mut xml = XmlWriter::new("ListVersionsResult", Some(S3_NAMESPACE));
    xml.element("Name", name.as_str());
    xml.element("Prefix", &listing.show(&listing.prefix));
    xml.element(
        "KeyMarker",
        &listing.show(input.key_marker.as_deref().unwrap_or_default()),
    );
    let marker = input.version_marker.map(|version| version.to_string());
    xml.element("VersionIdMarker", marker.as_deref().unwrap_or_default());
    if let Some((key, version)) = &output.next {
        xml.element("NextKeyMarker", &listing.show(key));
        if let Some(version) = version {
            xml.element("NextVersionIdMarker", &version.to_string());
        }
    }
    write_page(
        &mut xml,
        &listing,
        "MaxKeys",
        input.max_keys,
        output.next.is_some(),
    );
    for version in &output.versions {
        let element = if version.is_delete_marker {
            "DeleteMarker"
        } else {
            "Version"
        };
        xml.nested(element, |xml| {
            let object = &version.object;
            xml.element("Key", &listing.show(&object.key));
            xml.element("VersionId", &version.version.to_string());
            xml.value("IsLatest", version.is_latest);
            xml.element("LastModified", &object.last_modified.to_iso8601());
            if !version.is_delete_marker {
                xml.element("ETag", &object.etag.quoted());
                write_checksum_kind(xml, object.checksum);
                xml.value("Size", object.size_bytes);
            }
            write_owner(xml, "Owner", &object.owner);
            if !version.is_delete_marker {
                xml.element("StorageClass", object.storage_class.name());
            }
        });
    }
    write_prefixes(&mut xml, &listing, &output.common_prefixes);
    Ok(reply::document(xml.finish()))
}

/// ListMultipartUploads.
pub(crate) async fn list_multipart_uploads(call: Call) -> Reply {
    let door = call.bucket_door()?;
    let name = door.bucket.clone();
    let input = parse_query::listing(&call.query)
        .and_then(|listing| Ok((parse_query::uploads(&call.query, &listing)?, listing)));
    let (input, listing, output) = blocking(move || {
        let entry = door.enter_bucket::<ListBucketMultipartUploads>()?;
        let (input, listing) = input?;
        let output = door.s3.list_uploads(entry, input.clone())?;
        Ok((input, listing, output))
    })
    .await?;
    let mut xml = XmlWriter::new("ListMultipartUploadsResult", Some(S3_NAMESPACE));
    xml.element("Bucket", name.as_str());
    xml.element(
        "KeyMarker",
        &listing.show(input.key_marker.as_deref().unwrap_or_default()),
    );
    let marker = input.upload_marker.map(|upload| upload.to_string());
    xml.element("UploadIdMarker", marker.as_deref().unwrap_or_default());
    if let Some((key, upload)) = &output.next {
        xml.element("NextKeyMarker", &listing.show(key));
        xml.element(
            "NextUploadIdMarker",
            &upload.map(|upload| upload.to_string()).unwrap_or_default(),
        );
    }
    xml.element("Prefix", &listing.show(&listing.prefix));
    write_page(
        &mut xml,
        &listing,
        "MaxUploads",
        input.max_uploads,
        output.next.is_some(),
    );
    for upload in &output.uploads {
        xml.nested("Upload", |xml| {
            xml.element("Key", &listing.show(&upload.key));
            xml.element("UploadId", &upload.upload.to_string());
            write_owner(xml, "Initiator", &upload.owner);
            write_owner(xml, "Owner", &upload.owner);
            xml.element("StorageClass", upload.storage_class.name());
            xml.element("Initiated", &upload.upload.initiated.to_iso8601());
            write_checksum_kind(xml, upload.checksum);
        });
    }
    write_prefixes(&mut xml, &listing, &output.common_prefixes);
    Ok(reply::document(xml.finish()))
}

impl Listing {
    /// A key as the answer writes it.
    fn show(&self, key: &str) -> String {
        if self.is_url_encoded {
            url_encoded(key)
        } else {
            key.to_owned()
        }
    }
}

fn write_page(
    xml: &mut XmlWriter,
    listing: &Listing,
    max_name: &'static str,
    max: u32,
    is_truncated: bool,
) {
    xml.value(max_name, max);
    if let Some(delimiter) = &listing.delimiter {
        xml.element("Delimiter", &listing.show(delimiter));
    }
    if listing.is_url_encoded {
        xml.element("EncodingType", "url");
    }
    xml.value("IsTruncated", is_truncated);
}

fn write_object(xml: &mut XmlWriter, listing: &Listing, object: &ListedObject, with_owner: bool) {
    xml.nested("Contents", |xml| {
        xml.element("Key", &listing.show(&object.key));
        xml.element("LastModified", &object.last_modified.to_iso8601());
        xml.element("ETag", &object.etag.quoted());
        write_checksum_kind(xml, object.checksum);
        xml.value("Size", object.size_bytes);
        if with_owner {
            write_owner(xml, "Owner", &object.owner);
        }
        xml.element("StorageClass", object.storage_class.name());
    });
}

fn write_prefixes(xml: &mut XmlWriter, listing: &Listing, prefixes: &[String]) {
    for prefix in prefixes {
        xml.nested("CommonPrefixes", |xml| {
            xml.element("Prefix", &listing.show(prefix));
        });
    }
}

/// An owner or initiator. S3 gives no display names any more (since November 2025).
pub(crate) fn write_owner(xml: &mut XmlWriter, name: &'static str, owner: &CanonicalId) {
    xml.nested(name, |xml| xml.element("ID", owner.as_str()));
}

/// `ChecksumAlgorithm` and `ChecksumType`.
pub(crate) fn write_checksum_kind(
    xml: &mut XmlWriter,
    checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
) {
    if let Some((algorithm, kind)) = checksum {
        xml.element("ChecksumAlgorithm", algorithm.name());
        xml.element("ChecksumType", kind.name());
    }
}
