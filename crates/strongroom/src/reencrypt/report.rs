//! What a job came to: a summary for a person, and a file with every skipped version.
//!
//! The file is written as the job goes on, under another name until it is whole: a bucket may hold
//! more skipped versions than memory does.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::admin::{ReEncryptedPage, Skipped};
use crate::cli::reencrypt::ReencryptArgs;
use crate::failure::{Exit, Failure};
use crate::output;

/// Skipped versions that the summary names.
const NAMED_MAX: usize = 10;
/// Reasons that are counted apart.
const REASONS_MAX: usize = 50;

/// The report of one run.
pub(super) struct Report {
    title: String,
    /// What is printed as JSON in place of the summary, but for the counts.
    json: Option<serde_json::Value>,
    file: Option<ReportFile>,
    last: Option<ReEncryptedPage>,
    /// Skipped by earlier runs of the same job, which had told why.
    skipped_before: u64,
    reasons: BTreeMap<String, u64>,
    named: Vec<String>,
    skipped_here: u64,
}

struct ReportFile {
    path: PathBuf,
    partial: PathBuf,
    out: BufWriter<File>,
    is_first: bool,
}

impl Report {
    /// Begins the file, if one is wanted: better now than after hours.
    ///
    /// # Errors
    ///
    /// [`Exit::Environment`] when it cannot be made.
    pub(super) fn begin(args: &ReencryptArgs) -> Result<Self, Failure> {
        let file = args
            .report
            .as_deref()
            .map(|path| ReportFile::create(path, args).map_err(|error| unwritable(path, &error)));
        let bucket_key = if args.bucket_key {
            " with a bucket key"
        } else {
            ""
        };
        Ok(Self {
            title: format!(
                "{} under {}{bucket_key}",
                shown(&format!(
                    "s3://{}/{}",
                    args.target.bucket, args.target.prefix
                )),
                args.kms_key
            ),
            json: args.json.then(|| {
                json!({
                    "bucket": args.target.bucket.to_string(),
                    "prefix": args.target.prefix,
                    "kms_key_arn": args.kms_key.to_string(),
                    "bucket_key_enabled": args.bucket_key,
                })
            }),
            file: file.transpose()?,
            last: None,
            skipped_before: 0,
            reasons: BTreeMap::new(),
            named: Vec::new(),
            skipped_here: 0,
        })
    }

    /// Takes in a page.
    ///
    /// # Errors
    ///
    /// [`Exit::Environment`] when the file cannot be written.
    pub(super) fn add(&mut self, page: &ReEncryptedPage) -> Result<(), Failure> {
        let here = u64::try_from(page.skipped_here.len()).unwrap_or(u64::MAX);
        if self.last.is_none() {
            self.skipped_before = page.skipped.saturating_sub(here);
        }
        self.skipped_here = self.skipped_here.saturating_add(here);
        for skipped in &page.skipped_here {
            self.count_reason(&skipped.reason);
            if self.named.len() < NAMED_MAX {
                self.named.push(named(skipped));
            }
        }
        if let Some(file) = &mut self.file {
            let written = page.skipped_here.iter().try_for_each(|one| file.add(one));
            written.map_err(|error| unwritable(&file.path, &error))?;
        }
        self.last = Some(ReEncryptedPage {
            skipped_here: Vec::new(),
            ..*page
        });
        Ok(())
    }

    /// Prints the summary and ends the file; `stopped` says why the job is not done. Answers how
    /// many versions should have been updated and were not.
    ///
    /// # Errors
    ///
    /// [`Exit::Environment`] when the file cannot be written.
    pub(super) fn finish(self, stopped: Option<&str>) -> Result<u64, Failure> {
        let Some(last) = &self.last else {
            // Nothing was begun: the failure says it all, and there is nothing to report.
            return self.file.map_or(Ok(0), |file| {
                let removed = std::fs::remove_file(&file.partial);
                removed
                    .map(|()| 0)
                    .map_err(|error| unwritable(&file.path, &error))
            });
        };
        if let Some(mut document) = self.json {
            if let Some(file) = self.file {
                let path = file.path.clone();
                file.finish(last, self.skipped_before, stopped)
                    .map_err(|error| unwritable(&path, &error))?;
            }
            if let Some(members) = document.as_object_mut() {
                for (name, value) in [
                    ("looked_at", json!(last.looked_at)),
                    ("updated", json!(last.updated)),
                    ("already", json!(last.already)),
                    ("skipped", json!(last.skipped)),
                    ("failed", json!(last.failed)),
                    ("skipped_in_earlier_runs", json!(self.skipped_before)),
                    ("skipped_for", json!(self.reasons)),
                    ("done", json!(stopped.is_none())),
                    ("stopped", json!(stopped)),
                ] {
                    members.insert(name.to_owned(), value);
                }
            }
            output::say(&document.to_string())?;
            return Ok(last.failed);
        }
        let state = if stopped.is_some() {
            "not done yet"
        } else {
            "done"
        };
        output::say(&format!("{}: {state}", self.title))?;
        for (name, count) in [
            ("looked at", last.looked_at),
            ("updated", last.updated),
            ("so already", last.already),
            ("skipped", last.skipped),
        ] {
            output::say(&format!("  {name:<10} {count:>10}"))?;
        }
        for (reason, count) in &self.reasons {
            output::say(&format!("    {count:>10} {reason}"))?;
        }
        if self.skipped_before > 0 {
            output::say(&format!(
                "    {:>10} in earlier runs; to see them again, run the command again at the end",
                self.skipped_before
            ))?;
        }
        for named in &self.named {
            output::say(&format!("  skipped {named}"))?;
        }
        let named = u64::try_from(self.named.len()).unwrap_or(u64::MAX);
        if self.skipped_here > named && self.file.is_none() {
            let more = self.skipped_here.saturating_sub(named);
            output::say(&format!("  and {more} more: --report FILE.json names all"))?;
        }
        if let Some(file) = self.file {
            let path = file.path.clone();
            file.finish(last, self.skipped_before, stopped)
                .map_err(|error| unwritable(&path, &error))?;
            output::say(&format!("  report in {}", path.display()))?;
        }
        Ok(last.failed)
    }

    fn count_reason(&mut self, reason: &str) {
        let is_known = self.reasons.contains_key(reason);
        let reason = if is_known || self.reasons.len() < REASONS_MAX {
            reason
        } else {
            "other reasons"
        };
        let count = self.reasons.entry(reason.to_owned()).or_default();
        *count = count.saturating_add(1);
    }
}

impl ReportFile {
    fn create(path: &Path, args: &ReencryptArgs) -> io::Result<Self> {
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let mut out = BufWriter::new(File::create(&partial)?);
        let target = &args.target;
        write!(
            out,
            "{{\n\"bucket\": {},\n\"prefix\": {},\n\"kms_key_arn\": {},\n\"bucket_key_enabled\": \
             {},\n\"skipped_versions\": [",
            json!(target.bucket.to_string()),
            json!(target.prefix),
            json!(args.kms_key.to_string()),
            args.bucket_key
        )?;
        Ok(Self {
            path: path.to_owned(),
            partial,
            out,
            is_first: true,
        })
    }

    fn add(&mut self, skipped: &Skipped) -> io::Result<()> {
        let separator = if std::mem::take(&mut self.is_first) {
            "\n"
        } else {
            ",\n"
        };
        let Skipped {
            key,
            version,
            reason,
            failed,
        } = skipped;
        let entry = json!({
            "key": key, "version_id": version, "reason": reason, "failed": failed,
        });
        write!(self.out, "{separator}{entry}")
    }

    fn finish(
        mut self,
        last: &ReEncryptedPage,
        skipped_before: u64,
        stopped: Option<&str>,
    ) -> io::Result<()> {
        write!(
            self.out,
            "\n],\n\"skipped_in_earlier_runs\": {skipped_before},\n\"looked_at\": {},\n\"updated\": \
             {},\n\"already\": {},\n\"skipped\": {},\n\"failed\": {},\n\"done\": {},\n\"stopped\": \
             {}\n}}\n",
            last.looked_at,
            last.updated,
            last.already,
            last.skipped,
            last.failed,
            stopped.is_none(),
            json!(stopped)
        )?;
        let file = self
            .out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        std::fs::rename(&self.partial, &self.path)
    }
}

fn named(skipped: &Skipped) -> String {
    let version = skipped.version.as_deref().unwrap_or("unreadable");
    let reason = &skipped.reason;
    format!("{} (version {version}): {reason}", shown(&skipped.key))
}

/// A name for a terminal: control characters of an object's key must not reach it.
fn shown(name: &str) -> String {
    name.escape_debug().to_string()
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Environment,
        format!("the report {} cannot be written: {error}", path.display()),
        "name another file with --report; what is done stays done",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_cannot_write_to_the_terminal() {
        let skipped = Skipped {
            key: "a\x1b[2J\nb".to_owned(),
            version: None,
            reason: "why".to_owned(),
            failed: true,
        };
        let text = named(&skipped);
        assert!(!text.contains(['\x1b', '\n']), "{text:?}");
        assert!(text.ends_with("(version unreadable): why"));
    }
}
