//! What those learn who may not: of objects that are missing, and of the keys of others.

use super::{KEY_ARN, OWNER, World, deny, root};

#[tokio::test]
async fn aliases_of_other_accounts_are_not_looked_up_and_busy_keys_are_no_denial() {
    let world = World::with_object().await;
    let condition = format!(
        r#"{{"StringNotEquals":{{"s3:x-amz-server-side-encryption-aws-kms-key-id":"{KEY_ARN}"}}}}"#
    );
    world.set_policy(&deny("s3:PutObject", &condition)).await;
    let ask = async |alias: &str| {
        let kms = ("x-amz-server-side-encryption", "aws:kms");
        let key = ("x-amz-server-side-encryption-aws-kms-key-id", alias);
        let told = world
            .call(&root(OWNER), ("PUT", "/abc/n"), &[kms, key], b"x")
            .await;
        (told.status, told.code)
    };
    let denied = (403, "AccessDenied".to_owned());
    let foreign = ask("arn:aws:kms:us-east-1:444455556666:alias/known").await;
    assert_eq!(foreign, denied);
    assert_eq!(
        foreign,
        ask("arn:aws:kms:us-east-1:444455556666:alias/none").await
    );
    assert_ne!(
        ask("arn:aws:kms:us-east-1:111122223333:alias/known").await,
        denied
    );
    assert_eq!(ask("alias/none").await, denied);
    for alias in ["alias/busy", "alias/away"] {
        assert_eq!(ask(alias).await.0, 503, "{alias}");
    }
}

#[tokio::test]
async fn what_is_missing_is_told_to_those_who_may_list() {
    let world = World::with_object().await;
    let get = r#"{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectVersion","s3:PutObject"],"Resource":"*"}"#;
    let list = r#"{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::abc"}"#;
    let blind = world.set_user("blind", get);
    let seeing = world.set_user("seeing", &format!("{get},{list}"));
    let source = [("x-amz-copy-source", "/abc/none")];
    for (at, headers) in [
        (("GET", "/abc/none"), &[][..]),
        (("HEAD", "/abc/none"), &[][..]),
        (("GET", "/abc/none?versionId=null"), &[][..]),
        (("PUT", "/abc/n"), &source[..]),
    ] {
        let told = world.call(&blind, at, headers, b"").await;
        assert_eq!(told.status, 403, "{at:?} {}", told.body);
        let told = world.call(&seeing, at, headers, b"").await;
        assert_eq!(told.status, 404, "{at:?} {}", told.body);
    }
    let told = world.call(&blind, ("GET", "/abc/none"), &[], b"").await;
    assert!(
        told.message.contains("s3:ListBucket on resource: &quot;arn:aws:s3:::abc&quot; because no identity-based policy"),
        "{}",
        told.message
    );
}

#[tokio::test]
async fn what_is_missing_is_told_by_no_other_operation_either() {
    let world = World::with_object().await;
    world.owner("PUT", "/other", &[], b"").await;
    let act = r#"{"Effect":"Allow","Action":["s3:*Object","s3:GetObject*","s3:*ObjectTagging","s3:*ObjectAcl","s3:*ObjectEncryption"],"Resource":"*"}"#;
    let list = r#"{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::abc"}"#;
    let blind = world.set_user("blind", act);
    let seeing = world.set_user("seeing", &format!("{act},{list}"));
    let tags: &[u8] =
        b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
    let encryption = format!(
        "<ObjectEncryption><SSE-KMS><KMSKeyArn>{KEY_ARN}</KMSKeyArn></SSE-KMS></ObjectEncryption>"
    );
    let etag = [("if-match", "\"e\"")];
    let copy_onto = [("x-amz-copy-source", "/abc/k"), ("if-match", "\"e\"")];
    for (at, headers, body) in [
        (("GET", "/abc/none?tagging"), &[][..], &b""[..]),
        (("PUT", "/abc/none?tagging"), &[][..], tags),
        (("DELETE", "/abc/none?tagging"), &[][..], b""),
        (("GET", "/abc/none?acl"), &[][..], b""),
        (("GET", "/abc/none?retention"), &[][..], b""),
        (("GET", "/abc/none?legal-hold"), &[][..], b""),
        (
            ("PUT", "/abc/none?encryption"),
            &[][..],
            encryption.as_bytes(),
        ),
        (("PUT", "/abc/none"), &etag[..], b"x"),
        (("DELETE", "/abc/none"), &etag[..], b""),
        (("PUT", "/abc/none"), &copy_onto[..], b""),
    ] {
        let told = world.call(&blind, at, headers, body).await;
        assert_eq!(told.status, 403, "{at:?} {}", told.body);
        assert!(told.message.contains("s3:ListBucket"), "{}", told.message);
        let told = world.call(&seeing, at, headers, body).await;
        assert_eq!((told.status, &*told.code), (404, "NoSuchKey"), "{at:?}");
    }
    // Who may list the source may not therefore list where the copy goes.
    let told = world
        .call(&seeing, ("PUT", "/other/none"), &copy_onto, b"")
        .await;
    assert!(told.message.contains("arn:aws:s3:::other"), "{}", told.body);
    // Many at once: told key by key.
    let document = br#"<Delete><Object><Key>none</Key><ETag>"e"</ETag></Object></Delete>"#;
    for (caller, code) in [(&blind, "AccessDenied"), (&seeing, "NoSuchKey")] {
        let told = world
            .call(caller, ("POST", "/abc?delete"), &[], document)
            .await;
        assert_eq!(told.code, code, "{}", told.body);
    }
}
