//! A copy of the key ring for a third party to keep, encrypted to its public key.
//!
//! ```text
//!   recipient:  ML-KEM-768 (FIPS 203) and X25519 (RFC 7748), both keys always
//!   secret    = SHA3-256(ss_M || ss_X || ct_X || pk_X || "\./" "/^\")      X-Wing's combiner
//!   wrapping key || commitment = KDF(salt, secret, "strongroom/1 escrow", SHA-512(header || recipient))
//!   sealed    = AES-256-GCM(wrapping key, nonce 0, AAD header and commitment, unseal key || ring file)
//! ```
//!
//! The combiner is that of draft-connolly-cfrg-xwing-kem, section 5.3 (Barbosa, Connolly, Duarte,
//! Kaiser, Schwabe, Varner, Westerbaan, "X-Wing: The Hybrid KEM You've Been Looking For", 2024):
//! whoever breaks only one of the two key exchanges learns nothing. The transcript of all that is
//! public goes into the derivation besides, as HPKE (RFC 9180) does.
//!
//! The one exception to "no randomness of its own" in this crate: aws-lc draws what ML-KEM needs, and
//! takes none from outside.

use std::fmt;

use aws_lc_rs::agreement::{self, X25519};
use aws_lc_rs::digest::{SHA3_256, SHA256, SHA512, digest};
use aws_lc_rs::kem::{self, ML_KEM_768};
use strongroom_types::{Entropy, Timestamp};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::aead::{Aead, SINGLE_USE_NONCE, TAG_LEN_BYTES};
use crate::codec::{Reader, be32};
use crate::kdf::{Derived, derive, label};
use crate::{FormatError, Keyring, Sealed, UnsealKey, Unsealed};

/// Length of a recipient's public key, in bytes: ML-KEM's, then X25519's.
pub const RECIPIENT_LEN_BYTES: usize = KEM_PUBLIC_LEN_BYTES + X25519_LEN_BYTES;
/// Length of a recipient's secret, in bytes: ML-KEM's, then X25519's.
pub const IDENTITY_LEN_BYTES: usize = KEM_SECRET_LEN_BYTES + X25519_LEN_BYTES;

const MAGIC: &[u8; 4] = b"SRE1";
const VERSION: u8 = 1;
const SUITE: u8 = 1;
const KEM_PUBLIC_LEN_BYTES: usize = 1184;
const KEM_SECRET_LEN_BYTES: usize = 2400;
/// Where the public key lies in ML-KEM-768's secret key: behind `dk_PKE` (FIPS 203, algorithm 16).
const KEM_PUBLIC_OFFSET: usize = 1152;
const KEM_CIPHERTEXT_LEN_BYTES: usize = 1088;
const X25519_LEN_BYTES: usize = 32;
const XWING_LABEL: &[u8; 6] = b"\\.//^\\";
const COMMITMENT_LEN_BYTES: usize = 32;
const CHECKSUM_LEN_BYTES: usize = 8;
/// No ring is longer.
const FILE_MAX_BYTES: usize = 1 << 20;

/// To whom an escrow is encrypted. Public.
#[derive(Clone, PartialEq, Eq)]
pub struct EscrowRecipient(Box<[u8; RECIPIENT_LEN_BYTES]>);

/// What opens the escrows of one recipient.
pub struct EscrowIdentity {
    secret: Zeroizing<Vec<u8>>,
    recipient: EscrowRecipient,
}

/// A ring in escrow, as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Escrow {
    bytes: Vec<u8>,
    header: Header,
}

/// What an escrow says without any key. Not proven before it is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Header {
    ring_id: [u8; 16],
    generation: u64,
    made: Timestamp,
    recipient: [u8; 32],
}

/// What was in an escrow.
pub struct EscrowedRing {
    /// Opens this ring and every later one of the store, until its unseal key is replaced.
    pub unseal_key: UnsealKey,
    /// The ring's file as it was, with its seals.
    pub file: Vec<u8>,
    /// The same, open.
    pub ring: Keyring<Unsealed>,
}

/// Why an escrow cannot be made or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EscrowError {
    /// Not an escrow, identity or recipient that this version reads, or damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// It was made for somebody else.
    #[error("it is encrypted to another recipient")]
    OtherRecipient,
    /// It was changed, or the identity is not the recipient's.
    #[error("it does not verify")]
    Damaged,
    /// The cipher library refuses the key, or to work.
    #[error("the recipient's key is not a valid one")]
    BadKey,
}

impl EscrowRecipient {
    /// Takes a public key: `pk_M(1184) || pk_X(32)`, as in X-Wing.
    ///
    /// # Errors
    ///
    /// [`EscrowError::BadKey`] when it is none, [`FormatError::BadLength`].
    pub fn parse(bytes: &[u8]) -> Result<Self, EscrowError> {
        let bytes: [u8; RECIPIENT_LEN_BYTES] =
            bytes.try_into().map_err(|_| FormatError::BadLength)?;
        let (kem_public, _) = bytes.split_at(KEM_PUBLIC_LEN_BYTES);
        kem::EncapsulationKey::new(&ML_KEM_768, kem_public).map_err(|_| EscrowError::BadKey)?;
        Ok(Self(Box::new(bytes)))
    }

    /// The public key, as [`EscrowRecipient::parse`] takes it.
    pub fn as_bytes(&self) -> &[u8; RECIPIENT_LEN_BYTES] {
        &self.0
    }

    /// SHA-256 of the public key: what two people compare.
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(self.0.as_slice())
    }

    fn kem_public(&self) -> &[u8] {
        self.0.split_at(KEM_PUBLIC_LEN_BYTES).0
    }

    fn x25519_public(&self) -> &[u8] {
        self.0.split_at(KEM_PUBLIC_LEN_BYTES).1
    }
}

impl fmt::Debug for EscrowRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EscrowRecipient(..)")
    }
}

impl EscrowIdentity {
    /// Draws the keys of a new recipient.
    ///
    /// # Errors
    ///
    /// [`EscrowError::BadKey`] when the cipher library does not work.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EscrowError> {
        let kem = kem::DecapsulationKey::generate(&ML_KEM_768).map_err(|_| EscrowError::BadKey)?;
        let kem_secret = kem.key_bytes().map_err(|_| EscrowError::BadKey)?;
        let mut secret = Zeroizing::new(vec![0; IDENTITY_LEN_BYTES]);
        let (kem_part, x25519_part) = secret.split_at_mut(KEM_SECRET_LEN_BYTES);
        if kem_secret.as_ref().len() != kem_part.len() {
            return Err(EscrowError::BadKey);
        }
        kem_part.copy_from_slice(kem_secret.as_ref());
        entropy.fill(x25519_part);
        Self::parse(&secret)
    }

    /// Takes a secret: `sk_M(2400) || sk_X(32)`.
    ///
    /// # Errors
    ///
    /// [`EscrowError::BadKey`] when it is none, [`FormatError::BadLength`].
    pub fn parse(bytes: &[u8]) -> Result<Self, EscrowError> {
        let secret: &[u8; IDENTITY_LEN_BYTES] =
            bytes.try_into().map_err(|_| FormatError::BadLength)?;
        let (kem_secret, x25519_secret) = secret.split_at(KEM_SECRET_LEN_BYTES);
        let kem_public = kem_secret
            .get(KEM_PUBLIC_OFFSET..KEM_PUBLIC_OFFSET + KEM_PUBLIC_LEN_BYTES)
            .ok_or(FormatError::BadLength)?;
        let x25519_public = x25519_private(x25519_secret)?
            .compute_public_key()
            .map_err(|_| EscrowError::BadKey)?;
        let recipient = EscrowRecipient::parse(&[kem_public, x25519_public.as_ref()].concat())?;
        Ok(Self {
            secret: Zeroizing::new(secret.to_vec()),
            recipient,
        })
    }

    /// The secret, as [`EscrowIdentity::parse`] takes it. For who keeps it, and nobody else.
    pub fn expose(&self) -> &[u8] {
        &self.secret
    }

    /// To whom escrows are encrypted that this opens.
    pub const fn recipient(&self) -> &EscrowRecipient {
        &self.recipient
    }
}

impl fmt::Debug for EscrowIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EscrowIdentity(REDACTED)")
    }
}

impl Escrow {
    /// Encrypts a ring's file and the key that opens it to `recipient`.
    ///
    /// # Errors
    ///
    /// [`EscrowError::Damaged`] when `unseal_key` does not open `file`; [`EscrowError::BadKey`].
    pub fn seal(
        recipient: &EscrowRecipient,
        unseal_key: &UnsealKey,
        file: &[u8],
        made: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Self, EscrowError> {
        let ring = Keyring::<Sealed>::parse(file)
            .and_then(|ring| ring.unseal(unseal_key))
            .map_err(|_| EscrowError::Damaged)?;
        let kem_public = kem::EncapsulationKey::new(&ML_KEM_768, recipient.kem_public())
            .map_err(|_| EscrowError::BadKey)?;
        let (kem_ciphertext, kem_secret) =
            kem_public.encapsulate().map_err(|_| EscrowError::BadKey)?;
        let mut ephemeral = Zeroizing::new([0; X25519_LEN_BYTES]);
        entropy.fill(ephemeral.as_mut_slice());
        let ephemeral = x25519_private(ephemeral.as_slice())?;
        let x25519_ciphertext = ephemeral
            .compute_public_key()
            .map_err(|_| EscrowError::BadKey)?;
        let secret = combine(
            kem_secret.as_ref(),
            &agree(&ephemeral, recipient.x25519_public())?,
            x25519_ciphertext.as_ref(),
            recipient,
        );
        let mut salt = [0; 32];
        entropy.fill(&mut salt);
        let sealed_len = 32 + file.len() + TAG_LEN_BYTES;
        let fixed = 76 + 32 + KEM_CIPHERTEXT_LEN_BYTES + X25519_LEN_BYTES + COMMITMENT_LEN_BYTES;
        let total = fixed + sealed_len + CHECKSUM_LEN_BYTES;
        let mut bytes = Vec::with_capacity(total);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[VERSION, SUITE, 0, 0]);
        bytes.extend_from_slice(&be32(total));
        bytes.extend_from_slice(&ring.ring_id());
        bytes.extend_from_slice(&ring.generation().to_be_bytes());
        bytes.extend_from_slice(&made.as_millis().to_be_bytes());
        bytes.extend_from_slice(&recipient.fingerprint());
        bytes.extend_from_slice(&salt);
        bytes.extend_from_slice(kem_ciphertext.as_ref());
        bytes.extend_from_slice(x25519_ciphertext.as_ref());
        let keys = keys(&salt, &secret, &bytes, recipient);
        let [wrapping_key, commitment] = &*keys;
        bytes.extend_from_slice(commitment);
        let mut sealed = Zeroizing::new(Vec::with_capacity(sealed_len));
        sealed.extend_from_slice(unseal_key.expose());
        sealed.extend_from_slice(file);
        let tag = Aead::gcm(wrapping_key).seal(SINGLE_USE_NONCE, &bytes, sealed.as_mut_slice());
        bytes.extend_from_slice(&sealed);
        bytes.extend_from_slice(&tag);
        let checksum = crc64(&bytes);
        bytes.extend_from_slice(&checksum);
        Self::parse(&bytes).map_err(EscrowError::Format)
    }

    /// Reads an escrow file. Needs no key and proves nothing but that the file is whole.
    ///
    /// # Errors
    ///
    /// [`FormatError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let (checked, checksum) = bytes
            .split_last_chunk::<CHECKSUM_LEN_BYTES>()
            .ok_or(FormatError::BadLength)?;
        let mut fields = Reader::new(checked);
        if fields.array()? != MAGIC {
            return Err(FormatError::BadMagic);
        }
        if crc64(checked) != *checksum {
            return Err(FormatError::Checksum);
        }
        match fields.u8()? {
            VERSION => {}
            version => return Err(FormatError::UnknownVersion(version)),
        }
        match fields.u8()? {
            SUITE => {}
            suite => return Err(FormatError::UnknownSuite(suite)),
        }
        if fields.u16()? != 0 {
            return Err(FormatError::BadValue);
        }
        let total = usize::try_from(fields.u32()?).map_err(|_| FormatError::BadLength)?;
        if total != bytes.len() || total > FILE_MAX_BYTES {
            return Err(FormatError::BadLength);
        }
        let header = Header {
            ring_id: *fields.array()?,
            generation: fields.u64()?,
            made: Timestamp::from_millis(fields.u64()?),
            recipient: *fields.array()?,
        };
        fields.take(32 + KEM_CIPHERTEXT_LEN_BYTES + X25519_LEN_BYTES + COMMITMENT_LEN_BYTES)?;
        if fields.remaining() < 32 + TAG_LEN_BYTES {
            return Err(FormatError::BadLength);
        }
        Ok(Self {
            bytes: bytes.to_vec(),
            header,
        })
    }

    /// The file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whose ring it says that it holds.
    pub const fn ring_id(&self) -> [u8; 16] {
        self.header.ring_id
    }

    /// Which generation of the ring's file it says that it holds.
    pub const fn generation(&self) -> u64 {
        self.header.generation
    }

    /// When it says that it was made.
    pub const fn made(&self) -> Timestamp {
        self.header.made
    }

    /// The fingerprint of the recipient that it says it is for.
    pub const fn recipient(&self) -> [u8; 32] {
        self.header.recipient
    }

    /// Opens it.
    ///
    /// # Errors
    ///
    /// [`EscrowError`].
    pub fn open(&self, identity: &EscrowIdentity) -> Result<EscrowedRing, EscrowError> {
        if self.header.recipient != identity.recipient.fingerprint() {
            return Err(EscrowError::OtherRecipient);
        }
        let (checked, _) = self
            .bytes
            .split_last_chunk::<CHECKSUM_LEN_BYTES>()
            .ok_or(FormatError::BadLength)?;
        let mut fields = Reader::new(checked);
        fields.take(76)?;
        let salt: &[u8; 32] = fields.array()?;
        let kem_ciphertext = fields.take(KEM_CIPHERTEXT_LEN_BYTES)?;
        let x25519_ciphertext = fields.take(X25519_LEN_BYTES)?;
        let header_len = checked.len() - fields.remaining();
        let commitment: &[u8; COMMITMENT_LEN_BYTES] = fields.array()?;
        let aad_len = checked.len() - fields.remaining();
        let sealed = fields.take(fields.remaining())?;
        let (Some(header), Some(aad)) = (checked.get(..header_len), checked.get(..aad_len)) else {
            return Err(FormatError::BadLength.into());
        };

        let (kem_part, x25519_part) = identity.secret.split_at(KEM_SECRET_LEN_BYTES);
        let kem =
            kem::DecapsulationKey::new(&ML_KEM_768, kem_part).map_err(|_| EscrowError::BadKey)?;
        let kem_secret = kem
            .decapsulate(kem_ciphertext.into())
            .map_err(|_| EscrowError::Damaged)?;
        let own = x25519_private(x25519_part)?;
        let secret = combine(
            kem_secret.as_ref(),
            &agree(&own, x25519_ciphertext).map_err(|_| EscrowError::Damaged)?,
            x25519_ciphertext,
            &identity.recipient,
        );
        let keys = keys(salt, &secret, header, &identity.recipient);
        let [wrapping_key, expected] = &*keys;
        if !bool::from(expected.ct_eq(commitment)) {
            return Err(EscrowError::Damaged);
        }
        let mut opened = Zeroizing::new(sealed.to_vec());
        let plaintext = Aead::gcm(wrapping_key)
            .open(SINGLE_USE_NONCE, aad, opened.as_mut_slice())
            .ok_or(EscrowError::Damaged)?;
        let (unseal_key, file) = plaintext.split_at_checked(32).ok_or(EscrowError::Damaged)?;
        let unseal_key = UnsealKey::parse(unseal_key).map_err(|_| EscrowError::Damaged)?;
        let ring = Keyring::<Sealed>::parse(file)
            .and_then(|ring| ring.unseal(&unseal_key))
            .map_err(|_| EscrowError::Damaged)?;
        if ring.ring_id() != self.header.ring_id || ring.generation() != self.header.generation {
            return Err(EscrowError::Damaged);
        }
        let file = file.to_vec();
        Ok(EscrowedRing {
            unseal_key,
            file,
            ring,
        })
    }
}

impl fmt::Debug for Escrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Escrow").field(&self.header).finish()
    }
}

impl fmt::Debug for EscrowedRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EscrowedRing")
            .field("ring", &self.ring)
            .finish_non_exhaustive()
    }
}

fn x25519_private(bytes: &[u8]) -> Result<agreement::PrivateKey, EscrowError> {
    agreement::PrivateKey::from_private_key(&X25519, bytes).map_err(|_| EscrowError::BadKey)
}

/// X25519 (RFC 7748). A public key of small order is refused.
fn agree(own: &agreement::PrivateKey, other: &[u8]) -> Result<Zeroizing<[u8; 32]>, EscrowError> {
    let other = agreement::UnparsedPublicKey::new(&X25519, other);
    agreement::agree(own, other, EscrowError::BadKey, |secret| {
        let mut kept = Zeroizing::new([0; 32]);
        if secret.len() != kept.len() {
            return Err(EscrowError::BadKey);
        }
        kept.copy_from_slice(secret);
        Ok(kept)
    })
}

/// X-Wing's combiner (draft-connolly-cfrg-xwing-kem, 5.3).
fn combine(
    kem_secret: &[u8],
    x25519_secret: &Zeroizing<[u8; 32]>,
    x25519_ciphertext: &[u8],
    recipient: &EscrowRecipient,
) -> Zeroizing<[u8; 32]> {
    let mut input = Zeroizing::new(Vec::with_capacity(4 * 32 + XWING_LABEL.len()));
    input.extend_from_slice(kem_secret);
    input.extend_from_slice(x25519_secret.as_slice());
    input.extend_from_slice(x25519_ciphertext);
    input.extend_from_slice(recipient.x25519_public());
    input.extend_from_slice(XWING_LABEL);
    let mut secret = Zeroizing::new([0; 32]);
    let output = digest(&SHA3_256, &input);
    secret
        .iter_mut()
        .zip(output.as_ref())
        .for_each(|(to, from)| *to = *from);
    secret
}

/// Wrapping key and commitment.
fn keys(
    salt: &[u8; 32],
    secret: &Zeroizing<[u8; 32]>,
    header: &[u8],
    recipient: &EscrowRecipient,
) -> Derived<2> {
    let transcript = [header, recipient.as_bytes().as_slice()].concat();
    let transcript = digest(&SHA512, &transcript);
    derive(salt, secret, label::ESCROW, &[transcript.as_ref()])
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    let output = digest(&SHA256, bytes);
    hash.iter_mut()
        .zip(output.as_ref())
        .for_each(|(to, from)| *to = *from);
    hash
}

fn crc64(bytes: &[u8]) -> [u8; 8] {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes).to_be_bytes()
}
