//! Writing JSON: records are written once for each use of a key, so without a tree in between.

use std::fmt::Write as _;

/// A document under construction. Commas and escapes are its business, nesting is the caller's.
#[derive(Default)]
pub(crate) struct Json(String);

impl Json {
    pub(crate) fn new() -> Self {
        Self(String::with_capacity(1536))
    }

    /// Opens an object.
    pub(crate) fn open(&mut self) {
        self.0.push('{');
    }

    /// Closes an object.
    pub(crate) fn close(&mut self) {
        self.0.push('}');
    }

    /// Opens a list.
    pub(crate) fn open_list(&mut self) {
        self.0.push('[');
    }

    /// Closes a list.
    pub(crate) fn close_list(&mut self) {
        self.0.push(']');
    }

    /// A comma, unless what comes is the first.
    pub(crate) fn next(&mut self) {
        if !matches!(self.0.as_bytes().last(), Some(b'{' | b'[' | b':') | None) {
            self.0.push(',');
        }
    }

    /// The name of a member.
    pub(crate) fn name(&mut self, name: &str) {
        self.next();
        self.quote(name);
        self.0.push(':');
    }

    /// A text, quoted.
    pub(crate) fn quote(&mut self, text: &str) {
        self.0.push('"');
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.0.push_str(text.get(plain..at).unwrap_or_default());
            plain = at + 1;
            match byte {
                b'"' => self.0.push_str("\\\""),
                b'\\' => self.0.push_str("\\\\"),
                b'\n' => self.0.push_str("\\n"),
                b'\r' => self.0.push_str("\\r"),
                b'\t' => self.0.push_str("\\t"),
                // Writing to a string cannot fail.
                _ => drop(write!(self.0, "\\u{byte:04x}")),
            }
        }
        self.0.push_str(text.get(plain..).unwrap_or_default());
        self.0.push('"');
    }

    /// What is JSON already.
    pub(crate) fn raw(&mut self, json: &str) {
        self.0.push_str(json);
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.quote(value);
    }

    pub(crate) fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        self.member(name, if value { "true" } else { "false" });
    }

    /// A member whose value is JSON already.
    pub(crate) fn member(&mut self, name: &str, json: &str) {
        self.name(name);
        self.raw(json);
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_read_back_by_another_implementation() {
        for text in [
            "",
            "a\"b\\c",
            "\n\r\t\u{1}\u{7f}",
            "h\u{e9}\u{1f511}",
            "\u{0}",
        ] {
            let mut json = Json::new();
            json.open();
            json.text("a", text);
            json.flag("b", true);
            json.name("c");
            json.open_list();
            json.next();
            json.quote(text);
            json.next();
            json.quote(text);
            json.close_list();
            json.close();
            let read: serde_json::Value = serde_json::from_str(&json.into_string()).unwrap();
            assert_eq!(
                read,
                serde_json::json!({"a": text, "b": true, "c": [text, text]})
            );
        }
    }
}
