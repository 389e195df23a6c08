//! Stories: a configuration, a start, and what befalls it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use batchd::config::{self, Config, Targets};
use batchd::engine::Event;
use batchd::schedule::Zone;
use jiff::{SignedDuration, Timestamp};

use crate::checks;
use crate::faults::Choices;
use crate::world::World;

const FIXED: &str = r#"
[daemon]
max_partials = 5
drain_timeout = "20s"
[notify.ops]
command = ["true"]
[defaults]
notify = { failure = "ops", recovery = "ops", missed = "ops", late = "ops", failing = { for = 2, to = "ops" } }
expect = { within = "40s", every = "100s" }
stop = { grace = "5s" }
timeout = "5m"
partial_timeout = "50s"
[jobs.plain]
schedule = "@every 60s"
command = ["true"]
ping = "https://example.org/plain"
[jobs.fan]
schedule = "@every 120s"
command = ["true"]
targets = ["a", "b", "c", "d", "e", "f", "g"]
concurrency = 3
retry = { attempts = 3, delay = "3s" }
gather = ["true"]
[jobs.queued]
schedule = "@every 30s"
shell = "true"
overlap = { policy = "queue", max = 2 }
catch_up = { policy = "all", window = "10m", max = 3 }
[jobs.replaced]
schedule = "@every 45s"
shell = "true"
overlap = "replace"
on_interrupted = "fail"
[jobs.limited]
schedule = "@every 90s"
shell = "true"
targets = { range = "0..6" }
max_failures = 1
on_interrupted = "rerun"
catch_up = "none"
[jobs.listed]
schedule = "@every 100s"
shell = "true"
targets = { file = "list.txt" }
concurrency = 2
retry = { attempts = 2, delay = "3s" }
[jobs.then]
after = ["plain"]
shell = "true"
[jobs.both]
after = ["plain", "fan"]
shell = "true"
"#;

/// Of the random jobs. What falls due later than the drain is not decided.
const LONGEST_JITTER: SignedDuration = SignedDuration::from_secs(40);

/// How long a story goes on before it is brought to an end.
const LENGTH: SignedDuration = SignedDuration::from_mins(6);

pub(crate) struct Story {
    seed: u64,
    random: bool,
    crashes: Vec<usize>,
}

/// What a story came to.
pub(crate) struct Told {
    pub(crate) effects: usize,
}

impl Story {
    pub(crate) fn fixed() -> Self {
        Self { seed: 7, random: false, crashes: Vec::new() }
    }

    pub(crate) fn random(seed: u64) -> Self {
        Self { seed, random: true, crashes: Vec::new() }
    }

    pub(crate) fn crash_at(mut self, points: &[usize]) -> Self {
        self.crashes = points.to_vec();
        self
    }

    /// Tells the story, checks every step, and brings it to an end in which everything must add up.
    pub(crate) fn run(self) -> Told {
        let mut choices = Choices::new(self.seed);
        let (text, periods) = if self.random { random_jobs(&mut choices) } else { (FIXED.to_owned(), fixed_periods()) };
        let seed = self.seed;
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.tell(&text, &periods, choices)));
        told.unwrap_or_else(|panic| {
            println!("SIM_SEED={seed}\n{text}");
            std::panic::resume_unwind(panic)
        })
    }

    fn tell(self, text: &str, periods: &BTreeMap<&str, i64>, choices: Choices) -> Told {
        let start: Timestamp = "2026-03-08T06:57:13Z".parse().expect("valid");
        let mut world = World::new(parse(text), start, choices, &self.crashes);
        let end = start + LENGTH;
        if self.random {
            befall(&mut world);
        } else {
            world.run_until(end);
        }
        let effects = world.effects;
        world.crashes.clear();
        world.troubled = false;
        let drained = settle(&mut world);
        checks::ended(&world, periods, drained - LONGEST_JITTER);
        Told { effects }
    }
}

/// Faults off: everything live must end. Returns when it was drained: the fires until then belong to the accounting.
fn settle(world: &mut World) -> Timestamp {
    let until = world.now.wall + SignedDuration::from_mins(20);
    world.run_until(until);
    // A drain leaves waiting runs to the next daemon, which has no new fires and ends them.
    let drained = world.now.wall;
    world.handle(Event::Drain);
    world.run_until(until + SignedDuration::from_mins(10));
    assert!(world.finished, "the drain has not ended");
    let decided = world.disk.clone();
    let mut quiet = (*world.config).clone();
    for job in quiet.jobs.values_mut() {
        Arc::make_mut(job).enabled = !job.after.is_empty();
    }
    world.config = Arc::new(quiet);
    world.restart(Duration::ZERO);
    // A hundred caught up runs of a job may have to follow each other.
    world.run_until(until + SignedDuration::from_hours(24));
    // Disabling starts the accounting anew; what was decided before is what counts.
    world.disk.accountings = decided.accountings;
    drained
}

/// Crashes, reloads, cancels, triggers, drains and steps of the clock at random instants.
fn befall(world: &mut World) {
    let end = world.now.monotonic + LENGTH.unsigned_abs();
    while world.now.monotonic < end {
        let pause = SignedDuration::from_millis(i64::try_from(world.choices.among(10..60_000)).expect("small"));
        world.run_until(world.now.wall + pause);
        match world.choices.among(0..12) {
            0 => {
                let downtime = Duration::from_secs(*world.choices.pick(&[0, 1, 45, 400, 4_000]));
                world.crash(downtime);
            }
            1 => world.handle(Event::ConfigLoaded(Arc::clone(&world.config))),
            2 => {
                let live: Vec<_> = world.engine.runs().map(|run| run.info.key).collect();
                if !live.is_empty() {
                    let (run, ticket) = (*world.choices.pick(&live), world.ticket());
                    world.handle(Event::Cancelled { run, ticket });
                }
            }
            3 => {
                let names: Vec<_> = world.config.jobs.keys().cloned().collect();
                let (job, ticket) = (world.choices.pick(&names).clone(), world.ticket());
                world.handle(Event::Triggered { job, targets: Vec::new(), args: batchd::config::Args::new(), nominal: None, ticket });
            }
            4 => {
                world.handle(Event::Drain);
                if world.choices.one_in(2) {
                    world.handle(Event::StopNow);
                }
                world.run_until(world.now.wall + SignedDuration::from_mins(3));
                assert!(world.finished, "the drain has not ended");
                world.restart(Duration::from_secs(3));
            }
            5 => {
                let seconds = *world.choices.pick(&[-90_i64, -1, 1, 90, -3_600, 3_600, -86_400, 86_400, -10_800, 315_360_000]);
                world.step_clock(SignedDuration::from_secs(seconds));
            }
            6 => {
                let held = world.choices.one_in(2);
                world.handle(Event::Held(held));
                world.run_until(world.now.wall + SignedDuration::from_secs(20));
                world.handle(Event::Held(false));
            }
            7 | 8 => {
                let names: Vec<_> = world.config.jobs.values().filter(|job| job.after.is_empty()).map(|job| job.name.clone()).collect();
                let (job, paused, ticket) = (world.choices.pick(&names).clone(), world.choices.one_in(3), world.ticket());
                world.handle(Event::Paused { job, paused, ticket });
            }
            9 => {
                let names: Vec<_> = world.config.jobs.keys().cloned().collect();
                let (job, count, ticket) = (world.choices.pick(&names).clone(), world.choices.among(1..4), world.ticket());
                // Each nominal time only once: whoever asks looks at the records before.
                let nominals =
                    (0..count).map(|nominal| Timestamp::UNIX_EPOCH + SignedDuration::from_secs((ticket.0 * 10 + nominal).cast_signed()));
                world.handle(Event::Backfilled { job, nominals: nominals.collect(), ticket });
            }
            10 => edit_targets(world),
            _ => {}
        }
    }
}

/// Somebody edits the targets of a job and reloads; the runs that are interrupted later go on with what is listed then.
fn edit_targets(world: &mut World) {
    let names: Vec<_> = world.config.jobs.values().filter(|job| job.after.is_empty()).map(|job| job.name.clone()).collect();
    let name = world.choices.pick(&names).clone();
    let start = i64::try_from(world.choices.among(0..4)).expect("small");
    let end = start + i64::try_from(world.choices.among(1..20)).expect("small");
    if world.config.jobs.get(&name).is_some_and(|job| matches!(job.targets, Targets::Source(_))) && !world.choices.one_in(10) {
        let (start, end) = (u32::try_from(start).expect("small"), u32::try_from(end).expect("small"));
        let list = if world.choices.one_in(2) { (start..end).collect() } else { (start..end).rev().collect() };
        world.lists.insert(name, list);
        return;
    }
    let mut edited = (*world.config).clone();
    if let Some(job) = edited.jobs.get_mut(&name) {
        Arc::make_mut(job).targets = Targets::Range { start, end };
    }
    world.config = Arc::new(edited);
    world.handle(Event::ConfigLoaded(Arc::clone(&world.config)));
}

fn fixed_periods() -> BTreeMap<&'static str, i64> {
    BTreeMap::from([("plain", 60), ("fan", 120), ("queued", 30), ("replaced", 45), ("limited", 90), ("listed", 100)])
}

fn random_jobs(choices: &mut Choices) -> (String, BTreeMap<&'static str, i64>) {
    let max_partials = choices.among(1..12);
    let mut text = format!("[daemon]\nmax_partials = {max_partials}\n[defaults]\nstop = {{ grace = \"4s\" }}\ntimeout = \"4m\"\n");
    let mut periods = BTreeMap::new();
    for name in ["a", "b", "c", "d", "e"] {
        let period = *choices.pick(&[15_i64, 20, 60, 90, 120]);
        periods.insert(name, period);
        let overlap = choices.pick(&["\"skip\"", "{ policy = \"queue\", max = 3 }", "\"replace\"", "\"allow\""]);
        let catch_up = choices.pick(&["none", "latest", "all"]);
        let interrupted = choices.pick(&["resume", "fail", "rerun"]);
        let (targets, concurrency) = (choices.among(1..20), choices.among(1..6));
        let (attempts, jitter) = (choices.among(1..4), choices.pick(&["0s", "5s", "40s"]));
        let max_failures = choices.pick(&["0", "2", "\"30%\"", "\"any\""]);
        let targets = if choices.one_in(3) { "{ file = \"list.txt\" }".to_owned() } else { format!("{{ range = \"0..{targets}\" }}") };
        let chunk = choices.pick(&["", "", "chunk = 3\n"]);
        let canary = choices.pick(&["", "", "canary = 2\n"]);
        let rate = choices.pick(&["", "", "rate = \"20/m\"\n"]);
        let gather = if choices.one_in(3) { "gather = [\"true\"]" } else { "" };
        write!(
            text,
            "[jobs.{name}]\nschedule = \"@every {period}s\"\nshell = \"true\"\noverlap = {overlap}\ncatch_up = \"{catch_up}\"\n\
             on_interrupted = \"{interrupted}\"\ntargets = {targets}\nconcurrency = {concurrency}\n\
             retry = {{ attempts = {attempts}, delay = \"2s\" }}\njitter = \"{jitter}\"\nmax_failures = {max_failures}\n{chunk}{canary}{rate}{gather}\n",
        )
        .expect("a string takes everything");
    }
    text.push_str("[jobs.then]\nafter = [\"a\"]\nshell = \"true\"\n[jobs.both]\nafter = [\"b\", \"a\"]\nshell = \"true\"\n");
    (text, periods)
}

pub(crate) fn parse(text: &str) -> Arc<Config> {
    let system_zone = Zone::lookup("UTC").expect("UTC is known");
    let context = config::Context {
        path: "jobs.toml".into(),
        base: "/".into(),
        system_zone,
        handlers: Vec::new(),
        files: |_| Err("there are none".to_owned()),
        matches: |_, _| Ok(Vec::new()),
        host: config::Host::any(),
    };
    match config::parse(text.as_bytes(), &context) {
        Ok((config, _)) => Arc::new(config),
        Err(problems) => panic!("{}", problems.render(false)),
    }
}
