//! A message on its way: `BE32(length) || JSON`.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Largest message, in bytes. The largest is a page of a re-encryption that skips everything:
/// [`super::RE_ENCRYPTION_PAGE_MAX`] object keys, each letter escaped, and the reasons.
const MESSAGE_MAX_BYTES: usize = 1 << 20;

/// Sends a message.
///
/// # Errors
///
/// The operating system's.
pub(super) fn send<M: Serialize>(stream: &mut impl Write, message: &M) -> io::Result<()> {
    // Room for the answers with secrets, so that growing leaves no copies behind.
    let mut json = Zeroizing::new(Vec::with_capacity(4096));
    serde_json::to_writer(&mut *json, message)?;
    let len = u32::try_from(json.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    stream.write_all(&len.to_be_bytes())?;
    stream.write_all(&json)?;
    stream.flush()
}

/// Receives a message.
///
/// # Errors
///
/// The operating system's; [`io::ErrorKind::InvalidData`] for one that is too long or means nothing.
pub(super) fn receive<M: DeserializeOwned>(stream: &mut impl Read) -> io::Result<M> {
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
    if len > MESSAGE_MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut json = Zeroizing::new(vec![0; len]);
    stream.read_exact(&mut json)?;
    // The parser's own message may quote the input.
    serde_json::from_slice(&json).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{Gift, Request, SealRequest, Secret};

    #[test]
    fn a_secret_survives_the_socket_and_does_not_print() {
        let request = Request::Seal {
            ask: SealRequest::Unseal {
                gift: Gift::Passphrase {
                    text: Secret::new(Zeroizing::new("correct horse".to_owned())),
                },
            },
        };
        let mut sent = Vec::new();
        send(&mut sent, &request).unwrap();
        assert_eq!(receive::<Request>(&mut sent.as_slice()).unwrap(), request);
        assert!(!format!("{request:?}").contains("horse"));
    }

    #[test]
    fn oversized_and_garbled_messages_are_refused() {
        let oversized = [&u32::MAX.to_be_bytes(), b"x".as_slice()].concat();
        assert!(receive::<Request>(&mut oversized.as_slice()).is_err());
        let garbled = [&3_u32.to_be_bytes(), b"{}x".as_slice()].concat();
        assert!(receive::<Request>(&mut garbled.as_slice()).is_err());
        let unknown = br#"{"request":"dump"}"#;
        let framed = [&18_u32.to_be_bytes(), unknown.as_slice()].concat();
        assert!(receive::<Request>(&mut framed.as_slice()).is_err());
    }
}
