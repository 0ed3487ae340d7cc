//! A disk in memory that loses, tears and refuses what a real one may.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskFile};
use crate::splitmix::SplitMix;

/// The unit that a disk writes whole or not at all.
const SECTOR_LEN_BYTES: usize = 512;

/// What is left after a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// The process was killed: the kernel still holds all that was written, synced or not.
    Killed,
    /// Power was lost, and with it all that was not synced.
    DropUnsynced,
    /// Power was lost; of what was not synced a random part is left: some writes, some sectors of a
    /// write, some creations and renames.
    Torn {
        /// The same seed and history leave the same.
        seed: u64,
    },
}

/// How an operation fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// `EIO`. A sync that fails so drops what it should have written and calls it clean, as Linux
    /// does.
    Eio,
    /// `ENOSPC` from whatever takes space (create, write, allocate, longer length, rename, mkdir);
    /// a write stops half way. Other operations succeed.
    Enospc,
    /// `ENOSPC` from a sync, as file systems say it that look for room late (thin volumes, delayed
    /// allocation). It drops what it should have written, as with [`FaultKind::Eio`]; other
    /// operations succeed.
    EnospcAtSync,
    /// A write stops half way, with `EIO`; other operations fail with `EIO`.
    ShortWrite,
    /// The machine stops: this and every later operation fails, reads included, until
    /// [`SimDisk::crash`].
    PowerOff,
}

/// A fault to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The number of the changing operation that fails (see [`SimDisk::operations`]); the first
    /// one of a new disk is 0.
    pub at_operation: u64,
    /// How.
    pub kind: FaultKind,
    /// Whether all later ones fail alike.
    pub sticky: bool,
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    files: BTreeMap<u64, SimInode>,
    /// What a listing shows.
    names: BTreeMap<String, u64>,
    /// What is left after power loss.
    durable_names: BTreeMap<String, u64>,
    /// Changes of names since the directory was synced, by directory.
    pending_names: BTreeMap<String, Vec<NameChange>>,
    directories: BTreeSet<String>,
    next_file: u64,
    /// Handles of an earlier epoch are of a process that is gone.
    epoch: u64,
    operations: u64,
    reads: u64,
    fault: Option<Fault>,
    flip: Option<Flip>,
    off: bool,
    capacity_bytes: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct SimInode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// Open handles: a file without a name lives as long as one of them.
    handles: usize,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

#[derive(Clone, Debug)]
enum NameChange {
    Add(String, u64),
    Remove(String),
    Rename(String, String, u64),
}

#[derive(Clone, Copy, Debug)]
struct Flip {
    at_read: u64,
    seed: u64,
}

impl SimDisk {
    /// An empty disk without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk of its own that holds the same, synced and not, with no file open.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut state = self.state.lock().clone();
        state.epoch += 1;
        for inode in state.files.values_mut() {
            inode.handles = 0;
        }
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// How many operations that change something have been started. This is the clock of faults.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// How many reads have been started. This is the clock of bit flips.
    pub fn reads(&self) -> u64 {
        self.state.lock().reads
    }

    /// Plans a fault, in place of the one planned before; `None` ends it.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.state.lock().fault = fault;
    }

    /// Lets read number `at_read` return one wrong bit, chosen by `seed`.
    pub fn flip_bit_on_read(&self, at_read: u64, seed: u64) {
        self.state.lock().flip = Some(Flip { at_read, seed });
    }

    /// Limits the sum of all files' lengths; `None` is no limit.
    pub fn set_capacity(&self, capacity_bytes: Option<u64>) {
        self.state.lock().capacity_bytes = capacity_bytes;
    }

    /// Crashes and starts again: what was open is gone, what is left is as `crash` says, and no
    /// fault is planned.
    pub fn crash(&self, crash: Crash) {
        let mut state = self.state.lock();
        state.epoch += 1;
        state.fault = None;
        state.flip = None;
        state.off = false;
        match crash {
            Crash::Killed => {}
            Crash::DropUnsynced => state.lose(&mut Survival::Nothing),
            Crash::Torn { seed } => state.lose(&mut Survival::Some(SplitMix::new(seed))),
        }
        state.drop_nameless();
    }

    /// The bytes of a file as a thief of the running machine finds them, if there is one.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        let file = state.names.get(path)?;
        state.files.get(file).map(|inode| inode.bytes.clone())
    }

    /// The paths of all files.
    pub fn paths(&self) -> Vec<String> {
        self.state.lock().names.keys().cloned().collect()
    }

    /// Replaces a file's bytes, durably, past all faults: what a failing or hostile disk may do.
    /// True if there is such a file.
    pub fn overwrite(&self, path: &str, bytes: Vec<u8>) -> bool {
        let mut state = self.state.lock();
        let Some(file) = state.names.get(path).copied() else {
            return false;
        };
        let Some(inode) = state.files.get_mut(&file) else {
            return false;
        };
        inode.durable.clone_from(&bytes);
        inode.bytes = bytes;
        inode.pending.clear();
        true
    }

    /// Removes a file, durably, past all faults.
    pub fn remove(&self, path: &str) {
        let mut state = self.state.lock();
        state.names.remove(path);
        state.durable_names.remove(path);
    }
}

/// What an operation does, as far as faults ask.
#[derive(Clone, Copy)]
enum Operation {
    /// Writes bytes.
    Write,
    /// Takes space in another way.
    Grow,
    Sync,
    Other,
}

/// What survives of the unsynced changes.
enum Survival {
    Nothing,
    Some(SplitMix),
}

impl Survival {
    /// How many of `count` changes of one list are considered: a prefix, or all of them.
    fn prefix(&mut self, count: usize) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Some(random) => {
                if random.one_in(2) {
                    return count;
                }
                let bound = to_u64(count).saturating_add(1);
                usize::try_from(random.below(bound)).unwrap_or(count)
            }
        }
    }

    fn one_in(&mut self, odds: u64) -> bool {
        match self {
            Self::Nothing => true,
            Self::Some(random) => random.one_in(odds),
        }
    }
}

impl State {
    /// Counts an operation that changes something, and fails it if that is planned. An error inside
    /// `Ok` is for the second half of a write.
    fn begin(&mut self, epoch: u64, what: Operation) -> io::Result<Option<io::Error>> {
        if self.off || epoch != self.epoch {
            return Err(eio());
        }
        let operation = self.operations;
        self.operations += 1;
        let Some(fault) = self.fault else {
            return Ok(None);
        };
        if operation < fault.at_operation || (operation > fault.at_operation && !fault.sticky) {
            return Ok(None);
        }
        match (fault.kind, what) {
            (FaultKind::ShortWrite, Operation::Write) => Ok(Some(eio())),
            (FaultKind::Enospc, Operation::Write) => Ok(Some(enospc())),
            (FaultKind::Enospc, Operation::Grow) | (FaultKind::EnospcAtSync, Operation::Sync) => {
                Err(enospc())
            }
            (FaultKind::Enospc | FaultKind::EnospcAtSync, _) => Ok(None),
            (FaultKind::Eio | FaultKind::ShortWrite, _) => Err(eio()),
            (FaultKind::PowerOff, _) => {
                self.off = true;
                Err(eio())
            }
        }
    }

    fn begin_read(&mut self, epoch: u64) -> io::Result<Option<u64>> {
        if self.off || epoch != self.epoch {
            return Err(eio());
        }
        let read = self.reads;
        self.reads += 1;
        Ok(self
            .flip
            .and_then(|flip| (flip.at_read == read).then_some(flip.seed)))
    }

    /// What named and open files take; the space of others has been given back.
    fn used_bytes(&self) -> u64 {
        let named: BTreeSet<_> = self.names.values().collect();
        self.files
            .iter()
            .filter(|(file, inode)| inode.handles > 0 || named.contains(file))
            .map(|(_, inode)| to_u64(inode.bytes.len()))
            .sum()
    }

    fn take_space(&self, grown_bytes: usize) -> io::Result<()> {
        match self.capacity_bytes {
            Some(capacity)
                if grown_bytes > 0
                    && self.used_bytes().saturating_add(to_u64(grown_bytes)) > capacity =>
            {
                Err(enospc())
            }
            _ => Ok(()),
        }
    }

    fn check_parent(&self, path: &str) -> io::Result<()> {
        let parent = parent(path);
        if parent.is_empty() || self.directories.contains(parent) {
            Ok(())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn change_name(&mut self, directory: &str, change: NameChange) {
        self.pending_names
            .entry(directory.to_owned())
            .or_default()
            .push(change);
    }

    fn apply_durably(&mut self, change: NameChange) {
        match change {
            NameChange::Add(path, file) => {
                self.durable_names.insert(path, file);
            }
            NameChange::Remove(path) => {
                self.durable_names.remove(&path);
            }
            NameChange::Rename(from, to, file) => {
                if self.durable_names.get(&from) == Some(&file) {
                    self.durable_names.remove(&from);
                }
                // The creation of the old name is undone with it.
                if let Some(changes) = self.pending_names.get_mut(parent(&from)) {
                    changes.retain(
                        |change| !matches!(change, NameChange::Add(path, _) if *path == from),
                    );
                }
                self.durable_names.insert(to, file);
            }
        }
    }

    fn lose(&mut self, survival: &mut Survival) {
        let directories: Vec<_> = self.pending_names.keys().cloned().collect();
        for directory in directories {
            let changes = self.pending_names.remove(&directory).unwrap_or_default();
            let prefix = survival.prefix(changes.len());
            for change in changes.into_iter().take(prefix) {
                if !survival.one_in(4) {
                    self.apply_durably(change);
                }
            }
        }
        self.names.clone_from(&self.durable_names);
        for inode in self.files.values_mut() {
            inode.lose(survival);
        }
    }

    fn drop_nameless(&mut self) {
        let files: Vec<_> = self.files.keys().copied().collect();
        for file in files {
            if !self.may_be_named(file) {
                self.files.remove(&file);
            } else if let Some(inode) = self.files.get_mut(&file) {
                inode.handles = 0;
            }
        }
    }

    /// Whether a name leads to the file, or may again after a crash.
    fn may_be_named(&self, file: u64) -> bool {
        let mut names = self.names.values().chain(self.durable_names.values());
        names.any(|of| *of == file)
            || self
                .pending_names
                .values()
                .flatten()
                .any(|change| match change {
                    NameChange::Add(_, of) | NameChange::Rename(_, _, of) => *of == file,
                    NameChange::Remove(_) => false,
                })
    }
}

impl SimInode {
    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            apply(&mut self.durable, &change);
        }
    }

    fn lose(&mut self, survival: &mut Survival) {
        let pending = std::mem::take(&mut self.pending);
        let prefix = survival.prefix(pending.len());
        for change in pending.into_iter().take(prefix) {
            if survival.one_in(4) {
                continue;
            }
            match change {
                Change::Write(offset, bytes) if survival.one_in(2) => {
                    for (start, sector) in sectors(offset, &bytes) {
                        if !survival.one_in(3) {
                            apply(&mut self.durable, &Change::Write(start, sector.to_vec()));
                        }
                    }
                }
                Change::Write(..) | Change::SetLen(_) => apply(&mut self.durable, &change),
            }
        }
        self.bytes.clone_from(&self.durable);
    }
}

/// The pieces of a write that a disk writes whole.
fn sectors(offset: usize, bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut pieces = Vec::new();
    let (mut at, mut rest) = (offset, bytes);
    while !rest.is_empty() {
        let room = SECTOR_LEN_BYTES - at % SECTOR_LEN_BYTES;
        let (piece, behind) = rest.split_at(room.min(rest.len()));
        pieces.push((at, piece));
        at += piece.len();
        rest = behind;
    }
    pieces
}

fn apply(contents: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, bytes) => {
            let end = offset + bytes.len();
            if contents.len() < end {
                contents.resize(end, 0);
            }
            if let Some(place) = contents.get_mut(*offset..end) {
                place.copy_from_slice(bytes);
            }
        }
        Change::SetLen(len) => contents.resize(*len, 0),
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        let epoch = state.epoch;
        state.begin(epoch, Operation::Grow)?;
        state.check_parent(path)?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.next_file;
        state.next_file += 1;
        state.files.insert(file, SimInode::default());
        state.names.insert(path.to_owned(), file);
        state.change_name(parent(path), NameChange::Add(path.to_owned(), file));
        Ok(self.handle(&mut state, file))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        if state.off {
            return Err(eio());
        }
        let file = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(&mut state, file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let epoch = state.epoch;
        state.begin(epoch, Operation::Grow)?;
        state.check_parent(to)?;
        let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        state.change_name(
            parent(to),
            NameChange::Rename(from.to_owned(), to.to_owned(), file),
        );
        Ok(())
    }

    fn unlink(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let epoch = state.epoch;
        state.begin(epoch, Operation::Other)?;
        state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        state.change_name(parent(path), NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        if state.off {
            return Err(eio());
        }
        if !directory.is_empty() && !state.directories.contains(directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let paths = state.names.keys().chain(&state.directories);
        let mut names: Vec<_> = paths
            .filter(|path| parent(path) == directory)
            .map(|path| path.rsplit('/').next().unwrap_or(path).to_owned())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        let state = self.state.lock();
        if state.off {
            return Err(eio());
        }
        Ok(state.names.contains_key(path))
    }

    fn create_dir(&self, directory: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let epoch = state.epoch;
        state.begin(epoch, Operation::Grow)?;
        state.check_parent(directory)?;
        // Directories are made once, when a store is formatted: they are durable at once here.
        state.directories.insert(directory.to_owned());
        Ok(())
    }

    fn sync_dir(&self, directory: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let epoch = state.epoch;
        state.begin(epoch, Operation::Sync)?;
        for change in state.pending_names.remove(directory).unwrap_or_default() {
            state.apply_durably(change);
        }
        Ok(())
    }

    fn available_bytes(&self) -> io::Result<u64> {
        let state = self.state.lock();
        if state.off {
            return Err(eio());
        }
        Ok(state
            .capacity_bytes
            .unwrap_or(1 << 50)
            .saturating_sub(state.used_bytes()))
    }
}

impl SimDisk {
    fn handle(&self, state: &mut State, file: u64) -> Arc<dyn DiskFile> {
        if let Some(inode) = state.files.get_mut(&file) {
            inode.handles += 1;
        }
        Arc::new(SimFile {
            state: Arc::clone(&self.state),
            file,
            epoch: state.epoch,
        })
    }
}

#[derive(Debug)]
struct SimFile {
    state: Arc<Mutex<State>>,
    file: u64,
    epoch: u64,
}

impl SimFile {
    fn change(&self, change: Change) -> io::Result<()> {
        let mut state = self.state.lock();
        let len = state.inode(self.file)?.bytes.len();
        let end = match &change {
            Change::Write(offset, bytes) => offset + bytes.len(),
            Change::SetLen(end) => *end,
        };
        let what = match &change {
            Change::Write(..) => Operation::Write,
            Change::SetLen(_) if end > len => Operation::Grow,
            Change::SetLen(_) => Operation::Other,
        };
        let failed = state.begin(self.epoch, what)?;
        state.take_space(end.saturating_sub(len))?;
        let change = match change {
            Change::Write(offset, mut bytes) if failed.is_some() => {
                bytes.truncate(bytes.len() / 2);
                Change::Write(offset, bytes)
            }
            whole @ (Change::Write(..) | Change::SetLen(_)) => whole,
        };
        let inode = state.inode(self.file)?;
        apply(&mut inode.bytes, &change);
        inode.pending.push(change);
        failed.map_or(Ok(()), Err)
    }
}

impl State {
    fn inode(&mut self, file: u64) -> io::Result<&mut SimInode> {
        self.files.get_mut(&file).ok_or_else(eio)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let flip = state.begin_read(self.epoch)?;
        let found = usize::try_from(offset)
            .ok()
            .and_then(|offset| {
                let inode = state.files.get(&self.file)?;
                inode.bytes.get(offset..offset.checked_add(out.len())?)
            })
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        if let Some(seed) = flip {
            let mut random = SplitMix::new(seed);
            let at = usize::try_from(random.below(to_u64(out.len()))).unwrap_or(0);
            if let Some(byte) = out.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.change(Change::Write(offset, bytes.to_vec()))
    }

    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        if self.len_bytes()? >= len_bytes {
            return Ok(());
        }
        self.set_len(len_bytes)
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        let len = usize::try_from(len_bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.change(Change::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let begun = state.begin(self.epoch, Operation::Sync).map(drop);
        if begun.is_ok() {
            state.inode(self.file)?.sync();
        } else if !state.off && state.epoch == self.epoch {
            // "fsyncgate": the pages count as clean from now on, and are lost.
            state.inode(self.file)?.pending.clear();
        }
        begun
    }

    fn len_bytes(&self) -> io::Result<u64> {
        let mut state = self.state.lock();
        if state.off || state.epoch != self.epoch {
            return Err(eio());
        }
        Ok(to_u64(state.inode(self.file)?.bytes.len()))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        // Handles of an earlier epoch went with the crash.
        if state.epoch != self.epoch {
            return;
        }
        let Ok(inode) = state.inode(self.file) else {
            return;
        };
        inode.handles -= 1;
        if inode.handles == 0 && !state.may_be_named(self.file) {
            state.files.remove(&self.file);
        }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

fn enospc() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error())
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_with_file(synced: &[u8], unsynced: &[u8]) -> SimDisk {
        let disk = SimDisk::new();
        let file = disk.create("file").unwrap();
        file.write_at(0, synced).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir("").unwrap();
        file.write_at(to_u64(synced.len()), unsynced).unwrap();
        disk
    }

    #[test]
    fn killing_the_process_keeps_what_was_written() {
        let disk = disk_with_file(b"abc", b"def");
        let file = disk.open("file").unwrap();
        disk.crash(Crash::Killed);
        assert!(file.read_at(0, &mut [0]).is_err(), "old handles are gone");
        assert_eq!(disk.bytes("file").unwrap(), b"abcdef");
        disk.crash(Crash::DropUnsynced);
        assert_eq!(disk.bytes("file").unwrap(), b"abc");
    }

    #[test]
    fn a_name_needs_its_directory_synced() {
        let disk = SimDisk::new();
        let file = disk.create("file").unwrap();
        file.write_at(0, b"abc").unwrap();
        file.sync_data().unwrap();
        disk.crash(Crash::DropUnsynced);
        assert_eq!(disk.bytes("file"), None);
        let disk = disk_with_file(b"abc", b"");
        disk.rename("file", "other").unwrap();
        disk.crash(Crash::DropUnsynced);
        assert_eq!(disk.paths(), ["file"]);
        disk.rename("file", "other").unwrap();
        disk.sync_dir("").unwrap();
        disk.crash(Crash::DropUnsynced);
        assert_eq!(disk.paths(), ["other"]);
    }

    #[test]
    fn torn_writes_keep_whole_sectors() {
        let mut outcomes = BTreeSet::new();
        for seed in 0..200 {
            let disk = disk_with_file(&[1; 512], &[2; 2048]);
            disk.crash(Crash::Torn { seed });
            let bytes = disk.bytes("file").unwrap();
            assert_eq!(bytes[..512], [1; 512]);
            for sector in bytes[512..].chunks(512) {
                assert!(sector == [2; 512] || sector == [0; 512]);
            }
            outcomes.insert(bytes);
        }
        assert!(outcomes.len() > 5, "{}", outcomes.len());
    }

    #[test]
    fn a_failed_sync_loses_what_it_should_have_written() {
        let disk = disk_with_file(b"abc", b"def");
        let file = disk.open("file").unwrap();
        disk.set_fault(Some(Fault {
            at_operation: disk.operations(),
            kind: FaultKind::Eio,
            sticky: false,
        }));
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(disk.bytes("file").unwrap(), b"abcdef");
        disk.crash(Crash::DropUnsynced);
        assert_eq!(disk.bytes("file").unwrap(), b"abc");
    }

    #[test]
    fn a_full_disk_refuses_growth_only() {
        let disk = disk_with_file(b"abc", b"def");
        disk.set_capacity(Some(6));
        let file = disk.open("file").unwrap();
        let error = file.write_at(6, b"g").unwrap_err();
        assert!(super::super::is_full(&error));
        file.write_at(0, b"ABC").unwrap();
        disk.unlink("file").unwrap();
        disk.sync_dir("").unwrap();
        drop(file);
        assert_eq!(disk.available_bytes().unwrap(), 6);
    }

    #[test]
    fn power_off_stops_everything() {
        let disk = disk_with_file(b"abc", b"");
        disk.set_fault(Some(Fault {
            at_operation: disk.operations(),
            kind: FaultKind::PowerOff,
            sticky: false,
        }));
        let file = disk.open("file").unwrap();
        assert!(file.write_at(0, b"x").is_err());
        assert!(file.read_at(0, &mut [0]).is_err());
        disk.crash(Crash::Killed);
        assert_eq!(disk.bytes("file").unwrap(), b"abc");
    }

    #[test]
    fn a_flipped_bit_is_read_once() {
        let disk = disk_with_file(b"abc", b"");
        let file = disk.open("file").unwrap();
        disk.flip_bit_on_read(disk.reads(), 7);
        let mut out = [0; 3];
        file.read_at(0, &mut out).unwrap();
        assert_ne!(&out, b"abc");
        file.read_at(0, &mut out).unwrap();
        assert_eq!(&out, b"abc");
    }
}
