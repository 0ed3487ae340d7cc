//! For which actions an operation asks, on what, and how often.

use strongroom_types::Principal;

use super::{KEY_ARN, OWNER, World, element, root};
use crate::s3::route::{Level, ROUTES, Route, Selector};

/// Target, headers and body that reach a row.
fn request_for(route: &Route) -> (String, Vec<(&'static str, &'static str)>, &'static [u8]) {
    const SOURCE: (&str, &str) = ("x-amz-copy-source", "/abc/k");
    let path = match route.level {
        Level::Service => "/",
        Level::Bucket if route.name == "CreateBucket" => "/new",
        Level::Bucket => "/abc",
        Level::Object => "/abc/k",
    };
    let (query, headers) = match route.selector {
        Selector::Plain => (String::new(), vec![]),
        Selector::Query(name) => (format!("?{name}"), vec![]),
        Selector::Both(first, second) => (format!("?{first}=1&{second}=1"), vec![]),
        Selector::Value(name, value) => (format!("?{name}={value}"), vec![]),
        Selector::Header(_) => (String::new(), vec![SOURCE]),
        Selector::BothAndHeader(first, second, _) => {
            (format!("?{first}=1&{second}=1"), vec![SOURCE])
        }
        Selector::Form => (
            String::new(),
            vec![("content-type", "multipart/form-data; boundary=x")],
        ),
    };
    let body: &[u8] = match route.name {
        "DeleteObjects" => b"<Delete><Object><Key>k</Key></Object></Delete>",
        "PostObject" => {
            b"--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--x\r\n\
              Content-Disposition: form-data; name=\"file\"\r\n\r\ndata\r\n--x--\r\n"
        }
        _ => b"",
    };
    (format!("{path}{query}"), headers, body)
}

#[tokio::test]
async fn every_operation_asks_for_the_action_of_its_row() {
    let world = World::with_object().await;
    let nobody = world.set_user("nobody", r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#);
    for route in ROUTES {
        let (target, headers, body) = request_for(route);
        // A form's signature is in the form: one without is sent by nobody.
        let caller = if route.name == "PostObject" {
            Principal::Anonymous
        } else {
            nobody.clone()
        };
        let asked = (route.method.as_str(), target.as_str());
        let told = world.call(&caller, asked, &headers, body).await;
        let actions = world.actions();
        // What is copied is asked for first.
        let expected: &[&str] = match route.name {
            "CopyObject" | "UploadPartCopy" => &["s3:GetObject"],
            // The bucket first, whose existence all may know, then key by key.
            "DeleteObjects" => &["s3:DeleteObject", "s3:DeleteObject"],
            _ => &[route.action],
        };
        assert_eq!(actions, expected, "{}", route.name);
        if route.name == "DeleteObjects" {
            assert!(
                told.body.contains("<Code>AccessDenied</Code>"),
                "{}",
                told.body
            );
        } else {
            assert_eq!(told.status, 403, "{}: {}", route.name, told.body);
        }
    }
}

type Headers = &'static [(&'static str, &'static str)];

#[tokio::test]
async fn copies_and_what_a_write_does_beside_are_asked_for_each() {
    let world = World::with_object().await;
    world.owner("PUT", "/abc/plain", &[], b"x").await;
    let source = ("x-amz-copy-source", "/abc/k");
    let replace = ("x-amz-tagging-directive", "REPLACE");
    let cases: &[(&str, Headers, &[&str])] = &[
        ("PUT /abc/n", &[], &["s3:PutObject"]),
        (
            "PUT /abc/n",
            &[("x-amz-tagging", "a=b")],
            &["s3:PutObject", "s3:PutObjectTagging"],
        ),
        (
            "PUT /abc/n",
            &[("x-amz-acl", "bucket-owner-full-control")],
            &["s3:PutObject", "s3:PutObjectAcl"],
        ),
        (
            "POST /abc/n?uploads",
            &[("x-amz-tagging", "a=b")],
            &["s3:PutObject", "s3:PutObjectTagging"],
        ),
        ("GET /abc/k?versionId=null", &[], &["s3:GetObjectVersion"]),
        ("HEAD /abc/k?versionId=null", &[], &["s3:GetObjectVersion"]),
        ("HEAD /abc", &[], &["s3:ListBucket"]),
        (
            "GET /abc/k?tagging&versionId=null",
            &[],
            &["s3:GetObjectVersionTagging"],
        ),
        (
            "DELETE /abc/k2?tagging&versionId=null",
            &[],
            // The second because it is not there.
            &["s3:DeleteObjectVersionTagging", "s3:ListBucket"],
        ),
        (
            "GET /abc/k?attributes",
            &[("x-amz-object-attributes", "ETag")],
            &["s3:GetObjectAttributes", "s3:GetObject"],
        ),
        (
            "GET /abc/k?attributes&versionId=null",
            &[("x-amz-object-attributes", "ETag")],
            &["s3:GetObjectVersionAttributes", "s3:GetObjectVersion"],
        ),
        (
            "DELETE /abc/gone?versionId=null",
            &[],
            &["s3:DeleteObjectVersion"],
        ),
        // Whether an object has an ETag is told to who may read it; and that it is missing, to who
        // may list.
        (
            "DELETE /abc/gone",
            &[("if-match", "\"e\"")],
            &["s3:DeleteObject", "s3:GetObject", "s3:ListBucket"],
        ),
        (
            "DELETE /abc/gone?versionId=null",
            &[("if-match", "\"e\"")],
            &[
                "s3:DeleteObjectVersion",
                "s3:GetObjectVersion",
                "s3:ListBucket",
            ],
        ),
        (
            "DELETE /abc/gone",
            &[("if-match", "*")],
            &["s3:DeleteObject", "s3:ListBucket"],
        ),
        (
            "PUT /abc/gone",
            &[("if-match", "\"e\"")],
            &["s3:PutObject", "s3:GetObject", "s3:ListBucket"],
        ),
        (
            "PUT /abc/gone",
            &[("if-match", "*")],
            &["s3:PutObject", "s3:ListBucket"],
        ),
        ("PUT /abc/n", &[("if-none-match", "*")], &["s3:PutObject"]),
        (
            "POST /abc/n?uploads",
            &[("if-match", "\"e\"")],
            &["s3:PutObject"],
        ),
        (
            "PUT /abc/gone",
            &[("x-amz-copy-source", "abc/plain"), ("if-match", "\"e\"")],
            // The last for both buckets: either object may be what is missing.
            &[
                "s3:GetObject",
                "s3:PutObject",
                "s3:GetObject",
                "s3:ListBucket",
            ],
        ),
        ("PUT /new1", &[], &["s3:CreateBucket"]),
        (
            "PUT /new2",
            &[("x-amz-acl", "bucket-owner-full-control")],
            &["s3:CreateBucket", "s3:PutBucketAcl"],
        ),
        (
            "PUT /new3",
            &[("x-amz-object-ownership", "BucketOwnerEnforced")],
            &["s3:CreateBucket", "s3:PutBucketOwnershipControls"],
        ),
    ];
    for (target, headers, expected) in cases {
        let at = target.split_once(' ').unwrap();
        world.call(&root(OWNER), at, headers, b"").await;
        // What is not in memory is decided about once more where the disk may be waited for.
        let mut actions = world.actions();
        actions.dedup();
        assert_eq!(actions, *expected, "{target} {headers:?}");
    }
    for (headers, expected) in [
        (
            vec![source],
            vec![
                "s3:GetObject",
                "s3:GetObjectTagging",
                "s3:PutObject",
                "s3:PutObjectTagging",
            ],
        ),
        (vec![source, replace], vec!["s3:GetObject", "s3:PutObject"]),
        (
            vec![source, replace, ("x-amz-tagging", "a=b")],
            vec!["s3:GetObject", "s3:PutObject", "s3:PutObjectTagging"],
        ),
        (
            vec![("x-amz-copy-source", "abc/plain")],
            vec!["s3:GetObject", "s3:PutObject"],
        ),
        (
            vec![("x-amz-copy-source", "abc/plain?versionId=null")],
            vec!["s3:GetObjectVersion", "s3:PutObject"],
        ),
    ] {
        world.owner("PUT", "/abc/copy", &headers, b"").await;
        assert_eq!(world.actions(), expected, "{headers:?}");
        for (action, resource) in world.asked() {
            let is_source = action.starts_with("s3:Get");
            assert_eq!(resource == "arn:aws:s3:::abc/copy", !is_source, "{action}");
        }
    }
    let tags = b"<CreateBucketConfiguration><Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags></CreateBucketConfiguration>";
    world.owner("PUT", "/new4", &[], tags).await;
    let new = "arn:aws:s3:::new4".to_owned();
    assert_eq!(
        world.asked(),
        [
            ("s3:CreateBucket".to_owned(), new.clone()),
            ("s3:TagResource".to_owned(), new)
        ]
    );
    assert_eq!(
        world.values("s3:CreateBucket", "aws:RequestTag/a"),
        Some(vec!["b".to_owned()])
    );
}

#[tokio::test]
async fn deletes_by_etag_are_reads_key_by_key() {
    let world = World::with_object().await;
    let document = br#"<Delete><Object><Key>a</Key><ETag>"e"</ETag></Object>
        <Object><Key>b</Key><ETag> * </ETag></Object><Object><Key>c</Key></Object></Delete>"#;
    let header = [("if-match", "ignored")];
    world.owner("POST", "/abc?delete", &header, document).await;
    let asked = world.authorizer.asked.lock().unwrap();
    let asked: Vec<_> = asked
        .iter()
        .filter(|((action, _), _)| action != "s3:ListBucket")
        .skip(1)
        .map(|((action, on), conditions)| {
            let etag = conditions.get("s3:if-match").map(<[String]>::concat);
            (&**action, on.rsplit('/').next().unwrap(), etag)
        })
        .collect();
    let etag = |etag: &str| Some(etag.to_owned());
    assert_eq!(
        asked,
        [
            ("s3:DeleteObject", "a", etag("\"e\"")),
            ("s3:GetObject", "a", etag("\"e\"")),
            ("s3:DeleteObject", "b", etag("*")),
            ("s3:DeleteObject", "c", None),
        ]
    );
}

#[tokio::test]
async fn conditions_by_etag_need_the_right_to_read() {
    let world = World::with_object().await;
    let writer = world.set_user(
        "writer",
        r#"{"Effect":"Allow","Action":["s3:PutObject","s3:DeleteObject","s3:ListBucket"],"Resource":"*"}"#,
    );
    let upload = world.owner("POST", "/abc/k?uploads", &[], b"").await;
    let complete = format!("/abc/k?uploadId={}", element(&upload.body, "UploadId"));
    let etag = [("if-match", "\"e\"")];
    for at in [("PUT", "/abc/k"), ("DELETE", "/abc/k"), ("POST", &complete)] {
        let told = world.call(&writer, at, &etag, b"").await;
        assert_eq!(told.code, "AccessDenied", "{at:?} {}", told.body);
        assert!(told.message.contains("s3:GetObject"), "{}", told.message);
    }
    let document = br#"<Delete><Object><Key>k</Key><ETag>"e"</ETag></Object></Delete>"#;
    let told = world
        .call(&writer, ("POST", "/abc?delete"), &[], document)
        .await;
    assert_eq!(told.code, "AccessDenied", "{}", told.body);
    // That it is there is not what is in it.
    let any = [("if-match", "*")];
    for at in [("PUT", "/abc/k"), ("DELETE", "/abc/k")] {
        let told = world.call(&writer, at, &any, b"").await;
        assert!(told.status < 300, "{at:?} {}", told.body);
    }
}

#[tokio::test]
async fn to_change_an_objects_key_is_to_write_it() {
    let world = World::with_object().await;
    let body = format!(
        "<ObjectEncryption><SSE-KMS><KMSKeyArn>{KEY_ARN}</KMSKeyArn></SSE-KMS></ObjectEncryption>"
    );
    let at = ("PUT", "/abc/k?encryption");
    let half = world.set_user(
        "half",
        r#"{"Effect":"Allow","Action":"s3:UpdateObjectEncryption","Resource":"*"}"#,
    );
    let told = world.call(&half, at, &[], body.as_bytes()).await;
    assert!(told.message.contains("s3:PutObject"), "{}", told.body);
    let both = world.set_user(
        "both",
        r#"{"Effect":"Allow","Action":["s3:UpdateObjectEncryption","s3:PutObject"],"Resource":"*"}"#,
    );
    // The key is one that nobody has.
    let told = world.call(&both, at, &[], body.as_bytes()).await;
    assert_ne!(told.code, "AccessDenied", "{}", told.body);
    let actions = ["s3:UpdateObjectEncryption", "s3:PutObject"];
    assert_eq!(world.actions(), actions);
    let sse = "s3:x-amz-server-side-encryption";
    let value = world.values("s3:PutObject", sse);
    assert_eq!(value, Some(vec!["aws:kms".to_owned()]));
    let value = world.values("s3:PutObject", &format!("{sse}-aws-kms-key-id"));
    assert_eq!(value, Some(vec![KEY_ARN.to_owned()]));
}

#[tokio::test]
async fn many_keys_are_each_decided_about() {
    let world = World::with_object().await;
    let deleter = world.set_user(
        "deleter",
        r#"{"Effect":"Allow","Action":"s3:DeleteObject","Resource":"arn:aws:s3:::abc/mine/*"}"#,
    );
    let document = b"<Delete><Object><Key>mine/a</Key></Object><Object><Key>k</Key></Object>\
        <Object><Key>mine/a</Key><VersionId>null</VersionId></Object></Delete>";
    let told = world
        .call(&deleter, ("POST", "/abc?delete"), &[], document)
        .await;
    assert_eq!(told.status, 200);
    assert_eq!(
        world.asked()[1..],
        [
            (
                "s3:DeleteObject".to_owned(),
                "arn:aws:s3:::abc/mine/a".to_owned()
            ),
            (
                "s3:DeleteObject".to_owned(),
                "arn:aws:s3:::abc/k".to_owned()
            ),
            (
                "s3:DeleteObjectVersion".to_owned(),
                "arn:aws:s3:::abc/mine/a".to_owned()
            ),
        ]
    );
    assert_eq!(
        told.body.matches("<Code>AccessDenied</Code>").count(),
        2,
        "{}",
        told.body
    );
    assert_eq!(told.body.matches("<Deleted>").count(), 1);
}
