//! Whom a resource policy means: users and roles are kept by their unique ids, so that who is deleted
//! and made again under the same name does not get back what was meant for somebody else (IAM User
//! Guide, "AWS JSON policy elements: Principal").

use std::collections::BTreeMap;

use serde_json::Value;
use strongroom_types::{AccountId, CanonicalId};

use crate::Unreadable;
use crate::key_policy::account_named;

/// Knows which principals exist.
///
/// Contract: what a change committed before the call began is seen by it.
pub trait PrincipalDirectory: Send + Sync {
    /// What stands for the principal that `arn` names now: the unique id of a user (`AIDA...`) or
    /// role (`AROA...`), `ROLE-ID:SESSION` for the ARN of a role's session, and the ARN itself for a
    /// federated user, whom nobody can make again. `None` if there is no such principal.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] while identities are not known.
    fn pin(&self, arn: &str) -> Result<Option<String>, Unreadable>;

    /// The account that S3 knows by a canonical id, if there is one.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] while identities are not known.
    fn account_of(&self, canonical_id: &CanonicalId) -> Result<Option<AccountId>, Unreadable>;

    /// By what S3 knows an account; `None` if this server has no such account.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] while identities are not known.
    fn canonical_id_of(&self, account: AccountId) -> Result<Option<CanonicalId>, Unreadable>;
}

/// The names in a policy that stand for something else, and what for: ARN and unique id.
pub type Pins = BTreeMap<String, String>;

/// The directory of a server without identities: it has no principals.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct NoPrincipals;

impl PrincipalDirectory for NoPrincipals {
    fn pin(&self, _: &str) -> Result<Option<String>, Unreadable> {
        Ok(None)
    }

    fn account_of(&self, _: &CanonicalId) -> Result<Option<AccountId>, Unreadable> {
        Ok(None)
    }

    fn canonical_id_of(&self, _: AccountId) -> Result<Option<CanonicalId>, Unreadable> {
        Ok(None)
    }
}

/// Why a policy cannot be pinned.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PinError {
    /// It names a principal of the `AWS` kind that does not exist.
    #[error("there is no principal {0}")]
    NoSuchPrincipal(String),
    /// Who exists is not known.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// The text by which is decided: every user and role in it is named by its unique id. `None` if that
/// is the text itself, because it names none. `text` is a policy that parses.
///
/// # Errors
///
/// [`PinError`].
pub fn pin(text: &str, directory: &dyn PrincipalDirectory) -> Result<Option<String>, PinError> {
    Ok(pinned(text, &pins(text, directory)?))
}

/// Whom the names in `text`, a policy that parses, stand for. With [`pinned`] it is what [`pin`] is,
/// for who keeps text and pins rather than two texts.
///
/// # Errors
///
/// [`PinError`].
pub fn pins(text: &str, directory: &dyn PrincipalDirectory) -> Result<Pins, PinError> {
    let mut pins = Pins::new();
    let Ok(mut document) = serde_json::from_str::<Value>(text) else {
        return Ok(pins);
    };
    each_principal(&mut document, &mut |name| {
        if name == "*" || account_named(name).is_some() {
            return Ok::<(), PinError>(());
        }
        let pin = directory
            .pin(name)?
            .ok_or_else(|| PinError::NoSuchPrincipal(name.clone()))?;
        if pin != *name {
            pins.insert(name.clone(), pin);
        }
        Ok(())
    })?;
    Ok(pins)
}

/// The text by which is decided, of one whose pins are known. `None` if that is the text itself.
pub fn pinned(text: &str, pins: &Pins) -> Option<String> {
    if pins.is_empty() {
        return None;
    }
    let mut document = serde_json::from_str::<Value>(text).ok()?;
    let mut has_changed = false;
    let Ok(()) = each_principal(&mut document, &mut |name| {
        if let Some(pin) = pins.get(name) {
            name.clone_from(pin);
            has_changed = true;
        }
        Ok::<(), std::convert::Infallible>(())
    });
    has_changed.then(|| document.to_string())
}

/// The text to show: the one that was put, but where one of its ARNs is no longer the principal's
/// that was meant, the unique id stands in its place.
///
/// # Errors
///
/// [`Unreadable`] while identities are not known.
pub fn shown(
    text: &str,
    pinned: Option<&str>,
    directory: &dyn PrincipalDirectory,
) -> Result<String, Unreadable> {
    let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|_| Unreadable);
    let Some(pinned) = pinned else {
        return Ok(text.to_owned());
    };
    let (mut named, mut meant) = (parse(text)?, parse(pinned)?);
    let mut pins = Vec::new();
    each_principal(&mut meant, &mut |pin| {
        pins.push(pin.clone());
        Ok::<(), Unreadable>(())
    })?;
    let mut pins = pins.into_iter();
    let mut has_changed = false;
    each_principal(&mut named, &mut |name| {
        let pin = pins.next().ok_or(Unreadable)?;
        if pin != *name && directory.pin(name)?.as_ref() != Some(&pin) {
            *name = pin;
            has_changed = true;
        }
        Ok::<(), Unreadable>(())
    })?;
    Ok(if has_changed {
        named.to_string()
    } else {
        text.to_owned()
    })
}

/// Calls `change` with every name of the `AWS` kind in `Principal` and `NotPrincipal`.
fn each_principal<E>(
    document: &mut Value,
    change: &mut impl FnMut(&mut String) -> Result<(), E>,
) -> Result<(), E> {
    let mut of_statement = |statement: &mut Value| -> Result<(), E> {
        for member in ["Principal", "NotPrincipal"] {
            match statement.get_mut(member).and_then(|it| it.get_mut("AWS")) {
                Some(Value::String(name)) => change(name)?,
                Some(Value::Array(names)) => {
                    for name in names {
                        if let Value::String(name) = name {
                            change(name)?;
                        }
                    }
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    };
    match document.get_mut("Statement") {
        Some(Value::Array(statements)) => statements.iter_mut().try_for_each(of_statement),
        Some(statement) => of_statement(statement),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Knows alice, under the id of the moment.
    struct Alice(Option<&'static str>);

    const ALICE: &str = "arn:aws:iam::111122223333:user/alice";

    impl PrincipalDirectory for Alice {
        fn pin(&self, arn: &str) -> Result<Option<String>, Unreadable> {
            Ok(self.0.filter(|_| arn == ALICE).map(str::to_owned))
        }

        fn account_of(&self, _: &CanonicalId) -> Result<Option<AccountId>, Unreadable> {
            Ok(None)
        }

        fn canonical_id_of(&self, _: AccountId) -> Result<Option<CanonicalId>, Unreadable> {
            Ok(None)
        }
    }

    fn policy(principal: &str) -> String {
        format!(r#"{{"Statement":[{{"Effect":"Allow","Principal":{principal},"Action":"s3:*"}}]}}"#)
    }

    #[test]
    fn who_is_named_is_kept_by_his_id() {
        let text = policy(&format!(r#"{{"AWS":["{ALICE}","444455556666"]}}"#));
        let pinned = pin(&text, &Alice(Some("AIDA1"))).unwrap().unwrap();
        assert!(pinned.contains(r#"["AIDA1","444455556666"]"#), "{pinned}");
        for nobody in [
            r#""*""#,
            r#"{"AWS":"*"}"#,
            r#"{"Service":"s3.amazonaws.com"}"#,
        ] {
            assert_eq!(pin(&policy(nobody), &Alice(None)), Ok(None), "{nobody}");
        }
        assert_eq!(
            pin(&text, &Alice(None)),
            Err(PinError::NoSuchPrincipal(ALICE.to_owned()))
        );
    }

    #[test]
    fn an_orphan_is_shown_by_the_id_that_was_meant() {
        let text = policy(&format!(r#"{{"AWS":"{ALICE}"}}"#));
        let pinned = pin(&text, &Alice(Some("AIDA1"))).unwrap().unwrap();
        let show = |now| shown(&text, Some(&pinned), &Alice(now)).unwrap();
        assert_eq!(show(Some("AIDA1")), text);
        for gone in [None, Some("AIDA2")] {
            assert!(show(gone).contains(r#""AIDA1""#));
            assert!(!show(gone).contains("alice"));
        }
    }
}
