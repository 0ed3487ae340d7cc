//! What a blob file says of itself, sealed, behind its stream: enough to bring an object back with
//! nothing but the blob files and the key ring.

use minicbor::{Decode, Encode};
use strongroom_crypto::{
    Attribute, DataKey, Footer, ObjectIdentity, WrappedKey, encode_footer, keyless_checksum,
};
use strongroom_types::{BlobId, Entropy, Timestamp};

use crate::Custody;
use crate::rows::{KmsRow, MetadataRow, PairRow, Record};

/// Stands for a table where the encryption record of a footer is sealed as a row: no table has it.
const FOOTER_TABLE: u8 = 0xFF;

/// What stands for the row's key there: the footer of another version's blob does not fit.
fn footer_place(identity: &ObjectIdentity) -> Vec<u8> {
    [
        identity.bucket.as_bytes().as_slice(),
        identity.version.as_bytes(),
    ]
    .concat()
}

/// The facts known when the blob is written.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct RecoveryRow {
    /// The object key.
    #[n(0)]
    pub key: String,
    /// When the write began (of a part: when the part came).
    #[n(1)]
    pub written_millis: u64,
    /// Canonical id of the owner.
    #[n(2)]
    pub owner: String,
    /// Length of the stream's plaintext.
    #[n(3)]
    pub size_bytes: u64,
    /// The object's, or the part's.
    #[n(4)]
    pub etag: String,
    /// Metadata; of a part nothing.
    #[n(5)]
    pub metadata: Option<MetadataRow>,
    /// Tags as they were first.
    #[n(6)]
    pub tags: Vec<PairRow>,
    /// The part, if it is one.
    #[n(7)]
    pub part_number: Option<u16>,
}

impl Record for RecoveryRow {
    const KIND: u8 = 9;
}

impl RecoveryRow {
    /// The facts of an object; size and tag are filled in when they are known.
    pub(crate) fn of_object(
        identity: &ObjectIdentity,
        owner: &str,
        written: Timestamp,
        metadata: MetadataRow,
        tags: Vec<PairRow>,
    ) -> Self {
        Self {
            key: identity.key.as_str().to_owned(),
            written_millis: written.as_millis(),
            owner: owner.to_owned(),
            size_bytes: 0,
            etag: String::new(),
            metadata: Some(metadata),
            tags,
            part_number: None,
        }
    }

    /// The facts of a part; size and tag are filled in when they are known.
    pub(crate) fn of_part(
        identity: &ObjectIdentity,
        owner: &str,
        written: Timestamp,
        part_number: u16,
    ) -> Self {
        Self {
            key: identity.key.as_str().to_owned(),
            written_millis: written.as_millis(),
            owner: owner.to_owned(),
            size_bytes: 0,
            etag: String::new(),
            metadata: None,
            tags: Vec::new(),
            part_number: Some(part_number),
        }
    }

    /// The footer that carries the facts.
    pub(crate) fn footer(
        &self,
        data_key: &DataKey,
        wrapped: &WrappedKey,
        identity: &ObjectIdentity,
        kms: Option<(&KmsRow, &Custody)>,
        (blob, header): (BlobId, &[u8]),
        entropy: &dyn Entropy,
    ) -> Vec<u8> {
        let record = data_key.seal_attribute(
            Attribute::FooterRecord,
            identity,
            &Record::encode(self),
            entropy,
        );
        let kept = Kept {
            record,
            header_checksum: Some(keyless_checksum(header)),
            blob_id: Some(*blob.as_bytes()),
        };
        encode_with_key(kept, wrapped, identity, kms, entropy)
    }
}

/// What of a footer stays when the data key is wrapped anew.
pub(crate) struct Kept {
    /// Sealed under the data key.
    pub record: Vec<u8>,
    /// Of the stream's header.
    pub header_checksum: Option<[u8; 8]>,
    /// Of the file.
    pub blob_id: Option<[u8; 16]>,
}

/// The footer of a blob whose sealed record is there already.
pub(crate) fn encode_with_key(
    kept: Kept,
    wrapped: &WrappedKey,
    identity: &ObjectIdentity,
    kms: Option<(&KmsRow, &Custody)>,
    entropy: &dyn Entropy,
) -> Vec<u8> {
    encode_footer(&Footer {
        wrapped_key: wrapped.clone(),
        record: kept.record,
        header_checksum: kept.header_checksum,
        blob_id: kept.blob_id,
        encryption: kms.map(|(row, custody)| {
            let place = footer_place(identity);
            let plaintext = Record::encode(row);
            custody
                .rows()
                .seal(FOOTER_TABLE, &place, &plaintext, entropy)
        }),
    })
}
