//! Every name in the data directory: what belongs there, and what does not.

use std::fs;
use std::io;
use std::path::Path;

use strongroom_audit::EventId;

use crate::report::{Finding, Kind};
use crate::text::parse_hex;

/// How the version file begins.
const FORMAT_PREFIX: &str = "strongroom data directory, format ";
/// The one format that there is.
const FORMAT_VERSION: u32 = 1;

/// What was found.
#[derive(Default)]
pub(crate) struct Tree {
    /// Bytes in files that will be read.
    pub(crate) bytes: u64,
    pub(crate) plaintext: Vec<String>,
    pub(crate) staging: u64,
    pub(crate) findings: Vec<Finding>,
}

/// What a name means.
#[derive(PartialEq, Eq, Debug)]
enum Name {
    /// A directory to look into.
    Directory,
    /// Encrypted.
    Sealed,
    /// Not encrypted, and right so.
    Plain,
    /// Being written, or left by a crash.
    Unfinished,
    Foreign,
}

/// Looks at every name below `root`.
///
/// # Errors
///
/// The operating system's.
pub(crate) fn look(root: &Path, on_line: bool) -> io::Result<Tree> {
    let mut tree = Tree::default();
    tree.directory(root, &mut Vec::new(), on_line)?;
    tree.plaintext.sort();
    Ok(tree)
}

impl Tree {
    fn directory(&mut self, path: &Path, place: &mut Vec<String>, on_line: bool) -> io::Result<()> {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !place.is_empty() => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            place.push(entry.file_name().to_string_lossy().into_owned());
            let parts: Vec<&str> = place.iter().map(String::as_str).collect();
            let shown = parts.join("/");
            let name = if kind.is_file() || kind.is_dir() || parts == ["admin.sock"] {
                meaning(&parts, kind.is_dir())
            } else {
                Name::Foreign
            };
            match name {
                Name::Directory => self.directory(&entry.path(), place, on_line)?,
                // A file that is gone meanwhile has no length.
                Name::Sealed => self.bytes += entry.metadata().map_or(0, |it| it.len()),
                Name::Plain => {
                    if parts == ["FORMAT"] {
                        self.version_file(&entry.path());
                    }
                    self.plaintext.push(shown);
                }
                Name::Unfinished => {
                    self.staging += 1;
                    if !on_line {
                        let why = "it was being written when the server stopped; the next start removes it";
                        let finding = Finding::damage("unfinished", why);
                        self.findings
                            .push(finding.of_kind(Kind::Leftover).in_file(shown));
                    }
                }
                Name::Foreign => {
                    let why = "it is none of the store's files";
                    let finding = Finding::damage("foreign", why);
                    self.findings
                        .push(finding.of_kind(Kind::Foreign).in_file(shown));
                }
            }
            place.pop();
        }
        Ok(())
    }

    fn version_file(&mut self, path: &Path) {
        let text = fs::read_to_string(path).unwrap_or_default();
        let version = text.strip_prefix(FORMAT_PREFIX);
        if version.and_then(|it| it.trim_end().parse().ok()) != Some(FORMAT_VERSION) {
            let why = "it does not say which format the data directory has";
            self.findings
                .push(Finding::damage("format", why).in_file("FORMAT"));
        }
    }
}

fn meaning(parts: &[&str], is_directory: bool) -> Name {
    if is_directory {
        return match parts {
            ["ring" | "meta" | "blobs" | "shreds" | "reports" | "deeds" | "tls"]
            | ["meta", "journal" | "snapshot"]
            | ["blobs", "blobs" | "staging"]
            | ["shreds", "a" | "b"] => Name::Directory,
            ["blobs", "blobs", first] if is_first_byte(first) => Name::Directory,
            _ => Name::Foreign,
        };
    }
    let is_number = |name: &str, extension: &str, digits: usize| {
        name.strip_suffix(extension)
            .is_some_and(|it| it.len() >= digits && it.bytes().all(|digit| digit.is_ascii_digit()))
    };
    match parts {
        ["FORMAT" | "lock" | "lineage" | "endpoint" | "admin.sock"] => Name::Plain,
        ["ring", "ring.a" | "ring.b"] | ["meta", "index.srx"] => Name::Sealed,
        ["meta", "journal", name] if is_number(name, ".srj", 8) => Name::Sealed,
        ["meta", "snapshot", name] if is_number(name, ".srs", 20) => Name::Sealed,
        ["blobs", "blobs", first, name] if name.starts_with(first) && parse_hex(name).is_some() => {
            Name::Sealed
        }
        ["shreds", _, name] if parse_hex(name).is_some() => Name::Sealed,
        ["tls", name] if ends(name, ".pem") => Name::Plain,
        ["deeds", name] if EventId::parse(name).is_some() => Name::Sealed,
        ["reports", name]
            if ends(name, ".json") || ends(name, ".json.sig") || ends(name, ".pem") =>
        {
            Name::Plain
        }
        ["blobs", "staging", name] if parse_hex(name).is_some() => Name::Unfinished,
        ["shreds", _, name]
            if name
                .strip_suffix(".new")
                .is_some_and(|it| parse_hex(it).is_some()) =>
        {
            Name::Unfinished
        }
        ["FORMAT.tmp" | "lineage.tmp" | "endpoint.tmp"]
        | ["meta", "snapshot", "new.tmp"]
        | ["meta", "index.srx.new"]
        | ["ring", "ring.a.tmp" | "ring.b.tmp"]
        | ["tls", "cert.pem.tmp" | "key.pem.tmp"] => Name::Unfinished,
        ["reports", name] if ends(name, ".tmp") => Name::Unfinished,
        ["deeds", name] if ends(name, ".new") => Name::Unfinished,
        _ => Name::Foreign,
    }
}

/// The store's own names are of small letters.
fn ends(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some()
}

fn is_first_byte(name: &str) -> bool {
    name.len() == 2
        && name
            .bytes()
            .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_the_format_says() {
        let id = "00112233445566778899aabbccddeeff";
        let of = |path: &str| meaning(&path.split('/').collect::<Vec<_>>(), false);
        for path in [
            "ring/ring.a",
            "meta/index.srx",
            "meta/journal/00000001.srj",
            "meta/snapshot/00000000000000000007.srs",
            &format!("blobs/blobs/00/{id}"),
            &format!("shreds/a/{id}"),
            "deeds/0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b",
        ] {
            assert_eq!(of(path), Name::Sealed, "{path}");
        }
        for path in [
            "ring/ring.c",
            "ring/ring.a.bak",
            "meta/journal/1.srj",
            "meta/journal/00000001.srj.old",
            "meta/snapshot/7.srs",
            &format!("blobs/blobs/01/{id}"),
            &format!("blobs/blobs/00/{}", id.to_uppercase()),
            &format!("blobs/{id}"),
            "core",
            "meta/lock",
            "deeds/x",
        ] {
            assert_eq!(of(path), Name::Foreign, "{path}");
        }
        assert_eq!(of(&format!("blobs/staging/{id}")), Name::Unfinished);
        assert_eq!(of(&format!("shreds/b/{id}.new")), Name::Unfinished);
        assert_eq!(of("deeds/x.new"), Name::Unfinished);
        assert_eq!(of("FORMAT"), Name::Plain);
        assert_eq!(meaning(&["blobs", "blobs", "0g"], true), Name::Foreign);
    }
}
