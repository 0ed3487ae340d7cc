//! Findings about the key ring and the seals that open it.

use std::sync::Arc;

use strongroom_crypto::{Keyring, Sealed};
use strongroom_ports::{Entropy, SealError};

use super::{Finding, Severity, fatal, warning};
use crate::config::Settings;
use crate::failure::Exit;
use crate::key_file::{self, KeyFileError};
use crate::ring_files::{CopyFault, RingFiles};
use crate::seals::means::{KeyFileFailure, Means, may_open_later};
use crate::seals::slots::{self, Slot};
use crate::unseal::Environment;

/// What is wrong with the key ring, and with the seals that nobody must be asked for.
pub(super) fn check(
    settings: &Settings,
    entropy: &Arc<dyn Entropy>,
    environment: Environment<'_>,
) -> Vec<Finding> {
    let copies = RingFiles::new(settings.data.ring()).inspect();
    let mut findings = Vec::new();
    let missing = |copy: &crate::ring_files::Copy| matches!(copy.ring, Err(CopyFault::Missing));
    if copies.iter().all(missing) {
        if settings.data.holds_data().unwrap_or(true) {
            findings.push(fatal(
                7,
                Exit::Ring,
                "there is data, but its key ring is missing",
                "restore DIR/ring from a backup; a new ring is never made over data",
            ));
        }
        return findings;
    }
    let faults: Vec<String> = copies
        .iter()
        .filter_map(|copy| {
            copy.ring
                .as_ref()
                .err()
                .map(|fault| format!("{} {}", copy.name, fault.describe()))
        })
        .collect();
    let Some(ring) = copies.iter().find_map(|copy| copy.ring.as_ref().ok()) else {
        findings.push(fatal(
            6,
            Exit::Ring,
            format!("no copy of the key ring can be used: {}", faults.join("; ")),
            "restore DIR/ring/ring.a or ring.b from a backup",
        ));
        return findings;
    };
    if !faults.is_empty() {
        findings.push(warning(
            6,
            format!("{}; the next start repairs it", faults.join("; ")),
            "look at the disk: it may be failing",
        ));
    }
    let slots = slots::of(ring);
    findings.extend(check_seal_count(settings, &slots));
    // Nobody is asked, and no service: that is for the start, which then may wait sealed.
    let may_wait = slots.iter().any(may_open_later);
    let means = Means::of_settings(settings, entropy, environment);
    let mut seal_findings = Vec::new();
    for slot in slots.iter().filter(|slot| !may_open_later(slot)) {
        match means.try_key_files(ring, slot) {
            Ok(opened_by) => {
                if let Some(path) = opened_by.path
                    && key_file::lies_in(&path, settings.data.root())
                {
                    findings.push(warning(
                        5,
                        format!(
                            "{} lies in the data directory: a thief of the data has the key",
                            path.display()
                        ),
                        "move it to another place and name that with --key-file",
                    ));
                }
                return findings;
            }
            Err(failures) => seal_findings.extend(
                failures
                    .into_iter()
                    .map(|failure| key_file_finding(ring, failure)),
            ),
        }
    }
    if may_wait {
        // The start may be sealed then, which somebody can do something about.
        let as_warning = |finding: Finding| Finding {
            severity: Severity::Warning,
            ..finding
        };
        findings.extend(seal_findings.into_iter().map(as_warning));
        return findings;
    }
    if seal_findings.is_empty() {
        seal_findings.push(fatal(
            3,
            Exit::Seal,
            "the key ring has no seal that this program knows",
            "start the newer strongroom",
        ));
    }
    // The most telling first: a file that is there and wrong says more than one that is missing.
    seal_findings.sort_by_key(|finding| std::cmp::Reverse(finding.number));
    seal_findings.dedup();
    findings.extend(seal_findings);
    findings
}

/// Losing the only seal is the likeliest way to lose everything.
fn check_seal_count(settings: &Settings, slots: &[Slot<'_>]) -> Option<Finding> {
    let holds_data = settings.data.holds_data().unwrap_or(true);
    (slots.len() < 2 && holds_data).then(|| {
        warning(
            12,
            "there is data, and the key ring has one seal only: whoever loses it loses the data",
            "add a second one, kept elsewhere: strongroom seal add --help shows the kinds",
        )
    })
}

fn key_file_finding(ring: &Keyring<Sealed>, failure: KeyFileFailure) -> Finding {
    match failure {
        KeyFileFailure::Seal(path, SealError::WrongSeal(_)) => fatal(
            5,
            Exit::Seal,
            format!(
                "{path} is a key file, but not of this key ring {}",
                hex::encode(ring.ring_id())
            ),
            "name this store's key file with --key-file FILE",
        ),
        KeyFileFailure::Seal(_, error) => fatal(
            5,
            Exit::Seal,
            error.to_string(),
            "use another seal with --key-file FILE",
        ),
        KeyFileFailure::File(error @ KeyFileError::Exposed { .. }) => {
            let remedy = match &error {
                KeyFileError::Exposed { path, .. } => format!(
                    "chmod 600 {}, and think about who may have read it",
                    path.display()
                ),
                KeyFileError::Missing(_)
                | KeyFileError::NotAKeyFile(_)
                | KeyFileError::Io { .. } => String::new(),
            };
            fatal(4, Exit::Seal, error.to_string(), remedy)
        }
        KeyFileFailure::File(error @ KeyFileError::Missing(_)) => fatal(
            3,
            Exit::Seal,
            format!("the key file {error}"),
            "put it back from your copy, or name it with --key-file FILE",
        ),
        KeyFileFailure::File(error) => fatal(
            5,
            Exit::Seal,
            error.to_string(),
            "name another with --key-file FILE",
        ),
    }
}
