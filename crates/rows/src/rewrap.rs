//! Walking through wrapped keys after a rotation of the root key, page by page, for whoever keeps
//! some: the caller keeps the place, and a page that is done twice finds nothing to do.

use bytes::Bytes;
use strongroom_ports::{MetaError, MetaStore, Row, Scan, Table};

/// Most rows of a page.
const PAGE_MAX: usize = 1000;

/// What is done with what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewrapTask {
    /// Wrap it anew under the active version of the root key.
    Rewrap,
    /// Change nothing, and count what needs this version of the root key or an older one.
    Count(u32),
}

/// What became of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewrapped {
    /// There was nothing to do, or to count.
    Nothing,
    /// It was wrapped anew, or counted.
    Matched,
    /// It is damaged, and the log names it: it counts as one that needs the old version.
    Failed,
}

/// What one page came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RewrapPage {
    /// Rows looked at.
    pub looked_at: u64,
    /// Wrapped anew; or counted.
    pub matched: u64,
    /// Not wrapped anew, because they are damaged.
    pub failed: u64,
    /// From where the next page goes on; nothing at the end.
    pub next: Option<Bytes>,
}

impl RewrapPage {
    /// Does `work` to up to `limit` rows of `table` from `start` to `end`, or behind `after`.
    ///
    /// Blocks on the store: call from a worker thread.
    ///
    /// # Errors
    ///
    /// Those of `work` and of the store: nothing is known of the page; do it again.
    pub fn work_through<E: From<MetaError>>(
        meta: &dyn MetaStore,
        table: Table,
        (start, end): (Bytes, Option<Bytes>),
        after: Option<&Bytes>,
        limit: usize,
        mut work: impl FnMut(&Row) -> Result<Rewrapped, E>,
    ) -> Result<Self, E> {
        let page = meta.scan(&Scan {
            table,
            start: after.map_or(start, |after| [after, [0].as_slice()].concat().into()),
            end,
            limit: limit.clamp(1, PAGE_MAX),
            reverse: false,
        })?;
        let last = page.rows.last().map(|row| row.key.clone());
        let mut done = Self {
            next: last.filter(|_| page.more),
            ..Self::default()
        };
        for row in &page.rows {
            done.looked_at += 1;
            match work(row)? {
                Rewrapped::Nothing => {}
                Rewrapped::Matched => done.matched += 1,
                Rewrapped::Failed => done.failed += 1,
            }
        }
        Ok(done)
    }
}
