//! Carry out one attempt: a command, a shell script, a request, or a handler of the embedding program.
//!
//! The runner hands over an [`Attempt`] with a [`StopLine`] and gets back an [`Ended`]. Nothing here decides anything: timeouts,
//! retries and cancels are the engine's, and arrive as stops.

pub mod account;
mod chunk;
mod command;
mod credential;
mod env_file;
mod environment;
mod environment_of;
pub mod exposure;
mod http;
mod in_process;
pub(crate) mod listing;
mod process;
mod result;
mod secrets;
pub mod shim;
mod template;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::value::{RawValue, to_raw_value};
use tokio_util::sync::CancellationToken;

use crate::config::{Args, JobName, Process, Target, Work};
use crate::engine::{self, CapturedOutput, Cause, Hindrance, Outcome, PartEnd, RunId, RunInfo, Stop, Usage};

use account::{Account, AccountError};
use command::Source;
pub use environment::DEFAULT_PATH;
pub use environment_of::{Inherited, Shown, environment_of};
pub(crate) use in_process::panic_message;
use process::Streams;
pub use process::cgroup::{NoCgroups, divide_cgroup, no_controller, no_controller_here};
pub use process::descriptors::raise_open_files;
pub(crate) use process::feed::ResultLines;
pub use process::tree::{Killed, become_subreaper, orphans_may_come, reap_orphans};
pub use process::{leaders, leftovers};
pub(crate) use result::ResultFiles;
use secrets::Secrets;

/// A batch handler of the embedding program: what a job with `handler = "name"` runs for each partial.
///
/// Any `Fn(Context) -> impl Future` is one. The work must leave its thread to the runtime (`await`, or `spawn_blocking`):
/// a handler that blocks cannot be stopped.
pub trait Handler: Send + Sync + 'static {
    /// Does the work of one partial; the value is its result, `null` is none. On a stop `context.cancel` is cancelled;
    /// after the job's grace the future is dropped.
    fn partial(&self, context: Context) -> BoxFuture<'static, Result<serde_json::Value, HandlerError>>;
}

impl<F, Work> Handler for F
where
    F: Fn(Context) -> Work + Send + Sync + 'static,
    Work: Future<Output = Result<serde_json::Value, HandlerError>> + Send + 'static,
{
    fn partial(&self, context: Context) -> BoxFuture<'static, Result<serde_json::Value, HandlerError>> {
        Box::pin(self(context))
    }
}

/// Why a handler failed: any error, shown with its sources.
pub type HandlerError = Box<dyn Error + Send + Sync>;

/// What a handler gets.
#[derive(Clone, Debug)]
pub struct Context {
    pub job: JobName,
    pub run: RunId,
    pub cause: Cause,
    /// The instant that the schedule names.
    pub nominal: Timestamp,
    /// `None` in a job without targets.
    pub target: Option<Target>,
    /// What the run was told, by the names of the job's arguments.
    pub args: Arc<Args>,
    /// Of the partial in its run, from 0.
    pub index: u32,
    /// Partials of the run.
    pub count: u32,
    /// From 1.
    pub attempt: u32,
    /// Cancelled on a timeout, a cancel or a drain: finish soon.
    pub cancel: CancellationToken,
}

/// The handlers that jobs can name.
#[derive(Clone)]
pub struct Registry {
    handlers: BTreeMap<Arc<str>, Arc<dyn Handler>>,
}

impl Registry {
    /// Holds `echo`, whose result is its target: for trying out and for measuring.
    pub fn new() -> Self {
        let mut registry = Self { handlers: BTreeMap::new() };
        registry.insert("echo", in_process::Echo);
        registry
    }

    /// Adds a handler; one of the same name is replaced.
    pub fn insert(&mut self, name: impl Into<Arc<str>>, handler: impl Handler) {
        self.handlers.insert(name.into(), Arc::new(handler));
    }

    pub fn get(&self, name: &str) -> Option<&Arc<dyn Handler>> {
        self.handlers.get(name)
    }

    /// Sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.handlers.keys().map(|name| &**name)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// What is to be carried out.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) run: Arc<RunInfo>,
    pub(crate) part: Part,
}

/// The part of a run that an attempt is for.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Partial {
        index: u32,
        /// From 1.
        attempt: u32,
        target: Option<Target>,
        /// The rest of its chunk.
        others: Vec<engine::Part>,
    },
    Gather,
    /// The command that lists the targets.
    Plan,
}

impl Attempt {
    pub(crate) fn target(&self) -> Option<&Target> {
        match &self.part {
            Part::Partial { target, .. } => target.as_ref(),
            Part::Gather | Part::Plan => None,
        }
    }

    /// What its process works on at once, in a job with `chunk`.
    pub(crate) fn chunk(&self) -> Option<Vec<(u32, &Target)>> {
        match &self.part {
            Part::Partial { index, target, others, .. } if self.run.job.chunk > 1 => {
                let lead = target.iter().map(|target| (*index, target));
                Some(lead.chain(others.iter().filter_map(|part| Some((part.index, part.target.as_ref()?)))).collect())
            }
            _ => None,
        }
    }

    /// From 0, in target order; a gather, which comes after all partials, is given their count, and a plan nothing.
    pub(crate) fn index(&self) -> u32 {
        match self.part {
            Part::Partial { index, .. } => index,
            Part::Gather => self.run.targets.partials(),
            Part::Plan => 0,
        }
    }

    /// From 1; a gather and a plan have one attempt.
    pub(crate) fn number(&self) -> u32 {
        match self.part {
            Part::Partial { attempt, .. } => attempt,
            Part::Gather | Part::Plan => 1,
        }
    }

    /// What tells the parts of a run apart in its log lines.
    pub(crate) fn label(&self) -> &str {
        match &self.part {
            Part::Partial { target, .. } => target.as_ref().map_or("", |target| &target.key),
            Part::Gather => "gather",
            Part::Plan => "targets",
        }
    }
}

/// How the runner tells an attempt to stop. Both rungs stay pulled: nothing is lost when nobody listens yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopLine {
    polite: CancellationToken,
    kill: CancellationToken,
}

impl StopLine {
    /// Whether any stop was asked for.
    pub(crate) fn is_pulled(&self) -> bool {
        self.polite.is_cancelled() || self.kill.is_cancelled()
    }

    pub(crate) fn pull(&self, stop: Stop) {
        match stop {
            Stop::Polite => self.polite.cancel(),
            Stop::Kill => self.kill.cancel(),
        }
    }
}

/// How an attempt ended; the runner adds the times.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) exit_code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) result: Option<Box<RawValue>>,
    pub(crate) error: Option<String>,
    pub(crate) output: Option<CapturedOutput>,
    pub(crate) hindrance: Option<Hindrance>,
    pub(crate) usage: Option<Usage>,
    /// What it told of single partials of its chunk.
    pub(crate) parts: Vec<PartEnd>,
}

impl Ended {
    pub(crate) fn succeeded(result: Option<Box<RawValue>>) -> Self {
        Self {
            outcome: Outcome::Succeeded,
            exit_code: None,
            signal: None,
            result,
            error: None,
            output: None,
            hindrance: None,
            usage: None,
            parts: Vec::new(),
        }
    }

    pub(crate) fn failed(error: String) -> Self {
        Self { outcome: Outcome::Failed, error: Some(error), ..Self::succeeded(None) }
    }

    pub(crate) fn spawn_failed(error: &dyn fmt::Display, hindrance: Option<Hindrance>) -> Self {
        Self { outcome: Outcome::SpawnFailed, error: Some(error.to_string()), hindrance, ..Self::succeeded(None) }
    }
}

impl Ended {
    /// Without the secrets that the process was given, and without passwords in URLs. Its output is without them already.
    fn without(mut self, secrets: &Secrets) -> Self {
        self.error = self.error.map(|error| secrets::without_userinfo(&secrets.redact(&error)).into_owned());
        if let Some(result) = self.result.as_ref().filter(|_| !secrets.is_empty()) {
            let clean = secrets.redact(result.get()).into_owned();
            // A number that was a secret leaves no JSON.
            self.result = RawValue::from_string(clean.clone()).or_else(|_| to_raw_value(&clean)).ok();
        }
        self
    }
}

/// Carries out an attempt of a partial.
pub(crate) async fn carry_out(attempt: &Attempt, registry: &Registry, results: &ResultFiles, stops: &StopLine) -> Ended {
    match &attempt.run.job.work {
        Work::Handler(name) => in_process::carry_out(attempt, registry, name, stops).await,
        Work::Http(work) => http::carry_out(attempt, work, stops).await,
        Work::Command(argv) => run_process(attempt, Source::Argv(argv), chunk::lines(attempt), results, stops).await,
        Work::Shell(script) => run_process(attempt, Source::Script(script), chunk::lines(attempt), results, stops).await,
    }
}

/// Runs the gather command `argv` with `lines` on its stdin.
pub(crate) async fn gather(attempt: &Attempt, argv: &[String], lines: ResultLines, results: &ResultFiles, stops: &StopLine) -> Ended {
    run_process(attempt, Source::Argv(argv), Some(lines), results, stops).await
}

async fn run_process(attempt: &Attempt, source: Source<'_>, lines: Option<ResultLines>, results: &ResultFiles, stops: &StopLine) -> Ended {
    let account = match account_of(&attempt.run.job.process).await {
        Ok(account) => account,
        Err(error) => return Ended::spawn_failed(&error, None),
    };
    let path = results.prepare(attempt, account.as_ref());
    match command::plan(attempt, source, &path, account) {
        Ok(plan) => {
            let mut ended =
                conclude(process::run(&plan, attempt, &path, Streams { stdin: lines, ..Streams::default() }, stops).await, &path)
                    .without(&plan.secrets);
            chunk::share_result(attempt, &mut ended);
            ended
        }
        Err(error) => Ended::spawn_failed(&error, error.hindrance()),
    }
}

/// Who the processes of a job are, where they are not the daemon's own. A directory server may take its time to tell.
async fn account_of(process: &Arc<Process>) -> Result<Option<Account>, AccountError> {
    if process.user.is_none() && process.group.is_none() {
        return Ok(None);
    }
    let process = Arc::clone(process);
    tokio::task::spawn_blocking(move || Account::of(&process)).await.map_err(|_| AccountError::Interrupted)?
}

/// The result of an ended process, and the line that says for people how it ended.
fn conclude(end: Result<process::End, process::SpawnError>, path: &Path) -> Ended {
    let end = match end {
        Ok(end) => end,
        Err(error) => return Ended::spawn_failed(&error, error.hindrance()),
    };
    let (result, ignored) = match result::take(path, &end.last_stdout) {
        Ok(result) => (result, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let notes: Vec<String> = end.failure().into_iter().chain(end.notes).chain(ignored).collect();
    let outcome = match (end.exit_code, end.signal) {
        _ if !end.fed => Outcome::Failed,
        (Some(0), _) => Outcome::Succeeded,
        (_, Some(_)) => Outcome::Signalled,
        (_, None) => Outcome::Failed,
    };
    Ended {
        outcome,
        exit_code: end.exit_code,
        signal: end.signal,
        result,
        error: (!notes.is_empty()).then(|| notes.join("; ")),
        output: end.output,
        hindrance: None,
        usage: end.usage,
        parts: Vec::new(),
    }
}
