//! How far long work is, on standard error: one line that is drawn over on a terminal, a line now
//! and then for a log.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Time between two lines where they stay.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Time between two drawings where they do not.
const DRAW_EVERY: Duration = Duration::from_millis(100);
const CELLS: u64 = 20;

/// A bar for one command.
pub(crate) struct Bar {
    command: &'static str,
    is_terminal: bool,
    began: Instant,
    shown: Option<Instant>,
    is_drawn: bool,
}

impl Bar {
    /// A bar that shows nothing yet.
    pub(crate) fn new(command: &'static str) -> Self {
        Self {
            command,
            is_terminal: std::io::stderr().is_terminal(),
            began: Instant::now(),
            shown: None,
            is_drawn: false,
        }
    }

    /// Shows `done` of `total`, unless something was shown a moment ago.
    pub(crate) fn show(&mut self, what: &str, done: u64, total: u64) {
        let every = if self.is_terminal {
            DRAW_EVERY
        } else {
            LINE_EVERY
        };
        let since = self.shown.unwrap_or(self.began);
        if since.elapsed() < every {
            return;
        }
        self.shown = Some(Instant::now());
        let share = |of: u64| {
            let scaled = u128::from(done.min(total)) * u128::from(of);
            u64::try_from(scaled / u128::from(total.max(1))).unwrap_or(of)
        };
        let percent = share(100);
        if self.is_terminal {
            let full = usize::try_from(share(CELLS)).unwrap_or_default();
            let empty = usize::try_from(CELLS)
                .unwrap_or_default()
                .saturating_sub(full);
            let (full, empty) = ("#".repeat(full), ".".repeat(empty));
            // Back to the start of the line, and away with the rest of the last one.
            write(&format!("\r[{full}{empty}] {percent:>3} %  {what}\x1b[K"));
            self.is_drawn = true;
        } else {
            write(&format!("{}: {percent} %, {what}\n", self.command));
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            write("\r\x1b[K");
        }
    }
}

fn write(text: &str) {
    // There is nobody left to tell if that fails.
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
