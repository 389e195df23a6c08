//! Real processes, driven through the runner as the daemon drives it.

mod batches;
mod commands;
mod gathers;
mod handlers;
mod stops;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::sys::stat::Mode;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::config::{Gather, Job, Process, TargetValue, Targets, Work};
use crate::engine::{Cause, RunId};
use crate::schedule::Zone;

/// Far longer than anything takes: a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

const RUN: RunKey = RunKey(7);

/// A runner with its runtime, and a directory that is the state's and the jobs'.
struct Bench {
    runtime: Runtime,
    runner: Runner,
    events: UnboundedReceiver<Event>,
    /// Reported with others, and not looked at.
    ends: VecDeque<(u32, AttemptEnd)>,
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with_handlers(Registry::new())
    }

    fn with_handlers(handlers: Registry) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (sender, events) = unbounded_channel();
        let runner = Runner::new(Settings { clock, state_dir: dir.path().to_owned(), handlers }, sender);
        Self { runtime: Runtime::new().expect("a runtime"), runner, events, ends: VecDeque::new(), dir }
    }

    fn job(&self, work: Work) -> Job {
        job(work, self.dir.path())
    }

    fn start(&mut self, job: Job, target: Option<Target>) {
        let _context = self.runtime.enter();
        self.runner.start(info(job), vec![Part { index: 0, attempt: 1, target }], None);
    }

    fn event(&mut self) -> Event {
        let event = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, self.events.recv()).await });
        event.expect("an end in time").expect("the runner lives")
    }

    /// The next end of an attempt, with the index of its partial.
    fn next_end(&mut self) -> (u32, AttemptEnd) {
        while self.ends.is_empty() {
            match self.event() {
                Event::AttemptsEnded { run: RUN, ends } => self.ends.extend(ends),
                Event::Succeeded { run: RUN, first, ends } => self.ends.extend((first..).zip(ends.iter().map(AttemptEnd::from))),
                other => panic!("{other:?}"),
            }
        }
        self.ends.pop_front().expect("there is one")
    }

    fn end(&mut self) -> AttemptEnd {
        let (index, end) = self.next_end();
        assert_eq!((index, self.ends.len(), self.runner.live()), (0, 0, 0));
        end
    }

    /// Carries out one attempt.
    fn run(&mut self, job: Job, target: Option<Target>) -> AttemptEnd {
        self.start(job, target);
        self.end()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).expect("a fifo");
        path
    }
}

fn shell(script: &str) -> AttemptEnd {
    let mut bench = Bench::new();
    let job = bench.job(Work::Shell(script.to_owned()));
    bench.run(job, None)
}

fn command(argv: &[&str]) -> Work {
    Work::Command(argv.iter().map(|&argument| argument.to_owned()).collect())
}

fn clock() -> Now {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    Now { wall: Timestamp::now(), monotonic: ORIGIN.elapsed() }
}

fn text(text: &str) -> Target {
    Target { key: text.into(), value: TargetValue::Text(text.into()) }
}

fn info(job: Job) -> Arc<RunInfo> {
    let nominal: Timestamp = "2026-03-11T02:00:00Z".parse().expect("a timestamp");
    let id = RunId::new(&job.name, Cause::Schedule, nominal);
    let targets = job.targets.clone();
    Arc::new(RunInfo { key: RUN, id, job: Arc::new(job), cause: Cause::Schedule, nominal, fired: nominal, targets, args: Arc::default() })
}

fn job(work: Work, base: &Path) -> Job {
    let zone = Zone { name: "UTC".into(), rules: TimeZone::UTC };
    let process = Process { base: base.to_owned(), ..Process::default() };
    Job::plain("daily".into(), work, zone, process.into())
}
