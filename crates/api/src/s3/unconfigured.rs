//! What tools read before they do anything: AWS's answers for what was never configured.

use http::StatusCode;
use strongroom_policy::actions::{GetObjectTagging, ReadBucketSettings, WriteBucketSettings};
use strongroom_s3::BucketView;
use strongroom_types::CanonicalId;

use super::call::{Call, blocking};
use super::documents::DigestRule;
use super::handle_list::write_owner;
use super::route::Reply;
use super::{parse_headers, parse_query, reply};
use crate::error::{Failure, RequestError, Unconfigured};
use crate::xml::{S3_NAMESPACE, XmlWriter, parse};

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
    /// Everything public is blocked, as in new buckets.
    PublicAccessBlock,
    /// There is nothing to delete, which is a success.
    NothingToDelete,
}

/// Lets the request in and gives the answer.
pub(crate) async fn answer(call: Call, answer: Answer) -> Reply {
    let bucket = enter(&call)?.await?;
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
        Answer::PublicAccessBlock => {
            let mut xml = XmlWriter::new("PublicAccessBlockConfiguration", Some(S3_NAMESPACE));
            for name in [
                "BlockPublicAcls",
                "IgnorePublicAcls",
                "BlockPublicPolicy",
                "RestrictPublicBuckets",
            ] {
                xml.value(name, true);
            }
            xml.finish()
        }
    };
    Ok(reply::document(document))
}

type Entering =
    std::pin::Pin<Box<dyn Future<Output = Result<std::sync::Arc<BucketView>, Failure>> + Send>>;

/// The bucket; where the address has a key, the object must exist.
fn enter(call: &Call) -> Result<Entering, Failure> {
    if call.address.key.is_none() {
        return Ok(Box::pin(call.bucket_door()?.view::<ReadBucketSettings>()));
    }
    let (door, key) = call.object_door()?;
    let version = parse_query::version(&call.query);
    Ok(Box::pin(blocking(move || {
        let entry = door.enter_object::<ReadBucketSettings>(&key)?;
        let bucket = entry
            .bucket()
            .cloned()
            .ok_or(strongroom_s3::S3Error::Unavailable)?;
        // Tags can be read without a customer's key, so this finds SSE-C objects as well.
        let object = door.enter_object::<GetObjectTagging>(&key)?;
        door.s3.get_object_tagging(object, version?)?;
        Ok(bucket)
    })))
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
pub(crate) async fn put_bucket_acl(call: Call) -> Reply {
    put_acl(call).await
}

/// PutObjectAcl: what holds already may be said.
pub(crate) async fn put_object_acl(call: Call) -> Reply {
    put_acl(call).await
}

async fn put_acl(mut call: Call) -> Reply {
    let canned = parse_headers::canned_acl(&call.parts.headers);
    let document = call.read_document(DigestRule::Optional).await;
    let door = call.bucket_door()?;
    let object = enter(&call)?;
    blocking(move || Ok(door.enter_bucket::<WriteBucketSettings>().map(|_| ())?)).await?;
    object.await?;
    canned?;
    let document = document.bytes()?;
    if !document.is_empty() {
        // A grant list would have to be compared with the owner's full control: say what S3 says
        // to every list of a bucket without ACLs.
        parse(&document)?;
        return Err(RequestError::AclNotSupported.into());
    }
    Ok(reply::empty(StatusCode::OK))
}
