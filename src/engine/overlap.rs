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

/// Decides about a new run beside `live` running and `waiting` waiting ones. `caught_up`: one of several runs that a
/// catch-up makes at once; these follow each other whatever `skip` or `replace` say, or only the first would ever run.
pub(super) fn verdict(overlap: Overlap, live: usize, waiting: usize, caught_up: bool) -> Verdict {
    if live + waiting >= MAX_RUNS_PER_JOB {
        return Verdict::Skip;
    }
    if live + waiting == 0 {
        return Verdict::Start;
    }
    match overlap {
        Overlap::Allow => Verdict::Start,
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
            assert_eq!(verdict(overlap, live, waiting, caught_up), expected, "{overlap:?} {live} {waiting} {caught_up}");
        }
    }
}
