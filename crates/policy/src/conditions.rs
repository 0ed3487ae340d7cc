//! The values of condition keys that a request brings.

use std::collections::BTreeMap;

use strongroom_types::kms::EncryptionContext;

/// Condition keys of a request and their values. Keys are compared without regard to case, so they
/// are kept in lower case; an absent key is not the same as an empty value.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Conditions {
    values: BTreeMap<String, Vec<String>>,
    /// With its case, which condition keys do not have and the constraints of grants do.
    encryption_context: EncryptionContext,
}

impl Conditions {
    /// Sets a key that has one value.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.values
            .insert(key.to_ascii_lowercase(), vec![value.into()]);
        self
    }

    /// Sets a key that has many values.
    #[must_use]
    pub fn with_all(mut self, key: &str, values: impl IntoIterator<Item = String>) -> Self {
        self.values
            .insert(key.to_ascii_lowercase(), values.into_iter().collect());
        self
    }

    /// Adds the pairs of an encryption context: `kms:EncryptionContext:NAME`,
    /// `kms:EncryptionContextKeys`, and what the constraints of grants are compared with. Of names
    /// that differ only in case, the condition key has all values.
    #[must_use]
    pub fn with_encryption_context(mut self, context: &EncryptionContext) -> Self {
        if context.is_empty() {
            return self;
        }
        let mut pairs = self.encryption_context.pairs().clone();
        for (name, value) in context.pairs() {
            let key = format!("kms:encryptioncontext:{}", name.to_ascii_lowercase());
            self.values.entry(key).or_default().push(value.clone());
            pairs.insert(name.clone(), value.clone());
        }
        self = self.with_all("kms:EncryptionContextKeys", pairs.keys().cloned());
        // Two contexts that are each short enough may be too long together. Constraints then see
        // only the second, and so hold for nothing that needs the first.
        self.encryption_context = EncryptionContext::new(pairs).unwrap_or_else(|_| context.clone());
        self
    }

    /// The values of a key, or `None` where the request has no such key.
    pub fn get(&self, key: &str) -> Option<&[String]> {
        self.get_lower(&key.to_ascii_lowercase())
    }

    /// As [`Conditions::get`], of a key in lower case.
    pub(crate) fn get_lower(&self, key: &str) -> Option<&[String]> {
        self.values.get(key).map(Vec::as_slice)
    }

    /// All keys, in lower case, with their values.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.values
            .iter()
            .map(|(key, values)| (key.as_str(), values.as_slice()))
    }

    /// The encryption context of the request, empty if it has none.
    pub fn encryption_context(&self) -> &EncryptionContext {
        &self.encryption_context
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

    #[test]
    fn names_of_a_context_that_differ_in_case_hide_no_value() {
        let pairs = [("App", "a"), ("app", "b"), ("Z", "c")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let context = EncryptionContext::new(pairs.into()).unwrap();
        let conditions = Conditions::default().with_encryption_context(&context);
        let owned = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let get = |key| conditions.get(key).unwrap().to_vec();
        assert_eq!(get("kms:EncryptionContext:APP"), owned(&["a", "b"]));
        assert_eq!(
            get("kms:EncryptionContextKeys"),
            owned(&["App", "Z", "app"])
        );
        assert_eq!(conditions.encryption_context(), &context);
        let none = Conditions::default().with_encryption_context(&EncryptionContext::default());
        assert_eq!(none, Conditions::default());
    }
}
