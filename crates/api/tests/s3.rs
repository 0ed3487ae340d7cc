//! The S3 protocol in front of the service, on stores in memory and without a socket.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::semicolon_if_nothing_returned,
    reason = "what tests share lies outside of the test functions, and reads better short"
)]

#[expect(dead_code, reason = "shared with the tests of the service")]
#[path = "../../s3/tests/service/support/keys.rs"]
mod keys;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use md5::{Digest as _, Md5};
use strongroom_api::s3::{ResponseBody, S3Api, S3ApiOptions};
use strongroom_api::server::ConnectionInfo;
use strongroom_api::sigv4::{Credential, CredentialSource, SigningSecret, Verifier};
use strongroom_api::{EdgePorts, Recorder};
use strongroom_audit::{AuditLog, Home};
use strongroom_crypto::{Keyring, Unsealed};
use strongroom_policy::{NoPrincipals, RootOnly};
use strongroom_ports::{Clock, Entropy};
use strongroom_rows::SealedRows;
use strongroom_s3::{Custody, S3, S3Options, S3Ports};
use strongroom_store::{MemoryBlobs, MemoryMeta};
use strongroom_types::{
    AccessKeyId, AccountId, CanonicalId, Principal, Region, Timestamp, Transport,
};

const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const NOW: Timestamp = Timestamp::from_seconds(1_369_353_600);

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Distinct bytes, the same in every run.
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let number = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            let hash = digest::digest(&digest::SHA256, &number);
            chunk.copy_from_slice(&hash.as_ref()[..chunk.len()]);
        }
    }
}

struct OneKey(Arc<Credential>);

impl CredentialSource for OneKey {
    fn credential(&self, id: &AccessKeyId) -> Option<Arc<Credential>> {
        (id.as_str() == KEY_ID).then(|| self.0.clone())
    }
}

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
    let entropy: Arc<dyn Entropy> = Arc::new(Counting(AtomicU64::new(0)));
    let (ring, _) = Keyring::<Unsealed>::create(NOW, &*entropy);
    let meta = Arc::new(MemoryMeta::new());
    let custody = Arc::new(Custody::new(Arc::new(ring)));
    let log = AuditLog::new(
        SealedRows {
            meta: meta.clone(),
            custody: custody.clone(),
            entropy: entropy.clone(),
        },
        Arc::new(Fixed),
        Home {
            account: AccountId::parse("111122223333").unwrap(),
            region: region.clone(),
        },
    );
    let ports = S3Ports {
        meta,
        blobs: Arc::new(MemoryBlobs::new()),
        custody,
        keys: Arc::new(keys::TestKeys::new()),
        authorizer: Arc::new(RootOnly::default()),
        principals: Arc::new(NoPrincipals::default()),
        audit: Arc::new(log.clone()),
        clock: Arc::new(Fixed),
        entropy: entropy.clone(),
    };
    let options = S3Options {
        region: region.clone(),
        block_sse_c_on_new_buckets: false,
        danger_keys_over_plain_http: false,
        inline_max_bytes: 4096,
        bucket_key_ttl: S3Options::BUCKET_KEY_TTL,
    };
    let credential = Credential {
        access_key_id: AccessKeyId::parse(KEY_ID).unwrap(),
        secret: SigningSecret::new(SECRET),
        principal: Principal::Root {
            account: AccountId::parse("111122223333").unwrap(),
        },
        canonical_id: CanonicalId::parse(&"a1".repeat(32)).unwrap(),
        session_token: None,
    };
    let verifier = Verifier::new(
        region.clone(),
        Arc::new(Fixed),
        Arc::new(OneKey(Arc::new(credential))),
    );
    let s3 = Arc::new(S3::new(ports, options));
    let ports = EdgePorts {
        verifier,
        clock: Arc::new(Fixed),
        entropy,
        recorder: Arc::new(Recorder::new(log)),
    };
    Server(S3Api::new(s3, ports, S3ApiOptions::new(region)))
}

fn hex_sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
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

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
        .as_ref()
        .to_vec()
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
    let text = format!(
        "AWS4-HMAC-SHA256\n{}\n20130524/{region}/s3/aws4_request\n{}",
        NOW.to_amz_date(),
        hex_sha256(canonical.as_bytes())
    );
    hex::encode(mac(&signing_key(region), &text))
}

fn signing_key(region: &str) -> Vec<u8> {
    let key = mac(format!("AWS4{SECRET}").as_bytes(), "20130524");
    ["s3", "aws4_request"]
        .iter()
        .fold(mac(&key, region), |key, part| mac(&key, part))
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

#[tokio::test]
async fn an_object_is_put_and_read_back() {
    let server = server();
    let made = server.ok("PUT", "/abc", &[], b"").await;
    assert_eq!(made.header("location"), "/abc");
    let meta = [
        ("x-amz-meta-empty", ""),
        ("x-amz-meta-word", "=?UTF-8?Q?=C3=A4?="),
        ("cache-control", "no-store"),
    ];
    let put = server.ok("PUT", "/abc/a//../b", &meta, b"hello").await;
    assert_eq!(put.header("etag"), "\"5d41402abc4b2a76b9719d911017c592\"");
    assert_eq!(put.header("x-amz-server-side-encryption"), "AES256");
    assert_eq!(put.header("x-amz-checksum-type"), "FULL_OBJECT");
    let got = server.ok("GET", "/abc/a//../b", &[], b"").await;
    assert_eq!((got.status.as_u16(), got.body.as_str()), (200, "hello"));
    assert_eq!(got.header("content-type"), "binary/octet-stream");
    assert_eq!(got.header("accept-ranges"), "bytes");
    assert_eq!(got.header("content-length"), "5");
    assert_eq!(got.header("cache-control"), "no-store");
    assert_eq!(got.header("x-amz-meta-word"), "=?UTF-8?Q?=C3=A4?=");
    assert_eq!(got.headers.get("x-amz-meta-empty").unwrap(), "");
    assert_eq!(got.header("last-modified"), "Fri, 24 May 2013 00:00:00 GMT");
    let part = server
        .ok("GET", "/abc/a//../b", &[("range", "bytes=1-2")], b"")
        .await;
    assert_eq!((part.status.as_u16(), part.body.as_str()), (206, "el"));
    assert_eq!(part.header("content-range"), "bytes 1-2/5");
    let head = server
        .ok(
            "HEAD",
            "/abc/a//../b",
            &[("x-amz-checksum-mode", "ENABLED")],
            b"",
        )
        .await;
    assert_eq!(
        (head.body.as_str(), head.header("content-length")),
        ("", "5")
    );
    assert!(!head.header("x-amz-checksum-crc64nvme").is_empty());
    let other = server
        .ok(
            "GET",
            "/abc/a//../b?response-content-type=text%2Fplain",
            &[],
            b"",
        )
        .await;
    assert_eq!(other.header("content-type"), "text/plain");
    let gone = server.ok("DELETE", "/abc/a//../b", &[], b"").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    server.ok("DELETE", "/abc", &[], b"").await;
}

#[tokio::test]
async fn listings_are_the_documents_of_s3() {
    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    server.ok("PUT", "/abc/a%20b", &[], b"").await;
    server.ok("PUT", "/abc/d/e", &[], b"").await;
    let contents = "<LastModified>2013-05-24T00:00:00.000Z</LastModified>\
        <ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag>\
        <ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>\
        <Size>0</Size>";
    let v2 = server
        .ok(
            "GET",
            "/abc?delimiter=%2F&encoding-type=url&list-type=2",
            &[],
            b"",
        )
        .await;
    let expected = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>abc</Name><Prefix></Prefix>\
         <KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys><Delimiter>/</Delimiter><EncodingType>url</EncodingType>\
         <IsTruncated>false</IsTruncated><Contents><Key>a%20b</Key>{contents}\
         <StorageClass>STANDARD</StorageClass></Contents>\
         <CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes></ListBucketResult>"
    );
    assert_eq!(v2.body, expected);
    let first = server
        .ok("GET", "/abc?list-type=2&max-keys=1", &[], b"")
        .await;
    assert_eq!(
        (first.element("IsTruncated"), first.element("Key")),
        ("true", "a b")
    );
    let token = first.element("NextContinuationToken");
    let next = server
        .ok(
            "GET",
            &format!("/abc?continuation-token={token}&list-type=2"),
            &[],
            b"",
        )
        .await;
    assert_eq!(
        (next.element("IsTruncated"), next.element("Key")),
        ("false", "d/e")
    );
    let v1 = server.ok("GET", "/abc?marker=a", &[], b"").await;
    assert_eq!(v1.element("Marker"), "a");
    assert!(
        v1.body
            .contains(&format!("<Owner><ID>{}</ID></Owner>", "a1".repeat(32))),
        "{}",
        v1.body
    );
    let versions = server.ok("GET", "/abc?versions", &[], b"").await;
    assert_eq!(versions.element("VersionId"), "null");
    assert_eq!(versions.element("IsLatest"), "true");
    let buckets = server.ok("GET", "/", &[], b"").await;
    assert_eq!(buckets.element("Name"), "abc");
}

#[tokio::test]
async fn versions_are_kept_marked_and_removed() {
    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    assert!(
        !server
            .ok("GET", "/abc?versioning", &[], b"")
            .await
            .body
            .contains("Status")
    );
    let enable = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    server.ok("PUT", "/abc?versioning", &[], enable).await;
    assert_eq!(
        server
            .ok("GET", "/abc?versioning", &[], b"")
            .await
            .element("Status"),
        "Enabled"
    );
    let first = server.ok("PUT", "/abc/k", &[], b"one").await;
    let version = first.header("x-amz-version-id").to_owned();
    server.ok("PUT", "/abc/k", &[], b"two").await;
    let marker = server.ok("DELETE", "/abc/k", &[], b"").await;
    assert_eq!(marker.header("x-amz-delete-marker"), "true");
    let absent = server
        .refused(
            ("GET", "/abc/k"),
            &[],
            b"",
            (404, "NoSuchKey", "The specified key does not exist."),
        )
        .await;
    assert_eq!(absent.header("x-amz-delete-marker"), "true");
    let old = server
        .ok("GET", &format!("/abc/k?versionId={version}"), &[], b"")
        .await;
    assert_eq!(old.body, "one");
    let marker_id = marker.header("x-amz-version-id");
    let message = "The specified method is not allowed against this resource.";
    let refused = server
        .refused(
            ("GET", &format!("/abc/k?versionId={marker_id}")),
            &[],
            b"",
            (405, "MethodNotAllowed", message),
        )
        .await;
    assert_eq!(refused.header("allow"), "DELETE");
    let delete = format!(
        "<Delete><Object><Key>k</Key><VersionId>{marker_id}</VersionId></Object>\
         <Object><Key>k</Key><VersionId>nonsense</VersionId></Object></Delete>"
    );
    let deleted = server
        .ok("POST", "/abc?delete", &[], delete.as_bytes())
        .await;
    assert_eq!(deleted.element("DeleteMarker"), "true");
    assert_eq!(deleted.element("Code"), "InvalidArgument");
    assert_eq!(server.ok("GET", "/abc/k", &[], b"").await.body, "two");
}

#[tokio::test]
async fn multipart_uploads_and_copies_work() {
    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    let created = server.ok("POST", "/abc/big?uploads", &[], b"").await;
    let upload = created.element("UploadId").to_owned();
    assert_eq!(created.header("x-amz-server-side-encryption"), "AES256");
    let part = server
        .ok(
            "PUT",
            &format!("/abc/big?partNumber=1&uploadId={upload}"),
            &[],
            b"part",
        )
        .await;
    let etag = part.header("etag").to_owned();
    let source = server
        .ok(
            "PUT",
            "/abc/src",
            &[("content-type", "text/plain")],
            b"source",
        )
        .await;
    assert_eq!(source.status, 200);
    let range = [
        ("x-amz-copy-source", "/abc/src"),
        ("x-amz-copy-source-range", "bytes=0-3"),
    ];
    let copied = server
        .ok(
            "PUT",
            &format!("/abc/big?partNumber=2&uploadId={upload}"),
            &range,
            b"",
        )
        .await;
    assert!(copied.body.contains("<CopyPartResult"), "{}", copied.body);
    assert_eq!(
        server
            .ok("GET", "/abc?uploads", &[], b"")
            .await
            .element("UploadId"),
        upload
    );
    let parts = server
        .ok("GET", &format!("/abc/big?uploadId={upload}"), &[], b"")
        .await;
    assert_eq!(
        (parts.element("PartNumber"), parts.element("Size")),
        ("1", "4")
    );
    let list = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    let done = server
        .ok(
            "POST",
            &format!("/abc/big?uploadId={upload}"),
            &[],
            list.as_bytes(),
        )
        .await;
    assert_eq!(done.element("Location"), "http://127.0.0.1:9000/abc/big");
    assert!(done.element("ETag").ends_with("-1&quot;"));
    assert_eq!(server.ok("GET", "/abc/big", &[], b"").await.body, "part");
    let attributes = [(
        "x-amz-object-attributes",
        "ETag,ObjectSize,StorageClass,ObjectParts",
    )];
    let attributes = server
        .ok("GET", "/abc/big?attributes", &attributes, b"")
        .await;
    assert_eq!(
        (
            attributes.element("ObjectSize"),
            attributes.element("PartsCount")
        ),
        ("4", "1")
    );
    let copy = server
        .ok("PUT", "/abc/copy", &[("x-amz-copy-source", "abc/src")], b"")
        .await;
    assert!(copy.body.contains("<CopyObjectResult"), "{}", copy.body);
    assert_eq!(
        server
            .ok("GET", "/abc/copy", &[], b"")
            .await
            .header("content-type"),
        "text/plain"
    );
    let onto_itself = "This copy request is illegal because it is trying to copy an object to itself without \
                       changing the object's metadata, storage class, website redirect location or encryption attributes.";
    let itself = [("x-amz-copy-source", "abc/src")];
    server
        .refused(
            ("PUT", "/abc/src"),
            &itself,
            b"",
            (400, "InvalidRequest", onto_itself),
        )
        .await;
    let other = server.ok("POST", "/abc/big?uploads", &[], b"").await;
    let upload = other.element("UploadId").to_owned();
    server
        .ok("DELETE", &format!("/abc/big?uploadId={upload}"), &[], b"")
        .await;
    let gone = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.";
    server
        .refused(
            ("GET", &format!("/abc/big?uploadId={upload}")),
            &[],
            b"",
            (404, "NoSuchUpload", gone),
        )
        .await;
}

#[tokio::test]
async fn what_was_never_configured_is_answered_as_aws_does() {
    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    server
        .ok("PUT", "/abc/k", &[("x-amz-acl", "private")], b"")
        .await;
    for (target, status, code) in [
        ("/abc?policy", 404, "NoSuchBucketPolicy"),
        ("/abc?policyStatus", 404, "NoSuchBucketPolicy"),
        ("/abc?cors", 404, "NoSuchCORSConfiguration"),
        ("/abc?website", 404, "NoSuchWebsiteConfiguration"),
        ("/abc?lifecycle", 404, "NoSuchLifecycleConfiguration"),
        (
            "/abc?replication",
            404,
            "ReplicationConfigurationNotFoundError",
        ),
        (
            "/abc?object-lock",
            404,
            "ObjectLockConfigurationNotFoundError",
        ),
        ("/abc?tagging", 404, "NoSuchTagSet"),
        ("/abc?id=1&inventory", 404, "NoSuchConfiguration"),
        ("/abc/k?retention", 404, "NoSuchObjectLockConfiguration"),
        ("/abc/k?legal-hold", 404, "NoSuchObjectLockConfiguration"),
        ("/abc/none?acl", 404, "NoSuchKey"),
        ("/none?acl", 404, "NoSuchBucket"),
        ("/abc?torrent", 501, "NotImplemented"),
    ] {
        let answer = server.call("GET", target, &[], b"").await;
        assert_eq!(
            (answer.status.as_u16(), answer.element("Code")),
            (status, code),
            "{target}"
        );
    }
    for (target, text) in [
        ("/abc?acl", "<Permission>FULL_CONTROL</Permission>"),
        ("/abc/k?acl", "<Permission>FULL_CONTROL</Permission>"),
        ("/abc?logging", "<BucketLoggingStatus xmlns="),
        ("/abc?requestPayment", "<Payer>BucketOwner</Payer>"),
        ("/abc?accelerate", "<AccelerateConfiguration"),
        (
            "/abc?ownershipControls",
            "<ObjectOwnership>BucketOwnerEnforced</ObjectOwnership>",
        ),
        (
            "/abc?publicAccessBlock",
            "<RestrictPublicBuckets>true</RestrictPublicBuckets>",
        ),
        ("/abc?notification", "<NotificationConfiguration"),
        ("/abc?metrics", "<IsTruncated>false</IsTruncated>"),
        (
            "/abc?location",
            "<LocationConstraint xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"></LocationConstraint>",
        ),
        ("/abc?encryption", "<SSEAlgorithm>AES256</SSEAlgorithm>"),
    ] {
        let answer = server.ok("GET", target, &[], b"").await;
        assert!(answer.body.contains(text), "{target}: {}", answer.body);
    }
    server
        .ok(
            "PUT",
            "/abc?acl",
            &[("x-amz-acl", "bucket-owner-full-control")],
            b"",
        )
        .await;
    let message = "The bucket does not allow ACLs";
    for (target, headers) in [
        ("/abc?acl", [("x-amz-acl", "private")]),
        ("/abc/k", [("x-amz-grant-read", "id=\"x\"")]),
    ] {
        let code = if target == "/abc/k" {
            (400, "InvalidArgument", "Invalid id")
        } else {
            (400, "AccessControlListNotSupported", message)
        };
        server.refused(("PUT", target), &headers, b"", code).await;
    }
    let public = [("x-amz-acl", "public-read")];
    server
        .refused(
            ("PUT", "/abc/k?acl"),
            &public,
            b"",
            (400, "AccessControlListNotSupported", message),
        )
        .await;
    server
        .refused(
            ("PUT", "/abc/k"),
            &public,
            b"",
            (400, "AccessControlListNotSupported", message),
        )
        .await;
}

#[tokio::test]
async fn ownership_and_lists_are_set_read_and_removed() {
    let server = server();
    let writer = [("x-amz-object-ownership", "ObjectWriter")];
    server.ok("PUT", "/abc", &writer, b"").await;
    let controls = |ownership: &str| {
        format!(
            "<OwnershipControls><Rule><ObjectOwnership>{ownership}</ObjectOwnership></Rule></OwnershipControls>"
        )
    };
    let shown = server.ok("GET", "/abc?ownershipControls", &[], b"").await;
    assert_eq!(shown.element("ObjectOwnership"), "ObjectWriter");
    let preferred = controls("BucketOwnerPreferred");
    server
        .ok("PUT", "/abc?ownershipControls", &[], preferred.as_bytes())
        .await;
    let shown = server.ok("GET", "/abc?ownershipControls", &[], b"").await;
    assert_eq!(shown.element("ObjectOwnership"), "BucketOwnerPreferred");
    let malformed =
        "The XML you provided was not well-formed or did not validate against our published schema";
    server
        .refused(
            ("PUT", "/abc?ownershipControls"),
            &[],
            controls("Nobody").as_bytes(),
            (400, "MalformedXML", malformed),
        )
        .await;
    server
        .ok("DELETE", "/abc?ownershipControls", &[], b"")
        .await;
    server
        .refused(
            ("GET", "/abc?ownershipControls"),
            &[],
            b"",
            (
                404,
                "OwnershipControlsNotFoundError",
                "The bucket ownership controls were not found",
            ),
        )
        .await;

    server.ok("PUT", "/abc/k", &[], b"").await;
    let unknown = format!("id={}", "ab".repeat(32));
    for target in ["/abc?acl", "/abc/k?acl"] {
        let delivery = [("x-amz-acl", "log-delivery-write")];
        server.ok("PUT", target, &delivery, b"").await;
        let acl = server.ok("GET", target, &[], b"").await;
        assert!(acl.body.contains("groups/s3/LogDelivery</URI>"));
        // What is read can be written back.
        let (head, tail) = acl.body.split_once("<Permission>WRITE<").unwrap();
        let changed = format!("{head}<Permission>READ<{tail}");
        server.ok("PUT", target, &[], changed.as_bytes()).await;
        let acl = server.ok("GET", target, &[], b"").await;
        assert!(acl.body.contains("<Permission>READ</Permission>"));
        for (headers, body, code) in [
            (&[][..], &b""[..], "MissingSecurityHeader"),
            (&delivery[..], changed.as_bytes(), "UnexpectedContent"),
            (&[], b"<AccessControlPolicy/>", "MalformedACLError"),
            (
                &[("x-amz-grant-read", "emailAddress=a@example.com")],
                b"",
                "UnresolvableGrantByEmailAddress",
            ),
            (
                &[("x-amz-grant-read", unknown.as_str())],
                b"",
                "InvalidArgument",
            ),
            (&[("x-amz-acl", "public")], b"", "InvalidArgument"),
        ] {
            let answer = server.call("PUT", target, headers, body).await;
            assert_eq!(answer.element("Code"), code, "{target}: {}", answer.body);
        }
        let public = [("x-amz-acl", "public-read")];
        let answer = server.call("PUT", target, &public, b"").await;
        assert_eq!(answer.element("Code"), "AccessDenied");
    }
}

#[tokio::test]
async fn settings_and_tags_are_set_read_and_removed() {
    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    server
        .ok("PUT", "/abc/k", &[("x-amz-tagging", "a=1&b=x%20y")], b"")
        .await;
    let tags = server.ok("GET", "/abc/k?tagging", &[], b"").await;
    assert!(tags.body.ends_with(
        "<TagSet><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value>x y</Value></Tag></TagSet></Tagging>"
    ));
    assert_eq!(
        server
            .ok("HEAD", "/abc/k", &[], b"")
            .await
            .header("x-amz-tagging-count"),
        "2"
    );
    let set = b"<Tagging><TagSet><Tag><Key>c</Key><Value>3</Value></Tag></TagSet></Tagging>";
    for target in ["/abc/k?tagging", "/abc?tagging"] {
        server.ok("PUT", target, &[], set).await;
        assert_eq!(server.ok("GET", target, &[], b"").await.element("Key"), "c");
        server.ok("DELETE", target, &[], b"").await;
    }
    let encryption =
        b"<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
        <SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>\
        <BucketKeyEnabled>true</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>";
    server.ok("PUT", "/abc?encryption", &[], encryption).await;
    for algorithm in ["aws:kms", "aws:kms:dsse"] {
        let kms = String::from_utf8_lossy(encryption).replace(
            "AES256</SSEAlgorithm>",
            &format!("{algorithm}</SSEAlgorithm><KMSMasterKeyID>not checked</KMSMasterKeyID>"),
        );
        server
            .ok("PUT", "/abc?encryption", &[], kms.as_bytes())
            .await;
        let shown = server.ok("GET", "/abc?encryption", &[], b"").await;
        assert_eq!(shown.element("SSEAlgorithm"), algorithm);
        assert_eq!(shown.element("KMSMasterKeyID"), "not checked");
        let told = (400, "KMS.NotFoundException", "Invalid keyId 'not checked'");
        server.refused(("PUT", "/abc/kms"), &[], b"x", told).await;
    }
    server.ok("PUT", "/abc?encryption", &[], encryption).await;
    let shown = server.ok("GET", "/abc?encryption", &[], b"").await;
    assert_eq!(
        (
            shown.element("SSEAlgorithm"),
            shown.element("BucketKeyEnabled")
        ),
        ("AES256", "true")
    );
    server.ok("DELETE", "/abc?encryption", &[], b"").await;
    server.ok("PUT", "/abc/new", &[], b"x").await;
}

#[tokio::test]
async fn documents_come_with_a_digest_where_aws_demands_one() {
    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    for (method, target, is_demanded) in [
        ("PUT", "/abc?encryption", true),
        ("PUT", "/abc?tagging", true),
        ("POST", "/abc?delete", true),
        ("PUT", "/abc?versioning", false),
        ("PUT", "/abc/k?tagging", false),
    ] {
        let answer = server.call(method, target, &[], b"<X/>").await;
        let missing = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*";
        assert_eq!(
            answer.element("Message") == missing,
            is_demanded,
            "{target}"
        );
    }
}

#[tokio::test]
async fn bad_requests_get_awss_errors() {
    type Case<'a> = (
        &'a str,
        &'a str,
        Vec<(&'a str, &'a str)>,
        &'a [u8],
        u16,
        &'a str,
        &'a str,
    );

    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    server.ok("PUT", "/abc/k", &[], b"hello").await;
    let xml =
        "The XML you provided was not well-formed or did not validate against our published schema";
    let long_value = "v".repeat(2049);
    let sse = "x-amz-server-side-encryption";
    let cases: Vec<Case<'_>> = vec![
        (
            "GET",
            "/none/k",
            vec![],
            b"",
            404,
            "NoSuchBucket",
            "The specified bucket does not exist",
        ),
        (
            "GET",
            "/abc/none",
            vec![],
            b"",
            404,
            "NoSuchKey",
            "The specified key does not exist.",
        ),
        (
            "GET",
            "/a_b",
            vec![],
            b"",
            400,
            "InvalidBucketName",
            "The specified bucket is not valid.",
        ),
        (
            "GET",
            "/abc/k",
            vec![("range", "bytes=9-")],
            b"",
            416,
            "InvalidRange",
            "The requested range is not satisfiable",
        ),
        (
            "GET",
            "/abc/k?versionId=x",
            vec![],
            b"",
            400,
            "InvalidArgument",
            "Invalid version id specified",
        ),
        (
            "GET",
            "/abc/k?partNumber=0",
            vec![],
            b"",
            400,
            "InvalidArgument",
            "Part number must be an integer between 1 and 10000, inclusive",
        ),
        (
            "GET",
            "/abc/k",
            vec![(sse, "AES256")],
            b"",
            400,
            "InvalidArgument",
            "x-amz-server-side-encryption header is not supported for this operation.",
        ),
        (
            "GET",
            "/abc/k",
            vec![("if-match", "\"x\"")],
            b"",
            412,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        ),
        (
            "PUT",
            "/abc/k",
            vec![("if-none-match", "*")],
            b"",
            412,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        ),
        (
            "PUT",
            "/abc/k",
            vec![(sse, "aes:kms")],
            b"",
            400,
            "InvalidArgument",
            "The encryption method specified is not supported",
        ),
        (
            "PUT",
            "/abc/k",
            vec![("x-amz-storage-class", "GLACIER")],
            b"",
            400,
            "InvalidStorageClass",
            "The storage class you specified is not valid",
        ),
        (
            "PUT",
            "/abc/k",
            vec![("content-md5", "abc")],
            b"",
            400,
            "InvalidDigest",
            "The Content-MD5 you specified was invalid.",
        ),
        (
            "PUT",
            "/abc/k",
            vec![("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")],
            b"",
            400,
            "BadDigest",
            "The Content-MD5 you specified did not match what we received.",
        ),
        (
            "PUT",
            "/abc/k",
            vec![("x-amz-checksum-crc32", "AAAAAQ==")],
            b"",
            400,
            "BadDigest",
            "The CRC32 you specified did not match the calculated checksum.",
        ),
        (
            "PUT",
            "/abc/k",
            vec![("x-amz-checksum-crc32", "AA==")],
            b"",
            400,
            "InvalidRequest",
            "Value for x-amz-checksum-crc32 header is invalid.",
        ),
        (
            "PUT",
            "/abc/k",
            vec![("x-amz-checksum-xxhash3", "AA==")],
            b"",
            400,
            "InvalidRequest",
            "The checksum algorithm XXHASH3 is not supported by this server.",
        ),
        (
            "PUT",
            "/abc/k",
            vec![("x-amz-meta-long", &long_value)],
            b"",
            400,
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size",
        ),
        (
            "PUT",
            "/abc?versioning",
            vec![],
            b"<a>",
            400,
            "MalformedXML",
            xml,
        ),
        (
            "PUT",
            "/none?encryption",
            vec![],
            b"<a>",
            404,
            "NoSuchBucket",
            "The specified bucket does not exist",
        ),
        (
            "PUT",
            "/abc?encryption",
            vec![],
            b"<ServerSideEncryptionConfiguration/>",
            400,
            "MalformedXML",
            xml,
        ),
        (
            "POST",
            "/abc?delete",
            vec![],
            b"<Delete></Delete>",
            400,
            "MalformedXML",
            xml,
        ),
        (
            "GET",
            "/abc?encoding-type=x",
            vec![],
            b"",
            400,
            "InvalidArgument",
            "Invalid Encoding Method specified in Request",
        ),
        (
            "GET",
            "/abc?continuation-token=x&list-type=2",
            vec![],
            b"",
            400,
            "InvalidArgument",
            "The continuation token provided is incorrect",
        ),
        (
            "PUT",
            "/abc?website",
            vec![],
            b"",
            501,
            "NotImplemented",
            "A header you provided implies functionality that is not implemented",
        ),
        (
            "POST",
            "/abc",
            vec![],
            b"",
            405,
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
        ),
        (
            "DELETE",
            "/abc",
            vec![],
            b"",
            409,
            "BucketNotEmpty",
            "The bucket you tried to delete is not empty",
        ),
        (
            "GET",
            "/abc/k",
            vec![("x-amz-expected-bucket-owner", "999999999999")],
            b"",
            403,
            "AccessDenied",
            "Access Denied",
        ),
    ];
    for (method, target, headers, body, status, code, message) in cases {
        server
            .refused((method, target), &headers, body, (status, code, message))
            .await;
    }
    assert_eq!(server.ok("GET", "/abc/k", &[], b"").await.body, "hello");
    let too_long = format!("/abc/{}", "k".repeat(1025));
    server
        .refused(
            ("PUT", &too_long),
            &[],
            b"",
            (400, "KeyTooLongError", "Your key is too long"),
        )
        .await;
    let head = server.call("HEAD", "/abc/none", &[], b"").await;
    assert_eq!((head.status.as_u16(), head.body.as_str()), (404, ""));
    let same = [("if-none-match", "\"5d41402abc4b2a76b9719d911017c592\"")];
    let unchanged = server.call("GET", "/abc/k", &same, b"").await;
    assert_eq!(
        (unchanged.status.as_u16(), unchanged.body.as_str()),
        (304, "")
    );
}

#[tokio::test]
async fn customer_keys_open_only_their_objects() {
    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    let trio = |key, md5| {
        vec![
            ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
            ("x-amz-server-side-encryption-customer-key", key),
            ("x-amz-server-side-encryption-customer-key-md5", md5),
        ]
    };
    let a = trio(
        "pO3upElrwuEXSoFwCfnZPdSsmt/xWeFa0N9KgDijwVs=",
        "DWygnHRtgiJ77HCm+1rvHw==",
    );
    let b = trio(
        "6b+WOZ1T3cqZMxgThRcXAQBrS5mXKdDUphvpxptl9/4=",
        "arxBvwY2V4SiOne6yppVPQ==",
    );
    let put = server.ok("PUT", "/abc/k", &a, b"secret").await;
    assert_eq!(put.header("x-amz-server-side-encryption"), "");
    assert_eq!(
        put.header("x-amz-server-side-encryption-customer-key-md5"),
        "DWygnHRtgiJ77HCm+1rvHw=="
    );
    assert_eq!(server.ok("GET", "/abc/k", &a, b"").await.body, "secret");
    let wrong = "Requests specifying Server Side Encryption with Customer provided keys must provide the correct secret key.";
    server
        .refused(("GET", "/abc/k"), &b, b"", (403, "AccessDenied", wrong))
        .await;
    let none = "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.";
    server
        .refused(("GET", "/abc/k"), &[], b"", (400, "InvalidRequest", none))
        .await;
}

#[tokio::test]
async fn strangers_and_other_services_are_told_so() {
    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    server.ok("PUT", "/abc/k", &[], b"x").await;
    let host = ("host", "127.0.0.1:9000");
    let anonymous = server.send("GET", "/abc/k", &[host], b"").await;
    assert_eq!(
        (anonymous.status.as_u16(), anonymous.element("Code")),
        (403, "AccessDenied")
    );
    let kms = server
        .send(
            "POST",
            "/",
            &[host, ("x-amz-target", "TrentService.ListKeys")],
            b"{}",
        )
        .await;
    assert_eq!(kms.status, 400);
    assert!(
        kms.body.contains("UnknownOperationException"),
        "{}",
        kms.body
    );
}

#[tokio::test]
async fn buckets_are_made_where_the_server_is() {
    let server = server_in("eu-central-1");
    let region = "eu-central-1";
    let at = |place: &str| {
        format!(
            "<CreateBucketConfiguration><LocationConstraint>{place}</LocationConstraint></CreateBucketConfiguration>"
        )
    };
    for (body, code) in [
        (String::new(), "IllegalLocationConstraintException"),
        (at("us-west-2"), "IllegalLocationConstraintException"),
        (at("nowhere"), "InvalidLocationConstraint"),
        (at("eu-central-1"), ""),
        (at("eu-central-1"), "BucketAlreadyOwnedByYou"),
    ] {
        let answer = server
            .call_in(region, "PUT", "/abc", &[], body.as_bytes())
            .await;
        assert_eq!(answer.element("Code"), code, "{body}");
    }
    let location = server
        .call_in(region, "GET", "/abc?location", &[], b"")
        .await;
    assert!(
        location.body.contains(">eu-central-1</LocationConstraint>"),
        "{}",
        location.body
    );
}

#[tokio::test]
async fn forms_are_stored_as_their_policy_allows() {
    use base64::Engine as _;
    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    let post = async |policy_key: &str, file: &str| {
        let scope = "20130524/us-east-1/s3/aws4_request";
        let policy = format!(
            "{{\"expiration\":\"2013-05-24T01:00:00Z\",\"conditions\":[{{\"bucket\":\"abc\"}},\
             [\"starts-with\",\"$key\",\"{policy_key}\"],{{\"success_action_status\":\"201\"}},\
             {{\"x-amz-algorithm\":\"AWS4-HMAC-SHA256\"}},{{\"x-amz-credential\":\"{KEY_ID}/{scope}\"}},\
             {{\"x-amz-date\":\"20130524T000000Z\"}},[\"content-length-range\",1,8]]}}"
        );
        let policy = STANDARD.encode(policy);
        let key = mac(format!("AWS4{SECRET}").as_bytes(), "20130524");
        let key = ["us-east-1", "s3", "aws4_request"]
            .iter()
            .fold(key, |key, part| mac(&key, part));
        let signature = hex::encode(mac(&key, &policy));
        let credential = format!("{KEY_ID}/{scope}");
        let mut body = String::new();
        for (name, value) in [
            ("key", "up/${filename}"),
            ("success_action_status", "201"),
            ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
            ("x-amz-credential", &credential),
            ("x-amz-date", "20130524T000000Z"),
            ("policy", &policy),
            ("x-amz-signature", &signature),
        ] {
            body += &format!(
                "--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
        }
        body += &format!(
            "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.txt\"\r\n\
             Content-Type: text/plain\r\n\r\n{file}\r\n--B--\r\n"
        );
        let headers = [
            ("host", "127.0.0.1:9000"),
            ("content-type", "multipart/form-data; boundary=B"),
        ];
        server.send("POST", "/abc", &headers, body.as_bytes()).await
    };
    let stored = post("up/", "form").await;
    assert_eq!(stored.status, 201, "{}", stored.body);
    assert_eq!(
        (stored.element("Key"), stored.element("Bucket")),
        ("up/f.txt", "abc")
    );
    let got = server.ok("GET", "/abc/up/f.txt", &[], b"").await;
    assert_eq!(
        (got.body.as_str(), got.header("content-type")),
        ("form", "text/plain")
    );
    assert_eq!(
        post("up/", "far too long").await.element("Code"),
        "EntityTooLarge"
    );
    assert_eq!(post("down/", "form").await.element("Code"), "AccessDenied");
    assert_eq!(
        server.ok("GET", "/abc/up/f.txt", &[], b"").await.body,
        "form"
    );
}

const CHUNKED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const CHUNKED_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const CHUNKED_UNSIGNED: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const CRC32_OF_HELLO: &str = "NhCmhg==";

/// An `aws-chunked` body of one chunk, as `kind` has it; `seed` is the head's signature.
fn chunked_body(kind: &str, seed: &str, data: &[u8], trailer: Option<(&str, &str)>) -> Vec<u8> {
    let string_to_sign = |prefix: &str, previous: &str, rest: &str| {
        let text = format!(
            "{prefix}\n{}\n20130524/us-east-1/s3/aws4_request\n{previous}\n{rest}",
            NOW.to_amz_date()
        );
        hex::encode(mac(&signing_key("us-east-1"), &text))
    };
    let is_signed = kind != CHUNKED_UNSIGNED;
    let (mut body, mut previous) = (Vec::new(), seed.to_owned());
    for piece in [data, b""] {
        let rest = format!("{}\n{}", hex_sha256(b""), hex_sha256(piece));
        previous = string_to_sign("AWS4-HMAC-SHA256-PAYLOAD", &previous, &rest);
        body.extend_from_slice(format!("{:x}", piece.len()).as_bytes());
        if is_signed {
            body.extend_from_slice(format!(";chunk-signature={previous}").as_bytes());
        }
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(piece);
        if !piece.is_empty() {
            body.extend_from_slice(b"\r\n");
        }
    }
    if let Some((name, value)) = trailer {
        body.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
        if is_signed {
            let rest = hex_sha256(format!("{name}:{value}\n").as_bytes());
            let last = string_to_sign("AWS4-HMAC-SHA256-TRAILER", &previous, &rest);
            body.extend_from_slice(format!("x-amz-trailer-signature:{last}\r\n").as_bytes());
        }
    }
    body.extend_from_slice(b"\r\n");
    body
}

/// Kind, trailer, what is done to the body, and the code and text of the refusal.
type ChunkedCase = (
    &'static str,
    Option<(&'static str, &'static str)>,
    fn(&mut Vec<u8>),
    &'static str,
    &'static str,
);

#[tokio::test]
async fn chunked_bodies_are_unframed_and_verified() {
    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    let crc32 = "x-amz-checksum-crc32";
    let right = Some((crc32, CRC32_OF_HELLO));
    let cases: [ChunkedCase; 11] = [
        (CHUNKED, None, |_| {}, "", ""),
        (CHUNKED_TRAILER, right, |_| {}, "", ""),
        (CHUNKED_UNSIGNED, right, |_| {}, "", ""),
        (
            CHUNKED,
            None,
            |body| {
                *body = String::from_utf8_lossy(body)
                    .replace("hello", "jello")
                    .into_bytes()
            },
            "SignatureDoesNotMatch",
            "",
        ),
        (
            CHUNKED_TRAILER,
            right,
            |body| {
                *body = String::from_utf8_lossy(body)
                    .replace("NhCm", "AhCm")
                    .into_bytes()
            },
            "SignatureDoesNotMatch",
            "",
        ),
        (
            CHUNKED_UNSIGNED,
            right,
            |body| {
                *body = String::from_utf8_lossy(body)
                    .replace("hello", "jello")
                    .into_bytes()
            },
            "BadDigest",
            "The CRC32 you specified did not match the calculated checksum.",
        ),
        (
            CHUNKED_UNSIGNED,
            Some((crc32, "AAAAAAA=")),
            |_| {},
            "InvalidRequest",
            "Value for x-amz-checksum-crc32 trailing header is invalid.",
        ),
        (
            CHUNKED_TRAILER,
            Some((crc32, "")),
            |_| {},
            "InvalidRequest",
            "Value for x-amz-checksum-crc32 trailing header is invalid.",
        ),
        (
            CHUNKED,
            None,
            |body| body.truncate(body.len() - 20),
            "IncompleteBody",
            "",
        ),
        (
            CHUNKED_UNSIGNED,
            right,
            |body| body.extend_from_slice(b"more"),
            "InvalidRequest",
            "",
        ),
        (
            CHUNKED_UNSIGNED,
            Some(("x-amz-checksum-sha1", "AAAA")),
            |_| {},
            "MalformedTrailerError",
            "",
        ),
    ];
    for (kind, trailer, spoil, code, message) in cases {
        let mut headers = vec![("x-amz-decoded-content-length", "5")];
        if trailer.is_some() {
            headers.push(("x-amz-trailer", crc32));
        }
        headers.push(("content-encoding", "aws-chunked"));
        let (authorization, seed) = sign("us-east-1", "PUT", "/abc/k", &headers, kind);
        let mut body = chunked_body(kind, &seed, b"hello", trailer);
        spoil(&mut body);
        let signed = (kind, authorization.as_str());
        let answer = server
            .send_signed("PUT", "/abc/k", &headers, signed, &body)
            .await;
        assert_eq!(answer.element("Code"), code, "{kind} {trailer:?}");
        let read = server.call("GET", "/abc/k", &[], b"").await;
        if code.is_empty() {
            assert_eq!((read.status.as_u16(), read.body.as_str()), (200, "hello"));
            assert_eq!(
                read.header("content-encoding"),
                "",
                "the framing is not the object's"
            );
            server.ok("DELETE", "/abc/k", &[], b"").await;
        } else {
            assert!(message.is_empty() || answer.element("Message") == message);
            assert_eq!(
                read.status.as_u16(),
                404,
                "a refused body left something behind"
            );
        }
    }
}

#[tokio::test]
async fn a_body_that_is_not_the_signed_one_is_refused() {
    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    let hash = hex_sha256(b"other");
    let (authorization, _) = sign("us-east-1", "PUT", "/abc/k", &[], &hash);
    let signed = (hash.as_str(), authorization.as_str());
    let answer = server
        .send_signed("PUT", "/abc/k", &[], signed, b"hello")
        .await;
    assert_eq!(answer.element("Code"), "XAmzContentSHA256Mismatch");
    assert_eq!(answer.element("ClientComputedContentSHA256"), hash);
    assert_eq!(
        answer.element("S3ComputedContentSHA256"),
        hex_sha256(b"hello")
    );
    let read = server.call("GET", "/abc/k", &[], b"").await;
    assert_eq!(read.status.as_u16(), 404);
}

#[tokio::test]
async fn presigned_urls_do_what_was_signed_and_nothing_else() {
    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    let host = ("host", "127.0.0.1:9000");
    let presign = |method: &str, more: &str| {
        let target = format!(
            "/abc/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={KEY_ID}%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20130524T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host{more}"
        );
        let seal = signature("us-east-1", method, &target, &[host], "UNSIGNED-PAYLOAD");
        format!("{target}&X-Amz-Signature={seal}")
    };
    let put = presign("PUT", "&x-amz-meta-a=1&x-amz-server-side-encryption=AES256");
    let stored = server.send("PUT", &put, &[host], b"hello").await;
    assert_eq!(stored.status.as_u16(), 200, "{}", stored.body);
    let get = presign("GET", "&response-content-type=text%2Fplain");
    let got = server.send("GET", &get, &[host], b"").await;
    assert_eq!(
        (
            got.body.as_str(),
            got.header("content-type"),
            got.header("x-amz-meta-a")
        ),
        ("hello", "text/plain", "1")
    );
    let refused = |answer: Answer| (answer.status.as_u16(), answer.element("Code").to_owned());
    for (method, url) in [
        ("DELETE", get.clone()),
        ("GET", get.replace("text%2Fplain", "text%2Fhtml")),
        ("GET", get.replace("X-Amz-Expires=60", "X-Amz-Expires=61")),
        ("GET", get.replace("/abc/k", "/abc/l")),
        ("GET", get.get(..get.len() - 1).unwrap().to_owned()),
    ] {
        let answer = server.send(method, &url, &[host], b"").await;
        assert_eq!(
            refused(answer),
            (403, "SignatureDoesNotMatch".to_owned()),
            "{method} {url}"
        );
    }
    let unsigned = [host, ("x-amz-meta-b", "2")];
    let answer = server.send("PUT", &put, &unsigned, b"hello").await;
    assert_eq!(answer.element("HeadersNotSigned"), "x-amz-meta-b");
    let old = "/abc/k?AWSAccessKeyId=A&Expires=1&Signature=s";
    let answer = server.send("GET", old, &[host], b"").await;
    assert_eq!(refused(answer), (400, "InvalidRequest".to_owned()));
}

#[tokio::test]
async fn an_upload_that_is_not_there_is_named() {
    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    for (method, target) in [
        ("GET", "/abc/k?uploadId=a%2Fb"),
        ("DELETE", "/abc/k?uploadId=a%2Fb"),
        ("PUT", "/abc/k?partNumber=1&uploadId=a%2Fb"),
    ] {
        let answer = server.call(method, target, &[], b"").await;
        assert_eq!(answer.status.as_u16(), 404, "{method}");
        assert_eq!(
            (answer.element("Code"), answer.element("UploadId")),
            ("NoSuchUpload", "a/b")
        );
    }
}

/// The headers of an answer that tell how an object is encrypted: method, key, bucket key, context.
fn encryption_of(answer: &Answer) -> [String; 4] {
    ["", "-aws-kms-key-id", "-bucket-key-enabled", "-context"].map(|suffix| {
        let name = format!("x-amz-server-side-encryption{suffix}");
        answer.header(&name).to_owned()
    })
}

const SSE: &str = "x-amz-server-side-encryption";
const KEY_ID_HEADER: &str = "x-amz-server-side-encryption-aws-kms-key-id";
const BUCKET_KEY: &str = "x-amz-server-side-encryption-bucket-key-enabled";
const CONTEXT: &str = "x-amz-server-side-encryption-context";

#[tokio::test]
async fn kms_objects_are_answered_with_method_key_and_bucket_key() {
    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    let context = STANDARD.encode(r#"{"a":"b"}"#);
    let put = server
        .ok(
            "PUT",
            "/abc/k",
            &[(SSE, "aws:kms"), (CONTEXT, &context)],
            b"x",
        )
        .await;
    let [method, key, bucket_key, shown] = encryption_of(&put);
    assert_eq!((method.as_str(), bucket_key.as_str()), ("aws:kms", ""));
    assert_eq!(shown, context);
    assert!(key.starts_with("arn:aws:kms:us-east-1:"), "{key}");
    assert_ne!(
        put.header("etag"),
        format!("\"{}\"", hex::encode(Md5::digest(b"x")))
    );
    // Reads never repeat the context.
    let plain = [
        "aws:kms".to_owned(),
        key.clone(),
        String::new(),
        String::new(),
    ];
    for method in ["GET", "HEAD"] {
        assert_eq!(
            encryption_of(&server.ok(method, "/abc/k", &[], b"").await),
            plain
        );
    }
    let with_bucket_key = [(SSE, "aws:kms"), (BUCKET_KEY, "TRUE")];
    let shown = [
        "aws:kms".to_owned(),
        key.clone(),
        "true".to_owned(),
        String::new(),
    ];
    let put = server.ok("PUT", "/abc/b", &with_bucket_key, b"x").await;
    assert_eq!(encryption_of(&put), shown);
    let copy = [
        (SSE, "aws:kms"),
        (BUCKET_KEY, "true"),
        ("x-amz-copy-source", "/abc/k"),
    ];
    assert_eq!(
        encryption_of(&server.ok("PUT", "/abc/c", &copy, b"").await),
        shown
    );
    let created = server
        .ok("POST", "/abc/m?uploads=", &with_bucket_key, b"")
        .await;
    assert_eq!(encryption_of(&created), shown);
    let upload = created.element("UploadId").to_owned();
    let target = format!("/abc/m?partNumber=1&uploadId={upload}");
    let part = server.ok("PUT", &target, &[], b"part").await;
    assert_eq!(encryption_of(&part), shown);
    let list = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>\
         </CompleteMultipartUpload>",
        part.header("etag").replace('"', "&quot;")
    );
    let target = format!("/abc/m?uploadId={upload}");
    let done = server.ok("POST", &target, &[], list.as_bytes()).await;
    assert_eq!(encryption_of(&done), shown);
    assert_eq!(
        encryption_of(&server.ok("GET", "/abc/m", &[], b"").await),
        shown
    );
    let two_layers = [(SSE, "aws:kms:dsse"), (BUCKET_KEY, "true")];
    let put = server.ok("PUT", "/abc/d", &two_layers, b"x").await;
    let shown = ["aws:kms:dsse".to_owned(), key, String::new(), String::new()];
    assert_eq!(encryption_of(&put), shown);
    assert_eq!(
        encryption_of(&server.ok("GET", "/abc/d", &[], b"").await),
        shown
    );
}

/// Headers of a request, and the status, code and text that they get.
type Refused = (
    &'static [(&'static str, &'static str)],
    (u16, &'static str, &'static str),
);

#[tokio::test]
async fn kms_requests_that_break_a_rule_get_awss_texts() {
    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    let invalid = |message: &'static str| (400, "InvalidArgument", message);
    let cases: [Refused; 6] = [
        (
            &[(KEY_ID_HEADER, "k")],
            invalid(
                "Server Side Encryption with AWS KMS managed key requires HTTP header \
                 x-amz-server-side-encryption : aws:kms",
            ),
        ),
        (
            &[(SSE, "aws:kms"), (CONTEXT, "e30")],
            invalid(
                "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 \
                 string holding JSON which represents a string-string map",
            ),
        ),
        (
            &[(SSE, "aws:kms"), (BUCKET_KEY, "yes")],
            invalid(
                "The value of x-amz-server-side-encryption-bucket-key-enabled must be true or \
                 false.",
            ),
        ),
        (
            &[(SSE, "aws:kms"), (KEY_ID_HEADER, "fake-key-id")],
            (400, "KMS.NotFoundException", "Invalid keyId 'fake-key-id'"),
        ),
        (
            &[(SSE, "aws:kms"), (KEY_ID_HEADER, "alias/none")],
            (
                400,
                "KMS.NotFoundException",
                "Alias alias/none is not found.",
            ),
        ),
        (
            &[(SSE, "AES256"), (CONTEXT, "e30=")],
            invalid(
                "Server Side Encryption with AWS KMS managed key requires HTTP header \
                 x-amz-server-side-encryption : aws:kms",
            ),
        ),
    ];
    for (headers, told) in cases {
        server.refused(("PUT", "/abc/k"), headers, b"x", told).await;
    }
}

#[tokio::test]
async fn updates_of_an_encryption_are_refused_each_with_its_text() {
    let server = server();
    server.ok("PUT", "/abc", &[], b"").await;
    server.ok("PUT", "/abc/k", &[], b"x").await;
    let arn = "arn:aws:kms:us-east-1:999999999999:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let kms = |inside: &str| format!("<SSE-KMS>{inside}</SSE-KMS>");
    let named = |arn: &str| kms(&format!("<KMSKeyArn>{arn}</KMSKeyArn>"));
    let flagged = kms(&format!(
        "<KMSKeyArn>{arn}</KMSKeyArn><BucketKeyEnabled>maybe</BucketKeyEnabled>"
    ));
    let cases = [
        (String::new(), 400, "InvalidRequest"),
        ("<SSE-C/>".to_owned(), 400, "InvalidRequest"),
        ("<DSSE-KMS/>".to_owned(), 400, "InvalidRequest"),
        (kms(""), 400, "InvalidRequest"),
        (named("alias/aws/s3"), 400, "InvalidRequest"),
        (flagged, 400, "InvalidRequest"),
        (named(arn), 403, "AccessDenied"),
    ];
    let mut texts = std::collections::BTreeSet::new();
    for (inside, status, code) in &cases {
        let document = format!("<ObjectEncryption>{inside}</ObjectEncryption>");
        let md5 = content_md5(document.as_bytes());
        let headers = [("content-md5", md5.as_str())];
        let answer = server
            .call("PUT", "/abc/k?encryption=", &headers, document.as_bytes())
            .await;
        let got = (answer.status.as_u16(), answer.element("Code"));
        assert_eq!(got, (*status, *code), "{inside} {}", answer.body);
        texts.insert(answer.element("Message").to_owned());
    }
    assert_eq!(texts.len(), cases.len(), "each has its own: {texts:?}");
}
