//! The rooms of the installed program, with the handlers of whoever embeds it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;

use super::rooms::Rooms;
use super::{Exit, Failure, dispatch};
use crate::config::{Channel, Config, DeclaredHandler, JobName, Problems};
use crate::daemon::source::{self, LoadError};
use crate::daemon::{Builder, ForegroundError, Progress, Ran, RunOptions, ServeError, clock, run_once};
use crate::handler;
use crate::notify;
use crate::web::{History, Records};

/// The whole command line, for a program with handlers of its own: its `main` in one line.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use batchd::daemon::Daemon;
/// use batchd::handler::{Context, HandlerResult, json};
///
/// async fn cleanup(context: Context) -> HandlerResult {
///     context.log("all is clean");
///     Ok(json!({ "removed": 0 }))
/// }
///
/// fn main() -> ExitCode {
///     batchd::cli::main(Daemon::builder().handler("cleanup", cleanup))
/// }
/// ```
///
/// `check`, `run`, `daemon` and all other commands then know `handler = "cleanup"`. Call it first in `main`: jobs may start this very
/// program again to set up their processes.
pub fn main(daemon: Builder) -> ExitCode {
    if let Some(code) = handler::shim::enter() {
        return code;
    }
    crate::http::install_provider();
    let config = daemon.config_path().map(Path::to_owned);
    ExitCode::from(dispatch::main(&Installed::new(daemon), config) as u8)
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Installed {
    daemon: Builder,
}

impl Installed {
    pub fn new(daemon: Builder) -> Self {
        Self { daemon }
    }

    fn declared(&self) -> Vec<DeclaredHandler> {
        self.daemon.registry().declared().collect()
    }

    /// Programs are waited for and results gathered on more than one thread.
    fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.context("cannot start the runtime")?;
        let done = runtime.block_on(work);
        // A handler's thread that never returns must not keep the program from leaving.
        runtime.shutdown_background();
        Ok(done)
    }
}

impl Rooms for Installed {
    fn now(&self) -> Timestamp {
        clock::now().wall
    }

    fn examine(&self, path: &Path) -> Result<(Config, Problems), LoadError> {
        source::examine(path, &self.declared())
    }

    fn load(&self, path: &Path) -> Result<Config, LoadError> {
        // Without one, what needs it is refused, for the reason that is kept.
        let _ = handler::divide_cgroup();
        source::load(path, &self.declared()).map(|loaded| loaded.config)
    }

    fn history(&self, state_dir: &Path) -> Arc<dyn History> {
        Arc::new(Records::new(state_dir.to_owned()))
    }

    fn try_out(&self, channel: &Channel, state_dir: &Path) -> Result<Result<(), String>, Failure> {
        let tried = Self::block_on(notify::try_out(channel, state_dir, clock::now()))?;
        Ok(tried.map_err(|undelivered| undelivered.error))
    }

    fn serve(&self, config: &Path) -> Result<Exit, Failure> {
        let daemon = self.daemon.clone().config(config).build();
        // Among the attempts, not on a thread of its own: the loop then goes on where an attempt has ended, and nobody is to be woken.
        let served = Self::block_on(async { tokio::spawn(daemon.run()).await })?;
        match served.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic())) {
            Ok(()) => Ok(Exit::Done),
            Err(ServeError::Config(error)) => Err(Failure::InvalidConfig(error)),
            Err(error) => Err(Failure::Other(error.into())),
        }
    }

    fn run_once(&self, config: Config, job: JobName, options: RunOptions, progress: Box<dyn Progress>) -> Result<Ran, Failure> {
        let name = job.to_string();
        let ran = Self::block_on(run_once(Arc::new(config), job, options, self.daemon.registry().clone(), progress))?;
        ran.map_err(|error| match error {
            ForegroundError::UnknownJob(job) => Failure::unknown_job(&job, []),
            ForegroundError::UnknownTarget(target) => Failure::UnknownTarget { job: name, target: target.to_string() },
            ForegroundError::WrongArgument(error) => Failure::WrongArgument(error),
            error => Failure::Other(error.into()),
        })
    }
}
