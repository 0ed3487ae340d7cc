//! Policy documents.

use strongroom_policy::{
    PolicyDocument, PrincipalDirectory, RootOnly, STATEMENTS_MAX, Unreadable, VALUES_MAX,
    key_policy, pinning,
};
use strongroom_types::kms::{KeyArn, KeyId};
use strongroom_types::{AccountId, CanonicalId, Region};

/// Knows every name there can be.
struct Everybody;

impl PrincipalDirectory for Everybody {
    fn pin(&self, _: &str) -> Result<Option<String>, Unreadable> {
        Ok(Some("AIDAEXAMPLE".to_owned()))
    }

    fn account_of(&self, _: &CanonicalId) -> Result<Option<AccountId>, Unreadable> {
        Ok(None)
    }

    fn canonical_id_of(&self, _: AccountId) -> Result<Option<CanonicalId>, Unreadable> {
        Ok(None)
    }
}

/// Parsing of a document, and the rules of key policies: who knows more people accepts more
/// policies, and what is decided by parses as well and names nobody twice.
pub fn policy_document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let account = AccountId::parse("111122223333").expect("an account");
    let key = KeyArn {
        region: Region::parse("us-east-1").expect("a region"),
        account,
        id: KeyId::from_bytes([7; 16]),
    };
    let lonely = key_policy::check(text, &RootOnly::default());
    let crowded = key_policy::check(text, &Everybody);
    assert!(lonely.is_err() || crowded == lonely);
    let Ok(document) = PolicyDocument::parse(text) else {
        assert!(crowded.is_err());
        return;
    };
    if let Ok(pins) = crowded {
        let pinned = pinning::pinned(text, &pins);
        assert_eq!(pinned.is_some(), !pins.is_empty());
        assert!(pinned.is_none_or(|pinned| PolicyDocument::parse(&pinned).is_ok()));
    }
    assert!((1..=STATEMENTS_MAX).contains(&document.statements.len()));
    for statement in &document.statements {
        assert!(statement.conditions.len() <= VALUES_MAX);
        let arn = key.to_string();
        let _ = statement
            .resource
            .as_ref()
            .map(|element| element.covers(&arn));
        let _ = statement
            .action
            .as_ref()
            .map(|element| element.covers("kms:Decrypt"));
    }
}
