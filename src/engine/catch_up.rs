//! Which of the nominal times found due get a run, and what becomes of the others.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Cause, Decision};
use crate::config::{CatchUp, CatchUpPolicy};

/// A nominal time found no later than this is on time: a restart of the daemon or a busy second is not a misfire.
pub const MISFIRE_GRACE: Duration = Duration::from_secs(60);

/// `count` nominal times from `first` to `last` that share one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub first: Timestamp,
    pub last: Timestamp,
    pub count: u64,
    pub decision: Decision,
}

/// What to do with the nominal times that were found due together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Decided without a run, oldest first.
    pub spans: Vec<Span>,
    /// Each gets a run, oldest first.
    pub runs: Vec<(Timestamp, Cause)>,
}

/// Decides about `due`, the nominal times found due at `now`, ascending.
///
/// Only the newest can be on time; the others were superseded before anyone looked. They, and the newest when it is older
/// than [`MISFIRE_GRACE`], are misfires: `none` misses them, `latest` runs the newest and coalesces the others into it, `all`
/// runs the newest `max`. What is older than the window is missed.
pub(super) fn plan(policy: CatchUp, due: &[Timestamp], now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some((&newest, earlier)) = due.split_last() else { return plan };
    let age = |nominal: Timestamp| now.duration_since(nominal);
    let on_time = age(newest) <= signed(MISFIRE_GRACE);
    let in_window = |nominal: Timestamp| age(nominal) <= signed(policy.window);

    let caught_up = match policy.policy {
        CatchUpPolicy::None => 0,
        CatchUpPolicy::Latest => usize::from(!on_time && in_window(newest)),
        CatchUpPolicy::All => due.iter().rev().take(policy.max.max(usize::from(on_time))).take_while(|n| in_window(**n)).count(),
    };
    let runs = caught_up.max(usize::from(on_time));
    let without_run = &due[..due.len() - runs];
    let coalesces = policy.policy == CatchUpPolicy::Latest && runs > 0;
    let missed = if coalesces { earlier.partition_point(|n| !in_window(*n)) } else { without_run.len() };
    plan.spans.extend(span(&without_run[..missed], Decision::Missed));
    plan.spans.extend(span(&without_run[missed..], Decision::Coalesced));
    for &nominal in &due[without_run.len()..] {
        let cause = if nominal == newest && on_time { Cause::Schedule } else { Cause::CatchUp };
        plan.runs.push((nominal, cause));
    }
    plan
}

fn span(nominals: &[Timestamp], decision: Decision) -> Option<Span> {
    let (&first, &last) = (nominals.first()?, nominals.last()?);
    Some(Span { first, last, count: nominals.len() as u64, decision })
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nominal times are given as minutes before now, e.g. `[30, 20, 10, 0]`.
    fn check(policy: CatchUpPolicy, window_minutes: u64, max: usize, due: &[i64], expected: &str) {
        let now = Timestamp::from_second(1_800_000_000).expect("in range");
        let times: Vec<_> = due.iter().map(|m| now - SignedDuration::from_mins(*m)).collect();
        let plan = plan(CatchUp { policy, window: Duration::from_secs(window_minutes * 60), max }, &times, now);
        let minutes = |t: Timestamp| now.duration_since(t).as_mins();
        let mut words: Vec<String> = Vec::new();
        for span in &plan.spans {
            words.push(format!("{} {}..{} x{}", span.decision, minutes(span.first), minutes(span.last), span.count));
        }
        words.extend(plan.runs.iter().map(|(nominal, cause)| format!("{cause} {}", minutes(*nominal))));
        assert_eq!(words.join(", "), expected, "{policy:?} {due:?}");
    }

    #[test]
    fn policies() {
        use CatchUpPolicy::{All, Latest, None};
        check(Latest, 60, 9, &[], "");
        for policy in [None, Latest, All] {
            check(policy, 60, 9, &[0], "schedule 0");
            check(policy, 60, 9, &[1], "schedule 1");
        }
        check(None, 60, 9, &[2], "missed 2..2 x1");
        check(None, 60, 9, &[30, 20, 0], "missed 30..20 x2, schedule 0");
        check(Latest, 60, 9, &[2], "catch-up 2");
        check(Latest, 60, 9, &[30, 20, 10], "coalesced 30..20 x2, catch-up 10");
        check(Latest, 60, 9, &[30, 20, 0], "coalesced 30..20 x2, schedule 0");
        check(Latest, 25, 9, &[40, 30, 20, 10], "missed 40..30 x2, coalesced 20..20 x1, catch-up 10");
        check(Latest, 5, 9, &[30, 20, 10], "missed 30..10 x3");
        check(All, 60, 9, &[30, 20, 0], "catch-up 30, catch-up 20, schedule 0");
        check(All, 60, 2, &[40, 30, 20, 10], "missed 40..30 x2, catch-up 20, catch-up 10");
        check(All, 25, 9, &[40, 30, 20, 10], "missed 40..30 x2, catch-up 20, catch-up 10");
        check(All, 60, 0, &[20, 0], "missed 20..20 x1, schedule 0");
    }
}
