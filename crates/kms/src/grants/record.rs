//! Grants as their rows have them.
//!
//! ```text
//! KMS_GRANTS            key id(16) || grant id(32)         the grant
//! KMS_RETIRABLE_GRANTS  ... || key id(16) || grant id(32)  who may retire it
//! KMS_RETIRABLE_GRANTS  0x00 || key id(16)                 how many grants the key has
//! KMS_RETIRABLE_GRANTS  0x01 || key id(16) || ...          which of them a grantee has: see `index`
//! ```
//!
//! The number is a row of its own and not a field of the key: it changes often, and whoever uses the
//! key does not care. No account begins with these bytes, so they are among nobody's retirable grants.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use minicbor::{Decode, Encode};
use strongroom_policy::PrincipalDirectory;
use strongroom_rows::Record;
use strongroom_types::kms::{EncryptionContext, GrantOperation, KeyArn, KeyId};
use strongroom_types::{AccountId, Region, Timestamp};

use crate::rows::{GrantRow, PairRow};
use crate::{GrantConstraints, GrantEntry, KmsError, keys};

/// The id of a grant: 32 bytes, printed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct GrantId(pub(crate) [u8; 32]);

impl GrantId {
    /// Parses 64 lower-case hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 32];
        hex::decode_to_slice(text, &mut id).ok()?;
        let id = Self(id);
        (id.to_string() == text).then_some(id)
    }
}

impl std::fmt::Display for GrantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How many grants a key has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct GrantCountRow {
    #[n(0)]
    pub(crate) grants: u32,
    /// Whether all of them are found by their grantees; not so of keys that had some before there was
    /// an index.
    #[n(1)]
    pub(crate) indexed: Option<bool>,
}

impl Record for GrantCountRow {
    const KIND: u8 = 0x1e;
}

impl GrantRow {
    /// What the grant allows.
    pub(crate) fn operations(&self) -> Result<Vec<GrantOperation>, KmsError> {
        let parse = |name: &String| GrantOperation::parse(name).ok_or(KmsError::Damaged);
        self.operations.iter().map(parse).collect()
    }

    /// When the grant applies.
    pub(crate) fn constraints(&self) -> Result<Option<GrantConstraints>, KmsError> {
        let parse = |pairs: &Option<Vec<PairRow>>| {
            let owned = |pair: &PairRow| (pair.key.clone(), pair.value.clone());
            let pairs = pairs
                .as_ref()
                .map(|pairs| pairs.iter().map(owned).collect());
            let context = pairs.map(EncryptionContext::new);
            context.transpose().map_err(|_| KmsError::Damaged)
        };
        let constraints = GrantConstraints {
            encryption_context_subset: parse(&self.context_subset)?,
            encryption_context_equals: parse(&self.context_equals)?,
        };
        Ok((constraints != GrantConstraints::default()).then_some(constraints))
    }

    /// Who may do it, as decisions know him.
    pub(crate) fn grantee_meant(&self) -> &str {
        self.grantee_pin.as_deref().unwrap_or(&self.grantee)
    }

    /// Who may retire it, as decisions know him.
    pub(crate) fn retiring_meant(&self) -> Option<&str> {
        self.retiring_pin.as_deref().or(self.retiring.as_deref())
    }

    /// The grant as listings show it: where an ARN is no longer the principal's that was meant, the
    /// unique id stands in its place.
    pub(crate) fn entry(
        &self,
        key: &KeyArn,
        id: GrantId,
        directory: &dyn PrincipalDirectory,
    ) -> Result<GrantEntry, KmsError> {
        let shown = |name: &String, pin: &Option<String>| -> Result<String, KmsError> {
            match pin {
                Some(pin) if directory.pin(name)?.as_ref() != Some(pin) => Ok(pin.clone()),
                Some(_) | None => Ok(name.clone()),
            }
        };
        let retiring = self.retiring.as_ref();
        Ok(GrantEntry {
            key: key.clone(),
            grant_id: id.to_string(),
            name: self.name.clone(),
            creation_date: Timestamp::from_millis(self.created_millis),
            grantee_principal: shown(&self.grantee, &self.grantee_pin)?,
            retiring_principal: retiring
                .map(|name| shown(name, &self.retiring_pin))
                .transpose()?,
            issuing_account: AccountId::parse(&self.issuing_account)
                .map_err(|_| KmsError::Damaged)?,
            operations: self.operations()?,
            constraints: self.constraints()?,
        })
    }
}

/// A context, as a row has it.
pub(crate) fn pairs_of(context: &EncryptionContext) -> Vec<PairRow> {
    let row = |(key, value): (&String, &String)| PairRow {
        key: key.clone(),
        value: value.clone(),
    };
    context.pairs().iter().map(row).collect()
}

/// The row that counts a key's grants.
pub(crate) fn count_key(key: KeyId) -> Bytes {
    [&[0][..], key.as_bytes()].concat().into()
}

/// The row by which a retiring principal finds a grant.
pub(crate) fn retirable_key(arn: &KeyArn, principal: &str, grant: GrantId) -> Bytes {
    keys::retirable_grant(arn, &principal_hash(principal), &grant.0)
}

/// The rows of all grants on keys of an account in a region that `principal` may retire.
pub(crate) fn retirable_by(account: AccountId, region: &Region, principal: &str) -> keys::Range {
    let zero = KeyArn {
        region: region.clone(),
        account,
        id: KeyId::from_bytes([0; 16]),
    };
    let mut prefix = retirable_key(&zero, principal, GrantId([0; 32])).to_vec();
    prefix.truncate(prefix.len().saturating_sub(48));
    keys::prefix(prefix)
}

/// Key and grant that a row of [`retirable_key`] speaks of.
pub(crate) fn of_retirable_row(row: &[u8]) -> Option<(KeyId, GrantId)> {
    let (rest, grant) = row.split_last_chunk::<32>()?;
    let (_, key) = rest.split_last_chunk::<16>()?;
    Some((KeyId::from_bytes(*key), GrantId(*grant)))
}

pub(super) fn principal_hash(principal: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    let computed = digest(&SHA256, principal.as_bytes());
    for (byte, value) in hash.iter_mut().zip(computed.as_ref()) {
        *byte = *value;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_principal_has_its_own_range_and_the_count_lies_in_none() {
        let arn = KeyArn {
            region: Region::parse("us-east-1").unwrap(),
            account: AccountId::parse("111122223333").unwrap(),
            id: KeyId::from_bytes([7; 16]),
        };
        let grant = GrantId([9; 32]);
        let row = retirable_key(&arn, "a", grant);
        let lies_in = |(start, end): keys::Range, row: &Bytes| {
            start <= *row && end.is_none_or(|end| *row < end)
        };
        assert!(lies_in(retirable_by(arn.account, &arn.region, "a"), &row));
        assert!(!lies_in(retirable_by(arn.account, &arn.region, "b"), &row));
        assert!(!lies_in(
            retirable_by(arn.account, &arn.region, "a"),
            &count_key(arn.id)
        ));
        assert_eq!(of_retirable_row(&row), Some((arn.id, grant)));
    }

    #[test]
    fn ids_parse_back_and_only_in_lower_case() {
        let id = GrantId([0xab; 32]);
        assert_eq!(GrantId::parse(&id.to_string()), Some(id));
        assert_eq!(GrantId::parse(&"AB".repeat(32)), None);
        assert_eq!(GrantId::parse("+a"), None);
    }
}
