//! Which data events somebody wants: looked at in memory before anything is done for one, so that a
//! store without trails for them pays nothing.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::event::Event;
use crate::trails::Selectors;

/// Which data events are recorded, whatever trails want. Denials always are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DataLevel {
    /// Denials alone.
    #[default]
    Denied,
    /// Changes as well.
    Write,
    /// All.
    All,
}

/// The wishes of all trails that deliver now, and of the operator. Clones share them.
#[derive(Clone, Debug)]
pub struct DataEvents {
    level: DataLevel,
    wishes: Arc<ArcSwap<Wishes>>,
}

#[derive(Clone, Debug)]
enum Wishes {
    /// Of whose account what.
    Known(Vec<(String, Selectors)>),
    /// They could not be read: everything is recorded until they are.
    Unknown,
}

impl DataEvents {
    /// What the operator wants, and no trail yet.
    pub fn new(level: DataLevel) -> Self {
        Self {
            level,
            wishes: Arc::new(ArcSwap::from_pointee(Wishes::Known(Vec::new()))),
        }
    }

    /// Whether there can be an event that somebody wants: without that, none needs to be built.
    pub fn any(&self) -> bool {
        match self.level {
            DataLevel::Write | DataLevel::All => true,
            DataLevel::Denied => match &**self.wishes.load() {
                Wishes::Known(wishes) => !wishes.is_empty(),
                Wishes::Unknown => true,
            },
        }
    }

    /// Whether somebody wants this one.
    pub fn take(&self, event: &Event) -> bool {
        let by_level = match self.level {
            DataLevel::All => true,
            DataLevel::Write => !event.read_only,
            DataLevel::Denied => false,
        };
        by_level
            || match &**self.wishes.load() {
                Wishes::Known(wishes) => wishes.iter().any(|(account, selectors)| {
                    *account == event.account && selectors.takes(event)
                }),
                Wishes::Unknown => true,
            }
    }

    /// What trails want from now on.
    pub(crate) fn set(&self, wishes: Vec<(String, Selectors)>) {
        self.wishes.store(Arc::new(Wishes::Known(wishes)));
    }

    /// Nobody knows what trails want.
    pub(crate) fn lose(&self) {
        self.wishes.store(Arc::new(Wishes::Unknown));
    }
}

impl Default for DataEvents {
    fn default() -> Self {
        Self::new(DataLevel::default())
    }
}
