//! The values of condition keys that a request brings.

use std::collections::BTreeMap;

/// Condition keys of a request and their values. Keys are compared without regard to case, so they
/// are kept in lower case; an absent key is not the same as an empty value.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Conditions(BTreeMap<String, Vec<String>>);

impl Conditions {
    /// Sets a key that has one value.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.0.insert(key.to_ascii_lowercase(), vec![value.into()]);
        self
    }

    /// Sets a key that has many values.
    #[must_use]
    pub fn with_all(mut self, key: &str, values: impl IntoIterator<Item = String>) -> Self {
        self.0
            .insert(key.to_ascii_lowercase(), values.into_iter().collect());
        self
    }

    /// The values of a key, or `None` where the request has no such key.
    pub fn get(&self, key: &str) -> Option<&[String]> {
        self.0.get(&key.to_ascii_lowercase()).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_no_case_and_absence_is_not_emptiness() {
        let conditions = Conditions::default()
            .with("kms:ViaService", "s3.us-east-1.amazonaws.com")
            .with_all("kms:EncryptionContextKeys", []);
        assert_eq!(
            conditions.get("KMS:viaservice"),
            Some(&["s3.us-east-1.amazonaws.com".to_owned()][..])
        );
        assert_eq!(conditions.get("kms:EncryptionContextKeys"), Some(&[][..]));
        assert_eq!(conditions.get("kms:CallerAccount"), None);
    }
}
