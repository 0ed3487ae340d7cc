//! Journals that `fuzz/` makes up. Nothing here is part of the product.

use std::sync::Arc;

use strongroom_types::Entropy;

use crate::disk::{Disk, SimDisk};
use crate::error::StoreError;
use crate::frame::FrameSealer;
use crate::journal::{self, Journal};
use crate::keys::StoreKeys;

/// Replays a journal of one file; returns the transactions and the last sequence.
///
/// # Errors
///
/// [`StoreError`] for whatever is not a journal, or one that is damaged.
pub fn replay(file: &[u8], keys: &dyn StoreKeys) -> Result<(u64, u64), StoreError> {
    let disk = SimDisk::new();
    disk.create_dir(journal::DIRECTORY)?;
    let path = journal::path(1);
    disk.create(&path)?.write_at(0, file)?;
    let replay = || {
        let mut transactions = 0;
        let replayed = journal::replay(&disk, keys, 0, 0, &mut |_, _| {
            transactions += 1;
            Ok(())
        })?;
        Ok::<(u64, u64), StoreError>((transactions, replayed.last_sequence))
    };
    let first = replay()?;
    // What was made clean stays as it is.
    let second = replay()?;
    assert_eq!(first, second, "a second replay differs");
    Ok(first)
}

/// A journal file with a properly sealed frame for each payload, whatever the payloads say.
///
/// # Errors
///
/// [`StoreError`] if a payload is too long for a frame.
pub fn sealed(
    payloads: &[&[u8]],
    keys: Arc<dyn StoreKeys>,
    entropy: Arc<dyn Entropy>,
) -> Result<Vec<u8>, StoreError> {
    let disk = SimDisk::new();
    disk.create_dir(journal::DIRECTORY)?;
    let room = payloads
        .iter()
        .map(|payload| payload.len() + 64)
        .sum::<usize>();
    let room = crate::frame::to_u64(room + 256);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut journal = Journal::new(shared, keys, entropy, room, Vec::new(), 1);
    let mut buffer = Vec::new();
    for payload in payloads {
        FrameSealer::begin(&mut buffer);
        buffer.extend_from_slice(payload);
        journal
            .append(1, &mut buffer)
            .map_err(|error| StoreError::Damaged(format!("{error:?}")))?;
    }
    Ok(disk.bytes(&journal::path(1)).unwrap_or_default())
}
