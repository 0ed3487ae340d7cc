//! What else is signed than headers: forms, chunks, bodies and URLs.

use base64::engine::general_purpose::STANDARD;

use super::{Answer, server, sign, signature};
use crate::fixture::{KEY_ID, NOW, SECRET, hex_sha256, signature_of};

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
        let signature = signature_of(SECRET, scope, &policy);
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
        let scope = "20130524/us-east-1/s3/aws4_request";
        let text = format!(
            "{prefix}\n{}\n{scope}\n{previous}\n{rest}",
            NOW.to_amz_date()
        );
        signature_of(SECRET, scope, &text)
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
