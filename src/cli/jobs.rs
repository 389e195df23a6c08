//! `batchd jobs`: the jobs with their next fire and last outcome.

use jiff::Timestamp;

use super::client::path;
use super::escape::escape;
use super::print::{Text, Tone, outcome_name};
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
        let rows = list.jobs.iter().map(|job| row(job, now)).collect();
        screen.table(&["job", "schedule", "next fire", "last run", "live"], rows, &["live", "schedule"])?;
    }
    if !list.daemon {
        screen.note("no daemon runs: nothing fires until `batchd daemon` is started")?;
    }
    Ok(Exit::Done)
}

fn row(job: &JobView, now: Timestamp) -> Vec<Text> {
    let next_fire = match job.next_fire {
        _ if !job.enabled => Tone::Faint.text("disabled"),
        _ if job.paused => Tone::Faint.text("paused"),
        Some(at) => format!("{} ({})", human::local(at, &job.zone), human::distance(at, now)).into(),
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
    vec![name.into(), schedule.into(), next_fire, last_run, live.into()]
}

/// Its schedules, and the jobs it runs after.
fn timing(job: &JobView) -> String {
    let after = (!job.after.is_empty()).then(|| format!("after {}", job.after.join(", ")));
    after.into_iter().chain(job.schedule.iter().cloned()).collect::<Vec<_>>().join("; ")
}
