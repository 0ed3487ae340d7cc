//! Signed bodies: whole, in chunks, with trailers, and forms.

use bytes::Bytes;
use http::request::Parts;
use serde_json::Value;
use strongroom_api::chunked::{ChunkError, ChunkEvent, ChunkedDecoder};
use strongroom_api::form::FormFields;
use strongroom_api::sigv4::{AuthError, Dialect, Service};
use strongroom_types::BucketName;

use super::{authorization, request, verifier, verifier_with};

#[test]
fn a_body_other_than_the_signed_one_is_refused() {
    let vectors: Value = serde_json::from_str(include_str!("../../vectors/sigv4.json")).unwrap();
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
