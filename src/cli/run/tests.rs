//! A run in the foreground over rooms from memory, by its whole output.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use insta::assert_snapshot;
use jiff::Timestamp;

use super::*;
use crate::cli::Look;
use crate::config::Args;
use crate::config::{Channel, Config, JobName, Problems, Target, TargetValue};
use crate::daemon::source::{self, LoadError};
use crate::daemon::{Progress, Ran};
use crate::engine::{Cause, Outcome, RunId, RunInfo, RunOutcome, RunSummary};
use crate::web::fake::{FakeHistory, NOW, at, run as ended_run};
use crate::web::{History, RunView};

const JOBS: &str = "[jobs.daily-report]\nschedule = \"manual\"\ncommand = [\"true\"]\ntargets = [\"eu\", \"us\", \"jp\"]\n";

/// Rooms in which the run ends so.
struct FakeRooms {
    outcome: RunOutcome,
    interrupted_by: Option<Signal>,
}

impl Rooms for FakeRooms {
    fn now(&self) -> Timestamp {
        at(NOW)
    }

    fn examine(&self, path: &Path) -> Result<(Config, Problems), LoadError> {
        source::examine(path, &[])
    }

    fn load(&self, path: &Path) -> Result<Config, LoadError> {
        source::load(path, &[]).map(|loaded| loaded.config)
    }

    fn history(&self, _: &Path) -> Arc<dyn History> {
        FakeHistory { runs: vec![ended(self.outcome)], ..FakeHistory::example() }.share()
    }

    fn try_out(&self, _: &Channel, _: &Path) -> Result<Result<(), String>, Failure> {
        Ok(Ok(()))
    }

    fn serve(&self, _: &Path) -> Result<Exit, Failure> {
        Ok(Exit::Terminated)
    }

    fn run_once(&self, config: Config, job: JobName, options: RunOptions, mut progress: Box<dyn Progress>) -> Result<Ran, Failure> {
        if let Some(target) = options.targets.first() {
            return Err(Failure::UnknownTarget { job: job.to_string(), target: target.to_string() });
        }
        let run = ended(self.outcome);
        let job = Arc::clone(&config.jobs[&job]);
        let targets = job.targets.clone();
        let (key, id, nominal, fired) = (run.key, run.id.clone(), run.nominal, run.fired);
        progress.planned(&RunInfo { key, id, job, cause: Cause::Manual, nominal, fired, targets, args: Arc::default() });
        progress.partial_ended(0, Some(&target("eu")), Outcome::Succeeded, 1, false, None);
        progress.partial_ended(1, Some(&target("us")), Outcome::Failed, 1, true, Some("exit code 1"));
        progress.partial_ended(1, Some(&target("us")), Outcome::Succeeded, 2, false, None);
        progress.partial_ended(2, Some(&target("jp\u{202e}")), Outcome::TimedOut, 2, false, Some("took longer than 1s"));
        progress.finished(&RunSummary {
            run: key,
            outcome: self.outcome,
            ended: at(NOW),
            succeeded: 2,
            failed: 1,
            cancelled: 0,
            reason: None,
            result: None,
            output: None,
            follows: vec![],
            tells: vec![],
            standing: None,
        });
        Ok(Ran { id: run.id, outcome: self.outcome, interrupted_by: self.interrupted_by })
    }
}

fn target(key: &str) -> Target {
    Target { key: key.into(), value: TargetValue::Text(key.into()) }
}

fn ended(outcome: RunOutcome) -> RunView {
    let id = RunId("daily-report@20261123T070000Z+manual".into());
    RunView { id, cause: Cause::Manual, ..ended_run(3, "daily-report", "2026-11-23T07:00:00Z", outcome) }
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

fn seen(rooms: &FakeRooms, config: &str, args: &RunArgs) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("jobs.toml");
    fs::write(&path, config).expect("write");
    let global = Global { config: Some(path), color: clap::ColorChoice::Never, verbose: false };
    let (mut out, shared) = (Vec::new(), Shared::default());
    let mut err = shared.clone();
    let mut screen = Screen::new(&mut out, &mut err, Look::default());
    let result = run_watched(rooms, &global, args, Watch::lines(shared.clone()), &mut screen);
    let exit = result.unwrap_or_else(|failure| crate::cli::dispatch::tell(&failure, &mut screen));
    let err = shared.0.lock().expect("one thread").clone();
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let seen = format!("{exit:?}\n{}---\n{}", text(out), text(err));
    seen.replace(&*directory.path().to_string_lossy(), "DIRECTORY")
}

fn ending(outcome: RunOutcome) -> FakeRooms {
    FakeRooms { outcome, interrupted_by: None }
}

fn args(job: &str) -> RunArgs {
    RunArgs { job: job.to_owned(), targets: Vec::new(), nominal: None, args: Args::new() }
}

#[test]
fn a_failed_run_is_told_as_it_goes_and_summed_up() {
    assert_snapshot!(seen(&ending(RunOutcome::Failed), JOBS, &args("daily-report")), @r"
    WorkFailed
    daily-report@20261123T070000Z+manual failed: more partials failed than `max_failures` allows
      why        it was asked for by hand
      nominal    2026-11-23 02:00:00 EST (America/New_York)
      fired      2026-11-23 02:00:00 EST, 2ms after its nominal time
      started    2026-11-23 02:00:00 EST
      ended      2026-11-23 02:01:23 EST, took 1m 23s
      partials   4: 1 failed, 3 succeeded

    slowest
          1.0s  kr succeeded, 251ms of CPU
          1.0s  jp failed, 251ms of CPU, 48.0 MiB of memory
          1.0s  us succeeded, 251ms of CPU
          1.0s  eu succeeded, 251ms of CPU

    failed
      jp failed after 2 attempts: exit code 1
        | connecting
        | \x1b[31mrefused\u{202e}
    ---
    daily-report@20261123T070000Z+manual: 3 partials
    [1/3] eu succeeded
    [1/3] us failed (attempt 1): exit code 1; it is tried again
    [2/3] us succeeded (attempt 2)
    [3/3] jp\u{202e} timed_out (attempt 2): took longer than 1s
    ");
}

#[test]
fn the_exit_code_tells_how_it_ended() {
    for (outcome, interrupted_by, exit) in [
        (RunOutcome::Succeeded, None, "Done\n"),
        (RunOutcome::PartlyFailed, None, "Done\n"),
        (RunOutcome::TimedOut, None, "WorkFailed\n"),
        (RunOutcome::Cancelled, Some(Signal::Interrupt), "Interrupted\n"),
        (RunOutcome::Cancelled, Some(Signal::Terminate), "Terminated\n"),
    ] {
        let text = seen(&FakeRooms { outcome, interrupted_by }, JOBS, &args("daily-report"));
        assert!(text.starts_with(exit), "{outcome}: {text}");
    }
}

#[test]
fn what_cannot_be_run_is_explained() {
    assert_snapshot!(seen(&ending(RunOutcome::Succeeded), JOBS, &args("nothing")), @r"
    NotFound
    ---
    error: no job is called `nothing`
      help: `batchd jobs` lists the jobs
    ");
    let mars = RunArgs { targets: vec!["mars".to_owned()], ..args("daily-report") };
    assert_snapshot!(seen(&ending(RunOutcome::Succeeded), JOBS, &mars), @r"
    NotFound
    ---
    error: job `daily-report` has no target `mars`
      help: name a target by its key, as in the job's `targets`
    ");
    assert_snapshot!(seen(&ending(RunOutcome::Succeeded), "[jobs.a", &args("daily-report")), @r"
    InvalidConfig
    ---
    error: not TOML: unclosed table, expected `]`
     --> DIRECTORY/jobs.toml:1:8
      |
    1 | [jobs.a
      |        ^
      |
      = help: close the header with `]`: `[jobs.NAME]`
    ");
}
