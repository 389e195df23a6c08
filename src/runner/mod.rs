//! Performs the engine's `Start`, `Stop` and `Gather`: one tokio task an attempt, its end reported as an event.
//!
//! Every start leads to exactly one end, whatever happens in between: a panic in the task is an end too. Attempts run on the
//! threads of the runtime, not on that of the loop: a spawn stops its thread until the child runs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use tokio::sync::mpsc::UnboundedSender;

use crate::config::Target;
use crate::engine::{AttemptEnd, Event, GatherEnd, Now, RunInfo, RunKey, Stop};
use crate::handler::{self, Attempt, Ended, Part, Registry, ResultFiles, StopLine};

/// A blocking source of JSON lines, one a partial, in target order.
pub type ResultLines = Box<dyn FnMut() -> Option<Vec<u8>> + Send>;

/// What the runner needs of its daemon.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The one reader of the clock.
    pub clock: fn() -> Now,
    /// Absolute. Results are written below it.
    pub state_dir: PathBuf,
    pub handlers: Registry,
}

/// The live attempts. Its functions never block and must be called within a tokio runtime.
pub struct Runner {
    shared: Arc<Shared>,
}

struct Shared {
    clock: fn() -> Now,
    results: ResultFiles,
    handlers: Registry,
    events: UnboundedSender<Event>,
    /// The live ones; each task takes itself out before it reports its end.
    live: Mutex<HashMap<Slot, StopLine>>,
}

/// What can be live once at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Slot {
    Partial(RunKey, u32),
    Gather(RunKey),
}

impl Runner {
    /// Clears the results of earlier attempts, so kill what a crash left behind first ([`handler::leftovers`]).
    pub fn new(settings: Settings, events: UnboundedSender<Event>) -> Self {
        let results = ResultFiles::new(&settings.state_dir);
        if let Err(error) = results.clear() {
            tracing::error!(
                "cannot make an empty `{}`: {error}; jobs cannot write BATCHD_RESULT",
                settings.state_dir.join("results").display()
            );
        }
        let live = Mutex::new(HashMap::new());
        Self { shared: Arc::new(Shared { clock: settings.clock, results, handlers: settings.handlers, events, live }) }
    }

    /// Starts an attempt of a partial; it ends with an [`Event::AttemptEnded`].
    pub fn start(&mut self, run: Arc<RunInfo>, index: u32, attempt: u32, target: Option<Target>) {
        let slot = Slot::Partial(run.key, index);
        let attempt = Attempt { run, part: Part::Partial { index, attempt, target } };
        self.launch(slot, attempt, None);
    }

    /// Stops the attempt of a partial; one that has ended already is left in peace.
    pub fn stop(&mut self, run: RunKey, index: u32, stop: Stop) {
        self.pull(Slot::Partial(run, index), stop);
    }

    /// Starts the gather command of a run over `lines`; it ends with an [`Event::GatherEnded`].
    pub fn gather(&mut self, run: Arc<RunInfo>, lines: ResultLines) {
        let slot = Slot::Gather(run.key);
        self.launch(slot, Attempt { run, part: Part::Gather }, Some(lines));
    }

    /// Stops the gather command of a run.
    pub fn stop_gather(&mut self, run: RunKey, stop: Stop) {
        self.pull(Slot::Gather(run), stop);
    }

    /// How many attempts and gathers are live.
    pub fn live(&self) -> usize {
        self.shared.live().len()
    }

    fn launch(&self, slot: Slot, attempt: Attempt, lines: Option<ResultLines>) {
        let stops = StopLine::default();
        match self.shared.live().entry(slot) {
            Entry::Vacant(entry) => drop(entry.insert(stops.clone())),
            Entry::Occupied(_) => {
                // Two copies of a partial must never run; the engine does not ask for it.
                tracing::error!("{slot:?} was started while it is live");
                return;
            }
        }
        tokio::spawn(see_through(self.shared.clone(), slot, attempt, lines, stops));
    }

    fn pull(&self, slot: Slot, stop: Stop) {
        if let Some(stops) = self.shared.live().get(&slot) {
            stops.pull(stop);
        }
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("live", &self.live()).finish_non_exhaustive()
    }
}

impl Shared {
    fn live(&self) -> MutexGuard<'_, HashMap<Slot, StopLine>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sees one attempt from its start to the report of its end.
async fn see_through(shared: Arc<Shared>, slot: Slot, attempt: Attempt, lines: Option<ResultLines>, stops: StopLine) {
    let started = (shared.clock)();
    let ended = AssertUnwindSafe(perform(&shared, &attempt, lines, &stops)).catch_unwind().await;
    let ended = ended.unwrap_or_else(|panic| Ended::failed(format!("internal error: {}", handler::panic_message(&*panic))));
    let end = attempt_end(ended, started, (shared.clock)());
    // First out of the table, then reported: the engine may start the next attempt at once.
    shared.live().remove(&slot);
    let event = match slot {
        Slot::Partial(run, index) => Event::AttemptEnded { run, index, end: Box::new(end) },
        Slot::Gather(run) => Event::GatherEnded { run, end: Box::new(GatherEnd { end }) },
    };
    // Without a receiver the daemon is gone, and nobody wants to know.
    let _ = shared.events.send(event);
}

async fn perform(shared: &Shared, attempt: &Attempt, lines: Option<ResultLines>, stops: &StopLine) -> Ended {
    match (&attempt.part, &attempt.run.job.gather, lines) {
        (Part::Partial { .. }, ..) => handler::carry_out(attempt, &shared.handlers, &shared.results, stops).await,
        (Part::Gather, Some(argv), Some(lines)) => handler::gather(attempt, argv, lines, &shared.results, stops).await,
        (Part::Gather, ..) => Ended::spawn_failed(&"the job has no gather command", None),
    }
}

fn attempt_end(ended: Ended, started: Now, now: Now) -> AttemptEnd {
    AttemptEnd {
        outcome: ended.outcome,
        started: started.wall,
        ended: now.wall,
        duration: now.monotonic.saturating_sub(started.monotonic),
        exit_code: ended.exit_code,
        signal: ended.signal,
        result: ended.result,
        error: ended.error.map(Into::into),
        output: ended.output,
        hindrance: ended.hindrance,
        usage: ended.usage,
    }
}

#[cfg(test)]
mod tests;
