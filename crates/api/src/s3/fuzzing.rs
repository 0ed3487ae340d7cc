//! Parsers that `fuzz/` feeds with bytes of strangers. Nothing here is part of the product.

use aws_lc_rs::hmac;
use http::HeaderMap;
use strongroom_types::limits::OBJECT_TAGS_MAX;
use strongroom_types::{BlockedEncryption, BucketEncryption, Region, SseAlgorithm, VersionId};

use super::{parse_digests, parse_headers, parse_query, parse_xml};
use crate::sigv4::uri::Query;
use crate::sigv4::{ChunkVerifier, Payload};

/// Runs every typed reader of a request document; says how many took it.
pub fn documents(document: &[u8], region: &Region) -> usize {
    [
        parse_xml::create_bucket(document, region).is_ok(),
        parse_xml::versioning(document).is_ok(),
        parse_xml::encryption(document).is_ok(),
        parse_xml::object_tagging(document).is_ok(),
        parse_xml::bucket_tagging(document).is_ok(),
        parse_xml::tagging(document, OBJECT_TAGS_MAX).is_ok(),
        parse_xml::delete(document).is_ok(),
        parse_xml::complete(document).is_ok(),
    ]
    .into_iter()
    .filter(|taken| *taken)
    .count()
}

/// Runs every reader of headers; says how many took them.
pub fn headers(headers: &HeaderMap) -> usize {
    let sse = parse_headers::sse(headers);
    if let Ok(sse) = &sse {
        let default = BucketEncryption {
            algorithm: SseAlgorithm::Aes256,
            kms_key_id: None,
            bucket_key_enabled: false,
            blocked: BlockedEncryption::None,
            explicitly_set: false,
        };
        for confidential in [false, true] {
            let circumstances = strongroom_sse::Circumstances {
                confidential,
                signed: true,
                by_service: false,
                object_arn: "arn:aws:s3:::b/k",
                bucket_arn: "arn:aws:s3:::b",
            };
            let _ = strongroom_sse::plan_write(sse, &default, circumstances);
            let _ = strongroom_sse::read_key(&sse.customer, true, confidential);
        }
        let _ = strongroom_sse::refuse_write_headers_on_read(sse);
        let _ = sse.algorithm.as_deref().map(SseAlgorithm::parse);
    }
    let source = parse_headers::copy_source(headers);
    if let Ok(source) = &source {
        assert!(!source.key.as_str().is_empty());
    }
    [
        sse.is_ok(),
        source.is_ok(),
        parse_headers::read_conditions(headers).is_ok(),
        parse_headers::write_conditions(headers).is_ok(),
        parse_headers::customer(headers).is_ok(),
        parse_headers::metadata(headers).is_ok(),
        parse_headers::tagging(headers).is_ok(),
        parse_headers::tagging_directive(headers).is_ok(),
        parse_headers::content_md5(headers).is_ok(),
        parse_headers::refuse_object_lock(headers).is_ok(),
        parse_digests::digests(headers, &Payload::Unsigned).is_ok(),
        parse_digests::checksum_algorithm(headers).is_ok(),
        parse_digests::checksum_type(headers).is_ok(),
        parse_digests::object_checksum(headers).is_ok(),
    ]
    .into_iter()
    .filter(|taken| *taken)
    .count()
}

/// Runs every reader of query parameters, and lets a presigned URL hoist them into `headers`.
pub fn query(query: &Query, headers: &mut HeaderMap) -> usize {
    parse_headers::hoist(query, headers);
    let listing = parse_query::listing(query);
    if let Ok(listing) = &listing {
        let _ = parse_query::versions(query, listing);
        let _ = parse_query::uploads(query, listing);
    }
    for (name, value) in query.pairs() {
        if let Ok(value) = std::str::from_utf8(value) {
            let after = parse_query::parse_continuation_token(value);
            if let Ok(after) = after {
                let again = parse_query::continuation_token(&after);
                assert!(parse_query::parse_continuation_token(&again).is_ok_and(|it| it == after));
            }
            if let Ok(version) = VersionId::parse(value) {
                assert!(
                    VersionId::parse(&version.to_string()) == Ok(version),
                    "{name}"
                );
            }
        }
    }
    [
        listing.is_ok(),
        parse_query::version(query).is_ok(),
        parse_query::part_number(query).is_ok(),
        parse_query::upload_id(query).is_ok(),
        parse_query::page_size(query, "max-keys").is_ok(),
        parse_query::part_number_marker(query).is_ok(),
    ]
    .into_iter()
    .filter(|taken| *taken)
    .count()
}

/// A verifier of chunks that were signed with `key`, for the date `20260101T000000Z`, the scope
/// `scope` and a seed of zeros.
pub fn chunk_verifier(key: &[u8]) -> ChunkVerifier {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    ChunkVerifier::new(key, "20260101T000000Z", "scope", [0; 32])
}
