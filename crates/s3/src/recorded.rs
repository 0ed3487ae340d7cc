//! Answers that wait until the uses of keys that they come from are recorded.

use std::fmt;

use strongroom_ports::{CommitError, KeyError, PendingCommit, UseRecord};

use crate::S3Error;

/// The records of the uses of keys that a request makes, on their way to the disk while it goes on.
#[derive(Debug, Default)]
#[must_use = "the answer must wait for the records"]
pub(crate) struct KeyUses(Vec<PendingCommit>);

impl KeyUses {
    /// The use of a key, if it is one that is recorded.
    pub(crate) fn of(record: Option<UseRecord>) -> Self {
        let mut uses = Self::default();
        if let Some(record) = record {
            uses.add(record);
        }
        uses
    }

    /// One more.
    pub(crate) fn add(&mut self, record: UseRecord) {
        self.0.push(record.submit());
    }

    /// What the request comes to, good or bad.
    pub(crate) fn recorded<T>(self, outcome: Result<T, S3Error>) -> Recorded<T> {
        Recorded {
            outcome,
            uses: self.0,
        }
    }
}

/// What a request comes to, which may be told once the records of its uses of keys are durable. Where
/// one cannot be written, it is told that the key service is not available, and nothing else.
#[must_use = "it may be answered only when the records of the keys' uses are durable"]
pub struct Recorded<T> {
    outcome: Result<T, S3Error>,
    uses: Vec<PendingCommit>,
}

impl<T> Recorded<T> {
    /// Waits, in a task.
    ///
    /// # Errors
    ///
    /// [`S3Error::Kms`] without a record; else the request's own.
    pub async fn durable(self) -> Result<T, S3Error> {
        for receipt in self.uses {
            receipt.await.map_err(|error| unrecorded(&error))?;
        }
        self.outcome
    }

    /// As [`Recorded::durable`], on a worker: blocks.
    ///
    /// # Errors
    ///
    /// As [`Recorded::durable`].
    pub fn wait(self) -> Result<T, S3Error> {
        for receipt in self.uses {
            receipt.wait().map_err(|error| unrecorded(&error))?;
        }
        self.outcome
    }

    /// What becomes of the outcome, without looking at it before the records are durable.
    pub fn map<U>(
        self,
        with: impl FnOnce(Result<T, S3Error>) -> Result<U, S3Error>,
    ) -> Recorded<U> {
        Recorded {
            outcome: with(self.outcome),
            uses: self.uses,
        }
    }

    /// This, unless only memory was asked and did not know: that is no answer, and is found out at
    /// once.
    ///
    /// # Errors
    ///
    /// [`S3Error::NotInMemory`].
    pub fn known(self) -> Result<Self, S3Error> {
        match self.outcome {
            Err(S3Error::NotInMemory) => Err(S3Error::NotInMemory),
            Ok(_) | Err(_) => Ok(self),
        }
    }
}

impl<T> fmt::Debug for Recorded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorded({} uses)", self.uses.len())
    }
}

fn unrecorded(error: &CommitError) -> S3Error {
    tracing::error!(%error, "the use of a key cannot be recorded");
    S3Error::Kms(KeyError::Unavailable)
}
