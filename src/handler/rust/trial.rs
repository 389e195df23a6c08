//! Trying a handler out without a daemon: the counterpart of `call_command` in a test.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{IntoHandler, Registered, Registry, list};
use crate::config::{ArgError, Args, Job, Process, Target, TargetValue, Targets, Work};
use crate::engine::{Cause, Outcome, PartialResult, RunId, RunInfo, RunKey};
use crate::handler::{Attempt, Ended, Part, Spoken, StopLine, in_process};
use crate::schedule::Zone;

/// What the handler and its job are called here.
const NAME: &str = "trial";

/// One run of a handler, in this process and in memory: arguments checked, targets listed, each partial once, results gathered. There is
/// no daemon, no file, no clock and no retry: it is for tests.
///
/// ```
/// use batchd::handler::{Arg, Context, Handler, HandlerResult, Trial, json};
///
/// struct Greet;
///
/// impl Handler for Greet {
///     fn args(&self) -> Vec<Arg> {
///         vec![Arg::text("word").default("hello")]
///     }
///
///     async fn partial(&self, context: Context) -> HandlerResult {
///         Ok(json!(format!("{} {}", context.arg::<String>("word")?, context.target_text()?)))
///     }
/// }
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let tried = Trial::of(Greet).arg("word", "bye").target("seoul").target("busan").run().await.unwrap();
/// assert_eq!(tried.results(), [json!("bye seoul"), json!("bye busan")]);
///
/// let refused = Trial::of(Greet).arg("greeting", "bye").run().await.unwrap_err();
/// assert_eq!(refused.to_string(), "job `trial` has no argument `greeting`: it has `word`");
/// # });
/// ```
#[derive(Debug)]
pub struct Trial {
    handler: Registered,
    args: Args,
    targets: Vec<Target>,
    nominal: Timestamp,
}

/// How a trial went.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// In the order of the targets; those that failed among them.
    pub partials: Vec<PartialResult>,
    /// What [`Batch::finish`](super::Batch::finish) made of them; null without one.
    pub result: Value,
}

impl Tried {
    /// What the partials returned.
    pub fn results(&self) -> Vec<Value> {
        self.partials.iter().map(|partial| partial.result.clone()).collect()
    }
}

/// Why there is nothing to tell of a trial. That a partial failed is told.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error(transparent)]
    Argument(#[from] ArgError),
    #[error("the targets could not be listed: {0}")]
    Plan(String),
    #[error("the results could not be gathered: {0}")]
    Finish(String),
}

impl Trial {
    pub fn of<Kind>(handler: impl IntoHandler<Kind>) -> Self {
        Self { handler: handler.into_handler(), args: Args::new(), targets: Vec::new(), nominal: Timestamp::UNIX_EPOCH }
    }

    /// Gives an argument; the others take their defaults.
    #[must_use]
    pub fn arg(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.args.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a target, as a job does that has `targets` of its own; a [`Batch`](super::Batch) is then not asked for its own.
    #[must_use]
    pub fn target(mut self, target: impl Into<Target>) -> Self {
        self.targets.push(target.into());
        self
    }

    /// The nominal time, in UTC; the beginning of 1970 unless given.
    #[must_use]
    pub fn nominal(mut self, nominal: Timestamp) -> Self {
        self.nominal = nominal;
        self
    }

    /// # Errors
    /// [`TrialError`].
    pub async fn run(self) -> Result<Tried, TrialError> {
        let Self { handler, args, targets, nominal } = self;
        let job = job(&handler);
        let args = job.args(&args, nominal)?;
        let is_batch = handler.is_batch;
        let mut registry = Registry::new();
        registry.insert(NAME, AlreadyRegistered(handler));
        let mut info = RunInfo {
            key: RunKey(1),
            id: RunId::new(NAME, Cause::Manual, nominal),
            job: Arc::new(job),
            cause: Cause::Manual,
            nominal,
            fired: nominal,
            targets: Targets::None,
            args,
        };
        let targets = if is_batch && targets.is_empty() { planned(&info, &registry).await? } else { targets };
        if is_batch || !targets.is_empty() {
            info.targets = Targets::List(targets.into());
        }
        let (info, spoken) = (Arc::new(info), Arc::default());
        let mut partials = Vec::new();
        for index in 0..info.targets.partials() {
            partials.push(partial(&info, index, &registry, &spoken).await);
        }
        let result = if is_batch { finished(&info, &partials, &registry).await? } else { Value::Null };
        Ok(Tried { partials, result })
    }
}

struct AlreadyRegistered(Registered);

impl IntoHandler<()> for AlreadyRegistered {
    fn into_handler(self) -> Registered {
        self.0
    }
}

fn job(handler: &Registered) -> Job {
    let zone = Zone { name: "UTC".into(), rules: TimeZone::UTC };
    let args = handler.args.iter().map(|arg| (arg.name.clone(), arg.argument.clone())).collect();
    Job { args: Arc::new(args), ..Job::plain(NAME.into(), Work::Handler(NAME.to_owned()), zone, Arc::new(Process::default())) }
}

async fn planned(info: &RunInfo, registry: &Registry) -> Result<Vec<Target>, TrialError> {
    let listed: Arc<Mutex<Vec<Target>>> = Arc::default();
    let taken = Arc::clone(&listed);
    let take = move |target, _| {
        taken.lock().unwrap_or_else(PoisonError::into_inner).push(target);
        Ok(())
    };
    let attempt = Attempt { run: Arc::new(info.clone()), part: Part::Plan, until: None };
    let listing = list(&attempt, registry, NAME, &StopLine::default(), Box::new(take)).await;
    listing.map_err(|fault| TrialError::Plan(fault.to_string()))?;
    let targets = std::mem::take(&mut *listed.lock().unwrap_or_else(PoisonError::into_inner));
    let mut seen = HashSet::new();
    match targets.iter().find(|target| !seen.insert(&target.key)) {
        Some(again) => Err(TrialError::Plan(format!("duplicate target `{}`", again.key))),
        None => Ok(targets),
    }
}

async fn partial(info: &Arc<RunInfo>, index: u32, registry: &Registry, spoken: &Arc<Spoken>) -> PartialResult {
    let target = info.targets.get(index);
    let part = Part::Partial { index, attempt: 1, target: target.clone(), others: Vec::new() };
    let attempt = Attempt { run: Arc::clone(info), part, until: None };
    let Ended { outcome, result, error, .. } = in_process::carry_out(&attempt, registry, NAME, spoken, &StopLine::default()).await;
    let value = target.map_or(Value::Null, |target| match target.value {
        TargetValue::Text(text) => Value::from(&*text),
        TargetValue::Table(table) => Value::Object((*table).clone()),
    });
    let result = result.and_then(|result| serde_json::from_str(result.get()).ok()).unwrap_or_default();
    let (started, ended) = (info.nominal, info.nominal);
    PartialResult { index, target: value, outcome, attempts: 1, started, ended, duration_ms: 0.0, result, error }
}

async fn finished(info: &Arc<RunInfo>, partials: &[PartialResult], registry: &Registry) -> Result<Value, TrialError> {
    let attempt = Attempt { run: Arc::clone(info), part: Part::Gather, until: None };
    let mut page = partials.to_vec();
    let pages = Box::new(move || std::mem::take(&mut page));
    let ended = in_process::finish(&attempt, registry, NAME, pages, &StopLine::default()).await;
    if ended.outcome != Outcome::Succeeded {
        return Err(TrialError::Finish(ended.error.unwrap_or_default()));
    }
    Ok(ended.result.and_then(|result| serde_json::from_str(result.get()).ok()).unwrap_or_default())
}
