//! Every call of every table: one record, of what was denied and of what was changed.

use super::*;

/// An input that has every member of its shape, with the canary in all bytes and in all texts under
/// the names of secrets.
fn filled(members: &[Member]) -> Value {
    let members = members.iter();
    let pairs = members.map(|it| {
        let text = if is_hidden(it.name) { CANARY } else { PLAIN };
        (it.name.to_owned(), fill(it.shape, text))
    });
    Value::Object(pairs.collect::<Map<_, _>>())
}

const PLAIN: &str = "plainPLAIN012345";

fn fill(shape: &Shape, text: &str) -> Value {
    let sized = |length: &Length, text: &str| {
        let min = length.min.unwrap_or(0).max(text.len());
        text.repeat(min.div_ceil(text.len()))[..min].to_owned()
    };
    match shape {
        Shape::Text(length, Some(pattern)) if !pattern.matches(text) => {
            "a".repeat(length.min.unwrap_or(1).max(1)).into()
        }
        Shape::Text(length, _) => sized(length, text).into(),
        Shape::Choice(choice) => (choice.names)()[0].into(),
        Shape::Blob(length) => BASE64.encode(sized(length, CANARY)).into(),
        Shape::Integer(min, _) => (*min).into(),
        Shape::Boolean => false.into(),
        Shape::Time => 1_400_000_000.into(),
        Shape::List(member, _) => json!([fill(member, text)]),
        Shape::TextMap => json!({ "a": "b" }),
        Shape::Structure(members) => filled(members),
    }
}

#[tokio::test]
async fn every_denied_or_failed_call_of_kms_has_one_record_without_bytes_and_grant_tokens() {
    let world = world().await;
    let nobody = world.nobody().await;
    for keys in [&nobody, &root()] {
        for (name, _) in crate::kms::actions() {
            let input = filled(crate::kms::members(name));
            let told = world.kms(keys, name, &input).await;
            // Two need no key: they list, or make random bytes, or a key.
            let record = if told.status == 200 {
                let records = world.records(&told.request_id, "kms.amazonaws.com");
                assert_eq!(records.len(), 1, "{name}");
                records[0].clone()
            } else {
                let record = world.record(&told, "kms.amazonaws.com");
                let answer: Value = serde_json::from_str(&told.body).unwrap();
                let code = match answer["__type"].as_str().unwrap() {
                    "AccessDeniedException" => "AccessDenied",
                    code => code,
                };
                assert_eq!(record["errorCode"], code, "{name}");
                assert_eq!(record["responseElements"], Value::Null);
                record
            };
            assert_eq!(record["eventName"], name);
            let text = record.to_string();
            assert!(!text.contains(CANARY), "{name}: {text}");
            assert!(
                !text.contains(&BASE64.encode(CANARY)[..16]),
                "{name}: {text}"
            );
        }
    }
}

#[tokio::test]
async fn every_denied_call_of_iam_sts_and_cloudtrail_has_one_record() {
    let world = world().await;
    let nobody = world.nobody().await;
    for (service, operations) in [
        ("iam", crate::iam::actions().collect::<Vec<_>>()),
        ("sts", crate::sts::actions().collect()),
    ] {
        for (name, _) in operations {
            let secrets = format!(
                "Action={name}&WebIdentityToken={CANARY}&TokenCode={CANARY}&EncodedMessage={CANARY}&Password={CANARY}"
            );
            for form in [format!("Action={name}"), secrets] {
                let told = world.query(Some(&nobody), service, &form).await;
                let record = world.record(&told, &format!("{service}.amazonaws.com"));
                assert_eq!(record["eventName"], name);
                assert_eq!(record["userIdentity"]["userName"], "nobody");
                if told.status != 200 {
                    assert_eq!(record["errorCode"], element(&told.body, "Code"), "{name}");
                }
                assert!(!record.to_string().contains(CANARY), "{name}: {record:#}");
            }
        }
    }
    for (name, _) in crate::cloudtrail::actions() {
        let told = world.json(&nobody, "cloudtrail", name, &json!({})).await;
        let record = world.record(&told, "cloudtrail.amazonaws.com");
        assert_eq!(record["eventName"], name);
        assert!(record["errorCode"].is_string(), "{name}");
    }
}

#[tokio::test]
async fn changes_are_recorded_once_with_what_they_made() {
    let world = world().await;
    let keys = root();
    for (form, elements) in [
        (
            "Action=CreateUser&UserName=alice&Path=/staff/&Tags.member.1.Key=a&Tags.member.1.Value=b",
            json!({ "user": { "userName": "alice", "path": "/staff/", "tags": [{ "key": "a", "value": "b" }] } }),
        ),
        (
            "Action=CreateGroup&GroupName=g",
            json!({ "group": { "groupName": "g" } }),
        ),
        (
            "Action=AddUserToGroup&GroupName=g&UserName=alice",
            Value::Null,
        ),
        (
            "Action=TagUser&UserName=alice&Tags.member.1.Key=a&Tags.member.1.Value=b",
            Value::Null,
        ),
        (
            "Action=CreateAccessKey&UserName=alice",
            json!({ "accessKey": { "userName": "alice", "status": "Active" } }),
        ),
        (
            "Action=CreateRole&RoleName=r&MaxSessionDuration=7200&AssumeRolePolicyDocument=%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22AWS%22%3A%22111122223333%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D",
            json!({ "role": { "roleName": "r", "maxSessionDuration": 7200 } }),
        ),
    ] {
        let told = world.query(Some(&keys), "iam", form).await;
        assert_eq!(told.status, 200, "{form}: {}", told.body);
        let record = world.record(&told, "iam.amazonaws.com");
        assert!(holds(&record["responseElements"], &elements), "{record:#}");
        assert_eq!(record["errorCode"], Value::Null);
        assert!(record["requestParameters"].is_object(), "{record:#}");
        let secret = element(&told.body, "SecretAccessKey");
        assert!(secret.is_empty() || !record.to_string().contains(&secret));
    }
    let form = "Action=UpdateUser&UserName=alice&NewPath=/x/";
    let told = world.query(Some(&keys), "iam", form).await;
    let record = world.record(&told, "iam.amazonaws.com");
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/staff/alice");
    assert_eq!(record["resources"][0]["ARN"], arn.as_str());
    let told = world
        .query(Some(&keys), "sts", "Action=GetFederationToken&Name=bob")
        .await;
    assert_eq!(told.status, 200, "{}", told.body);
    let record = world.record(&told, "sts.amazonaws.com");
    let elements = &record["responseElements"];
    assert_eq!(
        elements["credentials"]["accessKeyId"],
        element(&told.body, "AccessKeyId")
    );
    for secret in ["SecretAccessKey", "SessionToken"] {
        assert!(!record.to_string().contains(&element(&told.body, secret)));
    }
    assert_eq!(record["requestParameters"], json!({ "name": "bob" }));
}

/// Whether `whole` has all that `part` has.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(name, part)| whole.get(name).is_some_and(|whole| holds(whole, part))),
        (whole, part) => whole == part,
    }
}

#[tokio::test]
async fn bucket_operations_and_every_denial_of_s3_have_one_record() {
    let world = world().await;
    let (keys, nobody) = (root(), world.nobody().await);
    let made = world.s3(Some(&keys), "PUT", "/abc", b"").await;
    assert_eq!(made.status, 200, "{}", made.body);
    let record = world.record(&made, "s3.amazonaws.com");
    assert_eq!(record["eventName"], "CreateBucket");
    assert_eq!(record["requestParameters"]["bucketName"], "abc");
    assert_eq!(
        record["additionalEventData"]["AuthenticationMethod"],
        "AuthHeader"
    );
    assert_eq!(record["readOnly"], false);

    let policy = br#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::abc/*"}]}"#;
    let put = world.s3(Some(&keys), "PUT", "/abc?policy", policy).await;
    let record = world.record(&put, "s3.amazonaws.com");
    assert_eq!(
        record["requestParameters"]["bucketPolicy"]["Version"], "2012-10-17",
        "{record:#}"
    );
    let document = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let put = world
        .s3(Some(&keys), "PUT", "/abc?versioning", document)
        .await;
    let record = world.record(&put, "s3.amazonaws.com");
    let versioning = &record["requestParameters"]["VersioningConfiguration"];
    assert_eq!(versioning, &json!({ "Status": "Enabled" }));

    // Reads and writes of objects are data events, which nobody asks for here.
    for (method, body) in [("PUT", &b"secret"[..]), ("GET", b"")] {
        let told = world.s3(Some(&keys), method, "/abc/k", body).await;
        assert_eq!(told.status, 200, "{}", told.body);
        assert_eq!(world.records(&told.request_id, "s3.amazonaws.com").len(), 0);
    }
    for (method, target) in [
        ("GET", "/abc/k"),
        ("HEAD", "/abc/k"),
        ("PUT", "/abc/k"),
        ("DELETE", "/abc/k"),
        ("GET", "/abc?encryption"),
        ("GET", "/abc?list-type=2"),
        ("DELETE", "/abc"),
    ] {
        let told = world.s3(Some(&nobody), method, target, b"").await;
        assert_eq!(told.status, 403, "{method} {target}");
        let record = world.record(&told, "s3.amazonaws.com");
        assert_eq!(record["errorCode"], "AccessDenied");
        assert_eq!(record["userIdentity"]["userName"], "nobody");
        assert_eq!(
            record["managementEvent"],
            !target.contains("/k") && !target.contains("list")
        );
    }
    // Of many keys some are denied.
    let document = b"<Delete><Object><Key>k</Key></Object></Delete>";
    let md5 = BASE64.encode(<md5::Md5 as md5::Digest>::digest(document));
    let headers = [("content-md5", md5.as_str())];
    let ask = Ask {
        method: "POST",
        target: "/abc?delete",
        service: "s3",
        headers: &headers,
        body: document,
    };
    let told = world.send(Some(&nobody), ask).await;
    assert!(
        told.body.contains("<Code>AccessDenied</Code>"),
        "{}",
        told.body
    );
    let record = world.record(&told, "s3.amazonaws.com");
    let entries = &record["additionalEventData"]["deletedObjects"];
    assert_eq!(
        entries,
        &json!([{ "key": "k", "errorCode": "AccessDenied" }])
    );
}
