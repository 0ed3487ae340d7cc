//! From a document to typed values, by shapes. What is of the wrong type ends the reading, as it
//! does at AWS; broken constraints are collected, and told together.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};
use strongroom_types::Timestamp;
use zeroize::Zeroizing;

use super::body::Document;
use super::{Length, Member, ProtocolError, Shape};

/// Broken constraints that are told; a request of 256 KiB could break a hundred thousand.
const FAILURES_MAX: usize = 20;

/// A value that keeps to its shape.
pub(crate) enum Datum {
    /// Also the name of a choice.
    Text(String),
    /// Decoded bytes.
    Blob(Zeroizing<Vec<u8>>),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// A point in time.
    Time(Timestamp),
    /// A list.
    List(Vec<Datum>),
    /// Pairs of texts.
    TextMap(BTreeMap<String, String>),
    /// An object.
    Structure(Input),
}

/// The members of a request, or of a structure in it. Has no `Debug`: there are secrets in it.
pub(crate) struct Input(Vec<(&'static str, Datum)>);

/// Parses a request's body and reads it. The parsed document is wiped afterwards.
///
/// # Errors
///
/// As [`read_input`].
pub(crate) fn read_document(members: &[Member], body: &[u8]) -> Result<Input, ProtocolError> {
    read_input(members, Document::parse(body)?.value())
}

/// Reads a structure. Members that no shape names are ignored, and `null` is no member.
///
/// # Errors
///
/// [`ProtocolError::Serialization`] and [`ProtocolError::Invalid`].
pub(crate) fn read_input(members: &[Member], document: &Value) -> Result<Input, ProtocolError> {
    let mut reader = Reader {
        failures: Vec::new(),
    };
    let Value::Object(object) = document else {
        return Err(wrong_type(document, "Structure"));
    };
    let input = reader.structure(members, object, "")?;
    if reader.failures.is_empty() {
        Ok(input)
    } else {
        Err(ProtocolError::Invalid(reader.failures))
    }
}

struct Reader {
    failures: Vec<String>,
}

impl Reader {
    fn structure(
        &mut self,
        members: &[Member],
        object: &Map<String, Value>,
        path: &str,
    ) -> Result<Input, ProtocolError> {
        let mut input = Vec::with_capacity(object.len().min(members.len()));
        for member in members {
            let path = join(path, member.name);
            match object.get(member.name).filter(|value| !value.is_null()) {
                Some(value) => input.push((member.name, self.value(member.shape, value, &path)?)),
                None if member.is_required => {
                    self.fail("null", &path, "Member must not be null");
                }
                None => {}
            }
        }
        Ok(Input(input))
    }

    fn value(&mut self, shape: &Shape, value: &Value, path: &str) -> Result<Datum, ProtocolError> {
        let datum = typed(shape, value)?;
        match (shape, &datum) {
            (Shape::List(member, length), Datum::List(_)) => {
                return self.list(member, *length, value, path);
            }
            (Shape::Structure(members), _) => {
                let Value::Object(object) = value else {
                    return Err(wrong_type(value, "Structure"));
                };
                return Ok(Datum::Structure(self.structure(members, object, path)?));
            }
            _ => {}
        }
        let shown = match &datum {
            Datum::Text(text) => format!("'{text}'"),
            Datum::Integer(number) => format!("'{number}'"),
            // Key material must not come back in an error; the others have no constraints.
            Datum::Blob(_)
            | Datum::Boolean(_)
            | Datum::Time(_)
            | Datum::List(_)
            | Datum::TextMap(_)
            | Datum::Structure(_) => String::new(),
        };
        for text in broken(shape, &datum) {
            self.fail(&shown, path, &text);
        }
        Ok(datum)
    }

    fn list(
        &mut self,
        member: &Shape,
        length: Length,
        value: &Value,
        path: &str,
    ) -> Result<Datum, ProtocolError> {
        let Value::Array(items) = value else {
            return Err(wrong_type(value, "List"));
        };
        let shown = || {
            let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            format!("'[{}]'", texts.join(", "))
        };
        let (too_long, too_short) = outside(length, items.len());
        for text in [too_long, too_short].into_iter().flatten() {
            self.fail(&shown(), path, &text);
        }
        let is_structure = matches!(member, Shape::Structure(_));
        let mut data = Vec::with_capacity(items.len());
        let mut is_broken = false;
        for (index, item) in items.iter().enumerate() {
            if is_structure {
                let path = format!("{path}.{}.member", index.saturating_add(1));
                data.push(self.value(member, item, &path)?);
            } else {
                let datum = typed(member, item)?;
                is_broken |= !broken(member, &datum).is_empty();
                data.push(datum);
            }
        }
        if is_broken {
            // AWS tells all constraints of such members at once, and not which member breaks them.
            let text = format!(
                "Member must satisfy constraint: [{}]",
                constraints(member).join(", ")
            );
            self.fail(&shown(), path, &text);
        }
        Ok(Datum::List(data))
    }

    /// `shown` is the value in quotes, or empty where it must not be told.
    fn fail(&mut self, shown: &str, path: &str, constraint: &str) {
        if self.failures.len() < FAILURES_MAX {
            let space = if shown.is_empty() { "" } else { " " };
            self.failures.push(format!(
                "Value{space}{shown} at '{path}' failed to satisfy constraint: {constraint}"
            ));
        }
    }
}

/// `tags.1.member.tagKey`: names begin in lower case.
fn join(path: &str, name: &str) -> String {
    let mut out = String::with_capacity(path.len().saturating_add(name.len()).saturating_add(1));
    out.push_str(path);
    if !path.is_empty() {
        out.push('.');
    }
    let mut letters = name.chars();
    out.extend(letters.next().map(|first| first.to_ascii_lowercase()));
    out.push_str(letters.as_str());
    out
}

/// Converts what is simple. Lists and structures, whose members have shapes of their own, come out
/// empty and are read by the caller.
fn typed(shape: &Shape, value: &Value) -> Result<Datum, ProtocolError> {
    Ok(match (shape, value) {
        (Shape::Text(..) | Shape::Choice(_), Value::String(text)) => Datum::Text(text.clone()),
        (Shape::Text(..) | Shape::Choice(_), other) => return Err(wrong_type(other, "String")),
        (Shape::Blob(_), Value::String(text)) => {
            let mut bytes = Zeroizing::new(vec![0; text.len().div_ceil(4).saturating_mul(3)]);
            let len = BASE64.decode_slice(text, &mut bytes).map_err(|_| {
                ProtocolError::Serialization(Some("The blob is not base64.".to_owned()))
            })?;
            bytes.truncate(len);
            Datum::Blob(bytes)
        }
        (Shape::Blob(_), other) => return Err(wrong_type(other, "Blob")),
        (Shape::Integer(..), Value::Number(number)) => Datum::Integer(
            number
                .as_i64()
                .ok_or_else(|| wrong_type(value, "Integer"))?,
        ),
        (Shape::Integer(..), other) => return Err(wrong_type(other, "Integer")),
        (Shape::Boolean, Value::Bool(value)) => Datum::Boolean(*value),
        (Shape::Boolean, other) => return Err(wrong_type(other, "Boolean")),
        (Shape::Time, Value::Number(number)) => {
            let millis = number
                .as_f64()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .and_then(|time| u64::try_from(time.as_millis()).ok())
                .ok_or_else(|| wrong_type(value, "Timestamp"))?;
            Datum::Time(Timestamp::from_millis(millis))
        }
        (Shape::Time, other) => return Err(wrong_type(other, "Timestamp")),
        (Shape::List(..), Value::Array(_)) => Datum::List(Vec::new()),
        (Shape::List(..), other) => return Err(wrong_type(other, "List")),
        (Shape::TextMap, Value::Object(pairs)) => {
            let pair = |(name, value): (&String, &Value)| match value.as_str() {
                Some(text) => Ok((name.clone(), text.to_owned())),
                None => Err(wrong_type(value, "String")),
            };
            Datum::TextMap(pairs.iter().map(pair).collect::<Result<_, _>>()?)
        }
        (Shape::TextMap, other) => return Err(wrong_type(other, "Map")),
        (Shape::Structure(_), Value::Object(_)) => Datum::Structure(Input(Vec::new())),
        (Shape::Structure(_), other) => return Err(wrong_type(other, "Structure")),
    })
}

/// The text never holds the value.
fn wrong_type(value: &Value, expected: &str) -> ProtocolError {
    let found = match value {
        Value::Null => "NULL_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
        Value::Array(_) => "START_ARRAY",
        Value::Object(_) => "START_OBJECT",
    };
    ProtocolError::Serialization(Some(format!("{found} cannot be converted to {expected}")))
}

/// The constraints of a simple shape that a value breaks, in AWS's words and order.
fn broken(shape: &Shape, datum: &Datum) -> Vec<String> {
    let (mut pattern, mut bounds) = (None, (None, None));
    match (shape, datum) {
        (Shape::Text(length, rule), Datum::Text(text)) => {
            pattern = rule
                .filter(|rule| !rule.matches(text))
                .map(|rule| pattern_text(rule.text));
            bounds = outside(*length, text.chars().count());
        }
        (Shape::Choice(choice), Datum::Text(text)) if !(choice.has)(text) => {
            pattern = Some(choice_text(&(choice.names)()));
        }
        (Shape::Blob(length), Datum::Blob(bytes)) => bounds = outside(*length, bytes.len()),
        (Shape::Integer(min, max), Datum::Integer(number)) => {
            bounds = (
                (number > max)
                    .then(|| format!("Member must have value less than or equal to {max}")),
                (number < min)
                    .then(|| format!("Member must have value greater than or equal to {min}")),
            );
        }
        _ => {}
    }
    [pattern, bounds.0, bounds.1]
        .into_iter()
        .flatten()
        .collect()
}

/// All constraints of a simple shape, as AWS lists them for the members of a list.
fn constraints(shape: &Shape) -> Vec<String> {
    match shape {
        Shape::Text(length, pattern) => [
            length.max.map(max_text),
            length.min.map(min_text),
            pattern.map(|pattern| pattern_text(pattern.text)),
        ]
        .into_iter()
        .flatten()
        .collect(),
        Shape::Choice(choice) => vec![choice_text(&(choice.names)())],
        Shape::Blob(_)
        | Shape::Integer(..)
        | Shape::Boolean
        | Shape::Time
        | Shape::List(..)
        | Shape::TextMap
        | Shape::Structure(_) => Vec::new(),
    }
}

/// What is said of a length beyond its bounds: too long, too short.
fn outside(length: Length, len: usize) -> (Option<String>, Option<String>) {
    (
        length.max.filter(|max| len > *max).map(max_text),
        length.min.filter(|min| len < *min).map(min_text),
    )
}

fn max_text(max: usize) -> String {
    format!("Member must have length less than or equal to {max}")
}

fn min_text(min: usize) -> String {
    format!("Member must have length greater than or equal to {min}")
}

fn pattern_text(pattern: &str) -> String {
    format!("Member must satisfy regular expression pattern: {pattern}")
}

fn choice_text(names: &[&str]) -> String {
    format!("Member must satisfy enum value set: [{}]", names.join(", "))
}

/// What handlers take out of a request. Asking for another type than the shape's is our mistake.
impl Input {
    /// All members that were sent.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'static str, &Datum)> {
        self.0.iter().map(|(name, datum)| (*name, datum))
    }

    fn find(&self, name: &str) -> Option<&Datum> {
        let (_, datum) = self.0.iter().find(|(member, _)| *member == name)?;
        Some(datum)
    }

    /// Whether the member is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, ProtocolError> {
        match self.find(name) {
            None => Ok(None),
            Some(Datum::Text(text)) => Ok(Some(text.clone())),
            Some(_) => Err(ProtocolError::Internal),
        }
    }

    /// A text that the shape requires.
    pub(crate) fn required_text(&self, name: &str) -> Result<String, ProtocolError> {
        self.text(name)?.ok_or(ProtocolError::Internal)
    }

    /// A choice, by the parser of its type.
    pub(crate) fn choice<T>(
        &self,
        name: &str,
        parse: fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ProtocolError> {
        let parsed = |text: String| parse(&text).ok_or(ProtocolError::Internal);
        self.text(name)?.map(parsed).transpose()
    }

    /// A choice that the shape requires.
    pub(crate) fn required_choice<T>(
        &self,
        name: &str,
        parse: fn(&str) -> Option<T>,
    ) -> Result<T, ProtocolError> {
        self.choice(name, parse)?.ok_or(ProtocolError::Internal)
    }

    /// Bytes.
    pub(crate) fn blob(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, ProtocolError> {
        match self.find(name) {
            None => Ok(None),
            Some(Datum::Blob(bytes)) => Ok(Some(bytes.clone())),
            Some(_) => Err(ProtocolError::Internal),
        }
    }

    /// Bytes that the shape requires.
    pub(crate) fn required_blob(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, ProtocolError> {
        self.blob(name)?.ok_or(ProtocolError::Internal)
    }

    /// A number, which its shape bounds to 32 bits.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u32>, ProtocolError> {
        match self.find(name) {
            None => Ok(None),
            Some(Datum::Integer(number)) => u32::try_from(*number)
                .map(Some)
                .map_err(|_| ProtocolError::Internal),
            Some(_) => Err(ProtocolError::Internal),
        }
    }

    /// A switch; off when it is absent.
    pub(crate) fn is_set(&self, name: &str) -> Result<bool, ProtocolError> {
        match self.find(name) {
            None => Ok(false),
            Some(Datum::Boolean(value)) => Ok(*value),
            Some(_) => Err(ProtocolError::Internal),
        }
    }

    /// A point in time.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, ProtocolError> {
        match self.find(name) {
            None => Ok(None),
            Some(Datum::Time(time)) => Ok(Some(*time)),
            Some(_) => Err(ProtocolError::Internal),
        }
    }

    /// A list of texts, empty when it is absent.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, ProtocolError> {
        let text = |datum: &Datum| {
            if let Datum::Text(text) = datum {
                Ok(text.clone())
            } else {
                Err(ProtocolError::Internal)
            }
        };
        self.list(name)?.iter().map(text).collect()
    }

    /// A list of structures, empty when it is absent.
    pub(crate) fn structures(&self, name: &str) -> Result<Vec<&Self>, ProtocolError> {
        fn structure(datum: &Datum) -> Result<&Input, ProtocolError> {
            if let Datum::Structure(input) = datum {
                Ok(input)
            } else {
                Err(ProtocolError::Internal)
            }
        }
        self.list(name)?.iter().map(structure).collect()
    }

    fn list(&self, name: &str) -> Result<&[Datum], ProtocolError> {
        match self.find(name) {
            None => Ok(&[]),
            Some(Datum::List(items)) => Ok(items),
            Some(_) => Err(ProtocolError::Internal),
        }
    }

    /// A structure.
    pub(crate) fn structure(&self, name: &str) -> Result<Option<&Self>, ProtocolError> {
        match self.find(name) {
            None => Ok(None),
            Some(Datum::Structure(input)) => Ok(Some(input)),
            Some(_) => Err(ProtocolError::Internal),
        }
    }

    /// Pairs of texts.
    pub(crate) fn text_map(
        &self,
        name: &str,
    ) -> Result<Option<&BTreeMap<String, String>>, ProtocolError> {
        match self.find(name) {
            None => Ok(None),
            Some(Datum::TextMap(pairs)) => Ok(Some(pairs)),
            Some(_) => Err(ProtocolError::Internal),
        }
    }
}
