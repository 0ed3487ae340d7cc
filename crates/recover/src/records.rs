//! The records that recovery reads, spelled out once more from `FORMAT.md`, 16: only the fields that
//! it needs. Unknown fields are skipped.

use minicbor::Decode;

/// A record of a kind.
pub(crate) trait Record: for<'b> Decode<'b, ()> {
    const KIND: u8;
}

/// `kind || 0x01 || CBOR`.
pub(crate) fn decode<R: Record>(plaintext: &[u8]) -> Option<R> {
    let (head, body) = plaintext.split_first_chunk::<2>()?;
    (*head == [R::KIND, 1]).then(|| minicbor::decode(body).ok())?
}

#[derive(Decode)]
pub(crate) struct Pair {
    #[n(0)]
    pub name: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub value: Vec<u8>,
}

#[derive(Decode)]
#[cbor(map)]
pub(crate) struct Bucket {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub uid: [u8; 16],
    #[n(1)]
    pub owner: String,
    #[n(3)]
    pub region: String,
    #[n(4)]
    pub created_millis: u64,
    #[n(5)]
    pub versioning: u8,
    #[n(6)]
    pub encryption: BucketEncryption,
    #[n(7)]
    pub tags: Option<Vec<Pair>>,
}

impl Record for Bucket {
    const KIND: u8 = 0x01;
}

#[derive(Decode)]
#[cbor(map)]
pub(crate) struct BucketEncryption {
    #[n(0)]
    pub algorithm: String,
    #[n(1)]
    pub kms_key_id: Option<String>,
    #[n(2)]
    pub bucket_key_enabled: bool,
}

#[derive(Decode)]
#[cbor(map)]
pub(crate) struct Version {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub uid: [u8; 16],
    #[n(1)]
    pub is_null: bool,
    #[n(2)]
    pub last_modified_millis: u64,
    #[n(3)]
    pub owner: String,
    #[n(4)]
    pub object: Option<Object>,
}

impl Record for Version {
    const KIND: u8 = 0x03;
}

#[derive(Decode)]
#[cbor(map)]
pub(crate) struct Object {
    #[n(0)]
    pub size_bytes: u64,
    #[n(1)]
    pub etag: String,
    #[n(2)]
    pub key: Key,
    #[n(3)]
    pub content: Content,
    #[n(6)]
    pub metadata: Metadata,
    #[n(7)]
    pub tags: Vec<Pair>,
}

#[derive(Decode)]
#[cbor(map)]
pub(crate) struct Key {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub wrapped: Vec<u8>,
    #[n(2)]
    pub kms: Option<KmsEncryption>,
}

#[derive(Decode)]
#[cbor(map)]
pub(crate) struct KmsEncryption {
    #[n(0)]
    pub algorithm: String,
    #[n(1)]
    pub key_arn: String,
    #[n(2)]
    pub client_pairs: Vec<Pair>,
    #[n(3)]
    pub s3_arn: String,
    #[n(4)]
    pub bucket_key: bool,
}

impl Record for KmsEncryption {
    const KIND: u8 = 0x0a;
}

#[derive(Decode)]
pub(crate) enum Content {
    #[n(0)]
    Single(#[n(0)] Place),
    #[n(1)]
    Parts(#[n(0)] ManifestPlace),
}

#[derive(Clone, Copy, Decode)]
pub(crate) enum Place {
    #[n(0)]
    Inline,
    #[n(1)]
    Blob(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]),
}

#[derive(Decode)]
#[cbor(map)]
pub(crate) struct ManifestPlace {
    #[n(0)]
    pub part_count: u32,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub inline: Option<Vec<u8>>,
    #[cbor(n(2), with = "minicbor::bytes")]
    pub blob: Option<[u8; 16]>,
    #[cbor(n(3), with = "minicbor::bytes")]
    pub id: [u8; 16],
}

#[derive(Default, Decode)]
#[cbor(map)]
pub(crate) struct Metadata {
    #[n(0)]
    pub content_type: Option<String>,
    #[n(1)]
    pub cache_control: Option<String>,
    #[n(2)]
    pub content_disposition: Option<String>,
    #[n(3)]
    pub content_encoding: Option<String>,
    #[n(4)]
    pub content_language: Option<String>,
    #[n(5)]
    pub expires: Option<String>,
    #[n(6)]
    pub website_redirect_location: Option<String>,
    #[n(7)]
    pub user: Vec<Pair>,
}

#[derive(Decode)]
#[cbor(map)]
pub(crate) struct FooterRecord {
    #[n(0)]
    pub key: String,
    #[n(1)]
    pub written_millis: u64,
    #[n(2)]
    pub owner: String,
    #[n(3)]
    pub size_bytes: u64,
    #[n(4)]
    pub etag: String,
    #[n(5)]
    pub metadata: Option<Metadata>,
    #[n(6)]
    pub tags: Vec<Pair>,
}

impl Record for FooterRecord {
    const KIND: u8 = 0x09;
}

#[derive(Decode)]
#[cbor(map)]
pub(crate) struct KmsKey {
    #[n(0)]
    pub spec: String,
    #[n(1)]
    pub usage: String,
    #[n(2)]
    pub origin: String,
    #[n(3)]
    pub manager: String,
    #[n(4)]
    pub lifecycle: u8,
    #[n(5)]
    pub description: String,
    #[n(6)]
    pub policy: String,
    #[n(8)]
    pub created_millis: u64,
    #[n(9)]
    pub deletion_millis: Option<u64>,
}

impl Record for KmsKey {
    const KIND: u8 = 0x14;
}

#[derive(Decode)]
#[cbor(map)]
pub(crate) struct KmsMaterial {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub wrapped: Vec<u8>,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub shred: [u8; 16],
    #[n(2)]
    pub account: String,
    #[n(3)]
    pub region: String,
}

impl Record for KmsMaterial {
    const KIND: u8 = 0x15;
}

#[derive(Decode)]
#[cbor(map)]
pub(crate) struct KmsAlias {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub key: [u8; 16],
}

impl Record for KmsAlias {
    const KIND: u8 = 0x17;
}
