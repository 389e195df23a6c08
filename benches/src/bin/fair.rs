//! A job with two targets each second, alone and beside a live run of a million targets, at the same global limit: how long its runs
//! take from their nominal time to their end. Every partial takes five milliseconds.

use std::time::Duration;

use batchd::daemon::Daemon;
use batchd::handler::{Context, HandlerError};
use batchd::store::{Reader, RunFilter};
use tokio_util::sync::CancellationToken;

const SECONDS: u64 = 12;

const SMALL: &str = "[jobs.small]\nschedule = \"* * * * * *\"\nhandler = \"work\"\ntargets = [\"a\", \"b\"]\n";
const BIG: &str = "[jobs.big]\nschedule = \"@reboot\"\nhandler = \"work\"\ntargets = { range = \"0..1000000\" }\nconcurrency = 64\n";

#[tokio::main]
async fn main() {
    let alone = median(SMALL).await;
    let beside = median(&format!("{SMALL}{BIG}")).await;
    println!("two targets alone: {alone:.1} ms; beside a million: {beside:.1} ms; ratio {:.2}", beside / alone);
}

async fn work(_: Context) -> Result<serde_json::Value, HandlerError> {
    tokio::time::sleep(Duration::from_millis(5)).await;
    Ok(serde_json::Value::Null)
}

/// The median of what the runs of the small job take, in milliseconds.
async fn median(jobs: &str) -> f64 {
    let site = tempfile::tempdir().expect("a temporary directory");
    let text = format!(
        "[daemon]\ntimezone = \"UTC\"\nmax_partials = 64\ndrain_timeout = \"0s\"\n[log]\nconsole = false\nlevel = \"warn\"\n{jobs}"
    );
    std::fs::write(site.path().join("jobs.toml"), text).expect("write");
    let shutdown = CancellationToken::new();
    let daemon = Daemon::builder().config(site.path().join("jobs.toml")).logs(false).signals(false).handler("work", work);
    let daemon = tokio::spawn(daemon.shutdown(shutdown.clone()).build().run());
    tokio::time::sleep(Duration::from_secs(SECONDS)).await;
    let reader = Reader::open(&site.path().join("state")).expect("a database");
    let filter = RunFilter { job: Some("small".to_owned()), limit: 100, ..RunFilter::default() };
    let runs = reader.runs(&filter).expect("runs");
    let mut took: Vec<f64> = runs.iter().filter_map(|run| Some(run.ended?.duration_since(run.nominal).as_secs_f64() * 1_000.0)).collect();
    shutdown.cancel();
    daemon.await.expect("the daemon does not panic").expect("the daemon ends well");
    assert!(took.len() > 5, "{} runs prove nothing", took.len());
    took.sort_by(f64::total_cmp);
    took[took.len() / 2]
}
