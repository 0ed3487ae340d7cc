//! How far a job is, on standard error: one line that is drawn over on a terminal, a line now and
//! then for a log.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::admin::ReEncryptedPage;

/// Time between two lines where they stay.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Time between two drawings where they do not.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// Cells of the bar.
const BAR_CELLS: u64 = 20;
/// Columns of a terminal that does not say.
const COLUMNS: usize = 80;

/// What was shown, and when.
pub(super) struct Progress {
    is_terminal: bool,
    total: u64,
    began: Instant,
    /// How many had been looked at when this run began.
    before: Option<u64>,
    shown: Option<Instant>,
    is_drawn: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            total: 0,
            began: Instant::now(),
            before: None,
            shown: None,
            is_drawn: false,
        }
    }

    /// So many more are to be looked at.
    pub(super) fn add_to_total(&mut self, count: u64) {
        self.total = self.total.saturating_add(count);
        self.began = Instant::now();
    }

    /// Shows how far the job is, unless it just did.
    pub(super) fn show(&mut self, page: &ReEncryptedPage) {
        if self.before.is_none() {
            let before = page.looked_at.saturating_sub(page.looked_at_here);
            self.before = Some(before);
            if before > 0 {
                self.line(&format!(
                    "reencrypt: going on behind {before} versions that were looked at before"
                ));
            }
        }
        let every = if self.is_terminal {
            DRAW_EVERY
        } else {
            LINE_EVERY
        };
        let due = self.shown.is_none_or(|shown| shown.elapsed() >= every);
        if !due && !page.done {
            return;
        }
        self.shown = Some(Instant::now());
        // Objects that were written since the count.
        self.total = self.total.max(page.looked_at);
        let counts = format!(
            "{} of {} versions, {} updated, {} so already, {} skipped",
            page.looked_at, self.total, page.updated, page.already, page.skipped
        );
        if self.is_terminal {
            let share = |of: u64| ratio(page.looked_at, self.total, of, page.done);
            let left = self
                .left(page)
                .map_or_else(String::new, |left| format!(", {} left", duration(left)));
            let text = format!(
                "{} {:>3} % {counts}{left}",
                bar(share(BAR_CELLS)),
                share(100)
            );
            self.draw(&text);
        } else {
            self.line(&format!("reencrypt: {counts}"));
        }
    }

    /// Leaves the line that was drawn over.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            let _ = writeln!(std::io::stderr());
        }
    }

    /// How long the rest takes at the pace of this run.
    fn left(&self, page: &ReEncryptedPage) -> Option<Duration> {
        let done = page.looked_at.checked_sub(self.before?)?;
        let rest = self.total.checked_sub(page.looked_at)?;
        let millis = self.began.elapsed().as_millis();
        let left = millis
            .checked_mul(u128::from(rest))?
            .checked_div(u128::from(done))?;
        (rest > 0).then(|| Duration::from_millis(u64::try_from(left).unwrap_or(u64::MAX)))
    }

    fn draw(&mut self, text: &str) {
        let columns = rustix::termios::tcgetwinsize(std::io::stderr())
            .map_or(0, |size| usize::from(size.ws_col));
        let columns = if columns == 0 { COLUMNS } else { columns };
        // A line that wraps cannot be drawn over.
        let text: String = text.chars().take(columns.saturating_sub(1)).collect();
        let mut out = std::io::stderr().lock();
        let _ = write!(out, "\r{text}\x1b[K").and_then(|()| out.flush());
        self.is_drawn = true;
    }

    fn line(&mut self, text: &str) {
        self.end();
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

/// `part` of `whole` in parts of `of`; all of it only when it is done.
fn ratio(part: u64, whole: u64, of: u64, is_done: bool) -> u64 {
    if is_done {
        return of;
    }
    let share = part.saturating_mul(of).checked_div(whole).unwrap_or(0);
    share.min(of.saturating_sub(1))
}

fn bar(full: u64) -> String {
    let cell = |cell| if cell < full { '#' } else { '-' };
    format!("[{}]", (0..BAR_CELLS).map(cell).collect::<String>())
}

fn duration(of: Duration) -> String {
    let (seconds, minutes) = (of.as_secs() % 60, of.as_secs() / 60);
    match minutes {
        0 => format!("{seconds} s"),
        1..60 => format!("{minutes} min {seconds} s"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_full_only_at_the_end() {
        assert_eq!(ratio(0, 0, 100, false), 0);
        assert_eq!(ratio(1, 2, 100, false), 50);
        assert_eq!(ratio(2, 2, 100, false), 99);
        assert_eq!(ratio(0, 0, 100, true), 100);
        assert_eq!(bar(0), format!("[{}]", "-".repeat(20)));
        assert_eq!(bar(20), format!("[{}]", "#".repeat(20)));
    }

    #[test]
    fn durations_are_readable() {
        let shown = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!(shown(59), "59 s");
        assert_eq!(shown(61), "1 min 1 s");
        assert_eq!(shown(7_260), "2 h 1 min");
    }
}
