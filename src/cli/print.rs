//! The one place that prints: the answer on stdout, everything else on stderr, nothing from outside unescaped.

use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use rustix::termios::tcgetwinsize;
use serde::Serialize;

use super::escape::{escape, escape_json};
use super::table::{Table, Text};
use crate::engine::RunOutcome;

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
    /// The same for stderr.
    pub colour_errors: bool,
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
    /// As the user asked, `NO_COLOR` and the terminals allow.
    pub fn of_terminals(choice: ColorChoice) -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let colour = |automatic: anstream::ColorChoice| match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => automatic != anstream::ColorChoice::Never,
        };
        let size = if stdout.is_terminal() { tcgetwinsize(&stdout).ok() } else { None };
        let width = size.filter(|size| size.ws_col > 0).map(|size| size.ws_col.max(MIN_WIDTH));
        let (colour, colour_errors) = (colour(anstream::AutoStream::choice(&stdout)), colour(anstream::AutoStream::choice(&stderr)));
        Self { colour, colour_errors, width }
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

    pub(super) fn has_colour(&self) -> bool {
        self.look.colour
    }

    pub(super) fn has_colour_on_stderr(&self) -> bool {
        self.look.colour_errors
    }

    /// The width of the terminal that stdout is, if it is one.
    pub(super) fn width(&self) -> Option<u16> {
        self.look.width
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

    /// The answer as JSON on one line.
    pub(super) fn json_compact(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(value)?;
        self.json_line(&text)
    }

    /// A table under a faint heading, fitted to the terminal.
    pub(super) fn table(&mut self, table: &Table) -> io::Result<()> {
        let lines = table.lines(self.look.width, |tone, text| self.paint_if(tone, text));
        lines.iter().try_for_each(|line| self.line(line))
    }

    /// A line that is not the answer: a hint, a warning.
    pub(super) fn note(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        // On a terminal both are seen, in the order in which they were said.
        self.out.flush()?;
        writeln!(self.err, "{}", text.as_ref().trim_end())
    }

    /// The error that ends a command, and what to do about it.
    pub(super) fn error(&mut self, message: &str, help: Option<&str>) -> io::Result<()> {
        let mark = self.paint_note(Tone::Bad, "error:");
        self.note(format!("{mark} {}", escape(message)))?;
        help.map_or(Ok(()), |help| self.note(format!("  help: {}", escape(help))))
    }

    /// Hands everything on to whoever reads it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The text in the colour of its meaning, where there are colours.
    pub(super) fn paint(&self, tone: Tone, text: &str) -> String {
        if self.look.colour { painted(tone, text) } else { text.to_owned() }
    }

    /// The same, where there is a meaning.
    pub(super) fn paint_if(&self, tone: Option<Tone>, text: &str) -> String {
        tone.map_or_else(|| text.to_owned(), |tone| self.paint(tone, text))
    }

    /// The same in a [note](Self::note).
    pub(super) fn paint_note(&self, tone: Tone, text: &str) -> String {
        if self.look.colour_errors { painted(tone, text) } else { text.to_owned() }
    }

    /// A run's outcome; without one it has not ended.
    pub(super) fn outcome(&self, outcome: Option<RunOutcome>) -> String {
        self.paint(Tone::of(outcome), outcome_name(outcome))
    }
}

fn painted(tone: Tone, text: &str) -> String {
    let style = match tone {
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Bad => AnsiColor::Red.on_default().bold(),
        Tone::Doubtful => AnsiColor::Yellow.on_default(),
        Tone::Strong => Style::new().bold(),
        Tone::Faint => Style::new().dimmed(),
    };
    format!("{style}{text}{style:#}")
}

impl std::fmt::Debug for Screen<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("look", &self.look).finish_non_exhaustive()
    }
}
