//! Sealed rows of the index, and sealed attributes of an object.

use strongroom_types::{AttemptUid, Entropy, PartNumber};

use crate::aead::{Aead, NONCE_LEN_BYTES, SINGLE_USE_NONCE, TAG_LEN_BYTES};
use crate::kdf::{derive, label};
use crate::{DataKey, FormatError, ObjectIdentity, OpenError, ServiceKey};

/// What a sealed row has above its plaintext: version (1), nonce (12), tag (16).
pub const ROW_OVERHEAD_BYTES: usize = 1 + NONCE_LEN_BYTES + TAG_LEN_BYTES;
/// What a sealed attribute has above its plaintext: version (1), salt (16), tag (16).
pub const ATTRIBUTE_OVERHEAD_BYTES: usize = 1 + ATTRIBUTE_SALT_LEN_BYTES + TAG_LEN_BYTES;

const VERSION: u8 = 1;
const ATTRIBUTE_SALT_LEN_BYTES: usize = 16;
/// HKDF without a salt: the service key is uniformly random already.
const NO_SALT: &[u8] = &[0; 64];

/// Seals the values of rows under one cached key. A listing opens thousands of rows, so there is no
/// derivation for each.
///
/// AES-256-GCM-SIV (RFC 8452) with random nonces, so that a repeated nonce (a virtual machine
/// restored from a snapshot) tells no more than whether two rows are equal.
pub struct RowSealer {
    cipher: Aead,
}

impl RowSealer {
    /// Derives the row key from the service key for [`Rows`](crate::ServicePurpose::Rows), or
    /// for part manifests from the one for [`Manifest`](crate::ServicePurpose::Manifest).
    pub fn new(service_key: &ServiceKey) -> Self {
        let keys = derive::<1>(NO_SALT, service_key.expose(), label::ROW, &[]);
        let [key] = &*keys;
        Self {
            cipher: Aead::gcm_siv(key),
        }
    }

    /// Seals the value of the row `key` of `table`: `0x01 || nonce(12) || ciphertext || tag(16)`.
    pub fn seal(&self, table: u8, key: &[u8], plaintext: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN_BYTES];
        entropy.fill(&mut nonce);
        let mut out = Vec::with_capacity(ROW_OVERHEAD_BYTES + plaintext.len());
        out.push(VERSION);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plaintext);
        self.cipher
            .seal_tail(nonce, &row_aad(table, key), &mut out, 1 + NONCE_LEN_BYTES);
        out
    }

    /// Opens what [`RowSealer::seal`] made for the same row.
    ///
    /// # Errors
    ///
    /// [`OpenError::Damaged`] if it is another row's or was changed, [`OpenError::Format`] if it is
    /// no sealed row of this version.
    pub fn open(&self, table: u8, key: &[u8], stored: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (nonce, sealed) = split_sealed::<NONCE_LEN_BYTES>(stored)?;
        open_owned(&self.cipher, *nonce, &row_aad(table, key), sealed)
    }
}

/// Which attribute of an object. Each is sealed under a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// The object's checksums: a CRC of a short secret gives the secret away.
    Checksum,
    /// The checksums of one attempt at one part.
    PartChecksum(PartNumber, AttemptUid),
    /// The record in a blob file's footer.
    FooterRecord,
}

impl Attribute {
    /// `kind(1) || BE32(part number) || attempt uid(16)`; zeros where there is no part.
    fn encode(self) -> [u8; 21] {
        let mut out = [0; 21];
        match self {
            Self::Checksum => out[0] = 1,
            Self::PartChecksum(number, attempt) => {
                out[0] = 2;
                out[1..5].copy_from_slice(&u32::from(number.value()).to_be_bytes());
                out[5..].copy_from_slice(attempt.as_bytes());
            }
            Self::FooterRecord => out[0] = 3,
        }
        out
    }
}

impl DataKey {
    /// Seals an attribute of `object`: `0x01 || salt(16) || ciphertext || tag(16)`.
    pub fn seal_attribute(
        &self,
        attribute: Attribute,
        object: &ObjectIdentity,
        plaintext: &[u8],
        entropy: &dyn Entropy,
    ) -> Vec<u8> {
        let mut salt = [0; ATTRIBUTE_SALT_LEN_BYTES];
        entropy.fill(&mut salt);
        let mut out = Vec::with_capacity(ATTRIBUTE_OVERHEAD_BYTES + plaintext.len());
        out.push(VERSION);
        out.extend_from_slice(&salt);
        out.extend_from_slice(plaintext);
        self.attribute_cipher(attribute, object, &salt).seal_tail(
            SINGLE_USE_NONCE,
            &[],
            &mut out,
            1 + ATTRIBUTE_SALT_LEN_BYTES,
        );
        out
    }

    /// Opens what [`DataKey::seal_attribute`] made for the same attribute of the same object.
    ///
    /// # Errors
    ///
    /// [`OpenError::Damaged`] if it belongs elsewhere or was changed, [`OpenError::Format`] if it is
    /// no sealed attribute of this version.
    pub fn open_attribute(
        &self,
        attribute: Attribute,
        object: &ObjectIdentity,
        stored: &[u8],
    ) -> Result<Vec<u8>, OpenError> {
        let (salt, sealed) = split_sealed::<ATTRIBUTE_SALT_LEN_BYTES>(stored)?;
        let cipher = self.attribute_cipher(attribute, object, salt);
        open_owned(&cipher, SINGLE_USE_NONCE, &[], sealed)
    }

    /// `HKDF-SHA-512(salt, data key, "strongroom/1 attribute" || 0x00 || attribute || H(identity), 32)`.
    fn attribute_cipher(
        &self,
        attribute: Attribute,
        object: &ObjectIdentity,
        salt: &[u8; ATTRIBUTE_SALT_LEN_BYTES],
    ) -> Aead {
        let keys = derive::<1>(
            salt,
            self.expose(),
            label::ATTRIBUTE,
            &[&attribute.encode(), &object.hash()],
        );
        let [key] = &*keys;
        Aead::gcm_siv(key)
    }
}

fn row_aad(table: u8, key: &[u8]) -> Vec<u8> {
    let mut aad = Vec::with_capacity(label::ROW.len() + 2 + key.len());
    aad.extend_from_slice(label::ROW.as_bytes());
    aad.push(0);
    aad.push(table);
    aad.extend_from_slice(key);
    aad
}

/// `version(1) || N bytes || sealed`.
fn split_sealed<const N: usize>(stored: &[u8]) -> Result<(&[u8; N], &[u8]), FormatError> {
    let (&version, rest) = stored.split_first().ok_or(FormatError::BadLength)?;
    if version != VERSION {
        return Err(FormatError::UnknownVersion(version));
    }
    rest.split_first_chunk::<N>().ok_or(FormatError::BadLength)
}

fn open_owned(
    cipher: &Aead,
    nonce: [u8; NONCE_LEN_BYTES],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, OpenError> {
    let mut out = sealed.to_vec();
    let len = cipher
        .open(nonce, aad, &mut out)
        .ok_or(OpenError::Damaged)?
        .len();
    out.truncate(len);
    Ok(out)
}
