//! The tokens that refused a PIN: none is given it twice, as tokens lock after a few wrong ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// Labels of tokens. Clones are the same set: it outlives the start, which may be the first to learn.
#[derive(Clone, Default)]
pub(crate) struct Refusals(Arc<Mutex<BTreeSet<String>>>);

#[cfg(feature = "pkcs11")]
impl Refusals {
    /// Notes that the token refused.
    pub(super) fn note(&self, token: &str) {
        self.0.lock().insert(token.to_owned());
    }

    /// Whether it did before.
    pub(super) fn holds(&self, token: &str) -> bool {
        self.0.lock().contains(token)
    }
}
