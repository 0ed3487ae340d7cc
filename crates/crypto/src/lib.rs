//! Everything that is encrypted at rest, and the keys for it.
//!
//! ```text
//!  seal (key file, HSM, ...) --holds--> UnsealKey --opens--> ring file --> Keyring<Unsealed>
//!                                                                            |        |
//!                                       root key version wraps per object    |        | service keys
//!                                                                            v        v
//!  customer key (SSE-C) --------------------------------------------> DataKey     rows, frames, pages,
//!                                                                        |        verifier pepper
//!                                              streams (bodies), attributes (checksums)
//! ```
//!
//! The bytes of every format here are specified in `FORMAT.md` at the root of the repository, well
//! enough for a second reader; one, in Python, is among the tests.
//!
//! This crate is pure: no I/O, no clock and no randomness of its own
//! ([`Entropy`](strongroom_types::Entropy) is an argument). It is **not** where keys are chosen or
//! authorised, and it never hands out plaintext that has not been verified.
//!
//! ```
//! use strongroom_crypto::{BodyKeys, DataKey, ObjectIdentity, open_whole, seal_whole};
//! use strongroom_types::{BucketUid, Entropy, ObjectKey, VersionUid};
//! # struct Counter(std::sync::atomic::AtomicU8);
//! # impl Entropy for Counter {
//! #     fn fill(&self, out: &mut [u8]) {
//! #         out.fill_with(|| self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
//! #     }
//! # }
//! # let entropy = Counter(0.into());
//! let object = ObjectIdentity {
//!     bucket: BucketUid::random(&entropy),
//!     key: ObjectKey::parse("reports/2026.csv")?,
//!     version: VersionUid::random(&entropy),
//! };
//! let keys = BodyKeys::single(DataKey::random(&entropy));
//! let stored = seal_whole(&keys, &object, None, &entropy, b"id,amount\n");
//! assert_eq!(open_whole(&keys, &object, None, &stored)?, b"id,amount\n");
//!
//! let moved = ObjectIdentity { key: ObjectKey::parse("reports/2025.csv")?, ..object };
//! assert!(open_whole(&keys, &moved, None, &stored).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod aead;
mod codec;
mod error;
mod kdf;

pub mod backup;
pub mod escrow;
pub mod footer;
pub mod frame;
pub mod identity;
pub mod kms;
pub mod page;
pub mod ring;
pub mod row;
pub mod secret;
pub mod sharing;
pub mod slot;
pub mod stream;
pub mod verifier;
pub mod wrap;

pub use backup::{MANIFEST_MAC_LEN_BYTES, ManifestKey};
pub use error::{FormatError, OpenError, OuterError, RingError, SealingError, UnwrapError};
pub use escrow::{Escrow, EscrowError, EscrowIdentity, EscrowRecipient, EscrowedRing};
pub use footer::{FOOTER_END_LEN_BYTES, FOOTER_MAX_BYTES, Footer, encode_footer, parse_footer};
pub use frame::{FRAME_OVERHEAD_BYTES, FrameCipher};
pub use identity::{ObjectIdentity, PartIdentity};
pub use kms::{
    BLOB_OVERHEAD_BYTES, CiphertextBlob, MATERIAL_MAX_BYTES, MaterialIdentity,
    SHRED_FILE_LEN_BYTES, ShredId, material_id, seal_blob, shred_file_names,
    shred_file_root_version, wrapped_material_root_version,
};
pub use page::{PAGE_LEN_BYTES, PageCipher, STORED_PAGE_LEN_BYTES};
pub use ring::{
    Keyring, RingSlot, RootState, RootVersion, Sealed, ServicePurpose, Unsealed, slot_context,
};
pub use row::{ATTRIBUTE_OVERHEAD_BYTES, Attribute, ROW_OVERHEAD_BYTES, RowSealer};
pub use secret::{
    BodyKeys, CustomerKey, DataKey, KEY_LEN_BYTES, KeyLengthError, KmsDataKey, OuterKey,
    ServiceKey, ShredKey, SymmetricMaterial, UnsealKey,
};
pub use slot::{SlotError, SlotKey};
pub use stream::{
    HEADER_MAX_BYTES, Layers, SEGMENT_LEN_BYTES, SEGMENT_OVERHEAD_BYTES,
    SEGMENT_OVERHEAD_MAX_BYTES, SegmentSpan, StreamLayout, StreamOpener, StreamSealer,
    header_len_bytes, keyless_checksum, open_whole, recover_identity, seal_whole,
    segment_checksum_ok, stream_uids,
};
pub use verifier::{CUSTOMER_KEY_VERIFIER_LEN_BYTES, CustomerKeyVerifier};
pub use wrap::{KMS_BLOB_MAX_BYTES, WrapMode, WrappedKey, WrappedOuterKey};
