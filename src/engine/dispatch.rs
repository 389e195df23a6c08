//! Which partial starts next: claims ahead of the starts, and a fair share of `max_partials` for each run.

use std::sync::Arc;

use super::ending::later;
use super::pace::Pace;
use super::run::Phase;
use super::timers::Timer;
use super::{Effect, Engine, Indexes, Now, Record, RunKey, Then};

impl Engine {
    /// The run may start when its instant has come; its first targets are claimed before.
    pub(super) fn begin(&mut self, key: RunKey, now: Now, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&key) else { return };
        run.phase = if run.wants_plan() { Phase::Planning } else { Phase::Running };
        let not_before = run.not_before;
        self.claim(key, now, effects);
        if not_before > now.wall {
            self.starts.insert((not_before, key));
        } else {
            self.instant_has_come(key, now, effects);
        }
        self.end_if_complete(key, now, effects);
    }

    /// The time of the run counts from now.
    pub(super) fn instant_has_come(&mut self, key: RunKey, now: Now, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&key) else { return };
        let timeout = run.info.job.policies.timeout;
        run.timer = timeout.map(|timeout| self.timers.set(now.monotonic + timeout, Timer::Run { run: key }));
        run.until = timeout.map(|timeout| later(now.wall, timeout));
        if run.phase == Phase::Planning {
            effects.push(Effect::WhenDurable(Then::Fired { run: key }));
        }
        let (info, tells) = (Arc::clone(&run.info), run.info.job.telling.as_ref().is_some_and(|telling| !telling.late.is_empty()));
        if let Some(within) = info.job.policies.expect.within.filter(|_| tells && !self.by_hand) {
            run.late = Some(self.timers.set(now.monotonic + within, Timer::Late { run: key }));
        }
        self.ping_start(&info, now, effects);
        self.stand_in_line(key, now);
    }

    /// Asks for what will start next: a chunk of targets when it is time to, and the retries that are due. Both are on disk
    /// before they start, or a crash would start the same attempt twice.
    pub(super) fn claim(&mut self, key: RunKey, now: Now, effects: &mut Vec<Effect>) {
        if self.held {
            return;
        }
        let Some(run) = self.runs.get_mut(&key).filter(|run| run.phase == Phase::Running) else { return };
        let claiming = run.claiming;
        if let Some(upto) = run.next_claim() {
            effects.push(Effect::Record(Record::Claimed { run: key, upto, at: now.wall }));
            effects.push(Effect::WhenDurable(Then::Claimed { run: key, upto }));
            if run.is_planned() {
                effects.push(Effect::Load { run: key, indexes: run.to_load(claiming, upto) });
            }
        }
        let due = run.take_due_retries(now.monotonic);
        let count = due.len();
        if run.is_planned() && count > 0 {
            let indexes: Indexes = due.iter().map(|(index, _)| *index).collect();
            effects.push(Effect::Load { run: key, indexes: indexes.into_ranges() });
        }
        effects.extend(due.into_iter().map(|(index, attempt)| Effect::Record(Record::Retried { run: key, index, attempt })));
        if count > 0 {
            effects.push(Effect::WhenDurable(Then::Retried { run: key, count }));
        }
    }

    /// While the store cannot write, or lives on its last space, nothing new is decided or asked for: what is live ends.
    pub(super) fn hold(&mut self, held: bool, now: Now, effects: &mut Vec<Effect>) {
        self.held = held;
        for key in self.runs.keys().copied().collect::<Vec<_>>() {
            self.claim(key, now, effects);
        }
    }

    /// The claim is on disk: its targets may start.
    pub(super) fn claimed(&mut self, key: RunKey, upto: u32, now: Now, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&key) else { return };
        run.has_claimed(upto);
        self.claim(key, now, effects);
        self.stand_in_line(key, now);
    }

    /// The retries are on disk: they may start.
    pub(super) fn retried(&mut self, key: RunKey, count: usize, now: Now) {
        if let Some(run) = self.runs.get_mut(&key) {
            run.retried(count);
        }
        self.stand_in_line(key, now);
    }

    /// Puts the run in line when it has something to start.
    pub(super) fn stand_in_line(&mut self, key: RunKey, now: Now) {
        let Some(run) = self.runs.get_mut(&key) else { return };
        if run.in_line || run.not_before > now.wall || !run.can_start() {
            return;
        }
        match run.pace.and_then(|pace| pace.wait(now.monotonic)) {
            None => {
                run.in_line = true;
                self.line.push_back(key);
            }
            Some(at) if run.pace_timer.is_none() => run.pace_timer = Some(self.timers.set(at, Timer::Pace { run: key })),
            Some(_) => {}
        }
    }

    /// Starts partials, one of each run in turn, until nothing can start or `max_partials` are in flight.
    pub(super) fn dispatch(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while let room @ 1.. = self.config.daemon.max_partials.saturating_sub(self.in_flight) {
            let Some(key) = self.line.pop_front() else { return };
            if let Some(run) = self.runs.get_mut(&key) {
                run.in_line = false;
            }
            // With nobody behind it, it would have the next turn too.
            self.start(key, if self.line.is_empty() { room } else { 1 }, now, effects);
            self.stand_in_line(key, now);
        }
    }

    /// Starts what a run starts next, at most so many attempts.
    fn start(&mut self, key: RunKey, most: usize, now: Now, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&key).filter(|run| run.can_start()) else { return };
        let parts = run.take_next(most);
        if parts.is_empty() {
            return;
        }
        let policies = &run.info.job.policies;
        if let Some(rate) = policies.rate {
            run.pace.get_or_insert_with(|| Pace::new(rate, now.monotonic)).take(now.monotonic);
        }
        let timeout = policies.partial_timeout;
        let until = timeout.map(|timeout| later(now.wall, timeout)).into_iter().chain(run.until).min();
        self.in_flight += run.take_off(&parts, timeout.map(|timeout| now.monotonic + timeout), now.wall, &mut self.timers);
        effects.push(Effect::Start { run: Arc::clone(&run.info), parts, until });
        self.claim(key, now, effects);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::config::{Args, Config, Context, Host, parse};
    use crate::engine::{AttemptEnd, Event, Success, Successes, Ticket};
    use crate::schedule::Zone;

    fn config(keys: &str) -> Config {
        let context = Context {
            path: "jobs.toml".into(),
            base: "/".into(),
            system_zone: Zone::utc(),
            handlers: Vec::new(),
            files: |_| Err("there are none".to_owned()),
            matches: |_, _| Ok(Vec::new()),
            host: Host::any(),
        };
        let text = format!("[jobs.a]\nschedule = \"manual\"\nhandler = \"echo\"\n{keys}");
        parse(text.as_bytes(), &context).expect("is valid").0
    }

    /// When a timeout will stop the attempt that is started `later` than its run, in seconds since that began.
    fn until(keys: &str, later: u64) -> Option<i64> {
        let begun = Now { wall: Timestamp::UNIX_EPOCH, monotonic: Duration::from_secs(1_000) };
        let mut engine = Engine::by_hand(Arc::new(config(keys)), 0, begun);
        let trigger = Event::Triggered { job: "a".into(), targets: Vec::new(), args: Args::new(), nominal: None, ticket: Ticket(1) };
        let mut effects = engine.handle(begun, trigger);
        let now = Now { wall: begun.wall + Duration::from_secs(later), monotonic: begun.monotonic + Duration::from_secs(later) };
        while let Some(then) =
            effects.iter().find_map(|effect| if let Effect::WhenDurable(then) = effect { Some(then.clone()) } else { None })
        {
            effects = engine.handle(now, Event::Durable(then));
        }
        let until = effects.into_iter().find_map(|effect| if let Effect::Start { until, .. } = effect { Some(until) } else { None });
        until.expect("it starts").map(Timestamp::as_second)
    }

    #[test]
    fn an_attempt_knows_when_a_timeout_will_stop_it() {
        assert_eq!(until("", 5), None);
        assert_eq!(until("timeout = \"1m\"\n", 5), Some(60));
        assert_eq!(until("partial_timeout = \"10s\"\n", 5), Some(15));
        assert_eq!(until("partial_timeout = \"10s\"\ntimeout = \"1m\"\n", 5), Some(15));
        assert_eq!(until("partial_timeout = \"10s\"\ntimeout = \"1m\"\n", 55), Some(60));
    }

    const NOW: Now = Now { wall: Timestamp::UNIX_EPOCH, monotonic: Duration::from_secs(1_000) };

    /// Takes the event, then all that becomes durable; what starts, as `JOB INDEXES` for each effect.
    fn starts(engine: &mut Engine, event: Event) -> Vec<String> {
        let (mut events, mut starts) = (vec![event], Vec::new());
        while let Some(event) = events.pop() {
            for effect in engine.handle(NOW, event) {
                match effect {
                    Effect::WhenDurable(then) => events.push(Event::Durable(then)),
                    Effect::Start { run, parts, .. } => {
                        let indexes: Vec<_> = parts.iter().map(|part| part.index.to_string()).collect();
                        starts.push(format!("{} {}", run.job.name, indexes.join(",")));
                    }
                    _ => {}
                }
            }
        }
        starts
    }

    fn trigger(job: &str) -> Event {
        Event::Triggered { job: job.into(), targets: Vec::new(), args: Args::new(), nominal: None, ticket: Ticket(1) }
    }

    fn succeeded(index: u32) -> (u32, AttemptEnd) {
        (index, AttemptEnd::bare(crate::engine::Outcome::Succeeded, NOW.wall, NOW.wall, Duration::ZERO))
    }

    /// An engine with room for six partials, and the jobs `a` and `b`, whose handlers work on nine targets.
    fn two_jobs(keys: &str) -> Engine {
        let second = "[jobs.b]\nschedule = \"manual\"\nhandler = \"echo\"\ntargets = { range = \"0..9\" }\nconcurrency = 9\n";
        let keys = format!("targets = {{ range = \"0..9\" }}\n{keys}\n{second}[daemon]\nmax_partials = 6\n");
        Engine::by_hand(Arc::new(config(&keys)), 0, NOW)
    }

    #[test]
    fn handlers_start_together_as_many_as_may_and_programs_one_by_one() {
        assert_eq!(starts(&mut two_jobs("concurrency = 9"), trigger("a")), ["a 0,1,2,3,4,5"]);
        assert_eq!(starts(&mut two_jobs("concurrency = 4"), trigger("a")), ["a 0,1,2,3"]);
        assert_eq!(starts(&mut two_jobs("concurrency = 4\ncanary = 2"), trigger("a")), ["a 0,1"]);
        assert_eq!(starts(&mut two_jobs("concurrency = 2\nrate = \"100/s\""), trigger("a")), ["a 0"]);
        let mut programs =
            two_jobs("concurrency = 2\n[jobs.c]\nschedule = \"manual\"\nshell = \"true\"\ntargets = [\"x\", \"y\"]\nconcurrency = 2");
        assert_eq!(starts(&mut programs, trigger("c")), ["c 0", "c 1"]);
    }

    #[test]
    fn a_run_that_comes_later_has_its_turn() {
        let mut engine = two_jobs("concurrency = 9");
        assert_eq!(starts(&mut engine, trigger("a")), ["a 0,1,2,3,4,5"]);
        assert_eq!(starts(&mut engine, trigger("b")), Vec::<String>::new());
        let run = engine.runs().next().expect("it is live").info.key;
        let ended = Event::AttemptsEnded { run, ends: vec![succeeded(3), succeeded(0), succeeded(5)] };
        assert_eq!(starts(&mut engine, ended), ["a 6", "b 0", "a 7"]);
    }

    fn successes(count: usize) -> Successes {
        std::iter::repeat_n(Success { started: NOW.wall, ended: NOW.wall, duration: Duration::ZERO, result: None }, count).collect()
    }

    #[test]
    fn successes_told_together_are_as_each_by_itself() {
        for (keys, first, count) in [("concurrency = 6", 0, 4), ("concurrency = 6", 2, 3), ("concurrency = 6\ncanary = 2", 0, 2)] {
            let told = |event: &dyn Fn(RunKey) -> Event| {
                let mut engine = two_jobs(keys);
                starts(&mut engine, trigger("a"));
                let run = engine.runs().next().expect("it is live").info.key;
                let next = starts(&mut engine, event(run));
                let snapshot = engine.runs().next().expect("it is live");
                let live: Vec<_> = snapshot.oldest_flights(9).iter().map(|flight| flight.index).collect();
                (next, snapshot.counts, live)
            };
            let together = told(&|run| Event::Succeeded { run, first, ends: successes(count) });
            let ends = || (first..).take(count).map(succeeded).collect();
            assert_eq!(together, told(&|run| Event::AttemptsEnded { run, ends: ends() }), "{keys} {first} {count}");
            assert_eq!(together.1.succeeded as usize, count);
        }
    }

    #[test]
    fn each_that_was_started_together_has_its_timeout() {
        let mut engine = two_jobs("concurrency = 6\npartial_timeout = \"10s\"");
        starts(&mut engine, trigger("a"));
        let run = engine.runs().next().expect("it is live").info.key;
        engine.handle(NOW, Event::Succeeded { run, first: 1, ends: successes(2) });
        let at = |seconds| Now { wall: NOW.wall + Duration::from_secs(seconds), monotonic: NOW.monotonic + Duration::from_secs(seconds) };
        let mut stopped = |seconds| -> Vec<u32> {
            let effects = engine.handle(at(seconds), Event::Tick);
            effects.iter().filter_map(|effect| if let Effect::Stop { index, .. } = effect { Some(*index) } else { None }).collect()
        };
        assert_eq!(stopped(9), Vec::<u32>::new());
        // Those after them were started at the same instant.
        assert_eq!(stopped(10), [0, 3, 4, 5, 6, 7]);
    }
}
