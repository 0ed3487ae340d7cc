//! JSON as policies need it: nothing is lost on the way in, and nothing grows beyond bounds.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Deepest nesting. The policy language has six levels: document, statements, statement, conditions,
/// operator, values.
const DEPTH_MAX: u8 = 8;

/// A JSON value. Unlike a map, an object keeps repeated members from hiding each other: they are
/// refused, since readers disagree on which of them counts.
#[derive(Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// As it was written, as far as that can be told: condition values are compared as text.
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Parses one JSON value and nothing behind it.
pub(crate) fn parse(text: &str) -> Option<Json> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Level(DEPTH_MAX).deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(value)
}

/// How many levels may still open.
#[derive(Clone, Copy)]
struct Level(u8);

impl Level {
    fn below<E: Error>(self) -> Result<Self, E> {
        self.0
            .checked_sub(1)
            .map(Self)
            .ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let level = self.below()?;
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(level)? {
            values.push(value);
        }
        Ok(Json::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let level = self.below()?;
        let mut names = std::collections::BTreeSet::new();
        let mut values = Vec::new();
        while let Some(Name(name)) = members.next_key()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom("a member is given twice"));
            }
            values.push((name, members.next_value_seed(level)?));
        }
        Ok(Json::Object(values))
    }
}

struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_members_deep_nesting_and_trailing_bytes_are_refused() {
        assert!(parse(r#"{"a":[1,"b",true,null]}"#).is_some());
        assert!(parse(r#"{"a":1,"a":2}"#).is_none());
        assert!(parse(r#"{"a":1} x"#).is_none());
        assert!(parse(&format!("{}1{}", "[".repeat(8), "]".repeat(8))).is_some());
        assert!(parse(&format!("{}1{}", "[".repeat(9), "]".repeat(9))).is_none());
    }
}
