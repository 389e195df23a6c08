//! `batchd pause` and `batchd resume`: suppresses the nominal times of a job for a while.

use super::client::path;
use super::escape::escape;
use super::{Client, Exit, Failure, Screen};
use crate::web::api::Paused;

/// The arguments of `batchd pause` and `batchd resume`.
#[derive(Clone, Debug, clap::Args)]
pub struct PauseArgs {
    /// The jobs' names
    #[arg(value_name = "JOB", required = true)]
    pub jobs: Vec<String>,
    /// Print JSON, a line a job
    #[arg(long)]
    pub json: bool,
}

pub(super) async fn pause(client: &Client, args: &PauseArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    set(client, args, "pause", screen).await
}

pub(super) async fn resume(client: &Client, args: &PauseArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    set(client, args, "resume", screen).await
}

async fn set(client: &Client, args: &PauseArgs, order: &str, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    for job in &args.jobs {
        let paused: Paused = client.post(&path(&["jobs", job, order]), &serde_json::json!({})).await?;
        if args.json {
            screen.json(&paused)?;
            continue;
        }
        let state = match (paused.paused, paused.changed) {
            (true, true) => "is paused: its nominal times are suppressed until `batchd resume`",
            (true, false) => "was paused already",
            (false, true) => "goes on with its next nominal time",
            (false, false) => "was not paused",
        };
        screen.line(format!("{} {state}", escape(&paused.job)))?;
    }
    Ok(Exit::Done)
}
