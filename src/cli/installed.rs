//! The rooms of the installed program, with the handlers of whoever embeds it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;

use super::rooms::Rooms;
use super::{Exit, Failure};
use crate::config::{Channel, Config, JobName, Problems};
use crate::daemon::source::{self, LoadError};
use crate::daemon::{Daemon, ForegroundError, Progress, Ran, RunOptions, ServeError, clock, run_once};
use crate::handler::{self, Registry};
use crate::notify;
use crate::web::{History, Records};

/// See the module's documentation.
#[derive(Debug)]
pub struct Installed {
    handlers: Registry,
}

impl Installed {
    pub fn new(handlers: Registry) -> Self {
        Self { handlers }
    }

    /// Programs are waited for and results gathered on more than one thread.
    fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        Ok(runtime.context("cannot start the runtime")?.block_on(work))
    }
}

impl Rooms for Installed {
    fn now(&self) -> Timestamp {
        clock::now().wall
    }

    fn examine(&self, path: &Path) -> Result<(Config, Problems), LoadError> {
        let names: Vec<String> = self.handlers.names().map(str::to_owned).collect();
        source::examine(path, &names)
    }

    fn load(&self, path: &Path) -> Result<Config, LoadError> {
        // Without one, what needs it is refused, for the reason that is kept.
        let _ = handler::divide_cgroup();
        let names: Vec<String> = self.handlers.names().map(str::to_owned).collect();
        source::load(path, &names).map(|loaded| loaded.config)
    }

    fn history(&self, state_dir: &Path) -> Arc<dyn History> {
        Arc::new(Records::new(state_dir.to_owned()))
    }

    fn try_out(&self, channel: &Channel, state_dir: &Path) -> Result<Result<(), String>, Failure> {
        let tried = Self::block_on(notify::try_out(channel, state_dir, clock::now()))?;
        Ok(tried.map_err(|undelivered| undelivered.error))
    }

    fn serve(&self, config: &Path) -> Result<Exit, Failure> {
        let daemon = Daemon::builder().config(config).handlers(self.handlers.clone()).build();
        match Self::block_on(daemon.run())? {
            Ok(()) => Ok(Exit::Done),
            Err(ServeError::Config(error)) => Err(Failure::InvalidConfig(error)),
            Err(error) => Err(Failure::Other(error.into())),
        }
    }

    fn run_once(&self, config: Config, job: JobName, options: RunOptions, progress: Box<dyn Progress>) -> Result<Ran, Failure> {
        let name = job.to_string();
        let ran = Self::block_on(run_once(Arc::new(config), job, options, self.handlers.clone(), progress))?;
        ran.map_err(|error| match error {
            ForegroundError::UnknownJob(job) => Failure::unknown_job(&job, []),
            ForegroundError::UnknownTarget(target) => Failure::UnknownTarget { job: name, target: target.to_string() },
            ForegroundError::WrongArgument(error) => Failure::WrongArgument(error),
            error => Failure::Other(error.into()),
        })
    }
}
