//! A bucket's policy, whether it is public, and what is blocked of what is public.

use http::StatusCode;
use strongroom_policy::Action;
use strongroom_policy::actions::{
    DeleteBucketPolicy, GetBucketPolicy, GetBucketPolicyStatus, GetBucketPublicAccessBlock,
    PutBucketPolicy, PutBucketPublicAccessBlock,
};
use strongroom_s3::{Entry, PublicAccessBlock};

use super::call::{Call, Door, blocking};
use super::documents::DigestRule;
use super::route::Reply;
use super::{parse_headers, parse_xml, reply};
use crate::error::{Failure, RequestError, Unconfigured};
use crate::xml::{S3_NAMESPACE, XmlWriter};

/// GetBucketPolicy.
pub(crate) async fn get_bucket_policy(call: Call) -> Reply {
    let door = call.bucket_door()?;
    let name = door.bucket.clone();
    let text = blocking(move || {
        let entry = enter_owned::<GetBucketPolicy>(&door, "GET")?;
        Ok(door.s3.get_bucket_policy(entry)?)
    })
    .await?;
    let text = text.ok_or_else(|| {
        RequestError::Unconfigured(Unconfigured::Policy, name.as_str().to_owned())
    })?;
    let mut response = reply::document(text.into());
    reply::set(response.headers_mut(), "content-type", "application/json");
    Ok(response)
}

/// PutBucketPolicy.
pub(crate) async fn put_bucket_policy(mut call: Call) -> Reply {
    const CONFIRM: &str = "x-amz-confirm-remove-self-bucket-access";
    let document = call.read_document(DigestRule::RequiredUnlessSigned).await;
    let confirmed = parse_headers::text(&call.parts.headers, CONFIRM)
        .map(|value| value.is_some_and(|value| value.eq_ignore_ascii_case("true")));
    let door = call.bucket_door()?;
    blocking(move || {
        let entry = enter_owned::<PutBucketPolicy>(&door, "PUT")?;
        // What is not UTF-8 does not begin as JSON does, as far as can be said.
        let text = String::from_utf8(document.bytes()?).unwrap_or_default();
        Ok(door.s3.put_bucket_policy(entry, text, confirmed?)?)
    })
    .await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// DeleteBucketPolicy.
pub(crate) async fn delete_bucket_policy(call: Call) -> Reply {
    let door = call.bucket_door()?;
    blocking(move || {
        let entry = enter_owned::<DeleteBucketPolicy>(&door, "DELETE")?;
        Ok(door.s3.delete_bucket_policy(entry)?)
    })
    .await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// Who may, but is of another account than the bucket, cannot all the same (S3 API Reference,
/// GetBucketPolicy): no policy hands the bucket's policy to others.
fn enter_owned<A: Action>(door: &Door, method: &str) -> Result<Entry<A>, Failure> {
    let entry = door.enter_bucket::<A>()?;
    let owner = entry.bucket().map(|bucket| bucket.owner);
    if entry.context().principal.account() == owner {
        Ok(entry)
    } else {
        Err(RequestError::MethodNotAllowed {
            method: method.to_owned(),
            resource_type: "BUCKETPOLICY".to_owned(),
        }
        .into())
    }
}

/// GetBucketPolicyStatus.
pub(crate) async fn get_bucket_policy_status(call: Call) -> Reply {
    let door = call.bucket_door()?;
    let name = door.bucket.clone();
    let is_public = blocking(move || {
        let entry = door.enter_bucket::<GetBucketPolicyStatus>()?;
        Ok(door.s3.get_bucket_policy_status(entry)?)
    })
    .await?;
    let is_public = is_public.ok_or_else(|| {
        RequestError::Unconfigured(Unconfigured::Policy, name.as_str().to_owned())
    })?;
    let mut xml = XmlWriter::new("PolicyStatus", Some(S3_NAMESPACE));
    // The API reference shows it in capitals; SDKs take no other than these.
    xml.value("IsPublic", is_public);
    Ok(reply::document(xml.finish()))
}

/// GetPublicAccessBlock.
pub(crate) async fn get_public_access_block(call: Call) -> Reply {
    let bucket = call
        .bucket_door()?
        .view::<GetBucketPublicAccessBlock>()
        .await?;
    let block = bucket.public_access_block.ok_or_else(|| {
        RequestError::Unconfigured(Unconfigured::PublicAccessBlock, bucket.name.to_string())
    })?;
    let PublicAccessBlock {
        block_public_acls,
        ignore_public_acls,
        block_public_policy,
        restrict_public_buckets,
    } = block;
    let mut xml = XmlWriter::new("PublicAccessBlockConfiguration", Some(S3_NAMESPACE));
    xml.value("BlockPublicAcls", block_public_acls);
    xml.value("IgnorePublicAcls", ignore_public_acls);
    xml.value("BlockPublicPolicy", block_public_policy);
    xml.value("RestrictPublicBuckets", restrict_public_buckets);
    Ok(reply::document(xml.finish()))
}

/// PutPublicAccessBlock.
pub(crate) async fn put_public_access_block(mut call: Call) -> Reply {
    let document = call.read_document(DigestRule::RequiredUnlessSigned).await;
    let door = call.bucket_door()?;
    blocking(move || {
        let entry = door.enter_bucket::<PutBucketPublicAccessBlock>()?;
        let block = parse_xml::public_access_block(&document.bytes()?)?;
        Ok(door.s3.put_public_access_block(entry, Some(block))?)
    })
    .await?;
    Ok(reply::empty(StatusCode::OK))
}

/// DeletePublicAccessBlock.
pub(crate) async fn delete_public_access_block(call: Call) -> Reply {
    let door = call.bucket_door()?;
    blocking(move || {
        let entry = door.enter_bucket::<PutBucketPublicAccessBlock>()?;
        Ok(door.s3.put_public_access_block(entry, None)?)
    })
    .await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
