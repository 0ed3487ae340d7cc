//! The S3 protocol in front of the service, on stores in memory and without a socket.

mod buckets;
mod encryption;
mod objects;
mod refusals;
mod signed;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use md5::{Digest as _, Md5};
use strongroom_api::s3::{ResponseBody, S3Api, S3ApiOptions};
use strongroom_api::server::ConnectionInfo;
use strongroom_policy::{NoPrincipals, RootOnly};
use strongroom_ports::Entropy;
use strongroom_s3::{S3, S3Ports};
use strongroom_store::{MemoryBlobs, MemoryMeta};
use strongroom_types::{Region, Transport};

use crate::fixture::{
    Counting, Fixed, KEY_ID, NOW, SECRET, edge_ports, hex_sha256, log_in, rows_of, s3_options,
    signature_of,
};
use crate::keys::TestKeys;

struct Server(S3Api);

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The content of the first element of that name.
    fn element(&self, name: &str) -> &str {
        let (_, rest) = self
            .body
            .split_once(&format!("<{name}>"))
            .unwrap_or(("", ""));
        rest.split_once(&format!("</{name}>"))
            .map_or("", |(text, _)| text)
    }
}

fn server() -> Server {
    server_in("us-east-1")
}

fn server_in(region: &str) -> Server {
    let region = Region::parse(region).unwrap();
    let entropy: Arc<dyn Entropy> = Arc::new(Counting::default());
    let rows = rows_of(Arc::new(MemoryMeta::new()), &entropy);
    let log = log_in(&rows, Arc::new(Fixed), &region);
    let ports = S3Ports {
        meta: rows.meta,
        blobs: Arc::new(MemoryBlobs::new()),
        custody: rows.custody,
        keys: Arc::new(TestKeys::new()),
        authorizer: Arc::new(RootOnly::default()),
        principals: Arc::new(NoPrincipals::default()),
        audit: Arc::new(log.clone()),
        clock: Arc::new(Fixed),
        entropy: entropy.clone(),
    };
    let options = s3_options(&region);
    let s3 = Arc::new(S3::new(ports, options));
    let ports = edge_ports(&region, entropy, log);
    Server(S3Api::new(s3, ports, S3ApiOptions::new(region)))
}

fn content_md5(body: &[u8]) -> String {
    STANDARD.encode(Md5::digest(body))
}

/// Documents come with a digest, as every SDK sends it.
fn with_digest<'a>(
    target: &str,
    headers: &[(&'a str, &'a str)],
    body: &[u8],
    md5: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let mut headers = headers.to_vec();
    let has_one = headers
        .iter()
        .any(|(name, _)| *name == "content-md5" || name.starts_with("x-amz-checksum-"));
    if target.contains('?') && !body.is_empty() && !has_one {
        headers.push(("content-md5", md5));
    }
    headers
}

/// The `Authorization` header and the signature in it. `target` is path and query, encoded;
/// parameters sorted.
fn sign(
    region: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    hash: &str,
) -> (String, String) {
    let date = NOW.to_amz_date();
    let mut signed = vec![
        ("host", "127.0.0.1:9000"),
        ("x-amz-content-sha256", hash),
        ("x-amz-date", &date),
    ];
    let of_amazon = headers
        .iter()
        .filter(|(name, _)| name.starts_with("x-amz-"));
    signed.extend(of_amazon);
    signed.sort_unstable();
    let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let signature = signature(region, method, target, &signed, hash);
    let scope = format!("20130524/{region}/s3/aws4_request");
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={KEY_ID}/{scope}, SignedHeaders={names}, Signature={signature}"
    );
    (authorization, signature)
}

fn signature(
    region: &str,
    method: &str,
    target: &str,
    signed: &[(&str, &str)],
    hash: &str,
) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let canonical_query: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            if pair.contains('=') {
                pair.to_owned()
            } else {
                format!("{pair}=")
            }
        })
        .collect();
    let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
    let lines: String = signed
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let canonical = format!(
        "{method}\n{path}\n{}\n{lines}\n{}\n{hash}",
        canonical_query.join("&"),
        names.join(";")
    );
    let scope = format!("20130524/{region}/s3/aws4_request");
    let text = format!(
        "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
        NOW.to_amz_date(),
        hex_sha256(canonical.as_bytes())
    );
    signature_of(SECRET, &scope, &text)
}

impl Server {
    /// A signed request. `target` is path and query, encoded; parameters sorted.
    async fn call(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.call_in("us-east-1", method, target, headers, body)
            .await
    }

    async fn call_in(
        &self,
        region: &str,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let hash = hex_sha256(body);
        let (authorization, _) = sign(region, method, target, headers, &hash);
        self.send_signed(method, target, headers, (&hash, &authorization), body)
            .await
    }

    /// A request with its signature, and a body that need not be the one that was signed.
    async fn send_signed(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        (hash, authorization): (&str, &str),
        body: &[u8],
    ) -> Answer {
        let date = NOW.to_amz_date();
        let mut all = vec![
            ("host", "127.0.0.1:9000"),
            ("x-amz-content-sha256", hash),
            ("x-amz-date", &date),
            ("authorization", authorization),
        ];
        all.extend_from_slice(headers);
        self.send(method, target, &all, body).await
    }

    /// A request as it is.
    async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        if matches!(method, "PUT" | "POST") {
            request = request.header("content-length", body.len());
        }
        let body = Full::new(Bytes::copy_from_slice(body));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9000));
        let connection = ConnectionInfo {
            peer: address,
            local: address,
            transport: Transport::Plain,
            cipher_suite: None,
        };
        let response: Response<ResponseBody> =
            self.0.handle(request.body(body).unwrap(), connection).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    async fn ok(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let md5 = content_md5(body);
        let headers = with_digest(target, headers, body, &md5);
        let answer = self.call(method, target, &headers, body).await;
        assert!(
            answer.status.is_success(),
            "{method} {target}: {} {}",
            answer.status,
            answer.body
        );
        answer
    }

    async fn refused(
        &self,
        (method, target): (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
        (status, code, message): (u16, &str, &str),
    ) -> Answer {
        let md5 = content_md5(body);
        let headers = with_digest(target, headers, body, &md5);
        let answer = self.call(method, target, &headers, body).await;
        let got = (
            answer.status.as_u16(),
            answer.element("Code"),
            answer.element("Message"),
        );
        assert_eq!(
            got,
            (status, code, message),
            "{method} {target} {headers:?}"
        );
        assert_eq!(
            answer.element("RequestId"),
            answer.header("x-amz-request-id")
        );
        assert_eq!(answer.element("HostId"), answer.header("x-amz-id-2"));
        answer
    }
}
