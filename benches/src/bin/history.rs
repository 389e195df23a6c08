//! Ten million rows of history: how long the daemon takes to start on them, the commands to answer, a check to read them all, and
//! how long the longest step of forgetting holds up the writer.
//!
//! `history BATCHD [RUNS]`: the binary, and how many runs there are, each with eight partials and a decision [1,000,000].

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use batchd::store::{Node, Retention, Sqlite, Store};
use jiff::{Timestamp, ToSpan};

const JOBS: i64 = 100;

/// From the first run to the last.
const DAYS: i64 = 100;

const FILL: &str = "
    CREATE TEMP TABLE moment AS WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
        SELECT i, ?2 + i * ?3 AS t FROM n";

const ROWS: &str = "
    INSERT INTO run (key, id, job, cause, nominal, zone, fired, targets, partials, claimed, node, started, ended, outcome, succeeded, failed)
        SELECT t, printf('job-%02d@%s', i % 100, strftime('%Y%m%dT%H%M%SZ', t / 1000000, 'unixepoch')), printf('job-%02d', i % 100), 'schedule',
            t, 'UTC', t, '{\"range\":[0,8]}', 8, 8, 'daemon', t, t + 1500000,
            CASE WHEN i % 50 = 0 THEN 'failed' ELSE 'succeeded' END, CASE WHEN i % 50 = 0 THEN 7 ELSE 8 END, CASE WHEN i % 50 = 0 THEN 1 ELSE 0 END FROM moment;
    INSERT INTO partial (run, idx, target, outcome, attempt, started, ended, duration_us, exit_code)
        SELECT t, p.value, p.value, CASE WHEN i % 50 = 0 AND p.value = 3 THEN 'failed' ELSE 'succeeded' END, 1, t, t + 900000, 900000, 0
        FROM moment, json_each('[0,1,2,3,4,5,6,7]') AS p;
    INSERT INTO decision (job, first, last, count, decision, run, at, accounting)
        SELECT printf('job-%02d', i % 100), t, t, 1, 'ran', t, t, 1 FROM moment;
    INSERT INTO output (run, idx, attempt, head, tail, cut) SELECT t, 3, 1, zeroblob(200), x'', 0 FROM moment WHERE i % 10 = 0;
    UPDATE captured SET bytes = (SELECT sum(length(head) + length(tail)) FROM output);
    UPDATE accounting SET since = (SELECT min(t) - 1 FROM moment);
    UPDATE job SET watermark = max(watermark, (SELECT max(t) FROM moment));";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let batchd = arguments.next().expect("the path of the binary");
    let batchd = std::fs::canonicalize(batchd).expect("the binary");
    let runs: i64 = arguments.next().map_or(1_000_000, |runs| runs.parse().expect("a number of runs"));
    let site = tempfile::tempdir().expect("a temporary directory");
    let jobs: String = (0..JOBS).map(|job| format!("[jobs.job-{job:02}]\nschedule = \"0 0 1 1 *\"\nhandler = \"echo\"\n")).collect();
    let text = format!("[daemon]\ntimezone = \"UTC\"\n[log]\nconsole = true\n[history]\nkeep = \"400d\"\nkeep_runs = 10000000\n{jobs}");
    std::fs::write(site.path().join("jobs.toml"), text).expect("write");

    println!("empty: ready after {:.2} s", start(&batchd, site.path()).as_secs_f64());
    let begun = Instant::now();
    fill(&site.path().join("state/batchd.db"), runs);
    let size = std::fs::metadata(site.path().join("state/batchd.db")).expect("the database").len();
    println!("{} rows, {} MiB, made in {:.0} s", runs * 10 + runs / 10, size >> 20, begun.elapsed().as_secs_f64());
    for _ in 0..3 {
        println!("ready after {:.2} s", start(&batchd, site.path()).as_secs_f64());
    }
    for command in
        ["history", "history job-50 --failed", "history --since 1d -n 1000", "show job-07", "jobs", "audit job-07", "state check"]
    {
        println!("{command}: {:.2} s", ask(&batchd, site.path(), command).as_secs_f64());
    }
    forget(&site.path().join("state"), runs);
}

/// How long the daemon takes until it is ready; it leaves again.
fn start(batchd: &Path, site: &Path) -> Duration {
    let begun = Instant::now();
    let mut daemon = Command::new(batchd).arg("daemon").current_dir(site).stderr(Stdio::piped()).spawn().expect("the daemon starts");
    let lines = BufReader::new(daemon.stderr.take().expect("is piped")).lines();
    let mut ready = None;
    for line in lines.map_while(Result::ok) {
        if line.contains("ready: ") {
            ready = Some(begun.elapsed());
            Command::new("kill").arg(daemon.id().to_string()).status().expect("kill");
        }
    }
    assert!(daemon.wait().expect("leaves").success());
    ready.expect("it was ready")
}

fn ask(batchd: &Path, site: &Path, command: &str) -> Duration {
    let begun = Instant::now();
    let output = Command::new(batchd).args(command.split(' ')).current_dir(site).output().expect("runs");
    let took = begun.elapsed();
    assert!(output.status.success() || command.starts_with("audit"), "{command}: {}", String::from_utf8_lossy(&output.stdout));
    took
}

fn fill(path: &Path, runs: i64) {
    let database = rusqlite::Connection::open(path).expect("the database");
    database.execute_batch("PRAGMA synchronous = off; PRAGMA cache_size = -200000;").expect("is SQL");
    let step = DAYS * 86_400_000_000 / runs;
    let first = Timestamp::now().as_microsecond() - DAYS * 86_400_000_000;
    database.execute(FILL, [runs, first, step]).expect("is SQL");
    database.execute_batch(&format!("BEGIN; {ROWS} COMMIT; PRAGMA wal_checkpoint(TRUNCATE);")).expect("is SQL");
}

/// Forgets the older half by time, and then all but a hundred runs of each job.
fn forget(state: &Path, runs: i64) {
    let mut store = Sqlite::open(state).expect("opens");
    let epoch = store.join(&Node { name: "daemon".into(), pid: 1, boot_id: "bench".into() }).expect("joins");
    let half = Timestamp::now() - (DAYS * 12).hours();
    for (what, retention) in [
        ("nothing to forget", Retention { before: Timestamp::UNIX_EPOCH, runs: 10_000_000, output: u64::MAX }),
        ("output to a half", Retention { before: Timestamp::UNIX_EPOCH, runs: 10_000_000, output: runs.unsigned_abs() * 10 }),
        ("the older half", Retention { before: half, runs: 10_000_000, output: u64::MAX }),
        ("all but 100 a job", Retention { before: half, runs: 100, output: u64::MAX }),
    ] {
        let (begun, mut longest, mut steps) = (Instant::now(), Duration::ZERO, 0_u32);
        loop {
            let step = Instant::now();
            let more = store.forget(epoch, &retention).expect("forgets");
            longest = longest.max(step.elapsed());
            steps += 1;
            if !more {
                break;
            }
        }
        let took = begun.elapsed().as_secs_f64();
        println!("{what}: {steps} steps in {took:.1} s, the longest {:.1} ms", longest.as_secs_f64() * 1e3);
    }
}
