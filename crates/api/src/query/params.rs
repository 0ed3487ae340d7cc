//! Parameters: `Name=value`, lists as `Name.member.1`, structures as `Name.member.1.Key`.

use std::collections::BTreeMap;

use strongroom_audit::is_hidden;
use zeroize::Zeroizing;

use super::ErrorAnswer;
use crate::sigv4::uri::Query;

/// The parameters of a request. Each may be given once.
#[derive(Clone, Default)]
pub(crate) struct Params(BTreeMap<String, String>);

impl std::fmt::Debug for Params {
    /// Values are the client's business: names only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Params {
    /// Reads form-encoded text, without those that sign a URL.
    ///
    /// # Errors
    ///
    /// `MalformedQueryString` for broken escapes, texts that are not UTF-8, too many parameters, and
    /// parameters given twice: readers would disagree on which of them counts.
    pub(crate) fn parse(text: &str) -> Result<Self, ErrorAnswer> {
        let malformed = || {
            ErrorAnswer::new(
                "MalformedQueryString",
                400,
                "The query string contains a syntax error.",
            )
        };
        let mut params = BTreeMap::new();
        for (name, value) in Query::parse(text).map_err(|_| malformed())?.pairs() {
            let is_signature = name
                .get(..6)
                .is_some_and(|prefix| prefix.eq_ignore_ascii_case("x-amz-"));
            if is_signature {
                continue;
            }
            let value = String::from_utf8(value.clone()).map_err(|_| malformed())?;
            if params.insert(name.clone(), value).is_some() {
                return Err(malformed());
            }
        }
        Ok(Self(params))
    }

    /// All of them, as sent.
    pub(crate) fn pairs_as_sent(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.0.iter();
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The values of those that are secrets by their names.
    pub(crate) fn secrets(&self) -> Vec<Zeroizing<String>> {
        let pairs = self.0.iter();
        let secrets = pairs.filter(|(name, _)| is_hidden(name));
        secrets.map(|(_, value)| value.clone().into()).collect()
    }

    /// A parameter that may be absent.
    pub(crate) fn optional(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    ///
    /// `ValidationError`.
    pub(crate) fn required(&self, name: &str) -> Result<&str, ErrorAnswer> {
        self.optional(name).ok_or_else(|| missing(name))
    }

    /// A number.
    ///
    /// # Errors
    ///
    /// `ValidationError`.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u32>, ErrorAnswer> {
        match self.optional(name) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                ErrorAnswer::new("MalformedInput", 400, format!("{name} is not a number."))
            }),
        }
    }

    /// `true` or `false`; absent is no.
    ///
    /// # Errors
    ///
    /// `MalformedInput`.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ErrorAnswer> {
        match self.optional(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ErrorAnswer::new(
                "MalformedInput",
                400,
                format!("{name} is not a boolean."),
            )),
        }
    }

    /// A list of texts, in order.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        (1_usize..)
            .map_while(|index| self.optional(&format!("{name}.member.{index}")))
            .map(str::to_owned)
            .collect()
    }

    /// A list of one member of structures, in order.
    pub(crate) fn members(&self, name: &str, member: &str) -> Vec<String> {
        (1_usize..)
            .map_while(|index| self.optional(&format!("{name}.member.{index}.{member}")))
            .map(str::to_owned)
            .collect()
    }

    /// A list of structures of a key and a value; an absent value is empty.
    pub(crate) fn pairs(&self, name: &str) -> Vec<(String, String)> {
        self.members(name, "Key")
            .into_iter()
            .zip(1_usize..)
            .map(|(key, index)| {
                let value = self.optional(&format!("{name}.member.{index}.Value"));
                (key, value.unwrap_or_default().to_owned())
            })
            .collect()
    }
}

fn missing(name: &str) -> ErrorAnswer {
    let mut letters = name.chars();
    let member: String = letters
        .next()
        .map(|first| first.to_ascii_lowercase())
        .into_iter()
        .chain(letters)
        .collect();
    ErrorAnswer::validation(format!(
        "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_structures_are_flat_on_the_wire() {
        let params = Params::parse(
            "Action=TagUser&Tags.member.1.Key=a+b&Tags.member.1.Value=%C3%A4&Tags.member.2.Key=c&L.member.1=x&L.member.3=z&X-Amz-Date=d",
        )
        .unwrap();
        let pairs = [("a b", "\u{e4}"), ("c", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(params.pairs("Tags"), pairs);
        assert_eq!(params.list("L"), ["x"]);
        assert!(params.optional("X-Amz-Date").is_none());
        let error = params.required("UserName").unwrap_err();
        assert!(
            error.message.contains("Value null at 'userName'"),
            "{error:?}"
        );
    }

    #[test]
    fn a_parameter_given_twice_is_refused() {
        for bad in ["A=1&A=2", "A=%", "A=%FF"] {
            assert_eq!(Params::parse(bad).unwrap_err().code, "MalformedQueryString");
        }
    }
}
