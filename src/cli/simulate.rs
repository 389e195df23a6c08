//! `batchd simulate`: the real engine under a virtual clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::escape::escape;
use super::expression::{explain_refusal, instant, jump};
use super::print::Tone;
use super::table::{Column, ENOUGH_FOR_A_NAME, Table, Text};
use super::{Exit, Failure, Screen, human};
use crate::config::{Config, Job, JobName};
use crate::engine::Decision;
use crate::schedule::{Change, describe_change};
use crate::simulate::{Fire, JobReport, Plan, Report, Trouble, simulate as run};
use crate::store::Reader;

/// How long a run takes that the history does not tell of.
const OTHERWISE: Duration = Duration::from_secs(1);

/// The longest stretch: a mistyped year must not compute for hours.
const MAX_STRETCH: Duration = Duration::from_secs(10 * 366 * 24 * 3_600);

/// The decisions in the order of the table.
const DECISIONS: [Decision; 5] = [Decision::Ran, Decision::Skipped, Decision::Suppressed, Decision::Missed, Decision::Coalesced];

/// The arguments of `batchd simulate`.
#[derive(Clone, Debug, clap::Args)]
pub struct SimulateArgs {
    /// The first nominal time: RFC 3339, or a date or time in the zone of the file
    #[arg(long, value_name = "TIME")]
    pub from: String,
    /// Only nominal times before this one
    #[arg(long, value_name = "TIME")]
    pub to: String,
    /// How long the attempts of jobs take: `history`, the medians of what was recorded, or a span such as 10m
    #[arg(long, value_name = "SPEED", default_value = "history", value_parser = Speed::parse)]
    pub speed: Speed,
    /// No daemon runs in this stretch, such as 2026-03-08T01:00..2026-03-08T04:00; may be given several times
    #[arg(long, value_name = "FROM..TO")]
    pub down: Vec<String>,
    /// How many fires are listed; all are counted
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How long attempts take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    History,
    Each(Duration),
}

impl Speed {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "history" {
            return Ok(Self::History);
        }
        humantime::parse_duration(text).map(Self::Each).map_err(|error| format!("{error}; write `history`, or a span such as `10m`"))
    }
}

/// Simulates `config`. `typical`: how long an attempt of a job takes as a rule, by the records; asked for only with
/// `--speed history`.
pub(super) fn simulate(
    config: &Arc<Config>,
    args: &SimulateArgs,
    typical: impl FnOnce() -> Result<HashMap<JobName, Duration>, Failure>,
    screen: &mut Screen<'_>,
) -> Result<Exit, Failure> {
    let (otherwise, durations) = match args.speed {
        Speed::History => (OTHERWISE, typical()?),
        Speed::Each(takes) => (takes, HashMap::new()),
    };
    let unknown = config.jobs.keys().filter(|name| !durations.contains_key(*name)).count();
    let plan = match plan(config, args, durations, otherwise) {
        Ok(plan) => plan,
        Err(reason) => {
            screen.error(&reason, None)?;
            return Ok(Exit::Usage);
        }
    };
    let report = run(config, &plan, |_| ());
    if args.json {
        screen.json(&report)?;
        return Ok(Exit::Done);
    }
    show(config, &plan, &report, screen)?;
    if args.speed == Speed::History && unknown > 0 {
        screen.note(format!("{unknown} of {} jobs have no history: an attempt of theirs is taken to last 1s", config.jobs.len()))?;
    }
    Ok(Exit::Done)
}

/// How long an attempt of each job takes by its latest runs: the median, shared out over the attempts that follow each other.
pub(super) fn typical(reader: &Reader, config: &Config) -> Result<HashMap<JobName, Duration>, Failure> {
    let mut durations = HashMap::new();
    for job in config.jobs.values() {
        let mut runs = reader.recent_durations(&job.name).context("cannot read the records")?;
        runs.sort_by_key(|(took, _)| *took);
        if let Some((took, partials)) = runs.get(runs.len() / 2) {
            let in_turn = u32::try_from((*partials as usize).div_ceil(job.policies.concurrency)).unwrap_or(u32::MAX);
            durations.insert(Arc::clone(&job.name), *took / in_turn.max(1));
        }
    }
    Ok(durations)
}

/// How long a slow run of each job takes: all but one in twenty of its latest are quicker. Only of jobs with twenty runs, and not for
/// files with more than a thousand jobs, where asking would take longer than the check.
pub(super) fn slow(reader: &Reader, config: &Config) -> HashMap<JobName, Duration> {
    const MAX_JOBS: usize = 1_000;
    const MIN_RUNS: usize = 20;
    let of_job = |job: &Arc<Job>| {
        let mut runs = reader.recent_durations(&job.name).ok().filter(|runs| runs.len() >= MIN_RUNS)?;
        runs.sort_by_key(|(took, _)| *took);
        Some((Arc::clone(&job.name), runs[runs.len() * 19 / 20].0))
    };
    if config.jobs.len() > MAX_JOBS { HashMap::new() } else { config.jobs.values().filter_map(of_job).collect() }
}

fn plan(config: &Config, args: &SimulateArgs, durations: HashMap<JobName, Duration>, otherwise: Duration) -> Result<Plan, String> {
    let time = |text: &str, option| instant(text, &config.daemon.timezone, option).map_err(|refusal| explain_refusal(&refusal));
    let (from, to) = (time(&args.from, "--from")?, time(&args.to, "--to")?);
    if to <= from {
        return Err("`--to` is not later than `--from`".to_owned());
    }
    if to.duration_since(from).unsigned_abs() > MAX_STRETCH {
        return Err("the stretch is longer than ten years".to_owned());
    }
    let mut troubles = Vec::new();
    let mut up = from;
    for text in &args.down {
        let Some((first, last)) = text.split_once("..") else { return Err(format!("`--down {}` is not FROM..TO", escape(text))) };
        let (first, last) = (time(first, "--down")?, time(last, "--down")?);
        if first < up || last < first || last > to {
            return Err(format!("`--down {}` is not in order, or not inside of the stretch", escape(text)));
        }
        up = last;
        troubles.push((first.duration_since(from).unsigned_abs(), Trouble::Down(last.duration_since(first).unsigned_abs())));
    }
    Ok(Plan { from, to, durations, otherwise, troubles, listed: args.limit })
}

fn show(config: &Config, plan: &Plan, report: &Report, screen: &mut Screen<'_>) -> Result<(), Failure> {
    for fire in &report.fires {
        let zone = config.jobs.get(&fire.job).map_or("UTC", |job| &*job.timetable.zone.name);
        screen.line(fire_line(fire, zone))?;
    }
    let more = report.fired - report.fires.len() as u64;
    if more > 0 {
        screen.line(format!("… and {more} more"))?;
    }
    screen.line("")?;
    let columns = [
        Column::name("job").enough(ENOUGH_FOR_A_NAME),
        Column::number("ran"),
        Column::number("skipped").spare(1),
        Column::number("suppressed").spare(3),
        Column::number("missed").spare(2),
        Column::number("coalesced").spare(4),
        Column::number("followed").spare(5),
    ];
    screen.table(&Table::with_rows(columns, report.jobs.iter().map(|(name, job)| row(name, job))))?;
    screen.line("")?;
    for (what, peak) in [("run", report.runs), ("partial", report.partials)] {
        let at = peak.at.map_or_else(String::new, |at| format!(", first at {}", human::local(at, &config.daemon.timezone.name)));
        screen.line(format!("at most {} at once{at}", human::count(peak.most as u64, what)))?;
    }
    for (name, job) in &report.jobs {
        if let Some(first) = job.first_skipped {
            let zone = config.jobs.get(name).map_or("UTC", |job| &*job.timetable.zone.name);
            let local = human::local(first, zone);
            screen.line(format!("{}: skips begin at {local}, while the run before is live (`overlap`)", escape(name)))?;
        }
    }
    for job in config.jobs.values().filter(|job| job.enabled && job.after.is_empty()) {
        changes(job, plan, screen)?;
    }
    Ok(())
}

/// `2026-03-08 04:00:00 EDT  sync (catch-up, for 2026-03-08 03:30:00 EDT)`. A fire is decided a little ahead of its instant.
fn fire_line(fire: &Fire, zone: &str) -> String {
    let at = human::local(fire.fired.max(fire.nominal), zone);
    let late = fire.fired > fire.nominal;
    let nominal = if late { format!(", for {}", human::local(fire.nominal, zone)) } else { String::new() };
    format!("{at}  {} ({}{nominal})", escape(&fire.job), fire.cause)
}

fn row(name: &JobName, job: &JobReport) -> Vec<Text> {
    let counted = |decision: &Decision| {
        let count = job.decided.get(decision.name()).copied().unwrap_or(0);
        let doubtful = count > 0 && matches!(decision, Decision::Skipped | Decision::Missed);
        if doubtful { Tone::Doubtful.text(count.to_string()) } else { count.to_string().into() }
    };
    let mut row: Vec<Text> = vec![escape(name).into_owned().into()];
    row.extend(DECISIONS.iter().map(counted));
    row.push(job.followed.to_string().into());
    row
}

/// What the changes of the clock in the stretch do to the fixed times of a job.
fn changes(job: &Job, plan: &Plan, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let within = |change: &Change| change.at < plan.to;
    for change in Change::following(&job.timetable.zone.rules, plan.from).take_while(within) {
        for schedule in &job.timetable.schedules {
            if schedule.is_touched_by(&change) {
                let effect = describe_change(schedule, job.timetable.dst, &change);
                screen.line(format!("{}: {} {}: {effect}", escape(&job.name), job.timetable.zone.name, jump(&change)))?;
            }
        }
    }
    Ok(())
}
