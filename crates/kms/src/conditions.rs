//! The condition keys of operations on keys (Developer Guide, "Condition keys for AWS KMS"). Most
//! policies ask for none, so they are collected when one does.
//!
//! `kms:CallerAccount`, `kms:ViaService` and the keys of AWS as a whole follow from the request and are
//! the evaluator's.

use std::sync::Arc;

use strongroom_policy::{ConditionSource, Conditions};
use strongroom_types::kms::{AliasName, EncryptionAlgorithm, EncryptionContext};

use crate::cache::OpenedKey;
use crate::key::Key;

/// In lower case: what takes a scan to know.
const RESOURCE_ALIASES: &str = "kms:resourcealiases";

/// How a request uses a key's cipher.
#[derive(Clone, Copy)]
pub(crate) struct Crypto<'a> {
    pub algorithm: EncryptionAlgorithm,
    pub context: &'a EncryptionContext,
}

/// A key that a decision is about.
pub(crate) enum Subject {
    Opened(Arc<OpenedKey>),
    /// One that is not stored, or not so.
    Imagined(Box<Key>),
}

/// Everything that conditions can ask of a request and its key.
pub(crate) struct KeyConditions {
    pub subject: Subject,
    /// The request's own.
    pub own: Conditions,
    pub crypto: Option<(EncryptionAlgorithm, EncryptionContext)>,
    /// By which alias the request named the key.
    pub alias: Option<AliasName>,
    /// The aliases that the key has; none while they are not known.
    pub aliases: Option<Vec<AliasName>>,
}

impl KeyConditions {
    /// Of a key that is as `key` is, and a request that says nothing of itself.
    pub(crate) fn imagined(key: &Key) -> Self {
        Self {
            subject: Subject::Imagined(Box::new(key.clone())),
            own: Conditions::default(),
            crypto: None,
            alias: None,
            aliases: Some(Vec::new()),
        }
    }

    /// As a decision takes them. One that [missed](Conditions::was_missed) a value asked for the key's
    /// aliases, which were not known.
    pub(crate) fn into_conditions(self) -> Conditions {
        let aliases_known = self.aliases.is_some();
        let conditions = Conditions::of(Arc::new(self));
        if aliases_known {
            conditions
        } else {
            conditions.without(&[RESOURCE_ALIASES])
        }
    }

    fn key(&self) -> &Key {
        match &self.subject {
            Subject::Opened(opened) => &opened.key,
            Subject::Imagined(key) => key,
        }
    }
}

impl ConditionSource for KeyConditions {
    fn conditions(&self) -> Conditions {
        let key = self.key();
        let mut conditions = of_kind(
            self.own.clone(),
            key.spec.name(),
            key.usage.name(),
            key.origin.name(),
        )
        .with("kms:MultiRegion", "false");
        for tag in &key.tags {
            let name = format!("aws:ResourceTag/{}", tag.key);
            conditions = conditions.with_found(&name, &tag.value);
        }
        if let Some((algorithm, context)) = &self.crypto {
            conditions = conditions
                .with_encryption_context(context)
                .with("kms:EncryptionAlgorithm", algorithm.name());
        }
        if let Some(alias) = &self.alias {
            conditions = conditions.with("kms:RequestAlias", alias.as_str());
        }
        match self.aliases.as_deref() {
            None | Some([]) => conditions,
            Some(aliases) => conditions.with_all(
                "kms:ResourceAliases",
                aliases.iter().map(|alias| alias.as_str().to_owned()),
            ),
        }
    }
}

/// What kind of key it is, or shall be, under the names of today and of before.
pub(crate) fn of_kind(conditions: Conditions, spec: &str, usage: &str, origin: &str) -> Conditions {
    conditions
        .with("kms:KeySpec", spec)
        .with("kms:CustomerMasterKeySpec", spec)
        .with("kms:KeyUsage", usage)
        .with("kms:CustomerMasterKeyUsage", usage)
        .with("kms:KeyOrigin", origin)
}
