//! What recovery writes.
//!
//! ```text
//!   OUT/objects/BUCKET/KEY              newest versions, under their keys as paths
//!   OUT/versions/BUCKET/KEY/VERSION-ID  older versions
//!   OUT/unreferenced/BUCKET/KEY/UID     blobs that no row names
//!   OUT/objects.jsonl                   every version: where it is and all that is known of it
//!   OUT/buckets.jsonl, kms-keys.jsonl   the same for buckets, and for keys of the key service
//!   OUT/report.json                     what came of it
//! ```
//!
//! Keys are bytes that may mean anything, paths are not: what is unsafe in a part of a path stands
//! as `%XX`, and a lone `%` behind a name or for an empty one keeps apart what would be one file.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;

use crate::RecoverError;
use crate::report::Report;

/// Longest name of a file that is written as it is, in bytes: file systems take 255.
const NAME_MAX_BYTES: usize = 200;

/// The output directory, or nowhere.
pub(crate) struct Output {
    root: PathBuf,
    lines: Option<Lines>,
}

struct Lines {
    objects: BufWriter<File>,
    buckets: BufWriter<File>,
    kms_keys: BufWriter<File>,
}

impl Output {
    pub(crate) fn create(root: &Path) -> Result<Self, RecoverError> {
        make_dir(root)?;
        let mut entries =
            fs::read_dir(root).map_err(|error| RecoverError::Io(root.to_owned(), error))?;
        if entries.next().is_some() {
            return Err(RecoverError::NotEmpty(root.to_owned()));
        }
        let lines = |name: &str| Ok(BufWriter::new(create(&root.join(name))?));
        let lines = Lines {
            objects: lines("objects.jsonl")?,
            buckets: lines("buckets.jsonl")?,
            kms_keys: lines("kms-keys.jsonl")?,
        };
        Ok(Self {
            root: root.to_owned(),
            lines: Some(lines),
        })
    }

    /// Writes no plaintext anywhere. Rows, which are sealed, go through a nameless file in `scratch`.
    pub(crate) fn nowhere(scratch: &Path) -> Self {
        Self {
            root: scratch.to_owned(),
            lines: None,
        }
    }

    /// Whether what is opened goes nowhere.
    pub(crate) const fn is_nowhere(&self) -> bool {
        self.lines.is_none()
    }

    /// A file without a name: it goes when it is closed.
    pub(crate) fn spill(&self) -> Result<(File, PathBuf), RecoverError> {
        let path = self.root.join(".rows");
        let file = create(&path)?;
        fs::remove_file(&path).map_err(|error| RecoverError::Io(path.clone(), error))?;
        Ok((file, path))
    }

    /// A new file below the output directory for `name`, or for `inside` in a directory of that
    /// name; its path from there. A name that the file system does not take, because it knows no
    /// case or forbids a letter, is replaced by its hash: one object must not stop all others.
    pub(crate) fn file(
        &self,
        place: &[&str],
        name: &str,
        inside: Option<&str>,
    ) -> Result<(Option<File>, PathBuf), RecoverError> {
        if self.is_nowhere() {
            return Ok((None, PathBuf::new()));
        }
        let place: PathBuf = place.iter().collect();
        let attempt = |name: &str| {
            let mut relative = place.join(name);
            relative.extend(inside);
            let path = self.root.join(&relative);
            if let Some(directory) = path.parent() {
                make_dir(directory)?;
            }
            Ok((Some(create(&path)?), relative))
        };
        attempt(name).or_else(|_: RecoverError| {
            let hash = hex::encode(digest(&SHA256, name.as_bytes()).as_ref());
            attempt(&format!("%{}", hash.get(..32).unwrap_or_default()))
        })
    }

    /// Takes back a file that did not come out whole.
    pub(crate) fn remove(&self, relative: &Path) -> Result<(), RecoverError> {
        if self.is_nowhere() {
            return Ok(());
        }
        let path = self.root.join(relative);
        fs::remove_file(&path).map_err(|error| RecoverError::Io(path, error))
    }

    pub(crate) fn failure(&self, relative: &Path, error: io::Error) -> RecoverError {
        RecoverError::Io(self.root.join(relative), error)
    }

    pub(crate) fn object(&mut self, line: &impl Serialize) -> Result<(), RecoverError> {
        let lines = self.lines.as_mut().map(|lines| &mut lines.objects);
        write_line(lines, line, &self.root)
    }

    pub(crate) fn bucket(&mut self, line: &impl Serialize) -> Result<(), RecoverError> {
        let lines = self.lines.as_mut().map(|lines| &mut lines.buckets);
        write_line(lines, line, &self.root)
    }

    pub(crate) fn kms_key(&mut self, line: &impl Serialize) -> Result<(), RecoverError> {
        let lines = self.lines.as_mut().map(|lines| &mut lines.kms_keys);
        write_line(lines, line, &self.root)
    }

    /// Writes the report, and waits until all is on the disk.
    pub(crate) fn finish(mut self, report: &Report) -> Result<(), RecoverError> {
        let io = |error| RecoverError::Io(self.root.clone(), error);
        let Some(lines) = &mut self.lines else {
            return Ok(());
        };
        for lines in [&mut lines.objects, &mut lines.buckets, &mut lines.kms_keys] {
            lines.flush().map_err(io)?;
        }
        let mut file = create(&self.root.join("report.json"))?;
        let text = serde_json::to_string_pretty(report).unwrap_or_default();
        file.write_all(text.as_bytes()).map_err(io)?;
        let root = File::open(&self.root).map_err(io)?;
        rustix::fs::syncfs(&root).map_err(|error| io(error.into()))
    }
}

fn write_line(
    out: Option<&mut BufWriter<File>>,
    line: &impl Serialize,
    root: &Path,
) -> Result<(), RecoverError> {
    let Some(out) = out else {
        return Ok(());
    };
    let mut text = serde_json::to_string(line).unwrap_or_default();
    text.push('\n');
    out.write_all(text.as_bytes())
        .map_err(|error| RecoverError::Io(root.to_owned(), error))
}

fn make_dir(path: &Path) -> Result<(), RecoverError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| RecoverError::Io(path.to_owned(), error))
}

fn create(path: &Path) -> Result<File, RecoverError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(path);
    file.map_err(|error| RecoverError::Io(path.to_owned(), error))
}

/// A path for a key; `is_directory` where other keys lie below it.
pub(crate) fn path_of(key: &str, is_directory: bool) -> String {
    let parts: Vec<String> = key.split('/').map(name_of).collect();
    let mut path = parts.join("/");
    if is_directory {
        path.push('%');
    }
    path
}

/// One part of a path.
fn name_of(part: &str) -> String {
    if part.is_empty() {
        return "%".to_owned();
    }
    let mut name = String::new();
    for (index, letter) in part.char_indices() {
        let unsafe_dot = letter == '.' && index == 0 && (part == "." || part == "..");
        if letter.is_control() || unsafe_dot || matches!(letter, '%' | '\\') {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                name.push('%');
                name.push_str(&hex::encode([byte]).to_ascii_uppercase());
            }
        } else {
            name.push(letter);
        }
    }
    if name.len() <= NAME_MAX_BYTES {
        return name;
    }
    let hash = hex::encode(digest(&SHA256, part.as_bytes()).as_ref());
    let cut = name.floor_char_boundary(NAME_MAX_BYTES - 40);
    let (start, _) = name.split_at(cut);
    format!("{start}%{}", hash.get(..32).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_leaves_its_directory_and_no_two_share_a_path() {
        for (key, path) in [
            ("a/b.csv", "a/b.csv"),
            ("../x", "%2E./x"),
            ("./x", "%2E/x"),
            ("...", "..."),
            ("/a//b", "%/a/%/b"),
            ("a/", "a/%"),
            ("50%", "50%25"),
            ("a\nb\\c", "a%0Ab%5Cc"),
            ("gr\u{fc}n", "gr\u{fc}n"),
        ] {
            assert_eq!(path_of(key, false), path, "{key:?}");
        }
        assert_eq!(path_of("a", true), "a%");
        let (one, other) = ("x".repeat(900), format!("{}y", "x".repeat(899)));
        let paths = [path_of(&one, false), path_of(&other, false)];
        assert_ne!(paths[0], paths[1]);
        assert!(paths.iter().all(|path| path.len() < 255));
    }
}
