//! Digests and checksums: what a body must match.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use strongroom_s3::{ChecksumValue, ExpectedChecksum, ExpectedDigests};
use strongroom_types::{Checksum, ChecksumAlgorithm, ChecksumError, ChecksumType};

use super::parse_headers::{content_md5, text};
use crate::error::{Failure, RequestError};
use crate::sigv4::Payload;

/// Every digest that the head names.
///
/// # Errors
///
/// More than one checksum, one that is malformed or that we do not compute, or an algorithm
/// without its value.
pub(crate) fn digests(headers: &HeaderMap, payload: &Payload) -> Result<ExpectedDigests, Failure> {
    Ok(ExpectedDigests {
        checksum: expected_checksum(headers)?,
        ..digests_but_checksum(headers, payload)?
    })
}

/// The digests that bind the body where `x-amz-checksum-*` speaks of something else.
///
/// # Errors
///
/// A `Content-MD5` that is malformed.
pub(crate) fn digests_but_checksum(
    headers: &HeaderMap,
    payload: &Payload,
) -> Result<ExpectedDigests, Failure> {
    let content_sha256 = match payload {
        Payload::Sha256(digest) => Some(*digest),
        Payload::Unsigned
        | Payload::ChunkedSigned(_)
        | Payload::ChunkedSignedTrailer(_)
        | Payload::ChunkedUnsignedTrailer => None,
    };
    Ok(ExpectedDigests {
        content_md5: content_md5(headers)?,
        content_sha256,
        checksum: None,
    })
}

fn expected_checksum(headers: &HeaderMap) -> Result<Option<ExpectedChecksum>, Failure> {
    let named = match text(headers, "x-amz-sdk-checksum-algorithm")? {
        Some(name) => Some(algorithm(name)?),
        None => None,
    };
    let in_header = checksum_header(headers)?;
    let in_trailer = checksum_trailer(headers)?;
    let found = match (in_header, in_trailer) {
        (Some(_), Some(_)) => return Err(multiple()),
        (Some((algorithm, text)), None) => {
            let value = decode(algorithm, text).ok_or_else(|| invalid_value(algorithm.header()))?;
            Some(ExpectedChecksum {
                algorithm,
                value: ChecksumValue::Header(value),
            })
        }
        (None, Some(algorithm)) => Some(ExpectedChecksum {
            algorithm,
            value: ChecksumValue::Trailer,
        }),
        (None, None) => None,
    };
    match (named, &found) {
        (Some(_), None) => Err(RequestError::InvalidRequest(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or \
             x-amz-trailer headers were found."
                .to_owned(),
        )
        .into()),
        (Some(named), Some(found)) if named != found.algorithm => {
            Err(invalid_value("x-amz-sdk-checksum-algorithm"))
        }
        _ => Ok(found),
    }
}

/// The one `x-amz-checksum-*` header that carries a value.
fn checksum_header(headers: &HeaderMap) -> Result<Option<(ChecksumAlgorithm, &str)>, Failure> {
    let mut found = None;
    for (name, value) in headers {
        let Some(suffix) = name.as_str().strip_prefix("x-amz-checksum-") else {
            continue;
        };
        if matches!(suffix, "algorithm" | "type" | "mode") {
            continue;
        }
        let algorithm = algorithm(suffix)?;
        let value = value
            .to_str()
            .map_err(|_| invalid_value(algorithm.header()))?;
        if found.replace((algorithm, value)).is_some() {
            return Err(multiple());
        }
    }
    Ok(found)
}

fn checksum_trailer(headers: &HeaderMap) -> Result<Option<ChecksumAlgorithm>, Failure> {
    let mut found = None;
    for value in headers.get_all("x-amz-trailer") {
        for name in value.to_str().unwrap_or_default().split(',') {
            let name = name.trim().to_ascii_lowercase();
            let Some(suffix) = name.strip_prefix("x-amz-checksum-") else {
                let message = "The value specified in the x-amz-trailer header is not supported";
                return Err(RequestError::InvalidRequest(message.to_owned()).into());
            };
            if found.replace(algorithm(suffix)?).is_some() {
                return Err(multiple());
            }
        }
    }
    Ok(found)
}

/// `x-amz-checksum-algorithm`, where the value comes later or is ours to compute.
pub(crate) fn checksum_algorithm(
    headers: &HeaderMap,
) -> Result<Option<ChecksumAlgorithm>, Failure> {
    match text(headers, "x-amz-checksum-algorithm")? {
        Some(name) => algorithm(name).map(Some),
        None => Ok(None),
    }
}

/// `x-amz-checksum-type`.
pub(crate) fn checksum_type(headers: &HeaderMap) -> Result<Option<ChecksumType>, Failure> {
    match text(headers, "x-amz-checksum-type")? {
        None => Ok(None),
        Some(name) => match ChecksumType::parse(name) {
            Some(kind) => Ok(Some(kind)),
            None => Err(invalid_value("x-amz-checksum-type")),
        },
    }
}

/// The object's checksum that CompleteMultipartUpload may carry: `value` or `value-parts`.
pub(crate) fn object_checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Failure> {
    let Some((algorithm, text)) = checksum_header(headers)? else {
        return Ok(None);
    };
    let invalid = || invalid_value(algorithm.header());
    let (digits, part_count) = match text.rsplit_once('-') {
        Some((digits, count)) => (digits, Some(count.parse::<u16>().map_err(|_| invalid())?)),
        None => (text, None),
    };
    let value = decode(algorithm, digits).ok_or_else(invalid)?;
    let kind = match (part_count, checksum_type(headers)?) {
        (_, Some(kind)) => kind,
        (Some(_), None) => ChecksumType::Composite,
        // A bare value is composite where the algorithm knows nothing else.
        (None, None) => match algorithm {
            ChecksumAlgorithm::Sha1 | ChecksumAlgorithm::Sha256 => ChecksumType::Composite,
            ChecksumAlgorithm::Crc32 | ChecksumAlgorithm::Crc32c | ChecksumAlgorithm::Crc64Nvme => {
                ChecksumType::FullObject
            }
        },
    };
    Ok(Some(Checksum {
        algorithm,
        kind,
        value,
        part_count: part_count.unwrap_or(0),
    }))
}

/// A value in its text form.
pub(crate) fn decode(algorithm: ChecksumAlgorithm, text: &str) -> Option<Vec<u8>> {
    BASE64
        .decode(text)
        .ok()
        .filter(|value| value.len() == algorithm.len_bytes())
}

/// A checksum in its text form: base64, and `-N` behind it for a composite one.
pub(crate) fn checksum_text(checksum: &Checksum) -> String {
    let value = BASE64.encode(&checksum.value);
    match checksum.kind {
        ChecksumType::Composite if checksum.part_count > 0 => {
            format!("{value}-{}", checksum.part_count)
        }
        ChecksumType::Composite | ChecksumType::FullObject => value,
    }
}

fn algorithm(name: &str) -> Result<ChecksumAlgorithm, Failure> {
    ChecksumAlgorithm::parse(name).map_err(|error| {
        RequestError::InvalidRequest(match error {
            ChecksumError::Unsupported(known) => {
                format!("The checksum algorithm {known} is not supported by this server.")
            }
            ChecksumError::Unknown => "Checksum algorithm provided is unsupported. Please try \
                                       again with any of the valid types: [CRC32, CRC32C, \
                                       CRC64NVME, SHA1, SHA256]"
                .to_owned(),
        })
        .into()
    })
}

fn multiple() -> Failure {
    let message =
        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.";
    RequestError::InvalidRequest(message.to_owned()).into()
}

fn invalid_value(header: &str) -> Failure {
    RequestError::InvalidRequest(format!("Value for {header} header is invalid.")).into()
}
