//! The progress of a run in the foreground: a bar where a person looks, else lines.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::said::Said;
use crate::cli::escape::escape;
use crate::cli::human;
use crate::config::Target;
use crate::daemon::Progress;
use crate::engine::{Outcome, RunInfo, RunSummary};

/// Rate, failures and the time left.
const TEMPLATE: &str = "{bar:30} {pos}/{len}  {rate}  {msg}{prefix}{eta} left";

/// The bar is drawn anew so often, also while no partial ends.
const TICK: Duration = Duration::from_millis(500);

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

    /// Where the lines of the programs go.
    pub(super) fn said(&self) -> Said {
        match &self.shown {
            Shown::Bar(bar) => Said::Bar(bar.clone()),
            Shown::Lines(_) => Said::Stderr,
        }
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
            let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
                // What it is written to takes everything.
                let _ = write!(out, "{:.1}/s", state.per_sec());
            };
            bar.set_style(style.progress_chars("#>-").with_key("rate", rate));
            bar.enable_steady_tick(TICK);
            bar.set_length(self.partials.into());
        }
    }

    fn partial_ended(&mut self, index: u32, target: Option<&Target>, outcome: Outcome, attempt: u32, retry: bool, error: Option<&str>) {
        if !retry {
            self.ended += 1;
            self.failed += u32::from(outcome != Outcome::Succeeded);
        }
        if outcome != Outcome::Succeeded || self.is_worth_a_line() {
            let name = target.map_or_else(|| format!("#{index}"), |target| escape(&target.key).into_owned());
            let attempt = if attempt > 1 || retry { format!(" (attempt {attempt})") } else { String::new() };
            let error = error.map(|error| format!(": {}", escape(error))).unwrap_or_default();
            let retry = if retry { "; it is tried again" } else { "" };
            self.say(&format!("[{}/{}] {name} {outcome}{attempt}{error}{retry}", self.ended, self.partials));
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

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("ended", &self.ended).field("failed", &self.failed).finish_non_exhaustive()
    }
}
