//! The rooms of this machine: its files, its database, its processes.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;

use super::{Exit, Global, Rooms};
use crate::config::Config;
use crate::daemon::source::{self, LoadError};
use crate::daemon::{Daemon, Progress, RunOptions, ServeError, clock, run_once};
use crate::handler::Registry;
use crate::web::{History, Records, RunView};

/// See the module's documentation. A program that embeds the command line registers its handlers here.
#[derive(Clone, Debug, Default)]
pub struct Local {
    pub handlers: Registry,
}

impl Rooms for Local {
    fn now(&self) -> Timestamp {
        clock::now().wall
    }

    fn handlers(&self) -> Vec<String> {
        self.handlers.names().map(str::to_owned).collect()
    }

    fn config(&self, path: &Path) -> Result<Config, String> {
        source::examine(path, &self.handlers()).map(|(config, _)| config).map_err(|error| rendered(&error))
    }

    fn history(&self, state_dir: &Path) -> Result<Option<Arc<dyn History>>, String> {
        Ok(Some(Arc::new(Records::new(state_dir.to_owned()))))
    }

    fn serve(&self, config: &Path, _global: &Global) -> Exit {
        let daemon = Daemon::builder().config(config).handlers(self.handlers.clone()).build();
        let served = tokio::runtime::Builder::new_multi_thread().enable_all().build().map(|runtime| runtime.block_on(daemon.run()));
        match served {
            Ok(Ok(())) => Exit::Done,
            Ok(Err(ServeError::Config(error))) => fail(&rendered(&error), Exit::InvalidConfig),
            Ok(Err(error)) => fail(&format!("error: {error}"), Exit::WorkFailed),
            Err(error) => fail(&format!("error: cannot start the runtime: {error}"), Exit::WorkFailed),
        }
    }

    fn run_once(&self, config: Config, job: &str, options: RunOptions, progress: Box<dyn Progress>) -> anyhow::Result<RunView> {
        let state_dir = config.daemon.state_dir.clone();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
        let ran = runtime.block_on(run_once(Arc::new(config), job.into(), options, self.handlers.clone(), progress))?;
        Ok(Records::new(state_dir).run(&ran.id.0)?)
    }
}

/// The problems as a terminal shows them.
fn rendered(error: &LoadError) -> String {
    match error {
        LoadError::Source(error) => format!("error: {error}"),
        LoadError::Invalid(problems) => problems.render(io::stderr().is_terminal()),
    }
}

#[expect(clippy::print_stderr, reason = "the daemon's log is not there, or not any more")]
fn fail(message: &str, exit: Exit) -> Exit {
    eprintln!("{}", message.trim_end());
    exit
}
