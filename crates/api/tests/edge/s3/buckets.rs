//! Buckets: their listings, and what is configured and what never was.

use super::{server, server_in};

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
