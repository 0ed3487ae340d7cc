//! Policy documents.

use strongroom_policy::{PolicyDocument, STATEMENTS_MAX, VALUES_MAX, key_policy};
use strongroom_types::kms::{KeyArn, KeyId};
use strongroom_types::{AccountId, Principal, Region};

/// Parsing of a document, and the rules of key policies; the safety check only ever refuses more.
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
    let root = Principal::Root { account };
    let careful = key_policy::check(text, &key, &root, false);
    let bypassing = key_policy::check(text, &key, &root, true);
    assert!(careful.is_err() || bypassing == careful);
    let Ok(document) = PolicyDocument::parse(text) else {
        assert!(bypassing.is_err());
        return;
    };
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
