//! What was verified, and what was found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Findings that a report lists; those beyond are counted only.
pub const FINDINGS_MAX: usize = 1000;

/// The outcome of a run.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Beside a running server.
    pub on_line: bool,
    /// With the key ring: tags were verified, and rows were read. Without it, checksums alone were,
    /// which find damage and not tampering.
    pub with_keys: bool,
    /// Stopped before its end: what is not reported was perhaps not looked at.
    pub incomplete: bool,
    /// By bucket, and in it by mode of encryption.
    pub buckets: BTreeMap<String, BucketCounts>,
    /// Rows that were opened, by number of the table.
    pub rows: BTreeMap<u8, u64>,
    /// Everything else in the data directory.
    pub files: FileCounts,
    /// What is there and belongs to nothing, or not yet, or not any more.
    pub waiting: WaitingCounts,
    /// Keys of the key service that cannot be used now, by ARN. Of what is under them the checksums
    /// were verified. No damage.
    pub unavailable_keys: BTreeMap<String, UnavailableKey>,
    /// The audit trail, by lane, if there is one.
    pub audit: BTreeMap<String, AuditCounts>,
    /// Without keys: blob files by the version of the root key under which their footers are. More
    /// than one is a rotation that is not finished, or older copies that were put back.
    #[serde(default)]
    pub root_key_versions: BTreeMap<u32, u64>,
    /// Files that are not encrypted, and belong there.
    pub plaintext_files: Vec<String>,
    /// What could not be verified without keys, in words.
    pub unchecked: Vec<String>,
    /// How many findings are damage.
    pub damaged: u64,
    /// How many are files that are none of the store's.
    pub foreign: u64,
    /// How many are remains that the next start or the collector removes.
    pub leftovers: u64,
    /// The first thousand.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub more_findings: u64,
}

/// Of one bucket.
#[derive(Clone, Default, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketCounts {
    /// Delete markers.
    pub delete_markers: u64,
    /// Multipart uploads in progress.
    pub uploads: u64,
    /// Their parts.
    pub upload_parts: u64,
    /// Versions by mode: `AES256`, `aws:kms`, `aws:kms:dsse`, `SSE-C`; what lies in blobs without
    /// rows or keys by layers.
    pub modes: BTreeMap<String, ModeCounts>,
}

/// Of one bucket and mode.
#[derive(Clone, Default, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModeCounts {
    /// Object versions.
    pub versions: u64,
    /// Their stored streams: one, or one a part.
    pub streams: u64,
    /// Bytes of plaintext.
    pub bytes: u64,
    /// Wrapped keys that were opened.
    pub keys_opened: u64,
    /// Segments of which the tag was verified, both tags of two layers.
    pub segments: u64,
    /// Segments of which the checksum alone was: no key was at hand.
    pub segments_by_checksum: u64,
    /// Versions whose customer key nobody gave.
    pub without_customer_key: u64,
    /// Versions whose KMS key cannot be used now.
    pub under_unavailable_keys: u64,
}

/// What is not of an object.
#[derive(Clone, Default, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCounts {
    /// Journal files.
    pub journals: u64,
    /// Commits' frames in them.
    pub journal_frames: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Their frames.
    pub snapshot_frames: u64,
    /// Pages of the index whose tags were verified.
    pub index_pages: u64,
    /// Copies of the key ring.
    pub ring_copies: u64,
    /// Copies of shred files.
    pub shred_files: u64,
    /// Key materials that open.
    pub materials: u64,
    /// Blob files.
    pub blobs: u64,
    /// Part lists of multipart objects.
    pub part_lists: u64,
}

/// What belongs to nothing, or not yet, or not any more.
#[derive(Clone, Default, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingCounts {
    /// Blobs of deleted versions and replaced parts: the collector removes them.
    pub garbage_blobs: u64,
    /// Blobs without a row: being written, or left by a crash; the orphan sweep removes the latter.
    pub orphan_blobs: u64,
    /// Rows of blobs that are not there, and that no version names: the collector was at it.
    pub orphan_rows: u64,
    /// Blobs with a row, without a version that names them.
    pub unreferenced_blobs: u64,
    /// Files being written.
    pub staging_files: u64,
    /// Shred files that no key material names.
    pub orphan_shreds: u64,
    /// Rows in the garbage table.
    pub garbage_rows: u64,
}

/// A key that cannot be used now.
#[derive(Clone, Default, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnavailableKey {
    /// `Disabled`, `PendingDeletion`, `BeingDestroyed`, `Deleted`, `PendingImport`, `Elsewhere`.
    pub state: String,
    /// Versions under it.
    pub versions: u64,
}

/// Of one lane of the audit trail.
#[derive(Clone, Default, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCounts {
    /// Batches of the chain.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
    /// Events that wait for their batch.
    pub waiting: u64,
}

/// What kind of finding it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Not what was written, or not there.
    Damage,
    /// Not the store's.
    Foreign,
    /// Remains of a crash, harmless: the next start, the collector or the sweep removes them.
    Leftover,
}

/// Something that was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What kind.
    pub kind: Kind,
    /// What is so: `segment`, `header`, `footer`, `missing`, `row`, ...
    pub what: String,
    /// In words.
    pub why: String,
    /// The bucket.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bucket: Option<String>,
    /// The object's key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// The version id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version_id: Option<String>,
    /// The part's number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub part: Option<u16>,
    /// The file, from the data directory.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file: Option<String>,
    /// Where in the file, or in the stored stream of an object within the journal, it begins.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset: Option<u64>,
}

impl Finding {
    /// Damage of something.
    pub fn damage(what: &str, why: impl Into<String>) -> Self {
        Self {
            kind: Kind::Damage,
            what: what.to_owned(),
            why: why.into(),
            bucket: None,
            key: None,
            version_id: None,
            part: None,
            file: None,
            offset: None,
        }
    }

    /// The same of another kind.
    #[must_use]
    pub fn of_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// In a file.
    #[must_use]
    pub fn in_file(self, file: impl Into<String>) -> Self {
        Self {
            file: Some(file.into()),
            ..self
        }
    }

    /// At an offset.
    #[must_use]
    pub fn at(self, offset: u64) -> Self {
        Self {
            offset: Some(offset),
            ..self
        }
    }
}

impl Report {
    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        match finding.kind {
            Kind::Damage => self.damaged += 1,
            Kind::Foreign => self.foreign += 1,
            Kind::Leftover => self.leftovers += 1,
        }
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }

    /// All buckets and modes together.
    pub fn totals(&self) -> ModeCounts {
        let mut all = ModeCounts::default();
        for mode in self.buckets.values().flat_map(|it| it.modes.values()) {
            let ModeCounts {
                versions,
                streams,
                bytes,
                keys_opened,
                segments,
                segments_by_checksum,
                without_customer_key,
                under_unavailable_keys,
            } = mode;
            all.versions += versions;
            all.streams += streams;
            all.bytes += bytes;
            all.keys_opened += keys_opened;
            all.segments += segments;
            all.segments_by_checksum += segments_by_checksum;
            all.without_customer_key += without_customer_key;
            all.under_unavailable_keys += under_unavailable_keys;
        }
        all
    }
}
