//! Access control lists and ownership controls.

use http::{HeaderMap, StatusCode};
use strongroom_policy::actions::{
    GetBucketAcl, GetBucketOwnershipControls, GetObjectAcl, PutBucketAcl,
    PutBucketOwnershipControls, PutObjectAcl,
};
use strongroom_s3::WantedAcl;

use super::call::{Call, blocking};
use super::documents::{DigestRule, Document};
use super::route::Reply;
use super::{parse_acl, parse_query, reply};
use crate::error::{Failure, RequestError};

/// GetBucketAcl.
pub(crate) async fn get_bucket_acl(call: Call) -> Reply {
    let door = call.bucket_door()?;
    let acl = blocking(move || {
        let entry = door.enter_bucket::<GetBucketAcl>()?;
        Ok(door.s3.get_bucket_acl(entry)?)
    })
    .await?;
    Ok(reply::document(parse_acl::write(&acl)))
}

/// PutBucketAcl.
pub(crate) async fn put_bucket_acl(mut call: Call) -> Reply {
    let document = call.read_document(DigestRule::Optional).await;
    let door = call.bucket_door()?;
    let headers = call.parts.headers.clone();
    blocking(move || {
        let entry = door.enter_bucket::<PutBucketAcl>()?;
        let wanted = wanted(&headers, document)?;
        Ok(door.s3.put_bucket_acl(entry, wanted)?)
    })
    .await?;
    Ok(reply::empty(StatusCode::OK))
}

/// GetObjectAcl.
pub(crate) async fn get_object_acl(call: Call) -> Reply {
    let (door, key) = call.object_door()?;
    let version = parse_query::version(&call.query);
    let (acl, version) = blocking(move || {
        let entry = door.enter_version::<GetObjectAcl>(&key, &version)?;
        let found = door.s3.get_object_acl(entry, version?);
        Ok(door.unless_missing(found)?)
    })
    .await?;
    let mut response = reply::document(parse_acl::write(&acl));
    reply::set_version(response.headers_mut(), "x-amz-version-id", version);
    Ok(response)
}

/// PutObjectAcl.
pub(crate) async fn put_object_acl(mut call: Call) -> Reply {
    let document = call.read_document(DigestRule::Optional).await;
    let (door, key) = call.object_door()?;
    let version = parse_query::version(&call.query);
    let headers = call.parts.headers.clone();
    let version = blocking(move || {
        let entry = door.enter_version::<PutObjectAcl>(&key, &version)?;
        let (version, wanted) = (version?, wanted(&headers, document)?);
        let put = door.s3.put_object_acl(entry, version, wanted);
        Ok(door.unless_missing(put)?)
    })
    .await?;
    let mut response = reply::empty(StatusCode::OK);
    reply::set_version(response.headers_mut(), "x-amz-version-id", version);
    Ok(response)
}

/// The one list that a request brings: in its headers, or in its document.
fn wanted(headers: &HeaderMap, document: Document) -> Result<WantedAcl, Failure> {
    let wanted = parse_acl::headers(headers)?;
    let document = document.bytes()?;
    match (wanted, document.is_empty()) {
        (WantedAcl::Unspecified, true) => Err(RequestError::MissingAcl.into()),
        (WantedAcl::Unspecified, false) => parse_acl::document(&document),
        (_, false) => Err(RequestError::UnexpectedContent.into()),
        (wanted, true) => Ok(wanted),
    }
}

/// GetBucketOwnershipControls.
pub(crate) async fn get_bucket_ownership_controls(call: Call) -> Reply {
    let door = call.bucket_door()?;
    let ownership = blocking(move || {
        let entry = door.enter_bucket::<GetBucketOwnershipControls>()?;
        Ok(door.s3.get_bucket_ownership_controls(entry)?)
    })
    .await?;
    let document = parse_acl::write_ownership_controls(ownership);
    Ok(reply::document(document))
}

/// PutBucketOwnershipControls.
pub(crate) async fn put_bucket_ownership_controls(mut call: Call) -> Reply {
    let document = call.read_document(DigestRule::RequiredUnlessSigned).await;
    let door = call.bucket_door()?;
    blocking(move || {
        let entry = door.enter_bucket::<PutBucketOwnershipControls>()?;
        let ownership = parse_acl::ownership_controls(&document.bytes()?)?;
        Ok(door.s3.put_bucket_ownership_controls(entry, ownership)?)
    })
    .await?;
    Ok(reply::empty(StatusCode::OK))
}

/// DeleteBucketOwnershipControls.
pub(crate) async fn delete_bucket_ownership_controls(call: Call) -> Reply {
    let door = call.bucket_door()?;
    blocking(move || {
        let entry = door.enter_bucket::<PutBucketOwnershipControls>()?;
        Ok(door.s3.delete_bucket_ownership_controls(entry)?)
    })
    .await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
