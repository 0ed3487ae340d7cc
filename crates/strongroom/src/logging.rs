//! The log: text for people or JSON for machines, to standard error or a file.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{LogFormat, Settings};
use crate::failure::{Exit, Failure};

/// Starts logging.
///
/// # Errors
///
/// [`Exit::Environment`] when the file cannot be opened.
pub(crate) fn start(settings: &Settings) -> Result<(), Failure> {
    let writer = match &settings.log {
        None => BoxMakeWriter::new(io::stderr),
        Some(path) => {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path);
            let file = file.map_err(|error| {
                Failure::new(
                    Exit::Environment,
                    format!("the log file {} cannot be opened: {error}", path.display()),
                    "choose another with --log",
                )
            })?;
            BoxMakeWriter::new(Mutex::new(file))
        }
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
    })
}

const OUR_CRATES: [&str; 6] = [
    "strongroom_api",
    "strongroom_crypto",
    "strongroom_policy",
    "strongroom_s3",
    "strongroom_sse",
    "strongroom_store",
];
