//! `batchd trigger`: the daemon runs a job now.

use std::time::Duration;

use jiff::Timestamp;

use super::client::{path, query};
use super::escape::escape;
use super::{Client, Exit, Failure, Screen, human};
use crate::config::Args;
use crate::web::api::{RunDetail, RunView, TriggerRequest, Triggered};

/// So many seconds the daemon is asked to wait for the end of a run; then it is asked again.
const WAIT: u32 = 30;

/// The pause between two such questions, for a daemon of which too many ask.
const PAUSE: Duration = Duration::from_millis(200);

/// The arguments of `batchd trigger`.
#[derive(Clone, Debug, clap::Args)]
pub struct TriggerArgs {
    /// The job's name
    #[arg(value_name = "JOB")]
    pub job: String,
    /// Only this target, by its key; may be given several times
    #[arg(long = "target", value_name = "TARGET")]
    pub targets: Vec<String>,
    /// The nominal time to work on, such as 2026-03-11T02:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub nominal: Option<Timestamp>,
    /// Wait for the run to end; exit 1 when it fails
    #[arg(long)]
    pub wait: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// The values of the job's own arguments.
    #[arg(skip)]
    pub args: Args,
}

pub(super) async fn trigger(client: &Client, args: &TriggerArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let order = TriggerRequest { targets: args.targets.clone(), args: args.args.clone(), nominal: args.nominal };
    let triggered: Triggered = client.post(&path(&["jobs", &args.job, "trigger"]), &order).await?;
    if !args.wait {
        if args.json {
            screen.json(&triggered)?;
        } else {
            screen.line(escape(&triggered.id.0))?;
        }
        return Ok(Exit::Done);
    }
    wait(client, &triggered, args.json, screen).await
}

/// Waits for the end of a run, and tells how it went.
pub(super) async fn wait(client: &Client, triggered: &Triggered, json: bool, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    if !json {
        screen.note(format!("{} has been fired; waiting for its end", escape(&triggered.id.0)))?;
    }
    let run = end(client, &triggered.id.0).await?;
    if json {
        screen.json(&run)?;
    } else {
        screen.line(headline(&run, screen))?;
    }
    Ok(Exit::of_run(run.outcome))
}

/// The run, once it has ended.
async fn end(client: &Client, id: &str) -> Result<RunView, Failure> {
    let path = path(&["runs", id]) + &query(&[("wait", Some(WAIT.to_string()))]);
    loop {
        let RunDetail { run, .. } = client.get(&path).await?;
        if run.ended.is_some() {
            return Ok(run);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// `sync@… succeeded in 1m 23s, 4/4 partials`.
fn headline(run: &RunView, screen: &Screen<'_>) -> String {
    let took = run.duration_ms.map(|ms| format!(" in {}", human::milliseconds(ms))).unwrap_or_default();
    let reason = run.reason.as_deref().map(|reason| format!(": {}", escape(reason))).unwrap_or_default();
    let RunView { succeeded, partials, .. } = run;
    format!("{} {}{took}, {succeeded}/{partials} partials{reason}", escape(&run.id.0), screen.outcome(run.outcome))
}
