//! Performs the engine's `Start`, `Stop` and `Gather`: one tokio task an attempt, its end reported as an event.
//!
//! Every start leads to exactly one end, whatever happens in between: a panic in the task is an end too. Attempts are tasks beside
//! the loop, not a part of it: a spawn stops its thread until the child runs.

mod lane;
mod plan;

use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;

use self::lane::Lane;
pub use self::plan::{Kept, PlanKeeper};
use crate::config::{Target, Work};
use crate::engine::{AttemptEnd, Event, GatherEnd, Now, Part, RunInfo, RunKey, Stop};
use crate::handler::{self, Attempt, Ended, Registry, ResultFiles, Spoken, StopLine};

pub(crate) use crate::handler::{ResultLines, ResultPages, ResultSource};

/// What the runner needs of its daemon.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The one reader of the clock.
    pub clock: fn() -> Now,
    /// Absolute, and of nobody else: results are written below it.
    pub state_dir: PathBuf,
    pub handlers: Registry,
}

/// The live attempts. Its functions never block and must be called within a tokio runtime.
pub struct Runner {
    shared: Arc<Shared>,
}

struct Shared {
    clock: fn() -> Now,
    rooms: handler::Rooms,
    events: UnboundedSender<Event>,
    /// The live ones; each task takes itself out before it reports its end.
    live: Mutex<HashMap<Slot, StopLine>>,
    lane: Lane,
}

/// What can be live once at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Slot {
    Partial(RunKey, u32),
    Gather(RunKey),
    Plan(RunKey),
}

impl Runner {
    /// Clears the results of earlier attempts, so kill what a crash left behind first ([`handler::leftovers`]).
    pub fn new(settings: Settings, events: UnboundedSender<Event>) -> Self {
        let results = ResultFiles::new(&settings.state_dir);
        if let Err(error) = results.clear() {
            tracing::error!("cannot make `{}`: {error}; jobs cannot write BATCHD_RESULT", settings.state_dir.join("results").display());
        }
        let live = Mutex::new(HashMap::new());
        let rooms = handler::Rooms { handlers: settings.handlers, results, spoken: Arc::default() };
        Self { shared: Arc::new(Shared { clock: settings.clock, rooms, events, live, lane: Lane::default() }) }
    }

    /// Starts an attempt of each of these partials, of a job with `chunk` in one process; they end with [`Event::AttemptsEnded`].
    pub fn start(&mut self, run: Arc<RunInfo>, parts: Vec<Part>, until: Option<Timestamp>) {
        if matches!(run.job.work, Work::Handler(_)) {
            return lane::enter(&self.shared, run, parts, until);
        }
        let mut parts = parts.into_iter();
        while let Some(first) = parts.next() {
            let others = if run.job.policies.chunk > 1 { parts.by_ref().collect() } else { Vec::new() };
            let slot = Slot::Partial(run.key, first.index);
            self.launch(slot, Attempt { run: Arc::clone(&run), part: partial(first, others), until }, None);
        }
    }

    /// Stops the attempt of a partial; one that has ended already is left in peace.
    pub fn stop(&mut self, run: RunKey, index: u32, stop: Stop) {
        self.pull(Slot::Partial(run, index), stop);
    }

    /// Starts what gathers the `results` of a run; it ends with an [`Event::GatherEnded`].
    pub(crate) fn gather(&mut self, run: Arc<RunInfo>, results: ResultSource, until: Option<Timestamp>) {
        let slot = Slot::Gather(run.key);
        self.launch(slot, Attempt { run, part: handler::Part::Gather, until }, Some(results));
    }

    /// Stops the gather command of a run.
    pub fn stop_gather(&mut self, run: RunKey, stop: Stop) {
        self.pull(Slot::Gather(run), stop);
    }

    /// Reads the targets of a run into `keeper`; it ends with an [`Event::PlanEnded`].
    pub fn plan(&mut self, run: Arc<RunInfo>, keeper: Box<dyn PlanKeeper>, until: Option<Timestamp>) {
        let slot = Slot::Plan(run.key);
        let Some(stops) = self.enter(slot) else { return };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let end = plan::plan(&shared, &run, keeper, until, &stops).await;
            shared.live().remove(&slot);
            let _ = shared.events.send(Event::PlanEnded { run: run.key, end });
        });
    }

    /// Stops the reading of a run's targets.
    pub fn stop_plan(&mut self, run: RunKey, stop: Stop) {
        self.pull(Slot::Plan(run), stop);
    }

    /// Has targets of a run loaded, which may wait for the disk; they come with an [`Event::Loaded`].
    pub fn load(&mut self, run: RunKey, load: impl FnOnce() -> Result<Vec<(u32, Target)>, Arc<str>> + Send + 'static) {
        let events = self.shared.events.clone();
        tokio::task::spawn_blocking(move || {
            let targets = std::panic::catch_unwind(AssertUnwindSafe(load));
            let targets = targets.unwrap_or_else(|panic| Err(handler::panic_message(&*panic).into()));
            let _ = events.send(Event::Loaded { run, targets });
        });
    }

    /// How many attempts and gathers are live.
    pub fn live(&self) -> usize {
        self.shared.live().len()
    }

    /// What partials say of how far they are.
    pub(crate) fn spoken(&self) -> &Spoken {
        &self.shared.rooms.spoken
    }

    fn launch(&self, slot: Slot, attempt: Attempt, results: Option<ResultSource>) {
        let Some(stops) = self.enter(slot) else { return };
        tokio::spawn(see_through(self.shared.clone(), slot, attempt, results, stops));
    }

    fn enter(&self, slot: Slot) -> Option<StopLine> {
        match self.shared.live().entry(slot) {
            Entry::Vacant(entry) => Some(entry.insert(StopLine::default()).clone()),
            Entry::Occupied(_) => {
                // Two copies of a partial must never run; the engine does not ask for it.
                tracing::error!("{slot:?} was started while it is live");
                None
            }
        }
    }

    fn pull(&self, slot: Slot, stop: Stop) {
        let live = self.shared.live();
        match live.get(&slot) {
            Some(stops) => stops.pull(stop),
            None => self.shared.lane.stop(slot, stop),
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
async fn see_through(shared: Arc<Shared>, slot: Slot, attempt: Attempt, results: Option<ResultSource>, stops: StopLine) {
    let started = (shared.clock)();
    let ended = perform(&shared, &attempt, results, &stops).await;
    // First out of the table, then reported: the engine may start the next attempt at once.
    shared.live().remove(&slot);
    report(&shared, slot, started, ended);
}

fn partial(part: Part, others: Vec<Part>) -> handler::Part {
    let Part { index, attempt, target } = part;
    handler::Part::Partial { index, attempt, target, others }
}

/// Reports the end of what is in no table any more.
fn report(shared: &Shared, slot: Slot, started: Now, mut ended: Ended) {
    if let Slot::Partial(run, index) = slot {
        add_what_it_said(shared, run, index, &mut ended);
    }
    let end = attempt_end(ended, started, (shared.clock)());
    let event = match slot {
        Slot::Partial(run, index) => Event::AttemptsEnded { run, ends: vec![(index, end)] },
        Slot::Gather(run) | Slot::Plan(run) => Event::GatherEnded { run, end: Box::new(GatherEnd { end }) },
    };
    // Without a receiver the daemon is gone, and nobody wants to know.
    let _ = shared.events.send(event);
}

fn add_what_it_said(shared: &Shared, run: RunKey, index: u32, ended: &mut Ended) {
    if let Some(said) = shared.rooms.spoken.take(run, index) {
        ended.output = Some(said);
    }
}

/// Carries out an attempt; a panic is an end too.
async fn perform(shared: &Shared, attempt: &Attempt, results: Option<ResultSource>, stops: &StopLine) -> Ended {
    let ended = AssertUnwindSafe(carry_out(shared, attempt, results, stops)).catch_unwind().await;
    ended.unwrap_or_else(|panic| internal_error(&*panic))
}

fn internal_error(panic: &(dyn Any + Send)) -> Ended {
    Ended::failed(format!("internal error: {}", handler::panic_message(panic)))
}

async fn carry_out(shared: &Shared, attempt: &Attempt, results: Option<ResultSource>, stops: &StopLine) -> Ended {
    match (&attempt.part, results) {
        (handler::Part::Gather, Some(results)) => Box::pin(handler::finish(attempt, results, &shared.rooms, stops)).await,
        _ => handler::carry_out(attempt, &shared.rooms, stops).await,
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
        parts: ended.parts,
    }
}

#[cfg(test)]
mod tests;
