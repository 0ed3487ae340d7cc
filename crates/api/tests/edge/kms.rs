//! The KMS protocol in front of the key service, on stores in memory and without a socket.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use strongroom_api::EdgeOptions;
use strongroom_api::kms::KmsApi;
use strongroom_api::limits::JSON_DOCUMENT_MAX_BYTES;
use strongroom_api::server::ConnectionInfo;
use strongroom_kms::{KeyService, KeyServiceOptions, KeyServicePorts};
use strongroom_policy::RootOnly;
use strongroom_ports::Entropy;
use strongroom_store::{MemoryMeta, MemoryShreds};
use strongroom_types::{Region, TlsVersion, Transport};

use crate::fixture::{
    Counting, Fixed, KEY_ID, SECRET, edge_ports, hex_sha256, log_in, rows_of, signature_of,
};

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

fn api(danger_keys_over_plain_http: bool) -> KmsApi {
    let region = Region::parse("us-east-1").unwrap();
    let entropy: Arc<dyn Entropy> = Arc::new(Counting::default());
    let rows = rows_of(Arc::new(MemoryMeta::new()), &entropy);
    let log = log_in(&rows, Arc::new(Fixed), &region);
    let ports = KeyServicePorts {
        rows,
        shreds: Arc::new(MemoryShreds::new()),
        authorizer: Arc::new(RootOnly::default()),
        principals: Arc::new(RootOnly::default()),
        audit: log.clone(),
        clock: Arc::new(Fixed),
        entropy: entropy.clone(),
    };
    let options = KeyServiceOptions {
        danger_trust_clock: false,
        region: region.clone(),
    };
    let service = Arc::new(KeyService::new(ports, options));
    let ports = edge_ports(&region, entropy, log);
    let options = EdgeOptions {
        region,
        danger_keys_over_plain_http,
    };
    KmsApi::new(service, ports, options)
}

/// A request as a client makes it, open to changes before it is signed and after.
struct Ask {
    method: &'static str,
    path: &'static str,
    target: Option<String>,
    body: Vec<u8>,
    service: &'static str,
    region: &'static str,
    secret: &'static str,
    is_signed: bool,
    sent_body: Option<Vec<u8>>,
    more_headers: Vec<(&'static str, &'static str)>,
    peer: Ipv4Addr,
    transport: Transport,
}

fn ask(operation: &str, members: &Value) -> Ask {
    Ask {
        method: "POST",
        path: "/",
        target: Some(format!("TrentService.{operation}")),
        body: members.to_string().into_bytes(),
        service: "kms",
        region: "us-east-1",
        secret: SECRET,
        is_signed: true,
        sent_body: None,
        more_headers: Vec::new(),
        peer: HERE,
        transport: Transport::Plain,
    }
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status, name and text of an error.
    fn told(&self) -> (u16, String, String) {
        let json = self.json();
        let text = |name: &str| json[name].as_str().unwrap_or("(none)").to_owned();
        (self.status.as_u16(), text("__type"), text("message"))
    }
}

fn signature(ask: &Ask, headers: &[(String, String)]) -> String {
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let mut canonical = format!("{}\n{}\n\n", ask.method, ask.path);
    for (name, value) in headers {
        canonical += &format!("{name}:{value}\n");
    }
    canonical += &format!("\n{}\n{}", names.join(";"), hex_sha256(&ask.body));
    let scope = format!("20130524/{}/{}/aws4_request", ask.region, ask.service);
    let text = format!(
        "AWS4-HMAC-SHA256\n20130524T000000Z\n{scope}\n{}",
        hex_sha256(canonical.as_bytes())
    );
    format!(
        "AWS4-HMAC-SHA256 Credential={KEY_ID}/{scope}, SignedHeaders={}, Signature={}",
        names.join(";"),
        signature_of(ask.secret, &scope, &text)
    )
}

async fn send(api: &KmsApi, ask: Ask) -> Answer {
    let mut headers = vec![
        ("host".to_owned(), "localhost:9000".to_owned()),
        ("x-amz-date".to_owned(), "20130524T000000Z".to_owned()),
    ];
    if let Some(target) = &ask.target {
        headers.push(("x-amz-target".to_owned(), target.clone()));
    }
    let mut request = Request::builder().method(ask.method).uri(ask.path);
    for (name, value) in &headers {
        request = request.header(name, value);
    }
    if ask.is_signed {
        request = request.header("authorization", signature(&ask, &headers));
    }
    for (name, value) in &ask.more_headers {
        request = request.header(*name, *value);
    }
    let body = ask.sent_body.unwrap_or(ask.body);
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let connection = ConnectionInfo {
        peer: SocketAddr::new(IpAddr::V4(ask.peer), 50_000),
        local: SocketAddr::new(IpAddr::V4(ask.peer), 9000),
        transport: ask.transport,
        cipher_suite: None,
    };
    let response = api.handle(request, connection).await;
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

async fn call(api: &KmsApi, operation: &str, members: Value) -> Answer {
    send(api, ask(operation, &members)).await
}

#[tokio::test]
async fn a_key_is_made_used_and_described() {
    let api = api(false);
    let made = call(&api, "CreateKey", json!({ "Description": "\"x\"" })).await;
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(made.headers["content-type"], "application/x-amz-json-1.1");
    let id = made.headers["x-amzn-requestid"].to_str().unwrap();
    assert!(id.len() == 36 && id.split('-').count() == 5, "{id}");
    let key = made.json()["KeyMetadata"]["Arn"].clone();
    assert_eq!(made.json()["KeyMetadata"]["Description"], "\"x\"");
    assert_eq!(made.json()["KeyMetadata"]["CreationDate"], 1_369_353_600.0);

    let context = json!({ "a": "b" });
    let members = json!({ "KeyId": key, "Plaintext": "c2VjcmV0", "EncryptionContext": context });
    let sealed = call(&api, "Encrypt", members).await.json();
    let members =
        json!({ "CiphertextBlob": sealed["CiphertextBlob"], "EncryptionContext": context });
    let opened = call(&api, "Decrypt", members).await.json();
    assert_eq!(opened["Plaintext"], "c2VjcmV0");
    assert_eq!(opened["KeyId"], key);

    let members = json!({ "CiphertextBlob": sealed["CiphertextBlob"] });
    let refused = call(&api, "Decrypt", members).await;
    assert_eq!(refused.body, r#"{"__type":"InvalidCiphertextException"}"#);
    let disabled = call(&api, "DisableKey", json!({ "KeyId": key })).await;
    assert!(disabled.status == 200 && disabled.body.is_empty());
    assert_eq!(
        disabled.headers["content-type"],
        "application/x-amz-json-1.1"
    );
}

#[tokio::test]
async fn an_empty_body_is_an_empty_object() {
    let api = api(false);
    let mut empty = ask("ListKeys", &json!({}));
    empty.body.clear();
    let answer = send(&api, empty).await;
    assert_eq!(answer.json(), json!({ "Keys": [], "Truncated": false }));
}

#[tokio::test]
async fn who_does_not_sign_well_learns_nothing() {
    let api = api(false);
    let base = || ask("ListKeys", &json!({}));
    let mut flaws: Vec<(Ask, &str)> = Vec::new();
    let mut flaw = |code, change: &dyn Fn(&mut Ask)| {
        let mut ask = base();
        change(&mut ask);
        flaws.push((ask, code));
    };
    flaw("MissingAuthenticationTokenException", &|ask| {
        ask.is_signed = false;
    });
    flaw("MissingAuthenticationTokenException", &|ask| {
        ask.is_signed = false;
        ask.target = Some("TrentService.NoSuchOperation".to_owned());
    });
    flaw("InvalidSignatureException", &|ask| ask.secret = "other");
    flaw("InvalidSignatureException", &|ask| {
        ask.secret = "other";
        ask.target = Some("TrentService.NoSuchOperation".to_owned());
    });
    flaw("InvalidSignatureException", &|ask| {
        ask.secret = "other";
        ask.body = b"no json".to_vec();
    });
    flaw("InvalidSignatureException", &|ask| ask.region = "eu-west-1");
    flaw("InvalidSignatureException", &|ask| {
        ask.sent_body = Some(br#"{"Limit":1}"#.to_vec());
    });
    flaw("InvalidSignatureException", &|ask| {
        ask.more_headers.push(("x-amz-other", "unsigned"));
    });
    flaw("IncompleteSignatureException", &|ask| ask.service = "s3");
    flaw("IncompleteSignatureException", &|ask| {
        ask.is_signed = false;
        ask.more_headers
            .push(("authorization", "AWS4-HMAC-SHA256 x"));
    });
    flaw("IncompleteSignatureException", &|ask| {
        ask.more_headers
            .push(("authorization", "AWS4-HMAC-SHA256 x"));
    });
    // A target that is signed once and sent twice is ambiguous.
    flaw("InvalidSignatureException", &|ask| {
        ask.more_headers
            .push(("x-amz-target", "TrentService.ListAliases"));
    });
    for (ask, code) in flaws {
        let answer = send(&api, ask).await;
        assert_eq!(
            (answer.status.as_u16(), answer.told().1.as_str()),
            (400, code)
        );
    }
}

#[tokio::test]
async fn what_is_no_operation_is_unknown() {
    let api = api(false);
    for (method, path, target) in [
        ("POST", "/", Some("TrentService.NoSuchOperation")),
        ("POST", "/", Some("TrentService.")),
        ("POST", "/", Some("secretsmanager.ListSecrets")),
        ("POST", "/", None),
        ("GET", "/", Some("TrentService.ListKeys")),
        ("POST", "/x", Some("TrentService.ListKeys")),
    ] {
        let mut ask = ask("", &json!({}));
        (ask.method, ask.path) = (method, path);
        ask.target = target.map(str::to_owned);
        let answer = send(&api, ask).await;
        assert_eq!(answer.body, r#"{"__type":"UnknownOperationException"}"#);
        assert_eq!(answer.status, 400);
    }
}

#[tokio::test]
async fn the_size_is_bounded_before_the_signature_is_looked_at() {
    let api = api(false);
    for secret in [SECRET, "other"] {
        let mut large = ask("ListKeys", &json!({}));
        large.secret = secret;
        large.body = vec![b' '; JSON_DOCUMENT_MAX_BYTES + 1];
        let (status, code, _) = send(&api, large).await.told();
        assert_eq!(
            (status, code.as_str()),
            (413, "RequestEntityTooLargeException")
        );
    }
    let mut largest = ask("ListKeys", &json!({}));
    largest.body = vec![b' '; JSON_DOCUMENT_MAX_BYTES];
    largest.body[..2].copy_from_slice(b"{}");
    assert_eq!(send(&api, largest).await.status, 200);
    // A length that is announced is believed to be at least that.
    let mut announced = ask("ListKeys", &json!({}));
    announced.more_headers.push(("content-length", "10000000"));
    assert_eq!(send(&api, announced).await.status, 413);
}

#[tokio::test]
async fn key_material_does_not_travel_in_clear() {
    let text = "Requests that carry key material must be made over a secure connection.";
    for (peer, transport, danger, is_taken) in [
        (HERE, Transport::Plain, false, true),
        (ELSEWHERE, Transport::Plain, false, false),
        (ELSEWHERE, Transport::Tls(TlsVersion::V1_3), false, true),
        (ELSEWHERE, Transport::Plain, true, true),
    ] {
        let mut ask = ask("GenerateRandom", &json!({ "NumberOfBytes": 8 }));
        (ask.peer, ask.transport) = (peer, transport);
        let answer = send(&api(danger), ask).await;
        if is_taken {
            assert_eq!(answer.status, 200);
        } else {
            let expected = (400, "ValidationException".to_owned(), text.to_owned());
            assert_eq!(answer.told(), expected);
        }
    }
}

#[tokio::test]
async fn wrong_documents_are_serialization_errors_without_their_content() {
    let api = api(false);
    let deep = [b"[".repeat(10_000), b"]".repeat(10_000)].concat();
    for body in [
        &b"{"[..],
        b"null",
        b"[]",
        b"\"secret\"",
        b"\xFF",
        b"{}{}",
        &deep,
    ] {
        let mut ask = ask("ListKeys", &json!({}));
        ask.body = body.to_vec();
        let (status, code, text) = send(&api, ask).await.told();
        assert_eq!((status, code.as_str()), (400, "SerializationException"));
        assert!(!text.contains("secret"));
    }
}

#[tokio::test]
async fn what_this_server_does_not_have_is_unsupported() {
    let api = api(false);
    let recipient = json!({ "AttestationDocument": "AAAA" });
    for (operation, members) in [
        ("ReplicateKey", json!({})),
        ("CreateCustomKeyStore", json!({ "CustomKeyStoreName": 1 })),
        ("CreateKey", json!({ "CustomKeyStoreId": "c" })),
        ("CreateKey", json!({ "XksKeyId": "x" })),
        (
            "GenerateRandom",
            json!({ "NumberOfBytes": 1, "Recipient": recipient }),
        ),
        (
            "Decrypt",
            json!({ "CiphertextBlob": "AAAA", "Recipient": recipient }),
        ),
        (
            "GenerateDataKey",
            json!({ "KeyId": "k", "KeySpec": "AES_256", "Recipient": recipient }),
        ),
        (
            "GenerateDataKeyPair",
            json!({ "KeyId": "k", "KeyPairSpec": "RSA_2048", "Recipient": recipient }),
        ),
        (
            "DeriveSharedSecret",
            json!({
                "KeyId": "k", "KeyAgreementAlgorithm": "ECDH", "PublicKey": "AAAA",
                "Recipient": recipient,
            }),
        ),
    ] {
        let (status, code, _) = call(&api, operation, members).await.told();
        assert_eq!(
            (status, code.as_str()),
            (400, "UnsupportedOperationException"),
            "{operation}"
        );
    }
}

#[tokio::test]
async fn two_names_for_one_spec_are_an_error() {
    let api = api(false);
    let spec = "SYMMETRIC_DEFAULT";
    let members = json!({ "KeySpec": spec, "CustomerMasterKeySpec": spec });
    let (_, code, text) = call(&api, "CreateKey", members).await.told();
    assert_eq!(code, "ValidationException");
    assert!(text.starts_with("You cannot specify KeySpec and CustomerMasterKeySpec"));
    let made = call(&api, "CreateKey", json!({ "CustomerMasterKeySpec": spec })).await;
    assert_eq!(made.json()["KeyMetadata"]["KeySpec"], spec);
}

#[tokio::test]
async fn a_context_beyond_its_bound_is_a_validation_error() {
    let api = api(false);
    let context = json!({ "a": "v".repeat(9000) });
    let members = json!({ "KeyId": "k", "Plaintext": "AAAA", "EncryptionContext": context });
    let (_, code, _) = call(&api, "Encrypt", members).await.told();
    assert_eq!(code, "ValidationException");
}
