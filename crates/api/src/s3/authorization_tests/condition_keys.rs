//! What condition keys say of a request, and what policies make of it.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strongroom_types::Principal;

use super::{FORM_SECRET, KEY_ARN, OWNER, World, deny, element, root};

const FORM_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str, Option<&'a str>);

#[tokio::test]
async fn keys_say_what_the_request_says() {
    let world = World::with_object().await;
    let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
    let sse = "x-amz-server-side-encryption";
    let kms_key = "x-amz-server-side-encryption-aws-kms-key-id";
    let cases: Vec<Case<'_>> = vec![
        (
            "PUT /abc/n",
            vec![(sse, "AES256")],
            "s3:x-amz-server-side-encryption",
            Some("AES256"),
        ),
        (
            "PUT /abc/n",
            vec![],
            "s3:x-amz-server-side-encryption",
            None,
        ),
        (
            "PUT /abc/n",
            vec![(sse, "nonsense")],
            "s3:x-amz-server-side-encryption",
            Some("nonsense"),
        ),
        (
            "PUT /abc/n",
            vec![(kms_key, id)],
            "s3:x-amz-server-side-encryption-aws-kms-key-id",
            Some(KEY_ARN),
        ),
        (
            "PUT /abc/n",
            vec![(kms_key, KEY_ARN)],
            "s3:x-amz-server-side-encryption-aws-kms-key-id",
            Some(KEY_ARN),
        ),
        (
            "PUT /abc/n",
            vec![("x-amz-copy-source", "%61bc%2Fk")],
            "s3:x-amz-copy-source",
            Some("abc/k"),
        ),
        (
            "PUT /abc/n",
            vec![("x-amz-copy-source", "/abc/k?versionId=null")],
            "s3:x-amz-copy-source",
            Some("abc/k?versionId=null"),
        ),
        // To who does not copy, a source means nothing.
        (
            "POST /abc/n?uploads",
            vec![("x-amz-copy-source", "abc/k")],
            "s3:x-amz-copy-source",
            None,
        ),
        (
            "PUT /abc/n",
            vec![("x-amz-tagging", "a=b")],
            "s3:RequestObjectTag/a",
            Some("b"),
        ),
        (
            "PUT /abc/n",
            vec![("x-amz-tagging", "a=b")],
            "s3:RequestObjectTagKeys",
            Some("a"),
        ),
        ("PUT /abc/n", vec![], "s3:RequestObjectTagKeys", None),
        // A copy takes its source's tags unless it is told otherwise.
        (
            "PUT /abc/n",
            vec![("x-amz-copy-source", "abc/k"), ("x-amz-tagging", "a=b")],
            "s3:RequestObjectTag/a",
            None,
        ),
        (
            "PUT /abc/n",
            vec![("referer", "https://x/")],
            "aws:Referer",
            Some("https://x/"),
        ),
        (
            "PUT /abc/n",
            vec![("x-amz-acl", "private")],
            "s3:x-amz-acl",
            Some("private"),
        ),
        (
            "PUT /abc/n",
            vec![("if-none-match", "*")],
            "s3:if-none-match",
            Some("*"),
        ),
        ("PUT /abc/n", vec![], "s3:authType", Some("REST-HEADER")),
        ("PUT /abc/n", vec![], "s3:signatureAge", Some("0")),
        (
            "PUT /abc/n",
            vec![],
            "s3:ObjectCreationOperation",
            Some("true"),
        ),
        (
            "POST /abc/n?uploads",
            vec![],
            "s3:ObjectCreationOperation",
            Some("false"),
        ),
        (
            "GET /abc?prefix=a%2F&max-keys=7",
            vec![],
            "s3:prefix",
            Some("a/"),
        ),
        (
            "GET /abc?prefix=a%2F&max-keys=7",
            vec![],
            "s3:max-keys",
            Some("7"),
        ),
        ("GET /abc?prefix=", vec![], "s3:prefix", Some("")),
        ("GET /abc", vec![], "s3:prefix", None),
        ("GET /abc/k?prefix=a", vec![], "s3:prefix", None),
        ("GET /abc?versions&prefix=a", vec![], "s3:prefix", Some("a")),
        (
            "GET /abc?list-type=2&delimiter=d",
            vec![],
            "s3:delimiter",
            Some("d"),
        ),
        ("GET /abc?uploads&prefix=a", vec![], "s3:prefix", Some("a")),
        ("GET /abc?uploads&max-keys=1", vec![], "s3:max-keys", None),
        // What does not list goes by no prefix.
        ("POST /abc?delete&prefix=a", vec![], "s3:prefix", None),
        ("PUT /abc?tagging&prefix=a", vec![], "s3:prefix", None),
        (
            "GET /abc?location&delimiter=d",
            vec![],
            "s3:delimiter",
            None,
        ),
        ("HEAD /abc?max-keys=1", vec![], "s3:max-keys", None),
        (
            "DELETE /abc/none",
            vec![("if-match", "*")],
            "s3:if-match",
            Some("*"),
        ),
        (
            "GET /abc/k",
            vec![("if-none-match", "x")],
            "s3:if-none-match",
            Some("x"),
        ),
        // To who does not go by it, a condition means nothing.
        (
            "POST /abc?delete",
            vec![("if-match", "*")],
            "s3:if-match",
            None,
        ),
        (
            "POST /abc/n?uploads",
            vec![("if-match", "*")],
            "s3:if-match",
            None,
        ),
        (
            "DELETE /abc/none",
            vec![("if-none-match", "*")],
            "s3:if-none-match",
            None,
        ),
        (
            "GET /abc/k?versionId=null",
            vec![],
            "s3:VersionId",
            Some("null"),
        ),
        ("PUT /abc/n?versionId=null", vec![], "s3:VersionId", None),
        // No header is a key that it is not.
        (
            "PUT /abc/n",
            vec![("aws-sourceip", "1.1.1.1")],
            "aws:SourceIp",
            None,
        ),
        ("PUT /abc/n", vec![("s3-prefix", "x")], "s3:prefix", None),
        (
            "PUT /abc/n",
            vec![("x-amz-tagging", "a=b")],
            "aws:RequestTag/a",
            None,
        ),
        (
            "GET /abc/k",
            vec![("x-amz-tagging", "a=b")],
            "s3:RequestObjectTag/a",
            None,
        ),
    ];
    for (target, headers, key, expected) in cases {
        let at = target.split_once(' ').unwrap();
        world.call(&root(OWNER), at, &headers, b"").await;
        let action = world.actions().remove(0);
        let action = if action == "s3:GetObject" && at.0 == "PUT" {
            "s3:PutObject".to_owned()
        } else {
            action
        };
        let found = world.values(&action, key);
        let expected = expected.map(|value| vec![value.to_owned()]);
        assert_eq!(found, expected, "{target} {headers:?} {key}");
    }
}

#[tokio::test]
async fn policies_that_demand_encryption_headers_bind_root_too() {
    let world = World::with_object().await;
    let aes = ("x-amz-server-side-encryption", "AES256");
    let kms = ("x-amz-server-side-encryption", "aws:kms");
    let arn = ("x-amz-server-side-encryption-aws-kms-key-id", KEY_ARN);
    let alias = ("x-amz-server-side-encryption-aws-kms-key-id", "alias/known");
    let unknown = ("x-amz-server-side-encryption-aws-kms-key-id", "alias/none");
    let customer = ("x-amz-server-side-encryption-customer-algorithm", "AES256");
    let require_kms =
        r#"{"StringNotEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}"#.to_owned();
    let require_header = r#"{"Null":{"s3:x-amz-server-side-encryption":"true"}}"#.to_owned();
    let require_key = format!(
        r#"{{"StringNotEquals":{{"s3:x-amz-server-side-encryption-aws-kms-key-id":"{KEY_ARN}"}}}}"#
    );
    let forbid_key = format!(
        r#"{{"StringEquals":{{"s3:x-amz-server-side-encryption-aws-kms-key-id":"{KEY_ARN}"}}}}"#
    );
    let require_customer =
        r#"{"Null":{"s3:x-amz-server-side-encryption-customer-algorithm":"true"}}"#.to_owned();
    let forbid_customer =
        r#"{"Null":{"s3:x-amz-server-side-encryption-customer-algorithm":"false"}}"#.to_owned();
    let optional_kms = r#"{"Null":{"s3:x-amz-server-side-encryption":"false"},"StringNotEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}"#.to_owned();
    let require_tls = r#"{"Bool":{"aws:SecureTransport":"false"}}"#.to_owned();
    let old_tls = r#"{"NumericLessThan":{"s3:TlsVersion":"1.2"}}"#.to_owned();
    for (condition, headers, is_denied) in [
        (&require_kms, vec![], true),
        (&require_kms, vec![aes], true),
        (&require_kms, vec![kms], false),
        (&require_header, vec![], true),
        (&require_header, vec![aes], false),
        (&require_key, vec![], true),
        (&require_key, vec![kms], true),
        (&require_key, vec![kms, arn], false),
        (&require_key, vec![kms, alias], false),
        (&require_key, vec![kms, unknown], true),
        (&forbid_key, vec![kms, alias], true),
        (&forbid_key, vec![kms, unknown], true),
        (&forbid_key, vec![], false),
        (&require_customer, vec![], true),
        (&require_customer, vec![customer], false),
        (&forbid_customer, vec![customer], true),
        (&forbid_customer, vec![], false),
        (&optional_kms, vec![], false),
        (&optional_kms, vec![aes], true),
        (&optional_kms, vec![kms], false),
        (&require_tls, vec![], true),
        // Absent on plain HTTP: this alone does not demand TLS.
        (&old_tls, vec![], false),
    ] {
        world.set_policy(&deny("s3:PutObject", condition)).await;
        for at in [("PUT", "/abc/n"), ("POST", "/abc/n?uploads")] {
            let told = world.call(&root(OWNER), at, &headers, b"").await;
            let got = (told.status == 403, told.code == "AccessDenied");
            assert_eq!(
                got,
                (is_denied, is_denied),
                "{condition} {headers:?} {}",
                told.body
            );
        }
    }
    world
        .set_policy(&deny("s3:PutObject", &require_header))
        .await;
    let told = world.call(&root(OWNER), ("PUT", "/abc/n"), &[], b"").await;
    assert_eq!(
        told.message,
        "User: arn:aws:iam::111122223333:root is not authorized to perform: s3:PutObject on \
         resource: &quot;arn:aws:s3:::abc/n&quot; with an explicit deny in a resource-based policy"
    );
}

#[tokio::test]
async fn an_upload_goes_on_as_it_was_begun() {
    let world = World::with_object().await;
    let condition = r#"{"StringNotEquals":{"s3:x-amz-server-side-encryption":"AES256"}}"#;
    let begin = async |headers: &[(&str, &str)]| {
        let told = world.owner("POST", "/abc/n?uploads", headers, b"").await;
        element(&told.body, "UploadId")
    };
    let aes = [("x-amz-server-side-encryption", "AES256")];
    let (plain, marked) = (begin(&[]).await, begin(&aes).await);
    world.set_policy(&deny("s3:PutObject", condition)).await;
    for (upload, headers, status) in [
        (&marked, &[][..], 200),
        (&plain, &[][..], 403),
        // What was not said when it was begun cannot be said now.
        (&plain, &aes[..], 403),
    ] {
        let target = format!("/abc/n?partNumber=1&uploadId={upload}");
        let told = world
            .call(&root(OWNER), ("PUT", &target), headers, b"x")
            .await;
        assert_eq!(told.status, status, "{headers:?} {}", told.body);
    }
    // A customer's key is spoken of by each request.
    let condition = r#"{"Null":{"s3:x-amz-server-side-encryption-customer-algorithm":"true"}}"#;
    world.set_policy(&deny("s3:PutObject", condition)).await;
    let target = format!("/abc/n?partNumber=1&uploadId={marked}");
    let told = world.call(&root(OWNER), ("PUT", &target), &[], b"x").await;
    assert_eq!(told.code, "AccessDenied");
}

/// A form for `abc/k`, signed a minute ago, with these fields more.
fn signed_form(fields: &[(&str, &str)]) -> Vec<u8> {
    let mac = |key: &[u8], text: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
    };
    let scope = "20130523/us-east-1/s3/aws4_request";
    let credential = format!("{FORM_KEY_ID}/{scope}");
    let mut fields = fields.to_vec();
    fields.extend([
        ("key", "k"),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-credential", &credential),
        ("x-amz-date", "20130523T235900Z"),
    ]);
    let conditions: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!(r#"{{"{name}":"{value}"}}"#))
        .collect();
    let policy = STANDARD.encode(format!(
        r#"{{"expiration":"2013-05-24T01:00:00Z","conditions":[{{"bucket":"abc"}},{}]}}"#,
        conditions.join(",")
    ));
    let key = scope
        .split('/')
        .fold(format!("AWS4{FORM_SECRET}").into_bytes(), |key, part| {
            mac(&key, part)
        });
    let signature = hex::encode(mac(&key, &policy));
    fields.extend([("policy", &*policy), ("x-amz-signature", &signature)]);
    fields
        .iter()
        .map(|(name, value)| format!("name=\"{name}\"\r\n\r\n{value}"))
        .chain(["name=\"file\"\r\n\r\ndata".to_owned()])
        .map(|part| format!("--x\r\nContent-Disposition: form-data; {part}\r\n"))
        .chain(["--x--\r\n".to_owned()])
        .collect::<String>()
        .into_bytes()
}

#[tokio::test]
async fn a_form_says_when_it_was_signed_and_not_what_nobody_verifies() {
    let world = World::with_object().await;
    let form = [("content-type", "multipart/form-data; boundary=x")];
    let at = ("POST", "/abc");
    let body = signed_form(&[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]);
    let told = world.call(&Principal::Anonymous, at, &form, &body).await;
    assert_eq!(told.status, 204, "{}", told.body);
    for (key, expected) in [
        ("s3:authType", Some("POST")),
        ("s3:signatureAge", Some("60000")),
        ("s3:x-amz-content-sha256", None),
    ] {
        let value = world.values("s3:PutObject", key);
        assert_eq!(value, expected.map(|value| vec![value.to_owned()]), "{key}");
    }
    let condition = r#"{"NumericGreaterThan":{"s3:signatureAge":"59999"}}"#;
    world.set_policy(&deny("s3:PutObject", condition)).await;
    let told = world.call(&Principal::Anonymous, at, &form, &body).await;
    assert_eq!(told.code, "AccessDenied", "{}", told.body);
    // A condition on an ETag binds a form as any other write.
    let body = signed_form(&[("if-match", "*")]);
    world.owner("DELETE", "/abc?policy", &[], b"").await;
    world.owner("DELETE", "/abc/k", &[], b"").await;
    let told = world.call(&Principal::Anonymous, at, &form, &body).await;
    assert_eq!(told.code, "NoSuchKey", "{}", told.body);
    assert_eq!(world.actions(), ["s3:PutObject", "s3:ListBucket"]);
}
