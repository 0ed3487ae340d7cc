//! `requestParameters` of the JSON protocol: what the shapes took, without bytes and secrets.

use serde_json::Value;
use strongroom_audit::{Params, is_hidden};
use zeroize::Zeroizing;

use crate::json::{Datum, Input};

/// The members of an input under their names in records. Blobs and members with the names of
/// secrets are left out, as KMS leaves them out (KMS Developer Guide, "Logging AWS KMS API calls").
pub(crate) fn json_parameters(input: &Input) -> Params {
    input
        .members()
        .fold(Params::new(), |params, (name, datum)| {
            if is_hidden(name) {
                params
            } else {
                member(params, &lower_camel(name), datum)
            }
        })
}

fn member(params: Params, name: &str, datum: &Datum) -> Params {
    match datum {
        Datum::Text(text) => params.text(name, text),
        Datum::Blob(_) => params,
        Datum::Integer(number) => match u64::try_from(*number) {
            Ok(number) => params.number(name, number),
            Err(_) => params.shown(name, number),
        },
        Datum::Boolean(value) => params.flag(name, *value),
        Datum::Time(time) => params.time(name, *time),
        Datum::TextMap(pairs) if pairs.is_empty() => params,
        Datum::TextMap(pairs) => params.pairs(name, pairs),
        Datum::Structure(input) => params.object(name, &json_parameters(input)),
        Datum::List(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(text).collect();
            if let Some(texts) = texts {
                return params.list(name, texts);
            }
            let structures: Vec<Params> = items.iter().filter_map(structure).collect();
            params.objects(name, &structures)
        }
    }
}

fn text(datum: &Datum) -> Option<&str> {
    match datum {
        Datum::Text(text) => Some(text),
        Datum::Blob(_)
        | Datum::Integer(_)
        | Datum::Boolean(_)
        | Datum::Time(_)
        | Datum::List(_)
        | Datum::TextMap(_)
        | Datum::Structure(_) => None,
    }
}

fn structure(datum: &Datum) -> Option<Params> {
    if let Datum::Structure(input) = datum {
        Some(json_parameters(input))
    } else {
        None
    }
}

/// `KeyId` is `keyId`.
pub(crate) fn lower_camel(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// The texts under names of secrets, which no error may carry into a record.
pub(crate) fn hidden_texts(input: &Input) -> Vec<Zeroizing<String>> {
    let mut texts = Vec::new();
    for (name, datum) in input.members() {
        if is_hidden(name) {
            let items = if let Datum::List(items) = datum {
                items.as_slice()
            } else {
                std::slice::from_ref(datum)
            };
            texts.extend(items.iter().filter_map(text).map(|it| it.to_owned().into()));
        }
    }
    texts
}

/// As [`hidden_texts`], of a document that does not keep to its shapes.
pub(crate) fn hidden_texts_of_document(document: &Value) -> Vec<Zeroizing<String>> {
    fn all(value: &Value, texts: &mut Vec<Zeroizing<String>>) {
        match value {
            Value::String(text) => texts.push(text.clone().into()),
            Value::Array(items) => {
                // Errors show lists of texts as one.
                let joined: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                texts.push(joined.join(", ").into());
                for item in items {
                    all(item, texts);
                }
            }
            Value::Object(members) => members.values().for_each(|value| all(value, texts)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    fn find(value: &Value, texts: &mut Vec<Zeroizing<String>>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| find(item, texts)),
            Value::Object(members) => {
                for (name, value) in members {
                    if is_hidden(name) {
                        all(value, texts);
                    } else {
                        find(value, texts);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut texts = Vec::new();
    find(document, &mut texts);
    texts
}
