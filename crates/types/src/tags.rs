//! Tag sets of objects and buckets.

use std::collections::BTreeSet;

use crate::limits::{TAG_KEY_MAX_CHARS, TAG_VALUE_MAX_CHARS};

/// One tag.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    /// 1 to 128 characters, unique within the set.
    pub key: String,
    /// 0 to 256 characters.
    pub value: String,
}

/// A tag set within its limits, sorted by key.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct TagSet(Vec<Tag>);

impl std::fmt::Debug for TagSet {
    /// Tags are user data and do not belong in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TagSet({} tags)", self.0.len())
    }
}

impl TagSet {
    /// Checks a set against S3's rules (S3 User Guide, "Object tagging").
    ///
    /// # Errors
    ///
    /// [`TagError`] for the first rule broken.
    pub fn parse(mut tags: Vec<Tag>, max_tags: usize) -> Result<Self, TagError> {
        if tags.len() > max_tags {
            return Err(TagError::TooMany { max_tags });
        }
        let mut keys = BTreeSet::new();
        for tag in &tags {
            if tag.key.is_empty()
                || tag.key.chars().count() > TAG_KEY_MAX_CHARS
                || !tag.key.chars().all(is_tag_char)
            {
                return Err(TagError::InvalidKey);
            }
            if tag.value.chars().count() > TAG_VALUE_MAX_CHARS
                || !tag.value.chars().all(is_tag_char)
            {
                return Err(TagError::InvalidValue);
            }
            if tag.key.starts_with("aws:") {
                return Err(TagError::SystemKey);
            }
            if !keys.insert(tag.key.as_str()) {
                return Err(TagError::Duplicate);
            }
        }
        tags.sort();
        Ok(Self(tags))
    }

    /// The tags, sorted by key.
    pub fn tags(&self) -> &[Tag] {
        &self.0
    }

    /// Whether the set holds no tag.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Which rule a tag set breaks. The edge turns each into AWS's code and text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// More tags than the resource may have: `BadRequest` for objects, `BadRequest` for buckets.
    #[error("Object tags cannot be greater than {max_tags}")]
    TooMany {
        /// The bound.
        max_tags: usize,
    },
    /// A key is empty, too long or holds a character that tags may not.
    #[error("The TagKey you have provided is invalid")]
    InvalidKey,
    /// A value is too long or holds a character that tags may not.
    #[error("The TagValue you have provided is invalid")]
    InvalidValue,
    /// A key starts with `aws:`.
    #[error("System tags cannot be added/updated by requester")]
    SystemKey,
    /// Two tags have the same key.
    #[error("Cannot provide multiple Tags with the same key")]
    Duplicate,
}

/// Letters, digits and spaces of any script, and `+ - = . _ : / @`.
fn is_tag_char(c: char) -> bool {
    c.is_alphanumeric()
        || c.is_whitespace()
        || matches!(c, '+' | '-' | '=' | '.' | '_' | ':' | '/' | '@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag {
            key: key.into(),
            value: value.into(),
        }
    }

    #[test]
    fn rules_are_enforced() {
        assert!(TagSet::parse(vec![tag("b", ""), tag("a", "x y")], 10).is_ok());
        assert_eq!(
            TagSet::parse(vec![tag("a", ""); 2], 10),
            Err(TagError::Duplicate)
        );
        assert_eq!(
            TagSet::parse(vec![tag("a", ""), tag("b", "")], 1),
            Err(TagError::TooMany { max_tags: 1 })
        );
        assert_eq!(
            TagSet::parse(vec![tag("", "")], 10),
            Err(TagError::InvalidKey)
        );
        assert_eq!(
            TagSet::parse(vec![tag(&"k".repeat(129), "")], 10),
            Err(TagError::InvalidKey)
        );
        assert_eq!(
            TagSet::parse(vec![tag("k", &"v".repeat(257))], 10),
            Err(TagError::InvalidValue)
        );
        assert_eq!(
            TagSet::parse(vec![tag("k", "{}")], 10),
            Err(TagError::InvalidValue)
        );
        assert_eq!(
            TagSet::parse(vec![tag("aws:k", "")], 10),
            Err(TagError::SystemKey)
        );
    }
}
