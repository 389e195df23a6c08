//! What the API shows of the loop's state.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::clock;
use super::core::Core;
use crate::config::Config;
use crate::engine::{Engine, FlightSnapshot, JobSnapshot, Phase, RunSnapshot};
use crate::handler::Spoken;
use crate::log::Log;
use crate::schedule::Timetable;
use crate::store::Health;
use crate::web::api::{LiveAttempt, LogState};
use crate::web::{JobView, LiveRun, LiveStatus, StoreState};

/// So many attempts under way are shown of a run.
const MAX_OLDEST: usize = 20;

/// What the loop knows of itself.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) config_path: String,
    config_hash: String,
    since: Timestamp,
    loaded: Timestamp,
    /// The problems of the last reload, one line each; empty when it was applied.
    pub(super) reload_problems: Vec<String>,
    pub(super) health: Health,
    /// How often the daemon was asked to leave.
    pub(super) leaving: u32,
}

impl Facts {
    pub(super) fn new(config: &Path, config_hash: String) -> Self {
        let now = present();
        let config_path = config.display().to_string();
        Self { config_path, config_hash, since: now, loaded: now, reload_problems: Vec::new(), health: Health::Good, leaving: 0 }
    }

    /// A new configuration is in force.
    pub(super) fn reloaded(&mut self, config_hash: String) {
        self.config_hash = config_hash;
        self.loaded = present();
        self.reload_problems.clear();
    }

    pub(super) fn live(&self, core: &Core, config: &Config, log: Option<&Log>) -> LiveStatus {
        let (engine, ended) = (&core.engine, core.ended);
        LiveStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: self.since,
            config_path: self.config_path.clone(),
            config_hash: self.config_hash.clone(),
            config_loaded: self.loaded,
            jobs: config.jobs.len(),
            next_fire: engine.jobs().filter_map(|job| job.next).min(),
            draining: self.leaving > 0,
            reload_problems: self.reload_problems.clone(),
            store: store_state(&self.health),
            log: log.map(log_state),
            // The router adds them from the records.
            channels: Vec::new(),
            partials_ended: ended.partials,
            partials_failed: ended.failed,
            runs: engine.runs().map(|run| live_run(&run, core.spoken())).collect(),
        }
    }
}

pub(super) fn jobs(engine: &Engine) -> Vec<JobView> {
    engine.jobs().map(|job| job_view(&job)).collect()
}

/// The first `most` nominal times from `from` up to `upto`, excepted days left out.
pub(super) fn nominals(timetable: &Timetable, from: Timestamp, upto: Timestamp, most: usize) -> Vec<Timestamp> {
    let before = from.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(from);
    let fires = std::iter::successors(timetable.next_fire(before), |fire| timetable.next_fire(*fire));
    fires.take_while(|fire| *fire < upto).take(most).collect()
}

fn present() -> Timestamp {
    to_microsecond(clock::now().wall)
}

/// As all times that are shown.
fn to_microsecond(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

fn store_state(health: &Health) -> StoreState {
    match health {
        Health::Good => StoreState { healthy: true, reason: None, since: None },
        Health::Degraded { reason, since } => {
            let since = to_microsecond(clock::now().wall - since.elapsed());
            StoreState { healthy: false, reason: Some(reason.clone()), since: Some(since) }
        }
        Health::Failed { reason } => StoreState { healthy: false, reason: Some(reason.clone()), since: None },
    }
}

fn log_state(log: &Log) -> LogState {
    let (trouble, lost) = (log.trouble(), log.dropped().file);
    let since = trouble.as_ref().map(|trouble| to_microsecond(trouble.since));
    LogState { healthy: trouble.is_none(), reason: trouble.map(|trouble| trouble.reason), since, lost }
}

fn job_view(snapshot: &JobSnapshot<'_>) -> JobView {
    let count = |runs: usize| u32::try_from(runs).unwrap_or(u32::MAX);
    let (running, waiting) = (count(snapshot.live.len()), count(snapshot.waiting));
    JobView { running, waiting, paused: snapshot.paused, ..JobView::new(snapshot.job, snapshot.next) }
}

fn live_attempt(flight: FlightSnapshot, progress: Option<Box<str>>) -> LiveAttempt {
    let FlightSnapshot { index, target, attempt, since } = flight;
    LiveAttempt {
        index,
        target: target.map(|target| target.key.to_string()),
        attempt,
        since: to_microsecond(since),
        progress: progress.map(Into::into),
    }
}

fn live_run(run: &RunSnapshot<'_>, spoken: &Spoken) -> LiveRun {
    let attempt = |flight: FlightSnapshot| {
        let progress = spoken.progress(run.info.key, flight.index);
        live_attempt(flight, progress)
    };
    let phase = match run.phase {
        _ if run.stopping => "stopping",
        Phase::Waiting => "waiting",
        Phase::Planning => "planning",
        Phase::Running => "running",
        Phase::Gathering => "gathering",
    };
    LiveRun {
        id: run.info.id.clone(),
        job: run.info.job.name.to_string(),
        cause: run.info.cause,
        nominal: run.info.nominal,
        zone: run.info.job.timetable.zone.name.to_string(),
        fired: run.info.fired,
        phase: phase.to_owned(),
        partials: run.partials,
        in_flight: u32::try_from(run.in_flight).unwrap_or(u32::MAX),
        succeeded: run.counts.succeeded,
        failed: run.counts.failed,
        cancelled: run.counts.cancelled,
        oldest: run.oldest_flights(MAX_OLDEST).into_iter().map(attempt).collect(),
    }
}
