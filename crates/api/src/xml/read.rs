//! Reading requests: a tree with limits, taken apart strictly.
//!
//! No DTD, no entities but the five of XML, no processing instructions: nothing that a document
//! could use to grow or to reach outside itself.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::limits::{XML_DEPTH_MAX, XML_DOCUMENT_MAX_BYTES, XML_ELEMENTS_MAX};

/// One element with its texts joined. Prefixes are dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// The local name.
    pub name: String,
    /// Attributes by local name, namespace declarations left out.
    pub attributes: Vec<(String, String)>,
    /// All texts directly in the element.
    pub text: String,
    /// The elements in it.
    pub children: Vec<Element>,
}

/// A document is not the one that its operation asks for. S3 answers 400 `MalformedXML` "The XML
/// you provided was not well-formed or did not validate against our published schema".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "The XML you provided was not well-formed or did not validate against our published schema"
)]
pub struct XmlError;

/// Parses a document. Pure; memory is bounded by the document's length and the limits.
///
/// # Errors
///
/// [`XmlError`] for anything but one well-formed element within the limits.
pub fn parse(document: &[u8]) -> Result<Element, XmlError> {
    if document.len() > XML_DOCUMENT_MAX_BYTES {
        return Err(XmlError);
    }
    let text = std::str::from_utf8(document).map_err(|_| XmlError)?;
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    // The elements that are open, outermost first; the first one stands for the document.
    let mut open = vec![Element::default()];
    let mut count = 0_usize;
    loop {
        let event = reader.read_event().map_err(|_| XmlError)?;
        match event {
            Event::Start(start) => {
                count = count.saturating_add(1);
                if open.len() > XML_DEPTH_MAX || count > XML_ELEMENTS_MAX {
                    return Err(XmlError);
                }
                open.push(element(&start)?);
            }
            Event::Empty(start) => {
                count = count.saturating_add(1);
                if open.len() > XML_DEPTH_MAX || count > XML_ELEMENTS_MAX {
                    return Err(XmlError);
                }
                let child = element(&start)?;
                open.last_mut().ok_or(XmlError)?.children.push(child);
            }
            // The reader has checked that the name is the open one's.
            Event::End(_) => {
                let child = open.pop().ok_or(XmlError)?;
                open.last_mut().ok_or(XmlError)?.children.push(child);
            }
            Event::Text(text) => {
                open.last_mut()
                    .ok_or(XmlError)?
                    .text
                    .push_str(&text.xml10_content());
            }
            Event::CData(text) => {
                open.last_mut()
                    .ok_or(XmlError)?
                    .text
                    .push_str(&text.xml10_content());
            }
            Event::GeneralRef(reference) => {
                let c = match reference.resolve_char_ref().map_err(|_| XmlError)? {
                    Some(c) => c,
                    None => match &*reference.into_inner() {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "quot" => '"',
                        "apos" => '\'',
                        _ => return Err(XmlError),
                    },
                };
                open.last_mut().ok_or(XmlError)?.text.push(c);
            }
            Event::Comment(_) | Event::Decl(_) => {}
            Event::PI(_) | Event::DocType(_) => return Err(XmlError),
            Event::Eof => break,
        }
    }
    let (Some(mut document), true) = (open.pop(), open.is_empty()) else {
        return Err(XmlError);
    };
    match (document.children.pop(), document.children.is_empty()) {
        (Some(root), true) if document.text.trim().is_empty() => Ok(root),
        _ => Err(XmlError),
    }
}

impl Element {
    /// Takes the element apart. It must hold elements only, and be the one that is expected.
    ///
    /// # Errors
    ///
    /// [`XmlError`] for another name, or for text between the elements.
    pub fn into_fields(self, name: &str) -> Result<Fields, XmlError> {
        if self.name == name && self.text.trim().is_empty() {
            Ok(Fields(self.children))
        } else {
            Err(XmlError)
        }
    }

    /// The text of an element that holds nothing else, as it was sent.
    ///
    /// # Errors
    ///
    /// [`XmlError`] when it holds elements.
    pub fn into_text(self) -> Result<String, XmlError> {
        if self.children.is_empty() {
            Ok(self.text)
        } else {
            Err(XmlError)
        }
    }
}

/// The children of an element, taken one after the other; what is left at the end is unknown.
#[derive(Debug)]
pub struct Fields(Vec<Element>);

impl Fields {
    /// Takes the element of a name, if there is one.
    ///
    /// # Errors
    ///
    /// [`XmlError`] when there are several.
    pub fn optional(&mut self, name: &str) -> Result<Option<Element>, XmlError> {
        let mut found = self.list(name);
        let first = found.pop();
        if found.is_empty() {
            Ok(first)
        } else {
            Err(XmlError)
        }
    }

    /// Takes the element of a name.
    ///
    /// # Errors
    ///
    /// [`XmlError`] when there is none, or several.
    pub fn required(&mut self, name: &str) -> Result<Element, XmlError> {
        self.optional(name)?.ok_or(XmlError)
    }

    /// Takes the text of an element, if there is one.
    ///
    /// # Errors
    ///
    /// [`XmlError`] when there are several, or it holds elements.
    pub fn optional_text(&mut self, name: &str) -> Result<Option<String>, XmlError> {
        self.optional(name)?.map(Element::into_text).transpose()
    }

    /// Takes the text of an element.
    ///
    /// # Errors
    ///
    /// [`XmlError`] when there is none, or several, or it holds elements.
    pub fn required_text(&mut self, name: &str) -> Result<String, XmlError> {
        self.required(name)?.into_text()
    }

    /// Takes every element of a name, in the order in which they were sent.
    pub fn list(&mut self, name: &str) -> Vec<Element> {
        let (taken, left) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|child| child.name == name);
        self.0 = left;
        taken
    }

    /// Says that nothing more is expected.
    ///
    /// # Errors
    ///
    /// [`XmlError`] when an element was not taken.
    pub fn finish(self) -> Result<(), XmlError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(XmlError)
        }
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element, XmlError> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| XmlError)?;
        let name: &str = attribute.key.as_ref();
        if name == "xmlns" || name.starts_with("xmlns:") {
            continue;
        }
        let value = attribute
            .normalized_value(quick_xml::XmlVersion::Implicit1_0)
            .map_err(|_| XmlError)?;
        let name = name.rsplit(':').next().unwrap_or_default().to_owned();
        attributes.push((name, value.into_owned()));
    }
    Ok(Element {
        name: start.local_name().as_ref().to_owned(),
        attributes,
        text: String::new(),
        children: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: &str = "<?xml version=\"1.0\"?>\n<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n <Part><PartNumber>1</PartNumber><ETag>&quot;a&#x62;&quot;</ETag></Part><!-- c -->\n <Part><ETag><![CDATA[<x>]]></ETag><PartNumber>2</PartNumber></Part>\n</CompleteMultipartUpload>\n";

    #[test]
    fn documents_are_taken_apart_strictly() {
        let mut fields = parse(COMPLETE.as_bytes())
            .unwrap()
            .into_fields("CompleteMultipartUpload")
            .unwrap();
        let parts = fields.list("Part");
        fields.finish().unwrap();
        let etags: Vec<String> = parts
            .into_iter()
            .map(|part| {
                let mut part = part.into_fields("Part").unwrap();
                part.required_text("PartNumber").unwrap();
                let etag = part.required_text("ETag").unwrap();
                part.finish().unwrap();
                etag
            })
            .collect();
        assert_eq!(etags, ["\"ab\"", "<x>"]);
    }

    #[test]
    fn unknown_missing_and_repeated_elements_are_refused() {
        let fields = || {
            parse(b"<A><B>1</B><B>2</B><C/></A>")
                .unwrap()
                .into_fields("A")
                .unwrap()
        };
        assert_eq!(fields().optional_text("B"), Err(XmlError));
        assert_eq!(fields().required_text("D"), Err(XmlError));
        assert_eq!(fields().optional_text("C"), Ok(Some(String::new())));
        assert_eq!(fields().finish(), Err(XmlError));
        assert!(parse(b"<A>x<B/></A>").unwrap().into_fields("A").is_err());
        assert!(parse(b"<A/>").unwrap().into_fields("B").is_err());
        assert!(parse(b"<A><B/></A>").unwrap().into_text().is_err());
    }

    #[test]
    fn texts_keep_their_spaces_and_attributes_their_local_names() {
        let root = parse(b"<A xmlns:x=\"u\" x:type=\"T&amp;\"> a\r\n b </A>").unwrap();
        assert_eq!(root.text, " a\n b ");
        assert_eq!(root.attributes, [("type".to_owned(), "T&".to_owned())]);
    }

    #[test]
    fn what_is_not_plain_xml_is_refused() {
        for bad in [
            "",
            "x",
            "<A>",
            "<A></B>",
            "<A/><B/>",
            "<A/>x",
            "<A>&b;</A>",
            "<A>&#xZZ;</A>",
            "<A b=\"1\" b=\"2\"/>",
            "<!DOCTYPE A [<!ENTITY b \"c\">]><A>&b;</A>",
            "<!DOCTYPE A><A/>",
            "<?php x?><A/>",
            "</A>",
        ] {
            assert_eq!(parse(bad.as_bytes()), Err(XmlError), "{bad}");
        }
        assert_eq!(parse(b"<A>\xff</A>"), Err(XmlError));
    }

    #[test]
    fn documents_are_bounded() {
        let nested = |depth: usize| [b"<A>".repeat(depth), b"</A>".repeat(depth)].concat();
        assert!(parse(&nested(XML_DEPTH_MAX)).is_ok());
        assert_eq!(parse(&nested(XML_DEPTH_MAX + 1)), Err(XmlError));
        let wide =
            |count: usize| [b"<A>".to_vec(), b"<B/>".repeat(count), b"</A>".to_vec()].concat();
        assert!(parse(&wide(XML_ELEMENTS_MAX - 1)).is_ok());
        assert_eq!(parse(&wide(XML_ELEMENTS_MAX)), Err(XmlError));
        let long = [
            b"<A>".to_vec(),
            vec![b' '; XML_DOCUMENT_MAX_BYTES],
            b"</A>".to_vec(),
        ]
        .concat();
        assert_eq!(parse(&long), Err(XmlError));
    }
}
