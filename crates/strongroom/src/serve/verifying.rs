//! A verification beside the requests: one at a time, in a thread of its own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use strongroom_audit::Ledger;
use strongroom_store::DurableMeta;
use strongroom_verify::{Custody, Opened, Plan, Progress, Report, verify};

use super::Parts;
use super::root_key::RootKey;
use crate::admin::{Answer, VerifyRequest, VerifyState};
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::verified::Began;

/// It ends when nobody has asked for so long: whoever began it is gone.
const UNASKED_MAX: Duration = Duration::from_secs(60);
/// Longest piece of a report in one answer: each byte may be escaped.
const PIECE_MAX_BYTES: usize = 128 << 10;

/// The verification that runs, or the last one.
#[derive(Default)]
pub(super) struct Verifying(Mutex<Option<Job>>);

struct Job {
    progress: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread tells, and is told.
struct Shared {
    done_bytes: AtomicU64,
    all_bytes: AtomicU64,
    cancelled: AtomicBool,
    asked: Mutex<Instant>,
    /// The report, or why there is none.
    outcome: OnceLock<Result<Told, String>>,
}

/// A report, as JSON.
struct Told {
    text: String,
    /// The file in which it is kept, signed, or why it is not.
    signed: Result<String, String>,
}

/// What is needed of an open store.
struct Store {
    meta: Arc<DurableMeta>,
    custody: Custody,
    ledger: Ledger,
}

impl Verifying {
    /// Answers what is asked.
    ///
    /// # Errors
    ///
    /// [`Exit::General`] when one runs already, or there is none.
    pub(super) fn answer(
        &self,
        ask: VerifyRequest,
        settings: &Settings,
        parts: Option<&Parts>,
    ) -> Result<Answer, Failure> {
        let mut current = self.0.lock();
        match ask {
            VerifyRequest::Start {
                bytes_per_second,
                sealed,
            } => {
                if current.as_ref().is_some_and(Job::is_running) {
                    return Err(Failure::new(
                        Exit::General,
                        "a verification is running already",
                        "wait for its end",
                    ));
                }
                let store = parts.filter(|_| !sealed).map(Store::of);
                let signer = parts.map(|parts| Arc::clone(&parts.root_key));
                let root = settings.data.root().to_owned();
                let job = Job::start(root, (store, signer), bytes_per_second)?;
                let state = job.state();
                *current = Some(job);
                Ok(Answer::Verifying(state))
            }
            VerifyRequest::Status => {
                let job = current.as_ref().ok_or_else(none)?;
                *job.progress.asked.lock() = Instant::now();
                Ok(Answer::Verifying(job.state()))
            }
            VerifyRequest::Report { from } => {
                let job = current.as_ref().ok_or_else(none)?;
                match job.progress.outcome.get() {
                    Some(Ok(report)) => Ok(piece(&report.text, from)),
                    Some(Err(_)) | None => Err(none()),
                }
            }
            VerifyRequest::Stop => {
                if let Some(job) = current.as_ref() {
                    job.progress.cancelled.store(true, Ordering::Release);
                }
                Ok(Answer::Done)
            }
        }
    }

    /// Ends it, and waits for its end.
    pub(super) fn stop(&self) {
        let job = self.0.lock().take();
        drop(job);
    }
}

impl Store {
    fn of(parts: &Parts) -> Self {
        let own = Arc::clone(&parts.root_key);
        let rows = own.rows.custody.clone();
        Self {
            meta: Arc::clone(&parts.meta),
            ledger: Ledger::new(parts.audit.rows().clone(), parts.audit.home().clone()),
            custody: Custody {
                ring: Arc::new(move || rows.ring()),
                unseal: Box::new(move |ring| ring.unseal(&own.unseal_key())),
                customer_keys: Vec::new(),
            },
        }
    }

    /// The last commit that is durable now; a store that has stopped does not know.
    fn acknowledged(&self) -> Option<u64> {
        let hold = self.meta.hold_files();
        self.meta.mark(&hold).ok().map(|mark| mark.last_sequence)
    }
}

impl Job {
    fn start(
        root: PathBuf,
        (store, signer): (Option<Store>, Option<Arc<RootKey>>),
        bytes_per_second: Option<u64>,
    ) -> Result<Self, Failure> {
        let shared = Arc::new(Shared {
            done_bytes: AtomicU64::new(0),
            all_bytes: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
            asked: Mutex::new(Instant::now()),
            outcome: OnceLock::new(),
        });
        let progress = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("verify".to_owned())
            .spawn(move || shared.run(root, (store.as_ref(), signer.as_deref()), bytes_per_second))
            .map_err(|error| {
                Failure::new(
                    Exit::Environment,
                    format!("there is no thread: {error}"),
                    "",
                )
            })?;
        Ok(Self {
            progress,
            thread: Some(thread),
        })
    }

    fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|it| !it.is_finished())
    }

    fn state(&self) -> VerifyState {
        let running = self.is_running();
        let outcome = self.progress.outcome.get();
        let failure = match outcome {
            Some(Ok(_)) => None,
            Some(Err(why)) => Some(why.clone()),
            None => (!running).then(|| "it panicked; see the log".to_owned()),
        };
        let signed = outcome.and_then(|it| it.as_ref().ok()).map(|it| &it.signed);
        VerifyState {
            running,
            done_bytes: self.progress.done_bytes.load(Ordering::Relaxed),
            all_bytes: self.progress.all_bytes.load(Ordering::Relaxed),
            failure,
            signed: signed.and_then(|it| it.as_ref().ok()).cloned(),
            unsigned: signed.and_then(|it| it.as_ref().err()).cloned(),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.progress.cancelled.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // Its panic has been told of by the hook.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(
        &self,
        root: PathBuf,
        (store, signer): (Option<&Store>, Option<&RootKey>),
        bytes_per_second: Option<u64>,
    ) {
        let began = Began::now();
        let plan = Plan {
            root,
            opened: store.map(|store| Opened {
                rows: Arc::clone(&store.meta) as _,
                losses: Vec::new(),
                custody: &store.custody,
                ledger: store.ledger.clone(),
                acknowledged: store.acknowledged(),
            }),
            on_line: true,
            bytes_per_second,
            cancelled: &self.cancelled,
        };
        let outcome = verify(&plan, &|Progress {
                                          done_bytes,
                                          all_bytes,
                                      }| {
            self.done_bytes.store(done_bytes, Ordering::Relaxed);
            self.all_bytes.store(all_bytes, Ordering::Relaxed);
            if self.asked.lock().elapsed() > UNASKED_MAX {
                self.cancelled.store(true, Ordering::Release);
            }
        });
        let outcome = outcome.map_err(|error| error.to_string()).map(|report| {
            if report.damaged > 0 {
                tracing::error!(findings = report.damaged, "a verification found damage");
            } else {
                tracing::info!(foreign = report.foreign, "a verification found no damage");
            }
            metrics::gauge!("strongroom_verify_damaged").set(gauge(report.damaged));
            told(&began, &report, signer)
        });
        let _ = self.outcome.set(outcome);
    }
}

/// Signs a report, if somebody can.
fn told(began: &Began, report: &Report, owner: Option<&RootKey>) -> Told {
    let ring_id = owner.map(|own| own.rows.custody.ring().ring_id());
    let text = began.text(report, ring_id);
    let signed = match owner {
        _ if report.incomplete => Err("it was ended before it was through".to_owned()),
        None => Err("the server is sealed, and cannot sign".to_owned()),
        Some(own) => {
            let kept = began.keep(&own.reports(), &text);
            let name = |path: PathBuf| path.file_name()?.to_str().map(str::to_owned);
            kept.map(|path| name(path).unwrap_or_default())
                .map_err(|failure| failure.what)
        }
    };
    Told { text, signed }
}

/// A count as metrics take it.
fn gauge(count: u64) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}

fn piece(report: &str, from: usize) -> Answer {
    let rest = report.get(from..).unwrap_or_default();
    let mut end = rest.len().min(PIECE_MAX_BYTES);
    while !rest.is_char_boundary(end) {
        end -= 1;
    }
    let text = rest.get(..end).unwrap_or_default().to_owned();
    Answer::VerifyReport {
        next: (end < rest.len()).then_some(from + end),
        text,
    }
}

fn none() -> Failure {
    Failure::new(
        Exit::General,
        "there is no verification",
        "begin one: strongroom verify",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_comes_in_pieces_that_make_it_whole() {
        let report = "\u{fc}\"x".repeat(PIECE_MAX_BYTES / 2);
        let (mut whole, mut from) = (String::new(), Some(0));
        while let Some(at) = from {
            let Answer::VerifyReport { text, next } = piece(&report, at) else {
                unreachable!("a piece is a piece")
            };
            whole.push_str(&text);
            from = next;
        }
        assert_eq!(whole, report);
    }
}
