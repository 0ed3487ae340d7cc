//! How far a job is: counts, and the time that is left at the pace of this run.

use std::time::{Duration, Instant};

use crate::admin::ReEncryptedPage;
use crate::progress::StatusLine;

/// Cells of the bar.
const BAR_CELLS: u64 = 20;
/// Columns of a terminal that does not say.
const COLUMNS: usize = 80;

/// What was shown, and when.
pub(super) struct Progress {
    line: StatusLine,
    total: u64,
    began: Instant,
    /// How many had been looked at when this run began.
    before: Option<u64>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            line: StatusLine::new(None),
            total: 0,
            began: Instant::now(),
            before: None,
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
                self.line.say(&format!(
                    "reencrypt: going on behind {before} versions that were looked at before"
                ));
            }
        }
        if !self.line.is_due(page.done) {
            return;
        }
        // Objects that were written since the count.
        self.total = self.total.max(page.looked_at);
        let counts = format!(
            "{} of {} versions, {} updated, {} so already, {} skipped",
            page.looked_at, self.total, page.updated, page.already, page.skipped
        );
        if self.line.is_terminal() {
            let share = |of: u64| ratio(page.looked_at, self.total, of, page.done);
            let left = self
                .left(page)
                .map_or_else(String::new, |left| format!(", {} left", duration(left)));
            let text = format!(
                "{} {:>3} % {counts}{left}",
                bar(share(BAR_CELLS)),
                share(100)
            );
            // A line that wraps cannot be drawn over.
            let text: String = text.chars().take(columns().saturating_sub(1)).collect();
            self.line.draw(&text);
        } else {
            self.line.say(&format!("reencrypt: {counts}"));
        }
    }

    /// Leaves the line that was drawn over.
    pub(super) fn end(&mut self) {
        self.line.leave();
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
}

/// How wide the terminal is.
fn columns() -> usize {
    let columns =
        rustix::termios::tcgetwinsize(std::io::stderr()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { COLUMNS } else { columns }
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
