//! What each canned list gives to whom, and objects of another account than their bucket's (S3 User
//! Guide, "Access control list (ACL) overview", "How Amazon S3 authorizes a request for an object
//! operation").

use crate::cases::{Case, Lists, OTHER, OWNER, root, service, user};
use strongroom_policy::{AllowedBy, Layer, Outcome};
use strongroom_types::{
    Acl, AclGrant, AclGroup, AclPermission, CannedAcl, CanonicalId, Grantee, Principal,
};

const ALLOW_ALL: &str = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
const ALLOW_EVERYBODY: &str = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
const DENY_EVERYBODY: &str = r#"{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}"#;

fn canonical(account: &str) -> CanonicalId {
    let digit = account.chars().next().unwrap().to_string();
    CanonicalId::parse(&digit.repeat(64)).unwrap()
}

fn ask(principal: Principal, action: &str, lists: &Lists) -> Case {
    let is_of_bucket = action.contains("Bucket");
    let resource = if is_of_bucket {
        "arn:aws:s3:::b"
    } else {
        "arn:aws:s3:::b/k"
    };
    let mut case = Case::new(principal, action, resource);
    let account = case.principal.account();
    case.canonical_id = account.map(|it| canonical(it.as_str()).as_str().to_owned());
    case.acls = Some(lists.clone());
    case
}

/// A bucket of the owner with an object of `object_owner`.
fn lists(bucket: CannedAcl, object: CannedAcl, object_owner: &str) -> Lists {
    let owner = canonical(OWNER);
    Lists {
        bucket: Acl::canned(bucket, owner.clone(), &owner),
        object: Some(Acl::canned(object, canonical(object_owner), &owner)),
        ignores_public: false,
    }
}

const BUCKET_ACTIONS: &[&str] = &[
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:ListBucketMultipartUploads",
    "s3:PutObject",
    "s3:GetBucketAcl",
    "s3:PutBucketAcl",
    "s3:DeleteObject",
    "s3:DeleteBucket",
    "s3:GetBucketPolicy",
    "s3:PutBucketPolicy",
];
const OBJECT_ACTIONS: &[&str] = &[
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:GetObjectAcl",
    "s3:GetObjectVersionAcl",
    "s3:PutObjectAcl",
    "s3:PutObjectVersionAcl",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:GetObjectTagging",
    "s3:PutObjectTagging",
];

const LIST: &[&str] = &[
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:ListBucketMultipartUploads",
];
const LIST_AND_PUT: &[&str] = &[
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:ListBucketMultipartUploads",
    "s3:PutObject",
];
const GET: &[&str] = &["s3:GetObject", "s3:GetObjectVersion"];

#[test]
fn each_canned_list_gives_each_caller_what_aws_says() {
    use CannedAcl as C;
    // The list; what of a bucket the other account may, and nobody known; the same of an object.
    for (canned, bucket_other, bucket_anyone, object_other, object_anyone) in [
        (C::Private, &[][..], &[][..], &[][..], &[][..]),
        (C::PublicRead, LIST, LIST, GET, GET),
        (C::PublicReadWrite, LIST_AND_PUT, LIST_AND_PUT, GET, GET),
        (C::AwsExecRead, &[], &[], &[], &[]),
        (C::AuthenticatedRead, LIST, &[], GET, &[]),
        (C::BucketOwnerRead, &[], &[], &[], &[]),
        (C::BucketOwnerFullControl, &[], &[], &[], &[]),
        (C::LogDeliveryWrite, &[], &[], &[], &[]),
    ] {
        let of_bucket = lists(canned, C::Private, OWNER);
        let of_object = lists(C::Private, canned, OWNER);
        for (actions, lists, other, anyone) in [
            (BUCKET_ACTIONS, &of_bucket, bucket_other, bucket_anyone),
            (OBJECT_ACTIONS, &of_object, object_other, object_anyone),
        ] {
            for action in actions {
                let what = format!("{canned:?} {action}");
                assert!(ask(root(OWNER), action, lists).is_allowed(), "{what}");
                let stranger = ask(root(OTHER), action, lists);
                assert_eq!(stranger.is_allowed(), other.contains(action), "{what}");
                // The other account's users need its leave as well.
                let bob = ask(user(OTHER, "bob"), action, lists);
                assert!(!bob.is_allowed(), "{what}");
                let bob = bob.identity(&[ALLOW_ALL]);
                assert_eq!(bob.is_allowed(), other.contains(action), "{what}");
                let anonymous = ask(Principal::Anonymous, action, lists);
                assert_eq!(anonymous.is_allowed(), anyone.contains(action), "{what}");
                // Grants to everybody reach the owner's own users too; to every account, they are
                // the account's to hand on.
                let alice = ask(user(OWNER, "alice"), action, lists);
                let deletes_own = anyone == LIST_AND_PUT && *action == "s3:DeleteObject";
                let expected = anyone.contains(action) || deletes_own;
                assert_eq!(alice.is_allowed(), expected, "{what}");
                // Nothing of it holds where public grants are ignored, or against a Deny.
                let mut ignoring = lists.clone();
                ignoring.ignores_public = true;
                for principal in [root(OTHER), Principal::Anonymous] {
                    let ignored = ask(principal.clone(), action, &ignoring);
                    assert!(!ignored.is_allowed(), "{what}");
                    let denied = ask(principal, action, lists).resource_policy(&[DENY_EVERYBODY]);
                    assert_eq!(
                        denied.decide().outcome,
                        Outcome::ExplicitlyDenied(Layer::Resource),
                        "{what}"
                    );
                }
            }
        }
    }
}

#[test]
fn each_permission_to_an_account_allows_its_actions_and_no_others() {
    use AclPermission as P;
    let with = |permission| {
        let grants = vec![AclGrant::to_account(canonical(OTHER), permission)];
        let acl = Acl::new(canonical(OWNER), grants).unwrap();
        Lists {
            bucket: acl.clone(),
            object: Some(acl),
            ignores_public: true,
        }
    };
    for (permission, expected) in [
        (P::Read, [LIST, GET].concat()),
        (P::Write, vec!["s3:PutObject"]),
        (
            P::ReadAcp,
            vec![
                "s3:GetBucketAcl",
                "s3:GetObjectAcl",
                "s3:GetObjectVersionAcl",
            ],
        ),
        (
            P::WriteAcp,
            vec![
                "s3:PutBucketAcl",
                "s3:PutObjectAcl",
                "s3:PutObjectVersionAcl",
            ],
        ),
    ] {
        for action in [BUCKET_ACTIONS, OBJECT_ACTIONS].concat() {
            let granted = ask(root(OTHER), action, &with(permission));
            let what = format!("{permission:?} {action}");
            assert_eq!(granted.is_allowed(), expected.contains(&action), "{what}");
            let full = ask(root(OTHER), action, &with(P::FullControl));
            assert!(!granted.is_allowed() || full.is_allowed(), "{what}");
            assert!(!ask(Principal::Anonymous, action, &with(permission)).is_allowed());
        }
    }
    let granted = ask(root(OTHER), "s3:GetObject", &with(P::Read)).decide();
    assert_eq!(granted.outcome, Outcome::Allowed(AllowedBy::Acl));
    let [line] = granted.matched.as_slice() else {
        panic!("{granted:?}");
    };
    assert_eq!(
        (line.layer, &*line.policy, line.index, line.sid.as_deref()),
        (Layer::Acl, canonical(OTHER).as_str(), 0, Some("READ"))
    );
}

#[test]
fn who_may_write_deletes_only_what_is_its_own() {
    for (object_owner, expected) in [(OTHER, true), (OWNER, false)] {
        let lists = lists(CannedAcl::PublicReadWrite, CannedAcl::Private, object_owner);
        let delete = |principal, action| ask(principal, action, &lists).is_allowed();
        assert_eq!(delete(root(OTHER), "s3:DeleteObject"), expected);
        assert!(!delete(root(OTHER), "s3:DeleteObjectVersion"));
        assert!(!delete(Principal::Anonymous, "s3:DeleteObject"));
        assert!(delete(root(OWNER), "s3:DeleteObject"));
        assert!(delete(root(OWNER), "s3:DeleteObjectVersion"));
    }
}

#[test]
fn an_object_of_another_account_is_that_accounts() {
    let private = lists(CannedAcl::Private, CannedAcl::Private, OTHER);
    for action in ["s3:GetObject", "s3:GetObjectAcl", "s3:PutObjectVersionAcl"] {
        // Its owner needs no leave of the bucket's, and its users only that of their account.
        assert!(ask(root(OTHER), action, &private).is_allowed());
        let bob = ask(user(OTHER, "bob"), action, &private);
        assert!(!bob.is_allowed());
        assert!(bob.identity(&[ALLOW_ALL]).is_allowed());
        // The bucket's account has no part in it, whatever its policy allows to whom.
        for principal in [root(OWNER), user(OWNER, "alice"), Principal::Anonymous] {
            let case = ask(principal, action, &private)
                .identity(&[ALLOW_ALL])
                .resource_policy(&[ALLOW_EVERYBODY]);
            assert_eq!(
                case.decide().outcome,
                Outcome::ImplicitlyDenied(Layer::Resource),
                "{action}"
            );
        }
        // But it may deny.
        let denied = ask(root(OTHER), action, &private).resource_policy(&[DENY_EVERYBODY]);
        assert!(!denied.is_allowed());
        let shared = lists(CannedAcl::Private, CannedAcl::BucketOwnerFullControl, OTHER);
        let by_acl = ask(root(OWNER), action, &shared).decide();
        assert_eq!(by_acl.outcome, Outcome::Allowed(AllowedBy::Acl), "{action}");
        let alice = ask(user(OWNER, "alice"), action, &shared);
        assert!(!alice.is_allowed());
        assert!(alice.identity(&[ALLOW_ALL]).is_allowed());
    }
    // What is not about the object's content or list is the bucket's.
    for action in ["s3:DeleteObject", "s3:GetObjectTagging", "s3:PutObject"] {
        assert!(ask(root(OWNER), action, &private).is_allowed(), "{action}");
        assert!(!ask(root(OTHER), action, &private).is_allowed(), "{action}");
    }
}

#[test]
fn logs_are_delivered_by_the_log_service_alone() {
    let lists = lists(CannedAcl::LogDeliveryWrite, CannedAcl::Private, OWNER);
    let may = |name, action| ask(service(name), action, &lists).is_allowed();
    assert!(may("logging.s3.amazonaws.com", "s3:PutObject"));
    assert!(may("logging.s3.amazonaws.com", "s3:GetBucketAcl"));
    assert!(!may("logging.s3.amazonaws.com", "s3:ListBucket"));
    assert!(!may("s3.amazonaws.com", "s3:PutObject"));
}

#[test]
fn lists_say_nothing_of_keys_and_identities() {
    let everybody = AclGrant {
        grantee: Grantee::Group(AclGroup::AllUsers),
        permission: AclPermission::FullControl,
    };
    let acl = Acl::new(canonical(OWNER), vec![everybody]).unwrap();
    let lists = Lists {
        bucket: acl.clone(),
        object: Some(acl),
        ignores_public: false,
    };
    for action in ["kms:GetObject", "iam:PutObject", "GetObject", "s3:"] {
        assert!(!ask(Principal::Anonymous, action, &lists).is_allowed());
    }
}
