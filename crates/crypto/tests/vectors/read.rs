//! Reads one vector with this crate; errors as their `Debug` text.

use std::fmt::Debug;

use serde_json::Value;
use strongroom_crypto::{
    Attribute, BodyKeys, CustomerKey, CustomerKeyVerifier, DataKey, FrameCipher, Keyring,
    ObjectIdentity, PageCipher, PartIdentity, RowSealer, Sealed, ServiceKey, UnsealKey, WrappedKey,
    open_whole, parse_footer,
};
use strongroom_types::{AttemptUid, BucketUid, Entropy, ObjectKey, PartNumber, VersionUid};

use super::service;
use crate::common::pattern;

/// What a good vector opens to.
pub(crate) fn plaintext(case: &Value) -> Vec<u8> {
    match case["pattern_len"].as_u64() {
        Some(len) => pattern(usize::try_from(len).unwrap()),
        None => bytes(case, "plaintext"),
    }
}

pub(crate) fn read(case: &Value) -> Result<Vec<u8>, String> {
    let stored = bytes(case, "stored");
    match case["kind"].as_str().unwrap() {
        "stream" => open_whole(&body_keys(case), &object(case), part(case), &stored).map_err(text),
        "wrap_customer" => {
            let key = CustomerKey::parse(&bytes(case, "customer_key")).unwrap();
            let wrapped = WrappedKey::parse(&stored).map_err(text)?;
            let data_key = key.unwrap_data_key(&wrapped, &object(case)).map_err(text)?;
            shown(case, data_key)
        }
        "wrap_ring" => {
            let ring = Keyring::<Sealed>::parse(&bytes(case, "ring")).unwrap();
            let ring = ring.unseal(&unseal_key(case)).unwrap();
            let wrapped = WrappedKey::parse(&stored).map_err(text)?;
            let data_key = ring
                .unwrap_data_key(&wrapped, &object(case))
                .map_err(text)?;
            shown(case, data_key)
        }
        "ring" => {
            let ring = Keyring::<Sealed>::parse(&stored).map_err(text)?;
            let ring = ring.unseal(&unseal_key(case)).map_err(text)?;
            Ok(format!("{} {}", ring.generation(), ring.active_version()).into_bytes())
        }
        "verifier" => {
            let key = CustomerKey::parse(&bytes(case, "customer_key")).unwrap();
            let verifier = CustomerKeyVerifier::parse(&stored).map_err(text)?;
            let matches = verifier.verify(&key, &service_key(case));
            matches.then(Vec::new).ok_or_else(|| "false".to_owned())
        }
        "row" => RowSealer::new(&service_key(case))
            .open(
                u8::try_from(case["table"].as_u64().unwrap()).unwrap(),
                &bytes(case, "row_key"),
                &stored,
            )
            .map_err(text),
        "attribute" => {
            let attribute = match case["attribute"].as_str().unwrap() {
                "checksum" => Attribute::Checksum,
                "part_checksum" => {
                    let part = part(case).unwrap();
                    Attribute::PartChecksum(part.number, part.attempt)
                }
                "footer_record" => Attribute::FooterRecord,
                other => panic!("{other}"),
            };
            data_key(case)
                .open_attribute(attribute, &object(case), &stored)
                .map_err(text)
        }
        "footer" => parse_footer(&stored)
            .map(|(footer, len)| {
                let wrapped = footer.wrapped_key.as_bytes();
                let checksum = footer.header_checksum.unwrap_or_default();
                let checksum = footer.header_checksum.map_or(&[][..], |_| &checksum);
                let name = footer.blob_id.unwrap_or_default();
                let name = footer.blob_id.map_or(&[][..], |_| &name);
                [
                    wrapped,
                    &footer.record,
                    checksum,
                    name,
                    len.to_string().as_bytes(),
                ]
                .concat()
            })
            .map_err(text),
        "frame" => {
            let salt = bytes(case, "salt").try_into().unwrap();
            let mut stored = stored;
            FrameCipher::new(&service_key(case), &salt)
                .open(
                    case["index"].as_u64().unwrap(),
                    &bytes(case, "aad"),
                    &mut stored,
                )
                .map(|opened| opened.to_vec())
                .map_err(text)
        }
        "page" => {
            let mut page = stored.try_into().map_err(|_| "Length".to_owned())?;
            let cipher = PageCipher::new(&service_key(case));
            let opened = cipher.open(case["page"].as_u64().unwrap(), &mut page);
            opened.map(|(_, page)| page.to_vec()).map_err(text)
        }
        _ => service::read(case),
    }
}

/// A data key cannot be looked at: it is right if it opens the probe stream of the vector.
fn shown(case: &Value, data_key: DataKey) -> Result<Vec<u8>, String> {
    open_whole(
        &BodyKeys::single(data_key),
        &object(case),
        None,
        &bytes(case, "probe"),
    )
    .map_err(text)
}

pub(super) fn text(error: impl Debug) -> String {
    format!("{error:?}")
}

/// Hands out given bytes, to make keys of a vector.
pub(super) struct Given(pub(super) Vec<u8>);

impl Entropy for Given {
    fn fill(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.0);
    }
}

pub(super) fn data_key(case: &Value) -> DataKey {
    DataKey::random(&Given(bytes(case, "data_key")))
}

pub(super) fn body_keys(case: &Value) -> BodyKeys {
    BodyKeys::single(data_key(case))
}

pub(super) fn service_key(case: &Value) -> ServiceKey {
    ServiceKey::random(&Given(bytes(case, "service_key")))
}

pub(super) fn unseal_key(case: &Value) -> UnsealKey {
    UnsealKey::parse(&bytes(case, "unseal_key")).unwrap()
}

pub(super) fn object(case: &Value) -> ObjectIdentity {
    ObjectIdentity {
        bucket: BucketUid::from_bytes(bytes(case, "bucket_uid").try_into().unwrap()),
        key: ObjectKey::parse(case["object_key"].as_str().unwrap()).unwrap(),
        version: VersionUid::from_bytes(bytes(case, "version_uid").try_into().unwrap()),
    }
}

pub(super) fn part(case: &Value) -> Option<PartIdentity> {
    let number = case["part_number"].as_u64()?;
    Some(PartIdentity {
        number: PartNumber::new(number).unwrap(),
        attempt: AttemptUid::from_bytes(bytes(case, "attempt_uid").try_into().unwrap()),
    })
}

pub(super) fn bytes(case: &Value, field: &str) -> Vec<u8> {
    hex::decode(case[field].as_str().unwrap_or_else(|| panic!("{field}"))).unwrap()
}
