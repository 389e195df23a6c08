//! When a job fires: cron expressions, intervals, zones, DST, exceptions, jitter. PURE: time is always an argument.
//!
//! The dialect is that of Debian's cron 3.0pl1 per job and zone, extended by seconds, `L`, `W` and `#`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

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

/// A cron expression in its compact, parsed form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {}

/// Why an expression was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The offending bytes of the expression.
    pub range: std::ops::Range<usize>,
    /// Lowercase, names field, found and allowed.
    pub message: String,
    /// What to write instead, where there is a fix.
    pub help: Option<String>,
}

/// An IANA time zone under its canonical name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The canonical IANA name, as stored and shown.
    pub name: Arc<str>,
    /// The rules. A snapshot: look the name up again after a zone data update.
    pub rules: TimeZone,
}

/// What a fixed time inside a gap does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Gap {
    /// Run once at the first instant after the gap.
    #[default]
    RunAfter,
    /// Do not run that day.
    Skip,
}

/// What a fixed time that occurs twice does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fold {
    /// Run at the first occurrence.
    #[default]
    First,
    /// Run at the second occurrence.
    Second,
    /// Run at both.
    Both,
}

/// The policy for fixed times at DST changes; schedules that repeat inside the hour keep their cadence regardless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Dst {
    pub gap: Gap,
    pub fold: Fold,
}

/// All schedules of one job with its zone and DST policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timetable {
    /// Empty for `schedule = "manual"`.
    pub schedules: Vec<Schedule>,
    pub zone: Zone,
    pub dst: Dst,
}

impl Timetable {
    /// The least nominal time later than `after`, over all schedules; `None` when none ever comes.
    pub fn next(&self, _after: Timestamp) -> Option<Timestamp> {
        todo!()
    }

    /// Whether one of the schedules is `@reboot`.
    pub fn fires_at_boot(&self) -> bool {
        self.schedules.contains(&Schedule::Reboot)
    }
}

/// The delay of a fire after its nominal time: 0 … `max`, the same at every start.
pub fn jitter(_job: &str, _nominal: Timestamp, _max: Duration) -> Duration {
    Duration::ZERO
}
