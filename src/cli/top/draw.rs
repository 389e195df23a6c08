//! Puts the page on the screen.

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState};

use super::page::{Mode, Page};
use crate::cli::escape::escape;
use crate::cli::human;
use crate::cli::logs::LogLine;
use crate::cli::print::{Tone, outcome_name};
use crate::cli::table::{shorten_end, shorten_middle};
use crate::web::api::{JobView, LiveAttempt, LiveStatus};

/// So many attempts under way are shown at most.
const MAX_RUNNING: usize = 8;

/// How wide the targets of attempts under way are at most.
const TARGET_WIDTH: u16 = 20;

/// Columns of what an attempt says of itself, at least and at most.
const LEAST_SAID: usize = 11;
const MOST_SAID: usize = 30;

const KEYS: &str = "q leave  ↑↓ select  enter show  / filter  f failed only  p pause/resume";

/// Draws the whole page.
pub(super) fn draw(frame: &mut Frame<'_>, page: &Page, now: Timestamp, colour: bool) {
    let painter = Painter { colour };
    let running = running(page, now);
    let running_height = u16::try_from(running.len()).unwrap_or(0) + u16::from(!running.is_empty());
    let log_height = frame.area().height / 3;
    let rows = [
        Constraint::Length(2),
        Constraint::Min(4),
        Constraint::Length(running_height),
        Constraint::Length(log_height),
        Constraint::Length(1),
    ];
    let [head, body, under_way, log, foot] = Layout::vertical(rows).areas(frame.area());
    let width = usize::from(frame.area().width);
    let lines = painter.head(page, now).into_iter().map(|line| fit(line, width));
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), head);
    if let Mode::Detail { lines, from } = &page.mode {
        painter.detail(frame, lines, *from, body.union(under_way).union(log));
    } else {
        painter.jobs(frame, page, now, body);
        painter.running(frame, running, under_way);
        painter.log(frame, page, log);
    }
    frame.render_widget(Paragraph::new(fit(painter.foot(page), width)), foot);
}

/// The line with `…` at its end where it is wider than `width`.
fn fit(line: Line<'static>, width: usize) -> Line<'static> {
    let mut left = width;
    let mut spans = Vec::new();
    for span in line.spans {
        let (wide, room) = (span.width(), left);
        left = left.saturating_sub(wide);
        if wide <= room {
            spans.push(span);
        } else {
            spans.push(Span::styled(shorten_end(&span.content, room), span.style));
            break;
        }
    }
    spans.into()
}

/// An attempt under way, by its age.
struct Running {
    since: Timestamp,
    cells: [String; 4],
}

/// The attempts under way, the oldest first.
fn running(page: &Page, now: Timestamp) -> Vec<Running> {
    let runs = page.status.iter().flat_map(|status| &status.runs);
    let attempts = runs.flat_map(|run| run.oldest.iter().map(move |attempt| (run, attempt)));
    let mut running: Vec<Running> = attempts
        .map(|(run, attempt)| {
            let target = attempt.target.as_ref().map_or_else(|| "-".to_owned(), |target| escape(target).into_owned());
            let cells = [human::between(attempt.since, now), escape(&run.id.0).into_owned(), target, said(attempt)];
            Running { since: attempt.since, cells }
        })
        .collect();
    running.sort_by_key(|running| running.since);
    running.truncate(MAX_RUNNING);
    running
}

/// How far it is in its own words, or else only which attempt it is.
fn said(attempt: &LiveAttempt) -> String {
    match (&attempt.progress, attempt.attempt) {
        (None, number) => format!("attempt {number}"),
        (Some(progress), 1) => escape(progress).into_owned(),
        (Some(progress), number) => format!("{} (attempt {number})", escape(progress)),
    }
}

/// Gives tones their colours, where there are colours.
struct Painter {
    colour: bool,
}

impl Painter {
    fn style(&self, tone: Tone) -> Style {
        let style = Style::new();
        match tone {
            Tone::Strong => style.add_modifier(Modifier::BOLD),
            Tone::Faint => style.add_modifier(Modifier::DIM),
            _ if !self.colour => style,
            Tone::Good => style.fg(Color::Green),
            Tone::Bad => style.fg(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Doubtful => style.fg(Color::Yellow),
        }
    }

    fn span(&self, tone: Tone, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.style(tone))
    }

    fn head(&self, page: &Page, now: Timestamp) -> Vec<Line<'static>> {
        let Some(status) = &page.status else { return Vec::new() };
        let state = if status.draining { self.span(Tone::Doubtful, "draining") } else { self.span(Tone::Good, "running") };
        let next = status.next_fire.map_or_else(|| "no next fire".to_owned(), |at| format!("next fire {}", human::distance(at, now)));
        let jobs = human::count(status.jobs as u64, "job");
        let up = format!(", up {}; {jobs}, {next}", human::between(status.since, now));
        let first = Line::from(vec![format!("batchd {} ", escape(&status.version)).into(), state, up.into()]);
        vec![first, self.second(page, status)]
    }

    /// What is wrong, if anything is; else how fast the work goes.
    fn second(&self, page: &Page, status: &LiveStatus) -> Line<'static> {
        if let Some(trouble) = &page.trouble {
            return self.span(Tone::Bad, escape(trouble).into_owned()).into();
        }
        if let (false, Some(reason)) = (status.store.healthy, &status.store.reason) {
            return self.span(Tone::Bad, format!("the records cannot be written: {}", escape(reason))).into();
        }
        if let Some(problem) = status.reload_problems.first() {
            return self.span(Tone::Bad, format!("the last reload was refused: {}", escape(problem))).into();
        }
        if let Some(reason) = status.log.as_ref().and_then(|log| log.reason.as_ref()) {
            return self.span(Tone::Bad, escape(reason).into_owned()).into();
        }
        let runs = human::count(status.runs.len() as u64, "live run");
        let in_flight: u64 = status.runs.iter().map(|run| u64::from(run.in_flight)).sum();
        let failures = format!("{:.1} failures/s", page.rates.failures);
        let failures = if page.rates.failures > 0.0 { self.span(Tone::Bad, failures) } else { failures.into() };
        let partials = format!("{runs}, {} in flight; {:.1} partials/s, ", human::count(in_flight, "partial"), page.rates.partials);
        Line::from(vec![partials.into(), failures])
    }

    fn block(&self, title: &str) -> Block<'static> {
        Block::new().borders(Borders::TOP).border_style(self.style(Tone::Faint)).title(self.span(Tone::Strong, format!(" {title} ")))
    }

    fn jobs(&self, frame: &mut Frame<'_>, page: &Page, now: Timestamp, area: Rect) {
        let shown = page.shown();
        let mut title = format!("jobs {}", shown.len());
        if shown.len() < page.jobs.len() {
            title = format!("jobs {} of {}", shown.len(), page.jobs.len());
        }
        let wide = area.width >= 100;
        let name_width = usize::from(area.width).saturating_sub(if wide { 72 } else { 46 }).max(8);
        let rows = shown.iter().map(|job| self.row(job, name_width, wide, now));
        let mut widths = vec![
            Constraint::Length(u16::try_from(name_width).unwrap_or(8)),
            Constraint::Length(9),
            Constraint::Length(20),
            Constraint::Length(11),
        ];
        let mut heading = vec!["job", "due", "last run", "live"];
        if wide {
            widths.insert(1, Constraint::Length(24));
            heading.insert(1, "next fire");
        }
        let table = Table::new(rows, widths)
            .column_spacing(2)
            .header(Row::new(heading).style(self.style(Tone::Faint)))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
            .block(self.block(&title));
        let mut state = TableState::new().with_selected((!shown.is_empty()).then_some(page.selected.min(shown.len().saturating_sub(1))));
        frame.render_stateful_widget(table, area, &mut state);
    }

    fn row(&self, job: &JobView, name_width: usize, wide: bool, now: Timestamp) -> Row<'static> {
        let due = match job.next_fire {
            _ if !job.enabled => self.span(Tone::Faint, "disabled"),
            _ if job.paused => self.span(Tone::Doubtful, "paused"),
            Some(at) => human::distance(at, now).into(),
            None => "-".into(),
        };
        let last = job.last_run.as_ref().map_or_else(
            || "-".into(),
            |run| {
                let when = human::distance(run.ended.unwrap_or(run.fired), now);
                self.span(Tone::of(run.outcome), format!("{} {when}", outcome_name(run.outcome)))
            },
        );
        let live = match (job.running, job.waiting) {
            (0, 0) => "-".to_owned(),
            (running, 0) => running.to_string(),
            (running, waiting) => format!("{running}, {waiting} wait"),
        };
        let mut cells: Vec<Cell<'static>> =
            vec![shorten_middle(&escape(&job.name), name_width).into(), due.into(), last.into(), live.into()];
        if wide {
            let at = job.next_fire.map_or_else(|| "-".to_owned(), |at| human::local(at, &job.zone));
            cells.insert(1, at.into());
        }
        Row::new(cells)
    }

    fn running(&self, frame: &mut Frame<'_>, running: Vec<Running>, area: Rect) {
        if running.is_empty() {
            return;
        }
        let said = running.iter().map(|running| running.cells[3].chars().count()).max().unwrap_or(0).clamp(LEAST_SAID, MOST_SAID);
        let rows = running.into_iter().map(|Running { cells: [age, run, target, attempt], .. }| {
            let run = shorten_middle(&run, usize::from(area.width).saturating_sub(35 + said).max(16));
            let attempt = shorten_end(&attempt, said);
            Row::new([age, shorten_middle(&target, usize::from(TARGET_WIDTH)), run, attempt])
        });
        let widths = [
            Constraint::Length(8),
            Constraint::Length(TARGET_WIDTH),
            Constraint::Fill(1),
            Constraint::Length(u16::try_from(said).unwrap_or(11)),
        ];
        let table = Table::new(rows, widths).column_spacing(2).block(self.block("running longest"));
        frame.render_widget(table, area);
    }

    fn log(&self, frame: &mut Frame<'_>, page: &Page, area: Rect) {
        let room = usize::from(area.height.saturating_sub(1));
        let width = usize::from(area.width);
        let line = |line: &String| {
            // Its end says what happened.
            let text = shorten_middle(&escape(line), width);
            LogLine::read(line).tone().map_or_else(|| Line::from(text.clone()), |tone| self.span(tone, text.clone()).into())
        };
        let lines: Vec<Line<'static>> = page.log.iter().skip(page.log.len().saturating_sub(room)).map(line).collect();
        frame.render_widget(Paragraph::new(lines).block(self.block("log")), area);
    }

    fn detail(&self, frame: &mut Frame<'_>, lines: &[String], from: usize, area: Rect) {
        let width = usize::from(area.width);
        let shown: Vec<Line<'static>> = lines.iter().skip(from).map(|line| shorten_end(line, width).into()).collect();
        frame.render_widget(Paragraph::new(shown).block(self.block("latest run")), area);
    }

    fn foot(&self, page: &Page) -> Line<'static> {
        match (&page.mode, &page.said) {
            (Mode::Filter, _) => format!("/{}_", escape(&page.filter)).into(),
            (Mode::Confirm { job, pause }, _) => {
                let verb = if *pause { "pause" } else { "resume" };
                self.span(Tone::Doubtful, format!("{verb} {}? y for yes, any other key for no", escape(job))).into()
            }
            (Mode::Detail { .. }, _) => self.span(Tone::Faint, "esc back  ↑↓ scroll").into(),
            (Mode::List, Some(said)) => escape(said).into_owned().into(),
            (Mode::List, None) => {
                let filter = if page.filter.is_empty() { String::new() } else { format!("/{}  ", escape(&page.filter)) };
                let failed = if page.failed_only { "failed only  " } else { "" };
                Line::from(vec![self.span(Tone::Doubtful, format!("{filter}{failed}")), self.span(Tone::Faint, KEYS)])
            }
        }
    }
}
