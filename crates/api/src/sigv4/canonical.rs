//! The canonical request: what the signature covers, written the way both sides write it.

use http::request::Parts;
use http::{HeaderMap, header};

use super::uri::{decode_component, encode_into, recode_path_into};
use super::{AuthError, Service};
use crate::limits::QUERY_PARAMETERS_MAX;

/// How the path enters the canonical request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PathForm {
    /// The bytes of the request line. What S3 clients sign, since they encode once.
    AsSent,
    /// Decoded and encoded again. For clients that sign `%21` and send `!`.
    Recoded,
    /// Dot segments and empty segments removed, then encoded a second time: all but S3.
    Normalized,
}

/// Whether values that others should not see are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Disclosure {
    /// Everything: the form that is hashed.
    Full,
    /// Customer keys and session tokens masked: the form that is shown.
    Masked,
}

/// The host that the client addressed: `Host`, or `:authority` of HTTP/2.
///
/// # Errors
///
/// [`AuthError::AmbiguousMechanism`] when there are two that differ: one would be signed, the
/// other could choose the bucket.
pub fn host(parts: &Parts) -> Result<Option<&str>, AuthError> {
    let sent = super::authorization::single(&parts.headers, header::HOST.as_str())?;
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    match (sent, authority) {
        (Some(sent), Some(authority)) if sent != authority => Err(AuthError::AmbiguousMechanism),
        (Some(host), _) | (None, Some(host)) => Ok(Some(host)),
        (None, None) => Ok(None),
    }
}

/// Writes the canonical request:
/// `method LF path LF query LF (name:value LF)* LF signed-headers LF payload-hash`.
///
/// A header that is signed but absent gets no line, so that the signature cannot match.
pub(super) fn write_request(
    out: &mut Vec<u8>,
    parts: &Parts,
    signed_headers: &str,
    payload_hash: &str,
    form: PathForm,
    disclosure: Disclosure,
) -> Result<(), AuthError> {
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b'\n');
    write_path(out, parts.uri.path(), form);
    out.push(b'\n');
    write_query(out, parts.uri.query().unwrap_or_default(), disclosure)?;
    out.push(b'\n');
    for name in signed_headers.split(';') {
        write_header(out, parts, name, disclosure)?;
    }
    out.push(b'\n');
    out.extend_from_slice(signed_headers.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload_hash.as_bytes());
    Ok(())
}

/// Which form a service's clients sign.
pub(super) const fn path_form(service: Service) -> PathForm {
    match service {
        Service::S3 => PathForm::AsSent,
        Service::Kms
        | Service::Iam
        | Service::Sts
        | Service::SecretsManager
        | Service::CloudTrail
        | Service::CloudFormation => PathForm::Normalized,
    }
}

/// The `x-amz-*` headers that are present and not signed, as AWS lists them.
pub(super) fn unsigned_amz_headers(headers: &HeaderMap, signed_headers: &str) -> Option<String> {
    let mut missing: Vec<&str> = headers
        .keys()
        .map(header::HeaderName::as_str)
        .filter(|name| name.starts_with("x-amz-"))
        .filter(|name| !signed_headers.split(';').any(|signed| signed == *name))
        .collect();
    if missing.is_empty() {
        return None;
    }
    missing.sort_unstable();
    Some(missing.join(", "))
}

fn write_path(out: &mut Vec<u8>, path: &str, form: PathForm) {
    match form {
        PathForm::AsSent if path.is_empty() => out.push(b'/'),
        PathForm::AsSent => out.extend_from_slice(path.as_bytes()),
        PathForm::Recoded => recode_path_into(out, path),
        PathForm::Normalized => {
            let mut segments: Vec<&str> = Vec::new();
            for segment in path.split('/') {
                match segment {
                    "" | "." => {}
                    ".." => drop(segments.pop()),
                    segment => segments.push(segment),
                }
            }
            for segment in &segments {
                out.push(b'/');
                encode_into(out, segment.as_bytes());
            }
            if segments.is_empty() || path.ends_with('/') {
                out.push(b'/');
            }
        }
    }
}

/// Sorted by encoded name, then by encoded value; `X-Amz-Signature` left out.
fn write_query(out: &mut Vec<u8>, query: &str, disclosure: Disclosure) -> Result<(), AuthError> {
    if query.is_empty() {
        return Ok(());
    }
    // All pairs are encoded into one buffer; what is sorted are their places in it.
    let mut encoded = Vec::with_capacity(query.len().saturating_mul(2));
    let mut places = Vec::with_capacity(16);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name == "X-Amz-Signature" {
            continue;
        }
        if places.len() >= QUERY_PARAMETERS_MAX {
            return Err(AuthError::InvalidUri);
        }
        let start = encoded.len();
        recode_component(&mut encoded, name)?;
        let middle = encoded.len();
        if disclosure == Disclosure::Masked && name == "X-Amz-Security-Token" {
            encoded.extend_from_slice(MASK);
        } else {
            recode_component(&mut encoded, value)?;
        }
        places.push((start..middle, middle..encoded.len()));
    }
    let bytes = |range: &std::ops::Range<usize>| encoded.get(range.clone()).unwrap_or_default();
    places.sort_unstable_by(|(a, x), (b, y)| (bytes(a), bytes(x)).cmp(&(bytes(b), bytes(y))));
    for (index, (name, value)) in places.iter().enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(bytes(name));
        out.push(b'=');
        out.extend_from_slice(bytes(value));
    }
    Ok(())
}

fn recode_component(out: &mut Vec<u8>, text: &str) -> Result<(), AuthError> {
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~');
    if text.bytes().all(is_plain) {
        out.extend_from_slice(text.as_bytes());
    } else {
        encode_into(out, &decode_component(text)?);
    }
    Ok(())
}

fn write_header(
    out: &mut Vec<u8>,
    parts: &Parts,
    name: &str,
    disclosure: Disclosure,
) -> Result<(), AuthError> {
    if name == "host" {
        if let Some(host) = host(parts)? {
            out.extend_from_slice(b"host:");
            out.extend_from_slice(host.as_bytes());
            out.push(b'\n');
        }
        return Ok(());
    }
    let mut values = parts.headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    if disclosure == Disclosure::Masked && is_masked(name) {
        out.extend_from_slice(MASK);
    } else {
        for (index, value) in values.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_value(out, value.as_bytes());
        }
    }
    out.push(b'\n');
    Ok(())
}

/// Trimmed, with runs of spaces folded into one.
fn write_value(out: &mut Vec<u8>, value: &[u8]) {
    let value = value.trim_ascii();
    if memchr::memmem::find(value, b"  ").is_none() {
        out.extend_from_slice(value);
        return;
    }
    let mut after_space = false;
    for &byte in value {
        if byte != b' ' || !after_space {
            out.push(byte);
        }
        after_space = byte == b' ';
    }
}

fn is_masked(name: &str) -> bool {
    name.ends_with("-customer-key") || name == "x-amz-security-token"
}

const MASK: &[u8] = b"MASKED";

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str, form: PathForm) -> String {
        let mut out = Vec::new();
        write_path(&mut out, text, form);
        String::from_utf8(out).unwrap()
    }

    fn query(text: &str) -> String {
        let mut out = Vec::new();
        write_query(&mut out, text, Disclosure::Full).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_s3_keeps_the_path() {
        assert_eq!(path("/a/../b//c%20d/", PathForm::AsSent), "/a/../b//c%20d/");
        assert_eq!(path("/a/../b//c%20d/", PathForm::Normalized), "/b/c%2520d/");
        assert_eq!(path("/", PathForm::Normalized), "/");
        assert_eq!(path("/..", PathForm::Normalized), "/");
    }

    #[test]
    fn queries_are_sorted_after_encoding() {
        assert_eq!(query("b=2&a=1&acl"), "a=1&acl=&b=2");
        assert_eq!(query("a=2&a=1&a=&A=3"), "A=3&a=&a=1&a=2");
        assert_eq!(query("a-b=1&a=1&a.b=1"), "a=1&a-b=1&a.b=1");
        assert_eq!(
            query("k=a+b&k=a%2Bb&p=%7e%2F/"),
            "k=a%20b&k=a%2Bb&p=~%2F%2F"
        );
        assert_eq!(query("X-Amz-Signature=1&x=2"), "x=2");
    }

    #[test]
    fn values_are_trimmed_and_folded() {
        let mut out = Vec::new();
        write_value(&mut out, b"  a   b  c ");
        assert_eq!(out, b"a b c");
    }
}
