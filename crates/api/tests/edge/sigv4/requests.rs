//! The signature of a request: what it covers, when it holds, and for whom.

use http::request::Parts;
use serde_json::Value;
use strongroom_api::sigv4::{AuthError, Dialect, Payload, Service, SessionToken, Verified};
use strongroom_types::Timestamp;

use super::{SECRET, authorization, request, verifier, verifier_with};

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn get(uri: &str, signature: &str) -> Parts {
    request(
        "GET",
        uri,
        &[
            ("host", "examplebucket.s3.amazonaws.com"),
            ("x-amz-content-sha256", EMPTY),
            ("x-amz-date", "20130524T000000Z"),
            (
                "authorization",
                &authorization("host;x-amz-content-sha256;x-amz-date", signature),
            ),
        ],
    )
}

const LIST: (&str, &str) = (
    "/?max-keys=2&prefix=J",
    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
);

const PRESIGNED: &str = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

fn code(result: Result<Verified, AuthError>) -> (&'static str, String) {
    let answer = result.unwrap_err().answer(Dialect::S3);
    (answer.code, answer.message.into_owned())
}

#[test]
fn published_examples_verify() {
    let verifier = verifier();
    let object = request(
        "GET",
        "/test.txt",
        &[
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", EMPTY),
            ("x-amz-date", "20130524T000000Z"),
            (
                "authorization",
                &authorization(
                    "host;range;x-amz-content-sha256;x-amz-date",
                    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
                ),
            ),
        ],
    );
    let verified = verifier.verify(&object).unwrap();
    assert!(matches!(verified.payload, Payload::Sha256(_)) && !verified.is_presigned);
    assert_eq!(
        verified.scope.unwrap().to_string(),
        "20130524/us-east-1/s3/aws4_request"
    );

    let put = request(
        "PUT",
        "/test%24file.text",
        &[
            ("host", "examplebucket.s3.amazonaws.com"),
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            (
                "x-amz-content-sha256",
                "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            ),
            (
                "authorization",
                &authorization(
                    "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
                ),
            ),
        ],
    );
    verifier.verify(&put).unwrap();
    // The client of the example signs the encoded form whatever form it sends.
    let mut raw = put;
    raw.uri = "/test$file.text".parse().unwrap();
    verifier.verify(&raw).unwrap();

    verifier
        .verify(&get(
            "/?lifecycle",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ))
        .unwrap();
    // Twice: the second time with the cached key.
    verifier.verify(&get(LIST.0, LIST.1)).unwrap();
    verifier.verify(&get(LIST.0, LIST.1)).unwrap();

    let host = [("host", "examplebucket.s3.amazonaws.com")];
    let verified = verifier.verify(&request("GET", PRESIGNED, &host)).unwrap();
    assert!(verified.is_presigned && matches!(verified.payload, Payload::Unsigned));
}

#[test]
fn the_host_of_http2_is_its_authority() {
    let mut parts = get(LIST.0, LIST.1);
    parts.headers.remove("host");
    parts.uri = format!("https://examplebucket.s3.amazonaws.com{}", LIST.0)
        .parse()
        .unwrap();
    verifier().verify(&parts).unwrap();
    parts
        .headers
        .insert("host", "other.s3.amazonaws.com".parse().unwrap());
    assert_eq!(
        verifier().verify(&parts).unwrap_err(),
        AuthError::AmbiguousMechanism
    );
}

#[test]
fn requests_signed_by_botocore_verify() {
    let vectors: Value = serde_json::from_str(include_str!("../../vectors/sigv4.json")).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 60);
    for case in cases {
        let text = |name: &str| case[name].as_str().unwrap();
        let (host, path) = text("url")
            .strip_prefix("http://")
            .unwrap()
            .split_once('/')
            .unwrap();
        let mut headers = vec![("host", host)];
        for pair in case["headers"].as_array().unwrap() {
            headers.push((pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));
        }
        let parts = request(text("method"), &format!("/{path}"), &headers);
        let token = case["session"]
            .as_str()
            .map(|token| SessionToken::new(token, Timestamp::from_millis(u64::MAX)));
        let verifier = verifier_with("us-west-2", vectors["now"].as_str().unwrap(), token);
        let service = Service::parse(text("service")).unwrap();
        let mut body = [0; 32];
        hex::decode_to_slice(text("body_sha256"), &mut body).unwrap();
        let verify = |parts: &Parts| {
            if service == Service::S3 {
                verifier.verify(parts)
            } else {
                verifier.verify_with_body_hash(parts, service, &body)
            }
        };
        let verified = verify(&parts);
        assert!(
            verified.is_ok(),
            "{}: {:?}",
            text("name"),
            verified.map_err(|e| e.details())
        );
        // The same request to another path or with another method is another request.
        let mut moved = parts.clone();
        moved.uri = match parts.uri.query() {
            Some(query) => format!("{}x?{query}", parts.uri.path()),
            None => format!("{}x", parts.uri.path()),
        }
        .parse()
        .unwrap();
        assert!(verify(&moved).is_err(), "{}", text("name"));
        let mut deleted = parts.clone();
        deleted.method = http::Method::DELETE;
        assert!(verify(&deleted).is_err(), "{}", text("name"));
    }
}

#[test]
fn every_changed_character_is_refused() {
    let verifier = verifier();
    let good = get(LIST.0, LIST.1);
    verifier.verify(&good).unwrap();
    for name in [
        "authorization",
        "x-amz-date",
        "x-amz-content-sha256",
        "host",
    ] {
        let text = good.headers[name].to_str().unwrap().to_owned();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = match bytes[at] {
                b'0' => b'1',
                b'a' => b'b',
                b' ' => b'_',
                _ => b'0',
            };
            let mut parts = good.clone();
            parts
                .headers
                .insert(name, http::HeaderValue::from_bytes(&bytes).unwrap());
            assert!(verifier.verify(&parts).is_err(), "{name} at {at}");
        }
    }
    for at in 1..LIST.0.len() {
        for other in ['0', 'b', '/', '&', '='] {
            let mut uri = LIST.0.to_owned();
            if uri[at..].starts_with(other) {
                continue;
            }
            uri.replace_range(at..=at, &other.to_string());
            assert!(verifier.verify(&get(&uri, LIST.1)).is_err(), "{uri}");
        }
    }
    let host = [("host", "examplebucket.s3.amazonaws.com")];
    for at in 1..PRESIGNED.len() {
        let mut uri = PRESIGNED.to_owned();
        if uri[at..].starts_with('?') {
            // Without it there is no query, and nobody has signed.
            continue;
        }
        let other = if uri[at..].starts_with('0') { "1" } else { "0" };
        uri.replace_range(at..=at, other);
        // A broken algorithm name leaves the other parameters, so nothing becomes anonymous.
        let result = verifier.verify(&request("GET", &uri, &host));
        assert!(!matches!(&result, Ok(v) if v.credential.is_some()), "{uri}");
        assert!(result.is_err(), "{uri}");
    }
}

#[test]
fn time_is_bounded_both_ways() {
    let at = |now: &str| verifier_with("us-east-1", now, None);
    let list = get(LIST.0, LIST.1);
    assert!(at("20130524T001500Z").verify(&list).is_ok());
    assert!(at("20130523T234500Z").verify(&list).is_ok());
    assert_eq!(
        code(at("20130524T001501Z").verify(&list)).0,
        "RequestTimeTooSkewed"
    );
    assert_eq!(
        code(at("20130523T234459Z").verify(&list)).0,
        "RequestTimeTooSkewed"
    );
    let url = request(
        "GET",
        PRESIGNED,
        &[("host", "examplebucket.s3.amazonaws.com")],
    );
    assert!(at("20130525T000000Z").verify(&url).is_ok());
    let expired = at("20130525T000001Z").verify(&url).unwrap_err();
    assert_eq!(expired.answer(Dialect::S3).message, "Request has expired");
    assert_eq!(
        expired.details(),
        [
            ("X-Amz-Expires", "86400".to_owned()),
            ("Expires", "2013-05-25T00:00:00Z".to_owned()),
            ("ServerTime", "2013-05-25T00:00:01Z".to_owned())
        ]
    );
    assert_eq!(
        code(at("20130523T234459Z").verify(&url)).1,
        "Request is not yet valid"
    );
}

#[test]
fn claims_that_are_malformed_get_the_text_of_aws() {
    let verifier = verifier();
    let with = |text: &str| {
        let mut parts = get(LIST.0, LIST.1);
        parts.headers.insert("authorization", text.parse().unwrap());
        code(verifier.verify(&parts))
    };
    let good = authorization("host;x-amz-content-sha256;x-amz-date", LIST.1);
    for (from, to, expected_code, expected) in [
        (
            "AWS4-HMAC-SHA256 ",
            "AWS ",
            "InvalidRequest",
            "Please use AWS4-HMAC-SHA256.",
        ),
        (
            "AWS4-HMAC-SHA256 ",
            "Bearer ",
            "InvalidArgument",
            "Unsupported Authorization Type",
        ),
        (
            "aws4_request",
            "aws5_request",
            "AuthorizationHeaderMalformed",
            "incorrect terminal \"aws5_request\"",
        ),
        (
            "/s3/",
            "/ec2/",
            "AuthorizationHeaderMalformed",
            "incorrect service \"ec2\"",
        ),
        (
            "/s3/",
            "/kms/",
            "AuthorizationHeaderMalformed",
            "incorrect service \"kms\". This endpoint belongs to \"s3\".",
        ),
        (
            "/us-east-1/",
            "/eu-west-1/",
            "AuthorizationHeaderMalformed",
            "the region 'eu-west-1' is wrong; expecting 'us-east-1'",
        ),
        (
            "20130524",
            "20130523",
            "AuthorizationHeaderMalformed",
            "Invalid credential date \"20130523\". This date is not the same as X-Amz-Date: \"20130524\".",
        ),
        (
            "20130524",
            "2013524",
            "AuthorizationHeaderMalformed",
            "incorrect date format \"2013524\"",
        ),
        (
            "AKIAIOSFODNN7EXAMPLE",
            "",
            "AuthorizationHeaderMalformed",
            "a non-empty Access Key (AKID)",
        ),
        (
            "AKIAIOSFODNN7EXAMPLE",
            "AKIAIOSFODNN7EXAMPLX",
            "InvalidAccessKeyId",
            "does not exist in our records",
        ),
        (
            "/us-east-1/s3",
            "",
            "AuthorizationHeaderMalformed",
            "expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"",
        ),
        ("host;", "", "AccessDenied", "not signed"),
        (
            ";x-amz-date",
            "",
            "AccessDenied",
            "There were headers present in the request which were not signed",
        ),
        (
            "host;x",
            "x;host;x",
            "AuthorizationHeaderMalformed",
            "SignedHeaders",
        ),
        (
            ",Signature=",
            ",Sig=",
            "AuthorizationHeaderMalformed",
            "the authorization component",
        ),
        (
            "Credential=",
            "Signature=1,Credential=",
            "AuthorizationHeaderMalformed",
            "the authorization component",
        ),
    ] {
        let (code, message) = with(&good.replacen(from, to, 1));
        assert_eq!(code, expected_code, "{from} -> {to}: {message}");
        assert!(message.contains(expected), "{from} -> {to}: {message}");
    }
    // The signature's own text is never malformed: whatever does not match, does not match.
    for signature in [&LIST.1.to_uppercase(), &LIST.1[..63], "", "x"] {
        let (code, _) = with(&good.replace(LIST.1, signature));
        assert_eq!(code, "SignatureDoesNotMatch", "{signature}");
    }
}

#[test]
fn the_mismatch_shows_what_was_signed_but_no_keys() {
    let mut parts = get(LIST.0, LIST.1);
    let signed = "host;x-amz-content-sha256;x-amz-date;x-amz-server-side-encryption-customer-key";
    parts.headers.insert(
        "authorization",
        authorization(signed, LIST.1).parse().unwrap(),
    );
    parts.headers.insert(
        "x-amz-server-side-encryption-customer-key",
        "c2VjcmV0".parse().unwrap(),
    );
    let error = verifier().verify(&parts).unwrap_err();
    let details = error.details();
    let names: Vec<&str> = details.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "AWSAccessKeyId",
            "StringToSign",
            "SignatureProvided",
            "StringToSignBytes",
            "CanonicalRequest",
            "CanonicalRequestBytes"
        ]
    );
    assert!(
        details[4].1.contains("customer-key:MASKED\n"),
        "{}",
        details[4].1
    );
    assert!(!format!("{error:?}{details:?}").contains("c2VjcmV0"));
    assert!(!format!("{details:?}").contains(SECRET));
}

#[test]
fn headers_that_decide_must_be_there_once() {
    let verifier = verifier();
    let mut missing = get(LIST.0, LIST.1);
    missing.headers.remove("x-amz-content-sha256");
    assert_eq!(
        code(verifier.verify(&missing)).1,
        "Missing required header for this request: x-amz-content-sha256"
    );
    let mut dateless = get(LIST.0, LIST.1);
    dateless.headers.remove("x-amz-date");
    assert_eq!(
        code(verifier.verify(&dateless)).1,
        "AWS authentication requires a valid Date or x-amz-date header"
    );
    for name in [
        "authorization",
        "x-amz-date",
        "x-amz-content-sha256",
        "host",
    ] {
        let mut twice = get(LIST.0, LIST.1);
        let value = twice.headers[name].clone();
        twice
            .headers
            .append(http::HeaderName::from_static(name), value);
        assert!(verifier.verify(&twice).is_err(), "{name}");
    }
    let mut both = get(LIST.0, LIST.1);
    both.uri = PRESIGNED.parse().unwrap();
    assert_eq!(
        verifier.verify(&both).unwrap_err(),
        AuthError::AmbiguousMechanism
    );
    let old = request("GET", "/k?AWSAccessKeyId=A&Expires=1&Signature=x", &[]);
    assert_eq!(
        verifier.verify(&old).unwrap_err(),
        AuthError::UnsupportedMechanism
    );
    let repeated = format!("{PRESIGNED}&X-Amz-Expires=604800");
    assert!(verifier.verify(&request("GET", &repeated, &[])).is_err());
}

#[test]
fn an_added_amz_header_is_refused() {
    let mut parts = get(LIST.0, LIST.1);
    parts
        .headers
        .insert("x-amz-acl", "public-read".parse().unwrap());
    let error = verifier().verify(&parts).unwrap_err();
    assert_eq!(error, AuthError::HeadersNotSigned("x-amz-acl".into()));
    let mut parts = request(
        "GET",
        PRESIGNED,
        &[("host", "examplebucket.s3.amazonaws.com")],
    );
    parts.headers.insert("x-amz-meta-a", "1".parse().unwrap());
    assert!(matches!(
        verifier().verify(&parts),
        Err(AuthError::HeadersNotSigned(_))
    ));
}

#[test]
fn who_signs_nothing_is_nobody() {
    let verifier = verifier();
    let verified = verifier
        .verify(&request("GET", "/k?acl", &[("host", "h")]))
        .unwrap();
    assert!(verified.credential.is_none() && verified.scope.is_none());
    let chunked = |value| request("PUT", "/k", &[("x-amz-content-sha256", value)]);
    let verified = verifier
        .verify(&chunked("STREAMING-UNSIGNED-PAYLOAD-TRAILER"))
        .unwrap();
    assert!(matches!(verified.payload, Payload::ChunkedUnsignedTrailer));
    assert!(
        verifier
            .verify(&chunked("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"))
            .is_err()
    );
    let nothing = request("POST", "/", &[]);
    let error = verifier
        .verify_with_body_hash(&nothing, Service::Kms, &[0; 32])
        .unwrap_err();
    assert_eq!(
        error.answer(Dialect::Json).code,
        "MissingAuthenticationTokenException"
    );
}

#[test]
fn session_tokens_are_demanded_and_expire() {
    let list = get(LIST.0, LIST.1);
    let token = |seconds| Some(SessionToken::new("token", Timestamp::from_seconds(seconds)));
    let valid = verifier_with("us-east-1", "20130524T000000Z", token(u64::MAX / 1000));
    assert_eq!(code(valid.verify(&list)).0, "InvalidAccessKeyId");
    let signed = "host;x-amz-content-sha256;x-amz-date;x-amz-security-token";
    let mut with = list;
    with.headers.insert(
        "authorization",
        authorization(signed, LIST.1).parse().unwrap(),
    );
    with.headers
        .insert("x-amz-security-token", "token".parse().unwrap());
    assert_eq!(code(verifier().verify(&with)).0, "InvalidToken");
    assert_eq!(code(valid.verify(&with)).0, "SignatureDoesNotMatch");
    let expired = verifier_with("us-east-1", "20130524T000000Z", token(1_369_353_600));
    assert_eq!(code(expired.verify(&with)).0, "ExpiredToken");
    with.headers
        .insert("x-amz-security-token", "tokem".parse().unwrap());
    assert_eq!(code(valid.verify(&with)).0, "InvalidToken");
}
