//! One run of a million partials of a handler, every result durable: over a range, with and without a handler that gathers the
//! results in the end, over targets that the handler lists itself, and over a CSV file. Beside it, what keeps nothing: Python's
//! `ensure_future` and `gather`, and `tokio::spawn`. Each in a process of its own, one after the other: partials a second from the
//! start of the daemon to the end of the run on disk, and the peak memory of the process (Linux: `VmHWM`).

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use batchd::daemon::Daemon;
use batchd::engine::RunKey;
use batchd::handler::{Batch, Context, HandlerError, HandlerResult, Results, TargetList, json};
use batchd::store::{Reader, RunFilter, RunView};
use tokio_util::sync::CancellationToken;

const PARTIALS: u32 = 1_000_000;

const WINDOW: usize = 512;

const RANGE: &str = "targets = { range = \"0..1000000\" }";

const PYTHON: &str = "
import asyncio, resource, sys, time
async def partial(index):
    return index
async def main(count):
    begun = time.perf_counter()
    results = await asyncio.gather(*[asyncio.ensure_future(partial(index)) for index in range(count)])
    took = time.perf_counter() - begun
    assert len(results) == count
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f'{\"python ensure_future + gather\":<34} {count / took:>12.0f} {peak:>10.1f}')
asyncio.run(main(int(sys.argv[1])))
";

#[tokio::main]
async fn main() {
    match std::env::args().nth(1).as_deref() {
        None => compare(),
        Some("range") => batchd("batchd, a range", "echo", RANGE, |_| {}).await,
        Some("gathered") => batchd("batchd, a range, gathered", "article", RANGE, |_| {}).await,
        Some("listed") => batchd("batchd, listed and gathered", "article", "", |_| {}).await,
        Some("csv") => batchd("batchd, a CSV file", "echo", "targets = { file = \"shops.csv\" }", write_csv).await,
        Some("spawn") => spawn().await,
        Some(other) => panic!("no measurement `{other}`"),
    }
}

fn compare() {
    println!("{:<34} {:>12} {:>10}", "system", "partials/s", "peak MiB");
    let own = std::env::current_exe().expect("this program");
    for measurement in ["range", "gathered", "listed", "csv", "spawn"] {
        assert!(Command::new(&own).arg(measurement).status().expect("it starts").success());
    }
    match Command::new("python3").args(["-c", PYTHON, &PARTIALS.to_string()]).status() {
        Ok(status) => assert!(status.success()),
        Err(error) => println!("python3: {error}"),
    }
}

fn write_csv(site: &Path) {
    let mut text = "id,city\n".to_owned();
    for id in 0..PARTIALS {
        writeln!(text, "{id},\"city, {}\"", id % 1_000).expect("a string takes everything");
    }
    std::fs::write(site.join("shops.csv"), text).expect("write");
}

/// The program of the article: lists its targets, works on each, and gathers what came of them.
struct Article;

impl Batch for Article {
    async fn plan(&self, _: Context, targets: TargetList) -> Result<(), HandlerError> {
        for index in 0..PARTIALS {
            targets.add(index.to_string()).await?;
        }
        Ok(())
    }

    async fn partial(&self, context: Context) -> HandlerResult {
        Ok(json!(context.index))
    }

    async fn finish(&self, _: Context, mut results: Results) -> HandlerResult {
        let (mut count, mut sum) = (0_u64, 0);
        while let Some(partial) = results.next().await? {
            count += 1;
            sum += partial.result.as_u64().unwrap_or(0);
        }
        Ok(json!([count, sum]))
    }
}

async fn batchd(name: &str, handler: &str, targets: &str, prepare: impl FnOnce(&Path)) {
    let site = tempfile::tempdir().expect("a temporary directory");
    prepare(site.path());
    let text = format!(
        "[daemon]\ntimezone = \"UTC\"\nmax_partials = {WINDOW}\n[log]\nconsole = false\nlevel = \"warn\"\n\
         [jobs.million]\nschedule = \"@reboot\"\nhandler = \"{handler}\"\n{targets}\nconcurrency = {WINDOW}\n"
    );
    std::fs::write(site.path().join("jobs.toml"), text).expect("write");
    reset_peak();
    let shutdown = CancellationToken::new();
    let begun = Instant::now();
    let config = site.path().join("jobs.toml");
    let daemon = Daemon::builder().config(config).handler("article", Article).signals(false).shutdown(shutdown.clone()).build();
    let daemon = tokio::spawn(daemon.run());
    let state = site.path().join("state");
    let run = ended(&state).await;
    let (took, peak) = (begun.elapsed(), peak_mib());
    assert_eq!(run.succeeded, PARTIALS);
    if handler == "article" {
        let sum = u64::from(PARTIALS) * u64::from(PARTIALS - 1) / 2;
        assert_eq!(run.result.expect("a result").get(), format!("[{PARTIALS},{sum}]"));
    }
    let read = read_back(&Reader::open(&state).expect("a database"), run.key);
    shutdown.cancel();
    daemon.await.expect("the daemon does not panic").expect("the daemon ends well");
    let started = run.started.expect("it has started").duration_since(run.fired).unsigned_abs();
    row(name, took, peak);
    println!("{:<34} {:>12.0}   first start after {:.2} s", "  … its results read back in order", rate(read), started.as_secs_f64());
}

async fn ended(state: &Path) -> RunView {
    let mut reader = None;
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        reader = reader.or_else(|| Reader::open(state).ok());
        let Some(reader) = &reader else { continue };
        let runs = reader.runs(&RunFilter { limit: 1, ..RunFilter::default() }).unwrap_or_default();
        if let Some(run) = runs.into_iter().find(|run| run.ended.is_some()) {
            return run;
        }
    }
}

/// As many tasks at once, and the results in order; nothing is kept.
async fn spawn() {
    use futures::StreamExt;
    let begun = Instant::now();
    let tasks = futures::stream::iter(0..PARTIALS).map(|index| tokio::spawn(async move { index })).buffered(WINDOW);
    let count = tasks.fold(0, |count, task| async move { count + u32::from(task.is_ok()) }).await;
    assert_eq!(count, PARTIALS);
    row("tokio::spawn, nothing kept", begun.elapsed(), peak_mib());
}

fn row(name: &str, took: Duration, peak: f64) {
    println!("{name:<34} {:>12.0} {peak:>10.1}", rate(took));
}

fn rate(took: Duration) -> f64 {
    f64::from(PARTIALS) / took.as_secs_f64()
}

/// Streams the results and checks their order.
fn read_back(reader: &Reader, run: RunKey) -> Duration {
    let begun = Instant::now();
    let (mut after, mut expected) = (None, 0);
    loop {
        let page = reader.next_partials(run, after, 1_000).expect("results");
        let Some(last) = page.last() else { break };
        after = Some(last.index);
        for partial in &page {
            assert_eq!(partial.index, expected);
            expected += 1;
        }
    }
    assert_eq!(expected, PARTIALS);
    begun.elapsed()
}

/// What the preparation took is not the daemon's.
fn reset_peak() {
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux takes it");
}

fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap_or(0.0) / 1024.0
}
