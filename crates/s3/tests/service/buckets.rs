//! Buckets: names, settings, and what deleting one takes with it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use strongroom_policy::Action;
use strongroom_policy::actions::{
    CreateBucket, DeleteBucket, DeleteObject, GetBucketPolicy, ListAllMyBuckets, PutBucketTagging,
    PutBucketVersioning, PutEncryptionConfiguration, PutObject,
};
use strongroom_ports::Table;
use strongroom_s3::{
    BucketView, CreateBucketInput, CreateMultipartUploadInput, DeleteObjectInput, EncryptionChange,
    Entry, ListBucketsInput, ListBucketsOutput, S3Error, Versioning,
};
use strongroom_sse::SseError;
use strongroom_store::{ConflictRule, MemoryBlobs, MemoryMeta};
use strongroom_types::{
    AccountId, BlockedEncryption, BucketName, CanonicalId, Principal, RequestContext, SseAlgorithm,
    Tag, TagSet,
};

use crate::support::{Fixture, bucket, context, context_from};

fn name(name: &str) -> BucketName {
    BucketName::parse(name).unwrap()
}

fn stranger() -> Arc<RequestContext> {
    let mut context = (*context_from(IpAddr::V4(Ipv4Addr::LOCALHOST))).clone();
    context.principal = Principal::Root {
        account: AccountId::parse("222222222222").unwrap(),
    };
    context.canonical_id = Some(CanonicalId::parse(&"cd".repeat(32)).unwrap());
    Arc::new(context)
}

fn create(f: &Fixture, by: Arc<RequestContext>, bucket: &str) -> Result<BucketView, S3Error> {
    let entry = f.service.enter_account::<CreateBucket>(by).unwrap();
    let input = CreateBucketInput {
        name: name(bucket),
        tags: TagSet::default(),
        ownership: None,
        acl: strongroom_s3::WantedAcl::Unspecified,
    };
    f.service.create_bucket(entry, input)
}

fn list(f: &Fixture, by: Arc<RequestContext>, input: ListBucketsInput) -> ListBucketsOutput {
    let entry = f.service.enter_account::<ListAllMyBuckets>(by).unwrap();
    f.service.list_buckets(entry, input).unwrap()
}

fn entry<A: Action>(f: &Fixture) -> Entry<A> {
    f.service.enter_bucket(context(), &bucket(), None).unwrap()
}

fn view(f: &Fixture) -> BucketView {
    (**entry::<GetBucketPolicy>(f).bucket().unwrap()).clone()
}

fn delete(f: &Fixture) -> Result<(), S3Error> {
    f.service.delete_bucket(entry::<DeleteBucket>(f))
}

fn quarrelsome() -> Fixture {
    let meta = MemoryMeta::with_conflicts(ConflictRule { one_in: 2, seed: 3 });
    Fixture::on(meta, MemoryBlobs::new(), Versioning::Never)
}

#[test]
fn names_are_global() {
    let f = Fixture::new(Versioning::Never);
    let mine = create(&f, context(), "bucket").unwrap_err();
    assert_eq!(mine, S3Error::BucketAlreadyOwnedByYou(bucket()));
    let theirs = create(&f, stranger(), "bucket").unwrap_err();
    assert_eq!(theirs, S3Error::BucketAlreadyExists(bucket()));
}

#[test]
fn lists_show_the_account_its_own_buckets_in_pages() {
    let f = Fixture::new(Versioning::Never);
    for bucket in ["a-2", "a-1", "b-1", "a-3"] {
        create(&f, context(), bucket).unwrap();
        create(&f, stranger(), &format!("{bucket}-theirs")).unwrap();
    }
    let page = |prefix: &str, after: Option<&str>, max| {
        let after = after.map(str::to_owned);
        let page = list(
            &f,
            context(),
            ListBucketsInput {
                prefix: prefix.to_owned(),
                after,
                max,
            },
        );
        let names: Vec<String> = page
            .buckets
            .iter()
            .map(|bucket| bucket.name.to_string())
            .collect();
        (names.join(" "), page.next_after)
    };
    assert_eq!(
        page("", None, 100),
        ("a-1 a-2 a-3 b-1 bucket".to_owned(), None)
    );
    assert_eq!(page("a-", None, 100), ("a-1 a-2 a-3".to_owned(), None));
    assert_eq!(page("a-", None, 3), ("a-1 a-2 a-3".to_owned(), None));
    assert_eq!(
        page("", None, 2),
        ("a-1 a-2".to_owned(), Some("a-2".to_owned()))
    );
    assert_eq!(
        page("", Some("a-2"), 2),
        ("a-3 b-1".to_owned(), Some("b-1".to_owned()))
    );
    assert_eq!(page("", Some("b-1"), 2), ("bucket".to_owned(), None));
    assert_eq!(page("a-", Some("zzz"), 2), (String::new(), None));
    assert_eq!(page("", None, 0), (String::new(), None));
}

#[test]
fn only_an_empty_bucket_is_deleted() {
    let f = Fixture::new(Versioning::Enabled);
    f.put("k", b"body");
    assert_eq!(delete(&f), Err(S3Error::BucketNotEmpty(bucket())));
    let marker = |version| {
        let input = DeleteObjectInput {
            version,
            ..DeleteObjectInput::default()
        };
        f.service
            .delete_object(f.entry::<DeleteObject>("k"), input)
            .unwrap()
            .version
    };
    let made = marker(None);
    assert_eq!(delete(&f), Err(S3Error::BucketNotEmpty(bucket())));
    marker(made);
    assert_eq!(delete(&f), Err(S3Error::BucketNotEmpty(bucket())));
}

#[test]
fn uploads_in_progress_go_with_the_bucket() {
    let f = quarrelsome();
    let before = view(&f).uid;
    let upload = f
        .service
        .create_multipart_upload(
            f.entry::<PutObject>("k"),
            CreateMultipartUploadInput::default(),
        )
        .unwrap();
    let late = f.entry::<PutObject>("k");
    delete(&f).unwrap();
    let gone = f
        .service
        .enter_bucket::<DeleteBucket>(context(), &bucket(), None)
        .unwrap_err();
    assert_eq!(gone, S3Error::NoSuchBucket(bucket()));
    let refused = f
        .service
        .create_multipart_upload(late, CreateMultipartUploadInput::default());
    assert_eq!(refused.unwrap_err(), S3Error::NoSuchBucket(bucket()));
    // What a run makes garbage of, the next one collects.
    while f.service.collect_garbage(100).unwrap().collected > 0 {}
    assert!(
        f.rows(Table::UPLOADS).is_empty() && f.rows(Table::GARBAGE).is_empty(),
        "{upload:?}"
    );
    let again = create(&f, context(), "bucket").unwrap();
    assert_ne!(again.uid, before);
}

#[test]
fn an_entry_is_good_for_its_own_bucket_only() {
    let f = Fixture::new(Versioning::Never);
    let stale = entry::<PutBucketVersioning>(&f);
    let stale_delete = entry::<DeleteBucket>(&f);
    delete(&f).unwrap();
    create(&f, context(), "bucket").unwrap();
    let gone = Err(S3Error::NoSuchBucket(bucket()));
    assert_eq!(
        f.service.put_bucket_versioning(stale, Versioning::Enabled),
        gone
    );
    assert_eq!(f.service.delete_bucket(stale_delete), gone);
    assert_eq!(view(&f).versioning, Versioning::Never);
}

#[test]
fn versioning_never_goes_back_to_never() {
    let f = quarrelsome();
    let set = |versioning| {
        f.service
            .put_bucket_versioning(entry::<PutBucketVersioning>(&f), versioning)
            .unwrap();
        view(&f).versioning
    };
    assert_eq!(set(Versioning::Enabled), Versioning::Enabled);
    assert_eq!(set(Versioning::Suspended), Versioning::Suspended);
    assert_eq!(set(Versioning::Never), Versioning::Suspended);
}

#[test]
fn encryption_changes_keep_what_they_leave_out() {
    let f = quarrelsome();
    let put = |change| {
        let entry = entry::<PutEncryptionConfiguration>(&f);
        f.service
            .put_bucket_encryption(entry, change)
            .map(|()| view(&f).encryption)
    };
    assert!(!view(&f).encryption.explicitly_set);
    let kms = EncryptionChange {
        algorithm: Some(SseAlgorithm::AwsKms),
        kms_key_id: Some("alias/k".to_owned()),
        bucket_key_enabled: true,
        blocked: Some(BlockedEncryption::SseC),
    };
    let set = put(kms.clone()).unwrap();
    assert_eq!(
        (set.algorithm, set.blocked),
        (SseAlgorithm::AwsKms, BlockedEncryption::SseC)
    );
    assert!(set.explicitly_set && set.bucket_key_enabled);
    // The element left out keeps the block, and a rule of only the block keeps the algorithm.
    let dsse = put(EncryptionChange {
        algorithm: Some(SseAlgorithm::AwsKmsDsse),
        ..EncryptionChange::default()
    });
    let set = dsse.unwrap();
    assert_eq!(
        (set.blocked, set.kms_key_id, set.bucket_key_enabled),
        (BlockedEncryption::SseC, None, false)
    );
    let unblocked = EncryptionChange {
        blocked: Some(BlockedEncryption::None),
        ..EncryptionChange::default()
    };
    let set = put(unblocked).unwrap();
    assert_eq!(
        (set.algorithm, set.blocked),
        (SseAlgorithm::AwsKmsDsse, BlockedEncryption::None)
    );
    let key_without_kms = EncryptionChange {
        algorithm: Some(SseAlgorithm::Aes256),
        ..kms.clone()
    };
    assert_eq!(
        put(key_without_kms).unwrap_err(),
        SseError::KmsKeyWithoutKms.into()
    );
    put(kms).unwrap();
    f.service
        .delete_bucket_encryption(entry::<PutEncryptionConfiguration>(&f))
        .unwrap();
    let reset = view(&f).encryption;
    assert_eq!(
        (reset.algorithm, reset.blocked),
        (SseAlgorithm::Aes256, BlockedEncryption::SseC)
    );
    assert!(!reset.explicitly_set && reset.kms_key_id.is_none());
}

#[test]
fn tag_sets_are_replaced_whole() {
    let f = quarrelsome();
    let tags = |key: &str| {
        TagSet::parse(
            vec![Tag {
                key: key.to_owned(),
                value: "v".to_owned(),
            }],
            50,
        )
        .unwrap()
    };
    for key in ["a", "b"] {
        f.service
            .put_bucket_tagging(entry::<PutBucketTagging>(&f), tags(key))
            .unwrap();
        assert_eq!(view(&f).tags, Some(tags(key)));
    }
    f.service
        .delete_bucket_tagging(entry::<PutBucketTagging>(&f))
        .unwrap();
    assert_eq!(view(&f).tags, None);
}
