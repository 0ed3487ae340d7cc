//! The server as a whole: sealed at first perhaps, and then open.
//!
//! ```text
//!   sealed:  gate shut, readiness fails, the admin socket takes passphrases and shares
//!      | unseal
//!      v
//!   open:    store, services, background threads; the gate lets requests through
//! ```

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;
use strongroom_api::Gate;
use strongroom_api::server::{ShutdownSwitch, TlsReloader};
use strongroom_audit::{AuditLog, Params};
use strongroom_explain::{Explainer, ExplainerPorts};
use strongroom_ports::{Clock, Entropy, SealError, SealKind};
use strongroom_types::Timestamp;
use tokio::runtime::Handle;

use super::background::{Background, Stuck};
use super::deeds::{self, Deed};
use super::explaining::Explaining;
use super::reencryption::ReEncryption;
use super::running::Running;
use super::verifying::Verifying;
use super::{
    Parts, admin_failure, assemble, audit_trail, collector, due_work, edge, first_start, impact,
    key_uses, shown,
};
use crate::admin::{AdminActions, Answer, Gift, Request, SealRequest, SealState, VerifyRequest};
use crate::audit::AuditReading;
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::ring_files::{OpenedRing, RingFileError, RingFiles};
use crate::seals::ask::Brought;
use crate::seals::means::{Given, Means};
use crate::seals::refusals::Refusals;
use crate::seals::shares::{Collected, Collector, Progress};
use crate::seals::slots;
use crate::{notes, output, unseal};

/// The first pause between two tries of seals that need nobody.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Where the server listens.
pub(super) struct Listening {
    pub(super) http: Option<SocketAddr>,
    pub(super) https: Option<SocketAddr>,
    pub(super) tls: Option<Arc<TlsReloader>>,
}

impl Listening {
    fn addresses(&self) -> Vec<SocketAddr> {
        self.http.into_iter().chain(self.https).collect()
    }
}

/// Everything that lives as long as the process.
pub(super) struct House {
    settings: Settings,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    gate: Arc<Gate>,
    stuck: Stuck,
    metrics: PrometheusHandle,
    listening: OnceLock<Listening>,
    /// The open store.
    parts: OnceLock<Parts>,
    running: OnceLock<Running>,
    background: Mutex<Vec<Background>>,
    /// Held by whoever opens the store: people and the retrying thread may come at once.
    opening: Mutex<()>,
    shares: Mutex<Collector>,
    /// Why it is sealed.
    why: Mutex<String>,
    /// The tokens that refused the PIN of the settings: nothing gives it again but a person.
    refusals: Refusals,
    /// Ends the server.
    switch: OnceLock<ShutdownSwitch>,
    /// What is wrong with the store, found by nobody who could be told.
    fatal: OnceLock<Failure>,
    /// The server ends.
    closing: AtomicBool,
    verifying: Verifying,
    /// When the process started.
    since: Timestamp,
    /// Attempts of people to open it that failed.
    refused: AtomicU64,
}

/// How a server opens that nobody opened.
const AUTOMATIC: &str = "automatic seal";

/// What somebody brought to open it, as records call it.
fn gift_name(gift: &Gift) -> &'static str {
    match gift {
        Gift::Passphrase { .. } => "passphrase",
        Gift::Share { .. } => "shares",
        Gift::KeyFile { .. } => "key file",
        Gift::Pin { .. } => "token",
        Gift::Automatic => AUTOMATIC,
    }
}

impl House {
    /// A house that is sealed and listens nowhere.
    pub(super) fn new(
        settings: &Settings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        metrics: PrometheusHandle,
        refusals: Refusals,
    ) -> Self {
        Self {
            settings: settings.clone(),
            since: clock.now(),
            refused: AtomicU64::new(0),
            gate: Arc::new(Gate::shut(Arc::clone(&entropy))),
            clock,
            entropy,
            stuck: Stuck::default(),
            metrics,
            listening: OnceLock::new(),
            parts: OnceLock::new(),
            running: OnceLock::new(),
            background: Mutex::default(),
            opening: Mutex::default(),
            shares: Mutex::default(),
            why: Mutex::default(),
            refusals,
            switch: OnceLock::new(),
            fatal: OnceLock::new(),
            closing: AtomicBool::new(false),
            verifying: Verifying::default(),
        }
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(super) fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }

    pub(super) fn metrics(&self) -> PrometheusHandle {
        self.metrics.clone()
    }

    /// The store, once it is open.
    pub(super) fn parts(&self) -> Option<&Parts> {
        self.parts.get()
    }

    /// Opens the store with its ring. It waits for commits, and so must not be called by a task.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the store.
    pub(super) fn assemble(&self, ring: OpenedRing) -> Result<Parts, Failure> {
        let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        let parts = assemble(&self.settings, ring, clock, entropy)?;
        // What was done while it was closed is on record before anybody is answered.
        self.take_notes(&parts.audit)?;
        Ok(parts)
    }

    /// Says where it listens; once.
    pub(super) fn listens(&self, listening: Listening) {
        let _ = self.listening.set(listening);
    }

    /// Says how it ends; once.
    pub(super) fn ends_by(&self, switch: ShutdownSwitch) {
        let _ = self.switch.set(switch);
    }

    /// How the program ends.
    ///
    /// # Errors
    ///
    /// What would have kept the server from starting, if it was found only later.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        self.fatal.get().cloned().map_or(Ok(()), Err)
    }

    /// Why the server should get no requests now.
    pub(super) fn readiness(&self) -> Result<(), String> {
        let Some(parts) = self.parts.get() else {
            return Err(format!(
                "sealed: {}; run strongroom unseal",
                self.why.lock()
            ));
        };
        match parts.meta.stopped() {
            Some(reason) => Err(format!("the metadata store takes no commits: {reason}")),
            None if self.stuck.any() => {
                Err("a thread in the background panics again and again; see the log".to_owned())
            }
            None => Ok(()),
        }
    }

    /// Begins to serve: lets requests through, and starts what works beside them. Called within the
    /// runtime.
    ///
    /// # Errors
    ///
    /// When there is no thread.
    pub(super) fn open(&self, parts: Parts) -> Result<(), Failure> {
        let Listening { http, https, tls } = self.listening()?;
        let (http, https) = (*http, *https);
        let running = Running {
            settings: self.settings.clone(),
            accounts: parts.accounts.clone(),
            account: parts.account.clone(),
            credentials: parts.credentials.clone(),
            iam: parts.iam.clone(),
            reencryption: ReEncryption {
                s3: parts.s3.clone(),
                account: parts.account.clone(),
                clock: parts.clock.clone(),
                entropy: parts.entropy.clone(),
            },
            root_key: parts.root_key.clone(),
            backups: parts.backups.clone(),
            kms: parts.kms.clone(),
            explaining: Explaining(Explainer::new(ExplainerPorts {
                identities: parts.iam.identities().clone(),
                authorizer: parts.authorizer.clone(),
                s3: parts.s3.clone(),
                kms: parts.kms.clone(),
                clock: parts.clock.clone(),
                entropy: parts.entropy.clone(),
                region: parts.account.region.clone(),
            })),
            audit: AuditReading::new(parts.audit.clone()),
            http,
            https,
            tls: tls.clone(),
        };
        let threads = [
            collector::start(
                parts.s3.clone(),
                parts.meta.clone(),
                parts.backups.clone(),
                self.stuck.clone(),
            ),
            audit_trail::start(
                &parts.audit,
                &parts.recorder,
                parts.kms.clone(),
                &self.settings.data,
                self.stuck.clone(),
            ),
            parts.access_logs.start(self.stuck.clone()),
            audit_trail::deliver(
                &parts.audit,
                parts.signer.clone(),
                &parts.delivery,
                self.settings.trail_delivery_interval,
                self.stuck.clone(),
            ),
            due_work::start(parts.kms.clone(), self.stuck.clone()),
            parts.root_key.start(self.stuck.clone()),
            impact::start(
                parts.accounts.sealed_rows(),
                parts.kms.clone(),
                self.stuck.clone(),
            ),
            key_uses::start(parts.iam.identities().clone(), self.stuck.clone()),
        ];
        for thread in threads {
            let thread = thread.map_err(|error| admin_failure(&error))?;
            self.background.lock().push(thread);
        }
        let front = edge::handler(&self.settings, &parts);
        let account = parts.account.clone();
        let _ = self.running.set(running);
        let _ = self.parts.set(parts);
        self.gate.open(front);
        metrics::gauge!("strongroom_sealed").set(0.0);
        tracing::info!(?http, ?https, region = %account.region, "ready");
        Ok(())
    }

    /// Takes what commands did by themselves into the trail.
    fn take_notes(&self, audit: &AuditLog) -> Result<(), Failure> {
        let taken = notes::take_in(&self.settings.data, audit).map_err(|error| {
            Failure::new(
                Exit::Store,
                format!("what commands did without the server cannot be recorded: {error}"),
                "make room on the disk of the data directory, and look at DIR/deeds",
            )
        })?;
        for why in &taken.unreadable {
            tracing::error!(%why, "a note for the audit trail cannot be read, and stays");
        }
        if taken.recorded > 0 {
            tracing::info!(count = taken.recorded, "notes of commands are recorded");
        }
        Ok(())
    }

    /// Says on standard output that it serves.
    ///
    /// # Errors
    ///
    /// When nobody reads that.
    pub(super) fn greet(&self) -> Result<(), Failure> {
        let Listening { http, https, .. } = self.listening()?;
        let (http, https) = (*http, *https);
        if let Some(parts) = self.parts.get() {
            first_start::greet(&self.settings, &parts.account, http, https)?;
        }
        output::say(&format!(
            "strongroom: ready http={} https={}",
            shown(http),
            shown(https)
        ))
    }

    /// Waits for somebody to unseal, and says so.
    ///
    /// # Errors
    ///
    /// When there is no thread, or nobody reads standard output.
    pub(super) fn wait(self: &Arc<Self>, why: &Failure, runtime: Handle) -> Result<(), Failure> {
        self.why.lock().clone_from(&why.what);
        metrics::gauge!("strongroom_sealed").set(1.0);
        let Listening { http, https, .. } = self.listening()?;
        tracing::warn!(reason = %why.what, "sealed: every request is answered with 503 until strongroom unseal");
        let house = Arc::clone(self);
        // Nobody waits for its end: it may be asking a service that does not answer.
        std::thread::Builder::new()
            .name("auto-unseal".to_owned())
            .spawn(move || house.retry(&runtime))
            .map_err(|error| admin_failure(&error))?;
        output::say(&format!("The server is sealed: {}", why.what))?;
        output::say("It answers 503 to everybody until somebody opens it:")?;
        output::say(&format!(
            "  {}",
            first_start::command(&self.settings, "unseal")
        ))?;
        output::say(&format!(
            "strongroom: sealed http={} https={}",
            shown(*http),
            shown(*https)
        ))
    }

    /// Tries the seals that need nobody, until the store is open or the server ends.
    fn retry(&self, runtime: &Handle) {
        let mut pause = RETRY_FIRST;
        while self.has_automatic_seals() {
            std::thread::sleep(pause);
            if self.parts.get().is_some() || self.closing.load(Ordering::Acquire) {
                return;
            }
            let _inside = runtime.enter();
            if let Err(failure) = self.unseal(Gift::Automatic)
                && !self.goes_on(failure)
            {
                return;
            }
            pause = pause.saturating_mul(2).min(RETRY_MAX);
        }
    }

    /// Notes why it is still sealed. What would end a start ends the server: no seal mends a store
    /// or a ring that is damaged, and whoever watches the process should learn of it.
    fn goes_on(&self, failure: Failure) -> bool {
        let is_news = {
            let mut why = self.why.lock();
            let is_news = *why != failure.what;
            why.clone_from(&failure.what);
            is_news
        };
        if is_news {
            tracing::error!(reason = %failure.what, "still sealed");
        }
        match failure.exit {
            Exit::Store | Exit::Ring => {
                let _ = self.fatal.set(failure);
                if let Some(switch) = self.switch.get() {
                    switch.stop();
                }
                false
            }
            Exit::General
            | Exit::Usage
            | Exit::Seal
            | Exit::Environment
            | Exit::Denied
            | Exit::Depends
            | Exit::Damage
            | Exit::Foreign
            | Exit::InUse => true,
        }
    }

    /// Stops what works beside the requests.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        // Outside of the lock: the thread that waits for it may be the one that is waited for.
        let threads = std::mem::take(&mut *self.background.lock());
        drop(threads);
        self.verifying.stop();
    }

    fn listening(&self) -> Result<&Listening, Failure> {
        self.listening
            .get()
            .ok_or_else(|| Failure::new(Exit::General, "the server does not listen yet", ""))
    }

    fn has_automatic_seals(&self) -> bool {
        let files = RingFiles::new(self.settings.data.ring());
        let copies = files.inspect();
        let rings = copies.iter().filter_map(|copy| copy.ring.as_ref().ok());
        let slots: Vec<_> = rings.flat_map(slots::of).collect();
        // Without any, a try says what is wrong with the ring.
        slots.is_empty()
            || slots
                .iter()
                .any(|slot| slot.kind.is_some_and(SealKind::is_automatic))
    }

    /// Opens the store. Attempts that fail are counted, and told by the record of the opening: before
    /// it there is no trail that is open.
    fn unseal(&self, gift: Gift) -> Result<Answer, Failure> {
        let _alone = self.opening.lock();
        if self.parts.get().is_some() {
            return Ok(Answer::Unsealed);
        }
        let by = gift_name(&gift);
        let outcome = self.unseal_by(gift, by);
        if outcome.is_err() && by != AUTOMATIC {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    fn unseal_by(&self, gift: Gift, by: &'static str) -> Result<Answer, Failure> {
        let files = RingFiles::new(self.settings.data.ring());
        let _held = files.hold().map_err(|error| admin_failure(&error))?;
        let opened = match gift {
            Gift::Share { text } => match self.take_share(text.expose())? {
                Ok(opened) => opened,
                Err(Progress { have, need }) => return Ok(Answer::SharesWait { have, need }),
            },
            Gift::Passphrase { text } => self.open_by(
                Brought::Passphrase(text.into_inner()),
                &[SealKind::Passphrase],
            )?,
            Gift::KeyFile { text } => self.open_by(
                Brought::KeyFile(text.into_inner()),
                &[SealKind::KeyFile, SealKind::Credential],
            )?,
            Gift::Pin { text } => {
                self.open_by(Brought::Pin(text.into_inner()), &[SealKind::Token])?
            }
            Gift::Automatic => self.open_by_itself()?,
        };
        let generation = opened.ring.generation();
        let parts = self.assemble(opened)?;
        tracing::warn!(generation, "unsealed");
        self.tell_opened(&parts.audit, generation, by)?;
        self.open(parts)?;
        if let Err(failure) = self.greet() {
            // It serves all the same; whoever unsealed it has the answer.
            tracing::warn!(reason = %failure.what, "the ready line is not printed");
        }
        Ok(Answer::Unsealed)
    }

    /// Records that the store was sealed, and who opened it.
    fn tell_opened(
        &self,
        audit: &AuditLog,
        generation: u64,
        by: &'static str,
    ) -> Result<(), Failure> {
        let details = Params::new()
            .text("by", by)
            .number("ringGeneration", generation)
            .text("sealedSince", &self.since.to_iso8601())
            .number("refusedAttempts", self.refused.load(Ordering::Relaxed));
        let details = if by == AUTOMATIC {
            details
        } else {
            deeds::by_operator(details)
        };
        deeds::record(audit, "Unseal", &details, None)
    }

    fn open_by(&self, brought: Brought, kinds: &[SealKind]) -> Result<OpenedRing, Failure> {
        let mut given = Given::default();
        given.take(brought);
        let means = self.means(given);
        let opened = unseal::open(&self.settings, &|ring| means.try_kinds(ring, kinds));
        opened.map_err(unseal::ring_failure)
    }

    fn open_by_itself(&self) -> Result<OpenedRing, Failure> {
        let mut means = self.means(Given::default());
        means.refusals = self.refusals.clone();
        let opened = unseal::open(&self.settings, &|ring| means.try_all(ring));
        opened.map_err(unseal::ring_failure)
    }

    fn means(&self, given: Given) -> Means<'_> {
        let mut means = Means::of_settings(&self.settings, &self.entropy, &crate::environment);
        means.given = given;
        means.own = self
            .listening
            .get()
            .map(Listening::addresses)
            .unwrap_or_default();
        means
    }

    fn take_share(&self, text: &str) -> Result<Result<OpenedRing, Progress>, Failure> {
        let waiting = Cell::new(None);
        let opened = unseal::open(&self.settings, &|ring| match self.shares.lock().add(
            ring,
            text,
            self.clock.monotonic(),
        ) {
            Ok(Collected::Open(key)) => Ok(key),
            Ok(Collected::Waiting(progress)) => {
                waiting.set(Some(progress));
                Err(SealError::Unavailable("more shares are needed".to_owned()))
            }
            Err(error) => Err(SealError::WrongSeal(error.to_string())),
        });
        match (opened, waiting.get()) {
            (Ok(opened), _) => Ok(Ok(opened)),
            (Err(_), Some(progress)) => {
                let Progress { have, need } = progress;
                tracing::info!(have, need, "a share was given");
                Ok(Err(progress))
            }
            // The share's own words, without the advice for the start of a server.
            (Err(RingFileError::Seal(SealError::WrongSeal(what))), None) => Err(Failure::new(
                Exit::Seal,
                what,
                "look at the share again; strongroom seal status shows how many are here",
            )),
            (Err(error), None) => Err(unseal::ring_failure(error)),
        }
    }

    /// Also while it is sealed: checksums need no key.
    fn verify(&self, ask: VerifyRequest) -> Result<Answer, Failure> {
        self.verifying.answer(ask, &self.settings, self.parts.get())
    }

    fn seals(&self, request: SealRequest) -> Result<Answer, Failure> {
        match request {
            SealRequest::Status => {
                let progress = self.shares.lock().progress(self.clock.monotonic());
                let sealed = self.parts.get().is_none();
                Ok(Answer::SealState(SealState {
                    sealed,
                    why: sealed.then(|| self.why.lock().clone()),
                    shares: progress.map(|Progress { have, need }| (have, need)),
                }))
            }
            SealRequest::Unseal { gift } => self.unseal(gift),
            SealRequest::ForgetShares => {
                self.shares.lock().reset();
                Ok(Answer::Done)
            }
            SealRequest::RingChanged => {
                if let Some(parts) = self.parts.get() {
                    parts
                        .accounts
                        .note_ring(&RingFiles::new(self.settings.data.ring()))?;
                    self.take_notes(&parts.audit)?;
                }
                Ok(Answer::Done)
            }
            // A sealed server has no unseal key yet.
            SealRequest::Rekeyed { unseal_key } => {
                if let Some(parts) = self.parts.get() {
                    parts.root_key.rekeyed(unseal_key.expose())?;
                    self.take_notes(&parts.audit)?;
                }
                Ok(Answer::Done)
            }
        }
    }
}

/// The admin channel, which needs the runtime for what it starts.
pub(super) struct Door {
    pub(super) house: Arc<House>,
    pub(super) runtime: Handle,
}

impl AdminActions for Door {
    fn answer(&self, request: Request) -> Result<Answer, Failure> {
        let _inside = self.runtime.enter();
        let deed = Deed::of(&request);
        let outcome = if let Request::Seal { ask } = request {
            self.house.seals(ask)
        } else if let Request::Verify { ask } = request {
            self.house.verify(ask)
        } else if let Some(running) = self.house.running.get() {
            running.answer(request)
        } else {
            Err(Failure::new(
                Exit::Seal,
                "it is sealed",
                "open it: strongroom unseal",
            ))
        };
        // A sealed server has no trail that is open.
        match (deed, self.house.parts()) {
            (Some(deed), Some(parts)) => deed.recorded(&parts.audit, outcome),
            (Some(_), None) | (None, _) => outcome,
        }
    }
}
