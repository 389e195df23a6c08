//! `batchd run`: one run in the foreground, without a daemon.

mod said;
mod watch;

use std::io::{self, IsTerminal};

use jiff::Timestamp;

use self::watch::Watch;
use super::client::path;
use super::dispatch::{open_records, runtime};
use super::place::config_path;
use super::{Client, Exit, Failure, Global, Rooms, Screen, show};
use crate::config::Args;
use crate::daemon::{RunOptions, Signal};
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
    /// The values of the job's own arguments.
    #[arg(skip)]
    pub args: Args,
}

pub(super) fn run(rooms: &dyn Rooms, global: &Global, args: &RunArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let watch = if io::stderr().is_terminal() { Watch::bar() } else { Watch::lines(io::stderr()) };
    watch.said().install();
    run_watched(rooms, global, args, watch, screen)
}

fn run_watched(rooms: &dyn Rooms, global: &Global, args: &RunArgs, watch: Watch, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let config = rooms.load(&config_path(global.config.as_deref())?)?;
    if !config.jobs.contains_key(args.job.as_str()) {
        return Err(Failure::unknown_job(&args.job, config.jobs.keys().map(|name| &**name)));
    }
    let state_dir = config.daemon.state_dir.clone();
    let targets = args.targets.iter().map(|target| target.as_str().into()).collect();
    let options = RunOptions { args: args.args.clone(), targets, nominal: args.nominal };
    let ran = rooms.run_once(config, args.job.as_str().into(), options, Box::new(watch))?;

    let client = Client::within(open_records(rooms, &state_dir, Vec::new()), state_dir.join(SOCKET_FILE));
    let detail: RunDetail = runtime()?.block_on(client.get(&path(&["runs", &ran.id.0])))?;
    show::print(&detail, screen)?;
    Ok(match ran.interrupted_by {
        Some(Signal::Terminate) => Exit::Terminated,
        Some(_) => Exit::Interrupted,
        None => Exit::of_run(Some(ran.outcome)),
    })
}

#[cfg(test)]
mod tests;
