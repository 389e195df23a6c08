//! `batchd retry`: works on an ended run again, on what failed or on all of it.

use super::client::path;
use super::escape::escape;
use super::{Client, Exit, Failure, Screen, trigger};
use crate::web::api::{RetryRequest, Triggered};

/// The arguments of `batchd retry`.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Clone, Debug, clap::Args)]
pub struct RetryArgs {
    /// The run's name, the beginning of it, or a job's name for its latest run
    #[arg(value_name = "RUN")]
    pub run: String,
    /// The targets without a success, which is the default
    #[arg(long, conflicts_with = "all")]
    pub failed: bool,
    /// All its targets
    #[arg(long)]
    pub all: bool,
    /// Wait for the run to end; exit 1 when it fails
    #[arg(long)]
    pub wait: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) async fn retry(client: &Client, args: &RetryArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let triggered: Triggered = client.post(&path(&["runs", &args.run, "retry"]), &RetryRequest { all: args.all }).await?;
    if args.wait {
        return trigger::wait(client, &triggered, args.json, screen).await;
    }
    if args.json {
        screen.json(&triggered)?;
    } else {
        screen.line(escape(&triggered.id.0))?;
    }
    Ok(Exit::Done)
}
