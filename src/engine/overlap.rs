//! What a fire does while runs of the same job are live.

use crate::config::Overlap;

/// More live and waiting runs of one job than this are skipped even where overlap is allowed.
pub const MAX_RUNS_PER_JOB: usize = 1_000;

/// What to do with the new run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Start,
    /// Start it when the runs before it have ended.
    Wait,
    Skip,
    /// Stop the live runs, give up the waiting ones, and start it when they have ended.
    Replace,
}

/// The runs of a job that a new one finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beside {
    /// Live ones, but for those of a backfill.
    pub live: usize,
    pub waiting: usize,
    /// Whether one of a backfill is live.
    pub backfill: bool,
}

/// Decides about a new run. `caught_up`: one of several runs that a catch-up makes at once; these follow each other whatever
/// `skip` or `replace` say, or only the first would ever run. A backfill costs no fire its run: the fire waits for the one that
/// is live, and goes before the rest.
pub(super) fn verdict(overlap: Overlap, beside: Beside, caught_up: bool) -> Verdict {
    let Beside { live, waiting, backfill } = beside;
    if live + waiting >= MAX_RUNS_PER_JOB {
        return Verdict::Skip;
    }
    if live + waiting == 0 && !backfill {
        return Verdict::Start;
    }
    match overlap {
        Overlap::Allow => Verdict::Start,
        _ if live + waiting == 0 => Verdict::Wait,
        Overlap::Queue { max } if waiting < max => Verdict::Wait,
        _ if caught_up => Verdict::Wait,
        Overlap::Skip | Overlap::Queue { .. } => Verdict::Skip,
        Overlap::Replace => Verdict::Replace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        use Verdict::{Replace, Skip, Start, Wait};
        let queue = Overlap::Queue { max: 2 };
        for (overlap, live, waiting, caught_up, expected) in [
            (Overlap::Skip, 0, 0, false, Start),
            (Overlap::Skip, 1, 0, false, Skip),
            (Overlap::Skip, 1, 0, true, Wait),
            (queue, 0, 0, false, Start),
            (queue, 1, 0, false, Wait),
            (queue, 1, 1, false, Wait),
            (queue, 1, 2, false, Skip),
            (queue, 0, 1, false, Wait),
            (Overlap::Replace, 0, 0, false, Start),
            (Overlap::Replace, 1, 0, false, Replace),
            (Overlap::Replace, 1, 1, false, Replace),
            (Overlap::Replace, 1, 0, true, Wait),
            (Overlap::Allow, 5, 0, false, Start),
            (Overlap::Allow, MAX_RUNS_PER_JOB, 0, false, Skip),
            (queue, 1, MAX_RUNS_PER_JOB, true, Skip),
        ] {
            let beside = Beside { live, waiting, backfill: false };
            assert_eq!(verdict(overlap, beside, caught_up), expected, "{overlap:?} {live} {waiting} {caught_up}");
        }
    }

    #[test]
    fn a_backfill_is_waited_for() {
        use Verdict::{Replace, Skip, Start, Wait};
        let none = Overlap::Queue { max: 0 };
        for (overlap, waiting, expected) in [
            (Overlap::Skip, 0, Wait),
            (Overlap::Skip, 1, Skip),
            (none, 0, Wait),
            (none, 1, Skip),
            (Overlap::Replace, 0, Wait),
            (Overlap::Replace, 1, Replace),
            (Overlap::Allow, 0, Start),
        ] {
            assert_eq!(verdict(overlap, Beside { live: 0, waiting, backfill: true }, false), expected, "{overlap:?} {waiting}");
        }
    }
}
