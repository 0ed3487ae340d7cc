//! Roles and their sessions: who assumes them, and what a session is and has.

use strongroom_types::{AccessKeyId, Principal, RequestContext, SessionKind};

use super::{
    ACCOUNT, READ, START, World, allow_read, assume, caller, may_read, role, root, session, trust,
    user,
};
use crate::{
    AssumeRoleInput, GetFederationTokenInput, Holder, IamError, PageInput, SessionInput, Tag,
    TokenError,
};

#[test]
fn a_role_is_assumed_by_whom_it_trusts_and_who_may() {
    let world = World::new();
    let iam = world.service();
    let alice = user(&iam, "alice");
    let bob = user(&iam, "bob");
    let arn = role(&iam, "r", "arn:aws:iam::111122223333:user/alice");
    allow_read(&iam, &Holder::Role("r".to_owned()));
    assert!(matches!(
        iam.assume_role(&bob, &assume(&arn)),
        Err(IamError::AccessDenied(_))
    ));
    assert!(matches!(
        iam.assume_role(&root(), &assume(&arn)),
        Err(IamError::AccessDenied(_))
    ));
    let assumed = iam.assume_role(&alice, &assume(&arn)).unwrap();
    assert_eq!(
        assumed.arn,
        "arn:aws:sts::111122223333:assumed-role/r/session"
    );
    let session_caller = session(&iam, &assumed.credentials).unwrap();
    assert!(may_read(&iam, &session_caller));
    let identity = iam.get_caller_identity(&session_caller).unwrap();
    assert_eq!(
        (identity.user_id, identity.arn),
        (assumed.assumed_role_id, assumed.arn)
    );
    // A trusted account delegates.
    let arn = role(&iam, "delegated", ACCOUNT);
    assert!(iam.assume_role(&alice, &assume(&arn)).is_err());
    let holder = Holder::User("alice".to_owned());
    let document = r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}"#;
    iam.put_inline_policy(&root(), &holder, "assume", document)
        .unwrap();
    assert!(iam.assume_role(&alice, &assume(&arn)).is_ok());
    // It ends by itself, and with the role.
    world.wait(3600);
    assert!(matches!(
        session(&iam, &assumed.credentials),
        Err(TokenError::Expired)
    ));
    let assumed = iam.assume_role(&alice, &assume(&arn)).unwrap();
    iam.delete_role(&root(), "delegated").unwrap();
    assert!(matches!(
        session(&iam, &assumed.credentials),
        Err(TokenError::Gone)
    ));
}

#[test]
fn a_session_is_limited_by_its_policies() {
    let iam = World::new().service();
    let alice = user(&iam, "alice");
    let arn = role(&iam, "r", "arn:aws:iam::111122223333:user/alice");
    allow_read(&iam, &Holder::Role("r".to_owned()));
    let with = |policy: Option<&str>, arns: &[&str]| {
        let input = AssumeRoleInput {
            session: SessionInput {
                policy: policy.map(str::to_owned),
                policy_arns: arns.iter().map(|arn| (*arn).to_owned()).collect(),
                ..SessionInput::default()
            },
            ..assume(&arn)
        };
        let assumed = iam.assume_role(&alice, &input).unwrap();
        may_read(&iam, &session(&iam, &assumed.credentials).unwrap())
    };
    assert!(with(None, &[]));
    assert!(with(Some(READ), &[]));
    assert!(!with(Some(&READ.replace("GetObject", "PutObject")), &[]));
    assert!(with(None, &["arn:aws:iam::aws:policy/ReadOnlyAccess"]));
    assert!(!with(
        None,
        &["arn:aws:iam::aws:policy/AWSKeyManagementServicePowerUser"]
    ));
}

#[test]
fn trust_does_not_come_back_with_the_name() {
    let iam = World::new().service();
    user(&iam, "alice");
    let arn = role(&iam, "r", "arn:aws:iam::111122223333:user/alice");
    let first = iam.get_user(&root(), Some("alice")).unwrap().id;
    let keys = iam
        .list_access_keys(&root(), Some("alice"), &PageInput::default())
        .unwrap();
    for key in keys.entries {
        iam.delete_access_key(&root(), Some("alice"), &key.id)
            .unwrap();
    }
    iam.delete_user(&root(), "alice").unwrap();
    let alice = user(&iam, "alice");
    assert!(iam.assume_role(&alice, &assume(&arn)).is_err());
    let shown = iam.get_role(&root(), "r").unwrap().trust;
    assert!(
        shown.contains(&first) && !shown.contains("user/alice"),
        "{shown}"
    );
    // Set anew, it means the new one.
    iam.update_assume_role_policy(&root(), "r", &trust("arn:aws:iam::111122223333:user/alice"))
        .unwrap();
    assert!(iam.assume_role(&alice, &assume(&arn)).is_ok());
    let nobody = trust("arn:aws:iam::111122223333:user/nobody");
    assert!(matches!(
        iam.update_assume_role_policy(&root(), "r", &nobody),
        Err(IamError::MalformedPolicyDocument(_))
    ));
}

#[test]
fn transitive_tags_and_source_identities_go_on_and_chains_last_an_hour() {
    let iam = World::new().service();
    let alice = user(&iam, "alice");
    let first = role(&iam, "first", "arn:aws:iam::111122223333:user/alice");
    let second = role(&iam, "second", "arn:aws:iam::111122223333:role/p/first");
    let tag = |key: &str| Tag {
        key: key.to_owned(),
        value: "v".to_owned(),
    };
    let mut input = AssumeRoleInput {
        session: SessionInput {
            tags: vec![tag("a"), tag("b")],
            ..SessionInput::default()
        },
        transitive_tag_keys: vec!["A".to_owned()],
        source_identity: Some("alice".to_owned()),
        ..assume(&first)
    };
    let made = iam.assume_role(&alice, &input).unwrap();
    let caller = session(&iam, &made.credentials).unwrap();
    let made = iam.assume_role(&caller, &assume(&second)).unwrap();
    let chained = session(&iam, &made.credentials).unwrap().session.unwrap();
    assert_eq!(chained.tags, [("A".to_owned(), "v".to_owned())]);
    assert_eq!(chained.source_identity.as_deref(), Some("alice"));
    let mut long = assume(&second);
    long.session.duration_seconds = Some(3601);
    assert!(matches!(
        iam.assume_role(&caller, &long),
        Err(IamError::Validation(_))
    ));
    let mut conflicting = assume(&second);
    conflicting.session.tags = vec![tag("a")];
    assert!(matches!(
        iam.assume_role(&caller, &conflicting),
        Err(IamError::InvalidParameterValue(_))
    ));
    input.transitive_tag_keys = vec!["c".to_owned()];
    assert!(iam.assume_role(&alice, &input).is_err());
}

#[test]
fn inherited_tags_and_source_identities_need_the_consent_of_the_role() {
    let iam = World::new().service();
    let alice = user(&iam, "alice");
    let first = role(&iam, "first", "arn:aws:iam::111122223333:user/alice");
    let second = role(&iam, "second", "arn:aws:iam::111122223333:role/p/first");
    let tag = Tag {
        key: "department".to_owned(),
        value: "admin".to_owned(),
    };
    let trusting = |actions: &str, condition: &str| {
        let principal = "arn:aws:iam::111122223333:role/p/first";
        let document = format!(
            r#"{{"Statement":{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":[{actions}]{condition}}}}}"#
        );
        iam.update_assume_role_policy(&root(), "second", &document)
            .unwrap();
    };
    let caller_with = |tags: Vec<Tag>, identity: Option<&str>| {
        let input = AssumeRoleInput {
            transitive_tag_keys: tags.iter().map(|tag| tag.key.clone()).collect(),
            session: SessionInput {
                tags,
                ..SessionInput::default()
            },
            source_identity: identity.map(str::to_owned),
            ..assume(&first)
        };
        let made = iam.assume_role(&alice, &input).unwrap();
        session(&iam, &made.credentials).unwrap()
    };
    let plain = caller_with(Vec::new(), None);
    let tagged = caller_with(vec![tag], None);
    let named = caller_with(Vec::new(), Some("alice"));
    let may = |caller: &RequestContext| iam.assume_role(caller, &assume(&second)).is_ok();

    trusting(r#""sts:AssumeRole""#, "");
    assert_eq!(
        (may(&plain), may(&tagged), may(&named)),
        (true, false, false)
    );
    trusting(r#""sts:AssumeRole","sts:TagSession""#, "");
    assert_eq!(
        (may(&plain), may(&tagged), may(&named)),
        (true, true, false)
    );
    trusting(r#""sts:AssumeRole","sts:SetSourceIdentity""#, "");
    assert_eq!(
        (may(&plain), may(&tagged), may(&named)),
        (true, false, true)
    );
    for (allowed, condition) in [
        (
            true,
            r#"{"StringEquals":{"aws:RequestTag/department":"admin"}}"#,
        ),
        (
            false,
            r#"{"StringEquals":{"aws:RequestTag/department":"sales"}}"#,
        ),
        (
            false,
            r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["project"]}}"#,
        ),
    ] {
        let condition = format!(r#","Condition":{condition}"#);
        trusting(r#""sts:AssumeRole","sts:TagSession""#, &condition);
        assert_eq!(may(&tagged), allowed, "{condition}");
    }

    // What is inherited takes room like what is sent.
    trusting(r#""sts:AssumeRole","sts:TagSession""#, "");
    let tags_of = |prefix: &str, count: usize| -> Vec<Tag> {
        let tag = |n| Tag {
            key: format!("{prefix}{n}"),
            value: "v".to_owned(),
        };
        (0..count).map(tag).collect()
    };
    let crowded = caller_with(tags_of("a", 30), None);
    let mut input = assume(&second);
    input.session.tags = tags_of("b", 20);
    assert!(iam.assume_role(&crowded, &input).is_ok());
    input.session.tags = tags_of("b", 21);
    assert!(iam.assume_role(&crowded, &input).is_err());
}

#[test]
fn sessions_of_users_cannot_do_what_only_keys_may() {
    let world = World::new();
    let iam = world.service();
    let alice = user(&iam, "alice");
    let holder = Holder::User("alice".to_owned());
    let admin = "arn:aws:iam::aws:policy/AdministratorAccess";
    iam.attach_policy(&root(), &holder, admin).unwrap();
    assert!(iam.list_users(&alice, None, &PageInput::default()).is_ok());
    let token = iam.get_session_token(&alice, None, false).unwrap();
    let caller = session(&iam, &token).unwrap();
    assert!(may_read(&iam, &caller));
    assert_eq!(
        iam.list_users(&caller, None, &PageInput::default())
            .unwrap_err(),
        IamError::InvalidClientTokenId
    );
    assert!(iam.get_session_token(&caller, None, false).is_err());
    // A federated user has what both sides allow, and nothing without a policy.
    let federate = |policy: Option<&str>| {
        let input = GetFederationTokenInput {
            name: "bob".to_owned(),
            session: SessionInput {
                policy: policy.map(str::to_owned),
                ..SessionInput::default()
            },
        };
        let made = iam.get_federation_token(&alice, &input).unwrap();
        session(&iam, &made.credentials).unwrap()
    };
    assert!(!may_read(&iam, &federate(None)));
    let federated = federate(Some(READ));
    assert!(may_read(&iam, &federated));
    assert!(matches!(
        federated.session.as_ref().unwrap().kind,
        SessionKind::Federated { .. }
    ));
    iam.detach_policy(&root(), &holder, admin).unwrap();
    assert!(!may_read(&iam, &federated));
}

#[test]
fn a_token_is_good_for_its_key_only_and_every_changed_byte_is_noticed() {
    let iam = World::new().service();
    let alice = user(&iam, "alice");
    let made = iam.get_session_token(&alice, None, false).unwrap();
    let token = made.session_token.expose();
    let identities = iam.identities();
    let id = AccessKeyId::parse(&made.access_key_id).unwrap();
    let other = AccessKeyId::parse("ASIAAAAAAAAAAAAAAAAA").unwrap();
    let open = |id: &AccessKeyId, token: &str| identities.temporary_signer(id, token, START).err();
    assert_eq!(open(&id, token), None);
    assert_eq!(open(&other, token), Some(TokenError::Invalid));
    for index in 0..token.len() {
        let mut bytes = token.as_bytes().to_vec();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert_eq!(open(&id, &changed), Some(TokenError::Invalid), "{index}");
    }
}

#[test]
fn accounts_are_apart_and_trust_each_other_when_both_say_so() {
    let iam = World::new().service();
    let other = iam.create_account("other").unwrap();
    let id = other.account.id;
    assert!(iam.create_account("other").is_err());
    let signer = iam.identities().signer(&other.root.id).unwrap();
    let other_root = caller(signer.principal.clone());
    assert_eq!(signer.principal, Principal::Root { account: id });
    user(&iam, "alice");
    assert!(iam.get_user(&other_root, Some("alice")).is_err());
    iam.create_user(&other_root, "carol", None, None, &[])
        .unwrap();
    let key = iam.create_access_key(&other_root, Some("carol")).unwrap();
    let carol = AccessKeyId::parse(&key.key.id).unwrap();
    let carol = caller(iam.identities().signer(&carol).unwrap().principal.clone());
    let arn = role(&iam, "r", id.as_str());
    assert!(iam.assume_role(&carol, &assume(&arn)).is_err());
    let document = format!(
        r#"{{"Statement":{{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"{arn}"}}}}"#
    );
    let holder = Holder::User("carol".to_owned());
    iam.put_inline_policy(&other_root, &holder, "assume", &document)
        .unwrap();
    assert!(iam.assume_role(&carol, &assume(&arn)).is_ok());
}
