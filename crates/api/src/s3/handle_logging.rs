//! Server access logging: which requests are logged where.

use http::StatusCode;
use strongroom_policy::actions::{GetBucketLogging, PutBucketLogging};
use strongroom_s3::{BucketLogging, LogKeyFormat};
use strongroom_types::BucketName;

use super::call::{Call, blocking};
use super::documents::DigestRule;
use super::route::Reply;
use super::{parse_acl, reply};
use crate::error::{Failure, RequestError};
use crate::xml::{S3_NAMESPACE, XmlWriter, parse};

/// Longest prefix, in bytes: a key has room for it, the account, the bucket, the date and the rest.
const PREFIX_MAX_BYTES: usize = 800;

/// GetBucketLogging.
pub(crate) async fn get_bucket_logging(call: Call) -> Reply {
    let bucket = call.bucket_door()?.view::<GetBucketLogging>().await?;
    let mut xml = XmlWriter::new("BucketLoggingStatus", Some(S3_NAMESPACE));
    if let Some(logging) = &bucket.logging {
        let BucketLogging {
            target_bucket,
            target_prefix,
            key_format,
            target_grants,
        } = logging;
        xml.nested("LoggingEnabled", |xml| {
            xml.element("TargetBucket", target_bucket.as_str());
            xml.element("TargetPrefix", target_prefix);
            if !target_grants.is_empty() {
                xml.nested("TargetGrants", |xml| {
                    for grant in target_grants {
                        xml.nested("Grant", |xml| parse_acl::write_grant(xml, grant));
                    }
                });
            }
            let partitioned = |xml: &mut XmlWriter, source| {
                xml.nested("TargetObjectKeyFormat", |xml| {
                    xml.nested("PartitionedPrefix", |xml| {
                        xml.element("PartitionDateSource", source);
                    });
                });
            };
            match key_format {
                LogKeyFormat::Simple => {}
                LogKeyFormat::SimpleByName => xml.nested("TargetObjectKeyFormat", |xml| {
                    xml.element("SimplePrefix", "");
                }),
                LogKeyFormat::ByEventTime => partitioned(xml, "EventTime"),
                LogKeyFormat::ByDeliveryTime => partitioned(xml, "DeliveryTime"),
            }
        });
    }
    Ok(reply::document(xml.finish()))
}

/// PutBucketLogging.
pub(crate) async fn put_bucket_logging(mut call: Call) -> Reply {
    let document = call.read_document(DigestRule::RequiredUnlessSigned).await;
    let door = call.bucket_door()?;
    blocking(move || {
        let entry = door.enter_bucket::<PutBucketLogging>()?;
        let logging = logging_status(&document.bytes()?)?;
        Ok(door.s3.put_bucket_logging(entry, logging)?)
    })
    .await?;
    Ok(reply::empty(StatusCode::OK))
}

/// `BucketLoggingStatus`: without `LoggingEnabled` there is no log.
fn logging_status(document: &[u8]) -> Result<Option<BucketLogging>, Failure> {
    let mut fields = parse(document)?.into_fields("BucketLoggingStatus")?;
    let enabled = fields.optional("LoggingEnabled")?;
    fields.finish()?;
    let Some(enabled) = enabled else {
        return Ok(None);
    };
    let mut fields = enabled.into_fields("LoggingEnabled")?;
    let target_bucket = fields.required_text("TargetBucket")?;
    let target_prefix = fields.required_text("TargetPrefix")?;
    let mut target_grants = Vec::new();
    if let Some(grants) = fields.optional("TargetGrants")? {
        let mut grants = grants.into_fields("TargetGrants")?;
        let elements = grants.list("Grant");
        grants.finish()?;
        for element in elements {
            target_grants.push(parse_acl::grant(element)?);
        }
    }
    let key_format = match fields.optional("TargetObjectKeyFormat")? {
        None => LogKeyFormat::Simple,
        Some(format) => {
            let mut format = format.into_fields("TargetObjectKeyFormat")?;
            let simple = format.optional("SimplePrefix")?;
            let partitioned = format.optional("PartitionedPrefix")?;
            format.finish()?;
            match (simple, partitioned) {
                (Some(_), None) => LogKeyFormat::SimpleByName,
                (None, Some(partitioned)) => {
                    let mut partitioned = partitioned.into_fields("PartitionedPrefix")?;
                    let source = partitioned.optional_text("PartitionDateSource")?;
                    partitioned.finish()?;
                    match source.as_deref() {
                        Some("EventTime") => LogKeyFormat::ByEventTime,
                        Some("DeliveryTime") => LogKeyFormat::ByDeliveryTime,
                        Some(_) | None => return Err(RequestError::MalformedXml.into()),
                    }
                }
                (Some(_), Some(_)) | (None, None) => {
                    return Err(RequestError::MalformedXml.into());
                }
            }
        }
    };
    fields.finish()?;
    if target_prefix.len() > PREFIX_MAX_BYTES {
        let size_bytes = target_prefix.len();
        return Err(RequestError::KeyTooLong { size_bytes }.into());
    }
    let target_bucket = BucketName::parse(&target_bucket).map_err(|_| {
        Failure::from(strongroom_s3::S3Error::LogTarget(
            strongroom_s3::TargetRefusal::NoBucket,
        ))
    })?;
    Ok(Some(BucketLogging {
        target_bucket,
        target_prefix,
        key_format,
        target_grants,
    }))
}
