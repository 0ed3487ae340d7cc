//! What a backup is made of.
//!
//! ```text
//! manifests/00000003.json:
//!   {"strongroom-backup":1,"mac":"<64 hexadecimal digits>"}     and a line feed
//!   <the manifest, JSON>                                        of which the MAC is made
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strongroom_crypto::ManifestKey;

use crate::place::{Place, PlaceError, read_all};
use crate::{Objects, to_u64};

const FORMAT: u32 = 1;
/// Largest manifest, in bytes: about ten million files.
const LEN_MAX_BYTES: u64 = 4 << 30;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

/// Everything in a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// What people want to know of it.
    #[serde(flatten)]
    pub summary: Summary,
    /// Which of the stores that came out of one it is: see [`Lineage`].
    pub lineage: String,
    /// SHA-256 of the whole file of the manifest before.
    pub previous: Option<Digest>,
    /// The key ring's file, with its seals.
    pub ring: Piece,
    /// Files of the data directory, by their paths from there.
    pub files: BTreeMap<String, File>,
    /// Shred keys that this place held, and that the store has destroyed by now.
    pub destroyed: Vec<Destroyed>,
}

/// Which store it is of those that have one ring: a restored one goes its own way, and what it lacks
/// of later backups was not destroyed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lineage {
    /// Drawn for the first backup, and anew by each restoration.
    pub own: String,
    /// What it was restored from: lineage and number of the backup.
    pub parent: Option<(String, u64)>,
}

impl Lineage {
    /// As a small file: the own id, then the parent's and the number, each on its line.
    pub fn encode(&self) -> String {
        match &self.parent {
            Some((parent, number)) => format!("{}\n{parent}\n{number}\n", self.own),
            None => format!("{}\n", self.own),
        }
    }

    /// Reads what [`Lineage::encode`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().collect();
        let parent = match lines.as_slice() {
            [_] => None,
            [_, parent, number] => Some(((*parent).to_owned(), number.parse().ok()?)),
            _ => return None,
        };
        let own = (*lines.first()?).to_owned();
        Some(Self { own, parent })
    }

    /// Whether the store goes on where that backup was taken.
    pub(crate) fn continues(&self, manifest: &Manifest) -> bool {
        let before = (&manifest.lineage, manifest.summary.number);
        self.own == manifest.lineage
            || self
                .parent
                .as_ref()
                .is_some_and(|(parent, number)| (parent, *number) == before)
    }
}

/// What people want to know of a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// Counts the backups in a place, from 1.
    pub number: u64,
    /// Whose store it is: the id of the key ring.
    pub ring_id: String,
    /// The mark: the last commit that is in it.
    pub mark: u64,
    /// When the mark was set, ISO 8601: what was acknowledged before is in it.
    pub marked: String,
    /// Bytes of the files in it.
    pub bytes: u64,
    /// Blob files in it.
    pub blobs: u64,
    /// Shred keys in it.
    pub shreds: u64,
    /// Files that could not be read, and so are not in it.
    pub unreadable: Vec<String>,
}

/// A file of the data directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct File {
    /// Its bytes, in order.
    pub pieces: Vec<Piece>,
    /// Of a blob file: when it was changed last, in nanoseconds since 1970, and its length. A blob
    /// file with the same two is not looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<(u64, u64)>,
}

/// Some bytes of an object of the place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Piece {
    /// The object.
    pub object: String,
    /// Where in it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offset: u64,
    /// How many.
    pub len: u64,
    /// Of these bytes.
    pub sha256: Digest,
}

/// A shred key that is no more.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Destroyed {
    /// Its id, in hexadecimal digits.
    pub shred: String,
    /// The backup that found it so.
    pub by: u64,
}

/// Why a manifest cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It is not one.
    #[error("it is not a manifest: {0}")]
    Unreadable(String),
    /// A later version wrote it.
    #[error("it has format {0}, which is newer than this program")]
    Newer(u32),
    /// Somebody else wrote it, or it was changed.
    #[error("it was not written by this store, or was changed")]
    Forged,
}

/// A manifest as it lies in the place.
pub(crate) struct Signed {
    pub(crate) manifest: Manifest,
    /// Of the JSON.
    pub(crate) digest: [u8; 32],
    pub(crate) mac: Vec<u8>,
    /// Of the file.
    pub(crate) whole: Digest,
}

#[derive(Serialize, Deserialize)]
struct FirstLine {
    #[serde(rename = "strongroom-backup")]
    format: u32,
    mac: String,
}

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        let output = digest(&SHA256, bytes);
        hash.iter_mut()
            .zip(output.as_ref())
            .for_each(|(to, from)| *to = *from);
        Self(hash)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = hex::decode(&*text).ok().and_then(|it| it.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("a SHA-256 is expected"))
    }
}

impl File {
    /// Its length, in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.pieces
            .iter()
            .map(|piece| piece.len)
            .fold(0, u64::saturating_add)
    }
}

impl Piece {
    /// Whether the place has an object that could hold it.
    pub(crate) fn is_in(&self, objects: &Objects) -> bool {
        let end = self.offset.checked_add(self.len);
        objects
            .get(&self.object)
            .is_some_and(|len| end.is_some_and(|end| end <= *len))
    }
}

impl Manifest {
    /// The JSON that is signed.
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Every object that it needs.
    pub(crate) fn objects(&self) -> BTreeSet<&str> {
        let pieces = self.files.values().flat_map(|file| &file.pieces);
        pieces
            .chain([&self.ring])
            .map(|piece| piece.object.as_str())
            .collect()
    }

    /// The ids of the shred keys in it.
    pub(crate) fn shreds(&self) -> BTreeSet<&str> {
        let paths = self.files.keys();
        paths
            .filter_map(|path| path.strip_prefix("shreds/a/"))
            .collect()
    }
}

impl Signed {
    /// # Errors
    ///
    /// [`ManifestError::Forged`].
    pub(crate) fn verify(&self, number: u64, key: &ManifestKey) -> Result<(), ManifestError> {
        let is_named_so = self.manifest.summary.number == number;
        if is_named_so && key.verify(&self.digest, &self.mac) {
            return Ok(());
        }
        Err(ManifestError::Forged)
    }
}

/// The whole file.
pub(crate) fn signed(body: &[u8], mac: &[u8]) -> Vec<u8> {
    let line = FirstLine {
        format: FORMAT,
        mac: hex::encode(mac),
    };
    let mut file = serde_json::to_vec(&line).unwrap_or_default();
    file.push(b'\n');
    file.extend_from_slice(body);
    file
}

pub(crate) fn name(number: u64) -> String {
    format!("manifests/{number:08}.json")
}

/// Of objects below `manifests/`: the numbers, in ascending order.
pub(crate) fn numbers(objects: &Objects) -> Vec<u64> {
    let names = objects.keys();
    let mut numbers: Vec<u64> = names
        .filter_map(|name| {
            let digits = name.strip_prefix("manifests/")?.strip_suffix(".json")?;
            digits
                .parse()
                .ok()
                .filter(|number| self::name(*number) == *name)
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

/// Reads a manifest that is there; not verified.
pub(crate) fn read(
    place: &dyn Place,
    number: u64,
) -> Result<Result<Signed, ManifestError>, PlaceError> {
    let name = name(number);
    let objects = place.list(&name)?;
    let len = objects.get(&name).copied();
    let len = len.ok_or_else(|| PlaceError::Missing(name.clone()))?;
    if len > LEN_MAX_BYTES {
        return Ok(Err(ManifestError::Unreadable("it is too long".to_owned())));
    }
    Ok(parse(&read_all(place, &name, len)?))
}

fn parse(file: &[u8]) -> Result<Signed, ManifestError> {
    let unreadable = |what: &str| ManifestError::Unreadable(what.to_owned());
    let end = file.iter().position(|byte| *byte == b'\n');
    let (line, body) = end
        .and_then(|end| file.split_at_checked(end))
        .ok_or_else(|| unreadable("it has no first line"))?;
    let body = body.get(1..).unwrap_or_default();
    let line: FirstLine =
        serde_json::from_slice(line).map_err(|error| unreadable(&error.to_string()))?;
    if line.format > FORMAT {
        return Err(ManifestError::Newer(line.format));
    }
    let mac = hex::decode(&line.mac).map_err(|error| unreadable(&error.to_string()))?;
    let manifest = serde_json::from_slice(body).map_err(|error| unreadable(&error.to_string()))?;
    Ok(Signed {
        manifest,
        digest: Digest::of(body).0,
        mac,
        whole: Digest::of(file),
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Writes a small object.
pub(crate) fn put(place: &dyn Place, name: &str, bytes: &[u8]) -> Result<Piece, PlaceError> {
    place.write(name, to_u64(bytes.len()), &mut { bytes })?;
    Ok(Piece {
        object: name.to_owned(),
        offset: 0,
        len: to_u64(bytes.len()),
        sha256: Digest::of(bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lineage_is_read_as_it_was_written() {
        for parent in [None, Some(("ab".to_owned(), 7))] {
            let lineage = Lineage {
                own: "cd".to_owned(),
                parent,
            };
            assert_eq!(Lineage::parse(&lineage.encode()), Some(lineage));
        }
        for wrong in ["", "a\nb\n", "a\nb\nx\n", "a\nb\n1\nc\n"] {
            assert_eq!(Lineage::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn manifests_are_counted_by_their_names_alone() {
        let names = [
            "manifests/00000002.json",
            "manifests/00000010.json",
            "manifests/2.json",
            "manifests/00000003.json.tmp",
        ];
        let objects = names.iter().map(|name| ((*name).to_owned(), 1)).collect();
        assert_eq!(numbers(&objects), [2, 10]);
    }
}
