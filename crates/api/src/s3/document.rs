//! Writing S3's XML documents.

use std::fmt::Write as _;

/// The namespace of S3's documents.
pub(crate) const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
/// What every document starts with.
pub(crate) const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// A document under construction. Elements that are open when it is taken are closed.
#[derive(Debug)]
pub(crate) struct XmlDocument {
    text: String,
    open: Vec<&'static str>,
}

impl XmlDocument {
    /// A document with its root in S3's namespace.
    pub(crate) fn new(root: &'static str) -> Self {
        let mut document = Self { text: DECLARATION.to_owned(), open: vec![root] };
        let _ = write!(document.text, "<{root} xmlns=\"{NAMESPACE}\">");
        document
    }

    /// A document without a namespace, as errors are.
    pub(crate) fn without_namespace(root: &'static str) -> Self {
        let mut document = Self { text: DECLARATION.to_owned(), open: Vec::new() };
        document.start(root);
        document
    }

    /// Opens an element.
    pub(crate) fn start(&mut self, name: &'static str) {
        let _ = write!(self.text, "<{name}>");
        self.open.push(name);
    }

    /// Opens an element with attributes, which are literals of ours.
    pub(crate) fn start_with(&mut self, name: &'static str, attributes: &'static str) {
        let _ = write!(self.text, "<{name} {attributes}>");
        self.open.push(name);
    }

    /// Closes the innermost open element.
    pub(crate) fn end(&mut self) {
        if let Some(name) = self.open.pop() {
            let _ = write!(self.text, "</{name}>");
        }
    }

    /// An element that holds a text.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        let _ = write!(self.text, "<{name}>");
        escape_into(&mut self.text, value);
        let _ = write!(self.text, "</{name}>");
    }

    /// An element that holds something that prints without needing escapes, such as a number.
    pub(crate) fn plain(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = write!(self.text, "<{name}>{value}</{name}>");
    }

    /// An element that holds a text, if there is one.
    pub(crate) fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// The whole document.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.end();
        }
        self.text.into_bytes()
    }

    /// The document without its declaration, for a body that has begun with it already.
    pub(crate) fn into_continuation(self) -> Vec<u8> {
        let mut bytes = self.into_bytes();
        bytes.drain(..DECLARATION.len());
        bytes
    }
}

/// Escapes as S3 does. A carriage return and the control characters that XML 1.0 cannot hold are
/// written as references: parsers either take them or fail, but none silently changes a key.
fn escape_into(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' => out.push(c),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => {
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
    fn documents_escape_and_close() {
        let mut xml = XmlDocument::new("A");
        xml.start("B");
        xml.text("C", "a&b<c>\"\r\u{1}\n");
        xml.plain("D", 7);
        let text = String::from_utf8(xml.into_bytes()).unwrap();
        assert_eq!(
            text,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <A xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <B><C>a&amp;b&lt;c&gt;&quot;&#xd;&#x1;\n</C><D>7</D></B></A>"
        );
        let continued = XmlDocument::without_namespace("E").into_continuation();
        assert_eq!(continued, b"<E></E>");
    }
}
