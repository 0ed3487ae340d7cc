//! Percent-encoding as SigV4 defines it, and the query string that everything behind it reads.
//!
//! Operations must read parameters through [`Query`], so that what they act upon is what the
//! signature covers.

use crate::limits::QUERY_PARAMETERS_MAX;

/// A decoded query string, in the order in which it was sent.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Query(Vec<(String, Vec<u8>)>);

impl Query {
    /// Decodes a query string. `+` is a space, a parameter without `=` has an empty value, and
    /// empty parameters (`&&`) are dropped.
    ///
    /// # Errors
    ///
    /// [`UriError`] for a broken escape, a name that is not UTF-8, or too many parameters.
    pub fn parse(query: &str) -> Result<Self, UriError> {
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() >= QUERY_PARAMETERS_MAX {
                return Err(UriError);
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = String::from_utf8(decode_component(name)?).map_err(|_| UriError)?;
            pairs.push((name, decode_component(value)?));
        }
        Ok(Self(pairs))
    }

    /// The pairs in the order in which they were sent.
    pub fn pairs(&self) -> &[(String, Vec<u8>)] {
        &self.0
    }

    /// The first value of a parameter whose name is written exactly so.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|(candidate, _)| candidate == name)
            .map(|(_, value)| value.as_slice())
    }

    /// The first value of a parameter, if it is UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Whether a parameter is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

impl std::fmt::Debug for Query {
    /// Values may be signatures and session tokens: names only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// The URI holds a broken escape, or too many parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Couldn't parse the specified URI.")]
pub struct UriError;

/// Decodes one component of a query: `%XX`, and `+` as a space.
///
/// # Errors
///
/// [`UriError`] for a `%` that two hexadecimal digits do not follow.
pub fn decode_component(text: &str) -> Result<Vec<u8>, UriError> {
    decode(text, true)
}

/// Decodes a path: `%XX` only; `+` is a plus.
///
/// # Errors
///
/// [`UriError`] for a `%` that two hexadecimal digits do not follow.
pub fn decode_path(text: &str) -> Result<Vec<u8>, UriError> {
    decode(text, false)
}

/// Appends `bytes`, every byte but `A-Z a-z 0-9 - . _ ~` as `%XX` (SigV4's `UriEncode`).
pub fn encode_into(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        encode_byte(out, byte);
    }
}

/// Appends a path with every escape rewritten to SigV4's form. Slashes stay, and so does `%2F`,
/// which is a character of a key and not a separator of the path.
pub(super) fn recode_path_into(out: &mut Vec<u8>, path: &str) {
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'/' {
            out.push(b'/');
        } else if let (b'%', Some((value, after))) = (byte, hex_pair(after)) {
            rest = after;
            encode_byte(out, value);
        } else {
            encode_byte(out, byte);
        }
    }
}

fn decode(text: &str, plus_is_space: bool) -> Result<Vec<u8>, UriError> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        out.push(match byte {
            b'%' => {
                let (value, after) = hex_pair(after).ok_or(UriError)?;
                rest = after;
                value
            }
            b'+' if plus_is_space => b' ',
            byte => byte,
        });
    }
    Ok(out)
}

fn encode_byte(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
        out.push(byte);
        return;
    }
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 0xf)]);
}

fn hex_pair(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let ([high, low], rest) = bytes.split_first_chunk::<2>()?;
    let digit = |c: u8| {
        char::from(c)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    Some((digit(*high)? << 4 | digit(*low)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recoded(path: &str) -> String {
        let mut out = Vec::new();
        recode_path_into(&mut out, path);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn paths_keep_their_slashes_and_dots() {
        assert_eq!(recoded("/a//b/../c/"), "/a//b/../c/");
        assert_eq!(recoded("/a%2Fb%2fc"), "/a%2Fb%2Fc");
        assert_eq!(recoded("/%7Ea!b(c)+d%20e"), "/~a%21b%28c%29%2Bd%20e");
        assert_eq!(recoded("/100%"), "/100%25");
    }

    #[test]
    fn queries_decode_in_order() {
        let query = Query::parse("b=2&a=1%202&b=x+y&acl&&e=").unwrap();
        let names: Vec<&str> = query
            .pairs()
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["b", "a", "b", "acl", "e"]);
        assert_eq!(query.get_str("a"), Some("1 2"));
        assert_eq!(query.get("b"), Some(&b"2"[..]));
        assert!(query.has("acl") && !query.has("ACL"));
    }

    #[test]
    fn broken_escapes_are_refused() {
        for bad in ["%", "a=%", "a=%4", "a=%zz", "%gg=1", "%ff=1"] {
            assert_eq!(Query::parse(bad), Err(UriError), "{bad}");
        }
        assert!(Query::parse(&"a&".repeat(QUERY_PARAMETERS_MAX)).is_ok());
        assert!(Query::parse(&"a&".repeat(QUERY_PARAMETERS_MAX + 1)).is_err());
    }
}
