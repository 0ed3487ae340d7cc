//! The key service and S3 on one durable store against the reference model: random histories of keys,
//! and of objects and ciphertexts under them, with loss of power anywhere.
//!
//! After each step everything is looked at: the state of every key, its materials and aliases, the
//! bytes of every object, the content of every ciphertext, or how each is refused.
//!
//! `STRONGROOM_MODEL_CASES` is the number of histories, `STRONGROOM_MODEL_SEED` the seed that a
//! failure has named.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

mod audited;
mod observed;
mod steps;
mod subject;
mod swaps;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use strongroom_model::vault::{Lock, Outcome, Step, Vault};
use strongroom_store::disk::SimDisk;

use observed::Verdict;
use steps::{Power, Turn, history};
use subject::{Failed, Subject};
use world::START_MILLIS;

/// How often what happened: whoever runs the histories sees what they came to.
type Tally = BTreeMap<String, u64>;

fn count(tally: &mut Tally, what: impl Into<String>) {
    *tally.entry(what.into()).or_default() += 1;
}

/// A history in the making.
struct Run<'a> {
    tally: &'a mut Tally,
    subject: Subject,
    model: Vault,
    /// The disk and the model at some earlier time.
    backup: Option<(SimDisk, Vault)>,
}

impl<'a> Run<'a> {
    fn new(seed: u64, tally: &'a mut Tally) -> Self {
        Self {
            tally,
            subject: Subject::new(seed),
            model: Vault::new(START_MILLIS),
            backup: None,
        }
    }

    fn turn(&mut self, turn: &Turn) -> Verdict {
        let Turn { step, power } = turn;
        let step = &steps::named(step, &self.model);
        if self.model.knows(step) {
            match power {
                Power::Stays => self.step(step)?,
                Power::LostAfter { seed } => {
                    self.step(step)?;
                    self.subject.world.lose_power(*seed);
                }
                Power::LostDuring { offset, seed } => self.interrupted(step, *offset, *seed)?,
                Power::Restarts => {
                    self.step(step)?;
                    self.subject.world.restart();
                }
            }
        }
        observed::all(&self.subject, &self.model)
    }

    /// The upload or the object that a step reads, and how it is encrypted.
    fn about(&self, step: &Step) -> Option<(String, Lock)> {
        let name = match step {
            Step::Get { name } | Step::Copy { from: name, .. } | Step::Update { name, .. } => name,
            Step::UploadPart { upload, .. } | Step::Complete { upload } => {
                let upload = self.model.uploads[*upload].as_ref()?;
                return Some((upload.name.clone(), upload.lock.clone()));
            }
            _ => return None,
        };
        let object = self.model.objects.get(name)?;
        Some((name.clone(), object.lock.clone()))
    }

    fn answer(&mut self, step: &Step) -> Result<Outcome, Failed> {
        let about = self.about(step);
        let about = about.as_ref().map(|(name, lock)| (name.as_str(), lock));
        self.subject.apply(step, about)
    }

    fn step(&mut self, step: &Step) -> Verdict {
        let got = self.answer(step);
        let got = got.or_else(|failed| match failed {
            Failed::Refused(refusal) => Ok(Outcome::Refused(refusal)),
            broken @ Failed::Broken(_) => Err(broken),
        });
        let expected = self.model.apply(step);
        count(self.tally, tally_line(step, &expected));
        if got != Ok(expected.clone()) {
            return Err(format!("{step:?}: {got:?} instead of {expected:?}"));
        }
        if *step == Step::DueWork {
            observed::shredded(&self.subject, &self.model)?;
        }
        Ok(())
    }

    /// Power goes while the step is at it. What was answered has happened; else the step has happened
    /// or not, but nothing in between.
    fn interrupted(&mut self, step: &Step, offset: u64, seed: u64) -> Verdict {
        if matches!(step, Step::Pass { .. }) {
            return self.step(step);
        }
        self.subject.world.plan_power_loss(offset);
        let got = self.answer(step);
        self.subject.world.lose_power(seed);
        let before = self.model.clone();
        let mut after = before.clone();
        let expected = after.apply(step);
        let mut candidates = vec![after];
        match (&got, &expected) {
            (Err(Failed::Broken(_)), _) => candidates.insert(0, before.clone()),
            (Err(Failed::Refused(refusal)), Outcome::Refused(expected)) if refusal == expected => {}
            (Ok(got), expected) if got == expected => {}
            (got, expected) => return Err(format!("{step:?}: {got:?} instead of {expected:?}")),
        }
        count(
            self.tally,
            match &got {
                Err(Failed::Broken(_)) => "power lost inside a step".to_owned(),
                Err(Failed::Refused(_)) | Ok(_) => "power lost behind a step".to_owned(),
            },
        );
        if let Step::Enable { key } = step {
            // The rotation that the key slept through is another commit, which may be done later.
            let mut enabled = before.clone();
            if enabled.keys.enable(*key).is_ok() {
                candidates.insert(0, enabled);
            }
        }
        if *step == Step::DueWork {
            // Whatever was done: nothing is readable that was not, or the other way round. Doing it
            // again completes it.
            observed::readable(&self.subject, &before)?;
            return self.step(step);
        }
        if let [unknown] = observed::unknown_keys(&self.subject).as_slice() {
            // It was made before the power went.
            self.subject.arns.push(unknown.clone());
        }
        if let Step::UploadPart { upload, .. } | Step::Complete { upload } = step
            && matches!(got, Err(Failed::Broken(_)))
        {
            // Which part it has, and whether it may still change, is not known.
            for candidate in &mut candidates {
                candidate.uploads[*upload] = None;
            }
        }
        let mut verdicts = Vec::new();
        for candidate in candidates {
            let happened = if candidate == before { "not " } else { "" };
            match observed::all(&self.subject, &candidate) {
                Ok(()) => {
                    if matches!(got, Err(Failed::Broken(_))) {
                        count(self.tally, format!("interrupted, and {happened}done"));
                    }
                    self.model = candidate;
                    return Ok(());
                }
                Err(error) => verdicts.push(error),
            }
        }
        Err(format!("{step:?} ({got:?}) left neither: {verdicts:?}"))
    }

    fn back_up(&mut self) {
        self.backup = Some((self.subject.world.disk.fork(), self.model.clone()));
    }

    /// The end of all histories: what is due is done, and then somebody brings the backup back, with
    /// the clock of that time. What was destroyed since then stays so; all else is as it was.
    fn end(mut self) -> Verdict {
        self.step(&Step::DueWork)?;
        observed::all(&self.subject, &self.model)?;
        self.subject.delete_everything();
        let left = self.subject.world.services().blobs.list(None, usize::MAX);
        if !left.unwrap().is_empty() {
            return Err("blob files that nobody refers to".to_owned());
        }
        let Some((disk, earlier)) = self.backup.take() else {
            return Ok(());
        };
        let destroyed = |key: usize| self.model.keys.is_destroyed(key);
        let now = earlier.keys.now();
        self.subject.world.bring_back(&disk, now);
        for key in (0..earlier.keys.count()).filter(|key| destroyed(*key)) {
            // All that can be done to save it.
            for step in [Step::Cancel { key }, Step::Enable { key }] {
                let _ = self.subject.apply(&step, None);
            }
        }
        // Imported material that went since then is gone as well.
        let untouched = |key: usize| !destroyed(key) && !earlier.keys.is_external(key);
        for (name, object) in &earlier.objects {
            let got = self.subject.read(name, &object.lock);
            match object.lock.key() {
                Some(key) if destroyed(key) && got.is_ok() => {
                    return Err(format!("{name} is readable without its key {key}"));
                }
                Some(key) if destroyed(key) => count(
                    self.tally,
                    format!("brought back without its key: {}", broken(&got)),
                ),
                Some(key) if !untouched(key) => {}
                Some(_) | None => {
                    let expected = earlier.open(&object.lock).map(|()| object.bytes.clone());
                    let expected = expected.map_err(Failed::Refused);
                    if got != expected {
                        return Err(format!("{name}, brought back: {got:?} not {expected:?}"));
                    }
                }
            }
        }
        for (at, ciphertext) in earlier.ciphertexts.iter().enumerate() {
            let got = self.subject.decrypt(at, ciphertext.context);
            if destroyed(ciphertext.key) && got.is_ok() {
                return Err(format!("ciphertext {at} opens without its key"));
            }
            let expected = earlier.decrypt(*ciphertext, ciphertext.context);
            let expected = expected.map_err(Failed::Refused);
            if untouched(ciphertext.key) && got != expected {
                return Err(format!(
                    "ciphertext {at}, brought back: {got:?} not {expected:?}"
                ));
            }
        }
        Ok(())
    }
}

fn live(seed: u64, turns: &[Turn], backup_at: usize, tally: &mut Tally) -> Verdict {
    let mut run = Run::new(seed, tally);
    for (at, turn) in turns.iter().enumerate() {
        if at == backup_at {
            run.back_up();
        }
        let verdict = run.turn(turn);
        verdict.map_err(|error| format!("turn {at}, {turn:?}: {error}"))?;
    }
    run.end().map_err(|error| format!("at the end: {error}"))
}

fn broken<T>(got: &Result<T, Failed>) -> String {
    match got {
        Ok(_) => "readable".to_owned(),
        Err(failed) => format!("{failed:?}"),
    }
}

/// The operation, and what it came to.
fn tally_line(step: &Step, outcome: &Outcome) -> String {
    let step = format!("{step:?}");
    let name = step.split(' ').next().unwrap_or_default();
    match outcome {
        Outcome::Refused(refusal) => format!("{name}: {refusal:?}"),
        Outcome::Done | Outcome::Bytes(_) | Outcome::Opened(_) => format!("{name}: done"),
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn keys_and_what_they_encrypt_agree_with_the_model_wherever_power_is_lost() {
    let cases = number("STRONGROOM_MODEL_CASES").unwrap_or(80);
    let seed = number("STRONGROOM_MODEL_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    eprintln!("STRONGROOM_MODEL_SEED={seed} STRONGROOM_MODEL_CASES={cases}");
    let config = Config {
        cases: u32::try_from(cases).unwrap(),
        failure_persistence: None,
        max_shrink_iters: 1000,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let tally = RefCell::new(Tally::new());
    let outcome = runner.run(&history(60), |(seed, turns, backup_at)| {
        let mut tally = tally.borrow_mut();
        live(seed, &turns, backup_at, &mut tally).map_err(TestCaseError::fail)
    });
    for (what, count) in tally.borrow().iter() {
        eprintln!("{count:8} {what}");
    }
    if let Err(error) = outcome {
        panic!("STRONGROOM_MODEL_SEED={seed}: {error}");
    }
}
