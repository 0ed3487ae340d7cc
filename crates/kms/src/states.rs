//! Which operation a key allows in which state: one table (Developer Guide, "Key states of KMS
//! keys"), and the texts that AWS gives where it does not.

use strongroom_types::Timestamp;
use strongroom_types::kms::{KeyArn, KeyOrigin, KeyState};

use crate::KmsError;
use crate::key::Key;
use crate::operation::Operation;

/// Whether the key allows the operation now.
///
/// # Errors
///
/// [`KmsError::NotFound`] where the key is gone; else what the table says.
pub(crate) fn check(operation: Operation, key: &Key, now: Timestamp) -> Result<(), KmsError> {
    let state = key.state(now).ok_or_else(|| does_not_exist(&key.arn))?;
    verdict(operation, key.origin, state).map_or(Ok(()), |refusal| Err(refusal.error(key)))
}

/// The answer for a key that is not there, or not any more.
pub(crate) fn does_not_exist(arn: &KeyArn) -> KmsError {
    KmsError::NotFound(format!("Key '{arn}' does not exist"))
}

/// Why an operation is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    Disabled,
    PendingDeletion,
    NotPendingDeletion,
    PendingImport,
    Origin,
}

impl Refusal {
    fn error(self, key: &Key) -> KmsError {
        let arn = &key.arn;
        match self {
            Self::Disabled => KmsError::Disabled(format!("{arn} is disabled.")),
            Self::PendingDeletion => KmsError::InvalidState(format!("{arn} is pending deletion.")),
            Self::NotPendingDeletion => {
                KmsError::InvalidState(format!("{arn} is not pending deletion."))
            }
            Self::PendingImport => KmsError::InvalidState(format!("{arn} is pending import.")),
            Self::Origin => KmsError::UnsupportedOperation(Some(format!(
                "{arn} origin is {} which is not valid for this operation.",
                key.origin.name()
            ))),
        }
    }
}

/// What the operation meets in each state: Enabled, Disabled, PendingDeletion, PendingImport.
type Row = [Option<Refusal>; 4];

const ALWAYS: Row = [None; 4];
const NEVER: Row = [Some(Refusal::Origin); 4];

fn verdict(operation: Operation, origin: KeyOrigin, state: KeyState) -> Option<Refusal> {
    let [enabled, disabled, pending_deletion, pending_import] =
        row(operation, origin == KeyOrigin::External);
    match state {
        KeyState::Enabled => enabled,
        KeyState::Disabled => disabled,
        KeyState::PendingDeletion => pending_deletion,
        KeyState::PendingImport => pending_import,
    }
}

const fn row(operation: Operation, external: bool) -> Row {
    use Operation as O;
    use Refusal::{Disabled, NotPendingDeletion, PendingDeletion, PendingImport};
    match operation {
        O::DisableKeyRotation | O::EnableKeyRotation | O::GetKeyRotationStatus if external => NEVER,
        O::DeleteImportedKeyMaterial | O::GetParametersForImport | O::ImportKeyMaterial
            if !external =>
        {
            NEVER
        }
        O::CreateGrant
        | O::Decrypt
        | O::DeriveSharedSecret
        | O::DisableKeyRotation
        | O::EnableKeyRotation
        | O::Encrypt
        | O::GenerateDataKey
        | O::GenerateDataKeyPair
        | O::GenerateDataKeyPairWithoutPlaintext
        | O::GenerateDataKeyWithoutPlaintext
        | O::GenerateMac
        | O::GetPublicKey
        | O::ReEncryptFrom
        | O::ReEncryptTo
        | O::RotateKeyOnDemand
        | O::Sign
        | O::Verify
        | O::VerifyMac => [
            None,
            Some(Disabled),
            Some(PendingDeletion),
            Some(PendingImport),
        ],
        O::DeleteAlias
        | O::DeleteImportedKeyMaterial
        | O::DescribeKey
        | O::GetKeyLastUsage
        | O::GetKeyPolicy
        | O::GetKeyRotationStatus
        | O::ListAliases
        | O::ListGrants
        | O::ListKeyPolicies
        | O::ListKeyRotations
        | O::ListResourceTags
        | O::PutKeyPolicy
        | O::RetireGrant
        | O::RevokeGrant => ALWAYS,
        O::CreateAlias
        | O::GetParametersForImport
        | O::ImportKeyMaterial
        | O::ScheduleKeyDeletion
        | O::TagResource
        | O::UntagResource
        | O::UpdateAlias
        | O::UpdateKeyDescription => [None, None, Some(PendingDeletion), None],
        O::DisableKey | O::EnableKey => [None, None, Some(PendingDeletion), Some(PendingImport)],
        O::CancelKeyDeletion => [
            Some(NotPendingDeletion),
            Some(NotPendingDeletion),
            None,
            Some(NotPendingDeletion),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Import, KeyMaterial, Lifecycle, Rotation};
    use strongroom_crypto::ShredId;
    use strongroom_types::kms::{KeyId, KeyManager, KeyMaterialId, KeySpec, KeyUsage};
    use strongroom_types::{AccountId, Region};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    /// Enabled, Disabled, PendingDeletion, PendingImport of a key with origin AWS_KMS, then of one
    /// with origin EXTERNAL. `e1`..`e9` as in the key state table: `e3` pending deletion, `e6` the
    /// origin is wrong.
    const GOLDEN: &str = "
        CancelKeyDeletion                    e4 e4 ok e4   e4 e4 ok e4
        CreateAlias                          ok ok e3 ok   ok ok e3 ok
        CreateGrant                          ok e1 e3 e5   ok e1 e3 e5
        Decrypt                              ok e1 e3 e5   ok e1 e3 e5
        DeleteAlias                          ok ok ok ok   ok ok ok ok
        DeleteImportedKeyMaterial            e6 e6 e6 e6   ok ok ok ok
        DeriveSharedSecret                   ok e1 e3 e5   ok e1 e3 e5
        DescribeKey                          ok ok ok ok   ok ok ok ok
        DisableKey                           ok ok e3 e5   ok ok e3 e5
        DisableKeyRotation                   ok e1 e3 e5   e6 e6 e6 e6
        EnableKey                            ok ok e3 e5   ok ok e3 e5
        EnableKeyRotation                    ok e1 e3 e5   e6 e6 e6 e6
        Encrypt                              ok e1 e3 e5   ok e1 e3 e5
        GenerateDataKey                      ok e1 e3 e5   ok e1 e3 e5
        GenerateDataKeyPair                  ok e1 e3 e5   ok e1 e3 e5
        GenerateDataKeyPairWithoutPlaintext  ok e1 e3 e5   ok e1 e3 e5
        GenerateDataKeyWithoutPlaintext      ok e1 e3 e5   ok e1 e3 e5
        GenerateMac                          ok e1 e3 e5   ok e1 e3 e5
        GetKeyLastUsage                      ok ok ok ok   ok ok ok ok
        GetKeyPolicy                         ok ok ok ok   ok ok ok ok
        GetKeyRotationStatus                 ok ok ok ok   e6 e6 e6 e6
        GetParametersForImport               e6 e6 e6 e6   ok ok e3 ok
        GetPublicKey                         ok e1 e3 e5   ok e1 e3 e5
        ImportKeyMaterial                    e6 e6 e6 e6   ok ok e3 ok
        ListAliases                          ok ok ok ok   ok ok ok ok
        ListGrants                           ok ok ok ok   ok ok ok ok
        ListKeyPolicies                      ok ok ok ok   ok ok ok ok
        ListKeyRotations                     ok ok ok ok   ok ok ok ok
        ListResourceTags                     ok ok ok ok   ok ok ok ok
        PutKeyPolicy                         ok ok ok ok   ok ok ok ok
        ReEncryptFrom                        ok e1 e3 e5   ok e1 e3 e5
        ReEncryptTo                          ok e1 e3 e5   ok e1 e3 e5
        RetireGrant                          ok ok ok ok   ok ok ok ok
        RevokeGrant                          ok ok ok ok   ok ok ok ok
        RotateKeyOnDemand                    ok e1 e3 e5   ok e1 e3 e5
        ScheduleKeyDeletion                  ok ok e3 ok   ok ok e3 ok
        Sign                                 ok e1 e3 e5   ok e1 e3 e5
        TagResource                          ok ok e3 ok   ok ok e3 ok
        UntagResource                        ok ok e3 ok   ok ok e3 ok
        UpdateAlias                          ok ok e3 ok   ok ok e3 ok
        UpdateKeyDescription                 ok ok e3 ok   ok ok e3 ok
        Verify                               ok e1 e3 e5   ok e1 e3 e5
        VerifyMac                            ok e1 e3 e5   ok e1 e3 e5
    ";

    fn key(origin: KeyOrigin, state: KeyState) -> Key {
        let import = (origin == KeyOrigin::External).then_some(Import {
            present: true,
            valid_to: None,
            description: None,
        });
        let material = KeyMaterial {
            id: KeyMaterialId::from_bytes([1; 32]),
            shred: ShredId::from_bytes([2; 16]),
            created: NOW,
            rotated: None,
            import,
        };
        Key {
            arn: KeyArn {
                region: Region::parse("us-east-1").unwrap(),
                account: AccountId::parse("111122223333").unwrap(),
                id: KeyId::from_bytes([3; 16]),
            },
            spec: KeySpec::SymmetricDefault,
            usage: KeyUsage::EncryptDecrypt,
            origin,
            manager: KeyManager::Customer,
            lifecycle: match state {
                KeyState::Enabled | KeyState::PendingImport => Lifecycle::Enabled,
                KeyState::Disabled => Lifecycle::Disabled,
                KeyState::PendingDeletion => Lifecycle::PendingDeletion {
                    until: Timestamp::from_millis(2_000_000),
                },
            },
            description: String::new(),
            policy: crate::policies::KeyPolicy::of_accounts(String::new()),
            tags: Vec::new(),
            created: NOW,
            rotation: Rotation::OFF,
            on_demand_rotations: 0,
            current: (state != KeyState::PendingImport).then_some(material.id),
            materials: vec![material],
            pending: None,
        }
    }

    fn symbol(outcome: &Result<(), KmsError>, arn: &KeyArn) -> &'static str {
        let Err(error) = outcome else { return "ok" };
        let text = error.to_string();
        let rest = text.strip_prefix(&arn.to_string()).unwrap();
        match (error, rest) {
            (KmsError::Disabled(_), " is disabled.") => "e1",
            (KmsError::InvalidState(_), " is pending deletion.") => "e3",
            (KmsError::InvalidState(_), " is not pending deletion.") => "e4",
            (KmsError::InvalidState(_), " is pending import.") => "e5",
            (
                KmsError::UnsupportedOperation(Some(_)),
                " origin is EXTERNAL which is not valid for this operation."
                | " origin is AWS_KMS which is not valid for this operation.",
            ) => "e6",
            _ => panic!("{error:?}"),
        }
    }

    #[test]
    fn every_operation_in_every_state_answers_as_the_table_of_aws_says() {
        let lines: Vec<&str> = GOLDEN
            .lines()
            .map(str::trim)
            .filter(|it| !it.is_empty())
            .collect();
        assert_eq!(lines.len(), Operation::ALL.len());
        for (operation, line) in Operation::ALL.iter().zip(lines) {
            let mut cells = line.split_whitespace();
            assert_eq!(cells.next(), Some(operation.name()));
            for origin in [KeyOrigin::AwsKms, KeyOrigin::External] {
                for state in KeyState::ALL {
                    let key = key(origin, *state);
                    assert_eq!(key.state(NOW), Some(*state));
                    let outcome = check(*operation, &key, NOW);
                    assert_eq!(
                        Some(symbol(&outcome, &key.arn)),
                        cells.next(),
                        "{operation:?} {origin:?} {state:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_key_past_its_deletion_date_is_not_found_by_any_operation() {
        let key = key(KeyOrigin::AwsKms, KeyState::PendingDeletion);
        let date = Timestamp::from_millis(2_000_000);
        assert_eq!(
            key.state(Timestamp::from_millis(1_999_999)),
            Some(KeyState::PendingDeletion)
        );
        for operation in Operation::ALL {
            let text = format!("Key '{}' does not exist", key.arn);
            assert_eq!(check(*operation, &key, date), Err(KmsError::NotFound(text)));
        }
        let destroying = Key {
            lifecycle: Lifecycle::Destroying,
            ..key
        };
        assert_eq!(destroying.state(NOW), None);
        assert!(destroying.metadata(NOW).is_none());
    }

    #[test]
    fn a_key_waits_for_import_as_soon_as_one_of_its_materials_is_missing_or_expired() {
        let mut key = key(KeyOrigin::External, KeyState::Enabled);
        let expiry = Timestamp::from_millis(1_500_000);
        key.materials[0].import.as_mut().unwrap().valid_to = Some(expiry);
        assert_eq!(key.state(NOW), Some(KeyState::Enabled));
        assert_eq!(key.state(expiry), Some(KeyState::PendingImport));
        key.lifecycle = Lifecycle::Disabled;
        assert_eq!(key.state(expiry), Some(KeyState::PendingImport));
        key.materials[0].import.as_mut().unwrap().present = false;
        assert_eq!(key.state(NOW), Some(KeyState::PendingImport));
        // One that is pending is not the key's yet.
        key.materials[0].import.as_mut().unwrap().present = true;
        let pending = KeyMaterial {
            id: KeyMaterialId::from_bytes([8; 32]),
            import: Some(Import {
                present: false,
                valid_to: None,
                description: None,
            }),
            ..key.materials[0].clone()
        };
        key.pending = Some(pending.id);
        key.materials.push(pending);
        assert_eq!(key.state(NOW), Some(KeyState::Disabled));
        key.pending = None;
        assert_eq!(key.state(NOW), Some(KeyState::PendingImport));
    }
}
