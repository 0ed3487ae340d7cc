//! Uses of keys are recorded with what tells them apart, and without what opens anything.

use super::*;

#[tokio::test]
async fn uses_of_keys_have_their_key_algorithm_context_and_material() {
    let world = world().await;
    let keys = root();
    let key = |told: &Told| -> String {
        let made: Value = serde_json::from_str(&told.body).unwrap();
        made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    };
    let first = key(&world.kms(&keys, "CreateKey", &json!({})).await);
    let second = key(&world.kms(&keys, "CreateKey", &json!({})).await);
    let context = json!({ "plaintext": "shown" });
    let made = world
        .kms(
            &keys,
            "GenerateDataKey",
            &json!({ "KeyId": first, "KeySpec": "AES_256", "EncryptionContext": context }),
        )
        .await;
    let record = world.record(&made, "kms.amazonaws.com");
    let answer: Value = serde_json::from_str(&made.body).unwrap();
    let material = &answer["KeyMaterialId"];
    assert_eq!(&record["additionalEventData"]["keyMaterialId"], material);
    let expected = json!({ "keyId": first, "keySpec": "AES_256", "encryptionContext": context });
    assert_eq!(record["requestParameters"], expected);
    let of_key = |arn: &str| json!({ "accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": arn });
    assert_eq!(record["resources"], json!([of_key(&first)]));
    assert_eq!(
        (&record["responseElements"], &record["readOnly"]),
        (&Value::Null, &json!(true))
    );
    assert!(
        !record
            .to_string()
            .contains(answer["Plaintext"].as_str().unwrap())
    );

    let sealed =
        json!({ "CiphertextBlob": answer["CiphertextBlob"], "EncryptionContext": context });
    let opened = world.kms(&keys, "Decrypt", &sealed).await;
    let record = world.record(&opened, "kms.amazonaws.com");
    let expected =
        json!({ "encryptionAlgorithm": "SYMMETRIC_DEFAULT", "encryptionContext": context });
    assert_eq!(record["requestParameters"], expected);
    assert_eq!(record["resources"], json!([of_key(&first)]));

    let moved = world
        .kms(
            &keys,
            "ReEncrypt",
            &json!({
                "CiphertextBlob": answer["CiphertextBlob"],
                "SourceEncryptionContext": context,
                "DestinationKeyId": second,
            }),
        )
        .await;
    let record = world.record(&moved, "kms.amazonaws.com");
    assert_eq!(
        record["resources"],
        json!([of_key(&first), of_key(&second)])
    );

    let wrong = json!({ "CiphertextBlob": answer["CiphertextBlob"], "KeyId": first });
    let refused = world.kms(&keys, "Decrypt", &wrong).await;
    let record = world.record(&refused, "kms.amazonaws.com");
    assert_eq!(record["errorCode"], "InvalidCiphertextException");
    assert_eq!(record["resources"], json!([of_key(&first)]));
}

#[tokio::test]
async fn sse_c_keys_tokens_and_signatures_are_in_no_record() {
    let world = world().await;
    let nobody = world.nobody().await;
    world.s3(Some(&root()), "PUT", "/abc", b"").await;
    let customer = BASE64.encode([7; 32]);
    let md5 = BASE64.encode(<md5::Md5 as md5::Digest>::digest([7; 32]));
    let headers = [
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        (
            "x-amz-server-side-encryption-customer-key",
            customer.as_str(),
        ),
        (
            "x-amz-server-side-encryption-customer-key-md5",
            md5.as_str(),
        ),
        ("x-amz-meta-secret", CANARY),
        ("cookie", CANARY),
    ];
    for method in ["PUT", "GET"] {
        let ask = Ask {
            method,
            target: "/abc/k?versionId=null&response-content-type=text%2Fplain",
            service: "s3",
            headers: &headers,
            body: b"",
        };
        let told = world.send(Some(&nobody), ask).await;
        let record = world.record(&told, "s3.amazonaws.com").to_string();
        assert!(!record.contains(&customer) && !record.contains(&md5) && !record.contains(CANARY));
        assert!(record.contains("customer-algorithm"));
    }
    // A presigned URL with a wrong signature, and a session token.
    let target = format!(
        "/abc/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={ROOT_KEY}%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20130524T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature={}&X-Amz-Security-Token={CANARY}",
        "ab".repeat(32)
    );
    let told = world.s3(None, "GET", &target, b"").await;
    assert!(told.status >= 400);
    for event in world.events() {
        let document = event.document();
        assert!(
            !document.contains(CANARY) && !document.contains(&"ab".repeat(32)),
            "{document}"
        );
        assert!(!document.contains(&nobody.secret) && !document.contains("AWS4-HMAC"));
    }
}

#[tokio::test]
async fn failures_name_the_key_behind_the_callers_own_alias() {
    let world = world().await;
    let (keys, nobody) = (root(), world.nobody().await);
    let made = async || -> String {
        let made = world.kms(&keys, "CreateKey", &json!({})).await;
        let made: Value = serde_json::from_str(&made.body).unwrap();
        made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    };
    let (first, second) = (made().await, made().await);
    let alias = json!({ "AliasName": "alias/a", "TargetKeyId": first });
    assert_eq!(world.kms(&keys, "CreateAlias", &alias).await.status, 200);
    let alias_arn = format!("arn:aws:kms:us-east-1:{ACCOUNT}:alias/a");
    let foreign = "arn:aws:kms:us-east-1:999900001111:alias/a";
    let text = BASE64.encode([0; 64]);
    for (who, operation, input, expected) in [
        (
            &nobody,
            "Encrypt",
            json!({ "KeyId": "alias/a", "Plaintext": text }),
            vec![&first],
        ),
        (
            &nobody,
            "Encrypt",
            json!({ "KeyId": alias_arn, "Plaintext": text }),
            vec![&first],
        ),
        (
            &nobody,
            "DescribeKey",
            json!({ "KeyId": "alias/a" }),
            vec![&first],
        ),
        (
            &keys,
            "Decrypt",
            json!({ "KeyId": "alias/a", "CiphertextBlob": text }),
            vec![&first],
        ),
        (
            &keys,
            "ReEncrypt",
            json!({ "SourceKeyId": second, "DestinationKeyId": "alias/a", "CiphertextBlob": text }),
            vec![&second, &first],
        ),
        // Of others' aliases nothing is told, and where none is taken none is meant.
        (
            &keys,
            "Encrypt",
            json!({ "KeyId": foreign, "Plaintext": text }),
            vec![],
        ),
        (
            &keys,
            "Encrypt",
            json!({ "KeyId": "alias/none", "Plaintext": text }),
            vec![],
        ),
        (&keys, "DisableKey", json!({ "KeyId": "alias/a" }), vec![]),
    ] {
        let told = world.kms(who, operation, &input).await;
        assert_eq!(told.status, 400, "{operation} {input}: {}", told.body);
        let record = world.record(&told, "kms.amazonaws.com");
        let resources = record["resources"].as_array();
        let named = resources.map(|all| all.iter().map(|it| &it["ARN"]).collect::<Vec<_>>());
        assert_eq!(named.unwrap_or_default(), expected, "{operation} {input}");
    }
}
