//! Requests with AWS Signature Version 4.

use std::collections::BTreeMap;

use aws_lc_rs::{digest, hmac};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use strongroom_ports::Clock;
use strongroom_types::Timestamp;
use zeroize::Zeroizing;

use super::credentials::Credentials;
use super::endpoint::Endpoint;

/// SigV4 over one small request, whose body is in memory.
pub(crate) fn signed(
    endpoint: &Endpoint,
    region: &str,
    operation: &str,
    body: &str,
    credentials: &Credentials,
    clock: &dyn Clock,
) -> Request<Full<Bytes>> {
    let (date, day) = date_of(clock.now());
    let scope = format!("{day}/{region}/kms/aws4_request");
    let mut headers = vec![
        ("content-type", "application/x-amz-json-1.1".to_owned()),
        ("host", endpoint.authority.clone()),
        ("x-amz-date", date.clone()),
    ];
    if let Some(token) = &credentials.token {
        headers.push(("x-amz-security-token", token.to_string()));
    }
    headers.push(("x-amz-target", format!("TrentService.{operation}")));
    let claim = claim(
        "POST\n/\n",
        &headers,
        &sha256(body),
        (&date, &scope),
        credentials,
    );
    // It may hold a slot key.
    let body = Bytes::from_owner(Zeroizing::new(body.as_bytes().to_vec()));
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = http::Method::POST;
    put_headers(
        &mut request,
        headers.into_iter().chain([("authorization", claim)]),
    );
    request
}

/// A request to S3.
pub(crate) struct S3Request {
    method: http::Method,
    /// From the root, of letters that need no escape.
    pub(crate) path: String,
    query: BTreeMap<String, String>,
    range: Option<String>,
    body: Bytes,
}

impl S3Request {
    /// Without a body.
    pub(crate) fn new(method: http::Method, path: String) -> Self {
        Self {
            method,
            path,
            query: BTreeMap::new(),
            range: None,
            body: Bytes::new(),
        }
    }

    /// With a parameter.
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.insert(escaped(name), escaped(value));
        self
    }

    /// For a range of the object.
    pub(crate) fn range(mut self, range: String) -> Self {
        self.range = Some(range);
        self
    }

    /// With a body.
    pub(crate) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }
}

/// SigV4 over one request to S3, with the hash of its body.
pub(crate) fn signed_for_s3(
    endpoint: &Endpoint,
    region: &str,
    request: &S3Request,
    credentials: &Credentials,
    now: Timestamp,
) -> Request<Full<Bytes>> {
    let hash = hex::encode(digest::digest(&digest::SHA256, &request.body));
    let (date, day) = date_of(now);
    let mut headers = vec![
        ("host", endpoint.authority.clone()),
        ("x-amz-content-sha256", hash.clone()),
        ("x-amz-date", date.clone()),
    ];
    if let Some(token) = &credentials.token {
        headers.push(("x-amz-security-token", token.to_string()));
    }
    let query: Vec<String> = request
        .query
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let query = query.join("&");
    let start = format!("{}\n{}\n{query}", request.method, request.path);
    let scope = format!("{day}/{region}/s3/aws4_request");
    let claim = claim(&start, &headers, &hash, (&date, &scope), credentials);
    let mut signed = Request::new(Full::new(request.body.clone()));
    *signed.method_mut() = request.method.clone();
    let target = if query.is_empty() {
        request.path.clone()
    } else {
        format!("{}?{query}", request.path)
    };
    // Paths and queries are of our own letters, or escaped.
    if let Ok(uri) = target.parse() {
        *signed.uri_mut() = uri;
    }
    let range = request.range.clone().map(|range| ("range", range));
    put_headers(
        &mut signed,
        headers
            .into_iter()
            .chain(range)
            .chain([("authorization", claim)]),
    );
    signed
}

/// Percent-encoding as SigV4 wants it.
fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// `20150830T123600Z` and `20150830`.
fn date_of(now: Timestamp) -> (String, String) {
    let now = now.to_iso8601();
    let digits: String = now.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let date = format!("{}Z", digits.split(['.', 'Z']).next().unwrap_or_default());
    let day = date.get(..8).unwrap_or_default().to_owned();
    (date, day)
}

/// The value of `Authorization`. `start` is method, path and query, each on its line.
fn claim(
    start: &str,
    headers: &[(&'static str, String)],
    body_hash: &str,
    (date, scope): (&str, &str),
    credentials: &Credentials,
) -> String {
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut lines = String::new();
    for (name, value) in headers {
        lines.extend([name, ":", value.as_str(), "\n"]);
    }
    let canonical = format!("{start}\n{lines}\n{names}\n{body_hash}");
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(&canonical));
    let start = Zeroizing::new(format!("AWS4{}", *credentials.secret));
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, start.as_bytes());
    for word in scope.split('/') {
        key = hmac::Key::new(
            hmac::HMAC_SHA256,
            hmac::sign(&key, word.as_bytes()).as_ref(),
        );
    }
    let signature = hex::encode(hmac::sign(&key, to_sign.as_bytes()));
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        credentials.id
    )
}

fn put_headers(
    request: &mut Request<Full<Bytes>>,
    headers: impl Iterator<Item = (&'static str, String)>,
) {
    for (name, value) in headers {
        if let Ok(mut value) = http::HeaderValue::try_from(value) {
            value.set_sensitive(true);
            request
                .headers_mut()
                .insert(http::HeaderName::from_static(name), value);
        }
    }
}

fn sha256(text: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(1_440_938_160)
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    /// The signature is botocore's for the same request, second and key.
    #[test]
    fn requests_are_signed_as_aws_signs() {
        let endpoint = Endpoint::parse("https://kms.eu-central-1.amazonaws.com").unwrap();
        let credentials = Credentials {
            id: "AKID".to_owned(),
            secret: Zeroizing::new("secret".to_owned()),
            token: Some(Zeroizing::new("token".to_owned())),
        };
        let request = signed(
            &endpoint,
            "eu-central-1",
            "Decrypt",
            "{}",
            &credentials,
            &Noon,
        );
        let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-amz-date"), "20150830T123600Z");
        assert_eq!(
            header("authorization"),
            "AWS4-HMAC-SHA256 Credential=AKID/20150830/eu-central-1/kms/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, \
             Signature=0a91a4b545e9055ea55d5c6ec95c883b81ef9fb4d2eb53635b69e484564165f7"
        );
    }
}
