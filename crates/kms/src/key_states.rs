//! What changes a key as a whole: EnableKey, DisableKey, ScheduleKeyDeletion, CancelKeyDeletion,
//! UpdateKeyDescription; and what shows keys: DescribeKey, ListKeys.

use strongroom_audit::Params;
use strongroom_policy::Conditions;
use strongroom_ports::Table;
use strongroom_types::RequestContext;
use strongroom_types::kms::{KeyArn, KeyState};

use crate::access::Ask;
use crate::key::{Key, Lifecycle};
use crate::markers::page_size;
use crate::operation::Operation;
use crate::rotation::after_days;
use crate::rows::KeyRow;
use crate::service::damaged;
use crate::trail::{self, Asked};
use crate::{
    CancelKeyDeletionInput, CancelKeyDeletionOutput, DescribeKeyInput, DescribeKeyOutput,
    DisableKeyInput, EnableKeyInput, KeyService, KmsError, ListKeysInput, Page,
    ScheduleKeyDeletionInput, ScheduleKeyDeletionOutput, UpdateKeyDescriptionInput, keys,
};

/// Days to wait before a key is deleted, if the request does not say.
const PENDING_WINDOW_DAYS: u32 = 30;

impl KeyService {
    /// DescribeKey. Describing the alias of an AWS managed key makes the key.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn describe_key(
        &self,
        caller: &RequestContext,
        input: DescribeKeyInput,
    ) -> Result<DescribeKeyOutput, KmsError> {
        let ask = Ask {
            grant_tokens: &input.grant_tokens,
            ..Ask::plain(Operation::DescribeKey)
        };
        let account = Self::account_of(caller, ask.operation.action())?;
        let named = match self.managed_by_alias(account, &input.key_id) {
            Some(service) => self.managed_key(caller, account, service, &ask)?,
            None => self.resolve(caller, &input.key_id, ask.operation)?,
        };
        let opened = self.admit_named(caller, &named, &ask)?;
        let key_metadata = opened.key.metadata(self.now()).ok_or_else(damaged)?;
        Ok(DescribeKeyOutput { key_metadata })
    }

    /// ListKeys, in the order of their ids.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn list_keys(
        &self,
        caller: &RequestContext,
        input: ListKeysInput,
    ) -> Result<Page<KeyArn>, KmsError> {
        let account = self.authorize_service(caller, "kms:ListKeys", Conditions::default())?;
        let listing = format!("ListKeys {account}");
        let limit = page_size(input.limit, 100, 1000);
        let markers = &self.shared.markers;
        let range = keys::keys_of(account, &self.options.region);
        let (mut start, end) =
            markers.resume(listing.as_bytes(), input.marker.as_deref(), range)?;
        let now = self.now();
        let mut entries = Vec::new();
        loop {
            let want = limit - entries.len();
            let range = (start.clone(), end.clone());
            let (page, more) = self.scan_each::<KeyRow>(Table::KMS_KEYS, range, want)?;
            let last = page.last().map(|(row, _)| row.key.clone());
            for (row, record) in page {
                let arn = keys::parse_key(&row.key).ok_or_else(damaged)?;
                let key = record.ok().and_then(|it| Key::from_row(arn.clone(), it));
                // Those past their date are gone, though their rows may still be there. One whose
                // row is damaged is there: whoever uses it is told.
                if key.is_none_or(|key| key.state(now).is_some()) {
                    entries.push(arn);
                }
            }
            let Some(last) = last.filter(|_| more) else {
                return Ok(Page {
                    entries,
                    next_marker: None,
                });
            };
            if entries.len() >= limit {
                return Ok(Page {
                    entries,
                    next_marker: Some(markers.seal(listing.as_bytes(), &last)),
                });
            }
            start = keys::behind(&last);
        }
    }

    /// EnableKey. An enabled key stays enabled.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn enable_key(
        &self,
        caller: &RequestContext,
        input: EnableKeyInput,
    ) -> Result<(), KmsError> {
        let key = self.change_lifecycle(caller, Operation::EnableKey, &input.key_id, |key| {
            key.lifecycle = Lifecycle::Enabled;
        })?;
        // A rotation that the key slept through. What fails is done in the background.
        if let Err(error) = self.rotate_if_due(&key.arn) {
            tracing::warn!(%error, key = %key.arn, "an overdue rotation is to be done later");
        }
        Ok(())
    }

    /// DisableKey: nothing is encrypted or decrypted with it from now on. A disabled key stays so.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn disable_key(
        &self,
        caller: &RequestContext,
        input: DisableKeyInput,
    ) -> Result<(), KmsError> {
        let key = self.change_lifecycle(caller, Operation::DisableKey, &input.key_id, |key| {
            key.lifecycle = Lifecycle::Disabled;
        })?;
        self.warn_of_disabling(&key.arn);
        Ok(())
    }

    /// ScheduleKeyDeletion: the key cannot be used from now on, and is destroyed after the window.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn schedule_key_deletion(
        &self,
        caller: &RequestContext,
        input: ScheduleKeyDeletionInput,
    ) -> Result<ScheduleKeyDeletionOutput, KmsError> {
        let days = input.pending_window_in_days.unwrap_or(PENDING_WINDOW_DAYS);
        if !(7..=30).contains(&days) {
            return Err(KmsError::Validation(format!(
                "PendingWindowInDays should be between 7 and 30, but it is {days}"
            )));
        }
        let ask = Ask {
            conditions: Conditions::default().with(
                "kms:ScheduleKeyDeletionPendingWindowInDays",
                days.to_string(),
            ),
            ..Ask::plain(Operation::ScheduleKeyDeletion)
        };
        let until = after_days(self.now(), days);
        let change = |key: &mut Key| {
            key.lifecycle = Lifecycle::PendingDeletion { until };
            Ok(())
        };
        let params = trail::key_id(&input.key_id).number("pendingWindowInDays", days.into());
        let key = self.change_telling(caller, &input.key_id, &ask, change, |key| {
            let response = Params::new()
                .shown("keyId", &key.arn)
                .text("keyState", KeyState::PendingDeletion.name())
                .time("deletionDate", until);
            Asked::of(caller, ask.operation, &key.arn, params.clone()).answering(response)
        })?;
        self.warn_of_deletion(&key.arn, until);
        Ok(ScheduleKeyDeletionOutput {
            key_id: key.arn,
            deletion_date: until,
            key_state: KeyState::PendingDeletion,
            pending_window_in_days: days,
        })
    }

    /// CancelKeyDeletion: the key is disabled then.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn cancel_key_deletion(
        &self,
        caller: &RequestContext,
        input: CancelKeyDeletionInput,
    ) -> Result<CancelKeyDeletionOutput, KmsError> {
        let now = self.now();
        let operation = Operation::CancelKeyDeletion;
        let key = self.change_lifecycle(caller, operation, &input.key_id, |key| {
            key.lifecycle = Lifecycle::Disabled;
            // What waits for its material is usable once it has it: nobody disabled it.
            if key.state(now) == Some(KeyState::PendingImport) {
                key.lifecycle = Lifecycle::Enabled;
            }
        })?;
        Ok(CancelKeyDeletionOutput { key_id: key.arn })
    }

    /// A change of which the request says nothing but the key.
    fn change_lifecycle(
        &self,
        caller: &RequestContext,
        operation: Operation,
        key_id: &str,
        change: impl Fn(&mut Key),
    ) -> Result<Key, KmsError> {
        let (ask, params) = (Ask::plain(operation), trail::key_id(key_id));
        self.change_admitted(caller, key_id, &ask, &params, |key| {
            change(key);
            Ok(())
        })
    }

    /// UpdateKeyDescription.
    ///
    /// # Errors
    ///
    /// [`KmsError`].
    pub fn update_key_description(
        &self,
        caller: &RequestContext,
        input: UpdateKeyDescriptionInput,
    ) -> Result<(), KmsError> {
        let UpdateKeyDescriptionInput {
            key_id,
            description,
        } = input;
        let ask = Ask::plain(Operation::UpdateKeyDescription);
        let params = trail::key_id(&key_id).text("description", &description);
        self.change_admitted(caller, &key_id, &ask, &params, |key| {
            key.description.clone_from(&description);
            Ok(())
        })?;
        Ok(())
    }
}
