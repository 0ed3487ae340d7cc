//! From host and path to bucket and key.

use http::request::Parts;
use strongroom_types::{BucketName, ObjectKey, ObjectKeyError};

use crate::error::RequestError;
use crate::sigv4::uri::decode_path;

/// What a request is addressed to, as far as its address can be read: a broken bucket name is kept
/// as it was sent, since which error it is depends on the operation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Address {
    /// The bucket's name as sent.
    pub(crate) bucket: Option<String>,
    /// The key, decoded.
    pub(crate) key: Option<String>,
}

impl Address {
    /// Reads host and path. `domains` are the names under which buckets are hosts of their own.
    pub(crate) fn parse(
        parts: &Parts,
        host: &str,
        domains: &[String],
    ) -> Result<Self, RequestError> {
        let path = parts.uri.path();
        let path = path.strip_prefix('/').unwrap_or(path);
        if let Some(bucket) = hosted_bucket(host, domains) {
            return Ok(Self {
                bucket: Some(bucket),
                key: decode(path)?,
            });
        }
        // The slash between bucket and key is the first one as sent: `%2F` belongs to a name.
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        Ok(Self {
            bucket: decode(bucket)?,
            key: decode(key)?,
        })
    }

    /// The bucket's name.
    pub(crate) fn bucket_name(&self) -> Result<BucketName, RequestError> {
        let name = self.bucket.as_deref().unwrap_or_default();
        BucketName::parse(name).map_err(|_| RequestError::InvalidBucketName(name.to_owned()))
    }

    /// The object's key.
    pub(crate) fn object_key(&self) -> Result<ObjectKey, RequestError> {
        parse_key(self.key.as_deref().unwrap_or_default())
    }
}

/// A key as an operation needs it.
pub(crate) fn parse_key(key: &str) -> Result<ObjectKey, RequestError> {
    ObjectKey::parse(key).map_err(|error| match error {
        ObjectKeyError::TooLong { got_bytes } => RequestError::KeyTooLong {
            size_bytes: got_bytes,
        },
        ObjectKeyError::Empty => RequestError::InvalidUri,
    })
}

/// The text of an escaped path; `None` for an empty one.
fn decode(text: &str) -> Result<Option<String>, RequestError> {
    if text.is_empty() {
        return Ok(None);
    }
    let bytes = decode_path(text).map_err(|_| RequestError::InvalidUri)?;
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| RequestError::InvalidUri)
}

fn hosted_bucket(host: &str, domains: &[String]) -> Option<String> {
    let name = match host.strip_prefix('[') {
        // An IPv6 address has no subdomains.
        Some(_) => return None,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.to_ascii_lowercase();
    // The longest domain wins: `s3.localhost` is not the bucket `s3` of `localhost`.
    if domains.contains(&name) {
        return None;
    }
    let mut hosted = domains
        .iter()
        .filter_map(|domain| {
            Some((
                domain.len(),
                name.strip_suffix(domain.as_str())?.strip_suffix('.')?,
            ))
        })
        .collect::<Vec<_>>();
    hosted.sort_unstable();
    hosted.pop().map(|(_, bucket)| bucket.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str, host: &str) -> Result<Address, RequestError> {
        let domains =
            ["localhost", "s3.localhost", "s3.eu-central-1.amazonaws.com"].map(str::to_owned);
        let (parts, ()) = http::Request::builder()
            .uri(uri)
            .body(())
            .unwrap()
            .into_parts();
        Address::parse(&parts, host, &domains)
    }

    fn address(bucket: &str, key: &str) -> Address {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Address {
            bucket: some(bucket),
            key: some(key),
        }
    }

    #[test]
    fn both_styles_name_the_same_object() {
        for (uri, host, bucket, key) in [
            ("/", "127.0.0.1:9000", "", ""),
            ("/abc", "127.0.0.1:9000", "abc", ""),
            ("/abc/", "localhost:9000", "abc", ""),
            ("/abc/k", "[::1]:9000", "abc", "k"),
            ("/abc//a/../b//", "s3.localhost", "abc", "/a/../b//"),
            ("/abc/a%2Fb%20c+d", "localhost", "abc", "a/b c+d"),
            ("/", "abc.localhost:9000", "abc", ""),
            ("/k/", "abc.s3.localhost", "abc", "k/"),
            ("//k", "a.b.S3.eu-central-1.amazonaws.com", "a.b", "/k"),
            ("/abc/k", "other.example", "abc", "k"),
        ] {
            assert_eq!(parse(uri, host), Ok(address(bucket, key)), "{host}{uri}");
        }
    }

    #[test]
    fn paths_that_are_not_utf8_are_refused() {
        for uri in ["/abc/%ff", "/abc/%zz", "/abc/%"] {
            assert_eq!(
                parse(uri, "localhost"),
                Err(RequestError::InvalidUri),
                "{uri}"
            );
        }
    }
}
