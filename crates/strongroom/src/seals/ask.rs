//! Where secrets come from: a person at a terminal, or a file descriptor. Never a flag or a variable,
//! which other processes can read.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use super::shares;
use crate::failure::{Exit, Failure};
use crate::key_file;

/// Most bytes of a typed line and of what a descriptor holds.
const SECRET_MAX_BYTES: usize = 16 << 10;

/// What somebody brought, as it was told.
pub(crate) enum Brought {
    Passphrase(Zeroizing<String>),
    Share(Zeroizing<String>),
    /// The text of a key file.
    KeyFile(Zeroizing<String>),
    /// The PIN of the token of `--pkcs11-module`.
    Pin(Zeroizing<String>),
}

/// What a text is: a key file, shares (one a line), or else a passphrase on one line.
///
/// # Errors
///
/// [`Exit::Seal`] for none of them.
pub(crate) fn classify(text: &Zeroizing<String>) -> Result<Vec<Brought>, Failure> {
    let own = |text: &str| Zeroizing::new(text.to_owned());
    if key_file::is_key_file(text) {
        return Ok(vec![Brought::KeyFile(own(text))]);
    }
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    match lines.as_slice() {
        [] => Err(Failure::new(
            Exit::Seal,
            "nothing was given",
            "give a passphrase, shares (one a line) or the text of a key file",
        )),
        some if some.iter().all(|line| shares::is_share(line)) => {
            Ok(some.iter().map(|line| Brought::Share(own(line))).collect())
        }
        [line] => Ok(vec![Brought::Passphrase(own(line))]),
        _ => Err(Failure::new(
            Exit::Seal,
            "several lines were given, and they are neither shares nor a key file",
            "give a passphrase on one line",
        )),
    }
}

/// Reads what another program left at file descriptor `number`, to its end.
///
/// # Errors
///
/// [`Exit::Seal`] when there is none, or it holds too much.
pub(crate) fn descriptor(number: u32) -> Result<Zeroizing<String>, Failure> {
    let unusable = |why: String| {
        Failure::new(
            Exit::Seal,
            format!("file descriptor {number} cannot be read: {why}"),
            "open it for the program, as in: strongroom ... --unseal-fd 3 3<FILE",
        )
    };
    // By its name, which needs no trust in the number: a descriptor that is not open has none.
    let file = File::open(format!("/proc/self/fd/{number}"))
        .map_err(|error| unusable(error.to_string()))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_MAX_BYTES));
    let limit = u64::try_from(SECRET_MAX_BYTES).unwrap_or(u64::MAX);
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| unusable(error.to_string()))?;
    if bytes.len() >= SECRET_MAX_BYTES {
        return Err(unusable("it holds more than any secret".to_owned()));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| unusable("it is not text".to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// The first line at a file descriptor, without its end.
///
/// # Errors
///
/// As [`descriptor`].
pub(crate) fn descriptor_line(number: u32) -> Result<Zeroizing<String>, Failure> {
    let text = descriptor(number)?;
    let line = text.lines().next().unwrap_or_default();
    Ok(Zeroizing::new(line.to_owned()))
}

/// Whether there is a person to ask.
pub(crate) fn is_attended() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a secret, which does not show. `None` without a person, for an empty answer, and when
/// it is broken off (Ctrl-C, Ctrl-D).
pub(crate) fn secret(question: &str) -> Option<Zeroizing<String>> {
    if !is_attended() {
        return None;
    }
    let _silence = Silence::begin()?;
    let mut err = io::stderr().lock();
    write!(err, "{question} ").and_then(|()| err.flush()).ok()?;
    let line = read_line(&mut Unbuffered);
    let _ = writeln!(err);
    line.filter(|line| !line.is_empty())
}

/// Standard input without the standard library's buffer, which would keep a copy.
struct Unbuffered;

impl io::Read for Unbuffered {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(io::stdin(), out)?)
    }
}

/// A terminal that shows nothing of what is typed, until dropped.
struct Silence(Termios);

impl Silence {
    fn begin() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut silent = before.clone();
        // No signals either: whoever is stopped here would leave a terminal that shows nothing.
        let modes = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        silent.local_modes.remove(modes);
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        // Nothing that was typed before the question is an answer to it.
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent).ok()?;
        Some(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// A line with the few keys for mending it.
fn read_line(input: &mut impl io::Read) -> Option<Zeroizing<String>> {
    const INTERRUPT: u8 = 0x03;
    const END: u8 = 0x04;
    const BACKSPACE: u8 = 0x08;
    const ERASE_LINE: u8 = 0x15;
    const DELETE: u8 = 0x7f;
    let mut line = Zeroizing::new(Vec::with_capacity(SECRET_MAX_BYTES));
    let mut byte = Zeroizing::new([0_u8]);
    loop {
        if input.read(byte.as_mut_slice()).ok()? == 0 {
            return None;
        }
        let [typed] = *byte;
        match typed {
            b'\n' | b'\r' => break,
            INTERRUPT => return None,
            END if line.is_empty() => return None,
            END => break,
            ERASE_LINE => line.clear(),
            BACKSPACE | DELETE => {
                // A whole character, of up to four bytes.
                while line.pop().is_some_and(|byte| byte & 0xC0 == 0x80) {}
            }
            other if line.len() < SECRET_MAX_BYTES => line.push(other),
            _ => return None,
        }
    }
    let text = std::str::from_utf8(&line).ok()?;
    Some(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(typed: &[u8]) -> Option<String> {
        read_line(&mut &*typed).map(|line| line.to_string())
    }

    #[test]
    fn a_line_can_be_mended_and_broken_off() {
        assert_eq!(line(b"abc\n").as_deref(), Some("abc"));
        assert_eq!(line(b"abx\x7fc\r").as_deref(), Some("abc"));
        assert_eq!(
            line("a\u{fc}\u{20ac}\x7f\x7fb\n".as_bytes()).as_deref(),
            Some("ab")
        );
        assert_eq!(line(b"wrong\x15right\n").as_deref(), Some("right"));
        assert_eq!(line(b"\x7f\x7fa\n").as_deref(), Some("a"));
        for broken in [b"abc\x03".as_slice(), b"\x04", b"", b"abc", b"\xff\n"] {
            assert_eq!(line(broken), None, "{broken:?}");
        }
        assert_eq!(line(&vec![b'a'; SECRET_MAX_BYTES + 1]), None);
    }

    #[test]
    fn texts_are_told_apart() {
        let kinds = |text: &str| -> Option<Vec<&str>> {
            let brought = classify(&Zeroizing::new(text.to_owned())).ok()?;
            Some(
                brought
                    .iter()
                    .map(|brought| match brought {
                        Brought::Passphrase(_) => "passphrase",
                        Brought::Share(_) => "share",
                        Brought::KeyFile(_) => "key file",
                        Brought::Pin(_) => "pin",
                    })
                    .collect(),
            )
        };
        assert_eq!(kinds("correct horse\n"), Some(vec!["passphrase"]));
        assert_eq!(kinds("srs1-AAAAA\n\nSRS1-BBBBB\n"), Some(vec!["share"; 2]));
        assert_eq!(
            kinds("# strongroom key file 1\nab\n"),
            Some(vec!["key file"])
        );
        for nothing in ["", "\n \n", "one\ntwo\n", "SRS1-A\nword\n"] {
            assert_eq!(kinds(nothing), None, "{nothing:?}");
        }
    }
}
