//! What the rows of the key service hold: versioned CBOR records, sealed row by row.
//!
//! Domain types do not encode themselves: what is on disk is spelled out here. Names of AWS's
//! enumerations are stored as text.

use minicbor::{Decode, Encode};

use crate::endings::EndingKind;

strongroom_rows::record_kinds!(
    KeyRow = 20,
    MaterialRow = 21,
    DoomedShredRow = 22,
    AliasRow = 23,
    KeyAliasRow = 24,
    GrantRow = 25,
    RetirableGrantRow = 26,
    LastUsageRow = 27,
    AnnouncedRow = 28,
);

/// A key.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct KeyRow {
    #[n(0)]
    pub spec: String,
    #[n(1)]
    pub usage: String,
    #[n(2)]
    pub origin: String,
    #[n(3)]
    pub manager: String,
    /// 1 enabled, 2 disabled, 3 pending deletion, 4 being destroyed.
    #[n(4)]
    pub lifecycle: u8,
    #[n(5)]
    pub description: String,
    /// The JSON text as it was given.
    #[n(6)]
    pub policy: String,
    #[n(7)]
    pub tags: Vec<PairRow>,
    #[n(8)]
    pub created_millis: u64,
    #[n(9)]
    pub deletion_millis: Option<u64>,
    #[n(10)]
    pub rotation: RotationRow,
    #[n(11)]
    pub on_demand_rotations: u32,
    /// Oldest first. One that is pending comes last.
    #[n(12)]
    pub materials: Vec<KeyMaterialRow>,
    #[cbor(n(13), with = "minicbor::bytes")]
    pub current_material: Option<[u8; 32]>,
    #[cbor(n(14), with = "minicbor::bytes")]
    pub pending_material: Option<[u8; 32]>,
    /// Names in the policy, each with the unique id of whom it means; none if it names only accounts.
    #[n(15)]
    pub policy_pins: Option<Vec<PairRow>>,
}

/// A name and a value: of tags and of encryption contexts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct PairRow {
    #[n(0)]
    pub key: String,
    #[n(1)]
    pub value: String,
}

/// A key's automatic rotation.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct RotationRow {
    #[n(0)]
    pub enabled: bool,
    #[n(1)]
    pub period_days: u32,
    #[n(2)]
    pub next_millis: Option<u64>,
    #[n(3)]
    pub enabled_since_millis: Option<u64>,
}

/// What a key knows of one of its materials.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct KeyMaterialRow {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub id: [u8; 32],
    /// The shred key without which it does not open.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub shred: [u8; 16],
    #[n(2)]
    pub created_millis: u64,
    /// When it came into use; none for the first, and while pending.
    #[n(3)]
    pub rotated_millis: Option<u64>,
    #[n(4)]
    pub rotation_type: Option<String>,
    #[n(5)]
    pub import: Option<ImportRow>,
}

/// What a key knows of an imported material.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct ImportRow {
    /// False after it was deleted or has expired, until it is imported again.
    #[n(0)]
    pub present: bool,
    /// None: it does not expire.
    #[n(1)]
    pub valid_to_millis: Option<u64>,
    #[n(2)]
    pub description: Option<String>,
}

/// A wrapped material.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct MaterialRow {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub wrapped: Vec<u8>,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub shred: [u8; 16],
    /// Whose key it is: a ciphertext names key and material only.
    #[n(2)]
    pub account: String,
    #[n(3)]
    pub region: String,
}

/// A shred key that nothing may use any more. It goes as soon as its files are gone.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct DoomedShredRow {
    #[n(0)]
    pub since_millis: u64,
}

/// An alias.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct AliasRow {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub key: [u8; 16],
    #[n(1)]
    pub created_millis: u64,
    #[n(2)]
    pub updated_millis: u64,
}

/// A key has the alias that the row's key names.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct KeyAliasRow {
    #[n(0)]
    pub since_millis: u64,
}

/// A grant.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct GrantRow {
    #[n(0)]
    pub grantee: String,
    #[n(1)]
    pub retiring: Option<String>,
    #[n(2)]
    pub operations: Vec<String>,
    #[n(3)]
    pub context_equals: Option<Vec<PairRow>>,
    #[n(4)]
    pub context_subset: Option<Vec<PairRow>>,
    /// Empty: it has none.
    #[n(5)]
    pub name: String,
    #[n(6)]
    pub created_millis: u64,
    /// The account under which it was issued.
    #[n(7)]
    pub issuing_account: String,
    /// Whose key it is.
    #[n(8)]
    pub key_account: String,
    #[n(9)]
    pub key_region: String,
    /// The unique id of the user or role that the grantee meant; none for accounts.
    #[n(10)]
    pub grantee_pin: Option<String>,
    /// Likewise of the retiring principal.
    #[n(11)]
    pub retiring_pin: Option<String>,
}

/// A principal may retire the grant that the row's key names.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct RetirableGrantRow {
    /// Its unique id, or the ARN of an account or federated user.
    #[n(0)]
    pub principal: String,
}

/// A key's last cryptographic use.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct LastUsageRow {
    #[n(0)]
    pub operation: String,
    #[n(1)]
    pub at_millis: u64,
    #[cbor(n(2), with = "minicbor::bytes")]
    pub request_id: [u8; 16],
}

/// What was told of the end of a key. See [`crate::endings`].
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(crate) struct AnnouncedRow {
    #[n(0)]
    pub kind: EndingKind,
    /// When it ends.
    #[n(1)]
    pub at_millis: u64,
    /// The smallest window in which it was told, in days.
    #[n(2)]
    pub window_days: u32,
}

#[cfg(test)]
mod tests {
    use minicbor::Decoder;
    use strongroom_rows::Record;

    use super::*;

    fn fields(record: &[u8]) -> Vec<u8> {
        let mut decoder = Decoder::new(&record[2..]);
        let count = decoder.map().unwrap().unwrap();
        (0..count)
            .map(|_| {
                let field = decoder.u8().unwrap();
                decoder.skip().unwrap();
                field
            })
            .collect()
    }

    #[test]
    fn rows_without_pins_are_as_they_were_before_there_were_pins() {
        let grant = GrantRow {
            grantee: "g".to_owned(),
            retiring: None,
            operations: Vec::new(),
            context_equals: None,
            context_subset: None,
            name: String::new(),
            created_millis: 1,
            issuing_account: "a".to_owned(),
            key_account: "k".to_owned(),
            key_region: "r".to_owned(),
            grantee_pin: None,
            retiring_pin: None,
        };
        // So the ids of named grants, which are made of this, stay as well.
        assert_eq!(fields(&Record::encode(&grant)), [0, 2, 5, 6, 7, 8, 9]);
        let back = <GrantRow as Record>::decode(&Record::encode(&grant)).unwrap();
        assert_eq!((back.grantee_pin, back.retiring_pin), (None, None));
        let key = KeyRow {
            spec: String::new(),
            usage: String::new(),
            origin: String::new(),
            manager: String::new(),
            lifecycle: 1,
            description: String::new(),
            policy: "p".to_owned(),
            tags: Vec::new(),
            created_millis: 1,
            deletion_millis: None,
            rotation: RotationRow {
                enabled: false,
                period_days: 1,
                next_millis: None,
                enabled_since_millis: None,
            },
            on_demand_rotations: 0,
            materials: Vec::new(),
            current_material: None,
            pending_material: None,
            policy_pins: None,
        };
        assert!(!fields(&Record::encode(&key)).contains(&15));
        assert!(
            <KeyRow as Record>::decode(&Record::encode(&key))
                .unwrap()
                .policy_pins
                .is_none()
        );
    }
}
