//! Encryption contexts.

use std::collections::BTreeMap;

/// Longest canonical form of a context, in bytes. AWS caps the total near this (recalled).
pub const CONTEXT_MAX_BYTES: usize = 8192;

/// Pairs of text that are bound to a ciphertext, and logged in clear (Developer Guide, "Encryption
/// context"). Compared exactly, case included; the order of the pairs means nothing; an empty one
/// is the same as none.
#[derive(Clone, PartialEq, Eq, Default, Debug, PartialOrd, Ord, Hash)]
pub struct EncryptionContext(BTreeMap<String, String>);

/// The context's canonical form is longer than [`CONTEXT_MAX_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an encryption context has at most {CONTEXT_MAX_BYTES} bytes")]
pub struct ContextTooLarge;

impl EncryptionContext {
    /// Takes pairs.
    ///
    /// # Errors
    ///
    /// [`ContextTooLarge`].
    pub fn new(pairs: BTreeMap<String, String>) -> Result<Self, ContextTooLarge> {
        let context = Self(pairs);
        if context.canonical().len() > CONTEXT_MAX_BYTES {
            return Err(ContextTooLarge);
        }
        Ok(context)
    }

    /// This context and one more pair, which replaces one of the same name.
    ///
    /// # Errors
    ///
    /// [`ContextTooLarge`].
    pub fn with(&self, name: &str, value: &str) -> Result<Self, ContextTooLarge> {
        let mut pairs = self.0.clone();
        pairs.insert(name.to_owned(), value.to_owned());
        Self::new(pairs)
    }

    /// The pairs, sorted by the bytes of their names.
    pub fn pairs(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes that a ciphertext is bound to: no two contexts share them.
    ///
    /// ```text
    /// "kmsctx1" || BE32(pairs) || for each: BE32(length) || name || BE32(length) || value
    /// ```
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = b"kmsctx1".to_vec();
        out.extend_from_slice(&be32(self.0.len()));
        for (name, value) in &self.0 {
            for text in [name, value] {
                out.extend_from_slice(&be32(text.len()));
                out.extend_from_slice(text.as_bytes());
            }
        }
        out
    }
}

/// Lengths beyond 32 bits are far beyond [`CONTEXT_MAX_BYTES`], and refused by it.
fn be32(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        EncryptionContext::new(pairs.iter().map(owned).collect()).unwrap()
    }

    #[test]
    fn moving_a_letter_between_name_and_value_is_another_context() {
        assert_ne!(
            context(&[("a", "bc")]).canonical(),
            context(&[("ab", "c")]).canonical()
        );
        assert_eq!(
            context(&[("b", "2"), ("a", "1")]).canonical(),
            context(&[("a", "1"), ("b", "2")]).canonical()
        );
        assert_eq!(context(&[]), EncryptionContext::default());
        assert_eq!(
            context(&[("a", "1")]).canonical(),
            b"kmsctx1\0\0\0\x01\0\0\0\x01a\0\0\0\x011"
        );
    }

    #[test]
    fn the_length_is_bounded() {
        let pairs = |len: usize| BTreeMap::from([("a".to_owned(), "v".repeat(len))]);
        assert!(EncryptionContext::new(pairs(8192 - 20)).is_ok());
        assert_eq!(
            EncryptionContext::new(pairs(8192 - 19)),
            Err(ContextTooLarge)
        );
    }
}
