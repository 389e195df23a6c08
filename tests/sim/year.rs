//! A year of a thousand random jobs in twenty zones, with two hundred downtimes and clocks that are set: what the engine decides is
//! held against an independent scan of the clock, and against what each policy promises.
//!
//! `SIM_YEARS=20 cargo test --release --test sim year` runs as many years; a failing seed is printed and runs alone with
//! `SIM_SEED=N`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use batchd::audit::{Accounting, Decided, Note, audit};
use batchd::config::{CatchUpPolicy, Config, Job, Overlap};
use batchd::engine::{Beginning, Cause, Decides, Decision, LEAD, MAX_WAIT, Record, RunInfo};
use batchd::schedule::jitter;
use batchd::simulate::{Plan, Seen, Trouble, simulate};
use jiff::{SignedDuration, Timestamp};

use crate::faults::Choices;
use crate::story::parse;

const ZONES: [&str; 20] = [
    "UTC",
    "America/New_York",
    "America/Los_Angeles",
    "America/Sao_Paulo",
    "America/Havana",
    "America/Santiago",
    "America/St_Johns",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Dublin",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Seoul",
    "Asia/Kolkata",
    "Asia/Jerusalem",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Apia",
    "Antarctica/Troll",
];

/// How late a nominal time may be found and still be on time.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// The records of a year, job by job, as an audit wants them.
#[derive(Default)]
struct Books {
    accountings: BTreeMap<String, Vec<Accounting>>,
    decisions: BTreeMap<String, Vec<Decided>>,
    runs: BTreeSet<String>,
    fires: u64,
}

pub(crate) fn year(seed: u64, jobs: u32) {
    let mut choices = Choices::new(seed);
    let text = random_jobs(&mut choices, jobs);
    let config = parse(&text);
    let from: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let to: Timestamp = "2027-01-01T00:00:00Z".parse().expect("a time");
    let durations = config.jobs.keys().map(|name| (name.clone(), Duration::from_secs(choices.among(0..5_400))));
    let durations: HashMap<_, _> = durations.collect();
    let plan = Plan { from, to, durations, otherwise: Duration::ZERO, troubles: troubles(&mut choices), listed: 0 };
    let mut books = Books::default();
    let report = simulate(&config, &plan, |seen| books.write(&seen));
    books.close(&config, from, to);
    assert!(books.fires > u64::from(jobs) * 50, "{} fires prove nothing", books.fires);
    println!("year {seed}: {} jobs, {} fires, {} runs at once at most", jobs, report.fired, report.runs.most);
}

/// A hundred downtimes of up to three days, and a hundred steps of the clock, which come to nothing over the year.
fn troubles(choices: &mut Choices) -> Vec<(Duration, Trouble)> {
    let mut troubles = Vec::new();
    for _ in 0..100 {
        let how_long = *choices.pick(&[1_u64, 30, 90, 3_000, 20_000, 100_000, 260_000]) + choices.among(0..30);
        troubles.push((Duration::from_secs(choices.among(0..31_000_000)), Trouble::Down(Duration::from_secs(how_long))));
    }
    for _ in 0..50 {
        let by = SignedDuration::from_secs(
            *choices.pick(&[1_i64, -1, 59, -59, 3_600, -3_600, 10_800, -10_800, 10_801, -10_801, 86_400, -86_400]),
        );
        let at = choices.among(0..31_000_000);
        troubles.push((Duration::from_secs(at), Trouble::ClockSet(by)));
        troubles.push((Duration::from_secs(at + choices.among(1..200_000)), Trouble::ClockSet(-by)));
    }
    troubles.sort_by_key(|(after, _)| *after);
    troubles
}

impl Books {
    fn write(&mut self, seen: &Seen<'_>) {
        match seen {
            Seen::Start(run, now) => {
                let due = run.nominal + jitter(&run.job.name, run.nominal, run.job.jitter);
                // What was decided before the clock was set back by hours starts by the time that was.
                assert!(now.wall >= due || run.fired > now.wall, "{} started early, at {}", run.id, now.wall);
            }
            Seen::Record(Record::Accounting { job, accounted, beginning, .. }) => {
                let all = self.accountings.entry(job.name.to_string()).or_default();
                if *beginning == Beginning::ClockSet {
                    let before = all.last().expect("it was accounted for before").upto;
                    assert!(before.duration_since(accounted.watermark) > MAX_WAIT, "{}: begins anew without need", job.name);
                }
                let number = i64::try_from(all.len()).expect("few") + 1;
                let timetable = job.timetable.clone();
                let (since, upto) = (accounted.watermark, accounted.watermark);
                all.push(Accounting { number, since, upto, open: true, beginning: *beginning, timetable });
                if let [.., earlier, _] = all.as_mut_slice() {
                    earlier.open = false;
                }
            }
            Seen::Record(Record::Decided { job, first, last, count, decision, .. }) => self.decide(job, *first, *last, *count, *decision),
            Seen::Record(Record::Fired { run, decides: Decides::Nominal }) => self.fire(run),
            Seen::Record(_) => {}
            Seen::Over(trouble, now) => {
                let waits = |all: &Vec<Accounting>| all.last().is_some_and(|open| open.upto.duration_since(now.wall) > MAX_WAIT + GRACE);
                let waiting = self.accountings.iter().find(|(_, all)| waits(all)).map(|(job, _)| job);
                assert_eq!(waiting, None, "a job waits for the clock after {trouble:?}");
            }
        }
    }

    fn decide(&mut self, job: &str, first: Timestamp, last: Timestamp, count: u64, decision: Decision) {
        let accounting = self.accountings.get_mut(job).and_then(|all| all.last_mut()).expect("a decision belongs to an accounting");
        assert!(first > accounting.upto, "{job}: {first} was decided before");
        accounting.upto = last;
        let accounting = accounting.number;
        self.decisions.entry(job.to_owned()).or_default().push(Decided { accounting, first, last, count, decision });
    }

    fn fire(&mut self, run: &RunInfo) {
        self.fires += 1;
        self.decide(&run.job.name, run.nominal, run.nominal, 1, Decision::Ran);
        assert!(self.runs.insert(run.id.to_string()), "{} exists twice", run.id);
        // By the clock of its decision, which may have been set since the year began.
        let late = run.fired.duration_since(run.nominal + jitter(&run.job.name, run.nominal, run.job.jitter));
        assert!(late >= -SignedDuration::try_from(LEAD).expect("short"), "{} fired early", run.id);
        match run.cause {
            Cause::Schedule => assert!(late <= GRACE, "{} is late by {late}", run.id),
            Cause::CatchUp => {
                assert_ne!(run.job.policies.catch_up.policy, CatchUpPolicy::None, "{} is caught up", run.id);
                let window = SignedDuration::try_from(run.job.policies.catch_up.window).expect("days");
                assert!(run.fired.duration_since(run.nominal) <= window, "{} is too old to be caught up", run.id);
            }
            other => panic!("{}: {other} out of nowhere", run.id),
        }
    }

    /// Every nominal time has one decision, by a scan that knows neither the search nor the policies; and each decision is one
    /// that its policy knows.
    fn close(&self, config: &Config, from: Timestamp, to: Timestamp) {
        let before = from - SignedDuration::from_hours(24 * 30);
        for job in config.jobs.values() {
            let accountings = self.accountings.get(&*job.name).expect("every job is accounted for");
            let decisions = self.decisions.get(&*job.name).map_or(&[][..], Vec::as_slice);
            let found = audit(accountings, decisions, before, to);
            assert_eq!(found.problems, [], "{}: {:?}", job.name, job.schedule_text);
            assert!(found.pending <= pending_at_most(job), "{}: {} are left at the end", job.name, found.pending);
            assert!(found.notes.iter().all(|note| matches!(note, Note::Repeated { .. })), "{}: {:?}", job.name, found.notes);
            for decided in decisions {
                allowed(job, decided);
            }
        }
    }
}

/// At the end of the year some nominal times may not have fallen due: those within the jitter, or behind a clock that was set back.
fn pending_at_most(job: &Job) -> u64 {
    let jitter = job.jitter.as_secs() / 60;
    2 + jitter + 60
}

fn allowed(job: &Job, decided: &Decided) {
    let policy = job.policies.catch_up.policy;
    let fits = match decided.decision {
        Decision::Ran | Decision::Missed => true,
        Decision::Coalesced => policy == CatchUpPolicy::Latest,
        Decision::Skipped => job.policies.overlap != Overlap::Allow,
        Decision::Suppressed => {
            job.timetable.except.is_some() && job.timetable.is_excepted(decided.first) && job.timetable.is_excepted(decided.last)
        }
    };
    assert!(fits, "{}: {} does not go with its policies", job.name, decided.decision);
    let excepted = decided.decision != Decision::Suppressed && decided.count == 1 && job.timetable.is_excepted(decided.first);
    assert!(!excepted, "{}: {} on an excepted day", job.name, decided.decision);
}

fn random_jobs(choices: &mut Choices, jobs: u32) -> String {
    let mut text = "[daemon]\nmax_partials = 65536\n".to_owned();
    for number in 0..jobs {
        let zone = choices.pick(&ZONES);
        let schedule = random_schedule(choices);
        let overlap = choices.pick(&["\"skip\"", "{ policy = \"queue\", max = 3 }", "\"replace\"", "\"allow\""]);
        let catch_up = choices.pick(&[
            "\"none\"",
            "\"latest\"",
            "\"all\"",
            "{ policy = \"all\", window = \"36h\", max = 5 }",
            "{ policy = \"latest\", window = \"2h\" }",
        ]);
        let gap = choices.pick(&["run_after", "run_after", "skip"]);
        let fold = choices.pick(&["first", "first", "second", "both"]);
        let jitter = choices.pick(&["0s", "0s", "30s", "10m", "2h"]);
        let except = if choices.one_in(5) { "except = [\"2026-03-08\", \"2026-10-20..2026-11-03\"]" } else { "" };
        write!(
            text,
            "[jobs.j{number}]\nschedule = {schedule}\ntimezone = \"{zone}\"\nshell = \"true\"\noverlap = {overlap}\ncatch_up = {catch_up}\n\
             dst = {{ gap = \"{gap}\", fold = \"{fold}\" }}\njitter = \"{jitter}\"\n{except}\n",
        )
        .expect("a string takes everything");
    }
    text
}

/// From a few times an hour to once a month; mostly daily.
fn random_schedule(choices: &mut Choices) -> String {
    let mut number = |range: std::ops::Range<u64>| choices.among(range);
    let (minute, hour, day, weekday) = (number(0..60), number(0..24), number(1..29), number(0..7));
    let expression = match number(0..100) {
        0 => format!("{minute} * * * *"),
        1 => "*/30 * * * *".to_owned(),
        2 => format!("*/20 {hour} * * *"),
        3 => "@every 5h".to_owned(),
        4 => "@every 95m".to_owned(),
        5 => format!("{minute} {} * * *", number(0..3)),
        6 => format!("0,30 {} * * *", number(0..4)),
        7 => format!("{minute} 1-3 * * {weekday}"),
        8 => format!("{minute} {hour} L * *"),
        9 => format!("{minute} {hour} {day}W * *"),
        10 => format!("{minute} {hour} * * {weekday}#2"),
        11 => format!("{minute} {hour} {day} * {weekday}"),
        12 => format!("15 {minute} {hour} * * *"),
        13 => format!("*/20 {minute} {hour} * * *"),
        14 => return format!("[\"{minute} {hour} * * *\", \"0 0 1 * *\", \"@every 36h\"]"),
        15 => "0 */6 * * *".to_owned(),
        16..40 => format!("{minute} {} * * *", number(0..4)),
        _ => format!("{minute} {hour} * * *"),
    };
    format!("\"{expression}\"")
}
