//! Objects: put, read, copied, uploaded in parts, under versions and customer keys.

use http::StatusCode;

use super::server;

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
