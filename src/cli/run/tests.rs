//! A run in the foreground over rooms from memory, by its whole output.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use insta::assert_snapshot;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::*;
use crate::cli::Look;
use crate::config::{
    CatchUp, CatchUpPolicy, DaemonConfig, Interrupted, Job, LogConfig, LogFormat, LogLevel, MaxFailures, Overlap, Process, Retry,
    StopPolicy, Target, TargetValue, Targets, Work,
};
use crate::daemon::Progress;
use crate::engine::{Cause, Outcome, PartialRecord, RunId, RunInfo, RunKey, RunSummary};
use crate::schedule::{Dst, Timetable, Zone};
use crate::web::fake::{FakeHistory, NOW, at, run as ended_run};
use crate::web::{History, RunView};

fn zone() -> Zone {
    Zone { name: "UTC".into(), rules: TimeZone::UTC }
}

fn target(key: &str) -> Target {
    Target { key: key.into(), value: TargetValue::Text(key.into()) }
}

fn job() -> Job {
    Job {
        name: "daily-report".into(),
        description: None,
        schedule_text: vec!["manual".to_owned()],
        timetable: Timetable { schedules: Vec::new(), zone: zone(), dst: Dst::default() },
        jitter: Duration::ZERO,
        enabled: true,
        work: Work::Command(vec!["true".to_owned()]),
        targets: Targets::List(["eu", "us", "jp\u{202e}"].map(target).into()),
        concurrency: 1,
        partial_timeout: None,
        timeout: None,
        retry: Retry { attempts: 2, delay: Duration::ZERO, factor: 1.0, max_delay: Duration::ZERO, jitter: 0.0, on_exit: Vec::new() },
        max_failures: MaxFailures::Any,
        gather: None,
        overlap: Overlap::Skip,
        catch_up: CatchUp { policy: CatchUpPolicy::None, window: Duration::ZERO, max: 0 },
        on_interrupted: Interrupted::Fail,
        stop: StopPolicy { signal: 15, grace: Duration::ZERO },
        process: Process::default(),
        output_max_size: 0,
    }
}

fn config_of(state_dir: &Path) -> Config {
    let daemon = DaemonConfig {
        timezone: zone(),
        state_dir: state_dir.to_owned(),
        max_partials: 1,
        drain_timeout: Duration::ZERO,
        env: BTreeMap::new(),
    };
    let log = LogConfig {
        dir: PathBuf::new(),
        file: String::new(),
        max_size: 0,
        backups: 0,
        level: LogLevel::Info,
        format: LogFormat::Text,
        console: None,
    };
    Config { daemon, log, jobs: [("daily-report".into(), Arc::new(job()))].into() }
}

/// Rooms in which the run ends so.
struct FakeRooms {
    outcome: RunOutcome,
}

impl Rooms for FakeRooms {
    fn now(&self) -> Timestamp {
        at(NOW)
    }

    fn config(&self, path: &Path) -> Result<Config, String> {
        match fs::read_to_string(path) {
            Ok(text) if text.is_empty() => Ok(config_of(Path::new("/srv/state"))),
            _ => Err("error: everything is wrong\n".to_owned()),
        }
    }

    fn history(&self, _: &Path) -> Result<Option<Arc<dyn History>>, String> {
        Ok(Some(FakeHistory { runs: vec![ended(self.outcome)], ..FakeHistory::example() }.share()))
    }

    fn serve(&self, _: &Path, _: &Global) -> Exit {
        Exit::Terminated
    }

    fn run_once(&self, config: Config, job: &str, options: RunOptions, mut progress: Box<dyn Progress>) -> anyhow::Result<RunView> {
        anyhow::ensure!(options.nominal.is_none() && options.targets.is_empty(), "the test asks for all, now");
        let run = ended(self.outcome);
        let job = Arc::clone(&config.jobs[job]);
        let targets = job.targets.clone();
        progress.planned(&RunInfo {
            key: run.key,
            id: run.id.clone(),
            job,
            cause: Cause::Manual,
            nominal: run.nominal,
            fired: run.fired,
            targets,
        });
        progress.partial_ended(&partial(0, "eu", 1, Outcome::Succeeded, false));
        progress.partial_ended(&partial(1, "us", 1, Outcome::Failed, true));
        progress.partial_ended(&partial(1, "us", 2, Outcome::Succeeded, false));
        progress.partial_ended(&partial(2, "jp\u{202e}", 2, Outcome::TimedOut, false));
        progress.finished(&RunSummary {
            run: run.key,
            outcome: self.outcome,
            ended: at(NOW),
            succeeded: 2,
            failed: 1,
            cancelled: 0,
            reason: None,
            result: None,
            output: None,
        });
        Ok(run)
    }
}

fn ended(outcome: RunOutcome) -> RunView {
    RunView {
        id: RunId("daily-report@20261123T070000Z+manual".into()),
        cause: Cause::Manual,
        ..ended_run(3, "daily-report", "2026-11-23T07:00:00Z", outcome)
    }
}

fn partial(index: u32, key: &str, attempt: u32, outcome: Outcome, retried: bool) -> PartialRecord {
    PartialRecord {
        run: RunKey(3),
        index,
        target: Some(target(key)),
        attempt,
        outcome,
        retry: retried.then(|| at(NOW)),
        started: at(NOW),
        ended: at(NOW),
        duration: Duration::from_millis(1_250),
        exit_code: None,
        signal: None,
        result: None,
        error: (outcome != Outcome::Succeeded).then(|| "exit code 1".into()),
        output: None,
    }
}

/// What was written, for whoever holds a clone.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn seen(outcome: RunOutcome, config: &str, args: &RunArgs) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("jobs.toml");
    fs::write(&path, config).expect("write");
    let global = Global { config: Some(path), color: clap::ColorChoice::Never, verbose: false };
    let (mut out, shared) = (Vec::new(), Shared::default());
    let mut err = shared.clone();
    let mut screen = Screen::new(&mut out, &mut err, Look::default());
    let result = run_watched(&FakeRooms { outcome }, &global, args, Watch::lines(shared.clone()), &mut screen);
    let exit = result.unwrap_or_else(|failure| crate::cli::dispatch::explain(&failure, &mut screen));
    let err = shared.0.lock().expect("one thread").clone();
    let text = |bytes| String::from_utf8(bytes).expect("text");
    format!("{exit:?}\n{}---\n{}", text(out), text(err))
}

fn args(job: &str) -> RunArgs {
    RunArgs { job: job.to_owned(), targets: Vec::new(), nominal: None }
}

#[test]
fn a_failed_run_is_told_as_it_goes_and_summed_up() {
    assert_snapshot!(seen(RunOutcome::Failed, "", &args("daily-report")), @r"
    WorkFailed
    daily-report@20261123T070000Z+manual failed: more partials failed than `max_failures` allows
      why        it was asked for by hand
      nominal    2026-11-23 02:00:00 EST (America/New_York)
      fired      2026-11-23 02:00:00 EST, 2ms after its nominal time
      started    2026-11-23 02:00:00 EST
      ended      2026-11-23 02:01:23 EST, took 1m 23s
      partials   4: 1 failed, 3 succeeded

    slowest
          1.0s  kr succeeded
          1.0s  jp failed
          1.0s  us succeeded
          1.0s  eu succeeded

    failed
      jp failed after 2 attempts: exit code 1
        | connecting
        | \x1b[31mrefused\u{202e}
    ---
    daily-report@20261123T070000Z+manual: 3 partials
    [1/3] eu succeeded in 1.2s
    [1/3] us failed in 1.2s (attempt 1): exit code 1; it is tried again
    [2/3] us succeeded in 1.2s (attempt 2)
    [3/3] jp\u{202e} timed_out in 1.2s (attempt 2): exit code 1
    all it said: batchd logs daily-report@20261123T070000Z+manual --target 'jp'
    ");
}

#[test]
fn the_exit_code_tells_how_it_ended() {
    for (outcome, exit) in [
        (RunOutcome::Succeeded, "Done\n"),
        (RunOutcome::PartlyFailed, "Done\n"),
        (RunOutcome::TimedOut, "WorkFailed\n"),
        (RunOutcome::Cancelled, "Interrupted\n"),
    ] {
        let text = seen(outcome, "", &args("daily-report"));
        assert!(text.starts_with(exit), "{outcome}: {text}");
    }
}

#[test]
fn what_cannot_be_run_is_explained() {
    assert_snapshot!(seen(RunOutcome::Succeeded, "", &args("nothing")), @r"
    NotFound
    ---
    error: no job is called `nothing`
      help: `batchd jobs` lists the jobs
    ");
    let mars = RunArgs { targets: vec!["eu".to_owned(), "mars".to_owned()], ..args("daily-report") };
    assert_snapshot!(seen(RunOutcome::Succeeded, "", &mars), @r"
    NotFound
    ---
    error: job `daily-report` has no target `mars`
      help: name a target by its key, as in the job's `targets`
    ");
    assert_snapshot!(seen(RunOutcome::Succeeded, "broken", &args("daily-report")), @r"
    InvalidConfig
    ---
    error: everything is wrong
    ");
}
