//! Users, roles and other accounts: who may do what, through key policies, grants and policies.

use strongroom_ports::{KeyAuthority, KeyError, KeyReference, KeyUse, Table};
use strongroom_types::kms::GrantOperation;

use super::managed::via_s3;
use super::*;
use crate::fixture::{ACCOUNT, POLICY, World, caller};
use crate::policies::KeyPolicy;
use crate::{
    CreateGrantInput, CreateGrantOutput, GrantConstraints, ListGrantsInput,
    ListRetirableGrantsInput, Page, PutKeyPolicyInput, RetireGrantInput, RevokeGrantInput,
};

const OTHER: &str = "444455556666";

fn allow(actions: &str) -> String {
    format!(r#"{{"Statement":{{"Effect":"Allow","Action":{actions},"Resource":"*"}}}}"#)
}

/// A grant of Decrypt on `key` to `grantee`.
fn grant_input(key: &KeyArn, grantee: &str) -> CreateGrantInput {
    CreateGrantInput {
        key_id: key.to_string(),
        grantee_principal: grantee.to_owned(),
        retiring_principal: None,
        operations: vec![GrantOperation::Decrypt],
        constraints: None,
        grant_tokens: Vec::new(),
        name: None,
        dry_run: false,
    }
}

fn grant(service: &KeyService, input: CreateGrantInput) -> CreateGrantOutput {
    service.create_grant(&root(), input).unwrap()
}

fn decrypts(service: &KeyService, caller: &RequestContext, ciphertext: &[u8]) -> bool {
    match decrypt_as(service, caller, ciphertext) {
        Ok(_) => true,
        Err(KmsError::AccessDenied(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

fn retire_as(
    service: &KeyService,
    caller: &RequestContext,
    key: &KeyArn,
    grant_id: &str,
) -> Result<(), KmsError> {
    let input = RetireGrantInput {
        grant_token: None,
        key_id: Some(key.to_string()),
        grant_id: Some(grant_id.to_owned()),
        dry_run: false,
    };
    service.retire_grant(caller, input)
}

fn denied<T>(outcome: Result<T, KmsError>) -> bool {
    matches!(outcome, Err(KmsError::AccessDenied(_)))
}

fn symmetric(world: &World, service: &KeyService) -> (KeyArn, Vec<u8>) {
    let key = world.symmetric();
    let ciphertext = encrypt(service, &key.to_string(), b"secret").unwrap();
    (key, ciphertext)
}

#[test]
fn a_grant_means_who_has_the_name_now_and_nobody_who_gets_it_later() {
    let world = World::new();
    let service = world.service();
    let (key, ciphertext) = symmetric(&world, &service);
    let alice = world.people.user(ACCOUNT, "alice", None);
    let arn = alice.principal.arn();
    assert!(!decrypts(&service, &alice, &ciphertext));
    let named = || CreateGrantInput {
        name: Some("n".to_owned()),
        retiring_principal: Some(arn.clone()),
        ..grant_input(&key, &arn)
    };
    let first = grant(&service, named());
    assert!(decrypts(&service, &alice, &ciphertext));
    let list = |grantee: Option<&str>| -> Page<_> {
        let input = ListGrantsInput {
            limit: None,
            marker: None,
            key_id: key.to_string(),
            grant_id: None,
            grantee_principal: grantee.map(str::to_owned),
        };
        service.list_grants(&root(), input).unwrap()
    };
    let retirable = |principal: &str| {
        let input = ListRetirableGrantsInput {
            limit: None,
            marker: None,
            retiring_principal: principal.to_owned(),
        };
        let page = service.list_retirable_grants(&root(), input).unwrap();
        page.entries.len()
    };
    assert_eq!(list(Some(&arn)).entries[0].grantee_principal, arn);
    assert_eq!(retirable(&arn), 1);
    world.people.delete(&arn);
    let again = world.people.user(ACCOUNT, "alice", None);
    assert!(!decrypts(&service, &again, &ciphertext));
    assert!(denied(retire_as(&service, &again, &key, &first.grant_id)));
    assert_eq!((list(Some(&arn)).entries.len(), retirable(&arn)), (0, 0));
    let shown = list(None).entries.remove(0);
    assert!(shown.grantee_principal.starts_with("AIDA"));
    assert_eq!(
        shown.retiring_principal.as_deref(),
        Some(&*shown.grantee_principal)
    );
    assert_eq!(list(Some(&shown.grantee_principal)).entries.len(), 1);
    assert_eq!(retirable(&shown.grantee_principal), 1);
    // The same request is another grant now, since it means somebody else.
    assert_ne!(grant(&service, named()).grant_id, first.grant_id);
    assert!(decrypts(&service, &again, &ciphertext));
    assert!(!decrypts(&service, &alice, &ciphertext), "alice is gone");
}

#[test]
fn grants_are_for_principals_that_exist() {
    let world = World::new();
    let service = world.service();
    let (key, ciphertext) = symmetric(&world, &service);
    let role = world.people.role(ACCOUNT, "r", None);
    let foreign = world.people.user(OTHER, "eve", None);
    for nobody in ["user/nobody", "role/s", "group/g", "saml-provider/x"] {
        let arn = format!("arn:aws:iam::{ACCOUNT}:{nobody}");
        let refused = Err(KmsError::InvalidArn(format!(
            "ARN does not refer to a valid principal: {arn}"
        )));
        let input = grant_input(&key, &arn);
        assert_eq!(service.create_grant(&root(), input).map(drop), refused);
        let retiring = CreateGrantInput {
            retiring_principal: Some(arn),
            ..grant_input(&key, ACCOUNT)
        };
        assert_eq!(service.create_grant(&root(), retiring).map(drop), refused);
    }
    for (grantee, caller) in [
        (format!("arn:aws:iam::{ACCOUNT}:role/r"), &role),
        (foreign.principal.arn(), &foreign),
    ] {
        assert!(!decrypts(&service, caller, &ciphertext), "{grantee}");
        let made = grant(&service, grant_input(&key, &grantee));
        assert!(decrypts(&service, caller, &ciphertext), "{grantee}");
        let input = RevokeGrantInput {
            key_id: key.to_string(),
            grant_id: made.grant_id,
            dry_run: false,
        };
        service.revoke_grant(&root(), input).unwrap();
        assert!(!decrypts(&service, caller, &ciphertext), "{grantee}");
    }
    // To an account: for those whom the account lets.
    grant(&service, grant_input(&key, OTHER));
    assert!(!decrypts(&service, &foreign, &ciphertext));
    let let_in = world
        .people
        .user(OTHER, "mallory", Some(&allow(r#""kms:Decrypt""#)));
    assert!(decrypts(&service, &let_in, &ciphertext));
}

#[test]
fn a_decision_reads_the_callers_grants_and_no_others() {
    let world = World::new();
    let service = world.service();
    let (quiet, few) = symmetric(&world, &service);
    let (busy, many) = symmetric(&world, &service);
    let alice = world.people.user(ACCOUNT, "alice", None);
    for account in 0..49_999_u64 {
        grant(&service, grant_input(&busy, &format!("{account:012}")));
    }
    for key in [&quiet, &busy] {
        grant(&service, grant_input(key, &alice.principal.arn()));
    }
    let reads = |ciphertext: &[u8]| {
        let before = world.meta.reads();
        assert!(decrypts(&service, &alice, ciphertext));
        world.meta.reads() - before
    };
    reads(&few);
    reads(&many);
    assert_eq!(reads(&few), reads(&many));
    assert!(reads(&many) < 10);
    // Nobody who may by a policy has any read.
    let before = world.meta.reads();
    assert!(decrypts(&service, &root(), &many));
    assert!(world.meta.reads() - before < 3);
}

#[test]
fn more_grants_than_a_page_holds_are_all_found_and_all_go() {
    let world = World::new();
    let service = world.service();
    let (key, ciphertext) = symmetric(&world, &service);
    let alice = world.people.user(ACCOUNT, "alice", None);
    let arn = alice.principal.arn();
    let rows = || {
        (
            world.rows(Table::KMS_GRANTS),
            world.rows(Table::KMS_RETIRABLE_GRANTS),
        )
    };
    let made: Vec<String> = (0..300)
        .map(|_| grant(&service, grant_input(&key, &arn)).grant_id)
        .collect();
    // The count and two pages.
    assert_eq!(rows(), (300, 3));
    let revoke = |grant_id: &String| {
        let input = RevokeGrantInput {
            key_id: key.to_string(),
            grant_id: grant_id.clone(),
            dry_run: false,
        };
        service.revoke_grant(&root(), input).unwrap();
    };
    let (last, others) = made.split_last().unwrap();
    others.iter().for_each(revoke);
    assert!(decrypts(&service, &alice, &ciphertext));
    revoke(last);
    assert!(!decrypts(&service, &alice, &ciphertext));
    assert_eq!(rows().0, 0);
    grant(&service, grant_input(&key, &arn));
    assert!(decrypts(&service, &alice, &ciphertext));
}

#[test]
fn grants_from_before_the_index_are_still_found() {
    let world = World::new();
    let service = world.service();
    let (key, ciphertext) = symmetric(&world, &service);
    let foreign = world.people.user(OTHER, "eve", Some(&allow(r#""kms:*""#)));
    let made = grant(&service, grant_input(&key, OTHER));
    // As an older version left it: a number without an index.
    let (count, version) = service.grant_count(key.id).unwrap();
    let old = crate::grants::record::GrantCountRow {
        indexed: None,
        ..count
    };
    let transaction = strongroom_ports::Transaction::new();
    let transaction = service
        .put_count(transaction, key.id, old, version)
        .unwrap();
    let (start, end) = crate::grants::index::pages_of(key.id);
    let page = service
        .ports
        .rows
        .scan::<crate::grants::index::GranteePageRow>(Table::KMS_RETIRABLE_GRANTS, (start, end), 10)
        .unwrap()
        .0;
    let transaction = page.into_iter().fold(transaction, |transaction, (row, _)| {
        transaction.delete(Table::KMS_RETIRABLE_GRANTS, row.key)
    });
    service.commit(transaction, &[], &[]).unwrap();
    assert!(decrypts(&service, &foreign, &ciphertext));
    let alice = world.people.user(ACCOUNT, "alice", None);
    let second = grant(&service, grant_input(&key, &alice.principal.arn()));
    assert!(decrypts(&service, &alice, &ciphertext));
    for grant_id in [made.grant_id, second.grant_id] {
        retire_as(&service, &root(), &key, &grant_id).unwrap();
    }
    assert!(!decrypts(&service, &foreign, &ciphertext));
    assert!(!decrypts(&service, &alice, &ciphertext));
    // From then on there is one.
    grant(&service, grant_input(&key, OTHER));
    assert_eq!(service.grant_count(key.id).unwrap().0.indexed, Some(true));
    assert!(decrypts(&service, &foreign, &ciphertext));
}

#[test]
fn a_grantee_of_a_service_decrypts_without_waiting_for_the_disk() {
    let world = World::new();
    let service = world.service();
    let key = world.symmetric();
    let pairs = context(&[("aws:s3:arn", "arn:aws:s3:::b/k")]);
    let reference = KeyReference::Named(key.to_string());
    let made = KeyAuthority::generate_data_key(&service, &via_s3(), &reference, &pairs).unwrap();
    let alice = RequestContext {
        via_service: via_s3().via_service,
        ..world.people.user(ACCOUNT, "alice", None)
    };
    let decrypted = || {
        service
            .decrypt_data_key_in_memory(&alice, &made.ciphertext, &pairs)
            .map(drop)
    };
    // A refusal is told where its record is waited for.
    assert_eq!(decrypted(), Err(KeyError::NotInMemory));
    let arn = alice.principal.arn();
    let grants = [(); 2].map(|()| grant(&service, grant_input(&key, &arn)));
    assert!(decrypted().is_ok());
    let lease = service
        .authorize_in_memory(&alice, &reference, KeyUse::Decrypt, &pairs)
        .unwrap();
    assert_eq!(lease.key, key);
    for made in grants {
        retire_as(&service, &root(), &key, &made.grant_id).unwrap();
    }
    assert!(matches!(decrypted(), Err(KeyError::NotInMemory)));
    assert!(matches!(
        service.authorize(&alice, &reference, KeyUse::Decrypt, &pairs),
        Err(KeyError::AccessDenied(_))
    ));
}

#[test]
fn a_right_to_retire_one_grant_is_none_to_retire_another() {
    let world = World::new();
    let service = world.service();
    let (key, _) = symmetric(&world, &service);
    let [alice, bob] = ["alice", "bob"].map(|name| world.people.user(ACCOUNT, name, None));
    let foreign = world.people.user(OTHER, "eve", None);
    let make = |retiring: Option<String>, operations: &[GrantOperation]| {
        let input = CreateGrantInput {
            retiring_principal: retiring,
            operations: operations.to_vec(),
            ..grant_input(&key, &bob.principal.arn())
        };
        grant(&service, input).grant_id
    };
    let both = [GrantOperation::Decrypt, GrantOperation::RetireGrant];
    let plain = make(None, &both[..1]);
    let alices = make(Some(alice.principal.arn()), &both[..1]);
    let foreigners = make(Some(foreign.principal.arn()), &both[..1]);
    let bobs = make(None, &both);
    let retire = |caller: &RequestContext, grant: &str| retire_as(&service, caller, &key, grant);
    for (caller, own) in [(&alice, &alices), (&foreign, &foreigners), (&bob, &bobs)] {
        for grant in [&plain, &alices, &foreigners, &bobs] {
            assert!(grant == own || denied(retire(caller, grant)));
        }
    }
    assert_eq!(retire(&alice, &alices), Ok(()));
    assert_eq!(retire(&foreign, &foreigners), Ok(()));
    assert_eq!(retire(&bob, &bobs), Ok(()));
    // A key policy lets nobody retire, the account's own policies do.
    let everybody = POLICY.replace("arn:aws:iam::111122223333:root", "*");
    world.change(&key, |key| key.policy = KeyPolicy::of_accounts(everybody));
    assert!(denied(retire(&alice, &plain)));
    assert!(denied(retire(&caller(OTHER), &plain)));
    let janitor = world
        .people
        .user(ACCOUNT, "janitor", Some(&allow(r#""kms:RetireGrant""#)));
    assert_eq!(retire(&janitor, &plain), Ok(()));
}

#[test]
fn a_grantee_hands_on_no_more_than_it_holds() {
    use GrantOperation as G;
    let world = World::new();
    let service = world.service();
    let (key, _) = symmetric(&world, &service);
    let [alice, bob] = ["alice", "bob"].map(|name| world.people.user(ACCOUNT, name, None));
    let equals = |pairs| {
        Some(GrantConstraints {
            encryption_context_equals: Some(context(pairs)),
            encryption_context_subset: None,
        })
    };
    let subset = |pairs| {
        Some(GrantConstraints {
            encryption_context_equals: None,
            encryption_context_subset: Some(context(pairs)),
        })
    };
    grant(
        &service,
        CreateGrantInput {
            operations: vec![G::Decrypt, G::CreateGrant],
            constraints: subset(&[("a", "1")]),
            ..grant_input(&key, &alice.principal.arn())
        },
    );
    let hand_on = |operations: &[G], constraints| {
        let input = CreateGrantInput {
            operations: operations.to_vec(),
            constraints,
            ..grant_input(&key, &bob.principal.arn())
        };
        service.create_grant(&alice, input).map(drop)
    };
    for constraints in [
        None,
        subset(&[("b", "1")]),
        subset(&[("a", "2")]),
        equals(&[]),
    ] {
        assert!(denied(hand_on(&[G::Decrypt], constraints)));
    }
    for more in [&[G::Encrypt][..], &[G::Decrypt, G::GenerateDataKey]] {
        assert!(denied(hand_on(more, subset(&[("a", "1")]))));
    }
    assert_eq!(hand_on(&[G::Decrypt], subset(&[("a", "1")])), Ok(()));
    assert_eq!(
        hand_on(
            &[G::Decrypt, G::CreateGrant],
            equals(&[("a", "1"), ("b", "2")])
        ),
        Ok(())
    );
    // What bob has he hands on by the same rule, and only that.
    let input = |constraints| CreateGrantInput {
        constraints,
        ..grant_input(&key, &alice.principal.arn())
    };
    assert!(denied(
        service.create_grant(&bob, input(subset(&[("a", "1")])))
    ));
    assert!(denied(service.create_grant(&bob, input(None))));
    let same = equals(&[("a", "1"), ("b", "2")]);
    assert!(service.create_grant(&bob, input(same)).is_ok());
}

/// W8: nobody has both halves but who shall.
#[test]
fn the_roles_of_a_key_are_apart() {
    let world = World::new();
    let service = world.service();
    let (key, ciphertext) = symmetric(&world, &service);
    let storage_admin = world
        .people
        .user(ACCOUNT, "storage", Some(&allow(r#""s3:*""#)));
    let key_admin = world.people.user(ACCOUNT, "keys", None);
    let application = format!(
        r#"{{"Statement":{{"Effect":"Allow","Action":["kms:Decrypt","kms:GenerateDataKey"],
        "Resource":"{key}","Condition":{{"StringEquals":
        {{"kms:ViaService":"s3.us-east-1.amazonaws.com"}}}}}}}}"#
    );
    let application = world.people.user(ACCOUNT, "app", Some(&application));
    let policy = POLICY.replace(
        "}]}",
        &format!(
            r#"}},{{"Effect":"Allow","Principal":{{"AWS":"{}"}},"Action":["kms:Describe*","kms:Put*","kms:Enable*","kms:Disable*","kms:ScheduleKeyDeletion"],"Resource":"*"}}]}}"#,
            key_admin.principal.arn()
        ),
    );
    let put = |caller: &RequestContext, policy: &str| {
        let input = PutKeyPolicyInput {
            key_id: key.to_string(),
            policy_name: None,
            policy: policy.to_owned(),
            bypass_policy_lockout_safety_check: false,
        };
        service.put_key_policy(caller, input)
    };
    put(&root(), &policy).unwrap();
    let reference = KeyReference::Named(key.to_string());
    let pairs = context(&[("aws:s3:arn", "arn:aws:s3:::b/k")]);
    let through_s3 = |caller: &RequestContext| {
        let caller = RequestContext {
            via_service: via_s3().via_service,
            ..caller.clone()
        };
        let made = KeyAuthority::generate_data_key(&service, &caller, &reference, &pairs);
        let uses = [KeyUse::Decrypt, KeyUse::GenerateDataKey];
        let leases = uses.map(|it| service.authorize(&caller, &reference, it, &pairs).is_ok());
        assert_eq!(leases, [made.is_ok(); 2]);
        made.is_ok()
    };
    let who = [&storage_admin, &key_admin, &application];
    assert_eq!(who.map(through_s3), [false, false, true]);
    assert_eq!(
        who.map(|it| decrypts(&service, it, &ciphertext)),
        [false; 3]
    );
    // A key administrator can give itself the right only by the policy, which is seen; the others
    // cannot at all.
    let everybody = policy.replace("kms:Describe*", "kms:Decrypt");
    assert!(denied(put(&storage_admin, &everybody)));
    assert!(denied(put(&application, &everybody)));
    for who in [&storage_admin, &key_admin, &application] {
        let input = grant_input(&key, &who.principal.arn());
        assert!(denied(service.create_grant(who, input)));
    }
    let disable = |caller: &RequestContext| {
        let key_id = key.to_string();
        service.disable_key(caller, DisableKeyInput { key_id })
    };
    assert!(denied(disable(&storage_admin)) && denied(disable(&application)));
    disable(&key_admin).unwrap();
    assert!(!through_s3(&application));
}

#[test]
fn whoever_lacks_a_right_learns_why_at_home_and_nothing_abroad() {
    let world = World::new();
    let service = world.service();
    let (key, ciphertext) = symmetric(&world, &service);
    let alice = world.people.user(ACCOUNT, "alice", None);
    let eve = world.people.user(OTHER, "eve", Some(&allow(r#""kms:*""#)));
    let arn = alice.principal.arn();
    let at_home = |why: &str| {
        format!("User: {arn} is not authorized to perform: kms:Decrypt on resource: {key} {why}")
    };
    assert_eq!(
        text(decrypt_as(&service, &alice, &ciphertext)),
        at_home("because no identity-based policy allows the kms:Decrypt action")
    );
    let deny = POLICY.replace(
        "}]}",
        r#"},{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*"}]}"#,
    );
    world.change(&key, |key| key.policy = KeyPolicy::of_accounts(deny));
    assert_eq!(
        text(decrypt_as(&service, &alice, &ciphertext)),
        at_home("with an explicit deny in a resource-based policy")
    );
    let nobody = POLICY.replace(ACCOUNT, "777788889999");
    world.change(&key, |key| key.policy = KeyPolicy::of_accounts(nobody));
    assert_eq!(
        text(decrypt_as(&service, &alice, &ciphertext)),
        at_home("because no resource-based policy allows the kms:Decrypt action")
    );
    assert_eq!(
        text(decrypt_as(&service, &eve, &ciphertext)),
        "The ciphertext refers to a customer master key that does not exist, does not exist in \
         this region, or you are not allowed to access."
    );
    // A key of another account that is not there answers alike.
    let absent = KeyArn {
        id: strongroom_types::kms::KeyId::from_bytes([7; 16]),
        ..key.clone()
    };
    let described = |key: &KeyArn| {
        let input = DescribeKeyInput {
            key_id: key.to_string(),
            grant_tokens: Vec::new(),
        };
        text(service.describe_key(&eve, input)).replace(&key.to_string(), "KEY")
    };
    assert_eq!(described(&key), described(&absent));
}

#[test]
fn what_was_granted_is_gone_with_the_next_request() {
    let world = World::new();
    let service = world.service();
    let (key, ciphertext) = symmetric(&world, &service);
    let allowed = allow(r#""kms:Decrypt""#);
    let alice = world.people.user(ACCOUNT, "alice", Some(&allowed));
    assert!(decrypts(&service, &alice, &ciphertext));
    world.people.delete(&alice.principal.arn());
    assert!(!decrypts(&service, &alice, &ciphertext));
    let alice = world.people.user(ACCOUNT, "alice", Some(&allowed));
    assert!(decrypts(&service, &alice, &ciphertext));
    let narrow = POLICY.replace("kms:*", "kms:Put*");
    world.change(&key, |key| key.policy = KeyPolicy::of_accounts(narrow));
    assert!(!decrypts(&service, &alice, &ciphertext));
}

#[test]
fn nobody_without_an_account_uses_a_key() {
    let world = World::new();
    let service = world.service();
    let (key, _) = symmetric(&world, &service);
    let everybody = POLICY.replace("arn:aws:iam::111122223333:root", "*");
    world.change(&key, |key| key.policy = KeyPolicy::of_accounts(everybody));
    let anonymous = RequestContext {
        principal: strongroom_types::Principal::Anonymous,
        ..via_s3()
    };
    let reference = KeyReference::Named(key.to_string());
    let pairs = context(&[]);
    for key_use in [KeyUse::Decrypt, KeyUse::GenerateDataKey] {
        assert!(matches!(
            service.authorize(&anonymous, &reference, key_use, &pairs),
            Err(KeyError::AccessDenied(_))
        ));
    }
}

#[test]
fn an_alias_is_made_moved_and_deleted_by_who_may_on_both_sides() {
    let world = World::new();
    let service = world.service();
    let (first, second) = (world.symmetric(), world.symmetric());
    let on = |resources: &[String]| {
        let resources = resources.join("\",\"");
        let text = format!(
            r#"{{"Statement":{{"Effect":"Allow","Action":["kms:CreateAlias","kms:UpdateAlias","kms:DeleteAlias"],"Resource":["{resources}"]}}}}"#
        );
        world.people.user(ACCOUNT, "u", Some(&text))
    };
    let name = format!("arn:aws:kms:us-east-1:{ACCOUNT}:alias/a");
    let (first_arn, second_arn) = (first.to_string(), second.to_string());
    let create = |caller: &RequestContext| {
        let input = CreateAliasInput {
            alias_name: "alias/a".to_owned(),
            target_key_id: first_arn.clone(),
        };
        service.create_alias(caller, input)
    };
    let update = |caller: &RequestContext| {
        let input = crate::UpdateAliasInput {
            alias_name: "alias/a".to_owned(),
            target_key_id: second_arn.clone(),
        };
        service.update_alias(caller, input)
    };
    let delete = |caller: &RequestContext| {
        let alias_name = "alias/a".to_owned();
        service.delete_alias(caller, crate::DeleteAliasInput { alias_name })
    };
    assert!(denied(create(&on(std::slice::from_ref(&name)))));
    assert!(denied(create(&on(std::slice::from_ref(&first_arn)))));
    assert_eq!(create(&on(&[name.clone(), first_arn.clone()])), Ok(()));
    // Away from one key and to the other.
    assert!(denied(update(&on(&[name.clone(), first_arn.clone()]))));
    assert!(denied(update(&on(&[name.clone(), second_arn.clone()]))));
    assert!(denied(update(&on(&[
        first_arn.clone(),
        second_arn.clone()
    ]))));
    let all = [name.clone(), first_arn.clone(), second_arn.clone()];
    assert_eq!(update(&on(&all)), Ok(()));
    assert!(denied(delete(&on(&[name.clone(), first_arn.clone()]))));
    assert!(denied(delete(&on(std::slice::from_ref(&second_arn)))));
    assert_eq!(delete(&on(&[name, second_arn])), Ok(()));
}

#[test]
fn an_alias_of_another_account_is_decided_as_the_request_is() {
    let world = World::new();
    let service = world.service();
    let (key, _) = symmetric(&world, &service);
    alias(&service, "alias/a", &key).unwrap();
    let eve = world.people.user(OTHER, "eve", Some(&allow(r#""kms:*""#)));
    let policy = POLICY.replace(
        "}]}",
        &format!(
            r#"}},{{"Effect":"Allow","Principal":{{"AWS":"{OTHER}"}},"Action":"kms:Encrypt","Resource":"*","Condition":{{"StringEquals":{{"kms:EncryptionContext:a":"1"}}}}}}]}}"#
        ),
    );
    world.change(&key, |key| key.policy = KeyPolicy::of_accounts(policy));
    let encrypt_as = |alias: &str, pairs: &[(&str, &str)]| {
        let key_id = format!("arn:aws:kms:us-east-1:{ACCOUNT}:alias/{alias}");
        let outcome = service.encrypt(&eve, encrypt_input(&key_id, b"x", &context(pairs)));
        text(outcome.map(drop)).replace(&key_id, "ALIAS")
    };
    assert_eq!(encrypt_as("a", &[("a", "1")]), "ok");
    let refused = encrypt_as("a", &[("a", "2")]);
    assert!(
        refused.contains("ALIAS") && !refused.contains(&key.to_string()),
        "{refused}"
    );
    assert_eq!(encrypt_as("absent", &[("a", "1")]), refused);
}
