//! Settings of objects: their encryption.

use http::StatusCode;
use strongroom_policy::actions::{PutObject, UpdateObjectEncryption as Action};
use strongroom_s3::{UpdateObjectEncryptionInput, encrypted_with};

use super::call::{Call, blocking};
use super::documents::DigestRule;
use super::route::Reply;
use super::{parse_query, parse_xml, reply};

/// UpdateObjectEncryption: also a write of the object (S3 API Reference, "Permissions").
pub(crate) async fn update_object_encryption(mut call: Call) -> Reply {
    let document = call.read_document(DigestRule::Required).await;
    let (door, key) = call.object_door()?;
    let version = parse_query::version(&call.query);
    blocking(move || {
        let entry = door.enter_version::<Action>(&key, &version)?;
        let asked = document
            .bytes()
            .and_then(|it| parse_xml::object_encryption(&it));
        let mut as_write = door.clone();
        if let Ok((kms_key, _)) = &asked {
            let conditions = as_write.arrival.conditions;
            as_write.arrival.conditions = encrypted_with(conditions, kms_key);
        }
        as_write.enter_object::<PutObject>(&key)?;
        let (kms_key, bucket_key) = asked?;
        let input = UpdateObjectEncryptionInput {
            version: version?,
            key: kms_key,
            bucket_key,
        };
        let updated = door.s3.update_object_encryption(entry, input);
        Ok(door.unless_missing(updated)?)
    })
    .await?;
    Ok(reply::empty(StatusCode::OK))
}
