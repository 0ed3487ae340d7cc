//! The seal in the machine's TPM 2.0: the chip seals the slot key under a key that never leaves it, so
//! that disks which are carried away open nowhere else.
//!
//! ```text
//! body = LP16(private area) || LP16(public area) || PCRs(3) || slot key record
//! ```
//!
//! Parent is the owner hierarchy's storage key (ECC P-256, the TCG's template), made anew each time
//! from the chip's seed. With PCRs, the chip opens only while they have the values of when the seal was
//! made. Eight commands suffice; they are spoken here, without a C library, to the kernel's resource
//! manager or to a software TPM at a Unix socket (TPM 2.0 Library, parts 2 and 3).

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strongroom_crypto::{SlotError, SlotKey, UnsealKey};
use strongroom_ports::{Entropy, Seal, SealError, SealKind};
use zeroize::Zeroizing;

/// The kernel's resource manager.
const DEVICE: &str = "/dev/tpmrm0";
/// How long a software TPM may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest answer, in bytes: TPMs' buffers have 4,096.
const ANSWER_MAX_BYTES: usize = 4096;
const HEADER_LEN_BYTES: usize = 10;
/// Bits of three bytes: PCRs 0 to 23.
const PCR_COUNT: u8 = 24;

const WITHOUT_SESSIONS: u16 = 0x8001;
const WITH_SESSIONS: u16 = 0x8002;
const CREATE_PRIMARY: u32 = 0x131;
const CREATE: u32 = 0x153;
const LOAD: u32 = 0x157;
const UNSEAL: u32 = 0x15E;
const FLUSH_CONTEXT: u32 = 0x165;
const START_AUTH_SESSION: u32 = 0x176;
const POLICY_PCR: u32 = 0x17F;
const POLICY_GET_DIGEST: u32 = 0x189;

const OWNER: u32 = 0x4000_0001;
const NOTHING: u32 = 0x4000_0007;
const PASSWORD: u32 = 0x4000_0009;

const SHA256: u16 = 0x0B;
const NULL: u16 = 0x10;
/// The TCG's storage key: restricted, decrypting, AES-128-CFB for what it protects, ECC P-256.
const STORAGE_KEY: [u8; 26] = [
    0x00, 0x23, 0x00, 0x0B, 0x00, 0x03, 0x04, 0x72, 0x00, 0x00, 0x00, 0x06, 0x00, 0x80, 0x00, 0x43,
    0x00, 0x10, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00,
];
/// `fixedTPM`, `fixedParent`, `noDA`.
const SEALED_ATTRIBUTES: u32 = 0x412;
/// `userWithAuth`: the empty password opens it, where no policy does.
const BY_PASSWORD: u32 = 0x40;
const KEYED_HASH: u16 = 0x08;
const POLICY_SESSION: u8 = 1;
const TRIAL_SESSION: u8 = 3;

/// The bits of an answer's code that say which parameter was wrong are not of interest.
const CODE_MASK: u32 = 0xBF;
const INTEGRITY: u32 = 0x9F;
const POLICY_FAIL: u32 = 0x9D;
const AUTH_FAIL: u32 = 0x8E;
const BAD_AUTH: u32 = 0xA2;

/// Which PCRs must be as they were; none for any.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Pcrs([u8; 3]);

impl Pcrs {
    /// `7,11`.
    ///
    /// # Errors
    ///
    /// In words, for people.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pcrs = Self::default();
        for number in text.split(',') {
            let wrong = || format!("{number:?} is no PCR; there are 0 to 23, as in 7,11");
            let number: u8 = number.trim().parse().map_err(|_| wrong())?;
            let byte = pcrs.0.get_mut(usize::from(number / 8));
            *byte.ok_or_else(wrong)? |= 1 << (number % 8);
        }
        Ok(pcrs)
    }

    fn are_none(self) -> bool {
        self.0 == [0; 3]
    }

    fn shown(self) -> String {
        let is_in = |number: &u8| {
            let byte = self.0.get(usize::from(number / 8));
            byte.is_some_and(|byte| byte & (1 << (number % 8)) != 0)
        };
        let numbers: Vec<String> = (0..PCR_COUNT)
            .filter(is_in)
            .map(|it| it.to_string())
            .collect();
        numbers.join(",")
    }
}

/// The seal. Of a slot that exists, the slot says which PCRs count.
pub(crate) struct TpmSeal {
    device: PathBuf,
    pcrs: Pcrs,
    entropy: Arc<dyn Entropy>,
}

impl TpmSeal {
    /// In the TPM at `device`, or the machine's own.
    pub(crate) fn new(device: Option<&Path>, pcrs: Pcrs, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            device: device.unwrap_or_else(|| Path::new(DEVICE)).to_owned(),
            pcrs,
            entropy,
        }
    }

    fn open(&self) -> Result<Tpm, SealError> {
        Tpm::open(&self.device).map_err(|error| self.unavailable(&Fault::Io(error)))
    }

    fn unavailable(&self, fault: &Fault) -> SealError {
        SealError::Unavailable(format!("TPM {}: {}", self.device.display(), fault.told()))
    }

    fn refused(&self, fault: &Fault) -> SealError {
        if let Fault::Refused(INTEGRITY) = fault {
            return SealError::WrongSeal(format!(
                "TPM {} is another one than sealed it, or was cleared since",
                self.device.display()
            ));
        }
        self.unavailable(fault)
    }
}

/// Which PCRs a slot names; `None` if the slot is damaged.
pub(crate) fn pcrs_of(body: &[u8]) -> Option<Pcrs> {
    parse(body).map(|parsed| parsed.pcrs)
}

impl Seal for TpmSeal {
    fn kind(&self) -> SealKind {
        SealKind::Tpm
    }

    fn describe(&self) -> String {
        if self.pcrs.are_none() {
            return "this machine's TPM".to_owned();
        }
        format!(
            "this machine's TPM, with PCRs {} as they are",
            self.pcrs.shown()
        )
    }

    fn protect(&self, key: &UnsealKey, slot_context: &[u8]) -> Result<Vec<u8>, SealError> {
        let slot_key = SlotKey::random(&*self.entropy);
        let mut tpm = self.open()?;
        let made = tpm.seal(&slot_key, self.pcrs, &*self.entropy);
        let (private, public) = made.map_err(|fault| self.unavailable(&fault))?;
        let record = slot_key.protect(key, slot_context, &*self.entropy);
        Ok([
            sized(&private).as_slice(),
            &sized(&public),
            &self.pcrs.0,
            &record,
        ]
        .concat())
    }

    fn reveal(&self, protected: &[u8], slot_context: &[u8]) -> Result<UnsealKey, SealError> {
        let damaged = || SealError::Damaged("the TPM's slot".to_owned());
        let Parsed {
            private,
            public,
            pcrs,
            record,
        } = parse(protected).ok_or_else(damaged)?;
        let mut tpm = self.open()?;
        let bytes = tpm
            .unseal(private, public, pcrs, &*self.entropy)
            .map_err(|fault| self.refused(&fault))?;
        let slot_key = SlotKey::parse(&bytes).map_err(|_| damaged())?;
        slot_key
            .reveal(record, slot_context)
            .map_err(|error| match error {
                SlotError::WrongKey => {
                    SealError::WrongSeal("the TPM gives another key than the slot's".to_owned())
                }
                SlotError::Damaged | _ => damaged(),
            })
    }
}

struct Parsed<'a> {
    private: &'a [u8],
    public: &'a [u8],
    pcrs: Pcrs,
    record: &'a [u8],
}

fn parse(body: &[u8]) -> Option<Parsed<'_>> {
    let mut fields = Fields(body);
    let (private, public) = (fields.sized()?, fields.sized()?);
    let pcrs = Pcrs(*fields.0.first_chunk()?);
    Some(Parsed {
        private,
        public,
        pcrs,
        record: fields.0.get(3..)?,
    })
}

/// Why the TPM did not do it.
#[derive(Debug)]
enum Fault {
    Io(io::Error),
    /// Its code, without what says which parameter it means.
    Refused(u32),
    /// It answers as no TPM does.
    Senseless,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Fault {
    fn told(&self) -> String {
        match self {
            Self::Io(error) => error.to_string(),
            Self::Refused(POLICY_FAIL) => {
                "its PCRs are not as they were when the seal was made: the machine was started another way, or its firmware \
                 changed"
                    .to_owned()
            }
            Self::Refused(AUTH_FAIL | BAD_AUTH) => {
                "its owner hierarchy has a password, which is not supported".to_owned()
            }
            Self::Refused(code) => format!("it refuses with code {code:#x}"),
            Self::Senseless => "it answers as no TPM 2.0 does".to_owned(),
        }
    }
}

trait Channel: Read + Write {}

impl<T: Read + Write> Channel for T {}

/// An open TPM.
struct Tpm(Box<dyn Channel>);

/// Something that the TPM holds until it is flushed.
#[derive(Clone, Copy)]
struct Handle(u32);

impl Tpm {
    fn open(path: &Path) -> io::Result<Self> {
        if fs::metadata(path)?.file_type().is_socket() {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            return Ok(Self(Box::new(stream)));
        }
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self(Box::new(file)))
    }

    /// Private and public area of the sealed slot key.
    fn seal(
        &mut self,
        slot_key: &SlotKey,
        pcrs: Pcrs,
        entropy: &dyn Entropy,
    ) -> Result<(Vec<u8>, Vec<u8>), Fault> {
        let policy = self.policy_of(pcrs, entropy)?;
        let parent = self.storage_key()?;
        let made = self.create(parent, slot_key, &policy);
        self.flush(parent);
        made
    }

    fn create(
        &mut self,
        parent: Handle,
        slot_key: &SlotKey,
        policy: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), Fault> {
        let sensitive = Zeroizing::new(
            [
                [0, 0].as_slice(),
                &*Zeroizing::new(sized(slot_key.expose())),
            ]
            .concat(),
        );
        let attributes = if policy.is_empty() {
            SEALED_ATTRIBUTES | BY_PASSWORD
        } else {
            SEALED_ATTRIBUTES
        };
        let public = [
            KEYED_HASH.to_be_bytes().as_slice(),
            &SHA256.to_be_bytes(),
            &attributes.to_be_bytes(),
            &sized(policy),
            &NULL.to_be_bytes(),
            &[0, 0],
        ]
        .concat();
        let parameters = Zeroizing::new(
            [
                Zeroizing::new(sized(&sensitive)).as_slice(),
                &sized(&public),
                // No outside data, no creation PCRs.
                &[0, 0],
                &[0; 4],
            ]
            .concat(),
        );
        let answer = self.command(WITH_SESSIONS, CREATE, &by_password(parent, &parameters))?;
        let mut fields = Fields(&answer);
        let mut areas = || {
            fields.u32()?;
            Some((fields.sized()?.to_owned(), fields.sized()?.to_owned()))
        };
        areas().ok_or(Fault::Senseless)
    }

    fn unseal(
        &mut self,
        private: &[u8],
        public: &[u8],
        pcrs: Pcrs,
        entropy: &dyn Entropy,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let parent = self.storage_key()?;
        let areas = [sized(private), sized(public)].concat();
        let loaded = self.command(WITH_SESSIONS, LOAD, &by_password(parent, &areas));
        self.flush(parent);
        let object = handle_of(&loaded?)?;
        let opened = self.unseal_loaded(object, pcrs, entropy);
        self.flush(object);
        opened
    }

    fn unseal_loaded(
        &mut self,
        object: Handle,
        pcrs: Pcrs,
        entropy: &dyn Entropy,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let answer = if pcrs.are_none() {
            self.command(WITH_SESSIONS, UNSEAL, &by_password(object, &[]))?
        } else {
            let session = self.session(POLICY_SESSION, pcrs, entropy)?;
            let answer = self.command(WITH_SESSIONS, UNSEAL, &by(object, session, &[]));
            // After success it is gone already.
            self.flush(session);
            answer?
        };
        let mut fields = Fields(&answer);
        let mut data = || {
            fields.u32()?;
            Some(Zeroizing::new(fields.sized()?.to_owned()))
        };
        data().ok_or(Fault::Senseless)
    }

    /// The key under which everything of ours is sealed.
    fn storage_key(&mut self) -> Result<Handle, Fault> {
        let parameters = [
            sized(&[0; 4]).as_slice(),
            &sized(&STORAGE_KEY),
            &[0, 0],
            &[0; 4],
        ]
        .concat();
        let answer = self.command(
            WITH_SESSIONS,
            CREATE_PRIMARY,
            &by_password(Handle(OWNER), &parameters),
        )?;
        handle_of(&answer)
    }

    /// The policy that asks for the PCRs' values of now; empty without PCRs.
    fn policy_of(&mut self, pcrs: Pcrs, entropy: &dyn Entropy) -> Result<Vec<u8>, Fault> {
        if pcrs.are_none() {
            return Ok(Vec::new());
        }
        let session = self.session(TRIAL_SESSION, pcrs, entropy)?;
        let answer = self.command(
            WITHOUT_SESSIONS,
            POLICY_GET_DIGEST,
            &session.0.to_be_bytes(),
        );
        self.flush(session);
        let answer = answer?;
        let digest = Fields(&answer).sized().ok_or(Fault::Senseless)?;
        Ok(digest.to_owned())
    }

    /// A session that has looked at the PCRs.
    fn session(&mut self, kind: u8, pcrs: Pcrs, entropy: &dyn Entropy) -> Result<Handle, Fault> {
        let mut nonce = [0; 32];
        entropy.fill(&mut nonce);
        let start = [
            NOTHING.to_be_bytes().as_slice(),
            &NOTHING.to_be_bytes(),
            &sized(&nonce),
            &[0, 0],
            &[kind],
            &NULL.to_be_bytes(),
            &SHA256.to_be_bytes(),
        ]
        .concat();
        let session = handle_of(&self.command(WITHOUT_SESSIONS, START_AUTH_SESSION, &start)?)?;
        let look = [
            session.0.to_be_bytes().as_slice(),
            &[0, 0],
            &1_u32.to_be_bytes(),
            &SHA256.to_be_bytes(),
            &[3],
            &pcrs.0,
        ]
        .concat();
        if let Err(fault) = self.command(WITHOUT_SESSIONS, POLICY_PCR, &look) {
            self.flush(session);
            return Err(fault);
        }
        Ok(session)
    }

    /// The kernel's resource manager does the same when the device is closed; others do not.
    fn flush(&mut self, handle: Handle) {
        let _ = self.command(WITHOUT_SESSIONS, FLUSH_CONTEXT, &handle.0.to_be_bytes());
    }

    /// Sends one command; what its answer has behind the header.
    fn command(&mut self, tag: u16, code: u32, rest: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let len = u32::try_from(HEADER_LEN_BYTES.saturating_add(rest.len()));
        let len = len.map_err(|_| Fault::Senseless)?;
        let command = Zeroizing::new(
            [
                tag.to_be_bytes().as_slice(),
                &len.to_be_bytes(),
                &code.to_be_bytes(),
                rest,
            ]
            .concat(),
        );
        // In one piece: the device takes a write for a command.
        self.0.write_all(&command)?;
        let mut answer = Zeroizing::new(vec![0; ANSWER_MAX_BYTES]);
        let mut filled = 0_usize;
        loop {
            let room = answer.get_mut(filled..).unwrap_or_default();
            let count = self.0.read(room)?;
            filled = filled.saturating_add(count);
            let said = answer.get(..filled).unwrap_or_default();
            if let Some(whole) = whole(said) {
                return whole;
            }
            if count == 0 {
                return Err(Fault::Senseless);
            }
        }
    }
}

/// What an answer has behind its header, if it is all here.
fn whole(answer: &[u8]) -> Option<Result<Zeroizing<Vec<u8>>, Fault>> {
    let mut fields = Fields(answer);
    let (_tag, len, code) = (fields.u16()?, fields.u32()?, fields.u32()?);
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if !(HEADER_LEN_BYTES..=ANSWER_MAX_BYTES).contains(&len) {
        return Some(Err(Fault::Senseless));
    }
    let rest = answer.get(HEADER_LEN_BYTES..len)?;
    Some(match code {
        0 => Ok(Zeroizing::new(rest.to_owned())),
        code => Err(Fault::Refused(code & CODE_MASK)),
    })
}

fn handle_of(answer: &[u8]) -> Result<Handle, Fault> {
    Fields(answer).u32().map(Handle).ok_or(Fault::Senseless)
}

/// A handle that the empty password opens, and parameters.
fn by_password(handle: Handle, parameters: &[u8]) -> Zeroizing<Vec<u8>> {
    by(handle, Handle(PASSWORD), parameters)
}

/// A handle that `session` opens, and parameters.
fn by(handle: Handle, session: Handle, parameters: &[u8]) -> Zeroizing<Vec<u8>> {
    let authorization = [session.0.to_be_bytes().as_slice(), &[0; 5]].concat();
    let len = u32::try_from(authorization.len()).unwrap_or_default();
    Zeroizing::new(
        [
            handle.0.to_be_bytes().as_slice(),
            &len.to_be_bytes(),
            &authorization,
            parameters,
        ]
        .concat(),
    )
}

/// `BE16(length) || bytes`. Nothing here is as long as 65,536 bytes.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [len.to_be_bytes().as_slice(), bytes].concat()
}

/// Numbers and sized fields, from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn sized(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.u16()?);
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pcrs_are_read_and_shown() {
        assert_eq!(Pcrs::parse("7, 11").unwrap().shown(), "7,11");
        assert_eq!(Pcrs::parse("0,23").unwrap().0, [1, 0, 0x80]);
        for wrong in ["", "24", "-1", "x", "7,", "300"] {
            assert!(Pcrs::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn answers_that_are_none_are_refused() {
        assert!(whole(&[0x80, 1, 0, 0, 0]).is_none(), "more is to come");
        let refused = whole(&[0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0xDF]);
        assert!(matches!(refused, Some(Err(Fault::Refused(INTEGRITY)))));
        for len in [0_u32, 9, 4097, u32::MAX] {
            let answer = [&[0x80, 1], len.to_be_bytes().as_slice(), &[0; 4]].concat();
            assert!(
                matches!(whole(&answer), Some(Err(Fault::Senseless))),
                "{len}"
            );
        }
        let good = whole(&[0x80, 1, 0, 0, 0, 12, 0, 0, 0, 0, 7, 8]);
        assert_eq!(good.unwrap().unwrap().as_slice(), [7, 8]);
    }

    #[test]
    fn a_cut_slot_is_damaged() {
        let body = [sized(b"private"), sized(b"public"), vec![0, 1, 0], vec![9]].concat();
        let parsed = parse(&body).unwrap();
        assert_eq!((parsed.private, parsed.record), (&b"private"[..], &[9][..]));
        assert_eq!(parsed.pcrs.shown(), "8");
        for len in 0..body.len() - 1 {
            assert!(parse(&body[..len]).is_none(), "{len}");
        }
    }
}
