//! The plans of runs in the store: where a reading of targets brings them, and from where they are loaded before they start.

mod fingerprints;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use self::fingerprints::{Fingerprints, MOST_FINGERPRINTS};
use crate::config::Target;
use crate::engine::{Indexes, PlanEnd, RunInfo, RunKey};
use crate::runner::{Kept, PlanKeeper};
use crate::store::{PackedTargets, PendingStep, PlanAnswer, PlanStep, Planner, Reader, StoreError};

/// So many targets are packed at once: they are few, so that their memory is used again at once by the thread that reads them …
const LISTED_AT_ONCE: usize = 256;

/// … and so many bytes of them are one transaction.
const PACKED_BYTES: usize = 1 << 20;

/// So many targets that get a row each are one transaction.
const KEPT_AT_ONCE: usize = 4_096;

/// The plan of a run whose targets are being read.
#[derive(Debug)]
pub(super) struct Keeper<S = RandomState> {
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
    /// Those of the keys of a first reading, while it lists side by side.
    fingerprints: Option<Fingerprints<S>>,
    /// What such a reading has listed and not handed over yet.
    packed: PackedTargets,
    /// What the store is writing while the next targets are read.
    pending: Option<PendingStep>,
}

impl Keeper {
    pub(super) fn new(planner: Planner, state_dir: Arc<Path>, run: &RunInfo) -> Self {
        Self::with(Fingerprints::new(RandomState::new(), MOST_FINGERPRINTS), planner, state_dir, run)
    }
}

impl<S: BuildHasher> Keeper<S> {
    fn with(fingerprints: Fingerprints<S>, planner: Planner, state_dir: Arc<Path>, run: &RunInfo) -> Self {
        let grows = run.cause.grows() || run.targets.partials() == 0;
        let fingerprints = Some(fingerprints);
        Self {
            planner,
            state_dir,
            run: run.key,
            grows,
            listing: 0,
            recorded: 0,
            next: 0,
            fingerprints,
            packed: PackedTargets::default(),
            pending: None,
        }
    }

    fn ask(&self, step: PlanStep) -> Result<PlanAnswer, String> {
        answer(self.planner.take(step))
    }

    /// Until what was handed over is on disk.
    fn settle(&mut self) -> Result<(), String> {
        self.pending.take().map_or(Ok(()), |pending| answer(pending.wait()).map(drop))
    }

    /// Packs the targets if none of their keys has come before, and hands over what is enough for a transaction.
    fn list(&mut self, targets: &[Target]) -> Result<Kept, String> {
        let keys = targets.iter().map(|target| &*target.key);
        let suspects = self.fingerprints.as_mut().map(|fingerprints| fingerprints.insert(keys)).unwrap_or_default();
        for position in suspects {
            let key = &targets[position].key;
            if let Some(first) = self.place_of(key, &targets[..position])? {
                return Ok(Kept::Duplicate { position, key: Arc::clone(key), first });
            }
        }
        targets.iter().try_for_each(|target| self.packed.push(target)).map_err(|error| error.to_string())?;
        if self.packed.bytes() >= PACKED_BYTES {
            self.hand_over()?;
        }
        Ok(Kept::All)
    }

    /// Waits for what was handed over before, and hands over what is packed.
    fn hand_over(&mut self) -> Result<(), String> {
        self.settle()?;
        let (next, targets) = (self.next, mem::take(&mut self.packed));
        if targets.count() > 0 {
            self.next = next.saturating_add(targets.count());
            let pending = self.planner.hand_over(PlanStep::List { run: self.run, next, targets });
            self.pending = Some(pending.ok_or_else(ended)?);
        }
        Ok(())
    }

    /// The place of the target with this key, among those `before` it in its group or the ones that have been kept.
    fn place_of(&mut self, key: &str, before: &[Target]) -> Result<Option<u32>, String> {
        let place = self.next.saturating_add(self.packed.count());
        if let Some((place, _)) = (place..).zip(before).find(|(_, target)| *target.key == *key) {
            return Ok(Some(place));
        }
        self.hand_over()?;
        self.settle()?;
        let reader = Reader::open(&self.state_dir).map_err(|error| error.to_string())?;
        reader.place_of(self.run, key).map_err(|error| error.to_string())
    }

    /// From here on each target gets a row, whose index finds what comes twice.
    fn unpack(&mut self) -> Result<(), String> {
        self.hand_over()?;
        self.settle()?;
        self.fingerprints = None;
        while self.ask(PlanStep::Unpack { run: self.run, listing: self.listing })? == PlanAnswer::More {}
        Ok(())
    }
}

fn answer(answer: Option<Result<PlanAnswer, StoreError>>) -> Result<PlanAnswer, String> {
    answer.ok_or_else(ended)?.map_err(|error| error.to_string())
}

fn ended() -> String {
    "the store takes nothing any more".to_owned()
}

impl<S: BuildHasher + Send + fmt::Debug> PlanKeeper for Keeper<S> {
    fn begin(&mut self) -> Result<(), String> {
        loop {
            if let PlanAnswer::Begun { listing, recorded } = self.ask(PlanStep::Begin { run: self.run })? {
                (self.listing, self.recorded, self.next) = (listing, recorded, recorded);
                if recorded > 0 {
                    self.fingerprints = None;
                }
                return Ok(());
            }
        }
    }

    fn at_once(&self) -> usize {
        if self.fingerprints.is_some() { LISTED_AT_ONCE } else { KEPT_AT_ONCE }
    }

    fn keep(&mut self, targets: Vec<Target>) -> Result<Kept, String> {
        match &self.fingerprints {
            Some(fingerprints) if fingerprints.have_room(targets.len()) => return self.list(&targets),
            Some(_) => self.unpack()?,
            None => {}
        }
        let (run, listing, next, grows) = (self.run, self.listing, self.next, self.grows);
        match self.ask(PlanStep::Keep { run, listing, next, grows, targets })? {
            PlanAnswer::Duplicate { position, key, first } => return Ok(Kept::Duplicate { position, key, first }),
            PlanAnswer::Kept { next } => self.next = next,
            PlanAnswer::More | PlanAnswer::Unpacked | PlanAnswer::Begun { .. } => {}
        }
        Ok(Kept::All)
    }

    fn end(&mut self) -> Result<PlanEnd, String> {
        self.hand_over()?;
        self.settle()?;
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
