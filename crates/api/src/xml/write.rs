//! Writing answers.

use std::fmt::{Display, Write as _};

use bytes::Bytes;

/// The namespace of S3's documents.
pub const S3_NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// Writes one document. Names are ours and literal, so only texts are escaped.
///
/// ```
/// use strongroom_api::xml::XmlWriter;
/// let mut xml = XmlWriter::new("Error", None);
/// xml.element("Code", "NoSuchKey");
/// xml.nested("Detail", |xml| xml.element("Key", "a<b"));
/// assert!(xml.finish().ends_with(b"<Detail><Key>a&lt;b</Key></Detail></Error>"));
/// ```
pub struct XmlWriter {
    text: String,
    root: &'static str,
}

impl XmlWriter {
    /// Starts a document with its declaration and root element.
    pub fn new(root: &'static str, namespace: Option<&str>) -> Self {
        let mut text = String::with_capacity(1024);
        text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<");
        text.push_str(root);
        if let Some(namespace) = namespace {
            text.push_str(" xmlns=\"");
            escape_into(&mut text, namespace);
            text.push('"');
        }
        text.push('>');
        Self { text, root }
    }

    /// Writes an element that holds a text.
    pub fn element(&mut self, name: &'static str, text: &str) {
        self.open(name);
        escape_into(&mut self.text, text);
        self.close(name);
    }

    /// Writes an element that holds a number or another value whose text needs no escaping.
    pub fn value(&mut self, name: &'static str, value: impl Display) {
        self.open(name);
        let start = self.text.len();
        let _ = write!(self.text, "{value}");
        // The promise is the caller's; breaking it must still not let markup through.
        if self.text.get(start..).is_some_and(needs_escape) {
            let raw = self.text.split_off(start);
            escape_into(&mut self.text, &raw);
        }
        self.close(name);
    }

    /// Writes an element if there is a text for it.
    pub fn optional(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.element(name, text);
        }
    }

    /// Writes an element that holds others.
    pub fn nested(&mut self, name: &'static str, children: impl FnOnce(&mut Self)) {
        self.open(name);
        children(self);
        self.close(name);
    }

    /// Writes an element with attributes that holds others (grantees: `xsi:type`).
    pub fn nested_with(
        &mut self,
        name: &'static str,
        attributes: &[(&'static str, &str)],
        children: impl FnOnce(&mut Self),
    ) {
        self.text.push('<');
        self.text.push_str(name);
        for (attribute, value) in attributes {
            self.text.push(' ');
            self.text.push_str(attribute);
            self.text.push_str("=\"");
            escape_into(&mut self.text, value);
            self.text.push('"');
        }
        self.text.push('>');
        children(self);
        self.close(name);
    }

    /// Writes a text directly into the current element (`LocationConstraint`).
    pub fn text(&mut self, text: &str) {
        escape_into(&mut self.text, text);
    }

    /// Length of the document so far, in bytes.
    pub fn len_bytes(&self) -> usize {
        self.text.len()
    }

    /// Ends the document.
    pub fn finish(mut self) -> Bytes {
        self.close(self.root);
        self.text.into()
    }

    fn open(&mut self, name: &str) {
        self.text.push('<');
        self.text.push_str(name);
        self.text.push('>');
    }

    fn close(&mut self, name: &str) {
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push('>');
    }
}

/// A key as listings write it under `encoding-type=url`: UTF-8 bytes as `%XX`, but for
/// `A-Z a-z 0-9 - . _ ~ /`. A space is `%20`, which every decoder reads alike.
pub fn url_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn needs_escape(text: &str) -> bool {
    text.chars()
        .any(|c| matches!(c, '&' | '<' | '>' | '"' | '\u{fffe}' | '\u{ffff}') || is_control(c))
}

/// Characters that XML 1.0 cannot hold, or that a parser changes: S3 writes them as numeric
/// references, which some parsers refuse. `encoding-type=url` is the way around that, as with AWS.
fn is_control(c: char) -> bool {
    c.is_ascii_control() && !matches!(c, '\t' | '\n')
}

fn escape_into(out: &mut String, text: &str) {
    if !needs_escape(text) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(out, "&#x{:x};", u32::from(c));
            }
            c if is_control(c) => {
                let _ = write!(out, "&#x{:x};", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_become_markup() {
        let mut xml = XmlWriter::new("R", Some(S3_NAMESPACE));
        xml.element("Key", "a<b>&\"c\"\u{1}\r\n\t\u{fc}");
        xml.value("Size", 7_u64);
        xml.value("Odd", "</R>");
        xml.optional("None", None);
        xml.nested_with("G", &[("xsi:type", "a\"b")], |xml| xml.text("t"));
        let text = String::from_utf8(xml.finish().to_vec()).unwrap();
        assert_eq!(
            text,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<R xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Key>a&lt;b&gt;&amp;&quot;c&quot;&#x1;&#xd;\n\t\u{fc}</Key><Size>7</Size><Odd>&lt;/R&gt;</Odd><G xsi:type=\"a&quot;b\">t</G></R>"
        );
    }

    #[test]
    fn url_encoding_leaves_nothing_that_xml_cannot_hold() {
        assert_eq!(
            url_encoded("a b/\u{1}+\u{fc}(3)~"),
            "a%20b/%01%2B%C3%BC%283%29~"
        );
    }
}
