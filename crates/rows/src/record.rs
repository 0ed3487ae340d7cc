//! What a row holds.

use minicbor::{Decode, Encode};

const RECORD_VERSION: u8 = 1;
/// Room for most records, so that the buffer need not grow.
const USUAL_LEN_BYTES: usize = 512;

/// A record that rows hold. A reader of this version refuses records of a newer one.
///
/// ```text
/// kind(1) || version(1) = 1 || CBOR
/// ```
pub trait Record: Sized + Encode<()> + for<'b> Decode<'b, ()> {
    /// Tells records apart, so that a row of one table never parses as one of another.
    const KIND: u8;

    /// The encoded record.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(USUAL_LEN_BYTES);
        bytes.extend_from_slice(&[Self::KIND, RECORD_VERSION]);
        // Writing to a vector cannot fail.
        let _ = minicbor::encode(self, &mut bytes);
        bytes
    }

    /// The record behind `bytes`, or `None` if it is another kind's, of another version, or no CBOR.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let ([kind, version], body) = bytes.split_first_chunk::<2>()?;
        if *kind != Self::KIND || *version != RECORD_VERSION {
            return None;
        }
        minicbor::decode(body).ok()
    }
}

/// Gives records their kinds: `record_kinds!(KeyRow = 20, AliasRow = 23);`
#[macro_export]
macro_rules! record_kinds {
    ($($type:ident = $kind:literal),* $(,)?) => {
        $(impl $crate::Record for $type { const KIND: u8 = $kind; })*
    };
}
