//! Names, paths and ARNs.

use strongroom_types::AccountId;

use crate::IamError;
use crate::limits::{DESCRIPTION_MAX, PATH_MAX};

/// Whether a character may stand in a name: `[\w+=,.@-]`.
pub(crate) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '=' | ',' | '.' | '@' | '-')
}

/// Checks a name of 1 to `max` characters.
///
/// # Errors
///
/// [`IamError::Validation`], naming the member.
pub(crate) fn check_name(name: &str, member: &str, max: usize) -> Result<(), IamError> {
    if name.is_empty() {
        return Err(IamError::constraint(
            name,
            member,
            "have length greater than or equal to 1",
        ));
    }
    if !name.chars().all(is_name_char) {
        return Err(IamError::Validation(format!(
            "The specified value for {member} is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"
        )));
    }
    if name.len() > max {
        return Err(IamError::constraint(
            name,
            member,
            &format!("have length less than or equal to {max}"),
        ));
    }
    Ok(())
}

/// Checks a path: `/`, or `/.../` of visible ASCII. None means `/`.
///
/// # Errors
///
/// [`IamError::Validation`].
pub(crate) fn check_path(path: Option<&str>) -> Result<String, IamError> {
    let path = path.unwrap_or("/");
    let inner = path.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    if path.len() <= PATH_MAX && path.starts_with('/') && path.ends_with('/') && inner {
        return Ok(path.to_owned());
    }
    Err(IamError::Validation(
        "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.".to_owned(),
    ))
}

/// Checks a description.
///
/// # Errors
///
/// [`IamError::Validation`].
pub(crate) fn check_description(text: Option<&str>) -> Result<(), IamError> {
    if text.is_some_and(|text| text.chars().count() > DESCRIPTION_MAX) {
        return Err(IamError::constraint(
            "***",
            "description",
            "have length less than or equal to 1000",
        ));
    }
    Ok(())
}

/// How names are compared: without regard to case.
pub(crate) fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// `arn:aws:iam::<account>:<kind><path><name>`.
pub(crate) fn arn(account: AccountId, kind: &str, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:{kind}{path}{name}")
}

/// Splits the ARN of something of IAM: the account (`aws` is none), and what follows it.
pub(crate) fn split_arn(text: &str) -> Option<(Option<AccountId>, &str)> {
    let rest = text.strip_prefix("arn:aws:iam::")?;
    let (account, resource) = rest.split_once(':')?;
    if resource.is_empty() {
        return None;
    }
    match account {
        "aws" => Some((None, resource)),
        account => Some((Some(AccountId::parse(account).ok()?), resource)),
    }
}

/// The account and name in the ARN of a role.
pub(crate) fn role_of(text: &str) -> Option<(AccountId, &str)> {
    let (account, resource) = split_arn(text)?;
    let path_and_name = resource.strip_prefix("role/")?;
    let name = path_and_name.rsplit('/').next()?;
    (!name.is_empty()).then_some((account?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_bounded() {
        assert!(check_name("a+=,.@-_9", "userName", 64).is_ok());
        for bad in ["", "a b", "a/b", "\u{e4}"] {
            assert!(check_name(bad, "userName", 64).is_err(), "{bad}");
        }
        assert!(check_name(&"a".repeat(65), "userName", 64).is_err());
        for good in [None, Some("/"), Some("/a/b/")] {
            assert!(check_path(good).is_ok());
        }
        for bad in ["", "a", "/a", "a/", "/a b/"] {
            assert!(check_path(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn arns_split_into_account_and_resource() {
        assert_eq!(
            role_of("arn:aws:iam::111122223333:role/p/q/r").map(|(_, name)| name),
            Some("r")
        );
        assert!(role_of("arn:aws:iam::111122223333:user/r").is_none());
        assert!(role_of("arn:aws:iam::aws:role/r").is_none());
        assert_eq!(
            split_arn("arn:aws:iam::aws:policy/P"),
            Some((None, "policy/P"))
        );
        assert!(split_arn("arn:aws:s3:::b").is_none());
    }
}
