//! A run from beginning to end.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use strongroom_audit::{Lane, Ledger, TrailError};
use strongroom_crypto::{Keyring, PageCipher, ServicePurpose, Unsealed};
use strongroom_ports::{MetaStore, Table};
use strongroom_recover::Loss;
use strongroom_recover::records::Blob;

use crate::blobs;
use crate::findings::{Findings, Subject};
use crate::keyless::Keyless;
use crate::keys::{Custody, Keys};
use crate::pace::Pace;
use crate::pool::{Job, Pool};
use crate::report::{AuditCounts, Finding, Kind, Report};
use crate::rows::{Opened as Row, RowFault, Sealer};
use crate::tally::Tally;
use crate::walk::{Counters, Walk};
use crate::{index_pages, ring_copies, sealed_files, shreds, tree};

/// How often something is looked at again that a running server may just be changing.
const TRIES: u32 = 4;
/// Between two looks.
const BETWEEN_TRIES: Duration = Duration::from_millis(250);
/// A blob that is younger may be of a write whose row is still to come.
const YOUNG: Duration = Duration::from_secs(900);
/// What clocks of files may lag behind.
const CLOCK_SLACK: Duration = Duration::from_secs(1);
/// How often a progress is told.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What is asked for.
pub struct Plan<'a> {
    /// The data directory.
    pub root: PathBuf,
    /// The rows and the keys; without them checksums alone are verified.
    pub opened: Option<Opened<'a>>,
    /// A server works on the directory.
    pub on_line: bool,
    /// How many bytes a second are read at most.
    pub bytes_per_second: Option<u64>,
    /// Set to stop.
    pub cancelled: &'a AtomicBool,
}

/// Rows and keys.
pub struct Opened<'a> {
    /// The rows: the server's, or those of [`read_off_line`](crate::read_off_line).
    pub rows: Arc<dyn MetaStore>,
    /// What [`read_off_line`](crate::read_off_line) found missing or damaged.
    pub losses: Vec<Loss>,
    /// The keys.
    pub custody: &'a Custody,
    /// The audit trail.
    pub ledger: Ledger,
    /// The last commit that the running server knows to be durable: the journal must reach it.
    pub acknowledged: Option<u64>,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes read.
    pub done_bytes: u64,
    /// Bytes in files at the beginning.
    pub all_bytes: u64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A directory cannot be read.
    #[error("the data directory cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The store does not answer.
    #[error("the rows cannot be read: {0}")]
    Store(String),
}

/// Verifies everything at rest. Blocks for as long as it takes; changes nothing.
///
/// # Errors
///
/// [`VerifyError`]. Damage is none: it is in the report.
pub fn verify(
    plan: &Plan<'_>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report, VerifyError> {
    let tree = tree::look(&plan.root, plan.on_line)?;
    let pace = Pace::new(plan.bytes_per_second, plan.cancelled, plan.on_line);
    let all_bytes = tree.bytes;
    let finished = Mutex::new(false);
    let changed = std::sync::Condvar::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut finished_now = finished.lock().unwrap_or_else(PoisonError::into_inner);
            while !*finished_now {
                progress(Progress {
                    done_bytes: pace.done_bytes().min(all_bytes),
                    all_bytes,
                });
                (finished_now, _) = changed
                    .wait_timeout(finished_now, TELL_EVERY)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        });
        let done = Run {
            plan,
            pace: &pace,
            report: Report {
                on_line: plan.on_line,
                with_keys: plan.opened.is_some(),
                ..Report::default()
            },
        }
        .all(tree);
        *finished.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
        done
    })
}

struct Run<'a> {
    plan: &'a Plan<'a>,
    pace: &'a Pace<'a>,
    report: Report,
}

impl Run<'_> {
    fn all(mut self, tree: tree::Tree) -> Result<Report, VerifyError> {
        self.report.plaintext_files = tree.plaintext;
        self.report.waiting.staging_files = tree.staging;
        for finding in tree.findings {
            self.report.add(finding);
        }
        let ring = self.ring();
        self.sealed_files(ring.as_deref())?;
        self.index(ring.as_deref())?;
        if self.plan.opened.is_some() {
            self.with_keys()?;
        } else {
            self.ring_copies(None);
            self.shreds(None, None)?;
            self.without_keys()?;
        }
        self.report.incomplete = self.pace.is_cancelled();
        Ok(self.report)
    }

    fn ring(&self) -> Option<Arc<Keyring<Unsealed>>> {
        let opened = self.plan.opened.as_ref()?;
        Some((opened.custody.ring)())
    }

    /// Looks until nothing is found, beside a server; off line once.
    fn settled<T, E>(
        &self,
        mut look: impl FnMut() -> Result<T, E>,
        is_clean: impl Fn(&T) -> bool,
    ) -> Result<T, E> {
        let mut tries = 1;
        loop {
            let found = look();
            let is_final = !self.plan.on_line || tries >= TRIES || self.pace.is_cancelled();
            match found {
                Ok(found) if is_clean(&found) || is_final => return Ok(found),
                Err(error) if is_final => return Err(error),
                Ok(_) | Err(_) => {}
            }
            tries += 1;
            thread::sleep(BETWEEN_TRIES);
        }
    }

    fn sealed_files(&mut self, ring: Option<&Keyring<Unsealed>>) -> Result<(), VerifyError> {
        let meta = self.plan.root.join("meta");
        let on_line = self.plan.on_line;
        let acknowledged = self.plan.opened.as_ref().and_then(|it| it.acknowledged);
        // A frame that is being written is another one at the next look.
        let last_torn = RefCell::new(None);
        let look = || {
            let outcome = sealed_files::check(&meta, ring, self.pace, on_line, acknowledged)?;
            let torn = outcome.torn.clone();
            let stays = torn.is_some() && *last_torn.borrow() == torn;
            last_torn.replace(torn);
            Ok::<_, io::Error>((outcome, stays))
        };
        let is_clean =
            |(it, _): &(sealed_files::Outcome, bool)| it.findings.is_empty() && it.torn.is_none();
        let (outcome, stays_torn) = self.settled(look, is_clean)?;
        let files = &mut self.report.files;
        files.journals = outcome.counts.journals;
        files.journal_frames = outcome.counts.journal_frames;
        files.snapshots = outcome.counts.snapshots;
        files.snapshot_frames = outcome.counts.snapshot_frames;
        let is_whole = outcome.findings.is_empty();
        for finding in outcome.findings {
            self.report.add(finding);
        }
        match outcome.torn {
            Some(torn) if !on_line => self.report.add(torn),
            Some(torn) if stays_torn => self.report.add(torn.of_kind(Kind::Damage)),
            Some(_) | None => {}
        }
        let losses = self.plan.opened.iter().flat_map(|it| &it.losses);
        // What was found above says it better.
        for Loss { what, why } in losses.filter(|_| is_whole) {
            let why = format!("{what}: {why}");
            self.report.add(Finding::damage("journal", why));
        }
        Ok(())
    }

    fn index(&mut self, ring: Option<&Keyring<Unsealed>>) -> Result<(), VerifyError> {
        let cipher = ring.map(|ring| PageCipher::new(ring.service_key(ServicePurpose::Index)));
        let meta = self.plan.root.join("meta");
        let on_line = self.plan.on_line;
        let look = || index_pages::check(&meta, cipher.as_ref(), self.pace, on_line);
        let (pages, findings) = self.settled(look, |(_, findings)| findings.is_empty())?;
        self.report.files.index_pages = pages;
        for finding in findings {
            self.report.add(finding);
        }
        if cipher.is_none() {
            let unchecked = "pages of the index: they have no checksum without keys, and can be made anew from journal and snapshot";
            self.report.unchecked.push(unchecked.to_owned());
            let tags = "the tags in the headers of journal files and snapshots, 16 bytes each";
            self.report.unchecked.push(tags.to_owned());
            let whole = "whether every file is there and none is an older one put back: what is missing, an older copy of a file and the end of the journal are found with keys only";
            self.report.unchecked.push(whole.to_owned());
        }
        Ok(())
    }

    fn ring_copies(&mut self, walk: Option<&Walk<'_>>) {
        let directory = self.plan.root.join("ring");
        let custody = self.plan.opened.as_ref().map(|it| it.custody);
        let look = || {
            let account = walk.and_then(Walk::account);
            Ok::<_, io::Error>(ring_copies::check(&directory, custody, account.as_ref()))
        };
        if let Ok((sound, findings)) = self.settled(look, |(_, findings)| findings.is_empty()) {
            self.report.files.ring_copies = sound;
            for finding in findings {
                self.report.add(finding);
            }
        }
    }

    fn shreds(
        &mut self,
        ring: Option<&dyn Fn() -> Arc<Keyring<Unsealed>>>,
        named: Option<&blobs::Ids>,
    ) -> Result<(), VerifyError> {
        let directory = self.plan.root.join("shreds");
        let ring_ids = ring_copies::ids(&self.plan.root.join("ring"));
        let look = || {
            let ring = ring.map(|ring| ring());
            shreds::check(&directory, ring.as_deref(), named, &ring_ids)
        };
        let outcome = self.settled(look, |it| it.findings.is_empty())?;
        self.report.files.shred_files = outcome.sound;
        self.report.waiting.orphan_shreds = outcome.orphans;
        for finding in outcome.findings {
            self.report.add(finding);
        }
        Ok(())
    }

    fn with_keys(&mut self) -> Result<(), VerifyError> {
        let Some(opened) = &self.plan.opened else {
            return Ok(());
        };
        let began = SystemTime::now();
        let root = &self.plan.root;
        let (shred_dir, blob_dir) = (root.join("shreds"), root.join("blobs/blobs"));
        let sealer = Sealer::new(&(opened.custody.ring)());
        let keys = Keys::new(opened.custody, &*opened.rows, &sealer, &shred_dir);
        let findings = Arc::new(Findings::default());
        let pool = Pool::default();
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let blobs = (blob_dir.as_path(), "blobs/blobs");
        let walk = Walk::new(
            &keys,
            self.pace,
            blobs,
            Some((&pool, workers)),
            Arc::clone(&findings),
        );
        let fed = in_pool(
            &pool,
            workers,
            |job| match job {
                Job::Row(table, row) => walk.row(table, &row),
                Job::Help(stream) => stream.verify(self.pace),
                Job::Blob(_) => {}
            },
            || feed(&walk, &pool),
        );
        fed.map_err(store_failed)?;
        self.unclaimed(&walk, &sealer, began)?;
        let ring = || keys.ring();
        self.shreds(Some(&ring), Some(&walk.claims.shreds))?;
        self.ring_copies(Some(&walk));
        self.note(&walk);
        self.settle(&keys, blobs, findings.take());
        self.audit(&opened.ledger);
        Ok(())
    }

    /// The audit trail's chain. Its own verification is safe beside a running server.
    fn audit(&mut self, ledger: &Ledger) {
        for lane in Lane::ALL {
            if self.pace.is_cancelled() {
                return;
            }
            let verified = self.settled(
                || {
                    let mut verification = ledger.verification(lane, &[])?;
                    while !self.pace.is_cancelled() && !verification.step()? {}
                    Ok::<_, TrailError>(verification.into_report())
                },
                strongroom_audit::Report::is_whole,
            );
            let found = match verified {
                Ok(found) => found,
                Err(error) => {
                    let why = format!("audit trail, {}: {error}", lane.name());
                    self.report.add(Finding::damage("audit", why));
                    continue;
                }
            };
            let counts = AuditCounts {
                batches: found.batches,
                events: found.events,
                waiting: found.waiting,
            };
            self.report.audit.insert(lane.name().to_owned(), counts);
            // Of a verification that was stopped, the end is no finding.
            if self.pace.is_cancelled() {
                return;
            }
            for finding in &found.findings {
                let why = format!("audit trail, {}: {finding}", lane.name());
                self.report.add(Finding::damage("audit", why));
            }
            self.report.damaged += found.more_findings;
            self.report.more_findings += found.more_findings;
        }
    }

    /// Blob files that no row led to.
    fn unclaimed(
        &mut self,
        walk: &Walk<'_>,
        sealer: &Sealer,
        began: SystemTime,
    ) -> Result<(), VerifyError> {
        let mut unclaimed = Vec::new();
        let mut count = 0;
        blobs::list(walk.blobs, &mut |id, entry| {
            count += 1;
            if !walk.claims.blobs.contains(&id) {
                let modified = entry.metadata().and_then(|it| it.modified());
                unclaimed.push((id, modified.unwrap_or(began)));
            }
        })?;
        self.report.files.blobs = count;
        for (id, modified) in unclaimed {
            if walk.claims.garbage.contains(&id) {
                self.report.waiting.garbage_blobs += 1;
                continue;
            }
            let row = sealer.read::<Blob>(walk.meta, Table::BLOBS, &id);
            let row = match row {
                Ok(row) => row,
                // Told of by the row itself.
                Err(RowFault::Damaged) => continue,
                Err(RowFault::Store(why)) => return Err(VerifyError::Store(why)),
            };
            let is_there = || walk.blob_path(&id).exists();
            let age = began.duration_since(modified).unwrap_or_default();
            let (why, is_news) = match row {
                Row::Record(row) if walk.is_garbage(&id, &row.version) => {
                    self.report.waiting.garbage_blobs += 1;
                    continue;
                }
                // A version that was written since the versions were looked at.
                Row::Record(_) if self.plan.on_line && age < CLOCK_SLACK => continue,
                Row::Record(_) => {
                    self.report.waiting.unreferenced_blobs += 1;
                    ("no version names this blob, though it has a row", true)
                }
                Row::Absent => {
                    self.report.waiting.orphan_blobs += 1;
                    let why = "no row names this blob: the sweep of the running server removes it";
                    (why, !self.plan.on_line || age > YOUNG)
                }
            };
            if !is_there() {
                continue;
            }
            let finding = Finding::damage("orphan", why).in_file(walk.shown(&id));
            if let Some(foreign) = foreign_magic(&walk.blob_path(&id)) {
                let finding = finding.of_kind(Kind::Foreign);
                self.report.add(Finding {
                    why: foreign.to_owned(),
                    ..finding
                });
            } else if is_news {
                self.report.add(finding.of_kind(Kind::Leftover));
            }
        }
        Ok(())
    }

    fn note(&mut self, walk: &Walk<'_>) {
        self.report.buckets = walk.tally.counts();
        self.note_counters(&walk.counters);
        let lock = walk.rows.lock().unwrap_or_else(PoisonError::into_inner);
        self.report.rows.clone_from(&lock);
        let unavailable = walk
            .unavailable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.report.unavailable_keys.clone_from(&unavailable);
    }

    fn note_counters(&mut self, counters: &Counters) {
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        self.report.files.materials = read(&counters.materials);
        self.report.files.part_lists = read(&counters.part_lists);
        self.report.waiting.orphan_rows = read(&counters.orphan_rows);
        self.report.waiting.garbage_rows = read(&counters.garbage_rows);
        for (count, what) in [
            (&counters.unchecked_headers, "headers of blobs"),
            (&counters.unchecked_part_lists, "part lists"),
        ] {
            let count = read(count);
            if count > 0 {
                self.report.unchecked.push(format!(
                    "{count} {what}: they are of before there were checksums of them"
                ));
            }
        }
        let nameless = read(&counters.nameless_blobs);
        if nameless > 0 {
            self.report.unchecked.push(format!(
                "whether {nameless} blobs stand under their own names: they are of before the files said so"
            ));
        }
        let versions = counters.root_versions.lock();
        let versions = versions.unwrap_or_else(PoisonError::into_inner);
        self.report.root_key_versions.clone_from(&versions);
    }

    /// Off line a finding is one. Beside a server, what it is of is looked at once more.
    fn settle(
        &mut self,
        keys: &Keys<'_>,
        blobs: (&std::path::Path, &str),
        found: Vec<(Subject, Finding)>,
    ) {
        if !self.plan.on_line {
            for (_, finding) in found {
                self.report.add(finding);
            }
            return;
        }
        let mut subjects = BTreeSet::new();
        for (subject, finding) in found {
            match subject {
                Subject::Settled => self.report.add(finding),
                subject @ (Subject::Row(..) | Subject::Blob(_)) => {
                    subjects.insert(subject);
                }
            }
        }
        let mut left: Vec<(Subject, Finding)> = Vec::new();
        for tries in 0..TRIES {
            if subjects.is_empty() || self.pace.is_cancelled() {
                break;
            }
            if tries > 0 {
                thread::sleep(BETWEEN_TRIES);
            }
            keys.forget();
            let findings = Arc::new(Findings::default());
            let again = Walk::new(keys, self.pace, blobs, None, Arc::clone(&findings));
            for subject in &subjects {
                if let Subject::Row(table, key) = subject
                    && let Ok(Some(stored)) = again.meta.read(Table(*table), key)
                {
                    let row = strongroom_ports::Row {
                        key: key.clone(),
                        value: stored.value,
                        version: stored.version,
                    };
                    again.row(*table, &row);
                }
            }
            left = findings.take();
            subjects = left.iter().map(|(subject, _)| subject.clone()).collect();
        }
        for (_, finding) in left {
            self.report.add(finding);
        }
    }

    fn without_keys(&mut self) -> Result<(), VerifyError> {
        let blob_dir = self.plan.root.join("blobs/blobs");
        let findings = Arc::new(Findings::default());
        let pool = Pool::default();
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let (tally, counters) = (Tally::default(), Counters::default());
        let ring_ids = ring_copies::ids(&self.plan.root.join("ring"));
        let keyless = Keyless {
            pace: self.pace,
            pool: Some((&pool, workers)),
            findings: Arc::clone(&findings),
            tally: &tally,
            counters: &counters,
            ring_ids: &ring_ids,
        };
        let look = |keyless: &Keyless<'_>, id: [u8; 16]| {
            let path = blobs::path_of(&id);
            let shown = format!("blobs/blobs/{}", path.display());
            keyless.blob(id, &blob_dir.join(&path), shown);
        };
        let mut count = 0;
        let listed = in_pool(
            &pool,
            workers,
            |job| match job {
                Job::Blob(id) => look(&keyless, id),
                Job::Help(stream) => stream.verify(self.pace),
                Job::Row(..) => {}
            },
            || {
                blobs::list(&blob_dir, &mut |id, _| {
                    count += 1;
                    if !self.pace.is_cancelled() {
                        pool.add(Job::Blob(id));
                    }
                })
            },
        );
        listed?;
        self.report.files.blobs = count;
        self.report.buckets = tally.counts();
        self.note_counters(&counters);
        let mut found = findings.take();
        for _ in 1..TRIES {
            if !self.plan.on_line || found.is_empty() || self.pace.is_cancelled() {
                break;
            }
            thread::sleep(BETWEEN_TRIES);
            let again = Keyless {
                pace: self.pace,
                pool: None,
                findings: Arc::new(Findings::default()),
                tally: &Tally::default(),
                counters: &Counters::default(),
                ring_ids: &ring_ids,
            };
            let subjects: BTreeSet<_> = found.iter().map(|(subject, _)| subject).collect();
            for subject in subjects {
                if let Subject::Blob(id) = subject {
                    look(&again, *id);
                }
            }
            found = again.findings.take();
        }
        for (_, finding) in found {
            self.report.add(finding);
        }
        Ok(())
    }
}

/// Lets workers do what `feed` finds, and waits for them.
fn in_pool<T>(
    pool: &Pool,
    workers: usize,
    each: impl Fn(Job) + Sync,
    feed: impl FnOnce() -> T,
) -> T {
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| pool.work(&each));
        }
        let outcome = feed();
        pool.drain();
        pool.close();
        outcome
    })
}

/// Tables in an order in which nothing that lives on is missed: an upload becomes a version, and a
/// version becomes garbage.
fn feed(walk: &Walk<'_>, pool: &Pool) -> Result<(), RowFault> {
    const FIRST: [Table; 3] = [Table::UPLOADS, Table::VERSIONS, Table::GARBAGE];
    for table in FIRST {
        walk.feed(table, pool)?;
        pool.drain();
    }
    for table in (1..=u8::MAX).map(Table) {
        if !FIRST.contains(&table) && table != Table::BLOBS {
            walk.feed(table, pool)?;
        }
    }
    // Behind everything that claims blobs.
    pool.drain();
    walk.feed(Table::BLOBS, pool)
}

fn store_failed(fault: RowFault) -> VerifyError {
    VerifyError::Store(match fault {
        RowFault::Damaged => "a page of rows is damaged".to_owned(),
        RowFault::Store(why) => why,
    })
}

/// What a file is that lies among blobs and is none.
fn foreign_magic(path: &std::path::Path) -> Option<&'static str> {
    use std::io::Read as _;

    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    let is_ours = read.is_ok() && (magic == *b"SRB1" || magic == *b"SRM1");
    // Gone meanwhile: then nothing is to be said.
    let is_gone = read.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    (!is_ours && !is_gone).then_some("it is neither a sealed stream nor a part list")
}
