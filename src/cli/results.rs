//! `batchd results`: the gathered results of a run, a line of JSON a partial.

use super::client::{path, query};
use super::{Client, Exit, Failure, Screen};

/// The arguments of `batchd results`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Each line: index, target, outcome, attempts, started, ended, duration_ms, exit_code, signal, result, error.")]
pub struct ResultsArgs {
    /// The run's name, the beginning of it, or a job's name for its latest run
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Only partials that failed
    #[arg(long)]
    pub failed: bool,
}

pub(super) async fn results(client: &Client, args: &ResultsArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let query = query(&[("failed", args.failed.then(|| "true".to_owned()))]);
    let mut lines = client.lines(&(path(&["runs", &args.run, "results"]) + &query)).await?;
    while let Some(line) = lines.next().await? {
        screen.json_line(&line)?;
    }
    Ok(Exit::Done)
}
