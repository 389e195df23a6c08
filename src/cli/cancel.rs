//! `batchd cancel`: stops a live run and all its processes.

use super::client::path;
use super::escape::escape;
use super::{Client, Exit, Failure, Screen};
use crate::web::api::Cancelled;

/// The arguments of `batchd cancel`.
#[derive(Clone, Debug, clap::Args)]
pub struct CancelArgs {
    /// The run's name, the beginning of it, or a job's name for its latest run
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) async fn cancel(client: &Client, args: &CancelArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let cancelled: Cancelled = client.post(&path(&["runs", &args.run, "cancel"]), &serde_json::json!({})).await?;
    if args.json {
        screen.json(&cancelled)?;
    } else {
        screen.line(format!("{} is asked to stop", escape(&cancelled.id.0)))?;
    }
    Ok(Exit::Done)
}
