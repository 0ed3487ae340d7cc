//! Key policies: what a document must be to govern a KMS key (KMS Developer Guide, "Key policies").

use strongroom_types::AccountId;

use crate::Unreadable;
use crate::document::{
    DocumentError, Effect, PolicyDocument, PrincipalElement, PrincipalName, Statement,
};
use crate::operator::SetOperator;
use crate::pinning::{self, PinError, Pins, PrincipalDirectory};

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
    /// Who exists is not known.
    #[error("identities cannot be read")]
    Unreadable,
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

/// Checks that `text` can be a key's policy, and tells whom it means: the names in it that stand for
/// something else, as [`pinning::pins`] has them. Whether it locks its author out is for who knows the
/// author's own policies to say, by the decision that a later PutKeyPolicy would be.
///
/// # Errors
///
/// [`KeyPolicyError`].
pub fn check(text: &str, directory: &dyn PrincipalDirectory) -> Result<Pins, KeyPolicyError> {
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
    pinning::pins(text, directory).map_err(|error| match error {
        PinError::NoSuchPrincipal(_) => invalid_principals(),
        PinError::Unreadable(Unreadable) => KeyPolicyError::Unreadable,
    })
}

/// The policy would not let its author replace it.
pub fn locked_out() -> KeyPolicyError {
    KeyPolicyError::malformed(
        "The new key policy will not allow you to update the key policy in the future.",
    )
}

fn invalid_principals() -> KeyPolicyError {
    KeyPolicyError::malformed("Policy contains a statement with one or more invalid principals.")
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
    if names.iter().all(can_be_named) {
        Ok(())
    } else {
        Err(invalid_principals())
    }
}

/// Whether a key policy can name such a principal. Whether one of the `AWS` kind exists, the directory
/// knows; accounts need not: they stand for whatever that account allows, and do no harm if nobody
/// has them.
fn can_be_named(name: &PrincipalName) -> bool {
    match name {
        PrincipalName::Everyone | PrincipalName::Aws(_) => true,
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

#[cfg(test)]
mod tests {
    use strongroom_types::CanonicalId;

    use super::*;

    const OWNER: &str = "111122223333";
    const NO_SUCH_PRINCIPAL: &str =
        "Policy contains a statement with one or more invalid principals.";

    /// Knows alice and a role, unless it cannot be read.
    struct Known(bool);

    impl PrincipalDirectory for Known {
        fn pin(&self, arn: &str) -> Result<Option<String>, Unreadable> {
            let id = match arn {
                "arn:aws:iam::111122223333:user/alice" => Some("AIDA1"),
                "arn:aws:iam::444455556666:role/r" => Some("AROA1"),
                _ => None,
            };
            self.0.then(|| id.map(str::to_owned)).ok_or(Unreadable)
        }

        fn account_of(&self, _: &CanonicalId) -> Result<Option<AccountId>, Unreadable> {
            Ok(None)
        }

        fn canonical_id_of(&self, _: AccountId) -> Result<Option<CanonicalId>, Unreadable> {
            Ok(None)
        }
    }

    fn check_text(text: &str) -> Result<(), String> {
        check(text, &Known(true))
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

    #[test]
    fn length_and_characters_are_bounded() {
        assert_eq!(
            check(&" ".repeat(KEY_POLICY_MAX_BYTES + 1), &Known(true)),
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
            r#"{"AWS":"arn:aws:iam::111122223333:user/alice"}"#,
            r#"{"AWS":["arn:aws:iam::444455556666:role/r","111122223333"]}"#,
            r#"{"Service":["s3.amazonaws.com","logs.us-east-1.amazonaws.com"]}"#,
        ] {
            assert_eq!(with(good), Ok(()), "{good}");
        }
        for bad in [
            r#"{"AWS":"arn:aws:iam::111122223333:user/bob"}"#,
            r#"{"AWS":"AIDA1"}"#,
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
    fn whom_a_policy_means_is_told_and_nobody_is_guessed() {
        let text = r#"{"Statement":{"Effect":"Allow","Principal":{"AWS":
            ["arn:aws:iam::111122223333:user/alice","111122223333"]}}}"#;
        let pins = check(text, &Known(true)).unwrap();
        let alice = "arn:aws:iam::111122223333:user/alice".to_owned();
        assert_eq!(pins, Pins::from([(alice, "AIDA1".to_owned())]));
        assert_eq!(check(text, &Known(false)), Err(KeyPolicyError::Unreadable));
    }
}
