//! How far long work is, on standard error: one line that is drawn over on a terminal, a line now
//! and then for a log.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Time between two lines where they stay.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Time between two drawings where they do not.
const DRAW_EVERY: Duration = Duration::from_millis(100);
const CELLS: u64 = 20;

/// The line that tells of it.
pub(crate) struct StatusLine {
    is_terminal: bool,
    shown: Option<Instant>,
    is_drawn: bool,
}

impl StatusLine {
    /// `shown` is when something was shown last, and may be pretended: what ends soon shows nothing.
    pub(crate) fn new(shown: Option<Instant>) -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            shown,
            is_drawn: false,
        }
    }

    /// Whether it is drawn over.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Whether something is to be shown now, because nothing was for a while, or `anyway`.
    pub(crate) fn is_due(&mut self, anyway: bool) -> bool {
        let every = if self.is_terminal {
            DRAW_EVERY
        } else {
            LINE_EVERY
        };
        let due = anyway || self.shown.is_none_or(|shown| shown.elapsed() >= every);
        if due {
            self.shown = Some(Instant::now());
        }
        due
    }

    /// Draws over what was drawn before. A text that wraps cannot be drawn over.
    pub(crate) fn draw(&mut self, text: &str) {
        // Back to the start of the line, and away with the rest of the last one.
        write(&format!("\r{text}\x1b[K"));
        self.is_drawn = true;
    }

    /// Writes a line that stays, below what was drawn.
    pub(crate) fn say(&mut self, text: &str) {
        self.leave();
        write(&format!("{text}\n"));
    }

    /// Leaves what was drawn.
    pub(crate) fn leave(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            write("\n");
        }
    }

    /// Takes away what was drawn.
    pub(crate) fn erase(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            write("\r\x1b[K");
        }
    }
}

/// A bar for one command.
pub(crate) struct Bar {
    command: &'static str,
    line: StatusLine,
}

impl Bar {
    /// A bar that shows nothing yet.
    pub(crate) fn new(command: &'static str) -> Self {
        Self {
            command,
            line: StatusLine::new(Some(Instant::now())),
        }
    }

    /// Shows `done` of `total`, unless something was shown a moment ago.
    pub(crate) fn show(&mut self, what: &str, done: u64, total: u64) {
        if !self.line.is_due(false) {
            return;
        }
        let share = |of: u64| {
            let scaled = u128::from(done.min(total)) * u128::from(of);
            u64::try_from(scaled / u128::from(total.max(1))).unwrap_or(of)
        };
        let percent = share(100);
        if self.line.is_terminal() {
            let full = usize::try_from(share(CELLS)).unwrap_or_default();
            let empty = usize::try_from(CELLS)
                .unwrap_or_default()
                .saturating_sub(full);
            let (full, empty) = ("#".repeat(full), ".".repeat(empty));
            self.line
                .draw(&format!("[{full}{empty}] {percent:>3} %  {what}"));
        } else {
            self.line
                .say(&format!("{}: {percent} %, {what}", self.command));
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&mut self) {
        self.line.erase();
    }

    /// Tells a person what a script sees by itself.
    pub(crate) fn remark(&mut self, text: &str) {
        if self.line.is_terminal() {
            self.line.say(text);
        }
    }
}

fn write(text: &str) {
    // There is nobody left to tell if that fails.
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
