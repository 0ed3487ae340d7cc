//! The values of condition keys that a request brings.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use strongroom_types::kms::EncryptionContext;

type Values = BTreeMap<String, Vec<String>>;

/// Condition keys of a request and their values. Keys are compared without regard to case, so they
/// are kept in lower case; an absent key is not the same as an empty value.
#[derive(Clone, Default)]
pub struct Conditions {
    values: Values,
    /// What the request did not say itself: of a resource, and no business of who asks. It counts
    /// before all others.
    found: Values,
    /// With its case, which condition keys do not have and the constraints of grants do.
    encryption_context: EncryptionContext,
    /// Where the other values come from, if a decision looks for one.
    source: Option<Source>,
    /// Keys whose values are not known yet.
    unknown: Option<Unknown>,
}

/// Brings the values of a request when a decision first looks for one. Most decisions look for none,
/// and collecting them costs more than deciding.
pub trait ConditionSource: Send + Sync {
    /// The values. Pure: always the same.
    fn conditions(&self) -> Conditions;
}

#[derive(Clone)]
struct Source {
    of: Arc<dyn ConditionSource>,
    found: OnceLock<Box<Conditions>>,
}

struct Unknown {
    prefixes: &'static [&'static str],
    was_missed: AtomicBool,
}

impl Clone for Unknown {
    fn clone(&self) -> Self {
        Self {
            prefixes: self.prefixes,
            was_missed: AtomicBool::new(self.was_missed.load(Ordering::Relaxed)),
        }
    }
}

impl PartialEq for Conditions {
    /// Whether they say the same.
    fn eq(&self, other: &Self) -> bool {
        self.all() == other.all()
            && self.found == other.found
            && self.encryption_context() == other.encryption_context()
    }
}

impl Eq for Conditions {}

impl fmt::Debug for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.all()).finish()
    }
}

impl Conditions {
    /// The values that `source` brings, if a decision looks for one.
    pub fn of(source: Arc<dyn ConditionSource>) -> Self {
        Self {
            source: Some(Source {
                of: source,
                found: OnceLock::new(),
            }),
            ..Self::default()
        }
    }

    /// Says that the values of keys with these prefixes (in lower case) are not known: a decision
    /// that [missed](Self::was_missed) one is not to be relied on.
    #[must_use]
    pub fn without(mut self, prefixes: &'static [&'static str]) -> Self {
        self.unknown = Some(Unknown {
            prefixes,
            was_missed: AtomicBool::new(false),
        });
        self
    }

    /// Says that all values are known now.
    #[must_use]
    pub fn complete(mut self) -> Self {
        self.unknown = None;
        self
    }

    /// Whether a decision looked for a value that is not known.
    pub fn was_missed(&self) -> bool {
        let unknown = self.unknown.as_ref();
        unknown.is_some_and(|unknown| unknown.was_missed.load(Ordering::Relaxed))
    }

    /// Sets a key that has one value.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.values
            .insert(key.to_ascii_lowercase(), vec![value.into()]);
        self
    }

    /// Adds a value to those that a key was given so, also under a name in another case.
    #[must_use]
    pub fn with_one_more(mut self, key: &str, value: impl Into<String>) -> Self {
        let values = self.values.entry(key.to_ascii_lowercase()).or_default();
        values.push(value.into());
        self
    }

    /// Adds a value that was found for the decision, such as a tag of the object: it counts for keys
    /// that the request gave values too, and is shown to nobody.
    #[must_use]
    pub fn with_found(mut self, key: &str, value: impl Into<String>) -> Self {
        let values = self.found.entry(key.to_ascii_lowercase()).or_default();
        values.push(value.into());
        self
    }

    /// What the request said itself.
    #[must_use]
    pub fn as_sent(&self) -> Self {
        let values = self.all().into_iter();
        Self {
            values: values
                .map(|(key, values)| (key.to_owned(), values.to_vec()))
                .collect(),
            encryption_context: self.encryption_context().clone(),
            ..Self::default()
        }
    }

    /// Sets a key that has many values.
    #[must_use]
    pub fn with_all(mut self, key: &str, values: impl IntoIterator<Item = String>) -> Self {
        self.values
            .insert(key.to_ascii_lowercase(), values.into_iter().collect());
        self
    }

    /// With the values of `others`; where both have a key, with its own.
    #[must_use]
    pub fn and(mut self, others: &Self) -> Self {
        for (key, values) in &others.values {
            let own = self.values.entry(key.clone());
            own.or_insert_with(|| values.clone());
        }
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
        let found = self
            .found
            .get(key)
            .or_else(|| self.values.get(key))
            .or_else(|| self.sourced()?.found.get(key))
            .or_else(|| self.sourced()?.values.get(key));
        if found.is_none()
            && let Some(unknown) = &self.unknown
            && unknown.prefixes.iter().any(|it| key.starts_with(it))
        {
            unknown.was_missed.store(true, Ordering::Relaxed);
        }
        found.map(Vec::as_slice)
    }

    fn sourced(&self) -> Option<&Self> {
        let source = self.source.as_ref()?;
        Some(
            source
                .found
                .get_or_init(|| Box::new(source.of.conditions())),
        )
    }

    /// All that the request said itself; of a key that is there twice, the one that counts.
    pub(crate) fn all(&self) -> BTreeMap<&str, &[String]> {
        let sourced = self.sourced().into_iter().flat_map(|it| &it.values);
        let pairs = sourced.chain(&self.values);
        pairs
            .map(|(key, values)| (key.as_str(), values.as_slice()))
            .collect()
    }

    /// The encryption context of the request, empty if it has none.
    pub fn encryption_context(&self) -> &EncryptionContext {
        match self.sourced() {
            Some(sourced) if self.encryption_context.is_empty() => &sourced.encryption_context,
            Some(_) | None => &self.encryption_context,
        }
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

    #[test]
    fn what_was_found_counts_and_is_not_shown() {
        let sent = Conditions::default()
            .with("s3:prefix", "a")
            .with("s3:x", "sent");
        let found = sent
            .clone()
            .with_found("s3:x", "found")
            .with_found("S3:ExistingObjectTag/A", "1")
            .with_found("s3:existingobjecttag/a", "2");
        let owned = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        assert_eq!(found.get("s3:x"), Some(&*owned(&["found"])));
        let tag = found.get("s3:ExistingObjectTag/a");
        assert_eq!(tag, Some(&*owned(&["1", "2"])));
        assert_eq!(found.all(), sent.all());
        assert!(!format!("{found:?}").contains("found"));
        assert_ne!(found, sent);
        assert_eq!(found.as_sent(), sent);
    }

    #[test]
    fn names_that_differ_in_case_hide_no_value() {
        let conditions = Conditions::default()
            .with_one_more("aws:RequestTag/App", "a")
            .with_one_more("aws:RequestTag/app", "b");
        let values = conditions.get("aws:RequestTag/APP").unwrap();
        assert_eq!(values, ["a", "b"]);
    }

    #[test]
    fn a_source_is_asked_only_for_what_is_looked_for() {
        struct Counted(AtomicBool);
        impl ConditionSource for Counted {
            fn conditions(&self) -> Conditions {
                assert!(!self.0.swap(true, Ordering::Relaxed), "asked twice");
                Conditions::default()
                    .with("s3:prefix", "a")
                    .with("s3:x", "b")
                    .with_found("s3:found", "c")
            }
        }
        let source = Arc::new(Counted(AtomicBool::new(false)));
        let conditions = Conditions::of(source.clone()).with("s3:x", "own");
        assert_eq!(conditions.get("s3:X"), Some(&["own".to_owned()][..]));
        assert!(!source.0.load(Ordering::Relaxed));
        assert_eq!(conditions.get("s3:prefix"), Some(&["a".to_owned()][..]));
        assert_eq!(conditions.get("s3:delimiter"), None);
        assert_eq!(conditions.get("s3:found"), Some(&["c".to_owned()][..]));
        assert_eq!(conditions.as_sent().get("s3:found"), None);
        let conditions = conditions.as_sent();
        let all = Conditions::default()
            .with("s3:prefix", "a")
            .with("s3:x", "own");
        assert_eq!(conditions, all);
    }

    #[test]
    fn what_was_missed_is_told() {
        let conditions = Conditions::default()
            .with("s3:existingobjecttag/a", "1")
            .without(&["s3:existingobjecttag/"]);
        assert!(conditions.get("s3:ExistingObjectTag/a").is_some());
        assert_eq!(conditions.get("s3:prefix"), None);
        assert!(!conditions.was_missed());
        assert_eq!(conditions.get("s3:ExistingObjectTag/b"), None);
        assert!(conditions.was_missed());
        assert!(!conditions.complete().was_missed());
    }
}
