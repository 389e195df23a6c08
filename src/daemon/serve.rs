//! From start to leave: lock, log, store, recovery, the API, and the loop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::clock::{self, Alarm, Ring};
use super::core::Core;
use super::events::{Event, Sources};
use super::reload::{self, Reloaded, Reloader};
use super::signals::{Signal, SignalStream};
use super::source::{self, LoadError};
use super::{Daemon, open, status};
use crate::config::{self, Config};
use crate::engine::{self, Engine};
use crate::log::{self, Log};
use crate::store::{self, Health};
use crate::web::{self, Control, Request};

/// So many requests of the API wait for the loop before further ones have to.
const MAX_REQUESTS: usize = 256;

/// How long the log and the store may take to reach the disk when the daemon leaves.
const FLUSH_DEADLINE: Duration = Duration::from_secs(10);

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
    #[error("cannot listen on `{path}`: {source}")]
    Socket { path: String, source: io::Error },
    #[error("cannot use the timer of the wall clock: {0}")]
    Clock(io::Error),
    #[error("cannot install the signal handlers: {0}")]
    Signals(io::Error),
}

/// The loop's state.
struct Server {
    core: Core,
    config: Arc<Config>,
    log: Log,
    reloader: Reloader,
    facts: status::Facts,
    /// The problems of the last reload, one line each; empty when it was applied.
    reload_problems: Vec<String>,
    health: Health,
    /// How often the daemon was asked to leave.
    leaving: u32,
}

/// Runs the daemon to its end.
pub(super) async fn serve(daemon: Daemon) -> Result<(), ServeError> {
    let signals = if daemon.signals { Some(SignalStream::install().map_err(ServeError::Signals)?) } else { None };
    let handlers: Arc<[String]> = daemon.handlers.names().map(str::to_owned).collect();
    let loaded = source::load(&daemon.config, &handlers)?;
    let config = Arc::new(loaded.config);
    let state = open::state(&config)?;
    let log = log::start(&config.log, &config.daemon.timezone, log::Console::detect(config.log.console))?;
    info!("batchd {} starts with {}", env!("CARGO_PKG_VERSION"), daemon.config.display());
    for warning in &loaded.warnings {
        warn!("{warning}");
    }

    let (engine_events, engine) = mpsc::unbounded_channel();
    let (store_events, store) = mpsc::unbounded_channel();
    let (loaded_events, loaded) = mpsc::unbounded_channel();
    let (control, requests) = mpsc::channel(MAX_REQUESTS);
    let alarm = Alarm::new().map_err(ServeError::Clock)?;
    let mut sources = Sources { engine, store, requests, loaded, signals, shutdown: daemon.shutdown, alarm, shutting_down: false };

    let opened = open::store(&state, store_events, engine_events.clone())?;
    let runner = open::runner(&state, daemon.handlers, engine_events);
    let (engine, effects) = Engine::recover(Arc::clone(&config), opened.recovery, opened.boot_id, clock::now());
    let mut core = Core::new(engine, opened.writer, runner, state.database());
    core.perform(effects);

    let listener = web::Listener::bind(&state.socket()).map_err(|source| {
        let path = state.socket().display().to_string();
        ServeError::Socket { path, source }
    })?;
    let api = tokio::spawn(web::serve(listener, Control::new(control), state.database()));
    let reloader = Reloader::new(Arc::clone(&daemon.config), handlers, loaded_events);
    let facts = status::Facts::new(&daemon.config, clock::now().wall);
    let mut server =
        Server { core, config, log, reloader, facts, reload_problems: Vec::new(), health: Health::Healthy, leaving: 0 };
    server.announce_ready();
    let outcome = server.run(&mut sources).await;
    api.abort();
    server.leave();
    outcome
}

impl Server {
    async fn run(&mut self, sources: &mut Sources) -> Result<(), ServeError> {
        while !self.core.finished {
            let wakeup = self.core.engine.next_wakeup();
            let events = sources.next(clock::now(), wakeup).await.map_err(ServeError::Clock)?;
            for event in events {
                self.handle(event)?;
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Result<(), ServeError> {
        match event {
            Event::Engine(event) => self.core.handle(event),
            Event::Store(Health::Failed(error)) => return Err(error.into()),
            Event::Store(health) => self.store_health(health),
            Event::Signal(Signal::Reload) => {
                info!("SIGHUP: reading {} again", self.facts.config_path);
                sd_notify_reloading();
                self.reloader.request(false, None);
            }
            Event::Signal(Signal::ReopenLog) => {
                self.log.reopen();
                info!("SIGUSR1: the log is reopened");
            }
            Event::Signal(Signal::Terminate | Signal::Interrupt) | Event::Shutdown => self.ask_to_leave(),
            Event::Request(request) => self.request(request),
            Event::Loaded(reloaded) => self.loaded(*reloaded),
            Event::Rang(Ring::Due) => self.core.handle(engine::Event::Tick),
            Event::Rang(Ring::ClockSet) => {
                warn!("the system clock was set; it is {} now", clock::now().wall);
                self.core.handle(engine::Event::Tick);
            }
        }
        Ok(())
    }

    /// The first time drains, the second stops the live runs, the third kills them.
    fn ask_to_leave(&mut self) {
        self.leaving += 1;
        let live = self.core.engine.runs().count();
        if self.leaving == 1 {
            let limit = humantime::format_duration(self.config.daemon.drain_timeout);
            info!("draining: {live} live runs have {limit}; a second signal stops them now");
            notify(&[sd_notify::NotifyState::Stopping]);
            self.core.handle(engine::Event::Drain);
        } else {
            warn!("stopping {live} live runs now");
            self.core.handle(engine::Event::StopNow);
        }
    }

    fn store_health(&mut self, health: Health) {
        match &health {
            Health::Degraded { reason, .. } => error!("the store cannot write: {reason}; nothing new is fired until it can"),
            _ => info!("the store can write again"),
        }
        self.core.handle(engine::Event::Held(!matches!(health, Health::Healthy)));
        self.health = health;
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Status { reply } => {
                let live = status::live(&self.facts, &self.core.engine, &self.config, &self.health, &self.reload_problems, self.leaving > 0);
                let _ = reply.send(live);
            }
            Request::Jobs { reply } => {
                let _ = reply.send(status::jobs(&self.core.engine));
            }
            Request::Trigger { job, targets, nominal, reply } => {
                let ticket = self.core.ticket(reply);
                self.core.handle(engine::Event::Triggered { job, targets, nominal, ticket });
            }
            Request::Cancel { run, reply } => match self.core.engine.run_named(&run) {
                Some(run) => {
                    let ticket = self.core.ticket(reply);
                    self.core.handle(engine::Event::Cancelled { run, ticket });
                }
                None => {
                    let _ = reply.send(engine::Answer::NotLive);
                }
            },
            Request::Reload { plan, reply } => self.reloader.request(plan, Some(reply)),
        }
    }

    /// The file has been read again: a valid one replaces the old table, any other changes nothing.
    fn loaded(&mut self, reloaded: Reloaded) {
        self.reloader.arrived();
        let report = match reloaded.result {
            Err(error) => {
                let problems = error.lines();
                if !reloaded.plan {
                    error!("reload refused, the old configuration stays: {} problems", problems.len());
                    problems.iter().for_each(|problem| error!("{problem}"));
                    self.reload_problems.clone_from(&problems);
                }
                web::ReloadReport { problems, ..Default::default() }
            }
            Ok(loaded) => self.apply(loaded, reloaded.plan),
        };
        if !reloaded.plan {
            notify(&[sd_notify::NotifyState::Ready]);
        }
        for reply in reloaded.replies {
            let _ = reply.send(report.clone());
        }
    }

    fn apply(&mut self, loaded: source::Loaded, plan: bool) -> web::ReloadReport {
        let new = Arc::new(loaded.config);
        let change = config::diff(&self.config, &new);
        let before = reload::next_fires(&self.core.engine);
        let mut report = reload::report(&change, &before, &new, clock::now().wall);
        report.warnings = loaded.warnings;
        if plan {
            return report;
        }
        if let Err(error) = self.log.reconfigure(&new.log, &new.daemon.timezone) {
            report.problems.push(error.to_string());
            error!("reload refused, the old configuration stays: {error}");
            self.reload_problems.clone_from(&report.problems);
            return report;
        }
        self.core.handle(engine::Event::ConfigLoaded(Arc::clone(&new)));
        self.config = new;
        self.reload_problems.clear();
        self.facts.loaded(clock::now().wall);
        report.applied = true;
        reload::narrate(&report);
        report
    }

    fn announce_ready(&mut self) {
        let jobs = self.config.jobs.len();
        let next: Option<Timestamp> = self.core.engine.jobs().filter_map(|job| job.next).min();
        let next = next.map_or_else(|| "none".to_owned(), |next| next.to_zoned(self.config.daemon.timezone.rules.clone()).strftime("%F %T %Z").to_string());
        info!("ready: {jobs} jobs, next fire {next}");
        notify(&[sd_notify::NotifyState::Ready]);
    }

    /// Everything to the disk, and the last line.
    fn leave(&mut self) {
        self.core.close(FLUSH_DEADLINE);
        info!("batchd leaves");
        let report = self.log.flush(FLUSH_DEADLINE);
        if report.left > 0 {
            #[expect(clippy::print_stderr, reason = "the log is what could not be written")]
            {
                eprintln!("batchd: {} lines of the log could not be written", report.left);
            }
        }
    }
}

fn sd_notify_reloading() {
    if let Ok(monotonic) = sd_notify::NotifyState::monotonic_usec_now() {
        notify(&[sd_notify::NotifyState::Reloading, monotonic]);
    }
}

/// Tells systemd, where it listens; without it nothing happens.
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("cannot notify systemd: {error}");
    }
}
