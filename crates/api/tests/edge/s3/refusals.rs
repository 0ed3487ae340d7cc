//! What is refused, with AWS's status, code and text.

use super::server;

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
