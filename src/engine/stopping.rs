//! Timeouts, cancel, replace and drain: signal, grace, kill.

use super::run::{Phase, StopReason};
use super::timers::Timer;
use super::{Answer, Effect, Engine, Mode, Now, Outcome, RunKey, Stop, Then, Ticket};

impl Engine {
    pub(super) fn attempt_timed_out(&mut self, key: RunKey, index: u32, now: Now, effects: &mut Vec<Effect>) {
        self.stop_attempt(key, index, Outcome::TimedOut, now, effects);
    }

    /// The timeout of each is due at the same instant, and comes next.
    pub(super) fn bundle_timed_out(&mut self, key: RunKey, first: u32) {
        if let Some(run) = self.runs.get_mut(&key) {
            run.flights.scatter(first, key, &mut self.timers);
        }
    }

    /// Signals an attempt once, and sets the kill for after the grace.
    fn stop_attempt(&mut self, key: RunKey, index: u32, outcome: Outcome, now: Now, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&key) else { return };
        let grace = run.info.job.policies.stop.grace;
        let flight = run.flights.get_mut(index, key, &mut self.timers);
        let Some(flight) = flight.filter(|flight| flight.stopped.is_none()) else { return };
        flight.stopped = Some(outcome);
        self.timers.cancel(flight.timer.take());
        flight.timer = Some(self.timers.set(now.monotonic + grace, Timer::Kill { run: key, index }));
        effects.push(Effect::Stop { run: key, index, stop: Stop::Polite });
    }

    /// Stops a run: nothing of it starts any more, and what is in flight is signalled.
    pub(super) fn stop_run(&mut self, key: RunKey, reason: StopReason, now: Now, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&key).filter(|run| run.stopping.is_none()) else { return };
        run.stopping = Some(reason);
        self.timers.cancel(run.timer.take());
        if reason != StopReason::Drained {
            run.give_up();
        }
        let grace = run.info.job.policies.stop.grace;
        let (phase, gathering, run_is_reading) = (run.phase, run.gathering, run.reading);
        for index in run.flights.indexes() {
            self.stop_attempt(key, index, reason.attempt_outcome(), now, effects);
        }
        match phase {
            Phase::Planning if run_is_reading => {
                effects.push(Effect::StopPlan { run: key, stop: Stop::Polite });
                self.set_run_timer(key, now.monotonic + grace, Timer::KillPlan { run: key });
            }
            Phase::Waiting | Phase::Planning if reason == StopReason::Drained => {}
            Phase::Waiting | Phase::Planning => self.finish(key, None, now, effects),
            Phase::Gathering if gathering => {
                effects.push(Effect::StopGather { run: key, stop: Stop::Polite });
                self.set_run_timer(key, now.monotonic + grace, Timer::KillGather { run: key });
            }
            // The next daemon gathers.
            Phase::Gathering if reason == StopReason::Drained => self.leave_unfinished(key, now, effects),
            Phase::Gathering => {}
            Phase::Running => self.end_if_complete(key, now, effects),
        }
    }

    fn set_run_timer(&mut self, key: RunKey, at: std::time::Duration, timer: Timer) {
        let timer = self.timers.set(at, timer);
        if let Some(run) = self.runs.get_mut(&key) {
            run.timer = Some(timer);
        }
    }

    pub(super) fn cancel(&mut self, run: RunKey, ticket: Ticket, now: Now, effects: &mut Vec<Effect>) {
        let answer = if self.runs.contains_key(&run) { Answer::Stopping } else { Answer::NotLive };
        self.stop_run(run, StopReason::Cancelled, now, effects);
        effects.push(Effect::WhenDurable(Then::Answer { ticket, answer }));
    }

    /// No new runs from now on; live ones get `drain_timeout`.
    pub(super) fn drain(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.mode != Mode::Serving {
            return;
        }
        self.mode = Mode::Draining;
        // Runs that wait, or whose instant has not come, are the next daemon's.
        let waiting: Vec<_> = self.runs.values().filter(|run| run.phase == Phase::Waiting || run.not_before > now.wall).collect();
        let waiting: Vec<_> = waiting.into_iter().map(|run| run.info.key).collect();
        for key in waiting {
            self.stop_run(key, StopReason::Drained, now, effects);
        }
        self.timers.set(now.monotonic + self.config.daemon.drain_timeout, Timer::Drain);
    }

    /// Stops all live runs; the second time kills them.
    pub(super) fn stop_now(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let first = self.mode != Mode::Stopping;
        self.drain(now, effects);
        if self.mode == Mode::Finished {
            return;
        }
        self.mode = Mode::Stopping;
        for key in self.runs.keys().copied().collect::<Vec<_>>() {
            self.stop_run(key, StopReason::Drained, now, effects);
        }
        if !first {
            self.kill_all(effects);
        }
    }

    fn kill_all(&mut self, effects: &mut Vec<Effect>) {
        for (key, run) in &self.runs {
            effects.extend(run.flights.indexes().into_iter().map(|index| Effect::Stop { run: *key, index, stop: Stop::Kill }));
            if run.reading {
                effects.push(Effect::StopPlan { run: *key, stop: Stop::Kill });
            }
            if run.gathering {
                effects.push(Effect::StopGather { run: *key, stop: Stop::Kill });
            }
        }
    }

    /// Once nothing is live after a drain, asks to leave when all is on disk.
    pub(super) fn leave_when_idle(&mut self, effects: &mut Vec<Effect>) {
        let leaving = matches!(self.mode, Mode::Draining | Mode::Stopping);
        let live = |run: &super::Run| !run.flights.is_empty() || run.gathering || run.reading || run.stopping != Some(StopReason::Drained);
        if leaving && !self.runs.values().any(live) {
            self.mode = Mode::Finished;
            effects.push(Effect::WhenDurable(Then::Finished));
        }
    }
}
