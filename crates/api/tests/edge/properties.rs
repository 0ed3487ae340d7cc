//! What must hold for any input: parsers do not panic, and how bytes are cut changes nothing.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use strongroom_api::chunked::{ChunkError, ChunkEvent, ChunkedDecoder, Flavour};
use strongroom_api::form::{FormDecoder, FormError, FormEvent};
use strongroom_api::sigv4::uri::{Query, encode_into};
use strongroom_api::sigv4::{PostPolicy, parse_authorization};
use strongroom_api::xml::{self, XmlWriter};

type Chunked = Result<(Vec<u8>, Option<Vec<(String, String)>>), ChunkError>;

fn decode_chunked(body: &[u8], len: u64, step: usize) -> Chunked {
    let mut decoder = ChunkedDecoder::new(Flavour::UnsignedTrailer, len, vec!["x-a".to_owned()]);
    let (mut data, mut end) = (Vec::new(), None);
    for piece in body.chunks(step) {
        for event in decoder.push(Bytes::copy_from_slice(piece))? {
            match event {
                ChunkEvent::Data(bytes) => data.extend_from_slice(&bytes),
                ChunkEvent::End { trailers } => end = Some(trailers),
            }
        }
    }
    decoder.finish()?;
    Ok((data, end))
}

fn decode_form(body: &[u8], step: usize) -> Result<Vec<u8>, FormError> {
    let mut decoder = FormDecoder::new("multipart/form-data; boundary=b")?;
    let mut data = Vec::new();
    for piece in body.chunks(step) {
        for event in decoder.push(piece)? {
            if let FormEvent::Data(bytes) = event {
                data.extend_from_slice(&bytes);
            }
        }
    }
    decoder.finish()?;
    Ok(data)
}

/// Pieces of the syntax in any order: nearer to the edges than random bytes.
fn near_chunked() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"5\r\nhello\r\n".to_vec()),
        Just(b"0\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"x-a:1\r\n".to_vec()),
        Just(b"x-a:1\n".to_vec()),
        Just(b";".to_vec()),
        vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn near_form() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"--b\r\n".to_vec()),
        Just(b"\r\n--b\r\n".to_vec()),
        Just(b"\r\n--b--".to_vec()),
        Just(b"Content-Disposition: form-data; name=\"k\"\r\n\r\n".to_vec()),
        Just(b"Content-Disposition: form-data; name=\"file\"\r\n\r\n".to_vec()),
        vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn cuts_do_not_change_what_a_chunked_body_holds(
        body in near_chunked(),
        len in prop_oneof![Just(0_u64), Just(5), Just(10)],
        step in 1..9_usize,
    ) {
        prop_assert_eq!(decode_chunked(&body, len, step), decode_chunked(&body, len, usize::MAX));
    }

    #[test]
    fn cuts_do_not_change_what_a_form_holds(body in near_form(), step in 1..9_usize) {
        let whole = decode_form(&body, usize::MAX);
        let cut = decode_form(&body, step);
        prop_assert_eq!(whole.ok(), cut.ok());
    }

    #[test]
    fn any_bytes_are_xml_or_refused(document in vec(any::<u8>(), 0..200), markup in "[<>/&;#x!\\[\\]A-C \"=-]{0,60}") {
        let _ = xml::parse(&document);
        let _ = xml::parse(markup.as_bytes());
    }

    #[test]
    fn texts_come_back_from_xml(text in "[^\u{0}-\u{8}\u{b}\u{c}\u{e}-\u{1f}\u{7f}\u{fffe}\u{ffff}]{0,40}") {
        let mut writer = XmlWriter::new("A", None);
        writer.element("B", &text);
        let root = xml::parse(&writer.finish()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(&root.children[0].text, &text);
    }

    #[test]
    fn values_come_back_from_a_query(name in "\\PC{1,20}", value in vec(any::<u8>(), 0..40)) {
        let mut query = Vec::new();
        encode_into(&mut query, name.as_bytes());
        query.push(b'=');
        encode_into(&mut query, &value);
        let query = String::from_utf8_lossy(&query).into_owned();
        let query = Query::parse(&query).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(query.get(&name), Some(value.as_slice()));
    }

    #[test]
    fn any_claim_is_parsed_or_refused(
        header in "(AWS4-HMAC-SHA256 )?[A-Za-z0-9=/,; -]{0,120}",
        query in "(X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature)=[A-Za-z0-9%/;-]{0,20}&){0,7}",
        policy in "[A-Za-z0-9+/=]{0,80}",
    ) {
        let _ = PostPolicy::parse(&policy);
        let request = http::Request::builder().uri(format!("/k?{query}"));
        for request in [request, http::Request::builder().uri("/k").header("authorization", header)] {
            if let Ok(request) = request.header("x-amz-date", "20130524T000000Z").body(()) {
                let _ = parse_authorization(&request.into_parts().0).map(|_| ());
            }
        }
    }
}
