//! Key policies: what a document must be to govern a KMS key (KMS Developer Guide, "Key policies").

use strongroom_types::kms::KeyArn;
use strongroom_types::{AccountId, Principal};

use crate::document::{
    DocumentError, Effect, PolicyDocument, PrincipalElement, PrincipalName, Statement,
};
use crate::operator::SetOperator;

/// Longest key policy, in bytes (KMS Developer Guide, "Resource quotas").
pub const KEY_POLICY_MAX_BYTES: usize = 32_768;

/// Why a document cannot be a key's policy. The texts are for the caller.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyPolicyError {
    /// `LimitExceededException`: longer than [`KEY_POLICY_MAX_BYTES`].
    #[error("The key policy document is larger than {KEY_POLICY_MAX_BYTES} bytes.")]
    TooLong,
    /// `MalformedPolicyDocumentException`.
    #[error("{0}")]
    Malformed(String),
}

impl KeyPolicyError {
    fn malformed(text: impl Into<String>) -> Self {
        Self::Malformed(text.into())
    }
}

impl From<DocumentError> for KeyPolicyError {
    fn from(error: DocumentError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// Checks that `text` can be the policy of `key`, at the wish of `caller`.
///
/// Unless `bypass_lockout_safety_check`, the policy must allow `caller` to replace it again.
///
/// # Errors
///
/// [`KeyPolicyError`].
pub fn check(
    text: &str,
    key: &KeyArn,
    caller: &Principal,
    bypass_lockout_safety_check: bool,
) -> Result<PolicyDocument, KeyPolicyError> {
    if text.len() > KEY_POLICY_MAX_BYTES {
        return Err(KeyPolicyError::TooLong);
    }
    // KMS API Reference, PutKeyPolicy: "Policy".
    let printable = |letter| matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{ff}');
    if !text.chars().all(printable) {
        return Err(KeyPolicyError::malformed(
            "The policy contains characters that key policies cannot have.",
        ));
    }
    let document = PolicyDocument::parse(text)?;
    for statement in &document.statements {
        check_principals(statement)?;
        check_conditions(statement)?;
    }
    if !bypass_lockout_safety_check && !allows(&document, key, caller, "kms:PutKeyPolicy") {
        return Err(KeyPolicyError::malformed(
            "The new key policy will not allow you to update the key policy in the future.",
        ));
    }
    Ok(document)
}

/// A statement that lacks an action or a resource is accepted and does nothing; one that lacks a
/// principal is not.
fn check_principals(statement: &Statement) -> Result<(), KeyPolicyError> {
    let names = match &statement.principal {
        None => {
            return Err(KeyPolicyError::malformed(
                "A statement of a key policy must have a Principal element.",
            ));
        }
        // It would allow everybody else, those of other accounts too.
        Some(PrincipalElement::IsNot(_)) if statement.effect == Effect::Allow => {
            return Err(KeyPolicyError::malformed(
                "NotPrincipal cannot be used with the Effect Allow.",
            ));
        }
        Some(PrincipalElement::Is(names) | PrincipalElement::IsNot(names)) => names,
    };
    if names.iter().all(exists) {
        Ok(())
    } else {
        Err(KeyPolicyError::malformed(
            "Policy contains a statement with one or more invalid principals.",
        ))
    }
}

/// Whether there is such a principal. This server has no users, roles and identity providers yet,
/// so none of its own account's exists; once it has, whoever knows them decides here.
///
/// Of other accounts only the account itself can be named: it stands for whatever that account
/// allows, and does no harm if nobody has it. A user or role of theirs cannot be looked up, and
/// taking its ARN unseen would give the rights to whoever gets that name later.
fn exists(name: &PrincipalName) -> bool {
    match name {
        PrincipalName::Everyone => true,
        PrincipalName::Aws(text) => account_named(text).is_some(),
        PrincipalName::Service(name) => is_service(name),
        PrincipalName::Federated(_) | PrincipalName::CanonicalUser(_) => false,
    }
}

/// The account of `111122223333` or `arn:aws:iam::111122223333:root`, which mean the same.
pub fn account_named(text: &str) -> Option<AccountId> {
    let id = text
        .strip_prefix("arn:aws:iam::")
        .and_then(|rest| rest.strip_suffix(":root"))
        .unwrap_or(text);
    AccountId::parse(id).ok()
}

/// Whether `name` is a service principal: `SERVICE.amazonaws.com`, with or without a region.
fn is_service(name: &str) -> bool {
    name.strip_suffix(".amazonaws.com").is_some_and(|service| {
        service.split('.').all(|label| {
            let allowed =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !label.is_empty() && label.bytes().all(allowed)
        })
    })
}

/// Refuses a restriction that restricts nothing (KMS Developer Guide, "kms:EncryptionContext:
/// context-key"): `ForAllValues` holds for requests without the key.
fn check_conditions(statement: &Statement) -> Result<(), KeyPolicyError> {
    for condition in &statement.conditions {
        if condition.operator.set != Some(SetOperator::ForAllValues) {
            continue;
        }
        let key = condition.key.to_ascii_lowercase();
        let what = if key.starts_with("kms:encryptioncontext:") {
            "encryption context"
        } else if key.starts_with("aws:requesttag/") {
            "tag"
        } else {
            continue;
        };
        return Err(KeyPolicyError::malformed(format!(
            "OverlyPermissiveCondition: Using the ForAllValues set operator with a single-valued \
             condition key matches requests without the specified {what} or with an unspecified \
             {what}. To fix, remove ForAllValues."
        )));
    }
    Ok(())
}

/// Whether the policy would let `caller` do `action` to the key, for all that is known now: a
/// statement with conditions counts as one whose conditions do not hold. Where the policy names the
/// account, the caller's own permissions are taken for granted.
fn allows(document: &PolicyDocument, key: &KeyArn, caller: &Principal, action: &str) -> bool {
    let applies = |statement: &&Statement| {
        statement.conditions.is_empty()
            && statement
                .action
                .as_ref()
                .is_some_and(|element| element.covers(action))
            && statement
                .resource
                .as_ref()
                .is_some_and(|element| element.covers(&key.to_string()))
            && statement
                .principal
                .as_ref()
                .is_some_and(|element| speaks_of(element, caller))
    };
    let mut allowed = false;
    for statement in document.statements.iter().filter(applies) {
        match statement.effect {
            Effect::Deny => return false,
            Effect::Allow => allowed = true,
        }
    }
    allowed
}

fn speaks_of(element: &PrincipalElement, caller: &Principal) -> bool {
    match element {
        PrincipalElement::Is(names) => names.iter().any(|name| is_named(name, caller)),
        // Exempt is only whose every name is listed: the account's, and its own.
        PrincipalElement::IsNot(names) => {
            let own = caller.arn();
            let listed_himself = names.iter().any(|name| match name {
                PrincipalName::Everyone => true,
                PrincipalName::Aws(text) => {
                    *text == own
                        || matches!(caller, Principal::Root { account }
                            if account_named(text) == Some(*account))
                }
                PrincipalName::Service(text) => *text == own,
                PrincipalName::Federated(_) | PrincipalName::CanonicalUser(_) => false,
            });
            let listed_account = caller.account().is_none_or(|account| {
                names.iter().any(|name| match name {
                    PrincipalName::Everyone => true,
                    PrincipalName::Aws(text) => account_named(text) == Some(account),
                    PrincipalName::Service(_)
                    | PrincipalName::Federated(_)
                    | PrincipalName::CanonicalUser(_) => false,
                })
            });
            !(listed_himself && listed_account)
        }
    }
}

fn is_named(name: &PrincipalName, caller: &Principal) -> bool {
    match name {
        PrincipalName::Everyone => true,
        PrincipalName::Aws(text) => {
            *text == caller.arn()
                || (caller.account().is_some() && account_named(text) == caller.account())
        }
        PrincipalName::Service(text) => {
            matches!(caller, Principal::Service { name } if **name == **text)
        }
        PrincipalName::Federated(_) | PrincipalName::CanonicalUser(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::Region;
    use strongroom_types::kms::KeyId;

    use super::*;

    const OWNER: &str = "111122223333";
    const LOCKED_OUT: &str =
        "The new key policy will not allow you to update the key policy in the future.";
    const NO_SUCH_PRINCIPAL: &str =
        "Policy contains a statement with one or more invalid principals.";

    fn key() -> KeyArn {
        KeyArn {
            region: Region::parse("us-east-1").unwrap(),
            account: AccountId::parse(OWNER).unwrap(),
            id: KeyId::from_bytes([7; 16]),
        }
    }

    fn root() -> Principal {
        Principal::Root {
            account: AccountId::parse(OWNER).unwrap(),
        }
    }

    fn check_text(text: &str) -> Result<(), String> {
        check(text, &key(), &root(), false)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// A policy of an account statement and `statement`.
    fn check_with(statement: &str) -> Result<(), String> {
        check_text(&format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":
            "arn:aws:iam::{OWNER}:root"}},"Action":"kms:*","Resource":"*"}},{statement}]}}"#
        ))
    }

    fn check_alone(statement: &str) -> Result<(), String> {
        check_text(&format!(
            r#"{{"Version":"2012-10-17","Statement":{statement}}}"#
        ))
    }

    #[test]
    fn length_and_characters_are_bounded() {
        assert_eq!(
            check(&" ".repeat(KEY_POLICY_MAX_BYTES + 1), &key(), &root(), true),
            Err(KeyPolicyError::TooLong)
        );
        let with_sid = |sid: &str| {
            check_with(&format!(
                r#"{{"Sid":"{sid}","Effect":"Deny","Principal":"*"}}"#
            ))
        };
        assert_eq!(with_sid("\u{ff}"), Ok(()));
        for bad in ["\u{100}", "\u{1}", "\u{7}"] {
            let error = with_sid(bad).unwrap_err();
            assert!(error.contains("characters"), "{error}");
        }
        assert_eq!(
            check_text("{"),
            Err("This policy contains invalid Json".to_owned())
        );
    }

    #[test]
    fn a_statement_needs_a_principal_but_neither_action_nor_resource() {
        assert_eq!(check_with(r#"{"Effect":"Deny","Principal":"*"}"#), Ok(()));
        assert_eq!(
            check_with(r#"{"Effect":"Deny","Principal":"*","Action":"kms:*"}"#),
            Ok(())
        );
        assert_eq!(
            check_with(r#"{"Effect":"Deny","Principal":"*","Resource":"*"}"#),
            Ok(())
        );
        let error =
            check_with(r#"{"Effect":"Allow","Action":"kms:*","Resource":"*"}"#).unwrap_err();
        assert!(error.contains("Principal"), "{error}");
        assert!(check_with(r#"{"Effect":"Allow","NotPrincipal":"*"}"#).is_err());
    }

    #[test]
    fn principals_must_exist() {
        let with = |principal: &str| {
            check_with(&format!(r#"{{"Effect":"Allow","Principal":{principal}}}"#))
        };
        for good in [
            r#""*""#,
            r#"{"AWS":"*"}"#,
            r#"{"AWS":"111122223333"}"#,
            r#"{"AWS":"arn:aws:iam::444455556666:root"}"#,
            r#"{"Service":["s3.amazonaws.com","logs.us-east-1.amazonaws.com"]}"#,
        ] {
            assert_eq!(with(good), Ok(()), "{good}");
        }
        for bad in [
            r#"{"AWS":"arn:aws:iam::111122223333:user/alice"}"#,
            r#"{"AWS":"arn:aws:iam::444455556666:role/r"}"#,
            r#"{"AWS":["111122223333","alice"]}"#,
            r#"{"Service":"s3.example.com"}"#,
            r#"{"Service":".amazonaws.com"}"#,
            r#"{"Federated":"cognito-identity.amazonaws.com"}"#,
            r#"{"CanonicalUser":"79a5"}"#,
        ] {
            assert_eq!(with(bad), Err(NO_SUCH_PRINCIPAL.to_owned()), "{bad}");
        }
    }

    #[test]
    fn for_all_values_cannot_restrict_a_key_of_one_value() {
        let with = |operator: &str, key: &str| {
            check_with(&format!(
                r#"{{"Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"*",
                "Condition":{{"{operator}":{{"{key}":"x"}}}}}}"#
            ))
        };
        assert_eq!(
            with("ForAllValues:StringEquals", "KMS:EncryptionContext:AppName"),
            Err(
                "OverlyPermissiveCondition: Using the ForAllValues set operator with a \
                 single-valued condition key matches requests without the specified encryption \
                 context or with an unspecified encryption context. To fix, remove ForAllValues."
                    .to_owned()
            )
        );
        let error = with("ForAllValues:StringLikeIfExists", "aws:RequestTag/a").unwrap_err();
        assert!(error.contains("without the specified tag or"), "{error}");
        assert_eq!(
            with("ForAllValues:StringEquals", "kms:EncryptionContextKeys"),
            Ok(())
        );
        assert_eq!(
            with("ForAnyValue:StringEquals", "kms:EncryptionContext:a"),
            Ok(())
        );
    }

    #[test]
    fn a_policy_that_locks_its_author_out_is_refused() {
        let account = r#""Principal":{"AWS":"111122223333"}"#;
        for (statement, holds) in [
            (format!(r#"{{"Effect":"Allow",{account},"Action":"kms:*","Resource":"*"}}"#), true),
            (format!(r#"{{"Effect":"Allow",{account},"Action":"kms:Put*","Resource":"*"}}"#), true),
            (format!(r#"{{"Effect":"Allow",{account},"NotAction":"kms:Decrypt","Resource":"{}"}}"#, key()), true),
            (r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#.to_owned(), true),
            (format!(r#"{{"Effect":"Allow",{account},"Action":"kms:Decrypt","Resource":"*"}}"#), false),
            (format!(r#"{{"Effect":"Allow",{account},"Action":"kms:*"}}"#), false),
            (format!(r#"{{"Effect":"Allow",{account},"Resource":"*"}}"#), false),
            (r#"{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"kms:*","Resource":"*"}"#.to_owned(), false),
            (format!(r#"{{"Effect":"Allow",{account},"Action":"kms:*","Resource":"*","Condition":{{"Bool":{{"aws:SecureTransport":true}}}}}}"#), false),
        ] {
            let expected = if holds { Ok(()) } else { Err(LOCKED_OUT.to_owned()) };
            assert_eq!(check_alone(&statement), expected, "{statement}");
            let document = format!(r#"{{"Statement":{statement}}}"#);
            assert!(check(&document, &key(), &root(), true).is_ok(), "{statement}");
        }
    }

    #[test]
    fn a_denial_of_the_author_locks_him_out_too() {
        let deny = |principal: &str, rest: &str| {
            check_with(&format!(
                r#"{{"Effect":"Deny",{principal},"Action":"kms:PutKeyPolicy","Resource":"*"{rest}}}"#
            ))
        };
        let locked = Err(LOCKED_OUT.to_owned());
        assert_eq!(deny(r#""Principal":"*""#, ""), locked);
        assert_eq!(deny(r#""Principal":{"AWS":"111122223333"}"#, ""), locked);
        assert_eq!(deny(r#""Principal":{"AWS":"444455556666"}"#, ""), Ok(()));
        assert_eq!(deny(r#""NotPrincipal":{"AWS":"444455556666"}"#, ""), locked);
        assert_eq!(deny(r#""NotPrincipal":{"AWS":"111122223333"}"#, ""), Ok(()));
        let condition = r#","Condition":{"Null":{"aws:PrincipalArn":"false"}}"#;
        assert_eq!(deny(r#""Principal":"*""#, condition), Ok(()));
    }

    #[test]
    fn a_user_is_exempt_only_with_its_account() {
        let user = Principal::User {
            account: AccountId::parse(OWNER).unwrap(),
            user_id: "AIDAEXAMPLE".into(),
            path_and_name: "alice".into(),
        };
        let account = PrincipalName::Aws(OWNER.to_owned());
        let alice = PrincipalName::Aws(user.arn());
        assert!(speaks_of(
            &PrincipalElement::IsNot(vec![account.clone()]),
            &user
        ));
        assert!(!speaks_of(
            &PrincipalElement::IsNot(vec![account.clone(), alice]),
            &user
        ));
        assert!(speaks_of(&PrincipalElement::Is(vec![account]), &user));
        let service = Principal::Service {
            name: "s3.amazonaws.com".into(),
        };
        let name = PrincipalName::Service("s3.amazonaws.com".to_owned());
        assert!(speaks_of(
            &PrincipalElement::Is(vec![name.clone()]),
            &service
        ));
        assert!(!speaks_of(&PrincipalElement::Is(vec![name]), &user));
    }
}
