//! `batchd env`: what the processes of a job find in their environment.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::client::path;
use super::escape::escape;
use super::{Client, Exit, Failure, Screen};
use crate::config::{Config, Job, Target, TargetValue, Targets};
use crate::handler::{Inherited, Shown, environment_of};
use crate::web::LiveStatus;

/// The arguments of `batchd env`.
#[derive(Clone, Debug, clap::Args)]
pub struct EnvArgs {
    /// The job's name
    #[arg(value_name = "JOB")]
    pub job: String,
    /// The target, by its key [default: the first]
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// The nominal time, such as 2026-03-11T02:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub nominal: Option<Timestamp>,
    /// Print secrets as they are
    #[arg(long)]
    pub show_secrets: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The number of the process of the daemon, where one answers.
pub(super) async fn daemon(client: &Client) -> Option<u32> {
    client.get::<LiveStatus>(&path(&["status"])).await.ok().map(|status| status.pid)
}

pub(super) fn env(config: &Config, args: &EnvArgs, daemon: Option<u32>, now: Timestamp, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let job = config.jobs.get(args.job.as_str()).ok_or_else(|| Failure::unknown_job(&args.job, config.jobs.keys().map(|name| &**name)))?;
    let partial = partial(job, args.target.as_deref())?;
    let shown = if args.show_secrets { Shown::Whole } else { Shown::Redacted };
    let nominal = args.nominal.unwrap_or(now);
    let of = |inherited| environment_of(job, nominal, partial.clone(), &config.daemon.state_dir, inherited, shown);
    let inherited = inherited(daemon, screen)?;
    let variables = of(inherited).map_err(|error| Failure::Other(anyhow::anyhow!("the job could not start: {error}")))?;
    if args.json {
        screen.json(&variables)?;
        return Ok(Exit::Done);
    }
    for (name, value) in &variables {
        screen.line(format!("{}={}", escape(name), escape(value)))?;
    }
    Ok(Exit::Done)
}

/// From the daemon, where one runs and lets itself be asked.
fn inherited(daemon: Option<u32>, screen: &mut Screen<'_>) -> Result<Inherited, Failure> {
    let Some(pid) = daemon else {
        screen.note("no daemon runs: inherited variables are those of this shell")?;
        return Ok(Inherited::FromHere);
    };
    if let Err(error) = std::fs::File::open(Path::new("/proc").join(pid.to_string()).join("environ")) {
        screen.note(format!("the environment of the daemon cannot be read ({error}): inherited variables are those of this shell"))?;
        return Ok(Inherited::FromHere);
    }
    Ok(Inherited::From(pid))
}

/// The target of this key, or else the first, with its place.
fn partial(job: &Arc<Job>, key: Option<&str>) -> Result<(u32, Option<Target>), Failure> {
    let Some(key) = key else { return Ok((0, job.targets.get(0))) };
    if let Targets::Source(_) = job.targets {
        // They are read when a run begins: whether there is one of this key is seen only then.
        return Ok((0, Some(Target { key: key.into(), value: TargetValue::Text(key.into()) })));
    }
    let found = (0..job.targets.partials())
        .find_map(|index| job.targets.get(index).filter(|target| &*target.key == key).map(|target| (index, Some(target))));
    found.ok_or_else(|| Failure::UnknownTarget { job: job.name.to_string(), target: key.to_owned() })
}
