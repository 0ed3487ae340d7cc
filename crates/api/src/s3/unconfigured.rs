//! What tools read before they do anything: AWS's answers for what was never configured.

use std::sync::Arc;

use http::StatusCode;
use strongroom_policy::{Action, ActionOnVersion};
use strongroom_s3::{BucketView, S3Error};
use strongroom_types::{ObjectKey, VersionId};

use super::call::{Call, Door, blocking};
use super::route::Reply;
use super::{parse_query, reply};
use crate::error::{Failure, RequestError, Unconfigured};
use crate::xml::{S3_NAMESPACE, XmlWriter};

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An error.
    Missing(Unconfigured),
    /// An empty document with this root.
    Empty(&'static str),
    /// A list of configurations without entries.
    EmptyList(&'static str),
    /// The bucket's owner pays.
    RequestPayment,
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
    door.unless_missing(door.s3.find_object(&entry, version?))?;
    Ok(entry.bucket().cloned().ok_or(S3Error::Unavailable)?)
}

fn respond(bucket: &BucketView, answer: Answer) -> Reply {
    let document = match answer {
        Answer::Missing(what) => {
            return Err(RequestError::Unconfigured(what, bucket.name.to_string()).into());
        }
        Answer::NothingToDelete => return Ok(reply::empty(StatusCode::NO_CONTENT)),
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
    };
    Ok(reply::document(document))
}
