//! The seal in a hardware security module: a key that never leaves its PKCS#11 token opens the slot.
//!
//! ```text
//! body    = LP16(token label) || LP16(key label) || mechanism(1) || LP16(iv) || LP16(sealed slot key) || slot key record
//! mechanism 1 = AES-GCM under a secret key, the slot's context as associated data
//! mechanism 2 = RSA-OAEP with SHA-1, 3 = with SHA-256, to a key pair
//! ```
//!
//! Which library is loaded is never read from the ring's file: whoever could write there would run
//! code here. The operator names it, in flag, variable or configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use strongroom_crypto::{SlotError, SlotKey, UnsealKey};
use strongroom_ports::{Entropy, Seal, SealError, SealKind};
use zeroize::{Zeroize as _, Zeroizing};

use super::refusals::Refusals;
use crate::files;

const GCM: u8 = 1;
const OAEP_SHA1: u8 = 2;
const OAEP_SHA256: u8 = 3;
const IV_LEN_BYTES: usize = 12;
const TAG_LEN_BITS: u64 = 128;
/// Of a key that is made here.
const KEY_LEN_BYTES: u64 = 32;

/// Which key of which token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TokenPlace {
    pub(crate) token: String,
    pub(crate) key: String,
}

/// The seal. Its place is in the slot; for a new slot it is given.
pub(crate) struct TokenSeal {
    pub(crate) module: PathBuf,
    pub(crate) pin: Zeroizing<String>,
    pub(crate) place: Option<TokenPlace>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Which tokens refused this PIN before.
    pub(crate) refusals: Refusals,
}

/// Reads the PIN that the operator has put into a file of this user's own.
///
/// # Errors
///
/// In words, for people.
pub(crate) fn read_pin(path: &Path) -> Result<Zeroizing<String>, String> {
    let shown = path.display();
    let failed = |error: std::io::Error| format!("{shown}: {error}");
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "{shown}: its mode {mode:03o} lets others read it; chmod 600 it"
        ));
    }
    let bytes = Zeroizing::new(files::read(path).map_err(failed)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("{shown} is not text"))?;
    Ok(Zeroizing::new(
        text.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

impl TokenSeal {
    /// Logs in, works with the key, and leaves nothing open behind.
    fn with_session<T>(
        &self,
        token: &str,
        work: impl FnOnce(&Session) -> Result<T, SealError>,
    ) -> Result<T, SealError> {
        if self.refusals.holds(token) {
            return Err(SealError::WrongSeal(format!(
                "token {token} refuses the PIN, and is not given it again"
            )));
        }
        let shown = self.module.display();
        let failed = |error: Error| unavailable(&format!("{shown}: {}", told(&error)));
        let library = Pkcs11::new(&self.module).map_err(failed)?;
        library
            .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
            .map_err(failed)?;
        let outcome = self.in_session(&library, token, work);
        // The session is closed by now, and with it whoever was logged in is logged out.
        let ended = library.finalize().map_err(failed);
        let value = outcome?;
        ended.map(|()| value)
    }

    fn in_session<T>(
        &self,
        library: &Pkcs11,
        token: &str,
        work: impl FnOnce(&Session) -> Result<T, SealError>,
    ) -> Result<T, SealError> {
        let failed = |error: Error| unavailable(&format!("token {token}: {}", told(&error)));
        let slots = library.get_slots_with_token().map_err(failed)?;
        let is_ours = |slot: &cryptoki::slot::Slot| {
            library
                .get_token_info(*slot)
                .is_ok_and(|info| info.label().trim_end() == token)
        };
        let slot = slots.into_iter().find(is_ours);
        let slot = slot.ok_or_else(|| unavailable(&format!("no slot holds a token {token}")))?;
        let session = library.open_rw_session(slot).map_err(failed)?;
        let pin = AuthPin::new(self.pin.as_str().into());
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) => work(&session),
            // Never again by itself: tokens lock after a few of these.
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange, _)) => {
                self.refusals.note(token);
                Err(SealError::WrongSeal(format!(
                    "token {token} refuses the PIN"
                )))
            }
            Err(error) => Err(failed(error)),
        }
    }
}

impl Seal for TokenSeal {
    fn kind(&self) -> SealKind {
        SealKind::Token
    }

    fn describe(&self) -> String {
        self.place.as_ref().map_or_else(
            || "a token".to_owned(),
            |TokenPlace { token, key }| format!("key {key} in token {token}"),
        )
    }

    fn protect(&self, key: &UnsealKey, slot_context: &[u8]) -> Result<Vec<u8>, SealError> {
        let place = self
            .place
            .as_ref()
            .ok_or_else(|| unavailable("no key of a token is named"))?;
        let slot_key = SlotKey::random(&*self.entropy);
        let (mechanism, iv, sealed) = self.with_session(&place.token, |session| {
            let mut iv = [0; IV_LEN_BYTES];
            self.entropy.fill(&mut iv);
            seal(session, &place.key, &slot_key, iv, slot_context)
        })?;
        let record = slot_key.protect(key, slot_context, &*self.entropy);
        let mut body = Vec::new();
        put(&mut body, place.token.as_bytes())?;
        put(&mut body, place.key.as_bytes())?;
        body.push(mechanism);
        put(&mut body, &iv)?;
        put(&mut body, &sealed)?;
        body.extend_from_slice(&record);
        Ok(body)
    }

    fn reveal(&self, protected: &[u8], slot_context: &[u8]) -> Result<UnsealKey, SealError> {
        let damaged = || SealError::Damaged("the token's slot".to_owned());
        let Parsed {
            place,
            mechanism,
            iv,
            sealed,
            record,
        } = parse(protected).ok_or_else(damaged)?;
        let bytes = self.with_session(&place.token, |session| {
            let mut iv = iv.to_vec();
            open(
                session,
                &place.key,
                mechanism,
                &mut iv,
                sealed,
                slot_context,
            )
        })?;
        let slot_key = SlotKey::parse(&bytes).map_err(|_| damaged())?;
        slot_key
            .reveal(record, slot_context)
            .map_err(|error| match error {
                SlotError::WrongKey => {
                    SealError::WrongSeal("the token's key is another".to_owned())
                }
                SlotError::Damaged | _ => damaged(),
            })
    }
}

/// Mechanism, initialisation vector, sealed slot key.
type Sealed = (u8, Vec<u8>, Vec<u8>);

fn seal(
    session: &Session,
    label: &str,
    slot_key: &SlotKey,
    mut iv: [u8; IV_LEN_BYTES],
    slot_context: &[u8],
) -> Result<Sealed, SealError> {
    let failed = |error: Error| unavailable(&format!("key {label}: {}", told(&error)));
    if let Some(pair) = find(session, label, ObjectClass::PRIVATE_KEY)? {
        refuse_exportable(session, label, pair)?;
        let public = find(session, label, ObjectClass::PUBLIC_KEY)?
            .ok_or_else(|| unavailable(&format!("the public half of key {label} is missing")))?;
        // Tokens differ in which hashes they do; both are sound for OAEP.
        for code in [OAEP_SHA256, OAEP_SHA1] {
            let sealed = session.encrypt(&oaep(code), public, slot_key.expose());
            let Ok(sealed) = sealed else { continue };
            if session
                .decrypt(&oaep(code), pair, &sealed)
                .map(Zeroizing::new)
                .is_ok()
            {
                return Ok((code, Vec::new(), sealed));
            }
        }
        return Err(unavailable(&format!("key {label} does no RSA-OAEP")));
    }
    let key = match find(session, label, ObjectClass::SECRET_KEY)? {
        Some(key) => {
            refuse_exportable(session, label, key)?;
            key
        }
        None => session
            .generate_key(&Mechanism::AesKeyGen, &template(label))
            .map_err(failed)?,
    };
    let params = GcmParams::new(&mut iv, slot_context, TAG_LEN_BITS.into()).map_err(failed)?;
    let sealed = session
        .encrypt(&Mechanism::AesGcm(params), key, slot_key.expose())
        .map_err(failed)?;
    // Some tokens draw a vector of their own, and put it there.
    Ok((GCM, iv.to_vec(), sealed))
}

fn open(
    session: &Session,
    label: &str,
    mechanism: u8,
    iv: &mut [u8],
    sealed: &[u8],
    slot_context: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let class = if mechanism == GCM {
        ObjectClass::SECRET_KEY
    } else {
        ObjectClass::PRIVATE_KEY
    };
    let key = find(session, label, class)?
        .ok_or_else(|| unavailable(&format!("the token has no key {label}")))?;
    // What a token says of a ciphertext that is not its own varies.
    let is_refusal = |error: &Error| {
        matches!(
            error,
            Error::Pkcs11(
                RvError::EncryptedDataInvalid
                    | RvError::EncryptedDataLenRange
                    | RvError::GeneralError
                    | RvError::DataInvalid
                    | RvError::FunctionFailed,
                _,
            )
        )
    };
    let failed = |error: Error| {
        if is_refusal(&error) {
            return SealError::WrongSeal(format!(
                "key {label} of the token does not open the slot"
            ));
        }
        unavailable(&format!("key {label}: {}", told(&error)))
    };
    let opened = match mechanism {
        GCM => {
            let params = GcmParams::new(iv, slot_context, TAG_LEN_BITS.into()).map_err(failed)?;
            session.decrypt(&Mechanism::AesGcm(params), key, sealed)
        }
        OAEP_SHA1 | OAEP_SHA256 => session.decrypt(&oaep(mechanism), key, sealed),
        _ => return Err(SealError::Damaged("the token's slot".to_owned())),
    };
    let mut opened = opened.map_err(failed)?;
    let kept = Zeroizing::new(opened.clone());
    opened.zeroize();
    Ok(kept)
}

fn oaep(code: u8) -> Mechanism<'static> {
    let (hash, mgf) = if code == OAEP_SHA256 {
        (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256)
    } else {
        (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1)
    };
    Mechanism::RsaPkcsOaep(PkcsOaepParams::new(hash, mgf, PkcsOaepSource::empty()))
}

/// A key for this purpose alone, which nobody can take out.
fn template(label: &str) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::ValueLen(KEY_LEN_BYTES.into()),
    ]
}

fn find(
    session: &Session,
    label: &str,
    class: ObjectClass,
) -> Result<Option<ObjectHandle>, SealError> {
    let wanted = [
        Attribute::Class(class),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    let found = session
        .find_objects(&wanted)
        .map_err(|error| unavailable(&told(&error)))?;
    match found.as_slice() {
        [] => Ok(None),
        [key] => Ok(Some(*key)),
        _ => Err(unavailable(&format!("the token has several keys {label}"))),
    }
}

fn refuse_exportable(session: &Session, label: &str, key: ObjectHandle) -> Result<(), SealError> {
    let wanted = [AttributeType::Extractable, AttributeType::Sensitive];
    let found = session
        .get_attributes(key, &wanted)
        .map_err(|error| unavailable(&told(&error)))?;
    let stays = found.contains(&Attribute::Extractable(false))
        && found.contains(&Attribute::Sensitive(true));
    if stays {
        return Ok(());
    }
    Err(unavailable(&format!(
        "key {label} can be taken out of the token; use one that is sensitive and not extractable"
    )))
}

/// Which key of which token a slot names; `None` if the slot is damaged.
pub(crate) fn place_of(body: &[u8]) -> Option<TokenPlace> {
    parse(body).map(|parsed| parsed.place)
}

struct Parsed<'a> {
    place: TokenPlace,
    mechanism: u8,
    iv: &'a [u8],
    sealed: &'a [u8],
    record: &'a [u8],
}

fn parse(body: &[u8]) -> Option<Parsed<'_>> {
    fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (len, rest) = bytes.split_first_chunk()?;
        rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
    }
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let (token, rest) = field(body)?;
    let (key, rest) = field(rest)?;
    let (mechanism, rest) = rest.split_first()?;
    let (iv, rest) = field(rest)?;
    let (sealed, record) = field(rest)?;
    Some(Parsed {
        place: TokenPlace {
            token: text(token)?,
            key: text(key)?,
        },
        mechanism: *mechanism,
        iv,
        sealed,
        record,
    })
}

fn put(body: &mut Vec<u8>, field: &[u8]) -> Result<(), SealError> {
    let len = u16::try_from(field.len()).map_err(|_| unavailable("a label is too long"))?;
    body.extend_from_slice(&len.to_be_bytes());
    body.extend_from_slice(field);
    Ok(())
}

/// The standard's code for it, without the paragraph that comes with it.
fn told(error: &Error) -> String {
    if let Error::Pkcs11(code, _) = error {
        return format!("{code:?}");
    }
    error.to_string()
}

fn unavailable(why: &str) -> SealError {
    SealError::Unavailable(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_parsed_as_it_was_put_and_no_shorter_one_is() {
        let mut body = Vec::new();
        put(&mut body, b"token").unwrap();
        put(&mut body, b"key").unwrap();
        body.push(GCM);
        put(&mut body, &[7; 12]).unwrap();
        put(&mut body, &[8; 48]).unwrap();
        let end = body.len();
        body.extend_from_slice(&[9; 97]);
        let parsed = parse(&body).unwrap();
        assert_eq!(
            (parsed.place.token.as_str(), parsed.place.key.as_str()),
            ("token", "key")
        );
        assert_eq!(
            (parsed.mechanism, parsed.iv.len(), parsed.sealed.len()),
            (GCM, 12, 48)
        );
        assert_eq!(parsed.record, [9; 97]);
        for len in 0..end {
            assert!(parse(&body[..len]).is_none(), "{len}");
        }
    }

    #[test]
    fn a_pin_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pin");
        fs::write(&path, "1234\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read_pin(&path).unwrap_err().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(*read_pin(&path).unwrap(), "1234");
    }

    #[test]
    fn a_library_that_is_none_is_unreachable() {
        let seal = TokenSeal {
            module: "/nowhere/lib.so".into(),
            pin: Zeroizing::new("1".to_owned()),
            place: Some(TokenPlace {
                token: "t".to_owned(),
                key: "k".to_owned(),
            }),
            entropy: Arc::new(crate::adapters::SystemEntropy),
            refusals: Refusals::default(),
        };
        let key = UnsealKey::random(&crate::adapters::SystemEntropy);
        assert!(matches!(
            seal.protect(&key, b"c"),
            Err(SealError::Unavailable(_))
        ));
        // A token that refused the PIN is not even looked for, whichever of its slots is tried.
        seal.refusals.note("t");
        assert!(matches!(
            seal.protect(&key, b"c"),
            Err(SealError::WrongSeal(_))
        ));
    }
}
