//! The progress of a run in the foreground: a bar where a person looks, else lines.

use std::fmt;
use std::io::Write;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::escape::escape;
use crate::cli::human;
use crate::daemon::Progress;
use crate::engine::{Outcome, PartialRecord, RunInfo, RunSummary};

/// Rate, failures and the time left.
const TEMPLATE: &str = "{bar:30} {pos}/{len}  {per_sec}  {msg}{eta} left";

/// Runs with more partials than this say on lines only what failed, and each tenth of the way.
const MANY_PARTIALS: u32 = 50;

/// Shows how a run goes on.
pub(super) struct Watch {
    shown: Shown,
    partials: u32,
    ended: u32,
    failed: u32,
}

enum Shown {
    Bar(ProgressBar),
    Lines(Box<dyn Write + Send>),
}

impl Watch {
    /// A bar on stderr, which has to be a terminal.
    pub(super) fn bar() -> Self {
        Self::new(Shown::Bar(ProgressBar::no_length()))
    }

    pub(super) fn lines(to: impl Write + Send + 'static) -> Self {
        Self::new(Shown::Lines(Box::new(to)))
    }

    fn new(shown: Shown) -> Self {
        Self { shown, partials: 0, ended: 0, failed: 0 }
    }

    fn say(&mut self, line: &str) {
        match &mut self.shown {
            Shown::Bar(bar) => bar.println(line),
            Shown::Lines(out) => {
                // The run goes on when nobody reads about it.
                let _ = writeln!(out, "{line}");
            }
        }
    }

    /// Whether a success is worth a line.
    fn is_worth_a_line(&self) -> bool {
        let tenth = (self.partials / 10).max(1);
        match self.shown {
            Shown::Bar(_) => false,
            Shown::Lines(_) => self.partials <= MANY_PARTIALS || self.ended.is_multiple_of(tenth),
        }
    }
}

impl Progress for Watch {
    fn planned(&mut self, run: &RunInfo) {
        self.partials = run.targets.partials();
        let partials = human::count(self.partials, "partial");
        self.say(&format!("{}: {partials}", escape(&run.id.0)));
        if let Shown::Bar(bar) = &self.shown {
            let style = ProgressStyle::with_template(TEMPLATE).expect("the template is a constant that fits");
            bar.set_style(style.progress_chars("#>-"));
            bar.set_length(self.partials.into());
        }
    }

    fn partial_ended(&mut self, partial: &PartialRecord) {
        let succeeded = partial.outcome == Outcome::Succeeded;
        let retried = partial.retry.is_some();
        if !retried {
            self.ended += 1;
            self.failed += u32::from(!succeeded);
        }
        if !succeeded || self.is_worth_a_line() {
            let line = describe(partial, self.ended, self.partials);
            self.say(&line);
        }
        if let Shown::Bar(bar) = &self.shown {
            bar.set_position(self.ended.into());
            bar.set_message(if self.failed > 0 { format!("{} failed  ", self.failed) } else { String::new() });
        }
    }

    fn finished(&mut self, _: &RunSummary) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

/// `[3/40] eu failed in 1.2s (attempt 1): exit code 1; it is tried again`.
fn describe(partial: &PartialRecord, ended: u32, partials: u32) -> String {
    let name = partial.target.as_ref().map_or_else(|| format!("#{}", partial.index), |target| escape(&target.key).into_owned());
    let attempt = if partial.attempt > 1 || partial.retry.is_some() { format!(" (attempt {})", partial.attempt) } else { String::new() };
    let error = partial.error.as_deref().map(|error| format!(": {}", escape(error))).unwrap_or_default();
    let retry = if partial.retry.is_some() { "; it is tried again" } else { "" };
    let took = human::duration(partial.duration);
    format!("[{ended}/{partials}] {name} {} in {took}{attempt}{error}{retry}", partial.outcome)
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("ended", &self.ended).field("failed", &self.failed).finish_non_exhaustive()
    }
}
