//! Writing answers. They hold key material, so the bytes are wiped when they were sent, and no copy
//! of them stays behind when the buffer grows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use strongroom_types::Timestamp;
use zeroize::Zeroizing;

use crate::recording::Facts;

/// Room for most answers, in bytes.
const FIRST_BYTES: usize = 1024;

/// Writes one JSON object, member by member.
pub(crate) struct Writer {
    out: Zeroizing<Vec<u8>>,
    has_members: bool,
    /// What only the call's record tells.
    pub(crate) facts: Facts,
}

impl Writer {
    /// An empty object.
    pub(crate) fn new() -> Self {
        let mut out = Zeroizing::new(Vec::with_capacity(FIRST_BYTES));
        out.push(b'{');
        Self {
            out,
            has_members: false,
            facts: Facts::default(),
        }
    }

    /// The document. Its bytes are wiped when the last reference to them goes.
    pub(crate) fn finish(mut self) -> Bytes {
        self.push(b"}");
        Bytes::from_owner(self.out)
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        self.string(value);
    }

    /// A text, if there is one.
    pub(crate) fn optional_text(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Bytes, in base64.
    pub(crate) fn blob(&mut self, name: &'static str, value: &[u8]) {
        self.name(name);
        self.push(b"\"");
        let digits = value.len().div_ceil(3).saturating_mul(4);
        self.reserve(digits);
        let start = self.out.len();
        self.out.resize(start.saturating_add(digits), b'=');
        let slot = self.out.get_mut(start..).unwrap_or_default();
        // The slot has exactly the length of the digits.
        let _ = BASE64.encode_slice(value, slot);
        self.push(b"\"");
    }

    /// A whole number.
    pub(crate) fn number(&mut self, name: &'static str, value: u32) {
        self.name(name);
        self.push(value.to_string().as_bytes());
    }

    /// True or false.
    pub(crate) fn boolean(&mut self, name: &'static str, value: bool) {
        self.name(name);
        self.push(if value { b"true" } else { b"false" });
    }

    /// Seconds since the epoch, with a fraction.
    pub(crate) fn time(&mut self, name: &'static str, value: Timestamp) {
        self.name(name);
        let millis = value.as_millis() % 1000;
        self.push(format!("{}.{millis:03}", value.as_seconds()).as_bytes());
    }

    /// A time, if there is one.
    pub(crate) fn optional_time(&mut self, name: &'static str, value: Option<Timestamp>) {
        if let Some(value) = value {
            self.time(name, value);
        }
    }

    /// An object.
    pub(crate) fn object(&mut self, name: &'static str, content: impl FnOnce(&mut Self)) {
        self.name(name);
        self.nested(content);
    }

    /// Pairs of texts.
    pub(crate) fn text_map<'a>(
        &mut self,
        name: &'static str,
        pairs: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) {
        self.object(name, |out| {
            for (name, value) in pairs {
                out.comma();
                out.string(name);
                out.push(b":");
                out.string(value);
            }
        });
    }

    /// A list of texts.
    pub(crate) fn texts<T: AsRef<str>>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
    ) {
        self.array(name, items, |out, item| out.string(item.as_ref()));
    }

    /// A list of objects.
    pub(crate) fn objects<T>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        mut content: impl FnMut(&mut Self, T),
    ) {
        self.array(name, items, |out, item| {
            out.nested(|out| content(out, item));
        });
    }

    fn array<T>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) {
        self.name(name);
        self.push(b"[");
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.push(b",");
            }
            each(self, item);
        }
        self.push(b"]");
    }

    fn nested(&mut self, content: impl FnOnce(&mut Self)) {
        self.push(b"{");
        let outside = std::mem::replace(&mut self.has_members, false);
        content(self);
        self.has_members = outside;
        self.push(b"}");
    }

    fn name(&mut self, name: &'static str) {
        self.comma();
        self.string(name);
        self.push(b":");
    }

    fn comma(&mut self) {
        if std::mem::replace(&mut self.has_members, true) {
            self.push(b",");
        }
    }

    fn string(&mut self, value: &str) {
        self.push(b"\"");
        let mut plain = 0_usize;
        for (index, byte) in value.bytes().enumerate() {
            let escape: [u8; 6] = match byte {
                b'"' | b'\\' => [b'\\', byte, 0, 0, 0, 0],
                0..=0x1F => {
                    let digit = |nibble: u8| match nibble {
                        0..=9 => b'0'.saturating_add(nibble),
                        _ => b'a'.saturating_add(nibble.saturating_sub(10)),
                    };
                    [b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]
                }
                _ => continue,
            };
            self.push(value.as_bytes().get(plain..index).unwrap_or_default());
            let len = escape.iter().take_while(|byte| **byte != 0).count();
            self.push(escape.get(..len).unwrap_or_default());
            plain = index.saturating_add(1);
        }
        self.push(value.as_bytes().get(plain..).unwrap_or_default());
        self.push(b"\"");
    }

    fn push(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    /// Makes room in a new buffer, so that the old one is wiped: growing in place would leave a copy.
    fn reserve(&mut self, bytes: usize) {
        let needed = self.out.len().saturating_add(bytes);
        if needed > self.out.capacity() {
            let room = needed.max(self.out.capacity().saturating_mul(2));
            let mut grown = Zeroizing::new(Vec::with_capacity(room));
            grown.extend_from_slice(&self.out);
            self.out = grown;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(content: impl FnOnce(&mut Writer)) -> serde_json::Value {
        let mut writer = Writer::new();
        content(&mut writer);
        serde_json::from_slice(&writer.finish()).unwrap()
    }

    #[test]
    fn every_text_reads_back() {
        let text: String = (0..0x250_u32).filter_map(char::from_u32).collect();
        let value = written(|out| out.text("Text", &text));
        assert_eq!(value, serde_json::json!({ "Text": text }));
    }

    #[test]
    fn blobs_of_every_length_read_back() {
        for len in [0_usize, 1, 2, 3, 4, 1000, 6144] {
            let bytes = vec![0xA5; len];
            let value = written(|out| out.blob("Blob", &bytes));
            let text = value.get("Blob").unwrap().as_str().unwrap();
            assert_eq!(BASE64.decode(text).unwrap(), bytes);
        }
    }

    #[test]
    fn nesting_keeps_the_commas() {
        let pairs = std::collections::BTreeMap::from([
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), "2".to_owned()),
        ]);
        let value = written(|out| {
            out.objects("Objects", [1, 2], |out, n| {
                out.number("N", n);
                out.boolean("Yes", true);
            });
            out.texts("Texts", ["x", "y"]);
            out.texts("None", Vec::<String>::new());
            out.object("Inner", |out| {
                out.text_map("Map", &pairs);
                out.time("Time", Timestamp::from_millis(1_568_565_290_007));
            });
            out.optional_text("Absent", None);
            out.optional_time("Absent", None);
        });
        let expected = serde_json::json!({
            "Objects": [{ "N": 1, "Yes": true }, { "N": 2, "Yes": true }],
            "Texts": ["x", "y"],
            "None": [],
            "Inner": { "Map": { "a": "1", "b": "2" }, "Time": 1_568_565_290.007 },
        });
        assert_eq!(value, expected);
    }
}
