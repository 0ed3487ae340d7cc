//! Access control lists and object ownership: what is stored, what counts, and who gets in by it.

use std::sync::Arc;

use strongroom_policy::actions::{
    DeleteObject, GetBucketAcl, GetBucketOwnershipControls, GetObject, GetObjectAcl,
    GetObjectTagging, ListBucket, PutBucketAcl, PutBucketOwnershipControls,
    PutBucketPublicAccessBlock, PutObject, PutObjectAcl, PutObjectTagging,
};
use strongroom_policy::{
    Action, ActionOnVersion, IdentityPolicies, NamedPolicy, Policy, PolicyAuthorizer,
    PrincipalDirectory, PrincipalPolicies, Unreadable,
};
use strongroom_s3::{
    AclRefusal, CompleteMultipartUploadInput, CompletedPart, CopyObjectInput, CopySource,
    CreateBucketInput, CreateMultipartUploadInput, DeleteObjectInput, Entry, GetObjectInput,
    ListObjectsInput, MetadataDirective, PublicAccessBlock, PutObjectInput, ReadConditions,
    S3Error, TaggingDirective, UploadPartInput, Versioning, WantedAcl, WriteConditions,
};
use strongroom_sse::{CustomerHeaders, SseHeaders};
use strongroom_types::limits::ACL_GRANTS_MAX;
use strongroom_types::{
    AccountId, Acl, AclGrant, AclGroup, AclPermission, BucketName, CannedAcl, CanonicalId, Grantee,
    ObjectOwnership, PartNumber, Principal, RequestContext, TagSet, VersionId,
};

use crate::support::{Fixture, Pieces, bucket, context, object_key};

const STRANGERS: &str = "222222222222";

fn owner() -> CanonicalId {
    CanonicalId::parse(&"ab".repeat(32)).unwrap()
}

fn strangers() -> CanonicalId {
    CanonicalId::parse(&"cd".repeat(32)).unwrap()
}

/// Knows the two accounts.
struct TwoAccounts;

impl PrincipalDirectory for TwoAccounts {
    fn pin(&self, _: &str) -> Result<Option<String>, Unreadable> {
        Ok(None)
    }

    fn account_of(&self, id: &CanonicalId) -> Result<Option<AccountId>, Unreadable> {
        let known = [(owner(), "111111111111"), (strangers(), STRANGERS)];
        let found = known.into_iter().find(|(known, _)| known == id);
        Ok(found.map(|(_, account)| AccountId::parse(account).unwrap()))
    }

    fn canonical_id_of(&self, _: AccountId) -> Result<Option<CanonicalId>, Unreadable> {
        Ok(None)
    }
}

/// Users may write objects, and nothing else.
struct Writers;

impl IdentityPolicies for Writers {
    fn policies_of(&self, context: &RequestContext) -> Result<PrincipalPolicies, Unreadable> {
        let mut policies = PrincipalPolicies::default();
        if matches!(context.principal, Principal::User { .. }) {
            let text = r#"{"Statement":{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}}"#;
            policies.identity.push(NamedPolicy {
                name: "write".into(),
                policy: Arc::new(Policy::parse(text).unwrap()),
            });
        }
        Ok(policies)
    }
}

fn fixture(ownership: ObjectOwnership) -> Fixture {
    let authorizer = PolicyAuthorizer::new(Arc::new(Writers));
    let f = Fixture::deciding(Arc::new(authorizer), Arc::new(TwoAccounts));
    set_ownership(&f, ownership).unwrap();
    f
}

fn asking(principal: Principal, id: Option<CanonicalId>) -> Arc<RequestContext> {
    let mut asking = (*context()).clone();
    asking.principal = principal;
    asking.canonical_id = id;
    Arc::new(asking)
}

fn stranger() -> Arc<RequestContext> {
    let account = AccountId::parse(STRANGERS).unwrap();
    asking(Principal::Root { account }, Some(strangers()))
}

fn anyone() -> Arc<RequestContext> {
    asking(Principal::Anonymous, None)
}

fn enter<A: Action>(f: &Fixture, by: Arc<RequestContext>) -> Result<Entry<A>, S3Error> {
    f.service.enter_bucket(by, &bucket(), None)
}

fn reach<A: ActionOnVersion>(
    f: &Fixture,
    by: Arc<RequestContext>,
    key: &str,
    version: Option<VersionId>,
) -> Result<Entry<A>, S3Error> {
    f.service
        .enter_version(by, &bucket(), &object_key(key), version, None)
}

fn set_ownership(f: &Fixture, ownership: ObjectOwnership) -> Result<(), S3Error> {
    let entry = enter::<PutBucketOwnershipControls>(f, context())?;
    f.service.put_bucket_ownership_controls(entry, ownership)
}

fn set_block(f: &Fixture, block: Option<PublicAccessBlock>) {
    let entry = enter::<PutBucketPublicAccessBlock>(f, context()).unwrap();
    f.service.put_public_access_block(entry, block).unwrap();
}

fn set_bucket_acl(f: &Fixture, wanted: WantedAcl) -> Result<(), S3Error> {
    let entry = enter::<PutBucketAcl>(f, context())?;
    f.service.put_bucket_acl(entry, wanted)
}

fn bucket_acl(f: &Fixture) -> Acl {
    let entry = enter::<GetBucketAcl>(f, context()).unwrap();
    f.service.get_bucket_acl(entry).unwrap()
}

fn put(
    f: &Fixture,
    by: Arc<RequestContext>,
    key: &str,
    acl: WantedAcl,
) -> Result<Option<VersionId>, S3Error> {
    let entry = f
        .service
        .enter_object::<PutObject>(by, &bucket(), &object_key(key), None)?;
    let body = b"body";
    let input = PutObjectInput {
        content_length: 4,
        acl,
        ..PutObjectInput::default()
    };
    let putting = f
        .service
        .put_object(entry, input, Box::pin(Pieces::of(body)));
    f.runtime.block_on(putting).map(|output| output.version)
}

fn get(f: &Fixture, by: Arc<RequestContext>, key: &str) -> Result<(), S3Error> {
    let entry = reach::<GetObject>(f, by, key, None)?;
    f.service
        .describe_object(&entry, &GetObjectInput::default())
        .wait()
        .map(|_| ())
}

fn object_acl(
    f: &Fixture,
    by: Arc<RequestContext>,
    key: &str,
    version: Option<VersionId>,
) -> Result<Acl, S3Error> {
    let entry = reach::<GetObjectAcl>(f, by, key, version)?;
    Ok(f.service.get_object_acl(entry, version)?.0)
}

fn set_object_acl(
    f: &Fixture,
    by: Arc<RequestContext>,
    key: &str,
    version: Option<VersionId>,
    wanted: WantedAcl,
) -> Result<(), S3Error> {
    let entry = reach::<PutObjectAcl>(f, by, key, version)?;
    f.service.put_object_acl(entry, version, wanted).map(|_| ())
}

fn to_strangers(permission: AclPermission) -> AclGrant {
    AclGrant::to_account(strangers(), permission)
}

fn is_denied<T>(outcome: Result<T, S3Error>) -> bool {
    matches!(outcome, Err(S3Error::AccessDenied(_)))
}

fn canned(canned: CannedAcl) -> WantedAcl {
    WantedAcl::Canned(canned)
}

fn owners_document() -> WantedAcl {
    WantedAcl::Document {
        owner: owner(),
        grants: Acl::private(owner()).grants().to_vec(),
    }
}

#[test]
fn where_lists_do_not_count_only_what_holds_anyway_may_be_said() {
    let f = fixture(ObjectOwnership::BucketOwnerEnforced);
    let not_supported = || Err(S3Error::Acl(AclRefusal::NotSupported));
    let full = |id| AclGrant::to_account(id, AclPermission::FullControl);
    for (wanted, on_write, on_acl) in [
        (canned(CannedAcl::Private), true, false),
        (canned(CannedAcl::BucketOwnerFullControl), true, true),
        (owners_document(), true, true),
        (WantedAcl::Grants(vec![full(owner())]), true, true),
        (WantedAcl::Grants(vec![full(strangers())]), false, false),
        (WantedAcl::Grants(Vec::new()), false, false),
        (canned(CannedAcl::PublicRead), false, false),
        (canned(CannedAcl::AuthenticatedRead), false, false),
        (canned(CannedAcl::BucketOwnerRead), false, false),
        (canned(CannedAcl::LogDeliveryWrite), false, false),
    ] {
        let ok = |yes: bool| if yes { Ok(()) } else { not_supported() };
        let written = put(&f, context(), "k", wanted.clone()).map(|_| ());
        assert_eq!(written, ok(on_write), "{wanted:?}");
        put(&f, context(), "k", WantedAcl::Unspecified).unwrap();
        assert_eq!(set_bucket_acl(&f, wanted.clone()), ok(on_acl), "{wanted:?}");
        let set = set_object_acl(&f, context(), "k", None, wanted.clone());
        assert_eq!(set, ok(on_acl), "{wanted:?}");
        assert_eq!(bucket_acl(&f), Acl::private(owner()));
        let shown = object_acl(&f, context(), "k", None).unwrap();
        assert_eq!(shown, Acl::private(owner()));
    }
}

#[test]
fn ownership_controls_are_enforced_at_first_and_can_be_changed_and_removed() {
    let f = fixture(ObjectOwnership::default());
    let controls = || {
        let entry = enter::<GetBucketOwnershipControls>(&f, context()).unwrap();
        f.service.get_bucket_ownership_controls(entry)
    };
    assert_eq!(controls(), Ok(ObjectOwnership::BucketOwnerEnforced));
    for ownership in ObjectOwnership::ALL {
        set_ownership(&f, ownership).unwrap();
        assert_eq!(controls(), Ok(ownership));
    }
    let entry = enter::<PutBucketOwnershipControls>(&f, context()).unwrap();
    f.service.delete_bucket_ownership_controls(entry).unwrap();
    assert_eq!(
        controls(),
        Err(S3Error::Acl(AclRefusal::NoOwnershipControls))
    );
    // Without controls lists count, as they did before there were controls.
    let shared = WantedAcl::Grants(vec![to_strangers(AclPermission::Read)]);
    set_bucket_acl(&f, shared).unwrap();
    assert!(enter::<ListBucket>(&f, stranger()).is_ok());
    // What others have by the bucket's list is not taken from them unseen.
    assert_eq!(
        set_ownership(&f, ObjectOwnership::BucketOwnerEnforced),
        Err(S3Error::Acl(AclRefusal::ReachesBeyondOwner))
    );
    set_bucket_acl(&f, canned(CannedAcl::Private)).unwrap();
    assert!(is_denied(enter::<ListBucket>(&f, stranger())));
    set_ownership(&f, ObjectOwnership::BucketOwnerEnforced).unwrap();
}

#[test]
fn who_writes_owns_until_the_buckets_owner_is_to_own_all() {
    let f = fixture(ObjectOwnership::ObjectWriter);
    assert!(is_denied(put(&f, stranger(), "k", WantedAcl::Unspecified)));
    let write = WantedAcl::Grants(vec![to_strangers(AclPermission::Write)]);
    set_bucket_acl(&f, write).unwrap();
    put(&f, stranger(), "k", WantedAcl::Unspecified).unwrap();
    let owner_of = || {
        let entry = enter::<ListBucket>(&f, context()).unwrap();
        let input = ListObjectsInput {
            max_keys: 10,
            ..ListObjectsInput::default()
        };
        let listed = f.service.list_objects(entry, input).unwrap();
        listed.objects.into_iter().next().unwrap().owner
    };
    assert_eq!(owner_of(), strangers());
    get(&f, stranger(), "k").unwrap();
    assert!(is_denied(get(&f, context(), "k")));
    assert!(is_denied(object_acl(&f, context(), "k", None)));
    // Not even by taking over the list.
    assert!(is_denied(set_object_acl(
        &f,
        context(),
        "k",
        None,
        canned(CannedAcl::BucketOwnerFullControl)
    )));
    // Under the default, the bucket's owner has it, and its writer no longer.
    set_bucket_acl(&f, canned(CannedAcl::Private)).unwrap();
    set_ownership(&f, ObjectOwnership::BucketOwnerEnforced).unwrap();
    assert_eq!(owner_of(), owner());
    get(&f, context(), "k").unwrap();
    assert!(is_denied(get(&f, stranger(), "k")));
    // Back again, what was is what is.
    set_ownership(&f, ObjectOwnership::BucketOwnerPreferred).unwrap();
    assert_eq!(owner_of(), strangers());
    assert!(is_denied(get(&f, context(), "k")));
    set_object_acl(
        &f,
        stranger(),
        "k",
        None,
        canned(CannedAcl::BucketOwnerFullControl),
    )
    .unwrap();
    get(&f, context(), "k").unwrap();
    // The bucket's owner may always delete, and who may write only what is its own.
    let delete = |by, key| {
        let entry = reach::<DeleteObject>(&f, by, key, None)?;
        f.service
            .delete_object(entry, DeleteObjectInput::default())
            .map(|_| ())
    };
    assert!(is_denied(delete(stranger(), "k")));
    delete(context(), "k").unwrap();
    set_bucket_acl(
        &f,
        WantedAcl::Grants(vec![to_strangers(AclPermission::Write)]),
    )
    .unwrap();
    put(&f, context(), "ours", WantedAcl::Unspecified).unwrap();
    put(&f, stranger(), "theirs", WantedAcl::Unspecified).unwrap();
    assert!(is_denied(delete(stranger(), "ours")));
    delete(stranger(), "theirs").unwrap();
}

#[test]
fn preferred_is_the_buckets_owner_for_what_comes_with_its_full_control() {
    let f = fixture(ObjectOwnership::BucketOwnerPreferred);
    let write = WantedAcl::Grants(vec![to_strangers(AclPermission::Write)]);
    set_bucket_acl(&f, write).unwrap();
    let full = canned(CannedAcl::BucketOwnerFullControl);
    put(&f, stranger(), "given", full.clone()).unwrap();
    let acl = object_acl(&f, context(), "given", None).unwrap();
    assert_eq!(acl, Acl::private(owner()));
    assert!(is_denied(get(&f, stranger(), "given")));
    put(&f, stranger(), "kept", canned(CannedAcl::BucketOwnerRead)).unwrap();
    let acl = object_acl(&f, stranger(), "kept", None).unwrap();
    assert_eq!(acl.owner, strangers());
    get(&f, context(), "kept").unwrap();
    assert!(is_denied(object_acl(&f, context(), "kept", None)));
    put(&f, context(), "own", full).unwrap();
    let acl = object_acl(&f, context(), "own", None).unwrap();
    assert_eq!(acl, Acl::private(owner()));
}

#[test]
fn public_lists_are_blocked_and_ignored_as_the_bucket_says() {
    let f = fixture(ObjectOwnership::ObjectWriter);
    let public = canned(CannedAcl::PublicRead);
    assert!(is_denied(put(&f, context(), "k", public.clone())));
    assert!(is_denied(set_bucket_acl(&f, public.clone())));
    set_block(&f, None);
    put(&f, context(), "k", public.clone()).unwrap();
    set_bucket_acl(&f, public.clone()).unwrap();
    get(&f, anyone(), "k").unwrap();
    get(&f, stranger(), "k").unwrap();
    assert!(enter::<ListBucket>(&f, anyone()).is_ok());
    assert!(is_denied(put(&f, anyone(), "k", WantedAcl::Unspecified)));
    set_block(
        &f,
        Some(PublicAccessBlock {
            ignore_public_acls: true,
            ..PublicAccessBlock::NONE
        }),
    );
    assert!(is_denied(get(&f, anyone(), "k")));
    assert!(is_denied(get(&f, stranger(), "k")));
    assert!(is_denied(enter::<ListBucket>(&f, anyone())));
    // It is still there, and still shown.
    let shown = object_acl(&f, context(), "k", None).unwrap();
    assert!(shown.is_public());
    set_block(&f, None);
    // Nobody's object is the bucket's owner's.
    set_bucket_acl(&f, canned(CannedAcl::PublicReadWrite)).unwrap();
    put(&f, anyone(), "found", WantedAcl::Unspecified).unwrap();
    let found = object_acl(&f, context(), "found", None).unwrap();
    assert_eq!(found, Acl::private(owner()));
    assert!(is_denied(get(&f, anyone(), "found")));
}

#[test]
fn a_list_stays_with_its_version() {
    let f = fixture(ObjectOwnership::ObjectWriter);
    f.set_versioning(Versioning::Enabled);
    let read = WantedAcl::Grants(vec![to_strangers(AclPermission::Read)]);
    let first = put(&f, context(), "k", read.clone()).unwrap();
    get(&f, stranger(), "k").unwrap();
    let second = put(&f, context(), "k", WantedAcl::Unspecified).unwrap();
    assert!(is_denied(get(&f, stranger(), "k")));
    assert!(reach::<GetObject>(&f, stranger(), "k", first).is_ok());
    assert!(is_denied(reach::<GetObject>(&f, stranger(), "k", second)));
    set_object_acl(&f, context(), "k", second, read).unwrap();
    set_object_acl(&f, context(), "k", first, canned(CannedAcl::Private)).unwrap();
    get(&f, stranger(), "k").unwrap();
    assert!(is_denied(reach::<GetObject>(&f, stranger(), "k", first)));
    // Tags are another matter.
    let entry = reach::<PutObjectTagging>(&f, context(), "k", None).unwrap();
    f.service
        .put_object_tagging(entry, None, TagSet::default())
        .unwrap();
    get(&f, stranger(), "k").unwrap();
    assert!(is_denied(reach::<GetObjectTagging>(
        &f,
        stranger(),
        "k",
        None
    )));
    // A copy has its own.
    let source = CopySource {
        bucket: bucket(),
        key: object_key("k"),
        version: None,
        conditions: ReadConditions::default(),
        customer: CustomerHeaders::default(),
    };
    let input = CopyObjectInput {
        metadata: MetadataDirective::Copy,
        tags: TaggingDirective::Copy,
        website_redirect_location: None,
        storage_class_given: false,
        sse: SseHeaders::default(),
        conditions: WriteConditions::default(),
        checksum_algorithm: None,
        acl: WantedAcl::Unspecified,
    };
    let from = reach::<GetObject>(&f, context(), "k", None).unwrap();
    let to = f.entry::<PutObject>("copy");
    f.service.copy_object(from, to, source, input).unwrap();
    assert!(is_denied(get(&f, stranger(), "copy")));
}

#[test]
fn an_upload_has_the_owner_and_the_list_it_was_created_with() {
    let f = fixture(ObjectOwnership::ObjectWriter);
    let write = WantedAcl::Grants(vec![to_strangers(AclPermission::Write)]);
    set_bucket_acl(&f, write).unwrap();
    let enter_as = |by| {
        f.service
            .enter_object::<PutObject>(by, &bucket(), &object_key("k"), None)
            .unwrap()
    };
    let created = f
        .service
        .create_multipart_upload(
            enter_as(stranger()),
            CreateMultipartUploadInput {
                acl: canned(CannedAcl::BucketOwnerRead),
                ..CreateMultipartUploadInput::default()
            },
        )
        .unwrap();
    let part_number = PartNumber::new(1).unwrap();
    let part = UploadPartInput {
        upload: created.upload,
        part_number,
        content_length: 4,
        customer: CustomerHeaders::default(),
        digests: strongroom_s3::ExpectedDigests::default(),
    };
    let uploading =
        f.service
            .upload_part(enter_as(stranger()), part, Box::pin(Pieces::of(b"part")));
    let part = f.runtime.block_on(uploading).unwrap();
    let complete = CompleteMultipartUploadInput {
        upload: created.upload,
        parts: vec![CompletedPart {
            part_number,
            etag: part.etag,
            checksum: None,
        }],
        checksum: None,
        checksum_type: None,
        object_size: None,
        customer: CustomerHeaders::default(),
        conditions: WriteConditions::default(),
    };
    f.service
        .complete_multipart_upload(enter_as(context()), complete)
        .unwrap();
    let acl = object_acl(&f, stranger(), "k", None).unwrap();
    assert_eq!(acl.owner, strangers());
    get(&f, context(), "k").unwrap();
    assert!(is_denied(object_acl(&f, context(), "k", None)));
}

#[test]
fn who_names_a_list_must_be_allowed_to_write_it() {
    let f = fixture(ObjectOwnership::ObjectWriter);
    let alice = || {
        let alice = Principal::User {
            account: AccountId::parse("111111111111").unwrap(),
            user_id: "AIDAALICE".into(),
            path_and_name: "alice".into(),
        };
        asking(alice, Some(owner()))
    };
    put(&f, alice(), "k", WantedAcl::Unspecified).unwrap();
    let read = WantedAcl::Grants(vec![to_strangers(AclPermission::Read)]);
    for wanted in [read, canned(CannedAcl::Private)] {
        assert!(is_denied(put(&f, alice(), "k", wanted.clone())));
        put(&f, context(), "k", wanted).unwrap();
    }
}

#[test]
fn grants_are_to_accounts_that_are_here_and_not_too_many() {
    let f = fixture(ObjectOwnership::ObjectWriter);
    let unknown = CanonicalId::parse(&"ef".repeat(32)).unwrap();
    let grants = vec![AclGrant::to_account(unknown, AclPermission::Read)];
    let refused = set_bucket_acl(&f, WantedAcl::Grants(grants.clone()));
    assert!(matches!(
        refused,
        Err(S3Error::Acl(AclRefusal::NoSuchGrantee { .. }))
    ));
    assert!(put(&f, context(), "k", WantedAcl::Grants(grants)).is_err());
    let many = vec![to_strangers(AclPermission::Read); ACL_GRANTS_MAX + 1];
    assert_eq!(
        set_bucket_acl(&f, WantedAcl::Grants(many)),
        Err(S3Error::Acl(AclRefusal::TooManyGrants))
    );
    // Nobody is given what is another's.
    let others = WantedAcl::Document {
        owner: strangers(),
        grants: Vec::new(),
    };
    assert!(is_denied(set_bucket_acl(&f, others)));
    // The owner needs no grant.
    let none = WantedAcl::Grants(Vec::new());
    set_bucket_acl(&f, none).unwrap();
    assert!(bucket_acl(&f).grants().is_empty());
    assert!(enter::<ListBucket>(&f, context()).is_ok());
}

#[test]
fn an_object_that_was_replaced_since_the_decision_is_not_given_out() {
    let f = fixture(ObjectOwnership::ObjectWriter);
    let read = WantedAcl::Grants(vec![to_strangers(AclPermission::Read)]);
    put(&f, context(), "k", read).unwrap();
    let entered = reach::<GetObject>(&f, stranger(), "k", None).unwrap();
    let missing = reach::<GetObject>(&f, context(), "later", None).unwrap();
    put(&f, context(), "k", WantedAcl::Unspecified).unwrap();
    put(&f, context(), "later", WantedAcl::Unspecified).unwrap();
    for entry in [entered, missing] {
        let answer = f.service.read_object(&entry, &GetObjectInput::default());
        assert_eq!(answer.wait().map(|_| ()), Err(S3Error::Contention));
    }
}

#[test]
fn a_new_bucket_has_the_list_and_the_ownership_it_was_made_with() {
    let f = fixture(ObjectOwnership::default());
    let create = |name: &str, ownership, acl| {
        let name = BucketName::parse(name).unwrap();
        let entry = f.service.enter_new_bucket(context(), &name).unwrap();
        let input = CreateBucketInput {
            name,
            tags: TagSet::default(),
            ownership,
            acl,
        };
        f.service.create_bucket(entry, input)
    };
    let plain = create("plain", None, canned(CannedAcl::Private)).unwrap();
    assert_eq!(
        plain.object_ownership(),
        ObjectOwnership::BucketOwnerEnforced
    );
    let writer = Some(ObjectOwnership::ObjectWriter);
    let shared = WantedAcl::Grants(vec![to_strangers(AclPermission::Read)]);
    let made = create("shared", writer, shared.clone()).unwrap();
    assert_eq!(made.acl().grants(), [to_strangers(AclPermission::Read)]);
    let refusal = |ownership, acl| match create("refused", ownership, acl) {
        Err(S3Error::Acl(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(None, shared), AclRefusal::ReachesBeyondOwner);
    assert_eq!(
        refusal(writer, canned(CannedAcl::PublicRead)),
        AclRefusal::Public
    );
    let to_everybody = AclGrant {
        grantee: Grantee::Group(AclGroup::AuthenticatedUsers),
        permission: AclPermission::Read,
    };
    assert_eq!(
        refusal(None, WantedAcl::Grants(vec![to_everybody])),
        AclRefusal::ReachesBeyondOwner
    );
}
