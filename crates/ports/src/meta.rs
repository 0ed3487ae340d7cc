//! The metadata port: an ordered, transactional key-value store with optimistic concurrency.
//!
//! Its operations are the ones that an embedded engine behind a journal, PostgreSQL and a
//! distributed ordered KV can all serve: point reads, paged scans, and a commit of conditions and
//! writes that either happens whole or reports a conflict. There are no long snapshots and no
//! callbacks under a lock.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::oneshot;

/// Longest key, in bytes. An object key of 1,024 bytes escaped and framed stays below it.
pub const KEY_MAX_BYTES: usize = 2560;
/// Longest value, in bytes.
pub const VALUE_MAX_BYTES: usize = 64 << 10;
/// Largest transaction, in bytes: keys and values of all conditions and writes.
pub const TRANSACTION_MAX_BYTES: usize = 1 << 20;

/// A keyspace of its own. The number is stored in the journal: never reuse one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Table(pub u8);

impl Table {
    /// Settings of the store itself: account, region, canonical id.
    pub const SETTINGS: Self = Self(1);
    /// Access keys by access key id.
    pub const ACCESS_KEYS: Self = Self(2);
    /// Buckets by name.
    pub const BUCKETS: Self = Self(3);
    /// What ListObjects shows: the current version of every key that has one.
    pub const CURRENT: Self = Self(4);
    /// All versions and delete markers of a key, newest first.
    pub const VERSIONS: Self = Self(5);
    /// The place of a key's null version, where it may not be the newest.
    pub const NULL_VERSIONS: Self = Self(6);
    /// Multipart uploads in progress.
    pub const UPLOADS: Self = Self(7);
    /// Parts of uploads and of completed multipart objects.
    pub const PARTS: Self = Self(8);
    /// Stored streams that are too small for a blob file.
    pub const INLINE: Self = Self(9);
    /// Blob files and who refers to them.
    pub const BLOBS: Self = Self(10);
    /// What the collector still has to remove.
    pub const GARBAGE: Self = Self(11);
    /// Audit events on their way into the ledger. Its keys are [written
    /// once](Table::is_written_once).
    pub const AUDIT: Self = Self(12);
    /// KMS keys by account, region and id.
    pub const KMS_KEYS: Self = Self(13);
    /// KMS aliases by account, region and name.
    pub const KMS_ALIASES: Self = Self(14);
    /// The same by key: which aliases a key has.
    pub const KMS_KEY_ALIASES: Self = Self(15);
    /// Wrapped key material by key id and material id.
    pub const KMS_MATERIALS: Self = Self(16);
    /// Grants by key id and grant id.
    pub const KMS_GRANTS: Self = Self(17);
    /// Grants by retiring principal.
    pub const KMS_RETIRABLE_GRANTS: Self = Self(18);
    /// When keys were last used.
    pub const KMS_LAST_USAGE: Self = Self(19);
    /// Jobs that re-encrypt many objects.
    pub const REENCRYPTION_JOBS: Self = Self(20);
    /// Policies of buckets, by bucket and the policy's own identity.
    pub const BUCKET_POLICIES: Self = Self(21);
    /// What was told of the ends of keys.
    pub const KMS_ANNOUNCED: Self = Self(22);
    /// Accounts by id.
    pub const IAM_ACCOUNTS: Self = Self(30);
    /// IAM users by account and unique id.
    pub const IAM_USERS: Self = Self(31);
    /// IAM groups by account and unique id.
    pub const IAM_GROUPS: Self = Self(32);
    /// IAM roles by account and unique id.
    pub const IAM_ROLES: Self = Self(33);
    /// Managed policies by account and unique id.
    pub const IAM_POLICIES: Self = Self(34);
    /// Versions of managed policies by account, policy and number.
    pub const IAM_POLICY_VERSIONS: Self = Self(35);
    /// Access keys of users, and of root users but the first account's, by account and key id.
    pub const IAM_ACCESS_KEYS: Self = Self(36);
    /// When access keys were last used, by account and key id.
    pub const IAM_KEY_USES: Self = Self(37);
    /// OpenID Connect providers by account and URL.
    pub const IAM_OIDC_PROVIDERS: Self = Self(38);
    /// Audit events in chained batches.
    pub const AUDIT_LEDGER: Self = Self(60);
    /// Where in the ledger LookupEvents finds what.
    pub const AUDIT_INDEX: Self = Self(61);
    /// Trails by account and name, and how far each has delivered.
    pub const AUDIT_TRAILS: Self = Self(62);
    /// Key pairs that sign digest files, for ever.
    pub const AUDIT_SIGNING_KEYS: Self = Self(63);
    /// Lines of server access logs that are not yet delivered.
    pub const ACCESS_LOGS: Self = Self(64);

    /// Whether every row of it is put once, and its key never again, not even when the row is gone:
    /// random ids are in the keys. A store may forget that such a row was deleted as soon as it is
    /// nowhere any more. Most of them live for a second, and need not be moved anywhere meanwhile.
    pub const fn is_written_once(self) -> bool {
        self.0 == Self::AUDIT.0
    }
}

/// The version of one row. It changes with every write to the row and is never used again for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RowVersion(pub u64);

/// The place of a commit in the order of all commits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CommitSequence(pub u64);

/// A stored value and its version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// The value.
    pub value: Bytes,
    /// Its version.
    pub version: RowVersion,
}

/// A row found by a scan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The whole key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// Its version.
    pub version: RowVersion,
}

/// A page of rows in key order. Pages of one listing need not come from one moment; each row is a
/// committed one.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The keyspace.
    pub table: Table,
    /// First key that may be returned.
    pub start: Bytes,
    /// First key that may not be returned; `None` is the end of the table.
    pub end: Option<Bytes>,
    /// Highest number of rows, at least one.
    pub limit: usize,
    /// From the end towards the start.
    pub reverse: bool,
}

/// What a scan found.
#[derive(Clone, Debug, Default)]
pub struct ScanPage {
    /// The rows, at most `limit`.
    pub rows: Vec<Row>,
    /// Whether the range holds further rows behind the last one.
    pub more: bool,
}

/// What must still be true when the transaction commits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// The row exists and still has this version.
    Unchanged {
        /// Keyspace.
        table: Table,
        /// Key.
        key: Bytes,
        /// The version read.
        version: RowVersion,
    },
    /// There is no such row.
    Absent {
        /// Keyspace.
        table: Table,
        /// Key.
        key: Bytes,
    },
    /// There is no row in `start..end`.
    RangeEmpty {
        /// Keyspace.
        table: Table,
        /// First key of the range.
        start: Bytes,
        /// First key behind the range; `None` is the end of the table.
        end: Option<Bytes>,
    },
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// Inserts or replaces a row.
    Put {
        /// Keyspace.
        table: Table,
        /// Key.
        key: Bytes,
        /// New value.
        value: Bytes,
    },
    /// Removes a row; removing one that does not exist is no error.
    Delete {
        /// Keyspace.
        table: Table,
        /// Key.
        key: Bytes,
    },
}

/// Conditions and writes that happen together or not at all. No two writes name the same row.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// All are applied.
    pub writes: Vec<Write>,
    /// See [`Transaction::taking_away`].
    pub takes_away: bool,
}

impl Transaction {
    /// A transaction without conditions and writes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires that the row read as `stored` (or found absent) is still so.
    #[must_use]
    pub fn expect(
        mut self,
        table: Table,
        key: impl Into<Bytes>,
        stored: Option<RowVersion>,
    ) -> Self {
        let key = key.into();
        self.conditions.push(match stored {
            Some(version) => Condition::Unchanged {
                table,
                key,
                version,
            },
            None => Condition::Absent { table, key },
        });
        self
    }

    /// Requires that `start..end` holds no row.
    #[must_use]
    pub fn expect_range_empty(
        mut self,
        table: Table,
        start: impl Into<Bytes>,
        end: Option<Bytes>,
    ) -> Self {
        self.conditions.push(Condition::RangeEmpty {
            table,
            start: start.into(),
            end,
        });
        self
    }

    /// Declares that the transaction takes something away (access, a key, material) and creates
    /// nothing that anybody would keep: its puts replace rows, order a destruction or record who
    /// asked. Such a transaction may use a small reserve below the floor of free space, because
    /// revoking and destroying must work on a full disk. Never mark what creates.
    #[must_use]
    pub fn taking_away(mut self) -> Self {
        self.takes_away = true;
        self
    }

    /// Inserts or replaces a row.
    #[must_use]
    pub fn put(mut self, table: Table, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.writes.push(Write::Put {
            table,
            key: key.into(),
            value: value.into(),
        });
        self
    }

    /// Removes a row.
    #[must_use]
    pub fn delete(mut self, table: Table, key: impl Into<Bytes>) -> Self {
        self.writes.push(Write::Delete {
            table,
            key: key.into(),
        });
        self
    }
}

/// The metadata store.
///
/// Contract:
/// - **Isolation.** Commits are serializable: the outcome is that of executing them one after the
///   other, each with its conditions checked and its writes applied at one instant. `read` and
///   `scan` return only committed, durable rows, and see every commit whose [`PendingCommit`]
///   resolved before they were called.
/// - **Durability.** When [`PendingCommit`] resolves to `Ok`, the writes survive kill -9 and power
///   loss. When it resolves to [`CommitError::Conflict`], nothing happened. On
///   [`CommitError::Failed`] the outcome is unknown until the store is opened again; the store is
///   poisoned and refuses further commits, reads go on. On [`CommitError::Unreadable`] nothing
///   happened, and the store goes on.
/// - **Written once.** The caller puts no row of a table that [is so](Table::is_written_once) twice.
/// - **Order.** Keys order by their bytes.
/// - **Bounds.** [`KEY_MAX_BYTES`], [`VALUE_MAX_BYTES`], [`TRANSACTION_MAX_BYTES`]; beyond them
///   [`CommitError::TooLarge`].
/// - **Space.** When the floor of free space is reached, commits fail with
///   [`CommitError::NoSpace`] except those that only delete rows, or beside that put only rows of
///   [`Table::GARBAGE`] and [`Table::CURRENT`], as removing an object does, and those that are
///   [`Transaction::taking_away`], until they have used up a reserve of half the floor, and those
///   that put only rows of the audit trail ([`Table::AUDIT`], [`Table::AUDIT_LEDGER`],
///   [`Table::AUDIT_INDEX`]), until they have used up a quarter of it: a key is used only if its
///   record is durable, and reading must go on. Reads go on, and writes work again once there is
///   space.
/// - Calls may block the thread on the disk: call from a worker thread. Only [`PendingCommit`] may
///   be awaited from a task.
pub trait MetaStore: Send + Sync {
    /// Reads one row.
    ///
    /// # Errors
    ///
    /// [`MetaError`].
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Stored>, MetaError>;

    /// Reads a page of rows.
    ///
    /// # Errors
    ///
    /// [`MetaError`].
    fn scan(&self, scan: &Scan) -> Result<ScanPage, MetaError>;

    /// As [`MetaStore::read`], if the answer is known without the disk. Never waits for the disk, so
    /// a task may call it.
    ///
    /// # Errors
    ///
    /// [`MetaError::NotInMemory`] when the answer is not known.
    fn read_in_memory(&self, _table: Table, _key: &[u8]) -> Result<Option<Stored>, MetaError> {
        Err(MetaError::NotInMemory)
    }

    /// Submits a transaction; it joins the next group commit.
    fn commit(&self, transaction: Transaction) -> PendingCommit;
}

/// A commit on its way to the disk. Await it from a task, or [`PendingCommit::wait`] on a worker.
/// Dropping it does not take the transaction back.
#[derive(Debug)]
pub struct PendingCommit {
    receiver: oneshot::Receiver<Result<Committed, CommitError>>,
}

impl PendingCommit {
    /// A pending commit and the end on which an adapter reports the outcome.
    pub fn channel() -> (oneshot::Sender<Result<Committed, CommitError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self { receiver })
    }

    /// A commit whose outcome is known already.
    pub fn ready(outcome: Result<Committed, CommitError>) -> Self {
        let (sender, pending) = Self::channel();
        // The receiver is alive: it is returned.
        let _ = sender.send(outcome);
        pending
    }

    /// Blocks the thread until the outcome is known. Not for async tasks.
    ///
    /// # Errors
    ///
    /// [`CommitError`].
    pub fn wait(self) -> Result<Committed, CommitError> {
        self.receiver
            .blocking_recv()
            .unwrap_or_else(|_| Err(committer_gone()))
    }
}

impl Future for PendingCommit {
    type Output = Result<Committed, CommitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver)
            .poll(cx)
            .map(|outcome| outcome.unwrap_or_else(|_| Err(committer_gone())))
    }
}

/// The receipt of a durable commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// Its place in the order of all commits. Rows written get [`RowVersion`] of the same number.
    pub sequence: CommitSequence,
}

/// Why a transaction did not commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A condition no longer holds; nothing was written. Read again, decide again, commit again.
    #[error("a condition of the transaction no longer holds")]
    Conflict,
    /// A bound of the port is exceeded; nothing was written.
    #[error("the transaction exceeds the store's bounds")]
    TooLarge,
    /// The floor of free space is reached; nothing was written.
    #[error("no space is left for metadata")]
    NoSpace,
    /// What a condition speaks of could not be read; nothing was written. The store goes on, and
    /// other rows may be readable.
    #[error("a row that the transaction depends on cannot be read: {0}")]
    Unreadable(String),
    /// The disk failed. The outcome is unknown and the store takes no more commits.
    #[error("metadata cannot be made durable: {0}")]
    Failed(String),
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetaError {
    /// The operating system or the engine failed.
    #[error("metadata i/o: {0}")]
    Io(String),
    /// What was read is not what was written.
    #[error("metadata is damaged: {0}")]
    Damaged(String),
    /// Only memory was asked, and it does not know.
    #[error("metadata is not in memory")]
    NotInMemory,
}

fn committer_gone() -> CommitError {
    CommitError::Failed("the committer has stopped".to_owned())
}
