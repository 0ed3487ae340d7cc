//! What strangers send: heads, bodies, forms and documents. Inputs are text wherever possible, so
//! that the corpus can be read and written by hand.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use strongroom_api::chunked::{ChunkError, ChunkEvent, ChunkedDecoder, Flavour};
use strongroom_api::form::{FormDecoder, FormError, FormEvent, FormFields};
use strongroom_api::s3::fuzzing;
use strongroom_api::sigv4::uri::{Query, decode_component, encode_into};
use strongroom_api::sigv4::{
    Credential, CredentialSource, Dialect, PostPolicy, Service, SigningSecret, Verifier, host,
    parse_authorization, peek_service,
};
use strongroom_ports::Clock;
use strongroom_types::{
    AccessKeyId, AccountId, BucketName, CanonicalId, Principal, RangeSpec, Region, Timestamp,
};

/// The beginning of an operation's name on the first line, and a JSON document: every input shape of
/// the key service.
pub fn json_request(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    let (name, document) = data.split_at(end.unwrap_or(data.len()));
    if let Ok(name) = std::str::from_utf8(name) {
        let _ = strongroom_api::kms::fuzzing::request(name, document.get(1..).unwrap_or_default());
    }
}

/// A head, `METHOD uri` and a line for each header: claim, query and canonical request.
pub fn sigv4_authorization(data: &[u8]) {
    let Some(parts) = parts(data) else {
        return;
    };
    let claim = parse_authorization(&parts);
    if let Ok(Some(claim)) = &claim {
        assert!(!claim.access_key_id().is_empty());
        assert_eq!(
            peek_service(&parts).ok().flatten(),
            Some(claim.service()),
            "routing and verification disagree"
        );
    }
    let _ = host(&parts);
    let query = parts.uri.query().unwrap_or_default();
    if let Ok(query) = Query::parse(query) {
        for (name, value) in query.pairs() {
            let mut encoded = Vec::new();
            encode_into(&mut encoded, value);
            let encoded = String::from_utf8(encoded).expect("escapes are ASCII");
            assert_eq!(decode_component(&encoded).as_ref(), Ok(value), "{name}");
        }
    }
    for service in [Service::Kms, Service::Iam, Service::Sts] {
        if let Err(error) = verifier().verify_with_body_hash(&parts, service, &[0; 32]) {
            let _ = error.answer(Dialect::S3);
        }
    }
    if let Err(error) = verifier().verify(&parts) {
        let _ = error.answer(Dialect::S3);
    }
}

/// `flavour length seed mend|keep [trailer...]`, LF, body: the same outcome however it is split, and
/// never more than the declared length. Mended bodies carry the right signatures, as those of a
/// client with a key do.
pub fn chunked_decoder(data: &[u8]) {
    let Some((line, body)) = split_line(data) else {
        return;
    };
    let mut words = line.split(' ');
    let (Some(flavour), Some(len), Some(seed), Some(mend)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return;
    };
    let (Ok(len), Ok(seed)) = (len.parse::<u64>(), seed.parse::<u64>()) else {
        return;
    };
    let trailers: Vec<String> = words.map(str::to_ascii_lowercase).collect();
    let decoder = || {
        let flavour = match flavour {
            "signed" => Flavour::Signed(fuzzing::chunk_verifier(CHUNK_KEY)),
            "signed-trailer" => Flavour::SignedTrailer(fuzzing::chunk_verifier(CHUNK_KEY)),
            _ => Flavour::UnsignedTrailer,
        };
        ChunkedDecoder::new(flavour, len, trailers.clone())
    };
    let body = match mend {
        "mend" => mended(body),
        _ => body.to_vec(),
    };
    let whole = decode_chunks(decoder(), [body.as_slice()], len);
    let single = decode_chunks(decoder(), body.chunks(1), len);
    let random = decode_chunks(decoder(), pieces(&body, seed), len);
    assert_eq!(whole, single, "byte by byte");
    assert_eq!(whole, random, "split at random");
    if let Ok((data, _)) = whole {
        assert_eq!(data.len() as u64, len);
    }
}

/// `seed`, LF, content type, LF, body: the same outcome however it is split.
pub fn form_decoder(data: &[u8]) {
    let Some((seed, rest)) = split_line(data) else {
        return;
    };
    let Some((content_type, body)) = split_line(rest) else {
        return;
    };
    let seed = seed.parse().unwrap_or(0);
    let Ok(decoder) = FormDecoder::new(content_type) else {
        return;
    };
    let whole = decode_form(decoder, [body]);
    let again = || FormDecoder::new(content_type).expect("it was taken before");
    assert_eq!(whole, decode_form(again(), body.chunks(1)), "byte by byte");
    assert_eq!(whole, decode_form(again(), pieces(body, seed)), "at random");
    if let Ok(form) = whole {
        assert!(form.data.len() <= body.len());
        let _ = verifier().verify_post(&bucket(), &form.fields.into_iter().collect());
    }
}

/// Lines of `field: value`, an empty line, and the policy's JSON; also the rest as it is.
pub fn post_policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (head, document) = text.split_once("\n\n").unwrap_or(("", text));
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let fields: FormFields = fields
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let _ = PostPolicy::parse(document);
    if let Ok(policy) = PostPolicy::parse(&BASE64.encode(document)) {
        let checked = policy.check(&bucket(), &fields, Timestamp::from_seconds(1_700_000_000));
        if let Err(error) = checked {
            let _ = error.answer(Dialect::S3);
        }
        let _ = policy.content_length_range();
    }
    let _ = verifier().verify_post(&bucket(), &fields);
}

/// A request document: the tree, and each typed reader.
pub fn xml_request(data: &[u8]) {
    let tree = strongroom_api::xml::parse(data);
    let taken = fuzzing::documents(data, &region());
    // No bucket can be created from nothing outside of us-east-1, but in it.
    assert!(tree.is_ok() || taken <= usize::from(data.is_empty()));
}

/// A head, as for `sigv4_authorization`: everything that operations read from headers and query.
pub fn headers(data: &[u8]) {
    let Some(mut parts) = parts(data) else {
        return;
    };
    let _ = fuzzing::headers(&parts.headers);
    for value in parts.headers.values() {
        let Ok(text) = std::str::from_utf8(value.as_bytes()) else {
            continue;
        };
        for time in [
            Timestamp::parse_http_date(text),
            Timestamp::parse_amz_date(text),
            Timestamp::parse_iso8601(text),
        ] {
            let Ok(time) = time else { continue };
            let _ = (time.to_http_date(), time.to_amz_date());
            assert_eq!(Timestamp::parse_iso8601(&time.to_iso8601()), Ok(time));
        }
        if let Some(range) = RangeSpec::parse(text) {
            for len in [0, 1, 1000, u64::MAX] {
                if let Some(range) = range.resolve(len) {
                    assert!(range.start < range.end && range.end <= len);
                }
            }
        }
    }
    if let Ok(query) = Query::parse(parts.uri.query().unwrap_or_default()) {
        let mut hoisted = std::mem::take(&mut parts.headers);
        let _ = fuzzing::query(&query, &mut hoisted);
        let _ = fuzzing::headers(&hoisted);
    }
}

/// Reads `METHOD uri` and lines of `name: value`, as far as HTTP would let them through.
fn parts(data: &[u8]) -> Option<Parts> {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, uri) = first.split_once(' ')?;
    let mut parts = Request::builder()
        .method(method)
        .uri(uri)
        .body(())
        .ok()?
        .into_parts()
        .0;
    let mut headers = HeaderMap::new();
    for line in lines.filter(|line| !line.is_empty()).take(100) {
        let at = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(at);
        let name = HeaderName::from_bytes(name).ok()?;
        let value = HeaderValue::from_bytes(value[1..].trim_ascii()).ok()?;
        headers.append(name, value);
    }
    parts.headers = headers;
    Some(parts)
}

fn split_line(data: &[u8]) -> Option<(&str, &[u8])> {
    let at = data.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&data[..at]).ok()?;
    Some((line, &data[at + 1..]))
}

/// Pieces of 0 to 255 bytes, the same for the same seed.
fn pieces(mut rest: &[u8], seed: u64) -> impl Iterator<Item = &[u8]> {
    let mut state = seed | 1;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let len = usize::from((state >> 56) as u8).min(rest.len());
        let (piece, after) = rest.split_at(len);
        rest = after;
        Some(piece)
    })
}

type Chunks = Result<(Vec<u8>, Vec<(String, String)>), ChunkError>;

fn decode_chunks<'a>(
    mut decoder: ChunkedDecoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    len: u64,
) -> Chunks {
    let (mut data, mut end) = (Vec::new(), None);
    for piece in pieces {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(event) = decoder.decode(&mut input)? {
            assert!(end.is_none(), "nothing follows the end");
            match event {
                ChunkEvent::Data(bytes) => data.extend_from_slice(&bytes),
                ChunkEvent::End { trailers } => end = Some(trailers),
            }
            assert!(data.len() as u64 <= len, "more than was declared");
        }
    }
    decoder.finish()?;
    Ok((data, end.expect("a finished body has ended")))
}

#[derive(Debug, PartialEq, Eq)]
struct Form {
    fields: Vec<(String, String)>,
    filename: String,
    content_type: Option<String>,
    data: Vec<u8>,
}

fn decode_form<'a>(
    mut decoder: FormDecoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Form, FormError> {
    let (mut head, mut data, mut ended) = (None, Vec::new(), false);
    for piece in pieces {
        for event in decoder.push(piece)? {
            assert!(!ended, "nothing follows the end");
            match event {
                FormEvent::File {
                    fields,
                    filename,
                    content_type,
                } => {
                    assert!(
                        head.is_none() && data.is_empty(),
                        "the head comes once, first"
                    );
                    let fields = fields.iter().map(|(n, v)| (n.to_owned(), v.to_owned()));
                    head = Some((fields.collect(), filename, content_type));
                }
                FormEvent::Data(bytes) => data.extend_from_slice(&bytes),
                FormEvent::End => ended = true,
            }
        }
    }
    decoder.finish()?;
    let (fields, filename, content_type) = head.expect("a finished form had a file");
    Ok(Form {
        fields,
        filename,
        content_type,
        data,
    })
}

const CHUNK_KEY: &[u8] = b"the key of the fuzzed chunks";

/// Replaces each `chunk-signature=` and the trailer's signature by the right one.
fn mended(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut previous = "0".repeat(64);
    let mut rest = body;
    while let Some((header, after)) = split_crlf(rest) {
        let text = String::from_utf8_lossy(header).into_owned();
        let size = text.split(';').next().unwrap_or_default();
        let Ok(size) = usize::from_str_radix(size, 16) else {
            break;
        };
        if size > after.len() {
            break;
        }
        let (data, after) = after.split_at(size);
        let empty = hex(digest::digest(&digest::SHA256, b"").as_ref());
        let hash = hex(digest::digest(&digest::SHA256, data).as_ref());
        previous = sign(&format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n20260101T000000Z\nscope\n{previous}\n{empty}\n{hash}"
        ));
        let digits = text.split(';').next().unwrap_or_default();
        out.extend_from_slice(format!("{digits};chunk-signature={previous}\r\n").as_bytes());
        out.extend_from_slice(data);
        rest = after;
        if size == 0 {
            break;
        }
        if let Some(after) = rest.strip_prefix(b"\r\n") {
            out.extend_from_slice(b"\r\n");
            rest = after;
        }
    }
    let mut canonical = Vec::new();
    while let Some((line, after)) = split_crlf(rest) {
        if line.starts_with(b"x-amz-trailer-signature:") {
            let hash = hex(digest::digest(&digest::SHA256, &canonical).as_ref());
            let signature = sign(&format!(
                "AWS4-HMAC-SHA256-TRAILER\n20260101T000000Z\nscope\n{previous}\n{hash}"
            ));
            out.extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n").as_bytes());
        } else {
            canonical.extend_from_slice(line);
            canonical.push(b'\n');
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

fn split_crlf(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&bytes[..at], &bytes[at + 2..]))
}

fn sign(text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, CHUNK_KEY);
    hex(hmac::sign(&key, text.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bucket() -> BucketName {
    BucketName::parse("examplebucket").expect("a valid name")
}

fn region() -> Region {
    Region::parse("us-east-1").expect("a valid region")
}

/// The server of AWS's published examples, at their time.
fn verifier() -> &'static Verifier {
    static VERIFIER: OnceLock<Verifier> = OnceLock::new();
    VERIFIER.get_or_init(|| {
        let id = "AKIAIOSFODNN7EXAMPLE";
        let credential = Credential {
            access_key_id: AccessKeyId::parse(id).expect("a valid id"),
            secret: SigningSecret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            principal: Principal::Root {
                account: AccountId::parse("000000000001").expect("a valid account"),
            },
            canonical_id: CanonicalId::parse(&"a1".repeat(32)).expect("a valid id"),
            session_token: None,
        };
        Verifier::new(region(), Arc::new(At), Arc::new(One(Arc::new(credential))))
    })
}

struct At;

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::parse_amz_date("20130524T000000Z").expect("a valid time")
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

struct One(Arc<Credential>);

impl CredentialSource for One {
    fn credential(&self, id: &AccessKeyId) -> Option<Arc<Credential>> {
        (*id == self.0.access_key_id).then(|| Arc::clone(&self.0))
    }
}
