//! What grants allow (KMS Developer Guide, "Grants in AWS KMS").

use std::collections::BTreeMap;

use strongroom_types::kms::{EncryptionContext, GrantOperation};

use crate::facts::Facts;
use crate::principals::{Name, Namings};
use crate::{Conditions, Grant, GrantSource};

/// A grant for the operation, and by which names it speaks of the caller: like a statement of the
/// key's policy that names its grantee.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MatchingGrant {
    pub grantee: String,
    pub index: usize,
    pub namings: Namings,
}

/// The grants that speak of the caller and the action, which is in lower case.
pub(crate) fn matching(
    source: &dyn GrantSource,
    action: &str,
    facts: &Facts<'_>,
) -> Vec<MatchingGrant> {
    let Some(operation) = action.strip_prefix("kms:").and_then(|name| {
        let mut all = GrantOperation::ALL.iter();
        all.find(|operation| operation.name().eq_ignore_ascii_case(name))
    }) else {
        return Vec::new();
    };
    let grants = source.grants_for(facts.context).into_iter().enumerate();
    grants
        .filter_map(|(index, grant)| {
            let mut namings = Namings::default();
            if allows(&grant, *operation, facts.conditions) {
                namings.add(Name::aws(&grant.grantee_principal).naming(facts));
            }
            if let Some(retiring) = &grant.retiring_principal
                && *operation == GrantOperation::RetireGrant
            {
                namings.add(Name::aws(retiring).naming(facts));
            }
            namings.any().then_some(MatchingGrant {
                grantee: grant.grantee_principal,
                index,
                namings,
            })
        })
        .collect()
}

/// Whether its grantee may do the operation.
fn allows(grant: &Grant, operation: GrantOperation, conditions: &Conditions) -> bool {
    grant.operations.contains(&operation)
        && match operation {
            // Constraints are for operations with an encryption context.
            GrantOperation::DescribeKey | GrantOperation::RetireGrant => true,
            GrantOperation::CreateGrant => hands_on_no_more(grant, conditions),
            GrantOperation::Decrypt
            | GrantOperation::Encrypt
            | GrantOperation::GenerateDataKey
            | GrantOperation::GenerateDataKeyWithoutPlaintext
            | GrantOperation::ReEncryptFrom
            | GrantOperation::ReEncryptTo
            | GrantOperation::Sign
            | GrantOperation::Verify
            | GrantOperation::GetPublicKey
            | GrantOperation::GenerateDataKeyPair
            | GrantOperation::GenerateDataKeyPairWithoutPlaintext
            | GrantOperation::GenerateMac
            | GrantOperation::VerifyMac
            | GrantOperation::DeriveSharedSecret => {
                let context = conditions.encryption_context();
                equals(grant, context) && holds_subset(grant, context)
            }
        }
}

/// Whether the grant that a CreateGrant asks for (by its condition keys) lets its grantee do no more
/// than `grant` does: a subset of its operations, under constraints at least as strict.
///
/// The encryption context of the request holds the pairs of all its constraints. If it has both
/// kinds, a context must meet both, and so has at least the pairs of both together.
fn hands_on_no_more(grant: &Grant, conditions: &Conditions) -> bool {
    let values = |key| conditions.get(key).unwrap_or_default();
    let operations = values("kms:GrantOperations");
    let has_kind = |kind| {
        values("kms:GrantConstraintType")
            .iter()
            .any(|it| it == kind)
    };
    let context = conditions.encryption_context();
    let held = |name: &String| grant.operations.iter().any(|own| own.name() == name);
    let equals_kept = grant.context_equals.is_none()
        || (has_kind("EncryptionContextEquals") && equals(grant, context));
    !operations.is_empty()
        && operations.iter().all(held)
        && equals_kept
        && holds_subset(grant, context)
}

fn equals(grant: &Grant, context: &EncryptionContext) -> bool {
    grant
        .context_equals
        .as_ref()
        .is_none_or(|expected| expected == context)
}

fn holds_subset(grant: &Grant, context: &EncryptionContext) -> bool {
    let pairs: &BTreeMap<String, String> = context.pairs();
    grant.context_subset.as_ref().is_none_or(|expected| {
        expected
            .pairs()
            .iter()
            .all(|(name, value)| pairs.get(name) == Some(value))
    })
}
