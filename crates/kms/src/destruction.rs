//! What is due: keys past their date go with everything that is theirs, imported material expires,
//! and what was remembered in memory is written.
//!
//! ```text
//!  key past its date --> "being destroyed" --> aliases, grants go --> key and materials go,
//!                                                                     shred keys are doomed
//!  doomed shred key --> its files are overwritten and removed --> its row goes
//! ```
//!
//! Each arrow is a commit, or a file operation that may be done twice. A crash between two of them
//! leaves work to do again. A shred key is destroyed only after the commit that removed the last row
//! that needs it, so a key that lives never loses one.

use std::collections::BTreeMap;

use bytes::Bytes;
use strongroom_ports::{Row, Table, Transaction};
use strongroom_types::kms::KeyArn;

use crate::due::Dates;
use crate::grants::index::{self, GranteePageRow};
use crate::grants::record::{self, GrantId};
use crate::key::{Key, Lifecycle};
use crate::rotation::is_due;
use crate::rows::{AliasRow, DoomedShredRow, GrantRow, KeyAliasRow, KeyRow};
use crate::service::damaged;
use crate::{KeyService, KmsError, keys};
use strongroom_rows::until_undisturbed;

/// Keys read at once.
const PAGE_ROWS: usize = 200;
/// Rows of one transaction.
const BATCH_ROWS: usize = 200;

/// What a run did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct DueWork {
    /// Keys that are gone now.
    pub keys_destroyed: usize,
    /// Imported materials that had expired and are gone now.
    pub materials_expired: usize,
    /// Keys that were rotated.
    pub keys_rotated: usize,
    /// Shred keys whose files are gone now.
    pub shred_keys_destroyed: usize,
    /// Shred keys of which a bad copy was replaced.
    pub shred_keys_repaired: usize,
    /// Last uses that were written.
    pub last_uses_written: usize,
    /// Destructions that wait, because the wall clock has jumped ahead.
    pub postponed: usize,
    /// Keys for which something failed; it is tried again in the next run.
    pub failed: usize,
}

impl KeyService {
    /// Does what is due. Blocks; call it in the background, about once a minute. Only one run at a
    /// time does any good; several do no harm.
    ///
    /// # Errors
    ///
    /// [`KmsError`], if the store cannot be read at all. What was done before stays done.
    pub fn run_due_work(&self) -> Result<DueWork, KmsError> {
        let may_destroy = self.clock_is_believed();
        let mut work = DueWork::default();
        if let Err(error) = self.note_time() {
            tracing::error!(%error, "the time of this round cannot be written");
            work.failed += 1;
        }
        match self.flush_last_uses() {
            Ok(written) => work.last_uses_written = written,
            // Where the disk is full there is still much to destroy.
            Err(error) => {
                tracing::error!(%error, "last uses of keys cannot be written");
                work.failed += 1;
            }
        }
        let keys_done = self.do_due_work_of_keys(may_destroy, &mut work);
        // Whatever is wrong with the keys: what is ordered is destroyed.
        self.destroy_all_doomed(&mut work)?;
        match self.scrub_shreds() {
            Ok(repaired) => work.shred_keys_repaired = repaired,
            Err(error) => {
                tracing::error!(%error, "shred keys cannot be verified");
                work.failed += 1;
            }
        }
        keys_done?;
        if let Err(error) = self.tell_endings() {
            tracing::error!(%error, "what was told of the ends of keys is not kept");
            work.failed += 1;
        }
        Ok(work)
    }

    fn do_due_work_of_keys(&self, may_destroy: bool, work: &mut DueWork) -> Result<(), KmsError> {
        let now = self.ports.clock.monotonic();
        if self.shared.due.begin_scan(now) {
            let dates = self.read_all_dates(work)?;
            self.shared.due.end_scan(now, dates);
        }
        work.failed += self.read_changed_dates();
        for arn in self.shared.due.due(self.now()) {
            let done = self.opened_key(&arn).and_then(|opened| match opened {
                Some(opened) => self.do_due_work_of(&opened.key, may_destroy, work),
                None => Ok(()),
            });
            // One key that cannot be worked on must not hold up the others.
            if let Err(error) = done {
                tracing::error!(%error, key = %arn, "due work of a key failed");
                work.failed += 1;
            }
        }
        work.failed += self.read_changed_dates();
        Ok(())
    }

    /// Reads all keys. One that cannot be read is counted as failed.
    fn read_all_dates(&self, work: &mut DueWork) -> Result<BTreeMap<KeyArn, Dates>, KmsError> {
        let mut start = Bytes::new();
        let mut dates = BTreeMap::new();
        loop {
            let (page, more) =
                self.scan_each::<KeyRow>(Table::KMS_KEYS, (start, None), PAGE_ROWS)?;
            let last = page.last().map(|(row, _)| keys::behind(&row.key));
            for (row, record) in page {
                let key = record.and_then(|record| {
                    let arn = keys::parse_key(&row.key).ok_or_else(damaged)?;
                    Key::from_row(arn, record).ok_or_else(damaged)
                });
                match key {
                    Ok(key) => dates.extend(Dates::of(&key).map(|it| (key.arn, it))),
                    // One key that cannot be read must not hold up the others.
                    Err(error) => {
                        tracing::error!(%error, "due work of a key failed");
                        work.failed += 1;
                    }
                }
            }
            match last {
                Some(next) if more => start = next,
                _ => return Ok(dates),
            }
        }
    }

    /// Reads the keys again that have changed since they were read. Of how many it failed: they are
    /// tried again.
    pub(crate) fn read_changed_dates(&self) -> usize {
        let mut failed = 0;
        for arn in self.shared.due.take_changed() {
            match self.opened_key(&arn) {
                Ok(opened) => {
                    let dates = opened.and_then(|opened| Dates::of(&opened.key));
                    self.shared.due.set(arn, dates);
                }
                Err(error) => {
                    tracing::error!(%error, key = %arn, "the dates of a key cannot be read");
                    self.shared.due.touch(&arn);
                    failed += 1;
                }
            }
        }
        failed
    }

    fn do_due_work_of(
        &self,
        key: &Key,
        may_destroy: bool,
        work: &mut DueWork,
    ) -> Result<(), KmsError> {
        let now = self.now();
        match key.lifecycle {
            Lifecycle::Destroying => return self.destroy(&key.arn, work),
            Lifecycle::PendingDeletion { until } if until <= now => {
                if !may_destroy {
                    work.postponed += 1;
                } else if self.condemn(&key.arn)? {
                    return self.destroy(&key.arn, work);
                }
                return Ok(());
            }
            Lifecycle::PendingDeletion { .. } | Lifecycle::Enabled | Lifecycle::Disabled => {}
        }
        if key.materials.iter().any(|it| it.has_expired(now)) {
            if may_destroy {
                work.materials_expired += self.expire_materials(&key.arn)?;
            } else {
                work.postponed += 1;
            }
        }
        if is_due(key, now) && self.rotate_if_due(&key.arn)? {
            work.keys_rotated += 1;
        }
        Ok(())
    }

    /// Takes the step from which there is no way back. False if the key was saved in time.
    fn condemn(&self, arn: &KeyArn) -> Result<bool, KmsError> {
        until_undisturbed(|| {
            let Some(opened) = self.opened_key(arn)? else {
                return Ok(false);
            };
            match opened.key.lifecycle {
                Lifecycle::PendingDeletion { until } if until <= self.now() => {}
                Lifecycle::Destroying => return Ok(true),
                Lifecycle::PendingDeletion { .. } | Lifecycle::Enabled | Lifecycle::Disabled => {
                    return Ok(false);
                }
            }
            let key = Key {
                lifecycle: Lifecycle::Destroying,
                ..opened.key.clone()
            };
            let transaction =
                Transaction::new().expect(Table::KMS_KEYS, keys::key(arn), Some(opened.version));
            let transaction = self.put_key(transaction, &key)?.taking_away();
            self.commit(transaction, &[self.by_itself("DeleteKey", arn)], &[arn])?;
            tracing::info!(key = %arn, "the key is being destroyed");
            Ok(true)
        })
    }

    /// Removes what is left of a condemned key. May be interrupted anywhere, and begun again.
    fn destroy(&self, arn: &KeyArn, work: &mut DueWork) -> Result<(), KmsError> {
        self.remove_aliases(arn)?;
        self.remove_grants(arn)?;
        let removed = until_undisturbed::<_, KmsError>(|| {
            let Some(opened) = self.opened_key(arn)? else {
                return Ok(false);
            };
            let row_key = keys::key(arn);
            let mut transaction = Transaction::new()
                .taking_away()
                .expect(Table::KMS_KEYS, row_key.clone(), Some(opened.version))
                .delete(Table::KMS_KEYS, row_key)
                .delete(Table::KMS_LAST_USAGE, keys::last_usage(arn.id))
                .delete(Table::KMS_ANNOUNCED, keys::announced(arn.id))
                .delete(Table::KMS_RETIRABLE_GRANTS, record::count_key(arn.id));
            for material in &opened.key.materials {
                let gone = material
                    .import
                    .as_ref()
                    .is_some_and(|import| !import.present);
                if !gone {
                    transaction = self.doom_material(transaction, arn, material)?;
                }
            }
            self.commit(transaction, &[], &[arn])?;
            Ok(true)
        })?;
        self.forget_uses(arn.id);
        self.forget_endings(arn);
        if removed {
            tracing::info!(key = %arn, "the key is destroyed");
            work.keys_destroyed += 1;
        }
        Ok(())
    }

    fn remove_aliases(&self, arn: &KeyArn) -> Result<(), KmsError> {
        loop {
            let (page, _) = self.ports.rows.scan::<KeyAliasRow>(
                Table::KMS_KEY_ALIASES,
                keys::aliases_of_key(arn.id),
                BATCH_ROWS,
            )?;
            if page.is_empty() {
                return Ok(());
            }
            for (row, _) in page {
                let name = keys::parse_key_alias(&row.key).ok_or_else(damaged)?;
                let alias = keys::alias(arn.account, &arn.region, &name);
                until_undisturbed(|| {
                    let mut transaction =
                        Transaction::new().delete(Table::KMS_KEY_ALIASES, row.key.clone());
                    // It may point elsewhere by now.
                    if let Some((record, version)) =
                        self.read::<AliasRow>(Table::KMS_ALIASES, &alias)?
                        && record.key == *arn.id.as_bytes()
                    {
                        transaction = transaction
                            .expect(Table::KMS_ALIASES, alias.clone(), Some(version))
                            .delete(Table::KMS_ALIASES, alias.clone());
                    }
                    self.commit(transaction, &[], &[])
                })?;
            }
        }
    }

    fn remove_grants(&self, arn: &KeyArn) -> Result<(), KmsError> {
        loop {
            let (page, _) = self.ports.rows.scan::<GrantRow>(
                Table::KMS_GRANTS,
                keys::grants_of(arn.id),
                BATCH_ROWS,
            )?;
            if page.is_empty() {
                break;
            }
            let mut transaction = Transaction::new();
            for (row, grant) in page {
                if let Some(principal) = grant.retiring_meant() {
                    let id = keys::parse_grant(&row.key).ok_or_else(damaged)?;
                    let row_key = record::retirable_key(arn, principal, GrantId(id));
                    transaction = transaction.delete(Table::KMS_RETIRABLE_GRANTS, row_key);
                }
                transaction = transaction.delete(Table::KMS_GRANTS, row.key);
            }
            self.commit(transaction, &[], &[])?;
        }
        loop {
            let (page, _) = self.ports.rows.scan::<GranteePageRow>(
                Table::KMS_RETIRABLE_GRANTS,
                index::pages_of(arn.id),
                BATCH_ROWS,
            )?;
            if page.is_empty() {
                return Ok(());
            }
            let delete = |transaction: Transaction, (row, _): (Row, GranteePageRow)| {
                transaction.delete(Table::KMS_RETIRABLE_GRANTS, row.key)
            };
            let transaction = page.into_iter().fold(Transaction::new(), delete);
            self.commit(transaction, &[], &[])?;
        }
    }

    fn destroy_all_doomed(&self, work: &mut DueWork) -> Result<(), KmsError> {
        let (mut start, end) = keys::doomed_shreds();
        loop {
            let (page, more) = self.scan_each::<DoomedShredRow>(
                Table::KMS_MATERIALS,
                (start, end.clone()),
                PAGE_ROWS,
            )?;
            let last = page.last().map(|(row, _)| keys::behind(&row.key));
            for (row, record) in page {
                let done = record
                    .and_then(|_| keys::parse_doomed_shred(&row.key).ok_or_else(damaged))
                    .and_then(|shred| self.destroy_doomed(shred));
                match done {
                    Ok(()) => work.shred_keys_destroyed += 1,
                    Err(error) => {
                        tracing::error!(%error, "a shred key cannot be destroyed yet");
                        work.failed += 1;
                    }
                }
            }
            match last {
                Some(next) if more => start = next,
                _ => return Ok(()),
            }
        }
    }
}
