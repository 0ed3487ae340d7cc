//! SigV4 against AWS's published examples, against botocore, and against tampering.

#![expect(
    clippy::unwrap_used,
    clippy::similar_names,
    reason = "what tests share lies outside of the test functions; names are those of SigV4"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::request::Parts;
use serde_json::Value;
use strongroom_api::chunked::{ChunkError, ChunkEvent, ChunkedDecoder};
use strongroom_api::form::FormFields;
use strongroom_api::sigv4::{
    AuthError, Credential, CredentialSource, Dialect, Payload, Service, SessionToken,
    SigningSecret, Verified, Verifier,
};
use strongroom_ports::Clock;
use strongroom_types::{
    AccessKeyId, AccountId, BucketName, CanonicalId, Principal, Region, Timestamp,
};

const ACCESS: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

struct One(Arc<Credential>);

impl CredentialSource for One {
    fn credential(&self, id: &AccessKeyId) -> Option<Arc<Credential>> {
        (*id == self.0.access_key_id).then(|| self.0.clone())
    }
}

fn verifier_with(region: &str, now: &str, token: Option<SessionToken>) -> Verifier {
    let credential = Credential {
        access_key_id: AccessKeyId::parse(ACCESS).unwrap(),
        secret: SigningSecret::new(SECRET),
        principal: Principal::Root {
            account: AccountId::parse("000000000001").unwrap(),
        },
        canonical_id: CanonicalId::parse(&"a1".repeat(32)).unwrap(),
        session_token: token,
    };
    Verifier::new(
        Region::parse(region).unwrap(),
        Arc::new(At(Timestamp::parse_amz_date(now).unwrap())),
        Arc::new(One(Arc::new(credential))),
    )
}

fn verifier() -> Verifier {
    verifier_with("us-east-1", "20130524T000000Z", None)
}

fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    request.body(()).unwrap().into_parts().0
}

fn authorization(signed: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={ACCESS}/20130524/us-east-1/s3/aws4_request,SignedHeaders={signed},Signature={signature}"
    )
}

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
    let vectors: Value = serde_json::from_str(include_str!("vectors/sigv4.json")).unwrap();
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

#[test]
fn a_body_other_than_the_signed_one_is_refused() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/sigv4.json")).unwrap();
    let case = vectors["cases"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["name"] == "service kms")
        .unwrap();
    let mut headers = vec![("host", "localhost:9000")];
    for pair in case["headers"].as_array().unwrap() {
        headers.push((pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));
    }
    let parts = request("POST", "/", &headers);
    let verifier = verifier_with("us-west-2", "20261121T030000Z", None);
    let error = verifier
        .verify_with_body_hash(&parts, Service::Kms, &[7; 32])
        .unwrap_err();
    assert_eq!(
        error.answer(Dialect::Json).code,
        "InvalidSignatureException"
    );
    assert!(
        verifier
            .verify_with_body_hash(&parts, Service::Iam, &[7; 32])
            .is_err()
    );
}

fn chunked_request(kind: &str, signed: &str, signature: &str, more: &[(&str, &str)]) -> Parts {
    let authorization = authorization(signed, signature);
    let mut headers = vec![
        ("host", "s3.amazonaws.com"),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("authorization", &authorization),
        ("x-amz-content-sha256", kind),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "66560"),
    ];
    headers.extend_from_slice(more);
    request("PUT", "/examplebucket/chunkObject.txt", &headers)
}

fn signed_example() -> (Parts, [Vec<u8>; 3]) {
    let parts = chunked_request(
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        &[("content-length", "66824")],
    );
    let chunks = [
        (
            65536,
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        ),
        (
            1024,
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        ),
        (
            0,
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ),
    ];
    (parts, chunks.map(|(len, signature)| chunk(len, signature)))
}

fn chunk(len: usize, signature: &str) -> Vec<u8> {
    [
        format!("{len:x};chunk-signature={signature}\r\n").as_bytes(),
        &vec![b'a'; len],
        b"\r\n",
    ]
    .concat()
}

fn decode(parts: &Parts, body: &[u8]) -> Result<Vec<u8>, ChunkError> {
    let verified = verifier().verify(parts).unwrap();
    let (mut decoder, len) = ChunkedDecoder::from_head(&verified.payload, &parts.headers)?.unwrap();
    assert_eq!(len, 66560);
    let mut data = Vec::new();
    for piece in body.chunks(1000) {
        for event in decoder.push(Bytes::copy_from_slice(piece))? {
            if let ChunkEvent::Data(bytes) = event {
                data.extend_from_slice(&bytes);
            }
        }
    }
    decoder.finish()?;
    Ok(data)
}

#[test]
fn the_published_chunked_upload_verifies() {
    let (parts, chunks) = signed_example();
    let body = chunks.concat();
    assert_eq!(body.len(), 66824);
    assert_eq!(decode(&parts, &body), Ok(vec![b'a'; 66560]));
}

#[test]
fn chunks_replayed_reordered_dropped_changed_or_cut_are_refused() {
    let (parts, [first, second, last]) = signed_example();
    let refused = |pieces: &[&[u8]], error| {
        assert_eq!(decode(&parts, &pieces.concat()), Err(error));
    };
    refused(&[&first, &first, &last], ChunkError::LengthMismatch);
    refused(&[&second, &first, &last], ChunkError::SignatureDoesNotMatch);
    refused(
        &[&second, &second, &last],
        ChunkError::SignatureDoesNotMatch,
    );
    refused(&[&first, &last], ChunkError::LengthMismatch);
    refused(&[&last], ChunkError::LengthMismatch);
    refused(&[&first, &second, &second], ChunkError::ChunkTooSmall);
    refused(&[&first, &second], ChunkError::Truncated);
    refused(
        &[&first, &second, &last[..last.len() - 1]],
        ChunkError::Truncated,
    );
    refused(&[&first, &second, &last, &last], ChunkError::Malformed);
    for at in [80, 100, 1000] {
        let mut changed = second.clone();
        let at = at.min(changed.len() - 3);
        changed[at] ^= 1;
        let result = decode(&parts, &[first.as_slice(), &changed, &last].concat());
        assert!(result.is_err(), "{at}");
    }
    // A chunk signature that was not changed must follow the one it was made for.
    let mut other = parts.clone();
    other
        .headers
        .insert("x-amz-decoded-content-length", "1024".parse().unwrap());
    assert!(verifier().verify(&other).is_err());
}

fn trailer_example() -> (Parts, Vec<u8>) {
    let parts = chunked_request(
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        &[("x-amz-trailer", "x-amz-checksum-crc32c")],
    );
    let chunks = [
        chunk(
            65536,
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        ),
        chunk(
            1024,
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        ),
        b"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
            .to_vec(),
    ];
    (parts, chunks.concat())
}

const TRAILER_SIGNATURE: &str = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435";

#[test]
fn the_published_trailers_verify_in_both_notations() {
    let (parts, body) = trailer_example();
    for middle in ["\n\r\n", "\r\n"] {
        let end = format!(
            "x-amz-checksum-crc32c:sOO8/Q=={middle}x-amz-trailer-signature:{TRAILER_SIGNATURE}\r\n\r\n"
        );
        let whole = [&body, end.as_bytes()].concat();
        assert_eq!(decode(&parts, &whole).map(|data| data.len()), Ok(66560));
    }
}

#[test]
fn trailers_changed_unsigned_or_missing_are_refused() {
    let (parts, body) = trailer_example();
    let signature = format!("x-amz-trailer-signature:{TRAILER_SIGNATURE}\r\n");
    for (end, error) in [
        (
            format!("x-amz-checksum-crc32c:sOO8/A==\r\n{signature}\r\n"),
            ChunkError::SignatureDoesNotMatch,
        ),
        (
            "x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n\r\n".to_owned(),
            ChunkError::SignatureDoesNotMatch,
        ),
        (format!("{signature}\r\n"), ChunkError::TrailerMismatch),
        ("\r\n".to_owned(), ChunkError::TrailerMismatch),
        (
            format!("x-amz-checksum-sha1:a\r\n{signature}\r\n"),
            ChunkError::TrailerMismatch,
        ),
        (
            format!("{signature}x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n"),
            ChunkError::TrailerMismatch,
        ),
    ] {
        assert_eq!(
            decode(&parts, &[&body, end.as_bytes()].concat()),
            Err(error),
            "{end}"
        );
    }
}

#[test]
fn the_published_post_form_verifies() {
    let policy = "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9";
    let form = |change: Option<(&str, &str)>| -> FormFields {
        [
            ("key", "user/user1/a.png"),
            ("acl", "public-read"),
            (
                "success_action_redirect",
                "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html",
            ),
            ("Content-Type", "image/jpeg"),
            ("x-amz-meta-uuid", "14365123651274"),
            ("x-amz-server-side-encryption", "AES256"),
            (
                "X-Amz-Credential",
                "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request",
            ),
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Date", "20151229T000000Z"),
            ("x-amz-meta-tag", ""),
            ("Policy", policy),
            (
                "X-Amz-Signature",
                "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e",
            ),
        ]
        .into_iter()
        .map(|(name, value)| match change {
            Some((changed, value)) if changed == name => (name.to_owned(), value.to_owned()),
            _ => (name.to_owned(), value.to_owned()),
        })
        .collect()
    };
    let bucket = BucketName::parse("sigv4examplebucket").unwrap();
    let at = |now: &str| verifier_with("us-east-1", now, None);
    assert!(
        at("20151229T010000Z")
            .verify_post(&bucket, &form(None))
            .unwrap()
            .credential
            .is_some()
    );
    for (name, value, expected) in [
        ("key", "user/user2/a", "AccessDenied"),
        (
            "X-Amz-Signature",
            "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699f",
            "SignatureDoesNotMatch",
        ),
        ("Policy", "e30=", "SignatureDoesNotMatch"),
        ("X-Amz-Date", "20151228T000000Z", "InvalidPolicyDocument"),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA1", "InvalidRequest"),
    ] {
        let error = at("20151229T010000Z")
            .verify_post(&bucket, &form(Some((name, value))))
            .unwrap_err();
        assert_eq!(error.answer(Dialect::S3).code, expected, "{name}");
    }
    assert_eq!(
        at("20151230T120000Z")
            .verify_post(&bucket, &form(None))
            .unwrap_err(),
        AuthError::PolicyExpired
    );
    assert_eq!(
        at("20151228T230000Z")
            .verify_post(&bucket, &form(None))
            .unwrap_err(),
        AuthError::NotYetValid
    );
    let other = BucketName::parse("other-bucket").unwrap();
    assert!(
        at("20151229T010000Z")
            .verify_post(&other, &form(None))
            .is_err()
    );
}
