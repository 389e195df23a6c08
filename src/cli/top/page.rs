//! The state of the page, and what a key does to it.

use std::collections::VecDeque;

use jiff::Timestamp;
use ratatui::crossterm::event::KeyCode;

use crate::engine::RunOutcome;
use crate::web::api::{JobView, LiveStatus};

/// So many of the last lines of the log are kept.
pub(super) const LOG_LINES: usize = 100;

/// A page of the list, for the keys that move by one.
const PAGE: usize = 10;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) status: Option<LiveStatus>,
    pub(super) jobs: Vec<JobView>,
    pub(super) log: VecDeque<String>,
    pub(super) rates: Rates,
    /// When the counters were read last, with them.
    counted: Option<(Timestamp, u64, u64)>,
    /// Why the answers are not fresh.
    pub(super) trouble: Option<String>,
    /// What became of the last order.
    pub(super) said: Option<String>,
    /// The place of the selected job among those that are shown.
    pub(super) selected: usize,
    pub(super) filter: String,
    pub(super) failed_only: bool,
    pub(super) mode: Mode,
}

/// Where the keys go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    List,
    /// The filter is typed.
    Filter,
    /// A job is to be paused, or to go on: really?
    Confirm { job: String, pause: bool },
    /// A run is told; the first line that is shown.
    Detail { lines: Vec<String>, from: usize },
}

/// What goes on in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) partials: f64,
    pub(super) failures: f64,
}

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    Leave,
    /// Tell the latest run of this job.
    Show(String),
    Pause(String),
    Resume(String),
}

impl Page {
    /// The daemon has answered.
    pub(super) fn status(&mut self, status: LiveStatus, now: Timestamp) {
        let (ended, failed) = (status.partials_ended, status.partials_failed);
        if let Some((then, ended_then, failed_then)) = self.counted {
            let seconds = now.duration_since(then).as_secs_f64();
            // A daemon that was started anew counts from zero.
            let rate = |now: u64, then: u64| if seconds > 0.0 { whole(now.saturating_sub(then)) / seconds } else { 0.0 };
            self.rates = Rates { partials: rate(ended, ended_then), failures: rate(failed, failed_then) };
        }
        self.counted = Some((now, ended, failed));
        self.status = Some(status);
        self.trouble = None;
    }

    pub(super) fn trouble(&mut self, reason: String) {
        self.trouble = Some(reason);
        self.rates = Rates::default();
    }

    pub(super) fn say(&mut self, text: String) {
        self.said = Some(text);
    }

    pub(super) fn detail(&mut self, lines: Vec<String>) {
        self.mode = Mode::Detail { lines, from: 0 };
    }

    /// The log has new lines.
    pub(super) fn lines(&mut self, lines: Vec<String>) {
        self.log.extend(lines);
        let surplus = self.log.len().saturating_sub(LOG_LINES);
        self.log.drain(..surplus);
    }

    /// The jobs that are shown.
    pub(super) fn shown(&self) -> Vec<&JobView> {
        let failed = |job: &JobView| {
            let last = job.last_run.as_ref().and_then(|run| run.outcome);
            last.is_some_and(|outcome| outcome != RunOutcome::Succeeded)
        };
        self.jobs.iter().filter(|job| job.name.contains(&self.filter) && (!self.failed_only || failed(job))).collect()
    }

    /// What the key does.
    pub(super) fn press(&mut self, key: KeyCode) -> Action {
        self.said = None;
        match std::mem::take(&mut self.mode) {
            Mode::List => self.press_in_list(key),
            Mode::Filter => self.press_in_filter(key),
            Mode::Confirm { job, pause } => match key {
                KeyCode::Char('y') if pause => Action::Pause(job),
                KeyCode::Char('y') => Action::Resume(job),
                _ => Action::Nothing,
            },
            Mode::Detail { lines, from } => {
                let last = lines.len().saturating_sub(1);
                let from = match key {
                    KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q') => return Action::Nothing,
                    key => moved(from, last, key),
                };
                self.mode = Mode::Detail { lines, from };
                Action::Nothing
            }
        }
    }

    fn press_in_list(&mut self, key: KeyCode) -> Action {
        let shown = self.shown();
        let selected = shown.get(self.selected).map(|job| (job.name.clone(), job.paused));
        let last = shown.len().saturating_sub(1);
        match (key, selected) {
            (KeyCode::Char('q'), _) => return Action::Leave,
            (KeyCode::Esc, _) => (self.filter, self.failed_only) = (String::new(), false),
            (KeyCode::Char('/'), _) => self.mode = Mode::Filter,
            (KeyCode::Char('f'), _) => (self.failed_only, self.selected) = (!self.failed_only, 0),
            (KeyCode::Enter, Some((job, _))) => return Action::Show(job),
            (KeyCode::Char('p'), Some((job, paused))) => self.mode = Mode::Confirm { job, pause: !paused },
            (key, _) => self.selected = moved(self.selected, last, key),
        }
        Action::Nothing
    }

    fn press_in_filter(&mut self, key: KeyCode) -> Action {
        match key {
            KeyCode::Enter => return Action::Nothing,
            KeyCode::Esc => {
                self.filter.clear();
                return Action::Nothing;
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(char) => self.filter.push(char),
            _ => {}
        }
        self.selected = 0;
        self.mode = Mode::Filter;
        Action::Nothing
    }
}

/// Where a key moves to from `at`, up to `last`.
fn moved(at: usize, last: usize, key: KeyCode) -> usize {
    let to = match key {
        KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => at + 1,
        KeyCode::PageUp => at.saturating_sub(PAGE),
        KeyCode::PageDown => at + PAGE,
        KeyCode::Home => 0,
        KeyCode::End => last,
        _ => at,
    };
    to.min(last)
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown with one digit")]
fn whole(count: u64) -> f64 {
    count as f64
}
