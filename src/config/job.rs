//! One job as the rest of the program uses it: no `Option` for what has a default, no text that still needs parsing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Argument, HttpWork, Policies, Process, Source, Telling, Zone};
use crate::schedule::{Dst, Fold, Gap, Timetable, fnv_1a};

/// The name of a job, unique in a configuration.
pub type JobName = Arc<str>;

/// A validated `[jobs.NAME]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub name: JobName,
    pub description: Option<String>,
    /// The schedules as the user wrote them, for people.
    pub schedule_text: Vec<String>,
    pub timetable: Timetable,
    /// It runs when the runs of these jobs for the same nominal time have succeeded, and not by the clock; its own schedule, if it
    /// has one, then says for which nominal times.
    pub after: Box<[JobName]>,
    /// The upper end of the delay after a nominal time; zero for none.
    pub jitter: Duration,
    /// A disabled job decides no fires; it can be triggered by hand.
    pub enabled: bool,
    pub work: Work,
    /// What its runs can be told, by name.
    pub args: Arc<BTreeMap<String, Argument>>,
    pub targets: Targets,
    /// Shared by the jobs with the same ones.
    pub policies: Arc<Policies>,
    pub gather: Option<Gather>,
    /// Shared by the jobs that say nothing of their own about it.
    pub process: Arc<Process>,
    /// Who is told of what; `None`: nobody.
    pub telling: Option<Arc<Telling>>,
    /// Where its runs are pinged. Often a secret.
    pub ping: Option<Arc<str>>,
}

impl Job {
    /// A job for runs by hand that leaves everything else at its default.
    pub(crate) fn plain(name: JobName, work: Work, zone: Zone, process: Arc<Process>) -> Self {
        Self {
            name,
            description: None,
            schedule_text: Vec::new(),
            timetable: Timetable { schedules: Vec::new(), zone, dst: Dst::default(), except: None },
            after: Box::default(),
            jitter: Duration::ZERO,
            enabled: true,
            work,
            args: Arc::default(),
            targets: Targets::None,
            gather: None,
            policies: Arc::default(),
            process,
            telling: None,
            ping: None,
        }
    }

    /// When the clock makes it run next after `after`, jitter left out; `None` also for a job that runs by hand or after others.
    pub fn next_fire(&self, after: Timestamp) -> Option<Timestamp> {
        if self.enabled && self.after.is_empty() { self.timetable.next_fire(after) } else { None }
    }

    /// What makes it run, for people: its schedules, and the jobs it runs after.
    pub fn timing(&self) -> String {
        let mut texts = self.schedule_text.clone();
        if !self.after.is_empty() {
            texts.insert(0, format!("after {}", self.after.join(", ")));
        }
        texts.join("; ")
    }

    /// A hash of what decides nominal times (schedules, zone, DST policy, excepted days, jobs before), the same in every process and release:
    /// when it changes, the watermark moves to the present.
    pub fn schedule_fingerprint(&self) -> u64 {
        let dst = self.timetable.dst;
        let gap: &[u8] = if dst.gap == Gap::Skip { b"skip" } else { b"run_after" };
        let fold: &[u8] = match dst.fold {
            Fold::First => b"first",
            Fold::Second => b"second",
            Fold::Both => b"both",
        };
        let texts = self.schedule_text.iter().map(String::as_bytes);
        let after = self.after.iter().map(|name| name.as_bytes());
        let except = self.timetable.except.as_ref().map(ToString::to_string);
        let parts = texts.chain([self.timetable.zone.name.as_bytes(), gap, fold]).chain(except.as_ref().map(String::as_bytes)).chain(after);
        // No part contains the separator, so that no two lists of parts make the same bytes.
        fnv_1a(parts.flat_map(|part| part.iter().copied().chain([0])))
    }
}

/// What carries out an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// An argv, each element a template; no shell.
    Command(Vec<String>),
    /// A `/bin/sh -c` script; values of templates are inserted as quoted words.
    Shell(String),
    /// The name of a handler registered by the embedding program.
    Handler(String),
    /// A request.
    Http(Arc<HttpWork>),
}

/// What folds the results of a run's partials into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gather {
    /// An argv, each element a template.
    Command(Vec<String>),
    /// The handler of the job.
    Handler,
}

impl Gather {
    /// The argv, where it is a command.
    pub fn argv(&self) -> Option<&[String]> {
        if let Self::Command(argv) = self { Some(argv) } else { None }
    }
}

/// The items that a run works on.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Targets {
    /// No targets: the run has one partial without a target.
    #[default]
    None,
    List(Arc<[Target]>),
    /// The integers from `start` up to but not including `end`.
    Range {
        start: i64,
        end: i64,
    },
    /// Of a job: read anew for each run, when it begins.
    Source(Arc<Source>),
    /// Of a run: they are read when it begins.
    Unplanned(Selection),
    /// Of a run: so many have been read, and are kept in the store.
    Planned {
        count: u32,
    },
}

/// Which of the targets that are read a run works on.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    #[default]
    All,
    /// Those with these keys; all have to be there.
    Named(Arc<[Arc<str>]>),
    /// Those with these keys, as far as they are still there.
    StillThere(Arc<[Arc<str>]>),
}

impl Targets {
    /// The most targets of a run.
    pub const MAX: u32 = 10_000_000;

    /// What a run of a job with these targets begins with.
    #[must_use]
    pub fn of_run(&self) -> Self {
        if let Self::Source(_) = self { Self::Unplanned(Selection::All) } else { self.clone() }
    }

    /// Whether the targets are kept in the store.
    pub fn are_stored(&self) -> bool {
        matches!(self, Self::Unplanned(_) | Self::Planned { .. })
    }

    /// How many partials a run has; 0 until its targets have been read.
    pub fn partials(&self) -> u32 {
        match self {
            Self::None => 1,
            Self::List(list) => u32::try_from(list.len()).unwrap_or(u32::MAX),
            Self::Range { start, end } => u32::try_from(end.saturating_sub(*start).max(0)).unwrap_or(u32::MAX),
            Self::Source(_) | Self::Unplanned(_) => 0,
            Self::Planned { count } => *count,
        }
    }

    /// The target of the partial at `index`; `None` without targets, past the end, or where the store has them.
    pub fn get(&self, index: u32) -> Option<Target> {
        match self {
            Self::List(list) => list.get(index as usize).cloned(),
            Self::Range { start, .. } if index < self.partials() => {
                Some(Target::text(itoa::Buffer::new().format(start + i64::from(index))))
            }
            Self::None | Self::Range { .. } | Self::Source(_) | Self::Unplanned(_) | Self::Planned { .. } => None,
        }
    }
}

/// One item of a run, identified by its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Unique within a run; what "the same target" means after the list was edited.
    pub key: Arc<str>,
    pub value: TargetValue,
}

impl Target {
    /// The longest key, in bytes.
    pub const MAX_KEY: usize = 1_024;

    /// A text, which is its own key.
    pub fn text(text: &str) -> Self {
        let key: Arc<str> = text.into();
        Self { key: Arc::clone(&key), value: TargetValue::Text(key) }
    }
}

/// The value that templates and the environment see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetValue {
    Text(Arc<str>),
    Table(Arc<serde_json::Map<String, serde_json::Value>>),
}
