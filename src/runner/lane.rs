//! Partials of handlers of the embedding program that may take less than a microsecond: a task of its own for each would cost
//! more than the work, and so would an event.
//!
//! They wait in one queue, from which a worker, on a thread of its own, takes one after the other and polls it once. Most have
//! ended then, and their ends are reported together. One that has not ended gets a task, and from then on is as any other attempt. While
//! partials are quick, one worker is enough: a second would only take the same memory away from the first. It stands by, and
//! takes its share as soon as the first has stopped for a while, because it works or blocks its thread.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use std::vec;

use futures::FutureExt;
use jiff::Timestamp;

use super::{Shared, Slot, attempt_end, internal_error, partial, report};
use crate::engine::{AttemptEnd, Event, Now, Part, RunInfo, RunKey, Stop, Success, Successes};
use crate::handler::{AtOnce, Attempt, Begun, RESULT_MAX_BYTES, StopLine};

/// A worker that has nothing to do looks so often, a microsecond apart or less, before it leaves.
const LINGER: u32 = 50;

/// Ends are reported together when there are as many as partials that wait, so that others come in their place before the last of
/// these is taken. So many are at most …
const REPORT: usize = 256;

/// … and none waits longer for the others than this, but for a partial that blocks its thread against the rules.
const REPORT_AFTER: Duration = Duration::from_micros(200);

/// A worker that stands by looks so often whether it is needed …
const LOOK: Duration = Duration::from_millis(1);

/// … which it is when the others have taken fewer than this since: then a partial takes more than a hundredth of the time.
const QUICK: u64 = 100;

/// More workers than this help nobody: they would wait for threads.
const MAX_WORKERS: usize = 8;

#[derive(Default)]
pub(super) struct Lane {
    queue: Mutex<Queue>,
    /// How many partials have come, and how many of them have been taken.
    entered: AtomicU64,
    taken: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Bundle>,
    /// Stops that came before the attempt was seen to go on.
    stops: HashMap<Slot, Stop>,
    /// How many workers take partials.
    working: usize,
    /// Whether another stands by.
    stands_by: bool,
}

/// Partials that were started together.
struct Bundle {
    run: Arc<RunInfo>,
    until: Option<Timestamp>,
    parts: vec::IntoIter<Part>,
}

impl Lane {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// About how many partials wait.
    fn waiting(&self) -> u64 {
        self.entered.load(Ordering::Relaxed).saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    /// Keeps a stop for an attempt that may wait here.
    pub(super) fn stop(&self, slot: Slot, stop: Stop) {
        let mut queue = self.queue();
        if queue.working > 0 {
            queue.stops.insert(slot, stop);
        }
    }

    /// The next partial, and the stop that came before it.
    fn take(&self) -> Option<(Slot, Attempt, Option<Stop>)> {
        let mut queue = self.queue();
        let bundle = queue.waiting.front_mut()?;
        let (run, until) = (Arc::clone(&bundle.run), bundle.until);
        let part = bundle.parts.next();
        if bundle.parts.len() == 0 {
            queue.waiting.pop_front();
        }
        let part = part?;
        let slot = Slot::Partial(run.key, part.index);
        let stop = if queue.stops.is_empty() { None } else { queue.stops.remove(&slot) };
        drop(queue);
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some((slot, Attempt { run, part: partial(part, Vec::new()), until }, stop))
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether something waits behind the next.
    fn is_crowded(&self) -> bool {
        self.waiting.len() > 1 || self.waiting.front().is_some_and(|bundle| bundle.parts.len() > 1)
    }

    /// A worker leaves, unless something has come for it.
    fn leave(&mut self) -> bool {
        if !self.is_empty() {
            return false;
        }
        self.working -= 1;
        if self.working == 0 {
            self.stops.clear();
        }
        true
    }

    /// What the worker does, already counted, that is to be started now, if one is.
    fn wants(&mut self) -> Option<Worker> {
        if self.working == 0 {
            self.working = 1;
            Some(Worker::Works)
        } else if !self.stands_by && self.working < MAX_WORKERS && !self.is_empty() {
            self.stands_by = true;
            Some(Worker::StandsBy)
        } else {
            None
        }
    }
}

/// What a worker begins with.
#[derive(Clone, Copy)]
enum Worker {
    Works,
    StandsBy,
}

/// Has the partials carried out by the next worker that is free.
pub(super) fn enter(shared: &Arc<Shared>, run: Arc<RunInfo>, parts: Vec<Part>, until: Option<Timestamp>) {
    let mut queue = shared.lane.queue();
    shared.lane.entered.fetch_add(parts.len() as u64, Ordering::Relaxed);
    queue.waiting.push_back(Bundle { run, until, parts: parts.into_iter() });
    let mut wanted = queue.wants().into_iter().collect::<Vec<_>>();
    if queue.is_crowded() {
        wanted.extend(queue.wants());
    }
    drop(queue);
    for worker in wanted {
        start(Arc::clone(shared), worker);
    }
}

fn start(shared: Arc<Shared>, worker: Worker) {
    match worker {
        Worker::Works => drop(tokio::task::spawn_blocking(move || work(&shared))),
        Worker::StandsBy => drop(tokio::spawn(async move {
            if stand_by(&shared).await {
                start(shared, Worker::Works);
            }
        })),
    }
}

/// Waits until the others need help; false when they are done.
async fn stand_by(shared: &Arc<Shared>) -> bool {
    loop {
        let taken = shared.lane.taken.load(Ordering::Relaxed);
        tokio::time::sleep(LOOK).await;
        let mut queue = shared.lane.queue();
        let is_needed = shared.lane.taken.load(Ordering::Relaxed) - taken < QUICK;
        if !queue.is_empty() && !is_needed {
            continue;
        }
        queue.stands_by = false;
        if queue.is_empty() {
            return false;
        }
        queue.working += 1;
        // This one may stop as well.
        let wanted = queue.wants();
        drop(queue);
        if let Some(worker) = wanted {
            start(Arc::clone(shared), worker);
        }
        return true;
    }
}

fn work(shared: &Arc<Shared>) {
    let mut reports = Reports::new(shared);
    loop {
        take_all(shared, &mut reports);
        reports.send();
        // Waking a thread takes longer than to wait for what the loop starts in place of what has just ended.
        let mut waits = 0..LINGER;
        while shared.lane.queue().is_empty() && waits.next().is_some() {
            thread::yield_now();
        }
        if shared.lane.queue().leave() {
            return;
        }
    }
}

/// Until nothing waits any more.
fn take_all(shared: &Arc<Shared>, reports: &mut Reports<'_>) {
    let mut started = (shared.clock)();
    while let Some((slot, attempt, stop)) = shared.lane.take() {
        started = try_at_once(shared, slot, &attempt, stop, started, reports);
    }
}

/// Ends of one run that are reported together: successes of neighbours, or others.
struct Reports<'a> {
    shared: &'a Shared,
    run: RunKey,
    /// The index of the first success.
    first: u32,
    successes: Successes,
    others: Vec<(u32, AttemptEnd)>,
    /// When the first of them ended.
    since: Duration,
}

impl<'a> Reports<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self { shared, run: RunKey(0), first: 0, successes: Successes::default(), others: Vec::new(), since: Duration::ZERO }
    }

    fn add(&mut self, attempt: &Attempt, end: AtOnce, started: Now, now: Now) {
        let (run, index) = (attempt.run.key, attempt.index());
        let said = self.shared.rooms.spoken.take(run, index);
        if let (AtOnce::Succeeded(result), None) = (&end, &said) {
            self.go_on_with(run, index, now, self.others.is_empty() && self.next() == index);
            let duration = now.monotonic.saturating_sub(started.monotonic);
            let success = Success { started: started.wall, ended: now.wall, duration, result };
            if self.successes.push(success, RESULT_MAX_BYTES) {
                return self.send_if_due(now);
            }
        }
        let mut ended = end.into_ended();
        ended.output = said.or(ended.output);
        self.go_on_with(run, index, now, self.successes.is_empty());
        self.others.push((index, attempt_end(ended, started, now)));
        self.send_if_due(now);
    }

    /// Sends what there is, unless the next goes along with it.
    fn go_on_with(&mut self, run: RunKey, index: u32, now: Now, goes_along: bool) {
        if self.len() == 0 || run != self.run || !goes_along {
            self.send();
            (self.run, self.first, self.since) = (run, index, now.monotonic);
        }
    }

    fn send_if_due(&mut self, now: Now) {
        let are_enough = self.len() >= REPORT || self.len() as u64 >= self.shared.lane.waiting();
        if are_enough || now.monotonic.saturating_sub(self.since) >= REPORT_AFTER {
            self.send();
        }
    }

    fn len(&self) -> usize {
        self.successes.len() + self.others.len()
    }

    /// The index that would go along with the successes.
    fn next(&self) -> u32 {
        self.first.saturating_add(u32::try_from(self.successes.len()).unwrap_or(u32::MAX))
    }

    fn send(&mut self) {
        let run = self.run;
        // Without a receiver the daemon is gone, and nobody wants to know.
        if !self.successes.is_empty() {
            let _ = self.shared.events.send(Event::Succeeded { run, first: self.first, ends: mem::take(&mut self.successes) });
        }
        if !self.others.is_empty() {
            let _ = self.shared.events.send(Event::AttemptsEnded { run, ends: mem::take(&mut self.others) });
        }
    }
}

/// Polls the attempt once, and gives it a task when it has not ended then. `started`: now; the time after it is returned.
fn try_at_once(shared: &Arc<Shared>, slot: Slot, attempt: &Attempt, stop: Option<Stop>, started: Now, reports: &mut Reports<'_>) -> Now {
    let stops = StopLine::default();
    if let Some(stop) = stop {
        stops.pull(stop);
    }
    match begin(shared, attempt, &stops) {
        Progress::Ended(end) => {
            let now = (shared.clock)();
            reports.add(attempt, end, started, now);
            now
        }
        Progress::GoesOn(begun) => {
            go_on(shared, slot, begun, &stops, started);
            (shared.clock)()
        }
    }
}

/// How far an attempt has come at once.
enum Progress {
    Ended(AtOnce),
    GoesOn(Begun<'static>),
}

/// A panic is an end too, also one of what the handler leaves to be dropped.
fn begin(shared: &Shared, attempt: &Attempt, stops: &StopLine) -> Progress {
    let begun = catch_unwind(AssertUnwindSafe(|| match shared.rooms.begin(attempt, stops) {
        Ok(mut begun) => begun.end_at_once().map_or_else(|| Progress::GoesOn(begun), Progress::Ended),
        Err(ended) => Progress::Ended(AtOnce::Ended(ended)),
    }));
    begun.unwrap_or_else(|panic| Progress::Ended(AtOnce::Ended(Box::new(internal_error(&*panic)))))
}

/// Gives the attempt a task of its own.
fn go_on(shared: &Arc<Shared>, slot: Slot, begun: Begun<'static>, stops: &StopLine, started: Now) {
    let stop = {
        let mut live = shared.live();
        live.insert(slot, stops.clone());
        shared.lane.queue().stops.remove(&slot)
    };
    if let Some(stop) = stop {
        stops.pull(stop);
    }
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let ended = AssertUnwindSafe(begun.end()).catch_unwind().await.unwrap_or_else(|panic| internal_error(&*panic));
        shared.live().remove(&slot);
        report(&shared, slot, started, ended);
    });
}
