//! The only place that prints.

use std::io::{self, IsTerminal as _, Write as _};

use crate::failure::{Exit, Failure};

/// Prints a line to standard output.
///
/// # Errors
///
/// When nobody reads it: a script that lost its answer must not go on.
pub(crate) fn say(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| {
            Failure::new(
                Exit::General,
                format!("standard output cannot be written: {error}"),
                "",
            )
        })
}

/// Prints a line to standard error; there is nobody left to tell if that fails.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Asks a person; `None` without one, or for an empty answer.
pub(crate) fn ask(question: &str) -> Option<String> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let mut err = io::stderr().lock();
    write!(err, "{question} ").and_then(|()| err.flush()).ok()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).ok()?;
    let answer = answer.trim();
    (!answer.is_empty()).then(|| answer.to_owned())
}
