//! Which of the nominal times found due get a run, and what becomes of the others.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Cause, Decision};
use crate::config::{CatchUp, CatchUpPolicy};

/// A nominal time found no later than this is on time: a restart of the daemon or a busy second is not a misfire.
pub const MISFIRE_GRACE: SignedDuration = SignedDuration::from_secs(60);

/// `count` nominal times from `first` to `last` that share one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub first: Timestamp,
    pub last: Timestamp,
    pub count: u64,
    pub decision: Decision,
}

/// What becomes of nominal times that were found due together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Decided without a run.
    Decide(Span),
    /// It gets a run.
    Run(Timestamp, Cause),
}

/// Nominal times older than this are neither on time nor caught up.
pub(super) fn reach(policy: CatchUp, jitter: Duration) -> SignedDuration {
    let window = if policy.policy == CatchUpPolicy::None { Duration::ZERO } else { policy.window };
    signed(window).max(MISFIRE_GRACE.saturating_add(signed(jitter)))
}

/// The newest of the nominal times that were found due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Newest {
    /// It was found within [`MISFIRE_GRACE`] of its instant.
    OnTime,
    Late,
    /// Later ones are due as well, and will be decided next.
    NotYet,
}

/// Decides about `due`, the nominal times found due at `now`, ascending; the answer is in the same order.
///
/// What is suppressed is left out first. Only the newest can be on time; the others were superseded before anyone looked.
/// They, and the newest when it is late, are misfires: `none` misses them, `latest` runs the newest and coalesces the others
/// into it, `all` runs the newest `max`. What is older than the window is missed.
pub(super) fn plan(
    policy: CatchUp,
    due: &[Timestamp],
    suppressed: impl Fn(Timestamp) -> bool,
    newest: Newest,
    now: Timestamp,
) -> Vec<Step> {
    let open: Vec<Timestamp> = due.iter().copied().filter(|nominal| !suppressed(*nominal)).collect();
    let in_window = |nominal: &Timestamp| now.duration_since(*nominal) <= signed(policy.window);
    // The newest may be suppressed: then none of the others is on time.
    let on_time = newest == Newest::OnTime && open.last() == due.last();
    let most = match policy.policy {
        _ if newest == Newest::NotYet => 0,
        CatchUpPolicy::None => 0,
        CatchUpPolicy::Latest => 1,
        CatchUpPolicy::All => policy.max,
    };
    let caught_up = open.iter().rev().take(most).take_while(|nominal| in_window(nominal)).count();
    let runs = caught_up.max(usize::from(on_time));
    let coalesces = policy.policy == CatchUpPolicy::Latest && (runs > 0 || newest == Newest::NotYet);
    let without_run = open.len() - runs;
    let mut decided =
        open[..without_run].iter().map(|nominal| if coalesces && in_window(nominal) { Decision::Coalesced } else { Decision::Missed });

    let mut steps = Vec::new();
    let mut number = 0;
    for &nominal in due {
        if suppressed(nominal) {
            push(&mut steps, nominal, Decision::Suppressed);
            continue;
        }
        number += 1;
        if let Some(decision) = decided.next() {
            push(&mut steps, nominal, decision);
        } else {
            let newest = number == open.len();
            steps.push(Step::Run(nominal, if newest && on_time { Cause::Schedule } else { Cause::CatchUp }));
        }
    }
    steps
}

/// Adds a decision, to the span before where that has the same.
fn push(steps: &mut Vec<Step>, nominal: Timestamp, decision: Decision) {
    match steps.last_mut() {
        Some(Step::Decide(span)) if span.decision == decision => {
            span.last = nominal;
            span.count += 1;
        }
        _ => steps.push(Step::Decide(Span { first: nominal, last: nominal, count: 1, decision })),
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::CatchUpPolicy::{All, Latest, None};
    use super::*;

    /// Nominal times are given as minutes before now, e.g. `[30, 20, 10, 0]`.
    fn check(policy: CatchUpPolicy, window_minutes: u64, max: usize, due: &[i64], expected: &str) {
        let now = Timestamp::from_second(1_800_000_000).expect("in range");
        let times: Vec<_> = due.iter().map(|m| now - SignedDuration::from_mins(*m)).collect();
        let newest = match due.last() {
            Some(..=1) => Newest::OnTime,
            Some(50..) => Newest::NotYet,
            _ => Newest::Late,
        };
        // What ends in 5 is suppressed.
        let suppressed = |nominal: Timestamp| now.duration_since(nominal).as_mins() % 10 == 5;
        let steps = plan(CatchUp { policy, window: Duration::from_secs(window_minutes * 60), max }, &times, suppressed, newest, now);
        let minutes = |t: Timestamp| now.duration_since(t).as_mins();
        let words: Vec<String> = steps
            .into_iter()
            .map(|step| match step {
                Step::Decide(span) => format!("{} {}..{} x{}", span.decision, minutes(span.first), minutes(span.last), span.count),
                Step::Run(nominal, cause) => format!("{cause} {}", minutes(nominal)),
            })
            .collect();
        assert_eq!(words.join(", "), expected, "{policy:?} {due:?}");
    }

    #[test]
    fn policies() {
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

    #[test]
    fn of_a_long_backlog_only_the_end_is_run() {
        check(None, 60, 9, &[70, 65, 55, 50], "missed 70..70 x1, suppressed 65..55 x2, missed 50..50 x1");
        check(Latest, 60, 9, &[70, 58, 50], "missed 70..70 x1, coalesced 58..50 x2");
        check(All, 60, 9, &[70, 58, 50], "missed 70..50 x3");
    }

    #[test]
    fn what_is_suppressed_is_neither_run_nor_superseded() {
        check(Latest, 60, 9, &[5], "suppressed 5..5 x1");
        check(Latest, 60, 9, &[35, 25], "suppressed 35..25 x2");
        check(Latest, 60, 9, &[30, 25, 20, 0], "coalesced 30..30 x1, suppressed 25..25 x1, coalesced 20..20 x1, schedule 0");
        check(Latest, 60, 9, &[30, 20, 15], "coalesced 30..30 x1, catch-up 20, suppressed 15..15 x1");
        check(None, 60, 9, &[30, 25, 0], "missed 30..30 x1, suppressed 25..25 x1, schedule 0");
        check(All, 60, 9, &[30, 25, 20], "catch-up 30, suppressed 25..25 x1, catch-up 20");
    }
}
