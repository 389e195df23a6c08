//! `batchd run`: one run in the foreground, without a daemon.

mod watch;

use std::io::{self, IsTerminal};

use jiff::Timestamp;

use self::watch::Watch;
use super::client::path;
use super::dispatch::{config, open_records, runtime};
use super::place::config_path;
use super::{Client, Exit, Failure, Global, Rooms, Screen, show};
use crate::config::Config;
use crate::daemon::RunOptions;
use crate::engine::RunOutcome;
use crate::web::SOCKET_FILE;
use crate::web::api::RunDetail;

/// The arguments of `batchd run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// The job's name
    #[arg(value_name = "JOB")]
    pub job: String,
    /// Only this target, by its key; may be given several times
    #[arg(long = "target", value_name = "TARGET")]
    pub targets: Vec<String>,
    /// The nominal time to work on, such as 2026-03-11T02:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub nominal: Option<Timestamp>,
}

pub(super) fn run(rooms: &dyn Rooms, global: &Global, args: &RunArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let watch = if io::stderr().is_terminal() { Watch::bar() } else { Watch::lines(io::stderr()) };
    run_watched(rooms, global, args, watch, screen)
}

fn run_watched(rooms: &dyn Rooms, global: &Global, args: &RunArgs, watch: Watch, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let config = config(rooms, &config_path(global.config.as_deref())?)?;
    check(&config, args)?;
    let state_dir = config.daemon.state_dir.clone();
    let options = RunOptions { targets: args.targets.clone(), nominal: args.nominal };
    let run = rooms.run_once(config, &args.job, options, Box::new(watch))?;

    let client = Client::within(open_records(rooms, &state_dir, Vec::new())?, state_dir.join(SOCKET_FILE));
    let detail: RunDetail = runtime()?.block_on(client.get(&path(&["runs", &run.id.0])))?;
    show::print(&detail, screen)?;
    Ok(match run.outcome {
        // Nobody but the one who waits for it can stop a run in the foreground.
        Some(RunOutcome::Cancelled | RunOutcome::Interrupted) => Exit::Interrupted,
        outcome => Exit::of_run(outcome),
    })
}

/// Whether there is such a job, and it has such targets.
fn check(config: &Config, args: &RunArgs) -> Result<(), Failure> {
    let Some(job) = config.jobs.get(args.job.as_str()) else { return Err(Failure::UnknownJob(args.job.clone())) };
    let is_known = |key: &str| (0..job.targets.partials()).any(|index| job.targets.get(index).is_some_and(|target| &*target.key == key));
    match args.targets.iter().find(|target| !is_known(target)) {
        Some(target) => Err(Failure::UnknownTarget { job: args.job.clone(), target: target.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
