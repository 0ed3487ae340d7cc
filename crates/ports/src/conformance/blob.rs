//! The contract of [`BlobStore`], clause by clause.

use std::io;
use std::sync::Arc;
use std::thread;

use strongroom_types::BlobId;

use crate::{BlobError, BlobStore};

/// Runs every clause of the contract of [`BlobStore`] against fresh stores that `new` gives.
///
/// # Panics
///
/// With the clause that is broken.
pub fn blob_store(new: &dyn Fn() -> Arc<dyn BlobStore>) {
    let clauses: [fn(&dyn BlobStore); 11] = [
        a_finished_blob_is_read,
        an_unfinished_blob_is_not_visible,
        a_dropped_writer_leaves_nothing,
        an_empty_blob_is_a_blob,
        reads_past_the_end_are_refused,
        deleting_is_final_and_idempotent,
        an_open_blob_outlives_its_name,
        a_finished_blob_never_changes,
        a_tail_is_replaced_and_nothing_else,
        a_tail_needs_its_blob,
        lists_are_ordered_and_page,
    ];
    for clause in clauses {
        clause(new().as_ref());
    }
    concurrent_writers_do_not_mix(&new());
}

fn id(number: u32) -> BlobId {
    // Spread over the first byte, as random names are.
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    BlobId::from_bytes(bytes)
}

fn pattern(number: u32, len: usize) -> Vec<u8> {
    (number..)
        .map(|byte| byte.wrapping_mul(31).to_le_bytes()[0])
        .take(len)
        .collect()
}

fn write(store: &dyn BlobStore, id: BlobId, bytes: &[u8]) {
    let mut writer = store.create(id, 0).expect("a blob can be created");
    for chunk in bytes.chunks(10_007) {
        writer.write(chunk).expect("a blob can be written");
    }
    writer.finish().expect("a blob can be finished");
}

fn read(store: &dyn BlobStore, id: BlobId) -> Vec<u8> {
    let reader = store.open(id).expect("a finished blob can be opened");
    let mut bytes = vec![0; usize::try_from(reader.len_bytes()).expect("small")];
    reader
        .read_at(0, &mut bytes)
        .expect("a finished blob can be read");
    bytes
}

fn assert_absent(store: &dyn BlobStore, id: BlobId, clause: &str) {
    assert!(
        matches!(store.open(id), Err(BlobError::NotFound(missing)) if missing == id),
        "{clause}: open says NotFound"
    );
    let listed = store.list(None, 1000).expect("lists succeed");
    assert!(!listed.contains(&id), "{clause}: not in the list");
}

fn a_finished_blob_is_read(store: &dyn BlobStore) {
    let bytes = pattern(1, 300_001);
    let mut writer = store
        .create(id(1), 300_001)
        .expect("a blob can be created with a hint");
    for chunk in bytes.chunks(65_536) {
        writer.write(chunk).expect("a blob can be written");
    }
    writer.finish().expect("a blob can be finished");
    assert_eq!(read(store, id(1)), bytes, "a blob holds the bytes written");
    let reader = store.open(id(1)).expect("a finished blob can be opened");
    for (offset, len) in [(0, 1), (65_535, 2), (299_990, 11), (12_345, 100_000)] {
        let mut out = vec![0; len];
        reader
            .read_at(u64::try_from(offset).expect("small"), &mut out)
            .expect("a range can be read");
        assert_eq!(out, bytes[offset..offset + len], "ranges hold their bytes");
    }
    assert!(
        store.available_bytes().expect("space can be asked for") > 0,
        "a store that takes blobs has space"
    );
    // A hint is a hint.
    let mut writer = store.create(id(2), 1 << 20).expect("creates");
    writer.write(b"short").expect("writes");
    writer.finish().expect("finishes");
    assert_eq!(read(store, id(2)), b"short", "the hint is not the length");
    let mut writer = store.create(id(3), 1).expect("creates");
    writer.write(&bytes).expect("writes");
    writer.finish().expect("finishes");
    assert_eq!(read(store, id(3)), bytes, "a blob may exceed its hint");
}

fn an_unfinished_blob_is_not_visible(store: &dyn BlobStore) {
    let mut writer = store.create(id(1), 0).expect("creates");
    assert_absent(store, id(1), "a blob is invisible when created");
    writer.write(&pattern(1, 100_000)).expect("writes");
    assert_absent(store, id(1), "a blob is invisible while it is written");
    writer.finish().expect("finishes");
    assert_eq!(
        store.list(None, 10).expect("lists"),
        [id(1)],
        "a finished blob is listed"
    );
}

fn a_dropped_writer_leaves_nothing(store: &dyn BlobStore) {
    let mut writer = store.create(id(1), 0).expect("creates");
    writer.write(&pattern(1, 100_000)).expect("writes");
    drop(writer);
    assert_absent(store, id(1), "a dropped writer leaves nothing");
    write(store, id(1), b"again");
    assert_eq!(read(store, id(1)), b"again", "the name is free again");
}

fn an_empty_blob_is_a_blob(store: &dyn BlobStore) {
    write(store, id(1), b"");
    let reader = store.open(id(1)).expect("an empty blob can be opened");
    assert_eq!(reader.len_bytes(), 0);
    reader
        .read_at(0, &mut [])
        .expect("nothing can be read of nothing");
}

fn reads_past_the_end_are_refused(store: &dyn BlobStore) {
    write(store, id(1), b"0123456789");
    let reader = store.open(id(1)).expect("opens");
    for (offset, len) in [(0, 11), (10, 1), (5, 6), (u64::MAX, 1)] {
        let outcome = reader.read_at(offset, &mut vec![0; len]);
        assert!(
            matches!(&outcome, Err(BlobError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof),
            "a read past the end is UnexpectedEof, not {outcome:?}"
        );
    }
}

fn deleting_is_final_and_idempotent(store: &dyn BlobStore) {
    store
        .delete(id(9))
        .expect("deleting an absent blob succeeds");
    write(store, id(1), b"one");
    write(store, id(2), b"two");
    store.delete(id(1)).expect("deletes");
    assert_absent(store, id(1), "a deleted blob is gone");
    store.delete(id(1)).expect("deleting again succeeds");
    assert_eq!(read(store, id(2)), b"two", "other blobs stay");
}

fn an_open_blob_outlives_its_name(store: &dyn BlobStore) {
    let bytes = pattern(7, 100_000);
    write(store, id(1), &bytes);
    let reader = store.open(id(1)).expect("opens");
    store.delete(id(1)).expect("deletes");
    let mut out = vec![0; bytes.len()];
    reader
        .read_at(0, &mut out)
        .expect("an open blob stays readable when it is deleted");
    assert_eq!(
        out, bytes,
        "an open blob keeps its bytes when it is deleted"
    );
}

fn a_finished_blob_never_changes(store: &dyn BlobStore) {
    write(store, id(1), b"first");
    let second = store.create(id(1), 0).and_then(|mut writer| {
        writer.write(b"second")?;
        writer.finish()
    });
    assert!(second.is_err(), "a name is given once");
    assert_eq!(
        read(store, id(1)),
        b"first",
        "a finished blob never changes"
    );
}

fn a_tail_is_replaced_and_nothing_else(store: &dyn BlobStore) {
    let stream = pattern(3, 150_001);
    let old_tail = pattern(90, 700);
    write(store, id(1), &[stream.as_slice(), &old_tail].concat());
    write(store, id(2), b"another");
    let before = store.open(id(1)).expect("opens");
    let from = u64::try_from(stream.len()).expect("small");
    // Longer, shorter, as long, none, from none, and much longer.
    for (round, len) in (0..).zip([900, 300, 300, 0, 5, 200_000, 1]) {
        let tail = pattern(200 + round, len);
        store
            .replace_tail(id(1), from, &tail)
            .expect("a tail can be replaced");
        assert!(
            read(store, id(1)) == [stream.as_slice(), &tail].concat(),
            "a blob is what was before the tail, and the tail ({len})"
        );
        let mut out = vec![0; stream.len()];
        before
            .read_at(0, &mut out)
            .expect("an open blob stays readable when its tail is replaced");
        assert!(out == stream, "an open blob keeps what is before the tail");
    }
    store
        .replace_tail(id(1), 10, b"end")
        .expect("a tail may begin anywhere");
    assert_eq!(read(store, id(1)), [&stream[..10], b"end"].concat());
    store
        .replace_tail(id(1), 0, b"all")
        .expect("a tail may be all there is");
    assert_eq!(read(store, id(1)), b"all");
    assert_eq!(read(store, id(2)), b"another", "other blobs stay");
    let mut expected = [id(1), id(2)];
    expected.sort_unstable();
    assert_eq!(store.list(None, 10).expect("lists"), expected);
}

fn a_tail_needs_its_blob(store: &dyn BlobStore) {
    let missing = store.replace_tail(id(1), 0, b"tail");
    assert!(matches!(missing, Err(BlobError::NotFound(name)) if name == id(1)));
    let mut writer = store.create(id(1), 0).expect("creates");
    writer.write(b"0123").expect("writes");
    let unfinished = store.replace_tail(id(1), 0, b"tail");
    assert!(
        matches!(unfinished, Err(BlobError::NotFound(name)) if name == id(1)),
        "an unfinished blob has no tail"
    );
    writer.finish().expect("finishes");
    for from in [5, u64::MAX] {
        let outcome = store.replace_tail(id(1), from, b"tail");
        assert!(
            matches!(&outcome, Err(BlobError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof),
            "a tail behind the end is UnexpectedEof, not {outcome:?}"
        );
        assert_eq!(read(store, id(1)), b"0123", "and nothing has changed");
    }
    store
        .replace_tail(id(1), 4, b"45")
        .expect("a blob without a tail gets one");
    assert_eq!(read(store, id(1)), b"012345");
}

fn lists_are_ordered_and_page(store: &dyn BlobStore) {
    let mut ids: Vec<_> = (0..600).map(id).collect();
    for id in &ids {
        write(store, *id, &id.as_bytes()[..3]);
    }
    ids.sort_unstable();
    for limit in [1, 7, 599, 600, 1000] {
        let mut found: Vec<BlobId> = Vec::new();
        loop {
            let page = store.list(found.last().copied(), limit).expect("lists");
            assert!(page.len() <= limit, "a page holds at most `limit` blobs");
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(found, ids, "lists are ordered and seamless (limit {limit})");
    }
    // A name that was never there is a place in the order like any other.
    let mut between = *ids[300].as_bytes();
    between[15] ^= 1;
    let between = BlobId::from_bytes(between);
    let expected: Vec<_> = ids.iter().copied().filter(|id| *id > between).collect();
    assert_eq!(
        store.list(Some(between), 1000).expect("lists"),
        expected,
        "a list starts behind `after`"
    );
}

fn concurrent_writers_do_not_mix(store: &Arc<dyn BlobStore>) {
    thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || {
                for round in 0..5 {
                    let name = number * 100 + round;
                    write(store.as_ref(), id(name), &pattern(name, 40_000));
                }
            });
        }
    });
    for number in 0..8 {
        for round in 0..5 {
            let name = number * 100 + round;
            assert_eq!(
                read(store.as_ref(), id(name)),
                pattern(name, 40_000),
                "concurrent blobs do not mix"
            );
        }
    }
    assert_eq!(store.list(None, 1000).expect("lists").len(), 40);
}
