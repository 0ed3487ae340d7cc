//! The one question about DER that the library below leaves to its callers.

/// Whether `bytes` are exactly one DER SEQUENCE, with nothing behind it.
///
/// The library reads a key from the front and ignores what follows. What follows would be stored,
/// and would make two materials of one key.
pub(crate) fn is_one_sequence(bytes: &[u8]) -> bool {
    let Some((&[tag, length], rest)) = bytes.split_first_chunk::<2>() else {
        return false;
    };
    // Short form up to 127, else that many bytes of length, big-endian (X.690, 8.1.3).
    let body = match length {
        0..=0x7f => return tag == 0x30 && rest.len() == usize::from(length),
        0x81..=0x84 => rest.split_at_checked(usize::from(length & 0x7f)),
        _ => None,
    };
    tag == 0x30
        && body.is_some_and(|(length, body)| {
            length
                .iter()
                .fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte))
                == body.len()
        })
}

#[cfg(test)]
mod tests {
    use super::is_one_sequence;

    #[test]
    fn one_sequence_and_nothing_else() {
        assert!(is_one_sequence(&[0x30, 0]));
        assert!(is_one_sequence(&[0x30, 2, 5, 0]));
        let mut long = vec![0x30, 0x82, 0x01, 0x00];
        long.extend([0; 256]);
        assert!(is_one_sequence(&long));
        long.push(0);
        assert!(!is_one_sequence(&long));
        for bad in [
            &[][..],
            &[0x30],
            &[0x31, 0],
            &[0x30, 1],
            &[0x30, 0, 0],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x82, 1],
            &[0x30, 0x85, 0, 0, 0, 0, 0],
        ] {
            assert!(!is_one_sequence(bad), "{bad:?}");
        }
    }
}
