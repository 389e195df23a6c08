//! `batchd jobs`: the jobs with their next fire and last outcome.

use jiff::Timestamp;

use super::check::MAX_SCHEDULE;
use super::client::path;
use super::escape::escape;
use super::print::{Tone, outcome_name};
use super::table::{Column, ENOUGH_FOR_A_NAME, Table, Text};
use super::{Client, Exit, Failure, Screen, human};
use crate::web::api::{JobList, JobView};

/// The arguments of `batchd jobs`.
#[derive(Clone, Debug, clap::Args)]
pub struct JobsArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) async fn jobs(client: &Client, args: &JobsArgs, now: Timestamp, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let list: JobList = client.get(&path(&["jobs"])).await?;
    if args.json {
        screen.json(&list)?;
        return Ok(Exit::Done);
    }
    if list.jobs.is_empty() {
        screen.note("the configuration has no jobs")?;
    } else {
        let columns = [
            Column::name("job").enough(ENOUGH_FOR_A_NAME),
            Column::text("schedule").at_most(MAX_SCHEDULE).spare(3),
            Column::text("next fire").spare(2),
            Column::text("due"),
            Column::text("last run"),
            Column::text("live").spare(1),
        ];
        screen.table(&Table::with_rows(columns, list.jobs.iter().map(|job| row(job, now))))?;
    }
    if !list.daemon {
        screen.note("no daemon runs: nothing fires until `batchd daemon` is started")?;
    }
    Ok(Exit::Done)
}

fn row(job: &JobView, now: Timestamp) -> Vec<Text> {
    let next_fire = job.next_fire.map_or_else(|| "-".to_owned(), |at| human::local(at, &job.zone));
    let due = match job.next_fire {
        _ if !job.enabled => Tone::Faint.text("disabled"),
        _ if job.paused => Tone::Doubtful.text("paused"),
        Some(at) => human::distance(at, now).into(),
        None => "-".into(),
    };
    let last_run = job.last_run.as_ref().map_or_else(
        || "-".into(),
        |run| {
            let when = human::distance(run.ended.unwrap_or(run.fired), now);
            Tone::of(run.outcome).text(format!("{} {when}", outcome_name(run.outcome)))
        },
    );
    let live = match (job.running, job.waiting) {
        (0, 0) => "-".to_owned(),
        (running, 0) => format!("{running} running"),
        (0, waiting) => format!("{waiting} waiting"),
        (running, waiting) => format!("{running} running, {waiting} waiting"),
    };
    let (name, schedule) = (escape(&job.name).into_owned(), escape(&timing(job)).into_owned());
    vec![name.into(), schedule.into(), next_fire.into(), due, last_run, live.into()]
}

/// Its schedules, and the jobs it runs after.
fn timing(job: &JobView) -> String {
    let after = (!job.after.is_empty()).then(|| format!("after {}", job.after.join(", ")));
    after.into_iter().chain(job.schedule.iter().cloned()).collect::<Vec<_>>().join("; ")
}
