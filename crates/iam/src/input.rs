//! Shapes that several operations share.

use minicbor::{Decode, Encode};

/// A tag. Tags are user data: `Debug` shows that there is one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Tag {
    /// 1 to 128 characters; unique without regard to case.
    #[n(0)]
    pub key: String,
    /// 0 to 256 characters.
    #[n(1)]
    pub value: String,
}

impl std::fmt::Debug for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tag")
    }
}

/// Which page of a listing.
#[derive(Clone, Debug, Default)]
pub struct PageInput {
    /// Where the last page ended.
    pub marker: Option<String>,
    /// Most entries, 1 to 1,000.
    pub max_items: Option<u32>,
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next_marker: Option<String>,
}

impl<T> Page<T> {
    /// The same page of other entries.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page {
            entries: self.entries.into_iter().map(change).collect(),
            next_marker: self.next_marker,
        }
    }
}
