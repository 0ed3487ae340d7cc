//! What was found so far, and of what: beside a running server it is looked at once more.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::report::Finding;

/// Beyond, findings are counted as they are and not looked at again.
const KEPT_MAX: usize = 20_000;

/// What is to be looked at again.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Subject {
    /// A row, and everything that it leads to.
    Row(u8, Bytes),
    /// A blob file.
    Blob([u8; 16]),
    /// Something that was looked at again already.
    Settled,
}

/// Findings, from many threads.
#[derive(Default)]
pub(crate) struct Findings(Mutex<Vec<(Subject, Finding)>>);

impl Findings {
    pub(crate) fn add(&self, subject: Subject, finding: Finding) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let subject = if all.len() < KEPT_MAX {
            subject
        } else {
            Subject::Settled
        };
        all.push((subject, finding));
    }

    pub(crate) fn take(&self) -> Vec<(Subject, Finding)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Which object something belongs to.
#[derive(Clone, Default, Debug)]
pub(crate) struct Whereabouts {
    pub(crate) bucket: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) version_id: Option<String>,
    pub(crate) part: Option<u16>,
    pub(crate) file: Option<String>,
}

impl Whereabouts {
    pub(crate) fn finding(&self, what: &str, why: impl Into<String>) -> Finding {
        let Self {
            bucket,
            key,
            version_id,
            part,
            file,
        } = self.clone();
        Finding {
            bucket,
            key,
            version_id,
            part,
            file,
            ..Finding::damage(what, why)
        }
    }
}
