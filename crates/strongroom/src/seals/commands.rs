//! `seal list`, `add`, `remove`, `test` and `status`.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_audit::Params;
use strongroom_crypto::{Keyring, Sealed, UnsealKey};
use strongroom_ports::{Clock as _, Entropy, Seal, SealError, SealKind};
use strongroom_types::Timestamp;
use zeroize::Zeroizing;

use super::ask::{self, Brought};
use super::key_service::{KeyPlace, KeyServiceSeal};
use super::means::Means;
use super::passphrase::{Passphrase, weakness};
use super::shares::{Collected, Collector, NewShares};
use super::slots::{self, Slot};
use crate::adapters::{SystemClock, SystemEntropy};
use crate::admin::{self, Answer, Request, SealRequest};
use crate::cli::seal::{SealAddArgs, SealRemoveArgs};
use crate::commands::{read_endpoint, unexpected};
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::key_file::{self, KeyFile};
use crate::notes::{self, Note};
use crate::output;
use crate::ring_files::{OpenedRing, RingFiles};
use crate::unseal::{self, Environment};

/// `seal list`.
pub(crate) fn list(settings: &Settings, json: bool) -> Result<(), Failure> {
    let ring = newest(settings)?;
    let slots = slots::of(&ring);
    if json {
        let seals: Vec<Value> = slots.iter().map(described).collect();
        let ring_id = hex::encode(ring.ring_id());
        let answer = json!({"ring": ring_id, "generation": ring.generation(), "seals": seals});
        return output::say(&answer.to_string());
    }
    for slot in &slots {
        output::say(&line(slot))?;
    }
    if slots.len() < 2 && settings.data.holds_data().unwrap_or(true) {
        output::say("WARNING: this is the only seal. Whoever loses it has lost all the data;")?;
        output::say("         add a second one, kept elsewhere: strongroom seal add --help")?;
    }
    Ok(())
}

/// `seal add`.
pub(crate) fn add(
    settings: &Settings,
    args: &SealAddArgs,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let entropy = entropy();
    // Before anybody is asked for what opens the ring: what cannot work is refused at once.
    let wanted = Wanted::decide(args)?;
    let opened = unseal::unseal_as_it_is(settings, &entropy, environment)?;
    let now = SystemClock::new().now();
    let ring_id = opened.ring.ring_id();
    let (seal, shares): (Box<dyn Seal>, Option<Arc<NewShares>>) = match wanted {
        Wanted::KeyFile(path) => (Box::new(new_key_file(settings, path, &entropy)?), None),
        Wanted::Credential(name, path) => {
            let file = new_key_file(settings, path, &entropy)?;
            (Box::new(file.into_credential(name)), None)
        }
        Wanted::Passphrase(fd) => {
            let text = new_passphrase(fd)?;
            (Box::new(Passphrase::new(text, Arc::clone(&entropy))), None)
        }
        Wanted::Shares { threshold, count } => {
            let new = NewShares::draw(&ring_id, threshold, count, Arc::clone(&entropy)).map_err(
                |error| {
                    Failure::new(
                        Exit::Usage,
                        error.to_string(),
                        "as in --shares 5 --threshold 3",
                    )
                },
            )?;
            let new = Arc::new(new);
            (Box::new(Lent(Arc::clone(&new))), Some(new))
        }
        Wanted::KeyService(place) => {
            let mut means = Means::of_settings(settings, &entropy, environment);
            means.own = running_addresses(settings)?;
            (Box::new(KeyServiceSeal::at(place, means.access())), None)
        }
        Wanted::Token { token, key } => (
            new_token(settings, &entropy, environment, token, key)?,
            None,
        ),
        Wanted::Tpm(pcrs) => {
            let means = Means::of_settings(settings, &entropy, environment);
            let seal = means.tpm(pcrs);
            (seal.map_err(|error| unseal::seal_failure(&error))?, None)
        }
    };
    let details = Params::new().text("kind", seal.kind().name());
    let deed = ("AddSeal", details.text("place", &seal.describe()));
    let index = changing(settings, &opened.unseal_key, deed, |opened| {
        unseal::add_seal(settings, opened, &*seal, now, &entropy)
    })?;
    tell_server(settings);
    report_added(args.json, index, &*seal, shares.as_deref())
}

/// `seal remove`.
pub(crate) fn remove(
    settings: &Settings,
    args: &SealRemoveArgs,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let entropy = entropy();
    let ring = newest(settings)?;
    let slots = slots::of(&ring);
    let Some(slot) = slots.iter().find(|slot| slot.index == args.number) else {
        return Err(Failure::new(
            Exit::Usage,
            format!("there is no seal {}", args.number),
            "strongroom seal list shows the numbers",
        ));
    };
    if slots.len() < 2 {
        return Err(Failure::new(
            Exit::Seal,
            "this is the last seal: without it nobody could ever open the data",
            "add another one first: strongroom seal add",
        ));
    }
    let mut means = Means::new(settings, &entropy, environment)?;
    means.except = Some(slot.index);
    // One of those that stay opens the ring, here and now, or nothing is removed.
    let files = RingFiles::new(settings.data.ring());
    let opened = files.open_as_it_is(&|ring| means.try_and_ask(ring));
    let opened = opened.map_err(|error| {
        let mut failure = unseal::ring_failure(error);
        failure.what = format!(
            "none of the seals that would be left opens the key ring: {}",
            failure.what
        );
        failure
    })?;
    let number = u64::try_from(slot.index).unwrap_or(u64::MAX);
    let details = Params::new().number("seal", number);
    let deed = ("RemoveSeal", details.text("kind", kind_name(slot)));
    let left = changing(settings, &opened.unseal_key, deed, |opened| {
        let OpenedRing {
            ring, unseal_key, ..
        } = opened;
        // Whoever changed the seals meanwhile may have put another one there, or left the last one.
        let now = slots::of(ring);
        if now != slots {
            return Err(Failure::new(
                Exit::Seal,
                "the seals were changed by somebody else at the same time",
                "nothing was removed; look at strongroom seal list, and run the command again",
            ));
        }
        if ring.vacate_slot(args.number).is_none() {
            return Err(no_ring());
        }
        files
            .write(ring, unseal_key, &*entropy)
            .map_err(unseal::ring_failure)?;
        Ok(slots::of(ring).len())
    })?;
    tell_server(settings);
    if args.json {
        return output::say(&json!({"removed": args.number, "seals_left": left}).to_string());
    }
    output::say(&format!(
        "Seal {} ({}, {}) is removed; {left} left.",
        slot.index,
        kind_name(slot),
        slot.place
    ))?;
    output::say(
        "Every copy of the key ring from before, in backups or in other hands, still opens with",
    )?;
    output::say(
        "it, and gives the keys that this ring goes on using, its unseal key too. Destroy the seal",
    )?;
    output::say("itself, let old copies expire, and draw a new unseal key: strongroom seal rekey")
}

/// `seal test`.
pub(crate) fn test(
    settings: &Settings,
    json: bool,
    environment: Environment<'_>,
) -> Result<(), Failure> {
    let entropy = entropy();
    let ring = newest(settings)?;
    let means = Means::new(settings, &entropy, environment)?;
    // A named key file is one seal's; every other seal is tried where its own is.
    let unnamed = Settings {
        key_file: None,
        ..settings.clone()
    };
    let elsewhere = Means::of_settings(&unnamed, &entropy, environment);
    let mut tested = Vec::new();
    let mut opened = None;
    for slot in slots::of(&ring) {
        let outcome = match (
            elsewhere.try_own_key_file(&ring, &slot),
            means.try_slot(&ring, &slot),
        ) {
            (Some(Ok(key)), _) | (_, Some(Ok(key))) => Some(Ok(key)),
            // What is wrong with the seal's own file, not that the named one is another's.
            (Some(Err(error)), _) | (None, Some(Err(error))) => Some(Err(error)),
            (None, None) => ask_for(&means, &ring, &slot),
        };
        let (word, why) = match &outcome {
            Some(Ok(_)) => ("opens", None),
            Some(Err(error @ SealError::WrongSeal(_))) => ("wrong", Some(error.to_string())),
            Some(Err(error @ SealError::Unavailable(_))) => {
                ("unreachable", Some(error.to_string()))
            }
            Some(Err(error)) => ("damaged", Some(error.to_string())),
            None => ("not-tried", Some("nobody gave its secret".to_owned())),
        };
        if !json {
            let why = why
                .as_ref()
                .map_or_else(String::new, |why| format!(": {why}"));
            output::say(&format!("{word:<12} {}{why}", line(&slot)))?;
        }
        if let Some(Ok(key)) = outcome {
            opened = Some(key);
        }
        let mut told = described(&slot);
        if let Some(told) = told.as_object_mut() {
            told.insert("outcome".to_owned(), word.into());
            told.insert("why".to_owned(), why.into());
        }
        tested.push((word, told));
    }
    let count = |word: &str| tested.iter().filter(|(is, _)| *is == word).count();
    let (damaged, wrong, unreachable) = (count("damaged"), count("wrong"), count("unreachable"));
    note_test(settings, opened.as_ref(), &tested);
    if json {
        let seals: Vec<&Value> = tested.iter().map(|(_, told)| told).collect();
        output::say(&json!({"seals": seals}).to_string())?;
    }
    let exit = match (damaged, wrong, unreachable) {
        (0, 0, 0) if count("opens") > 0 => return Ok(()),
        (0, 0, 0) => Exit::Seal,
        (0, 0, _) => Exit::Environment,
        (0, _, _) => Exit::Seal,
        (_, _, _) => Exit::Ring,
    };
    Err(Failure::new(
        exit,
        format!(
            "{} of {} seals open: {wrong} wrong, {damaged} damaged, {unreachable} unreachable, {} not tried",
            count("opens"),
            tested.len(),
            count("not-tried")
        ),
        "put back what is missing; while one still opens, remove and add the others: strongroom seal remove, add",
    ))
}

/// Notes for the audit trail what a test found.
fn note_test(settings: &Settings, key: Option<&UnsealKey>, tested: &[(&'static str, Value)]) {
    let Some(key) = key else {
        return notes::unrecorded("no seal opened the key ring, which seals the record");
    };
    let ring = newest(settings).and_then(|ring| {
        ring.unseal(key)
            .map_err(|error| Failure::new(Exit::Ring, error.to_string(), ""))
    });
    match ring {
        Ok(ring) => {
            let number = |told: &Value| told.get("seal").map_or_else(String::new, Value::to_string);
            let each = tested
                .iter()
                .map(|(word, told)| format!("{} {word}", number(told)));
            let details = Params::new().list("seals", each);
            Note::begin(&settings.data, &ring, "TestSeals", details).end(Params::new(), None);
        }
        Err(failure) => notes::unrecorded(&failure.what),
    }
}

/// `seal status`.
pub(crate) fn status(settings: &Settings, json: bool) -> Result<(), Failure> {
    let answer = ask_server(settings, SealRequest::Status)?;
    let state = match answer {
        Some(Answer::SealState(state)) => Some(state),
        Some(_) => return Err(unexpected()),
        None => None,
    };
    if json {
        let told = match &state {
            Some(state) => json!({
                "running": true,
                "sealed": state.sealed,
                "why": state.why,
                "shares": state.shares.map(|(have, need)| json!({"have": have, "need": need})),
            }),
            None => json!({"running": false}),
        };
        return output::say(&told.to_string());
    }
    match state {
        None => output::say("No server runs on this data directory."),
        Some(state) if !state.sealed => output::say("The server is open."),
        Some(state) => {
            output::say(&format!(
                "The server is sealed: {}",
                state.why.unwrap_or_default()
            ))?;
            match state.shares {
                Some((have, need)) => output::say(&format!("{have} of {need} shares are here.")),
                None => Ok(()),
            }
        }
    }
}

/// Changes the ring under its lock, which is held for this alone: nobody is asked anything meanwhile,
/// and a running server needs it to open the ring. What was opened before may be old by now, so it is
/// opened anew. The deed and its details are noted for the audit trail.
pub(super) fn changing<T>(
    settings: &Settings,
    key: &UnsealKey,
    (name, details): (&'static str, Params),
    change: impl FnOnce(&mut OpenedRing) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let files = RingFiles::new(settings.data.ring());
    let _held = files.hold().map_err(|_| no_ring())?;
    let mut opened = unseal::open(settings, &|_| {
        UnsealKey::parse(key.expose()).map_err(|error| SealError::Damaged(error.to_string()))
    })
    .map_err(unseal::ring_failure)?;
    let note = Note::begin(&settings.data, &opened.ring, name, details);
    let outcome = change(&mut opened);
    note.end(Params::new(), outcome.as_ref().err());
    outcome
}

/// The seal that `add` makes.
enum Wanted<'a> {
    KeyFile(&'a Path),
    Credential(&'a str, &'a Path),
    Passphrase(Option<u32>),
    Shares { threshold: u8, count: u8 },
    KeyService(KeyPlace),
    Token { token: &'a str, key: &'a str },
    Tpm(Option<&'a str>),
}

impl<'a> Wanted<'a> {
    fn decide(args: &'a SealAddArgs) -> Result<Self, Failure> {
        let usage = |what: &str| {
            Failure::new(
                Exit::Usage,
                what,
                "strongroom seal add --help shows the forms",
            )
        };
        match (&args.credential, &args.key_file) {
            (Some(name), _) if !key_file::is_credential_name(name) => {
                return Err(usage(
                    "a credential's name is a file name of letters, digits, - _ and .",
                ));
            }
            (Some(name), Some(path)) => return Ok(Self::Credential(name, path)),
            (None, Some(path)) => return Ok(Self::KeyFile(path)),
            (_, None) => {}
        }
        if args.passphrase {
            return Ok(Self::Passphrase(args.passphrase_fd));
        }
        if let Some(key) = &args.kms_key {
            let place = KeyPlace::parse(key, args.kms_endpoint.as_deref());
            return place.map(Self::KeyService).map_err(|why| usage(&why));
        }
        if args.tpm {
            return Ok(Self::Tpm(args.tpm_pcrs.as_deref()));
        }
        if let (Some(token), Some(key)) = (&args.pkcs11_token, &args.pkcs11_key) {
            return Ok(Self::Token { token, key });
        }
        match (args.shares, args.threshold) {
            (Some(count), Some(threshold)) => Ok(Self::Shares { threshold, count }),
            _ => Err(usage("no kind of seal was named")),
        }
    }
}

/// Shares that are used as a seal and told afterwards.
pub(super) struct Lent(pub(super) Arc<NewShares>);

impl Seal for Lent {
    fn kind(&self) -> SealKind {
        self.0.kind()
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn protect(&self, key: &UnsealKey, slot_context: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.protect(key, slot_context)
    }

    fn reveal(&self, protected: &[u8], slot_context: &[u8]) -> Result<UnsealKey, SealError> {
        self.0.reveal(protected, slot_context)
    }
}

fn report_added(
    json: bool,
    index: usize,
    seal: &dyn Seal,
    shares: Option<&NewShares>,
) -> Result<(), Failure> {
    let texts = shares.map(NewShares::texts).unwrap_or_default();
    if json {
        let mut told = json!({"seal": index, "kind": seal.kind().name(), "place": seal.describe()});
        if let Some(told) = told.as_object_mut().filter(|_| !texts.is_empty()) {
            let texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
            told.insert("shares".to_owned(), texts.into());
        }
        return output::say(&Zeroizing::new(told.to_string()));
    }
    output::say(&format!(
        "Seal {index} is added: {}, {}",
        seal.kind().name(),
        seal.describe()
    ))?;
    if texts.is_empty() {
        return Ok(());
    }
    output::say("\nEach line is one person's share. They are shown this once and kept nowhere:\n")?;
    for text in &texts {
        output::say(&Zeroizing::new(format!("  {}", text.as_str())))?;
    }
    output::say("\nWrite them on paper. Whoever reads enough of them can open the data.")
}

pub(crate) fn new_key_file(
    settings: &Settings,
    path: &Path,
    entropy: &Arc<dyn Entropy>,
) -> Result<KeyFile, Failure> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    unseal::first_key_file(&path, settings, entropy)
}

/// Asks for the PIN if it is in no file.
pub(super) fn new_token(
    settings: &Settings,
    entropy: &Arc<dyn Entropy>,
    environment: Environment<'_>,
    token: &str,
    key: &str,
) -> Result<Box<dyn Seal>, Failure> {
    let mut means = Means::of_settings(settings, entropy, environment);
    let place = Some((token, key));
    if means.token(place).is_none() {
        let pin = ask::secret(&format!("PIN of token {token}:")).ok_or_else(|| {
            Failure::new(
                Exit::Seal,
                "the PIN of the token is asked for at a terminal, and there is none",
                "name a file with --pkcs11-pin-file FILE",
            )
        })?;
        means.given.pin = Some(pin);
    }
    let seal = means.token(place).ok_or_else(nothing_given)?;
    seal.map_err(|error| unseal::seal_failure(&error))
}

/// Where the server of this store listens, if one runs.
pub(super) fn running_addresses(settings: &Settings) -> Result<Vec<SocketAddr>, Failure> {
    if ask_server(settings, SealRequest::Status)?.is_none() {
        return Ok(Vec::new());
    }
    let (http, https) = read_endpoint(&settings.data.endpoint());
    let addresses = http.into_iter().chain(https);
    Ok(addresses
        .filter_map(|address| address.parse().ok())
        .collect())
}

pub(crate) fn new_passphrase(fd: Option<u32>) -> Result<Zeroizing<String>, Failure> {
    match fd {
        Some(number) => accepted_passphrase(ask::descriptor_line(number)?),
        None => asked_passphrase("New passphrase:"),
    }
}

/// Asks the person at the terminal for a new passphrase, twice.
pub(super) fn asked_passphrase(question: &str) -> Result<Zeroizing<String>, Failure> {
    let nobody = || {
        refused_passphrase(
            "a new passphrase is asked for at a terminal, and there is none; or give --passphrase-fd N",
        )
    };
    let first = accepted_passphrase(ask::secret(question).ok_or_else(nobody)?)?;
    let second = ask::secret("The same again:").ok_or_else(nobody)?;
    if *first != *second {
        return Err(refused_passphrase("the two passphrases differ"));
    }
    Ok(first)
}

/// The passphrase, if it is strong enough for a new one.
pub(super) fn accepted_passphrase(text: Zeroizing<String>) -> Result<Zeroizing<String>, Failure> {
    match weakness(&text) {
        Some(why) => Err(refused_passphrase(&why)),
        None => Ok(text),
    }
}

fn refused_passphrase(what: &str) -> Failure {
    Failure::new(
        Exit::Seal,
        what,
        "nothing was changed; run the command again",
    )
}

/// Asks the person at the terminal for what one slot needs.
fn ask_for(
    means: &Means<'_>,
    ring: &Keyring<Sealed>,
    slot: &Slot<'_>,
) -> Option<Result<UnsealKey, SealError>> {
    let index = slot.index;
    match slot.kind {
        Some(SealKind::Passphrase) => {
            let text = ask::secret(&format!("Passphrase of seal {index} (Enter to skip):"))?;
            means.giving(Brought::Passphrase(text)).try_slot(ring, slot)
        }
        Some(SealKind::Token) => {
            let pin = ask::secret(&format!("PIN of seal {index} (Enter to skip):"))?;
            means.giving(Brought::Pin(pin)).try_slot(ring, slot)
        }
        Some(SealKind::Shares) => {
            let mut collector = Collector::default();
            loop {
                let text = ask::secret(&format!("A share of seal {index} (Enter to skip):"))?;
                match collector.add(ring, &text, Duration::ZERO) {
                    Ok(Collected::Open(key)) => return Some(Ok(key)),
                    Ok(Collected::Waiting(_)) => {}
                    Err(error) => return Some(Err(SealError::WrongSeal(error.to_string()))),
                }
            }
        }
        Some(SealKind::KeyFile | SealKind::Credential | SealKind::KeyService | _) | None => None,
    }
}

pub(super) fn nothing_given() -> Failure {
    Failure::new(
        Exit::Seal,
        "nothing was given that could open the key ring",
        "run it at a terminal, or give --fd N or --key-file FILE",
    )
}

pub(super) fn say_either(json: bool, told: &Value, text: &str) -> Result<(), Failure> {
    if json {
        output::say(&told.to_string())
    } else {
        output::say(text)
    }
}

pub(super) fn ask_server(settings: &Settings, ask: SealRequest) -> Result<Option<Answer>, Failure> {
    admin::ask(&settings.data.admin_socket(), &Request::Seal { ask })
}

/// The running server remembers how new its ring is. Without one, its next start does.
pub(crate) fn tell_server(settings: &Settings) {
    if let Err(failure) = ask_server(settings, SealRequest::RingChanged) {
        output::complain(&format!(
            "strongroom: warning: the running server was not told: {failure}"
        ));
    }
}

/// The newest copy of the ring that is whole.
pub(super) fn newest(settings: &Settings) -> Result<Keyring<Sealed>, Failure> {
    let copies = RingFiles::new(settings.data.ring()).inspect();
    copies
        .into_iter()
        .filter_map(|copy| copy.ring.ok())
        .max_by_key(Keyring::generation)
        .ok_or_else(no_ring)
}

fn kind_name(slot: &Slot<'_>) -> &'static str {
    slot.kind.map_or("unknown", SealKind::name)
}

fn line(slot: &Slot<'_>) -> String {
    let added = slot
        .added
        .map_or_else(|| "-".to_owned(), Timestamp::to_iso8601);
    format!(
        "{}  {:<10}  {added:<24}  {}",
        slot.index,
        kind_name(slot),
        slot.place
    )
}

fn described(slot: &Slot<'_>) -> Value {
    json!({
        "seal": slot.index,
        "kind": kind_name(slot),
        "place": slot.place,
        "added": slot.added.map(Timestamp::to_iso8601),
    })
}

pub(super) fn entropy() -> Arc<dyn Entropy> {
    Arc::new(SystemEntropy)
}

fn no_ring() -> Failure {
    Failure::new(
        Exit::Ring,
        "no copy of the key ring can be read",
        "name the data directory with --data DIR, or restore DIR/ring from a backup",
    )
}
