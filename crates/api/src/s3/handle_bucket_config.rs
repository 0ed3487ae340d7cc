//! Bucket settings: versioning and default encryption.

use http::StatusCode;
use strongroom_policy::actions::{
    GetBucketVersioning, GetEncryptionConfiguration, PutBucketVersioning,
    PutEncryptionConfiguration,
};
use strongroom_s3::Versioning;
use strongroom_types::SseAlgorithm;

use super::call::{Call, blocking};
use super::documents::DigestRule;
use super::route::Reply;
use super::{parse_xml, reply};
use crate::xml::{S3_NAMESPACE, XmlWriter};

/// GetBucketVersioning.
pub(crate) async fn get_bucket_versioning(call: Call) -> Reply {
    let bucket = call.bucket_door()?.view::<GetBucketVersioning>().await?;
    let mut xml = XmlWriter::new("VersioningConfiguration", Some(S3_NAMESPACE));
    match bucket.versioning {
        Versioning::Never => {}
        Versioning::Enabled => xml.element("Status", "Enabled"),
        Versioning::Suspended => xml.element("Status", "Suspended"),
    }
    Ok(reply::document(xml.finish()))
}

/// PutBucketVersioning.
pub(crate) async fn put_bucket_versioning(mut call: Call) -> Reply {
    let document = call.read_document(DigestRule::RequiredUnlessSigned).await;
    let door = call.bucket_door()?;
    blocking(move || {
        let entry = door.enter_bucket::<PutBucketVersioning>()?;
        let versioning = parse_xml::versioning(&document.bytes()?)?;
        Ok(door.s3.put_bucket_versioning(entry, versioning)?)
    })
    .await?;
    Ok(reply::empty(StatusCode::OK))
}

/// GetBucketEncryption.
pub(crate) async fn get_bucket_encryption(call: Call) -> Reply {
    let bucket = call
        .bucket_door()?
        .view::<GetEncryptionConfiguration>()
        .await?;
    let encryption = &bucket.encryption;
    let mut xml = XmlWriter::new("ServerSideEncryptionConfiguration", Some(S3_NAMESPACE));
    xml.nested("Rule", |xml| {
        xml.nested("ApplyServerSideEncryptionByDefault", |xml| {
            xml.element("SSEAlgorithm", encryption.algorithm.name());
            match encryption.algorithm {
                SseAlgorithm::Aes256 => {}
                SseAlgorithm::AwsKms | SseAlgorithm::AwsKmsDsse => {
                    xml.optional("KMSMasterKeyID", encryption.kms_key_id.as_deref());
                }
            }
        });
        xml.value("BucketKeyEnabled", encryption.bucket_key_enabled);
        xml.nested("BlockedEncryptionTypes", |xml| {
            xml.element("EncryptionType", encryption.blocked.name());
        });
    });
    Ok(reply::document(xml.finish()))
}

/// PutBucketEncryption.
pub(crate) async fn put_bucket_encryption(mut call: Call) -> Reply {
    let document = call.read_document(DigestRule::Required).await;
    let door = call.bucket_door()?;
    blocking(move || {
        let entry = door.enter_bucket::<PutEncryptionConfiguration>()?;
        let change = parse_xml::encryption(&document.bytes()?)?;
        Ok(door.s3.put_bucket_encryption(entry, change)?)
    })
    .await?;
    Ok(reply::empty(StatusCode::OK))
}

/// DeleteBucketEncryption.
pub(crate) async fn delete_bucket_encryption(call: Call) -> Reply {
    let door = call.bucket_door()?;
    blocking(move || {
        let entry = door.enter_bucket::<PutEncryptionConfiguration>()?;
        Ok(door.s3.delete_bucket_encryption(entry)?)
    })
    .await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
