//! What full disks, conflicts and races leave behind, and what readers and writers at once see.

use std::sync::Arc;

use strongroom_policy::actions::{PutObject, PutObjectTagging};
use strongroom_ports::Table;
use strongroom_s3::{GetObjectInput, PutObjectInput, S3Error, Versioning, WriteConditions};
use strongroom_store::{ConflictRule, MemoryBlobs, MemoryMeta};
use strongroom_types::TagSet;

use super::{WINDOW, clean, copy, copy_input, copy_source, delete};
use crate::support::{Fixture, Gated, Pieces, pattern};

#[test]
fn a_full_disk_refuses_cleanly_and_recovers() {
    let f = Fixture::on(
        MemoryMeta::new(),
        MemoryBlobs::with_capacity(400_000),
        Versioning::Never,
    );
    f.put("kept", &pattern(100_000));
    for _ in 0..3 {
        let full = f
            .try_put("k", PutObjectInput::default(), &pattern(350_000))
            .unwrap_err();
        assert_eq!(full, S3Error::NoSpace);
    }
    assert_eq!(f.get("kept"), pattern(100_000));
    assert_eq!(f.blob_ids().len(), 1);
    delete(&f, "kept", None);
    clean(&f);
    f.put("k", &pattern(350_000));
}

#[test]
fn injected_conflicts_are_retried_until_it_is_in_vain() {
    for seed in 0..8 {
        let meta = MemoryMeta::with_conflicts(ConflictRule { one_in: 3, seed });
        let f = Fixture::on(meta, MemoryBlobs::new(), Versioning::Enabled);
        for size in [10, 20_000] {
            let put = f.put("k", &pattern(size));
            assert_eq!(f.get("k"), pattern(size));
            copy(&f, copy_source("k"), "copy", copy_input()).unwrap();
            f.service
                .put_object_tagging(f.entry::<PutObjectTagging>("k"), None, TagSet::default())
                .unwrap();
            delete(&f, "k", put.version);
            delete(&f, "k", None);
        }
        clean(&f);
    }
}

#[test]
fn what_lost_its_race_for_good_leaves_no_blob() {
    let f = Fixture::new(Versioning::Never);
    let conditions = WriteConditions {
        if_match: None,
        if_none_match: true,
    };
    let input = PutObjectInput {
        conditions,
        content_length: 100_000,
        ..PutObjectInput::default()
    };
    // The key comes into being between the early check and the commit: while the body arrives.
    let (entered, enter) = std::sync::mpsc::channel();
    let (finish, finished) = std::sync::mpsc::channel();
    let body = Gated::new(Pieces::of(&pattern(100_000)), entered, finished);
    let entry = f.entry::<PutObject>("k");
    let service = Arc::clone(&f.service);
    let put = f
        .runtime
        .spawn(async move { service.put_object(entry, input, Box::pin(body)).await });
    enter.recv().unwrap();
    f.put("k", b"first");
    finish.send(()).unwrap();
    let lost = f.runtime.block_on(put).unwrap().unwrap_err();
    assert_eq!(
        lost,
        S3Error::PreconditionFailed {
            condition: "If-None-Match"
        }
    );
    assert_eq!(f.blob_ids().len(), 0);
    assert_eq!(f.get("k"), b"first");
}

#[test]
fn orphans_go_at_the_second_sweep_and_blobs_with_rows_never() {
    let f = Fixture::new(Versioning::Never);
    f.put("k", &pattern(100_000));
    let orphan = strongroom_types::BlobId::from_bytes([9; 16]);
    f.replace_blob(orphan, b"left by a crash");
    let first = f.service.sweep_orphans().unwrap();
    assert_eq!(
        (first.blobs_seen, first.suspected, first.blobs_removed),
        (2, 1, 0)
    );
    let second = f.service.sweep_orphans().unwrap();
    assert_eq!((second.suspected, second.blobs_removed), (0, 1));
    assert_eq!(f.get("k"), pattern(100_000));
}

#[test]
fn a_reader_outlives_its_version() {
    let f = Fixture::new(Versioning::Never);
    let body = pattern(3 * WINDOW);
    f.put("k", &body);
    let output = f.try_get("k", GetObjectInput::default()).unwrap();
    f.put("k", b"new");
    clean(&f);
    assert!(f.drain(output).unwrap() == body);
    assert_eq!(f.get("k"), b"new");
}

#[test]
fn eight_writers_of_one_key_keep_its_rows_in_step() {
    for versioning in [
        Versioning::Never,
        Versioning::Enabled,
        Versioning::Suspended,
    ] {
        let f = Fixture::new(versioning);
        std::thread::scope(|scope| {
            for writer in 0..8_usize {
                let f = &f;
                scope.spawn(move || {
                    for round in 0..12_usize {
                        match (writer + round) % 4 {
                            0 => drop(delete(f, "k", None)),
                            1 => drop(f.put("k", &pattern(10_000 + writer * 100 + round))),
                            _ => drop(f.put("k", &pattern(writer * 100 + round))),
                        }
                        match f.read("k", GetObjectInput::default()) {
                            Ok(bytes) => assert!(bytes == pattern(bytes.len()), "no torn object"),
                            Err(S3Error::NoSuchKey { .. }) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                });
            }
        });
        clean(&f);
        let versions = f.rows(Table::VERSIONS).len();
        match versioning {
            Versioning::Never | Versioning::Suspended => assert!(versions <= 1, "{versions}"),
            Versioning::Enabled => assert_eq!(versions, 8 * 12),
        }
        match f.read("k", GetObjectInput::default()) {
            Ok(_) => assert_eq!(f.rows(Table::CURRENT).len(), 1),
            Err(_) => assert_eq!(f.rows(Table::CURRENT).len(), 0),
        }
    }
}
