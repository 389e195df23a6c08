//! Whether the records account for every nominal time: recomputed by scan, compared with what was decided. PURE.
//!
//! A job's nominal times count under the definition of their day ([`Accounting`]), and each has exactly one decision there.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::engine::{Beginning, Decision};
use crate::schedule::{Timetable, scan};

/// So many problems of a job are listed; the rest is counted.
pub const MAX_LISTED: usize = 20;

/// A stretch in which the nominal times of a job count under one definition.
#[derive(Clone, Debug)]
pub struct Accounting {
    pub number: i64,
    /// Nominal times later than this count.
    pub since: Timestamp,
    /// The latest that counts; for one that goes on, the latest that is decided.
    pub upto: Timestamp,
    /// It goes on.
    pub open: bool,
    pub beginning: Beginning,
    pub timetable: Timetable,
}

/// A recorded decision about `count` nominal times from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    pub accounting: i64,
    pub first: Timestamp,
    pub last: Timestamp,
    pub count: u64,
    pub decision: Decision,
}

/// What an audit of one job found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// The nominal times that had to be decided.
    pub expected: u64,
    /// How many have which decision.
    pub decided: BTreeMap<&'static str, u64>,
    /// Nominal times that have come and are not decided yet: no daemon runs, or it is about to.
    pub pending: u64,
    /// The first [`MAX_LISTED`] problems.
    pub problems: Vec<Problem>,
    /// How many problems there are.
    pub found: u64,
    /// What is no problem, and worth knowing.
    pub notes: Vec<Note>,
}

/// Where records and schedule differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Problem {
    /// A nominal time without a decision.
    Hole { nominal: Timestamp },
    /// A nominal time with a second decision.
    Double { nominal: Timestamp, decision: Decision },
    /// A decision about a time that the schedule does not name.
    Stray { first: Timestamp, last: Timestamp, decision: Decision },
    /// A decision that claims another number of nominal times than there are.
    Miscounted { first: Timestamp, last: Timestamp, decision: Decision, count: u64, named: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// The schedule changed while the daemon was down, or within the second: nominal times of the old one were dropped.
    Dropped { after: Timestamp, upto: Timestamp, count: u64 },
    /// The clock was set back, and nominal times from here on came again.
    Repeated { since: Timestamp },
}

/// Audits one job from `since` to `now`. `accountings` in the order of their numbers; `decisions` those of them that reach into
/// the stretch, in any order.
pub fn audit(accountings: &[Accounting], decisions: &[Decided], since: Timestamp, now: Timestamp) -> Audit {
    let mut audit = Audit::default();
    for (index, accounting) in accountings.iter().enumerate() {
        let from = accounting.since.max(since);
        let mut own: Vec<Decided> = decisions.iter().filter(|decided| decided.accounting == accounting.number).copied().collect();
        own.sort_by_key(|decided| (decided.first, decided.last));
        audit.compare(accounting, &own, from);
        if accounting.open {
            audit.pending += count(&accounting.timetable, accounting.upto.max(from), now);
        }
        if accounting.beginning == Beginning::ClockSet && accounting.since >= since {
            audit.notes.push(Note::Repeated { since: accounting.since });
        }
        let next = accountings.get(index + 1).filter(|next| next.beginning == Beginning::Changed);
        if let Some(next) = next.filter(|next| next.since > accounting.upto) {
            let after = accounting.upto.max(since);
            let dropped = count(&accounting.timetable, after, next.since);
            if dropped > 0 {
                audit.notes.push(Note::Dropped { after, upto: next.since, count: dropped });
            }
        }
    }
    audit
}

fn count(timetable: &Timetable, after: Timestamp, upto: Timestamp) -> u64 {
    scan(timetable, after, upto).count() as u64
}

impl Audit {
    /// Walks the scanned nominal times and the decisions side by side.
    fn compare(&mut self, accounting: &Accounting, decisions: &[Decided], from: Timestamp) {
        let mut named = scan(&accounting.timetable, from, accounting.upto).peekable();
        let mut covered = Timestamp::MIN;
        for decided in decisions.iter().filter(|decided| decided.last > from) {
            while let Some(nominal) = named.next_if(|nominal| *nominal < decided.first) {
                self.expected += 1;
                self.add(Problem::Hole { nominal });
            }
            if decided.first <= covered {
                self.add(Problem::Double { nominal: decided.first, decision: decided.decision });
            }
            let mut inside = 0;
            while named.next_if(|nominal| *nominal <= decided.last).is_some() {
                inside += 1;
            }
            self.expected += inside;
            *self.decided.entry(decided.decision.name()).or_default() += inside;
            // Of one that begins before the stretch, only a part is seen.
            let whole = decided.first > from && decided.first > covered;
            covered = covered.max(decided.last);
            let Decided { first, last, count, decision, .. } = *decided;
            if whole && inside == 0 {
                self.add(Problem::Stray { first, last, decision });
            } else if whole && inside != count {
                self.add(Problem::Miscounted { first, last, decision, count, named: inside });
            }
        }
        for nominal in named {
            self.expected += 1;
            self.add(Problem::Hole { nominal });
        }
    }

    fn add(&mut self, problem: Problem) {
        self.found += 1;
        if self.problems.len() < MAX_LISTED {
            self.problems.push(problem);
        }
    }
}
