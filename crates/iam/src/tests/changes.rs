//! What was changed is there, everywhere and at once; limits, pages, and who may not.

use strongroom_ports::{Scan, Table};
use strongroom_types::CanonicalId;

use super::{
    ACCOUNT, READ, START, World, account, allow_read, caller, may_read, role, root, session, user,
};
use crate::{
    CreatePolicyInput, Holder, IamError, IamService, Identities, PageInput, PrimaryAccount,
    SimulatePolicyInput, SimulationDecision, Tag, Taggable, TokenError,
};

#[test]
fn what_was_changed_is_there_after_a_restart() {
    let world = World::new();
    let iam = world.service();
    let alice = user(&iam, "Alice");
    iam.create_group(&root(), "g", None).unwrap();
    iam.add_user_to_group(&root(), "g", "alice").unwrap();
    allow_read(&iam, &Holder::Group("g".to_owned()));
    let input = CreatePolicyInput {
        name: "p".to_owned(),
        document: READ.to_owned(),
        ..CreatePolicyInput::default()
    };
    let policy = iam.create_policy(&root(), &input).unwrap();
    iam.create_policy_version(&root(), &policy.arn, READ, true)
        .unwrap();
    iam.attach_policy(&root(), &Holder::User("alice".to_owned()), &policy.arn)
        .unwrap();
    role(&iam, "r", ACCOUNT);
    iam.update_user(&root(), "alice", Some("bob"), Some("/x/"))
        .unwrap();

    let iam = world.service();
    let bob = iam.get_user(&root(), Some("bob")).unwrap();
    assert_eq!(bob.arn, "arn:aws:iam::111122223333:user/x/bob");
    assert!(iam.get_user(&root(), Some("alice")).is_err());
    let id = alice.access_key_id.as_ref().unwrap();
    let signer = iam.identities().signer(id).unwrap();
    assert!(may_read(&iam, &caller(signer.principal.clone())));
    let versions = iam
        .list_policy_versions(&root(), &policy.arn, &PageInput::default())
        .unwrap();
    assert_eq!(
        versions
            .entries
            .iter()
            .map(|it| (it.number, it.is_default))
            .collect::<Vec<_>>(),
        [(2, true), (1, false)]
    );
    assert_eq!(
        iam.list_roles(&root(), None, &PageInput::default())
            .unwrap()
            .entries
            .len(),
        1
    );
}

#[test]
fn secrets_are_nowhere_in_the_store_and_in_no_record() {
    let world = World::new();
    let iam = world.service();
    iam.create_user(&root(), "alice", None, None, &[]).unwrap();
    let made = iam.create_access_key(&root(), Some("alice")).unwrap();
    let secret = made.secret.expose().as_bytes();
    for table in 30..=37 {
        let page = world.rows.meta.scan(&Scan {
            table: Table(table),
            start: bytes::Bytes::new(),
            end: None,
            limit: 100,
            reverse: false,
        });
        for row in page.unwrap().rows {
            assert!(!row.value.windows(secret.len()).any(|it| it == secret));
        }
    }
    assert!(!format!("{made:?}").contains(made.secret.expose()));
    let records = world.records();
    assert_eq!(records.len(), 2);
    for record in records {
        assert!(!record.to_string().contains(made.secret.expose()));
    }
}

#[test]
fn every_way_of_taking_a_right_away_works_with_the_next_request() {
    let world = World::new();
    let iam = world.service();
    let alice = user(&iam, "alice");
    let holder = Holder::User("alice".to_owned());
    let key = alice.access_key_id.clone().unwrap();
    assert!(!may_read(&iam, &alice));
    allow_read(&iam, &holder);
    assert!(may_read(&iam, &alice));
    // A boundary that does not allow it.
    let kms = "arn:aws:iam::aws:policy/AWSKeyManagementServicePowerUser";
    iam.set_boundary(&root(), &holder, Some(kms)).unwrap();
    assert!(!may_read(&iam, &alice));
    iam.set_boundary(&root(), &holder, None).unwrap();
    assert!(may_read(&iam, &alice));
    iam.delete_inline_policy(&root(), &holder, "read").unwrap();
    assert!(!may_read(&iam, &alice));
    // Through a group.
    iam.create_group(&root(), "g", None).unwrap();
    let group = Holder::Group("g".to_owned());
    iam.attach_policy(
        &root(),
        &group,
        "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
    )
    .unwrap();
    iam.add_user_to_group(&root(), "g", "alice").unwrap();
    assert!(may_read(&iam, &alice));
    iam.remove_user_from_group(&root(), "g", "alice").unwrap();
    assert!(!may_read(&iam, &alice));
    // The key.
    iam.update_access_key(&root(), Some("alice"), key.as_str(), false)
        .unwrap();
    assert!(iam.identities().signer(&key).is_none());
    iam.update_access_key(&root(), Some("alice"), key.as_str(), true)
        .unwrap();
    assert!(iam.identities().signer(&key).is_some());
    let token = iam.get_session_token(&alice, None, false).unwrap();
    assert!(session(&iam, &token).is_ok());
    iam.delete_access_key(&root(), Some("alice"), key.as_str())
        .unwrap();
    assert!(iam.identities().signer(&key).is_none());
    // The user: also its sessions, and also if another of that name is made.
    iam.delete_user(&root(), "alice").unwrap();
    iam.create_user(&root(), "alice", None, None, &[]).unwrap();
    allow_read(&iam, &holder);
    assert!(matches!(session(&iam, &token), Err(TokenError::Gone)));
    assert!(!may_read(&iam, &alice));
}

#[test]
fn what_has_anything_cannot_be_deleted() {
    let iam = World::new().service();
    let conflict = |outcome: Result<(), IamError>| {
        assert!(
            matches!(outcome, Err(IamError::DeleteConflict(_))),
            "{outcome:?}"
        );
    };
    let alice = user(&iam, "alice");
    conflict(iam.delete_user(&root(), "alice"));
    let key = alice.access_key_id.unwrap();
    iam.delete_access_key(&root(), Some("alice"), key.as_str())
        .unwrap();
    iam.create_group(&root(), "g", None).unwrap();
    iam.add_user_to_group(&root(), "g", "alice").unwrap();
    conflict(iam.delete_user(&root(), "alice"));
    conflict(iam.delete_group(&root(), "g"));
    iam.remove_user_from_group(&root(), "g", "alice").unwrap();
    allow_read(&iam, &Holder::Group("g".to_owned()));
    conflict(iam.delete_group(&root(), "g"));
    let input = CreatePolicyInput {
        name: "p".to_owned(),
        document: READ.to_owned(),
        ..CreatePolicyInput::default()
    };
    let arn = iam.create_policy(&root(), &input).unwrap().arn;
    iam.create_policy_version(&root(), &arn, READ, false)
        .unwrap();
    conflict(iam.delete_policy(&root(), &arn));
    conflict(iam.delete_policy_version(&root(), &arn, "v1"));
    iam.delete_policy_version(&root(), &arn, "v2").unwrap();
    let holder = Holder::User("alice".to_owned());
    iam.set_boundary(&root(), &holder, Some(&arn)).unwrap();
    conflict(iam.delete_policy(&root(), &arn));
    iam.set_boundary(&root(), &holder, None).unwrap();
    iam.attach_policy(&root(), &holder, &arn).unwrap();
    conflict(iam.delete_policy(&root(), &arn));
    conflict(iam.delete_user(&root(), "alice"));
    iam.detach_policy(&root(), &holder, &arn).unwrap();
    iam.delete_policy(&root(), &arn).unwrap();
    iam.delete_user(&root(), "alice").unwrap();
}

#[test]
fn limits_hold() {
    let iam = World::new().service();
    let exceeded =
        |error: IamError| assert!(matches!(error, IamError::LimitExceeded(_)), "{error}");
    user(&iam, "alice");
    iam.create_access_key(&root(), Some("alice")).unwrap();
    exceeded(iam.create_access_key(&root(), Some("alice")).unwrap_err());
    let input = CreatePolicyInput {
        name: "p".to_owned(),
        document: READ.to_owned(),
        ..CreatePolicyInput::default()
    };
    let arn = iam.create_policy(&root(), &input).unwrap().arn;
    for number in 2..=5 {
        let version = iam
            .create_policy_version(&root(), &arn, READ, false)
            .unwrap();
        assert_eq!(version.number, number);
    }
    exceeded(
        iam.create_policy_version(&root(), &arn, READ, false)
            .unwrap_err(),
    );
    iam.delete_policy_version(&root(), &arn, "v5").unwrap();
    // Numbers are not used again.
    assert_eq!(
        iam.create_policy_version(&root(), &arn, READ, false)
            .unwrap()
            .number,
        6
    );
    let holder = Holder::User("alice".to_owned());
    let long = READ.replace('*', &format!("arn:aws:s3:::{}", "b".repeat(1000)));
    iam.put_inline_policy(&root(), &holder, "a", &long).unwrap();
    exceeded(
        iam.put_inline_policy(&root(), &holder, "b", &long)
            .unwrap_err(),
    );
    // White space does not count.
    let spaced = READ.replace(',', &format!(",{}", " ".repeat(2000)));
    iam.put_inline_policy(&root(), &holder, "b", &spaced)
        .unwrap();
    let tags: Vec<Tag> = (0..50)
        .map(|index| Tag {
            key: format!("k{index}"),
            value: String::new(),
        })
        .collect();
    let target = Taggable::User("alice".to_owned());
    iam.tag(&root(), &target, &tags).unwrap();
    let one = [Tag {
        key: "more".to_owned(),
        value: String::new(),
    }];
    exceeded(iam.tag(&root(), &target, &one).unwrap_err());
    iam.untag(&root(), &target, &["K0".to_owned()]).unwrap();
    iam.tag(&root(), &target, &one).unwrap();
}

#[test]
fn pages_join_to_the_whole_and_markers_are_good_for_their_listing_only() {
    let iam = World::new().service();
    for index in 0..7 {
        iam.create_user(&root(), &format!("u{index}"), None, None, &[])
            .unwrap();
    }
    let mut page = PageInput {
        marker: None,
        max_items: Some(3),
    };
    let mut names = Vec::new();
    loop {
        let answer = iam.list_users(&root(), None, &page).unwrap();
        names.extend(answer.entries.into_iter().map(|it| it.name));
        match answer.next_marker {
            Some(marker) => page.marker = Some(marker),
            None => break,
        }
    }
    assert_eq!(
        names,
        (0..7).map(|index| format!("u{index}")).collect::<Vec<_>>()
    );
    assert!(page.marker.is_some());
    assert!(iam.list_groups(&root(), None, &page).is_err());
    page.marker = Some("forged".to_owned());
    assert!(iam.list_users(&root(), None, &page).is_err());
    page.max_items = Some(0);
    assert!(iam.list_users(&root(), None, &page).is_err());
}

#[test]
fn who_may_not_ask_learns_nothing_and_changes_nothing() {
    let world = World::new();
    let iam = world.service();
    let alice = user(&iam, "alice");
    user(&iam, "bob");
    for name in ["bob", "nobody"] {
        let error = iam.delete_user(&alice, name).unwrap_err();
        let IamError::AccessDenied(text) = error else {
            panic!("{error:?}");
        };
        let arn = format!("arn:aws:iam::111122223333:user/{name}");
        assert!(
            text.contains("iam:DeleteUser") && text.contains(&arn),
            "{text}"
        );
    }
    // Whoever answers records it.
    let records = world.records();
    assert!(records.iter().all(|it| it.get("errorCode").is_none()));
}

#[test]
fn simulation_says_what_would_be_decided() {
    use SimulationDecision::{Allowed, ExplicitDeny, ImplicitDeny};
    let iam = World::new().service();
    user(&iam, "alice");
    allow_read(&iam, &Holder::User("alice".to_owned()));
    let deny = READ
        .replace("Allow", "Deny")
        .replace("GetObject", "DeleteObject");
    let input = SimulatePolicyInput {
        source_arn: Some("arn:aws:iam::111122223333:user/alice".to_owned()),
        policies: vec![deny],
        actions: ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
            .map(str::to_owned)
            .to_vec(),
        resources: vec!["arn:aws:s3:::bucket/key".to_owned()],
        ..SimulatePolicyInput::default()
    };
    let results = iam.simulate_policy(&root(), &input).unwrap();
    let decisions: Vec<_> = results.iter().map(|it| it.decision).collect();
    assert_eq!(decisions, [Allowed, ImplicitDeny, ExplicitDeny]);
    assert_eq!(results[0].matched, ["alice/read"]);
}

#[test]
fn a_damaged_row_keeps_the_server_from_starting() {
    let world = World::new();
    let iam = world.service();
    user(&iam, "alice");
    let scan = Scan {
        table: Table::IAM_USERS,
        start: bytes::Bytes::new(),
        end: None,
        limit: 1,
        reverse: false,
    };
    let row = world.rows.meta.scan(&scan).unwrap().rows.remove(0);
    let mut value = row.value.to_vec();
    *value.last_mut().unwrap() ^= 1;
    let transaction = strongroom_ports::Transaction::new().put(Table::IAM_USERS, row.key, value);
    world.rows.meta.commit(transaction).wait().unwrap();
    let primary = PrimaryAccount {
        id: account(),
        canonical_id: CanonicalId::parse(&"a1".repeat(32)).unwrap(),
    };
    assert!(matches!(
        Identities::open(world.rows.clone(), &primary, START),
        Err(IamError::Damaged)
    ));
}

#[test]
fn two_services_on_one_store_do_not_overwrite_each_other() {
    let world = World::new();
    let (one, two) = (world.service(), world.service());
    one.create_user(&root(), "alice", None, None, &[]).unwrap();
    two.create_user(&root(), "bob", None, None, &[]).unwrap();
    assert!(two.create_user(&root(), "alice", None, None, &[]).is_err());
    one.create_user(&root(), "carol", None, None, &[]).unwrap();
    let names = |iam: &IamService| {
        let page = iam
            .list_users(&root(), None, &PageInput::default())
            .unwrap();
        page.entries
            .into_iter()
            .map(|it| it.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&one), ["alice", "bob", "carol"]);
}
