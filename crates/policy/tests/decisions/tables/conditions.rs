//! Conditions: operators, absent keys, sets, and the keys that follow from the request.

use strongroom_types::{Timestamp, TlsVersion};

use super::{ALLOW_ALL, OBJECT, alice, get_object, holds};
use crate::cases::{Case, KEY, OWNER, session};

#[test]
fn operators_compare_as_aws_documents() {
    let with = |key: &str, values: &[&str]| {
        let mut case = get_object(alice());
        let values = values.iter().map(|it| (*it).to_owned()).collect();
        case.conditions.push((key.to_owned(), values));
        case
    };
    for (operator, wanted, value, expected) in [
        ("StringEquals", "a", "a", true),
        ("StringEquals", "a*", "ab", false),
        ("StringEquals", "A", "a", false),
        ("StringNotEquals", "a", "a", false),
        ("StringNotEquals", "a", "b", true),
        (
            "StringEqualsIgnoreCase",
            "\u{c9}t\u{e9}",
            "\u{e9}T\u{c9}",
            true,
        ),
        ("StringNotEqualsIgnoreCase", "A", "a", false),
        ("StringLike", "a*c?", "abbcd", true),
        ("StringLike", "A*", "ab", false),
        ("StringNotLike", "a*", "ab", false),
        ("NumericEquals", "10", "1e1", true),
        ("NumericNotEquals", "10", "10.0", false),
        ("NumericLessThan", "1.2", "1.19", true),
        ("NumericLessThan", "1.2", "1.2", false),
        ("NumericLessThanEquals", "1.2", "1.2", true),
        ("NumericGreaterThan", "9", "10", true),
        ("NumericGreaterThanEquals", "10", "9", false),
        ("NumericEquals", "1", "one", false),
        ("NumericNotEquals", "1", "one", true),
        ("DateEquals", "2026-01-02T03:04:05Z", "1767323045", true),
        ("DateLessThan", "2026-01-02", "2026-01-01T23:59:59Z", true),
        (
            "DateGreaterThanEquals",
            "2026-01-02T00:00Z",
            "2026-01-01T23:00:00-01:00",
            true,
        ),
        (
            "DateNotEquals",
            "2026-01-02",
            "2026-01-02T00:00:00.001Z",
            true,
        ),
        ("Bool", "true", "True", true),
        ("Bool", "false", "true", false),
        ("BinaryEquals", "QUJD", "QUJD", true),
        ("BinaryEquals", "QUJD", "QUJE", false),
        ("IpAddress", "203.0.113.0/24", "203.0.113.9", true),
        ("IpAddress", "2001:db8::/32", "2001:db8::1", true),
        ("NotIpAddress", "203.0.113.0/24", "203.0.114.9", true),
        (
            "ArnEquals",
            "arn:aws:sns:*:111122223333:t*",
            "arn:aws:sns:us-east-1:111122223333:topic",
            true,
        ),
        (
            "ArnLike",
            "arn:aws:sns:*:t*",
            "arn:aws:sns:us-east-1:111122223333:topic",
            false,
        ),
        ("ArnNotLike", "arn:aws:sns:*:*:*", "arn:aws:s3:::b", true),
        ("ArnNotEquals", "arn:aws:s3:::*", "arn:aws:s3:::b", false),
    ] {
        let condition = format!(r#""{operator}":{{"X:Key":"{wanted}"}}"#);
        assert_eq!(
            holds(with("x:kEY", &[value]), &condition),
            expected,
            "{condition} {value}"
        );
    }
    // Several values: one of them, or none of them.
    for (operator, value, expected) in [
        ("StringEquals", "b", true),
        ("StringEquals", "c", false),
        ("StringNotEquals", "b", false),
        ("StringNotEquals", "c", true),
    ] {
        let condition = format!(r#""{operator}":{{"x:key":["a","b"]}}"#);
        assert_eq!(
            holds(with("x:key", &[value]), &condition),
            expected,
            "{condition} {value}"
        );
    }
    // All operators and keys must hold.
    let both = r#""StringEquals":{"x:key":"a"},"Bool":{"aws:SecureTransport":"true"}"#;
    assert!(holds(with("x:key", &["a"]), both));
    assert!(!holds(with("x:key", &["b"]), both));
}

#[test]
fn an_absent_key_fails_comparisons_and_passes_their_negations() {
    for (condition, expected) in [
        (r#""StringEquals":{"x:k":"a"}"#, false),
        (r#""StringLike":{"x:k":"*"}"#, false),
        (r#""NumericLessThan":{"x:k":"1"}"#, false),
        (r#""Bool":{"x:k":"false"}"#, false),
        (r#""IpAddress":{"x:k":"0.0.0.0/0"}"#, false),
        (r#""StringNotEquals":{"x:k":"a"}"#, true),
        (r#""StringNotLike":{"x:k":"*"}"#, true),
        (r#""NumericNotEquals":{"x:k":"1"}"#, true),
        (r#""DateNotEquals":{"x:k":"1"}"#, true),
        (r#""NotIpAddress":{"x:k":"0.0.0.0/0"}"#, true),
        (r#""ArnNotLike":{"x:k":"*"}"#, true),
        (r#""StringEqualsIfExists":{"x:k":"a"}"#, true),
        (r#""StringNotEqualsIfExists":{"x:k":"a"}"#, true),
        (r#""Null":{"x:k":"true"}"#, true),
        (r#""Null":{"x:k":false}"#, false),
        (r#""ForAllValues:StringEquals":{"x:k":"a"}"#, true),
        (r#""ForAnyValue:StringEquals":{"x:k":"a"}"#, false),
        (r#""ForAnyValue:StringNotEquals":{"x:k":"a"}"#, false),
        (r#""ForAnyValue:StringEqualsIfExists":{"x:k":"a"}"#, true),
    ] {
        assert_eq!(
            holds(get_object(alice()), condition),
            expected,
            "{condition}"
        );
    }
    let present = get_object(alice()).condition("x:k", "b");
    assert!(!holds(
        present.clone(),
        r#""StringEqualsIfExists":{"x:k":"a"}"#
    ));
    assert!(holds(present, r#""Null":{"X:K":"false"}"#));
}

#[test]
fn set_operators_look_at_each_value() {
    for (operator, values, expected) in [
        ("ForAllValues:StringEquals", &["a", "b"][..], true),
        ("ForAllValues:StringEquals", &["a", "x"], false),
        ("ForAllValues:StringEquals", &[], true),
        ("ForAnyValue:StringEquals", &["a", "x"], true),
        ("ForAnyValue:StringEquals", &["x"], false),
        ("ForAnyValue:StringEquals", &[], false),
        ("ForAllValues:StringNotEquals", &["x", "y"], true),
        ("ForAllValues:StringNotEquals", &["x", "a"], false),
        ("ForAnyValue:StringNotEquals", &["x", "a"], true),
        ("ForAnyValue:StringNotEquals", &["b", "a"], false),
    ] {
        let mut case = get_object(alice());
        let values: Vec<String> = values.iter().map(|it| (*it).to_owned()).collect();
        case.conditions
            .push(("aws:TagKeys".to_owned(), values.clone()));
        let condition = format!(r#""{operator}":{{"aws:TagKeys":["a","b"]}}"#);
        assert_eq!(holds(case, &condition), expected, "{condition} {values:?}");
    }
}

#[test]
fn global_keys_follow_from_the_request() {
    let equals = |key: &str, value: &str| format!(r#""StringEquals":{{"{key}":"{value}"}}"#);
    let absent = |key: &str| format!(r#""Null":{{"{key}":"true"}}"#);
    let app = || {
        let mut case = get_object(session(OWNER, "app", "s"));
        case.attributes.role_arn = Some("arn:aws:iam::111122223333:role/svc/app".into());
        case.attributes.token_issued = Some(Timestamp::from_seconds(1_767_323_045));
        case
    };
    for (case, condition) in [
        (get_object(alice()), equals("aws:username", "alice")),
        (get_object(alice()), equals("aws:userid", "AIDATEAMALICE")),
        (
            get_object(alice()),
            equals(
                "aws:PrincipalArn",
                "arn:aws:iam::111122223333:user/team/alice",
            ),
        ),
        (get_object(alice()), equals("aws:PrincipalType", "User")),
        (get_object(alice()), absent("aws:TokenIssueTime")),
        (get_object(alice()), absent("aws:MultiFactorAuthPresent")),
        (get_object(alice()), equals("aws:SourceIp", "203.0.113.7")),
        (get_object(alice()), equals("aws:ViaAWSService", "false")),
        (get_object(alice()), equals("aws:ResourceAccount", OWNER)),
        (
            get_object(alice()),
            equals("aws:RequestedRegion", "us-east-1"),
        ),
        (get_object(alice()), equals("s3:TlsVersion", "1.3")),
        (
            get_object(alice()),
            equals("s3:signatureversion", "AWS4-HMAC-SHA256"),
        ),
        (get_object(alice()), equals("aws:EpochTime", "1767323045")),
        (
            get_object(alice()),
            r#""DateGreaterThan":{"aws:CurrentTime":"2026-01-01"}"#.to_owned(),
        ),
        (
            app(),
            equals("aws:PrincipalArn", "arn:aws:iam::111122223333:role/svc/app"),
        ),
        (app(), equals("aws:userid", "AROAAPP:s")),
        (app(), equals("aws:PrincipalType", "AssumedRole")),
        (app(), absent("aws:username")),
        (
            app(),
            r#""DateLessThanEquals":{"aws:TokenIssueTime":"2026-01-02T03:04:05Z"}"#.to_owned(),
        ),
    ] {
        assert!(holds(case, &condition), "{condition}");
    }
    let mut forwarded = get_object(alice());
    forwarded.via_service = Some("s3.us-east-1.amazonaws.com".to_owned());
    for condition in [
        absent("aws:SourceIp"),
        equals("aws:ViaAWSService", "true"),
        equals("kms:ViaService", "s3.us-east-1.amazonaws.com"),
        r#""ForAnyValue:StringEquals":{"aws:CalledVia":"s3.amazonaws.com"}"#.to_owned(),
        equals("aws:CalledViaLast", "s3.amazonaws.com"),
    ] {
        assert!(holds(forwarded.clone(), &condition), "{condition}");
    }
    let mut plain = get_object(alice());
    plain.tls = None;
    assert!(holds(
        plain.clone(),
        &equals("aws:SecureTransport", "false")
    ));
    assert!(holds(plain, &absent("s3:TlsVersion")));
    let mut mapped = get_object(alice());
    mapped.source_ip = "::ffff:203.0.113.7".to_owned();
    assert!(holds(
        mapped,
        r#""IpAddress":{"aws:SourceIp":"203.0.113.0/24"}"#
    ));
}

/// A header named like a condition key, or a tag that a service brings, must not pass for one.
#[test]
fn services_cannot_bring_what_follows_from_the_request() {
    for (key, value) in [
        ("aws:SecureTransport", "false"),
        ("aws:username", "bob"),
        ("aws:PrincipalArn", "arn:aws:iam::111122223333:root"),
        ("aws:PrincipalTag/team", "red"),
        ("aws:SourceIp", "10.0.0.1"),
        ("kms:ViaService", "s3.us-east-1.amazonaws.com"),
        ("aws:MultiFactorAuthPresent", "true"),
    ] {
        let case = get_object(alice()).condition(key, value);
        let condition = format!(r#""StringEquals":{{"{key}":"{value}"}}"#);
        assert!(!holds(case, &condition), "{key}");
    }
}

/// The policies of the S3 User Guide that speak of encryption and transport.
#[test]
#[expect(clippy::large_stack_arrays, reason = "it is a table")]
fn policies_of_buckets_see_what_the_request_says() {
    const SSE: &str = "s3:x-amz-server-side-encryption";
    const KEY_ID: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
    const SSE_C: &str = "s3:x-amz-server-side-encryption-customer-algorithm";
    let put = || Case::new(alice(), "s3:PutObject", OBJECT).identity(&[ALLOW_ALL]);
    let deny = |condition: &str| {
        format!(
            r#"{{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/*",
            "Condition":{{{condition}}}}}"#
        )
    };
    let require_kms = deny(&format!(r#""StringNotEquals":{{"{SSE}":"aws:kms"}}"#));
    let require_header = deny(&format!(r#""Null":{{"{SSE}":"true"}}"#));
    let kms_if_header = deny(&format!(
        r#""Null":{{"{SSE}":"false"}},"StringNotEquals":{{"{SSE}":"aws:kms"}}"#
    ));
    let require_key = deny(&format!(
        r#""StringNotEqualsIfExists":{{"{KEY_ID}":"{KEY}"}}"#
    ));
    let require_sse_c = deny(&format!(r#""Null":{{"{SSE_C}":"true"}}"#));
    let forbid_sse_c = deny(&format!(r#""Null":{{"{SSE_C}":"false"}}"#));
    let forbid_aes = deny(&format!(r#""StringEquals":{{"{SSE}":"AES256"}}"#));
    let none = put;
    let aes = || put().condition(SSE, "AES256");
    let kms = || put().condition(SSE, "aws:kms");
    let own_key = || kms().condition(KEY_ID, KEY);
    let customer = || put().condition(SSE_C, "AES256");
    for (statement, cases) in [
        (
            &require_kms,
            [
                (none(), false),
                (aes(), false),
                (kms(), true),
                (customer(), false),
            ],
        ),
        (
            &require_header,
            [
                (none(), false),
                (aes(), true),
                (kms(), true),
                (customer(), false),
            ],
        ),
        (
            &kms_if_header,
            [
                (none(), true),
                (aes(), false),
                (kms(), true),
                (customer(), true),
            ],
        ),
        (
            &require_key,
            [
                (none(), false),
                (aes(), false),
                (own_key(), true),
                (kms(), false),
            ],
        ),
        (
            &require_sse_c,
            [
                (none(), false),
                (aes(), false),
                (kms(), false),
                (customer(), true),
            ],
        ),
        (
            &forbid_sse_c,
            [
                (none(), true),
                (aes(), true),
                (kms(), true),
                (customer(), false),
            ],
        ),
        (
            &forbid_aes,
            [
                (none(), true),
                (aes(), false),
                (kms(), true),
                (customer(), true),
            ],
        ),
    ] {
        for (case, expected) in cases {
            let case = case.resource_policy(&[statement]);
            assert_eq!(
                case.is_allowed(),
                expected,
                "{statement} {:?}",
                case.conditions
            );
        }
    }
    let require_tls = deny(r#""Bool":{"aws:SecureTransport":"false"}"#);
    let require_tls_13 = deny(r#""NumericLessThan":{"s3:TlsVersion":1.3}"#);
    for (tls, secure, newest) in [
        (Some(TlsVersion::V1_3), true, true),
        (Some(TlsVersion::V1_2), true, false),
        // Plain HTTP has no version of TLS, so the second policy alone lets it pass.
        (None, false, true),
    ] {
        let mut case = put();
        case.tls = tls;
        assert_eq!(
            case.clone().resource_policy(&[&require_tls]).is_allowed(),
            secure
        );
        assert_eq!(
            case.resource_policy(&[&require_tls_13]).is_allowed(),
            newest
        );
    }
}
