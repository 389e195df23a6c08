//! From wall-clock times to instants: what a schedule does where the clocks of its zone jump.
//!
//! A jump is any change of the zone's UTC offset, of any size, DST or not. A gap is a jump forward: wall times are skipped.
//! A fold is a jump back: wall times occur twice.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Schedule;
use super::cron::Cron;
use super::search::CYCLE_YEARS;

/// Jumps forward of less than this, and back of at most this, follow the DST policy; larger ones (Samoa skipped a day)
/// are treated as a clock that was set: skipped times do not run, repeated ones run twice. As Debian's cron.
const MAX_JUMP_SECONDS: i32 = 3 * 3600;

/// The last year that the calendar can hold.
const LAST_YEAR: i16 = 9999;

/// What a fixed time inside a gap does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// Run once at the first instant after the gap.
    #[default]
    RunAfter,
    /// Do not run that day.
    Skip,
}

/// What a fixed time that occurs twice does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// A jump of the clocks of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The first instant after it.
    pub at: Timestamp,
    pub before: Offset,
    pub after: Offset,
}

impl Change {
    /// The changes of a zone later than `after`, in order.
    pub fn following(rules: &TimeZone, after: Timestamp) -> impl Iterator<Item = Self> + '_ {
        let mut before = rules.to_offset(after);
        rules.following(after).filter_map(move |transition| {
            let change = Self { at: transition.timestamp(), before, after: transition.offset() };
            before = change.after;
            (change.before != change.after).then_some(change)
        })
    }

    /// Seconds by which the clocks go forward; negative when they go back.
    pub fn jump_seconds(&self) -> i32 {
        self.after.seconds() - self.before.seconds()
    }

    /// What the wall clock would show at the change without it.
    pub fn wall_before(&self) -> DateTime {
        self.before.to_datetime(self.at)
    }

    /// What the wall clock shows at the change.
    pub fn wall_after(&self) -> DateTime {
        self.after.to_datetime(self.at)
    }

    /// Whether wall-clock times are skipped; otherwise some come twice.
    pub fn is_gap(&self) -> bool {
        self.jump_seconds() > 0
    }

    /// Whether the DST policy applies, or the jump is too large for it.
    pub fn is_small(&self) -> bool {
        (-MAX_JUMP_SECONDS..MAX_JUMP_SECONDS).contains(&self.jump_seconds())
    }
}

impl Schedule {
    /// Whether one of its wall-clock times is skipped or repeated by the change.
    pub fn is_touched_by(&self, change: &Change) -> bool {
        matches!(self, Self::Cron(cron) if cron.within(change).is_some())
    }
}

impl Cron {
    /// The first matching wall-clock time that a change skips or repeats.
    pub(super) fn within(&self, change: &Change) -> Option<DateTime> {
        let (from, to) = (change.wall_before().min(change.wall_after()), change.wall_before().max(change.wall_after()));
        self.first_match(from, to.year()).filter(|wall| *wall < to)
    }
}

/// The least member of the schedule's set later than `after`, found within one Gregorian cycle.
///
/// The cost grows with the number of changes between `after` and the answer, never with the seconds.
pub(super) fn next(cron: &Cron, rules: &TimeZone, dst: Dst, after: Timestamp) -> Option<Timestamp> {
    let after = Timestamp::from_second(floor_second(after)).ok()?;
    let from = after.checked_add(SignedDuration::from_secs(1)).ok()?;
    let mut offset = rules.to_offset(after);
    let start = offset.to_datetime(from);
    let last_year = start.year().saturating_add(CYCLE_YEARS).min(LAST_YEAR);
    let fixed = cron.is_fixed_time();
    let first_only = fixed && dst.fold == Fold::First;
    let mut guess = cron.first_match(start, last_year)?;
    if first_only && let Some(repeated_until) = repeated_until(rules, after, offset, guess) {
        guess = cron.first_match(repeated_until, last_year)?;
    }
    for change in Change::following(rules, after) {
        let second_only = fixed && dst.fold == Fold::Second && !change.is_gap() && change.is_small();
        let end = if second_only { change.wall_after() } else { change.wall_before() };
        if guess < end {
            break;
        }
        let resume = change.wall_after();
        if change.is_gap() {
            if guess < resume {
                if fixed && change.is_small() && dst.gap == Gap::RunAfter {
                    return Some(change.at);
                }
                guess = cron.first_match(resume, last_year)?;
            }
        } else if !(first_only && change.is_small()) {
            guess = cron.first_match(resume, last_year)?;
        }
        offset = change.after;
    }
    offset.to_timestamp(guess).ok()
}

/// The wall-clock time at which the repeated stretch ends that `after` lies in, if `guess` could lie in it too.
fn repeated_until(rules: &TimeZone, after: Timestamp, offset: Offset, guess: DateTime) -> Option<DateTime> {
    let reach = SignedDuration::from_secs(MAX_JUMP_SECONDS.into());
    let now = offset.to_datetime(after);
    if guess.duration_since(now) > reach {
        return None;
    }
    let earliest = after.checked_sub(reach).ok()?;
    Change::following(rules, earliest)
        .take_while(|change| change.at <= after)
        .filter(|change| !change.is_gap() && change.is_small())
        .map(|change| change.wall_before())
        .filter(|end| now < *end)
        .last()
}

/// Whole seconds since the epoch, rounded down also before it.
fn floor_second(instant: Timestamp) -> i64 {
    instant.as_second() - i64::from(instant.subsec_nanosecond() < 0)
}
