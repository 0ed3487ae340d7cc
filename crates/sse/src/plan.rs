//! From headers and bucket default to what happens.

use strongroom_ports::KeyReference;
use strongroom_types::{BlockedEncryption, BucketEncryption, SseAlgorithm};

use crate::context::ClientContext;
use crate::{CustomerHeaders, CustomerKeyInput};

/// The encryption headers of a write, as sent.
#[derive(Debug, Default, Clone)]
pub struct SseHeaders {
    /// `x-amz-server-side-encryption`.
    pub algorithm: Option<String>,
    /// `x-amz-server-side-encryption-aws-kms-key-id`.
    pub kms_key_id: Option<String>,
    /// `x-amz-server-side-encryption-context`.
    pub context: Option<String>,
    /// `x-amz-server-side-encryption-bucket-key-enabled`.
    pub bucket_key_enabled: Option<String>,
    /// The SSE-C trio.
    pub customer: CustomerHeaders,
}

impl SseHeaders {
    /// Whether the request chose an encryption itself (any header of the first four, or the trio).
    pub fn is_present(&self) -> bool {
        self.algorithm.is_some()
            || self.kms_key_id.is_some()
            || self.context.is_some()
            || self.bucket_key_enabled.is_some()
            || self.customer.is_present()
    }
}

/// How a new object will be encrypted.
#[derive(Debug)]
pub enum WritePlan {
    /// SSE-S3: the data key is wrapped under the root key ring.
    SseS3,
    /// SSE-C: the data key is wrapped under the customer's key.
    SseC(CustomerKeyInput),
    /// SSE-KMS: the data key is wrapped under a data key of the key service.
    Kms {
        /// The key, not yet resolved.
        key: KeyReference,
        /// What the client adds to the encryption context.
        context: ClientContext,
        /// Whether an S3 Bucket Key is used.
        bucket_key: bool,
    },
    /// DSSE-KMS: as SSE-KMS, and a second layer under a key of this server.
    Dsse {
        /// The key, not yet resolved.
        key: KeyReference,
        /// What the client adds to the encryption context.
        context: ClientContext,
    },
}

impl WritePlan {
    /// Whether the key service has to be asked.
    pub const fn needs_key_service(&self) -> bool {
        match self {
            Self::SseS3 | Self::SseC(_) => false,
            Self::Kms { .. } | Self::Dsse { .. } => true,
        }
    }
}

/// What a decision depends on beside headers and bucket.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Whether a key, or what a KMS key protects, may travel over the connection at all: TLS, a peer
    /// on this host, or an operator who said that TLS ends in front of the server.
    pub confidential: bool,
    /// Whether somebody signed the request (with Signature Version 4: there is no other here).
    pub signed: bool,
    /// Whether a service of this server asks, such as CloudTrail: its encryption context may say so.
    pub by_service: bool,
    /// The ARN of the object.
    pub object_arn: &'a str,
    /// The ARN of its bucket.
    pub bucket_arn: &'a str,
}

/// Decides how a write is encrypted (spec `s3-encryption.md` 1.2 steps 2 and 4 to 8, and 6.5).
///
/// # Errors
///
/// [`SseError`], the first rule broken in S3's order.
pub fn plan_write(
    headers: &SseHeaders,
    default: &BucketEncryption,
    circumstances: Circumstances<'_>,
) -> Result<WritePlan, SseError> {
    if headers.customer.is_present() {
        if !circumstances.confidential {
            return Err(SseError::CustomerKeyOverPlainHttp);
        }
        match default.blocked {
            BlockedEncryption::SseC => return Err(SseError::CustomerKeysBlocked),
            BlockedEncryption::None => {}
        }
        if let Some(value) = &headers.algorithm {
            return Err(SseError::CustomerKeyConflict {
                value: value.clone(),
            });
        }
        return headers.customer.parse().map(WritePlan::SseC);
    }
    let requested = match &headers.algorithm {
        Some(value) => {
            let parsed = SseAlgorithm::parse(value);
            Some(parsed.ok_or_else(|| SseError::AlgorithmInvalid {
                value: value.clone(),
            })?)
        }
        None => None,
    };
    let is_kms = |algorithm| matches!(algorithm, SseAlgorithm::AwsKms | SseAlgorithm::AwsKmsDsse);
    if headers.kms_key_id.is_some() && !requested.is_some_and(is_kms) {
        return Err(SseError::KmsKeyWithoutKms);
    }
    if let Some(value) = &headers.bucket_key_enabled
        && !value.eq_ignore_ascii_case("true")
        && !value.eq_ignore_ascii_case("false")
    {
        return Err(SseError::BucketKeyEnabledInvalid {
            value: value.clone(),
        });
    }
    let bucket_key = headers
        .bucket_key_enabled
        .as_ref()
        .map_or(default.bucket_key_enabled, |value| {
            value.eq_ignore_ascii_case("true")
        });
    let effective = requested.unwrap_or(default.algorithm);
    // A request that names its method names its key too: without one it means the AWS managed key,
    // even where the bucket's default names another.
    let named = if requested.is_some() {
        headers.kms_key_id.as_ref()
    } else {
        default.kms_key_id.as_ref()
    };
    let key = || {
        named.map_or(KeyReference::AwsManaged, |id| {
            KeyReference::Named(id.clone())
        })
    };
    let context =
        |arn| ClientContext::parse(headers.context.as_deref(), arn, circumstances.by_service);
    let plan = match effective {
        SseAlgorithm::Aes256 if headers.context.is_some() => {
            return Err(SseError::ContextWithoutKms);
        }
        SseAlgorithm::Aes256 => return Ok(WritePlan::SseS3),
        SseAlgorithm::AwsKms => WritePlan::Kms {
            key: key(),
            context: context(if bucket_key {
                circumstances.bucket_arn
            } else {
                circumstances.object_arn
            })?,
            bucket_key,
        },
        SseAlgorithm::AwsKmsDsse => WritePlan::Dsse {
            key: key(),
            context: context(circumstances.object_arn)?,
        },
    };
    allow_kms(circumstances.signed, circumstances.confidential)?;
    Ok(plan)
}

/// What every request to KMS-encrypted content must be, reads and writes alike (spec
/// `s3-encryption.md` 4.4, 3 and 4).
///
/// # Errors
///
/// [`SseError::KmsNotSigned`], [`SseError::KmsOverPlainHttp`].
pub fn allow_kms(signed: bool, confidential: bool) -> Result<(), SseError> {
    if !signed {
        return Err(SseError::KmsNotSigned);
    }
    if !confidential {
        return Err(SseError::KmsOverPlainHttp);
    }
    Ok(())
}

/// The write-only encryption headers have no meaning on GET and HEAD, and S3 refuses them.
///
/// # Errors
///
/// [`SseError::NotApplicableToRead`].
pub fn refuse_write_headers_on_read(headers: &SseHeaders) -> Result<(), SseError> {
    if headers.algorithm.is_some()
        || headers.kms_key_id.is_some()
        || headers.context.is_some()
        || headers.bucket_key_enabled.is_some()
    {
        return Err(SseError::NotApplicableToRead);
    }
    Ok(())
}

/// The customer's key for reading an object (spec `s3-encryption.md` 2.4), or `None` for an object
/// that is not SSE-C. Whether it is the *right* key is for the caller to find out.
///
/// # Errors
///
/// [`SseError`]: trio missing, not applicable, sent over plain HTTP, or malformed.
pub fn read_key(
    headers: &CustomerHeaders,
    stored_with_customer_key: bool,
    confidential: bool,
) -> Result<Option<CustomerKeyInput>, SseError> {
    if headers.is_present() && !confidential {
        return Err(SseError::CustomerKeyOverPlainHttp);
    }
    match (stored_with_customer_key, headers.is_present()) {
        (false, false) => Ok(None),
        (false, true) => Err(SseError::CustomerKeyNotApplicable),
        (true, false) => Err(SseError::CustomerKeyRequired),
        (true, true) => match headers.parse() {
            Ok(key) => Ok(Some(key)),
            // On reads the match is what counts: a key of another length is simply not the key.
            Err(SseError::CustomerKeyInvalid) => Err(SseError::CustomerKeyWrong),
            Err(other) => Err(other),
        },
    }
}

/// Which rule of S3's encryption headers a request breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// `x-amz-server-side-encryption` and a customer header together.
    #[error("customer key and another encryption method together")]
    CustomerKeyConflict {
        /// The value of `x-amz-server-side-encryption`.
        value: String,
    },
    /// A key or its MD5 without the algorithm.
    #[error("customer algorithm missing")]
    CustomerAlgorithmMissing,
    /// The algorithm is not exactly `AES256`.
    #[error("customer algorithm invalid")]
    CustomerAlgorithmInvalid {
        /// What was sent.
        value: String,
    },
    /// No key.
    #[error("customer key missing")]
    CustomerKeyMissing,
    /// No MD5 of the key.
    #[error("customer key MD5 missing")]
    CustomerKeyMd5Missing,
    /// The MD5 does not match the key.
    #[error("customer key MD5 does not match")]
    CustomerKeyMd5Mismatch,
    /// The key is not 32 bytes, or not base64.
    #[error("customer key invalid")]
    CustomerKeyInvalid,
    /// The object needs a customer key and none was sent.
    #[error("customer key required")]
    CustomerKeyRequired,
    /// A customer key was sent for an object that is not SSE-C.
    #[error("customer key not applicable")]
    CustomerKeyNotApplicable,
    /// A well-formed key, but not the one that the object was stored with.
    #[error("customer key wrong")]
    CustomerKeyWrong,
    /// The upload is SSE-C and the part came without the trio, or the reverse.
    #[error("customer key parameters of the upload missing")]
    UploadEncryptionMissing,
    /// The part's key is not the upload's.
    #[error("customer key differs from the upload's")]
    UploadKeyMismatch,
    /// A customer key over a connection that anybody can read.
    #[error("customer key over plain HTTP")]
    CustomerKeyOverPlainHttp,
    /// The bucket blocks SSE-C writes.
    #[error("customer keys are blocked by the bucket")]
    CustomerKeysBlocked,
    /// `x-amz-server-side-encryption` is none of S3's values.
    #[error("encryption method invalid")]
    AlgorithmInvalid {
        /// What was sent.
        value: String,
    },
    /// A KMS key id without `aws:kms`.
    #[error("KMS key id without aws:kms")]
    KmsKeyWithoutKms,
    /// An encryption context for an object that is not KMS-encrypted.
    #[error("encryption context without aws:kms")]
    ContextWithoutKms,
    /// The bucket key flag is neither `true` nor `false`.
    #[error("bucket key flag invalid")]
    BucketKeyEnabledInvalid {
        /// What was sent.
        value: String,
    },
    /// A write-only header on a read.
    #[error("encryption header on a read")]
    NotApplicableToRead,
    /// The encryption context is not what S3 wants it to be.
    #[error("encryption context invalid")]
    ContextInvalid,
    /// The encryption context holds a pair that only S3 itself sets.
    #[error("encryption context holds the reserved name {name}")]
    ContextReserved {
        /// The pair's name.
        name: String,
    },
    /// KMS-encrypted content, and nobody signed the request.
    #[error("KMS encryption without a signature")]
    KmsNotSigned,
    /// KMS-encrypted content over a connection that anybody can read.
    #[error("KMS encryption over plain HTTP")]
    KmsOverPlainHttp,
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    const KEY: &str = "pO3upElrwuEXSoFwCfnZPdSsmt/xWeFa0N9KgDijwVs=";
    const MD5: &str = "DWygnHRtgiJ77HCm+1rvHw==";

    fn bucket() -> BucketEncryption {
        BucketEncryption {
            algorithm: SseAlgorithm::Aes256,
            kms_key_id: None,
            bucket_key_enabled: false,
            blocked: BlockedEncryption::None,
            explicitly_set: false,
        }
    }

    fn here(confidential: bool) -> Circumstances<'static> {
        Circumstances {
            confidential,
            signed: true,
            by_service: false,
            object_arn: "arn:aws:s3:::b/k",
            bucket_arn: "arn:aws:s3:::b",
        }
    }

    /// A plan in short: method, key, bucket key flag.
    fn shown(plan: Result<WritePlan, SseError>) -> String {
        let name = |key: KeyReference| match key {
            KeyReference::AwsManaged => "aws/s3".to_owned(),
            KeyReference::Named(name) => name,
        };
        match plan {
            Ok(WritePlan::SseS3) => "s3".to_owned(),
            Ok(WritePlan::SseC(_)) => "c".to_owned(),
            Ok(WritePlan::Kms {
                key, bucket_key, ..
            }) => format!("kms {}{}", name(key), if bucket_key { " bk" } else { "" }),
            Ok(WritePlan::Dsse { key, .. }) => format!("dsse {}", name(key)),
            Err(error) => error.to_string(),
        }
    }

    /// Method, key and bucket key flag of the request; the plan for each of the defaults.
    type Row = (
        Option<&'static str>,
        Option<&'static str>,
        Option<&'static str>,
        [&'static str; 4],
    );

    #[test]
    fn every_cell_of_the_resolution_matrix() {
        use SseAlgorithm::{Aes256, AwsKms, AwsKmsDsse};
        let default = |algorithm, key: Option<&str>, bucket_key_enabled| BucketEncryption {
            algorithm,
            kms_key_id: key.map(str::to_owned),
            bucket_key_enabled,
            ..bucket()
        };
        let defaults = [
            default(Aes256, None, true),
            default(AwsKms, None, false),
            default(AwsKms, Some("K"), true),
            default(AwsKmsDsse, Some("K"), true),
        ];
        let refused = "KMS key id without aws:kms";
        let rows: [Row; 12] = [
            (None, None, None, ["s3", "kms aws/s3", "kms K bk", "dsse K"]),
            (Some("AES256"), None, None, ["s3"; 4]),
            (Some("AES256"), None, Some("true"), ["s3"; 4]),
            (
                Some("aws:kms"),
                None,
                None,
                [
                    "kms aws/s3 bk",
                    "kms aws/s3",
                    "kms aws/s3 bk",
                    "kms aws/s3 bk",
                ],
            ),
            (Some("aws:kms"), None, Some("false"), ["kms aws/s3"; 4]),
            (Some("aws:kms"), Some("X"), Some("TRUE"), ["kms X bk"; 4]),
            (Some("aws:kms"), Some("X"), Some("False"), ["kms X"; 4]),
            (Some("aws:kms:dsse"), None, None, ["dsse aws/s3"; 4]),
            (Some("aws:kms:dsse"), Some("X"), Some("true"), ["dsse X"; 4]),
            (None, Some("X"), None, [refused; 4]),
            (Some("AES256"), Some("X"), None, [refused; 4]),
            (
                None,
                None,
                Some("false"),
                ["s3", "kms aws/s3", "kms K", "dsse K"],
            ),
        ];
        for (algorithm, key, flag, expected) in rows {
            let headers = SseHeaders {
                algorithm: algorithm.map(str::to_owned),
                kms_key_id: key.map(str::to_owned),
                bucket_key_enabled: flag.map(str::to_owned),
                ..SseHeaders::default()
            };
            for (default, expected) in defaults.iter().zip(expected) {
                let got = shown(plan_write(&headers, default, here(true)));
                assert_eq!(got, expected, "{algorithm:?} {key:?} {flag:?} {default:?}");
            }
        }
    }

    #[test]
    fn kms_needs_a_signature_and_a_confidential_connection() {
        for algorithm in ["aws:kms", "aws:kms:dsse"] {
            let plan = |signed, confidential| {
                let circumstances = Circumstances {
                    signed,
                    ..here(confidential)
                };
                plan_write(&sse(algorithm), &bucket(), circumstances).unwrap_err()
            };
            assert_eq!(plan(false, true), SseError::KmsNotSigned);
            assert_eq!(plan(false, false), SseError::KmsNotSigned);
            assert_eq!(plan(true, false), SseError::KmsOverPlainHttp);
        }
    }

    #[test]
    fn the_arn_of_a_context_is_the_buckets_with_a_bucket_key() {
        use base64::Engine as _;
        let headers = |arn: &str, flag: &str| SseHeaders {
            context: Some(
                base64::engine::general_purpose::STANDARD
                    .encode(format!(r#"{{"aws:s3:arn":"{arn}"}}"#)),
            ),
            bucket_key_enabled: Some(flag.to_owned()),
            ..sse("aws:kms")
        };
        let plan = |arn, flag| plan_write(&headers(arn, flag), &bucket(), here(true));
        assert!(plan("arn:aws:s3:::b", "true").is_ok());
        assert!(plan("arn:aws:s3:::b/k", "false").is_ok());
        for (arn, flag) in [("arn:aws:s3:::b", "false"), ("arn:aws:s3:::b/k", "true")] {
            let name = crate::ARN_PAIR.to_owned();
            assert_eq!(
                plan(arn, flag).unwrap_err(),
                SseError::ContextReserved { name }
            );
        }
    }

    fn trio(algorithm: Option<&str>, key: Option<&str>, md5: Option<&str>) -> CustomerHeaders {
        CustomerHeaders {
            algorithm: algorithm.map(str::to_owned),
            key: key.map(|key| Zeroizing::new(key.to_owned())),
            key_md5: md5.map(str::to_owned),
        }
    }

    fn sse(algorithm: &str) -> SseHeaders {
        SseHeaders {
            algorithm: Some(algorithm.to_owned()),
            ..SseHeaders::default()
        }
    }

    fn error(headers: &SseHeaders) -> SseError {
        plan_write(headers, &bucket(), here(true)).unwrap_err()
    }

    #[test]
    fn no_header_means_the_default() {
        assert!(matches!(
            plan_write(&SseHeaders::default(), &bucket(), here(false)),
            Ok(WritePlan::SseS3)
        ));
        assert!(matches!(
            plan_write(&sse("AES256"), &bucket(), here(false)),
            Ok(WritePlan::SseS3)
        ));
    }

    #[test]
    fn customer_headers_are_checked_in_the_order_of_s3() {
        let write = |customer: CustomerHeaders| {
            error(&SseHeaders {
                customer,
                ..SseHeaders::default()
            })
        };
        assert_eq!(
            write(trio(None, Some(KEY), Some(MD5))),
            SseError::CustomerAlgorithmMissing
        );
        assert_eq!(
            write(trio(Some("aes256"), None, None)),
            SseError::CustomerAlgorithmInvalid {
                value: "aes256".to_owned()
            }
        );
        assert_eq!(
            write(trio(Some("AES256"), None, None)),
            SseError::CustomerKeyMissing
        );
        assert_eq!(
            write(trio(Some("AES256"), Some(KEY), None)),
            SseError::CustomerKeyMd5Missing
        );
        // A short key with a foreign MD5 hears of the MD5 first (aws-sdk-go#1726).
        assert_eq!(
            write(trio(Some("AES256"), Some("AAAA"), Some(MD5))),
            SseError::CustomerKeyMd5Mismatch
        );
        let short_md5 = "xS5k8YIq7jNcbfYEBFMVLA=="; // not the MD5 of three zero bytes either
        assert_eq!(
            write(trio(Some("AES256"), Some("AAAA"), Some(short_md5))),
            SseError::CustomerKeyMd5Mismatch
        );
        assert_eq!(
            write(trio(Some("AES256"), Some("%%"), Some(MD5))),
            SseError::CustomerKeyInvalid
        );
        let mut conflict = sse("AES256");
        conflict.customer = trio(Some("KMS"), None, None);
        assert_eq!(
            error(&conflict),
            SseError::CustomerKeyConflict {
                value: "AES256".to_owned()
            }
        );
    }

    #[test]
    fn the_whole_trio_gives_a_key() {
        let headers = SseHeaders {
            customer: trio(Some("AES256"), Some(KEY), Some(MD5)),
            ..SseHeaders::default()
        };
        let Ok(WritePlan::SseC(input)) = plan_write(&headers, &bucket(), here(true)) else {
            panic!("no key")
        };
        assert_eq!(input.md5, MD5);
        assert_eq!(
            plan_write(&headers, &bucket(), here(false)).unwrap_err(),
            SseError::CustomerKeyOverPlainHttp
        );
        let blocked = BucketEncryption {
            blocked: BlockedEncryption::SseC,
            ..bucket()
        };
        assert_eq!(
            plan_write(&headers, &blocked, here(true)).unwrap_err(),
            SseError::CustomerKeysBlocked
        );
        assert!(!format!("{headers:?}").contains(KEY));
    }

    #[test]
    fn kms_parameters_need_kms() {
        let key_only = SseHeaders {
            kms_key_id: Some("k".to_owned()),
            ..SseHeaders::default()
        };
        assert_eq!(error(&key_only), SseError::KmsKeyWithoutKms);
        assert_eq!(
            error(&SseHeaders {
                kms_key_id: Some("k".to_owned()),
                ..sse("AES256")
            }),
            SseError::KmsKeyWithoutKms
        );
        assert_eq!(
            error(&SseHeaders {
                context: Some("e30=".to_owned()),
                ..sse("AES256")
            }),
            SseError::ContextWithoutKms
        );
        assert_eq!(
            error(&sse("aes:kms")),
            SseError::AlgorithmInvalid {
                value: "aes:kms".to_owned()
            }
        );
    }

    #[test]
    fn reads_need_the_trio_exactly_for_customer_keys() {
        let full = trio(Some("AES256"), Some(KEY), Some(MD5));
        let none = CustomerHeaders::default();
        assert!(matches!(read_key(&none, false, false), Ok(None)));
        assert!(matches!(read_key(&full, true, true), Ok(Some(_))));
        assert_eq!(
            read_key(&none, true, true).unwrap_err(),
            SseError::CustomerKeyRequired
        );
        assert_eq!(
            read_key(&full, false, true).unwrap_err(),
            SseError::CustomerKeyNotApplicable
        );
        assert_eq!(
            read_key(&full, true, false).unwrap_err(),
            SseError::CustomerKeyOverPlainHttp
        );
        let short = trio(
            Some("AES256"),
            Some("AAAA"),
            Some("aTFRsGKX6s9lYM0H5GpJrA=="),
        );
        assert!(matches!(
            read_key(&short, true, true).unwrap_err(),
            SseError::CustomerKeyWrong | SseError::CustomerKeyMd5Mismatch
        ));
    }
}
