//! Leases: the right to go on with a data key, checked between pieces of a long transfer.
//!
//! A lease looks at a watch that all leases of its key share. Whoever changes a key in this process
//! renews its watch before the change is answered, so that a check costs no read. A change by
//! another process is seen by the next use of the key, not by a running lease.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use strongroom_ports::{Clock, KeyError, KeyLease, LeaseCheck, RowVersion};
use strongroom_types::Timestamp;
use strongroom_types::kms::KeyArn;

use crate::cache::OpenedKey;
use crate::operation::Operation;
use crate::{KeyService, KmsError, states};

/// Watches beyond which those that no lease holds any more are dropped.
const SWEEP_AT: usize = 1024;

/// Who watches which key.
#[derive(Default)]
pub(crate) struct Watches {
    entries: Mutex<BTreeMap<KeyArn, Weak<Watch>>>,
    /// Moves with every change of any key.
    generation: AtomicU64,
}

impl Watches {
    /// To be asked before a key is read that a lease will be made of.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Some key has changed.
    pub(crate) fn touch(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    fn of(&self, arn: &KeyArn) -> Option<Arc<Watch>> {
        self.entries.lock().get(arn)?.upgrade()
    }

    fn of_or(&self, arn: &KeyArn, clock: &Arc<dyn Clock>) -> Arc<Watch> {
        let mut entries = self.entries.lock();
        if let Some(watch) = entries.get(arn).and_then(Weak::upgrade) {
            return watch;
        }
        if entries.len() >= SWEEP_AT {
            entries.retain(|_, watch| watch.strong_count() > 0);
        }
        let watch = Arc::new(Watch {
            clock: Arc::clone(clock),
            seen: Mutex::new(Seen {
                version: RowVersion(0),
                verdict: Verdict::Refused(KeyError::Unavailable),
            }),
        });
        entries.insert(arn.clone(), Arc::downgrade(&watch));
        watch
    }
}

/// What the leases of one key look at.
struct Watch {
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

struct Seen {
    /// Of the row that the verdict is about; those who renew may overtake each other.
    version: RowVersion,
    verdict: Verdict,
}

enum Verdict {
    Usable,
    /// Its imported material expires; then this is the answer.
    UsableUntil(Timestamp, KeyError),
    Refused(KeyError),
}

impl Watch {
    fn renew(&self, version: RowVersion, verdict: Verdict) {
        let mut seen = self.seen.lock();
        if version >= seen.version {
            *seen = Seen { version, verdict };
        }
    }
}

impl LeaseCheck for Watch {
    fn still_usable(&self) -> Result<(), KeyError> {
        match &self.seen.lock().verdict {
            Verdict::Usable => Ok(()),
            Verdict::UsableUntil(expiry, _) if self.clock.now() < *expiry => Ok(()),
            Verdict::UsableUntil(_, error) | Verdict::Refused(error) => Err(error.clone()),
        }
    }
}

impl KeyService {
    /// A lease of a key that was just admitted. `generation` is that of the watches before it was
    /// read.
    ///
    /// # Errors
    ///
    /// [`KmsError`], if the key has changed in between and cannot be used or looked at any more.
    pub(crate) fn lease(&self, opened: &OpenedKey, generation: u64) -> Result<KeyLease, KmsError> {
        let arn = &opened.key.arn;
        let watch = self.shared.watches.of_or(arn, &self.ports.clock);
        watch.renew(opened.version, self.verdict(opened));
        if self.shared.watches.generation() != generation {
            // The change may have come before the watch, and nobody told it.
            let again = self.opened_key(arn)?;
            let again = again.ok_or_else(|| states::does_not_exist(arn))?;
            watch.renew(again.version, self.verdict(&again));
        }
        Ok(KeyLease {
            key: arn.clone(),
            check: watch,
        })
    }

    /// Tells the leases of a key that it has changed.
    pub(crate) fn renew(&self, arn: &KeyArn) {
        let opened = self.opened_key(arn);
        let Some(watch) = self.shared.watches.of(arn) else {
            return;
        };
        match opened {
            Ok(Some(opened)) => watch.renew(opened.version, self.verdict(&opened)),
            Ok(None) => watch.renew(
                RowVersion(u64::MAX),
                Verdict::Refused(states::does_not_exist(arn).into()),
            ),
            // The change happened, and what it was cannot be seen: nothing goes on until somebody
            // can read the key again.
            Err(error) => watch.seen.lock().verdict = Verdict::Refused(error.into()),
        }
    }

    fn verdict(&self, opened: &OpenedKey) -> Verdict {
        let key = &opened.key;
        let check = |now| states::check(Operation::Decrypt, key, now);
        match (check(self.now()), key.valid_to()) {
            (Err(error), _) => Verdict::Refused(error.into()),
            (Ok(()), None) => Verdict::Usable,
            (Ok(()), Some(expiry)) => match check(expiry) {
                Err(error) => Verdict::UsableUntil(expiry, error.into()),
                Ok(()) => Verdict::Usable,
            },
        }
    }
}
