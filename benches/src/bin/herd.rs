//! A thundering herd of in-process jobs: N due at one instant, batchd (every fire recorded first) beside tokio-cron-scheduler.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use batchd::daemon::Daemon;
use batchd::handler::{Context, Handler, HandlerResult};
use batchd_benches::{HEADER, Stamps, instant_after, now};
use jiff::Timestamp;
use tokio_cron_scheduler::{Job, JobScheduler};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() {
    println!("{HEADER}");
    for jobs in [100, 1_000, 10_000] {
        println!("{}", batchd(jobs).await);
        println!("{}", tokio_cron_scheduler(jobs).await);
    }
}

/// When the herd is due, and the six cron fields that say so.
fn due(jobs: usize) -> (u64, String) {
    let second = instant_after(Duration::from_millis(2_500 + jobs as u64 / 2));
    let at = Timestamp::from_second(second as i64).expect("in range");
    (second, at.strftime("%-S %-M %-H %-d %-m *").to_string())
}

async fn wait_past(second: u64) {
    let wait = Duration::from_nanos((second * 1_000_000_000).saturating_sub(now())) + Duration::from_secs(4);
    tokio::time::sleep(wait).await;
}

struct Stamp(Arc<Stamps>);

impl Handler for Stamp {
    async fn partial(&self, context: Context) -> HandlerResult {
        self.0.stamp(context.job[1..].parse()?);
        Ok(serde_json::Value::Null)
    }
}

async fn batchd(jobs: usize) -> String {
    let site = tempfile::tempdir().expect("a temporary directory");
    let (second, schedule) = due(jobs);
    let mut text = format!("[daemon]\ntimezone = \"UTC\"\nmax_partials = {jobs}\n[log]\nconsole = false\nlevel = \"error\"\n");
    for job in 0..jobs {
        write!(text, "[jobs.j{job}]\nschedule = \"{schedule}\"\nhandler = \"stamp\"\n").expect("a string takes everything");
    }
    std::fs::write(site.path().join("jobs.toml"), text).expect("write");
    let (stamps, shutdown) = (Arc::new(Stamps::new(jobs)), CancellationToken::new());
    let daemon = Daemon::builder().config(site.path().join("jobs.toml")).handler("stamp", Stamp(Arc::clone(&stamps)));
    let daemon = tokio::spawn(daemon.signals(false).logs(false).shutdown(shutdown.clone()).build().run());
    wait_past(second).await;
    shutdown.cancel();
    daemon.await.expect("the daemon does not panic").expect("the daemon ends well");
    stamps.row("batchd", second)
}

async fn tokio_cron_scheduler(jobs: usize) -> String {
    let (second, schedule) = due(jobs);
    let stamps = Arc::new(Stamps::new(jobs));
    let mut scheduler = JobScheduler::new().await.expect("a scheduler");
    for job in 0..jobs {
        let stamps = Arc::clone(&stamps);
        let made = Job::new_async(schedule.as_str(), move |_, _| {
            let stamps = Arc::clone(&stamps);
            Box::pin(async move { stamps.stamp(job) })
        });
        scheduler.add(made.expect("a valid expression")).await.expect("added");
    }
    scheduler.start().await.expect("started");
    wait_past(second).await;
    scheduler.shutdown().await.expect("shut down");
    stamps.row("tokio-cron-scheduler", second)
}
