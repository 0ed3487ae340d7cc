//! Policies of buckets: public ones, harmful ones, damaged ones.

use strongroom_ports::{MetaStore as _, Scan, Table, Transaction};
use strongroom_types::Principal;

use super::{OTHER, OWNER, World, root, user};

const ALLOW_ALL: &str = r#"{"Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:PutObject","s3:DeleteObject"],"Resource":"arn:aws:s3:::abc/*"}"#;

async fn open(world: &World) {
    world
        .owner("DELETE", "/abc?publicAccessBlock", &[], b"")
        .await;
    world.set_policy(ALLOW_ALL).await;
}

#[tokio::test]
async fn nobody_may_what_a_policy_gives_to_everybody() {
    let world = World::with_object().await;
    let nobody = Principal::Anonymous;
    let get = ("GET", "/abc/k");
    assert_eq!(
        world.call(&nobody, get, &[], b"").await.message,
        "Access Denied"
    );
    open(&world).await;
    assert_eq!(world.call(&nobody, get, &[], b"").await.body, "plaintext");
    assert_eq!(
        world
            .call(&nobody, ("PUT", "/abc/new"), &[], b"x")
            .await
            .status,
        200
    );
    for at in [
        ("GET", "/abc"),
        ("GET", "/"),
        ("GET", "/abc?policy"),
        ("PUT", "/abc/k?tagging"),
        ("DELETE", "/abc"),
    ] {
        let told = world.call(&nobody, at, &[], b"").await;
        assert_eq!(
            (told.status, &*told.message),
            (403, "Access Denied"),
            "{at:?}"
        );
    }
    let document = b"<Delete><Object><Key>new</Key></Object></Delete>";
    let told = world
        .call(&nobody, ("POST", "/abc?delete"), &[], document)
        .await;
    assert!(told.body.contains("<Deleted>"), "{}", told.body);
    // Longer documents are not read for nobody's sake.
    let long = vec![b' '; 70_000];
    let told = world
        .call(&nobody, ("POST", "/abc?delete"), &[], &long)
        .await;
    assert_eq!(told.status, 400, "{}", told.body);
    let told = world
        .call(&nobody, ("POST", "/abc/k?uploads"), &[], b"")
        .await;
    assert_eq!(told.status, 200, "{}", told.body);
}

#[tokio::test]
async fn a_public_policy_serves_only_the_owner_once_public_buckets_are_restricted() {
    let world = World::with_object().await;
    open(&world).await;
    let stranger = root(OTHER);
    let get = ("GET", "/abc/k");
    assert_eq!(world.call(&stranger, get, &[], b"").await.status, 200);
    let restrict = b"<PublicAccessBlockConfiguration><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>";
    world
        .owner("PUT", "/abc?publicAccessBlock", &[], restrict)
        .await;
    for caller in [Principal::Anonymous, stranger.clone()] {
        let told = world.call(&caller, get, &[], b"").await;
        assert_eq!(told.message, "Access Denied");
    }
    world.set_user(
        "member",
        r#"{"Effect":"Allow","Action":"sts:*","Resource":"*"}"#,
    );
    let member = user(OWNER, "member");
    assert_eq!(world.call(&member, get, &[], b"").await.status, 200);
    // Not public: the named account is served.
    let named = format!(
        r#"{{"Effect":"Allow","Principal":{{"AWS":"{OTHER}"}},"Action":"s3:GetObject","Resource":"arn:aws:s3:::abc/*"}}"#
    );
    world.set_policy(&named).await;
    assert_eq!(world.call(&stranger, get, &[], b"").await.status, 200);
}

#[tokio::test]
async fn new_buckets_refuse_public_policies() {
    let world = World::with_object().await;
    let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{ALLOW_ALL}]}}"#);
    let put = ("PUT", "/abc?policy");
    let told = world.call(&root(OWNER), put, &[], policy.as_bytes()).await;
    assert_eq!(
        told.message,
        "User: arn:aws:iam::111122223333:root is not authorized to perform: s3:PutBucketPolicy on \
         resource: &quot;arn:aws:s3:::abc&quot; because public policies are blocked by the \
         BlockPublicPolicy block public access setting."
    );
    assert_eq!(told.code, "AccessDenied");
    let get = world
        .call(&root(OWNER), ("GET", "/abc?policy"), &[], b"")
        .await;
    assert_eq!(get.code, "NoSuchBucketPolicy");
}

#[tokio::test]
async fn a_policy_is_put_shown_and_removed() {
    let world = World::with_object().await;
    let owner = root(OWNER);
    let told = world
        .call(&owner, ("GET", "/abc?policyStatus"), &[], b"")
        .await;
    assert_eq!((told.status, &*told.code), (404, "NoSuchBucketPolicy"));
    world.set_user(
        "alice",
        r#"{"Effect":"Allow","Action":"sts:*","Resource":"*"}"#,
    );
    let policy = r#"{ "Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/alice"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::abc/*"}]}"#;
    let put = world
        .owner("PUT", "/abc?policy", &[], policy.as_bytes())
        .await;
    assert_eq!(put.status, 204);
    let shown = world.owner("GET", "/abc?policy", &[], b"").await;
    assert_eq!(shown.body, policy);
    assert_eq!(shown.headers["content-type"], "application/json");
    let status = world.owner("GET", "/abc?policyStatus", &[], b"").await;
    assert!(
        status.body.contains("<IsPublic>false</IsPublic>"),
        "{}",
        status.body
    );
    let alice = user(OWNER, "alice");
    assert_eq!(
        world.call(&alice, ("GET", "/abc/k"), &[], b"").await.status,
        200
    );
    // Who is made again under her name is somebody else.
    world.users.0.lock().unwrap().remove("alice");
    let shown = world.owner("GET", "/abc?policy", &[], b"").await;
    assert!(shown.body.contains(r#""AWS":"alice""#), "{}", shown.body);
    assert_eq!(
        world.owner("DELETE", "/abc?policy", &[], b"").await.status,
        204
    );
    assert_eq!(
        world.owner("DELETE", "/abc?policy", &[], b"").await.status,
        204
    );
    let told = world.call(&owner, ("GET", "/abc?policy"), &[], b"").await;
    assert_eq!(told.code, "NoSuchBucketPolicy");
    let told = world
        .call(&owner, ("PUT", "/abc?policy"), &[], b"not json")
        .await;
    assert_eq!(
        (told.status, &*told.code, &*told.message),
        (
            400,
            "MalformedPolicy",
            "Policies must be valid JSON and the first byte must be '{'"
        )
    );
    // With the bucket goes its policy.
    world
        .owner("PUT", "/abc?policy", &[], deny_policy().as_bytes())
        .await;
    world.owner("DELETE", "/abc/k", &[], b"").await;
    world.owner("DELETE", "/abc", &[], b"").await;
    world.owner("PUT", "/abc", &[], b"").await;
    let told = world.call(&owner, ("GET", "/abc?policy"), &[], b"").await;
    assert_eq!(told.code, "NoSuchBucketPolicy");
}

fn deny_policy() -> String {
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:PutBucket*","Resource":"arn:aws:s3:::abc"}]}"#.to_owned()
}

#[tokio::test]
async fn only_root_mends_a_policy_that_shuts_everybody_out() {
    let world = World::with_object().await;
    let admin = world.set_user(
        "admin",
        r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#,
    );
    let put = ("PUT", "/abc?policy");
    let policy = deny_policy();
    let told = world.call(&admin, put, &[], policy.as_bytes()).await;
    assert_eq!(
        (told.status, &*told.code),
        (400, "MalformedPolicy"),
        "{}",
        told.body
    );
    let confirmed = [("x-amz-confirm-remove-self-bucket-access", "true")];
    let told = world.call(&admin, put, &confirmed, policy.as_bytes()).await;
    assert_eq!(told.status, 204, "{}", told.body);
    let told = world
        .call(&root(OWNER), ("PUT", "/abc?versioning"), &[], b"<x/>")
        .await;
    assert_eq!(told.code, "AccessDenied");
    world
        .owner("PUT", "/abc?policy", &[], policy.as_bytes())
        .await;
    world.owner("DELETE", "/abc?policy", &[], b"").await;
}

#[tokio::test]
async fn a_policy_that_is_damaged_or_missing_leaves_root_its_repair() {
    let rows = || Scan {
        table: Table::BUCKET_POLICIES,
        start: bytes::Bytes::new(),
        end: None,
        limit: 1,
        reverse: false,
    };
    for is_missing in [true, false] {
        for repair in ["PUT /abc?policy", "DELETE /abc?policy", "DELETE /abc"] {
            let world = World::new();
            world.owner("PUT", "/abc", &[], b"").await;
            let admin = world.set_user(
                "admin",
                r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#,
            );
            let policy = deny_policy();
            world
                .owner("PUT", "/abc?policy", &[], policy.as_bytes())
                .await;
            let row_key = world.meta.scan(&rows()).unwrap().rows.remove(0).key;
            let transaction = Transaction::new();
            let transaction = if is_missing {
                transaction.delete(Table::BUCKET_POLICIES, row_key)
            } else {
                transaction.put(Table::BUCKET_POLICIES, row_key, b"damaged".to_vec())
            };
            // Not on the thread of the test, which may not wait.
            let meta = world.meta.clone();
            let committing = std::thread::spawn(move || meta.commit(transaction).wait());
            committing.join().unwrap().unwrap();
            let at = repair.split_once(' ').unwrap();
            let body = if at.0 == "PUT" {
                policy.as_bytes()
            } else {
                b""
            };
            for (who, at) in [
                (&admin, at),
                (&root(OTHER), at),
                (&root(OWNER), ("GET", "/abc?location")),
            ] {
                let told = world.call(who, at, &[], body).await;
                assert_eq!(told.status, 500, "{who:?} {at:?} {}", told.body);
            }
            world.owner(at.0, at.1, &[], body).await;
        }
    }
}

#[tokio::test]
async fn no_policy_hands_the_policy_to_another_account() {
    let world = World::with_object().await;
    let all = format!(
        r#"{{"Effect":"Allow","Principal":{{"AWS":"{OTHER}"}},"Action":"s3:*","Resource":["arn:aws:s3:::abc","arn:aws:s3:::abc/*"]}}"#
    );
    world.set_policy(&all).await;
    let stranger = root(OTHER);
    assert_eq!(
        world
            .call(&stranger, ("GET", "/abc/k"), &[], b"")
            .await
            .status,
        200
    );
    for method in ["GET", "PUT", "DELETE"] {
        let told = world
            .call(&stranger, (method, "/abc?policy"), &[], b"{}")
            .await;
        assert_eq!(
            (told.status, &*told.code),
            (405, "MethodNotAllowed"),
            "{method}"
        );
    }
}
