//! The contract of [`ShredStore`], clause by clause.

use std::sync::Arc;
use std::thread;

use crate::{ShredError, ShredStore};

/// Runs every clause of the contract of [`ShredStore`] against fresh stores that `new` gives.
///
/// # Panics
///
/// With the clause that is broken.
pub fn shred_store(new: &dyn Fn() -> Arc<dyn ShredStore>) {
    let clauses: [fn(&dyn ShredStore); 6] = [
        what_is_put_is_read,
        a_file_never_changes,
        destroying_is_final_and_idempotent,
        the_list_holds_what_is_kept,
        contents_are_bounded,
        repairing_brings_nothing_back,
    ];
    for clause in clauses {
        clause(new().as_ref());
    }
    of_racing_writers_of_one_id_one_wins(&new());
}

fn id(number: u8) -> [u8; 16] {
    let mut id = [0xC3; 16];
    id[0] = number;
    id
}

fn what_is_put_is_read(store: &dyn ShredStore) {
    assert_eq!(
        store.get(id(1)).expect("gets"),
        None,
        "what was not put is not there"
    );
    let none = store.get_copies(id(1)).expect("gets copies");
    assert!(none.is_empty(), "there are no copies of nothing");
    for (number, content) in [(1, vec![]), (2, vec![7; 148]), (3, vec![9; 4096])] {
        store.put(id(number), &content).expect("puts");
        let read = store.get(id(number)).expect("gets");
        assert_eq!(read.as_ref(), Some(&content), "what is put is read");
        let copies = store.get_copies(id(number)).expect("gets copies");
        assert!(!copies.is_empty(), "what is put has a copy");
        assert!(
            copies.iter().all(|copy| *copy == content),
            "every copy is what was put"
        );
    }
}

fn a_file_never_changes(store: &dyn ShredStore) {
    store.put(id(1), b"first").expect("puts");
    let second = store.put(id(1), b"second");
    assert!(
        matches!(second, Err(ShredError::Exists)),
        "an id that is taken is Exists, not {second:?}"
    );
    let read = store.get(id(1)).expect("gets");
    assert_eq!(read.as_deref(), Some(&b"first"[..]), "the first stays");
}

fn destroying_is_final_and_idempotent(store: &dyn ShredStore) {
    store
        .destroy(id(9))
        .expect("destroying what is not there succeeds");
    store.put(id(1), b"one").expect("puts");
    store.put(id(2), b"two").expect("puts");
    store.destroy(id(1)).expect("destroys");
    assert_eq!(store.get(id(1)).expect("gets"), None, "destroyed is gone");
    let copies = store.get_copies(id(1)).expect("gets copies");
    assert!(copies.is_empty(), "destroyed has no copies");
    store.destroy(id(1)).expect("destroying again succeeds");
    let other = store.get(id(2)).expect("gets");
    assert_eq!(other.as_deref(), Some(&b"two"[..]), "others stay");
}

fn the_list_holds_what_is_kept(store: &dyn ShredStore) {
    assert_eq!(
        store.list().expect("lists").len(),
        0,
        "a new store is empty"
    );
    for number in 0..20 {
        store.put(id(number), &[number]).expect("puts");
    }
    for number in 0..10 {
        store.destroy(id(number * 2)).expect("destroys");
    }
    let mut listed = store.list().expect("lists");
    listed.sort_unstable();
    let expected: Vec<_> = (0..10).map(|number| id(number * 2 + 1)).collect();
    assert_eq!(listed, expected, "all that is kept is listed, once");
}

fn repairing_brings_nothing_back(store: &dyn ShredStore) {
    store.put(id(1), b"one").expect("puts");
    store.repair(id(1), b"one").expect("repairs what is whole");
    for copy in store.get_copies(id(1)).expect("gets copies") {
        assert_eq!(copy, b"one", "what is whole stays");
    }
    store.destroy(id(1)).expect("destroys");
    store.repair(id(1), b"one").expect("repairs nothing");
    let copies = store.get_copies(id(1)).expect("gets copies");
    assert!(copies.is_empty(), "destroyed stays destroyed");
}

fn contents_are_bounded(store: &dyn ShredStore) {
    assert!(
        store.put(id(1), &[0; 4097]).is_err(),
        "more than 4 KiB are refused"
    );
    assert_eq!(store.get(id(1)).expect("gets"), None, "and not kept");
}

fn of_racing_writers_of_one_id_one_wins(store: &Arc<dyn ShredStore>) {
    let writers: Vec<_> = (0..8_u8)
        .map(|number| {
            let store = Arc::clone(store);
            thread::spawn(move || store.put(id(1), &[number; 148]).is_ok())
        })
        .collect();
    let won: Vec<bool> = writers
        .into_iter()
        .map(|writer| writer.join().expect("a writer ends"))
        .collect();
    assert_eq!(
        won.iter().filter(|won| **won).count(),
        1,
        "one of those who race for an id wins"
    );
    let winner = won.iter().position(|won| *won).expect("one won");
    let winner = u8::try_from(winner).expect("small");
    for copy in store.get_copies(id(1)).expect("gets copies") {
        assert_eq!(copy, [winner; 148], "and all copies are the winner's");
    }
}
