//! What the process does to itself so that its memory and its files stay its own.

use std::panic;

use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask,
};

use crate::failure::{Exit, Failure};

/// No core dump, no debugger of the same user, no file that others can read.
///
/// # Errors
///
/// When the kernel refuses: keys could then end up in a core file, so the program does not go on.
pub(crate) fn harden() -> Result<(), Failure> {
    umask(Mode::from_raw_mode(0o077));
    let refused = |what: &str| {
        Failure::new(
            Exit::Environment,
            format!("the kernel refuses {what}"),
            "check the sandbox that starts the server",
        )
    };
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )
    .map_err(|_| refused("to switch core dumps off"))?;
    // As many open files as the administrator allows: connections must not starve the stores.
    let files = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: files.maximum,
        maximum: files.maximum,
    };
    // What there is already is enough to start with; the bound on connections follows from it.
    let _ = setrlimit(Resource::Nofile, raised);
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|_| refused("to make the process undumpable"))
}

/// How many connections the limit of open files leaves room for, beside journal, index and blobs.
pub(crate) fn connections_max(wanted: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    wanted.min(files.saturating_sub(FILES_KEPT).max(CONNECTIONS_MIN))
}

/// Open files that connections may not take.
const FILES_KEPT: usize = 512;
/// Connections that are always allowed.
const CONNECTIONS_MIN: usize = 64;

/// Reports a panic by its place only: the message may hold what a request brought.
pub(crate) fn install_panic_hook() {
    panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map_or_else(|| "unknown".to_owned(), ToString::to_string);
        tracing::error!(%place, "panic");
        metrics::counter!("strongroom_panics_total").increment(1);
    }));
}
