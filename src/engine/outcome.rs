//! The closed lists: why a run exists, how partials and runs end, what became of a nominal time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a run exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    Schedule,
    Manual,
    CatchUp,
    Retry,
    Backfill,
    After,
}

impl Cause {
    /// Whether targets join that are new when a run of this cause goes on: by hand they were chosen, and none does.
    pub fn grows(self) -> bool {
        !matches!(self, Self::Manual | Self::Retry)
    }
}

/// How a partial (or one attempt of it) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Succeeded,
    Failed,
    TimedOut,
    Signalled,
    SpawnFailed,
    Cancelled,
    /// Started, end never recorded: the daemon died in between.
    Lost,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    Succeeded,
    Failed,
    /// Some partials failed, within `max_failures`.
    PartlyFailed,
    TimedOut,
    Cancelled,
    /// The daemon died or was stopped, and `on_interrupted` did not take it up again.
    Interrupted,
}

/// What became of a nominal time; each has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    Ran,
    /// Overlap: a run of the job was live.
    Skipped,
    /// Paused or excepted.
    Suppressed,
    /// The daemon was down, and the catch-up policy does not cover it.
    Missed,
    /// Covered by a later catch-up run.
    Coalesced,
}

/// Why the accounting of a job's nominal times starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beginning {
    /// The job is new.
    New,
    /// Its schedule changed, or it was enabled or disabled.
    Changed,
    /// The clock was set back by hours.
    ClockSet,
    /// It goes on; an older release did not record its start.
    Upgraded,
}

macro_rules! names {
    ($type:ty { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// The name as stored, shown and documented.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The inverse of [`Self::name`].
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

names!(Beginning {
    New => "new",
    Changed => "changed",
    ClockSet => "clock_set",
    Upgraded => "upgraded",
});
names!(super::telling::Kind {
    Failure => "failure",
    Failing => "failing",
    Recovery => "recovery",
    Missed => "missed",
    Late => "late",
    Start => "start",
    Success => "success",
    Fail => "fail",
    Log => "log",
    Test => "test",
});
names!(Cause {
    Schedule => "schedule",
    Manual => "manual",
    CatchUp => "catch-up",
    Retry => "retry",
    Backfill => "backfill",
    After => "after",
});
names!(Outcome {
    Succeeded => "succeeded",
    Failed => "failed",
    TimedOut => "timed_out",
    Signalled => "signalled",
    SpawnFailed => "spawn_failed",
    Cancelled => "cancelled",
    Lost => "lost",
});
names!(RunOutcome {
    Succeeded => "succeeded",
    Failed => "failed",
    PartlyFailed => "partly_failed",
    TimedOut => "timed_out",
    Cancelled => "cancelled",
    Interrupted => "interrupted",
});
names!(Decision {
    Ran => "ran",
    Skipped => "skipped",
    Suppressed => "suppressed",
    Missed => "missed",
    Coalesced => "coalesced",
});
