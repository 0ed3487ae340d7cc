//! The two questions about DER that the library below leaves to its callers.

/// Whether `bytes` are exactly one DER SEQUENCE, with nothing behind it.
///
/// The library reads a key from the front and ignores what follows. What follows would be stored,
/// and would make two materials of one key.
pub(crate) fn is_one_sequence(bytes: &[u8]) -> bool {
    sequence_body(bytes).is_some()
}

/// Whether two `SubjectPublicKeyInfo` have the same AlgorithmIdentifier, byte for byte.
///
/// The library also takes a curve that is spelled out in parameters, if it seems to be one that has
/// a name; RFC 5480 (2.1.1) forbids that.
pub(crate) fn have_one_algorithm(spki: &[u8], other_spki: &[u8]) -> bool {
    let algorithm = |spki| first_element(sequence_body(spki)?);
    algorithm(spki).is_some_and(|found| Some(found) == algorithm(other_spki))
}

/// What is in the one SEQUENCE that `bytes` are.
fn sequence_body(bytes: &[u8]) -> Option<&[u8]> {
    let (&[tag, length], rest) = bytes.split_first_chunk::<2>()?;
    // Short form up to 127, else that many bytes of length, big-endian (X.690, 8.1.3).
    let (length, body) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (length, body) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let add = |sum: usize, byte: &u8| (sum << 8) | usize::from(*byte);
            (length.iter().fold(0, add), body)
        }
        _ => return None,
    };
    (tag == 0x30 && body.len() == length).then_some(body)
}

/// The first element, with its header, if it is shorter than 128 bytes.
fn first_element(body: &[u8]) -> Option<&[u8]> {
    let length = body.get(1).filter(|length| **length < 0x80)?;
    body.get(..usize::from(*length) + 2)
}

#[cfg(test)]
mod tests {
    use super::{have_one_algorithm, is_one_sequence};

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

    #[test]
    fn algorithms_are_compared_whole() {
        let spki = [0x30, 6, 0x30, 1, 7, 3, 1, 0];
        assert!(!have_one_algorithm(&spki, &[0x30, 4, 0x31, 1, 7, 9]));
        assert!(have_one_algorithm(&spki, &[0x30, 5, 0x30, 1, 7, 3, 9]));
        assert!(!have_one_algorithm(&spki, &[0x30, 5, 0x30, 1, 8, 3, 9]));
        assert!(!have_one_algorithm(&[0x30, 0], &[0x30, 0]));
        assert!(!have_one_algorithm(
            &[0x30, 2, 0x30, 1],
            &[0x30, 2, 0x30, 1]
        ));
    }
}
