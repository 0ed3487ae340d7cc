//! Which policies count for whom, and how they add up.

use strongroom_policy::{AllowedBy, Effect, Layer, Outcome, ResourceKind};
use strongroom_types::Principal;

use super::{ALLOW_ALL, ALLOW_ELSE, DENY_ALL, alice, allow_to, decrypt, deny_to, get_object};
use crate::cases::{Case, KEY, OTHER, OWNER, federated, root, service, service_for, session, user};

#[test]
fn identity_policies_allow_and_nothing_else_does() {
    assert!(!get_object(alice()).is_allowed());
    let allowed = get_object(alice()).identity(&[ALLOW_ALL]).decide();
    assert_eq!(allowed.outcome, Outcome::Allowed(AllowedBy::Identity));
    assert!(!get_object(alice()).identity(&[ALLOW_ELSE]).is_allowed());
    let denied = get_object(alice())
        .identity(&[ALLOW_ALL])
        .identity(&[DENY_ALL])
        .decide();
    assert_eq!(denied.outcome, Outcome::ExplicitlyDenied(Layer::Identity));
    let last = denied.matched.last().unwrap();
    assert_eq!(
        (&*last.policy, last.index, last.effect),
        ("1", 0, Effect::Deny)
    );
    let by_root = get_object(root(OWNER)).decide();
    assert_eq!(by_root.outcome, Outcome::Allowed(AllowedBy::Root));
    assert!(!get_object(root(OTHER)).is_allowed());
    assert!(!get_object(Principal::Anonymous).is_allowed());
    assert!(!get_object(service("s3.amazonaws.com")).is_allowed());
}

#[test]
fn boundaries_and_session_policies_limit() {
    for (principal, boundary, passed, expected) in [
        (alice(), None, None, Outcome::Allowed(AllowedBy::Identity)),
        (
            alice(),
            Some(ALLOW_ALL),
            None,
            Outcome::Allowed(AllowedBy::Identity),
        ),
        (
            alice(),
            Some(ALLOW_ELSE),
            None,
            Outcome::ImplicitlyDenied(Layer::Boundary),
        ),
        (
            alice(),
            Some(DENY_ALL),
            None,
            Outcome::ExplicitlyDenied(Layer::Boundary),
        ),
        (
            session(OWNER, "app", "s"),
            None,
            None,
            Outcome::Allowed(AllowedBy::Identity),
        ),
        (
            session(OWNER, "app", "s"),
            None,
            Some(ALLOW_ELSE),
            Outcome::ImplicitlyDenied(Layer::Session),
        ),
        (
            session(OWNER, "app", "s"),
            None,
            Some(DENY_ALL),
            Outcome::ExplicitlyDenied(Layer::Session),
        ),
        (
            session(OWNER, "app", "s"),
            Some(ALLOW_ELSE),
            Some(ALLOW_ALL),
            Outcome::ImplicitlyDenied(Layer::Boundary),
        ),
        // A federated user has what its session policies allow, and without any nothing.
        (
            federated(OWNER, "f"),
            None,
            None,
            Outcome::ImplicitlyDenied(Layer::Session),
        ),
        (
            federated(OWNER, "f"),
            None,
            Some(ALLOW_ALL),
            Outcome::Allowed(AllowedBy::Identity),
        ),
    ] {
        let mut case = get_object(principal.clone()).identity(&[ALLOW_ALL]);
        case = boundary
            .into_iter()
            .fold(case, |case, it| case.boundary(&[it]));
        case = passed
            .into_iter()
            .fold(case, |case, it| case.session(&[it]));
        assert_eq!(
            case.decide().outcome,
            expected,
            "{principal:?} {boundary:?} {passed:?}"
        );
        // Limits allow nothing by themselves.
        case.identity.clear();
        assert!(!case.is_allowed());
    }
}

/// The table "resource-based policies and implicit denies" of the IAM User Guide.
#[test]
fn what_a_resource_policy_is_worth_depends_on_whom_it_names() {
    let role = r#"{"AWS":"arn:aws:iam::111122223333:role/app"}"#;
    let role_session = r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/app/s"}"#;
    let federated_arn = r#"{"AWS":"arn:aws:sts::111122223333:federated-user/f"}"#;
    let alice_arn = r#"{"AWS":"arn:aws:iam::111122223333:user/team/alice"}"#;
    let owner = r#"{"AWS":"111122223333"}"#;
    let app = || session(OWNER, "app", "s");
    // Principal, as whom it is named, then: lacking an identity policy, with a boundary, with a
    // session policy that does not allow.
    for (principal, named, alone, bounded, scoped) in [
        (alice(), alice_arn, true, true, true),
        (alice(), r#"{"AWS":"AIDATEAMALICE"}"#, true, true, true),
        (app(), role, true, false, false),
        (app(), r#"{"AWS":"AROAAPP"}"#, true, false, false),
        (app(), role_session, true, true, true),
        (federated(OWNER, "f"), federated_arn, true, true, true),
        (federated(OWNER, "f"), alice_arn, false, false, false),
        (alice(), owner, false, false, false),
        (app(), owner, false, false, false),
        (alice(), r#""*""#, true, true, true),
        (app(), r#""*""#, true, false, false),
    ] {
        let mut case = get_object(principal.clone()).resource_policy(&[&allow_to(named)]);
        if matches!(principal, Principal::Federated { .. }) {
            case.attributes.federator_arn = Some(alice().arn().into());
        }
        assert_eq!(case.is_allowed(), alone, "{principal:?} as {named}");
        let with_boundary = case.clone().boundary(&[ALLOW_ELSE]);
        assert_eq!(
            with_boundary.is_allowed(),
            bounded,
            "{principal:?} as {named}, boundary"
        );
        let with_session = case.clone().session(&[ALLOW_ELSE]);
        assert_eq!(
            with_session.is_allowed(),
            scoped,
            "{principal:?} as {named}, session"
        );
        // On a key it is the same.
        case.action = "kms:Decrypt".to_owned();
        case.resource = KEY.to_owned();
        case.kind = ResourceKind::Key;
        assert_eq!(case.is_allowed(), alone, "{principal:?} as {named}, key");
        assert!(!case.identity(&[DENY_ALL]).is_allowed());
    }
    // Of a federated user, by the user behind it, within its session policies.
    let mut case = get_object(federated(OWNER, "f")).resource_policy(&[&allow_to(alice_arn)]);
    case.attributes.federator_arn = Some(alice().arn().into());
    assert!(case.session(&[ALLOW_ALL]).is_allowed());
}

#[test]
fn between_accounts_both_sides_must_allow() {
    let bob = || user(OTHER, "bob");
    for named in [
        r#"{"AWS":"444455556666"}"#,
        r#"{"AWS":"arn:aws:iam::444455556666:root"}"#,
        r#"{"AWS":"arn:aws:iam::444455556666:user/bob"}"#,
        r#""*""#,
    ] {
        for make in [get_object, decrypt] {
            let case = make(bob()).resource_policy(&[&allow_to(named)]);
            assert!(!case.is_allowed(), "{named}");
            let both = case.clone().identity(&[ALLOW_ALL]);
            assert_eq!(
                both.decide().outcome,
                Outcome::Allowed(AllowedBy::IdentityAndResource)
            );
            assert!(!both.clone().boundary(&[ALLOW_ELSE]).is_allowed());
            assert!(!both.identity(&[DENY_ALL]).is_allowed());
        }
        // The other account's root needs no policy of its own.
        let case = get_object(root(OTHER)).resource_policy(&[&allow_to(named)]);
        assert_eq!(case.is_allowed(), !named.contains("bob"), "{named}");
    }
    assert!(!get_object(bob()).identity(&[ALLOW_ALL]).is_allowed());
    let elsewhere = allow_to(r#"{"AWS":"111122223333"}"#);
    assert!(
        !get_object(bob())
            .identity(&[ALLOW_ALL])
            .resource_policy(&[&elsewhere])
            .is_allowed()
    );
    let denied = get_object(bob()).identity(&[ALLOW_ALL]).resource_policy(&[
        &allow_to(r#""*""#),
        &deny_to(r#""Principal":{"AWS":"444455556666"}"#),
    ]);
    assert_eq!(
        denied.decide().outcome,
        Outcome::ExplicitlyDenied(Layer::Resource)
    );
}

#[test]
fn callers_without_an_account_have_only_the_resource_side() {
    let everyone = allow_to(r#""*""#);
    let trail = allow_to(r#"{"Service":"cloudtrail.amazonaws.com"}"#);
    let nobody = || Principal::Anonymous;
    assert!(
        get_object(nobody())
            .resource_policy(&[&everyone])
            .is_allowed()
    );
    assert!(!get_object(nobody()).resource_policy(&[&trail]).is_allowed());
    assert!(
        !get_object(nobody())
            .resource_policy(&[&allow_to(r#"{"AWS":"111122223333"}"#)])
            .is_allowed()
    );
    // Nobody uses a key without a name.
    assert!(!decrypt(nobody()).resource_policy(&[&everyone]).is_allowed());
    let service = |name| get_object(service(name)).resource_policy(&[&trail]);
    assert!(service("cloudtrail.amazonaws.com").is_allowed());
    assert!(!service("s3.amazonaws.com").is_allowed());
}

#[test]
fn what_a_service_acts_for_is_not_what_a_request_says() {
    let name = "cloudtrail.amazonaws.com";
    let arn = "arn:aws:cloudtrail:us-east-1:111122223333:trail/mine";
    let of = |key: &str, value: &str| {
        format!(
            r#"{{"Effect":"Allow","Principal":{{"Service":"{name}"}},"Action":"*","Resource":"*",
                "Condition":{{"StringEquals":{{"{key}":"{value}"}}}}}}"#
        )
    };
    let by_arn = of("aws:SourceArn", arn);
    let by_account = of("AWS:SourceAccount", OWNER);
    for policy in [&by_arn, &by_account] {
        let ask = |principal| get_object(principal).resource_policy(&[policy]);
        assert!(ask(service_for(name, OWNER, arn)).is_allowed());
        assert!(!ask(service_for(name, OTHER, "arn:other")).is_allowed());
        assert!(!ask(service(name)).is_allowed());
        // Nor is it brought under these names by whoever decides.
        let mut claiming = ask(service_for(name, OTHER, "arn:other"));
        for (key, value) in [("aws:SourceArn", arn), ("aws:SourceAccount", OWNER)] {
            claiming
                .conditions
                .push((key.to_owned(), vec![value.to_owned()]));
        }
        assert!(!claiming.is_allowed());
    }
}

#[test]
fn the_root_user_can_always_mend_a_bucket_policy_and_nothing_else() {
    let deny = deny_to(r#""Principal":"*""#);
    for (action, expected) in [
        ("s3:PutBucketPolicy", true),
        ("s3:DeleteBucketPolicy", true),
        ("s3:GetBucketPolicy", true),
        ("s3:ListBucket", false),
        ("s3:DeleteBucket", false),
    ] {
        let ask = |principal| Case::new(principal, action, "arn:aws:s3:::b").identity(&[ALLOW_ALL]);
        assert_eq!(
            ask(root(OWNER)).resource_policy(&[&deny]).is_allowed(),
            expected,
            "{action}"
        );
        assert!(!ask(root(OTHER)).resource_policy(&[&deny]).is_allowed());
        assert!(!ask(alice()).resource_policy(&[&deny]).is_allowed());
        let mut damaged = ask(root(OWNER));
        damaged.resource_policy = Some("{".to_owned());
        assert_eq!(damaged.is_allowed(), expected, "{action}");
    }
    assert!(
        !decrypt(root(OWNER))
            .resource_policy(&[&allow_to(r#""*""#), &deny])
            .is_allowed()
    );
}

#[test]
fn a_key_belongs_to_its_policy() {
    let account = allow_to(r#"{"AWS":"arn:aws:iam::111122223333:root"}"#);
    let by_alice = allow_to(r#"{"AWS":"arn:aws:iam::111122223333:user/team/alice"}"#);
    for (principal, identity, key_policy, expected) in [
        (
            root(OWNER),
            None,
            None,
            Outcome::ImplicitlyDenied(Layer::Resource),
        ),
        (
            root(OWNER),
            None,
            Some(&by_alice),
            Outcome::ImplicitlyDenied(Layer::Resource),
        ),
        (
            root(OWNER),
            None,
            Some(&account),
            Outcome::Allowed(AllowedBy::Root),
        ),
        (
            alice(),
            Some(ALLOW_ALL),
            None,
            Outcome::ImplicitlyDenied(Layer::Resource),
        ),
        (
            alice(),
            None,
            Some(&account),
            Outcome::ImplicitlyDenied(Layer::Identity),
        ),
        (
            alice(),
            Some(ALLOW_ALL),
            Some(&account),
            Outcome::Allowed(AllowedBy::Identity),
        ),
        (
            alice(),
            None,
            Some(&by_alice),
            Outcome::Allowed(AllowedBy::Resource),
        ),
        (
            alice(),
            Some(DENY_ALL),
            Some(&by_alice),
            Outcome::ExplicitlyDenied(Layer::Identity),
        ),
        (
            user(OWNER, "carol"),
            Some(ALLOW_ALL),
            Some(&by_alice),
            Outcome::ImplicitlyDenied(Layer::Resource),
        ),
    ] {
        let mut case = decrypt(principal.clone());
        case = identity
            .into_iter()
            .fold(case, |case, it| case.identity(&[it]));
        case = key_policy
            .into_iter()
            .fold(case, |case, it| case.resource_policy(&[it]));
        assert_eq!(
            case.decide().outcome,
            expected,
            "{principal:?} {identity:?} {key_policy:?}"
        );
    }
    // The account statement delegates its own actions only.
    let describe = r#"{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"kms:Describe*","Resource":"*"}"#;
    assert!(
        !decrypt(alice())
            .identity(&[ALLOW_ALL])
            .resource_policy(&[describe])
            .is_allowed()
    );
}

#[test]
fn a_role_is_assumed_by_whom_it_trusts() {
    let assume = |principal| {
        Case::new(
            principal,
            "sts:AssumeRole",
            "arn:aws:iam::111122223333:role/app",
        )
    };
    let trust = |named: &str| {
        format!(r#"{{"Effect":"Allow","Principal":{named},"Action":"sts:AssumeRole"}}"#)
    };
    let account = trust(r#"{"AWS":"111122223333"}"#);
    let by_name = trust(r#"{"AWS":"arn:aws:iam::111122223333:user/team/alice"}"#);
    assert!(!assume(alice()).identity(&[ALLOW_ALL]).is_allowed());
    assert!(assume(alice()).resource_policy(&[&by_name]).is_allowed());
    assert!(!assume(alice()).resource_policy(&[&account]).is_allowed());
    assert!(
        assume(alice())
            .identity(&[ALLOW_ALL])
            .resource_policy(&[&account])
            .is_allowed()
    );
    let foreign = trust(r#"{"AWS":"444455556666"}"#);
    let bob = || user(OTHER, "bob");
    assert!(!assume(bob()).resource_policy(&[&foreign]).is_allowed());
    assert!(
        assume(bob())
            .identity(&[ALLOW_ALL])
            .resource_policy(&[&foreign])
            .is_allowed()
    );
    let external = r#"{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"sts:AssumeRole",
        "Condition":{"StringEquals":{"sts:ExternalId":"12345"}}}"#;
    let ask = assume(bob())
        .identity(&[ALLOW_ALL])
        .resource_policy(&[external]);
    assert!(!ask.is_allowed());
    assert!(!ask.clone().condition("sts:ExternalId", "1234").is_allowed());
    assert!(ask.condition("sts:ExternalId", "12345").is_allowed());
    // Web identities have no account; the provider vouches for them.
    let web = r#"{"Effect":"Allow","Principal":{"Federated":"idp"},"Action":"sts:AssumeRoleWithWebIdentity"}"#;
    let mut case = assume(Principal::Anonymous).resource_policy(&[web]);
    case.action = "sts:AssumeRoleWithWebIdentity".to_owned();
    assert!(!case.is_allowed());
    case.attributes.federated_provider = Some("idp".into());
    assert!(case.is_allowed());
}
