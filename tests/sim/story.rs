//! Stories: a configuration, a start, and what befalls it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use batchd::config::{self, Args, Config, JobName, Targets};
use batchd::engine::{Event, RecoveredJob};
use batchd::schedule::Zone;
use jiff::{SignedDuration, Timestamp};

use crate::checks;
use crate::faults::Choices;
use crate::world::{Temper, World};

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
handler = "echo"
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

/// How long a random story goes on before it is brought to an end.
const LENGTH: SignedDuration = SignedDuration::from_mins(6);

pub(crate) struct Story {
    seed: u64,
    random: bool,
    crashes: Vec<usize>,
}

/// The end of a story, without faults.
pub(crate) struct Calm {
    pub(crate) since: Timestamp,
    /// The fires until then belong to the accounting.
    pub(crate) drained: Timestamp,
    /// Jobs that are further than the clock, because it was set back.
    pub(crate) waiting: BTreeSet<String>,
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
        let (seed, crashes) = (self.seed, self.crashes.clone());
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.tell(&text, &periods, choices)));
        told.unwrap_or_else(|panic| {
            println!("SIM_SEED={seed}, killed before the effects {crashes:?}\n{text}");
            std::panic::resume_unwind(panic)
        })
    }

    fn tell(self, text: &str, periods: &BTreeMap<&str, i64>, choices: Choices) -> Told {
        let start: Timestamp = "2026-03-08T06:57:13Z".parse().expect("valid");
        let mut world = World::new(parse(text), start, choices, &self.crashes);
        if self.random {
            befall(&mut world);
        } else {
            follow_script(&mut world);
        }
        let effects = world.effects;
        world.crashes.clear();
        let calm = settle(&mut world);
        checks::ended(&world, periods, calm.drained - LONGEST_JITTER);
        checks::alive(&world, periods, &calm);
        Told { effects }
    }
}

/// What befalls the fixed story, a thing every twenty seconds: all that a person does, a disk that refuses, a clock that is set.
fn follow_script(world: &mut World) {
    let name = |job: &str| -> JobName { job.into() };
    let trigger = |world: &mut World, job: &str| {
        let ticket = world.ticket();
        world.handle(Event::Triggered { job: name(job), targets: Vec::new(), args: Args::new(), nominal: None, ticket });
    };
    let pause = |world: &mut World, paused: bool| {
        let ticket = world.ticket();
        world.handle(Event::Paused { job: name("queued"), paused, ticket });
    };
    let steps: [&dyn Fn(&mut World); 13] = [
        &|world| trigger(world, "fan"),
        &|world| world.refuse_for(Duration::from_secs(12)),
        &|world| list_targets(world, "fan", Targets::Range { start: 2, end: 8 }),
        &|world| pause(world, true),
        &|world| world.step_clock(SignedDuration::from_secs(-90)),
        &|world| pause(world, false),
        &cancel_one,
        &|world| world.step_clock(SignedDuration::from_secs(150)),
        &|world| {
            let (ticket, nominals) = (world.ticket(), vec![Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH + SignedDuration::from_secs(60)]);
            world.handle(Event::Backfilled { job: name("plain"), nominals, ticket });
        },
        &|world| list_targets(world, "limited", Targets::Range { start: 3, end: 7 }),
        &|world| drain(world, false),
        &|world| trigger(world, "replaced"),
        &|world| drain(world, true),
    ];
    for step in steps {
        world.run_for(SignedDuration::from_secs(20));
        step(world);
    }
    world.run_for(SignedDuration::from_secs(20));
}

/// The daemon is asked to leave, and another one starts.
fn drain(world: &mut World, now: bool) {
    let life = world.life;
    world.handle(Event::Drain);
    if now {
        world.handle(Event::StopNow);
    }
    world.run_for(SignedDuration::from_mins(3));
    // Where it was killed meanwhile, the next one goes on already.
    if world.life == life {
        assert!(world.finished, "the drain has not ended");
        world.restart(Duration::from_secs(3));
    }
}

fn cancel_one(world: &mut World) {
    let live: Vec<_> = world.engine.runs().map(|run| run.info.key).collect();
    if !live.is_empty() {
        let (run, ticket) = (*world.choices.pick(&live), world.ticket());
        world.handle(Event::Cancelled { run, ticket });
    }
}

/// Faults off: everything live must end.
fn settle(world: &mut World) -> Calm {
    world.temper = Temper::Good;
    world.mend();
    for job in world.config.jobs.keys().cloned().collect::<Vec<_>>() {
        let ticket = world.ticket();
        world.handle(Event::Paused { job, paused: false, ticket });
    }
    let since = world.now.wall;
    world.run_for(SignedDuration::from_secs(1));
    let waits = |(_, row): &(&String, &RecoveredJob)| row.watermark > world.now.wall + SignedDuration::from_mins(1);
    let waiting = world.disk.watermarks.iter().filter(waits).map(|(name, _)| name.clone()).collect();
    let until = since + SignedDuration::from_mins(20);
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
    Calm { since, drained, waiting }
}

/// Crashes, reloads, cancels, triggers, drains, disks that refuse and steps of the clock at random instants.
fn befall(world: &mut World) {
    let end = world.now.monotonic + LENGTH.unsigned_abs();
    while world.now.monotonic < end {
        let pause = SignedDuration::from_millis(i64::try_from(world.choices.among(10..60_000)).expect("small"));
        world.run_for(pause);
        match world.choices.among(0..12) {
            0 => {
                let downtime = Duration::from_secs(*world.choices.pick(&[0, 1, 45, 400, 4_000]));
                world.crash(downtime);
            }
            1 => world.handle(Event::ConfigLoaded(Arc::clone(&world.config))),
            2 => cancel_one(world),
            3 => {
                let names: Vec<_> = world.config.jobs.keys().cloned().collect();
                let (job, ticket) = (world.choices.pick(&names).clone(), world.ticket());
                world.handle(Event::Triggered { job, targets: Vec::new(), args: Args::new(), nominal: None, ticket });
            }
            4 => {
                let now = world.choices.one_in(2);
                drain(world, now);
            }
            5 => {
                let seconds = *world.choices.pick(&[-90_i64, -1, 1, 90, -3_600, 3_600, -86_400, 86_400, -10_800, 315_360_000]);
                world.step_clock(SignedDuration::from_secs(seconds));
            }
            6 => {
                let seconds = world.choices.among(1..90);
                world.refuse_for(Duration::from_secs(seconds));
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
    list_targets(world, &name, Targets::Range { start, end });
}

fn list_targets(world: &mut World, job: &str, targets: Targets) {
    let mut edited = (*world.config).clone();
    if let Some(job) = edited.jobs.get_mut(job) {
        Arc::make_mut(job).targets = targets;
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
        let work = if chunk.is_empty() && choices.one_in(3) { "handler = \"echo\"" } else { "shell = \"true\"" };
        let gather = if choices.one_in(3) { "gather = [\"true\"]" } else { "" };
        write!(
            text,
            "[jobs.{name}]\nschedule = \"@every {period}s\"\n{work}\noverlap = {overlap}\ncatch_up = \"{catch_up}\"\n\
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
