//! Signed reports: evidence that outlives the program.
//!
//! `DIR/reports/NAME.json` is the report, `NAME.json.sig` its Ed25519 signature (RFC 8032, 64 bytes)
//! over the file's bytes, and `report-key.pem` the public key. Anyone checks it without this program:
//!
//! ```text
//! openssl pkeyutl -verify -rawin -pubin -inkey report-key.pem -in NAME.json -sigfile NAME.json.sig
//! ```
//!
//! The private key is a sealed row of the store. So a report proves that it was made by a server that
//! had this store open, and that nobody changed it since.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use minicbor::{Decode, Encode};
use rustix::process::geteuid;
use serde::Serialize;
use strongroom_asymmetric::PrivateKey;
use strongroom_crypto::{Keyring, Unsealed};
use strongroom_ports::{CommitError, Entropy, Table, Transaction};
use strongroom_rows::{Custody, Record, SealedRows};
use strongroom_types::kms::{KeySpec, MessageType, SigningAlgorithm};
use strongroom_verify::read_off_line;
use zeroize::Zeroize as _;

use crate::adapters::SystemEntropy;
use crate::config::Settings;
use crate::failure::{Exit, Failure};
use crate::files;

const KEY_KEY: &[u8] = b"report-key";
const PUBLIC_KEY_FILE: &str = "report-key.pem";

#[derive(Encode, Decode)]
#[cbor(map)]
struct ReportKeyRow {
    /// PKCS#8, DER.
    #[cbor(n(0), with = "minicbor::bytes")]
    pkcs8: Vec<u8>,
}

impl Record for ReportKeyRow {
    const KIND: u8 = 0x51;
}

impl Drop for ReportKeyRow {
    fn drop(&mut self) {
        self.pkcs8.zeroize();
    }
}

/// Writes signed reports.
pub(crate) struct Reports<'a> {
    directory: PathBuf,
    rows: &'a SealedRows,
    entropy: &'a Arc<dyn Entropy>,
}

impl<'a> Reports<'a> {
    /// Reports of the store behind `rows`.
    pub(crate) fn new(
        settings: &Settings,
        rows: &'a SealedRows,
        entropy: &'a Arc<dyn Entropy>,
    ) -> Self {
        Self::in_directory(settings.data.reports(), rows, entropy)
    }

    /// The same, in another directory.
    pub(crate) fn in_directory(
        directory: PathBuf,
        rows: &'a SealedRows,
        entropy: &'a Arc<dyn Entropy>,
    ) -> Self {
        Self {
            directory,
            rows,
            entropy,
        }
    }

    /// Writes and signs a report, durably. Its path.
    ///
    /// # Errors
    ///
    /// [`Exit::Store`] for the signing key, [`Exit::Environment`] for the files.
    pub(crate) fn write(&self, name: &str, report: &impl Serialize) -> Result<PathBuf, Failure> {
        self.write_text(name, &text_of(report))
    }

    /// The same of a report that is text already.
    ///
    /// # Errors
    ///
    /// As [`Reports::write`].
    pub(crate) fn write_text(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let key = self.key()?;
        let signature = key
            .sign(
                SigningAlgorithm::Ed25519Sha512,
                MessageType::Raw,
                text.as_bytes(),
            )
            .map_err(|error| failed(&error.to_string()))?;
        let pem = pem(key.public_key_der());
        let file = format!("{name}.json");
        let path = self.directory.join(&file);
        let write = || {
            make_directory(&self.directory)?;
            put(&self.directory, PUBLIC_KEY_FILE.as_ref(), pem.as_bytes())?;
            put(&self.directory, format!("{file}.sig").as_ref(), &signature)?;
            put(&self.directory, file.as_ref(), text.as_bytes())
        };
        write().map_err(|error: io::Error| {
            Failure::new(
                Exit::Environment,
                format!("the report {} cannot be written: {error}", path.display()),
                "check space and permissions of the data directory",
            )
        })?;
        Ok(path)
    }

    /// Makes the store's signing key, if there is none yet.
    ///
    /// # Errors
    ///
    /// [`Exit::Store`].
    pub(crate) fn make_key(&self) -> Result<(), Failure> {
        self.key().map(|_| ())
    }

    /// The store's signing key; the first report makes it.
    fn key(&self) -> Result<PrivateKey, Failure> {
        let spec = KeySpec::EccNistEdwards25519;
        let custody = &self.rows.custody;
        if let Some(key) = self.stored_key()? {
            return Ok(key);
        }
        let key = PrivateKey::generate(spec).map_err(|error| failed(&error.to_string()))?;
        let row = ReportKeyRow {
            pkcs8: key.pkcs8().to_vec(),
        };
        let sealed = custody.seal_record(Table::SETTINGS, KEY_KEY, &row, &**self.entropy);
        let transaction = Transaction::new()
            .expect(Table::SETTINGS, KEY_KEY.to_vec(), None)
            .put(Table::SETTINGS, KEY_KEY.to_vec(), sealed);
        match self.rows.meta.commit(transaction).wait() {
            Ok(_) => Ok(key),
            // Somebody was faster.
            Err(CommitError::Conflict) => self
                .stored_key()?
                .ok_or_else(|| failed("its row comes and goes")),
            Err(error) => Err(failed(&error.to_string())),
        }
    }

    fn stored_key(&self) -> Result<Option<PrivateKey>, Failure> {
        let stored = self.rows.meta.read(Table::SETTINGS, KEY_KEY);
        let Some(stored) = stored.map_err(|error| failed(&error.to_string()))? else {
            return Ok(None);
        };
        let row = self
            .rows
            .custody
            .open_record::<ReportKeyRow>(Table::SETTINGS, KEY_KEY, &stored.value)
            .map_err(|error| failed(&error.to_string()))?;
        PrivateKey::from_pkcs8(KeySpec::EccNistEdwards25519, &row.pkcs8)
            .map(Some)
            .map_err(|error| failed(&error.to_string()))
    }
}

/// Writes a report that is signed with the key of a store which is not open: its ring, and whatever
/// snapshot and journal there are in `meta`, are enough. Nothing is written there.
///
/// # Errors
///
/// As [`Reports::write`]; [`Exit::Store`], too, where no such key is found.
pub(crate) fn write_off_line(
    (meta, ring): (&Path, Keyring<Unsealed>),
    directory: PathBuf,
    name: &str,
    report: &impl Serialize,
) -> Result<PathBuf, Failure> {
    let read = read_off_line(meta, &ring, &mut |_, _| {});
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let rows = SealedRows {
        meta: read.map_err(|error| failed(&error.to_string()))?.rows,
        custody: Arc::new(Custody::new(Arc::new(ring))),
        entropy: Arc::clone(&entropy),
    };
    Reports::in_directory(directory, &rows, &entropy).write(name, report)
}

/// A report as its file holds it.
pub(crate) fn text_of(report: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(report).unwrap_or_default();
    format!("{text}\n")
}

/// When a report began, as in the names of files; `iso` is ISO 8601.
pub(crate) fn stamp(iso: &str) -> String {
    let digits = iso.split(['.', 'Z']).next().unwrap_or_default();
    let when: String = digits
        .chars()
        .filter(|it| !matches!(it, '-' | ':'))
        .collect();
    format!("{when}Z")
}

/// Copies a signed report, its signature and the public key into another directory. Its path there.
///
/// # Errors
///
/// The operating system's.
pub(crate) fn copy(signed: &Path, directory: &Path) -> io::Result<PathBuf> {
    make_directory(directory)?;
    let mut signature = signed.file_name().unwrap_or_default().to_owned();
    signature.push(".sig");
    let from = signed.parent().unwrap_or(Path::new("."));
    for name in [PUBLIC_KEY_FILE.as_ref(), signature.as_os_str()] {
        put(directory, name, &fs::read(from.join(name))?)?;
    }
    let name = signed.file_name().unwrap_or_default();
    put(directory, name, &fs::read(signed)?)?;
    Ok(directory.join(name))
}

fn make_directory(directory: &Path) -> io::Result<()> {
    let is_new = !directory.is_dir();
    files::make_private_dir(directory)?;
    let parent = directory.parent().filter(|it| !it.as_os_str().is_empty());
    match parent {
        Some(parent) if is_new => give_away(parent, directory),
        Some(_) | None => Ok(()),
    }
}

fn put(directory: &Path, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
    let path = directory.join(name);
    files::replace(&path, bytes)?;
    give_away(directory, &path)
}

/// What root makes in the server's directory is the server's. Nobody else can give anything away.
fn give_away(owner: &Path, path: &Path) -> io::Result<()> {
    if geteuid().is_root() {
        files::give_to_owner_of(owner, path)?;
    }
    Ok(())
}

/// A SubjectPublicKeyInfo as PEM (RFC 7468).
fn pem(der: &[u8]) -> String {
    let body = BASE64.encode(der);
    let mut lines = String::from("-----BEGIN PUBLIC KEY-----\n");
    for line in body.as_bytes().chunks(64) {
        lines.push_str(std::str::from_utf8(line).unwrap_or_default());
        lines.push('\n');
    }
    lines.push_str("-----END PUBLIC KEY-----\n");
    lines
}

fn failed(what: &str) -> Failure {
    Failure::new(
        Exit::Store,
        format!("the key that signs reports cannot be used: {what}"),
        "look at the server's log",
    )
}
