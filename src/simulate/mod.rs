//! The real engine under a virtual clock: what a configuration does in a stretch of time, in seconds. PURE.
//!
//! [`Simulation`] performs what the engine asks for in its own world: records are durable at once, attempts end after a given time
//! and succeed. Downtimes are crashes: the next daemon recovers what was recorded.

mod records;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use self::records::Records;
pub use self::report::{Fire, JobReport, Peak, Report};
use crate::config::{Config, JobName, Target};
use crate::engine::{
    AttemptEnd, Effect, Engine, Event, GatherEnd, Indexes, LEAD, Now, Outcome, Part, PlanEnd, Record, RunInfo, RunKey, Stop,
};

/// What is to be simulated.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Nominal times count from here on.
    pub from: Timestamp,
    /// Nominal times count up to here; this one does not.
    pub to: Timestamp,
    /// How long an attempt of a job takes.
    pub durations: HashMap<JobName, Duration>,
    /// How long an attempt of any other job takes.
    pub otherwise: Duration,
    /// What befalls the daemon, by the time since the start, ascending.
    pub troubles: Vec<(Duration, Trouble)>,
    /// So many fires are listed; all are counted.
    pub listed: usize,
}

/// What can befall a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It dies, and the next one starts after so long.
    Down(Duration),
    /// The wall clock is set, forward or back.
    ClockSet(SignedDuration),
}

/// What can be watched while it happens.
#[derive(Debug)]
pub enum Seen<'a> {
    Record(&'a Record),
    /// An attempt of the run starts.
    Start(&'a RunInfo, Now),
    /// A trouble has come, and the engine has made of it what it does.
    Over(Trouble, Now),
}

/// So many targets are assumed where they come from elsewhere: what is there is read when a run begins.
const ASSUMED_TARGETS: u32 = 1;

/// Nominal times count that are later than the start of an accounting; that of `from` counts too.
const BEFORE: Duration = Duration::from_nanos(1);

/// Simulates `config` as `plan` says. `watch` sees everything as it happens.
pub fn simulate(config: &Arc<Config>, plan: &Plan, watch: impl FnMut(Seen<'_>)) -> Report {
    let mut simulation = Simulation::new(Arc::clone(config), plan, watch);
    // The clock stands a moment before `from`.
    let start = simulation.now.monotonic + BEFORE;
    for (after, trouble) in &plan.troubles {
        simulation.run_until(start + *after);
        match *trouble {
            Trouble::Down(how_long) => {
                simulation.ends.clear();
                simulation.children.clear();
                simulation.advance(how_long);
                simulation.recover();
            }
            Trouble::ClockSet(by) => {
                simulation.now.wall += by;
                simulation.handle(Event::Tick);
            }
        }
        (simulation.watch)(Seen::Over(*trouble, simulation.now));
    }
    // A fire is decided ahead of its instant.
    let rest = Duration::try_from((plan.to - LEAD).duration_since(simulation.now.wall)).unwrap_or_default();
    simulation.run_until(simulation.now.monotonic + rest);
    simulation.report
}

/// An attempt, or a gather command without an index, under way.
type Child = (RunKey, Option<u32>);

struct Simulation<'a, W> {
    watch: W,
    plan: &'a Plan,
    config: Arc<Config>,
    engine: Engine,
    now: Now,
    records: Records,
    /// What is under way, by the time at which it ends and the order of its start.
    ends: BTreeMap<(Duration, u64), Child>,
    children: HashMap<Child, (Duration, u64)>,
    started: u64,
    report: Report,
}

impl<'a, W: FnMut(Seen<'_>)> Simulation<'a, W> {
    fn new(config: Arc<Config>, plan: &'a Plan, watch: W) -> Self {
        let wall = plan.from - BEFORE;
        let now = Now { wall, monotonic: Duration::from_secs(1) };
        let records = Records::default();
        let (engine, effects) = Engine::recover(Arc::clone(&config), records.recovery(), "simulated".into(), now);
        let report = Report::new(&config);
        let (ends, children) = (BTreeMap::new(), HashMap::new());
        let mut simulation = Self { watch, plan, config, engine, now, records, ends, children, started: 0, report };
        simulation.perform(effects);
        simulation
    }

    fn run_until(&mut self, until: Duration) {
        while let Some(next) = self.next_instant().filter(|next| *next < until) {
            self.advance(next.saturating_sub(self.now.monotonic));
            while let Some((&at, &child)) = self.ends.first_key_value().filter(|(at, _)| at.0 <= self.now.monotonic) {
                self.ends.remove(&at);
                self.children.remove(&child);
                self.end(child, Outcome::Succeeded);
            }
            self.handle(Event::Tick);
        }
        self.advance(until.saturating_sub(self.now.monotonic));
    }

    /// When something happens next; what should have happened already happens now.
    fn next_instant(&self) -> Option<Duration> {
        let wakeup = self.engine.next_wakeup();
        let child = self.ends.first_key_value().map(|((at, _), _)| *at);
        let wait = |at: Timestamp| Duration::try_from(at.duration_since(self.now.wall)).unwrap_or_default();
        let wall = wakeup.wall.map(|at| self.now.monotonic + wait(at));
        wall.into_iter().chain(wakeup.monotonic).chain(child).min().map(|next| next.max(self.now.monotonic))
    }

    /// Both clocks go on together.
    fn advance(&mut self, by: Duration) {
        self.now.wall += by;
        self.now.monotonic += by;
    }

    fn handle(&mut self, event: Event) {
        let effects = self.engine.handle(self.now, event);
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        let mut waiting = VecDeque::from(effects);
        while let Some(effect) = waiting.pop_front() {
            match effect {
                Effect::Record(record) => self.record(&record),
                Effect::WhenDurable(then) => waiting.extend(self.engine.handle(self.now, Event::Durable(then))),
                Effect::Start { run, parts, .. } => self.start_parts(&run, &parts),
                Effect::Plan { run, .. } => {
                    let end = PlanEnd::Read { count: ASSUMED_TARGETS, unlisted: Indexes::default() };
                    waiting.extend(self.engine.handle(self.now, Event::PlanEnded { run: run.key, end }));
                }
                Effect::Load { run, indexes } => {
                    let targets = indexes.into_iter().flatten().map(|index| (index, Target::text(&index.to_string())));
                    let loaded = Event::Loaded { run, targets: Ok(targets.collect()) };
                    waiting.extend(self.engine.handle(self.now, loaded));
                }
                Effect::Gather { run, .. } => self.start(&run, None),
                Effect::Stop { run, index, stop } => self.stop((run, Some(index)), stop),
                Effect::StopGather { run, stop } => self.stop((run, None), stop),
                Effect::StopPlan { .. } | Effect::Answer { .. } | Effect::Suspended { .. } | Effect::Finished => {}
            }
        }
    }

    fn record(&mut self, record: &Record) {
        (self.watch)(Seen::Record(record));
        self.records.apply(record);
        self.report.take(record, self.plan.listed);
    }

    /// One process for a chunk, one for each partial else.
    fn start_parts(&mut self, run: &RunInfo, parts: &[Part]) {
        let chunk = run.job.policies.chunk.max(1) as usize;
        parts.iter().step_by(chunk).for_each(|part| self.start(run, Some(part.index)));
    }

    fn start(&mut self, run: &RunInfo, index: Option<u32>) {
        (self.watch)(Seen::Start(run, self.now));
        let takes = match index {
            Some(_) => self.plan.durations.get(&run.job.name).copied().unwrap_or(self.plan.otherwise),
            None => Duration::ZERO,
        };
        self.started += 1;
        let at = (self.now.monotonic + takes, self.started);
        let child = (run.key, index);
        self.ends.insert(at, child);
        self.children.insert(child, at);
        self.report.peak(self.children.len(), self.engine.live_runs(), self.now.wall);
    }

    /// A signalled attempt ends at once.
    fn stop(&mut self, child: Child, _stop: Stop) {
        if let Some(at) = self.children.remove(&child) {
            self.ends.remove(&at);
            self.end(child, Outcome::Signalled);
        }
    }

    fn end(&mut self, (run, index): Child, outcome: Outcome) {
        let end = AttemptEnd::bare(outcome, self.now.wall, self.now.wall, Duration::ZERO);
        match index {
            Some(index) => self.handle(Event::AttemptsEnded { run, ends: vec![(index, end)] }),
            None => self.handle(Event::GatherEnded { run, end: Box::new(GatherEnd { end }) }),
        }
    }

    fn recover(&mut self) {
        let (engine, effects) = Engine::recover(Arc::clone(&self.config), self.records.recovery(), "simulated".into(), self.now);
        self.engine = engine;
        self.perform(effects);
    }
}
