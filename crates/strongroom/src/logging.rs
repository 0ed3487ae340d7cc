//! The log: text for people or JSON for machines, to standard error or a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{LogFormat, Settings};
use crate::failure::{Exit, Failure};

/// A log file that can be opened again under its name, after what rotates logs has renamed it.
pub(crate) struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl LogFile {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = Mutex::new(open(&path)?);
        Ok(Self { path, file })
    }

    /// Goes on in the file that has the name now, made if there is none.
    ///
    /// # Errors
    ///
    /// The operating system's; the log then goes on where it was.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let file = open(&self.path)?;
        *self.file.lock() = file;
        Ok(())
    }
}

/// One event is one call of `write_all`, so that none is torn between two files.
impl Write for &LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.lock().write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.lock().write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.lock().flush()
    }
}

fn open(path: &std::path::Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// Starts logging; gives the file that it goes to, if it does.
///
/// # Errors
///
/// [`Exit::Environment`] when the file cannot be opened.
pub(crate) fn start(settings: &Settings) -> Result<Option<Arc<LogFile>>, Failure> {
    let file = match &settings.log {
        None => None,
        Some(path) => Some(Arc::new(LogFile::open(path.clone()).map_err(|error| {
            Failure::new(
                Exit::Environment,
                format!("the log file {} cannot be opened: {error}", path.display()),
                "choose another with --log",
            )
        })?)),
    };
    let writer = match &file {
        None => BoxMakeWriter::new(io::stderr),
        Some(file) => BoxMakeWriter::new(Arc::clone(file)),
    };
    // HTTP and TLS libraries print request heads and keys at their finest levels: they stay at info
    // whatever is asked of us.
    let level = settings.log_level.word();
    let directives = format!(
        "info,strongroom={level},{}",
        OUR_CRATES.map(|name| format!("{name}={level}")).join(",")
    );
    let directives = match level {
        "error" | "warn" => level.to_owned(),
        _ => directives,
    };
    let filter = EnvFilter::new(directives);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(false);
    let started = match settings.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| {
        Failure::new(
            Exit::General,
            format!("the log cannot be started: {error}"),
            "",
        )
    })?;
    Ok(file)
}

const OUR_CRATES: [&str; 6] = [
    "strongroom_api",
    "strongroom_crypto",
    "strongroom_policy",
    "strongroom_s3",
    "strongroom_sse",
    "strongroom_store",
];

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_reopened_log_goes_on_under_its_name_and_a_failed_reopening_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (path, rotated) = (dir.path().join("log"), dir.path().join("log.1"));
        let log = LogFile::open(path.clone()).unwrap();
        (&log).write_all(b"one\n").unwrap();
        fs::rename(&path, &rotated).unwrap();
        (&log).write_all(b"two\n").unwrap();
        log.reopen().unwrap();
        (&log).write_all(b"three\n").unwrap();
        assert_eq!(fs::read(&rotated).unwrap(), b"one\ntwo\n");
        assert_eq!(fs::read(&path).unwrap(), b"three\n");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(log.reopen().is_err());
        (&log).write_all(b"four\n").unwrap();
    }
}
