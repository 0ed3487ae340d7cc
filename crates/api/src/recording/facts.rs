//! What comes to light while a call is answered, and only its record tells.

use std::fmt::Display;

use strongroom_audit::Params;
use strongroom_types::AccountId;
use strongroom_types::kms::KeyArn;

/// The kind of resource that a key is.
pub(crate) const KMS_KEY: &str = "AWS::KMS::Key";

/// Something that a call was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// `AWS::KMS::Key`, ...
    pub(crate) kind: &'static str,
    /// Its ARN.
    pub(crate) arn: String,
    /// Whose it is; of objects the records do not say.
    pub(crate) account: Option<AccountId>,
}

/// The keys that an input names, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Named(Vec<KeyName>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum KeyName {
    Key(KeyArn),
    /// What it stands for is known where keys are.
    Alias(String),
}

impl Named {
    /// By ARN or id.
    pub(crate) fn key(&mut self, arn: KeyArn) {
        self.0.push(KeyName::Key(arn));
    }

    /// By alias.
    pub(crate) fn alias(&mut self, alias: String) {
        self.0.push(KeyName::Alias(alias));
    }

    /// Whether there is any alias.
    pub(crate) fn has_aliases(&self) -> bool {
        self.0.iter().any(|it| matches!(it, KeyName::Alias(_)))
    }

    /// The keys without those behind aliases.
    pub(crate) fn without_aliases(&self) -> Facts {
        self.with_aliases(|_| None)
    }

    /// The keys, with those behind aliases as `resolve` knows them.
    pub(crate) fn with_aliases(&self, resolve: impl Fn(&str) -> Option<KeyArn>) -> Facts {
        let mut facts = Facts::default();
        for name in &self.0 {
            match name {
                KeyName::Key(arn) => facts.key(arn),
                KeyName::Alias(alias) => {
                    if let Some(arn) = resolve(alias) {
                        facts.key(&arn);
                    }
                }
            }
        }
        facts
    }
}

/// Facts of an outcome.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// `resources`, in order.
    pub(crate) subjects: Vec<Subject>,
    /// `additionalEventData`.
    pub(crate) additional: Params,
    /// `responseElements`.
    pub(crate) response: Params,
    /// Whose account the call was done to, beside the keys that it names.
    pub(crate) owner: Option<AccountId>,
}

impl Facts {
    /// These facts, with the subjects of `other` where there are none.
    pub(crate) fn or(mut self, other: Self) -> Self {
        if self.subjects.is_empty() {
            self.subjects = other.subjects;
        }
        self
    }

    /// The call was about that key.
    pub(crate) fn key(&mut self, arn: &KeyArn) {
        let account = Some(arn.account);
        self.subject(KMS_KEY, arn.to_string(), account);
    }

    /// The call was about that.
    pub(crate) fn subject(&mut self, kind: &'static str, arn: String, account: Option<AccountId>) {
        let subject = Subject { kind, arn, account };
        if !self.subjects.contains(&subject) {
            self.subjects.push(subject);
        }
    }

    /// One more member of `additionalEventData`.
    pub(crate) fn tell(&mut self, name: &str, value: &impl Display) {
        self.additional = std::mem::take(&mut self.additional).shown(name, value);
    }
}
