//! Query parameters, as the operations' inputs need them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use strongroom_s3::{ListUploadsInput, ListVersionsInput, S3Error};
use strongroom_types::limits::LIST_PAGE_MAX;
use strongroom_types::{PartNumber, UploadId, VersionId};

use super::parse_headers::{argument, version_id};
use crate::error::{Failure, RequestError};
use crate::sigv4::uri::Query;

/// A parameter's text, where it is there and not empty.
pub(crate) fn filled<'a>(query: &'a Query, name: &'static str) -> Result<Option<&'a str>, Failure> {
    Ok(sent(query, name)?.filter(|value| !value.is_empty()))
}

/// A parameter's text, where it is there.
pub(crate) fn sent<'a>(query: &'a Query, name: &'static str) -> Result<Option<&'a str>, Failure> {
    match query.get(name) {
        None => Ok(None),
        Some(value) => match std::str::from_utf8(value) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(RequestError::InvalidUri.into()),
        },
    }
}

/// `versionId`.
pub(crate) fn version(query: &Query) -> Result<Option<VersionId>, Failure> {
    sent(query, "versionId")?.map(version_id).transpose()
}

/// `partNumber` of an upload or of a read.
pub(crate) fn part_number(query: &Query) -> Result<Option<PartNumber>, Failure> {
    let Some(value) = sent(query, "partNumber")? else {
        return Ok(None);
    };
    let parsed = digits(value).and_then(PartNumber::new);
    parsed.map(Some).ok_or_else(|| {
        let message = "Part number must be an integer between 1 and 10000, inclusive";
        argument(message, "partNumber", Some(value))
    })
}

/// `uploadId`. One that is not of our form names no upload.
pub(crate) fn upload_id(query: &Query) -> Result<UploadId, Failure> {
    let value = sent(query, "uploadId")?.unwrap_or_default();
    UploadId::parse(value).ok_or_else(|| S3Error::NoSuchUpload.into())
}

/// A number of entries wanted: at most 1,000 are given, whatever is asked for.
pub(crate) fn page_size(query: &Query, name: &'static str) -> Result<u32, Failure> {
    let Some(value) = filled(query, name)? else {
        return Ok(LIST_PAGE_MAX);
    };
    let (range, shown, form) = match name {
        // S3 calls this one by two names.
        "max-keys" => (
            "Argument maxKeys must be an integer between 0 and 2147483647",
            "maxKeys",
            "Provided max-keys not an integer or within integer range",
        ),
        "max-parts" => (
            "Argument max-parts must be an integer between 0 and 2147483647",
            name,
            "Provided max-parts not an integer or within integer range",
        ),
        "max-uploads" => (
            "Argument max-uploads must be an integer between 0 and 2147483647",
            name,
            "Provided max-uploads not an integer or within integer range",
        ),
        _ => (
            "Argument must be an integer between 0 and 2147483647",
            name,
            "Provided value is not an integer or not within integer range",
        ),
    };
    match value.parse::<i32>() {
        Ok(wanted) => match u32::try_from(wanted) {
            Ok(wanted) => Ok(wanted.min(LIST_PAGE_MAX)),
            Err(_) => Err(argument(range, shown, Some(value))),
        },
        Err(_) => Err(argument(form, name, Some(value))),
    }
}

/// `part-number-marker`.
pub(crate) fn part_number_marker(query: &Query) -> Result<u32, Failure> {
    const NAME: &str = "part-number-marker";
    let Some(value) = filled(query, NAME)? else {
        return Ok(0);
    };
    let parsed = value
        .parse::<u32>()
        .ok()
        .filter(|marker| i32::try_from(*marker).is_ok());
    parsed.ok_or_else(|| {
        argument(
            "Argument part-number-marker must be an integer between 0 and 2147483647",
            NAME,
            Some(value),
        )
    })
}

/// Whether keys are to be URL-encoded in the answer.
pub(crate) fn url_encoding(query: &Query) -> Result<bool, Failure> {
    match filled(query, "encoding-type")? {
        None => Ok(false),
        Some("url") => Ok(true),
        Some(other) => Err(argument(
            "Invalid Encoding Method specified in Request",
            "encoding-type",
            Some(other),
        )),
    }
}

/// What all listings of keys share.
pub(crate) struct Listing {
    /// `prefix`.
    pub(crate) prefix: String,
    /// `delimiter`.
    pub(crate) delimiter: Option<String>,
    /// Whether keys are URL-encoded in the answer.
    pub(crate) is_url_encoded: bool,
}

/// Prefix, delimiter and encoding.
pub(crate) fn listing(query: &Query) -> Result<Listing, Failure> {
    Ok(Listing {
        prefix: sent(query, "prefix")?.unwrap_or_default().to_owned(),
        delimiter: filled(query, "delimiter")?.map(str::to_owned),
        is_url_encoded: url_encoding(query)?,
    })
}

/// The parameters of ListObjectVersions.
pub(crate) fn versions(query: &Query, listing: &Listing) -> Result<ListVersionsInput, Failure> {
    const NAME: &str = "version-id-marker";
    let key_marker = filled(query, "key-marker")?.map(str::to_owned);
    let version_marker = match sent(query, NAME)? {
        None => None,
        Some("") if key_marker.is_none() => None,
        Some("") => {
            return Err(argument(
                "A version-id marker cannot be empty.",
                NAME,
                Some(""),
            ));
        }
        Some(value) if key_marker.is_none() => {
            let message = "A version-id marker cannot be specified without a key marker.";
            return Err(argument(message, NAME, Some(value)));
        }
        Some(value) => Some(
            VersionId::parse(value)
                .map_err(|_| argument("Invalid version id specified", NAME, Some(value)))?,
        ),
    };
    Ok(ListVersionsInput {
        prefix: listing.prefix.clone(),
        delimiter: listing.delimiter.clone(),
        key_marker,
        version_marker,
        max_keys: page_size(query, "max-keys")?,
    })
}

/// The parameters of ListMultipartUploads.
pub(crate) fn uploads(query: &Query, listing: &Listing) -> Result<ListUploadsInput, Failure> {
    const NAME: &str = "upload-id-marker";
    let key_marker = filled(query, "key-marker")?.map(str::to_owned);
    // Without a key marker the upload marker is ignored (API reference, ListMultipartUploads).
    let upload_marker = match filled(query, NAME)? {
        Some(value) if key_marker.is_some() => Some(
            UploadId::parse(value)
                .ok_or_else(|| argument("Invalid uploadId marker", NAME, Some(value)))?,
        ),
        _ => None,
    };
    Ok(ListUploadsInput {
        prefix: listing.prefix.clone(),
        delimiter: listing.delimiter.clone(),
        key_marker,
        upload_marker,
        max_uploads: page_size(query, "max-uploads")?,
    })
}

/// The token behind which a listing goes on. Opaque to clients: the form may change.
pub(crate) fn continuation_token(after: &str) -> String {
    BASE64.encode([TOKEN_VERSION, after.as_bytes()].concat())
}

/// The position in a token.
pub(crate) fn parse_continuation_token(token: &str) -> Result<String, Failure> {
    let bytes = BASE64.decode(token).unwrap_or_default();
    let after = bytes
        .strip_prefix(TOKEN_VERSION)
        .and_then(|key| std::str::from_utf8(key).ok());
    after.map(str::to_owned).ok_or_else(|| {
        argument(
            "The continuation token provided is incorrect",
            "continuation-token",
            Some(token),
        )
    })
}

const TOKEN_VERSION: &[u8] = b"\x01";

fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_parse_back_and_foreign_ones_are_refused() {
        assert_eq!(
            parse_continuation_token(&continuation_token("a/b \u{e9}")).unwrap(),
            "a/b \u{e9}"
        );
        for bad in ["", "a", "%%", "Zm9v"] {
            assert!(parse_continuation_token(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn page_sizes_are_bounded() {
        let of = |query: &str| page_size(&Query::parse(query).unwrap(), "max-keys");
        assert_eq!(of("").unwrap(), 1000);
        assert_eq!(of("max-keys=").unwrap(), 1000);
        assert_eq!(of("max-keys=0").unwrap(), 0);
        assert_eq!(of("max-keys=5000").unwrap(), 1000);
        assert!(of("max-keys=-1").is_err() && of("max-keys=a").is_err());
        assert!(of("max-keys=99999999999").is_err());
    }
}
