//! When a job fires: cron expressions, intervals, zones, DST, jitter. PURE: time is always an argument.
//!
//! The dialect is that of Debian's cron 3.0pl1 per job and zone, extended by seconds, `L`, `W` and `#`. A schedule is a set
//! of instants; [`Timetable::next`] is the least member later than its argument and depends on nothing else, so a daemon
//! that starts inside a repeated hour gives the same answers as one that ran through it.
//!
//! Read on in this order: `cron` (text → bit sets, with `field`), `search` (the next matching wall time), `dst` (wall time →
//! instant), `interval`, `jitter`, `zone`, `count`, then `words` and `warnings`, which explain a schedule to people.

mod count;
mod cron;
mod dst;
mod except;
mod field;
mod fnv;
mod interval;
mod jitter;
#[cfg(test)]
mod oracle;
mod scan;
mod search;
mod warnings;
mod words;
mod zone;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use cron::Cron;
pub use dst::{Change, Dst, Fold, Gap};
pub use except::{Except, parse_dates};
pub use fnv::fnv_1a;
pub use jitter::jitter;
pub use scan::scan;
pub use warnings::{Warning, warnings};
pub use words::{describe, describe_change};
pub use zone::{Zone, ZoneError};

/// The longest expression that is looked at, in bytes.
pub const MAX_EXPRESSION_LENGTH: usize = 1_000;

/// The most characters of a text from outside that a message repeats.
const MAX_ECHO: usize = 40;

/// One parsed schedule of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Five or six cron fields, or a nickname such as `@daily`.
    Cron(Cron),
    /// `@every 90s`: whole multiples of the interval since the epoch, in elapsed time; whole seconds, at least one.
    Every(Duration),
    /// `@reboot`: once per boot of the machine. Names no instant: the engine decides it from the boot id.
    Reboot,
}

/// Why an expression was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// The offending bytes of the expression.
    pub range: std::ops::Range<usize>,
    /// Lowercase, names field, found and allowed.
    pub message: String,
    /// What to write instead, where there is a fix.
    pub help: Option<String>,
}

/// All schedules of one job with its zone and DST policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timetable {
    /// Empty for `schedule = "manual"`.
    pub schedules: Vec<Schedule>,
    pub zone: Zone,
    pub dst: Dst,
    /// Nominal times on these days are suppressed; `None` for most jobs.
    pub except: Option<Arc<Except>>,
}

impl Schedule {
    /// Reads five or six fields, a nickname, `@every INTERVAL` or `@reboot`.
    ///
    /// # Errors
    /// [`ParseError`] with the place, the reason and, where there is one, the fix. At most 40 characters are repeated.
    pub fn parse(expression: &str) -> Result<Self, ParseError> {
        if expression.len() > MAX_EXPRESSION_LENGTH {
            let message = format!("the expression is too long: {} bytes, at most {MAX_EXPRESSION_LENGTH} allowed", expression.len());
            return Err(ParseError { range: 0..0, message, help: None });
        }
        let text = expression.trim_matches([' ', '\t']);
        let start = expression.len() - expression.trim_start_matches([' ', '\t']).len();
        if !text.starts_with('@') {
            return Cron::parse(expression).map(Self::Cron);
        }
        let whole = start..start + text.len();
        match text {
            "@yearly" | "@annually" => Cron::parse("0 0 1 1 *").map(Self::Cron),
            "@monthly" => Cron::parse("0 0 1 * *").map(Self::Cron),
            "@weekly" => Cron::parse("0 0 * * 0").map(Self::Cron),
            "@daily" | "@midnight" => Cron::parse("0 0 * * *").map(Self::Cron),
            "@hourly" => Cron::parse("0 * * * *").map(Self::Cron),
            "@reboot" => Ok(Self::Reboot),
            _ => match text.strip_prefix("@every") {
                Some(rest) if rest.is_empty() || rest.starts_with([' ', '\t']) => interval::parse(rest, &whole).map(Self::Every),
                _ => Err(unknown_nickname(text, whole)),
            },
        }
    }

    /// Whether no instant of a whole 400-year Gregorian cycle matches (30 February). `@reboot` fires, if not by the clock.
    pub fn never_fires(&self) -> bool {
        match self {
            Self::Cron(cron) => cron.never_matches(),
            Self::Every(interval) => interval::next(*interval, Timestamp::UNIX_EPOCH).is_none(),
            Self::Reboot => false,
        }
    }

    /// The least member later than `after`; `None` for `@reboot` and when 400 years hold none.
    pub fn next(&self, zone: &Zone, dst: Dst, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => dst::next(cron, &zone.rules, dst, after),
            Self::Every(interval) => interval::next(*interval, after),
            Self::Reboot => None,
        }
    }
}

impl Timetable {
    /// The least nominal time later than `after`, over all schedules; `None` when none ever comes.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.schedules.iter().filter_map(|schedule| schedule.next(&self.zone, self.dst, after)).min()
    }

    /// Whether the nominal time falls on an excepted day: the day of the instant in the zone, after a gap has moved it.
    pub fn is_excepted(&self, nominal: Timestamp) -> bool {
        self.except.as_ref().is_some_and(|except| except.last_day(self.zone.rules.to_datetime(nominal).date()).is_some())
    }

    /// The least nominal time later than `after` that is not on an excepted day.
    pub fn next_fire(&self, after: Timestamp) -> Option<Timestamp> {
        let mut next = self.next(after)?;
        while let Some(end) = self.except.as_ref().and_then(|except| except.end(next, &self.zone.rules)) {
            next = self.next(end)?;
        }
        Some(next)
    }

    /// Whether one of the schedules is `@reboot`.
    pub fn fires_at_boot(&self) -> bool {
        self.schedules.contains(&Schedule::Reboot)
    }
}

fn unknown_nickname(text: &str, range: std::ops::Range<usize>) -> ParseError {
    const NICKNAMES: &str = "@yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly, @reboot, @every INTERVAL";
    let lower = text.to_ascii_lowercase();
    let known = NICKNAMES.split(", ").find(|name| *name == lower);
    let help = known.map_or_else(|| format!("one of {NICKNAMES}"), |name| format!("nicknames are lower case: write `{name}`"));
    ParseError { range, message: format!("unknown nickname `{}`", shown(text)), help: Some(help) }
}

/// A text from outside as a message may repeat it: escaped and at most [`MAX_ECHO`] characters long.
fn shown(text: &str) -> String {
    let mut safe = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == MAX_ECHO {
            safe.push('…');
            break;
        }
        match character {
            '"' | '\'' => safe.push(character),
            other => safe.extend(other.escape_debug()),
        }
    }
    safe
}

#[cfg(test)]
mod tests;
