//! Tags of buckets and objects.

use http::StatusCode;
use strongroom_policy::actions::{
    DeleteObjectTagging, GetBucketTagging, GetObjectTagging, PutBucketTagging, PutObjectTagging,
};
use strongroom_s3::S3Error;
use strongroom_types::{TagSet, VersionId};

use super::as_sent::{with_object_tags, with_resource_tags};
use super::call::{Call, blocking};
use super::documents::DigestRule;
use super::route::Reply;
use super::{parse_query, parse_xml, reply};
use crate::xml::{S3_NAMESPACE, XmlWriter};

/// GetBucketTagging.
pub(crate) async fn get_bucket_tagging(call: Call) -> Reply {
    let bucket = call.bucket_door()?.view::<GetBucketTagging>().await?;
    let tags = bucket.tags.as_ref().ok_or(S3Error::NoSuchTagSet)?;
    Ok(reply::document(tagging(tags)))
}

/// PutBucketTagging.
pub(crate) async fn put_bucket_tagging(mut call: Call) -> Reply {
    let document = call.read_document(DigestRule::Required).await;
    let mut door = call.bucket_door()?;
    let tags = document
        .bytes()
        .and_then(|it| parse_xml::bucket_tagging(&it));
    if let Ok(tags) = &tags {
        door.arrival.conditions = with_resource_tags(door.arrival.conditions, tags);
    }
    blocking(move || {
        let entry = door.enter_bucket::<PutBucketTagging>()?;
        Ok(door.s3.put_bucket_tagging(entry, tags?)?)
    })
    .await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// DeleteBucketTagging.
pub(crate) async fn delete_bucket_tagging(call: Call) -> Reply {
    let door = call.bucket_door()?;
    blocking(move || {
        let entry = door.enter_bucket::<PutBucketTagging>()?;
        Ok(door.s3.delete_bucket_tagging(entry)?)
    })
    .await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// GetObjectTagging.
pub(crate) async fn get_object_tagging(call: Call) -> Reply {
    let (door, key) = call.object_door()?;
    let version = parse_query::version(&call.query);
    let (tags, version) = blocking(move || {
        let entry = door.enter_version::<GetObjectTagging>(&key, &version)?;
        let found = door.s3.get_object_tagging(entry, version?);
        Ok(door.unless_missing(found)?)
    })
    .await?;
    let mut response = reply::document(tagging(&tags));
    reply::set_version(response.headers_mut(), "x-amz-version-id", version);
    Ok(response)
}

/// PutObjectTagging.
pub(crate) async fn put_object_tagging(mut call: Call) -> Reply {
    let document = call.read_document(DigestRule::RequiredUnlessSigned).await;
    let (mut door, key) = call.object_door()?;
    let version = parse_query::version(&call.query);
    let tags = document
        .bytes()
        .and_then(|it| parse_xml::object_tagging(&it));
    if let Ok(tags) = &tags {
        door.arrival.conditions = with_object_tags(door.arrival.conditions, tags);
    }
    let version = blocking(move || {
        let entry = door.enter_version::<PutObjectTagging>(&key, &version)?;
        let put = door.s3.put_object_tagging(entry, version?, tags?);
        Ok(door.unless_missing(put)?)
    })
    .await?;
    Ok(tagged(StatusCode::OK, version))
}

/// DeleteObjectTagging.
pub(crate) async fn delete_object_tagging(call: Call) -> Reply {
    let (door, key) = call.object_door()?;
    let version = parse_query::version(&call.query);
    let version = blocking(move || {
        let entry = door.enter_version::<DeleteObjectTagging>(&key, &version)?;
        let deleted = door.s3.delete_object_tagging(entry, version?);
        Ok(door.unless_missing(deleted)?)
    })
    .await?;
    Ok(tagged(StatusCode::NO_CONTENT, version))
}

fn tagged(status: StatusCode, version: Option<VersionId>) -> http::Response<super::ResponseBody> {
    let mut response = reply::empty(status);
    reply::set_version(response.headers_mut(), "x-amz-version-id", version);
    response
}

fn tagging(tags: &TagSet) -> bytes::Bytes {
    let mut xml = XmlWriter::new("Tagging", Some(S3_NAMESPACE));
    xml.nested("TagSet", |xml| {
        for tag in tags.tags() {
            xml.nested("Tag", |xml| {
                xml.element("Key", &tag.key);
                xml.element("Value", &tag.value);
            });
        }
    });
    xml.finish()
}
