//! The engines behind one small face, each with the settings that an index behind a journal wants.

use std::path::Path;

use fjall::{KeyspaceCreateOptions, PersistMode};
use heed::types::Bytes;
use redb::{ReadableDatabase, TableDefinition};

/// Memory for pages, as `MetaOptions::index_cache_bytes`. LMDB has no cache of its own.
const CACHE_BYTES: usize = 48 << 20;
const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");

pub type Row = (Vec<u8>, Vec<u8>);

/// An ordered key-value store.
pub trait Engine: Send + Sync {
    /// Writes all rows, atomically and durably.
    fn apply(&self, rows: &[Row]);
    /// The length of a value.
    fn get(&self, key: &[u8]) -> Option<usize>;
    /// Hands rows from `start` on to `each` until it says false.
    fn scan(&self, start: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool);
    /// Keys that begin a group: `next` says where the following group begins. One snapshot.
    fn seek_skip(&self, start: &[u8], count: usize, next: &dyn Fn(&[u8]) -> Vec<u8>) -> usize;
}

pub const NAMES: &[&str] = &["redb", "redb-slow-repair", "fjall", "lmdb"];

pub fn open(name: &str, directory: &Path) -> Box<dyn Engine> {
    match name {
        "redb" => Box::new(Redb::open(directory, true)),
        "redb-slow-repair" => Box::new(Redb::open(directory, false)),
        "fjall" => Box::new(Fjall::open(directory)),
        "lmdb" => Box::new(Lmdb::open(directory)),
        other => panic!("no engine {other}"),
    }
}

struct Redb {
    database: redb::Database,
    quick_repair: bool,
}

impl Redb {
    fn open(directory: &Path, quick_repair: bool) -> Self {
        let database = redb::Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(directory.join("rows.redb"))
            .unwrap();
        let this = Self {
            database,
            quick_repair,
        };
        this.apply(&[]);
        this
    }

    fn table(&self) -> redb::ReadOnlyTable<&'static [u8], &'static [u8]> {
        self.database
            .begin_read()
            .unwrap()
            .open_table(ROWS)
            .unwrap()
    }
}

impl Engine for Redb {
    fn apply(&self, rows: &[Row]) {
        let mut writing = self.database.begin_write().unwrap();
        // Implies two-phase commit.
        writing.set_quick_repair(self.quick_repair);
        {
            let mut table = writing.open_table(ROWS).unwrap();
            for (key, value) in rows {
                table.insert(key.as_slice(), value.as_slice()).unwrap();
            }
        }
        writing.commit().unwrap();
    }

    fn get(&self, key: &[u8]) -> Option<usize> {
        self.table()
            .get(key)
            .unwrap()
            .map(|value| value.value().len())
    }

    fn scan(&self, start: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        for row in self.table().range::<&[u8]>(start..).unwrap() {
            let (key, value) = row.unwrap();
            if !each(key.value(), value.value()) {
                return;
            }
        }
    }

    fn seek_skip(&self, start: &[u8], count: usize, next: &dyn Fn(&[u8]) -> Vec<u8>) -> usize {
        let table = self.table();
        let mut start = start.to_vec();
        for found in 0..count {
            let mut range = table.range::<&[u8]>(start.as_slice()..).unwrap();
            let Some(row) = range.next() else {
                return found;
            };
            start = next(row.unwrap().0.value());
        }
        count
    }
}

struct Fjall {
    database: fjall::Database,
    rows: fjall::Keyspace,
}

impl Fjall {
    fn open(directory: &Path) -> Self {
        let database = fjall::Database::builder(directory.join("fjall"))
            .cache_size(CACHE_BYTES as u64)
            .open()
            .unwrap();
        let rows = database
            .keyspace("rows", KeyspaceCreateOptions::default)
            .unwrap();
        Self { database, rows }
    }
}

impl Engine for Fjall {
    fn apply(&self, rows: &[Row]) {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for (key, value) in rows {
            batch.insert(&self.rows, key.as_slice(), value.as_slice());
        }
        batch.commit().unwrap();
    }

    fn get(&self, key: &[u8]) -> Option<usize> {
        self.rows.get(key).unwrap().map(|value| value.len())
    }

    fn scan(&self, start: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        for row in self.rows.range(start.to_vec()..) {
            let (key, value) = row.into_inner().unwrap();
            if !each(&key, &value) {
                return;
            }
        }
    }

    fn seek_skip(&self, start: &[u8], count: usize, next: &dyn Fn(&[u8]) -> Vec<u8>) -> usize {
        let mut start = start.to_vec();
        for found in 0..count {
            let Some(row) = self.rows.range(start..).next() else {
                return found;
            };
            start = next(&row.key().unwrap());
        }
        count
    }
}

struct Lmdb {
    env: heed::Env,
    rows: heed::Database<Bytes, Bytes>,
}

impl Lmdb {
    fn open(directory: &Path) -> Self {
        let path = directory.join("lmdb");
        std::fs::create_dir_all(&path).unwrap();
        let mut options = heed::EnvOpenOptions::new();
        options.map_size(8 << 30);
        // SAFETY: nobody else opens or cuts the file while it is mapped.
        let env = unsafe { options.open(path) }.unwrap();
        let mut writing = env.write_txn().unwrap();
        let rows = env.create_database(&mut writing, None).unwrap();
        writing.commit().unwrap();
        Self { env, rows }
    }
}

impl Engine for Lmdb {
    fn apply(&self, rows: &[Row]) {
        let mut writing = self.env.write_txn().unwrap();
        for (key, value) in rows {
            self.rows.put(&mut writing, key, value).unwrap();
        }
        writing.commit().unwrap();
    }

    fn get(&self, key: &[u8]) -> Option<usize> {
        let reading = self.env.read_txn().unwrap();
        self.rows.get(&reading, key).unwrap().map(<[u8]>::len)
    }

    fn scan(&self, start: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        use std::ops::Bound::{Included, Unbounded};
        let reading = self.env.read_txn().unwrap();
        let range = (Included(start), Unbounded);
        for row in self.rows.range(&reading, &range).unwrap() {
            let (key, value) = row.unwrap();
            if !each(key, value) {
                return;
            }
        }
    }

    fn seek_skip(&self, start: &[u8], count: usize, next: &dyn Fn(&[u8]) -> Vec<u8>) -> usize {
        use std::ops::Bound::{Included, Unbounded};
        let reading = self.env.read_txn().unwrap();
        let mut start = start.to_vec();
        for found in 0..count {
            let range = (Included(start.as_slice()), Unbounded);
            let mut rows = self.rows.range(&reading, &range).unwrap();
            let Some(row) = rows.next() else { return found };
            let key = next(row.unwrap().0);
            drop(rows);
            start = key;
        }
        count
    }
}
