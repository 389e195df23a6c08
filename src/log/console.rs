//! Whether lines also go to stderr, and in which dress. They are text there, whatever the file's format.

use std::env;
use std::io::IsTerminal as _;

use nix::sys::stat::fstat;
use tracing::Level;

/// Whether lines also go to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// As `[log] console` says; where it says nothing: when stderr is a terminal or the journal.
    Configured,
    On,
    Off,
}

/// The dress of a line on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Colour,
    /// With the `<N>` prefix that the journal reads a priority from.
    Journal,
}

/// What the environment tells about stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Surroundings {
    is_terminal: bool,
    is_journal: bool,
    is_colour_refused: bool,
}

/// The dress of lines on stderr, or `None` for none.
pub(super) fn style(console: Console, setting: Option<bool>) -> Option<Style> {
    choose(console, setting, Surroundings::look())
}

/// The priority of `sd-daemon(3)`.
pub(super) fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

fn choose(console: Console, setting: Option<bool>, around: Surroundings) -> Option<Style> {
    let is_shown = match console {
        Console::Configured => setting.unwrap_or(around.is_terminal || around.is_journal),
        Console::On => true,
        Console::Off => false,
    };
    let style = if around.is_journal {
        Style::Journal
    } else if around.is_terminal && !around.is_colour_refused {
        Style::Colour
    } else {
        Style::Plain
    };
    is_shown.then_some(style)
}

impl Surroundings {
    fn look() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            is_journal: env::var("JOURNAL_STREAM").is_ok_and(|stream| Some(stream) == stderr_identity()),
            is_colour_refused: env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
        }
    }
}

/// Device and inode of stderr. `JOURNAL_STREAM` is inherited by redirected children too, so only the comparison tells.
fn stderr_identity() -> Option<String> {
    fstat(std::io::stderr()).ok().map(|found| format!("{}:{}", found.st_dev, found.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Surroundings = Surroundings { is_terminal: false, is_journal: false, is_colour_refused: false };
    const TERMINAL: Surroundings = Surroundings { is_terminal: true, ..FILE };
    const JOURNAL: Surroundings = Surroundings { is_journal: true, ..FILE };
    const COLOURLESS: Surroundings = Surroundings { is_colour_refused: true, ..TERMINAL };

    #[test]
    fn stderr_is_used_when_somebody_reads_it_or_it_is_asked_for() {
        let cases = [
            (Console::Configured, None, FILE, None),
            (Console::Configured, None, TERMINAL, Some(Style::Colour)),
            (Console::Configured, None, JOURNAL, Some(Style::Journal)),
            (Console::Configured, Some(false), TERMINAL, None),
            (Console::Configured, Some(true), FILE, Some(Style::Plain)),
            (Console::On, Some(false), COLOURLESS, Some(Style::Plain)),
            (Console::Off, Some(true), JOURNAL, None),
        ];
        for (console, setting, around, expected) in cases {
            assert_eq!(choose(console, setting, around), expected, "{console:?} {setting:?} {around:?}");
        }
    }
}
