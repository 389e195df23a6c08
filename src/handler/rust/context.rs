//! What a handler gets: who asked for what, and the ways to be heard.

use std::sync::Arc;

use jiff::{Timestamp, ZonedDateTime};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tracing::Level;

use super::Spoken;
use crate::config::args::in_template;
use crate::config::{Args, JobName, Target, TargetValue};
use crate::engine::{Cause, RunId, RunInfo};
use crate::handler::StopLine;
use crate::log;

/// What a handler gets. A plan and a gather get one as well, without a target.
#[derive(Clone, Debug)]
pub struct Context {
    pub job: JobName,
    pub run: RunId,
    pub cause: Cause,
    /// The instant that the schedule names; see [`Context::nominal_zoned`] for its date.
    pub nominal: Timestamp,
    /// `None` in a job without targets.
    pub target: Option<Target>,
    /// What the run was told, by the names of the job's arguments; see [`Context::arg`].
    pub args: Arc<Args>,
    /// Of the partial in its run, from 0.
    pub index: u32,
    /// Partials of the run; 0 while they are being listed.
    pub count: u32,
    /// From 1.
    pub attempt: u32,
    /// When the attempt will be asked to stop, by `partial_timeout` or `timeout`; a cancel or a drain may come sooner.
    pub deadline: Option<Timestamp>,
    pub(super) around: Around,
}

/// What a context is made of and hands on only through its functions.
#[derive(Clone, Debug)]
pub(crate) struct Around {
    pub(crate) info: Arc<RunInfo>,
    /// `None`: nobody looks.
    pub(crate) spoken: Option<Arc<Spoken>>,
    /// Over once the attempt has ended: what a thread or task says that it left behind belongs to nobody.
    pub(crate) stops: StopLine,
    /// What its log lines name as the partial, where that is not its target.
    pub(crate) label: &'static str,
}

/// The attempt was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped before the work was done")]
pub struct Stopped;

/// Why an argument is not what the handler takes it for.
#[derive(Debug, thiserror::Error)]
pub enum WrongArgument {
    #[error("the run has no argument `{name}`; it has {known}")]
    Unknown { name: String, known: String },
    #[error("argument `{name}` is {found}, which the handler cannot read: {reason}")]
    Unreadable { name: String, found: Value, reason: serde_json::Error },
    #[error("the arguments {found} are not those that the handler reads: {reason}")]
    Together { found: Value, reason: serde_json::Error },
}

/// Why a target is not what the handler takes it for.
#[derive(Debug, thiserror::Error)]
pub enum WrongTarget {
    #[error("the run has no targets: the job `{0}` names none, and its handler lists none")]
    None(JobName),
    #[error("the target `{0}` is a table, not a text")]
    Table(Arc<str>),
    #[error("the target `{key}` is not what the handler reads: {reason}")]
    Unreadable { key: Arc<str>, reason: serde_json::Error },
}

impl Context {
    pub(crate) fn new(around: Around, target: Option<Target>, index: u32, attempt: u32, deadline: Option<Timestamp>) -> Self {
        let info = &around.info;
        Self {
            job: Arc::clone(&info.job.name),
            run: info.id.clone(),
            cause: info.cause,
            nominal: info.nominal,
            target,
            args: Arc::clone(&info.args),
            index,
            count: info.targets.partials(),
            attempt,
            deadline,
            around,
        }
    }

    /// The value of an argument, as anything that serde reads: `context.arg::<bool>("dry-run")?`.
    ///
    /// # Errors
    /// [`WrongArgument`]: there is none of that name, or it is of another type.
    pub fn arg<T: DeserializeOwned>(&self, name: &str) -> Result<T, WrongArgument> {
        let value = self.args.get(name).ok_or_else(|| WrongArgument::Unknown { name: name.to_owned(), known: self.known() })?;
        let unreadable = |reason| WrongArgument::Unreadable { name: name.to_owned(), found: value.clone(), reason };
        T::deserialize(value).map_err(unreadable)
    }

    /// All arguments as one structure, whose fields are their names with `_` for `-`.
    ///
    /// # Errors
    /// [`WrongArgument`]: one is missing, or of another type.
    pub fn args_as<T: DeserializeOwned>(&self) -> Result<T, WrongArgument> {
        let found = Value::Object(self.args.iter().map(|(name, value)| (in_template(name), value.clone())).collect());
        T::deserialize(&found).map_err(|reason| WrongArgument::Together { found, reason })
    }

    fn known(&self) -> String {
        let names: Vec<String> = self.args.keys().map(|name| format!("`{name}`")).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    /// The target, where it is a text.
    ///
    /// # Errors
    /// [`WrongTarget`]: there is none, or it is a table.
    pub fn target_text(&self) -> Result<&str, WrongTarget> {
        match &self.target()?.value {
            TargetValue::Text(text) => Ok(text),
            TargetValue::Table(_) => Err(WrongTarget::Table(Arc::clone(&self.target()?.key))),
        }
    }

    /// The target as anything that serde reads: a structure of a table's fields, a number.
    ///
    /// # Errors
    /// [`WrongTarget`]: there is none, or it is something else.
    pub fn target_as<T: DeserializeOwned>(&self) -> Result<T, WrongTarget> {
        let target = self.target()?;
        let read = match &target.value {
            TargetValue::Text(text) => {
                T::deserialize(Value::from(&**text)).or_else(|reason| serde_json::from_str(text).map_err(|_| reason))
            }
            TargetValue::Table(table) => T::deserialize(table.as_ref() as &Map<String, Value>),
        };
        read.map_err(|reason| WrongTarget::Unreadable { key: Arc::clone(&target.key), reason })
    }

    fn target(&self) -> Result<&Target, WrongTarget> {
        self.target.as_ref().ok_or_else(|| WrongTarget::None(Arc::clone(&self.job)))
    }

    /// The nominal time in the zone of the job.
    pub fn nominal_zoned(&self) -> ZonedDateTime {
        self.nominal.to_zoned_datetime(self.around.info.job.timetable.zone.rules.clone())
    }

    /// Resolves when the attempt is asked to stop, on a timeout, a cancel or a drain: finish soon. After the job's `stop.grace` the
    /// attempt ends.
    pub async fn cancelled(&self) {
        self.around.stops.polite().await;
    }

    pub fn is_cancelled(&self) -> bool {
        self.around.stops.is_polite()
    }

    /// The same for libraries and tasks that take a token; it is cancelled when the attempt is asked to stop.
    pub fn cancellation_token(&self) -> CancellationToken {
        self.around.stops.token()
    }

    /// For long work between two pieces: goes on with `?` unless the attempt was asked to stop.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn check_cancelled(&self) -> Result<(), Stopped> {
        if self.is_cancelled() { Err(Stopped) } else { Ok(()) }
    }

    /// Says something in `batch.log`, a line each, with job, run and target before it. Whatever is in it is made safe to show. The first
    /// and last 16 KiB are kept with the attempt, and shown when it fails.
    pub fn log(&self, text: impl AsRef<str>) {
        self.say(Level::INFO, text.as_ref());
    }

    /// The same as a warning.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.say(Level::WARN, text.as_ref());
    }

    /// The same as an error. The attempt fails by its result, not by this.
    pub fn error(&self, text: impl AsRef<str>) {
        self.say(Level::ERROR, text.as_ref());
    }

    /// The same with details, which the log has at its level `debug`.
    pub fn debug(&self, text: impl AsRef<str>) {
        self.say(Level::DEBUG, text.as_ref());
    }

    /// Says how far the partial is, in place of what it said before: `batchd top` and `batchd status` show it while it runs, and
    /// `batchd run` on a terminal. At most 200 bytes; nothing is recorded.
    pub fn progress(&self, text: impl AsRef<str>) {
        if let Some(spoken) = &self.around.spoken {
            spoken.set_progress(&self.around, self.index, text.as_ref());
            log::progress(&self.job, &self.run.0, self.label(), text.as_ref());
        }
    }

    fn say(&self, level: Level, text: &str) {
        for line in text.lines() {
            if let Some(spoken) = self.around.spoken.as_ref().filter(|_| level <= Level::INFO) {
                spoken.keep(&self.around, self.index, line);
            }
            log::said(&self.job, &self.run.0, self.label(), level, line);
        }
    }

    fn label(&self) -> &str {
        self.target.as_ref().map_or(self.around.label, |target| &target.key)
    }
}
