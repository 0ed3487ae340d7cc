//! What must hold of every decision, whatever the policies.

use crate::cases::Case;
use crate::random::Random;
use proptest::prelude::*;
use strongroom_policy::Outcome;

const ALLOW_ALL: &str = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
const DENY_ALL: &str = r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#;

fn case_of(seed: u64) -> (Case, Random) {
    let mut random = Random::new(seed);
    let case = random.case();
    (case, random)
}

/// The policies of the principal that do more than limit, or the resource's.
fn layers(case: &mut Case) -> [&mut Vec<String>; 2] {
    [&mut case.identity, &mut case.session]
}

/// The statements of a policy, and it without or with others.
fn statements(text: &str) -> Option<(serde_json::Value, Vec<serde_json::Value>)> {
    let document: serde_json::Value = serde_json::from_str(text).ok()?;
    let statements = document.get("Statement")?.as_array()?.clone();
    Some((document, statements))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_deny_wins_wherever_it_is(seed: u64, place in 0..4_u8) {
        let (mut case, _) = case_of(seed);
        // The owner's root may mend a bucket's policy whatever that says.
        prop_assume!(place != 3 || !case.action.ends_with("BucketPolicy"));
        match place {
            0 => case.identity.push(crate::cases::policy(&[DENY_ALL])),
            1 => case.boundary = Some(crate::cases::policy(&[ALLOW_ALL, DENY_ALL])),
            2 => case.session.push(crate::cases::policy(&[DENY_ALL])),
            _ => case.resource_policy = Some(crate::cases::policy(&[
                r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#,
                r#"{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}"#,
            ])),
        }
        let outcome = case.decide().outcome;
        prop_assert!(matches!(outcome, Outcome::ExplicitlyDenied(_) | Outcome::Unreadable(_)), "{outcome:?}");
    }

    #[test]
    fn neither_the_order_of_policies_nor_of_statements_matters(seed: u64) {
        let (case, _) = case_of(seed);
        let mut turned = case.clone();
        for layer in layers(&mut turned) {
            layer.reverse();
        }
        turned.grants.reverse();
        turned.conditions.reverse();
        let texts = turned.identity.iter_mut().chain(&mut turned.session);
        let texts = texts.chain(&mut turned.boundary).chain(&mut turned.resource_policy);
        for text in texts {
            if let Some((mut document, mut statements)) = statements(text) {
                statements.reverse();
                document["Statement"] = statements.into();
                *text = document.to_string();
            }
        }
        let (one, other) = (case.decide(), turned.decide());
        prop_assert_eq!(one.is_allowed(), other.is_allowed());
        prop_assert_eq!(one.matched.len(), other.matched.len());
    }

    #[test]
    fn one_more_allow_never_removes_access(seed: u64) {
        let (case, mut random) = case_of(seed);
        let mut added = random.statement(false);
        added["Effect"] = "Allow".into();
        let added = added.to_string();
        let mut to_resource = random.statement(true);
        to_resource["Effect"] = "Allow".into();
        let mut wider = case.clone();
        wider.identity.push(crate::cases::policy(&[&added]));
        if !wider.session.is_empty() {
            wider.session.push(crate::cases::policy(&[&added]));
        }
        let extend = |text: &mut String, statement: serde_json::Value| {
            if let Some((mut document, mut statements)) = statements(text) {
                statements.push(statement);
                document["Statement"] = statements.into();
                *text = document.to_string();
            }
        };
        if let Some(boundary) = &mut wider.boundary {
            extend(boundary, serde_json::from_str(&added).unwrap());
        }
        match &mut wider.resource_policy {
            Some(policy) => extend(policy, to_resource),
            none => *none = Some(crate::cases::policy(&[&to_resource.to_string()])),
        }
        prop_assert!(!case.is_allowed() || wider.is_allowed(), "{case:#?}\n{wider:#?}");
    }

    #[test]
    fn one_more_grant_of_a_list_never_removes_access(seed: u64, of_object: bool) {
        let (case, mut random) = case_of(seed);
        let added = random.acl_grant();
        let mut wider = case.clone();
        if let Some(lists) = &mut wider.acls {
            let list = match &mut lists.object {
                Some(object) if of_object => object,
                Some(_) | None => &mut lists.bucket,
            };
            let mut grants = list.grants().to_vec();
            grants.push(added);
            *list = strongroom_types::Acl::new(list.owner.clone(), grants).unwrap();
        }
        prop_assert!(!case.is_allowed() || wider.is_allowed(), "{case:#?}\n{wider:#?}");
    }

    #[test]
    fn private_lists_and_ignored_public_grants_allow_no_more_than_none(seed: u64) {
        let (mut case, _) = case_of(seed);
        case.principal = strongroom_types::Principal::Anonymous;
        case.canonical_id = None;
        let mut without = case.clone();
        without.acls = None;
        if let Some(lists) = &mut case.acls {
            lists.ignores_public = true;
        }
        prop_assert!(without.is_allowed() || !case.is_allowed(), "{case:#?}");
    }

    #[test]
    fn one_more_deny_never_adds_access(seed: u64, place in 0..3_u8) {
        let (case, mut random) = case_of(seed);
        let mut added = random.statement(place == 2);
        added["Effect"] = "Deny".into();
        let mut narrower = case.clone();
        let added_policy = crate::cases::policy(&[&added.to_string()]);
        match (place, &mut narrower.resource_policy) {
            (0, _) => narrower.identity.push(added_policy),
            (1, _) => narrower.session.push(added_policy),
            (_, none @ None) => *none = Some(added_policy),
            (_, Some(text)) => if let Some((mut document, mut statements)) = statements(text) {
                statements.push(added);
                document["Statement"] = statements.into();
                *text = document.to_string();
            },
        }
        prop_assert!(case.is_allowed() || !narrower.is_allowed(), "{case:#?}\n{narrower:#?}");
    }

    #[test]
    fn what_cannot_be_read_denies(seed: u64, place in 0..4_u8) {
        let (mut case, _) = case_of(seed);
        prop_assume!(place != 3 || !case.action.ends_with("BucketPolicy"));
        let broken = "{".to_owned();
        match place {
            0 => case.identity.push(broken),
            1 => case.boundary = Some(broken),
            2 => case.session.push(broken),
            _ => case.resource_policy = Some(broken),
        }
        prop_assert!(matches!(case.decide().outcome, Outcome::Unreadable(_)));
    }

    #[test]
    fn more_layers_of_limits_never_add_access(seed: u64) {
        let (case, mut random) = case_of(seed);
        let mut limited = case.clone();
        if limited.boundary.is_none() {
            limited.boundary = Some(random.policy(false));
        }
        prop_assert!(case.is_allowed() || !limited.is_allowed());
    }

    #[test]
    fn nobody_has_a_right_on_a_key_that_its_policy_and_grants_do_not_mention(seed: u64) {
        let (mut case, _) = case_of(seed);
        case.kind = strongroom_policy::ResourceKind::Key;
        case.resource = crate::cases::KEY.to_owned();
        case.action = "kms:Decrypt".to_owned();
        case.resource_policy = None;
        case.grants.clear();
        case.identity.push(crate::cases::policy(&[ALLOW_ALL]));
        prop_assert!(!case.is_allowed());
    }
}
