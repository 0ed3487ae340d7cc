//! What came of it, truthfully.

use std::collections::BTreeMap;

use serde::Serialize;

/// What was recovered, and what was not.
#[derive(Clone, Default, Debug, Serialize)]
pub struct Report {
    /// Object versions by how they are encrypted, each with its outcomes.
    pub versions: BTreeMap<String, Counts>,
    /// Bytes of plaintext written.
    pub bytes: u64,
    /// Delete markers: listed, without a file.
    pub delete_markers: u64,
    /// Buckets found.
    pub buckets: u64,
    /// Keys of the key service found, and of them those whose material opens.
    pub kms_keys: u64,
    /// Key materials that open.
    pub kms_materials: u64,
    /// Blobs that no row names: deleted objects and parts that were still to be removed, or what was
    /// written behind rows that are lost.
    pub unclaimed: u64,
    /// Of the versions that are lost, those whose customer key was not given: their ciphertext
    /// agrees with its checksums.
    pub without_customer_key: u64,
    /// Blobs that no row names and that were recovered from what they say of themselves.
    pub unreferenced: u64,
    /// No snapshot and no journal was found: names, inline objects, KMS keys and old versions'
    /// order can come from nowhere else.
    pub without_rows: bool,
    /// Everything that is lost, or may be.
    pub losses: Vec<Loss>,
}

/// How many came out how.
#[derive(Clone, Default, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Whole, every byte verified.
    pub recovered: u64,
    /// Parts without their list.
    pub unproven: u64,
    /// Not.
    pub lost: u64,
}

/// How one object version came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Whole, every byte verified.
    Recovered,
    /// Its stored bytes are not there.
    Missing,
    /// Its stored bytes are not what was written.
    Damaged,
    /// SSE-C, and none of the customer keys that were given opens it.
    NoCustomerKey,
    /// The key of the key service, or its shred file, is not there.
    NoKmsKey,
    /// The data key does not open with this ring.
    NoKey,
    /// Put together from the parts that were found: each is as it was written, but the list of parts
    /// is lost, so some may lack, and an attempt may be another than the one that counted.
    Unproven,
}

/// Something that is lost, or may be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Loss {
    /// What: an object version, a frame of the journal, a row.
    pub what: String,
    /// Why.
    pub why: String,
}

impl Report {
    /// Whether rows are missing, so that versions may be missing without a trace.
    pub fn lacks_rows(&self) -> bool {
        self.without_rows || self.losses.iter().any(|loss| loss.what.starts_with("rows"))
    }

    /// Whether everything that was found came out whole.
    pub fn is_whole(&self) -> bool {
        !self.without_rows && self.losses.is_empty()
    }

    pub(crate) fn lose(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.losses.push(Loss {
            what: what.into(),
            why: why.into(),
        });
    }

    pub(crate) fn count(&mut self, mode: &str, outcome: Outcome, bytes: u64) {
        let counts = self.versions.entry(mode.to_owned()).or_default();
        match outcome {
            Outcome::Recovered => counts.recovered += 1,
            Outcome::Unproven => counts.unproven += 1,
            Outcome::NoCustomerKey => {
                counts.lost += 1;
                self.without_customer_key += 1;
                return;
            }
            Outcome::Missing | Outcome::Damaged | Outcome::NoKmsKey | Outcome::NoKey => {
                counts.lost += 1;
                return;
            }
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl Outcome {
    /// In words.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Recovered => "whole",
            Self::Missing => "its stored bytes are not there",
            Self::Damaged => "its stored bytes are not what was written",
            Self::NoCustomerKey => "none of the customer keys given opens it",
            Self::NoKmsKey => "the material of its KMS key is not there",
            Self::NoKey => "its data key does not open with this ring",
            Self::Unproven => {
                "put together from the newest attempt at each part that was found; the list of parts is lost"
            }
        }
    }
}
