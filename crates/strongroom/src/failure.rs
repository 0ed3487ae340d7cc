//! How the program ends when it cannot go on: a sentence, what to do, and an exit code.

use std::fmt;
use std::process::ExitCode;

/// The exit codes, as `--help` and `docs/operations.md` document them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Exit {
    /// Anything that has no code of its own.
    General,
    /// Wrong flags, configuration or combination of them.
    Usage,
    /// The seal of the key ring is missing, unreadable or not the right one.
    Seal,
    /// The key ring is damaged or missing.
    Ring,
    /// The store is damaged, locked, or of a newer format.
    Store,
    /// The machine: permissions, disk space, ports, clock.
    Environment,
    /// `explain` says no.
    Denied,
    /// `explain` says that it depends.
    Depends,
    /// `verify` found damage.
    Damage,
    /// `verify` found files that are none of the store's, and no damage.
    Foreign,
    /// `kms impact --fail-if-used`: something depends on the key.
    InUse,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::General => 1,
            Self::Usage => 2,
            Self::Seal => 3,
            Self::Ring => 4,
            Self::Store => 5,
            Self::Environment => 6,
            Self::Denied => 10,
            Self::Depends => 11,
            Self::Damage => 12,
            Self::Foreign => 13,
            Self::InUse => 14,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why the program stops, and what its user can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What is wrong. Never holds a secret.
    pub(crate) what: String,
    /// What to do; empty if there is nothing to say.
    pub(crate) remedy: String,
}

impl Failure {
    /// A failure with a remedy.
    pub(crate) fn new(exit: Exit, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// A request over the admin socket that cannot be understood.
    pub(crate) fn malformed() -> Self {
        Self::new(
            Exit::General,
            "the request is malformed",
            "is the command of the server's version?",
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if self.remedy.is_empty() {
            return Ok(());
        }
        write!(f, "\n  what to do: {}", self.remedy)
    }
}

impl std::error::Error for Failure {}
