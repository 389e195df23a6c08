//! The plans of runs in the store: where a reading of targets brings them, and from where they are loaded before they start.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Target;
use crate::engine::{Indexes, PlanEnd, RunInfo, RunKey};
use crate::runner::{Kept, PlanKeeper};
use crate::store::{PlanAnswer, PlanStep, Planner, Reader, StoreError};

/// The plan of a run whose targets are being read.
#[derive(Debug)]
pub(super) struct Keeper {
    planner: Planner,
    state_dir: Arc<Path>,
    run: RunKey,
    /// Whether targets that are not on record join.
    grows: bool,
    /// The number of the reading.
    listing: i64,
    /// Targets that earlier readings have put on record.
    recorded: u32,
    next: u32,
}

impl Keeper {
    pub(super) fn new(planner: Planner, state_dir: Arc<Path>, run: &RunInfo) -> Self {
        let grows = run.cause.grows() || run.targets.partials() == 0;
        Self { planner, state_dir, run: run.key, grows, listing: 0, recorded: 0, next: 0 }
    }

    fn ask(&self, step: PlanStep) -> Result<PlanAnswer, String> {
        let answer = self.planner.take(step).ok_or_else(|| "the store takes nothing any more".to_owned())?;
        answer.map_err(|error| error.to_string())
    }
}

impl PlanKeeper for Keeper {
    fn begin(&mut self) -> Result<(), String> {
        loop {
            if let PlanAnswer::Begun { listing, recorded } = self.ask(PlanStep::Begin { run: self.run })? {
                (self.listing, self.recorded, self.next) = (listing, recorded, recorded);
                return Ok(());
            }
        }
    }

    fn keep(&mut self, targets: Vec<Target>) -> Result<Kept, String> {
        let (run, listing, next, grows) = (self.run, self.listing, self.next, self.grows);
        let step = match self.recorded {
            0 => PlanStep::List { run, listing, next, targets },
            _ => PlanStep::Keep { run, listing, next, grows, targets },
        };
        match self.ask(step)? {
            PlanAnswer::Duplicate { position, first } => Ok(Kept::Duplicate { position, first }),
            PlanAnswer::Kept { next } => {
                self.next = next;
                Ok(Kept::All)
            }
            PlanAnswer::Clearing | PlanAnswer::Begun { .. } => Ok(Kept::All),
        }
    }

    fn end(&mut self) -> Result<PlanEnd, String> {
        let unlisted = if self.recorded == 0 {
            Indexes::default()
        } else {
            let reader = Reader::open(&self.state_dir).map_err(|error| error.to_string())?;
            reader.unlisted(self.run, self.listing).map_err(|error| error.to_string())?
        };
        Ok(PlanEnd::Read { count: self.next, unlisted })
    }
}

/// Loads planned targets; one connection for all runs.
#[derive(Clone, Debug)]
pub(super) struct Loader {
    state_dir: Arc<Path>,
    reader: Arc<Mutex<Option<Reader>>>,
}

impl Loader {
    pub(super) fn new(state_dir: Arc<Path>) -> Self {
        Self { state_dir, reader: Arc::default() }
    }

    /// Waits for the disk: not for the loop.
    pub(super) fn load(&self, run: RunKey, indexes: &[Range<u32>]) -> Result<Vec<(u32, Target)>, Arc<str>> {
        let mut kept = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = match kept.take() {
            Some(reader) => reader,
            None => Reader::open(&self.state_dir).map_err(|error| told(&error))?,
        };
        let mut targets = Vec::new();
        for range in indexes {
            targets.extend(reader.planned(run, range.start, range.end).map_err(|error| told(&error))?);
        }
        *kept = Some(reader);
        let wanted: usize = indexes.iter().map(ExactSizeIterator::len).sum();
        if targets.len() == wanted { Ok(targets) } else { Err(format!("{} of {wanted} are in the store", targets.len()).into()) }
    }
}

fn told(error: &StoreError) -> Arc<str> {
    error.to_string().into()
}
