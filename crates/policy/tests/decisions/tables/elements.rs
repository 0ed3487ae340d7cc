//! The elements of a statement: principals, actions, resources, variables.

use super::{ALLOW_ALL, DENY_ALL, alice, allow_to, deny_to, get_object, holds};
use crate::cases::{Case, OTHER, OWNER, root, session};

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
