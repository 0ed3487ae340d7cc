//! What `kms impact` says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use strongroom_s3::DependentCounts;

use super::source::{BucketShown, CountsShown, ImpactPage, KeyShown, MaterialShown};

/// Buckets that people are shown; all are in the JSON.
const BUCKETS_SHOWN: usize = 40;

/// Everything that depends on a key.
#[derive(Serialize, Debug)]
pub(super) struct Report {
    pub(super) key: KeyShown,
    /// Whether anything that the server knows of depends on the key.
    pub(super) in_use: bool,
    /// In all buckets together.
    pub(super) unreadable: Sum,
    pub(super) accounts: BTreeMap<String, Sum>,
    /// Those in which something depends on the key, by name.
    pub(super) buckets: Vec<BucketShown>,
    /// Those whose default encryption names the key.
    pub(super) default_encryption: Vec<String>,
    /// Rows of versions and uploads that were looked at.
    pub(super) looked_at: u64,
    /// Rows that do not verify: what they need is not known.
    pub(super) damaged_rows: u64,
    #[serde(skip)]
    found: BTreeMap<String, BucketShown>,
}

/// What depends on a key in several buckets.
#[derive(Serialize, Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Sum {
    /// Buckets that hold some of it.
    pub(super) buckets: u64,
    #[serde(flatten, with = "CountsShown")]
    pub(super) counts: DependentCounts,
}

impl Report {
    /// Nothing is counted yet.
    pub(super) fn new(key: KeyShown) -> Self {
        Self {
            key,
            in_use: false,
            unreadable: Sum::default(),
            accounts: BTreeMap::new(),
            buckets: Vec::new(),
            default_encryption: Vec::new(),
            looked_at: 0,
            damaged_rows: 0,
            found: BTreeMap::new(),
        }
    }

    /// Adds a page.
    pub(super) fn add(&mut self, page: ImpactPage) {
        let ImpactPage {
            looked_at,
            buckets,
            materials,
            damaged,
            next: _,
        } = page;
        self.looked_at = self.looked_at.saturating_add(looked_at);
        self.damaged_rows = self.damaged_rows.saturating_add(damaged);
        for bucket in buckets {
            self.unreadable.counts.add(&bucket.counts);
            match self.found.get_mut(&bucket.bucket) {
                Some(found) => {
                    found.counts.add(&bucket.counts);
                    found.default_encryption |= bucket.default_encryption;
                }
                None => {
                    self.found.insert(bucket.bucket.clone(), bucket);
                }
            }
        }
        for (id, count) in materials {
            let known = self.key.materials.iter_mut();
            let known = known.into_iter().find(|it| it.key_material_id == id);
            match known {
                Some(material) => {
                    material.wrapped_keys = material.wrapped_keys.saturating_add(count);
                }
                // Of a key that is gone.
                None => self.key.materials.push(MaterialShown {
                    key_material_id: id,
                    created: None,
                    current: false,
                    available: false,
                    wrapped_keys: count,
                }),
            }
        }
    }

    /// The whole, once everything was looked at.
    pub(super) fn finish(mut self) -> Self {
        for (name, bucket) in std::mem::take(&mut self.found) {
            if bucket.default_encryption {
                self.default_encryption.push(name);
            }
            if bucket.counts.is_nothing() {
                continue;
            }
            self.unreadable.buckets += 1;
            let account = self.accounts.entry(bucket.account.clone()).or_default();
            account.buckets += 1;
            account.counts.add(&bucket.counts);
            self.buckets.push(bucket);
        }
        self.in_use = !self.unreadable.counts.is_nothing()
            || !self.default_encryption.is_empty()
            || !self.key.trails.is_empty();
        self
    }
}

/// The report for people.
pub(super) fn text(report: &Report) -> String {
    let mut out = String::new();
    key_text(&mut out, &report.key);
    let Sum { buckets, counts } = &report.unreadable;
    let when = match report.key.state.as_str() {
        "Enabled" => "Without the key, this cannot be read:",
        "Disabled" => "The key is disabled. Until it is enabled, this cannot be read:",
        "PendingDeletion" => {
            "The key is to be deleted. This cannot be read now, and is lost for good then:"
        }
        "PendingImport" => "Key material is missing. Until it is imported, this cannot be read:",
        _ => "There is no such key (any more). This cannot be read:",
    };
    line(&mut out, format_args!("\n{when}"));
    if counts.is_nothing() {
        line(&mut out, format_args!("  nothing"));
    } else {
        let DependentCounts {
            objects,
            versions,
            bytes,
            bucket_key_versions,
            dsse_versions,
            uploads,
        } = counts;
        line(
            &mut out,
            format_args!("  objects   {objects}  (their current version)"),
        );
        line(
            &mut out,
            format_args!(
                "  versions  {versions}  (all of them; {bucket_key_versions} under bucket keys, {dsse_versions} with two layers)"
            ),
        );
        line(
            &mut out,
            format_args!("  bytes     {bytes}{}", in_units(*bytes)),
        );
        line(
            &mut out,
            format_args!("  uploads   {uploads}  (in progress)"),
        );
        line(&mut out, format_args!("  buckets   {buckets}"));
        buckets_text(&mut out, report);
    }
    if !report.default_encryption.is_empty() {
        line(
            &mut out,
            format_args!(
                "\nNew objects of these buckets go under it by default: {}",
                report.default_encryption.join(", ")
            ),
        );
    }
    if !report.key.trails.is_empty() {
        line(
            &mut out,
            format_args!(
                "\nThese trails encrypt their log files with it: {}",
                report.key.trails.join(", ")
            ),
        );
    }
    line(
        &mut out,
        format_args!(
            "\nNot counted is what clients have encrypted themselves with kms:Encrypt or a data key: \
             only they know."
        ),
    );
    if report.key.state == "PendingDeletion" {
        line(
            &mut out,
            format_args!(
                "To keep the key: aws kms cancel-key-deletion --key-id {0} && aws kms enable-key --key-id {0}",
                report.key.arn
            ),
        );
    }
    out
}

fn key_text(out: &mut String, key: &KeyShown) {
    let KeyShown {
        arn,
        state,
        manager,
        origin,
        deletion_date,
        valid_to,
        aliases,
        grants,
        last_used,
        last_used_for,
        materials,
        trails: _,
    } = key;
    let or = |list: &[String]| match list {
        [] => "none".to_owned(),
        some => some.join(", "),
    };
    line(out, format_args!("key        {arn}"));
    let until = deletion_date
        .as_ref()
        .map(|date| format!(", deleted at {date}"))
        .unwrap_or_default();
    line(out, format_args!("state      {state}{until}"));
    if manager.as_deref() == Some("AWS") {
        line(out, format_args!("manager    AWS: it cannot be deleted"));
    }
    if let (Some("EXTERNAL"), Some(valid_to)) = (origin.as_deref(), valid_to) {
        line(out, format_args!("expires    {valid_to}"));
    }
    if key.is_there() {
        line(out, format_args!("aliases    {}", or(aliases)));
        line(out, format_args!("grants     {grants}"));
        let used = match (last_used, last_used_for) {
            (Some(at), Some(operation)) => format!("{at} for {operation}"),
            _ => "never, as far as is known".to_owned(),
        };
        line(out, format_args!("last used  {used}"));
    }
    for material in materials {
        let MaterialShown {
            key_material_id,
            created,
            current,
            available,
            wrapped_keys,
        } = material;
        let short: String = key_material_id.chars().take(12).collect();
        let since = created
            .as_ref()
            .map(|at| format!(" of {at}"))
            .unwrap_or_default();
        let state = match (current, available) {
            (_, false) => ", missing",
            (true, true) => ", current",
            (false, true) => "",
        };
        line(
            out,
            format_args!("material   {short}{since}{state}: {wrapped_keys} wrapped keys"),
        );
    }
}

fn buckets_text(out: &mut String, report: &Report) {
    line(
        out,
        format_args!("\n  account       objects   versions            bytes  uploads  bucket"),
    );
    let mut largest: Vec<&BucketShown> = report.buckets.iter().collect();
    largest.sort_by_key(|it| std::cmp::Reverse(it.counts.bytes));
    for bucket in largest.iter().take(BUCKETS_SHOWN) {
        row(out, &bucket.account, &bucket.counts, &bucket.bucket);
    }
    if let Some(more) = largest
        .len()
        .checked_sub(BUCKETS_SHOWN)
        .filter(|it| *it > 0)
    {
        line(out, format_args!("  ... and {more} more; --json shows all"));
    }
    if report.accounts.len() > 1 {
        for (account, sum) in &report.accounts {
            let what = format!("(all {} of the account)", sum.buckets);
            row(out, account, &sum.counts, &what);
        }
    }
}

fn row(out: &mut String, account: &str, counts: &DependentCounts, what: &str) {
    let DependentCounts {
        objects,
        versions,
        bytes,
        uploads,
        ..
    } = counts;
    line(
        out,
        format_args!("  {account}{objects:>9}  {versions:>9}  {bytes:>15}  {uploads:>7}  {what}"),
    );
}

/// ` (1.5 GiB)`, from a KiB on.
fn in_units(bytes: u64) -> String {
    let mut shift = 0;
    let mut unit = "";
    for (larger, name) in [
        (10, "KiB"),
        (20, "MiB"),
        (30, "GiB"),
        (40, "TiB"),
        (50, "PiB"),
    ] {
        if bytes >> larger > 0 {
            (shift, unit) = (larger, name);
        }
    }
    if shift == 0 {
        return String::new();
    }
    let tenths = (u128::from(bytes) * 10) >> shift;
    format!("  ({}.{} {unit})", tenths / 10, tenths % 10)
}

fn line(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_units() {
        let shown = [0, 1023, 1024, 1536, (5 << 30) + (1 << 29), u64::MAX].map(in_units);
        assert_eq!(
            shown,
            [
                "",
                "",
                "  (1.0 KiB)",
                "  (1.5 KiB)",
                "  (5.5 GiB)",
                "  (16383.9 PiB)"
            ]
        );
    }

    #[test]
    fn pages_of_one_bucket_add_up_and_buckets_without_anything_are_left_out() {
        let counts = DependentCounts {
            objects: 1,
            versions: 2,
            bytes: 3,
            ..DependentCounts::default()
        };
        let bucket = |name: &str, counts| BucketShown {
            bucket: name.to_owned(),
            account: "111122223333".to_owned(),
            default_encryption: name == "empty",
            counts,
        };
        let page = |buckets| ImpactPage {
            looked_at: 2,
            buckets,
            materials: BTreeMap::from([("ab".to_owned(), 2)]),
            damaged: 0,
            next: None,
        };
        let mut report = Report::new(KeyShown::deleted("arn".to_owned(), Vec::new()));
        report.add(page(vec![
            bucket("empty", DependentCounts::default()),
            bucket("a", counts),
        ]));
        report.add(page(vec![bucket("a", counts)]));
        let report = report.finish();
        assert!(report.in_use);
        assert_eq!(report.unreadable.buckets, 1);
        assert_eq!(report.unreadable.counts.versions, 4);
        assert_eq!(report.default_encryption, ["empty"]);
        let [only] = report.buckets.as_slice() else {
            panic!("{:?}", report.buckets);
        };
        assert_eq!((only.counts.bytes, only.bucket.as_str()), (6, "a"));
        let [material] = report.key.materials.as_slice() else {
            panic!("{:?}", report.key.materials);
        };
        assert_eq!(material.wrapped_keys, 4);
        assert!(text(&report).contains("cannot be read:\n  objects   2"));
    }
}
