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
use strongroom_types::AccountId;

use self::fetch::Fetcher;
use crate::config::Settings;
use crate::failure::Failure;

/// How long keys are used before the issuer is asked again.
const KEPT_FOR: Duration = Duration::from_secs(3600);
/// How soon it is asked again for a key that is not known, or that it could not give.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Issuers of one account whose keys are kept at most; more than providers that it can have.
const ISSUERS_MAX: usize = 128;
/// Requests of one account that ask an issuer, or wait for one that is being asked. Each holds a
/// thread: the rest is told that the issuer does not answer, and tries again.
const WAITING_MAX: usize = 4;
/// How long a request waits for another that asks the same issuer.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Finds the keys of issuers.
pub(crate) struct Issuers {
    files: HashMap<String, PathBuf>,
    ask: Box<Ask>,
    tenants: Mutex<HashMap<AccountId, Arc<Tenant>>>,
}

/// Asks an issuer with these thumbprints. It may block for [`fetch::PATIENCE`].
type Ask = dyn Fn(&str, &[String]) -> Result<KeySet, IssuerKeysError> + Send + Sync;

/// What one account asked for. Nothing is shared between accounts: one that trusts a slow or hostile
/// issuer takes neither the others' places nor what is known for them.
#[derive(Default)]
struct Tenant {
    issuers: Mutex<HashMap<Asked, Arc<Issuer>>>,
    waiting: AtomicUsize,
}

/// Issuer and thumbprints.
type Asked = (String, Vec<String>);

/// What is known of an issuer.
#[derive(Default)]
struct Issuer {
    /// Held for a moment only.
    known: Mutex<Option<Known>>,
    /// Held while it is asked, so that it is asked once.
    asking: Mutex<()>,
}

struct Known {
    /// When it was asked last, and when these keys came.
    asked: Instant,
    at: Instant,
    keys: Result<Arc<KeySet>, IssuerKeysError>,
}

/// The right to hold a thread, until it is dropped.
struct Place<'a>(&'a Tenant);

impl Issuers {
    /// As the settings have it.
    ///
    /// # Errors
    ///
    /// [`Exit::Usage`](crate::failure::Exit::Usage) for a file of certificates that cannot be used.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Failure> {
        let files = settings.oidc_jwks.iter();
        let files = files.map(|it| (it.issuer.clone(), it.file.clone()));
        let fetcher = Fetcher::new(
            trust::roots(settings.oidc_ca.as_deref())?,
            settings.oidc_allow_private,
        );
        Ok(Self {
            files: files.collect(),
            ask: Box::new(move |issuer, thumbprints| fetcher.keys(issuer, thumbprints)),
            tenants: Mutex::default(),
        })
    }

    fn tenant(&self, account: AccountId) -> Arc<Tenant> {
        Arc::clone(self.tenants.lock().entry(account).or_default())
    }
}

impl Tenant {
    fn issuer(&self, asked: Asked) -> Arc<Issuer> {
        let mut issuers = self.issuers.lock();
        if issuers.len() >= ISSUERS_MAX && !issuers.contains_key(&asked) {
            issuers.clear();
        }
        Arc::clone(issuers.entry(asked).or_default())
    }

    fn place(&self) -> Option<Place<'_>> {
        let place = Place(self);
        (self.waiting.fetch_add(1, Ordering::AcqRel) < WAITING_MAX).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Issuer {
    /// What is known, if it is good enough not to ask.
    fn fresh(&self, newer: Option<&Arc<KeySet>>) -> Option<Result<Arc<KeySet>, IssuerKeysError>> {
        let known = self.known.lock();
        let known = known.as_ref()?;
        let was_just_asked = known.asked.elapsed() < ASKED_AGAIN_AFTER;
        let is_fresh = match (&known.keys, newer) {
            (Ok(keys), Some(old)) => !Arc::ptr_eq(keys, old) || was_just_asked,
            (Ok(_), None) => known.at.elapsed() < KEPT_FOR,
            (Err(_), _) => was_just_asked,
        };
        is_fresh.then(|| known.keys.clone())
    }

    /// Keeps what the issuer said. Keys that were good stay so while it does not answer, for their
    /// time.
    fn keep(
        &self,
        keys: Result<Arc<KeySet>, IssuerKeysError>,
    ) -> Result<Arc<KeySet>, IssuerKeysError> {
        let now = Instant::now();
        let mut known = self.known.lock();
        match &mut *known {
            Some(good) if keys.is_err() && good.keys.is_ok() && good.at.elapsed() < KEPT_FOR => {
                good.asked = now;
                good.keys.clone()
            }
            _ => {
                *known = Some(Known {
                    asked: now,
                    at: now,
                    keys: keys.clone(),
                });
                keys
            }
        }
    }
}

impl IssuerKeys for Issuers {
    fn keys(
        &self,
        account: AccountId,
        issuer: &str,
        thumbprints: &[String],
        newer: Option<&Arc<KeySet>>,
    ) -> Result<Arc<KeySet>, IssuerKeysError> {
        if let Some(file) = self.files.get(issuer) {
            return read(file);
        }
        let tenant = self.tenant(account);
        let entry = tenant.issuer((issuer.to_owned(), thumbprints.to_vec()));
        if let Some(known) = entry.fresh(newer) {
            return known;
        }
        // Never kept: it says nothing of the issuer.
        let busy = || IssuerKeysError::Unreachable("it is being asked; try again".to_owned());
        let _place = tenant.place().ok_or_else(busy)?;
        let _alone = entry.asking.try_lock_for(LOCK_PATIENCE).ok_or_else(busy)?;
        // Whoever was first has asked for all.
        if let Some(known) = entry.fresh(newer) {
            return known;
        }
        entry.keep((self.ask)(issuer, thumbprints).map(Arc::new))
    }
}

/// A file is read each time: it is local, and its owner replaces it without telling anybody.
fn read(file: &std::path::Path) -> Result<Arc<KeySet>, IssuerKeysError> {
    let unusable = |why: String| IssuerKeysError::Unusable(format!("{}: {why}", file.display()));
    let text = crate::files::read(file).map_err(|error| unusable(error.to_string()))?;
    let keys = KeySet::parse(&text).map_err(|error| unusable(error.to_string()))?;
    Ok(Arc::new(keys))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;

    use super::*;

    const SLOW: &str = "https://slow.example";

    fn set() -> Result<KeySet, IssuerKeysError> {
        let keys = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        KeySet::parse(keys).map_err(|error| IssuerKeysError::Unusable(error.to_string()))
    }

    fn issuers(ask: Box<Ask>) -> Issuers {
        Issuers {
            files: HashMap::new(),
            ask,
            tenants: Mutex::default(),
        }
    }

    fn account(text: &str) -> AccountId {
        AccountId::parse(text).unwrap()
    }

    #[test]
    fn one_accounts_slow_issuers_keep_no_other_account_waiting() {
        let (began, begins) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let issuers = issuers(Box::new(move |issuer, _| {
            if issuer.starts_with(SLOW) {
                began.send(()).unwrap();
                released.lock().recv().unwrap();
            }
            set()
        }));
        let (evil, good) = (account("111111111111"), account("222222222222"));
        let (busy, answered) = std::thread::scope(|scope| {
            for number in 0..WAITING_MAX {
                let issuers = &issuers;
                scope.spawn(move || {
                    issuers
                        .keys(evil, &format!("{SLOW}/{number}"), &[], None)
                        .unwrap();
                });
            }
            for _ in 0..WAITING_MAX {
                begins.recv().unwrap();
            }
            let busy = issuers.keys(evil, "https://good.example", &[], None);
            let answered = issuers.keys(good, "https://good.example", &[], None);
            for _ in 0..WAITING_MAX {
                release.send(()).unwrap();
            }
            (busy, answered)
        });
        assert!(matches!(busy, Err(IssuerKeysError::Unreachable(_))));
        assert!(answered.is_ok());
        // That there was no place is not remembered.
        assert!(
            issuers
                .keys(evil, "https://good.example", &[], None)
                .is_ok()
        );
    }

    #[test]
    fn known_keys_are_given_while_the_issuer_is_asked_for_newer_ones_and_stay_if_it_fails() {
        let fails = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicUsize::new(0));
        let (is_failing, count) = (Arc::clone(&fails), Arc::clone(&asked));
        let issuers = issuers(Box::new(move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            if is_failing.load(Ordering::Relaxed) {
                return Err(IssuerKeysError::Unreachable("gone".to_owned()));
            }
            set()
        }));
        let owner = account("111111111111");
        let ask = |newer| issuers.keys(owner, SLOW, &[], newer);
        let first = ask(None).unwrap();
        // Just asked: keys that nobody has are no reason to ask at once again.
        assert!(Arc::ptr_eq(&ask(Some(&first)).unwrap(), &first));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let entry = issuers.tenant(owner).issuer((SLOW.to_owned(), Vec::new()));
        if let Some(known) = &mut *entry.known.lock() {
            known.asked = Instant::now().checked_sub(ASKED_AGAIN_AFTER).unwrap();
        }
        let being_asked = entry.asking.lock();
        assert!(Arc::ptr_eq(&ask(None).unwrap(), &first));
        drop(being_asked);
        fails.store(true, Ordering::Relaxed);
        assert!(Arc::ptr_eq(&ask(Some(&first)).unwrap(), &first));
        assert!(Arc::ptr_eq(&ask(Some(&first)).unwrap(), &first));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
