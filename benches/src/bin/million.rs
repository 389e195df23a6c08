//! One run of a million in-process partials: gathered in order, every result durable. Prints partials a second, read back
//! results a second, and the peak memory of the process (Linux: `VmHWM`).

use std::time::{Duration, Instant};

use batchd::daemon::Daemon;
use batchd::engine::RunKey;
use batchd::store::{Reader, RunFilter};
use tokio_util::sync::CancellationToken;

const PARTIALS: u32 = 1_000_000;

#[tokio::main]
async fn main() {
    let site = tempfile::tempdir().expect("a temporary directory");
    let text = format!(
        "[daemon]\ntimezone = \"UTC\"\nmax_partials = 256\n[log]\nconsole = false\nlevel = \"warn\"\n\
         [jobs.million]\nschedule = \"@reboot\"\nhandler = \"echo\"\ntargets = {{ range = \"0..{PARTIALS}\" }}\nconcurrency = 256\n"
    );
    std::fs::write(site.path().join("jobs.toml"), text).expect("write");
    let shutdown = CancellationToken::new();
    let begun = Instant::now();
    let daemon = Daemon::builder().config(site.path().join("jobs.toml")).signals(false).shutdown(shutdown.clone()).build();
    let daemon = tokio::spawn(daemon.run());
    let state = site.path().join("state");
    let run = loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Ok(reader) = Reader::open(&state) else { continue };
        let runs = reader.runs(&RunFilter { limit: 1, ..RunFilter::default() }).unwrap_or_default();
        if let Some(run) = runs.into_iter().find(|run| run.ended.is_some()) {
            break run;
        }
    };
    let took = begun.elapsed();
    assert_eq!(run.succeeded, PARTIALS);
    let peak = peak_mib();
    let read = read_back(&Reader::open(&state).expect("a database"), run.key);
    shutdown.cancel();
    daemon.await.expect("the daemon does not panic").expect("the daemon ends well");
    let rate = |took: Duration| f64::from(PARTIALS) / took.as_secs_f64();
    println!("{PARTIALS} partials: {:.2} s, {:.0}/s, peak {peak:.1} MiB; read back in order: {:.0}/s", took.as_secs_f64(), rate(took), rate(read));
}

/// Streams the results and checks their order.
fn read_back(reader: &Reader, run: RunKey) -> Duration {
    let begun = Instant::now();
    let (mut after, mut expected) = (None, 0);
    loop {
        let page = reader.partials(run, false, after, 1_000).expect("results");
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

fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap_or(0.0) / 1024.0
}
