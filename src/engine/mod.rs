//! What now: fires due since the watermark, overlap, catch-up, retry, fan-out, gather, drain. PURE: a state machine that takes
//! one [`Event`] with the time and returns [`Effect`]s. No clock, no I/O, no async; it cannot fail.

mod event;
mod outcome;
mod record;

pub use event::{Answer, AttemptEnd, CapturedOutput, Effect, Event, GatherEnd, Now, Stop, Then, Ticket, Wakeup};
pub use outcome::{Cause, Decision, Outcome, RunOutcome};
pub use record::{PartialRecord, Record, RecoveredJob, RecoveredRun, Recovery, RunId, RunInfo, RunKey, RunSummary};
