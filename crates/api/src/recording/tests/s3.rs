//! Records of S3: each operation's name and kind, what matches none, ends of answers that began
//! before, and whose a bucket is.

use std::collections::BTreeMap;

use strongroom_audit::trails::DataLevel;

use super::*;
use crate::s3::{Route, Selector};

const S3: &str = "s3.amazonaws.com";

/// Operation, `eventName`, `readOnly`, whether it is a data event (S3 User Guide, "Amazon S3
/// CloudTrail events").
type Kind = (&'static str, &'static str, bool, bool);

const READ: bool = true;
const WRITE: bool = false;
const DATA: bool = true;
const MANAGEMENT: bool = false;

#[rustfmt::skip]
const KINDS: &[Kind] = &[
    ("AbortMultipartUpload", "AbortMultipartUpload", WRITE, DATA),
    ("CompleteMultipartUpload", "CompleteMultipartUpload", WRITE, DATA),
    ("CopyObject", "CopyObject", WRITE, DATA),
    ("CreateBucket", "CreateBucket", WRITE, MANAGEMENT),
    ("CreateMultipartUpload", "CreateMultipartUpload", WRITE, DATA),
    ("DeleteBucket", "DeleteBucket", WRITE, MANAGEMENT),
    ("DeleteBucketCors", "DeleteBucketCors", WRITE, MANAGEMENT),
    ("DeleteBucketEncryption", "DeleteBucketEncryption", WRITE, MANAGEMENT),
    ("DeleteBucketLifecycle", "DeleteBucketLifecycle", WRITE, MANAGEMENT),
    ("DeleteBucketOwnershipControls", "DeleteBucketOwnershipControls", WRITE, MANAGEMENT),
    ("DeleteBucketPolicy", "DeleteBucketPolicy", WRITE, MANAGEMENT),
    ("DeleteBucketReplication", "DeleteBucketReplication", WRITE, MANAGEMENT),
    ("DeleteBucketTagging", "DeleteBucketTagging", WRITE, MANAGEMENT),
    ("DeleteBucketWebsite", "DeleteBucketWebsite", WRITE, MANAGEMENT),
    ("DeleteObject", "DeleteObject", WRITE, DATA),
    ("DeleteObjectTagging", "DeleteObjectTagging", WRITE, DATA),
    ("DeleteObjects", "DeleteObjects", WRITE, DATA),
    ("DeletePublicAccessBlock", "DeleteBucketPublicAccessBlock", WRITE, MANAGEMENT),
    ("GetBucketAccelerateConfiguration", "GetBucketAccelerateConfiguration", READ, MANAGEMENT),
    ("GetBucketAcl", "GetBucketAcl", READ, MANAGEMENT),
    ("GetBucketAnalyticsConfiguration", "GetBucketAnalyticsConfiguration", READ, MANAGEMENT),
    ("GetBucketCors", "GetBucketCors", READ, MANAGEMENT),
    ("GetBucketEncryption", "GetBucketEncryption", READ, MANAGEMENT),
    ("GetBucketIntelligentTieringConfiguration", "GetBucketIntelligentTieringConfiguration", READ, MANAGEMENT),
    ("GetBucketInventoryConfiguration", "GetBucketInventoryConfiguration", READ, MANAGEMENT),
    ("GetBucketLifecycleConfiguration", "GetBucketLifecycle", READ, MANAGEMENT),
    ("GetBucketLocation", "GetBucketLocation", READ, MANAGEMENT),
    ("GetBucketLogging", "GetBucketLogging", READ, MANAGEMENT),
    ("GetBucketMetricsConfiguration", "GetBucketMetricsConfiguration", READ, MANAGEMENT),
    ("GetBucketNotificationConfiguration", "GetBucketNotification", READ, MANAGEMENT),
    ("GetBucketOwnershipControls", "GetBucketOwnershipControls", READ, MANAGEMENT),
    ("GetBucketPolicy", "GetBucketPolicy", READ, MANAGEMENT),
    ("GetBucketPolicyStatus", "GetBucketPolicyStatus", READ, MANAGEMENT),
    ("GetBucketReplication", "GetBucketReplication", READ, MANAGEMENT),
    ("GetBucketRequestPayment", "GetBucketRequestPayment", READ, MANAGEMENT),
    ("GetBucketTagging", "GetBucketTagging", READ, MANAGEMENT),
    ("GetBucketVersioning", "GetBucketVersioning", READ, MANAGEMENT),
    ("GetBucketWebsite", "GetBucketWebsite", READ, MANAGEMENT),
    ("GetObject", "GetObject", READ, DATA),
    ("GetObjectAcl", "GetObjectAcl", READ, DATA),
    ("GetObjectAttributes", "GetObjectAttributes", READ, DATA),
    ("GetObjectLegalHold", "GetObjectLegalHold", READ, DATA),
    ("GetObjectLockConfiguration", "GetBucketObjectLockConfiguration", READ, MANAGEMENT),
    ("GetObjectRetention", "GetObjectRetention", READ, DATA),
    ("GetObjectTagging", "GetObjectTagging", READ, DATA),
    ("GetPublicAccessBlock", "GetBucketPublicAccessBlock", READ, MANAGEMENT),
    ("HeadBucket", "HeadBucket", READ, MANAGEMENT),
    ("HeadObject", "HeadObject", READ, DATA),
    ("ListBucketAnalyticsConfigurations", "ListBucketAnalyticsConfigurations", READ, MANAGEMENT),
    ("ListBucketIntelligentTieringConfigurations", "ListBucketIntelligentTieringConfigurations", READ, MANAGEMENT),
    ("ListBucketInventoryConfigurations", "ListBucketInventoryConfigurations", READ, MANAGEMENT),
    ("ListBucketMetricsConfigurations", "ListBucketMetricsConfigurations", READ, MANAGEMENT),
    ("ListBuckets", "ListBuckets", READ, MANAGEMENT),
    ("ListMultipartUploads", "ListMultipartUploads", READ, DATA),
    ("ListObjectVersions", "ListObjectVersions", READ, DATA),
    ("ListObjects", "ListObjects", READ, DATA),
    ("ListObjectsV2", "ListObjects", READ, DATA),
    ("ListParts", "ListParts", READ, DATA),
    ("PostObject", "PostObject", WRITE, DATA),
    ("PutBucketAcl", "PutBucketAcl", WRITE, MANAGEMENT),
    ("PutBucketEncryption", "PutBucketEncryption", WRITE, MANAGEMENT),
    ("PutBucketLogging", "PutBucketLogging", WRITE, MANAGEMENT),
    ("PutBucketOwnershipControls", "PutBucketOwnershipControls", WRITE, MANAGEMENT),
    ("PutBucketPolicy", "PutBucketPolicy", WRITE, MANAGEMENT),
    ("PutBucketTagging", "PutBucketTagging", WRITE, MANAGEMENT),
    ("PutBucketVersioning", "PutBucketVersioning", WRITE, MANAGEMENT),
    ("PutObject", "PutObject", WRITE, DATA),
    ("PutObjectAcl", "PutObjectAcl", WRITE, DATA),
    ("PutObjectTagging", "PutObjectTagging", WRITE, DATA),
    ("PutPublicAccessBlock", "PutBucketPublicAccessBlock", WRITE, MANAGEMENT),
    ("UpdateObjectEncryption", "UpdateObjectEncryption", WRITE, DATA),
    ("UploadPart", "UploadPart", WRITE, DATA),
    ("UploadPartCopy", "UploadPartCopy", WRITE, DATA),
];

/// A world in which somebody wants all data events.
async fn world_of_data() -> World {
    let world = world_on(Ground {
        data_events: DataEvents::new(DataLevel::All),
        ..Ground::new()
    });
    world.await
}

/// The request that asks for an operation: target and headers.
fn request_for(route: &Route) -> (String, Vec<(&'static str, &'static str)>) {
    let (query, headers) = match route.selector {
        Selector::Plain => (String::new(), vec![]),
        Selector::Query(name) => (format!("?{name}"), vec![]),
        Selector::Both(first, second) => (format!("?{first}=1&{second}=1"), vec![]),
        Selector::Value(name, value) => (format!("?{name}={value}"), vec![]),
        Selector::Header(name) => (String::new(), vec![(name, "/abc/k")]),
        Selector::BothAndHeader(first, second, header) => {
            (format!("?{first}=1&{second}=1"), vec![(header, "/abc/k")])
        }
        Selector::Form => (
            String::new(),
            vec![("content-type", "multipart/form-data; boundary=x")],
        ),
    };
    let path = match route.name {
        "ListBuckets" => "/",
        _ if format!("{:?}", route.level) == "Object" => "/abc/k",
        _ => "/abc",
    };
    (format!("{path}{query}"), headers)
}

#[tokio::test]
async fn every_operation_has_its_name_and_its_kind_whatever_becomes_of_it() {
    let kinds: BTreeMap<&str, &Kind> = KINDS.iter().map(|it| (it.0, it)).collect();
    assert_eq!(kinds.len(), KINDS.len());
    let names = crate::s3::routes().iter().map(|it| it.name);
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let listed: Vec<&str> = kinds.keys().copied().collect();
    assert_eq!(names, listed, "each operation has one row");

    let world = world_of_data().await;
    let nobody = world.nobody().await;
    world.s3(Some(&root()), "PUT", "/abc", b"").await;
    world.s3(Some(&root()), "PUT", "/abc/k", b"body").await;
    for keys in [&nobody, &root()] {
        for route in crate::s3::routes() {
            // That of root is the last, and of another bucket.
            if route.name == "DeleteBucket" && keys.id == ROOT_KEY {
                continue;
            }
            let (target, headers) = request_for(route);
            let is_form = route.selector == Selector::Form;
            let signer = (!is_form).then_some(keys);
            let asked = (route.method.as_str(), target.as_str());
            let told = world.s3_with(signer, asked, &headers, b"").await;
            let record = world.record(&told, S3);
            let (name, event_name, read_only, is_data) = kinds[route.name];
            assert_eq!(record["eventName"], *event_name, "{name}: {record:#}");
            assert_eq!(record["readOnly"], *read_only, "{name}");
            assert_eq!(record["managementEvent"], !is_data, "{name}");
            let category = if *is_data { "Data" } else { "Management" };
            assert_eq!(record["eventCategory"], category, "{name}");
            assert_eq!(record["eventSource"], S3);
            let (parameters, resources) = (&record["requestParameters"], &record["resources"]);
            if target == "/" {
                assert_eq!(*resources, Value::Null);
                continue;
            }
            assert_eq!(parameters["bucketName"], "abc", "{name}");
            let bucket = resources.as_array().unwrap().last().unwrap();
            assert_eq!(bucket["type"], "AWS::S3::Bucket");
            assert_eq!(bucket["ARN"], "arn:aws:s3:::abc");
            if target.starts_with("/abc/k") {
                assert_eq!(parameters["key"], "k", "{name}");
                let object = json!({ "type": "AWS::S3::Object", "ARN": "arn:aws:s3:::abc/k" });
                assert_eq!(resources[0], object, "{name}");
            }
            if told.status == 403 && !is_form {
                assert_eq!(bucket["accountId"], ACCOUNT, "{name}: {record:#}");
                assert_eq!(record["errorCode"], "AccessDenied", "{name}");
            }
            if told.status < 300 {
                let denied = element(&told.body, "Code");
                assert!(
                    record["errorCode"].is_null() || denied == "AccessDenied",
                    "{name}"
                );
                assert_eq!(bucket["accountId"], ACCOUNT, "{name}: {record:#}");
            } else {
                assert!(record["errorCode"].is_string(), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_request_that_matches_no_operation_has_a_record_of_who_asked() {
    let world = world().await;
    let nobody = world.nobody().await;
    for (method, target, status, name, key) in [
        ("PUT", "/abc?website", 501, "PutBucketWebsite", None),
        ("PUT", "/abc?replication", 501, "PutBucketReplication", None),
        ("POST", "/abc/k?restore", 501, "RestoreObject", Some("k")),
        (
            "POST",
            "/abc/k?select",
            501,
            "SelectObjectContent",
            Some("k"),
        ),
        ("DELETE", "/abc?acl", 501, "Unknown", None),
        ("PATCH", "/abc/k", 405, "Unknown", Some("k")),
        ("POST", "/abc", 405, "Unknown", None),
        ("PUT", "/", 405, "Unknown", None),
    ] {
        for keys in [&nobody, &root()] {
            let told = world.s3(Some(keys), method, target, b"").await;
            assert_eq!(told.status, status, "{method} {target}: {}", told.body);
            let record = world.record(&told, S3);
            assert_eq!(record["eventName"], name, "{method} {target}");
            assert_eq!(record["errorCode"], element(&told.body, "Code"));
            assert_eq!(record["userIdentity"]["accessKeyId"], keys.id.as_str());
            assert_eq!(
                record["managementEvent"],
                key.is_none(),
                "{method} {target}"
            );
            assert_eq!(record["requestParameters"]["key"].as_str(), key);
            let bucket = (target != "/").then_some("abc");
            assert_eq!(record["requestParameters"]["bucketName"].as_str(), bucket);
            let additional = &record["additionalEventData"];
            assert_eq!(additional["AuthenticationMethod"], "AuthHeader");
        }
    }
    // A path that cannot be read is not addressed to anything.
    let told = world.s3(Some(&root()), "GET", "/abc/%FF", b"").await;
    assert_eq!(told.status, 400, "{}", told.body);
    assert_eq!(world.record(&told, S3)["eventName"], "Unknown");
    // What cannot be recorded is not answered.
    world.meta.is_broken.store(true, Ordering::Relaxed);
    let told = world.s3(Some(&root()), "PUT", "/abc?website", b"").await;
    assert_eq!(
        (told.status, element(&told.body, "Code").as_str()),
        (500, "InternalError")
    );
}

#[tokio::test]
async fn what_strangers_miss_and_mistake_is_counted_and_sampled() {
    for world in [world().await, world_of_data().await] {
        world.s3(Some(&root()), "PUT", "/abc", b"").await;
        let policy = br#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::abc","arn:aws:s3:::abc/*"]}]}"#;
        for (target, body) in [
            ("/abc?publicAccessBlock", &b"<PublicAccessBlockConfiguration><BlockPublicPolicy>false</BlockPublicPolicy></PublicAccessBlockConfiguration>"[..]),
            ("/abc?policy", policy),
        ] {
            let md5 = BASE64.encode(<md5::Md5 as md5::Digest>::digest(body));
            let headers = [("content-md5", md5.as_str())];
            let put = world.s3_with(Some(&root()), ("PUT", target), &headers, body).await;
            assert!(put.status < 300, "{}", put.body);
        }
        let asked = [
            ("GET", "/abc/missing", 404, "NoSuchKey"),
            ("GET", "/nowhere/k", 404, "NoSuchBucket"),
            ("GET", "/nowhere?location", 404, "NoSuchBucket"),
            ("PUT", "/abc/k", 403, "AccessDenied"),
            ("PUT", "/abc?website", 501, "NotImplemented"),
            ("PATCH", "/abc/k", 405, "MethodNotAllowed"),
        ];
        for _ in 0..20 {
            for (method, target, status, code) in asked {
                let told = world.s3(None, method, target, b"").await;
                assert_eq!(
                    (told.status, element(&told.body, "Code").as_str()),
                    (status, code)
                );
            }
        }
        let events = world.events();
        let codes = events.iter().filter_map(|it| it.error_code.as_deref());
        let mut codes: Vec<&str> = codes.collect();
        codes.sort_unstable();
        let expected = [
            "AccessDenied",
            "MethodNotAllowed",
            "NoSuchBucket",
            "NoSuchKey",
            "NotImplemented",
        ];
        assert_eq!(codes, expected, "one of each kind");
        world.clock.0.fetch_add(60_000, Ordering::Relaxed);
        let summary = world.recorder.summary(false).unwrap();
        let document: Value = serde_json::from_str(summary.document()).unwrap();
        assert_eq!(document["serviceEventDetails"]["total"], 120);
    }
}

#[tokio::test]
async fn requests_for_services_that_are_not_here_are_counted_and_sampled() {
    let world = world().await;
    for _ in 0..10 {
        let headers = [("x-amz-target", "secretsmanager.GetSecretValue")];
        let ask = Ask {
            method: "POST",
            target: "/",
            service: "secretsmanager",
            headers: &headers,
            body: b"{}",
        };
        let told = world.send(Some(&root()), ask).await;
        assert_eq!(told.status, 400);
    }
    let mut events = world.events();
    events.retain(|it| it.error_code.is_some());
    let [event] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(event.source, "secretsmanager.amazonaws.com");
    assert_eq!(
        event.error_code.as_deref(),
        Some("UnknownOperationException")
    );
    // Nobody looked at the signature.
    assert_eq!(event.access_key_id, None);
}

/// A world whose copies and completions begin to answer at once.
async fn world_of_haste(data_events: DataEvents) -> World {
    let keep_alive = KeepAlive {
        after: Duration::ZERO,
        every: Duration::from_millis(1),
    };
    let world = world_on(Ground {
        keep_alive,
        data_events,
        ..Ground::new()
    });
    let world = world.await;
    world.s3(Some(&root()), "PUT", "/abc", b"").await;
    world.s3(Some(&root()), "PUT", "/abc/k", b"body").await;
    world
}

const COPY: (&str, &str) = ("PUT", "/abc/copy");
const OF_K: [(&str, &str); 1] = [("x-amz-copy-source", "/abc/k")];

#[tokio::test]
async fn a_denial_at_the_end_of_a_200_is_recorded_as_what_it_is() {
    let world = world_of_haste(DataEvents::default()).await;
    let nobody = world.nobody().await;
    let complete = ("POST", "/abc/k?uploadId=x");
    let part = ("PUT", "/abc/k?partNumber=1&uploadId=x");
    let parts = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>";
    for (name, asked, headers, body) in [
        ("CopyObject", COPY, &OF_K[..], &b""[..]),
        ("UploadPartCopy", part, &OF_K[..], b""),
        ("CompleteMultipartUpload", complete, &[], parts),
    ] {
        let told = world.late(&nobody, asked, headers, body).await;
        assert_eq!(told.status, 200, "{name}");
        assert!(
            told.body.contains("<Code>AccessDenied</Code>"),
            "{}",
            told.body
        );
        let record = world.record(&told, S3);
        assert_eq!(record["eventName"], name);
        assert_eq!(record["errorCode"], "AccessDenied");
        let message = element(&told.body, "Message").replace("&quot;", "\"");
        assert_eq!(record["errorMessage"], message);
        assert_eq!(record["responseElements"], Value::Null);
        assert_eq!(record["userIdentity"]["userName"], "nobody");
        let bucket =
            json!({ "accountId": ACCOUNT, "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::abc" });
        assert_eq!(record["resources"][1], bucket, "{name}");
    }
    // Nobody wants to know of what succeeds, or fails for another reason.
    let told = world.late(&root(), COPY, &OF_K, b"").await;
    assert!(told.body.contains("<CopyObjectResult"), "{}", told.body);
    assert_eq!(world.records(&told.request_id, S3).len(), 0);
    // What cannot be recorded is not told.
    world.meta.is_broken.store(true, Ordering::Relaxed);
    let told = world.late(&nobody, COPY, &OF_K, b"").await;
    assert!(
        told.body.contains("<Code>InternalError</Code>"),
        "{}",
        told.body
    );
    assert!(!told.body.contains("AccessDenied"), "{}", told.body);
}

#[tokio::test]
async fn a_stranger_s_denial_at_the_end_of_a_200_is_in_the_trail_of_the_bucket_s_owner() {
    let world = world_of_haste(DataEvents::default()).await;
    let (other, other_account) = world.other_account().await;
    let made = world.s3(Some(&other), "PUT", "/theirs", b"").await;
    assert_eq!(made.status, 200, "{}", made.body);
    let told = world
        .late(None::<&Keys>, ("PUT", "/theirs/k"), &OF_K, b"")
        .await;
    assert!(told.body.contains("<Code>AccessDenied</Code>"));
    let records = world.records(&told.request_id, S3);
    let [record] = records.as_slice() else {
        panic!("{records:#?}")
    };
    assert_eq!(record["recipientAccountId"], other_account.as_str());
}

#[tokio::test]
async fn a_change_whose_client_goes_away_has_its_data_event() {
    let world = world_of_data().await;
    let keys = root();
    let keys = Some(&keys);
    world.s3(keys, "PUT", "/abc", b"").await;
    world.s3(keys, "PUT", "/abc/k", b"body").await;
    let made = world.s3(keys, "POST", "/abc/k?uploads", b"").await;
    let upload = element(&made.body, "UploadId");
    let part = format!("/abc/k?partNumber=1&uploadId={upload}");
    let (large, tags) = (
        vec![7; 100_000],
        &b"<Tagging><TagSet></TagSet></Tagging>"[..],
    );
    let put = world.s3(keys, "PUT", &part, &large).await;
    assert_eq!(put.status, 200, "{}", put.body);
    let whole = format!("/abc/k?uploadId={upload}");
    let etag = hex::encode(<md5::Md5 as md5::Digest>::digest(&large));
    let parts = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    let delete = b"<Delete><Object><Key>small</Key></Object></Delete>";
    let md5_of = |body: &[u8]| BASE64.encode(<md5::Md5 as md5::Digest>::digest(body));
    let (of_tags, of_delete) = (md5_of(tags), md5_of(delete));
    let (of_tags, of_delete) = (
        [("content-md5", of_tags.as_str())],
        [("content-md5", of_delete.as_str())],
    );
    for (name, asked, headers, body) in [
        ("PutObject", ("PUT", "/abc/small"), &[][..], &b"body"[..]),
        ("PutObject", ("PUT", "/abc/large"), &[], large.as_slice()),
        ("CopyObject", COPY, &OF_K[..], b""),
        (
            "PutObjectTagging",
            ("PUT", "/abc/k?tagging"),
            &of_tags[..],
            tags,
        ),
        ("UploadPart", ("PUT", part.as_str()), &[], large.as_slice()),
        (
            "CompleteMultipartUpload",
            ("POST", whole.as_str()),
            &[],
            parts.as_bytes(),
        ),
        (
            "CreateMultipartUpload",
            ("POST", "/abc/k?uploads"),
            &[],
            b"",
        ),
        (
            "DeleteObjects",
            ("POST", "/abc?delete"),
            &of_delete[..],
            delete,
        ),
        ("DeleteObject", ("DELETE", "/abc/large"), &[], b""),
    ] {
        let events = world.left(asked, headers, body).await;
        let [event] = events.as_slice() else {
            panic!("{name}: {events:#?}")
        };
        assert_eq!(
            (event.name.as_str(), event.error_code.as_deref()),
            (name, None)
        );
        assert!(event.data && !event.read_only);
        assert_eq!(event.user_name.as_deref(), Some("root"));
    }
    for (target, status) in [("copy", 200), ("small", 404), ("large", 404)] {
        let target = format!("/abc/{target}");
        assert_eq!(
            world.s3(keys, "GET", &target, b"").await.status,
            status,
            "{target}"
        );
    }
    assert_eq!(
        world.s3(keys, "GET", "/abc/k", b"").await.body.len(),
        large.len()
    );
}

#[tokio::test]
async fn the_end_of_a_200_is_the_data_event() {
    let world = world_of_haste(DataEvents::new(DataLevel::All)).await;
    let told = world.late(&root(), COPY, &OF_K, b"").await;
    assert!(told.body.contains("<CopyObjectResult"), "{}", told.body);
    let record = world.record(&told, S3);
    assert_eq!(record["errorCode"], Value::Null);
    assert_eq!(
        record["responseElements"]["x-amz-server-side-encryption"],
        "AES256"
    );
    assert_eq!(
        record["additionalEventData"]["SSEApplied"],
        "Default_SSE_S3"
    );
    let missing = [("x-amz-copy-source", "/abc/missing")];
    let told = world.late(&root(), COPY, &missing, b"").await;
    assert_eq!(told.status, 200);
    assert_eq!(world.record(&told, S3)["errorCode"], "NoSuchKey");
}

#[tokio::test]
async fn the_end_of_a_200_is_recorded_when_nobody_waits_for_it() {
    let world = world_of_haste(DataEvents::default()).await;
    let nobody = world.nobody().await;
    drop(world.early(&nobody, COPY, &OF_K, b"").await);
    let failed = || {
        let mut events = world.events().into_iter();
        events.find(|it| it.error_code.is_some())
    };
    let recorded = async {
        loop {
            match failed() {
                Some(event) => return event,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let recorded = tokio::time::timeout(Duration::from_secs(60), recorded);
    let event = recorded.await.unwrap();
    assert_eq!(
        (event.name.as_str(), event.error_code.as_deref()),
        ("CopyObject", Some("AccessDenied"))
    );
}

#[tokio::test]
async fn keys_of_many_that_are_denied_are_an_error_of_the_record() {
    let world = world().await;
    let nobody = world.nobody().await;
    world.s3(Some(&root()), "PUT", "/abc", b"").await;
    let document = b"<Delete><Object><Key>a</Key></Object><Object><Key>b</Key></Object></Delete>";
    let md5 = BASE64.encode(<md5::Md5 as md5::Digest>::digest(document));
    let headers = [("content-md5", md5.as_str())];
    let asked = ("POST", "/abc?delete");
    let told = world
        .s3_with(Some(&nobody), asked, &headers, document)
        .await;
    assert_eq!(told.status, 200);
    let record = world.record(&told, S3);
    assert_eq!(record["errorCode"], "AccessDenied");
    assert_eq!(record["additionalEventData"]["deletedObjectsCount"], 2);
    let told = world
        .s3_with(Some(&root()), asked, &headers, document)
        .await;
    assert_eq!(world.records(&told.request_id, S3).len(), 0);
}

#[tokio::test]
async fn the_owner_of_a_bucket_has_a_record_of_what_others_change_in_it() {
    let world = world_of_data().await;
    let (other, other_account) = world.other_account().await;
    world.s3(Some(&root()), "PUT", "/abc", b"").await;
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{other_account}"}},"Action":["s3:PutBucketVersioning","s3:PutObject"],"Resource":["arn:aws:s3:::abc","arn:aws:s3:::abc/*"]}}]}}"#
    );
    let keys = root();
    let put = world.s3(Some(&keys), "PUT", "/abc?policy", policy.as_bytes());
    assert!(put.await.status < 300);
    let versioning = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    for (asked, body, name) in [
        (
            ("PUT", "/abc?versioning"),
            &versioning[..],
            "PutBucketVersioning",
        ),
        (("PUT", "/abc/k"), b"body", "PutObject"),
    ] {
        let told = world.s3_with(Some(&other), asked, &[], body).await;
        assert_eq!(told.status, 200, "{}", told.body);
        let records = world.records(&told.request_id, S3);
        let [first, second] = records.as_slice() else {
            panic!("{records:#?}")
        };
        let mut recipients = [&first["recipientAccountId"], &second["recipientAccountId"]];
        recipients.sort_by_key(ToString::to_string);
        let mut accounts = [ACCOUNT, other_account.as_str()];
        accounts.sort_unstable();
        assert_eq!(recipients, accounts);
        assert!(first["sharedEventID"].is_string());
        assert_eq!(first["sharedEventID"], second["sharedEventID"]);
        assert_ne!(first["eventID"], second["eventID"]);
        for record in &records {
            assert_eq!(record["eventName"], name);
            assert_eq!(record["userIdentity"]["accountId"], other_account.as_str());
            let bucket = record["resources"].as_array().unwrap().last().unwrap();
            let expected = json!({ "accountId": ACCOUNT, "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::abc" });
            assert_eq!(*bucket, expected);
        }
    }
    // Who is refused has the one record, and does not learn whose the bucket is.
    for target in ["/abc?tagging", "/abc/k"] {
        let told = world.s3(Some(&other), "GET", target, b"").await;
        assert_eq!(told.status, 403);
        let records = world.records(&told.request_id, S3);
        let [record] = records.as_slice() else {
            panic!("{records:#?}")
        };
        assert_eq!(record["recipientAccountId"], other_account.as_str());
        assert_eq!(record["sharedEventID"], Value::Null);
        assert!(
            !record["resources"].to_string().contains("accountId"),
            "{record:#}"
        );
    }
}

#[tokio::test]
async fn the_owner_of_a_bucket_hears_of_deletions_beside_which_others_are_denied() {
    let world = world().await;
    let (other, other_account) = world.other_account().await;
    let keys = root();
    world.s3(Some(&keys), "PUT", "/abc", b"").await;
    world.s3(Some(&keys), "PUT", "/abc/free", b"body").await;
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{other_account}"}},"Action":"s3:DeleteObject","Resource":"arn:aws:s3:::abc/free"}}]}}"#
    );
    let put = world.s3(Some(&keys), "PUT", "/abc?policy", policy.as_bytes());
    assert!(put.await.status < 300);
    let mut recipients = Vec::new();
    for keys in ["<Object><Key>free</Key></Object>", ""] {
        let document = format!("<Delete>{keys}<Object><Key>kept</Key></Object></Delete>");
        let md5 = BASE64.encode(<md5::Md5 as md5::Digest>::digest(&document));
        let (asked, headers) = (("POST", "/abc?delete"), [("content-md5", md5.as_str())]);
        let told = world.s3_with(Some(&other), asked, &headers, document.as_bytes());
        let told = told.await;
        assert_eq!(told.status, 200, "{}", told.body);
        let records = world.records(&told.request_id, S3);
        for record in &records {
            assert_eq!(record["errorCode"], "AccessDenied");
        }
        let mut accounts: Vec<String> = records
            .iter()
            .map(|it| it["recipientAccountId"].as_str().unwrap().to_owned())
            .collect();
        accounts.sort_unstable();
        recipients.push(accounts);
    }
    let mut both = [ACCOUNT.to_owned(), other_account.clone()];
    both.sort_unstable();
    assert_eq!(recipients, [both.to_vec(), vec![other_account]]);
}

#[tokio::test]
async fn a_form_is_recorded_with_the_encryption_that_its_fields_ask_for() {
    let world = world_of_data().await;
    let keys = root();
    world.s3(Some(&keys), "PUT", "/abc", b"").await;
    let block = b"<PublicAccessBlockConfiguration><BlockPublicPolicy>false</BlockPublicPolicy></PublicAccessBlockConfiguration>";
    let md5 = BASE64.encode(<md5::Md5 as md5::Digest>::digest(block));
    let asked = ("PUT", "/abc?publicAccessBlock");
    world
        .s3_with(Some(&keys), asked, &[("content-md5", &md5)], block)
        .await;
    let policy = br#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::abc/*"}]}"#;
    let put = world.s3(Some(&keys), "PUT", "/abc?policy", policy).await;
    assert!(put.status < 300, "{}", put.body);
    for (field, sent, applied) in [
        ("x-amz-meta-a", None, "Default_SSE_S3"),
        ("x-amz-server-side-encryption", Some("AES256"), "SSE_S3"),
    ] {
        let form = format!(
            "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nposted\r\n\
             --x\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\nAES256\r\n\
             --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n{CANARY}\r\n--x--\r\n"
        );
        let headers = [("content-type", "multipart/form-data; boundary=x")];
        let told = world.s3_with(None, ("POST", "/abc"), &headers, form.as_bytes());
        let told = told.await;
        assert_eq!(told.status, 204, "{}", told.body);
        let record = world.record(&told, S3);
        let parameters = &record["requestParameters"];
        assert_eq!(parameters["key"], "posted");
        assert_eq!(parameters["x-amz-server-side-encryption"].as_str(), sent);
        assert_eq!(record["additionalEventData"]["SSEApplied"], applied);
        assert!(!record.to_string().contains(CANARY), "{record:#}");
    }
}

#[tokio::test]
async fn refusals_of_nobody_are_in_the_trail_of_the_bucket_s_owner() {
    let world = world().await;
    let (other, other_account) = world.other_account().await;
    let made = world.s3(Some(&other), "PUT", "/theirs", b"").await;
    assert_eq!(made.status, 200, "{}", made.body);
    let told = world.s3(None, "GET", "/theirs/k", b"").await;
    assert_eq!(told.status, 403);
    let records = world.records(&told.request_id, S3);
    let [record] = records.as_slice() else {
        panic!("{records:#?}")
    };
    assert_eq!(record["recipientAccountId"], other_account.as_str());
    assert_eq!(record["userIdentity"]["accountId"], "ANONYMOUS_PRINCIPAL");
    assert!(
        !record["resources"].to_string().contains("accountId"),
        "{record:#}"
    );
}
