//! Reading the targets of a run, as the daemon does it beside the loop: in groups, each on disk at once, with a life of its own.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use batchd::config::{Target, Targets};
use batchd::engine::{Event, PlanEnd, RunInfo, RunKey};

use crate::world::{Temper, World};

/// Targets that are kept at once.
const GROUP: usize = 3;

/// The plan of a run on disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// The number of the last reading.
    listing: u32,
    /// The key of each target, and the reading that listed it last.
    rows: Vec<(u32, u32)>,
}

/// A reading under way.
#[derive(Debug)]
pub(crate) struct Planner {
    run: Arc<RunInfo>,
    listed: Vec<u32>,
    /// When the next group comes.
    pub(crate) at: Duration,
    fails: bool,
    stopped: bool,
    begun: bool,
}

/// Targets on their way from the disk.
pub(crate) type Load = (Duration, RunKey, Vec<(u32, Target)>);

impl Plan {
    /// The target at a place.
    pub(crate) fn target(&self, index: u32) -> Option<Target> {
        self.rows.get(index as usize).map(|(key, _)| Target::text(&key.to_string()))
    }
}

impl World {
    /// What the source of a job lists now.
    fn listed(&self, run: &RunInfo) -> Vec<u32> {
        match &run.job.targets {
            Targets::Source(_) => self.lists.get(&run.job.name).cloned().unwrap_or_else(|| (0..8).collect()),
            listed => (0..listed.partials()).filter_map(|index| listed.get(index)?.key.parse().ok()).collect(),
        }
    }

    pub(crate) fn plan(&mut self, run: &Arc<RunInfo>) {
        assert!(self.disk.runs.contains_key(&run.key), "{}: read before it was recorded", run.id);
        let (listed, troubled) = (self.listed(run), self.temper == Temper::Mixed);
        let hangs = troubled && self.choices.one_in(15);
        let wait = if hangs { 100_000_000 } else { self.choices.among(1..3_000) };
        let fails = troubled && self.choices.one_in(10);
        let at = self.now.monotonic + Duration::from_millis(wait);
        let planner = Planner { listed, at, fails, stopped: false, begun: false, run: Arc::clone(run) };
        assert!(self.planners.insert(run.key, planner).is_none(), "{}: read twice at once", run.id);
    }

    pub(crate) fn stop_plan(&mut self, run: RunKey) {
        let soon = self.now.monotonic + Duration::from_millis(100);
        if let Some(planner) = self.planners.get_mut(&run) {
            planner.stopped = true;
            planner.at = planner.at.min(soon);
        }
    }

    pub(crate) fn load(&mut self, run: RunKey, indexes: Vec<Range<u32>>) {
        let plan = &self.disk.plans[&run];
        let loaded = indexes.into_iter().flatten().map(|index| (index, plan.target(index).expect("it is in the plan"))).collect();
        self.loads.push((self.now.monotonic + Duration::from_millis(1), run, loaded));
    }

    /// Whatever of the readings and loads is due.
    pub(crate) fn planners_happen(&mut self) {
        let (life, now) = (self.life, self.now.monotonic);
        let due: Vec<_> = self.loads.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, run, targets) in due {
            if self.life == life {
                self.handle(Event::Loaded { run, targets: Ok(targets) });
            }
        }
        let due: Vec<RunKey> = self.planners.iter().filter(|(_, planner)| planner.at <= now).map(|(run, _)| *run).collect();
        for run in due {
            if let Some(end) = self.planners.get_mut(&run).and_then(|planner| step(planner, &mut self.disk)) {
                self.planners.remove(&run);
                self.handle(Event::PlanEnded { run, end });
            }
        }
    }
}

/// Keeps the next group; the end, when there is none.
fn step(planner: &mut Planner, disk: &mut crate::disk::Disk) -> Option<PlanEnd> {
    let run = &planner.run;
    let recorded = disk.runs[&run.key].targets.partials();
    let plan = disk.plans.entry(run.key).or_default();
    if !planner.begun {
        planner.begun = true;
        plan.listing += 1;
        plan.rows.truncate(recorded as usize);
    }
    if planner.stopped {
        return Some(PlanEnd::Failed("stopped".into()));
    }
    if planner.listed.is_empty() && planner.fails {
        return Some(PlanEnd::Failed("the source is gone".into()));
    }
    if planner.listed.is_empty() {
        let listing = plan.listing;
        let unlisted = (0..).zip(&plan.rows).filter(|(_, (_, listed))| *listed != listing).map(|(index, _)| index).collect();
        return Some(PlanEnd::Read { count: u32::try_from(plan.rows.len()).expect("small"), unlisted });
    }
    let group = planner.listed.len().min(GROUP);
    for key in planner.listed.drain(..group) {
        match plan.rows.iter_mut().find(|(known, _)| *known == key) {
            Some((_, listing)) => *listing = plan.listing,
            None if run.cause.grows() || recorded == 0 => plan.rows.push((key, plan.listing)),
            None => {}
        }
    }
    planner.at += Duration::from_millis(700);
    None
}
