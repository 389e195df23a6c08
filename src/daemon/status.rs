//! What the API shows of the loop's state.

use std::path::Path;

use jiff::Timestamp;

use crate::config::Config;
use crate::engine::{Engine, JobSnapshot, Phase, RunSnapshot};
use crate::store::Health;
use crate::web::{JobView, LiveRun, LiveStatus};

/// What does not change with every event.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) config_path: String,
    pub(super) config_hash: String,
    since: Timestamp,
    loaded: Timestamp,
}

impl Facts {
    pub(super) fn new(config: &Path, config_hash: String, now: Timestamp) -> Self {
        Self { config_path: config.display().to_string(), config_hash, since: now, loaded: now }
    }

    pub(super) fn reloaded(&mut self, config_hash: String, now: Timestamp) {
        self.config_hash = config_hash;
        self.loaded = now;
    }
}

pub(super) fn live(
    facts: &Facts,
    engine: &Engine,
    config: &Config,
    health: &Health,
    reload_problems: &[String],
    draining: bool,
) -> LiveStatus {
    let store = match health {
        Health::Good => "good".to_owned(),
        Health::Degraded { reason, .. } | Health::Failed { reason } => reason.clone(),
    };
    LiveStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        since: facts.since,
        config: facts.config_path.clone(),
        loaded: facts.loaded,
        config_hash: facts.config_hash.clone(),
        reload_problems: reload_problems.to_vec(),
        store,
        draining,
        jobs: config.jobs.len(),
        max_partials: config.daemon.max_partials,
        next_fire: engine.jobs().filter_map(|job| job.next).min(),
        runs: engine.runs().map(live_run).collect(),
    }
}

pub(super) fn jobs(engine: &Engine) -> Vec<JobView> {
    engine.jobs().map(job_view).collect()
}

fn job_view(snapshot: JobSnapshot<'_>) -> JobView {
    let job = snapshot.job;
    JobView {
        name: job.name.to_string(),
        description: job.description.clone(),
        schedule: job.schedule_text.clone(),
        zone: job.timetable.zone.name.to_string(),
        enabled: job.enabled,
        next: snapshot.next,
        running: snapshot.live.len() + snapshot.waiting,
        last: None,
    }
}

fn live_run(run: RunSnapshot<'_>) -> LiveRun {
    let phase = match run.phase {
        _ if run.stopping => "stopping",
        Phase::Waiting => "waiting",
        Phase::Running => "running",
        Phase::Gathering => "gathering",
    };
    LiveRun {
        id: run.info.id.clone(),
        job: run.info.job.name.to_string(),
        phase: phase.to_owned(),
        fired: run.info.fired,
        partials: run.partials,
        in_flight: run.in_flight,
        succeeded: run.counts.succeeded,
        failed: run.counts.failed,
        cancelled: run.counts.cancelled,
    }
}
