//! What tools read before they do anything: AWS's answers for what was never configured.

use std::sync::Arc;

use http::StatusCode;
use strongroom_policy::actions::{PutBucketAcl, PutObjectAcl};
use strongroom_policy::{Action, ActionOnVersion};
use strongroom_s3::{BucketView, S3Error};
use strongroom_types::{CanonicalId, ObjectKey, VersionId};

use super::call::{Call, Door, blocking};
use super::documents::{DigestRule, Document};
use super::handle_list::write_owner;
use super::route::Reply;
use super::{parse_headers, parse_query, reply};
use crate::error::{Failure, RequestError, Unconfigured};
use crate::xml::{S3_NAMESPACE, XmlError, XmlWriter, parse};

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An error.
    Missing(Unconfigured),
    /// An empty document with this root.
    Empty(&'static str),
    /// A list of configurations without entries.
    EmptyList(&'static str),
    /// The owner has full control.
    Acl,
    /// The bucket's owner pays.
    RequestPayment,
    /// ACLs are off, as in new buckets.
    OwnershipControls,
    /// There is nothing to delete, which is a success.
    NothingToDelete,
}

/// Lets the request in to the bucket and gives the answer.
pub(crate) async fn of_bucket<A: Action>(call: Call, answer: Answer) -> Reply {
    let bucket = call.bucket_door()?.view::<A>().await?;
    respond(&bucket, answer)
}

/// Lets the request in to an object, which must exist, and gives the answer.
pub(crate) async fn of_object<A: ActionOnVersion>(call: Call, answer: Answer) -> Reply {
    let (door, key) = call.object_door()?;
    let version = parse_query::version(&call.query);
    let bucket = blocking(move || existing::<A>(&door, &key, version)).await?;
    respond(&bucket, answer)
}

fn existing<A: ActionOnVersion>(
    door: &Door,
    key: &ObjectKey,
    version: Result<Option<VersionId>, Failure>,
) -> Result<Arc<BucketView>, Failure> {
    let entry = door.enter_version::<A>(key, &version)?;
    door.s3.find_object(&entry, version?)?;
    Ok(entry.bucket().cloned().ok_or(S3Error::Unavailable)?)
}

fn respond(bucket: &BucketView, answer: Answer) -> Reply {
    let document = match answer {
        Answer::Missing(what) => {
            return Err(RequestError::Unconfigured(what, bucket.name.to_string()).into());
        }
        Answer::NothingToDelete => return Ok(reply::empty(StatusCode::NO_CONTENT)),
        Answer::Acl => acl(&bucket.owner_canonical_id),
        Answer::Empty(root) => XmlWriter::new(root, Some(S3_NAMESPACE)).finish(),
        Answer::EmptyList(root) => {
            let mut xml = XmlWriter::new(root, Some(S3_NAMESPACE));
            xml.value("IsTruncated", false);
            xml.finish()
        }
        Answer::RequestPayment => {
            let mut xml = XmlWriter::new("RequestPaymentConfiguration", Some(S3_NAMESPACE));
            xml.element("Payer", "BucketOwner");
            xml.finish()
        }
        Answer::OwnershipControls => {
            let mut xml = XmlWriter::new("OwnershipControls", Some(S3_NAMESPACE));
            xml.nested("Rule", |xml| {
                xml.element("ObjectOwnership", "BucketOwnerEnforced");
            });
            xml.finish()
        }
    };
    Ok(reply::document(document))
}

fn acl(owner: &CanonicalId) -> bytes::Bytes {
    let mut xml = XmlWriter::new("AccessControlPolicy", Some(S3_NAMESPACE));
    write_owner(&mut xml, "Owner", owner);
    xml.nested("AccessControlList", |xml| {
        xml.nested("Grant", |xml| {
            let attributes = [
                ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"),
                ("xsi:type", "CanonicalUser"),
            ];
            xml.nested_with("Grantee", &attributes, |xml| {
                xml.element("ID", owner.as_str());
            });
            xml.element("Permission", "FULL_CONTROL");
        });
    });
    xml.finish()
}

/// PutBucketAcl: what holds already may be said.
pub(crate) async fn put_bucket_acl(mut call: Call) -> Reply {
    let document = call.read_document(DigestRule::Optional).await;
    let bucket = call.bucket_door()?.view::<PutBucketAcl>().await?;
    put_acl(&call, &bucket, document)
}

/// PutObjectAcl: what holds already may be said.
pub(crate) async fn put_object_acl(mut call: Call) -> Reply {
    let document = call.read_document(DigestRule::Optional).await;
    let (door, key) = call.object_door()?;
    let version = parse_query::version(&call.query);
    let bucket = blocking(move || existing::<PutObjectAcl>(&door, &key, version)).await?;
    put_acl(&call, &bucket, document)
}

fn put_acl(call: &Call, bucket: &BucketView, document: Document) -> Reply {
    parse_headers::canned_acl(&call.parts.headers)?;
    let document = document.bytes()?;
    // Clients that copy an object's ACL send back what they read.
    if !document.is_empty() && !is_owners_full_control(&document, &bucket.owner_canonical_id)? {
        return Err(RequestError::AclNotSupported.into());
    }
    Ok(reply::empty(StatusCode::OK))
}

/// Whether a grant list says what holds already: the owner has full control, and nobody else anything.
fn is_owners_full_control(document: &[u8], owner: &CanonicalId) -> Result<bool, XmlError> {
    let mut policy = parse(document)?.into_fields("AccessControlPolicy")?;
    if let Some(element) = policy.optional("Owner")? {
        let mut fields = element.into_fields("Owner")?;
        if fields
            .optional_text("ID")?
            .is_some_and(|id| id != owner.as_str())
        {
            return Ok(false);
        }
    }
    let mut list = policy
        .required("AccessControlList")?
        .into_fields("AccessControlList")?;
    let grants = list.list("Grant");
    let count = grants.len();
    for grant in grants {
        let mut grant = grant.into_fields("Grant")?;
        let mut grantee = grant.required("Grantee")?.into_fields("Grantee")?;
        let is_owner = grantee
            .optional_text("ID")?
            .is_some_and(|id| id == owner.as_str());
        if !is_owner || grant.required_text("Permission")? != "FULL_CONTROL" {
            return Ok(false);
        }
    }
    Ok(count == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owners_full_control_may_be_said() {
        let owner = CanonicalId::parse(&"ab".repeat(32)).unwrap();
        let other = CanonicalId::parse(&"cd".repeat(32)).unwrap();
        let document = acl(&owner);
        assert!(is_owners_full_control(&document, &owner).unwrap());
        assert!(!is_owners_full_control(&document, &other).unwrap());
        let text = std::str::from_utf8(&document).unwrap();
        let read = text.replace("FULL_CONTROL", "READ");
        assert!(!is_owners_full_control(read.as_bytes(), &owner).unwrap());
        let (head, tail) = text.split_once("</AccessControlList>").unwrap();
        let grant = &head[head.find("<Grant>").unwrap()..];
        let twice = format!("{head}{grant}</AccessControlList>{tail}");
        assert!(!is_owners_full_control(twice.as_bytes(), &owner).unwrap());
        assert!(is_owners_full_control(b"<x/>", &owner).is_err());
    }
}
