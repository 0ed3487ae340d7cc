//! The two copies of the key ring.

use std::fs;
use std::io;
use std::path::Path;

use strongroom_crypto::{Keyring, Sealed};
use strongroom_recover::records::Account;

use crate::keys::Custody;
use crate::report::Finding;

const COPIES: [&str; 2] = ["ring.a", "ring.b"];

/// The ids that the sound copies say, which needs no key.
pub(crate) fn ids(ring: &Path) -> Vec<[u8; 16]> {
    let read = COPIES
        .iter()
        .filter_map(|name| fs::read(ring.join(name)).ok());
    read.filter_map(|bytes| Keyring::<Sealed>::parse(&bytes).ok())
        .map(|parsed| parsed.ring_id())
        .collect()
}

/// Looks at both copies: alone, against each other, and with the keys that are in use. How many are
/// sound, and findings.
pub(crate) fn check(
    ring: &Path,
    custody: Option<&Custody>,
    account: Option<&Account>,
) -> (u64, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut sound: Vec<(&str, u64, Vec<u8>)> = Vec::new();
    for name in COPIES {
        let damage = |why: String| Finding::damage("ring", why).in_file(format!("ring/{name}"));
        let bytes = match fs::read(ring.join(name)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                findings.push(damage("a copy of the key ring is missing".to_owned()));
                continue;
            }
            Err(error) => {
                findings.push(damage(error.to_string()));
                continue;
            }
        };
        let parsed = match Keyring::<Sealed>::parse(&bytes) {
            Ok(parsed) => parsed,
            Err(error) => {
                findings.push(damage(format!(
                    "a copy of the key ring is damaged: {error}"
                )));
                continue;
            }
        };
        let generation = parsed.generation();
        if let Some(custody) = custody {
            let ring_id = parsed.ring_id();
            match (custody.unseal)(parsed) {
                Ok(_) => {}
                Err(error) => {
                    findings.push(damage(format!(
                        "a copy of the key ring does not open: {error}"
                    )));
                    continue;
                }
            }
            if ring_id != (custody.ring)().ring_id() {
                findings.push(damage("it is the ring of another store".to_owned()));
                continue;
            }
        }
        if let Some(seen) = account
            .and_then(|it| it.ring_generation)
            .filter(|it| *it > generation)
        {
            findings.push(damage(format!(
                "it is an older ring put back: generation {generation}, and the store has seen {seen}"
            )));
            continue;
        }
        sound.push((name, generation, bytes));
    }
    if let [(a, older, one), (b, newer, other)] = sound.as_slice()
        && one != other
    {
        let name = if older < newer { a } else { b };
        let why = "the copies of the key ring differ; the next start writes the newer one twice";
        findings.push(Finding::damage("ring", why).in_file(format!("ring/{name}")));
        return (1, findings);
    }
    (u64::try_from(sound.len()).unwrap_or_default(), findings)
}
