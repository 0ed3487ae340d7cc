//! The contract of [`MetaStore`], clause by clause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;

use crate::{
    CommitError, Committed, Condition, KEY_MAX_BYTES, MetaStore, RowVersion, Scan, ScanPage,
    Stored, TRANSACTION_MAX_BYTES, Table, Transaction, VALUE_MAX_BYTES,
};

/// A store may report a conflict that was not one (an injected one, or a coarse range lock); a
/// caller then simply runs again. More in a row than this are no accident.
const SPURIOUS_CONFLICTS_MAX: usize = 200;

const T: Table = Table::CURRENT;
const OTHER: Table = Table::VERSIONS;

/// Runs every clause of the contract of [`MetaStore`] against fresh stores that `new` gives.
///
/// # Panics
///
/// With the clause that is broken.
pub fn meta_store(new: &dyn Fn() -> Arc<dyn MetaStore>) {
    let clauses: [fn(&dyn MetaStore); 17] = [
        a_committed_row_is_read,
        an_absent_row_is_none,
        tables_are_keyspaces_of_their_own,
        row_versions_change_with_every_write,
        sequences_grow,
        unchanged_holds_only_for_the_version_read,
        absent_holds_only_without_a_row,
        range_empty_holds_only_for_an_empty_range,
        a_conflict_writes_nothing,
        conditions_see_the_state_before_the_writes,
        a_transaction_spans_tables,
        taking_away_commits_like_any_other,
        deleting_an_absent_row_succeeds,
        bounds_are_kept,
        scans_order_by_bytes,
        scans_page_in_both_directions,
        scans_skip_deleted_rows,
    ];
    for clause in clauses {
        clause(new().as_ref());
    }
    scans_seek_past_prefixes(new().as_ref());
    pending_commits_resolve_in_any_order(new().as_ref());
    counters_lose_no_update(&new());
    create_if_absent_has_one_winner(&new());
    pairs_are_never_seen_half(&new());
}

/// Commits, and runs again what conflicts by accident.
fn commit(store: &dyn MetaStore, transaction: &Transaction) -> Committed {
    for _ in 0..SPURIOUS_CONFLICTS_MAX {
        match store.commit(transaction.clone()).wait() {
            Ok(committed) => return committed,
            Err(CommitError::Conflict) => {}
            Err(error) => panic!("a commit within the bounds failed: {error}"),
        }
    }
    panic!("a transaction whose conditions hold kept on conflicting: {transaction:?}");
}

fn assert_conflict(store: &dyn MetaStore, transaction: Transaction, clause: &str) {
    assert_eq!(
        store.commit(transaction).wait(),
        Err(CommitError::Conflict),
        "{clause}"
    );
}

fn read(store: &dyn MetaStore, table: Table, key: &[u8]) -> Option<Stored> {
    store.read(table, key).expect("reads succeed")
}

fn version(store: &dyn MetaStore, table: Table, key: &[u8]) -> RowVersion {
    read(store, table, key).expect("the row exists").version
}

fn put(key: &[u8], value: &[u8]) -> Transaction {
    Transaction::new().put(
        T,
        Bytes::copy_from_slice(key),
        Bytes::copy_from_slice(value),
    )
}

fn scan(
    store: &dyn MetaStore,
    start: &[u8],
    end: Option<&[u8]>,
    limit: usize,
    reverse: bool,
) -> ScanPage {
    let page = store
        .scan(&Scan {
            table: T,
            start: Bytes::copy_from_slice(start),
            end: end.map(Bytes::copy_from_slice),
            limit,
            reverse,
        })
        .expect("scans succeed");
    assert!(
        page.rows.len() <= limit,
        "a page holds at most `limit` rows"
    );
    page
}

fn keys(page: &ScanPage) -> Vec<&[u8]> {
    page.rows.iter().map(|row| row.key.as_ref()).collect()
}

fn a_committed_row_is_read(store: &dyn MetaStore) {
    let committed = commit(store, &put(b"k", b"v"));
    let stored = read(store, T, b"k").expect("a row is read once its commit resolved");
    assert_eq!(stored.value, "v", "a row holds the value written");
    assert_eq!(
        stored.version,
        RowVersion(committed.sequence.0),
        "a row's version is the number of the commit that wrote it"
    );
    commit(store, &put(b"k", b""));
    let stored = read(store, T, b"k").expect("an empty value is a value");
    assert_eq!(stored.value, "", "an empty value is read as written");
    commit(store, &put(b"", b"root"));
    assert!(read(store, T, b"").is_some(), "the empty key is a key");
}

fn an_absent_row_is_none(store: &dyn MetaStore) {
    assert_eq!(read(store, T, b"k"), None, "an empty store holds no row");
    commit(store, &put(b"kk", b"v"));
    assert_eq!(
        read(store, T, b"k"),
        None,
        "a prefix of a key is another key"
    );
    commit(store, &Transaction::new().delete(T, "kk"));
    assert_eq!(read(store, T, b"kk"), None, "a deleted row is gone");
}

fn tables_are_keyspaces_of_their_own(store: &dyn MetaStore) {
    commit(store, &put(b"k", b"v"));
    assert_eq!(read(store, OTHER, b"k"), None, "tables do not share keys");
    commit(store, &Transaction::new().put(OTHER, "l", "w"));
    assert_eq!(
        keys(&scan(store, b"", None, 10, false)),
        [b"k"],
        "a scan to the end of its table stops there"
    );
    assert_eq!(
        keys(&scan(store, b"", None, 10, true)),
        [b"k"],
        "a reverse scan starts at the end of its table"
    );
    commit(
        store,
        &Transaction::new()
            .expect_range_empty(T, "l", None)
            .put(T, "k2", "v"),
    );
}

fn row_versions_change_with_every_write(store: &dyn MetaStore) {
    let mut seen = Vec::new();
    for _ in 0..3 {
        commit(store, &put(b"k", b"same"));
        seen.push(version(store, T, b"k"));
        commit(store, &put(b"k", b"same"));
        seen.push(version(store, T, b"k"));
        commit(store, &Transaction::new().delete(T, "k"));
    }
    let count = seen.len();
    seen.dedup();
    assert_eq!(
        seen.len(),
        count,
        "a row's version changes with every write, also of the same value"
    );
    assert!(
        seen.is_sorted(),
        "a version is never used again for a row, also after a delete"
    );
}

fn sequences_grow(store: &dyn MetaStore) {
    let first = commit(store, &put(b"a", b"1"));
    let second = commit(store, &put(b"b", b"1"));
    let third = commit(store, &Transaction::new().delete(T, "a"));
    assert!(
        first.sequence < second.sequence && second.sequence < third.sequence,
        "a commit that starts after another resolved comes behind it"
    );
}

fn unchanged_holds_only_for_the_version_read(store: &dyn MetaStore) {
    commit(store, &put(b"k", b"1"));
    let first = version(store, T, b"k");
    let replace = |expected| {
        Transaction::new()
            .expect(T, "k", Some(expected))
            .put(T, "k", "next")
    };
    commit(store, &replace(first));
    assert_conflict(
        store,
        replace(first),
        "Unchanged fails after the row was replaced",
    );
    let second = version(store, T, b"k");
    commit(store, &Transaction::new().delete(T, "k"));
    assert_conflict(
        store,
        replace(second),
        "Unchanged fails after the row was deleted",
    );
    commit(store, &put(b"k", b"next"));
    assert_conflict(
        store,
        replace(second),
        "Unchanged fails after the row was deleted and written again",
    );
    assert_conflict(
        store,
        Transaction::new()
            .expect(T, "never", Some(second))
            .put(T, "x", "y"),
        "Unchanged fails for a row that never was",
    );
}

fn absent_holds_only_without_a_row(store: &dyn MetaStore) {
    let create = Transaction::new().expect(T, "k", None).put(T, "k", "v");
    commit(store, &create);
    assert_conflict(store, create.clone(), "Absent fails when the row exists");
    commit(store, &Transaction::new().delete(T, "k"));
    commit(store, &create);
}

fn range_empty_holds_only_for_an_empty_range(store: &dyn MetaStore) {
    commit(store, &put(b"b", b"v"));
    let guarded = |start: &'static str, end: Option<&'static str>| {
        Transaction::new()
            .expect_range_empty(T, start, end.map(Bytes::from))
            .put(OTHER, "mark", "v")
    };
    commit(store, &guarded("a", Some("b")));
    commit(store, &guarded("b\0", Some("c")));
    commit(store, &guarded("b\0", None));
    commit(store, &guarded("c", Some("a")));
    for (start, end) in [
        ("b", Some("b\0")),
        ("a", Some("c")),
        ("a", None),
        ("", None),
    ] {
        assert_conflict(
            store,
            guarded(start, end),
            "RangeEmpty fails when a row is in start..end, start included, end excluded",
        );
    }
    commit(store, &Transaction::new().delete(T, "b"));
    commit(store, &guarded("", None));
}

fn a_conflict_writes_nothing(store: &dyn MetaStore) {
    commit(store, &put(b"k", b"1"));
    assert_conflict(
        store,
        Transaction::new()
            .expect(T, "fine", None)
            .expect(T, "k", None)
            .put(T, "a", "x")
            .put(OTHER, "a", "x")
            .delete(T, "k"),
        "one failed condition is enough for a conflict",
    );
    assert_eq!(read(store, T, b"a"), None, "a conflict writes nothing");
    assert_eq!(read(store, OTHER, b"a"), None, "a conflict writes nothing");
    assert!(read(store, T, b"k").is_some(), "a conflict deletes nothing");
}

fn conditions_see_the_state_before_the_writes(store: &dyn MetaStore) {
    commit(
        store,
        &Transaction::new()
            .expect(T, "a", None)
            .expect_range_empty(T, "a", None)
            .put(T, "a", "1")
            .put(T, "b", "2"),
    );
    let before = version(store, T, b"a");
    commit(
        store,
        &Transaction::new()
            .expect(T, "a", Some(before))
            .expect(T, "b", Some(version(store, T, b"b")))
            .delete(T, "a")
            .put(T, "b", "3"),
    );
    assert_eq!(read(store, T, b"a"), None, "all writes are applied");
    // Conditions alone make a transaction as well: a fence.
    let fence = Transaction {
        takes_away: false,
        conditions: vec![Condition::Absent {
            table: T,
            key: "a".into(),
        }],
        writes: Vec::new(),
    };
    commit(store, &fence);
    commit(store, &put(b"a", b"1"));
    assert_conflict(store, fence, "conditions without writes are checked, too");
}

fn a_transaction_spans_tables(store: &dyn MetaStore) {
    let committed = commit(
        store,
        &Transaction::new().put(T, "k", "1").put(OTHER, "k", "2"),
    );
    let one = read(store, T, b"k").expect("written");
    let two = read(store, OTHER, b"k").expect("written");
    assert_eq!((one.value, two.value), ("1".into(), "2".into()));
    assert_eq!(
        (one.version, two.version),
        (
            RowVersion(committed.sequence.0),
            RowVersion(committed.sequence.0)
        ),
        "all rows of a transaction get its number"
    );
}

fn taking_away_commits_like_any_other(store: &dyn MetaStore) {
    commit(store, &put(b"k", b"1"));
    let stale = Transaction::new()
        .expect(T, &b"k"[..], None)
        .put(T, &b"k"[..], &b"2"[..])
        .taking_away();
    let outcome = store.commit(stale).wait();
    assert_eq!(
        outcome,
        Err(CommitError::Conflict),
        "its conditions are checked"
    );
    commit(store, &put(b"k", b"3").taking_away());
    let read = store.read(T, b"k").expect("reads").expect("is there");
    assert_eq!(read.value, &b"3"[..], "its writes are applied");
}

fn deleting_an_absent_row_succeeds(store: &dyn MetaStore) {
    commit(store, &Transaction::new().delete(T, "never"));
    commit(store, &put(b"k", b"v"));
    commit(store, &Transaction::new().delete(T, "k"));
    commit(store, &Transaction::new().delete(T, "k"));
    assert_eq!(read(store, T, b"k"), None);
    assert!(!scan(store, b"", None, 10, false).more);
}

fn bounds_are_kept(store: &dyn MetaStore) {
    let key = vec![b'k'; KEY_MAX_BYTES];
    let value = vec![b'v'; VALUE_MAX_BYTES];
    commit(store, &put(&key, &value));
    assert_eq!(
        read(store, T, &key).map(|stored| stored.value),
        Some(Bytes::from(value.clone())),
        "the longest key and value are read as written"
    );
    let refused = |transaction: Transaction, clause: &str| {
        assert_eq!(
            store.commit(transaction).wait(),
            Err(CommitError::TooLarge),
            "{clause}"
        );
    };
    let long_key = vec![b'l'; KEY_MAX_BYTES + 1];
    refused(put(&long_key, b"v"), "a longer key is refused");
    refused(
        Transaction::new().delete(T, long_key.clone()),
        "a longer key is refused in a delete",
    );
    refused(
        Transaction::new()
            .expect(T, long_key.clone(), None)
            .put(T, "x", "y"),
        "a longer key is refused in a condition",
    );
    let long_value = vec![b'v'; VALUE_MAX_BYTES + 1];
    refused(put(b"x", &long_value), "a longer value is refused");

    // The largest transaction, and one byte more.
    let pairs = TRANSACTION_MAX_BYTES / VALUE_MAX_BYTES;
    let mut largest = Transaction::new();
    let mut left = TRANSACTION_MAX_BYTES;
    for number in 0..pairs {
        let key = format!("t{number:03}");
        let len = left.saturating_sub(key.len()).min(VALUE_MAX_BYTES);
        left -= len + key.len();
        largest = largest.put(T, key, value[..len].to_vec());
    }
    assert_eq!(left, 0, "the suite fills the transaction");
    commit(store, &largest);
    refused(
        largest.delete(T, "x"),
        "a transaction that is one byte larger is refused",
    );
    assert_eq!(read(store, T, b"x"), None, "what is refused writes nothing");
}

fn scans_order_by_bytes(store: &dyn MetaStore) {
    let ordered: [&[u8]; 8] = [b"", b"\0", b"\0\0", b"A", b"a", b"a\0", b"ab", b"\xff\xff"];
    for key in ordered.iter().rev() {
        commit(store, &put(key, key));
    }
    let page = scan(store, b"", None, 100, false);
    assert_eq!(
        keys(&page),
        ordered,
        "rows come in the order of their bytes"
    );
    assert!(!page.more, "`more` is false at the end");
    for row in &page.rows {
        assert_eq!(row.key, row.value, "a scan returns the row's own value");
        assert_eq!(
            row.version,
            version(store, T, &row.key),
            "a scan returns the row's own version"
        );
    }
    let page = scan(store, b"", None, 100, true);
    let reversed: Vec<&[u8]> = ordered.iter().rev().copied().collect();
    assert_eq!(keys(&page), reversed, "a reverse scan is the scan reversed");
    let page = scan(store, b"A", Some(b"ab"), 100, false);
    assert_eq!(
        keys(&page),
        ordered[3..6],
        "a scan includes its start and excludes its end"
    );
    let page = scan(store, b"A", Some(b"ab"), 100, true);
    assert_eq!(
        keys(&page),
        [ordered[5], ordered[4], ordered[3]],
        "a reverse scan includes its start and excludes its end"
    );
    for reverse in [false, true] {
        assert!(
            scan(store, b"b", Some(b"b"), 9, reverse).rows.is_empty(),
            "an empty range has no rows"
        );
        assert!(
            scan(store, b"b", Some(b"a"), 9, reverse).rows.is_empty(),
            "a range whose end is before its start has no rows"
        );
    }
}

fn scans_page_in_both_directions(store: &dyn MetaStore) {
    let all: Vec<String> = (0..57).map(|number| format!("k{number:02}")).collect();
    let mut fill = Transaction::new();
    for key in &all {
        fill = fill.put(T, key.clone(), "v");
    }
    commit(store, &fill);
    for limit in [1, 2, 7, 56, 57, 58] {
        let mut found = Vec::new();
        let mut start = b"k".to_vec();
        loop {
            let page = scan(store, &start, Some(b"l"), limit, false);
            found.extend(page.rows.iter().map(|row| row.key.clone()));
            assert_eq!(
                page.more,
                found.len() < all.len(),
                "`more` tells whether the range goes on behind the page (limit {limit})"
            );
            let Some(last) = page.rows.last().filter(|_| page.more) else {
                break;
            };
            start = [&last.key, &b"\0"[..]].concat();
        }
        assert_eq!(found, all, "pages are seamless (limit {limit})");

        let mut found = Vec::new();
        let mut end = b"l".to_vec();
        loop {
            let page = scan(store, b"k", Some(&end), limit, true);
            found.extend(page.rows.iter().map(|row| row.key.clone()));
            assert_eq!(
                page.more,
                found.len() < all.len(),
                "`more` of a reverse scan looks towards the start (limit {limit})"
            );
            let Some(last) = page.rows.last().filter(|_| page.more) else {
                break;
            };
            end = last.key.to_vec();
        }
        found.reverse();
        assert_eq!(found, all, "reverse pages are seamless (limit {limit})");
    }
}

fn scans_skip_deleted_rows(store: &dyn MetaStore) {
    let mut fill = Transaction::new();
    for number in 0..100 {
        fill = fill.put(T, format!("k{number:02}"), "v");
    }
    commit(store, &fill);
    let mut thin = Transaction::new();
    for number in (0..100).filter(|number| number % 10 != 5) {
        thin = thin.delete(T, format!("k{number:02}"));
    }
    commit(store, &thin);
    let page = scan(store, b"", None, 10, false);
    assert_eq!(page.rows.len(), 10, "deleted rows do not fill a page");
    assert!(!page.more, "deleted rows are not `more`");
    let page = scan(store, b"", None, 9, true);
    assert_eq!(
        page.rows.first().map(|row| row.key.clone()),
        Some(Bytes::from("k95"))
    );
    assert!(page.more, "one row is left");
    let page = scan(store, b"k06", Some(b"k15"), 10, false);
    assert!(page.rows.is_empty() && !page.more, "the range is empty");
}

fn scans_seek_past_prefixes(store: &dyn MetaStore) {
    for prefix in 0..20 {
        let mut fill = Transaction::new();
        for number in 0..50 {
            fill = fill.put(T, format!("p{prefix:02}/{number:02}"), "v");
        }
        commit(store, &fill);
    }
    let mut prefixes = 0;
    let mut start = Vec::new();
    loop {
        let page = scan(store, &start, None, 1, false);
        let Some(row) = page.rows.first() else { break };
        let slash = row
            .key
            .iter()
            .position(|byte| *byte == b'/')
            .expect("has a slash");
        start = row.key[..slash].to_vec();
        // The byte behind the delimiter: the first key that does not share the prefix.
        start.push(b'/' + 1);
        prefixes += 1;
    }
    assert_eq!(prefixes, 20, "a listing may skip from prefix to prefix");
}

fn pending_commits_resolve_in_any_order(store: &dyn MetaStore) {
    let pending: Vec<_> = (0..50)
        .map(|number| store.commit(put(format!("k{number:02}").as_bytes(), b"v")))
        .collect();
    let mut sequences: Vec<_> = pending
        .into_iter()
        .rev()
        .map(|pending| {
            pending
                .wait()
                .expect("commits without conditions succeed")
                .sequence
        })
        .collect();
    sequences.sort_unstable();
    sequences.dedup();
    assert_eq!(sequences.len(), 50, "each commit has a number of its own");
    drop(store.commit(put(b"dropped", b"v")));
    commit(store, &put(b"later", b"v"));
    assert_eq!(
        scan(store, b"", None, 100, false).rows.len(),
        52,
        "dropping a pending commit does not take it back"
    );
}

const THREADS: usize = 8;

fn counters_lose_no_update(store: &Arc<dyn MetaStore>) {
    const ROUNDS: u64 = 40;
    const COUNTERS: u64 = 3;
    fn increment(store: &dyn MetaStore, key: &str) {
        // Each failed round is another thread's success, or an injected conflict.
        loop {
            let stored = read(store, T, key.as_bytes());
            let count = stored.as_ref().map_or(0, |stored| {
                u64::from_be_bytes(stored.value.as_ref().try_into().expect("eight bytes"))
            });
            let transaction = Transaction::new()
                .expect(T, key.to_owned(), stored.map(|stored| stored.version))
                .put(T, key.to_owned(), (count + 1).to_be_bytes().to_vec());
            match store.commit(transaction).wait() {
                Ok(_) => return,
                Err(CommitError::Conflict) => {}
                Err(error) => panic!("incrementing a counter failed: {error}"),
            }
        }
    }
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    increment(store.as_ref(), &format!("counter{}", round % COUNTERS));
                }
            });
        }
    });
    let sum: u64 = scan(store.as_ref(), b"", None, 10, false)
        .rows
        .iter()
        .map(|row| u64::from_be_bytes(row.value.as_ref().try_into().expect("eight bytes")))
        .sum();
    assert_eq!(
        sum,
        ROUNDS * u64::try_from(THREADS).expect("few threads"),
        "no update is lost"
    );
}

fn create_if_absent_has_one_winner(store: &Arc<dyn MetaStore>) {
    for round in 0..10 {
        let key = format!("k{round}");
        let winners: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|number| {
                    let key = key.clone();
                    scope.spawn(move || {
                        // An injected conflict is told from a real one by reading again.
                        while read(store.as_ref(), T, key.as_bytes()).is_none() {
                            let create = Transaction::new().expect(T, key.clone(), None).put(
                                T,
                                key.clone(),
                                number.to_string(),
                            );
                            match store.commit(create).wait() {
                                Ok(_) => return 1,
                                Err(CommitError::Conflict) => {}
                                Err(error) => panic!("creating a row failed: {error}"),
                            }
                        }
                        0
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no clause failed"))
                .sum()
        });
        assert_eq!(winners, 1, "exactly one creation of a row succeeds");
    }
}

fn pairs_are_never_seen_half(store: &Arc<dyn MetaStore>) {
    const ROUNDS: u32 = 100;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                let value = round.to_string();
                commit(
                    store.as_ref(),
                    &Transaction::new()
                        .put(T, "left", value.clone())
                        .put(T, "right", value),
                );
            }
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::Acquire) {
                let Some(left) = read(store.as_ref(), T, b"left") else {
                    continue;
                };
                let right = read(store.as_ref(), T, b"right")
                    .expect("writes of one transaction become visible together");
                assert!(
                    left.version <= right.version,
                    "what was visible stays visible: the right half is at least as new"
                );
                assert!(left.version.0 >= last, "reads do not go back in time");
                last = left.version.0;
            }
        });
    });
}
