//! What a decision says about itself: the text of a denial, and the trace.

use strongroom_policy::Layer;
use strongroom_types::Principal;

use super::{ALLOW_ALL, ALLOW_ELSE, DENY_ALL, alice, allow_to, decrypt, deny_to, get_object};
use crate::cases::{KEY, OTHER, OWNER, session, user};

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
