//! Random 16-byte identities. They are never names: names can be reused, identities cannot.

use std::fmt;

use crate::Entropy;

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Draws a fresh identity.
            pub fn random(entropy: &dyn Entropy) -> Self {
                let mut bytes = [0; 16];
                entropy.fill(&mut bytes);
                Self(bytes)
            }

            /// Takes the identity as stored.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The identity as stored.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Parses 32 lower-case hexadecimal digits, the form that `Display` prints.
            pub fn parse_hex(text: &str) -> Option<Self> {
                let text = text.as_bytes();
                if text.len() != 32 {
                    return None;
                }
                let mut bytes = [0; 16];
                for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
                    let [high, low] = pair else { return None };
                    *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
                }
                Some(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

random_id! {
    /// A bucket's identity. Deleting and creating a bucket of the same name gives another one.
    BucketUid
}
random_id! {
    /// An object version's identity, bound into its ciphertext. A multipart upload draws the
    /// identity of the version that it will become, so that `Complete` need not touch the parts.
    VersionUid
}
random_id! {
    /// One attempt at uploading one part. Retrying a part draws a new one.
    AttemptUid
}
random_id! {
    /// The name of an immutable blob file. Random, so that it tells nothing of the object.
    BlobId
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_form_parses_back() {
        let id = BlobId::from_bytes([0x0f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xf0]);
        assert_eq!(BlobId::parse_hex(&id.to_string()), Some(id));
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "0f",
            "0F0102030405060708090a0b0c0d0ef0",
            "0f0102030405060708090a0b0c0d0eg0",
        ] {
            assert_eq!(BlobId::parse_hex(text), None, "{text}");
        }
    }
}
