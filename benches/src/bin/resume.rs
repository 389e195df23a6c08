//! `kill -9` in the middle of 100,000 targets from a CSV, which is then edited (ten removed, ten added, all in another order): the
//! next daemon runs only what has no recorded success, and reports what was removed as dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use batchd::config::TargetValue;
use batchd::daemon::Daemon;
use batchd::handler::{Context, HandlerError};
use batchd::store::{Reader, RunFilter, RunView};

const ROWS: u32 = 100_000;

#[tokio::main]
async fn main() {
    match std::env::args().nth(1) {
        Some(site) => daemon(Path::new(&site)).await,
        None => story(),
    }
}

/// A daemon whose only job notes each target that is started.
async fn daemon(site: &Path) {
    let started = std::fs::OpenOptions::new().create(true).append(true).open(site.join("started")).expect("opens");
    let started = std::sync::Arc::new(Mutex::new(started));
    let note = move |context: Context| {
        let started = started.clone();
        async move {
            let target = context.target.expect("it has targets");
            writeln!(started.lock().expect("no panic"), "{}", target.key)?;
            let TargetValue::Table(row) = target.value else { return Err(HandlerError::from("a row is a table")) };
            Ok(row["city"].clone())
        }
    };
    let daemon = Daemon::builder().config(site.join("jobs.toml")).logs(false).signals(false).handler("note", note);
    daemon.build().run().await.expect("the daemon runs");
}

fn story() {
    let site = tempfile::tempdir().expect("a temporary directory");
    let jobs = "[daemon]\ntimezone = \"UTC\"\nmax_partials = 64\n[jobs.shops]\nschedule = \"@reboot\"\nhandler = \"note\"\n\
                targets = { file = \"shops.csv\" }\nconcurrency = 64\n";
    std::fs::write(site.path().join("jobs.toml"), jobs).expect("write");
    write_csv(site.path(), 0..ROWS);
    let mut first = start(site.path());
    wait(site.path(), |run| run.succeeded > ROWS / 3);
    first.kill().expect("it lives");
    first.wait().expect("our child");

    let before = succeeded(site.path());
    assert!(!before.is_empty() && before.len() < ROWS as usize - 10, "{} had succeeded", before.len());
    let gone: BTreeSet<u32> = (ROWS - 10..ROWS).collect();
    write_csv(site.path(), (0..ROWS - 10).chain(ROWS..ROWS + 10).rev());
    let begun = Instant::now();
    let mut second = start(site.path());
    let run = wait(site.path(), |run| run.ended.is_some());
    let took = begun.elapsed();
    second.kill().expect("it lives");
    second.wait().expect("our child");

    let starts = starts(site.path());
    let again = before.iter().filter(|id| starts[*id] != 1).count();
    let twice = starts.iter().filter(|(id, count)| **count > 1 && !before.contains(*id)).count();
    let after = succeeded(site.path());
    assert_eq!(again, 0, "what had succeeded ran again");
    assert!(gone.iter().all(|id| !starts.contains_key(id)), "what was removed was started");
    assert_eq!(after, (0..ROWS - 10).chain(ROWS..ROWS + 10).collect());
    println!(
        "{} of {ROWS} had succeeded before the kill; then {} more in {:.2} s, {twice} of them started before without a recorded end; \
         the run {} with {} succeeded, {} dropped: {}",
        before.len(),
        after.len() - before.len(),
        took.as_secs_f64(),
        run.outcome.expect("it has ended"),
        run.succeeded,
        run.cancelled,
        run.reason.unwrap_or_default()
    );
}

fn write_csv(site: &Path, ids: impl Iterator<Item = u32>) {
    let text = ids.fold("id,city\n".to_owned(), |mut text, id| {
        writeln!(text, "{id},\"city, {id}\"").expect("a string takes everything");
        text
    });
    std::fs::write(site.join("shops.csv"), text).expect("write");
}

fn start(site: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program")).arg(site).spawn().expect("it starts")
}

fn reader(site: &Path) -> Option<Reader> {
    Reader::open(&site.join("state")).ok()
}

fn latest(site: &Path) -> Option<RunView> {
    reader(site)?.runs(&RunFilter { limit: 1, ..RunFilter::default() }).ok()?.pop()
}

fn wait(site: &Path, until: impl Fn(&RunView) -> bool) -> RunView {
    loop {
        if let Some(run) = latest(site).filter(&until) {
            return run;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn succeeded(site: &Path) -> BTreeSet<u32> {
    let (reader, run) = (reader(site).expect("a database"), latest(site).expect("a run"));
    let (mut ids, mut after) = (BTreeSet::new(), None);
    loop {
        let page = reader.partials(run.key, false, after, 10_000).expect("results");
        let Some(last) = page.last() else { return ids };
        after = Some(last.index);
        for partial in page.iter().filter(|partial| partial.outcome == batchd::engine::Outcome::Succeeded) {
            let target: serde_json::Value = serde_json::from_str(partial.target.as_ref().expect("a target").get()).expect("JSON");
            ids.insert(target["id"].as_str().and_then(|id| id.parse().ok()).expect("an id"));
        }
    }
}

fn starts(site: &Path) -> BTreeMap<u32, u32> {
    let text = std::fs::read_to_string(site.join("started")).expect("reads");
    let mut starts = BTreeMap::new();
    // The last line may have been cut off by the kill.
    for id in text.lines().filter_map(|line| line.parse().ok()) {
        *starts.entry(id).or_default() += 1;
    }
    starts
}
