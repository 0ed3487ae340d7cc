//! What stands behind the stored stream in a blob file (`FORMAT.md`, 7).

use strongroom_crypto::{Footer, parse_footer};

/// Stands for a table where the encryption record of a footer is sealed as a row.
pub const FOOTER_TABLE: u8 = 0xff;
/// What a footer ends with.
pub const FOOTER_END: &[u8; 8] = b"SRBFOOT1";

/// The last footer that ends in `tail`: behind it there may be zeros, or one that was cut short.
pub fn last_footer(tail: &[u8]) -> Option<Footer> {
    let mut end = tail.len();
    loop {
        let at = tail
            .get(..end)?
            .windows(FOOTER_END.len())
            .rposition(|window| window == FOOTER_END)?;
        end = at + FOOTER_END.len();
        if let Ok((footer, _)) = parse_footer(tail.get(..end)?) {
            return Some(footer);
        }
        end -= 1;
    }
}
