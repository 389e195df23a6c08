//! The attempts of a run that are in flight: one by one, or as many as were started together.
//!
//! A million partials of a handler start and end in order, a hundred or so at a time. So first attempts that were started together
//! stay together, until something is to be done about one of them alone.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::Timestamp;

use crate::config::Target;
use crate::engine::timers::{Timer, TimerKey, Timers};
use crate::engine::{FlightSnapshot, Outcome, Part, RunKey};

/// Of so many that were started together, one at least is still in flight, or they are kept one by one: what has ended holds no memory.
const SCATTERED: usize = 8;

/// An attempt in flight.
#[derive(Debug)]
pub(in crate::engine) struct Flight {
    pub attempt: u32,
    /// When it was started, on the wall clock: for people.
    pub since: Timestamp,
    pub target: Option<Target>,
    /// The rest of its chunk.
    pub others: Vec<Part>,
    /// The timeout, or the kill after the grace.
    pub timer: Option<TimerKey>,
    /// Set once it has been signalled: how it will have ended.
    pub stopped: Option<Outcome>,
}

impl Flight {
    fn new(part: Part, since: Timestamp, timer: Option<TimerKey>) -> Self {
        Self { attempt: part.attempt, since, target: part.target, others: Vec::new(), timer, stopped: None }
    }
}

/// First attempts of neighbours, one at least, that were started together; none of them has been stopped.
#[derive(Debug)]
struct Bundle {
    since: Timestamp,
    /// The timeout of each.
    timer: Option<TimerKey>,
    /// By index, from that of the bundle on; `None`: it has ended.
    parts: Vec<Option<Part>>,
    left: usize,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(in crate::engine) struct Flights {
    single: BTreeMap<u32, Flight>,
    /// By their first index. No two bundles have an index in common, since each partial has one first attempt.
    bundles: BTreeMap<u32, Bundle>,
    bundled: usize,
}

impl Flights {
    pub(in crate::engine) fn len(&self) -> usize {
        self.single.len() + self.bundled
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(in crate::engine) fn insert(&mut self, index: u32, flight: Flight) {
        self.single.insert(index, flight);
    }

    /// First attempts of neighbours, with one timeout for all.
    pub(in crate::engine) fn insert_together(&mut self, parts: &[Part], since: Timestamp, timer: Option<TimerKey>) {
        if let Some(first) = parts.first() {
            self.bundled += parts.len();
            let bundle = Bundle { since, timer, parts: parts.iter().cloned().map(Some).collect(), left: parts.len() };
            self.bundles.insert(first.index, bundle);
        }
    }

    /// Takes out what has ended.
    pub(in crate::engine) fn remove(&mut self, index: u32, run: RunKey, timers: &mut Timers) -> Option<Flight> {
        if let Some(flight) = self.single.remove(&index) {
            timers.cancel(flight.timer);
            return Some(flight);
        }
        let (first, bundle) = self.bundle_mut(index)?;
        let part = bundle.parts.get_mut((index - first) as usize)?.take()?;
        let flight = Flight::new(part, bundle.since, None);
        self.have_ended(1, first, run, timers);
        Some(flight)
    }

    /// Takes out the first attempts of these partials, if they were started together and none has been stopped: their targets.
    pub(in crate::engine) fn remove_together(
        &mut self,
        indexes: Range<u32>,
        run: RunKey,
        timers: &mut Timers,
    ) -> Option<Vec<Option<Target>>> {
        let (first, bundle) = self.bundle_mut(indexes.start)?;
        let places = (indexes.start - first) as usize..(indexes.end - first) as usize;
        let parts = bundle.parts.get_mut(places).filter(|parts| parts.iter().all(Option::is_some))?;
        let targets: Vec<_> = parts.iter_mut().filter_map(Option::take).map(|part| part.target).collect();
        self.have_ended(targets.len(), first, run, timers);
        Some(targets)
    }

    fn have_ended(&mut self, count: usize, first: u32, run: RunKey, timers: &mut Timers) {
        let Some(bundle) = self.bundles.get_mut(&first) else { return };
        bundle.left -= count;
        self.bundled -= count;
        if bundle.left * SCATTERED <= bundle.parts.len() {
            self.scatter(first, run, timers);
        }
    }

    /// One attempt, to be changed.
    pub(in crate::engine) fn get_mut(&mut self, index: u32, run: RunKey, timers: &mut Timers) -> Option<&mut Flight> {
        if !self.single.contains_key(&index)
            && let Some((first, _)) = self.bundle_mut(index)
        {
            self.scatter(first, run, timers);
        }
        self.single.get_mut(&index)
    }

    /// Keeps what was started together from `first` on one by one from now on, each with its own timeout.
    pub(in crate::engine) fn scatter(&mut self, first: u32, run: RunKey, timers: &mut Timers) {
        let Some(bundle) = self.bundles.remove(&first) else { return };
        self.bundled -= bundle.left;
        timers.cancel(bundle.timer);
        for part in bundle.parts.into_iter().flatten() {
            let index = part.index;
            let timer = bundle.timer.map(|timer| timers.set(timer.due(), Timer::Attempt { run, index }));
            self.single.insert(index, Flight::new(part, bundle.since, timer));
        }
    }

    pub(in crate::engine) fn indexes(&self) -> Vec<u32> {
        let bundled = self.bundles.values().flat_map(|bundle| bundle.parts.iter().flatten()).map(|part| part.index);
        let mut indexes: Vec<u32> = self.single.keys().copied().chain(bundled).collect();
        indexes.sort_unstable();
        indexes
    }

    /// Those that were started first, at most so many, the oldest first.
    pub(in crate::engine) fn oldest(&self, at_most: usize) -> Vec<FlightSnapshot> {
        let single = self.single.iter().map(|(index, flight)| (flight.since, *index, flight.attempt, &flight.target));
        let bundled = self.bundles.values().flat_map(|bundle| bundle.parts.iter().flatten().map(|part| (bundle.since, part)));
        let bundled = bundled.map(|(since, part)| (since, part.index, part.attempt, &part.target));
        let mut flights: Vec<_> = single.chain(bundled).collect();
        flights.sort_unstable_by_key(|(since, index, ..)| (*since, *index));
        let snapshot = |(since, index, attempt, target): (Timestamp, u32, u32, &Option<Target>)| FlightSnapshot {
            index,
            target: target.clone(),
            attempt,
            since,
        };
        flights.into_iter().take(at_most).map(snapshot).collect()
    }

    fn bundle_mut(&mut self, index: u32) -> Option<(u32, &mut Bundle)> {
        let (first, bundle) = self.bundles.range_mut(..=index).next_back()?;
        ((index - *first) as usize).lt(&bundle.parts.len()).then_some((*first, bundle))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const RUN: RunKey = RunKey(1);
    const DUE: Duration = Duration::from_secs(9);

    /// What is done to the attempts, by numbers that are brought into range.
    #[derive(Clone, Debug)]
    enum Deed {
        Together(u32),
        Single,
        Ends(usize),
        EndTogether(usize, u32),
        Stop(usize),
        TimeOut(usize),
    }

    fn deeds() -> impl Strategy<Value = Vec<Deed>> {
        let deed = prop_oneof![
            (1..40_u32).prop_map(Deed::Together),
            Just(Deed::Single),
            any::<usize>().prop_map(Deed::Ends),
            (any::<usize>(), 1..20_u32).prop_map(|(which, count)| Deed::EndTogether(which, count)),
            any::<usize>().prop_map(Deed::Stop),
            any::<usize>().prop_map(Deed::TimeOut),
        ];
        proptest::collection::vec(deed, 0..60)
    }

    fn part(index: u32) -> Part {
        Part { index, attempt: 1, target: Some(Target::text(&index.to_string())) }
    }

    /// Flights beside the simplest thing that could be: a set of indexes.
    #[derive(Default)]
    struct Both {
        flights: Flights,
        timers: Timers,
        expected: std::collections::BTreeSet<u32>,
        next: u32,
    }

    impl Both {
        fn pick(&self, which: usize) -> Option<u32> {
            self.expected.iter().copied().nth(which % self.expected.len().max(1))
        }

        fn take(&mut self, deed: &Deed) {
            match *deed {
                Deed::Together(count) => {
                    let parts: Vec<_> = (self.next..self.next + count).map(part).collect();
                    let timer = self.timers.set(DUE, Timer::Bundle { run: RUN, first: self.next });
                    self.flights.insert_together(&parts, Timestamp::UNIX_EPOCH, Some(timer));
                    self.expected.extend(self.next..self.next + count);
                    self.next += count;
                }
                Deed::Single => {
                    let timer = self.timers.set(DUE, Timer::Attempt { run: RUN, index: self.next });
                    self.flights.insert(self.next, Flight::new(part(self.next), Timestamp::UNIX_EPOCH, Some(timer)));
                    self.expected.insert(self.next);
                    self.next += 1;
                }
                Deed::Ends(which) => {
                    let Some(index) = self.pick(which) else { return };
                    let flight = self.flights.remove(index, RUN, &mut self.timers).expect("it is in flight");
                    assert_eq!(flight.target, part(index).target);
                    self.expected.remove(&index);
                    assert!(self.flights.remove(index, RUN, &mut self.timers).is_none(), "once");
                }
                Deed::EndTogether(which, count) => {
                    let Some(first) = self.pick(which) else { return };
                    let Some(targets) = self.flights.remove_together(first..first + count, RUN, &mut self.timers) else { return };
                    assert_eq!(targets, (first..first + count).map(|index| part(index).target).collect::<Vec<_>>());
                    for index in first..first + count {
                        assert!(self.expected.remove(&index), "{index} was not in flight");
                    }
                }
                Deed::Stop(which) => {
                    let Some(index) = self.pick(which) else { return };
                    let flight = self.flights.get_mut(index, RUN, &mut self.timers).expect("it is in flight");
                    flight.stopped = Some(Outcome::Cancelled);
                    assert!(self.flights.remove_together(index..index + 1, RUN, &mut self.timers).is_none(), "it is told by itself");
                }
                Deed::TimeOut(which) => {
                    let Some(first) = self.pick(which) else { return };
                    self.flights.scatter(first, RUN, &mut self.timers);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn none_is_lost_or_doubled_and_no_timer_stays(deeds in deeds()) {
            let mut both = Both::default();
            for deed in &deeds {
                both.take(deed);
                prop_assert_eq!(both.flights.len(), both.expected.len());
                prop_assert_eq!(both.flights.indexes(), both.expected.iter().copied().collect::<Vec<_>>());
                let oldest: Vec<_> = both.flights.oldest(usize::MAX).iter().map(|flight| flight.index).collect();
                prop_assert_eq!(oldest, both.flights.indexes());
            }
            for index in both.flights.indexes() {
                both.flights.remove(index, RUN, &mut both.timers).expect("it is in flight");
            }
            prop_assert_eq!(both.timers.next(), None);
        }
    }

    #[test]
    fn what_was_started_together_ends_together_until_few_are_left() {
        let (mut flights, mut timers) = (Flights::default(), Timers::default());
        let parts: Vec<_> = (5..37).map(part).collect();
        flights.insert_together(&parts, Timestamp::UNIX_EPOCH, None);
        let mut ends = |indexes: Range<u32>| flights.remove_together(indexes, RUN, &mut timers).map(|targets| targets.len());
        assert_eq!(ends(5..15), Some(10));
        assert_eq!(ends(14..16), None, "one of them has ended");
        assert_eq!(ends(20..37), Some(17));
        assert_eq!(ends(36..38), None, "one was not started");
        assert_eq!(ends(15..16), Some(1));
        assert_eq!(ends(16..18), None, "four of 32 were left, which are kept one by one");
    }
}
