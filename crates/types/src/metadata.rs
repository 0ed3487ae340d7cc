//! What a client stores with an object beside its bytes.

use std::collections::BTreeMap;

/// Storage classes that we accept. Others are refused with AWS's `InvalidStorageClass`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum StorageClass {
    /// `STANDARD`.
    #[default]
    Standard,
}

impl StorageClass {
    /// Parses the value of `x-amz-storage-class`.
    pub fn parse(name: &str) -> Option<Self> {
        (name == "STANDARD").then_some(Self::Standard)
    }

    /// The name in S3's enumerations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
        }
    }
}

/// System-defined metadata that a client controls, and user metadata. Values are kept byte-exact,
/// empty ones and RFC 2047 encoded words included.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ObjectMetadata {
    /// `Content-Type`; S3 answers `binary/octet-stream` where none was given.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding`, without `aws-chunked`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Expires`, as sent.
    pub expires: Option<String>,
    /// `x-amz-website-redirect-location`.
    pub website_redirect_location: Option<String>,
    /// `x-amz-meta-*`: lower-case name without the prefix, and the value's bytes.
    pub user: BTreeMap<String, Vec<u8>>,
}

impl std::fmt::Debug for ObjectMetadata {
    /// Metadata is user data: logs learn that it exists, never what it says.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjectMetadata({} user entries)", self.user.len())
    }
}
