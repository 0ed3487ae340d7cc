//! `x-amz-server-side-encryption-context`: what a client adds to the encryption context.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use strongroom_types::kms::EncryptionContext;

use crate::SseError;

/// The pair that S3 itself adds to every context.
pub const ARN_PAIR: &str = "aws:s3:arn";

/// A client's pairs, and the header as it came. Without the header both are empty.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ClientContext {
    pairs: BTreeMap<String, String>,
    header: Option<String>,
}

impl ClientContext {
    /// Parses the header: base64 of a flat JSON map from text to text. `arn` is the value that S3
    /// gives to [`ARN_PAIR`]; a client may repeat it, and set no other pair that begins with `aws:`, which
    /// those of services do (`by_service`).
    ///
    /// # Errors
    ///
    /// [`SseError::ContextInvalid`], [`SseError::ContextReserved`].
    pub fn parse(header: Option<&str>, arn: &str, by_service: bool) -> Result<Self, SseError> {
        let Some(header) = header else {
            return Ok(Self::default());
        };
        let json = BASE64
            .decode(header)
            .map_err(|_| SseError::ContextInvalid)?;
        let UniquePairs(mut pairs) =
            serde_json::from_slice(&json).map_err(|_| SseError::ContextInvalid)?;
        if pairs.get(ARN_PAIR).is_some_and(|sent| sent == arn) {
            pairs.remove(ARN_PAIR);
        }
        let is_reserved =
            |name: &&String| name.starts_with("aws:") && (!by_service || *name == ARN_PAIR);
        if let Some(name) = pairs.keys().find(is_reserved) {
            return Err(SseError::ContextReserved { name: name.clone() });
        }
        // What the key service would refuse for its length is refused here, under S3's own text.
        EncryptionContext::new(pairs.clone())
            .and_then(|context| context.with(ARN_PAIR, arn))
            .map_err(|_| SseError::ContextInvalid)?;
        Ok(Self {
            pairs,
            header: Some(header.to_owned()),
        })
    }

    /// Takes pairs that were parsed once before.
    pub const fn from_pairs(pairs: BTreeMap<String, String>) -> Self {
        Self {
            pairs,
            header: None,
        }
    }

    /// The pairs, without S3's own.
    pub const fn pairs(&self) -> &BTreeMap<String, String> {
        &self.pairs
    }

    /// The header as it came, which the answer repeats.
    pub fn header(&self) -> Option<&str> {
        self.header.as_deref()
    }
}

/// A map that names nothing twice: which of two values counts must not depend on the reader.
struct UniquePairs(BTreeMap<String, String>);

impl<'de> serde::Deserialize<'de> for UniquePairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = UniquePairs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map from text to text")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<UniquePairs, A::Error> {
                let mut pairs = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    if pairs.insert(name, value).is_some() {
                        return Err(serde::de::Error::custom("a name comes twice"));
                    }
                }
                Ok(UniquePairs(pairs))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:s3:::b/k";

    fn parse(json: &str) -> Result<ClientContext, SseError> {
        ClientContext::parse(Some(&BASE64.encode(json)), ARN, false)
    }

    #[test]
    fn a_flat_map_of_text_is_taken() {
        let context = parse(r#"{"dept":"law","a":""}"#).unwrap();
        assert_eq!(context.pairs().len(), 2);
        assert_eq!(
            context.header(),
            Some(BASE64.encode(r#"{"dept":"law","a":""}"#).as_str())
        );
        assert_eq!(
            ClientContext::parse(None, ARN, false).unwrap(),
            ClientContext::default()
        );
        assert!(parse("{}").unwrap().pairs().is_empty());
    }

    #[test]
    fn anything_else_is_refused() {
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(8192));
        for json in [
            "",
            "[]",
            "null",
            r#""a""#,
            r#"{"a":1}"#,
            r#"{"a":{"b":"c"}}"#,
            r#"{"a":null}"#,
            r#"{"a":"b","a":"c"}"#,
            r#"{"a":"b"} x"#,
            long.as_str(),
        ] {
            assert_eq!(parse(json), Err(SseError::ContextInvalid), "{json}");
        }
        for header in ["%%", "/w==", "e30"] {
            let parsed = ClientContext::parse(Some(header), ARN, false);
            assert_eq!(parsed, Err(SseError::ContextInvalid), "{header}");
        }
    }

    #[test]
    fn the_pairs_of_aws_are_s3s_own() {
        let same = parse(r#"{"aws:s3:arn":"arn:aws:s3:::b/k","a":"b"}"#).unwrap();
        assert_eq!(same.pairs().len(), 1);
        for name in ["aws:s3:arn", "aws:x"] {
            let got = parse(&format!(r#"{{"{name}":"arn:aws:s3:::b/other"}}"#));
            let name = name.to_owned();
            assert_eq!(got, Err(SseError::ContextReserved { name }));
        }
        let by_service = |json: &str| {
            ClientContext::parse(Some(&BASE64.encode(json)), ARN, true).map(|it| it.pairs)
        };
        let own = by_service(r#"{"aws:cloudtrail:arn":"t"}"#).unwrap();
        assert_eq!(own.get("aws:cloudtrail:arn").unwrap(), "t");
        {
            let name = ARN_PAIR.to_owned();
            let got = by_service(r#"{"aws:s3:arn":"arn:aws:s3:::b/other"}"#);
            assert_eq!(got, Err(SseError::ContextReserved { name }));
        }
    }
}
