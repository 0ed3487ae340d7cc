//! How rows are keyed. Order is meaning: a listing is a scan.
//!
//! ```text
//! KMS_KEYS              account(12) || LP(region) || key id(16)
//! KMS_ALIASES           account(12) || LP(region) || alias name
//! KMS_KEY_ALIASES       key id(16) || alias name
//! KMS_MATERIALS         0x01 || key id(16) || material id(32)     wrapped material
//!                       0x02 || shred id(16)                      a shred key that must go
//! KMS_GRANTS            key id(16) || grant id(32)
//! KMS_RETIRABLE_GRANTS  account(12) || LP(region) || SHA-256(retiring principal)(32) || key id(16) || grant id(32)
//! KMS_LAST_USAGE        key id(16)
//! KMS_ANNOUNCED         key id(16)
//!
//! LP(x) = length(1) || x
//! ```

use bytes::Bytes;
use strongroom_crypto::ShredId;
use strongroom_types::kms::{AliasName, KeyArn, KeyId, KeyMaterialId};
use strongroom_types::{AccountId, Region};

const WRAPPED: u8 = 1;
const DOOMED: u8 = 2;

/// Start and end of a range of rows.
pub(crate) type Range = (Bytes, Option<Bytes>);

/// Key of a key's row.
pub(crate) fn key(arn: &KeyArn) -> Bytes {
    let mut row_key = scope(arn.account, &arn.region);
    row_key.extend_from_slice(arn.id.as_bytes());
    row_key.into()
}

/// All keys of an account in a region.
pub(crate) fn keys_of(account: AccountId, region: &Region) -> Range {
    prefix(scope(account, region))
}

/// The ARN of the key that a row of `KMS_KEYS` is about.
pub(crate) fn parse_key(row_key: &[u8]) -> Option<KeyArn> {
    let (account, rest) = row_key.split_first_chunk::<12>()?;
    let (len, rest) = rest.split_first()?;
    let (region, id) = rest.split_at_checked(usize::from(*len))?;
    Some(KeyArn {
        region: Region::parse(std::str::from_utf8(region).ok()?).ok()?,
        account: AccountId::parse(std::str::from_utf8(account).ok()?).ok()?,
        id: KeyId::from_bytes(id.try_into().ok()?),
    })
}

/// Key of an alias's row.
pub(crate) fn alias(account: AccountId, region: &Region, name: &AliasName) -> Bytes {
    let mut row_key = scope(account, region);
    row_key.extend_from_slice(name.as_str().as_bytes());
    row_key.into()
}

/// All aliases of an account in a region.
pub(crate) fn aliases_of(account: AccountId, region: &Region) -> Range {
    prefix(scope(account, region))
}

/// The name in an alias's row key.
pub(crate) fn parse_alias(row_key: &[u8]) -> Option<AliasName> {
    let (_, rest) = row_key.split_first_chunk::<12>()?;
    let (len, rest) = rest.split_first()?;
    let (_, name) = rest.split_at_checked(usize::from(*len))?;
    AliasName::parse(std::str::from_utf8(name).ok()?)
}

/// Key of the row that says that a key has an alias.
pub(crate) fn key_alias(id: KeyId, name: &AliasName) -> Bytes {
    [id.as_bytes(), name.as_str().as_bytes()].concat().into()
}

/// All aliases of a key.
pub(crate) fn aliases_of_key(id: KeyId) -> Range {
    prefix(id.as_bytes().to_vec())
}

/// The name in a row key of `KMS_KEY_ALIASES`.
pub(crate) fn parse_key_alias(row_key: &[u8]) -> Option<AliasName> {
    AliasName::parse(std::str::from_utf8(row_key.get(16..)?).ok()?)
}

/// Key of a wrapped material.
pub(crate) fn material(key: KeyId, material: KeyMaterialId) -> Bytes {
    [&[WRAPPED][..], key.as_bytes(), material.as_bytes()]
        .concat()
        .into()
}

/// The range of all wrapped materials.
pub(crate) fn materials_of_all() -> (Bytes, Bytes) {
    (
        Bytes::from_static(&[WRAPPED]),
        Bytes::from_static(&[WRAPPED + 1]),
    )
}

/// Key of the row that asks for the destruction of a shred key.
pub(crate) fn doomed_shred(id: ShredId) -> Bytes {
    [&[DOOMED][..], id.as_bytes()].concat().into()
}

/// All shred keys that must go.
pub(crate) fn doomed_shreds() -> Range {
    prefix(vec![DOOMED])
}

/// The shred key that a row asks to destroy.
pub(crate) fn parse_doomed_shred(row_key: &[u8]) -> Option<ShredId> {
    let (kind, id) = row_key.split_first()?;
    (*kind == DOOMED).then_some(())?;
    Some(ShredId::from_bytes(id.try_into().ok()?))
}

/// Key of a grant.
pub(crate) fn grant(key: KeyId, grant: &[u8; 32]) -> Bytes {
    [key.as_bytes().as_slice(), grant].concat().into()
}

/// All grants of a key.
pub(crate) fn grants_of(key: KeyId) -> Range {
    prefix(key.as_bytes().to_vec())
}

/// The grant id in a row key of `KMS_GRANTS`.
pub(crate) fn parse_grant(row_key: &[u8]) -> Option<[u8; 32]> {
    row_key.get(16..)?.try_into().ok()
}

/// Key of the row by which a retiring principal finds a grant. `principal` is the SHA-256 of its ARN.
pub(crate) fn retirable_grant(arn: &KeyArn, principal: &[u8; 32], grant: &[u8; 32]) -> Bytes {
    let mut row_key = scope(arn.account, &arn.region);
    row_key.extend_from_slice(principal);
    row_key.extend_from_slice(arn.id.as_bytes());
    row_key.extend_from_slice(grant);
    row_key.into()
}

/// Key of the row that remembers a key's last use.
pub(crate) fn last_usage(key: KeyId) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}

/// Key of the row that remembers what was told of a key's end.
pub(crate) fn announced(key: KeyId) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}

/// The first key behind `row_key`.
pub(crate) fn behind(row_key: &[u8]) -> Bytes {
    [row_key, &[0]].concat().into()
}

/// All rows whose keys start with `prefix`.
pub(crate) fn prefix(prefix: Vec<u8>) -> Range {
    let mut end = prefix.clone();
    let mut behind = None;
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            behind = Some(end.into());
            break;
        }
    }
    (prefix.into(), behind)
}

fn scope(account: AccountId, region: &Region) -> Vec<u8> {
    let region = region.as_str().as_bytes();
    let mut out = account.as_str().as_bytes().to_vec();
    // A region has at most 32 bytes.
    out.push(u8::try_from(region.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(region);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arn(region: &str) -> KeyArn {
        KeyArn {
            region: Region::parse(region).unwrap(),
            account: AccountId::parse("111122223333").unwrap(),
            id: KeyId::from_bytes([0xFF; 16]),
        }
    }

    #[test]
    fn keys_parse_back_and_lie_in_the_range_of_their_region_only() {
        let row_key = key(&arn("us-east-1"));
        assert_eq!(parse_key(&row_key), Some(arn("us-east-1")));
        let inside = |region: &str| {
            let (start, end) = keys_of(arn(region).account, &arn(region).region);
            start <= row_key && end.is_some_and(|end| row_key < end)
        };
        assert!(inside("us-east-1"));
        assert!(!inside("us-east-11") && !inside("us-east-"));
    }

    #[test]
    fn aliases_and_doomed_shreds_parse_back() {
        let name = AliasName::parse("alias/a/b").unwrap();
        let KeyArn {
            region,
            account,
            id,
        } = arn("eu-west-1");
        assert_eq!(
            parse_alias(&alias(account, &region, &name)),
            Some(name.clone())
        );
        assert_eq!(parse_key_alias(&key_alias(id, &name)), Some(name));
        let shred = ShredId::from_bytes([9; 16]);
        assert_eq!(parse_doomed_shred(&doomed_shred(shred)), Some(shred));
        assert_eq!(parse_grant(&grant(id, &[7; 32])), Some([7; 32]));
    }

    #[test]
    fn a_range_of_nothing_but_ff_is_open() {
        assert_eq!(prefix(vec![0xFF]).1, None);
        assert_eq!(prefix(vec![1, 0xFF]).1.as_deref(), Some(&[2][..]));
    }
}
