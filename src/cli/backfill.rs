//! `batchd backfill`: a run for each nominal time of a stretch of the past.

use super::client::path;
use super::escape::escape;
use super::expression::instant;
use super::{Client, Exit, Failure, Screen, human};
use crate::schedule::Zone;
use crate::web::api::{BackfillRequest, Backfilled, JobList};

/// The arguments of `batchd backfill`.
#[derive(Clone, Debug, clap::Args)]
pub struct BackfillArgs {
    /// The job's name
    #[arg(value_name = "JOB")]
    pub job: String,
    /// The first nominal time: RFC 3339, or a date or time in the job's zone
    #[arg(long, value_name = "TIME")]
    pub from: String,
    /// Only nominal times before this one
    #[arg(long, value_name = "TIME")]
    pub to: String,
    /// Only list the runs that would be made
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) async fn backfill(client: &Client, args: &BackfillArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let zone = zone(client, &args.job).await?;
    let (from, to) = (instant(&args.from, &zone, "--from")?, instant(&args.to, &zone, "--to")?);
    let order = BackfillRequest { from, to, dry_run: args.dry_run };
    let done: Backfilled = client.post(&path(&["jobs", &args.job, "backfill"]), &order).await?;
    if args.json {
        screen.json(&done)?;
        return Ok(Exit::Done);
    }
    for run in &done.runs {
        screen.line(format!("{}  {}", human::local(run.nominal, &zone.name), escape(&run.id.0)))?;
    }
    for id in &done.left_out {
        screen.note(format!("left out: {} is there already; `batchd show` tells of it", escape(&id.0)))?;
    }
    screen.note(summary(&done))?;
    Ok(Exit::Done)
}

fn summary(done: &Backfilled) -> String {
    let runs = match done.runs.len() {
        0 => return "no nominal time is left in that stretch".to_owned(),
        1 => "1 run".to_owned(),
        runs => format!("{runs} runs"),
    };
    let verb = if done.dry_run { "would be made" } else { "made" };
    format!("{runs} {verb}, to go one after the other while the job has nothing else to do")
}

/// The zone of the job; a job that is unknown is refused later, by the daemon.
async fn zone(client: &Client, job: &str) -> Result<Zone, Failure> {
    let list: JobList = client.get(&path(&["jobs"])).await?;
    let found = list.jobs.iter().find(|known| known.name == job).and_then(|known| Zone::lookup(&known.zone).ok());
    Ok(found.unwrap_or_else(Zone::utc))
}
