//! Listings as clients see them. What a page holds is the engine's business, and tested there.

use strongroom_policy::actions::{
    DeleteObject, ListBucket, ListBucketMultipartUploads, ListBucketVersions, PutObject,
};
use strongroom_s3::{
    CreateMultipartUploadInput, DeleteObjectInput, ListObjectsInput, ListObjectsOutput,
    ListUploadsInput, ListVersionsInput, ListVersionsOutput, Versioning,
};
use strongroom_types::{ChecksumAlgorithm, UploadId, VersionId};

use crate::support::{Fixture, bucket, context};

fn objects(f: &Fixture, input: ListObjectsInput) -> ListObjectsOutput {
    let entry = f
        .service
        .enter_bucket::<ListBucket>(context(), &bucket(), None)
        .unwrap();
    f.service.list_objects(entry, input).unwrap()
}

fn versions(f: &Fixture, input: ListVersionsInput) -> ListVersionsOutput {
    let entry = f
        .service
        .enter_bucket::<ListBucketVersions>(context(), &bucket(), None)
        .unwrap();
    f.service.list_versions(entry, input).unwrap()
}

fn delete(f: &Fixture, key: &str) {
    f.service
        .delete_object(f.entry::<DeleteObject>(key), DeleteObjectInput::default())
        .unwrap();
}

#[test]
fn objects_and_common_prefixes_share_the_page() {
    let f = Fixture::new(Versioning::Never);
    for key in ["a", "b/1", "b/2", "b0", "c/1", "d\u{0}", "\u{10ffff}"] {
        f.put(key, key.as_bytes());
    }
    let page = |after: Option<&str>, max_keys| {
        let input = ListObjectsInput {
            delimiter: Some("/".to_owned()),
            after: after.map(str::to_owned),
            max_keys,
            ..ListObjectsInput::default()
        };
        let page = objects(&f, input);
        let keys: Vec<String> = page.objects.into_iter().map(|object| object.key).collect();
        (
            keys.join(" "),
            page.common_prefixes.join(" "),
            page.next_after,
        )
    };
    let text = |text: &str| text.to_owned();
    assert_eq!(page(None, 2), (text("a"), text("b/"), Some(text("b/"))));
    assert_eq!(
        page(Some("b/"), 2),
        (text("b0"), text("c/"), Some(text("c/")))
    );
    assert_eq!(
        page(Some("c/"), 2),
        (text("d\u{0} \u{10ffff}"), text(""), None)
    );
    // Inside of a common prefix: the prefix itself lies before the marker.
    assert_eq!(
        page(Some("b/1"), 1),
        (text("b0"), text(""), Some(text("b0")))
    );
    assert_eq!(page(None, 0), (text(""), text(""), None));
}

#[test]
fn a_listed_object_tells_size_tag_checksum_and_owner() {
    let f = Fixture::new(Versioning::Never);
    let put = f.put("k", b"12345");
    let page = objects(
        &f,
        ListObjectsInput {
            max_keys: 10,
            ..ListObjectsInput::default()
        },
    );
    let [object] = page.objects.as_slice() else {
        panic!("{page:?}")
    };
    assert_eq!((object.size_bytes, &object.etag), (5, &put.etag));
    assert_eq!(
        object.checksum.map(|(algorithm, _)| algorithm),
        Some(ChecksumAlgorithm::Crc64Nvme)
    );
    assert_eq!(object.owner, context().canonical_id.clone().unwrap());
}

#[test]
fn versions_list_newest_first_and_pages_start_anywhere() {
    let f = Fixture::new(Versioning::Never);
    f.put("k", b"null");
    f.set_versioning(Versioning::Enabled);
    let ids: Vec<Option<VersionId>> = (0..3).map(|_| f.put("k", b"body").version).collect();
    f.put("k/inside", b"");
    f.put("l", b"l");
    delete(&f, "l");
    delete(&f, "k/inside");

    let all = versions(
        &f,
        ListVersionsInput {
            max_keys: 1000,
            ..ListVersionsInput::default()
        },
    );
    let shown: Vec<_> = all
        .versions
        .iter()
        .map(|v| (v.object.key.as_str(), v.is_latest, v.is_delete_marker))
        .collect();
    let expected = [
        ("k", true, false),
        ("k", false, false),
        ("k", false, false),
        ("k", false, false),
        ("k/inside", true, true),
        ("k/inside", false, false),
        ("l", true, true),
        ("l", false, false),
    ];
    assert_eq!(shown, expected);
    assert_eq!(all.versions[0].version, ids[2].unwrap());
    assert_eq!(all.versions[3].version, VersionId::Null);
    assert_eq!(all.next, None);

    // Page by page, of every size, the same comes out.
    for max_keys in 1..9 {
        let mut paged = Vec::new();
        let (mut key_marker, mut version_marker) = (None, None);
        loop {
            let page = versions(
                &f,
                ListVersionsInput {
                    key_marker,
                    version_marker,
                    max_keys,
                    ..ListVersionsInput::default()
                },
            );
            paged.extend(
                page.versions
                    .iter()
                    .map(|v| (v.object.key.clone(), v.version, v.is_latest)),
            );
            let Some((key, version)) = page.next else {
                break;
            };
            (key_marker, version_marker) = (Some(key), version);
        }
        let whole: Vec<_> = all
            .versions
            .iter()
            .map(|v| (v.object.key.clone(), v.version, v.is_latest))
            .collect();
        assert_eq!(paged, whole, "pages of {max_keys}");
    }

    // A key marker alone passes by all of the key's versions; the null version is a marker too.
    let behind = |version_marker| {
        let page = versions(
            &f,
            ListVersionsInput {
                key_marker: Some("k".to_owned()),
                version_marker,
                max_keys: 1,
                ..ListVersionsInput::default()
            },
        );
        page.versions[0].object.key.clone()
    };
    assert_eq!(behind(None), "k/inside");
    assert_eq!(behind(Some(VersionId::Null)), "k/inside");
    assert_eq!(behind(ids[0]), "k");

    let rolled = versions(
        &f,
        ListVersionsInput {
            delimiter: Some("/".to_owned()),
            max_keys: 5,
            ..ListVersionsInput::default()
        },
    );
    assert_eq!(rolled.common_prefixes, ["k/"]);
    assert_eq!(rolled.next, Some(("k/".to_owned(), None)));
}

#[test]
fn a_version_that_became_the_newest_is_shown_so_in_the_middle_of_a_key() {
    let f = Fixture::new(Versioning::Enabled);
    let older = f.put("k", b"older").version.unwrap();
    let newer = f.put("k", b"newer").version;
    let input = DeleteObjectInput {
        version: newer,
        ..DeleteObjectInput::default()
    };
    f.service
        .delete_object(f.entry::<DeleteObject>("k"), input)
        .unwrap();
    let page = versions(
        &f,
        ListVersionsInput {
            key_marker: Some("k".to_owned()),
            version_marker: newer,
            max_keys: 10,
            ..ListVersionsInput::default()
        },
    );
    assert_eq!(
        (page.versions[0].version, page.versions[0].is_latest),
        (older, true)
    );
}

#[test]
fn uploads_list_oldest_first() {
    let f = Fixture::new(Versioning::Never);
    let create = |key| {
        f.clock.advance_seconds(1);
        let input = CreateMultipartUploadInput::default();
        f.service
            .create_multipart_upload(f.entry::<PutObject>(key), input)
            .unwrap()
            .upload
    };
    let (second, first) = ((create("b")), [create("a"), create("a")]);
    create("c/d");
    let page = |key_marker: Option<&str>, upload_marker: Option<UploadId>, max_uploads| {
        let entry = f
            .service
            .enter_bucket::<ListBucketMultipartUploads>(context(), &bucket(), None)
            .unwrap();
        let input = ListUploadsInput {
            delimiter: Some("/".to_owned()),
            key_marker: key_marker.map(str::to_owned),
            upload_marker,
            max_uploads,
            ..ListUploadsInput::default()
        };
        f.service.list_uploads(entry, input).unwrap()
    };
    let all = page(None, None, 1000);
    let ids: Vec<UploadId> = all.uploads.iter().map(|upload| upload.upload).collect();
    assert_eq!(ids, [first[0], first[1], second]);
    assert_eq!(
        (all.common_prefixes, all.next),
        (vec!["c/".to_owned()], None)
    );
    let one = page(None, None, 1);
    assert_eq!(one.next, Some(("a".to_owned(), Some(first[0]))));
    assert_eq!(
        page(Some("a"), Some(first[0]), 1).uploads[0].upload,
        first[1]
    );
    assert_eq!(page(Some("a"), None, 1).uploads[0].upload, second);
    assert_eq!(page(None, None, 0).uploads.len(), 0);
}
