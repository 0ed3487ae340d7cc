//! Text that a POSIX shell takes back as it was.

/// `value` as one word, in single quotes, whatever bytes it holds.
pub(crate) fn quote(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+,=".contains(&byte);
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// `export NAME=value`, safe for `eval`.
pub(crate) fn export(name: &str, value: &str) -> String {
    format!("export {name}={}", quote(value))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_back_every_value() {
        for value in [
            "", "plain/+=", "a b", "it's", "$(id)", "`id`", "\"", "\\", "a\nb", "*", "!x", "~",
            "-n", "a;b&c|d",
        ] {
            let script = format!("{}; printf %s \"$V\"", export("V", value));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert!(output.status.success());
            assert_eq!(String::from_utf8(output.stdout).unwrap(), value);
        }
    }
}
