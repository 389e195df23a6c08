//! Carry out one attempt: a command, a shell script, a request, or a handler in Rust of the embedding program (see [`rust`]).
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
pub mod rust;
mod secrets;
pub mod shim;
mod stop_line;
mod template;
mod variables;
mod vault;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::value::{RawValue, to_raw_value};
pub use serde_json::{Value, json};

use crate::config::{Gather, Process, Work};
pub use crate::config::{Target, TargetValue};
use crate::engine::{self, CapturedOutput, Hindrance, PartEnd, RunInfo, Usage};
pub use crate::engine::{Cause, Outcome, PartialResult};

use account::{Account, AccountError};
use command::Source;
pub use environment::DEFAULT_PATH;
pub use environment_of::{Inherited, Shown, environment_of};
pub(crate) use in_process::{AtOnce, Begun, panic_message};
use process::Streams;
pub use process::cgroup::{NoCgroups, divide_cgroup, no_controller, no_controller_here};
pub use process::descriptors::raise_open_files;
pub(crate) use process::feed::ResultLines;
pub use process::orphans::{become_subreaper, orphans_may_come, reap_orphans};
pub use process::tree::Killed;
pub use process::{leaders, leftovers};
pub(crate) use result::{RESULT_MAX_BYTES, ResultFiles};
pub use rust::{
    Arg, Batch, Blocking, Context, Handler, HandlerError, HandlerResult, IntoHandler, Lane, Registry, Results, TargetList, Trial, blocking,
};
pub(crate) use rust::{ResultPages, Spoken};
pub(crate) use secrets::Secrets;
pub(crate) use stop_line::StopLine;
pub(crate) use vault::render as render_with_credentials;

/// What is to be carried out.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) run: Arc<RunInfo>,
    pub(crate) part: Part,
    /// When a timeout will stop it.
    pub(crate) until: Option<Timestamp>,
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
            Part::Partial { index, target, others, .. } if self.run.job.policies.chunk > 1 => {
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

/// What attempts share.
#[derive(Debug)]
pub(crate) struct Rooms {
    pub(crate) handlers: Registry,
    pub(crate) results: ResultFiles,
    pub(crate) spoken: Arc<Spoken>,
}

impl Rooms {
    /// Begins an attempt of a partial of a job with a handler; how it has ended where it could not.
    pub(crate) fn begin(&self, attempt: &Attempt, stops: &StopLine) -> Result<Begun<'static>, Box<Ended>> {
        match &attempt.run.job.work {
            Work::Handler(name) => Begun::partial(attempt, &self.handlers, name, &self.spoken, stops),
            _ => Err(Box::new(Ended::spawn_failed(&"the job has no handler", None))),
        }
    }
}

/// Carries out an attempt of a partial. What does it is kilobytes large, in a box, since those around it are moved several times.
pub(crate) async fn carry_out(attempt: &Attempt, rooms: &Rooms, stops: &StopLine) -> Ended {
    let source = match &attempt.run.job.work {
        Work::Handler(name) => return in_process::carry_out(attempt, &rooms.handlers, name, &rooms.spoken, stops).await,
        Work::Http(work) => return Box::pin(http::carry_out(attempt, work, stops)).await,
        Work::Command(argv) => Source::Argv(argv),
        Work::Shell(script) => Source::Script(script),
    };
    Box::pin(run_process(attempt, source, chunk::lines(attempt), &rooms.results, stops)).await
}

/// The recorded results of a run: lines for a command, pages for a handler.
pub(crate) enum ResultSource {
    Lines(ResultLines),
    Pages(ResultPages),
}

/// Folds the results of a run: with the gather command of its job, or with its handler.
pub(crate) async fn finish(attempt: &Attempt, results: ResultSource, rooms: &Rooms, stops: &StopLine) -> Ended {
    match (&attempt.run.job.gather, &attempt.run.job.work, results) {
        (Some(Gather::Command(argv)), _, ResultSource::Lines(lines)) => gather(attempt, argv, lines, &rooms.results, stops).await,
        (Some(Gather::Handler), Work::Handler(name), ResultSource::Pages(pages)) => {
            in_process::finish(attempt, &rooms.handlers, name, pages, stops).await
        }
        _ => Ended::spawn_failed(&"the job has nothing that gathers", None),
    }
}

/// Runs the gather command `argv` with `lines` on its stdin.
pub(crate) async fn gather(attempt: &Attempt, argv: &[String], lines: ResultLines, results: &ResultFiles, stops: &StopLine) -> Ended {
    Box::pin(run_process(attempt, Source::Argv(argv), Some(lines), results, stops)).await
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
