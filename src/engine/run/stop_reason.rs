//! Why a run is stopped, and what that makes of it.

use crate::engine::{Outcome, RunOutcome};

/// Why a run is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum StopReason {
    TimedOut,
    Cancelled,
    Replaced,
    /// Too many runs of the job wait already.
    Crowded,
    /// More partials failed than `max_failures` allows.
    TooManyFailures,
    /// One of the targets that go first has failed.
    CanaryFailed,
    /// Its targets cannot be had from the store.
    Unloaded,
    /// The daemon leaves; the next one takes the run up again as `on_interrupted` says.
    Drained,
}

impl StopReason {
    /// The outcome of the attempts it ends.
    pub(in crate::engine) fn attempt_outcome(self) -> Outcome {
        match self {
            Self::TimedOut => Outcome::TimedOut,
            Self::Cancelled
            | Self::Replaced
            | Self::Crowded
            | Self::TooManyFailures
            | Self::CanaryFailed
            | Self::Unloaded
            | Self::Drained => Outcome::Cancelled,
        }
    }

    pub(super) fn run_outcome(self) -> RunOutcome {
        match self {
            Self::TimedOut => RunOutcome::TimedOut,
            Self::Cancelled | Self::Replaced | Self::Crowded => RunOutcome::Cancelled,
            Self::TooManyFailures | Self::CanaryFailed | Self::Unloaded => RunOutcome::Failed,
            Self::Drained => RunOutcome::Interrupted,
        }
    }

    /// For people.
    pub(in crate::engine) fn text(self) -> &'static str {
        match self {
            Self::TimedOut => "took longer than its `timeout`",
            Self::Cancelled => "cancelled",
            Self::Crowded => "too many runs of the job wait already",
            Self::Replaced => "replaced by a later run (overlap = \"replace\")",
            Self::TooManyFailures => "more partials failed than `max_failures` allows",
            Self::CanaryFailed => "one of the targets that go first (`canary`) has failed",
            Self::Unloaded => "its targets could not be loaded",
            Self::Drained => "the daemon was stopped",
        }
    }
}
