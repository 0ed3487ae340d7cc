//! The headers of SSE-KMS, in requests and in answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use super::{Answer, content_md5, server};

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
