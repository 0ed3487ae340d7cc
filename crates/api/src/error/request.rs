//! What can be wrong with a request before an operation is asked.

/// Why a request cannot be read as an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequestError {
    /// The path is not percent-encoded UTF-8.
    InvalidUri,
    /// The bucket's name breaks the naming rules.
    InvalidBucketName(String),
    /// The key is longer than 1,024 bytes.
    KeyTooLong {
        /// Its length, in bytes.
        size_bytes: usize,
    },
    /// The resource exists, and does not know the method.
    MethodNotAllowed {
        /// What was sent.
        method: String,
        /// What the address names: `SERVICE`, `BUCKET`, `OBJECT` or a sub-resource.
        resource_type: String,
    },
    /// A part of S3 that this server does not have.
    NotImplemented {
        /// The header or the query parameter that asks for it.
        header: String,
    },
    /// An argument has a value that it cannot have.
    InvalidArgument {
        /// AWS's text.
        message: &'static str,
        /// The header, parameter or element.
        name: &'static str,
        /// What was sent.
        value: Option<String>,
    },
    /// A rule that binds several parts of the request.
    InvalidRequest(String),
    /// A document cannot be read, or is not of the schema.
    MalformedXml,
    /// A document is longer than it may be.
    DocumentTooLong {
        /// The bound, in bytes.
        max_bytes: usize,
    },
    /// No length was announced.
    MissingContentLength,
    /// `Content-MD5` is not base64 of 16 bytes.
    InvalidDigest(String),
    /// The operation needs `Content-MD5` or a checksum, and none was sent.
    MissingDigest,
    /// A location constraint that names no region.
    InvalidLocationConstraint(String),
    /// A location constraint that names another region than this server's; empty when missing.
    IllegalLocationConstraint(String),
    /// A storage class that objects cannot have here.
    InvalidStorageClass(String),
    /// An ACL other than the owner's full control.
    AclNotSupported,
    /// The body of a form cannot be read.
    MalformedForm(crate::form::FormError),
    /// A form's file is outside of its policy's `content-length-range`.
    FormTooSmall {
        /// Its length, in bytes.
        size_bytes: u64,
        /// The bound, in bytes.
        min_bytes: u64,
    },
    /// A form's file is outside of its policy's `content-length-range`.
    FormTooLarge {
        /// Its length, in bytes.
        size_bytes: u64,
        /// The bound, in bytes.
        max_bytes: u64,
    },
    /// The configuration was never set.
    Unconfigured(Unconfigured, String),
}

/// Configurations whose absence S3 tells by an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unconfigured {
    /// Bucket policy, and its status.
    Policy,
    /// CORS.
    Cors,
    /// Website hosting.
    Website,
    /// Lifecycle.
    Lifecycle,
    /// Replication.
    Replication,
    /// Object lock of the bucket.
    ObjectLock,
    /// Retention or legal hold of an object.
    ObjectRetention,
    /// Public access block.
    PublicAccessBlock,
    /// One inventory, analytics, metrics or tiering configuration by its id.
    ById,
}
