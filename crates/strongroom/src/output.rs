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
        .map_err(|error| unwritable(&error))
}

/// Many lines to standard output, for who may stop to read: then the rest is not needed.
pub(crate) struct Lines(io::BufWriter<io::Stdout>);

impl Lines {
    /// Nothing printed yet.
    pub(crate) fn new() -> Self {
        Self(io::BufWriter::new(io::stdout()))
    }

    /// Prints a line; `false` when nobody reads any more.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written for another reason.
    pub(crate) fn put(&mut self, line: &str) -> Result<bool, Failure> {
        Self::written(writeln!(self.0, "{line}"))
    }

    /// Shows what was printed; `false` when nobody reads any more.
    ///
    /// # Errors
    ///
    /// As [`Lines::put`].
    pub(crate) fn flush(&mut self) -> Result<bool, Failure> {
        Self::written(self.0.flush())
    }

    fn written(outcome: io::Result<()>) -> Result<bool, Failure> {
        match outcome {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(unwritable(&error)),
        }
    }
}

fn unwritable(error: &io::Error) -> Failure {
    Failure::new(
        Exit::General,
        format!("standard output cannot be written: {error}"),
        "",
    )
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
