//! Reads the targets of a run and brings them into the store in groups; the end is reported as one event.

use std::collections::HashSet;
use std::fmt;
use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use jiff::Timestamp;

use super::Shared;
use crate::config::{Selection, Target, TargetValue, Targets};
use crate::engine::{PlanEnd, RunInfo};
use crate::handler::listing::{self, Fault, Place, Take};
use crate::handler::{self, Attempt, Part, StopLine};

/// So many bytes of targets are kept at once, however few they are.
const GROUP_BYTES: usize = 1024 * 1024;

/// Where the targets of one run are kept. Its functions may wait for the disk; their errors are for people.
pub trait PlanKeeper: Send + fmt::Debug {
    /// Before the first target.
    fn begin(&mut self) -> Result<(), String>;
    /// How many targets are best kept at once.
    fn at_once(&self) -> usize;
    /// The next targets. They may be on their way when it returns: what fails on it then, the next call tells.
    fn keep(&mut self, targets: Vec<Target>) -> Result<Kept, String>;
    /// After the last target, once all are on disk: how many there are now.
    fn end(&mut self) -> Result<PlanEnd, String>;
}

/// What came of keeping a group of targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    All,
    /// The target at `position` of the group, which has this key, was listed before, as the one at the place `first`.
    Duplicate {
        position: usize,
        key: Arc<str>,
        first: u32,
    },
}

/// Reads the targets of `run`; a panic is an end too.
pub(super) async fn plan(
    shared: &Shared,
    run: &Arc<RunInfo>,
    keeper: Box<dyn PlanKeeper>,
    until: Option<Timestamp>,
    stops: &StopLine,
) -> PlanEnd {
    let read = AssertUnwindSafe(read(shared, run, keeper, until, stops)).catch_unwind().await;
    match read {
        Ok(Ok(end)) => end,
        Ok(Err(fault)) => PlanEnd::Failed(fault.to_string().into()),
        Err(panic) => PlanEnd::Failed(format!("internal error: {}", handler::panic_message(&*panic)).into()),
    }
}

async fn read(
    shared: &Shared,
    run: &Arc<RunInfo>,
    keeper: Box<dyn PlanKeeper>,
    until: Option<Timestamp>,
    stops: &StopLine,
) -> Result<PlanEnd, Fault> {
    let group = Arc::new(Mutex::new(Group::new(run, keeper, stops.clone())));
    let begun = Arc::clone(&group);
    in_background(move || locked(&begun, |group| group.keeper.begin().map_err(Fault::Whole))).await?;
    let taker = Arc::clone(&group);
    let take: Take = Box::new(move |target, place| locked(&taker, |group| group.take(target, place)));
    match &run.job.targets {
        Targets::Source(source) => {
            let attempt = Arc::new(Attempt { run: Arc::clone(run), part: Part::Plan, until });
            let name = listing::read(attempt, Arc::clone(source), &shared.rooms, stops, take).await?;
            in_background(move || locked(&group, Group::end).map_err(|fault| fault.of(&name))).await
        }
        listed => {
            let listed = listed.clone();
            in_background(move || take_listed(&listed, take)).await?;
            in_background(move || locked(&group, Group::end)).await
        }
    }
}

/// The job lists its targets itself now.
fn take_listed(targets: &Targets, mut take: Take) -> Result<(), Fault> {
    (0..targets.partials())
        .filter_map(|index| targets.get(index))
        .zip(1..)
        .try_for_each(|(target, number)| take(target, Place { noun: "target", number }))
}

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Fault::Whole(error.to_string())))
}

fn locked<T>(group: &Mutex<Group>, work: impl FnOnce(&mut Group) -> T) -> T {
    work(&mut group.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Targets on their way to the store.
struct Group {
    keeper: Box<dyn PlanKeeper>,
    stops: StopLine,
    targets: Vec<Target>,
    /// Where each came from.
    places: Vec<Place>,
    bytes: usize,
    total: u32,
    selection: Selection,
    /// Keys that were chosen and have not come yet.
    wanted: HashSet<Arc<str>>,
}

impl Group {
    fn new(run: &RunInfo, keeper: Box<dyn PlanKeeper>, stops: StopLine) -> Self {
        let selection = if let Targets::Unplanned(selection) = &run.targets { selection.clone() } else { Selection::All };
        let wanted = match &selection {
            Selection::All => HashSet::new(),
            Selection::Named(keys) | Selection::StillThere(keys) => keys.iter().cloned().collect(),
        };
        Self { keeper, stops, targets: Vec::new(), places: Vec::new(), bytes: 0, total: 0, selection, wanted }
    }

    fn take(&mut self, target: Target, place: Place) -> Result<(), Fault> {
        if self.selection != Selection::All && !self.wanted.remove(&target.key) {
            return Ok(());
        }
        self.total += 1;
        if self.total > Targets::MAX {
            return Err(Fault::Whole(format!("there are more than {} targets", Targets::MAX)));
        }
        self.bytes += size(&target);
        self.targets.push(target);
        self.places.push(place);
        if self.targets.len() >= self.keeper.at_once() || self.bytes >= GROUP_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        if self.stops.is_pulled() {
            return Err(Fault::Whole("stopped".to_owned()));
        }
        if self.targets.is_empty() {
            return Ok(());
        }
        let (targets, places) = (mem::take(&mut self.targets), mem::take(&mut self.places));
        self.bytes = 0;
        match self.keeper.keep(targets).map_err(Fault::Whole)? {
            Kept::All => Ok(()),
            Kept::Duplicate { position, key, first } => {
                let problem = format!("duplicate target `{key}`, which is the same as target {}", u64::from(first) + 1);
                Err(places.get(position).map_or_else(|| Fault::Whole(problem.clone()), |place| place.fault(problem.clone())))
            }
        }
    }

    fn end(&mut self) -> Result<PlanEnd, Fault> {
        self.flush()?;
        match (&self.selection, self.wanted.iter().next()) {
            (Selection::Named(_), Some(missing)) => return Err(Fault::Whole(format!("no target is called `{missing}`"))),
            (Selection::StillThere(_), Some(_)) if self.total == 0 => {
                return Err(Fault::Whole("none of the targets is listed any more".to_owned()));
            }
            _ => {}
        }
        self.keeper.end().map_err(Fault::Whole)
    }
}

fn size(target: &Target) -> usize {
    let value = match &target.value {
        TargetValue::Text(_) => 0,
        TargetValue::Table(table) => table.iter().map(|(name, value)| name.len() + value.as_str().map_or(16, str::len)).sum(),
    };
    target.key.len() + value
}
