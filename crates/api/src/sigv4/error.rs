//! Every way in which authentication fails, and the one table of what AWS answers to it.

use std::borrow::Cow;
use std::fmt;

use strongroom_types::{Region, Timestamp};

use super::uri::UriError;

/// Why a request was not authenticated.
///
/// No variant holds a secret. Texts that the client sent are held for the answer and stay out of
/// `Debug` where they may hold keys or tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthError {
    /// A service that needs a signature got none.
    MissingAuthenticationToken,
    /// Header and query both sign, or a header that must be unique is repeated.
    AmbiguousMechanism,
    /// The `Authorization` header is of a type that nobody knows.
    UnsupportedAuthorizationType,
    /// Signature Version 2, or an algorithm that we do not verify.
    UnsupportedMechanism,
    /// The `Authorization` header breaks a rule of its form.
    HeaderMalformed(Cow<'static, str>),
    /// A parameter of a presigned URL breaks a rule of its form.
    QueryMalformed(Cow<'static, str>),
    /// The scope names another region than the server's.
    WrongRegion {
        /// Where the scope was found.
        place: ScopePlace,
        /// What the scope says.
        sent: String,
        /// The server's.
        expected: Region,
    },
    /// `x-amz-date` and `Date` are both missing or unreadable.
    InvalidDate,
    /// The request's time is too far from ours.
    RequestTimeTooSkewed(Box<Skew>),
    /// A presigned URL, or a POST policy, is past its time.
    Expired(Box<Expired>),
    /// A presigned URL lies in the future.
    NotYetValid,
    /// Headers that must be signed were not; the names, joined by a comma and a space.
    HeadersNotSigned(String),
    /// `x-amz-content-sha256` is missing where S3 requires it.
    MissingContentSha256,
    /// `x-amz-content-sha256` is none of its values.
    InvalidContentSha256,
    /// The body is not the one that was signed.
    ContentSha256Mismatch,
    /// Nobody has this access key.
    InvalidAccessKeyId(String),
    /// The session token is not the credential's.
    InvalidToken,
    /// The session token is past its time.
    ExpiredToken,
    /// The signature is not ours.
    SignatureDoesNotMatch(Box<Mismatch>),
    /// The URI cannot be read.
    InvalidUri,
    /// A POST form lacks a field that signing needs.
    PostFieldMissing(&'static str),
    /// A POST form's policy cannot be read.
    InvalidPolicyDocument(Cow<'static, str>),
    /// A POST form breaks its policy; the text after `Invalid according to Policy: `.
    PolicyViolated(String),
    /// A POST form is past its policy's time.
    PolicyExpired,
}

/// Where a scope was read from; AWS's texts differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopePlace {
    /// The `Authorization` header.
    Header,
    /// `X-Amz-Credential` of the query.
    Query,
    /// `x-amz-credential` of a POST form.
    Form,
}

/// A request's time and ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    /// When the client says that it signed.
    pub request_time: Timestamp,
    /// When it arrived.
    pub server_time: Timestamp,
}

/// The validity of a presigned URL that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// `X-Amz-Expires`.
    pub expires_seconds: u64,
    /// When it ended.
    pub expires: Timestamp,
    /// When the request arrived.
    pub server_time: Timestamp,
}

/// What the server computed for a signature that does not match, as AWS's body shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The key that signed.
    pub access_key_id: String,
    /// The signature in the request.
    pub signature_provided: String,
    /// What should have been signed.
    pub string_to_sign: String,
    /// What the string to sign hashes. Values of customer keys and session tokens are masked: the
    /// client knows them, logs and proxies on the way must not. Empty for POST forms.
    pub canonical_request: String,
}

impl fmt::Debug for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mismatch({})", self.access_key_id)
    }
}

/// The protocol in which an error is told: codes and statuses differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// S3's XML.
    S3,
    /// AWS JSON 1.0 and 1.1 (KMS, Secrets Manager, CloudTrail).
    Json,
    /// AWS Query (IAM, STS, CloudFormation).
    Query,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthAnswer {
    /// AWS's error code.
    pub code: &'static str,
    /// AWS's text.
    pub message: Cow<'static, str>,
    /// The HTTP status.
    pub status: u16,
}

impl AuthError {
    /// What AWS answers: the one table of authentication errors.
    pub fn answer(&self, dialect: Dialect) -> AuthAnswer {
        use Dialect::{Json, Query, S3};
        let row = |code, status, message| AuthAnswer {
            code,
            message,
            status,
        };
        // Columns: S3, JSON, Query.
        let by_dialect = |s3: (&'static str, u16),
                          json: (&'static str, u16),
                          query: (&'static str, u16),
                          message| {
            let (code, status) = match dialect {
                S3 => s3,
                Json => json,
                Query => query,
            };
            row(code, status, message)
        };
        let incomplete = |s3: &'static str, message| {
            by_dialect(
                (s3, 400),
                ("IncompleteSignatureException", 400),
                ("IncompleteSignature", 400),
                message,
            )
        };
        let refused = |s3: (&'static str, u16), message| {
            by_dialect(
                s3,
                ("InvalidSignatureException", 400),
                ("SignatureDoesNotMatch", 403),
                message,
            )
        };
        let unknown_client = |s3: (&'static str, u16), text: &'static str| {
            by_dialect(
                s3,
                ("UnrecognizedClientException", 400),
                ("InvalidClientTokenId", 403),
                Cow::Borrowed(match dialect {
                    S3 => text,
                    Json | Query => "The security token included in the request is invalid.",
                }),
            )
        };
        match self {
            Self::MissingAuthenticationToken => by_dialect(
                ("AccessDenied", 403),
                ("MissingAuthenticationTokenException", 400),
                ("MissingAuthenticationToken", 403),
                match dialect {
                    S3 => "Access Denied".into(),
                    Json | Query => "Request is missing Authentication Token".into(),
                },
            ),
            Self::AmbiguousMechanism => incomplete(
                "InvalidArgument",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified".into(),
            ),
            Self::UnsupportedAuthorizationType => {
                incomplete("InvalidArgument", "Unsupported Authorization Type".into())
            }
            Self::UnsupportedMechanism => incomplete(
                "InvalidRequest",
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.".into(),
            ),
            Self::HeaderMalformed(text) => incomplete(
                "AuthorizationHeaderMalformed",
                format!("The authorization header is malformed; {text}").into(),
            ),
            Self::QueryMalformed(text) => {
                incomplete("AuthorizationQueryParametersError", text.clone())
            }
            Self::WrongRegion { place, sent, expected } => {
                let (code, start) = match place {
                    ScopePlace::Header => (
                        "AuthorizationHeaderMalformed",
                        "The authorization header is malformed",
                    ),
                    ScopePlace::Query => (
                        "AuthorizationQueryParametersError",
                        "Error parsing the X-Amz-Credential parameter",
                    ),
                    ScopePlace::Form => (
                        "InvalidArgument",
                        "Error parsing the X-Amz-Credential parameter",
                    ),
                };
                refused(
                    (code, 400),
                    match dialect {
                        S3 => format!("{start}; the region '{sent}' is wrong; expecting '{expected}'").into(),
                        Json | Query => "Credential should be scoped to a valid region.".into(),
                    },
                )
            }
            Self::InvalidDate => by_dialect(
                ("AccessDenied", 403),
                ("IncompleteSignatureException", 400),
                ("IncompleteSignature", 400),
                "AWS authentication requires a valid Date or x-amz-date header".into(),
            ),
            Self::RequestTimeTooSkewed(skew) => refused(
                ("RequestTimeTooSkewed", 403),
                match dialect {
                    S3 => "The difference between the request time and the current time is too large.".into(),
                    Json | Query => skew.text().into(),
                },
            ),
            Self::Expired(_) => refused(("AccessDenied", 403), "Request has expired".into()),
            Self::NotYetValid => refused(("AccessDenied", 403), "Request is not yet valid".into()),
            Self::HeadersNotSigned(_) => refused(
                ("AccessDenied", 403),
                "There were headers present in the request which were not signed".into(),
            ),
            Self::MissingContentSha256 => incomplete(
                "InvalidRequest",
                "Missing required header for this request: x-amz-content-sha256".into(),
            ),
            Self::InvalidContentSha256 => incomplete(
                "InvalidArgument",
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.".into(),
            ),
            Self::ContentSha256Mismatch => refused(
                ("XAmzContentSHA256Mismatch", 400),
                "The provided 'x-amz-content-sha256' header does not match what was computed.".into(),
            ),
            Self::InvalidAccessKeyId(_) => unknown_client(
                ("InvalidAccessKeyId", 403),
                "The AWS Access Key Id you provided does not exist in our records.",
            ),
            Self::InvalidToken => unknown_client(
                ("InvalidToken", 400),
                "The provided token is malformed or otherwise invalid.",
            ),
            Self::ExpiredToken => by_dialect(
                ("ExpiredToken", 400),
                ("ExpiredTokenException", 400),
                ("ExpiredToken", 403),
                match dialect {
                    S3 => "The provided token has expired.".into(),
                    Json | Query => "The security token included in the request is expired".into(),
                },
            ),
            Self::SignatureDoesNotMatch(_) => refused(
                ("SignatureDoesNotMatch", 403),
                match dialect {
                    S3 => "The request signature we calculated does not match the signature you provided. Check your key and signing method.".into(),
                    Json | Query => "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.".into(),
                },
            ),
            Self::InvalidUri => incomplete("InvalidURI", "Couldn't parse the specified URI.".into()),
            Self::PostFieldMissing(name) => row(
                "InvalidArgument",
                400,
                format!("Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields.").into(),
            ),
            Self::InvalidPolicyDocument(text) => row(
                "InvalidPolicyDocument",
                400,
                format!("Invalid Policy: {text}").into(),
            ),
            Self::PolicyViolated(text) => row(
                "AccessDenied",
                403,
                format!("Invalid according to Policy: {text}").into(),
            ),
            Self::PolicyExpired => row(
                "AccessDenied",
                403,
                "Invalid according to Policy: Policy expired.".into(),
            ),
        }
    }

    /// The elements that S3 puts beside code and message, in its order.
    pub fn details(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::AmbiguousMechanism | Self::UnsupportedAuthorizationType => {
                vec![("ArgumentName", "Authorization".to_owned())]
            }
            Self::WrongRegion { expected, .. } => vec![("Region", expected.to_string())],
            Self::RequestTimeTooSkewed(skew) => vec![
                ("RequestTime", skew.request_time.to_amz_date()),
                ("ServerTime", iso_seconds(skew.server_time)),
                (
                    "MaxAllowedSkewMilliseconds",
                    crate::limits::CLOCK_SKEW_MAX.as_millis().to_string(),
                ),
            ],
            Self::Expired(expired) => vec![
                ("X-Amz-Expires", expired.expires_seconds.to_string()),
                ("Expires", iso_seconds(expired.expires)),
                ("ServerTime", iso_seconds(expired.server_time)),
            ],
            Self::HeadersNotSigned(names) => vec![("HeadersNotSigned", names.clone())],
            Self::InvalidContentSha256 => {
                vec![("ArgumentName", "x-amz-content-sha256".to_owned())]
            }
            Self::InvalidAccessKeyId(id) => vec![("AWSAccessKeyId", id.clone())],
            Self::SignatureDoesNotMatch(mismatch) => {
                let mut details = vec![
                    ("AWSAccessKeyId", mismatch.access_key_id.clone()),
                    ("StringToSign", mismatch.string_to_sign.clone()),
                    ("SignatureProvided", mismatch.signature_provided.clone()),
                    ("StringToSignBytes", hex_bytes(&mismatch.string_to_sign)),
                ];
                if !mismatch.canonical_request.is_empty() {
                    details.push(("CanonicalRequest", mismatch.canonical_request.clone()));
                    details.push((
                        "CanonicalRequestBytes",
                        hex_bytes(&mismatch.canonical_request),
                    ));
                }
                details
            }
            Self::PostFieldMissing(name) => vec![("ArgumentName", (*name).to_owned())],
            Self::MissingAuthenticationToken
            | Self::UnsupportedMechanism
            | Self::HeaderMalformed(_)
            | Self::QueryMalformed(_)
            | Self::InvalidDate
            | Self::NotYetValid
            | Self::MissingContentSha256
            | Self::ContentSha256Mismatch
            | Self::InvalidToken
            | Self::ExpiredToken
            | Self::InvalidUri
            | Self::InvalidPolicyDocument(_)
            | Self::PolicyViolated(_)
            | Self::PolicyExpired => Vec::new(),
        }
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.answer(Dialect::S3).code)
    }
}

impl std::error::Error for AuthError {}

impl From<UriError> for AuthError {
    fn from(_: UriError) -> Self {
        Self::InvalidUri
    }
}

impl Skew {
    fn text(&self) -> String {
        let (request, server) = (
            self.request_time.to_amz_date(),
            self.server_time.to_amz_date(),
        );
        if self.request_time < self.server_time {
            format!(
                "Signature expired: {request} is now earlier than {server} by more than 15 min."
            )
        } else {
            format!(
                "Signature not yet current: {request} is still later than {server} by more than 15 min."
            )
        }
    }
}

/// `2013-05-24T00:00:00Z`: these elements carry no fraction.
fn iso_seconds(time: Timestamp) -> String {
    Timestamp::from_seconds(time.as_seconds())
        .to_iso8601()
        .replace(".000Z", "Z")
}

fn hex_bytes(text: &str) -> String {
    let mut out = String::with_capacity(text.len().saturating_mul(3));
    for (index, byte) in text.bytes().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        let _ = fmt::Write::write_fmt(&mut out, format_args!("{byte:02x}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_has_its_own_code() {
        let error = AuthError::InvalidAccessKeyId("AKIAIOSFODNN7EXAMPLE".into());
        let codes = [Dialect::S3, Dialect::Json, Dialect::Query].map(|d| {
            let answer = error.answer(d);
            (answer.code, answer.status)
        });
        assert_eq!(
            codes,
            [
                ("InvalidAccessKeyId", 403),
                ("UnrecognizedClientException", 400),
                ("InvalidClientTokenId", 403)
            ]
        );
    }

    #[test]
    fn a_skewed_request_is_told_both_times() {
        let error = AuthError::RequestTimeTooSkewed(Box::new(Skew {
            request_time: Timestamp::from_seconds(1_369_353_600),
            server_time: Timestamp::from_seconds(1_369_360_800),
        }));
        assert_eq!(
            error.details(),
            [
                ("RequestTime", "20130524T000000Z".to_owned()),
                ("ServerTime", "2013-05-24T02:00:00Z".to_owned()),
                ("MaxAllowedSkewMilliseconds", "900000".to_owned()),
            ]
        );
    }

    #[test]
    fn what_the_client_sent_stays_out_of_debug() {
        let error = AuthError::SignatureDoesNotMatch(Box::new(Mismatch {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            signature_provided: "0f".repeat(32),
            string_to_sign: "s2s".into(),
            canonical_request: "x-amz-meta-a:personal".into(),
        }));
        let printed = format!("{error:?} {error}");
        assert!(
            !printed.contains("personal") && !printed.contains("0f0f"),
            "{printed}"
        );
        assert_eq!(error.details()[3].1, "73 32 73");
    }
}
