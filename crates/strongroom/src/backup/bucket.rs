//! A place that is a bucket, of AWS's S3 or of any other: SigV4, TLS and HTTP/1.1.
//!
//! Bodies are sent and read in pieces that fit into memory, each with its SHA-256 in the signature;
//! what is longer than one piece goes up as a multipart upload, which becomes visible as a whole.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use parking_lot::Mutex;
use strongroom_backup::{Place, PlaceError};
use strongroom_ports::Clock as _;

use crate::adapters::SystemClock;
use crate::cli::backup::PlaceArgs;
use crate::commands::read_endpoint;
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::seals::key_service::SYSTEM_CERTIFICATES;
use crate::seals::signed_post::{Credentials, Endpoint, Exchange, S3Request, signed_for_s3};
use crate::unseal::Environment;

/// One piece of a body.
const PIECE_LEN_BYTES: u64 = 16 << 20;
/// S3 takes no more parts of one upload.
const PARTS_MAX: u64 = 10_000;
/// Pauses before the second and third try of a request that got no answer.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(3)];

/// A bucket, and how it is reached.
pub(super) struct Bucket {
    endpoint: Endpoint,
    name: String,
    prefix: String,
    region: String,
    credentials: Credentials,
    clock: SystemClock,
    exchange: Mutex<Exchange>,
}

struct Reply {
    status: u16,
    body: Vec<u8>,
    etag: Option<String>,
}

impl Bucket {
    /// A bucket as flags and environment say.
    ///
    /// # Errors
    ///
    /// [`Exit::Usage`] for an endpoint that cannot be used, or that is `own`; [`Exit::Environment`]
    /// without credentials.
    pub(super) fn new(
        bucket: &str,
        prefix: &str,
        args: &PlaceArgs,
        own: Option<&Settings>,
        environment: Environment<'_>,
    ) -> Result<Self, Failure> {
        let region = args
            .region
            .clone()
            .or_else(|| environment("AWS_REGION"))
            .or_else(|| environment("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| "us-east-1".to_owned());
        let url = args
            .endpoint_url
            .clone()
            .or_else(|| environment("AWS_ENDPOINT_URL_S3"))
            .or_else(|| environment("AWS_ENDPOINT_URL"))
            .unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let usage = |what: String| {
            Failure::new(
                Exit::Usage,
                what,
                "name the service with --endpoint-url, as in https://s3.example.org",
            )
        };
        let endpoint = Endpoint::of_service(&url).map_err(usage)?;
        if let Some(own) = own {
            refuse_itself(own, &endpoint, &url)?;
        }
        let credentials = Credentials::find(None, environment).map_err(|_| {
            Failure::new(
                Exit::Environment,
                "there are no credentials for the bucket",
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
            )
        })?;
        let certificates = ["AWS_CA_BUNDLE", "SSL_CERT_FILE"]
            .into_iter()
            .find_map(|name| environment(name).map(PathBuf::from));
        let system = || {
            let mut found = SYSTEM_CERTIFICATES.map(PathBuf::from).into_iter();
            found.find(|path| path.is_file())
        };
        let exchange = Exchange::new(certificates.or_else(system))
            .map_err(|error| Failure::new(Exit::Environment, error, "raise the process limits"))?;
        Ok(Self {
            endpoint,
            name: bucket.to_owned(),
            prefix: if prefix.is_empty() {
                String::new()
            } else {
                format!("{prefix}/")
            },
            region,
            credentials,
            clock: SystemClock::new(),
            exchange: Mutex::new(exchange),
        })
    }

    fn object(&self, name: &str) -> String {
        format!("/{}/{}{name}", self.name, self.prefix)
    }

    /// One request, tried again while there is no answer or none of sense.
    fn send(&self, request: &S3Request) -> Result<Reply, PlaceError> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let signed = signed_for_s3(
                &self.endpoint,
                &self.region,
                request,
                &self.credentials,
                self.clock.now(),
            );
            let why = match self.exchange.lock().send(&self.endpoint, signed) {
                Ok((status, headers, body)) if status < 500 && status != 429 => {
                    let etag = headers.get(http::header::ETAG);
                    return Ok(Reply {
                        status,
                        body,
                        etag: etag.and_then(|etag| Some(etag.to_str().ok()?.to_owned())),
                    });
                }
                Ok((status, _, body)) => said(status, &body),
                Err(error) => error,
            };
            match pauses.next() {
                Some(pause) => thread::sleep(pause),
                None => return Err(self.failed(&request.path, why)),
            }
        }
    }

    /// A request whose answer must be a success.
    fn succeed(&self, request: &S3Request) -> Result<Reply, PlaceError> {
        let reply = self.send(request)?;
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        Err(self.failed(&request.path, said(reply.status, &reply.body)))
    }

    fn failed(&self, path: &str, why: String) -> PlaceError {
        PlaceError::Failed(format!("{}{path}", self.endpoint.url), why)
    }

    fn put_parts(
        &self,
        name: &str,
        len_bytes: u64,
        source: &mut dyn Read,
    ) -> Result<(), PlaceError> {
        let path = self.object(name);
        let request = S3Request::new(Method::POST, path.clone()).query("uploads", "");
        let begun = self.succeed(&request)?;
        let text = String::from_utf8_lossy(&begun.body).into_owned();
        let upload = element(&text, "UploadId").map(str::to_owned);
        let upload = upload.ok_or_else(|| self.failed(&path, "no upload id".to_owned()))?;
        let put = self.put_all_parts(&path, &upload, name, len_bytes, source);
        if put.is_err() {
            // If this fails too, the bucket keeps parts that nobody needs.
            let request = S3Request::new(Method::DELETE, path).query("uploadId", &upload);
            drop(self.send(&request));
        }
        put
    }

    fn put_all_parts(
        &self,
        path: &str,
        upload: &str,
        name: &str,
        len_bytes: u64,
        source: &mut dyn Read,
    ) -> Result<(), PlaceError> {
        let piece = PIECE_LEN_BYTES.max(len_bytes.div_ceil(PARTS_MAX));
        let mut parts = String::new();
        let mut left = len_bytes;
        let mut number = 1_u32;
        while left > 0 {
            let len = left.min(piece);
            let body = read_piece(name, source, len)?;
            let request = S3Request::new(Method::PUT, path.to_owned())
                .query("partNumber", &number.to_string())
                .query("uploadId", upload)
                .body(body);
            let etag = self.succeed(&request)?.etag;
            let etag = etag.ok_or_else(|| self.failed(path, "no ETag of a part".to_owned()))?;
            // Writing to a string cannot fail.
            let _ = write!(
                parts,
                "<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>",
                etag.replace('"', "&quot;")
            );
            left -= len;
            number += 1;
        }
        let list = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let request = S3Request::new(Method::POST, path.to_owned())
            .query("uploadId", upload)
            .body(list.into_bytes().into());
        let reply = self.succeed(&request)?;
        let text = String::from_utf8_lossy(&reply.body);
        // A 200 may hold an error.
        if text.contains("<Error>") {
            return Err(self.failed(path, said(reply.status, &reply.body)));
        }
        Ok(())
    }
}

impl Place for Bucket {
    fn describe(&self) -> String {
        format!(
            "s3://{}/{} at {}",
            self.name, self.prefix, self.endpoint.url
        )
    }

    fn list(&self, prefix: &str) -> Result<BTreeMap<String, u64>, PlaceError> {
        let mut found = BTreeMap::new();
        let mut token: Option<String> = None;
        let below = format!("{}{prefix}", self.prefix);
        loop {
            let mut request = S3Request::new(Method::GET, format!("/{}", self.name))
                .query("list-type", "2")
                .query("prefix", &below);
            if let Some(token) = &token {
                request = request.query("continuation-token", token);
            }
            let reply = self.succeed(&request)?;
            let text = String::from_utf8_lossy(&reply.body);
            for entry in text.split("<Contents>").skip(1) {
                let key = element(entry, "Key").and_then(|key| key.strip_prefix(&self.prefix));
                let len = element(entry, "Size").and_then(|len| len.parse().ok());
                if let (Some(key), Some(len)) = (key, len) {
                    found.insert(key.to_owned(), len);
                }
            }
            token = element(&text, "NextContinuationToken").map(unescaped);
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    fn read(
        &self,
        name: &str,
        offset: u64,
        len_bytes: u64,
        each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), PlaceError> {
        let end = offset.saturating_add(len_bytes);
        let mut at = offset;
        while at < end {
            let to = end.min(at.saturating_add(PIECE_LEN_BYTES));
            let request = S3Request::new(Method::GET, self.object(name))
                .range(format!("bytes={at}-{}", to.saturating_sub(1)));
            let reply = self.send(&request)?;
            match reply.status {
                200 | 206 => {}
                404 => return Err(PlaceError::Missing(name.to_owned())),
                416 => return Err(PlaceError::Short(name.to_owned())),
                status => return Err(self.failed(name, said(status, &reply.body))),
            }
            if u64::try_from(reply.body.len()) != Ok(to - at) {
                return Err(PlaceError::Short(name.to_owned()));
            }
            each(&reply.body).map_err(PlaceError::Taker)?;
            at = to;
        }
        Ok(())
    }

    fn write(&self, name: &str, len_bytes: u64, source: &mut dyn Read) -> Result<(), PlaceError> {
        if len_bytes > PIECE_LEN_BYTES {
            return self.put_parts(name, len_bytes, source);
        }
        let body = read_piece(name, source, len_bytes)?;
        let request = S3Request::new(Method::PUT, self.object(name)).body(body);
        self.succeed(&request).map(|_| ())
    }

    /// What was answered is durable.
    fn sync(&self) -> Result<(), PlaceError> {
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), PlaceError> {
        let request = S3Request::new(Method::DELETE, self.object(name));
        match self.send(&request)? {
            Reply { status: 404, .. } => Ok(()),
            Reply { status, .. } if (200..300).contains(&status) => Ok(()),
            Reply { status, body, .. } => Err(self.failed(name, said(status, &body))),
        }
    }
}

/// A server cannot keep its own backup: it would be lost with it.
fn refuse_itself(own: &Settings, endpoint: &Endpoint, url: &str) -> Result<(), Failure> {
    let (http, https) = read_endpoint(&own.data.endpoint());
    let own: Vec<_> = [http, https]
        .into_iter()
        .flatten()
        .filter_map(|text| text.parse().ok())
        .collect();
    let found = endpoint.addresses().unwrap_or_default();
    if found.iter().any(|address| own.contains(address)) {
        return Err(Failure::new(
            Exit::Usage,
            format!("{url} is the very server that is to be backed up"),
            "name another service with --endpoint-url; the environment may still have this one's from strongroom env",
        ));
    }
    Ok(())
}

fn read_piece(name: &str, source: &mut dyn Read, len: u64) -> Result<Bytes, PlaceError> {
    let mut piece = vec![0; usize::try_from(len).unwrap_or_default()];
    let read = source.read_exact(&mut piece);
    read.map_err(|error| PlaceError::Source(name.to_owned(), error))?;
    Ok(piece.into())
}

/// The text of the first element of that name. Of names and numbers of our own making; others are
/// compared with those, so what is odd is not found.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content)
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&#43;", "+")
        .replace("&amp;", "&")
}

/// What a service said, for people.
fn said(status: u16, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let code = element(&text, "Code").unwrap_or_default();
    let message = element(&text, "Message").unwrap_or_default();
    let shown: String = message
        .chars()
        .filter(|it| !it.is_control())
        .take(200)
        .collect();
    format!("the service answers {status} {code} {shown}")
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_and_their_text_is_given_back() {
        let text = "<A><Key>x/y</Key><Size>12</Size></A><NextContinuationToken>a&amp;b=</NextContinuationToken>";
        assert_eq!(element(text, "Key"), Some("x/y"));
        assert_eq!(element(text, "Size"), Some("12"));
        assert_eq!(element(text, "Missing"), None);
        assert_eq!(
            unescaped(element(text, "NextContinuationToken").unwrap()),
            "a&b="
        );
    }

    #[test]
    fn refusals_say_what_the_service_said() {
        let body = b"<Error><Code>AccessDenied</Code><Message>no\x07</Message></Error>";
        assert_eq!(said(403, body), "the service answers 403 AccessDenied no");
        assert_eq!(said(503, b""), "the service answers 503");
    }
}
