//! Checksums at rest: sealed once more under the object's data key, because the checksum of a short
//! secret gives the secret away. Plaintext: value || BE16(part count).

use strongroom_crypto::{Attribute, DataKey, ObjectIdentity, PartIdentity};
use strongroom_types::{Checksum, Entropy};

use crate::integrity::Damage;
use crate::rows::ChecksumKindRow;
use crate::{S3, S3Error};

/// The sealed form of `checksum`; of a part's, if `part` says so.
pub(crate) fn seal_checksum(
    data_key: &DataKey,
    identity: &ObjectIdentity,
    part: Option<PartIdentity>,
    checksum: &Checksum,
    entropy: &dyn Entropy,
) -> Vec<u8> {
    let plaintext = [
        checksum.value.as_slice(),
        &checksum.part_count.to_be_bytes(),
    ]
    .concat();
    data_key.seal_attribute(attribute(part), identity, &plaintext, entropy)
}

impl S3 {
    /// The checksum behind its sealed form.
    ///
    /// # Errors
    ///
    /// [`S3Error::Damaged`].
    pub(crate) fn open_checksum(
        &self,
        data_key: &DataKey,
        identity: &ObjectIdentity,
        part: Option<PartIdentity>,
        kind: ChecksumKindRow,
        sealed: &[u8],
    ) -> Result<Checksum, S3Error> {
        let opened = data_key
            .open_attribute(attribute(part), identity, sealed)
            .ok();
        let parsed = opened
            .as_deref()
            .and_then(|plaintext| parse(kind, plaintext));
        parsed.ok_or_else(|| self.damaged(identity, Damage::of("checksum")))
    }
}

fn parse(kind: ChecksumKindRow, plaintext: &[u8]) -> Option<Checksum> {
    let (value, part_count) = plaintext.split_last_chunk::<2>()?;
    let (algorithm, kind) = kind.parse()?;
    (value.len() == algorithm.len_bytes()).then(|| Checksum {
        algorithm,
        kind,
        value: value.to_vec(),
        part_count: u16::from_be_bytes(*part_count),
    })
}

fn attribute(part: Option<PartIdentity>) -> Attribute {
    match part {
        Some(PartIdentity { number, attempt }) => Attribute::PartChecksum(number, attempt),
        None => Attribute::Checksum,
    }
}
