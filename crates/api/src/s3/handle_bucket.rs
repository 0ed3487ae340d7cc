//! Buckets: make, list, look at, remove.

use http::StatusCode;
use strongroom_policy::actions::{
    CreateBucket, DeleteBucket, GetBucketLocation, ListAllMyBuckets, ListBucket, PutBucketAcl,
    PutBucketOwnershipControls, TagResource,
};
use strongroom_s3::{Arrival, CreateBucketInput, ListBucketsInput, S3, S3Error, WantedAcl};
use strongroom_types::limits::BUCKETS_PER_ACCOUNT_MAX;
use strongroom_types::{BucketName, ObjectOwnership};

use super::as_sent::with_resource_tags;
use super::call::{Call, blocking};
use super::documents::DigestRule;
use super::route::Reply;
use super::{parse_acl, parse_headers, parse_query, parse_xml, reply};
use crate::error::{Failure, RequestError};
use crate::xml::{S3_NAMESPACE, XmlWriter};

/// ListBuckets.
pub(crate) async fn list_buckets(call: Call) -> Reply {
    let input = list_buckets_input(&call);
    let (s3, arrival) = (call.s3.clone(), call.arrival());
    let owner = call.context.canonical_id.clone();
    let (prefix, output) = blocking(move || {
        let entry = s3.enter_account::<ListAllMyBuckets>(arrival)?;
        let input = input?;
        let prefix = input.prefix.clone();
        Ok((prefix, s3.list_buckets(entry, input)?))
    })
    .await?;
    let mut xml = XmlWriter::new("ListAllMyBucketsResult", Some(S3_NAMESPACE));
    xml.nested("Owner", |xml| {
        xml.element("ID", owner.as_ref().map_or("", |owner| owner.as_str()));
    });
    xml.nested("Buckets", |xml| {
        for bucket in &output.buckets {
            xml.nested("Bucket", |xml| {
                xml.element("Name", bucket.name.as_str());
                xml.element("CreationDate", &bucket.created.to_iso8601());
                xml.element("BucketRegion", bucket.region.as_str());
            });
        }
    });
    if let Some(after) = &output.next_after {
        xml.element("ContinuationToken", &parse_query::continuation_token(after));
    }
    if !prefix.is_empty() {
        xml.element("Prefix", &prefix);
    }
    Ok(reply::document(xml.finish()))
}

fn list_buckets_input(call: &Call) -> Result<ListBucketsInput, Failure> {
    const MAX: &str = "max-buckets";
    let most = u32::try_from(BUCKETS_PER_ACCOUNT_MAX).unwrap_or(u32::MAX);
    let max = match parse_query::filled(&call.query, MAX)? {
        None => most,
        Some(value) => match value.parse::<u32>() {
            Ok(max) if (1..=most).contains(&max) => max,
            _ => {
                let message = "Argument max-buckets must be an integer between 1 and 10000";
                return Err(parse_headers::argument(message, MAX, Some(value)));
            }
        },
    };
    let token = parse_query::filled(&call.query, "continuation-token")?;
    Ok(ListBucketsInput {
        prefix: parse_query::filled(&call.query, "prefix")?
            .unwrap_or_default()
            .to_owned(),
        after: token
            .map(parse_query::parse_continuation_token)
            .transpose()?,
        max,
    })
}

/// CreateBucket.
pub(crate) async fn create_bucket(mut call: Call) -> Reply {
    let name = call.bucket()?;
    let document = call.read_document(DigestRule::Optional).await;
    let headers = create_headers(&call);
    let (s3, arrival, region) = (call.s3.clone(), call.arrival(), call.context.region.clone());
    let location = format!("/{name}");
    let also = AlsoAsked::of(&call);
    let (learned, account) = (call.learned.clone(), call.context.principal.account());
    blocking(move || {
        let document = document.bytes();
        let said = document.as_deref().map(parse_xml::create_bucket_says);
        let (constraint, tags) = said.unwrap_or_default();
        let mut arrival = arrival;
        if let Some(constraint) = constraint {
            arrival.conditions = arrival.conditions.with("s3:LocationConstraint", constraint);
        }
        if !tags.is_empty() {
            arrival.conditions = with_resource_tags(arrival.conditions, &tags);
        }
        let entry = s3.enter_new_bucket::<CreateBucket>(arrival.clone(), &name)?;
        if !tags.is_empty() {
            s3.enter_new_bucket::<TagResource>(arrival.clone(), &name)?;
        }
        also.enter(&s3, &arrival, &name)?;
        let (ownership, acl) = headers?;
        let tags = parse_xml::create_bucket(&document?, &region)?;
        let input = CreateBucketInput {
            name,
            tags,
            ownership,
            acl,
        };
        match s3.create_bucket(entry, input) {
            // In us-east-1 making a bucket again is no error (API reference, CreateBucket).
            Err(S3Error::BucketAlreadyOwnedByYou(_)) if region.as_str() == "us-east-1" => {
                if let (Some(learned), Some(account)) = (learned, account) {
                    // It is made once.
                    let _ = learned.owner.set(account);
                }
                Ok(())
            }
            outcome => Ok(outcome.map(|_| ())?),
        }
    })
    .await?;
    let mut response = reply::empty(StatusCode::OK);
    reply::set(response.headers_mut(), "location", &location);
    Ok(response)
}

/// What making a bucket needs the right to beside `s3:CreateBucket` (S3 API Reference, CreateBucket,
/// "Permissions").
struct AlsoAsked {
    acl: bool,
    ownership: bool,
}

impl AlsoAsked {
    fn of(call: &Call) -> Self {
        let headers = &call.parts.headers;
        let is_grant = |name: &http::HeaderName| name.as_str().starts_with("x-amz-grant-");
        let acl = headers.get("x-amz-acl");
        Self {
            acl: acl.is_some_and(|acl| acl != "private") || headers.keys().any(is_grant),
            ownership: headers.contains_key("x-amz-object-ownership"),
        }
    }

    fn enter(&self, s3: &S3, arrival: &Arrival, name: &BucketName) -> Result<(), S3Error> {
        if self.acl {
            s3.enter_new_bucket::<PutBucketAcl>(arrival.clone(), name)?;
        }
        if self.ownership {
            s3.enter_new_bucket::<PutBucketOwnershipControls>(arrival.clone(), name)?;
        }
        Ok(())
    }
}

fn create_headers(call: &Call) -> Result<(Option<ObjectOwnership>, WantedAcl), Failure> {
    const LOCK: &str = "x-amz-bucket-object-lock-enabled";
    let headers = &call.parts.headers;
    let is_unlocked =
        parse_headers::text(headers, LOCK)?.is_none_or(|value| value.eq_ignore_ascii_case("false"));
    if !is_unlocked {
        return Err(RequestError::NotImplemented {
            header: LOCK.to_owned(),
        }
        .into());
    }
    let ownership = parse_acl::object_ownership(headers)?;
    Ok((ownership, parse_acl::headers(headers)?))
}

/// HeadBucket.
pub(crate) async fn head_bucket(call: Call) -> Reply {
    let bucket = call.bucket_door()?.view::<ListBucket>().await?;
    let mut response = reply::empty(StatusCode::OK);
    reply::set(
        response.headers_mut(),
        "x-amz-bucket-region",
        bucket.region.as_str(),
    );
    reply::set(response.headers_mut(), "x-amz-access-point-alias", "false");
    reply::set(response.headers_mut(), "content-type", "application/xml");
    Ok(response)
}

/// DeleteBucket.
pub(crate) async fn delete_bucket(call: Call) -> Reply {
    let door = call.bucket_door()?;
    blocking(move || {
        let entry = door.enter_bucket::<DeleteBucket>()?;
        Ok(door.s3.delete_bucket(entry)?)
    })
    .await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// GetBucketLocation.
pub(crate) async fn get_bucket_location(call: Call) -> Reply {
    let bucket = call.bucket_door()?.view::<GetBucketLocation>().await?;
    let mut xml = XmlWriter::new("LocationConstraint", Some(S3_NAMESPACE));
    // us-east-1 is the location that has no name.
    if bucket.region.as_str() != "us-east-1" {
        xml.text(bucket.region.as_str());
    }
    Ok(reply::document(xml.finish()))
}
