//! Shred files: two copies of each, which open as what their names say.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use strongroom_crypto::{Keyring, ShredId, Unsealed, shred_file_names};

use crate::blobs::Ids;
use crate::report::{Finding, Kind};
use crate::text::{hex, parse_hex};

const COPIES: [&str; 2] = ["a", "b"];

/// What came of it.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Copies that are sound.
    pub(crate) sound: u64,
    /// Shred keys that nothing names.
    pub(crate) orphans: u64,
    pub(crate) findings: Vec<Finding>,
}

/// Looks at all shred files. `named` are those of key materials, if rows could be read; `ring_ids`
/// those of the store's ring, if a copy of it could.
///
/// # Errors
///
/// The operating system's, of directories.
pub(crate) fn check(
    directory: &Path,
    ring: Option<&Keyring<Unsealed>>,
    named: Option<&Ids>,
    ring_ids: &[[u8; 16]],
) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut found: BTreeMap<[u8; 16], [bool; 2]> = BTreeMap::new();
    for (index, copy) in COPIES.into_iter().enumerate() {
        let entries = match fs::read_dir(directory.join(copy)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let name = entry?.file_name();
            if let Some(id) = name.to_str().and_then(parse_hex)
                && let Some(there) = found.entry(id).or_default().get_mut(index)
            {
                *there = true;
            }
        }
    }
    for (id, there) in found {
        let is_named = named.is_none_or(|named| named.contains(&id));
        if !is_named {
            outcome.orphans += 1;
        }
        let mut contents = Vec::new();
        for (copy, there) in COPIES.into_iter().zip(there) {
            let file = format!("shreds/{copy}/{}", hex(&id));
            let mut tell = |why: &str| {
                let finding = Finding::damage("shred", why).in_file(file.clone());
                // Without a material there is nothing that it could shred.
                outcome.findings.push(if is_named {
                    finding
                } else {
                    finding.of_kind(Kind::Leftover)
                });
            };
            if !there {
                tell("one of the two copies of a shred file is missing");
                continue;
            }
            let stored = match fs::read(directory.join(copy).join(hex(&id))) {
                Ok(stored) => stored,
                Err(error) => {
                    tell(&error.to_string());
                    continue;
                }
            };
            let Ok((ring_id, own)) = shred_file_names(&stored) else {
                tell("a shred file is damaged");
                continue;
            };
            if own != ShredId::from_bytes(id) {
                tell("it is the file of another shred key");
                continue;
            }
            if !ring_ids.is_empty() && !ring_ids.contains(&ring_id) {
                tell("it is a shred file of another store");
                continue;
            }
            let opens = |ring: &Keyring<Unsealed>| {
                ring.open_shred_key(ShredId::from_bytes(id), &stored)
                    .is_ok()
            };
            if !ring.is_none_or(opens) {
                tell("a shred file does not open: it is another's, or an older copy");
                continue;
            }
            contents.push(stored);
            outcome.sound += 1;
        }
        if let [a, b] = contents.as_slice()
            && a != b
        {
            let why = "the copies of a shred file differ";
            let file = format!("shreds/b/{}", hex(&id));
            outcome
                .findings
                .push(Finding::damage("shred", why).in_file(file));
        }
    }
    Ok(outcome)
}
