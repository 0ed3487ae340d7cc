//! Patterns with `*` and `?`, as actions, resources and `Like` operators have them.

/// Whether `text` as a whole matches `pattern`: `*` is any number of characters, `?` one.
///
/// Time is at most the product of the lengths, whatever the pattern: only the last `*` is ever
/// tried again.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut read) = (0_usize, 0_usize);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(letter) = text.get(read) {
        match pattern.get(at) {
            Some('*') => {
                retry = Some((at + 1, read));
                at += 1;
                continue;
            }
            Some('?') => {
                at += 1;
                read += 1;
                continue;
            }
            Some(expected) if expected == letter => {
                at += 1;
                read += 1;
                continue;
            }
            Some(_) | None => {}
        }
        let Some((behind_star, from)) = retry else {
            return false;
        };
        retry = Some((behind_star, from + 1));
        (at, read) = (behind_star, from + 1);
    }
    pattern.iter().skip(at).all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_span_anything_and_question_marks_one_letter() {
        for (pattern, text, expected) in [
            ("kms:*", "kms:putkeypolicy", true),
            ("kms:put*policy", "kms:putkeypolicy", true),
            ("kms:p?tkeypolicy", "kms:putkeypolicy", true),
            ("kms:p?tkeypolicy", "kms:ptkeypolicy", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("**a**", "bab", true),
            ("?", "\u{e9}", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
