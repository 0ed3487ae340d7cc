//! Grants: what they allow, to whom, and who retires them.

use std::collections::BTreeMap;

use strongroom_policy::{AllowedBy, Outcome};
use strongroom_types::kms::{EncryptionContext, GrantOperation};

use super::{ALLOW_ALL, ALLOW_ELSE, DENY_ALL, alice, allow_to, decrypt, deny_to};
use crate::cases::{Case, KEY, OTHER, OWNER, root, session, user};

fn context(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn grants_allow_their_grantee_their_operations() {
    use GrantOperation as G;
    let by_name = "arn:aws:iam::111122223333:user/team/alice";
    assert!(!decrypt(alice()).is_allowed());
    let granted = decrypt(alice()).grant(by_name, &[G::Decrypt]);
    assert_eq!(granted.decide().outcome, Outcome::Allowed(AllowedBy::Grant));
    assert!(!decrypt(alice()).grant(by_name, &[G::Encrypt]).is_allowed());
    assert!(
        !decrypt(user(OWNER, "carol"))
            .grant(by_name, &[G::Decrypt])
            .is_allowed()
    );
    // A Deny anywhere is stronger.
    assert!(!granted.clone().identity(&[DENY_ALL]).is_allowed());
    assert!(!granted.clone().boundary(&[DENY_ALL]).is_allowed());
    assert!(
        !granted
            .clone()
            .resource_policy(&[&deny_to(r#""Principal":"*""#)])
            .is_allowed()
    );
    // One to a principal of another account means that principal, one to an account delegates.
    let bob = "arn:aws:iam::444455556666:user/bob";
    assert!(
        decrypt(user(OTHER, "bob"))
            .grant(bob, &[G::Decrypt])
            .is_allowed()
    );
    let account = "arn:aws:iam::444455556666:root";
    let delegated = decrypt(user(OTHER, "bob")).grant(account, &[G::Decrypt]);
    assert!(!delegated.is_allowed());
    assert!(delegated.identity(&[ALLOW_ALL]).is_allowed());
    // A session of a role has the role's grants within its session policies.
    let role = "arn:aws:iam::111122223333:role/app";
    let of_role = decrypt(session(OWNER, "app", "s")).grant(role, &[G::Decrypt]);
    assert!(of_role.is_allowed());
    assert!(!of_role.session(&[ALLOW_ELSE]).is_allowed());
    // Grants are for the operations of keys.
    let mut other = granted;
    other.action = "s3:Decrypt".to_owned();
    assert!(!other.is_allowed());
}

#[test]
fn constraints_of_grants_are_compared_with_case() {
    use GrantOperation as G;
    let by_name = "arn:aws:iam::111122223333:user/team/alice";
    let granted =
        |operation: &str, equals: Option<&[(&str, &str)]>, subset: Option<&[(&str, &str)]>| {
            let action = format!("kms:{operation}");
            let mut case = Case::new(alice(), &action, KEY).grant(by_name, G::ALL);
            let make = |pairs: &[(&str, &str)]| EncryptionContext::new(context(pairs)).unwrap();
            case.grants[0].context_equals = equals.map(make);
            case.grants[0].context_subset = subset.map(make);
            case
        };
    let pair: &[(&str, &str)] = &[("App", "a")];
    for (asked, exact, subset) in [
        (&[][..], false, false),
        (&[("App", "a")], true, true),
        (&[("app", "a")], false, false),
        (&[("App", "A")], false, false),
        (&[("App", "a"), ("More", "b")], false, true),
        (&[("App", "x"), ("app", "a")], false, false),
    ] {
        for (equals, within, expected) in [(Some(pair), None, exact), (None, Some(pair), subset)] {
            let mut case = granted("Decrypt", equals, within);
            case.context = context(asked);
            assert_eq!(case.is_allowed(), expected, "{asked:?} {equals:?}");
            // These have no context.
            case.action = "kms:DescribeKey".to_owned();
            assert!(case.is_allowed());
        }
    }
}

#[test]
fn a_grant_hands_on_no_more_than_it_holds() {
    use GrantOperation as G;
    let by_name = "arn:aws:iam::111122223333:user/team/alice";
    let subset = EncryptionContext::new(context(&[("App", "a")])).unwrap();
    let ask = |operations: &[&str], kinds: &[&str], pairs: &[(&str, &str)], exact: bool| {
        let mut case = Case::new(alice(), "kms:CreateGrant", KEY)
            .grant(by_name, &[G::CreateGrant, G::Decrypt]);
        if exact {
            case.grants[0].context_equals = Some(subset.clone());
        } else {
            case.grants[0].context_subset = Some(subset.clone());
        }
        let owned = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        case.conditions
            .push(("kms:GrantOperations".to_owned(), owned(operations)));
        case.conditions
            .push(("kms:GrantConstraintType".to_owned(), owned(kinds)));
        case.context = context(pairs);
        case.is_allowed()
    };
    let (exact, within) = ("EncryptionContextEquals", "EncryptionContextSubset");
    let app = &[("App", "a")][..];
    let more = &[("App", "a"), ("More", "b")][..];
    assert!(ask(&["Decrypt"], &[within], app, false));
    assert!(ask(&["Decrypt"], &[within], more, false));
    assert!(ask(&["Decrypt"], &[exact], more, false));
    assert!(ask(&["CreateGrant", "Decrypt"], &[exact], app, true));
    assert!(!ask(&["Decrypt"], &[within], app, true));
    assert!(!ask(&["Decrypt"], &[exact], more, true));
    assert!(!ask(&["Decrypt", "Encrypt"], &[within], app, false));
    assert!(!ask(&["Decrypt"], &[], &[], false));
    assert!(!ask(&[], &[within], app, false));
    assert!(!ask(&["Decrypt"], &[within], &[("app", "a")], false));
}

#[test]
fn grants_are_retired_by_whom_they_name_or_by_the_keys_account() {
    use GrantOperation as G;
    let retire = |principal| Case::new(principal, "kms:RetireGrant", KEY);
    let mut granted = retire(alice()).grant("arn:aws:iam::111122223333:user/carol", &[G::Decrypt]);
    assert!(!granted.is_allowed());
    granted.grants[0].retiring_principal = Some(alice().arn());
    assert!(granted.is_allowed());
    let carol = || user(OWNER, "carol");
    assert!(
        !retire(carol())
            .grant(&carol().arn(), &[G::Decrypt])
            .is_allowed()
    );
    assert!(
        retire(carol())
            .grant(&carol().arn(), &[G::Decrypt, G::RetireGrant])
            .is_allowed()
    );
    // Not by the key's policy, but by the account that owns the key.
    let everyone = allow_to(r#""*""#);
    assert!(!retire(alice()).resource_policy(&[&everyone]).is_allowed());
    assert!(retire(alice()).identity(&[ALLOW_ALL]).is_allowed());
    assert!(retire(root(OWNER)).is_allowed());
    assert!(
        !retire(user(OTHER, "bob"))
            .identity(&[ALLOW_ALL])
            .resource_policy(&[&everyone])
            .is_allowed()
    );
    assert!(
        !granted
            .resource_policy(&[&deny_to(r#""Principal":"*""#)])
            .is_allowed()
    );
}
