//! What a key that is taken away, or a key service that does not answer, takes with it.

use std::sync::Arc;

use strongroom_policy::actions::PutObject;
use strongroom_ports::{KeyError, Table};
use strongroom_s3::{GetObjectInput, PutObjectInput, ReadError, S3Error, Versioning};
use strongroom_sse::SseHeaders;
use strongroom_types::RangeSpec;

use super::{
    WINDOW, attributes, checksums, complete, copy, create, dsse, head, kms, list_parts, modes,
    part, part_copy, put, update,
};
use crate::support::keys::KeyState;
use crate::support::{Fixture, Gated, Pieces, pattern};

#[test]
fn a_key_taken_away_fails_every_path_at_once_and_gives_all_back() {
    let f = Fixture::new(Versioning::Never);
    for (sse, _, _) in modes(&f.keys.create()) {
        let key = f.keys.create();
        let sse = SseHeaders {
            kms_key_id: Some(key.to_string()),
            ..sse
        };
        put(&f, "k", sse.clone(), &pattern(100)).unwrap();
        let upload = create(&f, "m", sse.clone()).unwrap();
        let etag = part(&f, "m", upload, 1, &pattern(10)).unwrap();
        let rows = f.rows(Table::VERSIONS).len();
        for state in [
            KeyState::Disabled,
            KeyState::PendingDeletion,
            KeyState::Deleted,
        ] {
            f.keys.set(&key, state);
            let expected = match state {
                KeyState::Disabled => KeyError::Disabled(format!("{key} is disabled.")),
                KeyState::PendingDeletion => {
                    KeyError::InvalidState(format!("{key} is pending deletion."))
                }
                KeyState::Deleted | KeyState::Lost | KeyState::Enabled => {
                    KeyError::NotFound(format!("Key '{key}' does not exist"))
                }
            };
            let expected = S3Error::Kms(expected);
            let failures = [
                ("put", put(&f, "new", sse.clone(), b"x").err()),
                (
                    "large put",
                    put(&f, "new", sse.clone(), &pattern(100_000)).err(),
                ),
                ("get", f.try_get("k", GetObjectInput::default()).err()),
                ("range", {
                    let input = GetObjectInput {
                        range: RangeSpec::parse("bytes=1-2"),
                        ..GetObjectInput::default()
                    };
                    f.try_get("k", input).err()
                }),
                ("head with checksum", head(&f, checksums()).err()),
                ("attributes", attributes(&f, true).err()),
                ("copy source", copy(&f, "new", SseHeaders::default()).err()),
                ("create", create(&f, "m2", sse.clone()).err()),
                ("part", part(&f, "m", upload, 1, &pattern(10)).err()),
                ("part copy", part_copy(&f, "m", upload).err()),
                ("list parts", list_parts(&f, "m", upload).err()),
                (
                    "complete",
                    complete(&f, "m", upload, std::slice::from_ref(&etag)).err(),
                ),
            ];
            for (path, failure) in failures {
                assert_eq!(failure, Some(expected.clone()), "{path} {state:?}");
            }
            assert!(
                head(&f, GetObjectInput::default()).is_ok(),
                "no key is needed"
            );
            assert_eq!(f.rows(Table::VERSIONS).len(), rows);
            f.keys.set(&key, KeyState::Enabled);
            assert_eq!(f.get("k"), pattern(100));
        }
        complete(&f, "m", upload, &[etag]).unwrap();
    }
}

#[test]
fn a_key_service_that_does_not_answer_never_weakens_a_write() {
    let f = Fixture::new(Versioning::Never);
    f.keys.set_unavailable(true);
    for sse in [kms(None), dsse(&f.keys.create())] {
        let got = put(&f, "k", sse, b"x").unwrap_err();
        assert_eq!(got, S3Error::Kms(KeyError::Unavailable));
    }
    assert!(f.rows(Table::VERSIONS).is_empty() && f.blob_ids().is_empty());
}

#[test]
fn a_download_stops_within_a_window_of_the_end_of_its_lease() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    let body = pattern(8 * WINDOW);
    for (sse, _, _) in modes(&key) {
        put(&f, "k", sse, &body).unwrap();
        let output = f.try_get("k", GetObjectInput::default()).unwrap();
        f.keys.set(&key, KeyState::Disabled);
        assert_eq!(f.drain(output), Err(ReadError::KeyUnusable));
        f.keys.set(&key, KeyState::Enabled);
        assert_eq!(f.get("k"), body);
    }
}

#[test]
fn an_upload_whose_key_goes_leaves_nothing() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    for size in [1000, 100_000, 4 * WINDOW] {
        let (entered, at_gate) = std::sync::mpsc::channel();
        let (open, gate) = std::sync::mpsc::channel();
        let body = pattern(size);
        let input = PutObjectInput {
            content_length: body.len() as u64,
            sse: kms(Some(&key.to_string())),
            ..PutObjectInput::default()
        };
        let entry = f.entry::<PutObject>("k");
        let service = Arc::clone(&f.service);
        let gated = Gated::new(Pieces::of(&body), entered, gate);
        let writing = f
            .runtime
            .spawn(async move { service.put_object(entry, input, Box::pin(gated)).await });
        at_gate.recv().unwrap();
        f.keys.set(&key, KeyState::Disabled);
        open.send(()).unwrap();
        let got = f.runtime.block_on(writing).unwrap().unwrap_err();
        assert!(
            matches!(got, S3Error::Kms(KeyError::Disabled(_))),
            "{got:?}"
        );
        assert!(f.rows(Table::VERSIONS).is_empty() && f.blob_ids().is_empty());
        f.keys.set(&key, KeyState::Enabled);
    }
    // Windows later: a copy is an upload and a download at once.
    put(&f, "k", kms(Some(&key.to_string())), &pattern(4 * WINDOW)).unwrap();
    let blobs = f.blob_ids();
    for checks in 0..6 {
        f.keys.break_leases_after(checks);
        let got = copy(&f, "c", kms(Some(&key.to_string()))).unwrap_err();
        assert!(
            matches!(got, S3Error::Kms(KeyError::Disabled(_))),
            "{checks} {got:?}"
        );
        assert_eq!(f.blob_ids(), blobs);
    }
}

#[test]
fn a_key_that_goes_while_the_body_is_synced_leaves_nothing() {
    let f = Fixture::new(Versioning::Never);
    let key = f.keys.create();
    let sse = || kms(Some(&key.to_string()));
    // Each is asked for the lease once for the body (a window of a body that is not inline) and once
    // more for the commit.
    let last_checks_refuse = |what: &str, checks: u64, write: &dyn Fn() -> Result<(), S3Error>| {
        let state = || (f.rows(Table::VERSIONS), f.rows(Table::PARTS), f.blob_ids());
        let before = state();
        for left in 0..checks {
            f.keys.break_leases_after(left);
            let got = write().unwrap_err();
            let refused = matches!(got, S3Error::Kms(KeyError::Disabled(_)));
            assert!(refused, "{what}, {left} checks: {got:?}");
            assert!(state() == before, "{what}, {left} checks");
        }
        f.keys.break_leases_after(checks);
        assert_eq!(write(), Ok(()), "{what}");
        f.keys.break_leases_after(u64::MAX);
    };
    let (small, large) = (pattern(100), pattern(WINDOW));
    let put_body = |body: &[u8]| put(&f, "k", sse(), body).map(|_| ());
    last_checks_refuse("small put", 2, &|| put_body(&small));
    last_checks_refuse("copy of a small one", 3, &|| {
        copy(&f, "c", sse()).map(|_| ())
    });
    last_checks_refuse("large put", 3, &|| put_body(&large));
    let upload = create(&f, "m", sse()).unwrap();
    last_checks_refuse("part", 3, &|| part(&f, "m", upload, 1, &large).map(|_| ()));
    let etag = part(&f, "m", upload, 1, &large).unwrap();
    let etags = [etag];
    last_checks_refuse("complete", 2, &|| {
        complete(&f, "m", upload, &etags).map(|_| ())
    });
    last_checks_refuse("update from another key", 2, &|| update(&f, &key, false));
    put(&f, "k", SseHeaders::default(), b"x").unwrap();
    last_checks_refuse("update from SSE-S3", 1, &|| update(&f, &key, false));
}
