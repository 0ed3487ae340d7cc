//! The records that recovery reads, spelled out once more from `FORMAT.md`, 16: only the fields that
//! it needs. Unknown fields are skipped.

use minicbor::Decode;
use strongroom_types::kms::{EncryptionContext, KeyArn, KeyId, KeyMaterialId};

/// A record of a kind.
pub trait Record: for<'b> Decode<'b, ()> {
    /// Its first byte.
    const KIND: u8;
}

/// `kind || 0x01 || CBOR`.
pub fn decode<R: Record>(plaintext: &[u8]) -> Option<R> {
    let (head, body) = plaintext.split_first_chunk::<2>()?;
    (*head == [R::KIND, 1]).then(|| minicbor::decode(body).ok())?
}

#[derive(Clone, PartialEq, Eq, Debug, Decode)]
pub struct Pair {
    #[n(0)]
    pub name: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub value: Vec<u8>,
}

#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct Bucket {
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

#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct BucketEncryption {
    #[n(0)]
    pub algorithm: String,
    #[n(1)]
    pub kms_key_id: Option<String>,
    #[n(2)]
    pub bucket_key_enabled: bool,
}

#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct Version {
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

#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct Object {
    #[n(0)]
    pub size_bytes: u64,
    #[n(1)]
    pub etag: String,
    #[n(2)]
    pub key: Key,
    #[n(3)]
    pub content: Content,
    #[n(4)]
    pub checksum_kind: Option<ChecksumKind>,
    /// Sealed as attribute 1.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub sealed_checksum: Option<Vec<u8>>,
    #[n(6)]
    pub metadata: Metadata,
    #[n(7)]
    pub tags: Vec<Pair>,
}

#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct Key {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub wrapped: Vec<u8>,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub customer_verifier: Option<Vec<u8>>,
    #[n(2)]
    pub kms: Option<KmsEncryption>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Decode)]
#[cbor(map)]
pub struct ChecksumKind {
    #[n(0)]
    pub algorithm: u8,
    #[n(1)]
    pub full_object: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Decode)]
#[cbor(map)]
pub struct KmsEncryption {
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

impl KmsEncryption {
    /// The encryption context of what S3 has wrapped; none if it cannot be one.
    pub fn context(&self) -> Option<EncryptionContext> {
        let text = |pair: &Pair| {
            let value = String::from_utf8(pair.value.clone()).ok()?;
            Some((pair.name.clone(), value))
        };
        let pairs = self.client_pairs.iter().map(text).collect::<Option<_>>()?;
        let context = EncryptionContext::new(pairs).ok()?;
        context.with("aws:s3:arn", &self.s3_arn).ok()
    }
}

#[derive(Clone, Debug, Decode)]
pub enum Content {
    #[n(0)]
    Single(#[n(0)] Place),
    #[n(1)]
    Parts(#[n(0)] ManifestPlace),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Decode)]
pub enum Place {
    #[n(0)]
    Inline,
    #[n(1)]
    Blob(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]),
}

#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct ManifestPlace {
    #[n(0)]
    pub part_count: u32,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub inline: Option<Vec<u8>>,
    #[cbor(n(2), with = "minicbor::bytes")]
    pub blob: Option<[u8; 16]>,
    #[cbor(n(3), with = "minicbor::bytes")]
    pub id: [u8; 16],
}

#[derive(Clone, Default, Debug, Decode)]
#[cbor(map)]
pub struct Metadata {
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

/// What a listing shows.
#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct Current {
    #[n(0)]
    pub sequence: u64,
}

impl Record for Current {
    const KIND: u8 = 0x02;
}

/// Where a key's null version is.
#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct NullVersion {
    #[n(0)]
    pub sequence: u64,
}

impl Record for NullVersion {
    const KIND: u8 = 0x04;
}

/// A multipart upload in progress.
#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct Upload {
    #[n(0)]
    pub owner: String,
    #[n(1)]
    pub key: Key,
}

impl Record for Upload {
    const KIND: u8 = 0x05;
}

/// One part of an upload or of a completed object.
#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct Part {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub attempt: [u8; 16],
    #[n(1)]
    pub size_bytes: u64,
    #[n(2)]
    pub etag: String,
    #[n(3)]
    pub last_modified_millis: u64,
    #[n(4)]
    pub place: Place,
    /// Sealed as attribute 2.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub sealed_checksum: Option<Vec<u8>>,
}

impl Record for Part {
    const KIND: u8 = 0x06;
}

/// Whose a blob file is.
#[derive(Clone, PartialEq, Eq, Debug, Decode)]
#[cbor(map)]
pub struct Blob {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub bucket: [u8; 16],
    #[cbor(n(1), with = "minicbor::bytes")]
    pub version: [u8; 16],
    #[n(2)]
    pub part_number: Option<u16>,
}

impl Record for Blob {
    const KIND: u8 = 0x07;
}

/// The store's account.
#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct Account {
    #[cbor(n(4), with = "minicbor::bytes")]
    pub ring_id: [u8; 16],
    #[n(5)]
    pub root_version: u32,
    #[n(6)]
    pub ring_generation: Option<u64>,
}

impl Record for Account {
    const KIND: u8 = 0x20;
}

/// How far the work is that a change of the root key asks for.
#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct RootKeyWork {
    #[n(0)]
    pub target: u32,
    #[n(1)]
    pub place: u8,
    #[n(5)]
    pub failed: u64,
}

impl Record for RootKeyWork {
    const KIND: u8 = 0x50;
}

#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct FooterRecord {
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
    #[n(7)]
    pub part_number: Option<u16>,
}

impl Record for FooterRecord {
    const KIND: u8 = 0x09;
}

#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct KmsKey {
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
    #[n(12)]
    pub materials: Vec<KmsKeyMaterial>,
}

/// What a key knows of one of its materials.
#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct KmsKeyMaterial {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub id: [u8; 32],
    #[n(5)]
    pub import: Option<KmsImport>,
}

/// What a key knows of an imported material.
#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct KmsImport {
    #[n(0)]
    pub present: bool,
}

impl Record for KmsKey {
    const KIND: u8 = 0x14;
}

impl KmsKey {
    /// `account(12) || LP1(region) || key id(16)`.
    pub fn row_key(arn: &KeyArn) -> Vec<u8> {
        let region = arn.region.as_str().as_bytes();
        let len = u8::try_from(region.len()).unwrap_or(u8::MAX);
        [
            arn.account.as_str().as_bytes(),
            &[len],
            region,
            arn.id.as_bytes(),
        ]
        .concat()
    }
}

#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct KmsMaterial {
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

impl KmsMaterial {
    /// `01 || key id(16) || material id(32)`.
    pub fn row_key(key: KeyId, material: KeyMaterialId) -> Vec<u8> {
        [&[1], key.as_bytes().as_slice(), material.as_bytes()].concat()
    }
}

#[derive(Clone, Debug, Decode)]
#[cbor(map)]
pub struct KmsAlias {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub key: [u8; 16],
}

impl Record for KmsAlias {
    const KIND: u8 = 0x17;
}
