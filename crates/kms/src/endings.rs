//! Before a key dies: who endangers what is encrypted under it is heard of at once, and dates that
//! draw near are told of in time.
//!
//! ```text
//!   ScheduleKeyDeletion, DisableKey,      --> warning --+
//!   DeleteImportedKeyMaterial                           |
//!   a date is 30, 7, 1 days away          --> warning --+--> the key is to be looked at: somebody
//!                                                            counts what depends on it
//! ```
//!
//! Each date is told of once in each of these windows. What was told stands in a row, so that a
//! restart repeats nothing.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};
use parking_lot::Mutex;
use strongroom_ports::{Table, Transaction};
use strongroom_types::Timestamp;
use strongroom_types::kms::KeyArn;

use crate::due::Ending;
use crate::rows::AnnouncedRow;
use crate::{KeyService, KmsError, keys};

/// How near a date is when it is told of, in days.
pub const ENDING_WINDOWS_DAYS: [u32; 3] = [1, 7, 30];
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// Rows of one transaction.
const BATCH_ROWS: usize = 200;

/// What is remembered between rounds.
#[derive(Default)]
pub(crate) struct Endings {
    told: Mutex<BTreeMap<KeyArn, Told>>,
    /// Keys of which somebody should count what depends on them.
    endangered: Mutex<BTreeSet<KeyArn>>,
}

/// What was told of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Told {
    ending: Ending,
    window_days: u32,
    /// Whether the row says so.
    is_kept: bool,
}

/// How many keys end soon, and when the next one does.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct NearEndings {
    /// Keys that are deleted within each of [`ENDING_WINDOWS_DAYS`].
    pub deletions: [u64; 3],
    /// Keys of which imported material expires within each.
    pub expiries: [u64; 3],
    /// The next deletion of all.
    pub next_deletion: Option<Timestamp>,
    /// The next expiry of all.
    pub next_expiry: Option<Timestamp>,
}

/// How the row tells deletions from expiries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub(crate) enum EndingKind {
    #[n(1)]
    Deletion,
    #[n(2)]
    Expiry,
}

impl KeyService {
    /// Keys that were endangered or have a date that draws near, at most `limit`, each once: the
    /// operator should know what depends on them.
    pub fn take_endangered(&self, limit: usize) -> Vec<KeyArn> {
        let mut endangered = self.shared.endings.endangered.lock();
        let taken: Vec<KeyArn> = endangered.iter().take(limit).cloned().collect();
        for arn in &taken {
            endangered.remove(arn);
        }
        taken
    }

    /// Which keys end soon. It knows of keys that changed before the first round of due work when
    /// that is done. Blocks.
    pub fn near_endings(&self) -> NearEndings {
        let now = self.now();
        self.read_changed_dates();
        let mut near = NearEndings::default();
        for ending in self.shared.due.endings().into_values() {
            let (within, next) = match ending {
                Ending::Deletion(_) => (&mut near.deletions, &mut near.next_deletion),
                Ending::Expiry(_) => (&mut near.expiries, &mut near.next_expiry),
            };
            for (count, days) in within.iter_mut().zip(ENDING_WINDOWS_DAYS) {
                *count += u64::from(is_within(now, ending.at(), days));
            }
            *next = Some(next.map_or(ending.at(), |next| next.min(ending.at())));
        }
        near
    }

    /// Says that a key will be deleted.
    pub(crate) fn warn_of_deletion(&self, arn: &KeyArn, until: Timestamp) {
        tracing::warn!(
            key = %arn,
            deletion_date = %until.to_iso8601(),
            "the key is to be deleted: everything under it becomes unreadable for good then. What \
             depends on it is being counted. To keep it: aws kms cancel-key-deletion --key-id {}",
            arn.id
        );
        self.endanger("ScheduleKeyDeletion", arn);
        let ending = Ending::Deletion(until);
        if let Some(window_days) = window_of(self.now(), until) {
            let told = Told {
                ending,
                window_days,
                is_kept: false,
            };
            self.shared.endings.told.lock().insert(arn.clone(), told);
            // The next round tries again.
            if let Err(error) = self.keep_told(&[(arn.clone(), told)]) {
                tracing::warn!(%error, "that a key's deletion was told of is not kept yet");
            }
        }
    }

    /// Says that a key was disabled.
    pub(crate) fn warn_of_disabling(&self, arn: &KeyArn) {
        tracing::warn!(
            key = %arn,
            "the key is disabled: nothing under it can be read. What depends on it is being \
             counted. To undo it: aws kms enable-key --key-id {}",
            arn.id
        );
        self.endanger("DisableKey", arn);
    }

    /// Says that imported material was deleted.
    pub(crate) fn warn_of_deleted_material(&self, arn: &KeyArn) {
        tracing::warn!(
            key = %arn,
            "imported material of the key is deleted: nothing under the key can be read until the \
             same material is imported again. What depends on it is being counted"
        );
        self.endanger("DeleteImportedKeyMaterial", arn);
    }

    fn endanger(&self, event: &'static str, arn: &KeyArn) {
        metrics::counter!("strongroom_kms_keys_endangered_total", "event" => event).increment(1);
        self.shared.endings.endangered.lock().insert(arn.clone());
    }

    /// Forgets what was told of a key that is gone.
    pub(crate) fn forget_endings(&self, arn: &KeyArn) {
        self.shared.endings.told.lock().remove(arn);
        self.shared.endings.endangered.lock().remove(arn);
    }

    /// Tells of every date that has come nearer since the last round.
    ///
    /// # Errors
    ///
    /// [`KmsError`], where what was told cannot be kept: it is told again after a restart.
    pub(crate) fn tell_endings(&self) -> Result<(), KmsError> {
        let now = self.now();
        let endings = self.shared.due.endings();
        let near = endings.into_iter().filter_map(|(arn, ending)| {
            let window_days = window_of(now, ending.at())?;
            Some((arn, ending, window_days))
        });
        let near: Vec<_> = near.collect();
        let mut to_keep = Vec::new();
        for (arn, ending, window_days) in &near {
            let (ending, window_days) = (*ending, *window_days);
            let told = self.told_of(arn)?;
            let is_told =
                told.is_some_and(|told| told.ending == ending && told.window_days <= window_days);
            if !is_told {
                tell(arn, ending, window_days);
                self.shared.endings.endangered.lock().insert(arn.clone());
            }
            if let Some(told) = told.filter(|_| is_told)
                && told.is_kept
            {
                continue;
            }
            let told = Told {
                ending,
                window_days,
                is_kept: false,
            };
            self.shared.endings.told.lock().insert(arn.clone(), told);
            to_keep.push((arn.clone(), told));
        }
        let living: BTreeSet<&KeyArn> = near.iter().map(|(arn, ..)| arn).collect();
        let mut told = self.shared.endings.told.lock();
        told.retain(|arn, _| living.contains(arn));
        drop(told);
        self.keep_told(&to_keep)
    }

    /// What was told of a key, by this process or one before it.
    fn told_of(&self, arn: &KeyArn) -> Result<Option<Told>, KmsError> {
        if let Some(told) = self.shared.endings.told.lock().get(arn) {
            return Ok(Some(*told));
        }
        let row_key = keys::announced(arn.id);
        let row = self.read::<AnnouncedRow>(Table::KMS_ANNOUNCED, &row_key)?;
        let told = row.map(|(row, _)| {
            let at = Timestamp::from_millis(row.at_millis);
            Told {
                ending: match row.kind {
                    EndingKind::Deletion => Ending::Deletion(at),
                    EndingKind::Expiry => Ending::Expiry(at),
                },
                window_days: row.window_days,
                is_kept: true,
            }
        });
        if let Some(told) = told {
            self.shared.endings.told.lock().insert(arn.clone(), told);
        }
        Ok(told)
    }

    fn keep_told(&self, to_keep: &[(KeyArn, Told)]) -> Result<(), KmsError> {
        for batch in to_keep.chunks(BATCH_ROWS) {
            let mut transaction = Transaction::new();
            for (arn, told) in batch {
                let row = AnnouncedRow {
                    kind: match told.ending {
                        Ending::Deletion(_) => EndingKind::Deletion,
                        Ending::Expiry(_) => EndingKind::Expiry,
                    },
                    at_millis: told.ending.at().as_millis(),
                    window_days: told.window_days,
                };
                let row_key = keys::announced(arn.id);
                transaction = self.put(transaction, Table::KMS_ANNOUNCED, row_key, &row)?;
            }
            self.ports.rows.meta.commit(transaction).wait()?;
            let mut all = self.shared.endings.told.lock();
            for (arn, told) in batch {
                let told = Told {
                    is_kept: true,
                    ..*told
                };
                all.insert(arn.clone(), told);
            }
        }
        Ok(())
    }
}

fn tell(arn: &KeyArn, ending: Ending, window_days: u32) {
    match ending {
        Ending::Deletion(at) => tracing::warn!(
            key = %arn,
            deletion_date = %at.to_iso8601(),
            "the key will be deleted within {window_days} days, and everything under it becomes \
             unreadable. See what that is: strongroom kms impact {arn}; to keep it: aws kms \
             cancel-key-deletion --key-id {}",
            arn.id
        ),
        Ending::Expiry(at) => tracing::warn!(
            key = %arn,
            valid_to = %at.to_iso8601(),
            "imported material of the key expires within {window_days} days, and nothing under the \
             key can be read then. See what that is: strongroom kms impact {arn}; to keep it: \
             import the same material again, with a later date"
        ),
    }
    let event = match ending {
        Ending::Deletion(_) => "deletion near",
        Ending::Expiry(_) => "expiry near",
    };
    metrics::counter!("strongroom_kms_keys_endangered_total", "event" => event).increment(1);
}

/// The smallest window that a date is in, in days.
fn window_of(now: Timestamp, at: Timestamp) -> Option<u32> {
    ENDING_WINDOWS_DAYS
        .into_iter()
        .find(|days| is_within(now, at, *days))
}

fn is_within(now: Timestamp, at: Timestamp, days: u32) -> bool {
    at.as_millis().saturating_sub(now.as_millis()) <= u64::from(days) * DAY_MILLIS
}

#[cfg(test)]
mod tests {
    use strongroom_types::kms::{KeyOrigin, KeySpec, KeyUsage};

    use super::*;
    use crate::ScheduleKeyDeletionInput;
    use crate::fixture::{World, root};

    fn told(service: &KeyService, key: &KeyArn) -> Option<(u32, bool)> {
        let told = service.shared.endings.told.lock();
        told.get(key).map(|told| (told.window_days, told.is_kept))
    }

    fn endangered(service: &KeyService) -> usize {
        service.take_endangered(100).len()
    }

    #[test]
    fn each_window_is_told_of_once_also_across_restarts() {
        let world = World::new();
        let service = world.service();
        let key = world.key(
            KeySpec::SymmetricDefault,
            KeyUsage::EncryptDecrypt,
            KeyOrigin::AwsKms,
        );
        let input = ScheduleKeyDeletionInput {
            key_id: key.to_string(),
            pending_window_in_days: Some(10),
        };
        service.schedule_key_deletion(&root(), input).unwrap();
        assert_eq!(endangered(&service), 1);
        // Scheduling has told of it.
        assert_eq!(told(&service, &key), Some((30, true)));
        service.run_due_work().unwrap();
        assert_eq!(told(&service, &key), Some((30, true)));
        assert_eq!(endangered(&service), 0);
        let near = service.near_endings();
        assert_eq!((near.deletions, near.expiries), ([0, 0, 1], [0, 0, 0]));
        let again = world.service();
        again.run_due_work().unwrap();
        assert_eq!(
            (told(&again, &key), endangered(&again)),
            (Some((30, true)), 0)
        );
        for (days, window) in [(4_u64, 7), (5, 1)] {
            world.clock.advance_seconds(days * 86_400);
            again.run_due_work().unwrap();
            assert_eq!(told(&again, &key), Some((window, true)));
            assert_eq!(endangered(&again), 1);
            again.run_due_work().unwrap();
            assert_eq!(endangered(&again), 0);
        }
        assert_eq!(again.near_endings().deletions, [1, 1, 1]);
        let input = crate::CancelKeyDeletionInput {
            key_id: key.to_string(),
        };
        again.cancel_key_deletion(&root(), input).unwrap();
        again.run_due_work().unwrap();
        assert_eq!(told(&again, &key), None);
        assert_eq!(again.near_endings(), NearEndings::default());
    }

    #[test]
    fn windows_nest() {
        let now = Timestamp::from_millis(DAY_MILLIS);
        let at = |days: u64| Timestamp::from_millis((days + 1) * DAY_MILLIS);
        let windows = [0, 1, 2, 7, 8, 30, 31].map(|days| window_of(now, at(days)));
        assert_eq!(
            windows,
            [Some(1), Some(1), Some(7), Some(7), Some(30), Some(30), None]
        );
    }
}
