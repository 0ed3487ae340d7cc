//! What a grant may say (KMS API Reference, CreateGrant; Developer Guide, "Grants in AWS KMS").

use std::collections::BTreeSet;

use aws_lc_rs::digest::{Context, SHA256};
use strongroom_types::kms::{GrantOperation, KeyId, KeySpec, KeyUsage};

use super::record::GrantId;
use crate::rows::GrantRow;
use crate::{CreateGrantInput, GrantConstraints, KmsError};

/// Most pairs of a constraint.
const CONSTRAINT_PAIRS_MAX: usize = 8;
/// Longest value of a constraint, in characters.
const CONSTRAINT_VALUE_MAX_CHARS: usize = 384;

/// Checks what CreateGrant asks for, against the kind of key.
pub(super) fn check(
    input: &CreateGrantInput,
    spec: KeySpec,
    usage: KeyUsage,
) -> Result<(), KmsError> {
    if input.operations.is_empty() {
        return Err(KmsError::Validation(
            "A grant must allow at least one operation.".to_owned(),
        ));
    }
    for operation in &input.operations {
        if !is_supported(*operation, spec, usage) {
            return Err(KmsError::Validation(format!(
                "Grant operation {} is not supported by a KMS key with KeySpec {} and KeyUsage {}.",
                operation.name(),
                spec.name(),
                usage.name(),
            )));
        }
    }
    match &input.constraints {
        Some(constraints) => check_constraints(constraints, spec),
        None => Ok(()),
    }
}

/// Whether a grant on such a key can name the operation.
pub(super) fn is_supported(operation: GrantOperation, spec: KeySpec, usage: KeyUsage) -> bool {
    use GrantOperation as G;
    let symmetric = spec == KeySpec::SymmetricDefault;
    match operation {
        G::CreateGrant | G::RetireGrant | G::DescribeKey => true,
        G::Encrypt | G::Decrypt | G::ReEncryptFrom | G::ReEncryptTo => {
            usage == KeyUsage::EncryptDecrypt
        }
        G::GenerateDataKey
        | G::GenerateDataKeyWithoutPlaintext
        | G::GenerateDataKeyPair
        | G::GenerateDataKeyPairWithoutPlaintext => symmetric,
        G::GetPublicKey => spec.is_asymmetric(),
        G::Sign | G::Verify => usage == KeyUsage::SignVerify,
        G::GenerateMac | G::VerifyMac => usage == KeyUsage::GenerateVerifyMac,
        G::DeriveSharedSecret => usage == KeyUsage::KeyAgreement,
    }
}

fn check_constraints(constraints: &GrantConstraints, spec: KeySpec) -> Result<(), KmsError> {
    let GrantConstraints {
        encryption_context_subset,
        encryption_context_equals,
    } = constraints;
    for context in [encryption_context_subset, encryption_context_equals]
        .into_iter()
        .flatten()
    {
        let wrong = |text: String| Err(KmsError::Validation(text));
        if spec != KeySpec::SymmetricDefault {
            return wrong(
                "Encryption context constraints are only valid for symmetric encryption KMS keys."
                    .to_owned(),
            );
        }
        let pairs = context.pairs();
        if pairs.len() > CONSTRAINT_PAIRS_MAX {
            return wrong(format!(
                "A grant constraint has at most {CONSTRAINT_PAIRS_MAX} encryption context pairs."
            ));
        }
        if pairs
            .values()
            .any(|value| value.chars().count() > CONSTRAINT_VALUE_MAX_CHARS)
        {
            return wrong(format!(
                "A value of a grant constraint has at most {CONSTRAINT_VALUE_MAX_CHARS} characters."
            ));
        }
        // AWS's own texts disagree whether the names of constraints have case. Names that only
        // differ by it would mean one thing or the other, so there are none.
        let names: BTreeSet<String> = pairs.keys().map(|name| name.to_lowercase()).collect();
        if names.len() != pairs.len() {
            return wrong(
                "Encryption context keys of a grant constraint must differ by more than case."
                    .to_owned(),
            );
        }
    }
    Ok(())
}

/// The id of the grant with this name and these parameters: who asks again gets the same one, and
/// no index of names is needed.
///
/// ```text
/// SHA-256( "strongroom/1 grant id" || 0x00 || key id(16) || CBOR of the grant, created at 0 )
/// ```
pub(super) fn named_id(key: KeyId, grant: &GrantRow) -> GrantId {
    let mut identity = grant.clone();
    identity.created_millis = 0;
    identity.operations.sort();
    identity.operations.dedup();
    let mut hash = Context::new(&SHA256);
    hash.update(b"strongroom/1 grant id\0");
    hash.update(key.as_bytes());
    hash.update(&strongroom_rows::Record::encode(&identity));
    let mut id = [0; 32];
    for (byte, value) in id.iter_mut().zip(hash.finish().as_ref()) {
        *byte = *value;
    }
    GrantId(id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use strongroom_types::kms::EncryptionContext;

    use super::*;

    const GRANTEE: &str = "arn:aws:iam::111122223333:root";

    fn input(
        operations: &[GrantOperation],
        constraints: Option<GrantConstraints>,
    ) -> CreateGrantInput {
        CreateGrantInput {
            key_id: String::new(),
            grantee_principal: GRANTEE.to_owned(),
            retiring_principal: None,
            operations: operations.to_vec(),
            constraints,
            grant_tokens: Vec::new(),
            name: None,
            dry_run: false,
        }
    }

    fn equals(pairs: &[(&str, &str)]) -> GrantConstraints {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        GrantConstraints {
            encryption_context_equals: Some(
                EncryptionContext::new(pairs.iter().map(owned).collect::<BTreeMap<_, _>>())
                    .unwrap(),
            ),
            encryption_context_subset: None,
        }
    }

    const SYMMETRIC: (KeySpec, KeyUsage) = (KeySpec::SymmetricDefault, KeyUsage::EncryptDecrypt);

    #[test]
    fn operations_must_fit_the_kind_of_key() {
        use GrantOperation as G;
        let allowed = |spec, usage| -> Vec<&str> {
            G::ALL
                .iter()
                .filter(|operation| is_supported(**operation, spec, usage))
                .map(|operation| operation.name())
                .collect()
        };
        let symmetric = allowed(SYMMETRIC.0, SYMMETRIC.1);
        assert_eq!(symmetric.len(), 11);
        assert!(!symmetric.contains(&"GetPublicKey"));
        assert_eq!(
            allowed(KeySpec::Rsa2048, KeyUsage::EncryptDecrypt),
            [
                "Decrypt",
                "Encrypt",
                "ReEncryptFrom",
                "ReEncryptTo",
                "GetPublicKey",
                "CreateGrant",
                "RetireGrant",
                "DescribeKey"
            ]
        );
        assert_eq!(
            allowed(KeySpec::EccNistP256, KeyUsage::SignVerify),
            [
                "Sign",
                "Verify",
                "GetPublicKey",
                "CreateGrant",
                "RetireGrant",
                "DescribeKey"
            ]
        );
        assert_eq!(
            allowed(KeySpec::Hmac256, KeyUsage::GenerateVerifyMac),
            [
                "CreateGrant",
                "RetireGrant",
                "DescribeKey",
                "GenerateMac",
                "VerifyMac"
            ]
        );
        assert_eq!(
            allowed(KeySpec::EccNistP384, KeyUsage::KeyAgreement),
            [
                "GetPublicKey",
                "CreateGrant",
                "RetireGrant",
                "DescribeKey",
                "DeriveSharedSecret"
            ]
        );
        assert!(matches!(
            check(&input(&[G::Sign], None), SYMMETRIC.0, SYMMETRIC.1),
            Err(KmsError::Validation(_))
        ));
    }

    #[test]
    fn constraints_are_bounded_and_for_symmetric_keys_only() {
        let operations = [GrantOperation::Decrypt];
        let checked = |constraints: GrantConstraints, spec| {
            check(
                &input(&operations, Some(constraints)),
                spec,
                KeyUsage::EncryptDecrypt,
            )
        };
        assert_eq!(checked(equals(&[("a", "b")]), SYMMETRIC.0), Ok(()));
        let names: Vec<String> = (0..9).map(|n| n.to_string()).collect();
        let pairs: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
        let long = "x".repeat(385);
        for (constraints, spec) in [
            (equals(&[("a", "b")]), KeySpec::Rsa2048),
            (equals(&pairs), SYMMETRIC.0),
            (equals(&[("a", &long)]), SYMMETRIC.0),
            (equals(&[("a", "b"), ("A", "b")]), SYMMETRIC.0),
        ] {
            assert!(matches!(
                checked(constraints, spec),
                Err(KmsError::Validation(_))
            ));
        }
    }
}
