//! The keys of OpenID Connect issuers: from files, or fetched from the issuers, and kept for a while.
//!
//! An account's people name issuers, so a fetch is a request that they make this server send. It goes
//! to public addresses only (unless the operator says otherwise), over HTTPS to a server that proves
//! its name, follows no redirect, takes seconds and kilobytes at most, and what comes back is never
//! shown.

mod addresses;
mod fetch;
mod trust;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use strongroom_iam::{IssuerKeys, IssuerKeysError, KeySet};

use self::fetch::Fetcher;
use crate::config::Settings;
use crate::failure::Failure;

/// How long keys are used before the issuer is asked again.
const KEPT_FOR: Duration = Duration::from_secs(3600);
/// How soon it is asked again for a key that is not known, or that it could not give.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Issuers whose keys are kept at most.
const ISSUERS_MAX: usize = 256;
/// Fetches at a time; the rest is told that the issuer does not answer, and tries again.
const FETCHES_MAX: usize = 16;

/// Finds the keys of issuers.
pub(crate) struct Issuers {
    files: HashMap<String, PathBuf>,
    fetcher: Fetcher,
    kept: Mutex<HashMap<Asked, Arc<Issuer>>>,
    fetching: AtomicUsize,
}

/// Thumbprints belong to it: what one account trusts a server by is not what another does.
type Asked = (String, Vec<String>);

/// What is known of an issuer. The lock is held while it is asked, so that it is asked once.
#[derive(Default)]
struct Issuer(Mutex<Option<Known>>);

struct Known {
    at: Instant,
    keys: Result<Arc<KeySet>, IssuerKeysError>,
}

impl Issuers {
    /// As the settings have it.
    ///
    /// # Errors
    ///
    /// [`Exit::Usage`](crate::failure::Exit::Usage) for a file of certificates that cannot be used.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Failure> {
        let files = settings.oidc_jwks.iter();
        let files = files.map(|it| (it.issuer.clone(), it.file.clone()));
        Ok(Self {
            files: files.collect(),
            fetcher: Fetcher::new(
                trust::roots(settings.oidc_ca.as_deref())?,
                settings.oidc_allow_private,
            ),
            kept: Mutex::default(),
            fetching: AtomicUsize::new(0),
        })
    }

    fn issuer(&self, asked: Asked) -> Arc<Issuer> {
        let mut kept = self.kept.lock();
        if kept.len() >= ISSUERS_MAX && !kept.contains_key(&asked) {
            kept.clear();
        }
        Arc::clone(kept.entry(asked).or_default())
    }

    fn fetch(&self, issuer: &str, thumbprints: &[String]) -> Result<Arc<KeySet>, IssuerKeysError> {
        let busy = || IssuerKeysError::Unreachable("too many issuers are asked at once".to_owned());
        if self.fetching.fetch_add(1, Ordering::AcqRel) >= FETCHES_MAX {
            self.fetching.fetch_sub(1, Ordering::AcqRel);
            return Err(busy());
        }
        let fetched = self.fetcher.keys(issuer, thumbprints);
        self.fetching.fetch_sub(1, Ordering::AcqRel);
        fetched.map(Arc::new)
    }
}

impl IssuerKeys for Issuers {
    fn keys(
        &self,
        issuer: &str,
        thumbprints: &[String],
        newer: Option<&Arc<KeySet>>,
    ) -> Result<Arc<KeySet>, IssuerKeysError> {
        if let Some(file) = self.files.get(issuer) {
            return read(file);
        }
        let entry = self.issuer((issuer.to_owned(), thumbprints.to_vec()));
        let wait = fetch::PATIENCE.saturating_mul(2);
        let Some(mut known) = entry.0.try_lock_for(wait) else {
            return Err(IssuerKeysError::Unreachable(
                "it is being asked for too long".to_owned(),
            ));
        };
        if let Some(known) = &*known {
            let age = known.at.elapsed();
            let is_fresh = match (&known.keys, newer) {
                (Ok(keys), Some(old)) => !Arc::ptr_eq(keys, old) || age < ASKED_AGAIN_AFTER,
                (Ok(_), None) => age < KEPT_FOR,
                (Err(_), _) => age < ASKED_AGAIN_AFTER,
            };
            if is_fresh {
                return known.keys.clone();
            }
        }
        let keys = self.fetch(issuer, thumbprints);
        // Keys that were good stay so while the issuer does not answer, for their time.
        let still_good = known
            .as_ref()
            .filter(|it| keys.is_err() && it.keys.is_ok() && it.at.elapsed() < KEPT_FOR)
            .map(|it| it.keys.clone());
        if let Some(good) = still_good {
            return good;
        }
        *known = Some(Known {
            at: Instant::now(),
            keys: keys.clone(),
        });
        keys
    }
}

/// A file is read each time: it is local, and its owner replaces it without telling anybody.
fn read(file: &std::path::Path) -> Result<Arc<KeySet>, IssuerKeysError> {
    let unusable = |why: String| IssuerKeysError::Unusable(format!("{}: {why}", file.display()));
    let text = crate::files::read(file).map_err(|error| unusable(error.to_string()))?;
    let keys = KeySet::parse(&text).map_err(|error| unusable(error.to_string()))?;
    Ok(Arc::new(keys))
}
