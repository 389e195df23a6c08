//! From start to leave: lock, log, store, recovery, the API, and the loop.

use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, error, info, warn};

use super::clock::{self, Alarm, Ring, Steps};
use super::core::Core;
use super::events::{Event, Sources};
use super::narrate::{self, plural};
use super::reload::{self, Reloaded, Reloader};
use super::signals::{Signal, SignalStream};
use super::source::{self, LoadError, Loaded};
use super::status::{self, Facts};
use super::systemd::{self, Systemd};
use super::{Daemon, open};
use crate::config::{self, Config};
use crate::engine::{self, Engine, Wakeup};
use crate::handler::{self, NoCgroups};
use crate::log::{self, Log};
use crate::memory;
use crate::notify::{self, Notifier};
use crate::store::{self, Health, StateLock};
use crate::web::{self, Control, ReloadReport, Request};

/// So many requests of the API wait for the loop before further ones have to.
const MAX_REQUESTS: usize = 256;

/// How long the log and the store may take to reach the disk when the daemon leaves.
const FLUSH_DEADLINE: Duration = Duration::from_secs(10);

/// Orphans are zombies for so long at the most: one look at a file of procfs, which is empty but for orphans.
const REAP_PAUSE: Duration = Duration::from_secs(5);

/// Why the daemon did not start, or left with an error.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Config(#[from] LoadError),
    #[error(transparent)]
    Lock(#[from] store::LockError),
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error(transparent)]
    Log(#[from] log::LogError),
    #[error("cannot listen on `{}`: {source}", path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error("the records cannot be written any more: {0}")]
    Unwritable(String),
    #[error("cannot use the timer of the wall clock: {0}")]
    Clock(io::Error),
    #[error("cannot install the signal handlers: {0}")]
    Signals(io::Error),
}

/// The loop's state.
struct Server {
    core: Core,
    config: Arc<Config>,
    /// `None` where the embedding program logs.
    log: Option<Log>,
    reloader: Reloader,
    notifier: Notifier,
    facts: Facts,
    steps: Steps,
    systemd: Systemd,
    /// Held until the end: one daemon per state directory.
    _lock: StateLock,
}

/// Runs the daemon to its end.
pub(super) async fn serve(daemon: Daemon) -> Result<(), ServeError> {
    let signals = if daemon.signals { Some(SignalStream::install().map_err(ServeError::Signals)?) } else { None };
    let handlers: Arc<[_]> = daemon.handlers.declared().collect();
    memory::keep_little();
    // First of all: what jobs may ask for depends on it.
    let divided = handler::divide_cgroup();
    let Loaded { config, warnings, exposures, hash } = source::load(&daemon.config, &handlers)?;
    let config = Arc::new(config);
    let state_dir: Arc<Path> = config.daemon.state_dir.as_path().into();
    let lock = StateLock::acquire(&state_dir)?;
    let start_log = || log::start(&config.log, &config.daemon.timezone, log::Console::Configured);
    let log = daemon.logs.then(start_log).transpose()?;
    info!("batchd {} starts with {}", env!("CARGO_PKG_VERSION"), daemon.config.display());
    for warning in &warnings {
        warn!("{warning}");
    }
    for exposure in &exposures {
        warn!("{exposure}");
    }

    let (engine_events, engine) = mpsc::unbounded_channel();
    let (store_events, store) = mpsc::unbounded_channel();
    let (loaded_events, loaded) = mpsc::unbounded_channel();
    let (requests_to_loop, requests) = mpsc::channel(MAX_REQUESTS);
    let alarm = Alarm::new().map_err(ServeError::Clock)?;
    let mut sources = Sources { requests, loaded, shutdown: daemon.shutdown, ..Sources::new(engine, store, signals, alarm) };

    tell_of_cgroup(divided);
    let mut systemd = Systemd::find();
    if !wait_until_the_clock_is_right(&mut sources, &mut systemd).await? {
        return Ok(());
    }
    systemd.opening();
    let opened = open::store(&state_dir, open::DAEMON.to_owned(), engine_events.clone(), store_events)?;
    let interrupted: Vec<_> = opened.recovery.runs.iter().map(|run| run.key).collect();
    let runner = open::daemon_runner(&state_dir, &opened.boot_id, daemon.handlers, &interrupted, engine_events);
    let (engine, effects) = Engine::recover(Arc::clone(&config), opened.recovery, opened.boot_id, clock::now());
    let mut core = Core::new(engine, opened.writer, runner, &config);
    let settings = notify::Settings { clock: clock::now, state_dir: state_dir.to_path_buf(), recorder: core.recorder() };
    let notifier = Notifier::start(settings, Arc::clone(&config));
    core.announce_with(notifier.bell());
    core.perform(effects);
    core.forget();

    let socket = state_dir.join(web::SOCKET_FILE);
    let listener = web::Listener::bind(&socket).map_err(|source| ServeError::Socket { path: socket, source })?;
    let records = Arc::new(web::Records::new(state_dir.to_path_buf()));
    let api = tokio::spawn(web::serve(listener, Control::new(requests_to_loop), records));
    let facts = Facts::new(&daemon.config, hash);
    let reloader = Reloader::new(daemon.config, handlers, loaded_events);
    let mut server = Server { core, config, log, reloader, facts, notifier, steps: Steps::notice(), systemd, _lock: lock };
    // Once by itself: the file that it keeps open is open before the daemon says that it is ready.
    handler::reap_orphans();
    let orphans = AbortOnDropHandle::new(tokio::spawn(reap_orphans()));
    memory::give_back();
    server.announce_ready();
    let outcome = server.run(&mut sources).await;
    api.abort();
    drop(orphans);
    server.leave().await;
    outcome
}

/// Reaps the orphans that fall to the daemon, which is their subreaper or the first process of a container. SIGCHLD would tell of
/// them at once, but also of the end of each attempt, and interrupt the loop for it: a fifth fewer programs a second. A daemon that
/// runs nothing does not wake up.
async fn reap_orphans() {
    loop {
        handler::orphans_may_come().await;
        tokio::time::sleep(REAP_PAUSE).await;
        handler::reap_orphans();
    }
}

/// Says whether attempts have control groups.
fn tell_of_cgroup(divided: Result<&Path, &NoCgroups>) {
    match divided {
        Ok(group) => info!("attempts run in control groups of their own, in `{}`", group.display()),
        Err(reason @ NoCgroups::Indivisible { .. }) => warn!("attempts run without control groups: {reason}"),
        Err(reason) => debug!("attempts run without control groups: {reason}"),
    }
}

/// Decides nothing in 1970: every nominal time since would seem missed once the clock is set. Says whether to go on; a signal
/// to leave, or the embedding program, may come first.
async fn wait_until_the_clock_is_right(sources: &mut Sources, systemd: &mut Systemd) -> Result<bool, ServeError> {
    if clock::now().wall >= clock::EARLIEST {
        return Ok(true);
    }
    warn!("the clock says {}, which cannot be: no job is started until it is set (SIGHUP: look again)", clock::now().wall);
    systemd.waiting_for_the_clock();
    while clock::now().wall < clock::EARLIEST {
        let wakeup = systemd.wakeup(Wakeup { wall: Some(clock::EARLIEST), monotonic: None });
        let events = sources.next(clock::now(), wakeup).await.map_err(ServeError::Clock)?;
        systemd.turned(clock::now(), wakeup, 0, String::new);
        if events.iter().any(|event| matches!(event, Event::Signal(Signal::Terminate | Signal::Interrupt) | Event::Shutdown)) {
            return Ok(false);
        }
    }
    info!("the clock is set, to {}", clock::now().wall);
    Ok(true)
}

impl Server {
    async fn run(&mut self, sources: &mut Sources) -> Result<(), ServeError> {
        while !self.core.finished {
            let wakeup = self.systemd.wakeup(self.core.engine.next_wakeup());
            let events = sources.next(clock::now(), wakeup).await.map_err(ServeError::Clock)?;
            if let Some((before, now)) = self.steps.noticed() {
                narrate::clock_set(before, now, &self.config.daemon.timezone);
            }
            let taken = events.len();
            let mut ready = Vec::new();
            for event in events {
                match event {
                    Event::Engine(event) => ready.push(event),
                    other => {
                        self.core.handle_all(mem::take(&mut ready));
                        self.handle(other)?;
                    }
                }
            }
            self.core.handle_all(ready);
            self.tell_systemd(taken);
        }
        Ok(())
    }

    fn tell_systemd(&mut self, taken: usize) {
        let (now, engine) = (clock::now(), &self.core.engine);
        let status = || systemd::status(&self.facts, engine, &self.config.daemon.timezone.rules, now.wall);
        self.systemd.turned(now, engine.next_wakeup(), taken, status);
    }

    fn handle(&mut self, event: Event) -> Result<(), ServeError> {
        match event {
            Event::Engine(event) => self.core.handle(event),
            Event::Store(Health::Failed { reason }) => return Err(ServeError::Unwritable(reason)),
            Event::Store(health) => self.store_health(health),
            Event::Signal(Signal::Reload) => {
                info!("SIGHUP: reading {} again", self.facts.config_path);
                self.systemd.reloading();
                self.reloader.request(false, None);
            }
            Event::Signal(Signal::ReopenLog) => {
                self.log.iter().for_each(Log::reopen);
                info!("SIGUSR1: the log is reopened");
            }
            Event::Signal(Signal::Terminate | Signal::Interrupt) | Event::Shutdown => self.ask_to_leave(),
            Event::Request(request) => self.request(request),
            Event::Loaded(reloaded) => self.loaded(*reloaded),
            Event::Rang(Ring::Due | Ring::ClockSet) => self.core.handle(engine::Event::Tick),
        }
        Ok(())
    }

    /// The first time drains, the second stops the live runs, the third kills them.
    fn ask_to_leave(&mut self) {
        self.facts.leaving += 1;
        let live = plural(self.core.engine.runs().count() as u64, "live run");
        if self.facts.leaving == 1 {
            let limit = humantime::format_duration(self.config.daemon.drain_timeout);
            info!("draining: {live} may go on for {limit}; a second signal stops them now");
            self.systemd.stopping(clock::now());
            self.core.handle(engine::Event::Drain);
        } else {
            warn!("stopping {live} now");
            self.core.handle(engine::Event::StopNow);
        }
    }

    fn store_health(&mut self, health: Health) {
        self.core.handle(engine::Event::Held(!matches!(health, Health::Good)));
        self.facts.health = health;
    }

    fn request(&mut self, request: Request) {
        match request {
            // Whoever asked may have gone.
            Request::Status { reply } => drop(reply.send(self.facts.live(&self.core, &self.config, self.log.as_ref()))),
            Request::Jobs { reply } => drop(reply.send(status::jobs(&self.core.engine))),
            Request::Trigger { job, targets, args, nominal, reply } => {
                let ticket = self.core.ticket(reply);
                self.core.handle(engine::Event::Triggered { job, targets, args, nominal, ticket });
            }
            Request::Retry { job, targets, args, nominal, reply } => {
                let ticket = self.core.ticket(reply);
                self.core.handle(engine::Event::RetryAsked { job, targets, args, nominal, ticket });
            }
            Request::Pause { job, paused, reply } => {
                let ticket = self.core.ticket(reply);
                self.core.handle(engine::Event::Paused { job, paused, ticket });
            }
            Request::Nominals { job, from, to, most, reply } => {
                let upto = to.min(clock::now().wall);
                drop(reply.send(self.core.engine.job(&job).map(|job| status::nominals(&job.timetable, from, upto, most))));
            }
            Request::Backfill { job, nominals, reply } => {
                let ticket = self.core.ticket(reply);
                self.core.handle(engine::Event::Backfilled { job, nominals, ticket });
            }
            Request::Cancel { run, reply } => match self.core.engine.run_named(&run.0) {
                Some(run) => {
                    let ticket = self.core.ticket(reply);
                    self.core.handle(engine::Event::Cancelled { run, ticket });
                }
                None => drop(reply.send(engine::Answer::NotLive)),
            },
            Request::Ended { run, reply } => self.core.when_ended(&run, reply),
            Request::Reload { plan, reply } => self.reloader.request(plan, Some(reply)),
        }
    }

    /// The file has been read again: a valid one replaces the old table, any other changes nothing.
    fn loaded(&mut self, reloaded: Reloaded) {
        self.reloader.arrived();
        let report = match reloaded.result {
            Ok(loaded) => self.apply(loaded, reloaded.plan),
            Err(error) => self.refuse(error.lines(), reloaded.plan),
        };
        if !reloaded.plan {
            self.systemd.ready();
        }
        for reply in reloaded.replies {
            // Whoever asked may have gone.
            let _ = reply.send(report.clone());
        }
    }

    fn refuse(&mut self, problems: Vec<String>, plan: bool) -> ReloadReport {
        if !plan {
            error!("reload refused, the old configuration stays: {}", plural(problems.len() as u64, "problem"));
            for problem in &problems {
                error!("{problem}");
            }
            self.facts.reload_problems.clone_from(&problems);
        }
        ReloadReport { problems, ..ReloadReport::default() }
    }

    fn apply(&mut self, loaded: Loaded, plan: bool) -> ReloadReport {
        let Loaded { config: new, warnings, hash, .. } = loaded;
        let change = config::diff(&self.config, &new);
        let before = reload::next_fires(&self.core.engine);
        let report = ReloadReport { warnings, ..reload::report(&change, &before, (&self.config, &new), clock::now().wall) };
        if plan {
            return report;
        }
        let reconfigured = self.log.as_ref().map_or(Ok(()), |log| log.reconfigure(&new.log, &new.daemon.timezone));
        if let Err(error) = reconfigured {
            return self.refuse(vec![error.to_string()], plan);
        }
        for warning in &report.warnings {
            warn!("{warning}");
        }
        self.config = Arc::new(new);
        self.core.handle(engine::Event::ConfigLoaded(Arc::clone(&self.config)));
        self.notifier.configure(Arc::clone(&self.config));
        self.core.keep(self.config.history);
        self.facts.reloaded(hash);
        memory::give_back();
        reload::narrate(&report);
        ReloadReport { applied: true, ..report }
    }

    fn announce_ready(&mut self) {
        let jobs = self.config.jobs.len();
        let next: Option<Timestamp> = self.core.engine.jobs().filter_map(|job| job.next).min();
        let local = |next: Timestamp| next.to_zoned_datetime(self.config.daemon.timezone.rules.clone()).strftime("%F %T %Z").to_string();
        let next = next.map_or_else(|| "none".to_owned(), local);
        info!("ready: {}, next fire {next}", plural(jobs as u64, "job"));
        self.systemd.ready();
    }

    /// Everything to the disk, and the last line.
    async fn leave(self) {
        self.notifier.close().await;
        if let Err(error) = self.core.close(FLUSH_DEADLINE) {
            error!("batchd leaves with records that are not on disk: {error}");
        } else {
            info!("batchd leaves");
        }
        let left = self.log.map_or(0, |log| log.flush(FLUSH_DEADLINE).left);
        if left > 0 {
            #[expect(clippy::print_stderr, reason = "the log is what could not be written")]
            {
                eprintln!("batchd: {} could not be written to the log", plural(left, "line"));
            }
        }
    }
}
