//! How much strangers may cause to be recorded, and what happens when nothing can be.

use super::*;

#[tokio::test]
async fn strangers_cause_a_bounded_number_of_records_and_all_are_counted() {
    let world = world().await;
    let stranger = Keys {
        id: "AKIAZZZZZZZZZZZZZZZZ".to_owned(),
        secret: "wrong".to_owned(),
    };
    let forger = Keys {
        secret: "wrong".to_owned(),
        ..root()
    };
    world.s3(Some(&root()), "PUT", "/abc", b"").await;
    let before = world.events().len();
    for n in 0..2500 {
        let keys = [None, Some(&stranger), Some(&forger)][n % 3];
        world.s3(keys, "GET", "/abc/k", b"").await;
        world.query(keys, "iam", "Action=ListUsers").await;
        world.query(keys, "sts", "Action=GetCallerIdentity").await;
        let headers = [("x-amz-target", "TrentService.Decrypt")];
        let ask = Ask {
            method: "POST",
            target: "/",
            service: "kms",
            headers: &headers,
            body: b"{}",
        };
        world.send(keys, ask).await;
    }
    let events = world.events();
    let recorded = events.iter().filter(|it| it.error_code.is_some());
    let recorded = recorded.count();
    assert!((1..=30).contains(&recorded), "{recorded}");
    assert_eq!(events.len(), before + recorded);
    assert!(world.recorder.summary(false).is_none());
    world.clock.0.fetch_add(60_000, Ordering::Relaxed);
    let summary = world.recorder.summary(false).unwrap();
    let document: Value = serde_json::from_str(summary.document()).unwrap();
    assert_eq!(document["serviceEventDetails"]["total"], 10_000);
    world.log.append(&[summary]).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_answered() {
    let world = world().await;
    let keys = root();
    let made = world.kms(&keys, "CreateKey", &json!({})).await;
    let made: Value = serde_json::from_str(&made.body).unwrap();
    let key = &made["KeyMetadata"]["Arn"];
    let plaintext = BASE64.encode(CANARY);
    let sealed = world
        .kms(
            &keys,
            "Encrypt",
            &json!({ "KeyId": key, "Plaintext": plaintext }),
        )
        .await;
    let sealed: Value = serde_json::from_str(&sealed.body).unwrap();
    world.s3(Some(&keys), "PUT", "/abc", b"").await;
    world.s3(Some(&keys), "PUT", "/abc/k", b"body").await;
    world.meta.is_broken.store(true, Ordering::Relaxed);

    let input = json!({ "CiphertextBlob": sealed["CiphertextBlob"] });
    let told = world.kms(&keys, "Decrypt", &input).await;
    assert_eq!(told.status, 500);
    assert!(told.body.contains("KMSInternalException") && !told.body.contains(&plaintext));
    for (operation, input) in [
        (
            "GenerateDataKey",
            json!({ "KeyId": key, "KeySpec": "AES_256" }),
        ),
        ("ListKeys", json!({})),
        ("DescribeKey", json!({ "KeyId": "alias/none" })),
    ] {
        let told = world.kms(&keys, operation, &input).await;
        assert!(
            told.body.contains("KMSInternalException"),
            "{operation}: {}",
            told.body
        );
    }
    let told = world.query(Some(&keys), "iam", "Action=ListUsers").await;
    assert_eq!(
        (told.status, element(&told.body, "Code").as_str()),
        (500, "ServiceFailure")
    );
    let told = world.s3(Some(&keys), "GET", "/abc?encryption", b"").await;
    assert_eq!(
        (told.status, element(&told.body, "Code").as_str()),
        (500, "InternalError")
    );
    // What was not to be recorded is read as ever.
    let told = world.s3(Some(&keys), "GET", "/abc/k", b"").await;
    assert_eq!((told.status, told.body.as_str()), (200, "body"));
}
