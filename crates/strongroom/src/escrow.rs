//! `escrow`: a copy of the key ring for somebody else to keep, and the way back from it.
//!
//! ```text
//!   recipient (public) and identity (secret), two text files:  header line, comments, base64
//!   escrow: the bytes of FORMAT.md, 21
//! ```

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use strongroom_audit::Params;
use strongroom_crypto::{
    Escrow, EscrowError, EscrowIdentity, EscrowRecipient, EscrowedRing, UnsealKey,
};
use strongroom_ports::{Clock as _, Entropy, Seal, SealError};
use zeroize::Zeroizing;

use crate::adapters::{SystemClock, SystemEntropy};
use crate::cli::escrow::{EscrowAction, EscrowExportArgs, EscrowGenerateArgs, EscrowOpenArgs};
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::notes::Note;
use crate::ring_files::{COPIES, OpenedRing, RingFileError, RingFiles};
use crate::seals::commands::{new_key_file, new_passphrase, tell_server};
use crate::seals::passphrase::Passphrase;
use crate::unseal::{self, Environment, ring_failure};
use crate::{files, key_file, output};

const RECIPIENT_HEADER: &str = "# strongroom escrow recipient 1";
const RECIPIENT_WORDS: &str = "\
# Public. Escrows that are made for it open with the identity that belongs to it, and with nothing else.
";
const IDENTITY_HEADER: &str = "# strongroom escrow identity 1";
const IDENTITY_WORDS: &str = "\
# SECRET. Whoever has this and an escrow has the key ring: together with the data, everything.
# Keep it off line, apart from escrows and from the store.
";

/// Does what was asked.
///
/// # Errors
///
/// [`Exit::Seal`] when something does not open, [`Exit::Ring`] for the ring, [`Exit::Usage`] and
/// [`Exit::Environment`] for files.
pub(crate) fn run(action: &EscrowAction, environment: Environment<'_>) -> Result<(), Failure> {
    match action {
        EscrowAction::GenerateRecipient(args) => generate(args),
        EscrowAction::Export(args) => export(args, environment),
        EscrowAction::Open(args) => open(args, environment),
    }
}

fn generate(args: &EscrowGenerateArgs) -> Result<(), Failure> {
    let identity = EscrowIdentity::generate(&SystemEntropy).map_err(escrow_failure)?;
    let secret = Zeroizing::new(STANDARD.encode(identity.expose()));
    write_text(&args.identity, IDENTITY_HEADER, IDENTITY_WORDS, &secret)?;
    let public = STANDARD.encode(identity.recipient().as_bytes());
    write_text(&args.recipient, RECIPIENT_HEADER, RECIPIENT_WORDS, &public)?;
    let fingerprint = shown(&identity.recipient().fingerprint());
    if args.json {
        return output::say(&json!({"fingerprint": fingerprint}).to_string());
    }
    output::say(&format!(
        "Give {} to who runs the store; it is public. Its fingerprint, to compare by telephone:",
        args.recipient.display()
    ))?;
    output::say(&format!("  {fingerprint}"))?;
    output::say(&format!(
        "Keep {} secret and off line: it opens the escrows.",
        args.identity.display()
    ))
}

fn export(args: &EscrowExportArgs, environment: Environment<'_>) -> Result<(), Failure> {
    let settings = Settings::decide(args.store.layer(), environment)?;
    if key_file::lies_in(&args.out, settings.data.root()) {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "{} lies in the data directory, and would be lost with it",
                args.out.display()
            ),
            "write it elsewhere, and send it to who keeps it",
        ));
    }
    let recipient = read_text(&args.recipient, RECIPIENT_HEADER)?;
    let recipient = EscrowRecipient::parse(&recipient)
        .map_err(|error| not_one(&args.recipient, "escrow recipient", &error.to_string()))?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let opened = unseal::unseal_as_it_is(&settings, &entropy, environment)?;
    // The very copy that was opened: of its generation.
    let generation = Some(opened.ring.generation());
    let mut copies = RingFiles::new(settings.data.ring()).inspect().into_iter();
    let file = copies
        .find(|copy| copy.generation() == generation)
        .and_then(|copy| copy.bytes);
    let file = file.ok_or_else(|| {
        Failure::new(
            Exit::Ring,
            "the key ring was changed at the same moment",
            "run the command again",
        )
    })?;
    let now = SystemClock::new().now();
    let escrow = Escrow::seal(&recipient, &opened.unseal_key, &file, now, &*entropy);
    let escrow = escrow.map_err(escrow_failure)?;
    let fingerprint = shown(&recipient.fingerprint());
    let details = Params::new()
        .text("recipient", &fingerprint)
        .number("generation", escrow.generation());
    let note = Note::begin(&settings.data, &opened.ring, "ExportEscrow", details);
    let written = files::create_private(&args.out, escrow.as_bytes())
        .map_err(|error| cannot_write(&args.out, &error));
    note.end(Params::new(), written.as_ref().err());
    written?;
    let ring = hex::encode(escrow.ring_id());
    if args.json {
        let told = json!({
            "ring": ring,
            "generation": escrow.generation(),
            "recipient": fingerprint,
            "made": now.to_iso8601(),
        });
        return output::say(&told.to_string());
    }
    output::say(&format!(
        "The key ring {ring}, generation {}, is in {}, encrypted to the recipient",
        escrow.generation(),
        args.out.display()
    ))?;
    output::say(&format!("  {fingerprint}"))?;
    output::say(
        "It opens this ring in all its generations to come, until strongroom seal rekey replaces its key.",
    )
}

fn open(args: &EscrowOpenArgs, environment: Environment<'_>) -> Result<(), Failure> {
    let settings = Settings::decide(args.data.layer(), environment)?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let escrowed = open_files(&args.escrow, &args.identity)?;
    if !settings.data.root().is_dir() {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "there is no data directory {}",
                settings.data.root().display()
            ),
            "name it with --data DIR; if it is lost, restore it from a backup first",
        ));
    }
    // Before anything is changed.
    let seal: Box<dyn Seal> = if let Some(path) = &args.new_key_file {
        Box::new(new_key_file(&settings, path, &entropy)?)
    } else {
        let text = new_passphrase(args.passphrase_fd)?;
        Box::new(Passphrase::new(text, Arc::clone(&entropy)))
    };
    files::make_private_dir(&settings.data.ring())
        .map_err(|error| cannot_write(&settings.data.ring(), &error))?;
    let _held = RingFiles::new(settings.data.ring())
        .hold()
        .map_err(|error| cannot_write(&settings.data.ring(), &error))?;
    let (mut opened, was_put_back) = open_ring(&settings, &escrowed)?;
    let now = SystemClock::new().now();
    let details = Params::new()
        .text("kind", seal.kind().name())
        .text("place", &seal.describe())
        .flag("ringPutBack", was_put_back);
    let note = Note::begin(&settings.data, &opened.ring, "OpenEscrow", details);
    let added = unseal::add_seal(&settings, &mut opened, &*seal, now, &entropy);
    note.end(Params::new(), added.as_ref().err());
    let index = added?;
    tell_server(&settings);
    let generation = opened.ring.generation();
    if args.json {
        let told = json!({
            "seal": index,
            "kind": seal.kind().name(),
            "place": seal.describe(),
            "ring_put_back": was_put_back,
            "generation": generation,
        });
        return output::say(&told.to_string());
    }
    if was_put_back {
        output::say(
            "The key ring was missing or damaged: the one of the escrow is in its place. If the store has seen a newer",
        )?;
        output::say("one, it starts with --danger-accept-older-ring only.")?;
    }
    output::say(&format!(
        "Seal {index} is added: {}, {}",
        seal.kind().name(),
        seal.describe()
    ))?;
    output::say(
        "The seals that were lost are still in the ring: strongroom seal list, seal remove.",
    )
}

/// Opens an escrow with an identity.
///
/// # Errors
///
/// [`Exit::Usage`] for files that are none, [`Exit::Seal`] when they do not belong together.
pub(crate) fn open_files(escrow: &Path, identity: &Path) -> Result<EscrowedRing, Failure> {
    let secret = read_text(identity, IDENTITY_HEADER)?;
    let identity = EscrowIdentity::parse(&secret)
        .map_err(|error| not_one(identity, "escrow identity", &error.to_string()))?;
    let bytes = files::read(escrow).map_err(|error| cannot_read(escrow, &error))?;
    let parsed =
        Escrow::parse(&bytes).map_err(|error| not_one(escrow, "escrow", &error.to_string()))?;
    parsed.open(&identity).map_err(escrow_failure)
}

/// The ring of the data directory; that of the escrow where there is none to use. Whether that was so.
fn open_ring(settings: &Settings, escrowed: &EscrowedRing) -> Result<(OpenedRing, bool), Failure> {
    let directory = settings.data.ring();
    let files = RingFiles::new(directory.clone());
    let copies = files.inspect();
    let mut rings = copies.iter().filter_map(|copy| copy.ring.as_ref().ok());
    if let Some(other) = rings.find(|ring| ring.ring_id() != escrowed.ring.ring_id()) {
        return Err(Failure::new(
            Exit::Ring,
            format!(
                "the escrow is of the key ring {}, and this store has {}",
                hex::encode(escrowed.ring.ring_id()),
                hex::encode(other.ring_id())
            ),
            "name the data directory that the escrow belongs to",
        ));
    }
    let by_escrow = || {
        files.open(&|_| {
            UnsealKey::parse(escrowed.unseal_key.expose())
                .map_err(|error| SealError::Damaged(error.to_string()))
        })
    };
    let lost = match by_escrow() {
        Ok(opened) => return Ok((opened, false)),
        Err(RingFileError::Absent) => true,
        Err(RingFileError::Damaged(_)) => copies.iter().all(|copy| copy.ring.is_err()),
        Err(error) => return Err(ring_failure(error)),
    };
    if !lost {
        return Err(Failure::new(
            Exit::Seal,
            "the key of the ring was replaced after the escrow was made, or the ring is damaged",
            "use a newer escrow; strongroom seal test says whether another seal opens it",
        ));
    }
    let put_back = || -> io::Result<()> {
        files::make_private_dir(&directory)?;
        for name in COPIES {
            let path = directory.join(name);
            // Nothing is thrown away: somebody may yet make something of it.
            if path.exists() {
                fs::rename(&path, directory.join(format!("{name}.damaged")))?;
            }
            files::replace(&path, &escrowed.file)?;
        }
        Ok(())
    };
    put_back().map_err(|error| cannot_write(&directory, &error))?;
    by_escrow()
        .map(|opened| (opened, true))
        .map_err(ring_failure)
}

fn write_text(path: &Path, header: &str, words: &str, base64: &str) -> Result<(), Failure> {
    let text = Zeroizing::new([header, "\n", words, base64, "\n"].concat());
    files::create_private(path, text.as_bytes()).map_err(|error| cannot_write(path, &error))
}

fn read_text(path: &Path, header: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let bytes = files::read(path).map_err(|error| cannot_read(path, &error))?;
    let bytes = Zeroizing::new(bytes);
    let what = header
        .trim_start_matches("# strongroom ")
        .trim_end_matches(" 1");
    let wrong = || not_one(path, what, "its first line is another one's");
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong())?;
    let mut lines = text.lines();
    if lines.next() != Some(header) {
        return Err(wrong());
    }
    let line = lines
        .find(|line| !line.starts_with('#'))
        .unwrap_or_default();
    let decoded = STANDARD.decode(line.trim());
    decoded
        .map(Zeroizing::new)
        .map_err(|_| not_one(path, what, "its base64 is damaged"))
}

/// Groups of eight digits, for people.
fn shown(fingerprint: &[u8; 32]) -> String {
    let groups = fingerprint.chunks(4).map(hex::encode);
    groups.collect::<Vec<_>>().join(" ")
}

fn escrow_failure(error: EscrowError) -> Failure {
    let remedy = match error {
        EscrowError::OtherRecipient => "use the identity of the recipient that it was made for",
        EscrowError::Format(_) | EscrowError::Damaged | EscrowError::BadKey | _ => {
            "use another copy of the escrow, or another seal"
        }
    };
    Failure::new(
        Exit::Seal,
        format!("the escrow cannot be used: {error}"),
        remedy,
    )
}

fn not_one(path: &Path, what: &str, why: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} is no {what}: {why}", path.display()),
        "strongroom escrow --help shows what belongs where",
    )
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{}: {error}", path.display()),
        "name another file",
    )
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Environment,
        format!("{}: {error}", path.display()),
        "nothing is overwritten; choose another place, and check its permissions",
    )
}
