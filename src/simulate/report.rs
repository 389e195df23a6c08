//! What a simulation comes to.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::config::{Config, JobName};
use crate::engine::{Cause, Decides, Record, RunInfo};

/// See the module's documentation.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub jobs: BTreeMap<JobName, JobReport>,
    /// The first fires, as many as were asked for.
    pub fires: Vec<Fire>,
    /// All fires.
    pub fired: u64,
    /// The most attempts at once.
    pub partials: Peak,
    /// The most live and waiting runs at once.
    pub runs: Peak,
}

/// What became of a job's nominal times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JobReport {
    /// By decision.
    pub decided: BTreeMap<&'static str, u64>,
    /// Runs that follow others.
    pub followed: u64,
    /// The first nominal time that was skipped because a run was live.
    pub first_skipped: Option<Timestamp>,
}

/// A run that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fire {
    pub job: JobName,
    pub cause: Cause,
    pub nominal: Timestamp,
    pub fired: Timestamp,
}

/// The most of something at once, and when that was first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Peak {
    pub most: usize,
    pub at: Option<Timestamp>,
}

impl Peak {
    fn see(&mut self, count: usize, at: Timestamp) {
        if count > self.most {
            *self = Self { most: count, at: Some(at) };
        }
    }
}

impl Report {
    pub(super) fn new(config: &Config) -> Self {
        let jobs = config.jobs.keys().map(|name| (Arc::clone(name), JobReport::default())).collect();
        Self { jobs, ..Self::default() }
    }

    pub(super) fn peak(&mut self, partials: usize, runs: usize, at: Timestamp) {
        self.partials.see(partials, at);
        self.runs.see(runs, at);
    }

    pub(super) fn take(&mut self, record: &Record, listed: usize) {
        match record {
            Record::Decided { job, first, count, decision, .. } => {
                let job = self.jobs.entry(Arc::clone(job)).or_default();
                *job.decided.entry(decision.name()).or_default() += count;
                if *decision == crate::engine::Decision::Skipped {
                    job.first_skipped.get_or_insert(*first);
                }
            }
            Record::Fired { run, decides } => {
                if *decides == Decides::Nominal {
                    *self.jobs.entry(Arc::clone(&run.job.name)).or_default().decided.entry("ran").or_default() += 1;
                }
                self.fire(run, listed);
            }
            Record::Finished(summary) => {
                for run in summary.runs() {
                    self.jobs.entry(Arc::clone(&run.job.name)).or_default().followed += 1;
                    self.fire(run, listed);
                }
            }
            _ => {}
        }
    }

    fn fire(&mut self, run: &RunInfo, listed: usize) {
        self.fired += 1;
        if self.fires.len() < listed {
            let RunInfo { cause, nominal, fired, .. } = *run;
            self.fires.push(Fire { job: Arc::clone(&run.job.name), cause, nominal, fired });
        }
    }
}
