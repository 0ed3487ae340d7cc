//! `seal rekey`: a new unseal key for the ring, and every seal made anew around it.
//!
//! ```text
//!   open the ring -> make every seal anew, and prove it -> key files: the new key and the old one
//!     -> show new shares -> the ring, both copies, under the new unseal key
//!     -> key files: the new key alone -> tell the server that runs
//! ```
//!
//! Whatever is new is durable, or in people's hands, before the ring is written, and whatever is old
//! goes after that. So a crash at any moment leaves a ring that opens by the old seals or by the new
//! ones, and key files that open it either way.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use strongroom_audit::Params;
use strongroom_crypto::{Keyring, Sealed, UnsealKey};
use strongroom_ports::{Clock as _, Entropy, Seal, SealError, SealKind};
use strongroom_types::Timestamp;
use zeroize::Zeroizing;

use super::commands::{
    Lent, accepted_passphrase, ask_server, asked_passphrase, changing, entropy, new_key_file,
    new_token, newest, running_addresses,
};
use super::key_service::KeyServiceSeal;
use super::means::Means;
use super::shares::NewShares;
use super::slots::{self, Slot};
use super::{ask, shares};
use crate::adapters::SystemClock;
use crate::admin::{SealRequest, Secret};
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::key_file::KeyFile;
use crate::output;
use crate::ring_files::RingFiles;
use crate::unseal::{self, Environment};

/// What is asked for.
pub(crate) struct Rekeying<'a> {
    /// Seals that are removed instead of being made anew.
    pub(crate) drop: &'a [usize],
    /// Where new passphrases come from, one a line, in the order of their seals; else they are asked
    /// for.
    pub(crate) passphrase_fd: Option<u32>,
    /// The file that gets a new key for seals that a service manager hands over.
    pub(crate) credential_file: Option<&'a Path>,
    /// Answer with JSON.
    pub(crate) json: bool,
}

/// A seal that was made anew.
struct Remade {
    index: usize,
    seal: Box<dyn Seal>,
    body: Vec<u8>,
    shares: Option<Arc<NewShares>>,
}

/// Why a seal was not.
enum Unmade {
    /// It could be, another time, or it can be dropped.
    Seal(String),
    /// There is no point in going on.
    Failure(Failure),
}

impl From<Failure> for Unmade {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<SealError> for Unmade {
    fn from(error: SealError) -> Self {
        Self::Seal(error.to_string())
    }
}

/// `seal rekey`.
///
/// # Errors
///
/// [`Exit::Seal`] when a seal cannot be made anew, [`Exit::Ring`] when the ring cannot be opened or
/// written; the old seals then still open it.
pub(crate) fn rekey(
    settings: &Settings,
    wanted: &Rekeying<'_>,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let _alone = alone(settings)?;
    let entropy = entropy();
    let ring = newest(settings)?;
    let before = slots::of(&ring);
    refuse_drops(&before, wanted.drop)?;
    let means = Means::new(settings, &entropy, environment)?;
    let files = RingFiles::new(settings.data.ring());
    let opened = files
        .open_as_it_is(&|ring| means.try_and_ask(ring))
        .map_err(unseal::ring_failure)?;
    if slots::of(&opened.ring) != before {
        return Err(changed_meanwhile());
    }
    let mut making = Making {
        settings,
        environment,
        wanted,
        entropy: &entropy,
        means: &means,
        unseal_key: UnsealKey::random(&*entropy),
        passphrases: None,
        key_files: KeyFiles::default(),
    };
    let made = making.all(&ring, &before)?;
    let Making {
        unseal_key,
        mut key_files,
        ..
    } = making;
    key_files.hold_both(&ring, &made)?;
    show_shares(&made, wanted.json)?;
    let now = SystemClock::new().now();
    let dropped = wanted.drop.iter().map(ToString::to_string);
    let deed = ("RekeyRing", Params::new().list("dropped", dropped));
    let generation = changing(settings, &opened.unseal_key, deed, |opened| {
        if slots::of(&opened.ring) != before {
            return Err(changed_meanwhile());
        }
        for remade in &made {
            let Remade {
                index, seal, body, ..
            } = remade;
            let slot = slots::dated(seal.kind(), &seal.describe(), now, body);
            if opened.ring.replace_slot(*index, slot).is_err() {
                return Err(changed_meanwhile());
            }
        }
        for index in wanted.drop {
            let _ = opened.ring.vacate_slot(*index);
        }
        // From here on either ring may be what a crash leaves.
        key_files.keep_both();
        files
            .write(&opened.ring, &unseal_key, &*entropy)
            .map_err(unseal::ring_failure)?;
        Ok(opened.ring.generation())
    })?;
    key_files.settle();
    tell_server(settings, &unseal_key);
    report(&made, wanted, generation, now)
}

/// Two at once would write over each other's keys in the same key file. By the directory itself, which
/// nothing else locks: a running server is not in the way.
fn alone(settings: &Settings) -> Result<File, Failure> {
    let root = settings.data.root();
    let failed = |error: io::Error| {
        Failure::new(
            Exit::Environment,
            format!("{}: {error}", root.display()),
            "name the data directory with --data DIR",
        )
    };
    let directory = File::open(root).map_err(failed)?;
    match directory.try_lock() {
        Ok(()) => Ok(directory),
        Err(TryLockError::WouldBlock) => Err(Failure::new(
            Exit::Seal,
            "somebody else is rekeying this key ring",
            "wait for that command to end; then look at strongroom seal list",
        )),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn refuse_drops(slots: &[Slot<'_>], drop: &[usize]) -> Result<(), Failure> {
    for number in drop {
        if !slots.iter().any(|slot| slot.index == *number) {
            return Err(Failure::new(
                Exit::Usage,
                format!("there is no seal {number}"),
                "strongroom seal list shows the numbers",
            ));
        }
    }
    if slots.iter().all(|slot| drop.contains(&slot.index)) {
        return Err(Failure::new(
            Exit::Seal,
            "no seal would be left: without one nobody could ever open the data",
            "keep one, or add another one first: strongroom seal add",
        ));
    }
    Ok(())
}

fn changed_meanwhile() -> Failure {
    Failure::new(
        Exit::Seal,
        "the seals were changed by somebody else at the same time",
        "nothing was changed; look at strongroom seal list, and run the command again",
    )
}

/// The seals in the making.
struct Making<'a> {
    settings: &'a Settings,
    environment: Environment<'a>,
    wanted: &'a Rekeying<'a>,
    entropy: &'a Arc<dyn Entropy>,
    means: &'a Means<'a>,
    unseal_key: UnsealKey,
    /// What is left of the descriptor's lines, the next one last.
    passphrases: Option<Vec<Zeroizing<String>>>,
    key_files: KeyFiles,
}

impl Making<'_> {
    /// Makes every seal that is not dropped, those first that ask nobody.
    fn all(&mut self, ring: &Keyring<Sealed>, slots: &[Slot<'_>]) -> Result<Vec<Remade>, Failure> {
        let mut wanted: Vec<&Slot<'_>> = slots
            .iter()
            .filter(|slot| !self.wanted.drop.contains(&slot.index))
            .collect();
        wanted.sort_by_key(|slot| (!slot.kind.is_some_and(SealKind::is_automatic), slot.index));
        let mut made = Vec::new();
        let mut unmade = Vec::new();
        for slot in wanted {
            let asks = !slot.kind.is_some_and(SealKind::is_automatic);
            // Nobody is asked for what would be thrown away.
            if asks && !unmade.is_empty() {
                continue;
            }
            match self.one(ring, slot) {
                Ok(remade) => made.push(remade),
                Err(Unmade::Seal(why)) => {
                    unmade.push(format!("seal {} ({}): {why}", slot.index, slot.place));
                }
                Err(Unmade::Failure(failure)) => return Err(failure),
            }
        }
        if unmade.is_empty() {
            made.sort_by_key(|remade| remade.index);
            return Ok(made);
        }
        Err(Failure::new(
            Exit::Seal,
            format!("not every seal can be made anew: {}", unmade.join("; ")),
            "nothing was changed; bring what is missing, or give the seal up with --drop NUMBER",
        ))
    }

    fn one(&mut self, ring: &Keyring<Sealed>, slot: &Slot<'_>) -> Result<Remade, Unmade> {
        let context = ring.slot_context(slot.index);
        let mut shares = None;
        let unreadable = || Unmade::Seal("its slot is damaged".to_owned());
        let seal: Box<dyn Seal> = match slot.kind {
            Some(SealKind::KeyFile) => Box::new(self.key_file(ring, slot)?),
            Some(SealKind::Credential) => Box::new(self.credential(ring, slot)?),
            Some(SealKind::KeyService) => {
                let mut access = self.means.access();
                access.own = running_addresses(self.settings)?;
                Box::new(KeyServiceSeal::of_slot(slot.body, access).ok_or_else(unreadable)?)
            }
            Some(SealKind::Token) => self.token(slot)?,
            Some(SealKind::Tpm) => self.tpm(slot)?,
            Some(SealKind::Passphrase) => {
                let text = self.passphrase(slot)?;
                Box::new(super::passphrase::Passphrase::new(
                    text,
                    Arc::clone(self.entropy),
                ))
            }
            Some(SealKind::Shares) => {
                let (threshold, count) = shares::dealt(slot.body).ok_or_else(unreadable)?;
                let entropy = Arc::clone(self.entropy);
                let new = NewShares::draw(&ring.ring_id(), threshold, count, entropy)
                    .map_err(|error| Unmade::Seal(error.to_string()))?;
                let new = Arc::new(new);
                shares = Some(Arc::clone(&new));
                Box::new(Lent(new))
            }
            Some(_) | None => {
                return Err(Unmade::Seal(
                    "it is of a kind that only a newer strongroom knows".to_owned(),
                ));
            }
        };
        let body = seal.protect(&self.unseal_key, &context)?;
        // Proven before the ring says that it can be relied on.
        seal.reveal(&body, &context)?;
        Ok(Remade {
            index: slot.index,
            seal,
            body,
            shares,
        })
    }

    /// A new key in the file that opens the slot now.
    fn key_file(&mut self, ring: &Keyring<Sealed>, slot: &Slot<'_>) -> Result<KeyFile, Unmade> {
        let file = self.file_of(ring, slot)?;
        let path = std::path::absolute(file.path()).unwrap_or_else(|_| file.path().to_owned());
        if !path.is_file() {
            return Err(Unmade::Seal(format!(
                "{} is nowhere that it could be written anew; name the file with --key-file FILE",
                path.display()
            )));
        }
        Ok(self.key_files.with_new_key(file.at(path)))
    }

    /// A new key in the file that is named for it, or the credential that is handed over as it is:
    /// what the service manager keeps cannot be changed from here.
    fn credential(&mut self, ring: &Keyring<Sealed>, slot: &Slot<'_>) -> Result<KeyFile, Unmade> {
        if let Some(path) = self.wanted.credential_file {
            let file = new_key_file(self.settings, path, self.entropy)?;
            return Ok(file.into_credential(slot.place));
        }
        match self.file_of(ring, slot) {
            Ok(file) => Ok(file.into_credential(slot.place)),
            Err(Unmade::Seal(why)) => Err(Unmade::Seal(format!(
                "{why}; name a file for a new one with --credential-file FILE"
            ))),
            Err(failure) => Err(failure),
        }
    }

    /// The key file that opens the slot now, with that one key.
    fn file_of(&self, ring: &Keyring<Sealed>, slot: &Slot<'_>) -> Result<KeyFile, Unmade> {
        let context = ring.slot_context(slot.index);
        // A named key file is one seal's; every other one lies where its slot says.
        let unnamed = Settings {
            key_file: None,
            ..self.settings.clone()
        };
        let elsewhere = Means::of_settings(&unnamed, self.entropy, self.environment);
        let mut reasons = Vec::new();
        let named = self.means.key_files(ring, slot);
        for found in named.into_iter().chain(elsewhere.key_files(ring, slot)) {
            match found {
                Ok(file) => match file.with_the_key_of(slot.body, &context) {
                    Some(file) => return Ok(file),
                    None => reasons.push(format!("{} does not open it", file.describe())),
                },
                Err(error) => reasons.push(error.to_string()),
            }
        }
        if reasons.is_empty() {
            reasons.push("no key file is handed over for it".to_owned());
        }
        Err(Unmade::Seal(reasons.join(", ")))
    }

    #[cfg(feature = "pkcs11")]
    fn token(&self, slot: &Slot<'_>) -> Result<Box<dyn Seal>, Unmade> {
        let place = super::token::place_of(slot.body)
            .ok_or_else(|| Unmade::Seal("its slot is damaged".to_owned()))?;
        let (token, key) = (&place.token, &place.key);
        Ok(new_token(
            self.settings,
            self.entropy,
            self.environment,
            token,
            key,
        )?)
    }

    #[cfg(not(feature = "pkcs11"))]
    fn token(&self, slot: &Slot<'_>) -> Result<Box<dyn Seal>, Unmade> {
        let _ = slot;
        Ok(new_token(
            self.settings,
            self.entropy,
            self.environment,
            "",
            "",
        )?)
    }

    #[cfg(feature = "tpm")]
    fn tpm(&self, slot: &Slot<'_>) -> Result<Box<dyn Seal>, Unmade> {
        let pcrs = super::tpm::pcrs_of(slot.body)
            .ok_or_else(|| Unmade::Seal("its slot is damaged".to_owned()))?;
        let device = self.settings.tpm_device.as_deref();
        Ok(Box::new(super::tpm::TpmSeal::new(
            device,
            pcrs,
            Arc::clone(self.entropy),
        )))
    }

    #[cfg(not(feature = "tpm"))]
    fn tpm(&self, _slot: &Slot<'_>) -> Result<Box<dyn Seal>, Unmade> {
        Ok(self.means.tpm(None)?)
    }

    fn passphrase(&mut self, slot: &Slot<'_>) -> Result<Zeroizing<String>, Unmade> {
        let Some(number) = self.wanted.passphrase_fd else {
            let question = format!("New passphrase of seal {}:", slot.index);
            return Ok(asked_passphrase(&question)?);
        };
        if self.passphrases.is_none() {
            let text = ask::descriptor(number)?;
            let lines = text.lines().rev();
            self.passphrases = Some(lines.map(|line| Zeroizing::new(line.to_owned())).collect());
        }
        let next = self.passphrases.as_mut().and_then(Vec::pop);
        let next = next.ok_or_else(|| {
            Unmade::Seal(format!(
                "file descriptor {number} holds no new passphrase for it"
            ))
        })?;
        Ok(accepted_passphrase(next)?)
    }
}

/// Key files on their way from one key to the next. Until the ring may be written, dropping this puts
/// the old ones back.
#[derive(Default)]
struct KeyFiles {
    old: Vec<KeyFile>,
    new: Vec<KeyFile>,
    are_written: bool,
}

impl KeyFiles {
    /// The seal that the file is with a new key; the same one for two seals of one file.
    fn with_new_key(&mut self, file: KeyFile) -> KeyFile {
        if let Some(known) = self.new.iter().find(|known| known.path() == file.path()) {
            return known.duplicate();
        }
        let new = file.with_new_key();
        let seal = new.duplicate();
        self.new.push(new);
        self.old.push(file);
        seal
    }

    /// Writes the files with both keys, and proves from what was written that they open.
    fn hold_both(&mut self, ring: &Keyring<Sealed>, made: &[Remade]) -> Result<(), Failure> {
        for file in &self.new {
            let failed = |why: String| {
                Failure::new(
                    Exit::Seal,
                    format!("the key file cannot be written anew: {why}"),
                    "nothing was changed; make it writable, or give the seal up with --drop NUMBER",
                )
            };
            file.write().map_err(|error| failed(error.to_string()))?;
            self.are_written = true;
            let read = file.reread().map_err(|error| failed(error.to_string()))?;
            let own: PathBuf = file.path().to_owned();
            let of_file = made.iter().filter(|remade| {
                remade.seal.kind() == SealKind::KeyFile
                    && remade.seal.describe() == own.display().to_string()
            });
            for remade in of_file {
                read.reveal(&remade.body, &ring.slot_context(remade.index))
                    .map_err(|error| failed(error.to_string()))?;
            }
        }
        Ok(())
    }

    /// Both keys stay, whatever happens.
    fn keep_both(&mut self) {
        self.old.clear();
    }

    /// Takes the old keys out of the files.
    fn settle(mut self) {
        for file in std::mem::take(&mut self.new) {
            let file = file.with_newest_key();
            if let Err(error) = file.write() {
                output::complain(&format!(
                    "strongroom: warning: the old key is still in the key file beside the new one: {error}"
                ));
            }
        }
    }
}

impl Drop for KeyFiles {
    fn drop(&mut self) {
        if !self.are_written {
            return;
        }
        for file in &self.old {
            // Where this fails, the file opens the old ring all the same.
            if let Err(error) = file.write() {
                output::complain(&format!(
                    "strongroom: warning: a key that is of no use is still in the key file: {error}"
                ));
            }
        }
    }
}

/// Before the ring is written: nobody may lose the only new shares to a crash.
fn show_shares(made: &[Remade], json: bool) -> Result<(), Failure> {
    let mut told = serde_json::Map::new();
    for remade in made {
        let Some(shares) = &remade.shares else {
            continue;
        };
        let texts = shares.texts();
        if json {
            let texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
            told.insert(remade.index.to_string(), texts.into());
            continue;
        }
        output::say(&format!(
            "New shares of seal {}, each line one person's. They are shown this once and kept nowhere.",
            remade.index
        ))?;
        output::say("They count once this command says that the key ring is rekeyed; until then")?;
        output::say("the old ones do:\n")?;
        for text in &texts {
            output::say(&Zeroizing::new(format!("  {}", text.as_str())))?;
        }
        output::say("")?;
    }
    if told.is_empty() {
        return Ok(());
    }
    output::say(&Zeroizing::new(json!({ "shares": told }).to_string()))
}

/// The running server goes on to write the ring, when the root key is rotated.
fn tell_server(settings: &Settings, unseal_key: &UnsealKey) {
    let unseal_key = Secret::new(Zeroizing::new(hex::encode(unseal_key.expose())));
    if let Err(failure) = ask_server(settings, SealRequest::Rekeyed { unseal_key }) {
        output::complain(&format!(
            "strongroom: warning: the running server has not taken the new unseal key, and cannot rotate the root key \
             until it is restarted: {failure}"
        ));
    }
}

fn report(
    made: &[Remade],
    wanted: &Rekeying<'_>,
    generation: u64,
    now: Timestamp,
) -> Result<(), Failure> {
    if wanted.json {
        let seals: Vec<Value> = made
            .iter()
            .map(|it| {
                json!({
                    "seal": it.index,
                    "kind": it.seal.kind().name(),
                    "place": it.seal.describe(),
                    "added": now.to_iso8601(),
                })
            })
            .collect();
        let told = json!({
            "rekeyed": true, "generation": generation, "seals": seals, "dropped": wanted.drop,
        });
        return output::say(&told.to_string());
    }
    output::say("The key ring is rekeyed: it has a new unseal key, and every seal was made anew.")?;
    for it in made {
        let (kind, place) = (it.seal.kind().name(), it.seal.describe());
        output::say(&format!("  seal {}: {kind}, {place}", it.index))?;
    }
    for number in wanted.drop {
        output::say(&format!("  seal {number} is removed"))?;
    }
    if let (Some(path), true) = (
        wanted.credential_file,
        made.iter().any(|it| it.seal.kind() == SealKind::Credential),
    ) {
        output::say(&format!(
            "Give {} to the service manager, and remove it: the old credential opens nothing any more.",
            path.display()
        ))?;
    }
    output::say("")?;
    output::say("Copy the new key files to where you keep the old ones, and back the ring up.")?;
    output::say(
        "Copies of the ring from before still open with the old seals, and give the root and",
    )?;
    output::say(
        "service keys of then. For root keys that they do not have: strongroom root-key rotate",
    )
}
