//! The records, field by field.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use strongroom_ports::AuditEvent;
use strongroom_types::kms::EncryptionContext;
use strongroom_types::{
    Principal, RequestContext, RequestId, Session, SessionKind, Timestamp, Transport, WebIdentity,
};

use crate::fixture::{ACCOUNT, KEY_ARN, START, World};
use crate::limits::DOCUMENT_MAX_BYTES;
use crate::{Event, EventBuilder, EventId, Params};

const REQUEST: RequestId = RequestId::from_bytes([0xAB; 16]);
const UUID: &str = "abababab-abab-abab-abab-abababababab";

fn parsed(event: &Event) -> Value {
    serde_json::from_slice(&event.document).unwrap()
}

fn context_of(arn: &str) -> EncryptionContext {
    EncryptionContext::default()
        .with("aws:s3:arn", arn)
        .unwrap()
}

fn by_s3(world: &World) -> RequestContext {
    RequestContext {
        request_id: REQUEST,
        via_service: Some("s3.us-east-1.amazonaws.com".into()),
        ..world.alice()
    }
}

fn session(kind: SessionKind) -> Arc<Session> {
    Arc::new(Session {
        kind,
        issued: START,
        expires: START,
        policies: Vec::new(),
        policy_arns: Vec::new(),
        tags: Vec::new(),
        transitive_tag_keys: Vec::new(),
        source_identity: None,
        federated_provider: None,
        web_identity: None,
    })
}

/// KMS Developer Guide, "GenerateDataKey" (ct-generatedatakey), with the caller of a forwarded call.
#[test]
fn generate_data_key_by_s3_is_the_documented_record() {
    let world = World::new();
    let context = by_s3(&world);
    let material = "a".repeat(64);
    let event = EventBuilder::of(&context, "kms.amazonaws.com", "GenerateDataKey")
        .params(
            &Params::new()
                .text("keyId", KEY_ARN)
                .text("keySpec", "AES_256")
                .context(&context_of("arn:aws:s3:::bucket/key")),
        )
        .additional(Params::new().text("keyMaterialId", &material))
        .resource("AWS::KMS::Key", KEY_ARN, Some(world.account()));
    let event = world.log().finish(event);
    assert_eq!(
        parsed(&event),
        json!({
            "eventVersion": "1.11",
            "userIdentity": {
                "type": "IAMUser",
                "principalId": "AIDAEXAMPLEEXAMPLE01",
                "arn": "arn:aws:iam::111122223333:user/staff/alice",
                "accountId": ACCOUNT,
                "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
                "userName": "alice",
                "invokedBy": "fas.s3.amazonaws.com",
            },
            "eventTime": "2026-01-02T10:00:00Z",
            "eventSource": "kms.amazonaws.com",
            "eventName": "GenerateDataKey",
            "awsRegion": "us-east-1",
            "sourceIPAddress": "fas.s3.amazonaws.com",
            "userAgent": "fas.s3.amazonaws.com",
            "requestParameters": {
                "keyId": KEY_ARN,
                "keySpec": "AES_256",
                "encryptionContext": {"aws:s3:arn": "arn:aws:s3:::bucket/key"},
            },
            "responseElements": null,
            "additionalEventData": {"keyMaterialId": material, "clientIpAddress": "192.0.2.7"},
            "requestID": UUID,
            "eventID": event.id.to_string(),
            "readOnly": true,
            "resources": [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": KEY_ARN}],
            "eventType": "AwsApiCall",
            "managementEvent": true,
            "recipientAccountId": ACCOUNT,
            "eventCategory": "Management",
        })
    );
}

/// KMS Developer Guide, "Decrypt" (ct-decrypt), with a role's session and a failure.
#[test]
fn a_failed_decrypt_by_s3_for_a_role_is_the_documented_record() {
    let world = World::new();
    let context = RequestContext {
        principal: Principal::RoleSession {
            account: world.account(),
            role_id: "AROAEXAMPLE".into(),
            role_name: "Reader".into(),
            role_arn: "arn:aws:iam::111122223333:role/night/shift/Reader".into(),
            session_name: "nightly".into(),
        },
        session: Some(session(SessionKind::Role)),
        ..by_s3(&world)
    };
    let event = EventBuilder::of(&context, "kms.amazonaws.com", "Decrypt")
        .params(
            &Params::new()
                .context(&context_of("arn:aws:s3:::bucket/key"))
                .text("encryptionAlgorithm", "SYMMETRIC_DEFAULT"),
        )
        .failed("DisabledException", "arn is disabled.")
        .resource("AWS::KMS::Key", KEY_ARN, Some(world.account()));
    let event = world.log().finish(event);
    let record = parsed(&event);
    assert_eq!(
        record["userIdentity"],
        json!({
            "type": "AssumedRole",
            "principalId": "AROAEXAMPLE:nightly",
            "arn": "arn:aws:sts::111122223333:assumed-role/Reader/nightly",
            "accountId": ACCOUNT,
            "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": "AROAEXAMPLE",
                    "arn": "arn:aws:iam::111122223333:role/night/shift/Reader",
                    "accountId": ACCOUNT,
                    "userName": "Reader",
                },
                "attributes": {
                    "creationDate": "2026-01-02T10:00:00Z",
                    "mfaAuthenticated": "false",
                },
            },
            "invokedBy": "fas.s3.amazonaws.com",
        })
    );
    assert_eq!(record["errorCode"], "DisabledException");
    assert_eq!(record["errorMessage"], "arn is disabled.");
    assert_eq!(
        record["requestParameters"]["encryptionAlgorithm"],
        "SYMMETRIC_DEFAULT"
    );
    assert_eq!(event.user_name.as_deref(), Some("nightly"));
}

/// KMS Developer Guide, "RotateKey" and "DeleteKey".
#[test]
fn what_a_service_does_by_itself_is_a_service_event() {
    let world = World::new();
    let event = EventBuilder::by_service(world.account(), "kms.amazonaws.com", "RotateKey")
        .service_details(&Params::new().text("keyId", "1234abcd"))
        .read_only(false)
        .resource("AWS::KMS::Key", KEY_ARN, Some(world.account()));
    let record = parsed(&world.log().finish(event));
    let identity = json!({"accountId": ACCOUNT, "invokedBy": "AWS Internal"});
    assert_eq!(record["userIdentity"], identity);
    assert_eq!(record["eventType"], "AwsServiceEvent");
    assert_eq!(record["serviceEventDetails"], json!({"keyId": "1234abcd"}));
    assert_eq!(record["requestParameters"], Value::Null);
    assert_eq!(record["sourceIPAddress"], "AWS Internal");
}

#[test]
fn a_call_over_tls_says_so_and_a_request_has_the_id_that_its_answer_had() {
    let world = World::new();
    let context = RequestContext {
        request_id: REQUEST,
        ..world.alice()
    };
    let event = EventBuilder::of(&context, "s3.amazonaws.com", "PutObject")
        .data()
        .response(&Params::new().text("x-amz-version-id", "v"))
        .connection(Some("TLS_AES_128_GCM_SHA256"), Some("s3.local"));
    let record = parsed(&world.log().finish(event));
    assert_eq!(
        record["tlsDetails"],
        json!({
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": "s3.local",
        })
    );
    assert_eq!(record["requestID"], "ABABABABABABABAB");
    assert_eq!(record["managementEvent"], false);
    assert_eq!(record["eventCategory"], "Data");
    assert_eq!(record["responseElements"], json!({"x-amz-version-id": "v"}));
    assert_eq!(record["sourceIPAddress"], "192.0.2.7");
}

#[test]
fn results_of_reads_are_not_recorded() {
    let world = World::new();
    let context = world.alice();
    for (source, name, kept) in [
        ("kms.amazonaws.com", "GetKeyPolicy", false),
        ("kms.amazonaws.com", "GenerateDataKey", false),
        ("kms.amazonaws.com", "Decrypt", false),
        ("kms.amazonaws.com", "Sign", false),
        ("kms.amazonaws.com", "CreateKey", true),
        ("kms.amazonaws.com", "GetParametersForImport", false),
        ("iam.amazonaws.com", "CreateAccessKey", true),
        ("sts.amazonaws.com", "AssumeRole", true),
    ] {
        let response = Params::new().text("policy", "canary");
        let event = EventBuilder::of(&context, source, name).response(&response);
        let event = world.log().finish(event);
        assert_eq!(event.document().contains("canary"), kept, "{name}");
        assert_eq!(
            event.read_only,
            !kept || source == "sts.amazonaws.com",
            "{name}"
        );
    }
}

/// Every field of every record is one of the documented ones, of its type; the others are there when
/// they must be.
#[test]
fn every_kind_of_caller_and_call_gives_a_record_of_the_documented_shape() {
    let world = World::new();
    let account = world.account();
    let principals = [
        Principal::Root { account },
        world.alice().principal,
        Principal::RoleSession {
            account,
            role_id: "AROA".into(),
            role_name: "R".into(),
            role_arn: "arn:aws:iam::111122223333:role/R".into(),
            session_name: "s".into(),
        },
        Principal::Federated {
            account,
            name: "bob".into(),
        },
        Principal::Service {
            name: "cloudtrail.amazonaws.com".into(),
            source: None,
        },
        Principal::Anonymous,
    ];
    let sessions = [
        None,
        Some(session(SessionKind::Token)),
        Some(session(SessionKind::WebIdentity)),
        Some(session(SessionKind::Federated {
            issuer_id: String::new(),
        })),
        Some(session(SessionKind::Federated {
            issuer_id: "AIDA".to_owned(),
        })),
    ];
    let mut checked = 0;
    for principal in &principals {
        for session in &sessions {
            for via in [None, Some("s3.us-east-1.amazonaws.com".into())] {
                for transport in [Transport::Plain, world.alice().transport] {
                    let context = RequestContext {
                        principal: principal.clone(),
                        session: session.clone(),
                        via_service: via.clone(),
                        transport,
                        user_agent: None,
                        ..world.alice()
                    };
                    for (source, name) in [
                        ("kms.amazonaws.com", "Decrypt"),
                        ("s3.amazonaws.com", "CreateBucket"),
                        ("iam.amazonaws.com", "DeleteUser"),
                    ] {
                        let full = EventBuilder::of(&context, source, name)
                            .params(&Params::new().text("a", "b"))
                            .response(&Params::new().flag("c", true))
                            .failed("E", "m")
                            .resource("AWS::KMS::Key", KEY_ARN, Some(account))
                            .recipient(account, Some(EventId::new(START, &*world.entropy)));
                        check_shape(&world.log().finish(full));
                        let bare = EventBuilder::of(&context, source, name).data();
                        check_shape(&world.log().finish(bare));
                        checked += 2;
                    }
                }
            }
        }
    }
    assert_eq!(checked, 6 * 5 * 2 * 2 * 3 * 2);
}

/// CloudTrail User Guide, "`userIdentity` element", of AssumeRoleWithWebIdentity.
#[test]
fn who_proved_itself_to_a_provider_is_named_and_in_the_providers_account() {
    const PROVIDER: &str = "arn:aws:iam::444455556666:oidc-provider/issuer.example";
    let world = World::new();
    let proven = Session {
        federated_provider: Some(PROVIDER.to_owned()),
        web_identity: Some(WebIdentity {
            audience: "app".to_owned(),
            subject: "repo:acme/app".to_owned(),
        }),
        ..(*session(SessionKind::WebIdentity)).clone()
    };
    // Who signed has no part in it.
    let context = world.alice().of_web_identity(Arc::new(proven));
    let name = "AssumeRoleWithWebIdentity";
    let event = EventBuilder::of(&context, "sts.amazonaws.com", name).failed("AccessDenied", "no");
    let event = world.log().finish(event);
    assert_eq!(event.user_name.as_deref(), Some("repo:acme/app"));
    let record = parsed(&event);
    assert_eq!(
        record["userIdentity"],
        json!({
            "type": "WebIdentityUser",
            "principalId": format!("{PROVIDER}:app:repo:acme/app"),
            "userName": "repo:acme/app",
            "identityProvider": PROVIDER,
        })
    );
    assert_eq!(record["recipientAccountId"], "444455556666");
}

fn check_shape(event: &Event) {
    const TEXT: [&str; 13] = [
        "eventVersion",
        "eventTime",
        "eventSource",
        "eventName",
        "awsRegion",
        "sourceIPAddress",
        "userAgent",
        "requestID",
        "eventID",
        "eventType",
        "recipientAccountId",
        "eventCategory",
        "errorCode",
    ];
    let record = parsed(event);
    let members = record.as_object().unwrap();
    for (name, value) in members {
        let right = match name.as_str() {
            "userIdentity" | "additionalEventData" | "tlsDetails" | "serviceEventDetails" => {
                value.is_object()
            }
            "requestParameters" | "responseElements" => value.is_object() || value.is_null(),
            "readOnly" | "managementEvent" => value.is_boolean(),
            "resources" => value.as_array().is_some_and(|all| {
                all.iter()
                    .all(|it| it["ARN"].is_string() && it["type"].is_string())
            }),
            "errorMessage" | "sharedEventID" => value.is_string(),
            name => TEXT.contains(&name) && value.is_string(),
        };
        assert!(right, "{name}: {value}");
    }
    for name in TEXT.iter().filter(|name| **name != "errorCode") {
        assert!(members.contains_key(*name), "{name} is missing");
    }
    for name in [
        "userIdentity",
        "requestParameters",
        "responseElements",
        "readOnly",
    ] {
        assert!(members.contains_key(name), "{name} is missing");
    }
    assert!(Timestamp::parse_iso8601(record["eventTime"].as_str().unwrap()).is_ok());
    assert_eq!(
        record["managementEvent"] == true,
        record["eventCategory"] == "Management"
    );
    let identity = record["userIdentity"].as_object().unwrap();
    for (name, value) in identity {
        let right = match name.as_str() {
            "sessionContext" => value.is_object(),
            "type" | "principalId" | "arn" | "accountId" | "accessKeyId" | "userName"
            | "invokedBy" => value.is_string(),
            _ => false,
        };
        assert!(right, "{name}: {value}");
    }
    assert!(identity.contains_key("type") || identity["invokedBy"] == "AWS Internal");
}

#[test]
fn what_is_too_long_is_left_out_and_says_so() {
    let world = World::new();
    let context = RequestContext {
        user_agent: Some("\u{e9}".repeat(1000).into()),
        sent: None,
        ..world.alice()
    };
    let long = "x".repeat(DOCUMENT_MAX_BYTES);
    let event = EventBuilder::of(&context, "kms.amazonaws.com", "PutKeyPolicy")
        .params(&Params::new().text("policy", &long))
        .response(&Params::new().text("ok", "yes"))
        .additional(Params::new().text("note", "short"))
        .failed("E", &"m".repeat(5000));
    let event = (0..20).fold(event, |event, n| {
        event.resource(
            "AWS::S3::Object",
            &format!("arn:aws:s3:::b/{n}{long}"),
            None,
        )
    });
    let event = world.log().finish(event);
    let record = parsed(&event);
    assert_eq!(record["requestParameters"]["omitted"], true);
    assert_eq!(
        record["requestParameters"]["originalSize"],
        DOCUMENT_MAX_BYTES + 13
    );
    assert_eq!(record["responseElements"], json!({"ok": "yes"}));
    assert_eq!(record["additionalEventData"], json!({"note": "short"}));
    assert_eq!(record["userAgent"].as_str().unwrap().len(), 1024);
    assert_eq!(record["errorMessage"].as_str().unwrap().len(), 1024);
    let (_, value) = world.log().row(&event);
    assert!(
        value.len() < crate::limits::BATCH_PACKED_MAX_BYTES,
        "{}",
        value.len()
    );
}

#[test]
fn ids_begin_with_the_time_and_are_uuids() {
    let world = World::new();
    let time = Timestamp::from_millis(1_767_348_000_123);
    let id = EventId::new(time, &*world.entropy);
    assert_eq!(id.time(), time);
    let text = id.to_string();
    assert_eq!(EventId::parse(&text), Some(id));
    assert_eq!(&text[14..15], "7");
    assert!("89ab".contains(&text[19..20]));
    assert!(
        EventId::new(
            Timestamp::from_millis(time.as_millis() + 1),
            &*world.entropy
        ) > id
    );
}

#[test]
fn what_comes_through_the_port_becomes_a_whole_record() {
    let world = World::new();
    let event = |name, document: &'static str| AuditEvent {
        time: START,
        request_id: Some(REQUEST),
        name,
        document: Bytes::from_static(document.as_bytes()),
    };
    let from_iam = event(
        "CreateUser",
        r#"{"eventSource":"iam.amazonaws.com","eventName":"CreateUser","userIdentity":{
        "arn":"arn:aws:iam::444455556666:user/a/bob","accountId":"444455556666",
        "accessKeyId":"AKIABOB"},"sourceIPAddress":"192.0.2.1","errorCode":null}"#,
    );
    let event_of = |event: &AuditEvent| Event::completed(event, &world.home(), &*world.entropy);
    let completed = event_of(&from_iam);
    check_shape(&completed);
    let record = parsed(&completed);
    assert_eq!(record["userIdentity"]["userName"], "bob");
    assert_eq!(record["recipientAccountId"], "444455556666");
    assert_eq!(record["requestID"], UUID);
    assert_eq!(completed.access_key_id.as_deref(), Some("AKIABOB"));

    let from_kms = event(
        "DisableKey",
        r#"{"eventSource":"kms.amazonaws.com","eventName":"DisableKey","userIdentity":{
        "arn":"arn:aws:iam::111122223333:root"},"sourceIPAddress":"::1","resources":[{"ARN":
        "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}]}"#,
    );
    let completed = event_of(&from_kms);
    check_shape(&completed);
    assert_eq!(completed.resources[0].kind, "AWS::KMS::Key");

    let from_s3 = event(
        "IntegrityFailure",
        r#"{"eventName":"IntegrityFailure","what":"body"}"#,
    );
    let completed = event_of(&from_s3);
    assert_eq!(
        parsed(&completed)["serviceEventDetails"],
        json!({"what": "body"})
    );
    assert_eq!(completed.source, crate::OWN_SOURCE);
    let broken = event_of(&event("Odd", "no json \u{1}"));
    assert_eq!(
        parsed(&broken)["serviceEventDetails"],
        json!({"text": "no json \u{1}"})
    );
}
