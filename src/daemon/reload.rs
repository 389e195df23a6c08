//! Reading `jobs.toml` again: beside the loop, one reading at a time, the old table in force until the new one is whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tracing::info;

use super::source::{self, LoadError, Loaded};
use crate::config::{Change, Config, DeclaredHandler, JobName};
use crate::engine::Engine;
use crate::web::{ChangedJob, ReloadReport};

/// So many jobs of each kind are named in the log.
const MAX_NARRATED: usize = 100;

/// A file read again, and who asked for it.
pub(super) struct Reloaded {
    pub(super) result: Result<Loaded, LoadError>,
    /// Compare only; change nothing.
    pub(super) plan: bool,
    pub(super) replies: Vec<oneshot::Sender<ReloadReport>>,
}

/// Reads the file beside the loop. A thousand requests in a second come to few readings, and the last one sees the final file.
pub(super) struct Reloader {
    path: Arc<Path>,
    handlers: Arc<[DeclaredHandler]>,
    done: mpsc::UnboundedSender<Reloaded>,
    reading: bool,
    /// What came while a reading was under way, by kind: plans, and reloads.
    waiting: BTreeMap<bool, Vec<oneshot::Sender<ReloadReport>>>,
}

impl Reloader {
    pub(super) fn new(path: Arc<Path>, handlers: Arc<[DeclaredHandler]>, done: mpsc::UnboundedSender<Reloaded>) -> Self {
        Self { path, handlers, done, reading: false, waiting: BTreeMap::new() }
    }

    /// Reads the file, now or after the reading under way.
    pub(super) fn request(&mut self, plan: bool, reply: Option<oneshot::Sender<ReloadReport>>) {
        self.waiting.entry(plan).or_default().extend(reply);
        self.read_next();
    }

    /// The reading under way has arrived.
    pub(super) fn arrived(&mut self) {
        self.reading = false;
        self.read_next();
    }

    fn read_next(&mut self) {
        if self.reading {
            return;
        }
        let Some((plan, replies)) = self.waiting.pop_first() else { return };
        self.reading = true;
        let (path, handlers, done) = (Arc::clone(&self.path), Arc::clone(&self.handlers), self.done.clone());
        tokio::task::spawn_blocking(move || {
            // The system's zone data may have been updated as well; without this, it is looked at again after minutes only.
            jiff::tz::db().reset();
            let result = source::load(&path, &handlers);
            // The loop is gone only when the daemon leaves.
            let _ = done.send(Reloaded { result, plan, replies });
        });
    }
}

/// The next fire of each job, to show what a reload moves.
pub(super) fn next_fires(engine: &Engine) -> BTreeMap<JobName, Option<Timestamp>> {
    engine.jobs().map(|job| (Arc::clone(&job.job.name), job.next)).collect()
}

/// What a reload changes, with each job's next fire before and after.
pub(super) fn report(
    change: &Change,
    before: &BTreeMap<JobName, Option<Timestamp>>,
    (old, new): (&Config, &Config),
    now: Timestamp,
) -> ReloadReport {
    let after = |name: &str| new.jobs.get(name).and_then(|job| job.next_fire(now));
    let zone = |name: &str| new.jobs.get(name).or_else(|| old.jobs.get(name)).map(|job| job.timetable.zone.name.to_string());
    let row = |name: &JobName, what: &[String]| ChangedJob {
        job: name.to_string(),
        zone: zone(name).unwrap_or_default(),
        what: what.to_vec(),
        next_before: before.get(name).copied().flatten(),
        next_after: after(name),
    };
    ReloadReport {
        applied: false,
        problems: Vec::new(),
        added: change.added.iter().map(|name| row(name, &[])).collect(),
        removed: change.removed.iter().map(|name| row(name, &[])).collect(),
        changed: change.changed.iter().map(|changed| row(&changed.name, &changed.what)).collect(),
        settings: settings(change),
        warnings: Vec::new(),
    }
}

/// Tells what a reload has changed, a line a job.
pub(super) fn narrate(report: &ReloadReport) {
    let ReloadReport { added, removed, changed, settings, .. } = report;
    info!("reloaded: {} added, {} removed, {} changed", added.len(), removed.len(), changed.len());
    for setting in settings {
        info!("setting {setting}");
    }
    let rows = |kind: &'static str, rows: &[ChangedJob]| {
        for row in rows.iter().take(MAX_NARRATED) {
            let what = if row.what.is_empty() { String::new() } else { format!(" ({})", row.what.join(", ")) };
            info!(job = &*row.job, "{kind} {}{what}: next fire {} → {}", row.job, instant(row.next_before), instant(row.next_after));
        }
        if rows.len() > MAX_NARRATED {
            info!("{kind}: {} more", rows.len() - MAX_NARRATED);
        }
    };
    rows("added", added);
    rows("removed", removed);
    rows("changed", changed);
}

/// The settings that changed; those that only a restart puts in force say so.
fn settings(change: &Change) -> Vec<String> {
    let note = |setting: &String| if change.restart.contains(setting) { " (takes effect at the next start)" } else { "" };
    change.settings.iter().map(|setting| format!("{setting}{}", note(setting))).collect()
}

fn instant(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "none".to_owned(), |at| at.to_string())
}
