//! What a record says of parameters and results, without a way to take secrets.

use std::fmt::Display;

use serde_json::{Map, Value};
use strongroom_types::Timestamp;
use strongroom_types::kms::EncryptionContext;

use crate::json::Json;

/// What stands in the place of a value that must not be recorded.
pub const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// Names whose values are never recorded, in lower case and without hyphens, wherever they stand.
///
/// Services do not pass such values; the list is there for the day when one does. There is no way to
/// pass bytes at all, so keys, plaintexts and ciphertexts do not come in by type either.
const NEVER: [&str; 44] = [
    // KMS
    "plaintext",
    "ciphertext",
    "ciphertextblob",
    "ciphertextforrecipient",
    "privatekeyplaintext",
    "privatekeyciphertextblob",
    "sharedsecret",
    "message",
    "signature",
    "mac",
    "granttoken",
    "granttokens",
    "importtoken",
    "encryptedkeymaterial",
    "recipient",
    // IAM, STS
    "secretaccesskey",
    "sessiontoken",
    "password",
    "newpassword",
    "oldpassword",
    "tokencode",
    "webidentitytoken",
    "samlassertion",
    "base32stringseed",
    "qrcodepng",
    "encodedmessage",
    "decodedmessage",
    // Secrets Manager
    "secretstring",
    "secretbinary",
    "randompassword",
    "clientrequesttokensecret",
    // S3, signatures
    "authorization",
    "cookie",
    "setcookie",
    "xamzsecuritytoken",
    "xamzsignature",
    "xamzcredential",
    "xamzserversideencryptioncustomerkey",
    "xamzserversideencryptioncustomerkeymd5",
    "xamzcopysourceserversideencryptioncustomerkey",
    "xamzcopysourceserversideencryptioncustomerkeymd5",
    "ssecustomerkey",
    "ssecustomerkeymd5",
    "copysourcessecustomerkey",
];

/// Whether values of this name are hidden.
pub fn is_hidden(name: &str) -> bool {
    let is = |never: &str| {
        let letters = name.bytes().filter(|byte| !matches!(byte, b'-' | b'_'));
        letters
            .map(|byte| byte.to_ascii_lowercase())
            .eq(never.bytes())
    };
    NEVER.iter().any(|never| is(never))
}

/// A JSON object with the parameters or the results of a call.
///
/// It takes texts, numbers, times, flags, and lists and objects of these. It takes no bytes, and of
/// names that AWS gives to secrets it keeps the name alone.
///
/// ```
/// use strongroom_audit::Params;
///
/// let params = Params::new().text("keyId", "alias/a").number("numberOfBytes", 32);
/// assert_eq!(params.as_json(), r#"{"keyId":"alias/a","numberOfBytes":32}"#);
/// let params = Params::new().text("ciphertextBlob", "QUJD");
/// assert_eq!(params.as_json(), r#"{"ciphertextBlob":"HIDDEN_DUE_TO_SECURITY_REASONS"}"#);
/// ```
/// ```compile_fail
/// strongroom_audit::Params::new().text("plaintext", &[1_u8, 2, 3]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// The members, with commas between them and without braces.
    members: String,
}

impl Params {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A text.
    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        self.put(name, |json| json.quote(value))
    }

    /// A text, if there is one.
    #[must_use]
    pub fn optional(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// What prints itself: an ARN, an id, a name.
    #[must_use]
    pub fn shown(self, name: &str, value: &impl Display) -> Self {
        self.text(name, &value.to_string())
    }

    /// A number.
    #[must_use]
    pub fn number(self, name: &str, value: u64) -> Self {
        self.put(name, |json| json.raw(&value.to_string()))
    }

    /// True or false.
    #[must_use]
    pub fn flag(self, name: &str, value: bool) -> Self {
        self.put(name, |json| json.raw(if value { "true" } else { "false" }))
    }

    /// A time as the records of KMS and CloudTrail show it: `Aug 10, 2022, 10:38:27 PM`.
    #[must_use]
    pub fn time(self, name: &str, value: Timestamp) -> Self {
        self.text(name, &display_time(value))
    }

    /// A list of texts.
    #[must_use]
    pub fn list<T: AsRef<str>>(self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        self.put(name, |json| {
            json.open_list();
            for value in values {
                json.next();
                json.quote(value.as_ref());
            }
            json.close_list();
        })
    }

    /// An object.
    #[must_use]
    pub fn object(self, name: &str, value: &Self) -> Self {
        self.put(name, |json| json.raw(&value.as_json()))
    }

    /// A list of objects.
    #[must_use]
    pub fn objects<'a>(self, name: &str, values: impl IntoIterator<Item = &'a Self>) -> Self {
        self.put(name, |json| {
            json.open_list();
            for value in values {
                json.next();
                json.raw(&value.as_json());
            }
            json.close_list();
        })
    }

    /// An encryption context. Its names are the caller's own, and it is no secret (KMS Developer
    /// Guide, "Encryption context"), so nothing of it is hidden.
    #[must_use]
    pub fn context(self, value: &EncryptionContext) -> Self {
        if value.is_empty() {
            return self;
        }
        self.put("encryptionContext", |json| {
            json.open();
            for (name, value) in value.pairs() {
                json.text(name, value);
            }
            json.close();
        })
    }

    /// Pairs under names of the caller's own, which hide nothing: constraints on encryption contexts.
    #[must_use]
    pub fn pairs<'a>(
        self,
        name: &str,
        pairs: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Self {
        self.put(name, |json| {
            json.open();
            for (name, value) in pairs {
                json.text(name, value);
            }
            json.close();
        })
    }

    /// A document that somebody sent, such as a policy or a configuration. Names of secrets are
    /// hidden in it, however deep.
    #[must_use]
    pub fn document(self, name: &str, value: &Value) -> Self {
        self.put(name, |json| write(json, value))
    }

    /// The members of a document, each as [`Params::document`].
    #[must_use]
    pub fn members(self, members: &Map<String, Value>) -> Self {
        let each = |params: Self, (name, value): (&String, &Value)| params.document(name, value);
        members.iter().fold(self, each)
    }

    /// These members, and those of `other` behind them.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        if !self.members.is_empty() && !other.members.is_empty() {
            self.members.push(',');
        }
        self.members.push_str(&other.members);
        self
    }

    /// The object.
    pub fn as_json(&self) -> String {
        format!("{{{}}}", self.members)
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len() + 2
    }

    fn put(mut self, name: &str, value: impl FnOnce(&mut Json)) -> Self {
        let mut json = Json::new();
        json.quote(name);
        json.raw(":");
        if is_hidden(name) {
            json.quote(HIDDEN);
        } else {
            value(&mut json);
        }
        if !self.members.is_empty() {
            self.members.push(',');
        }
        self.members.push_str(&json.into_string());
        self
    }
}

/// Its depth is the parser's, which is bounded.
fn write(json: &mut Json, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => json.raw(&value.to_string()),
        Value::String(text) => json.quote(text),
        Value::Array(items) => {
            json.open_list();
            for item in items {
                json.next();
                write(json, item);
            }
            json.close_list();
        }
        Value::Object(members) => json.raw(&Params::new().members(members).as_json()),
    }
}

/// `Aug 10, 2022, 10:38:27 PM`, in UTC.
fn display_time(time: Timestamp) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let iso = time.to_iso8601();
    let part = |from: usize, to: usize| iso.get(from..to).and_then(|it| it.parse::<usize>().ok());
    let (Some(year), Some(month), Some(day), Some(hour)) =
        (part(0, 4), part(5, 7), part(8, 10), part(11, 13))
    else {
        return iso;
    };
    let month = MONTHS.get(month.saturating_sub(1)).unwrap_or(&"Jan");
    let half = if hour < 12 { "AM" } else { "PM" };
    let hour = if hour % 12 == 0 { 12 } else { hour % 12 };
    let rest = iso.get(13..19).unwrap_or_default();
    format!("{month} {day}, {year}, {hour}{rest} {half}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_by_name_at_every_depth() {
        for name in [
            "plaintext",
            "Plaintext",
            "CiphertextBlob",
            "x-amz-server-side-encryption-customer-key",
            "x-amz-server-side-encryption-customer-key-MD5",
            "X-Amz-Security-Token",
            "SecretAccessKey",
            "grantTokens",
        ] {
            let inner = Params::new().text(name, "canary").list(name, ["canary"]);
            let outer = Params::new()
                .object("inner", &inner)
                .objects("all", [&inner, &inner])
                .object(name, &Params::new().text("x", "canary"));
            assert!(!outer.as_json().contains("canary"), "{name}");
            serde_json::from_str::<Value>(&outer.as_json()).unwrap();
        }
        let harmless = Params::new()
            .text("x-amz-server-side-encryption-customer-algorithm", "AES256")
            .text("keyId", "k");
        assert!(!harmless.as_json().contains(HIDDEN));
    }

    #[test]
    fn documents_keep_their_shape_and_lose_their_secrets() {
        let document = serde_json::json!({
            "a": [1, true, null, { "SecretAccessKey": "canary" }],
            "Statement": { "Effect": "Allow", "password": ["canary"] },
        });
        let json = Params::new().document("policy", &document).as_json();
        assert!(!json.contains("canary"), "{json}");
        let read: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["policy"]["a"][0], 1);
        assert_eq!(read["policy"]["Statement"]["Effect"], "Allow");
        let own = ("plaintext".to_owned(), "x".to_owned());
        let pairs = Params::new().pairs("c", [(&own.0, &own.1)]).as_json();
        assert_eq!(pairs, r#"{"c":{"plaintext":"x"}}"#);
    }

    #[test]
    fn a_context_is_shown_as_it_is() {
        let context = EncryptionContext::default()
            .with("plaintext", "a\"b")
            .unwrap();
        let json = Params::new().context(&context).as_json();
        assert_eq!(json, r#"{"encryptionContext":{"plaintext":"a\"b"}}"#);
        let none = Params::new().context(&EncryptionContext::default());
        assert!(none.is_empty());
    }

    #[test]
    fn times_are_shown_as_kms_shows_them() {
        for (iso, shown) in [
            ("2022-08-10T22:38:27Z", "Aug 10, 2022, 10:38:27 PM"),
            ("2026-01-02T00:00:09Z", "Jan 2, 2026, 12:00:09 AM"),
            ("2026-12-31T12:59:00Z", "Dec 31, 2026, 12:59:00 PM"),
        ] {
            assert_eq!(display_time(Timestamp::parse_iso8601(iso).unwrap()), shown);
        }
    }
}
