//! `multipart/form-data` as S3's POST uploads use it: fields, then one file, streamed.
//!
//! A pure state machine: memory is bounded by the limits on fields, whatever the file's length.
//! What follows the file is not read, as S3 ignores it.
//!
//! Source: RFC 7578; S3 API Reference, "POST Object".

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use crate::limits::{
    FORM_BOUNDARY_MAX_BYTES, FORM_FIELDS_MAX, FORM_FIELDS_MAX_BYTES, FORM_PART_HEADER_MAX_BYTES,
};

/// The fields in front of the file. Names are case-insensitive, and kept in lower case.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct FormFields(Vec<(String, String)>);

impl FormFields {
    /// The value of a field, whose name is given in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(own, _)| *own == name)
            .map(|(_, value)| value)
    }

    /// Every field in the order in which it was sent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Replaces `${filename}` in the field `key` by the name of the file that was sent: its part
    /// behind the last slash or backslash, since some browsers send a path.
    pub fn substitute_filename(&mut self, filename: &str) {
        let name = filename.rsplit(['/', '\\']).next().unwrap_or_default();
        for (field, value) in &mut self.0 {
            if field == "key" {
                *value = value.replace("${filename}", name);
            }
        }
    }
}

impl FromIterator<(String, String)> for FormFields {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(fields: I) -> Self {
        let lower = |(name, value): (String, String)| (name.to_ascii_lowercase(), value);
        Self(fields.into_iter().map(lower).collect())
    }
}

impl std::fmt::Debug for FormFields {
    /// Values may be signatures and metadata: names only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

/// What a form turns out to hold.
#[derive(Debug)]
pub enum FormEvent {
    /// All fields, and the head of the file that follows. Comes once, first.
    File {
        /// The fields in front of the file.
        fields: FormFields,
        /// The file's name as sent; empty when there is none.
        filename: String,
        /// The part's own content type.
        content_type: Option<String>,
    },
    /// Bytes of the file.
    Data(Bytes),
    /// The file is whole.
    End,
}

/// Why a form is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The `Content-Type` is not that of a form, or its boundary is unusable: 412 or 400.
    #[error("Bucket POST must be of the enclosure-type multipart/form-data")]
    NotAForm,
    /// 400 `MalformedPOSTRequest`.
    #[error("The body of your POST request is not well-formed multipart/form-data.")]
    Malformed,
    /// 400 `MaxPostPreDataLengthExceededError`.
    #[error("Your POST request fields preceding the upload file were too large.")]
    FieldsTooLarge,
    /// 400 `InvalidArgument`: so S3 answers, although its reference lists a code of its own.
    #[error("POST requires exactly one file upload per request.")]
    NoFile,
    /// 400 `IncompleteBody`: the body ended within the file.
    #[error("The request body terminated unexpectedly")]
    Truncated,
}

impl FormError {
    /// AWS's code, text and HTTP status.
    pub fn answer(self) -> (&'static str, String, u16) {
        let (code, status) = match self {
            Self::NotAForm => ("PreconditionFailed", 412),
            Self::Malformed => ("MalformedPOSTRequest", 400),
            Self::FieldsTooLarge => ("MaxPostPreDataLengthExceededError", 400),
            Self::NoFile => ("InvalidArgument", 400),
            Self::Truncated => ("IncompleteBody", 400),
        };
        (code, self.to_string(), status)
    }
}

/// Decodes a form piece by piece.
pub struct FormDecoder {
    /// `CR LF -- boundary`, the end of every part.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    /// Bytes at the buffer's front that hold no beginning of what is looked for.
    searched: usize,
    state: State,
    fields: Vec<(String, String)>,
    fields_bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    AfterDelimiter,
    Head,
    Field,
    File,
    Done,
}

impl FormDecoder {
    /// Makes a decoder for a body of this `Content-Type`.
    ///
    /// # Errors
    ///
    /// [`FormError::NotAForm`].
    pub fn new(content_type: &str) -> Result<Self, FormError> {
        let (kind, parameters) = content_type.split_once(';').ok_or(FormError::NotAForm)?;
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return Err(FormError::NotAForm);
        }
        let boundary = parameter(parameters, "boundary").ok_or(FormError::NotAForm)?;
        if boundary.is_empty() || boundary.len() > FORM_BOUNDARY_MAX_BYTES {
            return Err(FormError::NotAForm);
        }
        Ok(Self {
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
            // A line break in front of the body lets the first delimiter look like the others.
            buffer: BytesMut::from(&b"\r\n"[..]),
            searched: 0,
            state: State::Preamble,
            fields: Vec::new(),
            fields_bytes: 0,
        })
    }

    /// Bytes that were taken in and are neither given out nor dropped yet.
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Length of what ends a form behind its last part: `CR LF -- boundary -- CR LF`, in bytes.
    pub fn closing_bytes(&self) -> usize {
        self.delimiter.len().saturating_add(4)
    }

    /// Takes the next bytes of the body, and gives what they complete.
    ///
    /// # Errors
    ///
    /// [`FormError`]; the decoder is of no further use then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<FormEvent>, FormError> {
        let mut events = Vec::new();
        if self.state == State::Done {
            return Ok(events);
        }
        self.buffer.extend_from_slice(bytes);
        while self.step(&mut events)? {}
        Ok(events)
    }

    /// Says that the body has ended.
    ///
    /// # Errors
    ///
    /// [`FormError`] unless the file was whole.
    pub fn finish(&self) -> Result<(), FormError> {
        match self.state {
            State::Done => Ok(()),
            State::File => Err(FormError::Truncated),
            State::Preamble | State::AfterDelimiter | State::Head | State::Field => {
                Err(FormError::Malformed)
            }
        }
    }

    /// Does one step; false when more bytes are needed.
    fn step(&mut self, events: &mut Vec<FormEvent>) -> Result<bool, FormError> {
        match self.state {
            State::Preamble => {
                let max = FORM_PART_HEADER_MAX_BYTES;
                let Some(at) = self.find(Until::Delimiter, max, FormError::Malformed)? else {
                    return Ok(false);
                };
                self.skip(at.saturating_add(self.delimiter.len()));
                self.state = State::AfterDelimiter;
            }
            State::AfterDelimiter => {
                let Some(next) = self.buffer.first_chunk::<2>() else {
                    return Ok(false);
                };
                match next {
                    b"\r\n" => {}
                    b"--" => return Err(FormError::NoFile),
                    _ => return Err(FormError::Malformed),
                }
                // The line break stays: it ends an empty head.
                self.state = State::Head;
            }
            State::Head => {
                let max = FORM_PART_HEADER_MAX_BYTES;
                let Some(end) = self.find(Until::EndOfHead, max, FormError::FieldsTooLarge)? else {
                    return Ok(false);
                };
                let head = self.buffer.split_to(end);
                self.skip(4);
                self.count(end)?;
                let head = PartHead::parse(&head)?;
                // A file is the part named so, not the part with a file name.
                if head.name == "file" {
                    events.push(FormEvent::File {
                        fields: std::mem::take(&mut self.fields).into_iter().collect(),
                        filename: head.filename,
                        content_type: head.content_type,
                    });
                    self.state = State::File;
                    return Ok(true);
                }
                if self.fields.len() >= FORM_FIELDS_MAX {
                    return Err(FormError::FieldsTooLarge);
                }
                self.fields.push((head.name, String::new()));
                self.state = State::Field;
            }
            State::Field => {
                let max = FORM_FIELDS_MAX_BYTES.saturating_sub(self.fields_bytes);
                let Some(end) = self.find(Until::Delimiter, max, FormError::FieldsTooLarge)? else {
                    return Ok(false);
                };
                let value = self.buffer.split_to(end);
                self.skip(self.delimiter.len());
                self.count(end)?;
                let value = std::str::from_utf8(&value).map_err(|_| FormError::Malformed)?;
                if let Some((_, slot)) = self.fields.last_mut() {
                    value.clone_into(slot);
                }
                self.state = State::AfterDelimiter;
            }
            State::File => {
                if let Some(end) = memmem::find(&self.buffer, &self.delimiter) {
                    let data = self.buffer.split_to(end).freeze();
                    if !data.is_empty() {
                        events.push(FormEvent::Data(data));
                    }
                    events.push(FormEvent::End);
                    self.finish_file();
                    return Ok(false);
                }
                // The tail may be the beginning of a delimiter.
                let keep = self.delimiter.len().saturating_sub(1);
                let safe = self.buffer.len().saturating_sub(keep);
                if safe > 0 {
                    events.push(FormEvent::Data(self.buffer.split_to(safe).freeze()));
                }
                return Ok(false);
            }
            State::Done => return Ok(false),
        }
        Ok(true)
    }

    fn finish_file(&mut self) {
        self.buffer = BytesMut::new();
        self.state = State::Done;
    }

    fn skip(&mut self, len: usize) {
        let len = len.min(self.buffer.len());
        drop(self.buffer.split_to(len));
    }

    /// Where `until` begins, if it has arrived; `error` when it begins behind `max` bytes or cannot
    /// begin before. The pieces in which a body arrives make no difference, not to the work either:
    /// what was searched is not searched again.
    fn find(
        &mut self,
        until: Until,
        max: usize,
        error: FormError,
    ) -> Result<Option<usize>, FormError> {
        let end: &[u8] = match until {
            Until::Delimiter => &self.delimiter,
            Until::EndOfHead => b"\r\n\r\n",
        };
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let found = memmem::find(rest, end).map(|at| self.searched.saturating_add(at));
        // What is not found may begin in the last bytes.
        let earliest = found.unwrap_or_else(|| {
            let arrived = self.buffer.len().saturating_add(1);
            arrived.saturating_sub(end.len())
        });
        self.searched = if found.is_some() { 0 } else { earliest };
        if earliest > max {
            Err(error)
        } else {
            Ok(found)
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), FormError> {
        self.fields_bytes = self.fields_bytes.saturating_add(bytes);
        if self.fields_bytes > FORM_FIELDS_MAX_BYTES {
            return Err(FormError::FieldsTooLarge);
        }
        Ok(())
    }
}

/// What ends the bytes that are being gathered.
#[derive(Clone, Copy)]
enum Until {
    Delimiter,
    EndOfHead,
}

struct PartHead {
    name: String,
    filename: String,
    content_type: Option<String>,
}

impl PartHead {
    fn parse(head: &[u8]) -> Result<Self, FormError> {
        let head = std::str::from_utf8(head).map_err(|_| FormError::Malformed)?;
        let (mut disposition, mut content_type) = (None, None);
        for line in head.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(FormError::Malformed)?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-disposition") {
                disposition = Some(value);
            } else if name.eq_ignore_ascii_case("content-type") {
                content_type = Some(value.to_owned());
            }
        }
        let (kind, parameters) = disposition
            .and_then(|value| value.split_once(';'))
            .ok_or(FormError::Malformed)?;
        if !kind.trim().eq_ignore_ascii_case("form-data") {
            return Err(FormError::Malformed);
        }
        let name = parameter(parameters, "name").ok_or(FormError::Malformed)?;
        Ok(Self {
            name: name.to_ascii_lowercase(),
            filename: parameter(parameters, "filename").unwrap_or_default(),
            content_type,
        })
    }
}

/// Finds a parameter among `; name=value; name="quoted"`. Within quotes `\"` is a quote.
fn parameter(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text;
    loop {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim_matches([' ', '\t', ';']);
        let value;
        if let Some(quoted) = after.strip_prefix('"') {
            let mut unescaped = String::new();
            let mut chars = quoted.char_indices();
            let end = loop {
                match chars.next()? {
                    (at, '"') => break at,
                    (_, '\\') if chars.as_str().starts_with('"') => {
                        unescaped.push('"');
                        chars.next();
                    }
                    (_, c) => unescaped.push(c),
                }
            };
            value = unescaped;
            rest = quoted.get(end.saturating_add(1)..)?;
        } else {
            let (token, after) = after.split_once(';').unwrap_or((after, ""));
            value = token.trim().to_owned();
            rest = after;
        }
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "multipart/form-data; boundary=XyZ";

    fn body(file: &[u8]) -> Vec<u8> {
        [
            &b"--XyZ\r\nContent-Disposition: form-data; name=\"Key\"\r\n\r\nuser/${filename}\r\n"[..],
            b"--XyZ\r\nContent-Disposition: form-data; name=\"acl\"\r\n\r\n\r\n",
            b"--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"C:\\dir\\a \\\"b.txt\"\r\nContent-Type: text/plain\r\n\r\n",
            file,
            b"\r\n--XyZ\r\nContent-Disposition: form-data; name=\"late\"\r\n\r\nx\r\n--XyZ--\r\n",
        ]
        .concat()
    }

    fn decode(body: &[u8], step: usize) -> Result<(FormFields, String, Vec<u8>), FormError> {
        let mut decoder = FormDecoder::new(KIND)?;
        let (mut head, mut file, mut ended) = (None, Vec::new(), false);
        for piece in body.chunks(step) {
            for event in decoder.push(piece)? {
                assert!(!ended, "nothing follows the end");
                match event {
                    FormEvent::File {
                        fields, filename, ..
                    } => head = Some((fields, filename)),
                    FormEvent::Data(bytes) => file.extend_from_slice(&bytes),
                    FormEvent::End => ended = true,
                }
            }
        }
        decoder.finish()?;
        let (fields, filename) = head.ok_or(FormError::NoFile)?;
        Ok((fields, filename, file))
    }

    /// Found by fuzzing: a field that came byte by byte was searched from its start for each of them.
    #[test]
    fn what_was_searched_is_not_searched_again() {
        let mut decoder = FormDecoder::new("multipart/form-data; boundary=b").unwrap();
        let head = "--b\r\ncontent-disposition: form-data; name=\"key\"\r\n\r\n";
        decoder.push(head.as_bytes()).unwrap();
        for len in 1..=1000_usize {
            decoder.push(b"x").unwrap();
            assert_eq!(decoder.pending_bytes(), len);
            assert_eq!(decoder.searched, len.saturating_sub("\r\n--".len()));
        }
    }

    #[test]
    fn fields_come_first_and_the_file_is_whole_however_it_is_cut() {
        for file in [
            &b""[..],
            b"x",
            b"\r\n",
            b"\r\n--Xy",
            b"a\r\n--XyA\r\nb\r\n",
            &[0; 3000],
        ] {
            for step in [1, 2, 3, 7, 64, 10_000] {
                let (mut fields, filename, got) = decode(&body(file), step).unwrap();
                assert_eq!(got, file, "step {step}");
                fields.substitute_filename(&filename);
                assert_eq!(fields.get("key"), Some("user/a \"b.txt"));
                assert_eq!(fields.get("acl"), Some(""));
                assert_eq!(fields.get("late"), None);
            }
        }
    }

    #[test]
    fn truncated_forms_are_refused_at_every_byte() {
        let whole = body(b"file body");
        let end =
            memmem::find(&whole, b"file body\r\n--XyZ").unwrap() + b"file body\r\n--XyZ".len();
        for len in 0..end {
            assert!(decode(&whole[..len], 16).is_err(), "{len}");
        }
        assert!(decode(&whole[..end], 16).is_ok());
    }

    #[test]
    fn fields_are_bounded() {
        let field = |len: usize| {
            let head = b"--XyZ\r\nContent-Disposition: form-data; name=\"k\"\r\n\r\n";
            [&head[..], &vec![b'v'; len], b"\r\n"].concat()
        };
        let rest = body(b"x");
        assert!(decode(&[field(10_000), rest.clone()].concat(), 999).is_ok());
        let big = [field(FORM_FIELDS_MAX_BYTES), rest.clone()].concat();
        assert_eq!(decode(&big, 999).unwrap_err(), FormError::FieldsTooLarge);
        let many = [field(1).repeat(FORM_FIELDS_MAX), rest].concat();
        assert_eq!(decode(&many, 999).unwrap_err(), FormError::FieldsTooLarge);
        let endless = vec![b'a'; 1 << 20];
        assert_eq!(decode(&endless, 4096).unwrap_err(), FormError::Malformed);
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for bad in [
            "",
            "text/plain",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/mixed; boundary=a",
        ] {
            assert!(FormDecoder::new(bad).is_err(), "{bad}");
        }
        assert!(FormDecoder::new("Multipart/Form-Data; charset=utf-8; boundary=\"a b\"").is_ok());
        assert_eq!(decode(b"--XyZ--\r\n", 3).unwrap_err(), FormError::NoFile);
        assert_eq!(
            decode(b"--XyZ\r\nnonsense\r\n\r\n", 3).unwrap_err(),
            FormError::Malformed
        );
    }

    #[test]
    fn limits_do_not_depend_on_the_pieces_in_which_a_form_arrives() {
        let long = |text: &str, by: &str, len: usize| {
            let text = String::from_utf8(body(b"file"))
                .unwrap()
                .replacen(text, &by.repeat(len), 1);
            text.into_bytes()
        };
        let preamble = [&vec![b'p'; 5000], &b"\r\n"[..], &body(b"file")].concat();
        for (form, error) in [
            (preamble, Some(FormError::Malformed)),
            (long("user/", "u", 21_000), Some(FormError::FieldsTooLarge)),
            (
                long("text/plain", "t", 5_000),
                Some(FormError::FieldsTooLarge),
            ),
            (long("user/", "u", 19_000), None),
            (long("text/plain", "t", 3_900), None),
        ] {
            for step in [1, 7, 4096, usize::MAX] {
                assert_eq!(
                    decode(&form, step.min(form.len())).err(),
                    error,
                    "by {step}"
                );
            }
        }
    }
}
