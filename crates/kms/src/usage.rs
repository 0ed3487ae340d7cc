//! What is remembered of the use of keys: figures, and when each was last used.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use strongroom_ports::{Table, Transaction};
use strongroom_types::kms::KeyId;
use strongroom_types::{RequestContext, RequestId, Timestamp};

use crate::access::Ask;
use crate::operation::Operation;
use crate::rows::LastUsageRow;
use crate::{
    GetKeyLastUsageInput, GetKeyLastUsageOutput, KeyLastUsage, KeyService, KmsError, keys,
};

/// Rows of one transaction.
const BATCH_ROWS: usize = 200;

/// A key's last successful cryptographic use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastUse {
    pub operation: String,
    pub at: Timestamp,
    pub request_id: [u8; 16],
}

/// Uses that no row remembers yet. A crash forgets those of the last interval, which costs nothing
/// but precision: no decision depends on them.
#[derive(Default)]
pub(crate) struct LastUses(Mutex<BTreeMap<KeyId, Used>>);

/// Operation, time, request.
type Used = (&'static str, Timestamp, [u8; 16]);

impl KeyService {
    /// The record of a cryptographic use, or of the attempt: counts it, and remembers a success.
    ///
    /// Every cryptographic operation ends here, so that a trail has one place to hang on.
    pub(crate) fn record_use<T>(
        &self,
        operation: &'static str,
        caller: &RequestContext,
        key: impl FnOnce(&T) -> Option<KeyId>,
        outcome: Result<T, KmsError>,
    ) -> Result<T, KmsError> {
        let label = match &outcome {
            // It will be tried again where it may block, and counted there.
            Err(KmsError::NotInMemory) => return outcome,
            Ok(_) => "success",
            Err(_) => "error",
        };
        metrics::counter!("strongroom_kms_requests_total", "operation" => operation, "outcome" => label)
            .increment(1);
        if let Ok(answer) = &outcome
            && let Some(key) = key(answer)
        {
            self.remember_use(operation, caller, key);
        }
        outcome
    }

    /// Remembers the use of a key beside the one that [`KeyService::record_use`] remembers.
    pub(crate) fn remember_use(
        &self,
        operation: &'static str,
        caller: &RequestContext,
        key: KeyId,
    ) {
        let used = (operation, self.now(), *caller.request_id.as_bytes());
        self.shared.last_uses.0.lock().insert(key, used);
    }

    /// Forgets the uses of a key that is gone, so that none is written any more.
    pub(crate) fn forget_uses(&self, key: KeyId) {
        self.shared.last_uses.0.lock().remove(&key);
    }

    /// A key's last use, as far as it is known.
    pub(crate) fn last_use(&self, key: KeyId) -> Result<Option<LastUse>, KmsError> {
        let in_memory = self.shared.last_uses.0.lock().get(&key).copied();
        if let Some((operation, at, request_id)) = in_memory {
            return Ok(Some(LastUse {
                operation: operation.to_owned(),
                at,
                request_id,
            }));
        }
        let row = self.read::<LastUsageRow>(Table::KMS_LAST_USAGE, &keys::last_usage(key))?;
        Ok(row.map(|(row, _)| LastUse {
            operation: row.operation,
            at: Timestamp::from_millis(row.at_millis),
            request_id: row.request_id,
        }))
    }

    /// GetKeyLastUsage. Uses are counted from a key's creation on; after a kill -9 those since the
    /// last [`KeyService::run_due_work`] are forgotten, and the one before them is told.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn get_key_last_usage(
        &self,
        caller: &RequestContext,
        input: GetKeyLastUsageInput,
    ) -> Result<GetKeyLastUsageOutput, KmsError> {
        let ask = Ask::plain(Operation::GetKeyLastUsage);
        let opened = self.admit(caller, &input.key_id, &ask)?;
        let key = &opened.key;
        let last = self.last_use(key.arn.id)?;
        Ok(GetKeyLastUsageOutput {
            key_id: key.arn.clone(),
            key_last_usage: last.map(|last| KeyLastUsage {
                operation: last.operation,
                timestamp: last.at,
                request_id: Some(RequestId::from_bytes(last.request_id)),
            }),
            tracking_start_date: key.created,
            key_creation_date: key.created,
        })
    }

    /// Writes what is remembered, when the process ends. Blocks.
    ///
    /// # Errors
    ///
    /// [`KmsError`]; what was not written is forgotten.
    pub fn save_last_uses(&self) -> Result<(), KmsError> {
        self.flush_last_uses().map(|_| ())
    }

    /// Writes what is remembered. Part of the work in the background.
    ///
    /// # Errors
    ///
    /// [`KmsError`]; what was not written is remembered still.
    pub(crate) fn flush_last_uses(&self) -> Result<usize, KmsError> {
        let uses = std::mem::take(&mut *self.shared.last_uses.0.lock());
        let written = self.write_last_uses(&uses);
        if written.is_err() {
            let mut remembered = self.shared.last_uses.0.lock();
            for (key, used) in uses {
                remembered.entry(key).or_insert(used);
            }
        }
        written
    }

    fn write_last_uses(&self, uses: &BTreeMap<KeyId, Used>) -> Result<usize, KmsError> {
        let uses: Vec<_> = uses.iter().collect();
        for batch in uses.chunks(BATCH_ROWS) {
            let mut transaction = Transaction::new();
            for (key, (operation, at, request_id)) in batch {
                let row = LastUsageRow {
                    operation: (*operation).to_owned(),
                    at_millis: at.as_millis(),
                    request_id: *request_id,
                };
                let row_key = keys::last_usage(**key);
                transaction = self.put(transaction, Table::KMS_LAST_USAGE, row_key, &row)?;
            }
            self.ports.rows.meta.commit(transaction).wait()?;
        }
        Ok(uses.len())
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::kms::{KeyArn, KeyOrigin, KeySpec, KeyUsage, MacAlgorithm};

    use super::*;
    use crate::GenerateMacInput;
    use crate::fixture::{Death, World, root};

    fn last(service: &KeyService, key: &KeyArn) -> Option<(String, Timestamp)> {
        let input = GetKeyLastUsageInput {
            key_id: key.to_string(),
        };
        let output = service.get_key_last_usage(&root(), input).unwrap();
        assert_eq!(output.tracking_start_date, output.key_creation_date);
        output.key_last_usage.map(|last| {
            assert_eq!(last.request_id, Some(root().request_id));
            (last.operation, last.timestamp)
        })
    }

    #[test]
    fn the_last_use_is_known_at_once_and_after_a_restart_as_far_as_it_was_written() {
        let world = World::new();
        let service = world.service();
        let key = world.key(
            KeySpec::Hmac256,
            KeyUsage::GenerateVerifyMac,
            KeyOrigin::AwsKms,
        );
        let use_key = |mac_algorithm| {
            let input = GenerateMacInput {
                message: vec![1],
                key_id: key.to_string(),
                mac_algorithm,
                grant_tokens: Vec::new(),
                dry_run: false,
            };
            service.generate_mac(&root(), input).is_ok()
        };
        assert_eq!(last(&service, &key), None);
        assert!(use_key(MacAlgorithm::HmacSha256));
        let first = Some(("GenerateMac".to_owned(), service.now()));
        assert_eq!(last(&service, &key), first);
        // Not written yet.
        assert_eq!(last(&world.service(), &key), None);
        world.meta.die_at_next_commit(Death::BeforeCommit);
        assert!(service.flush_last_uses().is_err());
        assert_eq!(service.flush_last_uses(), Ok(1));
        assert_eq!(last(&world.service(), &key), first);
        world.clock.advance_seconds(5);
        assert!(!use_key(MacAlgorithm::HmacSha512));
        assert_eq!(last(&service, &key), first);
        assert!(use_key(MacAlgorithm::HmacSha256));
        assert_ne!(last(&service, &key), first);
        assert_eq!(last(&world.service(), &key), first);
    }
}
