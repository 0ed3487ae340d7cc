//! Blob files: where they are, what is behind their streams, and what can be said of one without
//! keys.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use strongroom_crypto::{
    Attribute, BodyKeys, FOOTER_MAX_BYTES, Footer, Keyring, ObjectIdentity, PartIdentity, Unsealed,
    WrapMode, WrappedKey, keyless_checksum, parse_footer,
};
use strongroom_recover::footers::{FOOTER_END, FOOTER_TABLE, last_footer};
use strongroom_recover::records::{self, FooterRecord, KmsEncryption};

use crate::pace::Pace;
use crate::rows::Sealer;
use crate::stream::{Fault, Source};
use crate::text::{hex, to_u64, to_usize};

/// What may lie behind a stream while its footer is being replaced: an old one, a gap, a new one.
const TAIL_MAX_BYTES: u64 = 768 << 10;

/// A set that many threads add to.
#[derive(Default)]
pub(crate) struct Ids(Mutex<HashSet<[u8; 16]>>);

impl Ids {
    pub(crate) fn insert(&self, id: [u8; 16]) {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.insert(id);
    }

    pub(crate) fn contains(&self, id: &[u8; 16]) -> bool {
        let ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.contains(id)
    }
}

/// The path of a blob, from the directory of all of them.
pub(crate) fn path_of(id: &[u8; 16]) -> PathBuf {
    let name = hex(id);
    Path::new(name.get(..2).unwrap_or_default()).join(&name)
}

/// What a footer must say.
pub(crate) struct Expected<'a> {
    pub(crate) object: &'a ObjectIdentity,
    /// The stream's header, as it is stored.
    pub(crate) header: &'a [u8],
    pub(crate) part: Option<PartIdentity>,
    pub(crate) size_bytes: u64,
    /// As the row keeps it, which is preferred.
    pub(crate) wrapped: &'a WrappedKey,
    pub(crate) kms: Option<&'a KmsEncryption>,
    pub(crate) keys: Option<&'a BodyKeys>,
    pub(crate) ring: &'a Keyring<Unsealed>,
    pub(crate) sealer: &'a Sealer,
    /// Its footers are being replaced, or will be.
    pub(crate) is_pending: bool,
    /// Wrapped keys are being wrapped anew after a rotation of the root key.
    pub(crate) is_rewrapping: bool,
}

/// Verifies what is behind the stream that ends at `end`.
pub(crate) fn check_tail(
    source: &Source,
    pace: &Pace<'_>,
    end: u64,
    expected: &Expected<'_>,
) -> Vec<Fault> {
    let fault = |what: &'static str, why: &str| {
        vec![Fault {
            what,
            why: why.to_owned(),
            offset: end,
        }]
    };
    let len = match source.len_bytes() {
        Ok(len) => len,
        Err(error) => return fault("unreadable", &error.to_string()),
    };
    let Some(tail_len) = len.checked_sub(end) else {
        // The segments tell of that.
        return Vec::new();
    };
    let tail = match source.read(pace, end, to_usize(tail_len.min(TAIL_MAX_BYTES))) {
        Ok(tail) => tail,
        Err(error) => return fault("unreadable", &error.to_string()),
    };
    let may_be_cut_short = expected.is_pending || expected.is_rewrapping;
    let footer = match parse_footer(&tail) {
        Ok((footer, len)) if to_u64(len) == tail_len => footer,
        _ if may_be_cut_short => match last_footer(&tail) {
            Some(footer) => footer,
            None => return fault("footer", "there is no footer that can be read"),
        },
        Ok(_) => return fault("footer", "there is more than its footer behind the stream"),
        Err(_) => return fault("footer", "the footer is damaged"),
    };
    let mut faults = match expected.check(&footer) {
        Ok(()) => Vec::new(),
        Err(why) => fault("footer", why),
    };
    let sum = keyless_checksum(expected.header);
    // With keys the header's own tag said so already.
    if footer.header_checksum.is_some_and(|it| it != sum) && expected.keys.is_none() {
        faults.push(Fault {
            what: "header",
            why: "the header of its stored stream is damaged".to_owned(),
            offset: 0,
        });
    }
    faults
}

impl Expected<'_> {
    fn check(&self, footer: &Footer) -> Result<(), &'static str> {
        if !self.is_pending {
            self.check_key(&footer.wrapped_key)?;
            self.check_encryption(footer.encryption.as_deref())?;
        }
        let Some(keys) = self.keys else {
            return Ok(());
        };
        let record = keys
            .data_key()
            .open_attribute(Attribute::FooterRecord, self.object, &footer.record)
            .map_err(|_| "the record in the footer does not open")?;
        let record: FooterRecord =
            records::decode(&record).ok_or("the record in the footer cannot be read")?;
        let part = self.part.map(|part| part.number.value());
        if record.key != self.object.key.as_str()
            || record.size_bytes != self.size_bytes
            || record.part_number != part
        {
            return Err("the record in the footer is another's");
        }
        Ok(())
    }

    /// The footer's wrapped key is the row's, or that key wrapped once more by the ring.
    fn check_key(&self, footer: &WrappedKey) -> Result<(), &'static str> {
        const OTHER: &str = "the footer keeps another wrapped key than the row: an older copy of the file, or another's";
        if self.wrapped.as_bytes() == footer.as_bytes() {
            return Ok(());
        }
        match (self.wrapped.mode(), footer.mode()) {
            (WrapMode::RootRing { .. }, WrapMode::RootRing { .. }) => {
                self.ring
                    .unwrap_data_key(footer, self.object)
                    .map_err(|_| "the wrapped key in the footer does not open")?;
            }
            (WrapMode::TwoLayers { .. }, WrapMode::TwoLayers { .. }) => {
                let inner = |key: &WrappedKey| key.layers().map(|(inner, _)| inner);
                if inner(self.wrapped) != inner(footer) {
                    return Err(OTHER);
                }
                self.ring
                    .unwrap_outer_key(footer, self.object)
                    .map_err(|_| "the wrapped key in the footer does not open")?;
            }
            (
                WrapMode::RootRing { .. }
                | WrapMode::CustomerKey
                | WrapMode::Kms
                | WrapMode::TwoLayers { .. },
                _,
            ) => return Err(OTHER),
        }
        if footer.root_version() < self.wrapped.root_version() && !self.is_rewrapping {
            return Err(
                "the footer is under an older version of the root key than the row: an older copy of the file",
            );
        }
        Ok(())
    }

    fn check_encryption(&self, sealed: Option<&[u8]>) -> Result<(), &'static str> {
        let (sealed, kms) = match (sealed, self.kms) {
            (None, None) => return Ok(()),
            (Some(sealed), Some(kms)) => (sealed, kms),
            (Some(_), None) | (None, Some(_)) => {
                return Err("the footer is of another mode of encryption than the row");
            }
        };
        let place = [
            self.object.bucket.as_bytes().as_slice(),
            self.object.version.as_bytes(),
        ]
        .concat();
        let found: Option<KmsEncryption> = self
            .sealer
            .open(FOOTER_TABLE, &place, sealed)
            .and_then(|plaintext| records::decode(&plaintext));
        let found = found.ok_or("the encryption record in the footer does not open")?;
        if found != *kms {
            return Err("the encryption record in the footer is another than the row's");
        }
        Ok(())
    }
}

/// Where the streams end that the footers in the last bytes of a file say: the first of them is right
/// unless a footer is being replaced.
pub(crate) fn stream_ends(source: &Source, pace: &Pace<'_>) -> io::Result<Vec<(u64, u64)>> {
    let len = source.len_bytes()?;
    let mut found = Vec::new();
    // Most footers are short: the whole bound is read only if none is found.
    for bound in [4 << 10, TAIL_MAX_BYTES] {
        let from = len.saturating_sub(bound);
        let tail = source.read(pace, from, to_usize(len - from))?;
        let mut end = tail.len();
        while let Some(at) = tail.get(..end).and_then(|tail| {
            tail.windows(FOOTER_END.len())
                .rposition(|window| window == FOOTER_END)
        }) {
            end = at + FOOTER_END.len();
            if let Ok((_, footer_len)) = tail
                .get(..end)
                .map_or(Err(()), |it| parse_footer(it).map_err(|_| ()))
            {
                found.push((from + to_u64(end - footer_len), from + to_u64(end)));
            }
            end -= 1;
        }
        if !found.is_empty() || from == 0 {
            break;
        }
    }
    Ok(found)
}

/// The names of all blobs below `directory`, in the order of the ids.
///
/// # Errors
///
/// The operating system's.
pub(crate) fn list(
    directory: &Path,
    each: &mut dyn FnMut([u8; 16], &fs::DirEntry),
) -> io::Result<()> {
    for first in 0..=u8::MAX {
        let entries = match fs::read_dir(directory.join(hex(&[first]))) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let id = name.to_str().and_then(crate::text::parse_hex);
            if let Some(id) = id.filter(|id| id.first() == Some(&first)) {
                each(id, &entry);
            }
        }
    }
    Ok(())
}

const _: () = assert!(FOOTER_MAX_BYTES == 256 << 10);
