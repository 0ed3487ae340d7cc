//! Which imports a key takes, and what becomes of it (KMS API Reference, ImportKeyMaterial; Developer
//! Guide, "Importing key material").

use strongroom_types::Timestamp;
use strongroom_types::kms::{ExpirationModel, ImportType, KeyMaterialId, KeySpec};

use crate::KmsError;
use crate::key::{Key, KeyMaterial};

/// Longest life of imported material, in milliseconds: 365 days.
const LIFE_MAX_MILLIS: u64 = 365 * 24 * 60 * 60 * 1000;

/// What becomes of material that is imported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// The key's first: it is in use at once.
    First,
    /// A further one: it is in use from the next rotation on.
    Pending,
    /// One that the key has had before.
    Again,
}

/// When the material expires; `None` is never.
///
/// # Errors
///
/// `ValidationException`.
pub(super) fn valid_to(
    model: Option<ExpirationModel>,
    valid_to: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Timestamp>, KmsError> {
    let wrong = |text: &str| Err(KmsError::Validation(text.to_owned()));
    match (model.unwrap_or(ExpirationModel::Expires), valid_to) {
        (ExpirationModel::Expires, None) => {
            wrong("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
        }
        (ExpirationModel::DoesNotExpire, Some(_)) => wrong(
            "A validTo date must not be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE",
        ),
        (ExpirationModel::DoesNotExpire, None) => Ok(None),
        (ExpirationModel::Expires, Some(at)) => {
            let life_millis = at.as_millis().saturating_sub(now.as_millis());
            if life_millis == 0 {
                return wrong("A validTo date must be in the future");
            }
            if life_millis > LIFE_MAX_MILLIS {
                return wrong("A validTo date must be at most 365 days in the future");
            }
            Ok(Some(at))
        }
    }
}

/// Where the material `id` goes.
///
/// # Errors
///
/// `IncorrectKeyMaterialException` for material that is not what the request says it is,
/// `KMSInvalidStateException` while another one is pending, `UnsupportedOperationException` for a
/// second material of a key that cannot rotate.
pub(super) fn place(
    key: &Key,
    id: KeyMaterialId,
    import_type: Option<ImportType>,
    expected: Option<KeyMaterialId>,
    now: Timestamp,
) -> Result<Place, KmsError> {
    let first = key.materials.is_empty();
    let import_type = import_type.unwrap_or(if first {
        ImportType::NewKeyMaterial
    } else {
        ImportType::ExistingKeyMaterial
    });
    let known = key.material(id).is_some();
    match import_type {
        ImportType::NewKeyMaterial if expected.is_some() => Err(KmsError::Validation(
            "KeyMaterialId cannot be specified when ImportType is NEW_KEY_MATERIAL.".to_owned(),
        )),
        ImportType::ExistingKeyMaterial if expected.is_some_and(|expected| expected != id) => {
            Err(incorrect(key))
        }
        ImportType::ExistingKeyMaterial if known => Ok(Place::Again),
        ImportType::ExistingKeyMaterial => Err(incorrect(key)),
        ImportType::NewKeyMaterial if first => Ok(Place::First),
        ImportType::NewKeyMaterial if known => Err(incorrect(key)),
        ImportType::NewKeyMaterial if key.spec != KeySpec::SymmetricDefault => {
            Err(KmsError::UnsupportedOperation(None))
        }
        ImportType::NewKeyMaterial => match available_pending(key, now) {
            Some(pending) => Err(KmsError::InvalidState(format!(
                "New key material (id: {id}) cannot be imported into KMS key {}, because another \
                 key material (id: {}) is pending rotation.",
                key.arn, pending.id,
            ))),
            None => Ok(Place::Pending),
        },
    }
}

/// The material that the next rotation on demand would take into use.
pub(crate) fn available_pending(key: &Key, now: Timestamp) -> Option<&KeyMaterial> {
    key.material(key.pending?)
        .filter(|material| material.is_available(now))
}

/// The text of AWS is not known.
fn incorrect(key: &Key) -> KmsError {
    KmsError::IncorrectKeyMaterial(format!(
        "The key material in the request is not the expected key material for {}.",
        key.arn
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const DAY_SECONDS: u64 = 24 * 60 * 60;

    #[test]
    fn expiry_is_asked_for_and_bounded() {
        use ExpirationModel::{DoesNotExpire, Expires};
        let at = |seconds| Some(Timestamp::from_seconds(NOW.as_seconds() + seconds));
        let text = |outcome: Result<_, KmsError>| outcome.map_err(|error| error.to_string());
        assert_eq!(
            text(valid_to(None, None, NOW)),
            Err(
                "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"
                    .to_owned()
            )
        );
        assert_eq!(valid_to(None, at(1), NOW), Ok(at(1)));
        assert_eq!(
            valid_to(Some(Expires), at(365 * DAY_SECONDS), NOW),
            Ok(at(365 * DAY_SECONDS))
        );
        for seconds in [0, 365 * DAY_SECONDS + 1] {
            assert!(valid_to(Some(Expires), at(seconds), NOW).is_err());
        }
        assert_eq!(valid_to(Some(DoesNotExpire), None, NOW), Ok(None));
        assert!(valid_to(Some(DoesNotExpire), at(1), NOW).is_err());
    }
}
