//! AWS's rules, one table each (IAM User Guide, "Policies and permissions in IAM" and "Policy
//! evaluation logic"; KMS Developer Guide, "Authentication and access control").

use std::collections::BTreeMap;

use crate::cases::{Case, KEY, OTHER, OWNER, federated, root, service, service_for, session, user};
use strongroom_policy::{AllowedBy, Effect, Layer, Outcome, ResourceKind};
use strongroom_types::kms::{EncryptionContext, GrantOperation};
use strongroom_types::{Principal, Timestamp, TlsVersion};

const OBJECT: &str = "arn:aws:s3:::b/k";
const ALLOW_ALL: &str = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
const DENY_ALL: &str = r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#;
/// Allows something, but nothing that is asked here.
const ALLOW_ELSE: &str = r#"{"Effect":"Allow","Action":"sqs:*","Resource":"*"}"#;

fn alice() -> Principal {
    user(OWNER, "team/alice")
}

fn get_object(principal: Principal) -> Case {
    Case::new(principal, "s3:GetObject", OBJECT)
}

fn decrypt(principal: Principal) -> Case {
    Case::new(principal, "kms:Decrypt", KEY)
}

fn allow_to(principal: &str) -> String {
    format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":"*","Resource":"*"}}"#)
}

fn deny_to(element: &str) -> String {
    format!(r#"{{"Effect":"Deny",{element},"Action":"*","Resource":"*"}}"#)
}

/// Whether a statement with this condition applies to the request.
fn holds(case: Case, condition: &str) -> bool {
    let statement =
        format!(r#"{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{{condition}}}}}"#);
    case.identity(&[&statement]).is_allowed()
}

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

#[test]
fn not_principal_spares_only_whose_every_name_is_listed() {
    let own = r#""arn:aws:iam::111122223333:user/team/alice""#;
    let account = r#""111122223333""#;
    let role = r#""arn:aws:iam::111122223333:role/app""#;
    let of_session = r#""arn:aws:sts::111122223333:assumed-role/app/s""#;
    let app = || session(OWNER, "app", "s");
    for (principal, listed, spared) in [
        (alice(), vec![own], false),
        (alice(), vec![account], false),
        (alice(), vec![own, account], true),
        (app(), vec![role, account], false),
        (app(), vec![of_session, account], false),
        (app(), vec![role, of_session, account], true),
        (root(OWNER), vec![account], true),
        (root(OTHER), vec![account], false),
    ] {
        let statement = deny_to(&format!(
            r#""NotPrincipal":{{"AWS":[{}]}}"#,
            listed.join(",")
        ));
        let case = get_object(principal.clone())
            .identity(&[ALLOW_ALL])
            .resource_policy(&[&statement, &allow_to(r#""*""#)]);
        assert_eq!(case.is_allowed(), spared, "{principal:?} {listed:?}");
    }
    // With Allow it would be everybody else.
    let statement =
        r#"{"Effect":"Allow","NotPrincipal":{"AWS":"444455556666"},"Action":"*","Resource":"*"}"#;
    assert!(
        !get_object(alice())
            .resource_policy(&[statement])
            .is_allowed()
    );
}

#[test]
fn a_principal_in_the_wrong_place_only_restricts() {
    let allow = allow_to(r#""*""#);
    assert!(!get_object(alice()).identity(&[&allow]).is_allowed());
    let deny = deny_to(r#""Principal":{"AWS":"444455556666"}"#);
    assert!(
        !get_object(alice())
            .identity(&[ALLOW_ALL, &deny])
            .is_allowed()
    );
    assert!(
        !get_object(alice())
            .resource_policy(&[ALLOW_ALL])
            .is_allowed()
    );
    assert!(
        !get_object(root(OWNER))
            .resource_policy(&[DENY_ALL])
            .is_allowed()
    );
}

#[test]
fn negations_of_actions_and_resources_cover_the_rest() {
    let statement = |elements: &str| format!(r#"{{"Effect":"Allow",{elements}}}"#);
    for (elements, expected) in [
        (r#""NotAction":"iam:*","Resource":"*""#, true),
        (r#""NotAction":["iam:*","S3:Get*"],"Resource":"*""#, false),
        (
            r#""Action":"s3:*","NotResource":"arn:aws:s3:::other/*""#,
            true,
        ),
        (
            r#""Action":"s3:*","NotResource":["arn:aws:s3:::other/*","arn:aws:s3:::b/*"]"#,
            false,
        ),
        (
            r#""Action":"S3:gEtObject","Resource":"arn:aws:s3:::B/k""#,
            false,
        ),
        (
            r#""Action":"S3:gEtObject","Resource":"arn:aws:s3:::b/k""#,
            true,
        ),
        (r#""Action":"s3:*""#, false),
        (r#""Resource":"*""#, false),
    ] {
        let case = get_object(alice()).identity(&[&statement(elements)]);
        assert_eq!(case.is_allowed(), expected, "{elements}");
    }
}

#[test]
fn wildcards_stay_in_their_field_of_an_arn() {
    for (pattern, resource, expected) in [
        ("arn:aws:s3:::b/*", "arn:aws:s3:::b/a/b:c", true),
        ("arn:aws:s3:::b/?", "arn:aws:s3:::b/\u{e9}", true),
        ("arn:aws:s3:::b*", "arn:aws:s3:::bucket/k", true),
        ("arn:aws:s3:::b", "arn:aws:s3:::b/k", false),
        ("arn:aws:*:::b/k", "arn:aws:s3:::b/k", true),
        ("arn:aws:s3*", "arn:aws:s3:::b/k", false),
        ("arn:aws:s3:*:b/k", "arn:aws:s3:::b/k", false),
        (
            "arn:aws:iam::*:user/x",
            "arn:aws:iam::111122223333:user/x",
            true,
        ),
        ("arn:aws:iam::*", "arn:aws:iam::111122223333:user/x", false),
        ("*", "anything", true),
        ("arn:aws:kms:*:*:key/*", "*", false),
    ] {
        let statement = format!(r#"{{"Effect":"Allow","Action":"*","Resource":"{pattern}"}}"#);
        let case = Case::new(alice(), "s3:GetObject", resource).identity(&[&statement]);
        assert_eq!(case.is_allowed(), expected, "{pattern} {resource}");
    }
}

#[test]
fn variables_are_filled_in_or_their_statement_says_nothing() {
    for (version, resource, asked, expected) in [
        (
            "2012-10-17",
            "arn:aws:s3:::b/${aws:username}/*",
            "arn:aws:s3:::b/alice/x",
            true,
        ),
        (
            "2012-10-17",
            "arn:aws:s3:::b/${AWS:UserName}/*",
            "arn:aws:s3:::b/alice/x",
            true,
        ),
        (
            "2012-10-17",
            "arn:aws:s3:::b/${aws:username}/*",
            "arn:aws:s3:::b/bob/x",
            false,
        ),
        (
            "2008-10-17",
            "arn:aws:s3:::b/${aws:username}/*",
            "arn:aws:s3:::b/alice/x",
            false,
        ),
        (
            "2008-10-17",
            "arn:aws:s3:::b/${aws:username}/*",
            "arn:aws:s3:::b/${aws:username}/x",
            true,
        ),
        (
            "2012-10-17",
            "arn:aws:s3:::b/${aws:PrincipalTag/none}/*",
            "arn:aws:s3:::b//x",
            false,
        ),
        (
            "2012-10-17",
            "arn:aws:s3:::b/${aws:PrincipalTag/none, 'company'}/*",
            "arn:aws:s3:::b/company/x",
            true,
        ),
        (
            "2012-10-17",
            "arn:aws:s3:::b/${aws:PrincipalTag/team}/*",
            "arn:aws:s3:::b/r*d/x",
            true,
        ),
        // A value is text, not a pattern.
        (
            "2012-10-17",
            "arn:aws:s3:::b/${aws:PrincipalTag/team}/*",
            "arn:aws:s3:::b/red/x",
            false,
        ),
        (
            "2012-10-17",
            "arn:aws:s3:::b/${*}",
            "arn:aws:s3:::b/*",
            true,
        ),
        (
            "2012-10-17",
            "arn:aws:s3:::b/${*}",
            "arn:aws:s3:::b/x",
            false,
        ),
        (
            "2012-10-17",
            "arn:aws:s3:::b/${?}${$}",
            "arn:aws:s3:::b/?$",
            true,
        ),
    ] {
        let mut case = Case::new(alice(), "s3:GetObject", asked);
        case.attributes.tags = vec![("Team".into(), "r*d".into())];
        case.identity = vec![format!(
            r#"{{"Version":"{version}","Statement":{{"Effect":"Allow","Action":"*","Resource":"{resource}"}}}}"#
        )];
        assert_eq!(case.is_allowed(), expected, "{version} {resource} {asked}");
    }
    // A session has no user name, so what would be spared is unknown.
    let negated =
        r#"{"Effect":"Allow","Action":"*","NotResource":"arn:aws:s3:::b/${aws:username}/*"}"#;
    assert!(get_object(alice()).identity(&[negated]).is_allowed());
    assert!(
        !get_object(session(OWNER, "app", "s"))
            .identity(&[negated])
            .is_allowed()
    );
    let condition = r#""StringNotEquals":{"s3:prefix":"${aws:username}"}"#;
    let with_prefix = |principal| get_object(principal).condition("s3:prefix", "bob");
    assert!(holds(with_prefix(alice()), condition));
    assert!(!holds(with_prefix(session(OWNER, "app", "s")), condition));
    // Variables cannot break out of their field.
    let mut case = get_object(alice());
    case.attributes.tags = vec![("t".into(), "::b/k".into())];
    let broken_out =
        r#"{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:${aws:PrincipalTag/t}"}"#;
    assert!(!case.identity(&[broken_out]).is_allowed());
}

#[test]
fn operators_compare_as_aws_documents() {
    let with = |key: &str, values: &[&str]| {
        let mut case = get_object(alice());
        let values = values.iter().map(|it| (*it).to_owned()).collect();
        case.conditions.push((key.to_owned(), values));
        case
    };
    for (operator, wanted, value, expected) in [
        ("StringEquals", "a", "a", true),
        ("StringEquals", "a*", "ab", false),
        ("StringEquals", "A", "a", false),
        ("StringNotEquals", "a", "a", false),
        ("StringNotEquals", "a", "b", true),
        (
            "StringEqualsIgnoreCase",
            "\u{c9}t\u{e9}",
            "\u{e9}T\u{c9}",
            true,
        ),
        ("StringNotEqualsIgnoreCase", "A", "a", false),
        ("StringLike", "a*c?", "abbcd", true),
        ("StringLike", "A*", "ab", false),
        ("StringNotLike", "a*", "ab", false),
        ("NumericEquals", "10", "1e1", true),
        ("NumericNotEquals", "10", "10.0", false),
        ("NumericLessThan", "1.2", "1.19", true),
        ("NumericLessThan", "1.2", "1.2", false),
        ("NumericLessThanEquals", "1.2", "1.2", true),
        ("NumericGreaterThan", "9", "10", true),
        ("NumericGreaterThanEquals", "10", "9", false),
        ("NumericEquals", "1", "one", false),
        ("NumericNotEquals", "1", "one", true),
        ("DateEquals", "2026-01-02T03:04:05Z", "1767323045", true),
        ("DateLessThan", "2026-01-02", "2026-01-01T23:59:59Z", true),
        (
            "DateGreaterThanEquals",
            "2026-01-02T00:00Z",
            "2026-01-01T23:00:00-01:00",
            true,
        ),
        (
            "DateNotEquals",
            "2026-01-02",
            "2026-01-02T00:00:00.001Z",
            true,
        ),
        ("Bool", "true", "True", true),
        ("Bool", "false", "true", false),
        ("BinaryEquals", "QUJD", "QUJD", true),
        ("BinaryEquals", "QUJD", "QUJE", false),
        ("IpAddress", "203.0.113.0/24", "203.0.113.9", true),
        ("IpAddress", "2001:db8::/32", "2001:db8::1", true),
        ("NotIpAddress", "203.0.113.0/24", "203.0.114.9", true),
        (
            "ArnEquals",
            "arn:aws:sns:*:111122223333:t*",
            "arn:aws:sns:us-east-1:111122223333:topic",
            true,
        ),
        (
            "ArnLike",
            "arn:aws:sns:*:t*",
            "arn:aws:sns:us-east-1:111122223333:topic",
            false,
        ),
        ("ArnNotLike", "arn:aws:sns:*:*:*", "arn:aws:s3:::b", true),
        ("ArnNotEquals", "arn:aws:s3:::*", "arn:aws:s3:::b", false),
    ] {
        let condition = format!(r#""{operator}":{{"X:Key":"{wanted}"}}"#);
        assert_eq!(
            holds(with("x:kEY", &[value]), &condition),
            expected,
            "{condition} {value}"
        );
    }
    // Several values: one of them, or none of them.
    for (operator, value, expected) in [
        ("StringEquals", "b", true),
        ("StringEquals", "c", false),
        ("StringNotEquals", "b", false),
        ("StringNotEquals", "c", true),
    ] {
        let condition = format!(r#""{operator}":{{"x:key":["a","b"]}}"#);
        assert_eq!(
            holds(with("x:key", &[value]), &condition),
            expected,
            "{condition} {value}"
        );
    }
    // All operators and keys must hold.
    let both = r#""StringEquals":{"x:key":"a"},"Bool":{"aws:SecureTransport":"true"}"#;
    assert!(holds(with("x:key", &["a"]), both));
    assert!(!holds(with("x:key", &["b"]), both));
}

#[test]
fn an_absent_key_fails_comparisons_and_passes_their_negations() {
    for (condition, expected) in [
        (r#""StringEquals":{"x:k":"a"}"#, false),
        (r#""StringLike":{"x:k":"*"}"#, false),
        (r#""NumericLessThan":{"x:k":"1"}"#, false),
        (r#""Bool":{"x:k":"false"}"#, false),
        (r#""IpAddress":{"x:k":"0.0.0.0/0"}"#, false),
        (r#""StringNotEquals":{"x:k":"a"}"#, true),
        (r#""StringNotLike":{"x:k":"*"}"#, true),
        (r#""NumericNotEquals":{"x:k":"1"}"#, true),
        (r#""DateNotEquals":{"x:k":"1"}"#, true),
        (r#""NotIpAddress":{"x:k":"0.0.0.0/0"}"#, true),
        (r#""ArnNotLike":{"x:k":"*"}"#, true),
        (r#""StringEqualsIfExists":{"x:k":"a"}"#, true),
        (r#""StringNotEqualsIfExists":{"x:k":"a"}"#, true),
        (r#""Null":{"x:k":"true"}"#, true),
        (r#""Null":{"x:k":false}"#, false),
        (r#""ForAllValues:StringEquals":{"x:k":"a"}"#, true),
        (r#""ForAnyValue:StringEquals":{"x:k":"a"}"#, false),
        (r#""ForAnyValue:StringNotEquals":{"x:k":"a"}"#, false),
        (r#""ForAnyValue:StringEqualsIfExists":{"x:k":"a"}"#, true),
    ] {
        assert_eq!(
            holds(get_object(alice()), condition),
            expected,
            "{condition}"
        );
    }
    let present = get_object(alice()).condition("x:k", "b");
    assert!(!holds(
        present.clone(),
        r#""StringEqualsIfExists":{"x:k":"a"}"#
    ));
    assert!(holds(present, r#""Null":{"X:K":"false"}"#));
}

#[test]
fn set_operators_look_at_each_value() {
    for (operator, values, expected) in [
        ("ForAllValues:StringEquals", &["a", "b"][..], true),
        ("ForAllValues:StringEquals", &["a", "x"], false),
        ("ForAllValues:StringEquals", &[], true),
        ("ForAnyValue:StringEquals", &["a", "x"], true),
        ("ForAnyValue:StringEquals", &["x"], false),
        ("ForAnyValue:StringEquals", &[], false),
        ("ForAllValues:StringNotEquals", &["x", "y"], true),
        ("ForAllValues:StringNotEquals", &["x", "a"], false),
        ("ForAnyValue:StringNotEquals", &["x", "a"], true),
        ("ForAnyValue:StringNotEquals", &["b", "a"], false),
    ] {
        let mut case = get_object(alice());
        let values: Vec<String> = values.iter().map(|it| (*it).to_owned()).collect();
        case.conditions
            .push(("aws:TagKeys".to_owned(), values.clone()));
        let condition = format!(r#""{operator}":{{"aws:TagKeys":["a","b"]}}"#);
        assert_eq!(holds(case, &condition), expected, "{condition} {values:?}");
    }
}

#[test]
fn global_keys_follow_from_the_request() {
    let equals = |key: &str, value: &str| format!(r#""StringEquals":{{"{key}":"{value}"}}"#);
    let absent = |key: &str| format!(r#""Null":{{"{key}":"true"}}"#);
    let app = || {
        let mut case = get_object(session(OWNER, "app", "s"));
        case.attributes.role_arn = Some("arn:aws:iam::111122223333:role/svc/app".into());
        case.attributes.token_issued = Some(Timestamp::from_seconds(1_767_323_045));
        case
    };
    for (case, condition) in [
        (get_object(alice()), equals("aws:username", "alice")),
        (get_object(alice()), equals("aws:userid", "AIDATEAMALICE")),
        (
            get_object(alice()),
            equals(
                "aws:PrincipalArn",
                "arn:aws:iam::111122223333:user/team/alice",
            ),
        ),
        (get_object(alice()), equals("aws:PrincipalType", "User")),
        (get_object(alice()), absent("aws:TokenIssueTime")),
        (get_object(alice()), absent("aws:MultiFactorAuthPresent")),
        (get_object(alice()), equals("aws:SourceIp", "203.0.113.7")),
        (get_object(alice()), equals("aws:ViaAWSService", "false")),
        (get_object(alice()), equals("aws:ResourceAccount", OWNER)),
        (
            get_object(alice()),
            equals("aws:RequestedRegion", "us-east-1"),
        ),
        (get_object(alice()), equals("s3:TlsVersion", "1.3")),
        (
            get_object(alice()),
            equals("s3:signatureversion", "AWS4-HMAC-SHA256"),
        ),
        (get_object(alice()), equals("aws:EpochTime", "1767323045")),
        (
            get_object(alice()),
            r#""DateGreaterThan":{"aws:CurrentTime":"2026-01-01"}"#.to_owned(),
        ),
        (
            app(),
            equals("aws:PrincipalArn", "arn:aws:iam::111122223333:role/svc/app"),
        ),
        (app(), equals("aws:userid", "AROAAPP:s")),
        (app(), equals("aws:PrincipalType", "AssumedRole")),
        (app(), absent("aws:username")),
        (
            app(),
            r#""DateLessThanEquals":{"aws:TokenIssueTime":"2026-01-02T03:04:05Z"}"#.to_owned(),
        ),
    ] {
        assert!(holds(case, &condition), "{condition}");
    }
    let mut forwarded = get_object(alice());
    forwarded.via_service = Some("s3.us-east-1.amazonaws.com".to_owned());
    for condition in [
        absent("aws:SourceIp"),
        equals("aws:ViaAWSService", "true"),
        equals("kms:ViaService", "s3.us-east-1.amazonaws.com"),
        r#""ForAnyValue:StringEquals":{"aws:CalledVia":"s3.amazonaws.com"}"#.to_owned(),
        equals("aws:CalledViaLast", "s3.amazonaws.com"),
    ] {
        assert!(holds(forwarded.clone(), &condition), "{condition}");
    }
    let mut plain = get_object(alice());
    plain.tls = None;
    assert!(holds(
        plain.clone(),
        &equals("aws:SecureTransport", "false")
    ));
    assert!(holds(plain, &absent("s3:TlsVersion")));
    let mut mapped = get_object(alice());
    mapped.source_ip = "::ffff:203.0.113.7".to_owned();
    assert!(holds(
        mapped,
        r#""IpAddress":{"aws:SourceIp":"203.0.113.0/24"}"#
    ));
}

/// A header named like a condition key, or a tag that a service brings, must not pass for one.
#[test]
fn services_cannot_bring_what_follows_from_the_request() {
    for (key, value) in [
        ("aws:SecureTransport", "false"),
        ("aws:username", "bob"),
        ("aws:PrincipalArn", "arn:aws:iam::111122223333:root"),
        ("aws:PrincipalTag/team", "red"),
        ("aws:SourceIp", "10.0.0.1"),
        ("kms:ViaService", "s3.us-east-1.amazonaws.com"),
        ("aws:MultiFactorAuthPresent", "true"),
    ] {
        let case = get_object(alice()).condition(key, value);
        let condition = format!(r#""StringEquals":{{"{key}":"{value}"}}"#);
        assert!(!holds(case, &condition), "{key}");
    }
}

/// The policies of the S3 User Guide that speak of encryption and transport.
#[test]
#[expect(clippy::large_stack_arrays, reason = "it is a table")]
fn policies_of_buckets_see_what_the_request_says() {
    const SSE: &str = "s3:x-amz-server-side-encryption";
    const KEY_ID: &str = "s3:x-amz-server-side-encryption-aws-kms-key-id";
    const SSE_C: &str = "s3:x-amz-server-side-encryption-customer-algorithm";
    let put = || Case::new(alice(), "s3:PutObject", OBJECT).identity(&[ALLOW_ALL]);
    let deny = |condition: &str| {
        format!(
            r#"{{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/*",
            "Condition":{{{condition}}}}}"#
        )
    };
    let require_kms = deny(&format!(r#""StringNotEquals":{{"{SSE}":"aws:kms"}}"#));
    let require_header = deny(&format!(r#""Null":{{"{SSE}":"true"}}"#));
    let kms_if_header = deny(&format!(
        r#""Null":{{"{SSE}":"false"}},"StringNotEquals":{{"{SSE}":"aws:kms"}}"#
    ));
    let require_key = deny(&format!(
        r#""StringNotEqualsIfExists":{{"{KEY_ID}":"{KEY}"}}"#
    ));
    let require_sse_c = deny(&format!(r#""Null":{{"{SSE_C}":"true"}}"#));
    let forbid_sse_c = deny(&format!(r#""Null":{{"{SSE_C}":"false"}}"#));
    let forbid_aes = deny(&format!(r#""StringEquals":{{"{SSE}":"AES256"}}"#));
    let none = put;
    let aes = || put().condition(SSE, "AES256");
    let kms = || put().condition(SSE, "aws:kms");
    let own_key = || kms().condition(KEY_ID, KEY);
    let customer = || put().condition(SSE_C, "AES256");
    for (statement, cases) in [
        (
            &require_kms,
            [
                (none(), false),
                (aes(), false),
                (kms(), true),
                (customer(), false),
            ],
        ),
        (
            &require_header,
            [
                (none(), false),
                (aes(), true),
                (kms(), true),
                (customer(), false),
            ],
        ),
        (
            &kms_if_header,
            [
                (none(), true),
                (aes(), false),
                (kms(), true),
                (customer(), true),
            ],
        ),
        (
            &require_key,
            [
                (none(), false),
                (aes(), false),
                (own_key(), true),
                (kms(), false),
            ],
        ),
        (
            &require_sse_c,
            [
                (none(), false),
                (aes(), false),
                (kms(), false),
                (customer(), true),
            ],
        ),
        (
            &forbid_sse_c,
            [
                (none(), true),
                (aes(), true),
                (kms(), true),
                (customer(), false),
            ],
        ),
        (
            &forbid_aes,
            [
                (none(), true),
                (aes(), false),
                (kms(), true),
                (customer(), true),
            ],
        ),
    ] {
        for (case, expected) in cases {
            let case = case.resource_policy(&[statement]);
            assert_eq!(
                case.is_allowed(),
                expected,
                "{statement} {:?}",
                case.conditions
            );
        }
    }
    let require_tls = deny(r#""Bool":{"aws:SecureTransport":"false"}"#);
    let require_tls_13 = deny(r#""NumericLessThan":{"s3:TlsVersion":1.3}"#);
    for (tls, secure, newest) in [
        (Some(TlsVersion::V1_3), true, true),
        (Some(TlsVersion::V1_2), true, false),
        // Plain HTTP has no version of TLS, so the second policy alone lets it pass.
        (None, false, true),
    ] {
        let mut case = put();
        case.tls = tls;
        assert_eq!(
            case.clone().resource_policy(&[&require_tls]).is_allowed(),
            secure
        );
        assert_eq!(
            case.resource_policy(&[&require_tls_13]).is_allowed(),
            newest
        );
    }
}

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

#[test]
fn the_text_names_caller_action_resource_and_policy_type() {
    let whose = "User: arn:aws:iam::111122223333:user/team/alice is not authorized to perform: ";
    let get = r#"s3:GetObject on resource: "arn:aws:s3:::b/k""#;
    let deny = deny_to(r#""Principal":"*""#);
    let decrypted = format!("kms:Decrypt on resource: {KEY}");
    for (case, expected) in [
        (
            get_object(alice()),
            format!("{whose}{get} because no identity-based policy allows the s3:GetObject action"),
        ),
        (
            get_object(alice()).identity(&[DENY_ALL]),
            format!("{whose}{get} with an explicit deny in an identity-based policy"),
        ),
        (
            get_object(alice()).resource_policy(&[&deny]),
            format!("{whose}{get} with an explicit deny in a resource-based policy"),
        ),
        (
            get_object(alice()).boundary(&[DENY_ALL]),
            format!("{whose}{get} with an explicit deny in a permissions boundary"),
        ),
        (
            get_object(alice())
                .identity(&[ALLOW_ALL])
                .boundary(&[ALLOW_ELSE]),
            format!("{whose}{get} because no permissions boundary allows the s3:GetObject action"),
        ),
        (
            get_object(session(OWNER, "app", "s"))
                .identity(&[ALLOW_ALL])
                .session(&[ALLOW_ELSE]),
            format!(
                "User: arn:aws:sts::111122223333:assumed-role/app/s is not authorized to perform: {get} because no \
                 session policy allows the s3:GetObject action"
            ),
        ),
        (
            decrypt(alice()),
            format!(
                "{whose}{decrypted} because no resource-based policy allows the kms:Decrypt action"
            ),
        ),
        (
            decrypt(alice()).resource_policy(&[&allow_to(r#"{"AWS":"111122223333"}"#)]),
            format!(
                "{whose}{decrypted} because no identity-based policy allows the kms:Decrypt action"
            ),
        ),
        // Others learn nothing.
        (get_object(Principal::Anonymous), "Access Denied".to_owned()),
        (get_object(user(OTHER, "bob")), "Access Denied".to_owned()),
        (
            decrypt(user(OTHER, "bob")),
            format!(
                "User: arn:aws:iam::444455556666:user/bob is not authorized to perform: {decrypted}"
            ),
        ),
    ] {
        assert_eq!(case.message(), expected);
    }
}

#[test]
fn the_trace_names_every_statement_that_had_a_part() {
    let named = r#"{"Sid":"Mine","Effect":"Allow","Action":"s3:*","Resource":"*"}"#;
    let decision = get_object(alice())
        .identity(&[ALLOW_ELSE, named])
        .identity(&[ALLOW_ALL])
        .resource_policy(&[&allow_to(r#"{"AWS":"111122223333"}"#)])
        .decide();
    let trace: Vec<_> = decision
        .matched
        .iter()
        .map(|it| (it.layer, &*it.policy, it.index, it.sid.as_deref()))
        .collect();
    assert_eq!(
        trace,
        [
            (Layer::Resource, "", 0, None),
            (Layer::Identity, "0", 1, Some("Mine")),
            (Layer::Identity, "1", 0, None),
        ]
    );
}
