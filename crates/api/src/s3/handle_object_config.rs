//! Settings of objects: their encryption.

use http::StatusCode;
use strongroom_policy::actions::UpdateObjectEncryption as Action;
use strongroom_s3::UpdateObjectEncryptionInput;

use super::call::{Call, blocking};
use super::documents::DigestRule;
use super::route::Reply;
use super::{parse_query, parse_xml, reply};

/// UpdateObjectEncryption.
pub(crate) async fn update_object_encryption(mut call: Call) -> Reply {
    let document = call.read_document(DigestRule::Required).await;
    let (door, key) = call.object_door()?;
    let version = parse_query::version(&call.query);
    blocking(move || {
        let entry = door.enter_version::<Action>(&key, &version)?;
        let (kms_key, bucket_key) = parse_xml::object_encryption(&document.bytes()?)?;
        let input = UpdateObjectEncryptionInput {
            version: version?,
            key: kms_key,
            bucket_key,
        };
        Ok(door.s3.update_object_encryption(entry, input)?)
    })
    .await?;
    Ok(reply::empty(StatusCode::OK))
}
