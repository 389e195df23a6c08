//! What a daemon and a foreground run open alike: the store with its writer thread, and the runner.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tracing::warn;

use super::{clock, narrate};
use crate::engine::{Event, Recovery, RunKey};
use crate::handler::{self, Registry};
use crate::runner::{Runner, Settings};
use crate::store::{self, Health, Node, Sqlite, Store, StoreError, Writer};

/// An opened store.
pub(super) struct Opened {
    pub(super) writer: Writer,
    pub(super) recovery: Recovery,
    pub(super) boot_id: Arc<str>,
}

/// Opens the store of `state_dir` as the node `name`: fences the writers before it, reads what they left, starts the thread.
/// A daemon also closes what dead foreground runs left.
pub(super) fn store(
    state_dir: &Path,
    name: String,
    events: UnboundedSender<Event>,
    health: UnboundedSender<Health>,
) -> Result<Opened, StoreError> {
    let boot_id = store::identity::boot_id().unwrap_or_else(|error| {
        warn!("cannot read the boot id: {error}; `@reboot` jobs run at each start");
        format!("unknown-{}", clock::now().wall.as_microsecond())
    });
    let is_daemon = name == DAEMON;
    make_state_dir(state_dir).map_err(|fault| StoreError::Io { path: state_dir.to_owned(), fault: fault.into() })?;
    let mut store = if is_daemon { Sqlite::open_with_reserve(state_dir)? } else { Sqlite::open(state_dir)? };
    let epoch = store.join(&Node { name, pid: std::process::id(), boot_id: boot_id.clone() })?;
    if is_daemon {
        for run in store.finish_abandoned(epoch, clock::now().wall, &store::identity::is_alive)? {
            warn!(run = &*run.0, "the foreground run died; it is closed as interrupted");
        }
    }
    let recovery = store.recover()?;
    // Whoever listens is gone only when the program leaves.
    let durable = move |then| drop(events.send(Event::Durable(then)));
    let report = move |state: &Health| {
        // Told by the thread that writes, so that it stands in the log before what it writes then.
        narrate::health(state);
        drop(health.send(state.clone()));
    };
    let writer = Writer::spawn(Box::new(store), epoch, durable, report);
    let writer = writer.map_err(|fault| StoreError::Io { path: state_dir.to_owned(), fault: fault.into() })?;
    Ok(Opened { writer, recovery, boot_id: boot_id.into() })
}

/// The node of the daemon.
pub(super) const DAEMON: &str = "daemon";

/// Kills what a crash left running of `runs`, so that no partial runs beside a living copy of itself, and makes the daemon's
/// runner.
pub(super) fn daemon_runner(
    state_dir: &Path,
    boot_id: &Arc<str>,
    handlers: Registry,
    runs: &[RunKey],
    events: UnboundedSender<Event>,
) -> Runner {
    for killed in handler::leftovers::kill(state_dir, boot_id, runs) {
        warn!("killed pid {} ({}), left over from a run that a crash interrupted", killed.pid, killed.name);
    }
    runner(state_dir, boot_id, handlers, events)
}

/// The runner whose results and leaders are in `home`: the daemon's state directory, or the own one of a run in the foreground.
pub(super) fn runner(home: &Path, boot_id: &Arc<str>, handlers: Registry, events: UnboundedSender<Event>) -> Runner {
    if let Err(error) = handler::raise_open_files() {
        warn!("cannot raise the limit of open files: {error}");
    }
    if let Err(error) = handler::become_subreaper() {
        warn!("cannot adopt orphans: {error}; processes that leave their group may outlive their run");
    }
    if let Err(error) = handler::leaders::keep(home, Arc::clone(boot_id)) {
        warn!("cannot keep the live processes on file: {error}; after a crash they are found by their environment only");
    }
    Runner::new(Settings { clock: clock::now, state_dir: home.to_owned(), handlers }, events)
}

/// The directory of the state, made with mode 0700 where there is none.
fn make_state_dir(state_dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(state_dir)
}
