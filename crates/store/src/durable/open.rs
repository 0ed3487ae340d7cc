//! Opening: index, journal behind it, threads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::channel;
use std::thread;

use parking_lot::{Condvar, Mutex, RwLock};
use strongroom_types::Entropy;

use super::committer::{Committer, journal_bytes};
use super::upkeep::Upkeep;
use super::{DurableMeta, MetaOptions, Shared, Signal};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::index::{self, Index, IndexError};
use crate::journal::{self, Journal, Replayed};
use crate::keys::StoreKeys;
use crate::memtable::Memtable;
use crate::snapshot;
use crate::view::View;

/// See [`DurableMeta::open`].
pub(super) fn open(
    disk: Arc<dyn Disk>,
    keys: Arc<dyn StoreKeys>,
    entropy: Arc<dyn Entropy>,
    options: MetaOptions,
) -> Result<DurableMeta, StoreError> {
    for directory in [journal::DIRECTORY, snapshot::DIRECTORY] {
        disk.create_dir(directory)?;
        // A process that was killed may have left names that are seen and not durable; others are
        // deleted because they are there.
        disk.sync_dir(directory)?;
    }
    disk.sync_dir("")?;
    snapshot::remove_leftovers(disk.as_ref())?;
    index::remove_leftovers(disk.as_ref())?;

    let newest = snapshot::newest(disk.as_ref())?;
    let covered = newest.map_or(0, |(sequence, _)| sequence);
    let index = match open_index(disk.as_ref(), keys.as_ref(), &options)? {
        // An index from before the snapshot (put back by hand) has no journal any more.
        Some(index) if index.position()? >= covered => index,
        _ => rebuild(disk.as_ref(), keys.as_ref(), &options, newest)?,
    };
    let indexed = index.position()?;
    let mut position = indexed;
    let mut memtable = Memtable::default();
    let replayed = journal::replay(
        disk.as_ref(),
        keys.as_ref(),
        covered,
        indexed,
        &mut |sequence, writes| {
            memtable.replay(sequence, writes);
            // A long journal goes into the index in steps: memory is bounded here, too.
            if memtable.used_bytes() >= options.memtable_bytes {
                index.apply(&memtable, sequence, options.step_bytes(), &mut drop)?;
                position = sequence;
                memtable = Memtable::default();
            }
            Ok(())
        },
    )?;
    let Replayed {
        segments,
        next_number,
        last_sequence,
    } = replayed;

    let behind = segments
        .iter()
        .position(|segment| segment.first_sequence > covered)
        .unwrap_or(segments.len());
    let since_snapshot = segments.get(behind..).unwrap_or_default();
    let since_snapshot = journal_bytes(since_snapshot);
    let signal = Signal {
        journal_bytes: since_snapshot,
        // No more than that.
        indexed_bytes: since_snapshot,
        segments: segments.clone(),
        ..Signal::default()
    };
    let view = View {
        active: Arc::new(RwLock::new(memtable)),
        frozen: None,
        index: Arc::new(index.reader()?),
        generation: 0,
    };
    let journal = Journal::new(
        Arc::clone(&disk),
        Arc::clone(&keys),
        Arc::clone(&entropy),
        options.journal_file_len_bytes,
        segments,
        next_number,
    );
    let shared = Arc::new(Shared {
        disk,
        keys,
        entropy,
        options,
        view: RwLock::new(Arc::new(view)),
        stopped: Mutex::default(),
        upkeep: Mutex::new(Upkeep {
            index: Some(index),
            position,
            snapshot: newest,
        }),
        signal: Mutex::new(signal),
        changed: Condvar::new(),
        holds: AtomicUsize::new(0),
    });
    start(shared, journal, last_sequence)
}

fn start(
    shared: Arc<Shared>,
    journal: Journal,
    last_sequence: u64,
) -> Result<DurableMeta, StoreError> {
    let (queue, jobs) = channel();
    // From here on dropping the store ends what was started.
    let mut meta = DurableMeta {
        shared: Arc::clone(&shared),
        queue: Some(queue),
        threads: Vec::new(),
    };
    let committer = Committer::new(Arc::clone(&shared), jobs, journal, last_sequence);
    let named = |name: &str| thread::Builder::new().name(name.to_owned());
    meta.threads
        .push(named("meta-committer").spawn(move || committer.run())?);
    meta.threads
        .push(named("meta-upkeep").spawn(move || shared.run_upkeep())?);
    Ok(meta)
}

/// Opens the index; `None` if there is none, or one that cannot be read.
fn open_index(
    disk: &dyn Disk,
    keys: &dyn StoreKeys,
    options: &MetaOptions,
) -> Result<Option<Index>, StoreError> {
    let file = match disk.open(index::PATH) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if file.len_bytes()? == 0 {
        return Ok(None);
    }
    let opened = Index::open(file, keys.index(), options.index_cache_bytes)
        .and_then(|index| index.position().map(|_| index));
    match opened {
        Ok(index) => Ok(Some(index)),
        Err(IndexError::Io(error)) => Err(error.into()),
        Err(IndexError::Unreadable(reason)) => {
            tracing::warn!(reason, "the index cannot be read and is rebuilt");
            Ok(None)
        }
    }
}

/// Makes an index from the newest snapshot, or an empty one. The journal does the rest.
fn rebuild(
    disk: &dyn Disk,
    keys: &dyn StoreKeys,
    options: &MetaOptions,
    newest: Option<(u64, u64)>,
) -> Result<Index, StoreError> {
    if newest.is_some() {
        // With the wrong keys, or a damaged snapshot, the old file stays where it is.
        tracing::info!("rebuilding the index from the newest snapshot");
    }
    // Proves the keys and the order of the journal before anything is replaced.
    journal::check(disk, keys, newest.map_or(0, |(sequence, _)| sequence))?;
    let file = disk.create(index::REBUILD_PATH)?;
    let index = Index::open(file, keys.index(), options.index_cache_bytes)?;
    if let Some((sequence, _)) = newest {
        index.fill(sequence, &mut snapshot::read(disk, keys, sequence)?)?;
    }
    disk.rename(index::REBUILD_PATH, index::PATH)?;
    disk.sync_dir("")?;
    Ok(index)
}
