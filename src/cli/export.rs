//! `batchd export`: jobs as others read them, on stdout; what does not come along, on stderr.

use nix::unistd::{Uid, User};

use super::import::findings;
use super::{Exit, Failure, Screen};
use crate::config::Config;
use crate::exchange::crontab::{Facts, export as crontab};

/// The arguments of `batchd export`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExportArgs {
    #[command(subcommand)]
    pub to: To,
}

/// What is made.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum To {
    /// Make a crontab of the jobs, as far as it can say them
    Crontab(CrontabArgs),
}

/// The arguments of `batchd export crontab`.
#[derive(Clone, Debug, clap::Args)]
pub struct CrontabArgs {
    /// Only these jobs
    #[arg(value_name = "JOB")]
    pub jobs: Vec<String>,
    /// Print JSON: the crontab, the names of its jobs and the findings
    #[arg(long)]
    pub json: bool,
}

pub(super) fn export(config: &Config, args: &ExportArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let To::Crontab(args) = &args.to;
    if let Some(unknown) = args.jobs.iter().find(|name| !config.jobs.contains_key(name.as_str())) {
        return Err(Failure::unknown_job(unknown, config.jobs.keys().map(|name| &**name)));
    }
    let owner = User::from_uid(Uid::effective()).ok().flatten();
    let home = |_: &str| owner.as_ref()?.dir.to_str().map(str::to_owned);
    let facts = Facts { owner: owner.as_ref().map(|user| user.name.as_str()), home: &home };
    let exported = crontab(config, &args.jobs, facts);
    if args.json {
        screen.json(&exported)?;
    } else {
        screen.line(&exported.crontab)?;
        screen.flush()?;
        findings(&exported.findings, screen)?;
    }
    Ok(if exported.left_out == 0 { Exit::Done } else { Exit::WorkFailed })
}
