//! What a store says of a key and of what depends on it, one page after the other: the running
//! server for its admin socket, or the command itself while no server runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strongroom_audit::trails::trails_under_key;
use strongroom_kms::{KeyService, KeyStanding, KmsError};
use strongroom_rows::{RowError, SealedRows};
use strongroom_s3::{DependentCounts, Dependents, DependentsPage, DependentsPlace, KeyNames};
use strongroom_types::kms::KeyArn;
use strongroom_types::{AccountId, Region, Timestamp};

use crate::admin::malformed;
use crate::failure::{Exit, Failure};

/// Rows of a page.
const PAGE_ROWS: usize = 1000;

/// What is asked.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum ImpactAsk {
    /// How things stand with a key.
    Key {
        /// Its id, ARN or alias.
        key: String,
    },
    /// How many rows there are to look at, page by page.
    Count {
        /// The `next` of the page before.
        from: Option<String>,
    },
    /// What depends on a key, page by page.
    Page {
        /// The key's ARN.
        arn: String,
        /// The `next` of the page before.
        from: Option<String>,
    },
}

/// What is answered.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(tag = "impact", rename_all = "kebab-case")]
pub(crate) enum ImpactAnswer {
    /// To [`ImpactAsk::Key`].
    Key(Box<KeyShown>),
    /// To [`ImpactAsk::Count`].
    Counted {
        /// Rows of this page.
        count: u64,
        /// Where the next page begins, if there is one.
        next: Option<String>,
    },
    /// To [`ImpactAsk::Page`].
    Page(Box<ImpactPage>),
}

/// A key.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct KeyShown {
    pub(crate) arn: String,
    /// AWS's word, or `Deleted` where there is no such key (any more).
    pub(crate) state: String,
    /// `CUSTOMER` or `AWS`; none of a key that is not there, as of what follows.
    pub(crate) manager: Option<String>,
    pub(crate) origin: Option<String>,
    /// ISO 8601.
    pub(crate) deletion_date: Option<String>,
    /// When imported material expires, ISO 8601.
    pub(crate) valid_to: Option<String>,
    pub(crate) aliases: Vec<String>,
    pub(crate) grants: u64,
    /// ISO 8601.
    pub(crate) last_used: Option<String>,
    /// The operation.
    pub(crate) last_used_for: Option<String>,
    /// Oldest first.
    pub(crate) materials: Vec<MaterialShown>,
    /// ARNs of trails that encrypt their log files with the key.
    pub(crate) trails: Vec<String>,
}

impl KeyShown {
    /// One that is not there (any more).
    pub(super) fn deleted(arn: String, trails: Vec<String>) -> Self {
        Self {
            arn,
            state: "Deleted".to_owned(),
            manager: None,
            origin: None,
            deletion_date: None,
            valid_to: None,
            aliases: Vec::new(),
            grants: 0,
            last_used: None,
            last_used_for: None,
            materials: Vec::new(),
            trails,
        }
    }

    /// Whether there is such a key.
    pub(super) const fn is_there(&self) -> bool {
        self.manager.is_some()
    }
}

/// One material of a key.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct MaterialShown {
    pub(crate) key_material_id: String,
    /// ISO 8601; none of one that the key does not know.
    pub(crate) created: Option<String>,
    /// It encrypts.
    pub(crate) current: bool,
    /// It is there.
    pub(crate) available: bool,
    /// Data keys and bucket keys of versions and uploads that are wrapped under it.
    pub(crate) wrapped_keys: u64,
}

/// One page of what depends on a key.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct ImpactPage {
    pub(crate) looked_at: u64,
    pub(crate) buckets: Vec<BucketShown>,
    /// Wrapped keys by the id of the material.
    pub(crate) materials: BTreeMap<String, u64>,
    /// Rows that do not verify.
    pub(crate) damaged: u64,
    pub(crate) next: Option<String>,
}

/// What depends on a key in a bucket.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct BucketShown {
    pub(crate) bucket: String,
    pub(crate) account: String,
    /// Its default encryption names the key.
    pub(crate) default_encryption: bool,
    #[serde(flatten, with = "CountsShown")]
    pub(crate) counts: DependentCounts,
}

/// How [`DependentCounts`] are told.
#[derive(Serialize, Deserialize)]
#[serde(remote = "DependentCounts")]
pub(super) struct CountsShown {
    objects: u64,
    versions: u64,
    bytes: u64,
    bucket_key_versions: u64,
    dsse_versions: u64,
    uploads: u64,
}

/// A store that is asked.
pub(crate) struct ImpactSource<'a> {
    pub(crate) rows: &'a SealedRows,
    /// Where ids and aliases without an account are looked for.
    pub(crate) home: (AccountId, &'a Region),
    pub(crate) now: Timestamp,
    /// The running service, which knows of uses that no row remembers yet.
    pub(crate) kms: Option<&'a KeyService>,
}

impl ImpactSource<'_> {
    /// Answers.
    ///
    /// # Errors
    ///
    /// [`Exit::General`] for what names no key; [`Exit::Store`].
    pub(crate) fn answer(&self, ask: &ImpactAsk) -> Result<ImpactAnswer, Failure> {
        Ok(match ask {
            ImpactAsk::Key { key } => ImpactAnswer::Key(Box::new(self.key(key)?)),
            ImpactAsk::Count { from } => {
                let from = from.as_deref().map(unhex).transpose()?;
                let counted = Dependents::count(self.rows, from.as_deref(), PAGE_ROWS);
                let (count, next) = counted.map_err(|error| unreadable(&error))?;
                let next = next.map(hex::encode);
                ImpactAnswer::Counted { count, next }
            }
            ImpactAsk::Page { arn, from } => {
                let arn = KeyArn::parse(arn).ok_or_else(malformed)?;
                let from = from.as_deref().map(unhex).transpose()?;
                let place = from.map(|it| DependentsPlace::parse(&it).ok_or_else(malformed));
                ImpactAnswer::Page(Box::new(self.page(arn, place.transpose()?)?))
            }
        })
    }

    fn key(&self, text: &str) -> Result<KeyShown, Failure> {
        let arn = KeyStanding::named(self.rows, self.home, text);
        let arn = arn.map_err(|error| refused(&error))?;
        let standing = match self.kms {
            Some(kms) => kms.standing_of(&arn),
            None => KeyStanding::read(self.rows, &arn, self.now),
        };
        let standing = standing.map_err(|error| refused(&error))?;
        let text = arn.to_string();
        let trails = trails_under_key(self.rows, &text).map_err(|error| {
            Failure::new(
                Exit::Store,
                format!("the trails cannot be read: {error}"),
                "look at the server's log",
            )
        })?;
        let trails = trails.iter().map(|trail| {
            format!(
                "arn:aws:cloudtrail:{}:{}:trail/{}",
                trail.region, trail.account, trail.name
            )
        });
        Ok(shown(text, standing, trails.collect()))
    }

    fn page(&self, arn: KeyArn, from: Option<DependentsPlace>) -> Result<ImpactPage, Failure> {
        let aliases = KeyStanding::aliases(self.rows, &arn).map_err(|error| refused(&error))?;
        let keys = [KeyNames { arn, aliases }];
        let page = Dependents::new(self.rows, &keys).page(from, PAGE_ROWS);
        let DependentsPage {
            looked_at,
            found,
            materials,
            damaged,
            next,
        } = page.map_err(|error| unreadable(&error))?;
        let buckets = found.into_iter().map(|(_, it)| BucketShown {
            bucket: it.bucket.to_string(),
            account: it.owner.to_string(),
            default_encryption: it.default_encryption,
            counts: it.counts,
        });
        let materials = materials.into_iter();
        Ok(ImpactPage {
            looked_at,
            buckets: buckets.collect(),
            materials: materials
                .map(|((_, id), count)| (id.to_string(), count))
                .collect(),
            damaged,
            next: next.map(|next| hex::encode(next.to_bytes())),
        })
    }
}

fn shown(arn: String, standing: Option<KeyStanding>, trails: Vec<String>) -> KeyShown {
    let Some(standing) = standing else {
        return KeyShown::deleted(arn, trails);
    };
    let KeyStanding {
        arn: _,
        state,
        manager,
        origin,
        deletion,
        valid_to,
        materials,
        aliases,
        grants,
        last_use,
    } = standing;
    let materials = materials.into_iter().map(|it| MaterialShown {
        key_material_id: it.id.to_string(),
        created: Some(it.created.to_iso8601()),
        current: it.current,
        available: it.available,
        wrapped_keys: 0,
    });
    KeyShown {
        arn,
        state: state.name().to_owned(),
        manager: Some(manager.name().to_owned()),
        origin: Some(origin.name().to_owned()),
        deletion_date: deletion.map(Timestamp::to_iso8601),
        valid_to: valid_to.map(Timestamp::to_iso8601),
        aliases: aliases.iter().map(ToString::to_string).collect(),
        grants,
        last_used: last_use.as_ref().map(|last| last.timestamp.to_iso8601()),
        last_used_for: last_use.map(|last| last.operation),
        materials: materials.collect(),
        trails,
    }
}

fn unhex(text: &str) -> Result<Vec<u8>, Failure> {
    hex::decode(text).map_err(|_| malformed())
}

fn unreadable(error: &RowError) -> Failure {
    Failure::new(
        Exit::Store,
        format!("the store cannot be read: {error}"),
        "look at the disk, and at the server's log",
    )
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what else there is has no remedy of its own"
)]
fn refused(error: &KmsError) -> Failure {
    match error {
        KmsError::NotFound(what) => Failure::new(
            Exit::General,
            format!("there is no such key: {what}"),
            "see which there are: aws kms list-keys, aws kms list-aliases; a key of another account \
             is named by its ARN",
        ),
        other => Failure::new(
            Exit::Store,
            format!("the key cannot be read: {other}"),
            "look at the server's log",
        ),
    }
}
