//! Races: of completes, aborts, parts and reads, with conflicts injected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_policy::actions::{GetObject, GetObjectAttributes};
use strongroom_ports::Table;
use strongroom_s3::{
    CreateMultipartUploadInput, ExpectedDigests, GetObjectAttributesInput, GetObjectInput, S3Error,
    Versioning,
};
use strongroom_store::{ConflictRule, MemoryBlobs, MemoryMeta};
use strongroom_types::{ChecksumAlgorithm, ChecksumType};

use super::{
    abort, assert_nothing_left, collect, complete, completion, create, declaring, delete, no_key,
    number, part, try_part,
};
use crate::support::{Fixture, bucket, context, object_key, pattern};

/// A store on which every third conditional commit conflicts for no reason.
fn quarrelsome() -> Arc<Fixture> {
    let rule = ConflictRule {
        one_in: 3,
        seed: 11,
    };
    let meta = MemoryMeta::with_conflicts(rule);
    Arc::new(Fixture::on(meta, MemoryBlobs::new(), Versioning::Enabled))
}

#[test]
fn conflicts_change_no_outcome() {
    let f = quarrelsome();
    for round in 0..20 {
        let key = format!("k{round}");
        let upload = create(&f, &key, CreateMultipartUploadInput::default());
        part(&f, (&key, upload), 1, b"first try");
        let list = [part(&f, (&key, upload), 1, b"second try")];
        complete(&f, &key, completion(upload, &list)).unwrap();
        assert_eq!(f.get(&key), b"second try");
        let given_up = create(&f, &key, CreateMultipartUploadInput::default());
        part(&f, (&key, given_up), 1, b"x");
        abort(&f, &key, given_up).unwrap();
    }
    collect(&f);
    assert_eq!(f.rows(Table::PARTS).len(), 20);
    assert!(f.rows(Table::UPLOADS).is_empty() && f.rows(Table::GARBAGE).is_empty());
}

#[test]
fn of_several_completes_one_makes_the_object_and_all_answer_alike() {
    for _ in 0..20 {
        let f = quarrelsome();
        let upload = create(&f, "k", CreateMultipartUploadInput::default());
        let list = [part(&f, ("k", upload), 1, b"body")];
        let racers: Vec<_> = (0..4)
            .map(|_| {
                let (f, list) = (Arc::clone(&f), list.clone());
                std::thread::spawn(move || complete(&f, "k", completion(upload, &list)))
            })
            .collect();
        let outputs: Vec<_> = racers
            .into_iter()
            .map(|racer| racer.join().unwrap().unwrap())
            .collect();
        assert!(
            outputs
                .iter()
                .all(|output| output.version == outputs[0].version)
        );
        assert_eq!(f.rows(Table::VERSIONS).len(), 1);
        assert_eq!(f.get("k"), b"body");
    }
}

#[test]
fn either_complete_or_abort_wins() {
    for _ in 0..30 {
        let f = quarrelsome();
        let upload = create(&f, "k", CreateMultipartUploadInput::default());
        let list = [part(&f, ("k", upload), 1, b"body")];
        let racer = {
            let f = Arc::clone(&f);
            std::thread::spawn(move || complete(&f, "k", completion(upload, &list)))
        };
        let aborted = abort(&f, "k", upload);
        let completed = racer.join().unwrap();
        collect(&f);
        match (completed, aborted) {
            (Ok(_), Err(S3Error::NoSuchUpload)) => assert_eq!(f.get("k"), b"body"),
            (Err(S3Error::NoSuchUpload), Ok(())) => {
                assert!(f.rows(Table::VERSIONS).is_empty() && f.rows(Table::PARTS).is_empty());
            }
            other => panic!("{other:?}"),
        }
        assert!(f.rows(Table::UPLOADS).is_empty());
    }
}

#[test]
fn a_part_is_never_replaced_under_a_complete() {
    let (mut before, mut refused) = (0, 0);
    for _ in 0..30 {
        let f = quarrelsome();
        let upload = create(&f, "k", CreateMultipartUploadInput::default());
        let list = [part(&f, ("k", upload), 1, b"listed")];
        let racer = {
            let f = Arc::clone(&f);
            std::thread::spawn(move || {
                let digests = ExpectedDigests::default();
                try_part(&f, ("k", upload), 1, b"replaced", no_key(), digests)
            })
        };
        let completed = complete(&f, "k", completion(upload, &list));
        let replaced = racer.join().unwrap();
        collect(&f);
        match (completed, replaced) {
            (Ok(_), Err(S3Error::Contention | S3Error::NoSuchUpload)) => {
                refused += 1;
                assert_eq!(f.get("k"), b"listed");
            }
            // The part came first: then the list names an attempt that is gone.
            (Err(S3Error::InvalidPart { part_number: 1 }), Ok(_)) => before += 1,
            (Err(S3Error::InvalidPart { part_number: 1 }), Err(error)) => panic!("{error:?}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(before + refused, 30);
}

/// Reads part 1 of `k` in one of the ways in which a part list is read.
fn read_by_part(f: &Fixture, round: u32) -> Result<(), S3Error> {
    let input = GetObjectInput {
        part_number: Some(number(1)),
        with_checksum: true,
        ..GetObjectInput::default()
    };
    let object = match round % 4 {
        0 => {
            let output = f.try_get("k", input)?;
            let object = output.object.clone();
            assert_eq!(f.drain(output).unwrap().len(), 300);
            object
        }
        1 => {
            let entry = f.entry::<GetObject>("k");
            f.service.head_object(entry, input)?.object
        }
        2 => {
            let resident = f.service.resident().unwrap();
            let entry = resident.enter_object(context(), &bucket(), &object_key("k"), None);
            resident.head_object(entry?, input)?.object
        }
        _ => {
            let input = GetObjectAttributesInput {
                with_checksum: true,
                parts: Some((0, 10)),
                ..GetObjectAttributesInput::default()
            };
            let entry = f.entry::<GetObjectAttributes>("k");
            let output = f.service.get_object_attributes(entry, input)?;
            let parts = output.parts.unwrap().parts;
            assert!(parts.len() == 1 && parts.iter().all(|part| part.checksum.is_some()));
            output.object
        }
    };
    assert!(object.checksum.is_some(), "round {round}");
    Ok(())
}

#[test]
fn reads_by_part_are_not_disturbed_by_who_replaces_the_object() {
    // Manifests are blobs of their own in the one, and parts are rows in the other.
    for inline_max_bytes in [64, 8192] {
        let f = Fixture::with_inline_max(inline_max_bytes);
        let replace = || {
            let declared = declaring(ChecksumAlgorithm::Crc32c, ChecksumType::FullObject);
            let upload = create(&f, "k", declared);
            let list = [part(&f, ("k", upload), 1, &pattern(300))];
            complete(&f, "k", completion(upload, &list)).unwrap();
            collect(&f);
        };
        replace();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..4)
                .map(|first| {
                    let (f, done) = (&f, &done);
                    scope.spawn(move || {
                        let mut read = 0_u32;
                        for round in first.. {
                            if done.load(Ordering::SeqCst) {
                                break;
                            }
                            match read_by_part(f, round) {
                                Ok(()) => read += 1,
                                // What the client, or the caller, tries again.
                                Err(S3Error::Contention | S3Error::NotInMemory) => {}
                                Err(error) => panic!("round {round}: {error}"),
                            }
                        }
                        read
                    })
                })
                .collect();
            for _ in 0..1500 {
                replace();
            }
            done.store(true, Ordering::SeqCst);
            for reader in readers {
                assert!(reader.join().unwrap() > 0);
            }
        });
        assert!(f.audit.0.lock().is_empty(), "no false alarm");
        // The leases are gone with the readers: nothing stays uncollected.
        delete(&f, "k");
        assert_nothing_left(&f);
    }
}
