//! What opens a ring: every seal with what is at hand for it, and the person at the terminal.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strongroom_crypto::{Keyring, Sealed, UnsealKey};
use strongroom_ports::{Entropy, Seal, SealError, SealKind};
use zeroize::Zeroizing;

use super::ask::{self, Brought};
use super::key_service::{Access, KeyServiceSeal};
use super::passphrase::Passphrase;
use super::refusals::Refusals;
use super::shares::{self, Collected, Collector, Progress};
use super::slots::{self, Slot};
#[cfg(feature = "pkcs11")]
use super::token::{self, TokenPlace, TokenSeal};
#[cfg(feature = "tpm")]
use super::tpm::{Pcrs, TpmSeal};
use crate::adapters::SystemClock;
use crate::config::Settings;
use crate::failure::Failure;
use crate::key_file::{self, KeyFile, KeyFileError};
use crate::output;
use crate::unseal::Environment;

/// How many answers a person at the terminal has.
const ATTEMPTS_MAX: usize = 32;

/// What opens the ring: where keys may be, and what somebody has given.
pub(crate) struct Means<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) entropy: &'a Arc<dyn Entropy>,
    pub(crate) environment: Environment<'a>,
    pub(crate) given: Given,
    /// Where this very server listens, or will: its own key service cannot open it.
    pub(crate) own: Vec<SocketAddr>,
    /// A slot that is not tried: the one that is about to be removed.
    pub(crate) except: Option<usize>,
    /// The tokens that refused the PIN that is given.
    pub(crate) refusals: Refusals,
}

/// What somebody has given, by hand or by a file descriptor.
#[derive(Default)]
pub(crate) struct Given {
    pub(crate) passphrase: Option<Zeroizing<String>>,
    pub(crate) key_file: Option<Zeroizing<String>>,
    pub(crate) shares: Vec<Zeroizing<String>>,
    pub(crate) pin: Option<Zeroizing<String>>,
}

/// A key file opened a slot.
pub(crate) struct OpenedByKeyFile {
    key: UnsealKey,
    /// Which, if it was one that lies somewhere.
    pub(crate) path: Option<PathBuf>,
}

/// Why a key file did not.
pub(crate) enum KeyFileFailure {
    /// It cannot be used.
    File(KeyFileError),
    /// The one of this place can, but does not open the slot.
    Seal(String, SealError),
}

impl From<KeyFileFailure> for SealError {
    fn from(failure: KeyFileFailure) -> Self {
        match failure {
            KeyFileFailure::File(error) => Self::Unavailable(error.to_string()),
            KeyFileFailure::Seal(_, error) => error,
        }
    }
}

impl Given {
    /// Takes what was brought. The newest of each kind counts; shares add up.
    pub(crate) fn take(&mut self, brought: Brought) {
        match brought {
            Brought::Passphrase(text) => self.passphrase = Some(text),
            Brought::Share(text) => self.shares.push(text),
            Brought::KeyFile(text) => self.key_file = Some(text),
            Brought::Pin(text) => self.pin = Some(text),
        }
    }
}

impl<'a> Means<'a> {
    /// The settings' own, and what is at the file descriptor that they name.
    ///
    /// # Errors
    ///
    /// [`Exit::Seal`] when that cannot be read.
    pub(crate) fn new(
        settings: &'a Settings,
        entropy: &'a Arc<dyn Entropy>,
        environment: Environment<'a>,
    ) -> Result<Self, Failure> {
        let mut means = Self::of_settings(settings, entropy, environment);
        if let Some(number) = settings.unseal_fd {
            for brought in ask::classify(&ask::descriptor(number)?)? {
                means.given.take(brought);
            }
        }
        Ok(means)
    }

    /// The settings' own alone: what is at a file descriptor can be read once.
    pub(crate) fn of_settings(
        settings: &'a Settings,
        entropy: &'a Arc<dyn Entropy>,
        environment: Environment<'a>,
    ) -> Self {
        Self {
            settings,
            entropy,
            environment,
            given: Given::default(),
            own: Vec::new(),
            except: None,
            refusals: Refusals::default(),
        }
    }

    /// The same, with this given and nothing else.
    pub(crate) fn giving(&self, brought: Brought) -> Self {
        let mut given = Given::default();
        given.take(brought);
        Self {
            given,
            own: self.own.clone(),
            // Of another PIN.
            refusals: Refusals::default(),
            ..*self
        }
    }

    fn slots<'r>(&self, ring: &'r Keyring<Sealed>) -> Vec<Slot<'r>> {
        let mut slots = slots::of(ring);
        slots.retain(|slot| Some(slot.index) != self.except);
        slots
    }

    /// Tries one slot with everything at hand. `None` where a person is needed and gave nothing.
    pub(crate) fn try_slot(
        &self,
        ring: &Keyring<Sealed>,
        slot: &Slot<'_>,
    ) -> Option<Result<UnsealKey, SealError>> {
        let context = ring.slot_context(slot.index);
        let reveal = |seal: &dyn Seal| seal.reveal(slot.body, &context);
        Some(match slot.kind {
            Some(SealKind::KeyFile | SealKind::Credential) => {
                match self.try_key_files(ring, slot) {
                    Ok(opened) => Ok(opened.key),
                    Err(failures) => Err(most_telling(failures.into_iter().map(SealError::from))
                        .unwrap_or_else(|| {
                            let place = slot.place;
                            SealError::Unavailable(format!("credential {place} is not handed over"))
                        })),
                }
            }
            Some(SealKind::Passphrase) => {
                let text = self.given.passphrase.clone()?;
                reveal(&Passphrase::new(text, Arc::clone(self.entropy)))
            }
            Some(SealKind::Shares) => {
                if self.given.shares.is_empty() {
                    return None;
                }
                self.try_shares(ring)
            }
            Some(SealKind::KeyService) => reveal(&KeyServiceSeal::of_slots(self.access())),
            Some(SealKind::Token) => match self.token(None)? {
                Ok(seal) => reveal(&*seal),
                Err(error) => Err(error),
            },
            Some(SealKind::Tpm) => match self.tpm(None) {
                Ok(seal) => reveal(&*seal),
                Err(error) => Err(error),
            },
            Some(_) | None => Err(SealError::Unavailable(
                "the seal is of a kind that only a newer strongroom knows".to_owned(),
            )),
        })
    }

    /// How key services are reached.
    pub(crate) fn access(&self) -> Access {
        Access::new(
            self.settings,
            self.own.clone(),
            Arc::new(SystemClock::new()),
            Arc::clone(self.entropy),
            self.environment,
        )
    }

    /// The token of the operator's PKCS#11 library. `None` while nobody gave its PIN.
    #[cfg(feature = "pkcs11")]
    pub(crate) fn token(
        &self,
        place: Option<(&str, &str)>,
    ) -> Option<Result<Box<dyn Seal>, SealError>> {
        let Some(module) = self.settings.pkcs11_module.clone() else {
            return Some(Err(SealError::Unavailable(
                "no PKCS#11 library is named; name it with --pkcs11-module FILE".to_owned(),
            )));
        };
        let pin = match (&self.given.pin, &self.settings.pkcs11_pin_file) {
            (Some(pin), _) => pin.clone(),
            (None, Some(path)) => match token::read_pin(path) {
                Ok(pin) => pin,
                Err(why) => return Some(Err(SealError::Unavailable(why))),
            },
            (None, None) => return None,
        };
        let place = place.map(|(token, key)| TokenPlace {
            token: token.to_owned(),
            key: key.to_owned(),
        });
        Some(Ok(Box::new(TokenSeal {
            module,
            pin,
            place,
            entropy: Arc::clone(self.entropy),
            refusals: self.refusals.clone(),
        })))
    }

    /// This program cannot talk to tokens.
    #[cfg(not(feature = "pkcs11"))]
    pub(crate) fn token(
        &self,
        _place: Option<(&str, &str)>,
    ) -> Option<Result<Box<dyn Seal>, SealError>> {
        Some(Err(SealError::Unavailable(
            "this strongroom was built without the feature pkcs11".to_owned(),
        )))
    }

    /// The machine's TPM, for a new slot with these PCRs, or for slots that exist.
    #[cfg(feature = "tpm")]
    pub(crate) fn tpm(&self, pcrs: Option<&str>) -> Result<Box<dyn Seal>, SealError> {
        let pcrs = match pcrs {
            Some(text) => Pcrs::parse(text).map_err(SealError::Unavailable)?,
            None => Pcrs::default(),
        };
        let device = self.settings.tpm_device.as_deref();
        Ok(Box::new(TpmSeal::new(
            device,
            pcrs,
            Arc::clone(self.entropy),
        )))
    }

    /// This program cannot talk to TPMs.
    #[cfg(not(feature = "tpm"))]
    pub(crate) fn tpm(&self, _pcrs: Option<&str>) -> Result<Box<dyn Seal>, SealError> {
        Err(SealError::Unavailable(
            "this strongroom was built without the feature tpm".to_owned(),
        ))
    }

    /// Tries a key file's or credential's slot; `None` for other kinds.
    pub(crate) fn try_own_key_file(
        &self,
        ring: &Keyring<Sealed>,
        slot: &Slot<'_>,
    ) -> Option<Result<UnsealKey, SealError>> {
        match slot.kind {
            Some(SealKind::KeyFile | SealKind::Credential) => self.try_slot(ring, slot),
            Some(_) | None => None,
        }
    }

    /// Tries every slot, those first that ask nobody.
    ///
    /// # Errors
    ///
    /// The most telling one; [`SealError::Unavailable`] as long as a person may still open a slot.
    pub(crate) fn try_all(&self, ring: &Keyring<Sealed>) -> Result<UnsealKey, SealError> {
        let mut slots = self.slots(ring);
        slots.sort_by_key(|slot| slot.kind.map(SealKind::code));
        let mut errors = Vec::new();
        let mut untried = Vec::new();
        for slot in &slots {
            match self.try_slot(ring, slot) {
                Some(Ok(key)) => return Ok(key),
                Some(Err(error)) => errors.push(error),
                None => untried.extend(slot.kind),
            }
        }
        let telling = most_telling(errors);
        if let Some(kind) = untried.first() {
            let waits = format!("nobody has given the {} yet", kind.name());
            return Err(SealError::Unavailable(match telling {
                Some(error) => format!("{waits}, and of the others: {error}"),
                None => waits,
            }));
        }
        Err(telling.unwrap_or_else(|| SealError::Unavailable("the ring has no seal".to_owned())))
    }

    /// As [`Means::try_all`], and then asks the person at the terminal, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Means::try_all`].
    pub(crate) fn try_and_ask(&self, ring: &Keyring<Sealed>) -> Result<UnsealKey, SealError> {
        let refused = match self.try_all(ring) {
            Ok(key) => return Ok(key),
            Err(error) => error,
        };
        let has = |kind| self.slots(ring).iter().any(|slot| slot.kind == Some(kind));
        let (by_passphrase, by_shares) = (has(SealKind::Passphrase), has(SealKind::Shares));
        let by_pin = has(SealKind::Token) && self.settings.pkcs11_module.is_some();
        if ask::is_attended()
            && by_pin
            && self.given.pin.is_none()
            && self.settings.pkcs11_pin_file.is_none()
            && let Some(pin) = ask::secret("PIN of the token (Enter to skip):")
        {
            match self
                .giving(Brought::Pin(pin))
                .try_kinds(ring, &[SealKind::Token])
            {
                Ok(key) => return Ok(key),
                Err(error) => output::complain(&format!("strongroom: {error}")),
            }
        }
        if !ask::is_attended() || !(by_passphrase || by_shares) {
            return Err(refused);
        }
        output::complain(&format!("strongroom: {refused}"));
        let mut collector = Collector::without(self.except);
        let mut last = refused;
        for _ in 0..ATTEMPTS_MAX {
            let Some(text) = ask::secret(&question(by_passphrase, by_shares, &mut collector))
            else {
                break;
            };
            let outcome = if shares::is_share(&text) {
                match collector.add(ring, &text, Duration::ZERO) {
                    Ok(Collected::Open(key)) => return Ok(key),
                    Ok(Collected::Waiting(_)) => continue,
                    Err(error) => Err(SealError::WrongSeal(error.to_string())),
                }
            } else {
                let given = self.giving(Brought::Passphrase(text));
                given.try_kinds(ring, &[SealKind::Passphrase])
            };
            match outcome {
                Ok(key) => return Ok(key),
                Err(error) => {
                    output::complain(&format!("strongroom: {error}"));
                    last = error;
                }
            }
        }
        Err(last)
    }

    /// Tries the slots of some kinds only.
    ///
    /// # Errors
    ///
    /// The most telling one.
    pub(crate) fn try_kinds(
        &self,
        ring: &Keyring<Sealed>,
        kinds: &[SealKind],
    ) -> Result<UnsealKey, SealError> {
        let mut errors = Vec::new();
        for slot in self.slots(ring) {
            if !slot.kind.is_some_and(|kind| kinds.contains(&kind)) {
                continue;
            }
            match self.try_slot(ring, &slot) {
                Some(Ok(key)) => return Ok(key),
                Some(Err(error)) => errors.push(error),
                None => {}
            }
        }
        Err(most_telling(errors).unwrap_or_else(|| {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            SealError::WrongSeal(format!(
                "no seal of the ring is of kind {}",
                names.join(" or ")
            ))
        }))
    }

    /// Tries the key files that may be a slot's.
    ///
    /// # Errors
    ///
    /// What is wrong with each.
    pub(crate) fn try_key_files(
        &self,
        ring: &Keyring<Sealed>,
        slot: &Slot<'_>,
    ) -> Result<OpenedByKeyFile, Vec<KeyFileFailure>> {
        let context = ring.slot_context(slot.index);
        let mut failures = Vec::new();
        for found in self.key_files(ring, slot) {
            let seal = match found {
                Ok(seal) => seal,
                Err(error) => {
                    failures.push(KeyFileFailure::File(error));
                    continue;
                }
            };
            match seal.reveal(slot.body, &context) {
                Ok(key) => {
                    let path = (seal.kind() == SealKind::KeyFile).then(|| seal.path().to_owned());
                    return Ok(OpenedByKeyFile { key, path });
                }
                Err(error) => failures.push(KeyFileFailure::Seal(seal.describe(), error)),
            }
        }
        Err(failures)
    }

    /// The key files that may be a slot's, or why they cannot be used.
    pub(super) fn key_files(
        &self,
        ring: &Keyring<Sealed>,
        slot: &Slot<'_>,
    ) -> Vec<Result<KeyFile, KeyFileError>> {
        let entropy = || Arc::clone(self.entropy);
        let mut found = Vec::new();
        if let Some(text) = &self.given.key_file {
            found.push(KeyFile::of_text(text, "what was given", entropy()));
        }
        if slot.kind == Some(SealKind::Credential) {
            let directory = (self.environment)("CREDENTIALS_DIRECTORY");
            // The place comes from a file that is not proven yet.
            let name = Some(slot.place).filter(|name| key_file::is_credential_name(name));
            if let (Some(directory), Some(name)) = (directory, name) {
                found.push(KeyFile::read_credential(
                    Path::new(&directory),
                    name,
                    entropy(),
                ));
            }
            if let Some(path) = &self.settings.key_file {
                found.push(KeyFile::read(path, entropy()));
            }
            return found;
        }
        let paths = if let Some(path) = &self.settings.key_file {
            vec![path.clone()]
        } else {
            let place = PathBuf::from(slot.place);
            let default = key_file::default_path(ring.ring_id(), self.environment);
            let default = default.filter(|path| *path != place);
            std::iter::once(place).chain(default).collect()
        };
        found.extend(paths.iter().map(|path| KeyFile::read(path, entropy())));
        found
    }

    fn try_shares(&self, ring: &Keyring<Sealed>) -> Result<UnsealKey, SealError> {
        let mut collector = Collector::without(self.except);
        let mut progress = None;
        for text in &self.given.shares {
            match collector.add(ring, text, Duration::ZERO) {
                Ok(Collected::Open(key)) => return Ok(key),
                Ok(Collected::Waiting(so_far)) => progress = Some(so_far),
                Err(error) => return Err(SealError::WrongSeal(error.to_string())),
            }
        }
        let told = progress.map_or_else(String::new, |Progress { have, need }| {
            format!("{have} of {need} shares were given")
        });
        Err(SealError::Unavailable(told))
    }
}

/// Whether a seal may open after the start: people come, and services come back. A key file that is
/// not there is an error of whoever starts the server, and the start says so.
pub(crate) fn may_open_later(slot: &Slot<'_>) -> bool {
    match slot.kind {
        Some(SealKind::KeyFile | SealKind::Credential) | None => false,
        Some(
            SealKind::Passphrase
            | SealKind::Shares
            | SealKind::KeyService
            | SealKind::Token
            | SealKind::Tpm
            | _,
        ) => true,
    }
}

/// What is there and wrong says more than what is missing; of that, all is told. A damaged slot is
/// the answer only where nothing else is left: as long as another may open later, the ring is sealed
/// and not damaged.
fn most_telling(errors: impl IntoIterator<Item = SealError>) -> Option<SealError> {
    let mut missing = Vec::new();
    let mut damaged = None;
    for error in errors {
        match error {
            SealError::Unavailable(why) => missing.push(why),
            SealError::Damaged(_) => damaged = damaged.or(Some(error)),
            wrong @ (SealError::WrongSeal(_) | _) => return Some(wrong),
        }
    }
    if missing.is_empty() {
        return damaged;
    }
    missing.extend(damaged.map(|error| error.to_string()));
    Some(SealError::Unavailable(missing.join("; ")))
}

fn question(by_passphrase: bool, by_shares: bool, collector: &mut Collector) -> String {
    if let Some(Progress { have, need }) = collector.progress(Duration::ZERO) {
        return format!("Share {} of {need}:", have.saturating_add(1));
    }
    match (by_passphrase, by_shares) {
        (true, true) => "Passphrase or share of the key ring:".to_owned(),
        (false, true) => "A share of the key ring:".to_owned(),
        (true | false, false) => "Passphrase of the key ring:".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_slot_says_the_least_as_long_as_another_may_open() {
        let damaged = || SealError::Damaged("slot 1".to_owned());
        let away = || SealError::Unavailable("no answer".to_owned());
        let wrong = || SealError::WrongSeal("another key".to_owned());
        assert!(matches!(
            most_telling([damaged(), away()]),
            Some(SealError::Unavailable(why)) if why.contains("no answer") && why.contains("slot 1")
        ));
        assert!(matches!(
            most_telling([damaged(), away(), wrong()]),
            Some(SealError::WrongSeal(_))
        ));
        assert!(matches!(
            most_telling([damaged(), damaged()]),
            Some(SealError::Damaged(_))
        ));
        assert!(most_telling([]).is_none());
    }
}
