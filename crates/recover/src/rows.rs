//! The rows of the metadata store as they were at the last commit, from snapshot and journal.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::ops::Bound;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use strongroom_crypto::{Keyring, RowSealer, ServicePurpose, Unsealed};

use crate::frames::{Frame, SealedFile};
use crate::output::Output;
use crate::records::{self, Record};
use crate::report::Report;
use crate::{Fields, Loss, Plan, Progress, RecoverError, to_u64};

/// The tables that recovery needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the tables are those of FORMAT.md, 16")]
pub enum Table {
    Buckets = 3,
    Versions = 5,
    Inline = 9,
    KmsKeys = 13,
    KmsAliases = 14,
    KmsMaterials = 16,
}

const TABLES: [Table; 6] = [
    Table::Buckets,
    Table::Versions,
    Table::Inline,
    Table::KmsKeys,
    Table::KmsAliases,
    Table::KmsMaterials,
];

impl Table {
    #[expect(
        clippy::as_conversions,
        reason = "the discriminant is the table's number"
    )]
    const fn number(self) -> u8 {
        self as u8
    }

    fn parse(number: u8) -> Option<Self> {
        TABLES.into_iter().find(|table| table.number() == number)
    }
}

/// All rows. Values lie in a file beside the output: they are sealed, and may be many.
pub struct Rows {
    places: BTreeMap<Vec<u8>, Place>,
    values: File,
    sealer: RowSealer,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    len: u32,
    /// The commit that wrote it.
    version: u64,
}

/// A row as stored, with the version that the store knows it by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRow {
    /// Its key.
    pub key: Vec<u8>,
    /// Its sealed value.
    pub value: Vec<u8>,
    /// The commit that wrote it.
    pub version: u64,
}

/// What reading all rows came to.
pub struct Loaded {
    /// The rows.
    pub rows: Rows,
    /// What is damaged or missing.
    pub losses: Vec<Loss>,
    /// There is neither snapshot nor journal.
    pub without_rows: bool,
    /// The last commit, of the snapshot or the journal; 0 if there is none.
    pub last_commit: u64,
}

impl Rows {
    /// The rows that recovery needs.
    pub(crate) fn read(
        plan: &Plan<'_>,
        out: &Output,
        report: &mut Report,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, RecoverError> {
        let (spill, path) = out.spill()?;
        let needed = |table| Table::parse(table).is_some();
        let loaded = Self::load(&plan.sources.meta, plan.ring, spill, &needed, progress)
            .map_err(|error| RecoverError::Io(path, error))?;
        report.losses.extend(loaded.losses);
        report.without_rows = loaded.without_rows;
        Ok(loaded.rows)
    }

    /// Reads the newest snapshot whose header opens, and the journal, of the directory `meta`: the
    /// rows of the tables that `keep` names, by number. Their values go to `spill`, an empty file.
    ///
    /// # Errors
    ///
    /// The operating system's, of the directory and of `spill`. Damage is none: see
    /// [`Loaded::losses`].
    pub fn load(
        meta: &Path,
        ring: &Keyring<Unsealed>,
        spill: File,
        keep: &dyn Fn(u8) -> bool,
        progress: &mut dyn FnMut(Progress),
    ) -> io::Result<Loaded> {
        let journals = journals(meta)?;
        let snapshots = snapshots(meta)?;
        let len_of = |path: &PathBuf| fs::metadata(path).map_or(0, |it| it.len());
        let all = journals.iter().chain(&snapshots);
        let all_bytes = all.map(|(_, path)| len_of(path)).sum();
        let mut reader = Reader {
            places: BTreeMap::new(),
            values: BufWriter::new(spill),
            written: 0,
            snapshot_end: 0,
            next: None,
            keep,
            losses: Vec::new(),
        };
        let mut read_bytes = 0;
        // The newest of which the header opens: a crash may have left an older one beside it.
        for (_, snapshot) in snapshots.iter().rev() {
            let key = ring.service_key(ServicePurpose::Snapshot);
            let opened =
                File::open(snapshot).and_then(|file| SealedFile::open(file, *b"SRS1", Some(key)));
            match opened {
                Ok(Some(file)) => {
                    let mut tell =
                        |bytes: u64| progress(Progress::Rows(read_bytes + bytes, all_bytes));
                    reader.snapshot(file, snapshot, &mut tell)?;
                    read_bytes += len_of(snapshot);
                    break;
                }
                Ok(None) => reader.lose(snapshot, "its header is damaged"),
                Err(error) => reader.lose(snapshot, &error.to_string()),
            }
            read_bytes += len_of(snapshot);
        }
        let last = journals.len().saturating_sub(1);
        for (index, (_, journal)) in journals.iter().enumerate() {
            let key = ring.service_key(ServicePurpose::Journal);
            let opened = File::open(journal).and_then(|file| {
                let is_blank = SealedFile::is_blank(&file)?;
                Ok((is_blank, SealedFile::open(file, *b"SRJ1", Some(key))?))
            });
            match opened {
                Ok((_, Some(file))) => {
                    let mut tell =
                        |bytes: u64| progress(Progress::Rows(read_bytes + bytes, all_bytes));
                    reader.journal(file, journal, index == last, &mut tell)?;
                }
                // It was being made when the server stopped.
                Ok((true, None)) if index == last && index > 0 => {}
                Ok((_, None)) => reader.lose(journal, "its header is damaged"),
                Err(error) => reader.lose(journal, &error.to_string()),
            }
            read_bytes += len_of(journal);
        }
        // The last journal file stays always: without one, commits behind the snapshot are gone.
        if journals.is_empty() && !snapshots.is_empty() {
            reader.lose(
                meta,
                "there is a snapshot and no journal: what came after it is gone",
            );
        }
        if reader.next.is_some_and(|next| next <= reader.snapshot_end) {
            reader.lose(
                meta,
                "the journal ends before the snapshot: its newest files are missing",
            );
        }
        let Reader {
            places,
            values,
            losses,
            next,
            ..
        } = reader;
        let values = values
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        Ok(Loaded {
            rows: Self {
                places,
                values,
                sealer: RowSealer::new(ring.service_key(ServicePurpose::Rows)),
            },
            losses,
            without_rows: snapshots.is_empty() && journals.is_empty(),
            last_commit: next.map_or(0, |next| next.saturating_sub(1)),
        })
    }

    /// One row as stored, of a table by its number.
    pub fn stored_row(&self, table: u8, key: &[u8]) -> Option<StoredRow> {
        let place = *self.places.get(&[&[table], key].concat())?;
        Some(StoredRow {
            key: key.to_vec(),
            value: self.value(place)?,
            version: place.version,
        })
    }

    /// The rows as stored of a table by its number, from the key `start` on to `end`, which is left
    /// out; without it, to the end of the table.
    pub fn stored_rows(
        &self,
        table: u8,
        start: &[u8],
        end: Option<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Option<StoredRow>> {
        let start = [&[table], start].concat();
        let end = match (end, table.checked_add(1)) {
            (Some(end), _) => Bound::Excluded([&[table], end].concat()),
            (None, Some(next)) => Bound::Excluded(vec![next]),
            (None, None) => Bound::Unbounded,
        };
        // A range that is backwards would panic.
        let is_empty = matches!(&end, Bound::Excluded(end) if *end <= start);
        let range = (!is_empty).then(|| self.places.range((Bound::Included(start), end)));
        range.into_iter().flatten().map(|(path, place)| {
            Some(StoredRow {
                key: path.get(1..)?.to_vec(),
                value: self.value(*place)?,
                version: place.version,
            })
        })
    }

    /// The value of a row as stored.
    pub(crate) fn stored(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        let place = *self.places.get(&path(table, key))?;
        self.value(place)
    }

    /// The record of a row: `None` if there is no such row, or it does not open.
    pub(crate) fn get<R: Record>(&self, table: Table, key: &[u8]) -> Option<R> {
        self.open(table, key, &self.stored(table, key)?)
    }

    /// The rows of a table whose keys begin with `prefix`, in order. A row that does not open is
    /// told as `None`.
    pub(crate) fn scan<R: Record>(
        &self,
        table: Table,
        prefix: &[u8],
    ) -> impl Iterator<Item = (&[u8], Option<R>)> {
        self.keys(table, prefix)
            .map(move |key| (key, self.get(table, key)))
    }

    /// The keys of the rows that [`Rows::scan`] would tell.
    pub(crate) fn keys(&self, table: Table, prefix: &[u8]) -> impl Iterator<Item = &[u8]> {
        let start = path(table, prefix);
        let range = self.places.range(start.clone()..);
        range
            .take_while(move |(path, _)| path.starts_with(&start))
            .filter_map(|(path, _)| path.get(1..))
    }

    /// Seals and opens what is sealed as rows are, such as the records of footers.
    pub(crate) fn open_sealed(&self, table: u8, key: &[u8], stored: &[u8]) -> Option<Vec<u8>> {
        self.sealer.open(table, key, stored).ok()
    }

    fn open<R: Record>(&self, table: Table, key: &[u8], stored: &[u8]) -> Option<R> {
        let plaintext = self.sealer.open(table.number(), key, stored).ok()?;
        records::decode(&plaintext)
    }

    fn value(&self, place: Place) -> Option<Vec<u8>> {
        let mut value = vec![0; usize::try_from(place.len).ok()?];
        self.values.read_exact_at(&mut value, place.offset).ok()?;
        Some(value)
    }
}

fn path(table: Table, key: &[u8]) -> Vec<u8> {
    [&[table.number()], key].concat()
}

/// The journal files, by their numbers, in their order.
///
/// # Errors
///
/// The operating system's, of the directory.
pub fn journals(meta: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    files_of(&meta.join("journal"), "srj")
}

/// The snapshots, by the last commits in them, in their order.
///
/// # Errors
///
/// The operating system's, of the directory.
pub fn snapshots(meta: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    files_of(&meta.join("snapshot"), "srs")
}

/// The files of a kind, by their numbers. A directory that is not there has none.
fn files_of(directory: &Path, extension: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let Some(number) = number
            && path.extension().is_some_and(|it| it == extension)
        {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Applies snapshot and journal.
struct Reader<'a> {
    places: BTreeMap<Vec<u8>, Place>,
    values: BufWriter<File>,
    written: u64,
    /// The last commit in the snapshot.
    snapshot_end: u64,
    /// The commit that must come next in the journal.
    next: Option<u64>,
    /// Which tables count.
    keep: &'a dyn Fn(u8) -> bool,
    losses: Vec<Loss>,
}

impl Reader<'_> {
    fn lose(&mut self, file: &Path, why: &str) {
        self.losses.push(Loss {
            what: format!("rows of {}", file.display()),
            why: why.to_owned(),
        });
    }

    fn snapshot(
        &mut self,
        mut file: SealedFile,
        at: &Path,
        tell: &mut dyn FnMut(u64),
    ) -> io::Result<()> {
        self.snapshot_end = file.sequence;
        self.next = Some(file.sequence + 1);
        let (mut rows, mut promised) = (0_u64, None);
        while let Some(frame) = file.next()? {
            tell(file.read_bytes());
            let Frame::Opened(_, payload) = frame else {
                self.lose(at, "a part of the snapshot is damaged");
                continue;
            };
            let mut fields = Fields(&payload);
            match fields.u32() {
                Some(0) => promised = fields.u64(),
                Some(count) => {
                    for _ in 0..count {
                        if self.snapshot_row(&mut fields)?.is_none() {
                            self.lose(at, "a part of the snapshot cannot be read");
                            break;
                        }
                        rows += 1;
                    }
                }
                None => self.lose(at, "a part of the snapshot cannot be read"),
            }
        }
        if promised != Some(rows) {
            self.lose(at, "the snapshot does not hold all of its rows");
        }
        Ok(())
    }

    fn snapshot_row(&mut self, fields: &mut Fields<'_>) -> io::Result<Option<()>> {
        let mut row = || {
            let path_len = usize::from(fields.u16()?);
            let version = fields.u64()?;
            let value_len = usize::try_from(fields.u32()?).ok()?;
            let path = fields.bytes(path_len)?;
            Some((path, fields.bytes(value_len)?, version))
        };
        match row() {
            Some((path, value, version)) => self.put(path, value, version).map(Some),
            None => Ok(None),
        }
    }

    fn journal(
        &mut self,
        mut file: SealedFile,
        at: &Path,
        is_last: bool,
        tell: &mut dyn FnMut(u64),
    ) -> io::Result<()> {
        // Files that the snapshot replaces are deleted in no order that a crash would keep.
        let covered = self.snapshot_end.saturating_add(1);
        if self
            .next
            .is_some_and(|next| file.sequence > next.max(covered))
        {
            self.lose(at, "journal files before this one are missing");
        }
        if self.next.is_none() && file.number > 1 && file.sequence > 1 {
            self.lose(at, "there is no snapshot of what was before the journal");
        }
        let mut frames = 0;
        while let Some(frame) = file.next()? {
            tell(file.read_bytes());
            match frame {
                Frame::Opened(index, payload) => {
                    if index != frames + 1 {
                        self.lose(at, "commits in the journal are missing");
                    }
                    frames = index;
                    self.commits(&payload, at)?;
                }
                Frame::Torn(_) if is_last => {}
                Frame::Torn(_) | Frame::Damaged(_) => {
                    self.lose(at, "commits in the journal are damaged");
                }
            }
        }
        Ok(())
    }

    /// One group commit.
    fn commits(&mut self, payload: &[u8], at: &Path) -> io::Result<()> {
        let mut fields = Fields(payload);
        let (Some(first), Some(count)) = (fields.u64(), fields.u32()) else {
            self.lose(at, "a commit cannot be read");
            return Ok(());
        };
        for sequence in (first..).take(usize::try_from(count).unwrap_or(usize::MAX)) {
            let applies = sequence > self.snapshot_end;
            let Some(writes) = fields.u32() else {
                self.lose(at, "a commit cannot be read");
                return Ok(());
            };
            for _ in 0..writes {
                let applies = applies.then_some(sequence);
                if self.write(&mut fields, applies)?.is_none() {
                    self.lose(at, "a commit cannot be read");
                    return Ok(());
                }
            }
            self.next = Some(sequence + 1);
        }
        Ok(())
    }

    /// One write of the commit `applies`, or of one that does not count.
    fn write(&mut self, fields: &mut Fields<'_>, applies: Option<u64>) -> io::Result<Option<()>> {
        let mut write = || {
            let kind = fields.u8()?;
            let table = fields.u8()?;
            let key_len = usize::from(fields.u16()?);
            let value_len = match kind {
                1 => Some(usize::try_from(fields.u32()?).ok()?),
                2 => None,
                _ => return None,
            };
            let path = [&[table], fields.bytes(key_len)?].concat();
            let value = match value_len {
                Some(len) => Some(fields.bytes(len)?),
                None => None,
            };
            Some((path, value))
        };
        match (write(), applies) {
            (None, _) => Ok(None),
            (Some((path, Some(value))), Some(version)) => self.put(&path, value, version).map(Some),
            (Some((path, None)), Some(_)) => {
                self.places.remove(&path);
                Ok(Some(()))
            }
            (Some(_), None) => Ok(Some(())),
        }
    }

    fn put(&mut self, path: &[u8], value: &[u8], version: u64) -> io::Result<()> {
        let is_kept = path.first().is_some_and(|table| (self.keep)(*table));
        let Ok(len) = u32::try_from(value.len()) else {
            return Ok(());
        };
        if !is_kept {
            return Ok(());
        }
        self.values.write_all(value)?;
        let place = Place {
            offset: self.written,
            len,
            version,
        };
        self.written += to_u64(value.len());
        self.places.insert(path.to_vec(), place);
        Ok(())
    }
}
