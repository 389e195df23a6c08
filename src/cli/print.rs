//! The one place that prints: the answer on stdout, everything else on stderr, nothing from outside unescaped.

use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use comfy_table::presets;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};
use serde::Serialize;

use super::escape::{escape, escape_json};
use crate::engine::RunOutcome;

/// Columns of a table are so far apart.
const GAP: u16 = 2;

/// The least width a table is fitted to.
const MIN_WIDTH: u16 = 40;

/// Where a command prints.
pub struct Screen<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    look: Look,
}

/// How output looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    pub colour: bool,
    /// The terminal's width in columns; `None` where there is no terminal, and no line is cut.
    pub width: Option<u16>,
}

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Doubtful,
    Strong,
    Faint,
}

/// The text of a table's cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    text: String,
    tone: Option<Tone>,
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self { text, tone: None }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Tone {
    pub(super) fn of(outcome: Option<RunOutcome>) -> Self {
        match outcome {
            Some(RunOutcome::Succeeded) => Self::Good,
            Some(RunOutcome::Failed | RunOutcome::TimedOut) => Self::Bad,
            Some(RunOutcome::PartlyFailed | RunOutcome::Cancelled | RunOutcome::Interrupted) => Self::Doubtful,
            None => Self::Strong,
        }
    }

    pub(super) fn text(self, text: impl Into<String>) -> Text {
        Text { text: text.into(), tone: Some(self) }
    }
}

/// What a run's outcome is called; without one it has not ended.
pub(super) fn outcome_name(outcome: Option<RunOutcome>) -> &'static str {
    outcome.map_or("live", RunOutcome::name)
}

impl Look {
    /// As the user asked, `NO_COLOR` and the terminal allow.
    pub fn of_stdout(choice: ColorChoice) -> Self {
        let stdout = io::stdout();
        let colour = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never,
        };
        let width = if stdout.is_terminal() { Table::new().width().map(|width| width.max(MIN_WIDTH)) } else { None };
        Self { colour, width }
    }
}

impl<'a> Screen<'a> {
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write, look: Look) -> Self {
        Self { out, err, look }
    }

    /// A line of the answer. The caller has escaped what came from outside.
    pub(super) fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.out, "{}", text.as_ref().trim_end())
    }

    /// Where a command writes that formats its answer, and its complaints, itself.
    pub(super) fn both(&mut self) -> (&mut dyn Write, &mut dyn Write) {
        (self.out, self.err)
    }

    pub(super) fn has_colour(&self) -> bool {
        self.look.colour
    }

    /// The answer as indented JSON.
    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        writeln!(self.out, "{}", escape_json(&text))
    }

    /// A line of JSON as it came.
    pub(super) fn json_line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{}", escape_json(line))
    }

    /// A table under a faint heading, fitted to the terminal: where it is too narrow, the columns in `spare` go, the first of
    /// them first, and then lines are wrapped.
    pub(super) fn table(&mut self, heading: &[&str], mut rows: Vec<Vec<Text>>, spare: &[&str]) -> io::Result<()> {
        let mut heading = heading.to_vec();
        for name in spare {
            if self.look.width.is_some_and(|width| natural_width(&heading, &rows) > usize::from(width))
                && let Some(at) = heading.iter().position(|column| column == name)
            {
                heading.remove(at);
                for row in &mut rows {
                    row.remove(at);
                }
            }
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).force_no_tty();
        if self.look.colour {
            table.enforce_styling();
        }
        table.set_header(heading.iter().map(|name| cell(Tone::Faint.text(*name))));
        table.add_rows(rows.into_iter().map(|row| row.into_iter().map(cell)));
        match self.look.width {
            Some(width) => table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        let lines: Vec<String> = table.lines().collect();
        lines.iter().try_for_each(|line| self.line(line))
    }

    /// A line that is not the answer: a hint, a warning.
    pub(super) fn note(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.err, "{}", text.as_ref().trim_end())
    }

    /// The error that ends a command, and what to do about it.
    pub(super) fn error(&mut self, message: &str, help: Option<&str>) -> io::Result<()> {
        let mark = self.paint(Tone::Bad, "error:");
        self.note(format!("{mark} {}", escape(message)))?;
        help.map_or(Ok(()), |help| self.note(format!("  help: {}", escape(help))))
    }

    /// Hands everything on to whoever reads it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The text in the colour of its meaning, where there are colours.
    pub(super) fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.look.colour {
            return text.to_owned();
        }
        let style = match tone {
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Doubtful => AnsiColor::Yellow.on_default(),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dimmed(),
        };
        format!("{style}{text}{style:#}")
    }

    /// A run's outcome; without one it has not ended.
    pub(super) fn outcome(&self, outcome: Option<RunOutcome>) -> String {
        self.paint(Tone::of(outcome), outcome_name(outcome))
    }
}

/// How wide the table is when no line is wrapped.
fn natural_width(heading: &[&str], rows: &[Vec<Text>]) -> usize {
    let mut table = Table::new();
    table.set_header(heading).add_rows(rows.iter().map(|row| row.iter().map(|text| text.text.as_str())));
    table.column_max_content_widths().iter().map(|width| usize::from(*width) + usize::from(GAP)).sum()
}

/// The table measures its text itself, so that it has to know of colours.
fn cell(Text { text, tone }: Text) -> Cell {
    let cell = Cell::new(text);
    match tone {
        None => cell,
        Some(Tone::Good) => cell.fg(Color::Green),
        Some(Tone::Bad) => cell.fg(Color::Red).add_attribute(Attribute::Bold),
        Some(Tone::Doubtful) => cell.fg(Color::Yellow),
        Some(Tone::Strong) => cell.add_attribute(Attribute::Bold),
        Some(Tone::Faint) => cell.add_attribute(Attribute::Dim),
    }
}

impl std::fmt::Debug for Screen<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("look", &self.look).finish_non_exhaustive()
    }
}
