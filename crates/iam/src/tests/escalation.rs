//! Every way in which IAM lets somebody get more than they have: each is decided by its own action,
//! and by the condition keys with which delegates are kept within bounds.

use super::*;

const ADMINISTRATOR: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
const POLICY: &str = "arn:aws:iam::111122223333:policy/p";
const ALL: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

/// An attempt of the caller; the world has the users `mallory` and `victim` (both bounded), the group
/// `admins`, the role `r` and the policy `p` of two versions.
type Attempt = fn(&IamService, &RequestContext) -> Result<(), IamError>;

fn mallory() -> Holder {
    Holder::User("mallory".to_owned())
}

fn unit<T>(outcome: Result<T, IamError>) -> Result<(), IamError> {
    outcome.map(drop)
}

/// What is tried, and the action that decides it.
const ATTEMPTS: &[(&str, Attempt)] = &[
    ("CreatePolicyVersion", |iam, caller| {
        unit(iam.create_policy_version(caller, POLICY, ALL, true))
    }),
    ("SetDefaultPolicyVersion", |iam, caller| {
        iam.set_default_policy_version(caller, POLICY, "v1")
    }),
    ("DeletePolicyVersion", |iam, caller| {
        iam.delete_policy_version(caller, POLICY, "v1")
    }),
    ("CreatePolicy", |iam, caller| {
        let input = CreatePolicyInput {
            name: "mine".to_owned(),
            document: ALL.to_owned(),
            ..CreatePolicyInput::default()
        };
        unit(iam.create_policy(caller, &input))
    }),
    ("PutUserPolicy", |iam, caller| {
        iam.put_inline_policy(caller, &mallory(), "all", ALL)
    }),
    ("DeleteUserPolicy", |iam, caller| {
        iam.delete_inline_policy(caller, &mallory(), "deny")
    }),
    ("PutGroupPolicy", |iam, caller| {
        iam.put_inline_policy(caller, &Holder::Group("admins".to_owned()), "all", ALL)
    }),
    ("PutRolePolicy", |iam, caller| {
        iam.put_inline_policy(caller, &Holder::Role("r".to_owned()), "all", ALL)
    }),
    ("AttachUserPolicy", |iam, caller| {
        iam.attach_policy(caller, &mallory(), ADMINISTRATOR)
    }),
    ("AttachGroupPolicy", |iam, caller| {
        iam.attach_policy(caller, &Holder::Group("admins".to_owned()), ADMINISTRATOR)
    }),
    ("AttachRolePolicy", |iam, caller| {
        iam.attach_policy(caller, &Holder::Role("r".to_owned()), ADMINISTRATOR)
    }),
    ("DeleteUserPermissionsBoundary", |iam, caller| {
        iam.set_boundary(caller, &mallory(), None)
    }),
    ("PutUserPermissionsBoundary", |iam, caller| {
        iam.set_boundary(caller, &mallory(), Some(ADMINISTRATOR))
    }),
    ("UpdateAssumeRolePolicy", |iam, caller| {
        iam.update_assume_role_policy(caller, "r", &trust(ACCOUNT))
    }),
    ("UpdateRole", |iam, caller| {
        iam.update_role(caller, "r", None, Some(43_200))
    }),
    ("AddUserToGroup", |iam, caller| {
        iam.add_user_to_group(caller, "admins", "mallory")
    }),
    ("CreateAccessKey", |iam, caller| {
        unit(iam.create_access_key(caller, Some("victim")))
    }),
    ("CreateUser", |iam, caller| {
        unit(iam.create_user(caller, "puppet", None, None, &[]))
    }),
    ("CreateRole", |iam, caller| {
        let input = CreateRoleInput {
            name: "puppet".to_owned(),
            trust: trust(ACCOUNT),
            ..CreateRoleInput::default()
        };
        unit(iam.create_role(caller, &input))
    }),
    ("UpdateUser", |iam, caller| {
        iam.update_user(caller, "mallory", Some("root2"), None)
    }),
    ("TagUser", |iam, caller| {
        let tag = Tag {
            key: "team".to_owned(),
            value: "admins".to_owned(),
        };
        iam.tag(caller, &Taggable::User("mallory".to_owned()), &[tag])
    }),
    ("CreateOpenIDConnectProvider", |iam, caller| {
        unit(iam.create_oidc_provider(caller, "https://evil.example", &[], &[], &[]))
    }),
];

fn allow(action: &str, condition: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{action}","Resource":"*","Condition":{condition}}}]}}"#
    )
}

/// A world in which mallory's own policy is this.
fn world(policy: &str) -> (IamService, RequestContext) {
    let iam = World::new().service();
    let caller = user(&iam, "mallory");
    user(&iam, "victim");
    iam.create_group(&root(), "admins", None).unwrap();
    role(&iam, "r", ACCOUNT);
    let input = CreatePolicyInput {
        name: "p".to_owned(),
        document: ALL.to_owned(),
        ..CreatePolicyInput::default()
    };
    iam.create_policy(&root(), &input).unwrap();
    iam.create_policy_version(&root(), POLICY, READ, true)
        .unwrap();
    let deny = READ.replace("Allow", "Deny");
    iam.put_inline_policy(&root(), &mallory(), "deny", &deny)
        .unwrap();
    iam.set_boundary(&root(), &mallory(), Some(ADMINISTRATOR))
        .unwrap();
    iam.put_inline_policy(&root(), &mallory(), "own", policy)
        .unwrap();
    (iam, caller)
}

#[test]
fn every_way_up_is_decided_by_its_own_action() {
    for (action, attempt) in ATTEMPTS {
        let name = format!("iam:{action}");
        let (iam, caller) = world(&allow(&name, "{}"));
        assert_eq!(attempt(&iam, &caller), Ok(()), "{action} alone is enough");

        let others = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","NotAction":"{name}","Resource":"*"}}]}}"#
        );
        let (iam, caller) = world(&others);
        let refused = attempt(&iam, &caller);
        assert!(
            matches!(&refused, Err(IamError::AccessDenied(text)) if text.contains(&name)),
            "{action} without itself: {refused:?}"
        );
        // And nothing has changed by the attempt.
        for (other, again) in ATTEMPTS.iter().filter(|(other, _)| *other == *action) {
            assert!(again(&iam, &caller).is_err(), "{other}");
        }
    }
}

#[test]
fn delegates_stay_within_the_boundary_that_they_must_set() {
    let bounded = |action: &str| {
        let condition =
            format!(r#"{{"StringEquals":{{"iam:PermissionsBoundary":"{READ_ONLY}"}}}}"#);
        world(&allow(&format!("iam:{action}"), &condition))
    };
    let victim = || Holder::User("victim".to_owned());
    let denied = |outcome: Result<(), IamError>| matches!(outcome, Err(IamError::AccessDenied(_)));

    let (iam, caller) = bounded("CreateUser");
    let create = |boundary| unit(iam.create_user(&caller, "puppet", None, boundary, &[]));
    assert!(denied(create(None)) && denied(create(Some(ADMINISTRATOR))));
    assert_eq!(create(Some(READ_ONLY)), Ok(()));

    let (iam, caller) = bounded("CreateRole");
    let create = |boundary: Option<&str>| {
        let input = CreateRoleInput {
            name: "puppet".to_owned(),
            trust: trust(ACCOUNT),
            boundary: boundary.map(str::to_owned),
            ..CreateRoleInput::default()
        };
        unit(iam.create_role(&caller, &input))
    };
    assert!(denied(create(None)) && denied(create(Some(ADMINISTRATOR))));
    assert_eq!(create(Some(READ_ONLY)), Ok(()));

    // Whom the boundary does not hold, a delegate gives nothing.
    for action in ["PutUserPolicy", "AttachUserPolicy"] {
        let (iam, caller) = bounded(action);
        let give = || {
            if action == "PutUserPolicy" {
                iam.put_inline_policy(&caller, &victim(), "all", ALL)
            } else {
                iam.attach_policy(&caller, &victim(), ADMINISTRATOR)
            }
        };
        assert!(denied(give()), "{action}");
        iam.set_boundary(&root(), &victim(), Some(ADMINISTRATOR))
            .unwrap();
        assert!(denied(give()), "{action}");
        iam.set_boundary(&root(), &victim(), Some(READ_ONLY))
            .unwrap();
        assert_eq!(give(), Ok(()), "{action}");
    }

    let (iam, caller) = bounded("PutUserPermissionsBoundary");
    assert!(denied(iam.set_boundary(
        &caller,
        &victim(),
        Some(ADMINISTRATOR)
    )));
    assert_eq!(
        iam.set_boundary(&caller, &victim(), Some(READ_ONLY)),
        Ok(())
    );
    // Taking one away is decided by the one that is there.
    let (iam, caller) = bounded("DeleteUserPermissionsBoundary");
    assert!(denied(iam.set_boundary(&caller, &mallory(), None)));
}

#[test]
fn delegates_attach_only_the_policies_that_they_may() {
    let condition = format!(r#"{{"ArnEquals":{{"iam:PolicyARN":"{READ_ONLY}"}}}}"#);
    let (iam, caller) = world(&allow("iam:*", &condition));
    let holders = [
        Holder::User("victim".to_owned()),
        Holder::Group("admins".to_owned()),
        Holder::Role("r".to_owned()),
    ];
    for holder in &holders {
        let attach = |arn| iam.attach_policy(&caller, holder, arn);
        assert!(matches!(
            attach(ADMINISTRATOR),
            Err(IamError::AccessDenied(_))
        ));
        assert!(matches!(attach(POLICY), Err(IamError::AccessDenied(_))));
        assert_eq!(attach(READ_ONLY), Ok(()));
        iam.attach_policy(&root(), holder, POLICY).unwrap();
        let detach = iam.detach_policy(&caller, holder, POLICY);
        assert!(matches!(detach, Err(IamError::AccessDenied(_))));
    }
}

#[test]
fn a_boundary_bounds_what_its_owner_may_do_about_it() {
    let (iam, caller) = world(ALL);
    assert_eq!(
        iam.set_boundary(&root(), &mallory(), Some(READ_ONLY)),
        Ok(())
    );
    for (action, attempt) in ATTEMPTS {
        let refused = attempt(&iam, &caller);
        assert!(
            matches!(refused, Err(IamError::AccessDenied(_))),
            "{action}: {refused:?}"
        );
    }
}

#[test]
fn sessions_are_revoked_by_the_time_of_their_making() {
    let world = World::new();
    let iam = world.service();
    let alice = user(&iam, "alice");
    let arn = role(&iam, "r", "arn:aws:iam::111122223333:user/alice");
    let holder = Holder::Role("r".to_owned());
    allow_read(&iam, &holder);
    let before = session(
        &iam,
        &iam.assume_role(&alice, &assume(&arn)).unwrap().credentials,
    );
    let before = before.unwrap();
    assert!(may_read(&iam, &before));
    world.wait(60);
    // As the console's "Revoke active sessions" does.
    let revoke = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Action":"*","Resource":"*",
            "Condition":{{"DateLessThan":{{"aws:TokenIssueTime":"{}"}}}}}}]}}"#,
        iam.now().to_iso8601()
    );
    iam.put_inline_policy(&root(), &holder, "revoke", &revoke)
        .unwrap();
    assert!(!may_read(&iam, &before));
    let after = session(
        &iam,
        &iam.assume_role(&alice, &assume(&arn)).unwrap().credentials,
    );
    assert!(may_read(&iam, &after.unwrap()));
    iam.delete_inline_policy(&root(), &holder, "revoke")
        .unwrap();
    assert!(may_read(&iam, &before));
}

#[test]
fn nobody_of_a_disabled_account_signs_in_and_its_sessions_end() {
    let iam = World::new().service();
    let made = iam.create_account("other").unwrap();
    let id = made.account.id;
    let root_of_it = caller(Principal::Root { account: id });
    iam.create_user(&root_of_it, "carol", None, None, &[])
        .unwrap();
    let key = iam.create_access_key(&root_of_it, Some("carol")).unwrap();
    let key = AccessKeyId::parse(&key.key.id).unwrap();
    let mut carol = caller(iam.identities().signer(&key).unwrap().principal.clone());
    carol.access_key_id = Some(key.clone());
    let token = iam.get_session_token(&carol, None, false).unwrap();
    let resource = Resource::Object {
        bucket: BucketName::parse("bucket").unwrap(),
        owner: id,
        key: ObjectKey::parse("key").unwrap(),
    };
    let decide = |context: &RequestContext| {
        let conditions = Conditions::default();
        let request = AccessRequest {
            context,
            action: "s3:GetObject",
            resource: &resource,
            conditions: &conditions,
            resource_policy: None,
            grants: None,
            acls: None,
        };
        iam.ports.authorizer.decide(&request).is_ok()
    };
    assert!(decide(&root_of_it));
    iam.disable_account(id, true).unwrap();
    // A request that was signed a moment ago is decided by what holds now.
    assert!(!decide(&root_of_it));
    assert!(iam.identities().signer(&made.root.id).is_none());
    assert!(iam.identities().signer(&key).is_none());
    assert_eq!(session(&iam, &token).unwrap_err(), TokenError::Gone);
    iam.disable_account(id, false).unwrap();
    assert!(decide(&root_of_it) && session(&iam, &token).is_ok());
    let new = iam.rotate_root_key(id).unwrap();
    assert!(iam.identities().signer(&made.root.id).is_none());
    assert!(iam.identities().signer(&new.id).is_some());
    assert!(iam.disable_account(account(), true).is_err());
    assert!(iam.rotate_root_key(account()).is_err());
}

#[test]
fn sessions_that_a_key_made_end_with_it() {
    let iam = World::new().service();
    let federate = |caller: &RequestContext| {
        let input = GetFederationTokenInput {
            name: "bob".to_owned(),
            ..GetFederationTokenInput::default()
        };
        iam.get_federation_token(caller, &input)
            .unwrap()
            .credentials
    };
    let is_gone = |made: &TemporaryCredentials| {
        let outcome = session(&iam, made);
        assert!(matches!(outcome, Ok(_) | Err(TokenError::Gone)));
        outcome.is_err()
    };
    let alice = user(&iam, "alice");
    let admin = "arn:aws:iam::aws:policy/AdministratorAccess";
    iam.attach_policy(&root(), &Holder::User("alice".to_owned()), admin)
        .unwrap();
    let key = alice.access_key_id.clone().unwrap();
    let (token, federated) = (
        iam.get_session_token(&alice, None, false).unwrap(),
        federate(&alice),
    );
    // One that was verified before is not trusted for that.
    let id = AccessKeyId::parse(&token.access_key_id).unwrap();
    let verified = iam.identities();
    let verified = verified.temporary_signer(&id, token.session_token.expose(), iam.now());
    let verified = verified.unwrap();
    let set = |active| {
        iam.update_access_key(&root(), Some("alice"), key.as_str(), active)
            .unwrap();
    };
    assert!(!is_gone(&token) && !is_gone(&federated) && iam.identities().still_holds(&verified));
    set(false);
    assert!(is_gone(&token) && is_gone(&federated) && !iam.identities().still_holds(&verified));
    set(true);
    assert!(!is_gone(&token) && !is_gone(&federated));
    // Another key of the user is no help.
    iam.create_access_key(&root(), Some("alice")).unwrap();
    iam.delete_access_key(&root(), Some("alice"), key.as_str())
        .unwrap();
    assert!(is_gone(&token) && is_gone(&federated));

    let made = iam.create_account("other").unwrap();
    let mut other_root = caller(Principal::Root {
        account: made.account.id,
    });
    other_root.access_key_id = Some(made.root.id.clone());
    let (token, federated) = (
        iam.get_session_token(&other_root, None, false).unwrap(),
        federate(&other_root),
    );
    assert!(!is_gone(&token) && !is_gone(&federated));
    iam.rotate_root_key(made.account.id).unwrap();
    assert!(is_gone(&token) && is_gone(&federated));

    // The first account's root key is kept elsewhere.
    let elsewhere = |id: &str| {
        let id = AccessKeyId::parse(id).unwrap();
        iam.identities().show_root_keys([(id.clone(), iam.now())]);
        id
    };
    let mut first_root = root();
    first_root.access_key_id = Some(elsewhere("AKIAAAAAAAAAAAAAAAAA"));
    let token = iam.get_session_token(&first_root, None, false).unwrap();
    assert!(!is_gone(&token));
    elsewhere("AKIABBBBBBBBBBBBBBBB");
    assert!(is_gone(&token));
}
