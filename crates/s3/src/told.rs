//! The record of a change of a bucket: it becomes durable with the change, or neither does.

use std::fmt;

use strongroom_policy::Action;
use strongroom_ports::Transaction;
use strongroom_types::AccountId;

use crate::{Entry, S3, S3Error};

/// The record of one call, which the change that it asks for takes along.
pub trait ChangeRecord: fmt::Debug + Send + Sync {
    /// Adds the record to the transaction of the change of a bucket of `owner`'s. Asked once more
    /// for each attempt: what was added to one that failed is nothing.
    fn add(&self, transaction: Transaction, owner: AccountId) -> Transaction;

    /// The change is durable, and the record with it.
    fn kept(&self);
}

impl S3 {
    /// Commits a change of a bucket of `owner`'s, and the record of the call that asks for it. Blocks
    /// until both are durable.
    ///
    /// # Errors
    ///
    /// [`S3Error::Contention`], [`S3Error::NoSpace`], [`S3Error::Unavailable`].
    pub(crate) fn commit_told<A: Action>(
        &self,
        entry: &Entry<A>,
        owner: AccountId,
        transaction: Transaction,
    ) -> Result<(), S3Error> {
        let Some(record) = entry.record.as_deref() else {
            self.ports.meta.commit(transaction).wait()?;
            return Ok(());
        };
        let transaction = record.add(transaction, owner);
        self.ports.meta.commit(transaction).wait()?;
        record.kept();
        Ok(())
    }
}
